"""Start and end of programs, their last lines, and the same on Windows, simulated on this system."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

NO_WINDOW, NEW_GROUP = 0x0800_0000, 0x0200
HANGS_S = 600
"""How long a program sleeps that must be ended, or not waited for."""
DEADLINE_S = HANGS_S / 2
"""Limit for what must happen before such a program would end on its own; no load reaches it."""


@pytest.fixture
def _on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmsr_qgis import runner

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(runner, "NO_WINDOW", NO_WINDOW, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NO_WINDOW", NO_WINDOW, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", NEW_GROUP, raising=False)


class Process:
    """A process that ends when its tree is killed, and records the calls."""

    pid = 4711

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.flags: list[int] = []
        self.returncode: int | None = None
        monkeypatch.setattr(subprocess, "run", self.taskkill)

    def taskkill(self, words: list[str], **how: Any) -> None:
        assert self.returncode is None, "its children can no longer be found"
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
def test_on_windows_the_tree_is_killed_while_its_root_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmsr_qgis import runner

    process = Process(monkeypatch)
    runner.end(process)  # type: ignore[arg-type]
    assert process.done == ["taskkill", "terminate", "wait"]
    assert process.flags == [NO_WINDOW]


@pytest.mark.usefixtures("_on_windows")
def test_on_windows_a_process_that_has_ended_is_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmsr_qgis import runner

    process = Process(monkeypatch)
    process.returncode = 0
    runner.end(process)  # type: ignore[arg-type]
    assert process.done == ["wait"]


@pytest.mark.usefixtures("_on_windows")
def test_on_windows_no_process_opens_a_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the command, nor a Python that is inspected or tested."""
    from mmsr_qgis import interpreter, runner

    flags: list[int] = []

    def start(_words: list[str], **how: Any) -> None:
        flags.append(how.get("creationflags", 0))
        raise OSError(2, "not here")

    monkeypatch.setattr(subprocess, "Popen", start)  # subprocess.run starts by this too
    with pytest.raises(runner.CommandError):
        runner.run(["mmsr-geo"], lambda _: None, lambda: False)
    with pytest.raises(interpreter.NoLibrary):
        interpreter.inspect(Path("python.exe"))
    monkeypatch.setattr(interpreter, "require_library", lambda *_: interpreter.PythonInfo((3, 12), "1"))
    with pytest.raises(OSError, match="not here"):
        interpreter.load_library(Path("python.exe"), lambda: False)
    assert flags == [NO_WINDOW | NEW_GROUP] * 3


@pytest.mark.usefixtures("_on_windows")
def test_on_windows_the_command_is_logged_for_its_terminal() -> None:
    from mmsr_qgis import runner

    assert runner.command_line(["mmsr-geo", "C:\\my data\\a.tif"]) == 'mmsr-geo "C:\\my data\\a.tif"'


def test_the_limits_of_a_cancel_add_up_to_three_seconds() -> None:
    """The tests that cancel have a deadline that no load reaches, so they do not show this."""
    from mmsr_qgis import files, runner

    assert runner.POLL_S + runner.GRACE_S + files.REMOVAL_S <= 3


def cancelled(tmp_path: Path) -> None:
    """Run a command that is stopped and leaves an unfinished file."""
    from mmsr_qgis import runner

    script = f"import sys, time; open(sys.argv[1], 'w').close(); print(1, flush=True); time.sleep({HANGS_S})"
    stop: list[int] = []
    arguments = [sys.executable, "-c", script, str(tmp_path / ".out.tif.part")]
    with pytest.raises(runner.CommandStopped):
        runner.run(arguments, lambda _: stop.append(1), lambda: bool(stop), [tmp_path / "out.tif"])


def test_a_file_that_is_in_use_for_a_moment_is_removed_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmsr_qgis import files

    own, tried = Path.unlink, []

    def unlink(path: Path, **how: Any) -> None:
        tried.append(path)
        if len(tried) < 4:
            raise PermissionError(13, "another program uses it")
        own(path, **how)

    monkeypatch.setattr(Path, "unlink", unlink)
    monkeypatch.setattr(files, "REMOVAL_S", DEADLINE_S)
    cancelled(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_stays_in_use_is_left_and_the_run_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unlink(_path: Path, **_how: Any) -> None:
        raise PermissionError(13, "another program uses it")

    monkeypatch.setattr(Path, "unlink", unlink)
    began = time.monotonic()
    cancelled(tmp_path)
    assert time.monotonic() - began < DEADLINE_S


def test_a_temporary_folder_is_removed_and_a_file_in_use_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmsr_qgis.files import Scratch

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


def test_the_last_lines_are_read_after_the_command_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the end of the process may be seen before its last output."""
    from mmsr_qgis import runner

    own = runner._event
    monkeypatch.setattr(runner, "DRAIN_S", DEADLINE_S)

    def late(text: str) -> runner.Event:
        time.sleep(0.5)
        return own(text)

    monkeypatch.setattr(runner, "_event", late)
    script = """print('{"event": "done", "seconds": 1}')"""
    assert runner.run([sys.executable, "-c", script], lambda _: None, lambda: False)["seconds"] == 1


def test_a_child_that_keeps_the_pipes_open_does_not_delay_the_end() -> None:
    from mmsr_qgis import runner

    script = f"import subprocess, sys; subprocess.Popen(['sleep', '{HANGS_S}']); print('over')"
    began = time.monotonic()
    status, events = runner.output_of([sys.executable, "-c", script], lambda: False)
    assert time.monotonic() - began < DEADLINE_S
    assert (status, [runner.line_text(event) for event in events]) == (0, ["over"])
