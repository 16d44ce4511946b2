"""Registration of a guide on its source, by whole target pixels; tensors only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor

from mmsr_geo.geometry import Scale

LEAST_PX = 3
"""Smallest range of the shifts that are tried each way, in target pixels; a source pixel where that is more."""
RIDGE = 1e-3
"""Ridge penalty, in the variance of a band: without it, bands that are nearly alike would have weights of any size."""

Shift = tuple[int, int]
"""Rows and columns of the target grid by which a guide is moved onto its source."""


def registration(layers: Iterable[tuple[Tensor, Tensor, Tensor, Tensor]], scale: Scale) -> Shift:
    """Return the shift at which the guide's block means explain most of the source.

    Shifts of up to a source pixel, or LEAST_PX target pixels, are tried each way. For each the source is regressed on
    the means of the guide's bands over its pixels. The smallest residual wins; of equal ones, the smallest shift.

    Args:
        layers: For each sample the source (h, w), its mask (h, w) bool, the guide (C, H, W) of standard deviation 1, 0
            where invalid, and its mask (H, W) bool.
        scale: Target pixels per source pixel.
    """
    far_y, far_x = farthest(scale)
    shifts = [(down, across) for down in range(-far_y, far_y + 1) for across in range(-far_x, far_x + 1)]
    shifts.sort(key=lambda shift: shift[0] ** 2 + shift[1] ** 2)
    moments = sum(_moments(*layer, scale, shifts) for layer in layers)
    if not isinstance(moments, Tensor):
        return 0, 0
    residuals = [_residual(sums) for sums in moments]
    return shifts[min(range(len(shifts)), key=residuals.__getitem__)]


def farthest(scale: Scale) -> Shift:
    """Return the largest shift that is tried, in rows and columns."""
    return max(scale.y, LEAST_PX), max(scale.x, LEAST_PX)


def shifted(layer: Tensor, shift: Shift) -> Tensor:
    """Move a layer (..., H, W) by a shift; its border pixels are repeated."""
    rows, columns = (
        (torch.arange(length, device=layer.device) - by).clamp(0, length - 1)
        for length, by in zip(layer.shape[-2:], shift, strict=True)
    )
    return layer[..., rows[:, None], columns] if shift != (0, 0) else layer


def _moments(  # noqa: PLR0913  (a sample, layer by layer)
    source: Tensor, mask: Tensor, guide: Tensor, guide_valid: Tensor, scale: Scale, shifts: Sequence[Shift]
) -> Tensor:
    """Return, for each shift, the sums of products of 1, the bands' means and the source: (shifts, C + 2, C + 2).

    Only source pixels count whose guide is valid under every shift: shifts are compared on the same pixels.
    """
    size = scale.y, scale.x
    far = max(down for down, _ in shifts), max(across for _, across in shifts)
    edge_y, edge_x = (math.ceil(distance / factor) for distance, factor in zip(far, size, strict=True))
    height, width = source.shape
    if height <= 2 * edge_y or width <= 2 * edge_x:
        return torch.zeros(len(shifts), len(guide) + 2, len(guide) + 2, dtype=torch.float64, device=guide.device)
    inner = slice(edge_y, height - edge_y), slice(edge_x, width - edge_x)
    means = F.avg_pool2d(guide.double()[:, None], size, stride=1)[:, 0]
    around = tuple(factor + 2 * distance for factor, distance in zip(size, far, strict=True))
    gaps = F.max_pool2d((~guide_valid).float()[None, None], around, stride=1)[0, 0] > 0

    def at(layer: Tensor, down: int, across: int) -> Tensor:
        rows = slice(edge_y * scale.y - down, (height - edge_y) * scale.y - down, scale.y)
        columns = slice(edge_x * scale.x - across, (width - edge_x) * scale.x - across, scale.x)
        return layer[..., rows, columns]

    counted = mask[inner] & ~at(gaps, *far)
    values = source.double()[inner][counted]
    ones = torch.ones_like(values)
    sums = []
    for shift in shifts:
        columns = torch.stack([ones, *at(means, *shift)[:, counted], values])
        sums.append(columns @ columns.T)
    return torch.stack(sums)


def _residual(moments: Tensor) -> float:
    """Return the mean squared residual of a ridge regression of the last column on the others; 0 without pixels."""
    count = float(moments[0, 0])
    if count == 0:
        return 0.0
    mean = moments[0] / count
    covariance = (moments / count - torch.outer(mean, mean))[1:, 1:]
    bands, with_source = covariance[:-1, :-1], covariance[:-1, -1]
    ridge = torch.diag(RIDGE * bands.diagonal() + torch.finfo(torch.float64).tiny)
    return float(covariance[-1, -1] - with_source @ torch.linalg.solve(bands + ridge, with_source))
