"""A sample in the network's units, at the true scale and at reduced resolution; tensors only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmsr_geo.geometry import Scale, Window
from mmsr_geo.network.degradation import degrade_valid
from mmsr_geo.network.guide_check import reduction_step, validation_blocks
from mmsr_geo.network.guide_features import guide_features
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
            reduced.to(device),
            validation_blocks(fit_mask.shape, reduction_step(fit_mask.shape, scale)).to(device),
            (sample.row, sample.col),
        )

    def cut(self, window: Window, scale: Scale) -> PreparedSample:
        """Return a part of the sample; the window is in source pixels, counted from the sample's corner."""
        rows, columns = window.slices
        fine_rows, fine_columns = window.refined(scale).slices
        return PreparedSample(
            self.source[rows, columns],
            self.fit_mask[rows, columns],
            self.guide[:, fine_rows, fine_columns],
            self.guide_valid[fine_rows, fine_columns],
            self.reduced_guide[:, rows, columns],
            self.validation[rows, columns],
            (self.corner[0] + window.row, self.corner[1] + window.col),
        )
