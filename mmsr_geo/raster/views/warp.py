"""Rasters resampled to another grid, where each window equals the same part of the whole; knows GDAL's warp."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

from mmsr_geo.geometry import Halo, Window
from mmsr_geo.raster.base import Combine, Pixels, Raster, ReadPlan
from mmsr_geo.raster.grids import near, pixel_coordinates, steps_across, turned_frame, window_grid
from mmsr_geo.raster.views.base import RasterView

if TYPE_CHECKING:
    from affine import Affine
    from numpy.typing import NDArray


_POINTS_PER_SIDE = 17
_FINER = 1.05
"""Guide pixels per target pixel above which they are averaged; GDAL too ignores a change of resolution by 5 %."""
# rasterio's reproject() ignores `tolerance`; WarpedVRT obeys. At 1e-6 px windows differ by 7e-6 of the pixels'
# deviation, at 1e-9 by 1.2e-7 at most; at the default by 0.05.
_TOLERANCE_PX = 1e-9
_GUARD_PX = 3
"""Pixels beyond the kernel: rounding to whole pixels, and those that GDAL reads around its own window."""
_PIXEL_FRAME = "EPSG:3857"
"""Any projected CRS, the same on both sides: GDAL then leaves coordinates as they are."""


@dataclass(frozen=True, slots=True)
class GridWarp:
    """The resampling from one grid to another; a small picklable value.

    Area-averaged where `native` is finer than `grid` by more than 5 %, cubic otherwise. A window of the result is, to
    float32 rounding, the same window of the whole: GDAL's approximation of the transform is off and its kernel's width
    is the one at the centre of `grid`, whatever the window.
    """

    native: GeoBox
    """The grid of the pixels."""
    grid: GeoBox
    """The grid that they are resampled to."""
    coarse: Resampling = Resampling.cubic
    """Method for pixels that are not smaller than the grid's; masks need Resampling.nearest."""
    fine: Resampling = Resampling.average
    """Method for smaller pixels; bit flags need Resampling.nearest here too."""

    @property
    def resampling(self) -> Resampling:
        """The method that applies: `fine` or `coarse`."""
        down, across = self._native_steps
        averaged = max(down, across) > _FINER and min(down, across) * _FINER > 1
        return self.fine if averaged else self.coarse

    def native_window(self, window: Window) -> Window:
        """Return the window of native pixels that a window of `grid` needs, kernel included.

        Its height and width are 0 where the native raster does not reach.
        """
        rows = np.linspace(window.row, window.row + window.height, _POINTS_PER_SIDE)
        cols = np.linspace(window.col, window.col + window.width, _POINTS_PER_SIDE)
        x, y = np.meshgrid(cols, rows)
        points = pixel_coordinates(self.grid, self.native, x.ravel(), y.ravel()).reshape(2, *x.shape)
        if not np.isfinite(points).any():
            return Window(0, 0, 0, 0)
        lost = not np.isfinite(points).all()
        points = np.where(np.isfinite(points), points, np.nan)
        down, across = self._native_steps
        # Between two sampled points an edge bends by a quarter of what it does over two steps: all of that is added.
        bend = 0.0 if lost else max(_bend(points, axis=1), _bend(points, axis=2))
        reach_y, reach_x = (math.ceil(2 * max(step, 1) + bend) + _GUARD_PX for step in (down, across))
        left, top = (math.floor(value) for value in np.nanmin(points, axis=(1, 2)))
        right, bottom = (math.ceil(value) for value in np.nanmax(points, axis=(1, 2)))
        whole = Window.whole(self.native.shape.yx)
        found = Window(top, left, bottom - top, right - left).padded(Halo(reach_y, reach_x), whole)
        if lost and found.height and found.width:
            return whole  # part of the window lies outside the CRS's domain: the rest may need any pixel
        return found if found.height and found.width else Window(0, 0, 0, 0)

    def warp(self, pixels: Pixels, native_window: Window, window: Window) -> Pixels:
        """Resample the pixels of `native_window` to a window of `grid`.

        Args:
            pixels: (bands, height and width of `native_window`).
            native_window: The window of the native grid that the pixels fill.
            window: A window of `grid`.

        Returns:
            (bands, height and width of `window`); NaN and not valid where no valid native pixel reaches.
        """
        bands = len(pixels.values)
        if not (native_window.height and native_window.width and window.height and window.width):
            empty = np.full((bands, *window.shape), np.nan, np.float32)
            return Pixels(empty, np.zeros(window.shape, np.bool_))
        source, target, crs, target_crs = self._frames(native_window, window)
        down, across = self._native_steps
        with MemoryFile() as memory:
            with memory.open(
                driver="GTiff",
                dtype="float32",
                count=bands,
                height=native_window.height,
                width=native_window.width,
                crs=crs,
                transform=source,
                nodata=math.nan,
            ) as dataset:
                dataset.write(pixels.values)
            with (
                memory.open() as dataset,
                WarpedVRT(
                    dataset,
                    src_crs=crs,  # GeoTIFF has no keys for a prime meridian of one's own
                    crs=target_crs,
                    transform=target,
                    height=window.height,
                    width=window.width,
                    resampling=self.resampling,
                    src_nodata=math.nan,
                    nodata=math.nan,
                    tolerance=_TOLERANCE_PX,
                    XSCALE=1 / across,
                    YSCALE=1 / down,
                ) as warped,
            ):
                return Pixels.masked(warped.read())

    @property
    def _native_steps(self) -> tuple[float, float]:
        down, across = steps_across(self.grid, self.native)
        # Such a pair, with a centre outside the native CRS's domain, is refused before pixels are read.
        return (down, across) if math.isfinite(down * across) else (1.0, 1.0)

    def _frames(self, native_window: Window, window: Window) -> tuple[Affine, Affine, str, str]:
        """Return the transforms and CRSs of both windows.

        Within one CRS they are counted in native pixels: in metres, 1e-9 of rounding decides which pixel is the nearest
        where a centre falls on an edge, and windows differ next to nodata.
        """
        native, grid = self.native, self.grid
        if native.crs == grid.crs:
            # Counted from 1: GDAL takes an identity for no transform at all.
            frame = native.affine.translation(1, 1)
            step = frame * ~native.affine * grid.affine
            corner = frame * frame.translation(native_window.col, native_window.row)
            return corner, step * step.translation(window.col, window.row), _PIXEL_FRAME, _PIXEL_FRAME
        turned = turned_frame(native)
        source = window_grid(native if turned is None else turned, native_window)
        target = window_grid(near(grid, native, datums=True), window)
        return source.affine, target.affine, str(source.crs), str(target.crs)


