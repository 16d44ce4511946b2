"""Tile sizes that fit into the memory; knows no pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Halo, Scale, Tiling, Window
from mmsr_geo.machine import available_memory
from mmsr_geo.network.fitted import AROUND_PX, PART_PX
from mmsr_geo.spelling import option

BASE_BYTES = 450_000_000
"""Memory of Python, torch, GDAL and xarray without pixels: 300 to 340 MB measured, and GDAL's cache."""
BYTES_PER_COMPARED_PX = 3000
"""Memory of a fit per target pixel that its members are compared on, most of it features of the guide."""
BYTES_PER_SAMPLED_VALUE = 50
"""Memory of a fit per guide value: raw, normalised, and three features."""
TILE_SIDES_PX = (1024, 768, 512, 384, 256, 192, 128)
"""Tile sizes to choose from, in target pixels: few, so that a little more free memory gives the same tiles."""
LIMIT_SHARE = 0.8
"""Usable share of a memory limit: the rest covers what GDAL and torch take in addition."""
MEMORY_SHARE = 4
"""Divisor of the free memory: a quarter of it is used for tiles."""


PredictedBy = Literal["network", "members", "both", "other"]
"""What predicts a tile, which decides its memory: the network, members that take seconds, both, or another method."""


def tile_bytes(pixels: int, guide_bands: int = 4, *, predicted_by: PredictedBy = "network") -> int:
    """Return the peak memory of a tile in bytes, measured with benchmarks/tile_memory.py.

    Args:
        pixels: The tile's target pixels, halo counted.
        guide_bands: Number of guide bands.
        predicted_by: What predicts the tile.
    """
    # The regressions of each source pixel take most at scale 2: matrices of twice the bands a side, thrice.
    members = pixels * (1700 + 30 * guide_bands + 40 * guide_bands**2)
    shown = min(pixels, (PART_PX + AROUND_PX) ** 2)
    network = shown * (3000 + 150 * guide_bands) + pixels * (150 + 10 * guide_bands)
    other = pixels * (220 + 10 * guide_bands)
    return {"members": members, "network": network, "both": max(members, network), "other": other}[predicted_by]


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
    """Cut a part of a raster into tiles.

    Args:
        part: The part, in source pixels.
        whole: The whole raster, in source pixels: halos are cut at its border.
        scale: Target pixels per source pixel.
        halo: Source pixels that a tile reads around itself.
        takes: Function from a tile's target pixels, halo counted, to its bytes.
        tile_size: Side of a tile in target pixels, without its halo, rounded down to whole source pixels; None: chosen
            from the memory.
        at_once: Number of tiles that share the free memory.
        limit: Bytes that a process may take; None: the free memory decides.

    Raises:
        OptionError: The tile size is below one pixel.
    """
    if tile_size is not None and tile_size < 1:
        raise OptionError(f"{option('tile_size')} must be at least 1 target pixel, not {tile_size}")
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
