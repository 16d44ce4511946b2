"""How far a target may be off, by every door: lazily, in files and stores, from workers, at every size of tile."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from affine import Affine
from numpy.typing import NDArray

import mmsr_geo
from mmsr_geo.engine.tile_upsampler import Upsampler
from mmsr_geo.evaluation.metrics import UncertaintyScores
from mmsr_geo.evaluation.report import draw_report, print_scores, uncertainty_table
from mmsr_geo.geometry import Window
from mmsr_geo.jobs.output.outcome import OutputResult
from mmsr_geo.jobs.output.tasks import TileTask
from mmsr_geo.jobs.tiles.tile_file import TilePixels
from mmsr_geo.jobs.tiles.tile_store import TileRecord
from mmsr_geo.methods.scene import SceneFit
from mmsr_geo.network.guide_check import Region
from mmsr_geo.raster.write import cog as writing
from mmsr_geo.raster.write import cog_driver as copying
from mmsr_geo.raster.write import zarr_arrays, zarr_overviews
from support.command import CommandResult
from support.rasters import SENTINEL_GUIDE, georeferenced, sentinel_crop, sentinel_guide, sentinel_model

pytestmark = pytest.mark.slow

Command = Callable[..., CommandResult]
SAID = "half of a 90 % interval's width"


@pytest.fixture(scope="module")
def model() -> mmsr_geo.FittedModel:
    model = sentinel_model(2)
    assert model.source_interval is not None
    return model


@pytest.fixture(scope="module")
def source() -> xr.DataArray:
    """Return 36 x 30 pixels with nodata, of digital numbers that have a scale and an offset."""
    array = sentinel_crop(90, 60, 36, 30, 2).source
    array[10:12, 7] = np.nan
    array.attrs |= {"units": "1", "scale_factor": 0.0001, "add_offset": -0.1}
    return array


def lazy(source: Any, model: mmsr_geo.FittedModel, **options: Any) -> xr.DataArray:
    given: dict[str, Any] = {"model": model, "keep_statistics": True, "uncertainty": True} | options
    return mmsr_geo.upsample(source, given.pop("guide", sentinel_guide()), 2, **given)


def expected(source: Any, model: mmsr_geo.FittedModel, **options: Any) -> NDArray[np.float32]:
    halves: NDArray[np.float32] = lazy(source, model, **options).compute(scheduler="synchronous").uncertainty.values
    return halves


def test_it_is_a_lazy_coordinate_beside_the_flags(source: xr.DataArray, model: mmsr_geo.FittedModel) -> None:
    made = lazy(source, model, qa=True, tile_size=32)
    assert made.uncertainty.dims == made.dims == ("y", "x")
    assert made.uncertainty.chunks == made.chunks == made.qa.chunks
    assert made.uncertainty.dtype == np.float32
    assert SAID in made.uncertainty.attrs["comment"]
    reported = {key: value for key, value in made.uncertainty.attrs.items() if key != "comment"}
    assert reported == {"long_name": "uncertainty of B11", "units": "1", "scale_factor": 0.0001}
    assert made.uncertainty.rio.transform() == made.rio.transform()
    computed = made.compute(scheduler="synchronous")
    missing = np.isnan(source.values).repeat(2, 0).repeat(2, 1)
    assert (np.isnan(computed.uncertainty.values) == missing).all()
    assert (computed.uncertainty.values[~missing] > 0).all()
    assert np.ptp(computed.uncertainty.values[~missing]) > 0
    plain = lazy(source, model, uncertainty=False, tile_size=32)
    assert "uncertainty" not in plain.coords
    assert (plain.compute(scheduler="synchronous").values == computed.values)[~missing].all()


def test_computed_with_the_target_it_takes_no_second_tile(
    source: xr.DataArray, model: mmsr_geo.FittedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, tiles = lazy(source, model, tile_size=32), list[object]()
    before = Upsampler.upsample

    def counted(*arguments: Any) -> Any:
        tiles.append(arguments)
        return before(*arguments)

    monkeypatch.setattr(Upsampler, "upsample", counted)
    made.compute(scheduler="synchronous")
    assert len(tiles) == made.data.npartitions == 6


@pytest.mark.parametrize("tile_size", [17, 32, 50])
def test_tiles_of_any_size_say_the_same(source: xr.DataArray, model: mmsr_geo.FittedModel, tile_size: int) -> None:
    whole, parts = (expected(source, model, tile_size=size) for size in (10_000, tile_size))
    within = 1e-5 * max(float(np.nanmax(whole)), model.statistics.source_spread)
    assert (np.isnan(whole) == np.isnan(parts)).all()
    assert np.nanmax(np.abs(whole - parts)) <= within


def test_slices_have_an_uncertainty_each(source: xr.DataArray, model: mmsr_geo.FittedModel) -> None:
    both = xr.concat([source, 2 * source.where(source.x > source.x[3])], "time", combine_attrs="drop")
    both = both.rename("B11").assign_coords(time=[2024, 2025]).rio.write_crs(source.rio.crs)
    made = lazy(both, model, keep_statistics=False).compute(scheduler="synchronous")
    assert made.uncertainty.dims == made.dims == ("time", "y", "x")
    for index in range(2):
        alone = expected(both[index], model, keep_statistics=False)
        np.testing.assert_array_equal(made.uncertainty.values[index], alone)
    assert np.isnan(made.uncertainty.values).sum(axis=(1, 2)).tolist() == [8, 8 + 4 * 36 * 4]


def test_another_grid_has_it_too(source: xr.DataArray, model: mmsr_geo.FittedModel) -> None:
    """On the source's own it is the mean of each pixel's four."""
    own = expected(source, model)
    made = lazy(source, model, like=source).compute(scheduler="synchronous")
    assert made.uncertainty.dims == made.dims
    assert SAID in made.uncertainty.attrs["comment"]
    np.testing.assert_allclose(made.uncertainty.values, own.reshape(36, 2, 30, 2).mean(axis=(1, 3)), rtol=1e-5)


def test_where_the_guide_is_left_out_it_is_that_of_the_baseline(
    source: xr.DataArray, model: mmsr_geo.FittedModel
) -> None:
    """As where the guide is missing, which gives the same target."""
    judged = Region(Window(0, 0, 80, 80), validated_px=90, sum_squares=144.0, baseline_sum_squares=100.0)
    unhelpful = replace(model, check=mmsr_geo.GuideCheck((judged,)))
    guide = sentinel_guide()
    missing = guide.where(guide.x < 0).astype(np.float32)
    made = lazy(source, model, guide=missing, min_coverage=0.0).compute(scheduler="synchronous")
    with pytest.warns(mmsr_geo.GuideWarning, match="did not help"):
        left_out = lazy(source, unhelpful).compute(scheduler="synchronous")
    np.testing.assert_allclose(left_out.values, made.values, rtol=1e-6)
    np.testing.assert_allclose(left_out.uncertainty.values, made.uncertainty.values, rtol=1e-6)


def test_where_it_is_not_calibrated_it_is_nodata_and_reported(
    source: xr.DataArray, model: mmsr_geo.FittedModel
) -> None:
    unknown = replace(model, interval=None)
    made = lazy(source, unknown)
    with pytest.warns(mmsr_geo.MmsrWarning, match="is not calibrated .* the saved model has no calibration"):
        computed = made.compute(scheduler="synchronous")
    assert np.isnan(computed.uncertainty.values).all()
    assert made.data.name != lazy(source, model).data.name
    np.testing.assert_array_equal(computed.values, lazy(source, model).compute(scheduler="synchronous").values)


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({}, "and its band is all nodata: the source has too few valid pixels to compare .*; choose a larger part"),
        ({"first_stage": False}, "first_stage=False leaves out the guide check; leave first_stage out of "),
    ],
    ids=["small", "unchecked"],
)
def test_a_fit_that_cannot_calibrate_says_why(source: xr.DataArray, params: dict[str, Any], why: str) -> None:
    made = mmsr_geo.upsample(
        source if params else source[:9, :9],
        sentinel_guide(),
        2,
        params=mmsr_geo.FitParams(steps=2, patch_px=24, threads=1, **params),
        uncertainty=True,
    )
    with pytest.warns(mmsr_geo.MmsrWarning, match=why):
        computed = made.compute(scheduler="synchronous")
    assert np.isnan(computed.uncertainty.values).all()
    assert np.isfinite(computed.values).any()


# Files.


@pytest.fixture
def folder(tmp_path: Path, source: xr.DataArray, model: mmsr_geo.FittedModel) -> Path:
    """Put the source, one of two bands, the model and one without a calibration into a folder."""
    stored = source.fillna(-9999).rio.write_nodata(-9999)
    stored.rio.to_raster(tmp_path / "one.tif")
    with rasterio.open(tmp_path / "one.tif", "r+") as dataset:
        dataset.units = ("1",)
    both = xr.concat([stored, stored.where(stored == -9999, 2 * stored)], "band")
    both.assign_attrs(long_name=("B11", "twice")).rio.to_raster(tmp_path / "two.tif")
    model.save(tmp_path / "model.mmsr")
    replace(model, interval=None).save(tmp_path / "unknown.mmsr")
    return tmp_path


def written(folder: Path, source: str = "one.tif", name: str = "sharp.tif", **options: Any) -> OutputResult:
    given: dict[str, Any] = {"model": folder / "model.mmsr", "keep_statistics": True, "uncertainty": True} | options
    given |= {"params": mmsr_geo.FitParams(threads=1)}  # as a lazy target's tiles are predicted, to the last bit
    return mmsr_geo.upsample_to_file(folder / source, SENTINEL_GUIDE, folder / name, 2, **given)


def band(path: Path, number: int) -> NDArray[np.float32]:
    """Read a band's stored values, NaN in nodata."""
    with rasterio.open(path) as dataset:
        values = dataset.read(number, masked=True)
    filled: NDArray[np.float32] = np.ma.filled(values.astype(np.float32), np.nan)
    return filled


