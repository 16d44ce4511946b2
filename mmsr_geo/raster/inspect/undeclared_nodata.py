"""Values that look like nodata though none is declared: looked for in a few windows, said in one sentence."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsr_geo.errors import NodataWarning
from mmsr_geo.geometry import Window
from mmsr_geo.raster.base import Raster
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.views.base import RasterView

LEAST_SHARE = 0.01
"""On fewer of the pixels looked at, a value is not suspected."""
_LOOKS = 5
"""Windows down, and across."""
_LOOK_PX = 128
_CONVENTIONAL = (-9999, -99999, -999999, -999, -32768, -32767, 32767, 65535, 9999, 99999, 1e20, -1e20, 1e30, -1e30)
"""What people write for nodata, beside the limits of a type."""
_FEW = 16
"""Fewer different values than this are classes, of which any may stand apart."""
_NEAR = 0.15
"""Of the range: a pixel that near to a collar's value in all bands is of the collar's kind."""
_BORDER_SHARE = 0.1
"""Of the border, that a collar takes at least."""


@dataclass(frozen=True, slots=True)
class ProbeWindow:
    """Some pixels of a raster."""

    values: NDArray[np.float32]
    """(bands, h, w), in raw units; not finite where a hole is known."""
    border: NDArray[np.bool_]
    """(h, w), where they lie on the raster's border."""


@dataclass(frozen=True, slots=True)
class NodataSuspicion:
    """A value that may stand for nodata."""

    value: float
    share: float
    """Of the pixels looked at, 0..1."""
    collar: bool = False
    """Whether it is suspected for lying along the border in all bands, not for being far from all others."""

    def __str__(self) -> str:
        """Return the value and why it is suspected."""
        value, percent = _number(self.value), 100 * self.share
        share = f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %"
        if self.collar:
            return f"{value} stands in all bands at once on {share} of the pixels looked at, along the border"
        return f"{value} stands on {share} of the pixels looked at, far from all others"


def suspected_nodata(looks: Sequence[ProbeWindow], dtype: np.dtype[Any]) -> NodataSuspicion | None:
    """Return the value that looks like nodata, if one does; dtype: what the raster is stored in.

    A band's least or largest value is suspected where it is on 1 % of the pixels at least and the next value is as far
    from it as the rest span (from their 1st to their 99th percentile; twice that for 0, which much is counted from);
    the rest must be of 16 values or more, unless it is a value that people write for nodata. Of several bands, 0 or a
    limit of an integer type is suspected where it is in all of them at once on 1 % of the pixels and a tenth of the
    border, and the pixels beside are of another kind, as beside the collar of a rotated image.
    """
    found = [*_far_values(looks, dtype), *_collars(looks, dtype)]
    return max(found, key=lambda suspicion: suspicion.share, default=None)


def find_undeclared_nodata(raster: Raster) -> NodataSuspicion | None:
    """Look for undeclared nodata in 25 windows of 128 x 128 pixels at most, corners and edges included.

    Of a raster made of one other (masked, coarser, on another grid) that one is looked at. Nothing is read where the
    raster declares its holes: a nodata value, a mask band or alpha.
    """
    raster = stored_raster(raster)
    if raster.declares_holes if isinstance(raster, FileRaster) else raster.nodata is not None:
        return None
    height, width = raster.grid.shape.yx
    windows = list(_windows(height, width))
    looks = []
    for window in windows:
        border = np.zeros(window.shape, np.bool_)
        rows = np.arange(window.row, window.row + window.height)
        cols = np.arange(window.col, window.col + window.width)
        border[(rows == 0) | (rows == height - 1)] = True
        border[:, (cols == 0) | (cols == width - 1)] = True
        looks.append(ProbeWindow(raster.read(window).values, border))
    suspicion = suspected_nodata(looks, raster.dtype)
    if suspicion is None:
        return None
    counts = [np.count_nonzero(look.values == np.float32(suspicion.value)) for look in looks]
    return replace(suspicion, value=_as_stored(raster, windows[int(np.argmax(counts))], suspicion.value))


def stored_raster(raster: Raster) -> Raster:
    """Return what a raster is made of where that is one other."""
    while isinstance(raster, RasterView):
        raster = raster.raster
    return raster


def warn_undeclared_nodata(source: Raster, guides: Sequence[Raster], *, arrays: bool = True) -> None:
    """Look for undeclared nodata in all of them and say what was found, a NodataWarning each.

    arrays: whether in arrays too, whose windows may take long to compute.
    """
    for option, raster in [("source_nodata", source), *(("guide_nodata", guide) for guide in guides)]:
        if not arrays and isinstance(stored_raster(raster), ArrayRaster):
            continue
        suspicion = find_undeclared_nodata(raster)
        if suspicion is not None:
            warnings.warn(nodata_sentence(raster.name, suspicion, option), NodataWarning, stacklevel=2)


