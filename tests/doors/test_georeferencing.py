"""Odd grids through both doors against arithmetic written out here, and contents against analytic surfaces."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer

import mmsr_geo
from mmsr_geo.engine.pair import Pair
from mmsr_geo.geometry import Window
from mmsr_geo.raster.grids import check_pair
from mmsr_geo.raster.read.open import open_guide, open_source
from mmsr_geo.raster.views.mask import Masked, open_mask
from mmsr_geo.raster.views.warp import Warped
from support.rasters import georeferenced

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Callable

    Floats = NDArray[np.float64]
    Surface = Callable[[Floats, Floats], Floats]

CORNER_PX = 1e-6
CONTENT_PX = 0.1
UTM = "EPSG:32618"


@dataclass(frozen=True)
class Odd:
    """A source's grid and how it is refined."""

    crs: str
    transform: Affine
    scale: tuple[int, int] = (3, 3)
    shape: tuple[int, int] = (15, 17)
    tags: dict[str, str] = field(default_factory=dict)


def north_up(west: float, north: float, across: float, down: float | None = None) -> Affine:
    return Affine(across, 0, west, 0, -(across if down is None else down), north)


def around(east: float, north: float, across: float, shape: tuple[int, int] = (15, 17)) -> Affine:
    """North up, with the place at the raster's centre."""
    return north_up(east - across * shape[1] / 2, north + across * shape[0] / 2, across)


PLACE = Affine.translation(435_730.3, 4_176_900.7)
POINT = {"AREA_OR_POINT": "Point"}
GRIDS = {
    "north up": Odd(UTM, north_up(435_730.3, 4_176_900.7, 30), (4, 4)),
    "2 x 3 on oblong pixels": Odd(UTM, north_up(435_730.3, 4_176_900.7, 30, 20), (2, 3)),
    "4 x 1 on oblong pixels": Odd(UTM, north_up(435_730.3, 4_176_900.7, 10, 40), (4, 1)),
    "south up": Odd(UTM, PLACE * Affine.scale(30, 30)),
    "east to west": Odd(UTM, PLACE * Affine.scale(-30, -30)),
    "rotated": Odd(UTM, PLACE * Affine.rotation(30) * Affine.scale(30, -30)),
    "sheared": Odd(UTM, PLACE * Affine.shear(20, 0) * Affine.scale(30, -30)),
    "rotated, sheared, south up and oblong": Odd(
        UTM, PLACE * Affine.rotation(-50) * Affine.shear(0, 15) * Affine.scale(30, 21), (2, 3)
    ),
    "by points": Odd(UTM, north_up(435_730.3, 4_176_900.7, 30), tags=POINT),
    "by points and rotated": Odd(UTM, PLACE * Affine.rotation(30) * Affine.scale(30, -30), tags=POINT),
    "degrees": Odd("EPSG:4326", north_up(-75.73, 37.71, 1 / 1200)),
    "degrees by points, as SRTM": Odd("EPSG:4326", north_up(-75 - 1 / 2400, 38 + 1 / 2400, 1 / 1200), tags=POINT),
    "degrees over the equator and Greenwich": Odd("EPSG:4326", around(0.001, -0.002, 0.01)),
    "degrees counted from 0 to 360": Odd("EPSG:4326", north_up(284.27, 37.71, 1 / 1200)),
    "degrees over the antimeridian, above 180": Odd("EPSG:4326", around(180.003, -17, 0.01)),
    "degrees over the antimeridian, below -180": Odd("EPSG:4326", around(-180.003, -17, 0.01)),
    "tiny degrees": Odd("EPSG:4326", north_up(-179.123456789, 71.987654321, 3e-7)),
    "a world in degrees": Odd("EPSG:4326", north_up(-180, 90, 15), shape=(12, 24)),
    "a world by its nodes, 0 to 360": Odd("EPSG:4326", north_up(-7.5, 97.5, 15), shape=(13, 24)),
    "zone 60 over the antimeridian": Odd("EPSG:32660", around(818_000, 5_000_000, 500)),
    "a Pacific Mercator over the antimeridian": Odd("EPSG:3832", around(3_339_584.7, -1_000_000, 500)),
    "over the north pole": Odd("EPSG:3413", around(130, -210, 1000)),
    "over the south pole": Odd("EPSG:3031", around(130, -210, 1000)),
    "the web's Mercator": Odd("EPSG:3857", north_up(-8_430_000.12, 4_530_000.34, 38.2)),
    "MODIS": Odd(
        "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs",
        north_up(-6_671_703.118, 4_447_802.078667, 926.625433055833),
    ),
    "equal areas around a centre of one's own": Odd(
        "+proj=laea +lat_0=12.3 +lon_0=45.6 +datum=WGS84 +units=m", around(1000, 2000, 30)
    ),
    "a view from afar": Odd("+proj=ortho +lat_0=40 +lon_0=-100 +datum=WGS84", around(2e6, 1e6, 5000)),
    "a rotated pole": Odd(
        "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +R=6371229", around(-5.1, 3.3, 0.11)
    ),
    "a datum with its shift": Odd(
        "+proj=utm +zone=18 +ellps=bessel +towgs84=577.326,90.129,463.919,5.137,1.474,5.297,2.4232 +units=m", PLACE
        * Affine.scale(30, -30),
    ),
    "northing before easting": Odd("EPSG:2193", north_up(1_750_000.5, 5_430_000.5, 15)),
    "metres with heights": Odd("EPSG:32618+5703", north_up(435_730.3, 4_176_900.7, 30)),
    "degrees with heights": Odd("EPSG:4326+5773", north_up(-75.73, 37.71, 1 / 1200)),
    "degrees in three dimensions": Odd("EPSG:4979", north_up(-75.73, 37.71, 1 / 1200)),
    "feet": Odd("EPSG:2994", north_up(635_615, 853_362, 6)),
    "feet with heights in feet": Odd("EPSG:6557+6360", north_up(635_615, 853_362, 6)),
    "centimetres far north": Odd("EPSG:32633", north_up(712_345.678_9, 7_012_345.678_9, 0.01), (4, 4)),
    "one row": Odd(UTM, north_up(435_730.3, 4_176_900.7, 30), shape=(1, 17)),
    "one column": Odd(UTM, PLACE * Affine.rotation(30) * Affine.scale(30, -30), shape=(15, 1)),
}  # fmt: skip
odd_grids = pytest.mark.parametrize("odd", GRIDS.values(), ids=GRIDS)


