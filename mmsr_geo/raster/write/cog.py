"""Cloud Optimized GeoTIFFs that appear completely or not at all; knows GDAL and file systems, no graph."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import threading
import warnings
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterioWindow

from mmsr_geo.atomic import sync
from mmsr_geo.raster.base import BandTags
from mmsr_geo.raster.write.cog_driver import check_creation, copy_to_cog
from mmsr_geo.raster.write.destination import Address, check_disk, check_output, not_written
from mmsr_geo.raster.write.encoding import Encoding, clipping_of
from mmsr_geo.raster.write.staged import StagedWriter, finish_together
from mmsr_geo.raster.write.vrt import Piece, write_mosaic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from mmsr_geo.geometry import Window


_BLOCK_PX = 512
_READ_BLOCKS = 16
"""Number of blocks, all bands counted, that are read back at once: a row of 250 000 pixels would be half a gigabyte."""
_FLOAT32 = Encoding()
_FAILURES = (RasterioError, CPLE_BaseError, OSError)
"""Exceptions of GDAL and the disk: rasterio passes on some of GDAL's own, which are not RasterioErrors."""


class CogFile(StagedWriter):
    """Base of writers of a Cloud Optimized GeoTIFF that appears under its name once it is complete.

    A context manager: leaving it before `finish`, or `finish_together` with others, removes what is unfinished, and an
    output that was there before stays as it was.
    """

    failures = _FAILURES

    _needs_space = True
    """True if the disk must have space for the uncompressed pixels."""

    def __init__(  # noqa: PLR0913  (what a file holds)
        self,
        path: str | os.PathLike[str] | Address,
        grid: GeoBox,
        *,
        bands: int = 1,
        nodata: float | None = math.nan,
        band_tags: Sequence[BandTags] = (),
        encoding: Encoding = _FLOAT32,
        overwrite: bool = False,
    ) -> None:
        """Create a temporary folder next to the output.

        Args:
            path: The output.
            grid: The grid of the output.
            bands: The number of bands.
            nodata: The nodata value that `encoding.nodata` chooses; None declares none.
            band_tags: The metadata of the source's bands, whose scale and offset the encoding may replace.
            encoding: How values are stored.
            overwrite: Whether an output that exists is replaced.

        Raises:
            OutputError: The output exists and `overwrite` is not set, its folder is missing or may not be written to,
                or the disk has no space for the uncompressed pixels.
            OptionError: GDAL cannot write the encoding.
        """
        output = Path(path) if isinstance(path, str | os.PathLike) else path
        self._grid, self._bands, self._nodata, self._encoding = grid, bands, nodata, encoding
        self._source_tags = tuple(band_tags) or (BandTags(),) * bands
        self._file_tags = encoding.tags(self._source_tags)
        self._describes = bool(band_tags) or encoding.rescales
        check_output(output, overwrite=overwrite)
        if encoding != _FLOAT32:
            check_creation(encoding, bands, nodata)
        rows, cols = (math.ceil(length / _BLOCK_PX) * _BLOCK_PX for length in grid.shape.yx)
        self._size = rows * cols * bands * np.dtype(encoding.dtype).itemsize
        if self._needs_space:
            check_disk(output, self._size)
        super().__init__(output, "cog.tif")

    def finish(self, tags: Mapping[str, str] | None = None) -> None:
        """Write the COG with its tags, and move it to the output's place.

        Raises:
            OutputError: The disk or GDAL fails.
        """
        finish_together([(self, tags or {})])

    def make(self, tags: Mapping[str, str]) -> None:
        """Write the complete COG with its tags to the temporary folder, and wait until it is on the disk."""
        with self.converting_errors():
            copy_to_cog(self._raster_to_copy(tags), self.draft, self._encoding.creation)
            self._read_back(self.draft)
            sync(self.draft)

    def _raster_to_copy(self, tags: Mapping[str, str]) -> Path:
        """Return a raster with metadata and tags that GDAL can copy to a COG."""
        raise NotImplementedError

    def _describe(self, dataset: rasterio.io.DatasetWriter) -> None:
        if not self._describes:
            return
        for index, tags in enumerate(self._file_tags, start=1):
            if tags.description:
                dataset.set_band_description(index, tags.description)
            if tags.unit:
                dataset.set_band_unit(index, tags.unit)
        dataset.scales = tuple(tags.scale for tags in self._file_tags)
        dataset.offsets = tuple(tags.offset for tags in self._file_tags)

    def _read_back(self, cog: Path) -> None:
        """Read all pixels: GDAL's COG driver reports no error when a full disk truncates the file."""
        with rasterio.open(cog) as dataset:
            width = _BLOCK_PX * max(1, _READ_BLOCKS // dataset.count)
            for row, col in product(range(0, dataset.height, _BLOCK_PX), range(0, dataset.width, width)):
                part = RasterioWindow(col, row, width, _BLOCK_PX)
                dataset.read(window=part.intersection(RasterioWindow(0, 0, dataset.width, dataset.height)))


class CogWriter(CogFile):
    """Writer of a COG from windows: `store` or `write` each, also from several threads, then `finish`."""

    def __init__(  # noqa: PLR0913  (what a file holds)
        self,
        path: str | os.PathLike[str] | Address,
        grid: GeoBox,
        *,
        bands: int = 1,
        nodata: float | None = math.nan,
        band_tags: Sequence[BandTags] = (),
        encoding: Encoding = _FLOAT32,
        overwrite: bool = False,
    ) -> None:
        """Begin a temporary file next to the output; arguments and errors as for CogFile."""
        super().__init__(
            path, grid, bands=bands, nodata=nodata, band_tags=band_tags, encoding=encoding, overwrite=overwrite
        )
        self._counts = [[0, 0] for _ in range(bands)]
        self._lock = threading.Lock()
        self._raster = self.scratch / "raster.tif"
        try:
            self._dataset = rasterio.open(
                self._raster,
                "w",
                driver="GTiff",
                dtype=encoding.dtype,
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
                INTERLEAVE="BAND",  # as it is written: 60 interleaved bands take six times longer
                # GDAL takes three bands of uint8 for red, green and blue, and a fourth for alpha.
                **({"PHOTOMETRIC": "MINISBLACK"} if encoding.dtype == "uint8" else {}),
            )
            self._describe(self._dataset)
        except BaseException as error:
            self.discard()
            if isinstance(error, _FAILURES):
                raise not_written(self.path, error) from error
            raise

    @classmethod
    def of_flags(
        cls,
        path: str | os.PathLike[str] | Address,
        grid: GeoBox,
        *,
        descriptions: Sequence[str] = ("qa",),
        encoding: Encoding = _FLOAT32,
        overwrite: bool = False,
    ) -> Self:
        """Begin a file of QA flags: uint8 without nodata, 0 where no flag is set, overviews by the nearest pixel.

        Args:
            path: The output.
            grid: The grid of the output.
            descriptions: The description of each band.
            encoding: The encoding of the target, whose file layout is kept.
            overwrite: Whether an output that exists is replaced.

        Raises:
            OutputError: As for CogFile.
            OptionError: As for CogFile.
        """
        return cls(
            path,
            grid,
            bands=len(descriptions),
            nodata=None,
            band_tags=[BandTags(description) for description in descriptions],
            encoding=encoding.for_flags(),
            overwrite=overwrite,
        )

    def write(self, window: Window, values: NDArray[Any], bands: Sequence[int] | None = None) -> None:
        """Write a window without conversion.

        Args:
            window: The part of the raster to write.
            values: (bands, h, w), of the encoding's dtype, with nodata.
            bands: Numbers of the bands, from 1; None: all.

        Raises:
            OutputError: The disk or GDAL fails.
        """
        part = RasterioWindow(window.col, window.row, window.width, window.height)
        with self.converting_errors(), self._lock:
            self._dataset.write(values, indexes=bands, window=part)

    def store(self, window: Window, values: NDArray[np.float32], bands: Sequence[int] | None = None) -> None:
        """Encode and write a window.

        Args:
            window: The part of the raster to write.
            values: (bands, h, w), in the source's stored units, NaN at nodata.
            bands: Numbers of the bands, from 1; None: all.

        Raises:
            OutputError: The disk or GDAL fails.
        """
        nodata = math.nan if self._nodata is None else self._nodata
        numbers = range(1, len(self._source_tags) + 1) if bands is None else bands
        encoded = [
            self._encoding.encode(band, nodata, self._source_tags[number - 1])
            for number, band in zip(numbers, values, strict=True)
        ]
        self.write(window, np.stack([stored for stored, _ in encoded]), bands)
        with self._lock:
            for number, band, (_, clipped) in zip(numbers, values, encoded, strict=True):
                counts = self._counts[number - 1]
                counts[0] += clipped
                counts[1] += int(np.count_nonzero(~np.isnan(band)))

    @property
    def clipped(self) -> int:
        """Number of the values stored so far that were clipped."""
        return sum(clipped for clipped, _ in self._counts)

    @property
    def clipping(self) -> str | None:
        """Message on values that were clipped: how many, to what range, and what to do; None where none was."""
        bands = zip(self._source_tags, self._counts, strict=True)
        return clipping_of(self._encoding, [(tags, clipped, valid) for tags, (clipped, valid) in bands])

    def discard(self) -> None:
        """Remove what is unfinished."""
        dataset = getattr(self, "_dataset", None)
        if dataset is not None:
            with contextlib.suppress(*_FAILURES):  # the file is removed anyway
                dataset.close()
        super().discard()

    def _raster_to_copy(self, tags: Mapping[str, str]) -> Path:
        self._dataset.update_tags(**dict(tags))
        self._dataset.close()
        # GDAL reports no error when a block fails to be flushed on closing: the size shows it.
        if self._raster.stat().st_size < self._size:
            raise OSError(errno.ENOSPC, "the disk is full")
        return self._raster


class CogOfTiles(CogFile):
    """Writer of a COG from tile files in one pass: set the `pieces` of each band, then `finish`."""

    _needs_space = False
    """False: the tiles exist already, and the COG is compressed."""
    pieces: Sequence[Iterable[Piece]] = ()
    """Pieces of each band, row by row, that cover it; of the encoding's dtype, with nodata."""

    def _raster_to_copy(self, tags: Mapping[str, str]) -> Path:
        mosaic, grid = self.scratch / "mosaic.vrt", self._grid
        write_mosaic(mosaic, grid.shape.yx, self._encoding.dtype, self.pieces)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # it will be georeferenced
            dataset = rasterio.open(mosaic, "r+")
        with dataset:
            dataset.transform = grid.affine
            if grid.crs is not None:
                dataset.crs = str(grid.crs)
            if self._nodata is not None:
                dataset.nodata = self._nodata
            self._describe(dataset)
            dataset.update_tags(**dict(tags))
        return mosaic
