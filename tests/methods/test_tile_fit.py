"""A model a tile, fitted afresh or adapted: consistent, without seams, and dependent on nothing but its inputs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pytest
import rasterio
import torch
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

import mmsr_geo
from mmsr_geo.engine.blending import BlendedTiling
from mmsr_geo.engine.flags import FlagRules
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.tile_upsampler import sample_of
from mmsr_geo.evaluation.metrics import seam_score
from mmsr_geo.geometry import Halo, Scale, Tile, Tiling, Window
from mmsr_geo.methods import tile_fit as tilewise
from mmsr_geo.methods.base import TilePrediction
from mmsr_geo.methods.interpolation import Interpolation
from mmsr_geo.methods.tile_fit import TileFit, blend_tile
from mmsr_geo.network.device import torch_threads
from mmsr_geo.network.fit import tile_seed
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.guide_check import EXPECTED_POWER, LEAST_ENSEMBLE_GAIN, LEAST_GAIN, GuideCheck, Region
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.read.open import open_guide, open_source
from support.checks import require_gain
from support.rasters import Crop, block_means, sentinel_crop, sentinel_guide, sentinel_model

Values = NDArray[np.float32]
Way = Literal["tile", "adapt"]
WAYS: tuple[Way, ...] = ("tile", "adapt")
FOUR = Scale(4, 4)
PARAMS = FitParams(steps=3, adapt_steps=3, patch_px=24, first_stage=False, threads=1)

pytestmark = pytest.mark.usefixtures("short_overlap")


@pytest.fixture
def short_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Predict tiles 3 source pixels beyond their cores, so that little is predicted twice."""
    monkeypatch.setattr(tilewise, "OVERLAP_PX", 12)


def crop() -> Crop:
    return sentinel_crop(20, 20, 16, 20, 4)


def deviation(source: xr.DataArray) -> float:
    return float(np.nanstd(source.values))


def tolerance(source: xr.DataArray) -> float:
    """Exact, as the design says: 1e-5 of the source's deviation or 2 float32 ULP of its largest magnitude."""
    return max(1e-5 * deviation(source), 2 * float(np.spacing(np.float32(np.nanmax(np.abs(source.values))))))


def inconsistency(target: Values, source: xr.DataArray, scale: int = 4) -> float:
    return float(np.nanmax(np.abs(block_means(target, scale) - source.values)))


def sharpened(source: xr.DataArray, way: Way, **options: Any) -> xr.DataArray:
    given: dict[str, Any] = {"tile_size": 40, "params": PARAMS} | options
    return mmsr_geo.upsample(source, given.pop("guide", sentinel_guide()), 4, fit=way, **given)


@cache
def reference(way: Way) -> Values:
    """The lazy result of one crop, in 2 x 2 tiles, by one thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tilewise, "OVERLAP_PX", 12)
        values: Values = sharpened(crop().source, way).compute(scheduler="synchronous").values
    return values


def written(path: Path, source: xr.DataArray, way: Way, **options: Any) -> tuple[Values, dict[str, str]]:
    given: dict[str, Any] = {"tile_size": 40, "params": PARAMS} | options
    mmsr_geo.upsample_to_file(source, given.pop("guide", sentinel_guide()), path, 4, fit=way, overwrite=True, **given)
    with rasterio.open(path) as dataset:
        return dataset.read(1), dataset.tags()


@pytest.mark.parametrize("way", WAYS)
def test_a_blend_is_consistent_and_neither_an_interpolation_nor_the_scenes(way: Way) -> None:
    source, target = crop().source, reference(way)
    assert target.shape == (64, 80)
    assert inconsistency(target, source) <= tolerance(source)
    for other in ({"method": "bicubic+consistency"}, {"params": PARAMS}):
        values = mmsr_geo.upsample(source, sentinel_guide(), 4, **other).values
        assert np.abs(target - values).max() > 0.05 * deviation(source)


def test_the_two_ways_differ() -> None:
    assert np.abs(reference("tile") - reference("adapt")).max() > 0.05 * deviation(crop().source)


@pytest.mark.parametrize("way", WAYS)
def test_a_file_holds_what_the_lazy_result_is(tmp_path: Path, way: Way) -> None:
    values, tags = written(tmp_path / "sharp.tif", crop().source, way)
    assert np.abs(values - reference(way)).max() <= 1e-6 * deviation(crop().source)
    assert tags["MMSR_GEO_METHOD"] == "mmsr"
    assert f'"fit": "{way}"' in tags["MMSR_GEO_OPTIONS"]
    assert [path.name for path in tmp_path.iterdir()] == ["sharp.tif"]


@pytest.mark.parametrize("way", WAYS)
def test_every_scheduler_gives_identical_values(way: Way) -> None:
    """Each of several threads fits tiles in an order of its own."""
    lazy = sharpened(crop().source.chunk(x=10, y=9), way, guide=sentinel_guide().chunk(x=200, y=150))
    assert np.array_equal(lazy.compute(scheduler="threads", num_workers=3).values, reference(way))
    with torch_threads(2):
        assert np.array_equal(lazy.compute(scheduler="synchronous").values, reference(way))


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note each tile that is fitted and predicted."""
    seen: list[int] = []
    predict: Callable[..., TilePrediction] = TileFit.predict

    def watched(self: TileFit, base: Any, tile: Tile, *rest: Any) -> TilePrediction:
        seen.append(tile.index)
        return predict(self, base, tile, *rest)

    monkeypatch.setattr(TileFit, "predict", watched)
    return seen


