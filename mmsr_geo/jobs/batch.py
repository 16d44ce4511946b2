"""Many pairs, one after another: what is done is not done again, what fails is told; knows no raster itself."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmsr_geo._version import __version__
from mmsr_geo.errors import JobError, MmsrError
from mmsr_geo.jobs.jobfile import Entry, Job
from mmsr_geo.jobs.local import Outcome
from mmsr_geo.jobs.record import Line, Record
from mmsr_geo.network.fitting import Progress, no_progress

Upsample = Callable[[Entry, bool, Progress], Outcome]
"""Does one pair, whole or not at all; the second says whether outputs that exist may be replaced."""
Standing = Literal["done", "failed", "changed", "waiting"]


@dataclass(frozen=True, slots=True)
class PairStatus:
    """Where one pair stands."""

    entry: Entry
    standing: Standing
    """`changed`: it was done, and its inputs or options are others now."""
    line: Line | None = None
    """How it ended last."""


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
        """What the others will take at this rate; None where none is done."""
        left = len(self.pairs) - self.count("done")
        return None if self.seconds_a_pair is None else left * self.seconds_a_pair

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
                    **({} if pair.line is None else pair.line.facts),
                }
                for pair in self.pairs
            ],
            "done": self.count("done"),
            "failed": self.count("failed"),
            "left": len(self.pairs) - self.count("done"),
            "seconds_a_pair": self.seconds_a_pair,
        }


def key_of(entry: Entry) -> str:
    """Return a hash of what decides a pair's outcome: its inputs' state, its options, this version."""
    files = [entry.source, *entry.guides]
    files += [
        str(entry.options[name]) for name in ("source_mask", "guide_mask", "net", "like") if name in entry.options
    ]
    told = [__version__, str(entry.output), str(entry.qa), dict(entry.options), [_state(file) for file in files]]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


def status_of(job: Job) -> JobStatus:
    """Return where each pair of a job stands, by its record, its outputs and its inputs' state."""
    last = Record.beside(job.path).last()
    return JobStatus(tuple(_standing(entry, last.get(entry.name)) for entry in job.entries))


def run_job(
    job: Job,
    upsample: Upsample,
    *,
    restart: bool = False,
    overwrite: bool = False,
    progress: Callable[[Entry, int, int], Progress] = lambda _entry, _done, _total: no_progress,
) -> JobStatus:
    """Do what is not done yet, and return where the job stands then.

    restart: do all of it again. overwrite: replace outputs that exist though this job has not made them; its own are
    replaced anyway. progress: given a pair, how many came before it and how many there are, returns the pair's own.
    A pair that fails for a reason that a person can mend is recorded, and the others go on if the job says so. Raises
    JobError where it does not; whatever else is raised ends the job, and what was done before stays done.
    """
    record = Record.beside(job.path)
    made = {line.name for line in record.lines() if line.state == "done"}
    if restart:
        record.forget()
    waiting = [pair.entry for pair in status_of(job).pairs if pair.standing != "done"]
    for done, entry in enumerate(waiting):
        began = time.monotonic()
        key = key_of(entry)
        entry.output.parent.mkdir(parents=True, exist_ok=True)
        if entry.qa is not None:
            entry.qa.parent.mkdir(parents=True, exist_ok=True)
        try:
            may_replace = overwrite or entry.name in made
            outcome = upsample(entry, may_replace, progress(entry, done, len(waiting)))
        except MmsrError as error:
            record.append(Line(entry.name, key, "failed", time.monotonic() - began, str(error)))
            if job.on_error == "stop":
                msg = f'{entry.name}: {error}; mend it and call batch again, or write on_error = "skip" in {job.path}'
                raise JobError(msg) from error
            continue
        record.append(Line(entry.name, key, "done", time.monotonic() - began, facts=_facts(outcome)))
    return status_of(job)


def _standing(entry: Entry, line: Line | None) -> PairStatus:
    if line is None:
        return PairStatus(entry, "waiting")
    if line.key != key_of(entry):
        return PairStatus(entry, "changed" if line.state == "done" else "waiting", line)
    if line.state == "failed":
        return PairStatus(entry, "failed", line)
    there = entry.output.exists() and (entry.qa is None or entry.qa.exists())
    return PairStatus(entry, "done" if there else "waiting", line)


def _facts(outcome: Outcome) -> dict[str, Any]:
    return {
        "scale": outcome.scale,
        "shape": list(outcome.shape_yx),
        "tiles": outcome.tiles,
        "guide_gain": [check.gain for check in outcome.checks],
        "guide_verdict": [check.verdict for check in outcome.checks],
        "flag_shares": {str(flag.name).lower(): round(share, 6) for flag, share in outcome.flag_shares.items()},
        "consistency_rmse": list(outcome.consistency_rmse),
    }


def _state(file: str) -> Sequence[object]:
    """Return what tells that a file is another: its size and its time of change; of what is no local file, its name."""
    try:
        state = Path(file).stat()
    except OSError:
        return [file]
    return [file, state.st_size, state.st_mtime_ns]
