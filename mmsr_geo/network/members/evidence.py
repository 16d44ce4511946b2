"""What is known of the members of a fit in one sample, before a network is compared with them; tensors only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from mmsr_geo.network.intervals import DrawnPart
from mmsr_geo.network.members.layers import Layers

NOTICEABLE = 0.985
"""Largest error of a prediction that uses the guide, divided by that of the interpolation, with which it is used: with
noise as the guide it was 0.987 to 1 (docs/decisions/019-ensemble-and-evidence.md)."""


@dataclass(frozen=True, slots=True, eq=False)
class MembersEvidence:
    """What is known of the members' weighted average in one sample."""

    predict: Callable[[Tensor], Tensor]
    """The function from the source at reduced resolution (h, w) to the prediction (H, W)."""
    coarser: Layers | None
    """The sample with its source averaged by 2 and the guide as it is; None where that is too small."""
    consistent: Callable[[Tensor], Tensor]
    """The function from a prediction (H, W) from the averaged source to one whose block means are that source."""
    shown: Callable[[Tensor], Tensor]
    """The function from a target (H, W) to the source (h, w) that would be seen of it."""
    errors: Tensor
    """(h, w): errors of the means over source pixels where the averaged source is solved to the target."""
    baseline: Tensor
    """(h, w): these errors of the bicubic baseline."""
    interpolation: Tensor
    """(h, w): these errors of the interpolation that uses the source alone."""
    known: Tensor
    """(h, w) bool: where these errors are known."""
    drawn: DrawnPart
    """What the members draw of the sample at the true scale."""
