"""Classes as a guide: one band per class, the share of a pixel that it covers; settled once for a whole raster."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from mmsr_geo.errors import GridError, GuideWarning, InputError
from mmsr_geo.geometry import Window
from mmsr_geo.raster.base import BandTags, Combine, Pixels, Raster, ReadPlan
from mmsr_geo.raster.grids import covering_window, near
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.read.legends import Legend
from mmsr_geo.raster.views.base import RasterView
from mmsr_geo.raster.views.stack import Stacked
from mmsr_geo.raster.views.warp import GridWarp, Warped
from mmsr_geo.spelling import option

MOST_CLASS_BANDS = 32
"""Most bands of one band of classes; the last of them then holds all other classes."""
RARE_SHARE = 0.01
"""Share of the pixels below which classes share a band."""
_COUNTED_PX = 2**24
"""Pixels up to which all are counted; of a larger raster, windows."""
_WINDOWS, _WINDOW_PX, _STRIP_PX = 8, 512, 1024
"""Windows down and across that are counted of a large raster, their side, and the height of a strip, in pixels."""
_PICTURE_COLOURS = 32
"""Colours in use up to which a colour table is one of classes."""
_FLAT = 0.5
"""Share of neighbours of one code below which a colour table of many colours is a picture's."""
_RAMP = 0.25
"""Difference between colours of codes next to each other, over that of any two, below which they are a ramp."""
_VALUES_AT_ONCE = 2**24
"""Values that are resampled at once: 64 MB."""
_LARGEST_CODE = 2**24
"""Largest code that float32 holds exactly."""
_OTHER = "other classes"


@dataclass(frozen=True, slots=True)
class ClassShares(RasterView):
    """A band of classes as one band per class, 1 where a pixel has it and 0 elsewhere: an average is a share."""

    raster: Raster
    """One band, of codes."""
    codes: tuple[int, ...]
    """The codes that have a band of their own."""
    others: bool
    """Whether the last band holds all other classes. Without it a pixel of another class is nodata."""
    names: tuple[tuple[int, str], ...] = ()
    counted: tuple[tuple[int, float], ...] = ()
    """The codes that were found in the pixels, and their shares of them, 0 to 1."""

    @property
    def grid(self) -> GeoBox:
        """The grid of the codes."""
        return self.raster.grid

    @property
    def bands(self) -> tuple[str, ...]:
        """The class of each band, as in "class 10 (Tree cover)", after the name of the band of codes if it has one."""
        (band,), (number,), names = self.raster.bands, self.raster.numbers, dict(self.names)
        before = "" if band == str(number) else f"{band} "
        bands = [f"{before}class {code}" + (f" ({names[code]})" if code in names else "") for code in self.codes]
        return (*bands, f"{before}{_OTHER}") if self.others else tuple(bands)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The number of the band of codes, for each band."""
        return self.raster.numbers * (len(self.codes) + self.others)

    @property
    def band_tags(self) -> tuple[BandTags, ...]:
        """The metadata of each band: its name."""
        return tuple(BandTags(band) for band in self.bands)

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32, of shares."""
        return np.dtype(np.float32)

    @property
    def nodata(self) -> float | None:
        """None: NaN is nodata."""
        return None

    def read_plan(self, window: Window) -> ReadPlan:
        """Return the read of the codes in a window."""
        under = self.raster.read_plan(window)
        return ReadPlan(under.reads, _Share(under.combine, self.codes, self.others))

    def on(self, grid: GeoBox) -> Raster:
        """Return the shares on another grid: averaged, or of the nearest pixel where pixels are not smaller there."""
        return _Resampled(self, grid)

    @property
    def sentence(self) -> str:
        """Which classes have bands of their own, and which share one."""
        one = f"{self.raster.name}: {_listed(self.codes)} as one band each" if self.codes else f"{self.raster.name}:"
        rest = [code for code, _ in self.counted if code not in self.codes]
        if not self.others:
            return one
        share = sum(share for code, share in self.counted if code in rest)
        found = f"{_listed(rest)}, {share:.1%} of the pixels" if rest else "none found"
        return f"{one}, all others in one ({found})"

    def of_bands(self, bands: Sequence[str]) -> ClassShares:
        """Return the same raster with the classes of a model's bands, in their order; warns of classes that have none.

        Args:
            bands: Names of bands as `bands` returns them.
        """
        found = [_parsed(band) for band in bands]
        codes = tuple(code for _, code in found if isinstance(code, int))
        shares = replace(self, codes=codes, others=len(codes) < len(found))
        strange = [(code, share) for code, share in self.counted if code not in codes]
        if strange and not shares.others:
            share = sum(share for _, share in strange)
            warnings.warn(
                f"{self.raster.name} holds {_listed([code for code, _ in strange])} ({share:.1%} of its pixels), and "
                f"the model has bands of {_listed(codes)} only: the guide has a gap there; fit a new model to use all",
                GuideWarning,
                stacklevel=2,
            )
        return shares


