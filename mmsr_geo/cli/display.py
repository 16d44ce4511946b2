"""Progress displays of the command: a live display, JSON lines, or none; knows no rasters and no methods."""

from __future__ import annotations

import json
import re
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import click
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
from rich.table import Column
from rich.text import Text

from mmsr_geo._version import __version__
from mmsr_geo.errors import MmsrError, MmsrWarning
from mmsr_geo.spelling import option
from mmsr_geo.text import printable

STAGES = {
    "sample": "reading samples",
    "alignment": "aligning the guide",
    "members": "comparing members",
    "trial": "trying a network",
    "first stage": "fitting at reduced resolution",
    "fit": "fitting",
    "fit tiles": "fitting tiles",
    "check": "checking the tiles of an earlier run",
    "predict": "predicting tiles",
    "blend": "blending tiles",
    "warp": "warping to the other grid",
    "write": "writing the output",
    "pairs": "pairs",
    "report": "drawing the report",
}
"""Description of each stage."""
_SHORT = {
    "sample": "sampling",
    "alignment": "alignment",
    "members": "members",
    "trial": "trial",
    "first stage": "first fit",
    "fit": "fit",
    "fit tiles": "tile fits",
    "check": "checking",
    "predict": "tiles",
    "blend": "blending",
    "warp": "warping",
    "write": "writing",
}
"""Short description of each stage, for the line of a pair."""
_NUMBERS_WIDTH = 37
"""Characters of a line without its description and its bar, with counts of five figures."""
JSON_INTERVAL_S = 0.2
"""Shortest time between two progress events of a stage."""

_QUOTED_FLAGS = re.compile(r"(?:'-\w' / )?'(--[a-z0-9-]+)'(?: / '-\w')?")
"""An option in click's own messages: '--tile-size', or '-o' / '--output'."""

Reporter = Callable[[str, int, int], None]
"""Progress callback: takes the stage, the count that is done and the total."""


class Display(Protocol):
    """Display of a command; a context manager."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report progress."""

    def event(self, kind: str, /, **facts: Any) -> None:  # noqa: ANN401  (JSON values)
        """Show an event: started, warning, done or error."""

    def pair(self, name: str) -> Reporter:
        """Return the progress callback of one of several pairs."""

    def pair_ended(self, name: str, state: str, **facts: Any) -> None:  # noqa: ANN401  (JSON values)
        """Show the state in which a pair ended."""

    def __enter__(self) -> Self:
        """Start the display."""

    def __exit__(self, *_: object) -> None:
        """End the display."""


