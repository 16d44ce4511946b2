"""Arrays of xarray and dask as rasters, read by window; knows no file."""

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
from mmsr_geo.nodata import Nodata, NodataLike
from mmsr_geo.raster.base import BandTags, Pixels, ReadPlan, with_nodata_as_nan
from mmsr_geo.raster.read.array_grid import array_grid, swath, swath_positions
from mmsr_geo.raster.read.band_names import places_of
from mmsr_geo.raster.read.checks import refuse_array
from mmsr_geo.raster.read.codes import codes_of, is_code, note_of_codes
from mmsr_geo.raster.read.fills import array_nodata
from mmsr_geo.raster.read.legends import SAID, Legend, array_legend, opened_legend
from mmsr_geo.raster.read.sentinel2 import has_reflectance_tags, reflectance_scale

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from mmsr_geo.geometry import Window


_T = TypeVar("_T")
BAND_DIMS = ("band", "bands", "variable")
"""Names of a dimension that holds bands."""
_BAND_ATTRS = ("long_name", "units", "scale_factor", "add_offset")
"""Attributes that may have a value for each band."""
_PLURAL_ATTRS = {"scales": "scale_factor", "offsets": "add_offset"}
"""Names that rioxarray gives to attributes that differ between bands, and those of one band."""
_LAZY_CHUNK = 1024
"""Side in pixels of the chunks of an array that is neither in memory nor of dask."""


