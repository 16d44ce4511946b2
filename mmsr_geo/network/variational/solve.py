"""The target of least energy whose source pixels are given, exactly or up to noise; tensors only.

Solved by conjugate gradients, whose preconditioner is the exact solution for constant weights (spectral.py): 10 to 40
steps at any scale where the source has no gaps. They change a float64 start, and the change is small enough for
float32. What they converge to does not depend on the steps, so that a tile with a halo gives what the whole raster
gives, up to what the solution itself takes from beyond the halo.

Where a source pixel is the mean of its block alone, it is kept exactly. Where the sensor blurs the target before, or
the source has noise, the target of least energy + misfit is sought instead: see `Observation`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import degrade, nearest
from mmsr_geo.network.sensor import Sensor
from mmsr_geo.network.variational.energy import Energy
from mmsr_geo.network.variational.spectral import (
    Spectrum,
    cosine_transform,
    finest_detail,
    inverse_cosine_transform,
    symbol,
)

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


DAMPING = 0.1
"""Variance of the error that each source pixel of a blurred target is granted at least, as `Observation.softness` has
it: without it, deblurring would amplify rounding errors."""


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What the source shows of a target: the means of its blocks, which a sensor blurs before, and noise."""

    scale: Scale
    held: Tensor
    """(h, w) bool: True where a block keeps the mean that it is given; the others are gaps. With blur or noise all
    pixels are held."""
    blur_px: tuple[float, float] = (0.0, 0.0)
    """Standard deviations of the Gaussian that blurs the target before the mean, down and across, in target pixels."""
    softness: float = 0.0
    """Variance of the source's noise for an energy of unit temperature, divided by `finest_detail`: with 1, the finest
    detail that a source shows of an interpolation is as strong as the noise."""

    @classmethod
    def of(cls, scale: Scale, held: Tensor, sensor: Sensor) -> Observation:
        """Return what a source shows that was measured by a sensor; `held` counts where nothing blurs or adds noise."""
        if sensor.exact:
            return cls(scale, held)
        return cls(scale, torch.ones_like(held), sensor.blur_px(scale), sensor.softness)

    @property
    def exact(self) -> bool:
        """True if the target's block means are the source."""
        return self.blur_px == (0.0, 0.0) and self.softness == 0.0

    @property
    def plain(self) -> Observation:
        """The same without blur and noise."""
        return Observation(self.scale, self.held)

    @property
    def shape_yx(self) -> tuple[int, int]:
        """The target's shape."""
        return self.held.shape[0] * self.scale.y, self.held.shape[1] * self.scale.x

    @property
    def spectrum(self) -> Spectrum:
        """Blur and block means in the frequencies of the cosine transform."""
        return Spectrum.of(self.shape_yx, self.scale, self.blur_px)

    def seen(self, target: Tensor) -> Tensor:
        """Return what the source would show of a target (H, W), without noise: (h, w)."""
        if self.blur_px == (0.0, 0.0):
            return degrade(target, self.scale)
        return inverse_cosine_transform(self.spectrum.to(target).average(cosine_transform(target)))

    def free(self, gradient: Tensor) -> Tensor:
        """Return a gradient (H, W) without its means over held blocks, along which no target may move."""
        return gradient - nearest(degrade(gradient, self.scale).masked_fill(~self.held, 0.0), self.scale)

    def residual(self, source: Tensor, target: Tensor) -> Tensor:
        """Return what the source has beyond what it would show of a target, (h, w), 0 where it is not held."""
        return (source - self.seen(target)).masked_fill(~self.held, 0.0)


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
    """Return the target of least energy of which the source is seen: see `Observation`.

    Args:
        energy: The energy, none of its weights negative.
        observation: What the source shows of a target; where it is exact, which source pixels are held.
        source: (h, w), finite also in gaps; there it is only where the solution begins.
        start: (H, W) to begin with; None: the solution for constant weights.
        stop: When to end.

    Returns:
        (H, W) float64; where the observation is exact, its block means are the source where that is held, to rounding.
    """
    source = source.double()
    if not observation.exact:
        return _solve_softly(energy, observation, source, start, stop)
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


class _SoftPreconditioner:
    """The exact solution of energy + misfit for constant weights, in the dtype and on the device of a tensor."""

    def __init__(self, observation: Observation, energy: Energy, like: Tensor) -> None:
        constant = symbol(energy)
        self.variance = max(observation.softness, DAMPING) * finest_detail(observation.scale)
        self.spectrum = observation.spectrum.to(like)
        coarse = observation.spectrum.average_of(1 / constant) + self.variance
        self._inverse, self._coarse = (1 / constant).to(like), coarse.to(like)

    def lift(self, source: Tensor) -> Tensor:
        """Return the target (H, W) for a source (h, w)."""
        return inverse_cosine_transform(self._lifted(cosine_transform(source)))

    def pull(self, missing: Tensor) -> Tensor:
        """Return the gradient (H, W) of the misfit, for the frequencies (h, w) of what is missing of a source."""
        return inverse_cosine_transform(self.spectrum.spread(missing)).div_(self.variance)

    def __call__(self, gradient: Tensor) -> Tensor:
        """Return the frequencies (H, W) of the step for a gradient."""
        solution = cosine_transform(gradient).mul_(self._inverse)
        return solution.sub_(self._lifted(self.spectrum.average(solution)))

    def _lifted(self, frequencies: Tensor) -> Tensor:
        return self.spectrum.spread(frequencies / self._coarse).mul_(self._inverse)


def _solve_softly(energy: Energy, observation: Observation, source: Tensor, start: Tensor | None, stop: Stop) -> Tensor:
    """Return the target (H, W) of least energy + |source - seen|^2 / 2 / the variance of the source's errors.

    The preconditioner is the exact solution for constant weights. It gives the step's frequencies, of which the misfit
    is seen at once.
    """
    exact = _SoftPreconditioner(observation, energy, source)
    target = exact.lift(source) if start is None else start.double()
    like = (*energy.first, *energy.second)[0]
    missing = cosine_transform(source - observation.seen(target))
    residual = (exact.pull(missing) - energy.gradient(target)).to(like)
    preconditioner = _SoftPreconditioner(observation, energy, like)
    frequencies = preconditioner(residual)
    step = inverse_cosine_transform(frequencies)
    change, direction, of_direction = torch.zeros_like(residual), step, frequencies
    size = float((residual * step).sum())
    for _ in range(stop.steps):
        if not (size > torch.finfo(torch.float64).tiny and float(step.abs().max()) > stop.tolerance):
            break
        curvature = preconditioner.pull(preconditioner.spectrum.average(of_direction))
        curvature.add_(energy.gradient(direction))
        length = size / float((direction * curvature).sum())
        change.add_(direction, alpha=length)
        residual = residual.sub_(curvature, alpha=length)
        frequencies = preconditioner(residual)
        step = inverse_cosine_transform(frequencies)
        before, size = size, float((residual * step).sum())
        by = size / before
        direction, of_direction = step + by * direction, frequencies + by * of_direction
    return target + change
