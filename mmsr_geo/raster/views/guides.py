"""Several guides as one raster, with their masks and derived bands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from odc.geo.geobox import GeoBox

from mmsr_geo.errors import OptionError
from mmsr_geo.raster.base import Raster
from mmsr_geo.raster.grids import resolution_m
from mmsr_geo.raster.views.bridged import Bridged
from mmsr_geo.raster.views.classes import ClassShares, parts_of, quantities_of, with_classes_of
from mmsr_geo.raster.views.derived_bands import Derivation, Derived
from mmsr_geo.raster.views.expressions import BandExpression
from mmsr_geo.raster.views.mask import Mask, Masked
from mmsr_geo.raster.views.stack import Stacked
from mmsr_geo.raster.views.warp import Warped
from mmsr_geo.spelling import option


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
        """Refuse derived bands of bands that do not exist, or that are of classes (OptionError)."""
        parts = [part for raster in self.rasters for part in parts_of(raster)]
        of_classes = [isinstance(part, ClassShares) for part in parts for _ in part.bands]
        bands = [band for part in parts for band in part.bands]
        for derivation in self.derived:
            if wrong := [bands[place] for place in derivation.places(self.rasters) if of_classes[place]]:
                raise OptionError(
                    f"{option('derive', str(derivation))} is of {wrong[0]}, which is the share of a class: name a band "
                    "of a quantity"
                )

    @property
    def finest(self) -> GeoBox:
        """The grid of the guide with the smallest pixels."""
        return min((raster.grid for raster in self.rasters), key=lambda grid: math.prod(resolution_m(grid)))

    @property
    def quantities(self) -> tuple[Raster, ...]:
        """The guides, or parts of them, that hold quantities."""
        return tuple(part for raster in self.rasters for part in quantities_of(raster))

    @property
    def classes(self) -> tuple[ClassShares, ...]:
        """The bands of classes, in the order of the guides."""
        parts = (part for raster in self.rasters for part in parts_of(raster))
        return tuple(part for part in parts if isinstance(part, ClassShares))

    def with_classes_of(self, bands: Sequence[str]) -> Guides:
        """Return the guides with the classes of a model's guide bands, in their order."""
        return replace(self, rasters=with_classes_of(self.rasters, bands)) if self.classes else self

    def on(self, grid: GeoBox) -> Raster:
        """Return all guides on a grid as one raster, with their derived bands.

        Pixels are nodata where they are masked; narrow gaps are bridged.
        """
        placed = tuple(_placed(raster, grid) for raster in self.rasters)
        # A single guide of several parts is stacked once more, so that its bands keep their own numbers.
        guide = placed[0] if len(placed) == 1 and not isinstance(placed[0], Stacked) else Stacked(placed)
        if self.derived:
            guide = Derived(guide, self.derived)
        for mask in self.masks:
            guide = Masked(guide, mask, self.mask_share)
        return Bridged(guide)


def _placed(raster: Raster, grid: GeoBox) -> Raster:
    """Return a guide on a grid, classes as shares."""
    if isinstance(raster, Stacked):
        return Stacked(tuple(_placed(part, grid) for part in raster.rasters))
    return raster.on(grid) if isinstance(raster, ClassShares) else Warped(raster, grid)
