"""The executor on the workers of a dask cluster; knows distributed, not how a cluster is started, and no task."""

from __future__ import annotations

import pickle
import queue
import secrets
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from types import TracebackType
from typing import Any, Generic, Self

from distributed import Client, Future, get_worker
from distributed.scheduler import KilledWorker

from mmsr_geo._version import __version__
from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.errors import JobError, MmsrError, MmsrWarning
from mmsr_geo.jobs.executors.base import Key, Task, TaskResult, run_task
from mmsr_geo.spelling import option

TASKS_PER_SLOT, MOST_PER_SLOT = 4, 128
"""Tasks at the scheduler per worker thread: the number at first, and the most that it grows to if tasks are short."""
_EVENTS = "mmsr-geo"
_REPORT_EVERY_S = 0.3
_WAIT_FOR_WORKERS_S = 15
_LOOK_EVERY_S = 1.0
_GATHER_S = 0.05
"""Seconds to wait for more tasks after one has ended: taken one by one, each costs twice the time."""


class OtherVersionError(JobError):
    """Error of a worker with another version of this package than the client."""


class DaskExecutor(Generic[Key]):
    """Executor on the workers of a dask cluster; a few tasks per worker are at the scheduler at any time."""

    def __init__(self, client: Client) -> None:
        """Use a connected client; workers with another version are refused (JobError)."""
        self.client = client
        self._token = secrets.token_hex(4)
        self._count = 0
        self._running: dict[str, tuple[Future[Any], Task[Key]]] = {}
        self._events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._slots, self._looked, self._gpus = 1, 0.0, False
        self._per_slot = TASKS_PER_SLOT
        self._since: float | None = None
        """Time since which there has been no worker."""
        self._address = getattr(client.scheduler, "address", "")
        with self._scheduler_errors():
            self._look()
            _check_versions(client)
            client.subscribe_topic(_EVENTS, lambda event: self._events.put(("progress", event[1])))

    @property
    def slots(self) -> int:
        """Number of threads of all workers."""
        return self._slots

    @property
    def room(self) -> int:
        """Number of tasks that the scheduler takes; 0 while it has over half of its share, as each call costs time."""
        share = self._per_slot * self._slots
        return share - len(self._running) if 2 * len(self._running) <= share else 0

    @property
    def is_busy(self) -> bool:
        """True if tasks are at the scheduler."""
        return bool(self._running)

    def share(self, value: object, name: str) -> object:
        """Make a value the result of a task: each worker fetches it once, and dask restores it if it is lost."""
        with self._scheduler_errors():
            return self.client.submit(_itself, value, key=f"share-{name}-{self._token}-{self._next()}", pure=False)

    def submit(self, tasks: Sequence[Task[Key]]) -> None:
        """Send tasks to the scheduler, the tasks of one stage together."""
        with self._scheduler_errors():
            self._submit(tasks)

    def _submit(self, tasks: Sequence[Task[Key]]) -> None:
        by_stage: dict[str, list[Task[Key]]] = {}
        for task in tasks:
            by_stage.setdefault(task.stage, []).append(task)
        for stage, of_stage in by_stage.items():
            keys = [f"{stage}-{self._token}-{self._next()}" for _ in of_stage]
            futures = self.client.map(
                _do,
                [task.shared for task in of_stage],
                [task.method for task in of_stage],
                [task.arguments for task in of_stage],
                [task.progress is not no_progress for task in of_stage],
                keys,
                version=__version__,
                key=keys,
                pure=False,
                resources={"GPU": 1} if self._gpus and stage != "blend" else None,
            )
            for key, future, task in zip(keys, futures, of_stage, strict=True):
                self._running[key] = future, task
                future.add_done_callback(lambda done: self._events.put(("ended", done.key)))

    def ended(self) -> list[TaskResult[Key]]:
        """Wait for the first task to end; raises JobError if the scheduler is gone."""
        while True:
            if time.monotonic() - self._looked > _LOOK_EVERY_S:
                with self._scheduler_errors():
                    self._look()
            keys = self._wait()
            if keys:
                if 2 * len(keys) >= self._per_slot * self._slots:  # tasks are so short that workers would wait
                    self._per_slot = min(2 * self._per_slot, MOST_PER_SLOT)
                return self._results(keys)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancel tasks that have not started."""
        with suppress(Exception):  # a scheduler that is gone has no tasks to cancel
            self.client.unsubscribe_topic(_EVENTS)
            self.client.cancel([future for future, _ in self._running.values()], force=True)

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _wait(self) -> list[str]:
        """Wait a moment for events; pass on progress, and return the keys of tasks that have ended."""
        keys: list[str] = []
        with suppress(queue.Empty):
            kind, content = self._events.get(timeout=_LOOK_EVERY_S)
            until = time.monotonic() + _GATHER_S
            while True:
                if kind == "ended" and content in self._running:
                    keys.append(content)
                elif kind == "progress" and content["key"] in self._running:
                    task = self._running[content["key"]][1]
                    task.progress(content["stage"], content["done"], content["total"])
                kind, content = self._events.get(timeout=max(until - time.monotonic(), 0))
        return keys

    def _results(self, keys: Sequence[str]) -> list[TaskResult[Key]]:
        taken = [self._running.pop(key) for key in dict.fromkeys(keys)]
        if any(future.status in {"cancelled", "lost"} for future, _ in taken):
            raise self._gone()
        finished = [future for future, _ in taken if future.status == "finished"]
        with self._scheduler_errors():
            results = dict(zip(finished, self.client.gather(finished), strict=True))
        ended: list[TaskResult[Key]] = []
        for future, task in taken:
            if future in results:
                result, warned, error = results[future]
                if isinstance(error, OtherVersionError):  # an error of the worker, not of the task
                    raise error
                ended.append(TaskResult(task, result, error, tuple(warned)))
                continue
            reason = future.exception()
            if isinstance(reason, KilledWorker):
                reason = JobError(
                    f"a task ({task.stage}) killed {reason.allowed_failures + 1} workers: give them more memory, "
                    f"or pass a smaller {option('tile_size')}"
                )
            ended.append(TaskResult(task, error=reason))
        return ended

    def _look(self) -> None:
        """Count the workers, and check that the scheduler is running."""
        self._looked = time.monotonic()
        if self.client.status not in {"running", "connecting"}:
            raise self._gone()
        info = self.client.scheduler_info(n_workers=-1)
        if "workers" not in info:
            return  # the client is reconnecting: its status will tell whether it succeeds
        workers = info["workers"].values()
        self._slots = max(1, sum(worker["nthreads"] for worker in workers))
        self._gpus = any("GPU" in worker["resources"] for worker in workers)
        if workers:
            self._since = None
        elif self._since is None:
            self._since = self._looked
        elif self._looked - self._since > _WAIT_FOR_WORKERS_S:
            self._since = float("inf")
            msg = f"no worker is connected to {self._address}, the job waits: start dask worker {self._address}"
            warnings.warn(msg, MmsrWarning, stacklevel=2)

    @contextmanager
    def _scheduler_errors(self) -> Iterator[None]:
        """Raise JobError for the errors of distributed, of several classes, when the scheduler disappears."""
        try:
            yield
        except MmsrError:
            raise
        except Exception as error:
            if isinstance(error, OSError) or self.client.status != "running":
                raise self._gone() from error
            raise

    def _gone(self) -> JobError:
        return JobError(
            f"the scheduler {self._address} is gone: start one and run the job again; it continues from what is done"
        )


def _itself(value: object) -> object:
    return value


def _do(  # noqa: PLR0913  (mapped over)
    value: object,
    method: str,
    arguments: Sequence[Any],
    reports: bool,  # noqa: FBT001  (dask maps over positional arguments)
    key: str,
    *,
    version: str,
) -> Any:  # noqa: ANN401  (a triple of what dask passes on)
    """Return a task's result, its warnings and its error: dask loses a raised error that cannot be pickled."""
    if version != __version__:  # of a worker that came after the client had checked
        return None, [], OtherVersionError(_version_message(1, get_worker().address, __version__, version))
    try:
        return *run_task(value, method, arguments, _reporter(key) if reports else no_progress), None
    except Exception as error:  # noqa: BLE001  (the caller distinguishes errors)
        if not isinstance(error, MmsrError):
            error.add_note(traceback.format_exc())  # a pickle loses the traceback, and keeps notes
        # No file is read: dask sends results from worker to client as pickles, and loses an error that cannot be one.
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301  (our own)
        except Exception:  # noqa: BLE001  (whatever keeps it from being pickled)
            notes = getattr(error, "__notes__", [])
            error = RuntimeError(f"{type(error).__name__}: {error}"[:1000])
            for note in notes:
                error.add_note(note)
        return None, [], error


def _reporter(key: str) -> Progress:
    """Return a progress callback that reports to the client a few times per second."""
    worker, last = get_worker(), ("", 0.0)

    def report(stage: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if stage != last[0] or done >= total or now - last[1] > _REPORT_EVERY_S:
            last = stage, now
            worker.log_event(_EVENTS, {"key": key, "stage": stage, "done": done, "total": total})

    return report


def _check_versions(client: Client) -> None:
    answers = client.run(_version, on_error="return")
    versions = {worker: version for worker, version in answers.items() if not isinstance(version, OSError)}
    others = {worker: version for worker, version in versions.items() if version != __version__}
    if others:
        worker, version = next(iter(others.items()))
        theirs = version if isinstance(version, str) else "not installed"
        raise OtherVersionError(_version_message(len(others), worker, theirs, __version__))


def _version_message(count: int, worker: str, theirs: str, ours: str) -> str:
    workers = f"worker {worker} has" if count == 1 else f"{count} workers, such as {worker}, have"
    return f"{workers} mmsr_geo {theirs} and this process has {ours}: install the same version on the workers"


def _version() -> str:
    return str(import_module("mmsr_geo._version").__version__)
