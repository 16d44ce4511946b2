"""Blurred and noisy sources: the solver against matrices, the estimate of noise, and what a softness is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import degrade, make_consistent
from mmsr_geo.network.sensor import PLAIN, Sensor
from mmsr_geo.network.variational.correction import kept_to_source
from mmsr_geo.network.variational.energy import Energy
from mmsr_geo.network.variational.gaussian import taps
from mmsr_geo.network.variational.guide_weights import Contrast, guided_energy
from mmsr_geo.network.variational.noise import MOST_SOFT, estimated_noise, softness
from mmsr_geo.network.variational.solve import DAMPING, Observation, Stop, solve
from mmsr_geo.network.variational.spectral import finest_detail

SCALES = [Scale(2, 2), Scale(3, 1), Scale(4, 4)]
BLURS = [(0.0, 0.0), (1.1, 0.0), (0.4, 2.6), (1.8, 1.2)]


def blurring(length: int, deviation: float) -> Tensor:
    """The matrix of a Gaussian beyond whose ends the layer is mirrored."""
    weights = taps(deviation)
    matrix = torch.zeros(length, length, dtype=torch.float64)
    for row in range(length):
        for at, weight in enumerate(weights, row - len(weights) // 2):
            mirrored = at % (2 * length)
            matrix[row, min(mirrored, 2 * length - 1 - mirrored)] += weight
    return matrix


def averaging(length: int, factor: int) -> Tensor:
    ones = torch.full((1, factor), 1 / factor, dtype=torch.float64)
    return torch.kron(torch.eye(length // factor, dtype=torch.float64), ones)


def operator(size: tuple[int, int], scale: Scale, blur: tuple[float, float]) -> Tensor:
    """The matrix from a target's pixels to a source's."""
    (height, width) = size[0] * scale.y, size[1] * scale.x
    rows = averaging(height, scale.y) @ blurring(height, blur[0])
    return torch.kron(rows, averaging(width, scale.x) @ blurring(width, blur[1]))


def guided(shape: tuple[int, int], seed: int = 0) -> Energy:
    """An energy with strong edges, in float64."""
    guide = torch.rand(2, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) / 50
    guide[:, :, : shape[1] // 2] += 1
    valid = torch.ones(shape, dtype=torch.bool)
    valid[: shape[0] // 4, : shape[1] // 4] = False
    return guided_energy(guide, valid, slope=0.3, contrast=Contrast(0.01))


def source_of(size: tuple[int, int], seed: int = 1) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def observed(size: tuple[int, int], scale: Scale, blur: tuple[float, float], soft: float = 0.0) -> Observation:
    return Observation(scale, torch.ones(size, dtype=torch.bool), blur, soft)


@pytest.mark.parametrize("blur", BLURS)
@pytest.mark.parametrize("scale", SCALES)
def test_a_source_shows_a_target_blurred_and_averaged(scale: Scale, blur: tuple[float, float]) -> None:
    size = 7, 6
    target = source_of((size[0] * scale.y, size[1] * scale.x))
    wanted = (operator(size, scale, blur) @ target.flatten()).reshape(size)
    torch.testing.assert_close(observed(size, scale, blur).seen(target), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("soft", [0.0, 0.3, 20.0])
@pytest.mark.parametrize("blur", BLURS)
@pytest.mark.parametrize("scale", SCALES)
def test_a_soft_solution_is_that_of_matrices(scale: Scale, blur: tuple[float, float], soft: float) -> None:
    if blur == (0.0, 0.0) and soft == 0:
        return
    size = 7, 6
    source, seen = source_of(size), operator(size, scale, blur)
    shape = size[0] * scale.y, size[1] * scale.x
    variance = max(soft, DAMPING) * finest_detail(scale)
    for energy in (Energy.smooth(shape), guided(shape)):
        units = torch.eye(shape[0] * shape[1], dtype=torch.float64).reshape(-1, *shape)
        curvature = torch.stack([energy.gradient(unit).flatten() for unit in units])
        wanted = torch.linalg.solve(curvature + seen.T @ seen / variance, seen.T @ source.flatten() / variance)
        found = solve(energy, observed(size, scale, blur, soft), source, stop=Stop(400, 1e-7))
        torch.testing.assert_close(found, wanted.reshape(shape), rtol=0, atol=2e-4)
        begun = solve(
            energy, observed(size, scale, blur, soft), source, start=source_of(shape, 5), stop=Stop(400, 1e-7)
        )
        torch.testing.assert_close(begun, wanted.reshape(shape), rtol=0, atol=2e-4)


def test_without_blur_and_noise_the_block_means_are_exact() -> None:
    size, scale = (7, 6), Scale(4, 4)
    source = source_of(size)
    assert observed(size, scale, (0.0, 0.0)).exact
    target = solve(guided((28, 24)), observed(size, scale, (0.0, 0.0)), source)
    torch.testing.assert_close(degrade(target, scale), source, rtol=0, atol=1e-12)


@pytest.mark.parametrize("blur", [0.3, 0.45])
def test_a_blurred_target_is_found_again_better_with_its_blur(blur: float) -> None:
    scale, size = Scale(4, 4), (20, 20)
    down, across = np.meshgrid(np.arange(80), np.arange(80), indexing="ij")
    target = torch.from_numpy(np.sin(down / 7.0) * np.cos(across / 5.0) + 0.3 * np.sin((down + across) / 4.0))
    source = observed(size, scale, (4 * blur, 4 * blur)).seen(target)
    inner = slice(8, -8), slice(8, -8)

    def error(assumed: float) -> float:
        found = solve(Energy.smooth((80, 80)), observed(size, scale, (4 * assumed, 4 * assumed)), source)
        return float((found - target)[inner].square().mean().sqrt())

    assert error(blur) < 0.5 * error(0.0)
    assert error(blur) < error(0.75 * blur) < error(0.0)


@pytest.mark.parametrize("share", [0.02, 0.05])
def test_noise_is_found_again_beside_smooth_detail(share: float) -> None:
    smooth = spectrum_of(64, power=2.0, seed=3)
    noisy = smooth + share * torch.randn(64, 64, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    scale = Scale(4, 4)
    clean, found = estimated_noise([smooth], scale, (0.0, 0.0)), estimated_noise([noisy], scale, (0.0, 0.0))
    assert clean.certain == 0
    assert found.low > 0
    assert found.value == pytest.approx(share, rel=0.15)
    assert found.low <= found.value <= found.high
    quarters = [
        noisy[rows, columns] for rows in (slice(0, 32), slice(32, 64)) for columns in (slice(0, 32), slice(32, 64))
    ]
    assert estimated_noise(quarters, scale, (0.0, 0.0)).value == pytest.approx(share, rel=0.3)


def test_no_noise_is_certain_in_a_few_pixels() -> None:
    assert estimated_noise([torch.randn(7, 9)], Scale(2, 2), (0.0, 0.0)).certain == 0


def test_rough_detail_is_not_noise() -> None:
    rough = spectrum_of(64, power=1.0, seed=6)
    assert estimated_noise([rough], Scale(2, 2), (0.0, 0.0)).value < 0.08


@given(st.floats(0.01, 1.0), st.floats(0.1, 10.0))
def test_softness_has_no_unit(noise: float, unit: float) -> None:
    source = spectrum_of(16, power=2.0, seed=1)
    energies = [Energy.smooth((32, 32))]
    found = softness([source], energies, Scale(2, 2), (0.5, 0.5), noise)
    again = softness([unit * source], energies, Scale(2, 2), (0.5, 0.5), unit * noise)
    assert again == pytest.approx(found, rel=1e-2)
    assert 0 < found <= MOST_SOFT * 1.001


def test_more_noise_is_softer() -> None:
    source = spectrum_of(32, power=2.0, seed=2)
    energies = [Energy.smooth((64, 64))]
    found = [softness([source], energies, Scale(2, 2), (0.0, 0.0), noise) for noise in (0.0, 0.01, 0.05, 0.2)]
    assert found[0] == 0
    assert found == sorted(found)
    assert found[1] < found[-1]


def test_softly_kept_noise_is_less_than_all_of_it() -> None:
    """Of a smooth source with noise, the soft target is nearer to the truth than the exact one."""
    scale = Scale(4, 4)
    truth = spectrum_of(128, power=2.5, seed=5)
    clean = degrade(truth, scale)
    noise = 0.05 * float(clean.std())
    source = clean + noise * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    energy = Energy.smooth((128, 128))
    soft = softness([source], [energy], scale, (0.0, 0.0), noise)

    def error(observation: Observation) -> float:
        return float((solve(energy, observation, source) - truth).square().mean().sqrt())

    size = (32, 32)
    assert error(observed(size, scale, (0.0, 0.0), soft)) < 0.8 * error(observed(size, scale, (0.0, 0.0)))


def test_a_correction_without_a_sensor_is_back_projection() -> None:
    scale, size = Scale(2, 3), (6, 5)
    prediction, source = source_of((12, 15)), source_of(size)
    valid = torch.rand(size, generator=torch.Generator().manual_seed(2)) > 0.2
    found = kept_to_source(prediction, source, valid, Observation.of(scale, valid, PLAIN))
    assert torch.equal(found, make_consistent(prediction, source, valid, scale))


def test_a_correction_with_a_sensor_shows_the_source() -> None:
    scale, size = Scale(2, 3), (12, 10)
    target = torch.nn.functional.avg_pool2d(source_of((36, 42))[None], 13, stride=1)[0, :24, :30]
    observation = Observation.of(scale, torch.ones(size, dtype=torch.bool), Sensor((0.4, 0.3)))
    source = observation.seen(target)
    found = kept_to_source(torch.zeros(24, 30), source, torch.ones(size, dtype=torch.bool), observation)
    assert float((observation.seen(found) - source).abs().max()) < 0.1 * float(source.std())
    assert float((found - target).abs().mean()) < 0.5 * float(target.abs().mean())


def spectrum_of(side: int, power: float, seed: int) -> Tensor:
    """A picture whose amplitude falls with a power of the frequency, of deviation 1."""
    noise = np.fft.rfft2(np.random.default_rng(seed).standard_normal((2 * side, 2 * side)))
    frequencies = np.hypot(np.fft.fftfreq(2 * side)[:, None], np.fft.rfftfreq(2 * side))
    frequencies[0, 0] = math.inf
    picture = np.fft.irfft2(noise / frequencies**power, (2 * side, 2 * side))[:side, :side]
    return torch.from_numpy((picture - picture.mean()) / picture.std())
