"""Which sensor a pair shows; members that keep to a blurred, noisy source, in tiles as in the whole."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmsr_geo.geometry import Scale, Window
from mmsr_geo.network.degradation import degrade
from mmsr_geo.network.fit import fit_samples
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.members.alignment import Found
from mmsr_geo.network.members.fit import fit_members, window_for
from mmsr_geo.network.members.fitted import Members, needed_features
from mmsr_geo.network.members.layers import Alignment, with_softness
from mmsr_geo.network.members.sensor import sensor_blurs, settle
from mmsr_geo.network.members.table import MEMBERS, QUICK_MEMBERS
from mmsr_geo.network.members.window import WindowInputs
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.network.sensor import BLOCK_MEANS, ESTIMATED, PLAIN, Sensor, WantedSensor
from mmsr_geo.network.variational.solve import Observation
from support.scenes import fractal, scene

FOUR = Scale(4, 4)
SENSORS = [Sensor((0.4, 0.4)), Sensor((0.0, 0.3), 0.1, 1.0), Sensor((0.0, 0.0), 0.2, 3.0)]


def measured(sample: Sample, scale: Scale, sensor: Sensor, seed: int = 0) -> Sample:
    """A smooth target of the guide's first band, as a sensor shows it; the pair's guide."""
    target = sample.guide[0].double()
    held = torch.ones_like(sample.source_valid)
    source = Observation(scale, held, sensor.blur_px(scale)).seen(target)
    noise = torch.randn(source.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return replace(sample, source=(source + sensor.noise * source.std() * noise).float())


def fractals(size: tuple[int, int], scale: Scale, sensor: Sensor, seed: int = 0) -> tuple[Sample, Tensor]:
    """A source of a rough target that a guide shows, and the target."""
    side = max(size[0] * scale.y, size[1] * scale.x)
    bands = torch.stack([torch.from_numpy(fractal(side, 7 * seed + band)) for band in range(3)])
    bands = bands[:, : size[0] * scale.y, : size[1] * scale.x]
    target = bands[0] + 0.4 * bands[1].square() + 0.15 * bands[2]
    held = torch.ones(size, dtype=torch.bool)
    source = Observation(scale, held, sensor.blur_px(scale)).seen(target)
    noise = torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    source = (source + sensor.noise * source.std() * noise).float()
    guide = bands[:2].float()
    return Sample(source, held, guide, torch.ones(guide.shape[1:], dtype=torch.bool)), target


def rmse_of(wanted: WantedSensor, sample: Sample, target: Tensor, scale: Scale = FOUR) -> tuple[float, Members]:
    statistics = Statistics.of([sample])
    members, *_ = fit_members([sample], scale, statistics, QUICK_MEMBERS, wanted=wanted)
    found = members.predict(members.window(sample, statistics, scale))
    errors = found * statistics.source_spread + statistics.source_centre - target
    return float(errors[8:-8, 8:-8].square().mean().sqrt()), members


@pytest.mark.parametrize("width", [0.4, 0.55])
def test_a_blurred_source_is_predicted_better_with_its_blur_given_or_estimated(width: float) -> None:
    sample, target = fractals((56, 56), FOUR, Sensor((width, width)))
    none, _ = rmse_of(BLOCK_MEANS, sample, target)
    known, _ = rmse_of(WantedSensor((width, width), "none"), sample, target)
    auto, members = rmse_of(ESTIMATED, sample, target)
    assert known < 0.6 * none
    assert auto < 0.7 * none
    assert members.sensor.blur[0] == pytest.approx(width, rel=0.2)
    assert members.sensor.noise == 0
    low, high = members.findings.blur
    assert low <= members.sensor.blur[0] <= high
    assert members.findings.misfit < 0.05


@pytest.mark.parametrize("blur", [(0.6, 0.35), (0.3, 0.6)])
def test_a_blur_that_is_wider_in_one_direction_is_found(blur: tuple[float, float]) -> None:
    sample, target = fractals((56, 56), FOUR, Sensor(blur))
    none, _ = rmse_of(BLOCK_MEANS, sample, target)
    auto, members = rmse_of(ESTIMATED, sample, target)
    assert members.sensor.blur == pytest.approx(blur, abs=0.1)
    assert auto < 0.7 * none
    assert "down and" in members.findings.sentence(members.sensor, 1.0)
    round_blur, _ = rmse_of(WantedSensor((math.sqrt(math.prod(members.sensor.blur)),) * 2, "none"), sample, target)
    assert auto < 0.95 * round_blur


def test_block_means_stay_exact_whatever_may_be_estimated() -> None:
    sample, target = fractals((56, 56), FOUR, PLAIN)
    none, exact = rmse_of(BLOCK_MEANS, sample, target)
    auto, members = rmse_of(ESTIMATED, sample, target)
    assert members.sensor == exact.sensor == PLAIN
    assert auto == none
    statistics = Statistics.of([sample])
    found = members.predict(members.window(sample, statistics, FOUR))
    torch.testing.assert_close(degrade(found, FOUR), statistics.centred_source(sample.source), rtol=0, atol=1e-5)


def test_a_noisy_blurred_source_is_predicted_better_with_its_noise() -> None:
    sensor = Sensor((0.4, 0.4), 0.15)
    sample, target = fractals((56, 56), FOUR, sensor)
    none, _ = rmse_of(BLOCK_MEANS, sample, target)
    without, _ = rmse_of(WantedSensor((0.4, 0.4), "none"), sample, target)
    noise = sensor.noise * float(sample.source.std())
    known, members = rmse_of(WantedSensor((0.4, 0.4), noise), sample, target)
    assert known < 0.8 * min(none, without)
    assert members.sensor.noise == pytest.approx(0.15, rel=0.05)
    assert members.sensor.softness > 0
    assert set(members.weights) <= set(QUICK_MEMBERS)
    assert 0.05 < members.findings.misfit < 0.2


@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize("name", MEMBERS)
def test_members_show_the_source_up_to_its_noise(name: str, sensor: Sensor) -> None:
    sample, members, statistics = fitted(name, Scale(3, 2), (20, 18), sensor)
    window = members.window(sample, statistics, Scale(3, 2))
    missing = window.layers.source - window.observation.seen(members.predict(window))
    assert float(missing.square().mean().sqrt()) < max(0.25, 2 * sensor.noise)


@cache
def fitted(name: str, scale: Scale, size: tuple[int, int], sensor: Sensor) -> tuple[Sample, Members, Statistics]:
    """A sample as a sensor shows it, and one member alone, with the softness of its noise."""
    sample = measured(scene(*size, scale), scale, sensor)
    statistics, alignment = Statistics.of([sample]), Alignment(0.6, (0.5, -1.0))
    _, scaling = window_for(sample, statistics, scale, alignment, [name])
    layers = scaling.layers(sample, statistics, scale, alignment, needed_features([name]), sensor)
    (layers,) = with_softness([layers])
    sensor = replace(sensor, softness=layers.softness)
    state = MEMBERS[name].fit([WindowInputs(layers, scaling)])
    return sample, Members(scaling, alignment, {name: 1.0}, {name: state}, sensor), statistics


@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize(("scale", "size"), [(Scale(2, 2), (72, 70)), (Scale(4, 4), (60, 58))])
def test_a_window_with_its_halo_is_the_same_window_of_the_whole(
    name: str, scale: Scale, size: tuple[int, int], sensor: Sensor
) -> None:
    sample, members, statistics = fitted(name, scale, size, sensor)
    whole = Window(0, 0, *size)
    target = members.predict(members.window(sample, statistics, scale))
    core = Window(size[0] // 2 - 1, size[1] // 2 - 1, 2, 2)
    read = core.padded(members.receptive_field(scale), whole)
    assert read != whole
    part = members.predict(members.window(sample.cut(read, scale), statistics, scale))
    found = part[core.relative_to(read).refined(scale).slices]
    torch.testing.assert_close(found, target[core.refined(scale).slices], rtol=0, atol=3e-4)


@settings(deadline=None, max_examples=20)
@given(
    blur=st.tuples(st.floats(0.0, 0.8), st.floats(0.0, 0.8)),
    noise=st.sampled_from([0.0, 0.1, 0.3]),
    scale=st.sampled_from([Scale(2, 2), Scale(3, 3), Scale(2, 4)]),
    name=st.sampled_from(QUICK_MEMBERS),
    core=st.tuples(st.integers(0, 43), st.integers(0, 41), st.integers(1, 6), st.integers(1, 6)),
)
def test_a_tile_is_that_of_the_whole_whatever_the_blur(
    blur: tuple[float, float], noise: float, scale: Scale, name: str, core: tuple[int, int, int, int]
) -> None:
    size = (64, 60)
    sensor = Sensor(blur, noise, 1.0 if noise else 0.0)
    sample = measured(scene(*size, scale), scale, sensor)
    statistics, alignment = Statistics.of([sample]), Alignment(0.8, (0.25, -0.5))
    window, scaling = window_for(sample, statistics, scale, alignment, [name])
    members = Members(scaling, alignment, {name: 1.0}, {name: MEMBERS[name].fit([window])}, sensor)
    target = members.predict(members.window(sample, statistics, scale))
    tile, whole = Window(*core), Window(0, 0, *size)
    read = tile.padded(members.receptive_field(scale), whole)
    part = members.predict(members.window(sample.cut(read, scale), statistics, scale))
    found = part[tile.relative_to(read).refined(scale).slices]
    torch.testing.assert_close(found, target[tile.refined(scale).slices], rtol=0, atol=3e-4)


def found(low: float, middle: float, high: float, scale: Scale = FOUR, **known: Any) -> Found:
    side = math.sqrt(scale.area)
    base = Found(middle * side, (low * side, middle * side, high * side), 0.9, 0.2)
    return replace(base, **known)


def test_what_certainly_is_a_sensors_blur_is_taken_and_nothing_else() -> None:
    low, likely, high = sensor_blurs(found(0.42, 0.45, 0.48), FOUR)
    assert 0.3 < low < likely < high < 0.48
    nothing = (0.0, 0.0, 0.0)
    assert sensor_blurs(found(0.2, 0.25, 0.3), FOUR) == nothing  # a target that is smooth itself
    assert sensor_blurs(found(0.42, 0.45, 0.48, agreeing=0.5), FOUR) == nothing  # blocks disagree: chance
    assert sensor_blurs(found(0.42, 0.45, 0.48, shift_px=(-1.75, 0.0)), FOUR) == nothing  # shading
    assert sensor_blurs(found(0.95, 1.0, 1.1), FOUR) == nothing  # no sensor is that blurred
    two = Scale(2, 2)
    assert sensor_blurs(found(0.32, 0.33, 0.34, two), two) == nothing  # two thirds of a target pixel
    less = sensor_blurs(found(0.42, 0.45, 0.48, unexplained=0.7), FOUR)[1]
    assert 0 < less < likely


@given(st.floats(0.0, 1.2), st.floats(0.0, 0.1), st.floats(0.0, 1.0), st.sampled_from([Scale(2, 2), FOUR, Scale(1, 6)]))
def test_a_sensors_blur_is_never_more_than_all_of_it(
    middle: float, width: float, unexplained: float, scale: Scale
) -> None:
    one = found(max(0.0, middle - width), middle, middle + width, scale, unexplained=unexplained)
    low, likely, high = sensor_blurs(one, scale)
    assert 0 <= low <= likely <= high <= 1
    assert likely <= middle


@settings(deadline=None)
@given(st.floats(0.3, 0.9), st.sampled_from([(4, 4), (2, 2), (2, 4)]))
def test_the_guide_is_blurred_by_what_the_target_shares(blur: float, factors: tuple[int, int]) -> None:
    scale = Scale(*factors)
    side = math.sqrt(scale.area)
    given_blur = WantedSensor((0.4 * side / scale.y, 0.4 * side / scale.x), "none")
    settled = settle(found(blur, blur, blur, scale), [], scale, given_blur)
    assert settled.sensor.blur == given_blur.psf
    shared = math.sqrt(max(0.0, blur**2 - 0.4**2)) * side
    assert settled.alignment.blur_px == pytest.approx(1.15 * max(shared, 0.5), rel=1e-2, abs=1e-3)
    plain = settle(found(blur, blur, blur, scale), [], scale, BLOCK_MEANS)
    assert plain.alignment.blur_px == pytest.approx(min(1.15 * blur * side, 4.03), abs=1e-3)
    assert plain.sensor == PLAIN


def test_a_model_keeps_its_sensor_and_says_what_is_assumed(tmp_path: Path) -> None:
    sample, _ = fractals((40, 40), FOUR, Sensor((0.45, 0.45), 0.05))
    params = FitParams(network=False, quick_members=True, threads=1, sensor=WantedSensor((0.45, 0.3), 0.08))
    model = fit_samples([sample], FOUR, params, guide_bands=("red", "nir"))
    model.save(tmp_path / "model.mmsr")
    again = FittedModel.load(tmp_path / "model.mmsr")
    assert again.sensor == model.sensor
    assert again.sensor.blur == (0.45, 0.3)
    assert again.measurement == model.measurement
    assert "blurred by 0.45 down and 0.30 across source pixels" in model.measurement
    assert "noise of 0.08" in model.measurement
    assert torch.equal(again.predictor()(sample), model.predictor()(sample))
    assert model.digest == again.digest
    other = replace(params, sensor=BLOCK_MEANS)
    assert fit_samples([sample], FOUR, other, guide_bands=("red", "nir")).digest != model.digest


def test_a_noise_that_is_given_counts_where_most_of_the_source_is_nodata() -> None:
    sample, _ = fractals((40, 40), FOUR, PLAIN)
    valid = torch.zeros_like(sample.source_valid)
    valid[:, :24] = True
    gappy = replace(sample, source_valid=valid)
    wanted = WantedSensor("none", 0.1)
    members, *_ = fit_members([gappy], FOUR, Statistics.of([gappy]), QUICK_MEMBERS, wanted=wanted)
    assert members.sensor.noise > 0
    assert members.sensor.softness > 0
