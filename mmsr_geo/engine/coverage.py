"""How much of a source's valid pixels a guide covers; reads the source, in windows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from odc.geo.geobox import GeoBox

from mmsr_geo.geometry import Window
from mmsr_geo.raster.base import Raster
from mmsr_geo.raster.grids import centres_within, window_grid

_READ_WHOLE_PX = 16_000_000
"""Pixels up to which a source is read completely; of a larger one, windows spread over it."""
_STRIP_PX = 2_000_000
_WINDOWS = 32
"""Number of windows down, and across, in a larger source."""
_WINDOW_PX = 128


def covered_share(source: Raster, part: Window, guide: GeoBox) -> float | None:
    """Return the share of the valid source pixels whose centres lie within a guide's extent, 0 to 1.

    Args:
        source: The source.
        part: The requested part, in source pixels.
        guide: The guide's grid.

    Returns:
        The share; None if all pixels are valid or none is, so that the extents say as much.
    """
    pixels = valid = covered = 0
    for window in _windows(part):
        found = source.read(window).valid
        within = centres_within(window_grid(source.grid, window), guide)
        pixels += found.size
        valid += int(np.count_nonzero(found))
        covered += int(np.count_nonzero(found & within))
    return None if valid in {0, pixels} else covered / valid


def _windows(part: Window) -> Iterator[Window]:
    if part.height * part.width <= _READ_WHOLE_PX:
        rows = max(1, _STRIP_PX // part.width)
        for top in range(0, part.height, rows):
            yield Window(part.row + top, part.col, min(rows, part.height - top), part.width)
        return
    for row, height in _strata(part.height):
        for col, width in _strata(part.width):
            yield Window(part.row + row, part.col + col, height, width)


def _strata(length: int) -> list[tuple[int, int]]:
    """Return the start and the length of windows in the middle of equal parts."""
    count = min(_WINDOWS, length)
    side = min(_WINDOW_PX, length // count)
    return [((2 * at + 1) * length // (2 * count) - side // 2, side) for at in range(count)]
