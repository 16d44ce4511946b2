"""Arrays of several bands or dates: split into rasters of one band, and joined again; knows xarray, reads nothing."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import product
from os import PathLike
from typing import Any

import dask.array as da
import numpy as np
import rasterio
import rioxarray
import xarray as xr
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from mmsr_geo.engine.flags import FLAG_ATTRS, UNCERTAINTY
from mmsr_geo.errors import InputError
from mmsr_geo.raster.base import Raster
from mmsr_geo.raster.read.arrays import BAND_DIMS, array_name, spatial_dims
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.read.open import open_source
from mmsr_geo.raster.write.encoding import output_nodata, with_nodata

_NODATA_ATTRS = ("_FillValue", "missing_value")
_FACTS = {
    "guide_gain": {
        "long_name": "share of the bicubic baseline's error removed by the guide, at reduced resolution",
        "units": "1",
    },
    "consistency_rmse": {
        "long_name": "RMSE of the target, averaged back onto the source's grid, against the source",
    },
}
_STALE_ATTRS = ("STATISTICS_", "valid_range", "valid_min", "valid_max", "actual_range", "dtype")
"""Attributes (or their first letters) that describe the source's pixels and are not copied to the target."""


def slices_of(
    source: str | PathLike[str] | xr.DataArray, nodata: float | None = None
) -> tuple[xr.DataArray, list[tuple[xr.DataArray, Raster]]]:
    """Open a source and split it into rasters of one band.

    Args:
        source: A path or an array.
        nodata: Nodata value of the source, see `open_source`.

    Returns:
        The array that is the template of the target, not loaded, and its (y, x) slices in the order of its other
        dimensions, each with the raster that reads it.

    Raises:
        InputError: The source cannot be used.
        GridError: Its grid cannot be used.
    """
    if isinstance(source, xr.DataArray):
        y, x = spatial_dims(source, array_name(source))
        dims = _extra_dims(source)
        indexes = product(*(range(source.sizes[dim]) for dim in dims))
        # A selection loses the names of the spatial dimensions.
        parts = [
            source.isel(dict(zip(dims, index, strict=True))).rio.set_spatial_dims(x_dim=x, y_dim=y) for index in indexes
        ]
        if not parts:
            raise InputError(f"{source.name or 'the source'} is empty: one of its dimensions has length 0")
        return source, [(part, open_source(part, nodata=nodata)) for part in parts]
    if not isinstance(source, str | PathLike):
        open_source(source)  # raises InputError
    file = FileRaster.open(source)
    rasters = [FileRaster.open(source, (index,), nodata=nodata) for index in file.indexes]
    opened = rioxarray.open_rasterio(source)
    if not isinstance(opened, xr.DataArray):
        raise InputError(f"{file.name} contains several rasters: pass the name of one of them{_example(file.path)}")
    template = opened.sel(band=list(file.indexes))
    if len(rasters) == 1:
        template = template.squeeze("band", drop=True)
        return template, [(template, rasters[0])]
    return template, [(template.isel(band=i), raster) for i, raster in enumerate(rasters)]


def guide_for(guide: Any, part: xr.DataArray) -> Any:  # noqa: ANN401  (what open_guide takes)
    """Return the guide of one slice of the source, selected by the coordinates of the guide's further dimensions.

    Raises:
        InputError: The slice has no such coordinate, or the guide has no such date.
    """
    if not isinstance(guide, xr.DataArray | xr.Dataset):
        return guide
    try:
        y, x = guide.rio.y_dim, guide.rio.x_dim
    except rioxarray.exceptions.RioXarrayError:
        return guide  # opening it raises InputError
    for dim in [dim for dim in guide.dims if dim not in {y, x, *BAND_DIMS}]:
        size = guide.sizes[dim]
        if dim not in part.coords or dim not in guide.coords:
            if (
                isinstance(guide, xr.DataArray)
                and dim not in part.coords
                and guide.ndim == 3
                and dim not in guide.coords
            ):
                return guide.rename({dim: "band"})
            raise InputError(
                f"the guide has {size} slices along {dim}, and the source has no {dim} coordinate to choose one by: "
                f"select one, as in guide.isel({dim}=0)"
            )
        value = part.coords[dim].values
        matches = np.flatnonzero(guide.coords[dim].values == value)
        if len(matches) != 1:
            raise InputError(
                f"the guide has {len(matches) or 'no'} slices at {dim} {value} of the source: use a guide with exactly "
                f"one, or select one, as in guide.isel({dim}=0)"
            )
        guide = guide.isel({dim: int(matches[0])})
    return guide


