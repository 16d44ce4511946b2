"""An output's tile files as the pieces of a mosaic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmsr_geo.engine.flags import Flag
from mmsr_geo.geometry import Window
from mmsr_geo.jobs.output.output_job import Course
from mmsr_geo.jobs.output.tasks import Work
from mmsr_geo.jobs.tiles.tile_file import FLAGS, UNCERTAINTY, VALUES, TilePixels
from mmsr_geo.raster.write.cog import CogOfTiles
from mmsr_geo.raster.write.vrt import Piece


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


def tile_pieces(course: Course, scratch: Path, of_file: int) -> list[_Pieces]:
    """Return the tiles of each band as pieces; of_file: which of the tile files' bands is taken."""
    return [_Pieces(course, scratch, band, of_file) for band in range(1, len(course.work.pairs) + 1)]


def _hole(work: Work, place: Window, scratch: Path) -> Path:
    path = scratch / f"hole-{place.height}-{place.width}.tif"
    if not path.exists():
        values = np.full(place.shape, work.tile_nodata, work.tile_storage.dtype)
        flags = np.full(place.shape, int(Flag.FAILED), np.uint8)
        path.write_bytes(TilePixels(values, flags, values if work.output.uncertain else None).encoded())
    return path


def mosaics(course: Course, scratch: Path) -> dict[int, Path]:
    """Put the tiles together as they were computed, in files that go with `scratch`."""
    work = course.work
    grid, bands = work.pairs[0].target_grid, len(work.pairs)
    made = {}
    for band, name in ((VALUES, "target"), (FLAGS, "flags"), (UNCERTAINTY, "uncertainty")):
        if band == UNCERTAINTY and not work.output.uncertain:
            continue
        nodata = None if band == FLAGS else work.tile_nodata
        with CogOfTiles(scratch / f"{name}.tif", grid, bands=bands, nodata=nodata) as file:
            file.pieces = tile_pieces(course, scratch, band)
            file.finish()
        made[band] = scratch / f"{name}.tif"
    return made
