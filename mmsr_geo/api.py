"""What the doors call: fit, upsample, load; takes what a user has, checks it, and puts the rooms to work."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

import xarray as xr

from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Scale, Tiling
from mmsr_geo.graph import lazy_target
from mmsr_geo.jobs.local import Outcome, write_target
from mmsr_geo.memory import cores, tiling_for
from mmsr_geo.network.fitted import FittedNet
from mmsr_geo.network.fitting import FitParams, Progress, no_progress
from mmsr_geo.pair import MIN_COVERAGE, Pair
from mmsr_geo.raster.reading import open_guide, open_source
from mmsr_geo.scene import NetSource, SavedNet, SceneFit, check_net
from mmsr_geo.slices import guide_for, slices_of, target_array
from mmsr_geo.upsampling import net_halo, resolve_device

SourceLike = str | PathLike[str] | xr.DataArray
GuideLike = str | PathLike[str] | xr.DataArray | xr.Dataset
ScaleLike = Scale | int | tuple[int, int] | None
Bounds = tuple[float, float, float, float]


def upsample(  # noqa: PLR0913  (the same names as the command's options)
    source: SourceLike,
    guide: GuideLike,
    scale: ScaleLike = None,
    *,
    net: FittedNet | str | PathLike[str] | None = None,
    params: FitParams | None = None,
    bounds: Bounds | None = None,
    tile_size: int | None = None,
    device: str = "auto",
    seed: int = 0,
    keep_statistics: bool = False,
    min_coverage: float = MIN_COVERAGE,
) -> xr.DataArray:
    """Return the source at the guide's detail, lazily: nothing is read or fitted before it is computed.

    Args:
        source: the coarse raster, a path or an array with a CRS. Dims beyond y and x are done slice by slice, with a
            net each.
        guide: the finer raster, in any CRS: a path, an array, or a Dataset whose variables are its bands. A guide with
            a dim of the source's (time) is matched by coordinate.
        scale: target pixels per source pixel, an int or (down, across); None: the whole number nearest to the ratio of
            the two resolutions.
        net: a fitted net, or the path of a saved one, instead of a fit.
        params: how to fit.
        bounds: west, south, east, north in the source's CRS: compute this part only, grown to whole source pixels.
        tile_size: a chunk's side in target pixels; None: chosen from the free memory. The result does not depend on it.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.
        seed: of every random choice.
        keep_statistics: use a saved net with the statistics it was fitted with, not with this pair's.
        min_coverage: the share of the source (0..1) that the guide must cover; where it does not, the target is the
            consistent bicubic.

    Returns:
        A float32 DataArray on the source's grid refined by the scale, of the source's name, attrs and units, with a
        dask chunk a tile. Its block means are the source's values; the source's holes stay holes.

    Raises:
        InputError, GridError, OptionError, NetFileError: at the call, for what the metadata tell.
        PixelError: on computing, where the pixels leave nothing to fit.
    """
    job = _job(source, guide, scale, bounds=bounds, min_coverage=min_coverage)
    where_from = _net_source(net, params, seed=seed, device=device, keep_statistics=keep_statistics)
    tiling = job.tiling(where_from, tile_size, at_once=cores())
    targets = [lazy_target(pair, where_from, tiling, device=device) for pair in job.pairs]
    return target_array(job.template, targets, job.pairs[0].target_grid)


def upsample_to_file(  # noqa: PLR0913  (the same names as the command's options)
    source: SourceLike,
    guide: GuideLike,
    output: str | PathLike[str],
    scale: ScaleLike = None,
    *,
    net: FittedNet | str | PathLike[str] | None = None,
    params: FitParams | None = None,
    bounds: Bounds | None = None,
    tile_size: int | None = None,
    device: str = "auto",
    seed: int = 0,
    keep_statistics: bool = False,
    min_coverage: float = MIN_COVERAGE,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Outcome:
    """Write the source at the guide's detail to a Cloud Optimized GeoTIFF, tile by tile, here and now.

    Other arguments as for `upsample`, and the same values come out. progress: called as progress(stage, done, total);
    what it raises ends the work and leaves nothing behind. Raises OutputError for an output that exists (unless
    `overwrite`) or cannot be written, and what `upsample` raises.
    """
    job = _job(source, guide, scale, bounds=bounds, min_coverage=min_coverage)
    where_from = _net_source(net, params, seed=seed, device=device, keep_statistics=keep_statistics)
    tiling = job.tiling(where_from, tile_size, at_once=1)
    threads = (params or FitParams()).fixed_threads
    return write_target(
        job.pairs, where_from, tiling, output, device=device, threads=threads, overwrite=overwrite, progress=progress
    )


def fit(  # noqa: PLR0913  (the same names as the command's options)
    source: SourceLike,
    guide: GuideLike,
    scale: ScaleLike = None,
    *,
    params: FitParams | None = None,
    bounds: Bounds | None = None,
    device: str = "auto",
    seed: int = 0,
    min_coverage: float = MIN_COVERAGE,
    progress: Progress = no_progress,
) -> FittedNet:
    """Fit a net to one pair, here and now; arguments as for `upsample`.

    progress: called as progress(stage, done, total); what it raises ends the fit.
    """
    resolve_device(device)
    pair = Pair.of(open_source(source), open_guide(guide), scale, bounds=bounds, min_coverage=min_coverage)
    return SceneFit(params or FitParams(), seed, device).for_pair(pair, progress)


def load(path: str | PathLike[str]) -> FittedNet:
    """Read a net that `net.save(path)` wrote; raises NetFileError. No code in the file can run."""
    return FittedNet.load(path)


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be upsampled: one pair a slice of the source, all on one grid."""

    template: xr.DataArray
    pairs: tuple[Pair, ...]

    def tiling(self, net: NetSource, tile_size: int | None, at_once: int) -> Tiling:
        """Cut the part into tiles; refuses a net that is not for these pairs."""
        first = self.pairs[0]
        if isinstance(net, SavedNet):
            check_net(net.net, first)
        halo = net_halo(len(first.guide.guide.bands), first.scale)
        return tiling_for(first.part, first.whole, first.scale, halo, tile_size=tile_size, at_once=at_once)


def _job(source: SourceLike, guide: GuideLike, scale: ScaleLike, *, bounds: Bounds | None, min_coverage: float) -> _Job:
    template, slices = slices_of(source)
    pairs = [
        Pair.of(raster, open_guide(guide_for(guide, part)), scale, bounds=bounds, min_coverage=min_coverage)
        for part, raster in slices
    ]
    return _Job(template, tuple(pairs))


def _net_source(
    net: FittedNet | str | PathLike[str] | None,
    params: FitParams | None,
    *,
    seed: int,
    device: str,
    keep_statistics: bool,
) -> NetSource:
    resolve_device(device)
    if net is None:
        if keep_statistics:
            raise OptionError("keep_statistics goes with a saved net: pass net as well, or leave it out")
        return SceneFit(params or FitParams(), seed, device)
    if params is not None and params != FitParams(threads=params.threads):
        raise OptionError("a saved net is not fitted again: leave out net, or the options of the fit")
    return SavedNet(net if isinstance(net, FittedNet) else load(net), keep_statistics)
