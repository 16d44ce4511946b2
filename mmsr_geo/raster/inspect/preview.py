"""A raster file as a person would look at it: few pixels, in its units, holes as NaN; never the whole in memory."""

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


@dataclass(frozen=True, slots=True)
class Preview:
    """A part of a file's first band."""

    values: NDArray[np.float32]
    """(h, w), in the band's units: its scale and offset are applied."""
    grid: GeoBox
    unit: str
    bands: tuple[str, ...]
    """The descriptions of all bands, or their numbers."""
    shape_yx: tuple[int, int]
    """Of the whole file."""


def preview_of(path: str, side_px: int, part: Window | None = None) -> Preview:
    """Read a part of a file, all if None, decimated to `side_px` a side at most: of its overviews where it has some.

    Raises what rasterio raises.
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


def preview_on(path: str, grid: GeoBox, nodata: float | None = None, *, smooth: bool = False) -> NDArray[np.float32]:
    """Read a file's first band at the places of another's look: each its nearest pixel, or between them if `smooth`.

    nodata: the stored value that is a hole, whatever the file declares. Raises what rasterio raises.
    """
    with _Quiet(), rasterio.open(path) as dataset:
        declared = nodata is not None or dataset.nodata is not None or ColorInterp.alpha in dataset.colorinterp
        height, width = grid.shape.yx
        options = {"src_nodata": nodata, "nodata": nodata} if nodata is not None else {"add_alpha": not declared}
        with WarpedVRT(
            dataset,
            crs=grid.crs.to_wkt() if grid.crs is not None else None,
            transform=grid.transform,
            width=width,
            height=height,
            resampling=Resampling.bilinear if smooth else Resampling.nearest,
            **options,
        ) as warped:
            return _in_units(warped.read(1, masked=True), dataset)


def _in_units(raw: np.ma.MaskedArray, dataset: rasterio.DatasetReader) -> NDArray[np.float32]:
    values: NDArray[np.float64] = np.ma.filled(raw.astype(np.float64), np.nan) * dataset.scales[0] + dataset.offsets[0]
    values[~np.isfinite(values)] = np.nan
    return values.astype(np.float32)


class _Quiet(warnings.catch_warnings):
    """Say nothing of a raster that lies nowhere."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
