"""Undeclared nodata: suspected where it is put into real data, and nowhere in the same data without it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

import mmsr_geo.errors
from mmsr_geo.geometry import Window
from mmsr_geo.raster.base import Raster
from mmsr_geo.raster.inspect.suspicions import NodataSuspicion, ProbeWindow, suspected_nodata
from mmsr_geo.raster.inspect.undeclared_nodata import find_undeclared_nodata, nodata_message, warn_undeclared_nodata
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.read.open import open_guides
from mmsr_geo.raster.views.coarsen import Coarsened
from mmsr_geo.raster.views.mask import Masked, open_mask
from support.rasters import LANDSAT_GUIDE, LANDSAT_TRUTH, SENTINEL_GUIDE, SENTINEL_TRUTH, georeferenced

PLACE = Affine(10, 0, 500_000, 0, -10, 4_000_000)
REAL = [SENTINEL_GUIDE, SENTINEL_TRUTH, LANDSAT_GUIDE, LANDSAT_TRUTH]


def raster(values: NDArray[Any]) -> ArrayRaster:
    made = values if values.ndim == 3 else values[None]
    (opened,) = open_guides(georeferenced(made, PLACE))
    assert isinstance(opened, ArrayRaster)
    return opened


@cache
def pixels(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as dataset:
        return np.asarray(dataset.read())


def turned(height: int, width: int, degrees: float = 5) -> NDArray[np.bool_]:
    """What lies outside an image that was rotated."""
    y, x = np.mgrid[:height, :width] - np.array([height, width])[:, None, None] / 2
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.asarray((abs(x * cos + y * sin) > 0.46 * width) | (abs(y * cos - x * sin) > 0.46 * height))


def with_value(values: NDArray[Any], value: float, where: NDArray[np.bool_]) -> NDArray[Any]:
    """Put a value in, in the least type that holds it."""
    dtype = np.result_type(values.dtype, np.float32 if abs(value) > 1e9 else np.min_scalar_type(int(value)))
    made = values.astype(dtype)
    made[:, where] = value
    return made


def only(raster: Raster) -> NodataSuspicion:
    """The one suspicion there is."""
    (found,) = find_undeclared_nodata(raster)
    return found


def file(path: Path, values: NDArray[Any], **profile: Any) -> FileRaster:
    made = values if values.ndim == 3 else values[None]
    count, height, width = made.shape
    options = {"driver": "GTiff", "crs": 32618, "transform": PLACE, "dtype": made.dtype, **profile}
    with rasterio.open(path, "w", count=count, height=height, width=width, **options) as dataset:
        dataset.write(made)
    return FileRaster.open(path)


def warned(source: Raster, guides: Sequence[Raster]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_undeclared_nodata(source, guides)
    return [str(one.message) for one in caught]


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_nothing_is_suspected_in_real_data(path: Path) -> None:
    assert find_undeclared_nodata(FileRaster.open(path)) == ()
    for band in pixels(path):
        assert find_undeclared_nodata(raster(band)) == ()
    alone = [FileRaster.open(path, [number]) for number in FileRaster.open(path).numbers]
    assert warned(alone[0], alone) == []


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
@pytest.mark.parametrize("value", [-9999, -32768, 65535, 1e20, -3.4028234663852886e38])
@pytest.mark.parametrize("how", ["collar", "scattered"])
def test_what_is_put_into_real_data_is_suspected(path: Path, value: float, how: str) -> None:
    values = pixels(path)
    shape = values.shape[1:]
    where = turned(*shape) if how == "collar" else np.random.default_rng(0).random(shape) < 0.03
    found = only(raster(with_value(values, value, where)))
    assert [np.float32(one) for one in found.values] == [np.float32(value)]
    assert found.share == pytest.approx(where.mean(), rel=1.2)
    (one,) = open_guides(georeferenced(with_value(values, value, where), PLACE), guide_nodata=found.values)
    assert (~one.read(Window.whole(shape)).valid == where).all()


@pytest.mark.parametrize("path", [SENTINEL_GUIDE, LANDSAT_GUIDE], ids=lambda path: path.stem)
@pytest.mark.parametrize("value", [0, "most"])
@pytest.mark.parametrize("how", ["rotated", "one side"])
def test_a_collar_in_all_bands_is_suspected(path: Path, value: int | str, how: str) -> None:
    values = pixels(path).copy()
    if value == "most":
        values = np.minimum(values, np.iinfo(values.dtype).max - 1)  # its own saturated pixels are no collar
    wanted = np.iinfo(values.dtype).max if value == "most" else 0
    where = turned(*values.shape[1:])
    if how == "one side":
        where[:] = False
        where[:, : values.shape[2] // 8] = True
    values[:, where] = wanted
    found = only(raster(values))
    assert (found.values, found.collar) == ((wanted,), path == LANDSAT_GUIDE or value == 0)


def smooth(seed: int, side: int = 300) -> NDArray[np.float64]:
    """Hills of -1..1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    waves = [
        np.sin(y * down + x * across + phase) for down, across, phase in rng.uniform(-0.12, 0.12, (20, 3)) * [1, 1, 50]
    ]
    field = np.sum(waves, axis=0)
    return np.asarray(field / np.abs(field).max())


