"""Which Python runs the command, and whether it can."""

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
OLDEST = (3, 11)
"""What mmsr_geo needs."""
TIMEOUT_S = 60

_PROBE = """
import importlib.metadata, json, sys
try:
    version = importlib.metadata.version("mmsr-geo")
except importlib.metadata.PackageNotFoundError:
    version = None
print(json.dumps({"event": "python", "python": list(sys.version_info[:3]), "version": version}))
"""
_USE = "import mmsr_geo.api"
"""Loads torch and GDAL: what a broken installation fails at."""


class NoLibrary(Exception):
    """There is no Python with mmsr_geo; the message is one sentence that says what is wrong."""


@dataclass(frozen=True)
class Interpreter:
    """A Python, and who named it."""

    path: Path
    origin: str
    """setting, variable or environment."""


@dataclass(frozen=True)
class Found:
    """What a Python says of itself."""

    python: tuple[int, ...]
    version: str | None
    """mmsr_geo's; None: it is not there."""


def environment_python(folder: Path) -> Path:
    """Return the Python of a virtual environment, whether it is there or not."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def chosen(setting: str, environ: Mapping[str, str], environment: Path) -> Interpreter:
    """Return the Python to use: the setting's, else the variable's, else the environment's that the plugin makes.

    Raises NoLibrary where none is named and no environment is made, or where the one that is named is not there.
    """
    for named, origin in ((setting.strip(), "setting"), (environ.get(VARIABLE, "").strip(), "variable")):
        if named:
            path = Path(named).expanduser()
            if not path.is_file():
                where = tr("The Python in the options of Processing") if origin == "setting" else VARIABLE
                raise NoLibrary(tr("{} names {}, and there is no such file").format(where, path))
            return Interpreter(path, origin)
    path = environment_python(environment)
    if not path.is_file():
        raise NoLibrary(tr("mmsr_geo, the library that does the work, is not set up yet"))
    return Interpreter(path, "environment")


def never() -> bool:
    """Cancel nothing."""
    return False


def asked(path: Path, cancelled: Callable[[], bool] = never) -> Found:
    """Ask a Python what it is, which takes a fifth of a second.

    Raises NoLibrary where it is none, runner.CommandStopped on a cancel.
    """
    if is_qgis(path):
        raise NoLibrary(tr("{} is QGIS itself, not a Python: name a python.exe").format(path))
    until = time.monotonic() + TIMEOUT_S
    try:
        _, said = runner.heard([str(path), "-c", _PROBE], lambda: cancelled() or time.monotonic() > until)
        (told,) = (event for event in said if event["event"] == "python")
        return Found(tuple(told["python"]), told["version"])
    except OSError as error:
        raise NoLibrary(tr("{} cannot be started ({})").format(path, error.strerror or error)) from error
    except runner.CommandStopped as error:
        if cancelled():
            raise
        raise NoLibrary(tr("{} did not answer within {} s").format(path, TIMEOUT_S)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise NoLibrary(tr("{} does not answer as a Python does").format(path)) from error


def checked(path: Path, cancelled: Callable[[], bool] = never) -> Found:
    """Ask a Python whether it has the library; raises NoLibrary, saying what is missing."""
    found = asked(path, cancelled)
    if found.python < OLDEST:
        raise NoLibrary(
            tr("{} is Python {}, and mmsr_geo needs {} or later").format(path, _dotted(found.python), _dotted(OLDEST))
        )
    if found.version is None:
        raise NoLibrary(tr("{} (Python {}) has no mmsr_geo").format(path, _dotted(found.python)))
    return found


def tested(path: Path, cancelled: Callable[[], bool]) -> Found:
    """Ask a Python whether the library works there, torch and GDAL with it: seconds, on a slow disk a minute.

    Raises NoLibrary, and runner.CommandStopped on a cancel.
    """
    found = checked(path, cancelled)
    status, said = runner.heard([str(path), "-c", _USE], cancelled)
    if status:
        last = runner.line_of(said[-1]) if said else f"status {status}"
        raise NoLibrary(tr("mmsr_geo {} of {} cannot be loaded: {}").format(found.version, path, last))
    return found


def is_qgis(path: Path) -> bool:
    """Whether a program is QGIS: on Windows and macOS that is what `sys.executable` is there, and it opens a window."""
    return "qgis" in path.stem.lower() and "python" not in path.stem.lower()


def base_pythons() -> Iterator[Path]:
    """Give what may be a Python to make an environment of, the likeliest first; most are not there.

    QGIS's own: `sys.executable` where that is a Python (Linux). On Windows it is qgis-bin.exe, and the Python lies in
    `sys.exec_prefix`, as the documentation of that says; on macOS in its bin folder. Then those on the PATH.
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
    """Return a Python that an environment can be made of; raises NoLibrary where there is none."""
    seen: dict[Path, str] = {}
    for path in base_pythons():
        if path in seen or not path.is_file():
            continue
        try:
            found = asked(path, cancelled)
        except NoLibrary as error:
            seen[path] = str(error)
            continue
        if found.python >= OLDEST:
            return path
        seen[path] = tr("{} is Python {}").format(path, _dotted(found.python))
    looked = "; ".join(seen.values()) or tr("none was found")
    raise NoLibrary(
        tr("mmsr_geo needs Python {} or later ({}): install one, or name a Python that has mmsr_geo").format(
            _dotted(OLDEST), looked
        )
    )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
