"""Runs the command in a separate process and passes on what it reports.

torch and rasterio crash QGIS when they are loaded into its process: they bring GDAL, PROJ and OpenMP libraries of their
own.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shlex
import signal
import subprocess  # nosec B404  (running the command is what this module is for)
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from . import files
from .messages import Event, Messages
from .translation import tr

POLL_S = 0.1
GRACE_S = 1.5
"""Seconds in which a cancelled command removes its unfinished files, before it is killed.

With the poll before and the removal after it, a cancel takes at most 3 s.
"""
DRAIN_S = 1.0
"""Seconds in which the last lines of a command that has ended are awaited."""
NO_WINDOW: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)
"""Flag of every process: without it each process opens a console window on Windows. It is 0 on other systems."""
UNSET = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "QT_PLUGIN_PATH", "VIRTUAL_ENV")
UNSET_PREFIXES = ("PYTHON", "GDAL_", "PROJ_")
"""Variables that QGIS sets for its own Python and libraries; another Python would load those libraries."""


class CommandError(Exception):
    """The command failed; the exception's text is its message, in one line."""


class CommandStopped(Exception):
    """The command was stopped because the user cancelled."""


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables for another Python: without those of QGIS, in UTF-8."""
    kept = {
        name: value
        for name, value in environ.items()
        if name.upper() not in UNSET and not name.upper().startswith(UNSET_PREFIXES)
    }
    return {**kept, "PYTHONUTF8": "1", "PYTHONSAFEPATH": "1"}


def command_line(arguments: Sequence[str]) -> str:
    """Return a program and its arguments as one line for a terminal of this system."""
    return subprocess.list2cmdline(arguments) if sys.platform == "win32" else shlex.join(arguments)


def start(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a program without a console window, in a new process group that can be ended as a whole."""
    group: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        group = {"creationflags": NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return subprocess.Popen(  # nosec B603  (no shell; the arguments are the user's Python and the command's options)
        list(arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=child_environment(os.environ),
        **group,
    )


def run(
    arguments: Sequence[str],
    on_event: Callable[[Event], None],
    cancelled: Callable[[], bool],
    outputs: Sequence[Path] = (),
    messages: Messages | None = None,
) -> Event:
    """Run `mmsr-geo ... --progress json` to its end and return its `done` event.

    Args:
        arguments: the program and its arguments.
        on_event: called with each event, also with {"event": "line", "text": ...} for other output.
        cancelled: called ten times a second; True stops the command.
        outputs: the files that the command writes. Unfinished files next to them are removed if it is killed.
        messages: words the message of an error.

    Raises:
        CommandError: the command failed, with its own message.
        CommandStopped: within 3 s of a cancel. No process and no unfinished file is left then.
    """
    before = set(files.unfinished(outputs))
    try:
        status, events = output_of(arguments, cancelled, on_event)
    except OSError as error:
        raise CommandError(tr("{} cannot be started ({})").format(arguments[0], error.strerror or error)) from error
    finally:
        files.remove(set(files.unfinished(outputs)) - before)
    done = [event for event in events if event["event"] == "done"]
    if status or not done:
        raise CommandError((messages or Messages(tr=tr)).failure(events, status))
    return done[-1]


def output_of(
    arguments: Sequence[str], cancelled: Callable[[], bool], on_event: Callable[[Event], None] = lambda _: None
) -> tuple[int, list[Event]]:
    """Run any program to its end and return its exit status and its output.

    Args:
        arguments: the program and its arguments.
        cancelled: called ten times a second; True stops the program.
        on_event: called with each event as it arrives.

    Raises:
        OSError: the program cannot be started.
        CommandStopped: the user cancelled.
    """
    process = start(arguments)
    events: list[Event] = []
    try:
        for event in _events(process, cancelled):
            events.append(event)
            on_event(event)
    finally:
        end(process)
    return process.returncode, events


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all its children: by a request first, then by force; on Windows only by force."""
    if sys.platform == "win32":
        if process.poll() is None:
            _kill_tree(process)
    else:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):  # none is left; macOS raises it for zombies
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    """End a process of Windows and its children, which are found through it while it runs."""
    tree = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
    with contextlib.suppress(OSError):
        subprocess.run(tree, check=False, capture_output=True, creationflags=NO_WINDOW)  # nosec B603  (a number)
    process.kill()


def _events(process: subprocess.Popen[bytes], cancelled: Callable[[], bool]) -> Iterator[Event]:
    """Yield what a process prints until it has ended; raise CommandStopped on a cancel."""
    received: queue.Queue[Event] = queue.Queue()
    readers = [
        threading.Thread(target=_read, args=(stream, parse, received), daemon=True)
        for stream, parse in ((process.stdout, _event), (process.stderr, _line))
    ]
    for reader in readers:
        reader.start()
    while True:
        if cancelled():
            raise CommandStopped
        try:
            yield received.get(timeout=POLL_S)
        except queue.Empty:
            # A child of the process may keep the pipes open: the end of the process counts, not that of the pipes.
            if process.poll() is not None:
                break
    deadline = time.monotonic() + DRAIN_S
    for reader in readers:
        reader.join(max(0.0, deadline - time.monotonic()))
    for _ in range(received.qsize()):
        yield received.get()


def _read(stream: IO[bytes], parse: Callable[[str], Event], received: queue.Queue[Event]) -> None:
    with stream:
        for line in stream:
            text = line.decode("utf-8", "replace").rstrip()
            if text:
                received.put(parse(text))


def _event(text: str) -> Event:
    try:
        event = json.loads(text)
    except ValueError:
        return _line(text)
    return event if isinstance(event, dict) and "event" in event else _line(text)


def _line(text: str) -> Event:
    return {"event": "line", "text": text}


def line_text(event: Event) -> str:
    """Return the text of a line of output; empty for an event."""
    return str(event.get("text", ""))
