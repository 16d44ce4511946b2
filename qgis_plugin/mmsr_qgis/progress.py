"""The finished share of a command's work; needs no QGIS."""

from __future__ import annotations

import re
from collections.abc import Mapping

ENDS: Mapping[str, float] = {
    "sample": 0.03,
    "alignment": 0.05,
    "members": 0.12,
    "trial": 0.20,
    "first stage": 0.45,
    "fit": 0.65,
    "fit tiles": 0.75,
    "predict": 0.90,
    "blend": 0.93,
    "warp": 0.96,
    "write": 1.0,
}
"""Share of the work that is finished when each stage ends, measured on two cores."""

_PART = re.compile(r"(?P<number>\d+) of (?P<count>\d+): ")


class Overall:
    """Converts stages and their progress to one finished share, which never decreases."""

    def __init__(self, parts: int = 1) -> None:
        """Start at 0.

        Args:
            parts: number of times that all stages run, each time with another label, as in an evaluation of n methods.
        """
        self._parts = max(1, parts)
        self._labels: list[str] = []
        self._share = 0.0

    def share(self, stage: str, done: int, total: int) -> float:
        """Return the finished share of all parts, 0 to 1."""
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
