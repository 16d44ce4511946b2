"""Tables and sentences that the command prints: files, plans, states of jobs, results; computes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mmsr_geo.engine.coverage import covered_share
from mmsr_geo.errors import GridError, MmsrError
from mmsr_geo.geometry import Scale, Window
from mmsr_geo.jobs.job import Entry
from mmsr_geo.jobs.status import JobStatus, PairState, PairStatus
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.pipeline.plan import GPU_FLOPS, Plan
from mmsr_geo.raster.grids import coverage, nearest_scale, refined, resolution_m, steps_across
from mmsr_geo.raster.inspect.sensors import coarsening
from mmsr_geo.raster.inspect.summary import RasterSummary, summary_of
from mmsr_geo.raster.inspect.undeclared_nodata import nodata_message
from mmsr_geo.raster.views.coarsen import Coarsened
from mmsr_geo.spelling import spelled
from mmsr_geo.text import duration_text, printable, size_text

if TYPE_CHECKING:
    from mmsr_geo.jobs.output.outcome import OutputResult
    from mmsr_geo.network.guide_check import GuideCheck


SAFETENSORS_HEAD = b"{"
"""First byte of the header of a safetensors file, after eight bytes with its length."""


def show_files(files: Sequence[str], scale: int | tuple[int, int] | None) -> None:
    """Print what files contain; for two rasters also how their grids fit together, and the scale."""
    console = Console()
    rasters = []
    for file in files:
        if _looks_like_model(file):
            console.print(_model_table(file, FittedModel.load(file)))
        else:
            rasters.append(summary_of(file))
    if rasters:
        console.print(_raster_table(rasters))
    if len(rasters) == 2:
        console.print(_pair_text(rasters[0], rasters[1], scale))


def show_plan(plan: Plan) -> None:
    """Print the estimates for one output."""
    table = Table(show_header=False)
    for row in plan_rows(plan):
        table.add_row(*row)
    Console().print(table)


def plan_rows(plan: Plan) -> list[tuple[str, str]]:
    """Return the rows of a plan's table: (name, value)."""
    grid, scale, speed = plan.output_grid, plan.pair.scale, plan.speed
    source, guide = plan.pair.source, plan.pair.guide
    down, across = resolution_m(grid)
    tile_y, tile_x = (sizes[0] * factor for sizes, factor in zip(plan.tiling.chunks, (scale.y, scale.x), strict=True))
    bands = f", {plan.bands} bands" if plan.bands > 1 else ""
    uncertainty = ", with uncertainty" if plan.uncertainty else ""
    rows = [
        ("source", f"{plan.pair.part.width} x {plan.pair.part.height} px of {source.name}{bands}"),
        ("guide", f"{guide.name}, {_counted(len(guide.bands), 'band')}"),
        *(("guide classes", classes.sentence) for classes in plan.pair.guides.classes),
        ("target", f"{grid.shape.x} x {grid.shape.y} px of {across:.4g} x {down:.4g} m, scale {scale}{uncertainty}"),
        ("tiles", f"{len(plan.tiling) * plan.bands} of {tile_x} x {tile_y} px"),
        ("halo", f"{plan.halo.x} x {plan.halo.y} px around each tile, {plan.tiling.halo_share:.0%} more to compute"),
        ("memory per worker", size_text(plan.memory_bytes)),
        ("disk", f"{size_text(plan.disk_bytes)} at most, during the run"),
    ]
    if (plan.fit_pixel_steps[1] or plan.compared_px) and not plan.qualities:
        rows.append(("fit", _fit_text(plan, *plan.fit_pixel_steps)))
    if speed is not None and plan.predict_seconds is not None:
        machine = f"{speed.device}, {_counted(speed.threads, 'thread')}"
        rows.append((f"time on this machine ({machine})", f"predict {duration_text(plan.predict_seconds)}"))
    for quality, steps in plan.qualities.items():
        kind = plan.method.presets[quality].predicted_by
        if speed is None or kind == plan.method.predicted_by:
            text = _fit_text(plan, *steps)
        else:
            text = f"not timed here: see plan --quality {quality}"
        rows.append((f"fit with --quality {quality}", text))
    if plan.gpu_hours:
        basis = "measured here" if plan.is_timed_on_gpu else f"assuming {GPU_FLOPS / 1e12:.0f} TFLOP/s"
        rows.append(("GPU-hours", f"{plan.gpu_hours:.2g} at most ({basis})"))
    return rows


