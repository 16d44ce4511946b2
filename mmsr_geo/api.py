"""What the doors call: fit, upsample, evaluate, plan, load; checks what a user gives and sets the rooms to work."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

import xarray as xr

from mmsr_geo._version import __version__
from mmsr_geo.asking import Asked, opened, tiles_of
from mmsr_geo.choosing import EVALUATED, Fit, evaluated_method, method_for, params_for
from mmsr_geo.errors import OptionError
from mmsr_geo.evaluation import Evaluation, truth_trial, wald_trial
from mmsr_geo.evaluation import evaluate as run_evaluation
from mmsr_geo.graph import LazyTarget, MovedTarget, lazy_like, lazy_target
from mmsr_geo.inputs import (
    Bounds,
    GuideLike,
    Inputs,
    LikeLike,
    OnGrid,
    ScaleLike,
    SourceLike,
    grid_like,
)
from mmsr_geo.jobs.cluster import Cluster
from mmsr_geo.jobs.finishing import Outcome
from mmsr_geo.jobs.local import make
from mmsr_geo.jobs.starting import pool_on
from mmsr_geo.memory import bytes_of, cores
from mmsr_geo.methods import IfUnhelpful, OtherMethod, SceneFit
from mmsr_geo.network.fitted import FittedNet
from mmsr_geo.network.fitting import Progress, no_progress
from mmsr_geo.network.params import FitParams, Quality
from mmsr_geo.pair import MIN_COVERAGE
from mmsr_geo.planning import Plan, measured
from mmsr_geo.raster.masking import MaskLike
from mmsr_geo.raster.opening import open_source
from mmsr_geo.raster.placing import address_of
from mmsr_geo.raster.storing import Storage, parse_creation_options
from mmsr_geo.raster.suspecting import warn_of_nodata
from mmsr_geo.slices import target_array, with_flags, with_uncertainty
from mmsr_geo.upsampling import resolve_device


def upsample(  # noqa: PLR0913  (the same names as the command's options)
    source: SourceLike,
    guide: GuideLike,
    scale: ScaleLike = None,
    *,
    like: LikeLike | None = None,
    method: str = "mmsr",
    fit: Fit = "scene",
    net: FittedNet | str | PathLike[str] | None = None,
    params: FitParams | None = None,
    quality: Quality | None = None,
    if_unhelpful: IfUnhelpful = "bicubic",
    bounds: Bounds | None = None,
    source_resolution: float | str | None = None,
    grid: OnGrid = "source",
    guide_band: Sequence[str | int] | str | int = (),
    derive: Sequence[str] | str = (),
    source_mask: MaskLike | None = None,
    guide_mask: MaskLike | None = None,
    mask_share: float = 0.5,
    source_nodata: float | None = None,
    guide_nodata: float | None = None,
    valid_range: tuple[float, float] | None = None,
    qa: bool = False,
    uncertainty: bool = False,
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
        guide: the finer raster, in any CRS: a path, an array, or a Dataset whose variables are its bands; or several of
            them, each on a grid of its own. A guide with a dim of the source's (time) is matched by coordinate.
        scale: target pixels per source pixel, an int or (down, across); None: the whole number nearest to the ratio of
            the two resolutions, or a given net's own.
        like: bring the target onto another grid in the end: a raster's (path or array), a GeoBox, or a resolution in
            the units of the target's CRS (a number, or down and across). It no longer averages to the source exactly;
            how far it is from that becomes the lazy coordinate `consistency_rmse`.
        method: mmsr, or one of the others: nearest, bilinear, bicubic, guided-filter, p2p, as their authors gave them,
            or with "+consistency" after the name made to average to the source.
        fit: scene (one net for all tiles, no seams), adapt (the scene's net takes a few more steps on each tile), tile
            (a net for each tile; both are blended), or published (the original's steps on the whole raster at once).
        net: a fitted net, or the path of a saved one, instead of a scene fit.
        params: how to fit; of another method than mmsr, its steps.
        quality: fast, balanced (the default) or best, instead of params: more work for less error, as measured in
            docs/fidelity.md.
        if_unhelpful: what to do where the guide turns out not to help: give the consistent bicubic interpolation, warn
            and use the net all the same, or raise an error.
        bounds: west, south, east, north in the source's CRS: compute this part only, grown to whole source pixels.
        source_resolution: what the source resolves, in metres or as a sensor's name (landsat-tirs, ecostress, modis,
            ...), where it was delivered on a finer grid: its pixels are averaged to the whole number of them first.
        grid: source, or guide: bring the source onto the guide's grid, coarsened by the scale, first, so that the
            target lies on the guide's pixels; its block means are then the warped source.
        guide_band: the bands to take, "FILE:BAND" or, of one guide, "BAND": numbers from 1 or descriptions.
        derive: bands to compute of the guide's, beside them: "ndvi:nir=4,red=3", "slope:dem=1", "aspect".
        source_mask: what makes holes in it: a path, "FILE:BITS" or an array; not zero is masked, and of Landsat's
            QA_PIXEL and Sentinel-2's SCL, known by name, clouds and their shadows are.
        guide_mask: the same for the guide.
        mask_share: a pixel is a hole where more than this share of its area is masked.
        source_nodata: the stored value that is a hole, whatever the source declares.
        guide_nodata: the same for the guide.
        valid_range: the least and the largest value that the target can have, as the source stores its values (before
            a scale and an offset that it declares).
        qa: give the flags of each target pixel (`mmsr_geo.Flag`) with it, as the lazy coordinate `qa`.
        uncertainty: give half of a 90 % interval's width of each target pixel with it, as the lazy coordinate
            `uncertainty`, in the source's units: calibrated in the fit, one level down, where the source is the truth.
            NaN, and told on computing, where that could not be.
        tile_size: a chunk's side in target pixels; None: chosen from the free memory. The result does not depend on it,
            but where each tile has a net of its own (fit adapt or tile; None: 256).
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.
        seed: of every random choice.
        keep_statistics: use a saved net with the statistics it was fitted with, not with this pair's.
        min_coverage: the share of the source (0..1) that the guide must cover; where it does not, the target is the
            consistent bicubic.

    Returns:
        A float32 DataArray on the source's grid refined by the scale, of the source's name, attrs and units, with a
        dask chunk a tile. Its block means are the source's values; the source's holes stay holes. With mmsr it has a
        lazy coordinate `guide_gain`: the share of the interpolation's error that the guide took away one level down,
        NaN where that is not known; computed with the array, it costs nothing.

    Raises:
        InputError, GridError, OptionError, NetFileError: at the call, for what the metadata tell.
        PixelError: on computing, where the pixels leave nothing to fit; UnhelpfulGuideError, if asked for.
    """
    inputs = Inputs(
        bounds=bounds,
        min_coverage=min_coverage,
        source_resolution=source_resolution,
        grid=grid,
        guide_band=guide_band,
        derive=derive,
        source_mask=source_mask,
        guide_mask=guide_mask,
        mask_share=mask_share,
        source_nodata=source_nodata,
        guide_nodata=guide_nodata,
        valid_range=valid_range,
    )
    params = params_for(params, quality)
    work = method_for(
        method,
        fit,
        net,
        params,
        if_unhelpful,
        seed=seed,
        device=device,
        keep_statistics=keep_statistics,
        uncertainty=uncertainty,
    )
    job = opened(source, guide, scale, inputs, work)
    tiling = tiles_of(job.pairs[0], work, tile_size, at_once=cores())
    targets = [lazy_target(pair, work, tiling, device=device, uncertain=uncertainty) for pair in job.pairs]
    facts = {} if isinstance(work, OtherMethod) else {"guide_gain": [target.guide_gain for target in targets]}
    on = job.pairs[0].target_grid
    given: Sequence[LazyTarget | MovedTarget] = targets
    if like is not None:
        on = grid_like(like, on)
        given = moved = [lazy_like(target, pair, tiling, on) for target, pair in zip(targets, job.pairs, strict=True)]
        facts["consistency_rmse"] = [target.consistency_rmse for target in moved]
    values = [target.values for target in given]
    made = target_array(job.template, values, on, facts, source_nodata=job.pairs[0].source.nodata)
    if qa:
        made = with_flags(made, [target.qa for target in given])
    halves = [target.uncertainty for target in given if target.uncertainty is not None]
    return with_uncertainty(made, halves) if halves else made


