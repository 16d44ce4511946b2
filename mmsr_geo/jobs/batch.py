"""Many pairs over one pool: what is done is not done again, what fails is told; opens no raster itself."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from mmsr_geo._version import __version__
from mmsr_geo.errors import JobError, MmsrError, OutputError
from mmsr_geo.jobs.course import PLAN, Course, SharedFit, TaskKey
from mmsr_geo.jobs.engine import Begin, run
from mmsr_geo.jobs.finishing import Outcome, check_room, finish
from mmsr_geo.jobs.jobfile import Entry, Job
from mmsr_geo.jobs.joblog import Log, LoggedWarning, log_beside
from mmsr_geo.jobs.pool import Pool
from mmsr_geo.jobs.record import Line, Record
from mmsr_geo.jobs.store import Made, TileStore, store_at
from mmsr_geo.jobs.work import Work
from mmsr_geo.network.fitting import Progress, no_progress
from mmsr_geo.raster.files import files_of
from mmsr_geo.raster.masking import path_and_bits
from mmsr_geo.raster.objects import Url
from mmsr_geo.raster.placing import Address, ZarrPlace, check_output

Open = Callable[[Entry, bool], Work]
"""Opens a pair's rasters; the second says whether outputs that exist may be replaced."""
Standing = Literal["done", "incomplete", "failed", "changed", "waiting", "begun"]
FAILURES_KEPT = 100
"""Of a pair's tiles that failed, how many the record tells each."""
_BEGIN_S = 10.0
"""What a process takes at most to begin with tiles."""
_BESIDE = (".aux.xml", ".msk", ".ovr")
"""Files of GDAL's beside a raster, which say what it holds: statistics and tags, its mask, its overviews."""


@dataclass(frozen=True, slots=True)
class PairStatus:
    """Where one pair stands."""

    entry: Entry
    standing: Standing
    """`changed`: it was done, and its inputs or options are others now; `incomplete`: written, tiles that failed left
    out; `begun`: tiles of it wait in the store."""
    line: Line | None = None
    """How it ended last."""
    tiles_done: int = 0
    """In the store, of a pair that is begun."""
    tiles: int | None = None
    """Of all; None where that is not known."""
    tiles_a_second: float | None = None
    """As the tiles in the store were made, the time between two runs left out."""
    last_tile_at: float | None = None
    """When the latest of them was made, in seconds since 1970."""

    @property
    def seconds_left(self) -> float | None:
        """What its tiles will take at their rate; None where there is none, or nothing is left."""
        if self.tiles is None or not self.tiles_a_second or self.standing == "done":
            return None
        return max(self.tiles - self.tiles_done, 0) / self.tiles_a_second


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Where a job stands."""

    pairs: tuple[PairStatus, ...]

    def count(self, standing: Standing) -> int:
        """Return how many pairs stand so."""
        return sum(pair.standing == standing for pair in self.pairs)

    @property
    def seconds_a_pair(self) -> float | None:
        """The mean over those that are done; None where none is."""
        took = [pair.line.seconds for pair in self.pairs if pair.standing == "done" and pair.line is not None]
        return sum(took) / len(took) if took else None

    @property
    def seconds_left(self) -> float | None:
        """What is left will take at these rates, one pair after another; None where they do not tell."""
        rates = [pair.seconds_left or self.seconds_a_pair for pair in self.pairs if pair.standing != "done"]
        known = [rate for rate in rates if rate is not None]
        return sum(known) if len(known) == len(rates) else None

    @property
    def sentence(self) -> str:
        """Count the pairs: 3 done, 1 failed, 2 left."""
        incomplete = self.count("incomplete")
        told = [f"{self.count('done')} done", *([f"{incomplete} incomplete"] if incomplete else [])]
        return ", ".join([*told, f"{self.count('failed')} failed", f"{len(self.pairs) - self.count('done')} left"])

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "pairs": [
                {
                    "name": pair.entry.name,
                    "source": pair.entry.source,
                    "guides": list(pair.entry.guides),
                    "output": str(pair.entry.output),
                    "standing": pair.standing,
                    "seconds": None if pair.line is None else pair.line.seconds,
                    "message": "" if pair.line is None else pair.line.message,
                    "tiles_done": pair.tiles_done,
                    "tiles_a_second": pair.tiles_a_second,
                    "last_tile_at": pair.last_tile_at,
                    **({} if pair.tiles is None else {"tiles": pair.tiles}),
                    **({} if pair.line is None else pair.line.facts),
                }
                for pair in self.pairs
            ],
            "done": self.count("done"),
            "incomplete": self.count("incomplete"),
            "failed": self.count("failed"),
            "left": len(self.pairs) - self.count("done"),
            "seconds_a_pair": self.seconds_a_pair,
            "seconds_left": self.seconds_left,
        }


def key_of(entry: Entry) -> str:
    """Return a hash of what decides a pair's outcome: its inputs' state, its options, where it goes, this version."""
    return _hash([str(entry.output), str(entry.qa), *_made_of(entry)])


def tiles_key_of(entry: Entry) -> str:
    """Return a hash of what decides its tiles: the same, wherever they go."""
    return _hash(_made_of(entry))


def status_of(job: Job) -> JobStatus:
    """Return where each pair of a job stands, by its record, its outputs, its inputs' state and the tiles there are."""
    last = Record.beside(job.path).last()
    return JobStatus(tuple(_counted(job, _standing(job, entry, last.get(entry.name))) for entry in job.entries))


