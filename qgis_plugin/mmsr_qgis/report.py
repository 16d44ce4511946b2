"""The scores of an evaluation as a table for the log and as a page for the results viewer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from .translation import tr


@dataclass(frozen=True)
class Column:
    """A score in the table."""

    heading: str
    key: str
    """Name of the score in the command's report."""
    form: str
    meaning: str
    """Explanation below the table."""


COLUMNS = (
    Column("RMSE", "rmse", ".4g", "root mean square error, in the units of the source"),
    Column("MAE", "mae", ".4g", "mean absolute error, in the units of the source"),
    Column("bias", "bias", "+.2g", "mean error, in the units of the source"),
    Column("PSNR", "psnr", ".2f", "peak signal-to-noise ratio in dB; larger is better"),
    Column("SSIM", "ssim", ".3f", "structural similarity; 1 is best"),
    Column(
        "detail",
        "high_frequency_correlation",
        ".2f",
        "correlation with the reference of what the source cannot resolve; 1 is best, and interpolation has about 0",
    ),
    Column("seams", "seam_score", ".2f", "steps at tile borders divided by steps elsewhere; 1 means no seams"),
    Column(
        "blocks",
        "blockiness",
        ".2f",
        "steps at the edges of source pixels divided by steps elsewhere; 1 means no blocks",
    ),
    Column("imprint", "texture_imprint", ".2g", "texture of the guide where the source is flat; 0 means none"),
    Column(
        "consistency",
        "consistency",
        ".0e",
        "largest difference between the averaged target and the source, divided by the source's standard deviation; "
        "0 is best",
    ),
)
UNCERTAINTY = (
    Column(
        "coverage",
        "coverage",
        ".3f",
        "share of reference values within the target plus or minus its uncertainty; 0.9 is nominal",
    ),
    Column(
        "half width",
        "mean_half_width",
        ".4g",
        "mean uncertainty, in the units of the source; smaller is better at equal coverage",
    ),
)
"""Scores of the uncertainty, shown if a method has them."""
QUICK_METHODS = 6
"""Number of methods that are compared if none is selected; a test compares it with the command."""


def rows(scores: Mapping[str, Any]) -> list[list[str]]:
    """Return a heading and one row per method."""
    bicubic = scores["methods"].get("bicubic", {}).get("rmse")
    uncertainty = _uncertainty_columns(scores)
    columns = (*COLUMNS, *uncertainty)
    table = [[tr("method"), *(tr(column.heading) for column in columns), tr("/ bicubic"), tr("seconds")]]
    for name, of in scores["methods"].items():
        ratio = f"{of['rmse'] / bicubic:.3f}" if bicubic else "-"
        calibrated = of["uncertainty"] if isinstance(of["uncertainty"], Mapping) else {}
        cells = [*_cells(of, COLUMNS), *_cells(calibrated, uncertainty)]
        table.append([name, *cells, ratio, f"{of['fit_seconds'] + of['predict_seconds']:.1f}"])
    return table


def _uncertainty_columns(scores: Mapping[str, Any]) -> tuple[Column, ...]:
    known = any(isinstance(of["uncertainty"], Mapping) for of in scores["methods"].values())
    return UNCERTAINTY if known else ()


def _cells(of: Mapping[str, Any], columns: tuple[Column, ...]) -> list[str]:
    return ["-" if of.get(column.key) is None else format(of[column.key], column.form) for column in columns]


def text(scores: Mapping[str, Any]) -> str:
    """Return the table as lines of text with aligned columns."""
    table = rows(scores)
    widths = [max(map(len, column)) for column in zip(*table)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in table)


def table(scores: Mapping[str, Any]) -> str:
    """Return the table as HTML, with the best method in bold."""
    heading, *lines = rows(scores)
    best = min(scores["methods"], key=lambda name: scores["methods"][name]["rmse"])
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heading)
    body = "".join(
        ("<tr style='font-weight:bold'>" if line[0] == best else "<tr>")
        + "".join(f"<td align='{'left' if cell is line[0] else 'right'}'>{escape(cell)}</td>" for cell in line)
        + "</tr>"
        for line in lines
    )
    return f"<table cellpadding='4'><tr>{head}</tr>{body}</table>"


def page(scores: Mapping[str, Any]) -> str:
    """Return a page with the table, the meaning of its columns, and the command's maps."""
    title = (
        tr("Scores against the truth")
        if scores["protocol"] == "truth"
        else tr("Scores at reduced resolution (Wald's protocol), with the source as the reference")
    )
    return (
        f"<!DOCTYPE html><html><head><meta charset='utf-8'><title>{tr('Evaluate upsampling')}</title></head><body>"
        f"<h2>{escape(title)}</h2>{table(scores)}{_legend(scores)}"
        "<p><img src='report.png' style='max-width:100%'></p></body></html>\n"
    )


def _legend(scores: Mapping[str, Any]) -> str:
    columns = (*COLUMNS, *_uncertainty_columns(scores))
    meanings = {tr(column.heading): tr(column.meaning) for column in columns}
    meanings[tr("/ bicubic")] = tr("RMSE divided by that of bicubic interpolation; below 1 is better")
    items = "".join(f"<li><b>{escape(name)}</b>: {escape(meaning)}</li>" for name, meaning in meanings.items())
    return f"<ul>{items}</ul>"
