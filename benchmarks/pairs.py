"""How large is the error of each quality on pairs of all kinds, and are its reported gain and uncertainty right?

    python benchmarks/pairs.py --data DIR                     the choosing half, all qualities: hours, resumable
    python benchmarks/pairs.py --data DIR --core              12 pairs, draft, fast and balanced: 20 minutes
    python benchmarks/pairs.py --data DIR --quality draft     one quality: 8 minutes
    python benchmarks/pairs.py --data DIR zhangye-lst-x8      pairs by their names
    python benchmarks/pairs.py --table --rows                 the tables of the stored runs
    python benchmarks/pairs.py --list                         the pairs

The pairs are those of pair_list.py: targets of at most 512 x 512 pixels, x2 to x16, in two halves without a common
place. Choose methods and constants on the choosing half. Run the reserved half once, for the final figures.

A figure is the RMSE of a method divided by that of the bicubic baseline (bicubic with back-projection). Summaries are
the geometric mean over the pairs of a place, then over the places of a kind, then over the kinds. Two-sensor pairs have
a row of their own: their truth is another sensor's, so that block means of an exact target are not the source.

A run is one line of benchmarks/results/pairs.jsonl. Its key is the pair, the method, the seed and the code's hash
(versions.py). A stored run is not repeated.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, geometric_mean, median
from typing import Any, get_args

import numpy as np
import rasterio
import torch
from cases import Case
from members import alone, drafted
from odc.geo.geobox import GeoBox
from pair_list import PAIRS, Kind, PairOfKind
from versions import QUALITIES, Codes, tiling

from mmsr_geo.engine.model import Model
from mmsr_geo.engine.pair import Pair
from mmsr_geo.evaluation.metrics import UncertaintyScores, rmse
from mmsr_geo.methods.base import Method
from mmsr_geo.methods.baseline import BaselineMethod, baseline
from mmsr_geo.methods.scene import SceneFit
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.members.table import MEMBERS
from mmsr_geo.network.sensor import ESTIMATED, WantedSensor
from mmsr_geo.pipeline.in_process import run_of, whole_of

RESULTS = Path(__file__).parent / "results" / "pairs.jsonl"
ALONE = "member: "
"""Beginning of the method's name of a member alone."""
METHODS = ("bicubic", *QUALITIES, "members", "prototype")
OF_CORE = ("bicubic", "draft", "fast", "balanced")
"""Methods of --core, whose runs take 20 minutes; best would double that."""
TRUE_GAIN = 0.03
"""Least true gain, or loss, whose sign the guide check is expected to find."""
MISS = 20.0
"""Penalty of the Winkler score on what a 90 % interval misses: 2 / 0.1."""

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """A method on a pair: one run, or one for each member."""

    pair: str
    method: str
    seed: int
    code: str
    command: tuple[str, ...] = ()
    """Python and script of the prototype."""

    @property
    def keys(self) -> list[Record]:
        """Keys of the runs."""
        names = [f"{ALONE}{name}" for name in MEMBERS] if self.method == "members" else [self.method]
        return [{"pair": self.pair, "method": name, "seed": self.seed, "code": self.code} for name in names]


def run(job: Job, data: Path) -> list[Record]:
    """Fit, predict and score; called in a process of its own."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    case = PAIRS[job.pair].read(data)
    plain, consistent = (bicubic(case, consistent=consistent) for consistent in (False, True))
    base = rmse(consistent, case.truth)
    if job.method == "bicubic":
        results: list[Record] = [{"rmse": base, "plain_rmse": rmse(plain, case.truth)}]
    elif job.method == "members":
        results = _members(case, consistent)
    elif job.method in QUALITIES:
        results = [_quality(case, FitParams.of(job.method, threads=1, sensor=sensor_of(case)), job.seed, base)]
    else:
        results = [_prototype(case, job.command)]
    return [
        key | {"rmse": result["rmse"], "baseline_rmse": base, "ratio": result["rmse"] / base} | result
        for key, result in zip(job.keys, results, strict=True)
    ]


def bicubic(case: Case, *, consistent: bool) -> np.ndarray:
    """Return bicubic interpolation (H, W), with back-projection if `consistent`."""
    method = BaselineMethod("bicubic", baseline("bicubic"), consistent, device="cpu")
    pair = case.trial.pair
    return _target(pair, method, method.model_for(pair))[0]


def _target(pair: Pair, method: Method, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Return the target (H, W) and its uncertainty, as the pipeline delivers them."""
    return whole_of(
        run_of(pair, method, model, tiling(pair, method), device="cpu", uncertainty=method.calibrates), pair
    )


