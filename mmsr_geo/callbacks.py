"""Progress: how work reports and is cancelled; knows nothing."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called as progress(stage, done, total). What it raises ends the work: that is how to cancel."""


def no_progress(stage: str, done: int, total: int) -> None:
    """Report nothing."""
