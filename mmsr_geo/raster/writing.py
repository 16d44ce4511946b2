"""Targets written as Cloud Optimized GeoTIFFs, whole or not at all; knows GDAL and file systems, no graph."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from mmsr_geo.errors import OutputError
from mmsr_geo.raster.protocol import BandTags

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from mmsr_geo.geometry import Window

_BLOCK_PX = 512
_FAILURES = (RasterioError, CPLE_BaseError, OSError)
"""rasterio lets some of GDAL's errors through as they are, and they are no RasterioError."""


def output_nodata(source_nodata: float | None) -> float:
    """Return the target's nodata: the source's where float32 holds it exactly and it is finite, NaN otherwise.

    The choice is made from the metadata alone, so that a lazy result declares it before a pixel is computed and never
    differs between runs or parts of a raster. That no valid value equals it is `with_nodata`'s part, pixel by pixel.
    """
    if source_nodata is None or not math.isfinite(source_nodata):
        return math.nan
    if abs(source_nodata) > float(np.finfo(np.float32).max) or float(np.float32(source_nodata)) != source_nodata:
        return math.nan
    return float(source_nodata)


def with_nodata(values: NDArray[np.float32], nodata: float) -> NDArray[np.float32]:
    """Return values with NaN replaced by nodata, and a valid value that happens to equal it moved by one ULP.

    values: any shape, float32, NaN in holes. The move, towards zero (from zero upwards), is far below the tolerance of
    consistency, and depends on the value alone: any window of the result is the same in any tiling.
    """
    if math.isnan(nodata):
        return values
    fill = np.float32(nodata)
    beside = np.nextafter(fill, np.float32(0 if fill else 1))
    return np.where(np.isnan(values), fill, np.where(values == fill, beside, values))