def sensor_of(case: Case) -> WantedSensor:
    """Return what is known of a pair's sensor: a source that was made of the truth is the mean of its blocks."""
    return ESTIMATED if case.given_source is not None else replace(ESTIMATED, psf="none")


def _quality(case: Case, params: FitParams, seed: int, base: float) -> Record:
    """Return the scores of a quality, with its fallbacks."""
    pair, method = case.trial.pair, SceneFit(params, seed, "cpu")
    began = time.monotonic()
    model = method.model_for(pair)
    fitted = time.monotonic()
    target, half = _target(pair, method, model)
    predicted = time.monotonic()
    error = rmse(target, case.truth)
    fallback = method.uses_fallback(model.check)
    own = rmse(_target(pair, replace(method, if_unhelpful="warn"), model)[0], case.truth) if fallback else error
    return {
        "rmse": error,
        "gain": model.check.gain,
        "measured_gain": model.check.measured_gain,
        "averaged_gain": model.check.averaged_gain,
        "guide_check": model.check.result,
        "fallback": fallback,
        "true_gain": 1 - error / base,
        "model_gain": 1 - own / base,
        "uncertainty": _uncertainty(target, half, case.truth, base) if model.is_calibrated else None,
        **_parts(model),
        "fit_seconds": round(fitted - began, 2),
        "predict_seconds": round(predicted - fitted, 2),
    }


def _parts(model: FittedModel) -> Record:
    """Return the ensemble's weights, and how the guide was aligned."""
    members = model.members
    weights = {"network": model.stacking.network, "members": model.stacking.members}
    record: Record = {"weights": {name: round(weight, 4) for name, weight in weights.items() if weight}}
    if members is not None:
        record["member_weights"] = {name: round(weight, 4) for name, weight in members.weights.items()}
        record["alignment"] = {
            "blur_px": members.alignment.blur_px,
            "shift_px": list(members.alignment.shift_px),
        }
    return record


def _uncertainty(target: np.ndarray, half: np.ndarray, truth: np.ndarray, base: float) -> Record:
    """Return coverage, rank correlation and mean of the uncertainty, and the Winkler score of its interval."""
    error = np.abs(target.astype(np.float64) - truth)
    known = np.isfinite(error) & np.isfinite(half)
    width = half[known].astype(np.float64)
    winkler = float(np.mean(2 * width + MISS * np.maximum(error[known] - width, 0)))
    scores = UncertaintyScores.of(target, half, truth)
    return scores.as_dict() | {"winkler": winkler, "winkler_by_baseline_rmse": winkler / base}


def _members(case: Case, consistent: np.ndarray) -> list[Record]:
    """Return the scores of each member alone, where the bicubic baseline has data."""
    model = drafted(case)
    known = np.isfinite(consistent)
    return [
        {"rmse": rmse(np.where(known, target, np.nan), case.truth), "alignment": _parts(model)["alignment"]}
        for target in alone(case, model).values()
    ]


