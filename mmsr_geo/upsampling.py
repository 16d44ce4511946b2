"""The way of one window: normalise, predict, make consistent, mask. Arrays in, array out; no file, no graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Halo, Scale, Tile, Window
from mmsr_geo.network.degradation import (
    BICUBIC_SUPPORT_PX,
    CONSISTENCY_SUPPORT_PX,
    FILL_PX,
    bicubic,
    make_consistent,
    nearest,
)
from mmsr_geo.network.features import FEATURE_SUPPORT_PX, PER_BAND, guide_features
from mmsr_geo.network.fitted import FittedNet
from mmsr_geo.network.mmsr import MmsrNet, NetParams, Support
from mmsr_geo.network.samples import Sample
from mmsr_geo.raster.pixels import Pixels

Predictor = Callable[[Tensor, Tensor], Tensor]


def sample_of(source: Pixels, guide: Pixels) -> Sample:
    """Bring a window's pixels to torch: source (1, h, w) and guide (C, H, W) with their masks."""
    return Sample(
        source=torch.from_numpy(source.values[0]),
        source_valid=torch.from_numpy(source.valid),
        guide=torch.from_numpy(guide.values),
        guide_valid=torch.from_numpy(guide.valid),
    )


def halo_of(support: Support, scale: Scale) -> Halo:
    """Return what a tile must read around itself, in source pixels.

    The correction of a window depends on the prediction CONSISTENCY_SUPPORT_PX around it; that prediction on the guide
    and the source as far as the network and the guide's features see, or as far as a bicubic interpolation does where
    the guide is missing.
    """

    def along(factor: int) -> int:
        guide = math.ceil((support.guide_px + FEATURE_SUPPORT_PX) / factor)
        source = math.ceil(support.source_target_px / factor) + support.source_px + FILL_PX
        return CONSISTENCY_SUPPORT_PX + max(guide, source, BICUBIC_SUPPORT_PX + FILL_PX)

    return Halo(along(scale.y), along(scale.x))


def net_halo(guide_bands: int, scale: Scale) -> Halo:
    """Return the halo of a net for so many guide bands, before it is fitted."""
    with torch.device("meta"):
        return halo_of(MmsrNet(NetParams(PER_BAND * guide_bands)).support, scale)


@dataclass(frozen=True, slots=True)
class Upsampler:
    """A fitted net at work on a device: the function that turns a tile's pixels into its target."""

    net: FittedNet
    network: Predictor
    halo: Halo
    device: torch.device

    @classmethod
    def of(cls, net: FittedNet, device: str = "auto") -> Upsampler:
        """Build the network on `device`: auto (a GPU where there is one), cpu, cuda or cuda:N."""
        where = resolve_device(device)
        network = net.network(where)
        return cls(net, network, halo_of(network.support, net.scale), where)

    def upsample(self, tile: Tile, source: Pixels, guide: Pixels) -> NDArray[np.float32]:
        """Return the target of a tile's core, (H, W) float32 in the source's units, NaN where the source is a hole.

        source: (1, h, w) of tile.read; guide: (C, h * scale.y, w * scale.x) of the same place on the target grid.
        Where the memory of the device does not hold the window it is halved, as often as it takes; the result is the
        same, because a part of a tile is a tile.
        """
        sample = sample_of(source, guide)
        scale = self.net.scale
        target = np.empty(tile.core.refined(scale).shape, np.float32)
        parts = [tile.core]
        while parts:
            part = parts.pop()
            read = part.padded(self.halo, tile.read)
            try:
                values = self._upsample_window(_cut(sample, read.relative_to(tile.read), scale), part.relative_to(read))
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error) or part.shape == (1, 1):
                    raise
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                parts.extend(_halves(part))
                continue
            target[part.relative_to(tile.core).refined(scale).slices] = values.cpu().numpy()
        return target

    @torch.inference_mode()
    def _upsample_window(self, sample: Sample, core: Window) -> Tensor:
        """Return (H, W) float32 of `core`, a window in source pixels of the sample."""
        scale, statistics = self.net.scale, self.net.statistics
        valid = sample.source_valid.to(self.device)
        if not bool(valid[core.slices].any()):
            return torch.full(core.refined(scale).shape, torch.nan)
        guide_valid = sample.guide_valid.to(self.device)
        source = statistics.normalise_source(sample.source.to(self.device), valid)
        bands = statistics.normalise_guide(sample.guide.to(self.device), guide_valid)
        guide = guide_features(bands, guide_valid)
        if bool(guide_valid.any()):
            prediction = self.network(guide[None].contiguous(memory_format=torch.channels_last), source[None, None])[
                0, 0
            ]
        else:
            prediction = torch.zeros(guide_valid.shape, device=self.device)
        if not bool(guide_valid.all()):
            prediction = torch.where(guide_valid, prediction, bicubic(source, scale))
        exact = torch.where(valid, statistics.centred_source(sample.source.to(self.device)), source.double())
        target = make_consistent(prediction, exact, valid, scale)[core.refined(scale).slices]
        target = target * statistics.source_spread + statistics.source_centre
        hole = ~nearest(valid[core.slices], scale)
        return target.masked_fill(hole, torch.nan).float()


def resolve_device(device: str) -> torch.device:
    """Turn auto, cpu, cuda or cuda:N into a device that is there; raises OptionError when it is not."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError:
        raise OptionError(f"there is no device {device!r}: choose auto, cpu or cuda") from None
    if resolved.type == "cuda" and (
        not torch.cuda.is_available() or (resolved.index or 0) >= torch.cuda.device_count()
    ):
        raise OptionError(f"there is no {device} on this machine: choose --device auto or cpu")
    if resolved.type not in {"cpu", "cuda"}:
        raise OptionError(f"the device {device!r} is not supported: choose auto, cpu or cuda")
    return resolved


def _cut(sample: Sample, window: Window, scale: Scale) -> Sample:
    rows, columns = window.slices
    target_rows, target_columns = window.refined(scale).slices
    return Sample(
        sample.source[rows, columns],
        sample.source_valid[rows, columns],
        sample.guide[:, target_rows, target_columns],
        sample.guide_valid[target_rows, target_columns],
    )


def _halves(window: Window) -> Iterator[Window]:
    """Yield the two halves along the longer side."""
    if window.height >= window.width:
        upper = window.height // 2
        yield Window(window.row, window.col, upper, window.width)
        yield Window(window.row + upper, window.col, window.height - upper, window.width)
    else:
        left = window.width // 2
        yield Window(window.row, window.col, window.height, left)
        yield Window(window.row, window.col + left, window.height, window.width - left)


def _is_out_of_memory(error: BaseException) -> bool:
    """Tell a full memory from other runtime errors: torch's CPU allocator has no class of its own for it."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
