"""Summaries of raster files for people: grid, dtype, nodata, range and detail, from a sample of the pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from os import PathLike

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling

from mmsr_geo.geometry import Window
from mmsr_geo.raster.grids import resolution_m
from mmsr_geo.raster.inspect.oversampling import LEAST_PX, Oversampling, oversampling
from mmsr_geo.raster.inspect.sensors import rounded_resolution
from mmsr_geo.raster.inspect.suspicions import NodataSuspicion
from mmsr_geo.raster.inspect.undeclared_nodata import find_undeclared_nodata
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.spelling import flag
from mmsr_geo.text import counted

SAMPLED_PX = 1_000_000
"""Pixels, all bands counted, that are read of a file for the shares and ranges."""
DETAIL_SIDE_PX = 512
"""Side in pixels of the window that is read at full resolution to find oversampling."""
DETAIL_BANDS = 4
"""Number of bands that are read to find oversampling."""


@dataclass(frozen=True, slots=True)
class RasterSummary:
    """Summary of a raster file."""

    raster: FileRaster
    driver: str
    resolution_m: tuple[float, float]
    valid_share: float
    """Share of valid pixels in the sample, 0 to 1."""
    ranges: tuple[tuple[float, float], ...]
    """Least and largest valid value of each band in the sample; NaN where no pixel is valid."""
    detail: tuple[Oversampling | None, ...]
    """Suspected oversampling of each of the first bands."""
    suspicions: tuple[NodataSuspicion, ...] = ()
    """The values that look like undeclared nodata."""

    @property
    def suspected_m(self) -> float | None:
        """Resolution in metres from which the raster seems to be resampled; None if it does not seem so."""
        suspected = [
            max(found.down * self.resolution_m[0], found.across * self.resolution_m[1])
            for found in self.detail
            if found is not None
        ]
        return rounded_resolution(max(suspected)) if suspected else None

    def rows(self) -> list[tuple[str, str]]:
        """Return (label, value) for a table."""
        raster, grid = self.raster, self.raster.grid
        unit = grid.crs.units[0] if grid.crs is not None else ""
        down, across = self.resolution_m
        own = f"{abs(grid.resolution.x):.6g} x {abs(grid.resolution.y):.6g} {unit}" if grid.axis_aligned else "rotated"
        box = grid.boundingbox
        bands = ", ".join(raster.bands[:6]) + (", ..." if len(raster.bands) > 6 else "")
        ranges = ", ".join(f"{low:.6g} to {high:.6g}" for low, high in self.ranges[:4])
        return [
            ("size", f"{grid.shape.x} x {grid.shape.y} px, {counted(len(raster.bands), 'band')}"),
            ("bands", bands + self._classes_text()),
            ("type", f"{raster.dtype} ({self.driver})"),
            ("CRS", _crs_name(raster)),
            ("pixel", f"{own} ({across:.4g} x {down:.4g} m)"),
            ("west, south, east, north", ", ".join(f"{value:.10g}" for value in box.bbox)),
            ("nodata", self._nodata_text()),
            ("valid", f"{self.valid_share:.1%}"),
            ("range", ranges + (", ..." if len(self.ranges) > 4 else "")),
            ("detail", self._detail_text()),
        ]

    def _classes_text(self) -> str:
        """Return which bands hold classes, and the names of some; an empty text if none does."""
        if not self.raster.legends:
            return ""
        bands = zip(self.raster.bands, self.raster.legends, strict=True)
        held = [(band, legend) for band, legend in bands if legend is not None]
        named = [f"{code} {name}" for _, legend in held for code, name in legend.names]
        names = f": {', '.join(named[:6])}{', ...' if len(named) > 6 else ''}" if named else ""
        return f"; classes in {', '.join(band for band, _ in held)}{names}"

    def _nodata_text(self) -> str:
        bands = dict.fromkeys(str(nodata) for nodata in self.raster.nodatavals if nodata is not None)
        declared = "; ".join(bands) or "none declared"
        return "; ".join([declared, *(f"suspected: {suspicion}" for suspicion in self.suspicions)])

    def _detail_text(self) -> str:
        metres = self.suspected_m
        if self.raster.legends and all(self.raster.legends):
            return "not looked for in classes"
        if metres is None:
            small = min(self.raster.grid.shape.yx) < LEAST_PX
            return "too few pixels to check" if small else "no oversampling found"
        suspected = [(name, found) for name, found in zip(self.raster.bands, self.detail, strict=False) if found]
        which = "" if len(suspected) == len(self.detail) else f" in {', '.join(name for name, _ in suspected)}"
        down, across = max(found.down for _, found in suspected), max(found.across for _, found in suspected)
        pixels = f"{across:.2g}" if abs(across - down) <= 0.05 * down else f"{across:.2g} x {down:.2g}"
        advice = f"for a source, see {flag('source_resolution')}"
        return f"oversampling suspected{which}: one original pixel is about {pixels} pixels ({metres:g} m); {advice}"


def summary_of(path: str | PathLike[str]) -> RasterSummary:
    """Read a sample of a file and return its summary; raises InputError and GridError as reading does."""
    raster = FileRaster.open(path, classes=())
    with rasterio.open(raster.path) as dataset:
        step = max(1.0, (dataset.height * dataset.width * dataset.count / SAMPLED_PX) ** 0.5)
        shape = max(1, int(dataset.height / step)), max(1, int(dataset.width / step))
        values = dataset.read(
            list(raster.indexes),
            out_shape=(len(raster.indexes), *shape),
            # An alpha band that holds a quantity masks nothing.
            masked=raster.mask_bands or any(value is not None for value in raster.nodatavals),
            resampling=Resampling.nearest,
        )
        driver = dataset.driver
    sample = np.ma.masked_invalid(values.astype(np.float64))
    ranges = tuple(
        (float(band.min()), float(band.max())) if band.count() else (float("nan"), float("nan")) for band in sample
    )
    valid = np.asarray(~np.ma.getmaskarray(sample).any(axis=0))
    window = _detail_window(raster, valid)
    measured = [place for place in range(len(raster.bands)) if not raster.legends or raster.legends[place] is None]
    looked_at = [place for place in measured if place < DETAIL_BANDS]
    found = [oversampling(band) for band in raster.at(looked_at).read(window).values] if looked_at else []
    # A class has no detail of its own, and any of its codes may be far from the others.
    detail = tuple(
        dict(zip(looked_at, found, strict=True)).get(place) for place in range(len(raster.bands[:DETAIL_BANDS]))
    )
    suspicions = find_undeclared_nodata(raster.at(measured)) if measured else ()
    return RasterSummary(raster, driver, resolution_m(raster.grid), float(valid.mean()), ranges, detail, suspicions)


def _detail_window(raster: FileRaster, valid: NDArray[np.bool_]) -> Window:
    """Return the window to find oversampling in: the centre, or the centre of a quarter with more valid pixels.

    Args:
        raster: The raster.
        valid: (h, w), its valid pixels, decimated.
    """
    whole = raster.grid.shape.yx
    height, width = (min(side, DETAIL_SIDE_PX) for side in whole)

    def share(window: Window) -> float:
        rows, columns = (
            slice(start * seen // side, max(1, math.ceil((start + length) * seen / side)))
            for start, length, seen, side in zip(
                (window.row, window.col), (height, width), valid.shape, whole, strict=True
            )
        )
        return round(float(valid[rows, columns].mean()), 1)

    down, across = whole[0] - height, whole[1] - width
    quarters = ((2, 2), (1, 1), (1, 3), (3, 1), (3, 3))
    return max((Window(down * y // 4, across * x // 4, height, width) for y, x in quarters), key=share)


def _crs_name(raster: FileRaster) -> str:
    crs = raster.grid.crs
    if crs is None:
        return "none"
    return f"EPSG:{crs.epsg} {crs.proj.name}" if crs.epsg else crs.proj.name
