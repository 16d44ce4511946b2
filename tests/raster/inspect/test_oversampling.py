"""Oversampling: suspected in what is resampled from larger pixels, not in what is only smooth."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.warp import Resampling, reproject
from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]

from mmsr_geo.raster.inspect.oversampling import Oversampling, oversampling
from support.rasters import LANDSAT_GUIDE, LANDSAT_TRUTH, SENTINEL_GUIDE, SENTINEL_TRUTH, block_means

Values = NDArray[np.float32]


@cache
def band(name: str) -> Values:
    """Read a real band: B11 (20 m), B04 (10 m), Landsat's B4 or thermal (30 m)."""
    path, index = {
        "B11": (SENTINEL_TRUTH, 1),
        "B04": (SENTINEL_GUIDE, 3),
        "landsat": (LANDSAT_GUIDE, 4),
        "thermal": (LANDSAT_TRUTH, 1),
    }[name]
    with rasterio.open(path) as dataset:
        values: Values = dataset.read(index).astype(np.float32)
    return values


def means(name: str, pixels: int) -> NDArray[np.float64]:
    """Average blocks of a band: pixels as large and sharp as a coarser sensor's."""
    values = band(name)
    height, width = (side // pixels * pixels for side in values.shape)
    return block_means(values[:height, :width], pixels)


def resampled(values: NDArray[np.floating], factor: float, method: str, angle: float = 0) -> Values:
    """Bring onto finer pixels by GDAL, a third of a pixel aside, in whole numbers."""
    height, width = values.shape
    fine = np.full((int(height * factor), int(width * factor)), np.nan, np.float32)
    world = Affine(30, 0, 5e5, 0, -30, 4e6)
    turned = Affine.translation(width / 2, height / 2) * Affine.rotation(angle) * Affine.translation(-width / 2, 0.31)
    reproject(
        values.astype(np.float32),
        fine,
        src_transform=world,
        dst_transform=world * turned * Affine.translation(0.37, -height / 2) * Affine.scale(1 / factor),
        src_crs="EPSG:32618",
        dst_crs="EPSG:32618",
        src_nodata=np.nan,
        dst_nodata=np.nan,
        resampling=Resampling[method],
    )
    return np.rint(fine)


@pytest.mark.parametrize("name", ["B11", "B04", "landsat"])
@pytest.mark.parametrize("method", ["nearest", "bilinear", "cubic"])
@pytest.mark.parametrize(("factor", "averaged"), [(2, 2), (3, 3), (10 / 3, 3), (4, 3)])
def test_larger_pixels_are_found_whatever_the_kernel(name: str, method: str, factor: float, averaged: int) -> None:
    found = oversampling(resampled(means(name, averaged), factor, method))
    assert found is not None
    assert (found.down, found.across) == pytest.approx((factor, factor), rel=0.04)


@pytest.mark.parametrize("angle", [-10, 10, 30])
def test_larger_pixels_may_lie_turned(angle: float) -> None:
    """Landsat's thermal bands: 100 m along the swath, cubic to 30 m north up."""
    found = oversampling(resampled(means("B11", 3), 10 / 3, "cubic", angle))
    assert found is not None
    assert (found.down, found.across) == pytest.approx((10 / 3, 10 / 3), rel=0.04)
    assert found.pixels == (3, 3)


def test_landsat_7s_thermal_band_is_repeated_twice() -> None:
    found = oversampling(band("thermal"))
    assert found is not None
    assert found.pixels == (2, 2)


def test_directions_are_their_own() -> None:
    values = means("B04", 2)
    across = oversampling(values.repeat(3, axis=1))
    assert across is not None
    assert (across.down, across.across) == pytest.approx((1, 3), rel=0.02)
    both = oversampling(values.repeat(2, axis=0).repeat(4, axis=1))
    assert both is not None
    assert both.pixels == (2, 4)


@pytest.mark.parametrize("name", ["B11", "B04", "landsat"])
def test_native_bands_are_not_suspected(name: str) -> None:
    assert oversampling(band(name)) is None


@pytest.mark.parametrize("sigma", [0.4, 0.6, 0.8, 1.2])
def test_a_blur_is_no_oversampling(sigma: float) -> None:
    """At 0.6 pixels a Gaussian's MTF is 0.17 at the Nyquist frequency."""
    for name in ("B11", "landsat"):
        assert oversampling(np.rint(gaussian_filter(band(name), sigma))) is None


@pytest.mark.parametrize("method", ["bilinear", "cubic"])
def test_resampling_at_about_its_own_resolution_is_none(method: str) -> None:
    """The two grids beat, as a larger pixel would: what lies beyond its limit tells them apart."""
    for factor, angle in ((1, 10), (1.1, 0), (1.2, 5), (1.5, 0), (1.5, 10)):
        assert oversampling(resampled(band("B11"), factor, method, angle)) is None


@pytest.mark.parametrize("slopes", [(0.3, 0.1), (1 / 3, 0), (0.25, 0.25)])
def test_rounded_ramps_are_none(slopes: tuple[float, float]) -> None:
    rows, columns = np.mgrid[:200, :200]
    assert oversampling(np.round(slopes[0] * columns + slopes[1] * rows)) is None


@pytest.mark.parametrize("seed", range(4))
def test_stripes_are_none(seed: int) -> None:
    """Detectors that differ, and walks: all power in one line of frequencies, which peaks and mirrors by chance."""
    random = np.random.default_rng(seed)
    values = band("landsat")
    assert oversampling(values + random.normal(0, 5, (1, values.shape[1]))) is None
    assert oversampling(random.normal(size=(200, 200)).cumsum(axis=seed % 2)) is None
    assert oversampling(random.normal(size=(200, 200)).cumsum(axis=0).cumsum(axis=1)) is None


def test_where_nothing_is_known_nothing_is_reported() -> None:
    noise = np.random.default_rng(0).normal(size=(200, 200))
    assert oversampling(noise) is None
    assert oversampling(np.full((200, 200), 7.0)) is None
    assert oversampling(np.full((200, 200), np.nan)) is None
    for shape in ((1, 1), (1, 500), (10, 10), (63, 300)):
        assert oversampling(noise[:20, :20].repeat(25, 0).repeat(25, 1)[: shape[0], : shape[1]]) is None


def test_infinities_are_nodata() -> None:
    values = band("thermal").copy()
    values[:50, :50] = np.inf
    found = oversampling(values)
    assert found is not None
    assert found.pixels == (2, 2)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_nodata_neither_hides_it_nor_feigns_it(share: float) -> None:
    """Clouds, as smooth noise over its threshold, and gaps a pixel large between them."""
    random = np.random.default_rng(1)
    for name, expected in (("thermal", (2, 2)), ("landsat", None), ("B11", None)):
        values = band(name).copy()
        clouds = gaussian_filter(random.normal(size=values.shape), 8)
        values[clouds > np.quantile(clouds, 1 - share)] = np.nan
        values[random.random(values.shape) < 0.01] = np.nan
        found = oversampling(values)
        assert (found.pixels if found else None) == expected


def test_whole_numbers_of_pixels_are_the_nearest() -> None:
    assert Oversampling(10 / 3, 1.0).pixels == (3, 1)
    assert Oversampling(1.9, 2.5).pixels == (2, 3)


def test_neither_units_nor_offsets_matter() -> None:
    fine = resampled(means("B11", 3), 10 / 3, "cubic")
    assert oversampling(fine) == oversampling(fine * np.float32(0.25) + np.float32(512))
    assert oversampling(-fine) == oversampling(fine)


def test_a_transpose_exchanges_the_directions() -> None:
    values = means("B11", 2).repeat(2, axis=0).repeat(3, axis=1)
    straight, turned = oversampling(values), oversampling(values.T)
    assert straight is not None
    assert turned is not None
    assert (straight.down, straight.across) == (turned.across, turned.down)
