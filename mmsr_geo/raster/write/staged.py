"""Outputs written to a temporary folder first and published all together or not at all; knows no pixels."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import warnings
from abc import ABC, abstractmethod
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, ClassVar, Self

from mmsr_geo.atomic import replace, sync, write_whole
from mmsr_geo.errors import MmsrWarning, OutputError, template_of
from mmsr_geo.raster.write.destination import (
    GROUP_FILE,
    UNFINISHED,
    Address,
    ZarrGroupPath,
    disk_of,
    not_written,
)
from mmsr_geo.raster.write.object_store import ObjectUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType


_PLAIN_GROUP = json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}, indent=2).encode()
_AUX = ".aux.xml"
_SIDECARS = (_AUX, ".ovr", ".msk")
"""Suffixes of the files that GDAL writes next to a raster: metadata without GeoTIFF keys, overviews, mask."""


def temporary_folder_for(output: Address) -> Path:
    """Create a temporary folder: next to a file or a Zarr store, in the system's temporary folder for a URL.

    Raises:
        OutputError: The folder cannot be written to.
    """
    name, folder = (output.store if isinstance(output, ZarrGroupPath) else output).name, disk_of(output)
    try:
        return Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".part", dir=folder))
    except OSError as error:
        msg = f"the folder {folder} cannot be written to ({error.strerror}): choose another folder for the output"
        raise OutputError(msg) from error


@contextmanager
def scratch_folder(output: Address) -> Iterator[Path]:
    """Create a temporary folder for an output, and remove it on leaving."""
    folder = temporary_folder_for(output)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class StagedOutput(ABC):
    """The place of an output and the temporary folder for what will appear there."""

    def __init__(self, output: Address) -> None:
        """Create the temporary folder; raises OutputError if it or the place cannot be written to."""
        self.scratch = temporary_folder_for(output)
        self._before = self.scratch / f"before{Path(output.name).suffix}"
        self._holds_the_last = False

    @abstractmethod
    def publish(self, draft: Path, *, keep: bool) -> None:
        """Move the draft to the place; keep: so that `roll_back` can undo it. Raises OSError or OutputError."""

    @abstractmethod
    def roll_back(self, draft: Path) -> None:
        """Undo `publish`, also where it failed midway: the earlier output is back, or kept in `scratch`."""

    def finalize(self, draft: Path) -> None:  # noqa: B027  (not all have something to do)
        """Remove files that described the output that was replaced, and wait until all is on the disk."""

    def discard(self) -> None:
        """Remove what is unfinished."""
        if not self._holds_the_last:
            shutil.rmtree(self.scratch, ignore_errors=True)


def staged_output(output: Address) -> StagedOutput:
    """Return the staged output for a place."""
    if isinstance(output, ObjectUrl):
        return _StagedObject(output)
    if isinstance(output, ZarrGroupPath):
        return _StagedObjects(output) if isinstance(output.store, ObjectUrl) else _StagedFolder(output)
    return _StagedFile(output)


class _StagedFile(StagedOutput):
    def __init__(self, output: Path) -> None:
        super().__init__(output)
        self._output = output

    def publish(self, draft: Path, *, keep: bool) -> None:
        if keep and self._output.exists():
            try:
                self._before.hardlink_to(self._output)
            except OSError:  # a file system that has no links
                replace(self._output, self._before)
        replace(draft, self._output)

    def roll_back(self, draft: Path) -> None:
        self._holds_the_last = self._before.exists()
        if self._holds_the_last:
            replace(self._before, self._output)
            self._holds_the_last = False
        elif not draft.exists():
            self._output.unlink(missing_ok=True)

    def finalize(self, draft: Path) -> None:
        """Move along the metadata that GDAL wrote next to it, such as a CRS that a GeoTIFF has no keys for."""
        sidecar = draft.with_name(draft.name + _AUX)
        for suffix in _SIDECARS:
            self._output.with_name(self._output.name + suffix).unlink(missing_ok=True)
        if sidecar.exists():
            replace(sidecar, self._output.with_name(self._output.name + _AUX))
        sync(self._output.parent)


class _StagedObject(StagedOutput):
    """An object in an object store: an upload appears whole or not at all."""

    def __init__(self, output: ObjectUrl) -> None:
        output.try_to_write()  # before anything is computed for it
        super().__init__(output)
        self._output, self._kept = output, ObjectUrl(f"{output}.{token_hex(4)}.before")
        self._keeps = self._placed = False

    def publish(self, draft: Path, *, keep: bool) -> None:  # noqa: ARG002  (the replaced output is kept in any case)
        if self._output.exists():
            self._output.copy_to(self._kept)
            self._keeps = True
        self._placed = True
        self._output.upload(draft)

    def roll_back(self, draft: Path) -> None:  # noqa: ARG002  (the interface's)
        if self._keeps:
            self._kept.copy_to(self._output)
            self._kept.remove()
        elif self._placed:
            self._output.remove()

    def finalize(self, draft: Path) -> None:
        sidecar = draft.with_name(draft.name + _AUX)
        for suffix in _SIDECARS:
            at = ObjectUrl(f"{self._output}{suffix}")
            if suffix == _AUX and sidecar.exists():
                at.upload(sidecar)
            else:
                at.remove()
        if self._keeps:
            self._kept.remove()


class _StagedFolder(StagedOutput):
    """A group of a Zarr store on the same disk, which is renamed at once."""

    def __init__(self, output: ZarrGroupPath) -> None:
        super().__init__(output)
        self._above = Path(str(output.store)) / GROUP_FILE if output.group else None
        self._at = Path(str(output.at))

    def publish(self, draft: Path, *, keep: bool) -> None:  # noqa: ARG002  (the replaced output is kept in any case)
        if self._above is not None and not self._above.exists():
            self._above.parent.mkdir(exist_ok=True)
            write_whole(self._above, _PLAIN_GROUP)
        if self._at.exists():
            replace(self._at, self._before)
        replace(draft, self._at)

    def roll_back(self, draft: Path) -> None:
        self._holds_the_last = self._before.exists()
        if not draft.exists():
            replace(self._at, draft)
        if self._holds_the_last:
            replace(self._before, self._at)
            self._holds_the_last = False

    def finalize(self, draft: Path) -> None:  # noqa: ARG002  (the interface's)
        sync(self._at.parent)


class _StagedObjects(StagedOutput):
    """A group of a Zarr store in an object store, whose metadata are uploaded last: without them it is not a group."""

    def __init__(self, output: ZarrGroupPath) -> None:
        self._above = ObjectUrl(str(output.store)) / GROUP_FILE if output.group else None
        self._at = ObjectUrl(str(output.at))
        self._begun = False
        self._at.try_to_write()  # before anything is computed for it
        super().__init__(output)

    def publish(self, draft: Path, *, keep: bool) -> None:  # noqa: ARG002  (an object store has no rename)
        files = {path.relative_to(draft).as_posix(): path for path in draft.rglob("*") if path.is_file()}
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
            raise OSError(f"{len(short)} of {len(files)} objects did not arrive completely, such as {short[0]}")
        (self._at / GROUP_FILE).upload(group)
        (self._at / UNFINISHED).remove()

    def roll_back(self, draft: Path) -> None:  # noqa: ARG002  (the interface's)
        """Remove the objects that have arrived; the earlier group is lost if its replacement had begun."""
        if self._begun:
            (self._at / GROUP_FILE).remove()
            self._at.remove_each(sorted(self._at.sizes()))


class StagedWriter(ABC):
    """Base of writers of an output that is complete before it appears under its name.

    A context manager: leaving it before `finish_together` removes what is unfinished, and an output that was there
    before stays as it was.
    """

    failures: ClassVar[tuple[type[Exception], ...]] = (OSError,)
    """Exceptions of the disk and of the format's library, which become an OutputError."""

    def __init__(self, path: Address, draft: str) -> None:
        """Create a temporary folder for the output.

        Args:
            path: The output.
            draft: The name, in that folder, of the file or folder that will appear as the output.

        Raises:
            OutputError: The folder or the output cannot be written to.
        """
        self.path = path
        self._staged = staged_output(path)
        self.draft = self.scratch / draft

    @property
    def scratch(self) -> Path:
        """Temporary folder for the output, which is removed with the writer."""
        return self._staged.scratch

    @abstractmethod
    def make(self, tags: Mapping[str, str]) -> None:
        """Write the complete draft with its tags, and wait until it is on the disk."""

    def publish(self, *, keep: bool) -> None:
        """Move the draft to the output's place; keep: so that `roll_back` can undo it."""
        with self.converting_errors():
            self._staged.publish(self.draft, keep=keep)

    def roll_back(self) -> None:
        """Undo `publish`, also where it failed midway: the earlier output is back, or kept in `scratch`."""
        with self.converting_errors():
            self._staged.roll_back(self.draft)

    def finalize(self) -> None:
        """Remove files that described the output that was replaced, and wait until all is on the disk."""
        with self.converting_errors():
            self._staged.finalize(self.draft)

    def discard(self) -> None:
        """Remove what is unfinished."""
        self._staged.discard()

    @contextmanager
    def converting_errors(self) -> Iterator[None]:
        """Turn the writer's `failures` into an OutputError."""
        try:
            yield
        except self.failures as error:
            raise not_written(self.path, error) from error

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what is unfinished."""
        self.discard()


def finish_together(
    outputs: Sequence[tuple[StagedWriter, Mapping[str, str]]],
    *,
    check: Callable[[], bool] = lambda: True,
) -> bool:
    """Write outputs that belong together and publish all of them, or none.

    All are complete before the first appears. If one cannot be published, those before it are rolled back.

    Args:
        outputs: The outputs, each with its tags.
        check: Called when all are complete; if it returns False, nothing is published.

    Returns:
        True if the outputs were published.

    Raises:
        OutputError: The disk, GDAL or Zarr fails.
    """
    begun: list[StagedWriter] = []
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
                with contextlib.suppress(OutputError):  # the first error is raised
                    writer.roll_back()
            raise
        for writer, _ in outputs:
            try:
                writer.finalize()
            except OutputError as error:
                warnings.warn(f"{template_of(error)}; the output itself is complete", MmsrWarning, stacklevel=2)
        return True
    finally:
        for writer, _ in outputs:
            writer.discard()
