"""How overlapping predictions are put together, against loops over single pixels."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmsr_geo.engine.blending import BlendedTiling
from mmsr_geo.geometry import Halo, Scale, Tiling, Window

Predictions = dict[int, NDArray[np.float32]]


@st.composite
def axes(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    """Along one axis: where the part begins, its length, the whole's, a tile's and the overlap."""
    before, length, after = draw(st.integers(0, 7)), draw(st.integers(1, 23)), draw(st.integers(0, 7))
    return before, length, before + length + after, draw(st.integers(1, 25)), draw(st.integers(0, 9))


@st.composite
def tilings(draw: st.DrawFn) -> BlendedTiling:
    """Any tiling and any overlap: parts at the raster's corner and inside it, tiles smaller than the overlap."""
    (top, height, whole_height, tile_height, over_y), (left, width, whole_width, tile_width, over_x) = (
        draw(axes()),
        draw(axes()),
    )
    tiling = Tiling(
        Window(top, left, height, width), (tile_height, tile_width), Halo(2, 3), Window(0, 0, whole_height, whole_width)
    )
    scale = draw(st.sampled_from([Scale(2, 2), Scale(3, 1), Scale(1, 2), Scale(4, 4)]))
    return BlendedTiling(tiling, Halo(over_y, over_x), Halo(draw(st.integers(0, 9)), draw(st.integers(0, 9))), scale)


@st.composite
def windows(draw: st.DrawFn, blended: BlendedTiling) -> Window:
    """Any window of what is predicted."""
    span = blended.span
    row, col = draw(st.integers(0, span.height - 1)), draw(st.integers(0, span.width - 1))
    height, width = draw(st.integers(1, span.height - row)), draw(st.integers(1, span.width - col))
    return Window(span.row + row, span.col + col, height, width)


def line(start: int, length: int, tiles: int = 10, overlap: int = 3, *, raster: int = 40) -> BlendedTiling:
    """Tiles side by side, one source pixel high."""
    part, whole = Window(0, start, 1, length), Window(0, 0, 1, raster)
    return BlendedTiling(Tiling(part, (1, tiles), Halo(0, 0), whole), Halo(0, overlap), Halo(0, 9), Scale(1, 2))


def constants(blended: BlendedTiling, values: list[float]) -> Predictions:
    """Let each tile predict one value everywhere."""
    shapes = [tile.core.refined(blended.scale).shape for tile in blended.predictions]
    return {i: np.full(shape, value, np.float32) for i, (shape, value) in enumerate(zip(shapes, values, strict=True))}


def cut(field: NDArray[np.float32], blended: BlendedTiling) -> Predictions:
    """Let all tiles predict one field of the span."""
    place = {t.index: t.core.relative_to(blended.span).refined(blended.scale).slices for t in blended.predictions}
    return {index: field[slices] for index, slices in place.items()}


def random_field(blended: BlendedTiling, seed: int = 0) -> NDArray[np.float32]:
    shape = blended.span.refined(blended.scale).shape
    return np.random.default_rng(seed).normal(300, 5, shape).astype(np.float32)


def meet(one: Window, other: Window) -> bool:
    """Whether two windows share a pixel, pixel by pixel."""
    pixels = set(product(range(one.row, one.row + one.height), range(one.col, one.col + one.width)))
    return any(
        pixel in pixels
        for pixel in product(range(other.row, other.row + other.height), range(other.col, other.col + other.width))
    )


def weight_along(place: float, core: tuple[int, int], part: tuple[int, int], overlap: int) -> float:
    """By hand: 1/2 at a border with another tile, falling to 0 where the tile's prediction would end."""
    start, end = core
    weights = [1.0]
    if overlap and start > part[0]:
        weights.append(0.5 + 0.5 * (place - start) / overlap)
    if overlap and end < part[1]:
        weights.append(0.5 + 0.5 * (end - place) / overlap)
    return min(weights)


@given(st.data())
def test_contributors_are_the_tiles_whose_prediction_meets_the_window(data: st.DataObject) -> None:
    blended = data.draw(tilings())
    window = data.draw(windows(blended))
    assert blended.contributors(window) == [t.index for t in blended.predictions if meet(t.core, window)]


@given(tilings())
def test_a_prediction_is_a_core_and_the_overlap_within_the_span_and_reads_its_halo(blended: BlendedTiling) -> None:
    tiling = blended.tiling
    assert len(blended) == len(list(tiling))
    for tile, predicted, target in zip(tiling, blended.predictions, blended.targets, strict=True):
        assert (tile.index, tile.core) == (target.index, target.core) == (predicted.index, tiling.core(tile.index))
        assert predicted.core == tile.core.padded(blended.overlap, tiling.part.padded(blended.overlap, tiling.within))
        assert predicted.read == predicted.core.padded(tiling.halo, tiling.within)
        assert target.read == tile.core.padded(blended.around, blended.span)
        assert target.read.intersection(tile.core) == tile.core


@given(tilings())
def test_weights_are_the_ramps_drawn_by_hand_and_never_0(blended: BlendedTiling) -> None:
    part, scale = blended.tiling.part, blended.scale
    for tile in blended.predictions:
        core = blended.tiling.core(tile.index)
        weights = blended.weights(core)
        assert weights.shape == tile.core.refined(scale).shape
        assert 0 < weights.min() <= weights.max() <= 1
        down = [
            weight_along(
                tile.core.row + (row + 0.5) / scale.y,
                (core.row, core.row + core.height),
                (part.row, part.row + part.height),
                blended.overlap.y,
            )
            for row in range(weights.shape[0])
        ]
        across = [
            weight_along(
                tile.core.col + (col + 0.5) / scale.x,
                (core.col, core.col + core.width),
                (part.col, part.col + part.width),
                blended.overlap.x,
            )
            for col in range(weights.shape[1])
        ]
        np.testing.assert_allclose(weights, np.outer(down, across), rtol=1e-12)


