"""The regression of detail on random features: against slow solutions, and what it finds again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mmsr_geo.errors import ModelFileError
from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import bicubic, degrade, fill_nodata, make_consistent
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.guide_check import reduce_sample
from mmsr_geo.network.members import ridge_regression as module
from mmsr_geo.network.members import table
from mmsr_geo.network.members.fitted import Members
from mmsr_geo.network.members.layers import AS_IT_IS, FREE_PX, Alignment, GuideScaling
from mmsr_geo.network.members.ridge_regression import (
    FARTHEST,
    FREQUENCY_SCALE,
    N_PREDICTORS_PER_BAND,
    N_RANDOM_FEATURES,
    RIDGE,
    SMOOTHINGS,
    TAIL,
    TRUE_SCALE_ROWS,
    Regression,
    RegressionRows,
    fit_regression,
    n_predictors,
    pixel_predictors,
    pixel_predictors_by_block,
    regression_receptive_field,
)
from mmsr_geo.network.members.table import MemberState, RidgeRegression
from mmsr_geo.network.members.window import WindowInputs
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.network.stacking import StackingWeights
from support.scenes import scene, with_gaps

TWO, ODD = Scale(2, 2), Scale(2, 3)
NAME = RidgeRegression().name


def drawn_regression(bands: int = 2, seed: int = 0) -> Regression:
    """Return a regression whose every number is drawn, with coefficients as large as real ones."""
    generator = torch.Generator().manual_seed(seed)
    count = n_predictors(bands)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return Regression(
        centre=draw(count, 1) / 10,
        spread=1 + draw(count, 1).abs(),
        waves=draw(N_RANDOM_FEATURES, count) * FREQUENCY_SCALE / math.sqrt(count),
        phases=draw(N_RANDOM_FEATURES, 1),
        coefficients=draw(1 + count + N_RANDOM_FEATURES) / 10,
    )


def window_of(sample: Sample, scale: Scale, alignment: Alignment = AS_IT_IS) -> WindowInputs:
    """Return what members see of a sample."""
    statistics = Statistics.of([sample])
    scaling = GuideScaling.of([sample], statistics, torch.Generator().manual_seed(0))
    return WindowInputs(scaling.layers(sample, statistics, scale, alignment, ()), scaling)


def members_of(sample: Sample, state: MemberState, alignment: Alignment = AS_IT_IS) -> Members:
    """Return the ridge regression as the only member."""
    scaling = GuideScaling.of([sample], Statistics.of([sample]), torch.Generator().manual_seed(0))
    return Members(scaling, alignment, {NAME: 1.0}, {NAME: state})


def shown(sample: Sample, scale: Scale) -> Tensor:
    statistics = Statistics.of([sample])
    source = statistics.normalise_source(sample.source, sample.source_valid)
    return pixel_predictors(
        statistics.normalise_guide(sample.guide, sample.guide_valid), sample.guide_valid, source, scale
    )


def mean_around(
    values: NDArray[np.float64], valid: NDArray[np.bool_], row: int, col: int, sigmas: NDArray[np.float64]
) -> float:
    """Average the valid values around one pixel by a Gaussian cut at TAIL deviations, pixel by pixel."""
    total = weights = 0.0
    receptive_field = np.ceil(TAIL * sigmas).astype(int)
    for y in range(max(0, row - receptive_field[0]), min(len(values), row + receptive_field[0] + 1)):
        for x in range(max(0, col - receptive_field[1]), min(values.shape[1], col + receptive_field[1] + 1)):
            weight = valid[y, x] * math.exp(-(((y - row) / sigmas[0]) ** 2 + ((x - col) / sigmas[1]) ** 2) / 2)
            total, weights = total + weight * values[y, x], weights + weight
    return total / weights


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_what_is_known_of_a_pixel_is_what_its_description_says(missing: float) -> None:
    sample = with_gaps(scene(8, 7, ODD, seed=4), guide=missing)
    statistics = Statistics.of([sample])
    bands = statistics.normalise_guide(sample.guide, sample.guide_valid).double().numpy()
    source = statistics.normalise_source(sample.source, sample.source_valid)
    valid, known = sample.guide_valid.numpy(), shown(sample, ODD).numpy()
    smooth = bicubic(source.double(), ODD).numpy()
    assert known.shape == (n_predictors(2), 16, 21)
    size = np.array([ODD.y, ODD.x])
    count = len(SMOOTHINGS)
    for row, col in ((0, 0), (7, 9), (15, 20), (8, 0), (5, 13)):
        if not valid[row, col]:
            assert not known[: 2 * N_PREDICTORS_PER_BAND, row, col].any()
        for band in range(2):
            if not valid[row, col]:
                continue
            value = bands[band, row, col]
            wanted = [value] + [value - mean_around(bands[band], valid, row, col, k * size) for k in SMOOTHINGS]
            assert known[band::2][: 1 + count, row, col] == pytest.approx(np.array(wanted), abs=1e-9)
        assert known[-3, row, col] == pytest.approx(smooth[row, col])
    inner = slice(1, -1)
    np.testing.assert_allclose(known[-2, inner], (smooth[2:] - smooth[:-2]) / 2, atol=1e-12)
    if not missing:
        block_means = degrade(torch.as_tensor(bands), ODD)
        np.testing.assert_allclose(known[8:10], bands - bicubic(block_means, ODD).numpy(), atol=1e-9)
        np.testing.assert_allclose(known[12:14, :, inner], (bands[..., 2:] - bands[..., :-2]) / 2, atol=1e-12)


@pytest.mark.parametrize("scale", [Scale(2, 2), ODD, Scale(4, 4), Scale(9, 9)])
def test_a_pixels_detail_depends_on_what_lies_within_the_reach(scale: Scale) -> None:
    side = 2 * regression_receptive_field(scale).y + 5
    sample = with_gaps(scene(side, side, scale, seed=1), source=0.05, guide=0.05)
    whole = shown(sample, scale)
    receptive_field, row, col = regression_receptive_field(scale), side // 2, side // 2 - 1
    rows, columns = (
        slice(row - receptive_field.y, row + receptive_field.y + 1),
        slice(col - receptive_field.x, col + receptive_field.x + 1),
    )
    changed_source, changed_guide = sample.source + 9, sample.guide + 400
    changed_source[rows, columns] = sample.source[rows, columns]
    fine = slice(rows.start * scale.y, rows.stop * scale.y), slice(columns.start * scale.x, columns.stop * scale.x)
    changed_guide[:, *fine] = sample.guide[:, *fine]
    other = replace(sample, source=changed_source, guide=changed_guide)
    statistics = Statistics.of([sample])
    source = statistics.normalise_source(other.source, other.source_valid)
    again = pixel_predictors(
        statistics.normalise_guide(other.guide, other.guide_valid), other.guide_valid, source, scale
    )
    pixel = slice(row * scale.y, (row + 1) * scale.y), slice(col * scale.x, (col + 1) * scale.x)
    np.testing.assert_allclose(again[:, *pixel].numpy(), whole[:, *pixel].numpy(), atol=1e-6)
    assert float((again - whole).abs().max()) > 0.1


@pytest.mark.parametrize("every", [1, 3])
def test_parts_know_what_the_whole_knows(every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each source pixel once, or those of one part in three."""
    sample = with_gaps(scene(31, 26, ODD, seed=3), source=0.05, guide=0.05)
    statistics = Statistics.of([sample])
    guide = statistics.normalise_guide(sample.guide, sample.guide_valid)
    source = statistics.normalise_source(sample.source, sample.source_valid)
    whole = pixel_predictors(guide, sample.guide_valid, source, ODD)
    monkeypatch.setattr(module, "BLOCK_SIDE_PX", 24)
    seen = torch.zeros(31, 26)
    for part, known in pixel_predictors_by_block(guide, sample.guide_valid, source, ODD, every):
        seen[part.slices] += 1
        np.testing.assert_allclose(known.numpy(), whole[:, *part.refined(ODD).slices].numpy(), atol=1e-9)
    assert float(seen.max()) == 1
    assert float(seen.mean()) == pytest.approx(1 / every, abs=0.06 * (every - 1))


