"""The MMSR network and its receptive field; knows tensors only, no raster, statistics or files."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from mmsr_geo.geometry import Scale
from mmsr_geo.network.attention import neighbourhood_attention
from mmsr_geo.network.degradation import bilinear


@dataclass(frozen=True, slots=True)
class NetworkParams:
    """Shape of the network; the defaults are the paper's (Dong et al., ECCV 2022)."""

    guide_bands: int
    """Number of channels of the guide."""
    channels: int = 64
    """Number of channels of both branches."""
    source_to_guide_px: int = 11
    """Side of the source's neighbourhood that a guide pixel attends to, in target pixels."""
    guide_to_source_px: int = 5
    """Side of the guide's neighbourhood that a source pixel attends to, in target pixels."""

    def __post_init__(self) -> None:
        """Refuse a shape that no network can have (ValueError)."""
        if self.guide_bands < 1 or self.channels < 1:
            msg = f"a network needs at least one guide band and one channel, not {self.guide_bands}, {self.channels}"
            raise ValueError(msg)
        for size in (self.source_to_guide_px, self.guide_to_source_px):
            if size < 1 or size % 2 == 0:
                msg = f"a neighbourhood's side must be odd and positive, not {size}"
                raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """Distance from a target pixel within which inputs matter, in each direction."""

    guide_px: int
    """Guide pixels (on the target grid)."""
    source_target_px: int
    """Target pixels, of the source brought to the target grid."""
    source_px: int
    """Source pixels beyond those: the support of the bilinear interpolation to the target grid."""


Attention = Callable[[Tensor, Tensor, int], Tensor]
"""Attention of a query to its neighbourhood of an odd side in pixels; see `neighbourhood_attention`."""


class MmsrNetwork(nn.Module):
    """Guide and source in, target out: two branches, mutual modulation, a head of 1 x 1 convolutions."""

    def __init__(self, params: NetworkParams, attention: Attention = neighbourhood_attention) -> None:
        """Draw fresh weights from torch's global generator.

        Args:
            params: Shape of the network.
            attention: The attention that is computed; benchmarks/attention.py compares two forms of it.
        """
        super().__init__()
        c = params.channels
        self.params, self.attention = params, attention
        self.guide_branch = _branch(params.guide_bands, c, kernel=3)
        self.source_branch = _branch(1, c, kernel=1)
        self.to_guide_query = nn.Conv2d(c, c, 1)
        self.to_source_query = nn.Conv2d(c, c, 1)
        self.fusion = nn.Conv2d(2 * c, c, 1)
        self.head = nn.Sequential(*(ResidualBlock(c, kernel=1) for _ in range(3)), nn.Conv2d(c, 1, 1))

    def forward(self, guide: Tensor, source: Tensor) -> Tensor:
        """Predict the target.

        Args:
            guide: (B, guide_bands, H, W), on the target grid, normalised, without nodata.
            source: (B, 1, h, w), normalised, without nodata, H and W whole multiples of h and w; or (B, 1, H, W), if it
                was brought to the target grid before.

        Returns:
            (B, 1, H, W) in the source's normalised units.

        Raises:
            ValueError: The guide's size is not a whole multiple of the source's.
        """
        if source.shape[-2:] != guide.shape[-2:]:
            source = bilinear(source, _scale_between(source, guide))
        g = self.to_guide_query(self.guide_branch(guide))
        s = self.to_source_query(self.source_branch(source))
        source_to_guide = self.attention(g, s, self.params.source_to_guide_px)
        guide_to_source = self.attention(s, g, self.params.guide_to_source_px)
        target: Tensor = self.head(self.fusion(torch.cat([source_to_guide, guide_to_source], dim=1)))
        return target

    def draw_weights(self, generator: torch.Generator) -> Self:
        """Draw fresh weights as torch does for convolutions (uniform in ±1 / sqrt(fan-in)), from a generator of choice.

        Returns itself.
        """
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
                if layer.bias is not None:
                    bound = 1 / math.sqrt(layer.weight[0].numel())
                    nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
        return self

    @property
    def receptive_field(self) -> ReceptiveField:
        """Receptive field, derived from the layers."""
        guide_branch, source_branch = _receptive_field(self.guide_branch), _receptive_field(self.source_branch)
        after = _receptive_field(self.fusion) + _receptive_field(self.head)
        to_guide, to_source = self.params.source_to_guide_px // 2, self.params.guide_to_source_px // 2
        guide = _receptive_field(self.to_guide_query) + guide_branch
        source = _receptive_field(self.to_source_query) + source_branch
        return ReceptiveField(
            guide_px=after + max(guide, to_source + guide),
            source_target_px=after + max(source, to_guide + source),
            source_px=1,
        )


class ResidualBlock(nn.Module):
    """x + conv(ReLU(conv(x)))."""

    def __init__(self, channels: int, kernel: int) -> None:
        """Keep the size: zero padding of half a kernel."""
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(channels, channels, kernel, padding=kernel // 2),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel, padding=kernel // 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        out: Tensor = x + self.convs(x)
        return out


def _scale_between(source: Tensor, guide: Tensor) -> Scale:
    (height, width), (guide_height, guide_width) = source.shape[-2:], guide.shape[-2:]
    if guide_height % height or guide_width % width:
        msg = f"a guide of {guide_height} x {guide_width} is not a whole multiple of a source of {height} x {width}"
        raise ValueError(msg)
    return Scale(guide_height // height, guide_width // width)


def _branch(bands: int, channels: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(bands, channels, kernel, padding=kernel // 2),
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, padding=kernel // 2),
        nn.ReLU(),
        ResidualBlock(channels, kernel),
        ResidualBlock(channels, kernel),
    )


def _receptive_field(layers: nn.Module) -> int:
    """Return the receptive field of a chain of convolutions beyond a pixel's own: the sum of the kernels' halves."""
    return sum(int(m.kernel_size[0]) // 2 for m in layers.modules() if isinstance(m, nn.Conv2d))
