"""The way of one window: nodata, missing guide, exactness, tiles, full memory and devices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsr_geo.engine import tile_upsampler as upsampling
from mmsr_geo.engine.flags import Flag
from mmsr_geo.engine.model import Predictor
from mmsr_geo.engine.tile_upsampler import Upsampler, halo_of, sample_of
from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Halo, Scale, Tile, Tiling, Window
from mmsr_geo.network.degradation import CONSISTENCY_SUPPORT_PX, bicubic, degrade, fill_nodata, make_consistent, nearest
from mmsr_geo.network.device import resolve_device
from mmsr_geo.network.fit import fit_samples
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.network.fitted import FittedModel, FittedPredictor, expected_receptive_field, receptive_field_of
from mmsr_geo.network.guide_features import FEATURE_RECEPTIVE_FIELD_PX, guide_features
from mmsr_geo.network.guide_gaps import feathered
from mmsr_geo.network.members.fit import with_equal_weights
from mmsr_geo.network.members.fitted import members_receptive_field
from mmsr_geo.network.members.layers import Alignment
from mmsr_geo.network.members.table import MEMBERS as TABLE
from mmsr_geo.network.members.table import MemberState
from mmsr_geo.network.mmsr import MmsrNetwork, NetworkParams, ReceptiveField
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.network.stacking import StackingWeights
from mmsr_geo.raster.base import Pixels
from support.scenes import scene, with_both_parts, with_gaps

SCALE = Scale(3, 3)
Target = NDArray[np.float32]


def pixels(sample: Sample) -> tuple[Pixels, Pixels]:
    """Turn a sample into source and guide as they are read."""
    return (
        Pixels(sample.source[None].numpy(), sample.source_valid.numpy()),
        Pixels(sample.guide.numpy(), sample.guide_valid.numpy()),
    )


def cut(sample: Sample, window: Window) -> Sample:
    (rows, columns), (fine_rows, fine_columns) = window.slices, window.refined(SCALE).slices
    return Sample(
        sample.source[rows, columns],
        sample.source_valid[rows, columns],
        sample.guide[:, fine_rows, fine_columns],
        sample.guide_valid[fine_rows, fine_columns],
    )


def whole_of(sample: Sample) -> Window:
    height, width = sample.source.shape
    return Window(0, 0, height, width)


def upsampled(upsampler: Upsampler, sample: Sample) -> Target:
    """Return the target of all pixels, in one tile."""
    whole = whole_of(sample)
    return upsampler.upsample(Tile(0, whole, whole), *pixels(sample)).values


def spread(sample: Sample) -> float:
    return float(sample.source[sample.source_valid].std(correction=0))


def tolerance(sample: Sample) -> float:
    """Exact, as the design says: 1e-5 of the source's deviation or 2 float32 ULP of its largest magnitude."""
    largest = np.float32(sample.source[sample.source_valid].abs().max())
    return max(1e-5 * spread(sample), 2 * float(np.spacing(largest)))


def for_pair(model: FittedModel, sample: Sample) -> Upsampler:
    return Upsampler.of(model.with_statistics(Statistics.of([sample])), "cpu")


@pytest.fixture(scope="module")
def clean() -> Sample:
    return scene(31, 28, SCALE, seed=3)


MEMBERS = ("guided curvature", "local regression", "ridge regression")
"""Members that take part here: each kind, the quickest of it."""


@pytest.fixture(scope="module")
def both(fitted: FittedModel) -> FittedModel:
    """A model with a network and members, whose guide is moved and blurred."""
    sample = scene(24, 24, SCALE)
    alone = fit_samples([sample], SCALE, FitParams(network=False, threads=1), guide_bands=("red", "nir"))
    assert alone.members is not None
    aligned = replace(alone.members, alignment=Alignment(0.6, (1.0, -1.5)))
    members = with_equal_weights(aligned, sample, alone.statistics, SCALE, MEMBERS)
    return with_both_parts(fitted, replace(alone, members=members), 0.4)


