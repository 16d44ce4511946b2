"""Grid of an xarray array: its CRS, and a transform from its metadata and its coordinates; knows no pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import rioxarray  # noqa: F401  (registers .rio)
from affine import Affine
from odc.geo.geobox import GeoBox

from mmsr_geo.errors import GridError
from mmsr_geo.raster.grids import SNAP_PX, check_transform
from mmsr_geo.raster.read.axis_units import refuse_unit

if TYPE_CHECKING:
    from collections.abc import Hashable

    import xarray as xr
    from numpy.typing import NDArray

    Points = NDArray[np.float64]

_UNEVEN_PX = 0.01
"""Largest deviation from even steps, in pixels, of coordinates that were rounded as decimal numbers."""
_POSITIONS = {
    "x": {"lon", "longitude", "nav_lon", "xlong", "degrees_east", "degree_east"},
    "y": {"lat", "latitude", "nav_lat", "xlat", "degrees_north", "degree_north"},
}
"""Names, standard names and units of the coordinates of a swath."""
_ROUNDED_PX = 0.1
"""Largest deviation, in pixels, of coordinates that were rounded to float32: 0.03 arc seconds at 75 degrees."""


def array_grid(array: xr.DataArray, name: str) -> GeoBox:
    """Return the grid of an array.

    The stored transform (GeoTransform of spatial_ref) is taken exactly if the coordinates agree with it to 1e-6 pixels.
    It is moved by whole pixels if a selection has moved the coordinates, since isel leaves it unchanged. Otherwise the
    transform follows from the coordinates. Without coordinates the stored one is taken.

    Args:
        array: An array with spatial dimensions.
        name: The name of the array, for messages.

    Raises:
        GridError: The array has no CRS, no georeferencing, ground control points only, or uneven coordinates.
    """
    mapping = array.coords.get(array.rio.grid_mapping, None)
    attrs = mapping.attrs if mapping is not None else {}
    stored = _stored_transform(attrs.get("GeoTransform"))
    found = _transform_of_coordinates(array, stored, name)
    transform = stored if found is None else found
    if transform is None:
        if "gcps" in attrs:
            raise GridError(
                f"{name} is georeferenced by ground control points only: warp it to a grid first with .rio.reproject"
            )
        if positions := swath_positions(array):
            raise swath(name, positions)
        raise GridError(
            f"{name} is not georeferenced: give it x and y coordinates, or a transform with .rio.write_transform(...)"
        )
    positions = swath_positions(array)
    if positions and stored is None and all(_counts(array, dim) for dim in (array.rio.y_dim, array.rio.x_dim)):
        raise swath(name, positions)
    check_transform(transform, name)
    if array.rio.crs is None:
        raise GridError(f"{name} has no CRS: assign the right one with .rio.write_crs(...)")
    dims = array.rio.y_dim, array.rio.x_dim
    grid = GeoBox((array.sizes[dims[0]], array.sizes[dims[1]]), transform, array.rio.crs)
    units = (array.coords[dim].attrs.get("units") for dim in dims if dim in array.coords)
    refuse_unit(units, grid, name, "multiply x and y by {factor} and set their units to {unit}")
    return grid


def swath_positions(array: xr.DataArray) -> tuple[str, str] | None:
    """Return the names of an array's longitudes and latitudes of each pixel; None if it has no such coordinates."""
    found: dict[str, str] = {}
    for key, coordinate in array.coords.items():
        if coordinate.ndim == 2:
            words = {str(key).lower(), *(str(coordinate.attrs.get(key, "")) for key in ("standard_name", "units"))}
            for axis, known in _POSITIONS.items():
                if words & known:
                    found.setdefault(axis, str(key))
    return (found["x"], found["y"]) if len(found) == 2 else None


def swath(name: str, positions: tuple[str, str]) -> GridError:
    """Return the error for an array with longitudes and latitudes of each pixel in place of a grid."""
    return GridError(
        f"{name} has the coordinates of each pixel (a swath) in place of a grid: warp it to a grid first with "
        f".rio.reproject('EPSG:4326', src_geoloc_array=(array.{positions[0]}, array.{positions[1]})) or, in a file, "
        "with gdalwarp -geoloc"
    )


def _counts(array: xr.DataArray, dim: Hashable) -> bool:
    """Return True if the coordinates along a dimension count its pixels, from 0 or 1."""
    if dim not in array.coords:
        return True
    values = np.asarray(array.coords[dim].values, np.float64)
    return bool((values - values[:1] == np.arange(values.size)).all() and values[0] in (0, 1))


def _stored_transform(text: object) -> Affine | None:
    try:
        numbers = [float(number) for number in str(text).split()]
    except ValueError:
        return None
    return Affine.from_gdal(*numbers) if len(numbers) == 6 else None