def check_output(path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Refuse, before any work is done for it, an output that exists already or has no folder (OutputError)."""
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"{path} is a folder: give the name of a file in it")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists: choose another name, or pass --overwrite (overwrite=True)")
    if not path.parent.is_dir():
        raise OutputError(f"the folder {path.parent} does not exist: make it first")


class CogWriter:
    """Windows in, a Cloud Optimized GeoTIFF out, under its name only once it is whole.

    A context manager. `write` each window, then `finish`; leaving without `finish`, by an exception or not, removes
    what was begun and leaves an output that was there before as it was. Windows may be written from several threads.
    """

    def __init__(  # noqa: PLR0913  (what a file holds)
        self,
        path: str | os.PathLike[str],
        grid: GeoBox,
        *,
        bands: int = 1,
        nodata: float | None = math.nan,
        band_tags: Sequence[BandTags] = (),
        overwrite: bool = False,
    ) -> None:
        """Begin a temporary file beside the output.

        Raises OutputError: the output exists and `overwrite` is not set, its folder is missing or closed to writing, or
        the disk has no room for the uncompressed pixels.
        """
        self.path = Path(path)
        self._grid = grid
        self._bands = bands
        self._lock = threading.Lock()
        check_output(self.path, overwrite=overwrite)
        folder = self.path.parent
        rows, cols = (-(-length // _BLOCK_PX) * _BLOCK_PX for length in grid.shape.yx)
        self._size = rows * cols * bands * 4
        free = shutil.disk_usage(folder).free
        if free < self._size:
            msg = f"{self.path} needs {self._size / 1e9:.1f} GB to be written, {free / 1e9:.1f} GB are free: make room"
            raise OutputError(msg)
        try:
            self._scratch = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", suffix=".part", dir=folder))
        except OSError as error:
            msg = f"the folder {folder} cannot be written to ({error.strerror}): choose another for the output"
            raise OutputError(msg) from error
        self._draft = self._scratch / "draft.tif"
        try:
            self._dataset = rasterio.open(
                self._draft,
                "w",
                driver="GTiff",
                dtype="float32",
                count=bands,
                height=grid.shape.y,
                width=grid.shape.x,
                crs=None if grid.crs is None else str(grid.crs),
                transform=grid.affine,
                nodata=nodata,
                tiled=True,
                blockxsize=_BLOCK_PX,
                blockysize=_BLOCK_PX,
                BIGTIFF="IF_SAFER",
            )
            self._describe(band_tags)
        except BaseException as error:
            self._discard()
            if isinstance(error, _FAILURES):
                raise self._failed(error) from error
            raise

    def write(self, window: Window, values: NDArray[np.float32], bands: Sequence[int] | None = None) -> None:
        """Write (bands, h, w) of `window`, into all bands or the ones named (from 1); OutputError where it fails."""
        part = RasterioWindow(window.col, window.row, window.width, window.height)
        try:
            with self._lock:
                self._dataset.write(values, indexes=bands, window=part)
        except _FAILURES as error:
            raise self._failed(error) from error

    def finish(self, tags: Mapping[str, str] | None = None) -> None:
        """Make the COG (deflate, averaged overviews), with what is to be said of it, and put it in the output's place.

        Raises OutputError where the disk or GDAL fails.
        """
        made = self._scratch / "cog.tif"
        try:
            self._dataset.update_tags(**dict(tags or {}))
            self._close_draft()
            rasterio.shutil.copy(
                self._draft,
                made,
                driver="COG",
                COMPRESS="DEFLATE",
                PREDICTOR="FLOATING_POINT",
                OVERVIEW_RESAMPLING="AVERAGE",
                BIGTIFF="IF_SAFER",
                NUM_THREADS="ALL_CPUS",
            )
            self._read_back(made)
            _sync(made)
            made.replace(self.path)
            # What described the file that was here before: statistics, overviews, a mask.
            for suffix in (".aux.xml", ".ovr", ".msk"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            _sync(self.path.parent)
        except _FAILURES as error:
            raise self._failed(error) from error
        finally:
            self._discard()

    @property
    def scratch(self) -> Path:
        """A folder for what is needed until the output is whole; it goes when the writer does."""
        return self._scratch

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what is unfinished."""
        self._discard()

    def _describe(self, band_tags: Sequence[BandTags]) -> None:
        dataset = self._dataset
        if not band_tags:
            return
        for index, tags in enumerate(band_tags, start=1):
            if tags.description:
                dataset.set_band_description(index, tags.description)
            if tags.unit:
                dataset.set_band_unit(index, tags.unit)
        dataset.scales = tuple(tags.scale for tags in band_tags)
        dataset.offsets = tuple(tags.offset for tags in band_tags)

    def _close_draft(self) -> None:
        self._dataset.close()
        # GDAL keeps quiet when a block fails to be flushed on closing: the size tells.
        if self._draft.stat().st_size < self._size:
            raise OSError(errno.ENOSPC, "the disk is full")

    def _read_back(self, made: Path) -> None:
        """Read all of it: GDAL's COG driver does not tell when a full disk cuts the end off."""
        with rasterio.open(made) as dataset:
            for row in range(0, dataset.height, _BLOCK_PX):
                height = min(_BLOCK_PX, dataset.height - row)
                dataset.read(window=RasterioWindow(0, row, dataset.width, height))

    def _discard(self) -> None:
        dataset = getattr(self, "_dataset", None)
        if dataset is not None:
            with contextlib.suppress(*_FAILURES):  # the file goes anyway
                dataset.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _failed(self, error: Exception) -> OutputError:
        free = shutil.disk_usage(self.path.parent).free
        reason = (str(error.__cause__ or error) or type(error).__name__).splitlines()[0]
        return OutputError(
            f"{self.path} could not be written ({reason}; {free / 1e9:.1f} GB free): make room, or write elsewhere"
        )


def _sync(path: Path) -> None:
    """Have the file's bytes, or a folder's entries, on the disk before going on."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no handle of a folder to sync
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