@pytest.fixture(scope="module", params=["network", "both", "members"])
def upsampler(fitted: FittedModel, both: FittedModel, clean: Sample, request: pytest.FixtureRequest) -> Upsampler:
    alone = replace(both, weights={}, stacking=StackingWeights(0, 1))
    models = {"network": fitted, "both": both, "members": alone}
    return for_pair(models[request.param], clean)


@pytest.fixture(scope="module")
def target(upsampler: Upsampler, clean: Sample) -> Target:
    return upsampled(upsampler, clean)


class Watched:
    """A predictor that counts its calls, and may have too little memory for more than so many target pixels."""

    def __init__(self, predictor: Predictor, most: int | None = None, error: BaseException | None = None) -> None:
        self.predictor, self.most, self.error = predictor, most, error
        self.tried = 0
        self.done: list[int] = []

    def __call__(self, sample: Sample) -> Tensor:
        size = sample.guide_valid.numel()
        self.tried += 1
        if self.error is not None and (self.most is None or size > self.most):
            raise self.error
        self.done.append(size)
        return self.predictor(sample)


def test_a_target_is_float32_on_the_target_grid_and_averages_to_its_source(target: Target, clean: Sample) -> None:
    assert target.dtype == np.float32
    assert target.shape == (93, 84)
    means = target.astype(np.float64).reshape(31, 3, 28, 3).mean(axis=(1, 3))
    assert np.abs(means - clean.source.numpy()).max() <= tolerance(clean)


def test_a_target_is_what_the_network_says_made_consistent(fitted: FittedModel, clean: Sample) -> None:
    upsampler = for_pair(fitted, clean)
    target = upsampled(upsampler, clean)
    assert isinstance(upsampler.model, FittedModel)
    statistics = upsampler.model.statistics
    guide = (clean.guide - torch.tensor(statistics.guide_centre)[:, None, None]) / torch.tensor(
        statistics.guide_spread
    )[:, None, None]
    source = ((clean.source.double() - statistics.source_centre) / statistics.source_spread).float()
    with torch.no_grad():
        said = fitted.network()(guide_features(guide, clean.guide_valid)[None], source[None, None])[0, 0].double()
    said = said * statistics.source_spread + statistics.source_centre
    wanted = make_consistent(said, clean.source, clean.source_valid, SCALE)
    np.testing.assert_allclose(target, wanted.numpy(), rtol=0, atol=tolerance(clean))
    smooth = bicubic(clean.source.double(), SCALE)
    assert float((wanted - smooth).abs().max()) > 0.1 * spread(clean)


@pytest.mark.parametrize(("centre", "deviation"), [(300.0, 0.5), (1e6, 3.0), (0.0, 1e-6), (-4e3, 900.0)])
def test_a_target_is_exact_wherever_its_values_lie(fitted: FittedModel, centre: float, deviation: float) -> None:
    sample = with_gaps(scene(20, 17, SCALE, centre=centre, spread=deviation, seed=4), source=0.2)
    means = degrade(torch.from_numpy(upsampled(for_pair(fitted, sample), sample)).double(), SCALE)
    error = (means - sample.source.double()).abs()[sample.source_valid]
    assert float(error.max()) <= tolerance(sample)


@pytest.mark.parametrize(("source", "guide"), [(0.3, 0.0), (0.0, 0.3), (0.2, 0.5), (0.9, 0.9)])
def test_nodata_stays_nodata_and_all_else_is_met(
    fitted: FittedModel, clean: Sample, source: float, guide: float
) -> None:
    sample = with_gaps(clean, source=source, guide=guide, seed=2)
    result = torch.from_numpy(upsampled(for_pair(fitted, sample), sample))
    assert torch.equal(result.isnan(), ~nearest(sample.source_valid, SCALE))
    error = (degrade(result.double(), SCALE) - sample.source.double()).abs()[sample.source_valid]
    assert float(error.max()) <= tolerance(sample)