@dataclass(frozen=True, slots=True)
class _Share:
    under: Combine
    codes: tuple[int, ...]
    others: bool

    def __call__(self, parts: Sequence[Pixels]) -> Pixels:
        pixels = self.under(parts)
        return self.of(pixels, range(len(self.codes) + self.others))

    def of(self, pixels: Pixels, bands: Sequence[int]) -> Pixels:
        """Return some of the bands for the pixels of the codes."""
        values = pixels.values[0]
        known = np.isin(values, np.array(self.codes, np.float32))
        valid = pixels.valid if self.others else pixels.valid & known
        shares = [values == np.float32(self.codes[band]) if band < len(self.codes) else ~known for band in bands]
        return Pixels(np.where(valid, np.stack(shares), np.float32(np.nan)).astype(np.float32, copy=False), valid)


@dataclass(frozen=True, slots=True)
class _Resampled(RasterView):
    """Shares on another grid; a few of them are in memory at a time on the grid of the codes, which may be fine."""

    raster: ClassShares
    grid: GeoBox

    def read_plan(self, window: Window) -> ReadPlan:
        """Return the read of the codes that a window needs; none where they do not reach."""
        shares = self.raster
        warp = GridWarp(near(shares.grid, self.grid), self.grid, Resampling.nearest)
        native = warp.native_window(window)
        if not (native.height and native.width):
            return Warped(shares, self.grid).read_plan(window)
        codes = shares.raster.read_plan(native)
        return ReadPlan(
            codes.reads, _Resample(_Share(codes.combine, shares.codes, shares.others), warp, native, window)
        )


