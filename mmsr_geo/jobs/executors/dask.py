"""Tasks on a dask cluster: one started here or one that runs already; knows distributed, no task."""

from __future__ import annotations

import logging
import pickle
import queue
import secrets
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from types import TracebackType
from typing import Any, Generic, Self

import dask
import psutil
import torch
from distributed import Client, Future, LocalCluster, Nanny, SpecCluster, get_worker
from distributed.scheduler import KilledWorker, Scheduler

from mmsr_geo._version import __version__
from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.errors import JobError, MmsrError, MmsrWarning
from mmsr_geo.jobs.executors.base import Key, Task, TaskResult, run_task
from mmsr_geo.jobs.executors.cluster import Cluster
from mmsr_geo.spelling import option

_JOBQUEUE = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "lsf": "LSFCluster",
    "sge": "SGECluster",
    "moab": "MoabCluster",
    "oar": "OARCluster",
    "htcondor": "HTCondorCluster",
}
TASKS_A_SLOT, MOST_A_SLOT = 4, 128
"""Tasks that are with the scheduler for each thread of a worker: few at first, as many in the end as it takes that none
waits for this process."""
_EVENTS = "mmsr-geo"
_TOLD_EVERY_S = 0.3
_CONNECT_S = 20
_WAIT_FOR_WORKERS_S = 15
_LOOK_EVERY_S = 1.0
_GATHER_S = 0.05
"""How long to wait for more tasks to end once one has: taken one by one, each costs twice the time."""
_WORKER_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "passive",  # threads that spin while they wait take the cores from other workers
    "GDAL_CACHEMAX": "64",  # MB; 5 % of the memory, each, unless it is said
    # A network's layers are blocks of 80 MB, freed and taken all the time: given back to the system and faulted in
    # again, they take twice the time of the arithmetic. In the arena of a thread there is no room for such blocks.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "THP_MEM_ALLOC_ENABLE": "1",  # torch's: large blocks in large pages
}
"""Set before a worker's process is started: libraries read them when they are loaded."""
_SETTINGS = {
    "distributed.worker.memory.terminate": 0.98,
    # What a worker has freed is still its own, and its results are a line each: there is nothing to wait or spill for.
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    "distributed.admin.low-level-log-length": 50,  # 1000 batches of messages a connection: 60 MB in this process
}


class OtherVersionError(JobError):
    """A worker has another version of this package than the client."""


@contextmanager
def connected(cluster: Cluster) -> Iterator[Client]:
    """Start or find the cluster; what was started ends with it. Raises JobError where it cannot be had."""
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(_SETTINGS))
        stack.enter_context(_quiet())
        if cluster.scheduler is not None:
            yield stack.enter_context(_client_of(cluster.scheduler))
            return
        started = stack.enter_context(_ended_at_once(_started(cluster)))
        yield stack.enter_context(Client(started))


def _started(cluster: Cluster) -> Any:  # noqa: ANN401  (one of many classes)
    if cluster.kind == "local":
        return _local(cluster)
    if cluster.kind == "cuda":
        return _of_library("dask_cuda", "LocalCUDACluster", "dask-cuda", n_workers=cluster.workers, **cluster.options)
    queued = _of_library("dask_jobqueue", _JOBQUEUE[cluster.kind], "dask-jobqueue", **cluster.options)
    queued.scale(cluster.workers or 1)
    return queued


def _local(cluster: Cluster) -> SpecCluster:
    gpus = torch.cuda.device_count()
    common = {"nthreads": 1, "memory_limit": cluster.memory_limit or 0}
    before = dict(dask.config.get("distributed.nanny.pre-spawn-environ")) | _WORKER_ENVIRONMENT
    with dask.config.set({"distributed.nanny.pre-spawn-environ": before}):
        if not gpus:
            return LocalCluster(
                n_workers=cluster.workers or 1,
                threads_per_worker=1,
                memory_limit=cluster.memory_limit or 0,
                dashboard_address="127.0.0.1:0",
                host="127.0.0.1",
                silence_logs=logging.CRITICAL,
            )
        workers = {
            number: {
                "cls": Nanny,
                "options": {
                    **common,
                    "resources": {"GPU": 1},
                    "env": {"CUDA_VISIBLE_DEVICES": str(number % gpus), **_WORKER_ENVIRONMENT},
                },
            }
            for number in range(cluster.workers or gpus)
        }
        scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}}
        return SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.CRITICAL)


