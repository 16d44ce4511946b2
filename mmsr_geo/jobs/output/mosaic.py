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
    """The tile files of a band, row by row, created while they are iterated; a skipped tile is a file without data."""

    output_job: OutputJob
    scratch: Path
    band: int
    """Band of the output, from 1."""
    file_band: int
    """Band of the tile files."""

    def __iter__(self) -> Iterator[Piece]:
        spec, tiles = self.output_job.spec, self.output_job.targets(self.band)
        for index in range(len(spec.tiling)):
            window, tile = spec.target_window(index), tiles.get(index)
            path = (
                _no_data(spec, window, self.scratch)
                if tile is None
                else self.output_job.store.local_file(tile, self.scratch)
            )
            yield Piece(path, self.file_band, window)


def tile_pieces(output_job: OutputJob, scratch: Path, file_band: int) -> list[_Pieces]:
    """Return the tiles of each band as pieces of a mosaic; file_band: band of the tile files."""
    return [_Pieces(output_job, scratch, band, file_band) for band in range(1, len(output_job.spec.pairs) + 1)]


def _no_data(spec: OutputSpec, window: Window, scratch: Path) -> Path:
    path = scratch / f"no-data-{window.height}-{window.width}.tif"
    if not path.exists():
        values = np.full(window.shape, spec.tile_nodata, spec.tile_storage.dtype)
        flags = np.full(window.shape, int(Flag.FAILED), np.uint8)
        path.write_bytes(TilePixels(values, flags, values if spec.output.uncertainty else None).encoded())
    return path


def mosaics(output_job: OutputJob, scratch: Path) -> dict[int, Path]:
    """Assemble the tiles as they were computed, in files in the folder `scratch`, by the bands of the tile files."""
    spec = output_job.spec
    grid, bands = spec.pairs[0].target_grid, len(spec.pairs)
    files = {}
    for band, name in ((VALUES, "target"), (FLAGS, "flags"), (UNCERTAINTY, "uncertainty")):
        if band == UNCERTAINTY and not spec.output.uncertainty:
            continue
        nodata = None if band == FLAGS else spec.tile_nodata
        with CogOfTiles(scratch / f"{name}.tif", grid, bands=bands, nodata=nodata) as file:
            file.pieces = tile_pieces(output_job, scratch, band)
            file.finish()
        files[band] = scratch / f"{name}.tif"
    return files
