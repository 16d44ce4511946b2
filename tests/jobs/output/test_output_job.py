"""Tiles as tasks: tiles that are kept, reused, computed again, skipped; shared models; all in this process."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import xarray as xr
from rasterio.vrt import WarpedVRT

import mmsr_geo
from mmsr_geo import api as batching
from mmsr_geo.jobs.executors.base import Task, TaskResult
from mmsr_geo.jobs.job import Job
from mmsr_geo.jobs.output import assemble as finishing
from mmsr_geo.jobs.output.output_job import TaskKey
from mmsr_geo.jobs.output.tasks import TileTask
from mmsr_geo.jobs.tiles.tile_file import DamagedTileError, TilePixels
from mmsr_geo.jobs.tiles.tile_store import FolderStore, TileRecord
from mmsr_geo.network.fit import fit_samples
from mmsr_geo.raster.read.files import FileRaster
from support.command import CommandResult
from support.rasters import SENTINEL_GUIDE, sentinel_crop, sentinel_model

pytestmark = pytest.mark.slow

Command = Callable[..., CommandResult]
ONE = 'output = "o.tif"\nqa = "o_qa.tif"\n[[pairs]]\nsource = "s.tif"\nguide = "g.tif"\n'
OPTIONS = '[options]\nscale = 4\nmethod = "bicubic+consistency"\ntile_size = 24\n'
TILES = 9  # 64 x 72 target pixels, in tiles of 24 x 24


class Stopped(BaseException):
    """The process ends here, as far as one process can play it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sentinel_crop(0, 0, 16, 18, 4).source.rio.to_raster(tmp_path / "s.tif")
    shutil.copy(SENTINEL_GUIDE, tmp_path / "g.tif")
    return tmp_path


def job(folder: Path, text: str = ONE + OPTIONS) -> Path:
    path = folder / "job.toml"
    path.write_text(text)
    return path