def _fit_text(plan: Plan, least: int, most: int) -> str:
    """Return the pixels times steps of fits and, if it was timed, their time on this machine."""
    work = []
    if plan.compared_px:
        work.append(f"members on {plan.compared_px / 1e6:.2g} million pixels")
    if most:
        work.append(f"{_range_text(f'{least / 1e6:.1f}', f'{most / 1e6:.1f}')} million pixels x steps")
    if plan.speed is None:
        return ", ".join(work)
    first, last = map(duration_text, plan.seconds_of(least, most, plan.speed))
    return f"{_range_text(first, last)}: {', '.join(work)}"


def _range_text(first: str, last: str) -> str:
    return first if first == last else f"{first} to {last}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def show_plans(plans: Sequence[tuple[Entry, Plan | MmsrError]]) -> None:
    """Print the estimates for each pair of a job and for all of them together, and why others cannot be done."""
    table = Table(show_header=True, header_style="bold")
    for name in ("pair", "target", "scale", "tiles", "memory", "disk", "longest time here"):
        table.add_column(name)
    total = 0.0
    failed = [(entry, plan) for entry, plan in plans if isinstance(plan, MmsrError)]
    planned = [(entry, plan) for entry, plan in plans if not isinstance(plan, MmsrError)]
    for entry, plan in planned:
        grid = plan.output_grid
        table.add_row(
            entry.name,
            f"{grid.shape.x} x {grid.shape.y} px",
            str(plan.pair.scale),
            str(len(plan.tiling) * plan.bands),
            size_text(plan.memory_bytes),
            size_text(plan.disk_bytes),
            duration_text(plan.seconds_at_most),
        )
        total += plan.seconds_at_most
    console = Console()
    console.print(table)
    pairs = "1 pair takes" if len(planned) == 1 else f"{len(planned)} pairs take"
    console.print(f"{pairs} at most {duration_text(total)} on this machine, one after the other.")
    for entry, error in failed:
        console.print(f"{entry.name} fails: {error.at('job')}", markup=False, highlight=False, soft_wrap=True)


