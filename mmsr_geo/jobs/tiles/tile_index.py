"""Tables of tiles, in a hundred bytes each: those that are done and those that are waiting; knows no file."""

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
        ("done", "?"),
        *((name, "S32") for name in _DIGESTS),
        *((name, "u8") for name in _COUNTS),
        *((name, "f8") for name in _TIMES),
        ("flags", "u4", len(_FLAGS)),
    ]
)


class TileIndex(MutableMapping[int, TileRecord]):
    """The finished tiles of a band and stage, by their numbers; records are created when they are looked up.

    In a dict, a million records take a gigabyte.
    """

    def __init__(self, stage: Stage, band: int, count: int) -> None:
        """Create an empty index for tiles with numbers below `count`."""
        self._stage, self._band = stage, band
        self._rows = np.zeros(count, _ROW)
        self._regions: dict[int, tuple[tuple[float, ...], ...]] = {}
        """Guide checks of tiles with models of their own."""
        self._done = 0

    def __getitem__(self, index: int) -> TileRecord:
        """Return the record of a tile; raises KeyError if it is not done."""
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
        """Enter a tile; it replaces an earlier record of the same number."""
        self._done += not self._rows[index]["done"]
        flags = made.flags or {}
        columns = (getattr(made, name) for name in (*_DIGESTS, *_COUNTS, *_TIMES))
        self._rows[index] = (True, *columns, [flags.get(name, 0) for name in _FLAGS])
        self._regions.pop(index, None)
        if made.regions:
            self._regions[index] = made.regions

    def __delitem__(self, index: int) -> None:
        """Remove a tile; raises KeyError if it is not done."""
        self._row(index)["done"] = False
        self._regions.pop(index, None)
        self._done -= 1

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers of finished tiles in order."""
        return (index for index, done in enumerate(self._rows["done"]) if done)

    def __len__(self) -> int:
        """Return the number of finished tiles."""
        return self._done

    def __contains__(self, index: object) -> bool:
        """Return True if a tile is done."""
        return isinstance(index, int) and 0 <= index < len(self._rows) and bool(self._rows[index]["done"])

    @property
    def capacity(self) -> int:
        """Upper limit of the numbers, exclusive."""
        return len(self._rows)

    def total(self, what: Literal["valid", "clipped", "uncertainty_clipped", "seconds"]) -> float:
        """Return the sum of a field over all finished tiles."""
        return self._rows[what][self._rows["done"]].sum().item()  # type: ignore[no-any-return]

    @property
    def flag_counts(self) -> dict[Flag, int]:
        """Number of pixels with each flag, over all finished tiles."""
        counts = self._rows["flags"][self._rows["done"]].sum(axis=0, dtype=np.int64)
        return {flag: int(count) for flag, count in zip(Flag, counts, strict=True)}

    def _row(self, index: int) -> np.void:
        if index not in self:
            raise KeyError(index)
        row: np.void = self._rows[index]
        return row


class TileQueue:
    """The numbers of waiting tiles, the lowest first, in a byte each."""

    def __init__(self, count: int, done: TileIndex) -> None:
        """Fill the queue with the numbers below `count` that are not done."""
        self._waits = bytearray(index not in done for index in range(count))
        self._count = self._waits.count(1)
        self._first = 0
        """No lower number is waiting."""

    def __len__(self) -> int:
        """Return the number of waiting tiles."""
        return self._count

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers of waiting tiles in order."""
        return (index for index, waits in enumerate(self._waits) if waits)

    def take(self) -> int:
        """Remove the lowest number from the queue and return it; the queue must not be empty."""
        self._first = self._waits.index(1, self._first)
        self.leave(self._first)
        return self._first

    def add(self, index: int) -> None:
        """Put a tile back into the queue."""
        self._count += not self._waits[index]
        self._waits[index] = 1
        self._first = min(self._first, index)

    def leave(self, index: int) -> None:
        """Remove a tile from the queue."""
        self._count -= self._waits[index]
        self._waits[index] = 0

    def clear(self) -> None:
        """Empty the queue."""
        self._waits, self._count = bytearray(len(self._waits)), 0