@pytest.mark.parametrize("way", WAYS)
def test_a_tile_alone_is_what_it_is_among_all(way: Way) -> None:
    """And so is one that is computed before those before it."""
    lazy = sharpened(crop().source, way)
    corner = lazy[40:, 40:].compute(scheduler="synchronous").values
    assert np.array_equal(corner, reference(way)[40:, 40:])


def test_a_chunk_of_an_adapted_result_fits_its_neighbourhood_alone(predicted: list[int]) -> None:
    """Tiles of 5 source pixels are predicted 3 beyond their cores and corrected by 9 around."""
    source = sentinel_crop(20, 20, 8, 60, 4).source
    corner = sharpened(source, "adapt", tile_size=20)[:, :20].compute(scheduler="synchronous")
    assert np.isfinite(corner).all()
    assert sorted(predicted) == [0, 1, 2, 3, 12, 13, 14, 15]


def test_a_gain_asked_for_alone_adapts_no_tile(predicted: list[int]) -> None:
    assert np.isnan(float(sharpened(crop().source, "adapt").guide_gain))
    assert predicted == []


@pytest.mark.parametrize("threads", [1, 3])
def test_the_order_in_which_tiles_are_fitted_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    forward = vars(BlendedTiling)["predictions"]
    monkeypatch.setattr(BlendedTiling, "predictions", property(lambda self: list(forward.fget(self))[::-1]))
    values, _ = written(tmp_path / "sharp.tif", crop().source, "tile", params=replace(PARAMS, threads=threads))
    assert np.abs(values - reference("tile")).max() <= 1e-6 * deviation(crop().source)


def test_seeds_of_tiles_depend_on_seed_and_place_and_are_not_mistaken_for_each_other() -> None:
    seeds = {(seed, index): tile_seed(seed, index) for seed in range(30) for index in range(30)}
    assert len(set(seeds.values())) == 900
    assert tile_seed(1, 11) != tile_seed(11, 1)
    assert all(0 <= seed < 2**63 for seed in seeds.values())


@pytest.mark.parametrize(("way", "fitted_by"), [("tile", "fit_samples"), ("adapt", "adapt_model")])
def test_each_tile_has_a_seed_of_its_own(monkeypatch: pytest.MonkeyPatch, way: Way, fitted_by: str) -> None:
    seen: list[int] = []
    fit = getattr(tilewise, fitted_by)

    def watched(*arguments: Any, **options: Any) -> FittedModel:
        seen.append(options["seed"])
        made: FittedModel = fit(*arguments, **options)
        return made

    monkeypatch.setattr(tilewise, fitted_by, watched)
    sharpened(crop().source, way, seed=7).compute()
    assert sorted(seen) == sorted(tile_seed(7, index) for index in range(4))


