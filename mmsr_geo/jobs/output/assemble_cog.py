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
from mmsr_geo.jobs.output.output_job import OutputJob
from mmsr_geo.jobs.output.regrid import regrid
from mmsr_geo.jobs.output.tasks import OutputSpec
from mmsr_geo.jobs.output.verify import Finished, ReadBand, clipping_message, verify_tiles
from mmsr_geo.jobs.tiles.tile_file import FLAGS, UNCERTAINTY, VALUES
from mmsr_geo.raster.base import BandTags
from mmsr_geo.raster.write.cog import CogOfTiles, CogWriter
from mmsr_geo.raster.write.staged import finish_together


def assemble_cogs(output_job: OutputJob, scratch: Path) -> Finished | None:
    """Write the COGs of an output; None if tiles must be computed again."""
    spec = output_job.spec
    with ExitStack() as stack:
        if spec.output.like is not None:
            warped = {band: stack.enter_context(CogWriter(**options)) for band, options in cog_options(spec).items()}
            uncertainty = _LaterBands(warped[VALUES], len(spec.pairs)) if spec.output.uncertainty else None
            missed = regrid(warped[VALUES], warped.get(FLAGS), uncertainty, mosaics(output_job, scratch), output_job)
            finish_together(with_tags(output_job, warped, missed))
            return Finished(warped[VALUES].clipping, missed)
        files = {band: stack.enter_context(CogOfTiles(**options)) for band, options in cog_options(spec).items()}
        for band, file in files.items():
            file.pieces = tile_pieces(output_job, scratch, band)
            if band == VALUES and spec.output.uncertainty:
                file.pieces = [*file.pieces, *tile_pieces(output_job, scratch, UNCERTAINTY)]

        def matches_tiles() -> bool:
            with ExitStack() as opened:
                reads = {band: _reading(opened, file.draft) for band, file in files.items()}
                if spec.output.uncertainty:
                    reads[UNCERTAINTY] = _later_bands(reads[VALUES], len(spec.pairs))
                return verify_tiles(output_job, reads)

        return (
            Finished(clipping_message(output_job))
            if finish_together(with_tags(output_job, files, ()), check=matches_tiles)
            else None
        )


def _reading(stack: ExitStack, file: Path) -> ReadBand:
    dataset = stack.enter_context(rasterio.open(file))

    def read(band: int, window: Window) -> NDArray[Any]:
        pixels: NDArray[Any] = dataset.read(
            band, window=RasterioWindow(window.col, window.row, window.width, window.height)
        )
        return pixels

    return read


def _later_bands(read: ReadBand, after: int) -> ReadBand:
    """Return a function that reads the bands after the first `after` as if they were the first ones."""
    return lambda band, window: read(after + band, window)


def cog_options(spec: OutputSpec) -> dict[int, dict[str, Any]]:
    """Return the arguments of the COG writers, by the band of the tile files that each file is assembled from.

    The uncertainty is in the file of the target, in bands after its own.
    """
    output, pairs = spec.output, spec.pairs
    common = {"grid": output.like or pairs[0].target_grid, "overwrite": output.overwrite}
    tags = [tags for pair in pairs for tags in pair.source.band_tags]
    if output.uncertainty:
        named = zip(_names_of("uncertainty", pairs), list(tags), strict=True)
        tags += [of_band.of_uncertainty(name) for name, of_band in named]
    target = {"path": output.path, "nodata": spec.nodata, "encoding": output.encoding, **common}
    files = {VALUES: {**target, "bands": len(tags), "band_tags": tags}}
    if output.qa is not None:
        flag_tags = [BandTags(name) for name in _names_of("qa", pairs)]
        flags = {"path": output.qa, "nodata": None, "encoding": output.encoding.for_flags(), **common}
        files[FLAGS] = {**flags, "bands": len(flag_tags), "band_tags": flag_tags}
    return files


def _names_of(kind: str, pairs: Sequence[Pair]) -> list[str]:
    """Return the names of bands that describe the target of each pair: QA flags or uncertainty."""
    return [f"{kind} of {'; '.join(pair.source.bands)}" for pair in pairs] if len(pairs) > 1 else [kind]


@dataclass(frozen=True, slots=True)
class _LaterBands:
    """The bands of a file after the first `after`, written as if they were the first ones."""

    file: CogWriter
    after: int

    def store(self, window: Window, values: NDArray[np.float32], bands: Sequence[int] | None = None) -> None:
        """Write raw values."""
        numbers = bands or range(1, len(values) + 1)
        self.file.store(window, values, [self.after + number for number in numbers])
