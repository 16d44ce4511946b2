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
from mmsr_geo.jobs.output.resume import PLAN
from mmsr_geo.jobs.tiles.tile_store import TileRecord, store_at

PairState = Literal["done", "incomplete", "failed", "changed", "waiting", "begun"]
_BEGIN_S = 10.0
"""Seconds that a process needs at most before its first tile."""


@dataclass(frozen=True, slots=True)
class PairStatus:
    """The state of one pair."""

    entry: Entry
    state: PairState
    """`changed`: done, but its inputs or options have changed since; `incomplete`: written without the tiles that
    failed; `begun`: some of its tiles are in the work folder."""
    line: JournalEntry | None = None
    """Its last line of the journal."""
    tiles_done: int = 0
    """Tiles in the work folder."""
    tiles: int | None = None
    """All tiles of the pair; None if not known."""
    tiles_a_second: float | None = None
    """Rate at which the tiles were computed, without the time between runs; None if not known."""
    last_tile_at: float | None = None
    """Time of the latest tile, in seconds since 1970."""

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds for the remaining tiles; None if the rate is not known or nothing is left."""
        if self.tiles is None or not self.tiles_a_second or self.state == "done":
            return None
        return max(self.tiles - self.tiles_done, 0) / self.tiles_a_second


@dataclass(frozen=True, slots=True)
class JobStatus:
    """The state of a job."""

    pairs: tuple[PairStatus, ...]

    def count(self, state: PairState) -> int:
        """Return the number of pairs in a state."""
        return sum(pair.state == state for pair in self.pairs)

    @property
    def seconds_a_pair(self) -> float | None:
        """Mean duration of the pairs that are done; None if none is."""
        durations = [pair.line.seconds for pair in self.pairs if pair.state == "done" and pair.line is not None]
        return sum(durations) / len(durations) if durations else None

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds for all remaining pairs, one after another; None if the rates are not known."""
        estimates = [pair.seconds_left or self.seconds_a_pair for pair in self.pairs if pair.state != "done"]
        known = [seconds for seconds in estimates if seconds is not None]
        return sum(known) if len(known) == len(estimates) else None

    @property
    def sentence(self) -> str:
        """Number of pairs by state: 3 done, 1 failed, 2 left."""
        incomplete = self.count("incomplete")
        counts = [f"{self.count('done')} done", *([f"{incomplete} incomplete"] if incomplete else [])]
        return ", ".join([*counts, f"{self.count('failed')} failed", f"{len(self.pairs) - self.count('done')} left"])

    def as_dict(self) -> dict[str, Any]:
        """Return the state as JSON values."""
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
    """Return the state of a job from its journal, its outputs, the state of its inputs and the tiles that exist."""
    last = Journal.of(job.path).last()
    return JobStatus(
        tuple(_with_tile_counts(job, pair_status(job, entry, last.get(entry.name))) for entry in job.entries)
    )


def pair_status(job: Job, entry: Entry, line: JournalEntry | None) -> PairStatus:
    """Return the state of one pair, given its last line of the journal."""
    if line is None or line.state == "begun":
        return PairStatus(entry, "waiting")
    if line.key != with_reference_scene(job, entry, key_of(entry)):
        return PairStatus(entry, "changed" if line.state in {"done", "incomplete"} else "waiting", line)
    if line.state == "failed":
        return PairStatus(entry, "failed", line)
    exists = entry.output.exists() and (entry.qa is None or entry.qa.exists())
    return PairStatus(entry, line.state if exists else "waiting", line)  # type: ignore[arg-type]  # done or incomplete


def _with_tile_counts(job: Job, pair: PairStatus) -> PairStatus:
    """Add the number of tiles in the work folder to a pair that is not done."""
    if pair.state == "done":
        return pair
    store = store_at(
        f"{work_folder(job, pair.entry)}/{with_reference_scene(job, pair.entry, tiles_key_of(pair.entry))}"
    )
    records = [tile for tile in store.records().values() if tile.stage == "target"]
    plan = store.get(PLAN)
    if plan is None:
        return pair
    try:
        tiles = int(json.loads(plan)["tiles"])
    except (ValueError, KeyError, TypeError):
        return pair
    state: PairState = "begun" if pair.state == "waiting" else pair.state
    last = max((tile.at for tile in records), default=None)
    return replace(
        pair,
        state=state,
        tiles_done=len(records),
        tiles=tiles,
        tiles_a_second=_tiles_a_second(records),
        last_tile_at=last,
    )


def _tiles_a_second(records: Sequence[TileRecord]) -> float | None:
    """Return the rate of tiles while the job ran."""
    times = sorted(tile.at for tile in records)
    longest = max((tile.seconds for tile in records), default=0.0)
    # In a gap longer than two tiles and a start take, the job was stopped.
    gaps = [gap for gap in (after - before for before, after in pairwise(times)) if gap <= 2 * longest + _BEGIN_S]
    seconds = sum(gaps)
    return len(gaps) / seconds if seconds > 0 else None
