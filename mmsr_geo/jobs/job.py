"""The job file: pairs, options and outputs, checked as a whole before anything runs; reads no pixel."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import rasterio
from pydantic import ValidationError
from rasterio.errors import RasterioError

from mmsr_geo.errors import JobError, MmsrError, OutputError, template_of
from mmsr_geo.jobs.schema import KEY, NAME, ClusterTable, JobFile, OnError, Options, quoted, validation_messages
from mmsr_geo.options import PATHS
from mmsr_geo.raster.views.derived_bands import Derivation
from mmsr_geo.raster.views.mask import path_and_rule
from mmsr_geo.raster.write.destination import QA, ZARR, Address, address_of, check_format

SAME_PLACE = 0.8
"""Share of their common extent that two sources of the same place must both cover."""
_GDALS_OWN = re.compile(r"[A-Za-z]\w+:.+:.+")
"""Name of a subdataset, DRIVER:...:...; a drive of Windows has one letter."""
_NO_GROUP = re.compile(r"^$|^\.|^__|/|\.zarr$|^zarr\.json$")

ModelMode: TypeAlias = Literal["per-pair", "per-place", "shared"]
"""Pair that the model of a pair is fitted to: itself, the first pair of its place, or the first pair of the job."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One pair of a job: its inputs, its outputs and its options."""

    name: str
    source: str
    guides: tuple[str, ...]
    output: Address
    qa: Address | None
    """File of the QA flags; None: no file, or the output is a Zarr store, which contains them."""
    options: Mapping[str, Any] = field(repr=False)
    """Options that differ from the defaults, with absolute paths."""
    model: ModelMode = "per-pair"
    place: str = ""
    """Name of its place in the job file; empty: the footprint of the source decides."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Position and pixel size of a source, to find sources of the same place."""

    place: str
    """Name of the place in the job file; empty if it has none."""
    crs: str = ""
    resolution: tuple[float, float] = (0.0, 0.0)
    bounds: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    @classmethod
    def of(cls, entry: Entry) -> Footprint:
        """Return the footprint of an entry's source; a source that cannot be opened is a place of its own."""
        if entry.place:
            return cls(entry.place)
        try:
            with rasterio.open(entry.source) as dataset:
                return cls("", str(dataset.crs), dataset.res, tuple(dataset.bounds))
        except RasterioError:
            return cls(f"?{entry.name}")

    def is_same_place(self, other: Footprint) -> bool:
        """Return True for the same name, or the same CRS and pixel size and four fifths of the extent in common."""
        if self.place or other.place:
            return self.place == other.place
        if (self.crs, self.resolution) != (other.crs, other.resolution):
            return False
        west, south, east, north = zip(self.bounds, other.bounds, strict=True)
        common = max(min(east) - max(west), 0) * max(min(north) - max(south), 0)
        union = sum((e - w) * (n - s) for w, s, e, n in (self.bounds, other.bounds)) - common
        return common >= SAME_PLACE * union


@dataclass(frozen=True)
class Job:
    """A job file that has been checked."""

    path: Path
    on_error: OnError
    entries: tuple[Entry, ...]
    work: str
    """Folder or URL where this job keeps the tiles of pairs that are not done."""
    cluster: ClusterTable

    @classmethod
    def read(cls, path: Path) -> Job:
        """Read and check a job file.

        Raises:
            JobError: The file has mistakes. The message names all of them, each with its position in the file.
        """
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            msg = f"{path} cannot be read ({reason}): give a job file; mmsr-geo batch --init writes an example"
            raise JobError(msg) from error
        try:
            file = JobFile.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            msg = f"{path} is not valid TOML ({error}): fix that line; mmsr-geo batch --init writes an example"
            raise JobError(msg) from error
        except ValidationError as error:
            raise JobError(quoted(path, validation_messages(error))) from None
        mistakes: list[str] = []
        entries = tuple(_entries(file, path.absolute().parent, mistakes))
        mistakes += _clashes(file, entries)
        if mistakes:
            raise JobError(quoted(path, list(dict.fromkeys(mistakes))))
        folder = path.absolute().parent
        work = str(folder / f"{path.stem}.work") if file.work is None else _own_folder(file.work, path)
        return cls(path, file.on_error, entries, work, file.cluster)

    def reference_scene_of(self, entry: Entry) -> Entry | None:
        """Return the pair whose model this pair uses, which may be itself; None if each pair has its own model."""
        return self._reference_scenes.get(entry.name)

    @cached_property
    def _reference_scenes(self) -> dict[str, Entry]:
        references: dict[str, Entry] = {}
        places: list[tuple[Footprint, Entry]] = []
        for entry in self.entries:
            if entry.model == "shared":
                references[entry.name] = self.entries[0]
            elif entry.model == "per-place":
                footprint = Footprint.of(entry)
                reference = next((first for other, first in places if other.is_same_place(footprint)), entry)
                references[entry.name] = reference
                if reference is entry:
                    places.append((footprint, entry))
        return references


