"""The other methods: what each gives, against slow references; nodata, missing guide and tiles for all of them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from numpy.typing import NDArray
from torch import Tensor

from mmsr_geo.engine.model import Model
from mmsr_geo.engine.sampling import FitJob
from mmsr_geo.engine.tile_upsampler import Upsampler, filled_source
from mmsr_geo.errors import OptionError, PixelError
from mmsr_geo.geometry import Halo, Scale, Tile, Tiling, Window
from mmsr_geo.methods import p2p
from mmsr_geo.methods.baseline import METHODS, Baseline, baseline
from mmsr_geo.methods.guided_filter import FittedGuidedFilter, GuidedFilter
from mmsr_geo.methods.interpolation import Bicubic, Bilinear, Nearest
from mmsr_geo.methods.p2p import P2P, FittedP2P, PixelPerceptron
from mmsr_geo.network.degradation import bicubic, bilinear, degrade, fill_nodata, make_consistent, nearest
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.raster.base import Pixels
from support.scenes import patches, scene, with_gaps

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
SCALE = Scale(3, 3)
UNEQUAL = Scale(2, 4)
INTERPOLATIONS: list[tuple[Baseline, Callable[[Tensor, Scale], Tensor]]] = [
    (Nearest(), nearest),
    (Bilinear(), bilinear),
    (Bicubic(), bicubic),
]
GUIDED = ("guided-filter", "p2p")
Target = NDArray[np.float32]


def job_of(sample: Sample, scale: Scale, seed: int = 0) -> FitJob:
    height, width = sample.source.shape
    return FitJob(scale, (height, width), CPU, seed)


def whole_of(sample: Sample) -> Window:
    return Window(0, 0, *sample.source.shape)


def pixels(sample: Sample) -> tuple[Pixels, Pixels]:
    """Turn a sample into source and guide as they are read."""
    return (
        Pixels(sample.source[None].numpy(), sample.source_valid.numpy()),
        Pixels(sample.guide.numpy(), sample.guide_valid.numpy()),
    )


def upsampled(model: Model, sample: Sample, *, consistent: bool = False) -> Target:
    """Return the target of all pixels, in one tile."""
    whole = whole_of(sample)
    return Upsampler.of(model, "cpu", consistent=consistent).upsample(Tile(0, whole, whole), *pixels(sample)).values


def spread(sample: Sample) -> float:
    return float(sample.source[sample.source_valid].std(correction=0))


def tolerance(sample: Sample) -> float:
    """1e-5 of the source's deviation or 2 float32 ULP of its largest magnitude."""
    largest = np.float32(sample.source[sample.source_valid].abs().max())
    return max(1e-5 * spread(sample), 2 * float(np.spacing(largest)))


def rmse(target: Target, truth: Tensor) -> float:
    return float(np.sqrt(np.mean((target - truth.numpy()) ** 2)))


@dataclass(frozen=True)
class Case:
    """A raster with nodata, and all methods fitted to it."""

    sample: Sample
    scale: Scale
    models: dict[str, Model]


