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
from typing import Annotated, Any, Literal, Self, TypeAlias, get_args

import rasterio
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from rasterio.errors import RasterioError

from mmsr_geo.errors import JobError, MmsrError, OptionError, OutputError
from mmsr_geo.memory import bytes_of
from mmsr_geo.raster.deriving import Derivation
from mmsr_geo.raster.masking import path_and_bits
from mmsr_geo.raster.placing import QA, ZARR, Address, address_of

NAME, KEY = "{name}", "{key}"
SAME_PLACE = 0.8
"""Of the ground that two sources cover together, what both cover: from here on they show one place."""
_GDALS_OWN = re.compile(r"[A-Za-z]\w+:.+:.+")
"""A subdataset, DRIVER:...:...; a drive of Windows is one letter."""
_NO_GROUP = re.compile(r"^$|^\.|^__|/|\.zarr$|^zarr\.json$")
OnError: TypeAlias = Literal["stop", "skip"]
"""What a failure ends: the job, or the tile or pair that failed alone."""
_Count: TypeAlias = Annotated[int, Field(ge=1)]
_Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]

EXAMPLE = """\
# A job of mmsr_geo: `mmsr-geo batch job.toml` does it, and goes on from what is done when it is called again;
# `mmsr-geo batch job.toml --dry-run` plans it, `mmsr-geo status job.toml` tells how far it is.
# Paths count from this file's folder.

# One Cloud Optimized GeoTIFF a pair; {name} is needed where there are several pairs.
# Or one Zarr store with a group for each: "sharp.zarr". Either may be a URL: "s3://bucket/sharp/{name}.tif".
output = "sharp/{name}.tif"
# qa = "sharp/{name}_flags.tif"
# on_error = "stop"            # or "skip": leave a hole for a tile that fails, go on without a pair that fails
# work = "/scratch"            # where tiles wait, in a folder of the job's own, until their pair is done; all workers
#                              # must see it; s3://... too; beside this file, in job.work, if left out

# Each pair by itself ...
[[pairs]]
source = "dem.tif"
guide = "ortho.tif"            # or several: ["b4.tif", "b3.tif"]
# name = "dem"                 # the source's file name without its ending, if left out

# ... or many by a pattern: {key} is what a source and its guide have in common.
# [[pairs]]
# source = "thermal/{key}_ST_B10.TIF"
# guide = "optical/{key}_SR_B?.TIF"

# The names are those of the command's options, with _ for -.
[options]
scale = 4
seed = 0
# method = "mmsr"
# net = "per-pair"             # or "per-place" (one fit for all dates of a place), "shared" (the first pair's), a FILE
# source_resolution = "landsat-tirs"
# guide_mask = "optical/{key}_QA_PIXEL.TIF"
# tile_size = 512
# uncertainty = true           # half of a 90 % interval's width of each target pixel, in a further band

# Where it runs. Without this table: in this process, with its threads.
# [cluster]
# kind = "local"               # this machine; or slurm, pbs, lsf, sge, moab, oar, htcondor (dask-jobqueue), cuda
# workers = 4                  # processes
# memory_limit = "4 GB"        # of each
# scheduler = "tcp://10.0.0.1:8786"   # instead of kind and workers: a dask scheduler that runs already
# [cluster.options]            # of dask-jobqueue's cluster, by its own names
# queue = "normal"
# walltime = "08:00:00"
"""


def _bytes(size: Any) -> int:  # noqa: ANN401  (whatever stands in the file)
    try:
        return bytes_of(size)
    except OptionError as error:
        raise ValueError(str(error)) from None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Options(_Strict):
    """The options of `mmsr_geo.upsample_to_file`, by the same names; `steps` and `threads` are of the fit."""

    scale: int | tuple[int, int] | None = None
    like: float | tuple[float, float] | str | None = None
    method: str = "mmsr"
    fit: Literal["scene", "adapt", "tile", "published"] = "scene"
    net: str | None = None
    quality: Literal["fast", "balanced", "best"] = "balanced"
    steps: _Count | None = None
    threads: _Count | None = None
    if_unhelpful: Literal["bicubic", "warn", "error"] = "bicubic"
    bounds: tuple[float, float, float, float] | None = None
    source_resolution: float | str | None = None
    grid: Literal["source", "guide"] = "source"
    guide_band: tuple[str | int, ...] | str | int = ()
    derive: tuple[str, ...] | str = ()
    source_mask: str | None = None
    guide_mask: str | None = None
    mask_share: _Share = 0.5
    source_nodata: float | None = None
    guide_nodata: float | None = None
    valid_range: tuple[float, float] | None = None
    uncertainty: bool = False
    dtype: str = "float32"
    scale_factor: float | None = None
    add_offset: float | None = None
    creation_options: tuple[str, ...] = ()
    tile_size: _Count | None = None
    device: str = "auto"
    seed: int = 0
    keep_statistics: bool = False
    min_coverage: _Share = 0.95


