"""How large is the error of programs that can be installed today, on the pairs of pairs.py?

    python benchmarks/peers.py --data DIR --pydms-python PATH     all peers: 15 minutes, resumable
    python benchmarks/peers.py --data DIR --peer saga-gwr         one peer
    python benchmarks/peers.py --table                            the table of the stored runs

The pairs are the Wald pairs of the choosing half: the source is the block means of the truth. Two-sensor pairs are left
out. Each peer runs as a program of its own on GeoTIFFs, with one thread where that can be set, and for at most 120
seconds. Seconds include starting the program and reading and writing files. CPU seconds depend less on what else the
machine does. All settings are the peer's defaults.

peer                    guide                                       nodata       method
pydms                   all bands                                   as nodata    decision trees, residual correction
saga-gwr                all bands                                   as nodata    geographically weighted regression
saga-gwr-residuals      all bands                                   as nodata    the same with residual correction
otb-rcs                 mean of the bands                           filled       ratio component substitution
otb-lmvm                mean of the bands                           filled       local mean and variance matching
gdal-pansharpen         mean of the bands                           filled       weighted Brovey
gdal-pansharpen-fitted  mean of the bands, in the source's units    filled       weighted Brovey

Filled means: with the value of the nearest valid pixel. The weighted Brovey method of a single band returns the
panchromatic band as it is. So gdal-pansharpen-fitted is given the mean of the bands with the gain and the offset of
their linear regression on the source.

A figure is the RMSE of a peer divided by that of the bicubic baseline (bicubic with back-projection), over the pixels
where both have data; summaries are those of pairs.py. A run is one line of benchmarks/results/peers.jsonl. Its key is
the pair, the peer, the peer's version and its command. A stored run is not repeated. A failed run is stored with its
reason, and --retry repeats it.

Peers are no dependencies of mmsr_geo. On Debian, apt installs saga, otb-bin, gdal-bin and python3-gdal. pyDMS is the
package python-dms (pydms is another one) and needs numpy below 2, so it gets an environment of its own, derived from
the Python that has GDAL's module:

    /usr/bin/python3 -m venv --system-site-packages PYDMS
    PYDMS/bin/pip install python-dms 'numpy<2'

A peer that is not installed is reported and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import get_args

import numpy as np
import rasterio
import torch
from cases import Case
from pair_list import PAIRS, PairOfKind
from pairs import RESULTS as RESULTS_OF_PAIRS
from pairs import Record, Runs, bicubic, stored, summary, write_raster
from scipy.ndimage import distance_transform_edt  # type: ignore[import-untyped]

from mmsr_geo.evaluation.metrics import rmse
from mmsr_geo.options import Quality

RESULTS = Path(__file__).parent / "results" / "peers.jsonl"
LIMIT_S = 120.0
"""Most seconds of a run."""
LEAST_SCORED = 0.9
"""Least share of the baseline's pixels that a target must have, to be scored."""
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
        "GDAL_NUM_THREADS",
    ),
    "1",
)
"""Environment variables of a peer's run."""


class PeerError(Exception):
    """A run failed: its message is the reason."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that peers run, and how its version is found."""

    packages: str
    """What to install."""
    version: tuple[str, ...]
    """Command that prints the version; its exit status does not matter."""
    pattern: str
    """Pattern of the printed version."""

    def installed(self, places: Mapping[str, str]) -> str | None:
        """Return the version, or None if the program does not run."""
        try:
            ran = subprocess.run(  # noqa: S603  (programs named in this file)
                _filled_in(self.version, places), capture_output=True, text=True, check=False, env=_environment()
            )
        except OSError:
            return None
        found = re.search(self.pattern, ran.stdout + ran.stderr)
        return found.group(1) if found else None


@dataclass(frozen=True, slots=True)
class Peer:
    """A program with its settings. Its command may name {source}, {out}, {folder} and one form of the guide.

    The forms are {guide}, one file of all bands; {bands}, a file for each band, separated by semicolons; {mean}, the
    mean of the bands; and {fitted}, that mean in the source's units.
    """

    name: str
    program: Program
    command: tuple[str, ...]
    fill: bool
    """True if nodata is filled before the peer runs."""


_NUMBER = r"(\d[\d.]*\d)"
_PYDMS = Program(
    "python-dms and numpy<2 in an environment of their own, passed as --pydms-python",
    ("{pydms_python}", "{here}/run_pydms.py", "--version"),
    rf"python-dms {_NUMBER}",
)
_SAGA = Program("saga", ("saga_cmd", "--version"), rf"SAGA Version: {_NUMBER}")
_OTB = Program("otb-bin", ("otbcli_BundleToPerfectSensor", "-help"), rf"version {_NUMBER}")
_GDAL = Program("gdal-bin and python3-gdal", ("gdal_pansharpen.py", "--version"), rf"GDAL {_NUMBER}")


