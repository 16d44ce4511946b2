"""Parts of a pair with their masks, and the statistics that bring them to the network's units; tensors only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsr_geo.errors import PixelError
from mmsr_geo.geometry import Scale, Window
from mmsr_geo.network.degradation import fill_nodata

TAIL = 0.01
"""Fraction of the values at each end that is cut before a mean and a standard deviation are taken."""
FARTHEST = 1e4
"""Largest distance from the centre, in spreads, that the network is shown."""
LARGEST_STATISTICS_SAMPLE = 4_000_000
"""Largest number of values that quantiles are taken of; of more, every n-th."""


NOTHING_IN_COMMON = "source and guide have no valid pixel in common"
"""Refusal of a pair without a pixel that is valid in both."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One part of a pair, in the rasters' own units."""

    source: Tensor
    """(h, w) float32; values of invalid pixels are ignored and may be NaN."""
    source_valid: Tensor
    """(h, w) bool."""
    guide: Tensor
    """(C, h * scale.y, w * scale.x) float32; values of invalid pixels are ignored and may be NaN."""
    guide_valid: Tensor
    """(h * scale.y, w * scale.x) bool."""
    row: int = 0
    """Row of the first source pixel in the raster."""
    col: int = 0
    """Column of the first source pixel in the raster."""
    bridged: Tensor | None = None
    """(h * scale.y, w * scale.x) bool: valid guide pixels that are filled from those around them; None: there are
    none."""

    def to(self, device: torch.device) -> Sample:
        """Return the sample on a device."""
        return Sample(
            self.source.to(device),
            self.source_valid.to(device),
            self.guide.to(device),
            self.guide_valid.to(device),
            self.row,
            self.col,
            None if self.bridged is None else self.bridged.to(device),
        )

    def cut(self, window: Window, scale: Scale) -> Sample:
        """Return a part of the sample; the window is in source pixels, counted from the sample's corner."""
        rows, columns = window.slices
        target_rows, target_columns = window.refined(scale).slices
        return Sample(
            self.source[rows, columns],
            self.source_valid[rows, columns],
            self.guide[:, target_rows, target_columns],
            self.guide_valid[target_rows, target_columns],
            self.row + window.row,
            self.col + window.col,
            None if self.bridged is None else self.bridged[target_rows, target_columns],
        )


@dataclass(frozen=True, slots=True)
class Statistics:
    """Centre and spread of a pair's bands; global, so that every tile is treated alike."""

    source_centre: float
    source_spread: float
    guide_centre: tuple[float, ...]
    guide_spread: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse values that are not finite, and spreads of 0 or less (ValueError)."""
        centres, spreads = (self.source_centre, *self.guide_centre), (self.source_spread, *self.guide_spread)
        if len(centres) != len(spreads) or not all(map(math.isfinite, (*centres, *spreads))) or min(spreads) <= 0:
            msg = f"statistics need a finite centre and a spread above 0 for each band, not {centres} and {spreads}"
            raise ValueError(msg)

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Statistics:
        """Return mean and standard deviation of the valid values, the outer 1 % at each end cut to the quantile.

        A band without variation gets a spread of 1, or of its own value where that is smaller.

        Raises:
            PixelError: The samples hold no valid source pixel, or no valid guide pixel.
        """
        source = torch.cat([sample.source[sample.source_valid] for sample in samples])
        guide = torch.cat([sample.guide[:, sample.guide_valid] for sample in samples], dim=1)
        if source.numel() == 0:
            raise PixelError("the source holds no valid pixel where it was sampled: check its nodata value")
        if guide.numel() == 0:
            raise PixelError("the guide holds no valid pixel where the source was sampled: check its nodata value")
        source_centre, source_spread = _centre_and_spread(source)
        centres, spreads = zip(*(_centre_and_spread(band) for band in guide), strict=True)
        return cls(source_centre, source_spread, centres, spreads)

    def normalise_source(self, source: Tensor, valid: Tensor) -> Tensor:
        """Return a source (h, w) in the network's units, float32, nodata filled from neighbours.

        Values are cut at FARTHEST: squares of 1e30 would leave nothing finite to learn from.
        """
        centred = torch.where(valid, self.centred_source(source), torch.zeros((), dtype=torch.float64))
        return fill_nodata(centred.clamp(-FARTHEST, FARTHEST).float(), valid)

    def centred_source(self, source: Tensor) -> Tensor:
        """Return a source (h, w) in the network's units, float64, neither cut nor filled."""
        return (source.double() - self.source_centre) / self.source_spread

    def normalise_guide(self, guide: Tensor, valid: Tensor) -> Tensor:
        """Return a guide (C, H, W) in the network's units, float32, cut at FARTHEST, 0 where invalid."""
        centre = torch.tensor(self.guide_centre, device=guide.device)[:, None, None]
        spread = torch.tensor(self.guide_spread, device=guide.device)[:, None, None]
        normalised = ((guide - centre) / spread).clamp(-FARTHEST, FARTHEST)
        return torch.where(valid, normalised, torch.zeros((), device=guide.device))


def guide_range(samples: Sequence[Sample], statistics: Statistics) -> tuple[tuple[float, float], ...]:
    """Return the least and largest valid value of each guide band in the samples, in the network's units."""
    bands = zip(
        *(statistics.normalise_guide(s.guide, s.guide_valid)[:, s.guide_valid] for s in samples if s.guide_valid.any()),
        strict=True,
    )
    return tuple((min(float(v.min()) for v in parts), max(float(v.max()) for v in parts)) for parts in bands)


def _centre_and_spread(values: Tensor) -> tuple[float, float]:
    values = values[:: math.ceil(values.numel() / LARGEST_STATISTICS_SAMPLE)].double()
    count = values.numel()
    ranks = sorted((max(1, round(TAIL * count)), min(count, round((1 - TAIL) * count) + 1)))
    low, high = (float(values.kthvalue(rank).values) for rank in ranks)
    cut = values.clamp(low, high)
    spread = float(cut.std(correction=0)) or float(values.std(correction=0))
    centre = float(cut.mean())
    info = torch.finfo(torch.float32)
    if spread > max(abs(centre) * info.eps, info.tiny):
        return centre, spread
    return centre, min(abs(centre), 1.0) if abs(centre) > info.tiny else 1.0
