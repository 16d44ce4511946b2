"""Readers of the data sets for pairs.py: truth and guide on the truth's grid, and the source of a second sensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from cases import read_layers
from odc.geo.geobox import GeoBox

from mmsr_geo.geometry import Window
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.views.warp import Warped

FEWEST_OF_CLASS = 0.01
"""Least share of the pixels of a land cover class that is a band of the guide."""


@dataclass(frozen=True, slots=True, eq=False)
class Rasters:
    """The rasters of a pair before they are cropped; float32, NaN where nodata."""

    truth: np.ndarray
    """(H, W)."""
    guide: np.ndarray
    """(C, H, W), on the truth's grid."""
    source: np.ndarray | None = None
    """(h, w), measured by another sensor; None: the block means of the truth."""


Reader = Callable[[Path], Rasters]
"""Function from the folder of the data sets to the rasters of a pair."""


def known(name: str) -> Reader:
    """Return the reader of a data set of cases.py, such as s2-B11, l7, vhm0, autzen, rmnp or depth1."""
    return lambda data: Rasters(*read_layers(name, data))


def stacked(truth: str, *guides: str, band: int = 1) -> Reader:
    """Return the reader of a band and of all bands of guides, by their paths without .tif, on one grid."""
    return lambda data: Rasters(_read(data, truth)[band - 1], np.concatenate([_read(data, guide) for guide in guides]))


def warped(truth: str, *guides: str, band: int = 1) -> Reader:
    """Return the reader of a band and of guides that are resampled (averaged if finer) to its grid."""

    def read(data: Path) -> Rasters:
        grid = _open(data, truth).grid
        layers = [_on_grid(data, guide, grid) for guide in guides]
        return Rasters(_read(data, truth)[band - 1], np.concatenate(layers))

    return read


def sentinel_20m(place: str, band: int, *, of: str = "", guided_by: str = "") -> Reader:
    """Return the reader of a band of 20 m with the bands of 10 m averaged by 2 as its guide.

    Args:
        place: Folder, and the beginning of the file's name, if it has one.
        band: Number of the band, from 1.
        of: Date of the band, as in the file's name.
        guided_by: Date of the guide, if it is another.
    """

    def read(data: Path) -> Rasters:
        truth = _read(data, f"{place}{of}20m")[band - 1]
        return Rasters(truth, _averaged(_read(data, f"{place}{guided_by or of}10m"), 2))

    return read


