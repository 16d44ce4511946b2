"""A target warped to another grid, window by window."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling

from mmsr_geo.engine.flags import Flag
from mmsr_geo.engine.pair import Pair
from mmsr_geo.geometry import Window
from mmsr_geo.jobs.output.output_job import OutputJob
from mmsr_geo.jobs.tiles.tile_file import FLAGS, UNCERTAINTY, VALUES
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.views.warp import Warped

WINDOW_PX = 1024
"""Side of a window in pixels."""


class _TakesValues(Protocol):
    """Writer of windows of the target."""

    def store(self, window: Window, values: NDArray[np.float32], bands: Sequence[int] | None = None) -> None:
        """Write raw values."""


class _TakesFlags(Protocol):
    """Writer of windows of the QA flags."""

    def write(self, window: Window, values: NDArray[Any], bands: Sequence[int] | None = None) -> None:
        """Write stored values."""


def regrid(
    values: _TakesValues,
    flags: _TakesFlags | None,
    uncertainty: _TakesValues | None,
    drafts: Mapping[int, Path],
    output_job: OutputJob,
) -> tuple[float, ...]:
    """Warp a target to the grid of `like`, and return the RMSE of each band against its source.

    Args:
        values: Writer of the target.
        flags: Writer of the QA flags, or None.
        uncertainty: Writer of the uncertainty, or None.
        drafts: Files with all tiles, by the bands of the tile files.
        output_job: The output.
    """
    spec = output_job.spec
    grid = spec.output.like or spec.pairs[0].target_grid
    windows = list(_windows(Window.whole(grid.shape.yx), WINDOW_PX))
    missed = []
    for number, pair in enumerate(spec.pairs, start=1):
        target = Warped(FileRaster.open(drafts[VALUES], [number]), grid)
        draft_flags = FileRaster.open(drafts[FLAGS], [number])
        widths = Warped(FileRaster.open(drafts[UNCERTAINTY], [number]), grid) if uncertainty is not None else None
        for done, window in enumerate(windows):
            output_job.progress("warp", done, len(windows))
            values.store(window, target.read(window).values, bands=(number,))
            if flags is not None:
                bits = Warped(draft_flags, grid, Resampling.nearest, Resampling.nearest).read(window).values
                outside = float(Flag.SOURCE_NODATA)
                flags.write(window, np.nan_to_num(bits, nan=outside).astype(np.uint8), bands=(number,))
            if uncertainty is not None and widths is not None:
                uncertainty.store(window, widths.read(window).values, bands=(number,))
        output_job.progress("warp", len(windows), len(windows))
        missed.append(_missed(Warped(target, pair.source.grid), pair))
    return tuple(missed)


def _missed(back: Warped, pair: Pair) -> float:
    """Return the root mean square of a target on the source's grid minus the source, where both are valid."""
    total, count = 0.0, 0
    for window in _windows(pair.part, max(1, WINDOW_PX // max(pair.scale.y, pair.scale.x))):
        differences = back.read(window).values[0].astype(np.float64) - pair.source.read(window).values[0]
        valid = differences[np.isfinite(differences)]
        total, count = total + float((valid**2).sum()), count + valid.size
    return math.sqrt(total / count) if count else math.nan


def _windows(whole: Window, side: int) -> Iterator[Window]:
    for row in range(whole.row, whole.row + whole.height, side):
        for col in range(whole.col, whole.col + whole.width, side):
            yield Window(row, col, side, side).intersection(whole)
