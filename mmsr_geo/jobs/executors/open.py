"""The executor of a cluster, opened; apart from the cluster's value, so that the executors import no circle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmsr_geo.jobs.executors.base import Executor
from mmsr_geo.jobs.executors.config import Cluster
from mmsr_geo.jobs.executors.local import SerialExecutor, ThreadExecutor


@contextmanager
def open_executor(cluster: Cluster, concurrent_tasks: int | None = None) -> Iterator[Executor[Any]]:
    """Open the executor of a cluster: start its processes, or connect to those that run.

    Args:
        cluster: Where the job runs.
        concurrent_tasks: Number of tasks at once in this process; None: one after the other. Other clusters choose it
            themselves.
    """
    if cluster.is_this_process:
        local = SerialExecutor[Any]() if concurrent_tasks is None else ThreadExecutor[Any](concurrent_tasks)
        with local:
            yield local
        return
    from mmsr_geo.jobs.executors.clusters import connected  # noqa: PLC0415  (distributed, only when asked for)
    from mmsr_geo.jobs.executors.dask import DaskExecutor  # noqa: PLC0415  (distributed, only when asked for)

    with connected(cluster) as client, DaskExecutor[Any](client) as executor:
        yield executor
