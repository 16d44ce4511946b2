"""Input of a fit: windows spread over a pair's raster, and the facts of the fit (scale, device, seed)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.tile_upsampler import sample_of
from mmsr_geo.errors import NothingInCommonError
from mmsr_geo.geometry import Scale, Window
from mmsr_geo.network.samples import NOTHING_IN_COMMON, Sample

ENOUGH_VALID = 0.25
"""Share of a sampled window that must be valid; windows below it are used only if no better one is found."""


@dataclass(frozen=True, slots=True)
class FitJob:
    """One fit of a method to one raster."""

    scale: Scale
    shape_yx: tuple[int, int]
    """The whole raster in source pixels; a sample's row and col count from its corner."""
    device: torch.device
    seed: int = 0
    """Seed of the fit's own random generators."""
    threads: int = 1
    """Torch threads of the fit on a CPU."""
    progress: Progress = no_progress
    """Called as progress("fit", done, total)."""


def read_samples(pair: Pair, within: Window, progress: Progress) -> list[Sample]:
    """Read the windows that a fit sees: spread over a part of the raster, where source and guide are valid.

    Args:
        pair: Source and guide.
        within: The part, in source pixels.
        progress: Called as progress("sample", done, total).

    Raises:
        NothingInCommonError: None of the windows holds a pixel that is valid in both.
    """
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
        raise NothingInCommonError(NOTHING_IN_COMMON)
    return samples
