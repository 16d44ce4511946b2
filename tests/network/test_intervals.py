"""How far a target may be off: the regression, how it is carried down, and what it is reported by."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import degrade
from mmsr_geo.network.fit import fit_samples
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.network.guide_check import ReducedPrediction, predict_at_reduced_resolution
from mmsr_geo.network.intervals import (
    CORRECTION_FACTOR,
    FEWEST_PX,
    FROM_DETAIL,
    LEAST,
    MOST_PX,
    UNCERTAIN_SHARE,
    WIDTH,
    DrawnPart,
    Interval,
    Terms,
    calibrated,
    expected,
    predictors_of,
)
from mmsr_geo.network.samples import Sample

TWO = Scale(2, 2)


def noisy(height: int, width: int, size: Tensor | float, seed: int = 0) -> ReducedPrediction:
    """Two predictions of a flat truth: one is off by a normal number times `size`, the interpolation by twice that."""
    made = torch.Generator().manual_seed(seed)
    errors = torch.randn(height, width, dtype=torch.float64, generator=made) * size
    source = torch.zeros(height // 2, width // 2)
    return ReducedPrediction(
        source,
        torch.zeros(2, height, width).double(),
        torch.stack([2 * errors, errors]),
        torch.ones(height, width).bool(),
    )


def test_a_constant_is_the_quantile_of_the_errors() -> None:
    below = noisy(60, 60, 3.0)
    interval = calibrated([below], (0, 1), 0.5, TWO)
    assert interval is not None
    wanted = np.quantile(below.errors[1].abs().numpy(), 0.9)
    assert interval.guided.constant == pytest.approx(CORRECTION_FACTOR * wanted, rel=1e-3)
    assert interval.smooth.constant == pytest.approx(0.5 * 2 * wanted, rel=1e-3)  # carried down by the growth


@pytest.mark.parametrize("size", [1e-9, 1e9])
def test_errors_of_any_size_are_reported(size: float) -> None:
    """A smooth source's errors are far below its deviation, in which they are counted."""
    small = calibrated([noisy(60, 60, size)], (0, 1), 1, TWO)
    plain = calibrated([noisy(60, 60, 1.0)], (0, 1), 1, TWO)
    assert small is not None
    assert plain is not None
    assert small.guided.constant == pytest.approx(size * plain.guided.constant, rel=1e-3)
    assert calibrated([noisy(60, 60, 0.0)], (0, 1), 1, TWO) == Interval(Terms(0, 0, 0), Terms(0, 0, 0))


def test_ensembles_are_validated_as_ensembles() -> None:
    below = noisy(60, 60, 3.0)
    half = calibrated([below], (0.5, 0.5), 1, TWO)
    whole = calibrated([below], (0, 1), 1, TWO)
    assert half is not None
    assert whole is not None
    assert half.guided.constant / (0.5 + 0.5 * CORRECTION_FACTOR) == pytest.approx(
        1.5 * whole.guided.constant / CORRECTION_FACTOR, rel=1e-6
    )


