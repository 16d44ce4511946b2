"""The command as a person runs it: what it writes, prints and refuses, and how it stops."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from PIL import Image
from rasterio.rio.main import main_group
from rasterio.warp import Resampling, calculate_default_transform, reproject

import mmsr_geo
from mmsr_geo.cli.display import RichDisplay
from support.command import CommandResult
from support.rasters import (
    LANDSAT_GUIDE,
    LANDSAT_TRUTH,
    SENTINEL_GUIDE,
    SENTINEL_TRUTH,
    block_means,
    misleading_guide,
    sentinel_crop,
    sentinel_model,
)

pytestmark = pytest.mark.slow

QUICK = ["--steps", "6", "--threads", "1", "--progress", "none"]


def command(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "mmsr_geo", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "200", "TERM": "dumb"}
    return subprocess.run(words, check=False, capture_output=True, text=True, cwd=cwd, timeout=600, env=environment)


def events(reported: str, kind: str) -> list[dict[str, Any]]:
    """Return the JSON events of one kind."""
    return [event for event in map(json.loads, reported.splitlines()) if event["event"] == kind]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None, int | None], mmsr_geo.FitParams]:
    """Let the command's fits take small patches, and few steps on each tile, by a network alone: no option says so."""

    def params(steps: int | None, threads: int | None) -> mmsr_geo.FitParams:
        return mmsr_geo.FitParams(steps=steps, threads=threads, patch_px=24, adapt_steps=2, ensemble=False)

    def of(_quality: str, *, steps: int | None, threads: int | None, **_others: object) -> mmsr_geo.FitParams:
        return params(steps, threads)

    monkeypatch.setattr(mmsr_geo.FitParams, "of", of)
    return params


@pytest.fixture
def checkable(tmp_path: Path) -> Path:
    """A source just large enough for its guide to be judged, at scale 2."""
    path = tmp_path / "checkable.tif"
    sentinel_crop(60, 60, 32, 36, 2).source.rio.to_raster(path)
    return path


@pytest.fixture
def misleading(tmp_path: Path) -> Path:
    """A guide that is no help."""
    path = tmp_path / "misleading.tif"
    misleading_guide().rio.to_raster(path)
    return path


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
        assert len(tags["MMSR_GEO_MODEL"]) == 16
        assert json.loads(tags["MMSR_GEO_OPTIONS"])["steps"] == 6
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
        (["upsample", "SOURCE", "GUIDE", "-o", "o.tif", "--scale", "four"], "is not a scale"),
        (["upsample", "SOURCE", "GUIDE", "-o", "o.tif", "--bounds", "1,2,3"], "is not W,S,E,N"),
        (["upsample", "SOURCE", "GUIDE", "-o", "o.tif", "--bounds", "1,2,3,4"], "do not intersect the raster"),
        (["upsample", "SOURCE", "GUIDE", "-o", "o.tif", "--model", "none.mmsr"], "there is no model at none.mmsr"),
        (["upsample", "SOURCE", "GUIDE", "-o", "o.tif", "--device", "cuda:9"], "has no device 'cuda:9'"),
        (["upsample", "SOURCE", "GUIDE", "-o", "o.tif", "--steps", "0"], "--steps is 0: give a number of 1 or more"),
        (
            ["upsample", "SOURCE", "GUIDE", "-o", "o.tif", "--tile-size", "0"],
            "--tile-size is 0: give a number of 1 or more",
        ),
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
    assert stages[-3:] == ["members", "predict", "write"]
    last = {event["stage"]: (event["done"], event["total"]) for event in events if event["event"] == "progress"}
    assert last["predict"] == (6, 6)
    refused = command("upsample", source, SENTINEL_GUIDE, "-o", tmp_path / "sharp.tif", "--progress", "json")
    assert refused.returncode == 2
    reported = [json.loads(line) for line in refused.stdout.splitlines()]
    assert reported[-1]["event"] == "error"
    assert reported[-1]["kind"] == "OutputError"


