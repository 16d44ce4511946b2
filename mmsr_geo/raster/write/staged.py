"""Outputs that appear all together or not at all, from a file or folder next to their place."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Protocol

from mmsr_geo.atomic import replace, sync, write_whole
from mmsr_geo.errors import MmsrWarning, OutputError
from mmsr_geo.raster.write.destination import (
    GROUP_FILE,
    UNFINISHED,
    Address,
    ZarrGroupPath,
    disk_of,
)
from mmsr_geo.raster.write.object_store import ObjectUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


_PLAIN_GROUP = json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}, indent=2).encode()
_AUX = ".aux.xml"
_BESIDE = (_AUX, ".ovr", ".msk")
"""Files of GDAL's beside a raster: statistics and what a GeoTIFF has no keys for, its overviews, its mask."""


def temporary_folder_for(output: Address) -> Path:
    """Return a new folder for what is unfinished: beside a file or a Zarr store, the system's own for a URL.

    Raises OutputError where there can be none.
    """
    name, folder = (output.store if isinstance(output, ZarrGroupPath) else output).name, disk_of(output)
    try:
        return Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".part", dir=folder))
    except OSError as error:
        msg = f"the folder {folder} cannot be written to ({error.strerror}): choose another for the output"
        raise OutputError(msg) from error


@contextmanager
def scratch_folder(output: Address) -> Iterator[Path]:
    """Make such a folder, and remove it in the end."""
    folder = temporary_folder_for(output)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Publishable(Protocol):
    """An output that is made whole before it appears."""

    def make(self, tags: Mapping[str, str]) -> None:
        """Make it beside its place, whole and on the disk, with what is to be said of it."""

    def publish(self, *, keep: bool) -> None:
        """Put it in its place; keep: so that it can be taken back."""

    def roll_back(self) -> None:
        """Undo `place`, also where it failed midway."""

    def finalize(self) -> None:
        """Remove what belonged to what was there before."""

    def discard(self) -> None:
        """Remove what is unfinished."""


class StagedOutput(ABC):
    """An output's place, and beside it a folder for what is to appear there."""

    def __init__(self, output: Address) -> None:
        """Make the folder; raises OutputError where none can be made, or the place cannot be written to."""
        self.scratch = temporary_folder_for(output)
        self._before = self.scratch / f"before{Path(output.name).suffix}"
        self._holds_the_last = False

    @abstractmethod
    def publish(self, made: Path, *, keep: bool) -> None:
        """Put what was made there; keep: so that it can be taken back. Raises OSError or OutputError."""

    @abstractmethod
    def roll_back(self, made: Path) -> None:
        """Undo `place`, also where it failed midway: what was there before is there again, or else in `scratch`."""

    def finalize(self, made: Path) -> None:  # noqa: B027  (not each has something to do)
        """Remove what described the one that was there before, and have it all on the disk."""

    def discard(self) -> None:
        """Remove what is unfinished."""
        if not self._holds_the_last:
            shutil.rmtree(self.scratch, ignore_errors=True)


def staged_output(output: Address) -> StagedOutput:
    """Return an output's slot."""
    if isinstance(output, ObjectUrl):
        return _StagedObject(output)
    if isinstance(output, ZarrGroupPath):
        return _StagedObjects(output) if isinstance(output.store, ObjectUrl) else _StagedFolder(output)
    return _StagedFile(output)


class _StagedFile(StagedOutput):
    def __init__(self, output: Path) -> None:
        super().__init__(output)
        self._output = output

    def publish(self, made: Path, *, keep: bool) -> None:
        if keep and self._output.exists():
            try:
                self._before.hardlink_to(self._output)
            except OSError:  # a file system that has no links
                replace(self._output, self._before)
        replace(made, self._output)

    def roll_back(self, made: Path) -> None:
        self._holds_the_last = self._before.exists()
        if self._holds_the_last:
            replace(self._before, self._output)
            self._holds_the_last = False
        elif not made.exists():
            self._output.unlink(missing_ok=True)

    def finalize(self, made: Path) -> None:
        """Keep what GDAL has put beside it: a CRS that a GeoTIFF has no keys for, such as a rotated pole's."""
        beside = made.with_name(made.name + _AUX)
        for suffix in _BESIDE:
            self._output.with_name(self._output.name + suffix).unlink(missing_ok=True)
        if beside.exists():
            replace(beside, self._output.with_name(self._output.name + _AUX))
        sync(self._output.parent)


