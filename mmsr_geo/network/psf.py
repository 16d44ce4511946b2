"""The blur of known sensors, and what users say of a source's sensor and a guide's registration; knows no raster.

Each number is w, the standard deviation in source pixels of a Gaussian before the mean over the pixel. A published
modulation transfer function m at the Nyquist frequency (half a cycle per pixel) that includes the detector's footprint,
as a system's does, is divided by that of the footprint, 2 / pi, first: w = sqrt(-2 ln(m pi / 2)) / pi. Else the mean
over the pixel would count twice, and too wide a blur does harm.

- sentinel-2-b01 to -b12 and -b8a: system MTF of each band as one value for both axes, 0.32, 0.26, 0.28, 0.24, 0.38,
  0.34, 0.34, 0.26, 0.33 (B8A), 0.26 (B09), 0.22 (B11) and 0.23 (B12), which SupReME (Lanaras et al. 2017,
  `ms_fusion_apex.m`) and S2Sharp (Ulfarsson et al. 2019, `S2sharp.m`) use; footprint included. ESA's PSF matrices of
  S2A, S2B and S2C (SentiWiki "S2 documents", 2025-11-07) have the same level; which of their axes is along the track is
  not said. Of B10 nothing is published. Resampling to L1C and L2A adds to these.
- modis: geometry of any band at nadir, without optics. In the track a plain footprint; across it a triangle of twice
  the pixel (University of Arizona, Digital Image Analysis Lab; Duveiller, Baret and Defourny 2011, RSE 115(10),
  2686-2701), m 0.405 with the footprint.
- landsat-tirs-b10 and -b11: lower limits from ideal optics and the detector of 100 m (Reuter et al. 2015, Remote
  Sensing 7(1), 1135): m at most 0.345 along and 0.353 across the track, 0.318 and 0.326; footprint included. They are
  for pixels of 100 m, as `source_resolution` makes them of the 30 m that are delivered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import get_args

from mmsr_geo.errors import OptionError
from mmsr_geo.network.sensor import FARTHEST_SHIFT_PX, LARGEST_BLUR, Psf, Register, SourceNoise, WantedSensor
from mmsr_geo.options import PsfLike, RegisterLike, SourceNoiseLike
from mmsr_geo.spelling import option

SENSOR_BLURS: Mapping[str, tuple[float, float]] = {
    **{
        f"sentinel-2-{band}": (blur, blur)
        for band, blur in {
            "b01": 0.373,
            "b02": 0.426,
            "b03": 0.408,
            "b04": 0.445,
            "b05": 0.323,
            "b06": 0.357,
            "b07": 0.357,
            "b08": 0.426,
            "b8a": 0.365,
            "b09": 0.426,
            "b11": 0.464,
            "b12": 0.454,
        }.items()
    },
    "modis": (0.0, 0.303),
    "landsat-tirs-b10": (0.353, 0.346),
    "landsat-tirs-b11": (0.375, 0.368),
}
"""Blur down and across of each sensor and band; the module's docstring gives the sources. Of sensors whose axes differ
the first is along the track, which is down in a raster that was not turned."""


def blur_of_mtf(mtf: float, *, with_footprint: bool = True) -> float:
    """Return the standard deviation, in source pixels before the mean, of the Gaussian with an MTF at Nyquist.

    Args:
        mtf: Modulation transfer at half a cycle per pixel, above 0.
        with_footprint: Whether it includes the mean over the pixel, as a system's does.
    """
    of_gaussian = min(mtf * math.pi / 2 if with_footprint else mtf, 1.0)
    return math.sqrt(-2 * math.log(of_gaussian)) / math.pi


def wanted_sensor(psf: PsfLike, source_noise: SourceNoiseLike, register: RegisterLike) -> WantedSensor:
    """Return what users say of sensor and registration.

    Raises:
        OptionError: A value is none of those that there are, or out of range.
    """
    return WantedSensor(_psf_of(psf), _noise_of(source_noise), _register_of(register))


def _psf_of(value: PsfLike) -> Psf:
    name = value.strip().lower().replace("_", "-").replace(" ", "-") if isinstance(value, str) else ""
    if name == "auto":
        return "auto"
    if name == "none":
        return "none"
    if name in SENSOR_BLURS:
        return SENSOR_BLURS[name]
    numbers = _numbers(value)
    if len(numbers) not in {1, 2}:
        raise OptionError(
            f"{option('psf')} is {value!r}, and no point spread function is known by that name: pass auto, or its "
            f"width in source pixels as in {option('psf', 0.4)}, or none, or one of {', '.join(SENSOR_BLURS)}"
        )
    blur = numbers[0], numbers[-1]
    if not all(0 <= width <= LARGEST_BLUR for width in blur):
        raise OptionError(
            f"{option('psf')} is {value}: give the standard deviation of a Gaussian before the mean over the pixel, "
            f"from 0 to {LARGEST_BLUR:g} source pixels, as one number or as down,across"
        )
    return blur


def _noise_of(value: SourceNoiseLike) -> SourceNoise:
    if value == "auto":
        return "auto"
    if value == "none":
        return "none"
    numbers = _numbers(value)
    if len(numbers) != 1 or not 0 <= numbers[0] < math.inf:
        raise OptionError(
            f"{option('source_noise')} is {value!r}: pass auto, none, or the standard deviation of the noise in the "
            f"units of the source, as in {option('source_noise', 0.5)}"
        )
    return numbers[0]


def _register_of(value: RegisterLike) -> Register:
    if isinstance(value, str):
        for way in get_args(get_args(Register)[0]):
            if value == way:
                known: Register = way
                return known
    numbers = _numbers(value)
    if len(numbers) != 2 or not all(abs(by) <= FARTHEST_SHIFT_PX for by in numbers):
        raise OptionError(
            f"{option('register')} is {value!r}: pass subpixel, whole, none, or the target pixels by which the guide "
            f"is moved right and down, at most {FARTHEST_SHIFT_PX:g} each, as in {option('register', [0.5, -1])}"
        )
    across, down = numbers
    return down, across


def _numbers(value: object) -> tuple[float, ...]:
    """Return the finite numbers of a value, or of a text with commas between them; none if it is anything else."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, tuple | list) else (value,)
    try:
        numbers = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        return ()
    return numbers if all(map(math.isfinite, numbers)) else ()