@pytest.mark.parametrize(
    ("words", "message", "template"),
    [
        (["--seed", "one"], "Invalid value for '--seed': 'one' is not", "Invalid value for ⟨seed⟩: 'one' is not"),
        (["--scale=four"], "Invalid value for '--scale': 'four' is not", "Invalid value for ⟨scale⟩: 'four' is not"),
        (["--saed", "1"], "No such option '--saed'.", "No such option '--saed'."),
        ([], "Missing option '-o' / '--output'.", "Missing option ⟨output⟩."),
    ],
)
@pytest.mark.parametrize("progress", [["--progress", "json"], ["--progress=json"]])
def test_wrong_use_is_an_event_with_a_template_in_json(
    here: Callable[..., CommandResult], words: list[str], progress: list[str], message: str, template: str
) -> None:
    output = ["-o", "out.tif"] if words else []
    status, out, err = here("upsample", "source.tif", "guide.tif", *output, *words, *progress)
    (event,) = map(json.loads, out.splitlines())
    assert (status, event["event"]) == (2, "error")
    assert event["message"].startswith(message)
    assert event["template"].startswith(template)
    assert err.startswith(f"Error: {message}")
    assert here("upsample", "source.tif", "guide.tif", *output, *words)[1] == ""


def test_the_help_of_qa_has_the_value_of_each_flag(here: Callable[..., CommandResult]) -> None:
    described = json.loads(here("describe", "--json")[1])["commands"]["upsample"]["parameters"]
    (shown,) = (parameter["help"] for parameter in described if parameter["name"] == "qa")
    assert [int(number) for number in re.findall(r"\d+", shown)] == [int(flag) for flag in mmsr_geo.Flag]


def test_progress_for_a_person_names_the_stages(source: Path, tmp_path: Path) -> None:
    done = command("upsample", source, SENTINEL_GUIDE, "-o", tmp_path / "sharp.tif", "--scale", "4", "--steps", "6")
    assert done.returncode == 0
    for reported in ("reading samples", "comparing members", "11/11", "predicting tiles", "writing the output"):
        assert reported in done.stderr
    assert "96 x 80 px, scale 4" in done.stdout


def test_a_saved_model_is_used_and_described(source: Path, tmp_path: Path) -> None:
    model, first, second = tmp_path / "scene.mmsr", tmp_path / "first.tif", tmp_path / "second.tif"
    fitted = command("fit", source, SENTINEL_GUIDE, "-o", model, "--scale", "4", *QUICK)
    assert fitted.returncode == 0, fitted.stderr
    again = command("fit", source, SENTINEL_GUIDE, "-o", model, "--scale", "4", *QUICK)
    assert (again.returncode, "exists" in again.stderr) == (2, True)
    quiet = ["--scale", "4", "--progress", "none"]
    by_model = command("upsample", source, SENTINEL_GUIDE, "-o", first, "--model", model, "--threads", "1", *quiet)
    anew = command("upsample", source, SENTINEL_GUIDE, "-o", second, "--scale", "4", *QUICK)
    assert (by_model.returncode, anew.returncode) == (0, 0), by_model.stderr + anew.stderr
    assert (rasterio.open(first).read() == rasterio.open(second).read()).all()
    reported = command("info", model).stdout
    for part in (mmsr_geo.load(model).digest, "B02, B03, B04, B08", "scale", "no network", "blurred by"):
        assert part in reported


def test_info_puts_a_pair_side_by_side(source: Path) -> None:
    reported = command("info", source, SENTINEL_GUIDE)
    assert reported.returncode == 0, reported.stderr
    for part in ("24 x 20 px, 1 band", "512 x 512 px, 4 bands", "EPSG:32618", "80 x 80 metre", "none declared"):
        assert part in reported.stdout
    assert "One source pixel is 8 x 8 guide pixels" in reported.stdout
    assert "Scale 8 is the default. It gives a target of 192 x 160 px of 10 x 10 m" in reported.stdout
    asked = command("info", source, SENTINEL_GUIDE, "--scale", "4").stdout
    assert "Scale 4 was requested. It gives a target of 96 x 80 px" in asked


def test_rio_has_the_command() -> None:
    """rasterio's own command finds it by its entry point, under the name it gives itself."""
    words = ["mmsr", "upsample", "none.tif", "none.tif", "-o", "o.tif", "--progress", "none"]
    reported = CliRunner().invoke(main_group, words)
    assert reported.exit_code == 2
    assert "none.tif cannot be opened" in reported.output


