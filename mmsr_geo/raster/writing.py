"""Targets written as Cloud Optimized GeoTIFFs, whole or not at all; knows GDAL and file systems, no graph."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import shutil
import tempfile
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterioWindow

from mmsr_geo.errors import OutputError
from mmsr_geo.raster.copying import copy_to_cog
from mmsr_geo.raster.creating import check_creation
from mmsr_geo.raster.mosaicking import Piece, write_mosaic
from mmsr_geo.raster.protocol import BandTags
from mmsr_geo.raster.storing import Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Any

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from mmsr_geo.geometry import Window


_BLOCK_PX = 512
_AUX = ".aux.xml"
_LONGEST_NAME = 255 - len(".") - len(".12345678.part")
"""Bytes of an output's name that leave room, in what file systems hold, for the unfinished folder's."""
_FLOAT32 = Storage()
_FAILURES = (RasterioError, CPLE_BaseError, OSError)
"""rasterio lets some of GDAL's errors through as they are, and they are no RasterioError."""


def check_output(path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Refuse, before any work is done for it, an output that exists already or can have no file (OutputError)."""
    path = Path(path)
    length = len(os.fsencode(path.name))
    if length > _LONGEST_NAME:
        raise OutputError(f"{path.name} is a name of {length} bytes: give one of {_LONGEST_NAME} at most")
    try:
        if path.is_dir():
            raise OutputError(f"{path} is a folder: give the name of a file in it")
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} is a pipe or a device, which no raster can replace: give the name of a file")
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists: choose another name, or pass --overwrite (overwrite=True)")
        if not path.parent.is_dir():
            raise OutputError(f"the folder {path.parent} does not exist: make it first")
    except OSError as error:
        raise OutputError(f"{path} cannot be reached ({error.strerror}): choose another place for it") from error


def check_apart(outputs: Sequence[str | os.PathLike[str]], inputs: Sequence[object]) -> None:
    """Refuse an output that is an input, or another output, by whatever name (OutputError), to be replaced or not.

    inputs: what was given; what is no path of a local file is none that could be replaced.
    """
    taken = {_real(each): f"an input, {each}" for each in inputs if isinstance(each, str | os.PathLike)}
    for output in outputs:
        real = _real(output)
        if real in taken:
            raise OutputError(f"{output} is {taken[real]}, which would be lost: give the output another name")
        taken[real] = f"another output, {output}"


def _real(path: str | os.PathLike[str]) -> str:
    return os.path.realpath(os.fspath(path))


class CogFile:
    """A Cloud Optimized GeoTIFF that appears under its name only once it is whole; who comes after says what of.

    A context manager: leaving without `finish`, or `finish_together` with others, by an exception or not, removes what
    was begun and leaves an output that was there before as it was.
    """

    _asks_for_room = True
    """Whether the disk must have room for the uncompressed pixels."""

    def __init__(  # noqa: PLR0913  (what a file holds)
        self,
        path: str | os.PathLike[str],
        grid: GeoBox,
        *,
        bands: int = 1,
        nodata: float | None = math.nan,
        band_tags: Sequence[BandTags] = (),
        storage: Storage = _FLOAT32,
        overwrite: bool = False,
    ) -> None:
        """Make room beside the output.

        nodata: as `storage.nodata` chooses it from the source's; None declares none. band_tags: the source's, one each
        band; the file's scale and offset are the storage's where it has its own.

        Raises OutputError: the output exists and `overwrite` is not set, its folder is missing or closed to writing, or
        the disk has no room for the uncompressed pixels. Raises OptionError: GDAL cannot store it so.
        """
        self.path = Path(path)
        self._grid, self._bands, self._nodata, self._storage = grid, bands, nodata, storage
        self._source_tags = tuple(band_tags) or (BandTags(),) * bands
        self._file_tags = storage.tags(self._source_tags)
        self._describes = bool(band_tags) or storage.rescales
        self._holds_the_last = False
        check_output(self.path, overwrite=overwrite)
        if storage != _FLOAT32:
            check_creation(storage, bands, nodata)
        folder = self.path.parent
        rows, cols = (-(-length // _BLOCK_PX) * _BLOCK_PX for length in grid.shape.yx)
        self._size = rows * cols * bands * np.dtype(storage.dtype).itemsize
        free = shutil.disk_usage(folder).free
        if self._asks_for_room and free < self._size:
            msg = f"{self.path} needs {self._size / 1e9:.1f} GB to be written, {free / 1e9:.1f} GB are free: make room"
            raise OutputError(msg)
        try:
            self._scratch = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", suffix=".part", dir=folder))
        except OSError as error:
            msg = f"the folder {folder} cannot be written to ({error.strerror}): choose another for the output"
            raise OutputError(msg) from error
        self._made, self._before = self._scratch / "cog.tif", self._scratch / "before.tif"

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
            _sync(self._made)

    def place(self, *, keep: bool) -> None:
        """Put what `make` made in the output's place; keep: so that it can be taken back."""
        with self._telling():
            if keep and self.path.exists():
                try:
                    self._before.hardlink_to(self.path)
                except OSError:  # a file system that has no links
                    self.path.replace(self._before)
            self._made.replace(self.path)

    def take_back(self) -> None:
        """Undo `place`, also where it failed midway: what was there before is there again, or else in `scratch`."""
        self._holds_the_last = self._before.exists()
        with self._telling():
            if self._holds_the_last:
                self._before.replace(self.path)
                self._holds_the_last = False
            elif not self._made.exists():
                self.path.unlink(missing_ok=True)

    def settle(self) -> None:
        """Remove what described the file that was here before, and have the folder's entries on the disk.

        A CRS that a GeoTIFF has no keys for, such as a rotated pole's, lies in a file of GDAL's beside it.
        """
        beside = self._made.with_name(self._made.name + _AUX)
        with self._telling():
            for suffix in (_AUX, ".ovr", ".msk"):  # statistics, overviews, a mask
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            if beside.exists():
                beside.replace(self.path.with_name(self.path.name + _AUX))
            _sync(self.path.parent)

    def discard(self) -> None:
        """Remove what is unfinished."""
        if not self._holds_the_last:
            shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def made(self) -> Path:
        """Where the COG is between `make` and `place`."""
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
            for row in range(0, dataset.height, _BLOCK_PX):
                height = min(_BLOCK_PX, dataset.height - row)
                dataset.read(window=RasterioWindow(0, row, dataset.width, height))

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn what the disk or GDAL fails with into an OutputError."""
        try:
            yield
        except _FAILURES as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> OutputError:
        free = shutil.disk_usage(self.path.parent).free
        reason = (str(error.__cause__ or error) or type(error).__name__).splitlines()[0]
        return OutputError(
            f"{self.path} could not be written ({reason}; {free / 1e9:.1f} GB free): make room, or write elsewhere"
        )


class CogWriter(CogFile):
    """Windows in, a COG out: `store` or `write` each, from several threads if need be, then `finish`."""

    def __init__(  # noqa: PLR0913  (what a file holds)
        self,
        path: str | os.PathLike[str],
        grid: GeoBox,
        *,
        bands: int = 1,
        nodata: float | None = math.nan,
        band_tags: Sequence[BandTags] = (),
        storage: Storage = _FLOAT32,
        overwrite: bool = False,
    ) -> None:
        """Begin a temporary file beside the output; arguments and refusals as a CogFile's."""
        super().__init__(
            path, grid, bands=bands, nodata=nodata, band_tags=band_tags, storage=storage, overwrite=overwrite
        )
        self._clipped = self._valid = 0
        self._lock = threading.Lock()
        self._draft = self._scratch / "draft.tif"
        try:
            self._dataset = rasterio.open(
                self._draft,
                "w",
                driver="GTiff",
                dtype=storage.dtype,
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
                **({"PHOTOMETRIC": "MINISBLACK"} if storage.dtype == "uint8" else {}),
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
        path: str | os.PathLike[str],
        grid: GeoBox,
        *,
        descriptions: Sequence[str] = ("qa",),
        storage: Storage = _FLOAT32,
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
            storage=storage.for_flags(),
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
            self._clipped += sum(clipped for _, clipped in encoded)
            self._valid += int(np.count_nonzero(~np.isnan(values)))

    @property
    def clipped(self) -> int:
        """How many of the stored values lay outside what the storage holds; to be asked when all are stored."""
        return self._clipped

    @property
    def clipping(self) -> str | None:
        """One line that says how many values were clipped, to what, and the mend; None where none was."""
        return self._storage.clipping(self._clipped, self._valid) if self._clipped else None

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
    pieces: Sequence[Sequence[Piece]] = ()
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


def finish_together(
    outputs: Sequence[tuple[CogFile, Mapping[str, str]]],
    *,
    check: Callable[[Mapping[Path, Path]], bool] = lambda _files: True,
) -> bool:
    """Make the COGs of files that belong together, each with its tags, and put all in their places, or none.

    All are whole before the first appears; where one cannot be put in its place, those before it are taken back, and
    what was there before is there again. check: given the whole files by output, says whether they shall appear; so
    does this. Raises OutputError where the disk or GDAL fails.
    """
    begun: list[CogFile] = []
    try:
        for writer, tags in outputs:
            writer.make(tags)
        if not check({writer.path: writer.made for writer, _ in outputs}):
            return False
        try:
            for writer, _ in outputs:
                begun.append(writer)
                writer.place(keep=len(outputs) > 1)
        except BaseException:
            for writer in reversed(begun):
                with contextlib.suppress(OutputError):  # what went wrong first is told
                    writer.take_back()
            raise
        for writer, _ in outputs:
            writer.settle()
        return True
    finally:
        for writer, _ in outputs:
            writer.discard()


def _sync(path: Path) -> None:
    """Have the file's bytes, or a folder's entries, on the disk before going on."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no handle of a folder to sync
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
