"""Grids against slow, obvious measures: counting pixels, projecting points one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Geod, Transformer

from mmsr_geo.errors import GridError, GuideCoverageError
from mmsr_geo.geometry import Scale, Window
from mmsr_geo.raster.grids import (
    bounds_window,
    check_pair,
    coarsened,
    coverage,
    covering_window,
    nearest_scale,
    pixel_coordinates,
    refined,
    resolution_m,
    steps_across,
    window_grid,
)

UTM = "EPSG:32618"


def north_up(
    rows: int, cols: int, res: float, west: float = 435_730.3, north: float = 4_176_900.7, crs: str = UTM
) -> GeoBox:
    return GeoBox((rows, cols), Affine(res, 0, west, 0, -res, north), crs)


rotated = st.builds(
    lambda res, turn, flip, west: GeoBox(
        (7, 9), Affine.translation(west, 4e6 + 0.1) * Affine.rotation(turn) * Affine.scale(res, flip * res), UTM
    ),
    st.floats(0.1, 1000),
    st.floats(0, 360),
    st.sampled_from([-1, 1]),
    st.floats(3e5, 6e5),
)


@given(rotated, st.integers(1, 16), st.integers(2, 16))
def test_the_target_grid_keeps_the_origin_to_the_bit_and_the_corners(grid: GeoBox, y: int, x: int) -> None:
    target = refined(grid, Scale(y, x))
    assert target.shape.yx == (7 * y, 9 * x)
    assert target.crs == grid.crs
    assert (target.affine.c, target.affine.f) == (grid.affine.c, grid.affine.f)
    for col, row in [(0, 0), (9, 0), (0, 7), (9, 7), (4, 3)]:
        assert target.affine * (col * x, row * y) == pytest.approx(grid.affine * (col, row), abs=1e-6)


@given(rotated, st.integers(-3, 9), st.integers(-3, 9), st.integers(1, 9), st.integers(1, 9))
def test_a_windows_grid_starts_at_its_first_pixel(grid: GeoBox, row: int, col: int, height: int, width: int) -> None:
    part = window_grid(grid, Window(row, col, height, width))
    assert part.shape.yx == (height, width)
    assert part.affine * (0, 0) == pytest.approx(grid.affine * (col, row))
    assert part.affine * (width, height) == pytest.approx(grid.affine * (col + width, row + height))


@pytest.mark.parametrize(
    ("source_m", "guide_m", "scale"), [(30, 10, 3), (100, 30, 3), (25, 10, 3), (24.9, 10, 2), (16, 10, 2), (80, 5, 16)]
)
def test_the_scale_is_the_nearest_whole_ratio_halves_up(source_m: float, guide_m: float, scale: int) -> None:
    assert nearest_scale(north_up(40, 40, source_m), north_up(200, 200, guide_m)) == Scale(scale, scale)


def test_the_scale_of_grids_that_differ_by_direction() -> None:
    source = GeoBox((20, 20), Affine(10, 0, 435_730, 0, -40, 4_176_900), UTM)
    assert nearest_scale(source, north_up(100, 100, 10, 435_730, 4_176_900)) == Scale(4, 1)
    assert nearest_scale(source, north_up(100, 100, 20, 435_730, 4_176_900)) == Scale(2, 1)


def test_the_scale_across_crs_is_the_ratio_in_metres() -> None:
    degrees = GeoBox((30, 30), Affine(0.001, 0, -75.6, 0, -0.001, 37.7), "EPSG:4326")
    metres = north_up(600, 600, 10, 443_000, 4_173_500)
    y, x = resolution_m(degrees)
    assert steps_across(degrees, metres) == pytest.approx((y / 10, x / 10), rel=2e-3)
    assert nearest_scale(degrees, metres) == Scale(11, 9)


def test_a_guide_no_finer_is_refused_with_both_resolutions() -> None:
    with pytest.raises(GridError, match=r"scale under 2.*\(30.* m\).*\(40.* m\)"):
        nearest_scale(north_up(10, 10, 40), north_up(10, 10, 30))


def test_a_source_outside_the_guides_crs_is_no_overlap() -> None:
    pole = GeoBox((10, 10), Affine(1000, 0, -5000, 0, -1000, 5000), "EPSG:3413")
    with pytest.raises(GridError, match="centre lies outside the domain of the guide's CRS"):
        nearest_scale(GeoBox((10, 10), Affine(0.01, 0, 14.95, 0, -0.01, 0.05), "EPSG:4326"), north_up(10, 10, 30))
    with pytest.raises(GridError, match="does not overlap"):
        check_pair(pole, north_up(10, 10, 30))


def counted_coverage(source: GeoBox, guide: GeoBox) -> float:
    """Look up 90 000 points of the source, one lattice, in the guide."""
    assert source.crs is not None
    assert guide.crs is not None
    at = (np.arange(300) + 0.5) / 300
    cols, rows = np.meshgrid(at * source.shape.x, at * source.shape.y)
    x, y = source.pix2wld(cols.ravel(), rows.ravel())  # type: ignore[no-untyped-call]
    x, y = Transformer.from_crs(source.crs.proj, guide.crs.proj, always_xy=True).transform(x, y)
    col, row = guide.wld2pix(np.asarray(x), np.asarray(y))  # type: ignore[no-untyped-call]
    return float(((col >= 0) & (col <= guide.shape.x) & (row >= 0) & (row <= guide.shape.y)).mean())


@settings(max_examples=40, deadline=None)
@given(
    st.floats(-1500, 1500),
    st.floats(-1500, 1500),
    st.integers(20, 300),
    st.sampled_from([UTM, "EPSG:4326"]),
    st.floats(0, 360),
)
def test_coverage_is_the_share_of_points_inside(east: float, south: float, size: int, crs: str, turn: float) -> None:
    guide = north_up(size, size, 10, 435_000 + east, 4_177_000 - south)
    if crs != UTM:
        guide = guide.to_crs(crs, tight=True)
    source = GeoBox(
        (40, 50), Affine.translation(435_500, 4_176_500) * Affine.rotation(turn) * Affine.scale(40, -40), UTM
    )
    assert coverage(source, guide) == pytest.approx(counted_coverage(source, guide), abs=0.01)


def test_coverage_of_a_world_by_a_country_and_back() -> None:
    world = GeoBox.from_bbox((-180, -90, 180, 90), "EPSG:4326", resolution=0.5)
    country = north_up(1000, 1000, 500)
    assert coverage(country, world) == 1.0
    part = coverage(world, country)
    area = 500_000**2 / (111_320**2 * math.cos(math.radians(35.5)))  # square degrees, roughly
    assert part == pytest.approx(area / (360 * 180), rel=0.02)


def test_a_pair_is_checked_with_the_numbers_in_the_message() -> None:
    source = north_up(100, 100, 30)
    check_pair(source, north_up(300, 300, 10))
    check_pair(source, north_up(300, 183, 10), min_coverage=0.6)
    with pytest.raises(GuideCoverageError, match=r"covers 61 % of the source \(needs 95 %\).*min_coverage=0\.61"):
        check_pair(source, north_up(300, 183, 10))
    with pytest.raises(GridError, match=r"435730\.3,4173900\.7,438730\.3,4176900\.7.*EPSG:32618.*500000,4173900\.7"):
        check_pair(source, north_up(300, 300, 10, west=500_000))


@given(st.floats(-10, 60), st.floats(-10, 60), st.floats(0.1, 60), st.floats(0.1, 60), st.sampled_from([0, 1]))
def test_bounds_take_every_pixel_that_they_touch(
    left: float, top: float, width: float, height: float, south_up: int
) -> None:
    rows, cols, res = 40, 50, 30.0
    grid = GeoBox((rows, cols), Affine(res, 0, 5e5, 0, res if south_up else -res, 4e6), UTM)
    corners = [grid.affine * point for point in ((left, top), (left + width, top + height))]
    (x0, y0), (x1, y1) = corners
    bounds = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    eps = 2e-6
    hit_rows = [r for r in range(rows) if r + 1 > top + eps and r < top + height - eps]
    hit_cols = [c for c in range(cols) if c + 1 > left + eps and c < left + width - eps]
    if not (hit_rows and hit_cols):
        return
    assert bounds_window(grid, bounds) == Window(hit_rows[0], hit_cols[0], len(hit_rows), len(hit_cols))


def test_bounds_on_pixel_edges_take_no_pixel_more() -> None:
    grid = north_up(100, 100, 0.1)
    left, bottom, right, top = window_grid(grid, Window(3, 5, 20, 30)).boundingbox
    assert bounds_window(grid, (left, bottom, right, top)) == Window(3, 5, 20, 30)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ((0, 0, 10, 10), "do not intersect the raster.*EPSG:32618"),
        ((10, 0, 0, 10), "W < E"),
        ((0, math.nan, 1, 1), "W < E"),
    ],
)
def test_bounds_elsewhere_or_askew_are_refused(bounds: tuple[float, float, float, float], said: str) -> None:
    with pytest.raises(GridError, match=said):
        bounds_window(north_up(10, 10, 30), bounds)


def degrees(west: float, east: float, res: float = 1) -> GeoBox:
    """A grid of one-degree rows from 10 down to -10."""
    return GeoBox((20, round((east - west) / res)), Affine(res, 0, west, 0, -1, 10), "EPSG:4326")


@pytest.mark.parametrize(
    ("grid", "west", "east", "columns"),
    [
        (degrees(179.7, 180.2, 0.01), 179.9, -179.9, (20, 40)),
        (degrees(-180.3, -179.8, 0.01), 179.9, -179.9, (20, 40)),
        (degrees(0, 360), 170, -170, (170, 190)),
        (degrees(0, 360), -30, -10, (330, 350)),
        (degrees(179.7, 180.2, 0.01), -179.95, -179.9, (35, 40)),
        (degrees(0, 360), -180, 180, (0, 360)),
        (degrees(-180, 180), -200, 200, (0, 360)),
        (degrees(-180, 180), -10, 10, (170, 190)),
    ],
)
def test_bounds_in_degrees_are_read_in_the_longitudes_of_the_raster(
    grid: GeoBox, west: float, east: float, columns: tuple[int, int]
) -> None:
    first, end = columns
    assert bounds_window(grid, (west, 0, east, 5)) == Window(5, first, 5, end - first)


@pytest.mark.parametrize(
    ("grid", "west", "east", "said"),
    [
        (degrees(160, 180), 170, -170, "antimeridian"),
        (degrees(5, 7), 6, 5, "W > E.*antimeridian.*does not: give W < E"),
        (degrees(-180, 180), 170, 190, "170,0,190,5 cross the longitude at which the raster at -180,-10,180,10 is cut"),
        (degrees(0, 360), -10, 10, "is cut: run the parts on both sides"),
        (degrees(0, 360), 6, 5, "is cut"),
        (degrees(20, 40), 50, 60, "do not intersect"),
    ],
)
def test_bounds_in_degrees_that_are_not_one_part_of_the_raster_are_refused(
    grid: GeoBox, west: float, east: float, said: str
) -> None:
    with pytest.raises(GridError, match=said):
        bounds_window(grid, (west, 0, east, 5))


def test_resolution_in_metres_on_the_ellipsoid() -> None:
    degrees = GeoBox((10, 10), Affine(0.01, 0, 10, 0, -0.01, 60.05), "EPSG:4326")
    geod = Geod(ellps="WGS84")
    down = geod.inv(10.05, 59.995, 10.05, 60.005)[2]
    across = geod.inv(10.045, 60, 10.055, 60)[2]
    assert resolution_m(degrees) == pytest.approx((down, across))
    feet = GeoBox((10, 10), Affine(2, 0, 635_615, 0, -2, 853_362), "EPSG:2994")
    assert resolution_m(feet) == pytest.approx((0.6096, 0.6096), rel=1e-3)


def test_points_outside_a_crs_are_not_finite_and_raise_nothing() -> None:
    grid = GeoBox((10, 10), Affine(0.01, 0, 14.95, 0, -0.01, 0.05), "EPSG:4326")
    assert not np.isfinite(pixel_coordinates(grid, north_up(10, 10, 30), [5], [5])).any()


def test_a_grid_coarsened_from_another_covers_a_raster_with_whole_pixels() -> None:
    guide = north_up(300, 280, 10.0, west=435_003.0, north=4_176_907.0)
    source = north_up(20, 17, 43.0, west=435_111.1, north=4_176_555.5)
    window = covering_window(guide, source)
    grid = coarsened(guide, Scale(4, 4), window)
    west, south, east, north = grid.boundingbox.bbox
    inside = source.boundingbox
    assert west <= inside.left < west + 10
    assert north - 10 < inside.top <= north
    assert inside.right <= east < inside.right + 10 + 40
    assert south - 1e-6 <= inside.bottom
    assert grid.affine.a == 40.0
    cols, rows = pixel_coordinates(grid, guide, [0, 1], [0, 1])
    assert np.allclose(cols, np.round(cols), atol=1e-6)
    assert np.allclose(rows, np.round(rows), atol=1e-6)
    assert np.isclose(cols[1] - cols[0], 4)


def test_a_raster_that_another_crs_cannot_hold_is_refused() -> None:
    world = GeoBox((18, 36), Affine(10, 0, -180, 0, -10, 90), "EPSG:4326")
    with pytest.raises(GridError, match="lies outside the domain of"):
        covering_window(north_up(10, 10, 30, crs="+proj=ortho +lat_0=40 +lon_0=-100"), world)
