"""Derived bands against plain loops: indices of reflectances, Horn's slope and aspect of planes and random ground."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from dask.base import tokenize
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Window
from mmsr_geo.options import DERIVED
from mmsr_geo.raster.base import BandTags
from mmsr_geo.raster.grids import resolution_m
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.read.open import open_guides
from mmsr_geo.raster.views.bridged import Bridged
from mmsr_geo.raster.views.derived_bands import (
    NORMALISED_DIFFERENCES,
    Derivation,
    Derived,
    ground_steps_m,
    normalised_difference,
    steps_of_plane,
)
from mmsr_geo.raster.views.guides import Guides
from mmsr_geo.raster.views.mask import open_mask
from mmsr_geo.raster.views.stack import Stacked
from mmsr_geo.raster.views.warp import Warped
from support.rasters import SENTINEL_GUIDE, georeferenced

UTM = "EPSG:32618"
PLACE = Affine(10, 0, 500_000, 0, -10, 4_000_000)
GRID = GeoBox((12, 15), PLACE, UTM)
WHOLE = Window.whole((12, 15))
PLANAR = GeoBox((12, 15), Affine(10, 0, 0, 0, -10, 0), 'LOCAL_CS["site",UNIT["metre",1]]')
"""No place on Earth: a pixel is 10 m on the ground exactly."""


def raster(
    values: Any, grid: GeoBox = GRID, names: tuple[str, ...] = (), tags: BandTags | None = None, name: str = "made"
) -> ArrayRaster:
    values = np.asarray(values, np.float32)
    values = values if values.ndim == 3 else values[None]
    bands = names or tuple(str(i + 1) for i in range(len(values)))
    made = ArrayRaster.in_memory(values, grid, bands=bands, name=name)
    return made if tags is None else replace(made, band_tags=(tags,) * len(bands))


def derived(raster: Any, *texts: str) -> Derived:
    return Derived(raster, tuple(Derivation.parse(text) for text in texts))


def random(bands: int = 3, seed: int = 0, grid: GeoBox = GRID) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(50, 4000, (bands, *grid.shape.yx)).astype(np.float32)


# What is said.


@pytest.mark.parametrize(
    ("text", "kind", "given"),
    [
        ("ndvi:nir=4,red=3", "ndvi", (("nir", "4"), ("red", "3"))),
        ("NDVI: red=3 , NIR = 4", "ndvi", (("red", "3"), ("nir", "4"))),
        ("ndvi", "ndvi", ()),
        ("nbr:nir=a b.tif:8A,swir2=C:\\x,y.tif:12", "nbr", (("nir", "a b.tif:8A"), ("swir2", "C:\\x,y.tif:12"))),
        ("slope", "slope", ()),
        ("slope:dem=1", "slope", (("dem", "1"),)),
        ("aspect:dem.tif:1", "aspect", (("dem", "dem.tif:1"),)),
    ],
)
def test_a_derivation_is_parsed_and_printed(text: str, kind: str, given: tuple[tuple[str, str], ...]) -> None:
    derivation = Derivation.parse(text)
    assert (derivation.kind, derivation.given) == (kind, given)
    assert Derivation.parse(str(derivation)) == derivation


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("evi:nir=4", "no derivation 'evi': there are ndvi, .*slope, aspect"),
        ("ndvi:nir=4,swir=3", "ndvi takes nir and red, each once, not swir; write derive='ndvi:nir=4,red=3'"),
        ("ndvi:nir=4,nir=3", "each once, not nir"),
        ("ndvi:4,3", "does not say which band is which; write derive='ndvi:nir=4,red=3'"),
        ("ndvi:4,red=3", "does not say which band is which"),
        ("slope:height=1", "slope takes dem.*write derive='slope:dem=1'"),
        ("", "no derivation ''"),
    ],
)
def test_what_cannot_be_derived_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(OptionError, match=said) as caught:
        Derivation.parse(text)
    assert "\n" not in str(caught.value)


def test_bands_are_found_by_number_name_and_file() -> None:
    optical = raster(random(3), names=("Blue", "red", "NIR"), name="/data/optical.tif")
    dem = raster(random(1, 1), name="/data/dem.tif")
    both = Stacked((optical, dem))
    red_nir = [
        ("ndvi:nir=3,red=2"),
        ("ndvi"),
        ("ndvi:nir=NIR,red=RED"),
        ("ndvi:red=optical.tif:2,nir=/data/optical.tif:nir"),
    ]
    for guides in ((optical,), (optical, dem)):
        assert {Derivation.parse(text).places(guides) for text in red_nir} == {(2, 1)}
    for text in ("slope:4", "slope:dem=dem.tif:1", "slope:dem=dem.tif:1"):
        assert Derivation.parse(text).places((optical, dem)) == (3,)
    assert Derivation.parse("slope").places((dem,)) == (0,)
    assert derived(both, "ndvi", "slope:4").bands == ("Blue", "red", "NIR", "1", "ndvi", "slope")


def test_a_number_is_the_files_own_where_a_guide_was_cut_down() -> None:
    (guide,) = open_guides(SENTINEL_GUIDE, guide_band=[4, 3])
    assert Derivation.parse("ndvi:nir=4,red=3").places((guide,)) == (0, 1)
    named = f"{SENTINEL_GUIDE}:4"
    assert Derivation.parse(f"ndvi:nir={named},red=sentinel2_10m.tif:3").places((guide,)) == (0, 1)
    assert Derivation.parse(f"ndvi:nir={named},red=3").places((raster(random(3), name="other"), guide)) == (3, 2)
    made = georeferenced(random(4), PLACE, name="made").assign_coords(band=[1, 2, 3, 4])
    (array,) = open_guides(made, guide_band=["made:4,3"])
    assert Derivation.parse("ndvi:nir=made:4,red=3").places((array,)) == (0, 1)


@pytest.mark.parametrize("text", ["ndvi:nir=7,red=2", "ndvi:nir=swir,red=2", "ndvi:nir=other.tif:1,red=2", "slope"])
def test_a_band_that_there_is_not_is_refused_with_those_there_are(text: str) -> None:
    guide = raster(random(2), names=("red", "swir1"))
    for refuse in (lambda: derived(guide, text), lambda: Guides((guide,), derived=(Derivation.parse(text),))):
        with pytest.raises(OptionError, match=r"there are 1 \(red\), 2 \(swir1\): write derive=") as caught:
            refuse()
        assert "\n" not in str(caught.value)


# Normalised differences.


def test_an_index_is_one_of_reflectances_not_of_stored_numbers() -> None:
    """Sentinel-2 since baseline 04.00: reflectance = 0.0001 * stored - 0.1."""
    stored = np.array([[[1500, 1400]], [[4000, 6000]]])
    tags = BandTags(scale=0.0001, offset=-0.1)
    grid = GeoBox((1, 2), PLACE, UTM)
    plain = derived(raster(stored, grid), "ndvi:red=1,nir=2").read(Window(0, 0, 1, 2))
    assert np.allclose(plain.values[2], [[2500 / 5500, 4600 / 7400]])
    scaled = derived(raster(stored, grid, tags=tags), "ndvi:red=1,nir=2").read(Window(0, 0, 1, 2))
    assert np.allclose(scaled.values[2], [[0.25 / 0.35, 0.46 / 0.54]])
    assert (scaled.values[:2] == stored).all()


def test_every_index_is_the_difference_over_the_sum() -> None:
    values = random(4, 3)
    for kind, (a, b) in NORMALISED_DIFFERENCES.items():
        pixels = derived(raster(values), f"{kind}:{b}=3,{a}=2").read(WHOLE)
        expected = (values[1].astype(float) - values[2]) / (values[1].astype(float) + values[2])
        assert np.allclose(pixels.values[4], expected, atol=1e-7)
        assert (pixels.values[:4] == values).all()
        assert pixels.valid.all()


def test_darkness_is_not_nodata_and_noise_below_zero_does_not_run_away() -> None:
    a = np.array([0.0, 0.0, 3.0, -0.01, -0.1, 0.3, np.nan, 5.0])
    b = np.array([0.0, 2.0, 0.0, 0.02, -0.2, -0.1, 1.0, 5.0])
    expected = [0, -1, 1, -1, 0, 1, np.nan, 0]
    assert np.array_equal(normalised_difference(a, b), expected, equal_nan=True)


def test_nodata_stays_nodata() -> None:
    values = random(2)
    values[0, 3, 4] = np.nan
    pixels = derived(raster(values), "ndvi:nir=1,red=2", "slope:1", "aspect:2").read(WHOLE)
    assert pixels.values.shape == (6, 12, 15)
    assert np.argwhere(~pixels.valid).tolist() == [[3, 4]]
    assert np.isnan(pixels.values[:, 3, 4]).all()
    assert np.isfinite(pixels.values[:, pixels.valid]).all()


# Slope and aspect.


def plane(grid: GeoBox, east: float, north: float) -> NDArray[np.float64]:
    """Heights that rise so many metres a metre of the grid's coordinates."""
    rows, cols = np.mgrid[: grid.shape.y, : grid.shape.x] + 0.5
    x, y = grid.pix2wld(cols, rows)  # type: ignore[no-untyped-call]
    return np.asarray(100 + east * (x - x.mean()) + north * (y - y.mean()))


