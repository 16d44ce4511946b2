"""An output made of its tiles and verified against them; knows the writers and the store, computes nothing."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.windows import Window as RasterioWindow

from mmsr_geo._version import __version__
from mmsr_geo.baselines import CONSISTENT
from mmsr_geo.errors import MmsrWarning, OptionError, OutputError
from mmsr_geo.geometry import Window
from mmsr_geo.jobs.course import Course, Failure, is_whole
from mmsr_geo.jobs.store import Made
from mmsr_geo.jobs.tilefile import FLAGS, UNCERTAINTY, VALUES, DamagedTileError, TilePixels, digest_of
from mmsr_geo.jobs.work import Work
from mmsr_geo.methods import OtherMethod, is_calibrated
from mmsr_geo.model import Model
from mmsr_geo.network.checking import GuideCheck
from mmsr_geo.network.fitted import FittedNet
from mmsr_geo.pair import Pair
from mmsr_geo.quality import FLAG_ATTRS, MEANINGS, Flag
from mmsr_geo.quality import UNCERTAINTY as UNCERTAINTY_MEANING
from mmsr_geo.raster.composing import Warped
from mmsr_geo.raster.files import FileRaster
from mmsr_geo.raster.mosaicking import Piece
from mmsr_geo.raster.placing import Address, ZarrPlace, scratch_beside
from mmsr_geo.raster.protocol import BandTags
from mmsr_geo.raster.storing import clipping_of
from mmsr_geo.raster.writing import CogFile, CogOfTiles, CogWriter, finish_together

if TYPE_CHECKING:
    from mmsr_geo.raster.sharding import ZarrWriter

_WINDOW_PX = 1024
_Read = Callable[[int, Window], NDArray[Any]]
"""Returns a band (from 1) of what was written, in a window."""


class _TakesValues(Protocol):
    """What windows of a target on another grid are written to."""

    def store(self, window: Window, values: NDArray[np.float32], bands: Sequence[int] | None = None) -> None:
        """Write raw values."""


class _TakesFlags(Protocol):
    """What windows of its flags are written to."""

    def write(self, window: Window, values: NDArray[Any], bands: Sequence[int] | None = None) -> None:
        """Write them as they are."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was made."""

    path: Address
    models: tuple[Model, ...]
    """One for each band, as it was fitted."""
    checks: tuple[GuideCheck, ...]
    """What is known of the guide, for each band."""
    scale: str
    shape_yx: tuple[int, int]
    tiles: int
    seconds: float
    qa: Address | None = None
    flag_shares: Mapping[Flag, float] = field(default_factory=dict)
    """How much of the target's pixels has each flag, 0..1; of all bands, before any other grid."""
    consistency_rmse: tuple[float, ...] = ()
    """Of each band brought onto another grid (`like`): how far it is from the source when averaged back."""
    failures: tuple[Failure, ...] = ()
    """Tiles that were skipped; they are holes."""
    uncertainty: tuple[str, ...] = ()
    """Of each band, whether its uncertainty is `calibrated`, or `not calibrated` and a hole; nothing where it was not
    asked for."""

    @property
    def net(self) -> FittedNet:
        """The first band's net; raises OptionError where it was made without one."""
        if not isinstance(self.models[0], FittedNet):
            raise OptionError(f"{self.path} was made without a scene's net: there is none to save")
        return self.models[0]


def check_room(work: Work) -> None:
    """Refuse, before anything is computed, outputs that exist, cannot be written or have no room (OutputError)."""
    with ExitStack() as stack:
        if isinstance(work.output.path, ZarrPlace):
            stack.enter_context(_group(work, work.output.path))
            return
        for options in _files(work).values():
            stack.enter_context(CogFile(**options))


def finish(course: Course) -> Outcome | None:
    """Make the outputs of a course's tiles: they appear, all or none, when they are whole.

    Returns None, and has written nothing, where tiles' files turn out damaged: those are to be computed again.
    Raises OutputError where the disk, GDAL or Zarr fails.
    """
    output = course.work.output
    course.progress("write", 0, 1)
    with scratch_beside(output.path) as scratch:
        made = _finished_group if isinstance(output.path, ZarrPlace) else _finished_files
        finished = made(course, scratch)
    if finished is None:
        return None
    course.progress("write", 1, 1)
    if finished.clipping is not None:
        warnings.warn(finished.clipping, MmsrWarning, stacklevel=2)
    return _outcome(course, finished.missed)


