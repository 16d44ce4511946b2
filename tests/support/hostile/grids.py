"""Rasters that lie elsewhere, are turned, or are not georeferenced."""

from __future__ import annotations

import math
from pathlib import Path

from affine import Affine
from rasterio.control import GroundControlPoint

from mmsr_geo.errors import GridError, GuideCoverageError
from support.hostile.cases import (
    ARRAYS,
    PLACE,
    SHAPE,
    Job,
    Refusal,
    Target,
    array,
    guide_array,
    refused,
    result,
    scene,
    texture,
    vrt,
    vrt_band,
    write,
    write_guide,
    write_source,
)


@refused("wrong CRS")
def degrees_declared_as_metres(at: Path) -> Job:
    guide = write(at / "guide.tif", texture(), Affine(1e-4, 0, -75.73, 0, -1e-4, 37.74))
    words = r"does not overlap the source: the source lies at 435730.*correct the CRS"
    return Job(write_source(at), guide, Refusal(GridError, words))


@refused("wrong CRS")
def the_zone_beside(at: Path) -> Job:
    guide = write_guide(at, crs="EPSG:32617")
    return Job(write_source(at), guide, Refusal(GridError, "does not overlap"))


@refused("wrong CRS")
def no_crs(at: Path) -> Job:
    return Job(write_source(at, crs=None), write_guide(at), Refusal(GridError, "has no CRS: assign"))


@refused("wrong CRS")
def a_guide_of_the_moon(at: Path) -> Job:
    moon = "+proj=longlat +R=1737400 +no_defs +type=crs"
    guide = write(at / "guide.tif", texture(), Affine(1e-4, 0, -75.73, 0, -1e-4, 37.74), crs=moon)
    return Job(write_source(at), guide, Refusal(GridError, "."))


@refused("wrong CRS")
def a_plan_in_local_metres(at: Path) -> Job:
    local = 'LOCAL_CS["site",UNIT["metre",1]]'
    return Job(write_source(at), write_guide(at, crs=local), Refusal(GridError, "."))


@refused("swapped axes")
def latitude_in_the_place_of_longitude(at: Path) -> Job:
    guide = write(at / "guide.tif", texture(), Affine(1e-3, 0, 37.7, 0, -1e-3, -75.7), crs="EPSG:4326")
    return Job(write_source(at), guide, Refusal(GridError, "does not overlap the source.*W,S,E,N"))


@result("swapped axes", ("array",))  # a file has its rows down
def dims_in_the_order_x_y(_: Path) -> Job:
    return Job(array().transpose("x", "y"), guide_array(), Target(scene().T), method="mmsr")


@result("swapped axes", ARRAYS)
def bands_last(_: Path) -> Job:
    return Job(array(), guide_array().transpose("y", "x", "band"), Target(scene()), method="mmsr")


@refused("swapped axes")
def bounds_with_north_before_south(at: Path) -> Job:
    options = {"bounds": (435_800, 4_176_800, 436_000, 4_176_600)}
    return Job(write_source(at), write_guide(at), Refusal(GridError, "W < E and S < N"), options=options)


@refused("not placed")
def ground_control_points_only(at: Path) -> Job:
    corners = [(0, 0), (0, 24), (20, 0), (20, 24)]
    points = [GroundControlPoint(row, col, 435_730 + 30 * col, 4_176_900 - 30 * row) for row, col in corners]
    source = write_source(at, transform=Affine.identity(), gcps=points)
    return Job(source, write_guide(at), Refusal(GridError, "ground control points only: warp it"))


@refused("not placed")
def no_transform(at: Path) -> Job:
    source = write_source(at, transform=Affine.identity())
    return Job(source, write_guide(at), Refusal(GridError, "not georeferenced: give it a geotransform"))


@refused("not placed")
def pixels_of_no_size(at: Path) -> Job:
    write(at / "part.tif", scene())
    source = vrt(at / "source.vrt", SHAPE, vrt_band("part.tif"), Affine(0, 0, 435_730, 0, 0, 4_176_900))
    words = r"source\.vrt has the transform 0,0,435730,0,0,4176900, under which its pixels have no size"
    return Job(source, write_guide(at), Refusal(GridError, words))


@refused("not placed")
def a_transform_that_is_no_number(at: Path) -> Job:
    write(at / "part.tif", texture())
    bands = vrt_band("part.tif", dtype="UInt16")
    guide = vrt(at / "guide.vrt", (44, 52), bands, Affine(math.nan, 0, 435_730, 0, -15, 4_176_900))
    words = r"guide\.vrt has the transform nan.*give it a valid one"
    return Job(write_source(at), guide, Refusal(GridError, words))


