"""Correction of any prediction so that the source is seen of it; tensors only."""

from __future__ import annotations

from torch import Tensor

from mmsr_geo.network.degradation import fill_nodata, make_consistent
from mmsr_geo.network.variational.energy import Energy
from mmsr_geo.network.variational.solve import Observation, solve

FILLED_PX = 8
"""Source pixels by which what is missing is carried into nodata, where all pixels are kept to."""


def kept_to_source(prediction: Tensor, source: Tensor, valid: Tensor, observation: Observation) -> Tensor:
    """Return a prediction to which what the source has beyond it is added, as smoothly as can be.

    Where a source pixel is the plain mean of its block, the block means become the source exactly, by iterated
    back-projection: see `make_consistent`. Where a sensor blurs, or the source has noise, what is added has the least
    energy of an interpolation, as it has for the members of an ensemble.

    Args:
        prediction: (H, W).
        source: (h, w), finite also where invalid.
        valid: (h, w) bool.
        observation: What the source shows of a target.

    Returns:
        (H, W) float64.
    """
    if observation.exact:
        return make_consistent(prediction, source, valid, observation.scale)
    target = prediction.double()
    missing = (source.double() - observation.seen(target)).masked_fill(~valid, 0.0)
    missing = fill_nodata(missing, valid, FILLED_PX)
    return target + solve(Energy.smooth(observation.shape_yx, target.device), observation, missing)
