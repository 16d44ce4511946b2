"""What the members of an ensemble predict from: a source and an aligned guide with its features, in common units."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import degrade, degrade_valid, fill_nodata
from mmsr_geo.network.guide_check import reduce_sample
from mmsr_geo.network.members.waves import Standard, Waves, WavesOfWindow, context
from mmsr_geo.network.samples import FARTHEST, Sample, Statistics
from mmsr_geo.network.sensor import PLAIN, Sensor
from mmsr_geo.network.variational.energy import Energy
from mmsr_geo.network.variational.gaussian import moved, moved_mask, moved_reach_px, radius_px, smoothed
from mmsr_geo.network.variational.guide_weights import Whitening
from mmsr_geo.network.variational.noise import softness
from mmsr_geo.network.variational.solve import Observation

Features = Literal["linear", "squares", "waves", "many waves", "context waves"]
"""Features of a guide: see `Layers.features` and `Layers.waves`."""
WINSORISED = 0.001
"""Fraction of a band's values at each end that is cut to the quantile."""
FREE_PX = 4
"""Source pixels around valid ones within which nodata has no value to keep."""
ENOUGH_VALID = 0.8
"""Least share of valid pixels in a part of which the noise is estimated; nodata is filled, and has none."""
WAVES: Mapping[Features, int] = {"waves": 120, "many waves": 480, "context waves": 480}
"""Number of random Fourier features of each kind."""
OF_CONTEXT: Features = "context waves"
"""The waves that are of a band's surroundings too."""
CONTEXT_LAYERS = 4
"""Layers of context, the band included, of each band: see `context`."""


def wave_inputs(name: Features, bands: int) -> int:
    """Return the number of layers that waves of this kind are of."""
    return bands * (CONTEXT_LAYERS if name == OF_CONTEXT else 1)


@dataclass(frozen=True, slots=True)
class Alignment:
    """How a guide is blurred and moved before it is compared with a source."""

    blur_px: float = 0.0
    """Standard deviation of a Gaussian, in target pixels."""
    shift_px: tuple[float, float] = (0.0, 0.0)
    """Rows and columns by which the guide is moved, in target pixels."""

    @property
    def reach_px(self) -> tuple[float, float]:
        """Target pixels around a pixel, down and across, that its aligned guide depends on."""
        down, across = (radius_px(self.blur_px) + moved_reach_px(shift) for shift in self.shift_px)
        return down, across

    @property
    def left_blur_px(self) -> tuple[float, float]:
        """Blur, down and across, that is left once the guide is moved: a move by parts of a pixel blurs it too."""
        down, across = (math.sqrt(max(0.0, self.blur_px**2 - (shift % 1) * (1 - shift % 1))) for shift in self.shift_px)
        return down, across

    @property
    def sentence(self) -> str:
        """What happens to the guide, in words."""
        down, across = self.shift_px
        done = [f"blurred by {self.blur_px:g} target pixels"] if self.blur_px else []
        done += [f"moved {down:g} rows down and {across:g} columns right"] if (down, across) != (0, 0) else []
        return ", ".join(done) or "as it is"

    def moved_mask(self, valid: Tensor) -> Tensor:
        """Return where the moved guide depends on valid pixels alone, (H, W) bool."""
        return moved_mask(valid, self.shift_px)

    def moved_bridges(self, bridged: Tensor) -> Tensor:
        """Return where the pixels of a guide's bridged gaps (H, W) lie once it is moved, to whole pixels."""
        down, across = map(round, self.shift_px)
        return ~moved_mask(~bridged, (float(down), float(across)))

    def applied(self, sample: Sample) -> Sample:
        """Return a sample with its guide moved and blurred, in float32."""
        if self == AS_IT_IS:
            return sample
        valid = self.moved_mask(sample.guide_valid)
        guide = torch.where(sample.guide_valid, sample.guide, torch.zeros_like(sample.guide)).double()
        guide = smoothed(moved(guide, self.shift_px), valid, self.blur_px).float()
        bridged = None if sample.bridged is None else self.moved_bridges(sample.bridged) & valid
        return replace(sample, guide=guide, guide_valid=valid, bridged=bridged)


