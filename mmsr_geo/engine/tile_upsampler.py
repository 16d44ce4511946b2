"""The way of one window: predict, feather, make consistent, mask, flag. Arrays in, arrays out; no file, no graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from numpy.typing import NDArray
from torch import Tensor

from mmsr_geo.engine.flags import FlagRules, ValidRange, within_range
from mmsr_geo.engine.model import Model, Predictor
from mmsr_geo.geometry import Halo, Scale, Tile, Window
from mmsr_geo.network.degradation import (
    BICUBIC_SUPPORT_PX,
    CONSISTENCY_SUPPORT_PX,
    FILL_PX,
    bicubic,
    fill_nodata,
    make_consistent,
    nearest,
)
from mmsr_geo.network.device import deterministic_float32, resolve_device
from mmsr_geo.network.intervals import Interval
from mmsr_geo.network.samples import Sample
from mmsr_geo.raster.base import Pixels

_LARGEST = torch.finfo(torch.float32).max
"""Beside values near it an interpolation swings beyond what a target can hold."""
FEATHER_PX = 2
"""Half of the target pixels over which a prediction fades into the interpolation beside a hole in the guide: as many as
leave no edge to be seen; more cost detail (docs/decisions/007-feathering-at-guide-gaps.md)."""


@dataclass(frozen=True, slots=True)
class TargetTile:
    """A tile's target and what is to be known of it."""

    values: NDArray[np.float32]
    """(H, W) in the source's units, NaN where the source is a hole."""
    qa: NDArray[np.uint8]
    """(H, W) bits of `Flag`."""
    uncertainty: NDArray[np.float32] | None = None
    """(H, W) half of the 90 % interval's width in the source's units, NaN in holes and where none is known; None where
    none was asked for."""


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


def halo_of(receptive_field: Halo, scale: Scale, *, consistent: bool = True) -> Halo:
    """Return what a tile must read around itself, in source pixels.

    A prediction depends on the source and the guide as far as the model reaches, or as far as a bicubic interpolation
    does where the guide is missing, and on where the guide is missing as far as it is feathered. A target that is made
    consistent depends on the prediction CONSISTENCY_SUPPORT_PX around it, in addition.
    """
    around = CONSISTENCY_SUPPORT_PX if consistent else 0
    return Halo(
        *(
            around + max(side, BICUBIC_SUPPORT_PX + FILL_PX, math.ceil(2 * FEATHER_PX / factor))
            for side, factor in ((receptive_field.y, scale.y), (receptive_field.x, scale.x))
        )
    )


