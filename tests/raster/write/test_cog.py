"""Files as they are on the disk: what GDAL reads back, and what is left after things went wrong."""

from __future__ import annotations

import math
import os
import resource
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from mmsr_geo.errors import OutputError
from mmsr_geo.geometry import Window
from mmsr_geo.raster.base import BandTags
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.write import cog as writing
from mmsr_geo.raster.write.cog import CogWriter
from mmsr_geo.raster.write.encoding import output_nodata, with_nodata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

GRID = GeoBox((700, 1100), Affine(10.1, 0, 435_730.3, 0, -9.9, 4_176_900.7), "EPSG:32618")
WHOLE = Window(0, 0, 700, 1100)


@pytest.fixture(scope="module")
def values() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(280, 9, (2, 700, 1100)).astype(np.float32)


def written(path: Path, values: NDArray[np.float32], overwrite: int = 0) -> None:
    with CogWriter(path, GRID, bands=len(values), nodata=-9999.0, overwrite=bool(overwrite)) as writer:
        writer.write(WHOLE, values)
        writer.finish()


def test_windows_in_any_order_make_one_cog_with_its_tags(tmp_path: Path, values: NDArray[np.float32]) -> None:
    path = tmp_path / "sharp.tif"
    tags = {"MMSR_GEO_VERSION": "0.1", "MMSR_GEO_SEED": "3"}
    bands = [BandTags("temperature", "K", 0.01, 273.15), BandTags("quality")]
    with CogWriter(path, GRID, bands=2, nodata=-9999.0, band_tags=bands) as writer:
        for row, col in [(300, 500), (0, 0), (300, 0), (0, 500)]:
            window = Window(row, col, 300 if row == 0 else 400, 500 if col == 0 else 600)
            writer.write(window, values[(slice(None), *window.slices)][:1], bands=[1])
            writer.write(window, values[(slice(None), *window.slices)][1:], bands=[2])
        assert not path.exists()
        writer.finish(tags)
    assert os.listdir(tmp_path) == ["sharp.tif"]  # noqa: PTH208  (hidden files too)
    with rasterio.open(path) as dataset:
        assert (dataset.read() == values).all()
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        assert (structure["LAYOUT"], structure["COMPRESSION"], structure["PREDICTOR"]) == ("COG", "DEFLATE", "3")
        assert dataset.overviews(1) == [2, 4]
        mean = values[0, :2, :2].mean()
        assert rasterio.open(path, overview_level=0).read(1)[0, 0] == pytest.approx(mean)
        assert dataset.dtypes == ("float32", "float32")
        assert dataset.nodata == -9999
        assert dataset.transform == GRID.affine
        assert dataset.crs.to_epsg() == 32618
        assert tags.items() <= dataset.tags().items()
        assert (dataset.descriptions, dataset.units) == (("temperature", "quality"), ("K", None))
        assert (dataset.scales, dataset.offsets) == ((0.01, 1), (273.15, 0))
    assert FileRaster.open(path).grid == GRID


def test_an_existing_output_is_refused_or_replaced_with_its_sidecars(
    tmp_path: Path, values: NDArray[np.float32]
) -> None:
    path = tmp_path / "sharp.tif"
    path.write_text("mine")
    with pytest.raises(OutputError, match=r"exists.*overwrite=True"):
        CogWriter(path, GRID)
    assert path.read_text() == "mine"
    path.with_name("sharp.tif.aux.xml").write_text("<statistics of the old one/>")
    written(path, values, overwrite=1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["sharp.tif"]
    assert rasterio.open(path).shape == (700, 1100)


def test_outputs_that_cannot_be_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist: create it"):
        CogWriter(tmp_path / "none" / "a.tif", GRID)
    with pytest.raises(OutputError, match="is a folder"):
        CogWriter(tmp_path, GRID)
    with pytest.raises(OutputError, match=r"needs .* GB .* free: free disk space"):
        CogWriter(tmp_path / "a.tif", GeoBox((4_000_000, 40_000_000), GRID.affine, GRID.crs))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes anywhere")
def test_a_closed_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be written to"):
        CogWriter(tmp_path / "a.tif", GRID)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, None])