def _saga(regression: str, corrected: str) -> tuple[str, ...]:
    """Return the command of tool 14, GWR for Grid Downscaling, with the paths of two of its outputs."""
    return (
        *("saga_cmd", "--cores=1", "statistics_regression", "14"),
        *("-DEPENDENT", "{source}", "-PREDICTORS", "{bands}"),
        *("-REGRESSION", regression, "-REG_RESCORR", corrected),
        *("-QUALITY", "{folder}/quality.tif", "-RESIDUALS", "{folder}/residuals.tif"),
    )


def _otb(method: str) -> tuple[str, ...]:
    return (
        *("otbcli_BundleToPerfectSensor", "-inp", "{mean}", "-inxs", "{source}"),
        *("-out", "{out}", "float", "-method", method),
    )


PEERS: Mapping[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer(
            "pydms",
            _PYDMS,
            ("{pydms_python}", "{here}/run_pydms.py", "{source}", "{guide}", "{out}"),
            fill=False,
        ),
        Peer("saga-gwr", _SAGA, _saga("{out}", "{folder}/corrected.tif"), fill=False),
        Peer("saga-gwr-residuals", _SAGA, _saga("{folder}/regression.tif", "{out}"), fill=False),
        Peer("otb-rcs", _OTB, _otb("rcs"), fill=True),
        Peer("otb-lmvm", _OTB, _otb("lmvm"), fill=True),
        Peer("gdal-pansharpen", _GDAL, ("gdal_pansharpen.py", "{mean}", "{source}", "{out}"), fill=True),
        Peer("gdal-pansharpen-fitted", _GDAL, ("gdal_pansharpen.py", "{fitted}", "{source}", "{out}"), fill=True),
    )
}
"""All peers by name."""


def run(peer: Peer, case: Case, baseline: np.ndarray, places: Mapping[str, str], limit_s: float = LIMIT_S) -> Record:
    """Run a peer on a pair and return its scores, or the reason of its failure.

    Args:
        peer: The peer.
        case: The pair with its truth.
        baseline: The bicubic baseline, (H, W).
        places: Paths that the peer's command names: pydms_python, here.
        limit_s: Most seconds of the run.
    """
    try:
        target, times = _target(peer, case, places, limit_s)
        return _scores(target, case, baseline) | times
    except PeerError as error:
        return {"failed": str(error)}


def _scores(target: np.ndarray, case: Case, baseline: np.ndarray) -> Record:
    """Return the RMSE of target and baseline over the pixels where both have data, and their share."""
    known = np.isfinite(baseline) & np.isfinite(case.truth)
    share = float(np.mean(np.isfinite(target[known])))
    if share < LEAST_SCORED:
        raise PeerError(f"the result has data in {share:.0%} of the pixels (needs {LEAST_SCORED:.0%})")
    both = known & np.isfinite(target)
    base = rmse(np.where(both, baseline, np.nan), case.truth)
    error = rmse(np.where(both, target, np.nan), case.truth)
    return {"rmse": error, "baseline_rmse": base, "ratio": error / base, "scored": round(share, 4)}


