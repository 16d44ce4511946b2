"""The lazy result: what it reads, that it depends on nothing but its inputs, and how it looks."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from distributed import Client, LocalCluster
from numpy.typing import NDArray

import mmsr_geo
from mmsr_geo.engine import pair as pair_module
from mmsr_geo.engine.tile_upsampler import halo_of
from mmsr_geo.geometry import Window
from mmsr_geo.raster.base import Pixels
from mmsr_geo.raster.read.files import FileRaster
from support.rasters import SENTINEL_GUIDE, block_means, georeferenced, sentinel_crop, sentinel_guide, sentinel_model

pytestmark = pytest.mark.slow

PARAMS = mmsr_geo.FitParams(steps=6, patch_px=32, threads=1)


@pytest.fixture(scope="module")
def guide() -> xr.DataArray:
    return sentinel_guide()


@pytest.fixture(scope="module")
def model() -> mmsr_geo.FittedModel:
    return sentinel_model(4)


@pytest.fixture
def files_read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Window]]:
    """Every window read from a file, by the file's name."""
    seen: list[tuple[str, Window]] = []
    read = FileRaster.read

    def counted(raster: FileRaster, window: Window) -> Pixels:
        seen.append((raster.path.rpartition("/")[2], window))
        return read(raster, window)

    monkeypatch.setattr(FileRaster, "read", counted)
    return seen


def counted_chunks(array: xr.DataArray, chunk: int, seen: set[tuple[int, ...]]) -> xr.DataArray:
    """Cut an array into dask chunks that note when they are computed."""

    def note(block: NDArray[Any], block_info: Any = None) -> NDArray[Any]:
        seen.add(tuple(block_info[0]["chunk-location"][-2:]))
        return block

    sizes = dict.fromkeys(("y", "x"), chunk)
    lazy = da.from_array(array.values, chunks=(*(-1,) * (array.ndim - 2), chunk, chunk), name=f"{array.name}-{sizes}")
    return array.copy(data=lazy.map_blocks(note, dtype=array.dtype, meta=np.empty((0,) * array.ndim, array.dtype)))


