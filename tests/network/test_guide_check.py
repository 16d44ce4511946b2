"""Whether the guide helped: how it is counted, what is made of it, and where it is reported and kept."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, get_args

import dask
import numpy as np
import pytest
import rasterio
import torch
import xarray as xr
from affine import Affine
from distributed import Client, LocalCluster
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import mmsr_geo
from mmsr_geo.geometry import Scale, Window
from mmsr_geo.methods import scene as methods
from mmsr_geo.methods import tile_fit as tilewise
from mmsr_geo.network import guide_check as checking
from mmsr_geo.network.degradation import bicubic, make_consistent
from mmsr_geo.network.fit import fit_samples
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.guide_check import (
    GuideCheck,
    Region,
    compare,
    expectation,
    guide_check_of,
    predict_at_reduced_resolution,
    reduce_sample,
    regions_of,
    result_of,
    validation_blocks,
)
from mmsr_geo.network.samples import Sample
from mmsr_geo.options import IfUnhelpful
from support.checks import require_gain
from support.rasters import block_means, georeferenced, sentinel_crop, sentinel_guide
from support.scenes import scene, with_gaps

pytestmark = pytest.mark.slow

TWO = Scale(2, 2)
SHORT = FitParams(steps=2, patch_px=24, threads=1, ensemble=False)
"""Far too short a fit to be better than an interpolation: its check says unhelpful."""
CHOICES: tuple[IfUnhelpful, ...] = get_args(IfUnhelpful)
HELPED = GuideCheck((Region(Window(0, 0, 32, 32), 100, 1.0, 4.0),))
UNHELPFUL = GuideCheck((Region(Window(0, 0, 32, 32), 100, 4.0, 1.0),))

scales = st.sampled_from([TWO, Scale(3, 3), Scale(4, 1), Scale(1, 5), Scale(16, 16)])


@given(st.integers(1, 300), st.integers(1, 300), scales)
def test_regions_cover_each_pixel_once(height: int, width: int, scale: Scale) -> None:
    seen = np.zeros((height, width), int)
    for window in regions_of((height, width), scale):
        assert min(window.shape) > 0
        seen[window.slices] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("scale", [TWO, Scale(4, 4), Scale(1, 3)])
def test_regions_are_about_56_pixels_a_side_and_each_holds_about_seven_validation_blocks(scale: Scale) -> None:
    held = validation_blocks((340, 230), scale)
    regions = regions_of((340, 230), scale)
    for region in regions:
        assert 40 < region.height < 66
        assert 40 < region.width < 66
        assert float(held[region.slices].float().mean()) == pytest.approx(1 / 7, abs=0.06)


def field_of_shares(shape: tuple[int, int], shares: list[float]) -> Tensor:
    """Give each region a share of its own."""
    field = torch.zeros(shape, dtype=torch.float64)
    for window, share in zip(regions_of(shape, TWO), shares, strict=True):
        field[window.slices] = share
    return field


def a_sample(height: int, width: int, *, missing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return a truth in a network's units, nodata filled with anything, and where it is asked for."""
    made = with_gaps(scene(height, width, TWO, centre=0, spread=1), source=missing)
    return torch.where(made.source_valid, made.source.double(), torch.tensor(0.3).double()), made.source_valid