@pytest.mark.parametrize(
    "turn",
    [
        Affine.identity(),
        Affine.rotation(33),
        Affine.scale(1, -1),
        Affine.scale(2, 0.5) * Affine.shear(20, 0),
        Affine.rotation(120) * Affine.scale(1, 3),
    ],
)
@pytest.mark.parametrize(("east", "north"), [(1, 0), (0, 1), (-0.3, 0.4), (0, 0), (3, -5)])
def test_a_plane_has_its_slope_and_aspect_everywhere_to_the_border_and_beside_nodata(
    turn: Affine, east: float, north: float
) -> None:
    grid = GeoBox((12, 15), PLANAR.affine * turn, PLANAR.crs)
    heights = plane(grid, east, north)
    heights[[3, 4, 8], [3, 3, 14]] = np.nan
    pixels = derived(raster(heights, grid), "slope", "aspect").read(WHOLE)
    assert pixels.valid.sum() == 12 * 15 - 3
    steepness = math.hypot(east, north)
    expected = [math.degrees(math.atan(steepness)), *(-np.array([north, east]) / (steepness or 1))]
    assert np.allclose(pixels.values[1:, pixels.valid].T, expected, atol=1e-3)


def test_the_aspect_is_where_a_slope_faces() -> None:
    """Ground that falls to the north faces north."""
    for (east, north), facing in {(0, -1): (1, 0), (-1, 0): (0, 1), (0, 1): (-1, 0)}.items():
        pixels = derived(raster(plane(PLANAR, east, north), PLANAR), "aspect").read(WHOLE)
        assert np.allclose(pixels.values[1:, 5, 5], facing, atol=1e-6)