def run_job(  # noqa: PLR0913  (how a job is to be run)
    job: Job,
    open_pair: Open,
    pool: Pool[TaskKey],
    *,
    where: str = "",
    restart: bool = False,
    overwrite: bool = False,
    progress: Callable[[Entry, int, int], Progress] = lambda _entry, _done, _total: no_progress,
    ended: Callable[[Entry, Line], None] = lambda _entry, _line: None,
    afterwards: Callable[[], None] = lambda: None,
) -> JobStatus:
    """Do what is not done yet, and return where the job stands then.

    where: of the pool, for the log. restart: do all of it again. overwrite: replace outputs that exist though this job
    has not made them; its own, by the paths in its record, are replaced anyway. progress: given a pair, how many came
    before it and how many there are, returns the pair's own. ended: called with each pair that is done, incomplete or
    failed, and the record's line of it. afterwards: called when all is done that can be, or a failure ends the job.
    A pair that fails for a reason that a person can mend is recorded, and the others go on if the job says so. Raises
    JobError where it does not; whatever else is raised ends the job, and what was done before stays done.
    """
    record = Record.beside(job.path)
    with record.held(), log_beside(job.path) as logger:
        if restart:
            record.append(Line("", "", "restart"))
            for entry in job.entries:
                store_at(_place(job, entry)).remove()
            store_at(f"{job.work}/nets").remove()
        status = status_of(job)
        waiting = [pair.entry for pair in status.pairs if pair.standing != "done"]
        said = "all pairs anew" if restart else f"{status.count('done')} of {len(status.pairs)} pairs done already"
        logger.info("job begun %s by mmsr_geo %s: %s", where or "here", __version__, said)
        running = _Running(job, record, open_pair, overwrite, progress, ended, len(waiting), record.made(), logger)
        begins = [running.beginning(number, entry) for number, entry in enumerate(waiting)]
        with _logged_end(logger):
            try:
                run(iter(begins), pool, running.finish, running.failed)
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
    """Say how a job ended, and after how long."""
    began, how, level = time.monotonic(), "", logging.INFO
    try:
        yield
    except BaseException as error:
        how, level = f": {type(error).__name__} {error}".rstrip(), logging.ERROR
        raise
    finally:
        logger.log(level, "job ended after %.1f s%s", time.monotonic() - began, how)


