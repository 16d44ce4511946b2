"""Nodata that files and arrays declare: one value or several, as metadata have them; knows no pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmsr_geo.nodata import Nodata
from mmsr_geo.raster.read.attributes import numbers_of

if TYPE_CHECKING:
    import rasterio
    import xarray as xr

_FILLS = ("_FillValue", "missing_value")
"""Attributes of the CF conventions and of netCDF that hold values of pixels without data."""


def declared_nodata(dataset: rasterio.DatasetReader, at: Sequence[int]) -> tuple[Nodata | None, ...]:
    """Return what means nodata in the bands at some positions, from 0: GDAL's nodata value and all listed fills.

    GDAL takes one value: of a netCDF variable with a `_FillValue` and another `missing_value` only the first. In a band
    of half floats (NBITS=16) the declared value means also what it becomes as such a float: -9992 for -9999.
    """
    declared = dataset.nodatavals
    found = []
    for position in at:
        number, tags = position + 1, dataset.tags(position + 1)
        listed = [value for name in _FILLS for value in numbers_of(tags.get(name))]
        if tags.get("_Unsigned") == "true":  # netCDF has the fills of unsigned integers as signed ones
            listed = [value % 2 ** (8 * np.dtype(dataset.dtypes[position]).itemsize) for value in listed]
        values = [declared[position], *listed]
        if dataset.tags(number, ns="IMAGE_STRUCTURE").get("NBITS") == "16" and "float" in dataset.dtypes[position]:
            values += [half for value in values[:1] for half in _as_half(value)]
        found.append(Nodata.of_values(values))
    return tuple(found)


def array_nodata(array: xr.DataArray) -> Nodata | None:
    """Return what means nodata in an array as it is stored: the nodata value of rioxarray and all listed fills."""
    values = [array.rio.nodata, *(value for name in _FILLS for value in numbers_of(array.attrs.get(name)))]
    if array.dtype == np.float16:
        values += [half for value in values[:1] for half in _as_half(value)]
    return Nodata.of_values(values)


def _as_half(value: float | None) -> list[float]:
    """Return the half floats next to a value, which it was rounded to or cut off to."""
    if value is None or not abs(value) < float(np.finfo(np.float16).max):
        return []
    nearest = np.float16(value)
    beside = np.nextafter(nearest, np.float16(np.copysign(np.inf, value - float(nearest))))
    return [float(nearest), float(beside)] if float(nearest) != value else []
