"""A sample in the network's units, at the true scale and at reduced resolution; tensors only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsr_geo.geometry import Scale, Window
from mmsr_geo.network.degradation import bicubic, degrade, degrade_valid, nearest
from mmsr_geo.network.guide_check import reduce_sample, reduction_step, validation_blocks
from mmsr_geo.network.guide_features import guide_features
from mmsr_geo.network.registration import Shift, shifted
from mmsr_geo.network.ridge_regression import TRUE_SCALE_ROWS, RegressionRows, pixel_predictors_by_block
from mmsr_geo.network.samples import Sample, Statistics


@dataclass(frozen=True, slots=True, eq=False)
class PreparedSample:
    """A sample in the network's units, with its guide on the target grid and on the source grid."""

    source: Tensor
    """(h, w), nodata filled from neighbours."""
    fit_mask: Tensor
    """(h, w) bool: True where source and guide are valid."""
    guide: Tensor
    """(C or 3 C, H, W): the guide's C bands, 0 where invalid, then their features if the network is shown them."""
    guide_valid: Tensor
    """(H, W) bool."""
    bands: int
    """Number of guide bands, C."""
    reduced_guide: Tensor
    """(C or 3 C, h, w): the guide averaged over source pixels, then the features of these means."""
    validation: Tensor
    """(h, w) bool: True in the validation blocks, which the first stage does not learn from."""
    corner: tuple[int, int]
    """Row and column, in the raster, of the first source pixel."""

    @classmethod
    def of(
        cls, sample: Sample, statistics: Statistics, scale: Scale, device: torch.device, *, features: bool = True
    ) -> PreparedSample:
        """Normalise a sample and bring it to a device.

        Args:
            sample: Source and guide in their own units.
            statistics: Centre and spread of each band.
            scale: Target pixels per source pixel.
            device: Where the tensors are used.
            features: Whether the network is shown the guide's local contrast and edges next to its bands.
        """
        guide = statistics.normalise_guide(sample.guide, sample.guide_valid)
        reduced, share = degrade_valid(guide, sample.guide_valid, scale)
        if features:
            guide, reduced = guide_features(guide, sample.guide_valid), guide_features(reduced, share > 0.5)
        source = statistics.normalise_source(sample.source, sample.source_valid)
        fit_mask = sample.source_valid & (share > 0.5)
        return cls(
            source.to(device),
            fit_mask.to(device),
            guide.to(device),
            sample.guide_valid.to(device),
            len(sample.guide),
            reduced.to(device),
            validation_blocks(fit_mask.shape, reduction_step(fit_mask.shape, scale)).to(device),
            (sample.row, sample.col),
        )


def reduced_guide(sample: PreparedSample, shift: Shift) -> tuple[Tensor, Tensor]:
    """Return the guide's bands, moved by a shift and averaged over source pixels: (C, h, w), and their mask (h, w)."""
    height, width = sample.source.shape
    valid = shifted(sample.guide_valid, shift)
    to_source = Scale(valid.shape[0] // height, valid.shape[1] // width)
    means, share = degrade_valid(shifted(sample.guide[: sample.bands], shift), valid, to_source)
    return means, share > 0.5


def reduced_rows(sample: PreparedSample, shift: Shift, step: Scale, every: int) -> Iterator[RegressionRows]:
    """Yield the rows of a regression at reduced resolution, where the source is the reference of each pixel.

    Args:
        sample: One sample of the fit.
        shift: Rows and columns by which the guide is moved.
        step: Source pixels per pixel of the reduced source.
        every: One block in this number is used.
    """
    source, blocks = reduce_sample(sample.source, sample.fit_mask, step)
    guide, valid = reduced_guide(sample, shift)
    whole = Window.whole((source.shape[0], source.shape[1])).refined(step).slices
    guide, valid = guide[:, *whole], valid[whole]
    detail = sample.source[whole].double() - bicubic(source.double(), step)
    mask = sample.fit_mask[whole] & valid & nearest(blocks, step)
    for part, predictors in pixel_predictors_by_block(guide, valid, source, step, every):
        fine = part.refined(step).slices
        yield RegressionRows(predictors, detail[fine], mask[fine], sample.validation[whole][fine], None, 1.0)


def true_scale_rows(sample: PreparedSample, shift: Shift, scale: Scale, every: int) -> Iterator[RegressionRows]:
    """Yield the rows of a regression at the true scale, where the block means of the detail are the reference.

    Args:
        sample: One sample of the fit.
        shift: Rows and columns by which the guide is moved.
        scale: Target pixels per source pixel.
        every: One block in this number is used.
    """
    guide, valid = (shifted(layer, shift) for layer in (sample.guide[: sample.bands], sample.guide_valid))
    detail = sample.source.double() - degrade(bicubic(sample.source.double(), scale), scale)
    mask = sample.fit_mask & (degrade((~valid).float(), scale) == 0)
    for part, predictors in pixel_predictors_by_block(guide, valid, sample.source, scale, every):
        at = part.slices
        yield RegressionRows(predictors, detail[at], mask[at], sample.validation[at], scale, TRUE_SCALE_ROWS)