def test_nothing_is_left_of_what_was_not_finished(
    tmp_path: Path, values: NDArray[np.float32], error: type[BaseException] | None
) -> None:
    path = tmp_path / "sharp.tif"
    path.write_text("mine")

    def go() -> None:
        with CogWriter(path, GRID, bands=2, overwrite=True) as writer:
            writer.write(WHOLE, values)
            if error is not None:
                raise error

    if error is None:
        go()
    else:
        with pytest.raises(error):
            go()
    assert [entry.name for entry in tmp_path.iterdir()] == ["sharp.tif"]
    assert path.read_text() == "mine"


def test_a_cancel_while_the_cog_is_made_leaves_nothing(
    tmp_path: Path, values: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel(made: Path) -> None:
        assert made.stat().st_size > 1000
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "sync", cancel)

    def go() -> None:
        with CogWriter(tmp_path / "sharp.tif", GRID, bands=2) as writer:
            writer.write(WHOLE, values)
            writer.finish()

    with pytest.raises(KeyboardInterrupt):
        go()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def limited() -> Iterator[None]:
    """Put back the largest file size allowed, which stands for a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("limited")
@pytest.mark.parametrize("short_by", [12_000_000, 6_000_000, 500_000, 1000, 1])
@pytest.mark.parametrize("step", ["tiles", "cog"])
def test_a_full_disk_is_an_output_error_and_leaves_nothing(
    tmp_path: Path, values: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch, short_by: int, step: str
) -> None:
    path = tmp_path / "sharp.tif"
    written(path, values)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    size = {"tiles": 2 * 2 * 3 * 4 * 512**2, "cog": path.stat().st_size}[step]
    path.write_text("mine")

    copy = rasterio.shutil.copy

    def fill_up() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (max(size - short_by, 1000), hard))

    def copy_to_a_full_disk(*arguments: Any, **options: Any) -> None:
        fill_up()
        copy(*arguments, **options)

    def go() -> None:
        with CogWriter(path, GRID, bands=2, nodata=-9999.0, overwrite=True) as writer:
            if step == "tiles":
                fill_up()
            else:
                monkeypatch.setattr(rasterio.shutil, "copy", copy_to_a_full_disk)
            writer.write(WHOLE, values)
            writer.finish()

    with pytest.raises(OutputError, match=r"cannot be written.*free disk space"):
        go()
    assert [entry.name for entry in tmp_path.iterdir()] == ["sharp.tif"]
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (None, math.nan),
        (math.nan, math.nan),
        (-9999.0, -9999.0),
        (0.0, 0.0),
        (65535.0, 65535.0),
        (-3.4028234663852886e38, -3.4028234663852886e38),
        (-1.7976931348623157e308, math.nan),
        (2147483647.0, math.nan),
        (-9999.9, math.nan),
        (math.inf, math.nan),
    ],
)
def test_nodata_is_the_sources_where_float32_holds_it(source: float | None, target: float) -> None:
    found = output_nodata(source)
    assert found == target or (math.isnan(found) and math.isnan(target))


@given(
    st.lists(st.floats(width=32, allow_infinity=False) | st.sampled_from([-9999.0, 0.0, -0.0, 65535.0]), min_size=1),
    st.sampled_from([-9999.0, 0.0, 65535.0, -3.4028234663852886e38, math.nan]),
)
def test_masked_pixels_and_no_others_equal_nodata(values: list[float], nodata: float) -> None:
    before = np.array(values, np.float32)
    after = with_nodata(before, nodata)
    assert after.dtype == np.float32
    missing = np.isnan(before)
    found = np.isnan(after) if math.isnan(nodata) else after == np.float32(nodata)
    assert (found == missing).all()
    valid = before[~missing]
    assert ((after[~missing] >= np.nextafter(valid, -np.inf)) & (after[~missing] <= np.nextafter(valid, np.inf))).all()