def nodata_sentence(name: str, suspicion: NodataSuspicion, option: str) -> str:
    """Return what a person is told: option as Python has it, "source_nodata" or "guide_nodata"."""
    value = _number(suspicion.value)
    flag = option.replace("_", "-")
    return f"{name}: {suspicion}, and no nodata is declared: pass --{flag} {value} ({option}={value}) if they are holes"


def _far_values(looks: Sequence[ProbeWindow], dtype: np.dtype[Any]) -> Iterator[NodataSuspicion]:
    for band in range(len(looks[0].values)):
        values = np.concatenate([look.values[band].ravel() for look in looks])
        known = values[np.isfinite(values)]
        different, counts = np.unique(known, return_counts=True)
        if len(different) < 3:
            continue
        for at, beside, rest in [(0, 1, slice(1, None)), (-1, -2, slice(None, -1))]:
            value, share = float(different[at]), float(counts[at] / len(values))
            conventional = value != 0 and value in {float(np.float32(one)) for one in (*_CONVENTIONAL, *_limits(dtype))}
            if share < LEAST_SHARE or (len(different) <= _FEW and not conventional):
                continue
            low, high = _percentiles(different[rest].astype(np.float64), counts[rest])
            gap = abs(float(different[beside]) - value)
            if gap >= (high - low) * (1 if value else 2) and gap > 0:
                yield NodataSuspicion(value, share)


def _collars(looks: Sequence[ProbeWindow], dtype: np.dtype[Any]) -> Iterator[NodataSuspicion]:
    if len(looks[0].values) < 2:
        return
    for value in {0.0, *(_limits(dtype) if dtype.kind in "iu" else ())}:
        exact = [(look.values == np.float32(value)).all(axis=0) for look in looks]
        share = sum(map(np.count_nonzero, exact)) / sum(map(np.size, exact))
        on_border = sum(np.count_nonzero(part & look.border) for part, look in zip(exact, looks, strict=True))
        border = sum(np.count_nonzero(look.border) for look in looks)
        if share < LEAST_SHARE or on_border < _BORDER_SHARE * border:
            continue
        others = np.concatenate([look.values[:, ~part] for part, look in zip(exact, looks, strict=True)], axis=1)
        others = others[:, np.isfinite(others).all(axis=0)].astype(np.float64)
        if (
            others.size < _FEW
            or len(np.unique(others)) < _FEW
            or not ((others >= value).all() or (others <= value).all())
        ):
            continue
        reach = _NEAR * np.ptp(np.percentile(others, [1, 99], axis=1), axis=0)
        kin = [(np.abs(look.values - np.float32(value)) <= reach[:, None, None]).all(axis=0) for look in looks]
        beside = [_beside(part) for part in exact]
        near = sum(np.count_nonzero(a & b) for a, b in zip(beside, kin, strict=True))
        alike = sum(np.count_nonzero(b & ~part) for b, part in zip(kin, exact, strict=True))
        if near <= 0.3 * sum(map(np.count_nonzero, beside)) and alike <= sum(map(np.count_nonzero, exact)):
            yield NodataSuspicion(value, float(share), collar=True)


def _beside(part: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels that touch a part with a side and are none of it."""
    padded = np.pad(part, 1)
    touched = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return np.asarray(touched & ~part)


def _percentiles(different: NDArray[np.float64], counts: NDArray[np.integer]) -> tuple[float, float]:
    """Return the 1st and the 99th percentile of values of which there are so many each."""
    ranks = np.cumsum(counts) / counts.sum()
    low, high = (different[min(int(np.searchsorted(ranks, share)), len(different) - 1)] for share in (0.01, 0.99))
    return float(low), float(high)


def _limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    info: Any = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(np.float32)
    return float(info.min), float(info.max)


def _windows(height: int, width: int) -> Iterator[Window]:
    for row in _starts(height):
        for col in _starts(width):
            yield Window(row, col, min(_LOOK_PX, height), min(_LOOK_PX, width))


def _starts(length: int) -> list[int]:
    count = min(_LOOKS, -(-length // _LOOK_PX))
    return [round(start) for start in np.linspace(0, max(length - _LOOK_PX, 0), count)]


def _as_stored(raster: Raster, window: Window, value: float) -> float:
    """Return the value with the digits that float32 has lost, and without the ones that it has added."""
    if isinstance(raster, FileRaster):
        raw = raster.stored(window)[0]
    elif isinstance(raster, ArrayRaster):
        raw = raster.stored(window)
    else:
        return value
    found = raw[raw.astype(np.float32) == np.float32(value)]
    # 1e20 is 100000002004087734272 as float32, and is written 1e+20.
    return float(str(found[0])) if len(found) else value


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
