"""Hundreds of bands, huge rasters, outputs in the way, closed folders and full disks."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from rasterio.windows import Window

from mmsr_geo.errors import InputError, OutputError
from support.hostile.cases import (
    ARRAYS,
    MEMORY_MB,
    PLACE,
    SHAPE,
    UTM,
    Job,
    Refusal,
    Target,
    Values,
    close,
    guide_array,
    refused,
    result,
    scene,
    texture,
    vrt,
    vrt_band,
    write,
    write_guide,
    write_source,
)


@result("300 bands")
def a_guide_of_300_bands(at: Path) -> Job:
    return Job(write_source(at), write_guide(at, texture(300)), Target(scene()), method="mmsr")


@result("300 bands")
def a_source_of_300_bands(at: Path) -> Job:
    values = scene(4, 5) + np.arange(300, dtype=np.float32)[:, None, None]
    return Job(write_source(at, values), write_guide(at), Target(values))


@result("300 bands")
def one_of_300_bands(at: Path) -> Job:
    guide = write_guide(at, texture(300))
    return Job(write_source(at), guide, Target(scene()), method="mmsr", options={"guide_band": "300"})


@refused("300 bands")
def the_301st_of_300_bands(at: Path) -> Job:
    guide = write_guide(at, texture(300))
    options = {"guide_band": "301"}
    return Job(write_source(at), guide, Refusal(InputError, "no data band 301"), options=options)


HUGE = Affine(30, 0, -10_000_000, 0, -30, 20_000_000)
HUGE_PX = 1_000_000
"""The source's pixels begin 400 000 pixels in."""


def _sparse(path: Path, values: Values, transform: Affine, start: int, **profile: Any) -> Path:
    """Write a raster of 1e6 x 1e6 pixels that holds nothing but `values`, from (start, start) on."""
    count, height, width = values.shape
    options = {"tiled": True, "blockxsize": 1024, "blockysize": 1024, "BIGTIFF": "YES", "SPARSE_OK": "TRUE"}
    shape = {"count": count, "height": HUGE_PX, "width": HUGE_PX}
    with rasterio.open(
        path, "w", driver="GTiff", crs=UTM, transform=transform, dtype=values.dtype, **shape, **options, **profile
    ) as dataset:
        dataset.write(values, window=Window(start, start, width, height))
    assert path.stat().st_size < 100e6
    return path


HUGE_PART = PLACE * Affine.translation(-400_000, -400_000)


@result("huge declared size")
def a_part_of_a_source_of_1e12_pixels(at: Path) -> Job:
    source = _sparse(at / "source.tif", scene()[np.newaxis], HUGE_PART, 400_000, nodata=-9999)
    west, south, east, north = 435_730, 4_176_300, 436_450, 4_176_900
    options = {"bounds": (west, south, east, north)}
    return Job(source, write_guide(at), Target(scene()), method="mmsr", options=options, memory_mb=MEMORY_MB)


@refused("huge declared size")
def all_of_a_source_of_1e12_pixels(at: Path) -> Job:
    source = _sparse(at / "source.tif", scene()[np.newaxis], HUGE_PART, 400_000, nodata=-9999)
    guide = write(at / "guide.tif", texture(), PLACE * Affine.translation(-400_000, -400_000) * Affine.scale(23_000))
    refusal = Refusal(OutputError, r"needs 16\d{3}\.\d GB to be written, and .* GB are free: free disk space")
    return Job(source, guide, refusal, memory_mb=MEMORY_MB)


@result("huge declared size")
def a_guide_of_1e12_pixels(at: Path) -> Job:
    corner = PLACE * Affine.translation(-200_001, -200_001) * Affine.scale(0.5)
    guide = _sparse(at / "guide.tif", texture(), corner, 400_000, nodata=0)
    return Job(write_source(at), guide, Target(scene()), method="mmsr", memory_mb=MEMORY_MB)


