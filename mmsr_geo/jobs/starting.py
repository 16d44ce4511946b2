"""Where a job's tasks run, started or found: this process, its threads, or a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mmsr_geo.jobs.cluster import Cluster
from mmsr_geo.jobs.course import TaskKey
from mmsr_geo.jobs.pool import InProcess, InThreads, Pool


@contextmanager
def pool_on(cluster: Cluster, side_by_side: int | None = None) -> Iterator[Pool[TaskKey]]:
    """Start where a job runs, or find it; side_by_side: tasks at once in this process, None: one after another."""
    if cluster.is_this_process:
        with InProcess[TaskKey]() if side_by_side is None else InThreads[TaskKey](side_by_side) as pool:
            yield pool
        return
    from mmsr_geo.jobs.dask_pool import OnCluster, connected  # noqa: PLC0415  (distributed, only when asked for)

    with connected(cluster) as client, OnCluster[TaskKey](client) as pool:
        yield pool
