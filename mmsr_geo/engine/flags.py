"""QA flags of a target's pixels: their meanings and the rules that set them; knows tensors and windows."""

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
    """Bits of the QA band; 0 is a pixel without remarks."""

    SOURCE_NODATA = 1
    """The source has no data there, and so the target has none."""
    GUIDE_GAP = 2
    """The guide has a gap there or within FEATHER_PX pixels: all or part of the target is interpolated from the source
    alone, or in a narrow gap predicted from the guide around it."""
    EXTRAPOLATED = 4
    """A guide band lies outside the range that the model was fitted on."""
    UNHELPFUL = 8
    """The guide did not help in that part of the raster, or an interpolation was used for that reason."""
    OUT_OF_RANGE = 16
    """The source itself lies outside the valid range: the target averages to it and does not keep the range."""
    FAILED = 32
    """The tile failed and was skipped: the target has no data there."""
    GUIDE_MISSING = GUIDE_GAP
    """Former name of GUIDE_GAP, kept for scripts."""


MEANINGS = {
    Flag.SOURCE_NODATA: "no data in the source",
    Flag.GUIDE_GAP: "gap in the guide, interpolated from the source alone or from the guide around",
    Flag.EXTRAPOLATED: "guide outside the range the model was fitted on",
    Flag.UNHELPFUL: "guide did not help here",
    Flag.OUT_OF_RANGE: "source outside the valid range",
    Flag.FAILED: "tile failed and was skipped",
}

FLAG_ATTRS = {
    "long_name": "QA flags of the target",
    "flag_masks": np.array(list(Flag), np.uint8),
    "flag_meanings": " ".join(flag.name.lower() for flag in Flag if flag.name),
    "comment": "; ".join(f"{int(flag)}: {meaning}" for flag, meaning in MEANINGS.items()),
}
"""Attributes of a QA array, as the CF conventions (3.5) describe flags."""

UNCERTAINTY = "half of a 90 % interval's width: 90 % of the true values are expected within target ± uncertainty"
"""Meaning of a target's uncertainty, as files and arrays describe it."""

ValidRange = tuple[float, float]
"""Minimum and maximum of the target, in the source's units."""
GuideRange = tuple[tuple[float, float], ...]
"""Minimum and maximum of each guide band, in the guide's units."""


@dataclass(frozen=True, slots=True)
class FlagRules:
    """Rules that decide the flags of any window."""

    check: GuideCheck = field(default_factory=GuideCheck)
    """Guide check, region by region."""
    fell_back: bool = False
    """True if an interpolation replaces the prediction everywhere because the guide did not help."""
    guide_range: GuideRange | None = None
    """Range of each guide band in the fit; None: not known, or the model uses no guide."""
    valid_range: ValidRange | None = None

    def flags(self, sample: Sample, core: Window, scale: Scale, guided: Tensor | None) -> Tensor:
        """Return the flags of a window, (H, W) uint8.

        Args:
            sample: Source and guide of a larger window.
            core: The window, in source pixels of the sample.
            scale: Target pixels per source pixel.
            guided: (H, W) of the sample: weight of the guide in each pixel, 0..1; the rest is interpolated. None if the
                model uses no guide.
        """
        fine = core.refined(scale).slices
        flags = torch.zeros(core.refined(scale).shape, dtype=torch.uint8, device=sample.source.device)

        def add(flag: Flag, where: Tensor) -> None:
            flags.bitwise_or_(where.to(torch.uint8) * int(flag))

        add(Flag.SOURCE_NODATA, nearest(~sample.source_valid[core.slices], scale))
        if guided is not None:
            add(Flag.GUIDE_GAP, guided[fine] < 1)
            if sample.bridged is not None:
                add(Flag.GUIDE_GAP, sample.bridged[fine])
            if self.guide_range is not None:
                beyond = outside(sample.guide[:, *fine], self.guide_range).any(dim=0)
                add(Flag.EXTRAPOLATED, beyond & sample.guide_valid[fine])
        window = Window(sample.row + core.row, sample.col + core.col, *core.shape)
        unhelpful = np.ones(core.shape, np.bool_) if self.fell_back else unhelpful_regions(self.check, window)
        if unhelpful.any():
            add(Flag.UNHELPFUL, nearest(torch.from_numpy(unhelpful).to(flags.device), scale))
        if self.valid_range is not None:
            low, high = self.valid_range
            source, valid = sample.source[core.slices], sample.source_valid[core.slices]
            add(Flag.OUT_OF_RANGE, nearest(valid & ((source < low) | (source > high)), scale))
        return flags


def outside(values: Tensor, ranges: GuideRange) -> Tensor:
    """Return a mask of the values (C, ...) outside their band's range; NaN counts as inside."""
    low, high = (
        torch.tensor(ends, dtype=values.dtype, device=values.device)[:, None, None]
        for ends in zip(*ranges, strict=True)
    )
    return (values < low) | (values > high)


def unhelpful_regions(check: GuideCheck, window: Window) -> NDArray[np.bool_]:
    """Return a mask of the pixels where the guide did not help, (h, w) bool of a window in source pixels.

    Each pixel takes the result of the region whose centre is nearest, as the regions of a large raster are samples.
    """
    validated = [region for region in check.regions if region.validated_px]
    if not check.guided:
        return np.ones(window.shape, np.bool_)
    bad = np.array(
        [result_of(check.gain_in(region), check.least_gain) == "did not help" for region in validated], np.bool_
    )
    if not bad.any() or bad.all():
        return np.full(window.shape, bool(len(bad)) and bool(bad.all()))
    centres = [
        (region.window.row + region.window.height / 2, region.window.col + region.window.width / 2)
        for region in validated
    ]
    rows, columns = np.mgrid[window.slices]
    _, nearest_region = KDTree(centres).query(np.stack([rows + 0.5, columns + 0.5], axis=-1))
    mask: NDArray[np.bool_] = bad[nearest_region]
    return mask


def within_range(target: Tensor, source: Tensor, valid: Tensor, scale: Scale, valid_range: ValidRange) -> Tensor:
    """Limit a consistent target to a range without changing its block means.

    The limiter of Zhang and Shu 2010: each block's deviations from its mean are multiplied by one factor, the largest
    that keeps all of them within the range. Blocks whose mean lies outside the range are not changed.

    Args:
        target: (H, W).
        source: (h, w), finite also where it has no data.
        valid: (h, w) bool, True where the source has data.
        scale: Target pixels per source pixel.
        valid_range: Minimum and maximum of the target.

    Returns:
        (H, W) of the target's dtype.
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
