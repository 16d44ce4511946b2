"""Bands that a file declares as alpha: those that mask, and the near infrared of a picture's fourth band."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from mmsr_geo import upsample
from mmsr_geo.errors import InputError, MmsrWarning
from mmsr_geo.geometry import Window
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.views.mask import open_mask

PLACE = Affine(10, 0, 500_000, 0, -10, 4_000_000)
SIDE = 90
WHOLE = Window(0, 0, SIDE, SIDE)


def write(path: Path, values: NDArray[Any], **profile: Any) -> Path:
    count, height, width = values.shape
    options = {"driver": "GTiff", "crs": "EPSG:32618", "transform": PLACE, "dtype": values.dtype, **profile}
    with rasterio.open(path, "w", count=count, height=height, width=width, **options) as dataset:
        dataset.write(values)
    return path


def bands(count: int = 4, dtype: str = "uint8", most: int = 255) -> NDArray[Any]:
    return np.random.default_rng(5).integers(0, most, (count, SIDE, SIDE)).astype(dtype)


def feathered() -> NDArray[Any]:
    """Opacity of an image with a collar, and an edge of 8 pixels between."""
    row = np.clip((np.arange(SIDE) - 20) * 32, 0, 255)
    return np.minimum(row[:, None], row[None, :]).astype(np.uint8)


@pytest.mark.parametrize(("dtype", "most"), [("uint8", 255), ("uint16", 4000), ("int16", 4000)])
def test_a_fourth_band_of_many_values_is_a_band_whatever_it_is_declared(tmp_path: Path, dtype: str, most: int) -> None:
    values = bands(4, dtype, most)
    path = write(tmp_path / "naip.tif", values, photometric="RGB", alpha="YES")
    with rasterio.open(path) as dataset:
        assert dataset.colorinterp[3] == ColorInterp.alpha
    raster = FileRaster.open(path)
    assert raster.indexes == (1, 2, 3, 4)
    assert not raster.declares_nodata
    pixels = raster.read(WHOLE)
    assert pixels.valid.all()  # dark near infrared hides nothing
    assert (pixels.values == values).all()
    (note,) = raster.notes
    assert f"band 4 is declared as alpha, and has many values from {values[3].min()} to {values[3].max()}" in note
    assert FileRaster.open(path, ["4,1"]).indexes == (4, 1)


def test_nodata_that_is_declared_counts_next_to_it(tmp_path: Path) -> None:
    values = bands()
    path = write(tmp_path / "naip.tif", values, photometric="RGB", alpha="YES", nodata=0)
    assert (FileRaster.open(path).read(WHOLE).valid == (values != 0).all(axis=0)).all()


@pytest.mark.parametrize("kind", ["binary", "feathered", "half", "few levels"])
def test_opacity_masks_as_before(tmp_path: Path, kind: str) -> None:
    values = bands()
    levels = np.random.default_rng(1).integers(0, 8, (SIDE, SIDE)) * 36
    opacity = {
        "binary": np.where(feathered() > 0, 255, 0),
        "feathered": feathered(),
        "half": np.where(feathered() > 0, 128, 0),
        "few levels": levels,
    }
    values[3] = opacity[kind]
    raster = FileRaster.open(write(tmp_path / "picture.tif", values, photometric="RGB", alpha="YES"))
    assert raster.indexes == (1, 2, 3)
    assert raster.notes == ()
    assert (raster.read(WHOLE).valid == (values[3] > 0)).all()


def test_opacity_that_is_asked_for_as_a_band_is_refused_with_the_way_to_have_it(tmp_path: Path) -> None:
    values = bands()
    values[3] = feathered()
    path = write(tmp_path / "picture.tif", values, photometric="RGB", alpha="YES")
    for asked in ([4], ["1,4"]):
        with pytest.raises(InputError, match=r"no data band 4: it is declared as alpha.*colorinterp_4 undefined"):
            FileRaster.open(path, asked)


def test_a_file_cut_short_is_refused_as_any_other(tmp_path: Path) -> None:
    path = write(tmp_path / "naip.tif", bands(), photometric="RGB", alpha="YES", compress="deflate")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match="cannot be read at row 0, column 0"):
        FileRaster.open(path)


def test_a_masks_own_alpha_is_left_alone(tmp_path: Path) -> None:
    values = bands(2)
    values[0] = 1
    path = write(tmp_path / "mask.tif", values, photometric="MINISBLACK", alpha="YES")
    assert open_mask(path).raster.bands == ("1",)


def test_it_is_reported_where_the_file_is_used(tmp_path: Path) -> None:
    source = np.random.default_rng(2).normal(280, 5, (1, 24, 24)).astype(np.float32)
    coarse = write(tmp_path / "source.tif", source, transform=PLACE * Affine.scale(3.75))
    guide = write(tmp_path / "naip.tif", bands(), photometric="RGB", alpha="YES")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        upsample(coarse, guide, 2, method="bicubic")
    (said,) = [one for one in caught if "alpha" in str(one.message)]
    assert said.category is MmsrWarning
