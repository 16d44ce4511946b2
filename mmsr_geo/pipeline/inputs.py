"""What a user says of the inputs beside the rasters themselves, and the pair that comes of both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from os import PathLike, fspath
from typing import Any, TypeAlias, get_args

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from mmsr_geo.engine.pair import MIN_COVERAGE, Pair
from mmsr_geo.errors import OptionError
from mmsr_geo.options import Bounds, OnGrid, ScaleLike
from mmsr_geo.raster.base import Raster
from mmsr_geo.raster.grids import like_grid, refuse_seam, window_grid
from mmsr_geo.raster.inspect.sensors import coarsening, resolution_of
from mmsr_geo.raster.read.arrays import ArrayRaster, array_name
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.read.open import OneGuide, open_guides, open_source
from mmsr_geo.raster.views.coarsen import Coarsened
from mmsr_geo.raster.views.derived_bands import Derivation
from mmsr_geo.raster.views.guides import Guides
from mmsr_geo.raster.views.mask import Masked, MaskLike, open_mask
from mmsr_geo.spelling import option

SourceLike = str | PathLike[str] | xr.DataArray
GuideLike: TypeAlias = "OneGuide | Sequence[OneGuide]"
LikeLike = str | PathLike[str] | xr.DataArray | GeoBox | float | tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """How the rasters are to be taken."""

    bounds: Bounds | None = None
    min_coverage: float = MIN_COVERAGE
    source_resolution: float | str | None = None
    grid: OnGrid = "source"
    guide_band: Sequence[str | int] | str | int = ()
    derive: Sequence[str] | str = ()
    source_mask: MaskLike | None = None
    guide_mask: MaskLike | None = None
    mask_share: float = 0.5
    source_nodata: float | None = None
    guide_nodata: float | None = None
    valid_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Refuse what no raster can be taken by."""
        if self.grid not in get_args(OnGrid):
            raise OptionError(f"grid is source or guide, not {self.grid!r}: for another grid give like=")
        for name in ("min_coverage", "mask_share"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise OptionError(f"{option(name)} is a share from 0 to 1, not {value:g}")
        for name in ("guide_band", "derive"):
            value = getattr(self, name)
            several = (value,) if isinstance(value, str | int | np.integer) else tuple(value)
            object.__setattr__(self, name, tuple(each if isinstance(each, str) else int(each) for each in several))
        for name, count, shape in (("bounds", 4, "west, south, east, north"), ("valid_range", 2, "least, largest")):
            value = getattr(self, name)
            if value is not None and len(value) != count:
                raise OptionError(f"{name}= takes {count} numbers ({shape}), not {len(value)}")
            object.__setattr__(self, name, None if value is None else tuple(map(float, value)))
        for name in ("source_nodata", "guide_nodata", "mask_share", "min_coverage"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else float(value))
        if self.valid_range is not None:
            low, high = self.valid_range
            if math.isnan(low) or math.isnan(high) or not low < high:
                raise OptionError(
                    f"{option('valid_range')} is the least value and the largest, as in 0,60, not {low:g},{high:g}"
                )

    @property
    def description(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON values; an array goes by its name."""
        said = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, xr.DataArray) or value != each.default:
                said[each.name] = _plain(value)
        return said

    def source(self, source: SourceLike, band: int | None = None) -> Raster:
        """Open a source of one band."""
        return self.taken(open_source(source, band, nodata=self.source_nodata))

    def taken(self, source: Raster) -> Raster:
        """Return an opened source masked, and in pixels as coarse as what it shows."""
        if self.source_mask is not None:
            source = Masked(source, open_mask(self.source_mask), self.mask_share)
        if self.source_resolution is not None:
            down, across = coarsening(source.grid, resolution_of(self.source_resolution))
            if max(down, across) > 1:
                source = Coarsened(source, down, across, self.mask_share)
        return source

    def guides(self, guide: GuideLike) -> Guides:
        """Open the guides with their masks and what is derived of them."""
        rasters = open_guides(guide, guide_band=self.guide_band, guide_nodata=self.guide_nodata)
        masks = () if self.guide_mask is None else (open_mask(self.guide_mask),)
        derived = tuple(Derivation.parse(text) for text in self.derive)
        return Guides(rasters, masks, self.mask_share, derived)

    def pair(self, source: Raster, guide: GuideLike | Guides, scale: ScaleLike) -> Pair:
        """Bring an opened source and its guides together."""
        pair = Pair.of(
            source,
            guide if isinstance(guide, Guides) else self.guides(guide),
            scale,
            bounds=self.bounds,
            min_coverage=self.min_coverage,
            grid=self.grid,
            valid_range=self.valid_range,
        )
        for mask in (self.source_mask, self.guide_mask):
            if mask is not None:
                refuse_seam(window_grid(pair.source.grid, pair.part), open_mask(mask).raster.grid, "mask")
        return pair


def grid_like(like: LikeLike, target_grid: GeoBox) -> GeoBox:
    """Return the grid that a target shall be brought onto: a raster's, a GeoBox, or a resolution in the target's CRS.

    Raises InputError and GridError for a raster that cannot be taken, OptionError for what is no resolution.
    """
    match like:
        case GeoBox():
            return like
        case xr.DataArray():
            return ArrayRaster.of(like, quantity=False).grid
        case str() | PathLike():
            return FileRaster.open(like, quantity=False).grid
        case _:
            return like_grid(target_grid, like)


def _plain(value: object) -> Any:  # noqa: ANN401  (JSON values)
    if isinstance(value, xr.DataArray):
        return array_name(value)
    if isinstance(value, PathLike):
        return fspath(value)
    return list(value) if isinstance(value, tuple) else value
