"""A fit depends on its samples, options and seed alone; what it draws, asks and records."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import product
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.errors import OptionError, PixelError
from mmsr_geo.geometry import Halo, Scale, Window
from mmsr_geo.network import fit as fitting
from mmsr_geo.network import validation as validating
from mmsr_geo.network.degradation import bicubic, degrade
from mmsr_geo.network.device import torch_threads
from mmsr_geo.network.fit import TRIAL_STEPS, FitDesign, adapt_model, expected_pixel_steps, fit_samples
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.guide_check import reduce_sample, validation_blocks
from mmsr_geo.network.members.fit import fit_members
from mmsr_geo.network.members.table import ALL_MEMBERS, MEMBERS, QUICK_MEMBERS
from mmsr_geo.network.mmsr import MmsrNetwork, NetworkParams
from mmsr_geo.network.patches import PatchSampler, window_means
from mmsr_geo.network.prepared import PreparedSample
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.network.sensor import BLOCK_MEANS, Sensor, WantedSensor
from mmsr_geo.network.stacking import StackingWeights
from mmsr_geo.network.validation import Validation
from mmsr_geo.network.variational.solve import Observation
from support.checks import require_gain
from support.scenes import scene, with_gaps

pytestmark = pytest.mark.slow

TWO, THREE = Scale(2, 2), Scale(3, 3)
SHORT = FitParams(steps=8, patch_px=24, threads=1, first_stage=False, ensemble=False)
BANDS = ("red", "nir")


def fit(
    samples: list[Sample], scale: Scale = THREE, params: FitParams = SHORT, *, seed: int = 0, **options: Any
) -> FittedModel:
    return fit_samples(samples, scale, params, guide_bands=BANDS, seed=seed, **options)


def same_weights(one: FittedModel, other: FittedModel) -> bool:
    """Tell whether all weights agree to the last bit."""
    assert one.weights.keys() == other.weights.keys()
    return all(torch.equal(tensor, other.weights[name]) for name, tensor in one.weights.items())


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [scene(24, 24, THREE)]


@pytest.fixture(scope="module")
def reference(samples: list[Sample]) -> FittedModel:
    return fit(samples)


@contextmanager
def beside(disturb: Callable[[], object]) -> Iterator[None]:
    """Do something over and over in another Python thread."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            disturb()
            time.sleep(0.0005)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(
    samples: list[Sample], reference: FittedModel
) -> None:
    again, other = fit(samples), fit(samples, seed=1)
    assert same_weights(again, reference)
    assert again.digest == reference.digest
    assert not any(torch.equal(tensor, other.weights[name]) for name, tensor in reference.weights.items())


def test_every_option_that_decides_the_fit_changes_the_weights(samples: list[Sample], reference: FittedModel) -> None:
    for change in ({"steps": 9}, {"patch_px": 36}, {"batch": 2}, {"lr": 0.01}, {"guide_weight_decay": 0.1}):
        other = fit(samples, params=replace(SHORT, **change))
        assert not same_weights(other, reference), change


def test_it_does_not_depend_on_the_callers_number_of_threads(samples: list[Sample], reference: FittedModel) -> None:
    used: set[int] = set()
    with torch_threads(2):
        model = fit(samples, progress=lambda *_: used.add(torch.get_num_threads()))
        assert torch.get_num_threads() == 2
    assert used == {1}
    assert same_weights(model, reference)


@pytest.mark.parametrize(("threads", "steps"), [(1, 8), (2, 1)])
def test_it_does_not_depend_on_other_threads_changing_theirs(samples: list[Sample], threads: int, steps: int) -> None:
    """As under dask's threaded scheduler, where each worker thread sets its own."""
    params = replace(SHORT, threads=threads, steps=steps)
    wanted = fit(samples, params=params)
    used: set[int] = set()

    def disturb() -> None:
        torch.set_num_threads(1)
        torch.set_num_threads(2)

    with beside(disturb), ThreadPoolExecutor(1) as executor:
        model = executor.submit(
            fit, samples, params=params, progress=lambda *_: used.add(torch.get_num_threads())
        ).result()
    assert used == {threads}
    assert same_weights(model, wanted)


def test_it_does_not_depend_on_others_drawing_random_numbers(samples: list[Sample], reference: FittedModel) -> None:
    """The slices of a source with a time axis are fitted at once, and torch's global generator is one for all."""
    with beside(lambda: torch.rand(3)):
        assert same_weights(fit(samples), reference)
    with ThreadPoolExecutor(3) as executor:
        assert all(same_weights(model, reference) for model in executor.map(lambda _: fit(samples), range(3)))


