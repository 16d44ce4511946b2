"""What a fit finds at reduced resolution: registration, regression, and the errors on validation blocks; tensors only.

A sample's source and guide are averaged by the scale, so that the source itself is the reference (Wald's protocol).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count

import numpy as np
import torch
from torch import Tensor

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.geometry import Scale, Window
from mmsr_geo.network.degradation import bicubic, bilinear
from mmsr_geo.network.fitted import add_detail, predict_in_parts, receptive_field_on_target
from mmsr_geo.network.guide_check import (
    SMALLEST_VALIDATED_PX,
    GuideCheck,
    ReducedPrediction,
    RegionErrors,
    bicubic_error,
    compare,
    guide_check_of,
    predict_at_reduced_resolution,
    reduce_sample,
    reduction_step,
)
from mmsr_geo.network.intervals import Interval, calibrated
from mmsr_geo.network.mmsr import MmsrNetwork
from mmsr_geo.network.prepared import PreparedSample, reduced_guide, reduced_rows, true_scale_rows
from mmsr_geo.network.registration import Shift, registration
from mmsr_geo.network.ridge_regression import Regression, RegressionRows, blocks_of, fit_regression
from mmsr_geo.network.stacking import StackingWeights, best_weights

LEAST_NETWORK_WEIGHT = 0.05
"""Smallest weight of the network in an ensemble; below it the network is left out, and its steps with it."""
MOST_REGRESSION_PX = 2**16
"""About the largest number of source pixels that a regression is solved on; of more, samples and then blocks of them
are left out."""
REGRESSION_AREA = 16
"""Target pixels per source pixel above which a source pixel counts more than once in MOST_REGRESSION_PX."""
FEWEST_TREND_PX = 16
"""Source pixels along a side below which the trend of errors over scales is not estimated."""
SMOOTH = 0.2
"""RMSE of the bicubic baseline at reduced resolution, in standard deviations of the source, below which a source
counts as smooth."""
LEAST_AMPLITUDE = 1e-4
"""Smallest amplitude, in standard deviations of the source, of a network that draws detail."""

NetworkPredictor = Callable[[PreparedSample, Tensor], Tensor]
"""A network's prediction (H, W) of a sample from its reduced source (h, w)."""


