"""Plot of error against work: RMSE and pixels x steps of each quality and of the methods it is compared with.

    python benchmarks/plot_quality.py      docs/images/quality.png, from the runs that benchmarks/fidelity.py stored

Left: all pairs of the table. Right: those that the published fit was run on. Each point is a method. Its coordinates
are its mean pixels x steps, and its RMSE over bicubic: the geometric mean within each data set, then over data sets.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, geometric_mean
from typing import Any

from cases import dataset_of
from fidelity import CROPS, PUBLISHED_ON, WHOLE, current, jobs_of, kept
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "quality.png"

Runs = Sequence[dict[str, Any]]


def _is(method: str, *, ensemble: bool | None = None) -> Callable[[dict[str, Any]], bool]:
    """Return a test of a record: its method, and whether its prediction is an ensemble."""
    return lambda record: (
        record["method"] == method and (ensemble is None or bool(record["options"].get("ensemble")) is ensemble)
    )


METHODS = {
    "published": _is("published"),
    "published, consistent": _is("published+consistency"),
    "the network alone": _is("mmsr", ensemble=False),
    "fast": _is("mmsr-fast", ensemble=True),
    "balanced": _is("mmsr", ensemble=True),
    "best": _is("mmsr-best", ensemble=True),
}
"""Methods of the plot; the network alone was the default before stacking (docs/decisions/013-stacking.md)."""
OURS = ("fast", "balanced", "best")
"""Qualities, which are joined by a line."""


def point(runs: Runs, bicubic: dict[str, float], pairs: Sequence[str]) -> tuple[float, float] | None:
    """Return a method's pixels x steps and its ratio over the pairs; None if one was not run."""
    found = {pair: [run for run in runs if run["pair"] == pair] for pair in pairs}
    if not all(found.values()):
        return None
    by_set: dict[str, list[float]] = {}
    for pair, alike in found.items():
        by_set.setdefault(dataset_of(pair), []).append(fmean(run["rmse"] for run in alike) / bicubic[pair])
    work = fmean(fmean(run["pixel_steps"] or 0 for run in alike) for alike in found.values())
    return work, geometric_mean(geometric_mean(ratios) for ratios in by_set.values())


def draw(axes: Axes, records: Runs, pairs: Sequence[str], title: str) -> None:
    """Draw one panel; the qualities are joined by a line."""
    bicubic = {run["pair"]: run["rmse"] for run in records if run["method"] == "bicubic"}
    points = {
        name: at for name, test in METHODS.items() if (at := point([r for r in records if test(r)], bicubic, pairs))
    }
    line = [points[name] for name in OURS if name in points]
    axes.plot([work / 1e6 for work, _ in line], [ratio for _, ratio in line], color="tab:blue", zorder=1)
    for name, (work, ratio) in points.items():
        axes.scatter(work / 1e6, ratio, color="tab:blue" if name in OURS else "tab:grey", zorder=2)
        right = work == max(each for each, _ in points.values())
        axes.annotate(
            name,
            (work / 1e6, ratio),
            xytext=(-6 if right else 6, -14 if name == "balanced" else 6),  # its neighbours' names are above
            ha="right" if right else "left",
            textcoords="offset points",
            fontsize=9,
        )
        print(f"{title}: {name} {work / 1e6:.2f} M, {ratio:.3f}")
    axes.set(xscale="log", title=title, xlabel="pixels x steps of the fit, millions", ylabel="RMSE over bicubic")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda work, _: f"{work:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.25, y=0.15)
    axes.grid(visible=True, which="both", alpha=0.2)


def main() -> None:
    """Draw both panels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    records = kept()
    jobs = jobs_of((*WHOLE, *CROPS), seeds=3, threads=1, slow=True)
    ensembles = [record for record in records if record["options"].get("ensemble")]
    records = [record for record in records if record not in ensembles] + current(jobs, ensembles)
    figure = Figure(figsize=(11, 4.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    draw(left, records, WHOLE, f"{len(WHOLE)} pairs")
    draw(right, records, PUBLISHED_ON, f"the {len(PUBLISHED_ON)} pairs that the published fit was run on")
    figure.savefig(PICTURE)


if __name__ == "__main__":
    main()
