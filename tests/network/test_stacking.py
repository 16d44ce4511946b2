"""Stacking: the weights with the least error, those of network and members, and both in a fitted model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import bicubic, degrade, make_consistent, nearest
from mmsr_geo.network.fit import adapt_model, fit_samples
from mmsr_geo.network.fit_params import STEPS, FitParams
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.guide_check import LEAST_ENSEMBLE_GAIN, reduce_sample
from mmsr_geo.network.intervals import DrawnPart
from mmsr_geo.network.members.evidence import MembersEvidence
from mmsr_geo.network.members.fitted import Members
from mmsr_geo.network.members.layers import AS_IT_IS, Alignment, GuideScaling, Layers
from mmsr_geo.network.members.table import MEMBERS
from mmsr_geo.network.members.window import WindowInputs
from mmsr_geo.network.prepared import PreparedSample
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.network.stacking import StackingWeights, best_weights
from mmsr_geo.network.validation import LEAST_NETWORK_WEIGHT, ReducedResolution
from mmsr_geo.options import Quality
from support.scenes import scene, with_both_parts, with_gaps

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


@pytest.mark.parametrize("weights", [(0.5, 0.6), (-0.1, 1.1), (float("nan"), 1.0), (0.0, 0.0)])
def test_weights_below_0_or_of_another_sum_are_refused(weights: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="weights must be 0 or more and add up to 1"):
        StackingWeights(*weights)


CPU = torch.device("cpu")
QUICK = FitParams(steps=20, patch_px=24, threads=1)
BANDS = ("red", "nir")


def members_of(sample: Sample, scale: Scale, alignment: Alignment = AS_IT_IS) -> Members:
    """Return two members of equal weight, aligned as a test wants."""
    statistics = Statistics.of([sample])
    scaling = GuideScaling.of([sample], statistics, torch.Generator().manual_seed(0))
    window = WindowInputs(scaling.layers(sample, statistics, scale, alignment, ()), scaling)
    names = ("guided curvature", "ridge regression")
    states = {name: MEMBERS[name].fit([window]) for name in names}
    return Members(scaling, alignment, dict.fromkeys(names, 0.5), states)


@pytest.mark.parametrize("alignment", [Alignment(), Alignment(0.9, (2.0, -0.5))])
@torch.inference_mode()
def test_a_prediction_is_the_weighted_average_of_network_and_members(fitted: FittedModel, alignment: Alignment) -> None:
    """The network sees the guide as it was aligned; the members align it themselves."""
    sample = with_gaps(scene(12, 14, fitted.scale, seed=2), guide=0.05)
    statistics, members = Statistics.of([sample]), members_of(sample, fitted.scale, alignment)
    alone = replace(fitted, statistics=statistics)
    model = replace(alone, stacking=StackingWeights(0.3, 0.7), members=members)
    centre, spread = statistics.source_centre, statistics.source_spread
    window = members.window(sample, statistics, fitted.scale)
    of_network = (alone.predictor(CPU)(alignment.applied(sample)) - centre) / spread
    of_network = window.consistent(of_network, "guided")
    torch.testing.assert_close(degrade(of_network, fitted.scale), window.layers.source, rtol=0, atol=1e-5)
    of_members = members.predict(window)
    wanted = (0.3 * of_network + 0.7 * of_members) * spread + centre
    np.testing.assert_allclose(model.predictor(CPU)(sample).numpy(), wanted.numpy(), rtol=1e-6)
    assert float((of_network - of_members).std()) > 0.01
    assert model.alignment == alignment
    only = replace(model, stacking=StackingWeights(0, 1), weights={})
    np.testing.assert_allclose(only.predictor(CPU)(sample).numpy(), (of_members * spread + centre).numpy(), rtol=1e-12)
    assert only.predictor(CPU).network is None


def test_a_weight_of_members_needs_members(fitted: FittedModel) -> None:
    with pytest.raises(ValueError, match="the weight of its members is 30%, and the members are missing"):
        replace(fitted, stacking=StackingWeights(0.7, 0.3))


def test_a_model_without_a_network_is_not_adapted() -> None:
    model = fit_samples([scene(24, 24, TWO)], TWO, FitParams(network=False, threads=1), guide_bands=BANDS)
    assert adapt_model(model, [scene(16, 16, TWO)], QUICK) is model


def test_a_source_too_small_for_its_scale_is_validated_on_itself_degraded_by_2() -> None:
    """With a guide check and an interval, whose size is not that of the errors there."""
    four, sample = Scale(4, 4), scene(40, 40, Scale(4, 4))
    model = fit_samples([sample], four, QUICK, guide_bands=BANDS)
    assert model.check.result == "helped"
    assert model.stacking.members > 0
    assert model.interval is not None
    strange = replace(sample, guide=torch.randn(sample.guide.shape, generator=torch.Generator().manual_seed(1)))
    assert fit_samples([strange], four, replace(QUICK, steps=2), guide_bands=BANDS).check.result == "did not help"
    tiny = fit_samples([scene(31, 31, four)], four, replace(QUICK, steps=2), guide_bands=BANDS)
    assert (tiny.stacking, tiny.check.measured_gain) == (StackingWeights(0, 1), None)
    assert tiny.check.averaged_gain is not None


def test_a_quality_is_a_preset_whose_steps_can_be_others() -> None:
    draft, fast, balanced, best = (FitParams.of(quality) for quality in get_args(Quality))
    assert (draft.network, draft.quick_members) == (False, True)
    assert all(params.network and not params.quick_members for params in (fast, balanced, best))
    assert all(params.compares_members for params in (draft, fast, balanced, best))
    assert balanced == FitParams()
    assert (fast.steps or STEPS) < (balanced.steps or STEPS) < (best.steps or STEPS)
    assert FitParams.of("best", steps=7, threads=3) == replace(best, steps=7, threads=3)


def test_without_an_ensemble_the_network_is_alone() -> None:
    for ensemble in (True, False):
        model = fit_samples([scene(48, 48, TWO)], TWO, replace(QUICK, steps=2, ensemble=ensemble), guide_bands=BANDS)
        assert (model.stacking == StackingWeights()) is not ensemble
        assert (model.members is None) is not ensemble
    assert FitParams.published().ensemble is False


def test_network_and_members_are_kept_in_the_models_file(tmp_path: Path, fitted: FittedModel) -> None:
    sample = scene(24, 24, fitted.scale)
    members = members_of(sample, fitted.scale, Alignment(0.6, (-2.0, 3.0)))
    alone = replace(fitted, members=members, stacking=StackingWeights(0.0, 1.0), weights={})
    both = with_both_parts(fitted, alone, 0.25)
    for model in (both, alone):
        model.save(tmp_path / "model.mmsr")
        again = FittedModel.load(tmp_path / "model.mmsr")
        assert again.stacking == model.stacking
        assert again.digest == model.digest != fitted.digest
        assert again.receptive_field == model.receptive_field
        assert again.sentence == model.sentence
        assert torch.equal(again.predictor()(sample), model.predictor()(sample))
    assert both.sentence == f"network 25%, members 75%: {members.sentence}"
    assert both.digest != with_both_parts(fitted, alone, 0.5).digest
    moved = members_of(sample, fitted.scale, Alignment(0.6, (-2.0, 2.0)))
    assert both.digest != replace(both, members=moved).digest


def test_a_shifted_guide_is_aligned_for_members_and_network() -> None:
    """A guide that lies off by less than a source pixel is moved back, whatever the network makes of it."""
    scale = Scale(3, 3)
    sample = scene(60, 60, scale)
    off = replace(sample, guide=torch.roll(sample.guide, (-1, 2), (-2, -1)))
    model = fit_samples([off], scale, replace(QUICK, steps=2), guide_bands=BANDS)
    assert model.alignment.shift_px == pytest.approx((1, -2), abs=0.25)
    back = model.alignment.applied(off).guide[:, 6:-6, 6:-6]
    wanted = replace(model.alignment, shift_px=(0.0, 0.0)).applied(sample).guide[:, 6:-6, 6:-6]
    assert float((back - wanted).abs().max()) < 0.1 * float(sample.guide.std())


class Evidence:
    """A sample with predictions of members and network that a test can compute again by hand."""

    def __init__(self, seed: int, scale: Scale, size: tuple[int, int] = (40, 42)) -> None:
        self.sample = with_gaps(scene(*size, scale, seed=seed), source=0.02, guide=0.02)
        statistics = Statistics.of([self.sample])
        self.prepared = PreparedSample.of(self.sample, statistics, scale, CPU)
        scaling = GuideScaling.of([self.sample], statistics, torch.Generator().manual_seed(0))
        layers = scaling.layers(self.sample, statistics, scale, Alignment(), ())
        coarser = layers.coarser()
        assert coarser is not None
        self.coarser, self.scale = coarser, scale
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        height, width = (side // 2 * 2 for side in size)
        self.members_errors = 0.3 * draw(height, width)
        self.baseline_errors = 0.6 * draw(height, width)
        self.known = self.sample.source_valid[:height, :width] & (draw(height, width) < 1)
        self.network_noise = draw(height * scale.y, width * scale.x)
        self.reduced_noise = draw(2, *size)

    @property
    def of_members(self) -> MembersEvidence:
        height, width = self.sample.guide_valid.shape
        return MembersEvidence(
            predict=partial(self.reduced, 0, 0.2),
            coarser=self.coarser,
            consistent=self.consistent,
            shown=partial(degrade, scale=self.scale),
            errors=self.members_errors,
            baseline=self.baseline_errors,
            interpolation=0.9 * self.baseline_errors,
            known=self.known,
            drawn=DrawnPart(
                self.prepared.source.double(),
                self.network_noise[:height, :width],
                torch.zeros(height, width).double(),
                self.sample.guide_valid,
            ),
        )

    def consistent(self, target: Tensor) -> Tensor:
        """Return a target whose block means are the averaged source."""
        return make_consistent(target, self.coarser.source, self.coarser.source_valid, self.coarser.scale)

    def reduced(self, row: int, size: float, source: Tensor) -> Tensor:
        """Return a prediction at reduced resolution: the truth and errors of this size."""
        height, width = (side * factor for side, factor in zip(source.shape, (self.scale.y, self.scale.x), strict=True))
        return (self.prepared.source.double() + size * self.reduced_noise[row])[:height, :width]

    def from_coarser(self, size: float, layers: Layers) -> Tensor:
        """Return a network's target from the averaged source: the source's blocks and errors of this size."""
        assert layers is self.coarser
        rows, columns = (
            side // factor for side, factor in zip(layers.valid.shape, (self.scale.y, self.scale.x), strict=True)
        )
        return nearest(self.prepared.source[:rows, :columns].double(), self.scale) + size * self.network_noise


def network_of(evidence: list[Evidence], name: str, *sizes: float) -> Callable[..., Tensor]:
    by_sample = {id(part.prepared): part for part in evidence}

    def predict(sample: PreparedSample, shown: Tensor | Layers) -> Tensor:
        found: Tensor = getattr(by_sample[id(sample)], name)(*sizes, shown)
        return found

    return predict


@pytest.mark.parametrize("scale", [TWO, Scale(1, 2)])
@pytest.mark.parametrize("size", [0.1, 0.5, 2.0, 9.0])
def test_network_and_members_have_the_weights_of_products_computed_by_hand(scale: Scale, size: float) -> None:
    """On the validation blocks, from means over source pixels of targets that were made consistent.

    The network's weight on all pixels is an upper bound.
    """
    evidence = [Evidence(seed, scale) for seed in (1, 2)]
    reduced = ReducedResolution([part.prepared for part in evidence], scale)
    found = reduced.validate_both(
        [part.of_members for part in evidence],
        network_of(evidence, "reduced", 1, 0.3),
        network_of(evidence, "from_coarser", size),
    )
    products, of_all = np.zeros((2, 2)), np.zeros((2, 2))
    for part in evidence:
        means = degrade(part.consistent(part.from_coarser(size, part.coarser)), scale)
        for row in range(means.shape[0]):
            for col in range(means.shape[1]):
                both = np.array([part.members_errors[row, col], means[row, col] - part.prepared.source[row, col]])
                if part.known[row, col]:
                    of_all += np.outer(both, both)
                if part.known[row, col] and part.prepared.validation[row, col]:
                    products += np.outer(both, both)
    network = min(best_weights(products)[1], best_weights(of_all)[1])
    members = 1 - network
    if network < LEAST_NETWORK_WEIGHT:
        members, network = 1.0, 0.0
    assert (found.stacking.members, found.stacking.network) == pytest.approx((members, network), abs=1e-9)
    assert found.network_helped == (network > 0)
    assert found.check.least_gain == LEAST_ENSEMBLE_GAIN

    squares = baseline = 0.0
    for part in evidence:
        reference, mask = part.prepared.source, part.prepared.fit_mask
        source, known = reduce_sample(reference, mask, scale)
        predictions = [part.reduced(0, 0.2, source), part.reduced(1, 0.3, source), bicubic(source, scale)]
        consistent = [make_consistent(each, source, known, scale) for each in predictions]
        at = (mask & part.prepared.validation)[: consistent[0].shape[0], : consistent[0].shape[1]]
        truth = reference[: at.shape[0], : at.shape[1]]
        average = members * consistent[0] + network * consistent[1]
        squares += float((average - truth)[at].square().sum())
        baseline += float((consistent[2] - truth)[at].square().sum())
    assert sum(region.sum_squares for region in found.check.regions) == pytest.approx(squares, rel=1e-5)
    assert found.check.measured_gain == pytest.approx(1 - (squares / baseline) ** 0.5, abs=1e-5)


def test_the_sizes_of_that_test_give_weights_on_both_sides() -> None:
    """A good network has most of the weight, a bad one none."""
    evidence = [Evidence(1, TWO)]
    reduced = ReducedResolution([evidence[0].prepared], TWO)
    weights = [
        reduced.validate_both(
            [evidence[0].of_members],
            network_of(evidence, "reduced", 1, 0.3),
            network_of(evidence, "from_coarser", size),
        ).stacking.network
        for size in (0.1, 2.0, 9.0)
    ]
    assert weights[0] > 0.9
    assert 0 < weights[1] < 0.5
    assert weights[2] == 0


def test_blocks_that_the_members_miss_do_not_give_the_network_the_whole_raster() -> None:
    """On depth a few pixels hold most of the squared error, and the blocks are a seventh of the raster."""
    evidence = Evidence(1, TWO)
    known = evidence.of_members
    blocks = evidence.prepared.validation[: known.errors.shape[0], : known.errors.shape[1]]
    missed = replace(known, errors=torch.where(blocks, 20 * known.errors, 0.05 * known.errors))
    weight = (
        ReducedResolution([evidence.prepared], TWO)
        .validate_both([missed], network_of([evidence], "reduced", 1, 0.3), network_of([evidence], "from_coarser", 2.0))
        .stacking.network
    )
    errors = missed.errors[blocks & known.known]
    assert float(errors.square().mean()) > 4  # beside which the network is far better there
    assert weight < 0.9


def test_where_nothing_can_be_compared_the_members_have_all_the_weight() -> None:
    """There is no coarser source, as beyond the largest scale."""
    evidence = [Evidence(1, TWO)]
    unknown = replace(evidence[0].of_members, coarser=None)
    network = network_of(evidence, "reduced", 1, 0.3)
    found = ReducedResolution([evidence[0].prepared], TWO).validate_both([unknown], network, network)
    assert (found.stacking, found.network_helped) == (StackingWeights(0, 1), False)


def test_members_alone_are_validated_on_all_pixels() -> None:
    evidence = Evidence(3, TWO)
    reduced = ReducedResolution([evidence.prepared], TWO)
    found = reduced.validate_members([evidence.of_members], guided=True)
    assert found.stacking == StackingWeights(0, 1)
    source, known = reduce_sample(evidence.prepared.source, evidence.prepared.fit_mask, TWO)
    errors = make_consistent(evidence.reduced(0, 0.2, source), source, known, TWO) - evidence.prepared.source
    squares = float(errors[evidence.prepared.fit_mask].square().sum())
    assert sum(region.sum_squares for region in found.check.regions) == pytest.approx(squares, rel=1e-5)
    assert sum(region.validated_px for region in found.check.regions) == int(evidence.prepared.fit_mask.sum())
    assert (found.check.everywhere, found.check.least_gain, found.interval is not None) == (
        True,
        LEAST_ENSEMBLE_GAIN,
        True,
    )
    assert reduced.validate_members([evidence.of_members], guided=False).check.result == "did not help"
