"""Values that look like nodata among sampled pixels, and how sure that is; arrays only, no rasters or files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsr_geo.nodata import shown_number

LEAST_SHARE = 0.01
"""Share of the sampled pixels below which values are not suspected."""
_LEAST_CONVENTIONAL_SHARE = 0.001
"""The same for values that are often used for nodata."""
_CONVENTIONAL = (-9999, -99999, -999999, -999, -32768, -32767, 32767, 65535, 9999, 99999, 1e20, -1e20, 1e30, -1e30)
"""Values that are often used for nodata, besides the limits of a dtype."""
_FEW = 16
"""Number of different values up to which they are taken for classes, of which any may be far from the others."""
_MOST_CODES = 8
"""Number of different values, one next to the other, that may together be codes beyond the range of all others."""
_LEAST_REPEATS = 3
"""Number of sampled pixels that each of several codes has at least."""
_DENSE = 4
"""Widths of the widest gap among the other values in the gap before some codes, if that is narrower than they are."""
_NEAR = 0.15
"""Share of the range within which a pixel is similar to the value of a collar."""
_BORDER_SHARE = 0.05
"""Share of the raster's border that a collar covers at least."""
_BROKEN_SHARE = 0.02
"""Share of the rows and columns that may have a collar's value between other values, if there is one band only."""
_SAME_COLLAR = 0.9
"""Share of the pixels of two collars that both have, from which on they are one."""


@dataclass(frozen=True, slots=True)
class ProbeWindow:
    """A sampled window of a raster."""

    values: NDArray[np.float32]
    """(bands, h, w), in stored units; not finite at known nodata."""
    border: NDArray[np.bool_]
    """(h, w), True on the border of the raster."""


@dataclass(frozen=True, slots=True)
class NodataSuspicion:
    """A value that may mean nodata, or several codes."""

    values: tuple[float, ...]
    count: int
    """Number of sampled pixels with one of the values, in the band that has most of them."""
    sampled: int
    """Number of sampled pixels."""
    collar: bool = False
    """True if the value lies along the border; False if the values are far from all others."""
    bands: int = 1
    """Number of bands in which a collar lies."""

    @property
    def share(self) -> float:
        """Share of the sampled pixels, 0 to 1."""
        return self.count / self.sampled

    def __str__(self) -> str:
        """Return the values, their count and the reason why they are suspected."""
        percent = 100 * self.share
        share = f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %"
        names = [shown_number(value) for value in self.values]
        named = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        each = "is the value" if len(names) == 1 else "are the values"
        text = f"{named} {each} of {self.count} of {self.sampled} sampled pixels ({share})"
        if self.collar:
            return f"{text}{' in all bands' if self.bands > 1 else ''}, along the border"
        return f"{text}, far from all others"


def suspected_nodata(probes: Sequence[ProbeWindow], dtype: np.dtype[Any]) -> tuple[NodataSuspicion, ...]:
    """Return the values that look like nodata, the most frequent first.

    The least or largest value of a band is suspected if at least 1 % of the pixels have it, and the distance to the
    next value is at least the range of the others, from their 1st to their 99th percentile (twice that for 0, which
    many quantities start from). There must be more than 16 other values, unless the value is one that is often used
    for nodata, of which 0.1 % are enough. Up to 8 values next to each other are suspected together, as codes beyond the
    range of a quantity; the distance may then be half the range if no gap among the others is a fourth of it.

    0 or a limit of an integer dtype is suspected if at least 1 % of the pixels and a twentieth of the border have it in
    all bands, and the pixels next to them are different, as at the collar of a rotated image. Of a single band, the
    other pixels must also be one run in each row and each column, as beyond the edge of an orbit.

    Args:
        probes: The sampled windows.
        dtype: The dtype in which the raster is stored.
    """
    collars = [collar for value in _collar_values(dtype) if (collar := collar_of(probes, value)) is not None]
    found: list[NodataSuspicion] = []
    for one in sorted([*_far_values(probes, dtype), *collars], key=lambda suspicion: -suspicion.count):
        same = next((at for at, other in enumerate(found) if set(other.values) & set(one.values)), None)
        if same is None:
            found.append(one)
        elif not one.collar:
            found[same] = replace(found[same], values=tuple(sorted({*found[same].values, *one.values})))
    return tuple(found)


def shared_collar(probes: Sequence[ProbeWindow], dtype: np.dtype[Any]) -> tuple[NodataSuspicion, list[int]] | None:
    """Return the collar that several bands have in common, and the positions of these bands; None without such."""
    for value in _collar_values(dtype):
        exact = [
            np.concatenate([(probe.values[band] == np.float32(value)).ravel() for probe in probes])
            for band in range(len(probes[0].values))
        ]
        for first, reference in enumerate(exact):
            if reference.mean() < LEAST_SHARE:
                continue
            alike = [at for at, other in enumerate(exact) if at >= first and _agree(reference, other)]
            if len(alike) < 2:
                continue
            collar = collar_of([ProbeWindow(probe.values[alike], probe.border) for probe in probes], value)
            if collar is not None:
                return collar, alike
    return None


