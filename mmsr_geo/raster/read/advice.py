"""Errors for files that GDAL cannot open or locate: what each is, and what to do; knows their metadata, no pixels."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from mmsr_geo.errors import GridError, InputError
from mmsr_geo.spelling import option

_HDF4 = bytes.fromhex("0e031301")
"""First bytes of an HDF4 file."""
_HDF4_NAME = re.compile(r"HDF4(_\w+)?:", re.IGNORECASE)
"""Start of the name of a subdataset of an HDF4 file."""
_MODEL = b'"mmsr_geo"'
"""Key in the header of a saved model."""
_ZARR_FILES = ("zarr.json", ".zgroup", ".zarray")
_POSITION = re.compile(r"(?<![a-z])(lat(itude)?|lon(gitude)?)s?(?![a-z])", re.IGNORECASE)
"""Name of an array of latitudes or longitudes."""
_DEGREES = re.compile("degrees?_(north|east)")
"""Units of latitudes and longitudes by the CF conventions."""
_MOST_PARTS = 50
"""Most subdatasets of a file that are opened to find one to name."""
_EDITABLE = ("COG", "GTiff", "HFA", "VRT")
"""Drivers whose files gdal_edit.py changes; files of others are copied."""


def unopened(path: str, reason: str) -> InputError:
    """Return the error for a file that GDAL cannot open.

    Args:
        path: A path, a URL or the name of a subdataset.
        reason: GDAL's reason.
    """
    gdal = f"this GDAL ({rasterio.__gdal_version__})"
    head = _head(path)
    if (_HDF4_NAME.match(path) or head.startswith(_HDF4)) and not _has_driver("HDF4"):
        return InputError(
            f"{path} is an HDF4 file, which {gdal} cannot read: convert it to a GeoTIFF with the gdal_translate of "
            "conda-forge (conda install -c conda-forge gdal libgdal-hdf4)"
        )
    if _MODEL in head:
        return InputError(
            f"{path} is a saved model, not a raster: give a raster here, and the model as {option('model')}"
        )
    if "codec" in reason or _is_zarr(path):
        return InputError(
            f"{path} is a Zarr array that {gdal} cannot read ({reason}): open it in Python with xarray.open_zarr and "
            "pass the array, or write a .tif instead of a .zarr"
        )
    return InputError(f"{path} cannot be opened as a raster ({reason}): check the path and the format")


def without_bands(path: str, dataset: rasterio.DatasetReader) -> InputError:
    """Return the error for a file without bands: a container of several rasters, or nothing."""
    if not dataset.subdatasets:
        return InputError(f"{path} holds no bands: give a raster")
    try:
        return InputError(f"{path} holds no bands: name one of its parts, as in {example_of(dataset)}")
    except InputError as error:
        return error


def example_of(dataset: rasterio.DatasetReader) -> str:
    """Return the name of a part of a container that has an area: a Zarr store lists its coordinates too.

    Raises InputError if GDAL can open none of them.
    """
    parts: list[str] = sorted(dataset.subdatasets[:_MOST_PARTS], key=_holds_positions)
    unreadable: InputError | None = None
    for part in parts:
        try:
            with _opened(part) as opened:
                if min(opened.shape) > 1:
                    return part
        except (RasterioError, CPLE_BaseError) as error:
            unreadable = unreadable or unopened(part, str(error))
    if unreadable is not None:
        raise unreadable
    return parts[0]


def unlocated(path: str, dataset: rasterio.DatasetReader) -> GridError:
    """Return the error for a file without a geotransform."""
    if dataset.gcps[0] or dataset.rpcs:
        kind = "ground control points" if dataset.gcps[0] else "rational polynomials"
        return GridError(f"{path} is georeferenced by {kind} only: warp it to a grid first with gdalwarp")
    geolocation = dataset.tags(ns="GEOLOCATION")
    if "X_DATASET" in geolocation:
        one_row = 1 in _shape(geolocation["X_DATASET"])
        what = "unevenly spaced coordinates" if one_row else "the coordinates of each pixel (a swath)"
        return GridError(f"{path} has {what} in place of a grid: warp it to a grid first with gdalwarp -geoloc")
    if arrays := _position_arrays(dataset):
        return GridError(
            f"{path} has the coordinates of each pixel (a swath) in place of a grid, in {' and '.join(arrays)}: warp "
            "it to a grid first with .rio.reproject(..., src_geoloc_array=(longitudes, latitudes)) or gdalwarp -geoloc"
        )
    if dataset.driver in {"netCDF", "HDF5", "HDF5Image", "HDF4", "HDF4Image", "Zarr"}:
        return GridError(
            f"{path} is not georeferenced: if it is a swath, with the coordinates of each pixel in another file, warp "
            "it to a grid first with gdalwarp -geoloc; if it is a grid, give it a geotransform with gdal_translate "
            "-a_ullr"
        )
    return GridError(f"{path} is not georeferenced: give it a geotransform with gdal_translate -a_ullr")


def without_crs(path: str, dataset: rasterio.DatasetReader) -> GridError:
    """Return the error for a file without a CRS."""
    if dataset.driver in _EDITABLE and "://" not in path and not path.startswith("/vsi"):
        return GridError(f"{path} has no CRS: assign the right one with gdal_edit.py -a_srs EPSG:...")
    degrees = any(key.endswith("#units") and _DEGREES.fullmatch(value) for key, value in dataset.tags().items())
    code = "EPSG:4326 (its coordinates are degrees)" if degrees else "EPSG:..."
    return GridError(f"{path} has no CRS: copy it to a GeoTIFF with the right one with gdal_translate -a_srs {code}")


def _head(path: str) -> bytes:
    """Return the first bytes of a local file; empty if there are none to read."""
    try:
        with Path(path).open("rb") as file:
            return file.read(4096)
    except (OSError, ValueError):
        return b""


def _is_zarr(path: str) -> bool:
    """Return True for a folder that is a Zarr array or group, as far as this user may look."""
    try:
        return any((Path(path) / name).is_file() for name in _ZARR_FILES)
    except (OSError, ValueError):
        return False


def _has_driver(name: str) -> bool:
    with rasterio.Env() as env:
        return name in env.drivers()


def _opened(path: str) -> rasterio.DatasetReader:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path)


def _shape(path: str) -> tuple[int, int]:
    """Return the rows and columns of a raster; zeros if it cannot be opened."""
    try:
        with _opened(path) as dataset:
            return dataset.height, dataset.width
    except (RasterioError, CPLE_BaseError):
        return 0, 0


def _position_name(part: str) -> re.Match[str] | None:
    return _POSITION.search(re.split(r"[:/]", part)[-1])


def _holds_positions(part: str) -> bool:
    """Return True for the name of a subdataset of latitudes or longitudes."""
    return _position_name(part) is not None


def _position_arrays(dataset: rasterio.DatasetReader) -> list[str]:
    """Return the arrays of longitudes and latitudes, of a raster's shape, in the file that a raster is part of."""
    found: dict[str, str] = {}
    for file in dataset.files[:1]:
        try:
            with _opened(file) as whole:
                parts = whole.subdatasets
        except (RasterioError, CPLE_BaseError):
            continue
        for part in filter(_holds_positions, parts):
            name = _position_name(part)
            if name and _shape(part) == dataset.shape:
                found.setdefault(name[1][:3].lower(), part)
    return [found["lon"], found["lat"]] if found.keys() >= {"lon", "lat"} else []
