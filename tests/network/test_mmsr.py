"""The network is the paper's, layer by layer, and its receptive field is what it says."""

from __future__ import annotations

from itertools import product

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor, nn

from mmsr_geo.geometry import Halo, Scale, Window
from mmsr_geo.network import MmsrNetwork, NetworkParams
from mmsr_geo.network.attention import naive_neighbourhood_attention
from mmsr_geo.network.mmsr import ReceptiveField, ResidualBlock

GUIDE_PX = 8
"""Six 3 x 3 convolutions and a 5 x 5 neighbourhood: 6 + 2. Counted by hand, from the paper."""
SOURCE_TARGET_PX = 5
"""An 11 x 11 neighbourhood and 1 x 1 convolutions."""


def seeded(params: NetworkParams, seed: int = 0) -> MmsrNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MmsrNetwork(params).double().eval()


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(model: MmsrNetwork, guide: Tensor, source: Tensor) -> Tensor:
    """Return the paper's network, written out with the model's weights by their place in it."""
    layers = dict(model.named_modules())

    def conv(name: str, x: Tensor) -> Tensor:
        layer = layers[name]
        assert isinstance(layer, nn.Conv2d)
        assert layer.bias is not None
        padding = layer.weight.shape[-1] // 2
        return F.conv2d(F.pad(x, (padding,) * 4), layer.weight, layer.bias)

    def residual(name: str, x: Tensor) -> Tensor:
        return x + conv(f"{name}.convs.2", conv(f"{name}.convs.0", x).relu())

    def branch(name: str, x: Tensor) -> Tensor:
        features = conv(f"{name}.2", conv(f"{name}.0", x).relu()).relu()
        return residual(f"{name}.5", residual(f"{name}.4", features))

    source = F.interpolate(source, guide.shape[-2:], mode="bilinear", align_corners=False)
    g = conv("to_guide_query", branch("guide_branch", guide))
    s = conv("to_source_query", branch("source_branch", source))
    both = [naive_neighbourhood_attention(g, s, 11), naive_neighbourhood_attention(s, g, 5)]
    fused = conv("fusion", torch.cat(both, dim=1))
    for block in ("head.0", "head.1", "head.2"):
        fused = residual(block, fused)
    return conv("head.3", fused)


@pytest.mark.parametrize("bands", [1, 3, 13])
def test_it_has_the_papers_parameters_for_any_number_of_guide_bands(bands: int) -> None:
    def conv(inputs: int, outputs: int, kernel: int) -> int:
        return inputs * outputs * kernel**2 + outputs

    guide_branch = conv(bands, 64, 3) + conv(64, 64, 3) + 2 * 2 * conv(64, 64, 3)
    source_branch = conv(1, 64, 1) + conv(64, 64, 1) + 2 * 2 * conv(64, 64, 1)
    modulation = 2 * conv(64, 64, 1) + conv(128, 64, 1)
    head = 3 * 2 * conv(64, 64, 1) + conv(64, 1, 1)
    with torch.device("meta"):
        model = MmsrNetwork(NetworkParams(bands))
    assert sum(p.numel() for p in model.parameters()) == guide_branch + source_branch + modulation + head
    assert not list(model.buffers())