@pytest.mark.parametrize("way", WAYS)
def test_another_seed_gives_another_result(way: Way) -> None:
    other = sharpened(crop().source, way, seed=1).compute(scheduler="synchronous").values
    assert np.abs(other - reference(way)).max() > 0.01 * deviation(crop().source)


def predictions_of(pair: Pair, method: TileFit, blended: BlendedTiling) -> dict[int, TilePrediction]:
    base = method.model_for(pair)
    bands = pair.guide.bands
    return {tile.index: method.predict(base, tile, *pair.read(tile.read), bands) for tile in blended.predictions}


def put_together(pair: Pair, blended: BlendedTiling, predictions: dict[int, TilePrediction]) -> Values:
    target = np.empty(pair.target_grid.shape.yx, np.float32)
    for tile in blended.targets:
        near = {index: predictions[index].values for index in blended.contributors(tile.read)}
        source, flags = pair.source.read(tile.read), predictions[tile.index].qa
        made = blend_tile(blended, tile, source, near, flags, FlagRules())
        target[tile.core.refined(pair.scale).slices] = made.values
    return target


def test_a_blend_has_no_seams_and_its_tiles_side_by_side_have() -> None:
    """The same models both times; so few steps leave them far apart."""
    pair = Pair.of(open_source(sentinel_crop(20, 20, 32, 32, 4).source), open_guide(sentinel_guide()), FOUR)
    method = TileFit(replace(PARAMS, steps=2, lr=0.01))
    tiling = Tiling(pair.part, (16, 16), method.halo(pair), pair.whole)
    blended = method.blended(pair, tiling)
    wide = replace(blended, overlap=Halo(8, 8))
    predictions = predictions_of(pair, method, wide)
    smooth = put_together(pair, wide, predictions)
    alone = replace(blended, overlap=Halo(0, 0))
    cut = {}
    for tile in tiling:
        made, inner = predictions[tile.index], tile.core.relative_to(wide.predicted(tile.core)).refined(FOUR).slices
        cut[tile.index] = replace(made, values=made.values[inner], qa=made.qa[inner])
    mosaic = put_together(pair, alone, cut)
    scores = [seam_score(target, FOUR, (64, 64)) for target in (smooth, mosaic)]
    assert scores[0] < 1.25
    assert scores[1] > 5 * scores[0]


def cloudy_guide(columns: slice) -> xr.DataArray:
    """Cover some of the guide's columns (10 m) with clouds."""
    guide = sentinel_guide().astype(np.float32).copy()
    guide[:, :, columns] = np.nan
    return guide


@pytest.mark.parametrize("first_stage", [None, True])
@pytest.mark.parametrize("way", WAYS)
def test_a_tile_without_guide_is_interpolated(way: Way, *, first_stage: bool | None) -> None:
    """The crop begins at column 40 of the guide, a tile is 80 guide pixels wide and sees no more than 66 beyond."""
    source, guide = sentinel_crop(20, 20, 16, 30, 4).source, cloudy_guide(slice(0, 40 + 160))
    params = replace(PARAMS, first_stage=first_stage)
    target = sharpened(source, way, guide=guide, params=params, min_coverage=0, if_unhelpful="warn").values
    assert np.isfinite(target).all()
    assert inconsistency(target, source) <= tolerance(source)
    unguided = mmsr_geo.fit(source, guide, 4, params=params, min_coverage=0).unguided
    smooth = mmsr_geo.upsample(source, guide, 4, model=unguided, min_coverage=0, if_unhelpful="warn").values
    assert np.abs(target - smooth)[:, :20].max() < 0.01 * deviation(source)
    assert np.abs(target - smooth)[:, 90:].max() > 0.02 * deviation(source)


