"""How far a target may be off: half a 90 % interval's width, calibrated where the source is the truth; tensors only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from numpy.typing import NDArray
from scipy.optimize import linprog  # type: ignore[import-untyped]
from scipy.sparse import csr_array, eye_array, hstack  # type: ignore[import-untyped]
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.checking import Below
from mmsr_geo.network.degradation import bicubic, bilinear

COVERAGE = 0.9
"""The share of truths that shall lie within."""
FEWEST_PX = 100
"""Judged pixels below which nothing is calibrated."""
MOST_PX = 4000
"""Judged pixels that are taken; of more, every n-th."""
WIDER = 1.2
"""What a guided prediction's interval is multiplied by on its way down a scale: what a guide tells of block means it
tells less well of their parts, by as much as the source does not show."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Half an interval's width as a sum: what each thing known of a pixel is multiplied by, none negative."""

    constant: float
    """In the source's units."""
    roughness: float
    """Of the source's local range."""
    detail: float
    """Of how far the prediction lies from the bicubic interpolation."""

    def sum(self, known: Tensor) -> Tensor:
        """Return (H, W): the sum of what `predictors_of` gives, (3, H, W)."""
        return self.constant * known[0] + self.roughness * known[1] + self.detail * known[2]


@dataclass(frozen=True, slots=True)
class Interval:
    """What half of a 90 % interval's width is made of."""

    guided: Terms
    """Where the model has its word."""
    smooth: Terms
    """Where the interpolation stands in for it."""

    def times(self, unit: float) -> Interval:
        """Return it for values that are so many times as large: only the constants have a unit."""
        guided, smooth = (replace(terms, constant=unit * terms.constant) for terms in (self.guided, self.smooth))
        return Interval(guided, smooth)

    def half_width(self, prediction: Tensor, source: Tensor, guided: Tensor | None, scale: Scale) -> Tensor:
        """Return (H, W) float64 in the source's units.

        prediction: (H, W), before it is made consistent; source: (h, w), holes filled; guided: (H, W) in 0..1, how
        much of each pixel is the model's word; None: all of it.
        """
        known = predictors_of(prediction, source, scale)
        smooth, full = self.smooth.sum(known), self.guided.sum(known)
        return full if guided is None else smooth + guided * (full - smooth)


def predictors_of(prediction: Tensor, source: Tensor, scale: Scale) -> Tensor:
    """Return what is known of each pixel, (3, H, W) float64: 1, the source's range of 3 x 3, what is drawn on it."""
    source, prediction = source.double(), prediction.double()
    padded = F.pad(source[None, None], (1, 1, 1, 1), mode="replicate")
    local_range = F.max_pool2d(padded, 3, stride=1) + F.max_pool2d(-padded, 3, stride=1)
    rough = bilinear(local_range[0, 0], scale)
    return torch.stack([torch.ones_like(prediction), rough, (prediction - bicubic(source, scale)).abs()])


def calibrated(belows: Sequence[Below], shares: Sequence[float], scale: Scale, growth: float) -> Interval | None:
    """Return the interval that held 90 % of the judged errors one level down, carried down to the true scale.

    By quantile regression (Koenker and Bassett 1978) of the mixture's absolute errors, and of the interpolation's.
    Range and detail are measured again where the interval is used, and so carry themselves; the constants are
    multiplied by `growth`, how much larger an interpolation's error is at the true scale, and all that is guided by
    WIDER.

    shares: of the mixture. Returns None where fewer than FEWEST_PX pixels were judged.
    """
    known: list[list[NDArray[np.float64]]] = []
    for below in belows:
        judged = below.judged
        mixed = torch.tensordot(torch.tensor(shares, dtype=torch.float64, device=judged.device), below.raw, dims=1)
        off = torch.tensordot(torch.tensor(shares, dtype=torch.float64, device=judged.device), below.errors, dims=1)
        parts = (*predictors_of(mixed, below.source, scale), off.abs(), below.errors[0].abs())
        known.append([part[judged].cpu().numpy() for part in parts])
    constant, rough, detail, off, smooth_off = (np.concatenate(parts) for parts in zip(*known, strict=True))
    if len(constant) < FEWEST_PX:
        return None
    some = slice(None, None, -(-len(constant) // MOST_PX))
    guided = _quantile_regression(np.stack([constant, rough, detail], axis=1)[some], off[some])
    smooth = _quantile_regression(np.stack([constant, rough], axis=1)[some], smooth_off[some])
    return Interval(
        Terms(WIDER * growth * guided[0], WIDER * guided[1], WIDER * guided[2]),
        Terms(growth * smooth[0], smooth[1], 0.0),
    )


def _quantile_regression(known: NDArray[np.float64], errors: NDArray[np.float64]) -> list[float]:
    """Return what to multiply the columns by, none negative, for the COVERAGE quantile of the errors: (n, k) and (n,).

    As a linear programme: an error is the sum, plus what it lies above, less what it lies below.
    """
    count, columns = known.shape
    size = np.abs(known).max(axis=0)
    size[size == 0] = 1
    each = eye_array(count)
    found = linprog(
        np.concatenate([np.zeros(columns), np.full(count, COVERAGE), np.full(count, 1 - COVERAGE)]),
        A_eq=hstack([csr_array(known / size), each, -each]),
        b_eq=errors,
        bounds=(0, None),
        method="highs",
    )
    return [float(value) for value in found.x[:columns] / size]
