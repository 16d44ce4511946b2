"""Targets as groups of a Zarr store: the values of the COG, georeferenced, sharded by tiles, whole or not there."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

import mmsr_geo
from mmsr_geo import Flag
from mmsr_geo.geometry import Window
from mmsr_geo.jobs.output.tasks import TileTask
from mmsr_geo.raster.base import BandTags
from mmsr_geo.raster.write import destination as placing
from mmsr_geo.raster.write import zarr as zarr_module
from mmsr_geo.raster.write import zarr_arrays, zarr_overviews
from mmsr_geo.raster.write.destination import ZarrGroupPath, address_of
from mmsr_geo.raster.write.encoding import Encoding
from mmsr_geo.raster.write.zarr import ZarrWriter
from mmsr_geo.raster.write.zarr_arrays import SHARD_PX, BandAxis, Variable, chunk_side, shard_side
from support.command import CommandResult
from support.rasters import SENTINEL_GUIDE, georeferenced, sentinel_crop

pytestmark = pytest.mark.slow

Command = Callable[..., CommandResult]
SMOOTH: dict[str, Any] = {"scale": 4, "method": "bilinear", "tile_size": 48}
JOB = """output = "out/all.zarr"
[[pairs]]
source = "{key}_st.tif"
guide = "{key}_b*.tif"
[options]
scale = 4
method = "bilinear"
tile_size = 48
"""


@pytest.fixture(autouse=True)
def _no_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read without a warning: of metadata that are not consolidated, say."""
    monkeypatch.setattr(zarr_arrays, "SHARD_PX", 48)
    warnings.simplefilter("error", RuntimeWarning)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A source with two gaps, 36 x 40 pixels."""
    array = sentinel_crop(0, 0, 36, 40, 4).source
    array[3:5, 7] = -9999
    array[20, 30] = -9999
    array.rio.write_nodata(-9999).rio.to_raster(tmp_path / "dem.tif")
    return tmp_path / "dem.tif"


def opened(path: Path | str, group: str = "", **options: Any) -> xr.Dataset:
    """Read a group by its place in the store: one that xarray is asked for by name has it warn first."""
    with xr.open_zarr(f"{path}/{group}", chunks=None, **options) as dataset:
        loaded: xr.Dataset = dataset.load()
    return loaded


def stored(path: Path | str) -> xr.Dataset:
    """Read the values as they are stored."""
    return opened(path, mask_and_scale=False)


def both(source: Path, **options: Any) -> tuple[Path, Path, Path]:
    """Write a target as COGs and as a Zarr store."""
    folder = source.parent
    target, flags, store = folder / "sharp.tif", folder / "flags.tif", folder / "sharp.zarr"
    mmsr_geo.upsample_to_file(source, SENTINEL_GUIDE, target, qa=flags, **options)
    outcome = mmsr_geo.upsample_to_file(source, SENTINEL_GUIDE, store, **options)
    assert (str(outcome.path), outcome.qa) == (str(store), None)
    return target, flags, store


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dtype": "int16", "scale_factor": 0.1, "add_offset": 273.15},
        {"dtype": "uint16"},
        {"dtype": "float64"},
        {"like": 7.0},
    ],
    ids=str,
)
def test_a_store_holds_what_the_files_hold(source: Path, options: dict[str, Any]) -> None:
    target, flags, store = both(source, **SMOOTH | options)
    found = stored(store)
    with rasterio.open(target) as file, rasterio.open(flags) as qa:
        assert found.target.dtype == file.dtypes[0]
        assert found.target.values.tobytes() == file.read(1).tobytes()
        assert found.qa.values.tobytes() == qa.read(1).tobytes()
        tags = {key: value for key, value in file.tags().items() if key != "AREA_OR_POINT"}
        assert {key: value for key, value in found.attrs.items() if key.startswith("MMSR_GEO")} == tags
        nodata, scale, offset = file.nodata, file.scales[0], file.offsets[0]
        raw, mask = file.read(1).astype(np.float64), file.read_masks(1) > 0
        for read in (found, opened(store)):
            assert read.target.rio.crs == file.crs
            assert read.target.rio.transform() == file.transform
            assert read.qa.rio.transform() == file.transform
            assert read.rio.bounds() == pytest.approx(tuple(file.bounds))
    assert found.target.attrs["_FillValue"] == nodata or math.isnan(nodata)
    decoded = opened(store).target
    assert decoded.rio.encoded_nodata == nodata or math.isnan(nodata)
    assert (np.isnan(decoded.values) == ~mask).all()
    assert 0 < (~mask).sum() < mask.sum()
    assert decoded.values[mask] == pytest.approx((raw * scale + offset)[mask], rel=1e-6)
    assert found.target.attrs["long_name"] == "B11"
    assert found.qa.attrs["flag_masks"] == [int(flag) for flag in Flag]


def test_bands_are_a_dim(tmp_path: Path) -> None:
    values = np.stack([sentinel_crop(row, 0, 20, 24, 4).source.values for row in (0, 100)])
    place = sentinel_crop(0, 0, 20, 24, 4).source.rio.transform()
    with rasterio.open(
        tmp_path / "dem.tif", "w", count=2, height=20, width=24, dtype="float32", crs="EPSG:32618", transform=place
    ) as file:
        file.write(values)
        file.descriptions = ("B11", "B12")
        file.units = ("K", "K")
    target, flags, store = both(tmp_path / "dem.tif", **SMOOTH)
    found = stored(store)
    assert found.target.dims == ("band", "y", "x")
    assert found.band.values.tolist() == [1, 2]
    assert found.band.attrs["names"] == ["B11", "B12"]
    assert found.target.attrs["units"] == "K"
    with rasterio.open(target) as file, rasterio.open(flags) as qa:
        assert found.target.values.tobytes() == file.read().tobytes()
        assert found.qa.values.tobytes() == qa.read().tobytes()
    least = found.target.attrs["STATISTICS_MINIMUM"]
    assert least == [float(band.min()) for band in found.target.values]


def test_bands_of_scales_of_their_own_are_no_variable(tmp_path: Path) -> None:
    tags = [BandTags(scale=0.1), BandTags(scale=0.2)]
    options: dict[str, Any] = {"variable": "target", "tile_yx": (8, 8), "bands": BandAxis(2), "nodata": math.nan}
    grid = GeoBox((8, 8), Affine(10, 0, 0, 0, -10, 0), "EPSG:32618")
    place = ZarrGroupPath(tmp_path / "a.zarr")
    with pytest.raises(mmsr_geo.OptionError, match="2 bands differ in scale or offset"):
        ZarrWriter(place, grid, band_tags=tags, encoding=Encoding(), flag_attrs={}, **options)
    with ZarrWriter(
        place, grid, band_tags=tags, encoding=Encoding("int16", 0.1), flag_attrs={}, **options | {"nodata": 0}
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_a_variable_is_called_as_the_sources(tmp_path: Path) -> None:
    for name, called in (("st_b10", "st_b10"), ("qa", "target"), ("two words", "target"), (None, "target")):
        source = sentinel_crop(0, 0, 16, 18, 4).source.rename(name)
        mmsr_geo.upsample_to_file(source, SENTINEL_GUIDE, tmp_path / "a.zarr", overwrite=True, **SMOOTH)
        assert set(opened(tmp_path / "a.zarr").data_vars) == {called, "qa"}


def test_a_rotated_grid_has_its_transform_alone(tmp_path: Path) -> None:
    crop = sentinel_crop(40, 40, 24, 24, 4).source
    turned = crop.rio.transform() * Affine.rotation(20)
    georeferenced(crop.values, Affine.identity())
    with rasterio.open(
        tmp_path / "dem.tif", "w", count=1, height=24, width=24, dtype="float32", crs="EPSG:32618", transform=turned
    ) as file:
        file.write(crop.values, 1)
    target, _, store = both(tmp_path / "dem.tif", **SMOOTH | {"min_coverage": 0.1})
    found = opened(store)
    assert not {"x", "y"} & set(found.coords)
    with rasterio.open(target) as file:
        assert found.target.rio.transform() == file.transform
        assert found.target.values.tobytes() == file.read(1).tobytes()


@given(tile=st.integers(1, 1500), length=st.integers(1, 5000))
def test_shards_are_whole_tiles_and_chunks_divide_them(tile: int, length: int) -> None:
    shard = shard_side(tile, length)
    assert shard == length or (shard % tile == 0 and shard >= min(SHARD_PX, tile))
    chunk = chunk_side(shard)
    assert shard % chunk == 0
    better = [
        side
        for side in range(1, shard + 1)
        if shard % side == 0 and abs(math.log(side / 512)) < abs(math.log(chunk / 512)) - 1e-9
    ]
    assert not better


def test_shards_are_tiles_and_each_is_written_once(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: Counter[str] = Counter()
    put = zarr.storage.LocalStore.set

    async def counted(store: Any, key: str, *arguments: Any, **options: Any) -> None:
        written[key] += 1
        await put(store, key, *arguments, **options)

    monkeypatch.setattr(zarr.storage.LocalStore, "set", counted)
    monkeypatch.setattr(zarr_arrays, "CHUNK_PX", 16)
    monkeypatch.setattr(zarr_overviews, "BLOCK_PX", 16)
    mmsr_geo.upsample_to_file(source, SENTINEL_GUIDE, source.parent / "a.zarr", **SMOOTH)
    for name in ("target", "qa"):
        reported = json.loads((source.parent / "a.zarr" / name / "zarr.json").read_text())
        assert reported["chunk_grid"]["configuration"]["chunk_shape"] == [48, 48]
        (codec,) = reported["codecs"]
        assert (codec["name"], codec["configuration"]["chunk_shape"]) == ("sharding_indexed", [16, 16])
    shards = {key: count for key, count in written.items() if key.startswith("target/c/")}
    assert shards == {f"target/c/{row}/{col}": 1 for row in range(3) for col in range(4)}
    assert {count for key, count in written.items() if key.startswith("qa/c/")} <= {1}


def test_small_tiles_share_a_shard(source: Path) -> None:
    store = source.parent / "a.zarr"
    mmsr_geo.upsample_to_file(source, SENTINEL_GUIDE, store, **SMOOTH | {"tile_size": 16})
    assert zarr.open_array(store, path="target").shards == (48, 48)
    whole = mmsr_geo.upsample(source, SENTINEL_GUIDE, **SMOOTH)
    assert np.array_equal(stored(store).target.values, whole.values)


def test_overviews_are_means_of_what_is_valid(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zarr_overviews, "OVERVIEW_PX", 40)
    monkeypatch.setattr(zarr_arrays, "CHUNK_PX", 16)
    monkeypatch.setattr(zarr_overviews, "BLOCK_PX", 16)
    store = source.parent / "a.zarr"
    mmsr_geo.upsample_to_file(source, SENTINEL_GUIDE, store, **SMOOTH)
    finer = opened(store)
    layout = finer.attrs["multiscales"]["layout"]
    assert [level["asset"] for level in layout] == ["target", "ovr_2x", "ovr_4x"]
    assert [level.get("derived_from") for level in layout] == [None, "target", "ovr_2x"]
    for level in layout[1:]:
        with xr.open_zarr(store, group=level["asset"], chunks=None) as read:
            coarser = read.load()
        values = np.pad(
            finer.target.values, [(0, -length % 2) for length in finer.target.shape], constant_values=np.nan
        )
        blocks = values.reshape(values.shape[0] // 2, 2, values.shape[1] // 2, 2).transpose(0, 2, 1, 3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of blocks that are all nodata
            means = np.nanmean(blocks.reshape(*blocks.shape[:2], 4).astype(np.float64), axis=-1)
        assert np.allclose(coarser.target.values, means, rtol=1e-6, equal_nan=True)
        assert (coarser.qa.values == finer.qa.values[::2, ::2]).all()
        assert coarser.target.rio.transform() == finer.target.rio.transform() * Affine.scale(2)
        assert coarser.target.rio.crs == finer.target.rio.crs
        finer = coarser


def test_overviews_of_integers_keep_off_their_nodata() -> None:
    halved = zarr_overviews.averaging(0, "int16")(np.array([[-1, 1, 0, 7], [-1, 1, 0, 0]], np.int16))
    assert halved.tolist() == [[1, 7]]


def test_statistics_are_of_the_stored_values(source: Path) -> None:
    store = source.parent / "a.zarr"
    mmsr_geo.upsample_to_file(source, SENTINEL_GUIDE, store, **SMOOTH | {"dtype": "int16", "scale_factor": 0.5})
    found = stored(store).target
    valid = found.values[found.values != found.attrs["_FillValue"]].astype(np.float64)
    reported = {key.removeprefix("STATISTICS_"): value for key, value in found.attrs.items() if key.startswith("STAT")}
    assert (reported["MINIMUM"], reported["MAXIMUM"]) == (valid.min(), valid.max())
    assert reported["MEAN"] == pytest.approx(valid.mean())
    assert reported["STDDEV"] == pytest.approx(valid.std())
    assert reported["VALID_PERCENT"] == pytest.approx(100 * valid.size / found.size)


def test_memory_does_not_grow_with_the_raster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zarr_arrays, "SHARD_PX", 256)
    monkeypatch.setattr(zarr_arrays, "CHUNK_PX", 128)
    monkeypatch.setattr(zarr_overviews, "BLOCK_PX", 128)
    peaks: list[int] = []
    monkeypatch.setattr(zarr_overviews, "OVERVIEW_PX", 256)
    for side in (512, 512, 1536):  # the first pays for imports
        grid = GeoBox((side, side), Affine(10, 0, 0, 0, -10, 0), "EPSG:32618")
        tracemalloc.start()
        with ZarrWriter(
            ZarrGroupPath(tmp_path / f"{side}-{len(peaks)}.zarr"),
            grid,
            variable="target",
            tile_yx=(256, 256),
            bands=BandAxis(1),
            nodata=math.nan,
            band_tags=[BandTags()],
            encoding=Encoding(),
            flag_attrs={},
        ) as writer:
            for row in range(0, side, 256):
                for col in range(0, side, 256):
                    part = Window(row, col, 256, 256)
                    values = np.random.default_rng(row + col).random((1, 256, 256)).astype(np.float32)
                    writer.values.write(part, values)
                    writer.flags.write(part, np.ones((1, 256, 256), np.uint8))
            writer.make({})
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    grown_by = (1536**2 - 512**2) * 5
    assert peaks[2] - peaks[1] < grown_by / 5


# who may write where


def test_what_is_there_is_replaced_only_if_asked_for_and_if_it_is_a_target(source: Path) -> None:
    store = source.parent / "a.zarr"

    def write(name: str = "a.zarr", **options: Any) -> None:
        mmsr_geo.upsample_to_file(source, SENTINEL_GUIDE, source.parent / name, **SMOOTH | options)

    write()
    first = stored(store).target.values
    with pytest.raises(mmsr_geo.OutputError, match=r"a\.zarr exists: choose another name, or pass overwrite=True"):
        write(method="nearest")
    assert np.array_equal(stored(store).target.values, first)
    write(method="nearest", overwrite=True)
    assert not np.array_equal(stored(store).target.values, first)
    (source.parent / "theirs.zarr").mkdir()
    (source.parent / "theirs.zarr" / "notes.txt").write_text("a year's work")
    (source.parent / "file.zarr").write_text("a year's work")
    zarr.create_group(source.parent / "group.zarr")
    for name in ("theirs.zarr", "file.zarr", "group.zarr"):
        with pytest.raises(mmsr_geo.OutputError, match="exists and was not written by mmsr_geo"):
            write(name, overwrite=True)
    with pytest.raises(mmsr_geo.OutputError, match="none does not exist: create it first"):
        write("none/a.zarr")
    assert (source.parent / "theirs.zarr" / "notes.txt").read_text() == "a year's work"
    assert {path.name for path in source.parent.iterdir()} == {
        "dem.tif",
        "a.zarr",
        "theirs.zarr",
        "file.zarr",
        "group.zarr",
    }


@pytest.mark.parametrize("at", ["make", "replace"])
def test_a_failure_leaves_what_was_there(source: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    store = source.parent / "a.zarr"
    mmsr_geo.upsample_to_file(source, SENTINEL_GUIDE, store, **SMOOTH)
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    replace = Path.replace

    def failing(*arguments: Any) -> Path:
        if at == "make" or arguments[0].name == "group":
            raise OSError(28, "No space left on device")
        return replace(*arguments)  # type: ignore[no-any-return]

    if at == "make":
        monkeypatch.setattr(zarr_module, "sync", failing)
    else:
        monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(mmsr_geo.OutputError, match=r"a.zarr cannot be written \(.*No space left"):
        mmsr_geo.upsample_to_file(source, SENTINEL_GUIDE, store, overwrite=True, **SMOOTH | {"method": "nearest"})
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before
    assert {path.name for path in source.parent.iterdir()} == {"dem.tif", "a.zarr"}


def test_what_does_not_go_with_a_store_is_refused(source: Path, here: Command) -> None:
    words = ["upsample", source, SENTINEL_GUIDE, "--method", "bicubic", "--progress", "none"]
    for more, said in (
        (["-o", "a.zarr", "--qa", "qa.tif"], "contains the QA flags as the variable qa: remove --qa"),
        (["-o", "a.tif", "--qa", "qa.zarr"], "QA flags need the target in the same one: give --qa"),
        (["-o", "a.zarr", "--co", "COMPRESS=ZSTD"], "takes no options of GDAL's COG driver: remove --co"),
    ):
        status, _, reported = here(*words, *more)
        assert (status, reported.count("\n")) == (2, 1)
        assert said in reported
    status, reported, _ = here(*words[:-2], "-o", "a.zarr", "--scale", 4)
    assert status == 0
    assert "a.zarr: 160 x 144 px" in reported
    assert opened("a.zarr").target.shape == (144, 160)


def test_a_missing_library_is_reported_before_any_work(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for found in ("2.18.7", None):

        def version(_: str, found: str | None = found) -> str:
            if found is None:
                raise PackageNotFoundError
            return found

        monkeypatch.setattr(placing, "version", version)
        with pytest.raises(
            mmsr_geo.OutputError,
            match=r"cannot be written without zarr 3: install it with pip install 'mmsr-geo\[zarr\]'",
        ):
            mmsr_geo.upsample_to_file(source, SENTINEL_GUIDE, source.parent / "a.zarr", **SMOOTH)


# jobs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pairs."""
    for number, date in enumerate(("2024-06", "2024-07", "2024-08")):
        sentinel_crop(8 * number, 0, 24, 26, 4).source.rio.to_raster(tmp_path / f"{date}_st.tif")
        (tmp_path / f"{date}_b1.tif").symlink_to(SENTINEL_GUIDE)
    (tmp_path / "job.toml").write_text(JOB)
    return tmp_path


