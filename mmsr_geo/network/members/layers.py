"""What the members of an ensemble predict from: a source and an aligned guide with its features, in common units."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

import numpy as np
import torch
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import degrade_valid, fill_nodata
from mmsr_geo.network.guide_check import reduce_sample
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.network.variational.gaussian import moved, smoothed
from mmsr_geo.network.variational.guide_weights import Whitening

Features = Literal["linear", "squares", "waves"]
"""Features of a guide: see `Layers.features`."""
WINSORISED = 0.001
"""Fraction of a band's values at each end that is cut to the quantile."""
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

    def moved_mask(self, valid: Tensor) -> Tensor:
        """Return where the moved guide depends on valid pixels alone, (H, W) bool."""
        return moved(valid.double(), self.shift_px) == 1 if any(self.shift_px) else valid


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
            Standard.of(torch.cos(frequencies @ cut + phases[:, None])),
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


def filled_source(sample: Sample, statistics: Statistics) -> Tensor:
    """Return a sample's source (h, w) float64 in standard deviations, nodata filled."""
    source = statistics.centred_source(sample.source)
    return fill_nodata(torch.where(sample.source_valid, source, torch.zeros_like(source)), sample.source_valid)


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
    def known(self) -> Tensor:
        """(h, w) bool: source pixels that are valid and half covered by a valid guide."""
        _, share = degrade_valid(self.valid.double(), self.valid, self.scale)
        return self.source_valid & (share > 0.5)

    def coarser(self) -> Layers:
        """Return the layers with the source averaged by 2, the guide as it is: twice the scale."""
        half = Scale(2, 2)
        source, valid = reduce_sample(self.source, self.source_valid, half)
        rows, columns = slice(0, len(source) * 2 * self.scale.y), slice(0, source.shape[1] * 2 * self.scale.x)
        return replace(
            self,
            scale=Scale(2 * self.scale.y, 2 * self.scale.x),
            source=source,
            source_valid=valid,
            guide=self.guide[:, rows, columns],
            valid=self.valid[rows, columns],
            features={name: layers[:, rows, columns] for name, layers in self.features.items()},
        )

    def reduced(self, step: Scale) -> Layers:
        """Return the layers at reduced resolution: the guide averaged to the source grid, the source by a step."""
        source, valid = reduce_sample(self.source, self.known, step)
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