@pytest.mark.parametrize(("height", "width", "missing"), [(112, 116, 0.0), (113, 117, 0.01)])
def test_gains_are_exactly_those_of_made_predictions(height: int, width: int, missing: float) -> None:
    """The prediction is consistent as it is made, so that nothing is corrected before it is compared."""
    truth, asked = a_sample(height, width, missing=missing)
    source, known = reduce_sample(truth, asked, TWO)
    smooth = make_consistent(bicubic(source, TWO), source, known, TWO)
    cut = truth[:112, :116]
    shares = [0.9, 1.3, 0.0, 0.5]
    share = field_of_shares((112, 116), shares)
    wanted = cut + share * (smooth - cut)
    judged = validation_blocks(truth.shape, TWO)

    def predict(reduced: Tensor) -> Tensor:
        assert torch.equal(reduced, source)
        return wanted

    compared_here = compare(
        predict_at_reduced_resolution([predict, lambda *_: cut], truth, asked, judged, TWO), TWO, (7, 11)
    )
    regions = guide_check_of(compared_here, (0, 1, 0)).regions
    halfway = guide_check_of(compared_here, (0, 0.5, 0.5)).regions
    assert [region.window for region in regions] == [
        Window(7 + row, 11 + col, 56, 58) for row, col in product((0, 56), (0, 58))
    ]
    compared = (asked & judged)[:112, :116]
    for region, window, share_here in zip(regions, regions_of((112, 116), TWO), shares, strict=True):
        here = compared[window.slices]
        assert region.validated_px == int(here.sum())
        errors = (smooth - cut)[window.slices][here]
        assert region.baseline_sum_squares == pytest.approx(float(errors.square().sum()), rel=1e-9)
        assert region.gain == pytest.approx(1 - share_here, abs=1e-6)
    assert [region.gain for region in halfway] == pytest.approx([1 - share_here / 2 for share_here in shares], abs=1e-6)
    check = GuideCheck(tuple(regions))
    model = sum(share_here**2 * region.baseline_sum_squares for share_here, region in zip(shares, regions, strict=True))
    pooled = 1 - math.sqrt(model / sum(region.baseline_sum_squares for region in regions))
    assert check.gain == pytest.approx(pooled, abs=1e-6)
    assert check.unhelpful_share == 0.25


def test_a_prediction_is_made_consistent_before_it_is_compared() -> None:
    truth, asked = a_sample(64, 64)
    judged = validation_blocks(truth.shape, TWO)
    compared = compare(predict_at_reduced_resolution([lambda *_: truth + 5], truth, asked, judged, TWO), TWO)
    assert guide_check_of(compared, (0, 1)).gain == pytest.approx(1, abs=1e-6)


def test_what_is_not_judged_does_not_count() -> None:
    truth, asked = a_sample(64, 64)
    judged = validation_blocks(truth.shape, TWO)
    source, known = reduce_sample(truth, asked, TWO)
    smooth = make_consistent(bicubic(source, TWO), source, known, TWO)
    blocks = torch.nn.functional.avg_pool2d(judged[None].float(), 2)[0] == 1
    inside = blocks.repeat_interleave(2, 0).repeat_interleave(2, 1)
    right = torch.where(inside, truth, smooth + (smooth - truth))
    compared = compare(predict_at_reduced_resolution([lambda *_: right], truth, asked, judged, TWO), TWO)
    assert torch.equal(inside, judged)
    assert guide_check_of(compared, (0, 1)).gain == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("gain", "result"),
    [
        (0.5, "helped"),
        (checking.LEAST_GAIN, "helped"),
        (checking.LEAST_GAIN - 1e-9, "did not help"),
        (0.0, "did not help"),
        (-3.0, "did not help"),
        (None, "unknown"),
        (math.nan, "unknown"),
    ],
)
def test_the_result_depends_on_the_gain(gain: float | None, result: str) -> None:
    assert result_of(gain) == result


def test_a_check_says_it_in_a_sentence() -> None:
    assert HELPED.gain == 0.5
    assert HELPED.sentence == (
        "the guide helped: the error is expected to be 0.50 times that of the bicubic baseline "
        "(measured: 0.50 at reduced resolution on validation blocks)"
    )
    assert HELPED.expected_errors is None
    expected = replace(HELPED, averaged_gain=0.6, expected_gain=expectation(0.5, 0.6))
    assert expected.expected_errors == pytest.approx((0.4 / 1.03, 0.4**0.25 * 1.03))
    assert expected.sentence == (
        "the guide helped: the error is expected to be 0.58 times that of the bicubic baseline, 0.39 to 0.82 times in "
        "nine of ten cases (measured: 0.50 at reduced resolution on validation blocks and 0.40 from the source "
        "averaged by 2)"
    )
    tiles = GuideCheck(HELPED.regions, expected_gain=expectation(0.5, None))
    assert tiles.expected_errors is None  # the range was found for errors from the averaged source
    worse = GuideCheck(averaged_gain=-0.5, expected_gain=expectation(None, -0.5))
    assert worse.expected_errors == pytest.approx((1.5**0.25 / 1.03, 1.5 * 1.03))
    both = GuideCheck(HELPED.regions + UNHELPFUL.regions + (Region(Window(0, 0, 4, 4), 0, 0.0, 0.0),))
    assert both.gain == pytest.approx(1 - math.sqrt(5 / 5))
    assert both.sentence.startswith("the guide did not help: the error is expected to be 1.00 times that of")
    assert both.sentence.endswith("; it helped in 1 of 2 regions")
    assert both.unhelpful_share == 0.5
    nothing = GuideCheck()
    assert (nothing.gain, nothing.result, nothing.unhelpful_share) == (None, "unknown", None)
    assert "unknown" in nothing.sentence


