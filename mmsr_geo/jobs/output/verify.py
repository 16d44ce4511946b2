"""Written files compared with the tiles that they were assembled from."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from mmsr_geo.errors import MmsrWarning, OutputError
from mmsr_geo.geometry import Window
from mmsr_geo.jobs.output.output_job import OutputJob, is_whole
from mmsr_geo.jobs.tiles.tile_file import DamagedTileError, TilePixels, digest_of
from mmsr_geo.jobs.tiles.tile_store import TileRecord
from mmsr_geo.raster.base import BandTags
from mmsr_geo.raster.write.encoding import clipping_of

ReadBand = Callable[[int, Window], NDArray[Any]]
"""Returns a band (from 1) of what was written, in a window."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What is known of outputs that have appeared."""

    clipping: str | None
    missed: tuple[float, ...] = ()


def tile_pixels(output_job: OutputJob, tile: TileRecord) -> TilePixels | None:
    """Return what a tile's file holds; None where that is not what was kept in it."""
    try:
        pixels = TilePixels.decoded(output_job.store.get(tile.name) or b"")
    except DamagedTileError:
        return None
    return pixels if pixels.digests == tile.digests else None


def recompute_tile(output_job: OutputJob, band: int, tile: TileRecord) -> None:
    """Warn of a damaged tile file, and have the tile computed again."""
    said = f"the file of tile {tile.index} of {output_job.spec.output.path} is damaged ({tile.name}): it is made again"
    warnings.warn(said, MmsrWarning, stacklevel=2)
    output_job.recompute_tile(band, tile.index)


def verify_tiles(output_job: OutputJob, reads: Mapping[int, ReadBand]) -> bool:
    """Whether what was written, the target and what is known of it, is what was computed.

    reads: by the band of the tiles' files. Tiles whose own files are not are asked for again. Raises OutputError where
    they are.
    """
    spec = output_job.spec
    if not spec.output.encoding.is_lossless:
        return True  # read back they were; their values are others by intent
    true = True
    for band in range(1, len(spec.pairs) + 1):
        made = output_job.targets(band)
        for index in list(made):
            tile = made[index]
            place = spec.place(index)
            if all(digest_of(read(band, place)) == tile.digests[of_file - 1] for of_file, read in reads.items()):
                continue
            true = False
            if not is_whole(output_job.store, tile):
                recompute_tile(output_job, band, tile)
    if not true and output_job.is_complete:
        msg = f"{spec.output.path} was not written as it was computed: the disk may be failing, write elsewhere"
        raise OutputError(msg)
    return true


def clipping_message(output_job: OutputJob) -> str | None:
    """Return the message about values that the stored dtype could not hold; None where there were none."""
    made = [output_job.targets(band) for band in range(1, len(output_job.spec.pairs) + 1)]
    clipped, of_widths, valid = (
        int(sum(tiles.total(what) for tiles in made)) for what in ("clipped", "uncertainty_clipped", "valid")
    )
    counts = [(BandTags(), clipped, valid), (BandTags(is_width=True), of_widths, valid)]
    return clipping_of(output_job.spec.output.encoding, counts)
