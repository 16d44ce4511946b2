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
from mmsr_geo.network import ridge_regression as module
from mmsr_geo.network import validation
from mmsr_geo.network.degradation import bicubic, degrade, make_consistent
from mmsr_geo.network.fit import fit_samples
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.ridge_regression import (
    FARTHEST,
    N_PREDICTORS_PER_BAND,
    RIDGE,
    SMOOTHINGS,
    TAIL,
    Regression,
    RegressionRows,
    fit_regression,
    n_predictors,
    pixel_predictors,
    pixel_predictors_by_block,
    regression_receptive_field,
)
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.network.stacking import StackingWeights
from support.scenes import drawn_regression, scene, with_gaps

CPU = torch.device("cpu")
ODD = Scale(2, 3)


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
        mask, validation = (torch.rand(height, width, generator=generator) < share for share in (0.8, 0.2))
        return RegressionRows(predictors, detail, mask, validation, block, rows)

    return [block_of(9, 14, None, 1.0), block_of(5, 6, scale, 10.0)]


def slow_coefficients(blank: Regression, blocks: list[RegressionRows], *, validation: bool) -> NDArray[np.float64]:
    """Write every row down and solve them by least squares, the ridge as further rows."""
    rows, wanted = [], []
    for block in blocks:
        at = ((block.predictors.flatten(1) - blank.centre) / blank.spread).clamp(-FARTHEST, FARTHEST)
        features = torch.cat([torch.ones_like(at[:1]), at, torch.cos(blank.waves @ at + blank.phases)])
        features = features.view(-1, *block.predictors.shape[1:])
        if block.block is not None:
            features = degrade(features, block.block)
        where = block.mask if validation else block.mask & ~block.validation
        rows.append(math.sqrt(block.rows) * features[:, where].T.numpy())
        wanted.append(math.sqrt(block.rows) * block.detail[where].numpy())
    size = rows[0].shape[1]
    rows.append(math.sqrt(RIDGE) * np.eye(size))
    wanted.append(np.zeros(size))
    found: NDArray[np.float64] = np.linalg.lstsq(np.concatenate(rows), np.concatenate(wanted), rcond=None)[0]
    return found


