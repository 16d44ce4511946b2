"""The protocol of a method before it is fitted, and what happens when the guide does not help."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.engine.blending import BlendedTiling
from mmsr_geo.engine.model import Model
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.tile_upsampler import halo_of
from mmsr_geo.engine.tiling import PredictedBy
from mmsr_geo.errors import GuideWarning, OptionError, UnhelpfulGuideError
from mmsr_geo.geometry import Halo, Scale, Tile, Tiling
from mmsr_geo.methods.interpolation import Interpolation
from mmsr_geo.network.guide_check import GuideCheck
from mmsr_geo.network.members.table import INTERPOLATION
from mmsr_geo.network.samples import Sample
from mmsr_geo.network.sensor import PLAIN, Sensor
from mmsr_geo.options import IfUnhelpful, Quality
from mmsr_geo.raster.base import Pixels
from mmsr_geo.spelling import option

_NOT_OF_THE_FIT = ("consistent", "if_unhelpful")
"""Parts of a description that do not change the fitted model."""


@dataclass(frozen=True, slots=True)
class TilePrediction:
    """Prediction of one tile's own model, before it is blended and made consistent."""

    values: NDArray[np.float32]
    """(H, W) of the predicted window, in the source's units."""
    qa: NDArray[np.uint8]
    """(H, W) bits of `Flag` that the prediction sets."""
    check: GuideCheck
    """Guide check of the tile's own fit; without regions if the scene's model was adapted."""


class TileFits(Protocol):
    """The part of a method that gives each tile a model of its own and blends the predictions."""

    @property
    def checks_tiles(self) -> bool:
        """True if the tiles' own fits check the guide; False if the scene's fit did."""

    def blended(self, pair: Pair, tiling: Tiling) -> BlendedTiling:
        """Return the tiles with their overlaps."""

    def predict(  # noqa: PLR0913  (a tile, its pixels, and the model it begins with)
        self,
        base: Model,
        tile: Tile,
        source: Pixels,
        guide: Pixels,
        guide_bands: tuple[str, ...],
        progress: Progress = no_progress,
    ) -> TilePrediction:
        """Fit a model to a tile, beginning with `base`, and predict the tile with it."""

    def check(self, base: Model, tiles: Sequence[GuideCheck], pair: Pair) -> GuideCheck:
        """Return the guide check of all tiles together; warns if the guide did not help."""


@dataclass(frozen=True, slots=True)
class FitSpeed:
    """Seconds that a fit takes for its pixels on this machine."""

    s_per_px_step: float = 0.0
    """Seconds per target pixel and step; 0 if it has no steps."""
    s_per_compared_px: float = 0.0
    """Seconds per target pixel that members are compared on; 0 if there are none."""