def test_bounds_give_the_part(source: Path, tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.tif", tmp_path / "part.tif"
    sentinel_model(4).save(tmp_path / "model.mmsr")
    options = ["--scale", "4", "--model", tmp_path / "model.mmsr", "--progress", "none"]
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


def test_each_band_of_a_source_has_a_model(tmp_path: Path, source: Path) -> None:
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
        assert len(dataset.tags()["MMSR_GEO_MODEL"].split(",")) == 2
    assert np.abs(block_means(first, 4) - values).max() < 0.01
    assert np.abs(block_means(second, 4) - (5000 - values)).max() < 0.01


@pytest.mark.faults
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stages", [{"members", "trial"}, {"predict"}, {"fit tiles"}])
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
    if "fit tiles" in stages:
        options += ["--fit", "tile"]
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
        process.send_signal(sent)
        _, reported = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 1
    assert reported.strip() == "Stopped: no unfinished file is left."
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
        next(line for line in process.stdout if '"members"' in line)
    finally:
        process.kill()
        process.wait(timeout=300)
    assert not output.exists()
    left = [path.name for path in tmp_path.iterdir() if path.name != "source.tif"]
    assert all(name.startswith(".sharp.tif.") for name in left)


@pytest.mark.parametrize(
    ("options", "method"),
    [
        (["--method", "bicubic"], "bicubic"),
        (["--method", "guided-filter+consistency"], "guided-filter+consistency"),
        (["--method", "p2p", "--steps", "5"], "p2p"),
        (["--fit", "published", "--steps", "2"], "mmsr"),
    ],
)
def test_methods_and_fits_give_what_python_gives(
    here: Callable[..., CommandResult], source: Path, options: list[str], method: str
) -> None:
    words = ["upsample", source, SENTINEL_GUIDE, "-o", "sharp.tif", "--scale", "4", "--tile-size", "40", "--seed", "2"]
    assert here(*words, "--threads", "1", "--progress", "none", *options) == (0, "", "")
    names = dict(zip(options[::2], options[1::2], strict=True))
    steps = names.get("--steps")
    expected = mmsr_geo.upsample(
        source,
        SENTINEL_GUIDE,
        4,
        method=names.get("--method", "mmsr"),
        fit=names.get("--fit", "scene"),  # type: ignore[arg-type]
        params=mmsr_geo.FitParams(steps=None if steps is None else int(steps), threads=1),
        tile_size=40,
        seed=2,
    )
    with rasterio.open("sharp.tif") as dataset:
        assert dataset.tags()["MMSR_GEO_METHOD"] == method
        np.testing.assert_allclose(dataset.read(1), expected.values, rtol=0, atol=1e-5 * float(expected.std()))


@pytest.mark.parametrize("fit", ["tile", "adapt"])
def test_tile_fits_give_what_python_gives(
    here: Callable[..., CommandResult],
    quick: Callable[[int, int], mmsr_geo.FitParams],
    source: Path,
    fit: Literal["tile", "adapt"],
) -> None:
    words = ["upsample", source, SENTINEL_GUIDE, "-o", "sharp.tif", "--scale", "4", "--tile-size", "64", "--fit", fit]
    status, out, err = here(*words, "--steps", "2", "--threads", "1")
    assert status == 0
    assert "fitting tiles" in err
    assert "blending tiles" in err
    assert "4 tiles" in out
    expected = mmsr_geo.upsample(source, SENTINEL_GUIDE, 4, fit=fit, params=quick(2, 1), tile_size=64)
    with rasterio.open("sharp.tif") as dataset:
        assert dataset.tags()["MMSR_GEO_METHOD"] == "mmsr"
        np.testing.assert_allclose(dataset.read(1), expected.values, rtol=0, atol=1e-5 * float(expected.std()))


@pytest.mark.usefixtures("quick")
def test_an_unhelpful_guide_is_reported_to_a_person(
    here: Callable[..., CommandResult], checkable: Path, misleading: Path
) -> None:
    words = ["upsample", checkable, misleading, "-o", "sharp.tif", "--scale", "2", "--steps", "2", "--threads", "1"]
    status, out, err = here(*words)
    assert status == 0
    assert "Warning: " in err
    assert "the target is interpolated from the source alone" in " ".join(err.split())
    assert "The guide did not help: the error is expected to be" in out
    with rasterio.open("sharp.tif") as dataset:
        values, tags = dataset.read(1), dataset.tags()
    expected = mmsr_geo.upsample(checkable, misleading, 2, method="bicubic+consistency").values
    assert np.array_equal(values, expected)
    assert (tags["MMSR_GEO_METHOD"], tags["MMSR_GEO_GUIDE_CHECK"]) == ("bicubic+consistency", "did not help")
    status, out, err = here(*words, "--overwrite", "--if-unhelpful", "warn")
    assert status == 0
    assert "the guide is used anyway" in " ".join(err.split())
    with rasterio.open("sharp.tif") as dataset:
        assert dataset.tags()["MMSR_GEO_METHOD"] == "mmsr"
        assert not np.array_equal(dataset.read(1), expected)


@pytest.mark.usefixtures("quick")
def test_an_unhelpful_guide_is_reported_in_json(
    here: Callable[..., CommandResult], checkable: Path, misleading: Path
) -> None:
    words = ["upsample", checkable, misleading, "--scale", "2", "--steps", "2", "--threads", "1"]
    status, out, err = here(*words, "-o", "sharp.tif", "--progress", "json")
    assert (status, err) == (0, "")
    (warning,), (done,) = events(out, "warning"), events(out, "done")
    assert "the guide did not help" in warning["message"]
    assert done["guide_check"] == "did not help"
    with rasterio.open("sharp.tif") as dataset:
        assert f"{done['guide_gain']:.4f}" == dataset.tags()["MMSR_GEO_GUIDE_GAIN"]
    status, out, err = here(*words, "-o", "none.tif", "--progress", "json", "--if-unhelpful", "error")
    assert status == 2
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    (error,) = events(out, "error")
    assert error["kind"] == "UnhelpfulGuideError"
    assert events(out, "done") == []
    assert sorted(path.name for path in Path().iterdir()) == ["checkable.tif", "misleading.tif", "sharp.tif"]


@pytest.mark.usefixtures("quick")
def test_what_is_not_known_of_the_guide_is_said_too(here: Callable[..., CommandResult], source: Path) -> None:
    words = ["upsample", source, SENTINEL_GUIDE, "--scale", "4", "--steps", "1", "--threads", "1"]
    _, out, _ = here(*words, "-o", "first.tif")
    assert "It is unknown whether the guide helped" in out
    _, out, _ = here(*words, "-o", "second.tif", "--progress", "json")
    (done,) = events(out, "done")
    assert (done["guide_gain"], done["guide_check"]) == (None, "unknown")
    _, out, _ = here("upsample", source, SENTINEL_GUIDE, "--scale", "4", "--method", "bicubic", "-o", "third.tif")
    assert "guide" not in out


@pytest.mark.usefixtures("quick")
def test_a_model_keeps_its_guide_check(here: Callable[..., CommandResult], checkable: Path, misleading: Path) -> None:
    pair, few = [checkable, misleading, "--scale", "2"], ["--steps", "2", "--threads", "1"]
    status, out, _ = here("fit", *pair, "-o", "model.mmsr", *few)
    assert status == 0
    assert "The guide did not help" in out
    _, out, _ = here("fit", *pair, "-o", "model.mmsr", *few, "--overwrite", "--progress", "json")
    check = mmsr_geo.load("model.mmsr").check
    (done,) = events(out, "done")
    assert (done["guide_gain"], done["guide_check"]) == (check.gain, "did not help")
    assert check.sentence in " ".join(here("info", "model.mmsr")[1].split())
    status, out, _ = here("upsample", *pair, "-o", "sharp.tif", "--model", "model.mmsr", "--progress", "json")
    assert status == 0
    assert len(events(out, "warning")) == 1
    with rasterio.open("sharp.tif") as dataset:
        assert dataset.tags()["MMSR_GEO_METHOD"] == "bicubic+consistency"
    refused = here(
        "upsample", *pair, "-o", "none.tif", "--model", "model.mmsr", "--if-unhelpful", "error", "--progress", "none"
    )
    assert (refused[0], refused[2].count("\n")) == (2, 1)
    assert not Path("none.tif").exists()


@pytest.mark.usefixtures("quick")
def test_the_scenes_model_can_be_saved_and_adapted_again(here: Callable[..., CommandResult], source: Path) -> None:
    pair = ["upsample", source, SENTINEL_GUIDE, "--scale", "4", "--fit", "adapt", "--tile-size", "64"]
    quiet = ["--threads", "1", "--progress", "none"]
    assert here(*pair, "-o", "first.tif", "--save-model", "model.mmsr", "--steps", "2", *quiet) == (0, "", "")
    assert mmsr_geo.load("model.mmsr").provenance["fit"]["steps"] == 2
    assert here(*pair, "-o", "second.tif", "--model", "model.mmsr", *quiet) == (0, "", "")
    with rasterio.open("first.tif") as first, rasterio.open("second.tif") as second:
        assert np.array_equal(first.read(), second.read())


def test_a_path_in_brackets_is_reported_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with RichDisplay() as show:
        show.event("warning", message="guide[b04].tif for x: no")
    assert "guide[b04].tif" in capsys.readouterr().err


UPSAMPLE = ["upsample", "SOURCE", "GUIDE", "-o", "o.tif", "--scale", "4"]
EVALUATE = ["evaluate", "SOURCE", "GUIDE", "-o", "report"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*UPSAMPLE, "--method", "lanczos"], "--method is 'lanczos': choose one of mmsr, nearest"),
        ([*UPSAMPLE, "--method", "bicubic", "--fit", "tile"], "--fit belongs to mmsr, and the method is bicubic"),
        ([*UPSAMPLE, "--method", "bicubic", "--model", "o.mmsr"], "--model belongs to mmsr, and the method is bicubic"),
        ([*UPSAMPLE, "--method", "bicubic", "--steps", "3"], "the method bicubic has no steps: leave out --steps"),
        ([*UPSAMPLE, "--fit", "forest"], "'forest' is not one of"),
        ([*UPSAMPLE, "--fit", "tile", "--model", "o.mmsr"], "--fit tile fits a new model: leave out --model"),
        ([*UPSAMPLE, "--if-unhelpful", "cry"], "'cry' is not one of"),
        ([*UPSAMPLE, "--keep-statistics"], "--keep-statistics needs a saved model: pass --model"),
        ([*UPSAMPLE, "--save-model", "o.mmsr", "--fit", "tile"], "--save-model needs one model for the scene"),
        ([*UPSAMPLE, "--save-model", "o.mmsr", "--method", "p2p"], "--save-model needs one model for the scene"),
        ([*UPSAMPLE, "--save-model", "o.mmsr", "--model", "o.mmsr"], "--save-model needs a fit"),
        ([*UPSAMPLE, "--save-model", "none/o.mmsr"], "the folder none does not exist"),
        ([*EVALUATE, "--scale", "4"], "has 24 x 20 pixels, which leave fewer than 8 along a side"),
        ([*EVALUATE, "--scale", "2", "--methods", "bicubic,lanczos"], "--methods names 'lanczos': choose of"),
        ([*EVALUATE, "--scale", "2", "--methods", ","], "--methods is empty: name methods"),
        ([*EVALUATE, "--scale", "4", "--truth", "none.tif"], "none.tif cannot be opened"),
        (["evaluate", "SOURCE", "GUIDE", "-o", "source.tif"], "source.tif"),
        (["evaluate", "SOURCE", "none.tif"], "none.tif cannot be opened"),
    ],
)
def test_options_that_contradict_each_other_are_one_line_and_nothing_is_written(
    here: Callable[..., CommandResult], source: Path, arguments: list[str], message: str
) -> None:
    named = {"SOURCE": str(source), "GUIDE": str(SENTINEL_GUIDE)}
    status, out, err = here(*(named.get(word, word) for word in arguments), "--progress", "none")
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1, err
    assert [path.name for path in Path().iterdir()] == ["source.tif"]


