"""Grid of an xarray array: its CRS, and a transform from its metadata and its coordinates; knows no pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import rioxarray  # noqa: F401  (registers .rio)
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj.exceptions import CRSError

from mmsr_geo.errors import GridError
from mmsr_geo.raster.grids import SNAP_PX, check_transform
from mmsr_geo.raster.read.axis_units import is_where_used, refuse_unit
from mmsr_geo.raster.read.units import factor_to_crs

if TYPE_CHECKING:
    from collections.abc import Hashable

    import xarray as xr
    from numpy.typing import NDArray

    Points = NDArray[np.float64]
    _Edges: TypeAlias = tuple[Points, Points]
    """The centres of the first row and of the first column."""

_UNEVEN_PX = 0.01
"""Largest deviation from even steps, in pixels, of coordinates that were rounded as decimal numbers."""
_POSITIONS = {
    "x": {"lon", "longitude", "nav_lon", "xlong", "degrees_east", "degree_east"},
    "y": {"lat", "latitude", "nav_lat", "xlat", "degrees_north", "degree_north"},
}
"""Names, standard names and units of the coordinates of a swath."""
_ROUNDED_PX = 0.1
"""Largest deviation, in pixels, of coordinates that were rounded to float32: 0.03 arc seconds at 75 degrees."""

_EPSG_COORDINATES = ("epsg", "proj:epsg", "proj:code")
"""Coordinates that hold the code of a CRS: stackstac's own, and those that it takes from STAC items."""
_POSITIONS = {
    "x": {"lon", "longitude", "nav_lon", "xlong", "degrees_east", "degree_east"},
    "y": {"lat", "latitude", "nav_lat", "xlat", "degrees_north", "degree_north"},
}
"""Names, standard names and units of the coordinates of a swath."""


def array_grid(array: xr.DataArray, name: str) -> tuple[GeoBox, tuple[str, ...]]:
    """Return the grid of an array, and what a user should know of how it was found, each a message.

    The stored transform (GeoTransform of spatial_ref) is taken exactly if the coordinates agree with it to 1e-6 pixels.
    It is moved by whole pixels if a selection has moved the coordinates, since isel leaves it unchanged. Otherwise the
    transform follows from the coordinates, in the units that their attributes declare. Without coordinates the stored
    one is taken. The attribute transform of the array stands for a stored transform that is missing, and decides
    whether coordinates are those of pixels' centres or of their top left corners.

    Args:
        array: An array with spatial dimensions.
        name: The name of the array, for messages.

    Raises:
        GridError: The array has no CRS, no georeferencing, ground control points or 2-D coordinates only, or uneven
            coordinates.
    """
    mapping = array.coords.get(array.rio.grid_mapping, None)
    attrs = mapping.attrs if mapping is not None else {}
    crs = crs_of(array)
    stored = _stored_transform(attrs.get("GeoTransform"))
    stored, edges, notes = _placed(array, stored, crs, name)
    positions = swath_positions(array)
    if positions and stored is None and all(_counts(array, dim) for dim in (array.rio.y_dim, array.rio.x_dim)):
        raise swath(name, positions)
    found = None if edges is None else _transform_of_coordinates(array, stored, edges, name)
    transform = stored if found is None else found
    if transform is None:
        if "gcps" in attrs:
            raise GridError(
                f"{name} is georeferenced by ground control points only: warp it to a grid first with .rio.reproject"
            )
        raise GridError(
            f"{name} is not georeferenced: give it x and y coordinates, or a transform with .rio.write_transform(...)"
        )
    check_transform(transform, name)
    if crs is None:
        raise GridError(f"{name} has no CRS: assign the right one with .rio.write_crs(...)")
    dims = array.rio.y_dim, array.rio.x_dim
    grid = GeoBox((array.sizes[dims[0]], array.sizes[dims[1]]), transform, crs)
    left = [array.coords[dim] for dim in dims if dim in array.coords]
    units = (coordinate.attrs.get("units") for coordinate in left if factor_of(coordinate, crs) == 1)
    refuse_unit(units, grid, name, "multiply x and y by {factor} and set their units to {unit}")
    return grid, notes


def crs_of(array: xr.DataArray) -> CRS | None:
    """Return the CRS of an array: rioxarray's, or else that of a coordinate of stackstac or STAC; None if it has none.

    The coordinate epsg is the array's own CRS. proj:epsg and proj:code are those of the items that it was read from,
    so that they count if there is no epsg and all items agree.
    """
    if array.rio.crs is not None:
        return CRS(array.rio.crs)
    key = next((key for key in _EPSG_COORDINATES if key in array.coords), None)
    if key is None:
        return None
    codes = {str(code).upper().removeprefix("EPSG:").removesuffix(".0") for code in array.coords[key].values.ravel()}
    try:
        return CRS(f"EPSG:{codes.pop()}") if len(codes) == 1 else None
    except CRSError:
        return None