@result("huge declared size")
def a_part_of_a_vrt_as_large_as_they_come(at: Path) -> Job:
    write(at / "part.tif", scene())
    place = '<SrcRect xOff="0" yOff="0" xSize="24" ySize="20"/><DstRect xOff="7" yOff="9" xSize="24" ySize="20"/>'
    shape = (10_000_000, 10_000_000)
    source = vrt(at / "source.vrt", shape, vrt_band("part.tif", place=place), PLACE * Affine.translation(-7, -9))
    options = {"bounds": (435_730, 4_176_300, 436_450, 4_176_900)}
    return Job(source, write_guide(at), Target(scene()), options=options, memory_mb=MEMORY_MB)


@result("huge declared size", ARRAYS)
def a_part_of_a_lazy_array_of_1e10_pixels(_: Path) -> Job:
    values = da.zeros((100_000, 100_000), chunks=10_000, dtype=np.float32) + np.float32(7)
    west, north = 435_730, 4_176_900
    y, x = north - 15 - 30 * np.arange(100_000), west + 15 + 30 * np.arange(100_000)
    source = xr.DataArray(values, dims=("y", "x"), coords={"y": y, "x": x}).rio.write_crs(UTM)
    options = {"bounds": (west, north - 600, west + 720, north)}
    return Job(source, guide_array(), Target(np.full(SHAPE, 7.0)), options=options, memory_mb=2 * MEMORY_MB)


@refused("closed to this user")
def a_source_of_common_user(at: Path) -> Job:
    source = write_source(at)
    close(source)
    words = r"source\.tif cannot be opened.*[Pp]ermission denied"
    return Job(source, write_guide(at), Refusal(InputError, words), as_common_user=True)


@refused("closed to this user")
def a_guide_in_a_closed_folder(at: Path) -> Job:
    (at / "closed").mkdir()
    guide = write_guide(at / "closed")
    close(at / "closed")
    words = r"guide\.tif cannot be opened.*[Pp]ermission denied"
    return Job(write_source(at), guide, Refusal(InputError, words), as_common_user=True)


@refused("closed to this user")
def a_folder_closed_to_writing(at: Path) -> Job:
    (at / "closed").mkdir()
    close(at / "closed", 0o755)
    words = "cannot be written to.*Permission denied.*choose another"
    return Job(
        write_source(at), write_guide(at), Refusal(OutputError, words), output="closed/sharp.tif", as_common_user=True
    )


@refused("closed to this user")
def a_folder_that_cannot_be_looked_into(at: Path) -> Job:
    (at / "closed").mkdir()
    close(at / "closed")
    refusal = Refusal(OutputError, "closed.*choose another|closed.*create it first")
    return Job(write_source(at), write_guide(at), refusal, output="closed/sharp.tif", as_common_user=True)


@refused("output in the way")
def an_output_that_exists(at: Path) -> Job:
    (at / "sharp.tif").write_text("mine")
    return Job(write_source(at), write_guide(at), Refusal(OutputError, "exists.*overwrite"))


@refused("output in the way")
def the_source_as_the_output(at: Path) -> Job:
    refusal = Refusal(OutputError, "is also an input.*which would be lost: give the output another name")
    return Job(write_source(at), write_guide(at), refusal, output="source.tif", method="mmsr")


@refused("output in the way")
def an_output_that_is_a_folder(at: Path) -> Job:
    (at / "sharp.tif").mkdir()
    refusal = Refusal(OutputError, "is a folder: give the name of a file")
    return Job(write_source(at), write_guide(at), refusal, options={"overwrite": True})


@refused("output in the way")
def an_output_that_is_a_pipe(at: Path) -> Job:
    os.mkfifo(at / "sharp.tif")
    refusal = Refusal(OutputError, "is a pipe or a device.*give the name of a file")
    return Job(write_source(at), write_guide(at), refusal, options={"overwrite": True})