@dataclass(frozen=True, slots=True)
class ArrayRaster:
    """Bands of a dask array, computed by window."""

    raw: da.Array
    """(bands, h, w), in stored units and dtype."""
    grid: GeoBox
    bands: tuple[str, ...]
    raw_nodata: tuple[Nodata | None, ...]
    """What means nodata in each band of `raw`; NaN does in any case."""
    nodata: float | None
    """The declared nodata value: as in `raw_nodata`, or the one that xarray has replaced with NaN."""
    band_tags: tuple[BandTags, ...]
    name: str
    labels: tuple[str, ...] = ()
    """Other names of the bands: the values of a coordinate, the variables of a Dataset."""
    numbers: tuple[int, ...] = ()
    """The numbers of the bands, from 1: the values of their coordinate if those are such, as rioxarray's are."""
    notes: tuple[str, ...] = ()
    """What a user should know of how the array is read, each a message."""
    legends: tuple[Legend | None, ...] = ()
    """The legend of each band that holds classes; empty if there is none."""

    def __post_init__(self) -> None:
        """Number the bands from 1 if no numbers are given."""
        if not self.numbers:
            object.__setattr__(self, "numbers", tuple(range(1, len(self.bands) + 1)))

    @classmethod
    def of(
        cls, array: xr.DataArray, *, nodata: NodataLike | None = None, quantity: bool = True, classes: bool = False
    ) -> ArrayRaster:
        """Return an xarray array as a raster.

        Args:
            array: Dimensions (y, x) or (band, y, x), in any order.
            nodata: Nodata values and ranges in stored units, in place of the declared ones; NaN is nodata in any case.
            quantity: Whether classes and booleans are refused.
            classes: Whether bands that hold classes have legends, and are not refused.

        Raises:
            InputError: The array has other dimensions, or holds no measured quantity.
            GridError: The array is not georeferenced.
        """
        name = array_name(array)
        y, x = spatial_dims(array, name)
        extra = [dim for dim in array.dims if dim not in (y, x)]
        if len(extra) > 1 or (extra and extra[0] not in BAND_DIMS):
            dims = ", ".join(map(str, array.dims))
            raise InputError(f"{name} has the dimensions {dims}: select one index of each but y, x and band with .isel")
        refuse_array(array, name, quantity=quantity, classes=not classes)
        grid, notes = array_grid(array, name)
        ordered = array.transpose(*extra, y, x)
        raw = _dask_array(ordered)
        if not extra:
            raw = raw[np.newaxis]
        count = raw.shape[0]
        raw_nodata = array_nodata(array) if nodata is None else Nodata.of(nodata)
        declared = array.rio.encoded_nodata if nodata is None else None
        if declared is None and raw_nodata is not None:
            declared = raw_nodata.value
        if quantity and (codes := codes_of(array.attrs)):
            if raw.dtype.kind == "f":
                raw = _without_codes(raw, array, codes)
            else:
                known = raw_nodata or Nodata()
                raw_nodata = replace(known, values=(*known.values, *codes))
                declared = raw_nodata.value if declared is None else declared
            notes += note_of_codes(name, array.attrs)
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
            raw_nodata=(raw_nodata,) * count,
            nodata=None if declared is None else float(declared),
            band_tags=tags,
            name=name,
            labels=tuple(map(str, labels)),
            numbers=_numbers(labels) if extra else (),
            notes=notes,
            legends=_known_legends(_array_legends(array, bands, labels) if classes else ()),
        )

    @classmethod
    def in_memory(cls, values: NDArray[np.float32], grid: GeoBox, *, bands: Sequence[str], name: str) -> ArrayRaster:
        """Return values (bands, h, w), float32 with NaN at nodata, as a raster on a grid."""
        count = values.shape[0]
        return cls(
            raw=da.from_array(values, chunks=-1),
            grid=grid,
            bands=tuple(bands),
            raw_nodata=(None,) * count,
            nodata=None,
            band_tags=(BandTags(),) * count,
            name=name,
        )

    @classmethod
    def stacked(cls, rasters: Sequence[ArrayRaster], name: str) -> ArrayRaster:
        """Return the bands of several rasters on one grid, such as the variables of a Dataset, as one raster."""
        first = rasters[0]
        if other := next((raster for raster in rasters if raster.grid != first.grid), None):
            raise GridError(f"{name}: {other.name} and {first.name} are on different grids: resample them to one first")
        return cls(
            raw=da.concatenate([raster.raw for raster in rasters]),
            grid=first.grid,
            bands=tuple(band for raster in rasters for band in raster.bands),
            raw_nodata=tuple(value for raster in rasters for value in raster.raw_nodata),
            nodata=first.nodata,
            band_tags=tuple(tags for raster in rasters for tags in raster.band_tags),
            name=name,
            labels=tuple(label for raster in rasters for label in raster.labels),
            notes=tuple(dict.fromkeys(note for raster in rasters for note in raster.notes)),
            legends=_known_legends([legend for raster in rasters for legend in raster.band_legends]),
        )

    def taking(self, wanted: Sequence[int | str]) -> ArrayRaster:
        """Return the raster with some of its bands, by number, description or label; InputError if one is missing."""
        return self.at(places_of(self.name, wanted, self.bands, self.numbers, self.labels), legends=True)

    def with_classes(self, said: Sequence[int | str]) -> ArrayRaster:
        """Return the raster with some of its bands as classes; InputError if one is missing."""
        places = set(places_of(self.name, said, self.bands, self.numbers, self.labels))
        legends = [legend or (SAID if place in places else None) for place, legend in enumerate(self.band_legends)]
        return replace(self, legends=_known_legends(legends))

    def at(self, places: Sequence[int], *, legends: bool = False) -> ArrayRaster:
        """Return the raster with the bands at some places, from 0, without their legends if those are not asked for."""

        def taken(values: tuple[_T, ...]) -> tuple[_T, ...]:
            return tuple(values[place] for place in places)

        return replace(
            self,
            raw=self.raw[list(places)],
            bands=taken(self.bands),
            raw_nodata=taken(self.raw_nodata),
            band_tags=taken(self.band_tags),
            labels=taken(self.labels) if self.labels else (),
            numbers=taken(self.numbers),
            legends=_known_legends(taken(self.band_legends)) if legends else (),
        )

    @property
    def band_legends(self) -> tuple[Legend | None, ...]:
        """The legend of each band, or None."""
        return self.legends or (None,) * len(self.bands)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype in which the values are stored."""
        dtype: np.dtype[Any] = self.raw.dtype
        return dtype

    def read_plan(self, window: Window) -> ReadPlan:
        """Return the plan that reads the window from this array; a graph takes the chunks under it."""
        return ReadPlan.of(self, window)

    def read(self, window: Window) -> Pixels:
        """Compute a window within the raster at once."""
        return Pixels.masked(with_nodata_as_nan(self.stored(window), self.raw_nodata))

    def stored(self, window: Window) -> NDArray[Any]:
        """Compute the stored values of a window, (bands, h, w).

        This thread computes them. An array that is persisted on a cluster is computed there, from a task of it.

        Raises:
            InputError: The computation fails.
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
        except Exception as error:  # whatever the array is computed from
            reason = str(error) or type(error).__name__
            raise InputError(
                f"{self.name} cannot be computed at row {window.row}, column {window.col} ({reason}): check what it is "
                "computed from"
            ) from error

    def __dask_tokenize__(self) -> object:
        """Return dask's name of the array, its nodata values, bands and grid."""
        return type(self).__name__, self.raw.name, self.raw_nodata, self.bands, self.grid


def _without_codes(raw: da.Array, array: xr.DataArray, codes: Sequence[float]) -> da.Array:
    """Return pixels of floats with NaN in place of codes; decoded ones are compared by the scale in the encoding."""
    scale, offset = float(array.encoding.get("scale_factor", 1)), float(array.encoding.get("add_offset", 0))
    filled: da.Array = raw.map_blocks(
        _fill_codes, tuple(codes), scale, offset, dtype=raw.dtype, meta=np.empty((0, 0, 0), raw.dtype)
    )
    return filled


def _fill_codes(raw: NDArray[Any], codes: Sequence[float], scale: float, offset: float) -> NDArray[Any]:
    return np.where(is_code(raw, codes, scale, offset), raw.dtype.type(np.nan), raw)


def extra_dims(source: xr.DataArray) -> list[Hashable]:
    """Return the dimensions of an array beyond those of its grid."""
    return [dim for dim in source.dims if dim not in (source.rio.y_dim, source.rio.x_dim)]


