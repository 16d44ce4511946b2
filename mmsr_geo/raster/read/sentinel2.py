"""Scale and offset of Sentinel-2 reflectances, which products declare in tags of their own; knows no pixels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DECLARED = (("BOA_QUANTIFICATION_VALUE", "BOA_ADD_OFFSET"), ("QUANTIFICATION_VALUE", "RADIO_ADD_OFFSET"))
"""Tags of the quantification value and of a band's offset: of level 2A, of level 1C."""
_USUAL = 10_000.0
"""The quantification value of all products so far."""
_OTHERS = ("AOT", "WVP", "SCL", "CLD", "SNW")
"""Names of the bands of a product that hold no reflectances."""
_SPECTRAL = re.compile(r"B(\d{1,2}|8A)\b")


def reflectance_scale(tags: Mapping[str, Any], band: str, dtype: str | np.dtype[Any]) -> tuple[float, float] | None:
    """Return scale and offset of a Sentinel-2 band: reflectance = (stored + offset of the product) / quantification.

    Products of baseline 04.00 (January 2022) and later have an offset of -1000, earlier ones none (Sentinel-2 Products
    Specification Document, S2-PDGS-TAS-DI-PSD).

    Args:
        tags: Tags of the dataset and of the band, as GDAL's driver SENTINEL2 names them and GDAL's copies keep them.
        band: The name of the band or its description, as in "B8A, central wavelength 865 nm"; empty: it has none.
        dtype: The dtype of the stored numbers. The tags outlive a conversion to reflectances, so that floats are not
            taken for stored numbers; nor are the bytes of a true colour image.

    Returns:
        None if the tags declare none, or the band is none of reflectances (AOT, WVP, SCL).
    """
    kind, name = np.dtype(dtype), band.strip()
    if kind.kind not in "iu" or kind.itemsize < 2 or name.upper().startswith(_OTHERS):
        return None
    name = name if _SPECTRAL.match(name) else ""  # a name that a user has given
    for quantification, offset in _DECLARED:
        value = _number(tags.get(quantification))
        added = _number(tags.get(offset, tags.get(f"{offset}_{name.split(',')[0]}")))
        if added is not None or (value and name):
            value = value or _USUAL
            return 1 / value, (added or 0.0) / value
    return None


def _number(text: object) -> float | None:
    try:
        number = float(str(text))
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def has_reflectance_tags(tags: Iterable[Any]) -> bool:
    """Return True if names of tags are among those that declare reflectances."""
    return any(str(key).startswith(known) for key in tags for pair in _DECLARED for known in pair)


def product_of(path: str) -> tuple[tuple[str, ...], str] | None:
    """Return where the metadata of a band's own file within a product may be, and the band's name as GDAL has it.

    Args:
        path: A path such as .../S2A_MSIL2A_....SAFE/GRANULE/.../T34VFJ_20230823T095031_B04_10m.jp2; such a file has no
            tags itself.
    """
    match = re.fullmatch(r"(.+\.SAFE)[\\/]GRANULE[\\/].+_B(\d[\dA])(_\d\dm)?\.jp2", path)
    if match is None:
        return None
    return (f"{match[1]}/MTD_MSIL2A.xml", f"{match[1]}/MTD_MSIL1C.xml"), f"B{match[2].lstrip('0')}"