@pytest.mark.parametrize("first_stage", [None, True, False])
def test_a_tile_with_no_pixel_valid_in_both_has_the_interval_of_the_baseline(
    *,
    first_stage: bool | None,
) -> None:
    """The guide is valid where the source is nodata, and the other way round."""
    source = crop().source.copy()
    source[:, 10:] = np.nan
    guide = cloudy_guide(slice(0, 40 + 80))
    pair = Pair.of(open_source(source), open_guide(guide), FOUR, min_coverage=0)
    method = TileFit(replace(PARAMS, first_stage=first_stage))
    tiling = Tiling(pair.part, pair.whole.shape, method.halo(pair), pair.whole)
    (tile,) = method.blended(pair, tiling).predictions
    pixels = pair.read(tile.read)
    assert pixels[0].valid.any()
    assert pixels[1].valid.any()
    made = method.predict(method.model_for(pair), tile, *pixels, pair.guide.bands)
    said = Interpolation("bicubic", FOUR).predictor(torch.device("cpu"))(sample_of(*pixels))
    np.testing.assert_array_equal(made.values, said.float().numpy())
    assert made.check == GuideCheck()


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_nodata_stays_nodata_also_where_it_fills_a_tile(tmp_path: Path, way: Way) -> None:
    source = crop().source.copy()
    source[:, :13] = np.nan
    source[4:7, 18] = np.nan
    target = sharpened(source, way).values
    missing = np.isnan(source.values).repeat(4, 0).repeat(4, 1)
    assert np.array_equal(np.isnan(target), missing)
    assert inconsistency(target, source) <= tolerance(source)
    values, _ = written(tmp_path / "sharp.tif", source, way)
    assert np.array_equal(np.isnan(values), missing)
    assert np.nanmax(np.abs(values - target)) <= 1e-6 * deviation(source)


def test_a_source_without_a_valid_pixel_has_nothing_to_tile() -> None:
    source = crop().source
    empty = source.where(source < 0)
    assert np.isnan(sharpened(empty, "tile").values).all()
    with pytest.raises(mmsr_geo.PixelError, match="no valid pixel"):
        sharpened(empty, "adapt").compute()


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_other_dims_are_done_slice_by_slice(way: Way) -> None:
    first = crop().source
    source = xr.concat([first, 0.5 * first + 100], xr.DataArray([2020, 2021], dims="year", name="year"))
    both = sharpened(source, way, tile_size=48).compute()
    assert both.dims == ("year", "y", "x")
    assert both.guide_gain.dims == ("year",)
    for index in range(2):
        alone = sharpened(source[index], way, tile_size=48).values
        assert np.array_equal(both[index].values, alone)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_bounds_give_a_part_that_is_consistent_and_the_same_in_a_file(tmp_path: Path, way: Way) -> None:
    source = crop().source
    west, north = source.rio.transform() * (5, 3)
    bounds = west, north - 12 * 80, west + 13 * 80, north
    part = sharpened(source, way, bounds=bounds)
    assert part.shape == (48, 52)
    assert part.rio.transform() == source.rio.transform() * Affine.translation(5, 3) * Affine.scale(0.25)
    assert inconsistency(part.values, source[3:15, 5:18]) <= tolerance(source)
    values, _ = written(tmp_path / "part.tif", source, way, bounds=bounds)
    assert np.abs(values - part.values).max() <= 1e-6 * deviation(source)


@pytest.mark.slow
def test_a_saved_model_is_adapted_to_each_tile(tmp_path: Path) -> None:
    source, model = crop().source, sentinel_model(4)
    model.save(tmp_path / "model.mmsr")
    adapted = sharpened(source, "adapt", model=tmp_path / "model.mmsr").values
    assert inconsistency(adapted, source) <= tolerance(source)
    scene = mmsr_geo.upsample(source, sentinel_guide(), 4, model=model).values
    kept = sharpened(source, "adapt", model=model, keep_statistics=True).values
    longer = sharpened(source, "adapt", model=model, params=replace(PARAMS, adapt_steps=6)).values
    for other in (scene, kept, longer):
        assert np.abs(adapted - other).max() > 0.005 * deviation(source)
    # As it was made to begin with, at a rate of next to nothing: what is blended is one model's word.
    barely = sharpened(source, "adapt", model=model, params=replace(PARAMS, adapt_steps=1, lr=1e-9)).values
    assert np.abs(barely - scene).max() < 1e-3 * deviation(source)


