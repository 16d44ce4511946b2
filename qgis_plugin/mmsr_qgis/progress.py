"""How far a command has come, of all that it will do; knows no QGIS."""

from __future__ import annotations

import re
from collections.abc import Mapping

ENDS: Mapping[str, float] = {
    "sample": 0.03,
    "registration": 0.04,
    "regression": 0.08,
    "first stage": 0.35,
    "fit": 0.65,
    "fit tiles": 0.75,
    "predict": 0.90,
    "blend": 0.93,
    "warp": 0.96,
    "write": 1.0,
}
"""Where each stage ends, by what they take on two cores: half a minute to fit at each level, then the tiles."""

_PART = re.compile(r"(?P<number>\d+) of (?P<count>\d+): ")


class Overall:
    """Turns stages with their progress into one share, which never falls."""

    def __init__(self, parts: int = 1) -> None:
        """Begin. parts: how many times the stages come, each time under another label: an evaluation's methods."""
        self._parts = max(1, parts)
        self._labels: list[str] = []
        self._share = 0.0

    def share(self, stage: str, done: int, total: int) -> float:
        """Return how much is done, 0..1."""
        label, _, name = stage.rpartition(": ")
        begin = max((end for end in ENDS.values() if end < ENDS.get(name, 0)), default=0.0)
        within = begin + (ENDS.get(name, begin) - begin) * (done / total if total else 0.0)
        counted = _PART.match(stage)
        if counted:
            part, parts = int(counted["number"]) - 1, int(counted["count"])
        else:
            if label not in self._labels:
                self._labels.append(label)
            part, parts = min(len(self._labels), self._parts) - 1, self._parts
        self._share = max(self._share, (part + within) / parts)
        return self._share
