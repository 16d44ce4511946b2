"""Where tasks run: one after another in this process, or some side by side in its threads; knows no task."""

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
    """A task: a method of a value that many tasks share, and its arguments."""

    key: Key
    """What the caller knows it by."""
    stage: str
    """What kind of work it is: dask's dashboard shows it."""
    shared: object
    """As `Executor.share` returned it."""
    method: str
    arguments: tuple[Any, ...] = ()
    progress: Progress = no_progress


@dataclass(frozen=True, slots=True)
class TaskResult(Generic[Key]):
    """A task that came to its end."""

    task: Task[Key]
    result: Any = None
    error: Exception | None = None
    warnings: tuple[Warning, ...] = ()


class Executor(Protocol[Key]):
    """Where tasks run; a context manager that ends what runs when it is left."""

    @property
    def slots(self) -> int:
        """How many tasks it runs at once, about."""

    @property
    def room(self) -> int:
        """How many more it takes now: a million tiles are not for its queue."""

    @property
    def is_busy(self) -> bool:
        """Whether tasks are with it."""

    def share(self, value: object, name: str) -> object:
        """Make a value known to the tasks that will name it."""

    def submit(self, tasks: Sequence[Task[Key]]) -> None:
        """Take tasks on."""

    def ended(self) -> list[TaskResult[Key]]:
        """Wait until at least one of the tasks taken on has ended."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what runs."""


def run_task(value: object, method: str, arguments: Sequence[Any], progress: Progress) -> tuple[Any, list[Warning]]:
    """Do a task here; return what came of it and what it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", MmsrWarning)
        result = getattr(value, method)(*arguments, progress=progress)
    return result, [each.message for each in caught if isinstance(each.message, MmsrWarning)]
