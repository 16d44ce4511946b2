"""What mixtures and intervals come to, pair by pair: the tables of docs/decisions/015-ridge-regression.md.

    python benchmarks/mixtures.py --data DIR [--pairs ...] [--seeds 2]        two minutes a fit

Each fit's own predictions, one level down and at the true scale, are looked at; the shares that other rules would have
chosen are then applied to them. RMSE over bicubic, all made consistent.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from pairs import case
from scipy.stats import spearmanr  # type: ignore[import-untyped]

from mmsr_geo.callbacks import no_progress
from mmsr_geo.engine.sampling import read_samples
from mmsr_geo.network.degradation import make_consistent
from mmsr_geo.network.fit import fit_samples
from mmsr_geo.network.guide_check import predict_at_reduced_resolution
from mmsr_geo.network.params import FitParams
from mmsr_geo.network.regression import fit_regression
from mmsr_geo.network.stacking import StackingWeights, best_weights

CHOOSING = ("s2-B05-x4", "s2-B11-x2", "s2-B11-x4", "s2-B8A-x2", "vhm0-x4", "vhm0-x4-shifted", "vhm1-x4", "vhm2-x4")
DOUBTS = (0.8, 0.9, 1.0, 1.1, 1.2)
Errors = NDArray[np.float64]


def doubted(products: Errors, doubt: float) -> tuple[float, ...]:
    """Return the stacked shares of the interpolation, the network and the regression, which is doubted."""
    by = np.array([1, 1, doubt])
    return best_weights(products * by * by[:, None])


def rmse(errors: Errors, shares: Sequence[float]) -> float:
    """Return a mixture's, errors: (3, n)."""
    return float(np.sqrt(np.mean((np.array(shares) @ errors) ** 2)))


def rows_of(name: str, seed: int, data: Path) -> tuple[list[str], list[str]]:
    """Fit once; return the pair's cells of both tables."""
    made = case(name, data)
    seen: list[Any] = []

    def watched(function: Callable[..., Any]) -> Any:  # noqa: ANN401  (as patch has it)
        def watch(*given: Any) -> Any:  # noqa: ANN401  (what it takes and gives)
            seen.append(function(*given))
            return seen[-1]

        return mock.patch(f"mmsr_geo.network.fit.{function.__name__}", watch)

    with watched(fit_regression), watched(predict_at_reduced_resolution):
        (sample,) = read_samples(made.trial.pair, made.trial.pair.part, no_progress)
        bands = made.trial.pair.guide.bands
        model = fit_samples([sample], made.scale, FitParams(threads=1), guide_bands=bands, seed=seed)
    (_, regression), below = seen
    members = [
        StackingWeights(1, 0, 0),
        StackingWeights(0, 1, 0),
        StackingWeights(0, 0, 1, model.stacking.shift),
    ]
    source = torch.nan_to_num(sample.source.double())
    with torch.inference_mode():
        raw = [replace(model, stacking=member, regression=regression).predictor()(sample) for member in members]
        made_consistent = [make_consistent(each, source, sample.source_valid, made.scale).numpy() for each in raw]
        ensemble = model.predictor()(sample)
    known = np.isfinite(made.truth)
    errors = np.stack([each - made.truth for each in made_consistent])[:, known]
    bicubic = float(np.sqrt(np.mean((raw[0].numpy() - made.truth)[known] ** 2)))
    judged = below.errors[:, below.judged].numpy()
    products = judged @ judged.T
    rules: list[Sequence[float]] = [(0, 1, 0), (0, 0, 1), np.eye(3)[products.diagonal().argmin()], (0, 0.5, 0.5)]
    rules += [doubted(products, doubt) for doubt in DOUBTS] + [best_weights(errors @ errors.T)]
    widths = ["", ""]
    if model.source_interval is not None:
        everywhere = torch.ones_like(ensemble)
        half = model.source_interval.half_width(ensemble, source, everywhere, made.scale).numpy()[known]
        off = np.abs(np.array(model.stacking.values) @ errors)
        widths = [f"{np.mean(off <= half):.2f}", f"{spearmanr(half, off).statistic:.2f}"]
    return [f"{rmse(errors, shares) / bicubic:.3f}" for shares in rules], widths


def main() -> None:
    """Print both tables as one, a row a fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--pairs", nargs="*", default=CHOOSING, help="these pairs")
    parser.add_argument("--seeds", type=int, default=2, help="fits of each")
    options = parser.parse_args()
    torch.set_num_threads(1)
    columns = ["pair, seed", "network", "regression", "the better one below", "half of each"]
    columns += [*(f"doubt {doubt:g}" for doubt in DOUBTS), "best possible", "coverage", "rank correlation"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name in options.pairs:
        for seed in range(options.seeds):
            ratios, widths = rows_of(name, seed, options.data)
            print(f"| {name}, {seed} | {' | '.join([*ratios, *widths])} |", flush=True)


if __name__ == "__main__":
    main()
