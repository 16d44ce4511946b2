"""Work on a dask cluster: one that is started here, and one that runs; the same pixels as in this process."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import distributed
import numpy as np
import psutil
import pytest
import rasterio
import xarray as xr

import mmsr_geo
from mmsr_geo.errors import JobError
from mmsr_geo.jobs.executors import clusters
from mmsr_geo.jobs.executors import dask as dask_pool
from mmsr_geo.jobs.executors.config import Cluster
from support.clusters import DaskCluster, free_port
from support.command import SUPPORT
from support.rasters import (
    SENTINEL_GUIDE,
    SENTINEL_TRUTH,
    misleading_guide,
    sentinel_crop,
    sentinel_guide,
    sentinel_model,
)

pytestmark = pytest.mark.slow


def values(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return np.asarray(dataset.read())


@pytest.fixture
def source() -> xr.DataArray:
    return sentinel_crop(0, 0, 64, 64, 4).source


def test_two_processes_make_what_one_makes(tmp_path: Path, source: xr.DataArray) -> None:
    """Arrays in memory, two bands, flags, a fit on a worker with progress reported here, and a warning from there."""
    both = xr.concat([source, 2 * source], "band").assign_coords(band=[1, 2])
    reported: list[tuple[str, int, int]] = []
    params = mmsr_geo.FitParams(steps=4, ensemble=False, threads=1)
    options = {"params": params, "qa": tmp_path / "qa.tif", "tile_size": 128}
    with pytest.warns(mmsr_geo.GuideWarning, match="did not help"):
        outcome = mmsr_geo.upsample_to_file(
            both,
            misleading_guide(),
            tmp_path / "two.tif",
            4,
            workers=2,
            progress=lambda *call: reported.append(call),
            **options,  # type: ignore[arg-type]
        )
    assert outcome.tiles == 8
    assert ("band 1 of 2: predict", 4, 4) in reported
    assert ("band 2 of 2: predict", 4, 4) in reported
    assert any(stage == "band 1 of 2: fit" and done > 0 for stage, done, _ in reported)
    with pytest.warns(mmsr_geo.GuideWarning, match="did not help"):
        mmsr_geo.upsample_to_file(
            both,
            misleading_guide(),
            tmp_path / "one.tif",
            4,
            **options | {"qa": tmp_path / "qa1.tif"},  # type: ignore[arg-type]
        )
    assert (values(tmp_path / "two.tif") == values(tmp_path / "one.tif")).all()
    assert (values(tmp_path / "qa.tif") == values(tmp_path / "qa1.tif")).all()
    assert {path.name for path in tmp_path.iterdir()} == {"one.tif", "two.tif", "qa.tif", "qa1.tif"}


def test_tiles_with_models_of_their_own_are_the_same_on_a_cluster(tmp_path: Path, source: xr.DataArray) -> None:
    params = mmsr_geo.FitParams(steps=2, threads=1)
    for name, workers in (("two", 2), ("one", None)):
        mmsr_geo.upsample_to_file(
            source,
            sentinel_guide(),
            tmp_path / f"{name}.tif",
            4,
            fit="tile",
            tile_size=128,
            params=params,
            if_unhelpful="warn",
            workers=workers,
        )
    assert (values(tmp_path / "two.tif") == values(tmp_path / "one.tif")).all()


def test_a_workers_refusal_is_the_callers(tmp_path: Path, source: xr.DataArray) -> None:
    with pytest.raises(mmsr_geo.UnhelpfulGuideError, match="did not help"):
        mmsr_geo.upsample_to_file(
            source,
            misleading_guide(),
            tmp_path / "o.tif",
            4,
            params=mmsr_geo.FitParams(steps=2, threads=1, ensemble=False),
            if_unhelpful="error",
            workers=1,
        )
    assert list(tmp_path.iterdir()) == []


JOB = """\
output = "{name}.tif"
[[pairs]]
name = "sharp"
source = "source.tif"
guide = "guide.tif"
[options]
scale = 2
model = "scene.mmsr"
keep_statistics = true
if_unhelpful = "warn"
tile_size = 128
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "source.tif").symlink_to(SENTINEL_TRUTH)
    (tmp_path / "guide.tif").symlink_to(SENTINEL_GUIDE)
    sentinel_model(2).save(tmp_path / "scene.mmsr")
    return tmp_path


