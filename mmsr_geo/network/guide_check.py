"""The guide check: errors on the validation blocks at reduced resolution, compared with the bicubic baseline."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsr_geo.geometry import Scale, Window
from mmsr_geo.network.degradation import bicubic, degrade, degrade_valid, fill_nodata, make_consistent
from mmsr_geo.network.sensor import PLAIN, Sensor
from mmsr_geo.network.variational.correction import kept_to_source
from mmsr_geo.network.variational.gaussian import smoothed
from mmsr_geo.network.variational.solve import Observation

CheckResult = Literal["helped", "did not help", "unknown"]

VALIDATION_EVERY = 7
"""One block of source pixels in this number is a validation block."""
BLOCK_PX = 8
"""Side of a block in source pixels, rounded to whole pixels of the reduced source."""
SMALLEST_VALIDATED_PX = 16
"""Pixels of the reduced source, along its shorter side, below which the guide is not checked."""
LEAST_GAIN = 0.02
"""Smallest gain at which the guide counts as helpful to a network alone: docs/decisions/004-guide-check.md."""
EXPECTED_POWER = 0.6
"""Power of a measured error, in proportion to the baseline's, that the target's error is expected to be."""
RANGE_POWERS = (1.0, 0.25)
"""Powers between which lies the true error of nine in ten pairs of all kinds."""
RANGE_FACTOR = 1.03
"""Factor by which the range of errors between these powers is wider at both ends."""
LEAST_ENSEMBLE_GAIN = 0.01
"""Smallest gain at which the guide counts as helpful where members take part: edge-preserving ones gain as much without
a guide."""


@dataclass(frozen=True, slots=True)
class Region:
    """Errors in a part of the raster, on the pixels of its validation blocks at reduced resolution."""

    window: Window
    """The part, in source pixels of the raster."""
    validated_px: int
    """Number of source pixels that were compared."""
    sum_squares: float
    """Sum of the prediction's squared errors, in standard deviations of the source."""
    baseline_sum_squares: float
    """Sum of the bicubic baseline's squared errors, in standard deviations of the source."""

    @property
    def gain(self) -> float | None:
        """1 - RMSE of the prediction / RMSE of the bicubic baseline in this part; None if nothing was compared."""
        return _gain([self])


@dataclass(frozen=True, slots=True)
class GuideCheck:
    """Result of a fit's guide check, as a whole and region by region."""

    regions: tuple[Region, ...] = ()
    everywhere: bool = False
    """True if all pixels of the source were compared, because nothing had learnt from it at reduced resolution."""
    least_gain: float = LEAST_GAIN
    """Smallest gain at which the guide counts as helpful."""
    guided: bool = True
    """False if no part of the prediction uses the guide, because the evidence gave the interpolation all the weight."""
    averaged_gain: float | None = None
    """Gain where the source averaged by 2 is solved to the target and compared with the source; None: not known."""
    expected_gain: float | None = None
    """Gain that the target is expected to have, which is less than what was measured: see `expectation`; None: the
    measured one is all that is known."""

    @property
    def measured_gain(self) -> float | None:
        """1 - RMSE of the prediction / RMSE of the bicubic baseline, at reduced resolution; None if not measured."""
        return _gain(self.regions)

    @property
    def gain(self) -> float | None:
        """Expected 1 - RMSE of the target / RMSE of the bicubic baseline: 0.4 means 40 % less error.

        Below 0 the guide did harm. None if the source is too small to check, or the fit skipped the check.
        """
        return self.measured_gain if self.expected_gain is None else self.expected_gain

    @property
    def expected_errors(self) -> tuple[float, float] | None:
        """Least and largest error, in proportion to the baseline's, that nine in ten targets with such a check have.

        None where the error from the averaged source is not known: for a network alone, and for models of tiles.
        """
        if self.averaged_gain is None or self.expected_gain is None:
            return None
        ends = sorted(max(1 - self.averaged_gain, 0.0) ** power for power in RANGE_POWERS)
        return ends[0] / RANGE_FACTOR, ends[1] * RANGE_FACTOR

    def gain_in(self, region: Region) -> float | None:
        """Return the gain in a region, below the measured one in the proportion of the whole; None if unknown."""
        measured, whole = region.gain, self.measured_gain
        if measured is None or whole is None or self.expected_gain is None or whole >= 1:
            return measured
        return 1 - (1 - measured) * (1 - self.expected_gain) / (1 - whole)

    @property
    def of_guide(self) -> GuideCheck:
        """The check, without a gain in any region if the guide is not used: what an interpolation gains is not its."""
        if self.guided:
            return self
        return replace(self, regions=tuple(replace(r, sum_squares=r.baseline_sum_squares) for r in self.regions))

    @property
    def result(self) -> CheckResult:
        """Result in a word: `did not help` where the gain is below `least_gain`."""
        if not self.guided and self.gain is not None:
            return "did not help"
        return result_of(self.gain, self.least_gain)

    @property
    def sentence(self) -> str:
        """Result in a sentence, with the error that it rests on."""
        gain = self.gain
        if gain is None:
            return (
                "it is unknown whether the guide helped: the source is too small to check it, or the fit skipped the "
                "guide check"
            )
        if not self.guided:
            return "the guide did not help: the source alone predicts itself better, and the guide is not used"
        validated = [region for region in self.regions if region.validated_px]
        helped = sum(result_of(self.gain_in(region), self.least_gain) == "helped" for region in validated)
        regions = f"; it helped in {helped} of {len(validated)} regions" if len(validated) > 1 else ""
        measured = []
        if self.measured_gain is not None:
            where = "all pixels" if self.everywhere else "validation blocks"
            measured.append(f"{1 - self.measured_gain:.2f} at reduced resolution on {where}")
        if self.averaged_gain is not None:
            measured.append(f"{1 - self.averaged_gain:.2f} from the source averaged by 2")
        expected = f"the error is expected to be {1 - gain:.2f} times that of the bicubic baseline"
        if self.expected_errors is not None:
            expected += ", {:.2f} to {:.2f} times in nine of ten cases".format(*self.expected_errors)
        return f"the guide {self.result}: {expected} (measured: {' and '.join(measured)}){regions}"

    @property
    def unhelpful_share(self) -> float | None:
        """Fraction of the validated regions in which the guide did not help; None if none was validated."""
        validated = [region for region in self.regions if region.validated_px]
        if not validated:
            return None
        unhelpful = sum(result_of(self.gain_in(region), self.least_gain) == "did not help" for region in validated)
        return unhelpful / len(validated)