def test_it_leaves_torchs_generator_and_threads_as_they_were(samples: list[Sample]) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    with torch_threads(2):
        fit(samples)
        assert torch.get_num_threads() == 2
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_start_as_torch_starts_convolutions() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        plain = MmsrNetwork(NetworkParams(2)).state_dict()
    drawn = MmsrNetwork(NetworkParams(2)).draw_weights(torch.Generator().manual_seed(3)).state_dict()
    for name, tensor in plain.items():
        assert torch.equal(drawn[name], tensor), name


def test_the_loss_falls(samples: list[Sample]) -> None:
    params = FitParams(steps=60, patch_px=24, threads=1, first_stage=False)
    assert not params.compares_members
    losses = [
        fit(samples, params=replace(params, steps=steps)).provenance["fit"]["loss"] for steps in (1, params.steps)
    ]
    assert losses[1] < 0.5 * losses[0]


def test_the_model_holds_what_it_was_fitted_for(samples: list[Sample]) -> None:
    model = fit(samples, provenance={"source": "thermal.tif"}, seed=5)
    assert (model.scale, model.guide_bands, model.params) == (THREE, BANDS, a_fit(samples[0], THREE).network.params)
    assert model.statistics == Statistics.of(samples)
    assert model.provenance["source"] == "thermal.tif"
    record = model.provenance["fit"]
    assert (record["seed"], record["threads"], record["device"]) == (5, 1, "cpu")
    assert (record["steps"], record["params"]["patch_px"], record["torch"]) == (8, 24, torch.__version__)
    assert math.isfinite(record["loss"])
    assert json.loads(json.dumps(model.provenance)) == model.provenance
    model.check_weights()


@pytest.mark.parametrize(
    ("first_stage", "gain", "kept"), [(True, math.inf, True), (None, -math.inf, True), (None, math.inf, False)]
)
def test_the_first_stage_is_forced_or_validated_and_recorded(
    monkeypatch: pytest.MonkeyPatch,
    *,
    first_stage: bool | None,
    gain: float,
    kept: bool,
) -> None:
    require_gain(monkeypatch, gain)
    stages: list[str] = []
    params = FitParams(steps=9, patch_px=16, threads=1, first_stage=first_stage, ensemble=False)
    model = fit([scene(34, 33, TWO)], TWO, params, progress=lambda stage, *_: stages.append(stage))
    record = model.provenance["fit"]
    assert record["first_stage"] is kept
    assert record["steps"] == (3 if kept else 9)
    assert math.isfinite(record["first_stage_loss"])
    assert model.check.gain is not None
    assert math.isfinite(model.check.gain)
    assert stages == ["first stage"] * 10 + ["fit"] * (record["steps"] + 1)


@pytest.mark.parametrize("first_stage", [None, False])
def test_without_a_first_stage_none_is_run(*, first_stage: bool | None) -> None:
    """The source of 20 x 60 pixels leaves 10 x 30 at reduced resolution: too few to decide for it."""
    stages: set[str] = set()
    params = FitParams(steps=3, patch_px=16, threads=1, first_stage=first_stage, ensemble=False)
    model = fit([scene(20, 60, TWO)], TWO, params, progress=lambda stage, *_: stages.add(stage))
    assert stages == {"fit"}
    record = model.provenance["fit"]
    assert record["first_stage"] is False
    assert record["steps"] == 3
    assert "first_stage_loss" not in record


