"""A temporary folder that never fails to go."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path


class Scratch:
    """A temporary folder, removed at the end of `with` or with this object.

    Windows removes no file that a program still holds: what is left then is left to the system. TemporaryDirectory
    can do so only from Python 3.10 on, and QGIS 3.34 brings 3.9.
    """

    def __init__(self) -> None:
        """Make it."""
        self.path = Path(tempfile.mkdtemp(prefix="mmsr_geo_"))
        self._remove = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def __enter__(self) -> Path:
        """Return the folder."""
        return self.path

    def __exit__(self, *_: object) -> None:
        """Remove it."""
        self._remove()