def test_what_is_flat_points_nowhere() -> None:
    for steepness, length in [(0, 0), (1e-6, 0.001), (5e-4, 0.5), (0.002, 1)]:
        pixels = derived(raster(plane(PLANAR, steepness, 0) - 100, PLANAR), "aspect").read(WHOLE)
        assert np.allclose(np.hypot(*pixels.values[1:]), length, atol=1e-3)


def horn(heights: NDArray[Any], row: int, col: int, dy: float, dx: float) -> tuple[float, float]:
    """Horn 1981, p. 18, on metres: the rise to the east and to the north."""
    z = heights[row - 1 : row + 2, col - 1 : col + 2].astype(float)
    east = (z[0, 2] + 2 * z[1, 2] + z[2, 2] - z[0, 0] - 2 * z[1, 0] - z[2, 0]) / (8 * dx)
    north = (z[0, 0] + 2 * z[0, 1] + z[0, 2] - z[2, 0] - 2 * z[2, 1] - z[2, 2]) / (8 * dy)
    return float(east), float(north)


@pytest.mark.parametrize(
    "grid",
    [
        PLANAR,
        GRID,
        GeoBox((12, 15), Affine(0.001, 0, 10, 0, -0.0005, 60), "EPSG:4326"),
        GeoBox((12, 15), Affine(20, 0, 1e6, 0, -20, 8.4e6), "EPSG:3857"),
    ],
    ids=["planar", "utm", "degrees", "web"],
)
def test_slope_is_horns_on_ground_distances(grid: GeoBox) -> None:
    heights = random(1, 5)[0] / 100
    down, across = resolution_m(grid)
    pixels = derived(raster(heights, grid), "slope", "aspect").read(WHOLE)
    for row in range(1, 11):
        for col in range(1, 14):
            east, north = horn(heights, row, col, down, across)
            slope = math.degrees(math.atan(math.hypot(east, north)))
            assert pixels.values[1, row, col] == pytest.approx(slope, abs=1e-3)
            facing = -np.array([north, east]) / math.hypot(east, north)
            assert np.allclose(pixels.values[2:, row, col], facing, atol=1e-3)


