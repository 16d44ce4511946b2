"""A source and its guide, checked once: the scale, the target grid and the part wanted; reads both by window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Literal

from odc.geo.geobox import GeoBox

from mmsr_geo.geometry import Scale, Window
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

MIN_COVERAGE = 0.95
"""Share of the source that a guide must cover unless told otherwise."""
SAMPLED_TARGET_PX = 8_000_000
"""Target pixels that a fit holds in memory: 32 MB a guide band."""
SAMPLED_WINDOWS = 25
"""Windows that a fit sees at least, of a raster too large to be held whole."""
LARGEST_SAMPLE_SIDE_PX = 96
"""Source pixels along a sampled window, where the scale leaves room: enough for a patch one level down."""
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
"""Where a window is looked for in its stratum, first here, then there: the sixteen places of a Bayer matrix."""


@dataclass(frozen=True)
class Pair:
    """Two rasters that fit each other."""

    source: Raster
    guides: Guides
    scale: Scale
    part: Window
    """What is to be computed, in source pixels."""
    valid_range: ValidRange | None = None
    """The least and the largest value that the target can have; None: any."""

    @classmethod
    def of(  # noqa: PLR0913  (what decides how two rasters go together)
        cls,
        source: Raster,
        guides: Raster | Guides,
        scale: Scale | int | tuple[int, int] | None = None,
        *,
        bounds: tuple[float, float, float, float] | None = None,
        min_coverage: float = MIN_COVERAGE,
        on: Literal["source", "guide"] = "source",
        valid_range: ValidRange | None = None,
    ) -> Pair:
        """Bring source and guides together: the target lies on the source's grid refined by the scale.

        bounds: (west, south, east, north) in the source's CRS, grown to whole source pixels. on: "guide" brings the
        source onto the finest guide's grid coarsened by the scale first, so that the target lies on the guide's pixels.
        Raises GridError where the two do not fit, GuideCoverageError where a guide covers too little of the part
        wanted.
        """
        part = Window.whole(source.grid.shape.yx) if bounds is None else bounds_window(source.grid, bounds)
        guides = guides if isinstance(guides, Guides) else Guides((guides,))
        for guide in guides.rasters:
            check_pair(window_grid(source.grid, part), guide.grid, min_coverage)
        chosen = nearest_scale(source.grid, guides.finest) if scale is None else Scale.of(scale)
        if on == "guide":
            wanted = window_grid(source.grid, part)
            grid = coarsened(guides.finest, chosen, covering_window(guides.finest, source.grid))
            part = covering_window(grid, wanted).intersection(Window.whole(grid.shape.yx))
            source = Warped(source, grid)
        warn_of_coarse_guide(refined(source.grid, chosen), guides.finest)
        return cls(source, guides, chosen, part, valid_range)

    @cached_property
    def guide(self) -> Raster:
        """The guides on the grid of the whole target, as one raster."""
        return self.guides.on(refined(self.source.grid, self.scale))

    @cached_property
    def target_grid(self) -> GeoBox:
        """The part's grid, refined by the scale."""
        return window_grid(refined(self.source.grid, self.scale), self.part.refined(self.scale))

    @property
    def whole(self) -> Window:
        """All source pixels."""
        return Window.whole(self.source.grid.shape.yx)

    def read_plans(self, window: Window) -> tuple[ReadPlan, ReadPlan]:
        """Return what it takes to have a window of source pixels, and the guide of the same place."""
        return self.source.read_plan(window), self.guide.read_plan(window.refined(self.scale))

    def read(self, window: Window) -> tuple[Pixels, Pixels]:
        """Read a window of source pixels and the guide of the same place, on the target grid."""
        return self.source.read(window), self.guide.read(window.refined(self.scale))

    def sample_sites(self, within: Window) -> Iterator[list[Window]]:
        """Yield where to look for samples, in source pixels: first one window a stratum, then others.

        A raster that can be held whole is one window. A larger one is cut into strata, each holding one window; the
        later rounds are for those whose first windows are holes.
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
                    within.row + _place(within.height, rows, row, down, height),
                    within.col + _place(within.width, columns, column, across, width),
                    height,
                    width,
                )
                for row, column in product(range(rows), range(columns))
            ]


def _place(length: int, strata: int, index: int, visit: int, side: int) -> int:
    """Return where a window of `side` begins in stratum `index`: at one of four places, the last flush with its end."""
    start, end = length * index // strata, length * (index + 1) // strata
    return start + (end - start - side) * visit // 3
