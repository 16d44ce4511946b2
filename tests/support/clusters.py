"""A dask cluster as a user starts one: `dask scheduler` and `dask worker` processes on loopback, ended by their ids."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from distributed import Client

DASK = str(Path(sys.executable).with_name("dask"))
STARTED_S = 300
"""Longest start of a process on a busy machine."""


def free_port() -> int:
    """Return a port of loopback that nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process and all that it started, at once."""
    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    for each in family:
        try:
            each.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    process.wait(timeout=STARTED_S)


@dataclass
class DaskCluster:
    """A scheduler at one address, which stays the same when it is started again, and its workers."""

    folder: Path
    workers: int = 2
    preload: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.address = f"tcp://127.0.0.1:{self.port}"
        self._scheduler: subprocess.Popen[str] | None = None
        self._workers: list[subprocess.Popen[str]] = []

    def start(self) -> None:
        """Start the scheduler if it is not there, and as many workers as are missing."""
        if self._scheduler is None or self._scheduler.poll() is not None:
            options = ["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"]
            self._scheduler = self._started("scheduler", options)
            self._wait_for_the_scheduler()
        self._workers = [worker for worker in self._workers if worker.poll() is None]
        while len(self._workers) < self.workers:
            options = [self.address, "--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard", "--no-nanny"]
            if self.preload is not None:
                options += ["--preload", str(self.preload)]
            self._workers.append(self._started("worker", options))

    def wait_for_a_worker(self) -> None:
        """Return once the scheduler knows of one."""
        with Client(self.address) as client:
            client.wait_for_workers(1, timeout=STARTED_S)

    def kill_worker(self, number: int) -> None:
        """Kill one of the workers there are."""
        kill(self._workers.pop(number % len(self._workers)))

    def kill_scheduler(self) -> None:
        """Kill the scheduler; its workers end, or are ended, for they have no one to talk to."""
        if self._scheduler is not None:
            kill(self._scheduler)
        self._scheduler = None
        while self._workers:
            kill(self._workers.pop())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill_scheduler()

    def _started(self, what: str, options: Sequence[str]) -> subprocess.Popen[str]:
        with (self.folder / f"{what}.log").open("a") as log:
            return subprocess.Popen(
                [DASK, what, *options],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                text=True,
                env=os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"} | dict(self.environment),
            )

    def _wait_for_the_scheduler(self) -> None:
        until = time.monotonic() + STARTED_S
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise TimeoutError((self.folder / "scheduler.log").read_text())
