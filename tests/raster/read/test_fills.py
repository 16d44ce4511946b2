"""Nodata that files and arrays declare: every fill that they list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine

from mmsr_geo.geometry import Window
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.read.files import FileRaster
from support.rasters import georeferenced

PLACE = Affine(10, 0, 500_000, 0, -10, 4_000_000)
STORED = np.arange(80, dtype="int16").reshape(8, 10)
WHOLE = Window(0, 0, 8, 10)


def with_fills(dtype: str = "int16") -> Any:
    values = STORED.astype(dtype)
    values[0], values[1, :5] = -32768, -999
    return values


def variable(path: Path, values: Any, **attrs: Any) -> str:
    """A variable of a netCDF file on a grid of degrees."""
    y, x = 40 - 0.1 * np.arange(8), 10 + 0.1 * np.arange(10)
    dataset = xr.Dataset({"lst": (("lat", "lon"), values, {"grid_mapping": "crs", **attrs})})
    dataset = dataset.assign_coords(
        lat=("lat", y, {"units": "degrees_north", "standard_name": "latitude"}),
        lon=("lon", x, {"units": "degrees_east", "standard_name": "longitude"}),
    )
    ellipsoid = {"semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563}
    dataset["crs"] = xr.DataArray(0, attrs={"grid_mapping_name": "latitude_longitude", **ellipsoid})
    dataset.to_netcdf(path, engine="scipy", encoding={"lst": {"_FillValue": None}})
    return f"netcdf:{path}:lst"


@pytest.mark.parametrize("missing", [np.int16(-999), np.array([-999, -998], "int16"), "-999"])
def test_both_fills_of_a_variable_are_nodata(tmp_path: Path, missing: Any) -> None:
    path = variable(tmp_path / "a.nc", with_fills(), _FillValue=np.int16(-32768), missing_value=missing)
    raster = FileRaster.open(path)
    valid = raster.read(WHOLE).valid
    assert raster.nodata == -32768
    assert (valid == ~np.isin(with_fills(), [-32768, -999])).all()


def test_both_fills_of_an_array_are_nodata_where_xarray_has_not_replaced_them() -> None:
    array = georeferenced(with_fills()[None], PLACE)[0]
    array.attrs |= {"_FillValue": np.int16(-32768), "missing_value": np.int16(-999)}
    raster = ArrayRaster.of(array)
    assert raster.nodata == -32768
    assert (raster.read(WHOLE).valid == ~np.isin(with_fills(), [-32768, -999])).all()


def test_a_given_value_replaces_all_fills() -> None:
    array = georeferenced(with_fills()[None], PLACE)[0]
    array.attrs |= {"_FillValue": np.int16(-32768), "missing_value": np.int16(-999)}
    raster = ArrayRaster.of(array, nodata="-999,>70")
    assert (raster.read(WHOLE).valid == ((with_fills() != -999) & (with_fills() <= 70))).all()


@pytest.mark.parametrize("stored", [-9992, -10000])
def test_the_declared_value_as_a_half_float_is_nodata(tmp_path: Path, stored: int) -> None:
    values = STORED.astype("float32")
    values[0] = stored
    options = {"crs": 32618, "transform": PLACE, "dtype": "float32", "nodata": -9999, "count": 1, "NBITS": 16}
    with rasterio.open(tmp_path / "half.tif", "w", driver="GTiff", height=8, width=10, **options) as dataset:
        dataset.write(values, 1)
    valid = FileRaster.open(tmp_path / "half.tif").read(WHOLE).valid
    assert (valid == (STORED >= 10)).all()


def test_other_floats_are_not_rounded(tmp_path: Path) -> None:
    values = STORED.astype("float32")
    values[0] = -9992
    options = {"crs": 32618, "transform": PLACE, "dtype": "float32", "nodata": -9999, "count": 1}
    with rasterio.open(tmp_path / "whole.tif", "w", driver="GTiff", height=8, width=10, **options) as dataset:
        dataset.write(values, 1)
    assert FileRaster.open(tmp_path / "whole.tif").read(WHOLE).valid.all()
