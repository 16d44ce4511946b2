"""The set-up dialog: the size of the download, installing, failing, stopping, and another Python."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from conftest import DEADLINE_S, GUIDE, LIBRARY, ROOT, Runner, children
from processing.core.ProcessingConfig import ProcessingConfig
from qgis.PyQt.QtCore import QEventLoop, QTimer

HANGS_S = 600
"""How long a program sleeps that must be ended."""
PYTHON, PACKAGE, INDEX = "MMSR_PYTHON", "MMSR_PACKAGE", "MMSR_INDEX"


@pytest.fixture
def _no_library(provider: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A first run: no setting has a value, and the plugin's folder is empty."""
    from mmsr_qgis import settings

    monkeypatch.delenv("MMSR_GEO_PYTHON", raising=False)
    folders = tmp_path / "settings" / "environment", tmp_path / "settings" / "environment_2"
    monkeypatch.setattr(settings, "environment_folders", lambda: folders)
    kept = {name: ProcessingConfig.getSetting(name) for name in (PYTHON, PACKAGE, INDEX)}
    yield
    for name, value in kept.items():
        ProcessingConfig.setSettingValue(name, value)


@pytest.fixture
def dialog(_no_library: None) -> Iterator[Any]:
    from mmsr_qgis.environment_dialog import EnvironmentDialog

    made = EnvironmentDialog()
    yield made
    made.done(0)


def until(true: Callable[[], bool], seconds: float = DEADLINE_S) -> None:
    """Run the event loop until a condition is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "the deadline has passed"
        loop = QEventLoop()
        QTimer.singleShot(50, loop.quit)
        loop.exec()


def pressed(dialog: Any, button: Any) -> None:
    """Press a button and wait for the end of its work."""
    button.click()
    until(dialog.start.isEnabled)


def wheel_of(folder: Path, name: str, needs: str = "") -> Path:
    """Make a small wheel that pip accepts."""
    path = folder / f"{name.replace('-', '_')}-0.1.0-py3-none-any.whl"
    info = f"{name.replace('-', '_')}-0.1.0.dist-info"
    needed = f"Requires-Dist: {needs}\n" if needs else ""
    with ZipFile(path, "w") as held:
        held.writestr(f"{name.replace('-', '_')}/__init__.py", "")
        held.writestr(f"{name.replace('-', '_')}/api.py", "x = 1\n" * 100_000)
        held.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n{needed}")
        held.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        held.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """A package index on this machine: mmsr-geo that needs a-part, both small."""
    folder = tmp_path / "index"
    for name, needs in (("mmsr-geo", "a-part==0.1.0"), ("a-part", "")):
        (folder / name).mkdir(parents=True)
        wheel = wheel_of(folder / name, name, needs)
        (folder / name / "index.html").write_text(f"<html><body><a href='{wheel.name}'>{wheel.name}</a></body></html>")

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *given: Any, **more: Any) -> None:
            super().__init__(*given, directory=str(folder), **more)

        def log_message(self, *_given: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def test_it_shows_what_is_missing(dialog: Any) -> None:
    assert "The mmsr_geo library is not set up yet" in dialog.status.text()
    assert dialog.package.text() == "mmsr-geo==0.1.0"
    assert dialog.start.text() == "Create an environment…"


def test_the_size_is_shown_before_the_download_and_then_it_is_installed(
    dialog: Any, index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    dialog.package.setText("mmsr-geo==0.1.0")
    dialog.index.setText(index)
    pressed(dialog, dialog.start)
    size = sum(path.stat().st_size for path in (tmp_path / "index").rglob("*.whl"))
    assert dialog.size_label.text().startswith(f"2 packages, {size / 1e6:.0f} MB to download. They need about ")
    assert dialog.start.text() == f"Download and install ({size / 1e6:.0f} MB)"
    folder = tmp_path / "settings" / "environment"
    assert not list(folder.rglob("a_part"))
    shares: list[int] = []
    dialog.bar.valueChanged.connect(shares.append)
    pressed(dialog, dialog.start)
    assert "mmsr_geo 0.1.0 is ready" in dialog.status.text()
    assert list(folder.rglob("a_part"))
    assert "Successfully installed a-part-0.1.0 mmsr-geo-0.1.0" in dialog.log.toPlainText()
    assert shares[-1] == 100
    assert ProcessingConfig.getSetting(PYTHON) == str(folder / "bin" / "python")
    assert ProcessingConfig.getSetting(INDEX) == index
    # The next environment has another folder: the old one stays until the new one works.
    assert dialog._folder == tmp_path / "settings" / "environment_2"


def test_the_built_wheel_is_installed_and_works(
    dialog: Any, run: Runner, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real library with all that it needs, as a user gets it; torch's version as the project's constraints say."""
    (wheel,) = (ROOT / "dist").glob("mmsr_geo-*.whl")
    monkeypatch.setenv("PIP_CONSTRAINT", str(ROOT / "constraints.txt"))
    dialog.package.setText(str(wheel))
    pressed(dialog, dialog.start)
    assert dialog._download is not None, dialog.log.toPlainText()
    assert len(dialog._download.packages) > 20
    assert dialog._download.size_bytes > 100_000_000
    download = dialog._download.size_bytes
    pressed(dialog, dialog.start)
    assert "is ready" in dialog.status.text(), dialog.log.toPlainText()
    folder = tmp_path / "settings" / "environment"
    on_disk = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{download / 1e6:.0f} MB to download, {on_disk / 1e6:.0f} MB on the disk: {on_disk / download:.2f}")
    ran = run(
        "upsample", SOURCE=str(source), GUIDE=str(GUIDE), OUTPUT=str(tmp_path / "o.tif"), METHOD="nearest", SCALE="4"
    )
    assert ran.ok, ran.errors


