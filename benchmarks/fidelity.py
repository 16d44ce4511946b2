"""Error of each method over real pairs: one table, from stored runs that are not repeated.

    python benchmarks/fidelity.py --data DIR            all of it: hours on 2 cores, resumable
    python benchmarks/fidelity.py --data DIR --core     8 pairs, one seed, the quick methods: half an hour
    python benchmarks/fidelity.py --table               the table of the stored runs, as docs/fidelity.md

A run is stored as one line of benchmarks/results/fidelity.jsonl. Its key is the pair, the method, the seed, the
method's options and the code's hash (versions.py; of the default, the hash of its uncertainty as well). It is repeated
where the code's results or the options have changed. A run on a GPU (--device cuda) counts as the same run, and its
line names the GPU: docs/performance.md compares the two.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, geometric_mean, stdev
from typing import Any

import torch
from cases import dataset_of, read_case
from versions import Codes, tiling

from mmsr_geo.evaluation.evaluate import evaluate
from mmsr_geo.evaluation.metrics import UncertaintyScores
from mmsr_geo.methods.base import Method
from mmsr_geo.methods.baseline import BaselineMethod, baseline
from mmsr_geo.methods.p2p import P2P
from mmsr_geo.methods.scene import SceneFit
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.options import CONSISTENT, Quality

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "fidelity.jsonl"
TABLE = HERE.parent / "docs" / "fidelity.md"

S2 = tuple(f"s2-{band}-x{scale}" for band in ("B05", "B8A", "B11", "B12") for scale in (2, 4, 8))
CANOPY = tuple(f"vhm{i}-x{scale}{change}" for scale in (4, 8) for change in ("", "-shifted") for i in range(3))
AUTZEN = tuple(f"autzen-x{scale}" for scale in (2, 4, 8, 16))
WHOLE = (*S2, "l7-x4", *CANOPY, *AUTZEN, "rmnp-x2")
CROPS = ("s2-B11-x4-crop", "l7-x4-crop", "autzen-x4-crop")
CORE = ("s2-B11-x4", "s2-B8A-x2", "s2-B05-x8", "l7-x4", "vhm0-x4", "vhm1-x8", "autzen-x8", "rmnp-x2")
PUBLISHED_ON = (*CROPS, "vhm0-x4", "vhm1-x4", "vhm2-x4")
"""The published fit takes 256 x 256 pixels at every one of its steps: 20 minutes on 2 cores."""
FULL_P2P_ON = tuple(name for name in CANOPY if "-x4" in name)
"""Where P2P takes its published 32 768 steps."""
SHORT_P2P = 4096
OTHER_QUALITIES: dict[str, Quality] = {"mmsr-fast": "fast", "mmsr-best": "best"}
"""One seed of each; `mmsr` is balanced."""
QUICK = ("bicubic", "bicubic+consistency", "guided-filter", "guided-filter+consistency")


@dataclass(frozen=True, slots=True)
class Job:
    """One fit on one pair, and the methods whose targets come from it."""

    pair: str
    methods: tuple[str, ...]
    seed: int
    threads: int
    code: str
    interval_code: str | None
    """Hash of the uncertainty; None where it is not scored."""
    device: str = "cpu"
    """Device of the run; not part of the key."""

    @property
    def keys(self) -> list[dict[str, Any]]:
        """Key of each result."""
        return [
            {
                "pair": self.pair,
                "method": name,
                "seed": self.seed,
                "options": options_of(name, self.seed, self.threads),
                "threads": self.threads,
                "code": self.code,
            }
            | ({} if self.interval_code is None else {"interval_code": self.interval_code})
            for name in self.methods
        ]


def method_of(name: str, seed: int, threads: int, device: str = "cpu") -> Method:
    """Return a method by its name in the table; p2p-4096 is P2P with 4096 steps."""
    base = name.removesuffix(CONSISTENT)
    if base in OTHER_QUALITIES:
        return SceneFit(FitParams.of(OTHER_QUALITIES[base], threads=threads), seed, device)
    if base in {"mmsr", "mmsr-always"}:
        return SceneFit(FitParams(threads=threads), seed, device, "interpolate" if base == "mmsr" else "warn")
    if base == "published":
        return SceneFit(FitParams.published(threads=threads), seed, device, "warn", consistent=base != name)
    method = P2P(int(base.removeprefix("p2p-"))) if base.startswith("p2p-") else baseline(base)
    return BaselineMethod(base, method, base != name, seed, device, threads)


def options_of(name: str, seed: int, threads: int) -> dict[str, Any]:
    """Return the options in a method's key; of the published fit, only those that were published."""
    options = method_of(name, seed, threads).description
    if name.startswith("published"):
        return {key: options[key] for key in ("seed", "consistent", "steps", "lr", "schedule", "guide_weight_decay")}
    return options