def _transform_of_coordinates(array: xr.DataArray, stored: Affine | None, name: str) -> Affine | None:
    """Return the transform that the coordinates of pixel centres give: the stored one where they agree with it."""
    dims = array.rio.y_dim, array.rio.x_dim
    _refuse_invalid(array, dims, name)
    edges = _edge_centres(array, *dims)
    if edges is None:
        return None
    top, left = edges
    if stored is not None:
        # Whole pixels from the stored corner to this one: 0 unless something was selected.
        col, row = ~stored * (float(top[0, 0]), float(top[1, 0]))
        moved = round(col - 0.5), round(row - 0.5)
        here = stored * Affine.translation(*moved) if any(moved) else stored
        if _stray(here, top, left) < SNAP_PX:
            return here
    if stored is None and 1 in (top.shape[1], left.shape[1]):
        raise GridError(f"{name} is one pixel wide and has no transform: give it one with .rio.write_transform(...)")
    across = _step(top) if stored is None or top.shape[1] > 1 else (stored.a, stored.d)
    down = _step(left) if stored is None or left.shape[1] > 1 else (stored.b, stored.e)
    centred = Affine(across[0], down[0], float(top[0, 0]), across[1], down[1], float(top[1, 0]))
    if centred.is_degenerate:
        raise GridError(f"{name} has the same coordinates in all pixels: give it valid x and y coordinates")
    transform = centred * Affine.translation(-0.5, -0.5)
    if (uneven := _stray(transform, top, left)) > _allowed_px(array, dims):
        if jump := _jump(top[0], _allowed_px(array, dims)):
            before, after = jump
            turned = f"array.{dims[1]} % 360" if after < 0 else f"(array.{dims[1]} + 180) % 360 - 180"
            raise GridError(
                f"{name} has longitudes that jump from {before:g} to {after:g}: make them continuous, as in "
                f".assign_coords({dims[1]}={turned})"
            )
        raise GridError(
            f"{name} has unevenly spaced coordinates (they deviate by {uneven:.2g} pixels): interpolate it to evenly "
            "spaced ones first"
        )
    return transform


def _refuse_invalid(array: xr.DataArray, dims: tuple[Hashable, Hashable], name: str) -> None:
    for key in (*dims, "xc", "yc"):
        if key not in array.coords:
            continue
        values = array.coords[key].values
        wrong = values.size if values.dtype.kind not in "iuf" else np.count_nonzero(~np.isfinite(values))
        if wrong:
            raise GridError(
                f"{name}: {wrong} of {values.size} coordinates along {key} are not finite numbers: assign valid ones"
            )


def _edge_centres(array: xr.DataArray, y_dim: Hashable, x_dim: Hashable) -> tuple[Points, Points] | None:
    """Return the centres of the first row, (2, columns), and of the first column, (2, rows), as x and y."""
    if {y_dim, x_dim} <= array.coords.keys():
        x, y = (np.asarray(array.coords[dim].values, np.float64) for dim in (x_dim, y_dim))
        return np.stack([x, np.full_like(x, y[0])]), np.stack([np.full_like(y, x[0]), y])
    # The coordinates that rioxarray gives to a rotated raster.
    if {"xc", "yc"} <= array.coords.keys() and set(array.coords["xc"].dims) == {y_dim, x_dim}:
        both = [array.coords[key].transpose(y_dim, x_dim) for key in ("xc", "yc")]
        top, left = (np.stack([c[part].values for c in both]).astype(np.float64) for part in (np.s_[0, :], np.s_[:, 0]))
        return top, left
    return None


def _stray(transform: Affine, top: Points, left: Points) -> float:
    """Return the largest distance of the centres from the transform's, in pixels."""
    back = ~transform
    col, row = back * (top[0], top[1])
    off = max(np.abs(col - np.arange(top.shape[1]) - 0.5).max(), np.abs(row - 0.5).max())
    col, row = back * (left[0], left[1])
    return float(max(off, np.abs(col - 0.5).max(), np.abs(row - np.arange(left.shape[1]) - 0.5).max()))


def _jump(longitudes: NDArray[np.float64], allowed_px: float) -> tuple[float, float] | None:
    """Return the longitudes between which a full circle lies, if they are evenly spaced without it; otherwise None."""
    steps = np.diff(longitudes)
    if np.abs(longitudes).max() > 360 or not len(steps):
        return None
    most = int(np.abs(steps).argmax())
    whole = np.concatenate([longitudes[: most + 1], longitudes[most + 1 :] - 360 * np.sign(steps[most])])
    even = np.linspace(whole[0], whole[-1], len(whole))
    step = abs(whole[-1] - whole[0]) / (len(whole) - 1)
    is_even = np.abs(whole - even).max() <= allowed_px * step
    return (float(longitudes[most]), float(longitudes[most + 1])) if is_even else None


def _allowed_px(array: xr.DataArray, dims: tuple[Hashable, Hashable]) -> float:
    """Return the largest deviation from even steps that the rounding of the coordinates' dtype explains, in pixels."""
    allowed = _UNEVEN_PX
    for dim in dims:
        values = array.coords[dim].values if dim in array.coords else np.zeros(0)
        if values.size > 1 and values.dtype.kind == "f":
            step = abs(float(values[-1]) - float(values[0])) / (values.size - 1)
            allowed = max(allowed, float(np.spacing(np.abs(values).max())) / step)
    return min(allowed, _ROUNDED_PX)


def _step(points: Points) -> tuple[float, float]:
    x, y = (points[:, -1] - points[:, 0]) / (points.shape[1] - 1)
    return float(x), float(y)