def test_offline_is_explained_and_leaves_nothing(dialog: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    dialog.index.setText("http://127.0.0.1:9/simple")
    pressed(dialog, dialog.start)
    assert "The package index cannot be reached: check the network and proxy" in dialog.status.text()
    assert not (tmp_path / "settings" / "environment").exists()
    assert dialog.start.text() == "Create an environment…"


def test_a_version_that_the_index_does_not_have_is_explained(
    dialog: Any, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    dialog.package.setText("mmsr-geo==99")
    dialog.index.setText(index)
    pressed(dialog, dialog.start)
    assert "The package index has no mmsr-geo==99 for this Python and system" in dialog.status.text()


def test_stopping_leaves_nothing(dialog: Any, tmp_path: Path) -> None:
    dialog.start.click()
    until((tmp_path / "settings" / "environment").exists)
    began = time.monotonic()
    dialog.stop.click()
    until(dialog.start.isEnabled)
    assert time.monotonic() - began < DEADLINE_S
    assert dialog.status.text() == "<b>Stopped.</b>"
    assert not (tmp_path / "settings" / "environment").exists()
    assert children() == []


def test_a_python_set_by_hand_is_tested_with_one_click(dialog: Any) -> None:
    dialog.python.setFilePath(str(LIBRARY))
    pressed(dialog, dialog.test)
    assert dialog.status.text() == f"mmsr_geo 0.1.0 is ready in {LIBRARY}."
    assert ProcessingConfig.getSetting(PYTHON) == str(LIBRARY)


@pytest.mark.parametrize(
    ("python", "part"),
    [
        ("/nowhere/python", "There is no file /nowhere/python"),
        ("/usr/bin/python3", "does not have mmsr_geo"),
        ("/bin/true", "does not answer like a Python"),
        (str(GUIDE), "cannot be started"),
    ],
)
def test_a_python_without_the_library_is_refused_and_not_set(dialog: Any, python: str, part: str) -> None:
    dialog.python.setFilePath(python)
    pressed(dialog, dialog.test)
    assert part in dialog.status.text()
    assert ProcessingConfig.getSetting(PYTHON) != python


# Closing during work


def script(path: Path, text: str) -> Path:
    """Write a program that is started in place of a Python."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("hangs", ["inspected", "tested"])
def test_closing_ends_a_test_that_hangs(dialog: Any, tmp_path: Path, hangs: str) -> None:
    answer = """echo '{"event": "python", "python": [3, 12, 0], "version": "0.1.0"}'"""
    began = tmp_path / "began"
    asking = f'case "$2" in *importlib*) {answer if hangs == "tested" else ""}; exit;; esac; ' * (hangs == "tested")
    python = script(tmp_path / "python", f"{asking}touch '{began}'; exec sleep {HANGS_S}")
    dialog.python.setFilePath(str(python))
    dialog.test.click()
    until(began.exists)
    closing = time.monotonic()
    dialog.done(0)
    assert time.monotonic() - closing < HANGS_S / 2
    until(lambda: not dialog._work.isRunning())
    assert ProcessingConfig.getSetting(PYTHON) != str(python)
    assert children() == []


def two_environments(dialog: Any) -> tuple[Path, Path]:
    """Make an environment in use, and one that the dialog has created and not yet set."""
    from mmsr_qgis import interpreter, settings

    for folder in settings.environment_folders():
        python = interpreter.environment_python(folder)
        python.parent.mkdir(parents=True)
        script(python, "exit 1")
    old, new = settings.environment_folders()
    settings.store(PYTHON, str(interpreter.environment_python(old)))
    dialog._folder, dialog._is_unfinished = new, True
    return old, new


def test_closing_before_a_success_arrives_keeps_the_old_environment(dialog: Any) -> None:
    """The thread has ended, and its result waits for the dialog, which is closed before."""
    from mmsr_qgis import interpreter

    old, new = two_environments(dialog)
    dialog._do(lambda _: interpreter.environment_python(new), dialog._use_created)
    dialog._work.wait()
    dialog.done(0)
    ended: list[bool] = []
    QTimer.singleShot(200, lambda: ended.append(True))
    until(lambda: bool(ended))
    assert old.exists()
    assert not new.exists()
    assert ProcessingConfig.getSetting(PYTHON) == str(interpreter.environment_python(old))


def test_the_old_environment_is_removed_once_the_new_one_is_set(dialog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmsr_qgis import environment, interpreter

    old, new = two_environments(dialog)
    own, set_then = environment.remove, []

    def remove(folder: Path) -> None:
        set_then.append(ProcessingConfig.getSetting(PYTHON))
        own(folder)

    monkeypatch.setattr(environment, "remove", remove)
    dialog._use_created(interpreter.environment_python(new))
    assert set_then == [str(interpreter.environment_python(new))]
    assert new.exists()
    assert not old.exists()
    assert dialog._folder == old


@pytest.mark.usefixtures("_no_library")
def test_the_algorithm_opens_afterwards_with_its_parameters(provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with `processing.execAlgorithmDialog`, which passes the parameters to any dialog of an algorithm."""
    import processing

    instead = provider.algorithm("upsample").create().createCustomParametersWidget(None)
    instead.setParameters({"SCALE": "4"})
    opened: list[tuple[Any, ...]] = []
    monkeypatch.setattr(processing, "execAlgorithmDialog", lambda *given: opened.append(given), raising=False)
    instead._use(LIBRARY)
    instead.done(0)
    until(lambda: bool(opened))
    assert opened == [("mmsr:upsample", {"SCALE": "4"})]


@pytest.mark.usefixtures("_no_library")
def test_this_dialog_replaces_the_algorithms_only_without_the_library(
    provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead = provider.algorithm("upsample").create().createCustomParametersWidget(None)
    assert type(instead).__name__ == "EnvironmentDialog"
    instead.done(0)
    monkeypatch.setenv("MMSR_GEO_PYTHON", str(LIBRARY))
    assert provider.algorithm("upsample").create().createCustomParametersWidget(None) is None


# Which Python


def test_the_setting_precedes_the_variable_and_that_the_environment(tmp_path: Path) -> None:
    from mmsr_qgis.interpreter import NoLibrary, choose, environment_python

    for name in ("a", "b"):
        (tmp_path / name).touch()
    environment = tmp_path / "environment"
    own = environment_python(environment)
    own.parent.mkdir(parents=True)
    own.touch()
    variable = {"MMSR_GEO_PYTHON": str(tmp_path / "b")}
    assert choose(str(tmp_path / "a"), variable, environment).path == tmp_path / "a"
    assert choose(" ", variable, environment).path == tmp_path / "b"
    assert choose("", {}, environment).path == own
    with pytest.raises(NoLibrary, match="not set up yet"):
        choose("", {}, tmp_path / "other")


@pytest.mark.usefixtures("_no_library")
def test_without_a_setting_the_existing_environment_is_used() -> None:
    """A second environment has the second folder; the setting may be emptied after that."""
    from mmsr_qgis import interpreter, settings

    _, second = settings.environment_folders()
    python = interpreter.environment_python(second)
    python.parent.mkdir(parents=True)
    python.touch()
    settings.store(PYTHON, "")
    assert settings.chosen_interpreter().path == python
    assert settings.new_environment_folder() == settings.environment_folders()[0]


def test_on_windows_qgis_itself_is_not_used_as_a_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There `sys.executable` is qgis-bin.exe, which would open a second QGIS."""
    from mmsr_qgis import interpreter

    qgis, home = tmp_path / "bin" / "qgis-ltr-bin.exe", tmp_path / "apps" / "Python312"
    for path in (qgis, home / "python.exe"):
        path.parent.mkdir(parents=True)
        path.touch()
    inspected: list[Path] = []

    def inspect(path: Path, _cancelled: object) -> interpreter.PythonInfo:
        inspected.append(path)
        return interpreter.PythonInfo((3, 12, 4), None)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "executable", str(qgis))
    monkeypatch.setattr(sys, "exec_prefix", str(home))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(interpreter, "inspect", inspect)
    assert interpreter.base_python() == home / "python.exe"
    assert inspected == [home / "python.exe"]
    assert interpreter.is_qgis(qgis)
    assert not interpreter.is_qgis(home / "python.exe")
    assert interpreter.environment_python(tmp_path) == tmp_path / "Scripts" / "python.exe"


def test_a_python_that_is_too_old_is_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from mmsr_qgis import interpreter

    names = ["python3", "python3.12"]
    for name in names:
        (tmp_path / name).touch()
    versions = {"python3": (3, 9, 5), "python3.12": (3, 12, 0)}
    monkeypatch.setattr(interpreter, "base_pythons", lambda: iter(tmp_path / name for name in names))
    monkeypatch.setattr(interpreter, "inspect", lambda path, _: interpreter.PythonInfo(versions[path.name], None))
    assert interpreter.base_python() == tmp_path / "python3.12"
    versions["python3.12"] = (3, 10, 0)
    with pytest.raises(interpreter.NoLibrary, match=r"needs Python 3\.11 or later .*python3 is Python 3\.9\.5"):
        interpreter.base_python()


def test_pips_lines_become_a_share_of_the_download() -> None:
    from mmsr_qgis.environment import Download, Package, _Meter

    shares: list[float] = []
    meter = _Meter(Download((Package("small", "1", 100), Package("large-one", "2", 900))), shares.append)
    lines = [
        "Collecting small",
        "  Downloading small-1-py3-none-any.whl (100 B)",
        "  Downloading https://host/p/large_one-2-cp311-none-any.whl.metadata (1 kB)",
        "  Downloading large_one-2-cp311-none-any.whl (900 B)",
        "Progress 450 of 900",
    ]
    assert [meter.consume(line) for line in lines] == [True, True, True, True, False]
    assert shares == [0.0, 0.1, 0.55]
