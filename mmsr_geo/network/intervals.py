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
from mmsr_geo.network.degradation import bicubic, bilinear
from mmsr_geo.network.guide_check import ReducedPrediction

DOUBT = 1.2
"""What a guide's part of the width is multiplied by on the way down: what it tells of block means it tells less well of
their parts."""
LEAST = 0.3
"""Of the interpolation's width, what a guide's is at least: noise and blur that block means hide keep it from less."""
COVERAGE = 0.9
"""The share of truths that shall lie within."""
FEWEST_PX = 100
"""Judged pixels below which nothing is calibrated."""
MOST_PX = 4000
"""Judged pixels that are taken; of more, every n-th."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Half an interval's width as a sum: what each thing known of a pixel is multiplied by, none negative."""

    constant: float
    """In the source's units."""
    roughness: float
    """Of the source's local range."""
    contrast: float
    """Of the prediction's local range."""

    def sum(self, known: Tensor) -> Tensor:
        """Return (H, W): the sum of what `predictors_of` gives, (3, H, W)."""
        return self.constant * known[0] + self.roughness * known[1] + self.contrast * known[2]


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

    def half_width(self, prediction: Tensor, source: Tensor, guided: Tensor, scale: Scale) -> Tensor:
        """Return (H, W) float64 in the source's units.

        prediction: (H, W), before it is made consistent; source: (h, w), holes filled; guided: (H, W) in 0..1, how
        much of each pixel is the model's word and not the interpolation's.
        """
        smooth = self.smooth.sum(predictors_of(bicubic(source.double(), scale), source, scale))
        full = self.guided.sum(predictors_of(prediction, source, scale)).clamp(LEAST * smooth, smooth)
        return smooth + guided * (full - smooth)


def predictors_of(prediction: Tensor, source: Tensor, scale: Scale) -> Tensor:
    """Return what is known of each pixel, (3, H, W) float64: 1, the source's range of 3 x 3, the prediction's."""
    rough, contrast = (_local_range(values.double()) for values in (source, prediction))
    return torch.stack([torch.ones_like(contrast), bilinear(rough, scale), contrast])


def calibrated(
    belows: Sequence[ReducedPrediction], shares: Sequence[float], growth: float, scale: Scale
) -> Interval | None:
    """Return the interval that holds 90 % of the judged errors one level down, carried down to the true scale.

    By quantile regression (Koenker and Bassett 1978) of the mixture's absolute errors, and of the interpolation's, on
    what `predictors_of` gives. The ranges are measured again where the interval is used and so shrink with the scale by
    themselves. The interpolation's errors shrink more than that, by `growth`, their trend over the octaves above; a
    guide's less, and are multiplied by the DOUBT; a mixture's by what comes of both. A guide leaves LEAST of the
    interpolation's width and never widens it (docs/decisions/014-uncertainty-interval.md).

    shares: of the mixture, the interpolation's first. Returns None where fewer than FEWEST_PX pixels were judged.
    """
    stacking = torch.tensor(shares, dtype=torch.float64)
    known: list[NDArray[np.float64]] = []
    for below in belows:
        ensemble, off = (torch.tensordot(stacking.to(each.device), each, dims=1) for each in (below.raw, below.errors))
        of_mixed, of_smooth = (predictors_of(each, below.source, scale) for each in (ensemble, below.raw[0]))
        columns = torch.cat([of_mixed, of_smooth[2:], off.abs()[None], below.errors[:1].abs()])
        known.append(columns[:, below.judged].T.cpu().numpy())
    rows = np.concatenate(known)
    if len(rows) < FEWEST_PX:
        return None
    constant, rough, contrast, plain, off_mixed, off_smooth = rows[:: -(-len(rows) // MOST_PX)].T
    guided = _quantile_regression(np.stack([constant, rough, contrast], axis=1), off_mixed)
    smooth = _quantile_regression(np.stack([constant, rough, plain], axis=1), off_smooth)
    carried = shares[0] * growth + (1 - shares[0]) * DOUBT
    return Interval(Terms(*(carried * term for term in guided)), Terms(*(growth * term for term in smooth)))


def _local_range(values: Tensor) -> Tensor:
    """Return the range of the 3 x 3 pixels around each, (H, W); beyond the border it is repeated."""
    padded = F.pad(values[None, None], (1, 1, 1, 1), mode="replicate")
    return (F.max_pool2d(padded, 3, stride=1) + F.max_pool2d(-padded, 3, stride=1))[0, 0]


def _quantile_regression(known: NDArray[np.float64], errors: NDArray[np.float64]) -> list[float]:
    """Return what to multiply the columns by, none negative, for the COVERAGE quantile of the errors: (n, k) and (n,).

    As a linear programme: an error is the sum, plus what it lies above, less what it lies below.
    """
    count, columns = known.shape
    # The solver's tolerances are absolute, and a DEM's errors may be a millionth of its deviation.
    size, unit = np.abs(known).max(axis=0), errors.max() or 1.0
    size[size == 0] = 1
    each = eye_array(count)
    found = linprog(
        np.concatenate([np.zeros(columns), np.full(count, COVERAGE), np.full(count, 1 - COVERAGE)]),
        A_eq=hstack([csr_array(known / size), each, -each]),
        b_eq=errors / unit,
        bounds=(0, None),
        method="highs",
    )
    return [float(value) for value in unit * found.x[:columns] / size]
