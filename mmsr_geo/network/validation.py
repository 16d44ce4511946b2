"""What a fit finds at reduced resolution: errors, the weights of network and members, the guide check; tensors only.

A sample's source and guide are averaged by the scale, so that the source itself is the reference (Wald's protocol).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsr_geo.geometry import Scale, Window
from mmsr_geo.network.degradation import bilinear
from mmsr_geo.network.fitted import add_detail, predict_in_parts, receptive_field_on_target
from mmsr_geo.network.guide_check import (
    LEAST_ENSEMBLE_GAIN,
    SMALLEST_VALIDATED_PX,
    GuideCheck,
    ReducedPrediction,
    RegionErrors,
    bicubic_error,
    compare,
    expectation,
    guide_check_of,
    predict_at_reduced_resolution,
    reduce_sample,
    reduction_step,
)
from mmsr_geo.network.intervals import Interval, calibrated, expected
from mmsr_geo.network.members.evidence import NOTICEABLE, MembersEvidence
from mmsr_geo.network.members.layers import Layers
from mmsr_geo.network.mmsr import MmsrNetwork
from mmsr_geo.network.prepared import PreparedSample
from mmsr_geo.network.sensor import PLAIN, Sensor
from mmsr_geo.network.stacking import StackingWeights, best_weights

LEAST_NETWORK_WEIGHT = 0.05
"""Smallest weight of the network beside members; below it the network is left out, and its steps with it."""
FEWEST_TREND_PX = 16
"""Source pixels along a side below which the trend of errors over scales is not estimated."""
SMOOTH = 0.2
"""RMSE of the bicubic baseline at reduced resolution, in standard deviations of the source, below which a source
counts as smooth."""
LEAST_AMPLITUDE = 1e-4
"""Smallest amplitude, in standard deviations of the source, of a network that draws detail."""

NetworkPredictor = Callable[[PreparedSample, Tensor], Tensor]
"""A network's prediction (H, W) of a sample from its reduced source (h, w)."""
CoarserPredictor = Callable[[PreparedSample, Layers], Tensor]
"""A network's prediction (H, W) of a sample from the averaged source of its layers."""


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """Predictions at reduced resolution and the decisions taken from their errors on validation blocks."""

    predictions: tuple[ReducedPrediction, ...] = field(default=(), repr=False)
    """One per sample: the bicubic baseline, the members where they are compared, the network where it was fitted."""
    stacking: StackingWeights = field(default_factory=StackingWeights)
    """Weights of network and members with the least squared error."""
    check: GuideCheck = field(default_factory=GuideCheck)
    """Guide check of their weighted average."""
    interval: Interval | None = None
    """Calibrated uncertainty of their weighted average; None: not calibrated."""
    network_helped: bool = False
    """True if the network alone had a smaller error than the bicubic baseline."""


