"""What an interpolation misses, regressed on random features of guide and source; tensors only.

A kernel ridge regression by random Fourier features (Rahimi and Recht 2007), each target pixel a row, learnt at two
levels at once: one level down, where the source is the truth, pixel by pixel; and at the true scale, where the block
means of the detail are known. It is solved in closed form: no steps, no learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import chain

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor

from mmsr_geo.geometry import Halo, Scale, Window
from mmsr_geo.network.degradation import BICUBIC_SUPPORT_PX, FILL_PX, bicubic, degrade, degrade_valid, fill_holes
from mmsr_geo.network.guide_features import slope

N_RANDOM_FEATURES = 800
FREQUENCY_SCALE = 0.6
"""Of the waves, in the deviations of what is known of a pixel, all of it taken together."""
RIDGE = 2000.0
"""What a coefficient's square costs, in rows one level down."""
TRUE_SCALE_ROWS = 10_000.0
"""Rows one level down that a source pixel at the true scale counts for: in its mean the detail of its pixels nearly
cancels, so that little of it is seen there."""
SMOOTHINGS = (0.25, 0.5, 1.0)
"""Deviations, in source pixels, of the Gaussians that a guide's band is compared with."""
N_PREDICTORS_PER_BAND = len(SMOOTHINGS) + 4
"""Layers that are known of one guide band."""
N_SOURCE_PREDICTORS = 3
"""And of the source."""
TAIL = 3.0
"""Deviations from its middle at which a Gaussian is cut."""
FARTHEST = 5.0
"""Deviations beyond which a pixel is not shown how far it lies from the others."""
SIDE_PX = 320
"""Side, in target pixels, of what is made known at once."""
PART_PX = 2**12
"""Pixels whose waves are held at once: blocks of more than 32 MB glibc gives back each time."""


def pixel_predictors(guide: Tensor, valid: Tensor, source: Tensor, scale: Scale) -> Tensor:
    """Return what is known of each target pixel, layer by layer.

    guide: (C, H, W), of deviation 1, 0 in holes; valid: (H, W) bool; source: (h, w), holes filled. Returns
    (7 C + 3, H, W) float64: of each band its value, how far it lies from its means around and from the interpolation of
    its block means, and its slopes; of the source its interpolation and that one's slopes. What lies outside the image
    counts as a hole; in a hole the guide's layers are 0.
    """
    bands, weights = guide.double(), valid.double()
    means, share = degrade_valid(bands, valid, scale)
    means = torch.stack([fill_holes(band, share > 0) for band in means])
    smooth, everywhere = bicubic(source.double(), scale)[None], torch.ones_like(weights)
    shown = [
        bands,
        *(bands - _mean_around(bands, weights, deviation, scale) for deviation in SMOOTHINGS),
        bands - bicubic(means, scale),
        *(slope(bands, weights, dim) for dim in (-2, -1)),
    ]
    slopes = (slope(smooth, everywhere, dim) for dim in (-2, -1))
    return torch.cat([torch.cat(shown) * weights, smooth, *slopes])


def n_predictors(bands: int) -> int:
    """Return how many layers `pixel_predictors` gives of so many guide bands."""
    return N_PREDICTORS_PER_BAND * bands + N_SOURCE_PREDICTORS


def pixel_predictors_by_block(
    guide: Tensor, valid: Tensor, source: Tensor, scale: Scale, every: int = 1
) -> Iterator[tuple[Window, Tensor]]:
    """Yield one of `every` blocks of the source grid, each with the `pixel_predictors` of its pixels.

    A part has SIDE_PX target pixels a side at most: of all at once, eight bytes a layer would be gigabytes.
    """
    receptive_field, whole = regression_receptive_field(scale), Window.whole((source.shape[0], source.shape[1]))
    for part in blocks_of((whole.height, whole.width), scale, every):
        read = part.padded(receptive_field, whole)
        rows, columns = read.refined(scale).slices
        known = pixel_predictors(guide[:, rows, columns], valid[rows, columns], source[read.slices], scale)
        yield part, known[:, *part.relative_to(read).refined(scale).slices]


