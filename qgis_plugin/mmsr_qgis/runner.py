"""Runs the command in a process of its own and passes on what it says.

torch and rasterio, loaded into QGIS's own process, crash it: they bring GDAL, PROJ and OpenMP libraries of their own.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shlex
import shutil
import signal
import subprocess  # nosec B404  (running the command is what this module is for)
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from .translation import tr

Event = Mapping[str, Any]

POLL_S = 0.1
GRACE_S = 1.5
"""What a command that is told to stop is given to remove what it began; the promise is 3 s for all of it."""
DRAIN_S = 1.0
"""What the last lines of a command that has ended are waited for."""
REMOVAL_S = 1.0
"""How long it is tried to remove what a killed command left: Windows lets go of its files a moment later."""
NO_WINDOW: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)
"""Flag that every program is started with: without it each opens a console window on Windows; 0 elsewhere."""
UNSET = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "QT_PLUGIN_PATH", "VIRTUAL_ENV")
UNSET_PREFIXES = ("PYTHON", "GDAL_", "PROJ_")
"""What QGIS sets for its own Python and its own libraries, and would lead another Python to them."""


class CommandError(Exception):
    """The command failed; its message is the one line that it said."""


class CommandStopped(Exception):
    """The command was stopped because the user cancelled."""


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for another Python: without QGIS's, in UTF-8, modules of its own only."""
    kept = {
        name: value
        for name, value in environ.items()
        if name.upper() not in UNSET and not name.upper().startswith(UNSET_PREFIXES)
    }
    return {**kept, "PYTHONUTF8": "1", "PYTHONSAFEPATH": "1"}


def typed(words: Sequence[str]) -> str:
    """Return words as they are typed into this system's terminal."""
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def popen(words: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a program that has no console window, in a group of its own, so that its children can be ended with it."""
    own: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        own = {"creationflags": NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return subprocess.Popen(  # nosec B603  (no shell; the words are the interpreter chosen by the user and options)
        list(words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=child_environment(os.environ),
        **own,
    )


def run(
    words: Sequence[str],
    tell: Callable[[Event], None],
    cancelled: Callable[[], bool],
    outputs: Sequence[Path] = (),
) -> Event:
    """Run `mmsr-geo ... --progress json` to its end and return its `done` event.

    words: the program and its arguments. tell: called with each event, and with {"event": "line", "text": ...} for what
    else is said. cancelled: asked ten times a second. outputs: what it writes; where it had to be killed, what is
    unfinished beside them is removed.

    Raises CommandError with the command's own line where it fails, CommandStopped within 3 s of a cancel; then no
    process and no unfinished file is left.
    """
    before = set(_unfinished(outputs))
    try:
        status, said = heard(words, cancelled, tell)
    except OSError as error:
        raise CommandError(tr("{} cannot be started ({})").format(words[0], error.strerror or error)) from error
    finally:
        _remove(set(_unfinished(outputs)) - before)
    done = [event for event in said if event["event"] == "done"]
    if status or not done:
        raise CommandError(_reason(said, status))
    return done[-1]


def heard(
    words: Sequence[str], cancelled: Callable[[], bool], tell: Callable[[Event], None] = lambda _: None
) -> tuple[int, list[Event]]:
    """Run any program to its end and return its status and what it said.

    tell: called with each event as it comes. Raises OSError where it cannot be started, CommandStopped on a cancel.
    """
    process = popen(words)
    said: list[Event] = []
    try:
        for event in events(process, cancelled):
            said.append(event)
            tell(event)
    finally:
        end(process)
    return process.returncode, said


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started: asked first, then killed; on Windows, which cannot ask, killed."""
    if sys.platform == "win32":
        if process.poll() is None:
            _kill_tree(process)
    else:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left; macOS says so of zombies
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    """End a process of Windows with its children, which are found through it: it must not have ended before."""
    tree = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
    with contextlib.suppress(OSError):
        subprocess.run(tree, check=False, capture_output=True, creationflags=NO_WINDOW)  # nosec B603  (a number)
    process.kill()


def _remove(paths: Iterable[Path]) -> None:
    """Remove files and folders; what is still held after a while stays."""
    until = time.monotonic() + REMOVAL_S
    for path in paths:
        while not _removed(path) and time.monotonic() < until:
            time.sleep(POLL_S)


def _removed(path: Path) -> bool:
    try:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def events(process: subprocess.Popen[bytes], cancelled: Callable[[], bool]) -> Iterator[Event]:
    """Give what a process says, until it has ended; raises CommandStopped."""
    said: queue.Queue[Event] = queue.Queue()
    readers = [
        threading.Thread(target=_read, args=(stream, parse, said), daemon=True)
        for stream, parse in ((process.stdout, _event), (process.stderr, _line))
    ]
    for reader in readers:
        reader.start()
    while True:
        if cancelled():
            raise CommandStopped
        try:
            yield said.get(timeout=POLL_S)
        except queue.Empty:
            # A child of its own may hold its pipes open: the process's end counts, not the pipes'.
            if process.poll() is not None:
                break
    until = time.monotonic() + DRAIN_S
    for reader in readers:
        reader.join(max(0.0, until - time.monotonic()))
    for _ in range(said.qsize()):
        yield said.get()


def _read(stream: IO[bytes], parse: Callable[[str], Event], said: queue.Queue[Event]) -> None:
    with stream:
        for line in stream:
            text = line.decode("utf-8", "replace").rstrip()
            if text:
                said.put(parse(text))


def _event(text: str) -> Event:
    try:
        event = json.loads(text)
    except ValueError:
        return _line(text)
    return event if isinstance(event, dict) and "event" in event else _line(text)


def _line(text: str) -> Event:
    return {"event": "line", "text": text}


def line_of(event: Event) -> str:
    """Return what a program said beside the command's events; empty for one of those."""
    return str(event.get("text", ""))


def _reason(said: Sequence[Event], status: int) -> str:
    """Return why a command failed, in one line."""
    errors = [str(event["message"]) for event in said if event["event"] == "error"]
    lines = [str(event["text"]) for event in said if event["event"] == "line"]
    if errors:
        return " ".join(errors[-1].split())
    if status < 0 and not any(line.startswith("Error: ") for line in lines):
        return tr("mmsr-geo was killed by signal {}, perhaps for want of memory: give a smaller tile size").format(
            -status
        )
    last = lines[-1] if lines else tr("it said nothing")
    if last.startswith("Error: "):
        return last[len("Error: ") :]
    return tr("mmsr-geo ended with status {}: {}").format(status, last)


def _unfinished(outputs: Sequence[Path]) -> Iterator[Path]:
    """Give what the command has begun: beside a file `.NAME.…`, in a report's folder `.report.…`."""
    for output in outputs:
        for folder, begin in ((output.parent, f".{output.name}."), (output, ".report.")):
            if folder.is_dir():
                yield from (each for each in folder.iterdir() if each.name.startswith(begin))
