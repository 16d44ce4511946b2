"""Coordinates in another unit than the CRS has: refused where nothing converts it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr

from mmsr_geo.errors import GridError
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.read.files import FileRaster

if TYPE_CHECKING:
    from numpy.typing import NDArray

X, Y = 435_700 + 100.0 * np.arange(44), 4_176_900 - 100.0 * np.arange(40)
LON, LAT = -75.7 + 0.01 * np.arange(44), 37.7 - 0.01 * np.arange(40)
GEOS = "+proj=geos +h=35786023 +lon_0=-75 +sweep=x +ellps=GRS80"


def raster(x: NDArray[Any], y: NDArray[Any], units: str, crs: object) -> xr.DataArray:
    made: xr.DataArray = xr.DataArray(np.zeros((40, 44), "f4"), dims=("y", "x"), coords={"y": y, "x": x}, name="heat")
    made = made.rio.write_crs(crs)
    for dim in ("x", "y"):
        made[dim].attrs.update(units=units, standard_name=f"projection_{dim}_coordinate")
    return made


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (raster(LON, LAT, "degrees_east", 32618), "assign the CRS that these coordinates are in"),
        (raster(X, Y, "m", 4326), "assign the CRS that these coordinates are in"),
    ],
)
def test_another_unit_is_refused_with_the_factor(made: xr.DataArray, said: str) -> None:
    with pytest.raises(GridError, match=f"x and y in .*, and the unit of its CRS is .*{said}"):
        ArrayRaster.of(made)


@pytest.mark.parametrize(
    "made",
    [
        raster(X, Y, "m", 32618),
        raster(X, Y, "meters", 32618),
        raster(LON, LAT, "degrees_north", 4326),
        raster(X, Y, "1", 32618),
        raster(X, Y, "km", 32618),
        raster(X, Y, "degrees_east", 32618),
        raster(LON, LAT, "m", 4326),
        raster(X * 2.3, Y / 20, "m", 2263),
    ],
)
def test_metadata_that_stayed_behind_change_nothing(made: xr.DataArray) -> None:
    grid = ArrayRaster.of(made).grid
    assert grid.shape.yx == (40, 44)
    assert grid.affine.a == pytest.approx(float(made.x[1] - made.x[0]))


def test_a_netcdf_file_in_kilometres_is_refused(tmp_path: Path) -> None:
    made = raster(X / 1000, Y / 1000, "km", 32618).rename(x="easting", y="northing")
    made.to_dataset().to_netcdf(tmp_path / "heat.nc", engine="scipy")
    with pytest.raises(GridError, match=r"in km, .* metre: copy it .* -a_ullr and its corners .* times 1000, in metre"):
        FileRaster.open(tmp_path / "heat.nc")
    raster(X, Y, "m", 32618).to_dataset().to_netcdf(tmp_path / "metres.nc", engine="scipy")
    assert FileRaster.open(tmp_path / "metres.nc").grid.affine[:3] == pytest.approx((100, 0, 435_650))
