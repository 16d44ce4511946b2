"""Masks: which values hide a pixel, judged one by one in plain Python, and shares of area against block means."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from dask.base import tokenize
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp

from mmsr_geo.errors import InputError, MmsrError, OptionError
from mmsr_geo.geometry import Window
from mmsr_geo.raster.base import Raster
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.views.bridged import Bridged
from mmsr_geo.raster.views.guides import Guides
from mmsr_geo.raster.views.mask import LANDSAT_QA_PIXEL, SENTINEL2_SCL, Masked, MaskRule, open_mask
from mmsr_geo.raster.views.warp import Warped
from support.rasters import georeferenced

UTM = "EPSG:32618"
PLACE = Affine(10, 0, 500_000, 0, -10, 4_000_000)
CLEAR = 21824
"""What Landsat 8 has for a clear land pixel: no bit of 0 to 4 set."""


def write(path: Path, values: NDArray[Any], names: tuple[str, ...] = (), **profile: Any) -> Path:
    values = values if values.ndim == 3 else values[None]
    bands, height, width = values.shape
    options = {"driver": "GTiff", "crs": UTM, "transform": PLACE, "dtype": values.dtype, **profile}
    with rasterio.open(path, "w", count=bands, height=height, width=width, **options) as dataset:
        dataset.write(values)
        for i, name in enumerate(names, start=1):
            dataset.set_band_description(i, name)
    return path


def hidden(mask: Any, shape: tuple[int, int], bits: tuple[int, ...] | None = None) -> NDArray[np.bool_]:
    pixels = open_mask(mask, bits).raster.read(Window.whole(shape))
    assert pixels.valid.all()
    assert set(np.unique(pixels.values)) <= {0, 1}
    return np.asarray(pixels.values[0] == 1)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"])
def test_bits_are_those_of_each_stored_value(dtype: str) -> None:
    info = np.iinfo(dtype)
    values = np.array([0, 1, 2, 6, 127, info.max, info.max - 1, info.min], dtype)
    size = values.dtype.itemsize * 8
    for bits in [(0,), (1, 2), (size - 1,), (0, size - 1)]:
        expected = [any(int(value) % 2**size >> bit & 1 for bit in bits) for value in values]
        assert MaskRule(bits=bits).masked(values, None, "a").tolist() == expected


def test_large_bit_fields_are_read_exactly(tmp_path: Path) -> None:
    values = np.array([[2**31 + 1, 2**31, 2**24 + 1, 2**24]], "uint32")
    lazy = georeferenced(values, PLACE).chunk({"x": 2})
    for mask in (write(tmp_path / "a.tif", values), georeferenced(values, PLACE), lazy):
        assert hidden(mask, (1, 4), (0,)).tolist() == [[True, False, True, False]]
        assert hidden(mask, (1, 4), (31,)).tolist() == [[True, True, False, False]]


def test_classes_and_zero_or_not() -> None:
    values = np.arange(12).astype("uint8")
    assert np.flatnonzero(SENTINEL2_SCL.masked(values, None, "a")).tolist() == [0, 1, 3, 8, 9, 10]
    assert np.flatnonzero(MaskRule().masked(values, None, "a")).tolist() == list(range(1, 12))
    assert MaskRule().masked(np.array([True, False]), None, "a").tolist() == [True, False]
    assert MaskRule().masked(np.array([0.0, 0.2, np.nan, np.inf]), None, "a").tolist() == [False, True, True, True]


def test_what_landsat_sets() -> None:
    """Codes of the product guide: clear land, clear water, cloud, shadow, cirrus, dilated cloud, fill."""
    codes = np.array([CLEAR, 21952, 22280, 23888, 54596, 21826, 1], "uint16")
    assert LANDSAT_QA_PIXEL.masked(codes, None, "qa").tolist() == [False, False, True, True, True, True, True]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_the_masks_own_nodata_is_masked_but_where_it_is_what_is_not_marked(tmp_path: Path, dtype: str) -> None:
    values = np.array([[0, 1, 2, 7]], dtype)
    expected = {
        (2, (0,)): [False, True, True, True],
        (0, (0,)): [True, True, False, True],
        (0, None): [False, True, True, True],
        (7, None): [False, True, True, True],
        (None, None): [False, True, True, True],
    }
    for (nodata, bits), masked in expected.items():
        path = write(tmp_path / f"{nodata}.tif", values, nodata=nodata)
        assert hidden(path, (1, 4), bits).tolist() == [masked]
        assert hidden(georeferenced(values, PLACE, nodata=nodata), (1, 4), bits).tolist() == [masked]
        # As rioxarray and xarray read it with masked=True.
        decoded = georeferenced(np.where(values == nodata, np.nan, values).astype("float32"), PLACE)
        decoded.encoding["_FillValue"] = nodata
        assert hidden(decoded, (1, 4), bits).tolist() == [masked]


def test_a_mask_files_own_mask_band_masks(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.zeros((2, 3), "uint8"))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.array([[255, 0, 255], [255, 255, 255]], "uint8"))
    assert np.argwhere(hidden(path, (2, 3))).tolist() == [[0, 1]]


def test_products_are_known_by_the_name_of_a_file_an_array_or_a_band(tmp_path: Path) -> None:
    values = np.full((2, 3), CLEAR, "uint16")
    scl = np.full((2, 3), 4, "uint8")
    both = np.stack([values, scl.astype("uint16")])
    landsat = write(tmp_path / "LC08_L2SP_015032_20200101_02_T1_QA_PIXEL.TIF", values)
    known: dict[MaskRule, list[Any]] = {
        LANDSAT_QA_PIXEL: [
            landsat,
            str(landsat),
            write(tmp_path / "b1.tif", values, ("qa_pixel",)),
            write(tmp_path / "b2.tif", both, ("QA_PIXEL", "red")),
            georeferenced(values, PLACE, name="qa_pixel"),
            georeferenced(both, PLACE).assign_coords(band=["red", "QA_PIXEL"]),
        ],
        SENTINEL2_SCL: [
            write(tmp_path / "T17SNB_20200101T160511_SCL_20m.tif", scl),
            write(tmp_path / "SCL.tif", scl),
            write(tmp_path / "b3.tif", both, ("B04", "scl")),
            georeferenced(scl, PLACE, name="SCL"),
            georeferenced(scl, PLACE).assign_attrs(long_name="SCL"),
        ],
        MaskRule(): [
            write(tmp_path / "cloud.tif", scl),
            write(tmp_path / "muscle.tif", scl),
            georeferenced(scl, PLACE, name="class"),
        ],
    }
    for rule, masks in known.items():
        for mask in masks:
            assert open_mask(mask).rule == rule, mask
    assert open_mask(f"{landsat}:5,6").rule == MaskRule(bits=(5, 6))
    assert open_mask(landsat, (7,)).rule == MaskRule(bits=(7,))
    two = georeferenced(both, PLACE).assign_coords(band=["red", "QA_PIXEL"])
    two[0], two[1] = 3, CLEAR
    assert not hidden(two, (2, 3)).any()
    assert hidden(two, (2, 3), (6,)).all()
    assert not hidden(two, (2, 3), (5,)).any()


def test_a_path_may_look_like_bits(tmp_path: Path) -> None:
    path = write(tmp_path / "a:3", np.array([[0, 2]], "uint8"))
    assert hidden(str(path), (1, 2)).tolist() == [[False, True]]
    assert hidden(f"{path}:0,1", (1, 2)).tolist() == [[False, True]]
    assert hidden(f"{path}:0", (1, 2)).tolist() == [[False, False]]


def test_classes_palettes_and_truth_are_masks(tmp_path: Path) -> None:
    values = np.array([[0, 1]], "uint8")
    path = write(tmp_path / "a.tif", values)
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {0: (255, 0, 0, 255)})
        dataset.update_tags(1, LAYER_TYPE="thematic")
        assert dataset.colorinterp[0] == ColorInterp.palette
    flags = georeferenced(values, PLACE).assign_attrs(flag_values=[0, 1], flag_meanings="clear cloud")
    for mask in (path, flags, georeferenced(values, PLACE) == 1, georeferenced(values.astype(bool), PLACE).chunk()):
        assert hidden(mask, (1, 2)).tolist() == [[False, True]]


def test_what_is_no_mask_is_refused_in_one_line(tmp_path: Path) -> None:
    values = np.zeros((2, 2, 3), "uint8")
    several = write(tmp_path / "several.tif", values)
    refused: list[tuple[Any, Any, type[MmsrError], str]] = [
        (several, None, InputError, "2 bands.*none of them are called QA_PIXEL or SCL"),
        (georeferenced(values, PLACE).assign_coords(band=["SCL", "scl"]), None, InputError, "2 of them are called"),
        (georeferenced(values[0], PLACE), (8,), OptionError, "no bit 8: uint8 has 8 bits, from 0 to 7"),
        (georeferenced(values[0], PLACE), (64,), OptionError, "no bit 64: bits are numbered from 0"),
        (f"{several}:-1", None, InputError, "cannot be opened"),
        (georeferenced(values[0].astype("complex64"), PLACE), None, InputError, "complex"),
        (georeferenced(values[0], PLACE).to_dataset(name="a"), None, InputError, "not Dataset"),
        (tmp_path / "none.tif", None, InputError, "cannot be opened"),
    ]
    for mask, bits, error, words in refused:
        with pytest.raises(error, match=words) as caught:
            open_mask(mask, bits)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"holds 0\.5, and bits and classes need integers"):
        hidden(georeferenced(np.full((2, 3), 0.5, "float32"), PLACE), (2, 3), (1,))
    with pytest.raises(InputError, match="float32 values above 16777216"):
        hidden(georeferenced(np.full((2, 3), 2.0**25, "float32"), PLACE), (2, 3), (1,))
    with pytest.raises(OptionError, match="by bits, by classes or by a threshold"):
        MaskRule((1,), (2,))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize(
    ("rule", "expected"),
    [(">66", [0, 0, 1]), (">=66", [0, 1, 1]), ("<66", [1, 0, 0]), ("<= 66", [1, 1, 0]), (">-0.5", [1, 1, 1])],
)
def test_a_threshold_masks_by_stored_values_and_pixels_without_data(
    tmp_path: Path, dtype: str, rule: str, expected: list[int]
) -> None:
    if dtype == "uint8" and rule == ">-0.5":
        rule = ">5"
    values = np.array([[10, 66, 67, 255 if dtype != "float32" else np.nan]], dtype)
    path = write(tmp_path / "clouds.tif", values)
    with rasterio.open(path, "r+") as dataset:
        dataset.nodata = np.nan if dtype == "float32" else 255
        dataset.scales = (0.01,)
    assert hidden(f"{path}{rule}", (1, 4)).tolist() == [[bool(mark) for mark in (*expected, 1)]]


def test_a_threshold_counts_before_the_name_of_a_mask_and_the_name_of_a_file_before_a_threshold(tmp_path: Path) -> None:
    scl = write(tmp_path / "SCL.tif", np.array([[0, 4, 9]], "uint8"))
    assert hidden(str(scl), (1, 3)).tolist() == [[True, False, True]]
    assert hidden(f"{scl}>4", (1, 3)).tolist() == [[False, False, True]]
    odd = write(tmp_path / "a>3", np.array([[0, 2, 4]], "uint8"))
    assert hidden(str(odd), (1, 3)).tolist() == [[False, True, True]]
    assert hidden(f"{odd}>3", (1, 3)).tolist() == [[False, False, True]]


@pytest.mark.parametrize(("rule", "said"), [(">300", "no"), (">=0", "every"), ("<0", "no"), ("<=255", "every")])
def test_a_threshold_beyond_the_values_of_the_dtype_is_refused(tmp_path: Path, rule: str, said: str) -> None:
    path = write(tmp_path / "clouds.tif", np.array([[0, 2]], "uint8"))
    with pytest.raises(OptionError, match=f"clouds.tif{rule} masks {said} pixel: uint8 has values from 0 to 255"):
        open_mask(f"{path}{rule}")


# The mask on the raster's pixels.

GRID = GeoBox((12, 15), PLACE, UTM)


def raster(grid: GeoBox = GRID, bands: int = 2) -> ArrayRaster:
    values = np.random.default_rng(1).normal(100, 10, (bands, *grid.shape.yx)).astype(np.float32)
    values[0, 0, 0] = np.nan
    return ArrayRaster.in_memory(values, grid, bands=[str(i + 1) for i in range(bands)], name="raster")


def mask_on(grid: GeoBox, values: NDArray[Any]) -> xr.DataArray:
    return georeferenced(values, grid.affine, int(str(grid.crs).split(":")[1]))


def test_pixels_with_more_than_half_of_their_area_masked_are_nodata() -> None:
    fine = GRID.zoom_out(1 / 4)
    rng = np.random.default_rng(2)
    marks = rng.random(fine.shape.yx) < np.repeat(np.repeat(rng.random((12, 15)), 4, 0), 4, 1)
    marks[8:12, 8:16] = [[0, 0, 1, 1, 1, 1, 1, 0]] * 4  # a half, and three quarters
    shares = marks.reshape(12, 4, 15, 4).mean(axis=(1, 3))
    plain = raster().read(Window.whole((12, 15)))
    for share in (0.0, 0.25, 0.5, 0.9, 1.0):
        pixels = Masked(raster(), open_mask(mask_on(fine, marks)), share).read(Window.whole((12, 15)))
        assert (pixels.valid == plain.valid & (shares <= share)).all()
        assert (pixels.values[:, pixels.valid] == plain.values[:, pixels.valid]).all()
        assert np.isnan(pixels.values[:, ~pixels.valid]).all()
    assert shares[2, 2] == 0.5
    assert Masked(raster(), open_mask(mask_on(fine, marks))).read(Window(2, 2, 1, 2)).valid.tolist() == [[True, False]]


def test_a_coarser_mask_and_one_on_the_rasters_own_pixels_are_taken_as_they_are() -> None:
    rng = np.random.default_rng(3)
    plain = raster().read(Window.whole((12, 15))).valid
    coarse = rng.random((4, 5)) < 0.4
    found = Masked(raster(), open_mask(mask_on(GRID.zoom_out(3), coarse))).read(Window.whole((12, 15)))
    assert (found.valid == plain & ~np.repeat(np.repeat(coarse, 3, 0), 3, 1)).all()
    own = rng.random((12, 15)) < 0.4
    found = Masked(raster(), open_mask(mask_on(GRID, own))).read(Window.whole((12, 15)))
    assert (found.valid == plain & ~own).all()


@pytest.mark.parametrize("step", [1, 4])
def test_where_the_mask_does_not_reach_nothing_is_masked(step: int) -> None:
    """It covers rows 3 to 5 and two fifths of the pixels of column 4 that it touches."""
    fine = GRID.zoom_out(1 / 20)
    part = fine[3 * 20 : 6 * 20, 4 * 20 + 12 : 8 * 20]
    if step == 1:
        part = GRID[3:6, 5:8]
    mask = open_mask(mask_on(part, np.ones(part.shape.yx, "uint8")))
    expected = np.zeros((12, 15), bool)
    expected[3:6, 5:8] = True
    plain = raster().read(Window.whole((12, 15))).valid
    assert (Masked(raster(), mask).read(Window.whole((12, 15))).valid == plain & ~expected).all()
    far = Masked(raster(GeoBox((4, 4), PLACE * Affine.translation(5000, 0), UTM)), mask)
    assert len(far.read_plan(Window(0, 0, 4, 4)).reads) == 1
    assert far.read(Window(0, 0, 4, 4)).valid.sum() == 15


def test_bits_are_judged_before_they_are_averaged() -> None:
    """Of the mean of 8 and 0 no bit 2 is set, and of the mean of 6 and 1 in no pixel bit 0."""
    values = np.zeros(GRID.zoom_out(1 / 2).shape.yx, "uint16")
    values[::2], values[1::2] = 8, 1
    mask = mask_on(GRID.zoom_out(1 / 2), values)
    valid = {
        bits: Masked(raster(), open_mask(mask, bits), 0.4).read(Window(1, 1, 5, 5)).valid
        for bits in [(3,), (0,), (2,), (0, 3)]
    }
    assert [bool(part.all()) for part in valid.values()] == [False, False, True, False]
    assert not valid[0, 3].any()


@settings(max_examples=60)
@given(
    st.sampled_from([GRID, GeoBox((12, 15), PLACE * Affine.rotation(25), UTM)]),
    st.sampled_from(["same", "degrees"]),
    st.sampled_from([2.0, 3.7, 10.0, 26.0]),
    st.tuples(st.sampled_from([-60.0, -5.0, 0.0, 33.3]), st.sampled_from([-30.0, 0.0, 20.0])),
    st.tuples(st.integers(0, 11), st.integers(0, 14), st.integers(1, 12), st.integers(1, 15)),
)
def test_a_window_is_the_same_as_in_the_whole(
    grid: GeoBox, crs: str, res: float, offset: tuple[float, float], part: tuple[int, int, int, int]
) -> None:
    if crs == "same":
        place = Affine(res, 0, 500_000 + offset[0], 0, -res, 4_000_000 + offset[1])
        mask_grid = GeoBox((40, 50), place, UTM)
    else:
        place = Affine(res / 9e4, 0, -75 + offset[0] / 9e4, 0, -res / 111_320, 36.1447 + offset[1] / 111_320)
        mask_grid = GeoBox((40, 50), place, "EPSG:4326")
    marks = np.random.default_rng(4).random((40, 50)) < 0.5
    masked = Masked(raster(grid), open_mask(mask_on(mask_grid, marks)))
    whole = masked.read(Window.whole((12, 15)))
    window = Window(*part).intersection(Window.whole((12, 15)))
    found = masked.read(window)
    assert (found.valid == whole.valid[window.slices]).all()
    assert np.array_equal(found.values, whole.values[(slice(None), *window.slices)], equal_nan=True)


def test_a_masked_raster_is_one_more_raster(tmp_path: Path) -> None:
    marks = np.random.default_rng(5).random((12, 15)) < 0.5
    path = write(tmp_path / "m.tif", marks.astype("uint8"))
    lazy = mask_on(GRID, marks.astype("uint8")).chunk({"y": 5, "x": 4})
    window = Window(2, 3, 7, 8)
    for mask in (open_mask(path), open_mask(lazy)):
        masked = Masked(raster(), mask, 0.5)
        assert (masked.bands, masked.name, masked.grid) == (("1", "2"), "raster", GRID)
        read_plan = masked.read_plan(window)
        assert [leaf for leaf, _ in read_plan.reads] == [masked.raster, mask.raster]
        make = pickle.loads(pickle.dumps(read_plan.combine))  # noqa: S301  (our own bytes)
        assert len(pickle.dumps(read_plan.combine)) < 5_000
        got = make([pickle.loads(pickle.dumps(leaf)).read(part) for leaf, part in read_plan.reads])  # noqa: S301  (our own bytes)
        assert np.array_equal(got.values, masked.read(window).values, equal_nan=True)
        assert (got.valid == ~marks[window.slices]).all()
    for kind in (path, lazy):
        assert tokenize(open_mask(kind)) == tokenize(open_mask(kind)) != tokenize(open_mask(kind, (1,)))


def test_a_lazy_mask_reads_its_own_chunks_only() -> None:
    read: list[Any] = []

    def chunk(block_info: Any = None) -> NDArray[np.uint16]:
        read.append(block_info[None]["chunk-location"])
        return np.ones((4, 5), np.uint16)

    values = da.map_blocks(chunk, chunks=((4,) * 3, (5,) * 3), dtype=np.uint16, meta=np.empty((0, 0), np.uint16))
    masked = Masked(raster(), open_mask(georeferenced(values, PLACE), (0,)))
    read.clear()
    assert not masked.read(Window(9, 12, 3, 3)).valid.any()
    assert set(read) <= {(1, 1), (1, 2), (2, 1), (2, 2)}


def unbridged(guides: Guides, grid: GeoBox) -> Raster:
    guide = guides.on(grid)
    assert isinstance(guide, Bridged)
    return guide.raster


def test_guides_are_masked_on_the_grid_asked_for() -> None:
    fine, native = GRID.zoom_out(1 / 2), GRID.zoom_out(3)
    guides = (raster(fine), raster(native, 1))
    marks = np.random.default_rng(6).random(fine.shape.yx) < 0.5
    mask = open_mask(mask_on(fine, marks))
    window = Window.whole((12, 15))
    plain = unbridged(Guides(guides), GRID).read(window)
    for share in (0.3, 0.5):
        found = unbridged(Guides(guides, (mask,), share), GRID).read(window)
        shares = marks.reshape(12, 2, 15, 2).mean(axis=(1, 3))
        assert (found.valid == plain.valid & (shares <= share)).all()
        assert (found.values[:, found.valid] == plain.values[:, found.valid]).all()
    own = np.eye(12, 15, dtype=bool)
    window = Window.whole(fine.shape.yx)
    both = unbridged(Guides(guides[:1], (mask, open_mask(mask_on(GRID, own)))), fine).read(window)
    expected = raster(fine).read(window).valid & ~marks & ~np.repeat(np.repeat(own, 2, 0), 2, 1)
    assert (both.valid == expected).all()
    assert isinstance(unbridged(Guides(guides[:1]), fine), Warped)
