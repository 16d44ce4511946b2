"""Masks beside a raster (clouds, water): which of their values hide a pixel, and the raster with holes there."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias

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
"""Below this a share's excess is what the area's average rounds: half is not more than half."""
_EXACT = {2: 2**11, 4: 2**24, 8: 2**53}
"""Up to here whole numbers are exact in a float of so many bytes."""


@dataclass(frozen=True, slots=True)
class MaskRule:
    """Which values of a mask hide a pixel: any of the bits set, one of the classes, or, of neither, all but zero."""

    bits: tuple[int, ...] = ()
    """From 0, the least."""
    classes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse bits that no number has."""
        if wrong := [bit for bit in self.bits if not 0 <= bit < 64]:
            raise OptionError(f"a mask has no bit {wrong[0]}: count from 0 to 63, as in QA_PIXEL.TIF:3,4")
        if self.bits and self.classes:
            raise OptionError("a mask is read by bits or by classes: give one of them")

    def masked(self, raw: NDArray[Any], nodata: float | None, name: str) -> NDArray[np.bool_]:
        """Return where values, as they are stored, hide a pixel; any shape.

        nodata: the mask's own, and so are NaN and infinities: they hide a pixel too. Only a nodata of 0 in a mask that
        is read as zero or not stands for nothing marked. Raises InputError, with the mask's `name`, for bits and
        classes of values that are no whole numbers.
        """
        unmarked = nodata == 0 and not self.bits and not self.classes
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
            found = self._any_bit(whole)
        elif self.classes:
            found = np.isin(whole, self.classes)
        else:
            found = whole != 0
        return found & ~missing if unmarked else found | missing

    def _any_bit(self, whole: NDArray[Any]) -> NDArray[np.bool_]:
        # The same bits, two's complement for the negative ones, in a type that every bit's number fits.
        words = whole.astype(np.int64).view(np.uint64) if whole.dtype.kind == "i" else whole.astype(np.uint64)
        wanted = np.uint64(sum(1 << bit for bit in set(self.bits)))
        return np.asarray((words & wanted) != 0)


LANDSAT_QA_PIXEL = MaskRule(bits=(0, 1, 2, 3, 4))
"""Fill, dilated cloud, cirrus, cloud, cloud shadow: Landsat 8-9 Collection 2 Level 2 Science Product Guide (LSDS-1619),
table of QA_PIXEL bits; of Landsat 4 to 7 (LSDS-1618) the same but for cirrus, which is never set."""
SENTINEL2_SCL = MaskRule(classes=(0, 1, 3, 8, 9, 10))
"""No data, saturated or defective, cloud shadow, cloud of medium and of high probability, thin cirrus: Sentinel-2
Products Specification Document (S2-PDGS-TAS-DI-PSD), Level-2A scene classification."""
_KNOWN = {"QA_PIXEL": LANDSAT_QA_PIXEL, "SCL": SENTINEL2_SCL}


@dataclass(frozen=True, slots=True)
class Mask:
    """A mask on a grid of its own."""

    raster: Raster
    """One band, 1 where a pixel is hidden and 0 elsewhere; without holes."""
    rule: MaskRule


def open_mask(mask: MaskLike, bits: Sequence[int] | None = None) -> Mask:
    """Open a mask: what is true or not zero is masked, and what the mask itself has no data for.

    Args:
        mask: a path, "FILE:BITS" with bits from 0 ("qa.tif:1,3,4": masked where any of them is set), or a DataArray.
            Without bits, Landsat's QA_PIXEL and Sentinel-2's SCL are known by the name of the file, array or band:
            QA_PIXEL masks fill, dilated cloud, cirrus, cloud and cloud shadow (Landsat Collection 2 Science Product
            Guides LSDS-1618 and LSDS-1619), SCL masks no data, saturated or defective, cloud shadow, cloud of medium
            and high probability, and thin cirrus (Sentinel-2 Products Specification Document). Of several bands the
            one so called is taken.
        bits: the same as in "FILE:BITS".

    Values are judged as they are stored, before the mask is brought onto any other grid. Raises InputError for what
    cannot be opened or is no mask, GridError for what is not georeferenced, OptionError for bits that there are not.
    """
    opened: FileRaster | ArrayRaster
    match mask:
        case xr.DataArray():
            opened = ArrayRaster.of(mask, quantity=False)
        case str() | PathLike():
            path, said = path_and_bits(mask)
            bits = said if bits is None else bits
            opened = FileRaster.open(path, quantity=False)
        case _:
            msg = f"a mask is a path or a DataArray, not {type(mask).__name__}: select one variable of a Dataset"
            raise InputError(msg)
    number, known = _mask_band(opened)
    rule = known or MaskRule() if bits is None else MaskRule(bits=tuple(bits))
    if rule.bits and opened.dtype.kind in "iu" and max(rule.bits) >= 8 * opened.dtype.itemsize:
        has = 8 * opened.dtype.itemsize
        raise OptionError(f"{opened.name} has no bit {max(rule.bits)}: {opened.dtype} has {has}, from 0 to {has - 1}")
    if isinstance(opened, ArrayRaster):
        return Mask(_judged_array(opened.taking([number]), rule), rule)
    return Mask(_JudgedFile(FileRaster.open(opened.path, [number], quantity=False), rule), rule)


