"""Reweighted solutions: the preconditioner against dense matrices, and what many steps converge to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import degrade
from mmsr_geo.network.variational.energy import Energy, both_ends, steps_within
from mmsr_geo.network.variational.reweighted import (
    Schedule,
    _block,
    _BlockPreconditioner,
    _chebyshev,
    difference_sizes,
    edge_preserving,
    piecewise_constant,
)
from mmsr_geo.network.variational.solve import Observation, Stop, solve

STEPS = steps_within(1, 2, 5, 10)
CASES = [(Scale(2, 2), (4, 5)), (Scale(4, 4), (3, 4)), (Scale(3, 2), (4, 3)), (Scale(12, 12), (2, 2))]


def random(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def first_order(shape: tuple[int, int], seed: int = 0) -> Energy:
    rng = np.random.default_rng(seed)
    parts = [torch.empty(shape)[both_ends(shape, step)[0]].shape for step in STEPS]
    return Energy(shape, STEPS, tuple(torch.from_numpy(10 ** rng.uniform(-1, 1, part)) for part in parts), (), ())


def observation_of(scale: Scale, size: tuple[int, int], *, gaps: bool) -> Observation:
    valid = torch.ones(size, dtype=torch.bool)
    valid[0, 1] = not gaps
    return Observation(scale, valid)


@pytest.mark.parametrize(("scale", "size"), CASES)
@pytest.mark.parametrize("gaps", [False, True])
def test_the_preconditioner_inverts_each_block_and_leaves_the_means_of_valid_pixels(
    scale: Scale, size: tuple[int, int], *, gaps: bool
) -> None:
    observation = observation_of(scale, size, gaps=gaps)
    height, width = observation.shape_yx
    energy = first_order((height, width))
    residual = random((height, width), 1)
    units = torch.eye(height * width, dtype=torch.float64).view(-1, height, width)
    dense = torch.stack([energy.gradient(unit).flatten() for unit in units])
    down, across = _block(scale.y), _block(scale.x)
    row, column = np.divmod(np.arange(height * width), width)
    block = torch.from_numpy(row // down * (width // across) + column // across)
    source_px = torch.from_numpy(row // scale.y * (width // scale.x) + column // scale.x)
    inverse = torch.linalg.inv(torch.where(block[:, None] == block, dense, 0.0) + 1e-9 * torch.eye(len(dense)).double())
    expected = inverse @ residual.flatten()
    ones = inverse.sum(dim=1)
    for index in range(observation.held.numel()):
        if observation.held.flatten()[index]:
            inside = source_px == index
            expected[inside] -= ones[inside] * expected[inside].sum() / ones[inside].sum()
    found = _BlockPreconditioner(energy, observation)(residual)
    torch.testing.assert_close(found.flatten(), expected, rtol=1e-4, atol=1e-6)
    assert degrade(found, scale)[observation.held].abs().max() < 1e-12


@pytest.mark.parametrize(("scale", "size"), CASES[:3])
@pytest.mark.parametrize("gaps", [False, True])
def test_many_steps_converge_to_the_least_energy(scale: Scale, size: tuple[int, int], *, gaps: bool) -> None:
    observation = observation_of(scale, size, gaps=gaps)
    energy, source = first_order(observation.shape_yx), random(size)
    start = source.repeat_interleave(scale.y, 0).repeat_interleave(scale.x, 1)
    found = _chebyshev(energy, observation, start, steps=400, smallest=0.003)
    expected = solve(energy, observation, source, stop=Stop(steps=400, tolerance=1e-12))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_piecewise_constant_parts_are_found_again(dtype: torch.dtype) -> None:
    """Two flat halves with a slanted edge between them that the guide shows: bicubic has it blurred."""
    scale = Scale(4, 4)
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(56.0), indexing="ij")
    truth = torch.where(columns + 0.3 * rows > 34, 1.0, -1.0).double()
    source, observation = degrade(truth, scale), Observation(scale, torch.ones(12, 14, dtype=torch.bool))
    weights = []
    for step in STEPS:
        here, there = both_ends(observation.shape_yx, step)
        weights.append(torch.where(truth[here] == truth[there], 1.0, 0.05).to(dtype))
    found = piecewise_constant(source, observation, STEPS, weights)
    assert found.dtype == dtype
    assert (found - truth).square().mean().sqrt() < 0.02
    assert (degrade(found.double(), scale) - source).abs().max() < 1e-5


def test_the_knees_fall_geometrically() -> None:
    knees = Schedule(first_knee=8.0, last_knee=0.5, rounds=5).knees
    assert knees == pytest.approx([8.0, 4.0, 2.0, 1.0, 0.5])


def test_an_edge_preserving_energy_without_a_knee_in_reach_is_the_quadratic_one() -> None:
    scale, energy = Scale(3, 3), Energy.constant((12, 15), slope=0.1, curvature=1.0)
    observation, source = Observation(scale, torch.ones(4, 5, dtype=torch.bool)), random((4, 5))
    quadratic = solve(energy, observation, source, stop=Stop(200, 1e-10))
    sizes = difference_sizes([(energy, quadratic)])
    assert sizes == pytest.approx(
        (
            np.sqrt(np.mean(np.concatenate([np.diff(quadratic, axis=axis).ravel() ** 2 for axis in (0, 1)]))),
            np.sqrt(np.mean(np.concatenate([np.diff(quadratic, 2, axis=axis).ravel() ** 2 for axis in (0, 1)]))),
        )
    )
    loose = edge_preserving(energy, observation, source, sizes, knee=1e6)
    torch.testing.assert_close(loose, quadratic, rtol=0, atol=1e-5)
    sharp = edge_preserving(energy, observation, source, sizes, knee=0.5)
    assert sharp.diff(dim=1).abs().quantile(0.5) < quadratic.diff(dim=1).abs().quantile(0.5)
    torch.testing.assert_close(degrade(sharp, scale), source)
