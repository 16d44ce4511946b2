"""A window of a pair as members see it: what several of them need is computed once; tensors only."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from mmsr_geo.network.degradation import degrade, fill_nodata
from mmsr_geo.network.guide_gaps import faded, feathered, given_to_bridged
from mmsr_geo.network.members.layers import FREE_PX, WAVES, Features, GuideScaling, Layers
from mmsr_geo.network.members.local_regression import CoarsePart
from mmsr_geo.network.variational.energy import Energy
from mmsr_geo.network.variational.gaussian import smoothed
from mmsr_geo.network.variational.guide_weights import Contrast, Whitening, guided_energy
from mmsr_geo.network.variational.solve import Observation, solve

GUIDE_BLUR_PX = 0.4
"""Blur of the guide before its differences become weights, in target pixels."""
LARGEST_WEIGHTS_BLUR_PX = 1.6
"""Largest blur of the guide, as it was aligned, before its differences become weights."""

Spread = Literal["curvature", "guided"]
"""How what a regression does not explain is spread over the target: by the smoothest field, or along the guide."""


class WindowInputs:
    """A window of a pair, with what several members need of it, computed once."""

    def __init__(self, layers: Layers, scaling: GuideScaling) -> None:
        """Take the layers of a window, and the constants of its pair."""
        self.layers, self._scaling = layers, scaling
        self.observation = layers.observation
        self._parts: dict[tuple[Features, ...], CoarsePart] = {}
        self.firsts: dict[str, tuple[Energy, Tensor]] = {}
        """By member, what its fit leaves to its prediction: an energy and its solution."""

    @cached_property
    def curvature_energy(self) -> Energy:
        """The energy of the interpolation."""
        return Energy.smooth(self.observation.shape_yx, self.layers.source.device)

    @cached_property
    def guided_curvature_energy(self) -> Energy:
        """The energy whose weights follow the aligned guide."""
        blur = min(max(self.layers.blur_px, GUIDE_BLUR_PX), LARGEST_WEIGHTS_BLUR_PX)
        return guided_energy(self.channels(blur_px=blur), self.layers.valid, slope=0.3, contrast=Contrast(0.01))

    def channels(self, *, blur_px: float = GUIDE_BLUR_PX, strong: bool = False) -> Tensor:
        """Return the guide's whitened channels (C, H, W) float32, blurred."""
        whitening: Whitening = self._scaling.strong_whitening if strong else self._scaling.whitening
        return smoothed(whitening(self.layers.guide).float(), self.layers.valid, blur_px)

    def part(self, features: tuple[Features, ...]) -> CoarsePart:
        """Return source and features on the source grid; those of waves are many, and not kept."""
        if features in self._parts:
            return self._parts[features]
        layers, many = self.layers, bool(set(features) & set(WAVES))
        counts = [WAVES.get(name, len(layers.features["linear"])) for name in features]
        dtype = torch.float32 if many else torch.float64
        means, start = layers.source.new_empty(sum(counts), *layers.source.shape, dtype=dtype), 0
        for name, count in zip(features, counts, strict=True):
            of_group = means[start : start + count]
            if name in WAVES:
                layers.waves[name].means(layers.scale, of_group, layers.psf_px)
            else:
                of_group.copy_(layers.seen(layers.features[name]))
            start += count
        part = CoarsePart(layers.source, layers.known, means)
        if not many:
            self._parts[features] = part
        return part

    def features(self, features: tuple[Features, ...]) -> list[Tensor]:
        """Return features other than waves on the target grid, (H, W) each."""
        return [layer for name in features for layer in self.layers.features[name]]

    def weighted(self, features: tuple[Features, ...], coefficients: Tensor) -> Tensor:
        """Return the sum of features times their coefficients, (H, W) float64."""
        layers, total, start = self.layers, torch.zeros((), dtype=torch.float64), 0
        for name in features:
            group = layers.waves[name] if name in WAVES else layers.features[name]
            count = WAVES[name] if name in WAVES else len(layers.features[name])
            of_group = coefficients[start : start + count]
            summed = torch.tensordot(of_group, group, dims=1) if isinstance(group, Tensor) else group.weighted(of_group)
            total, start = total + summed, start + count
        return total

    def spread(self, residual: Tensor, how: Spread, softness: float | None = None) -> Tensor:
        """Return the field of least energy that the source shows as a residual (h, w).

        Args:
            residual: What is spread.
            how: The energy.
            softness: How softly it keeps to the residual; None: as the interpolation keeps to the source.
        """
        return solve(self.energy(how), self.softer(softness), residual)

    def energy(self, how: Spread) -> Energy:
        """Return the energy by which residuals are spread."""
        return self.curvature_energy if how == "curvature" else self.guided_curvature_energy

    def softer(self, softness: float | None) -> Observation:
        """Return what the source shows of a target, kept to with a softness; None: that of the interpolation."""
        if self.observation.exact or softness is None:
            return self.observation
        return replace(self.observation, softness=softness)

    @cached_property
    def interpolation(self) -> Tensor:
        """The smoothest target, (H, W)."""
        return self.spread(self.layers.source, "curvature")

    @cached_property
    def block_means(self) -> Tensor:
        """The means of the target's blocks, (h, w): the source, or where that is blurred those of the interpolation."""
        return self.layers.source if self.observation.exact else degrade(self.interpolation, self.layers.scale)

    def consistent(self, prediction: Tensor, how: Spread, softness: float | None = None) -> Tensor:
        """Return a prediction of which the source is seen: what is missing is spread by the least energy.

        A prediction from features fades into the interpolation beside gaps in the guide, where it has none.

        Args:
            prediction: (H, W).
            how: The energy.
            softness: How softly the target keeps to the source: see `spread`.
        """
        if not bool(self.layers.valid.all()):
            prediction = faded(prediction, self.interpolation, feathered(self.layers.valid))
        if self.observation.exact and self.layers.bridged is not None:
            missing, scale = self.missing(prediction), self.layers.scale
            prediction = given_to_bridged(prediction, missing, self.layers.bridged, scale)
        return prediction + self.spread(self.missing(prediction), how, softness)

    def missing(self, prediction: Tensor) -> Tensor:
        """Return what the source has beyond what it would show of a prediction, (h, w)."""
        residual, valid = self.layers.source - self.observation.seen(prediction), self.layers.source_valid
        if self.observation.exact:
            return residual.masked_fill(~valid, 0.0)
        return fill_nodata(residual.masked_fill(~valid, 0.0), valid, 2 * FREE_PX)
