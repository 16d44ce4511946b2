"""Narrow gaps in a guide cost their own pixels alone, in tiles as in the whole; wide ones leave the source alone."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from rasterio import Affine
from scipy import ndimage  # type: ignore[import-untyped]

import mmsr_geo
from mmsr_geo import Flag
from support.rasters import block_means, georeferenced

SIDE, SCALE = 192, 4
METHODS: dict[str, dict[str, Any]] = {
    "guided-filter+consistency": {"method": "guided-filter+consistency"},
    "mmsr": {"quality": "draft", "psf": "none", "source_noise": "none"},
}
GAPS: dict[str, float | tuple[int, int]] = {
    "1 %": 0.01,
    "3 %": 0.03,
    "stripes of 2 in 7": (2, 7),
    "stripes of 4 in 14": (4, 14),
}
"""Shares of scattered pixels, and widths and distances of stripes."""
PLACE = Affine(10, 0, 5e5, 0, -10, 4e6)


@cache
def pair(seed: int = 0) -> tuple[NDArray[np.float64], xr.DataArray, xr.DataArray]:
    """A target that its guide shows but for noise, its source, and the guide."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), 1.2, mode="wrap")
    field /= field.std()
    truth = 300 + 5 * field + 0.3 * rng.standard_normal(field.shape)
    source = georeferenced(block_means(truth.astype(np.float32), SCALE).astype(np.float32), PLACE * Affine.scale(SCALE))
    return truth, source, georeferenced((500 * field + 3000).astype(np.float32), PLACE)


@cache
def gap(kind: str) -> NDArray[np.bool_]:
    of_kind = GAPS[kind]
    if isinstance(of_kind, float):
        return np.random.default_rng(1).random((SIDE, SIDE)) < of_kind
    rows, columns = np.mgrid[:SIDE, :SIDE]
    stripes: NDArray[np.bool_] = (rows + 0.15 * columns) % of_kind[1] < of_kind[0]
    return stripes


@cache
def made(method: str, kind: str = "", **options: Any) -> xr.DataArray:
    _, source, guide = pair()
    holed = guide.where(~gap(kind)) if kind else guide
    target: xr.DataArray = mmsr_geo.upsample(source, holed, SCALE, qa=True, **METHODS[method], **options)
    return target.compute(scheduler="synchronous")


def rmse(target: xr.DataArray) -> float:
    return float(np.sqrt(np.mean((target.values - pair()[0]) ** 2)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("kind", "most"), [("1 %", 1.2), ("3 %", 1.4)])
def test_scattered_holes_cost_little(method: str, kind: str, most: float) -> None:
    assert rmse(made(method, kind)) < most * rmse(made(method))
    flagged = made(method, kind).qa.values & Flag.GUIDE_GAP > 0
    assert (flagged == gap(kind)).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["stripes of 2 in 7", "stripes of 4 in 14"])
def test_stripes_cost_less_than_half_of_the_detail(method: str, kind: str) -> None:
    smooth = mmsr_geo.upsample(pair()[1], pair()[2], SCALE, method="bicubic").compute(scheduler="synchronous")
    target = made(method, kind)
    assert rmse(target) < 0.5 * rmse(smooth)
    np.testing.assert_allclose(block_means(target.values, SCALE), pair()[1].values, atol=2e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["3 %", "stripes of 4 in 14"])
def test_tiles_are_those_of_the_whole(method: str, kind: str) -> None:
    np.testing.assert_allclose(made(method, kind, tile_size=48), made(method, kind), atol=2e-3)


@pytest.mark.parametrize("method", ["bicubic+consistency", "nearest+consistency"])
def test_what_knows_no_guide_does_not_know_its_gaps(method: str) -> None:
    _, source, guide = pair()
    targets = [
        mmsr_geo.upsample(source, one, SCALE, method=method, qa=True).compute(scheduler="synchronous")
        for one in (guide, guide.where(~gap("3 %")))
    ]
    np.testing.assert_array_equal(targets[0].values, targets[1].values)
    assert not targets[1].qa.values.any()


def test_a_wide_gap_leaves_the_source_alone() -> None:
    _, source, guide = pair()
    holes = np.zeros((SIDE, SIDE), np.bool_)
    holes[60:120, 50:130] = True
    options: dict[str, Any] = {"method": "guided-filter", "qa": True}
    target = mmsr_geo.upsample(source, guide.where(~holes), SCALE, **options).compute(scheduler="synchronous")
    smooth = mmsr_geo.upsample(source, guide, SCALE, method="bicubic").compute(scheduler="synchronous")
    np.testing.assert_allclose(target.values[holes], smooth.values[holes], atol=1e-4)
    assert (target.qa.values[holes] & Flag.GUIDE_GAP > 0).all()


def test_the_uncertainty_is_that_of_an_interpolation_in_a_bridged_gap() -> None:
    target = made("mmsr", "3 %", uncertainty=True)
    assert np.median(target.uncertainty.values[gap("3 %")]) > 2 * np.median(target.uncertainty.values[~gap("3 %")])
