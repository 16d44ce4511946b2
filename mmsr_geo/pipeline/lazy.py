"""Lazy target: a graph of reading, fitting and predicting tasks; knows dask, computes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import dask.array as da
import numpy as np
from dask.array.core import normalize_chunks
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from mmsr_geo.engine.blending import BlendedTiling
from mmsr_geo.engine.flags import Flag, ValidRange
from mmsr_geo.engine.model import Model
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.tile_upsampler import TargetTile
from mmsr_geo.geometry import Tile, Tiling, Window
from mmsr_geo.methods.apply import upsampler_of
from mmsr_geo.methods.base import Method, TileFits, TilePrediction
from mmsr_geo.network.guide_check import GuideCheck
from mmsr_geo.nodata import Nodata
from mmsr_geo.pipeline.tile_tasks import finish_tile, fit_pair, predict_tile
from mmsr_geo.raster.base import BandTags, Combine, Pixels, Raster, ReadPlan, StoredRaster, with_nodata_as_nan
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.views.warp import Warped

Key = tuple[Hashable, ...]
Layer = dict[Hashable, Any]


@dataclass(frozen=True, slots=True)
class LazyTarget:
    """A target to be computed, with its flags, uncertainty and guide gain."""

    values: da.Array
    """(H, W) float32, NaN where it has no data, one chunk per tile."""
    qa: da.Array
    """(H, W) uint8 bits of `Flag`, in the same chunks."""
    guide_gain: da.Array
    """0-d float64, see `GuideCheck.gain`; NaN if not known."""
    uncertainty: da.Array | None = None
    """(H, W) float32, see `TargetTile.uncertainty`, in the same chunks; None if not requested."""


def lazy_target(
    pair: Pair, method: Method, tiling: Tiling, *, device: str = "auto", uncertainty: bool = False
) -> LazyTarget:
    """Return the target of a pair's part, to be computed.

    Nothing is read or fitted before that. The names of the tasks are tokens of the inputs' content and the options, so
    that equal calls give equal names.

    Args:
        pair: Source and guide.
        method: The method.
        tiling: The tiles, one chunk each.
        device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:N".
        uncertainty: Add the target's uncertainty.
    """
    token = tokenize(
        pair.source, pair.guide, pair.scale, pair.part, pair.valid_range, method, tiling, device, uncertainty
    )
    tasks = _Tasks(pair, method, device, token, uncertainty=uncertainty)
    layer: Layer = {tasks.model_key: (_model, method, pair, uncertainty)}
    fits = method.tile_fits
    check = tasks.add_tiles(layer, tiling) if fits is None else tasks.add_blended_tiles(layer, fits, tiling)
    tiles = HighLevelGraph.from_collections(tasks.name, layer, dependencies=tasks.reads.arrays)

    # The fit and the tiles are in one layer, so that they run once whichever of the arrays are computed.
    def after(name: str, selections: Layer) -> HighLevelGraph:
        return HighLevelGraph({**tiles.layers, name: selections}, {**tiles.dependencies, name: {tasks.name}})

    values, qa, half, gain = (f"mmsr-{name}-{token}" for name in ("target", "qa", "uncertainty", "guide-gain"))
    indexes = _chunk_indexes(tiling)
    chunks = tuple(
        tuple(size * factor for size in sizes)
        for sizes, factor in zip(tiling.chunks, (pair.scale.y, pair.scale.x), strict=True)
    )

    def layer_of(name: str, part: Callable[[TargetTile], NDArray[Any]], dtype: type[np.generic]) -> da.Array:
        graph = after(name, {(name, *at): (part, (tasks.name, *at)) for at in indexes})
        return da.Array(graph, name, chunks, meta=np.empty((0, 0), dtype))

    return LazyTarget(
        layer_of(values, _values, np.float32),
        layer_of(qa, _qa, np.uint8),
        da.Array(after(gain, {(gain,): (_gain, check)}), gain, (), meta=np.empty((), np.float64)),
        layer_of(half, _uncertainty, np.float32) if uncertainty else None,
    )


def lazy_raster(raster: Raster, window: Window, chunk_yx: tuple[int, int]) -> da.Array:
    """Return a window of a raster to be read: (bands, H, W) float32, NaN for nodata, in chunks of chunk_yx."""
    token = tokenize(raster, window, chunk_yx)
    name, reads, layer = f"mmsr-raster-{token}", _Reads(f"mmsr-raster-read-{token}"), Layer()
    count = len(raster.bands)
    chunks = normalize_chunks((-1, *chunk_yx), (count, *window.shape), dtype=np.float32)
    tops, lefts = (np.cumsum((0, *sizes)) for sizes in chunks[1:])
    for (i, height), (j, width) in product(enumerate(chunks[1]), enumerate(chunks[2])):
        read_plan = raster.read_plan(Window(window.row + int(tops[i]), window.col + int(lefts[j]), height, width))
        layer[name, 0, i, j] = (_Assembled(read_plan.combine), reads.add(layer, read_plan))
    graph = HighLevelGraph.from_collections(name, layer, dependencies=reads.arrays)
    return da.Array(graph, name, chunks, meta=np.empty((0, 0, 0), np.float32))


@dataclass(frozen=True, slots=True)
class MovedTarget:
    """A target resampled onto another grid than the source's refined by the scale."""

    values: da.Array
    """(H, W) float32, NaN where it has no data."""
    qa: da.Array
    """(H, W) uint8 bits of `Flag`, of the nearest pixel."""
    consistency_rmse: da.Array
    """0-d float64: RMSE of the target, averaged back onto the source's grid, in the source's units."""
    uncertainty: da.Array | None = None
    """(H, W) float32, NaN where it is not known; None if not requested."""