class ReducedResolution:
    """The samples of a fit at reduced resolution, where their source is the reference."""

    def __init__(self, samples: Sequence[PreparedSample], scale: Scale, sensor: Sensor = PLAIN) -> None:
        """Choose the reduction.

        Args:
            samples: The samples of the fit, all of one size.
            scale: Target pixels per source pixel.
            sensor: How the reduced source is seen of the source.
        """
        self.samples, self.scale, self.sensor = samples, scale, sensor
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

    def validate(self, network: NetworkPredictor) -> Validation:
        """Compare the network alone with the source on the validation blocks."""
        predictions = self._predictions([[partial(network, sample)] for sample in self.samples])
        check = guide_check_of(self._errors(predictions), (0, 1))
        return Validation(
            predictions,
            StackingWeights(),
            check,
            self._interval(predictions, (0, 1)),
            network_helped=check.result == "helped",
        )

    def validate_members(self, evidence: Sequence[MembersEvidence], *, guided: bool) -> Validation:
        """Compare the members' weighted average alone with the source, on all pixels.

        Its members see the reduced source alone. Alignment and weights were chosen on the same source pixels.

        Args:
            evidence: What is known of the members, for each sample; empty where the samples are too small.
            guided: Whether a member with a weight uses the guide.
        """
        stacking = StackingWeights(network=0.0, members=1.0)
        if not evidence:
            return Validation(stacking=stacking, check=GuideCheck(guided=guided, least_gain=LEAST_ENSEMBLE_GAIN))
        errors = (torch.stack([part.baseline, part.errors])[:, part.known] for part in evidence)
        averaged = _gain_from(np.sum([(of_part @ of_part.T).cpu().numpy() for of_part in errors], axis=0), [0, 1])
        check = GuideCheck(everywhere=True, guided=guided, least_gain=LEAST_ENSEMBLE_GAIN, averaged_gain=averaged)
        predictions = self._predictions([[part.predict] for part in evidence], everywhere=True)
        if self.can_validate:
            check = replace(check, regions=guide_check_of(self._errors(predictions), (0, 1)).regions)
        check = self._with_expectation(check)
        return Validation(predictions, stacking, check, self._expected_interval(predictions, (0, 1), check, evidence))

    def validate_both(
        self,
        evidence: Sequence[MembersEvidence],
        network: NetworkPredictor,
        coarser: CoarserPredictor,
        *,
        guided: bool = True,
    ) -> Validation:
        """Weigh the network against the members, on the validation blocks, which it has not seen.

        Their weights are the best where the source is averaged by 2 and solved to the target with the guide as it is;
        the network's is at most the best one on all pixels, most of which it has seen. A block with an edge that the
        members miss would else give it the weight of the whole raster.
        At reduced resolution, where the guide check and the uncertainty are measured, sharp edges are blurred, and the
        network seems better there than members that draw them: decision 019.

        Args:
            evidence: What is known of the members, for each sample.
            network: The network's prediction at reduced resolution.
            coarser: The network's prediction of the target from the averaged source.
            guided: Whether a member with a weight uses the guide. Beside an interpolation alone the network has to be
                noticeable.
        """
        pairs = list(zip(self.samples, evidence, strict=True))
        products, of_all = np.sum([self._coarser_products(sample, part, coarser) for sample, part in pairs], axis=0)
        # The network has learnt from the pixels outside the blocks: what it is worth on all of them is an upper bound.
        network_weight = min(best_weights(errors[1:, 1:])[1] for errors in (products, of_all))
        members_weight = 1 - network_weight
        by = np.array([members_weight, network_weight])
        unnoticed = not guided and by @ products[1:, 1:] @ by > NOTICEABLE**2 * products[1, 1]
        if network_weight < LEAST_NETWORK_WEIGHT or unnoticed:
            members_weight, network_weight = 1.0, 0.0
        predictions = self._predictions([[part.predict, partial(network, sample)] for sample, part in pairs])
        errors = self._errors(predictions)
        weights = (0.0, members_weight, network_weight)
        check = self._with_expectation(
            replace(
                guide_check_of(errors, weights),
                least_gain=LEAST_ENSEMBLE_GAIN,
                averaged_gain=_gain_from(products, weights),
            )
        )
        return Validation(
            predictions,
            StackingWeights(network_weight, members_weight),
            check,
            self._expected_interval(predictions, weights, check, evidence),
            network_helped=network_weight > 0,
        )

    @torch.inference_mode()
    def _coarser_products(
        self, sample: PreparedSample, evidence: MembersEvidence, coarser: CoarserPredictor
    ) -> NDArray[np.float64]:
        """Return the products of the errors of baseline, members and network where the averaged source is solved.

        Returns:
            (2, 3, 3): on the validation blocks, and on all pixels.
        """
        layers = evidence.coarser
        if layers is None:
            return np.zeros((2, 3, 3))
        means = evidence.shown(evidence.consistent(coarser(sample, layers).double()))
        rows, columns = slice(len(means)), slice(means.shape[1])
        errors = torch.stack([evidence.baseline, evidence.errors, means - sample.source[rows, columns]])
        blocks = evidence.known & sample.validation[rows, columns]
        return np.stack([(part @ part.T).cpu().numpy() for part in (errors[:, blocks], errors[:, evidence.known])])

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

    def coarser_predictor(self, network: MmsrNetwork, detail: float | None) -> CoarserPredictor:
        """Return the predictor of a network from an averaged source; detail: see `add_detail`."""
        receptive_field_target_px = receptive_field_on_target(network.receptive_field)

        def predict(sample: PreparedSample, layers: Layers) -> Tensor:
            def guide_of(part: Window) -> Tensor:
                return sample.guide[None, :, *part.slices].contiguous(memory_format=torch.channels_last)

            source = layers.source.float()
            on_target = bilinear(source[None, None], layers.scale)
            output = predict_in_parts(network, guide_of, on_target, receptive_field_target_px)[0, 0]
            return add_detail(output, source, layers.scale, detail)

        return predict

    @torch.inference_mode()
    def _predictions(
        self, predictors: Sequence[Sequence[Callable[[Tensor], Tensor]]], *, everywhere: bool = False
    ) -> tuple[ReducedPrediction, ...]:
        return tuple(
            predict_at_reduced_resolution(
                of_sample,
                sample.source,
                sample.fit_mask,
                torch.ones_like(sample.validation) if everywhere else sample.validation,
                self.step,
                self.sensor,
            )
            for of_sample, sample in zip(predictors, self.samples, strict=True)
        )

    def _errors(self, predictions: Sequence[ReducedPrediction]) -> list[RegionErrors]:
        return [
            region
            for sample, prediction in zip(self.samples, predictions, strict=True)
            for region in compare(prediction, self.step, sample.corner)
        ]

    def _with_expectation(self, check: GuideCheck) -> GuideCheck:
        """Return a guide check with the gain that is expected of the target."""
        return replace(check, expected_gain=expectation(check.measured_gain, check.averaged_gain))

    def _interval(self, predictions: Sequence[ReducedPrediction], weights: Sequence[float]) -> Interval | None:
        """Calibrate the uncertainty of a network alone; None where the reduction is not by the scale.

        Errors of half a source pixel say little about an eighth of it.
        """
        if self.step != self.scale:
            return None
        return calibrated(predictions, weights, self._growth(), self.scale)

    def _expected_interval(
        self,
        predictions: Sequence[ReducedPrediction],
        weights: Sequence[float],
        check: GuideCheck,
        evidence: Sequence[MembersEvidence],
    ) -> Interval | None:
        """Return the uncertainty of an ensemble; None where the source cannot be averaged by 2."""
        errors = [torch.stack([part.baseline, part.errors, part.interpolation])[:, part.known] for part in evidence]
        every = torch.cat(errors, dim=1)
        squares = every.square().mean(dim=1).tolist() if every.numel() else [0.0, 0.0, 0.0]
        if check.expected_gain is None or not squares[0] > 0:
            return None
        members, smooth = (1 - (expectation(None, 1 - math.sqrt(of / squares[0])) or 0.0) for of in squares[1:])
        return expected(
            predictions,
            weights,
            self.step,
            [part.drawn for part in evidence],
            self.scale,
            octave=math.sqrt(squares[0]),
            decay=self._decay(),
            ratio=1 - check.expected_gain,
            members_ratio=members,
            smooth_ratio=smooth,
        )

    def _growth(self) -> float:
        """Return the bicubic baseline's error at the true scale, divided by its error at reduced resolution."""
        return float(self._decay() ** (math.log2(self.scale.area) / 2))

    def _decay(self) -> float:
        """Return the factor, at most 1, from the bicubic baseline's error in one octave to that in the next.

        From a source averaged by 4 with the one averaged by 2 as the reference, to a source averaged by 2 with the
        source as the reference; 1 where that is not known.
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
        return min(1.0, math.sqrt(float(full_squares.mean() / halved_squares.mean())))


def _gain_from(products: NDArray[np.float64], weights: Sequence[float]) -> float | None:
    """Return 1 - the error of a weighted average / that of the first prediction, from products of errors."""
    by = np.array(weights)
    return 1 - math.sqrt(float(by @ products @ by) / products[0, 0]) if products[0, 0] > 0 else None


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
