"""Codes next to a quantity: flag values that lie outside the valid range, as water and cloud; knows metadata alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mmsr_geo.raster.read.attributes import numbers_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

FLAGS = ("flag_values", "flag_masks", "flag_meanings")
"""Attributes of the CF conventions that name what values or bits mean."""
_ROUNDED = 0.01
"""Distance from a code, in steps of the stored numbers, that counts as the rounding of decoded values."""
_LISTED = 6
"""Number of codes that a message lists."""


def codes_of(attrs: Mapping[Any, Any]) -> tuple[float, ...]:
    """Return the codes of a quantity: its flag values if all lie outside its valid range; otherwise none.

    A raster of classes has flag values too, within its valid range or without one.

    Args:
        attrs: The attributes of a variable, or the tags of a band as GDAL writes them: 0,100 or {0,100}.
    """
    values, valid = numbers_of(attrs.get("flag_values")), _valid_range(attrs)
    if "flag_masks" in attrs or not values or valid is None:
        return ()
    low, high = valid
    return () if any(low <= value <= high for value in values) else tuple(values)


def note_of_codes(name: str, attrs: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return a note that the codes of a raster are read as nodata; an empty tuple if it has none."""
    codes, valid = codes_of(attrs), _valid_range(attrs)
    if not codes or valid is None:
        return ()
    listed = ", ".join(f"{code:g}" for code in codes[:_LISTED]) + (", ..." if len(codes) > _LISTED else "")
    note = (
        f"{name}: the flag values {listed} lie outside the valid range {valid[0]:g} to {valid[1]:g}: they are read as "
        "nodata, and the other values as a quantity"
    )
    return (note,)


def is_code(values: NDArray[Any], codes: Sequence[float], scale: float = 1.0, offset: float = 0.0) -> NDArray[np.bool_]:
    """Return True where values are codes.

    Args:
        values: Any shape.
        codes: The codes, as stored.
        scale: The scale that the values were decoded by; they may be off by their rounding.
        offset: The offset that they were decoded by.
    """
    if (scale, offset) == (1, 0):
        return np.isin(values, codes)
    steps = (values.astype(np.float64) - offset) / scale
    whole = np.rint(steps)
    return np.asarray(np.isin(whole, codes) & (np.abs(steps - whole) < _ROUNDED))


def _valid_range(attrs: Mapping[Any, Any]) -> tuple[float, float] | None:
    """Return the valid range that attributes declare; None if they declare none."""
    both = numbers_of(attrs.get("valid_range"))
    if len(both) == 2:
        return both[0], both[1]
    least, most = (numbers_of(attrs.get(key)) for key in ("valid_min", "valid_max"))
    if not least and not most:
        return None
    return least[0] if least else -np.inf, most[0] if most else np.inf
