"""What is in a raster file, for a person to read: its grid, type, holes and range; looks at it decimated."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

import numpy as np
import rasterio
from rasterio.enums import Resampling

from mmsr_geo.raster.files import FileRaster
from mmsr_geo.raster.grids import resolution_m

LOOKED_AT_PX = 1_000_000


@dataclass(frozen=True, slots=True)
class RasterSummary:
    """A raster in a few lines."""

    raster: FileRaster
    driver: str
    resolution_m: tuple[float, float]
    valid_share: float
    """Of the pixels looked at, 0..1."""
    ranges: tuple[tuple[float, float], ...]
    """Least and largest valid value a band, of the pixels looked at; NaN where none is valid."""

    def rows(self) -> list[tuple[str, str]]:
        """Return (what, value) for a table."""
        raster, grid = self.raster, self.raster.grid
        unit = grid.crs.units[0] if grid.crs is not None else ""
        down, across = self.resolution_m
        own = f"{abs(grid.resolution.x):.6g} x {abs(grid.resolution.y):.6g} {unit}" if grid.axis_aligned else "rotated"
        box = grid.boundingbox
        bands = ", ".join(raster.bands[:6]) + (", ..." if len(raster.bands) > 6 else "")
        ranges = ", ".join(f"{low:.6g} to {high:.6g}" for low, high in self.ranges[:4])
        return [
            ("size", f"{grid.shape.x} x {grid.shape.y} px, {len(raster.bands)} band{'s'[: len(raster.bands) > 1]}"),
            ("bands", bands),
            ("type", f"{raster.dtype} ({self.driver})"),
            ("CRS", _crs_name(raster)),
            ("pixel", f"{own} ({across:.4g} x {down:.4g} m)"),
            ("west, south, east, north", ", ".join(f"{value:.10g}" for value in box.bbox)),
            ("nodata", "none declared" if raster.nodata is None else f"{raster.nodata:g}"),
            ("valid", f"{self.valid_share:.1%}"),
            ("range", ranges + (", ..." if len(self.ranges) > 4 else "")),
        ]


def summary_of(path: str | PathLike[str]) -> RasterSummary:
    """Look at a file; raises InputError and GridError as reading does."""
    raster = FileRaster.open(path)
    with rasterio.open(raster.path) as dataset:
        step = max(1.0, (dataset.height * dataset.width * dataset.count / LOOKED_AT_PX) ** 0.5)
        shape = max(1, int(dataset.height / step)), max(1, int(dataset.width / step))
        values = dataset.read(
            list(raster.indexes), out_shape=(len(raster.indexes), *shape), masked=True, resampling=Resampling.nearest
        )
        driver = dataset.driver
    looked_at = np.ma.masked_invalid(values.astype(np.float64))
    ranges = tuple(
        (float(band.min()), float(band.max())) if band.count() else (float("nan"), float("nan")) for band in looked_at
    )
    share = float((~np.ma.getmaskarray(looked_at).any(axis=0)).mean())
    return RasterSummary(raster, driver, resolution_m(raster.grid), share, ranges)


def _crs_name(raster: FileRaster) -> str:
    crs = raster.grid.crs
    if crs is None:
        return "none"
    return f"EPSG:{crs.epsg} {crs.proj.name}" if crs.epsg else crs.proj.name
