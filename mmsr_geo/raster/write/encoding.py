"""How a target's values are stored: dtype, scale and offset, nodata, creation options; knows numbers, no file."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mmsr_geo.errors import OptionError
from mmsr_geo.raster.base import BandTags
from mmsr_geo.spelling import option

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
"""No integers of 64 bits: rasterio hands their nodata to GDAL as 9.2e18, which is read back as 9; and a target, which
is float32 until it is stored, has nothing that they would hold and 32 bits do not."""
_MOVING = ("TILING_SCHEME", "TARGET_SRS", "RES", "EXTENT")
"""Creation options with which the COG driver resamples: then nothing averages to the source any more."""
_LAYOUT = ("BLOCKSIZE", "BIGTIFF", "NUM_THREADS", "SPARSE_OK", "OVERVIEWS", "OVERVIEW_COUNT", "GEOTIFF_VERSION")
"""Creation options that say nothing of the pixels' values."""
_LOSSLESS = ("NONE", "LZW", "DEFLATE", "ZSTD", "LZMA")
_BLOCK_PX = (128, 4096)
_PLAIN = BandTags()

_Float = TypeVar("_Float", bound=np.floating[Any])


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a file holds a target, whose values are float32 in the source's raw units, NaN in holes, until then.

    Without `scale_factor` and `add_offset` what is stored is the raw value, and the source's own scale and offset are
    passed on. With either, the stored q means q * scale_factor + add_offset (1 and 0 where not given) in the source's
    physical units: its raw values times its scale plus its offset. Integers are rounded half to even; what lies outside
    the dtype's range is clipped.
    """

    dtype: str = "float32"
    scale_factor: float | None = None
    add_offset: float | None = None
    creation_options: tuple[tuple[str, str], ...] = ()
    """Keys and values for GDAL's COG driver; they go before the defaults."""

    def __post_init__(self) -> None:
        """Refuse what no file can hold (OptionError); what GDAL itself refuses, `check_creation` finds."""
        if self.dtype not in DTYPES:
            raise OptionError(
                f"a target cannot be stored as {self.dtype}: choose a {option('dtype')} of {', '.join(DTYPES)}"
            )
        if self.scale_factor is not None and not (math.isfinite(self.scale_factor) and self.scale_factor):
            raise OptionError(
                f"{option('scale_factor')} is {self.scale_factor:g}: give a finite number other than 0, as in 0.1"
            )
        if self.add_offset is not None and not math.isfinite(self.add_offset):
            raise OptionError(f"{option('add_offset')} is {self.add_offset:g}: give a finite number, as in 273.15")
        keys = [key.upper() for key, _ in self.creation_options]
        for key, value in self.creation_options:
            _check_option(key, value)
            if keys.count(key.upper()) > 1:
                raise OptionError(
                    f"the creation option {key.upper()} is given {keys.count(key.upper())} times: keep one"
                )

    @property
    def is_integer(self) -> bool:
        """Whether values are rounded."""
        return np.dtype(self.dtype).kind in "iu"

    @property
    def rescales(self) -> bool:
        """Whether the file has a scale and an offset of its own, in place of the source's."""
        return self.scale_factor is not None or self.add_offset is not None

    @property
    def scale_offset(self) -> tuple[float, float]:
        """What a stored value is multiplied by, and what is added then, where the storage rescales."""
        return (
            1.0 if self.scale_factor is None else float(self.scale_factor),
            0.0 if self.add_offset is None else float(self.add_offset),
        )

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest value that the dtype holds."""
        info = np.iinfo(self.dtype) if self.is_integer else np.finfo(self.dtype)
        return float(info.min), float(info.max)

    @property
    def creation(self) -> dict[str, str]:
        """What the COG driver is given: deflate, averaged overviews, statistics, or what was asked for instead."""
        asked = {key.upper(): value for key, value in self.creation_options}
        defaults = {
            "COMPRESS": "DEFLATE",
            "PREDICTOR": "STANDARD" if self.is_integer else "FLOATING_POINT",
            "OVERVIEW_RESAMPLING": "AVERAGE",
            "BIGTIFF": "IF_SAFER",
            "NUM_THREADS": "ALL_CPUS",
            "STATISTICS": "YES",  # what a viewer stretches by, without reading all of it
        }
        if "RESAMPLING" in asked:  # GDAL lets the default of OVERVIEW_RESAMPLING go before it
            del defaults["OVERVIEW_RESAMPLING"]
        return defaults | asked

    @property
    def is_lossless(self) -> bool:
        """Whether the file will hold the very values that it is given."""
        asked = {key.upper(): value.upper() for key, value in self.creation_options}
        harmless = {*_LAYOUT, "COMPRESS", "LEVEL", "PREDICTOR", "RESAMPLING", "OVERVIEW_RESAMPLING", "STATISTICS"}
        return asked.get("COMPRESS", "DEFLATE") in _LOSSLESS and set(asked) <= harmless

    def for_flags(self) -> Encoding:
        """Return the storage of the flags beside such a target: uint8, nearest overviews, nothing lossy.

        Of the creation options it takes those on the file's layout, and a lossless COMPRESS with its LEVEL.
        """
        asked = {key.upper(): value for key, value in self.creation_options}
        lossless = asked.get("COMPRESS", "DEFLATE").upper() in _LOSSLESS
        kept = {*_LAYOUT, "COMPRESS", "LEVEL"} if lossless else set(_LAYOUT)
        options = tuple((key, value) for key, value in asked.items() if key in kept)
        return Encoding("uint8", creation_options=(*options, ("OVERVIEW_RESAMPLING", "NEAREST"), ("STATISTICS", "NO")))

    def nodata(self, source_nodata: float | None) -> float:
        """Return what holes are stored as, chosen from the metadata alone.

        Floats: the source's nodata where the dtype holds it exactly and it is finite, NaN otherwise. Integers: the
        source's where the dtype holds it and values are not rescaled, else the least (signed) or the largest (unsigned)
        value of the dtype: what the source's number means after rescaling may well be a common value.
        """
        kind = np.dtype(self.dtype)
        known = source_nodata if source_nodata is not None and math.isfinite(source_nodata) else None
        if known is not None and self.range[0] <= known <= self.range[1]:
            exact = float(known).is_integer() if self.is_integer else float(kind.type(known)) == known
            if exact and not (self.is_integer and self.rescales):
                return float(known)
        if not self.is_integer:
            return math.nan
        return self.range[0] if kind.kind == "i" else self.range[1]

    def tags(self, source: Sequence[BandTags]) -> tuple[BandTags, ...]:
        """Return what the file says of its bands: as the source does, but for the scale and offset asked for.

        Raises OptionError where values shall be rescaled and the source's own scale or offset is no number.
        """
        if not self.rescales:
            return tuple(source)
        for tags in source:
            if not (math.isfinite(tags.scale) and math.isfinite(tags.offset)):
                raise OptionError(
                    f"the source declares scale {tags.scale:g} and offset {tags.offset:g}, which cannot be rescaled: "
                    f"mend its tags, or leave out {option('scale_factor')} and {option('add_offset')}"
                )
        told = [self._scale_offset_of(tags) for tags in source]
        return tuple(
            replace(tags, scale=scale, offset=offset) for tags, (scale, offset) in zip(source, told, strict=True)
        )

    def encode(self, values: NDArray[np.float32], nodata: float, source: BandTags = _PLAIN) -> tuple[NDArray[Any], int]:
        """Return values as they are stored, holes as nodata and nothing else as nodata, and how many were clipped.

        values: any shape, float32 in raw units, NaN in holes. source: the source band's scale and offset, or those of
        widths. Pixel by pixel: any window of the result is the same in any tiling. Raises OptionError: integers without
        a nodata.
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
            raise OptionError(f"{self.dtype} has no NaN for holes: declare the nodata that Storage.nodata chooses")
        stored = np.ceil(stored) if source.is_width else np.rint(stored)  # an interval is rather too wide
        clipped = (stored < low) | (stored > high)
        beside = nodata + 1 if nodata <= 0 else nodata - 1
        stored = np.clip(stored, low, high)
        stored = np.where(np.isnan(stored), nodata, np.where(stored == nodata, beside, stored))
        return stored.astype(self.dtype), int(clipped.sum())

    def clipping(self, clipped: int, valid: int, source: BandTags = _PLAIN) -> str:
        """Say in one line that so many of the valid values were clipped, to what, and the mend.

        source: as for `encode`, where it tells widths from values.
        """
        low, high = self.range
        how = self.dtype
        if self.rescales:
            scale, offset = self._scale_offset_of(source)
            low, high = sorted((low * scale + offset, high * scale + offset))
            how += f" with scale factor {scale:g} and offset {offset:g}"
        share, what = 100 * clipped / max(valid, 1), "values of the uncertainty" if source.is_width else "values"
        return (
            f"{clipped} of {valid} {what} ({share:.3g} %) lay outside {low:.7g} to {high:.7g}, what {how} holds, and "
            f"were clipped: pass a wider {option('dtype')}, or another {option('scale_factor')} or "
            f"{option('add_offset')}"
        )

    def _scale_offset_of(self, source: BandTags) -> tuple[float, float]:
        """Return the scale and the offset that a band is stored with, where the storage rescales."""
        scale, offset = self.scale_offset
        return (abs(scale), 0.0) if source.is_width else (scale, offset)


