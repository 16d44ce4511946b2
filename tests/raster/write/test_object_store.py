"""Outputs, waiting tiles and inputs in an object store: a real server on loopback, kills, and what it refuses."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import rasterio
import s3fs
import xarray as xr

import mmsr_geo
from mmsr_geo.jobs.output.tasks import TileTask
from mmsr_geo.jobs.tiles.tile_store import FolderStore, ObjectStore, TileRecord, store_at
from mmsr_geo.raster.write.destination import address_of, check_apart
from mmsr_geo.raster.write.object_store import ObjectUrl
from support.command import CommandResult
from support.object_store import forget_connections, object_store
from support.rasters import SENTINEL_GUIDE, sentinel_crop, sentinel_model

pytestmark = pytest.mark.slow

Command = Callable[..., CommandResult]
SMOOTH: dict[str, Any] = {"scale": 4, "method": "bilinear", "tile_size": 48}
JOB = """output = "OUT/{name}.tif"
qa = "OUT/{name}_qa.tif"
work = "WORK"
[[pairs]]
source = "{key}_st.tif"
guide = "{key}_b*.tif"
[options]
scale = 4
method = "bilinear"
tile_size = 48
"""


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with object_store() as settings:
        yield settings


@pytest.fixture
def bucket(server: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """An empty bucket, and the settings that lead to it."""
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    forget_connections()
    name = tmp_path.name.replace("_", "-")[-40:].strip("-") + "x"
    files = fsspec.filesystem("s3")
    files.mkdir(name)
    return f"s3://{name}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pairs."""
    for number, date in enumerate(("2024-06", "2024-07")):
        sentinel_crop(8 * number, 0, 24, 26, 4).source.rio.to_raster(tmp_path / f"{date}_st.tif")
        (tmp_path / f"{date}_b1.tif").symlink_to(SENTINEL_GUIDE)
    return tmp_path


def job(folder: Path, output: str, work: str, text: str = JOB) -> Path:
    path = folder / "job.toml"
    path.write_text(text.replace("OUT", output).replace("WORK", work))
    return path


def values(url: str) -> np.ndarray:
    """Read a raster there through GDAL."""
    with rasterio.open(url) as dataset:
        return np.asarray(dataset.read(1))


def alone(folder: Path, name: str) -> np.ndarray:
    made = mmsr_geo.upsample(folder / f"{name}_st.tif", SENTINEL_GUIDE, **SMOOTH)
    return np.asarray(made.values)


def tile(index: int, size: int = 3) -> TileRecord:
    return TileRecord("target", 1, index, "d", "q", size)


# a store of tiles