def test_what_an_interpolation_gets_right_no_guide_can_better() -> None:
    check = GuideCheck((Region(Window(0, 0, 4, 4), 16, 0.1, 0.0),))
    assert (check.gain, check.result) == (0.0, "did not help")


def fitted(sample: Sample, **options: Any) -> FittedModel:
    bands = tuple(f"band {number}" for number in range(len(sample.guide)))
    return fit_samples([sample], TWO, replace(SHORT, **options), guide_bands=bands)


@pytest.mark.parametrize(
    ("height", "width", "known"), [(32, 32, True), (33, 40, True), (31, 64, False), (64, 31, False)]
)
def test_below_16_pixels_at_reduced_resolution_nothing_is_known(height: int, width: int, *, known: bool) -> None:
    model = fitted(scene(height, width, TWO))
    assert (model.check.result != "unknown") is known
    assert (model.check.gain is not None) is known
    if known:
        covered = sum(region.window.height * region.window.width for region in model.check.regions)
        assert covered == height // 2 * 2 * (width // 2 * 2)


@pytest.mark.parametrize("first_stage", [True, None])
def test_a_fit_is_checked_whether_its_first_stage_is_kept_or_not(*, first_stage: bool | None) -> None:
    assert fitted(scene(34, 34, TWO), first_stage=first_stage).check.result == "did not help"
    assert fitted(scene(34, 34, TWO), first_stage=False).check.result == "unknown"


def test_the_regions_of_several_samples_lie_where_the_samples_do() -> None:
    samples = [replace(scene(34, 36, TWO, seed=seed), row=row, col=50) for seed, row in enumerate((4, 90))]
    check = fit_samples(samples, TWO, SHORT, guide_bands=("a", "b")).check
    assert [region.window for region in check.regions] == [Window(4, 50, 34, 36), Window(90, 50, 34, 36)]
    model, smooth = (
        sum(getattr(region, name) for region in check.regions) for name in ("sum_squares", "baseline_sum_squares")
    )
    assert check.gain == pytest.approx(1 - math.sqrt(model / smooth))


SIDE = 32
LEARNING = FitParams(patch_px=SIDE, lr=0.003, over_bicubic=True, threads=1, ensemble=False)
CORNER = Affine(20, 0, 500_000, 0, -20, 4_000_000)


@cache
def made_pair(*, shown: bool) -> tuple[xr.DataArray, xr.DataArray]:
    """Make a source full of detail and a guide that shows it, or one that has nothing to do with it; 20 and 10 m."""
    generator = np.random.default_rng(1)
    coarse, fine = generator.normal(size=(SIDE, SIDE)), generator.normal(size=(2 * SIDE, 2 * SIDE))
    truth = (coarse.repeat(2, 0).repeat(2, 1) + fine).astype(np.float32)
    guide = 100 * truth + 1000 if shown else generator.normal(1000, 100, truth.shape).astype(np.float32)
    source = georeferenced((block_means(truth, 2) + 290).astype(np.float32), CORNER, name="thermal")
    return source, georeferenced(guide, CORNER * Affine.scale(0.5), name="optical")


