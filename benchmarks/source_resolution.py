"""Error of a source that its archive resampled, used as delivered and averaged to its sensor's pixels.

    python benchmarks/source_resolution.py      minutes; the demo's Sentinel-2 bands; the figures are in docs/rasters.md

Each 10 m band in turn is the truth, the others are the guide. The source is the band's 100 m means, resampled to 30 m
by cubic convolution, as Landsat's thermal bands are delivered.
"""

from __future__ import annotations

import argparse
from importlib import resources
from pathlib import Path

import numpy as np
import rioxarray
import xarray as xr
from affine import Affine
from rasterio.enums import Resampling

import mmsr_geo

SIDE_PX = 510
MARGIN_PX = 30
CRS = "EPSG:32618"


def band_and_guide(number: int) -> tuple[xr.DataArray, xr.DataArray]:
    """Return a 10 m band of the demo's guide, and the others, 510 x 510 pixels each."""
    path = Path(str(resources.files("mmsr_geo") / "demo_data/sentinel2_10m.tif"))
    opened = rioxarray.open_rasterio(path)
    if not isinstance(opened, xr.DataArray):
        raise TypeError(path)
    part = opened.isel(y=slice(SIDE_PX), x=slice(SIDE_PX)).astype("float32")
    return part.sel(band=number, drop=True), part.sel(band=[band for band in part.band.values if band != number])


def as_delivered(truth: xr.DataArray) -> xr.DataArray:
    """Return 100 m means of a 10 m band, resampled to 30 m by cubic convolution."""
    transform = truth.rio.transform()
    means = truth.coarsen(y=10, x=10).mean().rio.write_transform(transform * Affine.scale(10)).rio.write_crs(CRS)
    side = SIDE_PX // 3
    resampled: xr.DataArray = means.rio.reproject(
        CRS, shape=(side, side), transform=transform * Affine.scale(3), resampling=Resampling.cubic
    )
    return resampled


def rmse(sharp: xr.DataArray, truth: xr.DataArray) -> float:
    """Return the RMSE within the margin; a coarser source may extend beyond the truth."""
    inner = np.s_[MARGIN_PX : SIDE_PX - MARGIN_PX, MARGIN_PX : SIDE_PX - MARGIN_PX]
    errors = sharp.values[inner].astype(np.float64) - truth.values[inner]
    return float(np.sqrt(np.mean(errors**2)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--bands", type=int, nargs="*", default=[1, 3, 4], help="bands of the demo's guide that are the truth in turn"
    )
    parser.add_argument("--steps", type=int, help="number of steps of the fit; by default the method's own")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--seeds", type=int, default=1, help="number of fits of each band")
    options = parser.parse_args()
    print("| band | seed | bicubic from 30 m | as delivered, x3 | landsat-tirs, x9 | ratio |")
    print("|---|---|---|---|---|---|")
    for number in options.bands:
        truth, guide = band_and_guide(number)
        source = as_delivered(truth)
        bicubic = rmse(mmsr_geo.upsample(source, guide, method="bicubic"), truth)
        for seed in range(options.seeds):
            params = mmsr_geo.FitParams(steps=options.steps, threads=options.threads)
            plain, averaged = (
                rmse(mmsr_geo.upsample(source, guide, params=params, seed=seed, source_resolution=resolution), truth)
                for resolution in (None, "landsat-tirs")
            )
            ratio = averaged / plain
            print(f"| {number} | {seed} | {bicubic:.1f} | {plain:.1f} | {averaged:.1f} | {ratio:.3f} |", flush=True)


if __name__ == "__main__":
    main()
