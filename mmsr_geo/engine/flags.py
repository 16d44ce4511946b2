"""What is to be known of each target pixel: flags, what they mean and where they are set; knows tensors and windows."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree  # type: ignore[import-untyped]
from torch import Tensor

from mmsr_geo.geometry import Scale, Window
from mmsr_geo.network.degradation import nearest
from mmsr_geo.network.guide_check import GuideCheck, result_of
from mmsr_geo.network.samples import Sample


class Flag(IntFlag):
    """The bits of the QA band; 0 is a pixel with nothing to say of."""

    SOURCE_HOLE = 1
    """The source is a hole there, and so is the target."""
    GUIDE_MISSING = 2
    """The guide is a hole there, or so near that the interpolation of the source is mixed in."""
    EXTRAPOLATED = 4
    """A band of the guide lies outside what the model was fitted on."""
    UNHELPFUL = 8
    """In that part of the raster the guide did not help, one level down; or it was left out for that reason."""
    OUT_OF_RANGE = 16
    """The source itself lies outside the valid range: no target can be both within it and average to the source."""
    FAILED = 32
    """The tile could not be computed, and a job that skips such tiles has left a hole."""


MEANINGS = {
    Flag.SOURCE_HOLE: "hole in the source",
    Flag.GUIDE_MISSING: "guide missing, interpolated instead",
    Flag.EXTRAPOLATED: "guide outside the range that the model was fitted on",
    Flag.UNHELPFUL: "guide did not help in this part",
    Flag.OUT_OF_RANGE: "source outside the valid range",
    Flag.FAILED: "tile failed and skipped",
}

FLAG_ATTRS = {
    "long_name": "what is to be known of each target pixel",
    "flag_masks": np.array(list(Flag), np.uint8),
    "flag_meanings": " ".join(flag.name.lower() for flag in Flag if flag.name),
    "comment": "; ".join(f"{int(flag)}: {meaning}" for flag, meaning in MEANINGS.items()),
}
"""As the CF conventions (3.5) describe flags."""

UNCERTAINTY = "half of a 90 % interval's width: nine of ten true values should lie within the target plus and minus it"
"""What a target's uncertainty is, in the words of a file and of an array."""

ValidRange = tuple[float, float]
"""The least and the largest value that the target can have, in the source's units."""
GuideRange = tuple[tuple[float, float], ...]
"""The least and the largest value of each guide band, in the guide's units."""


@dataclass(frozen=True, slots=True)
class FlagRules:
    """What decides the flags of any window."""

    check: GuideCheck = field(default_factory=GuideCheck)
    """What is known of the guide, region by region."""
    fell_back: bool = False
    """Whether the interpolation is given everywhere because the guide did not help."""
    guide_range: GuideRange | None = None
    """What the guide's bands were where the model was fitted; None: the model cannot leave it."""
    valid_range: ValidRange | None = None

    def flags(self, sample: Sample, core: Window, scale: Scale, guided: Tensor | None) -> Tensor:
        """Return the flags of `core`, (H, W) uint8; core is a window in source pixels of the sample.

        guided: (H, W) of the sample, how much of each pixel is the model's word and not the interpolation's, 0..1;
        None where the model asks no guide.
        """
        fine = core.refined(scale).slices
        flags = torch.zeros(core.refined(scale).shape, dtype=torch.uint8, device=sample.source.device)

        def add(flag: Flag, where: Tensor) -> None:
            flags.bitwise_or_(where.to(torch.uint8) * int(flag))

        add(Flag.SOURCE_HOLE, nearest(~sample.source_valid[core.slices], scale))
        if guided is not None:
            add(Flag.GUIDE_MISSING, guided[fine] < 1)
            if self.guide_range is not None:
                beyond = outside(sample.guide[:, *fine], self.guide_range).any(dim=0)
                add(Flag.EXTRAPOLATED, beyond & sample.guide_valid[fine])
        place = Window(sample.row + core.row, sample.col + core.col, *core.shape)
        unhelpful = np.ones(core.shape, np.bool_) if self.fell_back else unhelpful_regions(self.check, place)
        if unhelpful.any():
            add(Flag.UNHELPFUL, nearest(torch.from_numpy(unhelpful).to(flags.device), scale))
        if self.valid_range is not None:
            low, high = self.valid_range
            source, valid = sample.source[core.slices], sample.source_valid[core.slices]
            add(Flag.OUT_OF_RANGE, nearest(valid & ((source < low) | (source > high)), scale))
        return flags


def outside(values: Tensor, ranges: GuideRange) -> Tensor:
    """Return where bands (C, ...) lie outside their ranges; what is not a number lies in them."""
    low, high = (
        torch.tensor(ends, dtype=values.dtype, device=values.device)[:, None, None]
        for ends in zip(*ranges, strict=True)
    )
    return (values < low) | (values > high)


def unhelpful_regions(check: GuideCheck, window: Window) -> NDArray[np.bool_]:
    """Return where the guide did not help, (h, w) bool of a window in source pixels of the raster.

    Each pixel goes by the region whose middle is nearest: those of a large raster are samples of it.
    """
    judged = [region for region in check.regions if region.validated_px]
    bad = np.array([result_of(region.gain) == "did not help" for region in judged], np.bool_)
    if not bad.any() or bad.all():
        return np.full(window.shape, bool(len(bad)) and bool(bad.all()))
    middles = [
        (region.window.row + region.window.height / 2, region.window.col + region.window.width / 2) for region in judged
    ]
    rows, columns = np.mgrid[window.slices]
    _, nearest_region = KDTree(middles).query(np.stack([rows + 0.5, columns + 0.5], axis=-1))
    found: NDArray[np.bool_] = bad[nearest_region]
    return found


def within_range(target: Tensor, source: Tensor, valid: Tensor, scale: Scale, valid_range: ValidRange) -> Tensor:
    """Draw a consistent target towards its block means until it lies within the range: it stays consistent.

    The limiter of Zhang and Shu 2010: each block's deviations from its mean are shrunk by one factor, the largest that
    keeps all of them within the range. Blocks whose mean lies outside it are left as they are.

    target: (H, W); source: (h, w), finite also in holes; valid: (h, w) bool. Returns (H, W) of the target's dtype.
    """
    low, high = valid_range
    height, width = source.shape
    blocks = target.reshape(height, scale.y, width, scale.x)
    mean = source.to(target.dtype)[:, None, :, None]
    deviation = blocks - mean
    most = deviation.amax(dim=(1, 3), keepdim=True).clamp_min(0)
    least = deviation.amin(dim=(1, 3), keepdim=True).clamp_max(0)
    tiny = torch.finfo(target.dtype).tiny
    factor = torch.minimum((high - mean) / most.clamp_min(tiny), (low - mean) / least.clamp_max(-tiny)).clamp_max(1)
    possible = valid[:, None, :, None] & (mean >= low) & (mean <= high)
    limited = (mean + factor * deviation).clamp(low, high)
    return torch.where(possible & (factor < 1), limited, blocks).reshape(target.shape)
