"""Jobs of many pairs: the job file, what is done once and not again, what fails, and a kill in between."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import mmsr_geo
from mmsr_geo.api import plan_batch
from mmsr_geo.jobs.fingerprint import key_of
from mmsr_geo.jobs.job import Entry, Job
from mmsr_geo.jobs.journal import Journal, JournalEntry
from mmsr_geo.jobs.schema import EXAMPLE
from mmsr_geo.pipeline.inputs import Inputs
from mmsr_geo.pipeline.plan import Plan
from support.command import CommandResult
from support.rasters import SENTINEL_GUIDE, sentinel_crop

pytestmark = pytest.mark.slow

Command = Callable[..., CommandResult]
SMOOTH = '[options]\nscale = 4\nmethod = "bicubic+consistency"\n'
MANY = 'output = "out/{name}.tif"\n[[pairs]]\nsource = "thermal/{key}_st.tif"\nguide = "optical/{key}_b*.tif"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three dates: a source each, and a guide in two files."""
    (tmp_path / "thermal").mkdir()
    (tmp_path / "optical").mkdir()
    for number, date in enumerate(("2024-06", "2024-07", "2024-08")):
        sentinel_crop(8 * number, 0, 16, 18, 4).source.rio.to_raster(tmp_path / "thermal" / f"{date}_st.tif")
        for band in (1, 2):
            (tmp_path / "optical" / f"{date}_b{band}.tif").symlink_to(SENTINEL_GUIDE)
    return tmp_path


def job(folder: Path, text: str) -> Path:
    path = folder / "job.toml"
    path.write_text(text)
    return path


def values(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return np.asarray(dataset.read())


def test_the_example_is_a_job(folder: Path, here: Command) -> None:
    shutil.copy(folder / "thermal" / "2024-06_st.tif", folder / "dem.tif")
    (folder / "ortho.tif").symlink_to(SENTINEL_GUIDE)
    status, reported, _ = here("batch", "job.toml", "--init")
    assert (status, Path("job.toml").read_text()) == (0, EXAMPLE)
    assert "--dry-run" in reported
    (entry,) = Job.read(Path("job.toml")).entries
    assert (entry.name, entry.output) == ("dem", folder / "sharp" / "dem.tif")
    assert entry.options == {"scale": 4}
    status, _, reported = here("batch", "job.toml", "--init")
    assert (status, reported.count("\n")) == (2, 1)
    assert "job.toml exists" in reported
    status, reported, _ = here("batch", "job.toml", "--dry-run")
    assert status == 0
    assert "64 px" in reported
    assert "1 pair takes at most " in reported
    assert not (folder / "sharp").exists()


def test_sources_and_guides_are_matched_by_their_key(folder: Path) -> None:
    (folder / "optical" / "2024-09_b1.tif").symlink_to(SENTINEL_GUIDE)
    read = Job.read(job(folder, MANY + SMOOTH))
    assert [entry.name for entry in read.entries] == ["2024-06", "2024-07", "2024-08"]
    first = read.entries[0]
    assert first.source == str(folder / "thermal" / "2024-06_st.tif")
    assert first.guides == tuple(str(folder / "optical" / f"2024-06_b{band}.tif") for band in (1, 2))
    assert first.output == folder / "out" / "2024-06.tif"


def test_all_mistakes_are_reported_at_once_each_with_its_position(folder: Path, here: Command) -> None:
    text = 'output = "out.tif"\nwho = 1\n[[pairs]]\nsource = "a.tif"\n[options]\n'
    text += 'scales = 4\nmask_share = 2\nfit = "quick"\n'
    with pytest.raises(mmsr_geo.JobError) as caught:
        Job.read(job(folder, text))
    said = str(caught.value)
    assert said.startswith(f"{folder / 'job.toml'} has 5 mistakes: ")
    for place in (
        "who: ",
        "pairs[0].guide: field required",
        "options.scales: ",
        "options.mask_share: ",
        "options.fit: ",
    ):
        assert place in said
    status, _, reported = here("batch", "job.toml", "--progress", "none")
    assert status == 2
    assert reported.count("\n") == 1
    assert "5 mistakes" in reported


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'output = "o.tif"\n[[pairs]]\nsource = "no.tif"\nguide = "none_*.tif"\n',
            "pairs[0].source: there is no file no.tif",
        ),
        (
            'output = "o.tif"\n[[pairs]]\nsource = "no.tif"\nguide = "none_*.tif"\n',
            "pairs[0].guide: there is no file none_*",
        ),
        ('output = "o.tif"\n[[pairs]]\nsource = "x/{key}.tif"\nguide = "a_{key}.tif"\n', "no file matches x/{key}.tif"),
        ('output = "o.tif"\n[[pairs]]\nsource = "x/{key}.tif"\nguide = "a.tif"\n', "write it in both"),
        (MANY.replace("{name}", "one"), "all 3 pairs would be written to out/one.tif: add {name} to it"),
        (
            MANY + '[[pairs]]\nname = "2024-06"\nsource = "job.toml"\nguide = "job.toml"\n',
            "several pairs have the same name (2024-06)",
        ),
        (MANY + "[options\n", "is not valid TOML"),
        (
            MANY.replace("out/{name}", "o/{name}").replace("[[", 'qa = "o/{name}.tif"\n[[', 1),
            "qa: o/{name}.tif is the output: choose another file",
        ),
        (MANY + SMOOTH + "uncertainty = true\n", 'options.uncertainty needs method = "mmsr" and fit = "scene"'),
        (MANY + '[options]\nfit = "tile"\nuncertainty = true\n', "which calibrate it: change these, or remove it"),
    ],
)
def test_each_mistake_says_what_to_do(folder: Path, text: str, said: str) -> None:
    with pytest.raises(mmsr_geo.JobError) as caught:
        Job.read(job(folder, text))
    assert said in str(caught.value)


