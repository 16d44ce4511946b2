"""Several rasters on one grid as one raster with all their bands; reads nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from mmsr_geo.geometry import Window
from mmsr_geo.raster.base import BandTags, Pixels, Raster, ReadPlan
from mmsr_geo.raster.views.base import joined


@dataclass(frozen=True, slots=True)
class Stacked:
    """The bands of several rasters on one grid; a pixel that is nodata in one of them is nodata in all."""

    rasters: tuple[Raster, ...]

    @property
    def grid(self) -> GeoBox:
        """The grid of all rasters."""
        return self.rasters[0].grid

    @property
    def bands(self) -> tuple[str, ...]:
        """The descriptions of all bands; with the names of their rasters if two bands have the same description."""
        names = [band for raster in self.rasters for band in raster.bands]
        if len(set(names)) == len(names):
            return tuple(names)
        return tuple(f"{raster.name}:{band}" for raster in self.rasters for band in raster.bands)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The number of each band in its own raster, so that numbers may repeat."""
        return tuple(number for raster in self.rasters for number in raster.numbers)

    @property
    def band_tags(self) -> tuple[BandTags, ...]:
        """The metadata of each band."""
        return tuple(tags for raster in self.rasters for tags in raster.band_tags)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype that holds the values of all rasters."""
        return np.result_type(*(raster.dtype for raster in self.rasters))

    @property
    def nodata(self) -> float | None:
        """The nodata value of the first raster."""
        return self.rasters[0].nodata

    @property
    def name(self) -> str:
        """The names of all rasters, each once."""
        return ", ".join(dict.fromkeys(raster.name for raster in self.rasters))

    def read_plan(self, window: Window) -> ReadPlan:
        """Return the reads that a window needs from each raster."""
        return joined([raster.read_plan(window) for raster in self.rasters], _stack)

    def read(self, window: Window) -> Pixels:
        """Read a window at once."""
        return self.read_plan(window).execute()


def _stack(parts: Sequence[Pixels]) -> Pixels:
    return Pixels.masked(np.concatenate([part.values for part in parts]))


def band_choices(rasters: Sequence[Raster]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the names and the numbers by which options call the bands of some rasters.

    The numbers are the bands' own where there is one raster, and count through all bands where there are several.
    """
    bands = Stacked(tuple(rasters)).bands
    return bands, rasters[0].numbers if len(rasters) == 1 else tuple(range(1, len(bands) + 1))
