"""The command's options as `commands.json` describes them; knows nothing of QGIS."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Option:
    """An option of the command, as `mmsr-geo describe --json` describes it."""

    name: str
    flags: Sequence[str]
    off_flags: Sequence[str]
    type: str
    metavar: str
    required: bool
    multiple: bool
    default: Any
    help: str
    choices: Sequence[str] = ()

    @property
    def key(self) -> str:
        """The parameter's name in QGIS."""
        return self.name.upper()

    @property
    def flag(self) -> str:
        """The long form of the flag."""
        return max(self.flags, key=len)


@dataclass(frozen=True)
class Command:
    """A command with its options, as `mmsr-geo describe --json` describes it."""

    help: str
    options: Mapping[str, Option]


@lru_cache(maxsize=1)
def description() -> Mapping[str, Any]:
    """Return the output of `mmsr-geo describe --json` for the commands that the plugin runs."""
    text = (Path(__file__).parent / "commands.json").read_text("utf-8")
    described: Mapping[str, Any] = json.loads(text)
    return described


def command(name: str) -> Command:
    """Return the description of a command."""
    described = description()["commands"][name]
    return Command(described["help"], {parameter["name"]: Option(**parameter) for parameter in described["parameters"]})
