"""Overviews of a Zarr group, each half as large as the one before, as GDAL finds them; knows zarr, no tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import zarr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from mmsr_geo.geometry import Window
from mmsr_geo.raster.write.encoding import Encoding
from mmsr_geo.raster.write.zarr_arrays import ArraySpec, BandAxis, Variable, georeference, is_valid

OVERVIEW_PX = 512
"""Side in pixels of the longest side of a level above which it has an overview."""
BLOCK_PX = 512
"""Side in pixels of the blocks in which an overview is computed, so that a shard takes little memory."""
CONVENTION = {
    "uuid": "d35379db-88df-4056-af3a-620245f8e347",
    "name": "multiscales",
    "description": "Multiscale layout of zarr datasets",
    "schema_url": "https://raw.githubusercontent.com/zarr-conventions/multiscales/refs/tags/v1/schema.json",
    "spec_url": "https://github.com/zarr-conventions/multiscales/blob/v1/README.md",
}
"""The convention by which GDAL 3.13 writes and finds overviews."""

Halve = Callable[[NDArray[Any]], NDArray[Any]]
"""Function that makes an overview's pixels: (H, W), even, to (H / 2, W / 2)."""


def add_overviews(
    group: zarr.Group, grid: GeoBox, specs: Sequence[ArraySpec], bands: BandAxis, shard_yx: tuple[int, int]
) -> list[dict[str, Any]]:
    """Create the overviews of a group that is complete, each level from the one before.

    Args:
        group: A group that holds the arrays of `specs`, the target first.
        grid: The grid of the group.
        specs: The arrays that each level has.
        bands: The bands, the same in all arrays.
        shard_yx: Height and width of a shard, in pixels.

    Returns:
        The layout as the multiscales convention has it; one entry if the group is too small for overviews.
    """
    target = specs[0].name
    dims = len(bands.dims) + 2
    layout: list[dict[str, Any]] = [{"asset": target, "transform": {"scale": [1.0] * dims}}]
    finer, factor = group, 1
    while max(grid.shape.yx) > OVERVIEW_PX:
        factor *= 2
        height, width = grid.shape.yx
        grid = GeoBox(((height + 1) // 2, (width + 1) // 2), grid.affine * Affine.scale(2), grid.crs)
        coarser = group.create_group(f"ovr_{factor}x")
        georeference(coarser, grid)
        bands.write(coarser)
        for spec in specs:
            overview = Variable(spec.create(coarser, grid, bands, shard_yx))
            fill_overview(Variable(finer[spec.name]), overview, shard_yx, spec.halve)  # type: ignore[arg-type]
        layout.append(
            {
                "asset": coarser.basename,
                "derived_from": layout[-1]["asset"],
                "transform": {"scale": [1.0] * (dims - 2) + [2.0, 2.0], "translation": [0.0] * dims},
                "resampling_method": "average",
            }
        )
        finer = coarser
    return layout


def averaging(nodata: float, dtype: str) -> Halve:
    """Return a function that averages 2 x 2 stored values, nodata left out, as an array of a dtype stores them."""
    return partial(_average, nodata=nodata, encoding=Encoding(dtype))


def every_second(flags: NDArray[Any]) -> NDArray[Any]:
    """Return the upper left pixel of each 2 x 2 pixels: flags cannot be averaged."""
    return flags[::2, ::2]


def fill_overview(finer: Variable, coarser: Variable, shard_yx: tuple[int, int], halve: Halve) -> None:
    """Fill a level of half the size shard by shard, from blocks that take little memory."""
    for band in range(1, coarser.bands + 1):
        for shard in _parts(coarser.whole, shard_yx):
            pixels = np.empty(shard.shape, coarser.array.dtype)
            for block in _parts(shard, (BLOCK_PX, BLOCK_PX)):
                below = Window(2 * block.row, 2 * block.col, 2 * block.height, 2 * block.width)
                inside = below.intersection(finer.whole)
                beyond = [(0, want - have) for want, have in zip(below.shape, inside.shape, strict=True)]
                read = np.pad(finer.read(band, inside), beyond, constant_values=finer.array.fill_value)
                pixels[block.relative_to(shard).slices] = halve(read)
            coarser.write(shard, pixels[np.newaxis], (band,))


def _average(values: NDArray[Any], *, nodata: float, encoding: Encoding) -> NDArray[Any]:
    height, width = values.shape
    blocks = values.reshape(height // 2, 2, width // 2, 2)
    valid = is_valid(blocks, nodata)
    count = valid.sum(axis=(1, 3))
    total = np.where(valid, blocks, 0).sum(axis=(1, 3), dtype=np.float64)
    means = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return encoding.encode(means, nodata)[0]


def _parts(whole: Window, sides: tuple[int, int]) -> Iterator[Window]:
    for row in range(whole.row, whole.row + whole.height, sides[0]):
        for col in range(whole.col, whole.col + whole.width, sides[1]):
            yield Window(row, col, *sides).intersection(whole)
