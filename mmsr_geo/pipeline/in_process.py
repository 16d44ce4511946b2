"""One raster's work in this process: a model for all tiles, or one a tile; yields targets, writes none."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.engine.blending import BlendedTiling
from mmsr_geo.engine.model import Model
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.tile_upsampler import TargetTile
from mmsr_geo.geometry import Tile, Tiling
from mmsr_geo.methods.apply import upsampler_of
from mmsr_geo.methods.source import Method, TileFits
from mmsr_geo.network.guide_check import GuideCheck
from mmsr_geo.pipeline.tile_tasks import finish_tile, predict_tile

Values = NDArray[np.float32]


class Run(Protocol):
    """A raster's targets, tile by tile."""

    @property
    def check(self) -> GuideCheck:
        """What is known of the guide, once all targets were taken."""

    def targets(self) -> Iterator[tuple[Tile, TargetTile]]:
        """Yield each tile and the target of its core."""


def run_of(  # noqa: PLR0913  (all that a run depends on)
    pair: Pair,
    method: Method,
    model: Model,
    tiling: Tiling,
    *,
    device: str = "auto",
    threads: int = 1,
    progress: Progress = no_progress,
    scratch: Path | None = None,
    uncertainty: bool = False,
) -> Run:
    """Return the run of a method whose model is there already.

    threads: torch threads on a CPU, or tiles fitted side by side; scratch: a folder for predictions that wait for their
    neighbours' (the system's, if None); uncertain: tell how far the targets may be off, of one model for all tiles.
    """
    if method.tile_fits is not None:
        return _Blended(pair, method, method.tile_fits, model, tiling, threads, progress, scratch)
    return _Tiled(pair, method, model, tiling, device, threads, progress, uncertainty)


def whole_target(run: Run, pair: Pair) -> Values:
    """Return all of a run's targets in one array, (H, W) of the pair's part."""
    return whole_of(run, pair)[0]


def whole_of(run: Run, pair: Pair) -> tuple[Values, Values]:
    """Return all of a run's targets, and their uncertainty, NaN where it is not told: (H, W) of the pair's part."""
    shape = pair.part.refined(pair.scale).shape
    target, half = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    for tile, made in run.targets():
        place = tile.core.relative_to(pair.part).refined(pair.scale).slices
        target[place] = made.values
        if made.uncertainty is not None:
            half[place] = made.uncertainty
    return target, half


@dataclass
class _Tiled:
    """A model for all tiles."""

    pair: Pair
    method: Method
    model: Model
    tiling: Tiling
    device: str
    threads: int
    progress: Progress
    uncertainty: bool

    @property
    def check(self) -> GuideCheck:
        return self.model.check

    def targets(self) -> Iterator[tuple[Tile, TargetTile]]:
        limits = self.pair.valid_range
        upsampler = upsampler_of(self.method, self.model, self.device, limits, uncertainty=self.uncertainty)
        for tile in self.tiling:
            self.progress("predict", tile.index, len(self.tiling))
            yield tile, predict_tile(upsampler, tile, *self.pair.read(tile.read), self.threads)
        self.progress("predict", len(self.tiling), len(self.tiling))


@dataclass
class _Blended:
    """A model a tile, whose predictions wait on the disk for their neighbours'."""

    pair: Pair
    method: Method
    fits: TileFits
    model: Model
    tiling: Tiling
    threads: int
    progress: Progress
    scratch: Path | None
    check: GuideCheck = field(default_factory=GuideCheck)

    def targets(self) -> Iterator[tuple[Tile, TargetTile]]:
        blended = self.fits.blended(self.pair, self.tiling)
        with tempfile.TemporaryDirectory(prefix="mmsr_geo_", dir=self.scratch) as folder:
            checks = self._predict_all(blended, Path(folder))
            self.check = self.fits.check(self.model, checks, self.pair)
            for tile in blended.targets:
                self.progress("blend", tile.index, len(blended))
                near = {i: np.load(_prediction(Path(folder), i)) for i in blended.contributors(tile.read)}
                flags = np.load(_flags(Path(folder), tile.index))
                source = self.pair.source.read(tile.read)
                target = finish_tile(
                    blended,
                    tile,
                    source,
                    near,
                    flags,
                    method=self.method,
                    check=self.check,
                    valid_range=self.pair.valid_range,
                    threads=self.threads,
                )
                yield tile, target
        self.progress("blend", len(blended), len(blended))

    def _predict_all(self, blended: BlendedTiling, folder: Path) -> list[GuideCheck]:
        """Fit and predict the tiles side by side, a thread each; what ends one of them, or the wait, ends all."""
        stopped = Event()

        def watch(stage: str, done: int, total: int) -> None:  # noqa: ARG001  (a progress)
            if stopped.is_set():
                raise InterruptedError

        def predict(tile: Tile) -> GuideCheck:
            source, guide = self.pair.read(tile.read)
            made = self.fits.predict(self.model, tile, source, guide, self.pair.guide.bands, watch)
            np.save(_prediction(folder, tile.index), made.values)
            np.save(_flags(folder, tile.index), made.qa)
            return made.check

        with ThreadPoolExecutor(self.threads) as pool:
            try:
                waiting = {pool.submit(predict, tile): tile.index for tile in blended.predictions}
                checks: dict[int, GuideCheck] = {}
                self.progress("fit tiles", 0, len(waiting))
                for future in as_completed(waiting):
                    checks[waiting[future]] = future.result()
                    self.progress("fit tiles", len(checks), len(waiting))
            except BaseException:
                stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [checks[index] for index in sorted(checks)]


def _prediction(folder: Path, index: int) -> Path:
    return folder / f"{index}.npy"


def _flags(folder: Path, index: int) -> Path:
    return folder / f"{index}_qa.npy"
