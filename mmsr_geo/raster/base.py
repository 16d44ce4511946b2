"""What a raster is to the engine: pixels on a grid, had by window; knows no file, array or graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from mmsr_geo.geometry import Window


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


def with_nodata_as_nan(raw: NDArray[Any], nodata: Sequence[float | None]) -> NDArray[np.float32]:
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


@dataclass(frozen=True, slots=True)
class BandTags:
    """What a band carries beside its pixels; scale and offset are passed on, never applied."""

    description: str | None = None
    unit: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    is_width: bool = False
    """Whether it holds widths of intervals of another band's values: they have a scale, and no offset."""

    def of_uncertainty(self, name: str | None = None) -> BandTags:
        """Return those of the band that holds half widths of intervals of this one's values, by a description."""
        return BandTags(name, self.unit, abs(self.scale), 0.0, is_width=True)


class Raster(Protocol):
    """Pixels on a grid; a value that is picklable, and safe to use from many threads and processes at once."""

    @property
    def grid(self) -> GeoBox:
        """Where the pixels lie."""

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands' descriptions, or "1", "2", ..."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """Each band's number in the file or array that it comes from, from 1."""

    @property
    def band_tags(self) -> tuple[BandTags, ...]:
        """What each band carries."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype it is stored in."""

    @property
    def nodata(self) -> float | None:
        """The nodata value its first band declares."""

    @property
    def name(self) -> str:
        """What a message calls it: the path, or the array's name."""

    def read_plan(self, window: Window) -> ReadPlan:
        """Return what it takes to have a window that lies within the raster."""

    def read(self, window: Window) -> Pixels:
        """Read a window that lies within the raster, here and now."""


class StoredRaster(Raster, Protocol):
    """A raster that reads its pixels itself: a file or an array."""

    def __dask_tokenize__(self) -> object:
        """Identify the content."""


Combine: TypeAlias = "Callable[[Sequence[Pixels]], Pixels]"
"""Pixels of leaves in, a window's pixels out."""


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """What it takes to have a window: windows of leaves, and what makes the window's pixels of theirs.

    A graph makes a task of each read; `make_output` goes into the task that takes their outcomes, and carries no
    raster.
    """

    reads: tuple[tuple[StoredRaster, Window], ...]
    combine: Combine

    @classmethod
    def of(cls, leaf: StoredRaster, window: Window) -> ReadPlan:
        """Take a leaf's own window as it is."""
        return cls(((leaf, window),), single)

    def execute(self) -> Pixels:
        """Read it here and now."""
        return self.combine([leaf.read(window) for leaf, window in self.reads])


def single(parts: Sequence[Pixels]) -> Pixels:
    """Return the pixels of a leaf's own window."""
    (pixels,) = parts
    return pixels
