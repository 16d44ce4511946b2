"""Stacking: the weights with the least error, a guide's registration, and both in a fitted model."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import bicubic, degrade
from mmsr_geo.network.fit import adapt_model, fit_samples
from mmsr_geo.network.fit_params import STEPS, FitParams
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.registration import RIDGE, farthest, registration, shifted
from mmsr_geo.network.ridge_regression import pixel_predictors
from mmsr_geo.network.samples import Statistics
from mmsr_geo.network.stacking import StackingWeights, best_weights
from mmsr_geo.options import Quality
from support.scenes import drawn_regression, scene, with_gaps

pytestmark = pytest.mark.slow

TWO = Scale(2, 2)


def products(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of products of errors, a row of each prediction."""
    summed: NDArray[np.float64] = errors @ errors.T
    return summed


def tried_shares(errors: NDArray[np.float64], steps: int = 100) -> tuple[float, ...]:
    """Return the best of all shares in steps of a hundredth: the slow way."""
    grid = [(i / steps, j / steps, (steps - i - j) / steps) for i in range(steps + 1) for j in range(steps + 1 - i)]
    squares = [float(np.array(shares) @ errors @ np.array(shares)) for shares in grid]
    return grid[int(np.argmin(squares))]


@pytest.mark.parametrize("seed", range(20))
def test_shares_are_those_that_a_search_finds(seed: int) -> None:
    generator = np.random.default_rng(seed)
    common = generator.normal(size=500)
    sizes, alike = generator.uniform(0.3, 2, 3), generator.uniform(0, 0.9, 3)
    made = [size * (a * common + (1 - a) * generator.normal(size=500)) for size, a in zip(sizes, alike, strict=True)]
    errors = products(np.stack(made))
    found = np.array(best_weights(errors))
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
    assert found == pytest.approx(np.array(tried_shares(errors)), abs=0.011)
    assert found @ errors @ found <= np.diag(errors).min()


def test_shares_of_known_errors() -> None:
    assert best_weights(np.diag([4.0, 1.0, 4.0])) == pytest.approx((1 / 6, 4 / 6, 1 / 6))
    assert best_weights(products(np.array([[2.0, 2.0], [1.0, 1.0], [3.0, 3.0]]))) == (0, 1, 0)
    opposite = products(np.array([[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0], [9.0, 9.0, 1.0]]))
    assert best_weights(opposite) == pytest.approx((0.5, 0.5, 0))
    assert best_weights(np.zeros((3, 3))) == (1, 0, 0)


@pytest.mark.parametrize("shares", [(0.5, 0.6, 0.0), (-0.1, 1.1, 0.0), (float("nan"), 1.0, 0.0)])
def test_what_is_no_share_is_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="weights must be 0 or more and add up to 1"):
        StackingWeights(*shares)


Layer = tuple[Tensor, Tensor, Tensor, Tensor]


def moved_pair(scale: Scale, shift: tuple[int, int], *, height: int = 24, width: int = 31, missing: float = 0) -> Layer:
    """Return a source that a linear function of the guide tells, and the guide so moved that `shift` mends it."""
    whole = scene(height, width, scale, centre=0, spread=1)
    made = with_gaps(whole, source=missing, guide=missing)
    source = degrade(whole.guide[0] - 0.5 * whole.guide[1], scale)
    asked = made.source_valid
    back = -shift[0], -shift[1]
    guide, valid = shifted(made.guide, back), shifted(made.guide_valid, back)
    return torch.where(asked, source, 9.0), asked, torch.where(valid, guide, 0.0), valid


@pytest.mark.parametrize(
    ("scale", "shift"),
    [(TWO, (0, 0)), (TWO, (3, -2)), (Scale(4, 4), (2, 1)), (Scale(4, 4), (-4, 4)), (Scale(3, 5), (-1, 5))],
)
@pytest.mark.parametrize("missing", [0.0, 0.01])
def test_a_guide_is_moved_to_where_it_explains_the_source(scale: Scale, shift: tuple[int, int], missing: float) -> None:
    layers = [moved_pair(scale, shift, missing=missing), moved_pair(scale, shift, height=24, width=31)]
    assert registration(layers, scale) == shift


