"""Stores of finished tiles: one file per tile, complete or missing, with its hash in a manifest; knows no pixel."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

from mmsr_geo.atomic import write_whole
from mmsr_geo.errors import OutputError
from mmsr_geo.jobs.journal import append_lines
from mmsr_geo.raster.write.object_store import ObjectUrl
from mmsr_geo.spelling import option

Stage = Literal["prediction", "target"]
"""Stage of a tile. A tile with a model of its own is predicted first, then blended with adjacent predictions."""
_TILES_PER_FOLDER = 1000
"""Number of tiles in a folder."""
_LINE = "manifest/{name}.json"
"""Name of the object with a tile's line of the manifest."""


@dataclass(frozen=True, slots=True)
class TileRecord:
    """A finished tile and its facts: a line of the manifest."""

    stage: Stage
    band: int
    """Band of the output, from 1."""
    index: int
    digest: str
    """Hash of the values."""
    qa_digest: str
    """Hash of the QA flags."""
    size: int
    """Size of the file in bytes."""
    valid: int = 0
    """Number of valid pixels."""
    clipped: int = 0
    """Number of valid values beyond the range of the stored dtype."""
    flags: Mapping[str, int] | None = None
    """Number of pixels with each QA flag."""
    regions: tuple[tuple[float, ...], ...] = ()
    """Regions of its own fit's guide check: row, col, height, width, pixels and two sums of squares each."""
    seconds: float = 0.0
    """Duration of its computation."""
    at: float = 0.0
    """Time of its computation, in seconds since 1970."""
    uncertainty_digest: str = ""
    """Hash of the uncertainty; empty if it was not requested."""
    uncertainty_clipped: int = 0
    """Number of uncertainties beyond the range of the stored dtype."""

    @property
    def digests(self) -> tuple[str, ...]:
        """Hash of each band of its file."""
        return tuple(filter(None, (self.digest, self.qa_digest, self.uncertainty_digest)))

    @property
    def name(self) -> str:
        """Name of its file in the store."""
        return f"{self.stage}-{self.band}/{self.index // _TILES_PER_FOLDER:04d}/{self.index:07d}.tif"

    @property
    def line(self) -> str:
        """Its line of the manifest."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def of_line(cls, line: str) -> TileRecord | None:
        """Return the record of a line; None for a line that a crash has cut off, or that is not of this version."""
        try:
            fields = json.loads(line)
            record = cls(**fields | {"regions": tuple(map(tuple, fields["regions"]))})
        except (json.JSONDecodeError, TypeError, KeyError):
            return None
        numbers = (record.band, record.index, record.size)
        return record if record.stage in get_args(Stage) and all(isinstance(n, int) for n in numbers) else None


class TileStore(Protocol):
    """Place where a job keeps tiles, models and its plan: a value that is sent to workers."""

    def put(self, name: str, content: bytes) -> None:
        """Write a file completely or not at all. Raises OutputError if there is no space or no permission."""

    def get(self, name: str) -> bytes | None:
        """Return the content of a file; None if it does not exist."""

    def put_tile(self, record: TileRecord, content: bytes) -> None:
        """Write the file of a tile; called by many workers at once."""

    def record(self, records: Sequence[TileRecord]) -> None:
        """Add tiles to the manifest; called by one process only."""

    def lines(self) -> Iterator[TileRecord]:
        """Yield the lines of the manifest; the last line of a tile is valid."""

    def holds(self, record: TileRecord) -> bool:
        """Return True if the file of a tile exists and has the size in the manifest."""

    def records(self) -> dict[tuple[Stage, int, int], TileRecord]:
        """Return the tiles whose files exist and have the size in the manifest, by stage, band and number."""

    def local_file(self, record: TileRecord, folder: Path) -> Path:
        """Return a local file of a tile; a tile of an object store is downloaded into `folder`."""

    def remove(self) -> None:
        """Remove the store."""

    def remove_others(self, kept: str) -> None:
        """Remove all folders of the store but one: tiles of other inputs or options."""


@dataclass(frozen=True, slots=True)
class FolderStore:
    """Store in a folder that all workers see."""

    folder: Path

    def put(self, name: str, content: bytes) -> None:
        """Write a file under a temporary name, wait until it is on the disk, and rename it."""
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
        except OSError as error:
            raise self._refused(error) from error

    def get(self, name: str) -> bytes | None:
        """Read a file."""
        try:
            return (self.folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise OutputError(
                f"{self.folder / name} cannot be read ({error.strerror or error}): fix the disk or the permissions and "
                f"run the job again, or pass {option('restart', value=True)}"
            ) from error

    def put_tile(self, record: TileRecord, content: bytes) -> None:
        """Write the file of a tile, not its line of the manifest."""
        self.put(record.name, content)

    def record(self, records: Sequence[TileRecord]) -> None:
        """Append lines to the manifest and wait until they are on the disk."""
        if not records:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            append_lines(self._manifest, "".join(f"{tile.line}\n" for tile in records))
        except OSError as error:
            raise self._refused(error) from error

    def lines(self) -> Iterator[TileRecord]:
        """Yield the lines of the manifest file."""
        if not self._manifest.exists():
            return
        with self._manifest.open(encoding="utf-8", errors="replace") as lines:
            yield from filter(None, map(TileRecord.of_line, lines))

    def holds(self, record: TileRecord) -> bool:
        """Compare the size of the file."""
        try:
            return (self.folder / record.name).stat().st_size == record.size
        except OSError:
            return False

    def records(self) -> dict[tuple[Stage, int, int], TileRecord]:
        """Read the manifest and compare the sizes of all files."""
        records = {(record.stage, record.band, record.index): record for record in self.lines()}
        return {key: record for key, record in records.items() if self.holds(record)}

    def local_file(self, record: TileRecord, folder: Path) -> Path:  # noqa: ARG002  (for object stores)
        """Return the file in the store."""
        return self.folder / record.name

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_others(self, kept: str) -> None:
        """Remove the other folders."""
        for folder in self.folder.iterdir() if self.folder.is_dir() else ():
            if folder.name != kept:
                shutil.rmtree(folder, ignore_errors=True)

    @property
    def _manifest(self) -> Path:
        return self.folder / "manifest.jsonl"

    def _refused(self, error: OSError) -> OutputError:
        return OutputError(
            f"tiles cannot be written to {self.folder} ({error.strerror or error}): free disk space or fix the "
            "permissions, then run again"
        )


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """Store in an object store, where uploads are complete or missing; a tile and its line are two objects."""

    place: ObjectUrl

    def put(self, name: str, content: bytes) -> None:
        """Upload a file."""
        (self.place / name).write(content)

    def get(self, name: str) -> bytes | None:
        """Download a file."""
        return (self.place / name).read()

    def put_tile(self, record: TileRecord, content: bytes) -> None:
        """Upload the tile, then its line: if the line exists, so does the tile."""
        self.put(record.name, content)
        self.put(_LINE.format(name=record.name), record.line.encode())

    def record(self, records: Sequence[TileRecord]) -> None:
        """Do nothing: the line of each tile was uploaded with it."""

    def lines(self) -> Iterator[TileRecord]:
        """Download the lines of all tiles that exist."""
        return iter(self.records().values())

    def holds(self, record: TileRecord) -> bool:  # noqa: ARG002  (its line exists)
        """Return True: `lines` has only tiles that exist."""
        return True

    def records(self) -> dict[tuple[Stage, int, int], TileRecord]:
        """List all objects and download the lines, many at once."""
        sizes = self.place.sizes()
        lines = self.place.read_each([name for name in sizes if name.startswith(_LINE.partition("{")[0])])
        records = {}
        for line in lines.values():
            record = TileRecord.of_line(line.decode(errors="replace"))
            if record is not None and sizes.get(record.name) == record.size:
                records[record.stage, record.band, record.index] = record
        return records

    def local_file(self, record: TileRecord, folder: Path) -> Path:
        """Download the tile into the folder, once."""
        path = folder / record.name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.get(record.name) or b"")
        return path

    def remove(self) -> None:
        """Remove all objects, the lines first: a tile without a line does not exist."""
        names = sorted(self.place.sizes(), key=lambda name: (not name.startswith(_LINE.partition("{")[0]), name))
        self.place.remove_each(names)

    def remove_others(self, kept: str) -> None:
        """Remove the objects of all other folders."""
        self.place.remove_each([name for name in self.place.sizes() if not name.startswith(f"{kept}/")])


def store_at(place: str | Path) -> TileStore:
    """Return the store at a folder or a URL; raises OutputError for a URL that cannot be opened."""
    text = os.fspath(place)
    return ObjectStore(ObjectUrl(text)) if "://" in text else FolderStore(Path(text))
