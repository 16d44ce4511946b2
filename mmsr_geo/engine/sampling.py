"""What a fit sees of a pair: windows spread over the raster, where source and guide are valid."""

from __future__ import annotations

from mmsr_geo.callbacks import Progress
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.tile_upsampler import sample_of
from mmsr_geo.errors import PixelError
from mmsr_geo.geometry import Window
from mmsr_geo.network.samples import Sample

ENOUGH_VALID = 0.25
"""Share of a sampled window that must be valid; windows below it serve only where no better one is found."""


def read_samples(pair: Pair, within: Window, progress: Progress) -> list[Sample]:
    """Read what a fit sees: windows spread over the raster where source and guide are valid."""
    samples: list[Sample] = []
    reserve: list[Sample] = []
    wanted = 0
    for sites in pair.sample_sites(within):
        wanted = wanted or len(sites)
        for window in sites:
            if len(samples) >= wanted:
                break
            progress("sample", len(samples), wanted)
            source = pair.source.read(window)
            if not source.valid.any():
                continue
            guide = pair.guide.read(window.refined(pair.scale))
            share = min(source.valid.mean(), guide.valid.mean())
            if share >= ENOUGH_VALID:
                samples.append(sample_of(source, guide, window.row, window.col))
            elif share > 0 and len(reserve) < wanted:
                reserve.append(sample_of(source, guide, window.row, window.col))
    progress("sample", wanted, wanted)
    samples = samples + reserve[: wanted - len(samples)]
    if not samples:
        raise PixelError(
            f"source {pair.source.name} and guide {pair.guide.name} hold no valid pixel in common where they "
            f"were looked for: check their nodata values and that they show the same place"
        )
    return samples