@dataclass
class _Running:
    """A job under way."""

    job: Job
    record: Record
    open_pair: Open
    overwrite: bool
    progress: Callable[[Entry, int, int], Progress]
    ended: Callable[[Entry, Line], None]
    total: int
    made: set[str]
    """The outputs that are this job's own, by their paths in the record."""
    logger: logging.Logger

    def __post_init__(self) -> None:
        self._entries: dict[Course, tuple[Entry, str]] = {}
        """Of what is under way the pair, and its key as it was before anything of it was read."""
        self._shared: dict[str, SharedFit] = {}

    def beginning(self, number: int, entry: Entry) -> Begin:
        """Return what begins a pair, when there is room for its tasks."""

        def begin() -> Course | None:
            began = time.monotonic()
            try:
                return self._begun(number, entry)
            except MmsrError as error:
                self._record_failure(entry, time.monotonic() - began, error)
                return None

        return begin

    def finish(self, course: Course) -> None:
        """Make a course's outputs; where that is done, say so, and let its tiles go."""
        entry, key = self._entries[course]
        began = time.monotonic()
        if course.failures and not any(len(course.targets(band)) for band in range(1, len(course.work.pairs) + 1)):
            first = course.failures[0]
            msg = f"none of its {len(course.failures)} tiles could be made; tile {first.index}: {first.message}"
            raise JobError(msg)
        outcome = finish(course)
        if outcome is None:
            return
        stages = {"fit": course.fit_seconds, "tiles": course.tile_seconds, "write": time.monotonic() - began}
        took = time.monotonic() - course.began
        outputs = tuple(_in_record(path, self.job) for path in _outputs(entry))
        state: Literal["done", "incomplete"] = "incomplete" if outcome.failures else "done"
        message = ""
        if outcome.failures:
            first = outcome.failures[0]
            message = f"{len(outcome.failures)} tiles failed and are holes; tile {first.index}: {first.message}"
            warnings.warn(f"{entry.name}: {message}", LoggedWarning, stacklevel=2)
        line = Line(entry.name, key, state, took, message, facts=_facts(outcome, stages), outputs=outputs)
        self.record.append(line)
        log = self._log(entry)
        if state == "done":
            log.info("pair done in %.1f s: %d tiles, scale %s", took, outcome.tiles, outcome.scale)
            self._remove(course.store)
        else:
            log.warning("pair incomplete after %.1f s: %s", took, message)
        self.ended(entry, line)
        del self._entries[course]

    def failed(self, course: Course, error: Exception) -> None:
        """Record it; raise unless the job goes on without that pair."""
        if not isinstance(error, MmsrError):
            raise error
        entry, _ = self._entries.pop(course)
        self._record_failure(entry, time.monotonic() - course.began, error)

    def tidy(self) -> None:
        """Remove what is left of tiles and nets where no pair has use for it; nothing else, whatever the folder is."""
        last = self.record.last()
        if all(_standing(self.job, entry, last.get(entry.name)).standing == "done" for entry in self.job.entries):
            for kept in ("tiles", "nets"):
                self._remove(store_at(f"{self.job.work}/{kept}"))
            if "://" not in self.job.work:
                with suppress(OSError):  # not empty: something else is in it
                    Path(self.job.work).rmdir()

    def _remove(self, store: TileStore) -> None:
        """Let go of what is no longer needed; where that fails nothing is wrong with what was made."""
        try:
            store.remove()
        except OutputError as error:
            self.logger.warning("what is no longer needed stays: %s", error)

    def _begun(self, number: int, entry: Entry) -> Course:
        _make_room(entry)
        key, tiles_key = self._key(entry), self._tiles_key(entry)
        outputs = {_in_record(path, self.job): path for path in _outputs(entry)}
        existing = [told for told, path in outputs.items() if path.exists()]
        foreign = [told for told in existing if told not in self.made]
        own = tuple(told for told in outputs if told not in foreign)
        self.record.append(Line(entry.name, key, "begun", outputs=own))
        for told in foreign:
            check_output(outputs[told], overwrite=self.overwrite)
        work = self.open_pair(entry, self.overwrite or bool(existing))
        check_room(work)
        shown = self.progress(entry, number, self.total)
        store = store_at(f"{_place(self.job, entry)}/{tiles_key}")
        store_at(_place(self.job, entry)).remove_others(tiles_key)
        shared, log = self._shared_fit(entry, work), self._log(entry)
        log.info("pair begun: %s", entry.source)
        course = Course(
            entry.name, work, store, shown, keeps=True, skips=self.job.on_error == "skip", shared_fit=shared, log=log
        )
        if taken := sum(len(course.targets(band)) for band in range(1, len(work.pairs) + 1)):
            log.info("%d of %d tiles taken over from before", taken, len(course.work.tiling) * len(work.pairs))
        self._entries[course] = entry, key
        return course

    def _record_failure(self, entry: Entry, took: float, error: MmsrError) -> None:
        line = Line(entry.name, self._key(entry), "failed", took, str(error))
        self.record.append(line)
        self._log(entry).error("pair failed after %.1f s: %s", took, error)
        self.ended(entry, line)
        if self.job.on_error == "stop":
            msg = f"{entry.name}: {error}; mend it and call again, or go on without it (--on-error skip, on_error=)"
            raise JobError(msg) from error
        warnings.warn(f"{entry.name} failed: {error}", LoggedWarning, stacklevel=2)

    def _log(self, entry: Entry) -> Log:
        return logging.LoggerAdapter(self.logger, {"pair": entry.name})

    def _key(self, entry: Entry) -> str:
        return _with_leader(self.job, entry, key_of(entry))

    def _tiles_key(self, entry: Entry) -> str:
        return _with_leader(self.job, entry, tiles_key_of(entry))

    def _shared_fit(self, entry: Entry, work: Work) -> SharedFit | None:
        leader = self.job.leader_of(entry)
        if leader is None:
            return None
        if leader.name not in self._shared:
            place = f"{self.job.work}/nets/{quote(leader.name, safe='')}-{tiles_key_of(leader)}"
            of = work if leader is entry else self.open_pair(leader, True)  # noqa: FBT003  (nothing is written)
            self._shared[leader.name] = SharedFit(leader.name, of.pairs, of.method, store_at(place))
        return self._shared[leader.name]