def at(transform: Affine, col: Floats, row: Floats) -> tuple[Floats, Floats]:
    """The affine rule in float64, written out: pixel coordinates to world coordinates."""
    t = transform
    return t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f


def under(transform: Affine, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Its inverse; the origin is taken off first, so that large coordinates cost no digits."""
    t = transform
    x, y = x - t.c, y - t.f
    area = t.a * t.e - t.b * t.d
    return (t.e * x - t.b * y) / area, (t.a * y - t.d * x) / area


def lattice(height: int, width: int, start: float, step: float = 1) -> tuple[Floats, Floats]:
    """Columns and rows of pixel centres (start .5) or of corners (start 0)."""
    rows, cols = np.arange(start, height + start, step), np.arange(start, width + start, step)
    col, row = np.meshgrid(cols, rows)
    return col, row


def assert_on_the_refined_grid(odd: Odd, transform: Affine, shape: tuple[int, int]) -> None:
    """Corners and every centre of the target against the source's own, in target pixels."""
    (height, width), (down, across) = odd.shape, odd.scale
    assert shape == (height * down, width * across)
    target = odd.transform * Affine.scale(1 / across, 1 / down)
    corners = np.array([0, width, 0, width]) * across, np.array([0, 0, height, height]) * down
    for col, row in (lattice(height * down, width * across, 0.5), corners):
        x, y = at(transform, col, row)
        there_x, there_y = at(odd.transform, col / across, row / down)
        off_x, off_y = under(Affine(target.a, target.b, 0, target.d, target.e, 0), x - there_x, y - there_y)
        assert np.abs(off_x).max() < CORNER_PX
        assert np.abs(off_y).max() < CORNER_PX


def waves(shape: tuple[int, int]) -> Surface:
    """A smooth surface over (column, row) of a raster; along an axis of one pixel it does not change."""
    height, width = shape

    def surface(col: Floats, row: Floats) -> Floats:
        u, v = col * (width > 1) * 2 * math.pi, row * (height > 1) * 2 * math.pi
        made: Floats = np.sin(u / 9 + v / 15 + 0.3) + 0.7 * np.cos(v / 10 - u / 17) + 0.3 * np.sin(u / 11 - 1)
        return made

    return surface


def averaged(transform: Affine, shape: tuple[int, int], surface: Surface, parts: int = 6) -> NDArray[np.float32]:
    """Sample a surface of world coordinates into pixels, each the mean over parts x parts points."""
    height, width = shape
    x, y = at(transform, *lattice(height, width, 0.5 / parts, 1 / parts))
    means = surface(x, y).reshape(height, parts, width, parts).mean(axis=(1, 3))
    return np.asarray(means, np.float32)


def shift_px(values: Floats, col: Floats, row: Floats, surface: Surface) -> tuple[float, float]:
    """How far values lie from the surface, across and down, by least squares with its gradient; in units of col, row.

    A loss of contrast, as any averaging has, is fitted with it.
    """
    step = 1e-3
    there = surface(col, row)
    slopes = [
        (surface(col + step, row) - surface(col - step, row)) / (2 * step),
        (surface(col, row + step) - surface(col, row - step)) / (2 * step),
    ]
    columns = [np.ones_like(there), there, *(slope for slope in slopes if np.abs(slope).max() > 1e-9)]
    found = np.linalg.lstsq(np.stack(columns, axis=-1), values - there, rcond=None)[0]
    moved = iter(found[2:])
    across, down = (float(next(moved)) if np.abs(slope).max() > 1e-9 else 0.0 for slope in slopes)
    return across, down


def write(path: Path, values: NDArray[np.float32], crs: str, transform: Affine, **tags: str) -> Path:
    height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=1, dtype="float32", crs=crs, transform=transform
    ) as dataset:
        dataset.update_tags(**tags)
        dataset.write(values, 1)
    return path