class PairEntry(_Strict):
    """One pair, or the pattern of many."""

    source: str
    guide: str | tuple[str, ...]
    name: str | None = None
    place: str | None = None

    @model_validator(mode="after")
    def _key_in_both(self) -> Self:
        guides = (self.guide,) if isinstance(self.guide, str) else self.guide
        if not guides:
            raise ValueError("guide is an empty list: name one file at least")
        if (KEY in self.source) != any(KEY in guide for guide in guides):
            raise ValueError(f"{KEY} stands in source or in guide alone: it is what matches them, so write it in both")
        if self.name is not None and KEY in self.source and KEY not in self.name:
            raise ValueError(f"name is one for all that the pattern finds: write {KEY} in it, or leave it out")
        return self


class ClusterTable(_Strict):
    """Where the job runs."""

    kind: Literal["local", "scheduler", "cuda", "slurm", "pbs", "lsf", "sge", "moab", "oar", "htcondor"] = "local"
    workers: _Count | None = None
    scheduler: str | None = None
    memory_limit: Annotated[int, BeforeValidator(_bytes)] | None = None
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_cluster(self) -> Self:
        if self.kind == "scheduler" and self.scheduler is None:
            raise ValueError('kind = "scheduler" needs its address: write scheduler = "tcp://host:8786"')
        if self.scheduler is not None and self.kind not in {"local", "scheduler"}:
            raise ValueError(f"a scheduler's address and kind = {self.kind!r} are two clusters: leave one of them out")
        if self.scheduler is not None and self.workers is not None:
            raise ValueError("a scheduler that runs has its workers: leave out workers, or scheduler")
        return self


class JobFile(_Strict):
    """What stands in a job file."""

    output: str
    qa: str | None = None
    on_error: OnError = "stop"
    work: str | None = None
    pairs: tuple[PairEntry, ...]
    options: Options = Options()
    cluster: ClusterTable = ClusterTable()

    @model_validator(mode="after")
    def _some_pairs(self) -> Self:
        if not self.pairs:
            raise ValueError("there are no pairs: write [[pairs]] with a source and a guide")
        return self

    @model_validator(mode="after")
    def _calibrates(self) -> Self:
        options = self.options
        if options.uncertainty and (options.method != "mmsr" or options.fit != "scene"):
            raise ValueError(
                "options.uncertainty is calibrated by mmsr with one net for the scene, and method and fit ask for "
                "another: leave it out"
            )
        return self

    @model_validator(mode="after")
    def _scene_to_share(self) -> Self:
        options = self.options
        if options.net in {"per-place", "shared"} and (options.method != "mmsr" or options.fit in {"adapt", "tile"}):
            raise ValueError(
                f"options.net = {options.net!r} shares a scene's net, and method and fit ask for none: leave it out"
            )
        return self


NetMode: TypeAlias = Literal["per-pair", "per-place", "shared"]
"""Whose fit a pair's net is: its own, that of the first pair of its place, or that of the job's first pair."""


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
    net: NetMode = "per-pair"
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
            raise JobError(_listed(path, _mistakes(error))) from None
        mistakes: list[str] = []
        entries = tuple(_entries(told, path.absolute().parent, mistakes))
        mistakes += _clashes(told, entries)
        if mistakes:
            raise JobError(_listed(path, list(dict.fromkeys(mistakes))))
        folder = path.absolute().parent
        work = str(folder / f"{path.stem}.work") if told.work is None else _own_place(told.work, path)
        return cls(path, told.on_error, entries, work, told.cluster)

    def leader_of(self, entry: Entry) -> Entry | None:
        """Return the pair whose fit is this one's net, it may be itself; None where each has its own."""
        return self._leaders.get(entry.name)

    @cached_property
    def _leaders(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        places: list[tuple[Footprint, Entry]] = []
        for entry in self.entries:
            if entry.net == "shared":
                found[entry.name] = self.entries[0]
            elif entry.net == "per-place":
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
            if told.options.net in {"per-place", "shared"}:
                mode = "per-place" if told.options.net == "per-place" else "shared"
            if told.options.net in get_args(NetMode):
                del options["net"]
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
    options = told.model_dump(exclude_defaults=True)
    for option in ("source_mask", "guide_mask", "net", "like"):
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
    names = Counter(entry.name for entry in entries)
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


def _mistakes(error: ValidationError) -> list[str]:
    """Return a line a place; where a value may be of several kinds, with what each of them asks."""
    said: dict[str, tuple[list[str], Any]] = {}
    for each in error.errors():
        told = str(each["msg"]).removeprefix("Value error, ")
        if each["type"] == "extra_forbidden":
            told = "there is nothing of that name"
        messages, _ = said.setdefault(_place(each["loc"]), ([], each["input"]))
        messages.append(f"{told[:1].lower()}{told[1:]}")
    lines = []
    for place, (messages, given) in said.items():
        shown = "" if isinstance(given, dict | list) else f", not {given!r}"
        lines.append(f"{place or 'the file'}: {' or '.join(messages)}{shown}")
    return lines


def _place(parts: tuple[int | str, ...]) -> str:
    """Return where in the file: pairs[0].guide, options.scale; what follows names a kind of value, not a place."""
    depth = {"pairs": 3, "options": 2, "cluster": 2}.get(str(parts[0]), 1) if parts else 0
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts[:depth]).lstrip(".")


def _listed(path: Path, mistakes: list[str]) -> str:
    several = f"{len(mistakes)} mistakes" if len(mistakes) > 1 else "a mistake"
    return f"{path} has {several}: {'; '.join(mistakes)}"
