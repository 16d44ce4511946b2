"""Arrays of xarray and dask: coordinates, dimensions, chunks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import rioxarray
import xarray as xr
from affine import Affine

from mmsr_geo.errors import GridError, InputError
from support.hostile.cases import (
    ARRAYS,
    UTM,
    Job,
    Refusal,
    Target,
    Values,
    array,
    guide_array,
    refused,
    result,
    scene,
    texture,
    with_nodata,
    write_source,
)
from support.rasters import georeferenced


@result("coordinates", ARRAYS)
def rows_from_south_to_north(_: Path) -> Job:
    turned = array().drop_vars("spatial_ref").isel(y=slice(None, None, -1)).rio.write_crs(UTM)
    place = Affine(30, 0, 435_730, 0, 30, 4_176_300)
    return Job(turned, guide_array(), Target(scene()[::-1], place), method="mmsr")


@refused("coordinates", ARRAYS)
def rows_in_any_order(_: Path) -> Job:
    order = np.random.default_rng(0).permutation(20)
    return Job(array().isel(y=order), guide_array(), Refusal(GridError, "unevenly spaced coordinates.*interpolate"))


@refused("coordinates", ARRAYS)
def steps_that_grow(_: Path) -> Job:
    uneven = array().assign_coords(x=435_745 + 30 * np.arange(24.0) ** 1.05)
    return Job(uneven, guide_array(), Refusal(GridError, "unevenly spaced coordinates.*interpolate"))


@refused("coordinates", ARRAYS)
def each_coordinate_twice(_: Path) -> Job:
    doubled = array().isel(x=np.repeat(np.arange(12), 2))
    return Job(doubled, guide_array(), Refusal(GridError, "unevenly spaced coordinates"))


@refused("coordinates", ARRAYS)
def one_coordinate_that_is_no_number(_: Path) -> Job:
    x = np.asarray(array().x.values).copy()
    x[7] = np.nan
    return Job(
        array().assign_coords(x=x), guide_array(), Refusal(GridError, "1 of 24 coordinates along x.*assign valid")
    )


@refused("odd coordinates", ARRAYS)
def columns_named_by_letters(_: Path) -> Job:
    lettered = array().assign_coords(x=[f"column {i}" for i in range(24)])
    return Job(lettered, guide_array(), Refusal(GridError, "24 of 24 coordinates along x.*assign valid"))


@refused("odd coordinates", ARRAYS)
def an_infinite_coordinate(_: Path) -> Job:
    x = np.asarray(array().x.values).copy()
    x[-1] = np.inf
    return Job(
        array().assign_coords(x=x), guide_array(), Refusal(GridError, "1 of 24 coordinates along x.*assign valid")
    )


@result("odd coordinates", ARRAYS)
def degrees_in_single_precision(_: Path) -> Job:
    x = (np.arange(24) / 3600 - 75.7).astype(np.float32)
    y = (37.7 - np.arange(20) / 3600).astype(np.float32)
    source = xr.DataArray(scene(), dims=("lat", "lon"), coords={"lat": y, "lon": x}).rio.write_crs(4326)
    source = source.rio.set_spatial_dims("lon", "lat")
    step_x, step_y = (float(c[-1] - c[0]) / (len(c) - 1) for c in (x.astype(float), y.astype(float)))
    place = Affine(step_x, 0, float(x[0]) - step_x / 2, 0, step_y, float(y[0]) - step_y / 2)
    guide = georeferenced(texture(), place * Affine.scale(0.5) * Affine.translation(-2, -2), 4326)
    return Job(source, guide, Target(scene(), place, "EPSG:4326"))


@result("odd coordinates", ARRAYS)
def longitudes_from_0_to_360(_: Path) -> Job:
    place = Affine(0.01, 0, 284.2, 0, -0.01, 37.7)
    source = georeferenced(scene(), place, 4326)
    guide = georeferenced(texture(), Affine(0.005, 0, -75.81, 0, -0.005, 37.71), 4326)
    return Job(source, guide, Target(scene(), place, "EPSG:4326"), method="mmsr")


@result("dims", ARRAYS)
def a_series_of_dates(_: Path) -> Job:
    days = np.array(["2024-05-01", "2024-05-17"], "datetime64[ns]")
    series = xr.concat([array(), array() + 5], xr.Variable("time", days))
    return Job(series, guide_array(), Target(np.stack([scene(), scene() + 5])))


@refused("dims", ARRAYS)
def a_date_that_the_guide_has_not(_: Path) -> Job:
    days = np.array(["2024-05-01", "2024-05-17"], "datetime64[ns]")
    series = array().expand_dims(time=days[:1])
    guide = guide_array().expand_dims(time=days[1:])
    return Job(series, guide, Refusal(InputError, "the guide has no slices at time 2024-05-01.*use a guide"))


@refused("dims", ARRAYS)
def a_date_that_the_guide_has_twice(_: Path) -> Job:
    day = np.array(["2024-05-01"], "datetime64[ns]")
    guide = xr.concat([guide_array().expand_dims(time=day)] * 2, "time")
    refusal = Refusal(InputError, "the guide has 2 slices at time 2024-05-01")
    return Job(array().expand_dims(time=day), guide, refusal)


@refused("dims", ARRAYS)
def dims_that_no_one_knows(_: Path) -> Job:
    nameless = xr.DataArray(scene(), dims=("a", "b"))
    return Job(nameless, guide_array(), Refusal(GridError, r"set_spatial_dims"))


@refused("dims", ARRAYS)
def a_row_without_columns(_: Path) -> Job:
    return Job(array().isel(x=0), guide_array(), Refusal(GridError, r"the dimensions y: name the spatial ones"))


@result("lazy array", ARRAYS)
def chunks_of_odd_sizes(_: Path) -> Job:
    source = array().chunk({"y": (1, 13, 6), "x": (23, 1)})
    return Job(source, guide_array().chunk({"band": 1, "y": 7, "x": 11}), Target(scene()), method="mmsr")


TORN = (InputError, OSError)
"""A lazy result raises what its own graph raised; a job says where."""


def _broken(block: Values, block_info: Any = None) -> Values:
    if block_info and block_info[None]["chunk-location"] == (1, 1):
        msg = "the tape is torn"
        raise OSError(msg)
    return block


@refused("lazy array", ARRAYS)
def a_chunk_that_raises(_: Path) -> Job:
    values = da.from_array(scene(), chunks=(10, 12)).map_blocks(_broken, dtype=np.float32)
    return Job(array().copy(data=values), guide_array(), Refusal(TORN, "the tape is torn"))


@refused("lazy array", ARRAYS)
def a_chunk_of_the_guide_that_raises_in_a_fit(_: Path) -> Job:
    guide = guide_array().isel(band=0, drop=True)
    values = da.from_array(guide.values, chunks=(22, 26)).map_blocks(_broken, dtype=np.uint16)
    return Job(array(), guide.copy(data=values), Refusal(TORN, "the tape is torn"), method="mmsr")


@result("lazy array", ARRAYS)
def a_netcdf_with_packed_values(at: Path) -> Job:
    packed = (scene() * 10).astype(np.int16)
    packed[4:6, 4:6] = -32768
    stored = array(packed, name="lst").assign_attrs(scale_factor=0.1, add_offset=0.0, _FillValue=np.int16(-32768))
    stored.to_netcdf(at / "lst.nc", engine="scipy")
    opened = xr.open_dataset(at / "lst.nc", engine="scipy", decode_coords="all")["lst"]
    physical = (packed * 0.1).astype(np.float32)
    return Job(opened, guide_array(), Target(with_nodata(physical, np.s_[4:6, 4:6])), method="mmsr")


@refused("lazy array", ("file",))
def a_lazy_file_cut_within_its_pixels(at: Path) -> Job:
    source = write_source(at, compress="deflate")
    source.write_bytes(source.read_bytes()[:-300])
    opened = rioxarray.open_rasterio(source, chunks={"y": 10, "x": 12})
    assert isinstance(opened, xr.DataArray)
    words = r"source\.tif cannot be computed at row 0, column 0 \(.*: check what it is computed from"
    return Job(opened.squeeze("band", drop=True), guide_array(), Refusal(InputError, words))
