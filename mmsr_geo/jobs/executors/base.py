"""The protocol of executors, which run the tasks of a job; knows no task."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.errors import MmsrWarning

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Task(Generic[Key]):
    """A task: a method of a value that many tasks share, and the arguments of the call."""

    key: Key
    """Identity of the task for the caller."""
    stage: str
    """Stage of the work, shown in dask's dashboard."""
    shared: object
    """The shared value, as `Executor.share` returned it."""
    method: str
    """Name of the method of the shared value."""
    arguments: tuple[Any, ...] = ()
    progress: Progress = no_progress


@dataclass(frozen=True, slots=True)
class TaskResult(Generic[Key]):
    """A task that has ended, with its result or its error."""

    task: Task[Key]
    result: Any = None
    error: Exception | None = None
    warnings: tuple[Warning, ...] = ()


class Executor(Protocol[Key]):
    """A place where tasks run: a context manager that ends running tasks when it is left."""

    @property
    def slots(self) -> int:
        """Approximate number of tasks that run at once."""

    @property
    def room(self) -> int:
        """Number of tasks that it accepts now, so that its queue stays short."""

    @property
    def is_busy(self) -> bool:
        """True if tasks have been submitted and have not ended."""

    def share(self, value: object, name: str) -> object:
        """Make a value available to tasks, and return what tasks name it by."""

    def submit(self, tasks: Sequence[Task[Key]]) -> None:
        """Accept tasks."""

    def ended(self) -> list[TaskResult[Key]]:
        """Wait until at least one task has ended, and return those that have."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End running tasks."""


def run_task(value: object, method: str, arguments: Sequence[Any], progress: Progress) -> tuple[Any, list[Warning]]:
    """Run a task in this process, and return its result and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", MmsrWarning)
        result = getattr(value, method)(*arguments, progress=progress)
    return result, [warning.message for warning in caught if isinstance(warning.message, MmsrWarning)]