class RichDisplay:
    """Live display on stderr: one line per stage with its progress, the time it took and the time left.

    With several pairs, each pair that is being computed has one line with its stage. A pair that has ended leaves one
    line above the others.
    """

    def __init__(self) -> None:
        """Prepare the display without drawing."""
        console = Console(stderr=True)
        bar = min(30, max(6, (console.width - 56) // 2))
        self._room = max(console.width - bar - _NUMBERS_WIDTH, 16)
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=bar),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._pairs: dict[str, tuple[TaskID, str]] = {}
        """Pairs that are being computed, with their stage, in the order of their start."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Update the bar of a stage."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(_stage_text(stage), total=total)
        self._progress.update(self._tasks[stage], completed=done, total=total)

    def event(self, kind: str, /, **facts: Any) -> None:  # noqa: ANN401  (click's own, or JSON values)
        """Print a warning above the bars; the command prints other events itself."""
        if kind == "warning":
            self._progress.console.print(f"[yellow]Warning:[/] {escape(facts['message'])}")

    def pair(self, name: str) -> Reporter:
        """Add a line for a pair."""
        self._pairs[name] = self._progress.add_task(self._pair_text(name, ""), total=None), ""
        self._show_first()

        def report(stage: str, done: int, total: int) -> None:
            if name not in self._pairs:
                return
            task, before = self._pairs[name]
            if stage != before:  # its time and its rate are others
                self._pairs[name] = task, stage
                self._progress.reset(task, total=total, description=self._pair_text(name, stage))
            self._progress.update(task, completed=done, total=total)

        return report

    def pair_ended(self, name: str, state: str, **facts: Any) -> None:  # noqa: ANN401  (JSON values)
        """Replace the line of a pair by its result."""
        if name in self._pairs:
            self._progress.remove_task(self._pairs.pop(name)[0])
            self._show_first()
        mark, colour = {"done": ("✓", "green"), "incomplete": ("!", "yellow")}.get(state, ("✗", "red"))
        shown = "" if state == "done" else f" {state}"
        line = Text.assemble((mark, colour), f" {printable(name)}{shown}, {facts['seconds']:.0f} s")
        if facts.get("tiles"):
            line.append(f", {facts['tiles']} tiles, scale {facts['scale']}")
        for result, gain in zip(facts.get("guide_check", ()), facts.get("guide_gain", ()), strict=False):
            line.append(f", guide: {result}" + ("" if gain is None else f" ({gain:+.2f})"))
        self._progress.console.print(line, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop drawing; the last state stays on the terminal."""
        self._progress.stop()

    def _pair_text(self, name: str, stage: str) -> str:
        """Return a pair's name and stage, the name shortened in the middle to fit the line."""
        label, _, what = stage.rpartition(": ")
        band = f"{label.removeprefix('band ').replace(' of ', '/')} " if label else ""
        shown = f": {band}{_SHORT.get(what, what)}" if stage else ""
        name = printable(name)
        if (room := max(self._room - len(shown), 8)) < len(name):
            name = f"{name[: room // 2]}…{name[len(name) - (room - 1) // 2 :]}"
        return name + shown

    def _show_first(self) -> None:
        """Show the lines that fit on the terminal."""
        room = max(self._progress.console.height - len(self._tasks) - 3, 1)
        for number, (task, _) in enumerate(self._pairs.values()):
            self._progress.update(task, visible=number < room)
        more = f" ({len(self._pairs) - room} more pairs are being computed)" if len(self._pairs) > room else ""
        if "pairs" in self._tasks:
            self._progress.update(self._tasks["pairs"], description=STAGES["pairs"] + more)


def _stage_text(stage: str) -> str:
    """Return the description of a stage; the text before a colon names the band."""
    label, _, name = stage.rpartition(": ")
    return f"{label}: {STAGES.get(name, name)}" if label else STAGES.get(name, name)


class JsonDisplay:
    """One JSON object per line on stdout: `event` is started, stage, progress, warning, done or error.

    With several pairs there are also the events `pair` and `pair_ended`, and the events of a pair have its name as
    `pair`. Warnings and errors have their `message` and its `template`, in which options are markers (spelling.py).
    """

    def __init__(self) -> None:
        """Start without a stage."""
        self._stages = _JsonStages()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Write the start of a stage, its progress at most five times per second, and its end."""
        self._stages(stage, done, total)

    def event(self, kind: str, /, **facts: Any) -> None:  # noqa: ANN401  (click's own, or JSON values)
        """Write one line."""
        _write_event(kind, **facts)

    def pair(self, name: str) -> Reporter:
        """Return a callback that writes the events of one pair."""
        return _JsonStages({"pair": name})

    def pair_ended(self, name: str, state: str, **facts: Any) -> None:  # noqa: ANN401  (JSON values)
        """Write one line."""
        _write_event("pair_ended", pair=name, state=state, **facts)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""


@dataclass
class _JsonStages:
    """Stages of one task, one after the other."""

    facts: Mapping[str, str] = field(default_factory=dict)
    """Further facts of each event."""

    def __post_init__(self) -> None:
        self._stage, self._since, self._told = "", 0.0, 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._since, self._told = stage, now, 0.0
            _write_event("stage", **self.facts, stage=stage, total=total)
        if done < total and now - self._told < JSON_INTERVAL_S:
            return
        self._told = now
        left = round((now - self._since) / done * (total - done), 1) if done else None
        _write_event("progress", **self.facts, stage=stage, done=done, total=total, seconds_left=left)


def _write_event(kind: str, /, **facts: Any) -> None:  # noqa: ANN401  (JSON values)
    print(json.dumps({"event": kind, **facts}), file=sys.stdout, flush=True)  # noqa: T201  (the protocol)


class NoDisplay:
    """Show nothing."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show nothing."""

    def event(self, kind: str, /, **facts: Any) -> None:  # noqa: ANN401  (click's own, or JSON values)
        """Show nothing."""

    def pair(self, name: str) -> Reporter:  # noqa: ARG002  (a display)
        """Show nothing of a pair."""
        return self

    def pair_ended(self, name: str, state: str, **facts: Any) -> None:  # noqa: ANN401  (JSON values)
        """Show nothing."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""


def display(kind: str) -> Display:
    """Return the display of a kind: rich, json or none."""
    kinds: dict[str, Callable[[], Display]] = {"rich": RichDisplay, "json": JsonDisplay, "none": NoDisplay}
    return kinds[kind]()


class CommandDisplay:
    """Display of a command: it starts with an event, shows warnings, and ends with an error event on failure."""

    def __init__(self, kind: str, command: str, **facts: str) -> None:
        """Start the display of a command."""
        self._display: Display = display(kind)
        self._warnings = warnings.catch_warnings()
        self._display.event("started", command=command, version=__version__, **facts)

    def __enter__(self) -> Display:
        """Show warnings of ours as events."""
        self._warnings.__enter__()
        default = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any) -> None:  # noqa: ANN401  (warnings' own)
            if issubclass(category, MmsrWarning):
                self._display.event("warning", **_message(message))
            else:
                default(message, category, *rest)

        warnings.showwarning = show  # type: ignore[assignment]  # its last four arguments are passed on as they are
        return self._display.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Show what ended the command, and end the display."""
        if error is not None:
            facts = {"message": "stopped"} if isinstance(error, KeyboardInterrupt) else _message(error)
            self._display.event("error", kind=type(error).__name__, **facts)
        self._display.__exit__(None, None, None)
        self._warnings.__exit__(None, None, None)


def show_usage_error(error: click.UsageError, arguments: Sequence[str]) -> None:
    """Write the error event of a command line that click refuses, if it asks for JSON; the display is not there yet."""
    if re.search(r"(?<!\S)--progress[ =]json(?!\S)", " ".join(arguments)):
        message = error.format_message()
        names = {flag: parameter.name for parameter in _parameters(error) for flag in parameter.opts}
        template = _QUOTED_FLAGS.sub(lambda found: option(names[found[1]]) if found[1] in names else found[0], message)
        _write_event("error", kind=type(error).__name__, message=message, template=template)


def _parameters(error: click.UsageError) -> Sequence[click.Parameter]:
    return error.ctx.command.params if error.ctx is not None else ()


def _message(message: BaseException | str) -> dict[str, str]:
    """Return a message with the command's names of options, and its template for programs with other names."""
    if isinstance(message, MmsrError | MmsrWarning):
        return {"message": message.at("command"), "template": message.template}
    return {"message": str(message)}