@pytest.mark.parametrize("tile_size", [20, 10_000])
def test_a_file_has_it_in_a_second_band(folder: Path, model: mmsr_geo.FittedModel, tile_size: int) -> None:
    outcome = written(folder, qa=folder / "qa.tif", tile_size=tile_size)
    assert outcome.uncertainty == ("calibrated",)
    alone = lazy(folder / "one.tif", model, guide=SENTINEL_GUIDE, tile_size=tile_size).compute(scheduler="synchronous")
    with rasterio.open(folder / "sharp.tif") as dataset:
        assert (dataset.count, dataset.descriptions) == (2, ("B11", "uncertainty"))
        assert dataset.nodata == -9999
        assert (dataset.scales, dataset.offsets) == ((0.0001, 0.0001), (-0.1, 0.0))
        assert dataset.units == ("1", "1")
        tags, statistics = dataset.tags(), dataset.tags(2)
    assert tags["MMSR_GEO_UNCERTAINTY"] == "calibrated"
    assert tags["MMSR_GEO_UNCERTAINTY_BANDS"] == "2"
    assert SAID in tags["MMSR_GEO_UNCERTAINTY_MEANING"]
    with rasterio.open(folder / "qa.tif") as dataset:
        assert dataset.count == 1
        assert not any(key.startswith("MMSR_GEO_UNCERTAINTY") for key in dataset.tags())
    half = band(folder / "sharp.tif", 2)
    np.testing.assert_array_equal(half, alone.uncertainty.values)
    np.testing.assert_array_equal(band(folder / "sharp.tif", 1), alone.where(alone != -9999).values)
    assert float(statistics["STATISTICS_MEAN"]) == pytest.approx(np.nanmean(half), rel=1e-5)


