"""Places of outputs (files, objects, groups of Zarr stores) and their checks before any work; knows no pixels."""

from __future__ import annotations

import json
import os
import re
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
"""Name of the QA flags' array in a Zarr store."""
GROUP_FILE = "zarr.json"
"""File whose presence makes a folder, or objects with a common prefix, a Zarr group; it is written last."""
UNCERTAINTY = "{variable}_uncertainty"
"""Name of the uncertainty's array in a Zarr store."""
TAKEN = (QA, "spatial_ref", "x", "y", "band")
"""Names of arrays in a group that its target cannot have."""
OURS = "MMSR_GEO_VERSION"
"""Attribute or tag that every target of mmsr_geo has."""
UNFINISHED = ".mmsr_geo-unfinished"
"""Object that marks a group in an object store as incomplete."""
_GEOTIFFS = {"tif", "tiff", "gtif", "gtiff", "geotiff", "cog"}
"""Extensions of names of GeoTIFFs."""
_VSIS3 = "/vsis3/"
_LONGEST_NAME = 255 - len(".") - len(".12345678.part")
"""Longest name of an output in bytes, so that the name of its temporary folder fits into a file system's 255."""
WINDOWS = os.name == "nt"
"""True on Windows, where some names are not allowed."""
_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{number}" for port in ("COM", "LPT") for number in "123456789¹²³"
}
"""Names that Windows reserves for devices, with any extension."""
_NOT_ON_WINDOWS = re.compile(r'[<>:"|?*\x00-\x1f]')


@dataclass(frozen=True, slots=True)
class ZarrGroupPath:
    """A group of a Zarr store, or the store itself, which is its root group."""

    store: Path | ObjectUrl
    group: str = ""
    """Name of the group in the store; empty: the store itself."""

    @property
    def at(self) -> Path | ObjectUrl:
        """The folder of the group, or the prefix of its objects."""
        return self.store / self.group if self.group else self.store

    @property
    def name(self) -> str:
        """Name of the store and of the group."""
        return f"{self.store.name}/{self.group}" if self.group else self.store.name

    def exists(self) -> bool:
        """Return True if the group exists and is complete."""
        return (self.at / GROUP_FILE).exists()

    def __str__(self) -> str:
        """Return the path or URL."""
        return str(self.at)


Address: TypeAlias = Path | ObjectUrl | ZarrGroupPath
"""Place of an output: a file, an object in an object store, or a group of a Zarr store in either."""


def address_of(output: str | os.PathLike[str], folder: Path | None = None, group: str = "") -> Address:
    """Return the place of an output from its path or URL; a name that ends in .zarr is a Zarr store.

    Args:
        output: A path or a URL.
        folder: The folder that a relative path starts from; None: the current folder.
        group: The group of the Zarr store; ignored for other outputs.

    Raises:
        OutputError: No installed package opens such URLs.
    """
    text = os.fspath(output)
    at = ObjectUrl(text.rstrip("/")) if "://" in text else (folder or Path()) / text
    return ZarrGroupPath(at, group) if at.name.endswith(ZARR) else at


def check_format(output: str | os.PathLike[str]) -> None:
    """Refuse the name of an output that promises another format than those that are written.

    A name without an extension is a GeoTIFF, and so is one that ends in a dot and digits, as in LST_2021.07.

    Raises:
        OutputError: The name ends in an extension that is neither a GeoTIFF's nor .zarr.
    """
    extension = re.search(r"\.([A-Za-z]\w*)$", os.fspath(output).rstrip("/\\"))
    if extension is not None and extension[1].lower() not in _GEOTIFFS and extension[0] != ZARR:
        raise OutputError(
            f"{os.fspath(output)} ends in {extension[0]}, and outputs are Cloud Optimized GeoTIFFs (.tif) or Zarr "
            "stores (.zarr): give a name that ends so, and convert that file with gdal_translate"
        )


def check_output(output: str | os.PathLike[str] | ObjectUrl | ZarrGroupPath, *, overwrite: bool) -> None:
    """Refuse an output that exists or that cannot be written, before any work is done for it.

    Raises:
        OutputError: The output exists and `overwrite` is not set, its name is not allowed, or its folder is missing.
    """
    if isinstance(output, ZarrGroupPath):
        _check_group(output, overwrite=overwrite)
    elif isinstance(output, ObjectUrl):
        if output.exists() and not overwrite:
            raise _exists(output)
    else:
        _check_file(Path(output), overwrite=overwrite)


def check_apart(outputs: Sequence[object], inputs: Sequence[object]) -> None:
    """Refuse an output that is also an input or another output, under any name.

    Args:
        outputs: Paths, URLs and other places of outputs.
        inputs: What was given as inputs; only paths and URLs are compared.

    Raises:
        OutputError: An output would replace an input or another output.
    """
    taken = [(_real(path), f"an input ({path})") for path in inputs if isinstance(path, str | os.PathLike)]
    for output in outputs:
        real = _real(output)
        for other, role in taken:
            if _is_same(real, other):
                raise OutputError(f"{output} is also {role}, which would be lost: give the output another name")
        taken.append((real, f"another output ({output})"))


def disk_of(output: Address) -> Path:
    """Return the folder in which the temporary folder of an output is created."""
    at = output.store if isinstance(output, ZarrGroupPath) else output
    return Path(tempfile.gettempdir()) if isinstance(at, ObjectUrl) else at.parent


