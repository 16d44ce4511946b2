"""Places of a fit's patches, and the part of a patch that lies away from its cuts; tensors only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor

from mmsr_geo.errors import NothingInCommonError
from mmsr_geo.geometry import Window
from mmsr_geo.network.samples import NOTHING_IN_COMMON


class PatchSampler:
    """The places of patches: those at least half as valid as the best one of all samples, all equally likely."""

    def __init__(self, masks: Sequence[Tensor], patch_yx: tuple[int, int]) -> None:
        """Find the places.

        Args:
            masks: The fit mask of each sample, (h, w) bool, all of one shape.
            patch_yx: A patch's size in source pixels; cut to the samples' size.

        Raises:
            NothingInCommonError: No pixel is valid.
        """
        height, width = masks[0].shape
        self.patch_yx = min(patch_yx[0], height), min(patch_yx[1], width)
        shares = torch.stack([window_means(mask.cpu(), self.patch_yx) for mask in masks])
        if shares.max() == 0:
            raise NothingInCommonError(NOTHING_IN_COMMON)
        self.shape = shares.shape
        self.places = (shares >= shares.max() / 2).flatten().nonzero()[:, 0]

    def draw(self, count: int, generator: torch.Generator) -> list[tuple[int, Window]]:
        """Return `count` patches: the index of the sample and the patch's window in it."""
        picks = self.places[torch.randint(len(self.places), (count,), generator=generator)]
        _, rows, columns = self.shape
        return [
            (place // (rows * columns), Window(place // columns % rows, place % columns, *self.patch_yx))
            for place in picks.tolist()
        ]


def inside(start: int, length: int, whole: int, receptive_field: int) -> Tensor:
    """Return (length,) bool: True at least `receptive_field` away from each end that is not an end of the whole."""
    at = torch.arange(start, start + length)
    after_start = (at >= start + receptive_field) | torch.tensor(start == 0)
    before_end = (at < start + length - receptive_field) | torch.tensor(start + length == whole)
    return after_start & before_end


def window_means(mask: Tensor, size_yx: tuple[int, int]) -> Tensor:
    """Return the mean of (h, w) bool over every window of the size, by a summed-area table: exact in float64."""
    height, width = size_yx
    table = F.pad(mask.double().cumsum(0).cumsum(1), (1, 0, 1, 0))
    sums = table[height:, width:] - table[:-height, width:] - table[height:, :-width] + table[:-height, :-width]
    return sums / (height * width)
