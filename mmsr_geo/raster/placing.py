"""Where an output appears, whole or not at all: a file, an object, a group of a Zarr store; knows no pixel."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from secrets import token_hex
from typing import Literal, Protocol, TypeAlias

from mmsr_geo.errors import OutputError
from mmsr_geo.raster.objects import Url

ZARR = ".zarr"
QA = "qa"
"""What the flags are called in a Zarr store."""
GROUP_FILE = "zarr.json"
"""What makes a folder, or objects that begin alike, a group; where it is, so is all that the group holds."""
UNCERTAINTY = "{variable}_uncertainty"
"""What the uncertainty is called there."""
TAKEN = (QA, "spatial_ref", "x", "y", "band")
"""Names in a group that its target cannot have."""
OURS = "MMSR_GEO_VERSION"
"""The attribute, or tag, that each target has."""
_UNFINISHED = ".mmsr_geo-unfinished"
_PLAIN_GROUP = json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}, indent=2).encode()
_AUX = ".aux.xml"
_BESIDE = (_AUX, ".ovr", ".msk")
"""Files of GDAL's beside a raster: statistics and what a GeoTIFF has no keys for, its overviews, its mask."""
_VSIS3 = "/vsis3/"
_LONGEST_NAME = 255 - len(".") - len(".12345678.part")
"""Bytes of an output's name that leave room, in what file systems hold, for the unfinished folder's."""


@dataclass(frozen=True, slots=True)
class ZarrPlace:
    """A group of a Zarr store, or the store itself, which is one."""

    store: Path | Url
    group: str = ""
    """Its name in the store; nothing: the store itself."""

    @property
    def at(self) -> Path | Url:
        """The folder, or what the names of its objects begin with."""
        return self.store / self.group if self.group else self.store

    @property
    def name(self) -> str:
        """The store's name, and the group's."""
        return f"{self.store.name}/{self.group}" if self.group else self.store.name

    def exists(self) -> bool:
        """Whether the group is there, whole."""
        return (self.at / GROUP_FILE).exists()

    def __str__(self) -> str:
        """Print where it is."""
        return str(self.at)


Address: TypeAlias = Path | Url | ZarrPlace
"""Where an output goes: a file, an object in a store, a group of a Zarr store in either."""


def address_of(output: str | os.PathLike[str], folder: Path | None = None, group: str = "") -> Address:
    """Return where an output goes, by how it is written: a path (from `folder`) or a URL; .zarr ends a store's.

    group: of a Zarr store, the part that is meant. Raises OutputError for a URL that nothing here can open.
    """
    text = os.fspath(output)
    at = Url(text.rstrip("/")) if "://" in text else (folder or Path()) / text
    return ZarrPlace(at, group) if at.name.endswith(ZARR) else at


def check_output(output: str | os.PathLike[str] | Url | ZarrPlace, *, overwrite: bool) -> None:
    """Refuse, before any work is done for it, an output that exists already or cannot be (OutputError)."""
    if isinstance(output, ZarrPlace):
        _check_group(output, overwrite=overwrite)
    elif isinstance(output, Url):
        if output.exists() and not overwrite:
            raise _exists(output)
    else:
        _check_file(Path(output), overwrite=overwrite)


def check_apart(outputs: Sequence[object], inputs: Sequence[object]) -> None:
    """Refuse an output that is an input, or another output, by whatever name (OutputError), to be replaced or not.

    inputs: what was given; what is neither path nor URL is none that could be replaced.
    """
    taken = {_real(each): f"an input, {each}" for each in inputs if isinstance(each, str | os.PathLike)}
    for output in outputs:
        real = _real(output)
        if real in taken:
            raise OutputError(f"{output} is {taken[real]}, which would be lost: give the output another name")
        taken[real] = f"another output, {output}"


def folder_beside(output: Address) -> Path:
    """Return a new folder for what is unfinished: beside a file or a Zarr store, the system's own for a URL.

    Raises OutputError where there can be none.
    """
    name, folder = (output.store if isinstance(output, ZarrPlace) else output).name, disk_of(output)
    try:
        return Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".part", dir=folder))
    except OSError as error:
        msg = f"the folder {folder} cannot be written to ({error.strerror}): choose another for the output"
        raise OutputError(msg) from error


@contextmanager
def scratch_beside(output: Address) -> Iterator[Path]:
    """Make such a folder, and remove it in the end."""
    folder = folder_beside(output)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def disk_of(output: Address) -> Path:
    """Return the folder that what is unfinished lies in."""
    at = output.store if isinstance(output, ZarrPlace) else output
    return Path(tempfile.gettempdir()) if isinstance(at, Url) else at.parent


def check_disk(output: Address, size: int) -> None:
    """Refuse an output of so many bytes where its disk has no room for them (OutputError)."""
    free = shutil.disk_usage(disk_of(output)).free
    if free < size:
        raise OutputError(f"{output} needs {size / 1e9:.1f} GB to be written, {free / 1e9:.1f} GB are free: make room")


