"""Which rasters hold a measured quantity, and the refusal of those that do not; knows their metadata alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmsr_geo.errors import InputError


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
