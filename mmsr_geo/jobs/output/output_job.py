"""One output from its fit to its last tile: which tasks can run now, and what their results change; runs none."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from mmsr_geo.callbacks import Progress, labelled, no_progress
from mmsr_geo.engine.model import Model
from mmsr_geo.errors import ChangedInputError, MmsrWarning, OutputError, reason_of
from mmsr_geo.jobs.executors.base import Executor, Task, TaskResult
from mmsr_geo.jobs.log import NO_LOG, Log, log_traceback
from mmsr_geo.jobs.output.resume import resume_plan, take_over_tiles
from mmsr_geo.jobs.output.shared_fit import SharedFit
from mmsr_geo.jobs.output.tasks import FitTask, OutputSpec, TileTask, check_of_tiles, keep_model, kept_model
from mmsr_geo.jobs.tiles.tile_index import TileIndex, TileQueue
from mmsr_geo.jobs.tiles.tile_store import Stage, TileRecord, TileStore
from mmsr_geo.methods.base import Method
from mmsr_geo.network.guide_check import GuideCheck

FitStage = Literal["fit", "shared fit"]
"""Stage of a band's model: fitted for this output alone, or for all outputs that share it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A tile that was skipped, and the reason."""

    band: int
    index: int
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class TaskKey:
    """Identity of a task: its output, band, stage and tile."""

    output_job: OutputJob
    band: int
    stage: Stage | FitStage
    index: int = 0


@dataclass
class _Band:
    """One band of the output: its model and the state of its tiles."""

    number: int
    model: Model | None = None
    method: Method | None = None
    """Method that uses the model, if the model is shared."""
    check: GuideCheck = field(default_factory=GuideCheck)
    fitting: bool = False
    fit_start: float = 0.0
    task: object = None
    """Value that the tasks of its tiles share, as the executor returned it."""
    waiting: dict[Stage, TileQueue] = field(default_factory=dict)
    running: Counter[Stage] = field(default_factory=Counter)
    tiles: dict[Stage, TileIndex] = field(default_factory=dict)
    """Tiles that are done."""
    failed: dict[int, str] = field(default_factory=dict)
    """Reasons why tiles were skipped, by their numbers."""


