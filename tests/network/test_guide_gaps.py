"""What a source has beyond a prediction goes to the pixels that are least certain."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmsr_geo.geometry import Scale
from mmsr_geo.network.guide_gaps import BRIDGED_VARIANCE, given_to_bridged


@pytest.mark.parametrize("share", [0.05, 0.4, 0.95])
def test_bridged_pixels_get_what_their_variance_says(share: float) -> None:
    """Of independent errors with a known sum, each is expected to be its variance's share of it."""
    scale, rng = Scale(3, 2), np.random.default_rng(0)
    prediction = torch.from_numpy(rng.normal(size=(12, 10)))
    missing = torch.from_numpy(rng.normal(size=(4, 5)))
    bridged = torch.from_numpy(rng.random((12, 10)) < share)
    made = given_to_bridged(prediction, missing, bridged, scale)
    for row in range(4):
        for col in range(5):
            block = slice(3 * row, 3 * row + 3), slice(2 * col, 2 * col + 2)
            variances = torch.where(bridged[block], BRIDGED_VARIANCE, 1.0).double()
            total = 6 * missing[row, col]
            expected = torch.where(bridged[block], total * variances / variances.sum(), 0.0)
            torch.testing.assert_close(made[block] - prediction[block], expected)


def test_without_a_bridged_pixel_nothing_changes() -> None:
    prediction, missing = torch.rand(6, 6), torch.rand(3, 3)
    nowhere = torch.zeros(6, 6, dtype=torch.bool)
    assert given_to_bridged(prediction, missing, None, Scale(2, 2)) is prediction
    assert given_to_bridged(prediction, missing, nowhere, Scale(2, 2)) is prediction
