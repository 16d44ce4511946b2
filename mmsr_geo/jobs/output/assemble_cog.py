"""Cloud Optimized GeoTIFFs assembled from an output's tiles."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

from mmsr_geo.engine.pair import Pair
from mmsr_geo.geometry import Window
from mmsr_geo.jobs.output.mosaic import mosaics, tile_pieces
from mmsr_geo.jobs.output.outcome import with_tags
from mmsr_geo.jobs.output.output_job import Course
from mmsr_geo.jobs.output.regrid import regrid
from mmsr_geo.jobs.output.tasks import Work
from mmsr_geo.jobs.output.verify import Finished, ReadBand, clipping_message, verify_tiles
from mmsr_geo.jobs.tiles.tile_file import FLAGS, UNCERTAINTY, VALUES
from mmsr_geo.raster.base import BandTags
from mmsr_geo.raster.write.cog import CogOfTiles, CogWriter
from mmsr_geo.raster.write.staged import finish_together


def assemble_cogs(course: Course, scratch: Path) -> Finished | None:
    """Make COGs; None where tiles are to be computed again."""
    work = course.work
    with ExitStack() as stack:
        if work.output.like is not None:
            moved = {band: stack.enter_context(CogWriter(**options)) for band, options in cog_options(work).items()}
            half = _LaterBands(moved[VALUES], len(work.pairs)) if work.output.uncertain else None
            missed = regrid(moved[VALUES], moved.get(FLAGS), half, mosaics(course, scratch), course)
            finish_together(with_tags(course, moved, missed))
            return Finished(moved[VALUES].clipping, missed)
        made = {band: stack.enter_context(CogOfTiles(**options)) for band, options in cog_options(work).items()}
        for band, file in made.items():
            file.pieces = tile_pieces(course, scratch, band)
            if band == VALUES and work.output.uncertain:
                file.pieces = [*file.pieces, *tile_pieces(course, scratch, UNCERTAINTY)]

        def hold_the_tiles() -> bool:
            with ExitStack() as opened:
                reads = {band: _reading(opened, file.made) for band, file in made.items()}
                if work.output.uncertain:
                    reads[UNCERTAINTY] = _later_bands(reads[VALUES], len(work.pairs))
                return verify_tiles(course, reads)

        return (
            Finished(clipping_message(course))
            if finish_together(with_tags(course, made, ()), check=hold_the_tiles)
            else None
        )


def _reading(stack: ExitStack, file: Path) -> ReadBand:
    dataset = stack.enter_context(rasterio.open(file))

    def read(band: int, place: Window) -> NDArray[Any]:
        pixels: NDArray[Any] = dataset.read(
            band, window=RasterioWindow(place.col, place.row, place.width, place.height)
        )
        return pixels

    return read


def _later_bands(read: ReadBand, after: int) -> ReadBand:
    """Return what reads a file's bands after so many as if they were its first."""
    return lambda band, place: read(after + band, place)


def cog_options(work: Work) -> dict[int, dict[str, Any]]:
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
class _LaterBands:
    """The bands of a file after so many, to be written as if they were its first."""

    file: CogWriter
    after: int

    def store(self, window: Window, values: NDArray[np.float32], bands: Sequence[int] | None = None) -> None:
        """Write raw values."""
        numbers = bands or range(1, len(values) + 1)
        self.file.store(window, values, [self.after + number for number in numbers])
