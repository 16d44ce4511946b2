"""Raster files by window, with their masks; knows rasterio, no arrays of xarray."""

from __future__ import annotations

import stat
import warnings
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterioWindow

from mmsr_geo.errors import ChangedInputError, GridError, InputError
from mmsr_geo.raster.base import BandTags, Pixels, ReadPlan, with_nodata_as_nan
from mmsr_geo.raster.grids import check_transform
from mmsr_geo.raster.read.band_names import places_of
from mmsr_geo.raster.read.checks import refuse_bands

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mmsr_geo.geometry import Window


@dataclass(frozen=True, slots=True)
class FileRaster:
    """Bands of a file or URL; opened anew for each read (0.6 ms), so it holds no handle."""

    path: str
    indexes: tuple[int, ...]
    """The bands taken, from 1."""
    grid: GeoBox
    dtype: np.dtype[Any]
    nodatavals: tuple[float | None, ...]
    band_tags: tuple[BandTags, ...]
    stamp: tuple[int, int] | None
    """Size in bytes and time of change in ns; None for what is not a local file."""
    mask_bands: bool = field(repr=False)
    """Whether GDAL's mask says more than nodata: an alpha band, or a mask band."""
    alpha: int | None = field(default=None, repr=False)
    """An alpha band that GDAL makes no mask of, as those of int16 or beside an odd number of bands."""

    @property
    def declares_holes(self) -> bool:
        """Whether the file says itself which pixels are holes."""
        return self.nodata is not None or self.mask_bands or self.alpha is not None

    @classmethod
    def open(
        cls,
        path: str | PathLike[str],
        bands: Sequence[int | str] | None = None,
        *,
        nodata: float | None = None,
        quantity: bool = True,
    ) -> FileRaster:
        """Take the file's metadata.

        bands: their numbers from 1, or descriptions; all but alpha if None. nodata: the raw value that is a hole,
        whatever the file declares; its mask band or alpha holds all the same. quantity: whether classes are refused.
        Raises InputError for what cannot be opened or is no picture of a quantity, GridError for what is not
        georeferenced.
        """
        path = fspath(path)
        dataset = _opened(path)
        with dataset:
            if not dataset.count:
                hint = f"; name one of its parts, as in {dataset.subdatasets[0]}" if dataset.subdatasets else ""
                msg = f"{path} holds no bands{hint or ': give a raster'}"
                raise InputError(msg)
            indexes = _chosen(path, dataset, bands)
            refuse_bands(path, dataset, indexes, quantity=quantity)
            at, flags = [i - 1 for i in indexes], dataset.mask_flag_enums
            dtypes, declared = dataset.dtypes, dataset.nodatavals
            alphas = [i for i, meaning in enumerate(dataset.colorinterp, start=1) if meaning == ColorInterp.alpha]
            return cls(
                path=path,
                indexes=indexes,
                grid=_file_grid(path, dataset),
                dtype=np.result_type(*{np.dtype(dtypes[i]) for i in at}),
                nodatavals=tuple(declared[i] if nodata is None else float(nodata) for i in at),
                band_tags=_tags(dataset, at),
                stamp=_stamp(path),
                mask_bands=any(flag in (MaskFlags.per_dataset, MaskFlags.alpha) for i in at for flag in flags[i]),
                alpha=next((i for i in alphas if MaskFlags.alpha not in flags[at[0]]), None),
            )

    @property
    def numbers(self) -> tuple[int, ...]:
        """The bands' numbers in the file."""
        return self.indexes

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands' descriptions, or their numbers in the file."""
        return tuple(tags.description or str(i) for tags, i in zip(self.band_tags, self.indexes, strict=True))

    @property
    def nodata(self) -> float | None:
        """The first band's nodata value."""
        return self.nodatavals[0]

    @property
    def name(self) -> str:
        """The path."""
        return self.path

    def read(self, window: Window) -> Pixels:
        """Read a window that lies within the raster; raises InputError where the file fails."""
        raw, hidden = self.stored(window)
        values = with_nodata_as_nan(raw, self.nodatavals)
        if hidden is not None:
            values[np.broadcast_to(hidden, values.shape)] = np.nan
        return Pixels.masked(values)

    def stored(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Return the values of a window as they are stored, and where a mask band or alpha hides them (None: nowhere).

        Both (bands, h, w), or what broadcasts to it. Raises InputError where the file fails.
        """
        part = RasterioWindow(window.col, window.row, window.width, window.height)
        self._refuse_change()
        try:
            with _opened(self.path) as dataset:
                raw = dataset.read(self.indexes, window=part)
                hidden = dataset.read_masks(self.indexes, window=part) == 0 if self.mask_bands else None
                if self.alpha is not None:
                    hidden = (False if hidden is None else hidden) | (dataset.read([self.alpha], window=part) == 0)
                return raw, hidden
        except (RasterioError, CPLE_BaseError) as error:
            place = f"row {window.row}, column {window.col}"
            reason = _reason(self.path, error)
            msg = f"{self.path} failed to be read at {place} ({reason}): it may be cut short, make or fetch it again"
            raise InputError(msg) from error

    def _refuse_change(self) -> None:
        """Refuse a file that is another by now: half of a target would be of the one, half of the other."""
        if self.stamp is None or (now := _stamp(self.path)) == self.stamp:
            return
        what = "has gone" if now is None else "has changed"
        raise ChangedInputError(f"{self.path} {what} since it was opened: put it back, or begin again with the new one")

    def read_plan(self, window: Window) -> ReadPlan:
        """Return the place alone: the task that takes it reads it."""
        return ReadPlan.of(self, window)

    def __dask_tokenize__(self) -> object:
        """Identify the file's state, the bands taken and what is a hole in them."""
        return type(self).__name__, self.path, self.stamp, self.indexes, self.nodatavals


def files_of(path: str) -> list[str]:
    """Return the files that a raster is read from, as GDAL knows them: a VRT's members, a subdataset's file.

    Of what is elsewhere (a URL, /vsi...), or cannot be opened, none.
    """
    if "://" in path or path.startswith("/vsi"):
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as dataset:
                return [str(file) for file in dataset.files]
    except (RasterioError, ValueError):
        return []


def _opened(path: str) -> rasterio.DatasetReader:
    if _waits(path):
        raise InputError(f"{path} is a pipe or a device, and a raster is read in any order: save it to a file first")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # refused with a mend of our own
        try:
            return rasterio.open(path)
        except (RasterioError, CPLE_BaseError, OSError) as error:
            msg = f"{path} cannot be opened as a raster ({_reason(path, error)}): check the path and the format"
            raise InputError(msg) from error


def _chosen(path: str, dataset: rasterio.DatasetReader, wanted: Sequence[int | str] | None) -> tuple[int, ...]:
    """Return the numbers of the bands wanted."""
    data = [i for i, meaning in enumerate(dataset.colorinterp, start=1) if meaning != ColorInterp.alpha]
    if wanted is None:
        return tuple(data)
    names = [dataset.descriptions[i - 1] or str(i) for i in data]
    return tuple(data[place] for place in places_of(path, wanted, names, data))


def _tags(dataset: rasterio.DatasetReader, at: Sequence[int]) -> tuple[BandTags, ...]:
    # Each of these asks all bands of the file: for each of 300 bands that would take seconds.
    rows = list(zip(dataset.descriptions, dataset.units, dataset.scales, dataset.offsets, strict=True))
    return tuple(BandTags(description, unit or None, *numbers) for description, unit, *numbers in (rows[i] for i in at))


def _reason(path: str, error: Exception) -> str:
    """GDAL's words, without the path that the message names already."""
    words = str(error.__cause__ or error) if "Read failed" in str(error) else str(error)
    words = words.splitlines()[0] if words else type(error).__name__
    return words.replace(f"'{path}'", "").replace(f"{path}:", "").strip(" .")


def _file_grid(path: str, dataset: rasterio.DatasetReader) -> GeoBox:
    if not (dataset.width and dataset.height):
        msg = f"{path} has no pixels ({dataset.height} x {dataset.width}): give a raster with some"
        raise InputError(msg)
    if dataset.transform.is_identity:
        if dataset.gcps[0] or dataset.rpcs:
            kind = "ground control points" if dataset.gcps[0] else "rational polynomials"
            msg = f"{path} is placed by {kind} only: warp it onto a grid first, as gdalwarp does"
            raise GridError(msg)
        msg = f"{path} is not georeferenced: give it a geotransform, as gdal_translate -a_ullr does"
        raise GridError(msg)
    check_transform(dataset.transform, path)
    if dataset.crs is None:
        msg = f"{path} has no CRS: assign the one it is in, as gdal_edit.py -a_srs EPSG:... does"
        raise GridError(msg)
    return GeoBox((dataset.height, dataset.width), dataset.transform, dataset.crs)


def _waits(path: str) -> bool:
    """Whether it is a pipe or a device, of which a mere opening may never end."""
    try:
        kind = Path(path).stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind) or stat.S_ISBLK(kind))


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        state = Path(path).stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns
