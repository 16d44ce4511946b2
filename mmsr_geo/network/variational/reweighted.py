"""Energies that forgive few large differences: solved by weights that follow the estimate; tensors only.

An energy of a concave function of the squared differences has sharp edges where a quadratic one has slopes. It is
lowered by turns: weights from the differences of the estimate, then the estimate from these weights (iteratively
reweighted least squares, Holland and Welsch 1977).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from mmsr_geo.network.degradation import bicubic, degrade, nearest
from mmsr_geo.network.variational.energy import Energy, Step, both_ends
from mmsr_geo.network.variational.solve import Observation, solve

LARGEST_BLOCK_PX = 8
"""Largest side of the blocks of target pixels that the preconditioner solves exactly, but for prime scales."""
LARGEST_PRIME_PX = 13
"""Largest prime scale whose blocks are whole source pixels."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How the weights follow the estimate: (1 + (difference / knee)^2)^-power, the knee falling from round to round."""

    first_knee: float = 16 / 45
    """Knee of the first round, in standard deviations of the source."""
    last_knee: float = 0.5 / 45
    """Knee of the last round."""
    rounds: int = 7
    power: float = 0.7
    steps: int = 3
    """Chebyshev steps in each round: few on purpose, for converged solutions are worse."""
    smallest: float = 0.05
    """Smallest eigenvalue, of the preconditioned energy, that the steps are made for; the largest is 2."""

    @property
    def knees(self) -> list[float]:
        """The knee of each round, falling geometrically."""
        ratio = (self.last_knee / self.first_knee) ** (1 / max(1, self.rounds - 1))
        return [self.first_knee * ratio**index for index in range(self.rounds)]


def piecewise_constant(
    source: Tensor,
    observation: Observation,
    steps: Sequence[Step],
    weights: Sequence[Tensor],
    schedule: Schedule = Schedule(),
) -> Tensor:
    """Return a target of flat parts with sharp edges between them, whose block means are the source.

    Every round has a fixed number of steps with fixed coefficients, so that a window with a halo gives what the whole
    raster gives.

    Args:
        source: (h, w), nodata filled, in its standard deviations over the raster.
        observation: Where the source is held, and the scale.
        steps: Steps of the first differences.
        weights: Their weights from the guide: see `first_weights`.
        schedule: How the weights follow the estimate.

    Returns:
        (H, W) in the dtype of the weights.
    """
    scale = observation.scale
    target = bicubic(source.double(), scale)
    target = (target + nearest(observation.residual(source.double(), target), scale)).to(weights[0].dtype)
    shape = observation.shape_yx
    for knee in schedule.knees:
        followed = []
        for step, weight in zip(steps, weights, strict=True):
            here, there = both_ends(shape, step)
            squares = ((target[there] - target[here]) / knee).square_()
            followed.append(weight * (1 + squares) ** -schedule.power)
        energy = Energy(shape, tuple(steps), tuple(followed), (), ())
        target = _chebyshev(energy, observation, target, schedule.steps, schedule.smallest)
    return target


def _chebyshev(energy: Energy, observation: Observation, target: Tensor, steps: int, smallest: float) -> Tensor:
    """Take steps of a Chebyshev semi-iteration with fixed coefficients (Golub and Varga 1961)."""
    preconditioned = _BlockPreconditioner(energy, observation)
    middle, half = (2 + smallest) / 2, (2 - smallest) / 2
    ratio = half / middle
    residual = energy.gradient(target).neg_()
    direction = preconditioned(residual).div_(middle)
    for index in range(steps):
        target = target + direction
        if index == steps - 1:
            break
        residual.sub_(energy.gradient(direction))
        following = 1 / (2 * middle / half - ratio)
        direction = direction.mul_(following * ratio).add_(preconditioned(residual), alpha=2 * following / half)
        ratio = following
    return target


