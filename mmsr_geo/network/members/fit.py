"""The fit of members: alignment, the evidence for each member, its weight and state; tensors only."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.geometry import Scale
from mmsr_geo.geometry import Window as SourceWindow
from mmsr_geo.network.degradation import degrade
from mmsr_geo.network.members.alignment import align
from mmsr_geo.network.members.fitted import Members
from mmsr_geo.network.members.layers import GuideScaling, Layers
from mmsr_geo.network.members.table import MEMBERS, Member, Window
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.network.stacking import best_weights

LEAST_WEIGHT = 0.02
"""Smallest weight of a member; those below it are left out, and the time of their predictions with them."""
FEWEST_PX = 64
"""Number of source pixels below which members are not compared, and the interpolation alone is used."""
MOST_TARGET_PX = 2**20
"""About the largest number of target pixels that members are compared on; of more, parts are left out."""
PART_PX = 512
"""Side, in target pixels, of the parts that a larger sample is cut into."""


def fit_members(  # noqa: PLR0913  (a pair, and what is tried)
    samples: Sequence[Sample],
    scale: Scale,
    statistics: Statistics,
    *,
    seed: int = 0,
    members: Mapping[str, Member] = MEMBERS,
    progress: Progress = no_progress,
) -> tuple[Members, list[Layers]]:
    """Return the members of a pair with their weights, and the layers that they were compared on.

    Args:
        samples: Parts of the pair: see `compared_parts`.
        scale: Target pixels per source pixel.
        statistics: The pair's centre and spread.
        seed: Seed of the random features.
        members: The members that are tried; the first is used alone where there are too few pixels to compare them.
        progress: Called with the stages "alignment" and "members".
    """
    scaling = GuideScaling.of(samples, statistics, torch.Generator().manual_seed(seed))
    progress("alignment", 0, 1)
    alignment = align(samples, statistics, scaling, scale)
    progress("alignment", 1, 1)
    layers = [scaling.layers(sample, statistics, scale, alignment) for sample in samples]
    compared = sum(int(_known(part.coarser(), part).sum()) for part in layers)
    if compared < FEWEST_PX:
        weights = {next(iter(members)): 1.0}
    else:
        products = error_products(layers, scaling, members, progress)
        weights = stacked(dict(zip(members, range(len(members)), strict=True)), products)
    windows = [Window(part, scaling) for part in layers]
    states = {name: members[name].fit(windows) for name in weights}
    return Members(scaling, alignment, weights, states), layers


def compared_parts(samples: Sequence[Sample], scale: Scale) -> list[Sample]:
    """Cut samples into parts of at most PART_PX a side, and leave out as many as keep them below MOST_TARGET_PX.

    Only parts with a pixel that is valid in source and guide are returned.
    """
    side = max(2, PART_PX // max(scale.y, scale.x))
    parts = [
        sample.cut(window, scale)
        for sample in samples
        for window in SourceWindow.whole((sample.source.shape[0], sample.source.shape[1])).parts(side)
    ]
    parts = [part for part in parts if _has_common_pixel(part, scale)]
    target_px = sum(part.guide_valid.numel() for part in parts)
    return parts[:: max(1, math.ceil(target_px / MOST_TARGET_PX))]


def reduced_predictors(members: Members, layers: Sequence[Layers], step: Scale) -> list[Callable[[Tensor], Tensor]]:
    """Return, for each of the layers, the function from its source at reduced resolution to the members' prediction.

    Args:
        members: Fitted members.
        layers: Layers at the true scale.
        step: Source pixels per pixel of the reduced source.
    """
    reduced = [part.reduced(step) for part in layers]
    windows = [Window(part, members.scaling) for part in reduced]
    states = {name: MEMBERS[name].fit(windows) for name in members.weights}

    def predict(part: Layers, source: Tensor) -> Tensor:
        return members.predict_layers(replace(part, source=source.double()), states)

    return [partial(predict, part) for part in reduced]


def error_products(
    layers: Sequence[Layers], scaling: GuideScaling, members: Mapping[str, Member], progress: Progress = no_progress
) -> NDArray[np.float64]:
    """Return the mean products of the members' errors, (n, n), where the source averaged by 2 is solved to the target.

    The guide stays as it is, so that the members have the edges to follow that they will have. A member's error is
    that of its block means, which the source knows.

    Args:
        layers: Parts of the pair at the true scale.
        scaling: Constants of the pair.
        members: The members.
        progress: Called with the stage "members".
    """
    coarse = [part.coarser() for part in layers]
    windows = [Window(part, scaling) for part in coarse]
    known = [_known(*parts) for parts in zip(coarse, layers, strict=True)]
    errors: list[Tensor] = []
    for index, member in enumerate(members.values()):
        progress("members", index, len(members))
        state = member.fit(windows)
        parts = []
        for window, reference, mask in zip(windows, layers, known, strict=True):
            means = degrade(member.predict(window, state), reference.scale)
            parts.append((means - reference.source[: len(means), : means.shape[1]])[mask])
        errors.append(torch.cat(parts))
    progress("members", len(members), len(members))
    every = torch.stack(errors)
    return (every @ every.T / max(1, every.shape[1])).cpu().numpy()


def stacked(members: Mapping[str, int], products: NDArray[np.float64]) -> dict[str, float]:
    """Return the weights of the weighted average of least squared error, without those below LEAST_WEIGHT.

    Args:
        members: The row of each member in the products.
        products: (n, n): mean products of the members' errors.
    """
    names, rows = list(members), list(members.values())
    while True:
        weights = best_weights(products[np.ix_(rows, rows)])
        kept = [index for index, weight in enumerate(weights) if weight >= LEAST_WEIGHT]
        if len(kept) == len(rows):
            return dict(zip(names, weights, strict=True))
        names, rows = [names[index] for index in kept], [rows[index] for index in kept]


def _has_common_pixel(part: Sample, scale: Scale) -> bool:
    """Return whether a source pixel is valid that a valid guide covers by half."""
    share = degrade(part.guide_valid.double(), scale)
    return bool((part.source_valid & (share > 0.5)).any())


def _known(coarse: Layers, reference: Layers) -> Tensor:
    """Return where the members are compared, (h, w) bool: valid source pixels under pixels of the coarse source."""
    blocks = coarse.source_valid.repeat_interleave(2, dim=0).repeat_interleave(2, dim=1)
    return blocks & reference.known[: len(blocks), : blocks.shape[1]]
