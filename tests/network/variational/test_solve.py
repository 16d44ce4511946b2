"""The variational core against a sparse direct solve of the same conditions, and its closed form against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.fft  # type: ignore[import-untyped]
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import block_array, csr_array, diags_array, eye_array, kron  # type: ignore[import-untyped]
from scipy.sparse.linalg import spsolve  # type: ignore[import-untyped]
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import degrade
from mmsr_geo.network.variational.energy import (
    DIRECTIONS,
    Energy,
    Step,
    both_ends,
    direction_weights,
    steps_within,
    three_in_a_row,
)
from mmsr_geo.network.variational.solve import Observation, Stop, solve
from mmsr_geo.network.variational.spectral import Spectrum, _dct_last, _idct_last, cosine_transform

TIGHT = Stop(steps=400, tolerance=1e-12)


def random(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


EIGHT = steps_within(1, 2)


def weighted(shape: tuple[int, int], seed: int = 0, steps: tuple[Step, ...] = EIGHT, *, second: bool = True) -> Energy:
    """An energy whose weights range over three orders of magnitude."""
    rng = np.random.default_rng(seed)

    def weights(part: tuple[slice, ...]) -> Tensor:
        return torch.from_numpy(10 ** rng.uniform(-2, 1, size=torch.empty(shape)[part].shape))

    return Energy(
        shape,
        steps,
        tuple(weights(both_ends(shape, step)[0]) for step in steps),
        DIRECTIONS if second else (),
        tuple(weights(three_in_a_row(shape, step)[0]) for step in DIRECTIONS) if second else (),
    )


def rows_of(energy: Energy) -> tuple[csr_array, NDArray[np.float64]]:
    """All differences of an energy as a sparse matrix, one by one, with their weights."""
    height, width = energy.shape_yx
    entries, weights = [], []
    for step, values in zip(energy.first_steps, energy.first, strict=True):
        flat = iter(values.flatten().tolist())
        for row in range(height):
            for column in range(width):
                there = row + step[0], column + step[1]
                if 0 <= there[0] < height and 0 <= there[1] < width:
                    entries.append({(row, column): -1.0, there: 1.0})
                    weights.append(next(flat))
    for step, values in zip(energy.second_steps, energy.second, strict=True):
        flat = iter(values.flatten().tolist())
        for row in range(height):
            for column in range(width):
                before, after = (row - step[0], column - step[1]), (row + step[0], column + step[1])
                if all(0 <= r < height and 0 <= c < width for r, c in (before, after)):
                    entries.append({before: 1.0, (row, column): -2.0, after: 1.0})
                    weights.append(next(flat))
    at = [(i, r * width + c, v) for i, entry in enumerate(entries) for (r, c), v in entry.items()]
    index, place, value = zip(*at, strict=True)
    return csr_array((value, (index, place)), shape=(len(entries), height * width)), np.array(weights)


def direct(energy: Energy, observation: Observation, source: Tensor) -> Tensor:
    """The slow way: the conditions of Lagrange as one sparse system."""
    height, width = energy.shape_yx
    differences, weights = rows_of(energy)
    hessian = differences.T @ diags_array(weights) @ differences
    means = kron(
        kron(eye_array(height // observation.scale.y), np.full((1, observation.scale.y), 1 / observation.scale.y)),
        kron(eye_array(width // observation.scale.x), np.full((1, observation.scale.x), 1 / observation.scale.x)),
    ).tocsr()
    kept = means[observation.held.flatten().numpy().nonzero()[0]]
    system = block_array([[hessian, kept.T], [kept, None]]).tocsc()
    right = np.concatenate([np.zeros(height * width), source[observation.held].numpy()])
    return torch.from_numpy(spsolve(system, right)[: height * width].reshape(height, width))


@pytest.mark.parametrize("length", [1, 2, 3, 8, 15])
def test_the_cosine_transforms_of_torch_are_those_of_scipy(length: int) -> None:
    values = random((3, length))
    np.testing.assert_allclose(_dct_last(values), scipy.fft.dct(values.numpy(), norm="ortho"), atol=1e-12)
    np.testing.assert_allclose(_idct_last(values), scipy.fft.idct(values.numpy(), norm="ortho"), atol=1e-12)


@pytest.mark.parametrize("scale", [Scale(4, 4), Scale(2, 3), Scale(1, 4), Scale(5, 1)])
def test_the_spectrum_averages_as_block_means_do(scale: Scale) -> None:
    shape = 3 * scale.y, 7 * scale.x
    target, source = random(shape), random((3, 7), seed=1)
    spectrum = Spectrum.of(shape, scale)
    averaged = spectrum.average(cosine_transform(target))
    torch.testing.assert_close(averaged, cosine_transform(degrade(target, scale)))
    assert float((averaged * source).sum()) == pytest.approx(
        float((cosine_transform(target) * spectrum.spread(source)).sum())
    )
    matrix = torch.stack(
        [spectrum.average(unit).flatten() for unit in torch.eye(math.prod(shape)).double().view(-1, *shape)], 1
    )
    diagonal = random(shape, seed=2).abs()
    product = (matrix * diagonal.flatten()) @ matrix.T
    torch.testing.assert_close(product, torch.diag(spectrum.average_of(diagonal).flatten()))


@pytest.mark.parametrize("energy", [weighted((6, 9)), weighted((5, 7), steps=steps_within(1, 2, 5, 10), second=False)])
def test_an_energy_is_half_the_sum_of_its_weighted_squares_and_its_gradient_the_derivative(energy: Energy) -> None:
    target = random(energy.shape_yx)
    differences, weights = rows_of(energy)
    values = differences @ target.flatten().numpy()
    assert energy(target) == pytest.approx((weights * values**2).sum() / 2)
    expected = differences.T @ (weights * values)
    np.testing.assert_allclose(energy.gradient(target).flatten(), expected, atol=1e-12)
    listed = torch.cat([difference.flatten() for difference in energy.differences(target)])
    np.testing.assert_allclose(listed, values, atol=1e-12)


def test_steps_and_their_weights_are_those_of_the_formula() -> None:
    assert [len(steps_within(*lengths)) for lengths in ((1,), (1, 2), (1, 2, 5), (1, 2, 5, 10), (1, 2, 5, 10, 13))] == [
        2,
        4,
        8,
        12,
        16,
    ]
    weights = dict(zip(steps_within(1, 2, 5, 10), direction_weights(steps_within(1, 2, 5, 10)), strict=True))
    assert [weights[step] for step in ((0, 1), (1, 1), (1, 2), (1, 3))] == pytest.approx(
        [1.0, 0.707, 0.322, 0.228], abs=6e-4
    )


@settings(max_examples=25)
@given(
    height=st.integers(3, 7),
    width=st.integers(3, 7),
    scale=st.sampled_from([Scale(2, 2), Scale(4, 4), Scale(3, 2), Scale(1, 4)]),
    seed=st.integers(0, 10**6),
    missing=st.floats(0, 0.5),
    second=st.booleans(),
)
def test_it_is_the_direct_solution(
    height: int, width: int, scale: Scale, seed: int, missing: float, *, second: bool
) -> None:
    source = random((height, width), seed)
    valid = torch.from_numpy(np.random.default_rng(seed).random((height, width)) >= missing)
    valid[0, 0] = valid[1, 2] = valid[2, 1] = True  # three pixels in no line: the energy has one minimum
    observation = Observation(scale, valid)
    energy = weighted(observation.shape_yx, seed, second=second)
    found = solve(energy, observation, source, stop=TIGHT)
    expected = direct(energy, observation, source)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(degrade(found, scale)[valid], source[valid])


def test_constant_weights_on_a_torus_of_reflections_need_no_step() -> None:
    """The closed form is of a raster that is mirrored without end: the direct solution of nine mirrored copies."""
    observation = Observation(Scale(3, 2), torch.ones(5, 6, dtype=torch.bool))
    source, energy = random((5, 6)), Energy.constant(observation.shape_yx, slope=0.1, curvature=1.0)
    lifted = solve(energy, observation, source, stop=Stop(steps=0))
    mirrored = torch.cat([source.flip(0), source, source.flip(0)])
    mirrored = torch.cat([mirrored.flip(1), mirrored, mirrored.flip(1)], dim=1)
    around = Observation(observation.scale, torch.ones(15, 18, dtype=torch.bool))
    expected = direct(Energy.constant(around.shape_yx, slope=0.1, curvature=1.0), around, mirrored)
    torch.testing.assert_close(lifted, expected[15:30, 12:24], atol=5e-3, rtol=0)