def drawn_blocks(scale: Scale, seed: int = 0) -> list[RegressionRows]:
    """Return one block of rows of each scale, of random numbers."""
    generator = torch.Generator().manual_seed(seed)
    count = n_predictors(1)

    def block_of(height: int, width: int, block: Scale | None, rows: float) -> RegressionRows:
        down, across = (1, 1) if block is None else (block.y, block.x)
        predictors = torch.randn(count, height * down, width * across, generator=generator, dtype=torch.float64)
        detail = torch.randn(height, width, generator=generator, dtype=torch.float64)
        mask = torch.rand(height, width, generator=generator) < 0.8
        return RegressionRows(predictors, detail, mask, block, rows)

    return [block_of(9, 14, None, 1.0), block_of(5, 6, scale, 10.0)]


def slow_coefficients(blank: Regression, blocks: list[RegressionRows]) -> NDArray[np.float64]:
    """Write every row down and solve them by least squares, the ridge as further rows."""
    rows, wanted = [], []
    for block in blocks:
        at = ((block.predictors.flatten(1) - blank.centre) / blank.spread).clamp(-FARTHEST, FARTHEST)
        features = torch.cat([torch.ones_like(at[:1]), at, torch.cos(blank.waves @ at + blank.phases)])
        features = features.view(-1, *block.predictors.shape[1:])
        if block.block is not None:
            features = degrade(features, block.block)
        rows.append(math.sqrt(block.rows) * features[:, block.mask].T.numpy())
        wanted.append(math.sqrt(block.rows) * block.detail[block.mask].numpy())
    size = rows[0].shape[1]
    rows.append(math.sqrt(RIDGE) * np.eye(size))
    wanted.append(np.zeros(size))
    found: NDArray[np.float64] = np.linalg.lstsq(np.concatenate(rows), np.concatenate(wanted), rcond=None)[0]
    return found


