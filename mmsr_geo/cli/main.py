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
from mmsr_geo.cli.display import CommandDisplay
from mmsr_geo.cli.tables import check_sentence, flags_sentence, uncertainty_sentence
from mmsr_geo.errors import MmsrError, OptionError

if TYPE_CHECKING:
    from mmsr_geo.callbacks import Progress
    from mmsr_geo.jobs.job import Entry
    from mmsr_geo.jobs.journal import JournalEntry
    from mmsr_geo.network.params import FitParams
    from mmsr_geo.options import Quality


class _Refusal(click.ClickException):
    """A user's mistake: one line, exit status 2."""

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
    """Make a coarse raster sharp by a finer image of the same place."""


@cli.command()
@arguments.pair
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT.tif|OUT.zarr",
    help="The Cloud Optimized GeoTIFF or the Zarr store to write; s3://... too.",
)
@click.option(
    "--qa",
    metavar="QA.tif",
    help="Write each pixel's flags there: 1 hole in the source, 2 guide missing, 4 guide outside what was fitted on, "
    "8 guide unhelpful here, 16 source outside --valid-range, 32 tile failed and skipped. A Zarr store has them too.",
)
@click.option(
    "--uncertainty",
    is_flag=True,
    help="Write half of a 90 % interval's width of each pixel too, in a further band; of mmsr with one model.",
)
@arguments.like
@click.option("--dtype", default="float32", show_default=True, help="What is stored; integers are rounded.")
@click.option("--scale-factor", type=float, help="Stored values times this ...")
@click.option("--add-offset", type=float, help="... plus this are the target's, in SOURCE's physical units.")
@click.option(
    "--co",
    "creation_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="A creation option of GDAL's COG driver, as in COMPRESS=ZSTD.",
)
@arguments.choosing
@click.option("--save-model", metavar="FILE", help="Save the model that was fitted.")
@arguments.fitting
@arguments.workers
@arguments.output
def upsample(  # noqa: PLR0913  (one an option)
    source: str,
    guide: str | tuple[str, ...],
    output: str,
    model: str | None,
    save_model: str | None,
    quality: Quality,
    steps: int | None,
    threads: int | None,
    *,
    progress_kind: str,
    overwrite: bool,
    **options: Any,  # noqa: ANN401  (click's own, or JSON values)
) -> None:
    """Write SOURCE at the detail of GUIDE."""
    with CommandDisplay(progress_kind, "upsample", source=source, guide=_named(guide), output=output) as show:
        from mmsr_geo import api  # noqa: PLC0415  (torch and GDAL, only when asked for)

        if save_model is not None:
            _check_save_model(save_model, model, options, {"-o": output, "--qa": options["qa"]}, overwrite=overwrite)
        outcome = api.upsample_to_file(
            source,
            guide,
            output,
            model=model,
            params=_params(quality, steps, threads),
            overwrite=overwrite,
            progress=show,
            **options,
        )
        if save_model is not None:
            outcome.model.save(save_model)
        check = outcome.checks[0]
        show.event(
            "done",
            output=str(outcome.path),
            guide_gain=check.gain,
            guide_check=check.result,
            scale=outcome.scale,
            tiles=outcome.tiles,
            seconds=round(outcome.seconds, 1),
            qa=None if outcome.qa is None else str(outcome.qa),
            flag_shares={str(flag.name).lower(): round(share, 6) for flag, share in outcome.flag_shares.items()},
            consistency_rmse=list(outcome.consistency_rmse) or None,
            uncertainty=list(outcome.uncertainty) or None,
        )
    if progress_kind == "rich":
        height, width = outcome.shape_yx
        tiles = "1 tile" if outcome.tiles == 1 else f"{outcome.tiles} tiles"
        click.echo(f"{output}: {width} x {height} px, scale {outcome.scale}, {tiles}, {outcome.seconds:.0f} s")
        if options["method"] == "mmsr":
            for number, check in enumerate(outcome.checks, start=1):
                band = f"Band {number}: " if len(outcome.checks) > 1 else ""
                click.echo(f"{band}{check_sentence(check)}")
        if said := flags_sentence(outcome):
            click.echo(said)
        if outcome.consistency_rmse:
            missed = ", ".join(f"{each:.4g}" for each in outcome.consistency_rmse)
            click.echo(f"On the grid of --like its averages over the source's pixels are off by {missed} (RMSE).")
        if said := uncertainty_sentence(outcome):
            click.echo(said)


