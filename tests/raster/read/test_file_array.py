"""The array that stands for a file: dimensions, dates and attributes of netCDF and Zarr, as GDAL reports them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from mmsr_geo.raster.read.file_array import file_array
from mmsr_geo.raster.read.files import FileRaster

DAYS = np.array(["2024-06-01", "2024-06-02"], "datetime64[ns]")


def netcdf(path: Path, dims: tuple[str, ...], shape: tuple[int, ...], **coords: Any) -> str:
    """A CF file as archives deliver it: latitude and longitude, a grid mapping, several dimensions before them."""
    lat = ("lat", 40 - 0.1 * np.arange(3), {"units": "degrees_north", "standard_name": "latitude"})
    lon = ("lon", 10 + 0.1 * np.arange(4), {"units": "degrees_east", "standard_name": "longitude"})
    array = xr.DataArray(
        np.arange(np.prod(shape) * 12, dtype=np.float32).reshape(*shape, 3, 4),
        dims=(*dims, "lat", "lon"),
        coords={"lat": lat, "lon": lon, **coords},
        attrs={"units": "K", "long_name": "surface temperature", "grid_mapping": "crs"},
        name="lst",
    )
    dataset = array.to_dataset()
    dataset["crs"] = xr.DataArray(
        0,
        attrs={
            "grid_mapping_name": "latitude_longitude",
            "semi_major_axis": 6378137.0,
            "inverse_flattening": 298.257223563,
        },
    )
    dataset.to_netcdf(path, engine="scipy")
    return f"netcdf:{path}:lst"


def made(path: str | Path) -> xr.DataArray:
    return file_array(FileRaster.open(path))


@pytest.mark.parametrize("count", [1, 2])
def test_a_time_is_a_dimension_also_of_one_date(tmp_path: Path, count: int) -> None:
    array = made(netcdf(tmp_path / "a.nc", ("time",), (count,), time=DAYS[:count]))
    assert array.dims == ("time", "y", "x")
    assert array.shape == (count, 3, 4)
    assert (array.time.values == DAYS[:count]).all()
    assert array.name == "lst"
    assert array.attrs["units"] == "K"
    assert array.attrs["long_name"] == "surface temperature"
    assert not [key for key in array.attrs if "#" in str(key) or "NETCDF" in str(key)]


def test_a_level_is_a_dimension_and_two_dimensions_are_two(tmp_path: Path) -> None:
    array = made(netcdf(tmp_path / "a.nc", ("level",), (2,), level=[850.0, 500.0]))
    assert array.dims == ("level", "y", "x")
    assert array.level.dtype == np.float64
    both = made(netcdf(tmp_path / "b.nc", ("time", "level"), (2, 3), time=DAYS, level=[850.0, 500.0, 300.0]))
    assert dict(both.sizes) == {"time": 2, "level": 3, "y": 3, "x": 4}
    assert (both.time.values == DAYS).all()
    assert both.level.values.tolist() == [850, 500, 300]


def test_a_date_that_is_there_twice_stays_twice(tmp_path: Path) -> None:
    array = made(netcdf(tmp_path / "a.nc", ("time",), (2,), time=DAYS[[0, 0]]))
    assert array.dims == ("time", "y", "x")
    assert (array.time.values == DAYS[[0, 0]]).all()


def test_dates_of_a_calendar_that_numpy_has_not_stay_numbers(tmp_path: Path) -> None:
    time = ("time", np.array([59, 60]), {"units": "days since 2024-01-01", "calendar": "360_day"})
    array = made(netcdf(tmp_path / "a.nc", ("time",), (2,), time=time))
    assert array.time.values.tolist() == [59, 60]
    assert array.time.attrs == {"units": "days since 2024-01-01", "calendar": "360_day"}


def test_a_dimension_without_coordinates_numbers_the_bands(tmp_path: Path) -> None:
    array = made(netcdf(tmp_path / "a.nc", ("time",), (2,)))
    assert array.dims == ("band", "y", "x")
    assert array.band.values.tolist() == [1, 2]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("count", [None, 1, 2])
def test_a_zarr_store_of_one_variable_is_that_variable(tmp_path: Path, count: int | None, *, named: bool) -> None:
    values = np.zeros((2, 3, 4), np.float32)
    times = xr.DataArray(DAYS, dims="time", attrs={"comment": "of the overpass"})
    array = xr.DataArray(
        values, dims=("time", "y", "x"), coords={"time": times, "y": [30.0, 20, 10], "x": [0.0, 10, 20, 30]}, name="lst"
    ).rio.write_crs("EPSG:32618")
    array = array.isel(time=0, drop=True) if count is None else array[:count]
    array.to_dataset().to_zarr(tmp_path / "a.zarr", zarr_format=2)
    found = made(f'ZARR:"{tmp_path / "a.zarr"}":/lst' if named else tmp_path / "a.zarr")
    assert found.dims == array.dims
    if count is not None:
        assert (found.time.values == DAYS[:count]).all()
        assert found.time.attrs == {"comment": "of the overpass"}


def test_the_calendar_of_a_zarr_store_counts(tmp_path: Path) -> None:
    attrs = {"units": "days since 2024-01-01", "calendar": "noleap"}
    array = xr.DataArray(
        np.zeros((2, 3, 4), np.float32),
        dims=("time", "y", "x"),
        coords={"time": ("time", [59, 60], attrs), "y": [30.0, 20, 10], "x": [0.0, 10, 20, 30]},
        name="lst",
    ).rio.write_crs("EPSG:32618")
    array.to_dataset().to_zarr(tmp_path / "a.zarr", zarr_format=2)
    found = made(tmp_path / "a.zarr")
    assert found.time.values.tolist() == [59, 60]
    assert found.time.attrs == attrs