def judged_by_b08(place: str, first: int = 0) -> Reader:
    """Return the reader of B8A at 20 m as the source, and B08 at 10 m as its truth.

    The gain and the offset of B08 are fitted at 20 m. B08 is not part of the guide.

    Args:
        place: The folder.
        first: Column of 10 m with which the first column of 20 m begins that lies within.
    """

    def read(data: Path) -> Rasters:
        fine = _read(data, f"{place}/bands_10m")[:, :, first:]
        source = _read(data, f"{place}/bands_20m")[3][:, (first + 1) // 2 :]
        width = min(source.shape[1], fine.shape[2] // 2)
        fine, source = fine[:, :, : 2 * width], source[:, :width]
        gain, offset = np.polyfit(_averaged(fine[3:], 2).ravel(), source.ravel(), 1)
        return Rasters((gain * fine[3] + offset).astype(np.float32), fine[:3], source)

    return read


def modis_by_aster(scene: str) -> Reader:
    """Return the reader of a temperature by MODIS, 1 km, judged by ASTER's, 250 m, without their mean difference."""

    def read(data: Path) -> Rasters:
        source, ndvi = _read(data, f"modis_aster_lst/{scene}_modis_lst_1km"), f"modis_aster_lst/{scene}_ndvi_250m"
        truth = _read(data, f"modis_aster_lst/{scene}_aster_lst_250m")[0]
        return Rasters(_unbiased(truth, source[0], 4), _read(data, ndvi), source[0])

    return read


def fortbragg_of_two_dates(scale: int) -> Reader:
    """Return the reader of the lidar of 2004 as the source, and that of 2016 as its truth, without the difference."""

    def read(data: Path) -> Rasters:
        older, newer = (_read(data, f"fortbragg_lidar_naip/dem_{year}_1m")[0] for year in (2004, 2016))
        height, width = (side // scale * scale for side in older.shape)
        source = _averaged(older[None, :height, :width], scale)[0]
        truth = _unbiased(newer[:height, :width], source, scale)
        return Rasters(truth, _read(data, "fortbragg_lidar_naip/naip_2014_1m")[:, :height, :width], source)

    return read


def fortbragg_by_land_cover(data: Path) -> Rasters:
    """Read the lidar of 2016 with one band per class of land cover as the guide."""
    cover = _read(data, "fortbragg_lidar_naip/landcover_1m")[0]
    return Rasters(_read(data, "fortbragg_lidar_naip/dem_2016_1m")[0], _classes(cover, 1))


def saomiguel_by_land_cover(truth: str, factor: int) -> Reader:
    """Return the reader of a raster of Sao Miguel, whose guide is the share of each class of land cover in a pixel."""

    def read(data: Path) -> Rasters:
        cover = _read(data, "saomiguel_population_landcover/landcover_23m")[0]
        return Rasters(_read(data, f"saomiguel_population_landcover/{truth}")[0], _classes(cover, factor))

    return read


def swellendam(data: Path) -> Rasters:
    """Read the SRTM of Swellendam with both aerial pictures as one guide; no data outside of them."""
    srtm = "swellendam_srtm_aerial/srtm_90m"
    grid = _open(data, srtm).grid
    north, south = (_on_grid(data, f"swellendam_srtm_aerial/aerial_{side}_2m", grid) for side in ("north", "south"))
    return Rasters(_read(data, srtm)[0], np.where(np.isfinite(north), north, south))


def dangermond(date: str, *, guided_by: str) -> Reader:
    """Return the reader of the temperature of a date, guided by the raster of this name on the same grid."""
    return stacked(f"dangermond_ecostress/lst_{date}", f"dangermond_ecostress/{guided_by}")


def _open(data: Path, name: str) -> FileRaster:
    return FileRaster.open(data / f"{name}.tif")


def _read(data: Path, name: str) -> np.ndarray:
    """Return all bands (C, H, W) float32, NaN where nodata."""
    with rasterio.open(data / f"{name}.tif") as raster:
        values: np.ndarray = raster.read(masked=True).astype(np.float32).filled(np.nan)
    return values


def _on_grid(data: Path, name: str, grid: GeoBox) -> np.ndarray:
    values: np.ndarray = Warped(_open(data, name), grid).read(Window.whole(grid.shape.yx)).values
    return values


def _averaged(layers: np.ndarray, factor: int) -> np.ndarray:
    """Return block means of (C, H, W), NaN where a block has nodata."""
    count, height, width = layers.shape
    blocks = layers.reshape(count, height // factor, factor, width // factor, factor)
    means: np.ndarray = blocks.mean(axis=(2, 4), dtype=np.float64).astype(np.float32)
    return means


def _classes(cover: np.ndarray, factor: int) -> np.ndarray:
    """Return the share of each common class of (H, W) in a block, (C, H/factor, W/factor)."""
    codes, counts = np.unique(cover, return_counts=True)
    common: Sequence[float] = [
        code for code, count in zip(codes, counts, strict=True) if count >= FEWEST_OF_CLASS * cover.size
    ]
    return np.concatenate([_averaged((cover == code)[None].astype(np.float32), factor) for code in common])


def _unbiased(truth: np.ndarray, source: np.ndarray, factor: int) -> np.ndarray:
    """Return a truth (H, W) whose mean is that of the source (h, w) where both are known."""
    raised = np.repeat(np.repeat(source, factor, axis=0), factor, axis=1)
    corrected: np.ndarray = (truth - np.nanmean(truth.astype(np.float64) - raised)).astype(np.float32)
    return corrected
