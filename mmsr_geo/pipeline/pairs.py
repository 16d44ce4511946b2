"""What becomes a pair: a source split by band and date, each part with its guides; and the tiles of a pair."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import product
from os import PathLike
from typing import Any

import numpy as np
import rasterio
import rioxarray
import xarray as xr

from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.tiling import tile_bytes, tiling_for
from mmsr_geo.errors import InputError
from mmsr_geo.geometry import Tiling
from mmsr_geo.methods.base import Method
from mmsr_geo.options import ScaleLike
from mmsr_geo.pipeline.inputs import GuideLike, Inputs, SourceLike
from mmsr_geo.raster.base import Raster
from mmsr_geo.raster.read.arrays import BAND_DIMS, array_name, extra_dims, spatial_dims
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.read.open import open_source
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
    template, slices = slices_of(source, inputs.source_nodata)
    pairs = []
    given: list[Any] = []
    guides: Guides | None = None
    for part, raster in slices:
        chosen = [guide_for(one, part) for one in (guide if isinstance(guide, list | tuple) else [guide])]
        taken = inputs.taken(raster)
        if guides is None or any(one is not before for one, before in zip(chosen, given, strict=True)):
            given, guides = chosen, inputs.guides(chosen, taken.grid)  # once for all slices: classes are counted
        pairs.append(inputs.pair(taken, guides, scale).with_classes_of(method.model_bands))
    return OpenedPairs(template, tuple(pairs))


def slices_of(
    source: str | PathLike[str] | xr.DataArray, nodata: float | None = None
) -> tuple[xr.DataArray, list[tuple[xr.DataArray, Raster]]]:
    """Open a source and split it into rasters of one band.

    Args:
        source: A path or an array.
        nodata: Nodata value of the source, see `open_source`.

    Returns:
        The array that is the template of the target, not loaded, and its (y, x) slices in the order of its other
        dimensions, each with the raster that reads it.

    Raises:
        InputError: The source cannot be used.
        GridError: Its grid cannot be used.
    """
    if isinstance(source, xr.DataArray):
        y, x = spatial_dims(source, array_name(source))
        dims = extra_dims(source)
        indexes = product(*(range(source.sizes[dim]) for dim in dims))
        # A selection loses the names of the spatial dimensions.
        parts = [
            source.isel(dict(zip(dims, index, strict=True))).rio.set_spatial_dims(x_dim=x, y_dim=y) for index in indexes
        ]
        if not parts:
            raise InputError(f"{source.name or 'the source'} is empty: one of its dimensions has length 0")
        return source, [(part, open_source(part, nodata=nodata)) for part in parts]
    if not isinstance(source, str | PathLike):
        open_source(source)  # raises InputError
    file = FileRaster.open(source)
    rasters = [FileRaster.open(source, (index,), nodata=nodata) for index in file.indexes]
    opened = rioxarray.open_rasterio(source)
    if not isinstance(opened, xr.DataArray):
        raise InputError(f"{file.name} contains several rasters: pass the name of one of them{_example(file.path)}")
    template = opened.sel(band=list(file.indexes))
    if len(rasters) == 1:
        template = template.squeeze("band", drop=True)
        return template, [(template, rasters[0])]
    return template, [(template.isel(band=i), raster) for i, raster in enumerate(rasters)]


def guide_for(guide: Any, part: xr.DataArray) -> Any:  # noqa: ANN401  (what open_guide takes)
    """Return the guide of one slice of the source, selected by the coordinates of the guide's further dimensions.

    Raises:
        InputError: The slice has no such coordinate, or the guide has no such date.
    """
    if not isinstance(guide, xr.DataArray | xr.Dataset):
        return guide
    try:
        y, x = guide.rio.y_dim, guide.rio.x_dim
    except rioxarray.exceptions.RioXarrayError:
        return guide  # opening it raises InputError
    for dim in [dim for dim in guide.dims if dim not in {y, x, *BAND_DIMS}]:
        size = guide.sizes[dim]
        if dim not in part.coords or dim not in guide.coords:
            if (
                isinstance(guide, xr.DataArray)
                and dim not in part.coords
                and guide.ndim == 3
                and dim not in guide.coords
            ):
                return guide.rename({dim: "band"})
            raise InputError(
                f"the guide has {size} slices along {dim}, and the source has no {dim} coordinate to choose one by: "
                f"select one, as in guide.isel({dim}=0)"
            )
        value = part.coords[dim].values
        matches = np.flatnonzero(guide.coords[dim].values == value)
        if len(matches) != 1:
            raise InputError(
                f"the guide has {len(matches) or 'no'} slices at {dim} {value} of the source: use a guide with exactly "
                f"one, or select one, as in guide.isel({dim}=0)"
            )
        guide = guide.isel({dim: int(matches[0])})
    return guide


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


def _example(path: str) -> str:
    with rasterio.open(path) as dataset:
        return f", as in {dataset.subdatasets[0]}" if dataset.subdatasets else ""
