"""An output made of its tiles and verified against them; knows the writers and the store, computes nothing."""

from __future__ import annotations

import json
import math
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.windows import Window as RasterioWindow

from mmsr_geo._version import __version__
from mmsr_geo.baselines import CONSISTENT
from mmsr_geo.errors import MmsrWarning, OptionError, OutputError
from mmsr_geo.geometry import Window
from mmsr_geo.jobs.course import Course, Failure, is_whole
from mmsr_geo.jobs.tilefile import FLAGS, VALUES, TilePixels, digest_of
from mmsr_geo.jobs.work import Work
from mmsr_geo.methods import OtherMethod
from mmsr_geo.model import Model
from mmsr_geo.network.checking import GuideCheck
from mmsr_geo.network.fitted import FittedNet
from mmsr_geo.pair import Pair
from mmsr_geo.quality import MEANINGS, Flag
from mmsr_geo.raster.composing import Warped
from mmsr_geo.raster.files import FileRaster
from mmsr_geo.raster.mosaicking import Piece
from mmsr_geo.raster.protocol import BandTags
from mmsr_geo.raster.writing import CogFile, CogOfTiles, CogWriter, finish_together

_WINDOW_PX = 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was made."""

    path: Path
    models: tuple[Model, ...]
    """One for each band, as it was fitted."""
    checks: tuple[GuideCheck, ...]
    """What is known of the guide, for each band."""
    scale: str
    shape_yx: tuple[int, int]
    tiles: int
    seconds: float
    qa: Path | None = None
    flag_shares: Mapping[Flag, float] = field(default_factory=dict)
    """How much of the target's pixels has each flag, 0..1; of all bands, before any other grid."""
    consistency_rmse: tuple[float, ...] = ()
    """Of each band brought onto another grid (`like`): how far it is from the source when averaged back."""
    failures: tuple[Failure, ...] = ()
    """Tiles that were skipped; they are holes."""

    @property
    def net(self) -> FittedNet:
        """The first band's net; raises OptionError where it was made without one."""
        if not isinstance(self.models[0], FittedNet):
            raise OptionError(f"{self.path} was made without a scene's net: there is none to save")
        return self.models[0]


def check_room(work: Work) -> None:
    """Refuse, before anything is computed, outputs that exist, cannot be written or have no room (OutputError)."""
    with ExitStack() as stack:
        for options in _files(work).values():
            stack.enter_context(CogFile(**options))


def finish(course: Course) -> Outcome | None:
    """Make the outputs of a course's tiles: they appear, all or none, when they are whole.

    Returns None, and has written nothing, where tiles' files turn out damaged: those are to be computed again.
    Raises OutputError where the disk or GDAL fails.
    """
    work = course.work
    course.progress("write", 0, 1)
    with ExitStack() as stack:
        scratch = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(
                    prefix=f".{work.output.path.name}.", suffix=".part", dir=work.output.path.parent
                )
            )
        )
        pieces = _pieces(course, scratch)
        if work.output.like is None:
            made = {band: stack.enter_context(CogOfTiles(**options)) for band, options in _files(work).items()}
            for band, file in made.items():
                file.pieces = [[Piece(path, band, place) for path, place in of_band] for of_band in pieces]
            whole = finish_together(_tagged(course, made, ()), check=lambda files: _hold_the_tiles(course, files))
            missed: tuple[float, ...] = ()
            clipping = _clipping(course)
        else:
            moved = {band: stack.enter_context(CogWriter(**options)) for band, options in _files(work).items()}
            missed = _brought_onto(moved, work, _mosaics(course, pieces, scratch), course)
            whole = finish_together(_tagged(course, moved, missed))
            clipping = moved[VALUES].clipping
    if not whole:
        return None
    course.progress("write", 1, 1)
    if clipping is not None:
        warnings.warn(clipping, MmsrWarning, stacklevel=2)
    return _outcome(course, missed)


def _files(work: Work) -> dict[int, dict[str, Any]]:
    """Return what the files are made with, by the band of the tiles' files that each takes."""
    output, pairs = work.output, work.pairs
    common = {"grid": output.like or pairs[0].target_grid, "bands": len(pairs), "overwrite": output.overwrite}
    tags = [tags for pair in pairs for tags in pair.source.band_tags]
    target = {"path": output.path, "nodata": work.nodata, "band_tags": tags, "storage": output.storage, **common}
    if output.qa is None:
        return {VALUES: target}
    names = [f"qa of {'; '.join(pair.source.bands)}" for pair in pairs] if len(pairs) > 1 else ["qa"]
    flags = {
        "path": output.qa,
        "nodata": None,
        "band_tags": [BandTags(name) for name in names],
        "storage": output.storage.for_flags(),
        **common,
    }
    return {VALUES: target, FLAGS: flags}


