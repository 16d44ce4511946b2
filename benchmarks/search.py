"""A search for what brings the most for the least: many ways to fit, over many pairs, kept and never made twice.

    python benchmarks/search.py --data DIR --plan schedule          the ways of one plan (see `plans`), on 2 cores
    python benchmarks/search.py --data DIR --plan ... --device cuda --workers 14
    python benchmarks/search.py --table                             what is kept, by way

A way is a `FitParams` with some of its values changed, and beside it changes that the package has no option for
(`Beside`). A run is kept by pair, seed, way and what the code comes to (versions.py), as one line of
benchmarks/results/search.jsonl. Defaults are chosen on `CHOOSING` alone; `RESERVED` is for the last word.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from fractions import Fraction
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, geometric_mean, stdev
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from optimisers import OPTIMISERS
from pairs import Case, case, dataset_of
from versions import Codes, tiling

from mmsr_geo.evaluation.metrics import rmse
from mmsr_geo.methods.baseline import BaselineMethod, baseline
from mmsr_geo.methods.scene import SceneFit
from mmsr_geo.methods.source import Method
from mmsr_geo.network import fit as fitting
from mmsr_geo.network.mmsr import NetworkParams
from mmsr_geo.network.params import FitParams
from mmsr_geo.pipeline.in_process import run_of, whole_target

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "search.jsonl"

CHOOSING = ("s2", "vhm")
"""The data sets that defaults are chosen on: Sentinel-2 bands and canopy heights."""
RESERVED = ("l7", "autzen", "rmnp")
"""Landsat 7 thermal, a lidar surface, a mountains' elevation: to be looked at once, when all is chosen."""
PAIRS = (
    *("s2-B05-x4", "s2-B8A-x2", "s2-B11-x4", "s2-B12-x8"),
    *("vhm0-x4", "vhm1-x4", "vhm2-x8", "vhm0-x8-shifted"),
)
"""Eight pairs of the choosing half: each scale, guides that tell nearly all and guides that lie off."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What the package has no option for; each value's default is what the package does."""

    after: str = "3"
    """After a first stage so many times fewer steps follow: a fraction."""
    channels: int = 64
    source_to_guide_px: int = 11
    guide_to_source_px: int = 5
    optimiser: str = "adam"
    """One of optimisers.py."""
    prior: str = "none"
    """What is taken from the source, and added to the target again: see `PRIORS`."""
    registered: bool = False
    """Whether the guide is moved, by whole target pixels, to where it tells the source best."""

    @property
    def changed(self) -> dict[str, Any]:
        """Return what is not as the package has it."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Change the package's fit, in this process, while it lasts."""
        shape = partial(
            NetworkParams,
            channels=self.channels,
            source_to_guide_px=self.source_to_guide_px,
            guide_to_source_px=self.guide_to_source_px,
        )
        with ExitStack() as changes:
            changes.enter_context(patch.object(fitting, "AFTER_FIRST_STAGE", Fraction(self.after)))
            changes.enter_context(patch.object(fitting, "NetParams", shape))
            changes.enter_context(patch.object(torch.optim, "Adam", OPTIMISERS[self.optimiser]))
            yield


@dataclass(frozen=True, slots=True)
class Way:
    """One way to fit."""

    params: FitParams = field(default_factory=FitParams)
    beside: Beside = field(default_factory=Beside)

    @property
    def key(self) -> dict[str, Any]:
        """What identifies it: what differs from the package's defaults, as JSON values."""
        ours, plain = asdict(self.params), asdict(FitParams())
        return {name: value for name, value in ours.items() if value != plain[name] and name != "threads"} | (
            self.beside.changed
        )

    @property
    def name(self) -> str:
        """How a table calls it."""
        return ", ".join(f"{name} {value}" for name, value in self.key.items()) or "default"


@dataclass(frozen=True, slots=True)
class Trial:
    """A way tried on a pair with a seed."""

    pair: str
    seed: int
    way: Way

    def key(self, code: str) -> dict[str, Any]:
        """What identifies its result."""
        return {"pair": self.pair, "seed": self.seed, "way": self.way.key, "code": code}


def way(**changes: Any) -> Way:  # noqa: ANN401  (values of FitParams and Beside)
    """Return the default with some values changed, each going where it belongs."""
    beside = {f.name for f in fields(Beside)}
    params = {name: value for name, value in changes.items() if name not in beside}
    return Way(FitParams(**params), Beside(**{name: value for name, value in changes.items() if name in beside}))