AS_IT_IS = Alignment()
"""The alignment that leaves a guide as it is."""


@dataclass(frozen=True, slots=True, eq=False)
class GuideScaling:
    """How a guide in standard deviations becomes features and channels; a property of the whole raster.

    It has no units, so that it serves another date with the statistics of that date.
    """

    low: Tensor
    """(C,) float64: least value of each band; lower ones are cut."""
    high: Tensor
    """(C,) float64: largest value of each band."""
    squares: Standard
    """Of the squared bands."""
    waves: Mapping[Features, Waves]
    """Random Fourier features of the bands, by kind."""
    whitening: Whitening
    strong_whitening: Whitening
    """With the power 0.75."""

    @classmethod
    def of(
        cls,
        samples: Sequence[Sample],
        statistics: Statistics,
        generator: torch.Generator,
        kinds: Collection[Features] = (),
    ) -> Self:
        """Measure the scaling on samples of a pair.

        Args:
            samples: Parts of the pair.
            statistics: Centre and spread of source and guide.
            generator: Draws the waves.
            kinds: Kinds of waves that are needed.
        """
        masks = [sample.guide_valid for sample in samples]
        guides = [statistics.normalise_guide(sample.guide, mask) for sample, mask in zip(samples, masks, strict=True)]
        columns = torch.cat([guide[:, mask] for guide, mask in zip(guides, masks, strict=True)], dim=1).double()
        ends = np.quantile(columns.cpu().numpy(), (WINSORISED, 1 - WINSORISED), axis=1)
        low, high = (torch.from_numpy(end).to(columns.device) for end in ends)
        cut = columns.clamp(low[:, None], high[:, None])
        waves = {}
        for name, count in WAVES.items():
            if name in kinds:
                of_kind = cut
                if name == OF_CONTEXT:
                    parts = (
                        context(guide.double().clamp(low[:, None, None], high[:, None, None]) * mask, mask)[:, mask]
                        for guide, mask in zip(guides, masks, strict=True)
                    )
                    of_kind = torch.cat(list(parts), dim=1)
                waves[name] = Waves.of(of_kind, count, generator)
        return cls(
            low,
            high,
            Standard.of(cut.square()),
            waves,
            Whitening.of(guides, masks),
            Whitening.of(guides, masks, power=0.75),
        )

    def cut(self, guide: Tensor) -> Tensor:
        """Return a guide (C, H, W) in standard deviations, cut at the ends of each band."""
        return guide.double().clamp(self.low[:, None, None], self.high[:, None, None])

    def layers(  # noqa: PLR0913  (a sample, its units, and how it is seen)
        self,
        sample: Sample,
        statistics: Statistics,
        scale: Scale,
        alignment: Alignment,
        features: Collection[Features],
        sensor: Sensor = PLAIN,
    ) -> Layers:
        """Return the layers of a sample.

        Args:
            sample: Source and guide in their own units.
            statistics: Centre and spread of source and guide.
            scale: Target pixels per source pixel.
            alignment: How the guide is moved and blurred.
            features: Features that the members need.
            sensor: How the source was measured.
        """
        valid = alignment.moved_mask(sample.guide_valid)
        guide = moved(statistics.normalise_guide(sample.guide, sample.guide_valid).double(), alignment.shift_px)
        sharp = self.cut(guide) * valid
        made: dict[Features, Tensor] = {"linear": sharp.clone()}
        if "squares" in features:
            made["squares"] = self.squares(sharp.square(), valid)
        for group in made.values():
            group.copy_(smoothed(group, valid, alignment.blur_px))
        of_windows: dict[Features, WavesOfWindow] = {}
        for name in WAVES:
            if name in features:
                inputs = context(sharp, valid) if name == OF_CONTEXT else sharp
                of_windows[name] = WavesOfWindow.of(
                    self.waves[name], inputs, valid, (alignment.blur_px, alignment.blur_px)
                )
        return Layers(
            scale,
            filled_source(sample, statistics),
            sample.source_valid,
            guide,
            valid,
            made,
            of_windows,
            alignment.blur_px,
            sensor.blur_px(scale),
            sensor.noise,
            sensor.softness,
            None if sample.bridged is None else alignment.moved_bridges(sample.bridged) & valid,
        )