@cli.command()
@arguments.pair
@arguments.band
@click.option("-o", "--output", required=True, metavar="OUT.mmsr", help="The file to save the model in.")
@arguments.fitting
@arguments.output
def fit(  # noqa: PLR0913  (the same names as the command's options)
    source: str,
    guide: str | tuple[str, ...],
    output: str,
    quality: Quality,
    steps: int | None,
    threads: int | None,
    *,
    progress_kind: str,
    overwrite: bool,
    **options: Any,  # noqa: ANN401  (click's own, or JSON values)
) -> None:
    """Fit a model to SOURCE and GUIDE and save it, to be used with upsample --model."""
    with CommandDisplay(progress_kind, "fit", source=source, guide=_named(guide), output=output) as show:
        from mmsr_geo import api  # noqa: PLC0415  (torch and GDAL, only when asked for)
        from mmsr_geo.raster.write.destination import check_output  # noqa: PLC0415  (torch and GDAL, only when asked for)

        check_output(output, overwrite=overwrite)
        model = api.fit(source, guide, params=_params(quality, steps, threads), progress=show, **options)
        model.save(output)
        check = model.check
        show.event("done", output=output, model=model.digest, guide_gain=check.gain, guide_check=check.result)
    if progress_kind == "rich":
        click.echo(f"{output}: model {model.digest}, scale {model.scale}, guide bands {', '.join(model.guide_bands)}")
        click.echo(check_sentence(check))


