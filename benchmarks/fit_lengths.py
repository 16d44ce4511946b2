"""Can the number of steps be chosen without a truth? By the gain at reduced resolution, from stored runs.

    python benchmarks/fit_lengths.py        seconds; the table in docs/decisions/010-fit-parameter-search.md

For each pair of the choosing data sets it takes the first seed's fits of 100, 300 and 600 steps (`fast`, `balanced` and
`best`, as benchmarks/fidelity.py stored them), and the one whose ensemble has the largest gain on validation blocks at
reduced resolution.
"""

from __future__ import annotations

import argparse
from statistics import geometric_mean
from typing import Any

from fidelity import CANOPY, S2, current, jobs_of, kept

STEPS = {"mmsr-fast": 100, "mmsr": 300, "mmsr-best": 600}


def main() -> None:
    """Print one row for each number of steps, the one chosen by the gain, and the best possible."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    records = current(jobs_of((*S2, *CANOPY), seeds=1, threads=1, slow=True), kept())
    bicubic = {each["pair"]: each["rmse"] for each in records if each["method"] == "bicubic"}
    runs: dict[str, list[dict[str, Any]]] = {
        pair: sorted(
            (each for each in records if each["pair"] == pair and each["method"] in STEPS),
            key=lambda each: STEPS[each["method"]],
        )
        for pair in bicubic
    }
    chosen = {pair: max(alike, key=lambda run: run["gain"]) for pair, alike in runs.items()}
    best = {pair: min(alike, key=lambda run: run["rmse"]) for pair, alike in runs.items()}
    rows = {
        f"{steps} steps": {pair: alike[at] for pair, alike in runs.items()} for at, steps in enumerate(STEPS.values())
    }
    rows |= {"chosen by the gain at reduced resolution": chosen, "best possible": best}
    print("| steps | Sentinel-2 | canopy heights | geometric mean |\n|---|---|---|---|")
    for name, taken in rows.items():
        halves = [geometric_mean(taken[pair]["rmse"] / bicubic[pair] for pair in half) for half in (S2, CANOPY)]
        print(f"| {name} | {halves[0]:.3f} | {halves[1]:.3f} | {geometric_mean(halves):.3f} |")
    right = sum(chosen[pair] is best[pair] for pair in runs)
    print(f"\nThe best of the three is chosen for {right} of {len(runs)} pairs.")


if __name__ == "__main__":
    main()
