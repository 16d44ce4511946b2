"""What the command offers, as data: its commands with their parameters, read off click; knows no command's work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from mmsr_geo._version import __version__
from mmsr_geo.cli.display import STAGES

FORMAT = 1
"""Counts up where a reader of an earlier one would go wrong."""

_TYPES = {
    "text": "text",
    "integer": "integer",
    "integer range": "integer",
    "float": "number",
    "boolean": "flag",
    "choice": "choice",
}
"""click's names → ours; any other type is a text that the command parses, of the form that `metavar` shows."""


def description(group: click.Group) -> dict[str, Any]:
    """Return what `group` offers, as JSON values.

    `commands` maps each command's name to its `help` and its `parameters`, in the order of its help. A parameter has

    - `name`: as Python and a job file call it; `flags`: as the command line does, none where it goes by its place;
      `off_flags`: what says no to it;
    - `type`: text, integer, number, flag or choice (then with `choices`), and `metavar`, what its value looks like;
    - `required`; `multiple`: whether it may be given more than once, or take several values;
    - `default`: null where it is left out, or chosen from the rasters; `help`.

    `stages` maps what progress events name to what a person is told.
    """
    context = click.Context(group)
    named = {name: group.get_command(context, name) for name in group.list_commands(context)}
    commands = {name: _command(command) for name, command in named.items() if command is not None}
    return {"format": FORMAT, "version": __version__, "commands": commands, "stages": STAGES}


def lines(described: Mapping[str, Any]) -> list[str]:
    """Return a description as a person reads it: a command a line, its parameters below."""
    told: list[str] = []
    for name, command in described["commands"].items():
        told += ["", f"{name}: {command['help']}"] if told else [f"{name}: {command['help']}"]
        for parameter in command["parameters"]:
            flags = ", ".join([*parameter["flags"], *parameter["off_flags"]]) or parameter["name"]
            default = "" if parameter["default"] in (None, False) else f" [{parameter['default']}]"
            needed = " (required)" if parameter["required"] else ""
            told.append("  " + " ".join(filter(None, [flags, parameter["metavar"]])) + default + needed)
    return told


def _command(command: click.Command) -> dict[str, Any]:
    return {
        "help": " ".join((command.help or "").split()),
        "parameters": [_parameter(parameter) for parameter in command.params],
    }


def _parameter(parameter: click.Parameter) -> dict[str, Any]:
    told = parameter.to_info_dict()
    is_option = isinstance(parameter, click.Option)
    described = {
        "name": told["name"],
        "flags": told["opts"] if is_option else [],
        "off_flags": told["secondary_opts"] if is_option else [],
        "type": _TYPES.get(parameter.type.name, "text"),
        "metavar": parameter.metavar or _shape(parameter.type),
        "required": told["required"],
        "multiple": told["multiple"] or told["nargs"] != 1,
        "default": _default(parameter),
        "help": told.get("help") or "",
    }
    if isinstance(parameter.type, click.Choice):
        described["choices"] = list(parameter.type.choices)
    return described


def _shape(kind: click.ParamType[Any]) -> str:
    if isinstance(kind, click.Choice):
        return "|".join(kind.choices)
    if isinstance(kind, click.types.BoolParamType):
        return ""
    return kind.name.removesuffix(" range").upper() if kind.name in _TYPES else kind.name


def _default(parameter: click.Parameter) -> str | int | float | bool | None:
    """Return the default where it is a plain value: click has a marker of its own for none, and () for no values."""
    default = parameter.get_default(click.Context(click.Command(None)))
    return default if isinstance(default, str | int | float) else None