def result_of(gain: float | None, least_gain: float = LEAST_GAIN) -> CheckResult:
    """Return the result of a guide check with this gain; least_gain: see `GuideCheck.least_gain`."""
    if gain is None or math.isnan(gain):
        return "unknown"
    return "helped" if gain >= least_gain else "did not help"


def expectation(measured_gain: float | None, averaged_gain: float | None) -> float | None:
    """Return the gain that a target is expected to have; None if nothing was measured.

    The error of the target, in proportion to that of the bicubic baseline, is about the one measured to the power of
    EXPECTED_POWER (docs/decisions/019-ensemble-and-evidence.md).

    Args:
        measured_gain: Gain at reduced resolution; None: not known. It counts where the other is not known.
        averaged_gain: Gain where the source averaged by 2 is solved to the target; None: not known.
    """
    known = measured_gain if averaged_gain is None else averaged_gain
    return None if known is None else 1 - max(1 - known, 0.0) ** EXPECTED_POWER


def validation_blocks(shape: tuple[int, ...], scale: Scale) -> Tensor:
    """Return (h, w) bool: True in the validation blocks.

    These are blocks of about 8 x 8 source pixels, one in VALIDATION_EVERY, a knight's move apart.
    """
    side_y, side_x = _block(scale)
    row, column = torch.arange(shape[0]) // side_y, torch.arange(shape[1]) // side_x
    return (row[:, None] * 3 + column) % VALIDATION_EVERY == VALIDATION_EVERY // 2


def regions_of(shape: tuple[int, ...], scale: Scale) -> list[Window]:
    """Cut (h, w) source pixels into regions that each hold about VALIDATION_EVERY validation blocks."""
    height, width = shape
    rows, columns = (
        max(1, round(side / (block * VALIDATION_EVERY))) for side, block in zip(shape, _block(scale), strict=True)
    )
    edges_y = [height * i // rows for i in range(rows + 1)]
    edges_x = [width * i // columns for i in range(columns + 1)]
    return [
        Window(top, left, bottom - top, right - left)
        for top, bottom in pairwise(edges_y)
        for left, right in pairwise(edges_x)
    ]


@dataclass(frozen=True, slots=True, eq=False)
class RegionErrors:
    """Errors of several predictions in a part of the raster, at reduced resolution."""

    window: Window
    """The part, in source pixels of the raster."""
    validated_px: int
    """Number of source pixels that were compared."""
    products: NDArray[np.float64]
    """(n, n): sums over the pixels of the products of two predictions' errors, in variances of the source; the first
    prediction is the bicubic baseline."""


def guide_check_of(errors: Iterable[RegionErrors], weights: Sequence[float]) -> GuideCheck:
    """Return the guide check of the weighted average of the predictions.

    Args:
        errors: Errors of the predictions, region by region.
        weights: Weight of each prediction, that of the bicubic baseline first.
    """
    by = np.array(weights)
    return GuideCheck(
        tuple(
            Region(
                region.window,
                region.validated_px,
                float(by @ region.products @ by),
                float(region.products[0, 0]),
            )
            for region in errors
        )
    )


@dataclass(frozen=True, slots=True, eq=False)
class ReducedPrediction:
    """Predictions of a sample at reduced resolution, where its source is the reference."""

    source: Tensor
    """(h, w): the sample's source averaged once more, nodata filled from neighbours."""
    raw: Tensor
    """(n, H, W) float64: the predictions before they are made consistent, the bicubic interpolation's first."""
    errors: Tensor
    """(n, H, W) float64: errors of the predictions made consistent, 0 where they are not validated."""
    validated: Tensor
    """(H, W) bool: True where source and guide are valid and the predictors have not seen the source."""


@torch.inference_mode()
def predict_at_reduced_resolution(  # noqa: PLR0913  (a sample, and how it is reduced)
    predictors: Sequence[Callable[[Tensor], Tensor]],
    reference: Tensor,
    mask: Tensor,
    validation: Tensor,
    scale: Scale,
    sensor: Sensor = PLAIN,
) -> ReducedPrediction:
    """Predict a sample at reduced resolution and compare with its source, which is the reference there.

    Args:
        predictors: Each turns the reduced source (h, w) into a prediction (H, W), which is then made consistent. The
            bicubic interpolation is put before them.
        reference: The sample's source, (H, W), nodata filled.
        mask: (H, W) bool: True where source and guide are valid.
        validation: (H, W) bool: True where the predictors have not seen the reference.
        scale: Pixels of the reference per pixel of the reduced source.
        sensor: How the reduced source is seen of the reference.
    """
    source, known = reduce_sample(reference, mask, scale, sensor)
    height, width = source.shape[0] * scale.y, source.shape[1] * scale.x
    reference, validated = reference[:height, :width], (mask & validation)[:height, :width]
    observation = Observation.of(scale, known, sensor)
    raw = torch.stack([values.double() for values in (bicubic(source, scale), *(p(source) for p in predictors))])
    errors = [(kept_to_source(prediction, source, known, observation) - reference) * validated for prediction in raw]
    return ReducedPrediction(source, raw, torch.stack(errors), validated)


def compare(prediction: ReducedPrediction, scale: Scale, corner: tuple[int, int] = (0, 0)) -> list[RegionErrors]:
    """Return the errors of the predictions, region by region.

    Args:
        prediction: Predictions of one sample.
        scale: Pixels of the sample's source per pixel of the reduced source.
        corner: Row and column of the sample's first source pixel in the raster.
    """
    errors, validated = prediction.errors.cpu(), prediction.validated.cpu()
    regions = []
    for window in regions_of(tuple(validated.shape), scale):
        part = errors[:, *window.slices].flatten(1)
        in_raster = Window(corner[0] + window.row, corner[1] + window.col, window.height, window.width)
        regions.append(RegionErrors(in_raster, int(validated[window.slices].sum()), (part @ part.T).numpy()))
    return regions


@torch.inference_mode()
def bicubic_error(reference: Tensor, mask: Tensor, scale: Scale) -> Tensor:
    """Return the squared errors of the bicubic baseline at reduced resolution.

    Args:
        reference: A sample's source, (H, W), nodata filled.
        mask: (H, W) bool: the pixels that are compared.
        scale: Pixels of the reference per pixel of the reduced source.

    Returns:
        (n,) float64: one value per pixel compared.
    """
    source, known = reduce_sample(reference, mask, scale)
    height, width = source.shape[0] * scale.y, source.shape[1] * scale.x
    errors = make_consistent(bicubic(source, scale), source, known, scale) - reference[:height, :width]
    return errors[mask[:height, :width]].square()


def reduction_step(shape_yx: tuple[int, ...], scale: Scale) -> Scale:
    """Return the factor by which a source of this shape is averaged to reach reduced resolution.

    It is the scale; or 2, where the scale would leave fewer than SMALLEST_VALIDATED_PX pixels along a side. By 2 less
    detail is predicted than at the true scale, but the guide can be checked.
    """
    if min(side // factor for side, factor in zip(shape_yx, (scale.y, scale.x), strict=True)) >= SMALLEST_VALIDATED_PX:
        return scale
    return Scale(min(2, scale.y), min(2, scale.x))


def reduce_sample(source: Tensor, mask: Tensor, scale: Scale, sensor: Sensor = PLAIN) -> tuple[Tensor, Tensor]:
    """Average a source (h, w) by a scale.

    Args:
        source: (h, w), finite also where the mask is False.
        mask: (h, w) bool: the pixels that are averaged.
        scale: Pixels of the source per pixel of the result.
        sensor: What blurs the source before, in pixels of the result.

    Returns:
        The block means, nodata filled from neighbours, and the blocks that are valid throughout (bool).
    """
    height, width = (side // s * s for side, s in zip(source.shape, (scale.y, scale.x), strict=True))
    source, mask = source[:height, :width], mask[:height, :width]
    means, _ = degrade_valid(smoothed(source, mask, sensor.blur_px(scale)), mask, scale)
    known = degrade((~mask).float(), scale) == 0  # a mean of ones need not be 1 on a GPU
    return fill_nodata(means, known), known


def _block(scale: Scale) -> tuple[int, int]:
    return scale.y * max(1, BLOCK_PX // scale.y), scale.x * max(1, BLOCK_PX // scale.x)


def _gain(regions: Sequence[Region]) -> float | None:
    if not sum(region.validated_px for region in regions):
        return None
    squares = math.fsum(region.sum_squares for region in regions)
    baseline = math.fsum(region.baseline_sum_squares for region in regions)
    # Where the baseline has no error at all, no guide can help.
    return 1 - math.sqrt(squares / baseline) if baseline > 0 else 0.0
