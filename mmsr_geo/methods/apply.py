"""A method's model put to work: the upsampler of its tiles, and what its fit calibrated."""

from __future__ import annotations

import warnings

from mmsr_geo.engine.flags import FlagRules, ValidRange
from mmsr_geo.engine.model import Model
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.tile_upsampler import Upsampler
from mmsr_geo.errors import MmsrWarning, OptionError
from mmsr_geo.methods.baseline import BaselineMethod
from mmsr_geo.methods.scene import SavedModel, SceneFit
from mmsr_geo.methods.source import Method, check_of
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.guide_check import GuideCheck


def reuse_model(model: Model, method: Method) -> Method:
    """Return the use of a model that a method has fitted to another pair; raises OptionError where that is no model."""
    if not isinstance(model, FittedModel) or not isinstance(method, SceneFit):
        name = method.description["method"]
        raise OptionError(f"only a scene's model can serve several pairs, and {name} has none: leave out model")
    return SavedModel(model, if_unhelpful=method.if_unhelpful)


def upsampler_of(
    method: Method,
    model: Model,
    device: str = "auto",
    valid_range: ValidRange | None = None,
    *,
    uncertainty: bool = False,
) -> Upsampler:
    """Put to work what a method predicts with, given what its fit found out about the guide.

    uncertain: tell the target's uncertainty, NaN where the fit could not calibrate it.
    """
    check, chosen = check_of(model), method.model_or_fallback(model)
    seen = chosen.seen_range if isinstance(chosen, FittedModel) else None
    # A saved model's regions are places in the raster that it was fitted to, which need not be this one.
    here = GuideCheck() if isinstance(method, SavedModel) else check
    quality = FlagRules(here, method.uses_fallback(check), seen, valid_range)
    interval = model.source_interval if isinstance(model, FittedModel) else None
    return Upsampler.of(
        chosen, device, consistent=method.consistent, quality=quality, uncertainty=uncertainty, interval=interval
    )


def samples_pixels(method: Method) -> bool:
    """Whether `for_pair` reads pixels from all over the raster."""
    match method:
        case BaselineMethod():
            return method.method.reads_samples
        case SavedModel():
            return not method.keep_statistics
        case _:
            return True


def calibrates(method: Method) -> bool:
    """Whether it may know how far its targets are off: the model of a scene does, but for the published fit's."""
    match method:
        case SavedModel():
            return True
        case SceneFit():
            return method.params.schedule != "published" or method.params.first_stage is not False
        case _:
            return False


def is_calibrated(model: Model) -> bool:
    """Whether it is known how far the model's targets may be off."""
    return isinstance(model, FittedModel) and model.interval is not None


def warn_uncalibrated(model: Model, method: Method, pair: Pair) -> None:
    """Warn where that is not known, and was asked for."""
    if is_calibrated(model):
        return
    if isinstance(method, SavedModel):
        why, mend = "the saved model knows none", "fit anew, to a larger part or at a smaller scale"
    elif isinstance(method, SceneFit) and method.params.first_stage is False:
        why, mend = "first_stage=False leaves its check one level down out", "leave that out of params="
    else:
        why, mend = (
            "too little of the source is there to judge one level down",
            "give a larger part, or a smaller scale",
        )
    warnings.warn(
        f"{pair.source.name}: the uncertainty is not calibrated ({why}) and a hole everywhere: {mend}",
        MmsrWarning,
        stacklevel=2,
    )
