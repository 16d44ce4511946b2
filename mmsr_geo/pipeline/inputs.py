"""Source and guide as options describe them: opened, masked, averaged, and brought together as a pair."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from os import PathLike, fspath
from typing import Any, TypeAlias

import xarray as xr
from odc.geo.geobox import GeoBox

from mmsr_geo.engine.pair import Pair
from mmsr_geo.errors import MmsrWarning
from mmsr_geo.options import UPSAMPLE, FileOptions, InputOptions, LikeLike, ScaleLike
from mmsr_geo.pipeline.slices import mask_for
from mmsr_geo.raster.base import Raster
from mmsr_geo.raster.grids import like_grid, refuse_seam, window_grid
from mmsr_geo.raster.inspect.sensors import coarsening, resolution_of
from mmsr_geo.raster.inspect.undeclared_nodata import stored_raster
from mmsr_geo.raster.read.arrays import ArrayRaster, array_name
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.read.open import OneGuide, open_guides, open_source
from mmsr_geo.raster.views.classes import with_class_bands
from mmsr_geo.raster.views.coarsen import Coarsened
from mmsr_geo.raster.views.derived_bands import parse_derivation
from mmsr_geo.raster.views.guides import Guides
from mmsr_geo.raster.views.mask import Mask, Masked, open_mask

SourceLike = str | PathLike[str] | xr.DataArray
GuideLike: TypeAlias = "OneGuide | Sequence[OneGuide]"


@dataclass(frozen=True, slots=True)
class Masks:
    """The masks of a source and its guides, opened; None: there is none."""

    source: Mask | None
    guide: Mask | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs(InputOptions):
    """How source and guide are read, and the pair that comes of it."""

    @property
    def description(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON values; an array goes by its name."""
        said = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, xr.DataArray) or value != field.default:
                said[field.name] = _plain(value)
        return said

    def masks(self, part: xr.DataArray | None = None) -> Masks:
        """Open the masks; of those with dates the slice that belongs to a slice of the source."""
        source, guide = (
            None if mask is None else open_mask(mask) if part is None else mask_for(mask, part)
            for mask in (self.source_mask, self.guide_mask)
        )
        return Masks(source, guide)

    def source(self, source: SourceLike) -> Raster:
        """Open a source of one band."""
        return self.taken(open_source(source, self.band, nodata=self.source_nodata), self.masks())

    def taken(self, source: Raster, masks: Masks) -> Raster:
        """Return an opened source masked, and in pixels as coarse as what it shows."""
        if masks.source is not None:
            source = Masked(source, masks.source, self.mask_share)
        if self.source_resolution is not None:
            down, across = coarsening(source.grid, resolution_of(self.source_resolution))
            if max(down, across) > 1:
                source = Coarsened(source, down, across, self.mask_share)
        return source

    def guides(self, guide: GuideLike, mask: Mask | None, around: GeoBox) -> Guides:
        """Open the guides of a source on the grid `around`, with their classes, mask and what is derived of them."""
        opened = open_guides(
            guide, guide_band=self.guide_band, guide_nodata=self.guide_nodata, guide_classes=self.guide_classes
        )
        rasters = tuple(with_class_bands(raster, around) for raster in opened)
        masks = () if mask is None else (mask,)
        derived = tuple(parse_derivation(text) for text in self.derive)
        return Guides(rasters, masks, self.mask_share, derived)

    def pair(self, source: Raster, guide: GuideLike | Guides, scale: ScaleLike, masks: Masks | None = None) -> Pair:
        """Bring an opened source and its guides together."""
        masks = masks or self.masks()
        pair = Pair.of(
            source,
            guide if isinstance(guide, Guides) else self.guides(guide, masks.guide, source.grid),
            scale,
            bounds=self.bounds,
            min_coverage=self.min_coverage,
            grid=self.grid,
            valid_range=self.valid_range,
        )
        for mask in filter(None, (masks.source, masks.guide)):
            refuse_seam(window_grid(pair.source.grid, pair.part), mask.raster.grid, "mask")
        return pair


TARGET_GROUPS = (Inputs, *UPSAMPLE[1:])
"""Groups of options that decide a target."""
OUTPUT_GROUPS = (*TARGET_GROUPS, FileOptions)
"""Groups of options that decide an output: those of the target, and how it is stored."""


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


def warn_of_reading(pairs: Sequence[Pair]) -> None:
    """Warn (MmsrWarning), once for all pairs, of what was not read as it may seem: an alpha band, corners, codes."""
    rasters = [stored_raster(raster) for pair in pairs for raster in (pair.source, *pair.guides.rasters)]
    notes = [note for raster in rasters if isinstance(raster, FileRaster | ArrayRaster) for note in raster.notes]
    for note in dict.fromkeys(notes):
        warnings.warn(note, MmsrWarning, stacklevel=3)


def _plain(value: object) -> Any:  # noqa: ANN401  (JSON values)
    if isinstance(value, xr.DataArray):
        return array_name(value)
    if isinstance(value, PathLike):
        return fspath(value)
    return list(value) if isinstance(value, tuple) else value
