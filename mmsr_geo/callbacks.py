"""Progress: the function that long work reports to, and variants of it; knows nothing of the work."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

Progress = Callable[[str, int, int], None]
"""Function called as progress(stage, done, total). An exception that it raises cancels the work."""


def no_progress(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def labelled(progress: Progress, label: str) -> Progress:
    """Return a progress that reports to another one, with a label before each stage.

    Args:
        progress: The progress to report to.
        label: Text before a stage's name, such as "band 2 of 3: "; empty: `progress` itself is returned.
    """
    if not label:
        return progress
    return lambda stage, done, total: progress(label + stage, done, total)


def cancellable(stopped: Event, progress: Progress = no_progress) -> Progress:
    """Return a progress that cancels the work once an event is set.

    Args:
        stopped: The event; after it is set, each report raises InterruptedError.
        progress: The progress to report to before.
    """

    def report(stage: str, done: int, total: int) -> None:
        if stopped.is_set():
            raise InterruptedError
        progress(stage, done, total)

    return report
