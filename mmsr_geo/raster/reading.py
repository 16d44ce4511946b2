"""Sources and guides by window, with masks: files and xarray alike; knows rasterio, rioxarray and dask."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import dask.array as da
import numpy as np
import rasterio
import rioxarray
import xarray as xr
from odc.geo.geobox import GeoBox
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterioWindow

from mmsr_geo.errors import GridError, InputError
from mmsr_geo.geometry import Window
from mmsr_geo.raster.pixels import Pixels, with_holes
from mmsr_geo.raster.referencing import array_grid
from mmsr_geo.raster.warping import GridWarp

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

_LAZY_CHUNK = 1024
"""Pixels a side in which an array that is neither in memory nor dask's is read."""


@dataclass(frozen=True, slots=True)
class BandTags:
    """What a band carries beside its pixels; scale and offset are passed on, never applied."""

    description: str | None = None
    unit: str | None = None
    scale: float = 1.0
    offset: float = 0.0


class Raster(Protocol):
    """Pixels on a grid, read by window; picklable, and safe to read from many threads and processes at once."""

    @property
    def grid(self) -> GeoBox:
        """Where the pixels lie."""

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands' descriptions, or "1", "2", ..."""

    @property
    def band_tags(self) -> tuple[BandTags, ...]:
        """What each band carries."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype it is stored in."""

    @property
    def nodata(self) -> float | None:
        """The nodata value its first band declares."""

    @property
    def name(self) -> str:
        """What a message calls it: the path, or the array's name."""

    def read(self, window: Window) -> Pixels:
        """Read a window that lies within the raster."""

    def request(self, window: Window) -> Request:
        """Return what a task takes as its argument to have the window: `pixels_of` makes pixels of its outcome."""

    def __dask_tokenize__(self) -> object:
        """Identify the content."""


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

    @classmethod
    def open(cls, path: str | PathLike[str], bands: Sequence[int] | None = None) -> FileRaster:
        """Take the file's metadata; all bands but alpha if none are named (from 1).

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
            data = [i for i in dataset.indexes if dataset.colorinterp[i - 1] != ColorInterp.alpha]
            indexes = tuple(bands) if bands is not None else tuple(data)
            if unknown := [i for i in indexes if i not in data]:
                msg = f"{path} has no data band {unknown[0]}: its bands are {_listed(data)}"
                raise InputError(msg)
            for i in indexes:
                _refuse_band(path, dataset, i)
            at = [i - 1 for i in indexes]
            return cls(
                path=path,
                indexes=indexes,
                grid=_file_grid(path, dataset),
                dtype=np.result_type(*(np.dtype(dataset.dtypes[i]) for i in at)),
                nodatavals=tuple(dataset.nodatavals[i] for i in at),
                band_tags=tuple(
                    BandTags(dataset.descriptions[i], dataset.units[i] or None, dataset.scales[i], dataset.offsets[i])
                    for i in at
                ),
                stamp=_stamp(path),
                mask_bands=any(
                    flag in (MaskFlags.per_dataset, MaskFlags.alpha) for i in at for flag in dataset.mask_flag_enums[i]
                ),
            )

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
        part = RasterioWindow(window.col, window.row, window.width, window.height)
        try:
            with _opened(self.path) as dataset:
                values = with_holes(dataset.read(self.indexes, window=part), self.nodatavals)
                if self.mask_bands:
                    values[dataset.read_masks(self.indexes, window=part) == 0] = np.nan
        except (RasterioError, CPLE_BaseError) as error:
            msg = f"{self.path} failed to be read at row {window.row}, column {window.col}: {_reason(self.path, error)}"
            raise InputError(msg) from error
        return Pixels.masked(values)

    def request(self, window: Window) -> FileWindow:
        """Return the place alone: the task that takes it reads it."""
        return FileWindow(self, window)

    def __dask_tokenize__(self) -> object:
        """Identify the file's state and the bands taken."""
        return type(self).__name__, self.path, self.stamp, self.indexes


@dataclass(frozen=True, slots=True)
class FileWindow:
    """A window of a file still to be read."""

    raster: FileRaster
    window: Window

    def read(self) -> Pixels:
        """Read it."""
        return self.raster.read(self.window)


