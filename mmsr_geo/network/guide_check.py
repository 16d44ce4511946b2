"""Whether the guide helped: what was made of it one level down, on blocks not seen, against the interpolation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsr_geo.geometry import Scale, Window
from mmsr_geo.network.degradation import bicubic, degrade, degrade_valid, fill_holes, make_consistent

CheckResult = Literal["helped", "did not help", "unknown"]

VALIDATION_EVERY = 7
"""One block of source pixels in so many is held out."""
BLOCK_PX = 8
"""A block's side in source pixels, to the next whole number of pixels one level down."""
SMALLEST_VALIDATED_PX = 16
"""Source pixels one level down, along the shorter side, below which nothing can be told."""
LEAST_GAIN = 0.02
"""Share of the interpolation's error that the guide must take away one level down to be called helpful; chosen in
docs/decisions/004-guide-check.md."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the raster and how the prediction did there, on held-out pixels one level down."""

    window: Window
    """Where it lies, in source pixels of the raster."""
    validated_px: int
    """Source pixels that were compared."""
    sum_squares: float
    """The sum of the prediction's squared errors, in the source's deviation."""
    baseline_sum_squares: float
    """The consistent bicubic's."""

    @property
    def gain(self) -> float | None:
        """The share of the interpolation's RMSE that the guide took away here; None where nothing was compared."""
        return _gain([self])


@dataclass(frozen=True, slots=True)
class GuideCheck:
    """What a fit found out about its guide, as a whole and region by region."""

    regions: tuple[Region, ...] = ()

    @property
    def gain(self) -> float | None:
        """1 - RMSE of the prediction over RMSE of the consistent bicubic, one level down: 0.4 means 40 % less error.

        Below 0 the guide did harm; None where the source is too small to tell, or the check was left out.
        """
        return _gain(self.regions)

    @property
    def result(self) -> CheckResult:
        """Say whether the guide helped: `unhelpful` where the gain is below LEAST_GAIN."""
        return result_of(self.gain)

    @property
    def sentence(self) -> str:
        """Say it to a person."""
        gain = self.gain
        if gain is None:
            return "whether the guide helped is unknown: the source is too small to tell, or the fit left the check out"
        judged = [region for region in self.regions if region.validated_px]
        helped = sum(result_of(region.gain) == "helped" for region in judged)
        regions = f" ({helped} of {len(judged)} regions helped)" if len(judged) > 1 else ""
        than = (
            f"one level down its error is {1 - gain:.2f} of the interpolation's, on blocks kept from the fit{regions}"
        )
        return f"the guide helped: {than}" if self.result == "helped" else f"the guide did not help: {than}"

    @property
    def unhelpful_share(self) -> float | None:
        """The share of the judged regions where the guide did not help; None where none was judged."""
        judged = [region for region in self.regions if region.validated_px]
        if not judged:
            return None
        return sum(result_of(region.gain) == "did not help" for region in judged) / len(judged)


def result_of(gain: float | None) -> CheckResult:
    """Turn a gain into a verdict."""
    if gain is None or math.isnan(gain):
        return "unknown"
    return "helped" if gain >= LEAST_GAIN else "did not help"


def validation_blocks(shape: tuple[int, ...], scale: Scale) -> Tensor:
    """Return (h, w) bool: blocks of about 8 x 8 source pixels, one in HELD_OUT, a knight's move apart."""
    side_y, side_x = _block(scale)
    row, column = torch.arange(shape[0]) // side_y, torch.arange(shape[1]) // side_x
    return (row[:, None] * 3 + column) % VALIDATION_EVERY == VALIDATION_EVERY // 2


def regions_of(shape: tuple[int, ...], scale: Scale) -> list[Window]:
    """Cut (h, w) source pixels into parts that each hold about HELD_OUT held-out blocks."""
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
    """How several predictions did in a part of the raster, one level down, where the source is the truth."""

    window: Window
    """Where it lies, in source pixels of the raster."""
    validated_px: int
    """Source pixels that were compared."""
    products: NDArray[np.float64]
    """(n, n): the sums over them of products of two predictions' errors, in the source's deviation; the first is the
    consistent bicubic interpolation."""


def guide_check_of(compared: Iterable[RegionErrors], shares: Sequence[float]) -> GuideCheck:
    """Return how the mixture of the predictions compared did."""
    taken = np.array(shares)
    return GuideCheck(
        tuple(
            Region(each.window, each.validated_px, float(taken @ each.products @ taken), float(each.products[0, 0]))
            for each in compared
        )
    )


