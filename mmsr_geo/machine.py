"""Memory and cores of this machine, and the memory that this process takes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil


def available_memory() -> int:
    """Return the bytes free to this process: the machine's, or the rest of its control group's limit."""
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())  # "max" if there is no limit
        free = min(free, limit - int((group / "memory.current").read_text()))
    return max(free, 0)


def cores() -> int:
    """Return the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Watch this process's resident memory, and yield a list with one number: its peak in bytes so far."""
    process, peak, ended = psutil.Process(), [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()
        peak[0] = max(peak[0], process.memory_info().rss)
