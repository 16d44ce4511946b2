"""Previews of raster files: few pixels, in physical units, NaN at nodata; never reads a whole file."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow

from mmsr_geo.geometry import Window
from mmsr_geo.nodata import Nodata, NodataLike


@dataclass(frozen=True, slots=True)
class Preview:
    """A decimated part of a file's first band."""

    values: NDArray[np.float32]
    """(h, w), float32 in physical units: scale and offset are applied; NaN at nodata."""
    grid: GeoBox
    unit: str
    bands: tuple[str, ...]
    """The descriptions of all bands, or their numbers."""
    shape_yx: tuple[int, int]
    """Height and width of the whole file, in pixels."""


def preview_of(path: str, side_px: int, part: Window | None = None) -> Preview:
    """Read a part of a file, decimated, from its overviews if it has some; raises the errors of rasterio.

    Args:
        path: The file.
        side_px: The largest height and width of the preview, in pixels.
        part: The window to read; None: all.
    """
    with _Quiet(), rasterio.open(path) as dataset:
        window = part or Window.whole(dataset.shape)
        step = max(1.0, window.height / side_px, window.width / side_px)
        shape = max(1, round(window.height / step)), max(1, round(window.width / step))
        place = RasterioWindow(window.col, window.row, window.width, window.height)
        raw = dataset.read(1, window=place, out_shape=shape, masked=True, resampling=Resampling.nearest)
        corner = dataset.window_transform(place) * Affine.scale(window.width / shape[1], window.height / shape[0])
        bands = tuple(name or str(number) for number, name in enumerate(dataset.descriptions, start=1))
        return Preview(
            _in_units(raw, dataset), GeoBox(shape, corner, dataset.crs), dataset.units[0] or "", bands, dataset.shape
        )


def preview_on(
    path: str, grid: GeoBox, nodata: NodataLike | None = None, *, smooth: bool = False
) -> NDArray[np.float32]:
    """Read a file's first band on the grid of another preview; raises the errors of rasterio.

    Args:
        path: The file.
        grid: The grid of the result.
        nodata: Nodata values and ranges in stored units, in place of the declared ones.
        smooth: Whether to interpolate bilinearly; otherwise the nearest pixel is taken.

    Returns:
        (h, w), float32 in physical units, NaN at nodata.
    """
    with _Quiet(), rasterio.open(path) as dataset:
        declared = dataset.nodata is not None or ColorInterp.alpha in dataset.colorinterp
        height, width = grid.shape.yx
        given = Nodata() if nodata is None else Nodata.of(nodata)
        value = given.value
        options = {"add_alpha": not declared} if value is None else {"src_nodata": value, "nodata": value}
        with WarpedVRT(
            dataset,
            crs=grid.crs.to_wkt() if grid.crs is not None else None,
            transform=grid.transform,
            width=width,
            height=height,
            resampling=Resampling.bilinear if smooth else Resampling.nearest,
            **options,
        ) as warped:
            raw = warped.read(1, masked=True)
            return _in_units(np.ma.masked_where(given.where(raw.data), raw, copy=False), dataset)


def _in_units(raw: np.ma.MaskedArray, dataset: rasterio.DatasetReader) -> NDArray[np.float32]:
    values: NDArray[np.float64] = np.ma.filled(raw.astype(np.float64), np.nan) * dataset.scales[0] + dataset.offsets[0]
    values[~np.isfinite(values)] = np.nan
    return values.astype(np.float32)


class _Quiet(warnings.catch_warnings):
    """Suppress the warning of a raster that is not georeferenced."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
