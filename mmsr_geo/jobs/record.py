"""What a job has done: an append-only file of lines, each whole or not there; knows no raster."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

State = Literal["done", "failed"]


@dataclass(frozen=True, slots=True)
class Line:
    """How one pair ended."""

    name: str
    key: str
    """What it was made of and how: see `jobs.batch.key_of`."""
    state: State
    seconds: float
    message: str = ""
    """Of a failed one: what went wrong."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Of one that is done, as JSON values."""


@dataclass(frozen=True, slots=True)
class Record:
    """The lines of a job."""

    path: Path

    @classmethod
    def beside(cls, job: Path) -> Record:
        """Return a job file's record: job.toml's is job.record.jsonl."""
        return cls(job.with_name(f"{job.stem}.record.jsonl"))

    def lines(self) -> Iterator[Line]:
        """Yield the lines in the order they were written; one that was cut off by a crash is none."""
        if not self.path.exists():
            return
        for text in self.path.read_text("utf-8").splitlines():
            try:
                yield Line(**json.loads(text))
            except (json.JSONDecodeError, TypeError):
                continue

    def last(self) -> dict[str, Line]:
        """Return the last line of each name."""
        return {line.name: line for line in self.lines()}

    def append(self, line: Line) -> None:
        """Add a line and have it on the disk before going on."""
        text = json.dumps(asdict(line)) + "\n"
        with self.path.open("a+b") as file:
            if file.tell() and not _ends_with_newline(file.fileno(), file.tell()):
                text = "\n" + text  # after a line that was cut off
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())

    def forget(self) -> None:
        """Begin anew."""
        self.path.unlink(missing_ok=True)


def _ends_with_newline(handle: int, size: int) -> bool:
    return os.pread(handle, 1, size - 1) == b"\n"