def _own_folder(work: str, path: Path) -> str:
    """Return the job's own folder within a folder or a prefix that other jobs may use as well."""
    path = path.absolute()
    mark = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    return f"{_absolute(work, path.parent).rstrip('/')}/{path.stem}-{mark}"


def _entries(file: JobFile, folder: Path, mistakes: list[str]) -> Iterator[Entry]:
    for number, pair in enumerate(file.pairs):
        sources = list(_matches(pair.source, folder)) if KEY in pair.source else [(pair.source, "")]
        if not sources:
            mistakes.append(f"pairs[{number}].source: no file matches {pair.source}")
        for source, key in sources:
            name = (pair.name or key or Path(source).stem).replace(KEY, key)
            patterns = (pair.guide,) if isinstance(pair.guide, str) else pair.guide
            guides = tuple(path for pattern in patterns for path in _existing(pattern, key, folder))
            position = f"pairs[{number}]" + (f" ({name})" if key else "")
            if not _may_exist(_absolute(source, folder)):
                mistakes.append(f"{position}.source: there is no file {source}")
            if not guides:
                missing = ", ".join(pattern.replace(KEY, key) for pattern in patterns)
                mistakes.append(f"{position}.guide: there is no file {missing}")
            options = _options(file.options, _Filled(name, key, folder, guides), mistakes)
            try:
                output = _output(file, name, folder)
                qa = None if file.qa is None else address_of(file.qa.replace(NAME, name), folder)
            except OutputError as error:
                mistakes.append(template_of(error))
                continue
            mode: ModelMode = "per-pair"
            if file.options.model in {"per-place", "shared"}:
                mode = "per-place" if file.options.model == "per-place" else "shared"
            if file.options.model in get_args(ModelMode):
                del options["model"]
            place = (pair.place or "").replace(KEY, key)
            yield Entry(name, _absolute(source, folder), guides, output, qa, options, mode, place)


def _output(file: JobFile, name: str, folder: Path) -> Address:
    """Return where the target of a pair goes: in one store for all pairs, each pair is a group."""
    return address_of(file.output.replace(NAME, name), folder, "" if NAME in file.output else name)


@dataclass(frozen=True, slots=True)
class _Filled:
    """Values that replace {name} and {key} in the options of one pair."""

    name: str
    key: str
    folder: Path
    guides: tuple[str, ...]

    def text(self, pattern: str) -> str:
        """Replace {key} and {name}."""
        return pattern.replace(KEY, self.key).replace(NAME, self.name)

    def band(self, band: str) -> str:
        """Return FILE:BAND with the absolute path of FILE, if FILE is a guide relative to the folder of the job."""
        for colon in (position for position in range(len(band) - 1, 0, -1) if band[position] == ":"):
            if (path := _absolute(band[:colon], self.folder)) in self.guides:
                return path + band[colon:]
        return band

    def guide_band(self, given: str) -> str:
        """Return a value of `guide_band` or `guide_classes` for the pair."""
        return self.band(self.text(given))

    def derivation(self, given: str) -> str:
        """Return a value of `derive` for the pair; one that cannot be parsed is refused when the pair is opened."""
        text = self.text(given)
        try:
            derivation = Derivation.parse(text)
        except MmsrError:
            return text
        bands = tuple((role, self.band(band)) for role, band in derivation.given)
        return text if bands == derivation.given else str(replace(derivation, given=bands))