def test_evaluate_prints_and_writes_a_report(here: Callable[..., CommandResult], source: Path, tmp_path: Path) -> None:
    methods = ["--methods", "bicubic, bicubic+consistency,mmsr", "--steps", "3", "--threads", "1"]
    words = ["evaluate", source, SENTINEL_GUIDE, "--scale", "2", "-o", tmp_path / "report", *methods]
    done = command(*words)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert list(report["methods"]) == ["bicubic", "bicubic+consistency", "mmsr"]
    assert {"guide_gain", "inputs", "options", "protocol"} <= report.keys()
    means = block_means(rasterio.open(source).read(1), 2).astype(np.float32)
    with rasterio.open(source) as dataset:
        profile = dataset.profile | {"height": 10, "width": 12, "transform": dataset.transform * Affine.scale(2)}
        truth = dataset.read(1).astype(np.float64)
    with rasterio.open(tmp_path / "coarse.tif", "w", **profile) as coarse:
        coarse.write(means, 1)
    target = mmsr_geo.upsample(tmp_path / "coarse.tif", SENTINEL_GUIDE, 2, method="bicubic").values
    rmse = float(np.sqrt(((target - truth) ** 2).mean()))
    assert report["methods"]["bicubic"]["rmse"] == pytest.approx(rmse, rel=1e-5)
    for reported in (
        f"{rmse:.4g}",
        "Errors at reduced resolution",
        "Guide check of the fit",
        "report.json",
        "report.png",
    ):
        assert reported in done.stdout
    assert "bicubic: predicting tiles" in done.stderr
    with Image.open(tmp_path / "report" / "report.png") as picture:
        assert min(picture.size) > 900
    status, _, err = here(*words, "--progress", "none")
    assert (status, err.count("\n")) == (2, 1)
    assert "report.json exists" in err
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == report


