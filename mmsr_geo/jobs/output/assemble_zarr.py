"""A group of a Zarr store, filled from an output's tiles."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmsr_geo.engine.flags import FLAG_ATTRS, Flag
from mmsr_geo.engine.flags import UNCERTAINTY as UNCERTAINTY_MEANING
from mmsr_geo.geometry import Window
from mmsr_geo.jobs.output.mosaic import mosaics
from mmsr_geo.jobs.output.outcome import output_tags, uncertainty_tags
from mmsr_geo.jobs.output.output_job import Course
from mmsr_geo.jobs.output.regrid import WINDOW_PX, regrid
from mmsr_geo.jobs.output.tasks import Work
from mmsr_geo.jobs.output.verify import Finished, ReadBand, clipping_message, recompute_tile, tile_pixels, verify_tiles
from mmsr_geo.jobs.tiles.tile_file import FLAGS, UNCERTAINTY, VALUES
from mmsr_geo.raster.write.destination import Address, ZarrPlace
from mmsr_geo.raster.write.staged import finish_together

if TYPE_CHECKING:
    from mmsr_geo.raster.write.zarr import ZarrWriter


def assemble_group(course: Course, scratch: Path) -> Finished | None:
    """Make a group of a Zarr store; None where tiles are to be computed again."""
    work = course.work
    with open_group(work, work.output.path) as group:
        if work.output.like is not None:
            drafts = mosaics(course, scratch)
            missed = regrid(group.values, group.flags, group.uncertainty, drafts, course)
            finish_together([(group, output_tags(course, missed) | uncertainty_tags(course))])
            return Finished(group.clipping, missed)
        if not _fill(group, course):
            return None

        def hold_the_tiles() -> bool:
            reads: dict[int, ReadBand] = {VALUES: group.values.read, FLAGS: group.flags.read}
            if group.uncertainty is not None:
                reads[UNCERTAINTY] = group.uncertainty.read
            return verify_tiles(course, reads)

        whole = finish_together([(group, output_tags(course, ()) | uncertainty_tags(course))], check=hold_the_tiles)
        return Finished(clipping_message(course)) if whole else None


def open_group(work: Work, place: Address) -> ZarrWriter:
    """Return the writer of the group that an output goes into."""
    from mmsr_geo.raster.write.zarr import ZarrWriter  # noqa: PLC0415  (zarr, only when asked for)

    if not isinstance(place, ZarrPlace):
        raise TypeError(type(place))
    output, first = work.output, work.pairs[0]
    height, width = work.tiling.tile_yx
    tile_yx = (height * first.scale.y, width * first.scale.x) if output.like is None else (WINDOW_PX, WINDOW_PX)
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
                if (pixels := tile_pixels(course, tile)) is None:
                    recompute_tile(course, band, tile)
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