def test_ground_steps_are_metres_from_true_north() -> None:
    """Web Mercator's metres at 60 degrees north are half a metre; UTM at its central meridian is off by 0.04 %."""
    web = GeoBox((10, 10), Affine(20, 0, 1e6, 0, -20, 8_399_738 + 100), "EPSG:3857")
    assert np.allclose(ground_steps_m(web), [[10, 0], [0, -10]], atol=0.05)
    assert np.allclose(ground_steps_m(GRID), [[10.004, 0], [0, -10.004]], atol=2e-3)
    turned = GeoBox((12, 15), PLACE * Affine.rotation(30), UTM)
    steps = ground_steps_m(turned)
    assert np.allclose(steps / 10.004, [[0.866, -0.5], [-0.5, -0.866]], atol=2e-3)
    # Six degrees east of the meridian, at 60 north, the grid's north lies 5.2 degrees east of the true one.
    far = GeoBox((10, 10), Affine(10, 0, 834_000, 0, -10, 6_664_000), UTM)
    east, north = ground_steps_m(far)[:, 1]
    assert math.degrees(math.atan2(-east, -north)) == pytest.approx(5.2, abs=0.1)
    for grid in (web, GRID, far):
        assert np.allclose(np.hypot(*ground_steps_m(grid))[::-1], resolution_m(grid))


def least_squares(heights: NDArray[Any], valid: NDArray[np.bool_], row: int, col: int) -> NDArray[np.float64]:
    """Fit a plane through one pixel to its valid neighbours, by numpy's solver: the shortest of equal fits."""
    rows, rises = [], []
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            r, c = row + down, col + across
            inside = 0 <= r < heights.shape[0] and 0 <= c < heights.shape[1]
            if (down or across) and inside and valid[r, c]:
                weight = math.sqrt(1 if down and across else 2)
                rows.append([weight * across, weight * down])
                rises.append(weight * (heights[r, c] - heights[row, col]))
    return np.linalg.lstsq(np.array(rows), np.array(rises))[0] if rows else np.zeros(2)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.95])
def test_beside_nodata_the_plane_is_fitted_to_the_neighbours_there_are(share: float) -> None:
    rng = np.random.default_rng(8)
    heights, valid = rng.normal(size=(9, 11)), rng.random((9, 11)) >= share
    across, down = steps_of_plane(np.where(valid, heights, np.nan), valid)
    assert (np.isnan(across) == ~valid).all()
    for row, col in np.argwhere(valid):
        expected = least_squares(heights, valid, int(row), int(col))
        assert np.allclose([across[row, col], down[row, col]], expected, atol=1e-9)


def test_heights_in_feet_and_scaled_ones_are_metres() -> None:
    heights = plane(PLANAR, 0.5, 0)
    expected = math.degrees(math.atan(0.5))
    for tags, stored in [
        (BandTags(unit="ft"), heights / 0.3048),
        (BandTags(unit="US survey foot"), heights * 3937 / 1200),
        (BandTags(unit="m"), heights),
        (BandTags(unit="cm"), heights * 100),
        (BandTags(scale=0.1, offset=-50), (heights + 50) * 10),
    ]:
        pixels = derived(raster(stored, PLANAR, tags=tags), "slope").read(WHOLE)
        assert np.allclose(pixels.values[1], expected, atol=1e-3)


# As a raster.


