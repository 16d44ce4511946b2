"""Block means and energies of constant weights in the frequencies of a cosine transform, where both are simple.

Under a border that reflects, an energy with constant weights is diagonal in the frequencies of the type II cosine
transform, and the block means map each group of aliased frequencies of the target to one of the source. So the target
of least energy with given block means has a closed form. Tensors only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import scipy.fft  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.variational.energy import Energy, Step
from mmsr_geo.network.variational.gaussian import taps

REFERENCE_PX = 16
"""Side, in source pixels, of the window in which the finest detail is measured: a constant of each scale."""


def cosine_transform(values: Tensor) -> Tensor:
    """Return the orthonormal type II cosine transform of (H, W), in its dtype."""
    if values.device.type == "cpu":
        result: Tensor = torch.from_numpy(scipy.fft.dctn(values.numpy(), type=2, norm="ortho"))
    else:
        result = _dct_last(_dct_last(values).transpose(0, 1)).transpose(0, 1)
    return result


def inverse_cosine_transform(values: Tensor) -> Tensor:
    """Return the inverse of `cosine_transform`."""
    if values.device.type == "cpu":
        result: Tensor = torch.from_numpy(scipy.fft.idctn(values.numpy(), type=2, norm="ortho"))
    else:
        result = _idct_last(_idct_last(values).transpose(0, 1)).transpose(0, 1)
    return result


def _dct_last(values: Tensor) -> Tensor:
    """Type II cosine transform along the last axis, by a Fourier transform of the reordered values (Makhoul 1980)."""
    length = values.shape[-1]
    reordered = torch.cat([values[..., ::2], values[..., 1::2].flip(-1)], dim=-1)
    turned = torch.fft.fft(reordered) * _half_turns(length, values)
    scaled: Tensor = turned.real * math.sqrt(2 / length)
    scaled[..., 0] /= math.sqrt(2)
    return scaled


def _idct_last(values: Tensor) -> Tensor:
    length = values.shape[-1]
    scaled = values * math.sqrt(length / 2)
    scaled[..., 0] *= math.sqrt(2)
    mirrored = torch.cat([torch.zeros_like(scaled[..., :1]), scaled[..., 1:].flip(-1)], dim=-1)
    reordered = torch.fft.ifft(torch.complex(scaled, -mirrored) * _half_turns(length, values).conj()).real
    result = torch.empty_like(reordered)
    result[..., ::2] = reordered[..., : (length + 1) // 2]
    result[..., 1::2] = reordered[..., (length + 1) // 2 :].flip(-1)
    return result


def _half_turns(length: int, like: Tensor) -> Tensor:
    angles = -math.pi / (2 * length) * torch.arange(length, dtype=like.dtype, device=like.device)
    return torch.polar(torch.ones_like(angles), angles)


@dataclass(frozen=True, slots=True, eq=False)
class _Aliases:
    """The frequencies of an axis of the target that are one frequency of the source after averaging."""

    of: Tensor
    """(n, s) int64: for each frequency of the source those of the target; 0 where there are fewer."""
    weights: Tensor
    """(n, s): what the mean leaves of each, 0 where there are fewer."""

    @classmethod
    def along(cls, length: int, factor: int, blur_px: float = 0.0) -> Self:
        """Return the aliases of `length` target pixels blurred by a Gaussian and averaged by `factor`."""
        count = length // factor
        of, weights = np.zeros((count, factor), np.int64), np.zeros((count, factor))
        frequencies = np.arange(length)
        angles = np.pi * frequencies / (2 * length)
        damping = np.ones(length)
        damping[1:] = np.sin(factor * angles[1:]) / (factor * np.sin(angles[1:]))
        damping *= _blurred(2 * angles, blur_px)
        folds = (frequencies + count) // (2 * count)
        source = np.abs(frequencies - 2 * count * folds)
        signed = np.where(folds % 2, -1, 1) * damping / math.sqrt(factor)
        for frequency in frequencies[(source < count) & ((source > 0) | (frequencies == 0))]:
            place = frequency // count
            of[source[frequency], place], weights[source[frequency], place] = frequency, signed[frequency]
        return cls(torch.from_numpy(of), torch.from_numpy(weights))


def _blurred(angles: NDArray[np.float64], blur_px: float) -> NDArray[np.float64]:
    """Return what a Gaussian, cut as `gaussian.taps` cuts it, leaves of frequencies, in radians per pixel."""
    weights = taps(blur_px)
    distances = np.arange(len(weights)) - len(weights) // 2
    left: NDArray[np.float64] = np.cos(angles[:, None] * distances) @ np.array(weights)
    return left


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """Block means of (H, W), blurred before, in the frequencies of the cosine transform.

    H and W are whole multiples of the scale.
    """

    scale: Scale
    shape_yx: tuple[int, int]
    rows: _Aliases
    columns: _Aliases

    @classmethod
    def of(cls, shape_yx: tuple[int, int], scale: Scale, blur_px: tuple[float, float] = (0.0, 0.0)) -> Spectrum:
        """Return the spectrum of targets of a shape, blurred by a Gaussian down and across."""
        return _spectrum(shape_yx, scale, blur_px)

    def to(self, like: Tensor) -> Spectrum:
        """Return the spectrum with its tensors in the dtype and on the device of another."""
        rows, columns = (_Aliases(axis.of.to(like.device), axis.weights.to(like)) for axis in (self.rows, self.columns))
        return Spectrum(self.scale, self.shape_yx, rows, columns)

    def average(self, frequencies: Tensor) -> Tensor:
        """Return the frequencies (h, w) of the block means of a target with these frequencies (H, W)."""
        return self._fold(frequencies, self.rows.weights, self.columns.weights)

    def spread(self, frequencies: Tensor) -> Tensor:
        """Return the adjoint of `average`: (h, w) to (H, W)."""
        height, width = self.shape_yx
        across = (frequencies[:, :, None] * self.columns.weights).flatten(1)
        full = frequencies.new_zeros(len(frequencies), width).index_add_(1, self.columns.of.flatten(), across)
        down = (full[:, None, :] * self.rows.weights[:, :, None]).flatten(0, 1)
        return frequencies.new_zeros(height, width).index_add_(0, self.rows.of.flatten(), down)

    def average_of(self, diagonal: Tensor) -> Tensor:
        """Return the diagonal (h, w) of B D B', B being `average` and D the diagonal (H, W)."""
        return self._fold(diagonal, self.rows.weights**2, self.columns.weights**2)

    def _fold(self, values: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        count, factor = self.rows.of.shape
        down = values.index_select(0, self.rows.of.flatten()).view(count, factor, -1)
        folded = torch.einsum("nsw,ns->nw", down, rows)
        count, factor = self.columns.of.shape
        across = folded.index_select(1, self.columns.of.flatten()).view(len(folded), count, factor)
        return torch.einsum("hns,ns->hn", across, columns)


@lru_cache(maxsize=8)
def _spectrum(shape_yx: tuple[int, int], scale: Scale, blur_px: tuple[float, float]) -> Spectrum:
    rows, columns = (_Aliases.along(*axis) for axis in zip(shape_yx, (scale.y, scale.x), blur_px, strict=True))
    return Spectrum(scale, shape_yx, rows, columns)


@lru_cache(maxsize=32)
def finest_detail(scale: Scale) -> float:
    """Return the variance of the finest frequency that a source shows of a target, if exp(-energy) is its probability.

    The energy is that of the interpolation, and the source has no blur.
    """
    shape = REFERENCE_PX * scale.y, REFERENCE_PX * scale.x
    return float(Spectrum.of(shape, scale).average_of(1 / symbol(Energy.smooth(shape)))[-1, -1])


def symbol(energy: Energy) -> Tensor:
    """Return the energy of each frequency, (H, W) float64, if each step's weights were their mean everywhere.

    That of the constant, which is 0, is replaced by a tenth of the least other one, so that it has an inverse.
    """
    rows, columns = (math.pi * torch.arange(n, dtype=torch.float64) / n for n in energy.shape_yx)
    energies = torch.zeros(energy.shape_yx, dtype=torch.float64)

    def product(step: Step, times: int) -> Tensor:
        return torch.cos(times * step[0] * rows)[:, None] * torch.cos(times * step[1] * columns)

    for step, weights in zip(energy.first_steps, energy.first, strict=True):
        if weights.numel():
            energies += float(weights.mean()) * (2 - 2 * product(step, 1))
    for step, weights in zip(energy.second_steps, energy.second, strict=True):
        if weights.numel():
            energies += float(weights.mean()) * (6 - 8 * product(step, 1) + 2 * product(step, 2))
    energies[0, 0] = math.inf
    energies[0, 0] = energies.min() / 10
    return energies
