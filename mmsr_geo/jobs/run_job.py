"""A job run from its first pair to its last: what is done, what failed, what is left; opens no raster itself."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from mmsr_geo._version import __version__
from mmsr_geo.callbacks import CallersErrors, Progress, no_progress
from mmsr_geo.errors import JobError, MmsrError, OutputError, reason_of, template_of
from mmsr_geo.jobs.executors.base import Executor
from mmsr_geo.jobs.fingerprint import key_of, tiles_key_of, with_reference_scene, work_folder
from mmsr_geo.jobs.job import Entry, Job
from mmsr_geo.jobs.journal import Journal, JournalEntry
from mmsr_geo.jobs.log import Log, LoggedWarning, log_path, log_traceback, open_log
from mmsr_geo.jobs.output.assemble import check_room, finish
from mmsr_geo.jobs.output.outcome import OutputResult
from mmsr_geo.jobs.output.output_job import OutputJob, TaskKey
from mmsr_geo.jobs.output.scheduler import Begin, run_outputs
from mmsr_geo.jobs.output.shared_fit import SharedFit
from mmsr_geo.jobs.output.tasks import OutputSpec
from mmsr_geo.jobs.status import JobStatus, pair_status, status_of
from mmsr_geo.jobs.tiles.tile_store import TileStore, store_at
from mmsr_geo.raster.write.destination import Address, ZarrGroupPath, check_output
from mmsr_geo.raster.write.object_store import ObjectUrl
from mmsr_geo.spelling import option, spelled

Open = Callable[[Entry, bool], OutputSpec]
"""Function that opens the rasters of a pair; its second argument is whether existing outputs may be replaced."""
FAILURES_KEPT = 100
"""Failed tiles of a pair that the journal lists one by one."""


def run_job(  # noqa: PLR0913  (how a job is to be run)
    job: Job,
    open_pair: Open,
    executor: Executor[TaskKey],
    *,
    where: str = "",
    restart: bool = False,
    overwrite: bool = False,
    progress: Callable[[Entry, int, int], Progress] = lambda _entry, _done, _total: no_progress,
    on_pair_end: Callable[[Entry, JournalEntry], None] = lambda _entry, _line: None,
    afterwards: Callable[[], None] = lambda: None,
) -> JobStatus:
    """Compute all pairs that are not done, and return the state of the job.

    A pair that fails is recorded, also by an unforeseen error, whose traceback goes into the log. The others continue
    if the job says `on_error = "skip"`. An exception of `progress` or `on_pair_end` ends the job. What was done before
    stays done.

    Args:
        job: The job.
        open_pair: Opens the rasters of a pair.
        executor: Where the tasks run.
        where: Place of the executor, for the log: "in this process".
        restart: Compute all pairs again.
        overwrite: Replace existing outputs that this job has not written. Its own outputs, by the paths in its journal,
            are always replaced.
        progress: Called with a pair, the number of pairs before it and the number of all; returns the pair's progress.
        on_pair_end: Called with each pair that is done, incomplete or failed, and its line of the journal.
        afterwards: Called when nothing is left to do, and when a failed pair ends the job.

    Raises:
        JobError: Another process runs the job, or a pair failed and the job stops at errors.
    """
    journal = Journal.of(job.path)
    with journal.held(), open_log(job.path) as logger:
        if restart:
            journal.append(JournalEntry("", "", "restart"))
            for entry in job.entries:
                store_at(work_folder(job, entry)).remove()
            store_at(f"{job.work}/models").remove()
        status = status_of(job)
        waiting = [pair.entry for pair in status.pairs if pair.state != "done"]
        before = (
            "all pairs again" if restart else f"{status.count('done')} of {len(status.pairs)} pairs were done before"
        )
        logger.info("job started %s by mmsr_geo %s: %s", where or "here", __version__, before)
        running = _Running(
            job, journal, open_pair, overwrite, progress, on_pair_end, len(waiting), journal.written_outputs(), logger
        )
        begins = [running.beginning(number, entry) for number, entry in enumerate(waiting)]
        with _logged_end(logger):
            try:
                run_outputs(iter(begins), executor, running.finish, running.failed)
                running.tidy()
            except MmsrError:
                afterwards()
                raise
            afterwards()
            status = status_of(job)
            logger.info("%s", status.sentence)
        return status


@contextmanager
def _logged_end(logger: logging.Logger) -> Iterator[None]:
    """Log how a job ended, and after how long."""
    began, reason, level = time.monotonic(), "", logging.INFO
    try:
        yield
    except BaseException as error:
        reason, level = f": {type(error).__name__} {template_of(error)}".rstrip(), logging.ERROR
        raise
    finally:
        logger.log(level, "job ended after %.1f s%s", time.monotonic() - began, reason)


@dataclass
class _Running:
    """A job that is running."""

    job: Job
    journal: Journal
    open_pair: Open
    overwrite: bool
    progress: Callable[[Entry, int, int], Progress]
    on_pair_end: Callable[[Entry, JournalEntry], None]
    total: int
    written: set[str]
    """Outputs that this job has written, by their paths in the journal."""
    logger: logging.Logger

    def __post_init__(self) -> None:
        self._entries: dict[OutputJob, tuple[Entry, str]] = {}
        """The pair of each running output, and its key before anything of it was read."""
        self._shared: dict[str, SharedFit] = {}
        self._callers = CallersErrors()
        self.on_pair_end = self._callers.noted(self.on_pair_end)

    def beginning(self, number: int, entry: Entry) -> Begin:
        """Return the function that begins a pair, called when there is room for its tasks."""

        def begin() -> OutputJob | None:
            began = time.monotonic()
            try:
                return self._begun(number, entry)
            except Exception as error:  # noqa: BLE001  (whatever a pair raises is that pair's failure)
                self._callers.pass_on(error)
                self._record_failure(entry, time.monotonic() - began, error)
                return None

        return begin

    def finish(self, output_job: OutputJob) -> None:
        """Write the outputs of a pair whose tiles are done, record it and remove its tiles."""
        entry, key = self._entries[output_job]
        began = time.monotonic()
        if output_job.failures and not any(
            len(output_job.targets(band)) for band in range(1, len(output_job.spec.pairs) + 1)
        ):
            first = output_job.failures[0]
            msg = f"all {len(output_job.failures)} tiles failed; tile {first.index}: {first.message}"
            raise JobError(msg)
        outcome = finish(output_job)
        if outcome is None:  # damaged tiles are computed again first
            return
        stages = {"fit": output_job.fit_seconds, "tiles": output_job.tile_seconds, "write": time.monotonic() - began}
        took = time.monotonic() - output_job.began
        outputs = tuple(_in_record(path, self.job) for path in _outputs(entry))
        state: Literal["done", "incomplete"] = "incomplete" if outcome.failures else "done"
        message = ""
        if outcome.failures:
            count, first = len(outcome.failures), outcome.failures[0]
            tiles = "1 tile failed and has" if count == 1 else f"{count} tiles failed and have"
            message = f"{tiles} no data; tile {first.index}: {first.message}"
            warnings.warn(f"{entry.name}: {message}", LoggedWarning, stacklevel=2)
        facts = _facts(outcome, stages)
        line = JournalEntry(entry.name, key, state, took, spelled(message, "job"), facts=facts, outputs=outputs)
        self.journal.append(line)
        log = self._log(entry)
        if state == "done":
            log.info("pair done in %.1f s: %d tiles, scale %s", took, outcome.tiles, outcome.scale)
            self._remove(output_job.store)
        else:
            log.warning("pair incomplete after %.1f s: %s", took, message)
        self.on_pair_end(entry, line)
        del self._entries[output_job]

    def failed(self, output_job: OutputJob, error: Exception) -> None:
        """Record the failure of a pair; raise unless the job continues without that pair."""
        self._callers.pass_on(error)
        entry, _ = self._entries.pop(output_job)
        self._record_failure(entry, time.monotonic() - output_job.began, error)

    def tidy(self) -> None:
        """Remove the tiles and models that no pair needs any more, and nothing else in the work folder."""
        last = self.journal.last()
        if all(pair_status(self.job, entry, last.get(entry.name)).state == "done" for entry in self.job.entries):
            for kept in ("tiles", "models"):
                self._remove(store_at(f"{self.job.work}/{kept}"))
            if "://" not in self.job.work:
                with suppress(OSError):  # not empty: something else is in it
                    Path(self.job.work).rmdir()

    def _remove(self, store: TileStore) -> None:
        """Remove files that are no longer needed; a failure is logged and does not concern the outputs."""
        try:
            store.remove()
        except OutputError as error:
            self.logger.warning("files that are no longer needed could not be removed: %s", template_of(error))

    def _begun(self, number: int, entry: Entry) -> OutputJob:
        _make_room(entry)
        key, tiles_key = self._key(entry), self._tiles_key(entry)
        outputs = {_in_record(path, self.job): path for path in _outputs(entry)}
        existing = [name for name, path in outputs.items() if path.exists()]
        foreign = [name for name in existing if name not in self.written]
        own = tuple(name for name in outputs if name not in foreign)
        self.journal.append(JournalEntry(entry.name, key, "begun", outputs=own))
        for name in foreign:
            check_output(outputs[name], overwrite=self.overwrite)
        spec = self.open_pair(entry, self.overwrite or bool(existing))
        check_room(spec)
        shown = self._callers.noted(self._callers.noted(self.progress)(entry, number, self.total))
        store = store_at(f"{work_folder(self.job, entry)}/{tiles_key}")
        store_at(work_folder(self.job, entry)).remove_others(tiles_key)
        shared, log = self._shared_fit(entry, spec), self._log(entry)
        if shared is not None and len(shared.pairs) == len(spec.pairs):  # another number is refused later
            pairs = zip(spec.pairs, shared.pairs, strict=True)
            spec = replace(spec, pairs=tuple(pair.with_classes_of(first.guide.bands) for pair, first in pairs))
        log.info("pair started: %s", entry.source)
        output_job = OutputJob(
            entry.name, spec, store, shown, keeps=True, skips=self.job.on_error == "skip", shared_fit=shared, log=log
        )
        if reused := sum(len(output_job.targets(band)) for band in range(1, len(spec.pairs) + 1)):
            log.info("%d of %d tiles reused from an earlier run", reused, len(output_job.spec.tiling) * len(spec.pairs))
        self._entries[output_job] = entry, key
        return output_job

    def _record_failure(self, entry: Entry, took: float, error: Exception) -> None:
        reason = failure_of(error, self.job)
        line = JournalEntry(entry.name, self._key(entry), "failed", took, spelled(reason, "job"))
        self.journal.append(line)
        self._log(entry).error("pair failed after %.1f s: %s", took, reason)
        log_traceback(self._log(entry), error)
        self.on_pair_end(entry, line)
        if self.job.on_error == "stop":
            raise stopped_by(entry, reason) from error
        warnings.warn(f"{entry.name} failed: {reason}", LoggedWarning, stacklevel=2)

    def _log(self, entry: Entry) -> Log:
        return logging.LoggerAdapter(self.logger, {"pair": entry.name})

    def _key(self, entry: Entry) -> str:
        return with_reference_scene(self.job, entry, key_of(entry))

    def _tiles_key(self, entry: Entry) -> str:
        return with_reference_scene(self.job, entry, tiles_key_of(entry))

    def _shared_fit(self, entry: Entry, spec: OutputSpec) -> SharedFit | None:
        reference = self.job.reference_scene_of(entry)
        if reference is None:
            return None
        if reference.name not in self._shared:
            folder = f"{self.job.work}/models/{quote(reference.name, safe='')}-{tiles_key_of(reference)}"
            shared = spec if reference is entry else self.open_pair(reference, True)  # noqa: FBT003  (nothing is written)
            self._shared[reference.name] = SharedFit(reference.name, shared.pairs, shared.method, store_at(folder))
        return self._shared[reference.name]


def failure_of(error: Exception, job: Job) -> str:
    """Return why a pair failed; of an unforeseen error also where its traceback is."""
    if isinstance(error, MmsrError):
        return error.template
    return f"{reason_of(error)} (unforeseen: {log_path(job.path).name} has the traceback to report it with)"


def unforeseen(error: Exception, job: Job, entry: Entry) -> JobError:
    """Log the traceback of a pair's unforeseen error outside a run, and return the error to report."""
    reason = failure_of(error, job)
    with open_log(job.path) as logger:
        log = logging.LoggerAdapter(logger, {"pair": entry.name})
        log.error("pair cannot be planned: %s", reason)
        log_traceback(log, error)
    return stopped_by(entry, reason) if job.on_error == "stop" else JobError(reason)