def test_importing_is_quick_and_leaves_torch_alone() -> None:
    code = (
        "import time, xarray; t = time.process_time(); import mmsr_geo; print(time.process_time() - t);"
        "import sys; print('torch' in sys.modules); xarray.DataArray([1]).mmsr; print('torch' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert float(printed[0]) < 2
    assert printed[1:] == ["False", "False"]


def test_nothing_is_read_at_the_call(guide: xr.DataArray) -> None:
    read: set[tuple[int, ...]] = set()
    crop = sentinel_crop(0, 0, 24, 24, 4)
    sharp = counted_chunks(crop.source, 8, read).mmsr.upsample(
        counted_chunks(guide, 64, read), 4, tile_size=32, params=PARAMS
    )
    assert not read
    assert sharp.chunks == ((32, 32, 32), (32, 32, 32))


def test_a_chunk_reads_what_it_needs_from_dask(guide: xr.DataArray, model: mmsr_geo.FittedModel) -> None:
    source_read: set[tuple[int, ...]] = set()
    guide_read: set[tuple[int, ...]] = set()
    crop = sentinel_crop(0, 0, 64, 64, 4)
    source, fine = counted_chunks(crop.source, 8, source_read), counted_chunks(guide, 32, guide_read)
    sharp = source.mmsr.upsample(fine, 4, model=model, keep_statistics=True, tile_size=32)
    sharp[0:32, 224:256].compute()
    halo = halo_of(model.receptive_field, model.scale)
    # 8 source pixels and a halo reach so far from the upper right corner, in chunks of 8.
    reach = 8 + halo.y
    assert halo.x == halo.y
    assert 23 <= reach < 48
    chunks = math.ceil(reach / 8)
    assert source_read == {(row, column) for row in range(chunks) for column in range(8 - chunks, 8)}
    # A source pixel is 8 guide pixels, in chunks of 32, and the warp's margin takes some more.
    last = (reach * 8 - 1) // 32
    most = {(row, column) for row in range(last + 2) for column in range(14 - last, 17)}
    assert {(0, 15), (last, 15 - last)} <= guide_read <= most


def test_a_chunk_reads_what_it_needs_and_the_samples_from_files(
    tmp_path: Any, files_read: list[tuple[str, Window]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_module, "SAMPLED_TARGET_PX", 4 * 32 * 32)
    monkeypatch.setattr(pair_module, "SAMPLED_WINDOWS", 4)
    crop = sentinel_crop(0, 0, 64, 64, 4)
    crop.source.rio.to_raster(tmp_path / "source.tif")
    alone = replace(PARAMS, ensemble=False)
    sharp = mmsr_geo.upsample(tmp_path / "source.tif", SENTINEL_GUIDE, 4, tile_size=32, params=alone)
    assert not files_read
    sharp[0:32, 224:256].compute()
    looks = {  # for undeclared nodata: the source has 64 pixels a side, the guide is looked at in 4 x 4 places
        (name, window)
        for name, window in files_read
        if window.shape == ((64, 64) if name == "source.tif" else (128, 128))
    }
    assert len([read for read in files_read if read in looks]) == len(looks) == 1 + 16
    files_read[:] = [read for read in files_read if read not in looks]
    source = [window for name, window in files_read if name == "source.tif"]
    # Four samples of 8 x 8 source pixels, one a quarter of the raster, and the tile with its halo.
    tile = Window(0, 42, 22, 22)
    samples = [window for window in source if window != tile]
    assert source.count(tile) == 1
    assert [window.shape for window in samples] == [(8, 8)] * 4
    assert {(window.row // 32, window.col // 32) for window in samples} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert len(files_read) == 2 * len(source)


def test_names_are_tokens_of_the_content(guide: xr.DataArray) -> None:
    def name(**changed: Any) -> str:
        crop = sentinel_crop(0, 0, 24, 24, 4)
        given = {"scale": 4, "tile_size": 48, "seed": 0, "params": PARAMS} | changed
        return str(crop.source.mmsr.upsample(guide, given.pop("scale"), **given).data.name)

    assert name() == name()
    others = [name(seed=1), name(tile_size=96), name(scale=2), name(params=mmsr_geo.FitParams(steps=7, threads=1))]
    assert len({name(), *others}) == 5


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster,
        Client(cluster) as client,
    ):
        yield client


def test_every_scheduler_gives_identical_values(guide: xr.DataArray, client: Client) -> None:
    crop = sentinel_crop(0, 0, 24, 24, 4)
    with dask.config.set(scheduler="synchronous"):
        sharp = crop.source.chunk(x=10, y=9).mmsr.upsample(guide.chunk(x=100, y=120), 4, tile_size=40, params=PARAMS)
        expected = sharp.compute(scheduler="synchronous").values
    assert np.array_equal(sharp.compute(scheduler="threads").values, expected)
    assert np.array_equal(client.compute(sharp).result().values, expected)
    persisted = guide.chunk(x=100, y=120).persist()
    again = crop.source.chunk(x=10, y=9).mmsr.upsample(persisted, 4, tile_size=40, params=PARAMS)
    assert np.array_equal(client.compute(again).result().values, expected)


def test_the_function_and_a_fitted_model_give_what_the_accessor_gives(guide: xr.DataArray, tmp_path: Any) -> None:
    crop = sentinel_crop(0, 0, 24, 24, 4)
    crop.source.rio.to_raster(tmp_path / "source.tif")
    expected = crop.source.mmsr.upsample(guide, 4, params=PARAMS).compute()
    fitted = mmsr_geo.fit(crop.source, guide, 4, params=PARAMS)
    fitted.save(tmp_path / "scene.mmsr")
    by_path = mmsr_geo.upsample(tmp_path / "source.tif", SENTINEL_GUIDE, 4, params=PARAMS).compute()
    by_model = mmsr_geo.upsample(crop.source, guide, model=mmsr_geo.load(tmp_path / "scene.mmsr"), scale=4).compute()
    # Predictions may differ by rounding: a window's arithmetic depends on how many threads share it.
    assert np.allclose(by_path.values, expected.values, atol=1e-3, rtol=0)
    assert np.allclose(by_model.values, expected.values, atol=1e-3, rtol=0)


def test_the_result_looks_like_the_source(guide: xr.DataArray, model: mmsr_geo.FittedModel) -> None:
    crop = sentinel_crop(0, 0, 12, 16, 4)
    source = crop.source.assign_attrs(units="K", long_name="temperature").assign_coords(date="2020-01-01")
    sharp = source.mmsr.upsample(guide, 4, model=model)
    assert (sharp.name, sharp.dtype, sharp.dims, sharp.shape) == ("B11", np.float32, ("y", "x"), (48, 64))
    assert sharp.attrs["units"] == "K"
    assert sharp.attrs["long_name"] == "temperature"
    assert sharp.rio.crs == source.rio.crs
    assert sharp.rio.transform() == source.rio.transform() * Affine.scale(0.25)
    assert sharp.coords["date"].item() == "2020-01-01"
    assert np.allclose(sharp.x.values.reshape(16, 4).mean(axis=1), source.x.values)
    assert np.allclose(sharp.y.values.reshape(12, 4).mean(axis=1), source.y.values)


def test_nodata_is_the_sources(guide: xr.DataArray, model: mmsr_geo.FittedModel) -> None:
    crop = sentinel_crop(0, 0, 12, 12, 4)
    integers = crop.source.round().astype(np.int32)
    integers[2:4, 5] = -9999
    sharp = integers.rio.write_nodata(-9999).mmsr.upsample(guide, 4, model=model).compute()
    assert sharp.rio.nodata == -9999
    missing = (integers.values == -9999).repeat(4, 0).repeat(4, 1)
    assert ((sharp.values == -9999) == missing).all()
    assert np.abs(block_means(sharp.values, 4) - integers.values)[integers.values != -9999].max() < 0.01
    beyond = crop.source.astype(np.float64).rio.write_nodata(-1e300).mmsr.upsample(guide, 4, model=model)
    assert np.isnan(beyond.rio.nodata)
    masked = (
        crop.source.where(~missing[::4, ::4]).rio.write_nodata(-9999, encoded=True).mmsr.upsample(guide, 4, model=model)
    )
    assert masked.rio.encoded_nodata == -9999
    assert (np.isnan(masked.values) == missing).all()


def test_other_dims_are_done_slice_by_slice(guide: xr.DataArray) -> None:
    first, second = sentinel_crop(0, 0, 16, 16, 4).source, sentinel_crop(0, 0, 16, 16, 4).source * 0.5 + 100
    dates = xr.DataArray(np.array(["2020-01-01", "2020-02-01"], "datetime64[ns]"), dims="time", name="time")
    source = xr.concat([first, second], dates)
    guides = xr.concat([guide, guide[:, ::-1].assign_coords(y=guide.y)], dates)
    sharp = source.mmsr.upsample(guides, 4, params=PARAMS).compute()
    assert sharp.dims == ("time", "y", "x")
    assert (sharp.time == source.time).all()
    for index in range(2):
        alone = source[index].mmsr.upsample(guides[index], 4, params=PARAMS).compute()
        assert np.array_equal(sharp[index].values, alone.values)
    late = guides.assign_coords(time=guides.time + np.timedelta64(1, "D"))
    with pytest.raises(mmsr_geo.InputError, match=r"no slices at time 2020-01-01.*isel\(time=0\)"):
        source.mmsr.upsample(late, 4)
    with pytest.raises(mmsr_geo.InputError, match=r"2 slices along time.*isel\(time=0\)"):
        first.mmsr.upsample(guides, 4)


def test_pixels_that_leave_nothing_to_fit_fail_in_the_fit_task(guide: xr.DataArray) -> None:
    source = sentinel_crop(0, 0, 12, 12, 4).source
    lazy = source.where(source < 0).mmsr.upsample(guide, 4, params=PARAMS)
    with pytest.raises(mmsr_geo.PixelError, match="no valid pixel"):
        lazy.compute(scheduler="threads")


def test_a_guide_of_another_crs_is_warped(guide: xr.DataArray) -> None:
    crop = sentinel_crop(96, 96, 16, 16, 4)
    degrees = guide.rio.reproject("EPSG:4326")
    sharp = crop.source.mmsr.upsample(degrees, 4, params=PARAMS).compute()
    assert sharp.rio.crs == crop.source.rio.crs
    assert np.abs(block_means(sharp.values, 4) - crop.source.values).max() < 0.01


def test_pairs_that_do_not_fit_are_refused_at_the_call(guide: xr.DataArray, model: mmsr_geo.FittedModel) -> None:
    crop = sentinel_crop(0, 0, 12, 12, 4)
    corner = crop.source.rio.transform()
    with pytest.raises(mmsr_geo.GridError, match="scale under 2"):
        sentinel_crop(0, 0, 60, 60, 1).source.mmsr.upsample(guide.coarsen(x=2, y=2).mean())
    with pytest.raises(mmsr_geo.GridError, match="refines nothing"):
        crop.source.mmsr.upsample(guide, 1)
    with pytest.raises(mmsr_geo.OptionError, match="whole number"):
        crop.source.mmsr.upsample(guide, "2.5")
    elsewhere = georeferenced(crop.source.values, corner * Affine.translation(1000, 0))
    with pytest.raises(mmsr_geo.GridError, match=r"overlap"):
        elsewhere.mmsr.upsample(guide, 4)
    half_out = georeferenced(crop.source.values, corner * Affine.translation(-6, 0))
    with pytest.raises(mmsr_geo.GuideCoverageError, match=r"covers 48.9 %.*needs 95 %.*min_coverage=0.48"):
        half_out.mmsr.upsample(guide, 4)
    placeless = xr.DataArray(crop.source.values, dims=("y", "x"), coords={"y": crop.source.y, "x": crop.source.x})
    with pytest.raises(mmsr_geo.GridError, match="no CRS"):
        placeless.mmsr.upsample(guide, 4)
    classes = crop.source.assign_attrs(flag_values=[1, 2], flag_meanings="water land")
    with pytest.raises(mmsr_geo.InputError, match=r"categor|classes"):
        classes.mmsr.upsample(guide, 4)
    with pytest.raises(mmsr_geo.ModelFileError, match=r"4 guide bands.*this guide has 2"):
        crop.source.mmsr.upsample(guide[:2], 4, model=model)
    with pytest.raises(mmsr_geo.ModelFileError, match="for scale 4, this pair has scale 2"):
        crop.source.mmsr.upsample(guide, 2, model=model)
    with pytest.raises(mmsr_geo.OptionError, match="not fitted again"):
        crop.source.mmsr.upsample(guide, 4, model=model, params=PARAMS)
    with pytest.raises(mmsr_geo.OptionError, match="device= is 'abacus': choose auto"):
        crop.source.mmsr.upsample(guide, 4, device="abacus")


def test_where_the_guide_does_not_reach_the_target_is_the_consistent_bicubic(guide: xr.DataArray) -> None:
    crop = sentinel_crop(0, 0, 16, 16, 4)
    corner = crop.source.rio.transform()
    half_out = georeferenced(crop.source.values, corner * Affine.translation(-8, 0))
    sharp = half_out.mmsr.upsample(guide, 4, params=PARAMS, min_coverage=0.4).compute()
    assert np.isfinite(sharp.values).all()
    assert np.abs(block_means(sharp.values, 4) - crop.source.values).max() < 0.01


def test_a_model_brings_its_scale_and_a_source_without_a_name_stays_without(guide: xr.DataArray) -> None:
    source = sentinel_crop(0, 0, 12, 12, 4).source.rename(None)
    target = source.mmsr.upsample(guide, model=sentinel_model(4))
    assert target.shape == (48, 48)
    assert target.name is None
