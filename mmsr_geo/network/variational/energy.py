"""Energies of a target: weighted squares of first and second differences between neighbours; tensors only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Step = tuple[int, int]
"""Rows and columns from one pixel to another."""

SLOPE = 0.1
"""Weight of slopes beside a curvature of 1 in the energy of the interpolation."""
AXES: tuple[Step, ...] = ((0, 1), (1, 0))
"""Steps to the neighbours across and down."""
DIRECTIONS: tuple[Step, ...] = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Steps of the second differences: across, down and along both diagonals."""
THIN_PLATE = (2 / 3, 2 / 3, 1 / 6, 1 / 6)
"""Weights of the second differences along DIRECTIONS with which they make up the energy of a thin plate,
u_xx^2 + 2 u_xy^2 + u_yy^2 up to a factor."""


def steps_within(*squared_lengths: int) -> tuple[Step, ...]:
    """Return the steps of these squared lengths that no other step is a multiple of, one of each opposite pair.

    1 and 2 give 8 neighbours of a pixel, 5 in addition 16, 10 in addition 24, 13 in addition 32.
    """
    far = math.isqrt(max(squared_lengths))
    steps = [
        (down, across)
        for down in range(far + 1)
        for across in range(-far, far + 1)
        if (down > 0 or across > 0) and math.gcd(down, across) == 1 and down**2 + across**2 in squared_lengths
    ]
    return tuple(sorted(steps, key=lambda step: (step[0] ** 2 + step[1] ** 2, step[0])))


def direction_weights(steps: Sequence[Step]) -> tuple[float, ...]:
    """Return the weight of each step with which the sum of absolute differences measures lengths in any direction.

    By the formula of Cauchy and Crofton (Boykov and Kolmogorov 2003): half the angle to the next steps on either side,
    divided by the length, relative to the first step.
    """
    lengths = np.hypot(*np.array(steps, float).T)
    angles = np.arctan2(*np.array(steps, float).T) % np.pi
    order = np.argsort(angles)
    ordered = angles[order]
    gaps = np.diff(ordered, append=ordered[0] + np.pi)
    weights = np.empty(len(steps))
    weights[order] = (gaps + np.roll(gaps, 1)) / 2
    weights /= lengths
    return tuple(float(weight) for weight in weights / weights[0])


def both_ends(shape_yx: tuple[int, int], step: Step) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where the pixels lie that have a neighbour at a step, and where these neighbours lie."""
    (height, width), (down, across) = shape_yx, step
    tall, wide = max(0, height - down), max(0, width - abs(across))
    left, right = max(0, -across), max(0, across)
    here = slice(0, tall), slice(left, left + wide)
    there = slice(down, down + tall), slice(right, right + wide)
    return here, there


def three_in_a_row(
    shape_yx: tuple[int, int], step: Step
) -> tuple[tuple[slice, slice], tuple[slice, slice], tuple[slice, slice]]:
    """Return where the pixels lie that have neighbours a step before and after, these before, and these after them."""
    (height, width), (down, across) = shape_yx, step
    far = abs(across)
    tall, wide = max(0, height - 2 * down), max(0, width - 2 * far)
    middle, before, after = (
        (slice(down + sign * down, down + sign * down + tall), slice(far + sign * across, far + sign * across + wide))
        for sign in (0, -1, 1)
    )
    return middle, before, after


@dataclass(frozen=True, slots=True, eq=False)
class Energy:
    """Half the sum of weighted squares of differences of a target (H, W), first and second ones.

    The dtype of its weights, float32 but in tests, is that in which it is minimised.
    """

    shape_yx: tuple[int, int]
    first_steps: tuple[Step, ...]
    """Steps of the first differences."""
    first: tuple[Tensor, ...]
    """For each step the weights of the differences, of the pixels that have a neighbour there: see `both_ends`."""
    second_steps: tuple[Step, ...]
    """Steps of the second differences."""
    second: tuple[Tensor, ...]
    """For each step the weights of the second differences: see `three_in_a_row`."""

    @classmethod
    def constant(
        cls, shape_yx: tuple[int, int], *, slope: float, curvature: float, device: torch.device | None = None
    ) -> Energy:
        """Return the energy with one weight for slopes (across and down) and one for the curvature of a thin plate."""
        ones = torch.ones(shape_yx, device=device)
        first = [slope * ones[both_ends(shape_yx, step)[0]] for step in AXES] if slope else []
        second = (
            [
                weight * curvature * ones[three_in_a_row(shape_yx, step)[0]]
                for step, weight in zip(DIRECTIONS, THIN_PLATE, strict=True)
            ]
            if curvature
            else []
        )
        return cls(shape_yx, AXES[: len(first)], tuple(first), DIRECTIONS[: len(second)], tuple(second))

    @classmethod
    def smooth(cls, shape_yx: tuple[int, int], device: torch.device | None = None) -> Energy:
        """Return the energy of the interpolation: curvature, and a little of slopes."""
        return cls.constant(shape_yx, slope=SLOPE, curvature=1.0, device=device)

    def gradient(self, target: Tensor) -> Tensor:
        """Return the derivative of the energy by each pixel of a target, (H, W)."""
        total = torch.zeros_like(target)
        for step, weights in zip(self.first_steps, self.first, strict=True):
            here, there = both_ends(self.shape_yx, step)
            flow = (target[here] - target[there]).mul_(weights)
            total[here] += flow
            total[there] -= flow
        for step, weights in zip(self.second_steps, self.second, strict=True):
            middle, before, after = three_in_a_row(self.shape_yx, step)
            bend = (target[before] + target[after]).sub_(target[middle], alpha=2).mul_(weights)
            total[before] += bend
            total[after] += bend
            total[middle].sub_(bend, alpha=2)
        return total

    def diagonal(self) -> Tensor:
        """Return the second derivative of the energy by each pixel, (H, W)."""
        total = (*self.first, *self.second)[0].new_zeros(self.shape_yx)
        for step, weights in zip(self.first_steps, self.first, strict=True):
            for part in both_ends(self.shape_yx, step):
                total[part] += weights
        for step, weights in zip(self.second_steps, self.second, strict=True):
            for part, factor in zip(three_in_a_row(self.shape_yx, step), (4, 1, 1), strict=True):
                total[part].add_(weights, alpha=factor)
        return total

    def __call__(self, target: Tensor) -> float:
        """Return the energy of a target (H, W)."""
        return float((target * self.gradient(target)).sum()) / 2

    def differences(self, target: Tensor) -> Iterator[Tensor]:
        """Yield the first differences of a target, step by step, then the second ones."""
        for step in self.first_steps:
            here, there = both_ends(self.shape_yx, step)
            yield target[there] - target[here]
        for step in self.second_steps:
            middle, before, after = three_in_a_row(self.shape_yx, step)
            yield target[before] - 2 * target[middle] + target[after]
