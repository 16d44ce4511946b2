"""Many pairs, as a job file says them: done, planned, and told how they stand."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import fields, replace
from inspect import signature
from os import PathLike
from pathlib import Path
from typing import Any, get_args

from mmsr_geo.api import plan
from mmsr_geo.asking import Asked
from mmsr_geo.choosing import method_for
from mmsr_geo.errors import MmsrError, MmsrWarning, OptionError
from mmsr_geo.inputs import GuideLike, Inputs
from mmsr_geo.jobs.batch import JobStatus, run_job, status_of
from mmsr_geo.jobs.cluster import Cluster
from mmsr_geo.jobs.jobfile import Entry, Job, OnError
from mmsr_geo.jobs.record import Line
from mmsr_geo.jobs.starting import pool_on
from mmsr_geo.jobs.work import Work
from mmsr_geo.memory import bytes_of
from mmsr_geo.network.fitting import Progress, no_progress
from mmsr_geo.network.params import FitParams
from mmsr_geo.planning import Plan
from mmsr_geo.raster.storing import Storage, parse_creation_options


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
    ended: Callable[[Entry, Line], None] | None = None,
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

    def open_pair(entry: Entry, overwrite: bool) -> Work:  # noqa: FBT001  (a callback's)
        return _asked_by(entry, overwrite=overwrite).work(cluster)

    with pool_on(cluster, _side_by_side(read.entries[0])) as pool:
        return run_job(
            read,
            open_pair,
            pool,
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
    from mmsr_geo.jobs.reporting import write_report  # noqa: PLC0415  (matplotlib, only when asked for)

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
        guide, params, options = _arguments(entry)
        chosen = {name: value for name, value in options.items() if name in _PLANNED}
        made = plan(entry.source, guide, params=params, qa=entry.qa is not None, timed=not plans, **chosen)
        plans.append((entry, made if not plans else replace(made, speed=plans[0][1].speed)))
    return plans


def status(job: str | PathLike[str]) -> JobStatus:
    """Return where a job stands: what is done, failed, changed since, and left. Raises JobError for its mistakes."""
    return status_of(Job.read(Path(job)))


def _asked_by(entry: Entry, *, overwrite: bool) -> Asked:
    """Return what a job's pair asks for."""
    guide, params, given = _arguments(entry)
    inputs = Inputs(**{each.name: given[each.name] for each in fields(Inputs) if each.name in given})
    method = method_for(
        given.get("method", "mmsr"),
        given.get("fit", "scene"),
        given.get("net"),
        params,
        given.get("if_unhelpful", "bicubic"),
        seed=given.get("seed", 0),
        device=given.get("device", "auto"),
        keep_statistics=given.get("keep_statistics", False),
        uncertainty=given.get("uncertainty", False),
    )
    storage = Storage(
        given.get("dtype", "float32"),
        given.get("scale_factor"),
        given.get("add_offset"),
        parse_creation_options(given.get("creation_options", ())),
    )
    return Asked(
        entry.source,
        guide,
        entry.output,
        entry.qa,
        given.get("uncertainty", False),
        given.get("scale"),
        inputs,
        method,
        storage,
        given.get("like"),
        given.get("tile_size"),
        given.get("device", "auto"),
        params.fixed_threads,
        given.get("net"),
        overwrite,
    )


def _arguments(entry: Entry) -> tuple[GuideLike, FitParams, dict[str, Any]]:
    """Return an entry's guide, how to fit, and the other options."""
    options = dict(entry.options)
    quality = options.pop("quality", "balanced")
    params = FitParams.of(quality, steps=options.pop("steps", None), threads=options.pop("threads", None))
    return list(entry.guides) if len(entry.guides) > 1 else entry.guides[0], params, options


_PLANNED = frozenset(signature(plan).parameters)


def _side_by_side(entry: Entry) -> int | None:
    """Return how many tiles of such a pair are fitted at once in this process; a job's pairs are all fitted alike."""
    return _arguments(entry)[1].fixed_threads if entry.options.get("fit") in {"adapt", "tile"} else None
