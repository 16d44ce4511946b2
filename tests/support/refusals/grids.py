"""Pairs of grids that are refused."""

from __future__ import annotations

import numpy as np
from odc.geo.geobox import GeoBox

from mmsr_geo.errors import (
    GridError,
    GuideCoverageError,
    OptionError,
)
from support.refusals.cases import (
    arrays,
    case,
    shown,
    upsampling,
)
from support.refusals.inputs import (
    PLACE,
)

case(
    "no overlap",
    GridError,
    "the guide does not overlap the source: the source lies at 435730,4175940,436810,4176900 (W,S,E,N in "
    "EPSG:32618), the guide at 443200,4175910,444340,4176930; give a guide of the same place, or mend a "
    "wrong CRS",
    "Source and guide share no place.",
    "Give a guide of the same place, or mend a wrong CRS.",
    upsampling(guide="elsewhere.tif"),
)


case(
    "a pole within the source and a guide in degrees",
    GridError,
    "the source lies around a pole, and a guide in degrees (EPSG:4326) is cut there: bring the guide into the "
    "source's CRS first, as gdalwarp -t_srs does, or give a part beside it with ⟨bounds⟩",
    "The guide is in degrees, and a pole lies within the source, or the edge of a world-wide guide does.",
    "Warp the guide to the source's CRS, or do a part of the source.",
    upsampling(source="polar.tif", guide="world.tif"),
)


case(
    "a source whose centre the guide's CRS has no place for",
    GridError,
    "the scale cannot be told: the source's centre has no place in the guide's CRS, "
    "North_Pole_Orthographic; give it yourself, as in ⟨scale=4⟩, or warp the guide first",
    "The source's centre has no place in the guide's CRS.",
    "Give the scale, or warp the guide to the source's CRS.",
    upsampling("--min-coverage 0", source="south.tif", guide="north.tif", min_coverage=0),
)


case(
    "no way between two CRSs",
    GridError,
    "no way from EPSG:32618 to Moon (2015) - Sphere / Ocentric is known (…): warp one raster first",
    "PROJ knows no transformation, as between two planets.",
    "Warp one raster first.",
    upsampling(guide="moon.tif"),
)


case(
    "a grid without a CRS",
    GridError,
    "a raster without a CRS cannot be placed: assign the one it is in, as .rio.write_crs(...) does",
    "The GeoBox of `like` has no CRS.",
    "Give it the one it is in.",
    arrays(shown("dem.tif", scale=2, like=GeoBox((4, 4), PLACE, None))),
)


case(
    "a guide that is hardly finer",
    GridError,
    "scale under 2: the guide's pixels (30.01 m) are hardly finer than the source's (30.01 m); give a "
    "finer guide, or the scale yourself, as in ⟨scale=2⟩",
    "The ratio of the resolutions is under 1.5, and no scale is given.",
    "Give a finer guide, or the scale.",
    upsampling(guide="dem.tif"),
)


case(
    "bounds the wrong way round",
    GridError,
    "bounds are finite numbers W,S,E,N with W < E and S < N, not 435730,4176900,436000,4176000",
    "West and east, or south and north, are exchanged.",
    "Exchange them.",
    upsampling("--bounds 435730,4176900,436000,4176000", bounds=(435730, 4176900, 436000, 4176000)),
)


case(
    "bounds without an end",
    GridError,
    "bounds are finite numbers W,S,E,N with W < E and S < N, not -inf,-inf,inf,inf",
    "Bounds are infinite or no numbers.",
    "Give finite ones; all of the source is done without `--bounds`.",
    upsampling("--bounds=-inf,-inf,inf,inf", bounds=(-np.inf, -np.inf, np.inf, np.inf)),
)


case(
    "bounds beside the raster",
    GridError,
    "the bounds -75,37,-74,38 do not meet the raster at 435730,4175940,436810,4176900: give W,S,E,N in "
    "its CRS, EPSG:32618",
    "The bounds do not meet the source, perhaps for being in another CRS.",
    "Give them in the source's.",
    upsampling("--bounds -75,37,-74,38", bounds=(-75, 37, -74, 38)),
)


case(
    "no place on the guide's grid",
    GridError,
    "a part of the raster at -60,-85,60,45 (EPSG:4326) has no place in North_Pole_Orthographic: crop the "
    'source, or leave out ⟨grid="guide"⟩',
    "The target shall lie on the guide's grid, and the guide's CRS has no place for a part of the source.",
    "Cut the source, or keep to its grid.",
    upsampling(
        "--grid guide --scale 2 --min-coverage 0",
        source="south.tif",
        guide="north.tif",
        grid="guide",
        scale=2,
        min_coverage=0,
    ),
)


case(
    "a guide that covers too little",
    GuideCoverageError,
    "the guide covers 59.3 % of the source (needs 95 %); crop the source with --bounds W,S,E,N or "
    ".rio.clip_box(...), or pass ⟨min_coverage=0.59⟩",
    "The guide covers less of the source than `--min-coverage`.",
    "Cut the source, or allow it: what the guide does not cover is interpolated.",
    upsampling(guide="part.tif"),
)


case(
    "pixels of no size",
    GridError,
    "thin.vrt has the transform 0,0,435730,0,-30,4176900, by which its pixels have no size or no place: "
    "give it a real one, as gdal_edit.py -a_ullr or .rio.write_transform(...) does",
    "A raster's transform has a pixel of no width or height, or numbers that are not finite.",
    "Give it a real one.",
    upsampling(source="thin.vrt"),
)


case(
    "three numbers for like",
    OptionError,
    "⟨like⟩ (10.0, 10.0, 10.0) is no resolution: give a number above zero, or two (down, "
    "across), in units of the source's CRS",
    "`--like` is more than two numbers.",
    "Give one or two.",
    upsampling("--like 10x10x10", like=(10.0, 10.0, 10.0)),
)


case(
    "no resolution for like",
    OptionError,
    "⟨like⟩ 0.0 is no resolution: give a number above zero, or two (down, across), in units of the source's CRS",
    "`--like` is a resolution of zero or below, or more than two numbers.",
    "Give one or two above zero.",
    upsampling("--like 0", like=0.0),
)


case(
    "a grid of too many pixels",
    OptionError,
    "⟨like⟩ 0.001 makes 960000 x 1080000 pixels: a resolution is in units of the source's CRS, EPSG:32618",
    "`--like` makes more than 1e11 pixels, perhaps for being in other units.",
    "Give it in units of the source's CRS.",
    upsampling("--like 0.001", like=0.001),
)


case(
    "a pixel beyond all targets",
    OptionError,
    "⟨like⟩ 1e+30 makes 1 x 1 pixels: a resolution is in units of the source's CRS, EPSG:32618",
    "`--like` makes a pixel a thousand times as large as the target.",
    "Give it in units of the source's CRS.",
    upsampling("--like 1e30", like=1e30),
)
