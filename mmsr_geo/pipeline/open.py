"""Options and rasters to pairs and tiles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import xarray as xr

from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.tile_upsampler import halo_of
from mmsr_geo.engine.tiling import tile_bytes, tiling_for
from mmsr_geo.geometry import Tiling
from mmsr_geo.methods.baseline import OtherMethod
from mmsr_geo.methods.scene import SavedNet
from mmsr_geo.methods.source import ModelSource
from mmsr_geo.methods.tile_fit import TILE_PX, TileFit
from mmsr_geo.options import ScaleLike
from mmsr_geo.pipeline.dataarray import guide_for, slices_of
from mmsr_geo.pipeline.inputs import GuideLike, Inputs, SourceLike


@dataclass(frozen=True, slots=True)
class Opened:
    """What is to be upsampled: one pair a slice of the source, all on one grid."""

    template: xr.DataArray
    pairs: tuple[Pair, ...]


def opened(source: SourceLike, guide: GuideLike, scale: ScaleLike, inputs: Inputs, method: ModelSource) -> Opened:
    """Open the rasters, metadata only; without a scale a saved net's own is taken, or what the resolutions tell."""
    scale = _scale_for(scale, method)
    template, slices = slices_of(source, inputs.source_nodata)
    pairs = []
    for part, raster in slices:
        guides = [guide_for(one, part) for one in guide] if isinstance(guide, list | tuple) else guide_for(guide, part)
        pairs.append(inputs.pair(inputs.taken(raster), guides, scale))
    return Opened(template, tuple(pairs))


def _scale_for(scale: ScaleLike, method: ModelSource) -> ScaleLike:
    """Return the scale asked for, or a saved net's own."""
    saved = method.scene if isinstance(method, TileFit) else method
    return saved.net.scale if scale is None and isinstance(saved, SavedNet) else scale


def tiles_of(pair: Pair, method: ModelSource, tile_size: int | None, at_once: int, limit: int | None = None) -> Tiling:
    """Cut a pair's part into tiles, as large as a worker's limit in bytes allows; refuses a net that is not for it."""
    if isinstance(method, TileFit):
        halo, tile_size = method.halo(pair), tile_size or TILE_PX
    else:
        halo = halo_of(method.reach(pair), pair.scale, consistent=method.consistent)
    takes = partial(tile_bytes, guide_bands=len(pair.guide.bands), network=not isinstance(method, OtherMethod))
    return tiling_for(pair.part, pair.whole, pair.scale, halo, takes, tile_size=tile_size, at_once=at_once, limit=limit)