class DaskExecutor(Generic[Key]):
    """A cluster's workers; a few tasks for each are with its scheduler at any time."""

    def __init__(self, client: Client) -> None:
        """Take a client that is connected; refuse workers of another version (JobError)."""
        self.client = client
        self._token = secrets.token_hex(4)
        self._count = 0
        self._running: dict[str, tuple[Future[Any], Task[Key]]] = {}
        self._news: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._slots, self._looked, self._gpus = 1, 0.0, False
        self._a_slot = TASKS_A_SLOT
        self._since: float | None = None
        """Since when there has been no worker."""
        self._address = getattr(client.scheduler, "address", "")
        with self._its_scheduler():
            self._look()
            _check_versions(client)
            client.subscribe_topic(_EVENTS, lambda event: self._news.put(("told", event[1])))

    @property
    def slots(self) -> int:
        """The threads of all workers."""
        return self._slots

    @property
    def room(self) -> int:
        """How many tasks more may be with the scheduler; none while it has half of its share: few cost as one call."""
        share = self._a_slot * self._slots
        return share - len(self._running) if 2 * len(self._running) <= share else 0

    @property
    def is_busy(self) -> bool:
        """Whether tasks are with the scheduler."""
        return bool(self._running)

    def share(self, value: object, name: str) -> object:
        """Make it a task's outcome: a worker that needs it fetches it once, and where it is lost it is made again."""
        with self._its_scheduler():
            return self.client.submit(_itself, value, key=f"share-{name}-{self._token}-{self._next()}", pure=False)

    def submit(self, tasks: Sequence[Task[Key]]) -> None:
        """Hand tasks to the scheduler, those of a stage together."""
        with self._its_scheduler():
            self._submit(tasks)

    def _submit(self, tasks: Sequence[Task[Key]]) -> None:
        by_stage: dict[str, list[Task[Key]]] = {}
        for call in tasks:
            by_stage.setdefault(call.stage, []).append(call)
        for stage, of_stage in by_stage.items():
            keys = [f"{stage}-{self._token}-{self._next()}" for _ in of_stage]
            futures = self.client.map(
                _do,
                [call.shared for call in of_stage],
                [call.method for call in of_stage],
                [call.arguments for call in of_stage],
                [call.progress is not no_progress for call in of_stage],
                keys,
                version=__version__,
                key=keys,
                pure=False,
                resources={"GPU": 1} if self._gpus and stage != "blend" else None,
            )
            for key, future, call in zip(keys, futures, of_stage, strict=True):
                self._running[key] = future, call
                future.add_done_callback(lambda done: self._news.put(("ended", done.key)))

    def ended(self) -> list[TaskResult[Key]]:
        """Wait for the first; raises JobError where the scheduler has gone."""
        while True:
            if time.monotonic() - self._looked > _LOOK_EVERY_S:
                self._look()
            keys = self._heard()
            if keys:
                if 2 * len(keys) >= self._a_slot * self._slots:  # so quick are they that more have to be there
                    self._a_slot = min(2 * self._a_slot, MOST_A_SLOT)
                return self._results(keys)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take back what has not begun."""
        with suppress(Exception):  # a scheduler that has gone has nothing to take back
            self.client.unsubscribe_topic(_EVENTS)
            self.client.cancel([future for future, _ in self._running.values()], force=True)

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _heard(self) -> list[str]:
        """Wait a moment for news; return the keys of what has ended and pass on what was told."""
        keys: list[str] = []
        with suppress(queue.Empty):
            kind, what = self._news.get(timeout=_LOOK_EVERY_S)
            until = time.monotonic() + _GATHER_S
            while True:
                if kind == "ended" and what in self._running:
                    keys.append(what)
                elif kind == "told" and what["key"] in self._running:
                    self._running[what["key"]][1].progress(what["stage"], what["done"], what["total"])
                kind, what = self._news.get(timeout=max(until - time.monotonic(), 0))
        return keys

    def _results(self, keys: Sequence[str]) -> list[TaskResult[Key]]:
        taken = [self._running.pop(key) for key in dict.fromkeys(keys)]
        if any(future.status in {"cancelled", "lost"} for future, _ in taken):
            raise self._gone()
        finished = [future for future, _ in taken if future.status == "finished"]
        with self._its_scheduler():
            results = dict(zip(finished, self.client.gather(finished), strict=True))
        found = []
        for future, call in taken:
            if future in results:
                result, told, failed = results[future]
                if isinstance(failed, OtherVersionError):  # of the worker's, not of the task's
                    raise failed
                found.append(TaskResult(call, result, failed, tuple(told)))
                continue
            reason = future.exception()
            if isinstance(reason, KilledWorker):
                reason = JobError(
                    f"{reason.allowed_failures + 1} workers died of one task ({call.stage}): give them more memory, "
                    f"or pass a smaller {option('tile_size')}"
                )
            found.append(TaskResult(call, error=reason))
        return found

    def _look(self) -> None:
        """Count the workers, and see that the scheduler is there."""
        self._looked = time.monotonic()
        if self.client.status not in {"running", "connecting"}:
            raise self._gone()
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        self._slots = max(1, sum(worker["nthreads"] for worker in workers))
        self._gpus = any("GPU" in worker["resources"] for worker in workers)
        if workers:
            self._since = None
        elif self._since is None:
            self._since = self._looked
        elif self._looked - self._since > _WAIT_FOR_WORKERS_S:
            self._since = float("inf")
            msg = f"no worker is connected to {self._address}: the job waits until one is"
            warnings.warn(msg, MmsrWarning, stacklevel=2)

    @contextmanager
    def _its_scheduler(self) -> Iterator[None]:
        """Raise JobError for whatever distributed makes of a scheduler that goes meanwhile: it has no one class."""
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
            f"the scheduler {self._address} has gone: start it, or another, and call again: it goes on from what is "
            "done"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep dask's tracebacks from the terminal: what it logs of a lost scheduler or worker, an error of ours says."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]
    before = {logger: logger.level for logger in map(logging.getLogger, names)}
    for logger in before:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)


def _itself(value: object) -> object:
    return value


def _do(  # noqa: PLR0913  (mapped over)
    value: object,
    method: str,
    arguments: Sequence[Any],
    reports: bool,  # noqa: FBT001
    key: str,
    *,
    version: str,
) -> Any:  # noqa: ANN401
    """Return what came of a task, what it warned of, and what it failed with: dask loses an error it cannot pickle."""
    if version != __version__:  # of a worker that has come since the client looked
        return None, [], OtherVersionError(_others_have(1, get_worker().address, __version__, version))
    try:
        return *run_task(value, method, arguments, _teller(key) if reports else no_progress), None
    except Exception as error:  # noqa: BLE001  (the engine tells them apart)
        # No file is read: dask sends results from worker to client as pickles, and loses an error that cannot be one.
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301  (our own)
        except Exception:  # noqa: BLE001  (whatever keeps it from being sent)
            error = RuntimeError(f"{type(error).__name__}: {error}"[:1000])
        return None, [], error


def _teller(key: str) -> Progress:
    """Return a progress that tells the client, a few times a second."""
    worker, last = get_worker(), ("", 0.0)

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if stage != last[0] or done >= total or now - last[1] > _TOLD_EVERY_S:
            last = stage, now
            worker.log_event(_EVENTS, {"key": key, "stage": stage, "done": done, "total": total})

    return tell


def _client_of(address: str) -> Client:
    try:
        return Client(address, timeout=_CONNECT_S)
    except (OSError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        msg = f"no scheduler answers at {address} ({reason}): start one (dask scheduler), or mend the address"
        raise JobError(msg) from error


def _check_versions(client: Client) -> None:
    told = client.run(_version, on_error="return")
    there = {worker: version for worker, version in told.items() if not isinstance(version, OSError)}  # or it has gone
    others = {worker: version for worker, version in there.items() if version != __version__}
    if others:
        worker, version = next(iter(others.items()))
        has = version if isinstance(version, str) else "not installed"
        raise OtherVersionError(_others_have(len(others), worker, has, __version__))


def _others_have(count: int, worker: str, has: str, here: str) -> str:
    return f"{count} workers, as {worker}, have mmsr_geo {has} where this process has {here}: install the same there"


def _version() -> str:
    return str(import_module("mmsr_geo").__version__)


def _of_library(module: str, name: str, package: str, **options: Any) -> Any:  # noqa: ANN401  (its own)
    try:
        made: Callable[..., Any] = getattr(import_module(module), name)
    except ImportError as error:
        raise JobError(f"this kind of cluster needs {package} ({error}): pip install {package}") from error
    try:
        return made(**options)
    except (TypeError, ValueError) as error:
        raise JobError(f"{name} does not take these options ({error}): mend cluster.options") from error


@contextmanager
def _ended_at_once(cluster: Any) -> Iterator[Any]:  # noqa: ANN401  (one of many classes)
    """Close a cluster; where an exception ends it, its workers' processes are killed first, whatever they do."""
    try:
        yield cluster
    except BaseException:
        for nanny in getattr(cluster, "workers", {}).values():
            pid = getattr(getattr(nanny, "process", None), "pid", None)
            if pid is not None:
                with suppress(psutil.Error):
                    psutil.Process(pid).kill()
        raise
    finally:
        with suppress(Exception):
            cluster.close(timeout=5)
