"""How much memory there is, and how large a tile fits in it; knows no pixels."""

from __future__ import annotations

from collections.abc import Callable

from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Halo, Scale, Tiling, Window
from mmsr_geo.machine import available_memory
from mmsr_geo.network.fitted import AROUND_PX, PART_PX
from mmsr_geo.spelling import option

BASE_BYTES = 450_000_000
"""What Python, torch, GDAL and xarray take before there is a pixel: 300 to 340 MB measured, and GDAL's cache."""
BYTES_PER_SAMPLED_VALUE = 50
"""A guide's value that a fit sees: raw, normalised, three of features, and its registration in float64."""
TILE_SIDES_PX = (1024, 768, 512, 384, 256, 192, 128)
"""Tile sizes chosen from, in target pixels: a few only, so that a little more free memory gives the same tiles."""
LIMIT_SHARE = 0.8
"""Of a limit on a process's memory, what is planned with: what GDAL and torch take beside varies."""
MEMORY_SHARE = 4
"""One part in so many of the free memory is meant for tiles."""


def tile_bytes(pixels: int, guide_bands: int = 4, *, network: bool = True) -> int:
    """Return what a tile of so many target pixels, halo counted, takes at its peak; see benchmarks/tile_memory.py."""
    if not network:
        return pixels * (220 + 10 * guide_bands)
    shown = min(pixels, (PART_PX + AROUND_PX) ** 2)
    return shown * (3000 + 150 * guide_bands) + pixels * (150 + 10 * guide_bands)


def tiling_for(  # noqa: PLR0913  (what decides a tile)
    part: Window,
    whole: Window,
    scale: Scale,
    halo: Halo,
    takes: Callable[[int], int] = tile_bytes,
    *,
    tile_size: int | None = None,
    at_once: int = 1,
    limit: int | None = None,
) -> Tiling:
    """Cut the part into tiles, all windows in source pixels.

    takes: the bytes that a tile of so many target pixels takes. tile_size: a tile's side in target pixels, without its
    halo, rounded down to whole source pixels; None: chosen from `limit`, the bytes of a process, or from the free
    memory for so many tiles `at_once`. Raises OptionError for a size below one pixel.
    """
    if tile_size is not None and tile_size < 1:
        raise OptionError(f"{option('tile_size')} is in target pixels and must be 1 or more, not {tile_size}")
    if limit is not None:
        side = tile_size or _side_for(int(limit * LIMIT_SHARE) - BASE_BYTES, scale, halo, takes)
    else:
        side = tile_size or _side_for(available_memory() // (MEMORY_SHARE * at_once), scale, halo, takes)
    return Tiling(part, (max(1, side // scale.y), max(1, side // scale.x)), halo, whole)


def _side_for(budget: int, scale: Scale, halo: Halo, takes: Callable[[int], int]) -> int:
    for side in TILE_SIDES_PX:
        pixels = (side + 2 * halo.y * scale.y) * (side + 2 * halo.x * scale.x)
        if takes(pixels) <= budget:
            return side
    return TILE_SIDES_PX[-1]
