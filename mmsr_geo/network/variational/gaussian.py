"""Gaussian means of layers with gaps, and layers moved by parts of a pixel; tensors only."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmsr_geo.geometry import Scale

TAIL = 4.0
"""Standard deviations from its centre at which a Gaussian is cut."""


LOBES = 3
"""Pixels on either side that a layer which is moved by parts of a pixel is interpolated from."""


def radius_px(deviation_px: float, tail: float = TAIL) -> int:
    """Return how far a Gaussian reaches that is cut at `tail` standard deviations, in pixels."""
    return math.floor(tail * deviation_px + 0.5)


def smoothed(layers: Tensor, valid: Tensor, deviation_px: float | tuple[float, float], tail: float = TAIL) -> Tensor:
    """Return the Gaussian means of the valid pixels around each pixel.

    Args:
        layers: (..., H, W), finite also where invalid.
        valid: (H, W) bool.
        deviation_px: Standard deviation in pixels, or that down and that across; 0 returns the layers.
        tail: Standard deviations from its centre at which the Gaussian is cut.

    Returns:
        (..., H, W) in the dtype of the layers; 0 where no pixel within reach is valid. Pixels beyond the border repeat
        those on it.
    """
    deviation_px = deviation_px if isinstance(deviation_px, tuple) else (deviation_px, deviation_px)
    if deviation_px == (0, 0):
        return layers
    if bool(valid.all()):
        return _convolved(layers, deviation_px, tail)
    weights = valid.to(layers.dtype)
    sums, counted = (_convolved(values, deviation_px, tail) for values in (layers * weights, weights))
    return torch.where(counted > 1e-6, sums / counted.clamp_min(1e-6), torch.zeros_like(sums))


def smoothed_means(layers: Tensor, valid: Tensor, deviation_px: tuple[float, float], scale: Scale) -> Tensor:
    """Return the means over source pixels of the Gaussian means of valid pixels.

    As `smoothed` and `degrade_valid` but for the order of sums and divisions beside invalid pixels, by one matrix down
    and one across: the time does not grow with the deviation, and is never more.

    Args:
        layers: (C, H, W), finite also where invalid.
        valid: (H, W) bool.
        deviation_px: Standard deviation in pixels, down and across.
        scale: Target pixels per source pixel.

    Returns:
        (C, h, w) in the dtype of the layers; 0 where no pixel within reach is valid.
    """
    sides = zip(valid.shape, deviation_px, (scale.y, scale.x), strict=True)
    down, across = (_blurred_means(length, deviation, step).to(layers) for length, deviation, step in sides)
    if bool(valid.all()):
        return down @ layers @ across.T
    weights = valid.to(layers.dtype)
    counted = down @ weights @ across.T
    return torch.where(counted > 1e-6, (down @ (layers * weights) @ across.T) / counted.clamp_min(1e-6), 0.0)


def _blurred_means(length: int, deviation_px: float, step: int) -> Tensor:
    """Return the matrix (length / step, length) of the means over `step` pixels of Gaussian means along a side."""
    weights = torch.tensor(taps(deviation_px), dtype=torch.float64)
    radius = len(weights) // 2
    rows = torch.arange(length)
    columns = (rows[:, None] + torch.arange(-radius, radius + 1)).clamp(0, length - 1)
    matrix = torch.zeros(length // step * length, dtype=torch.float64)
    at = (rows // step)[:, None] * length + columns
    matrix.index_add_(0, at.flatten(), (weights / step).expand_as(at).flatten())
    return matrix.reshape(length // step, length)


def taps(deviation_px: float, tail: float = TAIL) -> list[float]:
    """Return the weights of a Gaussian at the pixels within its reach, 1 in sum."""
    radius = radius_px(deviation_px, tail)
    if not radius:
        return [1.0]
    weights = [math.exp(-((distance / deviation_px) ** 2) / 2) for distance in range(-radius, radius + 1)]
    return [weight / sum(weights) for weight in weights]


def _convolved(layers: Tensor, deviation_px: tuple[float, float], tail: float) -> Tensor:
    """Return layers (..., H, W) convolved down and across, tap by tap: torch unfolds float64 images for its own."""
    for dim, deviation in zip((-2, -1), deviation_px, strict=True):
        weights, length = taps(deviation, tail), layers.shape[dim]
        radius = len(weights) // 2
        if not radius:
            continue
        at = torch.arange(-radius, length + radius, device=layers.device).clamp(0, length - 1)
        padded = layers.index_select(dim, at)
        summed = torch.zeros_like(layers)
        for start, tap in enumerate(weights):
            summed.add_(padded.narrow(dim, start, length), alpha=tap)
        layers = summed
    return layers


def shifted(layer: Tensor, shift: tuple[int, int]) -> Tensor:
    """Move a layer (..., H, W) by whole rows and columns; its border pixels are repeated."""
    rows, columns = (
        (torch.arange(length, device=layer.device) - by).clamp(0, length - 1)
        for length, by in zip(layer.shape[-2:], shift, strict=True)
    )
    return layer[..., rows[:, None], columns] if shift != (0, 0) else layer


def moved(layers: Tensor, shift: tuple[float, float]) -> Tensor:
    """Move layers (..., H, W) by rows and columns, by parts of pixels with a windowed sinc (Lanczos).

    Pixels beyond the border repeat it. Linear interpolation would blur them, the more the nearer the part is to a half.
    """
    for dim, by in zip((-2, -1), shift, strict=True):
        if by == 0:
            continue
        length, found = layers.shape[dim], torch.zeros_like(layers)
        for offset, weight in _taps_between(by):
            at = (torch.arange(length, device=layers.device) - offset).clamp(0, length - 1)
            found.add_(layers.index_select(dim, at), alpha=weight)
        layers = found
    return layers


def moved_mask(valid: Tensor, shift: tuple[float, float]) -> Tensor:
    """Return where layers that were moved depend on valid pixels alone, (H, W) bool."""
    for dim, by in zip((-2, -1), shift, strict=True):
        length, found = valid.shape[dim], torch.ones_like(valid)
        for offset, _ in _taps_between(by):
            at = (torch.arange(length, device=valid.device) - offset).clamp(0, length - 1)
            found &= valid.index_select(dim, at)
        valid = found
    return valid


def moved_reach_px(by: float) -> int:
    """Return how far a moved layer reaches."""
    return max(abs(offset) for offset, _ in _taps_between(by))


def _taps_between(by: float) -> list[tuple[int, float]]:
    """Return by how many pixels each pixel is moved that makes up a moved one, and its weight."""
    whole = math.floor(by)
    part = by - whole
    if part == 0:
        return [(whole, 1.0)]
    distances = {offset: abs(offset - part) for offset in range(1 - LOBES, LOBES + 1)}
    weights = {offset: _sinc(away) * _sinc(away / LOBES) for offset, away in distances.items()}
    total = sum(weights.values())
    return [(whole + offset, weight / total) for offset, weight in weights.items()]


def _sinc(at: float) -> float:
    return math.sin(math.pi * at) / (math.pi * at) if at else 1.0