def test_evaluate_against_a_truth_in_json(here: Callable[..., CommandResult], source: Path) -> None:
    words = ["evaluate", source, SENTINEL_GUIDE, "--scale", "4", "--truth", SENTINEL_TRUTH, "--methods", "nearest"]
    status, out, err = here(*words, "-o", "report", "--progress", "json", "--no-hillshade")
    assert (status, err) == (0, "")
    (done,) = events(out, "done")
    crop = sentinel_crop(20, 20, 20, 24, 4)
    error = crop.source.values.repeat(4, 0).repeat(4, 1).astype(np.float64) - crop.truth
    assert done["methods"]["nearest"]["rmse"] == pytest.approx(float(np.sqrt((error**2).mean())), rel=1e-5)
    assert (done["protocol"], done["inputs"]["truth"]) == ("truth", str(SENTINEL_TRUTH))
    assert done["files"] == ["report/report.json", "report/report.png"]
    assert {event["stage"] for event in events(out, "stage")} == {"nearest: predict"}
    Path("report/report.json").write_text("mine")
    assert here(*words, "-o", "report", "--progress", "none")[0] == 2
    assert Path("report/report.json").read_text() == "mine"
    assert here(*words, "-o", "report", "--progress", "none", "--overwrite") == (0, "", "")
    assert json.loads(Path("report/report.json").read_text())["methods"].keys() == {"nearest"}