def blocks_of(shape_yx: tuple[int, int], scale: Scale, every: int = 1) -> list[Window]:
    """Return the parts of a source grid of that shape that are made known one after another, one of `every`."""
    return list(Window.whole(shape_yx).parts(max(1, SIDE_PX // max(scale.y, scale.x)))[::every])


def regression_receptive_field(scale: Scale) -> Halo:
    """Return the source pixels, beyond a target pixel's own, that its detail depends on."""
    interpolated = BICUBIC_SUPPORT_PX + FILL_PX

    def along(factor: int) -> int:
        smoothed = math.ceil(_radius_px(max(SMOOTHINGS), factor) / factor)
        return max(smoothed, interpolated + 1)  # a slope sees the pixel beside, which may be the next source pixel's

    return Halo(along(scale.y), along(scale.x))


@dataclass(frozen=True, slots=True, eq=False)
class RegressionRows:
    """What is known of the detail of a part of a sample, at one scale."""

    known: Tensor
    """(K, H, W): see `pixel_predictors`."""
    wanted: Tensor
    """(h, w): the detail, or its means over blocks."""
    seen: Tensor
    """(h, w) bool: where it is known."""
    validation: Tensor
    """(h, w) bool: kept from the regression that is judged."""
    block: Scale | None
    """Of (H, W) to (h, w): None one level down, where they are the same; the scale itself at the true scale."""
    rows: float
    """How many rows each pixel of (h, w) counts for."""


@dataclass(frozen=True, slots=True, eq=False)
class Regression:
    """Detail as a function of what is known of a pixel; kept in float64."""

    centre: Tensor
    """(K, 1)."""
    spread: Tensor
    """(K, 1), above 0."""
    waves: Tensor
    """(M, K): the directions of the random features."""
    phases: Tensor
    """(M, 1)."""
    coefficients: Tensor
    """(1 + K + M,): of a constant, of what is known, and of the waves."""

    @classmethod
    def blank(cls, count: int, generator: torch.Generator) -> Regression:
        """Draw the waves for so many layers; it tells no detail yet."""

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64)

        waves = (
            torch.randn(N_RANDOM_FEATURES, count, generator=generator, dtype=torch.float64)
            * FREQUENCY_SCALE
            / math.sqrt(count)
        )
        phases = 2 * torch.pi * torch.rand(N_RANDOM_FEATURES, 1, generator=generator, dtype=torch.float64)
        return cls(zeros(count, 1), zeros(count, 1) + 1, waves, phases, zeros(1 + count + N_RANDOM_FEATURES))

    def __call__(self, known: Tensor) -> Tensor:
        """(K, H, W) → the detail (H, W), in the units of what was wanted; the waves in float32, three times as fast."""
        single, columns = self.to(dtype=torch.float32), self.scaled(known.flatten(1)).float()
        parts = [single.coefficients @ single.features(part) for part in columns.split(PART_PX, dim=1)]
        return torch.cat(parts).view(known.shape[1:]).double()

    def detail(self, guide: Tensor, valid: Tensor, source: Tensor, scale: Scale) -> Tensor:
        """Return the detail of a window (H, W), 0 where its guide is a hole; see `pixel_predictors`."""
        detail = torch.zeros(valid.shape, dtype=torch.float64, device=valid.device)
        for part, known in pixel_predictors_by_block(guide, valid, source, scale):
            detail[part.refined(scale).slices] = self(known)
        return torch.where(valid, detail, 0.0)

    def features(self, columns: Tensor) -> Tensor:
        """(K, n), centred and of deviation 1 → (1 + K + M, n)."""
        near = columns.clamp(-FARTHEST, FARTHEST)
        return torch.cat([torch.ones_like(near[:1]), near, torch.addmm(self.phases, self.waves, near).cos_()])

    def scaled(self, columns: Tensor) -> Tensor:
        """(K, n) → centred and of deviation 1."""
        return (columns - self.centre) / self.spread

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Regression:
        """Bring it to a device, or to another precision."""
        return Regression(**{name: tensor.to(device=device, dtype=dtype) for name, tensor in self.tensors.items()})

    def check(self, bands: int) -> None:
        """Raise ValueError for tensors that are no regression on so many bands, or not finite."""
        count = n_predictors(bands)
        shapes = {
            "centre": (count, 1),
            "spread": (count, 1),
            "waves": (N_RANDOM_FEATURES, count),
            "phases": (N_RANDOM_FEATURES, 1),
            "coefficients": (1 + count + N_RANDOM_FEATURES,),
        }
        for name, tensor in self.tensors.items():
            if tensor.shape != shapes[name] or tensor.dtype != torch.float64:
                raise ValueError(f"the regression's {name} is {tuple(tensor.shape)} {tensor.dtype}")
            if not bool(torch.isfinite(tensor).all()):
                raise ValueError(f"the regression's {name} holds values that are not finite")
        if not bool((self.spread > 0).all()):
            raise ValueError("the regression's spread holds values that are not above 0")

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What it is, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def fit_regression(
    below: Sequence[RegressionRows], here: Iterable[RegressionRows], generator: torch.Generator
) -> tuple[Regression, Regression]:
    """Return the regression that has not seen what is held out, and the one of all.

    below: the levels of pixels, one level down, by which the layers are centred and scaled; here: those of blocks. Each
    regression minimises the rows' squared errors plus RIDGE times the coefficients' squares, the constant's too.
    generator: of a CPU, what the waves are drawn from. All 0 where nothing is seen.
    """
    columns = torch.cat([level.known[:, level.seen] for level in below], dim=1)
    count = len(columns)
    centre, spread = columns.new_zeros(2, count, 1)
    if columns.numel():
        centre, spread = (f(dim=1, keepdim=True) for f in (columns.mean, partial(columns.std, correction=0)))
    blank = replace(Regression.blank(count, generator).to(columns.device), centre=centre, spread=spread + (spread == 0))
    size = len(blank.coefficients)
    ridge = RIDGE * torch.eye(size, dtype=columns.dtype, device=columns.device)
    moments = columns.new_zeros(2, size, size + 1)
    for level in chain(below, here):
        moments += _moments(blank, level)
    judged, whole = (
        replace(blank, coefficients=torch.linalg.solve(sums[:, :size] + ridge, sums[:, size]))
        for sums in (moments[0], moments.sum(dim=0))
    )
    return judged, whole


def _moments(regression: Regression, level: RegressionRows) -> Tensor:
    """Return the sums of products of features and of what is wanted, (2, n, n + 1): of what is not held out, and is."""
    size = len(regression.coefficients)
    sums = level.known.new_zeros(2, size, size + 1)
    height = len(level.wanted)
    down = level.known.shape[1] // height
    taken = max(1, PART_PX // (down * level.known.shape[2]))
    for top in range(0, height, taken):
        rows = slice(top, top + taken)
        pixels = level.known[:, top * down : (top + taken) * down]
        features = regression.features(regression.scaled(pixels.flatten(1))).view(size, *pixels.shape[1:])
        if level.block is not None:
            features = degrade(features, level.block)
        with_wanted = torch.cat([features, level.wanted[None, rows]])
        for index, where in enumerate((~level.validation, level.validation)):
            chosen = with_wanted[:, (level.seen & where)[rows]]
            sums[index] += level.rows * (chosen[:size] @ chosen.T)
    return sums


def _mean_around(layers: Tensor, weights: Tensor, deviation: float, scale: Scale) -> Tensor:
    """Return the means of (C, H, W) around each pixel, by a Gaussian of so many source pixels; weights: (H, W)."""
    summed, counted = (layers * weights)[:, None], weights[None, None]
    for dim, factor in ((-2, scale.y), (-1, scale.x)):
        radius = _radius_px(deviation, factor)
        at = torch.arange(-radius, radius + 1, dtype=layers.dtype, device=layers.device)
        kernel = torch.exp(-((at / (deviation * factor)) ** 2) / 2)
        shape, pad = ((1, 1, -1, 1), (radius, 0)) if dim == -2 else ((1, 1, 1, -1), (0, radius))
        summed, counted = (F.conv2d(each, kernel.view(shape), padding=pad) for each in (summed, counted))
    return summed[:, 0] / counted[0, 0].clamp_min(torch.finfo(layers.dtype).tiny)


def _radius_px(deviation: float, factor: int) -> int:
    return math.ceil(TAIL * deviation * factor)