def test_a_job_is_done_once(folder: Path, here: Command) -> None:
    job(folder, MANY.replace("[[", 'qa = "out/{name}_qa.tif"\n[[', 1) + SMOOTH)
    status, reported, _ = here("status", "job.toml", "--json")
    assert (status, json.loads(reported)["left"]) == (0, 3)
    status, reported, _ = here("batch", "job.toml", "--progress", "json")
    assert status == 0
    events = [json.loads(line) for line in reported.splitlines()]
    assert [event["name"] for event in events if event["event"] == "pair"] == ["2024-06", "2024-07", "2024-08"]
    assert events[-1]["done"] == 3
    guide = [folder / "optical" / f"2024-07_b{band}.tif" for band in (1, 2)]
    alone = mmsr_geo.upsample(folder / "thermal" / "2024-07_st.tif", guide, 4, method="bicubic+consistency").values
    assert (values(folder / "out" / "2024-07.tif")[0] == alone).all()
    made = {path: path.stat().st_mtime_ns for path in (folder / "out").iterdir()}
    assert len(made) == 6
    assert here("batch", "job.toml", "--progress", "none")[0] == 0
    assert {path: path.stat().st_mtime_ns for path in (folder / "out").iterdir()} == made

    # Another source: that pair alone is done again, and so is one whose output has gone.
    sentinel_crop(30, 30, 16, 18, 4).source.rio.to_raster(folder / "thermal" / "2024-07_st.tif")
    (folder / "out" / "2024-08_qa.tif").unlink()
    standing = {pair["name"]: pair["state"] for pair in json.loads(here("status", "job.toml", "--json")[1])["pairs"]}
    assert standing == {"2024-06": "done", "2024-07": "changed", "2024-08": "waiting"}
    assert here("batch", "job.toml", "--progress", "none")[0] == 0
    now = {path: path.stat().st_mtime_ns for path in (folder / "out").iterdir()}
    assert {path.name for path in now if now[path] == made.get(path)} == {"2024-06.tif", "2024-06_qa.tif"}
    assert not np.array_equal(values(folder / "out" / "2024-07.tif")[0], alone)

    # Other options: all of them; and once more on request.
    job(folder, MANY + SMOOTH.replace("bicubic", "bilinear"))
    assert json.loads(here("status", "job.toml", "--json")[1])["done"] == 0
    assert here("batch", "job.toml", "--progress", "none")[0] == 0
    before = (folder / "out" / "2024-06.tif").stat().st_mtime_ns
    assert here("batch", "job.toml", "--progress", "none", "--restart")[0] == 0
    assert (folder / "out" / "2024-06.tif").stat().st_mtime_ns > before
    status, reported, _ = here("status", "job.toml")
    assert status == 0
    assert "3 done, 0 failed, 0 left." in reported


