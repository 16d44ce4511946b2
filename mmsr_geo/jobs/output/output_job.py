"""One output's way from fit to last tile: which tasks can be done now, what came of them; runs none itself."""

from __future__ import annotations

import json
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from mmsr_geo.callbacks import Progress, labelled, no_progress
from mmsr_geo.engine.model import Model
from mmsr_geo.engine.pair import Pair
from mmsr_geo.errors import ChangedInputError, JobError, MmsrError, MmsrWarning, OutputError
from mmsr_geo.jobs.executors.base import Executor, Task, TaskResult
from mmsr_geo.jobs.log import NO_LOG, Log
from mmsr_geo.jobs.output.tasks import (
    FitTask,
    OutputSpec,
    TileTask,
    at_tile_size,
    check_of_tiles,
    keep_model,
    kept_model,
)
from mmsr_geo.jobs.tiles.tile_file import DamagedTileError, TilePixels
from mmsr_geo.jobs.tiles.tile_index import TileIndex, TileQueue
from mmsr_geo.jobs.tiles.tile_store import FolderStore, Stage, TileRecord, TileStore
from mmsr_geo.machine import cores
from mmsr_geo.methods.source import Method
from mmsr_geo.network.guide_check import GuideCheck

PLAN = "plan.json"
_CHECKED_TOGETHER, _CHECKED_AT_ONCE = 64, 4
"""Tiles of an earlier process that are looked at between two reports, and side by side."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A tile that was skipped, and why."""

    band: int
    index: int
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class TaskKey:
    """Which task of which output."""

    output_job: OutputJob
    band: int
    stage: Stage | Literal["fit", "shared fit"]
    index: int = 0


@dataclass
class _Band:
    """A band of the output: its model, then its tiles."""

    number: int
    model: Model | None = None
    method: Method | None = None
    """What the model is used by, where it is another output's."""
    check: GuideCheck = field(default_factory=GuideCheck)
    fitting: bool = False
    fit_began: float = 0.0
    task: object = None
    """What its tiles' tasks share, in the pool's terms."""
    waiting: dict[Stage, TileQueue] = field(default_factory=dict)
    running: Counter[Stage] = field(default_factory=Counter)
    made: dict[Stage, TileIndex] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)


@dataclass(eq=False)
class SharedFit:
    """A model that several outputs have in common: fitted to one of them, kept beside the job."""

    name: str
    """Of the output that it is fitted to."""
    pairs: tuple[Pair, ...]
    method: Method
    store: TileStore
    models: dict[int, Model] = field(default_factory=dict)
    fitting: set[int] = field(default_factory=set)
    failed: dict[int, Exception] = field(default_factory=dict)
    """Why a band's fit failed: it is not tried again by each of them."""

    def model(self, band: int) -> Model | None:
        """Return the model of a band, or None where it is still to be fitted."""
        if band not in self.models and (model := kept_model(self.store, band)) is not None:
            self.models[band] = model
        return self.models.get(band)

    def set_model(self, band: int, model: Model) -> None:
        """Keep a model that was fitted."""
        keep_model(self.store, band, model)
        self.models[band] = model


