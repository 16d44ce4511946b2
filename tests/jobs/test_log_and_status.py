"""A job watched: its log, what fails and is skipped, its status, its lines on the terminal and for machines."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window
from rich.console import Console

import mmsr_geo
from mmsr_geo.cli import display as progress
from mmsr_geo.cli.tables import show_status
from mmsr_geo.jobs.job import Entry
from mmsr_geo.jobs.journal import JournalEntry
from mmsr_geo.jobs.log import NO_PAIR, open_log
from mmsr_geo.jobs.status import JobStatus, PairState, PairStatus, _tiles_a_second
from mmsr_geo.jobs.tiles.tile_store import TileRecord
from support.command import CommandResult
from support.dates_job import DATES, JOB, SMOOTH, folder, job, with_bad_tiles
from support.rasters import sentinel_crop

pytestmark = pytest.mark.slow

__all__ = ["folder"]

Command = Callable[..., CommandResult]


def logged(folder: Path) -> list[list[str]]:
    """The log's lines, each in its four parts; the times are times."""
    lines = [line.split("\t") for line in (folder / "job.log").read_text("utf-8").splitlines()]
    for at, *_ in lines:
        assert datetime.fromisoformat(at).tzinfo is not None
    return [rest for _, *rest in lines]


def happened(folder: Path) -> list[str]:
    """The log without times, and with all numbers of seconds as 0."""
    return [re.sub(r"\d+\.\d s", "0 s", " ".join(line)) for line in logged(folder)]


# The log.


def test_the_log_has_one_line_per_event_and_is_appended_to(folder: Path, here: Command) -> None:
    (folder / "thermal" / f"{DATES[1]}.tif").write_bytes(b"no raster")
    job(folder, SMOOTH.replace("[[pairs]]", 'on_error = "skip"\n[[pairs]]'))
    assert here("batch", "job.toml", "--progress", "none")[0] == 1
    first, second, third = DATES
    said = happened(folder)
    assert (
        said[0]
        == f"INFO - job started in this process by mmsr_geo {mmsr_geo.__version__}: 0 of 3 pairs were done before"
    )
    assert f"INFO {first} pair started: {folder / 'thermal' / first}.tif" in said
    assert f"INFO {first} fit done in 0 s" in said
    assert f"INFO {first} pair done in 0 s: 6 tiles, scale 4" in said
    assert f"INFO {third} pair done in 0 s: 6 tiles, scale 4" in said
    (failed,) = [line for line in said if line.startswith("ERROR")]
    assert failed.startswith(f"ERROR {second} pair failed after 0 s: ")
    assert "cannot be opened as a raster" in failed
    assert said[-2:] == ["INFO - 2 done, 1 failed, 1 left", "INFO - job ended after 0 s"]
    assert not any(line.startswith("WARNING") for line in said)  # a failure is reported once
    assert here("batch", "job.toml", "--progress", "none")[0] == 1
    again = happened(folder)
    assert again[: len(said)] == said
    assert again[len(said)].endswith(": 2 of 3 pairs were done before")


def test_the_log_names_tiles_that_were_skipped_or_reused(folder: Path, here: Command) -> None:
    with_bad_tiles(folder, DATES[0])
    job(folder)
    status, _, reported = here("batch", "job.toml", "--progress", "none", "--on-error", "skip")
    assert (status, reported) == (1, "")
    skipped = [line for line in happened(folder) if "is skipped" in line]
    assert 0 < len(skipped) < 12
    assert all(line.startswith(f"WARNING {DATES[0]} tile ") for line in skipped)
    assert all("cannot be read" in line for line in skipped)
    (incomplete,) = [line for line in happened(folder) if "pair incomplete" in line]
    assert f"{len(skipped)} tiles failed and have no data" in incomplete
    before = len(happened(folder))
    assert here("batch", "job.toml", "--progress", "none")[0] == 2  # the job file does not say skip
    said = happened(folder)[before:]
    assert f"INFO {DATES[0]} {12 - len(skipped)} of 12 tiles reused from an earlier run" in said
    assert said[-1].startswith("ERROR - job ended after 0 s: JobError ")


