"""The job file: pairs, options and outputs, validated as a whole before anything runs; reads no pixel."""

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

from mmsr_geo.errors import JobError, MmsrError, OutputError
from mmsr_geo.jobs.schema import KEY, NAME, ClusterTable, JobFile, OnError, Options, quoted, validation_messages
from mmsr_geo.raster.views.derived_bands import Derivation
from mmsr_geo.raster.views.mask import path_and_bits
from mmsr_geo.raster.write.destination import QA, ZARR, Address, address_of

SAME_PLACE = 0.8
"""Of the ground that two sources cover together, what both cover: from here on they show one place."""
_GDALS_OWN = re.compile(r"[A-Za-z]\w+:.+:.+")
"""A subdataset, DRIVER:...:...; a drive of Windows is one letter."""
_NO_GROUP = re.compile(r"^$|^\.|^__|/|\.zarr$|^zarr\.json$")

NetMode: TypeAlias = Literal["per-pair", "per-place", "shared"]
"""Whose fit a pair's model is: its own, that of the first pair of its place, or that of the job's first pair."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One pair's work: what goes in, and what comes out."""

    name: str
    source: str
    guides: tuple[str, ...]
    output: Address
    qa: Address | None
    """Of a target in a Zarr store none: its flags lie beside it there."""
    options: Mapping[str, Any] = field(repr=False)
    """Of `upsample_to_file`, and quality, steps and threads; what differs from the defaults, paths made absolute."""
    model: NetMode = "per-pair"
    place: str = ""
    """What pairs of one place have in common, as far as the job file tells."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Where a source lies, as far as it takes to see that two show the same place."""

    place: str
    """As the job file names it; nothing where it does not."""
    crs: str = ""
    resolution: tuple[float, float] = (0.0, 0.0)
    bounds: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    @classmethod
    def of(cls, entry: Entry) -> Footprint:
        """Look at an entry's source; one that cannot be opened is a place of its own, and told when its turn comes."""
        if entry.place:
            return cls(entry.place)
        try:
            with rasterio.open(entry.source) as dataset:
                return cls("", str(dataset.crs), dataset.res, tuple(dataset.bounds))
        except RasterioError:
            return cls(f"?{entry.name}")

    def is_the_place_of(self, other: Footprint) -> bool:
        """Whether both are named alike, or cover the same ground but for a fifth, in pixels of one size."""
        if self.place or other.place:
            return self.place == other.place
        if (self.crs, self.resolution) != (other.crs, other.resolution):
            return False
        west, south, east, north = zip(self.bounds, other.bounds, strict=True)
        common = max(min(east) - max(west), 0) * max(min(north) - max(south), 0)
        both = sum((e - w) * (n - s) for w, s, e, n in (self.bounds, other.bounds)) - common
        return common >= SAME_PLACE * both


