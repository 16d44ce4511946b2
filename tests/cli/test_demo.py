"""The demo on few steps: its files, and that its figures are those of its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

import mmsr_geo
from mmsr_geo.cli.demo import run_demo
from support.rasters import SENTINEL_TRUTH

pytestmark = pytest.mark.slow


def test_the_demo_writes_and_counts_what_it_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = run_demo(tmp_path, params=mmsr_geo.FitParams(steps=20, patch_px=64, threads=1))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "landsat7.png",
        "landsat7_mmsr.tif",
        "landsat7_source.tif",
        "sentinel2.png",
        "sentinel2_mmsr.tif",
        "sentinel2_source.tif",
    ]
    with rasterio.open(SENTINEL_TRUTH) as truth, rasterio.open(tmp_path / "sentinel2_mmsr.tif") as target:
        error = target.read(1).astype(np.float64) - truth.read(1)
        assert target.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    first, second = results
    ours = first.scores["mmsr"]
    assert ours.rmse == pytest.approx(np.sqrt((error**2).mean()))
    assert ours.mae == pytest.approx(np.abs(error).mean())
    assert ours.bias == pytest.approx(error.mean(), abs=1e-9)
    assert ours.rmse < first.scores["bicubic"].rmse < first.scores["nearest"].rmse
    assert all(result.inconsistency < 1e-5 * result.deviation for result in results)
    assert all(result.peak_bytes > 100e6 and result.seconds > 0 for result in results)
    for name in ("sentinel2.png", "landsat7.png"):
        assert min(Image.open(tmp_path / name).size) > 700
    printed = capsys.readouterr().out
    for part in (f"{ours.rmse:.4g}", f"{second.scores['bicubic'].rmse:.4g}", "sentinel2_mmsr.tif", "landsat7.png"):
        assert part in printed
