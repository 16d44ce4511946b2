"""Many pairs, one after another: what is done is not done again, what fails is told; knows no raster itself."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmsr_geo._version import __version__
from mmsr_geo.errors import JobError, MmsrError, OutputError
from mmsr_geo.jobs.jobfile import Entry, Job
from mmsr_geo.jobs.local import Outcome
from mmsr_geo.jobs.record import Line, Record
from mmsr_geo.network.fitting import Progress, no_progress
from mmsr_geo.raster.masking import path_and_bits
from mmsr_geo.raster.writing import check_output

Upsample = Callable[[Entry, bool, Progress], Outcome]
"""Does one pair, whole or not at all; the second says whether outputs that exist may be replaced."""
Standing = Literal["done", "failed", "changed", "waiting"]
_BESIDE = (".aux.xml", ".msk", ".ovr")
"""Files of GDAL's beside a raster, which say what it holds: statistics and tags, its mask, its overviews."""


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
    for option in ("source_mask", "guide_mask", "net", "like"):
        given = entry.options.get(option)
        if isinstance(given, str):
            files.append(path_and_bits(given)[0] if option.endswith("_mask") else given)
    states = [_state(file + ending) for file in files for ending in ("", *_BESIDE)]
    told = [__version__, str(entry.output), str(entry.qa), dict(entry.options), states]
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

    restart: do all of it again. overwrite: replace outputs that exist though this job has not made them; its own, by
    the paths in its record, are replaced anyway. progress: given a pair, how many came before it and how many there
    are, returns the pair's own. A pair that fails for a reason that a person can mend is recorded, and the others go on
    if the job says so. Raises JobError where it does not; whatever else is raised ends the job, and what was done
    before stays done.
    """
    record = Record.beside(job.path)
    made = record.made()
    if restart:
        record.append(Line("", "", "restart"))
    waiting = [pair.entry for pair in status_of(job).pairs if pair.standing != "done"]
    for done, entry in enumerate(waiting):
        began = time.monotonic()
        key = key_of(entry)
        try:
            _make_room(entry)
            outputs = {_in_record(path, job): path for path in _outputs(entry)}
            existing = [told for told, path in outputs.items() if path.exists()]
            foreign = [told for told in existing if told not in made]
            own = tuple(told for told in outputs if told not in foreign)
            record.append(Line(entry.name, key, "begun", outputs=own))
            for told in foreign:
                check_output(outputs[told], overwrite=overwrite)
            outcome = upsample(entry, overwrite or bool(existing), progress(entry, done, len(waiting)))
        except MmsrError as error:
            record.append(Line(entry.name, key, "failed", time.monotonic() - began, str(error)))
            if job.on_error == "stop":
                msg = f'{entry.name}: {error}; mend it and call batch again, or write on_error = "skip" in {job.path}'
                raise JobError(msg) from error
            continue
        took = time.monotonic() - began
        record.append(Line(entry.name, key, "done", took, facts=_facts(outcome), outputs=tuple(outputs)))
    return status_of(job)


def _standing(entry: Entry, line: Line | None) -> PairStatus:
    if line is None or line.state == "begun":
        return PairStatus(entry, "waiting")
    if line.key != key_of(entry):
        return PairStatus(entry, "changed" if line.state == "done" else "waiting", line)
    if line.state == "failed":
        return PairStatus(entry, "failed", line)
    there = entry.output.exists() and (entry.qa is None or entry.qa.exists())
    return PairStatus(entry, "done" if there else "waiting", line)


def _outputs(entry: Entry) -> tuple[Path, ...]:
    return (entry.output,) if entry.qa is None else (entry.output, entry.qa)


def _make_room(entry: Entry) -> None:
    """Make the outputs' folders; raises OutputError for what can hold no output."""
    for folder in [path.parent for path in _outputs(entry)]:
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


def _in_record(output: Path, job: Job) -> str:
    """Return an output's path as the record has it: from the job's folder, so that it holds where that is moved."""
    return os.path.relpath(output.parent.resolve() / output.name, job.path.absolute().parent.resolve())


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
    except (OSError, ValueError):
        return [file]
    return [file, state.st_size, state.st_mtime_ns]
