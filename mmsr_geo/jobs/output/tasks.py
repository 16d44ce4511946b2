"""One output as a value, and its tasks as functions: a fit, a prediction, a target; knows no executor and no order."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.engine.blending import BlendedTiling
from mmsr_geo.engine.flags import Flag
from mmsr_geo.engine.model import Model
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.tile_upsampler import Upsampler
from mmsr_geo.errors import ModelFileError, OutputError
from mmsr_geo.geometry import Tiling, Window
from mmsr_geo.jobs.tiles.tile_file import DamagedTileError, TilePixels
from mmsr_geo.jobs.tiles.tile_store import Stage, TileRecord, TileStore
from mmsr_geo.methods.apply import upsampler_of
from mmsr_geo.methods.base import Method, TileFits
from mmsr_geo.methods.stored import model_from_bytes, model_to_bytes
from mmsr_geo.network.guide_check import GuideCheck, Region
from mmsr_geo.pipeline.tile_tasks import finish_tile, fit_pair, predict_tile
from mmsr_geo.raster.write.destination import Address
from mmsr_geo.raster.write.encoding import Encoding

MODEL_FILE = "model-{band}.mmsr"
"""Name of a band's model in the store."""


@dataclass(frozen=True, slots=True)
class Output:
    """Files or the store of an output, and their encoding."""

    path: Address
    qa: Address | None = None
    """File of the QA flags; None: none, or the Zarr store of the target."""
    encoding: Encoding = field(default_factory=Encoding)
    like: GeoBox | None = None
    """Grid that the target is warped to at the end; None: it stays on its own grid."""
    overwrite: bool = False
    variable: str = "target"
    """Name of the target in a Zarr store."""
    uncertainty: bool = False
    """True if the uncertainty of the target is written with it."""
    coordinates: Mapping[str, xr.Variable] = field(default_factory=dict)
    """Coordinates of the bands in a Zarr store, such as time, along one dimension; empty: they are only numbered."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Attributes of the source that the target has in a Zarr store."""


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One output before it is computed: rasters, method, tiles and files."""

    pairs: tuple[Pair, ...]
    """One pair per band, all on one grid."""
    method: Method
    tiling: Tiling
    output: Output
    device: str = "auto"
    threads: int = 1
    """Torch threads of a tile's task on a CPU; a fit has its own number."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """Options of the inputs as JSON values, for the tags."""

    @property
    def tile_storage(self) -> Encoding:
        """Encoding of tile files: that of the output, or float32 if the target is warped at the end."""
        return self.output.encoding if self.output.like is None else Encoding()

    @property
    def nodata(self) -> float:
        """Stored value of nodata in the output."""
        return self.output.encoding.nodata(self.pairs[0].source.nodata)

    @property
    def tile_nodata(self) -> float:
        """Stored value of nodata in tile files."""
        return self.tile_storage.nodata(self.pairs[0].source.nodata if self.output.like is None else None)

    def target_window(self, index: int) -> Window:
        """Return the window of a tile's core in the target, in target pixels."""
        first = self.pairs[0]
        return self.tiling.core(index).relative_to(first.part).refined(first.scale)


@dataclass(frozen=True)
class FitTask:
    """Task that fits the model of one band, or gets the model that was fitted before."""

    pair: Pair
    method: Method
    looked_at_guides: bool = False
    """True if the task of an earlier band has looked for undeclared nodata in the guides."""
    uncertainty: bool = False
    """True if the uncertainty of the target is requested."""

    def fit(self, progress: Progress = no_progress) -> Model:
        """Return the model; warns about undeclared nodata, and about an uncertainty that is not calibrated."""
        return fit_pair(
            self.pair, self.method, progress, uncertainty=self.uncertainty, check_guides=not self.looked_at_guides
        )