def _prototype(case: Case, command: Sequence[str]) -> Record:
    """Return the scores of a script that is called as SOURCE GUIDE OUT SCALE, with GeoTIFFs."""
    pair = case.trial.pair
    with tempfile.TemporaryDirectory() as folder:
        source, guide, out = (str(Path(folder) / f"{name}.tif") for name in ("source", "guide", "out"))
        write_raster(source, case.source[None], pair.source.grid)
        write_raster(guide, case.guide, pair.guide.grid)
        began = time.monotonic()
        ended = subprocess.run(  # noqa: S603  (the script that the user named)
            [*command, source, guide, out, str(case.scale.y)], capture_output=True, text=True, check=False
        )
        seconds = time.monotonic() - began
        if ended.returncode:
            raise RuntimeError(f"{command[-1]} failed: {ended.stderr.strip().splitlines()[-1:]}")
        with rasterio.open(out) as raster:
            target = raster.read(1)
    known = np.repeat(np.repeat(np.isfinite(case.source), case.scale.y, axis=0), case.scale.x, axis=1)
    return {
        "rmse": rmse(np.where(known, target, np.nan), case.truth),
        "fit_seconds": round(seconds, 2),
        "printed": ended.stdout.strip(),
    }


def write_raster(path: str | Path, values: np.ndarray, grid: GeoBox) -> None:
    """Write bands (C, H, W) as a GeoTIFF of float32 with NaN as nodata."""
    count, height, width = values.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="float32",
        nodata=np.nan,
        count=count,
        height=height,
        width=width,
        crs=str(grid.crs),
        transform=grid.transform,
    ) as raster:
        raster.write(values)


def jobs_of(pairs: Iterable[PairOfKind], methods: Sequence[str], seed: int, codes: dict[str, str]) -> list[Job]:
    """Return the jobs, one method after the other."""
    pairs = list(pairs)
    return [
        Job(pair.name, method, 0 if method in {"bicubic", "prototype"} else seed, codes[method])
        for method in methods
        for pair in pairs
    ]


def wanted_by_best(pair: PairOfKind) -> bool:
    """Return whether `best` runs on a pair that is not named on the command line."""
    return pair.core or pair.kind == "depth"


def stored(results: Path) -> list[Record]:
    """Return the stored runs."""
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def run_all(jobs: Sequence[Job], data: Path, workers: int, results: Path) -> int:
    """Run the missing jobs and store each run as it comes; returns the number of jobs that failed."""
    records = stored(results)
    missing = [
        job for job in jobs if not all(any(key.items() <= record.items() for record in records) for key in job.keys)
    ]
    results.parent.mkdir(exist_ok=True)
    began, failed = time.monotonic(), 0
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
        waiting = {executor.submit(run, job, data): job for job in missing}
        for done, future in enumerate(as_completed(waiting), start=1):
            job = waiting[future]
            head = f"[{done}/{len(missing)}, {(time.monotonic() - began) / 60:.1f} min] {job.pair:30} {job.method:10}"
            error = future.exception()
            if error is not None:
                failed += 1
                print(f"{head} failed: {type(error).__name__}: {error}", flush=True)
                continue
            lines = future.result()
            with results.open("a") as file:
                file.writelines(json.dumps(line) + "\n" for line in lines)
            best = min(lines, key=lambda line: float(line["ratio"]))
            seconds = best.get("fit_seconds", 0.0) + best.get("predict_seconds", 0.0)
            print(f"{head} {best['ratio']:.3f}  RMSE {best['rmse']:.4g}  {seconds:.0f} s", flush=True)
    return failed


Runs = dict[tuple[str, str], Record]
"""Runs by pair and method."""


def runs_of(jobs: Sequence[Job], records: Sequence[Record]) -> Runs:
    """Return the stored runs of the jobs, without those of other code."""
    wanted = {json.dumps(key) for job in jobs for key in job.keys}
    names = ("pair", "method", "seed", "code")
    return {
        (record["pair"], record["method"]): record
        for record in records
        if json.dumps({name: record[name] for name in names}) in wanted
    }


def by_place(pairs: Sequence[PairOfKind], value: Callable[[PairOfKind], float | None]) -> tuple[float | None, int]:
    """Return the geometric mean over the pairs of a place, then over places, and the number of pairs that have one."""
    places: dict[str, list[float]] = {}
    for pair in pairs:
        if (known := value(pair)) is not None:
            places.setdefault(pair.place, []).append(known)
    if not places:
        return None, 0
    return geometric_mean(map(geometric_mean, places.values())), sum(map(len, places.values()))