def lazy_like(target: LazyTarget, pair: Pair, tiling: Tiling, grid: GeoBox) -> MovedTarget:
    """Resample a pair's target onto another grid, in chunks as large as its tiles."""
    down, across = tiling.tile_yx
    chunk = down * pair.scale.y, across * pair.scale.x
    whole = Window.whole(grid.shape.yx)
    values = Warped(_placed(target.values, pair), grid)
    moved = lazy_raster(values, whole, chunk)[0]
    flags = lazy_raster(Warped(_placed(target.qa, pair), grid, Resampling.nearest, Resampling.nearest), whole, chunk)[0]
    back = lazy_raster(Warped(values, pair.source.grid), pair.part, tiling.tile_yx)
    error = (back - lazy_raster(pair.source, pair.part, tiling.tile_yx)).astype(np.float64)
    # Pixels outside the target have no data.
    qa = da.where(da.isnan(flags), float(Flag.SOURCE_NODATA), flags).astype(np.uint8)
    half = target.uncertainty
    spread = None if half is None else lazy_raster(Warped(_placed(half, pair), grid), whole, chunk)[0]
    return MovedTarget(moved, qa, da.sqrt(da.nanmean(error**2)), spread)


def _placed(values: da.Array, pair: Pair) -> ArrayRaster:
    """Return an array of a pair's part as a raster of one band."""
    return ArrayRaster(values[np.newaxis], pair.target_grid, ("target",), (None,), None, (BandTags(),), "the target")