def test_what_a_derived_raster_says_of_itself() -> None:
    tags = BandTags("height", "m")
    made = derived(raster(random(2), names=("dem", "slope"), tags=tags), "slope:dem=1", "slope:dem=2", "aspect")
    assert made.bands == ("dem", "slope", "slope (slope:dem=1)", "slope (slope:dem=2)", "northness", "eastness")
    assert [tags.unit for tags in made.band_tags] == ["m", "m", "degree", "degree", None, None]
    assert [tags.description for tags in made.band_tags[2:]] == list(made.bands[2:])
    assert (made.numbers, made.grid, made.name) == ((1, 2, 3, 4, 5, 6), GRID, "made")
    assert made.dtype == np.float32
    assert tokenize(made) == tokenize(replace(made)) != tokenize(replace(made, derivations=made.derivations[1:]))


@settings(max_examples=40)
@given(
    st.sampled_from([["slope:1", "aspect:2"], ["ndvi:nir=1,red=2"], ["ndvi:nir=2,red=1", "slope:2"]]),
    st.tuples(st.integers(0, 11), st.integers(0, 14), st.integers(1, 12), st.integers(1, 15)),
    st.sampled_from([0.0, 0.3]),
)
def test_a_window_is_the_same_as_in_the_whole(texts: list[str], part: tuple[int, ...], missing: float) -> None:
    values = random(2, 9)
    values[0][np.random.default_rng(1).random((12, 15)) < missing] = np.nan
    made = derived(raster(values), *texts)
    whole = made.read(WHOLE)
    window = Window(*part).intersection(WHOLE)
    read_plan = made.read_plan(window)
    make = pickle.loads(pickle.dumps(read_plan.combine))  # noqa: S301  (our own bytes)
    found = make([leaf.read(at) for leaf, at in read_plan.reads])
    assert np.array_equal(found.values, whole.values[(slice(None), *window.slices)], equal_nan=True)
    assert (found.valid == whole.valid[window.slices]).all()
    assert len(pickle.dumps(read_plan.combine)) < 5_000


@settings(max_examples=30)
@given(st.tuples(st.integers(0, 23), st.integers(0, 29), st.integers(1, 24), st.integers(1, 30)))
def test_derived_guides_on_the_target_are_the_same_by_window(part: tuple[int, ...]) -> None:
    fine, coarse = GRID.zoom_out(1 / 2), GeoBox((9, 9), Affine(0.0003, 0, -75, 0, -0.0003, 36.1449), "EPSG:4326")
    optical, dem = (
        raster(random(2, 2, fine), fine, name="optical"),
        raster(random(1, 3, coarse) / 50, coarse, name="dem"),
    )
    mask = open_mask(georeferenced((np.random.default_rng(4).random((12, 15)) < 0.2).astype(np.uint8), PLACE))
    texts = ("ndvi:nir=2,red=optical:1", "slope:dem=dem:1", "aspect:3")
    guide = Guides((optical, dem), (mask,), derived=tuple(map(Derivation.parse, texts))).on(fine)
    assert guide.bands == ("optical:1", "optical:2", "dem:1", "ndvi", "slope", "northness", "eastness")
    assert isinstance(guide, Bridged)
    whole = guide.raster.read(Window.whole((24, 30)))
    window = Window(*part).intersection(Window.whole((24, 30)))
    found = guide.raster.read(window)
    assert (found.valid == whole.valid[window.slices]).all()
    assert 0.6 < whole.valid.mean() < 0.95
    assert np.allclose(found.values, whole.values[(slice(None), *window.slices)], atol=3e-4, equal_nan=True)


def test_guides_derive_on_the_grid_asked_for() -> None:
    (optical,) = open_guides(SENTINEL_GUIDE)
    grid = optical.grid.zoom_out(2)
    window = Window(10, 20, 30, 40)
    values = Warped(optical, grid).read(window).values.astype(float)
    found = Guides((optical,), derived=(Derivation.parse("ndvi:nir=4,red=3"),)).on(grid).read(window).values
    assert np.allclose(found[4], (values[3] - values[2]) / (values[3] + values[2]), atol=1e-6)
    with rasterio.open(SENTINEL_GUIDE) as dataset:
        assert len(found) == dataset.count + 1


def test_the_options_suggest_each_known_derivation() -> None:
    assert sorted(DERIVED) == sorted([*NORMALISED_DIFFERENCES, "slope", "aspect"])