def test_a_pair_that_fails_is_reported_and_the_others_go_on_if_asked(folder: Path, here: Command) -> None:
    bad = folder / "thermal" / "2024-07_st.tif"
    good = bad.read_bytes()
    bad.write_bytes(b"no raster")
    job(folder, MANY + SMOOTH)
    status, _, reported = here("batch", "job.toml", "--progress", "none")
    assert status == 2
    assert reported.count("\n") == 1
    assert "2024-07: " in reported
    assert "cannot be opened" in reported
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["2024-06.tif"]
    job(folder, 'on_error = "skip"\n' + MANY + SMOOTH)
    status, reported, _ = here("batch", "job.toml", "--progress", "rich")
    assert status == 1
    assert "2 done, 1 failed, 1 left" in reported
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["2024-06.tif", "2024-08.tif"]
    bad.write_bytes(good)
    assert here("batch", "job.toml", "--progress", "none")[0] == 0
    assert mmsr_geo.status(folder / "job.toml").count("done") == 3


def odd_in(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    """Let the opening of a pair whose source has a word in its name raise what no one has foreseen."""
    pair = Inputs.pair

    def odd(self: Inputs, source: Any, *rest: Any, **more: Any) -> Any:
        if word in source.name:
            raise KeyError("lat")
        return pair(self, source, *rest, **more)

    monkeypatch.setattr(Inputs, "pair", odd)


def test_an_unforeseen_error_is_the_pairs_failure_and_the_log_has_its_traceback(
    folder: Path, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd_in(monkeypatch, "2024-06")
    job(folder, 'on_error = "skip"\n' + MANY + SMOOTH)
    status, _, reported = here("batch", "job.toml", "--progress", "none")
    assert status == 1
    assert "Traceback" not in reported
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["2024-07.tif", "2024-08.tif"]
    line = Journal.of(folder / "job.toml").last()["2024-06"]
    assert line.state == "failed"
    assert line.message == "KeyError: 'lat' (unforeseen: job.log has the traceback to report it with)"
    logged = [line.split("\t") for line in (folder / "job.log").read_text().splitlines()]
    said = [message for _, _, pair, message in logged if pair == "2024-06"]
    assert "Traceback (most recent call last):" in said
    assert said[-1] == "KeyError: 'lat'"
    job(folder, MANY + SMOOTH)
    status, _, reported = here("batch", "job.toml", "--progress", "none")
    assert status == 2
    assert reported.startswith("Error: 2024-06: KeyError: 'lat'")
    assert reported.count("\n") == 1


def test_a_check_goes_on_after_a_pair_that_fails_if_asked(
    folder: Path, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd_in(monkeypatch, "2024-06")
    (folder / "thermal" / "2024-07_st.tif").write_bytes(b"no raster")
    job(folder, MANY + SMOOTH)
    assert here("batch", "job.toml", "--dry-run")[0] == 2
    status, reported, _ = here("batch", "job.toml", "--dry-run", "--on-error", "skip")
    assert status == 1
    assert "1 pair takes at most" in reported
    assert "2024-06 fails: KeyError: 'lat'" in reported
    assert "2024-07 fails: " in reported
    assert "cannot be opened" in reported
    assert "Traceback (most recent call last):" in (folder / "job.log").read_text()
    assert not (folder / "out").exists()
    plans = dict(zip("678", (found for _, found in plan_batch(folder / "job.toml", on_error="skip")), strict=True))
    assert isinstance(plans["6"], mmsr_geo.JobError)
    assert isinstance(plans["7"], mmsr_geo.InputError)
    assert isinstance(plans["8"], Plan)


def test_an_exception_of_a_callers_function_ends_the_job(folder: Path) -> None:
    def stop(entry: Entry, done: int, total: int) -> Any:  # noqa: ARG001  (as it is called)
        raise InterruptedError(entry.name)

    job(folder, 'on_error = "skip"\n' + MANY + SMOOTH)
    with pytest.raises(InterruptedError, match="2024-06"):
        mmsr_geo.batch(folder / "job.toml", progress=stop)
    with pytest.raises(InterruptedError, match="2024-06"):
        mmsr_geo.batch(folder / "job.toml", on_pair_end=lambda entry, _line: stop(entry, 0, 0))


def test_what_others_have_made_is_not_replaced(folder: Path, here: Command) -> None:
    (folder / "out").mkdir()
    theirs = folder / "out" / "2024-06.tif"
    theirs.write_bytes(b"a year's work")
    job(folder, MANY + SMOOTH)
    status, _, reported = here("batch", "job.toml", "--progress", "none")
    assert (status, theirs.read_bytes()) == (2, b"a year's work")
    assert "2024-06.tif exists" in reported
    assert here("batch", "job.toml", "--progress", "none", "--overwrite")[0] == 0
    assert values(theirs).shape == (1, 64, 72)


@pytest.mark.parametrize("of", ["output", "qa"])
def test_another_output_pattern_does_not_make_foreign_files_the_jobs_own(folder: Path, here: Command, of: str) -> None:
    text = MANY.replace("[[", 'qa = "out/{name}_qa.tif"\n[[', 1) + SMOOTH
    job(folder, text)
    assert here("batch", "job.toml", "--progress", "none")[0] == 0
    (folder / "theirs").mkdir()
    theirs = folder / "theirs" / ("2024-06.tif" if of == "output" else "2024-06_qa.tif")
    theirs.write_bytes(b"a year's work")
    name = "{name}.tif" if of == "output" else "{name}_qa.tif"
    job(folder, text.replace(f"out/{name}", f"theirs/{name}"))
    for _ in range(2):  # what was refused once is not the job's own by that
        status, _, reported = here("batch", "job.toml", "--progress", "none")
        assert (status, theirs.read_bytes()) == (2, b"a year's work")
        assert f"{theirs.name} exists" in reported
    theirs.unlink()
    assert here("batch", "job.toml", "--progress", "none")[0] == 0
    job(folder, text)  # back again: these are its own
    assert here("batch", "job.toml", "--progress", "none")[0] == 0


def test_a_pair_that_failed_has_made_nothing(folder: Path, here: Command) -> None:
    source = folder / "thermal" / "2024-06_st.tif"
    good = source.read_bytes()
    source.write_bytes(b"no raster")
    job(folder, MANY + SMOOTH)
    assert here("batch", "job.toml", "--progress", "none")[0] == 2
    source.write_bytes(good)
    theirs = folder / "out" / "2024-06.tif"
    theirs.write_bytes(b"a year's work")
    assert here("batch", "job.toml", "--progress", "none")[0] == 2
    assert theirs.read_bytes() == b"a year's work"


def test_a_job_whose_folder_was_moved_replaces_its_own(folder: Path) -> None:
    for name in ("thermal", "optical"):
        (folder / "here" / name).parent.mkdir(exist_ok=True)
        (folder / name).rename(folder / "here" / name)
    assert mmsr_geo.batch(job(folder / "here", MANY + SMOOTH)).count("done") == 3
    (folder / "here").rename(folder / "there")
    assert mmsr_geo.status(folder / "there" / "job.toml").count("changed") == 3
    assert mmsr_geo.batch(folder / "there" / "job.toml").count("done") == 3


class Killed(BaseException):
    """A kill, as far as one process can play it: nothing is written after it."""


def killed_at(monkeypatch: pytest.MonkeyPatch, state: str, name: str) -> None:
    """Be killed before the record's line of that state and name."""
    append = Journal.append

    def dying(record: Journal, line: JournalEntry) -> None:
        if (line.state, line.name) == (state, name):
            raise Killed
        append(record, line)

    monkeypatch.setattr(Journal, "append", dying)


def test_a_kill_between_an_output_and_its_line_leaves_the_jobs_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = job(folder, MANY.replace("[[", 'qa = "out/{name}_qa.tif"\n[[', 1) + SMOOTH)
    with monkeypatch.context() as patch:
        killed_at(patch, "done", "2024-07")
        with pytest.raises(Killed):
            mmsr_geo.batch(path)
    assert (folder / "out" / "2024-07.tif").exists()
    reported = mmsr_geo.status(path)
    assert [(pair.state, pair.line is None) for pair in reported.pairs] == [
        ("done", False),
        ("begun", True),
        ("waiting", True),
    ]
    before = (folder / "out" / "2024-06.tif").stat().st_mtime_ns
    # A later failure does not take away what may have appeared before it.
    source = folder / "thermal" / "2024-07_st.tif"
    good = source.read_bytes()
    source.write_bytes(b"no raster")
    with pytest.raises(mmsr_geo.JobError, match="cannot be opened"):
        mmsr_geo.batch(path)
    source.write_bytes(good)
    assert mmsr_geo.batch(path).count("done") == 3
    assert (folder / "out" / "2024-06.tif").stat().st_mtime_ns == before


@pytest.mark.parametrize("state", ["begun", "done"])
def test_a_kill_during_a_restart_leaves_the_jobs_own(folder: Path, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    path = job(folder, MANY + SMOOTH)
    assert mmsr_geo.batch(path).count("done") == 3
    before = {file.name: file.stat().st_mtime_ns for file in (folder / "out").iterdir()}
    with monkeypatch.context() as patch:
        killed_at(patch, state, "2024-07")
        with pytest.raises(Killed):
            mmsr_geo.batch(path, restart=True)
    assert [pair.state for pair in mmsr_geo.status(path).pairs] == [
        "done",
        "begun" if state == "done" else "waiting",
        "waiting",
    ]
    first = (folder / "out" / "2024-06.tif").stat().st_mtime_ns
    assert first > before["2024-06.tif"]
    assert mmsr_geo.batch(path).count("done") == 3
    after = {file.name: file.stat().st_mtime_ns for file in (folder / "out").iterdir()}
    assert after["2024-06.tif"] == first
    assert all(after[name] > before[name] for name in before)


@pytest.mark.parametrize("changed", ["qa.tif", "qa.tif.aux.xml", "dem.tif.msk", "ortho.tif.ovr"])
def test_a_mask_and_what_stands_beside_a_file_are_of_the_pairs_state(folder: Path, changed: str) -> None:
    shutil.copy(folder / "thermal" / "2024-06_st.tif", folder / "dem.tif")
    (folder / "ortho.tif").symlink_to(SENTINEL_GUIDE)
    (folder / "qa.tif").write_bytes(b"bits")
    text = 'output = "o.tif"\n[[pairs]]\nsource = "dem.tif"\nguide = "ortho.tif"\n'
    path = job(folder, text + '[options]\nguide_mask = "qa.tif:0,3"\n')
    key = key_of(Job.read(path).entries[0])
    assert key_of(Job.read(path).entries[0]) == key
    (folder / changed).write_bytes(b"other bits")
    assert key_of(Job.read(path).entries[0]) != key


def test_guide_bands_and_derivations_name_guides_as_given(folder: Path) -> None:
    text = MANY.replace("optical/{key}_b*", "optical/{key}_b1") + SMOOTH
    text += 'guide_band = ["optical/{key}_b1.tif:1", "{key}_b1.tif:3,2", "1"]\n'
    text += (
        'derive = ["ndvi:nir=optical/{key}_b1.tif:4,red={key}_b1.tif:3", "slope:optical/{key}_b1.tif:1", "aspect:1"]\n'
    )
    first = Job.read(job(folder, text)).entries[0]
    guide = folder / "optical" / "2024-06_b1.tif"
    assert first.guides == (str(guide),)
    assert first.options["guide_band"] == (f"{guide}:1", "2024-06_b1.tif:3,2", "1")
    assert first.options["derive"] == (
        f"ndvi:nir={guide}:4,red=2024-06_b1.tif:3",
        f"slope:dem={guide}:1",
        "aspect:1",
    )
    text = MANY + SMOOTH + 'guide_band = ["optical/{key}_b1.tif:1", "{key}_b2.tif:2"]\n'
    assert mmsr_geo.batch(job(folder, text)).count("done") == 3


def test_a_single_guide_band_stays_as_it_is(folder: Path) -> None:
    options = Job.read(job(folder, MANY + SMOOTH + 'guide_band = 2\nderive = "nonsense:x=y:1"\n')).entries[0].options
    assert (options["guide_band"], options["derive"]) == (2, "nonsense:x=y:1")


def test_paths_that_are_there_are_no_patterns(folder: Path) -> None:
    shutil.copy(folder / "thermal" / "2024-06_st.tif", folder / "s[1].tif")
    (folder / "o[1]").mkdir()
    (folder / "o[1]" / "g[1].tif").symlink_to(SENTINEL_GUIDE)
    (folder / "t[1]").mkdir()
    shutil.copy(folder / "thermal" / "2024-06_st.tif", folder / "t[1]" / "1_t.tif")
    text = 'output = "out/{name}.tif"\n[[pairs]]\nsource = "s[1].tif"\nguide = "o[1]/g[1].tif"\n'
    text += '[[pairs]]\nsource = "t[1]/{key}_t.tif"\nguide = "o[1]/g[{key}].tif"\n'
    first, second = Job.read(job(folder, text)).entries
    guides = (str(folder / "o[1]" / "g[1].tif"),)
    assert (first.source, first.guides) == (str(folder / "s[1].tif"), guides)
    assert (second.name, second.source, second.guides) == ("1", str(folder / "t[1]" / "1_t.tif"), guides)


@pytest.mark.parametrize(
    "name", ["GTIFF_DIR:1:/data/x.tif", "netcdf:/data/x.nc:v", 'NETCDF:"/data/x[1].nc":v', "/vsizip/x.zip/x.tif"]
)
def test_names_that_gdal_alone_knows_stay_as_they_are(folder: Path, name: str) -> None:
    text = f"output = \"o.tif\"\n[[pairs]]\nname = \"n\"\nsource = '{name}'\nguide = ['{name}']\n"
    text += f"[options]\nguide_mask = '{name}:3'\nlike = '{name}'\n"
    (entry,) = Job.read(job(folder, text)).entries
    assert (entry.source, entry.guides) == (name, (name,))
    assert entry.options == {"guide_mask": f"{name}:3", "like": name}


def test_a_subdataset_is_sharpened(folder: Path) -> None:
    source, guide = (f"GTIFF_DIR:1:{file}" for file in (folder / "thermal" / "2024-06_st.tif", SENTINEL_GUIDE))
    text = f'output = "o.tif"\n[[pairs]]\nname = "n"\nsource = "{source}"\nguide = "{guide}"\n'
    assert mmsr_geo.batch(job(folder, text + SMOOTH)).count("done") == 1


@pytest.mark.parametrize("of", ["output", "qa"])
def test_a_folder_that_cannot_be_made_is_the_pairs_failure(folder: Path, here: Command, of: str) -> None:
    (folder / "taken").write_bytes(b"a file")
    text = 'on_error = "skip"\n' + MANY.replace("[[", 'qa = "flags/{name}.tif"\n[[', 1) + SMOOTH
    job(folder, text.replace("out/" if of == "output" else "flags/", "taken/"))
    status, _, reported = here("batch", "job.toml", "--progress", "none")
    assert status == 1
    assert "Traceback" not in reported
    standing = mmsr_geo.status("job.toml")
    assert standing.count("failed") == 3
    line = standing.pairs[0].line
    assert line is not None
    assert line.message.startswith(f"the folder {folder / 'taken'} cannot be created (File exists): ")
    job(folder, (folder / "job.toml").read_text().replace("skip", "stop"))
    status, _, reported = here("batch", "job.toml", "--progress", "none")
    assert (status, reported.count("\n")) == (2, 1)


def test_missing_files_of_options_are_reported_with_the_others(folder: Path) -> None:
    (folder / "optical" / "2024-06_qa.tif").write_bytes(b"bits")
    (folder / "water.tif").write_bytes(b"bits")
    text = MANY.replace("optical", "gone", 1) + '[options]\nguide_mask = "optical/{key}_qa.tif:1,3"\n'
    text += 'source_mask = "water.tif:0"\nmodel = "none.mmsr"\nlike = "grid.tif"\n'
    with pytest.raises(mmsr_geo.JobError) as caught:
        Job.read(job(folder, text))
    said = str(caught.value)
    assert "has 7 mistakes: " in said
    assert said.count("guide: there is no file gone/") == 3
    for month in (7, 8):
        assert f"options.guide_mask: there is no file optical/2024-0{month}_qa.tif" in said
    assert said.count("options.model: there is no file none.mmsr") == 1
    assert said.count("options.like: there is no file grid.tif") == 1
    assert "source_mask" not in said


def test_a_record_survives_a_line_that_was_cut_off(tmp_path: Path) -> None:
    record = Journal.of(tmp_path / "job.toml")
    assert not record.last()
    record.append(JournalEntry("a", "1", "done", 2.5, facts={"tiles": 3}))
    whole = record.path.read_bytes()
    record.path.write_bytes(whole + whole[: len(whole) // 2])
    record.append(JournalEntry("b", "2", "failed", 1.0, "full", outputs=("out/b.tif",)))
    assert list(record.lines()) == [
        JournalEntry("a", "1", "done", 2.5, facts={"tiles": 3}),
        JournalEntry("b", "2", "failed", 1.0, "full", outputs=("out/b.tif",)),
    ]


@pytest.mark.faults
def test_a_killed_job_goes_on_from_what_is_done(folder: Path) -> None:
    path = job(folder, MANY + '[options]\nscale = 4\nsteps = 12\nthreads = 1\nseed = 3\nif_unhelpful = "warn"\n')
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "mmsr_geo", "batch", str(path), "--progress", "json"]
    events: list[dict[str, Any]] = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder) as process:
        assert process.stdout is not None
        for line in process.stdout:
            events.append(json.loads(line))
            if events[-1].get("name") == "2024-07":
                time.sleep(0.3)
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert [path.name for path in (folder / "out").glob("*.tif")] == ["2024-06.tif"]
    first = (folder / "out" / "2024-06.tif").stat().st_mtime_ns
    done = mmsr_geo.batch(path)
    assert done.count("done") == 3
    assert (folder / "out" / "2024-06.tif").stat().st_mtime_ns == first
    assert {path.name for path in (folder / "out").iterdir() if path.suffix == ".tif"} == {
        f"2024-0{month}.tif" for month in (6, 7, 8)
    }
    # During a restart: what was made before is the job's own still.
    with subprocess.Popen(
        [*words, "--restart"], stdout=subprocess.PIPE, text=True, env=environment, cwd=folder
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("name") == "2024-07":
                time.sleep(0.3)
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    first_two, third = [pair.state for pair in mmsr_geo.status(path).pairs][:2], mmsr_geo.status(path).pairs[2]
    assert (first_two[0], third.state) == ("done", "waiting")
    assert first_two[1] in {"begun", "waiting"}  # whether a tile's folder was there already
    assert mmsr_geo.batch(path).count("done") == 3
    (folder / "again").mkdir()
    whole = job(folder, path.read_text().replace("out/", "again/"))
    assert mmsr_geo.batch(whole).count("done") == 3
    for month in (6, 7, 8):
        name = f"2024-0{month}.tif"
        assert (values(folder / "again" / name) == values(folder / "out" / name)).all()


# As on Windows.


def test_names_that_differ_by_case_are_refused_where_files_do_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = "".join(f'[[pairs]]\nname = "{name}"\nsource = "job.toml"\nguide = "job.toml"\n' for name in ("a", "A"))
    path = job(folder, 'output = "{name}.tif"\n' + pairs)
    assert [entry.name for entry in Job.read(path).entries] == ["a", "A"]
    monkeypatch.setattr("os.path.normcase", str.lower)
    with pytest.raises(mmsr_geo.JobError, match=r"several pairs have the same name \(a\)"):
        Job.read(path)


def test_a_job_writes_to_another_drive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def across_drives(*_: object) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr("os.path.relpath", across_drives)
    path = job(folder, MANY + SMOOTH)
    for _ in range(2):  # its own are replaced, though their paths are absolute
        assert mmsr_geo.batch(path, restart=True).count("done") == 3
    assert str(folder / "out" / "2024-06.tif") in Journal.of(path).written_outputs()
