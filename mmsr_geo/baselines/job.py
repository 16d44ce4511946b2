"""What a method is told beside its samples: the raster's size, the scale, and how to work."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mmsr_geo.geometry import Scale
from mmsr_geo.network.fitting import Progress, no_progress


@dataclass(frozen=True, slots=True)
class FitJob:
    """One fit of a method to one raster."""

    scale: Scale
    shape_yx: tuple[int, int]
    """The whole raster, in source pixels; a sample's row and col count from its corner."""
    device: torch.device
    seed: int = 0
    """Of every random choice, drawn from generators of the fit's own."""
    threads: int = 1
    """Torch threads to fit with on a CPU."""
    progress: Progress = no_progress
    """To be called as progress("fit", done, total)."""
