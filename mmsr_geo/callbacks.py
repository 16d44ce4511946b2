"""Progress: the function that long work reports to, and variants of it; knows nothing of the work."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

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


class CallersErrors:
    """Exceptions that a caller's own functions raise to stop the work, told apart from those of the work."""

    def __init__(self) -> None:
        """Begin without one."""
        self._last: Exception | None = None

    def noted(self, function: Callable[_P, _T]) -> Callable[_P, _T]:
        """Return a function that does the same, and whose exceptions are known afterwards."""

        def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                self._last = error
                raise

        return call

    def pass_on(self, error: Exception) -> None:
        """Raise an exception that one of the functions has raised; return if it is one of the work."""
        if error is self._last:
            raise error
