"""An output's tile files as the pieces of a mosaic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmsr_geo.engine.flags import Flag
from mmsr_geo.geometry import Window
from mmsr_geo.jobs.output.output_job import OutputJob
from mmsr_geo.jobs.output.tasks import OutputSpec
from mmsr_geo.jobs.tiles.tile_file import FLAGS, UNCERTAINTY, VALUES, TilePixels
from mmsr_geo.raster.write.cog import CogOfTiles
from mmsr_geo.raster.write.vrt import Piece


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Where a band's tile files lie, row by row, a hole for each that was skipped; made while they are gone through."""

    output_job: OutputJob
    scratch: Path
    band: int
    """The output's, from 1."""
    of_file: int
    """Which of the tile files' bands is taken."""

    def __iter__(self) -> Iterator[Piece]:
        spec, made = self.output_job.spec, self.output_job.targets(self.band)
        for index in range(len(spec.tiling)):
            place, tile = spec.place(index), made.get(index)
            path = _hole(spec, place, self.scratch) if tile is None else self.output_job.store.near(tile, self.scratch)
            yield Piece(path, self.of_file, place)


def tile_pieces(output_job: OutputJob, scratch: Path, of_file: int) -> list[_Pieces]:
    """Return the tiles of each band as pieces; of_file: which of the tile files' bands is taken."""
    return [_Pieces(output_job, scratch, band, of_file) for band in range(1, len(output_job.spec.pairs) + 1)]


def _hole(spec: OutputSpec, place: Window, scratch: Path) -> Path:
    path = scratch / f"hole-{place.height}-{place.width}.tif"
    if not path.exists():
        values = np.full(place.shape, spec.tile_nodata, spec.tile_storage.dtype)
        flags = np.full(place.shape, int(Flag.FAILED), np.uint8)
        path.write_bytes(TilePixels(values, flags, values if spec.output.uncertainty else None).encoded())
    return path


def mosaics(output_job: OutputJob, scratch: Path) -> dict[int, Path]:
    """Put the tiles together as they were computed, in files that go with `scratch`."""
    spec = output_job.spec
    grid, bands = spec.pairs[0].target_grid, len(spec.pairs)
    made = {}
    for band, name in ((VALUES, "target"), (FLAGS, "flags"), (UNCERTAINTY, "uncertainty")):
        if band == UNCERTAINTY and not spec.output.uncertainty:
            continue
        nodata = None if band == FLAGS else spec.tile_nodata
        with CogOfTiles(scratch / f"{name}.tif", grid, bands=bands, nodata=nodata) as file:
            file.pieces = tile_pieces(output_job, scratch, band)
            file.finish()
        made[band] = scratch / f"{name}.tif"
    return made
