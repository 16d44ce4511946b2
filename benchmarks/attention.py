"""Time, memory and equality of the whole network, forward and backward, with unfolded neighbourhoods and with ours.

    python benchmarks/attention.py [--size 128]        seconds; the figures are in docs/performance.md

Each form of the attention is measured in a new process. Exits with 1 if ours is not at least 10 times faster than the
naive form, takes more than a quarter of its memory, or gives another result. Linux only: it reads resident memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median

import psutil
import torch
from torch import Tensor

from mmsr_geo.network.attention import naive_neighbourhood_attention, neighbourhood_attention
from mmsr_geo.network.mmsr import Attention, MmsrNetwork, NetworkParams

FORMS: dict[str, Attention] = {
    "naive": naive_neighbourhood_attention,  # unfold, einsum
    "ours": neighbourhood_attention,
}
SCALE = 4
GUIDE_BANDS = 3
FASTER = 10
LEANER = 4
TOLERANCE = 1e-4
"""Largest difference of outputs and gradients, divided by the largest magnitude: float32's error is near 1e-6."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one form of the attention."""

    seconds: float
    """Median time of one forward and backward pass."""
    cpu_seconds: float
    """Median processor time, which other work on the machine changes less."""
    peak_bytes: int
    """Peak resident memory (ru_maxrss) minus the memory resident right before the first step."""


def main() -> int:
    """Measure the forms and compare; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="side of the target in pixels, a multiple of 4")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    parser.add_argument("--repetitions", type=int, default=3, help="number of timed steps, after one to warm up")
    parser.add_argument("--form", choices=FORMS, help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.form is not None:
        cost = measure(options.form, options.size, options.threads, options.repetitions, options.into)
        print(json.dumps(astuple(cost)))
        return 0
    print(
        f"MmsrNetwork, {GUIDE_BANDS} guide bands, 64 channels, {options.size} x {options.size}: forward + backward, "
        f"median of {options.repetitions}\n"
        f"torch {torch.__version__}, {options.threads} threads, {os.cpu_count()} cores ({_processor()}), "
        f"load at the start {os.getloadavg()[0]:.1f}"
    )
    costs, results = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for form in FORMS:
            saved = Path(folder, form)
            costs[form] = cost = _in_new_process(form, saved)
            results[form] = torch.load(saved, weights_only=True)
            print(
                f"{form:9} {cost.seconds:7.2f} s, {cost.cpu_seconds:6.2f} s of processor time, "
                f"{cost.peak_bytes / 1e6:5.0f} MB above the start (peak RSS)",
                flush=True,
            )
    faster, leaner = _gain(costs["naive"], costs["ours"])
    difference = _difference(results["naive"], results["ours"])
    held = [
        _reported(faster >= FASTER, f"ours is {faster:.1f} times faster than naive (at least {FASTER})"),
        _reported(leaner >= LEANER, f"ours takes 1/{leaner:.1f} of naive's memory (at most 1/{LEANER})"),
        _reported(
            difference <= TOLERANCE, f"output and gradients differ by {difference:.1e} (at most {TOLERANCE:.0e})"
        ),
    ]
    return 0 if all(held) else 1


def measure(form: str, size: int, threads: int, repetitions: int, into: Path) -> Cost:
    """Run the steps with one form of attention; saves the output and both inputs' gradients `into` a file."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = MmsrNetwork(NetworkParams(guide_bands=GUIDE_BANDS), FORMS[form])
    guide = torch.randn(1, GUIDE_BANDS, size, size, requires_grad=True)
    source = torch.randn(1, 1, size // SCALE, size // SCALE, requires_grad=True)
    before = psutil.Process().memory_info().rss
    seconds, cpu_seconds = [], []
    for _ in range(1 + repetitions):
        network.zero_grad()
        guide.grad = source.grad = None
        started, cpu_started = time.perf_counter(), time.process_time()
        output = network(guide, source)
        output.square().mean().backward()
        seconds.append(time.perf_counter() - started)
        cpu_seconds.append(time.process_time() - cpu_started)
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    torch.save([output.detach(), guide.grad, source.grad], into)
    return Cost(median(seconds[1:]), median(cpu_seconds[1:]), peak - before)


def _in_new_process(form: str, into: Path) -> Cost:
    command = [sys.executable, *sys.argv, "--form", form, "--into", str(into)]
    # Threads that spin while they wait for one another would measure what else the machine does.
    environment = {"OMP_WAIT_POLICY": "passive"} | os.environ
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)  # noqa: S603  (itself)
    return Cost(*json.loads(ran.stdout))


def _gain(other: Cost, ours: Cost) -> tuple[float, float]:
    return other.seconds / ours.seconds, other.peak_bytes / ours.peak_bytes


def _difference(one: list[Tensor], other: list[Tensor]) -> float:
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(one, other, strict=True))


def _reported(held: bool, statement: str) -> bool:  # noqa: FBT001  (what is stated, and whether it holds)
    print(f"{'ok  ' if held else 'FAIL'} {statement}")
    return held


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    sys.exit(main())
