"""Features of a guide that the network is shown next to its bands: local contrast and edges; tensors only."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor

from mmsr_geo.geometry import Halo, Window

LOCAL_PX = 9
"""Side of the square that a pixel is compared with, in guide pixels."""
FEATURE_RECEPTIVE_FIELD_PX = LOCAL_PX // 2
"""Guide pixels around a pixel that its features depend on; the gradient's one pixel lies within them."""
PER_BAND = 3
"""Number of channels derived from one guide band."""
QUIET = 0.05
"""Local standard deviation, in the band's own, that is added before dividing by it: below it contrast is noise."""
PART_SIDE_PX = 512
"""Side of the parts whose features are computed at once, in guide pixels."""
EDGE = 3.0
"""Factor that brings a gradient's magnitude, in the band's standard deviation per pixel, near the bands' own size."""


def guide_features(guide: Tensor, valid: Tensor) -> Tensor:
    """Return the bands, their local contrast and their edges.

    The contrast of a pixel is its difference from the mean over the valid pixels of a 9 x 9 square, divided by their
    standard deviation. An edge is the magnitude of the gradient. Pixels outside the image count as invalid. The
    features are computed part by part: float64 of all of them would be gigabytes.

    Args:
        guide: (C, H, W), of standard deviation 1, 0 where invalid.
        valid: (H, W) bool.

    Returns:
        (3 C, H, W): bands, contrasts, edges; 0 where invalid.
    """
    features = guide.new_empty(PER_BAND * len(guide), *valid.shape)
    whole = Window.whole((valid.shape[0], valid.shape[1]))
    for part in whole.parts(PART_SIDE_PX):
        read = part.padded(Halo(FEATURE_RECEPTIVE_FIELD_PX, FEATURE_RECEPTIVE_FIELD_PX), whole)
        rows, columns = read.slices
        computed = _features(guide[:, rows, columns], valid[rows, columns])
        features[:, *part.slices] = computed[:, *part.relative_to(read).slices]
    return features


def _features(guide: Tensor, valid: Tensor) -> Tensor:
    weights, bands = valid.double(), guide.double()  # a variance by sums cancels in float32 where a guide is bright
    count = _square_sums(weights[None]).clamp_min(1)
    mean = _square_sums(bands) / count
    spread = (_square_sums(bands**2) / count - mean**2).clamp_min(0).sqrt() + QUIET
    down, across = (slope(bands, weights, dim) for dim in (-2, -1))
    features = torch.cat([bands, (bands - mean) / spread, EDGE * (down**2 + across**2).sqrt()])
    return (features * weights).to(guide.dtype)


def _square_sums(bands: Tensor) -> Tensor:
    """Sum over the square around each pixel: (C, H, W) → (C, H, W)."""
    kernel = torch.ones(1, 1, LOCAL_PX, dtype=bands.dtype, device=bands.device)
    height, width = bands.shape[-2:]
    across = F.conv1d(bands.reshape(-1, 1, width), kernel, padding=LOCAL_PX // 2).view(-1, height, width)
    turned = across.transpose(-1, -2).reshape(-1, 1, height)
    return F.conv1d(turned, kernel, padding=LOCAL_PX // 2).view(-1, width, height).transpose(-1, -2)


def slope(bands: Tensor, weights: Tensor, dim: int) -> Tensor:
    """Return half the difference of the two neighbours along a dimension; 0 where one of them is invalid."""
    pad = (0, 0, 1, 1) if dim == -2 else (1, 1)
    padded, known = F.pad(bands, pad), F.pad(weights, pad)
    length = bands.shape[dim]
    after, before = (padded.narrow(dim, start, length) for start in (2, 0))
    both = known.narrow(dim, 2, length) * known.narrow(dim, 0, length)
    return (after - before) / 2 * both