@dataclass(frozen=True)
class TileTask:
    """Tasks of all tiles of one band: what they share, and each as a function of the tile's number."""

    spec: OutputSpec
    band: int
    """Number of the band, from 1."""
    model: Model
    store: TileStore
    check: GuideCheck
    """Guide check of the model; of models per tile, the checks of all tiles together."""

    def predict(self, index: int, progress: Progress = no_progress) -> TileRecord:
        """Fit a model to a tile, and keep its prediction to be blended later."""
        began = time.monotonic()
        tile = self._blended.prediction(index)
        source, guide = self._pair.read(tile.read)
        prediction = self._tile_fits.predict(self.model, tile, source, guide, self._pair.guide.bands, progress)
        qa = np.zeros(prediction.values.shape, np.uint8)
        qa[: prediction.qa.shape[0], : prediction.qa.shape[1]] = prediction.qa
        return self._kept(
            "prediction", index, TilePixels(prediction.values, qa), began, regions=_numbers(prediction.check)
        )

    def target(self, index: int, near: Sequence[TileRecord] = (), progress: Progress = no_progress) -> TileRecord:  # noqa: ARG002  (as all tasks)
        """Compute the target of a tile and keep it.

        Args:
            index: Number of the tile.
            near: Records of the predictions that are blended into it; none without models per tile.
            progress: Not called.
        """
        began, pair = time.monotonic(), self._pair
        if self.spec.method.tile_fits is None:
            tile = self.spec.tiling.tile(index)
            target = predict_tile(self._upsampler, tile, *pair.read(tile.read), self.spec.threads)
        else:
            tile = self._blended.target(index)
            predictions = {record.index: self._prediction(record) for record in near}
            shape = self._blended.predicted(self.spec.tiling.core(index)).refined(pair.scale).shape
            target = finish_tile(
                self._blended,
                tile,
                pair.source.read(tile.read),
                {number: prediction.values for number, prediction in predictions.items()},
                predictions[index].qa[: shape[0], : shape[1]],
                method=self.spec.method,
                check=self.check,
                valid_range=pair.valid_range,
                threads=self.spec.threads,
            )
        encoding, tags = self.spec.tile_storage, pair.source.band_tags[0]
        stored, clipped = encoding.encode(target.values, self.spec.tile_nodata, tags)
        uncertainty, uncertainty_clipped = None, 0
        if target.uncertainty is not None:
            uncertainty, uncertainty_clipped = encoding.encode(
                target.uncertainty, self.spec.tile_nodata, tags.of_uncertainty()
            )
        counts = {str(flag.name): int(np.count_nonzero(target.qa & flag)) for flag in Flag}
        valid = int(np.count_nonzero(~np.isnan(target.values)))
        return self._kept(
            "target",
            index,
            TilePixels(stored, target.qa, uncertainty),
            began,
            valid=valid,
            clipped=clipped,
            uncertainty_clipped=uncertainty_clipped,
            flags={name: count for name, count in counts.items() if count},
        )

    @property
    def _pair(self) -> Pair:
        return self.spec.pairs[self.band - 1]

    @cached_property
    def _upsampler(self) -> Upsampler:
        spec, limits = self.spec, self._pair.valid_range
        return upsampler_of(spec.method, self.model, spec.device, limits, uncertainty=spec.output.uncertainty)

    @property
    def _tile_fits(self) -> TileFits:
        if self.spec.method.tile_fits is None:
            raise TypeError(type(self.spec.method))
        return self.spec.method.tile_fits

    @cached_property
    def _blended(self) -> BlendedTiling:
        return self._tile_fits.blended(self._pair, self.spec.tiling)

    def _prediction(self, record: TileRecord) -> TilePixels:
        try:
            return TilePixels.decoded(self.store.get(record.name) or b"")
        except DamagedTileError as error:
            raise OutputError(
                f"the file of a prediction is damaged ({record.name}): run the job again, and it is computed again"
            ) from error

    def _kept(self, stage: Stage, index: int, pixels: TilePixels, began: float, **facts: Any) -> TileRecord:  # noqa: ANN401  (of a tile)
        content = pixels.encoded()
        values, qa, *uncertainty = pixels.digests
        seconds, now = round(time.monotonic() - began, 3), round(time.time(), 3)
        facts |= {"uncertainty_digest": "".join(uncertainty), "seconds": seconds, "at": now}
        record = TileRecord(stage, self.band, index, values, qa, len(content), **facts)
        self.store.put_tile(record, content)
        return record


def keep_model(store: TileStore, band: int, model: Model) -> None:
    """Keep a fitted model next to the tiles."""
    store.put(MODEL_FILE.format(band=band), model_to_bytes(model))


def kept_model(store: TileStore, band: int) -> Model | None:
    """Return the model that was kept; None if there is none or it is damaged. Nothing in the file can run code."""
    content = store.get(MODEL_FILE.format(band=band))
    try:
        return None if content is None else model_from_bytes(content)
    except ModelFileError:
        return None


def check_of_tiles(records: Sequence[TileRecord]) -> list[GuideCheck]:
    """Return the guide checks of the tiles' own fits, in the order of the tiles."""
    return [GuideCheck(tuple(map(_region, record.regions))) for record in sorted(records, key=lambda r: r.index)]


def at_tile_size(spec: OutputSpec, tile_yx: tuple[int, int]) -> OutputSpec:
    """Return the same output with tiles of another size, (height, width) in source pixels."""
    return replace(spec, tiling=replace(spec.tiling, tile_yx=tile_yx))


def _numbers(check: GuideCheck) -> tuple[tuple[float, ...], ...]:
    return tuple(
        (*_sides(region.window), region.validated_px, region.sum_squares, region.baseline_sum_squares)
        for region in check.regions
    )


def _sides(window: Window) -> tuple[int, int, int, int]:
    return window.row, window.col, window.height, window.width


def _region(numbers: Sequence[float]) -> Region:
    row, col, height, width, validated_px, model, baseline = numbers
    return Region(Window(int(row), int(col), int(height), int(width)), int(validated_px), model, baseline)
