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
    """Interpolation at one scale: the model of the methods below.

    Nodata is first filled from valid neighbours, so that it does not spread into valid pixels.
    """

    way: str
    scale: Scale
    uses_guide: ClassVar[bool] = False

    @property
    def receptive_field(self) -> Halo:
        """Source pixels of bicubic interpolation and of the filling of nodata."""
        return RECEPTIVE_FIELD

    @property
    def digest(self) -> str:
        """Name and scale of the interpolation."""
        return f"{self.way} {self.scale}"

    def predictor(self, device: torch.device) -> Predictor:  # noqa: ARG002  (a sample is on its device)
        """Return the function that interpolates windows: (H, W) float64."""
        way = WAYS[self.way]
        return lambda sample: way(filled_source(sample), self.scale)


WAYS: dict[str, Callable[[Tensor, Scale], Tensor]] = {
    "nearest": degradation.nearest,
    "bilinear": degradation.bilinear,
    "bicubic": degradation.bicubic,
}
_SUPPORT_PX = degradation.BICUBIC_SUPPORT_PX + degradation.FILL_PX
RECEPTIVE_FIELD = Halo(_SUPPORT_PX, _SUPPORT_PX)


class _InterpolationMethod:
    """Base of the three interpolation methods."""

    reads_samples: ClassVar[bool] = False
    way: ClassVar[str]

    def receptive_field(self, scale: Scale) -> Halo:  # noqa: ARG002  (other methods' depends on it)
        """Return the source pixels around a target pixel's own that its prediction depends on."""
        return RECEPTIVE_FIELD

    def fit(self, samples: Sequence[Sample], job: FitJob) -> Interpolation:  # noqa: ARG002  (there is nothing to fit)
        """Return the interpolation at the scale of the fit."""
        return Interpolation(self.way, job.scale)


@dataclass(frozen=True)
class Nearest(_InterpolationMethod):
    """Nearest neighbour: each source pixel is repeated."""

    way = "nearest"


@dataclass(frozen=True)
class Bilinear(_InterpolationMethod):
    """Bilinear interpolation between the centres of source pixels."""

    way = "bilinear"


@dataclass(frozen=True)
class Bicubic(_InterpolationMethod):
    """Bicubic interpolation (Keys 1981) with a = -0.75."""

    way = "bicubic"
