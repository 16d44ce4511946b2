"""Where an output appears, whole or not at all: a file, an object, a group of a Zarr store; knows no pixel."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, TypeAlias

from mmsr_geo.errors import OutputError
from mmsr_geo.raster.write.object_store import ObjectUrl
from mmsr_geo.spelling import option

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
UNFINISHED = ".mmsr_geo-unfinished"
_VSIS3 = "/vsis3/"
_LONGEST_NAME = 255 - len(".") - len(".12345678.part")
"""Bytes of an output's name that leave room, in what file systems hold, for the unfinished folder's."""


@dataclass(frozen=True, slots=True)
class ZarrGroupPath:
    """A group of a Zarr store, or the store itself, which is one."""

    store: Path | ObjectUrl
    group: str = ""
    """Its name in the store; nothing: the store itself."""

    @property
    def at(self) -> Path | ObjectUrl:
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


Address: TypeAlias = Path | ObjectUrl | ZarrGroupPath
"""Where an output goes: a file, an object in a store, a group of a Zarr store in either."""


def address_of(output: str | os.PathLike[str], folder: Path | None = None, group: str = "") -> Address:
    """Return where an output goes, by how it is written: a path (from `folder`) or a URL; .zarr ends a store's.

    group: of a Zarr store, the part that is meant. Raises OutputError for a URL that nothing here can open.
    """
    text = os.fspath(output)
    at = ObjectUrl(text.rstrip("/")) if "://" in text else (folder or Path()) / text
    return ZarrGroupPath(at, group) if at.name.endswith(ZARR) else at


def check_output(output: str | os.PathLike[str] | ObjectUrl | ZarrGroupPath, *, overwrite: bool) -> None:
    """Refuse, before any work is done for it, an output that exists already or cannot be (OutputError)."""
    if isinstance(output, ZarrGroupPath):
        _check_group(output, overwrite=overwrite)
    elif isinstance(output, ObjectUrl):
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


def disk_of(output: Address) -> Path:
    """Return the folder that what is unfinished lies in."""
    at = output.store if isinstance(output, ZarrGroupPath) else output
    return Path(tempfile.gettempdir()) if isinstance(at, ObjectUrl) else at.parent


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


def _check_group(place: ZarrGroupPath, *, overwrite: bool) -> None:
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


def _held(at: Path | ObjectUrl) -> Literal["nothing", "target", "group", "other"]:
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
            return "other" if names and UNFINISHED not in names else "nothing"
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
    return OutputError(f"{output} exists: choose another name, or pass {option('overwrite', value=True)}")


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
