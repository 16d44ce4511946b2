"""Alignment of a guide: the blur and the shift under which it explains a source best, and how certain they are.

Tensors only. The blur that is found is that of the guide as the source sees it: what part of it is the sensor's, and
what part the target shares, is not decided here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import degrade
from mmsr_geo.network.members.layers import Alignment, GuideScaling, filled_source
from mmsr_geo.network.members.local_regression import CoarsePart, LocalRegression
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.network.sensor import FARTHEST_SHIFT_PX, Register, Shift
from mmsr_geo.network.variational.gaussian import moved, smoothed, smoothed_means

BLURS_PX = (0.0, 0.3, 0.45, 0.6, 0.75, 0.9, 1.1, 1.3, 1.6, 2.0, 2.4, 2.9, 3.5)
"""Standard deviations, in target pixels, of the Gaussians that are tried."""
WIDER = 1.3
"""Factor from one blur to the next beyond the largest of BLURS_PX; they are tried where that is nearly the best."""
WIDEST = 0.9
"""Largest blur that is tried, in source pixels, where that is more than the largest of BLURS_PX."""
BLUR_PRECISION_PX = 0.02
"""How exactly the best blur is found between two that are tried."""
WORSE_IN_A_ROW = 3
"""Number of blurs, each larger than the best and none better, after which larger ones are not tried: they cost most."""
LEAST_BLUR_PX = 0.6
"""Least blur under which shifts are compared."""
SHIFT_STEPS_PX = (2.0, 1.0, 0.5, 0.25)
"""Steps of the search for the shift, in target pixels."""
ENOUGH = 0.985
"""A shift is taken if the residual falls below this part of the residual without it."""
CHANCE_PX = 8
"""On a source of few pixels the residual has to fall by this number, divided by theirs: of dozens of shifts one fits by
chance (docs/decisions/020-gaps-waves-and-uncertainty.md)."""
ELONGATIONS = (-0.7, 0.0, 0.7)
"""Logarithms of the width of a blur down, divided by that across, through which a parabola is drawn."""
BLOCK_PX = 8
"""Side, in source pixels, of the blocks that are drawn again and again for an interval: residuals are alike nearby."""
DRAWS = 400
"""Number of draws of blocks."""
ONE_SIDED = 1.64
"""Standard deviations from the middle to an end of a 90 % interval."""
QUANTILES = (0.05, 0.5, 0.95)
"""Ends and middle of an interval."""

_LOCAL = LocalRegression(ridge=0.05, local_px=2.0, shrink=0.3)
_POOLED = LocalRegression(ridge=0.05)


@dataclass(frozen=True, slots=True)
class Found:
    """A blur and a shift that were read off a pair, with 90 % intervals from draws of blocks of source pixels."""

    blur_px: float = 0.0
    """Standard deviation of the guide's blur under which it explains the source best, in target pixels; 0 where the
    largest one that was tried is the best."""
    blur_interval_px: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Least, middle and largest of the interval."""
    agreeing: float = 0.0
    """Share of the blocks that the blurred guide explains better than the guide as it is: the least that is likely."""
    unexplained: float = 1.0
    """Root mean square of what the guide leaves of the source beyond its means, divided by that of all of it."""
    shift_px: Shift = (0.0, 0.0)
    """Rows and columns by which the guide is moved; (0, 0) where none is certain."""
    shift_interval_px: tuple[Shift, Shift] = ((0.0, 0.0), (0.0, 0.0))
    """Least and largest shift of the interval, down and across; both are the shift where it was not searched for."""
    elongation: float = 1.0
    """Width of the blur down, divided by that across; 1 where no other is certain."""