@pytest.mark.parametrize("part", [8, module.COLUMNS_AT_ONCE])
def test_the_solution_is_the_one_of_all_rows_written_down(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COLUMNS_AT_ONCE", part)
    blocks = drawn_blocks(ODD)
    validated, final = fit_regression(blocks[:1], blocks[1:], torch.Generator().manual_seed(3))
    for found, with_validation in ((validated, False), (final, True)):
        wanted = slow_coefficients(found, blocks, validation=with_validation)
        np.testing.assert_allclose(found.coefficients.numpy(), wanted, atol=1e-9)
    assert float((validated.coefficients - final.coefficients).abs().max()) > 1e-3
    shown_values = blocks[0].predictors[:, blocks[0].mask]
    np.testing.assert_allclose(validated.centre[:, 0].numpy(), shown_values.mean(dim=1).numpy())


def test_validation_blocks_decide_nothing_of_the_validated_regression() -> None:
    blocks = drawn_blocks(ODD)
    others = [replace(block, detail=torch.where(block.validation, 9.0, block.detail)) for block in blocks]
    (validated, final), (again, other) = (
        fit_regression(each[:1], each[1:], torch.Generator().manual_seed(3)) for each in (blocks, others)
    )
    assert torch.equal(validated.coefficients, again.coefficients)
    assert not torch.equal(final.coefficients, other.coefficients)


def test_where_nothing_is_seen_there_is_no_detail() -> None:
    blocks = [replace(block, mask=torch.zeros_like(block.mask)) for block in drawn_blocks(ODD)]
    for found in fit_regression(blocks[:1], blocks[1:], torch.Generator()):
        found.check(1)
        assert not found(blocks[0].predictors).any()


def test_single_precision_is_enough_for_the_waves() -> None:
    regression, known = drawn_regression(bands=3), shown(scene(30, 30, ODD, bands=3), ODD)
    exact = regression.coefficients @ regression.features(regression.scaled(known.flatten(1)))
    assert float(exact.std()) > 0.3
    np.testing.assert_allclose(regression(known).flatten().numpy(), exact.numpy(), atol=5e-6)


def test_detail_of_the_guide_is_found_again() -> None:
    """Of a truth that is a function of the guide, not a linear one, two thirds of the error go without a step."""
    scale = Scale(3, 3)
    sample = scene(60, 60, scale, seed=5)
    truth = 20 * torch.tanh((sample.guide[0].double() - 1000) / 100) + 300
    sample = replace(sample, source=degrade(truth, scale).float())
    model = fit_samples([sample], scale, FitParams(threads=1, enough_gain=0), guide_bands=("red", "nir"))
    assert (model.stacking, model.provenance["fit"]["pixel_steps"]) == (StackingWeights(0, 0, 1), 0)
    source = sample.source.double()

    def error(prediction: Tensor) -> float:
        made = make_consistent(prediction, source, sample.source_valid, scale)
        return float((made - truth).square().mean().sqrt())

    assert error(model.predictor(CPU)(sample)) < error(bicubic(source, scale)) / 3


@pytest.mark.parametrize("samples", [1, 2, 9])
@pytest.mark.parametrize("most", [500, 1000])
def test_of_many_pixels_a_regression_sees_some(samples: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of samples some, and of those parts; at both scales."""
    scale, seen = Scale(2, 2), {"reduced": 0, "true scale": 0}

    def counted(
        reduced: list[RegressionRows], true_scale: Iterable[RegressionRows], generator: torch.Generator
    ) -> tuple[Regression, Regression]:
        held = list(true_scale)
        seen["reduced"], seen["true scale"] = (
            sum(rows.detail.numel() for rows in blocks) for blocks in (reduced, held)
        )
        return fit_regression(reduced, held, generator)

    monkeypatch.setattr(validation, "fit_regression", counted)
    monkeypatch.setattr(validation, "MOST_REGRESSION_PX", most)
    monkeypatch.setattr(module, "BLOCK_SIDE_PX", 16)
    parts = [scene(36, 36, scale, seed=seed) for seed in range(samples)]
    fit_samples(parts, scale, FitParams(steps=1, patch_px=16, threads=1), guide_bands=("red", "nir"))
    for count in seen.values():
        assert 0.3 * most < count < 1.6 * most


@torch.inference_mode()
def test_parts_of_a_window_are_predicted_as_the_whole(fitted: FittedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = with_gaps(scene(40, 33, fitted.scale, seed=2), source=0.02, guide=0.02)
    model = replace(
        fitted,
        stacking=StackingWeights(0, 0, 1, (2, -1)),
        regression=drawn_regression(),
        statistics=Statistics.of([sample]),
    )
    whole = model.predictor(CPU)(sample)
    monkeypatch.setattr(module, "BLOCK_SIDE_PX", 25)
    parts = model.predictor(CPU)(sample)
    np.testing.assert_allclose(parts.numpy(), whole.numpy(), atol=5e-6 * model.statistics.source_spread)


Damage = Callable[[dict[str, Tensor]], None]


def set_to(name: str, change: Callable[[Tensor], Tensor]) -> Damage:
    def damage(tensors: dict[str, Tensor]) -> None:
        tensors[f"regression.{name}"] = change(tensors[f"regression.{name}"])

    return damage


def without(name: str) -> Damage:
    def damage(tensors: dict[str, Tensor]) -> None:
        for key in [key for key in tensors if key.startswith(f"regression.{name}")]:
            del tensors[key]

    return damage


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (set_to("waves", lambda tensor: tensor[1:].contiguous()), "the regression's waves is (799, 17) torch.float64"),
        (set_to("centre", Tensor.float), "the regression's centre is (17, 1) torch.float32"),
        (set_to("phases", lambda tensor: tensor / 0), "the regression's phases holds values that are not finite"),
        (set_to("spread", torch.zeros_like), "the regression's spread holds values that are not above 0"),
        (without("waves"), "missing 1 required positional argument: 'waves'"),
        (without(""), "the weight of its regression is 30%, and the regression is missing"),
    ],
)
def test_a_damaged_regression_is_refused(damage: Damage, said: str, tmp_path: Path, fitted: FittedModel) -> None:
    path = tmp_path / "model.mmsr"
    replace(fitted, stacking=StackingWeights(0.2, 0.5, 0.3), regression=drawn_regression()).save(path)
    with safe_open(path, framework="pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118  (not a dict)
    damage(tensors)
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(ModelFileError) as caught:
        FittedModel.load(path)
    assert said in str(caught.value)
