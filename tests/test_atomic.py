"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from mmsr_geo import atomic
from mmsr_geo.atomic import replace, sync, write_whole


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_bytes_are_written_under_the_name_alone(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.json", b"{}")
    assert (tmp_path / "a.json").read_bytes() == b"{}"
    assert names(tmp_path) == {"a.json"}


def test_a_function_writes_to_the_temporary_name_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"before")

    def write(draft: Path) -> None:
        assert draft.parent == tmp_path
        assert draft.suffix == ".part"
        assert path.read_bytes() == b"before"
        draft.write_bytes(b"after")

    write_whole(path, write)
    assert path.read_bytes() == b"after"
    assert names(tmp_path) == {"a.json"}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), ValueError("wrong"), KeyboardInterrupt()])
def test_an_exception_leaves_what_was_there_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"before")

    def write(draft: Path) -> None:
        draft.write_bytes(b"half")
        raise error

    with pytest.raises(type(error)):
        write_whole(path, write)
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == {"a.json"}


def test_the_file_and_its_folder_are_synced_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, calls = tmp_path / "a.json", []
    monkeypatch.setattr(atomic, "sync", lambda synced: calls.append((synced.name, path.exists())))
    write_whole(path, b"{}")
    assert calls[0][0].endswith(".part")
    assert calls == [(calls[0][0], False), (tmp_path.name, True)]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_decides_who_may_read_and_is_never_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: int, mode: int
) -> None:
    before = os.umask(mask)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", lambda _: pytest.fail("the umask is another thread's too"))
            write_whole(tmp_path / "a.json", b"{}")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == mode


def test_a_name_as_long_as_names_may_be_is_written(tmp_path: Path) -> None:
    write_whole(tmp_path / ("é" * 127), b"{}")
    assert names(tmp_path) == {"é" * 127}


def test_a_missing_folder_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "a.json", b"{}")


class Refusing:
    """`Path.replace` that refuses a number of times, as Windows does while a scanner has the file open."""

    def __init__(self, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, plain = times, Path.replace

        def refusing(path: Path, target: Path) -> Path:
            if self.left:
                self.left -= 1
                raise PermissionError(errno.EACCES, "Access is denied")
            return plain(path, target)

        monkeypatch.setattr(Path, "replace", refusing)


def test_a_replacement_that_windows_refuses_for_a_moment_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "RETRIES_S", (0, 0, 0))
    refusing = Refusing(3, monkeypatch)
    write_whole(tmp_path / "a.json", b"{}")
    assert refusing.left == 0
    assert names(tmp_path) == {"a.json"}


def test_a_file_that_stays_open_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "RETRIES_S", (0,))
    Refusing(9, monkeypatch)
    with pytest.raises(PermissionError, match=r"a\.json or a file in it is open in another program, or read-only"):
        write_whole(tmp_path / "a.json", b"{}")
    assert names(tmp_path) == set()


def test_a_replacement_that_unix_refuses_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "RETRIES_S", ())
    refusing = Refusing(2, monkeypatch)
    (tmp_path / "a").touch()
    with pytest.raises(PermissionError, match="Access is denied"):
        replace(tmp_path / "a", tmp_path / "b")
    assert refusing.left == 1


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_a_folder_that_cannot_be_synced_is_no_error_and_a_disk_that_fails_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, "no")

    (tmp_path / "a").touch()
    monkeypatch.setattr(os, "fsync", fail)
    if number == errno.EIO:
        with pytest.raises(OSError, match="no"):
            sync(tmp_path)
    else:
        sync(tmp_path)
    with pytest.raises(OSError, match="no"):
        sync(tmp_path / "a")
