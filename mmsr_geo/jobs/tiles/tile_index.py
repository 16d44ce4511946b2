"""What is known of a band's tiles, in a hundred bytes each: which are there, which are still to be done; no file."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Literal

import numpy as np

from mmsr_geo.engine.flags import Flag
from mmsr_geo.jobs.tiles.tile_store import Stage, TileRecord

_FLAGS = tuple(str(flag.name) for flag in Flag)
_COUNTS, _TIMES = ("size", "valid", "clipped", "uncertainty_clipped"), ("seconds", "at")
_DIGESTS = ("digest", "qa_digest", "uncertainty_digest")
_ROW = np.dtype(
    [
        ("there", "?"),
        *((name, "S32") for name in _DIGESTS),
        *((name, "u8") for name in _COUNTS),
        *((name, "f8") for name in _TIMES),
        ("flags", "u4", len(_FLAGS)),
    ]
)


class TileIndex(MutableMapping[int, TileRecord]):
    """The tiles of a band and stage that are there, by index; a value is made when it is looked up.

    As objects in a dict a million of them take a gigabyte.
    """

    def __init__(self, stage: Stage, band: int, count: int) -> None:
        """Begin with none of `count` tiles."""
        self._stage, self._band = stage, band
        self._rows = np.zeros(count, _ROW)
        self._regions: dict[int, tuple[tuple[float, ...], ...]] = {}
        """Of tiles with fits of their own alone."""
        self._there = 0

    def __getitem__(self, index: int) -> TileRecord:
        """Return a tile; KeyError where it is not there."""
        row = self._row(index)
        counts = {name: int(count) for name, count in zip(_FLAGS, row["flags"], strict=True) if count}
        return TileRecord(
            self._stage,
            self._band,
            index,
            **{name: row[name].decode() for name in _DIGESTS},
            **{name: row[name].item() for name in (*_COUNTS, *_TIMES)},
            flags=counts or None,
            regions=self._regions.get(index, ()),
        )

    def __setitem__(self, index: int, made: TileRecord) -> None:
        """Take a tile in; of one that is there already, the latest counts."""
        self._there += not self._rows[index]["there"]
        flags = made.flags or {}
        told = (getattr(made, name) for name in (*_DIGESTS, *_COUNTS, *_TIMES))
        self._rows[index] = (True, *told, [flags.get(name, 0) for name in _FLAGS])
        self._regions.pop(index, None)
        if made.regions:
            self._regions[index] = made.regions

    def __delitem__(self, index: int) -> None:
        """Forget a tile; KeyError where it is not there."""
        self._row(index)["there"] = False
        self._regions.pop(index, None)
        self._there -= 1

    def __iter__(self) -> Iterator[int]:
        """Yield the indexes of those that are there, in order."""
        return (index for index, there in enumerate(self._rows["there"]) if there)

    def __len__(self) -> int:
        """Count those that are there."""
        return self._there

    def __contains__(self, index: object) -> bool:
        """Whether a tile is there."""
        return isinstance(index, int) and 0 <= index < len(self._rows) and bool(self._rows[index]["there"])

    def total(self, what: Literal["valid", "clipped", "uncertainty_clipped", "seconds"]) -> float:
        """Add up what is known of those that are there."""
        return self._rows[what][self._rows["there"]].sum().item()  # type: ignore[no-any-return]

    @property
    def flag_counts(self) -> dict[Flag, int]:
        """How many pixels of those that are there have each flag."""
        counts = self._rows["flags"][self._rows["there"]].sum(axis=0, dtype=np.int64)
        return {flag: int(count) for flag, count in zip(Flag, counts, strict=True)}

    def _row(self, index: int) -> np.void:
        if index not in self:
            raise KeyError(index)
        row: np.void = self._rows[index]
        return row


class TileQueue:
    """The tiles that are still to be begun, the first first: a byte each."""

    def __init__(self, count: int, done: TileIndex) -> None:
        """Begin with those of `count` that are not done."""
        self._waits = bytearray(index not in done for index in range(count))
        self._count = self._waits.count(1)
        self._first = 0
        """None waits before this one."""

    def __len__(self) -> int:
        """Count them."""
        return self._count

    def __iter__(self) -> Iterator[int]:
        """Yield their indexes."""
        return (index for index, waits in enumerate(self._waits) if waits)

    def take(self) -> int:
        """Return the first, which waits no longer; there must be one."""
        self._first = self._waits.index(1, self._first)
        self.leave(self._first)
        return self._first

    def add(self, index: int) -> None:
        """Have a tile wait that does not."""
        self._count += not self._waits[index]
        self._waits[index] = 1
        self._first = min(self._first, index)

    def leave(self, index: int) -> None:
        """Have a tile wait no longer."""
        self._count -= self._waits[index]
        self._waits[index] = 0

    def clear(self) -> None:
        """Have none wait."""
        self._waits, self._count = bytearray(len(self._waits)), 0
