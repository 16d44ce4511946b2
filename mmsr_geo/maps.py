"""Panels of maps in one PNG, each with a scale bar and a colour bar; knows matplotlib, no rasters."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib_scalebar.scalebar import ScaleBar
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt  # type: ignore[import-untyped]

Values = NDArray[np.floating]
_ELEVATION = re.compile(r"(^|[^a-z])(dem|dsm|dtm|srtm|elevation|height|altitude|surface)([^a-z]|$)", re.IGNORECASE)
_LOWEST, _HIGHEST = 0.2, 3.0
"""Limits of a panel's height over its width: a narrower raster is drawn smaller."""


@dataclass(frozen=True, slots=True)
class Map:
    """One panel: values (h, w), or (3, h, w) shown as red, green and blue."""

    title: str
    values: Values
    pixel_m: float
    """Width of a pixel in metres."""
    limits: tuple[float, float] | None = None
    """Values at the ends of the colour bar; None: the 1st and 99th percentile."""
    colours: str = "viridis"
    unit: str = ""
    bands: tuple[str, str, str] = ("red", "green", "blue")


def draw_maps(maps: Sequence[Map | None], path: Path, *, title: str, columns: int = 3) -> None:
    """Write panels as one PNG, row by row; None leaves a panel empty."""
    rows = math.ceil(len(maps) / columns)
    height, width = next(panel for panel in maps if panel is not None).values.shape[-2:]
    side = 3.6
    high = (side * min(max(height / width, _LOWEST), _HIGHEST) + 0.35) * rows + 0.6
    wide = (side + 1.0) * columns
    figure = Figure(figsize=(wide, high), dpi=110)
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=13, fontweight="bold", y=1 - 0.25 / high, parse_math=False)
    panels = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(
        left=0.01, right=1 - 0.83 / wide, bottom=0.15 / high, top=1 - 0.8 / high, wspace=0.3, hspace=0.12
    )
    for axes, panel in zip(panels.flat, maps, strict=False):
        if panel is None:
            axes.set_visible(False)
        else:
            _draw(axes, panel)
    for axes in panels.flat[len(maps) :]:
        axes.set_visible(False)
    figure.savefig(path)


def shared_limits(values: Values, percentiles: tuple[float, float] = (1, 99)) -> tuple[float, float]:
    """Return colour limits: two percentiles of the finite values, never equal."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, percentiles)
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def sounds_like_elevation(*names: str) -> bool:
    """Return True if the names of a raster and its bands suggest an elevation, to be shown as a hillshade."""
    return any(_ELEVATION.search(name) for name in names)


def relief(elevation: Values, pixel_m: tuple[float, float]) -> float:
    """Return the exaggeration at which the steepest tenth of a surface's slopes reach 45 degrees.

    It makes seams and blocks visible in flat areas too. Arguments are as for `hillshade`.
    """
    down, across = np.gradient(elevation.astype(np.float64), *pixel_m)
    slopes = np.hypot(down, across)
    steepest = float(np.nanpercentile(slopes, 90)) if np.isfinite(slopes).any() else 0.0
    return 1 / steepest if steepest > 0 else 1.0


def hillshade(elevation: Values, pixel_m: tuple[float, float], exaggeration: float) -> Values:
    """Return the hillshade of a surface, lit from the north-west at 45 degrees.

    Args:
        elevation: (h, w) in metres.
        pixel_m: Height and width of a pixel in metres.
        exaggeration: Factor of the elevation.

    Returns:
        (h, w) in 0..1, NaN where the elevation has no data.
    """
    valid = np.isfinite(elevation)
    if not valid.any():
        return np.full(elevation.shape, np.nan)
    # Nodata is filled from the nearest valid pixel, so that its edges are not cliffs.
    neighbour = distance_transform_edt(~valid, return_distances=False, return_indices=True)
    # Rows go south. matplotlib's hillshade stretches its result, so that two surfaces could not be compared.
    south, east = np.gradient(elevation[tuple(neighbour)].astype(np.float64) * exaggeration, *pixel_m)
    lit = ((south + east) / 2 + math.sqrt(0.5)) / np.sqrt(1 + south**2 + east**2)
    return np.where(valid, lit.clip(0, 1), np.nan)


def _draw(axes: Axes, panel: Map) -> None:
    axes.set_title(panel.title, fontsize=10, parse_math=False)  # names are the user's, with $ in them or not
    axes.set_axis_off()
    if panel.values.ndim == 3:
        _draw_composite(axes, panel)
    else:
        low, high = panel.limits or shared_limits(panel.values)
        colours = colormaps[panel.colours].with_extremes(bad="0.8")
        image = axes.imshow(panel.values, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        bar = axes.figure.colorbar(image, cax=axes.inset_axes((1.025, 0, 0.04, 1)), extend="both")
        bar.set_label(panel.unit, fontsize=8, parse_math=False)
        bar.ax.tick_params(labelsize=8)
    axes.add_artist(
        ScaleBar(panel.pixel_m, location="lower left", box_alpha=0.75, font_properties={"size": 8}, length_fraction=0.3)
    )


def _draw_composite(axes: Axes, panel: Map) -> None:
    """Show three bands as one composite, each with a bar from black to full colour."""
    limits = [shared_limits(band, (2, 95)) for band in panel.values]
    stretched = [
        np.clip((band - low) / (high - low), 0, 1) for band, (low, high) in zip(panel.values, limits, strict=True)
    ]
    axes.imshow(np.nan_to_num(np.stack(stretched, axis=-1), nan=0.8), interpolation="nearest")
    for index, ((low, high), name) in enumerate(zip(limits, panel.bands, strict=True)):
        ramp = np.zeros((64, 1, 3))
        ramp[:, 0, index] = np.linspace(1, 0, 64)
        bar = axes.inset_axes((1.025, 0.35 * index, 0.04, 0.28))
        bar.imshow(ramp, aspect="auto", extent=(0, 1, low, high))
        bar.set_xticks([])
        bar.yaxis.tick_right()
        bar.yaxis.set_label_position("right")
        bar.tick_params(labelsize=7)
        bar.yaxis.set_major_locator(MaxNLocator(3))
        bar.set_ylabel(name, fontsize=8, parse_math=False)
