"""The lazy result: one task fits, one a tile predicts, one a tile and raster reads; knows dask, computes nothing."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray

from mmsr_geo.blending import BlendedTiling
from mmsr_geo.geometry import Tile, Tiling, Window
from mmsr_geo.methods import ModelSource, check_of
from mmsr_geo.model import Model
from mmsr_geo.network.checking import GuideCheck
from mmsr_geo.network.fitting import torch_threads
from mmsr_geo.pair import Pair
from mmsr_geo.raster.pixels import Pixels, with_holes
from mmsr_geo.raster.reading import ArrayRaster, FileRaster, Raster
from mmsr_geo.raster.warping import GridWarp
from mmsr_geo.tilewise import TileFit, TilePrediction, finish_tile
from mmsr_geo.upsampling import Upsampler

Key = tuple[Hashable, ...]
Layer = dict[Hashable, Any]


@dataclass(frozen=True, slots=True)
class LazyTarget:
    """A target to be computed, and what will be known of the guide with it."""

    values: da.Array
    """(H, W) float32, NaN in holes, one chunk a tile."""
    guide_gain: da.Array
    """0-d float64: see `GuideCheck.gain`; NaN where it is not known."""


def lazy_target(pair: Pair, method: ModelSource, tiling: Tiling, *, device: str = "auto") -> LazyTarget:
    """Return the target of the pair's part.

    Nothing is read or fitted before it is computed. The names of the tasks are tokens of the inputs' content and the
    options, so equal calls give equal names.
    """
    token = tokenize(pair.source, pair.guide, pair.scale, pair.part, method, tiling, device)
    work = _Work(pair, method, device, token)
    layer: Layer = {work.model_key: (method.for_pair, pair)}
    if isinstance(method, TileFit):
        check = work.add_blended_tiles(layer, method, method.blended(pair, tiling))
    else:
        check = work.add_tiles(layer, tiling)
    arrays = [raster.raw for raster in (pair.source, pair.guide.guide) if isinstance(raster, ArrayRaster)]
    graph = HighLevelGraph.from_collections(work.name, layer, dependencies=arrays)
    # The fit's task is of the target's layer: what computes both together fits once.
    gain = f"mmsr-guide-gain-{token}"
    with_gain = HighLevelGraph(
        {**graph.layers, gain: {(gain,): (_gain, check)}}, {**graph.dependencies, gain: {work.name}}
    )
    chunks = tuple(
        tuple(size * factor for size in sizes)
        for sizes, factor in zip(tiling.chunks, (pair.scale.y, pair.scale.x), strict=True)
    )
    return LazyTarget(
        da.Array(graph, work.name, chunks, meta=np.empty((0, 0), np.float32)),
        da.Array(with_gain, gain, (), meta=np.empty((), np.float64)),
    )


class _Work:
    """The tasks of one target."""

    def __init__(self, pair: Pair, method: ModelSource, device: str, token: str) -> None:
        self.pair, self.method, self.device, self.token = pair, method, device, token
        self.name, self.model_key = f"mmsr-target-{token}", f"mmsr-model-{token}"
        self.source = _Reads(f"mmsr-source-{token}", pair.source)
        self.guide = _Reads(f"mmsr-guide-{token}", pair.guide.guide)

    def add_tiles(self, layer: Layer, tiling: Tiling) -> Hashable:
        """Add a task a tile; return the key of what is known of the guide."""
        for tile, at in zip(tiling, _places(tiling), strict=True):
            work = _TileTask(tile, self._native(tile), self.pair.guide.warper, self.device, self.method)
            layer[self.name, *at] = (work, self.model_key, *self._add_reads(layer, tile, at))
        check = f"mmsr-guide-check-{self.token}"
        layer[check] = (check_of, self.model_key)
        return check

    def add_blended_tiles(self, layer: Layer, method: TileFit, blended: BlendedTiling) -> Hashable:
        """Add two tasks a tile: fit and predict, then blend and make consistent."""
        places = _places(blended.tiling)
        predicted, checked = f"mmsr-predicted-{self.token}", f"mmsr-checked-{self.token}"
        for tile, at in zip(blended.predictions, places, strict=True):
            bands = self.pair.guide.guide.bands
            work = _PredictTask(tile, self._native(tile), self.pair.guide.warper, bands, method)
            layer[predicted, tile.index] = (work, self.model_key, *self._add_reads(layer, tile, at))
            layer[checked, tile.index] = (_check_of_tile, (predicted, tile.index))
        together = f"mmsr-guide-check-{self.token}"
        # What is known of an adapted net's guide is the scene's: a chunk waits for its neighbours alone.
        tiles = [(checked, index) for index in range(len(blended))] if method.scene is None else []
        layer[together] = (method.check, self.model_key, tiles, self.pair)
        finished = _Reads(f"mmsr-blended-source-{self.token}", self.pair.source)
        for tile, at in zip(blended.targets, places, strict=True):
            indexes = blended.contributors(tile.read)
            layer[self.name, *at] = (
                _FinishTask(tile, blended, tuple(indexes), method),
                finished.add(layer, at, tile.read),
                [(predicted, index) for index in indexes],
                together,
            )
        return together

    def _native(self, tile: Tile) -> Window:
        return self.pair.guide.native_window(tile.read.refined(self.pair.scale))

    def _add_reads(self, layer: Layer, tile: Tile, at: tuple[int, int]) -> tuple[Key, Key]:
        return self.source.add(layer, at, tile.read), self.guide.add(layer, at, self._native(tile))


def _places(tiling: Tiling) -> list[tuple[int, int]]:
    rows, columns = tiling.chunks
    return list(product(range(len(rows)), range(len(columns))))


def _gain(check: GuideCheck) -> NDArray[np.float64]:
    return np.array(math.nan if check.gain is None else check.gain)


def _check_of_tile(prediction: TilePrediction) -> GuideCheck:
    return prediction.check


@dataclass(frozen=True, slots=True)
class _TileTask:
    """Everything of a tile's work but its pixels and the model."""

    tile: Tile
    native: Window
    """The guide's pixels it needs."""
    warper: GridWarp
    device: str
    method: ModelSource

    def __call__(self, model: Model, source: Pixels, guide: Pixels) -> NDArray[np.float32]:
        """Return the tile's target; one torch thread on a CPU, because dask runs as many tasks as there are cores."""
        with torch_threads(1):
            on_grid = self.warper.warp(guide, self.native, self.tile.read.refined(model.scale))
            upsampler = Upsampler.of(self.method.chosen(model), self.device, consistent=self.method.consistent)
            return upsampler.upsample(self.tile, source, on_grid)