def innocent() -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(1)
    hills = smooth(0)
    three = np.stack([smooth(0), smooth(0) + 0.05 * smooth(1), smooth(0) + 0.05 * smooth(2)])
    return {
        "canopy heights, 40 % bare": np.maximum(hills - np.quantile(hills, 0.4), 0).astype("float32") * 60,
        "whole metres of canopy": np.maximum((hills - np.quantile(hills, 0.4)) * 60, 0).astype("uint8"),
        "a DEM with the sea": np.maximum((hills - 0.1) * 900, 0).astype("int16"),
        "a DEM with a lake": np.maximum(hills * 300 + 600, 580).astype("float32"),
        "a polder": np.where(hills < -0.2, -4.0, hills * 5).astype("float32"),
        "saturated clouds": np.minimum(250 * (three + 0.7), 255).clip(0).astype("uint8"),
        "a dark scene": rng.poisson(1, (3, 300, 300)).astype("uint8"),
        "darkness between hills": (120 * three).clip(0).astype("uint8"),
        "classes": rng.integers(0, 6, (300, 300)).astype("uint8"),
        "classes with one apart": rng.choice([1, 2, 3, 10], (300, 300)).astype("uint8"),
        "yes or no": (hills > 0.3).astype("uint8"),
        "one value": np.full((300, 300), 7, "uint8"),
        "nothing": np.full((300, 300), np.nan, "float32"),
        "two values": np.where(hills > 0, 0.0, 100.0).astype("float32"),
        "buildings on bare ground": np.where(hills > 0.2, 9 + 6 * rng.random((300, 300)), 0).astype("float32"),
        "noise": rng.normal(size=(2, 300, 300)).astype("float32"),
        "too few to tell": with_value(pixels(LANDSAT_TRUTH), -9999, np.arange(90_000).reshape(300, 300) % 1500 == 0),
        "a narrow DEM": np.arange(12 * 15, dtype="float32").reshape(12, 15),
        "one pixel": np.array([[5.0]], "float32"),
    }


@pytest.mark.parametrize("what", innocent())
def test_what_is_no_nodata_is_not_suspected(what: str) -> None:
    assert find_undeclared_nodata(raster(innocent()[what])) == ()


def test_few_values_are_classes_but_for_what_people_write() -> None:
    few = np.random.default_rng(0).integers(10, 14, (1, 60, 60)).astype("int16")
    marked = np.zeros((60, 60), bool)
    marked[:10] = True
    assert find_undeclared_nodata(raster(with_value(few, 77, marked))) == ()
    assert only(raster(with_value(few, -9999, marked))) == NodataSuspicion((-9999,), 600, 3600)


def test_kelvins_of_a_scene_with_zero_beside() -> None:
    values = 290 + 12 * smooth(4)
    values[:40] = 0
    found = only(raster(values.astype("float32")))
    assert (found.values, found.count, found.collar) == ((0,), 40 * 3 * 128, False)  # windows overlap


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("int32", -2147483648),
        ("int32", 2147483647),
        ("int32", -99999999),
        ("uint32", 4294967295),
        ("int64", -9999),
        ("float64", -1e20),
        ("float64", -3.4028234663852886e38),
        ("float64", -9999.987654321),
        ("float32", 1e20),
    ],
)
def test_the_value_is_the_stored_one_to_the_last_digit(tmp_path: Path, dtype: str, value: float) -> None:
    values = (1000 + 100 * smooth(5))[None].astype(dtype)
    values[:, :30] = value
    path = tmp_path / "a.tif"
    options = {"driver": "GTiff", "crs": 32618, "transform": PLACE, "dtype": dtype}
    with rasterio.open(path, "w", count=1, height=300, width=300, **options) as dataset:
        dataset.write(values)
    for opened in (raster(values), FileRaster.open(path)):
        found = only(opened)
        assert found.values == (value,)
        said = nodata_message([opened], [found], "source_nodata").split("source_nodata=")[1].split("⟩")[0]
        (again,) = open_guides(path, guide_nodata=float(said))
        assert again.read(Window(0, 0, 60, 60)).valid.mean() == 0.5


