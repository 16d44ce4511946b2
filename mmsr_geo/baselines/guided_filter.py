"""The guided filter as a method: its options, and the statistics of a raster that it works in."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from mmsr_geo.baselines.job import FitJob
from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Halo, Scale
from mmsr_geo.model import Predictor
from mmsr_geo.network.guided import EPS, RADIUS_PX, guided_filter, guided_filter_reach
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.upsampling import filled_source


@dataclass(frozen=True)
class GuidedFilter:
    """He, Sun and Tang 2013, as `mmsr_geo.network.guided.guided_filter` has it."""

    radius_px: int = RADIUS_PX
    """A window is (2 radius_px + 1)² source pixels."""
    eps: float = EPS
    """The ridge, in units of the bands' variance over the raster: windows that vary much less are smoothed."""

    reads_samples: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a window of one pixel, and a ridge that leaves windows without a solution."""
        if self.radius_px < 1:
            raise OptionError(f"radius_px must be 1 or more, not {self.radius_px}")
        if not 0 < self.eps < math.inf:
            raise OptionError(f"eps must be above 0, not {self.eps}")

    def reach(self, scale: Scale) -> Halo:  # noqa: ARG002  (other methods' depends on it)
        """Source pixels that a prediction depends on."""
        return guided_filter_reach(self.radius_px)

    def fit(self, samples: Sequence[Sample], job: FitJob) -> FittedGuidedFilter:
        """Take the samples' statistics; raises PixelError where source or guide hold no valid pixel."""
        return FittedGuidedFilter(self, job.scale, Statistics.of(samples))


@dataclass(frozen=True, slots=True)
class FittedGuidedFilter:
    """A guided filter for one raster."""

    options: GuidedFilter
    scale: Scale
    statistics: Statistics
    uses_guide: ClassVar[bool] = True

    @property
    def reach(self) -> Halo:
        """Source pixels, beyond a target pixel's own, that its prediction depends on."""
        return self.options.reach(self.scale)

    @property
    def digest(self) -> str:
        """A hash of what decides a prediction: options, scale and statistics."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    def predictor(self, device: torch.device) -> Predictor:  # noqa: ARG002  (a sample is on its device)
        """Filter a window: (H, W) float64; where the guide is a hole what comes out means nothing."""
        return partial(_predict, self)


def _predict(model: FittedGuidedFilter, sample: Sample) -> Tensor:
    """Filter a window in the raster's statistics: (H, W) float64 in the source's units."""
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
