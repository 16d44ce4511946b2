"""Which rasters hold a measured quantity, and the refusal of those that do not; knows their metadata alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import xarray as xr
from rasterio.enums import ColorInterp

from mmsr_geo.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence


def refuse_dtype(name: str, dtype: str | np.dtype[Any], *, quantity: bool = True) -> None:
    """Raise InputError for complex and other values that are no real numbers, for a quantity also for yes and no."""
    if str(dtype).startswith("complex"):
        msg = f"{name} holds complex numbers: give its amplitude or another real quantity"
        raise InputError(msg)
    if str(dtype) == "bool" and not quantity:
        return
    if str(dtype) == "bool" or not np.issubdtype(np.dtype(dtype), np.number):
        msg = f"{name} holds {dtype}, no quantity: convert it to numbers first, as in .astype('float32')"
        raise InputError(msg)


def classes(name: str) -> InputError:
    """Return the refusal of a raster of classes."""
    return InputError(f"{name} holds classes, and a mean of classes means nothing: give a measured quantity")


def refuse_array(array: xr.DataArray, name: str, *, quantity: bool) -> None:
    """Raise InputError for an array without pixels and, for a quantity, for classes."""
    refuse_dtype(name, array.dtype, quantity=quantity)
    if not all(array.shape):
        msg = f"{name} has no pixels {array.shape}: the selection that made it is empty"
        raise InputError(msg)
    if not quantity:
        return
    if {"flag_values", "flag_meanings", "flag_masks"} & array.attrs.keys():
        raise classes(name)
    if str(array.attrs.get("LAYER_TYPE", "")).lower() == "thematic":
        raise classes(name)


def refuse_bands(path: str, dataset: rasterio.DatasetReader, indexes: Sequence[int], *, quantity: bool) -> None:
    """Raise InputError for bands of a file that hold no quantity: a colour table, classes."""
    dtypes, meanings, layer = dataset.dtypes, dataset.colorinterp, dataset.tags().get("LAYER_TYPE", "")
    for index in indexes:
        refuse_dtype(path, dtypes[index - 1], quantity=quantity)
        if not quantity:
            continue
        if meanings[index - 1] == ColorInterp.palette:
            msg = (
                f"{path} has a colour table: give the quantity itself, or expand it to RGB (gdal_translate -expand rgb)"
            )
            raise InputError(msg)
        if dataset.tags(index).get("LAYER_TYPE", layer).lower() == "thematic":
            raise classes(path)
