"""Base of rasters that are derived from other rasters, window by window; reads nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from mmsr_geo.geometry import Window
from mmsr_geo.raster.base import BandTags, Combine, Pixels, Raster, ReadPlan


class RasterView:
    """Base of rasters derived from one other raster: delegates its metadata."""

    raster: Raster
    __slots__ = ()

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands' descriptions."""
        return self.raster.bands

    @property
    def numbers(self) -> tuple[int, ...]:
        """The bands' numbers."""
        return self.raster.numbers

    @property
    def band_tags(self) -> tuple[BandTags, ...]:
        """The metadata of each band."""
        return self.raster.band_tags

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype in which the values are stored."""
        return self.raster.dtype

    @property
    def nodata(self) -> float | None:
        """The declared nodata value; None if there is none."""
        return self.raster.nodata

    @property
    def name(self) -> str:
        """The name in messages."""
        return self.raster.name

    def read_plan(self, window: Window) -> ReadPlan:
        """Return the reads that a window needs, and how they are combined."""
        raise NotImplementedError

    def read(self, window: Window) -> Pixels:
        """Read a window at once."""
        return self.read_plan(window).execute()


def joined(plans: Sequence[ReadPlan], combine: Combine) -> ReadPlan:
    """Return one plan for several: all their reads, and a function that combines their windows into one."""
    counts = tuple(len(plan.reads) for plan in plans)
    reads = tuple(read for plan in plans for read in plan.reads)
    return ReadPlan(reads, _Join(counts, tuple(plan.combine for plan in plans), combine))


@dataclass(frozen=True, slots=True)
class _Join:
    counts: tuple[int, ...]
    combines: tuple[Combine, ...]
    combine: Combine

    def __call__(self, parts: Sequence[Pixels]) -> Pixels:
        rest = iter(parts)
        return self.combine(
            [combine(list(islice(rest, count))) for combine, count in zip(self.combines, self.counts, strict=True)]
        )