def show_status(status: JobStatus, *, everything: bool = False) -> None:
    """Print the state of a job: pairs that are not done first, why pairs failed, the rate and the time left.

    Args:
        status: State of the job.
        everything: Whether to show all pairs and all failures, however many there are.
    """
    console = Console()
    order = sorted(status.pairs, key=lambda pair: _ORDER.index(pair.state))
    urgent = [pair for pair in order if pair.state not in {"waiting", "done"}]
    shown = order if everything or len(order) <= _MOST_ROWS else _first(order, len(urgent))
    table = Table(show_header=True, header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("pair", overflow="fold")
    for name in ("state", "tiles", "tiles/min", "time", "guide"):
        table.add_column(name, no_wrap=True, justify="right" if name in {"tiles", "tiles/min", "time"} else "left")
    for pair in shown:
        table.add_row(*_pair_row(pair))
    console.print(table)
    if len(shown) < len(order):
        rest = Counter(pair.state for pair in order[len(shown) :])
        counts = ", ".join(f"{count} {state}" for state, count in rest.items())
        console.print(f"and {rest.total()} more pairs: {counts}. --all shows them.\n", highlight=False)
    explained = [pair for pair in urgent if pair.line is not None and pair.line.message]
    for pair in explained if everything else explained[:_MOST_MESSAGES]:
        message = Text(f"{printable(pair.entry.name)}: ", style="bold").append(_message(pair), style="not bold")
        console.print(Padding(message, (0, 0, 0, 2)))
    if not everything and len(explained) > _MOST_MESSAGES:
        more = len(explained) - _MOST_MESSAGES
        console.print(f"  and {more} more pairs that failed. --all shows why.", highlight=False)
    left = status.seconds_left
    about = f", about {duration_text(left)} left if they run one after the other" if left else ""
    console.print(f"{status.sentence}{about}.", highlight=False)


_ORDER: tuple[PairState, ...] = ("failed", "incomplete", "begun", "changed", "waiting", "done")
_STYLES = {"failed": "red", "incomplete": "yellow", "begun": "cyan", "changed": "yellow", "done": "green"}
_MOST_ROWS, _MOST_MESSAGES = 30, 5


def _first(order: Sequence[PairStatus], urgent: int) -> Sequence[PairStatus]:
    """Return the pairs that need attention, and as many others as fit on a screen."""
    return order[: min(max(urgent, _MOST_ROWS // 2), _MOST_ROWS)]


def _pair_row(pair: PairStatus) -> list[Text]:
    facts = {} if pair.line is None else pair.line.facts
    whole, missed = pair.tiles or facts.get("tiles"), facts.get("tiles_failed", 0)
    done = pair.tiles_done if pair.tiles is not None else (whole or 0) - missed
    rate = f"{pair.tiles_a_second * 60:.3g}" if pair.tiles_a_second and pair.state != "done" else ""
    seconds = None if pair.line is None or pair.state == "begun" else pair.line.seconds
    time = "" if seconds is None else duration_text(seconds)
    if pair.state == "begun" and pair.seconds_left is not None:
        time = f"{duration_text(pair.seconds_left)} left"
    return [
        Text(printable(pair.entry.name)),  # a text, not markup: it is the user's
        Text(pair.state, style=_STYLES.get(pair.state, "")),
        Text(f"{done}/{whole}" if whole else ""),
        Text(rate),
        Text(time),
        Text(_guide_text(facts)),
    ]


def _guide_text(facts: Mapping[str, Any]) -> str:
    """Return the result of the guide check of each band, with the gain."""
    checks = zip(facts.get("guide_check", ()), facts.get("guide_gain", ()), strict=False)
    return ", ".join(result if gain is None else f"{result} ({gain:+.2f})" for result, gain in checks)


def _message(pair: PairStatus) -> str:
    return printable("" if pair.line is None else pair.line.message)


def _looks_like_model(file: str) -> bool:
    if not Path(file).is_file():  # a pipe may never be opened
        return False
    try:
        with open(file, "rb") as opened:  # noqa: PTH123  (a URL is no Path)
            return opened.read(9)[8:] == SAFETENSORS_HEAD
    except OSError:
        return False


def _raster_table(rasters: Sequence[RasterSummary]) -> Table:
    table = Table(title=None, show_header=True, header_style="bold")
    table.add_column("")
    for summary in rasters:
        table.add_column(summary.raster.path, overflow="fold")
    for rows in zip(*(summary.rows() for summary in rasters), strict=True):
        table.add_row(rows[0][0], *(value for _, value in rows))
    return table


def _pair_text(source: RasterSummary, guide: RasterSummary, scale: int | tuple[int, int] | None) -> str:
    ours, theirs = source.raster.grid, guide.raster.grid
    down, across = steps_across(ours, theirs)
    lines = [f"One source pixel is {across:.4g} x {down:.4g} guide pixels."]
    share = coverage(ours, theirs)
    of_valid = None if share == 1 else covered_share(source.raster, Window.whole(ours.shape.yx), theirs)
    valid_too = "" if of_valid is None else f" and {of_valid:.1%} of its valid pixels"
    lines.append(f"The guide covers {share:.1%} of the source{valid_too}.")
    for summary, name in ((source, "source_nodata"), (guide, "guide_nodata")):
        lines += [f"{spelled(note, 'command')}." for note in summary.raster.notes]
        if summary.suspicions:
            lines.append(f"{spelled(nodata_message([summary.raster], summary.suspicions, name), 'command')}.")
    if source.suspected_m is not None:
        lines.append(_suspicion(source, guide, source.suspected_m))
    try:
        chosen = nearest_scale(ours, theirs) if scale is None else Scale.of(scale)
    except GridError as error:
        return "\n".join([*lines, f"No scale fits: {error.at('command')}"])
    target = refined(ours, chosen)
    by_y, by_x = resolution_m(target)
    how = "is the default" if scale is None else "was requested"
    lines.append(
        f"Scale {chosen} {how}. It gives a target of {target.shape.x} x {target.shape.y} px of {by_x:.4g} x {by_y:.4g} "
        f"m, "
        f"on the grid of {source.raster.path}."
    )
    return "\n".join(lines)


def _suspicion(source: RasterSummary, guide: RasterSummary, metres: float) -> str:
    """Return what an oversampled source means for the pair, and what to do."""
    down, across = coarsening(source.raster.grid, metres)
    try:
        scale = nearest_scale(Coarsened(source.raster, down, across).grid, guide.raster.grid)
        then = f"The scale is then {scale}"
    except GridError as error:
        then = f"No scale fits then: {error.at('command')}"
    return (
        f"The source seems to be resampled from pixels of about {metres:g} m. A fit would treat the resampling as "
        f"detail. Pass --source-resolution {metres:g} to average {across} x {down} of its pixels first. {then}."
    )


def _model_table(file: str, model: FittedModel) -> Table:
    fit = model.provenance.get("fit", {})
    statistics = model.statistics
    table = Table(show_header=True, header_style="bold")
    table.add_column("model")
    table.add_column(file, overflow="fold")
    for row in [
        ("hash", model.digest),
        ("written by", f"mmsr_geo {model.version}"),
        ("scale", str(model.scale)),
        ("guide bands", ", ".join(model.guide_bands)),
        ("channels", str(model.params.channels) if model.weights else "no network"),
        ("source", f"{statistics.source_centre:.6g} ± {statistics.source_spread:.4g}"),
        ("fitted to", f"{model.provenance.get('source', '?')} with {model.provenance.get('guide', '?')}"),
        (
            "steps",
            f"{fit.get('steps', '?')}, {'after' if fit.get('first_stage') else 'without'} steps at reduced resolution"
            if model.weights
            else "none",
        ),
        ("prediction", model.sentence),
        ("guide", model.guide_alignment),
        ("source pixels", model.measurement),
        ("did the guide help?", model.check.sentence),
        ("seed, threads, device", f"{fit.get('seed', '?')}, {fit.get('threads', '?')}, {fit.get('device', '?')}"),
    ]:
        table.add_row(*row)
    return table


def result_lines(output: str, result: OutputResult, *, guided: bool) -> Iterator[str]:
    """Yield what a person reads when an output is written.

    Args:
        output: The output's name, as it was given.
        result: What was written.
        guided: Whether the guide check means something: the method is mmsr.
    """
    height, width = result.shape_yx
    tiles = "1 tile" if result.tiles == 1 else f"{result.tiles} tiles"
    yield f"{output}: {width} x {height} px, scale {result.scale}, {tiles}, {result.seconds:.0f} s"
    if guided:
        for number, check in enumerate(result.checks, start=1):
            band = f"Band {number}: " if len(result.checks) > 1 else ""
            yield f"{band}{check_sentence(check)}"
    for number, model in enumerate(result.models, start=1):
        if not model.sensor.exact:
            band = f" of band {number}" if len(result.models) > 1 else ""
            yield f"Source pixels{band}: {model.measurement}."
    for sentence in result.guide_classes:
        yield f"Guide classes: {sentence}."
    yield from _flags_lines(result)
    if result.consistency_rmse:
        errors = ", ".join(f"{rmse:.4g}" for rmse in result.consistency_rmse)
        yield f"On the grid of --like the block means differ from the source by {errors} (RMSE)."
    yield from _uncertainty_lines(result)


def _flags_lines(result: OutputResult) -> Iterator[str]:
    """Yield how much of the target has QA flags, for each flag with 0.05 % or more."""
    from mmsr_geo.engine.flags import MEANINGS  # noqa: PLC0415  (torch and GDAL, only when asked for)

    parts = [f"{share:.1%} {MEANINGS[flag]}" for flag, share in result.flag_shares.items() if share >= 0.0005]
    if parts or result.qa is not None:
        where = "QA flags" if result.qa is None else f"QA flags in {result.qa}"
        yield f"{where}: {'; '.join(parts) or 'none set'}."


def _uncertainty_lines(result: OutputResult) -> Iterator[str]:
    """Yield where the uncertainty was written, if it is known for a band."""
    from mmsr_geo.raster.write.destination import ZarrGroupPath  # noqa: PLC0415  (torch and GDAL, only when asked for)

    if "calibrated" not in result.uncertainty:
        return
    bands = len(result.uncertainty)
    where = f"band {bands + 1}" if bands == 1 else f"bands {bands + 1} to {2 * bands}"
    if isinstance(result.path, ZarrGroupPath):
        where = "a variable of its own"
    yield f"The uncertainty (half the width of a 90 % interval) is in {where}."


def check_sentence(check: GuideCheck) -> str:
    """Return the result of a guide check as a sentence."""
    return f"{check.sentence[0].upper()}{check.sentence[1:]}."