def test_at_most_25_windows_are_read_with_corners_and_edges() -> None:
    read: list[Window] = []

    class Counting(ArrayRaster):
        __slots__ = ()

        def read(self, window: Window) -> Any:
            read.append(window)
            return super().read(window)

    huge = da.zeros((1, 20_000, 30_000), dtype="float32", chunks=(1, 500, 500))
    grid = GeoBox((20_000, 30_000), PLACE, "EPSG:32618")
    made = Counting(huge, grid, ("1",), (None,), None, (), "huge")
    assert find_undeclared_nodata(made) == ()
    assert len(read) == 25
    assert {window.shape for window in read} == {(128, 128)}
    assert {(w.row, w.col) for w in read} >= {(0, 0), (0, 29_872), (19_872, 0), (19_872, 29_872)}
    read.clear()
    assert find_undeclared_nodata(replace(made, raw=huge[:, :100, :300], grid=grid[:100, :300])) == ()
    assert len(read) == 3
    assert {window.shape for window in read} == {(100, 128)}


@pytest.mark.parametrize("declared", [None, 5, np.nan, "alpha"])
def test_values_are_suspected_beside_what_is_declared(tmp_path: Path, declared: float | str | None) -> None:
    values = with_value(pixels(LANDSAT_TRUTH), -9999, turned(300, 300)).astype("int16")
    if declared == "alpha":
        values = np.concatenate([values, np.full_like(values, 255)])
        profile: dict[str, Any] = {"photometric": "minisblack", "alpha": "yes"}
    else:
        profile = {} if declared is None else {"nodata": 5} if declared == 5 else {"dtype": "float32", "nodata": np.nan}
    opened = file(tmp_path / "a.tif", values, **profile)
    assert opened.declares_nodata == (declared is not None)
    assert only(opened).values == (-9999,)
    assert find_undeclared_nodata(FileRaster.open(opened.path, [1], nodata=-9999)) == ()


def heights(low: float = 900) -> NDArray[np.float32]:
    return (low + 100 + 100 * smooth(8)).astype("float32")


def test_a_collar_of_zeros_beside_the_declared_value_is_suspected_and_both_are_proposed(tmp_path: Path) -> None:
    values = heights()
    values[:, :20], values[100:140, 100:140] = 0, -9999
    dem = file(tmp_path / "dem.tif", values, nodata=-9999)
    found = only(dem)
    assert (found.values, found.collar) == ((0,), False)
    (said,) = warned(dem, [])
    assert said.endswith(
        "far from all others, and only -9999 is declared: pass source_nodata=(0, -9999) if it means nodata"
    )
    both = FileRaster.open(dem.path, nodata=(0, -9999)).read(Window(0, 0, 300, 300)).valid
    assert (both == ((values != 0) & (values != -9999))).all()


def test_a_collar_of_zeros_next_to_low_heights_is_suspected_by_its_place(tmp_path: Path) -> None:
    values = heights(20)  # 0 is no farther from them than they are from each other
    values[turned(300, 300)] = 0
    found = only(file(tmp_path / "dem.tif", values, nodata=-9999))
    assert (found.values, found.collar, found.bands) == ((0,), True, 1)


def test_a_second_fill_is_suspected_on_the_other_side_of_the_values() -> None:
    values = heights()
    values[:30], values[-30:] = -32768, 9999
    assert {one.values for one in find_undeclared_nodata(raster(values))} == {(-32768,), (9999,)}


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_codes_above_the_range_of_a_quantity_are_suspected_together(dtype: str) -> None:
    values = np.clip(30 + 31 * smooth(9), 0, 60).round().astype(dtype)
    values[50:90, 50:90], values[200:210], values[:20, :60] = 101, 102, 103
    found = only(raster(values))
    assert found.values == (101, 102, 103)
    assert found.share == pytest.approx((values >= 101).mean(), rel=0.5)


