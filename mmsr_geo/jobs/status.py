"""The state of a job and of each of its pairs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

from mmsr_geo.jobs.fingerprint import key_of, tiles_key_of, with_reference_scene, work_folder
from mmsr_geo.jobs.job import Entry, Job
from mmsr_geo.jobs.journal import Journal, JournalEntry
from mmsr_geo.jobs.output.output_job import PLAN
from mmsr_geo.jobs.tiles.tile_store import TileRecord, store_at

PairState = Literal["done", "incomplete", "failed", "changed", "waiting", "begun"]
_BEGIN_S = 10.0
"""What a process takes at most to begin with tiles."""


@dataclass(frozen=True, slots=True)
class PairStatus:
    """Where one pair stands."""

    entry: Entry
    state: PairState
    """`changed`: it was done, and its inputs or options are others now; `incomplete`: written, tiles that failed left
    out; `begun`: tiles of it wait in the store."""
    line: JournalEntry | None = None
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
        if self.tiles is None or not self.tiles_a_second or self.state == "done":
            return None
        return max(self.tiles - self.tiles_done, 0) / self.tiles_a_second


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Where a job stands."""

    pairs: tuple[PairStatus, ...]

    def count(self, state: PairState) -> int:
        """Return how many pairs stand so."""
        return sum(pair.state == state for pair in self.pairs)

    @property
    def seconds_a_pair(self) -> float | None:
        """The mean over those that are done; None where none is."""
        took = [pair.line.seconds for pair in self.pairs if pair.state == "done" and pair.line is not None]
        return sum(took) / len(took) if took else None

    @property
    def seconds_left(self) -> float | None:
        """What is left will take at these rates, one pair after another; None where they do not tell."""
        rates = [pair.seconds_left or self.seconds_a_pair for pair in self.pairs if pair.state != "done"]
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
                    "state": pair.state,
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


def status_of(job: Job) -> JobStatus:
    """Return where each pair of a job stands, by its record, its outputs, its inputs' state and the tiles there are."""
    last = Journal.beside(job.path).last()
    return JobStatus(tuple(_counted(job, pair_status(job, entry, last.get(entry.name))) for entry in job.entries))


def pair_status(job: Job, entry: Entry, line: JournalEntry | None) -> PairStatus:
    """Return the state of one pair, by the last line of the record."""
    if line is None or line.state == "begun":
        return PairStatus(entry, "waiting")
    if line.key != with_reference_scene(job, entry, key_of(entry)):
        return PairStatus(entry, "changed" if line.state in {"done", "incomplete"} else "waiting", line)
    if line.state == "failed":
        return PairStatus(entry, "failed", line)
    there = entry.output.exists() and (entry.qa is None or entry.qa.exists())
    return PairStatus(entry, line.state if there else "waiting", line)  # type: ignore[arg-type]  # done or incomplete


def _counted(job: Job, pair: PairStatus) -> PairStatus:
    """Say how many tiles of a pair that is not done wait in the store."""
    if pair.state == "done":
        return pair
    store = store_at(
        f"{work_folder(job, pair.entry)}/{with_reference_scene(job, pair.entry, tiles_key_of(pair.entry))}"
    )
    made = [each for each in store.made().values() if each.stage == "target"]
    plan = store.get(PLAN)
    if plan is None:
        return pair
    try:
        tiles = int(json.loads(plan)["tiles"])
    except (ValueError, KeyError, TypeError):
        return pair
    state: PairState = "begun" if pair.state == "waiting" else pair.state
    last = max((each.at for each in made), default=None)
    return replace(
        pair,
        state=state,
        tiles_done=len(made),
        tiles=tiles,
        tiles_a_second=_tiles_a_second(made),
        last_tile_at=last,
    )


def _tiles_a_second(made: Sequence[TileRecord]) -> float | None:
    """Return the rate at which tiles came, over the time in which they were being made."""
    times = sorted(each.at for each in made)
    longest = max((each.seconds for each in made), default=0.0)
    # More than it takes to make two tiles and begin: in between, the job was stopped.
    gaps = [gap for gap in (after - before for before, after in pairwise(times)) if gap <= 2 * longest + _BEGIN_S]
    took = sum(gaps)
    return len(gaps) / took if took > 0 else None