def check_disk(output: Address, size: int) -> None:
    """Refuse an output of `size` bytes for which its disk has no space.

    Raises:
        OutputError: Less than `size` bytes are free.
    """
    free = shutil.disk_usage(disk_of(output)).free
    if free < size:
        raise OutputError(
            f"{output} needs {size / 1e9:.1f} GB to be written, and {free / 1e9:.1f} GB are free: free disk space, or "
            "write to another disk"
        )


def not_written(output: Address, error: Exception) -> OutputError:
    """Return the error for an output on which the disk, GDAL or Zarr failed."""
    if isinstance(error, PermissionError):
        reason = error.strerror or str(error)
        return OutputError(
            f"{output} cannot be written or replaced ({reason}): close the programs that have it open, or choose "
            "another name"
        )
    free = shutil.disk_usage(disk_of(output)).free
    reason = (str(error.__cause__ or error) or type(error).__name__).splitlines()[0]
    return OutputError(
        f"{output} cannot be written ({reason}; {free / 1e9:.1f} GB free): free disk space, or write to another disk"
    )


def check_name(name: str, *, windows: bool | None = None) -> None:
    """Refuse a name that a file or folder cannot have.

    Args:
        name: A name without folders.
        windows: Whether the rules of Windows hold; None: if this is Windows.

    Raises:
        OutputError: The name is too long, or Windows does not allow it.
    """
    length = len(os.fsencode(name))
    if length > _LONGEST_NAME:
        raise OutputError(f"{name} is a name of {length} bytes: give one of at most {_LONGEST_NAME}")
    if not (WINDOWS if windows is None else windows):
        return
    if name.partition(".")[0].rstrip(" ").upper() in _DEVICES:
        raise OutputError(f"{name} is a name that Windows reserves for a device: give the output another name")
    wrong = _NOT_ON_WINDOWS.search(name)
    if wrong or name.endswith((".", " ")):
        part = f"{wrong[0]!r} in it" if wrong else f"{name[-1]!r} at its end"
        raise OutputError(f"{name!r} cannot be the name of a file on Windows ({part}): give the output another name")


def _check_file(path: Path, *, overwrite: bool) -> None:
    check_name(path.name)
    try:
        if path.is_dir():
            raise OutputError(f"{path} is a folder: give the name of a file in it")
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} is a pipe or a device, which a raster cannot replace: give the name of a file")
        if path.exists() and not overwrite:
            raise _exists(path)
        if not path.parent.is_dir():
            raise OutputError(f"the folder {path.parent} does not exist: create it first")
    except OSError as error:
        raise OutputError(f"{path} cannot be accessed ({error.strerror}): choose another folder") from error


def _check_group(place: ZarrGroupPath, *, overwrite: bool) -> None:
    if not _has_zarr():
        raise OutputError(
            f"{place} cannot be written without zarr 3: install it with pip install 'mmsr-geo[zarr]', or write a .tif"
        )
    store = place.store
    try:
        if isinstance(store, Path):
            for name in (store.name, *filter(None, place.group.split("/"))):
                check_name(name)
            if not store.parent.is_dir():
                raise OutputError(f"the folder {store.parent} does not exist: create it first")
        above = _held(store) if place.group else "group"
        present = _held(place.at)
    except OSError as error:
        raise OutputError(f"{place} cannot be accessed ({error.strerror}): choose another folder") from error
    if above not in {"nothing", "group"}:
        raise OutputError(f"{store} exists and is not a Zarr store of groups: choose another name for the store")
    if present not in {"nothing", "target"}:
        raise OutputError(
            f"{place} exists and was not written by mmsr_geo, so it is not replaced: remove it, or choose another name"
        )
    if present == "target" and not overwrite:
        raise _exists(place)


def _held(at: Path | ObjectUrl) -> Literal["nothing", "target", "group", "other"]:
    """Return what exists at the place of a group; an unfinished group counts as nothing."""
    if isinstance(at, Path):
        group = at / GROUP_FILE
        text = group.read_bytes() if group.is_file() else None
        if text is None:
            return "other" if at.exists() and not (at.is_dir() and not any(at.iterdir())) else "nothing"
    else:
        text = (at / GROUP_FILE).read()
        if text is None:
            names = at.sizes()
            return "other" if names and UNFINISHED not in names else "nothing"
    try:
        metadata = json.loads(text)
        if metadata["node_type"] != "group":
            return "other"
        return "target" if OURS in metadata.get("attributes", {}) else "group"
    except (ValueError, KeyError, TypeError):
        return "other"


def _exists(output: Address) -> OutputError:
    return OutputError(f"{output} exists: choose another name, or pass {option('overwrite', value=True)}")


def _has_zarr() -> bool:
    try:
        return int(version("zarr").partition(".")[0]) >= 3
    except (PackageNotFoundError, ValueError):
        return False


def _real(path: object) -> str:
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else str(path)
    if text.startswith(_VSIS3):  # GDAL's notation
        return f"s3://{text.removeprefix(_VSIS3)}"
    return text if "://" in text else os.path.normcase(os.path.realpath(text))


def _is_same(real: str, other: str) -> bool:
    """Return True for two names of one file: equal, or equal but for case on a file system that ignores it."""
    if real == other:
        return True
    if "://" in real or real.casefold() != other.casefold():
        return False
    try:
        return Path(real).samefile(other)
    except OSError:
        return False
