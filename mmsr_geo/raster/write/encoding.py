"""Encoding of a target's values: dtype, scale and offset, nodata, creation options; knows numbers, no file."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mmsr_geo.errors import OptionError
from mmsr_geo.options import DTYPES
from mmsr_geo.raster.base import BandTags
from mmsr_geo.spelling import option

_MOVING = ("TILING_SCHEME", "TARGET_SRS", "RES", "EXTENT")
"""Creation options with which the COG driver resamples, so that block means no longer equal the source."""
_LAYOUT = ("BLOCKSIZE", "BIGTIFF", "NUM_THREADS", "SPARSE_OK", "OVERVIEWS", "OVERVIEW_COUNT", "GEOTIFF_VERSION")
"""Creation options that do not change values."""
_LOSSLESS = ("NONE", "LZW", "DEFLATE", "ZSTD", "LZMA")
_BLOCK_PX = (128, 4096)
_PLAIN = BandTags()

_Float = TypeVar("_Float", bound=np.floating[Any])


@dataclass(frozen=True, slots=True)
class Encoding:
    """Encoding of a target, which is computed as float32 in the source's stored units, with NaN at nodata.

    Without `scale_factor` and `add_offset` values keep the source's stored units, and its scale and offset are passed
    on. With either, a stored value q means q * scale_factor + add_offset (by default 1 and 0) in the source's physical
    units: its stored values times its scale plus its offset. Integers are rounded half to even. Values outside the
    range of the dtype are clipped.
    """

    dtype: str = "float32"
    scale_factor: float | None = None
    add_offset: float | None = None
    creation_options: tuple[tuple[str, str], ...] = ()
    """Keys and values for GDAL's COG driver, which replace the defaults."""

    def __post_init__(self) -> None:
        """Refuse what no file can hold (OptionError); `check_creation` finds what GDAL refuses."""
        if self.dtype not in DTYPES:
            raise OptionError(
                f"a target cannot be stored as {self.dtype}: choose one of {', '.join(DTYPES)} for {option('dtype')}"
            )
        if self.scale_factor is not None and not (math.isfinite(self.scale_factor) and self.scale_factor):
            raise OptionError(
                f"{option('scale_factor', float(self.scale_factor))} is not allowed: give a finite number other than "
                "0, as in 0.1"
            )
        if self.add_offset is not None and not math.isfinite(self.add_offset):
            raise OptionError(
                f"{option('add_offset', float(self.add_offset))} is not allowed: give a finite number, as in 273.15"
            )
        keys = [key.upper() for key, _ in self.creation_options]
        for key, value in self.creation_options:
            _check_option(key, value)
            if keys.count(key.upper()) > 1:
                raise OptionError(
                    f"the creation option {key.upper()} is given {keys.count(key.upper())} times: keep one"
                )

    @property
    def is_integer(self) -> bool:
        """True if values are rounded to integers."""
        return np.dtype(self.dtype).kind in "iu"

    @property
    def rescales(self) -> bool:
        """True if the file has its own scale and offset in place of the source's."""
        return self.scale_factor is not None or self.add_offset is not None

    @property
    def scale_offset(self) -> tuple[float, float]:
        """Scale and offset of stored values, if the encoding rescales."""
        return (
            1.0 if self.scale_factor is None else float(self.scale_factor),
            0.0 if self.add_offset is None else float(self.add_offset),
        )

    @property
    def range(self) -> tuple[float, float]:
        """Least and largest value of the dtype."""
        info = np.iinfo(self.dtype) if self.is_integer else np.finfo(self.dtype)
        return float(info.min), float(info.max)

    @property
    def creation(self) -> dict[str, str]:
        """Creation options for the COG driver: those given, and deflate, averaged overviews and statistics."""
        given = {key.upper(): value for key, value in self.creation_options}
        defaults = {
            "COMPRESS": "DEFLATE",
            "PREDICTOR": "STANDARD" if self.is_integer else "FLOATING_POINT",
            "OVERVIEW_RESAMPLING": "AVERAGE",
            "BIGTIFF": "IF_SAFER",
            "NUM_THREADS": "ALL_CPUS",
            "STATISTICS": "YES",  # viewers stretch by them without reading all pixels
        }
        if "RESAMPLING" in given:  # GDAL prefers the default of OVERVIEW_RESAMPLING to it
            del defaults["OVERVIEW_RESAMPLING"]
        return defaults | given

    @property
    def is_lossless(self) -> bool:
        """True if the file holds exactly the values that it is given."""
        given = {key.upper(): value.upper() for key, value in self.creation_options}
        harmless = {*_LAYOUT, "COMPRESS", "LEVEL", "PREDICTOR", "RESAMPLING", "OVERVIEW_RESAMPLING", "STATISTICS"}
        return given.get("COMPRESS", "DEFLATE") in _LOSSLESS and set(given) <= harmless

    def for_flags(self) -> Encoding:
        """Return the encoding of the QA flags of such a target: uint8, nearest overviews, lossless.

        It keeps the creation options of the file's layout, and a lossless COMPRESS with its LEVEL.
        """
        given = {key.upper(): value for key, value in self.creation_options}
        lossless = given.get("COMPRESS", "DEFLATE").upper() in _LOSSLESS
        kept = {*_LAYOUT, "COMPRESS", "LEVEL"} if lossless else set(_LAYOUT)
        options = tuple((key, value) for key, value in given.items() if key in kept)
        return Encoding("uint8", creation_options=(*options, ("OVERVIEW_RESAMPLING", "NEAREST"), ("STATISTICS", "NO")))

    def nodata(self, source_nodata: float | None) -> float:
        """Return the nodata value of the output, chosen from metadata only.

        Float dtypes: the source's nodata value if it is finite and the dtype holds it exactly, otherwise NaN. Integer
        dtypes: the source's nodata value if the dtype holds it and values are not rescaled, since after rescaling it
        may be a common value; otherwise the least (signed) or the largest (unsigned) value of the dtype.
        """
        kind = np.dtype(self.dtype)
        declared = source_nodata if source_nodata is not None and math.isfinite(source_nodata) else None
        if declared is not None and self.range[0] <= declared <= self.range[1]:
            exact = float(declared).is_integer() if self.is_integer else float(kind.type(declared)) == declared
            if exact and not (self.is_integer and self.rescales):
                return float(declared)
        if not self.is_integer:
            return math.nan
        return self.range[0] if kind.kind == "i" else self.range[1]

    def tags(self, source: Sequence[BandTags]) -> tuple[BandTags, ...]:
        """Return the metadata of the output's bands: the source's, with scale and offset of the encoding.

        Raises:
            OptionError: Values are rescaled, and the source's own scale or offset is not finite.
        """
        if not self.rescales:
            return tuple(source)
        for tags in source:
            if not (math.isfinite(tags.scale) and math.isfinite(tags.offset)):
                raise OptionError(
                    f"the source declares scale {tags.scale:g} and offset {tags.offset:g}, from which values cannot be "
                    f"rescaled: correct its tags, or leave out {option('scale_factor')} and {option('add_offset')}"
                )
        numbers = [self._scale_offset_of(tags) for tags in source]
        return tuple(
            replace(tags, scale=scale, offset=offset) for tags, (scale, offset) in zip(source, numbers, strict=True)
        )

    def encode(self, values: NDArray[np.float32], nodata: float, source: BandTags = _PLAIN) -> tuple[NDArray[Any], int]:
        """Return values as they are stored, and how many were clipped.

        NaN becomes nodata, and no other value does. Each pixel is encoded on its own, so that tiles do not matter.

        Args:
            values: Any shape, float32 in the source's stored units, NaN at nodata.
            nodata: The nodata value that `nodata` of the encoding returns.
            source: Scale and offset of the source's band, or of interval widths.

        Raises:
            OptionError: The dtype is an integer and nodata is NaN.
        """
        if not self.is_integer and not self.rescales:
            return with_nodata(values.astype(self.dtype, copy=False), nodata), 0
        stored = values.astype(np.float64)
        if self.rescales:
            scale, offset = self._scale_offset_of(source)
            with np.errstate(over="ignore"):  # clipped
                stored = (stored * source.scale + source.offset - offset) / scale
        low, high = self.range
        if not self.is_integer:
            clipped = (stored < low) | (stored > high)
            return with_nodata(np.clip(stored, low, high).astype(self.dtype), nodata), int(clipped.sum())
        if math.isnan(nodata):
            raise OptionError(f"{self.dtype} cannot store NaN for nodata: pass the value that Encoding.nodata returns")
        stored = np.ceil(stored) if source.is_width else np.rint(stored)  # intervals must not become narrower
        clipped = (stored < low) | (stored > high)
        replacement = nodata + 1 if nodata <= 0 else nodata - 1
        stored = np.clip(stored, low, high)
        stored = np.where(np.isnan(stored), nodata, np.where(stored == nodata, replacement, stored))
        return stored.astype(self.dtype), int(clipped.sum())

    def clipping(self, clipped: int, valid: int, source: BandTags = _PLAIN) -> str:
        """Return a one-line message on clipped values.

        Args:
            clipped: The number of clipped values.
            valid: The number of valid values.
            source: The metadata of the band: of values, or of interval widths.
        """
        low, high = self.range
        storage = self.dtype
        if self.rescales:
            scale, offset = self._scale_offset_of(source)
            low, high = sorted((low * scale + offset, high * scale + offset))
            storage += f" with scale factor {scale:g} and offset {offset:g}"
        share, what = 100 * clipped / max(valid, 1), "uncertainty values" if source.is_width else "values"
        return (
            f"{clipped} of {valid} {what} ({share:.3g} %) are outside {low:.7g} to {high:.7g}, the range of {storage}, "
            f"and were clipped: pass a wider {option('dtype')}, or another {option('scale_factor')} or "
            f"{option('add_offset')}"
        )

    def _scale_offset_of(self, source: BandTags) -> tuple[float, float]:
        """Return the scale and the offset that a band is stored with, if the encoding rescales."""
        scale, offset = self.scale_offset
        return (abs(scale), 0.0) if source.is_width else (scale, offset)