def test_errors_that_grow_with_the_predictions_contrast_are_predicted_from_it() -> None:
    """Where a prediction is restless it is off by as much; elsewhere it is right."""
    height = width = 80
    restless = torch.zeros(height, width, dtype=torch.float64)
    restless[:, 40:] = torch.rand(height, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    contrast = predictors_of(restless, torch.zeros(40, 40), TWO)[2]
    below = noisy(height, width, contrast)
    below = ReducedPrediction(
        below.source, torch.stack([torch.zeros_like(restless), restless]), below.errors, below.validated
    )
    interval = calibrated([below], (0, 1), 1, TWO)
    assert interval is not None
    half = interval.guided.sum(predictors_of(restless, below.source, TWO))
    within = below.errors[1].abs() <= half / CORRECTION_FACTOR
    assert float(within[:, 41:].double().mean()) == pytest.approx(0.9, abs=0.01)
    assert float(half[:, :38].max()) < 0.05 * float(half[:, 41:].mean())
    assert interval.guided.contrast == pytest.approx(1.645 * CORRECTION_FACTOR, abs=0.12)  # the normal distribution's


def test_of_many_pixels_some_are_taken_and_of_few_nothing_is_said() -> None:
    side = int(MOST_PX**0.5) * 2
    interval = calibrated([noisy(side, side, 1.0)], (0, 1), 1, TWO)
    assert interval is not None
    assert interval.guided.constant == pytest.approx(1.645 * CORRECTION_FACTOR, abs=0.1)
    few = noisy(10, 10, 1.0)
    judged = torch.ones(10, 10).bool()
    judged[0, 0] = False
    assert int(judged.sum()) < FEWEST_PX
    assert calibrated([ReducedPrediction(few.source, few.raw, few.errors, judged)], (0, 1), 1, TWO) is None


def test_ranges_are_the_largest_less_the_smallest_of_three_by_three() -> None:
    made = torch.Generator().manual_seed(3)
    prediction = torch.rand(6, 8, dtype=torch.float64, generator=made)
    source = torch.rand(3, 4, generator=made)
    ones, rough, contrast = predictors_of(prediction, source, TWO)
    assert bool((ones == 1).all())
    for row in range(6):
        for col in range(8):
            near = prediction[max(row - 1, 0) : row + 2, max(col - 1, 0) : col + 2]
            assert float(contrast[row, col]) == float(near.max() - near.min())
    assert float(rough.min()) >= 0
    assert float(rough.max()) <= float(source.max() - source.min())


def test_a_gap_in_the_guide_has_the_baselines_interval_and_units_scale_the_constants_alone() -> None:
    interval = Interval(Terms(1.0, 0.5, 2.0), Terms(3.0, 0.25, 4.0))
    prediction, source = torch.rand(4, 4).double(), torch.rand(2, 2)
    guided = torch.tensor([0.0, 0.5, 1.0, 1.0]).double().expand(4, 4)
    ensemble = interval.half_width(prediction, source, guided, TWO)
    everywhere = interval.half_width(prediction, source, torch.ones_like(prediction), TWO)
    nowhere = interval.half_width(prediction, source, torch.zeros_like(prediction), TWO)
    assert torch.allclose(ensemble[:, 0], nowhere[:, 0])
    assert torch.allclose(ensemble[:, 1], (nowhere + everywhere)[:, 1] / 2)
    assert torch.equal(ensemble[:, 2:], everywhere[:, 2:])
    doubled = interval.times(2.0).half_width(2 * prediction, 2 * source, guided, TWO)
    assert torch.allclose(doubled, 2 * ensemble)


def test_a_guide_leaves_a_part_of_the_baselines_width() -> None:
    """However right it was at reduced resolution: here it erred by nothing."""
    sure = Interval(Terms(0, 0, 0), Terms(3.0, 0.25, 4.0))
    prediction, source, everywhere = torch.rand(4, 4).double(), torch.rand(2, 2), torch.ones(4, 4).double()
    smooth = sure.half_width(prediction, source, 0 * everywhere, TWO)
    assert float(smooth.min()) >= 3
    assert torch.allclose(sure.half_width(prediction, source, everywhere, TWO), LEAST * smooth)


def test_a_guide_never_widens_the_baselines_interval() -> None:
    """However wrong it was at reduced resolution: where it helped, the target is no farther off than without it."""
    unsure = Interval(Terms(9.0, 0.25, 4.0), Terms(3.0, 0.25, 0.0))
    prediction, source, everywhere = torch.rand(4, 4).double(), torch.rand(2, 2), torch.ones(4, 4).double()
    smooth = unsure.half_width(prediction, source, 0 * everywhere, TWO)
    assert torch.equal(unsure.half_width(prediction, source, everywhere, TWO), smooth)


def drawn(size: float, valid: Tensor | None = None) -> DrawnPart:
    """A part on which members draw a restless detail of this size over the baseline."""
    generator = torch.Generator().manual_seed(5)
    prediction = size * torch.randn(40, 40, dtype=torch.float64, generator=generator)
    valid = torch.ones(40, 40, dtype=torch.bool) if valid is None else valid
    return DrawnPart(torch.zeros(20, 20).double(), prediction, torch.zeros_like(prediction), valid)


@pytest.mark.parametrize("scale", [TWO, Scale(4, 4), Scale(3, 3), Scale(1, 4)])
@pytest.mark.parametrize(("ratio", "members"), [(0.3, 0.3), (0.8, 0.9), (1.0, 0.999), (1.0, 1.2)])
def test_the_width_of_an_ensemble_is_that_of_the_error_that_its_detail_and_the_octaves_predict(
    scale: Scale, ratio: float, members: float
) -> None:
    """A prediction of least squares and its error are uncorrelated: added^2 + error^2 is the baseline's error^2."""
    part = drawn(2.0)
    part = replace(part, source=torch.zeros(40 // scale.y, 40 // scale.x).double())
    height, width = (side * factor for side, factor in zip(part.source.shape, (scale.y, scale.x), strict=True))
    layers = part.prediction[:height, :width], part.baseline[:height, :width], part.valid[:height, :width]
    part = DrawnPart(part.source, *layers)
    octave, decay = 0.7, 0.6
    interval = expected(
        [noisy(60, 60, 3.0)], (0, 1), TWO, [part], scale,
        octave=octave, decay=decay, ratio=ratio, members_ratio=members, smooth_ratio=1.1,
    )  # fmt: skip
    assert interval is not None
    of_octaves = {2: 0.36, 4: 0.36 + 0.6**4, 3: 0.36 + 0.6**4 * (math.log2(3) - 1)}
    baseline = octave * math.sqrt(of_octaves[2 if scale == Scale(1, 4) else scale.y])
    explained = max(1 - members**2, 0)
    if explained:
        power = FROM_DETAIL * explained / (explained + UNCERTAIN_SHARE)
        added = float(part.prediction.square().mean().sqrt())
        baseline = baseline ** (1 - power) * (added / math.sqrt(explained)) ** power
    everywhere = torch.ones_like(part.prediction)
    widths = interval.half_width(part.prediction, part.source, everywhere, scale)
    assert float(widths.square().mean().sqrt()) == pytest.approx(WIDTH * ratio * baseline, rel=1e-6)
    smooth = interval.half_width(part.prediction, part.source, 0 * everywhere, scale)
    assert float(smooth.square().mean().sqrt()) == pytest.approx(WIDTH * 1.1 * baseline, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "slope"), [(4, 1.0), (4, 2.0), (8, 1.0), (8, 2.0)])
def test_nine_in_ten_true_values_lie_within_the_interval_of_a_fit_that_uses_no_guide(scale: int, slope: float) -> None:
    """Rasters whose amplitudes fall as a power of the frequency, and guides of noise."""
    generator = np.random.default_rng(0)
    side, by = 256, Scale(scale, scale)
    frequencies = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side), indexing="ij"))
    frequencies[0, 0] = 1
    truth = np.real(np.fft.ifft2(np.fft.fft2(generator.standard_normal((side, side))) / frequencies**slope))
    target = torch.from_numpy(truth / truth.std())
    source, guide = degrade(target, by).float(), torch.from_numpy(generator.standard_normal((1, side, side))).float()
    sample = Sample(source, torch.ones_like(source).bool(), guide, torch.ones_like(guide[0]).bool())
    model = fit_samples([sample], by, FitParams.of("draft", threads=1), guide_bands=("noise",))
    assert not model.uses_guide
    assert model.source_interval is not None
    prediction = model.predictor()(sample)
    half = model.source_interval.half_width(prediction, source.double(), torch.zeros_like(prediction), by)
    assert 0.75 < float(((prediction - target).abs() <= half).double().mean()) < 0.99


