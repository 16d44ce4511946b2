"""Gaussian means over source pixels by matrices are those of each pixel, averaged."""

from __future__ import annotations

import pytest
import torch

from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import degrade, degrade_valid
from mmsr_geo.network.variational.gaussian import smoothed, smoothed_means

SHAPE = 24, 36


@pytest.mark.parametrize("deviation", [(0.0, 0.0), (0.4, 1.7), (6.0, 0.0), (9.0, 14.0)])
@pytest.mark.parametrize("scale", [Scale(2, 2), Scale(3, 4), Scale(12, 9)])
def test_means_are_those_of_each_pixels_gaussian_mean(deviation: tuple[float, float], scale: Scale) -> None:
    layers = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    everywhere = torch.ones(SHAPE, dtype=torch.bool)
    expected, _ = degrade_valid(smoothed(layers, everywhere, deviation), everywhere, scale)
    torch.testing.assert_close(smoothed_means(layers, everywhere, deviation, scale), expected)


@pytest.mark.parametrize("deviation", [(0.0, 0.0), (1.2, 0.7)])
def test_invalid_pixels_have_no_weight(deviation: tuple[float, float]) -> None:
    scale, generator = Scale(3, 4), torch.Generator().manual_seed(1)
    layers = torch.randn(2, *SHAPE, generator=generator, dtype=torch.float64)
    valid = torch.rand(SHAPE, generator=generator) > 0.3
    valid[:3, :4] = False
    everywhere = torch.ones_like(valid)
    weights = valid.double()
    # Each valid pixel counts in a source pixel by what it shows of an image of it alone.
    shown, counted = (degrade(smoothed(each, everywhere, deviation), scale) for each in (layers * weights, weights))
    expected = torch.where(counted > 1e-6, shown / counted.clamp_min(1e-6), 0.0)
    found = smoothed_means(layers, valid, deviation, scale)
    torch.testing.assert_close(found, expected)
    garbage = torch.where(valid, layers, torch.full_like(layers, 1e3))
    torch.testing.assert_close(smoothed_means(garbage, valid, deviation, scale), found)