@pytest.mark.parametrize("part", [8, module.COLUMNS_AT_ONCE])
def test_the_solution_is_the_one_of_all_rows_written_down(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COLUMNS_AT_ONCE", part)
    blocks = drawn_blocks(ODD)
    found = fit_regression(blocks[:1], blocks[1:], torch.Generator().manual_seed(3))
    np.testing.assert_allclose(found.coefficients.numpy(), slow_coefficients(found, blocks), atol=1e-9)
    assert float(found.coefficients.abs().max()) > 1e-2
    shown_values = blocks[0].predictors[:, blocks[0].mask]
    np.testing.assert_allclose(found.centre[:, 0].numpy(), shown_values.mean(dim=1).numpy())
    np.testing.assert_allclose(found.spread[:, 0].numpy(), shown_values.std(dim=1, correction=0).numpy())
    blank = Regression.blank(n_predictors(1), torch.Generator().manual_seed(3))
    assert torch.equal(found.waves, blank.waves)


def test_masked_pixels_decide_nothing_of_the_regression() -> None:
    blocks = drawn_blocks(ODD)
    others = [replace(block, detail=torch.where(block.mask, block.detail, 9.0)) for block in blocks]
    known = [replace(block, detail=torch.where(block.mask, 9.0, block.detail)) for block in blocks]
    found, again, other = (
        fit_regression(each[:1], each[1:], torch.Generator().manual_seed(3)) for each in (blocks, others, known)
    )
    assert torch.equal(found.coefficients, again.coefficients)
    assert not torch.equal(found.coefficients, other.coefficients)


def test_where_nothing_is_seen_there_is_no_detail() -> None:
    blocks = [replace(block, mask=torch.zeros_like(block.mask)) for block in drawn_blocks(ODD)]
    found = fit_regression(blocks[:1], blocks[1:], torch.Generator())
    assert Regression.checked(found.tensors, 1).tensors.keys() == found.tensors.keys()
    assert not found(blocks[0].predictors).any()


def test_single_precision_is_enough_for_the_waves() -> None:
    regression, known = drawn_regression(bands=3), shown(scene(30, 30, ODD, bands=3), ODD)
    exact = regression.coefficients @ regression.features(regression.scaled(known.flatten(1)))
    assert float(exact.std()) > 0.3
    np.testing.assert_allclose(regression(known).flatten().numpy(), exact.numpy(), atol=5e-6)


def test_detail_of_the_guide_is_found_again() -> None:
    """Of a truth that is a nonlinear function of the guide, two thirds of the error disappear."""
    scale = Scale(3, 3)
    sample = scene(60, 60, scale, seed=5)
    truth = 20 * torch.tanh((sample.guide[0].double() - 1000) / 100) + 300
    sample = replace(sample, source=degrade(truth, scale).float())
    statistics, window, source = Statistics.of([sample]), window_of(sample, scale), sample.source.double()
    member = RidgeRegression()
    target = member.predict(window, member.fit([window])) * statistics.source_spread + statistics.source_centre
    baseline = make_consistent(bicubic(source, scale), source, sample.source_valid, scale)
    assert (target - truth).square().mean().sqrt() < (baseline - truth).square().mean().sqrt() / 3


@pytest.mark.parametrize("gaps", [0.0, 0.03])
@pytest.mark.parametrize("alignment", [Alignment(), Alignment(0.7, (1.0, -0.5))])
def test_the_member_is_its_own_direct_solve(gaps: float, alignment: Alignment) -> None:
    """All rows of both scales are written down at once, and solved by least squares."""
    sample = with_gaps(scene(34, 37, TWO, seed=6), source=gaps, guide=gaps)
    window, member = window_of(sample, TWO, alignment), RidgeRegression()
    layers = window.layers
    assert layers.features["linear"].shape == (2, 68, 74)
    state = member.fit([window])
    assert (state.pooled, state.sizes) == ((), ())
    found = state.ridge
    assert found is not None

    share = degrade(layers.valid.double(), TWO)
    known = sample.source_valid & (share > 0.5)
    means, kept = reduce_sample(layers.source, known, TWO)
    means = fill_nodata(torch.where(kept, means, torch.zeros_like(means)), kept, 2 * FREE_PX)
    weights = layers.valid.double()
    blocks = degrade(layers.features["linear"] * weights, TWO) / share.clamp_min(1e-12)
    blocks = torch.where(share > 0, blocks, 0.0)[:, :34, :36]
    at_known = known[:, :36] & kept.repeat_interleave(2, 0).repeat_interleave(2, 1)
    reduced = RegressionRows(
        pixel_predictors(blocks, known[:, :36], means, TWO),
        layers.source[:, :36] - bicubic(means, TWO),
        at_known,
        None,
        1.0,
    )
    whole = pixel_predictors(layers.features["linear"], layers.valid, layers.source, TWO)
    detail = layers.source - degrade(bicubic(layers.source, TWO), TWO)
    true_scale = RegressionRows(whole, detail, sample.source_valid & (share == 1), TWO, TRUE_SCALE_ROWS)
    centre = reduced.predictors[:, at_known].mean(dim=1)
    np.testing.assert_allclose(found.centre[:, 0].numpy(), centre.numpy(), atol=1e-9)
    coefficients = slow_coefficients(found, [reduced, true_scale])
    np.testing.assert_allclose(found.coefficients.numpy(), coefficients, atol=1e-7)

    columns = ((whole.flatten(1) - found.centre) / found.spread).clamp(-FARTHEST, FARTHEST)
    features = torch.cat([torch.ones_like(columns[:1]), columns, torch.cos(found.waves @ columns + found.phases)])
    predicted = (torch.from_numpy(coefficients) @ features).view(layers.valid.shape)
    raw = bicubic(layers.source, TWO) + torch.where(layers.valid, predicted, 0.0)
    target = member.predict(window, state)
    torch.testing.assert_close(target, window.consistent(raw, "curvature"), rtol=0, atol=1e-5)
    assert float(predicted.std()) > 0.02


def test_the_random_features_are_the_same_in_every_fit() -> None:
    states = [RidgeRegression().fit([window_of(scene(24, 24, TWO, seed=seed), TWO)]) for seed in (1, 2)]
    first, other = (state.ridge for state in states)
    assert first is not None
    assert other is not None
    assert torch.equal(first.waves, other.waves)
    assert torch.equal(first.phases, other.phases)
    assert not torch.equal(first.coefficients, other.coefficients)


def test_a_source_smaller_than_a_reduced_pixel_has_no_detail() -> None:
    sample = scene(1, 9, Scale(4, 4))
    window = window_of(sample, Scale(4, 4))
    state = RidgeRegression().fit([window])
    assert state.ridge is not None
    assert not state.ridge.coefficients.any()
    smooth = window.consistent(bicubic(window.layers.source, Scale(4, 4)), "curvature")
    torch.testing.assert_close(RidgeRegression().predict(window, state), smooth)


@pytest.mark.parametrize(
    ("samples", "most"),
    [
        (1, 500),
        (1, 1000),
        (2, 500),
        (2, 1000),
        (9, 1000),
        (9, 500),
    ],
)
def test_of_many_pixels_a_regression_sees_some(samples: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of all samples, at both scales."""
    seen = {"reduced": 0, "true scale": 0}

    def counted(
        reduced: list[RegressionRows], true_scale: Iterable[RegressionRows], generator: torch.Generator
    ) -> Regression:
        held = list(true_scale)
        seen["reduced"], seen["true scale"] = (
            sum(rows.detail.numel() for rows in blocks) for blocks in (reduced, held)
        )
        return fit_regression(reduced, held, generator)

    monkeypatch.setattr(table, "fit_regression", counted)
    monkeypatch.setattr(table, "MOST_RIDGE_PX", most)
    monkeypatch.setattr(module, "BLOCK_SIDE_PX", 16)
    windows = [window_of(scene(36, 36, TWO, seed=seed), TWO) for seed in range(samples)]
    RidgeRegression().fit(windows)
    for count in seen.values():
        assert 0.3 * most < count < 1.6 * most


def test_parts_of_a_window_are_predicted_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = with_gaps(scene(40, 33, Scale(3, 3), seed=2), source=0.02, guide=0.02)
    members = members_of(sample, MemberState(ridge=drawn_regression()), Alignment(0.6, (2.0, -1.0)))
    statistics = Statistics.of([sample])
    whole = members.predict(members.window(sample, statistics, Scale(3, 3)))
    monkeypatch.setattr(module, "BLOCK_SIDE_PX", 25)
    parts = members.predict(members.window(sample, statistics, Scale(3, 3)))
    np.testing.assert_allclose(parts.numpy(), whole.numpy(), atol=5e-6)


def test_where_the_moved_guide_has_a_gap_the_regression_has_no_detail() -> None:
    """The gap moves with the guide."""
    scale = Scale(3, 3)
    sample = scene(12, 14, scale, seed=2)
    valid = torch.ones_like(sample.guide_valid)
    valid[10:14, 20:23] = False
    sample = replace(sample, guide=torch.where(valid, sample.guide, torch.nan), guide_valid=valid)
    layers = window_of(sample, scale, Alignment(0.0, (3.0, 5.0))).layers
    detail = drawn_regression().detail(layers.features["linear"], layers.valid, layers.source, scale)
    assert bool((detail[13:17, 25:28] == 0).all())
    assert int((detail == 0).sum()) == 12


Damage = Callable[[dict[str, Tensor]], None]


def set_to(name: str, change: Callable[[Tensor], Tensor]) -> Damage:
    def damage(tensors: dict[str, Tensor]) -> None:
        key = f"members.{NAME}.{name}"
        tensors[key] = change(tensors[key])

    return damage


def without(name: str) -> Damage:
    def damage(tensors: dict[str, Tensor]) -> None:
        for key in [key for key in tensors if key.startswith(f"members.{NAME}.{name}")]:
            del tensors[key]

    return damage


@pytest.fixture
def with_regression(fitted: FittedModel) -> FittedModel:
    """A model of which half is a network and half a drawn ridge regression."""
    sample = scene(24, 24, fitted.scale)
    members = members_of(sample, MemberState(ridge=drawn_regression()), Alignment(0.6, (0.5, -1.0)))
    return replace(fitted, stacking=StackingWeights(0.5, 0.5), members=members)


def test_the_regression_is_kept_in_the_models_file(tmp_path: Path, with_regression: FittedModel) -> None:
    with_regression.save(tmp_path / "model.mmsr")
    again = FittedModel.load(tmp_path / "model.mmsr")
    assert again.members is not None
    kept = again.members.states[NAME].ridge
    assert kept is not None
    for name, tensor in drawn_regression().tensors.items():
        assert torch.equal(kept.tensors[name], tensor)
    assert again.digest == with_regression.digest
    sample = scene(12, 10, again.scale, seed=3)
    assert torch.equal(again.predictor()(sample), with_regression.predictor()(sample))
    other = members_of(scene(24, 24, again.scale), MemberState(ridge=drawn_regression(seed=1)))
    assert replace(with_regression, members=other).digest != with_regression.digest


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (set_to("waves", lambda tensor: tensor[1:].contiguous()), "the regression's waves is (799, 17) torch.float64"),
        (set_to("centre", Tensor.float), "the regression's centre is (17, 1) torch.float32"),
        (set_to("phases", lambda tensor: tensor / 0), "the regression's phases holds values that are not finite"),
        (set_to("spread", torch.zeros_like), "the regression's spread holds values that are not above 0"),
        (set_to("coefficients", lambda tensor: tensor[None]), "the regression's coefficients is (1, 818)"),
        (without("waves"), "'waves' is missing"),
        (without(""), "'centre' is missing"),
    ],
)
def test_a_damaged_regression_is_refused(
    damage: Damage, said: str, tmp_path: Path, with_regression: FittedModel
) -> None:
    path = tmp_path / "model.mmsr"
    with_regression.save(path)
    with safe_open(path, framework="pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118  (not a dict)
    damage(tensors)
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(ModelFileError) as caught:
        FittedModel.load(path)
    assert said in str(caught.value)
