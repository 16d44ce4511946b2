"""Stacking rules and uncertainty, pair by pair: the tables of docs/decisions/015-ridge-regression.md.

    python benchmarks/stacking_rules.py --data DIR [--pairs ...] [--seeds 2]        two minutes a fit

Each fit's own predictions, at reduced resolution and at the true scale, are combined with the weights that other rules
would have chosen. A figure is the RMSE divided by that of bicubic interpolation. All predictions are made consistent.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from cases import read_case
from numpy.typing import NDArray
from scipy.stats import spearmanr  # type: ignore[import-untyped]
from torch import Tensor

from mmsr_geo.callbacks import no_progress
from mmsr_geo.engine.sampling import read_samples
from mmsr_geo.network.degradation import make_consistent
from mmsr_geo.network.fit import fit_samples
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.samples import Sample
from mmsr_geo.network.stacking import StackingWeights, best_weights
from mmsr_geo.network.validation import RegisteredRegression, Validation

CHOOSING = ("s2-B05-x4", "s2-B11-x2", "s2-B11-x4", "s2-B8A-x2", "vhm0-x4", "vhm0-x4-shifted", "vhm1-x4", "vhm2-x4")
"""Pairs that the rules are compared on."""
PENALTIES = (0.8, 0.9, 1.0, 1.1, 1.2)
"""Factors on the regression's errors at reduced resolution before the weights are chosen."""
Errors = NDArray[np.float64]


def penalised_weights(products: Errors, penalty: float) -> tuple[float, ...]:
    """Return the stacking weights of bicubic, network and regression, the regression's errors times a penalty."""
    by = np.array([1, 1, penalty])
    return best_weights(products * by * by[:, None])


def rmse(errors: Errors, weights: Sequence[float]) -> float:
    """Return the RMSE of the weighted average of predictions; errors: (3, n)."""
    return float(np.sqrt(np.mean((np.array(weights) @ errors) ** 2)))


def predictions(model: FittedModel, regression: RegisteredRegression, sample: Sample) -> list[Tensor]:
    """Return the predictions (H, W) of bicubic interpolation, network and regression alone."""
    alone = [
        StackingWeights(1, 0, 0),
        StackingWeights(0, 1, 0),
        StackingWeights(0, 0, 1, regression.shift),
    ]
    return [replace(model, stacking=weights, regression=regression.final).predictor()(sample) for weights in alone]


def rows_of(name: str, seed: int, data: Path, params: FitParams) -> tuple[list[str], list[str]]:
    """Fit once; return the pair's cells of both tables: ratios by rule, coverage and rank correlation."""
    case = read_case(name, data)
    pair, observed = case.trial.pair, list[tuple[Validation, RegisteredRegression | None]]()
    (sample,) = read_samples(pair, pair.part, no_progress)
    model = fit_samples(
        [sample],
        case.scale,
        params,
        guide_bands=pair.guide.bands,
        seed=seed,
        on_validation=lambda *found: observed.append(found),
    )
    ((validation, regression),) = observed
    if regression is None:
        msg = f"{name} is too small for a regression"
        raise ValueError(msg)
    source = torch.nan_to_num(sample.source.double())
    with torch.inference_mode():
        raw = predictions(model, regression, sample)
        consistent = [make_consistent(values, source, sample.source_valid, case.scale).numpy() for values in raw]
        ensemble = model.predictor()(sample)
    mask = np.isfinite(case.truth)
    errors = np.stack([values - case.truth for values in consistent])[:, mask]
    bicubic = float(np.sqrt(np.mean((raw[0].numpy() - case.truth)[mask] ** 2)))
    (reduced,) = validation.predictions
    validated = reduced.errors[:, reduced.validated].numpy()
    products = validated @ validated.T
    rules: list[Sequence[float]] = [(0, 1, 0), (0, 0, 1), np.eye(3)[products.diagonal().argmin()], (0, 0.5, 0.5)]
    rules += [penalised_weights(products, penalty) for penalty in PENALTIES] + [best_weights(errors @ errors.T)]
    widths = ["", ""]
    if model.source_interval is not None:
        everywhere = torch.ones_like(ensemble)
        half = model.source_interval.half_width(ensemble, source, everywhere, case.scale).numpy()[mask]
        off = np.abs(np.array(model.stacking.values[: len(errors)]) @ errors)
        widths = [f"{np.mean(off <= half):.2f}", f"{spearmanr(half, off).statistic:.2f}"]
    return [f"{rmse(errors, weights) / bicubic:.3f}" for weights in rules], widths


def main() -> None:
    """Print both tables as one, a row for each fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--pairs", nargs="*", default=CHOOSING, help="pairs to run")
    parser.add_argument("--seeds", type=int, default=2, help="number of fits of each pair")
    options = parser.parse_args()
    torch.set_num_threads(1)
    columns = ["pair, seed", "network", "regression", "the better one at reduced resolution", "half of each"]
    columns += [*(f"penalty {penalty:g}" for penalty in PENALTIES), "best possible", "coverage", "rank correlation"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name in options.pairs:
        for seed in range(options.seeds):
            ratios, widths = rows_of(name, seed, options.data, FitParams(threads=1))
            print(f"| {name}, {seed} | {' | '.join([*ratios, *widths])} |", flush=True)


if __name__ == "__main__":
    main()
