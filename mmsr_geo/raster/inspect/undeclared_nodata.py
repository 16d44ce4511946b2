"""Values that look like undeclared nodata, found in a few windows of a raster."""

from __future__ import annotations

import math
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
from mmsr_geo.spelling import option

LEAST_SHARE = 0.01
"""Share of the sampled pixels below which a value is not suspected."""
_PROBES = 5
"""Number of sampled windows down, and across."""
_PROBE_PX = 128
"""Side of a sampled window in pixels."""
_CONVENTIONAL = (-9999, -99999, -999999, -999, -32768, -32767, 32767, 65535, 9999, 99999, 1e20, -1e20, 1e30, -1e30)
"""Values that are often used for nodata, besides the limits of a dtype."""
_FEW = 16
"""Number of different values up to which they are taken for classes, of which any may be far from the others."""
_NEAR = 0.15
"""Share of the range within which a pixel is similar to the value of a collar."""
_BORDER_SHARE = 0.1
"""Share of the raster's border that a collar covers at least."""
_LARGEST_INTEGER = 1e15
"""Absolute value from which a message writes a number in scientific notation."""


@dataclass(frozen=True, slots=True)
class ProbeWindow:
    """A sampled window of a raster."""

    values: NDArray[np.float32]
    """(bands, h, w), in stored units; not finite at known nodata."""
    border: NDArray[np.bool_]
    """(h, w), True on the border of the raster."""


@dataclass(frozen=True, slots=True)
class NodataSuspicion:
    """A value that may mean nodata."""

    value: float
    share: float
    """Share of the sampled pixels, 0 to 1."""
    collar: bool = False
    """True if the value lies along the border in all bands; False if it is far from all other values."""

    def __str__(self) -> str:
        """Return the value and the reason why it is suspected."""
        value, percent = _number(self.value), 100 * self.share
        share = f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %"
        if self.collar:
            return f"{value} is the value of {share} of the sampled pixels in all bands, along the border"
        return f"{value} is the value of {share} of the sampled pixels, far from all others"


def suspected_nodata(probes: Sequence[ProbeWindow], dtype: np.dtype[Any]) -> NodataSuspicion | None:
    """Return the value that looks like nodata, or None.

    The least or largest value of a band is suspected if at least 1 % of the pixels have it, and the distance to the
    next value is at least the range of the others, from their 1st to their 99th percentile (twice that for 0, which
    many quantities start from). There must be more than 16 other values, unless the value is one that is often used
    for nodata.

    If there are several bands, 0 or a limit of an integer dtype is suspected if at least 1 % of the pixels and a tenth
    of the border have it in all bands, and the pixels next to them are different, as at the collar of a rotated image.

    Args:
        probes: The sampled windows.
        dtype: The dtype in which the raster is stored.
    """
    suspicions = [*_far_values(probes, dtype), *_collars(probes, dtype)]
    return max(suspicions, key=lambda suspicion: suspicion.share, default=None)


def find_undeclared_nodata(raster: Raster) -> NodataSuspicion | None:
    """Return the value that looks like undeclared nodata in at most 25 windows of 128 x 128 pixels, or None.

    If the raster is derived from one other (masked, coarsened, resampled), that one is read. Nothing is read if it
    declares nodata: by a nodata value, a mask band or an alpha band.
    """
    raster = stored_raster(raster)
    if raster.declares_nodata if isinstance(raster, FileRaster) else raster.nodata is not None:
        return None
    height, width = raster.grid.shape.yx
    windows = list(_windows(height, width))
    probes = []
    for window in windows:
        border = np.zeros(window.shape, np.bool_)
        rows = np.arange(window.row, window.row + window.height)
        cols = np.arange(window.col, window.col + window.width)
        border[(rows == 0) | (rows == height - 1)] = True
        border[:, (cols == 0) | (cols == width - 1)] = True
        probes.append(ProbeWindow(raster.read(window).values, border))
    suspicion = suspected_nodata(probes, raster.dtype)
    if suspicion is None:
        return None
    counts = [np.count_nonzero(probe.values == np.float32(suspicion.value)) for probe in probes]
    return replace(suspicion, value=_as_stored(raster, windows[int(np.argmax(counts))], suspicion.value))


def stored_raster(raster: Raster) -> Raster:
    """Return the raster that another is derived from, or the raster itself if it is not derived from one other."""
    while isinstance(raster, RasterView):
        raster = raster.raster
    return raster


def warn_undeclared_nodata(source: Raster, guides: Sequence[Raster], *, arrays: bool = True) -> None:
    """Warn (NodataWarning) for each raster in which a value looks like undeclared nodata.

    Args:
        source: The source.
        guides: The guides.
        arrays: Whether arrays are sampled too, whose windows may take long to compute.
    """
    for name, raster in [("source_nodata", source), *(("guide_nodata", guide) for guide in guides)]:
        if not arrays and isinstance(stored_raster(raster), ArrayRaster):
            continue
        suspicion = find_undeclared_nodata(raster)
        if suspicion is not None:
            warnings.warn(nodata_message(raster.name, suspicion, name), NodataWarning, stacklevel=2)