@refused("output in the way")
def the_source_to_be_replaced(at: Path) -> Job:
    refusal = Refusal(OutputError, "is also an input.*which would be lost: give the output another name")
    options = {"overwrite": True}
    return Job(write_source(at), write_guide(at), refusal, output="source.tif", options=options, method="mmsr")


@result("output replaced")
def an_output_replaced_when_that_is_asked_for(at: Path) -> Job:
    (at / "sharp.tif").write_bytes(b"of last year")
    return Job(write_source(at), write_guide(at), Target(scene()), options={"overwrite": True}, method="mmsr")


@refused("no place for the output")
def a_folder_that_is_missing(at: Path) -> Job:
    refusal = Refusal(OutputError, "does not exist: create it first")
    return Job(write_source(at), write_guide(at), refusal, output="none/sharp.tif")


@refused("no place for the output")
def a_folder_that_is_a_file(at: Path) -> Job:
    (at / "file").touch()
    refusal = Refusal(OutputError, "file does not exist: create it first|file is no folder")
    return Job(write_source(at), write_guide(at), refusal, output="file/sharp.tif")


@refused("no place for the output")
def a_name_longer_than_names_can_be(at: Path) -> Job:
    refusal = Refusal(OutputError, "is a name of 304 bytes: give one of at most 240")
    return Job(write_source(at), write_guide(at), refusal, output="s" * 300 + ".tif")


@refused("no place for the output")
def no_name_at_all(at: Path) -> Job:
    return Job(write_source(at), write_guide(at), Refusal(OutputError, "is a folder"), output="")


@result("no place for the output")
def a_name_as_long_as_names_can_be(at: Path) -> Job:
    return Job(write_source(at), write_guide(at), Target(scene()), output="s" * 236 + ".tif")


def _small_disk(at: Path, size: str) -> Path:
    folder = at / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)],  # noqa: S607  (mount is where the system has it)
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    return folder


def _noisy_pair(at: Path) -> tuple[Path, Path, Values]:
    """A pair whose target fills a file of 1 MiB, compressed or not."""
    values = np.random.default_rng(1).normal(280, 9, (250, 250)).astype(np.float32)
    return write_source(at, values), write_guide(at, texture(1, 504, 504)), values


@refused("full disk")
def a_disk_too_small_for_the_draft(at: Path) -> Job:
    _small_disk(at, "900k")
    source, guide, _ = _noisy_pair(at)
    refusal = Refusal(
        OutputError, r"needs 0\.0\d* GB to be written, and .* free: free disk space|needs .* MB.*free disk space"
    )
    return Job(source, guide, refusal, output="disk/sharp.tif")


@refused("full disk")
def a_disk_that_fills_up_while_the_cog_is_made(at: Path) -> Job:
    _small_disk(at, "1200k")
    source, guide, _ = _noisy_pair(at)
    refusal = Refusal(OutputError, r"cannot be written.*free\): free disk space")
    return Job(source, guide, refusal, output="disk/sharp.tif")


@refused("full disk")
def a_full_disk_keeps_what_was_there(at: Path) -> Job:
    disk = _small_disk(at, "1200k")
    (disk / "sharp.tif").write_bytes(b"mine" * 1000)
    source, guide, _ = _noisy_pair(at)
    refusal = Refusal(OutputError, r"cannot be written.*free\): free disk space")
    return Job(source, guide, refusal, output="disk/sharp.tif", options={"overwrite": True})


@refused("full disk")
def files_that_may_not_grow_further(at: Path) -> Job:
    source, guide, _ = _noisy_pair(at)
    refusal = Refusal(OutputError, r"cannot be written.*free disk space")
    return Job(source, guide, refusal, largest_file=700_000)


@result("full disk")
def a_disk_that_just_has_room(at: Path) -> Job:
    _small_disk(at, "3m")
    source, guide, values = _noisy_pair(at)
    return Job(source, guide, Target(values), output="disk/sharp.tif")