@pytest.fixture(scope="module", params=[SCALE, UNEQUAL], ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    scale: Scale = request.param
    sample = with_gaps(scene(44, 38, scale, seed=6), source=0.05, guide=0.02)
    methods = {name: baseline(name) for name in METHODS} | {"p2p": P2P(steps=10)}
    samples = {name: [sample] if method.reads_samples else [] for name, method in methods.items()}
    models = {name: method.fit(samples[name], job_of(sample, scale)) for name, method in methods.items()}
    return Case(sample, scale, models)


@pytest.mark.parametrize("name", METHODS)
def test_every_name_of_the_table_makes_a_method(name: str) -> None:
    method = baseline(name)
    assert method == baseline(name)
    assert method.reads_samples == (name in GUIDED)


def test_a_name_in_no_line_of_the_table_is_refused_with_those_that_are() -> None:
    with pytest.raises(OptionError, match=r"'cubic'.*nearest, bilinear, bicubic, guided-filter, p2p"):
        baseline("cubic")


@pytest.mark.parametrize("name", METHODS)
def test_a_model_is_what_its_method_announced_and_survives_a_pickle(name: str, case: Case) -> None:
    model = case.models[name]
    again = pickle.loads(pickle.dumps(model))  # noqa: S301  (our own)
    assert model.scale == again.scale == case.scale
    assert model.receptive_field == again.receptive_field == baseline(name).receptive_field(case.scale)
    assert model.digest == again.digest
    assert model.uses_guide == again.uses_guide == (name in GUIDED)
    np.testing.assert_array_equal(upsampled(model, case.sample), upsampled(again, case.sample))


def test_different_models_have_different_digests(case: Case) -> None:
    assert len({model.digest for model in case.models.values()}) == len(METHODS)


@pytest.mark.parametrize("consistent", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_tiles_with_their_halo_are_the_untiled(name: str, case: Case, *, consistent: bool) -> None:
    sample, scale = case.sample, case.scale
    upsampler = Upsampler.of(case.models[name], "cpu", consistent=consistent)
    whole = whole_of(sample)
    untiled = upsampled(case.models[name], sample, consistent=consistent)
    for part, tile_yx in ((whole, (22, 19)), (Window(11, 5, 20, 33), (45, 7))):
        for tile in Tiling(part, tile_yx, upsampler.halo, whole):
            result = upsampler.upsample(tile, *pixels(sample.cut(tile.read, scale))).values
            wanted = untiled[tile.core.refined(scale).slices]
            np.testing.assert_allclose(result, wanted, rtol=0, atol=tolerance(sample))


@pytest.mark.parametrize("consistent", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_nodata_stays_nodata_and_nothing_else_becomes_one(name: str, case: Case, *, consistent: bool) -> None:
    result = torch.from_numpy(upsampled(case.models[name], case.sample, consistent=consistent))
    assert torch.equal(result.isnan(), ~nearest(case.sample.source_valid, case.scale))
    if consistent:
        error = (degrade(result.double(), case.scale) - case.sample.source.double()).abs()
        assert float(error[case.sample.source_valid].max()) <= tolerance(case.sample)


@pytest.mark.parametrize("name", METHODS)
def test_what_lies_under_nodata_does_not_matter(name: str, case: Case) -> None:
    sample = case.sample
    garbage = replace(
        sample,
        source=torch.where(sample.source_valid, sample.source, torch.tensor(3e38)),
        guide=torch.where(sample.guide_valid, sample.guide, torch.tensor(-torch.inf)),
    )
    np.testing.assert_array_equal(upsampled(case.models[name], garbage), upsampled(case.models[name], sample))


@pytest.mark.parametrize("consistent", [False, True])
@pytest.mark.parametrize("name", GUIDED)
def test_where_the_guide_is_missing_the_result_is_bicubic(name: str, case: Case, *, consistent: bool) -> None:
    model, scale, sample = case.models[name], case.scale, case.sample
    blind = replace(sample, guide_valid=torch.zeros_like(sample.guide_valid))
    smooth = bicubic(filled_source(sample), scale)
    if consistent:
        smooth = make_consistent(smooth, filled_source(sample), sample.source_valid, scale)
    wanted = smooth.masked_fill(~nearest(sample.source_valid, scale), torch.nan).numpy()
    np.testing.assert_allclose(upsampled(model, blind, consistent=consistent), wanted, rtol=0, atol=tolerance(sample))
    if not consistent:
        missing = ~sample.guide_valid.numpy()
        assert missing.any()
        np.testing.assert_allclose(upsampled(model, sample)[missing], wanted[missing], rtol=0, atol=tolerance(sample))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 2)])
def test_a_source_smaller_than_any_reach_is_upsampled(name: str, shape: tuple[int, int]) -> None:
    sample = scene(*shape, SCALE)
    method = P2P(steps=2) if name == "p2p" else baseline(name)
    assert np.isfinite(upsampled(method.fit([sample], job_of(sample, SCALE)), sample)).all()