def test_errors_at_reduced_resolution_say_where_the_width_is_large_and_not_how_large() -> None:
    options = {"octave": 1.0, "decay": 0.5, "ratio": 0.5, "members_ratio": 0.5, "smooth_ratio": 1.0}
    small, large = (expected([noisy(60, 60, size)], (0, 1), TWO, [drawn(1.0)], TWO, **options) for size in (1e-3, 1e3))
    assert small is not None
    assert large is not None
    assert small.guided.constant == pytest.approx(large.guided.constant, rel=1e-3)


def test_an_ensemble_without_detail_or_with_too_few_pixels_has_no_interval() -> None:
    options = {"octave": 1.0, "decay": 0.5, "ratio": 0.5, "members_ratio": 0.5, "smooth_ratio": 1.0}
    assert expected([noisy(60, 60, 1.0)], (0, 1), TWO, [drawn(0.0)], TWO, **options) is None
    assert expected([noisy(8, 8, 1.0)], (0, 1), TWO, [drawn(1.0)], TWO, **options) is None
    nowhere = torch.zeros(40, 40, dtype=torch.bool)
    assert expected([noisy(60, 60, 1.0)], (0, 1), TWO, [drawn(1.0, nowhere)], TWO, **options) is None


def test_predictions_at_reduced_resolution_are_validated_where_asked() -> None:
    made = torch.Generator().manual_seed(4)
    truth, asked = torch.rand(8, 8, generator=made).double(), torch.ones(8, 8).bool()
    judged = torch.zeros(8, 8).bool()
    judged[2:6, 2:6] = True
    below = predict_at_reduced_resolution([lambda *_: truth + 1], truth, asked, judged, TWO)
    assert torch.equal(below.validated, judged)
    assert float(below.errors[:, ~judged].abs().max()) == 0
    assert float(below.errors[1].abs().max()) < 1e-5  # made consistent, the constant is gone
    assert float(below.errors[0].abs().max()) > 0.1