def _averaged(source: Tensor, valid: Tensor, step: Scale) -> tuple[Tensor, Tensor]:
    """Return a source averaged by a step, its nodata filled, and where all of its pixels are valid."""
    means, known = reduce_sample(source, valid, step)
    return fill_nodata(torch.where(known, means, torch.zeros_like(means)), known, 2 * FREE_PX), known


def coarser_step(scale: Scale) -> Scale:
    """Return by what a source is averaged to compare members: 2, and 1 along a side that is not refined."""
    return Scale(min(2, scale.y), min(2, scale.x))


def filled_source(sample: Sample, statistics: Statistics) -> Tensor:
    """Return a sample's source (h, w) float64 in standard deviations, cut at FARTHEST, nodata filled."""
    source = statistics.centred_source(sample.source).clamp(-FARTHEST, FARTHEST)
    source = torch.where(sample.source_valid, source, torch.zeros_like(source))
    return fill_nodata(source, sample.source_valid, 2 * FREE_PX)


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """A window of a pair, in common units."""

    scale: Scale
    source: Tensor
    """(h, w) float64 in its standard deviations, nodata filled."""
    source_valid: Tensor
    """(h, w) bool."""
    guide: Tensor
    """(C, H, W) float64 in standard deviations, moved."""
    valid: Tensor
    """(H, W) bool: where the guide is valid."""
    features: Mapping[Features, Tensor]
    """(K, H, W) float64 each, moved and blurred: linear, the bands in standard deviations; squares, of the bands,
    blurred after squaring."""
    waves: Mapping[Features, WavesOfWindow]
    """Random Fourier features of the moved bands, each blurred; context waves are of a band's surroundings too."""
    blur_px: float = 0.0
    """Blur of the features, in target pixels."""
    psf_px: tuple[float, float] = (0.0, 0.0)
    """Blur of the sensor before the mean over a source pixel, down and across, in target pixels."""
    noise: float = 0.0
    """Standard deviation of the source's noise."""
    softness: float = 0.0
    """How softly a target keeps to the source: see `Observation.softness`."""
    bridged: Tensor | None = None
    """(H, W) bool: where the guide depends on pixels that were filled from those around them; None: nowhere."""

    @property
    def observation(self) -> Observation:
        """What the source shows of a target."""
        if self.psf_px == (0.0, 0.0) and self.softness == 0:
            return Observation(self.scale, self.held)
        return Observation(self.scale, torch.ones_like(self.source_valid), self.psf_px, self.softness)

    def softness_of(self, residuals: Sequence[Tensor], energies: Sequence[Energy] | None = None) -> float:
        """Return how softly parts of a raster with this noise are kept to.

        Args:
            residuals: (h, w) each.
            energies: Their energies; None: those of the interpolation.
        """
        if energies is None:
            shapes = [(part.shape[0] * self.scale.y, part.shape[1] * self.scale.x) for part in residuals]
            energies = [Energy.smooth(shape) for shape in shapes]
        return softness(residuals, energies, self.scale, self.psf_px, self.noise)

    def shown(self, target: Tensor) -> Tensor:
        """Return what a source would show of a target (H, W), without noise; it may end before the layers do."""
        if self.psf_px == (0.0, 0.0):
            return degrade(target, self.scale)
        rows, columns = target.shape[0] // self.scale.y, target.shape[1] // self.scale.x
        held = torch.ones(rows, columns, dtype=torch.bool, device=target.device)
        return Observation(self.scale, held, self.psf_px).seen(target)

    def seen(self, layers: Tensor) -> Tensor:
        """Return what a source shows of layers (K, H, W) where the guide is valid, without noise: (K, h, w)."""
        return degrade_valid(smoothed(layers, self.valid, self.psf_px), self.valid, self.scale)[0]

    @property
    def held(self) -> Tensor:
        """(h, w) bool: source pixels whose value a target keeps: valid ones, and nodata beyond FREE_PX of them.

        Nodata near valid pixels is free. Farther away it is held at what it is filled with: a wide gap that is free
        takes hundreds of steps, and does not matter to any valid pixel.
        """
        near = F.max_pool2d(self.source_valid.double()[None, None], 2 * FREE_PX + 1, stride=1, padding=FREE_PX)[0, 0]
        return self.source_valid | (near == 0)

    @property
    def known(self) -> Tensor:
        """(h, w) bool: source pixels that are valid and half covered by a valid guide."""
        _, share = degrade_valid(self.valid.double(), self.valid, self.scale)
        return self.source_valid & (share > 0.5)

    def coarser(self) -> Layers | None:
        """Return the layers with the source averaged by `coarser_step`, the guide as it is; None where that is too far.

        That is where less than two source pixels would be left along a side.
        """
        step = coarser_step(self.scale)
        down, across = step.y * self.scale.y, step.x * self.scale.x
        sides = (side // factor for side, factor in zip(self.source.shape, (step.y, step.x), strict=True))
        if min(sides) < 2:
            return None
        source, valid = _averaged(self.source, self.source_valid, step)
        rows, columns = slice(0, len(source) * down), slice(0, source.shape[1] * across)
        return replace(
            self,
            scale=Scale(down, across),
            source=source,
            source_valid=valid,
            guide=self.guide[:, rows, columns],
            valid=self.valid[rows, columns],
            features={name: layers[:, rows, columns] for name, layers in self.features.items()},
            waves={name: waves.cut(rows.stop, columns.stop) for name, waves in self.waves.items()},
            bridged=None if self.bridged is None else self.bridged[rows, columns],
            noise=self.noise / math.sqrt(step.area),
        )

    def reduced(self, step: Scale) -> Layers:
        """Return the layers at reduced resolution: the guide as the source shows it, and the source by a step.

        The source is blurred before, as the sensor blurs the target, in its own pixels.
        """
        psf = self.psf_px[0] / self.scale.y * step.y, self.psf_px[1] / self.scale.x * step.x
        source, valid = _averaged(smoothed(self.source, self.source_valid, psf), self.known, step)
        rows, columns = slice(0, len(source) * step.y), slice(0, source.shape[1] * step.x)

        def averaged(layers: Tensor) -> Tensor:
            return self.seen(layers)[:, rows, columns]

        return Layers(
            step,
            source,
            valid,
            averaged(self.guide),
            self.known[rows, columns],
            {name: averaged(layers) for name, layers in self.features.items()},
            {
                name: waves.cut(rows.stop * self.scale.y, columns.stop * self.scale.x).reduced(self.scale, self.psf_px)
                for name, waves in self.waves.items()
            },
            0.0,
            psf,
            self.noise / math.sqrt(step.area),
        )


def sources_for_noise(parts: Sequence[Layers]) -> list[Tensor]:
    """Return the sources (h, w) of the parts that are valid enough to show their noise; of all where none is."""
    enough = [part.source for part in parts if float(part.source_valid.double().mean()) >= ENOUGH_VALID]
    return enough or [part.source for part in parts]


def coarser_layers(parts: Sequence[Layers]) -> list[Layers | None]:
    """Return parts of a raster with their sources averaged, None where one is too small: see `Layers.coarser`."""
    coarser = [part.coarser() for part in parts]
    soft = iter(with_softness([part for part in coarser if part is not None]))
    return [None if part is None else next(soft) for part in coarser]


def with_softness(parts: Sequence[Layers]) -> list[Layers]:
    """Return parts of a raster with the softness that the interpolation of a source with their noise has."""
    if not parts or not parts[0].noise:
        return list(parts)
    found = parts[0].softness_of(sources_for_noise(parts))
    return [replace(part, softness=found) for part in parts]
