"""A sample in the network's units, and what is known of it at the true scale and one level down; tensors only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsr_geo.geometry import Scale, Window
from mmsr_geo.network.degradation import bicubic, degrade, degrade_valid, nearest
from mmsr_geo.network.guide_check import reduce_sample, reduction_step, validation_blocks
from mmsr_geo.network.guide_features import guide_features
from mmsr_geo.network.registration import shifted
from mmsr_geo.network.regression import TRUE_SCALE_ROWS, RegressionRows, pixel_predictors_by_block
from mmsr_geo.network.samples import Sample, Statistics


@dataclass(frozen=True, slots=True, eq=False)
class PreparedSample:
    """A sample in the network's units, at the true scale and one level down."""

    source: Tensor
    """(h, w), holes filled."""
    asked: Tensor
    """(h, w) bool: source and guide are valid."""
    guide: Tensor
    """(C or 3 C, H, W): what the network is shown of the guide, 0 in holes; its C bands come first."""
    guide_valid: Tensor
    """(H, W) bool."""
    bands: int
    """C."""
    guide_below: Tensor
    """(C or 3 C, h, w): the same of the guide's means over source pixels."""
    validation: Tensor
    """(h, w) bool: kept from the first stage."""
    corner: tuple[int, int]
    """The first source row's and column's place in the raster."""

    @classmethod
    def of(
        cls, sample: Sample, statistics: Statistics, scale: Scale, device: torch.device, *, features: bool = True
    ) -> PreparedSample:
        """Bring a sample to a device; features: whether the network is shown the guide's beside its bands."""
        guide = statistics.normalise_guide(sample.guide, sample.guide_valid)
        below, share = degrade_valid(guide, sample.guide_valid, scale)
        if features:
            guide, below = guide_features(guide, sample.guide_valid), guide_features(below, share > 0.5)
        source = statistics.normalise_source(sample.source, sample.source_valid)
        asked = sample.source_valid & (share > 0.5)
        return cls(
            source.to(device),
            asked.to(device),
            guide.to(device),
            sample.guide_valid.to(device),
            len(sample.guide),
            below.to(device),
            validation_blocks(asked.shape, reduction_step(asked.shape, scale)).to(device),
            (sample.row, sample.col),
        )


def guide_below(layer: PreparedSample, shift: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the guide's bands, moved by a shift, on the source grid: (C, h, w), and where they are valid, (h, w)."""
    height, width = layer.source.shape
    valid = shifted(layer.guide_valid, shift)
    to_source = Scale(valid.shape[0] // height, valid.shape[1] // width)
    below, share = degrade_valid(shifted(layer.guide[: layer.bands], shift), valid, to_source)
    return below, share > 0.5


def levels_below(layer: PreparedSample, shift: tuple[int, int], step: Scale, every: int) -> Iterator[RegressionRows]:
    """Yield what is known of a sample's detail one level down, where the source is the truth."""
    source, blocks = reduce_sample(layer.source, layer.asked, step)
    guide, valid = guide_below(layer, shift)
    whole = Window.whole((source.shape[0], source.shape[1])).refined(step).slices
    guide, valid = guide[:, *whole], valid[whole]
    detail = layer.source[whole].double() - bicubic(source.double(), step)
    seen = layer.asked[whole] & valid & nearest(blocks, step)
    for part, known in pixel_predictors_by_block(guide, valid, source, step, every):
        fine = part.refined(step).slices
        yield RegressionRows(known, detail[fine], seen[fine], layer.validation[whole][fine], None, 1.0)


def levels_here(layer: PreparedSample, shift: tuple[int, int], scale: Scale, every: int) -> Iterator[RegressionRows]:
    """Yield what is known of a sample's detail at the true scale: its block means."""
    guide, valid = (shifted(each, shift) for each in (layer.guide[: layer.bands], layer.guide_valid))
    detail = layer.source.double() - degrade(bicubic(layer.source.double(), scale), scale)
    seen = layer.asked & (degrade((~valid).float(), scale) == 0)
    for part, known in pixel_predictors_by_block(guide, valid, layer.source, scale, every):
        at = part.slices
        yield RegressionRows(known, detail[at], seen[at], layer.validation[at], scale, TRUE_SCALE_ROWS)
