"""Refusals of rasters that hold no measured quantity; knows their metadata, no pixels."""

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
    """Raise InputError for a dtype that is not of real numbers; for a quantity also for bool."""
    if str(dtype).startswith("complex"):
        raise InputError(f"{name} holds complex numbers: give its amplitude or another real quantity")
    if str(dtype) == "bool" and not quantity:
        return
    if str(dtype) == "bool" or not np.issubdtype(np.dtype(dtype), np.number):
        raise InputError(
            f"{name} has the dtype {dtype}, which holds no numbers: convert it first, as in .astype('float32')"
        )


def holds_classes(name: str) -> InputError:
    """Return the error for a raster of classes."""
    return InputError(f"{name} holds classes, which cannot be averaged: give a measured quantity")


def refuse_array(array: xr.DataArray, name: str, *, quantity: bool, classes: bool = True) -> None:
    """Raise InputError for an array without pixels and, if it must be a quantity, for one that holds none.

    Args:
        array: The array.
        name: Its name in messages.
        quantity: Whether it must be a quantity.
        classes: Whether classes are refused as well then.
    """
    refuse_dtype(name, array.dtype, quantity=quantity)
    if not all(array.shape):
        raise InputError(f"{name} has no pixels, its shape is {array.shape}: check the selection that it comes from")
    if not quantity or not classes:
        return
    if {"flag_values", "flag_meanings", "flag_masks"} & array.attrs.keys():
        raise holds_classes(name)
    if str(array.attrs.get("LAYER_TYPE", "")).lower() == "thematic":
        raise holds_classes(name)


def refuse_bands(path: str, dataset: rasterio.DatasetReader, indexes: Sequence[int], *, quantity: bool) -> None:
    """Raise InputError for bands of a file that hold no quantity: colour tables, classes."""
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
            raise holds_classes(path)
