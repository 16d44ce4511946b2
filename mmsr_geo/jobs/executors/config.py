"""The cluster that a job runs on, as a value; starts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from mmsr_geo.errors import OptionError
from mmsr_geo.spelling import option

ClusterKind = Literal["local", "scheduler", "cuda", "slurm", "pbs", "lsf", "sge", "moab", "oar", "htcondor"]
"""Kind of a cluster: this machine, a running scheduler, dask-cuda, or a batch system of dask-jobqueue."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster of a job, as the job file and the command describe it."""

    kind: ClusterKind = "local"
    workers: int | None = None
    """Number of processes; None: this process, or one process per GPU if there are several."""
    scheduler: str | None = None
    """Address of a running scheduler: tcp://host:port."""
    memory_limit: int | None = None
    """Memory limit of each worker in bytes."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the cluster class of dask-jobqueue or dask-cuda."""

    def __post_init__(self) -> None:
        """Refuse contradictions (OptionError)."""
        if self.kind not in get_args(ClusterKind):
            raise OptionError(f"kind is {self.kind!r}: choose one of {', '.join(get_args(ClusterKind))}")
        if self.kind == "scheduler" and self.scheduler is None:
            raise OptionError('kind = "scheduler" needs an address: add scheduler = "tcp://host:8786"')
        if self.scheduler is not None and self.kind not in {"local", "scheduler"}:
            raise OptionError(f"{option('scheduler')} and kind = {self.kind!r} name two clusters: remove one of them")
        if self.scheduler is not None and self.workers is not None:
            raise OptionError(
                f"a running scheduler has its own workers: remove {option('workers')} or {option('scheduler')}"
            )
        if self.workers is not None and self.workers < 1:
            raise OptionError(f"{option('workers')} is {self.workers}: give a number of processes, 1 or more")

    @property
    def place(self) -> str:
        """Description for a person, such as "in 4 processes of this machine"."""
        if self.is_this_process:
            return "in this process"
        if self.scheduler is not None:
            return f"on the workers of {self.scheduler}"
        processes = "one process per GPU" if self.workers is None else f"{self.workers} processes"
        return f"in {processes} of this machine" if self.kind in {"local", "cuda"} else f"on {self.kind}, {processes}"

    @property
    def is_this_process(self) -> bool:
        """True if the job needs no other process."""
        import torch  # noqa: PLC0415  (seconds, only when asked for)

        alone = self.workers is None and torch.cuda.device_count() < 2
        return self.kind == "local" and self.scheduler is None and alone
