"""Ridge regression of the detail that the bicubic interpolation misses, on random Fourier features; tensors only.

A kernel ridge regression by random Fourier features (Rahimi and Recht 2007). Each target pixel is a row. It is solved
at two scales at once: at reduced resolution, where the source is the reference, pixel by pixel; and at the true scale,
where the block means of the detail are known. The solution has a closed form: no steps, no learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import chain
from typing import Self

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor

from mmsr_geo.geometry import Halo, Scale, Window
from mmsr_geo.network.degradation import BICUBIC_SUPPORT_PX, FILL_PX, bicubic, degrade, degrade_valid, fill_nodata
from mmsr_geo.network.guide_features import slope

N_RANDOM_FEATURES = 800
"""Number of random Fourier features."""
FREQUENCY_SCALE = 0.6
"""Standard deviation of the random frequencies, before division by the square root of the number of predictors."""
RIDGE = 2000.0
"""Penalty on the square of a coefficient, in rows at reduced resolution."""
TRUE_SCALE_ROWS = 10_000.0
"""Number of rows at reduced resolution that a source pixel at the true scale counts for: the detail of its pixels
nearly cancels in their mean, so that little of it is left there."""
SMOOTHINGS = (0.25, 0.5, 1.0)
"""Standard deviations, in source pixels, of the Gaussian means that a guide's band is compared with."""
N_PREDICTORS_PER_BAND = len(SMOOTHINGS) + 4
"""Number of predictors derived from one guide band."""
N_SOURCE_PREDICTORS = 3
"""Number of predictors derived from the source."""
TAIL = 3.0
"""Standard deviations from its centre at which a Gaussian is cut."""
FARTHEST = 5.0
"""Standard deviations from the mean at which a predictor is cut before the random features are taken of it."""
BLOCK_SIDE_PX = 320
"""Side, in target pixels, of the blocks whose predictors are computed at once."""
COLUMNS_AT_ONCE = 2**12
"""Number of pixels whose random features are held at once: glibc returns blocks of more than 32 MB each time."""


def pixel_predictors(guide: Tensor, valid: Tensor, source: Tensor, scale: Scale) -> Tensor:
    """Return the predictors of each target pixel.

    Of each guide band: its value, its differences from its means around the pixel and from the bicubic interpolation of
    its block means, and its slopes. Of the source: its bicubic interpolation and the slopes of that. Pixels outside the
    image count as nodata.

    Args:
        guide: (C, H, W), of standard deviation 1, 0 where invalid.
        valid: (H, W) bool.
        source: (h, w), nodata filled.
        scale: Target pixels per source pixel.

    Returns:
        (7 C + 3, H, W) float64; the guide's predictors are 0 where it is invalid.
    """
    bands, weights = guide.double(), valid.double()
    means, share = degrade_valid(bands, valid, scale)
    means = torch.stack([fill_nodata(band, share > 0) for band in means])
    interpolated, everywhere = bicubic(source.double(), scale)[None], torch.ones_like(weights)
    of_guide = [
        bands,
        *(bands - _mean_around(bands, weights, deviation, scale) for deviation in SMOOTHINGS),
        bands - bicubic(means, scale),
        *(slope(bands, weights, dim) for dim in (-2, -1)),
    ]
    slopes = (slope(interpolated, everywhere, dim) for dim in (-2, -1))
    return torch.cat([torch.cat(of_guide) * weights, interpolated, *slopes])


def n_predictors(bands: int) -> int:
    """Return the number of predictors that `pixel_predictors` gives for this number of guide bands."""
    return N_PREDICTORS_PER_BAND * bands + N_SOURCE_PREDICTORS


def pixel_predictors_by_block(
    guide: Tensor, valid: Tensor, source: Tensor, scale: Scale, every: int = 1
) -> Iterator[tuple[Window, Tensor]]:
    """Yield blocks of the source grid, each with the `pixel_predictors` of its target pixels.

    A block has at most BLOCK_SIDE_PX target pixels a side: the predictors of a whole raster would take gigabytes. One
    block in `every` is used.
    """
    receptive_field, whole = regression_receptive_field(scale), Window.whole((source.shape[0], source.shape[1]))
    for part in blocks_of((whole.height, whole.width), scale, every):
        read = part.padded(receptive_field, whole)
        rows, columns = read.refined(scale).slices
        predictors = pixel_predictors(guide[:, rows, columns], valid[rows, columns], source[read.slices], scale)
        yield part, predictors[:, *part.relative_to(read).refined(scale).slices]


