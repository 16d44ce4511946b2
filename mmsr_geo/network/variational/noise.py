"""Noise of a source: how much it has, and how softly a target of least energy then keeps to it; tensors only.

Both are read off the source's frequencies (Whittle 1953): detail falls with the frequency and is blurred by the sensor,
noise is the same everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.variational.energy import Energy
from mmsr_geo.network.variational.spectral import Spectrum, cosine_transform, finest_detail, symbol

POWERS: tuple[float, ...] = tuple(np.arange(1.5, 6.01, 0.25))
"""Powers with which detail may fall with the frequency, in variance: 2 is a source of edges, 4 a smooth terrain."""
NOISE_SHARES: tuple[float, ...] = (0.0, *np.geomspace(1e-3, 100, 46))
"""Variances of noise that are tried, in the mean variance of the detail that is seen."""
LOWEST = 0.1
"""Frequency, in cycles per two source pixels, below which a source's trends are left out."""
CERTAIN = 3.84
"""Twice the logarithm of the likelihood by which values within the 95 % interval fall short of the best."""
CERTAIN_PER_PX = 0.015
"""The same for each source pixel, where that is more and no blur smooths what is rough: detail follows no single power
exactly, and sources without noise that are rough in parts fall short by up to 0.011 (docs/decisions/021-the-sensor.md).
"""
MOST_SOFT = 16.0
"""Largest softness: with more a target would see too far, and hardly differ."""
MOST_FINE = math.log(1e10)
"""Logarithm of the largest variance of detail that is tried, in the smallest."""
FEWEST_PX = 64
"""Source pixels in all parts below which no noise is estimated."""


@dataclass(frozen=True, slots=True)
class NoiseEstimate:
    """Standard deviation of a source's noise, with its 95 % interval, in the units of the source."""

    value: float = 0.0
    low: float = 0.0
    high: float = 0.0

    @property
    def certain(self) -> float:
        """The noise, if there certainly is some; else 0."""
        return self.value if self.low > 0 else 0.0


def estimated_noise(sources: Sequence[Tensor], scale: Scale, blur_px: tuple[float, float]) -> NoiseEstimate:
    """Return the noise of a source, of which parts without nodata are given.

    The likelihood of noise beside detail whose variance falls with a power of the frequency, blurred and averaged as
    the sensor does, is largest at the estimate; of each noise the best power counts. Under a blur less has to speak for
    noise: there none was taken wrongly, and what is missed is amplified.

    Args:
        sources: (h, w) each, finite.
        scale: Target pixels per source pixel.
        blur_px: Standard deviations of the sensor's blur, down and across, in target pixels.
    """
    count = sum(source.numel() for source in sources)
    if count < FEWEST_PX:
        return NoiseEstimate()
    parts = [_Frequencies.of(source, scale, blur_px) for source in sources]
    squares = np.concatenate([part.squares for part in parts])
    found = np.concatenate([_likelihoods(squares, [part.detail(power) for part in parts]) for power in POWERS])
    best = found[found[:, 0].argmin()]
    rough = 0.0 if any(blur_px) else CERTAIN_PER_PX * count
    within = found[found[:, 0] < best[0] + max(CERTAIN, rough), 1]
    return NoiseEstimate(float(best[1]), float(within.min()), float(within.max()))


@dataclass(frozen=True, slots=True, eq=False)
class _Frequencies:
    """The squared frequencies of a part of a source, and what a sensor makes of a target's."""

    squares: NDArray[np.float64]
    laplacian: Tensor
    """(H, W): squared frequencies of the target, as its differences see them."""
    spectrum: Spectrum
    kept: Tensor
    """(h, w) bool: where trends are left out."""

    @classmethod
    def of(cls, source: Tensor, scale: Scale, blur_px: tuple[float, float]) -> _Frequencies:
        height, width = source.shape
        shape = height * scale.y, width * scale.x
        rows, columns = (2 - 2 * torch.cos(math.pi * torch.arange(n, dtype=torch.float64) / n) for n in shape)
        down, across = (torch.arange(n, dtype=torch.float64) / n for n in (height, width))
        kept = torch.hypot(down[:, None].expand(height, width), across.expand(height, width)) > LOWEST
        squares = cosine_transform(source.double().cpu()).square()[kept].numpy()
        return cls(squares, rows[:, None] + columns, Spectrum.of(shape, scale, blur_px), kept)

    def detail(self, power: float) -> NDArray[np.float64]:
        """Return the variance of each kept frequency of detail that falls with a power."""
        spectrum = self.laplacian.clone()
        spectrum[0, 0] = 1.0
        spectrum = spectrum ** (-power / 2)
        spectrum[0, 0] = 0.0
        of_source: NDArray[np.float64] = self.spectrum.average_of(spectrum)[self.kept].numpy()
        return of_source


def _likelihoods(squares: NDArray[np.float64], details: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return (n, 2) for the n NOISE_SHARES: -2 log likelihood, up to a constant, and the noise's standard deviation.

    Args:
        squares: Squared frequencies of all parts.
        details: Variance of the detail at these frequencies, for each part.
    """
    detail = np.concatenate(details)
    detail = detail / detail.mean()
    found = []
    for share in NOISE_SHARES:
        variances = detail + share
        mean = float((squares / variances).mean())
        unlikely = len(squares) * math.log(max(mean, np.finfo(float).tiny)) + float(np.log(variances).sum())
        found.append((unlikely, math.sqrt(share * mean)))
    return np.array(found)


def softness(
    residuals: Sequence[Tensor],
    energies: Sequence[Energy],
    scale: Scale,
    blur_px: tuple[float, float],
    noise: float,
) -> float:
    """Return how softly targets of least energy keep to residuals that have noise: see `Observation.softness`.

    The amplitude of the detail beside the noise is the one of the largest likelihood, at most MOST_SOFT times less than
    the noise.

    Args:
        residuals: (h, w) each: parts of what is spread over a target.
        energies: The energy of the target of each part; its weights count by their means.
        scale: Target pixels per source pixel.
        blur_px: The sensor's blur, in target pixels.
        noise: Standard deviation of the noise.
    """
    if noise == 0:
        return 0.0
    details, squares = [], []
    for residual, energy in zip(residuals, energies, strict=True):
        seen = Spectrum.of(energy.shape_yx, scale, blur_px).average_of(1 / symbol(energy))
        details.append((seen / finest_detail(scale)).flatten()[1:].numpy())
        squares.append(cosine_transform(residual.double().cpu()).square().flatten()[1:].numpy())
    detail, square, variance = np.concatenate(details), np.concatenate(squares), noise**2

    def unlikely(logarithm: float) -> float:
        """-2 times the logarithm of the likelihood of noise beside detail of an amplitude."""
        expected = math.exp(logarithm) * detail + variance
        return float((np.log(expected) + square / expected).sum())

    none = math.log(variance / MOST_SOFT)
    found = minimize_scalar(unlikely, bounds=(none, none + MOST_FINE), method="bounded")
    return float(variance / math.exp(found.x))
