"""Every user option once: name, type, default, help; knows no click, pydantic, xarray."""

from __future__ import annotations

from typing import Literal

from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Scale
from mmsr_geo.spelling import option

Fit = Literal["scene", "adapt", "tile", "published"]
ScaleLike = Scale | int | tuple[int, int] | None
Bounds = tuple[float, float, float, float]
OnGrid = Literal["source", "guide"]

IfUnhelpful = Literal["bicubic", "warn", "error"]


def check_seed(seed: int) -> None:
    """Refuse a seed that torch does not take (OptionError)."""
    if not -(2**63) <= seed < 2**64:
        raise OptionError(f"a seed is a whole number of 64 bits, as in {option('seed', 1)}, not {seed}")


Quality = Literal["fast", "balanced", "best"]
