"""The use of a method's model: the upsampler of its tiles, and the warning about a missing calibration."""

from __future__ import annotations

import warnings

from mmsr_geo.engine.flags import FlagRules, ValidRange
from mmsr_geo.engine.model import Model
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.tile_upsampler import Upsampler
from mmsr_geo.errors import MmsrWarning
from mmsr_geo.methods.base import Method
from mmsr_geo.network.guide_check import GuideCheck


def upsampler_of(
    method: Method,
    model: Model,
    device: str = "auto",
    valid_range: ValidRange | None = None,
    *,
    uncertainty: bool = False,
) -> Upsampler:
    """Return the upsampler of all tiles of a pair, with the model or its fallback.

    Args:
        method: The method that the model comes from.
        model: The pair's model.
        device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:N".
        valid_range: Minimum and maximum of the target, in the source's units.
        uncertainty: Compute the target's uncertainty as well; NaN if the model is not calibrated.
    """
    used = method.model_or_fallback(model)
    # The regions of a saved model's check lie in the raster that it was fitted to, which need not be this one.
    check = model.check if method.fits_pair else GuideCheck()
    rules = FlagRules(check, method.uses_fallback(model.check), used.seen_range, valid_range)
    return Upsampler.of(
        used,
        device,
        consistent=method.consistent,
        correction=method.correction,
        rules=rules,
        uncertainty=uncertainty,
        interval=model.source_interval,
    )


def warn_uncalibrated(model: Model, method: Method, pair: Pair) -> None:
    """Warn if the uncertainty of a model's targets is not known."""
    if not model.is_calibrated:
        warnings.warn(
            f"{pair.source.name}: the uncertainty is not calibrated and its band is all nodata: "
            f"{method.uncalibrated_advice}",
            MmsrWarning,
            stacklevel=2,
        )