@dataclass(frozen=True, slots=True)
class _PredictTask:
    """A tile's own fit and its prediction, but its pixels and where it begins from."""

    tile: Tile
    native: Window
    warper: GridWarp
    guide_bands: tuple[str, ...]
    method: TileFit

    def __call__(self, base: Model, source: Pixels, guide: Pixels) -> TilePrediction:
        """Fit and predict."""
        on_grid = self.warper.warp(guide, self.native, self.tile.read.refined(base.scale))
        return self.method.predict(base, self.tile, source, on_grid, self.guide_bands)


@dataclass(frozen=True, slots=True)
class _FinishTask:
    """A tile's blend, but its source and its neighbours' predictions."""

    tile: Tile
    blended: BlendedTiling
    contributors: tuple[int, ...]
    method: TileFit

    def __call__(self, source: Pixels, predictions: list[TilePrediction], check: GuideCheck) -> NDArray[np.float32]:
        """Return the tile's target; one torch thread, as for any tile."""
        by_index = dict(zip(self.contributors, predictions, strict=True))
        with torch_threads(1):
            return finish_tile(self.blended, self.tile, source, by_index, smooth=self.method.falls_back(check))


@dataclass(frozen=True, slots=True)
class _Reads:
    """The reading tasks of one raster."""

    name: str
    raster: Raster

    def add(self, layer: Layer, at: tuple[int, int], window: Window) -> Key:
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