@dataclass(frozen=True, slots=True)
class _Finished:
    """What is known of outputs that have appeared."""

    clipping: str | None
    missed: tuple[float, ...] = ()


def _finished_files(course: Course, scratch: Path) -> _Finished | None:
    """Make COGs; None where tiles are to be computed again."""
    work = course.work
    with ExitStack() as stack:
        if work.output.like is not None:
            moved = {band: stack.enter_context(CogWriter(**options)) for band, options in _files(work).items()}
            half = _LaterBands(moved[VALUES], len(work.pairs)) if work.output.uncertain else None
            missed = _brought_onto(moved[VALUES], moved.get(FLAGS), half, _mosaics(course, scratch), course)
            finish_together(_tagged(course, moved, missed))
            return _Finished(moved[VALUES].clipping, missed)
        made = {band: stack.enter_context(CogOfTiles(**options)) for band, options in _files(work).items()}
        for band, file in made.items():
            file.pieces = _pieces(course, scratch, band)
            if band == VALUES and work.output.uncertain:
                file.pieces = [*file.pieces, *_pieces(course, scratch, UNCERTAINTY)]

        def hold_the_tiles() -> bool:
            with ExitStack() as opened:
                reads = {band: _reading(opened, file.made) for band, file in made.items()}
                if work.output.uncertain:
                    reads[UNCERTAINTY] = _later_bands(reads[VALUES], len(work.pairs))
                return _hold_the_tiles(course, reads)

        return (
            _Finished(_clipping(course)) if finish_together(_tagged(course, made, ()), check=hold_the_tiles) else None
        )


def _finished_group(course: Course, scratch: Path) -> _Finished | None:
    """Make a group of a Zarr store; None where tiles are to be computed again."""
    work = course.work
    with _group(work, work.output.path) as group:
        if work.output.like is not None:
            drafts = _mosaics(course, scratch)
            missed = _brought_onto(group.values, group.flags, group.uncertainty, drafts, course)
            finish_together([(group, _tags(course, missed) | _said_of_uncertainty(course))])
            return _Finished(group.clipping, missed)
        if not _fill(group, course):
            return None

        def hold_the_tiles() -> bool:
            reads: dict[int, _Read] = {VALUES: group.values.read, FLAGS: group.flags.read}
            if group.uncertainty is not None:
                reads[UNCERTAINTY] = group.uncertainty.read
            return _hold_the_tiles(course, reads)

        whole = finish_together([(group, _tags(course, ()) | _said_of_uncertainty(course))], check=hold_the_tiles)
        return _Finished(_clipping(course)) if whole else None


def _group(work: Work, place: Address) -> ZarrWriter:
    from mmsr_geo.raster.sharding import ZarrWriter  # noqa: PLC0415  (zarr, only when asked for)

    if not isinstance(place, ZarrPlace):
        raise TypeError(type(place))
    output, first = work.output, work.pairs[0]
    height, width = work.tiling.tile_yx
    tile_yx = (height * first.scale.y, width * first.scale.x) if output.like is None else (_WINDOW_PX, _WINDOW_PX)
    said = {"long_name": f"uncertainty of {output.variable}", "comment": UNCERTAINTY_MEANING}
    return ZarrWriter(
        place,
        output.like or first.target_grid,
        variable=output.variable,
        tile_yx=tile_yx,
        bands=len(work.pairs),
        nodata=work.nodata,
        band_tags=[tags for pair in work.pairs for tags in pair.source.band_tags],
        storage=output.storage,
        flag_attrs={**FLAG_ATTRS, "flag_masks": [int(flag) for flag in Flag]},
        uncertainty_attrs=said if output.uncertain else None,
        overwrite=output.overwrite,
    )


