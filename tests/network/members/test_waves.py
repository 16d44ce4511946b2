"""Waves that are never stored: the same as waves computed one by one, at gaps too."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import degrade_valid
from mmsr_geo.network.members.waves import CONTEXT_REACH_PX, LENGTHS, Standard, Waves, WavesOfWindow, context
from mmsr_geo.network.variational.gaussian import smoothed

COUNT = 37
"""No multiple of the number that is computed at once."""


def pair(gaps: float, size: tuple[int, int] = (24, 18)) -> tuple[Tensor, Tensor, Waves]:
    """Two layers with gaps, and waves of their valid pixels."""
    generator = torch.Generator().manual_seed(0)
    layers = torch.randn(2, *size, generator=generator, dtype=torch.float64)
    valid = torch.rand(*size, generator=generator) >= gaps
    return layers, valid, Waves.of(layers[:, valid], COUNT, generator)


def one_by_one(layers: Tensor, valid: Tensor, waves: Waves, blur_px: float) -> Tensor:
    """The slow way: each wave on the target grid, in float64."""
    found = []
    for wave in range(COUNT):
        values = torch.zeros(layers.shape[1:], dtype=torch.float64)
        for row in range(values.shape[0]):
            for col in range(values.shape[1]):
                if valid[row, col]:
                    scaled = (layers[:, row, col] - waves.inputs.centre) / waves.inputs.spread
                    angle = float(waves.frequencies[wave] @ scaled + waves.phases[wave])
                    values[row, col] = (math.cos(angle) - waves.outputs.centre[wave]) / waves.outputs.spread[wave]
        found.append(smoothed(values, valid, blur_px))
    return torch.stack(found)


@pytest.mark.parametrize("gaps", [0.0, 0.2])
@pytest.mark.parametrize("blur_px", [0.0, 0.8])
def test_means_and_sums_are_those_of_waves_one_by_one(gaps: float, blur_px: float) -> None:
    layers, valid, waves = pair(gaps)
    slow = one_by_one(layers, valid, waves, blur_px)
    fast = WavesOfWindow.of(waves, layers, valid, (blur_px, blur_px))
    scale, step = Scale(3, 2), Scale(2, 3)
    torch.testing.assert_close(fast.means(scale).double(), degrade_valid(slow, valid, scale)[0], rtol=0, atol=2e-5)
    coefficients = torch.randn(COUNT, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    summed = torch.tensordot(coefficients, slow, dims=1)
    torch.testing.assert_close(fast.weighted(coefficients), summed, rtol=0, atol=1e-4)
    coarse = fast.reduced(scale)
    torch.testing.assert_close(coarse.weighted(coefficients), degrade_valid(summed, valid, scale)[0], rtol=0, atol=1e-4)
    both = Scale(scale.y * step.y, scale.x * step.x)
    torch.testing.assert_close(coarse.means(step).double(), degrade_valid(slow, valid, both)[0], rtol=0, atol=2e-5)


def test_a_cut_keeps_the_first_rows_and_columns() -> None:
    layers, valid, waves = pair(0.1)
    whole = WavesOfWindow.of(waves, layers, valid, (0.0, 0.0))
    scale = Scale(2, 2)
    assert torch.equal(whole.cut(20, 12).means(scale), whole.means(scale)[:, :10, :6])


def test_waves_have_three_lengths_and_unit_spread() -> None:
    generator = torch.Generator().manual_seed(2)
    columns = torch.randn(4, 5000, generator=generator, dtype=torch.float64) * 7 + 3
    waves = Waves.of(columns, 3000, generator)
    sizes = [float(waves.frequencies[start::3].std()) for start in range(3)]
    assert sizes == pytest.approx([factor / 2 for factor in LENGTHS], rel=0.05)  # four layers
    shown = WavesOfWindow.of(waves, columns.reshape(4, 50, 100), torch.ones(50, 100, dtype=torch.bool), (0.0, 0.0))
    values = shown.weighted(torch.eye(3000, dtype=torch.float64)[7])
    assert float(values.mean()) == pytest.approx(0, abs=1e-5)
    assert float(values.std()) == pytest.approx(1, abs=1e-3)


def test_a_layer_that_does_not_vary_has_waves_of_0() -> None:
    columns = torch.full((2, 60), 4.0, dtype=torch.float64)
    waves = Waves.of(columns, 5, torch.Generator().manual_seed(0))
    shown = WavesOfWindow.of(waves, columns.reshape(2, 6, 10), torch.ones(6, 10, dtype=torch.bool), (0.5, 0.5))
    assert float(shown.weighted(torch.ones(5, dtype=torch.float64)).abs().max()) < 1e-3


def test_context_is_what_a_band_differs_by_around_a_pixel_and_reaches_no_farther() -> None:
    generator = torch.Generator().manual_seed(3)
    bands = torch.randn(2, 61, 67, generator=generator, dtype=torch.float64)
    valid = torch.ones(61, 67, dtype=torch.bool)
    valid[40:44, 10:14] = False
    found = context(bands, valid)
    assert found.shape == (8, 61, 67)
    torch.testing.assert_close(found[:2], bands)
    mean = smoothed(bands, valid, 2.0)
    torch.testing.assert_close(found[2:4], bands - mean)
    torch.testing.assert_close(found[4:6], bands - smoothed(bands, valid, 5.0))
    assert bool((found[6:] >= 0).all())
    flat = context(torch.full_like(bands, 2.5), valid)
    assert float(flat[2:6][:, valid].abs().max()) < 1e-9
    changed = bands.clone()
    changed[:, 30 + CONTEXT_REACH_PX + 1 :] += 1
    torch.testing.assert_close(context(changed, valid)[:, :31], found[:, :31], rtol=0, atol=1e-12)


def test_tensors_restore_the_waves() -> None:
    _, _, waves = pair(0.0)
    again = Waves.from_tensors(waves.tensors)
    assert {name: tuple(tensor.shape) for name, tensor in waves.tensors.items()} == Waves.shapes(2, COUNT)
    for name, tensor in waves.tensors.items():
        assert torch.equal(tensor, again.tensors[name])
    assert isinstance(again.inputs, Standard)
