"""Narrow gaps are filled from the pixels around them, in any window as in the whole; wide ones stay."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio import Affine

from mmsr_geo.geometry import Window
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.views.bridged import NEAR_PX, WIDEST_PX, Bridged, filled, narrow_gaps

HALF = WIDEST_PX // 2


def squares_without_a_valid_pixel(valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a gap lies in a square, wider than a gap may be, without a valid pixel: not narrow. Slow and obvious."""
    height, width = valid.shape
    wide = np.zeros_like(valid)
    for row, col in product(range(height), range(width)):
        around = slice(max(0, row - HALF), row + HALF + 1), slice(max(0, col - HALF), col + HALF + 1)
        if not valid[around].any():
            wide[around] = True
    return wide


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.99])
def test_a_gap_is_narrow_where_no_wider_square_fits_into_it(share: float) -> None:
    valid = np.random.default_rng(0).random((40, 37)) >= share
    valid[5:25, 8:30] &= np.random.default_rng(1).random((20, 22)) < 0.01
    assert (narrow_gaps(valid) == ~valid & ~squares_without_a_valid_pixel(valid)).all()


@pytest.mark.parametrize(("width", "narrow"), [(1, True), (WIDEST_PX, True), (WIDEST_PX + 1, False)])
def test_a_stripe_is_bridged_up_to_its_width(width: int, *, narrow: bool) -> None:
    valid = np.ones((50, 60), np.bool_)
    valid[:, 20 : 20 + width] = False
    assert (narrow_gaps(valid) == (~valid if narrow else np.zeros_like(valid))).all()


def test_a_cloud_keeps_its_outline() -> None:
    rows, columns = np.mgrid[:80, :80]
    valid = np.hypot(rows - 40, columns - 40) > 25
    narrow = narrow_gaps(valid)
    assert narrow.sum() < 0.02 * (~valid).sum()  # the tips of the disc, where no square fits
    assert not narrow[np.hypot(rows - 40, columns - 40) < 23.5].any()


def test_values_are_weighted_means_of_the_valid_ones() -> None:
    rng = np.random.default_rng(2)
    valid = rng.random((30, 34)) > 0.2
    values = rng.normal(size=(2, 30, 34)).astype(np.float32)
    values[:, ~valid] = np.nan
    made = filled(values, valid, ~valid)
    assert (made[:, valid] == values[:, valid]).all()
    rows, columns = np.nonzero(valid)
    for row, col in zip(*np.nonzero(~valid), strict=True):
        weights = np.zeros(len(rows))
        for deviation, weight in NEAR_PX:
            reach = min(WIDEST_PX, int(np.ceil(4 * deviation)))
            taps = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * deviation**2))
            down, right = rows - row, columns - col
            near = (abs(down) <= reach) & (abs(right) <= reach)
            weights += weight * near * np.exp(-(down**2 + right**2) / (2 * deviation**2)) / taps.sum() ** 2
        expected = (values[:, rows, columns] * weights).sum(axis=1) / weights.sum()
        np.testing.assert_allclose(made[:, row, col], expected, rtol=2e-5, atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(
    share=st.sampled_from([0.0, 0.02, 0.3, 0.8]),
    stripe=st.integers(0, 15),
    window=st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 20), st.integers(1, 20)),
)
def test_a_window_is_that_of_the_whole(share: float, stripe: int, window: tuple[int, int, int, int]) -> None:
    rng = np.random.default_rng(stripe)
    values = rng.normal(size=(2, 64, 62)).astype(np.float32)
    values[:, rng.random((64, 62)) < share] = np.nan
    values[:, 20 : 20 + stripe] = np.nan
    grid = GeoBox((64, 62), Affine(10, 0, 5e5, 0, -10, 4e6), "EPSG:32618")
    raster = Bridged(ArrayRaster.in_memory(values, grid, bands=("red", "nir"), name="guide"))
    whole, part = raster.read(Window(0, 0, 64, 62)), raster.read(Window(*window))
    rows, columns = Window(*window).slices
    np.testing.assert_allclose(part.values, whole.values[:, rows, columns], rtol=1e-6, atol=1e-7)
    assert (part.valid == whole.valid[rows, columns]).all()
    bridged = np.zeros(part.valid.shape, np.bool_) if part.bridged is None else part.bridged
    known = np.asarray(np.isfinite(values[:, rows, columns]).all(axis=0))
    assert (bridged == part.valid & ~known).all()
    assert (part.values[:, known] == values[:, rows, columns][:, known]).all()