def _pieces(course: Course, scratch: Path) -> list[list[tuple[Path, Window]]]:
    """Return each band's tile files and where they lie; a hole for each that was skipped."""
    work = course.work
    found = []
    for band in range(1, len(work.pairs) + 1):
        made = course.targets(band)
        places = [(made.get(index), work.place(index)) for index in range(len(work.tiling))]
        found.append(
            [
                (_hole(work, place, scratch) if tile is None else course.store.near(tile, scratch), place)
                for tile, place in places
            ]
        )
    return found


def _hole(work: Work, place: Window, scratch: Path) -> Path:
    path = scratch / f"hole-{place.height}-{place.width}.tif"
    if not path.exists():
        values = np.full(place.shape, work.tile_nodata, work.tile_storage.dtype)
        flags = np.full(place.shape, int(Flag.FAILED), np.uint8)
        path.write_bytes(TilePixels(values, flags).encoded())
    return path


def _hold_the_tiles(course: Course, files: Mapping[Path, Path]) -> bool:
    """Whether finished files, by output, hold what was computed; tiles whose own files do not are asked again."""
    work = course.work
    if not work.output.storage.is_lossless:
        return True  # read back they were; their values are others by intent
    true = True
    with ExitStack() as stack:
        opened = {path: stack.enter_context(rasterio.open(file)) for path, file in files.items()}
        for band in range(1, len(work.pairs) + 1):
            for index, tile in list(course.targets(band).items()):
                place = work.place(index)
                part = RasterioWindow(place.col, place.row, place.width, place.height)
                read = [digest_of(dataset.read(band, window=part)) for dataset in opened.values()]
                if read == [tile.digest, tile.qa_digest][: len(read)]:
                    continue
                true = False
                if not is_whole(course.store, tile):
                    said = f"the file of tile {index} of {work.output.path} is damaged ({tile.name}): it is made again"
                    warnings.warn(said, MmsrWarning, stacklevel=2)
                    course.again(band, index)
    if not true and course.is_complete:
        msg = f"{work.output.path} was not written as it was computed: the disk may be failing, write elsewhere"
        raise OutputError(msg)
    return true


def _mosaics(course: Course, pieces: Sequence[Sequence[tuple[Path, Window]]], scratch: Path) -> dict[int, Path]:
    """Put the tiles together as they were computed, in files that go with `scratch`."""
    work = course.work
    grid, bands = work.pairs[0].target_grid, len(work.pairs)
    made = {}
    for band, name in ((VALUES, "target"), (FLAGS, "flags")):
        nodata = work.tile_nodata if band == VALUES else None
        with CogOfTiles(scratch / f"{name}.tif", grid, bands=bands, nodata=nodata) as file:
            file.pieces = [[Piece(path, band, place) for path, place in of_band] for of_band in pieces]
            file.finish()
        made[band] = scratch / f"{name}.tif"
    return made


def _brought_onto(
    files: Mapping[int, CogWriter], work: Work, drafts: Mapping[int, Path], course: Course
) -> tuple[float, ...]:
    """Warp the drafts once more, and return how far each band of the target then is from its source."""
    grid = work.output.like or work.pairs[0].target_grid
    windows = list(_windows(Window.whole(grid.shape.yx), _WINDOW_PX))
    missed = []
    for number, pair in enumerate(work.pairs, start=1):
        target = Warped(FileRaster.open(drafts[VALUES], [number]), grid)
        drawn = FileRaster.open(drafts[FLAGS], [number])
        for done, window in enumerate(windows):
            course.progress("warp", done, len(windows))
            files[VALUES].store(window, target.read(window).values, bands=(number,))
            if FLAGS in files:
                flags = Warped(drawn, grid, Resampling.nearest, Resampling.nearest).read(window).values
                beyond = float(Flag.SOURCE_HOLE)
                files[FLAGS].write(window, np.nan_to_num(flags, nan=beyond).astype(np.uint8), bands=(number,))
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
    made = [tile for band in range(1, len(course.work.pairs) + 1) for tile in course.targets(band).values()]
    clipped = sum(tile.clipped for tile in made)
    return course.work.output.storage.clipping(clipped, sum(tile.valid for tile in made)) if clipped else None


def _outcome(course: Course, missed: tuple[float, ...]) -> Outcome:
    work = course.work
    first, bands = work.pairs[0], range(1, len(work.pairs) + 1)
    counts = dict.fromkeys(Flag, 0)
    for made in (made for band in bands for made in course.targets(band).values()):
        for name, count in (made.flags or {}).items():
            counts[Flag[name]] += count
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
    )


def _tagged(
    course: Course, files: Mapping[int, CogFile], missed: Sequence[float]
) -> list[tuple[CogFile, Mapping[str, str]]]:
    """Return the files with what is said in each."""
    tags = _tags(course, missed)
    meanings = {f"MMSR_GEO_QA_{int(flag)}": meaning for flag, meaning in MEANINGS.items()}
    return [(file, tags if band == VALUES else tags | meanings) for band, file in files.items()]


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


def _plain(value: object) -> Any:  # noqa: ANN401  (JSON values)
    return value.item() if isinstance(value, np.generic) else str(value)
