"""Pixels as they are inside: float32 with a mask; knows arrays only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Pixels:
    """A window's values and where they are valid."""

    values: NDArray[np.float32]
    """(bands, h, w), in the raster's raw units; NaN in all bands where any band has a hole."""
    valid: NDArray[np.bool_]
    """(h, w), True where every band is valid."""

    @classmethod
    def masked(cls, values: NDArray[np.float32]) -> Pixels:
        """Take values (bands, h, w) with NaN for holes; a hole in one band is made one in all."""
        valid = np.asarray(np.isfinite(values).all(axis=0))
        if not valid.all():
            values = np.where(valid, values, np.float32(np.nan))
        return cls(values, valid)


def with_holes(raw: NDArray[Any], nodata: Sequence[float | None]) -> NDArray[np.float32]:
    """Return raw values (bands, h, w) of any real dtype as float32, NaN where a band equals its nodata.

    The comparison is made in the raw dtype. What float32 cannot hold (over 3.4e38) and infinities are holes too.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        values = raw.astype(np.float32)
        for band, fill in enumerate(nodata):
            if fill is not None and not np.isnan(fill):
                values[band][raw[band] == fill] = np.nan
    values[~np.isfinite(values)] = np.nan
    return values
