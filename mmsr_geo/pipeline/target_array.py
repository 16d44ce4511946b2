"""The target as an array: the targets of all pairs joined, with coordinates, attributes and QA flags."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import dask.array as da
import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from mmsr_geo.engine.flags import FLAG_ATTRS, UNCERTAINTY
from mmsr_geo.raster.read.array_grid import attrs_in_crs, crs_of
from mmsr_geo.raster.read.arrays import extra_dims
from mmsr_geo.raster.read.codes import FLAGS
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
_STALE_NAMES = {"grid_mapping", "transform", *_NODATA_ATTRS, *FLAGS}
"""Attributes that are not copied: the source's own transform, and the meanings of codes, which the target has not."""


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
    dims = extra_dims(source)
    y, x = source.rio.y_dim, source.rio.x_dim
    shape = tuple(source.sizes[dim] for dim in dims)
    data = da.stack(targets).reshape(*shape, *grid.shape.yx) if dims else targets[0]
    coords = {
        name: c for name, c in source.coords.items() if not {y, x} & set(c.dims) and name not in _grid_names(source)
    }
    attrs = {
        key: value
        for key, value in source.attrs.items()
        if key not in _STALE_NAMES and not str(key).startswith(_STALE_ATTRS)
    }
    masked = source.rio.encoded_nodata is not None
    nodata = output_nodata(source_nodata)
    if not masked:
        data = data.map_blocks(with_nodata, nodata, dtype=np.float32, meta=np.empty((0,) * data.ndim, np.float32))
    target = xr.DataArray(data, dims=(*dims, y, x), coords=coords, attrs=attrs).rename(source.name)  # not dask's name
    crs = crs_of(source)
    own = crs if crs == grid.crs else None
    if grid.axis_aligned:
        axes = {y: grid.coordinates[grid.dimensions[0]], x: grid.coordinates[grid.dimensions[1]]}
        target = target.assign_coords(
            {
                dim: (
                    dim,
                    axis.values,
                    attrs_in_crs(source.coords[dim], own) if own is not None and dim in source.coords else {},
                )
                for dim, axis in axes.items()
            }
        )
    for name, values in (facts or {}).items():
        stacked = da.stack(values).reshape(shape) if dims else values[0]
        target = target.assign_coords({name: (dims, stacked, _FACTS[name])})
    target = target.rio.set_spatial_dims(x_dim=x, y_dim=y)
    mapping = source.rio.grid_mapping
    written = str(grid.crs) if own is None or source.rio.crs is None else source.rio.crs
    target = target.rio.write_crs(written, grid_mapping_name=mapping)
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


def _pixelwise(target: xr.DataArray, slices: Sequence[da.Array]) -> tuple[tuple[Hashable, ...], da.Array]:
    """Return the dimensions and the data of a pixel-wise coordinate, from (H, W) of each slice."""
    dims = extra_dims(target)
    data = da.stack(slices).reshape(*(target.sizes[dim] for dim in dims), *slices[0].shape) if dims else slices[0]
    return (*dims, target.rio.y_dim, target.rio.x_dim), data


def _grid_names(source: xr.DataArray) -> set[Hashable]:
    return {source.rio.grid_mapping, "spatial_ref"}
