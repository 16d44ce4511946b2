"""Objects in object stores, through fsspec, whose errors become one-line messages; knows no raster."""

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
    """The URL of an object, or of a prefix of several objects; a value that can be sent to workers.

    Credentials and endpoints are read by the library (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...). All methods raise
    OutputError if the store fails.
    """

    text: str

    def __post_init__(self) -> None:
        """Refuse URLs that no installed package opens (OutputError)."""
        try:
            fsspec.get_filesystem_class(self.text.split("://")[0])
        except (ImportError, ValueError) as error:
            raise OutputError(
                f"{self.text} cannot be opened ({error}): install the package for such URLs, or name a folder"
            ) from error

    @property
    def name(self) -> str:
        """The part after the last slash."""
        return self.text.rstrip("/").rpartition("/")[2]

    def __truediv__(self, name: str) -> ObjectUrl:
        """Return the URL of a name below this one."""
        return ObjectUrl(f"{self.text.rstrip('/')}/{name}")

    def __str__(self) -> str:
        """Return the URL."""
        return self.text

    def exists(self) -> bool:
        """Return True if an object of exactly this name exists; raises OutputError if the store does not answer."""
        files, path = self._at
        with self._converting_errors():  # isfile and exists of fsspec return False after any error
            try:
                return str(files.info(path)["type"]) == "file"
            except FileNotFoundError:
                return False

    def sizes(self) -> dict[str, int]:
        """Return the size in bytes of each object below this URL, by the rest of its name."""
        files, path = self._at
        with self._converting_errors():
            try:
                objects = files.find(path, detail=True)
            except FileNotFoundError:
                return {}
        return {
            name[len(path) + 1 :]: int(info["size"]) for name, info in objects.items() if name.startswith(f"{path}/")
        }

    def read(self) -> bytes | None:
        """Return the content of the object; None if it does not exist."""
        files, path = self._at
        with self._converting_errors():
            try:
                return bytes(files.cat_file(path))
            except FileNotFoundError:
                return None

    def read_each(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return the contents of objects below this URL by name, read concurrently."""
        files, path = self._at
        if not names:
            return {}
        with self._converting_errors():
            contents: Mapping[str, bytes] | bytes = files.cat([f"{path}/{name}" for name in names])
        if isinstance(contents, bytes):  # of a single object
            return {names[0]: contents}
        return {name[len(path) + 1 :]: content for name, content in contents.items()}

    def write(self, content: bytes) -> None:
        """Write the object, completely or not at all."""
        files, path = self._at
        with self._converting_errors():
            files.pipe_file(path, content)

    def try_to_write(self) -> None:
        """Check that the store exists and may be written to: writes and removes a small object next to this one."""
        files, path = self._at
        probe = f"{path}.{token_hex(4)}.probe"
        with self._converting_errors():
            files.pipe_file(probe, b"")
            files.rm_file(probe)

    def upload(self, file: Path) -> None:
        """Upload a file, completely or not at all, and check the number of bytes that arrived."""
        files, path = self._at
        with self._converting_errors():
            files.put_file(str(file), path)
            size, sent = int(files.info(path)["size"]), file.stat().st_size
            if size != sent:
                raise OSError(f"{size} of {sent} bytes arrived")

    def upload_each(self, files_by_name: Mapping[str, Path]) -> None:
        """Upload files to names below this URL, a few at once; `sizes` returns what arrived."""
        files, path = self._at
        names = list(files_by_name)
        with self._converting_errors():
            for start in range(0, len(names), _AT_ONCE):
                batch = names[start : start + _AT_ONCE]
                files.put([str(files_by_name[name]) for name in batch], [f"{path}/{name}" for name in batch])

    def copy_to(self, other: ObjectUrl) -> None:
        """Copy the object within the store."""
        files, path = self._at
        with self._converting_errors():
            files.cp_file(path, other._at[1])

    def remove(self) -> None:
        """Remove the object, if it exists."""
        files, path = self._at
        if self.exists():
            with self._converting_errors():
                files.rm_file(path)

    def remove_each(self, names: Sequence[str]) -> None:
        """Remove objects below this URL, given by name."""
        files, path = self._at
        with self._converting_errors():
            if names:
                files.rm([f"{path}/{name}" for name in names])

    def __getstate__(self) -> dict[str, str]:
        """Return the URL only: a connection cannot be sent to another process."""
        return {"text": self.text}

    @cached_property
    def _at(self) -> tuple[Any, str]:
        """The file system, and the path in it."""
        files, path = fsspec.core.url_to_fs(self.text, use_listings_cache=False)
        return files, path.rstrip("/")

    @contextlib.contextmanager
    def _converting_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # file systems have different exceptions
            reason = " ".join(str(error).split()) or type(error).__name__
            raise OutputError(
                f"{self.text} cannot be reached or written to ({reason}): check the address and the credentials, and "
                "run again"
            ) from error


_AT_ONCE = 8
"""Number of files that are uploaded at once; each is in memory meanwhile."""
