"""The guided filter: the filter itself, and the method with its options."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor

from mmsr_geo.engine.model import Predictor, UncheckedModel
from mmsr_geo.engine.sampling import FitJob
from mmsr_geo.engine.tile_upsampler import filled_source
from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Halo, Scale
from mmsr_geo.network.degradation import FILL_PX, bilinear, degrade_valid
from mmsr_geo.network.samples import Sample, Statistics

RADIUS_PX, EPS = 1, 0.01
"""Radius of a window in source pixels (the best of 1 to 12 on six pairs with a known truth), and the ridge."""
_BILINEAR_SUPPORT_PX = 1
"""Source pixels around its own that bilinear interpolation depends on."""


def guided_filter(  # noqa: PLR0913  (a window of a pair, and the two options)
    source: Tensor,
    known: Tensor,
    guide: Tensor,
    guide_valid: Tensor,
    scale: Scale,
    *,
    radius_px: int = RADIUS_PX,
    eps: float = EPS,
) -> Tensor:
    """Filter a source as He, Sun and Tang 2013 (colour form), with coefficients from the source grid (He and Sun 2015).

    In each window of (2 radius_px + 1)² source pixels the source is a linear function of the guide's bands, degraded to
    the source grid: a ridge regression over the window's valid pixels. A pixel's coefficients are the mean over the
    windows that contain it. They are interpolated to the target grid bilinearly and applied to the guide.

    Args:
        source: (h, w), nodata filled.
        known: (h, w) bool, True for the pixels to fit to.
        guide: (C, H, W), finite also where it has no data.
        guide_valid: (H, W) bool.
        scale: Target pixels per source pixel.
        radius_px: Radius of a window, in source pixels.
        eps: The ridge, in the guide's units squared.

    Returns:
        (H, W) float64 in the source's units, without meaning where the guide has no data.
    """
    source, guide = source.double(), guide.double()
    guide_means, share = degrade_valid(guide, guide_valid, scale)
    slopes, offset, fitted = _regressions(source, guide_means, known & (share > 0.5), radius_px, eps)
    windows = _box_sums(fitted.double(), radius_px)
    slopes, offset = (_box_sums(values, radius_px) / windows.clamp_min(1) for values in (slopes, offset))
    # Without a fitted window around, a constant: the source where only the guide has no data.
    target = bilinear(torch.where(windows > 0, offset, source), scale)
    for slope, band in zip(slopes, guide, strict=True):
        target += bilinear(slope, scale) * band
    return target


def guided_filter_receptive_field(radius_px: int = RADIUS_PX) -> Halo:
    """Return the source pixels that a target pixel depends on: windows of a window, or the filling of nodata."""
    reach_px = max(2 * radius_px, FILL_PX) + _BILINEAR_SUPPORT_PX
    return Halo(reach_px, reach_px)


def _regressions(
    source: Tensor, guide: Tensor, known: Tensor, radius_px: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Regress the source on the guide over the known pixels in the window around each pixel.

    source: (h, w); guide: (C, h, w), both float64 and finite; known: (h, w) bool. Returns the slopes (C, h, w) and the
    offset (h, w), 0 where a window holds no known pixel, and where it holds one (h, w).
    """
    weights = known.double()
    count = _box_sums(weights, radius_px)

    def means(values: Tensor) -> Tensor:
        return _box_sums(values * weights, radius_px) / count.clamp_min(1)

    source_mean, guide_mean = means(source), means(guide)
    covariance = means(guide * source) - guide_mean * source_mean
    variance = means(guide[:, None] * guide) - guide_mean[:, None] * guide_mean
    ridge = eps * torch.eye(len(guide), dtype=guide.dtype, device=guide.device)
    slopes = torch.linalg.solve(variance.permute(2, 3, 0, 1) + ridge, covariance.permute(1, 2, 0)).permute(2, 0, 1)
    return slopes, source_mean - (slopes * guide_mean).sum(dim=0), count > 0


def _box_sums(values: Tensor, radius_px: int) -> Tensor:
    """Sum (..., h, w) over the window around each pixel, 0 outside.

    Each window is summed on its own: differences of running sums would depend on where in the raster they began.
    """
    side = 2 * radius_px + 1
    fields = values.reshape(-1, 1, *values.shape[-2:])
    rows = F.avg_pool2d(fields, (side, 1), stride=1, padding=(radius_px, 0), divisor_override=1)
    return F.avg_pool2d(rows, (1, side), stride=1, padding=(0, radius_px), divisor_override=1).reshape(values.shape)


@dataclass(frozen=True)
class GuidedFilter:
    """Guided filter (He, Sun and Tang 2013), see `guided_filter`."""

    radius_px: int = RADIUS_PX
    """Radius of a window of (2 radius_px + 1)² source pixels."""
    eps: float = EPS
    """Ridge, relative to the bands' variance over the raster: windows that vary much less are smoothed."""

    reads_samples: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Raise OptionError for a window of one pixel, and for a ridge that leaves windows without a solution."""
        if self.radius_px < 1:
            raise OptionError(f"radius_px must be 1 source pixel or more, not {self.radius_px}")
        if not 0 < self.eps < math.inf:
            raise OptionError(f"eps must be above 0, not {self.eps}")

    def receptive_field(self, scale: Scale) -> Halo:  # noqa: ARG002  (other methods' depends on it)
        """Return the source pixels around a target pixel's own that its prediction depends on."""
        return guided_filter_receptive_field(self.radius_px)

    def fit(self, samples: Sequence[Sample], job: FitJob) -> FittedGuidedFilter:
        """Compute the samples' statistics.

        Raises:
            PixelError: Source or guide have no valid pixel.
        """
        return FittedGuidedFilter(self, job.scale, Statistics.of(samples))


@dataclass(frozen=True, slots=True)
class FittedGuidedFilter(UncheckedModel):
    """Guided filter with the statistics of one raster."""

    options: GuidedFilter
    scale: Scale
    statistics: Statistics
    uses_guide: ClassVar[bool] = True

    @property
    def receptive_field(self) -> Halo:
        """Source pixels around a target pixel's own that its prediction depends on."""
        return self.options.receptive_field(self.scale)

    @property
    def digest(self) -> str:
        """Hash of everything that decides a prediction: options, scale and statistics."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    def predictor(self, device: torch.device) -> Predictor:  # noqa: ARG002  (a sample is on its device)
        """Return the function that filters windows: (H, W) float64, without meaning where the guide has no data."""
        return partial(_predict, self)


def _predict(model: FittedGuidedFilter, sample: Sample) -> Tensor:
    """Filter a normalised window: (H, W) float64 in the source's units."""
    statistics, options = model.statistics, model.options
    filtered = guided_filter(
        statistics.centred_source(filled_source(sample)),
        sample.source_valid,
        statistics.normalise_guide(sample.guide, sample.guide_valid),
        sample.guide_valid,
        model.scale,
        radius_px=options.radius_px,
        eps=options.eps,
    )
    return filtered * statistics.source_spread + statistics.source_centre
