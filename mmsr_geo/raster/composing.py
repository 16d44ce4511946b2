"""Rasters made of rasters, window by window: on another grid, one above the other; reads nothing itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from mmsr_geo.geometry import Window
from mmsr_geo.raster.grids import near, resolution_m
from mmsr_geo.raster.pixels import Pixels
from mmsr_geo.raster.protocol import BandTags, Make, Need, Raster
from mmsr_geo.raster.warping import GridWarp

if TYPE_CHECKING:
    from mmsr_geo.raster.deriving import Derivation
    from mmsr_geo.raster.masking import Mask


class Made:
    """What rasters that are made of one other have of it, unless they say otherwise."""

    raster: Raster
    __slots__ = ()

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands' descriptions."""
        return self.raster.bands

    @property
    def numbers(self) -> tuple[int, ...]:
        """The bands' numbers."""
        return self.raster.numbers

    @property
    def band_tags(self) -> tuple[BandTags, ...]:
        """What each band carries."""
        return self.raster.band_tags

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype it is stored in."""
        return self.raster.dtype

    @property
    def nodata(self) -> float | None:
        """The nodata value it declares."""
        return self.raster.nodata

    @property
    def name(self) -> str:
        """What a message calls it."""
        return self.raster.name

    def need(self, window: Window) -> Need:
        """Return what a window takes."""
        raise NotImplementedError

    def read(self, window: Window) -> Pixels:
        """Read a window, here and now."""
        return self.need(window).now()


@dataclass(frozen=True, slots=True)
class Warped(Made):
    """A raster brought onto another grid; a window is the same as in the whole."""

    raster: Raster
    grid: GeoBox
    coarse: Resampling = Resampling.cubic
    """How pixels that are not finer than the grid's are combined."""
    fine: Resampling = Resampling.average
    """How finer ones are."""

    def need(self, window: Window) -> Need:
        """Return what of the raster a window takes; nothing where it does not reach."""
        warp = GridWarp(near(self.raster.grid, self.grid), self.grid, self.coarse, self.fine)
        native = warp.native_window(window)
        if not (native.height and native.width):
            return Need((), _Nothing(len(self.raster.bands), window.shape))
        under = self.raster.need(native)
        return Need(under.reads, _Warp(under.make, warp, native, window))


@dataclass(frozen=True, slots=True)
class _Nothing:
    bands: int
    shape: tuple[int, int]

    def __call__(self, parts: Sequence[Pixels]) -> Pixels:  # noqa: ARG002  (there are none)
        return Pixels(np.full((self.bands, *self.shape), np.nan, np.float32), np.zeros(self.shape, np.bool_))


@dataclass(frozen=True, slots=True)
class _Warp:
    under: Make
    warp: GridWarp
    native: Window
    window: Window

    def __call__(self, parts: Sequence[Pixels]) -> Pixels:
        return self.warp.warp(self.under(parts), self.native, self.window)


@dataclass(frozen=True, slots=True)
class Stacked:
    """The bands of several rasters on one grid; a hole in one of them is a hole in all."""

    rasters: tuple[Raster, ...]

    @property
    def grid(self) -> GeoBox:
        """The grid of all."""
        return self.rasters[0].grid

    @property
    def bands(self) -> tuple[str, ...]:
        """All bands in a row; where two are called alike, with the names of their rasters."""
        names = [band for raster in self.rasters for band in raster.bands]
        if len(set(names)) == len(names):
            return tuple(names)
        return tuple(f"{raster.name}:{band}" for raster in self.rasters for band in raster.bands)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The bands' numbers in what each comes from: not all different."""
        return tuple(number for raster in self.rasters for number in raster.numbers)

    @property
    def band_tags(self) -> tuple[BandTags, ...]:
        """What each band carries."""
        return tuple(tags for raster in self.rasters for tags in raster.band_tags)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype that holds all."""
        return np.result_type(*(raster.dtype for raster in self.rasters))

    @property
    def nodata(self) -> float | None:
        """The nodata value of the first."""
        return self.rasters[0].nodata

    @property
    def name(self) -> str:
        """The names of all."""
        return ", ".join(dict.fromkeys(raster.name for raster in self.rasters))

    def need(self, window: Window) -> Need:
        """Return what the window takes of each."""
        return joined([raster.need(window) for raster in self.rasters], _stack)

    def read(self, window: Window) -> Pixels:
        """Read a window, here and now."""
        return self.need(window).now()


def joined(needs: Sequence[Need], combine: Make) -> Need:
    """Return what several needs take together, and what makes one window of their pixels."""
    counts = tuple(len(need.reads) for need in needs)
    reads = tuple(read for need in needs for read in need.reads)
    return Need(reads, _Join(counts, tuple(need.make for need in needs), combine))


@dataclass(frozen=True, slots=True)
class _Join:
    counts: tuple[int, ...]
    makes: tuple[Make, ...]
    combine: Make

    def __call__(self, parts: Sequence[Pixels]) -> Pixels:
        rest = iter(parts)
        return self.combine(
            [make(list(islice(rest, count))) for make, count in zip(self.makes, self.counts, strict=True)]
        )


def _stack(parts: Sequence[Pixels]) -> Pixels:
    return Pixels.masked(np.concatenate([part.values for part in parts]))


@dataclass(frozen=True, slots=True)
class Guides:
    """What guides a source: rasters, each on a grid of its own, that can be brought onto any grid together."""

    rasters: tuple[Raster, ...]
    masks: tuple[Mask, ...] = ()
    """What makes holes in all of them."""
    mask_share: float = 0.5
    """A pixel is a hole where more than this share of its area is masked."""
    derived: tuple[Derivation, ...] = ()
    """What is derived of their bands, and guides beside them."""

    def __post_init__(self) -> None:
        """Refuse to derive of bands that there are not (OptionError)."""
        for derivation in self.derived:
            derivation.places(self.rasters)

    @property
    def finest(self) -> GeoBox:
        """The grid with the smallest pixels."""
        return min((raster.grid for raster in self.rasters), key=lambda grid: math.prod(resolution_m(grid)))

    def on(self, grid: GeoBox) -> Raster:
        """Return all of them on a grid, as one raster: their bands, what is derived of those, holes where masked."""
        # Both are made of what stands above.
        from mmsr_geo.raster.deriving import Derived  # noqa: PLC0415
        from mmsr_geo.raster.masking import Masked  # noqa: PLC0415

        placed = tuple(Warped(raster, grid) for raster in self.rasters)
        guide: Raster = placed[0] if len(placed) == 1 else Stacked(placed)
        if self.derived:
            guide = Derived(guide, self.derived)
        for mask in self.masks:
            guide = Masked(guide, mask, self.mask_share)
        return guide
