"""A job watched: its log, what fails and is skipped, its status, its lines on the terminal and for machines."""

from __future__ import annotations

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
from conftest import Told
from rasters import SENTINEL_GUIDE, sentinel_crop

import mmsr_geo
from mmsr_geo.jobs.joblog import NO_PAIR, log_beside

Command = Callable[..., Told]
JOB = """\
output = "out/{name}.tif"
[[pairs]]
source = "thermal/{key}.tif"
guide = "optical/{key}.tif"
[options]
scale = 4
"""
SMOOTH = JOB + 'method = "bicubic+consistency"\ntile_size = 32\n'
DATES = ("2024-06", "2024-07", "2024-08")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three dates of 16 x 18 source pixels, six tiles each."""
    (tmp_path / "thermal").mkdir()
    (tmp_path / "optical").mkdir()
    for number, date in enumerate(DATES):
        sentinel_crop(8 * number, 0, 16, 18, 4).source.rio.to_raster(tmp_path / "thermal" / f"{date}.tif")
        (tmp_path / "optical" / f"{date}.tif").symlink_to(SENTINEL_GUIDE)
    return tmp_path


def job(folder: Path, text: str = SMOOTH) -> Path:
    path = folder / "job.toml"
    path.write_text(text)
    return path


def with_bad_tiles(folder: Path, date: str) -> None:
    """Make a pair of 12 tiles and a guide of which a block cannot be read: the tiles that need it will fail."""
    sentinel_crop(0, 0, 32, 18, 4).source.rio.to_raster(folder / "thermal" / f"{date}.tif")
    guide = folder / "optical" / f"{date}.tif"
    with rasterio.open(SENTINEL_GUIDE) as dataset:
        values, profile = dataset.read(), dataset.profile
    guide.unlink()
    profile |= {
        "driver": "GTiff",
        "compress": "deflate",
        "tiled": True,
        "blockxsize": 32,
        "blockysize": 32,
        "nodata": 0,
    }
    with rasterio.open(guide, "w", **profile) as dataset:
        dataset.write(values)
    with rasterio.open(guide) as dataset:
        start, size = (int(dataset.get_tag_item(f"BLOCK_{what}_0_7", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    with guide.open("r+b") as file:
        file.seek(start)
        file.write(b"\0" * size)


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


def test_the_log_has_a_line_a_happening_and_is_appended_to(folder: Path, here: Command) -> None:
    (folder / "thermal" / f"{DATES[1]}.tif").write_bytes(b"no raster")
    job(folder, SMOOTH.replace("[[pairs]]", 'on_error = "skip"\n[[pairs]]'))
    assert here("batch", "job.toml", "--progress", "none")[0] == 1
    first, second, third = DATES
    said = happened(folder)
    assert said[0] == f"INFO - job begun in this process by mmsr_geo {mmsr_geo.__version__}: 0 of 3 pairs done already"
    assert f"INFO {first} pair begun: {folder / 'thermal' / first}.tif" in said
    assert f"INFO {first} fit done in 0 s" in said
    assert f"INFO {first} pair done in 0 s: 6 tiles, scale 4" in said
    assert f"INFO {third} pair done in 0 s: 6 tiles, scale 4" in said
    (failed,) = [line for line in said if line.startswith("ERROR")]
    assert failed.startswith(f"ERROR {second} pair failed after 0 s: ")
    assert "cannot be opened as a raster" in failed
    assert said[-2:] == ["INFO - 2 done, 1 failed, 1 left", "INFO - job ended after 0 s"]
    assert not any(line.startswith("WARNING") for line in said)  # a failure is told once
    assert here("batch", "job.toml", "--progress", "none")[0] == 1
    again = happened(folder)
    assert again[: len(said)] == said
    assert again[len(said)].endswith(": 2 of 3 pairs done already")


def test_the_log_tells_which_tiles_were_skipped_and_which_taken_over(folder: Path, here: Command) -> None:
    with_bad_tiles(folder, DATES[0])
    job(folder)
    status, _, told = here("batch", "job.toml", "--progress", "none", "--on-error", "skip")
    assert (status, told) == (1, "")
    skipped = [line for line in happened(folder) if "is skipped" in line]
    assert 0 < len(skipped) < 12
    assert all(line.startswith(f"WARNING {DATES[0]} tile ") for line in skipped)
    assert all("failed to be read" in line for line in skipped)
    (incomplete,) = [line for line in happened(folder) if "pair incomplete" in line]
    assert f"{len(skipped)} tiles failed and are holes" in incomplete
    before = len(happened(folder))
    assert here("batch", "job.toml", "--progress", "none")[0] == 2  # the job file does not say skip
    said = happened(folder)[before:]
    assert f"INFO {DATES[0]} {12 - len(skipped)} of 12 tiles taken over from before" in said
    assert said[-1].startswith("ERROR - job ended after 0 s: JobError ")


def test_warnings_and_fits_with_their_verdict_are_logged(folder: Path) -> None:
    source = sentinel_crop(0, 0, 64, 64, 4).source
    source[:8] = -9999
    source.rio.to_raster(folder / "thermal" / f"{DATES[0]}.tif")
    text = JOB.replace("{key}", DATES[0]) + 'steps = 4\nthreads = 1\nif_unhelpful = "warn"\n'
    with pytest.warns(mmsr_geo.MmsrWarning):
        assert mmsr_geo.batch(job(folder, text)).count("done") == 1
    said = happened(folder)
    assert any(line.startswith("WARNING - ") and "-9999" in line for line in said)
    (fit,) = [line for line in said if "fit done in" in line]
    assert re.search(r"fit done in 0 s: the guide (helped|did not help): one level down", fit)


def test_a_kill_leaves_the_lines(folder: Path) -> None:
    path = job(folder, JOB + "steps = 2000\nthreads = 1\n")
    words = [sys.executable, "-m", "mmsr_geo", "batch", str(path), "--progress", "json"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "progress" and event["stage"] in {"first stage", "fit"} and event["done"] > 3:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert [line[-1].split(" ")[1] for line in logged(folder)] == ["begun", "begun:"]
    assert mmsr_geo.batch(job(folder, SMOOTH)).count("done") == 3
    assert happened(folder)[-1] == "INFO - job ended after 0 s"


def test_the_log_is_pythons_too_as_its_user_has_it(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    mmsr_geo.batch(job(folder))
    assert not caplog.records  # below WARNING nothing is heard that was not asked for
    caplog.set_level(logging.INFO, "mmsr_geo.jobs")
    mmsr_geo.batch(job(folder), restart=True)
    done = [record for record in caplog.records if record.getMessage().startswith("pair done")]
    assert [vars(record)["pair"] for record in done] == list(DATES)


def test_what_stands_in_names_and_messages_makes_no_second_line(tmp_path: Path) -> None:
    with log_beside(tmp_path / "job.toml") as logger:
        logging.LoggerAdapter(logger, {"pair": "a\tb\nc\x1b[31m"}).error("one\r\ntwo \udcff %d", 3)
        logger.info("plain")
    assert [line[1:] for line in logged(tmp_path)] == [["a b c [31m", "one  two   3"], [NO_PAIR, "plain"]]


def test_a_log_that_cannot_be_written_is_told_and_the_job_goes_on(folder: Path) -> None:
    (folder / "job.log").mkdir()
    with pytest.warns(mmsr_geo.MmsrWarning, match=r"job\.log cannot be written \(Is a directory\)"):
        assert mmsr_geo.batch(job(folder)).count("done") == 3


# What fails and is skipped.


def test_on_error_goes_before_the_job_file(folder: Path, here: Command) -> None:
    (folder / "thermal" / f"{DATES[0]}.tif").write_bytes(b"no raster")
    job(folder)
    status, _, told = here("batch", "job.toml", "--progress", "none")
    assert (status, "--on-error skip" in told) == (2, True)
    with pytest.warns(mmsr_geo.MmsrWarning, match="cannot be opened"):
        assert mmsr_geo.batch("job.toml", on_error="skip").count("done") == 2
    job(folder, 'on_error = "skip"\n' + SMOOTH)
    assert here("batch", "job.toml", "--progress", "none")[0] == 1
    assert here("batch", "job.toml", "--progress", "none", "--on-error", "stop")[0] == 2
    with rasterio.open(folder / "out" / f"{DATES[1]}.tif") as dataset:
        assert np.isfinite(dataset.read()).all()