def _bend(points: NDArray[np.float64], axis: int) -> float:
    middle = np.take(points, range(1, points.shape[axis] - 1), axis)
    before = np.take(points, range(points.shape[axis] - 2), axis)
    after = np.take(points, range(2, points.shape[axis]), axis)
    return float(np.abs(middle - (before + after) / 2).max())


@dataclass(frozen=True, slots=True)
class Warped(RasterView):
    """A raster resampled to another grid; each window equals the same part of the whole."""

    raster: Raster
    grid: GeoBox
    coarse: Resampling = Resampling.cubic
    """Method for pixels that are not smaller than the grid's."""
    fine: Resampling = Resampling.average
    """Method for pixels that are smaller than the grid's."""

    def read_plan(self, window: Window) -> ReadPlan:
        """Return the reads that a window needs; none where the raster does not reach."""
        warp = GridWarp(near(self.raster.grid, self.grid), self.grid, self.coarse, self.fine)
        native = warp.native_window(window)
        if not (native.height and native.width):
            return ReadPlan((), _NoData(len(self.raster.bands), window.shape))
        under = self.raster.read_plan(native)
        return ReadPlan(under.reads, _Warp(under.combine, warp, native, window))


@dataclass(frozen=True, slots=True)
class _NoData:
    bands: int
    shape: tuple[int, int]

    def __call__(self, parts: Sequence[Pixels]) -> Pixels:  # noqa: ARG002  (there are none)
        return Pixels(np.full((self.bands, *self.shape), np.nan, np.float32), np.zeros(self.shape, np.bool_))


@dataclass(frozen=True, slots=True)
class _Warp:
    under: Combine
    warp: GridWarp
    native: Window
    window: Window

    def __call__(self, parts: Sequence[Pixels]) -> Pixels:
        return self.warp.warp(self.under(parts), self.native, self.window)