def test_without_it_a_file_is_as_it_was(folder: Path) -> None:
    assert written(folder, uncertainty=False).uncertainty == ()
    with rasterio.open(folder / "sharp.tif") as dataset:
        assert dataset.count == 1
        assert not any(key.startswith("MMSR_GEO_UNCERTAINTY") for key in dataset.tags())
    written(folder, name="with.tif")
    np.testing.assert_array_equal(band(folder / "sharp.tif", 1), band(folder / "with.tif", 1))


def test_several_bands_come_first_and_theirs_after(folder: Path, model: mmsr_geo.FittedModel) -> None:
    written(folder, "two.tif", qa=folder / "qa.tif", tile_size=32)
    alone = lazy(folder / "two.tif", model, guide=SENTINEL_GUIDE, tile_size=32).compute(scheduler="synchronous")
    with rasterio.open(folder / "sharp.tif") as dataset:
        names = ("B11", "twice", "uncertainty of B11", "uncertainty of twice")
        assert dataset.descriptions == names
        assert dataset.tags()["MMSR_GEO_UNCERTAINTY"] == "calibrated,calibrated"
        assert dataset.tags()["MMSR_GEO_UNCERTAINTY_BANDS"] == "3,4"
    for index in range(2):
        np.testing.assert_array_equal(band(folder / "sharp.tif", 3 + index), alone.uncertainty.values[index])
        own = alone[index]
        np.testing.assert_array_equal(band(folder / "sharp.tif", 1 + index), own.where(own != -9999).values)
    assert np.nanmax(np.abs(alone.uncertainty.values[0] - alone.uncertainty.values[1])) > 0