def _placed(
    array: xr.DataArray, stored: Affine | None, crs: CRS | None, name: str
) -> tuple[Affine | None, _Edges | None, tuple[str, ...]]:
    """Return the stored transform and the centres of pixels in the CRS's units, and what to know of them."""
    dims = array.rio.y_dim, array.rio.x_dim
    _refuse_invalid(array, dims, name)
    edges = _edge_centres(array, *dims)
    attribute = _attribute_transform(array.attrs.get("transform"))
    if edges is None:
        return stored or attribute, None, ()
    # Of stackstac's arrays .rio.write_crs stores the attribute, and .rio.write_transform what follows from corners.
    is_stackstac = "epsg" in array.coords
    declared = attribute if stored is None or (is_stackstac and attribute is not None) else None
    if declared is None and stored is not None:
        if _stray(_moved(stored, edges), *edges) < SNAP_PX:
            return stored, edges, _note_of_multiples(array, edges, name)
        declared = stored if is_stackstac else None
    factors = 1.0, 1.0
    if crs is not None and set(dims) <= array.coords.keys():
        x, y = ((float(values[0]) + float(values[-1])) / 2 for values in (edges[0][0], edges[1][1]))
        if not is_where_used((x, y), crs):  # else the unit stayed behind when they were converted
            across, down = (factor_of(array.coords[dim], crs) for dim in reversed(dims))
            factors = across, down
    if factors != (1.0, 1.0):
        top, left = (part * np.array(factors)[:, None] for part in edges)
        edges = top, left
    if declared is None:
        return stored, edges, _note_of_multiples(array, edges, name)
    if _stray(_moved(declared, edges), *edges) < SNAP_PX:
        return declared, edges, ()
    half = np.array([[declared.a + declared.b], [declared.d + declared.e]]) / 2
    centres = edges[0] + half, edges[1] + half
    if _stray(_moved(declared, centres), *centres) < _UNEVEN_PX:
        note = (
            f"{name}: x and y are the pixels' top left corners by its transform, which decides: the centres "
            f"are {abs(float(half[0, 0])):g} and {abs(float(half[1, 0])):g} further, half a pixel; give stackstac "
            "xy_coords='center' for x and y of centres"
        )
        return declared, centres, (note,)
    return stored, edges, ()


def factor_of(coordinate: xr.DataArray, crs: CRS) -> float:
    """Return what a coordinate along x or y is multiplied by to be in the units of a CRS, by its attribute units."""
    values = coordinate.values
    largest = float(np.abs(values).max()) if values.size else 0.0
    return factor_to_crs(coordinate.attrs.get("units"), crs.proj, largest)


def attrs_in_crs(coordinate: xr.DataArray, crs: CRS) -> dict[Hashable, Any]:
    """Return the attributes of a coordinate for values in the units of a CRS: with its unit if it has another one."""
    attrs = dict(coordinate.attrs)
    return attrs if factor_of(coordinate, crs) == 1 else attrs | {"units": crs.proj.axis_info[0].unit_name}


def _note_of_multiples(array: xr.DataArray, edges: _Edges, name: str) -> tuple[str, ...]:
    """Return a note on coordinates of stackstac that have lost their transform and are probably those of corners."""
    top, left = edges
    if "epsg" not in array.coords or 1 in (top.shape[1], left.shape[1]):
        return ()
    steps = (top[0, -1] - top[0, 0]) / (top.shape[1] - 1), (left[1, -1] - left[1, 0]) / (left.shape[1] - 1)
    if 0 in steps:
        return ()
    off = [
        np.abs(values / step - np.round(values / step)).max()
        for values, step in zip((top[0], left[1]), steps, strict=True)
    ]
    if max(off) > _UNEVEN_PX:
        return ()
    note = (
        f"{name}: x and y are whole multiples of the pixel size, as the pixels' corners are that stackstac gives, but "
        "the attribute transform is missing: they are taken for centres; if they are corners, keep the attributes "
        "(keep_attrs=True), or give stackstac xy_coords='center'"
    )
    return (note,)


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


def _attribute_transform(value: Any) -> Affine | None:  # noqa: ANN401  (an attribute)
    """Return the transform in an attribute: an Affine, or its 6 or 9 numbers in the same order."""
    try:
        numbers = [float(number) for number in value]
    except (TypeError, ValueError):
        return None
    if len(numbers) not in {6, 9} or not np.isfinite(numbers).all():
        return None
    transform = Affine(*numbers[:6])
    return None if transform.is_degenerate else transform


def _stored_transform(text: object) -> Affine | None:
    try:
        numbers = [float(number) for number in str(text).split()]
    except ValueError:
        return None
    return Affine.from_gdal(*numbers) if len(numbers) == 6 else None


def _moved(transform: Affine, edges: _Edges) -> Affine:
    """Return a transform moved by whole pixels to the first of the centres: by none unless something was selected."""
    top, _ = edges
    col, row = ~transform * (float(top[0, 0]), float(top[1, 0]))
    if not (math.isfinite(col) and math.isfinite(row)):
        return transform
    moved = round(col - 0.5), round(row - 0.5)
    return transform * Affine.translation(*moved) if any(moved) else transform


def _transform_of_coordinates(array: xr.DataArray, stored: Affine | None, edges: _Edges, name: str) -> Affine:
    """Return the transform that the coordinates of pixel centres give: the stored one where they agree with it."""
    dims = array.rio.y_dim, array.rio.x_dim
    top, left = edges
    if stored is not None:
        here = _moved(stored, edges)
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
