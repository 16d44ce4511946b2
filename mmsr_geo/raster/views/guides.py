"""Several guides as one raster, with their masks and derived bands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odc.geo.geobox import GeoBox

from mmsr_geo.raster.base import Raster
from mmsr_geo.raster.grids import resolution_m
from mmsr_geo.raster.views.stack import Stacked
from mmsr_geo.raster.views.warp import Warped

if TYPE_CHECKING:
    from mmsr_geo.raster.views.derived_bands import Derivation
    from mmsr_geo.raster.views.expressions import BandExpression
    from mmsr_geo.raster.views.mask import Mask


@dataclass(frozen=True, slots=True)
class Guides:
    """What guides a source: rasters, each on a grid of its own, that can be brought onto any grid together."""

    rasters: tuple[Raster, ...]
    masks: tuple[Mask, ...] = ()
    """What makes holes in all of them."""
    mask_share: float = 0.5
    """A pixel is a hole where more than this share of its area is masked."""
    derived: tuple[Derivation | BandExpression, ...] = ()
    """What is derived of their bands, and guides beside them."""

    def __post_init__(self) -> None:
        """Refuse to derive of bands that there are not (OptionError)."""
        for derivation in self.derived:
            derivation.places(self.rasters)

    @property
    def finest(self) -> GeoBox:
        """The grid with the smallest pixels."""
        return min((raster.grid for raster in self.rasters), key=lambda grid: math.prod(resolution_m(grid)))

    def on(self, grid: GeoBox) -> Raster:
        """Return all of them on a grid, as one raster: their bands, what is derived of those, holes where masked."""
        # Both are made of what stands above.
        from mmsr_geo.raster.views.derived_bands import Derived  # noqa: PLC0415
        from mmsr_geo.raster.views.mask import Masked  # noqa: PLC0415

        placed = tuple(Warped(raster, grid) for raster in self.rasters)
        guide: Raster = placed[0] if len(placed) == 1 else Stacked(placed)
        if self.derived:
            guide = Derived(guide, self.derived)
        for mask in self.masks:
            guide = Masked(guide, mask, self.mask_share)
        return guide
