"""A source split by band and date, and what of guides and masks belongs to each slice."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from itertools import product
from os import PathLike
from typing import Any

import numpy as np
import rioxarray
import xarray as xr

from mmsr_geo.errors import InputError
from mmsr_geo.nodata import NodataLike
from mmsr_geo.raster.base import Raster
from mmsr_geo.raster.read.arrays import BAND_DIMS, ArrayRaster, array_name, band_of, extra_dims, spatial_dims
from mmsr_geo.raster.read.file_array import BAND, file_array
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.read.open import open_source
from mmsr_geo.raster.views.mask import Mask, MaskLike, open_mask, path_and_rule

_CARRIED = ("long_name", "standard_name", "cell_methods", "comment")
"""CF attributes that describe a quantity, whatever its date and its resolution."""


def slices_of(
    source: str | PathLike[str] | xr.DataArray, nodata: NodataLike | None = None, band: int | None = None
) -> tuple[xr.DataArray, list[tuple[xr.DataArray, Raster]]]:
    """Open a source and split it into rasters of one band.

    Args:
        source: A path or an array.
        nodata: Nodata values of the source, see `open_source`.
        band: Number of the band to take alone, from 1; None: all.

    Returns:
        The array that is the template of the target, not loaded, and its (y, x) slices in the order of its other
        dimensions, each with the raster that reads it.

    Raises:
        InputError: The source cannot be used, or has no such band.
        GridError: Its grid cannot be used.
    """
    rasters: list[FileRaster | ArrayRaster]
    if isinstance(source, xr.DataArray):
        y, x = spatial_dims(source, array_name(source))
        template = source if band is None else band_of(source, band).rio.set_spatial_dims(x_dim=x, y_dim=y)
        parts = _parts(template)
        if not parts:
            raise InputError(f"{source.name or 'the source'} is empty: one of its dimensions has length 0")
        rasters = [ArrayRaster.of(part, nodata=nodata) for part in parts]
    else:
        if not isinstance(source, str | PathLike):
            open_source(source)  # raises InputError
        file = FileRaster.open(source, None if band is None else [band])
        template = file_array(file)
        parts = _parts(template)
        rasters = [FileRaster.open(source, (index,), nodata=nodata) for index in file.indexes]
    return template, [(part, _labelled(raster, part, template)) for part, raster in zip(parts, rasters, strict=True)]


def _parts(array: xr.DataArray) -> list[xr.DataArray]:
    """Return the (y, x) slices of an array in the order of its other dimensions."""
    y, x = spatial_dims(array, array_name(array))
    dims = extra_dims(array)
    indexes = product(*(range(array.sizes[dim]) for dim in dims))
    # A selection loses the names of the spatial dimensions.
    return [array.isel(dict(zip(dims, index, strict=True))).rio.set_spatial_dims(x_dim=x, y_dim=y) for index in indexes]


def coordinates_along(template: xr.DataArray) -> dict[str, xr.Variable]:
    """Return the numbers and dates of a template's slices, such as their times, by name; all along one dimension.

    The dimension is the template's own, or `band` if there are several: their coordinates are repeated along it. The
    dict is empty if the slices are only numbered.
    """
    dims = extra_dims(template)
    if not dims:
        return {}
    along = {
        str(name): c
        for name, c in template.coords.items()
        if c.dims and set(c.dims) <= set(dims) and c.dtype.kind in "iufM" and name not in BAND_DIMS
    }
    if len(dims) == 1 and dims[0] not in BAND_DIMS:
        return {name: c.variable for name, c in along.items()} if dims[0] in along else {}
    if len(dims) == 1:
        along = {name: c for name, c in along.items() if c.dtype.kind == "M"}
    each = np.indices([template.sizes[dim] for dim in dims]).reshape(len(dims), -1)
    places = {dim: xr.Variable(("band",), at) for dim, at in zip(dims, each, strict=True)}
    return {name: c.variable.isel({dim: places[dim] for dim in c.dims}) for name, c in along.items()}


def attributes_along(template: xr.DataArray) -> dict[str, Any]:
    """Return the CF attributes of a source whose slices have coordinates, such as its long name, for its target."""
    if not coordinates_along(template):
        return {}
    return {key: template.attrs[key] for key in _CARRIED if isinstance(template.attrs.get(key), str)}


def guide_for(guide: Any, part: xr.DataArray) -> Any:  # noqa: ANN401  (what open_guide takes)
    """Return the guide of one slice of the source, selected by the coordinates of the guide's further dimensions.

    Raises:
        InputError: The slice has no such coordinate, or the guide has no such date.
    """
    if not isinstance(guide, xr.DataArray | xr.Dataset):
        return guide
    dims = _dims_of_slices(guide)
    if (
        isinstance(guide, xr.DataArray)
        and guide.ndim == 3
        and dims
        and dims[0] not in part.coords
        and dims[0] not in guide.coords
    ):
        return guide.rename({dims[0]: BAND})
    return _slice_at(guide, dims, part, "guide")


def mask_for(mask: MaskLike, part: xr.DataArray) -> Mask:
    """Open the mask of one slice of the source: of a mask with dates, an array or a file, that of the slice.

    A mask without dates, or of one slice where the source has no such coordinate, masks all slices.

    Raises:
        InputError: The mask cannot be opened, the slice has no such coordinate, or the mask has no such date.
        GridError: The mask is not georeferenced.
        OptionError: The dtype of the mask has no such bits.
    """
    if isinstance(mask, xr.DataArray):
        alone = [dim for dim in _dims_of_slices(mask) if mask.sizes[dim] == 1 and dim not in part.coords]
        mask = mask.squeeze(alone, drop=True)
        return open_mask(_slice_at(mask, _dims_of_slices(mask), part, "mask"))
    if not isinstance(mask, str | PathLike):
        return open_mask(mask)  # raises InputError
    file = FileRaster.open(path_and_rule(mask)[0], quantity=False)
    if len(file.indexes) == 1:
        return open_mask(mask)
    array = file_array(file)
    dims = [dim for dim in extra_dims(array) if dim not in BAND_DIMS]
    if not dims:
        return open_mask(mask)
    shape = [array.sizes[dim] for dim in dims]
    numbers = xr.DataArray(np.reshape(file.indexes, shape), {dim: array.coords[dim] for dim in dims}, dims)
    return open_mask(mask, band=int(_slice_at(numbers, dims, part, "mask")))


def _dims_of_slices(array: xr.DataArray | xr.Dataset) -> list[Hashable]:
    """Return the dimensions of a guide or mask beyond those of its grid and bands; none if these are not known."""
    try:
        known = {array.rio.y_dim, array.rio.x_dim, *BAND_DIMS}
    except rioxarray.exceptions.RioXarrayError:
        return []  # opening it raises InputError
    return [dim for dim in array.dims if dim not in known]


def _slice_at(array: Any, dims: Sequence[Hashable], part: xr.DataArray, called: str) -> Any:  # noqa: ANN401  (an array or a Dataset)
    """Return the slice of a guide or mask that has the coordinates of a slice of the source.

    Args:
        array: The guide or mask.
        dims: Dimensions to select along.
        part: The slice of the source.
        called: What the array is called in messages.

    Raises:
        InputError: One of them has no such coordinate, or not exactly one slice matches.
    """
    for dim in dims:
        size = array.sizes[dim]
        if dim not in part.coords or dim not in array.coords:
            raise InputError(
                f"the {called} has {size} slices along {dim}, and the source has no {dim} coordinate to choose one by: "
                f"select one, as in {called}.isel({dim}=0)"
            )
        value = part.coords[dim].values
        matches = np.flatnonzero(array.coords[dim].values == value)
        if len(matches) != 1:
            raise InputError(
                f"the {called} has {len(matches) or 'no'} slices at {dim} {value} of the source: use a {called} with "
                f"exactly one, or select one, as in {called}.isel({dim}=0)"
            )
        array = array.isel({dim: int(matches[0])})
    return array


def _labelled(raster: FileRaster | ArrayRaster, part: xr.DataArray, template: xr.DataArray) -> Raster:
    """Return a slice's raster whose description says where it lies along time and other dimensions, as 2024-06-01."""
    dims = extra_dims(template)
    along = [name for name in dims if name not in BAND_DIMS and name in part.coords]
    # Bands of a file that are not all combinations of their dates and levels.
    along += [
        name
        for name, c in template.coords.items()
        if name not in dims and c.dtype.kind == "M" and c.dims and set(c.dims) <= {*BAND_DIMS}
    ]
    label = ", ".join(_place(str(name), part.coords[name]) for name in along)
    if not label:
        return raster
    (tags,) = raster.band_tags
    described = f"{tags.description}, {label}" if tags.description else label
    named = (replace(tags, description=described),)
    if isinstance(raster, FileRaster):
        return replace(raster, band_tags=named)
    return replace(raster, band_tags=named, bands=(described,))


def _place(name: str, coordinate: xr.DataArray) -> str:
    value = coordinate.values
    if value.dtype.kind == "M":
        return str(np.datetime_as_string(value, unit="auto"))
    unit = str(coordinate.attrs.get("units", ""))
    text = f"{value:g}" if value.dtype.kind == "f" else str(value)
    return f"{name} {text} {unit}".rstrip()