def _standing(job: Job, entry: Entry, line: Line | None) -> PairStatus:
    if line is None or line.state == "begun":
        return PairStatus(entry, "waiting")
    if line.key != _with_leader(job, entry, key_of(entry)):
        return PairStatus(entry, "changed" if line.state in {"done", "incomplete"} else "waiting", line)
    if line.state == "failed":
        return PairStatus(entry, "failed", line)
    there = entry.output.exists() and (entry.qa is None or entry.qa.exists())
    return PairStatus(entry, line.state if there else "waiting", line)  # type: ignore[arg-type]  # done or incomplete


def _counted(job: Job, pair: PairStatus) -> PairStatus:
    """Say how many tiles of a pair that is not done wait in the store."""
    if pair.standing == "done":
        return pair
    store = store_at(f"{_place(job, pair.entry)}/{_with_leader(job, pair.entry, tiles_key_of(pair.entry))}")
    made = [each for each in store.made().values() if each.stage == "target"]
    plan = store.get(PLAN)
    if plan is None:
        return pair
    try:
        tiles = int(json.loads(plan)["tiles"])
    except (ValueError, KeyError, TypeError):
        return pair
    standing: Standing = "begun" if pair.standing == "waiting" else pair.standing
    last = max((each.at for each in made), default=None)
    return replace(
        pair,
        standing=standing,
        tiles_done=len(made),
        tiles=tiles,
        tiles_a_second=_tiles_a_second(made),
        last_tile_at=last,
    )


