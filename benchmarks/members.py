"""How large is the error of a draft, and of each of its members?

    python benchmarks/members.py --data DIR              two minutes; docs/decisions/018-members-of-a-draft.md
    python benchmarks/members.py --data DIR s2-B11-x4    other pairs of benchmarks/cases.py

RMSE of each member alone and of the draft, divided by that of the bicubic baseline. Then the draft's RMSE, and its
seconds of fit and prediction with one thread.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from cases import Case, read_case

from mmsr_geo.engine.tile_upsampler import filled_source
from mmsr_geo.network.degradation import bicubic, make_consistent, nearest
from mmsr_geo.network.device import torch_threads
from mmsr_geo.network.fit import fit_samples
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.members.fit import window_for
from mmsr_geo.network.members.table import MEMBERS
from mmsr_geo.network.samples import Sample

DEPTH = tuple(f"depth{number}-x4" for number in range(1, 7))
PAIRS = (*DEPTH, "vhm0-x4", "vhm1-x8", "l7-x4-crop", "s2-B11-x4-crop", "rmnp-x2")


def sample_of(case: Case) -> Sample:
    """Return a pair as one sample."""
    source, guide = torch.from_numpy(case.source), torch.from_numpy(case.guide)
    return Sample(source, source.isfinite(), guide, guide.isfinite().all(dim=0))


def drafted(case: Case) -> FittedModel:
    """Return the draft's model of a pair."""
    bands = tuple(str(band) for band in range(len(case.guide)))
    return fit_samples([sample_of(case)], case.scale, FitParams.of("draft", threads=1), guide_bands=bands)


def alone(case: Case, model: FittedModel | None = None) -> dict[str, np.ndarray]:
    """Return the target of each member alone, (H, W), with the alignment of the draft's model."""
    model = model or drafted(case)
    sample, scale, statistics, members = sample_of(case), case.scale, model.statistics, model.members
    if members is None:
        raise AssertionError
    window, _ = window_for(sample, statistics, scale, members.alignment, tuple(MEMBERS))
    return {
        name: (
            member.predict(window, member.fit([window])) * statistics.source_spread + statistics.source_centre
        ).numpy()
        for name, member in MEMBERS.items()
    }


def main() -> None:
    """Print one row for each pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="*", default=PAIRS)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    arguments = parser.parse_args()
    print(f"| pair | {' | '.join(MEMBERS)} | draft | its RMSE | fit, prediction |\n|{'---|' * (len(MEMBERS) + 4)}")
    with torch_threads(1):
        for name in arguments.pairs:
            print(row(read_case(name, arguments.data)), flush=True)


def row(case: Case) -> str:
    """Return the errors of one pair as a row of the table."""
    sample, scale = sample_of(case), case.scale
    began = time.perf_counter()
    model = drafted(case)
    fitted = time.perf_counter()
    target = model.predictor()(sample)
    predicted = time.perf_counter()
    valid = nearest(sample.source_valid, scale).numpy()

    def rmse(values: torch.Tensor) -> float:
        return float(np.sqrt(np.nanmean((values.numpy() - case.truth)[valid] ** 2)))

    source = filled_source(sample)
    baseline = rmse(make_consistent(bicubic(source, scale), source, sample.source_valid, scale))
    errors = [rmse(torch.from_numpy(values)) for values in alone(case, model).values()]
    ratios = " | ".join(f"{error / baseline:.3f}" for error in [*errors, rmse(target)])
    seconds = f"{fitted - began:.1f} s, {predicted - fitted:.1f} s"
    return f"| {case.name} | {ratios} | {rmse(target):.4g} | {seconds} |"


if __name__ == "__main__":
    main()
