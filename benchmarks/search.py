"""Search for fit parameters: many configurations over many pairs; stored runs are not repeated.

    python benchmarks/search.py --data DIR --plan steps        the configurations of one plan (see `plans`), on 2 cores
    python benchmarks/search.py --data DIR --plan ... --device cuda --workers 14
    python benchmarks/search.py --table                        the table of the stored runs

A configuration is a `FitParams` with some values changed, and changes that the package has no option for (`Variant`).
A run is stored as one line of benchmarks/results/search.jsonl. Its key is the pair, the seed, the configuration and
the code's hash (versions.py). Defaults are chosen on `CHOOSING` alone; `RESERVED` is for the final comparison.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, fields, replace
from fractions import Fraction
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, geometric_mean, stdev
from typing import Any

import numpy as np
import torch
from cases import Case, dataset_of, read_case
from optimisers import OPTIMISERS
from versions import Codes, tiling

from mmsr_geo.callbacks import no_progress
from mmsr_geo.engine.sampling import read_samples
from mmsr_geo.evaluation.metrics import rmse
from mmsr_geo.methods.base import Method
from mmsr_geo.methods.baseline import BaselineMethod, baseline
from mmsr_geo.methods.scene import SceneFit
from mmsr_geo.network.degradation import degrade
from mmsr_geo.network.fit import FitDesign, fit_samples
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.network.members.alignment import align
from mmsr_geo.network.members.layers import GuideScaling
from mmsr_geo.network.members.sensor import settle
from mmsr_geo.network.mmsr import NetworkParams
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.network.sensor import BLOCK_MEANS
from mmsr_geo.pipeline.in_process import run_of, whole_target

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "search.jsonl"

CHOOSING = ("s2", "vhm")
"""Data sets that defaults are chosen on: Sentinel-2 bands and canopy heights."""
RESERVED = ("l7", "autzen", "rmnp")
"""Data sets of the final comparison: Landsat 7 thermal, a lidar surface, a mountain range's elevation."""
PAIRS = (
    *("s2-B05-x4", "s2-B8A-x2", "s2-B11-x4", "s2-B12-x8"),
    *("vhm0-x4", "vhm1-x4", "vhm2-x8", "vhm0-x8-shifted"),
)
"""Eight pairs of CHOOSING: each scale, guides that explain nearly everything and guides that are shifted."""


@dataclass(frozen=True, slots=True)
class Variant:
    """Changes of a fit that the package has no option for; the defaults are the package's."""

    after: str = "3"
    """Factor by which the second stage has fewer steps than the first: a fraction."""
    channels: int = 64
    """Number of channels of both branches of the network."""
    source_to_guide_px: int = 11
    """Side of the source's neighbourhood, in target pixels."""
    guide_to_source_px: int = 5
    """Side of the guide's neighbourhood, in target pixels."""
    optimiser: str = "adam"
    """One of optimisers.py."""
    prior: str = "none"
    """One of `PRIORS`: a prediction that is subtracted from the source, and added to the target again."""
    registered: bool = False
    """True: the guide is moved and blurred as members align it, for a network alone too."""

    @property
    def changed(self) -> dict[str, Any]:
        """Values that differ from the package's."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    @property
    def design(self) -> FitDesign:
        """Network, optimiser and proportion of the stages."""
        network = partial(
            NetworkParams,
            channels=self.channels,
            source_to_guide_px=self.source_to_guide_px,
            guide_to_source_px=self.guide_to_source_px,
        )
        return FitDesign(network, OPTIMISERS[self.optimiser], Fraction(self.after))


@dataclass(frozen=True, slots=True)
class Configuration:
    """One configuration of a fit."""

    params: FitParams = field(default_factory=FitParams)
    variant: Variant = field(default_factory=Variant)

    @property
    def key(self) -> dict[str, Any]:
        """Values that differ from the package's defaults, as JSON values."""
        ours, plain = asdict(self.params), asdict(FitParams())
        return {name: value for name, value in ours.items() if value != plain[name] and name != "threads"} | (
            self.variant.changed
        )

    @property
    def name(self) -> str:
        """Name in a table."""
        return ", ".join(f"{name} {value}" for name, value in self.key.items()) or "default"


@dataclass(frozen=True, slots=True)
class Trial:
    """One configuration on one pair with one seed."""

    pair: str
    seed: int
    configuration: Configuration

    def key(self, code: str) -> dict[str, Any]:
        """Return the values that identify the result."""
        return {"pair": self.pair, "seed": self.seed, "way": self.configuration.key, "code": code}


