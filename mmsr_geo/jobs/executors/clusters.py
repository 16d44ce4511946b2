"""Kinds of clusters, and how each is started or found: this machine, a running scheduler, GPUs, batch systems."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from typing import Any

import dask
import psutil
import torch
from distributed import Client, LocalCluster, Nanny, SpecCluster
from distributed.scheduler import Scheduler

from mmsr_geo.errors import JobError
from mmsr_geo.jobs.executors.config import Cluster
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
_CONNECT_S = 20
_WORKER_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "passive",  # threads that spin while they wait take the cores from other workers
    "GDAL_CACHEMAX": "64",  # MB; the default is 5 % of the memory per process
    # A network's layers are blocks of 80 MB, freed and taken all the time: given back to the system and faulted in
    # again, they take twice the time of the arithmetic. In the arena of a thread there is no room for such blocks.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "THP_MEM_ALLOC_ENABLE": "1",  # torch's: large blocks in large pages
}
"""Environment of worker processes, which libraries read when they are loaded."""
_SETTINGS = {
    "distributed.worker.memory.terminate": 0.98,
    # Memory that a worker has freed still counts as its own, and results are small: pausing or spilling gains nothing.
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    "distributed.admin.low-level-log-length": 50,  # 1000 batches of messages a connection: 60 MB in this process
}


@contextmanager
def connected(cluster: Cluster) -> Iterator[Client]:
    """Start a cluster or connect to a running one; a started one is closed at the end.

    Raises:
        JobError: The scheduler does not answer, a library is missing, or it refuses the options.
    """
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(_SETTINGS))
        stack.enter_context(_quiet())
        if cluster.scheduler is not None:
            yield stack.enter_context(_client_of(cluster.scheduler))
            return
        started = stack.enter_context(_ended_at_once(_started(cluster)))
        yield stack.enter_context(Client(started))


def _started(cluster: Cluster) -> Any:  # noqa: ANN401  (one of several classes)
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


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep dask's tracebacks from the terminal: errors of this package report a lost scheduler or worker."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]
    before = {logger: logger.level for logger in map(logging.getLogger, names)}
    for logger in before:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)


def _client_of(address: str) -> Client:
    try:
        return Client(address, timeout=_CONNECT_S)
    except (OSError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        msg = (
            f"no scheduler answers at {address} ({reason}): start one with dask scheduler, or correct "
            f"{option('scheduler')}"
        )
        raise JobError(msg) from error


def _of_library(module: str, name: str, package: str, **options: Any) -> Any:  # noqa: ANN401  (its own)
    try:
        cluster_class: Callable[..., Any] = getattr(import_module(module), name)
    except ImportError as error:
        raise JobError(
            f"this kind of cluster needs {package} ({error}): install it with pip install {package}"
        ) from error
    try:
        return cluster_class(**options)
    except (TypeError, ValueError) as error:
        raise JobError(f"{name} does not take these options ({error}): correct the table [cluster.options]") from error


@contextmanager
def _ended_at_once(cluster: Any) -> Iterator[Any]:  # noqa: ANN401  (one of several classes)
    """Close a cluster at the end; after an exception, kill the processes of its workers first."""
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
