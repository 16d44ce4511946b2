"""Report of an evaluation: tables, report.json and report.png; computes no scores."""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from mmsr_geo.errors import OutputError
from mmsr_geo.evaluation.evaluate import Evaluation, MethodResult
from mmsr_geo.evaluation.metrics import UncertaintyScores
from mmsr_geo.evaluation.trial import ComparisonProtocol
from mmsr_geo.maps import Map, draw_maps, hillshade, relief, shared_limits, sounds_like_elevation
from mmsr_geo.raster.grids import resolution_m
from mmsr_geo.raster.write.destination import check_output

ERRORS = {
    "RMSE": ("rmse", ".4g"),
    "MAE": ("mae", ".4g"),
    "bias": ("bias", "+.2g"),
    "PSNR": ("psnr", ".2f"),
}
ARTEFACTS = {
    "SSIM": ("ssim", ".3f"),
    "detail": ("high_frequency_correlation", ".2f"),
    "seams": ("seam_score", ".2f"),
    "blocks": ("blockiness", ".2f"),
    "imprint": ("texture_imprint", ".2g"),
    "consistency": ("consistency", ".0e"),
}
"""Column headings of the two tables, each with its score and number format."""
UNCERTAINTY = {
    "coverage": ("coverage", ".3f"),
    "rank correlation": ("rank_correlation", ".2f"),
    "mean half width": ("mean_half_width", ".4g"),
}
"""Column headings of the table of uncertainties, each with its score and number format."""

_PROTOCOLS: dict[ComparisonProtocol, str] = {
    "truth": "against the truth",
    "wald": "at reduced resolution, with the source as the reference",
}

Values = NDArray[np.float32]


def error_table(evaluation: Evaluation) -> Table:
    """Return the table of the methods' errors, with the smallest RMSE in bold."""
    table = _table(f"Errors {_PROTOCOLS[evaluation.trial.protocol]}", [*ERRORS, "/bicubic", "time"])
    best = min(result.scores.rmse for result in evaluation.results.values())
    for name, result in evaluation.results.items():
        rmse, *others = _cells(result, ERRORS)
        ratio, seconds = evaluation.ratio(name), result.fit_seconds + result.predict_seconds
        table.add_row(
            name,
            f"[bold]{rmse}[/]" if result.scores.rmse == best else rmse,
            *others,
            "-" if math.isnan(ratio) else f"{ratio:.3f}",
            f"{seconds:.1f} s",
        )
    return table


def artefact_table(evaluation: Evaluation) -> Table:
    """Return the table of the methods' scores for detail and artefacts."""
    table = _table("Detail and artefacts", [*ARTEFACTS])
    for name, result in evaluation.results.items():
        table.add_row(name, *_cells(result, ARTEFACTS))
    return table


