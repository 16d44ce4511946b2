"""Alignment of a guide: the blur and the shift under which it explains a source best; tensors only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]

from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import degrade_valid
from mmsr_geo.network.members.layers import Alignment, GuideScaling, filled_source
from mmsr_geo.network.members.local_regression import CoarsePart, LocalRegression
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.network.variational.gaussian import moved, smoothed

BLURS_PX = (0.0, 0.3, 0.45, 0.6, 0.75, 0.9, 1.1, 1.3, 1.6, 2.0, 2.4, 2.9, 3.5)
"""Standard deviations, in target pixels, of the Gaussians that are tried."""
BLUR_PRECISION_PX = 0.02
"""How exactly the best blur is found between two that are tried."""
BLUR_FACTOR = 1.15
"""Factor on the blur that explains the source best: block means show less of a blur than the target has. Measured on
three kinds of source (docs/decisions/019-ensemble-and-evidence.md)."""
LARGEST_BLUR_PX = BLUR_FACTOR * max(BLURS_PX)
"""Largest blur of an alignment."""
WORSE_IN_A_ROW = 3
"""Number of blurs, each larger than the best and none better, after which larger ones are not tried: they cost most."""
LEAST_BLUR_PX = 0.6
"""Least blur under which shifts are compared."""
FARTHEST_PX = 3.0
"""Largest shift that is tried, in target pixels, down and across."""
SHIFT_STEPS_PX = (2.0, 1.0, 0.5, 0.25)
"""Steps of the search for the shift, in target pixels."""
ENOUGH = 0.985
"""A shift is taken if the residual falls below this part of the residual without it."""
CHANCE_PX = 8
"""On a source of few pixels the residual has to fall by this number, divided by theirs: of dozens of shifts one fits by
chance (docs/decisions/020-gaps-waves-and-uncertainty.md)."""

_LOCAL = LocalRegression(ridge=0.05, local_px=2.0, shrink=0.3)
_POOLED = LocalRegression(ridge=0.05)


def align(samples: Sequence[Sample], statistics: Statistics, scaling: GuideScaling, scale: Scale) -> Alignment:
    """Return the alignment of a pair, read off samples of it.

    First the blur under which a local regression leaves the smallest residual beyond its own means; then the shift, by
    a pattern search with a pooled regression; and where that is taken, the blur once more. Of the blur that was found
    BLUR_FACTOR times as much is taken.
    """
    parts = [_Part(sample, statistics, scaling, scale) for sample in samples]

    def misfit(regression: LocalRegression, alignment: Alignment) -> float:
        return _misfit(regression, [part(alignment) for part in parts])

    def best_blur(shift: tuple[float, float]) -> float:
        return _least(lambda blur: misfit(_LOCAL, Alignment(blur, shift)))

    blur = best_blur((0.0, 0.0))
    known_px = sum(int(part(Alignment()).known.sum()) for part in parts)
    enough = min(ENOUGH, 1 - CHANCE_PX / max(known_px, 1))
    shift = _lowest(lambda at: misfit(_POOLED, Alignment(max(blur, LEAST_BLUR_PX), at)), enough)
    if shift != (0.0, 0.0):
        blur = best_blur(shift)
    return Alignment(round(BLUR_FACTOR * blur, 3), shift)


class _Part:
    """A sample whose guide is moved and blurred again and again."""

    def __init__(self, sample: Sample, statistics: Statistics, scaling: GuideScaling, scale: Scale) -> None:
        self._source, self._source_valid = filled_source(sample, statistics), sample.source_valid
        self._valid, self._scale = sample.guide_valid, scale
        bands = scaling.cut(statistics.normalise_guide(sample.guide, sample.guide_valid)) * sample.guide_valid
        self._bands = bands.float()

    def __call__(self, alignment: Alignment) -> CoarsePart:
        valid = alignment.moved_mask(self._valid)
        bands = smoothed(moved(self._bands, alignment.shift_px), valid, alignment.blur_px)
        means, share = degrade_valid(bands, valid, self._scale)
        return CoarsePart(self._source, self._source_valid & (share > 0.5), means.double())


def _misfit(regression: LocalRegression, parts: Sequence[CoarsePart]) -> float:
    """Return the root mean square of what the regression leaves of the source beyond its own means."""
    pooled = regression.pool(parts)
    squares, count = 0.0, 0
    for part in parts:
        rest = part.source - regression.fit_coarse(part, pooled)
        rest = rest - smoothed(rest, torch.ones_like(part.known), 1.0)
        squares += float(rest[part.known].square().sum())
        count += int(part.known.sum())
    return math.sqrt(squares / max(count, 1))


def _least(cost: Callable[[float], float]) -> float:
    """Return the blur of the least cost: the best of BLURS_PX, or a better one between its neighbours; 0 stays 0.

    It is 0 as well where the largest blur is the best: then no detail of the guide explains the source.
    """
    costs: dict[float, float] = {}
    best = 0
    for index, blur in enumerate(BLURS_PX):
        costs[blur] = cost(blur)
        best = min(range(index + 1), key=lambda tried: costs[BLURS_PX[tried]])
        if index - best == WORSE_IN_A_ROW:
            break
    if best in {0, len(BLURS_PX) - 1}:
        return 0.0
    around = BLURS_PX[best - 1], BLURS_PX[best + 1]
    found = minimize_scalar(cost, bounds=around, method="bounded", options={"xatol": BLUR_PRECISION_PX})
    return round(float(found.x), 2) if found.fun < costs[BLURS_PX[best]] else BLURS_PX[best]


def _lowest(cost: Callable[[tuple[float, float]], float], enough: float = ENOUGH) -> tuple[float, float]:
    """Return the shift of the least cost, by a pattern search; no shift unless its cost is below `enough` of that.

    None either where the search ended at the largest shift: there the least cost was not found.
    """
    start = (0.0, 0.0)
    costs = {start: cost(start)}
    best = start
    for step in SHIFT_STEPS_PX:
        while True:
            around = [(best[0] + down * step, best[1] + across * step) for down, across in _SIDES]
            for shift in around:
                if max(map(abs, shift)) <= FARTHEST_PX and shift not in costs:
                    costs[shift] = cost(shift)
            lowest = min(costs, key=lambda shift: costs[shift])
            if costs[lowest] >= costs[best]:
                break
            best = lowest
    found = max(map(abs, best)) < FARTHEST_PX and costs[best] < enough * costs[start]
    return best if found else start


_SIDES = (1, 0), (-1, 0), (0, 1), (0, -1)
