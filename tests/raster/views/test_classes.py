"""Classes as shares, against plain loops: which have bands, nodata, other grids, and the classes of a model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from mmsr_geo.errors import GuideWarning, InputError
from mmsr_geo.geometry import Window
from mmsr_geo.raster.base import Raster
from mmsr_geo.raster.read.open import open_guides
from mmsr_geo.raster.views.bridged import Bridged
from mmsr_geo.raster.views.classes import (
    MOST_CLASS_BANDS,
    ClassShares,
    class_of,
    with_class_bands,
    with_classes_of,
)
from mmsr_geo.raster.views.guides import Guides
from mmsr_geo.raster.views.stack import Stacked

UTM = "EPSG:32618"
PLACE = Affine(10, 0, 500_000, 0, -10, 4_000_000)
SIDE = 96
GRID = GeoBox((SIDE, SIDE), PLACE, UTM)
TARGET = GeoBox((SIDE // 4, SIDE // 4), PLACE * Affine.scale(4), UTM)


def cover(codes: tuple[int, ...] = (10, 20, 30), seed: int = 0, patch: int = 5) -> NDArray[np.uint8]:
    drawn = np.random.default_rng(seed).choice(codes, (SIDE // patch + 1, SIDE // patch + 1))
    return np.kron(drawn, np.ones((patch, patch), int))[:SIDE, :SIDE].astype(np.uint8)


def write(path: Path, codes: NDArray[np.generic], colours: Mapping[int, tuple[int, ...]] | None = None) -> Path:
    bands = codes if codes.ndim == 3 else codes[None]
    profile = {"driver": "GTiff", "crs": UTM, "transform": PLACE, "dtype": codes.dtype}
    with rasterio.open(path, "w", count=len(bands), height=SIDE, width=SIDE, nodata=0, **profile) as dataset:
        dataset.write(bands)
        if colours:
            dataset.write_colormap(1, colours)
    return path


def opened(path: Path, around: GeoBox = GRID, said: object = 1) -> Raster:
    (raster,) = open_guides(path, guide_classes=said)  # type: ignore[arg-type]
    return with_class_bands(raster, around)


def shares_of(codes: NDArray[np.generic], classes: tuple[int, ...], k: int = 4) -> NDArray[np.float64]:
    """Shares of the valid pixels of each block, by loops; NaN in blocks without one."""
    rows, cols = codes.shape[0] // k, codes.shape[1] // k
    shares = np.full((len(classes), rows, cols), np.nan)
    for row in range(rows):
        for col in range(cols):
            block = codes[row * k : (row + 1) * k, col * k : (col + 1) * k]
            known = block[block != 0]
            if len(known):
                shares[:, row, col] = [np.mean(known == code) for code in classes]
    return shares


def test_classes_become_shares_and_nodata_stays(tmp_path: Path) -> None:
    codes = cover()
    codes[:9, :12] = 0
    shares = opened(write(tmp_path / "cover.tif", codes))
    assert isinstance(shares, ClassShares)
    assert shares.bands == ("class 10", "class 20", "class 30")
    guide = Guides((shares,)).on(TARGET)
    assert isinstance(guide, Bridged)
    read = guide.raster.read(Window.whole(TARGET.shape.yx))
    expected = shares_of(codes, (10, 20, 30))
    np.testing.assert_allclose(read.values, expected, atol=1e-6)
    np.testing.assert_array_equal(read.valid, np.isfinite(expected[0]))
    assert not read.valid[0, 0]
    assert shares.sentence == f"{tmp_path / 'cover.tif'}: classes 10, 20, 30 as one band each"


def test_a_window_is_the_same_part_of_the_whole(tmp_path: Path) -> None:
    whole = Guides((opened(write(tmp_path / "cover.tif", cover())),)).on(TARGET)
    window = Window(3, 5, 9, 7)
    values = whole.read(Window.whole(TARGET.shape.yx)).values
    np.testing.assert_array_equal(whole.read(window).values, values[:, *window.slices])


def test_a_few_shares_at_a_time_are_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = cover()
    codes[:9, :12], codes[40, :7], codes[41, :5] = 0, 70, 90
    guide = Guides((opened(write(tmp_path / "cover.tif", codes)),)).on(TARGET)
    at_once = guide.read(Window.whole(TARGET.shape.yx))
    monkeypatch.setattr("mmsr_geo.raster.views.classes._VALUES_AT_ONCE", 1)
    one_by_one = guide.read(Window.whole(TARGET.shape.yx))
    assert len(at_once.values) == 4
    np.testing.assert_array_equal(one_by_one.values, at_once.values)


def test_classes_that_are_not_finer_are_taken_from_the_nearest_pixel(tmp_path: Path) -> None:
    codes = cover()
    fine = GeoBox((SIDE * 3, SIDE * 3), PLACE * Affine.scale(1 / 3), UTM)
    read = Guides((opened(write(tmp_path / "cover.tif", codes)),)).on(fine).read(Window.whole(fine.shape.yx))
    large = np.kron(codes, np.ones((3, 3), int))
    np.testing.assert_array_equal(read.values, [large == code for code in (10, 20, 30)])


def test_on_another_crs_shares_stay_shares(tmp_path: Path) -> None:
    guide = Guides((opened(write(tmp_path / "cover.tif", cover())),))
    box = GRID.geographic_extent.boundingbox
    grid = GeoBox.from_bbox(box.bbox, "EPSG:4326", shape=(20, 20))
    read = guide.on(grid).read(Window(4, 4, 12, 12)).values
    np.testing.assert_allclose(read.sum(axis=0), 1, atol=1e-5)
    assert 0 <= read.min() < read.max() <= 1 + 1e-6


def test_rare_classes_share_a_band(tmp_path: Path) -> None:
    codes = cover()
    codes[0, :9], codes[50, :4] = 70, 90
    shares = opened(write(tmp_path / "cover.tif", codes))
    assert shares.bands == ("class 10", "class 20", "class 30", "other classes")
    read = shares.read(Window.whole(shares.grid.shape.yx)).values
    np.testing.assert_array_equal(read[3], np.isin(codes, [70, 90]))
    np.testing.assert_array_equal(read.sum(axis=0), 1)
    assert isinstance(shares, ClassShares)
    assert shares.sentence.endswith("30 as one band each, all others in one (classes 70, 90, 0.1% of the pixels)")


def test_a_single_rare_class_has_the_band_itself(tmp_path: Path) -> None:
    codes = cover()
    codes[0, :9] = 70
    assert opened(write(tmp_path / "cover.tif", codes)).bands[-1] == "class 70"


def test_there_are_at_most_32_bands(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(1, 60, (SIDE, SIDE)).astype(np.uint8)
    shares = opened(write(tmp_path / "many.tif", codes))
    values, counts = np.unique(codes, return_counts=True)
    commonest = sorted(values[np.argsort(-counts, kind="stable")][: MOST_CLASS_BANDS - 1].tolist())
    assert len(shares.bands) <= MOST_CLASS_BANDS
    assert [class_of(band) for band in shares.bands[:-1]] == [
        code for code in commonest if (codes == code).mean() >= 0.01
    ]
    assert shares.bands[-1] == "other classes"


def test_classes_are_counted_around_the_source_alone(tmp_path: Path) -> None:
    codes = cover()
    codes[:, 48:] = 80
    left = GeoBox((24, 12), PLACE * Affine.scale(4), UTM)
    assert "class 80" not in opened(write(tmp_path / "cover.tif", codes), left).bands


def test_of_a_large_raster_windows_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsr_geo.raster.views.classes._COUNTED_PX", 1000)
    monkeypatch.setattr("mmsr_geo.raster.views.classes._WINDOW_PX", 6)
    shares = opened(write(tmp_path / "cover.tif", cover()))
    assert shares.bands == ("class 10", "class 20", "class 30", "other classes")


def test_quantities_come_before_the_classes_of_a_file(tmp_path: Path) -> None:
    dem = np.random.default_rng(1).uniform(1, 9, (SIDE, SIDE)).astype(np.float32)
    path = write(tmp_path / "mixed.tif", np.stack([cover().astype(np.float32), dem]))
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("cover", "dem")
    guide = opened(path)
    assert isinstance(guide, Stacked)
    assert guide.bands == ("dem", "cover class 10", "cover class 20", "cover class 30")
    guides = Guides((guide,))
    assert [part.bands for part in guides.quantities] == [("dem",)]
    assert [part.raster.bands for part in guides.classes] == [("cover",)]
    read = guides.on(TARGET).read(Window.whole(TARGET.shape.yx)).values
    np.testing.assert_allclose(read[0], dem.reshape(24, 4, 24, 4).mean(axis=(1, 3)), rtol=1e-5)
    np.testing.assert_allclose(read[1:], shares_of(cover(), (10, 20, 30)), atol=1e-6)


def colours(codes: range | tuple[int, ...], *, ramp: bool) -> dict[int, tuple[int, ...]]:
    drawn = np.random.default_rng(0).integers(0, 256, (256, 3))
    return {code: (code, code, 255 - code, 255) if ramp else (*map(int, drawn[code]), 255) for code in codes}


def test_a_picture_and_a_ramp_are_told_from_classes(tmp_path: Path) -> None:
    many = tuple(range(1, 61))
    picture = np.random.default_rng(0).integers(1, 61, (SIDE, SIDE)).astype(np.uint8)
    flat = cover(many, patch=6)
    for name, codes, ramp in (("picture", picture, False), ("ramp", flat, True)):
        path = write(tmp_path / f"{name}.tif", codes, colours(many, ramp=ramp))
        with pytest.raises(InputError, match=r"colour table of which 6?5?\d colours are in use"):
            opened(path, said=())
        assert len(opened(path, said=1).bands) <= MOST_CLASS_BANDS
    assert opened(write(tmp_path / "flat.tif", flat, colours(many, ramp=False)), said=()).bands
    few = write(tmp_path / "few.tif", cover(), colours((10, 20, 30), ramp=True))
    assert opened(few, said=()).bands == ("class 10", "class 20", "class 30")


def test_another_raster_is_read_by_the_classes_of_a_model(tmp_path: Path) -> None:
    bands = ("red", "cover class 20 (grass)", "cover class 10", "cover other classes", "class 7")
    dem = np.ones((SIDE, SIDE), np.float32)
    later = opened(write(tmp_path / "later.tif", cover((10, 20, 40))))
    quantity = opened(write(tmp_path / "red.tif", dem), said=())
    single = opened(write(tmp_path / "seven.tif", np.full((SIDE, SIDE), 7, np.uint8)))
    red, first, second = with_classes_of((quantity, later, single), bands)
    assert red == quantity
    assert first.bands == ("class 20", "class 10", "other classes")
    assert second.bands == ("class 7",)
    read = first.read(Window.whole(GRID.shape.yx)).values
    np.testing.assert_array_equal(read, [cover((10, 20, 40)) == code for code in (20, 10, 40)])


def test_a_class_that_a_model_does_not_know_is_a_gap_and_is_reported(tmp_path: Path) -> None:
    codes = cover((10, 20, 40))
    path = write(tmp_path / "later.tif", codes)
    with pytest.warns(GuideWarning, match=r"holds class 40 \(\d\d\.\d% of its pixels\)") as caught:
        (known,) = with_classes_of((opened(path),), ("class 10", "class 20"))
    assert sum(issubclass(each.category, GuideWarning) for each in caught) == 1
    np.testing.assert_array_equal(known.read(Window.whole(GRID.shape.yx)).valid, codes != 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error", GuideWarning)
        (same,) = with_classes_of((opened(path),), ("red", "nir"))
    assert same.bands == ("class 10", "class 20", "class 40")


@pytest.mark.parametrize(
    ("band", "code"),
    [
        ("class 10", 10),
        ("land cover class 3 (Bare (rock))", 3),
        ("qa class -1", -1),
        ("scl other classes", "other"),
        ("red", None),
        ("class A", None),
    ],
)
def test_the_name_of_a_band_says_its_class(band: str, code: int | str | None) -> None:
    assert class_of(band) == code
