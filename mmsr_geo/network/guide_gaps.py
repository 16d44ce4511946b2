"""Gaps in a guide: how a prediction that uses it fades beside wide ones, and what narrow ones take; tensors only."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import degrade, nearest

FEATHER_PX = 2
"""Half of the target pixels over which a prediction fades into an interpolation next to a gap in the guide: enough that
no edge is visible; more would cost detail (docs/decisions/007-feathering-at-guide-gaps.md)."""

BRIDGED_VARIANCE = 3.0
"""Variance of a prediction's error where the guide is bridged, in that where it is valid: what a source pixel has
beyond the prediction is first given to such pixels (docs/decisions/022-narrow-gaps.md)."""


def feathered(valid: Tensor) -> Tensor:
    """Return (H, W) float64 in 0..1: 0 where `valid` (bool) is False, rising to 1 over 2 * FEATHER_PX pixels."""
    if bool(valid.all()):
        return valid.double()
    side = 2 * FEATHER_PX + 1
    missing = (~valid).double()[None, None]
    kept = 1 - F.max_pool2d(missing, side, stride=1, padding=FEATHER_PX)
    weights = F.avg_pool2d(F.pad(kept, (FEATHER_PX,) * 4, mode="replicate"), side, stride=1)[0, 0]
    # A mean of ones need not be 1 to the last bit.
    return torch.where(weights > 1 - 1e-9, 1.0, weights)


def faded(prediction: Tensor, smooth: Tensor, guided: Tensor) -> Tensor:
    """Return a prediction that fades into an interpolation beside gaps in the guide.

    Args:
        prediction: (H, W).
        smooth: (H, W) of the interpolation.
        guided: (H, W) as `feathered` returns it.
    """
    return smooth + guided * (prediction - smooth)


def given_to_bridged(prediction: Tensor, missing: Tensor, bridged: Tensor | None, scale: Scale) -> Tensor:
    """Return a prediction with a part of what the source has beyond it, in pixels whose guide is bridged.

    Within a source pixel what is missing is shared by the variances of the pixels' errors. The share of the valid ones
    is left.

    Args:
        prediction: (H, W).
        missing: (h, w): the source, less the means of the prediction over its pixels.
        bridged: (H, W) bool; None: no pixel.
        scale: Target pixels per source pixel.
    """
    if bridged is None or not bool(bridged.any()):
        return prediction
    weights = bridged.to(missing.dtype)
    share = degrade(weights, scale)
    of_bridged = BRIDGED_VARIANCE / (1 + (BRIDGED_VARIANCE - 1) * share)
    return prediction + weights * nearest(of_bridged * missing, scale)