def test_a_tile_is_one_upload_and_its_line_another(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_at(f"{bucket}/work")
    assert isinstance(store, ObjectStore)
    uploads: list[str] = []
    put = s3fs.S3FileSystem._pipe_file

    async def counted(files: Any, path: str, *arguments: Any, **options: Any) -> Any:
        uploads.append(path.partition("/work/")[2])
        return await put(files, path, *arguments, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_pipe_file", counted)
    assert store.records() == {}
    store.put_tile(tile(0), b"abc")
    assert uploads == ["target-1/0000/0000000.tif", "manifest/target-1/0000/0000000.tif.json"]
    store.record([tile(0)])
    for index in range(1, 12):
        store.put_tile(tile(index), b"abc")
    assert store.records() == {("target", 1, index): tile(index) for index in range(12)}
    assert store.get("none") is None
    sent = pickle.loads(pickle.dumps(store))  # noqa: S301  (as it is sent to workers)
    assert sent.get(tile(3).name) == b"abc"
    store.remove()
    assert ObjectUrl(bucket).sizes() == {}
    store.remove()


def test_a_tile_without_its_line_or_cut_off_is_not_there(bucket: str) -> None:
    store = store_at(f"{bucket}/work")
    store.put_tile(tile(0), b"abc")
    store.put(tile(1).name, b"abc")  # a client that died between the two
    store.put_tile(tile(2, size=4), b"abc")
    store.put("manifest/target-1/0000/0000003.tif.json", tile(3).line.encode())
    store.put("manifest/target-1/0000/0000004.tif.json", tile(4).line.encode()[:20])
    assert set(store.records()) == {("target", 1, 0)}


def test_one_jobs_objects_are_not_anothers(bucket: str) -> None:
    store_at(f"{bucket}/work").put_tile(tile(0), b"abc")
    store_at(f"{bucket}/work2").put_tile(tile(1), b"abc")
    assert set(store_at(f"{bucket}/work").records()) == {("target", 1, 0)}
    store_at(f"{bucket}/work").remove()
    assert set(store_at(f"{bucket}/work2").records()) == {("target", 1, 1)}


def test_a_path_is_a_folder(tmp_path: Path) -> None:
    assert store_at(tmp_path) == FolderStore(tmp_path)


# jobs


def test_a_job_whose_outputs_and_tiles_are_objects(bucket: str, folder: Path) -> None:
    path = job(folder, f"{bucket}/out", f"{bucket}/work")
    assert mmsr_geo.batch(path).count("done") == 2
    assert set(ObjectUrl(bucket).sizes()) == {
        f"out/2024-0{month}{end}" for month in (6, 7) for end in (".tif", "_qa.tif")
    }
    for name in ("2024-06", "2024-07"):
        assert np.array_equal(values(f"{bucket}/out/{name}.tif"), alone(folder, name))
        assert values(f"{bucket}/out/{name}_qa.tif").shape == (96, 104)

    # Done once; what has gone or what it is made of has changed is done again.
    files = fsspec.filesystem("s3")
    before = {name: files.info(f"{bucket}/{name}")["LastModified"] for name in ObjectUrl(bucket).sizes()}
    assert mmsr_geo.batch(path).count("done") == 2
    (ObjectUrl(bucket) / "out/2024-07_qa.tif").remove()
    assert [pair.state for pair in mmsr_geo.status(path).pairs] == ["done", "waiting"]
    assert mmsr_geo.batch(path).count("done") == 2
    after = {name: files.info(f"{bucket}/{name}")["LastModified"] for name in ObjectUrl(bucket).sizes()}
    assert before.keys() == after.keys()
    assert after["out/2024-06.tif"] == before["out/2024-06.tif"]
    assert mmsr_geo.batch(path, restart=True).count("done") == 2


def test_what_others_have_put_there_stays(bucket: str, folder: Path) -> None:
    theirs = ObjectUrl(bucket) / "out/2024-06.tif"
    theirs.write(b"a year's work")
    path = job(folder, f"{bucket}/out", f"{bucket}/work")
    for _ in range(2):
        with pytest.raises(
            mmsr_geo.JobError, match=r"2024-06\.tif exists: choose another name, or pass overwrite=True"
        ):
            mmsr_geo.batch(path)
        assert theirs.read() == b"a year's work"
    assert mmsr_geo.batch(path, overwrite=True).count("done") == 2
    assert np.array_equal(values(str(theirs)), alone(folder, "2024-06"))


KILLED = """
import os, signal, sys
import mmsr_geo
from mmsr_geo.jobs.tiles import tile_store
from mmsr_geo.raster.write import object_store
moment = sys.argv[1]
def die():
    os.kill(os.getpid(), signal.SIGKILL)
if moment == "between":
    put = tile_store.ObjectStore.put
    def killed(self, name, content):
        if "0000003.tif.json" in name and "2024-07" in str(self.place):
            die()
        put(self, name, content)
    tile_store.ObjectStore.put = killed
if moment == "cog":
    upload = object_store.ObjectUrl.upload
    def killed(self, file):
        if "2024-07_qa" in str(self):
            die()
        upload(self, file)
    object_store.ObjectUrl.upload = killed
if moment == "zarr":
    each = object_store.ObjectUrl.upload_each
    def killed(self, files):
        some = dict(list(files.items())[:5])
        each(self, some if "2024-07" in str(self) else files)
        if "2024-07" in str(self):
            die()
    object_store.ObjectUrl.upload_each = killed
mmsr_geo.batch("job.toml")
"""


def killed_at(moment: str, folder: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, moment], cwd=folder, env=environment, check=False, timeout=200
    )
    assert killed.returncode == -signal.SIGKILL


@pytest.mark.faults
@pytest.mark.parametrize(("moment", "kept"), [("between", 3), ("cog", 6)])
def test_a_killed_job_goes_on_from_the_tiles_there_are(
    bucket: str, folder: Path, monkeypatch: pytest.MonkeyPatch, moment: str, kept: int
) -> None:
    path = job(folder, f"{bucket}/out", f"{bucket}/work")
    killed_at(moment, folder)
    reported = mmsr_geo.status(path)
    assert [(pair.state, pair.tiles_done) for pair in reported.pairs] == [("done", 0), ("begun", kept)]
    computed: Counter[int] = Counter()
    target = TileTask.target

    def counted(task: TileTask, index: int, *arguments: Any, **options: Any) -> Any:
        computed[index] += 1
        return target(task, index, *arguments, **options)

    monkeypatch.setattr(TileTask, "target", counted)
    assert mmsr_geo.batch(path).count("done") == 2
    assert computed == Counter(range(kept, 6))
    assert np.array_equal(values(f"{bucket}/out/2024-07.tif"), alone(folder, "2024-07"))
    assert not [name for name in ObjectUrl(bucket).sizes() if name.startswith("work")]


def test_a_zarr_store_of_objects_is_whole_or_no_group(bucket: str, folder: Path) -> None:
    text = JOB.replace('qa = "OUT/{name}_qa.tif"\n', "").replace("OUT/{name}.tif", "OUT/all.zarr")
    path = job(folder, f"{bucket}/out", f"{bucket}/work", text)
    killed_at("zarr", folder)
    store = ObjectUrl(f"{bucket}/out/all.zarr")
    assert (store / "2024-06").sizes()
    assert (store / "2024-07").sizes()
    assert not (store / "2024-07/zarr.json").exists()
    assert [pair.state for pair in mmsr_geo.status(path).pairs] == ["done", "begun"]
    assert mmsr_geo.batch(path).count("done") == 2
    for name in ("2024-06", "2024-07"):
        with xr.open_zarr(f"{store}/{name}", chunks=None) as found:
            assert np.array_equal(found.target.values, alone(folder, name))
            assert found.target.rio.crs == "EPSG:32618"
            assert found.qa.shape == (96, 104)
    assert ".mmsr_geo-unfinished" not in (store / "2024-07").sizes()


@pytest.mark.parametrize("output", ["{name}.tif", "all.zarr"])
def test_an_uncertainty_goes_there_too(bucket: str, tmp_path: Path, output: str) -> None:
    sentinel_crop(90, 60, 36, 30, 2).source.rio.to_raster(tmp_path / "2024-06_st.tif")
    (tmp_path / "2024-06_b1.tif").symlink_to(SENTINEL_GUIDE)
    model = sentinel_model(2)
    model.save(tmp_path / "scene.mmsr")
    pairs = JOB.partition("[[pairs]]")[2].partition("[options]")[0]
    options = 'model = "scene.mmsr"\nkeep_statistics = true\nuncertainty = true\ntile_size = 48\nthreads = 1\n'
    text = f'output = "OUT/{output}"\nwork = "WORK"\n[[pairs]]{pairs}[options]\n{options}'
    assert mmsr_geo.batch(job(tmp_path, f"{bucket}/out", f"{bucket}/work", text)).count("done") == 1
    given: dict[str, Any] = {"model": model, "keep_statistics": True, "uncertainty": True, "tile_size": 48}
    made = mmsr_geo.upsample(tmp_path / "2024-06_st.tif", SENTINEL_GUIDE, **given).compute(scheduler="synchronous")
    if output == "all.zarr":
        with xr.open_zarr(f"{bucket}/out/all.zarr/2024-06", chunks=None) as found:
            target, half = found.target.values, found.target_uncertainty.values
    else:
        with rasterio.open(f"{bucket}/out/2024-06.tif") as dataset:
            target, half = dataset.read()
    assert np.array_equal(target, made.values)
    assert np.array_equal(half, made.uncertainty.values)
    assert (half > 0).all()


@pytest.mark.parametrize("name", ["sharp.tif", "sharp.zarr"])
def test_one_output_there(bucket: str, folder: Path, name: str, here: Command) -> None:
    words = ["upsample", folder / "2024-06_st.tif", SENTINEL_GUIDE, "-o", f"{bucket}/{name}", "--scale", 4]
    words += ["--progress", "none"]
    assert here(*words, "--method", "bilinear")[0] == 0
    before = ObjectUrl(bucket).sizes()
    status, _, reported = here(*words, "--method", "nearest")
    assert (status, reported.count("\n")) == (2, 1)
    assert f"{name} exists: choose another name, or pass --overwrite" in reported
    assert ObjectUrl(bucket).sizes() == before
    assert here(*words, "--method", "nearest", "--overwrite")[0] == 0
    after = ObjectUrl(bucket).sizes()
    assert after != before
    # What an upload that was cut off has left is no output; what is not ours is not replaced.
    if name == "sharp.zarr":
        (ObjectUrl(bucket) / name / "zarr.json").remove()
        status, _, reported = here(*words, "--method", "nearest", "--overwrite")
        assert (status, "exists and was not written by mmsr_geo" in reported) == (2, True)
        (ObjectUrl(bucket) / name / ".mmsr_geo-unfinished").write(b"")
        assert here(*words, "--method", "nearest")[0] == 0
        assert ObjectUrl(bucket).sizes().keys() == after.keys()


def test_neither_appears_where_the_second_fails(bucket: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, flags = ObjectUrl(f"{bucket}/sharp.tif"), ObjectUrl(f"{bucket}/qa.tif")
    upload = ObjectUrl.upload

    def failing(url: ObjectUrl, file: Path) -> None:
        upload(url, file)
        if url == flags:
            raise OSError(5, "the line is dead")

    def write() -> None:
        with pytest.raises(mmsr_geo.OutputError, match=r"qa\.tif cannot be written"):
            mmsr_geo.upsample_to_file(
                folder / "2024-06_st.tif", SENTINEL_GUIDE, str(target), qa=str(flags), overwrite=True, **SMOOTH
            )

    with monkeypatch.context() as patch:
        patch.setattr(ObjectUrl, "upload", failing)
        write()
        assert ObjectUrl(bucket).sizes() == {}
        target.write(b"mine")
        flags.write(b"mine too")
        write()
    assert (target.read(), flags.read()) == (b"mine", b"mine too")
    assert set(ObjectUrl(bucket).sizes()) == {"sharp.tif", "qa.tif"}


def test_a_failed_upload_leaves_what_was_there(bucket: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(name: str, **options: Any) -> None:
        mmsr_geo.upsample_to_file(
            folder / "2024-06_st.tif", SENTINEL_GUIDE, f"{bucket}/{name}", overwrite=True, **SMOOTH | options
        )

    for name in ("a.tif", "a.zarr"):
        write(name)
    before = {name: (ObjectUrl(bucket) / name).read() for name in ObjectUrl(bucket).sizes()}
    put, pipe = s3fs.S3FileSystem._put_file, s3fs.S3FileSystem._pipe_file

    async def failing(files: Any, first: str, second: Any, *arguments: Any, **options: Any) -> None:
        if "a.tif" in str(second) or first.endswith("unfinished"):
            raise OSError(5, "the line is dead")
        upload = pipe if isinstance(second, bytes) else put
        await upload(files, first, second, *arguments, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_put_file", failing)
    monkeypatch.setattr(s3fs.S3FileSystem, "_pipe_file", failing)
    forget_connections()  # they have taken the methods as they were
    for name in ("a.tif", "a.zarr"):
        with pytest.raises(mmsr_geo.OutputError, match="the line is dead"):
            write(name, method="nearest")
    assert {name: (ObjectUrl(bucket) / name).read() for name in ObjectUrl(bucket).sizes()} == before


def cut_off(file: str) -> str:
    cut = Path(file).with_suffix(".cut")
    cut.write_bytes(Path(file).read_bytes()[:-10])
    return str(cut)


def test_an_upload_that_was_cut_short_is_reported(bucket: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put = s3fs.S3FileSystem._put_file

    async def short(files: Any, lpath: str, rpath: str, *arguments: Any, **options: Any) -> None:
        await put(files, cut_off(lpath), rpath, *arguments, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_put_file", short)
    for name, said in (("a.tif", "of [0-9]+ bytes arrived"), ("a.zarr", "objects did not arrive completely")):
        with pytest.raises(mmsr_geo.OutputError, match=said):
            mmsr_geo.upsample_to_file(folder / "2024-06_st.tif", SENTINEL_GUIDE, f"{bucket}/{name}", **SMOOTH)
    assert ObjectUrl(bucket).sizes() == {}


# what is refused, in one line and before anything is computed


@pytest.fixture
def _nothing_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(TileTask, "target", forbidden)


@pytest.mark.parametrize("name", ["sharp.tif", "sharp.zarr"])
@pytest.mark.usefixtures("_nothing_computed", "bucket")
def test_a_bucket_there_is_not(folder: Path, here: Command, name: str) -> None:
    words = ["upsample", folder / "2024-06_st.tif", SENTINEL_GUIDE, "-o", f"s3://none-of-these/{name}", "--scale", 4]
    status, _, reported = here(*words, "--method", "bilinear", "--progress", "none")
    assert (status, reported.count("\n")) == (2, 1)
    assert (
        f"s3://none-of-these/{name} cannot be reached or written to (The specified bucket does not exist)" in reported
    )


@pytest.mark.usefixtures("_nothing_computed")
def test_a_place_for_tiles_that_there_is_not(bucket: str, folder: Path, here: Command) -> None:
    job(folder, f"{bucket}/out", "s3://none-of-these/work")
    status, _, reported = here("batch", "job.toml", "--progress", "none")
    assert (status, reported.count("\n")) == (2, 1)
    assert "cannot be reached or written to (The specified bucket does not exist)" in reported


@pytest.mark.usefixtures("_nothing_computed")
def test_credentials_that_are_not_taken(folder: Path, here: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with object_store(knows_us=False) as settings:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        forget_connections()
        words = ["upsample", folder / "2024-06_st.tif", SENTINEL_GUIDE, "-o", "s3://a/b.tif", "--scale", 4]
        status, _, reported = here(*words, "--progress", "none")
        assert (status, reported.count("\n")) == (2, 1)
        assert "s3://a/b.tif cannot be reached or written to (" in reported
    forget_connections()


@pytest.mark.usefixtures("_nothing_computed", "bucket")
def test_a_server_that_does_not_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    forget_connections()
    with pytest.raises(mmsr_geo.OutputError, match=r"cannot be reached or written to .*Could not connect"):
        mmsr_geo.upsample_to_file(folder / "2024-06_st.tif", SENTINEL_GUIDE, "s3://a/b.tif", **SMOOTH)
    forget_connections()


# inputs, and names


def test_inputs_there_are_read_by_gdal(bucket: str, folder: Path) -> None:
    (ObjectUrl(bucket) / "dem.tif").upload(folder / "2024-06_st.tif")
    (ObjectUrl(bucket) / "ortho.tif").upload(SENTINEL_GUIDE)
    name = bucket.removeprefix("s3://")
    (folder / "job.toml").write_text(
        f'output = "{bucket}/all.zarr"\n[[pairs]]\nsource = "{bucket}/dem.tif"\nguide = "/vsis3/{name}/ortho.tif"\n'
        '[options]\nscale = 4\nmethod = "bilinear"\ntile_size = 48\n'
    )
    assert mmsr_geo.batch(folder / "job.toml").count("done") == 1
    with xr.open_zarr(f"{bucket}/all.zarr/dem", chunks=None) as found:
        assert np.array_equal(found.target.values, alone(folder, "2024-06"))


def test_an_output_that_is_an_input_is_refused_by_either_name() -> None:
    with pytest.raises(mmsr_geo.OutputError, match=r"is also an input \(/vsis3/a/b\.tif\), which would be lost"):
        check_apart([address_of("s3://a/b.tif")], ["/vsis3/a/b.tif", None])


def test_urls_are_no_paths_from_the_jobs_folder(tmp_path: Path) -> None:
    assert address_of("s3://a/{name}.tif", tmp_path) == ObjectUrl("s3://a/{name}.tif")
    assert (ObjectUrl("s3://a/b.tif").name, str(ObjectUrl("s3://a/") / "b")) == ("b.tif", "s3://a/b")
