"""Groups of Zarr stores assembled from an output's tiles."""

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
from mmsr_geo.jobs.output.output_job import OutputJob
from mmsr_geo.jobs.output.regrid import WINDOW_PX, regrid
from mmsr_geo.jobs.output.tasks import OutputSpec
from mmsr_geo.jobs.output.verify import Finished, ReadBand, clipping_message, recompute_tile, tile_pixels, verify_tiles
from mmsr_geo.jobs.tiles.tile_file import FLAGS, UNCERTAINTY, VALUES
from mmsr_geo.raster.write.destination import Address, ZarrGroupPath
from mmsr_geo.raster.write.staged import finish_together

if TYPE_CHECKING:
    from mmsr_geo.raster.write.zarr import ZarrWriter


def assemble_group(output_job: OutputJob, scratch: Path) -> Finished | None:
    """Write the group of an output in a Zarr store; None if tiles must be computed again."""
    spec = output_job.spec
    with open_group(spec, spec.output.path) as group:
        if spec.output.like is not None:
            drafts = mosaics(output_job, scratch)
            missed = regrid(group.values, group.flags, group.uncertainty, drafts, output_job)
            finish_together([(group, output_tags(output_job, missed) | uncertainty_tags(output_job))])
            return Finished(group.clipping, missed)
        if not _fill(group, output_job):
            return None

        def matches_tiles() -> bool:
            reads: dict[int, ReadBand] = {VALUES: group.values.read, FLAGS: group.flags.read}
            if group.uncertainty is not None:
                reads[UNCERTAINTY] = group.uncertainty.read
            return verify_tiles(output_job, reads)

        whole = finish_together(
            [(group, output_tags(output_job, ()) | uncertainty_tags(output_job))], check=matches_tiles
        )
        return Finished(clipping_message(output_job)) if whole else None


def open_group(spec: OutputSpec, place: Address) -> ZarrWriter:
    """Return the writer of an output's group."""
    from mmsr_geo.raster.write.zarr import ZarrWriter  # noqa: PLC0415  (zarr, only when asked for)
    from mmsr_geo.raster.write.zarr_arrays import BandAxis  # noqa: PLC0415  (zarr, only when asked for)

    if not isinstance(place, ZarrGroupPath):
        raise TypeError(type(place))
    output, first = spec.output, spec.pairs[0]
    height, width = spec.tiling.tile_yx
    tile_yx = (height * first.scale.y, width * first.scale.x) if output.like is None else (WINDOW_PX, WINDOW_PX)
    uncertainty_attrs = {"long_name": f"uncertainty of {output.variable}", "comment": UNCERTAINTY_MEANING}
    return ZarrWriter(
        place,
        output.like or first.target_grid,
        variable=output.variable,
        tile_yx=tile_yx,
        bands=BandAxis(len(spec.pairs), output.coordinates),
        nodata=spec.nodata,
        band_tags=[tags for pair in spec.pairs for tags in pair.source.band_tags],
        encoding=output.encoding,
        flag_attrs={**FLAG_ATTRS, "flag_masks": [int(flag) for flag in Flag]},
        uncertainty_attrs=uncertainty_attrs if output.uncertainty else None,
        target_attrs=output.attributes,
        overwrite=output.overwrite,
    )


def _fill(group: ZarrWriter, output_job: OutputJob) -> bool:
    """Write the tiles shard by shard; False if tile files are damaged, which puts these tiles back into the queue."""
    spec, (height, width) = output_job.spec, group.shard_yx
    shards: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index in range(len(spec.tiling)):
        window = spec.target_window(index)
        shards[window.row // height, window.col // width].append(index)
    whole = Window.whole(spec.pairs[0].target_grid.shape.yx)
    for band in range(1, len(spec.pairs) + 1):
        tiles = output_job.targets(band)
        for done, ((row, col), indexes) in enumerate(shards.items()):
            output_job.progress("write", done, len(shards))
            shard = Window(row * height, col * width, height, width).intersection(whole)
            values = np.full(shard.shape, spec.nodata, spec.output.encoding.dtype)
            flags = np.full(shard.shape, int(Flag.FAILED), np.uint8)
            uncertainty = values.copy() if group.uncertainty is not None else None
            for index in indexes:
                if (tile := tiles.get(index)) is None:
                    continue  # skipped: no data
                if (pixels := tile_pixels(output_job, tile)) is None:
                    recompute_tile(output_job, band, tile)
                    continue
                part = spec.target_window(index).relative_to(shard).slices
                values[part], flags[part] = pixels.values, pixels.qa
                if uncertainty is not None:
                    uncertainty[part] = pixels.uncertainty
            group.values.write(shard, values[np.newaxis], (band,))
            group.flags.write(shard, flags[np.newaxis], (band,))
            if group.uncertainty is not None and uncertainty is not None:
                group.uncertainty.write(shard, uncertainty[np.newaxis], (band,))
    return output_job.is_complete
