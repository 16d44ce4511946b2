"""Gaps in a guide: how a prediction that uses it fades beside them; tensors only."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor

FEATHER_PX = 2
"""Half of the target pixels over which a prediction fades into an interpolation next to a gap in the guide: enough that
no edge is visible; more would cost detail (docs/decisions/007-feathering-at-guide-gaps.md)."""


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
