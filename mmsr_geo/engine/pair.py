"""A source and its guides, checked once: scale, target grid and requested part; reads both by window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import product
from typing import TYPE_CHECKING

from odc.geo.geobox import GeoBox

from mmsr_geo.engine.coverage import covered_share
from mmsr_geo.geometry import Scale, Window
from mmsr_geo.options import MIN_COVERAGE, OnGrid
from mmsr_geo.raster.base import Pixels, Raster, ReadPlan
from mmsr_geo.raster.grids import (
    bounds_window,
    check_pair,
    coarsened,
    covering_window,
    nearest_scale,
    refined,
    warn_of_coarse_guide,
    window_grid,
)
from mmsr_geo.raster.views.guides import Guides
from mmsr_geo.raster.views.warp import Warped

if TYPE_CHECKING:
    from mmsr_geo.engine.flags import ValidRange

SAMPLED_TARGET_PX = 8_000_000
"""Target pixels that a fit holds in memory: 32 MB per guide band."""
SAMPLED_WINDOWS = 25
"""Least number of windows that a fit samples from a raster too large to be held whole."""
LARGEST_SAMPLE_SIDE_PX = 96
"""Most source pixels along a sampled window: enough for a patch at reduced resolution."""
_VISITS = (
    (0, 0),
    (2, 2),
    (0, 2),
    (2, 0),
    (1, 1),
    (3, 3),
    (1, 3),
    (3, 1),
    (0, 1),
    (2, 3),
    (0, 3),
    (2, 1),
    (1, 0),
    (3, 2),
    (1, 2),
    (3, 0),
)
"""Positions of a window in its stratum (down, across), in the order tried: the sixteen cells of a Bayer matrix."""


@dataclass(frozen=True)
class Pair:
    """A source and its guides on grids that fit each other."""

    source: Raster
    guides: Guides
    scale: Scale
    part: Window
    """The requested part, in source pixels."""
    valid_range: ValidRange | None = None
    """Minimum and maximum of the target, in the source's units; None: no limits."""

    @classmethod
    def of(  # noqa: PLR0913  (what decides how two rasters go together)
        cls,
        source: Raster,
        guides: Raster | Guides,
        scale: Scale | int | tuple[int, int] | None = None,
        *,
        bounds: tuple[float, float, float, float] | None = None,
        min_coverage: float = MIN_COVERAGE,
        grid: OnGrid = "source",
        valid_range: ValidRange | None = None,
    ) -> Pair:
        """Check source and guides against each other and return them as a pair.

        Args:
            source: A raster of one band.
            guides: One raster or several.
            scale: Target pixels per source pixel; None: the whole number nearest to the ratio of the resolutions.
            bounds: (west, south, east, north) in the source's CRS, grown to whole source pixels; None: all.
            min_coverage: Least share of the requested part, or of its valid pixels, that each guide must cover, 0 to 1.
            grid: "source": the target lies on the source's grid refined by the scale. "guide": the source is first
                resampled onto the finest guide's grid coarsened by the scale, so that the target lies on the guide's
                pixels.
            valid_range: Minimum and maximum of the target, in the source's units.

        Raises:
            GridError: The two do not fit.
            GuideCoverageError: A guide covers too little of the requested part.
        """
        part = Window.whole(source.grid.shape.yx) if bounds is None else bounds_window(source.grid, bounds)
        guides = guides if isinstance(guides, Guides) else Guides((guides,))
        for guide in guides.rasters:
            of_valid = partial(covered_share, source, part, guide.grid)
            check_pair(window_grid(source.grid, part), guide.grid, min_coverage, of_valid)
        chosen = nearest_scale(source.grid, guides.finest) if scale is None else Scale.of(scale)
        if grid == "guide":
            requested = window_grid(source.grid, part)
            coarse = coarsened(guides.finest, chosen, covering_window(guides.finest, source.grid))
            part = covering_window(coarse, requested).intersection(Window.whole(coarse.shape.yx))
            source = Warped(source, coarse)
        warn_of_coarse_guide(refined(source.grid, chosen), guides.finest)
        return cls(source, guides, chosen, part, valid_range)

    @cached_property
    def guide(self) -> Raster:
        """All guides on the grid of the whole target, as one raster."""
        return self.guides.on(refined(self.source.grid, self.scale))

    @cached_property
    def target_grid(self) -> GeoBox:
        """Grid of the target: the part's, refined by the scale."""
        return window_grid(refined(self.source.grid, self.scale), self.part.refined(self.scale))

    @property
    def whole(self) -> Window:
        """Window of all source pixels."""
        return Window.whole(self.source.grid.shape.yx)

    def with_classes_of(self, bands: Sequence[str] | None) -> Pair:
        """Return the pair with the classes of a model's guide bands in its guides; as it is if `bands` is None."""
        return self if bands is None else replace(self, guides=self.guides.with_classes_of(bands))

    def read_plans(self, window: Window) -> tuple[ReadPlan, ReadPlan]:
        """Return the read plans of a window of source pixels, and of the same window of the guide."""
        return self.source.read_plan(window), self.guide.read_plan(window.refined(self.scale))

    def read(self, window: Window) -> tuple[Pixels, Pixels]:
        """Read a window of source pixels, and the same window of the guide on the target grid."""
        return self.source.read(window), self.guide.read(window.refined(self.scale))

    def sample_sites(self, within: Window) -> Iterator[list[Window]]:
        """Yield rounds of windows to sample, in source pixels.

        A raster that can be held whole is one window. A larger one is cut into strata, and each round has one window
        per stratum. Later rounds replace windows without valid pixels.
        """
        scale = self.scale
        if within.height * within.width * scale.area <= SAMPLED_TARGET_PX:
            yield [within]
            return
        room = int((SAMPLED_TARGET_PX / SAMPLED_WINDOWS / scale.area) ** 0.5)
        side = max(scale.y, scale.x, min(LARGEST_SAMPLE_SIDE_PX, room))
        height, width = min(side, within.height), min(side, within.width)
        count = max(1, SAMPLED_TARGET_PX // (height * width * scale.area))
        rows = max(1, min(within.height // height, round((count * within.height / within.width) ** 0.5)))
        columns = max(1, min(within.width // width, count // rows))
        for down, across in _VISITS:
            yield [
                Window(
                    within.row + _window_start(within.height, rows, row, down, height),
                    within.col + _window_start(within.width, columns, column, across, width),
                    height,
                    width,
                )
                for row, column in product(range(rows), range(columns))
            ]


def _window_start(length: int, strata: int, index: int, visit: int, side: int) -> int:
    """Return the first pixel of a window in stratum `index`: one of four positions, the last flush with its end."""
    start, end = length * index // strata, length * (index + 1) // strata
    return start + (end - start - side) * visit // 3