def test_a_scenes_fit_and_the_model_that_it_makes_are_adapted_alike() -> None:
    source = crop().source
    model = mmsr_geo.fit(source, sentinel_guide(), 4, params=PARAMS)
    assert np.array_equal(sharpened(source, "adapt", model=model).values, reference("adapt"))


def test_a_job_says_how_many_tiles_are_fitted_and_has_no_model_to_save(tmp_path: Path) -> None:
    reported: dict[str, list[tuple[int, int]]] = {}
    outcome = mmsr_geo.upsample_to_file(
        crop().source,
        sentinel_guide(),
        tmp_path / "sharp.tif",
        4,
        fit="tile",
        tile_size=40,
        params=PARAMS,
        progress=lambda stage, *count: reported.setdefault(stage, []).append(count),
    )
    assert reported["fit tiles"] == [(done, 4) for done in range(5)]
    assert reported["blend"] == [(done, 4) for done in range(5)]
    assert list(reported) == ["fit tiles", "blend", "write"]
    assert (outcome.tiles, outcome.checks) == (4, (GuideCheck(),))
    with pytest.raises(mmsr_geo.OptionError, match="computed without a model of the scene"):
        _ = outcome.model


class Stopped(BaseException):
    """What Ctrl-C is: no Exception."""


@pytest.mark.parametrize(("stage", "done"), [("fit tiles", 0), ("fit tiles", 1), ("blend", 1)])
@pytest.mark.parametrize("threads", [1, 2])
def test_stopping_leaves_nothing_and_does_not_wait_for_the_tiles(
    tmp_path: Path, stage: str, done: int, threads: int
) -> None:
    def stop(*call: object) -> None:
        if call[:2] == (stage, done):
            raise Stopped

    steps = 10_000_000 if done == 0 else 1  # days, unless they are stopped
    before = threading.active_count()
    with pytest.raises(Stopped):
        mmsr_geo.upsample_to_file(
            crop().source,
            sentinel_guide(),
            tmp_path / "sharp.tif",
            4,
            fit="tile",
            tile_size=40,
            params=replace(PARAMS, steps=steps, threads=threads),
            progress=stop,
        )
    assert threading.active_count() == before
    assert list(tmp_path.iterdir()) == []


def test_what_fails_in_one_tile_ends_the_job_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crop().source.rio.to_raster(tmp_path / "source.tif")
    read = FileRaster.read

    def failing(raster: FileRaster, window: Window) -> Any:
        if raster.path.endswith("source.tif") and window.col > 0:
            raise mmsr_geo.InputError("the disk fell down")
        return read(raster, window)

    monkeypatch.setattr(FileRaster, "read", failing)
    with pytest.raises(mmsr_geo.InputError, match="the disk fell down"):
        mmsr_geo.upsample_to_file(
            tmp_path / "source.tif",
            sentinel_guide(),
            tmp_path / "sharp.tif",
            4,
            fit="tile",
            tile_size=40,
            params=replace(PARAMS, steps=100_000, threads=2),
        )
    assert [path.name for path in tmp_path.iterdir()] == ["source.tif"]


def checked(way: Way, output: Path | None = None, **options: Any) -> Any:
    """Fit tiles that are large enough for their guide to be checked; at scale 2."""
    source = sentinel_crop(60, 60, 32, 56, 2).source
    params = replace(PARAMS, steps=2, adapt_steps=1, first_stage=None, ensemble=False)
    given: dict[str, Any] = {"fit": way, "tile_size": 64, "params": params} | options
    if output is None:
        return mmsr_geo.upsample(source, sentinel_guide(), 2, **given)
    return mmsr_geo.upsample_to_file(source, sentinel_guide(), output, 2, **given)


def smooth() -> tuple[Values, float]:
    source = sentinel_crop(60, 60, 32, 56, 2).source
    return mmsr_geo.upsample(source, sentinel_guide(), 2, method="bicubic+consistency").values, deviation(source)