def plans() -> dict[str, list[Way]]:
    """Return what has been searched, in the order of its worth."""
    same = 300 * 96**2
    return {
        "steps": [way(), *(way(steps=steps) for steps in (100, 600, 1200))],
        "prior": [
            *(way(prior=name, **more) for more in ({}, {"steps": 100}) for name in PRIORS),
            way(registered=True),
            *(way(prior=name, registered=True) for name in ("guided", "detail")),
        ],
        "rate": [way(lr=lr) for lr in (0.0005, 0.002, 0.004)],
        "share": [way(after=after) for after in ("3/2", "6", "12")] + [way(first_stage=False)],
        "patch": [
            *(way(patch_px=side, steps=round(same / side**2)) for side in (48, 64, 128, 192)),
            *(way(batch=batch, steps=300 // batch) for batch in (2, 4)),
            way(batch=4),
        ],
        "model": [
            *(way(channels=channels) for channels in (16, 32, 96)),
            way(source_to_guide_px=7),
            way(guide_features=False),
            way(over_bicubic=True),
        ],
        "optimiser": [way(optimiser=name) for name in OPTIMISERS if name != "adam"],
        "together": [
            *(way(prior="guided-weighed", registered=moved) for moved in (False, True)),
            *(way(prior="guided", first_stage=False, steps=steps) for steps in (100, 300)),
            way(prior="guided", lr=0.0005),
            way(lr=0.0005, steps=600),
            way(lr=0.0005, after="6"),
            way(guide_weight_decay=5e-3),
        ],
        "again": [
            way(),
            way(lr=0.0005),
            way(prior="guided"),
            way(registered=True),
            way(prior="guided", registered=True),
            way(steps=600),
            way(optimiser="adamw"),
            way(after="12"),
        ],
        "long": [way(steps=2400)],
    }


PRIORS: dict[str, Callable[[Case], np.ndarray]] = {}
"""By name: the part of a target that can be told beforehand, (H, W), from source and guide alone."""


def prior(name: str) -> Callable[[Callable[[Case], np.ndarray]], Callable[[Case], np.ndarray]]:
    """Put a function among the priors."""

    def put(function: Callable[[Case], np.ndarray]) -> Callable[[Case], np.ndarray]:
        PRIORS[name] = function
        return function

    return put


@prior("linear")
def linear(made: Case) -> np.ndarray:
    """Return the linear function of the guide's bands whose block means are nearest to the source."""
    return _regressed(made, made.guide)


@prior("detail")
def detail(made: Case) -> np.ndarray:
    """Return the linear function of the bands whose detail is nearest to the source's, both one level down.

    A raster's detail is what its consistent interpolation misses. Where the guide tells little of it there, the weights
    are small; the linear function above is blind to that.
    """
    height, width = (side // factor * factor for side, factor in zip(made.source.shape, _yx(made), strict=True))
    source = made.source[:height, :width]
    means = np.stack([_block_means(band, made) for band in made.guide])[:, :height, :width].astype(np.float32)
    wanted = _detail(replace(made, truth=source))
    shown = np.stack([_detail(replace(made, truth=band)) for band in means])
    seen = np.isfinite(wanted) & np.isfinite(shown).all(axis=0)
    weights = _ridge(shown[:, seen].T, wanted[seen])
    told: np.ndarray = np.tensordot(weights, made.guide - made.guide.mean(axis=(1, 2), keepdims=True), 1)
    return told.astype(np.float32)


@prior("guided")
def guided(made: Case) -> np.ndarray:
    """Return the guided filter's target."""
    return _target(made, BaselineMethod("guided-filter", baseline("guided-filter"), device="cpu"), "cpu")


@prior("guided-weighed")
def guided_weighed(made: Case) -> np.ndarray:
    """Return the guided filter's target, times the share of its detail that was true one level down (0 to 1)."""
    height, width = (side // factor * factor for side, factor in zip(made.source.shape, _yx(made), strict=True))
    means = np.stack([_block_means(band, made) for band in made.guide])[:, :height, :width].astype(np.float32)
    below = replace(made, truth=made.source[:height, :width], guide=means)
    wanted, shown = _detail(below), _detail(replace(below, truth=guided(below)))
    seen = np.isfinite(wanted) & np.isfinite(shown)
    share = float((wanted * shown)[seen].sum() / max(np.square(shown[seen]).sum(), 1e-12))
    told: np.ndarray = guided(made) * np.float32(min(max(share, 0.0), 1.0))
    return told


def _regressed(made: Case, bands: np.ndarray) -> np.ndarray:
    means = np.stack([_block_means(band, made) for band in bands])
    source = made.source
    seen = np.isfinite(source) & np.isfinite(means).all(axis=0)
    centre, spread = means[:, seen].mean(axis=1), means[:, seen].std(axis=1) + 1e-12
    design = ((means[:, seen].T - centre) / spread).astype(np.float64)
    weights = _ridge(design, source[seen] - source[seen].mean())
    shown = (bands - centre[:, None, None]) / spread[:, None, None]
    made_of: np.ndarray = np.tensordot(weights, shown, 1).astype(np.float32)
    return made_of


def _ridge(design: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Regress on the columns; of one part in a thousand, for bands nearly alike would have weights of any size."""
    spread = design.std(axis=0, dtype=np.float64) + 1e-12
    columns = design / spread
    square = columns.T @ columns + 1e-3 * len(columns) * np.eye(len(spread))
    weights: np.ndarray = np.linalg.solve(square, columns.T @ wanted.astype(np.float64)) / spread
    return weights


def _detail(made: Case) -> np.ndarray:
    """Return the truth less its source's consistent bicubic interpolation."""
    smooth = BaselineMethod("bicubic", baseline("bicubic"), consistent=True, device="cpu")
    missed: np.ndarray = made.truth - _target(made, smooth, "cpu")
    return missed


def _yx(made: Case) -> tuple[int, int]:
    return made.scale.y, made.scale.x


def _block_means(values: np.ndarray, made: Case) -> np.ndarray:
    height, width = values.shape
    blocks = values.reshape(height // made.scale.y, made.scale.y, width // made.scale.x, made.scale.x)
    means: np.ndarray = blocks.mean(axis=(1, 3), dtype=np.float64)
    return means


def _target(made: Case, method: Method, device: str) -> np.ndarray:
    pair = made.trial.pair
    run = run_of(pair, method, method.model_for(pair), tiling(pair, method), device=device)
    return whole_target(run, pair)


def registered(made: Case) -> Case:
    """Move the guide by whole target pixels to where a linear function of its bands is nearest to the source.

    Tried as far as one source pixel, or three target pixels, each way; the border that wraps around is left out.
    """
    inside = np.isfinite(made.source)
    inside[:2], inside[-2:], inside[:, :2], inside[:, -2:] = False, False, False, False
    wanted = made.source[inside] - made.source[inside].mean()

    def missed(shift: tuple[int, int]) -> float:
        moved = np.roll(made.guide, shift, axis=(1, 2))
        shown = np.stack([_block_means(band, made)[inside] for band in moved], axis=1)
        shown -= shown.mean(axis=0)
        return float(np.square(wanted - shown @ _ridge(shown, wanted)).sum())

    far_y, far_x = (max(factor, 3) for factor in _yx(made))
    shifts = [(down, across) for down in range(-far_y, far_y + 1) for across in range(-far_x, far_x + 1)]
    return replace(made, guide=np.roll(made.guide, min(shifts, key=missed), axis=(1, 2)))


@cache
def prepared(name: str, beside: Beside, data: Path) -> tuple[Case, float]:
    """Return a pair less what a prior tells of it, and the RMSE of the whole pair's bicubic interpolation.

    The errors of a target and of the target with the prior added again are the same, so the truth may go without it.
    """
    whole = case(name, data)
    smooth = rmse(_target(whole, BaselineMethod("bicubic", baseline("bicubic"), device="cpu"), "cpu"), whole.truth)
    if beside.registered:
        whole = registered(whole)
    told = PRIORS[beside.prior](whole) if beside.prior != "none" else 0.0
    return replace(whole, truth=(whole.truth - told).astype(np.float32)), smooth


def run(trial: Trial, data: Path, device: str, code: str) -> dict[str, Any]:
    """Fit, predict and score; called in a process of its own."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(trial.way.params.threads or 1)
    if device != "cpu":
        torch.backends.cudnn.allow_tf32 = False  # float32 as on the CPU
    beside = trial.way.beside
    made, smooth = prepared(trial.pair, Beside(prior=beside.prior, registered=beside.registered), data)
    pair = made.trial.pair
    started = time.monotonic()
    with beside.applied():
        method = SceneFit(trial.way.params, trial.seed, device, "warn")
        model = method.model_for(pair)
        seconds = time.monotonic() - started
        target = whole_target(run_of(pair, method, model, tiling(pair, method), device=device), pair)
    fit = model.provenance["fit"]
    return trial.key(code) | {
        "ratio": round(rmse(target, made.truth) / smooth, 5),
        "gain": model.check.gain,
        "first_stage": fit["first_stage"],
        "pixel_steps": fit["pixel_steps"],
        "seconds": round(seconds, 1),
        "device": "cpu" if device == "cpu" else torch.cuda.get_device_name(),
        "torch": torch.__version__,
    }


def kept(results: Path) -> list[dict[str, Any]]:
    """Return all results that were kept."""
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def run_all(trials: Sequence[Trial], options: argparse.Namespace, code: str) -> None:
    """Run what is missing, several processes at once, until the time is over; keep each result as it comes."""
    made = {_frozen(record) for record in kept(options.results)}
    missing = [trial for trial in trials if _frozen(trial.key(code)) not in made]
    ends = time.monotonic() + 60 * options.minutes
    began = time.monotonic()
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as executor:
        waiting = {executor.submit(run, trial, options.data, options.device, code): trial for trial in missing}
        for done, future in enumerate(as_completed(waiting), start=1):
            if future.cancelled():
                continue
            line, trial = future.result(), waiting[future]
            with options.results.open("a") as file:
                file.write(json.dumps(line) + "\n")
            minutes = (time.monotonic() - began) / 60
            said = f"{trial.pair:16} {trial.seed}  {line['ratio']:.3f}  {line['seconds']:5.1f} s  {trial.way.name}"
            print(f"[{done}/{len(missing)}, {minutes:.1f} min] {said}", flush=True)
            if time.monotonic() > ends:
                executor.shutdown(wait=False, cancel_futures=True)


def _frozen(record: dict[str, Any]) -> str:
    return json.dumps({name: record[name] for name in ("pair", "seed", "way", "code")}, sort_keys=True)


def table(records: Sequence[dict[str, Any]], pairs: Sequence[str]) -> str:
    """Return a row for each way: the ratio to bicubic by data set and over them, its spread, and the work.

    Ways are compared on the pairs and seeds that the default has too; a way's own are counted.
    """
    by_way: dict[str, dict[tuple[str, int], dict[str, Any]]] = {}
    for record in records:
        if record["pair"] in pairs:
            by_way.setdefault(json.dumps(record["way"]), {})[record["pair"], record["seed"]] = record
    sets = list(dict.fromkeys(dataset_of(pair) for pair in pairs))
    lines = [
        f"| way | {' | '.join(sets)} | over them | against the default | pixels x steps, M | pairs x seeds |",
        "|---" * (len(sets) + 5) + "|",
    ]
    default = by_way.get("{}", {})
    for name, runs in by_way.items():
        shared = [key for key in runs if key in default]
        means = {
            dataset: geometric_mean([runs[key]["ratio"] for key in runs if dataset_of(key[0]) == dataset] or [math.nan])
            for dataset in sets
        }
        against = [math.log(runs[key]["ratio"] / default[key]["ratio"]) for key in shared]
        spread = f" ± {stdev(against) / math.sqrt(len(against)):.3f}" if len(against) > 1 and name != "{}" else ""
        change = f"{math.exp(fmean(against)) - 1:+.3f}{spread}" if against else ""
        work = fmean(run["pixel_steps"] for run in runs.values()) / 1e6
        said = ", ".join(f"{key} {value}" for key, value in json.loads(name).items()) or "default"
        cells = " | ".join(f"{means[dataset]:.3f}" for dataset in sets)
        over = geometric_mean(means.values())
        lines.append(f"| {said} | {cells} | {over:.3f} | {change} | {work:.1f} | {len(runs)} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing of the plans that were named, then print the table of what is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of the data sets; needed unless --table")
    parser.add_argument("--plan", nargs="*", choices=plans(), default=list(plans()), help="these only")
    parser.add_argument("--pairs", nargs="*", default=list(PAIRS), help="of the choosing half")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1], help="of each way and pair")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--workers", type=int, default=2, help="processes at once")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin nothing after so many")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where runs are kept")
    parser.add_argument("--codes", type=Path, metavar="FILE", help="what the code comes to: see fidelity.py")
    parser.add_argument("--table", action="store_true", help="print the table of what is kept and run nothing")
    options = parser.parse_args()
    if not options.table:
        if options.data is None:
            parser.error("give the folder of the data sets: --data DIR")
        reserved = [pair for pair in options.pairs if dataset_of(pair) in RESERVED]
        if reserved:
            parser.error(f"{', '.join(reserved)}: of the half that is looked at once, when all is chosen")
        code = (Codes() if options.codes is None else Codes.read(options.codes)).of("mmsr")
        ways = [each for name in options.plan for each in plans()[name]]
        trials = [Trial(pair, seed, each) for seed in options.seeds for each in ways for pair in options.pairs]
        run_all(trials, options, code)
    print(table(kept(options.results), options.pairs))


if __name__ == "__main__":
    main()
