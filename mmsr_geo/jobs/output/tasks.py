"""What one output takes, as values, and its tasks as pure functions: a fit, a tile; knows no pool and no order."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
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
from mmsr_geo.methods.source import Method, TileFits
from mmsr_geo.methods.stored import model_from_bytes, model_to_bytes
from mmsr_geo.network.guide_check import GuideCheck, Region
from mmsr_geo.pipeline.tile_tasks import finish_tile, fit_pair, predict_tile
from mmsr_geo.raster.write.destination import Address
from mmsr_geo.raster.write.encoding import Encoding

MODEL_FILE = "model-{band}.mmsr"
"""Name of a band's model in the store."""


@dataclass(frozen=True, slots=True)
class Output:
    """What is written."""

    path: Address
    qa: Address | None = None
    """Where the flags go; None: nowhere, or into the Zarr store with the target."""
    encoding: Encoding = field(default_factory=Encoding)
    like: GeoBox | None = None
    """The grid that the target is brought onto in the end; None: it stays on its own."""
    overwrite: bool = False
    variable: str = "target"
    """The target's name in a Zarr store."""
    uncertainty: bool = False
    """Whether the target's uncertainty is written with it."""


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One output, before it is made."""

    pairs: tuple[Pair, ...]
    """One a band, all on one grid."""
    method: Method
    tiling: Tiling
    output: Output
    device: str = "auto"
    threads: int = 1
    """Torch threads of a tile's task on a CPU; a fit has its own number, wherever it runs."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """How the rasters were taken, as JSON values, to be recorded."""

    @property
    def tile_storage(self) -> Encoding:
        """How tiles are kept: as the output has them, or as they are computed where they are warped once more."""
        return self.output.encoding if self.output.like is None else Encoding()

    @property
    def nodata(self) -> float:
        """What holes are stored as."""
        return self.output.encoding.nodata(self.pairs[0].source.nodata)

    @property
    def tile_nodata(self) -> float:
        """What holes are in the tiles' files."""
        return self.tile_storage.nodata(self.pairs[0].source.nodata if self.output.like is None else None)

    def place(self, index: int) -> Window:
        """Return where a tile's core lies in the target, in its pixels."""
        first = self.pairs[0]
        return self.tiling.core(index).relative_to(first.part).refined(first.scale)


@dataclass(frozen=True)
class FitTask:
    """The fit of one band, or the fetching of what was fitted before."""

    pair: Pair
    method: Method
    looked_at_guides: bool = False
    """Whether an earlier band's task has looked for undeclared nodata in them."""
    uncertainty: bool = False
    """Whether it is asked how far the targets may be off."""

    def fit(self, progress: Progress = no_progress) -> Model:
        """Return the model; warns of what looks like undeclared nodata, and where it does not know what is asked."""
        return fit_pair(
            self.pair, self.method, progress, uncertainty=self.uncertainty, check_guides=not self.looked_at_guides
        )


@dataclass(frozen=True)
class TileTask:
    """All tiles of one band: what they have in common, and each as a function of its index."""

    spec: OutputSpec
    band: int
    """From 1."""
    model: Model
    store: TileStore
    check: GuideCheck
    """What is known of the guide; of tiles with fits of their own, once all are made."""

    def predict(self, index: int, progress: Progress = no_progress) -> TileRecord:
        """Fit to a tile and keep what its model says of it, to be blended."""
        began = time.monotonic()
        tile = self._blended.prediction(index)
        source, guide = self._pair.read(tile.read)
        made = self._tile_fits.predict(self.model, tile, source, guide, self._pair.guide.bands, progress)
        qa = np.zeros(made.values.shape, np.uint8)
        qa[: made.qa.shape[0], : made.qa.shape[1]] = made.qa
        return self._kept("prediction", index, TilePixels(made.values, qa), began, regions=_numbers(made.check))

    def target(self, index: int, near: Sequence[TileRecord] = (), progress: Progress = no_progress) -> TileRecord:  # noqa: ARG002  (as all tasks)
        """Compute a tile's target and keep it; near: the predictions that reach into it, where tiles are blended."""
        began, pair = time.monotonic(), self._pair
        if self.spec.method.tile_fits is None:
            tile = self.spec.tiling.tile(index)
            made = predict_tile(self._upsampler, tile, *pair.read(tile.read), self.spec.threads)
        else:
            tile = self._blended.target(index)
            predictions = {each.index: self._prediction(each) for each in near}
            shape = self._blended.predicted(self.spec.tiling.core(index)).refined(pair.scale).shape
            made = finish_tile(
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
        stored, clipped = encoding.encode(made.values, self.spec.tile_nodata, tags)
        half, half_clipped = None, 0
        if made.uncertainty is not None:
            half, half_clipped = encoding.encode(made.uncertainty, self.spec.tile_nodata, tags.of_uncertainty())
        counts = {str(flag.name): int(np.count_nonzero(made.qa & flag)) for flag in Flag}
        valid = int(np.count_nonzero(~np.isnan(made.values)))
        return self._kept(
            "target",
            index,
            TilePixels(stored, made.qa, half),
            began,
            valid=valid,
            clipped=clipped,
            uncertainty_clipped=half_clipped,
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

    def _prediction(self, made: TileRecord) -> TilePixels:
        try:
            return TilePixels.decoded(self.store.get(made.name) or b"")
        except DamagedTileError as error:
            raise OutputError(
                f"the file of a prediction is damaged ({made.name}): call again, it is made anew"
            ) from error

    def _kept(self, stage: Stage, index: int, pixels: TilePixels, began: float, **facts: Any) -> TileRecord:  # noqa: ANN401  (of a tile)
        content = pixels.encoded()
        values, qa, *half = pixels.digests
        took, now = round(time.monotonic() - began, 3), round(time.time(), 3)
        facts |= {"uncertainty_digest": "".join(half), "seconds": took, "at": now}
        made = TileRecord(stage, self.band, index, values, qa, len(content), **facts)
        self.store.put_tile(made, content)
        return made


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


def check_of_tiles(made: Sequence[TileRecord]) -> list[GuideCheck]:
    """Return what the tiles' own fits found out about the guide, in their order."""
    return [GuideCheck(tuple(_region(each) for each in one.regions)) for one in sorted(made, key=lambda m: m.index)]


def at_tile_size(spec: OutputSpec, tile_yx: tuple[int, int]) -> OutputSpec:
    """Return the same work in tiles of that size, source pixels."""
    return replace(spec, tiling=replace(spec.tiling, tile_yx=tile_yx))


def _numbers(check: GuideCheck) -> tuple[tuple[float, ...], ...]:
    return tuple(
        (*_sides(region.window), region.validated_px, region.sum_squares, region.baseline_sum_squares)
        for region in check.regions
    )


def _sides(window: Window) -> tuple[int, int, int, int]:
    return window.row, window.col, window.height, window.width


def _region(numbers: Sequence[float]) -> Region:
    row, col, height, width, judged, model, smooth = numbers
    return Region(Window(int(row), int(col), int(height), int(width)), int(judged), model, smooth)
