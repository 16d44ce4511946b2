"""How a source was measured: the blur of its sensor and its noise; a value, settled once per raster."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from mmsr_geo.geometry import Scale

Psf = Literal["auto", "none"] | tuple[float, float]
"""The sensor's blur: estimated, none, or its standard deviations down and across in source pixels."""
SourceNoise = Literal["auto", "none"] | float
"""The source's noise: estimated, none, or its standard deviation in the source's units."""
Shift = tuple[float, float]
"""Rows down and columns right by which a guide is moved, in target pixels."""
Register = Literal["none", "whole", "subpixel"] | Shift
"""How a guide is registered: not, by whole target pixels, by parts of them, or by a known shift."""

FARTHEST_SHIFT_PX = 3.0
"""Largest shift of a guide, in target pixels, down and across."""
LARGEST_BLUR = 1.0
"""Largest standard deviation of a sensor's blur, in source pixels."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """What a source pixel is of the target: the mean over its area after a Gaussian blur, and noise."""

    blur: tuple[float, float] = (0.0, 0.0)
    """Standard deviations of the Gaussian before the mean, down and across, in source pixels."""
    noise: float = 0.0
    """Standard deviation of the noise, in standard deviations of the source."""
    softness: float = 0.0
    """How softly the interpolation keeps to a source with this noise: see `variational.solve.Observation`."""

    def __post_init__(self) -> None:
        """Refuse values out of range (ValueError)."""
        if not all(0 <= blur <= LARGEST_BLUR for blur in self.blur):
            raise ValueError(f"a sensor's blur is {self.blur}: it must be from 0 to {LARGEST_BLUR:g} source pixels")
        if not (0 <= self.noise < math.inf and 0 <= self.softness < math.inf):
            raise ValueError(f"a source's noise is {self.noise}, with the softness {self.softness}")

    @property
    def exact(self) -> bool:
        """True if a source pixel is the mean of its block alone."""
        return self == PLAIN

    def blur_px(self, scale: Scale) -> tuple[float, float]:
        """Return the blur down and across in target pixels."""
        return self.blur[0] * scale.y, self.blur[1] * scale.x


@dataclass(frozen=True, slots=True)
class Findings:
    """What a fit has found of sensor and registration, with 90 % intervals; the noise's is one of 95 %."""

    blur: tuple[float, float] = (0.0, 0.0)
    """Least and largest blur of the sensor, in source pixels of both directions; equal where it was given."""
    noise: tuple[float, float] = (0.0, 0.0)
    """Least and largest noise, in standard deviations of the source; equal where it was given."""
    shift_px: tuple[Shift, Shift] = ((0.0, 0.0), (0.0, 0.0))
    """Least and largest shift of the guide, in target pixels; equal where none was searched for."""
    misfit: float = 0.0
    """Root mean square of what the source has beyond what it would show of the target, in its standard deviations."""

    def sentence(self, sensor: Sensor, spread: float) -> str:
        """Return what is assumed of a source, in words; `spread` is its standard deviation."""
        if sensor.exact:
            return "a source pixel is the mean of its area, without noise"
        down, across = sensor.blur
        alike = round(down, 2) == round(across, 2)
        width = f"{across:.2f}" if alike else f"{down:.2f} down and {across:.2f} across"
        parts = []
        if any(sensor.blur):
            interval = _between(*self.blur) if alike else _between(*self.blur, what="in the mean ")
            parts.append(f"blurred by {width} source pixels{interval} before the mean over its area")
        if sensor.noise:
            low, high = (bound * spread for bound in self.noise)
            parts.append(f"noise of {sensor.noise * spread:.3g}{_between(low, high, digits='.3g')}")
        return f"{', '.join(parts)}; the target shows the source to {self.misfit * spread:.3g} (RMS)"

    def shift_sentence(self, shift: Shift) -> str:
        """Return how certain the shift of a guide is, in words; empty where none was searched for."""
        (top, left), (bottom, right) = self.shift_px
        if (top, left) == (bottom, right) or shift == (0.0, 0.0):
            return ""
        return f" ({top:.2f} to {bottom:.2f} down, {left:.2f} to {right:.2f} right)"


def _between(low: float, high: float, digits: str = ".2f", what: str = "") -> str:
    return "" if low == high else f" ({what}{low:{digits}} to {high:{digits}})"


@dataclass(frozen=True, slots=True)
class WantedSensor:
    """What is known beforehand of a pair's sensor and registration, or how they are found."""

    psf: Psf = "auto"
    noise: SourceNoise = "auto"
    register: Register = "subpixel"

    @property
    def description(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        values = {"psf": self.psf, "noise": self.noise, "register": self.register}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @property
    def without_estimates(self) -> WantedSensor:
        """The same with neither blur nor noise where they would be estimated."""
        psf: Psf = "none" if self.psf == "auto" else self.psf
        return replace(self, psf=psf, noise="none" if self.noise == "auto" else self.noise)

    @property
    def exact(self) -> bool:
        """True if a source pixel is known to be the mean of its block alone."""
        return self.psf in {"none", (0.0, 0.0)} and self.noise in {"none", 0.0}


PLAIN = Sensor()
"""The sensor of which a source pixel is the plain mean of its area, without noise."""
ESTIMATED = WantedSensor()
"""Blur, noise and registration are read off the pair."""
BLOCK_MEANS = WantedSensor("none", "none")
"""A source pixel is the mean of its block alone; the guide is registered."""
