"""The `mmsr-geo` command: options to the api, refusals to one line; torch and GDAL are imported when a command runs."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from mmsr_geo._version import __version__
from mmsr_geo.cli import options as arguments
from mmsr_geo.cli.display import CommandDisplay, show_usage_error
from mmsr_geo.errors import MmsrError, OptionError
from mmsr_geo.options import (
    CONSISTENT,
    EVALUATED,
    METHODS,
    FileOptions,
    FitOptions,
    MethodOptions,
    PredictionOptions,
    TargetOptions,
    WorkerOptions,
)

if TYPE_CHECKING:
    from mmsr_geo.callbacks import Progress
    from mmsr_geo.jobs.job import Entry
    from mmsr_geo.jobs.journal import JournalEntry


class _Refusal(click.ClickException):
    """A mistake of the user: one line on stderr, exit status 2."""

    exit_code = 2


class _Commands(click.Group):
    """A group whose commands turn MmsrError into one line."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  (click's own)
        """Run a command."""
        try:
            return super().invoke(ctx)
        except MmsrError as error:
            raise _Refusal(error.at("command")) from error


@click.group("mmsr", cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mmsr-geo")
def cli() -> None:
    """Bring a coarse raster to the resolution of a finer image of the same place."""


@cli.command()
@arguments.pair
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT.tif|OUT.zarr",
    help="Cloud Optimized GeoTIFF or Zarr store to write; a path or an s3:// URL.",
)
@click.option(
    "--qa",
    metavar="QA.tif",
    help="GeoTIFF to write the QA flags of each pixel to: 1 no data in the source, 2 gap in the guide, 4 guide values "
    "outside the range of the fit, 8 the guide did not help here, 16 source outside the valid range, 32 tile failed. A "
    "Zarr store always holds them.",
)
@arguments.options(TargetOptions, FileOptions, MethodOptions, PredictionOptions)
@click.option("--save-model", metavar="FILE", help="File to save the fitted model to.")
@arguments.options(FitOptions, WorkerOptions)
@arguments.output
def upsample(
    source: str,
    guide: str | tuple[str, ...],
    output: str,
    save_model: str | None,
    *,
    progress_kind: str,
    **options: Any,  # noqa: ANN401  (click's own, or JSON values)
) -> None:
    """Write SOURCE at the resolution of GUIDE."""
    with CommandDisplay(progress_kind, "upsample", source=source, guide=_named(guide), output=output) as show:
        from mmsr_geo import api  # noqa: PLC0415  (torch and GDAL, only when asked for)
        from mmsr_geo.cli.tables import result_lines  # noqa: PLC0415  (torch and GDAL, only when asked for)

        if save_model is not None:
            _check_save_model(save_model, output, options)
        result = api.upsample_to_file(source, guide, output, progress=show, **options)
        if save_model is not None:
            result.model.save(save_model)
        check = result.checks[0]
        show.event(
            "done",
            output=str(result.path),
            guide_gain=check.gain,
            guide_check=check.result,
            scale=result.scale,
            tiles=result.tiles,
            seconds=round(result.seconds, 1),
            qa=None if result.qa is None else str(result.qa),
            flag_shares={str(flag.name).lower(): round(share, 6) for flag, share in result.flag_shares.items()},
            consistency_rmse=list(result.consistency_rmse) or None,
            uncertainty=list(result.uncertainty) or None,
        )
    if progress_kind == "rich":
        click.echo("\n".join(result_lines(output, result, guided=options["method"] == "mmsr")))


