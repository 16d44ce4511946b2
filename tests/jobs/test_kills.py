"""A job on a cluster whose workers, scheduler and client are killed at random: minutes, run by `make faults`."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import rasterio

from support.clusters import DaskCluster, kill
from support.command import SUPPORT
from support.rasters import SENTINEL_GUIDE, SENTINEL_TRUTH, sentinel_model

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

TILES, KILLS, WITHIN = 100, 20, 15
JOB = """\
output = "{output}.tif"
qa = "{output}_qa.tif"
[[pairs]]
source = "source.tif"
guide = "guide.tif"
[options]
scale = 2
model = "scene.mmsr"
keep_statistics = true
if_unhelpful = "warn"
tile_size = 52
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "source.tif").symlink_to(SENTINEL_TRUTH)
    (tmp_path / "guide.tif").symlink_to(SENTINEL_GUIDE)
    sentinel_model(2).save(tmp_path / "scene.mmsr")
    for name in ("disturbed", "alone"):
        (tmp_path / f"{name}.toml").write_text(JOB.format(output=name))
    return tmp_path


@dataclass
class Disturbed:
    """A job whose processes are killed while it runs."""

    folder: Path
    cluster: DaskCluster
    draw: random.Random
    killed: list[tuple[str, int]] = field(default_factory=list)
    """Who, and how many tiles were recorded then."""

    def __post_init__(self) -> None:
        self._client = self._started()

    def disturb(self, victim: str, moment: int) -> None:
        """Kill the victim when so many tiles are recorded, and a little later; have it started again."""
        while recorded(self.folder) < moment and self._client.poll() != 0:
            self._go_on()
            time.sleep(0.02)
        time.sleep(self.draw.random() * 0.3)
        self.killed.append((victim, recorded(self.folder)))
        if victim == "worker":
            self.cluster.kill_worker(self.draw.randrange(2))
        elif victim == "scheduler":
            self.cluster.kill_scheduler()
            assert self._client.wait(timeout=60) in {0, 2}
        else:
            kill(self._client)
        self.cluster.start()
        self._go_on()

    def end(self) -> None:
        """Let it be done."""
        while self._client.wait(timeout=300) != 0:
            self._go_on()

    def _go_on(self) -> None:
        if self._client.poll() is not None and self._client.returncode != 0:
            self._client = self._started()

    def _started(self) -> subprocess.Popen[str]:
        return client(self.folder, "disturbed", "--scheduler", self.cluster.address)


def client(folder: Path, name: str, *options: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "mmsr_geo", "batch", f"{name}.toml", "--progress", "none", *options]
    with (folder / f"{name}.client.log").open("a") as log:
        return subprocess.Popen(words, cwd=folder, stdout=log, stderr=log, text=True)


def recorded(folder: Path) -> int:
    """Return how many tiles the manifest of the job's only pair has."""
    manifests = list((folder / "disturbed.work" / "tiles").glob("*/*/manifest.jsonl"))
    return manifests[0].read_bytes().count(b"\n") if manifests else 0


def moments(draw: random.Random) -> list[int]:
    """Return twenty numbers of recorded tiles, more than fifteen of them between 5 and 95 %, and one at the start."""
    inside = draw.sample(range(int(TILES * 0.06), int(TILES * 0.93)), WITHIN + 2)
    return sorted([*inside, 0, draw.randrange(3), TILES - draw.randrange(1, 3)])


def pixels(path: Path) -> bytes:
    with rasterio.open(path) as dataset:
        made: bytes = dataset.read().tobytes()
        return made


def test_no_kill_changes_a_pixel_or_has_a_verified_tile_computed_again(folder: Path) -> None:
    seed = int.from_bytes(os.urandom(3))  # reported where it fails
    draw = random.Random(seed)  # noqa: S311  (no secret)
    victims = draw.sample(["worker"] * 8 + ["scheduler"] * 6 + ["client"] * 6, KILLS)
    log, preload = folder / "computed.log", SUPPORT / "preload_counting.py"
    with DaskCluster(folder, preload=preload, environment={"MMSR_GEO_TEST_LOG": str(log)}) as cluster:
        job = Disturbed(folder, cluster, draw)
        for victim, moment in zip(victims, moments(draw), strict=True):
            job.disturb(victim, moment)
        job.end()
    reported = (folder / "disturbed.client.log").read_text()
    assert "Traceback" not in reported, reported
    within = sum(0.05 * TILES <= count <= 0.95 * TILES for _, count in job.killed)
    lines = [line.split() for line in log.read_text().splitlines()]
    computed = Counter(int(index) for index, _, _ in lines)
    sys.stdout.write(
        f"seed {seed}: {job.killed}, {within} of them within 5 to 95 %; "
        f"{computed.total()} tiles computed for {TILES}, {sum(n > 1 for n in computed.values())} of them again\n"
    )
    assert len(job.killed) == KILLS
    assert within >= WITHIN
    assert set(computed) == set(range(TILES))
    assert not [index for index, _, state in lines if state == "again"], "a verified tile was computed again"
    assert not (folder / "disturbed.work").exists()
    # A process of one torch thread, as the cluster's are: more threads sum in another order.
    assert client(folder, "alone", "--workers", "1").wait(timeout=300) == 0
    for suffix in ("", "_qa"):
        assert pixels(folder / f"disturbed{suffix}.tif") == pixels(folder / f"alone{suffix}.tif"), suffix