def uncertainty_table(evaluation: Evaluation) -> Table:
    """Return the table of the methods' scores for their uncertainty."""
    table = _table("Uncertainty, half of a 90 % interval's width", [*UNCERTAINTY])
    for name, result in evaluation.results.items():
        scores = result.uncertainty
        if isinstance(scores, UncertaintyScores):
            table.add_row(name, *_formatted(scores.as_dict(), UNCERTAINTY))
        else:
            table.add_row(name, scores or "-", "-", "-")
    return table


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("method", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _cells(result: MethodResult, columns: Mapping[str, tuple[str, str]]) -> list[str]:
    return _formatted(result.scores.as_dict(), columns)


def _formatted(scores: Mapping[str, float | None], columns: Mapping[str, tuple[str, str]]) -> list[str]:
    return ["-" if (score := scores[key]) is None else format(score, form) for key, form in columns.values()]


def print_scores(evaluation: Evaluation) -> None:
    """Print the tables and the guide check."""
    console = Console()
    console.print(error_table(evaluation))
    console.print(artefact_table(evaluation))
    if any(result.uncertainty is not None for result in evaluation.results.values()):
        console.print(uncertainty_table(evaluation))
    if any(result.check.gain is not None for result in evaluation.results.values()) or "mmsr" in evaluation.results:
        where = "" if evaluation.trial.protocol == "truth" else " (at a still lower resolution)"
        sentence = f"Guide check of the fit{where}: {evaluation.check.sentence}."
        console.print(sentence, highlight=False, soft_wrap=True)
    for name, result in evaluation.results.items():
        if result.measurement:
            sentence = f"{name}: {result.measurement}; guide {result.alignment}."
            console.print(sentence, highlight=False, soft_wrap=True)
    if not math.isnan(evaluation.gain_measured):
        sentence = f"The RMSE of mmsr is {1 - evaluation.gain_measured:.2f} times that of the bicubic baseline."
        console.print(sentence, highlight=False, soft_wrap=True)


def save_report(evaluation: Evaluation, folder: Path, *, overwrite: bool, hillshades: bool | None = None) -> list[Path]:
    """Write report.json and report.png into a folder, and return both paths.

    Args:
        evaluation: The evaluation.
        folder: The folder; it is created if it is missing.
        overwrite: Replace existing files.
        hillshades: Show targets as hillshades as well; None: if the names of the source and its band suggest an
            elevation.

    Raises:
        OutputError: A file exists and may not be replaced, or cannot be written.
    """
    files = report_files(folder, overwrite=overwrite)
    missing = [path for path in (folder, *folder.absolute().parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".report.", dir=folder) as scratch:
            scores, maps = (Path(scratch) / file.name for file in files)
            scores.write_text(json.dumps(evaluation.as_dict(), indent=2) + "\n")
            draw_report(evaluation, maps, hillshades=is_elevation(evaluation) if hillshades is None else hillshades)
            for draft, file in zip((scores, maps), files, strict=True):
                draft.replace(file)
    except BaseException as error:
        for path in missing:
            with contextlib.suppress(OSError):  # not created, or in use
                path.rmdir()
        if isinstance(error, OSError):
            raise OutputError(
                f"cannot write the report to {folder} ({error.strerror}): choose another folder"
            ) from error
        raise
    return files


def report_files(folder: Path, *, overwrite: bool) -> list[Path]:
    """Return the paths of a report's files without writing them; raises OutputError as `save_report` does."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        reason = "is not writable" if existing.is_dir() else "is not a folder"
        raise OutputError(f"cannot write the report to {folder}: {existing} {reason}; choose another folder")
    files = [folder / "report.json", folder / "report.png"]
    for file in files if existing == folder else ():
        check_output(file, overwrite=overwrite)
    return files


def is_elevation(evaluation: Evaluation) -> bool:
    """Return True if the names of the source and its band suggest an elevation."""
    source = evaluation.trial.pair.source
    return sounds_like_elevation(Path(source.name).stem, *source.bands)


def draw_report(evaluation: Evaluation, path: Path, *, hillshades: bool) -> None:
    """Draw maps of source, guide and truth or reference, and of each method's target, error and uncertainty."""
    panels = list(_panels(evaluation, hillshades=hillshades))
    pair = evaluation.trial.pair
    how = "against the truth" if evaluation.trial.protocol == "truth" else "at reduced resolution"
    title = f"{Path(pair.source.name).name} guided by {Path(pair.guide.name).name}, scale {pair.scale}, {how}"
    draw_maps(panels, path, title=title, columns=3 if hillshades else 4)


def _panels(evaluation: Evaluation, *, hillshades: bool) -> Iterator[Map | None]:
    trial = evaluation.trial
    pair, truth = trial.pair, trial.truth
    compared = "truth" if trial.protocol == "truth" else "reference"
    fine, coarse = (resolution_m(grid) for grid in (pair.target_grid, pair.source.grid))
    limits = shared_limits(truth)
    unit = pair.source.band_tags[0].unit or ""
    guide = trial.guide
    exaggeration = relief(truth, fine) if hillshades else 1.0
    source = trial.source
    yield Map(f"source ({coarse[1]:.3g} m)", source, coarse[1], limits, unit=unit)
    if len(guide) >= 3:
        names = pair.guide.bands
        yield Map(f"guide ({', '.join(names[:3])})", guide[:3], fine[1], bands=(names[0], names[1], names[2]))
    else:
        yield Map(f"guide ({pair.guide.bands[0]})", guide[0], fine[1], colours="gray")
    if hillshades:
        yield Map("source, hillshade", hillshade(source, coarse, exaggeration), coarse[1], (0, 1), "gray")
    yield Map(f"{compared} ({fine[1]:.3g} m)", truth, fine[1], limits, unit=unit)
    yield None
    if hillshades:
        yield Map(f"{compared}, hillshade", hillshade(truth, fine, exaggeration), fine[1], (0, 1), "gray")
    errors = [result.target - truth for result in evaluation.results.values()]
    baseline = evaluation.results["bicubic"].target - truth if "bicubic" in evaluation.results else errors[0]
    largest = shared_limits(np.abs(baseline), (0, 99))[1]
    for (name, result), error in zip(evaluation.results.items(), errors, strict=True):
        yield Map(name, result.target, fine[1], limits, unit=unit)
        title = f"{name}: error (RMSE {result.scores.rmse:.4g})"
        yield Map(title, error, fine[1], (-largest, largest), "RdBu_r", unit)
        if hillshades:
            yield Map(f"{name}, hillshade", hillshade(result.target, fine, exaggeration), fine[1], (0, 1), "gray")
    for name, result in evaluation.results.items():
        if result.half_width is not None and isinstance(result.uncertainty, UncertaintyScores):
            title = f"{name}: uncertainty ({result.uncertainty.coverage:.0%} of errors within)"
            yield Map(title, result.half_width, fine[1], (0, largest), "magma", unit)