def test_a_first_stage_that_is_dropped_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts again from the same fresh weights and draws the same patches as if it had not been."""
    require_gain(monkeypatch, math.inf)
    params = FitParams(steps=3, patch_px=16, threads=1, ensemble=False)
    dropped, never = (fit([scene(34, 33, TWO)], TWO, replace(params, first_stage=first)) for first in (None, False))
    assert dropped.provenance["fit"]["first_stage_loss"] > 0
    assert same_weights(dropped, never)


def test_validation_blocks_are_a_seventh_whole_blocks_at_reduced_resolution_and_everywhere() -> None:
    for scale in (TWO, THREE, Scale(16, 16), Scale(1, 5)):
        held = validation_blocks((224, 240), scale)
        assert float(held.float().mean()) == pytest.approx(1 / 7, abs=0.04)
        height, width = 224 // scale.y * scale.y, 240 // scale.x * scale.x
        shares = degrade(held[:height, :width].float(), scale)
        assert bool(((shares < 1e-6) | (shares > 1 - 1e-6)).all())
        for quarter in (held[:112, :120], held[:112, 120:], held[112:, :120], held[112:, 120:]):
            assert 0.05 < float(quarter.float().mean()) < 0.3


def a_fit(sample: Sample, scale: Scale, params: FitParams = SHORT) -> fitting._Fit:
    statistics = Statistics.of([sample])
    layers = PreparedSample.of(sample, statistics, scale, torch.device("cpu"))
    return fitting._Fit([layers], scale, params, no_progress, 0)


def test_the_first_stage_asks_for_no_validation_pixel_and_no_nodata() -> None:
    sample = with_gaps(scene(40, 40, TWO), source=0.1, guide=0.3)
    work = a_fit(sample, TWO)
    layer = work.samples[0]
    for _, window in work._reduced_sites().draw(20, torch.Generator().manual_seed(0)):
        guide, source, wanted, asked = work._reduced_batch(0, window)
        rows, columns = window.slices
        assert source.shape[0] * 2 == guide.shape[1] == wanted.shape[0] == window.height
        assert not bool((asked & layer.validation[rows, columns]).any())
        assert not bool((asked & ~sample.source_valid[rows, columns]).any())
        assert torch.equal(wanted, layer.source[rows, columns])
        assert all(bool(tensor.isfinite().all()) for tensor in (guide, source, wanted))


@pytest.mark.parametrize("at", [Window(3, 4, 12, 11), Window(0, 7, 14, 13), Window(0, 0, 20, 20), Window(5, 5, 6, 6)])
@pytest.mark.parametrize("scale", [TWO, Scale(1, 3)])
def test_the_second_stage_asks_where_most_of_the_guide_is_valid_and_the_patchs_cut_is_out_of_sight(
    at: Window, scale: Scale
) -> None:
    """A cut is in sight where the network's guide pixels lie in the sample and not in the patch.

    A patch whose cuts are in sight everywhere is asked everywhere.
    """
    sample = with_gaps(scene(20, 20, scale), source=0.2, guide=0.3)
    work = a_fit(sample, scale)
    receptive_field, fine = work.network.receptive_field.guide_px, at.refined(scale)
    guide, source, wanted, asked = work._true_scale_batch(0, at)
    assert guide.shape == (work.network.params.guide_bands, *fine.shape)
    assert torch.equal(source, wanted)
    held, blind = torch.zeros(at.shape, dtype=torch.bool), torch.zeros(at.shape, dtype=torch.bool)
    for row, col in product(range(at.height), range(at.width)):
        block = Window(at.row + row, at.col + col, 1, 1).refined(scale)
        held[row, col] = int(sample.guide_valid[block.slices].sum()) > scale.area / 2
        seen = block.padded(Halo(receptive_field, receptive_field), Window(0, 0, *sample.guide_valid.shape))
        blind[row, col] = seen.intersection(fine) == seen
    wanted_here = held & sample.source_valid[at.slices] & (blind if bool(blind.any()) else True)
    assert torch.equal(asked, wanted_here)


def test_the_first_stage_is_validated_by_its_error_over_the_bicubics() -> None:
    """A network that says the bicubic scores 1, one that says the truth scores 0, half way between scores a half."""
    sample = with_gaps(scene(64, 66, TWO), source=0.02)
    work = a_fit(sample, TWO, replace(SHORT, over_bicubic=False))
    layer, truth = work.samples[0], work.samples[0].source[None, None]
    smooth = bicubic(reduce_sample(layer.source, layer.fit_mask, TWO)[0][None, None], TWO)

    class Saying:
        receptive_field = work.network.receptive_field

        def __init__(self, share: float) -> None:
            self.share = share

        def __call__(self, guide: Tensor, source: Tensor) -> Tensor:
            assert guide.shape[-2:] == source.shape[-2:] == truth.shape[-2:]
            return self.share * smooth + (1 - self.share) * truth

    for share in (1.0, 0.5, 0.0):
        predictor = work.reduced.network_predictor(cast("MmsrNetwork", Saying(share)), work.detail)
        check = work.reduced.validate(predictor).check
        assert check.gain == pytest.approx(1 - share, abs=0.05 * share + 1e-3)


def test_a_design_changes_network_optimiser_and_stages() -> None:
    """The hooks of benchmarks/search.py."""
    groups: list[int] = []

    def optimiser(parameters: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        groups.append(len(parameters))
        return torch.optim.SGD(parameters, lr=lr, momentum=0.9)

    design = FitDesign(partial(NetworkParams, channels=8), optimiser, Fraction(3, 2))
    params = FitParams(steps=9, patch_px=16, threads=1, first_stage=True, ensemble=False)
    model = fit([scene(34, 33, TWO)], TWO, params, design=design)
    assert (model.params.channels, model.provenance["fit"]["steps"], groups) == (8, 6, [2, 2])
    model.check_weights()


@pytest.mark.parametrize("ensemble", [True, False])
def test_a_validation_can_be_observed(*, ensemble: bool) -> None:
    """The hook of benchmarks and tests: what was found once the network was validated."""
    observed: list[Validation] = []
    params = FitParams(steps=2, patch_px=16, threads=1, ensemble=ensemble)
    model = fit([scene(34, 33, TWO)], TWO, params, on_validation=observed.append)
    (validation,) = observed
    assert len(validation.predictions[0].raw) == 2 + ensemble
    if ensemble and not validation.network_helped:  # the members are validated alone, on all pixels
        assert (model.stacking, validation.stacking) == (StackingWeights(0, 1), StackingWeights(0, 1))
        assert model.check.everywhere
    else:
        assert (validation.check, validation.interval, validation.stacking) == (
            model.check,
            model.interval,
            model.stacking,
        )


def without_guide(sample: Sample, seed: int = 1) -> Sample:
    """Return a pair whose guide is noise."""
    return replace(sample, guide=torch.randn(sample.guide.shape, generator=torch.Generator().manual_seed(seed)))


BESIDE = FitParams(steps=TRIAL_STEPS + 1, patch_px=16, threads=1)
"""A fit with members that tries the network first."""


def weigh(monkeypatch: pytest.MonkeyPatch, network: float) -> None:
    """Let the network have this weight beside two quick members, whatever it predicts."""
    monkeypatch.setattr(fitting, "member_names", lambda _params: ("minimum curvature", "pooled regression"))
    monkeypatch.setattr(validating, "best_weights", lambda _products: (1 - network, network))


def test_a_network_without_a_weight_is_given_up_after_the_trial() -> None:
    """A guide of noise shows it nothing."""
    stages: list[str] = []
    observed: list[Validation] = []
    sample = without_guide(scene(40, 40, TWO))
    model = fit([sample], TWO, BESIDE, progress=lambda stage, *_: stages.append(stage), on_validation=observed.append)
    assert list(dict.fromkeys(stages)) == ["alignment", "members", "trial"]
    assert stages.count("trial") == TRIAL_STEPS + 1
    assert (model.weights, model.stacking) == ({}, StackingWeights(0, 1))
    record = model.provenance["fit"]
    assert (record["first_stage"], record["steps"], "loss" in record) == (False, 0, False)
    assert math.isfinite(record["first_stage_loss"])
    assert record["pixel_steps"] == TRIAL_STEPS * 16**2 == expected_pixel_steps(BESIDE, (40, 40), TWO)[0]
    (validation,) = observed
    assert not validation.network_helped
    model.check_weights()
    alone = fit([sample], TWO, replace(BESIDE, network=False, steps=None))
    assert model.members is not None
    assert alone.members is not None
    assert model.members.description == alone.members.description
    assert (model.check, model.interval) == (alone.check, alone.interval)
    assert torch.equal(model.predictor()(sample), alone.predictor()(sample))


@pytest.mark.parametrize(
    ("weight", "kept"),
    [(validating.LEAST_NETWORK_WEIGHT * 0.99, False), (validating.LEAST_NETWORK_WEIGHT * 1.01, True), (1.0, True)],
)
def test_a_short_fit_has_no_trial_and_a_weight_below_the_least_is_none(
    monkeypatch: pytest.MonkeyPatch, weight: float, *, kept: bool
) -> None:
    weigh(monkeypatch, weight)
    stages: list[str] = []
    params = replace(BESIDE, steps=6)
    model = fit([scene(34, 33, TWO)], TWO, params, progress=lambda stage, *_: stages.append(stage))
    assert list(dict.fromkeys(stages)) == ["alignment", "members", "first stage", *(["fit"] if kept else [])]
    assert stages.count("first stage") == 7
    assert model.stacking.network == pytest.approx(weight if kept else 0)
    assert bool(model.weights) is kept
    record = model.provenance["fit"]
    assert (record["first_stage"], record["steps"]) == ((True, 2) if kept else (False, 0))
    assert record["pixel_steps"] == expected_pixel_steps(params, (34, 33), TWO)[1 if kept else 0]
    model.check_weights()


def test_a_trial_that_is_passed_leaves_no_trace_but_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first stage starts again from the same fresh weights, and draws the same patches."""
    weigh(monkeypatch, 0.5)
    params, stages = replace(BESIDE, steps=6), []
    plain = fit([scene(34, 33, TWO)], TWO, params)
    monkeypatch.setattr(fitting, "TRIAL_STEPS", 4)
    observed: list[Validation] = []
    tried = fit(
        [scene(34, 33, TWO)],
        TWO,
        params,
        progress=lambda stage, *_: stages.append(stage),
        on_validation=observed.append,
    )
    assert list(dict.fromkeys(stages)) == ["alignment", "members", "trial", "first stage", "fit"]
    assert (stages.count("trial"), stages.count("first stage"), stages.count("fit")) == (5, 7, 3)
    assert same_weights(tried, plain)
    assert tried.digest == plain.digest
    records = [model.provenance["fit"] for model in (tried, plain)]
    assert records[0]["pixel_steps"] - records[1]["pixel_steps"] == 4 * 16**2
    assert records[0]["pixel_steps"] == expected_pixel_steps(params, (34, 33), TWO)[1]
    assert (len(observed), observed[1].check) == (2, tried.check)