@cache
def made_model(*, shown: bool) -> FittedModel:
    """Fit to a made pair until it is sure whether its guide helps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mmsr_geo.GuideWarning)
        return mmsr_geo.fit(*made_pair(shown=shown), params=replace(LEARNING, steps=60 if shown else 40))


def test_a_guide_that_shows_the_source_helped() -> None:
    model = made_model(shown=True)
    assert model.check.result == "helped"
    assert model.check.gain is not None
    assert model.check.gain > 0.3


def test_a_guide_of_noise_did_not_help() -> None:
    model = made_model(shown=False)
    assert model.check.result == "did not help"
    assert model.check.gain is not None
    assert model.check.gain < 0.01


@pytest.mark.parametrize("check", [HELPED, GuideCheck(HELPED.regions + UNHELPFUL.regions), GuideCheck()])
def test_a_check_is_kept_in_the_models_file(tmp_path: Path, check: GuideCheck) -> None:
    model = replace(made_model(shown=True), check=check)
    model.save(tmp_path / "model.mmsr")
    assert mmsr_geo.load(tmp_path / "model.mmsr").check == check


def test_a_fits_own_check_comes_back_from_its_file(tmp_path: Path) -> None:
    model = made_model(shown=True)
    model.save(tmp_path / "model.mmsr")
    again = mmsr_geo.load(tmp_path / "model.mmsr")
    assert (again.check, again.digest) == (model.check, model.digest)
    assert model.with_statistics(model.statistics).check == model.check


def short_pair() -> tuple[xr.DataArray, xr.DataArray]:
    """Take a real pair large enough to be checked, and no larger."""
    return sentinel_crop(60, 60, 32, 36, 2).source, sentinel_guide()


def smooth_target(source: xr.DataArray, guide: xr.DataArray, **options: Any) -> xr.DataArray:
    return mmsr_geo.upsample(source, guide, 2, method="bicubic+consistency", **options).compute()


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note every fit of a model, by its seed."""
    made: list[int] = []

    def counted(*arguments: Any, **options: Any) -> FittedModel:
        made.append(options["seed"])
        return fit_samples(*arguments, **options)

    monkeypatch.setattr(methods, "fit_samples", counted)
    return made


@pytest.mark.filterwarnings("error::mmsr_geo.GuideWarning")
def test_a_guide_that_helped_is_used_and_nothing_is_said() -> None:
    source, guide = made_pair(shown=True)
    model = made_model(shown=True)
    given = [mmsr_geo.upsample(source, guide, model=model, if_unhelpful=choice).compute() for choice in CHOICES]
    assert np.array_equal(given[0], given[1])
    assert np.array_equal(given[0], given[2])
    assert float(np.abs(given[0] - smooth_target(source, guide)).max()) > 0.01


@pytest.mark.parametrize("tile_size", [None, 20])
def test_where_the_guide_did_not_help_the_consistent_bicubic_is_given(tile_size: int | None) -> None:
    source, guide = short_pair()
    options: dict[str, Any] = {"tile_size": tile_size}
    with pytest.warns(mmsr_geo.GuideWarning, match="did not help.*the target is interpolated from the source alone"):
        given = mmsr_geo.upsample(source, guide, 2, params=SHORT, **options).compute()
    expected = smooth_target(source, guide, **options)
    if tile_size is None:
        assert np.array_equal(given, expected)
    else:  # halos are longer than an interpolation asks for
        assert float(np.abs(given - expected).max()) <= 1e-5 * float(source.std())


def test_to_a_file_too(tmp_path: Path) -> None:
    source, guide = short_pair()
    with pytest.warns(mmsr_geo.GuideWarning, match="the target is interpolated from the source alone"):
        outcome = mmsr_geo.upsample_to_file(source, guide, tmp_path / "sharp.tif", 2, params=SHORT)
    check = outcome.checks[0]
    assert (len(outcome.checks), check.result) == (1, "did not help")
    with rasterio.open(tmp_path / "sharp.tif") as dataset:
        tags, values = dataset.tags(), dataset.read(1)
    assert np.array_equal(values, smooth_target(source, guide).values)
    assert tags["MMSR_GEO_GUIDE_GAIN"] == f"{check.gain:.4f}"
    assert tags["MMSR_GEO_GUIDE_CHECK"] == "did not help"
    assert tags["MMSR_GEO_METHOD"] == "bicubic+consistency"
    assert json.loads(tags["MMSR_GEO_OPTIONS"])["if_unhelpful"] == "interpolate"


