"""Temporary folders, paths, and the removal of unfinished files; needs no QGIS."""

from __future__ import annotations

import shutil
import tempfile
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

RETRY_S = 0.1
"""Seconds between two attempts to remove a file."""
REMOVAL_S = 1.0
"""Seconds within which `remove` repeats its attempts: Windows releases the files of a killed process a moment later."""


class Scratch:
    """A temporary folder that is removed at the end of `with`, or with this object.

    A file that another program still holds open cannot be removed on Windows. It stays, without an error, until the
    system cleans up. TemporaryDirectory can ignore such errors from Python 3.10 on, and QGIS 3.34 brings 3.9.
    """

    def __init__(self) -> None:
        """Create the folder."""
        self.path = Path(tempfile.mkdtemp(prefix="mmsr_geo_"))
        self._remove = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def __enter__(self) -> Path:
        """Return the folder."""
        return self.path

    def __exit__(self, *_: object) -> None:
        """Remove the folder."""
        self._remove()


def is_same_file(one: str, other: str) -> bool:
    """Return whether two paths lead to one existing file, also through links."""
    try:
        return Path(one).samefile(other)
    except OSError:
        return False


def free_path(folder: Path, name: str, suffix: str) -> Path:
    """Return a path in `folder` that does not exist yet, with a file name derived from a layer's name."""
    stem = "".join(character if character.isalnum() or character in "-_" else "_" for character in name) or "layer"
    numbered = (folder / f"{stem}{number or ''}{suffix}" for number in range(1000))
    return next(path for path in numbered if not path.exists())


def unfinished(outputs: Sequence[Path]) -> Iterator[Path]:
    """Yield the command's unfinished files: `.NAME.…` next to an output, `.report.…` in the folder of a report."""
    for output in outputs:
        for folder, prefix in ((output.parent, f".{output.name}."), (output, ".report.")):
            if folder.is_dir():
                yield from (path for path in folder.iterdir() if path.name.startswith(prefix))


def remove(paths: Iterable[Path]) -> None:
    """Remove files and folders; those that another program still holds open after a second stay."""
    deadline = time.monotonic() + REMOVAL_S
    for path in paths:
        while not _removed(path) and time.monotonic() < deadline:
            time.sleep(RETRY_S)


def _removed(path: Path) -> bool:
    try:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    except OSError:
        return False
    return True