@pytest.mark.parametrize(("method", "way"), INTERPOLATIONS)
@pytest.mark.parametrize("scale", [SCALE, UNEQUAL], ids=str)
def test_an_interpolation_is_that_of_the_source_alone(
    method: Baseline, way: Callable[[Tensor, Scale], Tensor], scale: Scale
) -> None:
    sample = scene(9, 7, scale)
    target = upsampled(method.fit([], job_of(sample, scale)), sample)
    np.testing.assert_array_equal(target, way(sample.source.double(), scale).float().numpy())


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_an_interpolation_is_torchs_of_that_name(mode: str) -> None:
    sample = scene(9, 7, SCALE)
    align = None if mode == "nearest" else False
    wanted = F.interpolate(sample.source[None, None].double(), scale_factor=3, mode=mode, align_corners=align)[0, 0]
    target = upsampled(baseline(mode).fit([], job_of(sample, SCALE)), sample)
    np.testing.assert_allclose(target, wanted.float().numpy(), rtol=0, atol=tolerance(sample))


@pytest.mark.parametrize(("method", "way"), INTERPOLATIONS)
def test_an_interpolation_goes_up_to_nodata_with_what_is_beside_them(
    method: Baseline, way: Callable[[Tensor, Scale], Tensor]
) -> None:
    sample = with_gaps(scene(12, 11, SCALE, seed=2), source=0.3)
    zero = torch.zeros((), dtype=torch.float64)
    filled = fill_nodata(torch.where(sample.source_valid, sample.source.double(), zero), sample.source_valid)
    wanted = way(filled, SCALE).masked_fill(~nearest(sample.source_valid, SCALE), torch.nan)
    np.testing.assert_array_equal(upsampled(method.fit([], job_of(sample, SCALE)), sample), wanted.float().numpy())


def guided(sample: Sample, scale: Scale, radius_px: int = 1, eps: float = 0.01) -> FittedGuidedFilter:
    return GuidedFilter(radius_px, eps).fit([sample], job_of(sample, scale))


@pytest.mark.parametrize("scale", [SCALE, UNEQUAL], ids=str)
@pytest.mark.parametrize("radius_px", [1, 2])
def test_a_linear_function_of_the_bands_is_recovered(scale: Scale, radius_px: int) -> None:
    clean = scene(16, 13, scale, bands=3)
    truth = 280 + 0.02 * clean.guide[0].double() - 0.07 * clean.guide[1].double() + 0.01 * clean.guide[2].double()
    sample = replace(clean, source=degrade(truth, scale).float())
    result = upsampled(guided(sample, scale, radius_px, eps=1e-9), sample)
    assert rmse(result, truth) < 1e-3 * float(truth.std())
    assert rmse(bicubic(sample.source.double(), scale).float().numpy(), truth) > 0.1 * float(truth.std())


@pytest.mark.parametrize("scale", [Scale(2, 2), Scale(3, 1)], ids=str)
@pytest.mark.parametrize(("radius_px", "eps"), [(1, 0.01), (2, 0.3)])
def test_the_guided_filter_is_the_slow_one(scale: Scale, radius_px: int, eps: float) -> None:
    clean = scene(13, 12, scale, seed=4)
    gappy = with_gaps(clean, source=0.15, guide=0.15, seed=1)
    source_valid, guide_valid = gappy.source_valid, gappy.guide_valid
    # So little of the guide that some pixels are in no window of a known one.
    guide_valid[: 9 * scale.y, : 9 * scale.x] = False
    guide_valid[: 9 * scale.y : scale.y, : 9 * scale.x : scale.x] = True
    source_valid[:7, :7] = True
    sample = replace(clean, source_valid=source_valid, guide_valid=guide_valid)
    model = guided(sample, scale, radius_px, eps)
    result = model.predictor(CPU)(sample)
    assert result.dtype == torch.float64
    wanted, unreached = slow_guided_filter(sample, scale, model)
    asked = (nearest(source_valid, scale) & guide_valid).numpy()
    assert unreached > 0
    np.testing.assert_allclose(result.numpy()[asked], wanted[asked], rtol=0, atol=1e-6 * spread(sample))