def test_what_lies_under_nodata_does_not_matter(fitted: FittedModel, clean: Sample) -> None:
    gappy = with_gaps(clean, source=0.2, guide=0.2, seed=5)
    garbage = replace(
        gappy,
        source=torch.where(gappy.source_valid, gappy.source, torch.tensor(3e38)),
        guide=torch.where(gappy.guide_valid, gappy.guide, torch.tensor(-torch.inf)),
    )
    upsampler = for_pair(fitted, gappy)
    np.testing.assert_array_equal(upsampled(upsampler, gappy), upsampled(upsampler, garbage))


def of_source_alone(upsampler: Upsampler, sample: Sample) -> Target:
    """What is expected where the guide is missing everywhere, (H, W).

    Without members it is bicubic interpolation. With them it is the guided curvature, whose weights are then constant,
    and the interpolation of minimum curvature in place of the regressions and of the network.
    """
    model, valid, centre = (
        upsampler.model,
        sample.source_valid,
        float(sample.source[sample.source_valid].double().mean()),
    )
    assert isinstance(model, FittedModel)
    if model.members is None:
        filled = fill_nodata(torch.where(valid, sample.source.double() - centre, torch.zeros(()).double()), valid)
        # Beyond reach nodata is filled with zero, the centre of the statistics: the same place for both.
        assert bool((fill_nodata(valid.double(), valid) > 0).all())
        wanted = make_consistent(bicubic(filled, SCALE), filled, valid, SCALE) + centre
    else:
        none = replace(sample, guide_valid=torch.zeros_like(sample.guide_valid))
        window = model.members.window(none, model.statistics, SCALE)
        curved = TABLE["guided curvature"].predict(window, MemberState())
        share = model.stacking.members / len(MEMBERS)
        wanted = share * curved + (1 - share) * window.interpolation
        wanted = wanted * model.statistics.source_spread + model.statistics.source_centre
    return wanted.masked_fill(~nearest(valid, SCALE), torch.nan).numpy()


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_where_the_guide_is_missing_everywhere_the_source_alone_is_interpolated(
    upsampler: Upsampler, clean: Sample, missing: float
) -> None:
    sample = with_gaps(clean, source=missing, guide=1.1)
    watched = Watched(upsampler.predictor)
    result = upsampled(replace(upsampler, predictor=watched), sample)
    assert isinstance(upsampler.model, FittedModel)
    assert (watched.done == []) == (upsampler.model.members is None)
    np.testing.assert_allclose(result, of_source_alone(upsampler, sample), rtol=0, atol=tolerance(clean))


def test_a_missing_part_of_the_guide_leaves_what_is_far_from_it_alone(
    upsampler: Upsampler, target: Target, clean: Sample
) -> None:
    guide_valid = clean.guide_valid.clone()
    guide_valid[:18, :30] = False
    result = upsampled(upsampler, replace(clean, guide_valid=guide_valid))
    far = 10 + max(upsampler.halo.y, upsampler.halo.x)
    np.testing.assert_allclose(result[3 * far :], target[3 * far :], rtol=0, atol=tolerance(clean))
    assert np.abs(result - target)[:18, :30].max() > 0.1 * spread(clean)
    alone = of_source_alone(upsampler, clean)
    assert np.abs(result - alone)[:3, :3].max() < 0.05 * spread(clean)


def test_a_tile_of_nodata_is_all_nan_and_costs_nothing(upsampler: Upsampler, clean: Sample) -> None:
    valid = clean.source_valid.clone()
    valid[:, :20] = False
    sample = replace(clean, source_valid=valid)
    watched = Watched(upsampler.predictor)
    tile = Tile(0, Window(0, 0, 31, 20), whole_of(sample))
    result = replace(upsampler, predictor=watched).upsample(tile, *pixels(sample)).values
    assert result.shape == (93, 60)
    assert np.isnan(result).all()
    assert watched.done == []


