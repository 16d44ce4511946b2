"""Uncertainty of a target: half the width of a 90 % interval, from errors at reduced resolution; tensors only."""

from __future__ import annotations

import math
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

CORRECTION_FACTOR = 1.2
"""Factor on the width of a guided prediction from reduced resolution to the true scale: a guide explains block means
better than their parts."""
LEAST = 0.3
"""Smallest width of a guided prediction, in widths of the bicubic baseline: noise and blur that block means hide keep
the error from being smaller."""
WIDTH = 1.65
"""Root mean square of an interval's half width, divided by that of the error that is expected of an ensemble; fitted to
pairs of all kinds (docs/decisions/020-gaps-waves-and-uncertainty.md)."""
FROM_DETAIL = 0.7
"""Largest power of the baseline's error that the added detail predicts; the rest is that of the octaves."""
UNCERTAIN_SHARE = 0.05
"""Share of the baseline's squared error that the guide explains at which the power is half of FROM_DETAIL: the less it
explains, the less the added detail tells."""
COVERAGE = 0.9
"""Fraction of true values within the interval."""
FEWEST_PX = 100
"""Number of validated pixels below which nothing is calibrated."""
MOST_PX = 4000
"""Number of validated pixels that are used; of more, every n-th."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Coefficients of half an interval's width, none negative."""

    constant: float
    """Constant, in the source's units."""
    roughness: float
    """Coefficient of the source's local range."""
    contrast: float
    """Coefficient of the prediction's local range."""

    def times(self, factor: float) -> Terms:
        """Return the coefficients multiplied by a factor."""
        return Terms(factor * self.constant, factor * self.roughness, factor * self.contrast)

    def sum(self, predictors: Tensor) -> Tensor:
        """Return half the width (H, W) from the predictors (3, H, W) of `predictors_of`."""
        return self.constant * predictors[0] + self.roughness * predictors[1] + self.contrast * predictors[2]


@dataclass(frozen=True, slots=True)
class Interval:
    """Half the width of a model's 90 % interval, as a function of source and prediction."""

    guided: Terms
    """Coefficients where the model is used."""
    smooth: Terms
    """Coefficients where an interpolation is used in its place."""
    bounded: bool = True
    """True if the width of a guided prediction is kept between LEAST times and once that of the interpolation."""

    def times(self, unit: float) -> Interval:
        """Return the interval for values `unit` times as large: only the constants have a unit."""
        guided, smooth = (replace(terms, constant=unit * terms.constant) for terms in (self.guided, self.smooth))
        return replace(self, guided=guided, smooth=smooth)

    def half_width(self, prediction: Tensor, source: Tensor, guided: Tensor, scale: Scale) -> Tensor:
        """Return half the width of the interval, (H, W) float64 in the source's units.

        Args:
            prediction: (H, W), before it is made consistent.
            source: (h, w), nodata filled.
            guided: (H, W) in 0 to 1: weight of the guide in each pixel, the rest being an interpolation's.
            scale: Target pixels per source pixel.
        """
        smooth = self.smooth.sum(predictors_of(bicubic(source.double(), scale), source, scale))
        full = self.guided.sum(predictors_of(prediction, source, scale))
        if self.bounded:
            full = full.clamp(LEAST * smooth, smooth)
        return smooth + guided * (full - smooth)


def predictors_of(prediction: Tensor, source: Tensor, scale: Scale) -> Tensor:
    """Return the predictors of each pixel's error, (3, H, W) float64: 1, local range of source and of prediction."""
    rough, contrast = (_local_range(values.double()) for values in (source, prediction))
    return torch.stack([torch.ones_like(contrast), bilinear(rough, scale), contrast])


