"""The output for any tile size is the untiled one, and its block means are the source; on real data, by every door."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import mmsr_geo
from mmsr_geo.cli.main import cli
from support.rasters import SENTINEL_GUIDE, block_means, sentinel_crop, sentinel_guide, sentinel_model

pytestmark = pytest.mark.slow

SCALES = (2, 3, 4, 8)


def tolerance(source: NDArray[np.float32]) -> float:
    """Exact, as the design says: 1e-5 of the source's deviation, or 2 float32 ULP of its largest magnitude."""
    return max(1e-5 * float(np.nanstd(source)), 2 * float(np.spacing(np.float32(np.nanmax(np.abs(source))))))


def upsampled(source: xr.DataArray, scale: int, tile_size: int) -> xr.DataArray:
    """Upsample with a model fitted to another part of the raster, lazily."""
    return mmsr_geo.upsample(
        source,
        sentinel_guide(),
        scale,
        model=sentinel_model(scale),
        keep_statistics=True,
        tile_size=tile_size,
        min_coverage=0.5,
    )


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_tiled_is_untiled(data: st.DataObject) -> None:
    scale = data.draw(st.sampled_from(SCALES), "scale")
    height, width = (data.draw(st.integers(1, 112 // scale), side) for side in ("height", "width"))
    row, column = (data.draw(st.integers(0, 256 - side * scale), "at") for side in (height, width))
    tile_size = data.draw(st.integers(scale, 150), "tile_size")
    side = tile_size // scale
    assume(-(-height // side) * -(-width // side) <= 20)
    crop = sentinel_crop(row, column, height, width, scale)
    untiled, tiled = (upsampled(crop.source, scale, size) for size in (100_000, tile_size))
    assert untiled.data.npartitions == 1
    assert tiled.data.npartitions == -(-height // side) * -(-width // side)
    whole, parts = untiled.compute().values, tiled.compute().values
    within = max(tolerance(crop.source.values), 1e-5 * sentinel_model(scale).statistics.source_spread)
    assert np.abs(whole - parts).max() <= within
    assert np.abs(block_means(parts, scale) - crop.source.values).max() <= within


def test_tiled_is_untiled_with_nodata() -> None:
    crop = sentinel_crop(40, 30, 30, 26, 4)
    rng = np.random.default_rng(3)
    missing = rng.random(crop.source.shape) < 0.15
    missing[12:20, 8:14] = True
    source = crop.source.where(~missing)
    whole = upsampled(source, 4, 10_000).compute().values
    for tile_size in (28, 50):
        parts = upsampled(source, 4, tile_size).compute().values
        assert (np.isnan(whole) == np.isnan(parts)).all()
        assert np.nanmax(np.abs(whole - parts)) <= tolerance(source.values)
    assert (np.isnan(whole) == missing.repeat(4, 0).repeat(4, 1)).all()
    means = block_means(whole, 4)
    assert np.nanmax(np.abs(means - source.values)) <= tolerance(source.values)


def test_a_part_is_the_part_of_the_whole() -> None:
    guide, model = sentinel_guide(), sentinel_model(4)
    crop = sentinel_crop(0, 0, 40, 40, 4)
    whole = mmsr_geo.upsample(crop.source, guide, 4, model=model).compute()
    west, north = float(crop.source.x[10]), float(crop.source.y[6])
    bounds = (west, north - 80 * 9, west + 80 * 12, north)
    part = mmsr_geo.upsample(crop.source, guide, 4, model=model, bounds=bounds, tile_size=32).compute()
    same = whole.sel(x=part.x, y=part.y)
    assert part.shape == (40, 52)
    assert np.abs(part.values - same.values).max() <= tolerance(crop.source.values)


@pytest.mark.parametrize("tile_size", [37, 61, 1000])
def test_tiled_is_untiled_through_the_command(tmp_path: Path, tile_size: int) -> None:
    model = sentinel_model(4)
    crop = sentinel_crop(33, 50, 25, 31, 4)
    crop.source.rio.to_raster(tmp_path / "source.tif")
    model.save(tmp_path / "model.mmsr")
    arguments = [str(tmp_path / "source.tif"), str(SENTINEL_GUIDE), "-o", str(tmp_path / "sharp.tif")]
    options = [
        "--scale",
        "4",
        "--model",
        str(tmp_path / "model.mmsr"),
        "--tile-size",
        str(tile_size),
        "--progress",
        "none",
    ]
    outcome = CliRunner().invoke(cli, ["upsample", *arguments, *options], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    expected = mmsr_geo.upsample(crop.source, sentinel_guide(), 4, model=model, tile_size=10_000).compute()
    with rasterio.open(tmp_path / "sharp.tif") as dataset:
        written = dataset.read(1)
        assert dataset.transform == expected.rio.transform()
        assert dataset.crs == expected.rio.crs
    assert np.abs(written - expected.values).max() <= tolerance(crop.source.values)
    assert np.abs(block_means(written, 4) - crop.source.values).max() <= tolerance(crop.source.values)
