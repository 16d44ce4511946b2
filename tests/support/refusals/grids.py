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
    "EPSG:32618), the guide at 443200,4175910,444340,4176930; give a guide of the same area, or correct the CRS",
    "Source and guide do not overlap.",
    "Give a guide of the same area, or correct the CRS of one of them.",
    upsampling(guide="elsewhere.tif"),
)


case(
    "a pole within the source and a guide in degrees",
    GridError,
    "the source lies around a pole, where a guide in degrees (EPSG:4326) is cut: warp the guide to the source's CRS "
    "first with gdalwarp -t_srs, or choose a part that avoids it with ⟨bounds⟩",
    "The guide is in degrees, and the source covers a pole or the edge of a world-wide guide.",
    "Warp the guide to the source's CRS, or process a part of the source.",
    upsampling(source="polar.tif", guide="world.tif"),
)


case(
    "a source whose centre the guide's CRS has no place for",
    GridError,
    "the scale cannot be determined: the source's centre lies outside the domain of the guide's CRS, "
    "North_Pole_Orthographic; give the scale, as in ⟨scale=4⟩, or warp the guide first",
    "The centre of the source lies outside the domain of the guide's CRS.",
    "Give the scale, or warp the guide to the source's CRS.",
    upsampling("--min-coverage 0", source="south.tif", guide="north.tif", min_coverage=0),
)


case(
    "no way between two CRSs",
    GridError,
    "no transformation from EPSG:32618 to Moon (2015) - Sphere / Ocentric is known (…): warp one of the rasters first",
    "PROJ knows no transformation between the two CRSs, as between two planets.",
    "Warp one of the rasters first.",
    upsampling(guide="moon.tif"),
)


case(
    "a grid without a CRS",
    GridError,
    "a raster without a CRS cannot be located: assign the right one with .rio.write_crs(...)",
    "The GeoBox of `like` has no CRS.",
    "Assign the right one.",
    arrays(shown("dem.tif", scale=2, like=GeoBox((4, 4), PLACE, None))),
)


case(
    "a guide that is hardly finer",
    GridError,
    "scale under 2: the guide's pixels (30.01 m) are hardly finer than the source's (30.01 m); give a "
    "finer guide, or the scale, as in ⟨scale=2⟩",
    "The ratio of the resolutions is under 1.5, and no scale is given.",
    "Give a finer guide, or the scale.",
    upsampling(guide="dem.tif"),
)


case(
    "bounds the wrong way round",
    GridError,
    "bounds are finite numbers W,S,E,N with W < E and S < N, not 435730,4176900,436000,4176000",
    "West and east, or south and north, are exchanged.",
    "Exchange them, or correct the numbers.",
    upsampling("--bounds 435730,4176900,436000,4176000", bounds=(435730, 4176900, 436000, 4176000)),
)


case(
    "bounds without an end",
    GridError,
    "bounds are finite numbers W,S,E,N with W < E and S < N, not -inf,-inf,inf,inf",
    "Bounds are infinite or no numbers.",
    "Give finite numbers. Without `--bounds` the whole source is processed.",
    upsampling("--bounds=-inf,-inf,inf,inf", bounds=(-np.inf, -np.inf, np.inf, np.inf)),
)


case(
    "bounds beside the raster",
    GridError,
    "the bounds -75,37,-74,38 do not intersect the raster at 435730,4175940,436810,4176900: give W,S,E,N in "
    "its CRS, EPSG:32618",
    "The bounds do not intersect the source. They may be in another CRS.",
    "Give them in the source's CRS.",
    upsampling("--bounds -75,37,-74,38", bounds=(-75, 37, -74, 38)),
)


case(
    "bounds over the antimeridian",
    GridError,
    "the bounds 170,-10,-170,10 have W > E, so they cross the antimeridian, which the raster at -60,-85,60,45 does "
    "not: give W < E, with longitudes of the raster",
    "West is greater than east, and the source, in degrees, does not cross the antimeridian.",
    "Exchange the two if they are the wrong way round. If not, process each side of the antimeridian on its own.",
    upsampling("--bounds 170,-10,-170,10", source="south.tif", bounds=(170, -10, -170, 10)),
)


case(
    "bounds over the edge of the world",
    GridError,
    "the bounds 170,-10,190,10 cross the longitude at which the raster at -180,-90,180,90 is cut: run the parts on "
    "both sides of it one by one",
    "The bounds lie on both sides of the longitude at which a world-wide source begins and ends.",
    "Process each side on its own.",
    upsampling("--bounds 170,-10,190,10", source="world.tif", bounds=(170, -10, 190, 10)),
)


case(
    "no place on the guide's grid",
    GridError,
    "a part of the raster at -60,-85,60,45 (EPSG:4326) lies outside the domain of "
    'North_Pole_Orthographic: crop the source, or leave out ⟨grid="guide"⟩',
    "The target is to lie on the guide's grid, and a part of the source lies outside the domain of the guide's CRS.",
    "Crop the source, or leave the option out.",
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
    "the guide covers 59.3 % of the source (needs 95 %); crop the source with ⟨bounds⟩ or "
    ".rio.clip_box(...), or pass ⟨min_coverage=0.59⟩",
    "The guide covers less of the source than `--min-coverage`.",
    "Crop the source, or lower `--min-coverage`: where there is no guide the target is the bicubic baseline.",
    upsampling(guide="part.tif"),
)


case(
    "pixels of no size",
    GridError,
    "thin.vrt has the transform 0,0,435730,0,-30,4176900, under which its pixels have no size or no finite "
    "position: give it a valid one with gdal_edit.py -a_ullr or .rio.write_transform(...)",
    "A raster's transform has a pixel of no width or height, or numbers that are not finite.",
    "Assign a valid transform.",
    upsampling(source="thin.vrt"),
)


case(
    "three numbers for like",
    OptionError,
    "⟨like=[10.0, 10.0, 10.0]⟩ is not a resolution: give a number above zero, or two (down, "
    "across), in units of the source's CRS",
    "`--like` has more than two numbers.",
    "Give one or two.",
    upsampling("--like 10x10x10", like=(10.0, 10.0, 10.0)),
)


case(
    "no resolution for like",
    OptionError,
    "⟨like=0.0⟩ is not a resolution: give a number above zero, or two (down, across), in units of the source's CRS",
    "`--like` is a resolution of zero or below.",
    "Give one or two above zero.",
    upsampling("--like 0", like=0.0),
)


case(
    "a grid of too many pixels",
    OptionError,
    "⟨like=0.001⟩ gives 960000 x 1080000 pixels: write the resolution in units of the source's CRS, EPSG:32618",
    "`--like` gives a grid of more than 1e11 pixels. It may be in another unit.",
    "Give it in units of the source's CRS.",
    upsampling("--like 0.001", like=0.001),
)


case(
    "a pixel beyond all targets",
    OptionError,
    "⟨like=1e+30⟩ gives 1 x 1 pixels: write the resolution in units of the source's CRS, EPSG:32618",
    "`--like` gives a pixel that is more than a thousand times as large as the target.",
    "Give it in units of the source's CRS.",
    upsampling("--like 1e30", like=1e30),
)
