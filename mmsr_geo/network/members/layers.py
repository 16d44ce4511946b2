"""What the members of an ensemble predict from: a source and an aligned guide with its features, in common units."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor

from mmsr_geo.geometry import LARGEST_SCALE, Scale
from mmsr_geo.network.degradation import degrade_valid, fill_nodata
from mmsr_geo.network.guide_check import reduce_sample
from mmsr_geo.network.samples import FARTHEST, Sample, Statistics
from mmsr_geo.network.variational.gaussian import moved, radius_px, smoothed
from mmsr_geo.network.variational.guide_weights import Whitening

Features = Literal["linear", "squares", "waves"]
"""Features of a guide: see `Layers.features`."""
WINSORISED = 0.001
"""Fraction of a band's values at each end that is cut to the quantile."""
FREE_PX = 4
"""Source pixels around valid ones within which nodata has no value to keep."""
MOST_COLUMNS = 2**18
"""Largest number of pixels whose waves are measured; of more, every n-th."""
WAVES = 60
"""Number of random Fourier features."""
NEUTRAL = 1e-12
"""Least spread of a feature: one that does not vary stays 0."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """How a guide is blurred and moved before it is compared with a source."""

    blur_px: float = 0.0
    """Standard deviation of a Gaussian, in target pixels."""
    shift_px: tuple[float, float] = (0.0, 0.0)
    """Rows and columns by which the guide is moved, in target pixels."""

    @property
    def reach_px(self) -> tuple[float, float]:
        """Target pixels around a pixel, down and across, that its aligned guide depends on."""
        down, across = (radius_px(self.blur_px) + abs(shift) for shift in self.shift_px)
        return down, across

    @property
    def sentence(self) -> str:
        """What happens to the guide, in words."""
        down, across = self.shift_px
        done = [f"blurred by {self.blur_px:g} target pixels"] if self.blur_px else []
        done += [f"moved {down:g} rows down and {across:g} columns right"] if (down, across) != (0, 0) else []
        return ", ".join(done) or "as it is"

    def moved_mask(self, valid: Tensor) -> Tensor:
        """Return where the moved guide depends on valid pixels alone, (H, W) bool."""
        return moved(valid.double(), self.shift_px) == 1 if any(self.shift_px) else valid

    def applied(self, sample: Sample) -> Sample:
        """Return a sample with its guide moved and blurred, in float32."""
        if self == AS_IT_IS:
            return sample
        valid = self.moved_mask(sample.guide_valid)
        guide = torch.where(sample.guide_valid, sample.guide, torch.zeros_like(sample.guide)).double()
        guide = smoothed(moved(guide, self.shift_px), valid, self.blur_px).float()
        return replace(sample, guide=guide, guide_valid=valid)


AS_IT_IS = Alignment()
"""The alignment that leaves a guide as it is."""


@dataclass(frozen=True, slots=True, eq=False)
class Standard:
    """Centre and spread of features over a raster."""

    centre: Tensor
    """(K,) float64."""
    spread: Tensor
    """(K,) float64."""

    @classmethod
    def of(cls, columns: Tensor) -> Self:
        """Return those of (K, n) values."""
        return cls(columns.mean(dim=1), columns.std(dim=1, correction=0) + NEUTRAL)

    def __call__(self, features: Tensor, valid: Tensor) -> Tensor:
        """Return features (K, H, W) in these units, 0 where they are not valid."""
        scaled = (features - self.centre[:, None, None]) / self.spread[:, None, None]
        return torch.where(valid, scaled, torch.zeros((), dtype=scaled.dtype, device=scaled.device))


@dataclass(frozen=True, slots=True, eq=False)
class GuideScaling:
    """How a guide in standard deviations becomes features and channels; a property of the whole raster.

    It has no units, so that it serves another date with the statistics of that date.
    """

    low: Tensor
    """(C,) float64: least value of each band; lower ones are cut."""
    high: Tensor
    """(C,) float64: largest value of each band."""
    squares: Standard
    """Of the squared bands."""
    frequencies: Tensor
    """(WAVES, C) float64 of the random Fourier features."""
    phases: Tensor
    """(WAVES,) float64."""
    waves: Standard
    """Of the random Fourier features."""
    whitening: Whitening
    strong_whitening: Whitening
    """With the power 0.75."""

    @classmethod
    def of(cls, samples: Sequence[Sample], statistics: Statistics, generator: torch.Generator) -> Self:
        """Measure the scaling on samples of a pair."""
        masks = [sample.guide_valid for sample in samples]
        guides = [statistics.normalise_guide(sample.guide, mask) for sample, mask in zip(samples, masks, strict=True)]
        columns = torch.cat([guide[:, mask] for guide, mask in zip(guides, masks, strict=True)], dim=1).double()
        ends = np.quantile(columns.cpu().numpy(), (WINSORISED, 1 - WINSORISED), axis=1)
        low, high = (torch.from_numpy(end).to(columns.device) for end in ends)
        cut = columns.clamp(low[:, None], high[:, None])
        count = len(cut)
        frequencies = torch.randn(WAVES, count, generator=generator, dtype=torch.float64).to(columns) / math.sqrt(count)
        phases = 2 * math.pi * torch.rand(WAVES, generator=generator, dtype=torch.float64).to(columns)
        return cls(
            low,
            high,
            Standard.of(cut.square()),
            frequencies,
            phases,
            Standard.of(torch.cos(frequencies @ cut[:, :: math.ceil(cut.shape[1] / MOST_COLUMNS)] + phases[:, None])),
            Whitening.of(guides, masks),
            Whitening.of(guides, masks, power=0.75),
        )

    def cut(self, guide: Tensor) -> Tensor:
        """Return a guide (C, H, W) in standard deviations, cut at the ends of each band."""
        return guide.double().clamp(self.low[:, None, None], self.high[:, None, None])

    def layers(
        self,
        sample: Sample,
        statistics: Statistics,
        scale: Scale,
        alignment: Alignment,
        features: Collection[Features] = get_args(Features),
    ) -> Layers:
        """Return the layers of a sample.

        Args:
            sample: Source and guide in their own units.
            statistics: Centre and spread of source and guide.
            scale: Target pixels per source pixel.
            alignment: How the guide is moved and blurred.
            features: Features that the members need; waves are 60 layers.
        """
        valid = alignment.moved_mask(sample.guide_valid)
        guide = moved(statistics.normalise_guide(sample.guide, sample.guide_valid).double(), alignment.shift_px)
        linear = self.cut(guide) * valid
        made: dict[Features, Tensor] = {"linear": linear}
        if "squares" in features:
            made["squares"] = self.squares(linear.square(), valid)
        if "waves" in features:
            waves = torch.tensordot(self.frequencies, linear, dims=1).add_(self.phases[:, None, None]).cos_()
            made["waves"] = self.waves(waves, valid)
        for group in made.values():
            for layer in group:  # one after the other: a copy of 60 waves takes 500 bytes a pixel
                layer.copy_(smoothed(layer, valid, alignment.blur_px))
        return Layers(
            scale,
            filled_source(sample, statistics),
            sample.source_valid,
            guide,
            valid,
            made,
            alignment.blur_px,
        )


def _averaged(source: Tensor, valid: Tensor, step: Scale) -> tuple[Tensor, Tensor]:
    """Return a source averaged by a step, its nodata filled, and where all of its pixels are valid."""
    means, known = reduce_sample(source, valid, step)
    return fill_nodata(torch.where(known, means, torch.zeros_like(means)), known, 2 * FREE_PX), known


def coarser_step(scale: Scale) -> Scale:
    """Return by what a source is averaged to compare members: 2, and 1 along a side that is not refined."""
    return Scale(min(2, scale.y), min(2, scale.x))


def filled_source(sample: Sample, statistics: Statistics) -> Tensor:
    """Return a sample's source (h, w) float64 in standard deviations, cut at FARTHEST, nodata filled."""
    source = statistics.centred_source(sample.source).clamp(-FARTHEST, FARTHEST)
    source = torch.where(sample.source_valid, source, torch.zeros_like(source))
    return fill_nodata(source, sample.source_valid, 2 * FREE_PX)


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """A window of a pair, in common units."""

    scale: Scale
    source: Tensor
    """(h, w) float64 in its standard deviations, nodata filled."""
    source_valid: Tensor
    """(h, w) bool."""
    guide: Tensor
    """(C, H, W) float64 in standard deviations, moved."""
    valid: Tensor
    """(H, W) bool: where the guide is valid."""
    features: Mapping[Features, Tensor]
    """(K, H, W) float64 each, moved and blurred: linear, the bands in standard deviations; squares, of the bands,
    blurred after squaring; waves, random Fourier features of the bands."""
    blur_px: float = 0.0
    """Blur of the features, in target pixels."""

    @property
    def held(self) -> Tensor:
        """(h, w) bool: source pixels whose value a target keeps: valid ones, and nodata beyond FREE_PX of them.

        Nodata near valid pixels is free. Farther away it is held at what it is filled with: a wide gap that is free
        takes hundreds of steps, and does not matter to any valid pixel.
        """
        near = F.max_pool2d(self.source_valid.double()[None, None], 2 * FREE_PX + 1, stride=1, padding=FREE_PX)[0, 0]
        return self.source_valid | (near == 0)

    @property
    def known(self) -> Tensor:
        """(h, w) bool: source pixels that are valid and half covered by a valid guide."""
        _, share = degrade_valid(self.valid.double(), self.valid, self.scale)
        return self.source_valid & (share > 0.5)

    def coarser(self) -> Layers | None:
        """Return the layers with the source averaged by `coarser_step`, the guide as it is; None where that is too far.

        That is beyond LARGEST_SCALE, or where less than two source pixels would be left along a side.
        """
        step = coarser_step(self.scale)
        down, across = step.y * self.scale.y, step.x * self.scale.x
        sides = (side // factor for side, factor in zip(self.source.shape, (step.y, step.x), strict=True))
        if max(down, across) > LARGEST_SCALE or min(sides) < 2:
            return None
        source, valid = _averaged(self.source, self.source_valid, step)
        rows, columns = slice(0, len(source) * down), slice(0, source.shape[1] * across)
        return replace(
            self,
            scale=Scale(down, across),
            source=source,
            source_valid=valid,
            guide=self.guide[:, rows, columns],
            valid=self.valid[rows, columns],
            features={name: layers[:, rows, columns] for name, layers in self.features.items()},
        )

    def reduced(self, step: Scale) -> Layers:
        """Return the layers at reduced resolution: the guide averaged to the source grid, the source by a step."""
        source, valid = _averaged(self.source, self.known, step)
        rows, columns = slice(0, len(source) * step.y), slice(0, source.shape[1] * step.x)

        def averaged(layers: Tensor) -> Tensor:
            return degrade_valid(layers, self.valid, self.scale)[0][:, rows, columns]

        return Layers(
            step,
            source,
            valid,
            averaged(self.guide),
            self.known[rows, columns],
            {name: averaged(layers) for name, layers in self.features.items()},
        )
