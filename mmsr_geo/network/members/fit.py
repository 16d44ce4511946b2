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
from mmsr_geo.geometry import Scale, Window
from mmsr_geo.network.degradation import bicubic, degrade, nearest
from mmsr_geo.network.intervals import DrawnPart
from mmsr_geo.network.members.alignment import Found, align
from mmsr_geo.network.members.evidence import NOTICEABLE, MembersEvidence
from mmsr_geo.network.members.fitted import Members, needed_features
from mmsr_geo.network.members.layers import (
    Alignment,
    GuideScaling,
    Layers,
    coarser_layers,
    coarser_step,
    sources_for_noise,
    with_softness,
)
from mmsr_geo.network.members.sensor import settle
from mmsr_geo.network.members.table import INTERPOLATION, MEMBERS, QUICK_MEMBERS, MemberState
from mmsr_geo.network.members.window import WindowInputs
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.network.sensor import ESTIMATED, Sensor, WantedSensor
from mmsr_geo.network.stacking import best_weights
from mmsr_geo.network.variational.correction import kept_to_source

LEAST_WEIGHT = 0.02
"""Smallest weight of a member; those below it are left out, and the time of their predictions with them."""
FEWEST_PX = 64
"""Number of source pixels below which members are not compared, and the interpolation alone is used."""
MOST_TARGET_PX = 2**20
"""About the largest number of target pixels that members are compared on; of more, parts are left out."""
PART_PX = 512
"""Side, in target pixels, of the parts that a larger sample is cut into."""
LEAST_PART_PX = 16
"""Side of a part in source pixels, divided by the scale, below which its uncertainty could not be calibrated."""
MOST_PART_PX = 1024
"""Largest side of a part, in target pixels."""
NARROW_PX = 4
"""Side, in source pixels, below which a part is left out if there are others."""


def fit_members(  # noqa: PLR0913  (what is known of a pair)
    samples: Sequence[Sample],
    scale: Scale,
    statistics: Statistics,
    names: Sequence[str],
    *,
    wanted: WantedSensor = ESTIMATED,
    seed: int = 0,
    progress: Progress = no_progress,
) -> tuple[Members, list[Layers], list[Tensor]]:
    """Return the members of a pair with their weights, and what they were compared on.

    Where there are too few pixels to compare the members, the interpolation is used alone, and the guide is not
    aligned.

    Args:
        samples: Parts of the pair: see `compared_parts`.
        scale: Target pixels per source pixel.
        statistics: The pair's centre and spread.
        names: Names of the members to choose from.
        wanted: What is known of the sensor and the registration.
        seed: Seed of the random features.
        progress: Called with the stages "alignment" and "members".

    Returns:
        The members, the layers of each part, and for each part the errors (2, h, w) of the means over source pixels,
        where the source averaged by 2 is solved to the target: of the weighted average, and of the interpolation.
    """
    generator, needed = torch.Generator().manual_seed(seed), needed_features(names)
    scaling = GuideScaling.of(samples, statistics, generator, needed)
    plain = [scaling.layers(sample, statistics, scale, Alignment(), ()) for sample in samples]
    compared = sum(int(known_from_coarser(part).sum()) for part in plain)
    found = Found()
    if compared >= FEWEST_PX:
        progress("alignment", 0, 1)
        found = align(samples, statistics, scaling, scale, wanted.register)
        progress("alignment", 1, 1)
    settled = settle(found, sources_for_noise(plain), scale, wanted, statistics.source_spread)
    if settled.sensor.noise and tuple(names) != QUICK_MEMBERS:
        # Regressions on hundreds of features learn noise, and the averaged source has a part of it.
        names, needed = QUICK_MEMBERS, needed_features(QUICK_MEMBERS)
        scaling = GuideScaling.of(samples, statistics, torch.Generator().manual_seed(seed), needed)
    layers = [
        scaling.layers(sample, statistics, scale, settled.alignment, needed, settled.sensor) for sample in samples
    ]
    chosen = names if compared >= FEWEST_PX else [INTERPOLATION]
    errors = coarser_errors(layers, scaling, chosen, progress)
    weights = {INTERPOLATION: 1.0}
    if compared >= FEWEST_PX:
        known = [known_from_coarser(part) for part in layers]
        every = torch.cat([of_part[:, mask] for of_part, mask in zip(errors, known, strict=True)], dim=1)
        products = (every @ every.T / max(1, every.shape[1])).cpu().numpy()
        weights = stacked({name: row for row, name in enumerate(chosen)}, products)
        if _share_of_interpolation(weights, chosen, products) > NOTICEABLE:
            weights = {INTERPOLATION: 1.0}
    by = errors[0].new_tensor([weights.get(name, 0.0) for name in chosen])
    windows = [WindowInputs(part, scaling) for part in layers]
    states = {name: MEMBERS[name].fit(windows) for name in weights}
    alone = list(chosen).index(INTERPOLATION)
    averaged = [torch.stack([torch.tensordot(by, of_part, dims=1), of_part[alone]]) for of_part in errors]
    members = Members(scaling, settled.alignment, weights, states, settled.sensor, settled.findings)
    if not settled.sensor.exact:
        members = replace(members, findings=replace(settled.findings, misfit=_misfit(members, windows)))
    return members, layers, averaged


