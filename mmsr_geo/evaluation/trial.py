"""Trial of an evaluation: a pair, its truth, and the part that is compared."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from mmsr_geo.engine.pair import Pair
from mmsr_geo.errors import PixelError
from mmsr_geo.geometry import Window
from mmsr_geo.network.sensor import Sensor
from mmsr_geo.network.variational.gaussian import smoothed
from mmsr_geo.raster.base import Pixels, Raster
from mmsr_geo.raster.grids import window_grid
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.views.guides import Guides
from mmsr_geo.raster.views.warp import Warped
from mmsr_geo.spelling import option

Values = NDArray[np.float32]
ComparisonProtocol = Literal["truth", "wald"]

LARGEST_TRUTH_PX = 1_500_000
"""Most truth pixels that are compared; of a larger raster, the one of nine parts with the most valid pixels."""
SMALLEST_SOURCE_PX = 8
"""Least source pixels along the shorter side of a trial."""
_STRIP_PX = 256


@dataclass(frozen=True, slots=True)
class Trial:
    """A pair that methods are evaluated on, and its truth."""

    pair: Pair
    """Source and guide; in memory and at reduced resolution if the original source is the truth."""
    truth: Values
    """(H, W) of the pair's part on the target grid, NaN where it has no data."""
    protocol: ComparisonProtocol
    """"truth": the truth was given; "wald": the original source is the truth."""
    window: Window | None = None
    """Compared part of the original source, in its pixels; None if there is none."""
    blur: tuple[float, float] = (0.0, 0.0)
    """Standard deviations of the sensor's blur down and across, in source pixels, as far as it is known."""

    @property
    def source(self) -> Values:
        """Source of the pair, (h, w) of its part."""
        values: Values = self.pair.source.read(self.pair.part).values[0]
        return values

    @property
    def guide(self) -> Values:
        """Guide on the target grid, (C, H, W) of the part."""
        return _read_by_strips(self.pair.guide, self.pair.part.refined(self.pair.scale)).values

    def blurred(self, target: Values) -> Values:
        """Return a target (H, W) as the sensor blurs it before it averages, NaN where it is NaN."""
        return _blurred(target, Sensor(self.blur).blur_px(self.pair.scale))


def truth_trial(pair: Pair, truth: Raster, blur: tuple[float, float] = (0.0, 0.0)) -> Trial:
    """Return the trial of a pair against a given truth, resampled onto the target grid (averaged if it is finer).

    Args:
        pair: Source and guide.
        truth: The truth.
        blur: Standard deviations of the sensor's blur down and across, in source pixels, as far as it is known.

    Raises:
        PixelError: The truth has no valid pixel in the compared part.
    """
    part = _compared_part(pair, pair.scale.area)
    pair = replace(pair, part=part)
    on_grid = Warped(truth, pair.guide.grid)
    values = _read_by_strips(on_grid, part.refined(pair.scale)).values[0]
    _check_enough(pair, values)
    return Trial(pair, values, "truth", part, blur)


def wald_trial(pair: Pair, blur: tuple[float, float] = (0.0, 0.0)) -> Trial:
    """Return the trial of a pair at reduced resolution (Wald et al. 1997).

    Source and guide are averaged by the scale, so that the source itself is the truth: the guide onto the source's
    grid, the source to block means, after a blur as a sensor's. A block with a nodata pixel is nodata.

    Args:
        pair: Source and guide.
        blur: Standard deviations of the blur down and across, in pixels of the reduced source.

    Raises:
        PixelError: The source is too small, or has no valid pixel.
    """
    scale = pair.scale
    part = _compared_part(pair, 1)
    part = Window(part.row, part.col, part.height // scale.y * scale.y, part.width // scale.x * scale.x)
    if min(part.height // scale.y, part.width // scale.x) < SMALLEST_SOURCE_PX:
        raise PixelError(
            f"{pair.source.name} has {pair.part.width} x {pair.part.height} pixels, which leave fewer than "
            f"{SMALLEST_SOURCE_PX} along a side at reduced resolution (scale {scale}): choose a larger part "
            f"({option('bounds')}), a smaller {option('scale')} or a {option('truth')}"
        )
    grid = window_grid(pair.source.grid, part)
    truth = _read_by_strips(pair.source, part).values
    guide = _read_by_strips(pair.guides.on(pair.source.grid), part)
    height, width = part.height // scale.y, part.width // scale.x
    seen = _blurred(truth[0], Sensor(blur).blur_px(scale))[None]
    coarse = seen.reshape(1, height, scale.y, width, scale.x).mean(axis=(2, 4), dtype=np.float64).astype(np.float32)
    reduced_source = _in_memory(coarse, grid.zoom_to((height, width)), pair.source)
    reduced_guide = _in_memory(guide.values, grid, pair.guide)
    reduced = Pair(reduced_source, Guides((reduced_guide,)), scale, Window.whole((height, width)))
    _check_enough(reduced, truth[0])
    return Trial(reduced, truth[0], "wald", part, blur)


def _blurred(truth: Values, blur_px: tuple[float, float]) -> Values:
    """Return a truth (H, W) blurred by a Gaussian of its valid pixels, NaN where it is NaN."""
    if blur_px == (0.0, 0.0):
        return truth
    valid = np.isfinite(truth)
    values = torch.from_numpy(np.where(valid, truth, 0)).double()
    blurred = smoothed(values, torch.from_numpy(valid), blur_px).numpy()
    return np.where(valid, blurred, np.nan)


def _compared_part(pair: Pair, truth_px: int) -> Window:
    """Return the part to compare: all, or the best of nine, with `truth_px` truth pixels per source pixel."""
    part = pair.part
    if part.height * part.width * truth_px <= LARGEST_TRUTH_PX:
        return part
    side = math.isqrt(LARGEST_TRUTH_PX // truth_px)
    height = min(part.height, max(side, LARGEST_TRUTH_PX // truth_px // part.width))
    width = min(part.width, LARGEST_TRUTH_PX // truth_px // height)
    candidates = [
        Window(
            part.row + (part.height - height) * down // 2, part.col + (part.width - width) * across // 2, height, width
        )
        for down in (1, 0, 2)
        for across in (1, 0, 2)
    ]
    return max(dict.fromkeys(candidates), key=lambda window: int(_read_by_strips(pair.source, window).valid.sum()))


def _check_enough(pair: Pair, truth: Values) -> None:
    if not np.isfinite(truth).any():
        raise PixelError(
            f"{pair.source.name}: the truth has no valid pixel in the compared part: check its nodata value and its "
            "georeference"
        )


def _read_by_strips(raster: Raster, window: Window) -> Pixels:
    """Read a large window in strips, so that a fine guide need not be in memory as a whole."""
    strips = [
        raster.read(Window(window.row + top, window.col, min(_STRIP_PX, window.height - top), window.width))
        for top in range(0, window.height, _STRIP_PX)
    ]
    return Pixels(np.concatenate([s.values for s in strips], axis=1), np.concatenate([s.valid for s in strips]))


def _in_memory(values: Values, grid: GeoBox, like: Raster) -> ArrayRaster:
    raster = ArrayRaster.in_memory(values, grid, bands=like.bands, name=like.name)
    return replace(raster, band_tags=like.band_tags)