@dataclass(frozen=True, slots=True, eq=False)
class ReducedPrediction:
    """What several predictors made of a sample one level down, where its source is the truth."""

    source: Tensor
    """(h, w): the sample's source degraded once more, holes filled."""
    raw: Tensor
    """(n, H, W): the predictions, the bicubic interpolation's first."""
    errors: Tensor
    """(n, H, W) float64: of each made consistent, 0 where it is not judged."""
    judged: Tensor
    """(H, W) bool: what was asked for and the predictors have not seen."""


@torch.inference_mode()
def predict_at_reduced_resolution(
    predictors: Sequence[Callable[[Tensor, Tensor], Tensor]],
    truth: Tensor,
    asked: Tensor,
    judged: Tensor,
    scale: Scale,
) -> ReducedPrediction:
    """Predict a sample one level down and compare with the source, which is the truth there.

    predictors: source (h, w) and where it is known in, prediction (H, W) out; each is made consistent, and the
    interpolation goes before them. truth: (H, W), holes filled; asked: (H, W) bool, source and guide are valid; judged:
    (H, W) bool, what the predictors have not seen.
    """
    source, known = reduce_sample(truth, asked, scale)
    height, width = source.shape[0] * scale.y, source.shape[1] * scale.x
    truth, judged = truth[:height, :width], (asked & judged)[:height, :width]
    raw = torch.stack([each.double() for each in (bicubic(source, scale), *(p(source, known) for p in predictors))])
    errors = [(make_consistent(prediction, source, known, scale) - truth) * judged for prediction in raw]
    return ReducedPrediction(source, raw, torch.stack(errors), judged)


def compare(below: ReducedPrediction, scale: Scale, corner: tuple[int, int] = (0, 0)) -> list[RegionErrors]:
    """Return how the predictions did, region by region; corner: the sample's place in the raster."""
    errors, counts = below.errors.cpu(), below.judged.cpu()
    found = []
    for window in regions_of(tuple(counts.shape), scale):
        part = errors[:, *window.slices].flatten(1)
        place = Window(corner[0] + window.row, corner[1] + window.col, window.height, window.width)
        found.append(RegionErrors(place, int(counts[window.slices].sum()), (part @ part.T).numpy()))
    return found


@torch.inference_mode()
def bicubic_error(truth: Tensor, asked: Tensor, scale: Scale) -> Tensor:
    """Return the squared errors of the consistent bicubic one level down, of the valid pixels in a row, float64."""
    source, known = reduce_sample(truth, asked, scale)
    height, width = source.shape[0] * scale.y, source.shape[1] * scale.x
    errors = make_consistent(bicubic(source, scale), source, known, scale) - truth[:height, :width]
    return errors[asked[:height, :width]].square()


def reduction_step(shape_yx: tuple[int, ...], scale: Scale) -> Scale:
    """Return by how much a source of that shape is degraded to go one level down.

    By the scale, or where that leaves too few pixels to judge by, by 2: less is asked of a prediction there than at the
    true scale, but it is something.
    """
    if min(side // factor for side, factor in zip(shape_yx, (scale.y, scale.x), strict=True)) >= SMALLEST_VALIDATED_PX:
        return scale
    return Scale(min(2, scale.y), min(2, scale.x))


def reduce_sample(truth: Tensor, asked: Tensor, scale: Scale) -> tuple[Tensor, Tensor]:
    """Degrade a source (h, w) once more: its block means, holes filled from beside them, and which blocks are whole."""
    height, width = (side // s * s for side, s in zip(truth.shape, (scale.y, scale.x), strict=True))
    truth, asked = truth[:height, :width], asked[:height, :width]
    means, _ = degrade_valid(truth, asked, scale)
    known = degrade((~asked).float(), scale) == 0  # a mean of ones need not be 1 on a GPU
    return fill_holes(means, known), known


def _block(scale: Scale) -> tuple[int, int]:
    return scale.y * max(1, BLOCK_PX // scale.y), scale.x * max(1, BLOCK_PX // scale.x)


def _gain(regions: Sequence[Region]) -> float | None:
    if not sum(region.validated_px for region in regions):
        return None
    squares = math.fsum(region.sum_squares for region in regions)
    smooth = math.fsum(region.baseline_sum_squares for region in regions)
    # What an interpolation gets right to the last digit no guide can better.
    return 1 - math.sqrt(squares / smooth) if smooth > 0 else 0.0