def _target(peer: Peer, case: Case, places: Mapping[str, str], limit_s: float) -> tuple[np.ndarray, Record]:
    """Run a peer in a temporary folder; return its target (H, W), NaN where nodata, and its seconds and CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        paths = _inputs(peer, case, Path(folder))
        command = _filled_in(peer.command, {**places, **paths})
        began, used = time.monotonic(), _cpu_seconds()
        printed = _ended(command, folder, limit_s)
        times = {
            "seconds": round(time.monotonic() - began, 2),
            "cpu_seconds": round(_cpu_seconds() - used, 2),
        }
        out = Path(paths["out"])
        if not out.exists():
            raise PeerError(f"no result was written: {_last_line(printed)}")
        return _read(out, case), times


def _inputs(peer: Peer, case: Case, folder: Path) -> dict[str, str]:
    """Write source and guide as the peer takes them; return the paths by the names of its command."""
    pair = case.trial.pair
    source, guide = case.source, case.guide
    if peer.fill:
        source, guide = nearest_filled(source), np.stack([nearest_filled(band) for band in guide])
    mean = guide.mean(axis=0, dtype=np.float64)
    bands = {f"band{number}": band[None] for number, band in enumerate(guide, start=1)}
    layers = {"guide": guide, **bands, "mean": mean[None]}
    if any("{fitted}" in word for word in peer.command):
        layers["fitted"] = in_units_of(source, mean)[None]
    for name, values in layers.items():
        write_raster(folder / f"{name}.tif", values, pair.guide.grid)
    write_raster(folder / "source.tif", source[None], pair.source.grid)
    paths = {name: str(folder / f"{name}.tif") for name in ("source", "out", *layers)}
    return paths | {"bands": ";".join(paths[name] for name in bands), "folder": str(folder)}


def nearest_filled(values: np.ndarray) -> np.ndarray:
    """Return (H, W) with the value of the nearest valid pixel where there is none."""
    missing = ~np.isfinite(values)
    if not missing.any():
        return values
    nearest = distance_transform_edt(missing, return_distances=False, return_indices=True)
    filled: np.ndarray = values[tuple(nearest)]
    return filled


def in_units_of(source: np.ndarray, pan: np.ndarray) -> np.ndarray:
    """Return gain x pan + offset, (H, W), where the block means of pan fit the source (h, w) in least squares."""
    height, width = source.shape
    blocks = pan.reshape(height, pan.shape[0] // height, width, pan.shape[1] // width).mean(axis=(1, 3))
    gain, offset = np.polyfit(blocks.ravel(), source.ravel().astype(np.float64), 1)
    fitted: np.ndarray = gain * pan + offset
    return fitted


def _ended(command: Sequence[str], folder: str, limit_s: float) -> str:
    """Run a command and return what it printed; end it with all its children at the limit.

    Raises:
        PeerError: The command cannot be started, fails or takes too long.
    """
    try:
        process = subprocess.Popen(  # noqa: S603  (programs named in this file)
            command,
            cwd=folder,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise PeerError(f"{command[0]} does not start: {error}") from error
    try:
        printed, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise PeerError(f"it took more than {limit_s:g} s") from error
    if process.returncode:
        raise PeerError(f"exit status {process.returncode}: {_last_line(printed)}")
    return printed


def _read(path: Path, case: Case) -> np.ndarray:
    """Read a result (H, W), NaN where nodata, and check that it is on the truth's grid."""
    grid = case.trial.pair.guide.grid
    with rasterio.open(path) as raster:
        values: np.ndarray = raster.read(1, masked=True).astype(np.float32).filled(np.nan)
        transform = raster.transform
    if values.shape != case.truth.shape or not transform.almost_equals(grid.transform, precision=1e-6):
        raise PeerError(
            f"the result has {values.shape} pixels and the transform {tuple(transform)[:6]}, not the guide's grid"
        )
    return values


def _cpu_seconds() -> float:
    """Return the CPU seconds of all programs that this process has run to their end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _filled_in(command: Sequence[str], places: Mapping[str, str]) -> list[str]:
    return [word.format_map(places) for word in command]


def _environment() -> dict[str, str]:
    """Return the environment of a peer: one thread, and not the modules of this Python."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | ONE_THREAD


def _last_line(printed: str) -> str:
    lines = [line.strip() for line in re.split(r"[\r\n]+", printed) if line.strip()]
    return lines[-1][:200] if lines else "nothing was printed"


def key_of(pair: PairOfKind, peer: Peer, version: str) -> Record:
    """Return the key of a run."""
    return {"pair": pair.name, "method": peer.name, "version": version, "command": " ".join(peer.command)}


def run_all(  # noqa: PLR0913  (what a run depends on)
    pairs: Sequence[PairOfKind],
    versions: Mapping[str, str],
    data: Path | None,
    results: Path,
    places: Mapping[str, str],
    *,
    retry: bool = False,
) -> None:
    """Run and store what is not stored, each pair with all peers; print one line per run.

    Args:
        pairs: Pairs to run.
        versions: Version of each installed peer, by the peer's name.
        data: Folder of the data sets; None if all runs are stored.
        results: File of the stored runs.
        places: Paths that the commands name.
        retry: True repeats the runs that failed.
    """
    records = stored(results)
    done = {
        json.dumps({name: record[name] for name in ("pair", "method", "version", "command")})
        for record in records
        if not (retry and "failed" in record)
    }
    for pair in pairs:
        keys = {name: key_of(pair, PEERS[name], version) for name, version in versions.items()}
        missing = {name: key for name, key in keys.items() if json.dumps(key) not in done}
        if not missing:
            continue
        if data is None:
            raise SystemExit("pass the folder of the data sets: --data DIR")
        case = pair.read(data)
        baseline = bicubic(case, consistent=True)
        for name, key in missing.items():
            record = key | run(PEERS[name], case, baseline, places)
            with results.open("a") as file:
                file.write(json.dumps(record) + "\n")
            outcome = record.get("failed") or f"{record['ratio']:.3f}  {record['seconds']:.1f} s"
            print(f"{pair.name:30} {name:24} {outcome}", flush=True)


