"""Written files compared with the tiles that they were assembled from."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from mmsr_geo.errors import MmsrWarning, OutputError
from mmsr_geo.geometry import Window
from mmsr_geo.jobs.output.output_job import OutputJob
from mmsr_geo.jobs.output.resume import is_whole
from mmsr_geo.jobs.tiles.tile_file import DamagedTileError, TilePixels, digest_of
from mmsr_geo.jobs.tiles.tile_store import TileRecord
from mmsr_geo.raster.base import BandTags
from mmsr_geo.raster.write.encoding import clipping_of

ReadBand = Callable[[int, Window], NDArray[Any]]
"""Function that returns a window of a band (from 1) of a written output."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Facts about an output that has been written."""

    clipping: str | None
    """Message about values that the dtype could not hold."""
    missed: tuple[float, ...] = ()
    """RMSE of each band after regridding."""


def tile_pixels(output_job: OutputJob, tile: TileRecord) -> TilePixels | None:
    """Return the pixels of a tile's file; None if they are not those that were written."""
    try:
        pixels = TilePixels.decoded(output_job.store.get(tile.name) or b"")
    except DamagedTileError:
        return None
    return pixels if pixels.digests == tile.digests else None


def recompute_tile(output_job: OutputJob, band: int, tile: TileRecord) -> None:
    """Warn about a damaged tile file, and put the tile back into the queue."""
    path = output_job.spec.output.path
    message = f"the file of tile {tile.index} of {path} is damaged ({tile.name}): the tile is computed again"
    warnings.warn(message, MmsrWarning, stacklevel=2)
    output_job.recompute_tile(band, tile.index)


def verify_tiles(output_job: OutputJob, reads: Mapping[int, ReadBand]) -> bool:
    """Return True if a written output has the pixels of its tiles: target, QA flags and uncertainty.

    Tiles whose files are damaged are put back into the queue.

    Args:
        output_job: The output.
        reads: Functions that read what was written, by the bands of the tile files.

    Raises:
        OutputError: The output differs from its tiles, and no tile file is damaged.
    """
    spec = output_job.spec
    if not spec.output.encoding.is_lossless:
        return True  # the file could be read, and lossy compression changes values
    same = True
    for band in range(1, len(spec.pairs) + 1):
        tiles = output_job.targets(band)
        for index in list(tiles):
            tile = tiles[index]
            window = spec.target_window(index)
            if all(digest_of(read(band, window)) == tile.digests[of_file - 1] for of_file, read in reads.items()):
                continue
            same = False
            if not is_whole(output_job.store, tile):
                recompute_tile(output_job, band, tile)
    if not same and output_job.is_complete:
        msg = f"{spec.output.path} differs from what was computed, so the disk may be failing: write to another disk"
        raise OutputError(msg)
    return same


def clipping_message(output_job: OutputJob) -> str | None:
    """Return the message about values that the stored dtype could not hold; None if there were none."""
    indexes = [output_job.targets(band) for band in range(1, len(output_job.spec.pairs) + 1)]
    clipped, of_widths, valid = (
        int(sum(index.total(field) for index in indexes)) for field in ("clipped", "uncertainty_clipped", "valid")
    )
    counts = [(BandTags(), clipped, valid), (BandTags(is_width=True), of_widths, valid)]
    return clipping_of(output_job.spec.output.encoding, counts)