@pytest.mark.parametrize("tile_yx", [(13, 16), (45, 7), (50, 60)])
@pytest.mark.parametrize("part", [Window(0, 0, 44, 38), Window(11, 5, 20, 33)])
def test_tiles_with_their_halo_are_the_untiled(fitted: FittedModel, tile_yx: tuple[int, int], part: Window) -> None:
    sample = with_gaps(scene(44, 38, SCALE, seed=6), source=0.05, guide=0.05)
    upsampler = for_pair(fitted, sample)
    untiled = upsampled(upsampler, sample)
    for tile in Tiling(part, tile_yx, upsampler.halo, whole_of(sample)):
        result = upsampler.upsample(tile, *pixels(cut(sample, tile.read))).values
        wanted = untiled[tile.core.refined(SCALE).slices]
        np.testing.assert_allclose(result, wanted, rtol=0, atol=tolerance(sample))


@pytest.mark.parametrize("part", [Window(0, 0, 61, 58), Window(40, 20, 12, 18)])
def test_tiles_of_network_and_members_are_the_untiled(both: FittedModel, part: Window) -> None:
    """A halo of members holds their solution to 3e-5 standard deviations: decision 018."""
    sample = with_gaps(scene(61, 58, SCALE, seed=6), source=0.03, guide=0.03)
    upsampler = for_pair(both, sample)
    untiled = upsampled(upsampler, sample)
    for tile in Tiling(part, (11, 18), upsampler.halo, whole_of(sample)):
        result = upsampler.upsample(tile, *pixels(cut(sample, tile.read))).values
        wanted = untiled[tile.core.refined(SCALE).slices]
        np.testing.assert_allclose(result, wanted, rtol=0, atol=1e-4 * spread(sample))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 2)])
def test_a_source_smaller_than_any_halo_is_upsampled(fitted: FittedModel, shape: tuple[int, int]) -> None:
    sample = scene(*shape, SCALE)
    result = torch.from_numpy(upsampled(for_pair(fitted, sample), sample)).double()
    assert float((degrade(result, SCALE) - sample.source.double()).abs().max()) <= tolerance(sample)


def test_a_constant_source_stays_constant_to_its_mean(fitted: FittedModel) -> None:
    sample = replace(scene(9, 8, SCALE), source=torch.full((9, 8), 273.15))
    result = torch.from_numpy(upsampled(for_pair(fitted, sample), sample)).double()
    assert bool(result.isfinite().all())
    assert float((degrade(result, SCALE) - 273.15).abs().max()) <= 2 * float(np.spacing(np.float32(273.15)))


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to allo"),
]


@pytest.fixture(scope="module")
def large() -> Sample:
    return scene(44, 47, SCALE, seed=8)


@pytest.fixture(scope="module")
def large_target(fitted: FittedModel, large: Sample) -> Target:
    return upsampled(for_pair(fitted, large), large)


@pytest.mark.parametrize(
    ("error", "most_source_px", "windows"),
    [(OUT_OF_MEMORY[0], 44 * 47 - 1, 2), (OUT_OF_MEMORY[1], 44 * 38 - 1, 3), (OUT_OF_MEMORY[2], 1250, 6)],
    ids=["cuda", "python", "torch on a cpu"],
)
def test_a_window_too_large_for_the_memory_is_halved_and_the_target_is_the_same(
    fitted: FittedModel, large: Sample, large_target: Target, error: BaseException, most_source_px: int, windows: int
) -> None:
    upsampler = for_pair(fitted, large)
    watched = Watched(upsampler.predictor, most_source_px * SCALE.area, error)
    result = upsampled(replace(upsampler, predictor=watched), large)
    assert len(watched.done) >= windows
    np.testing.assert_allclose(result, large_target, rtol=0, atol=tolerance(large))


def test_a_core_inside_its_halo_is_halved_too(fitted: FittedModel, large: Sample, large_target: Target) -> None:
    upsampler, core = for_pair(fitted, large), Window(14, 16, 7, 11)
    read = core.padded(upsampler.halo, whole_of(large))
    watched = Watched(upsampler.predictor, read.height * read.width * SCALE.area - 1, OUT_OF_MEMORY[0])
    result = replace(upsampler, predictor=watched).upsample(Tile(0, core, read), *pixels(cut(large, read))).values
    assert len(watched.done) == 2
    np.testing.assert_allclose(result, large_target[core.refined(SCALE).slices], rtol=0, atol=tolerance(large))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3), (2, 3), (5, 4)])
