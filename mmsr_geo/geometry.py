"""Scales, windows and tiles with their halos: whole numbers only; knows no pixels, CRS or files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING

from mmsr_geo.errors import GridError, OptionError
from mmsr_geo.spelling import option

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_SCALE = 64
"""Most target pixels per source pixel in a direction."""


@dataclass(frozen=True, slots=True, order=True)
class Scale:
    """Target pixels per source pixel, down and across; 1 in at most one direction."""

    y: int
    x: int

    def __post_init__(self) -> None:
        """Raise GridError for a scale that refines nothing."""
        if min(self.y, self.x) < 1 or max(self.y, self.x) < 2:
            msg = f"scale {self} refines nothing: pass a whole number of 2 or more, as in {option('scale', 4)}"
            raise GridError(msg)

    @property
    def checked(self) -> Scale:
        """The scale, of a pair; GridError if it is above LARGEST_SCALE. What members are compared on is coarser."""
        if max(self.y, self.x) > LARGEST_SCALE:
            msg = (
                f"scale {self} is above {LARGEST_SCALE}: pass a smaller {option('scale')}, or first average the guide "
                "to larger pixels"
            )
            raise GridError(msg)
        return self

    @classmethod
    def of(cls, scale: Scale | int | tuple[int, int]) -> Scale:
        """Return a scale given as an int for both directions, a pair (down, across), or a Scale.

        Raises:
            GridError: The scale refines nothing, or is above LARGEST_SCALE.
            OptionError: It is neither of the three.
        """
        if isinstance(scale, Scale):
            return scale.checked
        pair = scale if isinstance(scale, tuple | list) else (scale, scale)
        if len(pair) == 2 and all(isinstance(step, Integral) and not isinstance(step, bool) for step in pair):
            return cls(int(pair[0]), int(pair[1])).checked
        msg = (
            f"the scale must be a whole number or a pair (down, across) of whole numbers, as in {option('scale', 4)}, "
            f"not {scale!r}"
        )
        raise OptionError(msg)

    @property
    def area(self) -> int:
        """Number of target pixels in a source pixel."""
        return self.y * self.x

    @property
    def as_option(self) -> int | str:
        """Value of the option `scale`: 4, or "2x1" (down x across)."""
        return self.y if self.y == self.x else f"{self.y}x{self.x}"

    def __str__(self) -> str:
        """Return 4, or 2 x 1 (down x across)."""
        return str(self.y) if self.y == self.x else f"{self.y} x {self.x}"


@dataclass(frozen=True, slots=True)
class Halo:
    """Pixels to read around a window, down and across."""

    y: int
    x: int

    def union(self, other: Halo) -> Halo:
        """Return the larger of two halos, down and across."""
        return Halo(max(self.y, other.y), max(self.x, other.x))


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels; row and col are negative only if it reaches beyond a raster."""

    row: int
    col: int
    height: int
    width: int

    @classmethod
    def whole(cls, shape_yx: tuple[int, int]) -> Window:
        """Return the window of all pixels."""
        return cls(0, 0, *shape_yx)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Slices of rows and columns, for indexing an array."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)

    def refined(self, scale: Scale) -> Window:
        """Return the window of the same area on the grid refined by the scale."""
        return Window(self.row * scale.y, self.col * scale.x, self.height * scale.y, self.width * scale.x)

    def padded(self, halo: Halo, within: Window) -> Window:
        """Grow by the halo on each side, cut at the border of `within`."""
        return Window(
            self.row - halo.y, self.col - halo.x, self.height + 2 * halo.y, self.width + 2 * halo.x
        ).intersection(within)

    def parts(self, most: int) -> list[Window]:
        """Cut the window into as few parts as possible of at most `most` pixels a side, nearly equal in size."""
        height, width = (math.ceil(length / math.ceil(length / most)) for length in self.shape)
        return [
            Window(row, col, height, width).intersection(self)
            for row in range(self.row, self.row + self.height, height)
            for col in range(self.col, self.col + self.width, width)
        ]

    def intersection(self, other: Window) -> Window:
        """Return the intersection; its height or width is 0 if the windows do not meet."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        bottom = min(self.row + self.height, other.row + other.height)
        right = min(self.col + self.width, other.col + other.width)
        return Window(row, col, max(bottom - row, 0), max(right - col, 0))

    def relative_to(self, other: Window) -> Window:
        """Return the window counted from the other's upper left corner."""
        return Window(self.row - other.row, self.col - other.col, self.height, self.width)


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile in source pixels: `core` is written, `read` (the core with its halo) is read."""

    index: int
    core: Window
    read: Window


@dataclass(frozen=True, slots=True)
class Tiling:
    """Tiles of a raster, row by row: a value that can be counted and printed before anything runs."""

    part: Window
    """The part to compute, in source pixels."""
    tile_yx: tuple[int, int]
    """Size of a tile's core in source pixels; the last row and column of tiles may be smaller."""
    halo: Halo
    """Source pixels that a tile reads around its core."""
    within: Window
    """The whole raster, in source pixels: halos are cut at its border."""

    def __len__(self) -> int:
        """Count the tiles."""
        (down, across), (height, width) = self.part.shape, self.tile_yx
        return math.ceil(down / height) * math.ceil(across / width)

    def __iter__(self) -> Iterator[Tile]:
        """Yield the tiles row by row."""
        rows, columns = self.chunks
        row, index = self.part.row, 0
        for height in rows:
            col = self.part.col
            for width in columns:
                core = Window(row, col, height, width)
                yield Tile(index, core, core.padded(self.halo, self.within))
                col += width
                index += 1
            row += height

    def tile(self, index: int) -> Tile:
        """Return the tile with this index."""
        core = self.core(index)
        return Tile(index, core, core.padded(self.halo, self.within))

    def core(self, index: int) -> Window:
        """Return the core of the tile with this index."""
        (down, across), (height, width) = self.part.shape, self.tile_yx
        row, column = divmod(index, math.ceil(across / width))
        row, col = row * height, column * width
        return Window(self.part.row + row, self.part.col + col, min(height, down - row), min(width, across - col))

    @property
    def chunks(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The heights of the rows of tiles and the widths of the columns, in source pixels."""
        return _chunks(self.part.height, self.tile_yx[0]), _chunks(self.part.width, self.tile_yx[1])

    @property
    def halo_share(self) -> float:
        """Share of pixels computed in addition to those written: 0.4 means 40 % more."""
        rows, columns = self.chunks
        computed = _read(rows, self.part.row, self.halo.y, self.within.row, self.within.height) * _read(
            columns, self.part.col, self.halo.x, self.within.col, self.within.width
        )
        return computed / (self.part.height * self.part.width) - 1


def _read(lengths: tuple[int, ...], start: int, halo: int, first: int, length: int) -> int:
    """Return the pixels that tiles of these lengths read along one axis, halos cut at the border."""
    total = 0
    for core in lengths:
        total += min(start + core + halo, first + length) - max(start - halo, first)
        start += core
    return total


def _chunks(length: int, size: int) -> tuple[int, ...]:
    whole, rest = divmod(length, size)
    return (size,) * whole + ((rest,) if rest else ())