@refused("not placed")
def a_corner_at_infinity(at: Path) -> Job:
    write(at / "part.tif", scene())
    source = vrt(at / "source.vrt", SHAPE, vrt_band("part.tif"), Affine(30, 0, math.inf, 0, -30, 4_176_900))
    return Job(source, write_guide(at), Refusal(GridError, "transform 30,0,inf.*give it a valid one"))


@result("turned")
def south_up(at: Path) -> Job:
    place = Affine(30, 0, 435_730, 0, 30, 4_176_300)
    return Job(write_source(at, transform=place), write_guide(at), Target(scene(), place), method="mmsr")


@result("turned")
def east_to_west(at: Path) -> Job:
    place = Affine(-30, 0, 435_730 + 24 * 30, 0, -30, 4_176_900)
    return Job(write_source(at, transform=place), write_guide(at), Target(scene(), place))


@result("turned")
def rotated(at: Path) -> Job:
    place = PLACE * Affine.rotation(25) * Affine.scale(0.5)
    guide = write_guide(at, texture(2, 100, 100), place=PLACE * Affine.translation(-10, -10))
    return Job(write_source(at, transform=place), guide, Target(scene(), place), scale=3)


@result("turned")
def a_rotated_guide(at: Path) -> Job:
    guide = write(
        at / "guide.tif",
        texture(2, 120, 120),
        PLACE * Affine.translation(12, -20) * Affine.rotation(45) * Affine.scale(0.5),
    )
    return Job(write_source(at), guide, Target(scene()), method="mmsr")


@refused("guide elsewhere")
def a_guide_shifted_by_half_of_the_source(at: Path) -> Job:
    guide = write_guide(at, place=PLACE * Affine.translation(12, 0))
    words = r"covers 54\.\d % of the source \(needs 95 %\); crop the source"
    return Job(write_source(at), guide, Refusal(GuideCoverageError, words))


@result("guide elsewhere")
def half_a_guide_that_was_allowed(at: Path) -> Job:
    guide = write_guide(at, place=PLACE * Affine.translation(12, 0))
    return Job(write_source(at), guide, Target(scene()), method="mmsr", options={"min_coverage": 0.5})


@refused("guide elsewhere")
def a_guide_that_only_touches_the_source(at: Path) -> Job:
    guide = write(at / "guide.tif", texture(), PLACE * Affine.translation(24, 0) * Affine.scale(0.5))
    options = {"min_coverage": 0}
    return Job(write_source(at), guide, Refusal(GridError, "does not overlap"), options=options)


@refused("guide elsewhere")
def bounds_beside_the_source(at: Path) -> Job:
    options = {"bounds": (0, 0, 10, 10)}
    words = "do not intersect the raster at 435730.*EPSG:32618"
    return Job(write_source(at), write_guide(at), Refusal(GridError, words), options=options)


@refused("guide is no finer")
def a_coarser_guide(at: Path) -> Job:
    guide = write(at / "guide.tif", texture(2, 8, 8), PLACE * Affine.scale(4))
    return Job(write_source(at), guide, Refusal(GridError, "hardly finer.*give a finer guide"), scale=None)


@result("guide is no finer")
def a_coarser_guide_with_a_scale(at: Path) -> Job:
    guide = write(at / "guide.tif", texture(2, 8, 8), PLACE * Affine.scale(4))
    return Job(write_source(at), guide, Target(scene(), warned="larger than the target's"), method="mmsr")


@refused("guide is no finer")
def the_same_file_as_source_and_guide(at: Path) -> Job:
    source = write_source(at)
    return Job(
        source,
        source,
        Refusal(GridError, r"scale under 2: the guide.s pixels \(30\.01 m\).*give a finer guide"),
        scale=None,
    )


@result("guide is no finer")
def the_same_file_with_a_scale(at: Path) -> Job:
    source = write_source(at)
    return Job(source, source, Target(scene(), warned="larger than the target's"), method="mmsr")


@refused("guide is no finer")
def a_guide_a_thousand_times_finer(at: Path) -> Job:
    guide = write(at / "guide.tif", texture(1, 20, 24), Affine(0.03, 0, 435_730, 0, -0.03, 4_176_900))
    words = "scale 1000 is above 64: pass a smaller .*average the guide"
    small = write_source(at, scene(2, 2), transform=Affine(30, 0, 435_730, 0, -30, 4_176_900))
    return Job(small, guide, Refusal(GridError, words), scale=None, options={"min_coverage": 0})