@cli.command()
@arguments.pair
@arguments.choosing
@arguments.like
@click.option("--qa", is_flag=True, help="Count in a file of flags.")
@click.option("--uncertainty", is_flag=True, help="Count in the uncertainty's band.")
@click.option("--dtype", default="float32", show_default=True, help="What would be stored.")
@click.option("--timed/--not-timed", default=True, show_default=True, help="Time the method here, for some seconds.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@arguments.fitting
def plan(  # noqa: PLR0913  (one an option)
    source: str,
    guide: str | tuple[str, ...],
    quality: Quality,
    steps: int | None,
    threads: int | None,
    *,
    as_json: bool,
    **options: Any,  # noqa: ANN401  (click's own, or JSON values)
) -> None:
    """Say what upsample would do and take, before anything runs: tiles, memory, disk, time."""
    with CommandDisplay("none", "plan", source=source, guide=_named(guide)):
        from mmsr_geo import api  # noqa: PLC0415  (torch and GDAL, only when asked for)
        from mmsr_geo.cli.tables import show_plan  # noqa: PLC0415  (torch and GDAL, only when asked for)

        made = api.plan(source, guide, params=_params(quality, steps, threads), **options)
    if as_json:
        click.echo(json.dumps(made.as_dict()))
    else:
        show_plan(made)


@cli.command()
@arguments.pair
@arguments.band
@click.option("--truth", metavar="FILE", help="Compare with this; without it, one level down with SOURCE itself.")
@click.option(
    "--methods",
    help="Which, with commas: nearest, bilinear, bicubic, guided-filter, p2p (each also +consistency), mmsr, "
    "mmsr-adapt, mmsr-tile, mmsr-always (whatever the guide is worth), published. All quick ones and mmsr if left out.",
)
@click.option("-o", "--output", metavar="DIR", help="Write report.json and report.png there.")
@click.option(
    "--hillshade/--no-hillshade", default=None, help="Show targets lit; where it is an elevation, if left out."
)
@click.option(
    "--if-unhelpful",
    type=click.Choice(["bicubic", "warn", "error"]),
    default="bicubic",
    show_default=True,
    help="What mmsr does where the guide turns out not to help, as in upsample.",
)
@click.option("--tile-size", type=int, help="A tile's side in target pixels; chosen from the free memory if left out.")
@arguments.fitting
@arguments.output
def evaluate(  # noqa: PLR0913  (one an option)
    source: str,
    guide: str | tuple[str, ...],
    methods: str | None,
    output: str | None,
    quality: Quality,
    steps: int | None,
    threads: int | None,
    *,
    hillshade: bool | None,
    progress_kind: str,
    overwrite: bool,
    **options: Any,  # noqa: ANN401  (click's own, or JSON values)
) -> None:
    """Compare methods on SOURCE and GUIDE, with a truth or one level down."""
    with CommandDisplay(progress_kind, "evaluate", source=source, guide=_named(guide)) as show:
        from mmsr_geo import api  # noqa: PLC0415  (torch and GDAL, only when asked for)
        from mmsr_geo.evaluation import report  # noqa: PLC0415  (torch and GDAL, only when asked for)
        from mmsr_geo.methods.select import EVALUATED  # noqa: PLC0415  (torch and GDAL, only when asked for)

        if output is not None:
            report.report_files(Path(output), overwrite=overwrite)
        names = EVALUATED if methods is None else [name.strip() for name in methods.split(",") if name.strip()]
        evaluation = api.evaluate(
            source, guide, methods=names, params=_params(quality, steps, threads), progress=show, **options
        )
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
@click.option("--init", is_flag=True, help="Write an example there, with comments, and do nothing else.")
@click.option("--dry-run", is_flag=True, help="Check the job and say what it will take, and do nothing else.")
@click.option("--restart", is_flag=True, help="Do all of it again.")
@click.option("--scheduler", metavar="ADDRESS", help="A dask scheduler that runs already, as in tcp://10.0.0.1:8786.")
@click.option(
    "--on-error",
    type=click.Choice(["skip", "stop"]),
    help="What a pair or a tile that fails ends: itself alone, or the job; the job file says, if left out.",
)
@arguments.workers
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
    """Do the pairs of JOB.toml, tile by tile; called again, it goes on from what is done."""
    if init:
        _write_example(Path(job))
        return
    with CommandDisplay("none" if dry_run else progress_kind, "batch", job=job) as show:
        from mmsr_geo import api as batching  # noqa: PLC0415  (torch and GDAL, only when asked for)
        from mmsr_geo.cli import tables as info  # noqa: PLC0415  (torch and GDAL, only when asked for)
        from mmsr_geo.jobs.log import log_path, report_page  # noqa: PLC0415  (torch and GDAL, only when asked for)

        if dry_run:
            info.show_plans(batching.plan_batch(job))
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

        told = batching.batch(job, restart=restart, overwrite=overwrite, progress=pair, ended=ended, **how)
        show.event("done", **told.as_dict(), report=str(report_page(Path(job))), log=str(log_path(Path(job))))
    if progress_kind == "rich":
        info.show_status(told)
        for what in (report_page(Path(job)), log_path(Path(job))):
            click.echo(str(what))
    if told.count("failed") or told.count("incomplete"):
        sys.exit(1)


@cli.command()
@click.argument("job", metavar="JOB.toml")
@click.option("--all", "everything", is_flag=True, help="Each pair of many, and why each of many failed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def status(*, job: str, everything: bool, as_json: bool) -> None:
    """Say which pairs of JOB.toml are done, failed, changed since, and left, and at what rate."""
    from mmsr_geo import api as batching  # noqa: PLC0415  (torch and GDAL, only when asked for)
    from mmsr_geo.cli import tables as info  # noqa: PLC0415  (torch and GDAL, only when asked for)

    told = batching.status(job)
    if as_json:
        click.echo(json.dumps(told.as_dict()))
    else:
        info.show_status(told, everything=everything)


@cli.command()
@click.argument("job", metavar="JOB.toml")
@click.option("--looks", type=click.IntRange(0), help="Quick looks of so many pairs at most; 200 if left out.")
@arguments.progress
def report(*, job: str, looks: int | None, progress_kind: str) -> None:
    """Write the report of JOB.toml as it stands now, as batch does in the end."""
    with CommandDisplay(progress_kind, "report", job=job) as show:
        from mmsr_geo import api as batching  # noqa: PLC0415  (torch and GDAL, only when asked for)

        path = batching.report_batch(job, looks=looks, progress=show)
        show.event("done", report=str(path))
    if progress_kind == "rich":
        click.echo(str(path))


@cli.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--scale", type=arguments.Scale(), help="For a pair: the scale to show.")
def info(files: tuple[str, ...], scale: Any) -> None:  # noqa: ANN401  (click's own, or JSON values)
    """Say what is in rasters and saved models; for two rasters, how they would go together."""
    from mmsr_geo.cli.tables import show_files  # noqa: PLC0415  (torch and GDAL, only when asked for)

    show_files(files, scale)


@cli.command()
@click.option(
    "-o", "--output", "folder", default="mmsr-geo-demo", show_default=True, metavar="DIR", help="Where to write."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of every random choice.")
@click.option("--threads", type=int, help="Torch threads; the cores there are, 8 at most, if left out.")
@click.option("--steps", type=int, help="Steps of the fit: fewer are quicker and worse.")
def demo(folder: str, seed: int, threads: int | None, steps: int | None) -> None:
    """Run the main job on real data that ships with the package, and compare it with the truth."""
    from mmsr_geo.cli.demo import run_demo  # noqa: PLC0415  (torch and GDAL, only when asked for)

    run_demo(Path(folder), seed=seed, params=_params("balanced", steps, threads))


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def describe(*, as_json: bool) -> None:
    """Say what each command takes: names, types, defaults and choices, for programs that offer them."""
    from mmsr_geo.cli.describe import description, lines  # noqa: PLC0415  (only when asked for)

    told = description(cli)
    click.echo(json.dumps(told, indent=2, ensure_ascii=False) if as_json else "\n".join(lines(told)))


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
    click.echo(f"{path}: an example of a job; change it, then: mmsr-geo batch {path} --dry-run")


def _named(guide: str | tuple[str, ...]) -> str:
    return guide if isinstance(guide, str) else ", ".join(guide)


def _params(quality: Quality, steps: int | None, threads: int | None) -> FitParams:
    from mmsr_geo.network.params import FitParams  # noqa: PLC0415  (torch and GDAL, only when asked for)

    return FitParams.of(quality, steps=steps, threads=threads)


def _check_save_model(
    save_model: str, model: str | None, options: dict[str, Any], others: dict[str, str | None], *, overwrite: bool
) -> None:
    from mmsr_geo.raster.write.destination import check_output  # noqa: PLC0415  (torch and GDAL, only when asked for)

    if model is not None:
        raise OptionError("--save-model goes with a fit: leave out --model, or copy its file")
    if options["method"] != "mmsr" or options["fit"] == "tile":
        raise OptionError("--save-model saves a scene's model: leave it out, or --method and --fit")
    for name, other in others.items():
        if other is not None and Path(other).absolute() == Path(save_model).absolute():
            raise OptionError(
                f"{save_model} cannot hold both the model and what {name} writes: give --save-model another name"
            )
    check_output(save_model, overwrite=overwrite)
