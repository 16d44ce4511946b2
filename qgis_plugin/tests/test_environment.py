"""The environment's dialog: what pip would download, installing, failing, stopping, and a Python set by hand."""

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
from conftest import GUIDE, LIBRARY, ROOT, Runner, children
from processing.core.ProcessingConfig import ProcessingConfig
from qgis.PyQt.QtCore import QEventLoop, QTimer

PYTHON, PACKAGE, INDEX = "MMSR_PYTHON", "MMSR_PACKAGE", "MMSR_INDEX"


@pytest.fixture
def _no_library(provider: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A first run: nothing is set, and the plugin's own folder is empty."""
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


def until(true: Callable[[], bool], seconds: float = 280) -> None:
    """Let the window live until something is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        loop = QEventLoop()
        QTimer.singleShot(50, loop.quit)
        loop.exec()


def pressed(dialog: Any, button: Any) -> None:
    """Press a button and wait for what it starts."""
    button.click()
    until(dialog.start.isEnabled)


def wheel_of(folder: Path, name: str, needs: str = "") -> Path:
    """Make a small wheel that pip takes for a package."""
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


def test_it_says_what_is_missing(dialog: Any) -> None:
    assert "mmsr_geo, the library that does the work, is not set up yet" in dialog.status.text()
    assert dialog.package.text() == "mmsr-geo==0.1.0"
    assert dialog.start.text() == "Make an environment…"


def test_the_size_is_shown_before_the_download_and_then_it_is_installed(
    dialog: Any, index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    dialog.package.setText("mmsr-geo==0.1.0")
    dialog.index.setText(index)
    pressed(dialog, dialog.start)
    size = sum(path.stat().st_size for path in (tmp_path / "index").rglob("*.whl"))
    assert dialog.size_label.text().startswith(f"2 packages, {size / 1e6:.0f} MB to download; about ")
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
    # Made anew, the old one stays until the new one works.
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
    assert "The package index cannot be reached: check the network and its proxy" in dialog.status.text()
    assert not (tmp_path / "settings" / "environment").exists()
    assert dialog.start.text() == "Make an environment…"


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
    assert time.monotonic() - began < 3
    assert dialog.status.text() == "<b>Stopped.</b>"
    assert not (tmp_path / "settings" / "environment").exists()
    assert children() == []


def test_a_python_set_by_hand_is_tested_with_one_click(dialog: Any) -> None:
    dialog.python.setFilePath(str(LIBRARY))
    pressed(dialog, dialog.test)
    assert dialog.status.text() == f"mmsr_geo 0.1.0 is ready, in {LIBRARY}."
    assert ProcessingConfig.getSetting(PYTHON) == str(LIBRARY)


@pytest.mark.parametrize(
    ("python", "said"),
    [
        ("/nowhere/python", "There is no file /nowhere/python"),
        ("/usr/bin/python3", "has no mmsr_geo"),
        ("/bin/true", "does not answer as a Python does"),
        (str(GUIDE), "cannot be started"),
    ],
)
def test_a_python_that_will_not_do_is_said_and_not_set(dialog: Any, python: str, said: str) -> None:
    dialog.python.setFilePath(python)
    pressed(dialog, dialog.test)
    assert said in dialog.status.text()
    assert ProcessingConfig.getSetting(PYTHON) != python


# Closing while something is done


def script(path: Path, text: str) -> Path:
    """Write what is started as a Python is."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("hangs", ["asked", "tested"])
def test_closing_ends_a_test_that_hangs(dialog: Any, tmp_path: Path, hangs: str) -> None:
    answer = """echo '{"event": "python", "python": [3, 12, 0], "version": "0.1.0"}'"""
    began = tmp_path / "began"
    asking = f'case "$2" in *importlib*) {answer if hangs == "tested" else ""}; exit;; esac; ' * (hangs == "tested")
    python = script(tmp_path / "python", f"{asking}touch '{began}'; exec sleep 20")
    dialog.python.setFilePath(str(python))
    dialog.test.click()
    until(began.exists)
    closing = time.monotonic()
    dialog.done(0)
    assert time.monotonic() - closing < 3
    until(lambda: not dialog._work.isRunning())
    assert ProcessingConfig.getSetting(PYTHON) != str(python)
    assert children() == []


def two_environments(dialog: Any) -> tuple[Path, Path]:
    """Make an environment that is set, and one that the dialog has made and not yet set."""
    from mmsr_qgis import interpreter, settings

    for folder in settings.environment_folders():
        python = interpreter.environment_python(folder)
        python.parent.mkdir(parents=True)
        script(python, "exit 1")
    old, new = settings.environment_folders()
    settings.store(PYTHON, str(interpreter.environment_python(old)))
    dialog._folder, dialog._is_half_made = new, True
    return old, new


def test_closing_while_a_success_is_on_its_way_keeps_what_was_there(dialog: Any) -> None:
    """The thread has ended, and what it gave waits for the window, which is closed before."""
    from mmsr_qgis import interpreter

    old, new = two_environments(dialog)
    dialog._do(lambda _: interpreter.environment_python(new), dialog._use_made)
    dialog._work.wait()
    dialog.done(0)
    ended: list[bool] = []
    QTimer.singleShot(200, lambda: ended.append(True))
    until(lambda: bool(ended))
    assert old.exists()
    assert not new.exists()
    assert ProcessingConfig.getSetting(PYTHON) == str(interpreter.environment_python(old))


def test_the_old_environment_goes_once_the_new_one_is_set(dialog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmsr_qgis import environment, interpreter

    old, new = two_environments(dialog)
    own, set_then = environment.remove, []

    def remove(folder: Path) -> None:
        set_then.append(ProcessingConfig.getSetting(PYTHON))
        own(folder)

    monkeypatch.setattr(environment, "remove", remove)
    dialog._use_made(interpreter.environment_python(new))
    assert set_then == [str(interpreter.environment_python(new))]
    assert new.exists()
    assert not old.exists()
    assert dialog._folder == old


@pytest.mark.usefixtures("_no_library")
def test_the_algorithm_is_opened_with_what_it_was_to_be_opened_with(
    provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `processing.execAlgorithmDialog` does, which gives the parameters to whatever dialog the algorithm has."""
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
def test_the_algorithms_dialog_gives_way_to_this_one_only_where_the_library_is_missing(
    provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead = provider.algorithm("upsample").create().createCustomParametersWidget(None)
    assert type(instead).__name__ == "EnvironmentDialog"
    instead.done(0)
    monkeypatch.setenv("MMSR_GEO_PYTHON", str(LIBRARY))
    assert provider.algorithm("upsample").create().createCustomParametersWidget(None) is None


# Which Python


def test_the_setting_goes_before_the_variable_before_the_environment(tmp_path: Path) -> None:
    from mmsr_qgis.interpreter import NoLibrary, chosen, environment_python

    for name in ("a", "b"):
        (tmp_path / name).touch()
    environment = tmp_path / "environment"
    own = environment_python(environment)
    own.parent.mkdir(parents=True)
    own.touch()
    variable = {"MMSR_GEO_PYTHON": str(tmp_path / "b")}
    assert chosen(str(tmp_path / "a"), variable, environment).path == tmp_path / "a"
    assert chosen(" ", variable, environment).path == tmp_path / "b"
    assert chosen("", {}, environment).path == own
    with pytest.raises(NoLibrary, match="not set up yet"):
        chosen("", {}, tmp_path / "other")


@pytest.mark.usefixtures("_no_library")
def test_without_a_setting_the_environment_that_is_there_is_taken() -> None:
    """Made anew, it lies in the second place; then the setting may be emptied."""
    from mmsr_qgis import interpreter, settings

    _, second = settings.environment_folders()
    python = interpreter.environment_python(second)
    python.parent.mkdir(parents=True)
    python.touch()
    settings.store(PYTHON, "")
    assert settings.chosen_interpreter().path == python
    assert settings.new_environment_folder() == settings.environment_folders()[0]


def test_on_windows_qgis_itself_is_not_taken_for_a_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There `sys.executable` is qgis-bin.exe: run as a Python it would open a second QGIS."""
    from mmsr_qgis import interpreter

    qgis, home = tmp_path / "bin" / "qgis-ltr-bin.exe", tmp_path / "apps" / "Python312"
    for path in (qgis, home / "python.exe"):
        path.parent.mkdir(parents=True)
        path.touch()
    asked: list[Path] = []

    def answer(path: Path, _cancelled: object) -> interpreter.Found:
        asked.append(path)
        return interpreter.Found((3, 12, 4), None)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "executable", str(qgis))
    monkeypatch.setattr(sys, "exec_prefix", str(home))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(interpreter, "asked", answer)
    assert interpreter.base_python() == home / "python.exe"
    assert asked == [home / "python.exe"]
    assert interpreter.is_qgis(qgis)
    assert not interpreter.is_qgis(home / "python.exe")
    assert interpreter.environment_python(tmp_path) == tmp_path / "Scripts" / "python.exe"


def test_a_python_that_is_too_old_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from mmsr_qgis import interpreter

    names = ["python3", "python3.12"]
    for name in names:
        (tmp_path / name).touch()
    versions = {"python3": (3, 9, 5), "python3.12": (3, 12, 0)}
    monkeypatch.setattr(interpreter, "base_pythons", lambda: iter(tmp_path / name for name in names))
    monkeypatch.setattr(interpreter, "asked", lambda path, _: interpreter.Found(versions[path.name], None))
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
    assert [meter.takes(line) for line in lines] == [True, True, True, True, False]
    assert shares == [0.0, 0.1, 0.55]
