"""Several guides as one raster, with their masks and derived bands."""

from __future__ import annotations

import math
from dataclasses import dataclass

from odc.geo.geobox import GeoBox

from mmsr_geo.raster.base import Raster
from mmsr_geo.raster.grids import resolution_m
from mmsr_geo.raster.views.bridged import Bridged
from mmsr_geo.raster.views.derived_bands import Derivation, Derived
from mmsr_geo.raster.views.expressions import BandExpression
from mmsr_geo.raster.views.mask import Mask, Masked
from mmsr_geo.raster.views.stack import Stacked
from mmsr_geo.raster.views.warp import Warped


@dataclass(frozen=True, slots=True)
class Guides:
    """The guides of a source: rasters, each on its own grid, that can be resampled together to any grid."""

    rasters: tuple[Raster, ...]
    masks: tuple[Mask, ...] = ()
    """Masks that make pixels nodata in all guides."""
    mask_share: float = 0.5
    """Share of a pixel's area, 0 to 1, above which it becomes nodata if it is masked."""
    derived: tuple[Derivation | BandExpression, ...] = ()
    """Bands computed from the bands of the guides, and added to them."""

    def __post_init__(self) -> None:
        """Refuse derived bands of bands that do not exist (OptionError)."""
        for derivation in self.derived:
            derivation.places(self.rasters)

    @property
    def finest(self) -> GeoBox:
        """The grid of the guide with the smallest pixels."""
        return min((raster.grid for raster in self.rasters), key=lambda grid: math.prod(resolution_m(grid)))

    def on(self, grid: GeoBox) -> Raster:
        """Return all guides on a grid as one raster, with their derived bands.

        Pixels are nodata where they are masked; narrow gaps are bridged.
        """
        placed = tuple(Warped(raster, grid) for raster in self.rasters)
        guide: Raster = placed[0] if len(placed) == 1 else Stacked(placed)
        if self.derived:
            guide = Derived(guide, self.derived)
        for mask in self.masks:
            guide = Masked(guide, mask, self.mask_share)
        return Bridged(guide)
