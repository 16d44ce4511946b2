"""What a job has done: an append-only file of lines, each whole or not there; knows no raster."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from mmsr_geo.errors import JobError

try:
    import fcntl
except ImportError:  # Windows has no such lock
    fcntl = None  # type: ignore[assignment]

EntryState = Literal["begun", "done", "incomplete", "failed", "restart"]
"""`restart` is of the job as a whole: what stands before it says only which files the job has made."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """What became of one pair, or that all begins anew."""

    name: str
    key: str
    """What it was made of and how: see `jobs.batch.key_of`."""
    state: EntryState
    seconds: float = 0.0
    message: str = ""
    """Of a failed one: what went wrong."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Of one that is done, as JSON values."""
    outputs: tuple[str, ...] = ()
    """Paths from the job's folder: of one that is begun, the files that will be its own when they are there; of one
    that is done, those it made."""


@dataclass(frozen=True, slots=True)
class Journal:
    """The lines of a job."""

    path: Path

    @classmethod
    def beside(cls, job: Path) -> Journal:
        """Return a job file's record: job.toml's is job.record.jsonl."""
        return cls(job.with_name(f"{job.stem}.record.jsonl"))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the record to this process, as long as it lives; raises JobError where another holds it."""
        try:
            file = self.path.open("ab")
        except OSError as error:
            msg = f"{self.path} cannot be written to ({error.strerror}): put the job file into a folder that can be"
            raise JobError(msg) from error
        with file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    msg = f"another process does this job already ({self.path} is held): wait for it, or stop it"
                    raise JobError(msg) from error
            yield

    def lines(self) -> Iterator[JournalEntry]:
        """Yield the lines in the order they were written; one that was cut off by a crash is none."""
        if not self.path.exists():
            return
        for text in self.path.read_text("utf-8").splitlines():
            try:
                line = JournalEntry(**json.loads(text))
                yield replace(line, outputs=tuple(line.outputs))
            except (json.JSONDecodeError, TypeError):
                continue

    def last(self) -> dict[str, JournalEntry]:
        """Return the last line of each name since the last restart."""
        found: dict[str, JournalEntry] = {}
        for line in self.lines():
            if line.state == "restart":
                found.clear()
            else:
                found[line.name] = line
        return found

    def made(self) -> set[str]:
        """Return the outputs that were made, and those that were begun and may be there since a crash."""
        made: set[str] = set()
        begun: dict[str, tuple[str, ...]] = {}
        for line in self.lines():
            latest = begun.pop(line.name, ())
            if line.state == "begun":
                made.update(latest)
                begun[line.name] = line.outputs
            elif line.state in {"done", "incomplete"}:
                made.update(line.outputs)
            elif line.state == "restart":
                made.update(*begun.values())
                begun.clear()
            # A pair that failed left nothing: what is at its outputs' places later is another's.
        return made.union(*begun.values())

    def append(self, line: JournalEntry) -> None:
        """Add a line and have it on the disk before going on."""
        text = json.dumps(asdict(line)) + "\n"
        try:
            with self.path.open("a+b") as file:
                if file.tell() and not _ends_with_newline(file.fileno(), file.tell()):
                    text = "\n" + text  # after a line that was cut off
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            msg = f"{self.path} cannot be written ({error.strerror or error}): make room there, or mend its rights"
            raise JobError(msg) from error


def _ends_with_newline(handle: int, size: int) -> bool:
    return os.pread(handle, 1, size - 1) == b"\n"
