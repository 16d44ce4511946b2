"""What the engine asks of a method once it is fitted: how far it looks, and a prediction of any window; no work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from mmsr_geo.geometry import Halo, Scale
from mmsr_geo.network.samples import Sample

Predictor = Callable[[Sample], Tensor]
"""A window's pixels in, its prediction out: (H, W) float64 on the target grid, in the source's units."""


class Model(Protocol):
    """A method fitted to a raster: a value that can be sent to a worker and put to work on any window there."""

    @property
    def scale(self) -> Scale:
        """Target pixels per source pixel."""

    @property
    def receptive_field(self) -> Halo:
        """Source pixels, beyond a target pixel's own, that its prediction depends on."""

    @property
    def uses_guide(self) -> bool:
        """Whether it predicts from the guide, and so has nothing to say where the guide is a hole."""

    @property
    def digest(self) -> str:
        """A hash of what decides a prediction."""

    def predictor(self, device: torch.device) -> Predictor:
        """Put it to work on a device."""