def table(pairs: Sequence[PairOfKind], jobs: Sequence[Job], runs: Runs) -> str:
    """Return the summaries in Markdown: errors by kind, guide checks, uncertainty and computing time."""
    methods = list(dict.fromkeys(key["method"] for job in jobs for key in job.keys))
    methods = [method for method in methods if any((pair.name, method) in runs for pair in pairs)]
    shown = [method for method in methods if method != "bicubic"]
    averaged = [pair for pair in pairs if not pair.two_sensor]
    qualities = [method for method in shown if method in QUALITIES]
    sections = [
        "## RMSE over the bicubic baseline",
        "",
        "In parentheses: the number of pairs with a run, where some have none.",
        "",
        *summary(averaged, [pair for pair in pairs if pair.two_sensor], shown, runs),
        "",
        *_depth([pair for pair in pairs if pair.kind == "depth" and pair.scale == 4], methods, runs),
    ]
    if not qualities:
        return "\n".join(sections)
    sections += [
        "",
        "## Guide check and uncertainty",
        "",
        f"The first four figures are those of pairs with a reported gain and a model gain beyond ± {TRUE_GAIN}.",
        "Sign: that of the reported gain. Guide check: whether it says helped where the model gained, and only there.",
        "It never does where the interpolation is used alone, though that may gain over the baseline.",
        "The model's gain is that without the fallback to the bicubic baseline. The Winkler score is that of the 90 %",
        "interval, divided by the baseline's RMSE: its geometric mean over pairs. Two-sensor pairs are left out.",
        "",
        *_reports(averaged, qualities, runs),
        "",
    ]
    return "\n".join(sections)


def summary(
    averaged: Sequence[PairOfKind], two_sensor: Sequence[PairOfKind], methods: Sequence[str], runs: Runs
) -> list[str]:
    """Return the lines of a table: the mean ratio of each method by kind, over the kinds, and of two-sensor pairs."""
    lines = [f"| kind | pairs, places | {' | '.join(methods)} |", "|---" * (len(methods) + 2) + "|"]
    kinds = [kind for kind in get_args(Kind) if any(pair.kind == kind for pair in averaged)]
    means: dict[str, dict[str, float]] = {method: {} for method in methods}

    def ratio(method: str) -> Callable[[PairOfKind], float | None]:
        return lambda pair: runs[pair.name, method]["ratio"] if (pair.name, method) in runs else None

    def row(title: str, pairs: Sequence[PairOfKind], kind: str | None = None) -> str:
        cells = []
        for method in methods:
            mean, count = by_place(pairs, ratio(method))
            if mean is not None and kind is not None:
                means[method][kind] = mean
            cells.append("" if mean is None else f"{mean:.3f}" + (f" ({count})" if count < len(pairs) else ""))
        return f"| {title} | {len(pairs)}, {len({pair.place for pair in pairs})} | {' | '.join(cells)} |"

    lines += [row(kind, [pair for pair in averaged if pair.kind == kind], kind) for kind in kinds]
    for title, left_out in (("**all kinds**", ""), ("**without depth**", "depth")):
        chosen = [pair for pair in averaged if pair.kind != left_out]
        cells = []
        for method in methods:
            values = [mean for kind, mean in means[method].items() if kind != left_out]
            count = sum((pair.name, method) in runs for pair in chosen)
            missing = f" ({count})" if count < len(chosen) else ""
            cells.append(f"**{geometric_mean(values):.3f}**{missing}" if values else "")
        lines.append(f"| {title} | {len(chosen)}, {len({pair.place for pair in chosen})} | {' | '.join(cells)} |")
    if two_sensor:
        lines.append(row("two-sensor pairs, not in the means", two_sensor))
    return lines


def _depth(pairs: Sequence[PairOfKind], methods: Sequence[str], runs: Runs) -> list[str]:
    """Return the mean RMSE of each method over the depth pairs x4, in grey levels."""
    cells = []
    for method in methods:
        errors = [runs[pair.name, method]["rmse"] for pair in pairs if (pair.name, method) in runs]
        if errors:
            count = f" ({len(errors)} of {len(pairs)})" if len(errors) < len(pairs) else ""
            cells.append(f"{method} {fmean(errors):.3f}{count}")
    names = ", ".join(pair.place.removeprefix("depth ") for pair in pairs)
    return [f"Mean RMSE over depth {names}, x4, in grey levels: {', '.join(cells)}."] if cells else []


