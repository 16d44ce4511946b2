"""What the doors call: fit, upsample, evaluate, plan, load; checks what a user gives and sets the rooms to work."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from inspect import signature
from os import PathLike
from pathlib import Path
from typing import get_args

import xarray as xr

from mmsr_geo._version import __version__
from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.engine.pair import MIN_COVERAGE
from mmsr_geo.errors import MmsrError, MmsrWarning, OptionError
from mmsr_geo.evaluation.evaluate import Evaluation
from mmsr_geo.evaluation.evaluate import evaluate as run_evaluation
from mmsr_geo.evaluation.trial import truth_trial, wald_trial
from mmsr_geo.jobs.executors.cluster import Cluster, open_executor
from mmsr_geo.jobs.job import Entry, Job
from mmsr_geo.jobs.journal import JournalEntry
from mmsr_geo.jobs.output.outcome import OutputResult
from mmsr_geo.jobs.output.single import make_output
from mmsr_geo.jobs.output.tasks import OutputSpec
from mmsr_geo.jobs.request import OutputRequest, concurrent_fits, entry_arguments, request_for
from mmsr_geo.jobs.run_job import run_job
from mmsr_geo.jobs.schema import OnError
from mmsr_geo.jobs.status import JobStatus, status_of
from mmsr_geo.machine import cores
from mmsr_geo.methods.scene import SceneFit
from mmsr_geo.methods.select import EVALUATED, resolve_fit_params, select_evaluated_method, select_method
from mmsr_geo.network.device import resolve_device
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.params import FitParams
from mmsr_geo.options import Bounds, Fit, IfUnhelpful, OnGrid, Quality, ScaleLike
from mmsr_geo.pipeline.dataarray import target_array, with_flags, with_uncertainty
from mmsr_geo.pipeline.inputs import GuideLike, Inputs, LikeLike, SourceLike, grid_like
from mmsr_geo.pipeline.lazy import LazyTarget, MovedTarget, lazy_like, lazy_target
from mmsr_geo.pipeline.open import choose_tiling, open_pairs
from mmsr_geo.pipeline.plan import Plan
from mmsr_geo.pipeline.timing import measure_speed
from mmsr_geo.raster.inspect.undeclared_nodata import warn_undeclared_nodata
from mmsr_geo.raster.read.open import open_source
from mmsr_geo.raster.views.mask import MaskLike
from mmsr_geo.raster.write.destination import address_of
from mmsr_geo.raster.write.encoding import Encoding, parse_creation_options
from mmsr_geo.spelling import option
from mmsr_geo.text import bytes_of


def upsample(  # noqa: PLR0913  (the same names as the command's options)
    source: SourceLike,
    guide: GuideLike,
    scale: ScaleLike = None,
    *,
    like: LikeLike | None = None,
    method: str = "mmsr",
    fit: Fit = "scene",
    model: FittedModel | str | PathLike[str] | None = None,
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
            model each.
        guide: the finer raster, in any CRS: a path, an array, or a Dataset whose variables are its bands; or several of
            them, each on a grid of its own. A guide with a dim of the source's (time) is matched by coordinate.
        scale: target pixels per source pixel, an int or (down, across); None: the whole number nearest to the ratio of
            the two resolutions, or a given model's own.
        like: bring the target onto another grid in the end: a raster's (path or array), a GeoBox, or a resolution in
            the units of the target's CRS (a number, or down and across). It no longer averages to the source exactly;
            how far it is from that becomes the lazy coordinate `consistency_rmse`.
        method: mmsr, or one of the others: nearest, bilinear, bicubic, guided-filter, p2p, as their authors gave them,
            or with "+consistency" after the name made to average to the source.
        fit: scene (one model for all tiles, no seams), adapt (the scene's model takes a few more steps on each tile),
        tile
            (a model for each tile; both are blended), or published (the original's steps on the whole raster at once).
        model: a fitted model, or the path of a saved one, instead of a scene fit.
        params: how to fit; of another method than mmsr, its steps.
        quality: fast, balanced (the default) or best, instead of params: more work for less error, as measured in
            docs/fidelity.md.
        if_unhelpful: what to do where the guide turns out not to help: give the consistent bicubic interpolation, warn
            and use the model all the same, or raise an error.
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
            but where each tile has a model of its own (fit adapt or tile; None: 256).
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.
        seed: of every random choice.
        keep_statistics: use a saved model with the statistics it was fitted with, not with this pair's.
        min_coverage: the share of the source (0..1) that the guide must cover; where it does not, the target is the
            consistent bicubic.

    Returns:
        A float32 DataArray on the source's grid refined by the scale, of the source's name, attrs and units, with a
        dask chunk a tile. Its block means are the source's values; the source's holes stay holes. With mmsr it has a
        lazy coordinate `guide_gain`: the share of the interpolation's error that the guide took away one level down,
        NaN where that is not known; computed with the array, it costs nothing.

    Raises:
        InputError, GridError, OptionError, ModelFileError: at the call, for what the metadata tell.
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
    params = resolve_fit_params(params, quality)
    work = select_method(
        method,
        fit,
        model,
        params,
        if_unhelpful,
        seed=seed,
        device=device,
        keep_statistics=keep_statistics,
        uncertainty=uncertainty,
    )
    job = open_pairs(source, guide, scale, inputs, work)
    tiling = choose_tiling(job.pairs[0], work, tile_size, at_once=cores())
    targets = [lazy_target(pair, work, tiling, device=device, uncertainty=uncertainty) for pair in job.pairs]
    facts = {"guide_gain": [target.guide_gain for target in targets]} if work.uses_network else {}
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
    model: FittedModel | str | PathLike[str] | None = None,
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
) -> OutputResult:
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
    params = resolve_fit_params(params, quality)
    chosen = select_method(
        method,
        fit,
        model,
        params,
        if_unhelpful,
        seed=seed,
        device=device,
        keep_statistics=keep_statistics,
        uncertainty=uncertainty,
    )
    asked = OutputRequest(
        source,
        guide,
        address_of(output),
        None if qa is None else address_of(qa),
        uncertainty,
        scale,
        inputs,
        chosen,
        Encoding(dtype, scale_factor, add_offset, parse_creation_options(creation_options)),
        like,
        tile_size,
        device,
        (params or FitParams()).fixed_threads,
        None if isinstance(model, FittedModel) else model,
        overwrite,
    )
    cluster = Cluster(workers=workers, memory_limit=None if memory_limit is None else bytes_of(memory_limit))
    work = asked.work(cluster)
    if workers is None:
        return make_output(work, progress=progress)
    with open_executor(cluster) as executor:
        return make_output(work, progress=progress, executor=executor)


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
) -> FittedModel:
    """Fit a model to one pair, here and now; arguments as for `upsample`, and `band`: the source's, if it has several.

    progress: called as progress(stage, done, total); what it raises ends the fit. What the fit found out about the
    guide is in the model's `check`.
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
    warn_undeclared_nodata(pair.source, pair.guides.rasters)
    return SceneFit(resolve_fit_params(params, quality) or FitParams(), seed, device, "warn").model_for(pair, progress)


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
    warn_undeclared_nodata(opened.source, opened.guides.rasters)
    trial = wald_trial(opened) if truth is None else truth_trial(opened, open_source(truth, truth=True))
    methods = [methods] if isinstance(methods, str) else methods
    if not methods:
        raise OptionError(f"no methods to evaluate: name some with {option('methods')}, such as {','.join(EVALUATED)}")
    params = resolve_fit_params(params, quality)
    chosen = {
        name: select_evaluated_method(name, params, if_unhelpful, seed=seed, device=device)
        for name in dict.fromkeys(methods)
    }
    part = trial.window
    return run_evaluation(
        trial,
        chosen,
        {name: choose_tiling(trial.pair, method, tile_size, at_once=1) for name, method in chosen.items()},
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
    model: FittedModel | str | PathLike[str] | None = None,
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
    encoding = Encoding(dtype)
    params = resolve_fit_params(params, quality)
    work = select_method(
        method,
        fit,
        model,
        params,
        if_unhelpful,
        seed=seed,
        device=device,
        keep_statistics=keep_statistics,
        uncertainty=uncertainty,
    )
    job = open_pairs(source, guide, scale, inputs, work)
    first = job.pairs[0]
    threads = (params or FitParams()).fixed_threads
    speed = measure_speed(first, work, device=device, threads=threads) if timed else None
    on = None if like is None else grid_like(like, first.target_grid)
    tiling = choose_tiling(first, work, tile_size, at_once=1)
    return Plan(first, work, tiling, encoding.dtype, len(job.pairs), qa, speed, on, uncertainty)


def load(path: str | PathLike[str]) -> FittedModel:
    """Read a model that `model.save(path)` wrote; raises ModelFileError. No code in the file can run."""
    return FittedModel.load(path)


def batch(  # noqa: PLR0913  (the same names as the command's options)
    job: str | PathLike[str],
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    memory_limit: int | str | None = None,
    on_error: OnError | None = None,
    restart: bool = False,
    overwrite: bool = False,
    progress: Callable[[Entry, int, int], Progress] | None = None,
    ended: Callable[[Entry, JournalEntry], None] | None = None,
) -> JobStatus:
    """Do a job file's pairs and return where the job stands; what is done, tile by tile, is not done again.

    scheduler, workers, memory_limit, on_error: go before what the job file says. restart: do all of it again.
    overwrite: replace outputs that exist though this job has not made them. progress: called as progress(entry, done,
    total) for each pair, returns what `upsample_to_file` takes. ended: called as ended(entry, line) with each pair that
    is done, incomplete or failed, and what the job's record says of it. In the end a report is written beside the job
    file, also where a failure ends it.
    Raises JobError for a job file with mistakes, all of them at once, and where a pair fails and neither this call nor
    the job file says on_error = "skip".
    """
    if on_error is not None and on_error not in get_args(OnError):
        raise OptionError(f"there is no on_error {on_error!r}: choose of {', '.join(get_args(OnError))}")
    read = Job.read(Path(job))
    if on_error is not None:
        read = replace(read, on_error=on_error)
    table = read.cluster
    limit = table.memory_limit if memory_limit is None else bytes_of(memory_limit)
    if scheduler is None and workers is None:
        cluster = Cluster(table.kind, table.workers, table.scheduler, limit, table.options)
    else:
        cluster = Cluster("local", workers, scheduler, limit)

    def open_pair(entry: Entry, overwrite: bool) -> OutputSpec:  # noqa: FBT001  (a callback's)
        return request_for(entry, overwrite=overwrite).work(cluster)

    with open_executor(cluster, concurrent_fits(read.entries[0])) as executor:
        return run_job(
            read,
            open_pair,
            executor,
            where=cluster.place,
            restart=restart,
            overwrite=overwrite,
            progress=progress or (lambda _entry, _done, _total: no_progress),
            ended=ended or (lambda _entry, _line: None),
            afterwards=lambda: _report_afterwards(read),
        )


def report_batch(job: str | PathLike[str], *, looks: int | None = None, progress: Progress = no_progress) -> Path:
    """Write a job's report as it stands now, as `batch` does in the end, and return the path of report.html.

    looks: quick looks of so many pairs at most, 200 if None. Raises JobError for the job file's mistakes, OutputError
    where the report cannot be written.
    """
    from mmsr_geo.jobs.report import write_report  # noqa: PLC0415  (matplotlib, only when asked for)

    read = Job.read(Path(job))
    return write_report(read, status_of(read), looks=looks, progress=progress)


def _report_afterwards(job: Job) -> None:
    """Write the report of a job that has ended; what prevents it is told, and the job's end stays what it was."""
    try:
        report_batch(job.path)
    except Exception as error:  # noqa: BLE001  (days of work do not fail by a picture of them)
        told = str(error) if isinstance(error, MmsrError) else f"no report: {type(error).__name__}: {error}"
        warnings.warn(told, MmsrWarning, stacklevel=2)


def plan_batch(job: str | PathLike[str]) -> list[tuple[Entry, Plan]]:
    """Return what each pair of a job will take; the first pair's method is timed, and the others' go by it.

    Raises JobError for the job file's mistakes, and what `plan` raises for a pair's.
    """
    plans: list[tuple[Entry, Plan]] = []
    for entry in Job.read(Path(job)).entries:
        guide, params, options = entry_arguments(entry)
        chosen = {name: value for name, value in options.items() if name in _PLANNED}
        made = plan(entry.source, guide, params=params, qa=entry.qa is not None, timed=not plans, **chosen)
        plans.append((entry, made if not plans else replace(made, speed=plans[0][1].speed)))
    return plans


def status(job: str | PathLike[str]) -> JobStatus:
    """Return where a job stands: what is done, failed, changed since, and left. Raises JobError for its mistakes."""
    return status_of(Job.read(Path(job)))


_PLANNED = frozenset(signature(plan).parameters)