def band_of(array: xr.DataArray, band: int) -> xr.DataArray:
    """Return one band of an array, with those attributes that have a value for each band reduced to its own.

    Args:
        array: An array with a dimension of bands, or without one, which is band 1.
        band: The number of the band: the value of its coordinate if those are numbers from 1, or its position from 1.

    Raises:
        InputError: There is no such band.
    """
    dim = next((dim for dim in array.dims if dim in BAND_DIMS), None)
    count = 1 if dim is None else array.sizes[dim]
    labels = range(1, count + 1) if dim is None or dim not in array.coords else array[dim].values.tolist()
    numbers = _numbers(labels) or tuple(range(1, count + 1))
    (place,) = places_of(array_name(array), [band], [str(label) for label in labels], numbers)
    taken = array if dim is None else array.isel({dim: place})
    if count == 1:
        return taken
    taken = taken.copy(deep=False)
    for key in (*_BAND_ATTRS, *_PLURAL_ATTRS):
        values = array.attrs.get(key)
        if isinstance(values, tuple | list) and len(values) == count:
            taken.attrs.pop(key)
            taken.attrs[_PLURAL_ATTRS.get(key, key)] = values[place]
    return taken


def spatial_dims(array: xr.DataArray, name: str) -> tuple[Hashable, Hashable]:
    """Return the dimensions that run down and across; GridError, with the array's `name`, if they are not known."""
    try:
        return array.rio.y_dim, array.rio.x_dim
    except rioxarray.exceptions.RioXarrayError as error:
        if positions := swath_positions(array):
            raise swath(name, positions) from error
        dims = ", ".join(map(str, array.dims))
        raise GridError(
            f"{name} has the dimensions {dims}: name the spatial ones with .rio.set_spatial_dims(...)"
        ) from error


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

    # One long_name for several bands describes the array, not a band.
    descriptions = (
        each("long_name") if isinstance(attrs.get("long_name"), (tuple, list)) or count == 1 else (None,) * count
    )
    rows = zip(descriptions, each("units"), each("scale_factor"), each("add_offset"), strict=True)
    tags = tuple(
        BandTags(
            None if description is None else str(description),
            None if unit is None else str(unit),
            1.0 if scale is None else float(scale),
            0.0 if offset is None else float(offset),
        )
        for description, unit, scale, offset in rows
    )
    found = _reflectances(array, [tag.description for tag in tags])
    return tuple(
        tag
        if numbers is None or (tag.scale, tag.offset) != (1, 0)
        else replace(tag, scale=numbers[0], offset=numbers[1])
        for tag, numbers in zip(tags, found, strict=True)
    )


def _reflectances(array: xr.DataArray, descriptions: Sequence[str | None]) -> list[tuple[float, float] | None]:
    """Return scale and offset of each band of Sentinel-2's reflectances, as rioxarray opens them; None for others.

    The numbers are the stored ones if the encoding is still that of rioxarray: arithmetic drops it, and keeps the
    attributes.
    """
    if not has_reflectance_tags(array.attrs) or "rasterio_dtype" not in array.encoding:
        return [None] * len(descriptions)
    names = array.attrs.get("long_name")
    number = array.coords["band"].values if "band" in array.coords else None
    if isinstance(names, tuple | list) and number is not None and number.ndim == 0 and str(number).isdecimal():
        descriptions = [
            names[int(number) - 1] if 0 < int(number) <= len(names) else None
        ]  # a selection keeps all names
    dtype = array.encoding["rasterio_dtype"]
    own = str(array.attrs.get("BANDNAME", "")) if len(descriptions) == 1 else ""
    return [reflectance_scale(array.attrs, name or own, dtype) for name in descriptions]


def _numbers(labels: Sequence[object]) -> tuple[int, ...]:
    """Return the labels if they are different numbers from 1; otherwise an empty tuple."""
    numbers = tuple(label for label in labels if isinstance(label, int) and label > 0)
    return numbers if len(set(numbers)) == len(labels) else ()


def _array_legends(array: xr.DataArray, bands: Sequence[str], labels: Sequence[object]) -> list[Legend | None]:
    if len(bands) == 1 and "band" in array.coords and array["band"].ndim == 0:
        labels = [array["band"].item()]
    return [
        array_legend(array.attrs, array.dtype, band)
        or (opened_legend(array.encoding, label) if isinstance(label, int) else None)
        for band, label in zip(bands, labels, strict=True)
    ]


def _known_legends(legends: Sequence[Legend | None]) -> tuple[Legend | None, ...]:
    """Return the legends of the bands; an empty tuple if none holds classes."""
    return tuple(legends) if any(legends) else ()


def _on_cluster(array: da.Array) -> bool:
    """Return True within a task of dask.distributed if the array's chunks are on the cluster already."""
    if "distributed" not in sys.modules:
        return False
    from distributed import futures_of, get_worker  # noqa: PLC0415  (an extra)

    try:
        get_worker()
    except ValueError:
        return False
    return bool(futures_of(array))


def array_name(array: xr.DataArray) -> str:
    """Return the name of an array in messages: its own, or the file that it comes from."""
    if array.name is not None:
        return f"the array {array.name!r}"
    return str(array.encoding.get("source", "the array"))