class _Tasks:
    """Tasks of one target."""

    def __init__(self, pair: Pair, method: Method, device: str, token: str, *, uncertainty: bool) -> None:
        self.pair, self.method, self.device, self.token, self.uncertainty = pair, method, device, token, uncertainty
        self.name, self.model_key = f"mmsr-tile-{token}", f"mmsr-model-{token}"
        self.reads = _Reads(f"mmsr-read-{token}")

    def add_tiles(self, layer: Layer, tiling: Tiling) -> Hashable:
        """Add one task per tile; return the key of the guide check."""
        for tile, at in zip(tiling, _chunk_indexes(tiling), strict=True):
            source, guide = self.pair.read_plans(tile.read)
            task = _TileTask(
                tile,
                source.combine,
                guide.combine,
                self.device,
                self.method,
                self.pair.valid_range,
                self.uncertainty,
            )
            layer[self.name, *at] = (task, self.model_key, self.reads.add(layer, source), self.reads.add(layer, guide))
        check = f"mmsr-guide-check-{self.token}"
        layer[check] = (_check_of_model, self.model_key)
        return check

    def add_blended_tiles(self, layer: Layer, fits: TileFits, tiling: Tiling) -> Hashable:
        """Add two tasks per tile: fit and predict, then blend and make consistent; return the key of the check."""
        blended, indexes = fits.blended(self.pair, tiling), _chunk_indexes(tiling)
        predicted, checked = f"mmsr-predicted-{self.token}", f"mmsr-checked-{self.token}"
        bands = self.pair.guide.bands
        for tile in blended.predictions:
            source, guide = self.pair.read_plans(tile.read)
            task = _PredictTask(tile, source.combine, guide.combine, bands, fits)
            reads = self.reads.add(layer, source), self.reads.add(layer, guide)
            layer[predicted, tile.index] = (task, self.model_key, *reads)
            layer[checked, tile.index] = (_check_of_tile, (predicted, tile.index))
        together = f"mmsr-guide-check-{self.token}"
        # The guide check of adapted models is the scene's: a chunk waits for its neighbours alone.
        tiles = [(checked, index) for index in range(len(blended))] if fits.checks_tiles else []
        layer[together] = (fits.check, self.model_key, tiles, self.pair)
        for tile, at in zip(blended.targets, indexes, strict=True):
            contributors = blended.contributors(tile.read)
            source = self.pair.source.read_plan(tile.read)
            layer[self.name, *at] = (
                _FinishTask(tile, blended, tuple(contributors), source.combine, self.method, self.pair.valid_range),
                self.reads.add(layer, source),
                [(predicted, index) for index in contributors],
                together,
            )
        return together


def _chunk_indexes(tiling: Tiling) -> list[tuple[int, int]]:
    rows, columns = tiling.chunks
    return list(product(range(len(rows)), range(len(columns))))


def _model(method: Method, pair: Pair, uncertainty: bool) -> Model:  # noqa: FBT001  (a task's)
    return fit_pair(pair, method, uncertainty=uncertainty, check_arrays=method.samples_pixels)


def _values(tile: TargetTile) -> NDArray[np.float32]:
    return tile.values


def _qa(tile: TargetTile) -> NDArray[np.uint8]:
    return tile.qa


def _uncertainty(tile: TargetTile) -> NDArray[np.float32]:
    return np.full(tile.values.shape, np.nan, np.float32) if tile.uncertainty is None else tile.uncertainty


def _gain(check: GuideCheck) -> NDArray[np.float64]:
    return np.array(math.nan if check.gain is None else check.gain)


def _check_of_model(model: Model) -> GuideCheck:
    return model.check


def _check_of_tile(prediction: TilePrediction) -> GuideCheck:
    return prediction.check


@dataclass(frozen=True, slots=True)
class _TileTask:
    """Prediction of a tile: everything but its pixels and the model."""

    tile: Tile
    source: Combine
    guide: Combine
    device: str
    method: Method
    valid_range: ValidRange | None
    uncertainty: bool

    def __call__(self, model: Model, source: list[Pixels], guide: list[Pixels]) -> TargetTile:
        """Return the tile's target; one torch thread on a CPU, because dask runs as many tasks as there are cores."""
        upsampler = upsampler_of(self.method, model, self.device, self.valid_range, uncertainty=self.uncertainty)
        return predict_tile(upsampler, self.tile, self.source(source), self.guide(guide))


@dataclass(frozen=True, slots=True)
class _PredictTask:
    """Fit and prediction of a tile: everything but its pixels and the model it begins with."""

    tile: Tile
    source: Combine
    guide: Combine
    guide_bands: tuple[str, ...]
    fits: TileFits

    def __call__(self, base: Model, source: list[Pixels], guide: list[Pixels]) -> TilePrediction:
        """Return the tile's prediction."""
        return self.fits.predict(base, self.tile, self.source(source), self.guide(guide), self.guide_bands)


