"""Description of the commands as data: their parameters with types, defaults, choices and help, read from click."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from mmsr_geo._version import __version__
from mmsr_geo.cli.display import STAGES

FORMAT = 1
"""Version of the description; it increases when a reader of an earlier version would misread it."""

_TYPES = {
    "text": "text",
    "integer": "integer",
    "integer range": "integer",
    "float": "number",
    "boolean": "flag",
    "choice": "choice",
}
"""Names of types in click and here; any other type is a text of the form that `metavar` shows."""


def description(group: click.Group) -> dict[str, Any]:
    """Return the description of a group of commands, as JSON values.

    `commands` maps the name of each command to its `help` and its `parameters`, in the order of the help. A parameter
    has these keys:

    - `name`: its name in Python and in a job file; `flags`: its names on the command line, empty for a positional
      argument; `off_flags`: the flags that turn it off.
    - `type`: text, integer, number, flag or choice (with `choices`); `metavar`: the form of a value.
    - `required`; `multiple`: true if it takes several values.
    - `default`: null if there is none, or if it is chosen from the rasters.
    - `help`.

    `stages` maps the stages of progress events to their descriptions.
    """
    context = click.Context(group)
    named = {name: group.get_command(context, name) for name in group.list_commands(context)}
    commands = {name: _command(command) for name, command in named.items() if command is not None}
    return {"format": FORMAT, "version": __version__, "commands": commands, "stages": STAGES}


def lines(described: Mapping[str, Any]) -> list[str]:
    """Return a description as text: one line per command, followed by its parameters."""
    text: list[str] = []
    for name, command in described["commands"].items():
        text += ["", f"{name}: {command['help']}"] if text else [f"{name}: {command['help']}"]
        for parameter in command["parameters"]:
            flags = ", ".join([*parameter["flags"], *parameter["off_flags"]]) or parameter["name"]
            default = "" if parameter["default"] in (None, False) else f" [{parameter['default']}]"
            needed = " (required)" if parameter["required"] else ""
            text.append("  " + " ".join(filter(None, [flags, parameter["metavar"]])) + default + needed)
    return text


def _command(command: click.Command) -> dict[str, Any]:
    return {
        "help": " ".join((command.help or "").split()),
        "parameters": [_parameter(parameter) for parameter in command.params],
    }


def _parameter(parameter: click.Parameter) -> dict[str, Any]:
    known = parameter.to_info_dict()
    is_option = isinstance(parameter, click.Option)
    described = {
        "name": known["name"],
        "flags": known["opts"] if is_option else [],
        "off_flags": known["secondary_opts"] if is_option else [],
        "type": _TYPES.get(parameter.type.name, "text"),
        "metavar": parameter.metavar or _shape(parameter.type),
        "required": known["required"],
        "multiple": known["multiple"] or known["nargs"] != 1,
        "default": _default(parameter),
        "help": known.get("help") or "",
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
    """Return a default that is a plain value; click has a marker of its own for no default, and () for no values."""
    default = parameter.get_default(click.Context(click.Command(None)))
    return default if isinstance(default, str | int | float) else None
