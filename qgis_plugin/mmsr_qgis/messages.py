"""The command's errors and warnings, with the names that its options have in the dialog; needs no QGIS."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Event = Mapping[str, Any]
"""What the command reports: a JSON line, or `{"event": "line", "text": ...}` for other output."""
Translate = Callable[[str], str]

MARKER = re.compile(r"⟨(?P<name>\w+)(?:=(?P<value>[^⟩]*))?⟩")
"""An option in a message's template: ⟨tile_size⟩, or with a value in JSON ⟨tile_size=512⟩."""
_ERROR = "Error: "


def advice(tr: Translate = str) -> Mapping[str, str]:
    """Return advice of the command that does not apply in QGIS, and what to do there instead.

    Each key is a whole clause of a message. A test makes the command fail with each of these messages, so that a new
    wording is noticed.
    """
    return {
        "assign the right one with gdal_edit.py -a_srs EPSG:...": tr(
            "assign its CRS under Layer properties > Source > Assigned Coordinate Reference System"
        ),
        "give it a geotransform with gdal_translate -a_ullr": tr("georeference it with Layer > Georeferencer"),
    }


class Messages:
    """Converts the command's messages to the words of one dialog."""

    def __init__(self, labels: Mapping[str, str] | None = None, tr: Translate = str) -> None:
        """Remember the words.

        Args:
            labels: each option's label in the dialog, by the option's name in `commands.json`.
            tr: translates what the plugin itself adds.
        """
        self._labels = labels or {}
        self._tr = tr

    def text(self, event: Event) -> str:
        """Return the message of an error or a warning in one line, each option by its label."""
        text = " ".join(self.fill(str(event.get("template") or event["message"])).split())
        for clause, instead in advice(self._tr).items():
            text = text.replace(clause, instead)
        return text

    def fill(self, template: str) -> str:
        """Return a template with each marker replaced by the option's label, and its value if it has one.

        ⟨tile_size⟩ becomes “Tile size”, and ⟨tile_size=512⟩ becomes “Tile size: 512”. A box to tick has no value. An
        option without a label keeps its name, with blanks for underscores.
        """
        return MARKER.sub(self._option, template)

    def failure(self, events: Sequence[Event], status: int) -> str:
        """Return in one line why the command failed.

        Args:
            events: all that the command reported.
            status: its exit status, negative for a signal.
        """
        tr = self._tr
        errors = [event for event in events if event["event"] == "error"]
        lines = [str(event["text"]) for event in events if event["event"] == "line"]
        if errors:
            return self.text(errors[-1])
        if status < 0 and not any(line.startswith(_ERROR) for line in lines):
            message = tr("mmsr-geo was ended by signal {}, possibly because memory ran out: set a smaller {}")
            return message.format(-status, self.fill("⟨tile_size⟩"))
        last = lines[-1] if lines else tr("it printed nothing")
        if last.startswith(_ERROR):
            return last[len(_ERROR) :]
        return tr("mmsr-geo ended with status {}: {}").format(status, last)

    def _option(self, marker: re.Match[str]) -> str:
        tr = self._tr
        label = self._labels.get(marker["name"], marker["name"].replace("_", " "))
        value = _decoded(marker["value"])
        if value is None or value is True:
            return tr("“{}”").format(label)
        shown = ",".join(map(str, value)) if isinstance(value, list) else value
        return tr("“{}: {}”").format(label, tr("no") if value is False else shown)


def _decoded(value: str | None) -> Any:  # noqa: ANN401  (JSON values)
    try:
        return None if value is None else json.loads(value)
    except ValueError:
        return value