def slow_guided_filter(sample: Sample, scale: Scale, model: FittedGuidedFilter) -> tuple[NDArray[np.float64], int]:
    """The colour form of He, Sun and Tang 2013, pixel by pixel; and how many pixels no window reaches."""
    options, statistics = model.options, model.statistics
    height, width = sample.source.shape
    valid, guide_valid = sample.source_valid.numpy(), sample.guide_valid.numpy()
    source = np.where(valid, (sample.source.numpy() - statistics.source_centre) / statistics.source_spread, np.nan)
    guide = np.stack(
        [
            (band - centre) / deviation
            for band, centre, deviation in zip(
                sample.guide.numpy(), statistics.guide_centre, statistics.guide_spread, strict=True
            )
        ],
        axis=-1,
    )
    known: dict[tuple[int, int], NDArray[np.float64]] = {}
    for row, col in product(range(height), range(width)):
        block = slice(row * scale.y, (row + 1) * scale.y), slice(col * scale.x, (col + 1) * scale.x)
        inside = guide[block][guide_valid[block]]
        if valid[row, col] and len(inside) > scale.area / 2:
            known[row, col] = inside.mean(axis=0)

    def around(row: int, col: int) -> list[tuple[int, int]]:
        receptive_field = range(-options.radius_px, options.radius_px + 1)
        return [
            (row + down, col + across)
            for down, across in product(receptive_field, receptive_field)
            if 0 <= row + down < height and 0 <= col + across < width
        ]

    models: dict[tuple[int, int], NDArray[np.float64]] = {}
    for place in product(range(height), range(width)):
        window = [near for near in around(*place) if near in known]
        if window:
            bands, values = np.array([known[near] for near in window]), np.array([source[near] for near in window])
            covariance = np.cov(bands.T, bias=True) + options.eps * np.eye(2)
            slopes = np.linalg.solve(covariance, (bands - bands.mean(0)).T @ (values - values.mean()) / len(window))
            models[place] = np.array([*slopes, values.mean() - slopes @ bands.mean(0)])
    coefficients = np.zeros((height, width, 3))
    unreached = 0
    for place in product(range(height), range(width)):
        held = [models[near] for near in around(*place) if near in models]
        unreached += not held
        coefficients[place] = np.mean(held, axis=0) if held else [0, 0, source[place]]
    result = np.zeros((height * scale.y, width * scale.x))
    for row, col in product(*map(range, result.shape)):
        at = [(row + 0.5) / scale.y - 0.5, (col + 0.5) / scale.x - 0.5]
        ensemble = np.zeros(3)
        for down, across in product((0, 1), (0, 1)):
            corner = int(np.floor(at[0])) + down, int(np.floor(at[1])) + across
            weight = (1 - abs(at[0] - corner[0])) * (1 - abs(at[1] - corner[1]))
            ensemble += weight * coefficients[np.clip(corner[0], 0, height - 1), np.clip(corner[1], 0, width - 1)]
        result[row, col] = ensemble[:2] @ np.nan_to_num(guide[row, col]) + ensemble[2]
    return result * statistics.source_spread + statistics.source_centre, unreached


def test_a_ridge_beyond_all_variance_leaves_a_smoothed_source() -> None:
    sample = scene(14, 12, SCALE)
    mean = F.avg_pool2d(sample.source[None].double(), 3, 1, 1, count_include_pad=False)
    wanted = bilinear(F.avg_pool2d(mean, 3, 1, 1, count_include_pad=False)[0], SCALE)
    result = guided(sample, SCALE, eps=1e9).predictor(CPU)(sample)
    assert float((result - wanted).abs().max()) < 1e-6 * spread(sample)


@pytest.mark.parametrize("radius_px", [1, 2, 4])
def test_the_guided_filter_reaches_as_far_as_it_says_and_no_farther(radius_px: int) -> None:
    sample = scene(31, 29, SCALE)
    model = guided(sample, SCALE, radius_px)
    source, guide = sample.source.clone(), sample.guide.clone()
    source[15, 14] += 10 * spread(sample)
    guide[:, 45:48, 42:45] += 500
    for other in (replace(sample, source=source), replace(sample, guide=guide)):
        moved = (model.predictor(CPU)(other) - model.predictor(CPU)(sample)).abs() > 1e-9
        rows, columns = (degrade(moved.double(), SCALE) > 0).nonzero().T
        assert (int((rows - 15).abs().max()), int((columns - 14).abs().max())) == (
            model.receptive_field.y,
            model.receptive_field.x,
        )


