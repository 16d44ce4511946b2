"""Whether the length of a fit can be chosen without a truth: by the gain one level down, from runs that are kept.

    python benchmarks/lengths.py        seconds; the table in docs/decisions/010-fit-parameter-search.md

Of each pair of the choosing half the first seed's fits of 100, 300 and 600 steps (`fast`, `balanced` and `best`, as
benchmarks/fidelity.py has kept them), and the one whose mixture gains most on held-out blocks one level down.
"""

from __future__ import annotations

from statistics import geometric_mean
from typing import Any

from fidelity import CANOPY, S2, current, jobs_of, kept

STEPS = {"mmsr-fast": 100, "mmsr": 300, "mmsr-best": 600}


def main() -> None:
    """Print a row for each length, the one that is chosen, and the best possible."""
    records = current(jobs_of((*S2, *CANOPY), seeds=1, threads=1, slow=True), kept())
    smooth = {each["pair"]: each["rmse"] for each in records if each["method"] == "bicubic"}
    runs: dict[str, list[dict[str, Any]]] = {
        pair: sorted(
            (each for each in records if each["pair"] == pair and each["method"] in STEPS),
            key=lambda each: STEPS[each["method"]],
        )
        for pair in smooth
    }
    chosen = {pair: max(alike, key=lambda run: run["gain"]) for pair, alike in runs.items()}
    best = {pair: min(alike, key=lambda run: run["rmse"]) for pair, alike in runs.items()}
    rows = {
        f"{steps} steps": {pair: alike[at] for pair, alike in runs.items()} for at, steps in enumerate(STEPS.values())
    }
    rows |= {"chosen by the gain one level down": chosen, "best possible": best}
    print("| steps | Sentinel-2 | canopy heights | over them |\n|---|---|---|---|")
    for name, taken in rows.items():
        halves = [geometric_mean(taken[pair]["rmse"] / smooth[pair] for pair in half) for half in (S2, CANOPY)]
        print(f"| {name} | {halves[0]:.3f} | {halves[1]:.3f} | {geometric_mean(halves):.3f} |")
    right = sum(chosen[pair] is best[pair] for pair in runs)
    print(f"\nThe best of the three is chosen on {right} of {len(runs)} pairs.")


if __name__ == "__main__":
    main()
