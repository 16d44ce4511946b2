"""The command's options, derived from options.py, and the arguments that its commands share; click alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar, get_args

import click

from mmsr_geo.options import InputOptions, Option, PairOptions, option_of
from mmsr_geo.spelling import flag

Command = TypeVar("Command", bound=Callable[..., Any])


class Scale(click.ParamType[Any]):
    """4, or 2x1 (down x across)."""

    name = "N|NxM"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401  (click's own, or JSON values)
        """Return an int or a pair."""
        parts = str(value).lower().replace(",", "x").split("x")
        if len(parts) > 2 or not all(part.strip().isdecimal() for part in parts):
            self.fail(f"{value!r} is not a scale: give a whole number such as 4, or 2x1 (down x across)", param, ctx)
        numbers = tuple(int(part) for part in parts)
        return numbers[0] if len(numbers) == 1 else numbers


class _Numbers(click.ParamType[Any]):
    """Numbers with commas between; inf and -inf are numbers too."""

    def __init__(self, shape: str, example: str) -> None:
        self.name, self.example = shape, example
        self.count = shape.count(",") + 1

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401  (click's own, or JSON values)
        """Return a tuple of floats."""
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != self.count:
            message = f"{value!r} is not {self.name}: give {self.count} numbers, as in {self.example}"
            self.fail(message, param, ctx)
        return numbers


class _Like(click.ParamType[Any]):
    """A raster's path, or a pixel size: R, or DOWNxACROSS."""

    name = "FILE|R|DxA"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401, ARG002  (click's own, or JSON values)
        """Return a path as it is, a pixel size as one float or two."""
        try:
            numbers = tuple(float(part) for part in str(value).lower().split("x"))
        except ValueError:
            return value
        return numbers[0] if len(numbers) == 1 else numbers


_PARSED: dict[str, click.ParamType[Any]] = {
    "scale": Scale(),
    "bounds": _Numbers("W,S,E,N", "3.1,50.2,3.4,50.5"),
    "valid_range": _Numbers("MIN,MAX", "0,60"),
    "like": _Like(),
}
"""Options whose text the command parses."""


def options(*groups: type) -> Callable[[Command], Command]:
    """Give a command the options of groups, in their order."""
    return _together(
        *(_option(field) for group in groups for field in fields(group) if not option_of(field).python_only)
    )


def _option(declared: Field[Any]) -> Callable[[Command], Command]:
    known, kinds = option_of(declared), _kinds(declared)
    shared: dict[str, Any] = {"help": known.help}
    if kinds == {bool}:
        return click.option(flag(declared.name), declared.name, is_flag=True, **shared)
    if declared.default not in (None, (), MISSING):
        shared |= {"default": declared.default, "show_default": True}
    return click.option(
        flag(declared.name),
        declared.name,
        type=_type(declared.name, known, kinds),
        metavar=known.metavar,
        multiple=known.multiple,
        **shared,
    )


def _kinds(declared: Field[Any]) -> set[object]:
    """Return the plain types that a value can have, as the command line and a job file write it."""
    kind = option_of(declared).job_type or declared.type
    return set(get_args(kind) or (kind,)) - {type(None)}


def _type(name: str, known: Option, kinds: set[object]) -> click.ParamType[Any] | type:
    if name in _PARSED:
        return _PARSED[name]
    if known.choices:
        return click.Choice(known.choices)
    return next((kind for kind in (int, float) if kinds == {kind}), str)


def _together(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def _one_or_all(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> str | tuple[str, ...]:
    return values[0] if len(values) == 1 else values


pair = _together(
    click.argument("source", metavar="SOURCE"),
    click.argument("guide", metavar="GUIDE...", nargs=-1, required=True, callback=_one_or_all),
    options(PairOptions, InputOptions),
)
"""A source, its guides and how they are read."""
progress = click.option(
    "--progress",
    "progress_kind",
    type=click.Choice(["rich", "json", "none"]),
    default="rich",
    show_default=True,
    help="Progress display: a live display, one JSON object per line on stdout, or none.",
)
output = _together(click.option("--overwrite", is_flag=True, help="Replace an output that exists."), progress)
"""How a command that writes files does so."""
