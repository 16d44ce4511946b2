"""Resolutions of sensors, and the pixels of a grid that they span; knows no pixels and no files.

Archives deliver thermal bands on finer grids than they were measured on. Each number below is the resolution of the
instrument at nadir, not the pixel size of the product:

- landsat-tirs, 100 m: Landsat 8 and 9 Data Users Handbooks (USGS LSDS-1574, LSDS-2082), bands 10 and 11; delivered at
  30 m by cubic convolution.
- landsat-etm-thermal, 60 m: Landsat 7 Data Users Handbook (USGS LSDS-1927), band 6; delivered at 30 m since 2010.
- landsat-tm-thermal, 120 m: Landsat 4-5 Thematic Mapper Data Users Handbook (USGS), band 6; delivered at 30 m.
- ecostress, 70 m: Fisher et al. 2020, "ECOSTRESS: NASA's next generation mission to measure evapotranspiration from the
  International Space Station"; 38 m across by 69 m along the track, delivered on 70 m.
- modis, 1000 m: Wan 1999, MODIS Land-Surface Temperature Algorithm Theoretical Basis Document, 1 km at nadir. The
  sinusoidal grid that is called 1 km has pixels of 926.6 m, which are one pixel each here.
- viirs-i5, 375 m, and viirs, 750 m: Cao et al. 2013, VIIRS Sensor Data Record User's Guide (NOAA Technical
  Report NESDIS 142), image and moderate bands.
- sentinel-3-slstr, 1000 m: Sentinel-3 SLSTR User Guide (ESA), thermal channels S7 to S9, F1 and F2.
- aster-tir, 90 m: Abrams, Hook and Ramachandran 2002, ASTER User Handbook, bands 10 to 14.
"""

from __future__ import annotations

import math
import re

from odc.geo.geobox import GeoBox

from mmsr_geo.errors import OptionError
from mmsr_geo.raster.grids import SNAP_PX, resolution_m
from mmsr_geo.spelling import option

SENSORS_M = {
    "landsat-tirs": 100.0,
    "landsat-etm-thermal": 60.0,
    "landsat-tm-thermal": 120.0,
    "ecostress": 70.0,
    "modis": 1000.0,
    "viirs-i5": 375.0,
    "viirs": 750.0,
    "sentinel-3-slstr": 1000.0,
    "aster-tir": 90.0,
}
"""Resolution of each sensor in metres, by its name; the module's docstring gives the sources."""

ALIKE = 0.03
"""Largest relative difference at which an estimated length is taken for a sensor's resolution."""

_LENGTH = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(m|km)?", re.IGNORECASE | re.ASCII)


def resolution_of(value: float | str) -> float:
    """Return the metres of a length ("100", "100 m", "0.1 km" or a number of metres) or of a sensor's name.

    Raises:
        OptionError: The value is neither, or is not a finite length above zero.
    """
    if isinstance(value, str):
        name = value.strip().lower().replace("_", "-").replace(" ", "-")
        if name in SENSORS_M:
            return SENSORS_M[name]
        length = _LENGTH.fullmatch(value.strip())
        if length is None:
            raise _no_resolution(value)
        metres = float(length[1]) * (1000 if (length[2] or "m").lower() == "km" else 1)
    elif isinstance(value, bool):
        raise _no_resolution(value)
    else:
        metres = float(value)
    if not (math.isfinite(metres) and metres > 0):
        raise _no_resolution(value)
    return metres


def coarsening(grid: GeoBox, resolution: float) -> tuple[int, int]:
    """Return the number of pixels (down, across) nearest to a resolution, halves rounded up, at least 1.

    Args:
        grid: The grid, whose pixels are measured at its centre as `resolution_m` does.
        resolution: The resolution in metres.

    Raises:
        OptionError: The resolution is finer than half a pixel.
    """
    pixel = resolution_m(grid)
    # A half measured through a transform falls short by rounding: it counts as the half that it is.
    down, across = (math.floor(resolution / side + 0.5 + SNAP_PX) for side in pixel)
    if min(down, across) < 1:
        raise OptionError(
            f"{option('source_resolution')} is {resolution:.6g} m, which is finer than half of the source's pixels "
            f"({pixel[1]:.4g} x {pixel[0]:.4g} m): give the sensor's resolution, or leave the option out"
        )
    return down, across


def rounded_resolution(metres: float) -> float:
    """Return an estimated resolution in metres, rounded: a sensor's if it is near one, otherwise to two digits."""
    nearest = min(SENSORS_M.values(), key=lambda known: abs(known - metres))
    return nearest if abs(nearest - metres) <= ALIKE * nearest else float(f"{metres:.1e}")


def _no_resolution(value: object) -> OptionError:
    return OptionError(
        f"{option('source_resolution')} takes a length in metres above zero, as in 100 or '0.1 km', or one of "
        f"{', '.join(SENSORS_M)}; not {value!r}"
    )
