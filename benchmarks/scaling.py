"""Scaling of outputs: time and memory by output size and number of workers, and the cost of a tile alone.

    python benchmarks/scaling.py --scratch DIR           all of it: hours on 2 cores, 15 GB in DIR, resumable
    python benchmarks/scaling.py --scratch DIR --quick   small outputs, minutes; stored in DIR
    python benchmarks/scaling.py --table                 the table of the stored runs, and the expected limits

A run during which other work took more than QUIET cores is stored and repeated; of equal runs, those with the least
other work count. Rasters are the demo's Sentinel-2 pair (20 m to 10 m), repeated. Each run is a process of its own that
calls `upsample_to_file` as a user would, with workers on this machine. Runs that are compared take turns, so that other
work on the machine affects all of them. A run is stored as one line of benchmarks/results/scaling.jsonl and is not
repeated. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import rasterio
from affine import Affine
from rasterio.windows import Window

import mmsr_geo
from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.engine.pair import Pair
from mmsr_geo.geometry import Halo, Tiling
from mmsr_geo.jobs.executors.clusters import connected
from mmsr_geo.jobs.executors.config import Cluster
from mmsr_geo.jobs.executors.dask import DaskExecutor
from mmsr_geo.jobs.output import scheduler as engine
from mmsr_geo.jobs.output.output_job import OutputJob, TaskKey
from mmsr_geo.jobs.output.tasks import Output, OutputSpec, TileTask
from mmsr_geo.jobs.tiles.tile_store import FolderStore, TileRecord
from mmsr_geo.methods.baseline import BaselineMethod, baseline
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.text import bytes_of

RESULTS = Path(__file__).parent / "results" / "scaling.jsonl"
SCALE, MPX = 2, 2**20
TIMES = 3
QUIET = 0.3
"""Number of cores that other work may take during a run that counts."""
DUMMY = "dummy"
"""Method whose tiles are records without pixels."""
LINEAR, FLAT, FASTER, DUMMY_MS = 0.15, 0.10, 1.8, 2.0
"""Expected limits: see `limits`."""
_ROWS = 512


@dataclass(frozen=True, slots=True)
class Run:
    """One output, or many dummy tiles."""

    method: str
    size: int
    """Size of the output in 2^20 pixels; number of tiles, of dummies."""
    workers: int = 2
    memory_limit: str | None = None
    """Memory limit of a worker, from which the tile size is chosen; None: tiles of 512 px with a model, else 1024."""
    number: int = 0
    """Number of the repetition."""

    @property
    def tile_size(self) -> int | None:
        """Side of a tile in target pixels; None: chosen from the memory limit."""
        if self.memory_limit is not None:
            return None
        return 512 if self.method == "mmsr" else 1024

    @property
    def guide_bands(self) -> int:
        """Number of guide bands; one for a method that does not use the guide."""
        return 4 if self.method == "mmsr" else 1


FULL = (
    Run(DUMMY, 100_000),
    *(Run("bicubic", size) for size in (256, 1024)),
    Run("bicubic", 256, memory_limit="650MB"),
    Run("mmsr", 4),
    *(Run("mmsr", 16, workers) for workers in (2, 1)),
    Run("mmsr", 16, memory_limit="1.2GB"),
    Run("mmsr", 64),
)
QUICK = (
    *(Run("mmsr", size) for size in (1, 4)),
    Run("mmsr", 4, workers=1),
    *(Run("bicubic", size) for size in (16, 64)),
    Run("bicubic", 16, memory_limit="650MB"),
    Run(DUMMY, 4000),
)


@dataclass
class Watch:
    """A progress callback that measures the processes when tiles begin and end, and when the output is complete."""

    began: float = 0.0
    """Time at which the stage began, in seconds."""
    cpu_s: float = 0.0
    """Processor time of the workers so far."""
    busy_s: float = 0.0
    """Time in which cores of the machine were busy so far."""
    measured: dict[str, Any] = field(default_factory=dict)
    """Result of the run, as JSON values."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Measure at the beginning and at the end of a stage."""
        if stage == "predict" and done == 0 and not self.began:
            self.measured = {"tiles": total, "load": round(os.getloadavg()[0], 2)}
            self.began, self.cpu_s, self.busy_s = time.monotonic(), _cpu_s(_workers()), _busy_s()
        elif stage == "write" and done == 0:
            took, cpu_s = time.monotonic() - self.began, _cpu_s(_workers()) - self.cpu_s
            others = _busy_s() - self.busy_s - cpu_s
            peaks = [_peak_mb(worker.pid) for worker in _workers()]
            self.measured |= {"tile_s": took, "tile_cpu_s": cpu_s, "other_cores": others / took, "worker_mb": peaks}
            self.measured["client_mb"] = _peak_mb(os.getpid())
            self.began = time.monotonic()
        elif stage == "write":
            self.measured["finish_s"] = time.monotonic() - self.began
            self.measured["finish_mb"] = _peak_mb(os.getpid())
            self.measured["copy_mb"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> int:
    """Run what is missing and print the table; return 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, help="folder for the rasters; those made by tiling stay there")
    parser.add_argument("--quick", action="store_true", help="small outputs, once each, stored in the scratch folder")
    parser.add_argument("--times", type=int, help=f"number of repetitions ({TIMES}; 1 with --quick)")
    parser.add_argument("--only", help="method to run: mmsr, bicubic or dummy")
    parser.add_argument("--table", action="store_true", help="print the table of the stored runs and run nothing")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(perform(Run(**json.loads(options.one)), options.scratch)))
        return 0
    if options.scratch is None and not options.table:
        parser.error("pass a folder: --scratch DIR")
    kept = options.scratch / RESULTS.name if options.quick else RESULTS
    if not options.table:
        times = options.times or (1 if options.quick else TIMES)
        chosen = [run for run in (QUICK if options.quick else FULL) if options.only in {None, run.method}]
        make(chosen, times, options.scratch, kept)
    results = read(kept)
    print(table(results))
    claims = limits(results)
    print("\n".join(f"{'ok  ' if holds else 'FAIL'} {claim}" for claim, holds in claims))
    return 0 if all(holds for _, holds in claims) else 1


def make(runs: Sequence[Run], times: int, scratch: Path, kept: Path) -> None:
    """Run until `times` quiet runs of each are stored, at most three times as many in all, each in a new process.

    They take turns, so that other work on the machine affects all of them.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    for run in [replace(run, number=number) for number in range(3 * times) for run in runs]:
        alike = grouped(read(kept), times).get(replace(run, number=0), [])
        enough = len(alike) >= times and alike[-1]["other_cores"] <= QUIET
        if enough or any(Run(**result["run"]) == run for result in read(kept)):
            continue
        if run.method != DUMMY:
            inputs(run, scratch)
        command = [sys.executable, __file__, "--scratch", str(scratch), "--one", json.dumps(asdict(run))]
        ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603  (itself)
        line = json.dumps({"run": asdict(run), **json.loads(ran.stdout), "when": time.strftime("%Y-%m-%d %H:%M")})
        print(line, flush=True)
        with kept.open("a", encoding="utf-8") as lines:
            lines.write(line + "\n")


def read(kept: Path) -> list[dict[str, Any]]:
    """Return the results in a file; none if it does not exist."""
    return [json.loads(line) for line in kept.read_text("utf-8").splitlines()] if kept.exists() else []


def inputs(run: Run, scratch: Path) -> dict[str, Path]:
    """Return the input files of a run: rasters made by repeating the demo's, and a model after a few steps."""
    side = round((run.size * MPX) ** 0.5)
    data = Path(str(resources.files(mmsr_geo))) / "demo_data"
    files = {"source": scratch / f"source-{side}.tif", "guide": scratch / f"guide-{side}-{run.guide_bands}.tif"}
    if not files["source"].exists():
        _tiled(data / "sentinel2_b11_20m.tif", side // SCALE, 1, files["source"])
    if not files["guide"].exists():
        _tiled(data / "sentinel2_10m.tif", side, run.guide_bands, files["guide"])
    if run.method == "mmsr":
        files["model"] = scratch / "model.mmsr"
        if not files["model"].exists():
            params = mmsr_geo.FitParams(steps=20, patch_px=64, first_stage=False, threads=1)
            model = mmsr_geo.fit(data / "sentinel2_b11_20m.tif", data / "sentinel2_10m.tif", SCALE, params=params)
            # After so short a fit the guide check would fail, and the model would not be used.
            replace(model, check=mmsr_geo.GuideCheck()).save(files["model"])
    return files


def _tiled(source: Path, side: int, bands: int, output: Path) -> None:
    """Write a square raster of a smaller one and its mirror images, repeated."""
    with rasterio.open(source) as dataset:
        once, profile = dataset.read(range(1, bands + 1)), dataset.profile
    down = np.concatenate([once, once[:, ::-1]], axis=1)
    period = np.concatenate([down, down[:, :, ::-1]], axis=2)
    columns = np.arange(side) % period.shape[2]
    layout = {"tiled": True, "blockxsize": 256, "blockysize": 256, "BIGTIFF": "IF_SAFER"}
    draft = output.with_suffix(".part")
    place = {"crs": profile["crs"], "transform": Affine(*profile["transform"][:6])}
    with rasterio.open(
        draft, "w", driver="GTiff", dtype=once.dtype, count=bands, height=side, width=side, **place, **layout
    ) as dataset:
        for row in range(0, side, _ROWS):
            rows = np.arange(row, min(row + _ROWS, side)) % period.shape[1]
            dataset.write(period[:, rows][:, :, columns], window=Window(0, row, side, len(rows)))
    draft.replace(output)


def perform(run: Run, scratch: Path) -> dict[str, Any]:
    """Perform a run in this process, and return its result."""
    with tempfile.TemporaryDirectory(dir=scratch, prefix="run-") as folder:
        return dummies(run, Path(folder)) if run.method == DUMMY else upsampled(run, scratch, Path(folder))


def upsampled(run: Run, scratch: Path, folder: Path) -> dict[str, Any]:
    """Write an output; a model keeps its statistics, so that only tiles are computed."""
    files, watch = inputs(run, scratch), Watch()
    method: dict[str, Any] = (
        {"model": files["model"], "keep_statistics": True} if "model" in files else {"method": run.method}
    )
    mmsr_geo.upsample_to_file(
        files["source"],
        files["guide"],
        folder / "sharp.tif",
        SCALE,
        tile_size=run.tile_size,
        workers=run.workers,
        memory_limit=run.memory_limit,
        progress=watch,
        **method,
    )
    if run.memory_limit is None:
        size = run.tile_size
        planned = mmsr_geo.plan(files["source"], files["guide"], SCALE, tile_size=size, timed=False, **method)
        watch.measured["planned_mb"] = planned.memory_bytes / 1e6
    return watch.measured


class Dummies:
    """Tiles that take no time, each with a task, a result and a record as other tiles have."""

    def target(
        self,
        index: int,
        near: Sequence[TileRecord] = (),  # noqa: ARG002  (a tile task's)
        progress: Progress = no_progress,  # noqa: ARG002  (a tile task's)
    ) -> TileRecord:
        """Return the record of a tile that was not computed."""
        flags = {"GUIDE_GAP": index, "SOURCE_NODATA": 1}
        return TileRecord(
            "target", 1, index, f"{index:032x}", f"{-index:032x}", 1, valid=index, flags=flags, at=time.time()
        )


class DummyExecutor(DaskExecutor[TaskKey]):
    """Workers of a cluster that are given dummies instead of tiles."""

    def share(self, value: object, name: str) -> object:
        """Share dummies in place of a task of tiles."""
        return super().share(Dummies() if isinstance(value, TileTask) else value, name)


def dummies(run: Run, folder: Path) -> dict[str, Any]:
    """Run dummy tiles through workers, and keep their records."""
    side = math.isqrt(run.size)
    raster = folder / "any.tif"
    place = {"crs": "EPSG:32618", "transform": Affine(20, 0, 435720, 0, -20, 4174980)}
    with rasterio.open(raster, "w", "GTiff", side, side, 1, dtype="uint8", SPARSE_OK=True, **place):
        pass
    pair = Pair.of(FileRaster.open(raster), FileRaster.open(raster), SCALE)
    tiling = Tiling(pair.part, (1, 1), Halo(0, 0), pair.whole)
    work = OutputSpec((pair,), BaselineMethod("bicubic", baseline("bicubic")), tiling, Output(folder / "sharp.tif"))
    watch, ended = Watch(), list[OutputJob]()
    with connected(Cluster(workers=run.workers)) as client, DummyExecutor(client) as executor:
        output_job = OutputJob(DUMMY, work, FolderStore(folder / "tiles"), watch)
        cpu_s = time.process_time()
        engine.run_outputs(iter([lambda: output_job]), executor, ended.append, _raised)
        watch("write", 0, 1)
    measured = watch.measured | {"client_cpu_s": time.process_time() - cpu_s}
    return measured if ended[0].targets(1)[len(tiling) - 1].valid == len(tiling) - 1 else {}


def _raised(output_job: OutputJob, error: Exception) -> None:  # noqa: ARG001  (there is but one)
    raise error


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return the table in Markdown: medians of equal runs."""
    rows = [
        "| method | 2^20 px | workers | tiles | tile stage | processor | other load | worker | client | finishing |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run, alike in grouped(results).items():
        if run.method == DUMMY:
            continue
        found = {name: median(each[name] for each in alike) for name in alike[0] if isinstance(alike[0][name], float)}
        worker = max(peak for each in alike for peak in each["worker_mb"])
        limit = f" of {run.memory_limit}" if run.memory_limit else ""
        rows.append(
            f"| {run.method} | {run.size} | {run.workers} | {alike[0]['tiles']} | {found['tile_s']:.0f} s | "
            f"{found['tile_cpu_s']:.0f} s | {found['other_cores']:.1f} cores | {worker:.0f} MB{limit} | "
            f"{found['client_mb']:.0f} MB | {found['finish_s']:.0f} s, "
            f"{max(found['finish_mb'], found['copy_mb']):.0f} MB |"
        )
    return "\n".join(rows)


def grouped(results: Sequence[dict[str, Any]], times: int = TIMES) -> dict[Run, list[dict[str, Any]]]:
    """Return the results of equal runs, at most `times` of each, those with the least other work first."""
    found: dict[Run, list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        found[replace(Run(**result["run"]), number=0)].append(result)
    order = sorted(found, key=lambda run: (run.method, run.workers, run.size))
    return {run: sorted(found[run], key=lambda result: float(result["other_cores"]))[:times] for run in order}


def limits(results: Sequence[dict[str, Any]]) -> list[tuple[str, bool]]:
    """Return the expected limits of the medians, and whether each is kept."""
    groups = grouped(results)
    claims = []
    for method in ("mmsr", "bicubic"):
        sizes = {run: groups[run] for run in groups if (run.method, run.workers, run.memory_limit) == (method, 2, None)}
        claims += _of_sizes(method, {run.size: alike for run, alike in sizes.items()})
    for run, alike in groups.items():
        if run.memory_limit is not None:
            peak, limit = max(each for one in alike for each in one["worker_mb"]), bytes_of(run.memory_limit) / 1e6
            claims.append(
                (f"{run.method}: a worker with a limit of {run.memory_limit} takes {peak:.0f} MB", peak <= limit)
            )
        elif (alone := replace(run, workers=1)) != run and alone in groups:
            one, two = (median(each["tile_s"] for each in groups[which]) for which in (alone, run))
            claims.append((f"{run.method}: 2 workers are {one / two:.2f} times as fast as 1", one / two >= FASTER))
        elif run.method == DUMMY:
            each_ms = median(one["tile_s"] / one["tiles"] for one in alike) * 1000
            own_ms = median(one["client_cpu_s"] / one["tiles"] for one in alike) * 1000
            statement = (
                f"{run.size} dummy tiles: {each_ms:.2f} ms each, {own_ms:.2f} ms of them in the client and scheduler"
            )
            claims.append((statement, each_ms <= DUMMY_MS))
    return claims


def _of_sizes(method: str, by_size: dict[int, list[dict[str, Any]]]) -> list[tuple[str, bool]]:
    """Return the expected limits of outputs of several sizes."""
    if len(by_size) < 2:
        return []
    claims = []
    for name, what in (("tile_s", "tile stage"), ("tile_cpu_s", "processor time")):
        rates = {size: median(one[name] for one in alike) / size for size, alike in by_size.items()}
        off = max(abs(rate / rates[max(rates)] - 1) for rate in rates.values())
        values = ", ".join(f"{rate:.3g} s at {size}" for size, rate in rates.items())
        claims.append(
            (f"{method}: {what} per 2^20 px is {values}: within {off:.0%} of the largest output's", off <= LINEAR)
        )
    for name, what in (("worker_mb", "worker"), ("client_mb", "client")):
        peaks = {size: float(np.max([one[name] for one in alike])) for size, alike in by_size.items()}
        off = max(peaks.values()) / min(peaks.values()) - 1
        values = ", ".join(f"{peak:.0f} MB at {size}" for size, peak in peaks.items())
        claims.append((f"{method}: the peak memory of the {what} is {values}: {off:.0%} apart", off <= FLAT))
    return claims


def _workers() -> list[psutil.Process]:
    """Return the workers' processes."""
    return [child for child in psutil.Process().children() if any("spawn_main" in word for word in child.cmdline())]


def _cpu_s(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _busy_s() -> float:
    """Return the seconds that the machine's cores have been busy since it started."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def _peak_mb(pid: int) -> float:
    """Return the largest resident set of a process so far; ru_maxrss would be the parent's where that is larger."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    sys.exit(main())
