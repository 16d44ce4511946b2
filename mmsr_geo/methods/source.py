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
from mmsr_geo.network.fitted import FittedNet
from mmsr_geo.network.guide_check import GuideCheck
from mmsr_geo.options import IfUnhelpful


class ModelSource(Protocol):
    """Where a pair's model comes from; what is known of it before it is there, and what becomes of it."""

    @property
    def consistent(self) -> bool:
        """Whether its targets are made to average to the source."""

    @property
    def description(self) -> dict[str, Any]:
        """What to record of it, as JSON values."""

    def reach(self, pair: Pair) -> Halo:
        """Source pixels, beyond a target pixel's own, that a prediction will depend on."""

    def for_pair(self, pair: Pair, progress: Progress = no_progress) -> Model:
        """Fit to the pair, or fetch what was fitted before."""

    def chosen(self, model: Model) -> Model:
        """Return what to predict with, given what the fit found out about the guide."""

    def falls_back(self, check: GuideCheck) -> bool:
        """Whether the consistent bicubic interpolation is given instead, after such a check."""


def falls_back(check: GuideCheck, if_unhelpful: IfUnhelpful) -> bool:
    """Whether the consistent bicubic interpolation is given instead of the net's word."""
    return if_unhelpful == "bicubic" and check.verdict == "unhelpful"


def helpful(model: Model, if_unhelpful: IfUnhelpful) -> Model:
    """Return the model, or the bicubic interpolation where its guide did not help and that is what shall be done."""
    if falls_back(check_of(model), if_unhelpful):
        return Interpolation("bicubic", model.scale)
    return model


def check_of(model: Model) -> GuideCheck:
    """Return what the model's fit found out about the guide; nothing where it is no net."""
    return model.check if isinstance(model, FittedNet) else GuideCheck()


def tell(check: GuideCheck, pair: Pair, if_unhelpful: IfUnhelpful) -> None:
    """Warn where the guide did not help, or raise UnhelpfulGuideError if that is to be an error."""
    if check.verdict != "unhelpful":
        return
    found = f"{pair.guide.name} for {pair.source.name}: {check.sentence}"
    if if_unhelpful == "error":
        raise UnhelpfulGuideError(
            f"{found}; give another guide, or choose --if-unhelpful (if_unhelpful=) bicubic or warn"
        )
    done = "the consistent bicubic interpolation is given" if if_unhelpful == "bicubic" else "it is used all the same"
    warnings.warn(f"{found}; {done}", GuideWarning, stacklevel=2)
