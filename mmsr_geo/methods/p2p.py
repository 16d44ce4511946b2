"""PixTransform (P2P): a perceptron on a pixel's colour and position, fitted to the block means of one raster."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor, nn

from mmsr_geo.engine.model import Predictor, UncheckedModel
from mmsr_geo.engine.sampling import FitJob
from mmsr_geo.errors import NothingInCommonError, OptionError
from mmsr_geo.geometry import Halo, Scale
from mmsr_geo.network.degradation import degrade
from mmsr_geo.network.device import torch_threads
from mmsr_geo.network.samples import NOTHING_IN_COMMON, Sample, Statistics

HIDDEN, WIDE = 32, 2048
"""Channels inside the branches and the head, and where the branches meet."""
LR = 0.001
BATCH = 32
"""Source pixels per step, fewer at the end of a pass."""
STEPS = 32768
POSITION_DECAY, COLOUR_DECAY, HEAD_DECAY = 1e-4, 1e-3, 1e-3
REPORT_EVERY = 16
"""Steps between two progress reports: a step takes about 7 ms at scale 4 on one thread."""
CHUNK_PX = 4096
"""Target pixels predicted at once: their wide layer takes 32 MiB."""


@dataclass(frozen=True)
class P2P:
    """PixTransform (De Lutio, D'Aronco, Wegner and Schindler, ICCV 2019): fitted to the pair alone, pixel by pixel."""

    steps: int = STEPS
    """Steps of the fit, as published."""

    reads_samples: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Raise OptionError for a fit without steps."""
        if self.steps < 1:
            raise OptionError(f"steps must be 1 or more, not {self.steps}")

    def receptive_field(self, scale: Scale) -> Halo:  # noqa: ARG002  (other methods' depends on it)
        """Return 0: a prediction depends on the pixel's own colour and position alone."""
        return Halo(0, 0)

    def pixels_per_step(self, scale: Scale, source_px: int) -> int:
        """Return the target pixels in a step of a fit to a raster of `source_px` source pixels."""
        return min(BATCH, source_px) * scale.area

    def fit(self, samples: Sequence[Sample], job: FitJob) -> FittedP2P:
        """Fit to block means: Adam on the L1 distance, in shuffled passes over the source pixels of all samples.

        Raises:
            NothingInCommonError: Source and guide have no valid pixel in common.
        """
        statistics = Statistics.of(samples)
        # Generators of its own: torch's global one is shared with whatever else runs in the process.
        weights, order = (torch.Generator().manual_seed(job.seed) for _ in range(2))
        with torch_threads(job.threads):
            blocks = _Blocks.of(samples, statistics, job).to(job.device)
            with torch.device("meta"):
                network = PixelPerceptron(len(statistics.guide_centre))
            network = network.to_empty(device="cpu").draw_weights(weights).to(job.device)
            optimiser = torch.optim.Adam(network.decayed_groups(), lr=LR, fused=True)
            for step, batch in zip(range(self.steps), _batches(len(blocks.source), order), strict=False):
                if step % REPORT_EVERY == 0:
                    job.progress("fit", step, self.steps)
                loss = blocks.loss(network, batch.to(job.device))
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
        job.progress("fit", self.steps, self.steps)
        pixel_steps = self.steps * self.pixels_per_step(job.scale, len(blocks.source))
        fitted = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
        return FittedP2P(job.scale, job.shape_yx, statistics, fitted, pixel_steps)


@dataclass(frozen=True, slots=True, eq=False)
class FittedP2P(UncheckedModel):
    """Perceptron fitted to one raster."""

    scale: Scale
    shape_yx: tuple[int, int]
    """The whole raster in source pixels, which positions refer to."""
    statistics: Statistics
    weights: dict[str, Tensor] = field(repr=False)
    pixel_steps: int = 0
    """Target pixels times steps of the fit."""
    receptive_field: ClassVar[Halo] = Halo(0, 0)
    uses_guide: ClassVar[bool] = True

    @property
    def digest(self) -> str:
        """Hash of everything that decides a prediction: scale, the raster's shape, statistics and weights."""
        digest = hashlib.sha256(repr((self.scale, self.shape_yx, self.statistics)).encode())
        for name in sorted(self.weights):
            digest.update(name.encode())
            digest.update(self.weights[name].numpy().tobytes())
        return digest.hexdigest()[:16]

    def network(self, device: torch.device) -> PixelPerceptron:
        """Build the module with these weights, ready to predict."""
        with torch.device("meta"):
            network = PixelPerceptron(len(self.statistics.guide_centre))
        network.load_state_dict(self.weights, assign=True)
        return network.to(device).requires_grad_(requires_grad=False)

    def predictor(self, device: torch.device) -> Predictor:
        """Return the function that predicts windows: (H, W) float64, without meaning where the guide has no data."""
        return partial(_predict, self, self.network(device))


class _Branch(nn.Module):
    """One of the two branches: narrow, then wide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(channels, HIDDEN)
        self.wide = nn.Linear(HIDDEN, WIDE)


class PixelPerceptron(nn.Module):
    """Network of the paper, with its 1x1 convolutions as matrix products: (..., 2 + C) position and colour → (...)."""

    def __init__(self, guide_bands: int) -> None:
        """Stack the layers."""
        super().__init__()
        self.position, self.colour = _Branch(2), _Branch(guide_bands)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(WIDE, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Predict pixels from their position and colour, in the network's units."""
        position, colour = self.position, self.colour
        hidden = torch.cat([position.narrow(pixels[..., :2]), colour.narrow(pixels[..., 2:])], dim=-1).relu()
        # The sum of the wide layers as one product: a step is a fifth faster than with two.
        weight = torch.cat([position.wide.weight, colour.wide.weight], dim=1)
        value: Tensor = self.head(F.linear(hidden, weight, position.wide.bias + colour.wide.bias))[..., 0]
        return value

    def draw_weights(self, generator: torch.Generator) -> Self:
        """Draw random weights as torch does for its layers (uniform in ±1 / sqrt(fan-in)), with a given generator.

        Returns itself.
        """
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                limit = 1 / math.sqrt(layer.in_features)
                nn.init.uniform_(layer.weight, -limit, limit, generator=generator)
                nn.init.uniform_(layer.bias, -limit, limit, generator=generator)
        return self

    def decayed_groups(self) -> list[dict[str, Any]]:
        """Return the parameter groups of an optimiser, each with its weight decay."""
        parts = ((self.position, POSITION_DECAY), (self.colour, COLOUR_DECAY), (self.head, HEAD_DECAY))
        return [{"params": list(part.parameters()), "weight_decay": decay} for part, decay in parts]


@dataclass(frozen=True, slots=True, eq=False)
class _Blocks:
    """Source pixels to fit to, each with the target pixels whose mean it is."""

    source: Tensor
    """(n,) float32, in the network's units."""
    pixels: Tensor
    """(n, s * s, 2 + C): position and colour of the target pixels."""
    weights: Tensor
    """(n, s * s): weight of each target pixel in the mean; 0 where the guide has no data."""

    @classmethod
    def of(cls, samples: Sequence[Sample], statistics: Statistics, job: FitJob) -> Self:
        """Take the valid source pixels with a complete guide; if there is none, those with more than half of it."""
        missing = [degrade((~sample.guide_valid).double(), job.scale) for sample in samples]
        masks = [sample.source_valid & (share == 0) for sample, share in zip(samples, missing, strict=True)]
        if not any(bool(mask.any()) for mask in masks):
            masks = [sample.source_valid & (share < 0.5) for sample, share in zip(samples, missing, strict=True)]
        if not any(bool(mask.any()) for mask in masks):
            raise NothingInCommonError(NOTHING_IN_COMMON)
        sources, pixels, valid = [], [], []
        for sample, mask in zip(samples, masks, strict=True):
            sources.append(statistics.centred_source(sample.source[mask]).float())
            pixels.append(_blocks(_pixels(sample, statistics, job.scale, job.shape_yx), mask, job.scale))
            valid.append(_blocks(sample.guide_valid[..., None], mask, job.scale)[..., 0].float())
        counted = torch.cat(valid)
        return cls(torch.cat(sources), torch.cat(pixels), counted / counted.sum(dim=1, keepdim=True))

    def to(self, device: torch.device) -> Self:
        """Return the same blocks on a device."""
        return type(self)(self.source.to(device), self.pixels.to(device), self.weights.to(device))

    def loss(self, network: PixelPerceptron, batch: Tensor) -> Tensor:
        """Return the mean L1 distance between a batch of source pixels, given by index, and their predicted means."""
        means = (network(self.pixels[batch]) * self.weights[batch]).sum(dim=1)
        return F.l1_loss(means, self.source[batch])


def _batches(count: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield batches of indexes below `count` for ever: one pass after the other, each shuffled."""
    while True:
        yield from torch.randperm(count, generator=generator).split(BATCH)


def _pixels(sample: Sample, statistics: Statistics, scale: Scale, shape_yx: tuple[int, int]) -> Tensor:
    """Return the perceptron's input for each target pixel of a sample: (H, W, 2 + C) float32.

    The position is the pixel's centre in the whole raster, -0.5 to 0.5 down and across; the colour is 0 where the guide
    has no data.
    """
    colour = statistics.normalise_guide(sample.guide, sample.guide_valid)
    height, width = sample.guide_valid.shape
    down, across = (
        (torch.arange(start * factor, start * factor + length, dtype=torch.float64) + 0.5) / (whole * factor) - 0.5
        for start, factor, length, whole in (
            (sample.row, scale.y, height, shape_yx[0]),
            (sample.col, scale.x, width, shape_yx[1]),
        )
    )
    position = torch.stack(torch.meshgrid(down, across, indexing="ij")).to(colour)
    return torch.cat([position, colour]).permute(1, 2, 0)


def _blocks(target: Tensor, mask: Tensor, scale: Scale) -> Tensor:
    """Gather the target pixels of the masked source pixels: (H, W, K) and (h, w) bool → (n, s * s, K)."""
    height, width = mask.shape
    blocks = target.reshape(height, scale.y, width, scale.x, -1).transpose(1, 2)
    return blocks[mask].flatten(1, 2)


def _predict(model: FittedP2P, network: PixelPerceptron, sample: Sample) -> Tensor:
    """Predict a window, (H, W) float64 in the source's units, in chunks of CHUNK_PX pixels."""
    statistics = model.statistics
    pixels = _pixels(sample, statistics, model.scale, model.shape_yx)
    values = torch.cat([network(chunk) for chunk in pixels.flatten(0, 1).split(CHUNK_PX)])
    return values.reshape(pixels.shape[:2]).double() * statistics.source_spread + statistics.source_centre
