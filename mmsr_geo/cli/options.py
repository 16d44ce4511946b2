"""The command's arguments and options, in groups that its commands share, and what values they take; click alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


class Scale(click.ParamType[Any]):
    """4, or 2x1 (down x across)."""

    name = "N|NxM"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401  (click's own, or JSON values)
        """Return an int or a pair."""
        parts = str(value).lower().replace(",", "x").split("x")
        if len(parts) > 2 or not all(part.strip().isdecimal() for part in parts):
            self.fail(f"{value!r} is no scale: give a whole number such as 4, or 2x1 (down x across)", param, ctx)
        numbers = tuple(int(part) for part in parts)
        return numbers[0] if len(numbers) == 1 else numbers


class _Bounds(click.ParamType[Any]):
    """W,S,E,N in the source's CRS."""

    name = "W,S,E,N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401  (click's own, or JSON values)
        """Return four floats."""
        try:
            west, south, east, north = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(
                f"{value!r} is not W,S,E,N: give four numbers in the source's CRS, as in 3.1,50.2,3.4,50.5", param, ctx
            )
        return west, south, east, north


class _Range(click.ParamType[Any]):
    """MIN,MAX; inf and -inf are numbers too."""

    name = "MIN,MAX"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401  (click's own, or JSON values)
        """Return two floats."""
        try:
            low, high = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not MIN,MAX: give two numbers, as in 0,60", param, ctx)
        return low, high


class _Like(click.ParamType[Any]):
    """A raster's path, or a resolution: R, or DOWNxACROSS."""

    name = "FILE|R|DxA"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401, ARG002  (click's own, or JSON values)
        """Return a path as it is, a resolution as one float or two."""
        try:
            numbers = tuple(float(part) for part in str(value).lower().split("x"))
        except ValueError:
            return value
        return numbers[0] if len(numbers) == 1 else numbers


def _together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


pair = _together(
    click.argument("source", metavar="SOURCE"),
    click.argument("guide", metavar="GUIDE...", nargs=-1, required=True, callback=lambda _, __, value: _one_or(value)),
    click.option(
        "--scale", type=Scale(), help="Target pixels per source pixel; chosen from the two grids if left out."
    ),
    click.option("--bounds", type=_Bounds(), help="Only this part, in the source's CRS."),
    click.option(
        "--min-coverage",
        type=float,
        default=0.95,
        show_default=True,
        help="Share of the source that the guide must cover.",
    ),
    click.option(
        "--source-resolution",
        metavar="M|SENSOR",
        help="What SOURCE resolves where it is delivered finer: metres, or landsat-tirs, landsat-etm-thermal, "
        "landsat-tm-thermal, ecostress, modis, viirs, viirs-i5, sentinel-3-slstr, aster-tir. Its pixels are "
        "averaged first.",
    ),
    click.option(
        "--grid",
        type=click.Choice(["source", "guide"]),
        default="source",
        show_default=True,
        help="Whose pixels the target lies on; guide warps SOURCE first.",
    ),
    click.option(
        "--guide-band",
        multiple=True,
        metavar="[FILE:]BAND",
        help="Bands to take, numbers or descriptions, as in a.tif:4,3; all if left out.",
    ),
    click.option(
        "--derive",
        multiple=True,
        metavar="WHAT[:ROLE=BAND,...]",
        help="Bands computed of the guide's, as in ndvi:nir=4,red=3 or slope:dem=1: ndvi, gndvi, ndre, ndwi, mndwi, "
        "ndmi, ndbi, nbr, ndsi, slope, aspect.",
    ),
    click.option("--source-mask", metavar="FILE[:BITS]", help="A mask of SOURCE: not zero, or a bit set, is a hole."),
    click.option(
        "--guide-mask",
        metavar="FILE[:BITS]",
        help="A mask of clouds in the guide; QA_PIXEL and SCL are known by name.",
    ),
    click.option(
        "--mask-share",
        type=float,
        default=0.5,
        show_default=True,
        help="A pixel is a hole where more than this share of it is masked.",
    ),
    click.option("--source-nodata", type=float, help="The stored value that is a hole in SOURCE."),
    click.option("--guide-nodata", type=float, help="The stored value that is a hole in every GUIDE."),
    click.option(
        "--valid-range",
        type=_Range(),
        help="The least and the largest value that a target can have, as SOURCE stores them: 0,60.",
    ),
)
band = click.option("--band", type=int, help="The band of SOURCE, from 1, if it has several.")
quality = click.option(
    "--quality",
    type=click.Choice(("fast", "balanced", "best")),
    default="balanced",
    show_default=True,
    help="How much work for how little error; docs/fidelity.md has the figures.",
)
fitting = _together(
    quality,
    click.option("--steps", type=int, help="Steps of the fit; as many as the method was measured with, if left out."),
    click.option("--threads", type=int, help="Torch threads on a CPU; the cores there are, 8 at most, if left out."),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    click.option("--seed", type=int, default=0, show_default=True, help="Of every random choice."),
)
choosing = _together(
    click.option(
        "--method",
        default="mmsr",
        show_default=True,
        help="mmsr, nearest, bilinear, bicubic, guided-filter or p2p; +consistency after another's name makes its "
        "result average to the source, as mmsr's does.",
    ),
    click.option(
        "--fit",
        "fit",
        type=click.Choice(["scene", "adapt", "tile", "published"]),
        default="scene",
        show_default=True,
        help="One model for all tiles; that model adapted to each tile; a model for each tile; the original's "
        "whole-raster "
        "fit.",
    ),
    click.option(
        "--if-unhelpful",
        type=click.Choice(["bicubic", "warn", "error"]),
        default="bicubic",
        show_default=True,
        help="What to do where the guide turns out not to help: give the interpolation, warn only, or stop.",
    ),
    click.option("--model", metavar="FILE", help="Use a saved model instead of a scene fit."),
    click.option("--keep-statistics", is_flag=True, help="Use the saved model's statistics, not this pair's."),
    click.option(
        "--tile-size", type=int, help="A tile's side in target pixels; chosen from the free memory if left out."
    ),
)
like = click.option(
    "--like",
    type=_Like(),
    help="Bring the target onto the grid of this raster, or onto pixels of R units of SOURCE's CRS, in the end.",
)
workers = _together(
    click.option("--workers", type=click.IntRange(1), help="Share the tiles among so many processes of this machine."),
    click.option("--memory-limit", metavar="SIZE", help="Of each process, as in 4GB; tiles are made to fit."),
)
progress = click.option(
    "--progress",
    "progress_kind",
    type=click.Choice(["rich", "json", "none"]),
    default="rich",
    show_default=True,
    help="A live display, JSON lines on stdout, or nothing.",
)
output = _together(
    click.option("--overwrite", is_flag=True, help="Replace an output that exists."),
    progress,
)


def _one_or(values: tuple[str, ...]) -> str | tuple[str, ...]:
    return values[0] if len(values) == 1 else values
