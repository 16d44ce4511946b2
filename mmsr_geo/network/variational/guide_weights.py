"""Weights of an energy from a guide: small across the guide's edges, large within its flat parts; tensors only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from mmsr_geo.network.variational.energy import (
    DIRECTIONS,
    THIN_PLATE,
    Energy,
    Step,
    both_ends,
    direction_weights,
    three_in_a_row,
)

CLIPPED = (0.01, 0.99)
"""Quantiles of a guide band at which it is clipped, and which become 0 and 1."""
REGULARISED = 1e-3
"""Variance that is added along each principal axis of the guide's differences, in the largest of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Whitening:
    """How a guide's bands become channels whose differences can be compared; a property of the whole raster."""

    low: Tensor
    """(C,) float64: value of each band that becomes 0."""
    high: Tensor
    """(C,) float64: value of each band that becomes 1."""
    turn: Tensor
    """(C, C) float64: channels from bands. It lessens what the bands have in common."""

    @classmethod
    def of(cls, guides: Sequence[Tensor], masks: Sequence[Tensor], power: float = 0.5) -> Self:
        """Measure the whitening of a raster from parts of it.

        Along each principal axis of the differences between neighbours (below and to the right) the channels are
        divided by the root mean square of these differences, to a power. Their mean weight is 1.

        Args:
            guides: (C, H, W) each, finite also where invalid.
            masks: (H, W) bool each.
            power: 1 makes the differences along all axes alike; 0 leaves the bands as they are.
        """
        valid = torch.cat([guide[:, mask] for guide, mask in zip(guides, masks, strict=True)], dim=1).double()
        low, high = (torch.from_numpy(np.quantile(valid.cpu().numpy(), q, axis=1)).to(valid.device) for q in CLIPPED)
        bands = len(low)
        blank = cls(low, high, torch.eye(bands, dtype=torch.float64, device=low.device))
        products, count = torch.zeros_like(blank.turn), 0
        for guide, mask in zip(guides, masks, strict=True):
            channels = blank(guide)
            for step in ((0, 1), (1, 0)):
                here, there = both_ends((mask.shape[0], mask.shape[1]), step)
                known = mask[here] & mask[there]
                differences = (channels[:, *there] - channels[:, *here])[:, known]
                products += differences @ differences.T
                count += int(known.sum())
        variances, axes = torch.linalg.eigh(products / max(count, 1))
        variances = variances.clamp_min(0)
        variances = variances + REGULARISED * variances.max().clamp_min(torch.finfo(torch.float64).tiny)
        factors = (variances / variances.max()) ** (-power / 2)
        factors = factors / factors.square().mean().sqrt()
        return cls(low, high, (axes * factors) @ axes.T)

    def __call__(self, guide: Tensor) -> Tensor:
        """Return the channels (C, H, W) float64 of a guide (C, H, W)."""
        span = (self.high - self.low).clamp_min(torch.finfo(torch.float64).tiny)
        clipped = ((guide.double() - self.low[:, None, None]) / span[:, None, None]).clamp(0, 1)
        channels: Tensor = torch.tensordot(self.turn, clipped, dims=1)
        return channels


@dataclass(frozen=True, slots=True)
class Contrast:
    """How differences of the guide's channels become weights: floor + (1 - floor) (1 + D / knee^2)^-1/2."""

    floor: float
    """Weight across the strongest edges."""
    knee: float = 0.01
    """Difference per pixel from which on the weight falls."""

    def weights(self, squares: Tensor) -> Tensor:
        """Return the weights of squared differences D per pixel."""
        return (1 + squares / self.knee**2).rsqrt_().mul_(1 - self.floor).add_(self.floor)


def first_squares(channels: Tensor, step: Step) -> Tensor:
    """Return the mean over the channels (C, H, W) of their squared differences per pixel along a step."""
    here, there = both_ends((channels.shape[1], channels.shape[2]), step)
    return (channels[:, *there] - channels[:, *here]).square().mean(dim=0) / (step[0] ** 2 + step[1] ** 2)


def second_squares(channels: Tensor, step: Step) -> Tensor:
    """Return, of the two differences along a step that meet in a pixel, the larger one as `first_squares` has it."""
    middle, before, after = three_in_a_row((channels.shape[1], channels.shape[2]), step)
    halves = ((channels[:, *part] - channels[:, *middle]).square().mean(dim=0) for part in (before, after))
    return torch.maximum(*halves) / (step[0] ** 2 + step[1] ** 2)


def first_weights(channels: Tensor, valid: Tensor, steps: Sequence[Step], contrast: Contrast) -> tuple[Tensor, ...]:
    """Return the weights of the first differences along each step; beside gaps of the guide plain ones.

    Args:
        channels: (C, H, W), finite also where invalid.
        valid: (H, W) bool.
        steps: The steps.
        contrast: How differences become weights.
    """
    shape = valid.shape[0], valid.shape[1]
    weights = []
    for step, factor in zip(steps, direction_weights(steps), strict=True):
        here, there = both_ends(shape, step)
        known = valid[here] & valid[there]
        weights.append(factor * _filled(contrast.weights(first_squares(channels, step)), known))
    return tuple(weights)


def second_weights(channels: Tensor, valid: Tensor, contrast: Contrast) -> tuple[Tensor, ...]:
    """Return the weights of the second differences along DIRECTIONS, of a thin plate where the guide is flat."""
    shape = valid.shape[0], valid.shape[1]
    weights = []
    for step, factor in zip(DIRECTIONS, THIN_PLATE, strict=True):
        middle, before, after = three_in_a_row(shape, step)
        known = valid[middle] & valid[before] & valid[after]
        weights.append(factor * _filled(contrast.weights(second_squares(channels, step)), known))
    return tuple(weights)


def guided_energy(channels: Tensor, valid: Tensor, *, slope: float, contrast: Contrast) -> Energy:
    """Return the energy of slopes to 8 neighbours and of curvatures, each with its weights from the guide.

    Args:
        channels: (C, H, W): see `Whitening`.
        valid: (H, W) bool.
        slope: Factor of the slopes' weights.
        contrast: How differences become weights.
    """
    shape = valid.shape[0], valid.shape[1]
    first = tuple(slope * weights for weights in first_weights(channels, valid, DIRECTIONS, contrast))
    return Energy(shape, DIRECTIONS, first, DIRECTIONS, second_weights(channels, valid, contrast))


def _filled(weights: Tensor, known: Tensor) -> Tensor:
    """Return the weights, where they are not known a plain one: that of a difference of one knee."""
    return torch.where(known, weights, 2**-0.5)
