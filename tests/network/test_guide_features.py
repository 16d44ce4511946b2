"""Local contrast and edges of a guide, against loops over each pixel's square."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mmsr_geo.geometry import Halo, Window
from mmsr_geo.network import guide_features as features_module
from mmsr_geo.network.guide_features import EDGE, FEATURE_RECEPTIVE_FIELD_PX, LOCAL_PX, PER_BAND, QUIET, guide_features


def band(height: int, width: int, share: float, seed: int, bands: int = 1) -> tuple[Tensor, Tensor]:
    """Return (C, H, W) float64 of about unit deviation, 0 in nodata, and where it is valid."""
    generator = torch.Generator().manual_seed(seed)
    valid = torch.rand(height, width, generator=generator) < share
    values = torch.randn(bands, height, width, generator=generator, dtype=torch.float64)
    return values * valid, valid


def looped(values: Tensor, valid: Tensor) -> Tensor:
    """Return band, contrast and edge of one (H, W) band, pixel by pixel."""
    height, width = values.shape
    features = torch.zeros(3, height, width, dtype=torch.float64)
    receptive_field = LOCAL_PX // 2

    def at(row: int, col: int) -> float | None:
        inside = 0 <= row < height and 0 <= col < width
        return float(values[row, col]) if inside and bool(valid[row, col]) else None

    for row, col in product(range(height), range(width)):
        value = at(row, col)
        if value is None:
            continue
        square = product(
            range(row - receptive_field, row + receptive_field + 1),
            range(col - receptive_field, col + receptive_field + 1),
        )
        near = [held for held in (at(*place) for place in square) if held is not None]
        mean = sum(near) / len(near)
        spread = math.sqrt(sum((held - mean) ** 2 for held in near) / len(near)) + QUIET
        slopes = [
            0.0 if before is None or after is None else (after - before) / 2
            for before, after in ((at(row - 1, col), at(row + 1, col)), (at(row, col - 1), at(row, col + 1)))
        ]
        features[:, row, col] = torch.tensor([value, (value - mean) / spread, EDGE * math.hypot(*slopes)])
    return features


@given(st.integers(1, 12), st.integers(1, 12), st.floats(0, 1), st.integers(0, 99))
def test_features_are_the_band_its_contrast_and_its_edges(height: int, width: int, share: float, seed: int) -> None:
    values, valid = band(height, width, share, seed)
    torch.testing.assert_close(guide_features(values, valid), looped(values[0], valid), rtol=0, atol=1e-6)


def test_bands_do_not_mix() -> None:
    values, valid = band(11, 13, 0.8, 0, bands=3)
    features = guide_features(values, valid)
    assert features.shape == (PER_BAND * 3, 11, 13)
    for index in range(3):
        alone = guide_features(values[index : index + 1], valid)
        torch.testing.assert_close(features[index::3], alone, rtol=0, atol=1e-12)


def test_a_feature_depends_on_the_pixels_within_its_support_and_no_other() -> None:
    values, valid = band(21, 22, 1.0, 1)
    moved = values.clone()
    moved[0, 10, 11] += 1
    differs = (guide_features(values, valid) - guide_features(moved, valid)).abs().amax(dim=0) > 1e-9
    near = torch.zeros_like(differs)
    near[
        Window(10, 11, 1, 1)
        .padded(Halo(FEATURE_RECEPTIVE_FIELD_PX, FEATURE_RECEPTIVE_FIELD_PX), Window(0, 0, 21, 22))
        .slices
    ] = True
    assert torch.equal(differs, near)


@pytest.mark.slow
@pytest.mark.parametrize("centre", [0.0, 40.0])
def test_the_features_of_a_window_with_its_halo_are_the_wholes_in_float32(centre: float) -> None:
    """Bright or not: a variance by sums cancels in float32."""
    values, valid = band(60, 50, 0.9, 2, bands=2)
    values = ((values / 10 + centre) * valid).float()
    core, whole = Window(22, 17, 9, 12), Window(0, 0, 60, 50)
    read = core.padded(Halo(FEATURE_RECEPTIVE_FIELD_PX, FEATURE_RECEPTIVE_FIELD_PX), whole)
    rows, columns = read.slices
    part = guide_features(values[:, rows, columns], valid[rows, columns])
    rows, columns = core.relative_to(read).slices
    inside = part[:, rows, columns]
    rows, columns = core.slices
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, guide_features(values, valid)[:, rows, columns], rtol=0, atol=1e-6)
    exact = torch.stack([looped(single, valid) for single in values.double()], dim=1).flatten(0, 1)
    torch.testing.assert_close(inside.double(), exact[:, rows, columns], rtol=0, atol=1e-5)


def test_a_band_without_variation_has_no_contrast_and_no_edges() -> None:
    values = torch.full((1, 12, 12), 1.7)
    features = guide_features(values, torch.ones(12, 12, dtype=torch.bool))
    torch.testing.assert_close(features[0], values[0])
    torch.testing.assert_close(features[1:], torch.zeros(2, 12, 12), rtol=0, atol=1e-4)


def test_noise_far_below_the_bands_deviation_is_not_drawn_up_to_full_size() -> None:
    values, valid = band(30, 30, 1.0, 3)
    quiet = guide_features(values * QUIET / 10, valid)
    loud = guide_features(values, valid)
    for channel in (1, 2):
        assert float(quiet[channel].std()) < 0.15 * float(loud[channel].std())


def test_a_guide_of_nodata_has_features_of_zero() -> None:
    features = guide_features(torch.zeros(2, 5, 6), torch.zeros(5, 6, dtype=torch.bool))
    assert not bool(features.any())


@given(st.integers(0, 50), st.sampled_from([7, 12, 30]))
def test_features_made_part_by_part_are_those_of_the_whole(seed: int, side: int) -> None:
    values, valid = band(31, 23, 0.8, seed, bands=2)
    whole = guide_features(values, valid)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features_module, "PART_SIDE_PX", side)
        torch.testing.assert_close(guide_features(values, valid), whole, rtol=0, atol=1e-9)