def align(
    samples: Sequence[Sample],
    statistics: Statistics,
    scaling: GuideScaling,
    scale: Scale,
    register: Register = "subpixel",
) -> Found:
    """Return the blur and the shift of a pair, read off samples of it.

    First the blur under which a local regression leaves the smallest residual beyond its own means; then the shift, by
    a pattern search with a pooled regression; and where that is taken, the blur once more.

    Args:
        samples: Parts of the pair.
        statistics: Centre and spread of source and guide.
        scaling: Constants of the guide.
        scale: Target pixels per source pixel.
        register: How the guide is registered.
    """
    parts = [_Part(sample, statistics, scaling, scale) for sample in samples]

    def blurs(shift: Shift) -> _Blurs:
        return _Blurs(lambda blur: _residual(_LOCAL, [part(Alignment(blur, shift)) for part in parts]), scale)

    if isinstance(register, tuple):
        return _found(blurs(register), parts, register, (register, register))
    first = blurs((0.0, 0.0))
    if register == "none":
        return _found(first, parts, (0.0, 0.0), ((0.0, 0.0), (0.0, 0.0)))
    known_px = sum(int(part(Alignment()).known.sum()) for part in parts)
    shifts = _Shifts(
        lambda at: _residual(_POOLED, [part(Alignment(max(first.best, LEAST_BLUR_PX), at)) for part in parts]),
        min(ENOUGH, 1 - CHANCE_PX / max(known_px, 1)),
    )
    shift = shifts.found(whole=register == "whole")
    return _found(first if shift == (0.0, 0.0) else blurs(shift), parts, shift, shifts.interval)


def _found(blurs: _Blurs, parts: Sequence[_Part], shift: Shift, interval: tuple[Shift, Shift]) -> Found:
    """Return what is known of the best blur, and of a shift."""
    squares, count = 0.0, 0
    for part in parts:
        seen = part(Alignment(0.0, shift))
        rest = seen.source - smoothed(seen.source, torch.ones_like(seen.known), 1.0)
        squares, count = squares + float(rest[seen.known].square().sum()), count + int(seen.known.sum())
    all_of_it = math.sqrt(squares / max(count, 1))
    return Found(
        blurs.best,
        blurs.interval,
        blurs.agreeing(count),
        min(blurs.cost(blurs.best) / all_of_it, 1.0) if all_of_it > 0 else 1.0,
        shift,
        interval,
        _elongation(blurs.best, parts, shift),
    )


def _elongation(blur_px: float, parts: Sequence[_Part], shift: Shift) -> float:
    """Return the width of the best blur down, divided by that across, where its interval leaves out 1."""
    if not blur_px:
        return 1.0
    squeezed = [math.sqrt(math.exp(log)) for log in ELONGATIONS]
    alignment = Alignment(blur_px, shift)
    residuals = [
        _residual(_LOCAL, [part(alignment, (blur_px * root, blur_px / root)) for part in parts]) for root in squeezed
    ]
    drawn = _drawn(np.stack([residual.blocks for residual in residuals]))
    low, middle, high = np.quantile([_vertex(np.array(ELONGATIONS), sums) for sums in drawn], QUANTILES)
    return math.exp(middle) if low > 0 or high < 0 else 1.0


class _Part:
    """A sample whose guide is moved and blurred again and again."""

    def __init__(self, sample: Sample, statistics: Statistics, scaling: GuideScaling, scale: Scale) -> None:
        self._source, self._source_valid = filled_source(sample, statistics), sample.source_valid
        self._valid, self._scale = sample.guide_valid, scale
        bands = scaling.cut(statistics.normalise_guide(sample.guide, sample.guide_valid)) * sample.guide_valid
        self._bands = bands.float()

    def __call__(self, alignment: Alignment, blur_px: tuple[float, float] | None = None) -> CoarsePart:
        """Return the part under an alignment; `blur_px` (down, across) replaces its blur."""
        valid, blur = alignment.moved_mask(self._valid), blur_px or (alignment.blur_px, alignment.blur_px)
        bands = moved(self._bands, alignment.shift_px)
        share = degrade(valid.double(), self._scale)
        means = smoothed_means(bands, valid, blur, self._scale)
        return CoarsePart(self._source, self._source_valid & (share > 0.5), means.double())


