"""How an option is written in a message: one template, filled in for the door where it is shown; knows no option.

A message names an option as `option("tile_size")` or, with a value, `option("tile_size", 512)`. What stands in the
message is a marker, ⟨tile_size=512⟩. `spelled` replaces it: `--tile-size 512` on the command line, `tile_size=512` in
Python, `tile_size = 512` in a job file. The QGIS plugin replaces it with the label of its dialog.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Literal

Door = Literal["python", "command", "job"]

_MARKER = re.compile(r"⟨(?P<name>[a-z][a-z0-9_]*)(?:=(?P<value>[^⟩]*))?⟩")
_FLAGS = {"creation_options": "--co", "from_model": "--from"}
"""Options whose name on the command line is another one."""


def option(name: str, value: object = None) -> str:
    """Return the marker of an option for a message.

    Args:
        name: The option's name in Python, such as `tile_size`.
        value: A value that the message proposes or repeats, as JSON has it; None: the message names the option only.
    """
    return f"⟨{name}⟩" if value is None else f"⟨{name}={json.dumps(value, ensure_ascii=False)}⟩"


def spelled(template: str, door: Door) -> str:
    """Return a message with each marker replaced by what the option is called at a door.

    Args:
        template: A message, with markers or without.
        door: `python`, `command` (the command line) or `job` (a job file).
    """
    spell = _SPELLINGS[door]
    return _MARKER.sub(lambda found: spell(found["name"], _value(found["value"])), template)


def flag(name: str) -> str:
    """Return an option's name on the command line: `--tile-size`."""
    return _FLAGS.get(name) or f"--{name.replace('_', '-')}"


def _value(text: str | None) -> Any:  # noqa: ANN401  (JSON values)
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text


def _in_python(name: str, value: Any) -> str:  # noqa: ANN401  (JSON values)
    shown = "" if value is None else repr(tuple(value) if isinstance(value, list) else value)
    return f"{name}={shown}"


def _on_command_line(name: str, value: Any) -> str:  # noqa: ANN401  (JSON values)
    if value is None or value is True:
        return flag(name)
    shown = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{flag(name)} {shown}"


def _in_job_file(name: str, value: Any) -> str:  # noqa: ANN401  (JSON values)
    return name if value is None else f"{name} = {json.dumps(value, ensure_ascii=False)}"


_SPELLINGS: dict[Door, Callable[[str, Any], str]] = {
    "python": _in_python,
    "command": _on_command_line,
    "job": _in_job_file,
}
