"""Arrays of xarray and dask as rasters, by window; knows no file."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import dask.array as da
import numpy as np
import rioxarray
import xarray as xr
from odc.geo.geobox import GeoBox

from mmsr_geo.errors import GridError, InputError, MmsrError
from mmsr_geo.raster.base import BandTags, Pixels, ReadPlan, with_nodata_as_nan
from mmsr_geo.raster.read.array_grid import array_grid
from mmsr_geo.raster.read.band_names import places_of
from mmsr_geo.raster.read.checks import refuse_array

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from mmsr_geo.geometry import Window


_T = TypeVar("_T")
BAND_DIMS = ("band", "bands", "variable")
"""What the dim that holds the bands may be called."""
_LAZY_CHUNK = 1024
"""Pixels a side in which an array that is neither in memory nor dask's is read."""


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
    labels: tuple[str, ...] = ()
    """What else the bands go by: a coordinate's values, a Dataset's variables."""
    numbers: tuple[int, ...] = ()
    """The bands' numbers, from 1: the values of their coordinate where those are such, as rioxarray's are."""

    def __post_init__(self) -> None:
        """Count the bands where they bring no numbers."""
        if not self.numbers:
            object.__setattr__(self, "numbers", tuple(range(1, len(self.bands) + 1)))

    @classmethod
    def of(cls, array: xr.DataArray, *, nodata: float | None = None, quantity: bool = True) -> ArrayRaster:
        """Take an array of dims (y, x) or (band, y, x), in any order.

        nodata: the value that is a hole, as NaN is, whatever the array declares. quantity: whether classes, and yes
        or no, are refused.
        Raises InputError for other dims or what is no picture of a quantity, GridError for what is not georeferenced.
        """
        name = array_name(array)
        y, x = spatial_dims(array, name)
        extra = [dim for dim in array.dims if dim not in (y, x)]
        if len(extra) > 1 or (extra and extra[0] not in BAND_DIMS):
            msg = f"{name} has the dims {', '.join(map(str, array.dims))}: select one of each but y, x and band (.isel)"
            raise InputError(msg)
        refuse_array(array, name, quantity=quantity)
        grid = array_grid(array, name)
        ordered = array.transpose(*extra, y, x)
        raw = _dask_array(ordered)
        if not extra:
            raw = raw[np.newaxis]
        count = raw.shape[0]
        declared = array.rio.encoded_nodata if array.rio.encoded_nodata is not None else array.rio.nodata
        hole = array.rio.nodata
        if nodata is not None:
            hole = declared = float(nodata)
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
            labels=tuple(map(str, labels)),
            numbers=_numbers(labels) if extra else (),
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
            labels=tuple(label for raster in rasters for label in raster.labels),
        )

    def taking(self, wanted: Sequence[int | str]) -> ArrayRaster:
        """Return the bands wanted, by number, description or label; InputError for one that there is not."""
        places = places_of(self.name, wanted, self.bands, self.numbers, self.labels)

        def taken(values: tuple[_T, ...]) -> tuple[_T, ...]:
            return tuple(values[place] for place in places)

        return replace(
            self,
            raw=self.raw[places],
            bands=taken(self.bands),
            holes=taken(self.holes),
            band_tags=taken(self.band_tags),
            labels=taken(self.labels) if self.labels else (),
            numbers=taken(self.numbers),
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the array."""
        dtype: np.dtype[Any] = self.raw.dtype
        return dtype

    def read_plan(self, window: Window) -> ReadPlan:
        """Return the place alone: a graph takes the chunks under it."""
        return ReadPlan.of(self, window)

    def read(self, window: Window) -> Pixels:
        """Compute a window that lies within the raster, here and now."""
        return Pixels.masked(with_nodata_as_nan(self.stored(window), self.holes))

    def stored(self, window: Window) -> NDArray[Any]:
        """Compute the values of a window as they are stored, (bands, h, w).

        This thread computes it; only what is persisted on a cluster is asked for there, within a task of it.
        """
        part = self.raw[(slice(None), *window.slices)].rechunk(-1)
        if _on_cluster(part):
            from distributed import worker_client  # noqa: PLC0415  (an extra, and slow to import)

            with worker_client() as client:
                values = client.compute(part, sync=True)
        else:
            values = self._computed(part, window)
        return np.asarray(values)

    def _computed(self, part: da.Array, window: Window) -> NDArray[Any]:
        try:
            return np.asarray(part.compute(scheduler="synchronous"))
        except (MmsrError, MemoryError):
            raise
        except Exception as error:  # whatever the array is made of
            told = str(error) or type(error).__name__
            msg = f"{self.name} failed to be computed at row {window.row}, column {window.col}: {told}"
            raise InputError(f"{msg}; mend what it is computed from") from error

    def __dask_tokenize__(self) -> object:
        """Identify the array by dask's name for it, and its place."""
        return type(self).__name__, self.raw.name, self.holes, self.bands, self.grid


def spatial_dims(array: xr.DataArray, name: str) -> tuple[Hashable, Hashable]:
    """Return the dims that run down and across; GridError, with the array's `name`, where that is not known."""
    try:
        return array.rio.y_dim, array.rio.x_dim
    except rioxarray.exceptions.RioXarrayError as error:
        dims = ", ".join(map(str, array.dims))
        msg = f"{name} has the dims {dims}: name its spatial ones with .rio.set_spatial_dims(...)"
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


def _numbers(labels: Sequence[object]) -> tuple[int, ...]:
    """Return labels that are numbers from 1, none twice; nothing for any other."""
    numbers = tuple(label for label in labels if isinstance(label, int) and label > 0)
    return numbers if len(set(numbers)) == len(labels) else ()


def _on_cluster(array: da.Array) -> bool:
    """Whether this is a task of dask.distributed and the array's chunks lie on the cluster already."""
    if "distributed" not in sys.modules:
        return False
    from distributed import futures_of, get_worker  # noqa: PLC0415  (an extra)

    try:
        get_worker()
    except ValueError:
        return False
    return bool(futures_of(array))


def array_name(array: xr.DataArray) -> str:
    """Return what a message calls an array: its name, or the file that it comes from."""
    if array.name is not None:
        return f"the array {array.name!r}"
    return str(array.encoding.get("source", "the array"))
