"""Bands that files declare as alpha, and whether they mask or hold a quantity; knows rasterio, no arrays of xarray."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.windows import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LOOKS = 3
"""Number of windows down, and across, that are read."""
_LOOK_PX = 64
"""Side of such a window in pixels."""
_FEW = 16
"""Number of different values up to which a band masks: 0 and 255, and what resampling leaves between them."""
_SHARE = 0.5
"""Share of the pixels above 0 that are below the largest value, above which a band holds a quantity."""


def alpha_bands(dataset: rasterio.DatasetReader) -> list[int]:
    """Return the numbers of the bands that a file declares as alpha."""
    return [i for i, meaning in enumerate(dataset.colorinterp, start=1) if meaning == ColorInterp.alpha]


@lru_cache(maxsize=256)
def quantity_in_alpha(path: str, stamp: tuple[int, int] | None, band: int) -> tuple[float, float] | None:  # noqa: ARG001  (the state of the file)
    """Return the range of a band that is declared as alpha and holds a quantity; None if it masks.

    GDAL and rasterio declare the fourth band of uint8 as alpha unless they are told otherwise, also where it is the
    near infrared. Opacity is 0 or the largest value nearly everywhere, and in between along edges only.

    Args:
        path: The file.
        stamp: The state of the file.
        band: The number of the band, from 1.

    Raises:
        RasterioError: The band cannot be read.
    """
    with rasterio.open(path) as dataset:
        values = np.concatenate([dataset.read(band, window=window).ravel() for window in _windows(*dataset.shape)])
    return _range_of_quantity(values)


def _range_of_quantity(values: NDArray[Any]) -> tuple[float, float] | None:
    known = values[np.isfinite(values)]
    seen = known[known > 0]
    if len(np.unique(seen)) <= _FEW or (seen < seen.max()).mean() <= _SHARE:
        return None
    return float(known.min()), float(known.max())


def _windows(height: int, width: int) -> list[Window]:
    return [
        Window(col, row, min(_LOOK_PX, width), min(_LOOK_PX, height))
        for row, col in product(_starts(height), _starts(width))
    ]


def _starts(length: int) -> list[int]:
    return sorted({round(start) for start in np.linspace(0, max(length - _LOOK_PX, 0), _LOOKS)})