@pytest.mark.parametrize("like", [None, 25.0])
def test_integers_hold_it_with_the_scale_and_without_the_offset(
    folder: Path, model: mmsr_geo.FittedModel, like: float | None
) -> None:
    """Reflectances of steps of 0.00005, stored about 0.2; the half widths from 0 on."""
    written(folder, dtype="int16", scale_factor=0.00005, add_offset=0.2, tile_size=32, like=like)
    halves = expected(folder / "one.tif", model, guide=SENTINEL_GUIDE, tile_size=32, like=like)
    with rasterio.open(folder / "sharp.tif") as dataset:
        assert dataset.dtypes == ("int16", "int16")
        assert dataset.nodata == -32768
        assert (dataset.scales, dataset.offsets) == ((0.00005, 0.00005), (0.2, 0.0))
    stored = band(folder / "sharp.tif", 2)
    assert (np.isnan(stored) == np.isnan(halves)).all()
    above = stored - halves * 2  # never narrower than it was computed
    assert np.nanmin(above) > -1e-4
    assert np.nanmax(above) < 1.001
    assert np.nanmax(stored) > 100


def test_widths_that_do_not_fit_are_reported(folder: Path) -> None:
    with pytest.warns(mmsr_geo.MmsrWarning, match="uncertainty values .* are outside 0 to 0.000255") as reported:
        written(folder, dtype="uint8", scale_factor=0.000001, add_offset=0.2)
    (said,) = [str(each.message) for each in reported if issubclass(each.category, mmsr_geo.MmsrWarning)]
    assert said.count("are outside") == 2


def test_overviews_have_it(tmp_path: Path, model: mmsr_geo.FittedModel) -> None:
    sentinel_crop(0, 0, 70, 70, 2).source.rio.to_raster(tmp_path / "one.tif")
    model.save(tmp_path / "model.mmsr")
    written(tmp_path, creation_options=["BLOCKSIZE=128"])
    means = band(tmp_path / "sharp.tif", 2).reshape(70, 2, 70, 2).mean(axis=(1, 3))
    with rasterio.open(tmp_path / "sharp.tif", overview_level=0) as dataset:
        np.testing.assert_allclose(dataset.read(2), means, rtol=1e-5)


def test_another_grid_is_the_same_in_a_file(folder: Path, model: mmsr_geo.FittedModel) -> None:
    written(folder, like=25.0)
    alone = lazy(folder / "one.tif", model, guide=SENTINEL_GUIDE, like=25.0).compute(scheduler="synchronous")
    np.testing.assert_allclose(band(folder / "sharp.tif", 2), alone.uncertainty.values, rtol=1e-5)
    with rasterio.open(folder / "sharp.tif") as dataset:
        assert dataset.tags()["MMSR_GEO_UNCERTAINTY_BANDS"] == "2"


