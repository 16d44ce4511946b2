"""What sensors resolve, and how many of a grid's pixels that is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from mmsr_geo.errors import OptionError
from mmsr_geo.raster.inspect.sensors import SENSORS_M, coarsening, resolution_of


def utm(across: float, down: float | None = None) -> GeoBox:
    side = Affine(across, 0, 5e5, 0, -(across if down is None else down), 4.4e6)
    return GeoBox((50, 40), side, "EPSG:32618")


@pytest.mark.parametrize(
    ("value", "metres"),
    [
        (100, 100),
        (0.5, 0.5),
        (np.float32(30), 30),
        ("100", 100),
        (" 100 m ", 100),
        ("100m", 100),
        ("0.1 km", 100),
        (".1KM", 100),
        ("1e3", 1000),
        ("landsat-tirs", 100),
        ("Landsat_TIRS", 100),
        ("landsat-etm-thermal", 60),
        ("landsat-tm-thermal", 120),
        ("ecostress", 70),
        ("modis", 1000),
        ("viirs-i5", 375),
        ("viirs", 750),
        ("sentinel-3-slstr", 1000),
        ("aster-tir", 90),
    ],
)
def test_a_length_or_a_name_is_metres(value: float | str, metres: float) -> None:
    assert resolution_of(value) == pytest.approx(metres)


@pytest.mark.parametrize(
    "value",
    [0, -30, math.nan, math.inf, True, "0", "-30 m", "nan", "inf", "1e999", "", "m", "100 ft", "100 m m", "landsat"],
)
def test_anything_else_is_refused_in_one_line_with_the_names(value: float | str) -> None:
    with pytest.raises(OptionError) as refused:
        resolution_of(value)
    reported = str(refused.value)
    assert "\n" not in reported
    assert repr(value) in reported
    assert all(name in reported for name in SENSORS_M)


@pytest.mark.parametrize(
    ("pixel", "resolution", "pixels"),
    [
        (30, 100, 3),  # Landsat 8's thermal band as delivered
        (30, 60, 2),
        (30, 120, 4),
        (30, 30, 1),
        (30, 45, 2),  # halves up
        (30, 44, 1),
        (30, 15, 1),
        (100, 70, 1),
    ],
)
def test_the_nearest_whole_number_of_pixels(pixel: float, resolution: float, pixels: int) -> None:
    # UTM's scale at the central meridian is 0.9996: a pixel is 0.04 % longer on the ground.
    assert coarsening(utm(pixel * 0.9996), resolution) == (pixels, pixels)


def test_the_sinusoidal_grid_of_one_kilometre_is_modis_own() -> None:
    sinusoidal = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
    grid = GeoBox((1200, 1200), Affine(926.625433, 0, 0, 0, -926.625433, 5559752.6), sinusoidal)
    assert coarsening(grid, resolution_of("modis")) == (1, 1)


def test_down_and_across_are_their_own() -> None:
    assert coarsening(utm(25, 50), 100) == (2, 4)


def test_degrees_are_measured_on_the_ground() -> None:
    step = 30 / 111_320
    grid = GeoBox((100, 100), Affine(step, 0, 10, 0, -step, 60), "EPSG:4326")  # an arc second is half as wide there
    assert coarsening(grid, 100) == (3, 7)


def test_finer_than_half_a_pixel_is_refused_with_the_numbers() -> None:
    with pytest.raises(OptionError, match=r"is 100 m, .* \(1000 x 1000 m\)"):
        coarsening(utm(1000 * 0.9996), 100)


@given(pixel=st.floats(0.1, 5000), ratio=st.floats(0.51, 60).filter(lambda ratio: abs(ratio % 1 - 0.5) > 0.01))
def test_no_whole_number_is_nearer(pixel: float, ratio: float) -> None:
    down, across = coarsening(utm(pixel * 0.9996), pixel * ratio)
    for chosen in (down, across):
        assert chosen == max(1, min(range(1, 62), key=lambda n: abs(n - ratio)))
