"""Jobs of many pairs: the job file, what is done once and not again, what fails, and a kill in between."""

from __future__ import annotations

import inspect
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
from conftest import Told
from rasters import SENTINEL_GUIDE, sentinel_crop

import mmsr_geo
from mmsr_geo.jobs.jobfile import EXAMPLE, Job, Options
from mmsr_geo.jobs.record import Line, Record

Command = Callable[..., Told]
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


def test_the_options_are_those_of_upsample() -> None:
    given = inspect.signature(mmsr_geo.upsample_to_file).parameters
    elsewhere = {"source", "guide", "output", "qa", "params", "overwrite", "progress"}
    assert set(Options.model_fields) - {"steps", "threads"} == set(given) - elsewhere
    for name, field in Options.model_fields.items():
        if name in given:
            assert field.default == given[name].default, name


def test_the_example_is_a_job(folder: Path, here: Command) -> None:
    shutil.copy(folder / "thermal" / "2024-06_st.tif", folder / "dem.tif")
    (folder / "ortho.tif").symlink_to(SENTINEL_GUIDE)
    status, told, _ = here("batch", "job.toml", "--init")
    assert (status, Path("job.toml").read_text()) == (0, EXAMPLE)
    assert "--dry-run" in told
    (entry,) = Job.read(Path("job.toml")).entries
    assert (entry.name, entry.output) == ("dem", folder / "sharp" / "dem.tif")
    assert entry.options == {"scale": 4}
    status, _, told = here("batch", "job.toml", "--init")
    assert (status, told.count("\n")) == (2, 1)
    assert "job.toml exists" in told
    status, told, _ = here("batch", "job.toml", "--dry-run")
    assert status == 0
    assert "64 px" in told
    assert "1 pairs, " in told
    assert not (folder / "sharp").exists()


def test_sources_and_guides_are_matched_by_their_key(folder: Path) -> None:
    (folder / "optical" / "2024-09_b1.tif").symlink_to(SENTINEL_GUIDE)
    read = Job.read(job(folder, MANY + SMOOTH))
    assert [entry.name for entry in read.entries] == ["2024-06", "2024-07", "2024-08"]
    first = read.entries[0]
    assert first.source == str(folder / "thermal" / "2024-06_st.tif")
    assert first.guides == tuple(str(folder / "optical" / f"2024-06_b{band}.tif") for band in (1, 2))
    assert first.output == folder / "out" / "2024-06.tif"


def test_all_mistakes_are_told_at_once_each_with_its_place(folder: Path, here: Command) -> None:
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
    status, _, told = here("batch", "job.toml", "--progress", "none")
    assert status == 2
    assert told.count("\n") == 1
    assert "5 mistakes" in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'output = "o.tif"\n[[pairs]]\nsource = "no.tif"\nguide = "none_*.tif"\n',
            "pairs[0].source: there is no no.tif",
        ),
        (
            'output = "o.tif"\n[[pairs]]\nsource = "no.tif"\nguide = "none_*.tif"\n',
            "pairs[0].guide: there is no none_*",
        ),
        ('output = "o.tif"\n[[pairs]]\nsource = "x/{key}.tif"\nguide = "a_{key}.tif"\n', "no file matches x/{key}.tif"),
        ('output = "o.tif"\n[[pairs]]\nsource = "x/{key}.tif"\nguide = "a.tif"\n', "write it in both"),
        (MANY.replace("{name}", "one"), "3 pairs would be written to out/one.tif: put {name} in it"),
        (MANY + '[[pairs]]\nname = "2024-06"\nsource = "job.toml"\nguide = "job.toml"\n', "1 names stand for several"),
        (MANY + "[options\n", "is no TOML"),
        (MANY.replace("out/{name}", "o/{name}").replace("[[", 'qa = "o/{name}.tif"\n[[', 1), "qa: it is the output's"),
    ],
)
def test_each_mistake_has_its_mend(folder: Path, text: str, said: str) -> None:
    with pytest.raises(mmsr_geo.JobError) as caught:
        Job.read(job(folder, text))
    assert said in str(caught.value)


def test_a_job_is_done_once(folder: Path, here: Command) -> None:
    job(folder, MANY.replace("[[", 'qa = "out/{name}_qa.tif"\n[[', 1) + SMOOTH)
    status, told, _ = here("status", "job.toml", "--json")
    assert (status, json.loads(told)["left"]) == (0, 3)
    status, told, _ = here("batch", "job.toml", "--progress", "json")
    assert status == 0
    events = [json.loads(line) for line in told.splitlines()]
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
    standing = {pair["name"]: pair["standing"] for pair in json.loads(here("status", "job.toml", "--json")[1])["pairs"]}
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
    status, told, _ = here("status", "job.toml")
    assert status == 0
    assert "3 done, 0 failed, 0 left." in told


def test_a_pair_that_fails_is_told_and_the_others_go_on_if_asked(folder: Path, here: Command) -> None:
    bad = folder / "thermal" / "2024-07_st.tif"
    good = bad.read_bytes()
    bad.write_bytes(b"no raster")
    job(folder, MANY + SMOOTH)
    status, _, told = here("batch", "job.toml", "--progress", "none")
    assert status == 2
    assert told.count("\n") == 1
    assert "2024-07: " in told
    assert "cannot be opened" in told
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["2024-06.tif"]
    job(folder, 'on_error = "skip"\n' + MANY + SMOOTH)
    status, told, _ = here("batch", "job.toml", "--progress", "rich")
    assert status == 1
    assert "2 done, 1 failed, 1 left" in told
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["2024-06.tif", "2024-08.tif"]
    bad.write_bytes(good)
    assert here("batch", "job.toml", "--progress", "none")[0] == 0
    assert mmsr_geo.status(folder / "job.toml").count("done") == 3


def test_what_others_have_made_is_not_replaced(folder: Path, here: Command) -> None:
    (folder / "out").mkdir()
    theirs = folder / "out" / "2024-06.tif"
    theirs.write_bytes(b"a year's work")
    job(folder, MANY + SMOOTH)
    status, _, told = here("batch", "job.toml", "--progress", "none")
    assert (status, theirs.read_bytes()) == (2, b"a year's work")
    assert "2024-06.tif exists" in told
    assert here("batch", "job.toml", "--progress", "none", "--overwrite")[0] == 0
    assert values(theirs).shape == (1, 64, 72)


def test_a_record_survives_a_line_that_was_cut_off(tmp_path: Path) -> None:
    record = Record.beside(tmp_path / "job.toml")
    assert not record.last()
    record.append(Line("a", "1", "done", 2.5, facts={"tiles": 3}))
    whole = record.path.read_bytes()
    record.path.write_bytes(whole + whole[: len(whole) // 2])
    record.append(Line("b", "2", "failed", 1.0, "full"))
    assert list(record.lines()) == [
        Line("a", "1", "done", 2.5, facts={"tiles": 3}),
        Line("b", "2", "failed", 1.0, "full"),
    ]


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
    (folder / "again").mkdir()
    whole = job(folder, path.read_text().replace("out/", "again/"))
    assert mmsr_geo.batch(whole).count("done") == 3
    for month in (6, 7, 8):
        name = f"2024-0{month}.tif"
        assert (values(folder / "again" / name) == values(folder / "out" / name)).all()