def test_a_file_that_is_not_calibrated_says_so(folder: Path) -> None:
    with pytest.warns(mmsr_geo.MmsrWarning, match="one.tif: the uncertainty is not calibrated"):
        outcome = written(folder, model=folder / "unknown.mmsr")
    assert outcome.uncertainty == ("not calibrated",)
    with rasterio.open(folder / "sharp.tif") as dataset:
        assert dataset.tags()["MMSR_GEO_UNCERTAINTY"] == "not calibrated"
        assert (dataset.read(2) == -9999).all()
        assert (dataset.read(1) != -9999).any()


def test_what_was_not_written_as_computed_does_not_appear(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = copying.copy_to_cog

    def wrongly(drawn: Path, made: Path, options: dict[str, str]) -> None:
        with rasterio.open(drawn) as dataset:
            pixels, profile = dataset.read(), dataset.profile | {"driver": "GTiff"}
        pixels[1, 0, 0] += 1
        with rasterio.open(drawn.with_name("wrong.tif"), "w", **profile) as dataset:
            dataset.write(pixels)
        copy(drawn.with_name("wrong.tif"), made, options)

    monkeypatch.setattr(writing, "copy_to_cog", wrongly)
    with pytest.raises(mmsr_geo.OutputError, match="differs from what was computed"):
        written(folder)
    assert not (folder / "sharp.tif").exists()


def test_workers_say_the_same_and_warn_here(folder: Path) -> None:
    written(folder, "two.tif", qa=folder / "qa1.tif", tile_size=32)
    written(folder, "two.tif", "workers.tif", qa=folder / "qa2.tif", tile_size=32, workers=2)
    with rasterio.open(folder / "sharp.tif") as one, rasterio.open(folder / "workers.tif") as two:
        assert one.read().tobytes() == two.read().tobytes()
    with pytest.warns(mmsr_geo.MmsrWarning, match="not calibrated"):
        written(folder, name="unknown.tif", model=folder / "unknown.mmsr", workers=1)


# Stores.


@pytest.mark.parametrize(
    "options", [{}, {"dtype": "int16", "scale_factor": 0.00005, "add_offset": 0.2}, {"like": 25.0}]
)
def test_a_store_has_a_variable_of_what_the_file_has(
    folder: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(zarr_arrays, "SHARD_PX", 32)
    written(folder, tile_size=32, **options)
    outcome = written(folder, name="sharp.zarr", tile_size=32, **options)
    assert outcome.uncertainty == ("calibrated",)
    with xr.open_zarr(folder / "sharp.zarr", chunks=None, mask_and_scale=False) as group:
        stored = group.load()
    half = stored.target_uncertainty
    with rasterio.open(folder / "sharp.tif") as dataset:
        assert half.values.tobytes() == dataset.read(2).tobytes()
        assert stored.target.values.tobytes() == dataset.read(1).tobytes()
        assert (half.attrs.get("scale_factor", 1.0), half.attrs.get("add_offset", 0.0)) == (dataset.scales[1], 0.0)
        assert half.attrs["_FillValue"] == dataset.nodata or math.isnan(dataset.nodata)
        assert half.attrs["STATISTICS_MEAN"] == pytest.approx(float(dataset.tags(2)["STATISTICS_MEAN"]), rel=1e-4)
    assert stored.target.attrs["ancillary_variables"] == "qa target_uncertainty"
    assert half.attrs["long_name"] == "uncertainty of target"
    assert half.attrs["units"] == "1"
    assert SAID in half.attrs["comment"]
    assert half.rio.transform() == stored.target.rio.transform()
    assert stored.attrs["MMSR_GEO_UNCERTAINTY"] == "calibrated"


def test_a_stores_overviews_have_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zarr_overviews, "OVERVIEW_PX", 48)
    written(folder, name="sharp.zarr")
    groups = [zarr.open_group(folder / "sharp.zarr" / place, mode="r") for place in ("", "ovr_2x")]
    whole, halved = (np.asarray(group["target_uncertainty"]) for group in groups)
    np.testing.assert_allclose(halved, whole.reshape(36, 2, 30, 2).mean(axis=(1, 3)), rtol=1e-5)


def test_a_store_of_several_bands_has_one_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zarr_arrays, "SHARD_PX", 32)
    written(folder, "two.tif", tile_size=32)
    written(folder, "two.tif", "sharp.zarr", tile_size=32)
    with xr.open_zarr(folder / "sharp.zarr", chunks=None, mask_and_scale=False) as group:
        half = group.target_uncertainty.load()
    assert half.dims == ("band", "y", "x")
    with rasterio.open(folder / "sharp.tif") as dataset:
        assert half.values.tobytes() == dataset.read((3, 4)).tobytes()


