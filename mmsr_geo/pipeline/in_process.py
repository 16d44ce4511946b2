"""Run of one pair in this process, with one model for all tiles or one per tile; yields targets, writes no output."""

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

from mmsr_geo.callbacks import Progress, cancellable, no_progress
from mmsr_geo.engine.blending import BlendedTiling
from mmsr_geo.engine.model import Model
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.tile_upsampler import TargetTile
from mmsr_geo.geometry import Tile, Tiling
from mmsr_geo.methods.apply import upsampler_of
from mmsr_geo.methods.base import Method, TileFits
from mmsr_geo.network.guide_check import GuideCheck
from mmsr_geo.pipeline.tile_tasks import finish_tile, predict_tile

Values = NDArray[np.float32]


class Run(Protocol):
    """Targets of a pair, tile by tile."""

    @property
    def check(self) -> GuideCheck:
        """Guide check of the pair, complete after the last target."""

    def targets(self) -> Iterator[tuple[Tile, TargetTile]]:
        """Yield each tile with the target of its core."""


def run_of(  # noqa: PLR0913  (everything that a run depends on)
    pair: Pair,
    method: Method,
    model: Model,
    tiling: Tiling,
    *,
    device: str = "auto",
    threads: int = 1,
    concurrent_fits: int = 1,
    progress: Progress = no_progress,
    scratch: Path | None = None,
    uncertainty: bool = False,
) -> Run:
    """Return the run of a method with the pair's model.

    Args:
        pair: Source and guide.
        method: The method that the model comes from.
        model: The pair's model, as `fit_pair` gives it.
        tiling: The tiles.
        device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:N"; models per tile have their method's.
        threads: Torch threads of a prediction on a CPU.
        concurrent_fits: Number of tiles fitted at the same time, of a method with a model per tile.
        progress: Called with the stages of the run.
        scratch: Folder for predictions that wait to be blended; None: the system's.
        uncertainty: Compute the uncertainty of the targets, of a method with one model for all tiles.
    """
    if method.tile_fits is not None:
        return _Blended(pair, method, method.tile_fits, model, tiling, threads, concurrent_fits, progress, scratch)
    return _Tiled(pair, method, model, tiling, device, threads, progress, uncertainty)


def whole_target(run: Run, pair: Pair) -> Values:
    """Return the target of a run as one array, (H, W) of the pair's part."""
    return whole_of(run, pair)[0]


def whole_of(run: Run, pair: Pair) -> tuple[Values, Values]:
    """Return the target of a run and its uncertainty (NaN where not known), both (H, W) of the pair's part."""
    shape = pair.part.refined(pair.scale).shape
    target, half = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    for tile, tile_target in run.targets():
        slices = tile.core.relative_to(pair.part).refined(pair.scale).slices
        target[slices] = tile_target.values
        if tile_target.uncertainty is not None:
            half[slices] = tile_target.uncertainty
    return target, half


@dataclass
class _Tiled:
    """Run with one model for all tiles."""

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
    """Run with a model per tile, whose predictions wait on disk to be blended."""

    pair: Pair
    method: Method
    fits: TileFits
    model: Model
    tiling: Tiling
    threads: int
    concurrent_fits: int
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
        """Fit and predict the tiles, one thread per tile; an error in one of them, or an interrupt, cancels all."""
        stopped = Event()

        def predict(tile: Tile) -> GuideCheck:
            source, guide = self.pair.read(tile.read)
            bands, progress = self.pair.guide.bands, cancellable(stopped)
            prediction = self.fits.predict(self.model, tile, source, guide, bands, progress)
            np.save(_prediction(folder, tile.index), prediction.values)
            np.save(_flags(folder, tile.index), prediction.qa)
            return prediction.check

        with ThreadPoolExecutor(self.concurrent_fits) as pool:
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
