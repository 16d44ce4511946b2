"""Which sensor a pair shows: what part of the blur that was read off it is the sensor's, and the source's noise.

A guide that has to be blurred to explain the source says how much sharper than the source it is, not why. Either the
sensor blurs the target before it averages, or the target itself is smoother than the guide: nothing in the pair tells
the two apart but their size. Decision 021 has the measurements behind each constant. Tensors only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.members.alignment import Found
from mmsr_geo.network.members.layers import Alignment
from mmsr_geo.network.sensor import FARTHEST_SHIFT_PX, LARGEST_BLUR, Findings, Sensor, WantedSensor
from mmsr_geo.network.variational.energy import Energy
from mmsr_geo.network.variational.noise import NoiseEstimate, estimated_noise, softness

BLUR_FACTOR = 1.15
"""Factor on the blur that the target shares: block means show less of a blur than the target has. Measured on three
kinds of source (docs/decisions/019-ensemble-and-evidence.md)."""
SHARED_PX = 0.5
"""Blur, in target pixels, that a target shares with its source at least: its own pixel is no point either."""
SMOOTHEST_PX = (0.66, 0.72)
"""Blurs, in target pixels, between which a blur becomes a sensor's: a target's own pixel explains smaller ones."""
WIDEST_SENSOR = 0.85
"""Blur, in source pixels, above which it is none of a sensor."""
SMOOTHEST = (0.30, 0.34)
"""The same in source pixels: up to the first, targets that a provider has resampled are smooth themselves."""
AGREEING = 0.64
"""Least share of the blocks of a source that have to agree, as certain as they are, that the guide is to be blurred:
shading and chance blur where they do not."""
FARTHEST_SHIFT = 0.25
"""Largest shift of a guide, in source pixels, beside which its blur is that of a sensor; 1 target pixel at least."""
WIDEST_PX = 4.03
"""Largest blur of an aligned guide, in target pixels."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The sensor and the alignment that serve a pair, and what was found of them."""

    sensor: Sensor
    alignment: Alignment
    findings: Findings


def sensor_blurs(found: Found, scale: Scale) -> tuple[float, float, float]:
    """Return the sensor's blur that a pair shows, in source pixels of a square scale; 0 where none is certain.

    The less of the source the guide explains, the more of the blur is left to the target: its detail then is only
    partly that of the guide.

    Returns:
        The least, the most likely and the largest one.
    """
    side = math.sqrt(scale.area)
    low, middle, high = (blur / side for blur in found.blur_interval_px)
    farthest = max(1.0, FARTHEST_SHIFT * side)
    if found.agreeing < AGREEING or low > WIDEST_SENSOR or max(map(abs, found.shift_px)) > farthest:
        return 0.0, 0.0, 0.0
    steps = (low * side, SMOOTHEST_PX), (low, SMOOTHEST)
    seen = min(min(max((blur - least) / (most - least), 0.0), 1.0) for blur, (least, most) in steps)
    explained = 1 - found.unexplained**2
    blurs = (
        min(math.sqrt(max(0.0, blur**2 - (SHARED_PX / side) ** 2) * seen * explained), LARGEST_BLUR)
        for blur in (low, middle, high)
    )
    lowest, likely, highest = blurs
    return lowest, likely, highest


def settle(
    found: Found,
    sources: Sequence[Tensor],
    scale: Scale,
    wanted: WantedSensor,
    spread: float = 1.0,
) -> Settled:
    """Return the sensor and the alignment that serve a pair.

    Args:
        found: Blur and shift that were read off the pair.
        sources: (h, w) each: parts of the source, nodata filled, in its standard deviations: see `sources_for_noise`.
        scale: Target pixels per source pixel.
        wanted: What is known of the sensor.
        spread: Standard deviation of the source, in its units.
    """
    side = math.sqrt(scale.area)
    if isinstance(wanted.psf, tuple):
        blur, low, high = wanted.psf, 0.0, 0.0
    else:
        low, one, high = sensor_blurs(found, scale) if wanted.psf == "auto" else (0.0, 0.0, 0.0)
        blur = _elongated(one * side, found, scale)
    blur_px = blur[0] * scale.y, blur[1] * scale.x
    estimate = NoiseEstimate()
    if wanted.noise == "auto":
        estimate = estimated_noise(sources, scale, blur_px)
    elif wanted.noise != "none":
        estimate = NoiseEstimate(*(3 * (wanted.noise / spread,)))
    certain = estimate.certain
    energies = [Energy.smooth((part.shape[0] * scale.y, part.shape[1] * scale.x)) for part in sources]
    soft = softness(sources, energies, scale, blur_px, certain)
    shared = found.blur_px
    if any(blur_px):
        of_sensor, both = math.hypot(*blur_px) / math.sqrt(2), found.elongation + 1 / found.elongation
        shared = max(math.sqrt(max(0.0, found.blur_px**2 * both / 2 - of_sensor**2)), SHARED_PX)
    aligned = Alignment(round(min(BLUR_FACTOR * shared, WIDEST_PX), 3), found.shift_px)
    findings = Findings((low, high), (estimate.low, estimate.high), found.shift_interval_px)
    return Settled(Sensor(blur, certain, soft), aligned, findings)


def _elongated(blur_px: float, found: Found, scale: Scale) -> tuple[float, float]:
    """Return a sensor's blur down and across in source pixels, of its width in target pixels and the pair's elongation.

    The part of the blur that the target shares is as wide in both directions.
    """
    if not blur_px:
        return 0.0, 0.0
    rest = found.blur_px**2 - blur_px**2
    squares = (found.blur_px**2 * factor - rest for factor in (found.elongation, 1 / found.elongation))
    down, across = (math.sqrt(max(0.0, square)) for square in squares)
    return min(down / scale.y, LARGEST_BLUR), min(across / scale.x, LARGEST_BLUR)


FARTHEST_ALIGNMENT = Alignment(WIDEST_PX, (FARTHEST_SHIFT_PX - 0.01, FARTHEST_SHIFT_PX - 0.01))
"""The alignment that reaches farthest: a move by parts of a pixel reaches farther than one by whole ones."""
