"""The short form of benchmarks/scaling.py: memory and time that do not grow with an output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCALING = Path(__file__).parents[2] / "benchmarks" / "scaling.py"
pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="it reads /proc")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scaling")


def done(scratch: Path, method: str, size: int, **options: Any) -> dict[str, Any]:
    """Do one of the benchmark's runs, in a process of its own as it does, and return what it came to."""
    reported = json.dumps({"method": method, "size": size, **options})
    ran = subprocess.run(
        [sys.executable, SCALING, "--scratch", scratch, "--one", reported],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@pytest.mark.faults  # it measures time, which other processes lengthen
def test_four_times_the_pixels_take_no_more_memory_and_four_times_the_time(scratch: Path) -> None:
    small, large = (done(scratch, "bicubic", size) for size in (4, 16))
    assert (small["tiles"], large["tiles"]) == (4, 16)
    assert max(large["worker_mb"]) < 1.1 * max(small["worker_mb"])
    assert large["client_mb"] < 1.1 * small["client_mb"]
    assert max(large["worker_mb"]) < large["planned_mb"]
    # The workers' start lies in both, and more of it in the small one.
    assert large["tile_cpu_s"] < 4 * 1.15 * small["tile_cpu_s"]


@pytest.mark.slow
def test_a_worker_with_a_network_keeps_to_what_it_may_take(scratch: Path) -> None:
    reported = done(scratch, "mmsr", 1, memory_limit="1.2GB", workers=1)
    assert max(reported["worker_mb"]) < 1200
    assert reported["tiles"] < 16  # and takes what there is


@pytest.mark.faults  # it measures time, which other processes lengthen
def test_a_tile_costs_the_engine_little(scratch: Path) -> None:
    reported = done(scratch, "dummy", 2000)
    assert (
        reported["client_cpu_s"] / reported["tiles"] < 0.004
    )  # 1.2 ms where nothing else runs; here the start is in it
    assert reported["client_mb"] < 500
