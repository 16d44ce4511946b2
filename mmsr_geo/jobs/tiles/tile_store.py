"""Where finished tiles wait: one file a tile, whole or not there, with its hash in a manifest; knows no pixel."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol

from mmsr_geo.errors import OutputError
from mmsr_geo.jobs.journal import append_lines
from mmsr_geo.raster.write.object_store import ObjectUrl
from mmsr_geo.spelling import option

Stage = Literal["prediction", "target"]
"""A tile of a model of its own is predicted first, and blended with its neighbours' predictions then."""
_A_FOLDER = 1000
"""Tiles in a folder."""
_LINE = "manifest/{name}.json"
"""Where an object store has a tile's line of the manifest."""


@dataclass(frozen=True, slots=True)
class TileRecord:
    """A tile that is there, and what is to be known of it: a line of the manifest."""

    stage: Stage
    band: int
    """The output's, from 1."""
    index: int
    digest: str
    """Of its values."""
    qa_digest: str
    """Of its flags."""
    size: int
    """Of its file, in bytes."""
    valid: int = 0
    clipped: int = 0
    """How many of the valid values lay beyond what is stored."""
    flags: Mapping[str, int] | None = None
    """How many pixels have each flag."""
    regions: tuple[tuple[float, ...], ...] = ()
    """What a tile's own fit found out about the guide, a region each: row, col, height, width, pixels, squares."""
    seconds: float = 0.0
    at: float = 0.0
    """When it was made, in seconds since 1970."""
    uncertainty_digest: str = ""
    """Of its uncertainty; nothing where that was not asked for."""
    uncertainty_clipped: int = 0

    @property
    def digests(self) -> tuple[str, ...]:
        """Those of its file's bands, in their order."""
        return tuple(filter(None, (self.digest, self.qa_digest, self.uncertainty_digest)))

    @property
    def name(self) -> str:
        """Its file's place in the store."""
        return f"{self.stage}-{self.band}/{self.index // _A_FOLDER:04d}/{self.index:07d}.tif"

    @property
    def line(self) -> str:
        """What the manifest says of it."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def of_line(cls, line: str) -> TileRecord | None:
        """Read a line; None for one that a crash has cut off."""
        try:
            told = json.loads(line)
            return cls(**told | {"regions": tuple(tuple(each) for each in told["regions"])})
        except (json.JSONDecodeError, TypeError, KeyError):
            return None


class TileStore(Protocol):
    """A folder of tiles and what else a job keeps, wherever it is; a value that is sent to workers."""

    def put(self, name: str, content: bytes) -> None:
        """Keep a file: it is whole or not there. Raises OutputError where there is no room or no right."""

    def get(self, name: str) -> bytes | None:
        """Return a file's content; None where there is none."""

    def put_tile(self, made: TileRecord, content: bytes) -> None:
        """Keep a tile's file; called by workers, many at once."""

    def record(self, made: Sequence[TileRecord]) -> None:
        """Say in the manifest that these tiles are there; called by one process alone."""

    def lines(self) -> Iterator[TileRecord]:
        """Yield what the manifest says, line by line: of a tile the last holds."""

    def holds(self, made: TileRecord) -> bool:
        """Whether a tile's file is there and as large as the manifest says."""

    def made(self) -> dict[tuple[Stage, int, int], TileRecord]:
        """Return the tiles of the manifest whose files are there and as large as it says, by stage, band and index."""

    def near(self, made: TileRecord, folder: Path) -> Path:
        """Return a local file of a tile; one that has to be fetched for it comes to lie in `folder`."""

    def remove(self) -> None:
        """Remove all of it."""

    def remove_others(self, kept: str) -> None:
        """Remove all but a folder in it: tiles that no job will take any more."""


