"""Waves of a guide: random Fourier features, computed hundreds at a time when they are needed; tensors only."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import degrade_valid
from mmsr_geo.network.variational.gaussian import radius_px, smoothed

NEUTRAL = 1e-12
"""Least spread of a feature: one that does not vary stays 0."""
LEAST_SPREAD = 1e-4
"""Least spread of a wave and of its layers, above what rounding makes of those that do not vary."""
MOST_COLUMNS = 2**16
"""Largest number of pixels whose waves are measured; of more, every n-th."""
AT_ONCE = 16
"""Number of waves that are computed at once: a copy of hundreds takes kilobytes a pixel."""
LENGTHS = (1.0, 0.5, 2.0)
"""Factors on the frequencies of every third wave: a guide's coarse and fine differences both matter."""
CONTEXT_PX = (2.0, 5.0)
"""Standard deviations, in target pixels, of the Gaussians whose means are taken off a band as its context."""
CONTEXT_REACH_PX = radius_px(max(CONTEXT_PX))
"""Target pixels around a pixel that its context depends on."""


@dataclass(frozen=True, slots=True, eq=False)
class Standard:
    """Centre and spread of features over a raster."""

    centre: Tensor
    """(K,) float64."""
    spread: Tensor
    """(K,) float64."""

    @classmethod
    def of(cls, columns: Tensor, least: float = NEUTRAL) -> Self:
        """Return those of (K, n) values; `least` is added to the spread."""
        return cls(columns.mean(dim=1), columns.std(dim=1, correction=0) + least)

    def __call__(self, features: Tensor, valid: Tensor) -> Tensor:
        """Return features (K, H, W) in these units, 0 where they are not valid."""
        scaled = (features - self.centre[:, None, None]) / self.spread[:, None, None]
        return torch.where(valid, scaled, torch.zeros((), dtype=scaled.dtype, device=scaled.device))


def context(bands: Tensor, valid: Tensor) -> Tensor:
    """Return bands (C, H, W), what they differ by from their means, and their deviation around a pixel: (4 C, H, W)."""
    means = [smoothed(bands, valid, deviation) for deviation in CONTEXT_PX]
    spread = (smoothed(bands.square(), valid, CONTEXT_PX[0]) - means[0].square()).clamp_min(0).sqrt()
    return torch.cat([bands, *(bands - mean for mean in means), spread])