def values(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return np.asarray(dataset.read())


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The tiles that are computed, in their order."""
    reported: list[tuple[str, int]] = []
    for stage in ("target", "predict"):
        before = getattr(TileTask, stage)

        def counted(
            task: TileTask, index: int, *rest: Any, _before: Any = before, _stage: str = stage, **kw: Any
        ) -> TileRecord:
            reported.append((_stage, index))
            made: TileRecord = _before(task, index, *rest, **kw)
            return made

        monkeypatch.setattr(TileTask, stage, counted)
    return reported


def failing_at(monkeypatch: pytest.MonkeyPatch, index: int, error: BaseException, stage: str = "target") -> None:
    before = getattr(TileTask, stage)

    def fail(task: TileTask, which: int, *rest: Any, **kw: Any) -> TileRecord:
        if which == index:
            raise error
        made: TileRecord = before(task, which, *rest, **kw)
        return made

    monkeypatch.setattr(TileTask, stage, fail)


def stopped_at(monkeypatch: pytest.MonkeyPatch, path: Path, index: int, stage: str = "target") -> None:
    with monkeypatch.context() as patch:
        failing_at(patch, index, Stopped(), stage)
        with pytest.raises(Stopped):
            mmsr_geo.batch(path)


def tile_files(folder: Path) -> list[Path]:
    return sorted((folder / "job.work").rglob("*.tif"))


def test_a_job_goes_on_tile_by_tile(
    folder: Path, computed: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = job(folder)
    stopped_at(monkeypatch, path, 7)
    assert [index for _, index in computed] == list(range(7))
    assert len(tile_files(folder)) == 7
    (pair,) = mmsr_geo.status(path).pairs
    assert (pair.state, pair.tiles_done, pair.tiles) == ("begun", 7, TILES)
    assert not (folder / "o.tif").exists()
    computed.clear()
    assert mmsr_geo.batch(path).count("done") == 1
    assert [index for _, index in computed] == list(range(7, TILES))
    assert not (folder / "job.work").exists()
    alone = mmsr_geo.upsample(folder / "s.tif", folder / "g.tif", 4, method="bicubic+consistency", qa=True)
    assert (values(folder / "o.tif")[0] == alone.values).all()
    assert (values(folder / "o_qa.tif")[0] == alone.qa.values).all()


def test_a_resumed_job_keeps_its_tile_size_and_its_model(
    folder: Path, computed: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = ONE + '[options]\nscale = 4\nsteps = 3\nthreads = 1\nif_unhelpful = "warn"\ntile_size = 24\n'
    path = job(folder, text)
    stopped_at(monkeypatch, path, 5)
    model = next((folder / "job.work").rglob("model-1.mmsr")).read_bytes()
    fits: list[object] = []

    def counted(*arguments: Any, **options: Any) -> mmsr_geo.FittedModel:
        fits.append(arguments)
        return fit_samples(*arguments, **options)

    monkeypatch.setattr("mmsr_geo.methods.scene.fit_samples", counted)
    computed.clear()
    assert mmsr_geo.batch(path).count("done") == 1
    assert not fits
    assert len(computed) == TILES - 5
    with rasterio.open(folder / "o.tif") as dataset:
        digest = dataset.tags()["MMSR_GEO_MODEL"]
    (folder / "model.mmsr").write_bytes(model)
    assert mmsr_geo.load(folder / "model.mmsr").digest == digest
    again = mmsr_geo.upsample(folder / "s.tif", folder / "g.tif", model=folder / "model.mmsr", if_unhelpful="warn")
    assert np.abs(values(folder / "o.tif")[0] - again.values).max() < 1e-3 * float(again.std())


@pytest.mark.parametrize("fit", ["tile", "adapt"])
def test_a_blended_job_goes_on_from_its_predictions(
    folder: Path, computed: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch, fit: str
) -> None:
    options = f'[options]\nscale = 4\nfit = "{fit}"\nsteps = 2\nthreads = 1\ntile_size = 40\nif_unhelpful = "warn"\n'
    path = job(folder, ONE + options)
    stopped_at(monkeypatch, path, 2, "predict")
    assert computed == [("predict", 0), ("predict", 1)]
    stopped_at(monkeypatch, path, 3)
    assert computed == [
        ("predict", 0),
        ("predict", 1),
        ("predict", 2),
        ("predict", 3),
        ("target", 0),
        ("target", 1),
        ("target", 2),
    ]
    assert mmsr_geo.batch(path).count("done") == 1
    assert computed[7:] == [("target", 3)]
    whole = values(folder / "o.tif")
    assert mmsr_geo.batch(path, restart=True).count("done") == 1
    assert (values(folder / "o.tif") == whole).all()


def test_a_damaged_tile_is_reported_and_computed_again(
    folder: Path, computed: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = job(folder)
    stopped_at(monkeypatch, path, 7)
    cut, flipped, gone = tile_files(folder)[2:5]
    cut.write_bytes(cut.read_bytes()[:-7])
    content = bytearray(flipped.read_bytes())
    content[-3] ^= 0xFF
    flipped.write_bytes(content)
    gone.unlink()
    computed.clear()
    with pytest.warns(mmsr_geo.MmsrWarning, match=r"the file of tile 3 is damaged .*: the tile is computed again"):
        assert mmsr_geo.batch(path).count("done") == 1
    assert sorted(index for _, index in computed) == [2, 3, 4, 7, 8]
    alone = mmsr_geo.upsample(folder / "s.tif", folder / "g.tif", 4, method="bicubic+consistency")
    assert (values(folder / "o.tif")[0] == alone.values).all()


def test_a_tile_that_is_damaged_before_it_is_written_is_found(
    folder: Path, computed: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk gives back other pixels than it was given, after the tile was made and looked at."""
    record = FolderStore.record

    def spoil(store: FolderStore, made: list[TileRecord]) -> None:
        record(store, made)
        for each in made:
            if each.index == 4 and len(computed) < TILES:
                other = TilePixels(np.full((24, 24), 7, np.float32), np.zeros((24, 24), np.uint8))
                (store.folder / each.name).write_bytes(other.encoded())

    monkeypatch.setattr(FolderStore, "record", spoil)
    with pytest.warns(mmsr_geo.MmsrWarning, match=r"the file of tile 4 of .*o\.tif is damaged"):
        assert mmsr_geo.batch(job(folder)).count("done") == 1
    assert [index for _, index in computed].count(4) == 2
    alone = mmsr_geo.upsample(folder / "s.tif", folder / "g.tif", 4, method="bicubic+consistency")
    assert (values(folder / "o.tif")[0] == alone.values).all()


def test_tiles_of_other_inputs_or_options_are_never_mixed_in(
    folder: Path, computed: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = job(folder)
    stopped_at(monkeypatch, path, 6)
    sentinel_crop(30, 40, 16, 18, 4).source.rio.to_raster(folder / "s.tif")
    computed.clear()
    stopped_at(monkeypatch, path, 8)
    assert len(computed) == 8
    job(folder, ONE + OPTIONS.replace("bicubic", "bilinear"))
    computed.clear()
    assert mmsr_geo.batch(path).count("done") == 1
    assert len(computed) == TILES
    alone = mmsr_geo.upsample(folder / "s.tif", folder / "g.tif", 4, method="bilinear+consistency")
    assert (values(folder / "o.tif")[0] == alone.values).all()


@pytest.mark.parametrize("what", ["gone", "changed"])
def test_an_input_that_changes_half_way_stops_the_pair_and_what_is_done_stays(
    folder: Path, computed: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    path, guide = job(folder, (ONE + OPTIONS).replace("bicubic+", "guided-filter+")), folder / "g.tif"
    read = FileRaster.read
    reads: list[int] = []

    def counted(raster: FileRaster, window: Any) -> Any:
        reads.append(1)
        if len(computed) == 5 and guide.exists() and not (folder / "away.tif").exists():
            guide.rename(folder / "away.tif")
            if what == "changed":
                shutil.copy(folder / "away.tif", guide)
        return read(raster, window)

    monkeypatch.setattr(FileRaster, "read", counted)
    with pytest.raises(mmsr_geo.JobError, match=r"g\.tif (has changed|was removed) since it was opened: restore it"):
        mmsr_geo.batch(path)
    assert len(tile_files(folder)) == 4
    (folder / "away.tif").replace(guide)  # with its time of change: the same file
    assert reads
    monkeypatch.setattr(FileRaster, "read", read)
    computed.clear()
    assert mmsr_geo.batch(path).count("done") == 1
    assert len(computed) == TILES - 4


def test_a_full_disk_is_reported_and_nothing_is_lost(
    folder: Path, computed: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = job(folder)
    fsync = os.fsync
    full = True

    def no_room(handle: int) -> None:
        if full and len(computed) > 5 and ".tif" in str(Path(f"/proc/self/fd/{handle}").readlink()):
            raise OSError(28, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(
        mmsr_geo.JobError, match=r"tiles cannot be written to .* \(No space left on device\): free disk space"
    ):
        mmsr_geo.batch(path)
    assert len(tile_files(folder)) == 5
    assert not list((folder / "job.work").rglob("*.part"))
    full = False
    computed.clear()
    assert mmsr_geo.batch(path).count("done") == 1
    assert len(computed) == TILES - 5


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_closed_output_folder_is_reported_before_anything_is_computed(folder: Path, computed: list[Any]) -> None:
    (folder / "closed").mkdir(mode=0o500)
    with pytest.raises(mmsr_geo.JobError, match="cannot be written to"):
        mmsr_geo.batch(job(folder, (ONE + OPTIONS).replace('"o', '"closed/o')))
    assert not computed


def test_a_tile_that_fails_stops_the_job_or_becomes_nodata(
    folder: Path, here: Command, computed: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = job(folder)
    with monkeypatch.context() as patch:
        failing_at(patch, 4, mmsr_geo.InputError("g.tif failed to be read at row 0: fetch it again"))
        with pytest.raises(mmsr_geo.JobError, match=r"s: g\.tif failed to be read"):
            mmsr_geo.batch(path)
        assert not (folder / "o.tif").exists()
        job(folder, 'on_error = "skip"\n' + ONE + OPTIONS)
        status, reported, _ = here("batch", "job.toml")
        assert status == 1
        assert "incomplete" in reported
    made, flags = values(folder / "o.tif")[0], values(folder / "o_qa.tif")[0]
    missing = np.zeros((64, 72), bool)
    missing[24:48, 24:48] = True  # tile 4 of 3 x 3 columns
    assert (np.isnan(made) == missing).all()
    assert ((flags & mmsr_geo.Flag.FAILED > 0) == missing).all()
    with rasterio.open(folder / "o.tif") as dataset:
        assert dataset.tags()["MMSR_GEO_FAILED_TILES"] == "1:4"
    (pair,) = mmsr_geo.status(path).pairs
    assert pair.state == "incomplete"
    assert pair.line is not None
    assert pair.line.message.startswith("1 tile failed and has no data; tile 4: g.tif failed to be read")
    assert len(tile_files(folder)) == TILES - 1
    # The cause is mended: that tile alone is computed, and the output is whole.
    computed.clear()
    assert here("batch", "job.toml", "--progress", "none")[0] == 0
    assert computed == [("target", 4)]
    assert not np.isnan(values(folder / "o.tif")).any()
    assert not values(folder / "o_qa.tif").any()


def test_a_prediction_that_fails_takes_the_tiles_beside_it_along(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sentinel_crop(0, 0, 60, 18, 4).source.rio.to_raster(folder / "s.tif")
    options = '[options]\nscale = 4\nfit = "tile"\nsteps = 2\nthreads = 1\ntile_size = 72\nif_unhelpful = "warn"\n'
    failing_at(monkeypatch, 0, mmsr_geo.PixelError("nothing there"), "predict")
    with pytest.warns(mmsr_geo.MmsrWarning, match="tiles failed and have no data"):
        reported = mmsr_geo.batch(job(folder, 'on_error = "skip"\n' + ONE + options))
    assert reported.count("incomplete") == 1
    made = values(folder / "o.tif")[0]
    assert np.isnan(made[:144]).all()  # tile 1 is blended with it
    assert not np.isnan(made[-24:]).any()


def dates(folder: Path) -> str:
    """Write two dates of one place and one of another; return their job file."""
    for name, row in (("a1", 0), ("a2", 0), ("b1", 40)):
        crop = sentinel_crop(row, 0, 16, 18, 4).source
        (crop * (1.1 if name == "a2" else 1)).rio.write_crs(crop.rio.crs).rio.to_raster(folder / f"{name}_st.tif")
    return 'output = "{name}.tif"\n[[pairs]]\nsource = "{key}_st.tif"\nguide = ["g.tif"]\nname = "{key}"\n'.replace(
        '["g.tif"]', '["{key}_g.tif", "g.tif"]'
    )


@pytest.mark.parametrize(
    ("mode", "fitted"), [("per-pair", ["a1", "a2", "b1"]), ("per-place", ["a1", "b1"]), ("shared", ["a1"])]
)
def test_a_model_is_fitted_once_for_whom_it_serves(
    folder: Path, monkeypatch: pytest.MonkeyPatch, mode: str, fitted: list[str]
) -> None:
    text = dates(folder)
    for name in ("a1", "a2", "b1"):
        (folder / f"{name}_g.tif").symlink_to(SENTINEL_GUIDE)
    options = f'[options]\nscale = 4\nmodel = "{mode}"\nsteps = 3\nthreads = 1\nif_unhelpful = "warn"\n'
    path = job(folder, text.replace('["{key}_g.tif", "g.tif"]', '"{key}_g.tif"') + options)
    fits: list[str] = []
    fit = fit_samples

    def counted(*arguments: Any, **options: Any) -> Any:
        fits.append(Path(options["provenance"]["source"]).name.removesuffix("_st.tif"))
        return fit(*arguments, **options)

    monkeypatch.setattr("mmsr_geo.methods.scene.fit_samples", counted)
    assert mmsr_geo.batch(path).count("done") == 3
    assert fits == fitted
    first = mmsr_geo.status(path)
    assert first.count("done") == 3
    # Another source for the first date, of another place by now: all that its model served are to be done again.
    sentinel_crop(20, 30, 16, 18, 4).source.rio.to_raster(folder / "a1_st.tif")
    changed = {pair.entry.name for pair in mmsr_geo.status(path).pairs if pair.state == "changed"}
    assert changed == {"per-pair": {"a1"}, "per-place": {"a1", "a2"}, "shared": {"a1", "a2", "b1"}}[mode]


def test_a_shared_model_is_that_of_the_first_pair(folder: Path) -> None:
    text = dates(folder).replace('["{key}_g.tif", "g.tif"]', '"{key}_g.tif"')
    for name in ("a1", "a2", "b1"):
        (folder / f"{name}_g.tif").symlink_to(SENTINEL_GUIDE)
    options = '[options]\nscale = 4\nmodel = "per-place"\nsteps = 3\nthreads = 1\nif_unhelpful = "warn"\n'
    path = job(folder, text + options)
    references = {
        entry.name: reference.name
        for entry in Job.read(path).entries
        if (reference := Job.read(path).reference_scene_of(entry))
    }
    assert references == {"a1": "a1", "a2": "a1", "b1": "b1"}
    assert mmsr_geo.batch(path).count("done") == 3
    params = mmsr_geo.FitParams(steps=3, threads=1)
    model = mmsr_geo.fit(folder / "a1_st.tif", SENTINEL_GUIDE, 4, params=params)
    for name in ("a1", "a2"):
        alone = mmsr_geo.upsample(folder / f"{name}_st.tif", SENTINEL_GUIDE, model=model, if_unhelpful="warn")
        assert np.abs(values(folder / f"{name}.tif")[0] - alone.values).max() < 1e-3 * float(alone.std())


def test_a_model_is_not_shared_where_there_is_none(folder: Path) -> None:
    with pytest.raises(mmsr_geo.JobError, match=r"options.model = 'shared' needs one model per scene"):
        Job.read(job(folder, ONE + OPTIONS + 'model = "shared"\n'))


def test_a_store_keeps_whole_files_and_a_manifest_that_survives_a_cut(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "tiles")
    assert store.get("x") is None
    assert store.records() == {}
    pixels = TilePixels(np.arange(12, dtype=np.float32).reshape(3, 4), np.full((3, 4), 5, np.uint8))
    content = pixels.encoded()
    values, qa = pixels.digests
    made = [TileRecord("target", 1, index, values, qa, len(content), at=1.0) for index in range(3)]
    for each in made:
        store.put_tile(each, content)
    store.record(made[:2])
    manifest = tmp_path / "tiles" / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes() + made[2].line.encode()[:40])
    assert set(store.records()) == {("target", 1, 0), ("target", 1, 1)}
    store.record(made[2:])
    assert store.records() == {("target", 1, each.index): each for each in made}
    read = TilePixels.decoded(store.get(made[0].name) or b"")
    assert (read.values == pixels.values).all()
    assert (read.qa == 5).all()
    (tmp_path / "tiles" / made[1].name).write_bytes(content[:-1])
    assert set(store.records()) == {("target", 1, 0), ("target", 1, 2)}
    store.remove()
    assert not (tmp_path / "tiles").exists()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_a_tiles_file_gives_back_what_it_was_given(dtype: str) -> None:
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (7, 300), (300, 513)):
        drawn = (rng.random(shape) * 100).astype(dtype)
        pixels = TilePixels(drawn, rng.integers(0, 64, shape, np.uint8))
        read = TilePixels.decoded(pixels.encoded())
        assert read.values.dtype == np.dtype(dtype)
        assert read.uncertainty is None
        assert read.digests == pixels.digests
        three = replace(pixels, uncertainty=drawn[::-1])
        assert TilePixels.decoded(three.encoded()).digests == three.digests == (*pixels.digests, three.digests[2])
        assert replace(three, uncertainty=(drawn + 1).astype(dtype)).digests[2] != three.digests[2]
        assert replace(pixels, qa=pixels.qa ^ np.uint8(1)).digests[0] == pixels.digests[0]
        assert replace(pixels, qa=pixels.qa ^ np.uint8(1)).digests[1] != pixels.digests[1]
    virtual = b'<VRTDataset rasterXSize="2" rasterYSize="2"><VRTRasterBand dataType="Byte" band="1"/></VRTDataset>'
    for content in (b"", b"no tiff", pixels.encoded()[:50], virtual):
        with pytest.raises(DamagedTileError):
            TilePixels.decoded(content)


def test_a_job_of_a_saved_model_takes_no_fit(folder: Path, computed: list[tuple[str, int]]) -> None:
    sentinel_model(4).save(folder / "n.mmsr")
    path = job(folder, ONE + '[options]\nmodel = "n.mmsr"\nscale = 4\ntile_size = 24\nif_unhelpful = "warn"\n')
    with warnings.catch_warnings():
        warnings.simplefilter("error", mmsr_geo.MmsrWarning)
        assert mmsr_geo.batch(path).count("done") == 1
    assert len(computed) == TILES
    record = [json.loads(line) for line in (folder / "job.record.jsonl").read_text().splitlines()]
    assert [line["state"] for line in record] == ["begun", "done"]
    assert record[-1]["facts"]["tiles"] == TILES


class Hostile:
    """What runs code where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("method", ["bicubic+consistency", "guided-filter"])
def test_no_file_in_the_work_folder_runs_code(
    folder: Path, computed: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    path = job(folder, (ONE + OPTIONS).replace("bicubic+consistency", method))
    stopped_at(monkeypatch, path, 4)
    kept = [file for file in (folder / "job.work").rglob("*") if file.is_file() and file.name != "plan.json"]
    assert "model-1.mmsr" in {file.name for file in kept}
    for file in [*kept, *(file.with_name("other-model-1.pickle") for file in kept)]:
        file.write_bytes(pickle.dumps(Hostile(folder / "run")))
    computed.clear()
    assert mmsr_geo.batch(path).count("done") == 1
    assert len(computed) == TILES
    assert not (folder / "run").exists()


def test_a_job_is_done_by_one_process_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = job(folder)
    target = TileTask.target

    def meddled(task: TileTask, index: int, *rest: Any, **kw: Any) -> TileRecord:
        if index == 3:
            with pytest.raises(mmsr_geo.JobError, match="another process runs this job"):
                mmsr_geo.batch(path)
        return target(task, index, *rest, **kw)

    monkeypatch.setattr(TileTask, "target", meddled)
    assert mmsr_geo.batch(path).count("done") == 1
    assert mmsr_geo.batch(path).count("done") == 1


def test_tiles_that_no_one_will_take_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = job(folder)
    stopped_at(monkeypatch, path, 5)
    (before,) = (folder / "job.work" / "tiles" / "s").iterdir()
    job(folder, ONE + OPTIONS.replace("bicubic", "bilinear"))
    stopped_at(monkeypatch, path, 2)
    (after,) = (folder / "job.work" / "tiles" / "s").iterdir()
    assert before != after


def test_a_prediction_that_is_damaged_meanwhile_is_reported_and_made_anew(
    folder: Path, computed: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = '[options]\nscale = 4\nfit = "tile"\nsteps = 2\nthreads = 1\ntile_size = 40\nif_unhelpful = "warn"\n'
    path = job(folder, ONE + options)
    target = TileTask.target

    def spoiled(task: TileTask, index: int, *rest: Any, **kw: Any) -> TileRecord:
        for file in tile_files(folder):
            if index == 1 and "prediction" in str(file):
                file.write_bytes(b"spoiled")
        return target(task, index, *rest, **kw)

    with monkeypatch.context() as patch:
        patch.setattr(TileTask, "target", spoiled)
        with pytest.raises(mmsr_geo.JobError, match="the file of a prediction is damaged"):
            mmsr_geo.batch(path)
    computed.clear()
    assert mmsr_geo.batch(path).count("done") == 1
    assert [stage for stage, _ in computed].count("predict") == 4


@dataclass
class Far:
    """A pool as a cluster's is: it takes several tasks on, no more while half of them run, and does one at a time."""

    share_of_tasks: int = 6
    running: deque[Task[TaskKey]] = field(default_factory=deque)
    slots: int = 2

    @property
    def room(self) -> int:
        return self.share_of_tasks - len(self.running) if 2 * len(self.running) <= self.share_of_tasks else 0

    @property
    def is_busy(self) -> bool:
        return bool(self.running)

    def share(self, value: object, name: str) -> object:  # noqa: ARG002  (the signature that it stands for)
        return value

    def submit(self, calls: Sequence[Task[TaskKey]]) -> None:
        self.running.extend(calls)

    def ended(self) -> list[TaskResult[TaskKey]]:
        call = self.running.popleft()
        try:
            return [TaskResult(call, getattr(call.shared, call.method)(*call.arguments, progress=call.progress))]
        except Exception as error:  # noqa: BLE001  (as a cluster hands it over)
            return [TaskResult(call, error=error)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.running.clear()


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Far:
    """Have jobs run on such a pool."""
    executor = Far()
    monkeypatch.setattr(batching, "open_executor", lambda *_: executor)
    return executor


def failing_in(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> None:
    """Have the tiles of a pair of this name fail."""
    before = TileTask.target

    def fail(task: TileTask, *rest: Any, **kw: Any) -> TileRecord:
        if task.spec.pairs[0].source.name.endswith(name):
            raise error
        return before(task, *rest, **kw)

    monkeypatch.setattr(TileTask, "target", fail)


def test_a_pair_that_fails_while_its_tasks_fill_the_pool_holds_up_no_other(
    folder: Path, far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(folder / "s.tif", folder / "t.tif")
    two = 'on_error = "skip"\noutput = "{name}.out.tif"\n' + "".join(
        f'[[pairs]]\nsource = "{name}.tif"\nguide = "g.tif"\n' for name in "st"
    )
    path = job(folder, two + OPTIONS)
    with monkeypatch.context() as patch:
        failing_in(patch, "s.tif", mmsr_geo.OutputError("the tiles' disk is full: make room"))
        with pytest.warns(mmsr_geo.MmsrWarning, match="the tiles' disk is full"):
            reported = mmsr_geo.batch(path)
    assert (reported.count("done"), reported.count("failed")) == (1, 1)
    assert not far.running
    assert mmsr_geo.batch(path).count("done") == 2


def test_a_pair_that_fails_leaves_the_tiles_that_were_under_way(
    folder: Path, far: Far, computed: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that others' tasks wait for are taken as they end; a shared fit is another pair's as well."""
    text = dates(folder).replace('["{key}_g.tif", "g.tif"]', '"{key}_g.tif"')
    for name in ("a1", "a2", "b1"):
        (folder / f"{name}_g.tif").symlink_to(SENTINEL_GUIDE)
    options = '[options]\nscale = 4\nmodel = "shared"\nsteps = 3\nthreads = 1\nif_unhelpful = "warn"\n'
    path = job(folder, 'on_error = "skip"\n' + text + options)
    assert far.slots == 2
    with monkeypatch.context() as patch:
        failing_in(patch, "a1_st.tif", mmsr_geo.OutputError("the tiles' disk is full: make room"))
        with pytest.warns(mmsr_geo.MmsrWarning, match="the tiles' disk is full"):
            reported = mmsr_geo.batch(path)
    assert (reported.count("done"), reported.count("failed")) == (2, 1)
    computed.clear()
    assert mmsr_geo.batch(path).count("done") == 3
    assert len(computed) == 1


def test_a_shared_fit_that_fails_is_not_tried_by_each(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = dates(folder).replace('["{key}_g.tif", "g.tif"]', '"{key}_g.tif"')
    for name in ("a1", "a2", "b1"):
        (folder / f"{name}_g.tif").symlink_to(SENTINEL_GUIDE)
    options = '[options]\nscale = 4\nmodel = "shared"\nsteps = 3\nthreads = 1\n'
    tried: list[int] = []

    def refused(*_: Any, **__: Any) -> None:
        tried.append(1)
        raise mmsr_geo.PixelError("nothing there to fit to")

    monkeypatch.setattr("mmsr_geo.methods.scene.fit_samples", refused)
    with pytest.warns(mmsr_geo.MmsrWarning, match="nothing there to fit to"):
        reported = mmsr_geo.batch(job(folder, 'on_error = "skip"\n' + text + options))
    assert reported.count("failed") == 3
    assert len(tried) == 1


def two_bands(folder: Path, *names: str) -> None:
    """Write sources of two bands, one less sharp than the other."""
    for number, name in enumerate(names):
        crop = sentinel_crop(20 * number, 0, 16, 18, 4).source
        both = xr.concat([crop, 0.5 * crop.rolling(y=3, min_periods=1).mean()], "band").transpose("band", "y", "x")
        both.rio.write_crs(crop.rio.crs).rio.to_raster(folder / f"{name}.tif")


SHARED = (
    'output = "{name}.out.tif"\n[[pairs]]\nsource = "a.tif"\nguide = "g.tif"\n[[pairs]]\nsource = "b.tif"\n'
    'guide = "g.tif"\n[options]\nscale = 4\nmodel = "shared"\nsteps = 3\nthreads = 1\nif_unhelpful = "warn"\n'
    "tile_size = 24\n"
)


def test_sources_of_several_bands_share_a_model_a_band_and_a_stop_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_bands(folder, "a", "b")
    path = job(folder, SHARED)
    assert mmsr_geo.batch(path).count("done") == 2
    with rasterio.open(folder / "b.out.tif") as dataset:
        alone, tags = dataset.read(), dataset.tags()
    assert np.isfinite(alone).all()
    mmsr_geo_state = ("MMSR_GEO_OPTIONS", "MMSR_GEO_MODEL")
    (folder / "b.out.tif").unlink()
    before = TileTask.target
    done: list[int] = []

    def stopped(task: TileTask, *rest: Any, **kw: Any) -> TileRecord:
        if len(done) == 13:
            raise Stopped
        done.append(1)
        return before(task, *rest, **kw)

    with monkeypatch.context() as patch:
        patch.setattr(TileTask, "target", stopped)
        with pytest.raises(Stopped):
            mmsr_geo.batch(path)
    assert mmsr_geo.batch(path).count("done") == 2
    with rasterio.open(folder / "b.out.tif") as dataset:
        assert (dataset.read() == alone).all()
        assert all(dataset.tags()[name] == tags[name] for name in mmsr_geo_state)


def test_a_model_of_one_band_is_no_model_for_two(folder: Path) -> None:
    two_bands(folder, "b")
    shutil.copy(folder / "s.tif", folder / "a.tif")
    with pytest.raises(mmsr_geo.JobError, match="b: b has 2 bands, and its reference scene a has 1 band"):
        mmsr_geo.batch(job(folder, SHARED))


@pytest.mark.parametrize("what", ["was removed", "has changed"])
def test_an_input_that_changes_is_no_tile_to_skip(folder: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    path = job(folder, 'on_error = "skip"\n' + (ONE + OPTIONS).replace("bicubic+", "guided-filter+"))
    assert mmsr_geo.batch(path).count("done") == 1
    good = (folder / "o.tif").read_bytes()
    before = TileTask.target

    def moved(task: TileTask, index: int, *rest: Any, **kw: Any) -> TileRecord:
        if index == 3:
            shutil.move(folder / "g.tif", folder / "away.tif")
            if what == "has changed":
                shutil.copy(folder / "away.tif", folder / "g.tif")
        return before(task, index, *rest, **kw)

    monkeypatch.setattr(TileTask, "target", moved)
    with pytest.warns(mmsr_geo.MmsrWarning, match=f"g.tif {what} since it was opened"):
        reported = mmsr_geo.batch(path, restart=True)
    assert reported.count("failed") == 1
    assert (folder / "o.tif").read_bytes() == good


def test_where_no_tile_could_be_made_the_pair_has_failed_and_what_there_was_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = job(folder, 'on_error = "skip"\n' + ONE + OPTIONS)
    assert mmsr_geo.batch(path).count("done") == 1
    good = (folder / "o.tif").read_bytes()
    failing_in(monkeypatch, "s.tif", mmsr_geo.PixelError("nothing there"))
    with pytest.warns(mmsr_geo.MmsrWarning, match="all 9 tiles failed; tile 0: nothing there"):
        reported = mmsr_geo.batch(path, restart=True)
    assert reported.count("failed") == 1
    assert (folder / "o.tif").read_bytes() == good


def test_an_input_that_changes_while_the_output_is_written_is_reported_by_the_next_call(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = job(folder)
    before = finishing.finish

    def late(output_job: Any) -> Any:
        done = before(output_job)
        os.utime(folder / "s.tif", (1, 1))
        return done

    with monkeypatch.context() as patch:
        patch.setattr("mmsr_geo.jobs.run_job.finish", late)
        assert mmsr_geo.batch(path).count("changed") == 1
    assert mmsr_geo.batch(path).count("done") == 1


def test_a_jobs_work_is_in_a_folder_of_its_own_and_nothing_else_goes(folder: Path) -> None:
    """Whatever folder is named, and whoever else names it."""
    for name in ("one", "two"):
        text = f'work = "."\noutput = "{name}.tif"\n[[pairs]]\nsource = "s.tif"\nguide = "g.tif"\n'
        (folder / f"{name}.toml").write_text(text + OPTIONS)
    places = {Job.read(folder / f"{name}.toml").work for name in ("one", "two")}
    assert len(places) == 2
    other = Path(Job.read(folder / "two.toml").work) / "tiles" / "s" / "of-another-job"
    other.mkdir(parents=True)
    before = {path.name for path in folder.iterdir()}
    assert mmsr_geo.batch(folder / "one.toml").count("done") == 1
    assert other.is_dir()
    assert {path.name for path in folder.iterdir()} - before == {
        "one.tif",
        "one.record.jsonl",
        "one.report",
        "one.log",
        ".one.lock",
    }
    (Path(Job.read(folder / "two.toml").work) / "a-users.txt").write_text("mine")
    assert mmsr_geo.batch(folder / "two.toml").count("done") == 1
    assert [path.name for path in Path(Job.read(folder / "two.toml").work).iterdir()] == ["a-users.txt"]


def test_a_restart_fits_shared_models_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_bands(folder, "a", "b")
    path = job(folder, 'on_error = "skip"\n' + SHARED)
    with monkeypatch.context() as patch:
        failing_in(patch, "b.tif", mmsr_geo.OutputError("no room"))
        with pytest.warns(mmsr_geo.MmsrWarning, match="no room"):
            mmsr_geo.batch(path)
    assert (folder / "job.work" / "models").is_dir()
    fits: list[int] = []
    fit = fit_samples

    def counted(*arguments: Any, **options: Any) -> mmsr_geo.FittedModel:
        fits.append(1)
        return fit(*arguments, **options)

    monkeypatch.setattr("mmsr_geo.methods.scene.fit_samples", counted)
    assert mmsr_geo.batch(path, restart=True).count("done") == 2
    assert len(fits) == 2


def test_a_virtual_raster_whose_member_changes_is_another(folder: Path) -> None:
    member, virtual = folder / "s.tif", folder / "s.vrt"
    with rasterio.open(member) as dataset, WarpedVRT(dataset) as warped:
        rasterio.shutil.copy(warped, virtual, driver="VRT")
    path = job(folder, (ONE + OPTIONS).replace('"s.tif"', '"s.vrt"'))
    assert mmsr_geo.batch(path).count("done") == 1
    assert mmsr_geo.status(path).count("done") == 1
    os.utime(member, (1, 1))
    assert mmsr_geo.status(path).count("changed") == 1


def test_a_tile_that_cannot_be_read_is_computed_again(
    folder: Path, computed: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = job(folder)
    stopped_at(monkeypatch, path, 5)
    bad = tile_files(folder)[2]
    read = Path.read_bytes

    def failing(path: Path) -> bytes:
        if path == bad and not computed:
            raise OSError(errno.EIO, "Input/output error")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    computed.clear()
    with pytest.warns(mmsr_geo.MmsrWarning, match="the file of tile 2 is damaged"):
        assert mmsr_geo.batch(path).count("done") == 1
    assert ("target", 2) in computed


@pytest.mark.parametrize("written", ["begun", "done"])
def test_a_record_that_cannot_be_written_is_reported_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    path = job(folder)
    fsync = os.fsync

    def no_room(handle: int) -> None:
        record = Path(f"/proc/self/fd/{handle}").readlink()
        if "record" in record.name and f'"{written}"' in record.read_text():
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(mmsr_geo.JobError, match=r"record.jsonl cannot be written \(No space left on device\)"):
        mmsr_geo.batch(path)


def test_what_is_no_longer_needed_and_cannot_go_spoils_no_pair(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(store: FolderStore) -> None:
        raise mmsr_geo.OutputError(f"{store.folder} cannot be removed")

    monkeypatch.setattr(FolderStore, "remove", refused)
    assert mmsr_geo.batch(job(folder)).count("done") == 1
    assert "files that are no longer needed could not be removed" in (folder / "job.log").read_text()
