"""What every method answers before it is fitted, and what happens when the guide does not help."""

from __future__ import annotations

import warnings
from typing import Any, Protocol

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.engine.model import Model
from mmsr_geo.engine.pair import Pair
from mmsr_geo.errors import GuideWarning, UnhelpfulGuideError
from mmsr_geo.geometry import Halo
from mmsr_geo.methods.interpolation import Interpolation
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.guide_check import GuideCheck
from mmsr_geo.options import IfUnhelpful
from mmsr_geo.spelling import option


class Method(Protocol):
    """Where a pair's model comes from; what is known of it before it is there, and what becomes of it."""

    @property
    def consistent(self) -> bool:
        """Whether its targets are made to average to the source."""

    @property
    def description(self) -> dict[str, Any]:
        """What to record of it, as JSON values."""

    def receptive_field(self, pair: Pair) -> Halo:
        """Source pixels, beyond a target pixel's own, that a prediction will depend on."""

    def model_for(self, pair: Pair, progress: Progress = no_progress) -> Model:
        """Fit to the pair, or fetch what was fitted before."""

    def model_or_fallback(self, model: Model) -> Model:
        """Return what to predict with, given what the fit found out about the guide."""

    def uses_fallback(self, check: GuideCheck) -> bool:
        """Whether the consistent bicubic interpolation is given instead, after such a check."""


def uses_fallback(check: GuideCheck, if_unhelpful: IfUnhelpful) -> bool:
    """Whether the consistent bicubic interpolation is given instead of the model's word."""
    return if_unhelpful == "bicubic" and check.result == "did not help"


def model_or_fallback(model: Model, if_unhelpful: IfUnhelpful) -> Model:
    """Return the model, or the bicubic interpolation where its guide did not help and that is what shall be done."""
    if uses_fallback(check_of(model), if_unhelpful):
        return Interpolation("bicubic", model.scale)
    return model


def check_of(model: Model) -> GuideCheck:
    """Return what the model's fit found out about the guide; nothing where it is no model."""
    return model.check if isinstance(model, FittedModel) else GuideCheck()


def report_guide_check(check: GuideCheck, pair: Pair, if_unhelpful: IfUnhelpful) -> None:
    """Warn where the guide did not help, or raise UnhelpfulGuideError if that is to be an error."""
    if check.result != "did not help":
        return
    found = f"{pair.guide.name} for {pair.source.name}: {check.sentence}"
    if if_unhelpful == "error":
        raise UnhelpfulGuideError(f"{found}; give another guide, or choose {option('if_unhelpful')} bicubic or warn")
    done = "the consistent bicubic interpolation is given" if if_unhelpful == "bicubic" else "it is used all the same"
    warnings.warn(f"{found}; {done}", GuideWarning, stacklevel=2)
