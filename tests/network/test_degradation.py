"""D, U and the solve that makes a target consistent, against loops, dense matrices and plain back-projection."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmsr_geo.geometry import Halo, Scale, Window
from mmsr_geo.network import degradation
from mmsr_geo.network.degradation import (
    BICUBIC_SUPPORT_PX,
    CONSISTENCY_SUPPORT_PX,
    FILL_PX,
    SPECTRUM,
    bicubic,
    bilinear,
    degrade,
    degrade_valid,
    fill_nodata,
    make_consistent,
    nearest,
)

Interpolation = Callable[[Tensor, Scale], Tensor]

EVERY_SCALE = [Scale(s, s) for s in (*range(2, 17), 24, 64)]
PAIRS = [Scale(2, 1), Scale(1, 3), Scale(3, 5), Scale(16, 2), Scale(1, 16)]
SOME_SCALES = [Scale(2, 2), Scale(3, 3), Scale(4, 4), Scale(8, 8), Scale(2, 1), Scale(1, 3), Scale(3, 5)]

small_scales = st.builds(Scale, st.integers(2, 5), st.integers(1, 5))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some(shape: tuple[int, int], share: float, seed: int = 0) -> Tensor:
    """Return (h, w) bool, about so many of them True."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < share


def block_means(target: Tensor, scale: Scale) -> Tensor:
    """Return D of a target, block by block."""
    values = target.double().numpy()
    rows, columns = values.shape[0] // scale.y, values.shape[1] // scale.x
    means = [
        [values[scale.y * r : scale.y * (r + 1), scale.x * c : scale.x * (c + 1)].mean() for c in range(columns)]
        for r in range(rows)
    ]
    return torch.from_numpy(np.array(means))


def keys(distance: float) -> float:
    """Return the cubic convolution kernel of Keys 1981 with a = -3/4."""
    a, d = -0.75, abs(distance)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def looped_bicubic(source: Tensor, scale: Scale) -> Tensor:
    """Return U of a source, pixel by pixel: positions are centres, the border pixel is repeated outside."""
    values = source.tolist()
    height, width = source.shape
    target = torch.empty(height * scale.y, width * scale.x, dtype=torch.float64)
    for row, col in product(range(target.shape[0]), range(target.shape[1])):
        y, x = (row + 0.5) / scale.y - 0.5, (col + 0.5) / scale.x - 0.5
        target[row, col] = sum(
            keys(y - k) * keys(x - j) * values[min(max(k, 0), height - 1)][min(max(j, 0), width - 1)]
            for k, j in product(
                range(math.floor(y) - 1, math.floor(y) + 3), range(math.floor(x) - 1, math.floor(x) + 3)
            )
        )
    return target


def test_degrading_is_the_mean_of_each_block() -> None:
    target = normal(12, 15)
    torch.testing.assert_close(degrade(target, Scale(4, 3)), block_means(target, Scale(4, 3)), rtol=0, atol=1e-14)
    stacked = torch.stack([target, 2 * target])[None]
    torch.testing.assert_close(degrade(stacked, Scale(4, 3))[0, 1], 2 * degrade(target, Scale(4, 3)))


@given(small_scales, st.integers(1, 5), st.integers(1, 5), st.floats(0, 1), st.integers(0, 99))
def test_only_valid_pixels_are_averaged_and_blocks_without_one_are_zero(
    scale: Scale, height: int, width: int, share: float, seed: int
) -> None:
    target = normal(2, height * scale.y, width * scale.x, seed=seed)
    valid = some((height * scale.y, width * scale.x), share, seed)
    means, shares = degrade_valid(target, valid, scale)
    assert means.shape == (2, height, width)
    for band, row, col in product(range(2), range(height), range(width)):
        block = Window(row, col, 1, 1).refined(scale).slices
        values = target[band][block][valid[block]]
        assert float(shares[row, col]) == pytest.approx(len(values) / scale.area)
        assert float(means[band, row, col]) == pytest.approx(float(values.mean()) if len(values) else 0.0)


@pytest.mark.parametrize("scale", [Scale(s, s) for s in (7, 11, 13, 64)])
def test_a_block_that_is_all_valid_has_a_share_of_one_exactly_in_float32(scale: Scale) -> None:
    target = torch.ones(2 * scale.y, 2 * scale.x)
    _, share = degrade_valid(target, torch.ones_like(target, dtype=torch.bool), scale)
    assert share.unique().tolist() == [1.0]


def test_what_stands_in_invalid_pixels_does_not_matter() -> None:
    target, valid = normal(6, 8), some((6, 8), 0.6)
    other = torch.where(valid, target, 1e9 * normal(6, 8, seed=1))
    for before, after in zip(
        degrade_valid(target, valid, Scale(2, 2)), degrade_valid(other, valid, Scale(2, 2)), strict=True
    ):
        assert torch.equal(before, after)


@pytest.mark.parametrize("scale", [Scale(2, 2), Scale(3, 4), Scale(1, 5), Scale(7, 1)])
@pytest.mark.parametrize("shape", [(5, 6), (1, 1), (2, 3), (1, 7)])
def test_bicubic_is_keys_kernel_pixel_by_pixel(scale: Scale, shape: tuple[int, int]) -> None:
    source = normal(*shape)
    torch.testing.assert_close(bicubic(source, scale), looped_bicubic(source, scale), rtol=0, atol=1e-13)


@pytest.mark.parametrize("scale", EVERY_SCALE + PAIRS)
@pytest.mark.parametrize("shape", [(7, 6), (1, 1), (1, 4)])
def test_interpolations_are_those_of_torch_in_float64(scale: Scale, shape: tuple[int, int]) -> None:
    source = normal(2, 1, *shape)
    size = (shape[0] * scale.y, shape[1] * scale.x)
    for mode, ours in (("bicubic", bicubic(source, scale)), ("bilinear", bilinear(source, scale))):
        theirs = F.interpolate(source, size=size, mode=mode, align_corners=False)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [Scale(2, 2), Scale(3, 4), Scale(1, 5)])