def upsample_to_file(  # noqa: PLR0913  (the same names as the command's options)
    source: SourceLike,
    guide: GuideLike,
    output: str | PathLike[str],
    scale: ScaleLike = None,
    *,
    like: LikeLike | None = None,
    method: str = "mmsr",
    fit: Fit = "scene",
    net: FittedNet | str | PathLike[str] | None = None,
    params: FitParams | None = None,
    quality: Quality | None = None,
    if_unhelpful: IfUnhelpful = "bicubic",
    bounds: Bounds | None = None,
    source_resolution: float | str | None = None,
    grid: OnGrid = "source",
    guide_band: Sequence[str | int] | str | int = (),
    derive: Sequence[str] | str = (),
    source_mask: MaskLike | None = None,
    guide_mask: MaskLike | None = None,
    mask_share: float = 0.5,
    source_nodata: float | None = None,
    guide_nodata: float | None = None,
    valid_range: tuple[float, float] | None = None,
    qa: str | PathLike[str] | None = None,
    uncertainty: bool = False,
    dtype: str = "float32",
    scale_factor: float | None = None,
    add_offset: float | None = None,
    creation_options: Sequence[str] = (),
    tile_size: int | None = None,
    device: str = "auto",
    seed: int = 0,
    keep_statistics: bool = False,
    min_coverage: float = MIN_COVERAGE,
    workers: int | None = None,
    memory_limit: int | str | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Outcome:
    """Write the source at the guide's detail to a Cloud Optimized GeoTIFF or a Zarr store, tile by tile, here and now.

    Other arguments as for `upsample`, the same values come out, and:
        output: a file's path, a Zarr store's (it ends in .zarr), or a URL of either, as in s3://bucket/sharp.tif. A
            store has the target by the source's name, or as `target`, and its flags as `qa`.
        qa: of a file, a second one for each target pixel's flags (`mmsr_geo.Flag`), uint8, with nearest overviews; both
            appear, or none.
        uncertainty: write half of a 90 % interval's width of each target pixel as well: of a file in further bands, one
            for each band of the source and after those of the target, in a store as `target_uncertainty` (by the
            target's name). It is stored as the target is, but without an offset.
        dtype: what the target is stored as; integers are rounded.
        scale_factor, add_offset: what a stored value is multiplied by, and what is added then, to mean the target's
            value in the source's physical units: written as the file's scale and offset.
        creation_options: KEY=VALUE, passed on to GDAL's COG driver.
        workers: how many processes of a dask cluster on this machine share the tiles; None: this process alone.
        memory_limit: what each may take, as in "4 GB"; tiles are chosen to fit.
        overwrite: replace outputs that exist.
        progress: called as progress(stage, done, total); what it raises ends the work and leaves nothing behind.

    Raises OutputError for an output that exists (unless `overwrite`) or cannot be written, and what `upsample` raises.
    """
    inputs = Inputs(
        bounds=bounds,
        min_coverage=min_coverage,
        source_resolution=source_resolution,
        grid=grid,
        guide_band=guide_band,
        derive=derive,
        source_mask=source_mask,
        guide_mask=guide_mask,
        mask_share=mask_share,
        source_nodata=source_nodata,
        guide_nodata=guide_nodata,
        valid_range=valid_range,
    )
    params = params_for(params, quality)
    chosen = method_for(
        method,
        fit,
        net,
        params,
        if_unhelpful,
        seed=seed,
        device=device,
        keep_statistics=keep_statistics,
        uncertainty=uncertainty,
    )
    asked = Asked(
        source,
        guide,
        address_of(output),
        None if qa is None else address_of(qa),
        uncertainty,
        scale,
        inputs,
        chosen,
        Storage(dtype, scale_factor, add_offset, parse_creation_options(creation_options)),
        like,
        tile_size,
        device,
        (params or FitParams()).fixed_threads,
        None if isinstance(net, FittedNet) else net,
        overwrite,
    )
    cluster = Cluster(workers=workers, memory_limit=None if memory_limit is None else bytes_of(memory_limit))
    work = asked.work(cluster)
    if workers is None:
        return make(work, progress=progress)
    with pool_on(cluster) as pool:
        return make(work, progress=progress, pool=pool)


def fit(  # noqa: PLR0913  (the same names as the command's options)
    source: SourceLike,
    guide: GuideLike,
    scale: ScaleLike = None,
    *,
    band: int | None = None,
    params: FitParams | None = None,
    quality: Quality | None = None,
    bounds: Bounds | None = None,
    source_resolution: float | str | None = None,
    grid: OnGrid = "source",
    guide_band: Sequence[str | int] | str | int = (),
    derive: Sequence[str] | str = (),
    source_mask: MaskLike | None = None,
    guide_mask: MaskLike | None = None,
    mask_share: float = 0.5,
    source_nodata: float | None = None,
    guide_nodata: float | None = None,
    valid_range: tuple[float, float] | None = None,
    device: str = "auto",
    seed: int = 0,
    min_coverage: float = MIN_COVERAGE,
    progress: Progress = no_progress,
) -> FittedNet:
    """Fit a net to one pair, here and now; arguments as for `upsample`, and `band`: the source's, if it has several.

    progress: called as progress(stage, done, total); what it raises ends the fit. What the fit found out about the
    guide is in the net's `check`.
    """
    inputs = Inputs(
        bounds=bounds,
        min_coverage=min_coverage,
        source_resolution=source_resolution,
        grid=grid,
        guide_band=guide_band,
        derive=derive,
        source_mask=source_mask,
        guide_mask=guide_mask,
        mask_share=mask_share,
        source_nodata=source_nodata,
        guide_nodata=guide_nodata,
        valid_range=valid_range,
    )
    resolve_device(device)
    pair = inputs.pair(inputs.source(source, band), guide, scale)
    warn_of_nodata(pair.source, pair.guides.rasters)
    return SceneFit(params_for(params, quality) or FitParams(), seed, device, "warn").for_pair(pair, progress)


def evaluate(  # noqa: PLR0913  (the same names as the command's options)
    source: SourceLike,
    guide: GuideLike,
    scale: ScaleLike = None,
    *,
    truth: SourceLike | None = None,
    methods: Sequence[str] = EVALUATED,
    band: int | None = None,
    params: FitParams | None = None,
    quality: Quality | None = None,
    if_unhelpful: IfUnhelpful = "bicubic",
    bounds: Bounds | None = None,
    source_resolution: float | str | None = None,
    grid: OnGrid = "source",
    guide_band: Sequence[str | int] | str | int = (),
    derive: Sequence[str] | str = (),
    source_mask: MaskLike | None = None,
    guide_mask: MaskLike | None = None,
    mask_share: float = 0.5,
    source_nodata: float | None = None,
    guide_nodata: float | None = None,
    valid_range: tuple[float, float] | None = None,
    tile_size: int | None = None,
    device: str = "auto",
    seed: int = 0,
    min_coverage: float = MIN_COVERAGE,
    progress: Progress = no_progress,
) -> Evaluation:
    """Compare methods on a pair, here and now: against a truth, or one level down, where the source is the truth.

    Arguments as for `upsample`, and:
        truth: the source at the target's detail, where it is known, on any grid. Without it source and guide are
            degraded by the scale and the source serves as the truth (Wald et al. 1997): what holds from there to here
            is expected to hold from here on.
        methods: of `upsample`'s methods, with "+consistency" or without, and mmsr-adapt, mmsr-tile (mmsr with another
            fit), mmsr-always (whatever the guide is worth) and published (the original's fit, not made consistent).
        band: the source's band, from 1, if it has several.
        params, quality: how mmsr is fitted; of the others none.

    Returns an Evaluation: `results["mmsr"].scores.rmse`, `.target`, `ratio("mmsr")`, `as_dict()`. A raster with more
    than 1.5 million truth pixels is compared in a part of it; bounds choose another. Raises what `upsample` raises.
    """
    inputs = Inputs(
        bounds=bounds,
        min_coverage=min_coverage,
        source_resolution=source_resolution,
        grid=grid,
        guide_band=guide_band,
        derive=derive,
        source_mask=source_mask,
        guide_mask=guide_mask,
        mask_share=mask_share,
        source_nodata=source_nodata,
        guide_nodata=guide_nodata,
        valid_range=valid_range,
    )
    opened = inputs.pair(inputs.source(source, band), guide, scale)
    warn_of_nodata(opened.source, opened.guides.rasters)
    trial = wald_trial(opened) if truth is None else truth_trial(opened, open_source(truth, truth=True))
    methods = [methods] if isinstance(methods, str) else methods
    if not methods:
        raise OptionError(f"no methods to evaluate: name some with --methods (methods=), such as {','.join(EVALUATED)}")
    params = params_for(params, quality)
    chosen = {
        name: evaluated_method(name, params, if_unhelpful, seed=seed, device=device) for name in dict.fromkeys(methods)
    }
    part = trial.window
    return run_evaluation(
        trial,
        chosen,
        {name: tiles_of(trial.pair, method, tile_size, at_once=1) for name, method in chosen.items()},
        device=device,
        threads=(params or FitParams()).fixed_threads,
        inputs={
            "source": opened.source.name,
            "guide": opened.guide.name,
            "truth": None if truth is None else open_source(truth, truth=True).name,
            "compared": list(trial.truth.shape),
            "source_window": None if part is None else [part.row, part.col, part.height, part.width],
        },
        options={
            "methods": {name: method.description for name, method in chosen.items()},
            **inputs.description,
            "seed": seed,
            "if_unhelpful": if_unhelpful,
            "version": __version__,
        },
        progress=progress,
    )


def plan(  # noqa: PLR0913  (the same names as the command's options)
    source: SourceLike,
    guide: GuideLike,
    scale: ScaleLike = None,
    *,
    like: LikeLike | None = None,
    method: str = "mmsr",
    fit: Fit = "scene",
    net: FittedNet | str | PathLike[str] | None = None,
    params: FitParams | None = None,
    quality: Quality | None = None,
    if_unhelpful: IfUnhelpful = "bicubic",
    bounds: Bounds | None = None,
    source_resolution: float | str | None = None,
    grid: OnGrid = "source",
    guide_band: Sequence[str | int] | str | int = (),
    derive: Sequence[str] | str = (),
    source_mask: MaskLike | None = None,
    guide_mask: MaskLike | None = None,
    mask_share: float = 0.5,
    source_nodata: float | None = None,
    guide_nodata: float | None = None,
    valid_range: tuple[float, float] | None = None,
    qa: bool = False,
    uncertainty: bool = False,
    dtype: str = "float32",
    tile_size: int | None = None,
    device: str = "auto",
    seed: int = 0,
    keep_statistics: bool = False,
    min_coverage: float = MIN_COVERAGE,
    timed: bool = True,
) -> Plan:
    """Return what `upsample_to_file` with these arguments would do and take; reads metadata only.

    timed: run the method on pixels made up, for some seconds, and say what it would take here.
    Raises what `upsample` raises at the call.
    """
    inputs = Inputs(
        bounds=bounds,
        min_coverage=min_coverage,
        source_resolution=source_resolution,
        grid=grid,
        guide_band=guide_band,
        derive=derive,
        source_mask=source_mask,
        guide_mask=guide_mask,
        mask_share=mask_share,
        source_nodata=source_nodata,
        guide_nodata=guide_nodata,
        valid_range=valid_range,
    )
    storage = Storage(dtype)
    params = params_for(params, quality)
    work = method_for(
        method,
        fit,
        net,
        params,
        if_unhelpful,
        seed=seed,
        device=device,
        keep_statistics=keep_statistics,
        uncertainty=uncertainty,
    )
    job = opened(source, guide, scale, inputs, work)
    first = job.pairs[0]
    threads = (params or FitParams()).fixed_threads
    speed = measured(first, work, device=device, threads=threads) if timed else None
    on = None if like is None else grid_like(like, first.target_grid)
    tiling = tiles_of(first, work, tile_size, at_once=1)
    return Plan(first, work, tiling, storage.dtype, len(job.pairs), qa, speed, on, uncertainty)


def load(path: str | PathLike[str]) -> FittedNet:
    """Read a net that `net.save(path)` wrote; raises NetFileError. No code in the file can run."""
    return FittedNet.load(path)