def test_a_store_without_it_has_no_such_variable(folder: Path) -> None:
    written(folder, name="sharp.zarr", uncertainty=False)
    with xr.open_zarr(folder / "sharp.zarr", chunks=None) as group:
        assert set(group.data_vars) == {"target", "qa"}
        assert group.target.attrs["ancillary_variables"] == "qa"
        assert "MMSR_GEO_UNCERTAINTY" not in group.attrs


# Jobs.

JOB = """output = "sharp.tif"
[[pairs]]
source = "one.tif"
guide = "guide.tif"
[options]
scale = 2
threads = 1
model = "model.mmsr"
keep_statistics = true
tile_size = 32
"""


class Stopped(BaseException):
    """The process ends here."""


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tiles that are computed; the process ends before one that is there already, asked for in advance."""
    reported, before = list[int](), TileTask.target

    def counted(task: TileTask, index: int, *rest: Any, **options: Any) -> TileRecord:
        if index in reported:
            raise Stopped
        reported.append(index)
        return before(task, index, *rest, **options)

    monkeypatch.setattr(TileTask, "target", counted)
    return reported


def stopped_before(job: Path, index: int, computed: list[int]) -> None:
    """Do a job as far as a tile."""
    computed.append(index)
    with pytest.raises(Stopped):
        mmsr_geo.batch(job)
    assert computed == [index, *range(index)]
    computed.clear()


@pytest.mark.parametrize("output", ["sharp.tif", "sharp.zarr"])
def test_a_job_goes_on_with_the_tiles_that_have_it(folder: Path, computed: list[int], output: str) -> None:
    """One whose uncertainty was damaged is computed again, and the file is that of one go."""
    (folder / "guide.tif").symlink_to(SENTINEL_GUIDE)
    job = folder / "job.toml"
    job.write_text(JOB.replace("sharp.tif", output) + "uncertainty = true\n")
    stopped_before(job, 4, computed)
    spoiled = sorted((folder / "job.work").rglob("*.tif"))[1]
    pixels = TilePixels.decoded(spoiled.read_bytes())
    assert pixels.uncertainty is not None
    spoiled.write_bytes(replace(pixels, uncertainty=pixels.uncertainty + 1).encoded())
    assert mmsr_geo.batch(job).count("done") == 1
    assert computed == [1, 4, 5]
    computed.clear()
    written(folder, name=f"alone{Path(output).suffix}", tile_size=32)
    if output == "sharp.tif":
        halves = [band(folder / name, 2) for name in ("alone.tif", output)]
    else:
        groups = [zarr.open_group(folder / place, mode="r") for place in ("alone.zarr", "sharp.zarr/one")]
        halves = [np.asarray(group["target_uncertainty"]) for group in groups]
    np.testing.assert_array_equal(halves[0], halves[1])
    (reported,) = mmsr_geo.status(job).as_dict()["pairs"]
    assert reported["uncertainty"] == ["calibrated"]


def test_tiles_without_it_are_not_taken_for_ones_with(folder: Path, computed: list[int]) -> None:
    (folder / "guide.tif").symlink_to(SENTINEL_GUIDE)
    job = folder / "job.toml"
    job.write_text(JOB)
    stopped_before(job, 5, computed)
    job.write_text(JOB + "uncertainty = true\n")
    assert mmsr_geo.batch(job).count("done") == 1
    assert computed == list(range(6))
    with rasterio.open(folder / "sharp.tif") as dataset:
        assert dataset.count == 2


def test_a_skipped_tile_is_nodata_in_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "guide.tif").symlink_to(SENTINEL_GUIDE)
    job = folder / "job.toml"
    job.write_text('on_error = "skip"\n' + JOB + "uncertainty = true\n")
    before = TileTask.target

    def failing(task: TileTask, index: int, *rest: Any, **options: Any) -> TileRecord:
        if index == 3:
            msg = "no memory"
            raise RuntimeError(msg)
        return before(task, index, *rest, **options)

    monkeypatch.setattr(TileTask, "target", failing)
    with pytest.warns(mmsr_geo.MmsrWarning):
        assert mmsr_geo.batch(job).count("incomplete") == 1
    half = band(folder / "sharp.tif", 2)
    missing = np.isnan(band(folder / "sharp.tif", 1))
    assert missing[32:64, 32:].all()
    assert (np.isnan(half) == missing).all()


# The command.


def test_the_command_writes_it_and_says_where(folder: Path, here: Command) -> None:
    words = (
        "upsample",
        "one.tif",
        SENTINEL_GUIDE,
        "--scale",
        2,
        "--model",
        "model.mmsr",
        "--keep-statistics",
        "--threads",
        1,
    )
    status, said, _ = here(*words, "-o", "told.tif", "--uncertainty")
    assert status == 0
    assert "The uncertainty (half the width of a 90 % interval) is in band 2." in said
    written(folder)
    np.testing.assert_array_equal(band(folder / "told.tif", 2), band(folder / "sharp.tif", 2))
    status, said, _ = here(*words, "-o", "json.tif", "--uncertainty", "--progress", "json")
    done = json.loads(said.splitlines()[-1])
    assert (done["event"], done["uncertainty"]) == ("done", ["calibrated"])
    status, said, _ = here(*words, "-o", "store.zarr", "--uncertainty")
    assert "(half the width of a 90 % interval) is in a variable of its own." in said
    status, said, _ = here("upsample", *words[1:4], 2, "-o", "no.tif", "--model", "unknown.mmsr", "--uncertainty")
    assert "90 % interval" not in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "bicubic"}, "leave it out, or leave out method='bicubic'"),
        ({"method": "guided-filter+consistency"}, "leave out method='guided-filter+consistency'"),
        ({"fit": "adapt"}, "leave out fit='adapt'"),
        ({"fit": "tile"}, "leave out fit='tile'"),
        ({"fit": "published"}, "uncertainty= needs mmsr with one model for the scene"),
    ],
    ids=str,
)
def test_what_calibrates_none_is_refused_at_the_call(
    folder: Path, source: xr.DataArray, options: dict[str, Any], said: str
) -> None:
    guide = sentinel_guide()
    calls: list[Callable[[], object]] = [
        lambda: mmsr_geo.upsample(source, guide, 2, uncertainty=True, **options),
        lambda: source.mmsr.upsample(guide, 2, uncertainty=True, **options),
        lambda: mmsr_geo.plan(source, guide, 2, uncertainty=True, **options),
        lambda: mmsr_geo.upsample_to_file(source, guide, folder / "no.tif", 2, uncertainty=True, **options),
    ]
    for call in calls:
        with pytest.raises(mmsr_geo.OptionError) as caught:
            call()
        assert said in str(caught.value)
    assert not (folder / "no.tif").exists()


# The evaluation.


def test_scores_are_those_of_a_loop() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=(20, 30))
    target = truth + random.normal(size=truth.shape)
    half = np.abs(target - truth) + random.random(truth.shape) - 0.3
    target[0, 0], half[1, 1], truth[2, 2] = np.nan, np.nan, np.nan
    known = [at for at in np.ndindex(truth.shape) if not np.isnan(target[at] + half[at] + truth[at])]
    errors, halves = ([float(each[at]) for at in known] for each in (np.abs(target - truth), half))

    def ranks(values: list[float]) -> list[float]:
        ordered = sorted(values)
        return [float(ordered.index(value)) for value in values]

    scores = UncertaintyScores.of(target, half, truth)
    inside = sum(error <= width for error, width in zip(errors, halves, strict=True))
    assert len(known) == 597
    assert 0.5 < scores.coverage < 0.9
    assert scores.coverage == pytest.approx(inside / len(known))
    assert scores.mean_half_width == pytest.approx(sum(halves) / len(halves))
    assert scores.rank_correlation == pytest.approx(np.corrcoef(ranks(errors), ranks(halves))[0, 1])


def test_scores_of_nothing_and_of_a_constant_are_not_known() -> None:
    some = np.arange(12.0).reshape(3, 4)
    assert set(UncertaintyScores.of(some, np.full((3, 4), np.nan), some).as_dict().values()) == {None}
    reported = UncertaintyScores.of(some, np.full((3, 4), 2.0), some + some % 3).as_dict()
    assert reported == {"coverage": 1.0, "rank_correlation": None, "mean_half_width": 2.0}


def test_an_evaluation_says_how_well_it_holds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    crop = sentinel_crop(0, 0, 36, 36, 4)
    truth = georeferenced(crop.truth, crop.source.rio.transform() * Affine.scale(0.25), 32618)
    source = sentinel_crop(0, 0, 72, 72, 2).source
    methods = ("bicubic", "mmsr", "mmsr-tile")
    options: dict[str, Any] = {"params": mmsr_geo.FitParams(steps=6, patch_px=24, threads=1), "if_unhelpful": "warn"}
    evaluation = mmsr_geo.evaluate(source, sentinel_guide(), 2, methods=methods, truth=truth, **options)
    made = mmsr_geo.upsample(source, sentinel_guide(), 2, uncertainty=True, **options).compute(scheduler="synchronous")
    error, half = np.abs(made.values - truth.values), made.uncertainty.values
    reported = json.loads(json.dumps(evaluation.as_dict(), allow_nan=False))["methods"]
    assert reported["mmsr"]["uncertainty"]["coverage"] == pytest.approx(np.mean(error <= half), abs=0.002)
    assert reported["mmsr"]["uncertainty"]["mean_half_width"] == pytest.approx(half.mean(), rel=1e-3)
    assert reported["mmsr"]["uncertainty"]["rank_correlation"] > 0.1
    assert (reported["bicubic"]["uncertainty"], reported["mmsr-tile"]["uncertainty"]) == (None, None)
    assert not SceneFit(mmsr_geo.FitParams.published()).calibrates
    print_scores(evaluation)
    printed = capsys.readouterr().out
    assert "half of a 90 % interval's width" in printed
    cells = {column.header: list(column.cells) for column in uncertainty_table(evaluation).columns}
    assert cells["method"] == list(methods)
    assert cells["coverage"] == ["-", f"{reported['mmsr']['uncertainty']['coverage']:.3f}", "-"]
    drawn: list[Any] = []
    monkeypatch.setattr("mmsr_geo.evaluation.report.draw_maps", lambda panels, *_, **__: drawn.extend(panels))
    draw_report(evaluation, Path("report.png"), hillshades=False)
    maps = [panel for panel in drawn if panel and "uncertainty" in panel.title]
    assert [panel.title for panel in maps] == [f"mmsr: uncertainty ({np.mean(error <= half):.0%} of errors within)"]
    np.testing.assert_array_equal(maps[0].values, half)
    assert maps[0].limits[0] == 0


def test_an_evaluation_without_a_calibration_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    source = sentinel_crop(0, 0, 18, 18, 4).source
    options: dict[str, Any] = {"params": mmsr_geo.FitParams(steps=2, threads=1)}
    evaluation = mmsr_geo.evaluate(source, sentinel_guide(), 2, methods=["bicubic", "mmsr"], **options)
    assert evaluation.as_dict()["methods"]["mmsr"]["uncertainty"] == "not calibrated"
    print_scores(evaluation)
    printed = capsys.readouterr().out
    assert "not calibrated" in printed
    sentences = ("Guide check", "mmsr: ")  # they wrap where the terminal ends
    assert max(len(line) for line in printed.splitlines() if not line.startswith(sentences)) <= 80
    plain = mmsr_geo.evaluate(source, sentinel_guide(), 2, methods=["bicubic", "nearest"], **options)
    print_scores(plain)
    assert "interval's width" not in capsys.readouterr().out
    assert [result.half_width for result in (*evaluation.results.values(), *plain.results.values())] == [None] * 4