def test_halving_goes_down_to_single_pixels_and_leaves_none_out(
    monkeypatch: pytest.MonkeyPatch, upsampler: Upsampler, clean: Sample, height: int, width: int
) -> None:
    watched = Watched(upsampler.predictor, SCALE.area, OUT_OF_MEMORY[0])
    monkeypatch.setattr(upsampling, "halo_of", lambda *_, **__: Halo(0, 0))
    alone = replace(upsampler, predictor=watched)
    assert np.isfinite(upsampled(alone, cut(clean, Window(3, 4, height, width)))).all()
    assert watched.done == [SCALE.area] * (height * width)


def test_a_memory_too_small_for_one_pixel_is_an_error(upsampler: Upsampler, clean: Sample) -> None:
    nothing_fits = replace(upsampler, predictor=Watched(upsampler.predictor, 0, OUT_OF_MEMORY[0]))
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        upsampled(nothing_fits, cut(clean, Window(0, 0, 4, 5)))


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 cannot be multiplied"), ValueError("no"), OSError("no")])
def test_any_other_error_is_not_taken_for_a_full_memory(
    upsampler: Upsampler, clean: Sample, error: BaseException
) -> None:
    failing = Watched(upsampler.predictor, None, error)
    with pytest.raises(type(error), match=str(error)):
        upsampled(replace(upsampler, predictor=failing), clean)
    assert failing.tried == 1


def test_a_prediction_keeps_no_graph_and_leaves_autograd_on(upsampler: Upsampler, clean: Sample) -> None:
    modes: list[bool] = []

    def watching(sample: Sample) -> Tensor:
        modes.append(torch.is_grad_enabled())
        return upsampler.predictor(sample)

    upsampled(replace(upsampler, predictor=watching), clean)
    assert modes == [False]
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize(
    ("support", "scale", "halo"),
    [
        (ReceptiveField(8, 5, 1), Scale(2, 2), Halo(9 + 6, 9 + 6)),
        (ReceptiveField(8, 5, 1), Scale(4, 4), Halo(9 + 5, 9 + 5)),
        (ReceptiveField(8, 5, 1), Scale(16, 16), Halo(9 + 4, 9 + 4)),
        (ReceptiveField(8, 5, 1), Scale(1, 8), Halo(9 + 12, 9 + 4)),
        (ReceptiveField(40, 5, 1), Scale(4, 4), Halo(9 + 11, 9 + 11)),
    ],
)
def test_the_halo_holds_the_correction_and_the_prediction_it_needs(
    support: ReceptiveField, scale: Scale, halo: Halo
) -> None:
    """By hand: 9 source pixels, then the farther of 8 + 4 guide pixels and 5 target + 1 + 2 source pixels."""
    assert (CONSISTENCY_SUPPORT_PX, FEATURE_RECEPTIVE_FIELD_PX) == (9, 4)
    assert halo_of(receptive_field_of(support, scale, features=True), scale) == halo


def test_what_is_not_made_consistent_needs_less_around_it() -> None:
    receptive_field = receptive_field_of(ReceptiveField(8, 5, 1), Scale(2, 2), features=True)
    assert halo_of(receptive_field, Scale(2, 2), consistent=False) == Halo(6, 6)
    assert halo_of(Halo(0, 0), Scale(2, 2), consistent=False) == Halo(4, 4)


def test_a_network_that_is_shown_the_bands_alone_looks_less_far() -> None:
    assert receptive_field_of(ReceptiveField(8, 5, 1), Scale(2, 2), features=False) == Halo(6, 6)
    assert receptive_field_of(ReceptiveField(40, 5, 1), Scale(4, 4), features=False) == Halo(10, 10)