def test_a_job_runs_on_a_cluster_that_runs(folder: Path) -> None:
    (folder / "job.toml").write_text(JOB)
    with DaskCluster(folder, workers=1) as cluster:
        reported = mmsr_geo.batch(folder / "job.toml", scheduler=cluster.address)
        assert reported.count("done") == 1
        assert mmsr_geo.batch(folder / "job.toml", scheduler=cluster.address).count("done") == 1
    model = mmsr_geo.load(folder / "scene.mmsr")
    sharp = mmsr_geo.upsample(folder / "source.tif", folder / "guide.tif", model=model, keep_statistics=True)
    assert np.abs(values(folder / "sharp.tif")[0] - sharp.values).max() < 1e-3 * float(sharp.std())


@pytest.mark.parametrize(("version", "said"), [("0.0.1", "0.0.1"), ("", "not installed")])
def test_workers_of_another_version_are_refused(folder: Path, version: str, said: str) -> None:
    (folder / "job.toml").write_text(JOB)
    preload = SUPPORT / "preload_estranged.py"
    environment = {"MMSR_GEO_TEST_VERSION": version}
    with DaskCluster(folder, workers=1, preload=preload, environment=environment) as cluster:
        cluster.wait_for_a_worker()
        with pytest.raises(JobError, match=rf"worker tcp://.* has mmsr_geo {said} and this process has"):
            mmsr_geo.batch(folder / "job.toml", scheduler=cluster.address)