def test_a_file_says_what_it_was_made_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tags(**options: Any) -> tuple[str, str, str]:
        mmsr_geo.upsample_to_file(source, guide, tmp_path / "sharp.tif", 2, overwrite=True, **options)
        with rasterio.open(tmp_path / "sharp.tif") as dataset:
            found = dataset.tags()
        return found["MMSR_GEO_METHOD"], found["MMSR_GEO_GUIDE_CHECK"], found["MMSR_GEO_GUIDE_GAIN"]

    source, guide = short_pair()
    with pytest.warns(mmsr_geo.GuideWarning):
        assert tags(params=SHORT, if_unhelpful="warn")[:2] == ("mmsr", "did not help")
    assert tags(params=replace(SHORT, first_stage=False)) == ("mmsr", "unknown", "unknown")
    assert tags(method="bicubic") == ("bicubic", "unknown", "unknown")
    assert tags(method="bicubic+consistency") == ("bicubic+consistency", "unknown", "unknown")
    require_gain(monkeypatch, -math.inf)
    assert tags(params=SHORT)[:2] == ("mmsr", "helped")


def test_each_band_has_a_guide_check_of_its_own(tmp_path: Path) -> None:
    """The second band is too full of nodata for a guide check."""
    source, guide = short_pair()
    path = tmp_path / "both.tif"
    both = np.stack([source.values, source.values])
    both[1, :, ::2] = np.nan
    georeferenced(both, source.rio.transform(), source.rio.crs.to_epsg()).rio.write_nodata(np.nan).rio.to_raster(path)
    with pytest.warns(mmsr_geo.GuideWarning):
        outcome = mmsr_geo.upsample_to_file(path, guide, tmp_path / "sharp.tif", 2, params=SHORT)
    assert len(outcome.checks) == 2
    with rasterio.open(tmp_path / "sharp.tif") as dataset:
        tags = dataset.tags()
    assert tags["MMSR_GEO_GUIDE_CHECK"] == ",".join(check.result for check in outcome.checks)
    assert len(tags["MMSR_GEO_GUIDE_GAIN"].split(",")) == 2
    assert len(tags["MMSR_GEO_METHOD"].split(",")) == 2


def test_with_warn_the_model_is_used_all_the_same() -> None:
    source, guide = short_pair()
    with pytest.warns(mmsr_geo.GuideWarning, match="did not help.*the guide is used anyway"):
        given = mmsr_geo.upsample(source, guide, 2, params=SHORT, if_unhelpful="warn").compute()
    with pytest.warns(mmsr_geo.GuideWarning):
        model = mmsr_geo.fit(source, guide, 2, params=SHORT)
    unknown = replace(model, check=GuideCheck())
    expected = mmsr_geo.upsample(source, guide, 2, model=unknown).compute()
    assert np.array_equal(given, expected)
    assert not np.allclose(given, smooth_target(source, guide), atol=1e-3 * float(source.std()), rtol=0)


def test_with_error_computing_fails_and_no_file_is_written(tmp_path: Path) -> None:
    source, guide = short_pair()
    lazy = mmsr_geo.upsample(source, guide, 2, params=SHORT, if_unhelpful="error")
    with pytest.raises(mmsr_geo.UnhelpfulGuideError, match=r"did not help.*another guide, or pass if_unhelpful="):
        lazy.compute()
    with pytest.raises(mmsr_geo.PixelError, match="did not help"):
        mmsr_geo.upsample_to_file(source, guide, tmp_path / "sharp.tif", 2, params=SHORT, if_unhelpful="error")
    assert list(tmp_path.iterdir()) == []