def _misfit(members: Members, windows: Sequence[WindowInputs]) -> float:
    """Return the root mean square of what the source has beyond what it would show of the members' targets."""
    squares, count = 0.0, 0
    for window in windows:
        valid = window.layers.source_valid
        missing = (window.layers.source - window.observation.seen(members.predict(window)))[valid]
        squares, count = squares + float(missing.square().sum()), count + int(valid.sum())
    return math.sqrt(squares / max(count, 1))


def _share_of_interpolation(weights: Mapping[str, float], names: Sequence[str], products: NDArray[np.float64]) -> float:
    """Return the error of a weighted average, divided by that of the interpolation; 0 where that has none."""
    by = np.array([weights.get(name, 0.0) for name in names])
    row = names.index(INTERPOLATION)
    return math.sqrt(float(by @ products @ by) / products[row, row]) if products[row, row] > 0 else 0.0


def with_equal_weights(
    members: Members, sample: Sample, statistics: Statistics, scale: Scale, names: Sequence[str]
) -> Members:
    """Return the named members with the same weight, fitted to a sample: what takes the most time and memory."""
    window, scaling = window_for(sample, statistics, scale, members.alignment, names)
    weights = dict.fromkeys(names, 1 / len(names))
    states = {name: MEMBERS[name].fit([window]) for name in names}
    return replace(members, scaling=scaling, weights=weights, states=states)


def window_for(
    sample: Sample, statistics: Statistics, scale: Scale, alignment: Alignment, names: Sequence[str]
) -> tuple[WindowInputs, GuideScaling]:
    """Return a sample as a window with all that the named members need of it, and the constants of its guide."""
    needed = needed_features(names)
    scaling = GuideScaling.of([sample], statistics, torch.Generator().manual_seed(0), needed)
    return WindowInputs(scaling.layers(sample, statistics, scale, alignment, needed), scaling), scaling