class _StagedObject(StagedOutput):
    """An upload appears whole or not at all."""

    def __init__(self, output: ObjectUrl) -> None:
        output.try_to_write()  # before anything is computed for it
        super().__init__(output)
        self._output, self._kept = output, ObjectUrl(f"{output}.{token_hex(4)}.before")
        self._keeps = self._placed = False

    def publish(self, made: Path, *, keep: bool) -> None:  # noqa: ARG002  (what is replaced is kept in any case)
        if self._output.exists():
            self._output.copy_to(self._kept)
            self._keeps = True
        self._placed = True
        self._output.upload(made)

    def roll_back(self, made: Path) -> None:  # noqa: ARG002  (a slot's)
        if self._keeps:
            self._kept.copy_to(self._output)
            self._kept.remove()
        elif self._placed:
            self._output.remove()

    def finalize(self, made: Path) -> None:
        beside = made.with_name(made.name + _AUX)
        for suffix in _BESIDE:
            at = ObjectUrl(f"{self._output}{suffix}")
            if suffix == _AUX and beside.exists():
                at.upload(beside)
            else:
                at.remove()
        if self._keeps:
            self._kept.remove()


class _StagedFolder(StagedOutput):
    """A group that was made on the same disk takes its name at once."""

    def __init__(self, output: ZarrGroupPath) -> None:
        super().__init__(output)
        self._above = Path(str(output.store)) / GROUP_FILE if output.group else None
        self._at = Path(str(output.at))

    def publish(self, made: Path, *, keep: bool) -> None:  # noqa: ARG002  (what is replaced is kept in any case)
        if self._above is not None and not self._above.exists():
            self._above.parent.mkdir(exist_ok=True)
            write_whole(self._above, _PLAIN_GROUP)
        if self._at.exists():
            replace(self._at, self._before)
        replace(made, self._at)

    def roll_back(self, made: Path) -> None:
        self._holds_the_last = self._before.exists()
        if not made.exists():
            replace(self._at, made)
        if self._holds_the_last:
            replace(self._before, self._at)
            self._holds_the_last = False

    def finalize(self, made: Path) -> None:  # noqa: ARG002  (a slot's)
        sync(self._at.parent)


class _StagedObjects(StagedOutput):
    """A group's own metadata are uploaded last: until they are there nobody takes what is there for a group."""

    def __init__(self, output: ZarrGroupPath) -> None:
        self._above = ObjectUrl(str(output.store)) / GROUP_FILE if output.group else None
        self._at = ObjectUrl(str(output.at))
        self._begun = False
        self._at.try_to_write()  # before anything is computed for it
        super().__init__(output)

    def publish(self, made: Path, *, keep: bool) -> None:  # noqa: ARG002  (two of one name there cannot be)
        files = {path.relative_to(made).as_posix(): path for path in made.rglob("*") if path.is_file()}
        group = files.pop(GROUP_FILE)
        if self._above is not None and not self._above.exists():
            self._above.write(_PLAIN_GROUP)
        (self._at / UNFINISHED).write(b"")
        self._begun = True
        (self._at / GROUP_FILE).remove()
        self._at.remove_each(sorted(self._at.sizes().keys() - files.keys() - {UNFINISHED}))
        self._at.upload_each(files)
        sizes = self._at.sizes()
        if short := [name for name, path in files.items() if sizes.get(name) != path.stat().st_size]:
            raise OSError(f"{len(short)} of {len(files)} objects did not arrive whole, as {short[0]}")
        (self._at / GROUP_FILE).upload(group)
        (self._at / UNFINISHED).remove()

    def roll_back(self, made: Path) -> None:  # noqa: ARG002  (a slot's)
        """Remove what has arrived; what was there before is gone, where its replacing had begun."""
        if self._begun:
            (self._at / GROUP_FILE).remove()
            self._at.remove_each(sorted(self._at.sizes()))


def finish_together(
    outputs: Sequence[tuple[Publishable, Mapping[str, str]]],
    *,
    check: Callable[[], bool] = lambda: True,
) -> bool:
    """Make outputs that belong together, each with its tags, and put all in their places, or none.

    All are whole before the first appears; where one cannot be put in its place, those before it are taken back, and
    what was there before is there again. check: looks at what is made and says whether it shall appear; so does
    this. Raises OutputError where the disk or GDAL fails.
    """
    begun: list[Publishable] = []
    try:
        for writer, tags in outputs:
            writer.make(tags)
        if not check():
            return False
        try:
            for writer, _ in outputs:
                begun.append(writer)
                writer.publish(keep=len(outputs) > 1)
        except BaseException:
            for writer in reversed(begun):
                with contextlib.suppress(OutputError):  # what went wrong first is told
                    writer.roll_back()
            raise
        for writer, _ in outputs:
            try:
                writer.finalize()
            except OutputError as error:
                warnings.warn(f"{error}; what was written is whole all the same", MmsrWarning, stacklevel=2)
        return True
    finally:
        for writer, _ in outputs:
            writer.discard()
