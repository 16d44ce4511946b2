"""The members: consistent, the same in tiles, blind to what nodata holds; their alignment, evidence and weights."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage  # type: ignore[import-untyped]
from torch import Tensor

from mmsr_geo.engine.flags import unhelpful_regions
from mmsr_geo.errors import PixelError
from mmsr_geo.geometry import LARGEST_SCALE, Halo, Scale, Window
from mmsr_geo.methods.scene import SceneFit
from mmsr_geo.network.degradation import bicubic, degrade, make_consistent
from mmsr_geo.network.fit import fit_samples
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.network.members import local_regression
from mmsr_geo.network.members.alignment import align
from mmsr_geo.network.members.fit import compared_parts, fit_members, reduced_predictors, stacked, window_for
from mmsr_geo.network.members.fitted import Members
from mmsr_geo.network.members.layers import AS_IT_IS, WAVES, Alignment, GuideScaling
from mmsr_geo.network.members.local_regression import CoarsePart, LocalRegression
from mmsr_geo.network.members.table import MEMBERS, EdgePreserving, MemberState
from mmsr_geo.network.members.waves import CONTEXT_REACH_PX
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.network.variational.gaussian import smoothed
from support.scenes import patches, scene, with_gaps

ALIGNED = Alignment(blur_px=0.6, shift_px=(0.5, -1.0))
NAMES = tuple(MEMBERS)


def smooth(sample: Sample, scale: Scale) -> Sample:
    """The same pair with a source and a guide as smooth as those of a sensor."""
    layers = [torch.from_numpy(ndimage.gaussian_filter(band, 1.0)) for band in sample.guide.numpy()]
    source = ndimage.zoom(sample.source.numpy(), (scale.y, scale.x), order=1, grid_mode=True, mode="nearest")
    return replace(sample, guide=torch.stack(layers), source=degrade(torch.from_numpy(source), scale))


@cache
def fitted(name: str, scale: Scale, size: tuple[int, int], gaps: float = 0.0) -> tuple[Sample, Members]:
    """A sample, and one member alone, aligned as no fit would align it."""
    sample = with_gaps(smooth(scene(*size, scale), scale), source=gaps, guide=gaps)
    statistics = Statistics.of([sample])
    window, scaling = window_for(sample, statistics, scale, ALIGNED, [name])
    return sample, Members(scaling, ALIGNED, {name: 1.0}, {name: MEMBERS[name].fit([window])})


def predicted(members: Members, sample: Sample, scale: Scale, statistics: Statistics | None = None) -> Tensor:
    return members.predict(members.window(sample, statistics or Statistics.of([sample]), scale))


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("scale", [Scale(2, 2), Scale(4, 4), Scale(3, 2), Scale(1, 3)])
@pytest.mark.parametrize("gaps", [0.0, 0.2])
def test_block_means_are_the_source_and_nothing_under_nodata_counts(name: str, scale: Scale, gaps: float) -> None:
    sample, members = fitted(name, scale, (12, 13), gaps)
    statistics = Statistics.of([sample])
    target = predicted(members, sample, scale)
    assert torch.isfinite(target).all()
    expected = statistics.centred_source(sample.source)[sample.source_valid]
    torch.testing.assert_close(degrade(target, scale)[sample.source_valid], expected, rtol=0, atol=1e-5)
    other = replace(
        sample,
        source=torch.where(sample.source_valid, sample.source, torch.tensor(3e30)),
        guide=torch.where(sample.guide_valid, sample.guide, torch.tensor(-3e30)),
    )
    torch.testing.assert_close(predicted(members, other, scale, statistics), target, rtol=0, atol=0)


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize(
    ("scale", "support", "size", "most"),
    [
        (Scale(2, 2), 12, (60, 62), 3e-5),
        (Scale(4, 4), 12, (48, 50), 3e-5),
        (Scale(8, 8), 12, (36, 38), 3e-5),
        (Scale(16, 16), 8, (24, 25), 1e-4),
    ],
)
def test_a_window_with_its_halo_is_the_same_window_of_the_whole(
    name: str, scale: Scale, support: int, size: tuple[int, int], most: float
) -> None:
    sample, members = fitted(name, scale, size)
    statistics, whole = Statistics.of([sample]), Window(0, 0, *size)
    target = predicted(members, sample, scale)
    halo = members.receptive_field(scale)
    assert support * scale.y <= 128
    around = 7 + (CONTEXT_REACH_PX if name == "regression on context" else 0)  # blur and shift
    assert support < min(halo.y, halo.x) <= max(halo.y, halo.x) <= support + math.ceil(around / scale.y)
    core = Window(size[0] // 2 - 1, size[1] // 2 - 1, 2, 2)
    read = core.padded(halo, whole)
    assert read != whole
    part = predicted(members, sample.cut(read, scale), scale, statistics)
    found = part[core.relative_to(read).refined(scale).slices]
    torch.testing.assert_close(found, target[core.refined(scale).slices], rtol=0, atol=most)


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize(("scale", "size", "most"), [(Scale(4, 4), (48, 50), 1e-4), (Scale(16, 16), (24, 25), 3e-4)])
def test_what_lies_beyond_the_halo_changes_next_to_nothing(
    name: str, scale: Scale, size: tuple[int, int], most: float
) -> None:
    """Source and guide are changed by a deviation everywhere beyond it."""
    sample, members = fitted(name, scale, size)
    core = Window(size[0] // 2 - 1, size[1] // 2 - 1, 2, 2)
    inside = core.padded(members.receptive_field(scale), Window(0, 0, *size))
    statistics, generator = Statistics.of([sample]), torch.Generator().manual_seed(1)
    source = sample.source + statistics.source_spread * torch.randn(sample.source.shape, generator=generator)
    guide = sample.guide + torch.tensor(statistics.guide_spread)[:, None, None] * torch.randn(
        sample.guide.shape, generator=generator
    )
    source[inside.slices] = sample.source[inside.slices]
    guide[:, *inside.refined(scale).slices] = sample.guide[:, *inside.refined(scale).slices]
    before = predicted(members, sample, scale)[core.refined(scale).slices]
    after = predicted(members, replace(sample, source=source, guide=guide), scale, statistics)
    torch.testing.assert_close(after[core.refined(scale).slices], before, rtol=0, atol=most)


def test_a_raster_in_other_units_has_the_same_target_in_these() -> None:
    scale = Scale(4, 4)
    sample = scene(24, 22, scale)
    members, *_ = fit_members([sample], scale, Statistics.of([sample]), NAMES)
    other = replace(sample, source=10 * sample.source - 500, guide=0.01 * sample.guide + 3)
    torch.testing.assert_close(predicted(members, other, scale), predicted(members, sample, scale), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("blur", "shift"), [(0.0, (0.0, 0.0)), (1.3, (0.0, 0.0)), (0.9, (2.0, -1.0)), (0.0, (1.0, 0.0))]
)
def test_blur_and_shift_of_a_source_are_found(blur: float, shift: tuple[float, float]) -> None:
    scale, truth = Scale(4, 4), patches(160, 160, 3)
    guide = torch.stack([truth, truth.square()]).float()
    seen = ndimage.shift(ndimage.gaussian_filter(truth.numpy(), blur) if blur else truth.numpy(), shift, order=1)
    source = degrade(torch.from_numpy(seen), scale).float()
    sample = Sample(source, torch.ones(40, 40, dtype=torch.bool), guide, torch.ones(160, 160, dtype=torch.bool))
    statistics = Statistics.of([sample])
    scaling = GuideScaling.of([sample], statistics, torch.Generator().manual_seed(0))
    found = align([sample], statistics, scaling, scale)
    assert found.shift_px == pytest.approx(shift, abs=0.25)
    assert found.blur_px == pytest.approx(blur, abs=0.35)


def slowly_applied(alignment: Alignment, sample: Sample) -> tuple[Tensor, Tensor]:
    """Move and blur a guide pixel by pixel: NaN marks what depends on a gap while the guide is moved."""
    guide = torch.where(sample.guide_valid, sample.guide.double(), torch.nan).numpy()
    height, width = sample.guide_valid.shape
    for axis, shift in zip((1, 2), alignment.shift_px, strict=True):
        length, whole = guide.shape[axis], int(np.floor(shift))
        offsets = np.arange(-2, 4) if shift != whole else np.zeros(1, int)
        lanczos = np.sinc(offsets - shift + whole) * np.sinc((offsets - shift + whole) / 3)
        at = [np.clip(np.arange(length) - whole - by, 0, length - 1) for by in offsets]
        parts = [
            weight * guide.take(indices, axis) for weight, indices in zip(lanczos / lanczos.sum(), at, strict=True)
        ]
        guide = np.sum(parts, axis=0)
    valid = np.isfinite(guide).all(axis=0)
    deviation = alignment.blur_px
    radius = int(np.floor(4 * deviation + 0.5))
    blurred = np.zeros_like(guide)
    for row in range(height):
        for col in range(width):
            sums, total = np.zeros(len(guide)), 0.0
            for down in range(-radius, radius + 1):
                for across in range(-radius, radius + 1):
                    y, x = np.clip(row + down, 0, height - 1), np.clip(col + across, 0, width - 1)
                    weight = np.exp(-(down**2 + across**2) / (2 * deviation**2)) if radius else 1.0
                    if valid[y, x]:
                        sums, total = sums + weight * guide[:, y, x], total + weight
            if total:
                blurred[:, row, col] = sums / total
    return torch.from_numpy(blurred), torch.from_numpy(valid)


@pytest.mark.parametrize("gaps", [0.0, 0.1])
@pytest.mark.parametrize(
    "alignment",
    [
        Alignment(0.6),
        Alignment(1.1, (1.0, -2.0)),
        Alignment(0.0, (0.25, -1.5)),
        Alignment(0.45, (-0.75, 3.0)),
        Alignment(0.0, (0.0, 1.0)),
    ],
)
def test_an_alignment_moves_and_blurs_a_guide_as_pixel_by_pixel(alignment: Alignment, gaps: float) -> None:
    sample = with_gaps(scene(9, 8, Scale(2, 2), seed=2), guide=gaps)
    sample = replace(sample, guide=torch.where(sample.guide_valid, sample.guide, torch.nan))
    applied = alignment.applied(sample)
    wanted, valid = slowly_applied(alignment, sample)
    assert applied.guide.dtype == torch.float32
    assert torch.equal(applied.guide_valid, valid)
    assert bool(valid.all()) is (gaps == 0)
    assert bool(valid.any())
    torch.testing.assert_close(applied.guide[:, valid].double(), wanted[:, valid], rtol=1e-6, atol=0)
    assert bool(applied.guide.isfinite().all())
    assert applied.source is sample.source
    assert applied.source_valid is sample.source_valid


def test_what_a_gap_holds_does_not_reach_an_aligned_guide() -> None:
    sample = with_gaps(scene(12, 11, Scale(2, 2)), guide=0.1)
    first, other = (
        ALIGNED.applied(replace(sample, guide=torch.where(sample.guide_valid, sample.guide, torch.tensor(value))))
        for value in (torch.nan, 3e38)
    )
    assert torch.equal(first.guide, other.guide)
    assert torch.equal(first.guide_valid, other.guide_valid)


def test_no_alignment_leaves_a_sample_as_it_is() -> None:
    sample = with_gaps(scene(6, 5, Scale(2, 2)), guide=0.1)
    assert Alignment().applied(sample) is sample
    assert AS_IT_IS.reach_px == (0, 0)


def test_a_window_with_its_reach_is_aligned_as_the_whole() -> None:
    scale, alignment = Scale(2, 2), Alignment(0.75, (1.5, -0.25))
    sample = with_gaps(scene(24, 20, scale), guide=0.05)
    whole = alignment.applied(sample)
    down, across = (math.ceil(reach / 2) for reach in alignment.reach_px)
    core = Window(9, 8, 4, 5)
    read = core.padded(Halo(down, across), Window(0, 0, 24, 20))
    part = alignment.applied(sample.cut(read, scale))
    at, inner = core.refined(scale).slices, core.relative_to(read).refined(scale).slices
    assert torch.equal(part.guide_valid[inner], whole.guide_valid[at])
    torch.testing.assert_close(part.guide[:, *inner], whole.guide[:, *at], rtol=1e-6, atol=0)


def test_a_guide_of_noise_leaves_the_interpolation_and_flat_parts_the_piecewise_constant() -> None:
    scale, truth = Scale(4, 4), patches(128, 128, 5)
    ones = torch.ones(32, 32, dtype=torch.bool), torch.ones(128, 128, dtype=torch.bool)
    noise = torch.randn(3, 128, 128, generator=torch.Generator().manual_seed(0))
    waves = torch.sin(torch.arange(128.0)[:, None] / 9) * torch.cos(torch.arange(128.0) / 11)

    def weights(target: Tensor, guide: Tensor) -> dict[str, float]:
        sample = Sample(degrade(target.double(), scale).float(), ones[0], guide.float(), ones[1])
        return dict(fit_members([sample], scale, Statistics.of([sample]), NAMES)[0].weights)

    unguided = weights(waves, noise)
    assert max(unguided, key=lambda name: unguided[name]) == "minimum curvature"
    flat = weights(truth, torch.stack([truth, -truth]) + 0.01 * noise[:2])
    assert sum(flat.values()) == pytest.approx(1)
    assert min(flat.values()) >= 0.02
    assert "minimum curvature" not in flat


def test_members_beat_the_bicubic_baseline_on_a_truth_that_the_guide_shows() -> None:
    scale = Scale(4, 4)
    truth = torch.from_numpy(ndimage.gaussian_filter(patches(128, 128, 2).numpy(), 0.7))
    guide = torch.stack([truth, truth.square()]).float()
    source, valid = degrade(truth, scale), torch.ones(32, 32, dtype=torch.bool)
    sample = Sample(source.float(), valid, guide, torch.ones(128, 128, dtype=torch.bool))
    statistics = Statistics.of([sample])
    members, *_ = fit_members([sample], scale, statistics, NAMES)
    target = predicted(members, sample, scale) * statistics.source_spread + statistics.source_centre
    baseline = make_consistent(bicubic(source, scale), source, valid, scale)
    assert (target - truth).square().mean() < 0.05 * (baseline - truth).square().mean()


def test_the_same_seed_gives_the_same_members_and_they_survive_as_parts() -> None:
    scale = Scale(3, 3)
    sample = scene(20, 22, scale)
    statistics = Statistics.of([sample])
    first, again, other = (fit_members([sample], scale, statistics, NAMES, seed=seed)[0] for seed in (1, 1, 2))
    assert first.description == again.description
    for name, tensor in first.tensors.items():
        assert torch.equal(tensor, again.tensors[name])
    for kind, waves in first.scaling.waves.items():
        assert torch.equal(waves.frequencies, again.scaling.waves[kind].frequencies)
        assert not torch.equal(waves.frequencies, other.scaling.waves[kind].frequencies)
    restored = Members.from_parts(first.description, first.tensors)
    assert restored.description == first.description
    assert torch.equal(predicted(restored, sample, scale), predicted(first, sample, scale))
    assert first.sentence == ", ".join(f"{name} {weight:.0%}" for name, weight in first.weights.items())


def changed(path: str, value: object) -> Callable[[dict[str, Any], dict[str, Tensor]], None]:
    """Return the change of one value of a description: its keys are joined by slashes."""

    def change(description: dict[str, Any], tensors: dict[str, Tensor]) -> None:  # noqa: ARG001  (one signature)
        *above, key = path.split("/")
        for name in above:
            description = description[name]
        description[key] = value

    return change


def replaced(name: str, tensor: Tensor) -> Callable[[dict[str, Any], dict[str, Tensor]], None]:
    return lambda _, tensors: tensors.update({name: tensor})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (replaced("low", torch.tensor([torch.nan, 0.0], dtype=torch.float64)), "low holds values that are not finite"),
        (replaced("squares.spread", torch.zeros(2, dtype=torch.float64)), "a spread of 0 or less"),
        (replaced("whitening.turn", torch.eye(5, dtype=torch.float64)), r"whitening.turn is \(5, 5\)"),
        (replaced("edge-preserving.0.covariance", torch.eye(1)), None),
        (changed("blur_px", float("nan")), "blurred by nan"),
        (changed("blur_px", -1.0), "blurred by -1.0"),
        (changed("shift_px", [0.0, 1e9]), "moved by 0.0, 1000000000.0"),
        (changed("members", {}), r"the weights of its members are \[\]"),
        (changed("members/edge-preserving/weight", 0.4), r"the weights of its members are \[0.4"),
        (changed("members/edge-preserving/weight", float("nan")), "the weights of its members are"),
        (changed("members/edge-preserving/sizes", [1.0]), "edge-preserving has sizes"),
        (changed("members/edge-preserving/sizes", [1.0, 0.0]), "edge-preserving has sizes"),
    ],
)
def test_damaged_parts_are_refused(
    damage: Callable[[dict[str, Any], dict[str, Tensor]], None], message: str | None
) -> None:
    _, members = fitted("edge-preserving", Scale(2, 2), (12, 13))
    description, tensors = json.loads(json.dumps(members.description)), dict(members.tensors)
    damage(description, tensors)
    if message is None:  # a tensor that no member needs
        assert Members.from_parts(description, tensors).description == members.description
        return
    with pytest.raises(ValueError, match=message):
        Members.from_parts(description, tensors)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (replaced("waves.phases", torch.zeros(3, dtype=torch.float64)), r"waves.phases is \(3,\)"),
        (replaced("waves.outputs.spread", torch.ones(WAVES["waves"])), "waves.outputs.spread is .* torch.float32"),
        (replaced("waves.outputs.spread", torch.zeros(WAVES["waves"]).double()), "a spread of 0 or less"),
        (replaced("waves.inputs.spread", torch.zeros(2).double()), "a spread of 0 or less"),
    ],
)
def test_damaged_waves_are_refused(damage: Callable[[dict[str, Any], dict[str, Tensor]], None], message: str) -> None:
    _, members = fitted("regression on waves", Scale(2, 2), (12, 13))
    description, tensors = members.description, dict(members.tensors)
    damage(description, tensors)
    with pytest.raises(ValueError, match=message):
        Members.from_parts(description, tensors)


def test_a_regression_that_is_missing_or_of_other_bands_is_refused() -> None:
    _, members = fitted("regression on waves", Scale(2, 2), (12, 13))
    tensors = dict(members.tensors)
    del tensors["regression on waves.1.coefficients"]
    with pytest.raises(KeyError, match="coefficients"):
        Members.from_parts(members.description, tensors)
    wrong = members.tensors | {"regression on waves.0.covariance": torch.eye(3, dtype=torch.float64)}
    with pytest.raises(ValueError, match="covariance is"):
        Members.from_parts(members.description, wrong)


@pytest.mark.parametrize("name", MEMBERS)
def test_tiles_agree_beside_a_gap_wider_than_any_halo_and_beside_an_outlier(name: str) -> None:
    scale, size = Scale(2, 2), (56, 40)
    sample = smooth(scene(*size, scale), scale)
    statistics = Statistics.of([sample])
    sample.source_valid[4:50, 12:30] = False
    sample.source[4, 36] -= 3000 * statistics.source_spread
    window, scaling = window_for(sample, statistics, scale, Alignment(), [name])
    members = Members(scaling, Alignment(), {name: 1.0}, {name: MEMBERS[name].fit([window])})
    whole = predicted(members, sample, scale, statistics)
    core, halo = Window(36, 4, 6, 8), members.receptive_field(scale)
    read = core.padded(halo, Window(0, 0, *size))
    assert read.row > 5  # the outlier is not read
    part = predicted(members, sample.cut(read, scale), scale, statistics)
    found = part[core.relative_to(read).refined(scale).slices]
    torch.testing.assert_close(found, whole[core.refined(scale).slices], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", MEMBERS)
def test_halos_hold_where_the_scale_differs_down_and_across(name: str) -> None:
    scale, size = Scale(1, 4), (140, 46)
    sample, members = fitted(name, scale, size)
    statistics, halo = Statistics.of([sample]), members.receptive_field(scale)
    assert halo.y >= 4 * 12
    whole, core = predicted(members, sample, scale), Window(66, 22, 4, 2)
    read = core.padded(halo, Window(0, 0, *size))
    part = predicted(members, sample.cut(read, scale), scale, statistics)
    found = part[core.relative_to(read).refined(scale).slices]
    torch.testing.assert_close(found, whole[core.refined(scale).slices], rtol=0, atol=3e-5)


@pytest.mark.parametrize("name", ["pooled regression", "local regression", "local regression with squares"])
def test_a_gap_in_the_guide_spoils_no_prediction_beside_it(name: str) -> None:
    scale = Scale(4, 4)
    rows, columns = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    truth = 2 * torch.tanh((columns - 48) / 12) + 0.3 * torch.sin(rows / 2.5)
    valid = torch.ones(96, 96, dtype=torch.bool)
    valid[40:54, 60:74] = False
    beside = torch.zeros_like(valid)
    beside[32:62, 52:82] = True
    beside[36:58, 56:78] = False
    source = degrade(truth.double(), scale).float()

    def error(mask: Tensor) -> float:
        sample = Sample(source, torch.ones(24, 24, dtype=torch.bool), truth[None], mask)
        statistics = Statistics.of([sample])
        window, _ = window_for(sample, statistics, scale, Alignment(), [name])
        target = MEMBERS[name].predict(window, MEMBERS[name].fit([window]))
        return float(
            (target * statistics.source_spread + statistics.source_centre - truth)[beside].square().mean().sqrt()
        )

    assert error(valid) < 0.02


@pytest.mark.parametrize("scale", [Scale(2, 2), Scale(1, 4), Scale(40, 40), Scale(17, 17), Scale(1, 64)])
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (2, 6), (3, 3), (3, 12)])
def test_sources_of_any_size_and_scale_have_a_target(scale: Scale, size: tuple[int, int]) -> None:
    sample = scene(*size, scale)
    statistics = Statistics.of([sample])
    members, *_ = fit_members([sample], scale, statistics, NAMES)
    target = predicted(members, sample, scale)
    torch.testing.assert_close(degrade(target, scale), statistics.centred_source(sample.source), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", MEMBERS)
def test_every_member_predicts_the_smallest_windows(name: str) -> None:
    for scale in (Scale(2, 2), Scale(1, 4)):
        _, members = fitted(name, scale, (12, 13))
        for size in ((1, 1), (1, 6), (2, 3)):
            sample = scene(*size, scale)
            assert torch.isfinite(predicted(members, sample, scale)).all()


def test_a_narrow_part_is_left_out_and_the_largest_scale_has_evidence() -> None:
    wide, narrow = scene(16, 16, Scale(2, 2)), scene(1, 16, Scale(2, 2))
    members, *_ = fit_members([wide, narrow], Scale(2, 2), Statistics.of([wide]), NAMES)
    assert sum(members.weights.values()) == pytest.approx(1)
    largest = Scale(LARGEST_SCALE, LARGEST_SCALE)
    large = scene(12, 12, largest)
    source = degrade((large.guide[0] + 0.3 * large.guide[1]).double(), largest).float()
    sample = replace(large, source=source)
    assert fit_members([sample], largest, Statistics.of([sample]), NAMES)[0].guided


def test_a_draft_without_a_guided_member_says_that_the_guide_did_not_help() -> None:
    scale = Scale(4, 4)
    waves = torch.sin(torch.arange(320.0)[:, None] / 9) * torch.cos(torch.arange(320.0) / 11)
    noise = torch.randn(2, 320, 320, generator=torch.Generator().manual_seed(0))
    masks = torch.ones(80, 80, dtype=torch.bool), torch.ones(320, 320, dtype=torch.bool)
    sample = Sample(degrade(waves, scale), masks[0], noise, masks[1])
    model = fit_samples([sample], scale, FitParams.of("draft", threads=1), guide_bands=("a", "b"))
    assert model.members is not None
    if model.members.guided:
        weights = {"minimum curvature": 1.0}
        members = replace(model.members, weights=weights, states={"minimum curvature": MemberState()})
        model = replace(model, members=members, check=replace(model.check, guided=False))
    assert model.check.result == "did not help"
    assert "the guide is not used" in model.check.sentence
    assert model.sentence == "minimum curvature 100%"
    assert not SceneFit().uses_fallback(model.check)
    assert unhelpful_regions(model.check, Window(0, 0, 8, 8)).all()


def test_a_constant_source_has_no_guide_that_helped() -> None:
    scale = Scale(2, 2)
    sample = replace(scene(40, 40, scale), source=torch.full((40, 40), 7.0))
    model = fit_samples([sample], scale, FitParams.of("draft", threads=1), guide_bands=("a", "b"))
    assert model.check.result == "did not help"
    target = model.predictor()(sample)
    torch.testing.assert_close(target, torch.full_like(target, 7.0))


def test_the_digest_is_of_the_members_constants_too(monkeypatch: pytest.MonkeyPatch) -> None:
    scale = Scale(2, 2)
    model = fit_samples([scene(24, 24, scale)], scale, FitParams.of("draft", threads=1), guide_bands=("a", "b"))
    assert model.members is not None
    before, name = model.digest, next(iter(model.members.weights))
    monkeypatch.setattr("mmsr_geo.network.members.fitted.MEMBERS", {**MEMBERS, name: EdgePreserving(name, knee=7.0)})
    assert model.digest != before


def test_too_few_pixels_leave_the_interpolation_alone() -> None:
    scale = Scale(4, 4)
    sample = scene(7, 8, scale)
    members, *_ = fit_members([sample], scale, Statistics.of([sample]), NAMES)
    assert members.weights == {"minimum curvature": 1.0}


def test_weights_below_the_least_are_left_out() -> None:
    products = np.diag([1.0, 1.0, 90.0])
    assert stacked({"a": 0, "b": 1, "c": 2}, products) == pytest.approx({"a": 0.5, "b": 0.5})
    assert stacked({"a": 0, "b": 1}, np.array([[1.0, 1.0], [1.0, 1.0]])) == {"a": 1.0}


def test_large_samples_are_cut_and_thinned() -> None:
    scale = Scale(2, 2)
    ones = torch.ones(1400, 600, dtype=torch.bool), torch.ones(2800, 1200, dtype=torch.bool)
    large = Sample(torch.zeros(1400, 600), ones[0], torch.zeros(1, 2800, 1200), ones[1])
    parts = compared_parts([large], scale)
    assert {number for number, _ in parts} == {0}
    windows = [window for _, window in parts]
    assert sum(large.cut(window, scale).guide_valid.numel() for window in windows) <= 2**20
    assert len({(window.row, window.col) for window in windows}) == len(windows) >= 3
    assert len({window.col for window in windows}) > 1
    both = compared_parts([large, large], scale)
    assert {number for number, _ in both} == {0, 1}
    assert sum(window.height * window.width * 4 for _, window in both) <= 2**20
    empty = replace(large, source_valid=torch.zeros_like(ones[0]))
    assert compared_parts([empty], scale) == []


def test_at_reduced_resolution_the_source_is_predicted_from_its_means() -> None:
    scale = Scale(4, 4)
    sample = scene(48, 52, scale)
    statistics = Statistics.of([sample])
    members, layers, _ = fit_members([sample], scale, statistics, NAMES)
    (predict,) = reduced_predictors(members, layers, scale)
    reference = statistics.centred_source(sample.source)
    source = degrade(reference, scale)
    prediction = predict(source)
    torch.testing.assert_close(degrade(prediction, scale), source, rtol=0, atol=1e-5)
    assert (prediction - reference).square().mean() < (bicubic(source, scale) - reference).square().mean()


def test_a_source_and_a_guide_without_a_pixel_in_common_are_refused() -> None:
    sample = scene(16, 16, Scale(2, 2))
    apart = replace(sample, source_valid=sample.source_valid.clone(), guide_valid=sample.guide_valid.clone())
    apart.source_valid[:, :8], apart.guide_valid[:, 16:] = False, False
    with pytest.raises(PixelError, match="source and guide have no valid pixel in common"):
        fit_samples([apart], Scale(2, 2), FitParams.of("draft", threads=1), guide_bands=("a", "b"))


def test_a_member_of_waves_is_small_enough_to_be_sent_to_each_worker() -> None:
    _, members = fitted("regression on many waves", Scale(2, 2), (12, 13))
    assert len(pickle.dumps(members)) < 150_000


@pytest.mark.parametrize("local_px", [0.0, 2.0])
def test_a_pooled_regression_is_that_of_all_known_pixels_at_once(
    monkeypatch: pytest.MonkeyPatch, local_px: float
) -> None:
    """However many features and pixels are taken at once, in float32 means too."""
    generator = torch.Generator().manual_seed(4)
    means = torch.randn(37, 30, 28, generator=generator, dtype=torch.float64)
    source = torch.randn(30, 28, generator=generator, dtype=torch.float64) + means[3] - 2 * means[30]
    known = torch.rand(30, 28, generator=generator) < 0.9
    regression = LocalRegression(mean_px=1.0, ridge=0.02, local_px=local_px)
    monkeypatch.setattr(local_regression, "COLUMNS_AT_ONCE", 100)
    parts = [CoarsePart(source[:16], known[:16], means[:, :16]), CoarsePart(source[16:], known[16:], means[:, 16:])]
    found = regression.pool(part for part in parts)
    columns, rests = [], []
    for part in parts:
        about, level = (smoothed(layer, part.known, 1.0, 2.0) for layer in (part.means, part.source))
        columns.append((part.means - about)[:, part.known])
        rests.append((part.source - level)[part.known])
    every, rest = torch.cat(columns, dim=1), torch.cat(rests)
    covariance = every @ every.T / every.shape[1]
    covariance += 0.02 * covariance.diagonal().mean() * torch.eye(37)
    torch.testing.assert_close(found.coefficients, torch.linalg.solve(covariance, every @ rest / every.shape[1]))
    assert found.covariance.shape == ((37, 37) if local_px else (0, 0))
    single = regression.pool(replace(part, means=part.means.float()) for part in parts)
    torch.testing.assert_close(single.coefficients, found.coefficients, rtol=1e-4, atol=1e-5)
