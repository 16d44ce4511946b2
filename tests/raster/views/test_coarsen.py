"""Pixels averaged by whole numbers against numpy, by window and at the raster's end."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from mmsr_geo.geometry import Window
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.views.coarsen import Coarsened

PLACE = Affine(30.0, 0, 5e5, 0, -30.0, 4e6) * Affine.rotation(7)


def raster(height: int, width: int, missing: float = 0.0, seed: int = 0) -> ArrayRaster:
    generator = np.random.default_rng(seed)
    values = generator.normal(290, 5, (1, height, width)).astype(np.float32)
    values[generator.random(values.shape) < missing] = np.nan
    grid = GeoBox((height, width), PLACE, "EPSG:32618")
    return ArrayRaster.in_memory(values, grid, bands=("t",), name="made")


def test_whole_blocks_are_their_plain_means_and_the_grid_follows() -> None:
    fine = raster(12, 9)
    coarse = Coarsened(fine, 4, 3)
    values = fine.read(Window(0, 0, 12, 9)).values[0].astype(np.float64)
    expected = values.reshape(3, 4, 3, 3).mean(axis=(1, 3))
    pixels = coarse.read(Window(0, 0, 3, 3))
    assert np.array_equal(pixels.values[0], expected.astype(np.float32))
    assert pixels.valid.all()
    assert coarse.grid.shape.yx == (3, 3)
    assert coarse.grid.affine * (1, 1) == pytest.approx(fine.grid.affine * (3, 4))
    assert (coarse.bands, coarse.name, coarse.dtype) == (("t",), "made", np.dtype("float32"))


def test_a_block_is_nodata_where_more_than_half_of_it_is() -> None:
    fine = raster(4, 8)
    values = fine.raw.compute().copy()
    values[0, 0, :2] = values[0, 1, 0] = np.nan  # three quarters of the first block
    values[0, 0, 4:6] = np.nan  # half of the third
    values[0, 2, 2] = np.nan  # a quarter of another
    gappy = ArrayRaster.in_memory(values, fine.grid, bands=("t",), name="made")
    pixels = Coarsened(gappy, 2, 2).read(Window(0, 0, 2, 4))
    assert np.argwhere(~pixels.valid).tolist() == [[0, 0]]
    assert pixels.values[0, 1, 1] == pytest.approx(np.nanmean(values[0, 2:4, 2:4]), rel=1e-6)
    for most, missing in [(0.1, [[0, 0], [0, 2], [1, 1]]), (0.4, [[0, 0], [0, 2]]), (0.75, []), (1.0, [])]:
        made = Coarsened(gappy, 2, 2, most).read(Window(0, 0, 2, 4))
        assert np.argwhere(~made.valid).tolist() == missing


def test_what_reaches_beyond_the_raster_counts_by_its_share() -> None:
    fine = raster(5, 7)
    pixels = Coarsened(fine, 3, 3).read(Window(0, 0, 2, 3))
    values = fine.raw.compute()[0].astype(np.float64)
    assert pixels.values[0, 1, 0] == pytest.approx(values[3:5, :3].mean())  # two rows of three
    assert np.argwhere(~pixels.valid).tolist() == [[0, 2], [1, 2]]  # one column of three


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 5), st.integers(1, 5), st.floats(0, 0.9), st.data())
def test_a_window_is_the_same_part_of_the_whole(
    height: int, width: int, down: int, across: int, missing: float, data: st.DataObject
) -> None:
    coarse = Coarsened(raster(height, width, missing), down, across)
    rows, columns = coarse.grid.shape.yx
    whole = coarse.read(Window(0, 0, rows, columns))
    row, col = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    window = Window(row, col, data.draw(st.integers(1, rows - row)), data.draw(st.integers(1, columns - col)))
    part = coarse.read(window)
    assert np.array_equal(part.values[0], whole.values[0][window.slices], equal_nan=True)
    assert np.array_equal(part.valid, whole.valid[window.slices])