class Method(Protocol):
    """Source of a pair's model: properties known before the fit, the fit itself, and the use of its result."""

    __slots__ = ()

    @property
    @abstractmethod
    def description(self) -> dict[str, Any]:
        """Name and options, as JSON values."""

    @abstractmethod
    def receptive_field(self, pair: Pair) -> Halo:
        """Return the source pixels around a target pixel's own that its prediction will depend on."""

    @abstractmethod
    def model_for(self, pair: Pair, progress: Progress = no_progress) -> Model:
        """Return the model of a pair: fitted to it, or fitted before."""

    @abstractmethod
    def pixel_steps(self, pair: Pair, tiling: Tiling) -> tuple[int, int]:
        """Return the least and the most target pixels times steps of the fits; (0, 0) if nothing is fitted by steps."""

    def compared_px(self, pair: Pair, tiling: Tiling) -> int:  # noqa: ARG002  (a fit's depends on them)
        """Return the target pixels that the fits compare members on; 0 if there are none."""
        return 0

    @abstractmethod
    def timed_fit(self, sample: Sample, scale: Scale, threads: int, device: torch.device) -> tuple[Model, FitSpeed]:
        """Fit a few steps to a sample to measure the speed.

        Returns a model as large as a real one, and the speed of the fit.
        """

    @property
    def title(self) -> str:
        """Name in an output's tags, with "+consistency" if that is an option of the method."""
        return str(self.description["method"])

    @property
    def fit_description(self) -> dict[str, Any]:
        """Options that decide what `model_for` returns, as JSON values."""
        return {name: value for name, value in self.description.items() if name not in _NOT_OF_THE_FIT}

    @property
    def consistent(self) -> bool:
        """True if its targets are corrected to average to the source."""
        return True

    @property
    def correction(self) -> Sensor:
        """How the source is seen of targets that are corrected; predictions of mmsr keep to its model's themselves."""
        return PLAIN

    @property
    def if_unhelpful(self) -> IfUnhelpful:
        """Treatment of a guide that did not help."""
        return "interpolate"

    @property
    def predicted_by(self) -> PredictedBy:
        """What predicts its tiles, which decides their memory."""
        return "network"

    @property
    def checks_guide(self) -> bool:
        """True if its fit checks the guide."""
        return True

    @property
    def samples_pixels(self) -> bool:
        """True if `model_for` reads pixels from all over the raster."""
        return True

    @property
    def fits_pair(self) -> bool:
        """True if the model is fitted to the pair at hand, so that the regions of its guide check lie in it."""
        return True

    @property
    def calibrates(self) -> bool:
        """True if its model may know the uncertainty of its targets."""
        return False

    @property
    def uncalibrated_advice(self) -> str:
        """Reason why a model has no calibrated uncertainty, and what to do about it."""
        return (
            "the source has too few valid pixels to compare predictions with it; choose a larger part "
            f"({option('bounds')}) or a smaller {option('scale')}"
        )

    @property
    def model_scale(self) -> Scale | None:
        """Scale that a saved model is for; None if the method takes any."""
        return None

    @property
    def model_bands(self) -> tuple[str, ...] | None:
        """Guide bands that a saved model is for; None if the method takes any."""
        return None

    @property
    def tile_fits(self) -> TileFits | None:
        """Fits of the single tiles; None if one model serves all tiles."""
        return None

    @property
    def tile_size(self) -> int | None:
        """Default side of a tile in target pixels; None if the memory decides."""
        return None

    @property
    def presets(self) -> Mapping[Quality, Method]:
        """The same method in each quality; empty if its options are not those of a quality."""
        return {}

    def halo(self, pair: Pair) -> Halo:
        """Return the source pixels that a tile reads around itself."""
        return halo_of(self.receptive_field(pair), pair.scale, consistent=self.consistent, sensor=self.correction)

    def reuse(self, model: Model) -> Method:  # noqa: ARG002  (some methods reuse none)
        """Return the method that uses a model which this one has fitted to another pair.

        Raises:
            OptionError: The method has no model of a scene that can be reused.
        """
        raise OptionError(
            f"only mmsr with one model per scene can share its model among pairs, not {self.title}: leave out "
            f"{option('model')}"
        )

    def uses_fallback(self, check: GuideCheck) -> bool:
        """Return True if an interpolation replaces the model's prediction after such a check."""
        return self.if_unhelpful == "interpolate" and check.result == "did not help" and check.guided

    def model_or_fallback(self, model: Model) -> Model:
        """Return the model, or an interpolation of the source if the guide did not help and that is to replace it."""
        if not self.uses_fallback(model.check):
            return model
        return model.unguided or Interpolation("bicubic", model.scale)

    def fallback_title(self, model: Model) -> str:
        """Return the title of the interpolation that replaces a model whose guide did not help."""
        return "bicubic+consistency" if model.unguided is None else INTERPOLATION


def report_guide_check(check: GuideCheck, pair: Pair, if_unhelpful: IfUnhelpful) -> None:
    """Warn if the guide did not help.

    Raises:
        UnhelpfulGuideError: The guide did not help, and if_unhelpful is "error".
    """
    if check.result != "did not help":
        return
    finding = f"{pair.guide.name} for {pair.source.name}: {check.sentence}"
    if if_unhelpful == "error":
        raise UnhelpfulGuideError(
            f"{finding}; use another guide, or pass {option('if_unhelpful', 'interpolate')} or "
            f"{option('if_unhelpful', 'warn')}"
        )
    consequence = "the guide is used anyway"
    if if_unhelpful == "interpolate" or not check.guided:
        consequence = "the target is interpolated from the source alone"
    warnings.warn(f"{finding}; {consequence}", GuideWarning, stacklevel=2)
