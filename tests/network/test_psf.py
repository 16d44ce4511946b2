"""What users say of sensor and registration; the table of known sensors, computed again from its documents."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mmsr_geo.errors import OptionError
from mmsr_geo.network.psf import SENSOR_BLURS, blur_of_mtf, wanted_sensor
from mmsr_geo.network.sensor import ESTIMATED, WantedSensor

SYSTEM_MTFS = {
    "sentinel-2-b01": 0.32,
    "sentinel-2-b02": 0.26,
    "sentinel-2-b03": 0.28,
    "sentinel-2-b04": 0.24,
    "sentinel-2-b05": 0.38,
    "sentinel-2-b06": 0.34,
    "sentinel-2-b07": 0.34,
    "sentinel-2-b08": 0.26,
    "sentinel-2-b8a": 0.33,
    "sentinel-2-b09": 0.26,
    "sentinel-2-b11": 0.22,
    "sentinel-2-b12": 0.23,
}


@pytest.mark.parametrize(("name", "mtf"), SYSTEM_MTFS.items())
def test_the_blur_of_a_sentinel_band_is_that_of_its_mtf_without_the_footprint(name: str, mtf: float) -> None:
    down, across = SENSOR_BLURS[name]
    assert down == across == pytest.approx(blur_of_mtf(mtf), abs=6e-4)
    assert math.exp(-((math.pi * down) ** 2) / 2) * 2 / math.pi == pytest.approx(mtf, abs=2e-3)


@pytest.mark.parametrize(
    ("name", "mtfs"),
    [
        ("modis", (2 / math.pi, 4 / math.pi**2)),
        ("landsat-tirs-b10", (0.345, 0.353)),
        ("landsat-tirs-b11", (0.318, 0.326)),
    ],
)
def test_the_blur_of_other_sensors_is_that_of_their_mtfs(name: str, mtfs: tuple[float, float]) -> None:
    assert SENSOR_BLURS[name] == pytest.approx([blur_of_mtf(mtf) for mtf in mtfs], abs=1e-3)


def test_a_gaussians_own_mtf_needs_no_footprint() -> None:
    assert blur_of_mtf(math.exp(-((math.pi * 0.3) ** 2) / 2), with_footprint=False) == pytest.approx(0.3)
    assert blur_of_mtf(0.9) == 0.0


@pytest.mark.parametrize(
    ("psf", "noise", "register", "wanted"),
    [
        ("auto", "auto", "subpixel", ESTIMATED),
        ("none", "none", "none", WantedSensor("none", "none", "none")),
        ("Sentinel-2 B11", 2.5, "whole", WantedSensor((0.464, 0.464), 2.5, "whole")),
        ("0.4", "0", "0.5,-1", WantedSensor((0.4, 0.4), 0.0, (-1.0, 0.5))),
        ("0.2,0.4", "1e-3", (0, 2), WantedSensor((0.2, 0.4), 0.001, (2.0, 0.0))),
        (0.4, 3, [0.25, 0.5], WantedSensor((0.4, 0.4), 3.0, (0.5, 0.25))),
        ((0.1, 0.0), "none", "subpixel", WantedSensor((0.1, 0.0), "none", "subpixel")),
    ],
)
def test_values_are_read(psf: Any, noise: Any, register: Any, wanted: WantedSensor) -> None:
    assert wanted_sensor(psf, noise, register) == wanted


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (("landsat-oli", "auto", "none"), "no point spread function is known by that name"),
        (("sentinel-2-b10", "auto", "none"), "sentinel-2-b09"),
        (("1.2", "auto", "none"), "from 0 to 1 source pixels"),
        (("-0.1", "auto", "none"), "from 0 to 1 source pixels"),
        (("nan", "auto", "none"), "no point spread function"),
        (("0.1,0.2,0.3", "auto", "none"), "no point spread function"),
        (("auto", "-1", "none"), "standard deviation of the noise"),
        (("auto", "inf", "none"), "standard deviation of the noise"),
        (("auto", "much", "none"), "standard deviation of the noise"),
        (("auto", "auto", "half"), "subpixel, whole, none"),
        (("auto", "auto", "4,0"), "at most 3 each"),
        (("auto", "auto", "1"), "subpixel, whole, none"),
    ],
)
def test_other_values_are_refused(values: tuple[str, str, str], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        wanted_sensor(*values)
