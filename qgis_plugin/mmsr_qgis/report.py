"""An evaluation's scores as a table: for the log, and as a page for the results viewer; knows no QGIS but its texts."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from .translation import tr

COLUMNS: Mapping[str, tuple[str, str]] = {
    "RMSE": ("rmse", ".4g"),
    "MAE": ("mae", ".4g"),
    "bias": ("bias", "+.2g"),
    "PSNR": ("psnr", ".2f"),
    "SSIM": ("ssim", ".3f"),
    "detail": ("high_frequency_correlation", ".2f"),
    "seams": ("seam_score", ".2f"),
    "blocks": ("blockiness", ".2f"),
    "imprint": ("texture_imprint", ".2g"),
    "consistency": ("consistency", ".0e"),
}
"""Heading → the score and its format, as the command's own table has them."""
UNCERTAINTY: Mapping[str, tuple[str, str]] = {
    "coverage": ("coverage", ".3f"),
    "half width": ("mean_half_width", ".4g"),
}
"""The same of how good a method's uncertainty is; shown where one tells it."""
QUICK_METHODS = 6
"""How many are compared where none are named; a test holds it equal to the command's."""


def rows(scores: Mapping[str, Any]) -> list[list[str]]:
    """Return a heading and a line a method."""
    bicubic = scores["methods"].get("bicubic", {}).get("rmse")
    uncertain = UNCERTAINTY if any(isinstance(of["uncertainty"], Mapping) for of in scores["methods"].values()) else {}
    table = [[tr("method"), *COLUMNS, *uncertain, tr("of bicubic"), tr("seconds")]]
    for name, of in scores["methods"].items():
        ratio = f"{of['rmse'] / bicubic:.3f}" if bicubic else "-"
        told = of["uncertainty"] if isinstance(of["uncertainty"], Mapping) else {}
        cells = [*_cells(of, COLUMNS), *_cells(told, uncertain)]
        table.append([name, *cells, ratio, f"{of['fit_seconds'] + of['predict_seconds']:.1f}"])
    return table


def _cells(of: Mapping[str, Any], columns: Mapping[str, tuple[str, str]]) -> list[str]:
    return ["-" if of.get(key) is None else format(of[key], form) for key, form in columns.values()]


def text(scores: Mapping[str, Any]) -> str:
    """Return the table as lines of text, in columns."""
    table = rows(scores)
    widths = [max(map(len, column)) for column in zip(*table)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in table)


def table(scores: Mapping[str, Any]) -> str:
    """Return the table as HTML."""
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
    """Return the table and the command's maps as a page."""
    how = (
        tr("Against the truth")
        if scores["protocol"] == "truth"
        else tr("One level down, where the source itself is the truth")
    )
    return (
        f"<!DOCTYPE html><html><head><meta charset='utf-8'><title>{tr('Evaluate upsampling')}</title></head><body>"
        f"<h2>{escape(how)}</h2>{table(scores)}<p><img src='report.png' style='max-width:100%'></p></body></html>\n"
    )