@dataclass(frozen=True, slots=True, eq=False)
class _Residual:
    """What a regression leaves of the source beyond the residual's own means."""

    cost: float
    """Root mean square."""
    blocks: NDArray[np.float64]
    """(n,): sums of squares over blocks of BLOCK_PX source pixels a side."""


def _residual(regression: LocalRegression, parts: Sequence[CoarsePart]) -> _Residual:
    pooled = regression.pool(parts)
    squares, count, blocks = 0.0, 0, []
    for part in parts:
        rest = part.source - regression.fit_coarse(part, pooled)
        rest = (rest - smoothed(rest, torch.ones_like(part.known), 1.0)) * part.known
        squares += float(rest.square().sum())
        count += int(part.known.sum())
        blocks.append(_block_sums(rest.square()))
    return _Residual(math.sqrt(squares / max(count, 1)), np.concatenate(blocks))


def _block_sums(squares: Tensor) -> NDArray[np.float64]:
    """Return the sums (n,) over whole blocks of (h, w), of BLOCK_PX a side or a quarter of a small one's."""
    down, across = (max(1, min(BLOCK_PX, side // 4)) for side in squares.shape)
    rows, columns = squares.shape[0] // down, squares.shape[1] // across
    whole = squares[: rows * down, : columns * across]
    sums: NDArray[np.float64] = whole.reshape(rows, down, columns, across).sum(dim=(1, 3)).flatten().cpu().numpy()
    return sums


class _Blurs:
    """The search for the best blur."""

    def __init__(self, residual: Callable[[float], _Residual], scale: Scale) -> None:
        self._residual, self._tried = residual, dict[float, _Residual]()
        ladder, widest = [*BLURS_PX], WIDEST * math.sqrt(scale.area)
        while ladder[-1] * WIDER < widest:
            ladder.append(ladder[-1] * WIDER)
        best = 0
        for index, blur in enumerate(ladder):
            self.cost(blur)
            best = min(range(index + 1), key=lambda tried: self.cost(ladder[tried]))
            if index - best == WORSE_IN_A_ROW:
                break
        self._ladder = ladder[: index + 1]
        self.best = self._between(best)

    def cost(self, blur_px: float) -> float:
        """Return the residual's root mean square with a blur."""
        if blur_px not in self._tried:
            self._tried[blur_px] = self._residual(blur_px)
        return self._tried[blur_px].cost

    def _between(self, best: int) -> float:
        """Return the best blur of the ladder, or a better one between its neighbours; 0 stays 0.

        It is 0 as well where the largest blur is the best: then no detail of the guide explains the source.
        """
        if best in {0, len(self._ladder) - 1}:
            return 0.0
        around, middle = (self._ladder[best - 1], self._ladder[best + 1]), self._ladder[best]
        options = {"xatol": BLUR_PRECISION_PX}
        found = minimize_scalar(
            lambda blur: self._residual(float(blur)).cost, bounds=around, method="bounded", options=options
        )
        return round(float(found.x), 2) if found.fun < self.cost(middle) else middle

    def agreeing(self, known_px: int) -> float:
        """Return the share of the blocks with a smaller residual under the best blur than under none.

        It is the lower end of the 90 % interval. Blocks of fewer pixels than BLOCK_PX a side do not count for more.
        """
        self.cost(self.best)
        best, none = self._tried[self.best].blocks, self._tried[0.0].blocks
        share, count = float(np.mean(best < none)), max(1.0, min(len(best), known_px / BLOCK_PX**2))
        return max(0.0, share - ONE_SIDED * math.sqrt(share * (1 - share) / count))

    @property
    def interval(self) -> tuple[float, float, float]:
        """The interval of the best blur of the ladder, and between its neighbours that of a parabola."""
        ladder = np.array(self._ladder)
        best = []
        for sums in _drawn(np.stack([self._tried[blur].blocks for blur in self._ladder])):
            lowest = int(sums.argmin())
            inside = 0 < lowest < len(ladder) - 1
            near = slice(lowest - 1, lowest + 2)
            best.append(_vertex(ladder[near], sums[near]) if inside else ladder[lowest])
        low, middle, high = np.quantile(best, QUANTILES)
        return float(low), float(middle), float(high)


class _Shifts:
    """The search for the shift of the least residual, by a pattern search from none."""

    def __init__(self, residual: Callable[[Shift], _Residual], enough: float) -> None:
        self._residual, self._enough, self._tried = residual, enough, dict[Shift, _Residual]()
        best = (0.0, 0.0)
        self._cost(best)
        for step in SHIFT_STEPS_PX:
            while True:
                for shift in _beside(best, step):
                    if max(map(abs, shift)) <= FARTHEST_SHIFT_PX:
                        self._cost(shift)
                lowest = min(self._tried, key=self._cost)
                if self._cost(lowest) >= self._cost(best):
                    break
                best = lowest
        self._best = best

    def _cost(self, shift: Shift) -> float:
        if shift not in self._tried:
            self._tried[shift] = self._residual(shift)
        return self._tried[shift].cost

    def found(self, *, whole: bool) -> Shift:
        """Return the shift; none unless its residual is enough below that without one.

        None either where the search ended at the largest shift: there the least residual was not found.
        """
        none = (0.0, 0.0)
        if max(map(abs, self._best)) >= FARTHEST_SHIFT_PX:
            return none
        shift = self._exact
        if whole:
            shift = float(round(shift[0])), float(round(shift[1]))
        return shift if self._cost(shift) < self._enough * self._cost(none) else none

    @property
    def _exact(self) -> Shift:
        """The shift of the least residual between those that were tried, to a hundredth of a pixel."""
        down, across = (
            _vertex(np.array([shift[axis] for shift in line]), np.array([self._cost(shift) ** 2 for shift in line]))
            for axis, line in enumerate(self._lines)
        )
        exact = round(down, 2), round(across, 2)
        return exact if self._cost(exact) < self._cost(self._best) else self._best

    @property
    def _lines(self) -> tuple[list[Shift], list[Shift]]:
        """The best shift that was tried between its neighbours, down and across."""
        down, up, right, left = _beside(self._best, SHIFT_STEPS_PX[-1])
        return [up, self._best, down], [left, self._best, right]

    @property
    def interval(self) -> tuple[Shift, Shift]:
        """The interval of the shift, down and across."""
        if max(map(abs, self._best)) >= FARTHEST_SHIFT_PX:
            return (-FARTHEST_SHIFT_PX, -FARTHEST_SHIFT_PX), (FARTHEST_SHIFT_PX, FARTHEST_SHIFT_PX)
        ends = []
        for axis, line in enumerate(self._lines):
            for shift in line:
                self._cost(shift)
            at = np.array([shift[axis] for shift in line])
            vertices = [_vertex(at, sums) for sums in _drawn(np.stack([self._tried[s].blocks for s in line]))]
            ends.append(np.quantile(vertices, (QUANTILES[0], QUANTILES[-1])))
        (top, bottom), (left, right) = ends
        return (float(top), float(left)), (float(bottom), float(right))


def _beside(shift: Shift, step: float) -> list[Shift]:
    """Return the shifts a step below, above, right and left of one."""
    return [(shift[0] + down * step, shift[1] + across * step) for down, across in _SIDES]


_SIDES = (1, 0), (-1, 0), (0, 1), (0, -1)


def _drawn(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums (DRAWS, k) of k residuals over blocks (k, n) that are drawn with replacement."""
    counts = np.random.default_rng(0).multinomial(blocks.shape[1], np.full(blocks.shape[1], 1 / blocks.shape[1]), DRAWS)
    sums: NDArray[np.float64] = counts @ blocks.T
    return sums


def _vertex(at: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Return where a parabola through three points is least, within them; the least point where it has no minimum."""
    curvature, slope, _ = np.polyfit(at - at[1], values, 2)
    if curvature <= 0:
        return float(at[values.argmin()])
    return float(np.clip(at[1] - slope / (2 * curvature), at[0], at[-1]))