def not_written(output: Address, error: Exception) -> OutputError:
    """Say that the disk, GDAL or Zarr failed."""
    free = shutil.disk_usage(disk_of(output)).free
    reason = (str(error.__cause__ or error) or type(error).__name__).splitlines()[0]
    return OutputError(
        f"{output} could not be written ({reason}; {free / 1e9:.1f} GB free): make room, or write elsewhere"
    )


class Whole(Protocol):
    """An output that is made whole before it appears."""

    def make(self, tags: Mapping[str, str]) -> None:
        """Make it beside its place, whole and on the disk, with what is to be said of it."""

    def place(self, *, keep: bool) -> None:
        """Put it in its place; keep: so that it can be taken back."""

    def take_back(self) -> None:
        """Undo `place`, also where it failed midway."""

    def settle(self) -> None:
        """Remove what belonged to what was there before."""

    def discard(self) -> None:
        """Remove what is unfinished."""


class Slot(ABC):
    """An output's place, and beside it a folder for what is to appear there."""

    def __init__(self, output: Address) -> None:
        """Make the folder; raises OutputError where none can be made, or the place cannot be written to."""
        self.scratch = folder_beside(output)
        self._before = self.scratch / f"before{Path(output.name).suffix}"
        self._holds_the_last = False

    @abstractmethod
    def place(self, made: Path, *, keep: bool) -> None:
        """Put what was made there; keep: so that it can be taken back. Raises OSError or OutputError."""

    @abstractmethod
    def take_back(self, made: Path) -> None:
        """Undo `place`, also where it failed midway: what was there before is there again, or else in `scratch`."""

    def settle(self, made: Path) -> None:  # noqa: B027  (not each has something to do)
        """Remove what described the one that was there before, and have it all on the disk."""

    def discard(self) -> None:
        """Remove what is unfinished."""
        if not self._holds_the_last:
            shutil.rmtree(self.scratch, ignore_errors=True)


def slot_at(output: Address) -> Slot:
    """Return an output's slot."""
    if isinstance(output, Url):
        return _ObjectSlot(output)
    if isinstance(output, ZarrPlace):
        return _ObjectsSlot(output) if isinstance(output.store, Url) else _FolderSlot(output)
    return _FileSlot(output)


def sync(path: Path) -> None:
    """Have the file's bytes, or a folder's entries, on the disk before going on."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no handle of a folder to sync
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _FileSlot(Slot):
    def __init__(self, output: Path) -> None:
        super().__init__(output)
        self._output = output

    def place(self, made: Path, *, keep: bool) -> None:
        if keep and self._output.exists():
            try:
                self._before.hardlink_to(self._output)
            except OSError:  # a file system that has no links
                self._output.replace(self._before)
        made.replace(self._output)

    def take_back(self, made: Path) -> None:
        self._holds_the_last = self._before.exists()
        if self._holds_the_last:
            self._before.replace(self._output)
            self._holds_the_last = False
        elif not made.exists():
            self._output.unlink(missing_ok=True)

    def settle(self, made: Path) -> None:
        """Keep what GDAL has put beside it: a CRS that a GeoTIFF has no keys for, such as a rotated pole's."""
        beside = made.with_name(made.name + _AUX)
        for suffix in _BESIDE:
            self._output.with_name(self._output.name + suffix).unlink(missing_ok=True)
        if beside.exists():
            beside.replace(self._output.with_name(self._output.name + _AUX))
        sync(self._output.parent)


class _ObjectSlot(Slot):
    """An upload appears whole or not at all."""

    def __init__(self, output: Url) -> None:
        output.try_to_write()  # before anything is computed for it
        super().__init__(output)
        self._output, self._kept = output, Url(f"{output}.{token_hex(4)}.before")
        self._keeps = self._placed = False

    def place(self, made: Path, *, keep: bool) -> None:  # noqa: ARG002  (what is replaced is kept in any case)
        if self._output.exists():
            self._output.copy_to(self._kept)
            self._keeps = True
        self._placed = True
        self._output.upload(made)

    def take_back(self, made: Path) -> None:  # noqa: ARG002  (a slot's)
        if self._keeps:
            self._kept.copy_to(self._output)
            self._kept.remove()
        elif self._placed:
            self._output.remove()

    def settle(self, made: Path) -> None:
        beside = made.with_name(made.name + _AUX)
        for suffix in _BESIDE:
            at = Url(f"{self._output}{suffix}")
            if suffix == _AUX and beside.exists():
                at.upload(beside)
            else:
                at.remove()
        if self._keeps:
            self._kept.remove()


class _FolderSlot(Slot):
    """A group that was made on the same disk takes its name at once."""

    def __init__(self, output: ZarrPlace) -> None:
        super().__init__(output)
        self._above = Path(str(output.store)) / GROUP_FILE if output.group else None
        self._at = Path(str(output.at))

    def place(self, made: Path, *, keep: bool) -> None:  # noqa: ARG002  (what is replaced is kept in any case)
        if self._above is not None and not self._above.exists():
            self._above.parent.mkdir(exist_ok=True)
            self._above.write_bytes(_PLAIN_GROUP)
        if self._at.exists():
            self._at.rename(self._before)
        made.rename(self._at)

    def take_back(self, made: Path) -> None:
        self._holds_the_last = self._before.exists()
        if not made.exists():
            self._at.rename(made)
        if self._holds_the_last:
            self._before.rename(self._at)
            self._holds_the_last = False

    def settle(self, made: Path) -> None:  # noqa: ARG002  (a slot's)
        sync(self._at.parent)


