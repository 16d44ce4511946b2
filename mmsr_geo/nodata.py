"""Nodata of a band: the values and ranges that mean it, from text or numbers; knows no raster, file or option."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from mmsr_geo.errors import OptionError
from mmsr_geo.spelling import option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NodataLike: TypeAlias = "float | str | Sequence[float | str]"
"""A number, several, or text such as "-9999,>100,nan"."""

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?inf(?:inity)?"
_SIGNED, _BETWEEN = rf"(?P<sign>[<>]=?)\s*(?P<bound>{_NUMBER})", rf"(?P<low>{_NUMBER})\s*\.\.\s*(?P<high>{_NUMBER})"
_LARGEST_INTEGER = 1e15
"""Absolute value from which a number is written in scientific notation."""
_ITEM = re.compile(f"{_SIGNED}|{_BETWEEN}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NodataRange:
    """Stored values from `low` to `high`."""

    low: float = -math.inf
    high: float = math.inf
    with_low: bool = True
    with_high: bool = True

    def __str__(self) -> str:
        """Return the range as options have it: >100, <=0 or 101..103."""
        if math.isinf(self.high) and self.with_high:
            return f">{'=' * self.with_low}{shown_number(self.low)}"
        if math.isinf(self.low) and self.with_low:
            return f"<{'=' * self.with_high}{shown_number(self.high)}"
        return f"{shown_number(self.low)}..{shown_number(self.high)}"

    def where(self, raw: NDArray[Any]) -> NDArray[np.bool_]:
        """Return True where stored values lie in the range."""
        above = raw >= self.low if self.with_low else raw > self.low
        below = raw <= self.high if self.with_high else raw < self.high
        both: NDArray[np.bool_] = above & below
        return both


@dataclass(frozen=True, slots=True)
class Nodata:
    """The values and ranges of stored values that mean nodata; NaN does in any case."""

    values: tuple[float, ...] = ()
    ranges: tuple[NodataRange, ...] = ()

    @classmethod
    def of(cls, given: NodataLike | Nodata) -> Nodata:
        """Return what a number, a text such as "-9999,>100,101..103,nan", or a sequence of them describes.

        Raises:
            ValueError: A part of it is neither a number nor a range; the message names the part.
        """
        if isinstance(given, Nodata):
            return given
        values: dict[float, None] = {}
        ranges: dict[NodataRange, None] = {}
        for item in _items(given):
            found = _range_or_number(item)
            if isinstance(found, NodataRange):
                ranges[found] = None
            elif not any(math.isnan(value) for value in values) or not math.isnan(found):
                values[found] = None
        return cls(tuple(values), tuple(ranges))

    @classmethod
    def of_values(cls, values: Iterable[float | None]) -> Nodata | None:
        """Return nodata of several values; None if there is none."""
        known = [float(value) for value in values if value is not None]
        return cls.of(known) if known else None

    @property
    def value(self) -> float | None:
        """The value that an output may use too: the first that is a number, else NaN if that is named, else None."""
        return next((value for value in self.values if not math.isnan(value)), next(iter(self.values), None))

    @property
    def plain(self) -> float | str:
        """A single value as a number, anything else as text."""
        return self.values[0] if len(self.values) == 1 and not self.ranges else str(self)

    def __str__(self) -> str:
        """Return the values and ranges with commas between them."""
        return ",".join([*map(shown_number, self.values), *map(str, self.ranges)])

    def where(self, raw: NDArray[Any]) -> NDArray[np.bool_]:
        """Return True where stored values mean nodata; the comparison is made in the dtype of `raw`."""
        found: NDArray[np.bool_] = raw != raw  # noqa: PLR0124  (NaN)
        for value in self.values:
            if not math.isnan(value):
                found = found | (raw == value)
        for one in self.ranges:
            found = found | one.where(raw)
        return found


def checked_nodata(name: str, given: NodataLike) -> float | str:
    """Return the value of a nodata option as a number or as text that `Nodata.of` takes; OptionError if it is wrong."""
    try:
        nodata = Nodata.of(given)
    except ValueError as error:
        raise OptionError(f"{option(name)}: {error}") from None
    return nodata.plain


def shown_number(value: float) -> str:
    """Return a number as a message and an option have it: a whole one without a point."""
    exact = value.is_integer() and abs(value) < _LARGEST_INTEGER
    return str(int(value)) if exact else repr(value)


def _items(given: NodataLike) -> list[float | str]:
    single = isinstance(given, str | float) or not isinstance(given, Iterable) or getattr(given, "ndim", 1) == 0
    parts: list[Any] = [given] if single else list(given)  # type: ignore[arg-type]  # several
    split: list[float | str] = []
    for part in parts:
        split += [text.strip() for text in part.split(",")] if isinstance(part, str) else [part]
    if not split:
        raise ValueError(_ADVICE.format("''"))
    return split


_ADVICE = "{} is neither a number nor a range: give values and ranges as in -9999,>100,101..103,nan"


def _range_or_number(item: float | str) -> float | NodataRange:
    found = _ITEM.fullmatch(item) if isinstance(item, str) else None
    if found is None:
        try:
            return float(item)
        except (TypeError, ValueError):
            raise ValueError(_ADVICE.format(repr(item))) from None
    if found["sign"] is None:
        low, high = float(found["low"]), float(found["high"])
        if low > high:
            raise ValueError(f"{item} is empty: give the smaller value first, as in {found['high']}..{found['low']}")
        return NodataRange(low, high)
    bound, closed = float(found["bound"]), found["sign"].endswith("=")
    if found["sign"].startswith(">"):
        return NodataRange(low=bound, with_low=closed)
    return NodataRange(high=bound, with_high=closed)