def run(job: Job, data: Path, codes: Codes) -> list[dict[str, Any]]:
    """Fit, predict and score; called in a process of its own."""
    torch.set_num_threads(job.threads)
    where: dict[str, Any] = {}
    if job.device != "cpu":
        torch.backends.cudnn.allow_tf32 = False  # float32 as on the CPU; matrix products are so by default
        where = {"device": torch.cuda.get_device_name(), "torch": torch.__version__} | codes.difference(job.methods[0])
    trial = read_case(job.pair, data).trial
    methods = {name: method_of(name, job.seed, job.threads, job.device) for name in job.methods}
    tilings = {name: tiling(trial.pair, method) for name, method in methods.items()}
    evaluation = evaluate(trial, methods, tilings, device=job.device, threads=job.threads)
    return [
        key
        | {
            "rmse": result.scores.rmse,
            "scores": result.scores.as_dict(),
            "seconds": round(result.fit_seconds + result.predict_seconds, 1),
            "pixel_steps": result.pixel_steps,
            "gain": result.check.gain,
            "guide_check": result.check.result,
            "uncertainty": result.uncertainty.as_dict() if isinstance(result.uncertainty, UncertaintyScores) else None,
        }
        | where
        for key, result in zip(job.keys, evaluation.results.values(), strict=True)
    ]


def jobs_of(  # noqa: PLR0913  (what decides a run, and where it is made)
    pairs: Iterable[str], seeds: int, threads: int, *, slow: bool, device: str = "cpu", codes: Codes | None = None
) -> list[Job]:
    """Return the fits to run: first one seed of ours on every pair, then the other methods, then more seeds."""
    codes = codes or Codes()

    def job(pair: str, *methods: str, seed: int = 0) -> Job:
        interval = codes.of("uncertainty") if "mmsr" in methods else None
        return Job(pair, methods, seed, threads, codes.of(methods[0]), interval, device)

    pairs = list(pairs)
    jobs = [job(pair, name) for pair in pairs for name in QUICK]
    ours = [[job(pair, "mmsr-always", "mmsr", seed=seed) for pair in pairs] for seed in range(seeds)]
    jobs += ours[0]
    if slow:
        jobs += [job(pair, name) for name in OTHER_QUALITIES for pair in pairs]
        jobs += [job(pair, "p2p", "p2p+consistency") for pair in pairs if pair in FULL_P2P_ON]
        jobs += [job(pair, "published", "published+consistency") for pair in pairs if pair in PUBLISHED_ON]
    jobs += [job(pair, f"p2p-{SHORT_P2P}") for pair in pairs if not (slow and pair in FULL_P2P_ON)]
    return jobs + [each for more in ours[1:] for each in more]