class _ObjectsSlot(Slot):
    """A group's own metadata are uploaded last: until they are there nobody takes what is there for a group."""

    def __init__(self, output: ZarrPlace) -> None:
        self._above = Url(str(output.store)) / GROUP_FILE if output.group else None
        self._at = Url(str(output.at))
        self._begun = False
        self._at.try_to_write()  # before anything is computed for it
        super().__init__(output)

    def place(self, made: Path, *, keep: bool) -> None:  # noqa: ARG002  (two of one name there cannot be)
        files = {path.relative_to(made).as_posix(): path for path in made.rglob("*") if path.is_file()}
        group = files.pop(GROUP_FILE)
        if self._above is not None and not self._above.exists():
            self._above.write(_PLAIN_GROUP)
        (self._at / _UNFINISHED).write(b"")
        self._begun = True
        (self._at / GROUP_FILE).remove()
        self._at.remove_each(sorted(self._at.sizes().keys() - files.keys() - {_UNFINISHED}))
        self._at.upload_each(files)
        sizes = self._at.sizes()
        if short := [name for name, path in files.items() if sizes.get(name) != path.stat().st_size]:
            raise OSError(f"{len(short)} of {len(files)} objects did not arrive whole, as {short[0]}")
        (self._at / GROUP_FILE).upload(group)
        (self._at / _UNFINISHED).remove()

    def take_back(self, made: Path) -> None:  # noqa: ARG002  (a slot's)
        """Remove what has arrived; what was there before is gone, where its replacing had begun."""
        if self._begun:
            (self._at / GROUP_FILE).remove()
            self._at.remove_each(sorted(self._at.sizes()))


def _check_file(path: Path, *, overwrite: bool) -> None:
    _check_name(path)
    try:
        if path.is_dir():
            raise OutputError(f"{path} is a folder: give the name of a file in it")
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} is a pipe or a device, which no raster can replace: give the name of a file")
        if path.exists() and not overwrite:
            raise _exists(path)
        if not path.parent.is_dir():
            raise OutputError(f"the folder {path.parent} does not exist: make it first")
    except OSError as error:
        raise OutputError(f"{path} cannot be reached ({error.strerror}): choose another place for it") from error


def _check_group(place: ZarrPlace, *, overwrite: bool) -> None:
    if not _has_zarr():
        raise OutputError(f"{place} takes zarr 3 to be written: pip install 'mmsr-geo[zarr]', or write a .tif")
    store = place.store
    try:
        if isinstance(store, Path):
            _check_name(store)
            if not store.parent.is_dir():
                raise OutputError(f"the folder {store.parent} does not exist: make it first")
        above = _held(store) if place.group else "group"
        there = _held(place.at)
    except OSError as error:
        raise OutputError(f"{place} cannot be reached ({error.strerror}): choose another place for it") from error
    if above not in {"nothing", "group"}:
        raise OutputError(f"{store} is there and is no Zarr store of groups: choose another name for the store")
    if there not in {"nothing", "target"}:
        raise OutputError(
            f"{place} is there and is no target of mmsr_geo's, so it is not replaced: remove it, or choose another name"
        )
    if there == "target" and not overwrite:
        raise _exists(place)


def _held(at: Path | Url) -> Literal["nothing", "target", "group", "other"]:
    """Return what is at the place of a group; what was begun and not finished is nothing."""
    if isinstance(at, Path):
        group = at / GROUP_FILE
        told = group.read_bytes() if group.is_file() else None
        if told is None:
            return "other" if at.exists() and not (at.is_dir() and not any(at.iterdir())) else "nothing"
    else:
        told = (at / GROUP_FILE).read()
        if told is None:
            names = at.sizes()
            return "other" if names and _UNFINISHED not in names else "nothing"
    try:
        known = json.loads(told)
        if known["node_type"] != "group":
            return "other"
        return "target" if OURS in known.get("attributes", {}) else "group"
    except (ValueError, KeyError, TypeError):
        return "other"


def _check_name(path: Path) -> None:
    length = len(os.fsencode(path.name))
    if length > _LONGEST_NAME:
        raise OutputError(f"{path.name} is a name of {length} bytes: give one of {_LONGEST_NAME} at most")


def _exists(output: Address) -> OutputError:
    return OutputError(f"{output} exists: choose another name, or pass --overwrite (overwrite=True)")


def _has_zarr() -> bool:
    try:
        return int(version("zarr").partition(".")[0]) >= 3
    except (PackageNotFoundError, ValueError):
        return False


def _real(path: object) -> str:
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else str(path)
    if text.startswith(_VSIS3):  # GDAL's word for it
        return f"s3://{text.removeprefix(_VSIS3)}"
    return text if "://" in text else os.path.realpath(text)
