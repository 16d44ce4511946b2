"""Scales, windows and tiles with their halos: whole numbers only; knows no pixels, CRS or files."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING

from mmsr_geo.errors import GridError, OptionError
from mmsr_geo.spelling import option

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_SCALE = 64


@dataclass(frozen=True, slots=True, order=True)
class Scale:
    """Target pixels per source pixel, down and across; 1 in one direction only."""

    y: int
    x: int

    def __post_init__(self) -> None:
        """Refuse what is not a refinement."""
        if min(self.y, self.x) < 1 or max(self.y, self.x) < 2:
            msg = f"a scale of {self} refines nothing: give a whole number of 2 or more, as in {option('scale', 4)}"
            raise GridError(msg)
        if max(self.y, self.x) > LARGEST_SCALE:
            msg = (
                f"a scale of {self} is beyond {LARGEST_SCALE}: average the guide first, or pass a smaller "
                f"{option('scale')}"
            )
            raise GridError(msg)

    @classmethod
    def of(cls, scale: Scale | int | tuple[int, int]) -> Scale:
        """Accept an int (numpy's too) for both directions, a pair (down, across), or a Scale."""
        if isinstance(scale, Scale):
            return scale
        pair = scale if isinstance(scale, tuple | list) else (scale, scale)
        if len(pair) == 2 and all(isinstance(step, Integral) and not isinstance(step, bool) for step in pair):
            return cls(int(pair[0]), int(pair[1]))
        msg = (
            f"a scale is a whole number or a pair (down, across) of them, as in scale=4 or scale=(2, 1), not {scale!r}"
        )
        raise OptionError(msg)

    @property
    def area(self) -> int:
        """Target pixels in a source pixel."""
        return self.y * self.x

    @property
    def as_option(self) -> int | str:
        """The value of the option `scale`: 4, or 2x1."""
        return self.y if self.y == self.x else f"{self.y}x{self.x}"

    def __str__(self) -> str:
        """Print 4, or 2 x 1 (down x across)."""
        return str(self.y) if self.y == self.x else f"{self.y} x {self.x}"


@dataclass(frozen=True, slots=True)
class Halo:
    """Pixels to read around a window, down and across."""

    y: int
    x: int


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels; row and col may be negative only for what reaches beyond a raster."""

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
        """Rows and columns, for indexing an array."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)

    def refined(self, scale: Scale) -> Window:
        """Return the same place on the grid refined by the scale."""
        return Window(self.row * scale.y, self.col * scale.x, self.height * scale.y, self.width * scale.x)

    def padded(self, halo: Halo, within: Window) -> Window:
        """Grow by the halo on each side, cut at the border of `within`."""
        return Window(
            self.row - halo.y, self.col - halo.x, self.height + 2 * halo.y, self.width + 2 * halo.x
        ).intersection(within)

    def parts(self, most: int) -> list[Window]:
        """Cut it into as few parts of `most` pixels a side as it takes, all nearly of one size."""
        height, width = (-(-length // -(-length // most)) for length in self.shape)
        return [
            Window(row, col, height, width).intersection(self)
            for row in range(self.row, self.row + self.height, height)
            for col in range(self.col, self.col + self.width, width)
        ]

    def intersection(self, other: Window) -> Window:
        """Return what both hold; of no height or width where they do not meet."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        bottom = min(self.row + self.height, other.row + other.height)
        right = min(self.col + self.width, other.col + other.width)
        return Window(row, col, max(bottom - row, 0), max(right - col, 0))

    def relative_to(self, other: Window) -> Window:
        """Return the same place counted from the other's corner."""
        return Window(self.row - other.row, self.col - other.col, self.height, self.width)


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of the work, in source pixels: `core` is written, `read` (with its halo) is computed."""

    index: int
    core: Window
    read: Window


@dataclass(frozen=True, slots=True)
class Tiling:
    """A raster's tiles, row by row; a value that can be counted and printed before anything runs."""

    part: Window
    """What is to be computed, in source pixels."""
    tile_yx: tuple[int, int]
    """A tile's core, in source pixels; the last row and column may be smaller."""
    halo: Halo
    """In source pixels."""
    within: Window
    """The whole raster, in source pixels: halos are cut here."""

    def __len__(self) -> int:
        """Count the tiles."""
        (down, across), (height, width) = self.part.shape, self.tile_yx
        return -(-down // height) * -(-across // width)

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
        """Return one tile."""
        core = self.core(index)
        return Tile(index, core, core.padded(self.halo, self.within))

    def core(self, index: int) -> Window:
        """Return one tile's core."""
        (down, across), (height, width) = self.part.shape, self.tile_yx
        row, column = divmod(index, -(-across // width))
        row, col = row * height, column * width
        return Window(self.part.row + row, self.part.col + col, min(height, down - row), min(width, across - col))

    @property
    def chunks(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The heights of the rows of tiles and the widths of the columns, in source pixels."""
        return _chunks(self.part.height, self.tile_yx[0]), _chunks(self.part.width, self.tile_yx[1])

    @property
    def halo_share(self) -> float:
        """How much more is computed than written: 0.4 means 40 % on top."""
        rows, columns = self.chunks
        computed = _read(rows, self.part.row, self.halo.y, self.within.row, self.within.height) * _read(
            columns, self.part.col, self.halo.x, self.within.col, self.within.width
        )
        return computed / (self.part.height * self.part.width) - 1


def _read(lengths: tuple[int, ...], start: int, halo: int, first: int, length: int) -> int:
    """Return what tiles of these lengths read along one axis, halos cut at the border."""
    total = 0
    for each in lengths:
        total += min(start + each + halo, first + length) - max(start - halo, first)
        start += each
    return total


def _chunks(length: int, size: int) -> tuple[int, ...]:
    whole, rest = divmod(length, size)
    return (size,) * whole + ((rest,) if rest else ())
