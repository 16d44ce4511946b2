"""Scales, windows and tilings against counting pixels one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmsr_geo.errors import GridError, OptionError
from mmsr_geo.geometry import LARGEST_SCALE, Halo, Scale, Tiling, Window

windows = st.builds(Window, st.integers(-9, 30), st.integers(-9, 30), st.integers(0, 25), st.integers(0, 25))
scales = st.builds(Scale, st.integers(2, 9), st.integers(1, 9))


@st.composite
def tilings(draw: st.DrawFn) -> Tiling:
    """Any part of any raster, any tile, any halo; tiles may be larger than the part."""
    height, width = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    row, col = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    part = Window(row, col, draw(st.integers(1, height - row)), draw(st.integers(1, width - col)))
    tile = draw(st.integers(1, 35)), draw(st.integers(1, 35))
    halo = Halo(draw(st.integers(0, 12)), draw(st.integers(0, 12)))
    return Tiling(part, tile, halo, Window.whole((height, width)))


def marked(window: Window) -> NDArray[np.bool_]:
    """Mark a window's pixels on a board whose pixel (20, 20) is the origin, asking each whether it is inside."""
    board = np.zeros((90, 90), bool)
    for row in range(90):
        if window.row <= row - 20 < window.row + window.height:
            for col in range(90):
                board[row, col] = window.col <= col - 20 < window.col + window.width
    return board


@pytest.mark.parametrize(
    ("given_as", "y", "x"),
    [(4, 4, 4), ((2, 3), 2, 3), ([1, 2], 1, 2), ((5, 1), 5, 1), (Scale(2, 7), 2, 7), (np.int64(3), 3, 3), (64, 64, 64)],
)
def test_a_scale_is_made_of_a_whole_number_a_pair_or_a_scale(given_as: Any, y: int, x: int) -> None:
    scale = Scale.of(given_as)
    assert scale == Scale(y, x)
    assert (type(scale.y), type(scale.x)) == (int, int)


@pytest.mark.parametrize(
    "wrong", [True, "4", "44", 2.0, (2.0, 2), (2, 3, 4), (2,), None, (True, 2), (2, "2"), np.array([2, 2]), {2, 3}]
)
def test_what_is_no_whole_number_is_refused_as_a_scale_and_named(wrong: Any) -> None:
    with pytest.raises(OptionError, match="whole number or a pair") as refusal:
        Scale.of(wrong)
    assert repr(wrong) in str(refusal.value)


@pytest.mark.parametrize("wrong", [1, 0, -4, (1, 1), (0, 4), (4, 0), (-2, 3)])
def test_a_scale_that_refines_nothing_is_refused(wrong: Any) -> None:
    with pytest.raises(GridError, match="refines nothing: pass a whole number of 2 or more"):
        Scale.of(wrong)


def test_a_scale_beyond_the_largest_is_refused_with_the_number() -> None:
    with pytest.raises(GridError, match=f"65 is above {LARGEST_SCALE}"):
        Scale.of(LARGEST_SCALE + 1)
    with pytest.raises(GridError, match="2 x 65"):
        Scale.of((2, 65))
    assert Scale(2, 65).area == 130  # of the averaged source that members are compared on


def test_a_scale_prints_as_it_is_given_and_counts_its_pixels() -> None:
    assert [str(Scale(4, 4)), str(Scale(2, 1))] == ["4", "2 x 1"]
    assert Scale(3, 5).area == 15


@given(windows, windows)
def test_an_intersection_holds_what_both_hold(a: Window, b: Window) -> None:
    both = a.intersection(b)
    assert min(both.shape) >= 0
    np.testing.assert_array_equal(marked(both), marked(a) & marked(b))
    if both.height and both.width:
        assert both == b.intersection(a)


@given(windows, scales)
def test_a_refined_window_holds_the_blocks_of_its_pixels(window: Window, scale: Scale) -> None:
    fine = window.refined(scale)
    assert fine.shape == (window.height * scale.y, window.width * scale.x)
    assert (fine.row, fine.col) == (window.row * scale.y, window.col * scale.x)


@given(windows, st.integers(0, 9), st.integers(0, 9))
def test_a_padded_window_holds_the_halo_as_far_as_there_are_pixels(window: Window, y: int, x: int) -> None:
    within = Window(-3, 2, 30, 20)
    grown = Window(window.row - y, window.col - x, window.height + 2 * y, window.width + 2 * x)
    np.testing.assert_array_equal(marked(window.padded(Halo(y, x), within)), marked(grown) & marked(within))


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_slices_cut_a_window_and_relative_windows_cut_it_from_a_cut(row: int, col: int, down: int, across: int) -> None:
    board = np.arange(400).reshape(20, 20)
    outer = Window(row, col, 12, 13)
    inner = Window(row + down, col + across, 4, 3)
    cut = board[inner.slices]
    assert cut.shape == inner.shape
    assert cut[0, 0] == 20 * inner.row + inner.col
    np.testing.assert_array_equal(board[outer.slices][inner.relative_to(outer).slices], cut)


@given(tilings())
def test_the_cores_of_a_tiling_cover_its_part_once_and_nothing_else(tiling: Tiling) -> None:
    times = np.zeros(tiling.within.shape, int)
    for tile in tiling:
        assert min(tile.core.shape) >= 1
        assert tile.core.height <= tiling.tile_yx[0]
        assert tile.core.width <= tiling.tile_yx[1]
        times[tile.core.slices] += 1
    wanted = np.zeros_like(times)
    wanted[tiling.part.slices] = 1
    np.testing.assert_array_equal(times, wanted)


@given(tilings())
def test_a_tile_reads_its_halo_and_never_beyond_the_raster(tiling: Tiling) -> None:
    height, width = tiling.within.shape
    for tile in tiling:
        rows = [r for r in range(height) if -tiling.halo.y <= r - tile.core.row < tile.core.height + tiling.halo.y]
        columns = [c for c in range(width) if -tiling.halo.x <= c - tile.core.col < tile.core.width + tiling.halo.x]
        assert tile.read == Window(rows[0], columns[0], len(rows), len(columns))


@given(tilings())
def test_tiles_are_counted_and_come_row_by_row(tiling: Tiling) -> None:
    tiles = list(tiling)
    assert len(tiling) == len(tiles)
    assert [tile.index for tile in tiles] == list(range(len(tiles)))
    assert tiles == sorted(tiles, key=lambda tile: (tile.core.row, tile.core.col))
    rows, columns = tiling.chunks
    assert [tile.core.shape for tile in tiles] == [(row, column) for row in rows for column in columns]
    assert (sum(rows), sum(columns)) == tiling.part.shape


@given(tilings())
def test_the_halo_share_is_what_is_read_beyond_what_is_written(tiling: Tiling) -> None:
    read = np.zeros(tiling.within.shape, int)
    for tile in tiling:
        read[tile.read.slices] += 1
    written = tiling.part.height * tiling.part.width
    assert tiling.halo_share == pytest.approx((read.sum() - written) / written)
    assert tiling.halo_share >= 0


def test_a_tiling_without_a_halo_reads_nothing_twice() -> None:
    tiling = Tiling(Window(0, 0, 10, 7), (4, 3), Halo(0, 0), Window.whole((10, 7)))
    assert tiling.chunks == ((4, 4, 2), (3, 3, 1))
    assert tiling.halo_share == 0