@dataclass(frozen=True, slots=True)
class _FinishTask:
    """Blend of a tile: everything but its source and the predictions around it."""

    tile: Tile
    blended: BlendedTiling
    contributors: tuple[int, ...]
    source: Combine
    method: Method
    valid_range: ValidRange | None

    def __call__(self, source: list[Pixels], predictions: list[TilePrediction], check: GuideCheck) -> TargetTile:
        """Return the tile's target; one torch thread on a CPU, as for any tile."""
        by_index = dict(zip(self.contributors, predictions, strict=True))
        return finish_tile(
            self.blended,
            self.tile,
            self.source(source),
            {index: prediction.values for index, prediction in by_index.items()},
            by_index[self.tile.index].qa,
            method=self.method,
            check=check,
            valid_range=self.valid_range,
        )


@dataclass(frozen=True, slots=True)
class _Assembled:
    combine: Combine

    def __call__(self, parts: list[Pixels]) -> NDArray[np.float32]:
        return self.combine(parts).values


@dataclass
class _Reads:
    """Reading tasks of a target: one per window and file or array, shared by all tiles that need it."""

    name: str
    leaves: list[StoredRaster] = field(default_factory=list)

    @property
    def arrays(self) -> list[da.Array]:
        """Dask arrays whose chunks are read."""
        return [leaf.raw for leaf in self.leaves if isinstance(leaf, ArrayRaster)]

    def add(self, layer: Layer, read_plan: ReadPlan) -> list[Key]:
        """Add the tasks of a read plan and return their keys."""
        return [self._add(layer, leaf, window) for leaf, window in read_plan.reads]

    def _add(self, layer: Layer, leaf: StoredRaster, window: Window) -> Key:
        number = next((i for i, other in enumerate(self.leaves) if other is leaf), len(self.leaves))
        if number == len(self.leaves):
            self.leaves.append(leaf)
        key = (self.name, number, window.row, window.col, window.height, window.width)
        if key in layer:
            return key
        if isinstance(leaf, ArrayRaster):
            chunks = _Chunks.under(leaf.raw, window)
            blocks = [[(leaf.raw.name, band, *index) for band in chunks.bands] for index in chunks.indexes]
            layer[key] = (chunks.assembled, blocks, leaf.raw_nodata)
        else:
            layer[key] = (leaf.read, window)
        return key


@dataclass(frozen=True, slots=True)
class _Chunks:
    """Chunks of a (bands, h, w) dask array that a window needs."""

    bands: range
    indexes: tuple[tuple[int, int], ...]
    """Row and column of each chunk among the array's."""
    parts: tuple[tuple[tuple[slice, slice], tuple[slice, slice]], ...]
    """For each chunk: its slices, and the slices of the window that they fill."""
    shape: tuple[int, int]
    band_sizes: tuple[int, ...]

    @classmethod
    def under(cls, array: da.Array, window: Window) -> _Chunks:
        rows, columns = window.slices
        down, across = _overlaps(array.chunks[1], rows), _overlaps(array.chunks[2], columns)
        overlaps = list(product(down, across))
        return cls(
            bands=range(len(array.chunks[0])),
            indexes=tuple((y[0], x[0]) for y, x in overlaps),
            parts=tuple(((y[1], x[1]), (y[2], x[2])) for y, x in overlaps),
            shape=window.shape,
            band_sizes=tuple(array.chunks[0]),
        )

    def assembled(self, blocks: list[list[NDArray[Any]]], nodata: tuple[Nodata | None, ...]) -> Pixels:
        """Return the window's pixels; `blocks` holds, for each index, one chunk per range of bands."""
        values = np.empty((sum(self.band_sizes), *self.shape), np.float32)
        for chunks, (taken, placed) in zip(blocks, self.parts, strict=True):
            raw = np.concatenate([np.asarray(chunk)[:, *taken] for chunk in chunks])
            values[:, *placed] = with_nodata_as_nan(raw, nodata)
        return Pixels.masked(values)


def _overlaps(sizes: tuple[int, ...], wanted: slice) -> Iterator[tuple[int, slice, slice]]:
    """Yield each chunk along an axis that meets a slice: its index, its part, and the part of the slice it fills."""
    start = 0
    for index, size in enumerate(sizes):
        low, high = max(start, wanted.start), min(start + size, wanted.stop)
        if low < high:
            yield index, slice(low - start, high - start), slice(low - wanted.start, high - wanted.start)
        start += size