class _BlockPreconditioner:
    """The energy within blocks of target pixels, inverted, and steps without a mean over a held source pixel."""

    def __init__(self, energy: Energy, observation: Observation) -> None:
        self._observation = observation
        scale = observation.scale
        self._block = _block(scale.y), _block(scale.x)
        self._reach = max(down * self._block[1] + across for down, across in energy.first_steps)
        self._factors = self._factored(self._matrices(energy))
        self._ones = self._solved(torch.ones_like(energy.first[0][:1, :1]).expand(energy.shape_yx))
        total = degrade(self._ones, scale)
        self._free = torch.where(observation.held, 1 / total, torch.zeros_like(total))

    def __call__(self, residual: Tensor) -> Tensor:
        """Return the step (H, W) for a residual (H, W)."""
        scale = self._observation.scale
        step = self._solved(residual)
        return step.sub_(nearest(degrade(step, scale).mul_(self._free), scale).mul_(self._ones))

    def _matrices(self, energy: Energy) -> Tensor:
        """Return the second derivatives within each block, (n, n, blocks), their lower triangles.

        Edges that leave a block stay on the diagonal.
        """
        (height, width), (down, across) = energy.shape_yx, self._block
        count = down * across
        full = energy.first[0].new_zeros(height, width)
        matrices = energy.first[0].new_zeros(count, count, height // down * (width // across))
        for step, weights in zip(energy.first_steps, energy.first, strict=True):
            inside, to = _pairs(down, across, step)
            if len(inside):
                full[both_ends(energy.shape_yx, step)[0]] = (
                    weights  # what an earlier step left beyond has no neighbour in its block
                )
                matrices[to, inside] = self._blocked(full)[inside].neg_()
        matrices.diagonal().copy_((self._blocked(energy.diagonal()) * (1 + 1e-6) + 1e-9).T)
        return matrices

    def _factored(self, matrices: Tensor) -> Tensor:
        """Factor matrices (n, n, blocks) in place: lower triangles of ones, and the pivots on the diagonal.

        Each operation is one of all blocks: LAPACK, called for each of these small matrices, takes four times as long.
        """
        for pivot in range(len(matrices)):
            below = self._below(pivot)
            column = matrices[below, pivot]
            scaled = column / matrices[pivot, pivot]
            matrices[below, below].addcmul_(scaled[:, None], column, value=-1)
            column.copy_(scaled)
        return matrices

    def _solved(self, layer: Tensor) -> Tensor:
        """Return the inverses of the blocks times a layer, (H, W)."""
        factors, values = self._factors, self._blocked(layer)
        for pivot in range(len(factors)):
            below = self._below(pivot)
            values[below].addcmul_(factors[below, pivot], values[pivot], value=-1)
        values /= factors.diagonal().T
        for pivot in reversed(range(len(factors))):
            below = self._below(pivot)
            values[pivot] -= (factors[below, pivot] * values[below]).sum(dim=0)
        (height, width), (down, across) = layer.shape, self._block
        return values.view(down, across, height // down, width // across).permute(2, 0, 3, 1).reshape(height, width)

    def _below(self, pivot: int) -> slice:
        """Return the rows below a pivot that its column reaches."""
        return slice(pivot + 1, pivot + 1 + self._reach)

    def _blocked(self, layer: Tensor) -> Tensor:
        """Return a layer (H, W) as (n, blocks), a copy."""
        (height, width), (down, across) = layer.shape, self._block
        blocks = layer.view(height // down, down, width // across, across).permute(1, 3, 0, 2)
        return blocks.clone(memory_format=torch.contiguous_format).view(down * across, -1)


@cache
def _pairs(down: int, across: int, step: Step) -> tuple[list[int], list[int]]:
    """Return the numbers, in a block, of the pixels with a neighbour at a step in the same block, and of these."""
    inside, to = [], []
    for row in range(down):
        for column in range(across):
            there = row + step[0], column + step[1]
            if 0 <= there[0] < down and 0 <= there[1] < across:
                inside.append(row * across + column)
                to.append(there[0] * across + there[1])
    return inside, to


def _block(factor: int) -> int:
    """Return the side of a block: the largest divisor of a source pixel's side up to LARGEST_BLOCK_PX.

    Of a prime it is the whole side, or 1 above LARGEST_PRIME_PX, where matrices of whole source pixels are too large.
    """
    fitting = [side for side in range(2, LARGEST_BLOCK_PX + 1) if factor % side == 0]
    return max(fitting, default=factor if factor <= LARGEST_PRIME_PX else 1)


def edge_preserving(  # noqa: PLR0913  (a problem, and how far its weights follow the estimate)
    energy: Energy,
    observation: Observation,
    source: Tensor,
    sizes: tuple[float, float],
    *,
    first: Tensor | None = None,
    knee: float = 1.0,
    rounds: int = 4,
) -> Tensor:
    """Return the target of an energy that grows more slowly than the squares of differences, slopes and curvatures.

    Args:
        energy: The energy to begin with: see `guided_energy`.
        observation: Where the source is held, and the scale.
        source: (h, w), nodata filled.
        sizes: Sizes of the raster's differences: see `difference_sizes`.
        first: The target of least energy before the weights follow it: see `solve`; None: it is solved for.
        knee: Difference from which on a weight falls, in these sizes.
        rounds: How often the weights follow the estimate.

    Returns:
        (H, W) float64.
    """
    target = solve(energy, observation, source) if first is None else first
    count = len(energy.first)
    units = [sizes[0]] * count + [sizes[1] * (step[0] ** 2 + step[1] ** 2) for step in energy.second_steps]
    for _ in range(rounds):
        followed = [
            (difference / (knee * unit)).to(weights.dtype).square_().add_(1).rsqrt_().mul_(weights)
            for difference, weights, unit in zip(
                energy.differences(target), (*energy.first, *energy.second), units, strict=True
            )
        ]
        current = replace(energy, first=tuple(followed[:count]), second=tuple(followed[count:]))
        target = solve(current, observation, source, start=target)
    return target


def difference_sizes(solutions: Sequence[tuple[Energy, Tensor]]) -> tuple[float, float]:
    """Return the root mean squares of first and second differences, across and down, of targets with their energies."""
    first: list[Tensor] = []
    second: list[Tensor] = []
    for energy, target in solutions:
        differences = list(energy.differences(target))
        count = len(energy.first)
        first.extend(differences[:2])
        second.extend(differences[count : count + 2])
    return _root_mean_square(first) or 1.0, _root_mean_square(second) or 1.0


def _root_mean_square(layers: Sequence[Tensor]) -> float:
    squares = sum(float(layer.square().sum()) for layer in layers)
    return math.sqrt(squares / max(1, sum(layer.numel() for layer in layers)))