@pytest.mark.parametrize("options", [{"radius_px": 0}, {"eps": 0.0}, {"eps": -1.0}, {"eps": float("inf")}])
def test_a_guided_filter_that_cannot_be_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=f"{next(iter(options))} must be .*, not"):
        GuidedFilter(**options)  # type: ignore[arg-type]  # of both fields


def test_a_guided_filter_differs_from_others_by_its_options_and_statistics() -> None:
    sample, warmer = scene(8, 8, SCALE), scene(8, 8, SCALE, centre=300.0)
    models = [guided(sample, SCALE), guided(sample, SCALE, 2), guided(sample, SCALE, 1, 0.1), guided(warmer, SCALE)]
    assert len({model.digest for model in models}) == 4
    assert models[0].digest == guided(sample, SCALE).digest


@pytest.mark.parametrize("method", [GuidedFilter(), P2P(steps=1)])
@pytest.mark.parametrize(("source", "guide"), [(1.1, 0.0), (0.0, 1.1)])
def test_nothing_valid_is_an_error(method: Baseline, source: float, guide: float) -> None:
    sample = with_gaps(scene(6, 5, SCALE), source=source, guide=guide)
    with pytest.raises(PixelError, match="holds no valid pixel"):
        method.fit([sample], job_of(sample, SCALE))


def perceptron(bands: int, seed: int = 0) -> PixelPerceptron:
    with torch.device("meta"):
        network = PixelPerceptron(bands)
    return network.to_empty(device="cpu").draw_weights(torch.Generator().manual_seed(seed))


def slow_p2p(sample: Sample, scale: Scale, batches: list[list[int]]) -> tuple[Target, dict[str, Tensor]]:
    """Take the steps of the paper's fit on the source pixels by their indexes, one pixel at a time.

    Returns the prediction and the weights.
    """
    statistics, (height, width) = Statistics.of([sample]), sample.source.shape
    network = perceptron(len(sample.guide))
    parts = ((network.position, 1e-4), (network.colour, 1e-3), (network.head, 1e-3))
    groups = [{"params": part.parameters(), "weight_decay": decay} for part, decay in parts]
    optimiser = torch.optim.Adam(groups, lr=0.001, fused=False)
    centre, deviation = torch.tensor(statistics.guide_centre), torch.tensor(statistics.guide_spread)

    def predicted(row: int, col: int) -> Tensor:
        place = torch.tensor([(row + 0.5) / (height * scale.y) - 0.5, (col + 0.5) / (width * scale.x) - 0.5])
        wide = widened(network, "position", place) + widened(network, "colour", shown[row, col])
        value: Tensor = network.head(wide)[0]
        return value

    shown = (sample.guide.permute(1, 2, 0) - centre) / deviation
    for batch in batches:
        errors = []
        for index in batch:
            row, col = divmod(index, width)
            inside = product(range(row * scale.y, (row + 1) * scale.y), range(col * scale.x, (col + 1) * scale.x))
            mean = torch.stack([predicted(*pixel) for pixel in inside if sample.guide_valid[pixel]]).mean()
            wanted = (float(sample.source[row, col]) - statistics.source_centre) / statistics.source_spread
            errors.append((mean - wanted).abs())
        optimiser.zero_grad()
        torch.stack(errors).mean().backward()
        optimiser.step()
    with torch.no_grad():
        values = [float(predicted(*pixel)) for pixel in product(range(height * scale.y), range(width * scale.x))]
    target = np.array(values).reshape(height * scale.y, width * scale.x)
    target = target * statistics.source_spread + statistics.source_centre
    return target.astype(np.float32), network.state_dict()