def changed(**changes: Any) -> Configuration:  # noqa: ANN401  (values of FitParams and Variant)
    """Return the default configuration with some values of `FitParams` or `Variant` changed."""
    names = {f.name for f in fields(Variant)}
    params = {name: value for name, value in changes.items() if name not in names}
    variant = {name: value for name, value in changes.items() if name in names}
    return Configuration(FitParams(**params), Variant(**variant))


def plans() -> dict[str, list[Configuration]]:
    """Return the plans of the search by name, the most useful first."""
    same = 300 * 96**2
    return {
        "steps": [changed(), *(changed(steps=steps) for steps in (100, 600, 1200))],
        "prior": [
            *(changed(prior=name, **more) for more in ({}, {"steps": 100}) for name in PRIORS),
            changed(registered=True),
            *(changed(prior=name, registered=True) for name in ("guided", "detail")),
        ],
        "rate": [changed(lr=lr) for lr in (0.0005, 0.002, 0.004)],
        "share": [changed(after=after) for after in ("3/2", "6", "12")] + [changed(first_stage=False)],
        "patch": [
            *(changed(patch_px=side, steps=round(same / side**2)) for side in (48, 64, 128, 192)),
            *(changed(batch=batch, steps=300 // batch) for batch in (2, 4)),
            changed(batch=4),
        ],
        "model": [
            *(changed(channels=channels) for channels in (16, 32, 96)),
            changed(source_to_guide_px=7),
            changed(guide_features=False),
            changed(over_bicubic=True),
        ],
        "optimiser": [changed(optimiser=name) for name in OPTIMISERS if name != "adam"],
        "together": [
            *(changed(prior="guided-weighed", registered=moved) for moved in (False, True)),
            *(changed(prior="guided", first_stage=False, steps=steps) for steps in (100, 300)),
            changed(prior="guided", lr=0.0005),
            changed(lr=0.0005, steps=600),
            changed(lr=0.0005, after="6"),
            changed(guide_weight_decay=5e-3),
        ],
        "again": [
            changed(),
            changed(lr=0.0005),
            changed(prior="guided"),
            changed(registered=True),
            changed(prior="guided", registered=True),
            changed(steps=600),
            changed(optimiser="adamw"),
            changed(after="12"),
        ],
        "long": [changed(steps=2400)],
    }


PRIORS: dict[str, Callable[[Case], np.ndarray]] = {}
"""Predictions (H, W) of a target from source and guide, without a fit, by name."""


def prior(name: str) -> Callable[[Callable[[Case], np.ndarray]], Callable[[Case], np.ndarray]]:
    """Register a function in `PRIORS`."""

    def register(function: Callable[[Case], np.ndarray]) -> Callable[[Case], np.ndarray]:
        PRIORS[name] = function
        return function

    return register


@prior("linear")
def linear(case: Case) -> np.ndarray:
    """Return the linear function of the guide's bands whose block means are nearest to the source."""
    means, source = _block_means(case.guide, case), case.source
    mask = np.isfinite(source) & np.isfinite(means).all(axis=0)
    centre, spread = means[:, mask].mean(axis=1), means[:, mask].std(axis=1) + 1e-12
    columns = ((means[:, mask].T - centre) / spread).astype(np.float64)
    weights = _ridge(columns, source[mask] - source[mask].mean())
    return _weighted(weights, (case.guide - centre[:, None, None]) / spread[:, None, None])


@prior("detail")
def detail(case: Case) -> np.ndarray:
    """Return the linear function of the guide's bands whose detail is nearest to the source's at reduced resolution.

    The detail of a raster is the error of its bicubic baseline. Where the guide explains little of the source's, the
    weights are small; `linear` does not notice that.
    """
    reduced = _reduced(case)
    reference = _detail(reduced)
    columns = np.stack([_detail(replace(reduced, truth=band)) for band in reduced.guide])
    mask = np.isfinite(reference) & np.isfinite(columns).all(axis=0)
    weights = _ridge(columns[:, mask].T, reference[mask])
    return _weighted(weights, case.guide - case.guide.mean(axis=(1, 2), keepdims=True))


@prior("guided")
def guided(case: Case) -> np.ndarray:
    """Return the guided filter's target."""
    return _target(case, BaselineMethod("guided-filter", baseline("guided-filter"), device="cpu"), "cpu")


@prior("guided-weighed")
def guided_weighed(case: Case) -> np.ndarray:
    """Return the guided filter's target, times the fraction of its detail that is right at reduced resolution."""
    reduced = _reduced(case)
    reference, filtered = _detail(reduced), _detail(replace(reduced, truth=guided(reduced)))
    mask = np.isfinite(reference) & np.isfinite(filtered)
    fraction = float((reference * filtered)[mask].sum() / max(np.square(filtered[mask]).sum(), 1e-12))
    target: np.ndarray = guided(case) * np.float32(min(max(fraction, 0.0), 1.0))
    return target


def _reduced(case: Case) -> Case:
    """Return the case at reduced resolution: the source as truth, the guide averaged by the scale."""
    scale = case.scale
    height, width = (
        side // factor * factor for side, factor in zip(case.source.shape, (scale.y, scale.x), strict=True)
    )
    guide = _block_means(case.guide, case)[:, :height, :width].astype(np.float32)
    return replace(case, truth=case.source[:height, :width], guide=guide)


def _ridge(columns: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the weights of a ridge regression: without one, bands nearly alike would have weights of any size."""
    spread = columns.std(axis=0, dtype=np.float64) + 1e-12
    scaled = columns / spread
    square = scaled.T @ scaled + 1e-3 * len(scaled) * np.eye(len(spread))
    weights: np.ndarray = np.linalg.solve(square, scaled.T @ values.astype(np.float64)) / spread
    return weights


def _weighted(weights: np.ndarray, bands: np.ndarray) -> np.ndarray:
    weighted: np.ndarray = np.tensordot(weights, bands, 1).astype(np.float32)
    return weighted


def _detail(case: Case) -> np.ndarray:
    """Return the truth minus the bicubic baseline of its source."""
    bicubic = BaselineMethod("bicubic", baseline("bicubic"), consistent=True, device="cpu")
    missing: np.ndarray = case.truth - _target(case, bicubic, "cpu")
    return missing


def _block_means(values: np.ndarray, case: Case) -> np.ndarray:
    """Return the means of (..., H, W) over source pixels, float64."""
    means: np.ndarray = degrade(torch.from_numpy(values).double(), case.scale).numpy()
    return means


def _target(case: Case, method: Method, device: str) -> np.ndarray:
    pair = case.trial.pair
    run = run_of(pair, method, method.model_for(pair), tiling(pair, method), device=device)
    return whole_target(run, pair)


def registered(case: Case) -> Case:
    """Return the case with its guide moved and blurred, as the package's fit with members does; gaps stay gaps."""
    source, guide = torch.from_numpy(case.source), torch.from_numpy(case.guide)
    sample = Sample(source, source.isfinite(), guide, guide.isfinite().all(dim=0))
    statistics = Statistics.of([sample])
    scaling = GuideScaling.of([sample], statistics, torch.Generator().manual_seed(0))
    found = align([sample], statistics, scaling, case.scale)
    aligned = settle(found, [], case.scale, BLOCK_MEANS).alignment.applied(sample)
    return replace(case, guide=torch.where(aligned.guide_valid, aligned.guide, torch.nan).numpy())


@cache
def prepared(name: str, variant: Variant, data: Path) -> tuple[Case, float]:
    """Return a pair minus what a prior predicts of it, and the RMSE of the whole pair's bicubic interpolation.

    The errors of a target, and of the target with the prior added, are the same, so that the truth may go without it.
    """
    whole = read_case(name, data)
    bicubic = BaselineMethod("bicubic", baseline("bicubic"), device="cpu")
    bicubic_rmse = rmse(_target(whole, bicubic, "cpu"), whole.truth)
    if variant.registered:
        whole = registered(whole)
    predicted = PRIORS[variant.prior](whole) if variant.prior != "none" else 0.0
    return replace(whole, truth=(whole.truth - predicted).astype(np.float32)), bicubic_rmse


def run(trial: Trial, data: Path, device: str, code: str) -> dict[str, Any]:
    """Fit, predict and score; called in a process of its own."""
    warnings.simplefilter("ignore")
    params, variant = trial.configuration.params, trial.configuration.variant
    torch.set_num_threads(params.threads or 1)
    case, bicubic_rmse = prepared(trial.pair, Variant(prior=variant.prior, registered=variant.registered), data)
    pair = case.trial.pair
    started = time.monotonic()
    model = fit_samples(
        read_samples(pair, pair.part, no_progress),
        pair.scale,
        params,
        guide_bands=pair.guide.bands,
        seed=trial.seed,
        device=torch.device(device),
        design=variant.design,
    )
    seconds = time.monotonic() - started
    method = SceneFit(params, trial.seed, device, "warn")
    target = whole_target(run_of(pair, method, model, tiling(pair, method), device=device), pair)
    fit = model.provenance["fit"]
    return trial.key(code) | {
        "ratio": round(rmse(target, case.truth) / bicubic_rmse, 5),
        "gain": model.check.gain,
        "first_stage": fit["first_stage"],
        "pixel_steps": fit["pixel_steps"],
        "seconds": round(seconds, 1),
        "device": "cpu" if device == "cpu" else torch.cuda.get_device_name(),
        "torch": torch.__version__,
    }


def kept(results: Path) -> list[dict[str, Any]]:
    """Return the stored results."""
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def run_all(trials: Sequence[Trial], options: argparse.Namespace, code: str) -> None:
    """Run the missing trials, several processes at once, until the time is over; store each result as it comes."""
    stored = {_frozen(record) for record in kept(options.results)}
    missing = [trial for trial in trials if _frozen(trial.key(code)) not in stored]
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
            name = trial.configuration.name
            result = f"{trial.pair:16} {trial.seed}  {line['ratio']:.3f}  {line['seconds']:5.1f} s  {name}"
            print(f"[{done}/{len(missing)}, {minutes:.1f} min] {result}", flush=True)
            if time.monotonic() > ends:
                executor.shutdown(wait=False, cancel_futures=True)


def _frozen(record: dict[str, Any]) -> str:
    return json.dumps({name: record[name] for name in ("pair", "seed", "way", "code")}, sort_keys=True)


def table(records: Sequence[dict[str, Any]], pairs: Sequence[str]) -> str:
    """Return a table with one row per configuration.

    Its columns are the RMSE over bicubic of each data set and their geometric mean, the change from the default on the
    pairs and seeds that both have, the pixels x steps of a fit, and the number of pairs x seeds.
    """
    by_configuration: dict[str, dict[tuple[str, int], dict[str, Any]]] = {}
    for record in records:
        if record["pair"] in pairs:
            by_configuration.setdefault(json.dumps(record["way"]), {})[record["pair"], record["seed"]] = record
    sets = list(dict.fromkeys(dataset_of(pair) for pair in pairs))
    head = ("configuration", *sets, "geometric mean", "change from the default", "pixels x steps, M", "pairs x seeds")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    default = by_configuration.get("{}", {})
    for name, runs in by_configuration.items():
        shared = [key for key in runs if key in default]
        means = {
            dataset: geometric_mean([runs[key]["ratio"] for key in runs if dataset_of(key[0]) == dataset] or [math.nan])
            for dataset in sets
        }
        against = [math.log(runs[key]["ratio"] / default[key]["ratio"]) for key in shared]
        spread = f" ± {stdev(against) / math.sqrt(len(against)):.3f}" if len(against) > 1 and name != "{}" else ""
        change = f"{math.exp(fmean(against)) - 1:+.3f}{spread}" if against else ""
        work = fmean(run["pixel_steps"] for run in runs.values()) / 1e6
        label = ", ".join(f"{key} {value}" for key, value in json.loads(name).items()) or "default"
        cells = " | ".join(f"{means[dataset]:.3f}" for dataset in sets)
        over = geometric_mean(means.values())
        lines.append(f"| {label} | {cells} | {over:.3f} | {change} | {work:.1f} | {len(runs)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the missing trials of the plans, then print the table of the stored runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the data sets; required without --table")
    parser.add_argument(
        "--plan", nargs="*", choices=plans(), default=list(plans()), help="plans to run; all of them by default"
    )
    parser.add_argument("--pairs", nargs="*", default=list(PAIRS), help="pairs to run, of the data sets s2 and vhm")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1], help="seeds of each configuration and pair")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--workers", type=int, default=2, help="number of processes")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="time after which no trial is started, in minutes"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of the stored runs")
    parser.add_argument("--codes", type=Path, metavar="FILE", help="file with the code's hashes; see fidelity.py")
    parser.add_argument("--table", action="store_true", help="print the table of the stored runs and run nothing")
    options = parser.parse_args()
    if not options.table:
        if options.data is None:
            parser.error("pass the folder of the data sets: --data DIR")
        reserved = [pair for pair in options.pairs if dataset_of(pair) in RESERVED]
        if reserved:
            parser.error(f"{', '.join(reserved)}: these data sets are reserved for the final comparison")
        code = (Codes() if options.codes is None else Codes.read(options.codes)).of("mmsr")
        chosen = [each for name in options.plan for each in plans()[name]]
        trials = [Trial(pair, seed, each) for seed in options.seeds for each in chosen for pair in options.pairs]
        run_all(trials, options, code)
    print(table(kept(options.results), options.pairs))


if __name__ == "__main__":
    main()