def collar_of(probes: Sequence[ProbeWindow], value: float) -> NodataSuspicion | None:
    """Return the suspicion that a value is a collar in all bands of some windows; None if it does not look so."""
    exact = [(probe.values == np.float32(value)).all(axis=0) for probe in probes]
    count, sampled = sum(map(np.count_nonzero, exact)), sum(map(np.size, exact))
    on_border = sum(np.count_nonzero(part & probe.border) for part, probe in zip(exact, probes, strict=True))
    border = sum(np.count_nonzero(probe.border) for probe in probes)
    if count < LEAST_SHARE * sampled or on_border < _BORDER_SHARE * border:
        return None
    others = np.concatenate([probe.values[:, ~part] for part, probe in zip(exact, probes, strict=True)], axis=1)
    others = others[:, np.isfinite(others).all(axis=0)].astype(np.float64)
    if (
        others.size < _FEW
        or len(np.unique(others)) < _FEW
        or not ((others >= value).all() or (others <= value).all())
        or (len(others) == 1 and _broken(probes, exact))
    ):
        return None
    reach = _NEAR * np.ptp(np.percentile(others, [1, 99], axis=1), axis=0)
    kin = [(np.abs(probe.values - np.float32(value)) <= reach[:, None, None]).all(axis=0) for probe in probes]
    neighbours = [_neighbours(part) for part in exact]
    near = sum(np.count_nonzero(a & b) for a, b in zip(neighbours, kin, strict=True))
    alike = sum(np.count_nonzero(b & ~part) for b, part in zip(kin, exact, strict=True))
    if near <= 0.3 * sum(map(np.count_nonzero, neighbours)) and alike <= count:
        return NodataSuspicion((value,), int(count), int(sampled), collar=True, bands=len(others))
    return None


def _far_values(probes: Sequence[ProbeWindow], dtype: np.dtype[Any]) -> Iterator[NodataSuspicion]:
    for band in range(len(probes[0].values)):
        values = np.concatenate([probe.values[band].ravel() for probe in probes])
        different, counts = np.unique(values[np.isfinite(values)], return_counts=True)
        # The values at one end hide those at the other until they are set aside.
        while found := _codes(different, counts, len(values), dtype):
            low, codes = found
            part, rest = (slice(codes), slice(codes, None)) if low else (slice(-codes, None), slice(-codes))
            yield NodataSuspicion(tuple(map(float, different[part])), int(counts[part].sum()), len(values))
            different, counts = different[rest], counts[rest]


def _codes(
    different: NDArray[np.float32], counts: NDArray[np.integer], sampled: int, dtype: np.dtype[Any]
) -> tuple[bool, int] | None:
    """Return the end at which values lie far from all others (True: the low one) and how many they are, or None."""
    for low in (True, False):
        ordered, repeats = (different, counts) if low else (different[::-1], counts[::-1])
        for codes in range(1, min(_MOST_CODES, len(different) - 2) + 1):
            named = {float(value) for value in ordered[:codes]}
            least = _LEAST_CONVENTIONAL_SHARE if named <= _conventional(dtype) else LEAST_SHARE
            if repeats[:codes].sum() < least * sampled or (codes > 1 and repeats[:codes].min() < _LEAST_REPEATS):
                continue
            if len(different) <= _FEW and not named <= _conventional(dtype):
                continue
            gap = abs(float(ordered[codes]) - float(ordered[codes - 1]))
            as_codes = 0 not in named and (codes > 1 or bool((different == np.round(different)).all()))
            others = ordered[codes:].astype(np.float64), repeats[codes:]
            if gap >= _range_of(*others) * (2 if 0 in named else 1) > 0 or (as_codes and _beyond_dense(gap, others[0])):
                return low, codes
    return None


def _beyond_dense(gap: float, others: NDArray[np.float64]) -> bool:
    """Return True if a gap is half as wide as the range of other values, and much wider than the gaps among them."""
    return bool(len(others) > _FEW and gap >= np.ptp(others) / 2 and gap >= _DENSE * np.abs(np.diff(others)).max())


def _broken(probes: Sequence[ProbeWindow], exact: Sequence[NDArray[np.bool_]]) -> bool:
    """Return True if a value lies between other values in many rows or columns, as no collar does."""
    lines, broken = 0, 0
    for probe, part in zip(probes, exact, strict=True):
        other = np.isfinite(probe.values).all(axis=0) & ~part
        for axis in (0, 1):
            before = np.logical_or.accumulate(other, axis=axis)
            after = np.flip(np.logical_or.accumulate(np.flip(other, axis), axis=axis), axis)
            mixed = other.any(axis=axis) & part.any(axis=axis)
            lines += int(np.count_nonzero(mixed))
            broken += int(np.count_nonzero(mixed & (part & before & after).any(axis=axis)))
    return broken > _BROKEN_SHARE * lines


def _agree(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> bool:
    return bool(np.count_nonzero(one & other) >= _SAME_COLLAR * np.count_nonzero(one | other))


def _neighbours(part: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels outside a part that share a side with it."""
    padded = np.pad(part, 1)
    touched = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return np.asarray(touched & ~part)


def _range_of(different: NDArray[np.float64], counts: NDArray[np.integer]) -> float:
    """Return the range of different values, in either order, from the 1st to the 99th percentile of their counts."""
    ranks = np.cumsum(counts) / counts.sum()
    ends = [different[min(int(np.searchsorted(ranks, share)), len(different) - 1)] for share in (0.01, 0.99)]
    return float(abs(ends[1] - ends[0]))


def _conventional(dtype: np.dtype[Any]) -> set[float]:
    return {float(np.float32(one)) for one in (*_CONVENTIONAL, *_limits(dtype))} - {0.0}


def _collar_values(dtype: np.dtype[Any]) -> set[float]:
    return {float(np.float32(value)) for value in (0, *(_limits(dtype) if dtype.kind in "iu" else ()))}


def _limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    info: Any = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(np.float32)
    return float(info.min), float(info.max)