def nodata_message(raster: str, suspicion: NodataSuspicion, name: str) -> str:
    """Return the warning of undeclared nodata in a raster; name: the option, "source_nodata" or "guide_nodata"."""
    value = suspicion.value
    exact = int(value) if value.is_integer() and abs(value) < _LARGEST_INTEGER else value
    return f"{raster}: {suspicion}, and no nodata is declared: pass {option(name, exact)} if it means nodata"


def _far_values(probes: Sequence[ProbeWindow], dtype: np.dtype[Any]) -> Iterator[NodataSuspicion]:
    for band in range(len(probes[0].values)):
        values = np.concatenate([probe.values[band].ravel() for probe in probes])
        known = values[np.isfinite(values)]
        different, counts = np.unique(known, return_counts=True)
        if len(different) < 3:
            continue
        for at, next_to, rest in [(0, 1, slice(1, None)), (-1, -2, slice(None, -1))]:
            value, share = float(different[at]), float(counts[at] / len(values))
            conventional = value != 0 and value in {float(np.float32(one)) for one in (*_CONVENTIONAL, *_limits(dtype))}
            if share < LEAST_SHARE or (len(different) <= _FEW and not conventional):
                continue
            low, high = _percentiles(different[rest].astype(np.float64), counts[rest])
            gap = abs(float(different[next_to]) - value)
            if gap >= (high - low) * (1 if value else 2) and gap > 0:
                yield NodataSuspicion(value, share)


def _collars(probes: Sequence[ProbeWindow], dtype: np.dtype[Any]) -> Iterator[NodataSuspicion]:
    if len(probes[0].values) < 2:
        return
    for value in {0.0, *(_limits(dtype) if dtype.kind in "iu" else ())}:
        exact = [(probe.values == np.float32(value)).all(axis=0) for probe in probes]
        share = sum(map(np.count_nonzero, exact)) / sum(map(np.size, exact))
        on_border = sum(np.count_nonzero(part & probe.border) for part, probe in zip(exact, probes, strict=True))
        border = sum(np.count_nonzero(probe.border) for probe in probes)
        if share < LEAST_SHARE or on_border < _BORDER_SHARE * border:
            continue
        others = np.concatenate([probe.values[:, ~part] for part, probe in zip(exact, probes, strict=True)], axis=1)
        others = others[:, np.isfinite(others).all(axis=0)].astype(np.float64)
        if (
            others.size < _FEW
            or len(np.unique(others)) < _FEW
            or not ((others >= value).all() or (others <= value).all())
        ):
            continue
        reach = _NEAR * np.ptp(np.percentile(others, [1, 99], axis=1), axis=0)
        kin = [(np.abs(probe.values - np.float32(value)) <= reach[:, None, None]).all(axis=0) for probe in probes]
        neighbours = [_neighbours(part) for part in exact]
        near = sum(np.count_nonzero(a & b) for a, b in zip(neighbours, kin, strict=True))
        alike = sum(np.count_nonzero(b & ~part) for b, part in zip(kin, exact, strict=True))
        if near <= 0.3 * sum(map(np.count_nonzero, neighbours)) and alike <= sum(map(np.count_nonzero, exact)):
            yield NodataSuspicion(value, float(share), collar=True)


def _neighbours(part: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels outside a part that share a side with it."""
    padded = np.pad(part, 1)
    touched = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return np.asarray(touched & ~part)


def _percentiles(different: NDArray[np.float64], counts: NDArray[np.integer]) -> tuple[float, float]:
    """Return the 1st and the 99th percentile of different values with their counts."""
    ranks = np.cumsum(counts) / counts.sum()
    low, high = (different[min(int(np.searchsorted(ranks, share)), len(different) - 1)] for share in (0.01, 0.99))
    return float(low), float(high)


def _limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    info: Any = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(np.float32)
    return float(info.min), float(info.max)


def _windows(height: int, width: int) -> Iterator[Window]:
    for row in _starts(height):
        for col in _starts(width):
            yield Window(row, col, min(_PROBE_PX, height), min(_PROBE_PX, width))


def _starts(length: int) -> list[int]:
    count = min(_PROBES, math.ceil(length / _PROBE_PX))
    return [round(start) for start in np.linspace(0, max(length - _PROBE_PX, 0), count)]


def _as_stored(raster: Raster, window: Window, value: float) -> float:
    """Return the value as it is stored, without the rounding of float32."""
    if isinstance(raster, FileRaster):
        raw = raster.stored(window)[0]
    elif isinstance(raster, ArrayRaster):
        raw = raster.stored(window)
    else:
        return value
    stored = raw[raw.astype(np.float32) == np.float32(value)]
    # 1e20 is 100000002004087734272 as float32, and is written 1e+20.
    return float(str(stored[0])) if len(stored) else value


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < _LARGEST_INTEGER else repr(value)