@dataclass(eq=False)
class OutputJob:
    """One output that is being computed."""

    name: str
    spec: OutputSpec
    store: TileStore
    progress: Progress = no_progress
    keeps: bool = False
    """True if the store outlives this process, so that models and the plan are kept in it for a later run."""
    skips: bool = False
    """True if tiles that fail are skipped."""
    shared_fit: SharedFit | None = None
    """Models shared with other outputs; None: it has its own."""
    log: Log = NO_LOG
    computed: int = 0
    """Number of tiles that this process has computed."""
    fit_seconds: float = 0.0
    """Duration of its fits, from submission to result."""

    def __post_init__(self) -> None:
        """Take over the tiles of an earlier run."""
        self.began = time.monotonic()
        self._own_method = self.spec.method
        self._bands = [_Band(number) for number in range(1, len(self.spec.pairs) + 1)]
        resumed = resume_plan(self.spec, self.store, self.name) if self.keeps else None
        self.spec = resumed or self.spec
        count = len(self.spec.tiling)
        for band in self._bands:
            band.tiles = {stage: TileIndex(stage, band.number, count) for stage in self._stages}
        if resumed is not None:
            indexes = {(stage, band.number): index for band in self._bands for stage, index in band.tiles.items()}
            take_over_tiles(self.store, indexes, self.name, self.progress)
        for band in self._bands:
            band.waiting = {stage: TileQueue(count, index) for stage, index in band.tiles.items()}
            if "prediction" in band.waiting and not band.waiting["target"]:
                band.waiting["prediction"].clear()  # predictions of targets that are done are not needed

    @property
    def models(self) -> list[Model]:
        """The models of the bands that have one."""
        return [band.model for band in self._bands if band.model is not None]

    @property
    def checks(self) -> list[GuideCheck]:
        """The guide check of each band."""
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
        """Duration of its tiles, summed over workers and earlier runs."""
        return sum(index.total("seconds") for band in self._bands for index in band.tiles.values())

    @property
    def is_complete(self) -> bool:
        """True if no task is left."""
        return not self.is_running and all(
            band.model is not None and not any(band.waiting.values()) for band in self._bands
        )

    @property
    def is_running(self) -> bool:
        """True if one of its tasks is running."""
        return any(band.fitting or band.running.total() for band in self._bands)

    def targets(self, band: int) -> TileIndex:
        """Return the finished tiles of a band by their numbers."""
        return self._bands[band - 1].tiles["target"]

    def tasks(self, executor: Executor[TaskKey], most: int) -> list[Task[TaskKey]]:
        """Return tasks that can run now, at most `most`; they count as running from then on."""
        tasks: list[Task[TaskKey]] = []
        for band in self._bands:
            if len(tasks) >= most:
                break
            if band.model is None:
                if not band.fitting:
                    tasks += self._begin(band, executor)
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
            while waiting and len(tasks) < most:
                tasks.append(self._tile_task(band, stage, waiting.take()))
        return tasks

    def on_task_done(self, ended: TaskResult[TaskKey]) -> TileRecord | None:
        """Handle a task that has ended. Returns the record of its tile, if it has computed one.

        Raises the error that fails the whole output.
        """
        key = ended.task.key
        stage, number, band = key.stage, key.index, self._bands[key.band - 1]
        for warning in ended.warnings:
            warnings.warn(warning, MmsrWarning if not isinstance(warning, MmsrWarning) else type(warning), stacklevel=2)
        if stage == "fit" or stage == "shared fit":  # noqa: PLR1714  (mypy tells the stages apart so)
            self._on_fit_done(band, stage, ended)
            return None
        band.running[stage] -= 1
        record: TileRecord | None = ended.result
        if ended.error is not None:
            self._on_tile_failed(band, number, ended.error)
        elif record is not None:
            band.tiles[stage][number] = record
            self.computed += 1
        self._report(band, stage)
        if stage == "prediction" and not band.waiting["prediction"] and not band.running["prediction"]:
            self._on_all_predicted(band)
        return record

    def on_late_task(self, ended: TaskResult[TaskKey]) -> TileRecord | None:
        """Handle a task that ended after this output failed: other outputs may need the fit, a later run the tile."""
        if ended.task.key.stage == "shared fit" and self.shared_fit is not None:
            with suppress(OutputError):  # if it cannot be kept, another output fits it again
                self.shared_fit.end(ended.task.key.band, ended.result, ended.error)
        return ended.result if isinstance(ended.result, TileRecord) else None

    def recompute_tile(self, band: int, index: int) -> None:
        """Put a tile whose file is damaged back into the queue."""
        state = self._bands[band - 1]
        del state.tiles["target"][index]
        state.waiting["target"].add(index)

    @property
    def _stages(self) -> tuple[Stage, ...]:
        return ("target",) if self.spec.method.tile_fits is None else ("prediction", "target")

    def _stage(self, band: _Band) -> Stage | None:
        """Return the stage whose tiles can run now: blending waits for all predictions."""
        if band.waiting.get("prediction"):
            return "prediction"
        return "target" if band.waiting["target"] and not band.running["prediction"] else None

    def _begin(self, band: _Band, executor: Executor[TaskKey]) -> list[Task[TaskKey]]:
        """Use a model that exists, or return the task that fits it."""
        number, method = band.number, self.spec.method
        shared = self.shared_fit
        if self.keeps and (model := kept_model(self.store, number)) is not None:
            if shared is not None and shared.name != self.name:
                self._use_shared_model(band, shared.model(number) or model)
            self._set_model(band, model)
            self._log_fit(band, "model reused from an earlier run")
            return []
        stage: FitStage = "fit"
        pair = self.spec.pairs[number - 1]
        if shared is not None:
            shared.check_bands(self.name, len(self._bands))
            model = shared.model(number)
            if model is None:
                if not shared.begin(number):
                    return []
                pair, method, stage = shared.pairs[number - 1], shared.method, "shared fit"
            elif shared.name == self.name:
                self._keep_model(band, model)
                self._log_fit(band, "shared model is fitted")
                return []
            else:
                method = self._use_shared_model(band, model)
        band.fitting, band.fit_start = True, time.monotonic()
        fit = FitTask(pair, method, looked_at_guides=number > 1, uncertainty=self.spec.output.uncertainty)
        task = executor.share(fit, f"{self.name}-{number}-fit")
        return [Task(TaskKey(self, number, stage), "fit", task, "fit", progress=self._labelled(band))]

    def _on_fit_done(self, band: _Band, stage: FitStage, ended: TaskResult[TaskKey]) -> None:
        band.fitting = False
        seconds = time.monotonic() - band.fit_start
        self.fit_seconds += seconds
        if stage == "shared fit" and self.shared_fit is not None:
            self.shared_fit.end(band.number, ended.result, ended.error)
        if ended.error is not None:
            raise ended.error
        if stage == "fit":
            self._keep_model(band, ended.result)
            self._log_fit(band, f"fit done in {seconds:.1f} s")

    def _use_shared_model(self, band: _Band, model: Model) -> Method:
        """Predict a band with the model of another output; the output's tags describe that method."""
        band.method = self._own_method.reuse(model)
        if band.number == 1:
            self.spec = replace(self.spec, method=band.method)
        return band.method

    def _keep_model(self, band: _Band, model: Model) -> None:
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
            self._on_all_predicted(band)

    def _on_all_predicted(self, band: _Band) -> None:
        """Combine the guide checks of the tiles, and skip targets whose predictions are missing.

        The tasks that follow share another value, which has the combined guide check.
        """
        fits, pair = self.spec.method.tile_fits, self.spec.pairs[band.number - 1]
        if fits is None or band.model is None:
            return
        band.check = fits.check(band.model, check_of_tiles(list(band.tiles["prediction"].values())), pair)
        band.task = None
        self._report(band, "target")
        failed = set(band.failed)
        for number in list(band.waiting["target"]) if failed else []:
            if missing := failed.intersection(self._contributors(band, number)):
                band.waiting["target"].leave(number)
                self._skip(band, number, f"the adjacent tile {min(missing)} failed")

    def _contributors(self, band: _Band, number: int) -> Sequence[int]:
        """Return the tiles whose predictions are blended into a tile."""
        fits = self.spec.method.tile_fits
        if fits is None:
            return ()
        blended = fits.blended(self.spec.pairs[band.number - 1], self.spec.tiling)
        return blended.contributors(blended.target(number).read)

    def _tile_task(self, band: _Band, stage: Stage, number: int) -> Task[TaskKey]:
        key = TaskKey(self, band.number, stage, number)
        band.running[stage] += 1
        if stage == "prediction":
            return Task(key, "fit-tile", band.task, "predict", (number,))
        contributors = self._contributors(band, number)
        if not contributors:
            return Task(key, "predict", band.task, "target", (number,))
        predictions = tuple(band.tiles["prediction"][contributor] for contributor in contributors)
        return Task(key, "blend", band.task, "target", (number, predictions))

    def _on_tile_failed(self, band: _Band, number: int, error: Exception) -> None:
        if not self.skips or isinstance(error, OutputError | ChangedInputError):
            raise error  # these concern more than one tile
        reason = reason_of(error)
        known = reason in band.failed.values()
        self._skip(band, number, reason)
        if not known:
            log_traceback(self.log, error)

    def _skip(self, band: _Band, number: int, reason: str) -> None:
        if number not in band.failed:
            band.failed[number] = reason
            self.log.warning("%stile %d failed and is skipped: %s", self._label(band), number, reason)

    def _log_fit(self, band: _Band, event: str) -> None:
        check = f": {band.check.sentence}" if band.check.gain is not None else ""
        self.log.info("%s%s%s", self._label(band), event, check)

    def _report(self, band: _Band, stage: Stage) -> None:
        target_stage = "predict" if self.spec.method.tile_fits is None else "blend"
        done, total = len(band.tiles[stage]) + len(band.failed), len(self.spec.tiling)
        self._labelled(band)("fit tiles" if stage == "prediction" else target_stage, min(done, total), total)

    def _labelled(self, band: _Band) -> Progress:
        return labelled(self.progress, self._label(band))

    def _label(self, band: _Band) -> str:
        return f"band {band.number} of {len(self._bands)}: " if len(self._bands) > 1 else ""