def compared_parts(samples: Sequence[Sample], scale: Scale) -> list[tuple[int, Window]]:
    """Return the parts of samples that members are compared on: the sample's number and a window of its source.

    A part has at most PART_PX a side, or LEAST_PART_PX source pixels where those are more. Only parts with a pixel that
    is valid in source and guide are returned, and narrow ones only where there are no others. As many are drawn as keep
    them below MOST_TARGET_PX. The same samples give the same parts.
    """
    factor = max(scale.y, scale.x)
    side = max(PART_PX // factor, min(LEAST_PART_PX * factor, MOST_PART_PX // factor))
    side = max(1, side // factor) * factor  # whole pixels of the reduced source
    parts = [
        (number, window)
        for number, sample in enumerate(samples)
        for window in Window.whole((sample.source.shape[0], sample.source.shape[1])).parts(side)
        if _has_common_pixel(sample.cut(window, scale), scale)
    ]
    parts = [part for part in parts if min(part[1].shape) >= NARROW_PX] or parts
    target_px = sum(window.height * window.width * scale.area for _, window in parts)
    count = max(1, len(parts) * MOST_TARGET_PX // max(target_px, MOST_TARGET_PX))
    drawn = torch.randperm(len(parts), generator=torch.Generator().manual_seed(0))[:count]
    return [parts[index] for index in sorted(drawn.tolist())]


def members_evidence(
    members: Members, layers: Sequence[Layers], errors: Sequence[Tensor], step: Scale
) -> list[MembersEvidence]:
    """Return what is known of the members in each part; nothing if a part is smaller than a step.

    Args:
        members: Fitted members.
        layers: Layers of each part at the true scale.
        errors: Errors of each part, as `fit_members` returns them.
        step: Source pixels per pixel of the reduced source.
    """
    if any(part.source.shape[0] < step.y or part.source.shape[1] < step.x for part in layers):
        return []
    predictors = reduced_predictors(members, layers, step)
    return [
        MembersEvidence(
            predictor,
            coarse,
            partial(WindowInputs(coarse or part, members.scaling).consistent, how="guided"),
            part.shown,
            of_part[0],
            _baseline_errors(part, coarse),
            of_part[1],
            known_from_coarser(part),
            _drawn(members, part),
        )
        for predictor, part, coarse, of_part in zip(predictors, layers, coarser_layers(layers), errors, strict=True)
    ]


def _drawn(members: Members, part: Layers) -> DrawnPart:
    """Return what the members draw of a part at the true scale."""
    window = WindowInputs(part, members.scaling)
    baseline = _baseline(part)
    valid = part.valid & nearest(part.source_valid, part.scale)
    return DrawnPart(part.source, members.predict(window), baseline, valid)


def _baseline(part: Layers) -> Tensor:
    """Return the bicubic baseline of a part, (H, W)."""
    return kept_to_source(bicubic(part.source, part.scale), part.source, part.source_valid, part.observation)


def _baseline_errors(part: Layers, coarse: Layers | None) -> Tensor:
    """Return the errors (h, w) of what the source shows of the bicubic baseline from the averaged source."""
    if coarse is None:
        return part.source[:0, :0]
    means = part.shown(_baseline(coarse))
    return means - part.source[: len(means), : means.shape[1]]


def reduced_sensor(layers: Sequence[Layers], step: Scale) -> Sensor:
    """Return how the source at reduced resolution is seen of the source, of parts of a raster."""
    one = with_softness([part.reduced(step) for part in layers])[0]
    return Sensor((one.psf_px[0] / step.y, one.psf_px[1] / step.x), one.noise, one.softness)


def reduced_predictors(members: Members, layers: Sequence[Layers], step: Scale) -> list[Callable[[Tensor], Tensor]]:
    """Return, for each of the layers, the function from its source at reduced resolution to the members' prediction.

    Args:
        members: Fitted members.
        layers: Layers at the true scale.
        step: Source pixels per pixel of the reduced source.
    """
    reduced = with_softness([part.reduced(step) for part in layers])
    windows = [WindowInputs(part, members.scaling) for part in reduced]
    states = {name: MEMBERS[name].fit(windows) for name in members.weights}

    def predict(part: Layers, source: Tensor) -> Tensor:
        shown = replace(part, source=torch.where(part.source_valid, source, part.source))
        return members.predict(WindowInputs(shown, members.scaling), states)

    return [partial(predict, part) for part in reduced]


def coarser_errors(
    layers: Sequence[Layers], scaling: GuideScaling, names: Sequence[str], progress: Progress = no_progress
) -> list[Tensor]:
    """Return the members' errors where the source averaged by 2 is solved to the target, (n, h, w) for each part.

    The guide stays as it is, so that the members have the edges to follow that they will have. A member's error is
    that of its block means, which the source knows. Rows and columns that no whole coarser pixel covers are left out;
    no pixel remains where there is no coarser source.

    Args:
        layers: Parts of the pair at the true scale.
        scaling: Constants of the pair.
        names: Names of the members.
        progress: Called with the stage "members".
    """
    pairs = list(zip(layers, coarser_layers(layers), strict=True))
    windows = {index: WindowInputs(coarse, scaling) for index, (_, coarse) in enumerate(pairs) if coarse is not None}
    errors: list[list[Tensor]] = [[] for _ in pairs]
    for done, name in enumerate(names):
        progress("members", done, len(names))
        member = MEMBERS[name]
        state = member.fit(list(windows.values())) if windows else MemberState()
        for index, (part, _) in enumerate(pairs):
            if index not in windows:
                errors[index].append(part.source[:0, :0])
                continue
            means = part.shown(member.predict(windows[index], state))
            errors[index].append(means - part.source[: len(means), : means.shape[1]])
    progress("members", len(names), len(names))
    return [torch.stack(of_part) for of_part in errors]


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


def known_from_coarser(layers: Layers) -> Tensor:
    """Return where members are compared, (h, w) bool: known source pixels whose coarser pixel is valid.

    Rows and columns that no whole coarser pixel covers are left out; no pixel remains where there is no coarser source.
    """
    step, known = coarser_step(layers.scale), layers.known
    coarse = layers.coarser()
    if coarse is None:
        return known[:0, :0]
    blocks = nearest(coarse.source_valid, step)
    return blocks & known[: len(blocks), : blocks.shape[1]]
