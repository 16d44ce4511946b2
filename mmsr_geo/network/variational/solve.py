"""The target of least energy with given block means; tensors only.

Solved by conjugate gradients, whose preconditioner is the exact solution for constant weights (spectral.py): 10 to 40
steps at any scale where the source has no gaps. They change a float64 start, and the change is small enough for
float32. What they converge to does not depend on the steps, so that a tile with a halo gives what the whole raster
gives, up to what the solution itself takes from beyond the halo.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import degrade, nearest
from mmsr_geo.network.variational.energy import Energy
from mmsr_geo.network.variational.spectral import Spectrum, cosine_transform, inverse_cosine_transform, symbol

DIAGONAL_POWER = -0.5
"""Power of the second derivative by each pixel, in their mean, by which the preconditioner is scaled: it takes a fifth
of the steps off, a power of -1 adds as many."""
LEAST_DIAGONAL = 1e-3
"""Least second derivative by a pixel, in their mean, that the preconditioner is scaled with."""


@dataclass(frozen=True, slots=True)
class Stop:
    """When conjugate gradients end."""

    steps: int = 200
    """Most steps."""
    tolerance: float = 1e-6
    """Largest change of a pixel at which they end, in standard deviations of the source: what happens elsewhere in a
    window does not matter."""


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What the source shows of a target: the means of its blocks, where they are held."""

    scale: Scale
    held: Tensor
    """(h, w) bool: True where a block keeps the mean that it is given; the others are gaps."""

    @property
    def shape_yx(self) -> tuple[int, int]:
        """The target's shape."""
        return self.held.shape[0] * self.scale.y, self.held.shape[1] * self.scale.x

    def free(self, gradient: Tensor) -> Tensor:
        """Return a gradient (H, W) without its means over held blocks, along which no target may move."""
        return gradient - nearest(degrade(gradient, self.scale).masked_fill(~self.held, 0.0), self.scale)

    def residual(self, source: Tensor, target: Tensor) -> Tensor:
        """Return what the source has beyond the target's means, (h, w), 0 where it is not held."""
        return (source - degrade(target, self.scale)).masked_fill(~self.held, 0.0)


class Preconditioner:
    """The exact solution of the problem with constant weights and a source without gaps, scaled pixel by pixel.

    All is in the dtype of the energy's weights.
    """

    def __init__(self, observation: Observation, energy: Energy) -> None:
        """Prepare the frequencies of an energy whose weights are replaced by their means."""
        self._observation = observation
        diagonal = energy.diagonal()
        self._pixels = (diagonal / diagonal.mean()).clamp_min_(LEAST_DIAGONAL).pow_(DIAGONAL_POWER / 2)
        self._spectrum = Spectrum.of(observation.shape_yx, observation.scale).to(diagonal)
        self._inverse = (1 / symbol(energy)).to(diagonal)
        self._coarse = self._spectrum.average_of(self._inverse)
        self._gaps = None if bool(observation.held.all()) else (~observation.held).to(diagonal)

    def lift(self, source: Tensor) -> Tensor:
        """Return the target (H, W) of least energy whose block means are the source (h, w)."""
        return inverse_cosine_transform(self._lifted(cosine_transform(source.to(self._inverse))))

    def __call__(self, gradient: Tensor) -> Tensor:
        """Return the step (H, W) for a gradient: of mean 0 in each block that is held."""
        solution = cosine_transform(gradient * self._pixels).mul_(self._inverse)
        means = self._spectrum.average(solution) / self._coarse
        step = solution.sub_(self._spectrum.spread(means).mul_(self._inverse))
        if self._gaps is not None:
            # The means of gaps are free: each has the target of least energy that is 1 there and 0 in all others.
            wanted = inverse_cosine_transform(means) * self._gaps
            step = step + self._lifted(cosine_transform(wanted / torch.mean(1 / self._coarse)))
        return self._observation.free(inverse_cosine_transform(step).mul_(self._pixels))

    def _lifted(self, frequencies: Tensor) -> Tensor:
        return self._spectrum.spread(frequencies / self._coarse).mul_(self._inverse)


def solve(
    energy: Energy,
    observation: Observation,
    source: Tensor,
    *,
    start: Tensor | None = None,
    stop: Stop = Stop(),
) -> Tensor:
    """Return the target of least energy whose block means are the source.

    Args:
        energy: The energy, none of its weights negative.
        observation: Where the source is held, and the scale.
        source: (h, w), finite also in gaps; there it is only where the solution begins.
        start: (H, W) to begin with; None: the solution for constant weights.
        stop: When to end.

    Returns:
        (H, W) float64; its block means are the source where that is held, to rounding.
    """
    source = source.double()
    preconditioner = Preconditioner(observation, energy)
    if start is None:
        target = preconditioner.lift(source).double()
    else:
        target = start.double() + nearest(observation.residual(source, start.double()), observation.scale)
    residual = observation.free(-energy.gradient(target)).to((*energy.first, *energy.second)[0])
    change, step = torch.zeros_like(residual), preconditioner(residual)
    direction, size = step.clone(), float((residual * step).sum())
    for _ in range(stop.steps):
        if not (size > torch.finfo(torch.float64).tiny and float(step.abs().max()) > stop.tolerance):
            break
        curvature = energy.gradient(direction)
        length = size / float((direction * curvature).sum())
        change.add_(direction, alpha=length)
        residual = observation.free(residual.sub_(curvature, alpha=length))
        step = preconditioner(residual)
        before, size = size, float((residual * step).sum())
        direction = direction.mul_(size / before).add_(step)
    target = target + change
    return target + nearest(observation.residual(source, target), observation.scale)