def clipping_of(encoding: Encoding, bands: Iterable[tuple[BandTags, int, int]]) -> str | None:
    """Say in one line what was clipped of values and of widths; None where nothing was.

    bands: of each its tags, how many were clipped, and how many are valid.
    """
    counts = {False: [0, 0], True: [0, 0]}
    for tags, clipped, valid in bands:
        counts[tags.is_width][0] += clipped
        counts[tags.is_width][1] += valid
    said = [
        encoding.clipping(clipped, valid, BandTags(is_width=is_width))
        for is_width, (clipped, valid) in counts.items()
        if clipped
    ]
    return "; ".join(said) or None


def parse_creation_options(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return KEY=VALUE texts as keys and values; raises OptionError for what is none."""
    options = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise OptionError(f"the creation option {text!r} is no KEY=VALUE: write it as in COMPRESS=LZW")
        _check_option(key.strip(), value.strip())
        options.append((key.strip().upper(), value.strip()))
    return tuple(options)


def output_nodata(source_nodata: float | None) -> float:
    """Return the target's nodata: the source's where float32 holds it exactly and it is finite, NaN otherwise.

    The choice is made from the metadata alone, so that a lazy result declares it before a pixel is computed and never
    differs between runs or parts of a raster. That no valid value equals it is `with_nodata`'s part, pixel by pixel.
    """
    return Encoding().nodata(source_nodata)


def with_nodata(values: NDArray[_Float], nodata: float) -> NDArray[_Float]:
    """Return values with NaN replaced by nodata, and a valid value that happens to equal it moved by one ULP.

    values: any shape, floats, NaN in holes. The move, towards zero (from zero upwards), is far below the tolerance of
    consistency, and depends on the value alone: any window of the result is the same in any tiling.
    """
    if math.isnan(nodata):
        return values
    fill = values.dtype.type(nodata)
    beside = np.nextafter(fill, values.dtype.type(0 if fill else 1))
    return np.where(np.isnan(values), fill, np.where(values == fill, beside, values))


def _check_option(key: str, value: str) -> None:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", key) or not value.strip():
        raise OptionError(f"the creation option {f'{key}={value}'!r} is no KEY=VALUE: write it as in COMPRESS=LZW")
    if key.upper() in _MOVING:
        raise OptionError(
            f"the creation option {key.upper()} would resample the target, which then averages to the source no more: "
            "leave it out, and give it to gdal_translate -of COG for the finished file"
        )
    if key.upper() == "BLOCKSIZE":  # with 0, or what is no number, GDAL takes all the memory there is
        least, most = _BLOCK_PX
        if not (value.isascii() and value.isdigit() and least <= int(value) <= most and int(value) % 16 == 0):
            raise OptionError(f"BLOCKSIZE={value}: give a whole multiple of 16 from {least} to {most}, as in 512")
