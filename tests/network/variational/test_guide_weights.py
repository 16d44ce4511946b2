"""Weights from a guide against plain loops, and Gaussians with gaps against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage  # type: ignore[import-untyped]
from torch import Tensor

from mmsr_geo.network.variational.energy import DIRECTIONS, THIN_PLATE, both_ends, steps_within
from mmsr_geo.network.variational.gaussian import moved, moved_mask, smoothed
from mmsr_geo.network.variational.guide_weights import Contrast, Whitening, first_weights, second_weights


def random(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


@pytest.mark.parametrize("deviation", [0.0, 0.3, 0.45, 1.0, 2.4])
def test_a_gaussian_is_scipys(deviation: float) -> None:
    layers = random((2, 17, 14))
    expected = [ndimage.gaussian_filter(layer, deviation, mode="nearest") for layer in layers.numpy()]
    found = smoothed(layers, torch.ones(17, 14, dtype=torch.bool), deviation)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_gaussian_of_valid_pixels_alone() -> None:
    layer, valid = random((11, 12)), torch.from_numpy(np.random.default_rng(3).random((11, 12)) > 0.4)
    weights = ndimage.gaussian_filter(valid.double().numpy(), 1.0, mode="nearest")
    sums = ndimage.gaussian_filter((layer * valid).numpy(), 1.0, mode="nearest")
    np.testing.assert_allclose(smoothed(layer, valid, 1.0), sums / weights, atol=1e-12)
    hidden = torch.where(valid, layer, 1e30)
    np.testing.assert_allclose(smoothed(hidden, valid, 1.0), sums / weights, atol=1e-12)
    assert (smoothed(layer, torch.zeros_like(valid), 1.0) == 0).all()


@pytest.mark.parametrize("shift", [(0.0, 0.0), (1.0, -2.0), (-3.0, 0.0)])
def test_a_shift_by_whole_pixels_moves_them(shift: tuple[float, float]) -> None:
    layer = random((9, 8))
    expected = ndimage.shift(layer.numpy(), shift, order=0, mode="nearest")
    np.testing.assert_allclose(moved(layer, shift), expected, atol=1e-12)


@pytest.mark.parametrize("shift", [(0.5, 1.25), (-0.75, 0.3), (0.0, -0.1)])
def test_a_shift_by_parts_of_pixels_is_that_of_waves(shift: tuple[float, float]) -> None:
    """A wave of seven pixels is moved to 1.5 % of its height, away from the border."""
    down, across = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")

    def wave(by: tuple[float, float]) -> Tensor:
        return torch.cos(2 * torch.pi * ((down - by[0]) + 0.5 * (across - by[1])) / 7).double()

    inner = slice(8, 32), slice(8, 32)
    np.testing.assert_allclose(moved(wave((0.0, 0.0)), shift)[inner], wave(shift)[inner], atol=0.015)
    assert torch.equal(moved(torch.ones(5, 6), shift).round(decimals=6), torch.ones(5, 6))


def test_a_moved_layer_depends_on_valid_pixels_where_its_mask_says_so() -> None:
    valid = torch.ones(20, 24, dtype=torch.bool)
    valid[7, 9] = valid[15, 3:6] = False
    for shift in ((0.0, 0.0), (2.0, -1.0), (0.25, -1.5)):
        layer = torch.where(valid, 0.0, torch.nan).double()
        assert torch.equal(moved_mask(valid, shift), moved(layer, shift).isfinite())


def test_whitening_makes_differences_alike_and_cuts_the_ends() -> None:
    guide = random((2, 40, 50))
    guide[1] = guide[0] + 0.5 * guide[1]  # two bands that have nearly all in common
    guide[0, 0, 0] = 1e6
    mask = torch.ones(40, 50, dtype=torch.bool)

    def spread_of_axes(power: float) -> float:
        channels = Whitening.of([guide], [mask], power)(guide)
        differences = torch.cat([channels.diff(dim=1).flatten(1), channels.diff(dim=2).flatten(1)], dim=1)
        variances = torch.linalg.eigvalsh(differences @ differences.T)
        return float(variances.max() / variances.min())

    assert spread_of_axes(1.0) == pytest.approx(1.0, rel=0.2)
    assert spread_of_axes(0.0) > spread_of_axes(0.5) > spread_of_axes(1.0)
    assert float(Whitening.of([guide], [mask], 0.0)(guide).max()) == pytest.approx(1.0)


def test_weights_are_those_of_the_formula_and_plain_beside_gaps() -> None:
    channels, valid = random((3, 7, 8)), torch.ones(7, 8, dtype=torch.bool)
    valid[3, 4] = False
    contrast = Contrast(0.05, knee=0.5)
    steps = steps_within(1, 2, 5)
    for step, weights in zip(steps, first_weights(channels, valid, steps, contrast), strict=True):
        length = step[0] ** 2 + step[1] ** 2
        if length == 5:
            continue
        (rows, columns), _ = both_ends((7, 8), step)
        for row in range(rows.start, rows.stop):
            for column in range(columns.start, columns.stop):
                here, there = (row, column), (row + step[0], column + step[1])
                square = float((channels[:, *here] - channels[:, *there]).square().mean()) / length
                plain = 0.05 + 0.95 * (1 + square / 0.25) ** -0.5
                expected = 2**-0.5 if (3, 4) in {here, there} else plain
                found = float(weights[row - rows.start, column - columns.start])
                assert found == pytest.approx(expected * _crofton(step))
    for step, thin, weights in zip(DIRECTIONS, THIN_PLATE, second_weights(channels, valid, contrast), strict=True):
        down, across = step
        for row in range(down, 7 - down):
            for column in range(abs(across), 8 - abs(across)):
                around = (row - down, column - across), (row, column), (row + down, column + across)
                halves = [
                    float((channels[:, *end] - channels[:, *around[1]]).square().mean()) / (down**2 + across**2)
                    for end in (around[0], around[2])
                ]
                plain = 0.05 + 0.95 * (1 + max(halves) / 0.25) ** -0.5
                expected = 2**-0.5 if (3, 4) in around else plain
                assert float(weights[row - down, column - abs(across)]) == pytest.approx(thin * expected)


def _crofton(step: tuple[int, int]) -> float:
    """16 neighbours: the next direction of (0, 1) is (1, 2), of (1, 1) too."""
    between = {1: 2 * np.arctan2(1, 2), 2: 2 * (np.pi / 4 - np.arctan2(1, 2))}
    length = step[0] ** 2 + step[1] ** 2
    return float(between[length] / np.sqrt(length) / between[1])
