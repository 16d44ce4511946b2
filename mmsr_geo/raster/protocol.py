"""What a raster is to the engine: pixels on a grid, had by window; knows no file, array or graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from odc.geo.geobox import GeoBox

    from mmsr_geo.geometry import Window
    from mmsr_geo.raster.pixels import Pixels


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

    def need(self, window: Window) -> Need:
        """Return what it takes to have a window that lies within the raster."""

    def read(self, window: Window) -> Pixels:
        """Read a window that lies within the raster, here and now."""


class Leaf(Raster, Protocol):
    """A raster that reads its pixels itself: a file or an array."""

    def __dask_tokenize__(self) -> object:
        """Identify the content."""


Make: TypeAlias = "Callable[[Sequence[Pixels]], Pixels]"
"""Pixels of leaves in, a window's pixels out."""


@dataclass(frozen=True, slots=True)
class Need:
    """What it takes to have a window: windows of leaves, and what makes the window's pixels of theirs.

    A graph makes a task of each read; `make` goes into the task that takes their outcomes, and carries no raster.
    """

    reads: tuple[tuple[Leaf, Window], ...]
    make: Make

    @classmethod
    def of(cls, leaf: Leaf, window: Window) -> Need:
        """Take a leaf's own window as it is."""
        return cls(((leaf, window),), the_only_one)

    def now(self) -> Pixels:
        """Read it here and now."""
        return self.make([leaf.read(window) for leaf, window in self.reads])


def the_only_one(parts: Sequence[Pixels]) -> Pixels:
    """Return the pixels of a leaf's own window."""
    (pixels,) = parts
    return pixels