def test_leaf_area_with_the_fills_of_its_product() -> None:
    values = np.clip(40 + 40 * smooth(10), 0, 100).round().astype("uint8")
    for place, code in enumerate((249, 250, 252, 253, 254, 255)):
        values[place * 20 : place * 20 + 8] = code
    assert only(raster(values)).values == (249, 250, 252, 253, 254, 255)


def orbit(height: int = 300, width: int = 300) -> NDArray[np.bool_]:
    """What lies beyond the edge of an orbit."""
    row, col = np.mgrid[:height, :width]
    return np.asarray(col + 0.3 * row < width / 2)


def test_zeros_beyond_the_edge_of_an_orbit_in_bands_that_are_files_of_their_own(tmp_path: Path) -> None:
    bands = np.random.default_rng(3).integers(200, 4000, (3, 300, 300)).astype("uint16")
    bands[:, orbit()] = 0
    guides = [file(tmp_path / f"B0{number + 2}.tif", band) for number, band in enumerate(bands)]
    dem = file(tmp_path / "dem.tif", heights().round().astype("uint16"))
    (said,) = warned(dem, [*guides[:2], dem, guides[2]])
    assert said.startswith(", ".join(guide.path for guide in guides))
    assert "0 is the value of" in said
    assert "in all bands, along the border, and no nodata is declared" in said
    assert said.endswith(": pass guide_nodata=0 if it means nodata")
    assert [only(guide).values for guide in guides] == [(0,)] * 3  # also where each is given alone


def test_what_other_guides_declare_is_kept_by_the_proposal(tmp_path: Path) -> None:
    dem = heights()
    dem[:9] = -9999
    other = heights()
    other[:30] = 0
    guides = [file(tmp_path / "dem.tif", dem, nodata=-9999), file(tmp_path / "other.tif", other)]
    (said,) = warned(guides[0], guides)
    assert said.endswith("and no nodata is declared: pass guide_nodata=(0, -9999) if it means nodata")


def test_a_raster_made_of_one_is_looked_at_as_it_is_stored() -> None:
    plain = raster(with_value(pixels(LANDSAT_TRUTH), -9999, turned(300, 300)))
    mask = open_mask(georeferenced(np.ones((300, 300), "uint8"), PLACE))
    assert only(Coarsened(Masked(plain, mask), 4, 4)).values == (-9999,)


def test_known_nodata_has_no_value() -> None:
    values = np.stack([smooth(6), smooth(7)]).astype("float32")
    values[:, :50] = np.nan
    look = ProbeWindow(values, np.ones((300, 300), bool))
    assert suspected_nodata([look], np.dtype("float32")) == ()
    values[:, 250:] = 1e20
    (found,) = suspected_nodata([look], np.dtype("float32"))
    assert found == NodataSuspicion((float(np.float32(1e20)),), 50 * 300, 90_000)


@pytest.mark.parametrize(
    ("suspicion", "said"),
    [
        (
            NodataSuspicion((-9999.0,), 1234, 10_000),
            (
                "-9999 is the value of 1234 of 10000 sampled pixels (12 %), far from all others, and no nodata is "
                "declared: pass ⟨source_nodata=-9999⟩ if it means nodata"
            ),
        ),
        (
            NodataSuspicion((0.0,), 162, 10_000, collar=True, bands=3),
            (
                "0 is the value of 162 of 10000 sampled pixels (1.6 %) in all bands, along the border, and no nodata "
                "is declared: pass ⟨source_nodata=0⟩ if it means nodata"
            ),
        ),
        (
            NodataSuspicion((101.0, 102.0, 103.0), 2, 10),
            (
                "101, 102 and 103 are the values of 2 of 10 sampled pixels (20 %), far from all others, and no nodata "
                "is declared: pass ⟨source_nodata=[101, 102, 103]⟩ if they mean nodata"
            ),
        ),
        (NodataSuspicion((1e20,), 5, 10), "pass ⟨source_nodata=1e+20⟩ if"),
        (NodataSuspicion((-9999.9,), 5, 10), "pass ⟨source_nodata=-9999.9⟩ if"),
    ],
)
def test_the_sentence_names_the_value_and_the_fix(suspicion: NodataSuspicion, said: str) -> None:
    assert said in nodata_message([raster(heights())], [suspicion], "source_nodata")


def test_warnings_are_of_one_kind() -> None:
    for kind in (mmsr_geo.errors.NodataWarning, mmsr_geo.errors.GuideWarning):
        assert issubclass(kind, mmsr_geo.errors.MmsrWarning)
        assert issubclass(kind, UserWarning)