def test_a_registration_is_the_slow_one() -> None:
    """Move the guide as a whole, take its block means and regress, for every shift."""
    scale = Scale(2, 3)
    source, asked, guide, valid = moved_pair(scale, (1, 2), missing=0.02)
    source = source + 0.3 * torch.randn(source.shape, generator=torch.Generator().manual_seed(1))
    far_y, far_x = farthest(scale)
    shifts = list(product(range(-far_y, far_y + 1), range(-far_x, far_x + 1)))
    edge = 2, 1
    inner = torch.zeros_like(asked)
    inner[edge[0] : -edge[0], edge[1] : -edge[1]] = True
    for shift in shifts:
        inner &= degrade(shifted(valid, shift).double(), scale) == 1
    inner &= asked
    assert 100 < int(inner.sum()) < inner.numel()
    left = {}
    for shift in shifts:
        bands = degrade(shifted(guide, shift).double(), scale)[:, inner].T
        bands = bands - bands.mean(dim=0)
        wanted = source[inner].double() - source[inner].double().mean()
        ridge = RIDGE * bands.square().sum(dim=0).diag()
        slopes = torch.linalg.solve(bands.T @ bands + ridge, bands.T @ wanted)
        left[shift] = float(wanted @ wanted - (bands.T @ wanted) @ slopes)
    assert registration([(source, asked, guide, valid)], scale) == min(left, key=left.__getitem__)


def test_where_nothing_can_be_compared_a_guide_stays() -> None:
    small = moved_pair(Scale(4, 4), (0, 0), height=2, width=2)
    source, asked, guide, valid = moved_pair(Scale(4, 4), (2, 1))
    nothing = torch.zeros_like(asked)
    assert registration([small], Scale(4, 4)) == (0, 0)
    assert registration([(source, nothing, guide, valid)], Scale(4, 4)) == (0, 0)
    assert registration([], Scale(4, 4)) == (0, 0)
    assert registration([small, (source, asked, guide, valid)], Scale(4, 4)) == (2, 1)


def test_a_layer_is_moved_and_its_border_repeated() -> None:
    layer = torch.arange(6.0).reshape(1, 2, 3)
    assert shifted(layer, (0, 0)) is layer
    assert shifted(layer, (0, 1))[0].tolist() == [[0, 0, 1], [3, 3, 4]]
    assert shifted(layer, (-1, -1))[0].tolist() == [[4, 5, 5], [4, 5, 5]]
    assert shifted(layer, (5, 0))[0].tolist() == [[0, 1, 2], [0, 1, 2]]


CPU = torch.device("cpu")
QUICK = FitParams(steps=20, patch_px=24, threads=1)
BANDS = ("red", "nir")


@pytest.mark.parametrize("shift", [(0, 0), (2, -1)])
@torch.inference_mode()
def test_an_ensemble_is_the_sum_of_its_parts(fitted: FittedModel, shift: tuple[int, int]) -> None:
    """The parts: a network, bicubic with the regression's detail (its guide moved beforehand), and bicubic alone."""
    sample, regression = scene(12, 14, fitted.scale, seed=2), drawn_regression()
    statistics = Statistics.of([sample])
    ensemble = replace(
        fitted, stacking=StackingWeights(0.2, 0.5, 0.3, shift), regression=regression, statistics=statistics
    )
    model = replace(ensemble, stacking=StackingWeights())
    guide = statistics.normalise_guide(sample.guide, sample.guide_valid)
    source = statistics.centred_source(sample.source)
    detail = regression(pixel_predictors(shifted(guide, shift), sample.guide_valid, source, fitted.scale))
    wanted = (
        0.5 * bicubic(sample.source.double(), fitted.scale)
        + 0.3 * statistics.source_spread * detail
        + 0.5 * model.predictor(CPU)(sample)
    )
    assert float(detail.std()) > 0.1
    np.testing.assert_allclose(ensemble.predictor(CPU)(sample).numpy(), wanted.numpy(), rtol=1e-6)


def test_where_the_moved_guide_has_a_gap_the_regression_has_no_detail(fitted: FittedModel) -> None:
    sample = scene(12, 14, fitted.scale, seed=2)
    missing = torch.ones_like(sample.guide_valid)
    missing[10:14, 20:23] = False
    sample = replace(sample, guide=torch.where(missing, sample.guide, torch.nan), guide_valid=missing)
    alone = StackingWeights(0, 0, 1, (3, 5))
    model = replace(fitted, stacking=alone, regression=drawn_regression(), statistics=Statistics.of([sample]))
    reported = model.predictor(CPU)(sample)
    smooth = bicubic(sample.source.double(), fitted.scale)
    alike = (reported - smooth).abs() < 1e-6 * smooth.abs()
    assert bool(alike[13:17, 25:28].all())
    assert float(alike.float().mean()) < 0.1


