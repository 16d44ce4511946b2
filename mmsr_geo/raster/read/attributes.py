"""Numbers in the attributes of variables and the tags of bands; knows no rasters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np


def numbers_of(value: Any) -> list[float]:  # noqa: ANN401  (an attribute: a number, several, or text of them)
    """Return the numbers of an attribute.

    Text is as GDAL and netCDF write it: -999, several as {-999,-998}, or with the type after a number, as in 101b. What
    is no number, such as words for people, is left out.
    """
    if value is None:
        return []
    parts: Iterable[Any] = re.split(r"[,;\s]+", value.strip("{}[]() ")) if isinstance(value, str) else np.ravel(value)
    numbers = []
    for part in parts:
        try:
            numbers.append(float(part.rstrip("bBsSuULl") if isinstance(part, str) else part))
        except (TypeError, ValueError):
            continue
    return numbers
