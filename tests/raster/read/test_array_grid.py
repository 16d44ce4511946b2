"""Where an array lies by its coordinates, their units, and the words of other libraries beside them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS

import mmsr_geo
from mmsr_geo.errors import GridError, MmsrWarning
from mmsr_geo.raster.read.array_grid import array_grid, crs_of
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.read.open import open_guides
from support.rasters import georeferenced

PLACE = Affine(100, 0, 435_700, 0, -100, 4_176_900)
SHAPE = 20, 24
HEIGHT_M = 35_786_023.0
GOES = CRS.from_cf(
    {
        "grid_mapping_name": "geostationary",
        "perspective_point_height": HEIGHT_M,
        "longitude_of_projection_origin": -75.0,
        "sweep_angle_axis": "x",
        "semi_major_axis": 6_378_137.0,
        "semi_minor_axis": 6_356_752.31414,
    }
)


def values(shape: tuple[int, int] = SHAPE) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(280, 5, shape).astype(np.float32)


def placed(offset: float, step: int = 1, place: Affine = PLACE, **attrs: Any) -> xr.DataArray:
    """An array whose x and y are at `offset` pixels from the corners of its pixels."""
    rows, cols = (np.arange(0, side, step) + offset for side in SHAPE)
    coords = {"y": place.f + place.e * rows, "x": place.c + place.a * cols}
    return xr.DataArray(values()[::step, ::step], dims=("y", "x"), coords=coords, attrs=attrs, name="t")


def stackstac(offset: float = 0.0, step: int = 1, **more: Any) -> xr.DataArray:
    attrs = {"spec": "RasterSpec(epsg=32618)", "crs": "epsg:32618", "transform": PLACE, "resolution": 100.0, **more}
    return placed(offset, step, **attrs).assign_coords(epsg=32618)


# Corners and centres


@pytest.mark.parametrize("kind", [Affine, tuple, list, np.array])
def test_a_transform_in_the_attributes_decides_between_corners_and_centres(kind: Any) -> None:
    transform = PLACE if kind is Affine else kind(list(PLACE))
    for array, expected in (
        (stackstac(transform=transform), PLACE),
        (stackstac(transform=transform).isel(y=slice(3, 9), x=slice(5, None)), PLACE * Affine.translation(5, 3)),
    ):
        grid, (note,) = array_grid(array, "t")
        assert grid.affine.almost_equals(expected, 1e-6)
        assert "x and y are the pixels' top left corners by its transform" in note
        assert "50 and 50 further" in note
    grid, notes = array_grid(stackstac(0.5, transform=transform), "t")
    assert (grid.affine, notes) == (PLACE, ())


def test_six_numbers_are_enough_and_other_words_do_not_count() -> None:
    assert array_grid(stackstac(transform=tuple(PLACE)[:6]), "t")[1]
    for wrong in ("| 100, 0|", (1, 2), [0] * 6, [np.nan] * 6, None, 7):
        grid, notes = array_grid(stackstac(0.25, transform=wrong), "t")
        assert grid.affine.almost_equals(PLACE * Affine.translation(-0.25, -0.25), 1e-6)
        assert notes == ()


def test_a_transform_that_says_neither_leaves_the_coordinates() -> None:
    """Coordinates of every second pixel, or of blocks of two, may be either."""
    for array in (stackstac(0.3), stackstac(0.5, 2), stackstac(0.0, transform=PLACE * Affine.scale(2))):
        grid, _ = array_grid(array, "t")
        step = abs(float(array.x[1] - array.x[0]))
        assert grid.affine.c == pytest.approx(float(array.x[0]) - step / 2)


def test_what_rioxarray_stores_of_corners_does_not_change_where_they_lie() -> None:
    with_crs = stackstac().rio.write_crs(32618)
    assert [float(number) for number in with_crs.spatial_ref.attrs["GeoTransform"].split()] == list(PLACE.to_gdal())
    computed = stackstac().rio.write_crs(32618).rio.write_transform()  # from corners, as if they were centres
    assert "whole multiples" in array_grid(computed, "t")[1][0]
    for array in (with_crs, computed.assign_attrs(transform=PLACE), with_crs.isel(x=slice(4, None))):
        grid, (note,) = array_grid(array, "t")
        assert (~PLACE * grid.affine).almost_equals(Affine.translation(round((~PLACE * grid.affine).c), 0), 1e-6)
        assert "top left corners" in note


def test_a_stored_transform_goes_before_the_attribute_of_other_arrays() -> None:
    array = placed(0.5, transform=PLACE * Affine.translation(0.5, 0.5)).rio.write_crs(32618).rio.write_transform(PLACE)
    grid, notes = array_grid(array, "t")
    assert (grid.affine, notes) == (PLACE, ())


def test_without_coordinates_the_attribute_is_the_transform() -> None:
    grid, notes = array_grid(stackstac().drop_vars(["x", "y"]), "t")
    assert (grid.affine, notes) == (PLACE, ())


def test_corners_that_have_lost_their_transform_are_reported() -> None:
    bare = stackstac().drop_attrs()
    grid, (note,) = array_grid(bare, "t")
    assert grid.affine.almost_equals(PLACE * Affine.translation(-0.5, -0.5), 1e-6)
    assert "whole multiples of the pixel size" in note
    assert array_grid(stackstac(0.5).drop_attrs(), "t")[1] == ()
    assert array_grid(bare.drop_vars("epsg").rio.write_crs(32618), "t")[1] == ()


def test_the_target_lies_by_the_attribute_and_has_centres() -> None:
    guide = georeferenced(values((40, 48)), PLACE * Affine.scale(0.5))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        target = mmsr_geo.upsample(stackstac(), guide, 2, method="bicubic")
    assert ["corners" in str(one.message) for one in caught if one.category is MmsrWarning] == [True]
    assert target.rio.transform() == PLACE * Affine.scale(0.5)
    assert "transform" not in target.attrs
    assert (float(target.x[0]), float(target.y[0])) == (PLACE.c + 25, PLACE.f - 25)
    assert array_grid(target, "t")[1] == ()


def test_a_dataset_reports_corners_once() -> None:
    both = stackstac().expand_dims(band=["red", "nir"]).to_dataset("band")
    (raster,) = open_guides(both)
    assert isinstance(raster, ArrayRaster)
    assert len(raster.notes) == 2  # each names its variable
    assert raster.grid.affine.almost_equals(PLACE, 1e-6)


# CRS


@pytest.mark.parametrize(
    ("coords", "epsg"),
    [
        ({"epsg": 32618}, 32618),
        ({"epsg": 32618, "proj:epsg": 32617}, 32618),
        ({"proj:epsg": 32618.0}, 32618),
        ({"proj:code": "EPSG:32618"}, 32618),
        ({"proj:epsg": ("time", [32618, 32618])}, 32618),
        ({"proj:epsg": ("time", [32617, 32618])}, None),
        ({"epsg": 999_999}, None),
        ({"epsg": "none"}, None),
        ({}, None),
    ],
)
def test_the_code_of_a_crs_may_be_a_coordinate(coords: dict[str, Any], epsg: int | None) -> None:
    array = placed(0.5).expand_dims(time=2).assign_coords(coords)
    crs = crs_of(array)
    assert (None if crs is None else crs.epsg) == epsg
    if epsg is None and "proj:epsg" not in coords:
        with pytest.raises(GridError, match="no CRS"):
            array_grid(array.isel(time=0), "t")


def test_spatial_ref_goes_before_a_code() -> None:
    crs = crs_of(placed(0.5).assign_coords(epsg=32617).rio.write_crs(32618))
    assert crs is not None
    assert crs.epsg == 32618


# Units


def in_unit(crs: Any, factor: float, unit: str | None, place: Affine = PLACE) -> xr.DataArray:
    array = placed(0.5, place=place).rio.write_crs(crs)
    array = array.assign_coords(x=array.x / factor, y=array.y / factor)
    for dim in ("x", "y"):
        array[dim].attrs.pop("units", None)
        if unit is not None:
            array[dim].attrs["units"] = unit
    made: xr.DataArray = array
    return made


SCAN = Affine(2004.017, 0, -1_500_000, 0, -2004.017, 2_900_000)
DEGREES = Affine(0.05, 0, -76, 0, -0.05, 38)


@pytest.mark.parametrize(
    ("crs", "factor", "unit", "place"),
    [
        (32618, 1000, "km", PLACE),
        (32618, 1000, " Kilometers", PLACE),
        (32618, 1, "m", PLACE),
        (32618, 1, None, PLACE),
        (32618, 1, "furlong", PLACE),
        (2263, 3937 / 1200, "m", PLACE),
        ("+proj=utm +zone=18 +units=km", 1e-3, "m", Affine(0.1, 0, 435.7, 0, -0.1, 4176.9)),
        ("+proj=utm +zone=18 +units=km", 1, "km", Affine(0.1, 0, 435.7, 0, -0.1, 4176.9)),
        (GOES, HEIGHT_M, "rad", SCAN),
        (GOES, HEIGHT_M, "radians", SCAN),
        (GOES, HEIGHT_M * 1e-6, "microradian", SCAN),
        (GOES, HEIGHT_M, None, SCAN),
        (GOES, 1, None, SCAN),
        (GOES, 1000, "km", SCAN),
        (4326, 1, "degrees_east", DEGREES),
        (4326, np.degrees(1), "radian", DEGREES),
        (4326, 1, None, DEGREES),
    ],
)
def test_coordinates_are_brought_to_the_unit_of_the_crs(
    crs: Any, factor: float, unit: str | None, place: Affine
) -> None:
    grid, notes = array_grid(in_unit(crs, factor, unit, place), "t")
    pixels = ~place * grid.affine
    assert np.allclose(list(pixels), list(Affine.identity()), atol=1e-4)
    assert notes == ()


def test_a_stored_transform_that_agrees_goes_before_a_unit() -> None:
    array = placed(0.5).rio.write_crs(32618).rio.write_transform(PLACE)
    array.x.attrs["units"] = array.y.attrs["units"] = "km"
    assert array_grid(array, "t")[0].affine == PLACE


def test_a_target_of_kilometres_is_in_metres_and_says_so() -> None:
    guide = georeferenced(values((40, 48)), PLACE * Affine.scale(0.5))
    target = mmsr_geo.upsample(in_unit(32618, 1000, "km"), guide, 2, method="bicubic")
    assert target.rio.transform().almost_equals(PLACE * Affine.scale(0.5), 1e-6)
    assert float(target.x[0]) == pytest.approx(PLACE.c + 25)
    assert {target[dim].attrs["units"] for dim in ("x", "y")} == {"metre"}


# Swaths


def swath(dims: tuple[str, str], **coords: Any) -> xr.DataArray:
    y, x = np.mgrid[0:20, 0:24]
    both = {"lat": (dims, 37 - 0.01 * y + 0.001 * x), "lon": (dims, -76 + 0.01 * x + 0.002 * y)}
    return xr.DataArray(values(), dims=dims, coords=both | coords, name="t")


@pytest.mark.parametrize("crs", [None, 4326])
@pytest.mark.parametrize(
    "array",
    [
        swath(("y", "x")),
        swath(("y", "x"), y=np.arange(20), x=np.arange(24)),
        swath(("line", "pixel")),
        swath(("y", "x"))
        .rename(lat="p", lon="q")
        .assign_coords(
            p=lambda a: a.p.assign_attrs(standard_name="latitude"), q=lambda a: a.q.assign_attrs(units="degrees_east")
        ),
    ],
    ids=["no coordinates", "counted", "other dims", "other names"],
)
def test_latitudes_of_each_pixel_are_refused_with_the_way_to_a_grid(array: xr.DataArray, crs: int | None) -> None:
    array = array if crs is None else array.rio.write_crs(crs)
    with pytest.raises(GridError, match=r"coordinates of each pixel \(a swath\).*reproject"):
        ArrayRaster.of(array)


def test_latitudes_of_each_pixel_of_a_grid_are_no_matter() -> None:
    array = placed(0.5).rio.write_crs(32618).assign_coords(lat=(("y", "x"), values()), lon=(("y", "x"), values()))
    assert array_grid(array, "t")[0].affine.almost_equals(PLACE, 1e-6)
    with pytest.raises(GridError, match="no CRS"):
        array_grid(array.drop_vars("spatial_ref"), "t")
