"""Names of units in files and arrays, and the factors from one unit to another; knows no pixels."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyproj import CRS

METRES = {
    **dict.fromkeys(("m", "metre", "meter", "metres", "meters"), 1.0),
    **dict.fromkeys(("ft", "foot", "feet", "international foot", "international feet"), 0.3048),
    **dict.fromkeys(("us-ft", "ftus", "us survey foot", "us survey feet", "us_survey_foot", "foot_us"), 1200 / 3937),
    **dict.fromkeys(("cm", "centimetre", "centimeter", "centimetres", "centimeters"), 0.01),
    **dict.fromkeys(("dm", "decimetre", "decimeter", "decimetres", "decimeters"), 0.1),
    **dict.fromkeys(("km", "kilometre", "kilometer", "kilometres", "kilometers"), 1000.0),
}
"""Metres per unit of length, by its names in lower case."""
RADIANS = {
    **dict.fromkeys(("rad", "radian", "radians"), 1.0),
    **dict.fromkeys(("mrad", "milliradian", "milliradians"), 1e-3),
    **dict.fromkeys(("urad", "µrad", "microradian", "microradians"), 1e-6),
}
"""Radians per unit of angle, by its names in lower case; degrees are apart, in which geographic coordinates are."""
_ANGLE = 1.0
"""Largest coordinate of a geostationary grid, without a unit, that is an angle in radians: a metre is less than any
pixel of such a grid."""

_TURN = 6.3
"""Largest longitude in radians, and a little more."""
FARTHEST_M = 2.1e7
"""Largest x or y of a place on Earth in metres: half the equator, and a little more."""


def factor_to_crs(unit: object, crs: CRS, largest: float) -> float:
    """Return what coordinates are multiplied by to be in the units of their CRS; 1 where nothing is known.

    Lengths are converted between their units. Angles in radians become degrees in a geographic CRS. In a geostationary
    CRS they are scan angles, and are multiplied by the height of the satellite (CF conventions, appendix F). A unit by
    which the coordinates are no place on Earth does not count: metadata are often kept when coordinates are converted.

    Args:
        unit: The unit of the coordinates, as their attributes have it; None: none is declared.
        crs: The CRS.
        largest: The largest absolute value of the coordinates.
    """
    name = "" if unit is None else str(unit).strip().lower()
    axes = crs.axis_info
    if not axes:
        return 1.0
    own = axes[0].unit_conversion_factor or 1.0
    height = satellite_height(crs)
    if height is not None and (name in RADIANS or (not name and largest < _ANGLE)):
        radians = RADIANS.get(name, 1.0)
        return radians * height / own if largest * radians < _ANGLE else 1.0
    if crs.is_geographic:
        return RADIANS[name] / own if name in RADIANS and largest * RADIANS[name] <= _TURN else 1.0
    return METRES[name] / own if name in METRES and largest * METRES[name] <= FARTHEST_M else 1.0


def satellite_height(crs: CRS) -> float | None:
    """Return the height of the satellite of a geostationary CRS above the ellipsoid, in metres; None for other CRSs."""
    operation = crs.coordinate_operation
    if operation is None or "geos" not in operation.method_name.lower():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # PROJ's own words may lose a part of the CRS, not the height
        height = crs.to_dict().get("h")
    return None if height is None else float(height)