@dataclass(eq=False)
class OutputJob:
    """One output's work under way."""

    name: str
    spec: OutputSpec
    store: TileStore
    progress: Progress = no_progress
    keeps: bool = False
    """Whether the store outlives this process: what a later one needs to go on is kept in it."""
    skips: bool = False
    """Whether a tile that fails is left out."""
    shared_fit: SharedFit | None = None
    """Where its model comes from, if not from a fit of its own."""
    log: Log = NO_LOG
    computed: int = 0
    """Tiles that were computed here, not taken over."""
    fit_seconds: float = 0.0
    """What its fits took, each from its call to its outcome."""

    def __post_init__(self) -> None:
        """Take over what an earlier process has left."""
        self.began = time.monotonic()
        self._given = self.spec.method
        self._bands = [_Band(number) for number in range(1, len(self.spec.pairs) + 1)]
        goes_on = self.keeps and self._resume()
        tiles = len(self.spec.tiling)
        for band in self._bands:
            band.made = {stage: TileIndex(stage, band.number, tiles) for stage in self._stages}
        if goes_on:
            self._take_over()
        for band in self._bands:
            band.waiting = {stage: TileQueue(tiles, made) for stage, made in band.made.items()}
            if "prediction" in band.waiting and not band.waiting["target"]:
                band.waiting["prediction"].clear()  # they may have gone since

    @property
    def models(self) -> list[Model]:
        """Each band's."""
        return [band.model for band in self._bands if band.model is not None]

    @property
    def checks(self) -> list[GuideCheck]:
        """What is known of the guide, for each band."""
        return [band.check for band in self._bands]

    @property
    def failures(self) -> list[Failure]:
        """The tiles that were skipped."""
        return [
            Failure(band.number, index, message)
            for band in self._bands
            for index, message in sorted(band.failed.items())
        ]

    @property
    def tile_seconds(self) -> float:
        """What its tiles took, added up over the workers and earlier processes."""
        return sum(made.total("seconds") for band in self._bands for made in band.made.values())

    @property
    def is_complete(self) -> bool:
        """Whether no task is left."""
        return not self.is_running and all(
            band.model is not None and not any(band.waiting.values()) for band in self._bands
        )

    @property
    def is_running(self) -> bool:
        """Whether a task of it is under way."""
        return any(band.fitting or band.running.total() for band in self._bands)

    def targets(self, band: int) -> TileIndex:
        """Return a band's finished tiles by index."""
        return self._bands[band - 1].made["target"]

    def tasks(self, executor: Executor[TaskKey], most: int) -> list[Task[TaskKey]]:
        """Return tasks that can be done now, so many at most; they count as running from here on."""
        found: list[Task[TaskKey]] = []
        for band in self._bands:
            if len(found) >= most:
                break
            if band.model is None:
                if not band.fitting:
                    found += self._begin(band, executor)
                if band.model is None:
                    continue
            stage = self._stage(band)
            if stage is None:
                continue
            if band.task is None:
                name = f"{self.name}-{band.number}"
                spec = self.spec if band.method is None else replace(self.spec, method=band.method)
                band.task = executor.share(TileTask(spec, band.number, band.model, self.store, band.check), name)
            waiting = band.waiting[stage]
            while waiting and len(found) < most:
                found.append(self._tile_call(band, stage, waiting.take()))
        return found

    def on_task_done(self, ended: TaskResult[TaskKey]) -> TileRecord | None:
        """Take what came of a task, and return the tile if it was one; raises what the whole output failed of."""
        key = ended.task.key
        stage, index, band = key.stage, key.index, self._bands[key.band - 1]
        for warning in ended.warnings:
            warnings.warn(warning, MmsrWarning if not isinstance(warning, MmsrWarning) else type(warning), stacklevel=2)
        if stage == "fit" or stage == "shared fit":  # noqa: PLR1714  (mypy tells the stages apart so)
            band.fitting = False
            took = time.monotonic() - band.fit_began
            self.fit_seconds += took
            if stage == "shared fit":
                self._settle_shared(ended)
            if ended.error is not None:
                raise ended.error
            if stage == "fit":
                self._fitted(band, ended.result)
                self._log_fit(band, f"fit done in {took:.1f} s")
            return None
        band.running[stage] -= 1
        made: TileRecord | None = ended.result
        if ended.error is not None:
            self._failed(band, index, ended.error)
        elif made is not None:
            band.made[stage][index] = made
            self.computed += 1
        self._report(band, stage)
        if stage == "prediction" and not band.waiting["prediction"] and not band.running["prediction"]:
            self._predicted(band)
        return made

    def on_late_task(self, ended: TaskResult[TaskKey]) -> TileRecord | None:
        """Take what came of a task once this output has failed: others may need a fit, a later process the tile."""
        if ended.task.key.stage == "shared fit":
            with suppress(OutputError):  # it cannot be kept: another output's course fits it again
                self._settle_shared(ended)
        return ended.result if isinstance(ended.result, TileRecord) else None

    def _settle_shared(self, ended: TaskResult[TaskKey]) -> None:
        band, shared = ended.task.key.band, self.shared_fit
        if shared is None:
            return
        shared.fitting.discard(band)
        if ended.error is None:
            shared.set_model(band, ended.result)
        else:
            shared.failed[band] = ended.error

    def recompute_tile(self, band: int, index: int) -> None:
        """Have a tile computed again: its file turned out damaged."""
        of = self._bands[band - 1]
        del of.made["target"][index]
        of.waiting["target"].add(index)

    @property
    def _stages(self) -> tuple[Stage, ...]:
        return ("target",) if self.spec.method.tile_fits is None else ("prediction", "target")

    def _stage(self, band: _Band) -> Stage | None:
        """Return the stage whose tiles can be done now: what is to be blended waits for all predictions."""
        if band.waiting.get("prediction"):
            return "prediction"
        return "target" if band.waiting["target"] and not band.running["prediction"] else None

    def _begin(self, band: _Band, executor: Executor[TaskKey]) -> list[Task[TaskKey]]:
        """Take over a band's model, or return the call that fits it."""
        if self.keeps and (model := kept_model(self.store, band.number)) is not None:
            if self.shared_fit is not None and self.shared_fit.name != self.name:
                self._use_shared_model(band, self.shared_fit.model(band.number) or model)
            self._set_model(band, model)
            self._log_fit(band, "fit taken over from before")
            return []
        number, method = band.number, self.spec.method
        stage: Literal["fit", "shared fit"] = "fit"
        pair = self.spec.pairs[number - 1]
        if (shared := self.shared_fit) is not None:
            self._check_bands(shared)
            model = shared.model(number)
            if model is None:
                if number in shared.failed:
                    raise shared.failed[number]
                if number in shared.fitting:
                    return []
                shared.fitting.add(number)
                pair, method, stage = shared.pairs[number - 1], shared.method, "shared fit"
            elif shared.name == self.name:
                self._fitted(band, model)
                self._log_fit(band, "fit shared with others done")
                return []
            else:
                method = self._use_shared_model(band, model)
        band.fitting, band.fit_began = True, time.monotonic()
        asked = FitTask(pair, method, looked_at_guides=number > 1, uncertainty=self.spec.output.uncertainty)
        task = executor.share(asked, f"{self.name}-{number}-fit")
        return [Task(TaskKey(self, number, stage), "fit", task, "fit", progress=self._labelled(band))]

    def _use_shared_model(self, band: _Band, model: Model) -> Method:
        """Have a band predicted with another output's model, as what is recorded of this one says."""
        band.method = self._given.reuse(model)
        if band.number == 1:
            self.spec = replace(self.spec, method=band.method)
        return band.method

    def _check_bands(self, shared: SharedFit) -> None:
        here, there = len(self._bands), len(shared.pairs)
        if here != there:
            raise JobError(
                f"{self.name} has {here} bands and {shared.name}, whose model it is to share, {there}: give it a model "
                f"of "
                'its own (model = "per-pair"), or a job'
            )

    def _fitted(self, band: _Band, model: Model) -> None:
        if self.keeps:
            keep_model(self.store, band.number, model)
        self._set_model(band, model)

    def _set_model(self, band: _Band, model: Model) -> None:
        band.model, band.check = model, model.check
        for stage in self._stages:
            if band.waiting[stage]:
                self._report(band, stage)
                break
        if "prediction" in band.waiting and not band.waiting["prediction"]:
            self._predicted(band)

    def _predicted(self, band: _Band) -> None:
        """Take together what the tiles' fits found out, and leave out the targets that need a prediction there is not.

        From here on the tiles' tasks are others: they know what is known of the guide.
        """
        fits, pair = self.spec.method.tile_fits, self.spec.pairs[band.number - 1]
        if fits is None or band.model is None:
            return
        band.check = fits.check(band.model, check_of_tiles(list(band.made["prediction"].values())), pair)
        band.task = None
        self._report(band, "target")
        lost = set(band.failed)
        for index in list(band.waiting["target"]) if lost else []:
            if missing := lost.intersection(self._near(band, index)):
                band.waiting["target"].leave(index)
                self._skip(band, index, f"tile {min(missing)} beside it failed")

    def _near(self, band: _Band, index: int) -> Sequence[int]:
        fits = self.spec.method.tile_fits
        if fits is None:
            return ()
        blended = fits.blended(self.spec.pairs[band.number - 1], self.spec.tiling)
        return blended.contributors(blended.target(index).read)

    def _tile_call(self, band: _Band, stage: Stage, index: int) -> Task[TaskKey]:
        near = tuple(band.made["prediction"][each] for each in self._near(band, index)) if stage == "target" else ()
        arguments = (index, near) if near else (index,)
        method = "predict" if stage == "prediction" else "target"
        band.running[stage] += 1
        said = {"prediction": "fit-tile", "target": "predict" if not near else "blend"}[stage]
        return Task(TaskKey(self, band.number, stage, index), said, band.task, method, arguments)

    def _failed(self, band: _Band, index: int, error: Exception) -> None:
        if not self.skips or isinstance(error, OutputError | ChangedInputError):
            raise error  # what is wrong with one tile only may be skipped
        reason = str(error) or type(error).__name__
        self._skip(band, index, reason if isinstance(error, MmsrError) else f"{type(error).__name__}: {reason}")

    def _skip(self, band: _Band, index: int, reason: str) -> None:
        if index not in band.failed:
            band.failed[index] = reason
            self.log.warning("%stile %d failed and is skipped: %s", self._label(band), index, reason)

    def _log_fit(self, band: _Band, said: str) -> None:
        verdict = f": {band.check.sentence}" if band.check.regions else ""
        self.log.info("%s%s%s", self._label(band), said, verdict)

    def _report(self, band: _Band, stage: Stage) -> None:
        blends = self.spec.method.tile_fits is not None
        said = "fit tiles" if stage == "prediction" else "blend" if blends else "predict"
        done = len(band.made[stage]) + len(band.failed)
        self._labelled(band)(said, min(done, len(self.spec.tiling)), len(self.spec.tiling))

    def _labelled(self, band: _Band) -> Progress:
        return labelled(self.progress, self._label(band))

    def _label(self, band: _Band) -> str:
        return f"band {band.number} of {len(self._bands)}: " if len(self._bands) > 1 else ""

    @property
    def _plan(self) -> bytes:
        tiling = self.spec.tiling
        return json.dumps({"tile_yx": tiling.tile_yx, "tiles": len(tiling) * len(self.spec.pairs)}).encode()

    def _resume(self) -> bool:
        """Whether an earlier process has begun; its tile size is taken over."""
        plan = self.store.get(PLAN)
        if plan is not None:
            try:
                down, across = json.loads(plan)["tile_yx"]
            except (ValueError, KeyError, TypeError):
                said = f"{self.name}: the plan of its tiles is damaged: all are computed again"
                warnings.warn(said, MmsrWarning, stacklevel=2)
                self.store.remove()
            else:
                self.spec = at_tile_size(self.spec, (down, across))
                return True
        self.store.put(PLAN, self._plan)
        return False

    def _take_over(self) -> None:
        """Take in the tiles that are there; each is looked at where the store is no object store."""
        for made in self.store.lines():
            self._bands[made.band - 1].made[made.stage][made.index] = made
        if not isinstance(self.store, FolderStore):
            return
        done, total = 0, sum(len(ledger) for band in self._bands for ledger in band.made.values())
        with ThreadPoolExecutor(min(cores(), _CHECKED_AT_ONCE)) as threads:
            for ledger in (ledger for band in self._bands for ledger in band.made.values()):
                there = list(ledger)
                for start in range(0, len(there), _CHECKED_TOGETHER):
                    self.progress("check", done, total)
                    some = [ledger[index] for index in there[start : start + _CHECKED_TOGETHER]]
                    for made, whole in zip(some, threads.map(partial(is_whole, self.store), some), strict=True):
                        if not whole:
                            self._discard_damaged(ledger, made)
                    done += len(some)
        if total:
            self.progress("check", total, total)

    def _discard_damaged(self, ledger: TileIndex, made: TileRecord) -> None:
        """Have a tile computed again whose file is not what was kept."""
        del ledger[made.index]
        if self.store.holds(made):
            said = f"{self.name}: the file of tile {made.index} is damaged ({made.name}): it is computed again"
            warnings.warn(said, MmsrWarning, stacklevel=2)


def is_whole(store: TileStore, made: TileRecord) -> bool:
    """Whether a tile's file holds the pixels that were kept."""
    try:
        content = store.get(made.name)
        return content is not None and TilePixels.decoded(content).digests == made.digests
    except (DamagedTileError, OutputError):
        return False