def clipping_of(encoding: Encoding, bands: Iterable[tuple[BandTags, int, int]]) -> str | None:
    """Return a one-line message on clipped values of all bands; None if none was clipped.

    Args:
        encoding: The encoding of the output.
        bands: The metadata of each band, its number of clipped values and its number of valid values.
    """
    counts = {False: [0, 0], True: [0, 0]}
    for tags, clipped, valid in bands:
        counts[tags.is_width][0] += clipped
        counts[tags.is_width][1] += valid
    messages = [
        encoding.clipping(clipped, valid, BandTags(is_width=is_width))
        for is_width, (clipped, valid) in counts.items()
        if clipped
    ]
    return "; ".join(messages) or None


def parse_creation_options(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return KEY=VALUE texts as keys and values; raises OptionError for other texts."""
    options = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise OptionError(f"the creation option {text!r} is not KEY=VALUE: write it as in COMPRESS=LZW")
        _check_option(key.strip(), value.strip())
        options.append((key.strip().upper(), value.strip()))
    return tuple(options)


def output_nodata(source_nodata: float | None) -> float:
    """Return the target's nodata value: the source's if it is finite and float32 holds it exactly, otherwise NaN.

    It depends on metadata only, so that a lazy result declares it before a pixel is computed, and it is the same in all
    runs and parts of a raster. `with_nodata` makes sure that no valid value equals it.
    """
    return Encoding().nodata(source_nodata)


def with_nodata(values: NDArray[_Float], nodata: float) -> NDArray[_Float]:
    """Return values with NaN replaced by nodata, and valid values that equal nodata changed by one ULP.

    The change, towards zero (from zero upwards), is far below the tolerance of consistency. It depends on the value
    only, so that tiles do not matter.

    Args:
        values: Any shape, floats, NaN at nodata.
        nodata: The nodata value; NaN: nothing is changed.
    """
    if math.isnan(nodata):
        return values
    fill = values.dtype.type(nodata)
    replacement = np.nextafter(fill, values.dtype.type(0 if fill else 1))
    return np.where(np.isnan(values), fill, np.where(values == fill, replacement, values))


def _check_option(key: str, value: str) -> None:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", key) or not value.strip():
        raise OptionError(f"the creation option {f'{key}={value}'!r} is not KEY=VALUE: write it as in COMPRESS=LZW")
    if key.upper() in _MOVING:
        raise OptionError(
            f"the creation option {key.upper()} would resample the target, whose block means would no longer equal the "
            "source: leave it out, and pass it to gdal_translate -of COG for the finished file"
        )
    if key.upper() == "BLOCKSIZE":  # with 0 or text GDAL takes all memory
        least, most = _BLOCK_PX
        if not (value.isascii() and value.isdigit() and least <= int(value) <= most and int(value) % 16 == 0):
            raise OptionError(f"BLOCKSIZE={value}: give a multiple of 16 from {least} to {most}, as in 512")