def _options(table: Options, filled: _Filled, mistakes: list[str]) -> dict[str, Any]:
    """Return the options of one pair that differ from the defaults; a missing file that they name is a mistake."""
    options: dict[str, Any] = table.model_dump(exclude_defaults=True)
    for option in PATHS:
        if isinstance(options.get(option), str) and options[option] not in get_args(ModelMode):
            given = filled.text(options[option])
            options[option] = path = _absolute(given, filled.folder)
            bare, shown = (path_and_rule(text)[0] if option.endswith("_mask") else text for text in (path, given))
            if not _may_exist(path) and not _may_exist(bare):
                mistakes.append(f"options.{option}: there is no file {shown}")
    bands = dict.fromkeys(("guide_band", "guide_classes"), filled.guide_band)
    for option, fill in {**bands, "derive": filled.derivation}.items():
        if option in options:
            options[option] = _fill(options[option], fill)
    return options


def _fill(given: tuple[str | int, ...] | str | int, fill: Callable[[str], str]) -> tuple[str | int, ...] | str | int:
    if isinstance(given, tuple):
        return tuple(fill(value) if isinstance(value, str) else value for value in given)
    return fill(given) if isinstance(given, str) else given


def _clashes(file: JobFile, entries: tuple[Entry, ...]) -> Iterator[str]:
    in_zarr = file.output.rstrip("/").endswith(ZARR)
    for option, pattern in (("output", file.output), ("qa", file.qa)):
        if pattern is not None and len(entries) > 1 and NAME not in pattern and not in_zarr:
            yield f"{option}: all {len(entries)} pairs would be written to {pattern}: add {NAME} to it"
        try:
            check_format(pattern or "")
        except OutputError as error:
            yield f"{option}: {template_of(error)}"
    names = Counter(os.path.normcase(entry.name) for entry in entries)  # on Windows A and a are one folder
    if repeated := [name for name, count in names.items() if count > 1]:
        yield f"pairs: several pairs have the same name ({', '.join(repeated[:3])}): give each pair its own name"
    if in_zarr:
        yield from _clashes_in_zarr(file, entries)
    elif file.qa is not None and file.qa.rstrip("/").endswith(ZARR):
        yield f"qa: QA flags need the target in the same Zarr store: choose a .tif, or an output that ends in {ZARR}"
    elif file.qa == file.output:
        yield f"qa: {file.output} is the output: choose another file"


def _clashes_in_zarr(file: JobFile, entries: tuple[Entry, ...]) -> Iterator[str]:
    if file.qa is not None:
        yield f"qa: a Zarr store contains the QA flags as the variable {QA}: remove it"
    if file.options.creation_options:
        yield "options.creation_options: a Zarr store takes no options of GDAL's COG driver: remove them"
    if NAME not in file.output:
        for entry in entries:
            if _NO_GROUP.search(entry.name):
                yield f"pairs: {entry.name!r} is not a valid group name of a Zarr store: give the pair another name"


def _matches(pattern: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the files that match a pattern with {key}, sorted, each with its key."""
    before, *parts = pattern.split(KEY)
    regex = _regex(before) + "(?P<key>[^/]+?)" + "(?P=key)".join(map(_regex, parts))
    globbed = pattern.replace("[", "[[]").replace(KEY, "*")
    for path in sorted(glob.glob(globbed, root_dir=folder, recursive=True)):  # noqa: PTH207  (patterns may be absolute)
        path_with_slashes = path.replace(os.sep, "/")
        if match := re.fullmatch(regex, path_with_slashes):
            yield path_with_slashes, match["key"]


def _regex(pattern: str) -> str:
    return re.escape(pattern).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")


def _existing(pattern: str, key: str, folder: Path) -> list[str]:
    """Return the file of that name, or else the files that match it as a pattern, sorted; other names unchanged."""
    path = _absolute(pattern.replace(KEY, key), folder)
    if _exists(path):
        return [path]
    globbed = pattern.replace(KEY, glob.escape(key))
    matches = sorted(glob.glob(globbed, root_dir=folder, recursive=True))  # noqa: PTH207  (patterns may be absolute)
    if not matches and _is_not_local(path):
        return [path]
    return [str(folder / match) for match in matches]


def _absolute(path: str, folder: Path) -> str:
    """Return the absolute path of a path relative to a folder; URLs and names of GDAL datasets unchanged."""
    local = str(folder / path)
    return path if _is_not_local(path) and not _exists(local) else local


def _may_exist(path: str) -> bool:
    """Return True if a file exists, or if the name is not a local path and cannot be checked."""
    return _is_not_local(path) or _exists(path)


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def _is_not_local(path: str) -> bool:
    return "://" in path or path.startswith("/vsi") or _GDALS_OWN.fullmatch(path) is not None
