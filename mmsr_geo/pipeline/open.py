"""Options and rasters to pairs and tiles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import xarray as xr

from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.tiling import tile_bytes, tiling_for
from mmsr_geo.geometry import Tiling
from mmsr_geo.methods.source import Method
from mmsr_geo.options import ScaleLike
from mmsr_geo.pipeline.dataarray import guide_for, slices_of
from mmsr_geo.pipeline.inputs import GuideLike, Inputs, SourceLike


@dataclass(frozen=True, slots=True)
class OpenedPairs:
    """What is to be upsampled: one pair a slice of the source, all on one grid."""

    template: xr.DataArray
    pairs: tuple[Pair, ...]


def open_pairs(source: SourceLike, guide: GuideLike, scale: ScaleLike, inputs: Inputs, method: Method) -> OpenedPairs:
    """Open the rasters, metadata only; without a scale a saved model's own is taken, or what the resolutions tell."""
    scale = method.model_scale if scale is None else scale
    template, slices = slices_of(source, inputs.source_nodata)
    pairs = []
    for part, raster in slices:
        guides = [guide_for(one, part) for one in guide] if isinstance(guide, list | tuple) else guide_for(guide, part)
        pairs.append(inputs.pair(inputs.taken(raster), guides, scale))
    return OpenedPairs(template, tuple(pairs))


def choose_tiling(pair: Pair, method: Method, tile_size: int | None, at_once: int, limit: int | None = None) -> Tiling:
    """Cut a pair's part into tiles, as large as a worker's memory limit allows; refuses a model for other pairs."""
    takes = partial(tile_bytes, guide_bands=len(pair.guide.bands), network=method.uses_network)
    return tiling_for(
        pair.part,
        pair.whole,
        pair.scale,
        method.halo(pair),
        takes,
        tile_size=method.tile_size if tile_size is None else tile_size,
        at_once=at_once,
        limit=limit,
    )
