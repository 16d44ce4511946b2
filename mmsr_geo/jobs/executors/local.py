"""Executors in this process: one task after another, or in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event
from types import TracebackType
from typing import Any, Generic, Self

from mmsr_geo.callbacks import cancellable
from mmsr_geo.jobs.executors.base import Key, Task, TaskResult

SIGNALS_S = 0.5
"""Seconds of one wait for a thread: a signal that arrives just before a wait is handled after it."""


@dataclass
class SerialExecutor(Generic[Key]):
    """Executor that runs tasks one after another in this process, each when its result is waited for."""

    waiting: deque[Task[Key]] = field(default_factory=deque)
    slots: int = 1

    @property
    def room(self) -> int:
        """One, if no task is waiting."""
        return self.slots - len(self.waiting)

    @property
    def is_busy(self) -> bool:
        """True if a task is waiting."""
        return bool(self.waiting)

    def share(self, value: object, name: str) -> object:  # noqa: ARG002  (for clusters)
        """Return the value itself."""
        return value

    def submit(self, tasks: Sequence[Task[Key]]) -> None:
        """Add tasks to the queue."""
        self.waiting.extend(tasks)

    def ended(self) -> list[TaskResult[Key]]:
        """Run the next task."""
        task = self.waiting.popleft()
        try:
            # Warnings go where this process's go, at once.
            result = getattr(task.shared, task.method)(*task.arguments, progress=task.progress)
        except Exception as error:  # noqa: BLE001  (the caller distinguishes errors)
            return [TaskResult(task, error=error)]
        return [TaskResult(task, result)]

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Discard waiting tasks."""
        self.waiting.clear()


class ThreadExecutor(Generic[Key]):
    """Executor that runs tasks in threads of this process, each with one torch thread; Ctrl-C ends all of them."""

    def __init__(self, slots: int) -> None:
        """Set the number of threads; they are started by the first tasks."""
        self.slots = slots
        self._executor = ThreadPoolExecutor(slots)
        self._running: dict[Future[Any], Task[Key]] = {}
        self._stopped = Event()

    @property
    def room(self) -> int:
        """Number of idle threads: waiting tasks would be started after a Ctrl-C."""
        return self.slots - len(self._running)

    @property
    def is_busy(self) -> bool:
        """True if a thread runs a task."""
        return bool(self._running)

    def share(self, value: object, name: str) -> object:  # noqa: ARG002  (for clusters)
        """Return the value itself."""
        return value

    def submit(self, tasks: Sequence[Task[Key]]) -> None:
        """Start tasks."""
        for task in tasks:
            work: Callable[..., Any] = getattr(task.shared, task.method)
            self._running[self._executor.submit(work, *task.arguments, progress=cancellable(self._stopped))] = task

    def ended(self) -> list[TaskResult[Key]]:
        """Wait for the first task to end."""
        done: set[Future[Any]] = set()
        while self._running and not done:
            done, _ = wait(self._running, timeout=SIGNALS_S, return_when=FIRST_COMPLETED)
        results = []
        for future in done:
            task, error = self._running.pop(future), future.exception()
            if error is not None and not isinstance(error, Exception):
                raise error
            results.append(TaskResult(task, None if error else future.result(), error))
        return results

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop fits at their next step."""
        self._stopped.set()
        self._executor.shutdown(cancel_futures=True)