@cli.command()
@arguments.pair
@click.option("-o", "--output", required=True, metavar="OUT.mmsr", help="File to save the model to.")
@arguments.options(FitOptions)
@arguments.output
def fit(
    source: str,
    guide: str | tuple[str, ...],
    output: str,
    *,
    progress_kind: str,
    overwrite: bool,
    **options: Any,  # noqa: ANN401  (click's own, or JSON values)
) -> None:
    """Fit a model to SOURCE and GUIDE and save it, for upsample --model."""
    with CommandDisplay(progress_kind, "fit", source=source, guide=_named(guide), output=output) as show:
        from mmsr_geo import api  # noqa: PLC0415  (torch and GDAL, only when asked for)
        from mmsr_geo.cli.tables import check_sentence  # noqa: PLC0415  (torch and GDAL, only when asked for)
        from mmsr_geo.raster.write.destination import check_output  # noqa: PLC0415  (torch and GDAL, only when asked for)

        check_output(output, overwrite=overwrite)
        model = api.fit(source, guide, progress=show, **options)
        model.save(output)
        check = model.check
        show.event("done", output=output, model=model.digest, guide_gain=check.gain, guide_check=check.result)
    if progress_kind == "rich":
        click.echo(f"{output}: model {model.digest}, scale {model.scale}, guide bands {', '.join(model.guide_bands)}")
        click.echo(check_sentence(check))


