"""How the fit's defaults were chosen: RMSE over the bicubic's, for several pairs, seeds and ways to fit.

Results are kept one a line in benchmarks/results/fit_defaults.jsonl, so that a broken run goes on where it stopped;
`--table` prints what is there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path
from statistics import geometric_mean, mean

import numpy as np
from pairs import Pair, pair

from mmsr_geo.baselines import interpolation
from mmsr_geo.geometry import Scale, Tile, Window
from mmsr_geo.network.fitting import FitParams, fit_samples, torch_threads
from mmsr_geo.raster.pixels import Pixels
from mmsr_geo.upsampling import Upsampler, sample_of

RESULTS = Path(__file__).parent / "results" / "fit_defaults.jsonl"
PAIRS = ("s2-B05-x4", "s2-B8A-x4", "s2-B11-x4", "s2-B11-x8", "l7-x4", "vhm0-x4", "vhm1-x4", "vhm2-x4", "vhm0-x8")
WAYS = {
    "default": FitParams(),
    "no first stage": FitParams(first_stage=False),
    "first stage": FitParams(first_stage=True),
    "lr 0.003": FitParams(lr=0.003),
    "lr 0.002": FitParams(lr=0.002),
}


def rmse(target: np.ndarray, truth: np.ndarray) -> float:
    """Return the root mean square error where both are valid."""
    error = (target.astype(np.float64) - truth)[np.isfinite(target) & np.isfinite(truth)]
    return float(np.sqrt(np.mean(error**2)))


def run(given: Pair, params: FitParams, seed: int) -> dict[str, object]:
    """Fit to one pair and compare with its truth."""
    scale, source, guide = Scale.of(given.scale), Pixels.masked(given.source[None]), Pixels.masked(given.guide)
    started = time.monotonic()
    bands = tuple(map(str, range(len(given.guide))))
    net = fit_samples([sample_of(source, guide)], scale, params, guide_bands=bands, seed=seed)
    seconds = time.monotonic() - started
    whole = Window.whole(source.valid.shape)
    with torch_threads(params.fixed_threads):
        target = Upsampler.of(net, "cpu").upsample(Tile(0, whole, whole), source, guide)
    fit = net.provenance["fit"]
    return {
        "ratio": rmse(target, given.truth) / rmse(interpolation.bicubic(source, scale), given.truth),
        "seconds": round(seconds),
        "first_stage": fit["first_stage"],
        "held_out": fit.get("held_out_error_to_bicubic"),
    }


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="the folder of the data sets; needed unless --table")
    parser.add_argument("--pairs", nargs="*", default=PAIRS)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=["default", "no first stage"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="print what is there and run nothing")
    options = parser.parse_args()
    RESULTS.parent.mkdir(exist_ok=True)
    records = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    jobs = [(name, way, seed) for seed in range(options.seeds) for name in options.pairs for way in options.ways]
    for name, way, seed in [] if options.table else jobs:
        params = replace(WAYS[way], threads=options.threads)
        key = {"pair": name, "way": way, "seed": seed, "params": asdict(params)}
        if any(key.items() <= record.items() for record in records):
            continue
        record = key | run(pair(name, options.data), params, seed)
        print(name, way, seed, f"{record['ratio']:.3f}", f"{record['seconds']} s", flush=True)
        records.append(record)
        with RESULTS.open("a") as file:
            file.write(json.dumps(record) + "\n")
    print_table(records)


def print_table(records: list[dict[str, object]]) -> None:
    """Print the mean ratio of each pair and way, and the geometric mean over the pairs that all ways have."""
    ratios: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        ratios[str(record["pair"])][str(record["way"])].append(float(str(record["ratio"])))
    ways = [way for way in WAYS if any(way in row for row in ratios.values())]
    print("| pair | " + " | ".join(ways) + " |")
    print("|---|" + "---|" * len(ways))
    for name, row in ratios.items():
        cells = [f"{mean(row[way]):.3f} ({len(row[way])})" if way in row else "" for way in ways]
        print(f"| {name} | " + " | ".join(cells) + " |")
    shared = [row for row in ratios.values() if all(way in row for way in ways)]
    if shared:
        cells = [f"{geometric_mean(mean(row[way]) for row in shared):.3f}" for way in ways]
        print(f"| geometric mean of {len(shared)} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