def calibrated(
    predictions: Sequence[ReducedPrediction],
    weights: Sequence[float],
    growth: float,
    scale: Scale,
) -> Interval | None:
    """Return the interval that holds 90 % of the validated errors at reduced resolution, carried to the true scale.

    Quantile regressions (Koenker and Bassett 1978) of the absolute errors of the ensemble, and of the bicubic baseline,
    on what `predictors_of` gives. The ranges are measured again where the interval is used and so shrink with the scale
    by themselves. The baseline's errors shrink more than that, by `growth`, their trend over the octaves above. Those
    of guided predictions shrink less and are multiplied by CORRECTION_FACTOR; an ensemble's factor is the weighted
    average of both. A guide leaves LEAST of the baseline's width and never widens it
    (docs/decisions/014-uncertainty-interval.md).

    Args:
        predictions: Predictions of each sample at reduced resolution, the bicubic interpolation's first.
        weights: Weight of each prediction in the ensemble, that of the bicubic interpolation first.
        growth: Error of the bicubic baseline at the true scale, divided by that at reduced resolution.
        scale: Target pixels per source pixel.

    Returns:
        The interval; None where fewer than FEWEST_PX pixels were validated.
    """
    terms = _at_reduced_resolution(predictions, weights, scale)
    if terms is None:
        return None
    guided, smooth = terms
    return Interval(guided.times(weights[0] * growth + (1 - weights[0]) * CORRECTION_FACTOR), smooth.times(growth))


@dataclass(frozen=True, slots=True, eq=False)
class DrawnPart:
    """What members draw of a part at the true scale."""

    source: Tensor
    """(h, w) float64, nodata filled."""
    prediction: Tensor
    """(H, W) float64: the weighted average."""
    baseline: Tensor
    """(H, W) float64: the bicubic baseline."""
    valid: Tensor
    """(H, W) bool: where source and guide are valid."""


def expected(  # noqa: PLR0913  (what is known of an ensemble's error)
    predictions: Sequence[ReducedPrediction],
    weights: Sequence[float],
    step: Scale,
    parts: Sequence[DrawnPart],
    scale: Scale,
    *,
    octave: float,
    decay: float,
    ratio: float,
    members_ratio: float,
    smooth_ratio: float,
) -> Interval | None:
    """Return the interval of an ensemble, from its errors at reduced resolution and from what it draws.

    The quantile regressions of `calibrated` say where errors are large. How large they are at the true scale is
    predicted in four steps (docs/decisions/020-gaps-waves-and-uncertainty.md):

    1. The baseline's error at the true scale, from its error one octave above and the ratio of two octaves, continued
       over all octaves down to the target.
    2. The same error from the root mean square (RMS) of what the members add to the baseline: a least-squares
       prediction and its error are uncorrelated, so that it is this RMS, divided by sqrt(1 - members_ratio^2).
    3. Their weighted geometric mean. The second has the weight FROM_DETAIL where the guide explains much, and none
       where it explains nothing.
    4. That, times the ratio of both errors that is expected, and times WIDTH.

    Args:
        predictions: Predictions of each sample at reduced resolution, the bicubic interpolation's first.
        weights: Weight of each prediction in the ensemble, that of the bicubic interpolation first.
        step: Source pixels per pixel of the reduced source.
        parts: What the members draw of each part.
        scale: Target pixels per source pixel.
        octave: RMS of the bicubic baseline's error where the source averaged by 2 is solved.
        decay: That error, divided by the one an octave above.
        ratio: Expected error of the ensemble, divided by that of the bicubic baseline.
        members_ratio: The same of the members alone.
        smooth_ratio: The same of the interpolation that replaces the ensemble in gaps of the guide.

    Returns:
        The interval; None where fewer than FEWEST_PX pixels were validated, or the members draw nothing.
    """
    terms = _at_reduced_resolution(predictions, weights, step)
    drawn = _root_mean_square([(part.prediction - part.baseline)[part.valid] for part in parts])
    if terms is None or not drawn > 0:
        return None
    octaves = math.log2(scale.area) / 2
    variances = (decay ** (2 * k) * min(1.0, octaves - k + 1) for k in range(1, math.ceil(octaves) + 1))
    of_baseline = octave * math.sqrt(sum(variances))
    explained = max(1 - members_ratio**2, 0.0)
    if explained > 0:
        power = FROM_DETAIL * explained / (explained + UNCERTAIN_SHARE)
        of_baseline = of_baseline ** (1 - power) * (drawn / math.sqrt(explained)) ** power
    sized = []
    for of_terms, error, smooth in zip(terms, (ratio, smooth_ratio), (False, True), strict=True):
        widths = [
            of_terms.sum(predictors_of(bicubic(part.source, scale) if smooth else part.prediction, part.source, scale))[
                part.valid
            ]
            for part in parts
        ]
        size = _root_mean_square(widths)
        if not size > 0:
            return None
        sized.append(of_terms.times(WIDTH * error * of_baseline / size))
    return Interval(sized[0], sized[1], bounded=False)