def _heading(columns: Sequence[str]) -> list[str]:
    """Return the first two lines of a table in Markdown."""
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]


def _reports(pairs: Sequence[PairOfKind], qualities: Sequence[str], runs: Runs) -> list[str]:
    head = (
        "quality",
        "sign right",
        "guide check right",
        "median of abs(reported - true)",
        "mean of reported - true",
        "not checked",
        "fallbacks",
        "coverage, mean",
        "within 0.80 to 0.98",
        "not calibrated",
        "Winkler",
        "fit + prediction, median s",
    )
    lines = _heading(head)
    for quality in qualities:
        found = [runs[pair.name, quality] for pair in pairs if (pair.name, quality) in runs]
        if not found:
            continue
        checked = [run for run in found if run["gain"] is not None and abs(run["model_gain"]) > TRUE_GAIN]
        errors = [run["gain"] - run["model_gain"] for run in checked]
        agreed = sum((run["guide_check"] == "helped") == (run["model_gain"] > 0) for run in checked)
        right = sum((run["gain"] > 0) == (run["model_gain"] > 0) for run in checked)
        known = [run["uncertainty"] for run in found if run["uncertainty"] is not None]
        coverages = [scores["coverage"] for scores in known]
        within = sum(0.80 <= coverage <= 0.98 for coverage in coverages)
        cells = (
            quality,
            f"{right} of {len(checked)}",
            f"{agreed} of {len(checked)}",
            f"{median(map(abs, errors)):.3f}" if errors else "",
            f"{fmean(errors):+.3f}" if errors else "",
            sum(run["gain"] is None for run in found),
            sum(run["fallback"] for run in found),
            f"{fmean(coverages):.3f}" if known else "",
            f"{within} of {len(known)}",
            len(found) - len(known),
            f"{geometric_mean(scores['winkler_by_baseline_rmse'] for scores in known):.2f}" if known else "",
            f"{median(run['fit_seconds'] + run['predict_seconds'] for run in found):.0f}",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def rows(pairs: Sequence[PairOfKind], runs: Runs) -> str:
    """Return one row per pair and method: error, reported and true gain, coverage, Winkler score and alignment."""
    head = (
        "pair",
        "method",
        "RMSE",
        "over baseline",
        "gain, reported",
        "guide check",
        "gain of the model",
        "coverage",
        "Winkler",
        "blur, shift of the guide",
        "s",
    )
    lines = _heading(head)
    for pair in pairs:
        for (name, method), run in runs.items():
            if name != pair.name:
                continue
            gain, scores, alignment = run.get("gain"), run.get("uncertainty"), run.get("alignment")
            seconds = run.get("fit_seconds", 0.0) + run.get("predict_seconds", 0.0)
            cells = (
                name,
                method,
                f"{run['rmse']:.4g}",
                f"{run['ratio']:.3f}",
                "" if gain is None else f"{gain:+.2f}",
                run.get("guide_check", "") + (", fallback" if run.get("fallback") else ""),
                f"{run['model_gain']:+.2f}" if "model_gain" in run else "",
                f"{scores['coverage']:.2f}" if scores else "",
                f"{scores['winkler_by_baseline_rmse']:.2f}" if scores else "",
                "" if alignment is None else f"{alignment['blur_px']:g}, {tuple(alignment['shift_px'])}",
                f"{seconds:.0f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def listed(pairs: Sequence[PairOfKind], data: Path | None) -> str:
    """Return the pairs as a table; sizes of sources need the data."""
    lines = ["| pair | kind | place | half | scale | source | remarks |", "|---" * 7 + "|"]
    for pair in pairs:
        size = "" if data is None else "{} x {}".format(*pair.read(data).source.shape)
        remarks = ", ".join(word for word, holds in (("core", pair.core), ("two sensors", pair.two_sensor)) if holds)
        lines.append(f"| {pair.name} | {pair.kind} | {pair.place} | {pair.half} | x{pair.scale} | {size} | {remarks} |")
    return "\n".join(lines)


def main() -> None:
    """Run the missing runs, then print the tables of the stored ones."""
    options = _options()
    pairs = [
        pair
        for pair in PAIRS.values()
        if (
            pair.name in options.pairs
            if options.pairs
            else options.half in {pair.half, "all"} and (pair.core or not options.core)
        )
    ]
    if options.list:
        print(listed(pairs, options.data))
        return
    methods = _methods(options)
    records = stored(options.results)
    codes = {
        method: _code_of_prototype(options.prototype, records) if method == "prototype" else Codes().of(method)
        for method in methods
    }
    jobs = [
        replace(job, command=(str(options.prototype_python), str(options.prototype)))
        if job.method == "prototype"
        else job
        for job in jobs_of(pairs, methods, options.seed, codes)
        if job.method != "best" or options.pairs or wanted_by_best(PAIRS[job.pair])
    ]
    failed = 0 if options.table else run_all(jobs, options.data, options.workers, options.results)
    runs = runs_of(jobs, stored(options.results))
    print(table(pairs, jobs, runs))
    if options.rows:
        print(rows(pairs, runs))
    if failed:
        raise SystemExit(f"{failed} runs failed: see their lines above")


def _methods(options: argparse.Namespace) -> list[str]:
    """Return the requested methods, of a table all, and the prototype where its path was given."""
    if options.table:
        return list(options.quality or METHODS)
    chosen = options.quality or (OF_CORE if options.core else ("bicubic", *QUALITIES))
    return [*chosen, *(["prototype"] if options.prototype and "prototype" not in chosen else [])]


def _code_of_prototype(script: Path | None, records: Sequence[Record]) -> str:
    """Return the hash of the script's text; without a script that of the last stored run."""
    if script is not None:
        return hashlib.sha256(script.read_bytes()).hexdigest()[:12]
    codes = [str(record["code"]) for record in records if record["method"] == "prototype"]
    return codes[-1] if codes else ""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="*", metavar="PAIR", help="pairs to run; without them the half, or the core")
    parser.add_argument("--data", type=Path, help="folder of the data sets; required without --table and --list")
    parser.add_argument(
        "--half",
        choices=("choosing", "reserved", "all"),
        default="choosing",
        help="half to run: choosing by default; the reserved half is for the final figures alone",
    )
    parser.add_argument("--core", action="store_true", help="12 pairs of the choosing half, of all kinds")
    parser.add_argument(
        "--quality",
        nargs="+",
        choices=METHODS,
        help="methods to run: bicubic, draft, fast, balanced and best by default, without best with --core. best runs "
        "on depth and the core alone, unless pairs are named; members runs each member of a draft alone",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the fits")
    parser.add_argument("--workers", type=int, default=2, help="number of processes, with one thread each")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of the stored runs")
    parser.add_argument("--table", action="store_true", help="print the tables of the stored runs and run nothing")
    parser.add_argument("--rows", action="store_true", help="print one row per pair and method after the tables")
    parser.add_argument("--list", action="store_true", help="print the pairs and run nothing; sizes need --data")
    parser.add_argument(
        "--prototype", type=Path, help="a script called as SOURCE GUIDE OUT SCALE, that is scored as method prototype"
    )
    parser.add_argument(
        "--prototype-python", type=Path, default=Path("python3"), help="Python that runs the script of --prototype"
    )
    options = parser.parse_args()
    unknown = [name for name in options.pairs if name not in PAIRS]
    if unknown:
        parser.error(f"there is no pair {', '.join(unknown)}: --list prints all pairs")
    if options.data is None and not (options.table or options.list):
        parser.error("pass the folder of the data sets: --data DIR")
    if options.prototype is None and "prototype" in (options.quality or ()) and not options.table:
        parser.error("pass the script of the prototype: --prototype PATH")
    return options


if __name__ == "__main__":
    main()
