"""Units of x and y as their metadata declare them, against the unit of the CRS; knows no pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyproj import CRS as ProjCRS  # noqa: N811  (odc's is CRS)

from mmsr_geo.errors import GridError
from mmsr_geo.raster.read.units import FARTHEST_M, METRES, RADIANS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from odc.geo.crs import CRS
    from odc.geo.geobox import GeoBox


@dataclass(frozen=True, slots=True)
class _Unit:
    size: float
    """In metres or radians."""
    angle: bool

    def is_like(self, other: _Unit) -> bool:
        return self.angle == other.angle and math.isclose(self.size, other.size, rel_tol=_ALIKE)

    def is_on_earth(self, place: tuple[float, float]) -> bool:
        x, y = (abs(number) * self.size for number in place)
        return x <= 3 * math.pi and y <= math.pi / 2 if self.angle else max(x, y) <= FARTHEST_M


_DEGREES = ("degree", "degrees", "degrees_east", "degrees_north", "degree_east", "degree_north")
_UNITS = {
    **{name: _Unit(size, angle=False) for name, size in METRES.items()},
    **{name: _Unit(size, angle=True) for name, size in RADIANS.items()},
    **dict.fromkeys(_DEGREES, _Unit(math.radians(1), angle=True)),
}
_ALIKE = 1e-3
"""Relative difference of units that counts as none: those of the feet differ by 2e-6."""


def refuse_unit(declared: Iterable[object], grid: GeoBox, name: str, advice: str) -> None:
    """Refuse x and y in another unit than the CRS has (GridError).

    A declared unit counts only if the raster lies on Earth by it, and outside the area of its CRS without it: metadata
    are often kept when coordinates are converted.

    Args:
        declared: The units of x and y, as their metadata have them; None and unknown ones are ignored.
        grid: The grid, whose transform has the numbers of x and y.
        name: The name of the raster, for the message.
        advice: What the message says to do about units of the same kind, with {factor} and {unit} in it.
    """
    crs = grid.crs
    if crs is None or not crs.proj.axis_info:
        return
    axis = crs.proj.axis_info[0]
    is_angle = bool(crs.geographic)
    own = _Unit(float(axis.unit_conversion_factor), is_angle)
    center = grid.affine * (grid.shape.x / 2, grid.shape.y / 2)
    for text in declared:
        unit = _UNITS.get(str(text).strip().lower())
        if unit is None or unit.is_like(own) or not unit.is_on_earth(center):
            continue
        mixed = unit.angle != is_angle
        used = is_where_used(center, crs)
        if used or (used is None and mixed and is_angle and own.is_on_earth(center)):
            continue
        problem = f"{name} has x and y in {text}, and the unit of its CRS is {axis.unit_name}"
        if not mixed:
            factor = f"{unit.size / own.size:.10g}"
            raise GridError(f"{problem}: {advice.format(factor=factor, unit=axis.unit_name)}")
        raise GridError(f"{problem}: assign the CRS that these coordinates are in")


def is_where_used(center: tuple[float, float], crs: CRS) -> bool | None:
    """Return whether a place lies in the area in which a CRS is used; None if that is not known, or the whole world."""
    # A CRS that was read from a file has a code, but not what PROJ's database knows of it.
    area = ProjCRS.from_epsg(crs.epsg).area_of_use if crs.epsg else None
    if area is None or area.east - area.west >= 360 or crs.geographic:
        return None
    x, y = crs.transformer_to_crs("EPSG:4326")(*center)
    return bool((x - area.west) % 360 <= (area.east - area.west) % 360 and area.south <= y <= area.north)