def test_a_network_that_is_given_up_after_the_first_stage_leaves_the_members(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = iter([(0.2, 0.8), (0.2, 0.8), (1.0, 0.0), (1.0, 0.0)])  # on the blocks and on all pixels
    weigh(monkeypatch, 0.0)
    monkeypatch.setattr(validating, "best_weights", lambda _products: next(weights))
    monkeypatch.setattr(fitting, "TRIAL_STEPS", 3)
    params = replace(BESIDE, steps=5)
    model = fit([scene(34, 33, TWO)], TWO, params)
    assert (model.weights, model.stacking, model.check.everywhere) == ({}, StackingWeights(0, 1), True)
    least, most = expected_pixel_steps(params, (34, 33), TWO)
    assert least < model.provenance["fit"]["pixel_steps"] == (3 + 5) * 16**2 < most


@pytest.mark.parametrize("weight", [0.0, 0.5])
@pytest.mark.parametrize(("scale", "shape"), [(TWO, (34, 41)), (Scale(4, 4), (40, 66)), (Scale(1, 3), (40, 70))])
@pytest.mark.parametrize(
    "params",
    [
        replace(BESIDE, steps=3),
        replace(BESIDE, steps=TRIAL_STEPS + 1, patch_px=8),
        replace(BESIDE, steps=3, batch=2),
        replace(BESIDE, steps=3, ensemble=False),
        replace(BESIDE, steps=3, first_stage=False),
        replace(BESIDE, steps=3, first_stage=True),
        replace(BESIDE, steps=3, first_stage=True, ensemble=False),
        replace(BESIDE, steps=None, network=False),
    ],
    ids=["short", "with a trial", "batch", "network", "one stage", "two stages", "network, two stages", "members"],
)
def test_what_is_expected_of_a_fit_lies_around_what_it_takes(
    monkeypatch: pytest.MonkeyPatch, params: FitParams, scale: Scale, shape: tuple[int, int], weight: float
) -> None:
    weigh(monkeypatch, weight)
    require_gain(monkeypatch, math.inf if weight == 0 else -math.inf)
    least, most = expected_pixel_steps(params, shape, scale)
    taken = fit([scene(*shape, scale)], scale, params).provenance["fit"]["pixel_steps"]
    assert least <= taken <= most
    assert taken in {least, most}


@pytest.mark.parametrize("shape", [(31, 40), (9, 12), (3, 4)])
def test_with_too_few_pixels_to_validate_the_members_are_used_alone(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    weigh(monkeypatch, 0.5)
    stages: set[str] = set()
    params = replace(BESIDE, steps=3)
    sample = scene(*shape, TWO)
    model = fit([sample], TWO, params, progress=lambda stage, *_: stages.add(stage))
    assert (model.weights, model.stacking, model.check.measured_gain) == ({}, StackingWeights(0, 1), None)
    assert model.provenance["fit"]["pixel_steps"] == 0
    assert expected_pixel_steps(params, shape, TWO) == (0, 0)
    assert stages <= {"alignment", "members"}
    for alone in (replace(params, ensemble=False), replace(params, first_stage=False)):
        network = fit([sample], TWO, alone)
        assert (network.members, network.stacking) == (None, StackingWeights())
        assert network.provenance["fit"]["pixel_steps"] == expected_pixel_steps(alone, shape, TWO)[0] > 0


@pytest.mark.parametrize(("quick", "names"), [(False, ALL_MEMBERS), (True, QUICK_MEMBERS)])
def test_a_fit_chooses_from_all_members_or_from_the_quick_ones(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], *, quick: bool
) -> None:
    compared: list[tuple[str, ...]] = []

    def counted(*arguments: Any, **options: Any) -> Any:
        compared.append(arguments[3])
        return fit_members(*arguments, **options)

    monkeypatch.setattr(fitting, "fit_members", counted)
    fit([scene(16, 16, TWO)], TWO, FitParams(network=False, quick_members=quick, threads=1))
    assert compared == [names]
    assert set(MEMBERS) == {*ALL_MEMBERS, *QUICK_MEMBERS}
    assert set(ALL_MEMBERS) - set(QUICK_MEMBERS) == {
        "regression on many waves",
        "regression on context",
        "ridge regression",
    }
    assert set(QUICK_MEMBERS) - set(ALL_MEMBERS) == {"regression on waves"}


def test_the_loss_sees_the_target_as_the_sensor_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that says the truth has no loss where the sensor's blur is known, and one where it is not."""
    sample, sensor = scene(40, 40, TWO), Sensor((0.5, 0.3))
    truth = sample.guide[0].float()
    everything = torch.ones(40, 40, dtype=torch.bool)
    source = Observation(TWO, everything, sensor.blur_px(TWO)).seen(truth)
    inner = torch.zeros_like(everything)
    inner[4:-4, 4:-4] = True

    def loss(wanted: WantedSensor) -> float:
        work = a_fit(sample, TWO, BESIDE)
        work.members = fitting._ComparedMembers(
            [sample], TWO, Statistics.of([sample]), replace(BESIDE, sensor=wanted), 0, torch.device("cpu"), no_progress
        )
        some = next(work.network.parameters())
        monkeypatch.setattr(work, "_predict", lambda *_: truth[None] + 0 * some.sum())
        batch = (sample.guide, source, source, inner)
        sites = PatchSampler([everything], (40, 40))
        return work._stage("fit", 1, lambda *_: batch, sites)

    known = loss(WantedSensor(sensor.blur, "none"))
    assert known < 1e-4 * float(source.std())
    assert loss(BLOCK_MEANS) > 100 * known


def test_the_network_is_shown_the_guide_as_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    weigh(monkeypatch, 0.5)
    sample = scene(40, 40, TWO)
    off = replace(sample, guide=torch.roll(sample.guide, (1, -1), (-2, -1)))
    seen: list[Sample] = []

    def watched(sample: Sample, *arguments: Any, **options: Any) -> PreparedSample:
        seen.append(sample)
        return prepare(sample, *arguments, **options)

    prepare = PreparedSample.of
    monkeypatch.setattr(PreparedSample, "of", watched)
    model = fit([off], TWO, replace(BESIDE, steps=2))
    assert model.members is not None
    assert model.alignment.shift_px != (0.0, 0.0)
    assert model.alignment == model.members.alignment
    assert torch.equal(seen[0].guide, model.alignment.applied(off).guide)
    adapted = adapt_model(model, [off], replace(BESIDE, adapt_steps=2))
    assert torch.equal(seen[1].guide, seen[0].guide)
    assert adapted.members is model.members
    assert not same_weights(adapted, model)


def test_without_validation_blocks_the_check_is_unknown() -> None:
    work = a_fit(scene(8, 8, TWO), TWO)
    assert not work.reduced.can_validate
    validation = work.reduced.validate(work.reduced.network_predictor(work.network, work.detail))
    assert (validation.check.gain, validation.network_helped) == (None, False)


@pytest.mark.parametrize("scale", [TWO, Scale(4, 4), Scale(1, 3)])
@pytest.mark.parametrize("shape", [(3, 5), (1, 1), (1, 9)])
def test_a_tiny_source_can_be_fitted(scale: Scale, shape: tuple[int, int]) -> None:
    for first_stage in (None, False):
        model = fit([scene(*shape, scale)], scale, replace(SHORT, steps=2, first_stage=first_stage))
        model.check_weights()
        assert model.provenance["fit"]["first_stage"] is False


def test_a_first_stage_forced_on_a_source_too_small_for_it_is_refused() -> None:
    with pytest.raises(OptionError, match=r"first_stage=True .* 1 x 5 source pixels are too few at scale 4"):
        fit([scene(1, 5, Scale(4, 4))], Scale(4, 4), replace(SHORT, first_stage=True))
    model = fit([scene(3, 5, TWO)], TWO, replace(SHORT, steps=3, first_stage=True))
    assert model.provenance["fit"]["first_stage"] is True
    assert model.check.result == "unknown"


def test_a_source_valid_only_where_it_would_be_for_validation_is_fitted_without_a_first_stage() -> None:
    sample = scene(40, 40, TWO)
    only_held_out = replace(sample, source_valid=validation_blocks((40, 40), TWO))
    model = fit([only_held_out], TWO, replace(SHORT, steps=2, first_stage=None))
    assert model.provenance["fit"]["first_stage"] is False
    with pytest.raises(OptionError, match="nothing to learn from"):
        fit([only_held_out], TWO, replace(SHORT, first_stage=True))


@pytest.mark.parametrize("first_stage", [True, False])
def test_what_lies_under_nodata_changes_nothing(*, first_stage: bool) -> None:
    gappy = with_gaps(scene(30, 26, TWO), source=0.25, guide=0.15)
    garbage = Sample(
        torch.where(gappy.source_valid, gappy.source, torch.tensor(-1e30)),
        gappy.source_valid,
        torch.where(gappy.guide_valid, gappy.guide, torch.tensor(torch.inf)),
        gappy.guide_valid,
    )
    params = replace(SHORT, steps=4, first_stage=first_stage, ensemble=first_stage)
    models = [fit([sample], TWO, params) for sample in (gappy, garbage)]
    assert models[0].digest == models[1].digest
    assert same_weights(*models)
    models[0].check_weights()


def test_a_constant_band_and_a_constant_source_can_be_fitted() -> None:
    sample = scene(34, 34, TWO)
    flat = replace(sample, guide=torch.stack([sample.guide[0], torch.full_like(sample.guide[0], 7)]))
    for odd in (flat, replace(sample, source=torch.full_like(sample.source, 273))):
        model = fit([odd], TWO, replace(SHORT, steps=3, first_stage=None))
        model.check_weights()
        assert math.isfinite(model.provenance["fit"]["loss"])


def test_without_a_pixel_valid_in_both_it_is_refused() -> None:
    sample = scene(8, 8, TWO)
    left, right = torch.zeros(8, 8, dtype=torch.bool), torch.zeros(16, 16, dtype=torch.bool)
    left[:, :4], right[:, 8:] = True, True
    with pytest.raises(PixelError, match="no valid pixel in common"):
        fit([replace(sample, source_valid=left, guide_valid=right)], TWO)


def test_progress_comes_for_every_step_from_nothing_to_all(samples: list[Sample]) -> None:
    calls: list[tuple[str, int, int]] = []
    params = FitParams(steps=6, patch_px=24, threads=1, first_stage=True, ensemble=False)
    fit(samples, params=params, progress=lambda *call: calls.append(call))
    first, second = [("first stage", done, 6) for done in range(7)], [("fit", done, 2) for done in range(3)]
    assert calls == first + second


def test_members_report_their_progress_before_the_network() -> None:
    """Alignment is one call before and one after; members are counted one by one."""
    calls: list[tuple[str, int, int]] = []
    both = [scene(36, 36, TWO), scene(36, 36, TWO, seed=1)]
    fit(
        both,
        TWO,
        FitParams(steps=1, patch_px=24, threads=1, sensor=BLOCK_MEANS),
        progress=lambda *call: calls.append(call),
    )
    count = len(ALL_MEMBERS)
    assert calls[:2] == [("alignment", 0, 1), ("alignment", 1, 1)]
    assert calls[2 : 3 + count] == [("members", done, count) for done in range(count + 1)]
    assert calls[3 + count :][:2] == [("first stage", 0, 1), ("first stage", 1, 1)]
    assert {call[0] for call in calls[5 + count :]} <= {"fit"}


class Cancelled(BaseException):
    """What a user's Ctrl-C is: no Exception."""


@pytest.mark.parametrize("last_stage", ["alignment", "members", "trial", "first stage", "fit"])
def test_what_the_callback_raises_ends_the_fit_at_once(last_stage: str) -> None:
    samples = [scene(36, 36, TWO), scene(36, 36, TWO, seed=1)]
    beside_members = last_stage in {"alignment", "members", "trial"}
    params = FitParams(
        steps=TRIAL_STEPS + 1 if beside_members else 6,
        patch_px=24,
        threads=1,
        first_stage=True,
        ensemble=beside_members,
    )
    calls: list[tuple[str, int, int]] = []

    def cancel(*call: Any) -> None:
        calls.append(call)
        if call[:2] == (last_stage, 1):
            raise Cancelled

    progress: Progress = cancel
    before = torch.get_rng_state()
    with torch_threads(2):
        with pytest.raises(Cancelled):
            fit(samples, TWO, params=params, progress=progress)
        assert torch.get_num_threads() == 2
    assert calls[-1][:2] == (last_stage, 1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steps": 0}, "steps= is 0: give a number of 1 or more"),
        ({"patch_px": 7}, "patch_px is 7: give a number of 8 or more"),
        ({"batch": 0}, "batch is 0: give a number of 1 or more"),
        ({"lr": 0.0}, "lr is 0.0: give a number between 0 and 1"),
        ({"lr": 1.0}, "lr is 1.0: give"),
        ({"lr": math.nan}, "lr is nan: give"),
        ({"threads": 0}, "threads= is 0: give a number of 1 or more"),
        ({"guide_weight_decay": -1.0}, "guide_weight_decay is -1.0: give a number of 0 or more"),
    ],
)
def test_options_out_of_range_are_refused_with_their_value(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        FitParams(**wrong)


def test_the_number_of_threads_is_the_one_given_or_the_cores_up_to_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    assert FitParams(threads=3).fixed_threads == 3
    for cores, threads in ((1, 1), (2, 2), (8, 8), (64, 8)):
        monkeypatch.setattr("mmsr_geo.network.fit_params.cores", lambda cores=cores: cores)
        assert FitParams().fixed_threads == threads


masks = st.builds(
    lambda count, height, width, share, seed: (
        torch.rand(count, height, width, generator=torch.Generator().manual_seed(seed)) < share
    ),
    st.integers(1, 3),
    st.integers(1, 12),
    st.integers(1, 12),
    st.floats(0, 1),
    st.integers(0, 999),
)


@given(masks, st.integers(1, 12), st.integers(1, 12))
def test_window_means_are_the_means_of_windows(stack: Tensor, height: int, width: int) -> None:
    mask = stack[0]
    height, width = min(height, mask.shape[0]), min(width, mask.shape[1])
    means = window_means(mask, (height, width))
    assert means.shape == (mask.shape[0] - height + 1, mask.shape[1] - width + 1)
    for row, col in product(*(range(side) for side in means.shape)):
        window = mask[row : row + height, col : col + width]
        assert float(means[row, col]) == int(window.sum()) / (height * width)


@settings(deadline=None)
@given(masks, st.integers(1, 15), st.integers(1, 15), st.integers(0, 99))
def test_patches_lie_where_at_least_half_as_much_is_valid_as_at_the_best_place(
    stack: Tensor, patch_height: int, patch_width: int, seed: int
) -> None:
    height, width = min(patch_height, stack.shape[1]), min(patch_width, stack.shape[2])
    valid = {
        (index, row, col): int(mask[row : row + height, col : col + width].sum())
        for index, mask in enumerate(stack)
        for row, col in product(range(mask.shape[0] - height + 1), range(mask.shape[1] - width + 1))
    }
    best = max(valid.values())
    if best == 0:
        with pytest.raises(PixelError, match="no valid pixel in common"):
            PatchSampler(list(stack), (patch_height, patch_width))
        return
    sites = PatchSampler(list(stack), (patch_height, patch_width))
    allowed = {place for place, count in valid.items() if 2 * count >= best}
    drawn = sites.draw(40 * len(allowed), torch.Generator().manual_seed(seed))
    assert {window.shape for _, window in drawn} == {(height, width)}
    places = {(index, window.row, window.col) for index, window in drawn}
    assert places <= allowed
    assert len(places) >= 0.9 * len(allowed)


def test_every_site_is_as_likely_as_the_other() -> None:
    valid = torch.ones(4, 5, dtype=torch.bool)
    drawn = PatchSampler([valid, valid], (2, 3)).draw(18_000, torch.Generator().manual_seed(0))
    counts = torch.zeros(2, 3, 3)
    for index, window in drawn:
        counts[index, window.row, window.col] += 1
    assert bool(((counts - 1000).abs() < 150).all())


def test_a_fit_begins_with_the_network_of_another_date() -> None:
    first = fit([scene(20, 22, TWO)], TWO, replace(SHORT, steps=20))
    params = replace(SHORT, steps=1, lr=1e-6)
    begun, fresh = (fit([scene(20, 22, TWO, seed=3)], TWO, params, start=start) for start in (first, None))
    for name, weights in first.weights.items():
        assert torch.allclose(begun.weights[name], weights, atol=1e-5)
    assert not all(torch.allclose(fresh.weights[name], weights, atol=1e-3) for name, weights in first.weights.items())
