"""`qgis_process run` with the plugin from its zip: exit status, output, mistakes, processor time."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from conftest import DEADLINE_S, GUIDE, LIBRARY, coarse, command, pixels, stage_text
from test_zip import built_zip

QUICK = ["SCALE=4", "STEPS=6", "THREADS=1"]
LARGEST_RATIO = 2
"""Processor time in QGIS over that of its parts, run alone; a plugin that waits actively would exceed it."""
Process = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A profile in which the plugin's zip is installed and enabled."""
    folder = tmp_path_factory.mktemp("profile")
    with ZipFile(built_zip(folder)) as held:
        held.extractall(folder / "plugins")
    folder.chmod(0o700)
    made = os.environ | {
        "MMSR_GEO_PYTHON": str(LIBRARY),
        "QGIS_CUSTOM_CONFIG_PATH": str(folder / "profile"),
        "QGIS_PLUGINPATH": str(folder / "plugins"),
        "QT_QPA_PLATFORM": "offscreen",
        "XDG_RUNTIME_DIR": str(folder),
    }
    enabled = ["qgis_process", "plugins", "enable", "mmsr_qgis"]
    done = subprocess.run(enabled, check=False, capture_output=True, text=True, env=made)
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.fixture
def process(environment: dict[str, str]) -> Process:
    def run(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["qgis_process", *map(str, words)],
            check=False, capture_output=True, text=True, env=environment | more, timeout=DEADLINE_S,
        )  # fmt: skip

    return run


def test_the_algorithms_are_listed(process: Process) -> None:
    listed = process("list").stdout
    titles = {"upsample": "Upsample raster", "evaluate": "Evaluate upsampling", "fit": "Fit and save a model"}
    for name, title in titles.items():
        assert f"mmsr:{name}\t{title}" in listed


def test_it_ends_with_0_and_the_commands_own_output(process: Process, source: Path, tmp_path: Path) -> None:
    by_qgis, by_hand = tmp_path / "by_qgis.tif", tmp_path / "by_hand.tif"
    done = process(
        "--json", "run", "mmsr:upsample", "--", f"SOURCE={source}", f"GUIDE={GUIDE}", f"OUTPUT={by_qgis}", *QUICK
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    assert 0 < results.pop("GUIDE_GAIN") < 1
    assert results == {"GUIDE_CHECK": "helped", "OUTPUT": str(by_qgis)}
    hand = command(
        "upsample",
        source,
        GUIDE,
        "-o",
        by_hand,
        *["--scale", "4", "--steps", "6", "--threads", "1", "--progress", "none"],
    )
    assert hand.returncode == 0, hand.stderr
    assert np.array_equal(pixels(by_qgis), pixels(by_hand))
    assert by_qgis.read_bytes() == by_hand.read_bytes()


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (["SCALE=1"], "refines nothing"),
        (["GUIDE=none.tif"], "Could not load source layer for GUIDE: none.tif not found"),
        (["MODEL=none.mmsr"], "none.mmsr"),
    ],
)
def test_a_mistake_is_one_line(process: Process, source: Path, tmp_path: Path, given: list[str], part: str) -> None:
    """QGIS prints that line up to three times, with and without ERROR before it."""
    words = [f"SOURCE={source}", f"OUTPUT={tmp_path / 'o.tif'}", *given]
    words += [] if given[0].startswith("GUIDE") else [f"GUIDE={GUIDE}"]
    done = process("run", "mmsr:upsample", "--", *words)
    assert done.returncode == 1
    lines = {line.replace("ERROR:", "").strip() for line in done.stderr.splitlines()}
    lines -= {"", "An error was encountered while checking parameter values"}
    assert len(lines) == 1
    assert part in lines.pop()
    assert "Traceback" not in done.stdout + done.stderr
    left = {path.name for path in tmp_path.iterdir()} - {"source.tif.aux.xml"}  # QGIS writes it for any raster
    assert left == {"source.tif"}


@pytest.mark.parametrize(
    ("python", "start"),
    [
        ("", "The mmsr_geo library is not set up yet: set it up under Plugins"),
        ("/nowhere/python", "MMSR_GEO_PYTHON is set to /nowhere/python, and this file does not exist"),
        ("/usr/bin/python3", "/usr/bin/python3 (Python 3.11.2) does not have mmsr_geo"),
        ("/bin/true", "/bin/true does not answer like a Python"),
    ],
)
def test_a_missing_library_is_one_line(process: Process, source: Path, tmp_path: Path, python: str, start: str) -> None:
    words = [f"SOURCE={source}", f"GUIDE={GUIDE}", f"OUTPUT={tmp_path / 'o.tif'}"]
    done = process("run", "mmsr:upsample", "--", *words, MMSR_GEO_PYTHON=python)
    assert done.returncode == 1
    lines = {line.replace("ERROR:", "").strip() for line in done.stderr.splitlines()} - {""}
    assert len(lines) == 1
    assert lines.pop().startswith(start)


def _running(marker: str) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:  # it has ended
                continue
            if marker.encode() in words:
                yield int(entry.name)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_ending_qgis_ends_the_command_and_leaves_nothing(
    environment: dict[str, str], tmp_path: Path, how: signal.Signals
) -> None:
    source, folder = coarse(tmp_path / "large.tif", 0, 0, 256, 256), tmp_path / "out"
    folder.mkdir()
    output = folder / "sharp.tif"
    words = [f"SOURCE={source}", f"GUIDE={GUIDE}", f"OUTPUT={output}", "SCALE=4", "STEPS=100000", "THREADS=1"]
    running = subprocess.Popen(
        ["qgis_process", "run", "mmsr:upsample", "--", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, start_new_session=True,
    )  # fmt: skip
    assert running.stdout is not None
    printed = b""
    while stage_text("trial").encode() not in printed:
        byte = running.stdout.read(1)
        assert byte, printed.decode()
        printed += byte
    assert len(list(_running(str(output)))) >= 2
    running.send_signal(how)
    try:
        running.wait(DEADLINE_S)
    finally:
        running.kill()
    deadline = time.monotonic() + DEADLINE_S
    while list(_running(str(output))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert list(_running(str(output))) == []
    assert list(folder.iterdir()) == []


def test_it_takes_hardly_more_processor_time_than_the_command(process: Process, tmp_path: Path) -> None:
    """Processor time, because a busy machine delays a process but adds little work to it; the smallest of two each."""
    source = coarse(tmp_path / "demo.tif", 0, 0, 256, 256)

    def seconds(run: Callable[[], subprocess.CompletedProcess[str]]) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run().returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    parameters = [f"SOURCE={source}", f"GUIDE={GUIDE}", f"OUTPUT={tmp_path / 'q.tif'}", *QUICK]
    options = ["--scale", "4", "--steps", "6", "--threads", "1", "--progress", "none", "--overwrite"]
    runs = (
        lambda: process("help", "mmsr:upsample"),
        lambda: command("upsample", source, GUIDE, "-o", tmp_path / "c.tif", *options),
        lambda: process("run", "mmsr:upsample", "--", *parameters),
    )
    start, by_hand, by_qgis = map(min, zip(*([seconds(run) for run in runs] for _ in range(2)), strict=True))
    print(f"processor time: qgis_process help {start:.1f} s, the command {by_hand:.1f} s, in QGIS {by_qgis:.1f} s")
    assert by_qgis > by_hand / LARGEST_RATIO  # the command's time is part of it
    assert by_qgis < LARGEST_RATIO * (start + by_hand)
