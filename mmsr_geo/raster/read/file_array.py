"""A raster file as an array without pixels: its dimensions, coordinates and attributes, as GDAL reports them."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import rasterio
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr
from rasterio.errors import RasterioError

from mmsr_geo.errors import InputError
from mmsr_geo.raster.read.advice import example_of
from mmsr_geo.raster.read.files import FileRaster, opened

BAND = "band"
"""Dimension of the bands of a file that says nothing of what they run along."""
_GDALS = re.compile(r"NETCDF_|DIM_.+_(INDEX|VALUE|UNIT)$")
"""First letters of the tags that are GDAL's own words on the dimensions of a variable."""
_REAL = (",5}", ",6}")
"""Ends of GDAL's definition of a netCDF dimension whose values are float or double."""
_CF = {"scale": "scale_factor", "offset": "add_offset"}
_STORED = {"_FillValue", "missing_value", "fill_value", "nodata", "scale_factor", "add_offset", "scale", "offset"}
"""Tags that the metadata of the bands have in their own places."""


def file_array(raster: FileRaster) -> xr.DataArray:
    """Return an array with the dimensions, coordinates and attributes of a file, and zeros in place of its pixels.

    Args:
        raster: The file; its bands are the slices of the array, in the same order.

    Returns:
        (y, x) of a file of one band. Otherwise the further dimensions come first: those that a netCDF or Zarr variable
        gives coordinates to, such as time, also if they have one value, or else `band`, with the numbers of the bands.

    Raises:
        InputError: The file cannot be opened, or contains several rasters, such as the pages of a TIFF.
    """
    with opened(raster.path) as dataset:
        if dataset.subdatasets and dataset.driver != "Zarr":  # a Zarr store of one variable lists its coordinates too
            raise InputError(
                f"{raster.path} contains several rasters: pass the name of one of them, as in {example_of(dataset)}"
            )
        tags = dataset.tags()
        bands = [dataset.tags(number) for number in raster.indexes]
        axes = _axes(dataset, tags, bands)
        crs = dataset.crs
    sizes = {str(name): len(axis) for name, axis in axes.items() if axis.dims == (name,)}
    if not sizes and len(bands) > 1:
        sizes = {BAND: len(bands)}
        axes[BAND] = xr.Variable((BAND,), np.array(raster.indexes))
    pixels = np.broadcast_to(np.zeros((), raster.dtype), (*sizes.values(), *raster.grid.shape.yx))
    array = xr.DataArray(
        pixels,
        dims=(*sizes, "y", "x"),
        coords=axes,
        attrs=_attributes(raster, tags, bands[0], along=[name for name in sizes if name != BAND]),
        name=bands[0].get("NETCDF_VARNAME"),
    )
    mapping = bands[0].get("grid_mapping", tags.get("grid_mapping", "spatial_ref"))
    mapping = mapping if mapping.isidentifier() and mapping not in {*array.dims, *array.coords} else "spatial_ref"
    array = array.rio.write_crs(crs, grid_mapping_name=mapping, inplace=True)  # a copy would have all pixels
    placed: xr.DataArray = array.rio.write_transform(raster.grid.affine, grid_mapping_name=mapping, inplace=True)
    return placed


def _axes(
    dataset: rasterio.DatasetReader, tags: Mapping[str, str], bands: Sequence[Mapping[str, str]]
) -> dict[Hashable, xr.Variable]:
    """Return the coordinates of the bands by name.

    Each is along a dimension of its own; along `band` if the bands are not all combinations of their values.
    """
    texts = _coordinates_of_bands(tags, bands)
    if not texts:
        return {}
    places: dict[str, list[int]] = {}
    values: dict[str, list[str]] = {}
    for name, along in texts.items():
        values[name] = list(dict.fromkeys(along))
        places[name] = [values[name].index(text) for text in along]
    # The first dimension varies most slowly.
    order = sorted(texts, key=lambda name: next((i for i, at in enumerate(places[name]) if at), 0), reverse=True)
    every = np.indices([len(values[name]) for name in order]).reshape(len(order), -1)
    whole = len(texts) == 1 or (
        every.shape[1] == len(bands)
        and all(np.array_equal(at, places[name]) for at, name in zip(every, order, strict=True))
    )
    axes: dict[Hashable, xr.Variable] = {}
    for name in order:
        along = values[name] if whole and len(texts) > 1 else texts[name]  # one may have the same date twice
        attributes = _attributes_of(dataset, name, tags, bands[0])
        real = tags.get(f"NETCDF_DIM_{name}_DEF", "").endswith(_REAL)
        axes[name] = _decoded(name, name if whole else BAND, along, attributes, real=real)
    if not whole:
        axes[BAND] = xr.Variable((BAND,), np.arange(1, len(bands) + 1))
    return axes