def table(pairs: Sequence[PairOfKind], records: Sequence[Record], of_pairs: Sequence[Record]) -> str:
    """Return the table in Markdown: ratios by kind, and the runs, the seconds and the version of each peer.

    A quality of mmsr_geo has a column if each pair has a run with the code that was stored last.

    Args:
        pairs: The pairs, without two-sensor pairs.
        records: Stored runs of the peers.
        of_pairs: Stored runs of pairs.py.
    """
    runs: Runs = {}
    failed: dict[str, int] = {}
    for peer in PEERS:
        latest = _latest(records, peer, ("version", "command"))
        found = {record["pair"]: record for record in latest}  # the last of a pair, after --retry
        chosen = [found[pair.name] for pair in pairs if pair.name in found]
        runs |= {(record["pair"], peer): record for record in chosen if "failed" not in record}
        failed[peer] = sum("failed" in record for record in chosen)
    for quality in get_args(Quality):
        found = {record["pair"]: record for record in _latest(of_pairs, quality, ("code", "seed"))}
        if all(pair.name in found for pair in pairs):
            runs |= {(pair.name, quality): found[pair.name] for pair in pairs}
    methods = [name for name in (*PEERS, *get_args(Quality)) if any(method == name for _, method in runs)]
    columns = [[run for (_, name), run in runs.items() if name == method] for method in methods]
    more: dict[str, Callable[[str, list[Record]], str]] = {
        "pairs scored, failed": lambda method, found: f"{len(found)}, {failed.get(method, 0)}",
        "median seconds": lambda _, found: f"{median(map(_seconds, found)):.1f}",
        "median CPU seconds": lambda _, found: (
            f"{median(run['cpu_seconds'] for run in found):.1f}" if "cpu_seconds" in found[0] else ""
        ),
        "version": lambda _, found: found[0].get("version") or f"code {found[0]['code']}",
    }
    return "\n".join(
        [
            *summary(pairs, [], methods, runs),
            *(f"| {title} | | {' | '.join(map(cell, methods, columns))} |" for title, cell in more.items()),
        ]
    )


def _latest(records: Sequence[Record], method: str, names: Sequence[str]) -> list[Record]:
    """Return the runs of a method that agree with its last stored run in these fields."""
    found = [record for record in records if record["method"] == method]
    return [record for record in found if all(record[name] == found[-1][name] for name in names)]


def _seconds(record: Record) -> float:
    if "seconds" in record:
        return float(record["seconds"])
    return float(record["fit_seconds"] + record["predict_seconds"])


def failures(pairs: Sequence[PairOfKind], records: Sequence[Record]) -> str:
    """Return one line per failed run, of the peers' last versions."""
    lines = []
    for peer in PEERS:
        found = {record["pair"]: record for record in _latest(records, peer, ("version", "command"))}
        lines += [
            f"{peer} failed on {pair.name}: {found[pair.name]['failed']}"
            for pair in pairs
            if "failed" in found.get(pair.name, {})
        ]
    return "\n".join(lines)


def installed(names: Sequence[str], places: Mapping[str, str]) -> dict[str, str]:
    """Return the version of each peer that is installed; print what to install for the others."""
    programs = {PEERS[name].program for name in names}
    versions = {program: program.installed(places) for program in programs}
    known = {}
    for name in names:
        program = PEERS[name].program
        version = versions[program]
        if version is None:
            print(f"{name} is left out: {program.version[0].strip('{}')} does not run; install {program.packages}")
        else:
            known[name] = version
    return known


def main() -> None:
    """Run the missing runs, then print the table of the stored ones."""
    options = _options()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    wald = [pair for pair in PAIRS.values() if not pair.two_sensor]
    pairs = [pair for pair in wald if (pair.name in options.pairs if options.pairs else pair.half == "choosing")]
    if not options.table:
        places = {"here": str(Path(__file__).resolve().parent), "pydms_python": str(options.pydms_python)}
        versions = installed(options.peer, places)
        run_all(pairs, versions, options.data, options.results, places, retry=options.retry)
    records = stored(options.results)
    print(table(pairs, records, stored(RESULTS_OF_PAIRS)))
    print(failures(pairs, records))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="*", metavar="PAIR", help="pairs to run; without them the choosing half")
    parser.add_argument("--data", type=Path, help="folder of the data sets; required for runs that are not stored")
    parser.add_argument("--peer", nargs="+", choices=PEERS, default=list(PEERS), help="peers to run; all by default")
    parser.add_argument(
        "--pydms-python", type=Path, default=Path("pydms-python"), help="Python of the environment of pyDMS"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of the stored runs")
    parser.add_argument("--retry", action="store_true", help="repeat the stored runs that failed")
    parser.add_argument("--table", action="store_true", help="print the table of the stored runs and run nothing")
    options = parser.parse_args()
    unknown = [name for name in options.pairs if name not in PAIRS or PAIRS[name].two_sensor]
    if unknown:
        parser.error(f"there is no Wald pair {', '.join(unknown)}: pairs.py --list prints all pairs")
    return options


if __name__ == "__main__":
    main()
