"""What is compared in an evaluation: a pair, the reference, and the part of it that is used."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from mmsr_geo.engine.pair import Pair
from mmsr_geo.errors import PixelError
from mmsr_geo.geometry import Window
from mmsr_geo.raster.base import Pixels, Raster
from mmsr_geo.raster.grids import window_grid
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.views.guides import Guides
from mmsr_geo.raster.views.warp import Warped

Values = NDArray[np.float32]
ComparisonProtocol = Literal["truth", "wald"]

LARGEST_TRUTH_PX = 1_500_000
"""Pixels of the truth that are compared at most: of a larger raster, the part with the most valid pixels of nine."""
SMALLEST_SOURCE_PX = 8
"""Source pixels along the shorter side below which no method can be judged."""
_STRIP_PX = 256


@dataclass(frozen=True, slots=True)
class Trial:
    """What methods are tried on: a pair, and the truth of its part."""

    pair: Pair
    """In memory, one level down, where the source is the truth."""
    truth: Values
    """(H, W) of the pair's part on the target grid, NaN in holes."""
    protocol: ComparisonProtocol
    window: Window | None = None
    """What is compared of the raster that was given, in its source pixels; None where none was given."""

    @property
    def source(self) -> Values:
        """The pair's source, (h, w) of its part."""
        values: Values = self.pair.source.read(self.pair.part).values[0]
        return values

    @property
    def guide(self) -> Values:
        """The guide on the target grid, (C, H, W) of the part."""
        return _read_by_strips(self.pair.guide, self.pair.part.refined(self.pair.scale)).values


def truth_trial(pair: Pair, truth: Raster) -> Trial:
    """Compare with a truth given by the user, brought onto the target grid (area-averaged where it is finer)."""
    part = _compared_part(pair, pair.scale.area)
    pair = replace(pair, part=part)
    on_grid = Warped(truth, pair.guide.grid)
    values = _read_by_strips(on_grid, part.refined(pair.scale)).values[0]
    _check_enough(pair, values)
    return Trial(pair, values, "truth", part)


def wald_trial(pair: Pair) -> Trial:
    """Go one level down: source and guide degraded by the scale, the source is the truth (Wald et al. 1997).

    The guide is averaged onto the source's grid, the source by block means over its valid pixels (a block with a hole
    is one). Raises PixelError where too little of the source is left.
    """
    scale = pair.scale
    part = _compared_part(pair, 1)
    part = Window(part.row, part.col, part.height // scale.y * scale.y, part.width // scale.x * scale.x)
    if min(part.height // scale.y, part.width // scale.x) < SMALLEST_SOURCE_PX:
        raise PixelError(
            f"{pair.source.name} has {pair.part.height} x {pair.part.width} pixels: one level down, at scale {scale}, "
            f"fewer than {SMALLEST_SOURCE_PX} are left along a side; give a larger part, a smaller scale or a truth"
        )
    grid = window_grid(pair.source.grid, part)
    truth = _read_by_strips(pair.source, part).values
    guide = _read_by_strips(pair.guides.on(pair.source.grid), part)
    height, width = part.height // scale.y, part.width // scale.x
    coarse = truth.reshape(1, height, scale.y, width, scale.x).mean(axis=(2, 4), dtype=np.float64).astype(np.float32)
    below = _in_memory(coarse, grid.zoom_to((height, width)), pair.source)
    beside = _in_memory(guide.values, grid, pair.guide)
    made = Pair(below, Guides((beside,)), scale, Window.whole((height, width)))
    _check_enough(made, truth[0])
    return Trial(made, truth[0], "wald", part)


def _compared_part(pair: Pair, truth_px: int) -> Window:
    """Return the part that is compared, each source pixel having so many truth pixels: all, or the best of nine."""
    part = pair.part
    if part.height * part.width * truth_px <= LARGEST_TRUTH_PX:
        return part
    side = math.isqrt(LARGEST_TRUTH_PX // truth_px)
    height = min(part.height, max(side, LARGEST_TRUTH_PX // truth_px // part.width))
    width = min(part.width, LARGEST_TRUTH_PX // truth_px // height)
    places = [
        Window(
            part.row + (part.height - height) * down // 2, part.col + (part.width - width) * across // 2, height, width
        )
        for down in (1, 0, 2)
        for across in (1, 0, 2)
    ]
    return max(dict.fromkeys(places), key=lambda place: int(_read_by_strips(pair.source, place).valid.sum()))


def _check_enough(pair: Pair, truth: Values) -> None:
    if not np.isfinite(truth).any():
        raise PixelError(f"{pair.source.name}: the truth holds no valid pixel there; check its nodata value and place")


def _read_by_strips(raster: Raster, window: Window) -> Pixels:
    """Read a large window so that a fine guide need not be in memory at once."""
    strips = [
        raster.read(Window(window.row + top, window.col, min(_STRIP_PX, window.height - top), window.width))
        for top in range(0, window.height, _STRIP_PX)
    ]
    return Pixels(np.concatenate([s.values for s in strips], axis=1), np.concatenate([s.valid for s in strips]))


def _in_memory(values: Values, grid: GeoBox, like: Raster) -> ArrayRaster:
    made = ArrayRaster.in_memory(values, grid, bands=like.bands, name=like.name)
    return replace(made, band_tags=like.band_tags)