def test_a_share_of_a_regression_asks_for_one(fitted: FittedModel) -> None:
    with pytest.raises(ValueError, match="the weight of its regression is 30%, and the regression is missing"):
        replace(fitted, stacking=StackingWeights(0.2, 0.5, 0.3))


def test_where_the_regression_is_enough_no_network_is_fitted() -> None:
    model = fit_samples([scene(48, 48, TWO)], TWO, replace(QUICK, enough_gain=0.3), guide_bands=BANDS)
    assert model.stacking == StackingWeights(0, 0, 1, (0, 0))
    record = model.provenance["fit"]
    assert (record["steps"], record["pixel_steps"], "loss" in record) == (0, 0, False)
    assert model.check.result == "helped"
    assert adapt_model(model, [scene(16, 16, TWO)], QUICK) is model
    assert fit_samples([scene(48, 48, TWO)], TWO, QUICK, guide_bands=BANDS).provenance["fit"]["pixel_steps"] > 0


def test_a_first_stage_that_is_wanted_is_taken_though_the_regression_is_enough() -> None:
    params = replace(QUICK, enough_gain=0.3, first_stage=True)
    record = fit_samples([scene(48, 48, TWO)], TWO, params, guide_bands=BANDS).provenance["fit"]
    assert record["first_stage"] is True
    assert record["pixel_steps"] >= 20 * 24**2  # QUICK's


def test_a_source_too_small_for_its_scale_is_validated_on_itself_degraded_by_2() -> None:
    """With a verdict, but no interval: errors of halves of a source pixel say little of those of quarters."""
    four, sample = Scale(4, 4), scene(40, 40, Scale(4, 4))
    model = fit_samples([sample], four, QUICK, guide_bands=BANDS)
    assert model.check.result == "helped"
    assert model.stacking.regression > 0
    assert model.interval is None
    strange = replace(sample, guide=torch.randn(sample.guide.shape, generator=torch.Generator().manual_seed(1)))
    assert fit_samples([strange], four, replace(QUICK, steps=2), guide_bands=BANDS).check.result == "did not help"
    tiny = fit_samples([scene(31, 31, four)], four, replace(QUICK, steps=2), guide_bands=BANDS)
    assert (tiny.stacking, tiny.check.result) == (StackingWeights(), "unknown")


def test_a_quality_is_a_preset_whose_steps_can_be_others() -> None:
    draft, fast, balanced, best = (FitParams.of(quality) for quality in get_args(Quality))
    assert not draft.network
    assert balanced == FitParams()
    assert (fast.steps or STEPS) < (balanced.steps or STEPS) < (best.steps or STEPS)
    assert FitParams.of("best", steps=7, threads=3) == replace(best, steps=7, threads=3)


def test_without_mixing_the_network_is_alone() -> None:
    for ensemble in (True, False):
        model = fit_samples([scene(48, 48, TWO)], TWO, replace(QUICK, steps=2, ensemble=ensemble), guide_bands=BANDS)
        assert (model.stacking == StackingWeights()) is not ensemble
    assert FitParams.published().ensemble is False


def test_an_ensemble_is_kept_in_the_models_file(tmp_path: Path, fitted: FittedModel) -> None:
    ensemble = replace(fitted, stacking=StackingWeights(0.25, 0.25, 0.5, (-2, 3)), regression=drawn_regression())
    ensemble.save(tmp_path / "mixed.mmsr")
    again = FittedModel.load(tmp_path / "mixed.mmsr")
    assert again.stacking == ensemble.stacking
    assert again.digest == ensemble.digest != fitted.digest
    assert replace(ensemble, regression=drawn_regression(seed=1)).digest != ensemble.digest
    assert again.receptive_field == ensemble.receptive_field


def test_a_shifted_ensemble_is_found_again() -> None:
    """A guide that lies off by less than a source pixel is moved back, whatever the network makes of it."""
    scale = Scale(3, 3)
    sample = scene(60, 60, scale)
    off = replace(sample, guide=shifted(sample.guide, (-1, 2)))
    model = fit_samples([off], scale, replace(QUICK, steps=2), guide_bands=BANDS)
    assert model.stacking.shift == (1, -2)