def kept(results: Path = RESULTS) -> list[dict[str, Any]]:
    """Return the stored results."""
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def current(jobs: Sequence[Job], records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the results of these jobs, without those of other code or options."""
    keys = [key.items() for job in jobs for key in job.keys]
    return [record for record in records if any(key <= record.items() for key in keys)]


def is_kept(job: Job, records: Sequence[dict[str, Any]]) -> bool:
    """Return whether all results of a job are stored."""
    return all(any(key.items() <= record.items() for record in records) for key in job.keys)


def run_all(jobs: Sequence[Job], data: Path, workers: int, results: Path, codes: Codes) -> None:
    """Run the missing jobs, several number of processes, and store each result as it comes."""
    records = kept(results)
    missing = [job for job in jobs if not is_kept(job, records)]
    results.parent.mkdir(exist_ok=True)
    started = time.monotonic()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
        waiting = {executor.submit(run, job, data, codes): job for job in missing}
        for done, future in enumerate(as_completed(waiting), start=1):
            lines = future.result()
            with results.open("a") as file:
                file.writelines(json.dumps(line) + "\n" for line in lines)
            minutes = (time.monotonic() - started) / 60
            for line in lines:
                result = f"{line['pair']:18} {line['method']:26} {line['seed']}  RMSE {line['rmse']:9.4g}"
                print(f"[{done}/{len(missing)}, {minutes:.0f} min] {result}  {line['seconds']:.0f} s", flush=True)


def main() -> None:
    """Run the missing jobs, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the data sets; required without --table")
    parser.add_argument(
        "--core", action="store_true", help="8 pairs, one seed, without the published fit and P2P's 32 768 steps"
    )
    parser.add_argument("--pairs", nargs="*", choices=(*WHOLE, *CROPS), help="pairs to run")
    parser.add_argument("--methods", nargs="*", help="methods to run: columns of the table")
    parser.add_argument("--seeds", type=int, help="number of seeds of mmsr; 3, or 1 with --core")
    parser.add_argument("--workers", type=int, default=2, help="processes at once")
    parser.add_argument(
        "--threads", type=int, default=1, help="torch threads of each process: they change the fit slightly"
    )
    parser.add_argument("--device", default="cpu", help="device of fits and predictions: cpu or cuda")
    parser.add_argument(
        "--results",
        type=Path,
        default=RESULTS,
        help="file of the stored runs; docs/fidelity.md is written from the default alone",
    )
    parser.add_argument("--write-codes", type=Path, metavar="FILE", help="write the code's hashes and stop")
    parser.add_argument(
        "--codes", type=Path, metavar="FILE", help="read the code's hashes, written elsewhere for the same sources"
    )
    parser.add_argument("--table", action="store_true", help="write the table of the stored runs and run nothing")
    options = parser.parse_args()
    if options.write_codes is not None:
        Codes.write(options.write_codes)
        return
    codes = Codes() if options.codes is None else Codes.read(options.codes)
    pairs = options.pairs or (CORE if options.core else (*WHOLE, *CROPS))
    seeds = options.seeds or (1 if options.core else 3)
    jobs = jobs_of(pairs, seeds, options.threads, slow=not options.core, device=options.device, codes=codes)
    if options.methods:
        jobs = [job for job in jobs if set(job.methods) & set(options.methods)]
    if not options.table:
        if options.data is None:
            parser.error("pass the folder of the data sets: --data DIR")
        run_all(jobs, options.data, options.workers, options.results, codes)
    text = table(jobs, current(jobs, kept(options.results)))
    print(text)
    if not (options.core or options.pairs or options.methods) and options.results == RESULTS:
        TABLE.write_text(text)


def table(jobs: Sequence[Job], records: Sequence[dict[str, Any]]) -> str:
    """Return the page in Markdown: errors by pair and summary, guide checks, uncertainty and computing time."""
    wanted = {(job.pair, name) for job in jobs for name in job.methods}
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in records:
        if (record["pair"], record["method"]) in wanted:
            runs.setdefault((record["pair"], record["method"]), []).append(record)
    pairs = [pair for pair in dict.fromkeys(job.pair for job in jobs) if (pair, "bicubic") in runs]
    whole = [pair for pair in pairs if pair in WHOLE]
    missing = sum(not is_kept(job, records) for job in jobs)
    slow = ("p2p", "p2p+consistency", "published", "published+consistency")
    parts = [
        *_introduction(missing, len(jobs)),
        "## Error and computing cost",
        "",
        "![RMSE over bicubic against pixels x steps](images/quality.png)",
        "",
        "`python benchmarks/plot_quality.py` draws this figure. It compares `--quality fast`, `balanced` and `best`",
        "with the network alone, which was the default before [decision 013](decisions/013-stacking.md), and with the",
        "published fit. The cost of the members is not in it: they take no steps.",
        "",
        "## All pairs",
        "",
        *_ratios(whole, (*QUICK[1:], f"p2p-{SHORT_P2P}", "mmsr-always", "mmsr-fast", "mmsr", "mmsr-best"), runs),
        "",
        "## Comparison with the slow methods",
        "",
        "The published fit ran on 256 x 256 pixels (1000 steps of the whole image). P2P ran with its 32 768 steps.",
        "Some of these runs were made on a GPU, as the last table shows. [performance.md](performance.md) compares",
        "CPU and GPU.",
        "",
        *_ratios(
            [pair for pair in pairs if pair in PUBLISHED_ON or pair in FULL_P2P_ON],
            (*slow, "mmsr-fast", "mmsr", "mmsr-best"),
            runs,
            summary=False,
        ),
        "",
        "## Did the guide help? Checked and true gain",
        "",
        *_guide_checks(whole, runs),
        "",
        "## Uncertainty: coverage of the 90 % margin of error",
        "",
        *_uncertainties(whole, runs),
        "",
        "## Computing time",
        "",
        *_work(pairs, runs),
        "",
    ]
    return "\n".join(parts)


def _introduction(missing: int, jobs: int) -> list[str]:
    """Return the title and the explanation of the figures."""
    lines = [
        "# Fidelity: the error of each method on real pairs",
        "",
        "`python benchmarks/fidelity.py --data DIR` writes this page. Each line of",
        "`benchmarks/results/fidelity.jsonl` is one run. A figure is the RMSE of a method divided by the RMSE of",
        "bicubic interpolation: smaller is better. The figures of `mmsr` are the mean ± the standard deviation over",
        "seeds, with the number of seeds in parentheses. `mmsr` is the default. It interpolates the source",
        "alone where its guide check says that the guide did not help. `mmsr-always` uses",
        "the model in any case. `mmsr-fast` and `mmsr-best` are the default with `--quality fast` and",
        "`--quality best`. The [glossary](glossary.md) explains the terms.",
    ]
    if missing:
        lines += ["", f"{missing} of {jobs} runs are missing. Summaries are shown when all pairs are complete."]
    return [*lines, ""]


def _ratios(
    pairs: Sequence[str],
    methods: Sequence[str],
    runs: dict[tuple[str, str], list[dict[str, Any]]],
    *,
    summary: bool = True,
) -> list[str]:
    lines = [f"| pair | bicubic, RMSE | {' | '.join(methods)} |", "|---" * (len(methods) + 2) + "|"]
    ratios: dict[str, dict[str, float]] = {}
    for pair in pairs:
        base = runs[pair, "bicubic"][0]["rmse"]
        cells = [f"{base:.4g}"]
        for method in methods:
            values = [record["rmse"] / base for record in runs.get((pair, method), [])]
            ratios.setdefault(method, {})
            if values:
                ratios[method][pair] = fmean(values)
            spread = f" ± {stdev(values):.3f} ({len(values)})" if len(values) > 1 else ""
            cells.append(f"{fmean(values):.3f}{spread}" if values else "")
        lines.append(f"| {pair} | {' | '.join(cells)} |")
    if summary:
        cells = [_summary(ratios.get(method, {}), pairs) for method in methods]
        lines.append(f"| **geometric mean within each data set, then over the data sets** | | {' | '.join(cells)} |")
    return lines


def _summary(ratios: dict[str, float], pairs: Sequence[str]) -> str:
    """Return the geometric mean within each data set, then over the data sets; nothing where a pair is missing."""
    if not pairs or set(ratios) != set(pairs):
        return f"({len(ratios)} of {len(pairs)})"
    by_set: dict[str, list[float]] = {}
    for pair, ratio in ratios.items():
        by_set.setdefault(dataset_of(pair), []).append(ratio)
    return f"**{geometric_mean(geometric_mean(values) for values in by_set.values()):.3f}**"


def _guide_checks(pairs: Sequence[str], runs: dict[tuple[str, str], list[dict[str, Any]]]) -> list[str]:
    lines = [
        "The gain is the part of the bicubic baseline's RMSE that is removed. The checked gain is the result of the",
        "guide check at reduced resolution. The true gain is that of the model at the true scale. Both are means over",
        "all seeds. The last column is the RMSE of the default in its worst seed, divided by that of bicubic",
        "interpolation.",
        "",
        "| pair | gain, checked | guide check | gain, true | default, worst seed |",
        "|---|---|---|---|---|",
    ]
    for pair in pairs:
        model, default = runs.get((pair, "mmsr-always"), []), runs.get((pair, "mmsr"), [])
        if not (model and default and (pair, "bicubic+consistency") in runs):
            continue
        smooth, base = runs[pair, "bicubic+consistency"][0]["rmse"], runs[pair, "bicubic"][0]["rmse"]
        gains = [record["gain"] for record in model]
        checked = "" if None in gains else f"{fmean(gains):+.2f}"
        results = "/".join(dict.fromkeys(record["guide_check"] for record in model))
        true = 1 - fmean(record["rmse"] for record in model) / smooth
        worst = max(record["rmse"] for record in default) / base
        lines.append(f"| {pair} | {checked} | {results} | {true:+.2f} | {worst:.3f} |")
    return lines


def _uncertainties(pairs: Sequence[str], runs: dict[tuple[str, str], list[dict[str, Any]]]) -> list[str]:
    lines = [
        "Coverage is the fraction of true values within target ± uncertainty. It should be 0.9. Rank correlation is",
        "Spearman's correlation of the uncertainty with the absolute error. The last column is the mean uncertainty",
        "divided by the RMSE of bicubic interpolation. The figures are those of `mmsr`, means over the seeds that",
        "computed it.",
        "",
        "| pair | coverage | rank correlation | mean half width / bicubic RMSE |",
        "|---|---|---|---|",
    ]
    covered = []
    for pair in pairs:
        stored = [record["uncertainty"] for record in runs.get((pair, "mmsr"), []) if "uncertainty" in record]
        if not stored or (pair, "bicubic") not in runs:
            continue
        known = [scores for scores in stored if scores is not None]
        if not known:
            lines.append(f"| {pair} | not calibrated | | |")
            continue
        coverage, correlation, width = (
            fmean(scores[name] for scores in known) for name in ("coverage", "rank_correlation", "mean_half_width")
        )
        covered.append(coverage)
        base = runs[pair, "bicubic"][0]["rmse"]
        lines.append(f"| {pair} | {coverage:.2f} | {correlation:.2f} | {width / base:.2f} |")
    within = sum(0.8 <= coverage <= 0.98 for coverage in covered)
    if covered:
        lines += [
            "",
            f"Mean coverage is {fmean(covered):.3f}. {within} of {len(covered)} pairs are within 0.80 to 0.98.",
        ]
    return lines


def _work(pairs: Sequence[str], runs: dict[tuple[str, str], list[dict[str, Any]]]) -> list[str]:
    methods = ("guided-filter", f"p2p-{SHORT_P2P}", "p2p", "published", "mmsr-fast", "mmsr-always", "mmsr-best")
    lines = [
        "The time of fit and prediction in one process with its threads, on a CPU unless a GPU is named. The second",
        "figure is the number of pixels x steps of the fit, in millions (M).",
        "",
        f"| pair | {' | '.join(methods)} |",
        "|---" * (len(methods) + 1) + "|",
    ]
    for pair in pairs:
        cells = []
        for method in methods:
            found = runs.get((pair, method), [])
            cells.append(_work_of(found) if found else "")
        lines.append(f"| {pair} | {' | '.join(cells)} |")
    return lines


def _work_of(found: Sequence[dict[str, Any]]) -> str:
    """Return the seconds on a CPU, or on a card where no run was made on a CPU, and the pixels x steps."""
    alike = [record for record in found if "device" not in record] or found
    card = alike[0]["device"].removeprefix("NVIDIA ").split()[0] if "device" in alike[0] else ""
    work = alike[0]["pixel_steps"]
    seconds = f"{fmean(record['seconds'] for record in alike):.0f} s" + (f" on an {card}" if card else "")
    return f"{seconds}, {work / 1e6:.1f} M" if work else seconds


if __name__ == "__main__":
    main()