def stopped_by(entry: Entry, reason: str) -> JobError:
    """Return the error of a job that stops because a pair failed."""
    return JobError(f"{entry.name}: {reason}; fix it and run the job again, or skip it ({option('on_error', 'skip')})")


def _outputs(entry: Entry) -> tuple[Address, ...]:
    return (entry.output,) if entry.qa is None else (entry.output, entry.qa)


def _make_room(entry: Entry) -> None:
    """Make the folders of the outputs; raises OutputError for places where no output can be written."""
    places = [output.store if isinstance(output, ZarrGroupPath) else output for output in _outputs(entry)]
    for folder in [place.parent for place in places if isinstance(place, Path)]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = (
                f"the folder {folder} cannot be created ({error.strerror}): choose another folder for output and qa in "
                "the job file, or remove what is in its place"
            )
            raise OutputError(msg) from error
    for path in _outputs(entry):
        check_output(path, overwrite=True)  # whether it can be reached at all


def _in_record(output: Address, job: Job) -> str:
    """Return an output's path as the journal has it.

    Relative to the folder of the job file, so that both can be moved together; absolute on another drive of Windows.
    """
    if isinstance(output, ZarrGroupPath):
        return f"{_in_record(output.store, job)}/{output.group}".rstrip("/")
    if isinstance(output, ObjectUrl):
        return str(output)
    path = output.parent.resolve() / output.name
    try:
        return os.path.relpath(path, job.path.absolute().parent.resolve())
    except ValueError:
        return str(path)


def _facts(outcome: OutputResult, stages: Mapping[str, float]) -> dict[str, Any]:
    return {
        "scale": outcome.scale,
        "shape": list(outcome.shape_yx),
        "tiles": outcome.tiles,
        "tiles_failed": len(outcome.failures),
        "failures": [
            {"band": tile.band, "index": tile.index, "message": spelled(tile.message, "job")}
            for tile in outcome.failures[:FAILURES_KEPT]
        ],
        "stage_seconds": {stage: round(seconds, 3) for stage, seconds in stages.items()},
        "guide_gain": [check.gain for check in outcome.checks],
        "guide_check": [check.result for check in outcome.checks],
        "guide_alignment": [model.guide_alignment for model in outcome.models],
        "measurement": [model.measurement for model in outcome.models],
        "flag_shares": {str(flag.name).lower(): round(share, 6) for flag, share in outcome.flag_shares.items()},
        "consistency_rmse": list(outcome.consistency_rmse),
        "uncertainty": list(outcome.uncertainty),
    }