@dataclass(frozen=True)
class Job:
    """A job file that holds together."""

    path: Path
    on_error: OnError
    entries: tuple[Entry, ...]
    work: str
    """Where tiles wait until their pair is done: a folder or a URL, this job's own."""
    cluster: ClusterTable

    @classmethod
    def read(cls, path: Path) -> Job:
        """Read and validate a job file; raises JobError with all its mistakes, each with its place."""
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
            msg = f"{path} cannot be read ({reason}): name a job file; mmsr-geo batch --init writes an example"
            raise JobError(msg) from error
        try:
            told = JobFile.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            msg = f"{path} is no TOML ({error}): mmsr-geo batch --init writes an example"
            raise JobError(msg) from error
        except ValidationError as error:
            raise JobError(quoted(path, validation_messages(error))) from None
        mistakes: list[str] = []
        entries = tuple(_entries(told, path.absolute().parent, mistakes))
        mistakes += _clashes(told, entries)
        if mistakes:
            raise JobError(quoted(path, list(dict.fromkeys(mistakes))))
        folder = path.absolute().parent
        work = str(folder / f"{path.stem}.work") if told.work is None else _own_place(told.work, path)
        return cls(path, told.on_error, entries, work, told.cluster)

    def leader_of(self, entry: Entry) -> Entry | None:
        """Return the pair whose fit is this one's model, it may be itself; None where each has its own."""
        return self._leaders.get(entry.name)

    @cached_property
    def _leaders(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        places: list[tuple[Footprint, Entry]] = []
        for entry in self.entries:
            if entry.model == "shared":
                found[entry.name] = self.entries[0]
            elif entry.model == "per-place":
                footprint = Footprint.of(entry)
                leader = next((first for known, first in places if known.is_the_place_of(footprint)), entry)
                found[entry.name] = leader
                if leader is entry:
                    places.append((footprint, entry))
        return found


def _own_place(work: str, path: Path) -> str:
    """Return a job's own place in a folder or a prefix that others may use as well."""
    path = path.absolute()
    mark = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    return f"{_placed(work, path.parent).rstrip('/')}/{path.stem}-{mark}"


def _entries(told: JobFile, folder: Path, mistakes: list[str]) -> Iterator[Entry]:
    for number, pair in enumerate(told.pairs):
        found = list(_matches(pair.source, folder)) if KEY in pair.source else [(pair.source, "")]
        if not found:
            mistakes.append(f"pairs[{number}].source: no file matches {pair.source}")
        for source, key in found:
            name = (pair.name or key or Path(source).stem).replace(KEY, key)
            wanted = (pair.guide,) if isinstance(pair.guide, str) else pair.guide
            guides = tuple(path for each in wanted for path in _existing(each, key, folder))
            place = f"pairs[{number}]" + (f" ({name})" if key else "")
            if not _is_there(_placed(source, folder)):
                mistakes.append(f"{place}.source: there is no {source}")
            if not guides:
                mistakes.append(f"{place}.guide: there is no {', '.join(each.replace(KEY, key) for each in wanted)}")
            options = _options(told.options, _Filled(name, key, folder, guides), mistakes)
            try:
                output = _output(told, name, folder)
                qa = None if told.qa is None else address_of(told.qa.replace(NAME, name), folder)
            except OutputError as error:
                mistakes.append(str(error))
                continue
            mode: NetMode = "per-pair"
            if told.options.model in {"per-place", "shared"}:
                mode = "per-place" if told.options.model == "per-place" else "shared"
            if told.options.model in get_args(NetMode):
                del options["model"]
            spot = (pair.place or "").replace(KEY, key)
            yield Entry(name, _placed(source, folder), guides, output, qa, options, mode, spot)


def _output(told: JobFile, name: str, folder: Path) -> Address:
    """Return where a pair's target goes: in a store that has no pair's name in its own, each pair is a group."""
    return address_of(told.output.replace(NAME, name), folder, "" if NAME in told.output else name)


@dataclass(frozen=True, slots=True)
class _Filled:
    """What options' patterns are filled with for one pair."""

    name: str
    key: str
    folder: Path
    guides: tuple[str, ...]

    def text(self, pattern: str) -> str:
        """Put the key and the name in their places."""
        return pattern.replace(KEY, self.key).replace(NAME, self.name)

    def band(self, band: str) -> str:
        """Return FILE:BAND with the guide's own path, where FILE is one of the guides from the job's folder."""
        for colon in (place for place in range(len(band) - 1, 0, -1) if band[place] == ":"):
            if (path := _placed(band[:colon], self.folder)) in self.guides:
                return path + band[colon:]
        return band

    def guide_band(self, given: str) -> str:
        """Fill one of guide_band."""
        return self.band(self.text(given))

    def derivation(self, given: str) -> str:
        """Fill one of derive; what cannot be read is left for the pair's own message."""
        text = self.text(given)
        try:
            told = Derivation.parse(text)
        except MmsrError:
            return text
        bands = tuple((role, self.band(band)) for role, band in told.given)
        return text if bands == told.given else str(replace(told, given=bands))


def _options(told: Options, filled: _Filled, mistakes: list[str]) -> dict[str, Any]:
    """Return the options of one pair that differ from the defaults; what they name and is not there is a mistake."""
    options: dict[str, Any] = told.model_dump(exclude_defaults=True)
    for option in ("source_mask", "guide_mask", "model", "like"):
        if isinstance(options.get(option), str) and options[option] not in get_args(NetMode):
            given = filled.text(options[option])
            options[option] = path = _placed(given, filled.folder)
            bare, shown = (path_and_bits(each)[0] if option.endswith("_mask") else each for each in (path, given))
            if not _is_there(path) and not _is_there(bare):
                mistakes.append(f"options.{option}: there is no {shown}")
    for option, fill in (("guide_band", filled.guide_band), ("derive", filled.derivation)):
        if option in options:
            options[option] = _each(options[option], fill)
    return options


def _each(given: tuple[str | int, ...] | str | int, fill: Callable[[str], str]) -> tuple[str | int, ...] | str | int:
    if isinstance(given, tuple):
        return tuple(fill(each) if isinstance(each, str) else each for each in given)
    return fill(given) if isinstance(given, str) else given


def _clashes(told: JobFile, entries: tuple[Entry, ...]) -> Iterator[str]:
    in_zarr = told.output.rstrip("/").endswith(ZARR)
    for option, pattern in (("output", told.output), ("qa", told.qa)):
        if pattern is not None and len(entries) > 1 and NAME not in pattern and not in_zarr:
            yield f"{option}: {len(entries)} pairs would be written to {pattern}: put {NAME} in it"
    names = Counter(os.path.normcase(entry.name) for entry in entries)  # their folders are one where case counts not
    if twice := [name for name, count in names.items() if count > 1]:
        yield f"pairs: {len(twice)} names stand for several ({', '.join(twice[:3])}): give each a name of its own"
    if in_zarr:
        yield from _clashes_in_zarr(told, entries)
    elif told.qa is not None and told.qa.rstrip("/").endswith(ZARR):
        yield f"qa: flags go into a Zarr store with their targets only: write a .tif, or an output that ends in {ZARR}"
    elif told.qa == told.output:
        yield f"qa: it is the output's {told.output}: give it another"


def _clashes_in_zarr(told: JobFile, entries: tuple[Entry, ...]) -> Iterator[str]:
    if told.qa is not None:
        yield f"qa: the flags lie in the Zarr store with the targets, as {QA}: leave it out"
    if told.options.creation_options:
        yield "options.creation_options: they are of GDAL's COG driver, and the output is a Zarr store: leave them out"
    if NAME not in told.output:
        for entry in entries:
            if _NO_GROUP.search(entry.name):
                yield f"pairs: {entry.name!r} cannot be a group's name in a Zarr store: give the pair another name"


def _matches(pattern: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each file that a pattern with {key} finds, in order, and its key."""
    before, *parts = pattern.split(KEY)
    same = "(?P=key)"
    wanted = _regex(before) + "(?P<key>[^/]+?)" + same.join(map(_regex, parts))
    globbed = pattern.replace("[", "[[]").replace(KEY, "*")
    for path in sorted(glob.glob(globbed, root_dir=folder, recursive=True)):  # noqa: PTH207  (patterns may be absolute)
        if match := re.fullmatch(wanted, path):
            yield path, match["key"]


def _regex(pattern: str) -> str:
    return re.escape(pattern).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")


def _existing(pattern: str, key: str, folder: Path) -> list[str]:
    """Return the file of that name, or else a pattern's, in order; what is no local path as it is."""
    placed = _placed(pattern.replace(KEY, key), folder)
    if _exists(placed):
        return [placed]
    globbed = pattern.replace(KEY, glob.escape(key))
    found = sorted(glob.glob(globbed, root_dir=folder, recursive=True))  # noqa: PTH207  (patterns may be absolute)
    return [str(folder / path) for path in found] or [placed] * _no_path(placed)


def _placed(path: str, folder: Path) -> str:
    """Return a path from the folder, absolute; what is no local path, a URL or GDAL's own, as it is."""
    local = str(folder / path)
    return path if _no_path(path) and not _exists(local) else local


def _is_there(path: str) -> bool:
    """Whether there is such a file, or it is not for a file system to tell."""
    return _no_path(path) or _exists(path)


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def _no_path(path: str) -> bool:
    return "://" in path or path.startswith("/vsi") or _GDALS_OWN.fullmatch(path) is not None