def test_every_convolution_has_a_bias_zero_padding_and_the_kernel_of_its_branch() -> None:
    with torch.device("meta"):
        model = MmsrNetwork(NetworkParams(3))
    convs = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)}
    assert len(convs) == 6 + 6 + 2 + 1 + 7
    for name, layer in convs.items():
        kernel = 3 if name.startswith("guide_branch.") else 1
        assert layer.bias is not None
        assert layer.kernel_size == (kernel, kernel)
        assert layer.padding == (kernel // 2, kernel // 2)
        assert (layer.padding_mode, layer.stride, layer.dilation) == ("zeros", (1, 1), (1, 1))
    assert sum(isinstance(layer, ResidualBlock) for layer in model.modules()) == 2 + 2 + 3


@pytest.mark.parametrize(("bands", "scale"), [(1, Scale(2, 2)), (3, Scale(3, 3)), (13, Scale(1, 4))])
def test_it_computes_what_the_paper_writes(bands: int, scale: Scale) -> None:
    model = seeded(NetworkParams(bands))
    height, width = 5, 4
    guide = normal(2, bands, height * scale.y, width * scale.x)
    source = normal(2, 1, height, width, seed=1)
    target = model(guide, source)
    assert target.shape == (2, 1, height * scale.y, width * scale.x)
    torch.testing.assert_close(target, by_hand(model, guide, source), rtol=0, atol=1e-10)


def test_a_network_with_the_naive_attention_is_the_same() -> None:
    ours, naive = seeded(NetworkParams(4)), MmsrNetwork(NetworkParams(4), naive_neighbourhood_attention).double()
    naive.load_state_dict(ours.state_dict())
    guide, source = normal(1, 4, 18, 21), normal(1, 1, 6, 7, seed=1)
    outputs = [network(guide, source) for network in (ours, naive)]
    assert not torch.equal(*outputs)
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-10)
    gradients = [
        torch.autograd.grad(output.square().sum(), list(network.parameters()))
        for output, network in zip(outputs, (ours, naive), strict=True)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scale", [Scale(2, 2), Scale(3, 3), Scale(7, 5), Scale(1, 4), Scale(6, 1)])
def test_a_source_brought_to_the_target_grid_before_gives_the_same(scale: Scale) -> None:
    model = seeded(NetworkParams(2, channels=8))
    guide, source = normal(1, 2, 5 * scale.y, 6 * scale.x), normal(1, 1, 5, 6, seed=1)
    before = F.interpolate(source, guide.shape[-2:], mode="bilinear", align_corners=False)
    torch.testing.assert_close(model(guide, source), model(guide, before), rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [3, 4, 7])
def test_in_float32_the_way_of_the_source_to_the_target_grid_does_not_depend_on_the_window(scale: int) -> None:
    """torch's bilinear positions are float32: at scale 3, 1000 pixels from the corner, they are off by 1e-4."""
    model = seeded(NetworkParams(1, channels=4)).float()
    seen: list[Tensor] = []
    model.source_branch.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    source = normal(1, 1, 400, 3).float()
    with torch.no_grad():
        for part in (source, source[:, :, 380:]):
            model(torch.zeros(1, 1, part.shape[2] * scale, 3 * scale), part)
    whole, window = seen
    torch.testing.assert_close(whole[:, :, 381 * scale :], window[:, :, scale:], rtol=0, atol=1e-6)


def test_the_support_is_the_papers() -> None:
    with torch.device("meta"):
        assert MmsrNetwork(NetworkParams(3)).receptive_field == ReceptiveField(GUIDE_PX, SOURCE_TARGET_PX, 1)


@pytest.mark.parametrize(("to_guide", "to_source", "guide", "source"), [(3, 9, 10, 1), (1, 1, 6, 0), (21, 5, 8, 10)])
def test_the_support_follows_the_layers(to_guide: int, to_source: int, guide: int, source: int) -> None:
    with torch.device("meta"):
        model = MmsrNetwork(NetworkParams(3, source_to_guide_px=to_guide, guide_to_source_px=to_source))
    assert model.receptive_field == ReceptiveField(guide, source, 1)


def changed(before: Tensor, after: Tensor) -> set[tuple[int, int]]:
    rows, columns = (before != after)[0, 0].nonzero(as_tuple=True)
    return set(zip(rows.tolist(), columns.tolist(), strict=True))


POSITIONS = [(12, 13), (0, 0), (0, 11), (26, 27), (3, 25), (20, 2)]


@pytest.mark.parametrize(("row", "col"), POSITIONS)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_guide_pixel_changes_the_target_pixels_within_the_support_and_no_other(row: int, col: int, seed: int) -> None:
    model = seeded(NetworkParams(2), seed)
    guide, source = normal(1, 2, 27, 28), normal(1, 1, 27, 28, seed=1)
    moved = guide.clone()
    moved[:, seed, row, col] += 10
    with torch.no_grad():
        pixels = changed(model(guide, source), model(moved, source))
    near = {(y, x) for y, x in product(range(27), range(28)) if max(abs(y - row), abs(x - col)) <= GUIDE_PX}
    assert model.receptive_field.guide_px == GUIDE_PX
    assert pixels == near


@pytest.mark.parametrize(("row", "col"), POSITIONS)
def test_a_source_pixel_on_the_target_grid_changes_the_pixels_within_the_support(row: int, col: int) -> None:
    model = seeded(NetworkParams(1))
    guide, source = normal(1, 1, 27, 28), normal(1, 1, 27, 28, seed=1)
    moved = source.clone()
    moved[0, 0, row, col] += 1
    with torch.no_grad():
        pixels = changed(model(guide, source), model(guide, moved))
    near = {(y, x) for y, x in product(range(27), range(28)) if max(abs(y - row), abs(x - col)) <= SOURCE_TARGET_PX}
    assert model.receptive_field.source_target_px == SOURCE_TARGET_PX
    assert pixels == near


@pytest.mark.parametrize(("row", "col"), [(5, 4), (0, 0), (0, 6), (9, 8), (8, 1)])
@pytest.mark.parametrize("scale", [Scale(2, 2), Scale(3, 3), Scale(4, 2)])
def test_a_source_pixel_changes_what_its_bilinear_way_and_the_support_reach(scale: Scale, row: int, col: int) -> None:
    """Along each axis a target pixel u takes part of source pixel k where |(u + 1/2) / s - 1/2 - k| < 1."""
    model = seeded(NetworkParams(1))
    height, width = 10, 9
    guide, source = normal(1, 1, height * scale.y, width * scale.x), normal(1, 1, height, width, seed=1)
    moved = source.clone()
    moved[0, 0, row, col] += 1
    with torch.no_grad():
        pixels = changed(model(guide, source), model(guide, moved))

    def reached(length: int, factor: int, k: int) -> set[int]:
        takes = [u for u in range(length * factor) if abs(2 * u + 1 - factor - 2 * k * factor) < 2 * factor]
        return {t for t in range(length * factor) if any(abs(t - u) <= SOURCE_TARGET_PX for u in takes)}

    def stated(length: int, factor: int, k: int) -> set[int]:
        receptive_field, beyond = model.receptive_field.source_target_px, model.receptive_field.source_px
        return {
            t
            for t in range(length * factor)
            if (t - receptive_field) // factor - beyond <= k <= (t + receptive_field) // factor + beyond
        }

    rows, columns = reached(height, scale.y, row), reached(width, scale.x, col)
    assert pixels == set(product(rows, columns))
    assert rows <= stated(height, scale.y, row)
    assert columns <= stated(width, scale.x, col)


def halo_px(field: ReceptiveField, factor: int) -> int:
    """Return source pixels that hold the guide's and the source's receptive field."""
    return max(-(-field.guide_px // factor), -(-field.source_target_px // factor) + field.source_px)


@pytest.mark.parametrize("scale", [Scale(2, 2), Scale(3, 3), Scale(5, 2), Scale(1, 8)])
@pytest.mark.parametrize("core", [Window(10, 9, 3, 4), Window(0, 0, 5, 5), Window(13, 14, 7, 7), Window(7, 0, 1, 21)])
def test_a_window_with_its_halo_is_the_same_window_of_the_whole(scale: Scale, core: Window) -> None:
    model = seeded(NetworkParams(2, channels=16))
    guide, source = normal(1, 2, 20 * scale.y, 21 * scale.x), normal(1, 1, 20, 21, seed=1)
    read = core.padded(
        Halo(halo_px(model.receptive_field, scale.y), halo_px(model.receptive_field, scale.x)), Window.whole((20, 21))
    )
    with torch.no_grad():
        whole = model(guide, source)[0, 0][core.refined(scale).slices]
        (rows, columns), (fine_rows, fine_columns) = read.slices, read.refined(scale).slices
        window = model(guide[..., fine_rows, fine_columns], source[..., rows, columns])
    inside = core.relative_to(read).refined(scale).slices
    torch.testing.assert_close(window[0, 0][inside], whole, rtol=0, atol=1e-12)


def test_a_halo_a_pixel_short_is_noticed() -> None:
    """The test above could fail: with one guide pixel less around it, the window differs."""
    model = seeded(NetworkParams(2, channels=16))
    guide, source = normal(1, 2, 40, 40), normal(1, 1, 40, 40, seed=1)
    with torch.no_grad():
        whole = model(guide, source)[0, 0, 20, 20]
        exact, short = (
            model(*(t[..., 20 - r : 21 + r, 20 - r : 21 + r] for t in (guide, source)))[0, 0, r, r] for r in (8, 7)
        )
    assert float(exact) == pytest.approx(float(whole), abs=1e-12)
    assert abs(float(short - whole)) > 1e-9


@pytest.mark.parametrize(
    "wrong",
    [
        {"guide_bands": 0},
        {"guide_bands": -1},
        {"guide_bands": 3, "channels": 0},
        {"guide_bands": 3, "source_to_guide_px": 10},
        {"guide_bands": 3, "guide_to_source_px": 0},
    ],
)
def test_a_shape_that_no_network_can_have_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="not"):
        NetworkParams(**wrong)


def test_a_guide_that_is_no_whole_multiple_of_the_source_is_refused_with_both_sizes() -> None:
    with pytest.raises(ValueError, match="guide of 8 x 9 is not a whole multiple of a source of 4 x 4"):
        seeded(NetworkParams(1, channels=4))(normal(1, 1, 8, 9), normal(1, 1, 4, 4))