@dataclass(frozen=True, slots=True)
class _Resample:
    share: _Share
    warp: GridWarp
    native: Window
    window: Window

    def __call__(self, parts: Sequence[Pixels]) -> Pixels:
        pixels = self.share.under(parts)
        count = len(self.share.codes) + self.share.others
        step = max(1, _VALUES_AT_ONCE // pixels.valid.size)
        values = [
            self.warp.warp(
                self.share.of(pixels, range(first, min(first + step, count))), self.native, self.window
            ).values
            for first in range(0, count, step)
        ]
        return Pixels.masked(np.concatenate(values))


def with_class_bands(raster: Raster, around: GeoBox) -> Raster:
    """Return a guide with its bands of classes as shares, after its other bands; a guide without classes as it is.

    Args:
        raster: A guide as it was opened.
        around: The grid of the source. Classes are counted within it.

    Raises:
        InputError: The classes are not whole numbers, or a colour table is a picture's.
    """
    if not isinstance(raster, FileRaster | ArrayRaster) or not any(raster.legends):
        return raster
    quantities = [place for place, legend in enumerate(raster.legends) if legend is None]
    parts: list[Raster] = [raster.at(quantities)] if quantities else []
    parts += [
        _settled(raster.at([place]), legend, around)
        for place, legend in enumerate(raster.legends)
        if legend is not None
    ]
    return parts[0] if len(parts) == 1 else Stacked(tuple(parts))


def parts_of(raster: Raster) -> tuple[Raster, ...]:
    """Return the parts of a guide: its quantities as one raster, and each band of classes."""
    return raster.rasters if isinstance(raster, Stacked) else (raster,)


def quantities_of(raster: Raster) -> tuple[Raster, ...]:
    """Return the rasters of a guide that hold quantities."""
    return tuple(part for part in parts_of(raster) if not isinstance(part, ClassShares))


def with_classes_of(rasters: Sequence[Raster], bands: Sequence[str]) -> tuple[Raster, ...]:
    """Return guides with the classes of a model's bands; as they are where its bands are not of classes.

    Args:
        rasters: The guides.
        bands: Names of all bands of the guides of a model.
    """
    rest = list(bands)

    def matched(raster: Raster) -> Raster:
        if isinstance(raster, Stacked):
            return Stacked(tuple(matched(part) for part in raster.rasters))
        if not isinstance(raster, ClassShares):
            del rest[: len(raster.bands)]
            return raster
        run = _first_run(rest)
        del rest[: len(run)]
        return raster.of_bands(run) if run else raster

    return tuple(matched(raster) for raster in rasters)


def class_of(band: str) -> int | str | None:
    """Return the code of a band of a class, "other" for a band of all others; None for a band of a quantity."""
    return _parsed(band)[1]


def _first_run(bands: Sequence[str]) -> list[str]:
    """Return the bands at the start that come from one band of classes."""
    run: list[str] = []
    seen: set[int | str] = set()
    for band in bands:
        before, code = _parsed(band)
        if code is None or code in seen or "other" in seen or (run and before != _parsed(run[0])[0]):
            break
        seen.add(code)
        run.append(band)
    return run


def _parsed(band: str) -> tuple[str, int | str | None]:
    if match := re.fullmatch(r"(.*?)class (-?\d+)(?: \(.*\))?", band):
        return match[1], int(match[2])
    return (band.removesuffix(_OTHER), "other") if band.endswith(_OTHER) else (band, None)


def _listed(codes: Sequence[int]) -> str:
    return f"class{'es' if len(codes) > 1 else ''} {', '.join(map(str, codes))}"


def _settled(raster: FileRaster | ArrayRaster, legend: Legend, around: GeoBox) -> ClassShares:
    """Return a band of codes as shares, with a band for each class that is not rare."""
    windows, whole = _counted_windows(raster.grid, around)
    counts: dict[int, int] = {}
    alike = compared = 0
    for window in windows:
        pixels = raster.read(window)
        for code, count in _codes(raster.name, pixels):
            counts[code] = counts.get(code, 0) + count
        pairs = pixels.valid[:, 1:] & pixels.valid[:, :-1]
        compared += int(np.count_nonzero(pairs))
        alike += int(np.count_nonzero(pairs & (pixels.values[0, :, 1:] == pixels.values[0, :, :-1])))
    if legend.colours and len(counts) > _PICTURE_COLOURS and _is_picture(counts, legend, alike / max(compared, 1)):
        raise InputError(
            f"{raster.name} has a colour table of which {len(counts)} colours are in use, as a picture has: expand it "
            f"to RGB (gdal_translate -expand rgb), or pass {option('guide_classes', raster.numbers[0])} if they are "
            "classes"
        )
    total = max(sum(counts.values()), 1)
    ordered = sorted(counts, key=lambda code: (-counts[code], code))
    common = [code for code in ordered if counts[code] >= RARE_SHARE * total][: MOST_CLASS_BANDS - 1]
    if whole and len(common) == len(counts) - 1:
        common = ordered
    others = len(common) < len(counts) or not whole or not common
    counted = tuple((code, counts[code] / total) for code in sorted(counts))
    return ClassShares(raster, tuple(sorted(common)), others, legend.names, counted)


def _codes(name: str, pixels: Pixels) -> Iterator[tuple[int, int]]:
    values, counts = np.unique(pixels.values[0][pixels.valid], return_counts=True)
    if len(wrong := values[values != np.round(values)]):
        raise InputError(
            f"{name} holds {wrong[0]:g}, and classes need whole numbers: give the original classes, not resampled ones"
        )
    if len(values) and np.abs(values).max() > _LARGEST_CODE:
        raise InputError(
            f"{name} holds the class {np.abs(values).max():.0f}: renumber its classes to numbers up to {_LARGEST_CODE}"
        )
    yield from zip(values.astype(np.int64).tolist(), counts.tolist(), strict=True)


def _counted_windows(grid: GeoBox, around: GeoBox) -> tuple[list[Window], bool]:
    """Return the windows that are counted, and whether they are all of the raster around the source."""
    whole = Window.whole(grid.shape.yx)
    try:
        part = covering_window(grid, around).intersection(whole)
    except GridError:
        part = whole
    if not (part.height and part.width):
        part = whole
    if part.height * part.width <= _COUNTED_PX:
        strips = range(0, part.height, _STRIP_PX)
        return [Window(part.row + top, part.col, min(_STRIP_PX, part.height - top), part.width) for top in strips], True
    height, width = min(_WINDOW_PX, part.height), min(_WINDOW_PX, part.width)
    rows, cols = (
        sorted({start + (length - side) * step // (_WINDOWS - 1) for step in range(_WINDOWS)})
        for start, length, side in ((part.row, part.height, height), (part.col, part.width, width))
    )
    return [Window(row, col, height, width) for row in rows for col in cols], False


def _is_picture(counts: dict[int, int], legend: Legend, alike: float) -> bool:
    """Return True if neighbours mostly differ, or if the colours of the codes in use are a ramp."""
    if alike < _FLAT:
        return True
    colours: NDArray[np.float64] = np.array(
        [legend.colours[code] for code in sorted(counts) if 0 <= code < len(legend.colours)], np.float64
    )
    steps = np.linalg.norm(np.diff(colours, axis=0), axis=1).mean()
    any_two = np.linalg.norm(colours[:, None] - colours[None], axis=2).mean()
    return bool(steps < _RAMP * any_two)