@dataclass(frozen=True, slots=True)
class ArrayRaster:
    """Bands of a dask array; computed by the window."""

    raw: da.Array
    """(bands, h, w), as stored."""
    grid: GeoBox
    bands: tuple[str, ...]
    holes: tuple[float | None, ...]
    """The value that is a hole in `raw`, a band; NaN is one always."""
    nodata: float | None
    """What the raster declares: as `holes`, or what it was before xarray put NaN in its place."""
    band_tags: tuple[BandTags, ...]
    name: str

    @classmethod
    def of(cls, array: xr.DataArray) -> ArrayRaster:
        """Take an array of dims (y, x) or (band, y, x), in any order.

        Raises InputError for other dims or what is no picture of a quantity, GridError for what is not georeferenced.
        """
        name = _array_name(array)
        y, x = _spatial_dims(array, name)
        extra = [dim for dim in array.dims if dim not in (y, x)]
        if len(extra) > 1 or (extra and extra[0] not in ("band", "bands", "variable")):
            msg = f"{name} has the dims {_listed(array.dims)}: select one of each but y, x and band (.isel)"
            raise InputError(msg)
        _refuse_array(array, name)
        grid = array_grid(array, name)
        ordered = array.transpose(*extra, y, x)
        raw = _dask_array(ordered)
        if not extra:
            raw = raw[np.newaxis]
        count = raw.shape[0]
        declared = array.rio.encoded_nodata if array.rio.encoded_nodata is not None else array.rio.nodata
        hole = array.rio.nodata
        tags = _array_tags(array, count)
        labels: Sequence[object]
        if extra and extra[0] in array.coords:
            labels = array[extra[0]].values.tolist()
        else:
            labels = range(1, count + 1) if extra or array.name is None else [array.name]
        bands = tuple(tag.description or str(label) for tag, label in zip(tags, labels, strict=True))
        return cls(
            raw=raw,
            grid=grid,
            bands=bands,
            holes=(None if hole is None else float(hole),) * count,
            nodata=None if declared is None else float(declared),
            band_tags=tags,
            name=name,
        )

    @classmethod
    def in_memory(cls, values: NDArray[np.float32], grid: GeoBox, *, bands: Sequence[str], name: str) -> ArrayRaster:
        """Take values (bands, h, w), NaN in holes, that lie on a grid."""
        count = values.shape[0]
        return cls(
            raw=da.from_array(values, chunks=-1),
            grid=grid,
            bands=tuple(bands),
            holes=(None,) * count,
            nodata=None,
            band_tags=(BandTags(),) * count,
            name=name,
        )

    @classmethod
    def stacked(cls, rasters: Sequence[ArrayRaster], name: str) -> ArrayRaster:
        """Stack the bands of several rasters on one grid, as a Dataset's variables are."""
        first = rasters[0]
        if other := next((raster for raster in rasters if raster.grid != first.grid), None):
            msg = f"{name}: {other.name} and {first.name} are on different grids; bring them onto one first"
            raise GridError(msg)
        return cls(
            raw=da.concatenate([raster.raw for raster in rasters]),
            grid=first.grid,
            bands=tuple(band for raster in rasters for band in raster.bands),
            holes=tuple(hole for raster in rasters for hole in raster.holes),
            nodata=first.nodata,
            band_tags=tuple(tags for raster in rasters for tags in raster.band_tags),
            name=name,
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the array."""
        dtype: np.dtype[Any] = self.raw.dtype
        return dtype

    def lazy(self, window: Window) -> da.Array:
        """Return a window's raw values, (bands, h, w), not computed."""
        part: da.Array = self.raw[(slice(None), *window.slices)]
        return part

    def request(self, window: Window) -> da.Array:
        """Return a window as one chunk of float32, NaN in holes, not computed."""
        part: da.Array = self.lazy(window).rechunk(-1)
        meta = np.empty((0, 0, 0), np.float32)
        masked: da.Array = da.map_blocks(with_holes, part, self.holes, dtype=np.float32, meta=meta)
        return masked

    def read(self, window: Window) -> Pixels:
        """Compute a window that lies within the raster, here and now.

        This thread computes it; only what is persisted on a cluster is asked for there, within a task of it.
        """
        request = self.request(window)
        if _on_cluster(request):
            from distributed import worker_client  # noqa: PLC0415  (an extra, and slow to import)

            with worker_client() as client:
                return pixels_of(client.compute(request, sync=True))
        return pixels_of(request.compute(scheduler="synchronous"))

    def __dask_tokenize__(self) -> object:
        """Identify the array by dask's name for it, and its place."""
        return type(self).__name__, self.raw.name, self.holes, self.bands, self.grid


Request: TypeAlias = FileWindow | da.Array
"""What a graph gives to a task that needs a window: dask puts an array's values in its place."""


def pixels_of(outcome: FileWindow | NDArray[np.float32] | Pixels) -> Pixels:
    """Return the pixels of a request, once dask has put values in the place of an array."""
    match outcome:
        case Pixels():
            return outcome
        case FileWindow():
            return outcome.read()
        case _:
            return Pixels.masked(outcome)


@dataclass(frozen=True, slots=True)
class GuideOnGrid:
    """A guide brought onto the target grid, by the window; a window is the same as in the whole."""

    guide: Raster
    grid: GeoBox
    """The target's."""

    @property
    def warper(self) -> GridWarp:
        """The way between the grids alone: for tasks that must not carry the guide along."""
        return GridWarp(self.guide.grid, self.grid)

    def native_window(self, window: Window) -> Window:
        """Return the guide's pixels that a target window needs; none where the guide does not reach."""
        return self.warper.native_window(window)

    def warp(self, pixels: Pixels, native_window: Window, window: Window) -> Pixels:
        """Bring the guide's pixels onto a target window."""
        return self.warper.warp(pixels, native_window, window)

    def read(self, window: Window) -> Pixels:
        """Read what a target window needs and bring it there."""
        native_window = self.native_window(window)
        if native_window.height and native_window.width:
            pixels = self.guide.read(native_window)
        else:
            shape = (len(self.guide.bands), 0, 0)
            pixels = Pixels(np.empty(shape, np.float32), np.empty(shape[1:], np.bool_))
        return self.warp(pixels, native_window, window)


def open_source(source: str | PathLike[str] | xr.DataArray, band: int | None = None) -> Raster:
    """Open the one band to be sharpened; `band` counts from 1 and is needed where there are several.

    Raises InputError for what cannot be opened or is no picture of a quantity, GridError for what is not georeferenced.
    """
    raster: Raster
    match source:
        case xr.DataArray():
            dim = next((dim for dim in source.dims if dim in ("band", "bands", "variable")), None)
            count = 1 if dim is None else source.sizes[dim]
            if dim is not None and band is not None and 1 <= band <= count:
                source = source.isel({dim: [band - 1]})
            raster = ArrayRaster.of(source)
            way = f".isel({dim}=0)"
        case str() | PathLike():
            if band is None:
                raster = FileRaster.open(source)
                count = len(raster.bands)
            else:
                return FileRaster.open(source, (band,))
            way = "band=1 (--band 1)"
        case _:
            msg = f"a source is a path or a DataArray, not {type(source).__name__}: select one variable of a Dataset"
            raise InputError(msg)
    if band is not None and not 1 <= band <= count:
        msg = f"{raster.name} has no band {band}: its bands are 1 to {count}"
        raise InputError(msg)
    if len(raster.bands) > 1:
        msg = f"{raster.name} has {count} bands ({_listed(raster.bands)}): choose the one to sharpen, as in {way}"
        raise InputError(msg)
    return raster


def open_guide(guide: str | PathLike[str] | xr.DataArray | xr.Dataset) -> Raster:
    """Open the guide with all its bands; a Dataset's variables are its bands.

    Raises InputError for what cannot be opened or is no picture of a quantity, GridError for what is not georeferenced.
    """
    match guide:
        case xr.Dataset():
            variables = [guide[name] for name in guide.data_vars if guide[name].ndim > 1]
            if not variables:
                msg = "the guide Dataset holds no raster variables: give one with dims y and x"
                raise InputError(msg)
            # A variable of a Dataset finds the CRS that only the Dataset names.
            rasters = [ArrayRaster.of(_with_crs(variable, guide)) for variable in variables]
            return rasters[0] if len(rasters) == 1 else ArrayRaster.stacked(rasters, "the guide Dataset")
        case xr.DataArray():
            return ArrayRaster.of(guide)
        case str() | PathLike():
            return FileRaster.open(guide)
        case _:
            msg = f"a guide is a path, a DataArray or a Dataset, not {type(guide).__name__}"
            raise InputError(msg)


def _opened(path: str) -> rasterio.DatasetReader:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # refused with a mend of our own
        try:
            return rasterio.open(path)
        except (RasterioError, CPLE_BaseError, OSError) as error:
            msg = f"{path} cannot be opened as a raster ({_reason(path, error)}): check the path and the format"
            raise InputError(msg) from error


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
    if dataset.crs is None:
        msg = f"{path} has no CRS: assign the one it is in, as gdal_edit.py -a_srs EPSG:... does"
        raise GridError(msg)
    return GeoBox((dataset.height, dataset.width), dataset.transform, dataset.crs)


def _refuse_band(path: str, dataset: rasterio.DatasetReader, index: int) -> None:
    _refuse_dtype(path, dataset.dtypes[index - 1])
    if dataset.colorinterp[index - 1] == ColorInterp.palette:
        msg = f"{path} has a colour table: give the quantity itself, or expand it to RGB (gdal_translate -expand rgb)"
        raise InputError(msg)
    if dataset.tags(index).get("LAYER_TYPE", dataset.tags().get("LAYER_TYPE", "")).lower() == "thematic":
        raise _categorical(path)


def _refuse_array(array: xr.DataArray, name: str) -> None:
    _refuse_dtype(name, array.dtype)
    if not all(array.shape):
        msg = f"{name} has no pixels {array.shape}: the selection that made it is empty"
        raise InputError(msg)
    if {"flag_values", "flag_meanings", "flag_masks"} & array.attrs.keys():
        raise _categorical(name)
    if str(array.attrs.get("LAYER_TYPE", "")).lower() == "thematic":
        raise _categorical(name)


def _refuse_dtype(name: str, dtype: str | np.dtype[Any]) -> None:
    if str(dtype).startswith("complex"):
        msg = f"{name} holds complex numbers: give its amplitude or another real quantity"
        raise InputError(msg)
    if str(dtype) == "bool" or not np.issubdtype(np.dtype(dtype), np.number):
        msg = f"{name} holds {dtype}, no quantity: convert it to numbers first, as in .astype('float32')"
        raise InputError(msg)


def _categorical(name: str) -> InputError:
    return InputError(f"{name} holds classes, and a mean of classes means nothing: give a measured quantity")


def _spatial_dims(array: xr.DataArray, name: str) -> tuple[Hashable, Hashable]:
    try:
        return array.rio.y_dim, array.rio.x_dim
    except rioxarray.exceptions.RioXarrayError as error:
        msg = f"{name} has the dims {_listed(array.dims)}: name its spatial ones with .rio.set_spatial_dims(...)"
        raise GridError(msg) from error


def _dask_array(array: xr.DataArray) -> da.Array:
    data: da.Array
    if array.chunks is not None:
        data = array.data
    elif array.variable._in_memory:  # noqa: SLF001  (.data would load what is not)
        data = da.from_array(array.values, chunks=-1)
    else:
        data = array.chunk(dict.fromkeys(array.dims[-2:], _LAZY_CHUNK)).data
    return data


def _array_tags(array: xr.DataArray, count: int) -> tuple[BandTags, ...]:
    attrs = array.attrs

    def each(key: str) -> tuple[Any, ...]:
        value = attrs.get(key)
        return tuple(value) if isinstance(value, (tuple, list)) and len(value) == count else (value,) * count

    # One long_name for several bands says what the array is, not what a band is.
    descriptions = (
        each("long_name") if isinstance(attrs.get("long_name"), (tuple, list)) or count == 1 else (None,) * count
    )
    rows = zip(descriptions, each("units"), each("scale_factor"), each("add_offset"), strict=True)
    return tuple(
        BandTags(
            None if description is None else str(description),
            None if unit is None else str(unit),
            1.0 if scale is None else float(scale),
            0.0 if offset is None else float(offset),
        )
        for description, unit, scale, offset in rows
    )


def _with_crs(array: xr.DataArray, dataset: xr.Dataset) -> xr.DataArray:
    if array.rio.crs is None and dataset.rio.crs is not None:
        array = array.rio.write_crs(dataset.rio.crs)
    return array


def _on_cluster(request: da.Array) -> bool:
    """Whether this is a task of dask.distributed and the array's chunks lie on the cluster already."""
    if "distributed" not in sys.modules:
        return False
    from distributed import futures_of, get_worker  # noqa: PLC0415  (an extra)

    try:
        get_worker()
    except ValueError:
        return False
    return bool(futures_of(request))


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        state = Path(path).stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns


def _array_name(array: xr.DataArray) -> str:
    if array.name is not None:
        return f"the array {array.name!r}"
    return str(array.encoding.get("source", "the array"))


def _listed(items: Sequence[object]) -> str:
    return ", ".join(map(str, items))