def test_a_bicubic_pixel_sees_as_far_as_stated_and_no_farther(scale: Scale) -> None:
    source = normal(9, 9)
    moved = source.clone()
    moved[4, 4] += 1
    rows, columns = (bicubic(source, scale) != bicubic(moved, scale)).nonzero(as_tuple=True)
    far_y, far_x = BICUBIC_SUPPORT_PX if scale.y > 1 else 0, BICUBIC_SUPPORT_PX if scale.x > 1 else 0
    assert {int(row) // scale.y for row in rows} == set(range(4 - far_y, 5 + far_y))
    assert {int(col) // scale.x for col in columns} == set(range(4 - far_x, 5 + far_x))


def test_interpolated_windows_are_windows_of_the_interpolated_in_float32() -> None:
    source = normal(400, 5).float()
    for scale, interpolate in product((Scale(3, 3), Scale(7, 7)), (bicubic, bilinear)):
        whole, window = interpolate(source, scale), interpolate(source[390:], scale)
        torch.testing.assert_close(window[2 * scale.y :], whole[392 * scale.y :], rtol=0, atol=1e-6)


@pytest.mark.parametrize("interpolate", [bicubic, bilinear])
def test_weights_first_asked_for_while_predicting_serve_gradients_later(interpolate: Interpolation) -> None:
    for cached in (degradation._phase_taps, degradation._bilinear_taps):
        cached.cache_clear()
    source = normal(4, 5)
    with torch.inference_mode():
        target = interpolate(source, Scale(3, 3))
    (gradient,) = torch.autograd.grad(interpolate(source.requires_grad_(), Scale(3, 3)).sum(), source)
    assert float((gradient * source.detach()).sum()) == pytest.approx(float(target.sum()))


def test_nearest_repeats_each_pixel_over_its_block() -> None:
    source = normal(3, 4)
    target = nearest(source, Scale(2, 3))
    assert target.shape == (6, 12)
    for row, col in product(range(6), range(12)):
        assert target[row, col] == source[row // 2, col // 3]


@pytest.mark.parametrize("scale", EVERY_SCALE + PAIRS)
def test_the_way_up_and_down_again_needs_no_target_grid(scale: Scale) -> None:
    for shape in ((9, 8), (2, 5), (1, 1)):
        field = normal(*shape)
        up_and_down = degrade(bicubic(field, scale), scale)
        torch.testing.assert_close(degradation._degrade_bicubic(field, scale), up_and_down, rtol=0, atol=1e-13)


@pytest.mark.parametrize("scale", EVERY_SCALE + PAIRS)
def test_the_eigenvalues_of_the_way_up_and_down_lie_within_the_spectrum(scale: Scale) -> None:
    """Nodata leave a principal submatrix; a grid of 1 x n has the border on both sides."""
    for height, width in ((8, 8), (1, 12), (3, 2), (1, 1)):
        units = torch.eye(height * width, dtype=torch.float64).view(-1, height, width)
        dense = torch.stack([degrade(bicubic(unit, scale), scale).flatten() for unit in units], dim=1)
        for share in (1.0, 0.9, 0.5, 0.2):
            asked = some((height, width), share, seed=height).flatten()
            if not bool(asked.any()):
                continue
            eigenvalues = torch.linalg.eigvals(dense[asked][:, asked])
            assert float(eigenvalues.real.min()) >= SPECTRUM[0]
            assert float(eigenvalues.real.max()) <= SPECTRUM[1]
            assert float(eigenvalues.imag.abs().max()) < 0.01


def tolerance(source: Tensor, valid: Tensor) -> float:
    """Exact, as the design says: 1e-5 of the source's deviation or 2 float32 ULP of its largest magnitude."""
    values = source[valid]
    ulp = float(np.spacing(np.float32(values.abs().max())))
    return max(1e-5 * float(values.std(correction=0)), 2 * ulp)


def off_prediction(source: Tensor, scale: Scale, seed: int = 0) -> Tensor:
    """Return what a network may say: detail, noise, and blocks that are off by 0.3 of the deviation."""
    spread = source.std(correction=0)
    height, width = source.shape
    detail = normal(height * scale.y, width * scale.x, seed=seed + 1)
    return bicubic(source, scale) + spread * (0.3 * nearest(normal(height, width, seed=seed), scale) + detail / 5)


@pytest.mark.parametrize(("centre", "spread"), [(0, 1), (300, 0.5), (1e6, 3), (-2e4, 1e3), (1e-9, 1e-10)])
@pytest.mark.parametrize("scale", EVERY_SCALE + PAIRS)
def test_the_block_means_of_a_target_are_its_source_at_every_scale(scale: Scale, centre: float, spread: float) -> None:
    """Measured on the target as it is given out, in float32, by block means in float64."""
    source = (normal(9, 10) * spread + centre).float().double()
    for share, precision in ((1.0, torch.float64), (0.7, torch.float32), (0.2, torch.float32)):
        valid = some((9, 10), share, seed=1)
        prediction = off_prediction(source - centre, scale).to(precision).double() + centre
        target = make_consistent(prediction, source, valid, scale)
        assert (target.dtype, target.shape) == (torch.float64, prediction.shape)
        error = (block_means(target.float(), scale) - source).abs()[valid]
        assert float(error.max()) <= tolerance(source, valid)
        assert float((degrade(target, scale) - source).abs()[valid].max()) <= 1e-12 * max(abs(centre), spread)


@settings(max_examples=40, deadline=None)
@given(small_scales, st.integers(1, 12), st.integers(1, 12), st.floats(0.05, 1), st.integers(0, 999))
def test_a_source_of_any_size_with_any_nodata_is_met(
    scale: Scale, height: int, width: int, share: float, seed: int
) -> None:
    source, valid = normal(height, width, seed=seed) * 8 + 290, some((height, width), share, seed)
    target = make_consistent(off_prediction(source, scale, seed), source, valid, scale)
    assert float(((degrade(target, scale) - source).abs() * valid).max()) < 1e-11 * 290


def test_where_the_source_is_nodata_its_value_does_not_matter() -> None:
    source, valid, scale = normal(9, 8), some((9, 8), 0.6), Scale(3, 3)
    prediction = off_prediction(source, scale)
    other = torch.where(valid, source, 1e6 * torch.ones_like(source))
    before, after = (make_consistent(prediction, values, valid, scale) for values in (source, other))
    assert torch.equal(before, after)


def test_a_prediction_that_is_consistent_is_left_alone() -> None:
    target = normal(12, 15)
    source = degrade(target, Scale(3, 3))
    valid = some((4, 5), 0.8)
    torch.testing.assert_close(make_consistent(target, source, valid, Scale(3, 3)), target, rtol=0, atol=1e-14)
    nothing = make_consistent(target, source + 1, torch.zeros_like(valid), Scale(3, 3))
    torch.testing.assert_close(nothing, target, rtol=0, atol=0)


@pytest.mark.parametrize("share", [1.0, 0.7])
@pytest.mark.parametrize("scale", SOME_SCALES)
def test_it_is_iterated_back_projection(scale: Scale, share: float) -> None:
    """Irani and Peleg 1991: X ← X + U(S - D(X)) until it stays, then what is left as a constant a block."""
    source, valid = normal(12, 11), some((12, 11), share)
    prediction = off_prediction(source, scale)
    target = prediction
    for _ in range(60):
        target = target + bicubic((source - degrade(target, scale)) * valid, scale)
    target = target + nearest((source - degrade(target, scale)) * valid, scale)
    ours = make_consistent(prediction, source, valid, scale)
    torch.testing.assert_close(ours, target, rtol=0, atol=1e-5)


@pytest.mark.parametrize("share", [1.0, 0.6])
@pytest.mark.parametrize("scale", EVERY_SCALE + PAIRS)
def test_next_to_nothing_is_left_to_the_block_term(scale: Scale, share: float) -> None:
    residual, asked = normal(13, 12), some((13, 12), share).double()
    residual = residual * asked
    correction = bicubic(degradation._solve(residual, asked, scale), scale)
    left = (residual - degrade(correction, scale)) * asked
    assert float(left.abs().max()) < 1e-5 * float(residual.abs().max())


@pytest.mark.parametrize("share", [1.0, 0.8])
@pytest.mark.parametrize("core", [Window(14, 13, 6, 7), Window(0, 0, 3, 30), Window(24, 20, 8, 10)])
@pytest.mark.parametrize("scale", SOME_SCALES)
def test_a_window_with_its_halo_is_corrected_as_the_whole(scale: Scale, core: Window, share: float) -> None:
    """Also when every block beyond the halo is off by a whole deviation, all in the same direction or turn by turn."""
    source, valid = normal(32, 30), some((32, 30), share)
    prediction = off_prediction(source, scale)
    receptive_field = CONSISTENCY_SUPPORT_PX
    read = core.padded(Halo(receptive_field, receptive_field), Window.whole((32, 30)))
    (rows, columns), (fine_rows, fine_columns) = read.slices, read.refined(scale).slices
    alone = make_consistent(prediction[fine_rows, fine_columns], source[rows, columns], valid[rows, columns], scale)
    window = alone[core.relative_to(read).refined(scale).slices]
    outside = torch.ones(32, 30, dtype=torch.float64)
    outside[rows, columns] = 0
    board = (-1.0) ** (torch.arange(32)[:, None] + torch.arange(30))
    for off in (0 * board, outside, outside * board):
        whole = make_consistent(prediction + nearest(off, scale), source, valid, scale)
        torch.testing.assert_close(window, whole[core.refined(scale).slices], rtol=0, atol=1e-5)


def looped_fill(source: Tensor, valid: Tensor, receptive_field: int) -> Tensor:
    """Carry values into nodata ring by ring: each the mean of what its neighbours held a ring before."""
    height, width = source.shape
    known = {
        (row, col): float(source[row, col])
        for row, col in product(range(height), range(width))
        if bool(valid[row, col])
    }
    for _ in range(receptive_field):
        ring = {}
        for row, col in product(range(height), range(width)):
            beside = [known[at] for at in product((row - 1, row, row + 1), (col - 1, col, col + 1)) if at in known]
            if (row, col) not in known and beside:
                ring[row, col] = sum(beside) / len(beside)
        known |= ring
    return torch.tensor([[known.get((row, col), 0.0) for col in range(width)] for row in range(height)]).double()


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.floats(0, 1), st.integers(0, 3), st.integers(0, 99))
def test_gaps_are_filled_ring_by_ring(height: int, width: int, share: float, receptive_field: int, seed: int) -> None:
    source, valid = normal(height, width, seed=seed), some((height, width), share, seed)
    gappy = source.masked_fill(~valid, torch.nan)
    filled = fill_nodata(gappy, valid, receptive_field)
    torch.testing.assert_close(filled, looped_fill(source, valid, receptive_field), rtol=0, atol=1e-6)
    assert torch.equal(filled[valid], source[valid])


def test_a_filled_gap_depends_on_what_lies_within_reach_alone() -> None:
    source, valid = normal(20, 20), some((20, 20), 0.2)
    filled = fill_nodata(source, valid)
    for row, col in product(range(6, 14), range(6, 14)):
        rows, columns = slice(row - FILL_PX, row + FILL_PX + 1), slice(col - FILL_PX, col + FILL_PX + 1)
        alone = fill_nodata(source[rows, columns], valid[rows, columns])
        assert float(alone[FILL_PX, FILL_PX]) == pytest.approx(float(filled[row, col]), abs=1e-12)


def test_gaps_out_of_reach_are_zero() -> None:
    valid = torch.zeros(9, 9, dtype=torch.bool)
    valid[0, 0] = True
    filled = fill_nodata(torch.full((9, 9), 7.0), valid)
    expected = torch.zeros(9, 9)
    expected[: FILL_PX + 1, : FILL_PX + 1] = 7
    torch.testing.assert_close(filled, expected)
    assert not bool(fill_nodata(torch.full((3, 3), torch.nan), torch.zeros(3, 3, dtype=torch.bool)).any())