@dataclass(frozen=True, slots=True)
class Masked(RasterView):
    """A raster with holes where more than `share` of a pixel's area is masked.

    A mask that is finer is averaged by area on the raster's pixels, one that is not is taken from its nearest pixel.
    Where the mask does not reach, nothing is masked.
    """

    raster: Raster
    mask: Mask
    share: float = 0.5

    @property
    def grid(self) -> GeoBox:
        """The raster's grid."""
        return self.raster.grid

    def read_plan(self, window: Window) -> ReadPlan:
        """Return what of the raster and of the mask a window takes."""
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
    """A mask with zeros around it: an average beyond its border counts them, not what is within alone."""

    raster: Raster
    by: Halo

    @property
    def grid(self) -> GeoBox:
        """The mask's grid and the ring."""
        height, width = self.raster.grid.shape.yx
        around = Window(-self.by.y, -self.by.x, height + 2 * self.by.y, width + 2 * self.by.x)
        return window_grid(self.raster.grid, around)

    def read_plan(self, window: Window) -> ReadPlan:
        """Return what of the mask lies in a window."""
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
    """Where the mask lies in the window."""
    shape: tuple[int, int]

    def __call__(self, parts: Sequence[Pixels]) -> Pixels:
        values = np.zeros((1, *self.shape), np.float32)
        if self.under is not None:
            values[(slice(None), *self.place.slices)] = self.under(parts).values
        return Pixels.masked(values)


@dataclass(frozen=True, slots=True)
class _JudgedFile(RasterView):
    """A mask file's pixels as 1 where they hide and 0 elsewhere: a leaf, so that they are judged as they are stored."""

    raster: FileRaster
    rule: MaskRule

    @property
    def grid(self) -> GeoBox:
        """The file's grid."""
        return self.raster.grid

    def read_plan(self, window: Window) -> ReadPlan:
        """Return the place alone."""
        return ReadPlan.of(self, window)

    def read(self, window: Window) -> Pixels:
        """Read a window and judge it."""
        raw, hidden = self.raster.stored(window)
        masked = self.rule.masked(raw, self.raster.nodata, self.raster.name)
        return Pixels.masked((masked if hidden is None else masked | hidden).astype(np.float32))

    def __dask_tokenize__(self) -> object:
        """Identify the file's state and the rule."""
        return type(self).__name__, self.raster.__dask_tokenize__(), self.rule.bits, self.rule.classes


def _judged_array(array: ArrayRaster, rule: MaskRule) -> ArrayRaster:
    judged = array.raw.map_blocks(
        _judged, rule, array.nodata, array.name, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32)
    )
    return replace(array, raw=judged, holes=(None,), nodata=None)


def _judged(raw: NDArray[Any], rule: MaskRule, nodata: float | None, name: str) -> NDArray[np.float32]:
    return rule.masked(raw, nodata, name).astype(np.float32)


def path_and_bits(mask: str | PathLike[str], *, windows: bool = os.name == "nt") -> tuple[str, tuple[int, ...] | None]:
    """Split "FILE:BITS" into the path and the bits; None: no bits are given, or the whole text is the name of a file.

    Args:
        mask: The text, as in "qa.tif:3,4".
        windows: Whether a single letter before a colon is a drive.
    """
    path = fspath(mask)
    match = re.fullmatch(r"(.+):(\d+(?:,\d+)*)", path)
    is_drive = windows and match is not None and len(match[1]) == 1 and match[1].isalpha()
    if match is None or is_drive or Path(path).exists():
        return path, None
    return match[1], tuple(int(bit) for bit in match[2].split(","))


def _mask_band(opened: FileRaster | ArrayRaster) -> tuple[int, MaskRule | None]:
    """Return the number of the band that is the mask, and the rule that its name says."""
    labels = opened.labels if isinstance(opened, ArrayRaster) else ()
    known = [_known(band, *labels[i : i + 1]) for i, band in enumerate(opened.bands)]
    if len(known) == 1:
        return opened.numbers[0], known[0] or _known(Path(opened.name).name)
    if len(found := [number for number, rule in zip(opened.numbers, known, strict=True) if rule is not None]) == 1:
        return found[0], known[opened.numbers.index(found[0])]
    there = listed(opened.bands, opened.numbers)
    msg = (
        f"{opened.name} has {len(known)} bands ({there}), and {len(found) or 'none'} of them are called QA_PIXEL or "
        "SCL: give a mask of one band, as gdal_translate -b or .isel(band=0) make it"
    )
    raise InputError(msg)


def _known(*names: str) -> MaskRule | None:
    """Return the rule of a mask that is known by one of its names: as a word of its own, in any case."""
    for word, rule in _KNOWN.items():
        if any(re.search(rf"(?<![a-z]){word}(?![a-z])", name, re.IGNORECASE) for name in names):
            return rule
    return None


def _refuse_fractions(values: NDArray[Any], name: str) -> None:
    exact = _EXACT[values.dtype.itemsize]
    if (values != np.round(values)).any():
        value = values[values != np.round(values)].flat[0]
        raise InputError(f"{name} holds {value:g}, and bits and classes are whole numbers: give the mask as it came")
    if (np.abs(values) > exact).any():
        raise InputError(f"{name} holds {values.dtype} values beyond {exact}, whose bits are lost: give it as integers")