def _root_mean_square(parts: Sequence[Tensor]) -> float:
    count = sum(part.numel() for part in parts)
    return math.sqrt(sum(float(part.square().sum()) for part in parts) / count) if count else 0.0


def _at_reduced_resolution(
    predictions: Sequence[ReducedPrediction], weights: Sequence[float], scale: Scale
) -> tuple[Terms, Terms] | None:
    """Return the terms of ensemble and bicubic baseline at reduced resolution; None of fewer than FEWEST_PX pixels."""
    by = torch.tensor(weights, dtype=torch.float64)
    columns: list[NDArray[np.float64]] = []
    for reduced in predictions:
        ensemble, errors = (
            torch.tensordot(by.to(layers.device), layers, dims=1) for layers in (reduced.raw, reduced.errors)
        )
        of_ensemble, of_bicubic = (
            predictors_of(prediction, reduced.source, scale) for prediction in (ensemble, reduced.raw[0])
        )
        layers = torch.cat([of_ensemble, of_bicubic[2:], errors.abs()[None], reduced.errors[:1].abs()])
        columns.append(layers[:, reduced.validated].T.cpu().numpy())
    rows = np.concatenate(columns)
    if len(rows) < FEWEST_PX:
        return None
    constant, rough, contrast, plain, ensemble_error, bicubic_error = rows[:: math.ceil(len(rows) / MOST_PX)].T
    guided = _quantile_regression(np.stack([constant, rough, contrast], axis=1), ensemble_error)
    smooth = _quantile_regression(np.stack([constant, rough, plain], axis=1), bicubic_error)
    return Terms(*guided), Terms(*smooth)


def _local_range(values: Tensor) -> Tensor:
    """Return the range of the 3 x 3 pixels around each pixel, (H, W); border pixels are repeated outside."""
    padded = F.pad(values[None, None], (1, 1, 1, 1), mode="replicate")
    return (F.max_pool2d(padded, 3, stride=1) + F.max_pool2d(-padded, 3, stride=1))[0, 0]


def _quantile_regression(predictors: NDArray[np.float64], errors: NDArray[np.float64]) -> list[float]:
    """Return the coefficients, none negative, of the COVERAGE quantile of the errors (n,) on the predictors (n, k).

    As a linear programme: an error is the sum, plus its distance above, less its distance below.
    """
    count, columns = predictors.shape
    # The solver's tolerances are absolute, and a DEM's errors may be a millionth of its deviation.
    size, unit = np.abs(predictors).max(axis=0), errors.max() or 1.0
    size[size == 0] = 1
    identity = eye_array(count)
    solution = linprog(
        np.concatenate([np.zeros(columns), np.full(count, COVERAGE), np.full(count, 1 - COVERAGE)]),
        A_eq=hstack([csr_array(predictors / size), identity, -identity]),
        b_eq=errors / unit,
        bounds=(0, None),
        method="highs",
    )
    return [float(value) for value in unit * solution.x[:columns] / size]