def blocks_of(shape_yx: tuple[int, int], scale: Scale, every: int = 1) -> list[Window]:
    """Return the blocks of a source grid whose predictors are computed one after another; one in `every`."""
    return list(Window.whole(shape_yx).parts(max(1, BLOCK_SIDE_PX // max(scale.y, scale.x)))[::every])


def regression_receptive_field(scale: Scale) -> Halo:
    """Return the receptive field of the regression, in source pixels beyond a target pixel's own."""
    interpolated = BICUBIC_SUPPORT_PX + FILL_PX

    def along(factor: int) -> int:
        smoothed = math.ceil(_radius_px(max(SMOOTHINGS), factor) / factor)
        return max(smoothed, interpolated + 1)  # a slope uses the neighbours, which may lie in the next source pixel

    return Halo(along(scale.y), along(scale.x))


@dataclass(frozen=True, slots=True, eq=False)
class RegressionRows:
    """Rows of a regression: predictors of the pixels of a block, and their detail at one scale."""

    predictors: Tensor
    """(K, H, W): see `pixel_predictors`."""
    detail: Tensor
    """(h, w): the detail, or its means over source pixels."""
    mask: Tensor
    """(h, w) bool: True where the detail is known."""
    block: Scale | None
    """The scale from (H, W) to (h, w) at the true scale; None at reduced resolution, where they are the same."""
    rows: float
    """Number of rows that each pixel of (h, w) counts for."""


@dataclass(frozen=True, slots=True, eq=False)
class Regression:
    """The detail of a pixel as a function of its predictors; kept in float64."""

    centre: Tensor
    """(K, 1): means of the predictors."""
    spread: Tensor
    """(K, 1), above 0: standard deviations of the predictors."""
    waves: Tensor
    """(M, K): frequencies of the random features."""
    phases: Tensor
    """(M, 1): phases of the random features."""
    coefficients: Tensor
    """(1 + K + M,): coefficients of a constant, of the predictors and of the random features."""

    @classmethod
    def blank(cls, count: int, generator: torch.Generator) -> Regression:
        """Draw the random features for `count` predictors; all coefficients are 0."""

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64)

        waves = (
            torch.randn(N_RANDOM_FEATURES, count, generator=generator, dtype=torch.float64)
            * FREQUENCY_SCALE
            / math.sqrt(count)
        )
        phases = 2 * torch.pi * torch.rand(N_RANDOM_FEATURES, 1, generator=generator, dtype=torch.float64)
        return cls(zeros(count, 1), zeros(count, 1) + 1, waves, phases, zeros(1 + count + N_RANDOM_FEATURES))

    def __call__(self, predictors: Tensor) -> Tensor:
        """Return the detail (H, W) of predictors (K, H, W); features are taken in float32, three times as fast."""
        single, columns = self.to(dtype=torch.float32), self.scaled(predictors.flatten(1)).float()
        parts = [single.coefficients @ single.features(part) for part in columns.split(COLUMNS_AT_ONCE, dim=1)]
        return torch.cat(parts).view(predictors.shape[1:]).double()

    def detail(self, guide: Tensor, valid: Tensor, source: Tensor, scale: Scale) -> Tensor:
        """Return the detail of a window (H, W), 0 where its guide is invalid; see `pixel_predictors`."""
        detail = torch.zeros(valid.shape, dtype=torch.float64, device=valid.device)
        for part, predictors in pixel_predictors_by_block(guide, valid, source, scale):
            detail[part.refined(scale).slices] = self(predictors)
        return torch.where(valid, detail, 0.0)

    def features(self, columns: Tensor) -> Tensor:
        """Return a constant, the predictors and the random features: (K, n), as `scaled`, → (1 + K + M, n)."""
        near = columns.clamp(-FARTHEST, FARTHEST)
        return torch.cat([torch.ones_like(near[:1]), near, torch.addmm(self.phases, self.waves, near).cos_()])

    def scaled(self, columns: Tensor) -> Tensor:
        """Return predictors (K, n) of mean 0 and standard deviation 1."""
        return (columns - self.centre) / self.spread

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Regression:
        """Return the regression on a device, or in another precision."""
        return Regression(**{name: tensor.to(device=device, dtype=dtype) for name, tensor in self.tensors.items()})

    @classmethod
    def checked(cls, tensors: Mapping[str, Tensor], bands: int) -> Self:
        """Return the regression of tensors by name.

        Raises:
            KeyError: A tensor is missing.
            ValueError: A tensor does not fit this number of bands, or is not finite.
        """
        count = n_predictors(bands)
        shapes = {
            "centre": (count, 1),
            "spread": (count, 1),
            "waves": (N_RANDOM_FEATURES, count),
            "phases": (N_RANDOM_FEATURES, 1),
            "coefficients": (1 + count + N_RANDOM_FEATURES,),
        }
        regression = cls(**{name: tensors[name] for name in shapes})
        for name, tensor in regression.tensors.items():
            if tensor.shape != shapes[name] or tensor.dtype != torch.float64:
                raise ValueError(f"the regression's {name} is {tuple(tensor.shape)} {tensor.dtype}")
            if not bool(torch.isfinite(tensor).all()):
                raise ValueError(f"the regression's {name} holds values that are not finite")
        if not bool((regression.spread > 0).all()):
            raise ValueError("the regression's spread holds values that are not above 0")
        return regression

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Tensors of the regression, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def fit_regression(
    reduced: Sequence[RegressionRows], true_scale: Iterable[RegressionRows], generator: torch.Generator
) -> Regression:
    """Solve the regression: the least sum of the rows' squared errors and RIDGE times the squared coefficients.

    The constant's counts too. All coefficients are 0 where no row is known.

    Args:
        reduced: Rows at reduced resolution; the predictors are centred and scaled by them.
        true_scale: Rows at the true scale.
        generator: A CPU's, from which the random features are drawn.
    """
    columns = torch.cat([rows.predictors[:, rows.mask] for rows in reduced], dim=1)
    count = len(columns)
    centre, spread = columns.new_zeros(2, count, 1)
    if columns.numel():
        centre, spread = (f(dim=1, keepdim=True) for f in (columns.mean, partial(columns.std, correction=0)))
    blank = replace(Regression.blank(count, generator).to(columns.device), centre=centre, spread=spread + (spread == 0))
    size = len(blank.coefficients)
    ridge = RIDGE * torch.eye(size, dtype=columns.dtype, device=columns.device)
    moments = columns.new_zeros(size, size + 1)
    for rows in chain(reduced, true_scale):
        moments += _moments(blank, rows)
    return replace(blank, coefficients=torch.linalg.solve(moments[:, :size] + ridge, moments[:, size]))


def _moments(regression: Regression, block: RegressionRows) -> Tensor:
    """Return the sums of products of features and detail, (n, n + 1)."""
    size = len(regression.coefficients)
    sums = block.predictors.new_zeros(size, size + 1)
    height = len(block.detail)
    down = block.predictors.shape[1] // height
    rows_at_once = max(1, COLUMNS_AT_ONCE // (down * block.predictors.shape[2]))
    for top in range(0, height, rows_at_once):
        rows = slice(top, top + rows_at_once)
        pixels = block.predictors[:, top * down : (top + rows_at_once) * down]
        features = regression.features(regression.scaled(pixels.flatten(1))).view(size, *pixels.shape[1:])
        if block.block is not None:
            features = degrade(features, block.block)
        chosen = torch.cat([features, block.detail[None, rows]])[:, block.mask[rows]]
        sums += block.rows * (chosen[:size] @ chosen.T)
    return sums


def _mean_around(layers: Tensor, weights: Tensor, deviation: float, scale: Scale) -> Tensor:
    """Return the Gaussian means of (C, H, W) around each pixel; deviation in source pixels, weights (H, W)."""
    summed, counted = (layers * weights)[:, None], weights[None, None]
    for dim, factor in ((-2, scale.y), (-1, scale.x)):
        radius = _radius_px(deviation, factor)
        at = torch.arange(-radius, radius + 1, dtype=layers.dtype, device=layers.device)
        kernel = torch.exp(-((at / (deviation * factor)) ** 2) / 2)
        shape, pad = ((1, 1, -1, 1), (radius, 0)) if dim == -2 else ((1, 1, 1, -1), (0, radius))
        summed, counted = (F.conv2d(layer, kernel.view(shape), padding=pad) for layer in (summed, counted))
    return summed[:, 0] / counted[0, 0].clamp_min(torch.finfo(layers.dtype).tiny)


def _radius_px(deviation: float, factor: int) -> int:
    return math.ceil(TAIL * deviation * factor)
