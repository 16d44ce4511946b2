"""How the command shows what it does: a live display, JSON lines, or nothing; knows no work."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

STAGES = {
    "sample": "reading samples",
    "first stage": "fitting one level down",
    "fit": "fitting",
    "fit tiles": "fitting tiles",
    "check": "looking at the tiles that are there",
    "predict": "predicting tiles",
    "blend": "blending tiles",
    "warp": "bringing it onto the other grid",
    "write": "writing the COG",
    "pairs": "pairs",
}
"""What a person is told that a stage does."""
JSON_INTERVAL_S = 0.2


class Display(Protocol):
    """Where a command reports to; a context manager."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report progress."""

    def event(self, kind: str, /, **facts: Any) -> None:  # noqa: ANN401  (JSON values)
        """Report anything else: started, warning, done, error."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(self, *_: object) -> None:
        """End it."""


class RichDisplay:
    """A line a stage on the terminal's stderr: what, how much, how long it took, how long it will."""

    def __init__(self) -> None:
        """Draw nothing yet."""
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Move the stage's bar."""
        if stage not in self._tasks:
            label, _, name = stage.rpartition(": ")
            text = f"{label}: {STAGES.get(name, name)}" if label else STAGES.get(name, name)
            self._tasks[stage] = self._progress.add_task(text, total=total)
        self._progress.update(self._tasks[stage], completed=done, total=total)

    def event(self, kind: str, /, **facts: Any) -> None:  # noqa: ANN401  (click's own, or JSON values)
        """Print a warning above the bars; the command prints the rest itself."""
        if kind == "warning":
            self._progress.console.print(f"[yellow]Warning:[/] {escape(facts['message'])}")

    def __enter__(self) -> Self:
        """Begin drawing."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last state on the terminal."""
        self._progress.stop()


class JsonDisplay:
    """One JSON object a line on stdout: `event` is started, stage, progress, warning, done or error."""

    def __init__(self) -> None:
        """Begin with no stage."""
        self._stage, self._since, self._told = "", 0.0, 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Write a stage's begin at once, its progress five times a second at most, and its end."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._since, self._told = stage, now, 0.0
            self.event("stage", stage=stage, total=total)
        if done < total and now - self._told < JSON_INTERVAL_S:
            return
        self._told = now
        left = round((now - self._since) / done * (total - done), 1) if done else None
        self.event("progress", stage=stage, done=done, total=total, seconds_left=left)

    def event(self, kind: str, /, **facts: Any) -> None:  # noqa: ANN401  (click's own, or JSON values)
        """Write one line."""
        print(json.dumps({"event": kind, **facts}), file=sys.stdout, flush=True)  # noqa: T201  (the protocol)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""


class NoDisplay:
    """Say nothing."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Say nothing."""

    def event(self, kind: str, /, **facts: Any) -> None:  # noqa: ANN401  (click's own, or JSON values)
        """Say nothing."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""


def display(kind: str) -> Display:
    """Return the display of a --progress option: rich, json or none."""
    kinds: dict[str, Callable[[], Display]] = {"rich": RichDisplay, "json": JsonDisplay, "none": NoDisplay}
    return kinds[kind]()
