"""The lazy result: one task fits, one a tile predicts, one a tile and raster reads; knows dask, computes nothing."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray

from mmsr_geo.geometry import Tile, Tiling, Window
from mmsr_geo.network.fitted import FittedNet
from mmsr_geo.network.fitting import torch_threads
from mmsr_geo.pair import Pair
from mmsr_geo.raster.pixels import Pixels, with_holes
from mmsr_geo.raster.reading import ArrayRaster, FileRaster, Raster
from mmsr_geo.raster.warping import GridWarp
from mmsr_geo.scene import NetSource
from mmsr_geo.upsampling import Upsampler

Key = tuple[Hashable, ...]


def lazy_target(pair: Pair, net: NetSource, tiling: Tiling, *, device: str = "auto") -> da.Array:
    """Return the target of the pair's part, (H, W) float32, NaN in holes, one chunk a tile.

    Nothing is read or fitted before it is computed. The names of the tasks are tokens of the inputs' content and the
    options, so equal calls give equal names.
    """
    token = tokenize(pair.source, pair.guide, pair.scale, pair.part, net, tiling, device)
    name, net_key = f"mmsr-target-{token}", f"mmsr-net-{token}"
    layer: dict[Hashable, Any] = {net_key: (net.for_pair, pair)}
    source, guide = _Reads(f"mmsr-source-{token}", pair.source), _Reads(f"mmsr-guide-{token}", pair.guide.guide)
    rows, columns = tiling.chunks
    for tile, (row, column) in zip(tiling, product(range(len(rows)), range(len(columns))), strict=True):
        native = pair.guide.native_window(tile.read.refined(pair.scale))
        work = _TileTask(tile, native, pair.guide.warper, device)
        layer[name, row, column] = (
            work,
            net_key,
            source.add(layer, (row, column), tile.read),
            guide.add(layer, (row, column), native),
        )
    arrays = [raster.raw for raster in (pair.source, pair.guide.guide) if isinstance(raster, ArrayRaster)]
    graph = HighLevelGraph.from_collections(name, layer, dependencies=arrays)
    chunks = tuple(
        tuple(size * factor for size in sizes)
        for sizes, factor in zip(tiling.chunks, (pair.scale.y, pair.scale.x), strict=True)
    )
    return da.Array(graph, name, chunks, meta=np.empty((0, 0), np.float32))


@dataclass(frozen=True, slots=True)
class _TileTask:
    """Everything of a tile's work but its pixels and the net."""

    tile: Tile
    native: Window
    """The guide's pixels it needs."""
    warper: GridWarp
    device: str

    def __call__(self, net: FittedNet, source: Pixels, guide: Pixels) -> NDArray[np.float32]:
        """Return the tile's target; one torch thread on a CPU, because dask runs as many tasks as there are cores."""
        with torch_threads(1):
            on_grid = self.warper.warp(guide, self.native, self.tile.read.refined(net.scale))
            return Upsampler.of(net, self.device).upsample(self.tile, source, on_grid)


@dataclass(frozen=True, slots=True)
class _Reads:
    """The reading tasks of one raster."""

    name: str
    raster: Raster

    def add(self, layer: dict[Hashable, Any], at: tuple[int, int], window: Window) -> Key:
        """Add the task that reads a window and return its key."""
        key = (self.name, *at)
        match self.raster:
            case ArrayRaster() as array:
                chunks = _Chunks.under(array.raw, window)
                blocks = [[(array.raw.name, band, *place) for band in chunks.bands] for place in chunks.places]
                layer[key] = (chunks.assembled, blocks, array.holes)
            case FileRaster() as file:
                layer[key] = (file.read, window)
        return key


@dataclass(frozen=True, slots=True)
class _Chunks:
    """The chunks of a (bands, h, w) dask array that a window needs, and where it lies in them."""

    bands: range
    places: tuple[tuple[int, int], ...]
    parts: tuple[tuple[tuple[slice, slice], tuple[slice, slice]], ...]
    """For each place: what to take from the chunk, and where in the window it goes."""
    shape: tuple[int, int]
    band_sizes: tuple[int, ...]

    @classmethod
    def under(cls, array: da.Array, window: Window) -> _Chunks:
        rows, columns = window.slices
        down, across = _overlaps(array.chunks[1], rows), _overlaps(array.chunks[2], columns)
        found = list(product(down, across))
        return cls(
            bands=range(len(array.chunks[0])),
            places=tuple((y[0], x[0]) for y, x in found),
            parts=tuple(((y[1], x[1]), (y[2], x[2])) for y, x in found),
            shape=window.shape,
            band_sizes=tuple(array.chunks[0]),
        )

    def assembled(self, blocks: list[list[NDArray[Any]]], holes: tuple[float | None, ...]) -> Pixels:
        """Put the window together; `blocks` holds, for each place, a chunk for each range of bands."""
        values = np.empty((sum(self.band_sizes), *self.shape), np.float32)
        for chunks, (taken, placed) in zip(blocks, self.parts, strict=True):
            raw = np.concatenate([np.asarray(chunk)[:, *taken] for chunk in chunks])
            values[:, *placed] = with_holes(raw, holes)
        return Pixels.masked(values)


def _overlaps(sizes: tuple[int, ...], wanted: slice) -> Iterator[tuple[int, slice, slice]]:
    """Yield the index of each chunk along an axis that `wanted` meets, what to take of it, and where that goes."""
    start = 0
    for index, size in enumerate(sizes):
        low, high = max(start, wanted.start), min(start + size, wanted.stop)
        if low < high:
            yield index, slice(low - start, high - start), slice(low - wanted.start, high - wanted.start)
        start += size
