"""Masks of rasters (clouds, water): the values that mask a pixel, and rasters with nodata there."""

from __future__ import annotations

import math
import operator
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from mmsr_geo.errors import InputError, OptionError
from mmsr_geo.geometry import Halo, Window
from mmsr_geo.raster.base import Combine, Pixels, Raster, ReadPlan
from mmsr_geo.raster.grids import steps_across, window_grid
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.read.band_names import listed
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.views.base import RasterView, joined
from mmsr_geo.raster.views.warp import Warped

MaskLike: TypeAlias = "str | PathLike[str] | xr.DataArray"

_SHARE_ROUNDING = 1e-6
"""Excess of a share that counts as rounding of the average: half is not more than half."""
_EXACT = {2: 2**11, 4: 2**24, 8: 2**53}
"""Largest integer up to which all are exact, by the size of a float in bytes."""


_RULED = re.compile(r"(?P<path>.+?)\s*(?P<rule>(?<![<>])[<>]=?\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|:\d+(,\d+)*)")
"""FILE:BITS or FILE>NUMBER."""
_COMPARISONS: dict[str, Callable[[Any, float], Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True, slots=True)
class Threshold:
    """A comparison that is true for the values that mask a pixel, such as > 66."""

    sign: str
    """One of >, >=, <, <=."""
    value: float

    def __str__(self) -> str:
        """Return it as an option has it: >66."""
        return f"{self.sign}{self.value:g}"

    def __call__(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return True where a value meets it."""
        return np.asarray(_COMPARISONS[self.sign](values, self.value), np.bool_)

    def check(self, dtype: np.dtype[Any], name: str) -> None:
        """Refuse a threshold that no value or every value of an integer dtype meets (OptionError)."""
        if dtype.kind not in "iu":
            return
        ends = np.iinfo(dtype)
        if bool(self(np.array(ends.min))) == bool(self(np.array(ends.max))):
            raise OptionError(
                f"{name}{self} masks {'every' if self(np.array(ends.min)) else 'no'} pixel: {dtype} has values from "
                f"{ends.min} to {ends.max}; give a threshold between them, in the values as stored"
            )


@dataclass(frozen=True, slots=True)
class MaskRule:
    """Values of a mask that mask a pixel: by bits, by classes, by a threshold, or else all but zero."""

    bits: tuple[int, ...] = ()
    """Numbers of the bits, from 0, the lowest."""
    classes: tuple[int, ...] = ()
    threshold: Threshold | None = None

    def __post_init__(self) -> None:
        """Refuse bits that no integer has, and rules of several kinds."""
        if wrong := [bit for bit in self.bits if not 0 <= bit < 64]:
            raise OptionError(f"a mask has no bit {wrong[0]}: bits are numbered from 0 to 63, as in QA_PIXEL.TIF:3,4")
        if sum(map(bool, (self.bits, self.classes, self.threshold))) > 1:
            raise OptionError("a mask is read by bits, by classes or by a threshold: give one of them")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the rule of a text that `path_and_rule` split off: ":3,4" or ">66"."""
        if text.startswith(":"):
            return cls(bits=tuple(int(bit) for bit in text[1:].split(",")))
        sign = text.rstrip("0123456789.+-eE")
        return cls(threshold=Threshold(sign, float(text.removeprefix(sign))))

    def masked(self, raw: NDArray[Any], nodata: float | None, name: str) -> NDArray[np.bool_]:
        """Return True where stored values mask a pixel.

        Args:
            raw: Stored values of the mask, any shape.
            nodata: The nodata value of the mask. Pixels without data in the mask are masked, except for a nodata value
                of 0 in a mask without a rule, where 0 means not masked.
            name: The name of the mask, for messages.

        Returns:
            Booleans of the shape of `raw`.

        Raises:
            InputError: Values are not integers, and the mask has bits or classes.
        """
        unmarked = nodata == 0 and self == MaskRule()
        missing = np.zeros(raw.shape, np.bool_)
        if raw.dtype.kind == "f":
            missing = ~np.isfinite(raw)
            whole = np.where(missing, 0, raw)
            if self.bits or self.classes:
                _refuse_fractions(whole, name)
                whole = whole.astype(np.int64)
        else:
            whole = raw
        if nodata is not None and not math.isnan(nodata):
            missing |= np.asarray(raw == nodata)
        if self.bits:
            marked = self._any_bit(whole)
        elif self.classes:
            marked = np.isin(whole, self.classes)
        elif self.threshold is not None:
            marked = self.threshold(raw)
        else:
            marked = whole != 0
        return marked & ~missing if unmarked else marked | missing

    def _any_bit(self, whole: NDArray[Any]) -> NDArray[np.bool_]:
        # The same bits, in two's complement, in a type that has a place for each bit.
        words = whole.astype(np.int64).view(np.uint64) if whole.dtype.kind == "i" else whole.astype(np.uint64)
        wanted = np.uint64(sum(1 << bit for bit in set(self.bits)))
        return np.asarray((words & wanted) != 0)


LANDSAT_QA_PIXEL = MaskRule(bits=(0, 1, 2, 3, 4))
"""Bits of fill, dilated cloud, cirrus, cloud and cloud shadow: Landsat 8-9 Collection 2 Level 2 Science Product Guide
(LSDS-1619), table of QA_PIXEL bits. In Landsat 4 to 7 (LSDS-1618) they are the same, and cirrus is never set."""
SENTINEL2_SCL = MaskRule(classes=(0, 1, 3, 8, 9, 10))
"""Classes of no data, saturated or defective, cloud shadow, cloud of medium and high probability, thin cirrus:
Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD), Level-2A scene classification."""
_KNOWN = {"QA_PIXEL": LANDSAT_QA_PIXEL, "SCL": SENTINEL2_SCL}


@dataclass(frozen=True, slots=True)
class Mask:
    """A mask on its own grid."""

    raster: Raster
    """One band, 1 where a pixel is masked and 0 elsewhere; without nodata."""
    rule: MaskRule


def open_mask(mask: MaskLike, bits: Sequence[int] | None = None, *, band: int | None = None) -> Mask:
    """Open a mask: pixels that are true or not zero are masked, and pixels without data in the mask.

    The rule applies to the stored values, before the mask is resampled to another grid.

    Args:
        mask: A path, "FILE:BITS" with bits from 0 ("qa.tif:1,3,4": masked where any of them is set), "FILE>66" with
            >, >=, < or <= and a number in stored values, or a DataArray. Without bits and threshold, Landsat's QA_PIXEL
            and Sentinel-2's SCL are recognised by the name of the file, array or band. QA_PIXEL masks fill, dilated
            cloud, cirrus, cloud and cloud shadow (Landsat Collection 2 Science Product Guides LSDS-1618 and LSDS-1619).
            SCL masks no data, saturated or defective, cloud shadow, cloud of medium and high probability, and thin
            cirrus (Sentinel-2 Products Specification Document). Of several bands the one with such a name is taken.
        bits: The same as in "FILE:BITS".
        band: The number of the band of a file, such as that of a date; None: the only one, or that of a known name.

    Raises:
        InputError: The mask cannot be opened, or has several bands and none has a known name.
        GridError: The mask is not georeferenced.
        OptionError: The dtype of the mask has no such bits, or the threshold is beyond its values.
    """
    opened: FileRaster | ArrayRaster
    given = None if bits is None else MaskRule(bits=tuple(bits))
    match mask:
        case xr.DataArray():
            opened = ArrayRaster.of(mask, quantity=False)
        case str() | PathLike():
            path, path_rule = path_and_rule(mask)
            given = MaskRule.parse(path_rule) if path_rule and given is None else given
            opened = FileRaster.open(path, None if band is None else [band], quantity=False)
        case _:
            kind = type(mask).__name__
            raise InputError(f"a mask is a path or a DataArray, not {kind}: select one variable of a Dataset")
    number, known = _mask_band(opened)
    rule = given or known or MaskRule()
    if rule.threshold is not None:
        rule.threshold.check(opened.dtype, opened.name)
    if rule.bits and opened.dtype.kind in "iu" and max(rule.bits) >= 8 * opened.dtype.itemsize:
        count = 8 * opened.dtype.itemsize
        raise OptionError(
            f"{opened.name} has no bit {max(rule.bits)}: {opened.dtype} has {count} bits, from 0 to {count - 1}"
        )
    if isinstance(opened, ArrayRaster):
        return Mask(_ruled_array(opened.taking([number]), rule), rule)
    return Mask(_RuledFile(FileRaster.open(opened.path, [number], quantity=False), rule), rule)


@dataclass(frozen=True, slots=True)
class Masked(RasterView):
    """A raster that is nodata where more than `share` of a pixel's area is masked.

    A mask with smaller pixels is averaged by area on the raster's pixels; of any other mask the nearest pixel is taken.
    Nothing is masked where the mask does not reach.
    """

    raster: Raster
    mask: Mask
    share: float = 0.5

    @property
    def grid(self) -> GeoBox:
        """The raster's grid."""
        return self.raster.grid

    def read_plan(self, window: Window) -> ReadPlan:
        """Return the reads that a window needs from the raster and the mask."""
        mask = self.mask.raster
        steps = steps_across(self.grid, mask.grid)
        ring = math.ceil(sum(steps)) + 1 if math.isfinite(sum(steps)) else 1
        shares = Warped(_Ringed(mask, Halo(ring, ring)), self.grid, Resampling.nearest)
        return joined([self.raster.read_plan(window), shares.read_plan(window)], _Hide(self.share))


@dataclass(frozen=True, slots=True)
class _Hide:
    share: float

    def __call__(self, parts: Sequence[Pixels]) -> Pixels:
        pixels, shares = parts
        with np.errstate(invalid="ignore"):  # NaN where the mask does not reach
            hidden = shares.values[0] > self.share + _SHARE_ROUNDING
        return Pixels.masked(np.where(hidden, np.float32(np.nan), pixels.values))


@dataclass(frozen=True, slots=True)
class _Ringed(RasterView):
    """A mask with zeros around it, so that an average across its border counts the area outside as not masked."""

    raster: Raster
    by: Halo

    @property
    def grid(self) -> GeoBox:
        """The grid of the mask and the zeros around it."""
        height, width = self.raster.grid.shape.yx
        around = Window(-self.by.y, -self.by.x, height + 2 * self.by.y, width + 2 * self.by.x)
        return window_grid(self.raster.grid, around)

    def read_plan(self, window: Window) -> ReadPlan:
        """Return the reads of the part of the mask that lies in a window."""
        moved = Window(window.row - self.by.y, window.col - self.by.x, window.height, window.width)
        within = moved.intersection(Window.whole(self.raster.grid.shape.yx))
        if not (within.height and within.width):
            return ReadPlan((), _Ring(None, window, window.shape))
        under = self.raster.read_plan(within)
        return ReadPlan(under.reads, _Ring(under.combine, within.relative_to(moved), window.shape))


@dataclass(frozen=True, slots=True)
class _Ring:
    under: Combine | None
    place: Window
    """The part of the window that the mask covers."""
    shape: tuple[int, int]

    def __call__(self, parts: Sequence[Pixels]) -> Pixels:
        values = np.zeros((1, *self.shape), np.float32)
        if self.under is not None:
            values[(slice(None), *self.place.slices)] = self.under(parts).values
        return Pixels.masked(values)


@dataclass(frozen=True, slots=True)
class _RuledFile(RasterView):
    """The pixels of a mask file as 1 where they mask and 0 elsewhere, so that the rule applies to stored values."""

    raster: FileRaster
    rule: MaskRule

    @property
    def grid(self) -> GeoBox:
        """The file's grid."""
        return self.raster.grid

    def read_plan(self, window: Window) -> ReadPlan:
        """Return the plan that reads the window from this file."""
        return ReadPlan.of(self, window)

    def read(self, window: Window) -> Pixels:
        """Read a window and apply the rule."""
        raw, hidden = self.raster.stored(window)
        masked = self.rule.masked(raw, self.raster.nodata, self.raster.name)
        return Pixels.masked((masked if hidden is None else masked | hidden).astype(np.float32))

    def __dask_tokenize__(self) -> object:
        """Return the state of the file and the rule."""
        return type(self).__name__, self.raster.__dask_tokenize__(), *astuple(self.rule)


def _ruled_array(array: ArrayRaster, rule: MaskRule) -> ArrayRaster:
    masked = array.raw.map_blocks(
        _apply_rule, rule, array.nodata, array.name, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32)
    )
    return replace(array, raw=masked, raw_nodata=(None,), nodata=None)


def _apply_rule(raw: NDArray[Any], rule: MaskRule, nodata: float | None, name: str) -> NDArray[np.float32]:
    return rule.masked(raw, nodata, name).astype(np.float32)


def path_and_rule(mask: str | PathLike[str], *, windows: bool = os.name == "nt") -> tuple[str, str]:
    """Split "FILE:BITS" or "FILE>NUMBER" into the path and the rule; the rule is empty if the whole text names a file.

    Args:
        mask: The text, as in "qa.tif:3,4" or "clouds.tif>66".
        windows: Whether a single letter before a colon is a drive.
    """
    text = fspath(mask)
    match = _RULED.fullmatch(text)
    if match is None or Path(text).exists():
        return text, ""
    path, rule = match["path"], match["rule"]
    is_drive = windows and rule[0] == ":" and len(path) == 1 and path.isalpha()
    return (text, "") if is_drive else (path, rule.replace(" ", ""))


def _mask_band(opened: FileRaster | ArrayRaster) -> tuple[int, MaskRule | None]:
    """Return the number of the band that is the mask, and the rule that its name stands for, if any."""
    labels = opened.labels if isinstance(opened, ArrayRaster) else ()
    rules = [_known(band, *labels[i : i + 1]) for i, band in enumerate(opened.bands)]
    if len(rules) == 1:
        return opened.numbers[0], rules[0] or _known(Path(opened.name).name)
    named = [(number, rule) for number, rule in zip(opened.numbers, rules, strict=True) if rule is not None]
    if len(named) == 1:
        return named[0]
    bands = listed(opened.bands, opened.numbers)
    raise InputError(
        f"{opened.name} has {len(rules)} bands ({bands}), and {len(named) or 'none'} of them are called QA_PIXEL or "
        "SCL: extract the mask's band with gdal_translate -b or .isel(band=0)"
    )


def _known(*names: str) -> MaskRule | None:
    """Return the rule of a mask that has a known word in one of its names, in upper or lower case."""
    for word, rule in _KNOWN.items():
        if any(re.search(rf"(?<![a-z]){word}(?![a-z])", name, re.IGNORECASE) for name in names):
            return rule
    return None


def _refuse_fractions(values: NDArray[Any], name: str) -> None:
    exact = _EXACT[values.dtype.itemsize]
    if (values != np.round(values)).any():
        value = values[values != np.round(values)].flat[0]
        raise InputError(
            f"{name} holds {value:g}, and bits and classes need integers: give the original mask, not a resampled one"
        )
    if (np.abs(values) > exact).any():
        raise InputError(
            f"{name} holds {values.dtype} values above {exact}, whose lowest bits are lost: store it as integers"
        )
