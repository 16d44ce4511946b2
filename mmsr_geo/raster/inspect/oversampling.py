"""Detection of oversampled rasters, with less detail than their pixels could hold; knows arrays, no grids or files.

A natural raster may be smooth for many reasons: its spectrum alone does not identify an interpolated one. Two
properties do, and both are required:

- The differences between pixels that were resampled from larger ones are small and large in turn. This rhythm is a peak
  in the spectrum of the differences' magnitudes (Gallagher 2005, "Detection of linear and cubic interpolation in JPEG
  compressed images"; Mahdian and Saic 2008, "Blind authentication using periodic properties of interpolation").
- Above the frequency limit of the larger pixels, each frequency is the mirror of one below the limit. Both are
  coherent, as in any signal of periodic correlation (Gardner 1986, "The spectral correlation theory of cyclostationary
  time-series"). Blocks of JPEG, scan lines, and the beat of a raster resampled at about its own resolution have a
  rhythm, but no mirror.

Both are evaluated in two dimensions, so that the larger pixels may be rotated, as those of a swath. The thresholds are
measured: docs/decisions/006-oversampling-detection.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage  # type: ignore[import-untyped]

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEAST_PX = 64
"""Height and width in pixels below which nothing can be detected."""
LEAST_SHARE = 0.2
"""Least share of the differences between neighbours that must be valid and have texture."""
FACTORS = (1.8, 8.5)
"""Range of oversampling factors that is searched: 1.8 is near 2, and above 8 lidar scan lines look similar."""
PROMINENCE = 40.0
"""Least power of a rhythm over the mean power around it."""
COHERENCE = 0.65
"""Least coherence of the frequencies above the limit with those that they mirror."""
FAINT_COHERENCE, FAINT = 0.75, 1e-3
"""Least coherence just above the limit, if the power of the rest is below this share of what it mirrors."""
REPEATED_DEPTH, REPEATED_COHERENCE = 0.2, 0.3
"""Least amplitude of a rhythm over the mean difference, and least coherence, where pixels were repeated."""
STILL = 0.2
"""Share of the mean difference around below which a difference counts as zero."""
TEXTURE_STEPS = 3
"""Least range of differences in steps of the values: below it rounding makes a rhythm, as in a ramp of integers."""
_AROUND_PX = 21
_PEAKS = 8
_LEAST_FREQUENCIES = 40
"""Least number of frequencies of about equal power: stripes have all in one line, which is coherent with itself."""


@dataclass(frozen=True, slots=True)
class Oversampling:
    """Suspected number of pixels per original pixel, down and across; 1 if nothing is suspected in a direction."""

    down: float
    across: float

    @property
    def pixels(self) -> tuple[int, int]:
        """The nearest integers (down, across)."""
        return math.floor(self.down + 0.5), math.floor(self.across + 0.5)


@dataclass(frozen=True, slots=True)
class _Rhythm:
    y: float
    x: float
    """Frequency in cycles per pixel, mainly along x."""
    depth: float
    """Amplitude of the magnitudes of the first differences over their mean."""

    @property
    def factor(self) -> float:
        return 1 / math.hypot(self.y, self.x)


def oversampling(values: NDArray[np.floating]) -> Oversampling | None:
    """Return by how much a raster seems to be oversampled; None if nothing is suspected or there are too few pixels.

    Factors from 2 to 8, integer or not, are found for repeated pixels and for bilinear, cubic and mostly for Lanczos
    interpolation. Noise that was added later hides them.

    Args:
        values: (h, w), NaN at nodata, at full resolution: a decimated read hides oversampling.
    """
    if min(values.shape) < LEAST_PX:
        return None
    finite = np.where(np.isfinite(values), values, np.nan).astype(np.float64)
    down, across = _factor(finite.T), _factor(finite)
    if down is None and across is None:
        return None
    return Oversampling(1.0 if down is None else down, 1.0 if across is None else across)


def _factor(values: Values) -> float | None:
    """Return the pixels along a row that one larger pixel seems to span; None if nothing is suspected."""
    rhythms = list(_rhythms(values))
    if not rhythms:
        return None
    detail = _detail(values)
    still = _still_share(values)
    # Multiples of a rhythm are coherent as well: the lowest frequency is that of the larger pixels.
    return max((rhythm.factor for rhythm in rhythms if _resampled(rhythm, detail, still)), default=None)


def _resampled(rhythm: _Rhythm, detail: Values, still: float) -> bool:
    coherence, faintness = _mirror(rhythm, detail)
    if rhythm.depth >= REPEATED_DEPTH:
        # Pixels repeated one and a half times beat like three, but then fewer neighbours are equal.
        return coherence.mean() >= REPEATED_COHERENCE and still >= 0.9 - 1 / rhythm.factor
    return bool(coherence.mean() >= COHERENCE or (coherence[0] >= FAINT_COHERENCE and faintness <= FAINT))


def _rhythms(values: Values) -> Iterator[_Rhythm]:
    """Yield the highest prominent peaks in the spectra of the magnitudes of the differences."""
    height, width = values.shape
    frequency_y, frequency_x = fft.fftfreq(height)[:, None], fft.rfftfreq(width)[None]
    frequency = np.hypot(frequency_y, frequency_x)
    # A rhythm turned by more than 45 degrees belongs to the other direction.
    searched = (frequency >= 1 / FACTORS[1]) & (frequency <= 1 / FACTORS[0]) & (np.abs(frequency_y) <= frequency_x)
    prominence, depth = np.zeros(searched.shape), np.zeros(searched.shape)
    for order in (1, 2):  # halves of a straight line have equal second differences, thirds of one equal first ones
        amplitude = _beat(values, order)
        power = amplitude**2
        prominence = np.maximum(prominence, np.where(searched, power / _surroundings(power), 0))
        depth = depth if order == 2 else amplitude
    for _ in range(_PEAKS):
        row, column = np.unravel_index(prominence.argmax(), prominence.shape)
        if prominence[row, column] < PROMINENCE:
            return
        y, x = float(frequency_y[row, 0]), float(frequency_x[0, column])
        yield _Rhythm(y, x, float(depth[row, column]))
        prominence[(np.abs(frequency_y - y) < 3 / height) & (np.abs(frequency_x - x) < 3 / width)] = 0


def _beat(values: Values, order: int) -> Values:
    """Return the amplitudes of the frequencies of the magnitudes of differences along a row.

    Args:
        values: (h, w).
        order: The order of the differences.

    Returns:
        (h, w // 2 + 1), over the mean magnitude; zeros if there are too few valid differences.
    """
    signed = np.diff(values, n=order, axis=1, append=np.full((values.shape[0], order), np.nan))
    there = np.isfinite(signed)
    signed = np.where(there, signed, 0)
    there &= _spread(signed, there) >= TEXTURE_STEPS * _step(values)
    window = _window(values.shape)
    if there.mean() < LEAST_SHARE:
        return np.zeros((values.shape[0], values.shape[1] // 2 + 1))
    size = np.abs(signed)
    around = _mean_around(size, there)
    share = np.where(there, size / np.where(around > 0, size + around, 1), 0)
    beat = np.where(there, share - _mean_around(share, there), 0)
    return np.asarray(np.abs(fft.rfft2(beat * window)) / (share * window).sum())


def _mirror(rhythm: _Rhythm, detail: Values) -> tuple[Values, float]:
    """Return the coherence of frequencies above the larger pixels' limit with those that they would mirror.

    Returns:
        The coherences, (4,), 0 to 1, of four intervals from 0.55 to 0.9 of the larger pixels' frequency; and the power
        in the last two over that of the frequencies that they would mirror.
    """
    height, width = detail.shape
    shift = rhythm.y * np.arange(height)[:, None] + rhythm.x * np.arange(width)
    upper, lower = fft.fft2(detail), fft.fft2(detail * np.exp(2j * math.pi * shift))
    frequency_y, frequency_x = fft.fftfreq(height)[:, None], fft.fftfreq(width)[None]
    length = math.hypot(rhythm.y, rhythm.x)
    along = (frequency_y * rhythm.y + frequency_x * rhythm.x) / length**2
    across = (frequency_x * rhythm.y - frequency_y * rhythm.x) / length**2
    taken = (along >= 0.55) & (along < 0.9) & (np.abs(across) <= 0.45)
    upper, lower = upper[taken], lower[taken]
    crossed = upper * lower.conj()
    shared = np.abs(crossed)
    if shared.sum() ** 2 <= _LEAST_FREQUENCIES * (shared**2).sum():
        return np.zeros(4), 1.0
    stretch = ((along[taken] - 0.55) / 0.35 * 4).astype(int)
    real, imaginary, above, below = (
        np.bincount(stretch, product, minlength=4)[:4]
        for product in (crossed.real, crossed.imag, np.abs(upper) ** 2, np.abs(lower) ** 2)
    )
    floor = np.finfo(np.float64).tiny
    coherence = np.hypot(real, imaginary) / np.sqrt(np.maximum(above * below, floor))
    return np.asarray(coherence), float(above[2:].sum() / max(below[2:].sum(), floor))


def _detail(values: Values) -> Values:
    """Return the differences from the local mean, fading towards the borders; 0 at nodata."""
    there = np.isfinite(values)
    filled = np.where(there, values, 0)
    return np.asarray(np.where(there, filled - _mean_around(filled, there), 0) * _window(values.shape))


def _window(shape: tuple[int, ...]) -> Values:
    return np.asarray(np.hanning(shape[0])[:, None] * np.hanning(shape[1]))


def _step(values: Values) -> float:
    """Return the smallest difference between neighbours, at least the rounding of float32."""
    size = np.abs(np.diff(values, axis=1))
    rounding = np.finfo(np.float32).eps * np.nanmax(np.abs(values), initial=0.0)
    return max(float(size.min(initial=math.inf, where=size > 0)), float(rounding))


def _spread(signed: Values, there: Mask) -> Values:
    low = ndimage.minimum_filter(np.where(there, signed, np.inf), _AROUND_PX)
    high = ndimage.maximum_filter(np.where(there, signed, -np.inf), _AROUND_PX)
    return np.asarray(high - low)


def _mean_around(values: Values, there: Mask) -> Values:
    share = ndimage.uniform_filter(there.astype(np.float64), _AROUND_PX, mode="constant")
    total = ndimage.uniform_filter(np.where(there, values, 0), _AROUND_PX, mode="constant")
    return np.asarray(total / np.maximum(share, 1e-9))


def _surroundings(power: Values) -> Values:
    """Return the mean power around, from medians, which a peak does not change, of blocks and lines."""
    floor = max(0.05 * float(np.median(power)), np.finfo(np.float64).tiny)
    around = [_block_medians(power, blocks) for blocks in ((16, 16), (1, 32), (32, 1))]
    return np.asarray(np.maximum.reduce([*around, np.full_like(power, floor)]) / math.log(2))


def _block_medians(power: Values, block: tuple[int, int]) -> Values:
    height, width = power.shape
    padded = np.pad(power, ((0, -height % block[0]), (0, -width % block[1])), mode="reflect")
    down, across = (side // step for side, step in zip(padded.shape, block, strict=True))
    blocks = padded.reshape(down, block[0], across, block[1]).transpose(0, 2, 1, 3).reshape(down, across, -1)
    return np.asarray(np.median(blocks, axis=-1).repeat(block[0], 0).repeat(block[1], 1)[:height, :width])


def _still_share(values: Values) -> float:
    """Return the share of neighbours along a row that are nearly equal, among those with any difference around."""
    size = np.abs(np.diff(values, axis=1))
    there = np.isfinite(size)
    size = np.where(there, size, 0)
    around = _mean_around(size, there)
    there &= around > 0
    return float((size < STILL * around)[there].mean()) if there.any() else 0.0
