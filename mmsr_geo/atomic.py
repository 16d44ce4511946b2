"""Files that appear whole or not at all, under a temporary name first; knows the file system, no format."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

RETRIES_S: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if os.name == "nt" else ()
"""Waits in seconds before a refused replacement is tried again: on Windows a file cannot be replaced while another
program has it open, and virus scanners and indexers open each new file for a moment."""
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EACCES}
"""Errors of file systems that cannot sync a folder, and of folders that may be written to and not read."""
_NAME_CHARACTERS = 50
"""Characters of a file's name that its temporary name repeats: 200 bytes at most, of the 255 that a name may have."""


def write_whole(path: Path, content: bytes | Callable[[Path], object]) -> None:
    """Write a file that appears under its name only when it is complete and on the disk.

    Args:
        path: The file to create or to replace. Its folder must exist.
        content: The bytes of the file, or a function that writes them to the path that it is given.

    Raises:
        OSError: The folder is missing or closed to writing, the disk is full, or the file cannot be replaced. What was
            there before is unchanged.
    """
    with whole_file(path) as draft:
        if isinstance(content, bytes):
            draft.write_bytes(content)
        else:
            content(draft)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary file in the folder of `path`, which takes its name on leaving, if no exception was raised.

    The temporary file is empty, has the access rights of a new file, and is removed after any exception. Its name ends
    in `.part`.

    Args:
        path: The file to create or to replace. Its folder must exist.

    Raises:
        OSError: As `write_whole` does.
    """
    draft = path.with_name(f".{path.name[:_NAME_CHARACTERS]}.{secrets.token_hex(4)}.part")
    try:
        # tempfile would make it readable by its owner alone; os.open heeds the umask, which cannot be read safely.
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield draft
        sync(draft)
        replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    sync(path.parent)


def replace(path: Path, target: Path) -> None:
    """Give a file or a folder another name on the same disk; a file that has the name already is replaced.

    On Windows a refused replacement is tried again for two seconds.

    Raises:
        PermissionError: The target may not be written, or on Windows another program has it open.
        OSError: The disk fails.
    """
    for wait in RETRIES_S:
        try:
            path.replace(target)
        except PermissionError:
            time.sleep(wait)
        else:
            return
    try:
        path.replace(target)
    except PermissionError as error:
        if not RETRIES_S:
            raise
        reason = f"{target.name} or a file in it is open in another program, or read-only"
        raise PermissionError(errno.EACCES, reason, str(target)) from error


def sync(path: Path) -> None:
    """Wait until a file's bytes, or the entries of a folder, are on the disk.

    Does nothing for a folder on Windows, or on a file system that cannot sync folders.

    Raises:
        OSError: The disk fails, or the file is missing.
    """
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":
        return
    try:
        handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)  # Windows syncs what it may write
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if not (is_folder and error.errno in _NO_FOLDER_SYNC):
            raise