def widened(network: PixelPerceptron, branch: str, values: Tensor) -> Tensor:
    """Return one branch of the published network: narrow, ReLU, wide."""
    part = network.get_submodule(branch)
    return F.linear(
        F.linear(values, part.get_parameter("narrow.weight"), part.get_parameter("narrow.bias")).relu(),
        part.get_parameter("wide.weight"),
        part.get_parameter("wide.bias"),
    )


def order(asked: Tensor, steps: int) -> list[list[int]]:
    """Return the batches of a fit with seed 0: indexes of source pixels asked for, in shuffled passes."""
    generator, places = torch.Generator().manual_seed(0), asked.flatten().nonzero()[:, 0]
    batches: list[list[int]] = []
    while len(batches) < steps:
        shuffled = places[torch.randperm(len(places), generator=generator)].tolist()
        batches += [shuffled[start : start + 32] for start in range(0, len(shuffled), 32)]
    return batches[:steps]


def test_the_layers_are_the_published_ones() -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in perceptron(5).named_parameters() if "weight" in name}
    assert shapes == {
        "position.narrow.weight": (32, 2),
        "position.wide.weight": (2048, 32),
        "colour.narrow.weight": (32, 5),
        "colour.wide.weight": (2048, 32),
        "head.1.weight": (32, 2048),
        "head.3.weight": (1, 32),
    }
    assert sum(tensor.numel() for tensor in perceptron(5).parameters()) == 201_057


def test_the_perceptron_is_the_sum_of_two_branches_and_a_head() -> None:
    network, shown = perceptron(3), torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    wanted = network.head(widened(network, "position", shown[:, :2]) + widened(network, "colour", shown[:, 2:]))
    torch.testing.assert_close(network(shown), wanted[:, 0], rtol=0, atol=1e-5)


def test_weights_are_drawn_as_torch_does() -> None:
    for name, tensor in perceptron(3).named_parameters():
        fan_in = perceptron(3).get_parameter(f"{name.rsplit('.', 1)[0]}.weight").shape[1]
        assert float(tensor.detach().abs().max()) <= fan_in**-0.5
        if tensor.numel() >= 32:
            assert float(tensor.detach().abs().max()) > 0.8 * fan_in**-0.5


def test_each_part_has_its_published_weight_decay() -> None:
    network = perceptron(3)
    groups = network.decayed_groups()
    assert [group["weight_decay"] for group in groups] == [1e-4, 1e-3, 1e-3]
    for group, part in zip(groups, (network.position, network.colour, network.head), strict=True):
        assert list(map(id, group["params"])) == list(map(id, part.parameters()))
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))


@pytest.mark.parametrize("scale", [Scale(2, 2), Scale(1, 3)], ids=str)
@pytest.mark.parametrize("guide_gaps", ["few", "in each block"])
def test_p2p_takes_the_steps_of_the_slow_one(scale: Scale, guide_gaps: str) -> None:
    sample = with_gaps(scene(7, 6, scale, seed=3), source=0.1)
    guide_valid = sample.guide_valid.clone()
    if guide_gaps == "few":
        guide_valid[:3, :5] = False
    else:
        guide_valid[:: scale.y, :: scale.x] = False
    sample = replace(sample, guide_valid=guide_valid)
    share = degrade(guide_valid.double(), scale)
    asked = sample.source_valid & (share == 1 if guide_gaps == "few" else share > 0.5)
    assert 20 < int(asked.sum()) < 42
    model = P2P(steps=4).fit([sample], job_of(sample, scale))
    result = model.predictor(CPU)(sample)
    wanted, weights = slow_p2p(sample, scale, order(asked, 4))
    before, _ = slow_p2p(sample, scale, [])
    for key, tensor in weights.items():  # a gradient of rounding alone may turn, and with it Adam's step
        assert float(((model.weights[key] - tensor).abs() > 1e-5).double().mean()) < 1e-3
    valid = guide_valid.numpy()
    np.testing.assert_allclose(result.numpy()[valid], wanted[valid], rtol=0, atol=1e-4 * spread(sample))
    assert np.abs(wanted - before)[valid].max() > 0.1 * spread(sample)