def _coordinates_of_bands(tags: Mapping[str, str], bands: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Return the texts of each coordinate, one per band, by GDAL's tags of netCDF and Zarr variables."""
    extra = [name for name in tags.get("NETCDF_DIM_EXTRA", "").strip("{}").split(",") if name]
    if any(f"NETCDF_DIM_{name}_DEF" in tags for name in extra):  # otherwise they are only numbered
        keys = {name: f"NETCDF_DIM_{name}" for name in extra}
    else:
        keys = {key[4:-6]: key for key in bands[0] if re.fullmatch("DIM_.+_VALUE", key)}
    return {
        name: [band[key].strip() for band in bands]
        for name, key in keys.items()
        if name not in {"x", "y"} and all(key in band for band in bands)
    }


def _attributes_of(
    dataset: rasterio.DatasetReader, name: str, tags: Mapping[str, str], band: Mapping[str, str]
) -> dict[str, Any]:
    """Return the attributes of a coordinate variable."""
    attributes = {key.removeprefix(f"{name}#"): value for key, value in tags.items() if key.startswith(f"{name}#")}
    if units := band.get(f"DIM_{name}_UNIT"):
        # GDAL reports the unit of a Zarr array's dimension with each band, and its calendar with the dimension alone.
        own = next((part for part in dataset.subdatasets if part.endswith(f"/{name}")), None)
        own = own or f"{dataset.name.rpartition('/')[0]}/{name}"
        with suppress(RasterioError, InputError), opened(own) as dimension:
            attributes = dict(dimension.tags())
        attributes["units"] = units
    return {key: value for key, value in attributes.items() if key not in _STORED}


def _decoded(name: str, dim: str, texts: Sequence[str], attributes: Mapping[str, Any], *, real: bool) -> xr.Variable:
    """Return a coordinate as numbers, as dates where its unit is a time since a date, or else as texts.

    Numbers are integers if all are whole, unless they are stored as `real` ones. Dates of a calendar that numpy has not
    (noleap, 360_day) remain numbers with their units and calendar.
    """
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return xr.Variable((dim,), np.array(texts), attributes)
    whole = not real and all(math.isfinite(number) and number == round(number) for number in numbers)
    variable = xr.Variable((dim,), np.array([int(n) for n in numbers] if whole else numbers), attributes)
    if " since " in str(attributes.get("units", "")):
        with suppress(ValueError, OverflowError, TypeError, ImportError):
            decoded = xr.coders.CFDatetimeCoder(use_cftime=False).decode(variable, name=name).load()
            return xr.Variable((dim,), decoded.values, decoded.attrs)
    return variable


def _attributes(
    raster: FileRaster, tags: Mapping[str, str], band: Mapping[str, str], *, along: Sequence[str]
) -> dict[str, Any]:
    """Return the attributes of a file's array: its tags and those of its first band, units, scale and offset.

    Args:
        raster: The file.
        tags: Its tags.
        band: The tags of the first band.
        along: Dimensions of the bands that are named; their bands differ in nothing else.
    """
    attributes: dict[str, Any] = {}
    for key, value in {**tags, **band}.items():
        plain = key.removeprefix("NC_GLOBAL#")
        if "#" not in plain and not _GDALS.match(plain) and plain not in {*_STORED, "grid_mapping"}:
            attributes[plain] = _numbers(value)
    if raster.nodata is not None:
        attributes["_FillValue"] = raster.dtype.type(raster.nodata) if _holds(raster) else raster.nodata
    for one, each in (("scale", "scales"), ("offset", "offsets")):
        values = tuple(getattr(of_band, one) for of_band in raster.band_tags)
        same = len(set(values)) == 1
        attributes[_CF[one] if same else each] = values[0] if same else values
    descriptions = tuple(of_band.description for of_band in raster.band_tags)
    if any(descriptions):
        attributes["long_name"] = descriptions[0] if len(set(descriptions)) == 1 else descriptions
    units = tuple(of_band.unit for of_band in raster.band_tags)
    if any(units):
        attributes["units"] = units[0] if len(units) == 1 or (along and len(set(units)) == 1) else units
    return attributes


def _holds(raster: FileRaster) -> bool:
    """Return True if the file's dtype holds its nodata value."""
    if raster.dtype.kind == "f" or raster.nodata is None:
        return True
    limits = np.iinfo(raster.dtype)
    return math.isfinite(raster.nodata) and limits.min <= raster.nodata <= limits.max


def _numbers(text: str) -> Any:  # noqa: ANN401  (an attribute's value)
    """Return a tag as a number, as an array of numbers ("{1,2}"), or as it is."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    with suppress(ValueError):
        if re.fullmatch(r"\{.+\}", text):
            return np.array([float(part) for part in text[1:-1].split(",")])
    return text
