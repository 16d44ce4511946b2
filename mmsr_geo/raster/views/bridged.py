"""Rasters whose narrow gaps are filled from the pixels around them; reads nothing itself.

Single pixels that a cloud mask or a detector leaves out, and the stripes of Landsat 7, would else cost a guide all that
features and regressions see around them: 81 pixels for each. Wide gaps, such as clouds, stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter  # type: ignore[import-untyped]

from mmsr_geo.geometry import Halo, Window
from mmsr_geo.raster.base import Pixels, Raster, ReadPlan
from mmsr_geo.raster.views.base import RasterView, joined

WIDEST_PX = 12
"""Width, in target pixels, of the widest gap that is bridged (docs/decisions/022-narrow-gaps.md)."""
NEAR_PX = ((0.6, 1.0), (1.5, 1e-4), (3.0, 1e-8))
"""Standard deviations and weights of the Gaussians whose sum weighs the pixels around: the nearest count."""


@dataclass(frozen=True, slots=True)
class Bridged(RasterView):
    """A raster whose gaps of up to WIDEST_PX pixels are filled by a weighted mean of the valid pixels around them.

    A gap is narrow where no square of more than WIDEST_PX pixels a side fits into it.
    """

    raster: Raster

    @property
    def grid(self) -> GeoBox:
        """The raster's grid."""
        return self.raster.grid

    def read_plan(self, window: Window) -> ReadPlan:
        """Return the reads that a window and what its filling depends on need."""
        reach = WIDEST_PX // 2 * 2
        read = window.padded(Halo(reach, reach), Window.whole(self.grid.shape.yx))
        return joined([self.raster.read_plan(read)], _Bridge(window.relative_to(read)))


@dataclass(frozen=True, slots=True)
class _Bridge:
    core: Window

    def __call__(self, parts: Sequence[Pixels]) -> Pixels:
        (pixels,) = parts
        rows, columns = self.core.slices
        if pixels.valid.all():
            return Pixels(pixels.values[:, rows, columns], pixels.valid[rows, columns])
        narrow = narrow_gaps(pixels.valid)
        if not narrow[rows, columns].any():
            return Pixels(pixels.values[:, rows, columns], pixels.valid[rows, columns])
        values = filled(pixels.values, pixels.valid, narrow)[:, rows, columns]
        narrow = narrow[rows, columns]
        return Pixels(values, pixels.valid[rows, columns] | narrow, narrow)


def narrow_gaps(valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the gaps (H, W) that a morphological closing of the valid pixels closes.

    What lies outside of the array counts as a gap where pixels spread, and as valid where they shrink again.
    """
    side = WIDEST_PX // 2 * 2 + 1
    spread = maximum_filter(valid, side, mode="constant", cval=False)
    closed: NDArray[np.bool_] = minimum_filter(spread, side, mode="constant", cval=True) & ~valid
    return closed


def filled(values: NDArray[np.float32], valid: NDArray[np.bool_], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return values (bands, H, W) with weighted means of the valid ones in `where` (H, W).

    A normalised convolution (Knutsson and Westin 1993) by a sum of Gaussians, cut at WIDEST_PX pixels.
    """
    known = np.where(valid, values, 0).astype(np.float64)
    weights = _weighted(valid.astype(np.float64))
    made = values.copy()
    for band, raster in zip(made, known, strict=True):
        band[where] = (_weighted(raster)[where] / weights[where]).astype(np.float32)
    return made


def _weighted(raster: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weighted sums (H, W) around each pixel; nothing lies outside."""
    reach = WIDEST_PX // 2 * 2
    sums = np.zeros_like(raster)
    for deviation, weight in NEAR_PX:
        radius = min(reach, int(np.ceil(4 * deviation)))
        sums += weight * gaussian_filter(raster, deviation, mode="constant", radius=radius)
    return sums
