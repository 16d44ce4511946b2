"""Memory and cores of this machine."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil


def available_memory() -> int:
    """Return the bytes free to this process: the machine's, or what is left of its control group's limit."""
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())  # "max" where there is none
        free = min(free, limit - int((group / "memory.current").read_text()))
    return max(free, 0)


def cores() -> int:
    """Return the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