@pytest.mark.filterwarnings("ignore::mmsr_geo.GuideWarning")
@pytest.mark.parametrize("way", WAYS)
def test_where_the_guide_did_not_help_the_blend_gives_way_to_the_consistent_bicubic(tmp_path: Path, way: Way) -> None:
    expected, spread = smooth()
    outcome = checked(way, tmp_path / "sharp.tif")
    lazy = checked(way).compute()
    with rasterio.open(tmp_path / "sharp.tif") as dataset:
        values, tags = dataset.read(1), dataset.tags()
    assert outcome.checks[0].result == "did not help"
    assert tags["MMSR_GEO_METHOD"] == "bicubic+consistency"
    assert float(lazy.guide_gain) == outcome.checks[0].gain
    assert np.abs(values - expected).max() <= 1e-5 * spread
    assert np.abs(values - lazy.values).max() <= 1e-6 * spread
    used = checked(way, if_unhelpful="warn").values
    assert np.abs(used - expected).max() > 0.01 * spread


@pytest.mark.parametrize("way", WAYS)
def test_an_unhelpful_guide_can_be_an_error_and_is_reported_once(tmp_path: Path, way: Way) -> None:
    with pytest.raises(mmsr_geo.UnhelpfulGuideError):
        checked(way, if_unhelpful="error").compute()
    with pytest.raises(mmsr_geo.UnhelpfulGuideError):
        checked(way, tmp_path / "sharp.tif", if_unhelpful="error")
    assert list(tmp_path.iterdir()) == []
    with pytest.warns(mmsr_geo.GuideWarning) as reported:
        checked(way).compute()
    assert len([warning for warning in reported if issubclass(warning.category, mmsr_geo.GuideWarning)]) == 1


def test_the_tiles_checks_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What each tile's fit found counts by its pixels; where a scene's model is adapted, what the scene's fit found."""
    require_gain(monkeypatch, -np.inf)
    seen: list[GuideCheck] = []
    predict: Callable[..., TilePrediction] = TileFit.predict

    def watched(self: TileFit, *arguments: Any) -> TilePrediction:
        made = predict(self, *arguments)
        seen.append(made.check)
        return made

    monkeypatch.setattr(TileFit, "predict", watched)
    gain = float(checked("tile").compute(scheduler="synchronous").guide_gain)
    assert len(seen) == 2
    assert all(len(check.regions) == 1 for check in seen)
    together = GuideCheck(tuple(region for check in seen for region in check.regions))
    assert gain == pytest.approx(together.gain)
    seen.clear()
    source = sentinel_crop(60, 60, 32, 56, 2).source
    scene = mmsr_geo.upsample(
        source, sentinel_guide(), 2, params=replace(PARAMS, steps=2, first_stage=None, ensemble=False)
    )
    assert float(checked("adapt").guide_gain) == float(scene.guide_gain)
    assert seen == []


def test_what_a_tile_found_is_counted_in_the_rasters_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    require_gain(monkeypatch, -np.inf)
    pair = Pair.of(open_source(sentinel_crop(60, 60, 32, 56, 2).source), open_guide(sentinel_guide()), Scale(2, 2))
    method = TileFit(replace(PARAMS, steps=1, first_stage=None))
    blended = method.blended(pair, Tiling(pair.part, (32, 28), method.halo(pair), pair.whole))
    _, last = blended.predictions
    made = method.predict(method.model_for(pair), last, *pair.read(last.read), pair.guide.bands)
    (region,) = made.check.regions
    assert (region.window.row, region.window.col) == (last.read.row, last.read.col)


@pytest.mark.parametrize("ensemble", [True, False])
def test_tiles_with_members_promise_what_is_expected(*, ensemble: bool) -> None:
    """Of the error that their fits measured; that of networks alone is as measured."""
    tiles = [GuideCheck((Region(Window(0, column, 8, 8), 64, 0.25, 1.0),)) for column in (0, 8)]
    params = mmsr_geo.FitParams(threads=1, ensemble=ensemble)
    together = TileFit(params).check(Interpolation("bicubic", Scale(2, 2)), tiles, cast("Pair", None))
    assert together.measured_gain == 0.5
    assert together.gain == pytest.approx(1 - 0.5**EXPECTED_POWER if ensemble else 0.5)
    assert together.least_gain == (LEAST_ENSEMBLE_GAIN if ensemble else LEAST_GAIN)
