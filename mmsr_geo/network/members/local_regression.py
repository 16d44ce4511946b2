"""Linear regressions of a source on a guide's block means, of the whole raster or of each pixel's surroundings.

They are regressions of what differs from the means around each pixel: neither the level of the source nor that of the
guide matters, and the coefficients are those of detail. Tensors only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import bicubic
from mmsr_geo.network.variational.gaussian import radius_px, smoothed

TAIL = 2.0
"""Standard deviations at which the Gaussians of surroundings are cut."""
FEATURES_AT_ONCE = 16
"""Number of features whose means around each pixel are computed at once."""
COLUMNS_AT_ONCE = 2**13
"""Number of pixels whose products are summed at once, in float64."""


@dataclass(frozen=True, slots=True, eq=False)
class CoarsePart:
    """A part of a pair on the source grid."""

    source: Tensor
    """(h, w) float64, nodata filled."""
    known: Tensor
    """(h, w) bool: where source and features are valid."""
    means: Tensor
    """(K, h, w): block means of the features, float32 where they are hundreds, else float64."""


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """A regression of all of a raster."""

    covariance: Tensor
    """(K, K): that of the features, with the ridge penalty; (0, 0) where no local regression is drawn to it."""
    coefficients: Tensor
    """(K,)."""


@dataclass(frozen=True, slots=True)
class LocalRegression:
    """How a source is regressed on features of its guide."""

    mean_px: float = 1.0
    """Standard deviation, in source pixels, of the means that are taken off source and features."""
    ridge: float = 0.05
    """Ridge penalty, in the mean variance of the features."""
    local_px: float = 0.0
    """Standard deviation, in source pixels, of the surroundings of a local regression; 0: one regression of all."""
    shrink: float = 0.3
    """Weight with which a local regression is drawn to that of all, in the features' variance over all."""

    @property
    def support_px(self) -> int:
        """Source pixels around its own that a prediction's coefficients depend on."""
        return radius_px(self.mean_px, TAIL) + radius_px(self.local_px, TAIL)

    def pool(self, parts: Iterable[CoarsePart]) -> Pooled:
        """Return the regression of all parts together, of which there is at least one."""
        covariance, products, count = torch.zeros(()), torch.zeros(()), 0
        for part in parts:
            rest = (part.source - smoothed(part.source, part.known, self.mean_px, TAIL))[part.known]
            deviations = self._known_deviations(part)
            for start in range(0, len(rest), COLUMNS_AT_ONCE):
                columns = slice(start, start + COLUMNS_AT_ONCE)
                block = deviations[:, columns].double()
                covariance = covariance.to(block) + block @ block.T
                products = products.to(block) + block @ rest[columns]
            count += len(rest)
        if not count:
            size, like = len(part.means), part.source
            covariance, products = like.new_zeros(size, size), like.new_zeros(size)
        covariance, products = covariance / max(count, 1), products / max(count, 1)
        penalty = self.ridge * covariance.diagonal().mean() + torch.finfo(covariance.dtype).tiny
        covariance = covariance + penalty * torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
        coefficients = torch.linalg.solve(covariance, products)
        return Pooled(covariance if self.local_px else covariance.new_empty(0, 0), coefficients)

    def fit_coarse(self, part: CoarsePart, pooled: Pooled) -> Tensor:
        """Return the regression's prediction of a source (h, w) on its own grid."""
        about, level, weights = self._fields(part, pooled)
        return (weights * (part.means - about)).sum(dim=0) + level

    def predict(
        self, part: CoarsePart, pooled: Pooled, features: Sequence[Tensor], valid: Tensor, scale: Scale
    ) -> Tensor:
        """Return the prediction of the target (H, W), without the detail that the regression does not explain.

        Args:
            part: The window on the source grid.
            pooled: The regression of the raster.
            features: (H, W) each.
            valid: (H, W) bool: where they are valid; elsewhere there is no detail.
            scale: Target pixels per source pixel.
        """
        about, level, weights = self._fields(part, pooled)
        target = bicubic(level, scale)
        for feature, mean, weight in zip(features, about, weights, strict=True):
            factor = bicubic(weight, scale) if self.local_px else weight[0, 0]
            target = target + factor * (feature - bicubic(mean, scale)) * valid
        return target

    def _known_deviations(self, part: CoarsePart) -> Tensor:
        """Return what features differ by from their means around each pixel, of known pixels: (K, n) in their dtype.

        They are computed some at a time: hundreds of features of a large part are the memory of a fit.
        """
        found = part.means.new_empty(len(part.means), int(part.known.sum()))
        for start in range(0, len(found), FEATURES_AT_ONCE):
            some = part.means[start : start + FEATURES_AT_ONCE].double()
            deviations = some - smoothed(some, part.known, self.mean_px, TAIL)
            found[start : start + FEATURES_AT_ONCE] = deviations[:, part.known]
        return found

    def _deviations(self, part: CoarsePart) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the means around each pixel of features and source, and what differs from them, 0 where not known."""
        about, level = (smoothed(layer, part.known, self.mean_px, TAIL) for layer in (part.means, part.source))
        return about, level, (part.means - about) * part.known, (part.source - level) * part.known

    def _fields(self, part: CoarsePart, pooled: Pooled) -> tuple[Tensor, Tensor, Tensor]:
        """Return the means around each pixel of the features (K, h, w) and the source (h, w), and the coefficients."""
        about, level, deviations, rest = self._deviations(part)
        if not self.local_px:
            return about, level, pooled.coefficients[:, None, None].expand_as(about)
        count = len(deviations)
        first, second = torch.tril_indices(count, count)
        products = torch.cat([deviations[first] * deviations[second], deviations * rest])
        around = smoothed(products, part.known, self.local_px, TAIL).permute(1, 2, 0)
        matrices = around.new_empty(*rest.shape, count, count)
        matrices[..., first, second] = matrices[..., second, first] = around[..., : len(first)]
        prior = self.shrink * pooled.covariance
        right = around[..., len(first) :] + prior @ pooled.coefficients
        return about, level, torch.linalg.solve(matrices + prior, right[..., None])[..., 0].permute(2, 0, 1)