def content(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_many_pairs_are_groups_of_one_store(folder: Path) -> None:
    assert mmsr_geo.batch(folder / "job.toml").count("done") == 3
    store = folder / "out" / "all.zarr"
    assert {path.name for path in (folder / "out").iterdir()} == {"all.zarr"}
    assert {name for name, _ in zarr.open_group(store, mode="r").groups()} == {"2024-06", "2024-07", "2024-08"}
    for name in ("2024-06", "2024-07", "2024-08"):
        alone = mmsr_geo.upsample(folder / f"{name}_st.tif", SENTINEL_GUIDE, **SMOOTH)
        found = opened(store, name)
        assert np.array_equal(found.target.values, alone.values)
        assert found.target.rio.transform() == alone.rio.transform()
        assert found.rio.crs == alone.rio.crs
    # Nothing is done again but what has changed.
    before = content(store)
    assert mmsr_geo.batch(folder / "job.toml").count("done") == 3
    assert content(store) == before
    sentinel_crop(60, 60, 24, 26, 4).source.rio.to_raster(folder / "2024-07_st.tif")
    assert mmsr_geo.batch(folder / "job.toml").count("done") == 3
    after = content(store)
    changed = {name for name in after if before.get(name) != after[name]}
    assert changed
    assert all(name.startswith("2024-07/") for name in changed)
    # A store cannot become a target itself, nor a target a store.
    with pytest.raises(mmsr_geo.OutputError, match="was not written by mmsr_geo"):
        mmsr_geo.upsample_to_file(folder / "2024-06_st.tif", SENTINEL_GUIDE, store, overwrite=True, **SMOOTH)
    mmsr_geo.upsample_to_file(folder / "2024-06_st.tif", SENTINEL_GUIDE, folder / "out" / "one.zarr", **SMOOTH)
    (folder / "job.toml").write_text(JOB.replace("all.zarr", "one.zarr"))
    with pytest.raises(mmsr_geo.JobError, match="is not a Zarr store of groups"):
        mmsr_geo.batch(folder / "job.toml", overwrite=True)


def test_a_store_with_the_pairs_name_in_its_own_is_the_pairs(folder: Path) -> None:
    (folder / "job.toml").write_text(JOB.replace("all.zarr", "{name}.zarr"))
    assert mmsr_geo.batch(folder / "job.toml").count("done") == 3
    assert {path.name for path in (folder / "out").iterdir()} == {f"2024-0{month}.zarr" for month in (6, 7, 8)}
    assert opened(folder / "out" / "2024-06.zarr").target.shape == (96, 104)


def test_a_jobs_mistakes_about_stores_are_reported_at_once(folder: Path) -> None:
    text = 'qa = "qa.zarr"\n' + JOB.replace("[options]", '[[pairs]]\nname = "__x"\nsource = "2024-06_st.tif"\n'
                                            'guide = "2024-06_b1.tif"\n[options]')  # fmt: skip
    (folder / "job.toml").write_text(text + 'creation_options = ["COMPRESS=ZSTD"]\n')
    with pytest.raises(mmsr_geo.JobError) as caught:
        mmsr_geo.status(folder / "job.toml")
    for said in (
        "has 3 mistakes",
        "qa: a Zarr store contains the QA flags",
        "options.creation_options: a Zarr store takes no options of GDAL's",
        "pairs: '__x' is not a valid group name",
    ):
        assert said in str(caught.value)
    (folder / "job.toml").write_text('qa = "{name}.zarr"\n' + JOB.replace("all.zarr", "{name}.tif"))
    with pytest.raises(mmsr_geo.JobError, match="qa: QA flags need the target in the same Zarr store"):
        mmsr_geo.status(folder / "job.toml")


def test_what_others_have_put_into_the_store_stays(folder: Path) -> None:
    theirs = folder / "out" / "all.zarr" / "2024-07"
    (folder / "out").mkdir()
    zarr.create_group(folder / "out" / "all.zarr")
    zarr.create_group(theirs)
    (folder / "job.toml").write_text('on_error = "skip"\n' + JOB)
    with pytest.warns(mmsr_geo.MmsrWarning, match="2024-07 exists and was not written by mmsr_geo"):
        reported = mmsr_geo.batch(folder / "job.toml", overwrite=True)
    assert (reported.count("done"), reported.count("failed")) == (2, 1)
    assert {path.name for path in theirs.iterdir()} == {"zarr.json"}


def test_a_skipped_tile_is_nodata_and_flagged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = TileTask.target

    def failing(task: TileTask, index: int, *arguments: Any, **options: Any) -> Any:
        if index == 4 and "2024-07" in task.spec.pairs[0].source.name:
            raise mmsr_geo.PixelError("nothing to see here")
        return target(task, index, *arguments, **options)

    monkeypatch.setattr(TileTask, "target", failing)
    (folder / "job.toml").write_text('on_error = "skip"\n' + JOB)
    with pytest.warns(mmsr_geo.MmsrWarning, match="1 tile failed"):
        reported = mmsr_geo.batch(folder / "job.toml")
    assert (reported.count("done"), reported.count("incomplete")) == (2, 1)
    found = opened(folder / "out" / "all.zarr", "2024-07")
    failed = (found.qa.values & Flag.FAILED) > 0
    assert failed.sum() == 48 * 48
    assert (np.isnan(found.target.values) == failed).all()
    assert found.attrs["MMSR_GEO_FAILED_TILES"] == "1:4"


KILLED = """
import os, signal, sys
import mmsr_geo
from mmsr_geo.raster.write import zarr_arrays
zarr_arrays.SHARD_PX = 48
moment = sys.argv[1]
def progress(entry, done, total):
    def report(stage, at, of):
        if entry.name == "2024-07" and stage == "write" and moment == "fill" and at == 2:
            os.kill(os.getpid(), signal.SIGKILL)
    return report
if moment != "fill":
    from mmsr_geo.raster.write import staged
    publish = staged._StagedFolder.publish
    def killed(folder, draft, *, keep):
        if "2024-07" in str(folder._at):
            if moment == "after":
                publish(folder, draft, keep=keep)
            os.kill(os.getpid(), signal.SIGKILL)
        publish(folder, draft, keep=keep)
    staged._StagedFolder.publish = killed
mmsr_geo.batch("job.toml", progress=progress)
"""


@pytest.mark.parametrize("moment", ["fill", "before", "after"])
def test_a_kill_while_a_store_is_made_leaves_none_that_seems_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", KILLED, moment], cwd=folder, env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    store = folder / "out" / "all.zarr"
    assert (store / "2024-07" / "zarr.json").exists() is (moment == "after")
    reported = mmsr_geo.status(folder / "job.toml")
    assert [(pair.state, pair.tiles_done) for pair in reported.pairs] == [("done", 0), ("begun", 6), ("waiting", 0)]
    first = content(store / "2024-06")

    def forbidden(task: TileTask, *arguments: Any, **options: Any) -> Any:
        assert "2024-07" not in task.spec.pairs[0].source.name
        return target(task, *arguments, **options)

    target = TileTask.target
    monkeypatch.setattr(TileTask, "target", forbidden)
    assert mmsr_geo.batch(folder / "job.toml").count("done") == 3
    assert content(store / "2024-06") == first
    alone = mmsr_geo.upsample(folder / "2024-07_st.tif", SENTINEL_GUIDE, **SMOOTH)
    assert np.array_equal(opened(store, "2024-07").target.values, alone.values)
    assert not (folder / "job.work").exists()


def test_a_damaged_tile_is_computed_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: Counter[tuple[str, int]] = Counter()
    target = TileTask.target

    def damaging(task: TileTask, index: int, *arguments: Any, **options: Any) -> Any:
        made = target(task, index, *arguments, **options)
        name = Path(task.spec.pairs[0].source.name).name
        computed[name, index] += 1
        if index == 2 and computed[name, index] == 1:
            task.store.put(made.name, (task.store.get(made.name) or b"")[:-50])
        return made

    monkeypatch.setattr(TileTask, "target", damaging)
    with pytest.warns(mmsr_geo.MmsrWarning, match="tile 2 of .*2024-06 is damaged"):
        assert mmsr_geo.batch(folder / "job.toml").count("done") == 3
    assert {key for key, count in computed.items() if count > 1} == {
        (f"2024-0{month}_st.tif", 2) for month in (6, 7, 8)
    }
    alone = mmsr_geo.upsample(folder / "2024-06_st.tif", SENTINEL_GUIDE, **SMOOTH)
    assert np.array_equal(opened(folder / "out" / "all.zarr", "2024-06").target.values, alone.values)


def test_what_was_not_written_as_computed_does_not_appear(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Variable.write

    def wrongly(variable: Variable, window: Window, values: NDArray[Any], *rest: Any) -> None:
        write(variable, window, np.where(values == values.max(), values.min(), values), *rest)

    monkeypatch.setattr(Variable, "write", wrongly)
    with pytest.raises(mmsr_geo.OutputError, match="differs from what was computed"):
        mmsr_geo.upsample_to_file(source, SENTINEL_GUIDE, source.parent / "a.zarr", **SMOOTH)
    assert {path.name for path in source.parent.iterdir()} == {"dem.tif"}


def test_what_ends_in_zarr_is_a_store(tmp_path: Path) -> None:
    assert address_of("a.zarr") == ZarrGroupPath(Path("a.zarr"))
    assert address_of("a.zarr/", tmp_path, "x") == ZarrGroupPath(tmp_path / "a.zarr", "x")
    assert address_of("a.tif", tmp_path, "x") == tmp_path / "a.tif"
    place = address_of("memory://b/a.zarr/", tmp_path, "x")
    assert (str(place), place.name) == ("memory://b/a.zarr/x", "a.zarr/x")