@pytest.fixture
def pair(odd: Odd, tmp_path: Path) -> tuple[Path, Path]:
    """The surface in the odd grid's pixels, and a guide in its CRS that lies askew of the target."""
    surface = waves(odd.shape)
    values = averaged(odd.transform, odd.shape, lambda x, y: surface(*under(odd.transform, x, y)))
    source = write(tmp_path / "source.tif", values, odd.crs, odd.transform, **odd.tags)
    (height, width), (down, across) = odd.shape, odd.scale
    corner = odd.transform * Affine.scale(1 / across, 1 / down) * Affine.translation(-2.3, -1.6)
    texture = np.random.default_rng(0).random((height * down + 4, width * across + 5), np.float32)
    return source, write(tmp_path / "guide.tif", texture, odd.crs, corner)


def assert_same_crs(found: Any, wanted: str) -> None:
    """All of it, heights too."""
    found, expected = CRS.from_user_input(found), CRS.from_user_input(wanted)
    assert found.equals(expected, ignore_axis_order=True)
    assert len(found.sub_crs_list) == len(expected.sub_crs_list)
    assert len(found.axis_info) == len(expected.axis_info)


def assert_content(odd: Odd, values: NDArray[np.float32]) -> None:
    """Where the target's values lie, away from the border, where an interpolation has nothing to go by."""
    (down, across), surface = odd.scale, waves(odd.shape)
    col, row = lattice(values.shape[0], values.shape[1], 0.5)
    margin_y, margin_x = (3 * step if side > 8 else 0 for step, side in zip(odd.scale, odd.shape, strict=True))
    inner = np.s_[margin_y : values.shape[0] - margin_y, margin_x : values.shape[1] - margin_x]
    assert np.isfinite(values).all()
    moved = shift_px(
        values[inner].astype(np.float64).ravel(),
        col[inner].ravel(),
        row[inner].ravel(),
        lambda c, r: surface(c / across, r / down),
    )
    assert max(map(abs, moved)) < CONTENT_PX


