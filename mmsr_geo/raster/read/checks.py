"""Refusals of rasters that hold no measured quantity; knows their metadata, no pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import xarray as xr
from rasterio.enums import ColorInterp

from mmsr_geo.errors import InputError
from mmsr_geo.raster.read.codes import FLAGS, codes_of

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


def holds_classes(name: str, reason: str, otherwise: str) -> InputError:
    """Return the error for a raster of classes.

    Args:
        name: The name of the raster.
        reason: What says that its values are classes.
        otherwise: What to do if they are none.
    """
    return InputError(
        f"{name} holds classes ({reason}), which cannot be averaged: give a measured quantity, or, if these values are "
        f"one, {otherwise}"
    )


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
    flags = next((key for key in FLAGS if key in array.attrs), None)
    if flags is not None and not codes_of(array.attrs):
        otherwise = f"delete that attribute, as in del array.attrs['{flags}']"
        raise holds_classes(name, f"it has the attribute {flags}", otherwise)
    if str(array.attrs.get("LAYER_TYPE", "")).lower() == "thematic":
        raise holds_classes(
            name, "its attribute LAYER_TYPE is thematic", "delete that attribute, as in del array.attrs['LAYER_TYPE']"
        )


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
        # The file's own tag may say that a band's is wrong: gdal_edit.py changes no band's.
        if layer.lower() != "athematic" and dataset.tags(index).get("LAYER_TYPE", layer).lower() == "thematic":
            raise holds_classes(
                path,
                "its tag LAYER_TYPE is thematic",
                "change that tag with gdal_edit.py -mo LAYER_TYPE=athematic",
            )
