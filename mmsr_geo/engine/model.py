"""The protocol of a fitted method: its receptive field, its guide check and predictions of any window."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from mmsr_geo.engine.flags import GuideRange
from mmsr_geo.geometry import Halo, Scale
from mmsr_geo.network.guide_check import GuideCheck
from mmsr_geo.network.intervals import Interval
from mmsr_geo.network.samples import Sample
from mmsr_geo.network.sensor import PLAIN, Sensor

Predictor = Callable[[Sample], Tensor]
"""Function from a window's pixels to its prediction: (H, W) float64 on the target grid, in the source's units."""


class Model(Protocol):
    """A method fitted to a raster: a value that can be sent to a worker and predicts any window there."""

    @property
    def scale(self) -> Scale:
        """Target pixels per source pixel."""

    @property
    def receptive_field(self) -> Halo:
        """Source pixels around a target pixel's own that its prediction depends on."""

    @property
    def uses_guide(self) -> bool:
        """True if it predicts from the guide."""

    @property
    def predicts_in_gaps(self) -> bool:
        """True if it predicts from the source alone where the guide has no data; else bicubic interpolation does."""

    @property
    def unguided(self) -> Model | None:
        """The fit's interpolation of the source, which replaces it if the guide did not help; None: bicubic does."""

    @property
    def digest(self) -> str:
        """Hash of everything that decides a prediction."""

    @property
    def check(self) -> GuideCheck:
        """Guide check of its fit; without regions if the fit made none."""

    @property
    def guide_alignment(self) -> str:
        """What happens to the guide before it is used, in words; empty if nothing can."""

    @property
    def sensor(self) -> Sensor:
        """How the source was measured, as its predictions take it; with blur or noise they keep to it themselves."""

    @property
    def measurement(self) -> str:
        """What is assumed of the source's sensor and noise, in words; empty if that does not matter."""

    @property
    def seen_range(self) -> GuideRange | None:
        """Minimum and maximum of each guide band in the fit; None if not known."""

    @property
    def source_interval(self) -> Interval | None:
        """Calibrated interval of its targets, in the source's units; None if not calibrated."""

    @property
    def is_calibrated(self) -> bool:
        """True if the uncertainty of its targets is known."""

    @property
    def pixel_steps(self) -> int | None:
        """Target pixels times steps of its fit; None if it is not fitted by steps."""

    def seen_guide(self, valid: Tensor) -> Tensor:
        """Return where a prediction depends on valid pixels of the guide alone, (H, W) bool, from where it is valid."""

    def predictor(self, device: torch.device) -> Predictor:
        """Return the function that predicts windows on a device."""


class UncheckedModel:
    """Base of models whose fit neither checks the guide nor calibrates an uncertainty."""

    __slots__ = ()
    check: ClassVar = GuideCheck()
    predicts_in_gaps: ClassVar[bool] = False
    unguided: ClassVar[Model | None] = None
    guide_alignment: ClassVar[str] = ""
    sensor: ClassVar[Sensor] = PLAIN
    measurement: ClassVar[str] = ""
    seen_range: ClassVar[GuideRange | None] = None
    source_interval: ClassVar[Interval | None] = None
    is_calibrated: ClassVar[bool] = False
    pixel_steps: int | None = None

    def seen_guide(self, valid: Tensor) -> Tensor:
        """Return where the guide is valid: it is not moved."""
        return valid
