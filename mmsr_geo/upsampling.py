"""The way of one window: predict, make consistent, mask. Arrays in, array out; no file, no graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Halo, Scale, Tile, Window
from mmsr_geo.model import Model, Predictor
from mmsr_geo.network.degradation import (
    BICUBIC_SUPPORT_PX,
    CONSISTENCY_SUPPORT_PX,
    FILL_PX,
    bicubic,
    fill_holes,
    make_consistent,
    nearest,
)
from mmsr_geo.network.samples import Sample
from mmsr_geo.raster.pixels import Pixels


def sample_of(source: Pixels, guide: Pixels, row: int = 0, col: int = 0) -> Sample:
    """Bring a window's pixels to torch: source (1, h, w) and guide (C, H, W) with their masks.

    row, col: where the window begins in the raster, in source pixels.
    """
    return Sample(
        source=torch.from_numpy(source.values[0]),
        source_valid=torch.from_numpy(source.valid),
        guide=torch.from_numpy(guide.values),
        guide_valid=torch.from_numpy(guide.valid),
        row=row,
        col=col,
    )


def halo_of(reach: Halo, *, consistent: bool = True) -> Halo:
    """Return what a tile must read around itself, in source pixels.

    A prediction depends on the source and the guide as far as the model reaches, or as far as a bicubic interpolation
    does where the guide is missing. A target that is made consistent depends on the prediction CONSISTENCY_SUPPORT_PX
    around it, in addition.
    """
    around = CONSISTENCY_SUPPORT_PX if consistent else 0
    return Halo(*(around + max(side, BICUBIC_SUPPORT_PX + FILL_PX) for side in (reach.y, reach.x)))


@dataclass(frozen=True, slots=True)
class Upsampler:
    """A model at work on a device: the function that turns a tile's pixels into its target."""

    model: Model
    predictor: Predictor
    device: torch.device
    consistent: bool = True
    """Whether the prediction is corrected so that its block means are the source."""

    @classmethod
    def of(cls, model: Model, device: str = "auto", *, consistent: bool = True) -> Upsampler:
        """Put the model to work on `device`: auto (a GPU where there is one), cpu, cuda or cuda:N."""
        where = resolve_device(device)
        return cls(model, model.predictor(where), where, consistent)

    @property
    def halo(self) -> Halo:
        """What a tile must read around itself, in source pixels."""
        return halo_of(self.model.reach, consistent=self.consistent)

    def upsample(self, tile: Tile, source: Pixels, guide: Pixels) -> NDArray[np.float32]:
        """Return the target of a tile's core, (H, W) float32 in the source's units, NaN where the source is a hole.

        source: (1, h, w) of tile.read; guide: (C, h * scale.y, w * scale.x) of the same place on the target grid.
        Where the memory of the device does not hold the window it is halved, as often as it takes; the result is the
        same, because a part of a tile is a tile.
        """
        sample = sample_of(source, guide, tile.read.row, tile.read.col)
        scale = self.model.scale
        target = np.empty(tile.core.refined(scale).shape, np.float32)
        for part, values in self._by_parts(tile, sample, self._upsample_window):
            target[part.relative_to(tile.core).refined(scale).slices] = values.float().cpu().numpy()
        return target

    def predict(self, tile: Tile, source: Pixels, guide: Pixels) -> NDArray[np.float32]:
        """Return the prediction of a tile's core before it is made consistent or masked, (H, W) float32.

        Where the guide is a hole it is the bicubic interpolation. What is to be blended with its neighbours comes from
        here; `finish` makes a target of it.
        """
        sample = sample_of(source, guide, tile.read.row, tile.read.col)
        scale = self.model.scale
        prediction = np.empty(tile.core.refined(scale).shape, np.float32)
        for part, values in self._by_parts(tile, sample, self._predict_window):
            prediction[part.relative_to(tile.core).refined(scale).slices] = values.float().cpu().numpy()
        return prediction

    def _by_parts(
        self, tile: Tile, sample: Sample, work: Callable[[Sample, Window], Tensor]
    ) -> Iterator[tuple[Window, Tensor]]:
        """Yield the parts of a tile's core and what comes of them, as large as the device's memory holds."""
        parts = [tile.core]
        while parts:
            part = parts.pop()
            read = part.padded(self.halo, tile.read)
            try:
                cut = sample.cut(read.relative_to(tile.read), self.model.scale)
                values = work(cut.to(self.device), part.relative_to(read))
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error) or part.shape == (1, 1):
                    raise
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                parts.extend(_halves(part))
                continue
            yield part, values

    @torch.inference_mode()
    def _upsample_window(self, sample: Sample, core: Window) -> Tensor:
        """Return (H, W) float64 of `core`, a window in source pixels of the sample."""
        if not bool(sample.source_valid[core.slices].any()):
            return torch.full(core.refined(self.model.scale).shape, torch.nan)
        return finish(self._prediction(sample), sample, self.model.scale, core, consistent=self.consistent)

    @torch.inference_mode()
    def _predict_window(self, sample: Sample, core: Window) -> Tensor:
        return self._prediction(sample)[core.refined(self.model.scale).slices]

    def _prediction(self, sample: Sample) -> Tensor:
        """Return (H, W) float64: the model's word, the bicubic interpolation where it has none."""
        if not self.model.uses_guide:
            return self.predictor(sample)
        known = sample.guide_valid
        if bool(known.all()):
            return self.predictor(sample)
        smooth = bicubic(filled_source(sample), self.model.scale)
        return torch.where(known, self.predictor(sample), smooth) if bool(known.any()) else smooth


def finish(prediction: Tensor, sample: Sample, scale: Scale, core: Window, *, consistent: bool) -> Tensor:
    """Make a prediction the target of `core`: consistent if asked for, NaN where the source is a hole.

    prediction: (H, W) of the whole sample. Returns (H, W) float64 of the core, a window in source pixels of the sample.
    """
    valid = sample.source_valid
    if consistent:
        prediction = make_consistent(prediction, filled_source(sample), valid, scale)
    hole = ~nearest(valid[core.slices], scale)
    return prediction[core.refined(scale).slices].double().masked_fill(hole, torch.nan)


def filled_source(sample: Sample) -> Tensor:
    """Return the sample's source, (h, w) float64, its holes filled from beside them as far as interpolations look."""
    zero = torch.zeros((), dtype=torch.float64, device=sample.source.device)
    return fill_holes(torch.where(sample.source_valid, sample.source.double(), zero), sample.source_valid)


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
