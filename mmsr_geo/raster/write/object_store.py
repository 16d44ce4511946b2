"""Objects in stores that fsspec reaches: written whole, asked after, taken away; a failure is one line; no raster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from secrets import token_hex
from typing import Any

import fsspec

from mmsr_geo.errors import OutputError


@dataclass(frozen=True)
class ObjectUrl:
    """An object in a store, or what all those have in common whose names begin so; a value that goes to workers.

    Credentials and endpoints are the library's own (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...). What fails raises
    OutputError.
    """

    text: str

    def __post_init__(self) -> None:
        """Refuse what nothing here can open (OutputError)."""
        try:
            fsspec.get_filesystem_class(self.text.split("://")[0])
        except (ImportError, ValueError) as error:
            raise OutputError(
                f"{self.text} cannot be opened ({error}): install what it takes, or name a folder"
            ) from error

    @property
    def name(self) -> str:
        """What stands after its last slash."""
        return self.text.rstrip("/").rpartition("/")[2]

    def __truediv__(self, name: str) -> ObjectUrl:
        """Return the object of that name under it."""
        return ObjectUrl(f"{self.text.rstrip('/')}/{name}")

    def __str__(self) -> str:
        """Print the address."""
        return self.text

    def exists(self) -> bool:
        """Whether there is an object of this very name; what cannot be asked is not taken for no."""
        files, path = self._at
        with self._telling():  # fsspec's own isfile and exists say no to whatever error there is
            try:
                return str(files.info(path)["type"]) == "file"
            except FileNotFoundError:
                return False

    def sizes(self) -> dict[str, int]:
        """Return how large each object under it is, by the rest of its name."""
        files, path = self._at
        with self._telling():
            try:
                found = files.find(path, detail=True)
            except FileNotFoundError:
                return {}
        return {name[len(path) + 1 :]: int(told["size"]) for name, told in found.items() if name.startswith(f"{path}/")}

    def read(self) -> bytes | None:
        """Return its content; None where there is none."""
        files, path = self._at
        with self._telling():
            try:
                return bytes(files.cat_file(path))
            except FileNotFoundError:
                return None

    def read_each(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return the contents of objects under it, fetched many at once."""
        files, path = self._at
        if not names:
            return {}
        with self._telling():
            found: Mapping[str, bytes] | bytes = files.cat([f"{path}/{name}" for name in names])
        if isinstance(found, bytes):  # of a single one
            return {names[0]: found}
        return {name[len(path) + 1 :]: content for name, content in found.items()}

    def write(self, content: bytes) -> None:
        """Upload it: it is whole or not there."""
        files, path = self._at
        with self._telling():
            files.pipe_file(path, content)

    def try_to_write(self) -> None:
        """See that there is such a store, and leave to write to it: an object beside it is made, and removed."""
        files, path = self._at
        probe = f"{path}.{token_hex(4)}.probe"
        with self._telling():
            files.pipe_file(probe, b"")
            files.rm_file(probe)

    def upload(self, file: Path) -> None:
        """Upload a file, whole or not at all, and see that as many bytes have arrived."""
        files, path = self._at
        with self._telling():
            files.put_file(str(file), path)
            size, sent = int(files.info(path)["size"]), file.stat().st_size
            if size != sent:
                raise OSError(f"{size} of {sent} bytes arrived")

    def upload_each(self, files_by_name: Mapping[str, Path]) -> None:
        """Upload files under it, a few at once; whether they arrived, `sizes` tells."""
        files, path = self._at
        names = list(files_by_name)
        with self._telling():
            for start in range(0, len(names), _AT_ONCE):
                some = names[start : start + _AT_ONCE]
                files.put([str(files_by_name[name]) for name in some], [f"{path}/{name}" for name in some])

    def copy_to(self, other: ObjectUrl) -> None:
        """Have the store copy it."""
        files, path = self._at
        with self._telling():
            files.cp_file(path, other._at[1])

    def remove(self) -> None:
        """Remove it, if it is there."""
        files, path = self._at
        if self.exists():
            with self._telling():
                files.rm_file(path)

    def remove_each(self, names: Sequence[str]) -> None:
        """Remove objects under it."""
        files, path = self._at
        with self._telling():
            if names:
                files.rm([f"{path}/{name}" for name in names])

    def __getstate__(self) -> dict[str, str]:
        """Send the address alone: a connection is not for another process."""
        return {"text": self.text}

    @cached_property
    def _at(self) -> tuple[Any, str]:
        """The file system, and this place's path in it."""
        files, path = fsspec.core.url_to_fs(self.text, use_listings_cache=False)
        return files, path.rstrip("/")

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each file system has errors of its own
            reason = " ".join(str(error).split()) or type(error).__name__
            raise OutputError(
                f"{self.text} cannot be reached or written to ({reason}): check the address and the credentials, and "
                "call again"
            ) from error


_AT_ONCE = 8
"""Files that are uploaded together: each is in memory meanwhile."""
