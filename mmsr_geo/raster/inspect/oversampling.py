"""Whether a raster shows less detail than its pixels could; knows arrays only, no grids and no files.

A natural raster may be smooth for many reasons: its spectrum alone does not tell an interpolated one. Two things do,
and both are asked for:

- What is resampled from larger pixels changes in their rhythm: its differences are small and large in turn. The rhythm
  is a peak in the spectrum of the differences' magnitudes (Gallagher 2005, "Detection of linear and cubic interpolation
  in JPEG compressed images"; Mahdian and Saic 2008, "Blind authentication using periodic properties of interpolation").
- Beyond the limit of those larger pixels it holds nothing of its own: each frequency there is the mirror of one below.
  So both are coherent, as in any signal of periodic correlation (Gardner 1986, "The spectral correlation theory of
  cyclostationary time-series"). Blocks of JPEG, scan lines, and the beat of a raster resampled at about its own
  resolution have a rhythm, but no mirror.

Both are taken in the plane, so that the larger pixels may lie turned, as a swath's do. The thresholds are measured:
docs/decisions/006-oversampling-detection.md.
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
"""A side shorter than this tells nothing."""
LEAST_SHARE = 0.2
"""Of the differences between neighbours, so many must be there and have texture."""
FACTORS = (1.8, 8.5)
"""What is looked for; 1.8 is near 2, and beyond 8 the lines of a lidar scan look like it."""
PROMINENCE = 40.0
"""A rhythm's power over the mean around it."""
COHERENCE = 0.65
"""Of what lies beyond the limit with what it would mirror."""
FAINT_COHERENCE, FAINT = 0.75, 1e-3
"""Just beyond the limit, where the rest is so much weaker than what it would mirror that rounding hides it."""
REPEATED_DEPTH, REPEATED_COHERENCE = 0.2, 0.3
"""A rhythm's amplitude over the mean change where pixels were repeated, and the coherence of repeated turned pixels."""
STILL = 0.2
"""A difference is none if it is below this part of the mean around it."""
TEXTURE_STEPS = 3
"""Where differences vary by fewer of the values' own steps, rounding makes the rhythm: a ramp of whole numbers."""
_AROUND_PX = 21
_PEAKS = 8
_LEAST_FREQUENCIES = 40
"""Of about equal power: stripes have all of theirs in one line, which is coherent with itself."""


@dataclass(frozen=True, slots=True)
class Oversampling:
    """How many pixels a raster's detail seems to span; 1 where nothing is suspected in a direction."""

    down: float
    across: float

    @property
    def pixels(self) -> tuple[int, int]:
        """The nearest whole numbers of pixels (down, across)."""
        return math.floor(self.down + 0.5), math.floor(self.across + 0.5)


@dataclass(frozen=True, slots=True)
class _Rhythm:
    y: float
    x: float
    """Cycles a pixel; along x in the main."""
    depth: float
    """Amplitude of the first differences' magnitudes over their mean."""

    @property
    def factor(self) -> float:
        return 1 / math.hypot(self.y, self.x)


def oversampling(values: NDArray[np.floating]) -> Oversampling | None:
    """Say whether a raster seems to be resampled from larger pixels, and how much larger.

    values: (h, w), NaN in holes, at full resolution: a decimated read hides it. Returns None where nothing is suspected
    and where there is too little to tell from. Found are factors from 2 to 8, whole or not, of repeated pixels and of
    bilinear, cubic and most of Lanczos interpolation; noise that was added later hides them.
    """
    if min(values.shape) < LEAST_PX:
        return None
    numbers = np.where(np.isfinite(values), values, np.nan).astype(np.float64)
    down, across = _factor(numbers.T), _factor(numbers)
    return None if down is across is None else Oversampling(down or 1.0, across or 1.0)


def _factor(values: Values) -> float | None:
    """Pixels along a row that one larger pixel seems to span."""
    rhythms = list(_rhythms(values))
    if not rhythms:
        return None
    sheet = _sheet(values)
    still = _still_share(values)
    # A rhythm's multiples are coherent as well: the lowest frequency is the larger pixels' own.
    return max((rhythm.factor for rhythm in rhythms if _resampled(rhythm, sheet, still)), default=None)


def _resampled(rhythm: _Rhythm, sheet: Values, still: float) -> bool:
    coherence, faintness = _mirror(rhythm, sheet)
    if rhythm.depth >= REPEATED_DEPTH:
        # Pixels repeated one and a half times beat like three, but then fewer neighbours are equal.
        return coherence.mean() >= REPEATED_COHERENCE and still >= 0.9 - 1 / rhythm.factor
    return bool(coherence.mean() >= COHERENCE or (coherence[0] >= FAINT_COHERENCE and faintness <= FAINT))


def _rhythms(values: Values) -> Iterator[_Rhythm]:
    """The highest peaks in the spectra of the differences' magnitudes, of those that stand out."""
    height, width = values.shape
    frequency_y, frequency_x = fft.fftfreq(height)[:, None], fft.rfftfreq(width)[None]
    frequency = np.hypot(frequency_y, frequency_x)
    # Turned by more than 45 degrees it belongs to the other direction.
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
    """The amplitudes of the frequencies of the differences' magnitudes along a row, each beside those around it.

    values: (h, w). Returns (h, w // 2 + 1), over the mean magnitude; zeros if there is too little to see.
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


def _mirror(rhythm: _Rhythm, sheet: Values) -> tuple[Values, float]:
    """How coherent the frequencies beyond the larger pixels' limit are with those they would mirror.

    Returns the coherences (4,) of stretches from 0.55 to 0.9 of the larger pixels' frequency, 0..1, and the power in
    the last two over that of what they would mirror.
    """
    height, width = sheet.shape
    shift = rhythm.y * np.arange(height)[:, None] + rhythm.x * np.arange(width)
    upper, lower = fft.fft2(sheet), fft.fft2(sheet * np.exp(2j * math.pi * shift))
    frequency_y, frequency_x = fft.fftfreq(height)[:, None], fft.fftfreq(width)[None]
    length = math.hypot(rhythm.y, rhythm.x)
    along = (frequency_y * rhythm.y + frequency_x * rhythm.x) / length**2
    beside = (frequency_x * rhythm.y - frequency_y * rhythm.x) / length**2
    taken = (along >= 0.55) & (along < 0.9) & (np.abs(beside) <= 0.45)
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


def _sheet(values: Values) -> Values:
    """What is finer than its surroundings, fading to the borders; 0 in holes."""
    there = np.isfinite(values)
    filled = np.where(there, values, 0)
    return np.asarray(np.where(there, filled - _mean_around(filled, there), 0) * _window(values.shape))


def _window(shape: tuple[int, ...]) -> Values:
    return np.asarray(np.hanning(shape[0])[:, None] * np.hanning(shape[1]))


def _step(values: Values) -> float:
    """What the values are whole multiples of, as far as one can see; float32's rounding at least."""
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
    """The mean power around, by medians, which a peak does not change: of the block and, for stripes, of the lines."""
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
    """The share of neighbours along a row that are as good as equal, of those among which there is any change."""
    size = np.abs(np.diff(values, axis=1))
    there = np.isfinite(size)
    size = np.where(there, size, 0)
    around = _mean_around(size, there)
    there &= around > 0
    return float((size < STILL * around)[there].mean()) if there.any() else 0.0
