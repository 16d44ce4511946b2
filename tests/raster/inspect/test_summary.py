"""What `info` says of a raster's detail: oversampled sources, their mend and the scale that follows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from mmsr_geo.cli import main as cli
from mmsr_geo.raster.inspect.sensors import rounded_resolution
from mmsr_geo.raster.inspect.summary import summary_of
from support.rasters import LANDSAT_GUIDE, LANDSAT_TRUTH, SENTINEL_GUIDE, SENTINEL_TRUTH, block_means, georeferenced

Info = Callable[..., str]


@pytest.fixture
def info(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Info:
    """Run `mmsr-geo info` in this process; what it prints, in one line."""

    def run(*files: Path) -> str:
        monkeypatch.setattr(sys, "argv", ["mmsr-geo", "info", *map(str, files)])
        monkeypatch.setenv("COLUMNS", "300")
        try:
            cli.main()
        except SystemExit as end:
            assert not end.code, capsys.readouterr().err  # noqa: PT017  (an exit of 0 is none)
        return " ".join(capsys.readouterr().out.split())

    return run


def saved(path: Path, values: np.ndarray, pixel: float, nodata: float | None = None) -> Path:
    georeferenced(values, Affine(pixel, 0, 435720, 0, -pixel, 4174980), nodata=nodata).rio.to_raster(path)
    return path


def test_landsat_7s_thermal_band_is_suspected_and_the_fix_named(info: Info) -> None:
    reported = info(LANDSAT_TRUTH, LANDSAT_GUIDE)
    assert "suspected: one original pixel is about 2 pixels (60 m); for a source, see --source-resolution" in reported
    assert "Pass --source-resolution 60 to average 2 x 2 of its pixels first. The scale is then 2." in reported
    assert "No scale fits: scale under 2" in reported  # without the mend


def test_a_native_pair_is_not_suspected(info: Info) -> None:
    reported = info(SENTINEL_TRUTH, SENTINEL_GUIDE)
    assert reported.count("no oversampling found") == 2
    assert "--source-resolution" not in reported


def test_an_oversampled_guide_asks_for_no_fix_of_the_source(info: Info, tmp_path: Path) -> None:
    with rasterio.open(SENTINEL_TRUTH) as dataset:
        native = dataset.read(1)
    source = saved(tmp_path / "source.tif", block_means(native, 4).astype(np.float32), 80)
    reported = info(source, saved(tmp_path / "guide.tif", native[::2, ::2].repeat(2, 0).repeat(2, 1), 20))
    assert "suspected: one original pixel is about 2 pixels (40 m)" in reported
    assert "The source seems to be resampled" not in reported


def test_a_small_raster_is_not_judged(info: Info, tmp_path: Path) -> None:
    assert "too few pixels to check" in info(saved(tmp_path / "small.tif", np.eye(40, dtype=np.float32), 100))


def test_of_several_bands_the_suspected_ones_are_named(info: Info, tmp_path: Path) -> None:
    with rasterio.open(SENTINEL_GUIDE) as dataset:
        first, second = dataset.read(1), dataset.read(2)[::2, ::2].repeat(2, 0).repeat(2, 1)
    reported = info(saved(tmp_path / "both.tif", np.stack([first, second]), 10))
    assert "suspected in 2: one original pixel is about 2 pixels (20 m)" in reported


def test_the_file_is_read_at_full_resolution_where_it_is_valid(tmp_path: Path) -> None:
    """Larger than the window, the overview-like read would hide it, and the centre is nodata."""
    with rasterio.open(LANDSAT_TRUTH) as dataset:
        thermal = dataset.read(1)
    tile = np.block([[thermal, thermal[:, ::-1]], [thermal[::-1], thermal[::-1, ::-1]]])
    large = np.tile(tile, (3, 4)).astype(np.float32)
    large[400:1400, 700:2400] = -9999
    summary = summary_of(saved(tmp_path / "large.tif", large, 30, nodata=-9999))
    assert summary.suspected_m == 60


@pytest.mark.parametrize(
    ("metres", "reported"),
    [(98.7, 100), (100.4, 100), (60.02, 60), (926.6, 930), (985, 1000), (3.28, 3.3), (0.997, 1), (41.2, 41)],
)
def test_an_estimate_is_rounded_to_what_a_person_would_say(metres: float, reported: float) -> None:
    assert rounded_resolution(metres) == reported


def test_undeclared_nodata_is_suspected_and_the_fix_named(info: Info, tmp_path: Path) -> None:
    with rasterio.open(LANDSAT_TRUTH) as dataset:
        values = dataset.read(1).astype("int16")
    values[:30] = -9999
    reported = info(saved(tmp_path / "thermal.tif", values, 60.0), SENTINEL_GUIDE)
    assert "none declared; suspected: -9999 is the value of" in reported
    assert "pass --source-nodata -9999 if it means nodata." in reported
    assert "suspected: -9999" not in info(saved(tmp_path / "declared.tif", values, 60.0, nodata=-9999))


def test_classes_are_named(info: Info, tmp_path: Path) -> None:
    codes = np.full((200, 200), 2, np.uint8)
    codes[:, :90] = 1
    path = saved(tmp_path / "cover.tif", codes, 10)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(1, flag_values="1,2", flag_meanings="trees grass")
    reported = info(path)
    assert "1; classes in 1: 1 trees, 2 grass" in reported
    assert "not looked for in classes" in reported
