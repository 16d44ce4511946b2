"""The journal of a job: what was done, an append-only file of complete lines; knows no raster."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from mmsr_geo.errors import JobError

EntryState = Literal["begun", "done", "incomplete", "failed", "restart"]
"""State of a pair in the journal. `restart` concerns the whole job: earlier lines say only which files it has made."""


SUFFIX = ".record.jsonl"
"""What the name of a journal ends with, after the name of its job file."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One line of the journal: the state of a pair, or that the job starts again from the beginning."""

    name: str
    key: str
    """Fingerprint of the inputs and options, see `mmsr_geo.jobs.fingerprint.key_of`."""
    state: EntryState
    seconds: float = 0.0
    message: str = ""
    """Reason of a failure, or a summary of the tiles that failed."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Results of a pair that is done, as JSON values."""
    outputs: tuple[str, ...] = ()
    """Output paths relative to the folder of the job file: those to be written (`begun`) or written (`done`)."""


@dataclass(frozen=True, slots=True)
class Journal:
    """The journal file of a job."""

    path: Path

    @classmethod
    def of(cls, job: Path) -> Journal:
        """Return the journal next to a job file: job.record.jsonl for job.toml."""
        return cls(job.with_name(job.stem + SUFFIX))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the job for this process. The system releases the lock if the process is killed.

        Raises:
            JobError: Another process runs the job, or the journal cannot be written.
        """
        # Not the journal itself: on Windows nothing else could read a file that is locked.
        lock = FileLock(self.path.with_name(f".{self.path.name.removesuffix(SUFFIX)}.lock"))
        try:
            with self.path.open("ab"):
                pass
            lock.acquire(timeout=0)
        except Timeout as error:
            msg = f"another process runs this job ({lock.lock_file} is locked): wait until it ends, or stop it"
            raise JobError(msg) from error
        except OSError as error:
            msg = (
                f"{self.path} cannot be written ({error.strerror}): put the job file into a folder where you may write"
            )
            raise JobError(msg) from error
        try:
            yield
        finally:
            lock.release()

    def lines(self) -> Iterator[JournalEntry]:
        """Yield the lines in the order they were written, without lines that a crash has cut off."""
        if not self.path.exists():
            return
        for text in self.path.read_text("utf-8").splitlines():
            try:
                line = JournalEntry(**json.loads(text))
                yield replace(line, outputs=tuple(line.outputs))
            except (json.JSONDecodeError, TypeError):
                continue

    def last(self) -> dict[str, JournalEntry]:
        """Return the last line of each pair since the last restart, by its name."""
        last: dict[str, JournalEntry] = {}
        for line in self.lines():
            if line.state == "restart":
                last.clear()
            else:
                last[line.name] = line
        return last

    def written_outputs(self) -> set[str]:
        """Return the outputs that the job has written, and those that it may have written before a crash."""
        outputs: set[str] = set()
        begun: dict[str, tuple[str, ...]] = {}
        for line in self.lines():
            latest = begun.pop(line.name, ())
            if line.state == "begun":
                outputs.update(latest)
                begun[line.name] = line.outputs
            elif line.state in {"done", "incomplete"}:
                outputs.update(line.outputs)
            elif line.state == "restart":
                outputs.update(*begun.values())
                begun.clear()
            # A pair that failed has written nothing: a file at its path is someone else's.
        return outputs.union(*begun.values())

    def append(self, line: JournalEntry) -> None:
        """Append a line and return when it is on the disk. Raises JobError where it cannot be written."""
        try:
            append_lines(self.path, json.dumps(asdict(line)) + "\n")
        except OSError as error:
            msg = f"{self.path} cannot be written ({error.strerror or error}): free disk space or fix the permissions"
            raise JobError(msg) from error


def append_lines(path: Path, lines: str) -> None:
    """Append complete lines to a file and return when they are on the disk.

    A last line that a crash has cut off stays as it is; the new ones begin after it. Raises OSError.
    """
    with path.open("a+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                lines = "\n" + lines
        file.write(lines.encode())
        file.flush()
        os.fsync(file.fileno())