@odd_grids
def test_a_file_lies_on_the_sources_grid_refined(odd: Odd, pair: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "target.tif"
    mmsr_geo.upsample_to_file(*pair, output, odd.scale, method="bicubic+consistency", min_coverage=0.9)
    with rasterio.open(output) as dataset:
        assert_on_the_refined_grid(odd, dataset.transform, dataset.shape)
        assert_same_crs(dataset.crs, odd.crs)
        assert_content(odd, dataset.read(1))


@odd_grids
def test_an_array_lies_on_the_sources_grid_refined(odd: Odd, pair: tuple[Path, Path]) -> None:
    source = rioxarray.open_rasterio(pair[0])
    assert isinstance(source, xr.DataArray)
    made = source.squeeze("band", drop=True).mmsr.upsample(
        str(pair[1]), odd.scale, method="bicubic+consistency", min_coverage=0.9
    )
    assert_on_the_refined_grid(odd, made.rio.transform(), made.shape)
    assert_same_crs(made.rio.crs, odd.crs)
    if not odd.transform.b and not odd.transform.d:
        down, across = odd.scale
        col, row = lattice(made.shape[0], made.shape[1], 0.5)
        x, y = at(odd.transform, col / across, row / down)
        assert np.abs((made.x.values - x[0]) / odd.transform.a * across).max() < CORNER_PX
        assert np.abs((made.y.values - y[:, 0]) / odd.transform.e * down).max() < CORNER_PX
    assert_content(odd, made.values)


ACROSS = [  # a source and a guide of one place, whose longitudes are written apart
    ("EPSG:4326", around(284.3, -17, 0.01), "EPSG:4326", around(-75.7, -17, 0.004, (50, 60))),
    ("EPSG:4326", around(-75.7, -17, 0.01), "EPSG:4326", around(284.3, -17, 0.004, (50, 60))),
    ("EPSG:4326", around(180.003, -17, 0.01), "EPSG:4326", around(-179.997, -17, 0.004, (50, 60))),
    ("EPSG:32760", around(818_000, 8_117_000, 1000), "EPSG:4326", around(179.99, -17, 0.004, (60, 70))),
    ("EPSG:32760", around(818_000, 8_117_000, 1000), "EPSG:4326", around(-180.01, -17, 0.004, (60, 70))),
    ("EPSG:4326", around(179.99, -17, 0.01), "EPSG:32760", around(818_000, 8_117_000, 400, (60, 70))),
    ("EPSG:4326", around(-180.01, -17, 0.01), "EPSG:32701", around(181_000, 8_117_000, 400, (60, 70))),
    ("EPSG:3413", around(130, -210, 1000), "EPSG:3575", around(130, -210, 400, (60, 70))),
    ("EPSG:4269", around(284.3, -17, 0.01), "EPSG:4326", around(-75.7, -17, 0.004, (60, 70))),
    ("EPSG:4326", around(-75.7, -17, 0.01), "EPSG:4269", around(284.3, -17, 0.004, (60, 70))),
    ("EPSG:4258", around(-179.997, -17, 0.01), "EPSG:4326", around(180.003, -17, 0.004, (60, 70))),
    ("EPSG:32701", around(181_000, 8_117_000, 1000), "EPSG:4326", around(180.003, -17, 0.0008, (300, 350))),
    ("EPSG:32701", around(181_000, 8_117_000, 1000), "EPSG:4326", around(-179.997, -17, 0.0008, (300, 350))),
]


@pytest.mark.parametrize(("crs", "transform", "guide_crs", "guide_transform"), ACROSS)
def test_a_guide_lies_where_it_is_though_its_longitudes_are_written_apart(
    crs: str, transform: Affine, guide_crs: str, guide_transform: Affine, tmp_path: Path
) -> None:
    """The guide is a surface of the source's pixel coordinates, found through PROJ here and through GDAL there."""
    surface = waves((15, 17))
    to_source = Transformer.from_crs(guide_crs, crs, always_xy=True)

    def by_guide(x: Floats, y: Floats) -> Floats:
        east, north = (x, y) if guide_crs == crs else to_source.transform(x, y)
        if CRS(crs).is_geographic:
            middle = transform.c + 8.5 * transform.a
            east = east - 360 * np.round((east - middle) / 360)
        return surface(*under(transform, east, north))

    shape = (300, 350) if guide_transform.a < 0.001 else (50, 60) if crs == guide_crs else (60, 70)
    guide = write(tmp_path / "guide.tif", averaged(guide_transform, shape, by_guide), guide_crs, guide_transform)
    blank = np.arange(15 * 17, dtype=np.float32).reshape(15, 17)
    source = write(tmp_path / "source.tif", blank, crs, transform)
    pair = Pair.of(open_source(source), open_guide(guide), 3)
    seen = pair.guide.read(Window(0, 0, 45, 51))
    assert seen.valid.all()
    col, row = lattice(45, 51, 0.5)
    inner = np.s_[6:-6, 6:-6]
    moved = shift_px(
        seen.values[0].astype(np.float64)[inner].ravel(),
        col[inner].ravel(),
        row[inner].ravel(),
        lambda c, r: surface(c / 3, r / 3),
    )
    assert max(map(abs, moved)) < CONTENT_PX


def test_a_mask_hides_though_its_longitudes_are_written_apart() -> None:
    place = around(284.3, -17, 0.01)
    values = np.arange(15 * 17, dtype=np.float32).reshape(15, 17)
    source = georeferenced(values, place, 4269)
    mask = open_mask(georeferenced(np.ones((60, 70), "uint8"), around(-75.7, -17, 0.004, (60, 70)), 4326))
    raster = open_source(source)
    assert not Masked(raster, mask).read(Window(0, 0, 15, 17)).valid.any()


def test_windows_of_a_world_are_the_whole() -> None:
    """A raster over the antimeridian in one datum, a world counted from 0 to 360 in another."""
    world = open_guide(georeferenced(np.random.default_rng(0).random((90, 180), np.float32), north_up(0, 90, 2), 4326))
    grid = GeoBox((20, 60), north_up(170, 20, 1), "EPSG:4269")
    whole = Warped(world, grid).read(Window(0, 0, 20, 60))
    assert whole.valid.all()
    for left in range(0, 56, 7):
        part = Warped(world, grid).read(Window(3, left, 9, min(7, 60 - left)))
        assert np.abs(part.values - whole.values[:, 3:12, left : left + 7]).max() < 1e-5


@pytest.mark.parametrize(
    ("crs", "transform", "said"),
    [
        ("EPSG:3413", around(130, -210, 100_000), "lies around a pole"),
        ("EPSG:32660", around(736_000, 5_000_000, 5000), "crosses the edge of the guide's longitudes"),
        ("EPSG:3832", around(3_339_584.7, -1_000_000, 5000), "crosses the edge of the guide's longitudes"),
    ],
)
def test_where_a_world_in_degrees_is_cut_is_refused(crs: str, transform: Affine, said: str) -> None:
    source = GeoBox((15, 17), transform, crs)
    world = GeoBox((720, 1440), north_up(-180, 90, 0.25), "EPSG:4326")
    with pytest.raises(mmsr_geo.GridError, match=said):
        check_pair(source, world)


def test_a_world_guides_a_world() -> None:
    check_pair(
        GeoBox((40, 40), around(0, 0, 1_000_000, (40, 40)), "EPSG:3857"),
        GeoBox((720, 1440), north_up(-180, 90, 0.25), "EPSG:4326"),
    )


@pytest.mark.parametrize("option", ["source_mask", "guide_mask"])
def test_a_worlds_mask_is_refused_where_it_is_cut(option: str) -> None:
    grid = around(736_000, 5_000_000, 5000)
    source = georeferenced(np.arange(255, dtype=np.float32).reshape(15, 17), grid, 32660)
    guide = georeferenced(np.ones((45, 51), np.float32), grid * Affine.scale(1 / 3), 32660)
    world = georeferenced(np.ones((90, 180), "uint8"), north_up(-180, 90, 2), 4326)
    masks: dict[str, Any] = {option: world}
    with pytest.raises(mmsr_geo.GridError, match=r"crosses the edge of the mask's longitudes.*warp the mask to"):
        mmsr_geo.upsample(source, guide, 3, **masks)
    east: dict[str, Any] = {option: world.isel(x=slice(170, None))}
    mmsr_geo.upsample(source, guide, 3, **east)