@dataclass(frozen=True, slots=True, eq=False)
class RegisteredRegression:
    """The regression of a pair's detail, with the shift of its guide."""

    shift: Shift
    """Rows and columns of the target grid by which the guide is moved onto its source."""
    validated: Regression
    """The regression that has not seen the validation blocks."""
    final: Regression
    """The regression on all pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """Predictions at reduced resolution and the decisions taken from their errors on validation blocks."""

    predictions: tuple[ReducedPrediction, ...] = field(default=(), repr=False)
    """One per sample: the bicubic baseline, the network where it was fitted, the regression where it was solved."""
    stacking: StackingWeights = field(default_factory=StackingWeights)
    """Weights of the ensemble with the least squared error."""
    check: GuideCheck = field(default_factory=GuideCheck)
    """Guide check of that ensemble."""
    interval: Interval | None = None
    """Calibrated uncertainty of that ensemble; None: not calibrated."""
    network_helped: bool = False
    """True if the network alone had a smaller error than the bicubic baseline."""


class ReducedResolution:
    """The samples of a fit at reduced resolution, where their source is the reference."""

    def __init__(self, samples: Sequence[PreparedSample], scale: Scale) -> None:
        """Choose the reduction.

        Args:
            samples: The samples of the fit, all of one size.
            scale: Target pixels per source pixel.
        """
        self.samples, self.scale = samples, scale
        self.step = reduction_step(samples[0].source.shape, scale)

    @property
    def shape_yx(self) -> tuple[int, int]:
        """The size of a sample's source at reduced resolution, (h, w)."""
        height, width = self.samples[0].source.shape
        return height // self.step.y, width // self.step.x

    @property
    def can_validate(self) -> bool:
        """True if there are enough pixels, and validation blocks among them, to tell whether the guide helps."""
        any_block = any(bool((sample.fit_mask & sample.validation).any()) for sample in self.samples)
        return min(self.shape_yx) >= SMALLEST_VALIDATED_PX and any_block

    @property
    def can_learn(self) -> bool:
        """True if a pixel outside the validation blocks can be learnt from."""
        return min(self.shape_yx) >= 1 and any(
            bool((sample.fit_mask & ~sample.validation).any()) for sample in self.samples
        )

    def fit_regression(self, seed: int, progress: Progress = no_progress) -> RegisteredRegression:
        """Register the guide on the source and solve both regressions, with the validation blocks and without them.

        Args:
            seed: Seed of the random features.
            progress: Called with the stages "registration" and "regression".
        """
        source_px = sum(sample.source.numel() for sample in self.samples)
        thinning = math.ceil(max(source_px, source_px * self.scale.area // REGRESSION_AREA) / MOST_REGRESSION_PX)
        every_sample = min(thinning, len(self.samples))
        samples, every_block = self.samples[::every_sample], math.ceil(thinning / every_sample)
        height, width = samples[0].source.shape
        grids = ((self.shape_yx, self.step), ((height, width), self.scale))
        total = len(samples) * sum(len(blocks_of(shape, scale, every_block)) for shape, scale in grids)
        done = count()

        def reported(blocks: Iterator[RegressionRows]) -> Iterator[RegressionRows]:
            for block in blocks:
                progress("regression", next(done), total)
                yield block

        progress("registration", 0, 1)
        shift = self._registration()
        progress("registration", 1, 1)
        reduced = [rows for sample in samples for rows in reported(reduced_rows(sample, shift, self.step, every_block))]
        true_scale = (
            rows for sample in samples for rows in reported(true_scale_rows(sample, shift, self.scale, every_block))
        )
        validated, final = fit_regression(reduced, true_scale, torch.Generator().manual_seed(seed))
        progress("regression", total, total)
        return RegisteredRegression(shift, validated, final)

    def validate(self, network: NetworkPredictor, regression: RegisteredRegression | None) -> Validation:
        """Compare the network, and the regression where there is one, with the source on the validation blocks.

        The ensemble has the weights with the least squared error there. A network whose weight would be below
        LEAST_NETWORK_WEIGHT is left out.
        """
        predictions = self._predictions(network, regression)
        errors = self._errors(predictions)
        stacking = StackingWeights()
        if regression is not None and sum(region.validated_px for region in errors) > 0:
            products = np.sum([region.products for region in errors], axis=0)
            bicubic_weight, network_weight, regression_weight = best_weights(products)
            if network_weight < LEAST_NETWORK_WEIGHT:
                (bicubic_weight, regression_weight), network_weight = best_weights(products[::2, ::2]), 0.0
            stacking = StackingWeights(bicubic_weight, network_weight, regression_weight, regression.shift)
        weights = stacking.values[: len(predictions[0].raw)]
        network_check = guide_check_of(errors, (0, 1, 0)[: len(weights)])
        return Validation(
            predictions,
            stacking,
            guide_check_of(errors, weights),
            self._interval(predictions, weights),
            network_helped=network_check.result == "helped",
        )

    def validate_regression(self, regression: RegisteredRegression, enough_gain: float) -> Validation | None:
        """Compare the regression alone with the source on the validation blocks; None below `enough_gain`."""
        predictions, weights = self._predictions(None, regression), (0, 1)
        check = guide_check_of(self._errors(predictions), weights)
        if check.gain is None or check.gain < enough_gain:
            return None
        stacking = StackingWeights(network=0.0, regression=1.0, shift=regression.shift)
        return Validation(predictions, stacking, check, self._interval(predictions, weights))

    def validate_members(self, predictors: Sequence[Callable[[Tensor], Tensor]], *, guided: bool) -> Validation:
        """Compare the members' weighted average alone with the source, on all pixels.

        Its members see the reduced source alone. Alignment and weights were chosen on the same source pixels.

        Args:
            predictors: For each sample the function from a reduced source (h, w) to its prediction.
            guided: Whether a member with a weight uses the guide.
        """
        predictions = tuple(
            predict_at_reduced_resolution(
                [predictor], sample.source, sample.fit_mask, torch.ones_like(sample.validation), self.step
            )
            for predictor, sample in zip(predictors, self.samples, strict=True)
        )
        stacking, weights = StackingWeights(network=0.0, members=1.0), (0, 1)
        check = replace(guide_check_of(self._errors(predictions), weights), draft=True, guided=guided)
        return Validation(predictions, stacking, check, self._interval(predictions, weights))

    def network_predictor(self, network: MmsrNetwork, detail: float | None) -> NetworkPredictor:
        """Return the predictor of a network at reduced resolution; detail: see `add_detail`."""
        receptive_field_target_px = receptive_field_on_target(network.receptive_field)

        def predict(sample: PreparedSample, source: Tensor) -> Tensor:
            def guide_of(part: Window) -> Tensor:
                guide = sample.reduced_guide[None, :, *part.slices]
                return guide.contiguous(memory_format=torch.channels_last)

            on_target = bilinear(source[None, None], self.step)
            output = predict_in_parts(network, guide_of, on_target, receptive_field_target_px)[0, 0]
            return add_detail(output, source, self.step, detail)

        return predict

    def _regression_prediction(
        self, regression: RegisteredRegression, sample: PreparedSample, source: Tensor
    ) -> Tensor:
        guide, valid = reduced_guide(sample, regression.shift)
        whole = Window.whole((source.shape[0], source.shape[1])).refined(self.step).slices
        detail = regression.validated.detail(guide[:, *whole], valid[whole], source, self.step)
        return bicubic(source.double(), self.step) + detail

    def _predictions(
        self, network: NetworkPredictor | None, regression: RegisteredRegression | None
    ) -> tuple[ReducedPrediction, ...]:
        predictors: list[NetworkPredictor] = [] if network is None else [network]
        if regression is not None:
            predictors.append(partial(self._regression_prediction, regression))
        return tuple(
            predict_at_reduced_resolution(
                [partial(predictor, sample) for predictor in predictors],
                sample.source,
                sample.fit_mask,
                sample.validation,
                self.step,
            )
            for sample in self.samples
        )

    def _errors(self, predictions: Sequence[ReducedPrediction]) -> list[RegionErrors]:
        return [
            region
            for sample, prediction in zip(self.samples, predictions, strict=True)
            for region in compare(prediction, self.step, sample.corner)
        ]

    def _interval(self, predictions: Sequence[ReducedPrediction], weights: Sequence[float]) -> Interval | None:
        """Calibrate the uncertainty; None where the reduction is not by the scale.

        Errors of half a source pixel say little about an eighth of it.
        """
        return calibrated(predictions, weights, self._growth(), self.scale) if self.step == self.scale else None

    def _growth(self) -> float:
        """Return the bicubic baseline's error at the true scale, divided by its error at reduced resolution.

        The trend is continued from the octave above: from a source averaged by 4 with the one averaged by 2 as the
        reference, to a source averaged by 2 with the source as the reference.
        """
        half = Scale(2, 2)
        full = [(sample.source, sample.fit_mask) for sample in self.samples]
        halved = [reduce_sample(source, mask, half) for source, mask in full if min(source.shape) >= FEWEST_TREND_PX]
        if not halved:
            return 1.0
        full_squares, halved_squares = (
            torch.cat([bicubic_error(reference, mask, half) for reference, mask in level]) for level in (full, halved)
        )
        if not all(len(squares) and bool(squares.any()) for squares in (full_squares, halved_squares)):
            return 1.0
        octave = math.sqrt(float(full_squares.mean() / halved_squares.mean()))
        return float(min(1.0, octave ** (math.log2(self.scale.area) / 2)))

    def _registration(self) -> Shift:
        return registration(
            (
                (sample.source, sample.fit_mask, sample.guide[: sample.bands], sample.guide_valid)
                for sample in self.samples
            ),
            self.scale,
        )


def detail_amplitude(samples: Sequence[PreparedSample], scale: Scale, *, over_bicubic: bool | None) -> float | None:
    """Return the amplitude of the detail that a network adds to the bicubic interpolation.

    Args:
        samples: The samples of the fit.
        scale: Target pixels per source pixel.
        over_bicubic: Whether the network draws detail; None: only where the source is smooth.

    Returns:
        The RMSE of the bicubic baseline at reduced resolution, in standard deviations of the source; None where the
        network predicts the whole target.
    """
    height, width = samples[0].source.shape
    if over_bicubic is False or min(height // scale.y, width // scale.x) < 1:
        return None
    squares = torch.cat([bicubic_error(sample.source, sample.fit_mask, scale) for sample in samples])
    rmse = float(squares.mean().sqrt()) if len(squares) else 0.0
    return max(rmse, LEAST_AMPLITUDE) if over_bicubic or rmse < SMOOTH else None
