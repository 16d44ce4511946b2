"""Targets written as Cloud Optimized GeoTIFFs, whole or not at all; knows GDAL and file systems, no graph."""

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
from mmsr_geo.errors import OutputError
from mmsr_geo.raster.base import BandTags
from mmsr_geo.raster.write.cog_driver import check_creation, copy_to_cog
from mmsr_geo.raster.write.destination import Address, check_disk, check_output, not_written
from mmsr_geo.raster.write.encoding import Encoding, clipping_of
from mmsr_geo.raster.write.staged import finish_together, staged_output
from mmsr_geo.raster.write.vrt import Piece, write_mosaic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Any

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from mmsr_geo.geometry import Window


_BLOCK_PX = 512
_READ_BLOCKS = 16
"""Blocks, bands counted, that are read back at once: rows of a raster 250 000 pixels wide would be half a gigabyte."""
_FLOAT32 = Encoding()
_FAILURES = (RasterioError, CPLE_BaseError, OSError)
"""rasterio lets some of GDAL's errors through as they are, and they are no RasterioError."""


class CogFile:
    """A Cloud Optimized GeoTIFF that appears under its name only once it is whole; who comes after says what of.

    A context manager: leaving without `finish`, or `finish_together` with others, by an exception or not, removes what
    was begun and leaves an output that was there before as it was.
    """

    _asks_for_room = True
    """Whether the disk must have room for the uncompressed pixels."""

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
        """Make room beside the output.

        nodata: as `storage.nodata` chooses it from the source's; None declares none. band_tags: the source's, one each
        band; the file's scale and offset are the storage's where it has its own.

        Raises OutputError: the output exists and `overwrite` is not set, its folder is missing or closed to writing, or
        the disk has no room for the uncompressed pixels. Raises OptionError: GDAL cannot store it so.
        """
        self.path = Path(path) if isinstance(path, str | os.PathLike) else path
        self._grid, self._bands, self._nodata, self._storage = grid, bands, nodata, encoding
        self._source_tags = tuple(band_tags) or (BandTags(),) * bands
        self._file_tags = encoding.tags(self._source_tags)
        self._describes = bool(band_tags) or encoding.rescales
        check_output(self.path, overwrite=overwrite)
        if encoding != _FLOAT32:
            check_creation(encoding, bands, nodata)
        rows, cols = (-(-length // _BLOCK_PX) * _BLOCK_PX for length in grid.shape.yx)
        self._size = rows * cols * bands * np.dtype(encoding.dtype).itemsize
        if self._asks_for_room:
            check_disk(self.path, self._size)
        self._staged = staged_output(self.path)
        self._scratch = self._staged.scratch
        self._made = self._scratch / "cog.tif"

    def finish(self, tags: Mapping[str, str] | None = None) -> None:
        """Make the COG, with what is to be said of it, and put it in the output's place.

        Raises OutputError where the disk or GDAL fails.
        """
        finish_together([(self, tags or {})])

    def make(self, tags: Mapping[str, str]) -> None:
        """Make the COG beside the output, whole and on the disk; `finish_together` puts it in its place."""
        with self._telling():
            copy_to_cog(self._drawn_up(tags), self._made, self._storage.creation)
            self._read_back(self._made)
            sync(self._made)

    def publish(self, *, keep: bool) -> None:
        """Put what `make_output` made in the output's place; keep: so that it can be taken back."""
        with self._telling():
            self._staged.publish(self._made, keep=keep)

    def roll_back(self) -> None:
        """Undo `place`, also where it failed midway: what was there before is there again, or else in `scratch`."""
        with self._telling():
            self._staged.roll_back(self._made)

    def finalize(self) -> None:
        """Remove what described the file that was here before, and have the folder's entries on the disk."""
        with self._telling():
            self._staged.finalize(self._made)

    def discard(self) -> None:
        """Remove what is unfinished."""
        self._staged.discard()

    @property
    def made(self) -> Path:
        """Where the COG is between `make_output` and `place`."""
        return self._made

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
        self.discard()

    def _drawn_up(self, tags: Mapping[str, str]) -> Path:
        """Return a raster that GDAL can copy, described."""
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

    def _read_back(self, made: Path) -> None:
        """Read all of it: GDAL's COG driver does not tell when a full disk cuts the end off."""
        with rasterio.open(made) as dataset:
            width = _BLOCK_PX * max(1, _READ_BLOCKS // dataset.count)
            for row, col in product(range(0, dataset.height, _BLOCK_PX), range(0, dataset.width, width)):
                part = RasterioWindow(col, row, width, _BLOCK_PX)
                dataset.read(window=part.intersection(RasterioWindow(0, 0, dataset.width, dataset.height)))

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn what the disk or GDAL fails with into an OutputError."""
        try:
            yield
        except _FAILURES as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> OutputError:
        return not_written(self.path, error)


class CogWriter(CogFile):
    """Windows in, a COG out: `store` or `write` each, from several threads if need be, then `finish`."""

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
        """Begin a temporary file beside the output; arguments and refusals as a CogFile's."""
        super().__init__(
            path, grid, bands=bands, nodata=nodata, band_tags=band_tags, encoding=encoding, overwrite=overwrite
        )
        self._counts = [[0, 0] for _ in range(bands)]
        self._lock = threading.Lock()
        self._draft = self._scratch / "draft.tif"
        try:
            self._dataset = rasterio.open(
                self._draft,
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
                INTERLEAVE="BAND",  # as it is written: 60 bands a block, read and written 60 times, cost six times more
                # GDAL takes three bands of uint8 for red, green and blue, and a fourth for how opaque they are.
                **({"PHOTOMETRIC": "MINISBLACK"} if encoding.dtype == "uint8" else {}),
            )
            self._describe(self._dataset)
        except BaseException as error:
            self.discard()
            if isinstance(error, _FAILURES):
                raise self._failed(error) from error
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
        """Begin a file of flags, one band a description: `write` uint8, 0 where there is nothing to say.

        No nodata is declared, and an overview's pixel is one of the raster's. storage: that of the target beside it,
        whose layout the file takes. Raises as the constructor does.
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
        """Write (bands, h, w) of `window` as it is, into all bands or the ones named (from 1).

        values: of the storage's dtype, holes as nodata. Raises OutputError where the disk or GDAL fails.
        """
        part = RasterioWindow(window.col, window.row, window.width, window.height)
        with self._telling(), self._lock:
            self._dataset.write(values, indexes=bands, window=part)

    def store(self, window: Window, values: NDArray[np.float32], bands: Sequence[int] | None = None) -> None:
        """Write (bands, h, w) of `window`, raw values of the source and NaN in holes, as the storage has it.

        Into all bands or the ones named (from 1). Raises OutputError where the disk or GDAL fails.
        """
        nodata = math.nan if self._nodata is None else self._nodata
        numbers = range(1, len(self._source_tags) + 1) if bands is None else bands
        encoded = [
            self._storage.encode(band, nodata, self._source_tags[number - 1])
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
        """How many of the stored values lay outside what the storage holds; to be asked when all are stored."""
        return sum(clipped for clipped, _ in self._counts)

    @property
    def clipping(self) -> str | None:
        """One line that says how many values were clipped, to what, and the mend; None where none was."""
        each = zip(self._source_tags, self._counts, strict=True)
        return clipping_of(self._storage, [(tags, clipped, valid) for tags, (clipped, valid) in each])

    def discard(self) -> None:
        """Remove what is unfinished."""
        dataset = getattr(self, "_dataset", None)
        if dataset is not None:
            with contextlib.suppress(*_FAILURES):  # the file goes anyway
                dataset.close()
        super().discard()

    def _drawn_up(self, tags: Mapping[str, str]) -> Path:
        self._dataset.update_tags(**dict(tags))
        self._dataset.close()
        # GDAL keeps quiet when a block fails to be flushed on closing: the size tells.
        if self._draft.stat().st_size < self._size:
            raise OSError(errno.ENOSPC, "the disk is full")
        return self._draft


class CogOfTiles(CogFile):
    """Tile files in, a COG out, in one pass: give it the `pieces` of each band, then `finish`."""

    _asks_for_room = False
    """The tiles are there already, and what is made of them is compressed."""
    pieces: Sequence[Iterable[Piece]] = ()
    """Of each band, row by row, covering it; each of the storage's dtype, holes as nodata."""

    def _drawn_up(self, tags: Mapping[str, str]) -> Path:
        mosaic, grid = self._scratch / "mosaic.vrt", self._grid
        write_mosaic(mosaic, grid.shape.yx, self._storage.dtype, self.pieces)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # it is about to be
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