@dataclass(frozen=True, slots=True, eq=False)
class _TileTensors:
    """What comes of a window, on a device."""

    values: Tensor
    flags: Tensor
    uncertainty: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Upsampler:
    """A model at work on a device: the function that turns a tile's pixels into its target."""

    model: Model
    predictor: Predictor
    device: torch.device
    consistent: bool = True
    """Whether the prediction is corrected so that its block means are the source."""
    quality: FlagRules = field(default_factory=FlagRules)
    """What decides the flags, and the range that the target shall lie in."""
    uncertainty: bool = False
    """Whether it is asked how far the target may be off."""
    interval: Interval | None = None
    """What that is told by, in the source's units; None: it is not known."""

    @classmethod
    def of(  # noqa: PLR0913  (a model, and how it is used)
        cls,
        model: Model,
        device: str = "auto",
        *,
        consistent: bool = True,
        quality: FlagRules | None = None,
        uncertainty: bool = False,
        interval: Interval | None = None,
    ) -> Upsampler:
        """Put the model to work on `device`: auto (a GPU where there is one), cpu, cuda or cuda:N."""
        where = resolve_device(device)
        return cls(model, model.predictor(where), where, consistent, quality or FlagRules(), uncertainty, interval)

    @property
    def halo(self) -> Halo:
        """What a tile must read around itself, in source pixels."""
        return halo_of(self.model.receptive_field, self.model.scale, consistent=self.consistent)

    def upsample(self, tile: Tile, source: Pixels, guide: Pixels) -> TargetTile:
        """Return the target of a tile's core.

        source: (1, h, w) of tile.read; guide: (C, h * scale.y, w * scale.x) of the same place on the target grid.
        Where the memory of the device does not hold the window it is halved, as often as it takes; the result is the
        same, because a part of a tile is a tile.
        """
        return self._by_parts(tile, sample_of(source, guide, tile.read.row, tile.read.col), self._upsample_window)

    def predict(self, tile: Tile, source: Pixels, guide: Pixels) -> TargetTile:
        """Return the prediction of a tile's core before it is made consistent or masked.

        Where the guide is a hole it is the bicubic interpolation. What is to be blended with its neighbours comes from
        here; `finish` makes a target of it.
        """
        return self._by_parts(tile, sample_of(source, guide, tile.read.row, tile.read.col), self._predict_window)

    def _by_parts(self, tile: Tile, sample: Sample, work: Callable[[Sample, Window], _TileTensors]) -> TargetTile:
        """Put together what comes of the parts of a tile's core, each as large as the device's memory holds."""
        shape = tile.core.refined(self.model.scale).shape
        uncertainty = np.full(shape, np.nan, np.float32) if self.uncertainty else None
        tiled = TargetTile(np.empty(shape, np.float32), np.empty(shape, np.uint8), uncertainty)
        for part, made in self._parts(tile, sample, work):
            place = part.relative_to(tile.core).refined(self.model.scale).slices
            tiled.values[place] = made.values.float().cpu().numpy()
            tiled.qa[place] = made.flags.cpu().numpy()
            if uncertainty is not None and made.uncertainty is not None:
                uncertainty[place] = made.uncertainty.float().cpu().numpy()
        return tiled

    def _parts(
        self, tile: Tile, sample: Sample, work: Callable[[Sample, Window], _TileTensors]
    ) -> Iterator[tuple[Window, _TileTensors]]:
        parts = [tile.core]
        while parts:
            part = parts.pop()
            read = part.padded(self.halo, tile.read)
            try:
                cut = sample.cut(read.relative_to(tile.read), self.model.scale)
                with deterministic_float32(self.device):
                    made = work(cut.to(self.device), part.relative_to(read))
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error) or part.shape == (1, 1):
                    raise
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                parts.extend(_halves(part))
                continue
            yield part, made

    @torch.inference_mode()
    def _upsample_window(self, sample: Sample, core: Window) -> _TileTensors:
        """Return the target of `core`, a window in source pixels of the sample, float64, and what is known of it."""
        scale, guided = self.model.scale, self._guided(sample)
        flags = self.quality.flags(sample, core, scale, guided)
        if not bool(sample.source_valid[core.slices].any()):
            return _TileTensors(torch.full(core.refined(scale).shape, torch.nan), flags)
        prediction = self._prediction(sample, guided)
        limits = self.quality.valid_range
        target = finish(prediction, sample, scale, core, consistent=self.consistent, valid_range=limits)
        if not self.uncertainty or self.interval is None:
            return _TileTensors(target, flags)
        # What asks no guide here is the interpolation, which stands in for a model whose guide was no help.
        share = torch.zeros_like(prediction) if guided is None else guided
        half = self.interval.half_width(prediction, filled_source(sample), share, scale)[core.refined(scale).slices]
        return _TileTensors(target, flags, half.masked_fill(target.isnan(), torch.nan))

    @torch.inference_mode()
    def _predict_window(self, sample: Sample, core: Window) -> _TileTensors:
        guided = self._guided(sample)
        flags = self.quality.flags(sample, core, self.model.scale, guided)
        return _TileTensors(self._prediction(sample, guided)[core.refined(self.model.scale).slices], flags)

    def _guided(self, sample: Sample) -> Tensor | None:
        """Return (H, W) in 0..1: how much of each pixel is to be the model's word; None where it asks no guide."""
        return feathered(sample.guide_valid) if self.model.uses_guide else None

    def _prediction(self, sample: Sample, guided: Tensor | None) -> Tensor:
        """Return (H, W) float64: the model's word, faded into the bicubic interpolation where it has none."""
        if guided is None or bool((guided == 1).all()):
            return self.predictor(sample)
        smooth = bicubic(filled_source(sample), self.model.scale)
        return smooth + guided * (self.predictor(sample) - smooth) if bool(guided.any()) else smooth


def feathered(known: Tensor) -> Tensor:
    """Return (H, W) float64 in 0..1: 0 where `known` (bool) is False, rising to 1 over 2 * FEATHER_PX pixels."""
    if bool(known.all()):
        return known.double()
    side = 2 * FEATHER_PX + 1
    missing = (~known).double()[None, None]
    kept = 1 - F.max_pool2d(missing, side, stride=1, padding=FEATHER_PX)
    weights = F.avg_pool2d(F.pad(kept, (FEATHER_PX,) * 4, mode="replicate"), side, stride=1)[0, 0]
    # A mean of ones need not be 1 to the last bit.
    return torch.where(weights > 1 - 1e-9, 1.0, weights)


def finish(  # noqa: PLR0913  (a prediction, and all that is asked of the target)
    prediction: Tensor,
    sample: Sample,
    scale: Scale,
    core: Window,
    *,
    consistent: bool,
    valid_range: ValidRange | None = None,
) -> Tensor:
    """Make a prediction the target of `core`: within the range, consistent if asked for, NaN in the source's holes.

    prediction: (H, W) of the whole sample. Returns (H, W) float64 of the core, a window in source pixels of the sample.
    """
    valid, source = sample.source_valid, filled_source(sample)
    if valid_range is not None:
        prediction = prediction.clamp(*valid_range)
    if consistent:
        prediction = make_consistent(prediction, source, valid, scale)
    target = prediction[core.refined(scale).slices].double()
    if valid_range is None and bool((target.abs() > _LARGEST).any()):
        valid_range = -_LARGEST, _LARGEST
    if consistent and valid_range is not None:
        target = within_range(target, source[core.slices], valid[core.slices], scale, valid_range)
    elif valid_range is not None:
        target = target.clamp(*valid_range)
    return target.masked_fill(~nearest(valid[core.slices], scale), torch.nan)


def filled_source(sample: Sample) -> Tensor:
    """Return the sample's source, (h, w) float64, its holes filled from beside them as far as interpolations look."""
    zero = torch.zeros((), dtype=torch.float64, device=sample.source.device)
    return fill_nodata(torch.where(sample.source_valid, sample.source.double(), zero), sample.source_valid)


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
