"""A job of three dates, as a folder of inputs and a job file."""

from __future__ import annotations

from pathlib import Path

import pytest
import rasterio

from support.rasters import SENTINEL_GUIDE, sentinel_crop

JOB = """\
output = "out/{name}.tif"
[[pairs]]
source = "thermal/{key}.tif"
guide = "optical/{key}.tif"
[options]
scale = 4
"""
SMOOTH = JOB + 'method = "bicubic+consistency"\ntile_size = 32\n'
DATES = ("2024-06", "2024-07", "2024-08")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three dates of 16 x 18 source pixels, six tiles each."""
    (tmp_path / "thermal").mkdir()
    (tmp_path / "optical").mkdir()
    for number, date in enumerate(DATES):
        sentinel_crop(8 * number, 0, 16, 18, 4).source.rio.to_raster(tmp_path / "thermal" / f"{date}.tif")
        (tmp_path / "optical" / f"{date}.tif").symlink_to(SENTINEL_GUIDE)
    return tmp_path


def job(folder: Path, text: str = SMOOTH) -> Path:
    path = folder / "job.toml"
    path.write_text(text)
    return path


def with_bad_tiles(folder: Path, date: str) -> None:
    """Make a pair of 12 tiles and a guide of which a block cannot be read: the tiles that need it will fail."""
    sentinel_crop(0, 0, 32, 18, 4).source.rio.to_raster(folder / "thermal" / f"{date}.tif")
    guide = folder / "optical" / f"{date}.tif"
    with rasterio.open(SENTINEL_GUIDE) as dataset:
        values, profile = dataset.read(), dataset.profile
    guide.unlink()
    profile |= {
        "driver": "GTiff",
        "compress": "deflate",
        "tiled": True,
        "blockxsize": 32,
        "blockysize": 32,
        "nodata": 0,
    }
    with rasterio.open(guide, "w", **profile) as dataset:
        dataset.write(values)
    with rasterio.open(guide) as dataset:
        start, size = (int(dataset.get_tag_item(f"BLOCK_{what}_0_7", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    with guide.open("r+b") as file:
        file.seek(start)
        file.write(b"\0" * size)