def test_the_guide_check_of_a_saved_model_counts_too(tmp_path: Path) -> None:
    source, guide = made_pair(shown=False)
    path = tmp_path / "model.mmsr"
    made_model(shown=False).save(path)
    with pytest.warns(mmsr_geo.GuideWarning, match="the target is interpolated from the source alone"):
        given = mmsr_geo.upsample(source, guide, model=path).compute()
    assert np.array_equal(given, smooth_target(source, guide))
    with pytest.warns(mmsr_geo.GuideWarning, match="used anyway"):
        used = mmsr_geo.upsample(source, guide, model=path, if_unhelpful="warn").compute()
    assert not np.array_equal(used, given)
    lazy = mmsr_geo.upsample(source, guide, model=path, if_unhelpful="error")
    with pytest.raises(mmsr_geo.UnhelpfulGuideError):
        lazy.compute()
    with pytest.raises(mmsr_geo.UnhelpfulGuideError):
        mmsr_geo.upsample_to_file(source, guide, tmp_path / "sharp.tif", model=path, if_unhelpful="error")
    assert [file.name for file in tmp_path.iterdir()] == ["model.mmsr"]


def test_two_models_that_differ_in_their_guide_check_alone_are_not_taken_for_one() -> None:
    """The keys of a graph are tokens of what decides the target, and a scheduler may keep what it has computed."""
    source, guide = made_pair(shown=True)
    model = made_model(shown=True)
    lazy = [
        mmsr_geo.upsample(source, guide, model=replace(model, check=check))
        for check in (HELPED, UNHELPFUL, GuideCheck())
    ]
    assert len({target.data.name for target in lazy}) == 3
    assert len({target.guide_gain.data.name for target in lazy}) == 3


def test_the_gain_is_a_lazy_coordinate_that_costs_no_second_fit(fits: list[int]) -> None:
    source, guide = short_pair()
    sharp = mmsr_geo.upsample(source, guide, 2, params=SHORT, seed=4, tile_size=32, if_unhelpful="warn")
    assert (sharp.guide_gain.shape, sharp.guide_gain.dtype) == ((), np.float64)
    assert "guide_gain" in repr(sharp)
    assert sharp.guide_gain.chunks == ()
    assert sharp.guide_gain.attrs["units"] == "1"
    assert isinstance((sharp * 2 + 1)[3:9], xr.DataArray)
    assert fits == []
    with pytest.warns(mmsr_geo.GuideWarning):
        done = sharp.compute()
    assert fits == [4]
    with pytest.warns(mmsr_geo.GuideWarning):
        model = mmsr_geo.fit(source, guide, 2, params=SHORT, seed=4)
    assert float(done.guide_gain) == model.check.gain
    with pytest.warns(mmsr_geo.GuideWarning):
        assert float(sharp.guide_gain) == model.check.gain


def test_a_gain_asked_for_alone_predicts_no_tile(monkeypatch: pytest.MonkeyPatch, fits: list[int]) -> None:
    source, guide = short_pair()
    sharp = mmsr_geo.upsample(source, guide, 2, params=SHORT, tile_size=32)
    monkeypatch.setattr("mmsr_geo.pipeline.lazy.predict_tile", None)
    with pytest.warns(mmsr_geo.GuideWarning):
        assert math.isfinite(float(sharp.guide_gain.compute()))
    assert fits == [0]


def test_a_gain_that_is_not_known_is_nan_and_other_methods_have_none() -> None:
    source, guide = short_pair()
    small = mmsr_geo.upsample(source[:16, :16], guide, 2, params=SHORT)
    assert math.isnan(float(small.guide_gain))
    unchecked = mmsr_geo.upsample(source, guide, 2, params=replace(SHORT, first_stage=False))
    assert math.isnan(float(unchecked.guide_gain))
    for method in ("nearest", "bicubic+consistency", "guided-filter"):
        assert "guide_gain" not in mmsr_geo.upsample(source, guide, 2, method=method).coords


