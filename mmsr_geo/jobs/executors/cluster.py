"""Where a job runs, as a value; starts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch

from mmsr_geo.errors import OptionError

ClusterKind = Literal["local", "scheduler", "cuda", "slurm", "pbs", "lsf", "sge", "moab", "oar", "htcondor"]
"""This machine, a scheduler that runs already, dask-cuda's, or one of dask-jobqueue's."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where a job runs, as a job file and the command say it."""

    kind: ClusterKind = "local"
    workers: int | None = None
    """Processes; None: this one alone, or one a GPU where there are several."""
    scheduler: str | None = None
    """The address of one that runs: tcp://host:port."""
    memory_limit: int | None = None
    """Bytes a worker."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of dask-jobqueue's or dask-cuda's cluster, by its own names."""

    def __post_init__(self) -> None:
        """Refuse what contradicts itself (OptionError)."""
        if self.kind not in get_args(ClusterKind):
            raise OptionError(
                f"there is no kind of cluster {self.kind!r}: choose of {', '.join(get_args(ClusterKind))}"
            )
        if self.kind == "scheduler" and self.scheduler is None:
            raise OptionError('a cluster of kind scheduler needs an address: write scheduler = "tcp://host:8786"')
        if self.scheduler is not None and self.kind not in {"local", "scheduler"}:
            raise OptionError(f"a scheduler's address and kind = {self.kind!r} are two clusters: leave one of them out")
        if self.scheduler is not None and self.workers is not None:
            raise OptionError("a scheduler that runs has its workers: leave out workers, or the address")
        if self.workers is not None and self.workers < 1:
            raise OptionError(f"workers is the number of processes, 1 or more, not {self.workers}")

    @property
    def place(self) -> str:
        """Say to a person where that is."""
        if self.is_this_process:
            return "in this process"
        if self.scheduler is not None:
            return f"on the workers of {self.scheduler}"
        processes = "a process a GPU" if self.workers is None else f"{self.workers} processes"
        return f"in {processes} of this machine" if self.kind in {"local", "cuda"} else f"on {self.kind}, {processes}"

    @property
    def is_this_process(self) -> bool:
        """Whether no other process is needed."""
        alone = self.workers is None and torch.cuda.device_count() < 2
        return self.kind == "local" and self.scheduler is None and alone
