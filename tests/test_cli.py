"""The command as a person runs it: what it writes, prints and refuses, and how it stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from rasterio.rio.main import main_group
from rasterio.warp import Resampling, calculate_default_transform, reproject
from rasters import LANDSAT_GUIDE, LANDSAT_TRUTH, SENTINEL_GUIDE, block_means, sentinel_crop, sentinel_net

import mmsr_geo

QUICK = ["--steps", "6", "--threads", "1", "--progress", "none"]


def command(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "mmsr_geo", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "200", "TERM": "dumb"}
    return subprocess.run(words, check=False, capture_output=True, text=True, cwd=cwd, timeout=120, env=environment)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.tif"
    sentinel_crop(20, 20, 20, 24, 4).source.rio.to_raster(path)
    return path


def test_upsample_writes_a_cog_that_says_how_it_came_to_be(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "sharp.tif"
    done = command("upsample", source, SENTINEL_GUIDE, "-o", output, "--scale", "4", "--seed", "3", *QUICK)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with rasterio.open(source) as coarse, rasterio.open(output) as dataset:
        assert dataset.shape == (80, 96)
        assert dataset.crs == coarse.crs
        assert dataset.bounds == coarse.bounds
        assert dataset.dtypes == ("float32",)
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        assert (structure["LAYOUT"], structure["COMPRESSION"], structure["PREDICTOR"]) == ("COG", "DEFLATE", "3")
        tags = dataset.tags()
        assert tags["MMSR_GEO_VERSION"] == mmsr_geo.__version__
        assert tags["MMSR_GEO_SEED"] == "3"
        assert (tags["MMSR_GEO_SOURCE"], tags["MMSR_GEO_GUIDE"]) == (str(source), str(SENTINEL_GUIDE))
        assert len(tags["MMSR_GEO_NET"]) == 16
        assert json.loads(tags["MMSR_GEO_OPTIONS"])["net"]["steps"] == 6
        assert np.abs(block_means(dataset.read(1), 4) - coarse.read(1)).max() < 0.01
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sharp.tif", "source.tif"]


def test_an_existing_output_is_refused_unless_overwritten(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "sharp.tif"
    output.write_text("mine")
    refused = command("upsample", source, SENTINEL_GUIDE, "-o", output, *QUICK)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"Error: {output} exists")
    assert refused.stderr.count("\n") == 1
    assert output.read_text() == "mine"
    done = command("upsample", source, SENTINEL_GUIDE, "-o", output, "--scale", "4", "--overwrite", *QUICK)
    assert done.returncode == 0
    assert rasterio.open(output).shape == (80, 96)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["upsample", "none.tif", "GUIDE", "-o", "o.tif"], "none.tif cannot be opened"),
        (["upsample", "SOURCE", "GUIDE", "-o", "none/o.tif"], "folder none does not exist"),
        (["upsample", "SOURCE", "GUIDE", "-o", "o.tif", "--scale", "1"], "refines nothing"),
        (["upsample", "SOURCE", "GUIDE", "-o", "o.tif", "--scale", "four"], "is no scale"),
        (["upsample", "SOURCE", "GUIDE", "-o", "o.tif", "--bounds", "1,2,3"], "is not W,S,E,N"),
        (["upsample", "SOURCE", "GUIDE", "-o", "o.tif", "--bounds", "1,2,3,4"], "do not meet the raster"),
        (["upsample", "SOURCE", "GUIDE", "-o", "o.tif", "--net", "none.mmsr"], "there is no net at none.mmsr"),
        (["upsample", "SOURCE", "GUIDE", "-o", "o.tif", "--device", "cuda:9"], "there is no cuda:9"),
        (["upsample", "SOURCE", "GUIDE", "-o", "o.tif", "--steps", "0"], "steps must be 1 or more"),
        (["upsample", "SOURCE", "GUIDE", "-o", "o.tif", "--tile-size", "0"], "tile_size"),
        (["upsample", "SOURCE", "GUIDE"], "Missing option"),
        (["fit", "SOURCE", "GUIDE", "-o", "none/o.mmsr", "--steps", "1"], "none"),
        (["info", "none.tif"], "none.tif cannot be opened"),
        (["sharpen"], "No such command"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    source: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    named = {"SOURCE": str(source), "GUIDE": str(SENTINEL_GUIDE)}
    refused = command(*(named.get(word, word) for word in arguments), cwd=tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert message in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1, refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["source.tif"]


def test_progress_in_json_is_one_object_a_line(source: Path, tmp_path: Path) -> None:
    words = ["upsample", source, SENTINEL_GUIDE, "-o", tmp_path / "sharp.tif", "--scale", "4", "--steps", "6"]
    done = command(*words, "--tile-size", "40", "--threads", "1", "--progress", "json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert (kinds[0], kinds[-1]) == ("started", "done")
    assert set(kinds) == {"started", "stage", "progress", "done"}
    stages = [event["stage"] for event in events if event["event"] == "stage"]
    assert stages[0] == "sample"
    assert stages[-3:] == ["fit", "predict", "write"]
    last = {event["stage"]: (event["done"], event["total"]) for event in events if event["event"] == "progress"}
    assert last["predict"] == (6, 6)
    refused = command("upsample", source, SENTINEL_GUIDE, "-o", tmp_path / "sharp.tif", "--progress", "json")
    assert refused.returncode == 2
    told = [json.loads(line) for line in refused.stdout.splitlines()]
    assert told[-1]["event"] == "error"
    assert told[-1]["kind"] == "OutputError"


def test_progress_for_a_person_names_the_stages(source: Path, tmp_path: Path) -> None:
    done = command("upsample", source, SENTINEL_GUIDE, "-o", tmp_path / "sharp.tif", "--scale", "4", "--steps", "6")
    assert done.returncode == 0
    for told in ("reading samples", "fitting", "6/6", "predicting tiles", "writing the COG"):
        assert told in done.stderr
    assert "96 x 80 px, scale 4" in done.stdout


def test_a_saved_net_is_used_and_described(source: Path, tmp_path: Path) -> None:
    net, first, second = tmp_path / "scene.mmsr", tmp_path / "first.tif", tmp_path / "second.tif"
    fitted = command("fit", source, SENTINEL_GUIDE, "-o", net, "--scale", "4", *QUICK)
    assert fitted.returncode == 0, fitted.stderr
    again = command("fit", source, SENTINEL_GUIDE, "-o", net, "--scale", "4", *QUICK)
    assert (again.returncode, "exists" in again.stderr) == (2, True)
    quiet = ["--scale", "4", "--progress", "none"]
    by_net = command("upsample", source, SENTINEL_GUIDE, "-o", first, "--net", net, "--threads", "1", *quiet)
    anew = command("upsample", source, SENTINEL_GUIDE, "-o", second, "--scale", "4", *QUICK)
    assert (by_net.returncode, anew.returncode) == (0, 0), by_net.stderr + anew.stderr
    assert (rasterio.open(first).read() == rasterio.open(second).read()).all()
    told = command("info", net).stdout
    for part in (mmsr_geo.load(net).digest, "B02, B03, B04, B08", "scale", "without a first stage"):
        assert part in told


def test_info_puts_a_pair_side_by_side(source: Path) -> None:
    told = command("info", source, SENTINEL_GUIDE)
    assert told.returncode == 0, told.stderr
    for part in ("24 x 20 px, 1 band", "512 x 512 px, 4 bands", "EPSG:32618", "80 x 80 metre", "none declared"):
        assert part in told.stdout
    assert "a source pixel is 8 x 8 guide pixels" in told.stdout
    assert "Scale 8 would be chosen: a target of 192 x 160 px of 10 x 10 m" in told.stdout
    asked = command("info", source, SENTINEL_GUIDE, "--scale", "4").stdout
    assert "Scale 4 was asked for: a target of 96 x 80 px" in asked


def test_rio_has_the_command() -> None:
    """rasterio's own command finds it by its entry point, under the name it gives itself."""
    words = ["mmsr", "upsample", "none.tif", "none.tif", "-o", "o.tif", "--progress", "none"]
    told = CliRunner().invoke(main_group, words)
    assert told.exit_code == 2
    assert "none.tif cannot be opened" in told.output


