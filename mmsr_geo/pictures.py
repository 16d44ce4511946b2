"""Maps of a pair and its target side by side, each with a scale bar and a colour bar; knows matplotlib, no rasters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib_scalebar.scalebar import ScaleBar
from numpy.typing import NDArray

Values = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Map:
    """One panel: values (h, w), or (3, h, w) to be shown as red, green and blue."""

    title: str
    values: Values
    pixel_m: float
    """Metres a pixel spans across."""
    limits: tuple[float, float] | None = None
    """Of the colours; the 1st and 99th percentile if None."""
    colours: str = "viridis"
    unit: str = ""
    bands: tuple[str, str, str] = ("red", "green", "blue")


def draw_maps(maps: list[Map], path: Path, *, title: str, columns: int = 3) -> None:
    """Write the panels as one PNG."""
    rows = -(-len(maps) // columns)
    figure = Figure(figsize=(4.6 * columns, 4.2 * rows + 0.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=13, fontweight="bold")
    for axes, panel in zip(figure.subplots(rows, columns, squeeze=False).flat, maps, strict=False):
        _draw(figure, axes, panel)
    for axes in figure.axes[len(maps) : rows * columns]:
        axes.set_visible(False)
    figure.savefig(path)


def shared_limits(*values: Values) -> tuple[float, float]:
    """Return colour limits that suit all: the 1st and the 99th percentile of what is finite."""
    finite = np.concatenate([part[np.isfinite(part)] for part in values])
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, (1, 99))
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def _draw(figure: Figure, axes: Axes, panel: Map) -> None:
    axes.set_title(panel.title, fontsize=10)
    axes.set_axis_off()
    if panel.values.ndim == 3:
        _draw_composite(axes, panel)
    else:
        low, high = panel.limits or shared_limits(panel.values)
        image = axes.imshow(panel.values, cmap=panel.colours, vmin=low, vmax=high, interpolation="nearest")
        image.cmap.set_bad("0.8")
        bar = figure.colorbar(image, ax=axes, shrink=0.86, aspect=26, pad=0.02)
        bar.set_label(panel.unit, fontsize=8)
        bar.ax.tick_params(labelsize=8)
    axes.add_artist(
        ScaleBar(panel.pixel_m, location="lower left", box_alpha=0.75, font_properties={"size": 8}, length_fraction=0.3)
    )


def _draw_composite(axes: Axes, panel: Map) -> None:
    """Show three bands as one picture, and a colour bar for each: what black and full colour stand for."""
    limits = [shared_limits(band) for band in panel.values]
    stretched = [
        np.clip((band - low) / (high - low), 0, 1) for band, (low, high) in zip(panel.values, limits, strict=True)
    ]
    axes.imshow(np.nan_to_num(np.stack(stretched, axis=-1), nan=0.8), interpolation="nearest")
    for index, ((low, high), name) in enumerate(zip(limits, panel.bands, strict=True)):
        ramp = np.zeros((64, 1, 3))
        ramp[:, 0, index] = np.linspace(1, 0, 64)
        bar = axes.inset_axes((1.03 + 0.13 * index, 0.07, 0.035, 0.80))
        bar.imshow(ramp, aspect="auto", extent=(0, 1, low, high))
        bar.set_xticks([])
        bar.set_yticks([low, high], [f"{low:.0f}", f"{high:.0f}"], fontsize=6)
        bar.yaxis.tick_right()
        bar.set_title(name, fontsize=6)
