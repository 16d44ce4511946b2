"""Shares of valid pixels of a pair's parts (source, guide bands, masks), to name what leaves none in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from mmsr_geo.errors import NothingInCommonError
from mmsr_geo.raster.grids import refined
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.views.coarsen import Coarsened
from mmsr_geo.raster.views.mask import Mask, Masked
from mmsr_geo.raster.views.warp import Warped
from mmsr_geo.spelling import option

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from mmsr_geo.engine.pair import Pair
    from mmsr_geo.geometry import Window
    from mmsr_geo.raster.base import Raster

_WINDOWS = 25
"""Most windows that are read to find what is empty."""
_LISTED = 6
"""Most bands of equal share that a message lists."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What may make pixels invalid: the source, a mask, or the bands of a guide, each apart."""

    name: str
    rasters: tuple[Raster, ...]
    """Each valid where it leaves a pixel valid."""
    advice: str
    bands: tuple[str, ...] = ("",)
    """The number of each band; empty for the source and for masks."""

    def title(self, at: Sequence[int]) -> str:
        """Return the name of some of its bands."""
        return self.name if len(at) == len(self.bands) else f"{_bands([self.bands[i] for i in at])} of {self.name}"

    def fix(self, at: Sequence[int]) -> str:
        """Return what to do where some of its bands are empty."""
        if len(at) == len(self.bands):
            return self.advice
        return f"leave {'it' if len(at) == 1 else 'them'} out ({option('guide_band')}), or {self.advice}"


@contextmanager
def naming_what_is_empty(pair: Pair) -> Iterator[None]:
    """Let a NothingInCommonError name the raster, band or mask that leaves no valid pixel, with all shares.

    Args:
        pair: The pair that is fitted.
    """
    try:
        yield
    except NothingInCommonError as error:
        error.args = (f"{error.template}: {_finding(pair)}",)
        raise


def _finding(pair: Pair) -> str:
    sites = next(iter(pair.sample_sites(pair.part)))
    windows = list(islice(sites, 0, None, -(-len(sites) // _WINDOWS)))
    common, before = _whole(pair, windows), ""
    shown, found, none = list[str](), "", False
    for part in _parts(pair):
        valid = [_valid(pair, raster, windows) for raster in part.rasters]
        shares = [float(one.mean()) for one in valid]
        shown.append(f"{part.name} {', '.join(_listed(part.bands, shares))}")
        empty = [at for at, share in enumerate(shares) if not share]
        lost = [at for at, one in enumerate(valid) if not (common & one).any()]
        common = np.logical_and.reduce([common, *valid])
        if empty and not none:
            none, found, fix = True, f"{part.title(empty)} has no valid pixel", part.fix(empty)
        elif lost and not found:
            found, fix = f"no pixel that is valid in {before} is valid in {part.title(lost)}", part.fix(lost)
        elif not found and not common.any():
            found, fix = f"no pixel is valid in all bands of {part.name}", part.advice
        before = "all that is listed before it" if before else part.name
    if not found:
        found = "valid guide pixels cover no valid source pixel by half"
        fix = f"check the nodata ({option('source_nodata')}, {option('guide_nodata')})"
    return f"{found} (valid: {'; '.join(shown)}); {fix}"


def _parts(pair: Pair) -> Iterator[_Part]:
    """Yield the source, its mask, each guide, their masks and what is derived from them."""
    source, grid = pair.source, refined(pair.source.grid, pair.scale)
    measured, masks = _unmasked(source)
    nodata = f"check its nodata ({option('source_nodata')}) and {option('bounds')}"
    yield _Part(f"source {source.name}", (measured,), nodata)
    for mask in masks:
        values = f"check which values {option('source_mask')} masks"
        yield _Part(f"source mask {mask.raster.name}", (source,), values)
    for guide in pair.guides.rasters:
        bands = tuple(Warped(band, grid) for band in _single_bands(guide))
        numbers = tuple(map(str, guide.numbers)) if len(bands) == len(guide.numbers) else ("",)
        advice = f"check its nodata ({option('guide_nodata')}) and that it shows the same area"
        yield _Part(f"guide {guide.name}", bands, advice, numbers)
    for mask in pair.guides.masks:
        left = _left_by(mask, grid, pair.guides.mask_share)
        yield _Part(f"guide mask {mask.raster.name}", (left,), f"check which values {option('guide_mask')} masks")
    if pair.guides.derived:
        yield _Part("guide with derived bands", (pair.guide,), f"check {option('derive')}")


def _unmasked(raster: Raster) -> tuple[Raster, list[Mask]]:
    """Return a raster as it is without its masks, and these."""
    if isinstance(raster, Masked):
        below, masks = _unmasked(raster.raster)
        return below, [raster.mask, *masks]
    if isinstance(raster, Coarsened | Warped):
        below, masks = _unmasked(raster.raster)
        return replace(raster, raster=below), masks
    return raster, []


def _left_by(mask: Mask, grid: GeoBox, share: float) -> Raster:
    """Return a raster that is valid wherever a mask leaves it."""
    ones = np.broadcast_to(np.float32(1), (1, *grid.shape.yx))
    return Masked(ArrayRaster.in_memory(ones, grid, bands=["1"], name="mask"), mask, share)


def _single_bands(raster: Raster) -> list[Raster]:
    """Return each band of a file or an array as a raster; any other raster as it is."""
    match raster:
        case FileRaster():
            return [raster.at([place]) for place in range(len(raster.indexes))]
        case ArrayRaster():
            return [raster.taking([number]) for number in raster.numbers]
        case _:
            return [raster]


def _whole(pair: Pair, windows: Sequence[Window]) -> NDArray[np.bool_]:
    return np.ones(sum(window.height * window.width for window in windows) * pair.scale.area, np.bool_)


def _valid(pair: Pair, raster: Raster, windows: Sequence[Window]) -> NDArray[np.bool_]:
    """Return the valid target pixels of windows of source pixels, one after another."""
    if raster.grid.shape != pair.source.grid.shape:
        return np.concatenate([raster.read(window.refined(pair.scale)).valid.ravel() for window in windows])
    block = np.ones((pair.scale.y, pair.scale.x), np.bool_)
    return np.concatenate([np.kron(raster.read(window).valid, block).ravel() for window in windows])


def _listed(bands: Sequence[str], shares: Sequence[float]) -> Iterator[str]:
    """Yield the shares in percent, those of bands with the bands that have them."""
    groups: dict[str, list[str]] = {}
    for band, share in zip(bands, shares, strict=True):
        groups.setdefault(_percent(share), []).append(band)
    for percent, named in groups.items():
        yield percent if len(groups) == 1 else f"{_bands(named)} {percent}"


def _bands(numbers: Sequence[str]) -> str:
    more = f" and {len(numbers) - _LISTED} more" if len(numbers) > _LISTED else ""
    return f"{'band' if len(numbers) == 1 else 'bands'} {', '.join(numbers[:_LISTED])}{more}"


def _percent(share: float) -> str:
    """Return a share in percent; 0 and 100 only where it is exactly that."""
    return f"{100 * share:.0f} %" if share in {0, 1} else f"{min(max(100 * share, 0.1), 99.9):.1f} %"