def _fill(group: ZarrWriter, course: Course) -> bool:
    """Write a course's tiles, shard by shard; False where files of some turn out damaged: those are asked for again."""
    work, (height, width) = course.work, group.shard_yx
    shards: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index in range(len(work.tiling)):
        place = work.place(index)
        shards[place.row // height, place.col // width].append(index)
    whole = Window.whole(work.pairs[0].target_grid.shape.yx)
    for band in range(1, len(work.pairs) + 1):
        made = course.targets(band)
        for done, ((row, col), indexes) in enumerate(shards.items()):
            course.progress("write", done, len(shards))
            shard = Window(row * height, col * width, height, width).intersection(whole)
            values = np.full(shard.shape, work.nodata, work.output.storage.dtype)
            flags = np.full(shard.shape, int(Flag.FAILED), np.uint8)
            half = values.copy() if group.uncertainty is not None else None
            for index in indexes:
                if (tile := made.get(index)) is None:
                    continue  # skipped: a hole
                if (pixels := _pixels(course, tile)) is None:
                    _again(course, band, tile)
                    continue
                part = work.place(index).relative_to(shard).slices
                values[part], flags[part] = pixels.values, pixels.qa
                if half is not None:
                    half[part] = pixels.uncertainty
            group.values.write(shard, values[np.newaxis], (band,))
            group.flags.write(shard, flags[np.newaxis], (band,))
            if group.uncertainty is not None and half is not None:
                group.uncertainty.write(shard, half[np.newaxis], (band,))
    return course.is_complete


def _pixels(course: Course, tile: Made) -> TilePixels | None:
    """Return what a tile's file holds; None where that is not what was kept in it."""
    try:
        pixels = TilePixels.decoded(course.store.get(tile.name) or b"")
    except DamagedTileError:
        return None
    return pixels if pixels.digests == tile.digests else None


def _again(course: Course, band: int, tile: Made) -> None:
    said = f"the file of tile {tile.index} of {course.work.output.path} is damaged ({tile.name}): it is made again"
    warnings.warn(said, MmsrWarning, stacklevel=2)
    course.again(band, tile.index)


def _reading(stack: ExitStack, file: Path) -> _Read:
    dataset = stack.enter_context(rasterio.open(file))

    def read(band: int, place: Window) -> NDArray[Any]:
        pixels: NDArray[Any] = dataset.read(
            band, window=RasterioWindow(place.col, place.row, place.width, place.height)
        )
        return pixels

    return read


def _later_bands(read: _Read, after: int) -> _Read:
    """Return what reads a file's bands after so many as if they were its first."""
    return lambda band, place: read(after + band, place)


def _files(work: Work) -> dict[int, dict[str, Any]]:
    """Return what the files are made with, by the band of the tiles' files that each takes.

    The target's takes their uncertainty as well, in bands after its own.
    """
    output, pairs = work.output, work.pairs
    common = {"grid": output.like or pairs[0].target_grid, "overwrite": output.overwrite}
    tags = [tags for pair in pairs for tags in pair.source.band_tags]
    if output.uncertain:
        named = zip(_names_of("uncertainty", pairs), list(tags), strict=True)
        tags += [of_band.of_uncertainty(name) for name, of_band in named]
    target = {"path": output.path, "nodata": work.nodata, "storage": output.storage, **common}
    files = {VALUES: {**target, "bands": len(tags), "band_tags": tags}}
    if output.qa is not None:
        told = [BandTags(name) for name in _names_of("qa", pairs)]
        flags = {"path": output.qa, "nodata": None, "storage": output.storage.for_flags(), **common}
        files[FLAGS] = {**flags, "bands": len(told), "band_tags": told}
    return files


def _names_of(what: str, pairs: Sequence[Pair]) -> list[str]:
    """Return what the bands are called that tell something of each pair's target."""
    return [f"{what} of {'; '.join(pair.source.bands)}" for pair in pairs] if len(pairs) > 1 else [what]


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Where a band's tile files lie, row by row, a hole for each that was skipped; made while they are gone through."""

    course: Course
    scratch: Path
    band: int
    """The output's, from 1."""
    of_file: int
    """Which of the tile files' bands is taken."""

    def __iter__(self) -> Iterator[Piece]:
        work, made = self.course.work, self.course.targets(self.band)
        for index in range(len(work.tiling)):
            place, tile = work.place(index), made.get(index)
            path = _hole(work, place, self.scratch) if tile is None else self.course.store.near(tile, self.scratch)
            yield Piece(path, self.of_file, place)


def _pieces(course: Course, scratch: Path, of_file: int) -> list[_Pieces]:
    return [_Pieces(course, scratch, band, of_file) for band in range(1, len(course.work.pairs) + 1)]


def _hole(work: Work, place: Window, scratch: Path) -> Path:
    path = scratch / f"hole-{place.height}-{place.width}.tif"
    if not path.exists():
        values = np.full(place.shape, work.tile_nodata, work.tile_storage.dtype)
        flags = np.full(place.shape, int(Flag.FAILED), np.uint8)
        path.write_bytes(TilePixels(values, flags, values if work.output.uncertain else None).encoded())
    return path


def _hold_the_tiles(course: Course, reads: Mapping[int, _Read]) -> bool:
    """Whether what was written, the target and what is known of it, is what was computed.

    reads: by the band of the tiles' files. Tiles whose own files are not are asked for again. Raises OutputError where
    they are.
    """
    work = course.work
    if not work.output.storage.is_lossless:
        return True  # read back they were; their values are others by intent
    true = True
    for band in range(1, len(work.pairs) + 1):
        made = course.targets(band)
        for index in list(made):
            tile = made[index]
            place = work.place(index)
            if all(digest_of(read(band, place)) == tile.digests[of_file - 1] for of_file, read in reads.items()):
                continue
            true = False
            if not is_whole(course.store, tile):
                _again(course, band, tile)
    if not true and course.is_complete:
        msg = f"{work.output.path} was not written as it was computed: the disk may be failing, write elsewhere"
        raise OutputError(msg)
    return true


def _mosaics(course: Course, scratch: Path) -> dict[int, Path]:
    """Put the tiles together as they were computed, in files that go with `scratch`."""
    work = course.work
    grid, bands = work.pairs[0].target_grid, len(work.pairs)
    made = {}
    for band, name in ((VALUES, "target"), (FLAGS, "flags"), (UNCERTAINTY, "uncertainty")):
        if band == UNCERTAINTY and not work.output.uncertain:
            continue
        nodata = None if band == FLAGS else work.tile_nodata
        with CogOfTiles(scratch / f"{name}.tif", grid, bands=bands, nodata=nodata) as file:
            file.pieces = _pieces(course, scratch, band)
            file.finish()
        made[band] = scratch / f"{name}.tif"
    return made


@dataclass(frozen=True, slots=True)
class _LaterBands:
    """The bands of a file after so many, to be written as if they were its first."""

    file: CogWriter
    after: int

    def store(self, window: Window, values: NDArray[np.float32], bands: Sequence[int] | None = None) -> None:
        """Write raw values."""
        numbers = bands or range(1, len(values) + 1)
        self.file.store(window, values, [self.after + number for number in numbers])


def _brought_onto(
    values: _TakesValues,
    flags: _TakesFlags | None,
    uncertainty: _TakesValues | None,
    drafts: Mapping[int, Path],
    course: Course,
) -> tuple[float, ...]:
    """Warp the drafts once more, and return how far each band of the target then is from its source."""
    work = course.work
    grid = work.output.like or work.pairs[0].target_grid
    windows = list(_windows(Window.whole(grid.shape.yx), _WINDOW_PX))
    missed = []
    for number, pair in enumerate(work.pairs, start=1):
        target = Warped(FileRaster.open(drafts[VALUES], [number]), grid)
        drawn = FileRaster.open(drafts[FLAGS], [number])
        half = Warped(FileRaster.open(drafts[UNCERTAINTY], [number]), grid) if uncertainty is not None else None
        for done, window in enumerate(windows):
            course.progress("warp", done, len(windows))
            values.store(window, target.read(window).values, bands=(number,))
            if flags is not None:
                there = Warped(drawn, grid, Resampling.nearest, Resampling.nearest).read(window).values
                beyond = float(Flag.SOURCE_HOLE)
                flags.write(window, np.nan_to_num(there, nan=beyond).astype(np.uint8), bands=(number,))
            if uncertainty is not None and half is not None:
                uncertainty.store(window, half.read(window).values, bands=(number,))
        course.progress("warp", len(windows), len(windows))
        missed.append(_missed(Warped(target, pair.source.grid), pair))
    return tuple(missed)


def _missed(back: Warped, pair: Pair) -> float:
    """Return the root mean square of a target on the source's grid minus the source, where both are."""
    total, count = 0.0, 0
    for window in _windows(pair.part, max(1, _WINDOW_PX // max(pair.scale.y, pair.scale.x))):
        differences = back.read(window).values[0].astype(np.float64) - pair.source.read(window).values[0]
        known = differences[np.isfinite(differences)]
        total, count = total + float((known**2).sum()), count + known.size
    return math.sqrt(total / count) if count else math.nan


def _windows(whole: Window, side: int) -> Iterator[Window]:
    for row in range(whole.row, whole.row + whole.height, side):
        for col in range(whole.col, whole.col + whole.width, side):
            yield Window(row, col, side, side).intersection(whole)


def _clipping(course: Course) -> str | None:
    made = [course.targets(band) for band in range(1, len(course.work.pairs) + 1)]
    clipped, of_widths, valid = (
        int(sum(tiles.total(what) for tiles in made)) for what in ("clipped", "uncertainty_clipped", "valid")
    )
    counts = [(BandTags(), clipped, valid), (BandTags(is_width=True), of_widths, valid)]
    return clipping_of(course.work.output.storage, counts)


def _outcome(course: Course, missed: tuple[float, ...]) -> Outcome:
    work = course.work
    first, bands = work.pairs[0], range(1, len(work.pairs) + 1)
    counts = dict.fromkeys(Flag, 0)
    for band in bands:
        for flag, count in course.targets(band).flag_counts.items():
            counts[flag] += count
    for failure in course.failures:
        counts[Flag.FAILED] += math.prod(work.place(failure.index).shape)
    pixels = math.prod(first.target_grid.shape.yx) * len(bands)
    return Outcome(
        work.output.path,
        tuple(course.models),
        tuple(course.checks),
        str(first.scale),
        (work.output.like or first.target_grid).shape.yx,
        len(work.tiling) * len(bands),
        time.monotonic() - course.began,
        work.output.qa,
        {flag: count / pixels for flag, count in counts.items()},
        missed,
        tuple(course.failures),
        _calibrations(course),
    )


def _tagged(
    course: Course, files: Mapping[int, CogFile], missed: Sequence[float]
) -> list[tuple[CogFile, Mapping[str, str]]]:
    """Return the files with what is said in each."""
    tags, bands = _tags(course, missed), len(course.work.pairs)
    told = _said_of_uncertainty(course)
    if told:
        told["MMSR_GEO_UNCERTAINTY_BANDS"] = ",".join(str(bands + number) for number in range(1, bands + 1))
    meanings = {f"MMSR_GEO_QA_{int(flag)}": meaning for flag, meaning in MEANINGS.items()}
    return [(file, tags | (told if band == VALUES else meanings)) for band, file in files.items()]


def _tags(course: Course, missed: Sequence[float]) -> dict[str, str]:
    """Say in the file how it came to be."""
    work, checks = course.work, course.checks
    first, method = work.pairs[0], work.method
    options = {"scale": str(first.scale), "part": asdict(first.part), **work.inputs, **method.description}
    name = str(options["method"])
    if isinstance(method, OtherMethod) and method.consistent:
        name += CONSISTENT
    used = ["bicubic+consistency" if method.falls_back(check) else name for check in checks]
    gains = ["unknown" if check.gain is None else f"{check.gain:.4f}" for check in checks]
    skipped = [f"{failure.band}:{failure.index}" for failure in course.failures]
    return {
        "MMSR_GEO_VERSION": __version__,
        "MMSR_GEO_SOURCE": first.source.name,
        "MMSR_GEO_GUIDE": first.guide.name,
        "MMSR_GEO_METHOD": ",".join(used),
        "MMSR_GEO_NET": ",".join(model.digest for model in course.models),
        "MMSR_GEO_SEED": str(options.get("seed", "")),
        "MMSR_GEO_GUIDE_GAIN": ",".join(gains),
        "MMSR_GEO_GUIDE_VERDICT": ",".join(check.verdict for check in checks),
        "MMSR_GEO_OPTIONS": json.dumps(options, default=_plain),
        **({"MMSR_GEO_CONSISTENCY_RMSE": ",".join(f"{each:.6g}" for each in missed)} if missed else {}),
        **({"MMSR_GEO_FAILED_TILES": ",".join(skipped)} if skipped else {}),
    }


def _said_of_uncertainty(course: Course) -> dict[str, str]:
    """Say what a target's uncertainty is and whether it is known, of each band; nothing where it was not asked for."""
    told = ",".join(_calibrations(course))
    return {"MMSR_GEO_UNCERTAINTY": told, "MMSR_GEO_UNCERTAINTY_MEANING": UNCERTAINTY_MEANING} if told else {}


def _calibrations(course: Course) -> tuple[str, ...]:
    if not course.work.output.uncertain:
        return ()
    return tuple("calibrated" if is_calibrated(model) else "not calibrated" for model in course.models)


def _plain(value: object) -> Any:  # noqa: ANN401  (JSON values)
    return value.item() if isinstance(value, np.generic) else str(value)