@dataclass(frozen=True, slots=True)
class FolderStore:
    """A folder of a file system that all workers see."""

    folder: Path

    def put(self, name: str, content: bytes) -> None:
        """Write it under another name, have it on the disk, give it its name."""
        path = self.folder / name
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException as error:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise self._refused(error) from error
            raise

    def get(self, name: str) -> bytes | None:
        """Read it."""
        try:
            return (self.folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise OutputError(
                f"{self.folder / name} could not be read ({error.strerror or error}): mend the disk or its rights and "
                f"call again, or call with {option('restart', value=True)}"
            ) from error

    def put_tile(self, made: TileRecord, content: bytes) -> None:
        """Write its file; the manifest is `record`'s."""
        self.put(made.name, content)

    def record(self, made: Sequence[TileRecord]) -> None:
        """Append to the manifest and have it on the disk."""
        if not made:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            append_lines(self._manifest, "".join(f"{tile.line}\n" for tile in made))
        except OSError as error:
            raise self._refused(error) from error

    def lines(self) -> Iterator[TileRecord]:
        """Read the manifest."""
        if not self._manifest.exists():
            return
        with self._manifest.open(encoding="utf-8", errors="replace") as lines:
            yield from filter(None, map(TileRecord.of_line, lines))

    def holds(self, made: TileRecord) -> bool:
        """Look at its file's size."""
        try:
            return (self.folder / made.name).stat().st_size == made.size
        except OSError:
            return False

    def made(self) -> dict[tuple[Stage, int, int], TileRecord]:
        """Read the manifest, and look at each file's size."""
        found = {(made.stage, made.band, made.index): made for made in self.lines()}
        return {key: made for key, made in found.items() if self.holds(made)}

    def near(self, made: TileRecord, folder: Path) -> Path:  # noqa: ARG002  (another store's)
        """Return the file itself."""
        return self.folder / made.name

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
            f"tiles could not be written to {self.folder} ({error.strerror or error}): make room there, or mend the "
            "folder's rights, and call again"
        )


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """A place in an object store: an upload is whole or not there; a tile is one, and its manifest's line another."""

    place: ObjectUrl

    def put(self, name: str, content: bytes) -> None:
        """Upload it."""
        (self.place / name).write(content)

    def get(self, name: str) -> bytes | None:
        """Fetch it."""
        return (self.place / name).read()

    def put_tile(self, made: TileRecord, content: bytes) -> None:
        """Upload the tile, then its line: where the line is, the tile is."""
        self.put(made.name, content)
        self.put(_LINE.format(name=made.name), made.line.encode())

    def record(self, made: Sequence[TileRecord]) -> None:
        """Nothing: each tile's line was uploaded with it."""

    def lines(self) -> Iterator[TileRecord]:
        """Fetch those of tiles that are there."""
        return iter(self.made().values())

    def holds(self, made: TileRecord) -> bool:  # noqa: ARG002  (where its line is, it is)
        """Say yes: `lines` are of those alone."""
        return True

    def made(self) -> dict[tuple[Stage, int, int], TileRecord]:
        """List all, and fetch the lines, many at once."""
        sizes = self.place.sizes()
        lines = self.place.read_each([name for name in sizes if name.startswith(_LINE.partition("{")[0])])
        found = {}
        for line in lines.values():
            made = TileRecord.of_line(line.decode(errors="replace"))
            if made is not None and sizes.get(made.name) == made.size:
                found[made.stage, made.band, made.index] = made
        return found

    def near(self, made: TileRecord, folder: Path) -> Path:
        """Fetch it into the folder, once."""
        path = folder / made.name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.get(made.name) or b"")
        return path

    def remove(self) -> None:
        """Remove all objects; the lines first: without its line a tile is not there."""
        names = sorted(self.place.sizes(), key=lambda name: (not name.startswith(_LINE.partition("{")[0]), name))
        self.place.remove_each(names)

    def remove_others(self, kept: str) -> None:
        """Remove the objects that are not under that name."""
        self.place.remove_each([name for name in self.place.sizes() if not name.startswith(f"{kept}/")])


def store_at(place: str | Path) -> TileStore:
    """Return the store at a folder or a URL; raises OutputError for a URL that nothing here can open."""
    text = os.fspath(place)
    return ObjectStore(ObjectUrl(text)) if "://" in text else FolderStore(Path(text))
