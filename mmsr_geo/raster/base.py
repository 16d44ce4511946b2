"""Rasters as the engine sees them: pixels on a grid, read by window; knows no file, array or graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from mmsr_geo.geometry import Window
    from mmsr_geo.nodata import Nodata


@dataclass(frozen=True, slots=True)
class Pixels:
    """Values of a window and where they are valid."""

    values: NDArray[np.float32]
    """(bands, h, w), float32 in the raster's stored units; NaN in all bands where any band is nodata."""
    valid: NDArray[np.bool_]
    """(h, w), True where every band is valid."""
    bridged: NDArray[np.bool_] | None = None
    """(h, w), True for valid pixels of a guide that are filled from those around them; None: there are none."""

    @classmethod
    def masked(cls, values: NDArray[np.float32]) -> Pixels:
        """Return pixels from values (bands, h, w) with NaN at nodata; nodata in one band is nodata in all."""
        valid = np.asarray(np.isfinite(values).all(axis=0))
        if not valid.all():
            values = np.where(valid, values, np.float32(np.nan))
        return cls(values, valid)


def with_nodata_as_nan(raw: NDArray[Any], nodata: Sequence[Nodata | None]) -> NDArray[np.float32]:
    """Return stored values as float32, NaN where a band is nodata.

    Args:
        raw: (bands, h, w), of any real dtype. The comparison is made in this dtype.
        nodata: What means nodata in each band; None: NaN alone.

    Returns:
        (bands, h, w), float32. Infinities and values that float32 cannot hold (over 3.4e38) are NaN too.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        values = raw.astype(np.float32)
        for band, fill in enumerate(nodata):
            if fill is not None:
                values[band][fill.where(raw[band])] = np.nan
    values[~np.isfinite(values)] = np.nan
    return values


@dataclass(frozen=True, slots=True)
class BandTags:
    """Metadata of a band; scale and offset are passed on to outputs, and not applied to values."""

    description: str | None = None
    unit: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    is_width: bool = False
    """True for a band of interval widths, such as an uncertainty: it has a scale and no offset."""

    def of_uncertainty(self, name: str | None = None) -> BandTags:
        """Return the tags of the band that holds the uncertainty of this one, with `name` as its description."""
        return BandTags(name, self.unit, abs(self.scale), 0.0, is_width=True)


class Raster(Protocol):
    """Pixels on a grid; a picklable value that many threads and processes may use at once."""

    @property
    def grid(self) -> GeoBox:
        """The grid of the pixels."""

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands' descriptions, or "1", "2", ..."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """The number of each band in its file or array, from 1."""

    @property
    def band_tags(self) -> tuple[BandTags, ...]:
        """The metadata of each band."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype in which the values are stored."""

    @property
    def nodata(self) -> float | None:
        """The nodata value of the first band; None if it declares none."""

    @property
    def name(self) -> str:
        """The name in messages: the path, or the array's name."""

    def read_plan(self, window: Window) -> ReadPlan:
        """Return the reads that a window within the raster needs, and how they are combined."""

    def read(self, window: Window) -> Pixels:
        """Read a window within the raster at once."""


class StoredRaster(Raster, Protocol):
    """A raster that reads its pixels itself: a file or an array."""

    def __dask_tokenize__(self) -> object:
        """Return a value that identifies the content for dask."""


Combine: TypeAlias = "Callable[[Sequence[Pixels]], Pixels]"
"""Function from the pixels of stored rasters to the pixels of a window."""


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """The windows of stored rasters that a window needs, and the function that combines them.

    In a graph each read is a task; `combine` goes into the task that takes their results, and holds no raster.
    """

    reads: tuple[tuple[StoredRaster, Window], ...]
    combine: Combine

    @classmethod
    def of(cls, stored: StoredRaster, window: Window) -> ReadPlan:
        """Return the plan that reads one window of a stored raster."""
        return cls(((stored, window),), single)

    def execute(self) -> Pixels:
        """Read and combine the windows at once."""
        return self.combine([stored.read(window) for stored, window in self.reads])


def single(parts: Sequence[Pixels]) -> Pixels:
    """Return the only element: the combination of a plan with one read."""
    (pixels,) = parts
    return pixels
