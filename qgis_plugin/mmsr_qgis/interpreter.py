"""The Python that runs the command: which one, and whether it has the library."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import runner
from .translation import tr

VARIABLE = "MMSR_GEO_PYTHON"
"""Environment variable that names a Python with mmsr_geo."""
OLDEST = (3, 11)
"""The oldest Python that mmsr_geo runs on."""
TIMEOUT_S = 60

_PROBE = """
import importlib.metadata, json, sys
try:
    version = importlib.metadata.version("mmsr-geo")
except importlib.metadata.PackageNotFoundError:
    version = None
print(json.dumps({"event": "python", "python": list(sys.version_info[:3]), "version": version}))
"""
_IMPORT = "import mmsr_geo.api"
"""Loads torch and GDAL, which a broken installation cannot load."""


class NoLibrary(Exception):
    """No Python with mmsr_geo was found; the exception's text is one sentence that says what is wrong."""


@dataclass(frozen=True)
class Interpreter:
    """A Python, and what named it."""

    path: Path
    origin: str
    """setting, variable or environment."""


@dataclass(frozen=True)
class PythonInfo:
    """Versions of a Python and of the library in it."""

    python: tuple[int, ...]
    version: str | None
    """Version of mmsr_geo; None if it is not installed."""


def environment_python(folder: Path) -> Path:
    """Return the path of the Python in a virtual environment, which may not exist."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def choose(setting: str, environ: Mapping[str, str], environment: Path) -> Interpreter:
    """Return the Python to use: that of the setting, else of the variable, else of the plugin's environment.

    Args:
        setting: the path in the options of Processing; may be empty.
        environ: the environment variables.
        environment: the folder of the plugin's virtual environment.

    Raises:
        NoLibrary: nothing names a Python and there is no environment, or the file that is named does not exist.
    """
    for named, origin in ((setting.strip(), "setting"), (environ.get(VARIABLE, "").strip(), "variable")):
        if named:
            path = Path(named).expanduser()
            if not path.is_file():
                where = tr("The Python in the options of Processing") if origin == "setting" else VARIABLE
                raise NoLibrary(tr("{} is set to {}, and this file does not exist").format(where, path))
            return Interpreter(path, origin)
    path = environment_python(environment)
    if not path.is_file():
        raise NoLibrary(tr("The mmsr_geo library is not set up yet"))
    return Interpreter(path, "environment")


def never() -> bool:
    """Return False: nothing cancels."""
    return False


def inspect(path: Path, cancelled: Callable[[], bool] = never) -> PythonInfo:
    """Return the versions of a Python and of its library; takes about a fifth of a second.

    Raises:
        NoLibrary: the file is not a Python.
        runner.CommandStopped: the user cancelled.
    """
    if is_qgis(path):
        raise NoLibrary(tr("{} is QGIS itself and not a Python: choose a python.exe").format(path))
    deadline = time.monotonic() + TIMEOUT_S
    try:
        _, events = runner.output_of([str(path), "-c", _PROBE], lambda: cancelled() or time.monotonic() > deadline)
        (info,) = (event for event in events if event["event"] == "python")
        return PythonInfo(tuple(info["python"]), info["version"])
    except OSError as error:
        raise NoLibrary(tr("{} cannot be started ({})").format(path, error.strerror or error)) from error
    except runner.CommandStopped as error:
        if cancelled():
            raise
        raise NoLibrary(tr("{} did not answer within {} s").format(path, TIMEOUT_S)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise NoLibrary(tr("{} does not answer like a Python").format(path)) from error


def require_library(path: Path, cancelled: Callable[[], bool] = never) -> PythonInfo:
    """Return the versions of a Python that has the library.

    Raises:
        NoLibrary: the library is not installed there, or the Python is too old for it.
        runner.CommandStopped: the user cancelled.
    """
    info = inspect(path, cancelled)
    if info.python < OLDEST:
        raise NoLibrary(
            tr("{} is Python {}, and mmsr_geo needs {} or later").format(path, _dotted(info.python), _dotted(OLDEST))
        )
    if info.version is None:
        raise NoLibrary(tr("{} (Python {}) does not have mmsr_geo").format(path, _dotted(info.python)))
    return info


def load_library(path: Path, cancelled: Callable[[], bool]) -> PythonInfo:
    """Load the library in a Python, with torch and GDAL, and return the versions; takes seconds to a minute.

    Raises:
        NoLibrary: the library is missing or cannot be loaded.
        runner.CommandStopped: the user cancelled.
    """
    info = require_library(path, cancelled)
    status, events = runner.output_of([str(path), "-c", _IMPORT], cancelled)
    if status:
        last = runner.line_text(events[-1]) if events else f"status {status}"
        raise NoLibrary(tr("mmsr_geo {} in {} cannot be loaded: {}").format(info.version, path, last))
    return info


def is_qgis(path: Path) -> bool:
    """Return whether a program is QGIS, as `sys.executable` is on Windows and macOS; it would open a window."""
    return "qgis" in path.stem.lower() and "python" not in path.stem.lower()


def base_pythons() -> Iterator[Path]:
    """Yield paths where a Python may be that can create an environment, the most likely first.

    QGIS's own Python comes first. On Linux it is `sys.executable`. On Windows that is qgis-bin.exe, and Python is in
    `sys.exec_prefix`; on macOS it is in the bin folder there. The folders of PATH follow.
    """
    running, prefix = Path(sys.executable or ""), Path(sys.exec_prefix)
    if running.stem.lower().startswith("python"):
        yield running
    if sys.platform == "win32":
        yield from (prefix / name for name in ("python.exe", "python3.exe"))
    else:
        yield prefix / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
        yield prefix / "bin" / "python3"
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        names = ("python.exe",) if sys.platform == "win32" else ("python3.13", "python3.12", "python3.11", "python3")
        yield from (Path(folder) / name for name in names if folder)


def base_python(cancelled: Callable[[], bool] = never) -> Path:
    """Return a Python that can create an environment.

    Raises:
        NoLibrary: there is none that is new enough.
        runner.CommandStopped: the user cancelled.
    """
    seen: dict[Path, str] = {}
    for path in base_pythons():
        if path in seen or not path.is_file():
            continue
        try:
            info = inspect(path, cancelled)
        except NoLibrary as error:
            seen[path] = str(error)
            continue
        if info.python >= OLDEST:
            return path
        seen[path] = tr("{} is Python {}").format(path, _dotted(info.python))
    found = "; ".join(seen.values()) or tr("no Python was found")
    raise NoLibrary(
        tr("mmsr_geo needs Python {} or later ({}): install one, or choose a Python that has mmsr_geo").format(
            _dotted(OLDEST), found
        )
    )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