def target_array(
    source: xr.DataArray,
    targets: Sequence[da.Array],
    grid: GeoBox,
    facts: Mapping[str, Sequence[da.Array]] | None = None,
    *,
    source_nodata: float | None = None,
) -> xr.DataArray:
    """Join the targets of all slices into an array with the source's dimensions, coordinates, attributes and name.

    Args:
        source: The template.
        targets: (H, W) of each slice, NaN where it has no data.
        grid: The target's grid.
        facts: 0-d arrays of each slice, by the name of the coordinate that they become.
        source_nodata: Nodata value of the source, declared or given.
    """
    dims = _extra_dims(source)
    y, x = source.rio.y_dim, source.rio.x_dim
    shape = tuple(source.sizes[dim] for dim in dims)
    data = da.stack(targets).reshape(*shape, *grid.shape.yx) if dims else targets[0]
    coords = {
        name: c for name, c in source.coords.items() if not {y, x} & set(c.dims) and name not in _grid_names(source)
    }
    attrs = {
        key: value
        for key, value in source.attrs.items()
        if key not in {*_NODATA_ATTRS, "grid_mapping"} and not str(key).startswith(_STALE_ATTRS)
    }
    masked = source.rio.encoded_nodata is not None
    nodata = output_nodata(source_nodata)
    if not masked:
        data = data.map_blocks(with_nodata, nodata, dtype=np.float32, meta=np.empty((0,) * data.ndim, np.float32))
    target = xr.DataArray(data, dims=(*dims, y, x), coords=coords, attrs=attrs).rename(source.name)  # not dask's name
    same_crs = source.rio.crs is not None and CRS(source.rio.crs) == grid.crs
    if grid.axis_aligned:
        axes = {y: grid.coordinates[grid.dimensions[0]], x: grid.coordinates[grid.dimensions[1]]}
        target = target.assign_coords(
            {
                dim: (dim, axis.values, source.coords[dim].attrs if same_crs and dim in source.coords else {})
                for dim, axis in axes.items()
            }
        )
    for name, values in (facts or {}).items():
        stacked = da.stack(values).reshape(shape) if dims else values[0]
        target = target.assign_coords({name: (dims, stacked, _FACTS[name])})
    target = target.rio.set_spatial_dims(x_dim=x, y_dim=y)
    mapping = source.rio.grid_mapping
    target = target.rio.write_crs(source.rio.crs if same_crs else str(grid.crs), grid_mapping_name=mapping)
    target = target.rio.write_transform(grid.affine, grid_mapping_name=mapping)
    target = target.rio.write_nodata(nodata, encoded=masked)
    arranged: xr.DataArray = target.transpose(*source.dims)
    return arranged


def with_flags(target: xr.DataArray, flags: Sequence[da.Array]) -> xr.DataArray:
    """Add the slices' flags (H, W; uint8) to a target as the coordinate `qa`, with their meanings in CF attributes."""
    return target.assign_coords(qa=(*_pixelwise(target, flags), FLAG_ATTRS))


def with_uncertainty(target: xr.DataArray, halves: Sequence[da.Array]) -> xr.DataArray:
    """Add the slices' uncertainties (H, W; float32, NaN where not known) to a target as the coordinate `uncertainty`.

    They have the target's units and scale factor, if it declares them, but no offset.
    """
    attrs = {"long_name": f"uncertainty of {target.name or 'the target'}", "comment": UNCERTAINTY}
    attrs |= {key: target.attrs[key] for key in ("units", "scale_factor") if key in target.attrs}
    return target.assign_coords(uncertainty=(*_pixelwise(target, halves), attrs))


def _example(path: str) -> str:
    with rasterio.open(path) as dataset:
        return f", as in {dataset.subdatasets[0]}" if dataset.subdatasets else ""


def _pixelwise(target: xr.DataArray, slices: Sequence[da.Array]) -> tuple[tuple[Hashable, ...], da.Array]:
    """Return the dimensions and the data of a pixel-wise coordinate, from (H, W) of each slice."""
    dims = _extra_dims(target)
    data = da.stack(slices).reshape(*(target.sizes[dim] for dim in dims), *slices[0].shape) if dims else slices[0]
    return (*dims, target.rio.y_dim, target.rio.x_dim), data


def _extra_dims(source: xr.DataArray) -> list[Hashable]:
    return [dim for dim in source.dims if dim not in (source.rio.y_dim, source.rio.x_dim)]


def _grid_names(source: xr.DataArray) -> set[Hashable]:
    return {source.rio.grid_mapping, "spatial_ref"}