@dataclass(frozen=True, slots=True, eq=False)
class Waves:
    """Random Fourier features of layers (Rahimi and Recht 2007): cosines of random sums of them."""

    inputs: Standard
    """Of the layers."""
    frequencies: Tensor
    """(W, K) float64."""
    phases: Tensor
    """(W,) float64."""
    outputs: Standard
    """Of the waves."""

    @classmethod
    def of(cls, columns: Tensor, count: int, generator: torch.Generator) -> Self:
        """Draw `count` waves of layers with these values (K, n)."""
        columns = columns[:, :: math.ceil(columns.shape[1] / MOST_COLUMNS)]
        layers, inputs = len(columns), Standard.of(columns, LEAST_SPREAD)
        frequencies = torch.randn(count, layers, generator=generator, dtype=torch.float64) / math.sqrt(layers)
        for start, factor in enumerate(LENGTHS):
            frequencies[start :: len(LENGTHS)] *= factor
        phases = 2 * math.pi * torch.rand(count, generator=generator, dtype=torch.float64)
        frequencies, phases = frequencies.to(columns), phases.to(columns)
        scaled = (columns - inputs.centre[:, None]) / inputs.spread[:, None]
        waves = torch.cos(frequencies @ scaled + phases[:, None])
        return cls(inputs, frequencies, phases, Standard.of(waves, LEAST_SPREAD))

    @classmethod
    def shapes(cls, layers: int, count: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the tensors, by name, of `count` waves."""
        return {
            **dict.fromkeys(("inputs.centre", "inputs.spread"), (layers,)),
            "frequencies": (count, layers),
            **dict.fromkeys(("phases", "outputs.centre", "outputs.spread"), (count,)),
        }

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {
            "inputs.centre": self.inputs.centre,
            "inputs.spread": self.inputs.spread,
            "frequencies": self.frequencies,
            "phases": self.phases,
            "outputs.centre": self.outputs.centre,
            "outputs.spread": self.outputs.spread,
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> Self:
        """Return the waves of tensors by name."""
        inputs, outputs = (Standard(tensors[f"{side}.centre"], tensors[f"{side}.spread"]) for side in _SIDES)
        return cls(inputs, tensors["frequencies"], tensors["phases"], outputs)


_SIDES = ("inputs", "outputs")


@dataclass(frozen=True, slots=True, eq=False)
class WavesOfWindow:
    """The waves of a window, each blurred, computed when they are needed: none is stored on the target grid."""

    waves: Waves
    layers: Tensor
    """(K, H, W) float32: the layers in the waves' units."""
    valid: Tensor
    """(H, W) bool."""
    blur_px: tuple[float, float]
    """Standard deviations of the Gaussian that blurs each wave, down and across, in target pixels."""
    psf_px: tuple[float, float] = (0.0, 0.0)
    """Blur of the sensor, in target pixels, if they are on a coarser grid."""
    reduced_by: Scale | None = None
    """Target pixels per pixel of the coarser grid on which they are features; None: they are on the target grid."""

    @classmethod
    def of(cls, waves: Waves, layers: Tensor, valid: Tensor, blur_px: tuple[float, float]) -> Self:
        """Return the waves of layers (K, H, W)."""
        return cls(waves, waves.inputs(layers, valid).float(), valid, blur_px)

    def means(self, scale: Scale, out: Tensor | None = None, psf_px: tuple[float, float] = (0.0, 0.0)) -> Tensor:
        """Return the means of each wave that a source shows, (W, h, w) float32, over `scale` pixels of its grid.

        Args:
            scale: Pixels of the grid on which they are features, per pixel of the means.
            out: Where they are written; None: into a new tensor.
            psf_px: Blur of the sensor before the mean, down and across, in pixels of its grid.
        """
        by = self.reduced_by
        whole = scale if by is None else Scale(scale.y * by.y, scale.x * by.x)
        height, width = (side // by_axis for side, by_axis in zip(self.valid.shape, (whole.y, whole.x), strict=True))
        found = self.layers.new_empty(len(self.waves.phases), height, width) if out is None else out
        if by is not None:
            psf_px = psf_px[0] * by.y, psf_px[1] * by.x
        blur = self._blurred_by(psf_px)
        for start in range(0, len(found), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            found[part] = degrade_valid(smoothed(self._values(part), self.valid, blur), self.valid, whole)[0]
        return found

    def weighted(self, coefficients: Tensor) -> Tensor:
        """Return the sum of the waves times their coefficients (W,), on their grid: (H, W) float64.

        It is blurred once, which is the same as the sum of blurred waves.
        """
        total = torch.zeros(self.layers.shape[1:], dtype=torch.float64, device=self.layers.device)
        for start in range(0, len(coefficients), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            total += torch.tensordot(coefficients[part].float(), self._values(part), dims=1)
        blurred = smoothed(total, self.valid, self._blurred_by((0.0, 0.0)))
        return blurred if self.reduced_by is None else degrade_valid(blurred, self.valid, self.reduced_by)[0]

    def cut(self, height: int, width: int) -> WavesOfWindow:
        """Return the waves of the first rows and columns, in pixels of the target grid."""
        return replace(self, layers=self.layers[:, :height, :width], valid=self.valid[:height, :width])

    def reduced(self, scale: Scale, psf_px: tuple[float, float] = (0.0, 0.0)) -> WavesOfWindow:
        """Return the waves as features of a coarser grid, of which each pixel is `scale` pixels of the target grid.

        Args:
            scale: Pixels of the target grid per pixel of the coarser one.
            psf_px: Blur of the sensor before the mean, in target pixels.
        """
        return replace(self, reduced_by=scale, psf_px=psf_px)

    def _blurred_by(self, psf_px: tuple[float, float]) -> tuple[float, float]:
        """Return the standard deviations of all blurs together, in target pixels."""
        down, across = (math.hypot(*blurs) for blurs in zip(self.blur_px, self.psf_px, psf_px, strict=True))
        return down, across

    def _values(self, part: slice) -> Tensor:
        """Return some of the waves in their units, not blurred: (n, H, W) float32, 0 where they are not valid."""
        waves = self.waves
        values = torch.tensordot(waves.frequencies[part].float(), self.layers, dims=1)
        values = values.add_(waves.phases[part].float()[:, None, None]).cos_()
        centre, spread = (of.float()[part, None, None] for of in (waves.outputs.centre, waves.outputs.spread))
        scaled: Tensor = values.sub_(centre).div_(spread).mul_(self.valid)
        return scaled