@given(st.data())
def test_every_pixel_is_the_weighted_mean_of_the_predictions_that_hold_it(data: st.DataObject) -> None:
    blended = data.draw(tilings())
    window = data.draw(windows(blended))
    generator = np.random.default_rng(0)
    predictions = {
        tile.index: generator.normal(300, 5, tile.core.refined(blended.scale).shape).astype(np.float32)
        for tile in blended.predictions
    }
    total, weight = (np.zeros(window.refined(blended.scale).shape) for _ in range(2))
    for tile in blended.predictions:
        shares = blended.weights(blended.tiling.core(tile.index))
        place = tile.core.relative_to(window).refined(blended.scale)
        for row, col in np.ndindex(shares.shape):
            at = row + place.row, col + place.col
            if 0 <= at[0] < total.shape[0] and 0 <= at[1] < total.shape[1]:
                total[at] += shares[row, col] * predictions[tile.index][row, col]
                weight[at] += shares[row, col]
    assert weight.min() > 0
    near = {index: predictions[index] for index in blended.contributors(window)}
    np.testing.assert_allclose(blended.blend(window, near), total / weight, rtol=1e-12)


@given(st.data())
def test_equal_predictions_are_their_blend_and_no_window_differs_from_the_whole(data: st.DataObject) -> None:
    blended = data.draw(tilings())
    window = data.draw(windows(blended))
    field = random_field(blended)
    predictions = cut(field, blended)
    np.testing.assert_allclose(blended.blend(blended.span, predictions), field, rtol=1e-12)
    near = {index: predictions[index] for index in blended.contributors(window)}
    here = window.relative_to(blended.span).refined(blended.scale).slices
    np.testing.assert_allclose(blended.blend(window, near), field[here], rtol=1e-12)


def test_the_order_in_which_predictions_come_changes_no_bit() -> None:
    blended = BlendedTiling(
        Tiling(Window(0, 0, 12, 12), (4, 4), Halo(0, 0), Window(0, 0, 12, 12)), Halo(3, 3), Halo(2, 2), Scale(2, 2)
    )
    generator = np.random.default_rng(1)
    ordered = {
        t.index: generator.normal(300, 5, t.core.refined(blended.scale).shape).astype(np.float32)
        for t in blended.predictions
    }
    shuffled = {index: ordered[index] for index in (4, 0, 8, 2, 6, 1, 7, 3, 5)}
    np.testing.assert_array_equal(blended.blend(blended.span, ordered), blended.blend(blended.span, shuffled))


@given(st.data())
def test_tiles_that_disagree_are_blended_without_a_step(data: st.DataObject) -> None:
    """A target pixel's step is at most the difference over the ramp's length, times the ramps that meet there.

    Two do at most where tiles are as long as the overlap; of smaller tiles as many as reach one pixel.
    """
    blended = data.draw(tilings())
    assume(blended.overlap.y and blended.overlap.x)
    values = data.draw(st.lists(st.floats(0, 1, width=32), min_size=len(blended), max_size=len(blended)))
    blend = blended.blend(blended.span, constants(blended, values))
    difference = max(values) - min(values)
    for axis, (overlap, factor, sizes) in enumerate(
        (
            (blended.overlap.y, blended.scale.y, blended.tiling.chunks[0]),
            (blended.overlap.x, blended.scale.x, blended.tiling.chunks[1]),
        )
    ):
        ramps = 2 if all(size >= overlap for size in sizes[:-1]) else most_at_one_place(sizes, overlap)
        steps = np.abs(np.diff(blend, axis=axis))
        assert steps.max(initial=0) <= ramps * difference / (2 * overlap * factor) + 1e-9


def most_at_one_place(sizes: tuple[int, ...], overlap: int) -> int:
    """Count the tiles of a row, grown by the overlap, that hold one source pixel, where most do."""
    edges = [sum(sizes[:number]) for number in range(len(sizes) + 1)]
    return max(
        sum(first - overlap <= at < last + overlap for first, last in pairwise(edges)) for at in range(edges[-1])
    )


@pytest.mark.parametrize("start", [0, 4])
@pytest.mark.parametrize(("length", "raster"), [(20, 40), (20, 24), (11, 15), (12, 16), (15, 19)])
def test_between_two_tiles_the_blend_is_one_straight_line_half_way_at_the_border(
    start: int, length: int, raster: int
) -> None:
    """So also beside a last tile of a pixel or two, where the raster's end cuts what its neighbour predicts."""
    blended = line(start, length, raster=raster)
    blend = blended.blend(blended.span, constants(blended, [2.0, 5.0]))[0]
    place = (np.arange(len(blend)) + 0.5) / 2 + blended.span.col
    wanted = 3.5 + 3 * np.clip((place - (start + 10)) / 6, -0.5, 0.5)
    np.testing.assert_allclose(blend, wanted, rtol=1e-12)
    border = 2 * (start + 10 - blended.span.col)
    assert (blend[border - 1] + blend[border]) / 2 == pytest.approx(3.5)


def test_a_part_inside_a_raster_is_predicted_beyond_its_own_border_but_not_faded_there() -> None:
    blended = line(4, 10)
    assert blended.span == Window(0, 1, 1, 16)
    assert (blended.weights(Window(0, 4, 1, 10)) == 1).all()


def test_without_an_overlap_the_tiles_stand_side_by_side() -> None:
    blended = line(0, 20, overlap=0)
    blend = blended.blend(blended.span, constants(blended, [2.0, 5.0]))[0]
    assert (blend[:20] == 2).all()
    assert (blend[20:] == 5).all()
