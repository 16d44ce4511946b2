"""Rasters averaged by blocks of whole pixels, for sources that are oversampled; reads nothing itself."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from odc.geo.geobox import GeoBox

from mmsr_geo.geometry import Window
from mmsr_geo.raster.base import Combine, Pixels, Raster, ReadPlan
from mmsr_geo.raster.views.base import RasterView

MOST_MISSING = 0.5
"""Default share of a coarse pixel's area above which it is nodata if that share is nodata."""
_SHARE_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Coarsened(RasterView):
    """A raster averaged by blocks of `down` x `across` pixels.

    A coarse pixel is the mean of the valid pixels in its block. The last row and column may reach beyond the raster.
    """

    raster: Raster
    down: int
    across: int
    most_missing: float = MOST_MISSING
    """Share of a block, 0 to 1, above which the coarse pixel is nodata if that share is nodata."""

    @property
    def grid(self) -> GeoBox:
        """The grid of the coarse pixels, with the same upper left corner."""
        fine = self.raster.grid
        shape = math.ceil(fine.shape.y / self.down), math.ceil(fine.shape.x / self.across)
        return GeoBox(shape, fine.affine * fine.affine.scale(self.across, self.down), fine.crs)

    def read_plan(self, window: Window) -> ReadPlan:
        """Return the reads of the raster's pixels under a window."""
        whole = Window.whole(self.raster.grid.shape.yx)
        under = Window(
            window.row * self.down, window.col * self.across, window.height * self.down, window.width * self.across
        )
        read_plan = self.raster.read_plan(under.intersection(whole))
        return ReadPlan(
            read_plan.reads, _Average(read_plan.combine, self.down, self.across, window.shape, self.most_missing)
        )


@dataclass(frozen=True, slots=True)
class _Average:
    under: Combine
    down: int
    across: int
    shape: tuple[int, int]
    most_missing: float

    def __call__(self, parts: Sequence[Pixels]) -> Pixels:
        values = self.under(parts).values
        height, width = self.shape
        missing = height * self.down - values.shape[1], width * self.across - values.shape[2]
        padded = np.pad(values, ((0, 0), (0, missing[0]), (0, missing[1])), constant_values=np.nan)
        blocks = padded.reshape(len(values), height, self.down, width, self.across).astype(np.float64)
        missing_share = 1 - np.isfinite(blocks).mean(axis=(2, 4))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the mean of no pixel
            means = np.nanmean(blocks, axis=(2, 4))
        return Pixels.masked(
            np.where(missing_share <= self.most_missing + _SHARE_ROUNDING, means, np.nan).astype(np.float32)
        )
