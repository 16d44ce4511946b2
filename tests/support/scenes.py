"""Made pairs for tests of the network and its fit: tensors with masks, no raster."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import degrade
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.samples import Sample
from mmsr_geo.network.stacking import StackingWeights


def scene(
    height: int,
    width: int,
    scale: Scale,
    *,
    bands: int = 2,
    seed: int = 0,
    centre: float = 290.0,
    spread: float = 4.0,
) -> Sample:
    """Make a pair of (height, width) source pixels without nodata: warm and cool patches that the guide shows too."""
    truth = patches(height * scale.y, width * scale.x, seed)
    source = degrade(truth, scale) * spread + centre
    generator = torch.Generator().manual_seed(seed + 1)
    noise = torch.randn(bands, *truth.shape, generator=generator) * 0.05
    gains = torch.linspace(-1, 1.5, bands)[:, None, None]
    guide = 100 * (gains * truth + 0.3 * truth**2 + noise) + 1000
    return Sample(
        source.float(),
        torch.ones(source.shape, dtype=torch.bool),
        guide.float(),
        torch.ones(truth.shape, dtype=torch.bool),
    )


def patches(height: int, width: int, seed: int) -> Tensor:
    """Return (height, width) float64: waves cut to steps, of mean about 0 and deviation about 1."""
    generator = torch.Generator().manual_seed(seed)
    row, col = torch.arange(height)[:, None], torch.arange(width)
    field = torch.zeros(height, width, dtype=torch.float64)
    for _ in range(6):
        down, across, phase = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
        field += torch.sin(row * (down - 0.5) + col * (across - 0.5) + 6.3 * phase)
    return field.round() / 1.7


def with_gaps(sample: Sample, *, source: float = 0.0, guide: float = 0.0, seed: int = 0) -> Sample:
    """Make so large a share of the source's and of the guide's pixels nodata, NaN as they are read."""
    generator = torch.Generator().manual_seed(seed)
    source_valid = torch.rand(sample.source.shape, generator=generator) >= source
    guide_valid = torch.rand(sample.guide_valid.shape, generator=generator) >= guide
    return Sample(
        sample.source.masked_fill(~source_valid, torch.nan),
        source_valid,
        sample.guide.masked_fill(~guide_valid, torch.nan),
        guide_valid,
    )


def with_both_parts(network: FittedModel, members: FittedModel, weight: float = 0.5) -> FittedModel:
    """Return a model with the network of one and the members of another, whose predictions are averaged."""
    return replace(network, members=members.members, stacking=StackingWeights(weight, 1 - weight))


def fractal(side: int, seed: int, power: float = 1.0) -> np.ndarray:
    """A picture whose amplitude falls with the frequency, of mean 0 and deviation 1."""
    noise = np.fft.rfft2(np.random.default_rng(seed).standard_normal((side, side)))
    frequencies = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    frequencies[0, 0] = 1.0
    picture: np.ndarray = np.fft.irfft2(noise / frequencies**power, (side, side))
    scaled: np.ndarray = (picture - picture.mean()) / picture.std()
    return scaled
