"""The way of one window: predict, feather, make consistent, mask, flag; arrays in, arrays out; no files, no graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
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
    degrade,
    fill_nodata,
    nearest,
)
from mmsr_geo.network.device import deterministic_float32, resolve_device
from mmsr_geo.network.guide_gaps import FEATHER_PX, faded, feathered, given_to_bridged
from mmsr_geo.network.intervals import Interval
from mmsr_geo.network.members.fitted import sensor_support_px
from mmsr_geo.network.samples import Sample
from mmsr_geo.network.sensor import PLAIN, Sensor
from mmsr_geo.network.variational.correction import kept_to_source
from mmsr_geo.network.variational.solve import Observation
from mmsr_geo.raster.base import Pixels

_LARGEST = torch.finfo(torch.float32).max
"""Largest value of a target: an interpolation overshoots it next to source values near it."""


@dataclass(frozen=True, slots=True)
class TargetTile:
    """Target of a tile, with its flags and its uncertainty."""

    values: NDArray[np.float32]
    """(H, W) in the source's units, NaN where the source has no data."""
    qa: NDArray[np.uint8]
    """(H, W) bits of `Flag`."""
    uncertainty: NDArray[np.float32] | None = None
    """(H, W) half of the 90 % interval's width in the source's units, NaN where it is not known; None if not
    requested."""


def sample_of(source: Pixels, guide: Pixels, row: int = 0, col: int = 0) -> Sample:
    """Return a window's pixels as tensors.

    Args:
        source: (1, h, w) with its mask.
        guide: (C, H, W) with its mask.
        row: First row of the window in the raster, in source pixels.
        col: First column of the window in the raster, in source pixels.
    """
    return Sample(
        source=torch.from_numpy(source.values[0]),
        source_valid=torch.from_numpy(source.valid),
        guide=torch.from_numpy(guide.values),
        guide_valid=torch.from_numpy(guide.valid),
        row=row,
        col=col,
        bridged=None if guide.bridged is None else torch.from_numpy(guide.bridged),
    )


def halo_of(receptive_field: Halo, scale: Scale, *, consistent: bool = True, sensor: Sensor = PLAIN) -> Halo:
    """Return the source pixels that a tile must read around itself.

    A prediction depends on source and guide within the receptive field, or within that of bicubic interpolation where
    the guide has a gap, and on the guide's mask within the feathered width. A target that is made consistent depends in
    addition on the prediction CONSISTENCY_SUPPORT_PX around it.
    """
    around = 0
    if consistent:
        around = CONSISTENCY_SUPPORT_PX if sensor.exact else sensor_support_px(scale)
    return Halo(
        *(
            around + max(side, BICUBIC_SUPPORT_PX + FILL_PX, math.ceil(2 * FEATHER_PX / factor))
            for side, factor in ((receptive_field.y, scale.y), (receptive_field.x, scale.x))
        )
    )