def test_p2p_learns_a_scene_better_than_bicubic() -> None:
    scale = Scale(2, 2)
    sample = scene(24, 22, scale, seed=1)
    truth = patches(48, 44, 1) * 4 + 290
    model = P2P(steps=400).fit([sample], job_of(sample, scale))
    smooth = rmse(upsampled(Bicubic().fit([], job_of(sample, scale)), sample), truth)
    assert rmse(upsampled(model, sample), truth) < 0.7 * smooth
    assert rmse(upsampled(model, sample, consistent=True), truth) < 0.5 * smooth


def test_p2p_depends_on_its_seed_and_on_no_other_random_state() -> None:
    sample = scene(9, 8, SCALE)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = P2P(steps=3).fit([sample], job_of(sample, SCALE))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    again = P2P(steps=3).fit([sample], job_of(sample, SCALE))
    other = P2P(steps=3).fit([sample], job_of(sample, SCALE, seed=1))
    assert first.digest == again.digest != other.digest
    assert np.abs(upsampled(first, sample) - upsampled(other, sample)).max() > 0.01 * spread(sample)


def test_p2p_learns_from_all_samples_at_their_places() -> None:
    whole = scene(12, 10, SCALE, seed=5)
    job = job_of(whole, SCALE)
    halves = [whole.cut(Window(0, 0, 6, 10), SCALE), whole.cut(Window(6, 0, 6, 10), SCALE)]
    in_one, in_two = P2P(steps=4).fit([whole], job), P2P(steps=4).fit(halves, job)
    assert in_one.digest == in_two.digest
    astray = P2P(steps=4).fit([replace(half, row=0) for half in halves], job)
    assert astray.digest != in_one.digest


def test_a_prediction_does_not_depend_on_how_many_pixels_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = scene(30, 29, SCALE)
    model = P2P(steps=2).fit([sample], job_of(sample, SCALE))
    assert p2p.CHUNK_PX * p2p.WIDE * 4 < 100e6
    at_once = model.predictor(CPU)(sample)
    monkeypatch.setattr(p2p, "CHUNK_PX", 7)
    assert not at_once.requires_grad
    assert float((model.predictor(CPU)(sample) - at_once).abs().max()) <= 1e-5 * spread(sample)


def test_a_fit_reports_its_progress() -> None:
    sample, reported = scene(6, 5, SCALE), []
    P2P(steps=20).fit([sample], replace(job_of(sample, SCALE), progress=lambda *entry: reported.append(entry)))
    assert reported == [("fit", 0, 20), ("fit", 16, 20), ("fit", 20, 20)]


def test_a_fit_uses_the_threads_of_its_job_and_ends_with_what_its_progress_raises() -> None:
    threads = []

    def cancel(*_: object) -> None:
        threads.append(torch.get_num_threads())
        raise KeyboardInterrupt

    sample = scene(6, 5, SCALE)
    before = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        P2P(steps=3).fit([sample], replace(job_of(sample, SCALE), threads=before + 1, progress=cancel))
    assert threads == [before + 1]
    assert torch.get_num_threads() == before


def test_source_and_guide_with_no_valid_pixel_in_common_are_an_error_for_p2p() -> None:
    sample = scene(6, 6, SCALE)
    source_valid, guide_valid = sample.source_valid.clone(), sample.guide_valid.clone()
    source_valid[:, 3:] = False
    guide_valid[:, :9] = False
    with pytest.raises(PixelError, match="no valid pixel in common"):
        P2P(steps=1).fit([replace(sample, source_valid=source_valid, guide_valid=guide_valid)], job_of(sample, SCALE))


def test_a_fit_of_no_steps_is_refused() -> None:
    with pytest.raises(OptionError, match="steps must be 1 or more, not 0"):
        P2P(steps=0)


def test_p2p_is_published_with_32768_steps_and_looks_at_a_pixel_alone() -> None:
    assert P2P().steps == 32768
    assert P2P().receptive_field(SCALE) == FittedP2P.receptive_field == Halo(0, 0)