def test_warnings_and_guide_checks_are_logged(folder: Path) -> None:
    source = sentinel_crop(0, 0, 64, 64, 4).source
    source[:8] = -9999
    source.rio.to_raster(folder / "thermal" / f"{DATES[0]}.tif")
    text = JOB.replace("{key}", DATES[0]) + 'steps = 4\nthreads = 1\nif_unhelpful = "warn"\n'
    with pytest.warns(mmsr_geo.MmsrWarning):
        assert mmsr_geo.batch(job(folder, text)).count("done") == 1
    said = happened(folder)
    assert any(line.startswith("WARNING - ") and "-9999" in line for line in said)
    (fit,) = [line for line in said if "fit done in" in line]
    assert re.search(r"fit done in 0 s: the guide (helped|did not help): the (error|source)", fit)


def test_a_kill_leaves_the_lines(folder: Path) -> None:
    path = job(folder, JOB + "steps = 2000\nthreads = 1\n")
    words = [sys.executable, "-m", "mmsr_geo", "batch", str(path), "--progress", "json"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "progress" and event["stage"] in {"members", "trial"} and event["done"] > 3:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert [line[-1].split(" ")[1] for line in logged(folder)] == ["started", "started:"]
    assert mmsr_geo.batch(job(folder, SMOOTH)).count("done") == 3
    assert happened(folder)[-1] == "INFO - job ended after 0 s"


def test_messages_of_a_job_name_options_as_its_file_does(
    folder: Path, here: Command, caplog: pytest.LogCaptureFixture
) -> None:
    guide = folder / "optical" / f"{DATES[0]}.tif"
    with rasterio.open(guide) as dataset:
        upper, profile = dataset.read(window=Window(0, 0, 72, 40)), dataset.profile | {"width": 72, "height": 40}
    guide.unlink()
    with rasterio.open(guide, "w", **profile | {"driver": "GTiff"}) as dataset:
        dataset.write(upper)
    path = job(folder)
    _, _, printed = here("batch", "job.toml", "--progress", "none")
    assert re.search(r"pass --min-coverage 0\.\d+", printed)
    logged = [line for line in happened(folder) if "ERROR" in line]
    assert len(logged) == 2
    assert all(re.search(r"pass min_coverage = 0\.\d+", line) for line in logged)
    assert 'skip it (on_error = "skip")' in logged[1]
    assert all("min_coverage = 0." in record.getMessage() for record in caplog.records)
    (entry,) = [pair.line for pair in mmsr_geo.status(path).pairs if pair.line is not None]
    assert "pass min_coverage = 0." in entry.message
    assert "min_coverage = 0." in (folder / "job.report" / "report.html").read_text()
    with pytest.raises(mmsr_geo.JobError, match=r"pass min_coverage=0\..* skip it \(on_error='skip'\)"):
        mmsr_geo.batch(path)


def test_the_log_is_pythons_too_as_its_user_has_it(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    mmsr_geo.batch(job(folder))
    assert not caplog.records  # below WARNING nothing is heard that was not asked for
    caplog.set_level(logging.INFO, "mmsr_geo.jobs")
    mmsr_geo.batch(job(folder), restart=True)
    done = [record for record in caplog.records if record.getMessage().startswith("pair done")]
    assert [vars(record)["pair"] for record in done] == list(DATES)


def test_what_stands_in_names_and_messages_makes_no_second_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # pytest would collect what is logged, and xdist could not send it.
    monkeypatch.setattr(logging.getLogger("mmsr_geo.jobs"), "propagate", False)
    with open_log(tmp_path / "job.toml") as logger:
        logging.LoggerAdapter(logger, {"pair": "a\tb\nc\x1b[31m"}).error("one\r\ntwo \udcff %d", 3)
        logger.info("plain")
    assert [line[1:] for line in logged(tmp_path)] == [["a b c [31m", "one  two   3"], [NO_PAIR, "plain"]]


def test_a_log_that_cannot_be_written_is_reported_and_the_job_goes_on(folder: Path) -> None:
    (folder / "job.log").mkdir()
    with pytest.warns(mmsr_geo.MmsrWarning, match=r"job\.log cannot be written \(Is a directory\)"):
        assert mmsr_geo.batch(job(folder)).count("done") == 3


# What fails and is skipped.


def test_on_error_goes_before_the_job_file(folder: Path, here: Command) -> None:
    (folder / "thermal" / f"{DATES[0]}.tif").write_bytes(b"no raster")
    job(folder)
    status, _, reported = here("batch", "job.toml", "--progress", "none")
    assert (status, "--on-error skip" in reported) == (2, True)
    with pytest.warns(mmsr_geo.MmsrWarning, match="cannot be opened"):
        assert mmsr_geo.batch("job.toml", on_error="skip").count("done") == 2
    job(folder, 'on_error = "skip"\n' + SMOOTH)
    assert here("batch", "job.toml", "--progress", "none")[0] == 1
    assert here("batch", "job.toml", "--progress", "none", "--on-error", "stop")[0] == 2
    with rasterio.open(folder / "out" / f"{DATES[1]}.tif") as dataset:
        assert np.isfinite(dataset.read()).all()


# Its status.


def shown_status(here: Command, *words: str) -> str:
    status, reported, _ = here("status", "job.toml", *words)
    assert status == 0
    return reported


def test_status_shows_tiles_and_rate_and_what_fails(
    folder: Path, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_bad_tiles(folder, DATES[1])
    (folder / "thermal" / f"{DATES[0]}.tif").write_bytes(b"no raster")
    job(folder)
    assert here("batch", "job.toml", "--progress", "none", "--on-error", "skip")[0] == 1
    reported = json.loads(shown_status(here, "--json"))
    failed, incomplete, done = reported["pairs"]
    assert [pair["state"] for pair in reported["pairs"]] == ["failed", "incomplete", "done"]
    assert (incomplete["tiles"], incomplete["tiles_done"]) == (12, 12 - incomplete["tiles_failed"])
    assert incomplete["failures"][0]["message"] in incomplete["message"]
    assert incomplete["tiles_a_second"] > 0
    assert incomplete["last_tile_at"] > 1.7e9
    assert set(done["stage_seconds"]) == {"fit", "tiles", "write"}
    assert 0 < done["stage_seconds"]["tiles"] < done["seconds"]
    assert reported["seconds_left"] > 0
    monkeypatch.setenv("COLUMNS", "80")
    text = shown_status(here)
    assert max(map(len, text.splitlines())) <= 80
    lines = [line.split() for line in text.splitlines()]
    rows = [line[:3] for line in lines if line[:1] in [[date] for date in DATES]]
    assert rows[0][:2] == [DATES[0], "failed"]
    assert rows[1] == [DATES[1], "incomplete", f"{incomplete['tiles_done']}/12"]
    assert rows[2] == [DATES[2], "done", "6/6"]
    assert "".join(text.split()).count("".join(failed["message"].split())) == 1
    assert "1 done, 1 incomplete, 1 failed, 2 left, about" in text


def of_many(standing: PairState, number: int) -> PairStatus:
    entry = Entry(f"LC08_014032_{number:04d} [red]", "s.tif", ("g.tif",), Path("o.tif"), None, {})
    message = "it cannot be opened as a raster: check the path and the format" if standing == "failed" else ""
    line = (
        JournalEntry(entry.name, "key", "done", 60.0, message, {"tiles": 64})
        if standing in {"done", "failed"}
        else None
    )
    begun = {"tiles_done": 16, "tiles": 64, "tiles_a_second": 0.5} if standing == "begun" else {}
    return PairStatus(entry, standing, line, **begun)  # type: ignore[arg-type]  # by their names


def test_a_status_of_many_pairs_shows_first_what_is_not_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    counts: dict[PairState, int] = {"done": 120, "begun": 2, "failed": 8, "waiting": 70}
    kinds = [standing for standing, count in counts.items() for _ in range(count)]
    status = JobStatus(tuple(of_many(standing, number) for number, standing in enumerate(kinds)))
    show_status(status)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) < 60
    rows = [line.split()[2] for line in lines if line.startswith(" LC08") and line.split()[1] == "[red]"]
    assert rows == ["failed"] * 8 + ["begun"] * 2 + ["waiting"] * 5
    assert any("16/64 30 2 min left" in " ".join(line.split()) for line in lines)
    assert "and 185 more pairs: 65 waiting, 120 done. --all shows them." in lines
    assert "  and 3 more pairs that failed. --all shows why." in lines
    # 48 tiles of each of two at 0.5 a second, 78 pairs of a minute.
    assert lines[-1] == "120 done, 8 failed, 80 left, about 81 min left if they run one after the other."
    assert status.as_dict()["seconds_left"] == 2 * 96 + 78 * 60
    show_status(status, everything=True)
    assert capsys.readouterr().out.count(" LC08_014032") == 200 + 8


def test_the_rate_leaves_out_the_time_between_two_runs() -> None:
    def made(at: float) -> TileRecord:
        return TileRecord("target", 1, 0, "", "", 1, seconds=4.0, at=at)

    evening = [made(100 + 2 * number) for number in range(10)]
    morning = [made(40_000 + 2 * number) for number in range(10)]
    assert _tiles_a_second(evening) == 0.5
    assert _tiles_a_second([*morning, *evening]) == 0.5
    assert _tiles_a_second(evening[:1]) is None


# Its lines on the terminal and for machines.


def test_each_event_of_a_stage_names_its_pair(folder: Path, here: Command) -> None:
    (folder / "thermal" / f"{DATES[1]}.tif").write_bytes(b"no raster")
    job(folder)
    status, reported, _ = here("batch", "job.toml", "--progress", "json", "--on-error", "skip", "--workers", 2)
    assert status == 1
    events = [json.loads(line) for line in reported.splitlines()]
    stages = [event for event in events if event["event"] in {"stage", "progress"} and event["stage"] != "pairs"]
    assert {event["pair"] for event in stages} == {DATES[0], DATES[2]}
    for date in (DATES[0], DATES[2]):
        done = [
            event["done"]
            for event in stages
            if (event["pair"], event["stage"]) == (date, "predict") and "done" in event
        ]
        assert done == sorted(done)
        assert done[-1] == 6
    ended = {event["pair"]: event for event in events if event["event"] == "pair_ended"}
    assert {name: event["state"] for name, event in ended.items()} == {
        DATES[0]: "done",
        DATES[1]: "failed",
        DATES[2]: "done",
    }
    assert ended[DATES[0]]["tiles"] == 6
    assert "cannot be opened" in ended[DATES[1]]["message"]
    pairs = [event["done"] for event in events if event["event"] == "progress" and event["stage"] == "pairs"]
    assert pairs == sorted(pairs)
    assert pairs[-1] == 3


def drawn(monkeypatch: pytest.MonkeyPatch, height: int) -> tuple[progress.RichDisplay, Callable[[], list[str]]]:
    """A display on a terminal of 80 columns, and what it shows now."""
    console = Console(file=io.StringIO(), width=80, height=height, force_terminal=True, color_system=None)
    monkeypatch.setattr(progress, "Console", lambda **_: console)
    shown = progress.RichDisplay()

    def lines() -> list[str]:
        with console.capture() as caught:
            console.print(shown._progress.get_renderable())
        return [line.rstrip() for line in caught.get().splitlines()]

    return shown, lines


def test_each_pair_under_way_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, lines = drawn(monkeypatch, 24)
    shown("pairs", 0, 3)
    long = "LC08_L2SP_014032_20200718_20210330_02_T1"
    first, second = shown.pair(long), shown.pair("[b]2[/] \x1b[31m")
    for done in range(20):
        first("fit", done, 100)
        second("predict", done, 64)
    first("band 2 of 3: predict", 1, 64)
    assert max(map(len, lines())) <= 80
    pairs, one, two = lines()
    assert " pairs " in pairs
    assert "LC08_" in one
    assert "_T1: 2/3 tiles" in one
    assert " 1/64 " in one
    assert "[b]2[/]  [31m: tiles" in two
    assert "19/64" in two
    facts = {"tiles": 64, "scale": "4", "guide_check": ["helped"], "guide_gain": [0.231]}
    shown.pair_ended(long, "done", seconds=12.3, **facts)
    first("predict", 3, 64)  # late news of it
    assert [line for line in lines() if "LC08" in line] == []
    shown.pair_ended("3", "failed", seconds=0.1, message="reported elsewhere")
    out = shown._progress.console.file
    assert isinstance(out, io.StringIO)
    assert [line.strip() for line in out.getvalue().splitlines()] == [
        f"✓ {long}, 12 s, 64 tiles, scale 4, guide: helped (+0.23)",
        "✗ 3 failed, 0 s",
    ]


def test_more_pairs_than_a_terminal_has_lines_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, lines = drawn(monkeypatch, 8)
    shown("pairs", 0, 40)
    for number in range(20):
        shown.pair(f"p{number}")("fit", 1, 10)
    assert len(lines()) == 5
    assert "pairs (16 more pairs are being computed)" in lines()[0]
    for number in range(16):
        shown.pair_ended(f"p{number}", "done", seconds=1.0)
    assert [line.split(":")[0].split()[-1] for line in lines()[1:]] == ["p16", "p17", "p18", "p19"]
    assert "under way" not in lines()[0]