@cli.command()
@arguments.pair
@arguments.options(MethodOptions, PredictionOptions, TargetOptions)
@click.option("--qa", is_flag=True, help="Include a file of QA flags.")
@arguments.options(FileOptions)
@click.option(
    "--timed/--not-timed",
    default=True,
    show_default=True,
    help="Run the method here for some seconds and estimate the time.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@arguments.options(FitOptions)
def plan(
    source: str,
    guide: str | tuple[str, ...],
    *,
    as_json: bool,
    **options: Any,  # noqa: ANN401  (click's own, or JSON values)
) -> None:
    """Show the tiles, memory, disk space and time that upsample would need, before anything runs."""
    with CommandDisplay("none", "plan", source=source, guide=_named(guide)):
        from mmsr_geo import api  # noqa: PLC0415  (torch and GDAL, only when asked for)
        from mmsr_geo.cli.tables import show_plan  # noqa: PLC0415  (torch and GDAL, only when asked for)

        planned = api.plan(source, guide, **options)
    if as_json:
        click.echo(json.dumps(planned.as_dict()))
    else:
        show_plan(planned)


@cli.command()
@arguments.pair
@click.option(
    "--truth",
    metavar="FILE",
    help="True values at the target's resolution. Default: SOURCE itself is the reference, at reduced resolution.",
)
@click.option(
    "--methods",
    help=f"Methods to compare, separated by commas: mmsr, mmsr-adapt, mmsr-tile, mmsr-always, published, "
    f"{', '.join(METHODS)} (each of these also with {CONSISTENT}). Default: {','.join(EVALUATED)}.",
)
@click.option("-o", "--output", metavar="DIR", help="Folder to write report.json and report.png to.")
@click.option(
    "--hillshade/--no-hillshade",
    default=None,
    help="Show targets as hillshades. Default: if the name of the source says that it is an elevation.",
)
@arguments.options(PredictionOptions, FitOptions)
@arguments.output
def evaluate(  # noqa: PLR0913  (what is compared, and what is shown of it)
    source: str,
    guide: str | tuple[str, ...],
    methods: str | None,
    output: str | None,
    *,
    hillshade: bool | None,
    progress_kind: str,
    overwrite: bool,
    **options: Any,  # noqa: ANN401  (click's own, or JSON values)
) -> None:
    """Compare methods on SOURCE and GUIDE, with a truth or at reduced resolution."""
    with CommandDisplay(progress_kind, "evaluate", source=source, guide=_named(guide)) as show:
        from mmsr_geo import api  # noqa: PLC0415  (torch and GDAL, only when asked for)
        from mmsr_geo.evaluation import report  # noqa: PLC0415  (torch and GDAL, only when asked for)

        if output is not None:
            report.report_files(Path(output), overwrite=overwrite)
        names = EVALUATED if methods is None else [name.strip() for name in methods.split(",") if name.strip()]
        evaluation = api.evaluate(source, guide, methods=names, progress=show, **options)
        files = []
        if output is not None:
            files = report.save_report(evaluation, Path(output), overwrite=True, hillshades=hillshade)
        show.event("done", files=[str(file) for file in files], **evaluation.as_dict())
    if progress_kind == "rich":
        report.print_scores(evaluation)
        for file in files:
            click.echo(str(file))


@cli.command()
@click.argument("job", metavar="JOB.toml")
@click.option("--init", is_flag=True, help="Write an example job file with comments, and stop.")
@click.option("--dry-run", is_flag=True, help="Check the job file, show what the job needs, and stop.")
@click.option("--restart", is_flag=True, help="Compute all pairs again.")
@click.option("--scheduler", metavar="ADDRESS", help="Address of a running dask scheduler, as in tcp://10.0.0.1:8786.")
@click.option(
    "--on-error",
    type=click.Choice(["skip", "stop"]),
    help="Whether the job goes on without a pair or tile that fails (skip), or stops. Default: as the job file says.",
)
@arguments.options(WorkerOptions)
@arguments.output
def batch(  # noqa: PLR0913  (one an option)
    *,
    job: str,
    init: bool,
    dry_run: bool,
    restart: bool,
    overwrite: bool,
    progress_kind: str,
    **how: Any,  # noqa: ANN401  (click's own)
) -> None:
    """Run the pairs of JOB.toml, tile by tile. Called again, it continues where it stopped."""
    if init:
        _write_example(Path(job))
        return
    with CommandDisplay("none" if dry_run else progress_kind, "batch", job=job) as show:
        from mmsr_geo import api  # noqa: PLC0415  (torch and GDAL, only when asked for)
        from mmsr_geo.cli import tables  # noqa: PLC0415  (torch and GDAL, only when asked for)
        from mmsr_geo.jobs.log import log_path, report_page  # noqa: PLC0415  (torch and GDAL, only when asked for)

        if dry_run:
            plans = api.plan_batch(job, on_error=how["on_error"])
            tables.show_plans(plans)
            if any(isinstance(found, MmsrError) for _, found in plans):
                sys.exit(1)
            return
        counts = {"ended": 0, "total": 0}

        def pair(entry: Entry, done: int, total: int) -> Progress:
            counts["total"] = total
            show("pairs", counts["ended"], total)
            show.event("pair", name=entry.name, done=done, total=total)
            return show.pair(entry.name)

        def ended(entry: Entry, line: JournalEntry) -> None:
            counts["ended"] += 1
            show("pairs", counts["ended"], max(counts.values()))
            show.pair_ended(entry.name, line.state, seconds=line.seconds, message=line.message, **line.facts)

        state = api.batch(job, restart=restart, overwrite=overwrite, progress=pair, on_pair_end=ended, **how)
        show.event("done", **state.as_dict(), report=str(report_page(Path(job))), log=str(log_path(Path(job))))
    if progress_kind == "rich":
        tables.show_status(state)
        for file in (report_page(Path(job)), log_path(Path(job))):
            click.echo(str(file))
    if state.count("failed") or state.count("incomplete"):
        sys.exit(1)


@cli.command()
@click.argument("job", metavar="JOB.toml")
@click.option("--all", "everything", is_flag=True, help="Show every pair and every failure, however many there are.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(*, job: str, everything: bool, as_json: bool) -> None:
    """Show which pairs of JOB.toml are done, failed, changed since, or left, and how fast they are computed."""
    from mmsr_geo import api  # noqa: PLC0415  (torch and GDAL, only when asked for)
    from mmsr_geo.cli import tables  # noqa: PLC0415  (torch and GDAL, only when asked for)

    state = api.status(job)
    if as_json:
        click.echo(json.dumps(state.as_dict()))
    else:
        tables.show_status(state, everything=everything)


@cli.command()
@click.argument("job", metavar="JOB.toml")
@click.option("--previews", type=click.IntRange(0), help="Largest number of pairs with preview images. Default: 200.")
@arguments.progress
def report(*, job: str, previews: int | None, progress_kind: str) -> None:
    """Write the report of JOB.toml as it stands now, as batch does in the end."""
    with CommandDisplay(progress_kind, "report", job=job) as show:
        from mmsr_geo import api  # noqa: PLC0415  (torch and GDAL, only when asked for)

        path = api.report_batch(job, previews=previews, progress=show)
        show.event("done", report=str(path))
    if progress_kind == "rich":
        click.echo(str(path))


@cli.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--scale", type=arguments.Scale(), help="Scale to assume for a pair of rasters.")
def info(files: tuple[str, ...], scale: Any) -> None:  # noqa: ANN401  (click's own, or JSON values)
    """Describe rasters and saved models. For two rasters, also show how their grids fit together."""
    from mmsr_geo.cli.tables import show_files  # noqa: PLC0415  (torch and GDAL, only when asked for)

    show_files(files, scale)


@cli.command()
@click.option(
    "-o", "--output", "folder", default="mmsr-geo-demo", show_default=True, metavar="DIR", help="Folder to write to."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of all random numbers.")
@click.option("--threads", type=int, help="Number of torch threads. Default: the number of cores, at most 8.")
@click.option("--steps", type=int, help="Number of steps of the fit: fewer are faster and less accurate.")
def demo(folder: str, seed: int, threads: int | None, steps: int | None) -> None:
    """Upsample two real rasters that come with the package, and compare the results with the truth."""
    from mmsr_geo.cli.demo import run_demo  # noqa: PLC0415  (torch and GDAL, only when asked for)
    from mmsr_geo.network.fit_params import FitParams  # noqa: PLC0415  (torch and GDAL, only when asked for)

    run_demo(Path(folder), seed=seed, params=FitParams.of("balanced", steps=steps, threads=threads))


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def describe(*, as_json: bool) -> None:
    """List the options of each command with their types, defaults and choices, for programs that offer them."""
    from mmsr_geo.cli.describe import description, lines  # noqa: PLC0415  (only when asked for)

    described = description(cli)
    click.echo(json.dumps(described, indent=2, ensure_ascii=False) if as_json else "\n".join(lines(described)))


def main() -> None:
    """Run the command: exit status 0 done, 2 wrong use or input, 1 anything else."""
    signal.signal(signal.SIGTERM, _interrupt)
    # Read when torch is first imported. Threads that spin while they wait make a step 8 times slower (1.9 s against
    # 0.24 s) beside one other busy process on two cores; waiting passively costs up to a fifth where there is none.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    logging.getLogger("rasterio").addHandler(logging.NullHandler())  # what it logs, an error of ours says
    try:
        cli.main(prog_name="mmsr-geo", standalone_mode=False)
    except click.UsageError as error:
        show_usage_error(error, sys.argv[1:])
        where = error.ctx.command_path if error.ctx is not None else "mmsr-geo"
        _leave(f"Error: {error.format_message()} (see {where} --help)", error.exit_code)
    except click.ClickException as error:
        _leave(f"Error: {error.format_message()}", error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _leave("Stopped: no unfinished file is left.", 1)
    except BrokenPipeError:
        sys.exit(1)


def _leave(message: str, status: int) -> None:
    click.echo(message, err=True)
    sys.exit(status)


def _interrupt(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001  (what a handler is given)
    """Treat a termination like Ctrl-C, so that temporary files go."""
    raise KeyboardInterrupt


def _write_example(path: Path) -> None:
    from mmsr_geo.jobs.schema import EXAMPLE  # noqa: PLC0415  (pydantic, only when asked for)
    from mmsr_geo.raster.write.destination import check_output  # noqa: PLC0415  (torch and GDAL, only when asked for)

    check_output(path, overwrite=False)
    path.write_text(EXAMPLE, "utf-8")
    click.echo(f"{path} is an example of a job file. Edit it, then run: mmsr-geo batch {path} --dry-run")


def _named(guide: str | tuple[str, ...]) -> str:
    return guide if isinstance(guide, str) else ", ".join(guide)


def _check_save_model(save_model: str, output: str, options: dict[str, Any]) -> None:
    """Refuse a file for the model where none is fitted, or where another output goes (OptionError)."""
    from mmsr_geo.raster.write.destination import check_output  # noqa: PLC0415  (torch and GDAL, only when asked for)

    if options["model"] is not None:
        raise OptionError("--save-model needs a fit: leave out --model, or copy its file")
    if options["method"] != "mmsr" or options["fit"] == "tile":
        raise OptionError("--save-model needs one model for the scene: leave it out, or leave out --method and --fit")
    for name, other in (("-o", output), ("--qa", options["qa"])):
        if other is not None and Path(other).absolute() == Path(save_model).absolute():
            raise OptionError(f"{save_model} is the file of {name} as well: give --save-model another name")
    check_output(save_model, overwrite=options["overwrite"])
