"""What is asked for, opened: the pairs of a source and its guides, their tiles, and an output that can be written."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from os import PathLike

import xarray as xr

from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Tiling
from mmsr_geo.inputs import GuideLike, Inputs, LikeLike, ScaleLike, SourceLike, grid_like
from mmsr_geo.jobs.cluster import Cluster
from mmsr_geo.jobs.work import Output, Work
from mmsr_geo.memory import tile_bytes, tiling_for
from mmsr_geo.methods import ModelSource, OtherMethod, SavedNet
from mmsr_geo.pair import Pair
from mmsr_geo.planning import Plan, size_text
from mmsr_geo.raster.masking import path_and_bits
from mmsr_geo.raster.placing import QA, TAKEN, Address, ZarrPlace, check_apart, check_output
from mmsr_geo.raster.storing import Storage
from mmsr_geo.slices import guide_for, slices_of
from mmsr_geo.tilewise import TILE_PX, TileFit
from mmsr_geo.upsampling import halo_of


@dataclass(frozen=True, slots=True)
class Asked:
    """An output as it was asked for, before a raster is opened."""

    source: SourceLike
    guide: GuideLike
    output: Address
    qa: Address | None
    uncertain: bool
    scale: ScaleLike
    inputs: Inputs
    method: ModelSource
    storage: Storage
    like: LikeLike | None
    tile_size: int | None
    device: str
    threads: int
    net: str | PathLike[str] | None
    overwrite: bool

    def work(self, cluster: Cluster) -> Work:
        """Open the rasters and cut the tiles for where it runs; refuses outputs that cannot be."""
        self._refuse_mixed()
        outputs = [self.output] if self.qa is None else [self.output, self.qa]
        masks = self.inputs.source_mask, self.inputs.guide_mask
        check_apart(outputs, _paths(self.source, self.guide, *masks, self.net, self.like))
        for path in outputs:
            check_output(path, overwrite=self.overwrite)
        job = opened(self.source, self.guide, self.scale, self.inputs, self.method)
        first = job.pairs[0]
        on = None if self.like is None else grid_like(self.like, first.target_grid)
        tiling = tiles_of(first, self.method, self.tile_size, at_once=cluster.workers or 1, limit=cluster.memory_limit)
        if cluster.memory_limit is not None:
            _refuse_memory(Plan(first, self.method, tiling), cluster.memory_limit)
        threads = self.threads if cluster.is_this_process else 1
        variable = _variable(job.template.name)
        written = Output(self.output, self.qa, self.storage, on, self.overwrite, variable, self.uncertain)
        return Work(job.pairs, self.method, tiling, written, self.device, threads, self.inputs.description)

    def _refuse_mixed(self) -> None:
        """Refuse what goes with COGs only where the output is a Zarr store, and flags in one without their target."""
        if isinstance(self.output, ZarrPlace):
            if self.qa is not None:
                raise OptionError(
                    f"{self.output} is a Zarr store, and the flags lie in it with the target, as {QA}: leave out --qa "
                    "(qa=)"
                )
            if self.storage.creation_options:
                raise OptionError(
                    f"{self.output} is a Zarr store, and creation options are of GDAL's COG driver: leave out --co "
                    "(creation_options=)"
                )
        elif isinstance(self.qa, ZarrPlace):
            raise OptionError(
                f"{self.qa} is a Zarr store, and flags go into one with their target only: give --qa (qa=) a .tif, or "
                "the output a name that ends in .zarr"
            )


def _variable(name: Hashable | None) -> str:
    """Return what the target is called in a Zarr store: as the source's variable, where that is a plain name."""
    plain = isinstance(name, str) and re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) and name not in TAKEN
    return str(name) if plain else "target"


def _refuse_memory(plan: Plan, limit: int) -> None:
    if plan.memory_bytes > limit:
        raise OptionError(
            f"a process may take {size_text(limit)} (memory_limit), and this work takes {size_text(plan.memory_bytes)} "
            f"in tiles of {plan.tile_side_px} px: allow more, pass a smaller --tile-size (tile_size=), a part "
            "(--bounds, bounds=), fewer guide bands (--guide-band, guide_band=) or a saved net (--net, net=)"
        )


def _paths(*given: object) -> list[object]:
    """Return the single inputs of those given, masks without their bits."""
    single = [each for one in given for each in (one if isinstance(one, list | tuple) else (one,))]
    return [path_and_bits(each)[0] if isinstance(each, str) else each for each in single]


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