@dataclass(frozen=True, slots=True, eq=False)
class _TileTensors:
    """Result of a window, on a device."""

    values: Tensor
    flags: Tensor
    uncertainty: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Upsampler:
    """A model on a device, which turns a tile's pixels into its target."""

    model: Model
    predictor: Predictor
    device: torch.device
    consistent: bool = True
    """True if the prediction is corrected so that its block means are the source."""
    rules: FlagRules = field(default_factory=FlagRules)
    """Rules of the flags, and the valid range of the target."""
    uncertainty: bool = False
    """True if the target's uncertainty is computed."""
    interval: Interval | None = None
    """Calibrated interval that gives the uncertainty, in the source's units; None: not known."""
    correction: Sensor = PLAIN
    """How the source is seen of a corrected target, of a model whose predictions do not keep to it themselves."""

    @classmethod
    def of(  # noqa: PLR0913  (a model, and how it is used)
        cls,
        model: Model,
        device: str = "auto",
        *,
        consistent: bool = True,
        rules: FlagRules | None = None,
        uncertainty: bool = False,
        interval: Interval | None = None,
        correction: Sensor = PLAIN,
    ) -> Upsampler:
        """Return the upsampler of a model on a device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:N"."""
        resolved = resolve_device(device)
        predictor, rules = model.predictor(resolved), rules or FlagRules()
        return cls(model, predictor, resolved, consistent, rules, uncertainty, interval, correction)

    @property
    def halo(self) -> Halo:
        """Source pixels that a tile must read around itself."""
        field, scale = self.model.receptive_field, self.model.scale
        return halo_of(field, scale, consistent=self.consistent, sensor=self.correction)

    def upsample(self, tile: Tile, source: Pixels, guide: Pixels) -> TargetTile:
        """Return the target of a tile's core.

        If the window does not fit into the memory of the device, it is halved, again and again if need be. The result
        is the same, because a part of a tile is a tile.

        Args:
            tile: The tile: `core` is computed from `read`.
            source: (1, h, w) of tile.read.
            guide: (C, h * scale.y, w * scale.x) of the same window on the target grid.
        """
        return self._by_parts(tile, sample_of(source, guide, tile.read.row, tile.read.col), self._upsample_window)

    def predict(self, tile: Tile, source: Pixels, guide: Pixels) -> TargetTile:
        """Return the prediction of a tile's core, neither consistent nor masked, to be blended with its neighbours'.

        In gaps of the guide it is an interpolation. `finish` turns a blend into a target.
        """
        return self._by_parts(tile, sample_of(source, guide, tile.read.row, tile.read.col), self._predict_window)

    def _by_parts(self, tile: Tile, sample: Sample, compute: Callable[[Sample, Window], _TileTensors]) -> TargetTile:
        """Compute a tile's core in parts that fit into the device's memory."""
        shape = tile.core.refined(self.model.scale).shape
        uncertainty = np.full(shape, np.nan, np.float32) if self.uncertainty else None
        target = TargetTile(np.empty(shape, np.float32), np.empty(shape, np.uint8), uncertainty)
        for part, tensors in self._parts(tile, sample, compute):
            slices = part.relative_to(tile.core).refined(self.model.scale).slices
            target.values[slices] = tensors.values.float().cpu().numpy()
            target.qa[slices] = tensors.flags.cpu().numpy()
            if uncertainty is not None and tensors.uncertainty is not None:
                uncertainty[slices] = tensors.uncertainty.float().cpu().numpy()
        return target

    def _parts(
        self, tile: Tile, sample: Sample, compute: Callable[[Sample, Window], _TileTensors]
    ) -> Iterator[tuple[Window, _TileTensors]]:
        parts = [tile.core]
        while parts:
            part = parts.pop()
            read = part.padded(self.halo, tile.read)
            try:
                cut = sample.cut(read.relative_to(tile.read), self.model.scale)
                with deterministic_float32(self.device):
                    tensors = compute(cut.to(self.device), part.relative_to(read))
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error) or part.shape == (1, 1):
                    raise
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                parts.extend(_halves(part))
                continue
            yield part, tensors

    @torch.inference_mode()
    def _upsample_window(self, sample: Sample, core: Window) -> _TileTensors:
        """Return the float64 target of `core`, a window in source pixels of the sample, with flags and uncertainty."""
        scale, guided = self.model.scale, self._guided(sample)
        if guided is None:
            sample = replace(sample, bridged=None)  # what is not predicted from the guide does not know its gaps
        flags = self.rules.flags(sample, core, scale, guided)
        if not bool(sample.source_valid[core.slices].any()):
            return _TileTensors(torch.full(core.refined(scale).shape, torch.nan), flags)
        prediction = self._prediction(sample, guided)
        limits = self.rules.valid_range
        consistent = self.consistent and self.model.sensor.exact
        target = finish(
            prediction, sample, scale, core, consistent=consistent, valid_range=limits, sensor=self.correction
        )
        if not self.uncertainty or self.interval is None:
            return _TileTensors(target, flags)
        # A model without a guide is the interpolation that replaces a model whose guide did not help.
        weight = torch.zeros_like(prediction) if guided is None else guided
        if sample.bridged is not None:
            weight = weight.masked_fill(sample.bridged, 0.0)  # there the guide shows nothing of its own
        half = self.interval.half_width(prediction, filled_source(sample), weight, scale)[core.refined(scale).slices]
        return _TileTensors(target, flags, half.masked_fill(target.isnan(), torch.nan))

    @torch.inference_mode()
    def _predict_window(self, sample: Sample, core: Window) -> _TileTensors:
        guided = self._guided(sample)
        flags = self.rules.flags(sample, core, self.model.scale, guided)
        return _TileTensors(self._prediction(sample, guided)[core.refined(self.model.scale).slices], flags)

    def _guided(self, sample: Sample) -> Tensor | None:
        """Return the weight of the guide, (H, W) in 0..1; None if the model uses none."""
        return feathered(self.model.seen_guide(sample.guide_valid)) if self.model.uses_guide else None

    def _prediction(self, sample: Sample, guided: Tensor | None) -> Tensor:
        """Return the model's prediction, (H, W) float64, faded into bicubic interpolation where it knows no gaps."""
        if guided is None or self.model.predicts_in_gaps or bool((guided == 1).all()):
            return self.predictor(sample)
        smooth = bicubic(filled_source(sample), self.model.scale)
        return faded(self.predictor(sample), smooth, guided) if bool(guided.any()) else smooth


def finish(  # noqa: PLR0913  (a prediction, and the requirements of the target)
    prediction: Tensor,
    sample: Sample,
    scale: Scale,
    core: Window,
    *,
    consistent: bool,
    valid_range: ValidRange | None = None,
    sensor: Sensor = PLAIN,
) -> Tensor:
    """Turn a prediction into the target of a window: within the range, consistent, NaN where the source has no data.

    Args:
        prediction: (H, W) of the whole sample.
        sample: Source and guide.
        scale: Target pixels per source pixel.
        core: The window, in source pixels of the sample.
        consistent: Correct the prediction so that its block means are the source.
        valid_range: Minimum and maximum of the target.
        sensor: How the source is seen of a corrected target.

    Returns:
        (H, W) float64 of the window.
    """
    valid, source = sample.source_valid, filled_source(sample)
    if valid_range is not None:
        prediction = prediction.clamp(*valid_range)
    if consistent:
        observation = Observation.of(scale, valid, sensor)
        if observation.exact:
            missing = (source - degrade(prediction.double(), scale)).masked_fill(~valid, 0.0)
            prediction = given_to_bridged(prediction.double(), missing, sample.bridged, scale)
        prediction = kept_to_source(prediction, source, valid, observation)
    target = prediction[core.refined(scale).slices].double()
    if valid_range is None and bool((target.abs() > _LARGEST).any()):
        valid_range = -_LARGEST, _LARGEST
    if consistent and sensor.exact and valid_range is not None:
        target = within_range(target, source[core.slices], valid[core.slices], scale, valid_range)
    elif valid_range is not None:
        target = target.clamp(*valid_range)
    return target.masked_fill(~nearest(valid[core.slices], scale), torch.nan)


def filled_source(sample: Sample) -> Tensor:
    """Return the sample's source, (h, w) float64, with nodata filled from valid neighbours for interpolations."""
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
    """Return True for a full memory: torch's CPU allocator raises a RuntimeError without a class of its own."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
