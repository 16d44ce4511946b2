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
"""How long a thread's end is waited for at a time: a signal that comes right before a wait is only seen after it."""


@dataclass
class SerialExecutor(Generic[Key]):
    """This process: tasks one after another, each begun when its outcome is waited for, so that Ctrl-C ends it."""

    waiting: deque[Task[Key]] = field(default_factory=deque)
    slots: int = 1

    @property
    def room(self) -> int:
        """One at a time."""
        return self.slots - len(self.waiting)

    @property
    def is_busy(self) -> bool:
        """Whether one waits."""
        return bool(self.waiting)

    def share(self, value: object, name: str) -> object:  # noqa: ARG002  (a cluster's)
        """Return it."""
        return value

    def submit(self, tasks: Sequence[Task[Key]]) -> None:
        """Have them wait."""
        self.waiting.extend(tasks)

    def ended(self) -> list[TaskResult[Key]]:
        """Do the next."""
        task = self.waiting.popleft()
        try:
            # Warnings go where this process's go, at once.
            result = getattr(task.shared, task.method)(*task.arguments, progress=task.progress)
        except Exception as error:  # noqa: BLE001  (the engine tells a task's errors apart)
            return [TaskResult(task, error=error)]
        return [TaskResult(task, result)]

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Forget what waits."""
        self.waiting.clear()


class ThreadExecutor(Generic[Key]):
    """Threads of this process, for tasks of one torch thread each; what ends the wait, Ctrl-C too, ends all of them."""

    def __init__(self, slots: int) -> None:
        """Start no thread yet."""
        self.slots = slots
        self._executor = ThreadPoolExecutor(slots)
        self._running: dict[Future[Any], Task[Key]] = {}
        self._stopped = Event()

    @property
    def room(self) -> int:
        """As many as there are threads: those that wait would be begun after a Ctrl-C."""
        return self.slots - len(self._running)

    @property
    def is_busy(self) -> bool:
        """Whether a thread has one."""
        return bool(self._running)

    def share(self, value: object, name: str) -> object:  # noqa: ARG002  (a cluster's)
        """Return it: threads share all there is."""
        return value

    def submit(self, tasks: Sequence[Task[Key]]) -> None:
        """Begin them."""
        for task in tasks:
            work: Callable[..., Any] = getattr(task.shared, task.method)
            self._running[self._executor.submit(work, *task.arguments, progress=cancellable(self._stopped))] = task

    def ended(self) -> list[TaskResult[Key]]:
        """Wait for the first."""
        done: set[Future[Any]] = set()
        while self._running and not done:
            done, _ = wait(self._running, timeout=SIGNALS_S, return_when=FIRST_COMPLETED)
        found = []
        for future in done:
            task, error = self._running.pop(future), future.exception()
            if error is not None and not isinstance(error, Exception):
                raise error
            found.append(TaskResult(task, None if error else future.result(), error))
        return found

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Have fits stop at their next step."""
        self._stopped.set()
        self._executor.shutdown(cancel_futures=True)
