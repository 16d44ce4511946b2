"""Small rasters for tests: crops of the real pairs that ship with the package, and made ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import rasterio
import rioxarray
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

import mmsr_geo
from support.scenes import with_both_parts

DEMO_DATA = Path(str(resources.files("mmsr_geo") / "demo_data"))
SENTINEL_TRUTH, SENTINEL_GUIDE = DEMO_DATA / "sentinel2_b11_20m.tif", DEMO_DATA / "sentinel2_10m.tif"
LANDSAT_TRUTH, LANDSAT_GUIDE = DEMO_DATA / "landsat7_thermal_30m.tif", DEMO_DATA / "landsat7_optical_30m.tif"


@dataclass(frozen=True)
class Crop:
    """A part of the Sentinel-2 pair: the truth (20 m), the source by block means, the whole guide (10 m)."""

    truth: NDArray[np.float32]
    source: xr.DataArray


def block_means(values: NDArray[np.float32], scale: int) -> NDArray[np.float64]:
    height, width = (side // scale for side in values.shape)
    return values.astype(np.float64).reshape(height, scale, width, scale).mean(axis=(1, 3))  # type: ignore[no-any-return]


def sentinel_crop(row: int, column: int, height: int, width: int, scale: int) -> Crop:
    """Take (height, width) source pixels at (row, column) of the truth."""
    with rasterio.open(SENTINEL_TRUTH) as dataset:
        whole, transform, crs = dataset.read(1).astype(np.float32), dataset.transform, dataset.crs
    truth = whole[row : row + height * scale, column : column + width * scale]
    corner = transform * Affine.translation(column, row) * Affine.scale(scale)
    return Crop(truth, georeferenced(block_means(truth, scale).astype(np.float32), corner, crs.to_epsg(), name="B11"))


def georeferenced(
    values: NDArray[np.floating] | NDArray[np.integer],
    transform: Affine,
    epsg: int = 32618,
    *,
    name: str | None = None,
    nodata: float | None = None,
) -> xr.DataArray:
    """Make a (..., y, x) array with coordinates, CRS and transform."""
    height, width = values.shape[-2:]
    y = transform.f + transform.e * (np.arange(height) + 0.5)
    x = transform.c + transform.a * (np.arange(width) + 0.5)
    dims = ("y", "x") if values.ndim == 2 else ("band", "y", "x")
    array = xr.DataArray(values, dims=dims, coords={"y": y, "x": x}, name=name)
    placed: xr.DataArray = array.rio.write_crs(epsg).rio.write_transform(transform)
    return placed if nodata is None else placed.rio.write_nodata(nodata)


@cache
def sentinel_guide() -> xr.DataArray:
    """Read the whole guide, all four bands."""
    guide = rioxarray.open_rasterio(SENTINEL_GUIDE)
    assert isinstance(guide, xr.DataArray)
    return guide.load()


def misleading_guide() -> xr.DataArray:
    """Return the guide upside down, which is no help."""
    guide = sentinel_guide()
    return guide.copy(data=guide.values[:, ::-1])


@cache
def sentinel_model(scale: int) -> mmsr_geo.FittedModel:
    """Fit shortly to the upper left 160 x 160 pixels of the truth."""
    short = mmsr_geo.FitParams(steps=30, patch_px=48, threads=1, ensemble=False)
    crop = sentinel_crop(0, 0, 160 // scale, 160 // scale, scale)
    network, members = (
        mmsr_geo.fit(crop.source, sentinel_guide(), scale, params=params)
        for params in (short, mmsr_geo.FitParams(network=False, threads=1))
    )
    # So short a fit says nothing of the guide, and all parts that a prediction can have take part.
    return replace(with_both_parts(network, members), check=mmsr_geo.GuideCheck())