def test_the_reach_of_a_network_is_known_without_its_weights(upsampler: Upsampler) -> None:
    assert isinstance(upsampler.model, FittedModel)
    model, members = upsampler.model, Halo(0, 0)
    if model.members is not None:
        assert model.alignment.reach_px == (3, 6)
        members = members_receptive_field(SCALE, model.alignment, MEMBERS)
        assert members == model.members.receptive_field(SCALE) == Halo(13, 14)
    if model.stacking.network:
        network = expected_receptive_field(NetworkParams(6), SCALE, features=True, alignment=model.alignment)
        assert model.receptive_field == network.union(members)
    else:
        assert model.receptive_field == members


def test_a_sample_holds_a_windows_pixels_with_their_masks(clean: Sample) -> None:
    gappy = with_gaps(clean, source=0.2, guide=0.2)
    again = sample_of(*pixels(gappy))
    assert torch.equal(again.source.nan_to_num(-1), gappy.source.nan_to_num(-1))
    assert torch.equal(again.source_valid, gappy.source_valid)
    assert torch.equal(again.guide.nan_to_num(-1), gappy.guide.nan_to_num(-1))
    assert torch.equal(again.guide_valid, gappy.guide_valid)


@contextmanager
def gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: count > 0)
        patch.setattr(torch.cuda, "device_count", lambda: count)
        yield


def test_a_device_is_taken_by_name_or_the_best_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with gpus(monkeypatch, 0):
        assert [resolve_device(name) for name in ("auto", "cpu")] == [torch.device("cpu")] * 2
    with gpus(monkeypatch, 2):
        assert resolve_device("auto") == torch.device("cuda")
        assert resolve_device("cpu") == torch.device("cpu")
        assert [resolve_device(name).index for name in ("cuda", "cuda:0", "cuda:1")] == [None, 0, 1]


@pytest.mark.parametrize(
    ("name", "count", "said"),
    [
        ("cuda", 0, "this machine has no device 'cuda': set device= to auto or cpu"),
        ("cuda:0", 0, "this machine has no device 'cuda:0'"),
        ("cuda:2", 2, "this machine has no device 'cuda:2'"),
        ("gpu", 1, "device= is 'gpu': choose auto, cpu, cuda or cuda:N"),
        ("", 1, "device= is '': choose auto"),
        ("cuda:x", 1, "device= is 'cuda:x': choose auto"),
        ("meta", 1, "the device 'meta' is not supported: set device= to auto, cpu, cuda or cuda:N"),
        ("xpu", 1, "the device 'xpu' is not supported"),
    ],
)
def test_a_device_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, count: int, said: str
) -> None:
    with gpus(monkeypatch, count), pytest.raises(OptionError, match=said):
        resolve_device(name)


def test_an_upsampler_is_made_of_a_model_and_a_device(fitted: FittedModel) -> None:
    made = Upsampler.of(fitted, "cpu")
    assert (made.model.digest, made.device) == (fitted.digest, torch.device("cpu"))
    assert isinstance(made.predictor, FittedPredictor)
    assert isinstance(made.predictor.network, MmsrNetwork)
    assert all(not parameter.is_meta for parameter in made.predictor.network.parameters())
    with pytest.raises(OptionError):
        Upsampler.of(fitted, "abacus")


def test_the_flag_of_a_gap_lies_where_the_moved_guide_has_it(upsampler: Upsampler, clean: Sample) -> None:
    """A guide that was moved is missing beside its gap, where the prediction blends as well."""
    guide_valid = clean.guide_valid.clone()
    guide_valid[60:80, 50:75] = False
    sample = replace(clean, guide_valid=guide_valid)
    assert isinstance(upsampler.model, FittedModel)
    whole = whole_of(sample)
    flags = upsampler.upsample(Tile(0, whole, whole), *pixels(sample)).qa
    moved_valid = upsampler.model.alignment.moved_mask(guide_valid)
    assert bool((moved_valid == guide_valid).all()) == (upsampler.model.members is None)
    np.testing.assert_array_equal(flags & Flag.GUIDE_GAP > 0, (feathered(moved_valid) < 1).numpy())
