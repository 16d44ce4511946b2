"""The public functions: upsample, fit, evaluate, plan, load and jobs; each checks its options and calls the rooms."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, get_args

import xarray as xr

from mmsr_geo._version import __version__
from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.valid_shares import naming_what_is_empty
from mmsr_geo.errors import MmsrError, MmsrWarning, OptionError
from mmsr_geo.evaluation.evaluate import Evaluation
from mmsr_geo.evaluation.evaluate import evaluate as run_evaluation
from mmsr_geo.evaluation.trial import Trial, truth_trial, wald_trial
from mmsr_geo.jobs.executors.config import Cluster
from mmsr_geo.jobs.executors.open import open_executor
from mmsr_geo.jobs.job import Entry, Job
from mmsr_geo.jobs.journal import JournalEntry
from mmsr_geo.jobs.output.outcome import OutputResult
from mmsr_geo.jobs.output.single import make_output
from mmsr_geo.jobs.output.tasks import OutputSpec
from mmsr_geo.jobs.request import OutputRequest, concurrent_fits, entry_arguments, request_for
from mmsr_geo.jobs.run_job import run_job, unforeseen
from mmsr_geo.jobs.schema import OnError
from mmsr_geo.jobs.status import JobStatus, status_of
from mmsr_geo.machine import cores
from mmsr_geo.methods.scene import SceneFit
from mmsr_geo.methods.select import resolve_fit_params, select_evaluated_method, select_method, start_of
from mmsr_geo.network.device import resolve_device
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.options import (
    EVALUATED,
    FitOptions,
    PredictionOptions,
    ScaleLike,
    WorkerOptions,
)
from mmsr_geo.pipeline.inputs import (
    OUTPUT_GROUPS,
    TARGET_GROUPS,
    GuideLike,
    Inputs,
    SourceLike,
    grid_like,
    warn_of_reading,
)
from mmsr_geo.pipeline.lazy import LazyTarget, MovedTarget, lazy_like, lazy_target
from mmsr_geo.pipeline.pairs import choose_tiling, open_pairs
from mmsr_geo.pipeline.plan import Plan
from mmsr_geo.pipeline.target_array import target_array, with_flags, with_uncertainty
from mmsr_geo.pipeline.timing import measure_speed
from mmsr_geo.raster.inspect.undeclared_nodata import warn_undeclared_nodata
from mmsr_geo.raster.read.open import open_source
from mmsr_geo.raster.write.destination import address_of, check_format
from mmsr_geo.raster.write.encoding import Encoding
from mmsr_geo.signatures import documented, grouped
from mmsr_geo.spelling import option
from mmsr_geo.text import bytes_of

if TYPE_CHECKING:
    from mmsr_geo.keywords import (
        EvaluateArguments,
        FitArguments,
        PlanArguments,
        UpsampleArguments,
        UpsampleToFileArguments,
    )


@documented("upsample")
def upsample(
    source: SourceLike,
    guide: GuideLike,
    scale: ScaleLike = None,
    *,
    qa: bool = False,
    **options: Unpack[UpsampleArguments],
) -> xr.DataArray:
    """Return the source at the guide's resolution, lazily.

    Nothing is read or fitted before the result is computed.

    Args:
        source: Coarse raster: a path, or an array with a CRS. Each slice along other dimensions than y and x is
            upsampled with a model of its own; `band` takes one band alone.
        guide: Finer raster in any CRS: a path, an array, a Dataset whose variables are bands, or a list of them, each
            on its own grid. A guide or mask that shares a dimension with the source, such as time, is matched by
            coordinate.
        scale: {scale}
        qa: Also return the QA flags of each target pixel (`mmsr_geo.Flag`), as the lazy coordinate `qa`.
        **options: Any of the following.

        {options}

    Returns:
        A float32 DataArray on the source's grid refined by the scale, with the name, attributes and units of the
        source and one dask chunk per tile. Its block means are the source. Nodata pixels of the source are NaN. With
        mmsr it has a lazy coordinate `guide_gain`: the part of the bicubic baseline's error that the guide removed at
        reduced resolution, NaN where that is unknown. `like` adds the coordinate `consistency_rmse`, `uncertainty`
        the coordinate `uncertainty`.

    Raises:
        InputError: A raster cannot be used; raised at the call, as the next three are.
        GridError: The grids do not fit.
        OptionError: An option is out of range, or two contradict each other.
        ModelFileError: The saved model cannot be read, or is for another kind of pair.
        PixelError: There are too few valid pixels for a fit; raised when the result is computed.
        UnhelpfulGuideError: The guide did not help and `if_unhelpful` is "error"; raised when the result is computed.
    """
    inputs, fitting, choice, prediction, wanted = grouped("upsample", options, *TARGET_GROUPS)
    method = select_method(choice, fitting, prediction, uncertainty=wanted.uncertainty)
    job = open_pairs(source, guide, scale, inputs, method)
    tiling = choose_tiling(job.pairs[0], method, prediction.tile_size, at_once=cores())
    targets = [
        lazy_target(pair, method, tiling, device=fitting.device, uncertainty=wanted.uncertainty) for pair in job.pairs
    ]
    facts = {"guide_gain": [target.guide_gain for target in targets]} if method.checks_guide else {}
    grid = job.pairs[0].target_grid
    given: Sequence[LazyTarget | MovedTarget] = targets
    if wanted.like is not None:
        grid = grid_like(wanted.like, grid)
        given = moved = [lazy_like(target, pair, tiling, grid) for target, pair in zip(targets, job.pairs, strict=True)]
        facts["consistency_rmse"] = [target.consistency_rmse for target in moved]
    values = [target.values for target in given]
    array = target_array(job.template, values, grid, facts, source_nodata=job.pairs[0].source.nodata)
    if qa:
        array = with_flags(array, [target.qa for target in given])
    halves = [target.uncertainty for target in given if target.uncertainty is not None]
    return with_uncertainty(array, halves) if halves else array


@documented("upsample_to_file")
def upsample_to_file(  # noqa: PLR0913  (two inputs, two outputs and how they are written)
    source: SourceLike,
    guide: GuideLike,
    output: str | PathLike[str],
    scale: ScaleLike = None,
    *,
    qa: str | PathLike[str] | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
    **options: Unpack[UpsampleToFileArguments],
) -> OutputResult:
    """Write the source at the guide's resolution to a Cloud Optimized GeoTIFF or a Zarr store, tile by tile.

    The values are those of `upsample` with the same options. The output appears when it is complete, or not at all.

    Args:
        source: Coarse raster, as for `upsample`.
        guide: Finer raster or rasters, as for `upsample`.
        output: Path or URL of the output. A name that ends in .zarr is a group of a Zarr store, which holds the target
            under the name of the source (or `target`) and the QA flags as `qa`.
        scale: {scale}
        qa: Path of a second file for the QA flags (`mmsr_geo.Flag`, uint8). A Zarr store always holds them.
        overwrite: Replace outputs that exist.
        progress: Called as progress(stage, done, total). An exception that it raises stops the work and leaves no file.
        **options: Any of the following. With `uncertainty` a file has further bands after those of the target, a store
            the variable `target_uncertainty`.

        {options}

    Returns:
        What was written: its path, scale, shape, guide checks, models and QA flags.

    Raises:
        OutputError: The output exists (without `overwrite`) or cannot be written.
        MmsrError: As for `upsample`.
    """
    *groups, processes = grouped("upsample_to_file", options, *OUTPUT_GROUPS, WorkerOptions)
    for name in (output, qa):
        if name is not None:
            check_format(name)
    outputs = address_of(output), None if qa is None else address_of(qa)
    request = OutputRequest.of(source, guide, outputs, scale, groups, overwrite=overwrite)
    limit = None if processes.memory_limit is None else bytes_of(processes.memory_limit)
    cluster = Cluster(workers=processes.workers, memory_limit=limit)
    spec = request.open(cluster)
    if processes.workers is None:
        return make_output(spec, progress=progress)
    with open_executor(cluster) as executor:
        return make_output(spec, progress=progress, executor=executor)


@documented("fit")
def fit(
    source: SourceLike,
    guide: GuideLike,
    scale: ScaleLike = None,
    *,
    progress: Progress = no_progress,
    **options: Unpack[FitArguments],
) -> FittedModel:
    """Fit a model to one pair.

    Args:
        source: Coarse raster, as for `upsample`, of one band.
        guide: Finer raster or rasters, as for `upsample`.
        scale: {scale}
        progress: Called as progress(stage, done, total). An exception that it raises stops the fit.
        **options: Any of the following.

        {options}

    Returns:
        The model. `model.check` says whether the guide helped, `model.save(path)` writes it to a file.

    Raises:
        MmsrError: As for `upsample`.
    """
    inputs, fitting = grouped("fit", options, Inputs, FitOptions)
    resolve_device(fitting.device)
    method = SceneFit(resolve_fit_params(fitting), fitting.seed, fitting.device, "warn", start_of(fitting))
    pair = inputs.pair(inputs.source(source), guide, scale).with_classes_of(method.model_bands)
    warn_of_reading([pair])
    warn_undeclared_nodata(pair.source, pair.guides.quantities)
    with naming_what_is_empty(pair):
        return method.model_for(pair, progress)


@documented("evaluate")
def evaluate(  # noqa: PLR0913  (a pair, what it is compared with, and by which methods)
    source: SourceLike,
    guide: GuideLike,
    scale: ScaleLike = None,
    *,
    truth: SourceLike | None = None,
    methods: Sequence[str] | str = EVALUATED,
    progress: Progress = no_progress,
    **options: Unpack[EvaluateArguments],
) -> Evaluation:
    """Compare methods on a pair, with a truth or at reduced resolution.

    Args:
        source: Coarse raster, as for `upsample`, of one band.
        guide: Finer raster or rasters, as for `upsample`.
        scale: {scale}
        truth: True values at the target's resolution, on any grid. Without it source and guide are averaged by the
            scale, so that the source itself is the reference (Wald et al. 1997), after a blur of `psf`, of which auto
            is none: the methods are told which.
        methods: Names of methods as `method` takes them, and mmsr-adapt and mmsr-tile (mmsr with another fit),
            mmsr-always (mmsr whatever the guide check says) and published (the paper's fit, without back-projection).
        progress: Called as progress(stage, done, total). An exception that it raises stops the evaluation.
        **options: Any of the following. Those of the fit hold for mmsr.

        {options}

    Returns:
        An Evaluation: `results["mmsr"].scores.rmse`, `.target`, `ratio("mmsr")`, `as_dict()`. If the truth has more
        than 1.5 million pixels, a part of it is compared; `bounds` choose another part.

    Raises:
        MmsrError: As for `upsample`.
    """
    inputs, fitting, prediction = grouped("evaluate", options, Inputs, FitOptions, PredictionOptions)
    start = start_of(fitting)
    pair = inputs.pair(inputs.source(source), guide, scale)
    pair = pair.with_classes_of(None if start is None else start.guide_bands)
    warn_of_reading([pair])
    warn_undeclared_nodata(pair.source, pair.guides.quantities)
    sensor = resolve_fit_params(fitting).sensor
    blur = sensor.psf if isinstance(sensor.psf, tuple) else (0.0, 0.0)
    if truth is None:
        # The reduced source is made here, so that its blur is known.
        trial = wald_trial(pair, blur)
        known = fitting.params and replace(fitting.params, sensor=replace(sensor, psf=blur))
        fitting = replace(fitting, psf=blur) if known is None else replace(fitting, params=known)
    else:
        trial = truth_trial(pair, open_source(truth, truth=True), blur)
    names = dict.fromkeys([methods] if isinstance(methods, str) else methods)
    if not names:
        raise OptionError(f"{option('methods')} is empty: name methods to compare, such as {','.join(EVALUATED)}")
    chosen = {name: select_evaluated_method(name, fitting, prediction) for name in names}
    return run_evaluation(
        trial,
        chosen,
        {name: choose_tiling(trial.pair, method, prediction.tile_size, at_once=1) for name, method in chosen.items()},
        device=fitting.device,
        threads=resolve_fit_params(fitting).fixed_threads,
        inputs=_compared_rasters(pair, trial, truth),
        options={
            "methods": {name: method.description for name, method in chosen.items()},
            **inputs.description,
            "seed": fitting.seed,
            "if_unhelpful": prediction.if_unhelpful,
            "version": __version__,
        },
        progress=progress,
    )


def _compared_rasters(pair: Pair, trial: Trial, truth: SourceLike | None) -> dict[str, Any]:
    """Return which rasters an evaluation compares, and which part of them, as JSON values."""
    part = trial.window
    return {
        "source": pair.source.name,
        "guide": pair.guide.name,
        "truth": None if truth is None else open_source(truth, truth=True).name,
        "compared": list(trial.truth.shape),
        "source_window": None if part is None else [part.row, part.col, part.height, part.width],
    }


@documented("plan")
def plan(
    source: SourceLike,
    guide: GuideLike,
    scale: ScaleLike = None,
    *,
    qa: bool = False,
    timed: bool = True,
    **options: Unpack[PlanArguments],
) -> Plan:
    """Return what `upsample_to_file` with the same options would compute: tiles, memory, disk space and time.

    Only metadata are read.

    Args:
        source: Coarse raster, as for `upsample`.
        guide: Finer raster or rasters, as for `upsample`.
        scale: {scale}
        qa: Include a file of QA flags.
        timed: Run the method on synthetic pixels for some seconds and estimate the time on this machine.
        **options: Any of the following.

        {options}

    Raises:
        MmsrError: As for `upsample`.
    """
    inputs, fitting, choice, prediction, wanted, stored = grouped("plan", options, *OUTPUT_GROUPS)
    encoding = Encoding(stored.dtype)
    method = select_method(choice, fitting, prediction, uncertainty=wanted.uncertainty)
    job = open_pairs(source, guide, scale, inputs, method)
    first = job.pairs[0]
    threads = resolve_fit_params(fitting).fixed_threads
    speed = measure_speed(first, method, device=fitting.device, threads=threads) if timed else None
    grid = None if wanted.like is None else grid_like(wanted.like, first.target_grid)
    tiling = choose_tiling(first, method, prediction.tile_size, at_once=1)
    return Plan(first, method, tiling, encoding.dtype, len(job.pairs), qa, speed, grid, wanted.uncertainty)


def load(path: str | PathLike[str]) -> FittedModel:
    """Read a model that `model.save(path)` wrote. The file cannot run code.

    Raises:
        ModelFileError: The file holds no model, is damaged, or is of another version.
    """
    return FittedModel.load(path)


def batch(  # noqa: PLR0913  (the options of the command)
    job: str | PathLike[str],
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    memory_limit: int | str | None = None,
    on_error: OnError | None = None,
    restart: bool = False,
    overwrite: bool = False,
    progress: Callable[[Entry, int, int], Progress] | None = None,
    on_pair_end: Callable[[Entry, JournalEntry], None] | None = None,
) -> JobStatus:
    """Run the pairs of a job file and return the state of the job. Tiles that exist are not computed again.

    At the end a report is written next to the job file, also when a failure ends the job.

    Args:
        job: Path of the job file.
        scheduler: Address of a dask scheduler that is running, instead of what the job file says.
        workers: Number of processes of this machine, instead of what the job file says.
        memory_limit: Memory limit of each process, such as "4 GB", instead of what the job file says.
        on_error: "skip" or "stop", instead of what the job file says: whether a pair or tile that fails ends the job.
        restart: Compute all pairs again.
        overwrite: Replace outputs that exist though this job did not write them.
        progress: Called as progress(entry, done, total) for each pair; returns the pair's own progress callback.
        on_pair_end: Called as on_pair_end(entry, journal_entry) when a pair is done, incomplete or failed.

    Raises:
        JobError: The job file has mistakes (all are reported), or a pair failed and neither this call nor the job file
            says "skip".
    """
    read = _read_job(job, on_error)
    table = read.cluster
    limit = table.memory_limit if memory_limit is None else bytes_of(memory_limit)
    if scheduler is None and workers is None:
        cluster = Cluster(table.kind, table.workers, table.scheduler, limit, table.options)
    else:
        cluster = Cluster("local", workers, scheduler, limit)

    def open_pair(entry: Entry, overwrite: bool) -> OutputSpec:  # noqa: FBT001  (a callback's)
        return request_for(entry, overwrite=overwrite).open(cluster)

    with open_executor(cluster, concurrent_fits(read.entries[0])) as executor:
        return run_job(
            read,
            open_pair,
            executor,
            where=cluster.place,
            restart=restart,
            overwrite=overwrite,
            progress=progress or (lambda _entry, _done, _total: no_progress),
            on_pair_end=on_pair_end or (lambda _entry, _line: None),
            afterwards=lambda: _report_afterwards(read),
        )


def report_batch(job: str | PathLike[str], *, previews: int | None = None, progress: Progress = no_progress) -> Path:
    """Write the report of a job as it is now, as `batch` does at the end, and return the path of report.html.

    Args:
        job: Path of the job file.
        previews: Largest number of pairs with preview images; None: 200.
        progress: Called as progress(stage, done, total).

    Raises:
        JobError: The job file has mistakes.
        OutputError: The report cannot be written.
    """
    from mmsr_geo.jobs.report import write_report  # noqa: PLC0415  (matplotlib, only when asked for)

    read = Job.read(Path(job))
    return write_report(read, status_of(read), previews=previews, progress=progress)


def _report_afterwards(job: Job) -> None:
    """Write the report of a job that has ended; a failure is a warning, and the state of the job stays what it was."""
    try:
        report_batch(job.path)
    except Exception as error:  # noqa: BLE001  (days of work do not fail by a picture of them)
        message = (
            error.template
            if isinstance(error, MmsrError)
            else f"no report was written: {type(error).__name__}: {error}"
        )
        warnings.warn(message, MmsrWarning, stacklevel=2)


def plan_batch(job: str | PathLike[str], *, on_error: OnError | None = None) -> list[tuple[Entry, Plan | MmsrError]]:
    """Return the plan of each pair of a job. The method is timed on the first pair only.

    Args:
        job: Path of the job file.
        on_error: "skip" or "stop", instead of what the job file says: whether a pair that fails ends the check. With
            "skip" its error stands in place of its plan. The traceback of an unforeseen error goes into the job's log.

    Raises:
        JobError: The job file has mistakes, or an unforeseen error occurred and the job stops at errors.
        MmsrError: As for `plan`, if the job stops at errors.
    """
    read = _read_job(job, on_error)
    plans: list[tuple[Entry, Plan | MmsrError]] = []
    first: Plan | None = None
    for entry in read.entries:
        guide, scale, options = entry_arguments(entry)
        try:
            found = plan(entry.source, guide, scale, qa=entry.qa is not None, timed=first is None, **options)
        except Exception as error:
            failure = error if isinstance(error, MmsrError) else unforeseen(error, read, entry)
            if read.on_error == "stop":
                raise failure from error
            plans.append((entry, failure))
            continue
        plans.append((entry, found if first is None else replace(found, speed=first.speed)))
        first = first or found
    return plans


def _read_job(job: str | PathLike[str], on_error: OnError | None) -> Job:
    """Read a job file, with another `on_error` if one is given."""
    if on_error is not None and on_error not in get_args(OnError):
        raise OptionError(f"{option('on_error')} is {on_error!r}: choose one of {', '.join(get_args(OnError))}")
    read = Job.read(Path(job))
    return read if on_error is None else replace(read, on_error=on_error)


def status(job: str | PathLike[str]) -> JobStatus:
    """Return the state of a job: pairs that are done, failed, changed since, and left.

    Raises:
        JobError: The job file has mistakes.
    """
    return status_of(Job.read(Path(job)))
