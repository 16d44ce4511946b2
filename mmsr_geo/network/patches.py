"""Where the patches of a fit may lie, and what of them a network sees as it would see the whole; tensors only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor

from mmsr_geo.errors import PixelError
from mmsr_geo.geometry import Window


class PatchSampler:
    """Where patches may lie: at least half as valid as the best place of all samples, each as likely as the other."""

    def __init__(self, asked: Sequence[Tensor], patch_yx: tuple[int, int]) -> None:
        """asked: (h, w) bool of each sample, all of one shape; raises PixelError where none is valid."""
        height, width = asked[0].shape
        self.patch_yx = min(patch_yx[0], height), min(patch_yx[1], width)
        shares = torch.stack([window_means(mask.cpu(), self.patch_yx) for mask in asked])
        if shares.max() == 0:
            raise PixelError("source and guide have no valid pixel in common: check that they show the same place")
        self.shape = shares.shape
        self.places = (shares >= shares.max() / 2).flatten().nonzero()[:, 0]

    def draw(self, count: int, generator: torch.Generator) -> list[tuple[int, Window]]:
        """Return so many patches: the sample's index and the patch's place in it."""
        picks = self.places[torch.randint(len(self.places), (count,), generator=generator)]
        _, rows, columns = self.shape
        return [
            (place // (rows * columns), Window(place // columns % rows, place % columns, *self.patch_yx))
            for place in picks.tolist()
        ]


def inside(start: int, length: int, whole: int, receptive_field: int) -> Tensor:
    """Return (length,) bool: `reach` away from each end that is not an end of the whole."""
    place = torch.arange(start, start + length)
    below = (place >= start + receptive_field) | torch.tensor(start == 0)
    above = (place < start + length - receptive_field) | torch.tensor(start + length == whole)
    return below & above


def window_means(mask: Tensor, size_yx: tuple[int, int]) -> Tensor:
    """Return the mean of (h, w) bool over every window of the size, by a summed-area table: exact in float64."""
    height, width = size_yx
    table = F.pad(mask.double().cumsum(0).cumsum(1), (1, 0, 1, 0))
    sums = table[height:, width:] - table[:-height, width:] - table[height:, :-width] + table[:-height, :-width]
    return sums / (height * width)