def test_a_source_with_time_has_a_gain_a_date(fits: list[int]) -> None:
    source, guide = short_pair()
    dates = xr.DataArray(np.array(["2020-01-01", "2020-02-01"], "datetime64[ns]"), dims="time", name="time")
    cube = xr.concat([source, source[::-1].assign_coords(y=source.y)], dates)
    sharp = cube.mmsr.upsample(guide, 2, params=SHORT)
    assert sharp.guide_gain.dims == ("time",)
    assert fits == []
    with pytest.warns(mmsr_geo.GuideWarning):
        done = sharp.compute()
    assert len(fits) == 2
    with pytest.warns(mmsr_geo.GuideWarning):
        gains = [mmsr_geo.fit(cube[index], guide, 2, params=SHORT).check.gain for index in range(2)]
    assert done.guide_gain.values.tolist() == gains
    assert gains[0] != gains[1]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster,
        Client(cluster) as client,
    ):
        yield client


def test_the_decision_falls_on_the_cluster(client: Client) -> None:
    source, guide = short_pair()
    with dask.config.set(scheduler="synchronous"):
        expected = smooth_target(source, guide, tile_size=40)
    sharp = mmsr_geo.upsample(source, guide.chunk(x=200, y=200), 2, params=SHORT, tile_size=40)
    given = client.compute(sharp).result()
    assert float(np.abs(given - expected).max()) <= 1e-5 * float(source.std())
    assert math.isfinite(float(given.guide_gain))
    refusing = mmsr_geo.upsample(source, guide, 2, params=SHORT, tile_size=40, if_unhelpful="error")
    with pytest.raises(mmsr_geo.UnhelpfulGuideError, match="did not help"):
        client.compute(refusing).result()


def test_tile_fits_are_weighed_together_on_the_cluster(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tilewise, "OVERLAP_PX", 8)
    source, guide = short_pair()
    options: dict[str, Any] = {"fit": "tile", "params": SHORT, "tile_size": 64}
    with pytest.warns(mmsr_geo.GuideWarning):
        here = mmsr_geo.upsample(source, guide, 2, if_unhelpful="warn", **options).compute(scheduler="synchronous")
    there = client.compute(mmsr_geo.upsample(source, guide, 2, if_unhelpful="warn", **options)).result()
    assert np.abs(there.values - here.values).max() <= 1e-6 * float(source.std())
    assert float(there.guide_gain) == float(here.guide_gain)
    given = client.compute(mmsr_geo.upsample(source, guide, 2, **options)).result()
    assert np.abs(given.values - smooth_target(source, guide).values).max() <= 1e-5 * float(source.std())


def test_the_expected_gain_is_less_than_what_was_measured_from_the_averaged_source() -> None:
    assert expectation(None, None) is None
    assert expectation(0.5, None) == expectation(None, 0.5) == expectation(0.9, 0.5)
    gains = [expectation(None, gain) for gain in (-0.5, -0.1, 0.0, 0.3, 0.8, 1.0)]
    known = [gain for gain in gains if gain is not None]
    assert known == sorted(known)
    assert (known[2], known[-1]) == (0, 1)
    assert 0 < known[3] < 0.3
    assert -0.5 < known[0] < 0


def test_regions_have_less_gain_in_the_proportion_of_the_whole() -> None:
    check = replace(HELPED, expected_gain=0.2)
    assert (check.gain, check.measured_gain) == (0.2, 0.5)
    assert [check.gain_in(region) for region in check.regions] == pytest.approx([0.2] * len(check.regions))
    both = replace(GuideCheck(HELPED.regions + UNHELPFUL.regions), expected_gain=0.1)
    measured = [1 - (1 - (region.gain or 0)) * 0.9 / (1 - (both.measured_gain or 0)) for region in both.regions]
    assert [both.gain_in(region) for region in both.regions] == pytest.approx(measured)
    assert "(measured: 0.50 at reduced resolution on validation blocks)" in check.sentence
    assert "0.70 from the source averaged by 2" in replace(check, averaged_gain=0.3).sentence


def test_what_an_interpolation_gains_is_not_the_guides() -> None:
    assert HELPED.of_guide is HELPED
    alone = replace(HELPED, guided=False).of_guide
    assert [region.gain for region in alone.regions] == [0.0] * len(HELPED.regions)