def test_bounds_give_the_part(source: Path, tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.tif", tmp_path / "part.tif"
    sentinel_net(4).save(tmp_path / "net.mmsr")
    options = ["--scale", "4", "--net", tmp_path / "net.mmsr", "--progress", "none"]
    with rasterio.open(source) as dataset:
        left, top = dataset.transform * (5, 3)
    bounds = f"{left + 1},{top - 480 + 1},{left + 640 - 1},{top - 1}"
    for path, more in ((whole, []), (part, ["--bounds", bounds])):
        assert command("upsample", source, SENTINEL_GUIDE, "-o", path, *options, *more).returncode == 0
    with rasterio.open(whole) as all_of_it, rasterio.open(part) as some:
        assert some.shape == (24, 32)
        assert np.abs(some.read(1) - all_of_it.read(1)[12:36, 20:52]).max() < 0.005


def test_a_pair_in_two_crss(tmp_path: Path, source: Path) -> None:
    degrees = tmp_path / "guide.tif"
    with rasterio.open(SENTINEL_GUIDE) as guide:
        transform, width, height = calculate_default_transform(
            guide.crs, 4326, guide.width, guide.height, *guide.bounds
        )
        profile = guide.profile | {"crs": 4326, "transform": transform, "width": width, "height": height, "nodata": 0}
        with rasterio.open(degrees, "w", **profile) as warped:
            reproject(
                rasterio.band(guide, [1, 2, 3, 4]), rasterio.band(warped, [1, 2, 3, 4]), resampling=Resampling.cubic
            )
    output = tmp_path / "sharp.tif"
    done = command("upsample", source, degrees, "-o", output, "--scale", "4", *QUICK)
    assert done.returncode == 0, done.stderr
    with rasterio.open(source) as coarse, rasterio.open(output) as dataset:
        assert dataset.crs == coarse.crs
        assert np.abs(block_means(dataset.read(1), 4) - coarse.read(1)).max() < 0.01


def test_each_band_of_a_source_has_a_net(tmp_path: Path, source: Path) -> None:
    both = tmp_path / "both.tif"
    with rasterio.open(source) as dataset:
        values = dataset.read(1)
        with rasterio.open(both, "w", **dataset.profile | {"count": 2}) as two:
            two.write(np.stack([values, 5000 - values]))
            two.descriptions = ("up", "down")
    output = tmp_path / "sharp.tif"
    done = command("upsample", both, SENTINEL_GUIDE, "-o", output, "--scale", "4", *QUICK)
    assert done.returncode == 0, done.stderr
    with rasterio.open(output) as dataset:
        assert dataset.descriptions == ("up", "down")
        first, second = dataset.read()
        assert len(dataset.tags()["MMSR_GEO_NET"].split(",")) == 2
    assert np.abs(block_means(first, 4) - values).max() < 0.01
    assert np.abs(block_means(second, 4) - (5000 - values)).max() < 0.01


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stages", [{"first stage", "fit"}, {"predict"}])
def test_stopping_leaves_nothing(tmp_path: Path, sent: signal.Signals, stages: set[str]) -> None:
    """The command is stopped when it says that it is in one of the stages; it ends soon and leaves nothing."""
    with rasterio.open(LANDSAT_TRUTH) as truth:
        coarse = block_means(truth.read(1), 4).astype(np.float32)
        profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "height": 75, "width": 75, "crs": truth.crs}
        transform = truth.transform * truth.transform.scale(4)
        with rasterio.open(tmp_path / "source.tif", "w", transform=transform, **profile) as source:
            source.write(coarse, 1)
    steps = "1" if "predict" in stages else "1000"
    words = ["upsample", tmp_path / "source.tif", LANDSAT_GUIDE, "-o", tmp_path / "sharp.tif", "--scale", "4"]
    options = ["--steps", steps, "--tile-size", "24", "--threads", "1", "--progress", "json"]
    # A job in the background of a shell ignores Ctrl-C, and so would its children; a handler of ours is not inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "mmsr_geo", *map(str, [*words, *options])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            event = json.loads(line)
            assert event["event"] != "done"
            if event["event"] == "progress" and event["stage"] in stages:
                break
        started = time.monotonic()
        process.send_signal(sent)
        _, told = process.communicate(timeout=30)
    finally:
        process.kill()
    assert time.monotonic() - started < 10
    assert process.returncode == 1
    assert told.strip() == "Stopped: no unfinished file is left."
    assert [path.name for path in tmp_path.iterdir()] == ["source.tif"]


def test_a_kill_leaves_nothing_that_looks_done(tmp_path: Path, source: Path) -> None:
    output = tmp_path / "sharp.tif"
    words = ["upsample", source, SENTINEL_GUIDE, "-o", output, "--scale", "4", "--steps", "1000", "--progress", "json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mmsr_geo", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        next(line for line in process.stdout if '"fit"' in line or '"first stage"' in line)
    finally:
        process.kill()
        process.wait(timeout=30)
    assert not output.exists()
    left = [path.name for path in tmp_path.iterdir() if path.name != "source.tif"]
    assert all(name.startswith(".sharp.tif.") for name in left)
