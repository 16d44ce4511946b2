"""Running and ending programs: the last lines, and Windows, whose part is played here by what this system has."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

NO_WINDOW, NEW_GROUP = 0x0800_0000, 0x0200


@pytest.fixture
def _on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmsr_qgis import runner

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(runner, "NO_WINDOW", NO_WINDOW, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NO_WINDOW", NO_WINDOW, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", NEW_GROUP, raising=False)


class Process:
    """A process that ends once its tree is killed, and notes what is done to it."""

    pid = 4711

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.flags: list[int] = []
        self.returncode: int | None = None
        monkeypatch.setattr(subprocess, "run", self.taskkill)

    def taskkill(self, words: list[str], **how: Any) -> None:
        assert self.returncode is None, "its children cannot be found any more"
        assert words == ["taskkill", "/F", "/T", "/PID", "4711"]
        self.done.append("taskkill")
        self.flags.append(how.get("creationflags", 0))
        self.returncode = 1

    def poll(self) -> int | None:
        return self.returncode

    def terminate(self) -> None:
        self.done.append("terminate")
        self.returncode = 1

    kill = terminate

    def wait(self, _timeout: float | None = None) -> None:
        self.done.append("wait")


@pytest.mark.usefixtures("_on_windows")
def test_on_windows_the_tree_is_killed_while_its_root_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmsr_qgis import runner

    process = Process(monkeypatch)
    runner.end(process)  # type: ignore[arg-type]
    assert process.done == ["taskkill", "terminate", "wait"]
    assert process.flags == [NO_WINDOW]


@pytest.mark.usefixtures("_on_windows")
def test_on_windows_what_has_ended_is_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmsr_qgis import runner

    process = Process(monkeypatch)
    process.returncode = 0
    runner.end(process)  # type: ignore[arg-type]
    assert process.done == ["wait"]


@pytest.mark.usefixtures("_on_windows")
def test_on_windows_nothing_that_is_started_opens_a_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the command, and not a Python that is asked what it is or tested."""
    from mmsr_qgis import interpreter, runner

    flags: list[int] = []

    def start(_words: list[str], **how: Any) -> None:
        flags.append(how.get("creationflags", 0))
        raise OSError(2, "not here")

    monkeypatch.setattr(subprocess, "Popen", start)  # subprocess.run starts by this too
    with pytest.raises(runner.CommandError):
        runner.run(["mmsr-geo"], lambda _: None, lambda: False)
    with pytest.raises(interpreter.NoLibrary):
        interpreter.asked(Path("python.exe"))
    monkeypatch.setattr(interpreter, "checked", lambda *_: interpreter.Found((3, 12), "1"))
    with pytest.raises(OSError, match="not here"):
        interpreter.tested(Path("python.exe"), lambda: False)
    assert flags == [NO_WINDOW | NEW_GROUP] * 3


@pytest.mark.usefixtures("_on_windows")
def test_on_windows_the_command_is_logged_as_its_terminal_takes_it() -> None:
    from mmsr_qgis import runner

    assert runner.typed(["mmsr-geo", "C:\\my data\\a.tif"]) == 'mmsr-geo "C:\\my data\\a.tif"'


def killed(tmp_path: Path) -> None:
    """Run a command that leaves an unfinished file and is stopped."""
    from mmsr_qgis import runner

    script = "import sys, time; open(sys.argv[1], 'w').close(); print(1, flush=True); time.sleep(60)"
    stop: list[int] = []
    words = [sys.executable, "-c", script, str(tmp_path / ".out.tif.part")]
    with pytest.raises(runner.CommandStopped):
        runner.run(words, lambda _: stop.append(1), lambda: bool(stop), [tmp_path / "out.tif"])


def test_a_file_that_is_held_for_a_moment_is_removed_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, tried = Path.unlink, []

    def unlink(path: Path, **how: Any) -> None:
        tried.append(path)
        if len(tried) < 4:
            raise PermissionError(13, "another program uses it")
        own(path, **how)

    monkeypatch.setattr(Path, "unlink", unlink)
    killed(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_stays_held_is_left_and_the_stop_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unlink(_path: Path, **_how: Any) -> None:
        raise PermissionError(13, "another program uses it")

    monkeypatch.setattr(Path, "unlink", unlink)
    began = time.monotonic()
    killed(tmp_path)
    assert time.monotonic() - began < 4


def test_a_temporary_folder_goes_and_what_is_held_in_it_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmsr_qgis.scratch import Scratch

    with Scratch() as folder:
        (folder / "file").touch()
    assert not folder.exists()
    kept = Scratch()
    folder = kept.path
    del kept
    assert not folder.exists()

    def unlink(*_given: Any, **_how: Any) -> None:
        raise PermissionError(13, "another program uses it")

    with monkeypatch.context() as patched, Scratch() as folder:
        (folder / "file").touch()
        patched.setattr("os.unlink", unlink)
    shutil.rmtree(folder)


def test_the_last_lines_are_heard_though_the_command_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine its end may be seen before what it said last."""
    from mmsr_qgis import runner

    own = runner._event

    def late(text: str) -> runner.Event:
        time.sleep(0.5)
        return own(text)

    monkeypatch.setattr(runner, "_event", late)
    script = """print('{"event": "done", "seconds": 1}')"""
    assert runner.run([sys.executable, "-c", script], lambda _: None, lambda: False)["seconds"] == 1


def test_a_child_that_keeps_the_pipes_open_does_not_keep_the_command(tmp_path: Path) -> None:
    from mmsr_qgis import runner

    script = "import subprocess, sys; subprocess.Popen(['sleep', '30']); print('over')"
    began = time.monotonic()
    status, said = runner.heard([sys.executable, "-c", script], lambda: False)
    assert time.monotonic() - began < 5
    assert (status, [runner.line_of(event) for event in said]) == (0, ["over"])
