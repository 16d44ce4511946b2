"""The alignment of a guide: its blur and shift are found again, with intervals; what is not certain is not taken."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage  # type: ignore[import-untyped]
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import degrade
from mmsr_geo.network.members.alignment import BLURS_PX, Found, _Blurs, _Residual, _Shifts, align
from mmsr_geo.network.members.fit import window_for
from mmsr_geo.network.members.layers import Alignment
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.network.sensor import Register
from support.scenes import fractal

FOUR = Scale(4, 4)


def pair(blur_px: float, shift: tuple[float, float] = (0.0, 0.0), scale: Scale = FOUR, seed: int = 0) -> Sample:
    """A source that is the guide blurred and moved, besides detail of its own, and the guide.

    The guide has to be moved by `shift`: it lies off by as much the other way.
    """
    side = 48 * scale.y + 32
    first, second, own = (fractal(side, 3 * seed + index) for index in range(3))
    seen = ndimage.gaussian_filter(first + 0.5 * second, blur_px) + 0.1 * ndimage.gaussian_filter(own, 3.0)
    moved = [ndimage.shift(band, (-shift[0], -shift[1]), order=5, mode="wrap") for band in (first, second)]
    inner = slice(16, side - 16)
    guide = torch.from_numpy(np.stack(moved)[:, inner, inner]).float()
    source = degrade(torch.from_numpy(seen[inner, inner]), scale).float()
    return Sample(source, source.isfinite(), guide, torch.ones(guide.shape[1:], dtype=torch.bool))


def found_of(sample: Sample, scale: Scale = FOUR, register: Register = "subpixel") -> Found:
    statistics = Statistics.of([sample])
    _, scaling = window_for(sample, statistics, scale, Alignment(), ["pooled regression"])
    return align([sample], statistics, scaling, scale, register)


@pytest.mark.parametrize("blur_px", [0.6, 1.2, 2.0])
def test_a_blur_is_found_again(blur_px: float) -> None:
    found = found_of(pair(blur_px))
    assert found.blur_px == pytest.approx(blur_px, abs=0.12)
    low, middle, high = found.blur_interval_px
    assert low <= middle <= high
    assert low - 0.1 <= blur_px <= high + 0.1
    assert found.agreeing > 0.9
    assert found.unexplained < 0.2
    assert found.shift_px == (0.0, 0.0)


@pytest.mark.parametrize("shift", [(0.3, 0.0), (-0.7, 0.3), (1.6, -0.7), (0.0, 1.6)])
def test_a_shift_is_found_to_a_sixth_of_a_target_pixel(shift: tuple[float, float]) -> None:
    found = found_of(pair(0.8, shift))
    assert found.shift_px == pytest.approx(shift, abs=0.15)
    (top, left), (bottom, right) = found.shift_interval_px
    assert top - 0.15 <= shift[0] <= bottom + 0.15
    assert left - 0.15 <= shift[1] <= right + 0.15
    assert found.blur_px == pytest.approx(0.8, abs=0.15)


def test_a_guide_is_moved_by_whole_pixels_by_a_known_shift_or_not() -> None:
    sample = pair(0.8, (1.3, -0.7))
    assert found_of(sample, register="whole").shift_px == (1.0, -1.0)
    assert found_of(sample, register="none").shift_px == (0.0, 0.0)
    known = found_of(sample, register=(1.3, -0.7))
    assert known.shift_px == (1.3, -0.7)
    assert known.shift_interval_px == ((1.3, -0.7), (1.3, -0.7))
    assert known.unexplained < found_of(sample, register="none").unexplained


def test_a_guide_of_noise_has_no_certain_blur() -> None:
    sample = pair(0.8)
    noise = torch.randn(sample.guide.shape, generator=torch.Generator().manual_seed(1))
    found = found_of(Sample(sample.source, sample.source_valid, noise, sample.guide_valid))
    assert found.agreeing < 0.7
    assert found.unexplained > 0.6
    assert found.shift_px == (0.0, 0.0)


def residual(cost: float, blocks: int = 64) -> _Residual:
    return _Residual(cost, np.full(blocks, cost**2))


@pytest.mark.parametrize(
    ("fall", "enough", "taken"), [(0.02, 0.985, True), (0.01, 0.985, False), (0.04, 1 - 8 / 150, False)]
)
def test_a_shift_has_to_explain_enough(fall: float, enough: float, *, taken: bool) -> None:
    """The residual is a bowl around the shift, and lower by `fall` there than without one."""
    at = 1.13, -0.4
    curvature = fall / math.hypot(*at) ** 2

    def cost(shift: tuple[float, float]) -> _Residual:
        away = math.hypot(shift[0] - at[0], shift[1] - at[1])
        return residual(1 - fall + curvature * away**2)

    shifts = _Shifts(cost, enough)
    assert shifts.found(whole=False) == (pytest.approx(at, abs=0.011) if taken else (0.0, 0.0))


def test_the_farthest_shift_is_none() -> None:
    shifts = _Shifts(lambda shift: residual(10 - shift[0]), 0.985)
    assert shifts.found(whole=False) == (0.0, 0.0)
    assert shifts.interval == ((-3.0, -3.0), (3.0, 3.0))


@pytest.mark.parametrize(("scale", "widest"), [(Scale(2, 2), 3.5), (Scale(16, 16), 3.5 * 1.3**5)])
def test_wider_blurs_are_tried_at_large_scales(scale: Scale, widest: float) -> None:
    tried: list[float] = []

    def falling(blur: float) -> _Residual:
        tried.append(blur)
        return residual(10 - blur / 10)

    assert _Blurs(falling, scale).best == 0.0
    assert max(tried) == pytest.approx(widest)
    few: list[float] = []

    def rising(blur: float) -> _Residual:
        few.append(blur)
        return residual(1 + (blur - 0.5) ** 2)

    assert _Blurs(rising, scale).best == pytest.approx(0.5, abs=0.02)
    assert max(few) == BLURS_PX[5]


def test_an_interval_is_that_of_blocks_that_disagree() -> None:
    """Half of the blocks are best at 0.6, half at 1.1: the middle lies between, the ends apart."""
    best = np.repeat([0.6, 1.1], 20)

    def of_blocks(blur: float) -> _Residual:
        blocks = 1 + (blur - best) ** 2
        return _Residual(math.sqrt(float(blocks.mean())), blocks)

    blurs = _Blurs(of_blocks, FOUR)
    low, middle, high = blurs.interval
    assert middle == pytest.approx(0.85, abs=0.03)
    assert 0.7 < low < 0.82
    assert 0.88 < high < 1.0
    assert blurs.agreeing(40 * 64) == 1.0


def test_registration_is_the_same_in_parts_of_a_raster() -> None:
    whole = pair(0.8, (0.7, 0.3), seed=1)
    statistics = Statistics.of([whole])
    _, scaling = window_for(whole, statistics, FOUR, Alignment(), ["pooled regression"])
    parts = [_quarter(whole, row, col) for row in (0, 1) for col in (0, 1)]
    assert align(parts, statistics, scaling, FOUR).shift_px == pytest.approx((0.7, 0.3), abs=0.15)


def _quarter(sample: Sample, row: int, col: int) -> Sample:
    coarse: tuple[slice, slice] = (slice(24 * row, 24 * row + 24), slice(24 * col, 24 * col + 24))
    fine = tuple(slice(4 * part.start, 4 * part.stop) for part in coarse)

    def cut(layers: Tensor, at: tuple[slice, ...]) -> Tensor:
        return layers[..., at[0], at[1]]

    return Sample(
        cut(sample.source, coarse),
        cut(sample.source_valid, coarse),
        cut(sample.guide, fine),
        cut(sample.guide_valid, fine),
    )
