"""What becomes a pair: each slice of a source with its guides and masks; and the tiles of a pair."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import xarray as xr

from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.tiling import tile_bytes, tiling_for
from mmsr_geo.geometry import Tiling
from mmsr_geo.methods.base import Method
from mmsr_geo.options import ScaleLike
from mmsr_geo.pipeline.inputs import GuideLike, Inputs, SourceLike, warn_of_reading
from mmsr_geo.pipeline.slices import guide_for, slices_of
from mmsr_geo.raster.views.guides import Guides


@dataclass(frozen=True, slots=True)
class OpenedPairs:
    """The pairs to upsample: one per slice of the source, all on one grid."""

    template: xr.DataArray
    pairs: tuple[Pair, ...]


def open_pairs(source: SourceLike, guide: GuideLike, scale: ScaleLike, inputs: Inputs, method: Method) -> OpenedPairs:
    """Open the rasters (metadata only) as pairs.

    Args:
        source: A path or an array.
        guide: One guide or several.
        scale: Target pixels per source pixel; None: a saved model's own, or the ratio of the resolutions.
        inputs: How the rasters are read.
        method: The method, for the scale of a saved model.
    """
    scale = method.model_scale if scale is None else scale
    template, slices = slices_of(source, inputs.source_nodata, inputs.band)
    pairs = []
    given: list[Any] = []
    guides: Guides | None = None
    for part, raster in slices:
        chosen = [guide_for(one, part) for one in (guide if isinstance(guide, list | tuple) else [guide])]
        masks = inputs.masks(part)
        taken = inputs.taken(raster, masks)
        if guides is None or any(one is not before for one, before in zip(chosen, given, strict=True)):
            given, guides = chosen, inputs.guides(chosen, masks.guide, taken.grid)  # classes are counted once
        guides = replace(guides, masks=() if masks.guide is None else (masks.guide,))
        pairs.append(inputs.pair(taken, guides, scale, masks).with_classes_of(method.model_bands))
    warn_of_reading(pairs)
    return OpenedPairs(template, tuple(pairs))


def choose_tiling(pair: Pair, method: Method, tile_size: int | None, at_once: int, limit: int | None = None) -> Tiling:
    """Cut a pair's part into tiles.

    Args:
        pair: Source and guide.
        method: The method, which decides the halo and the memory of a tile.
        tile_size: Side of a tile in target pixels; None: the method's default, or as large as the memory allows.
        at_once: Number of tiles that share the free memory.
        limit: Bytes that a worker may take; None: the free memory decides.

    Raises:
        ModelFileError: A saved model is for another number of guide bands or another scale.
        OptionError: The tile size is below one pixel.
    """
    takes = partial(tile_bytes, guide_bands=len(pair.guide.bands), predicted_by=method.predicted_by)
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