def _tiles_a_second(made: Sequence[Made]) -> float | None:
    """Return the rate at which tiles came, over the time in which they were being made."""
    times = sorted(each.at for each in made)
    longest = max((each.seconds for each in made), default=0.0)
    # More than it takes to make two tiles and begin: in between, the job was stopped.
    gaps = [gap for gap in (after - before for before, after in pairwise(times)) if gap <= 2 * longest + _BEGIN_S]
    took = sum(gaps)
    return len(gaps) / took if took > 0 else None


def _with_leader(job: Job, entry: Entry, key: str) -> str:
    """Return a pair's key, its net's origin counted in where that is another pair."""
    leader = job.leader_of(entry)
    return key if leader is None or leader is entry else _hash([key, tiles_key_of(leader)])


def _place(job: Job, entry: Entry) -> str:
    """Return where a pair's tiles wait, of whatever state of its inputs."""
    return f"{job.work}/tiles/{quote(entry.name, safe='')}"


def _made_of(entry: Entry) -> list[object]:
    files = [entry.source, *entry.guides]
    for option in ("source_mask", "guide_mask", "net", "like"):
        given = entry.options.get(option)
        if isinstance(given, str):
            files.append(path_and_bits(given)[0] if option.endswith("_mask") else given)
    states = [[_state(file), *(_file_state(file + ending) for ending in _BESIDE)] for file in files]
    return [__version__, dict(entry.options), entry.net, states]


def _hash(told: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _outputs(entry: Entry) -> tuple[Address, ...]:
    return (entry.output,) if entry.qa is None else (entry.output, entry.qa)


def _make_room(entry: Entry) -> None:
    """Make the outputs' folders; raises OutputError for what can hold no output."""
    places = [output.store if isinstance(output, ZarrPlace) else output for output in _outputs(entry)]
    for folder in [place.parent for place in places if isinstance(place, Path)]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = (
                f"cannot make the folder {folder} ({error.strerror}): write another folder in the job file's output or "
                "qa, or make room for it"
            )
            raise OutputError(msg) from error
    for path in _outputs(entry):
        check_output(path, overwrite=True)  # whether it can be reached at all


def _in_record(output: Address, job: Job) -> str:
    """Return an output's path as the record has it: from the job's folder, so that it holds where that is moved."""
    if isinstance(output, ZarrPlace):
        return f"{_in_record(output.store, job)}/{output.group}".rstrip("/")
    if isinstance(output, Url):
        return str(output)
    return os.path.relpath(output.parent.resolve() / output.name, job.path.absolute().parent.resolve())


def _facts(outcome: Outcome, stages: Mapping[str, float]) -> dict[str, Any]:
    return {
        "scale": outcome.scale,
        "shape": list(outcome.shape_yx),
        "tiles": outcome.tiles,
        "tiles_failed": len(outcome.failures),
        "failures": [asdict(failure) for failure in outcome.failures[:FAILURES_KEPT]],
        "stage_seconds": {stage: round(seconds, 3) for stage, seconds in stages.items()},
        "guide_gain": [check.gain for check in outcome.checks],
        "guide_verdict": [check.verdict for check in outcome.checks],
        "flag_shares": {str(flag.name).lower(): round(share, 6) for flag, share in outcome.flag_shares.items()},
        "consistency_rmse": list(outcome.consistency_rmse),
        "uncertainty": list(outcome.uncertainty),
    }


def _state(file: str) -> Sequence[object]:
    """Return what tells that an input is another: sizes and times of change of the local files that it is read from.

    Of a URL its name alone.
    """
    state = _file_state(file)
    if len(state) > 1 and not file.lower().endswith(".vrt"):
        return state
    return [state, *(_file_state(member) for member in files_of(file) if member != file)]


def _file_state(file: str) -> list[object]:
    try:
        state = Path(file).stat()
    except (OSError, ValueError):
        return [file]
    return [file, state.st_size, state.st_mtime_ns]