def test_a_worker_of_another_version_that_comes_later_is_refused_as_well(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client looked when there was none yet: the worker itself says it, and no tile is skipped for it."""
    (folder / "job.toml").write_text('on_error = "skip"\n' + JOB)
    preload = SUPPORT / "preload_estranged.py"
    monkeypatch.setattr(dask_pool, "_check_versions", lambda _: None)
    with DaskCluster(folder, workers=1, preload=preload, environment={"MMSR_GEO_TEST_VERSION": "0.0.1"}) as cluster:
        cluster.wait_for_a_worker()
        with pytest.raises(JobError, match=r"worker tcp://.* has mmsr_geo 0.0.1 and this process has"):
            mmsr_geo.batch(folder / "job.toml", scheduler=cluster.address)


@pytest.mark.parametrize("call", ["scheduler_info", "run", "subscribe_topic", "map", "gather", "submit"])
def test_a_scheduler_that_goes_at_any_call_is_reported_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """It is killed as the call begins, which is the moment at which distributed knows nothing of it yet."""
    (folder / "job.toml").write_text(JOB)
    with DaskCluster(folder, workers=1) as cluster:
        cluster.wait_for_a_worker()
        known = getattr(distributed.Client, call)

        def killed(client: distributed.Client, *arguments: Any, **options: Any) -> Any:
            cluster.kill_scheduler()
            return known(client, *arguments, **options)

        monkeypatch.setattr(distributed.Client, call, killed)
        monkeypatch.setattr(clusters, "_CONNECT_S", 2)  # for as long it looks for it again before it closes
        with pytest.raises(JobError, match=r"the scheduler tcp://.* is gone: start one and run the job again"):
            mmsr_geo.batch(folder / "job.toml", scheduler=cluster.address)


def test_a_client_that_reconnects_keeps_what_it_knows_of_the_workers() -> None:
    """The scheduler has gone and the client does not know yet whether for good: it has no list of workers then."""
    executor: Any = object.__new__(dask_pool.DaskExecutor)
    executor.client = SimpleNamespace(status="connecting", scheduler_info=lambda **_: {"type": "Scheduler"})
    executor._slots, executor._address = 3, "tcp://127.0.0.1:1"
    executor._look()
    assert executor.slots == 3
    executor.client.status = "closed"
    with pytest.raises(JobError, match="is gone"):
        executor._look()


def test_no_scheduler_is_reported_in_one_line(folder: Path) -> None:
    (folder / "job.toml").write_text(JOB)
    words = [sys.executable, "-m", "mmsr_geo", "batch", "job.toml", "--scheduler", f"tcp://127.0.0.1:{free_port()}"]
    words += ["--progress", "none"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert "no scheduler answers at tcp://127.0.0.1:" in done.stderr


@pytest.mark.faults
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_a_client_that_is_stopped(folder: Path, sent: signal.Signals) -> None:
    (folder / "job.toml").write_text(JOB.replace("128", "40") + "[cluster]\nworkers = 2\n")
    # A job in the background of a shell ignores Ctrl-C, and so would its children; a handler of ours is not inherited.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    words = [sys.executable, "-m", "mmsr_geo", "batch", "job.toml", "--progress", "json"]
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                event = json.loads(line)
                if event.get("stage") == "predict" and event.get("done", 0) >= 6:
                    break
            family = psutil.Process(process.pid).children(recursive=True)
            assert len(family) >= 2
            process.send_signal(sent)
            _, reported = process.communicate(timeout=300)
        finally:
            process.kill()
    if sent != signal.SIGKILL:
        assert reported.strip() == "Stopped: no unfinished file is left."
    _, alive = psutil.wait_procs(family, timeout=300)
    assert not alive
    assert [path for path in folder.iterdir() if path.name.endswith(".part")] == []
    before = mmsr_geo.status(folder / "job.toml").pairs[0].tiles_done
    assert before >= 3  # tiles are reported as they end, and recorded a few together
    assert mmsr_geo.batch(folder / "job.toml").count("done") == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "kubernetes"}, "kind is 'kubernetes': choose one of local"),
        ({"kind": "scheduler"}, "needs an address"),
        ({"kind": "slurm", "scheduler": "tcp://a:1"}, "name two clusters"),
        ({"scheduler": "tcp://a:1", "workers": 2}, "has its own workers"),
        ({"workers": 0}, "workers= is 0: give a number of processes, 1 or more"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(mmsr_geo.OptionError, match=said):
        Cluster(**given)  # type: ignore[arg-type]


def test_a_jobs_cluster_is_checked_with_the_rest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = '[cluster]\nkind = "slurm"\nscheduler = "tcp://a:1"\nmemory_limit = "much"\nworkers = 0\n'
    (folder / "job.toml").write_text(JOB + table)
    with pytest.raises(mmsr_geo.JobError) as caught:
        mmsr_geo.status(folder / "job.toml")
    for place in ("cluster.memory_limit: 'much' is not a size in bytes", "cluster.workers: "):
        assert place in str(caught.value)
    (folder / "job.toml").write_text(JOB + '[cluster]\nkind = "slurm"\n')
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)  # it may be installed
    with pytest.raises(mmsr_geo.JobError, match="this kind of cluster needs dask-jobqueue"):
        mmsr_geo.batch(folder / "job.toml")


def test_a_memory_limit_chooses_the_tiles_or_is_refused(folder: Path) -> None:
    model = {"model": folder / "scene.mmsr", "if_unhelpful": "warn"}
    plans = []
    for limit in ("700MB", "2GB"):
        outcome = mmsr_geo.upsample_to_file(
            folder / "source.tif",
            folder / "guide.tif",
            folder / f"{limit}.tif",
            memory_limit=limit,
            **model,  # type: ignore[arg-type]
        )
        plans.append(outcome.tiles)
    assert plans[0] > plans[1]
    assert np.abs(values(folder / "700MB.tif") - values(folder / "2GB.tif")).max() < 1.0
    with pytest.raises(mmsr_geo.OptionError, match=r"memory_limit= is 500 MB per process, and tiles of"):
        mmsr_geo.upsample_to_file(
            folder / "source.tif",
            folder / "guide.tif",
            folder / "o.tif",
            memory_limit="500 MB",
            **model,  # type: ignore[arg-type]
        )


class _Odd:
    def fail(self, **_: Any) -> None:
        raise KeyError("lat")


def test_an_error_of_a_worker_keeps_its_traceback() -> None:
    *_, error = dask_pool._do(_Odd(), "fail", (), False, "key", version=mmsr_geo.__version__)  # noqa: FBT003
    sent = pickle.loads(pickle.dumps(error))  # noqa: S301  (as dask does)
    told = "".join(traceback.format_exception(sent))
    assert "in fail" in told
    assert 'raise KeyError("lat")' in told
