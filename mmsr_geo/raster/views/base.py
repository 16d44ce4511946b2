"""Rasters made of rasters, window by window: on another grid, one above the other; reads nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from mmsr_geo.geometry import Window
from mmsr_geo.raster.base import BandTags, Combine, Pixels, Raster, ReadPlan


class RasterView:
    """What rasters that are made of one other have of it, unless they say otherwise."""

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
        """What each band carries."""
        return self.raster.band_tags

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype it is stored in."""
        return self.raster.dtype

    @property
    def nodata(self) -> float | None:
        """The nodata value it declares."""
        return self.raster.nodata

    @property
    def name(self) -> str:
        """What a message calls it."""
        return self.raster.name

    def read_plan(self, window: Window) -> ReadPlan:
        """Return what a window takes."""
        raise NotImplementedError

    def read(self, window: Window) -> Pixels:
        """Read a window, here and now."""
        return self.read_plan(window).execute()


def joined(needs: Sequence[ReadPlan], combine: Combine) -> ReadPlan:
    """Return what several needs take together, and what makes one window of their pixels."""
    counts = tuple(len(read_plan.reads) for read_plan in needs)
    reads = tuple(read for read_plan in needs for read in read_plan.reads)
    return ReadPlan(reads, _Join(counts, tuple(read_plan.combine for read_plan in needs), combine))


@dataclass(frozen=True, slots=True)
class _Join:
    counts: tuple[int, ...]
    makes: tuple[Combine, ...]
    combine: Combine

    def __call__(self, parts: Sequence[Pixels]) -> Pixels:
        rest = iter(parts)
        return self.combine(
            [make(list(islice(rest, count))) for make, count in zip(self.makes, self.counts, strict=True)]
        )