def test_evaluate_shows_an_elevation_lit(
    here: Callable[..., CommandResult], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.rename("dem.tif")
    shown: list[bool] = []
    monkeypatch.setattr(
        "mmsr_geo.evaluation.report.draw_report", lambda _, path, *, hillshades: _noted(path, shown, hillshades)
    )
    words = ["evaluate", "dem.tif", SENTINEL_GUIDE, "--scale", "2", "--methods", "nearest", "--progress", "none"]
    for folder, options in (("a", []), ("b", ["--no-hillshade"]), ("c", ["--hillshade"])):
        assert here(*words, "-o", folder, *options) == (0, "", "")
    assert shown == [True, False, True]


def _noted(path: Path, shown: list[bool], hillshades: bool) -> None:  # noqa: FBT001  (what it stands for takes)
    path.touch()
    shown.append(hillshades)


def test_stopping_an_evaluation_leaves_nothing(
    here: Callable[..., CommandResult], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mmsr_geo.evaluation.report.draw_maps", stopped)
    words = ["evaluate", source, SENTINEL_GUIDE, "--scale", "2", "--methods", "nearest", "-o", "report"]
    status, out, err = here(*words, "--progress", "none")
    assert (status, out, err.strip()) == (1, "", "Stopped: no unfinished file is left.")
    assert [path.name for path in Path().rglob("*") if path.is_file()] == ["source.tif"]


def test_evaluate_without_a_folder_writes_nothing(here: Callable[..., CommandResult], source: Path) -> None:
    status, out, _ = here("evaluate", source, SENTINEL_GUIDE, "--scale", "2", "--methods", "nearest,bilinear")
    assert status == 0
    assert "bilinear" in out
    assert "check" not in out
    assert [path.name for path in Path().iterdir()] == ["source.tif"]
