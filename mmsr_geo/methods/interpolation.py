"""Nearest, bilinear and bicubic interpolation of a source onto its target grid; no guide, nothing to fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mmsr_geo.engine.model import Predictor, UncheckedModel
from mmsr_geo.engine.sampling import FitJob
from mmsr_geo.engine.tile_upsampler import filled_source
from mmsr_geo.geometry import Halo, Scale
from mmsr_geo.network import degradation
from mmsr_geo.network.samples import Sample


@dataclass(frozen=True, slots=True)
class Interpolation(UncheckedModel):
    """An interpolation at one scale: the model of the methods below.

    Holes are filled from beside them first, so that they do not eat into what is valid.
    """

    way: str
    scale: Scale
    uses_guide: ClassVar[bool] = False

    @property
    def receptive_field(self) -> Halo:
        """As far as a bicubic interpolation looks, and the filling of holes with it."""
        return REACH

    @property
    def digest(self) -> str:
        """Its name and scale."""
        return f"{self.way} {self.scale}"

    def predictor(self, device: torch.device) -> Predictor:  # noqa: ARG002  (a sample is on its device)
        """Interpolate a window: (H, W) float64."""
        way = WAYS[self.way]
        return lambda sample: way(filled_source(sample), self.scale)


WAYS: dict[str, Callable[[Tensor, Scale], Tensor]] = {
    "nearest": degradation.nearest,
    "bilinear": degradation.bilinear,
    "bicubic": degradation.bicubic,
}
_REACH_PX = degradation.BICUBIC_SUPPORT_PX + degradation.FILL_PX
REACH = Halo(_REACH_PX, _REACH_PX)


class _Method:
    """What the three have in common."""

    reads_samples: ClassVar[bool] = False
    way: ClassVar[str]

    def receptive_field(self, scale: Scale) -> Halo:  # noqa: ARG002  (other methods' depends on it)
        """Source pixels that a prediction depends on."""
        return REACH

    def fit(self, samples: Sequence[Sample], job: FitJob) -> Interpolation:  # noqa: ARG002  (there is nothing to fit)
        """Return the interpolation at the job's scale."""
        return Interpolation(self.way, job.scale)


@dataclass(frozen=True)
class Nearest(_Method):
    """Repeat each source pixel."""

    way = "nearest"


@dataclass(frozen=True)
class Bilinear(_Method):
    """Linear interpolation between the centres of source pixels."""

    way = "bilinear"


@dataclass(frozen=True)
class Bicubic(_Method):
    """Keys 1981 with a = -0.75."""

    way = "bicubic"
