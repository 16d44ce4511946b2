"""Nearest and bicubic interpolation of a source onto its target grid; no guide."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mmsr_geo.geometry import Scale
from mmsr_geo.network import degradation
from mmsr_geo.raster.pixels import Pixels


def nearest(source: Pixels, scale: Scale) -> NDArray[np.float32]:
    """Repeat each source pixel: (1, h, w) → (H, W) float32, NaN in holes."""
    return degradation.nearest(torch.from_numpy(source.values[0]), scale).numpy()


def bicubic(source: Pixels, scale: Scale) -> NDArray[np.float32]:
    """Interpolate (Keys 1981, a = -0.75): (1, h, w) → (H, W) float32, NaN in holes; its block means are not the source.

    Holes are filled from beside them first, so that they do not eat into what is valid.
    """
    valid = torch.from_numpy(source.valid)
    values = torch.from_numpy(source.values[0]).double()
    centre = values[valid].mean() if source.valid.any() else torch.zeros((), dtype=torch.float64)
    filled = degradation.fill_holes(torch.where(valid, values - centre, torch.zeros_like(values)), valid)
    target = degradation.bicubic(filled, scale) + centre
    hole = ~degradation.nearest(valid, scale)
    return target.masked_fill(hole, torch.nan).float().numpy()
