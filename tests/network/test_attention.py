"""Neighbourhood attention in blocks against the unfolded form, and both against plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor

from mmsr_geo.network import attention
from mmsr_geo.network.attention import naive_neighbourhood_attention, neighbourhood_attention

SHAPES = [(1, 3, 1, 1), (2, 4, 5, 3), (1, 64, 1, 17), (2, 5, 8, 8), (2, 16, 13, 19), (1, 3, 25, 7), (3, 1, 16, 9)]
SIZES = [1, 3, 5, 11]
FLOAT32_SHAPES = [(1, 64, 1, 1), (2, 64, 5, 3), (2, 64, 13, 19), (1, 64, 33, 31), (3, 16, 8, 9)]

Attention = Callable[[Tensor, Tensor, int], Tensor]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def looped(query: Tensor, neighbours: Tensor, size: int) -> Tensor:
    """Return what the docstring says, pixel by pixel and neighbour by neighbour."""
    batch, channels, height, width = query.shape
    q, n = query.tolist(), neighbours.tolist()
    ensemble = torch.zeros(query.shape, dtype=torch.float64)
    receptive_field = size // 2
    for b, row, col in product(range(batch), range(height), range(width)):
        exponentials, weighted = 0.0, [0.0] * channels
        for dy, dx in product(range(-receptive_field, receptive_field + 1), repeat=2):
            y, x = row + dy, col + dx
            if not (0 <= y < height and 0 <= x < width):
                exponentials += 1.0  # a zero vector: logit 0, value 0
                continue
            weight = math.exp(sum(q[b][c][row][col] * n[b][c][y][x] for c in range(channels)))
            exponentials += weight
            for c in range(channels):
                weighted[c] += weight * n[b][c][y][x]
        for c in range(channels):
            ensemble[b, c, row, col] = weighted[c] / exponentials
    return ensemble


def with_gradients(
    attend: Attention, query: Tensor, neighbours: Tensor, size: int, upstream: Tensor, dtype: torch.dtype
) -> list[Tensor]:
    """Return the values and the gradients of both inputs, in float64."""
    q, n = (tensor.detach().to(dtype).requires_grad_() for tensor in (query, neighbours))
    ensemble = attend(q, n, size)
    gradients = torch.autograd.grad((ensemble * upstream.to(dtype)).sum(), (q, n))
    return [tensor.detach().double() for tensor in (ensemble, *gradients)]


@pytest.mark.parametrize("attend", [neighbourhood_attention, naive_neighbourhood_attention])
@pytest.mark.parametrize("size", [1, 3, 5, 11])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 2, 9, 1)])
def test_it_is_the_softmax_over_the_neighbourhood_with_zero_vectors_outside(
    attend: Attention, size: int, shape: tuple[int, int, int, int]
) -> None:
    query, neighbours = normal(*shape), normal(*shape, seed=1)
    torch.testing.assert_close(attend(query, neighbours, size), looped(query, neighbours, size), rtol=0, atol=1e-12)


def test_a_lone_pixel_shares_its_weight_with_the_zero_vectors_around_it() -> None:
    query, neighbours = torch.full((1, 1, 1, 1), 0.5).double(), torch.full((1, 1, 1, 1), 2.0).double()
    ensemble = neighbourhood_attention(query, neighbours, 3)
    assert ensemble.item() == pytest.approx(2 * math.e / (math.e + 8))
    assert neighbourhood_attention(query, neighbours, 11).item() == pytest.approx(2 * math.e / (math.e + 120))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", SHAPES)
def test_in_float64_it_is_the_naive_form_with_its_gradients(shape: tuple[int, int, int, int], size: int) -> None:
    query, neighbours, upstream = (normal(*shape, seed=seed) for seed in range(3))
    ours, naive = (
        with_gradients(attend, query, neighbours, size, upstream, torch.float64)
        for attend in (neighbourhood_attention, naive_neighbourhood_attention)
    )
    for fast, slow in zip(ours, naive, strict=True):
        torch.testing.assert_close(fast, slow, rtol=0, atol=1e-10)


@pytest.mark.parametrize("size", [3, 5, 11])
@pytest.mark.parametrize("shape", FLOAT32_SHAPES)
def test_in_float32_it_errs_at_most_four_times_as_much_as_the_naive_form(
    shape: tuple[int, int, int, int], size: int
) -> None:
    query, neighbours, upstream = (normal(*shape, seed=seed, dtype=torch.float32) for seed in range(3))
    exact, naive, ours = (
        with_gradients(attend, query, neighbours, size, upstream, dtype)
        for attend, dtype in (
            (naive_neighbourhood_attention, torch.float64),
            (naive_neighbourhood_attention, torch.float32),
            (neighbourhood_attention, torch.float32),
        )
    )
    for true, slow, fast in zip(exact, naive, ours, strict=True):
        assert float((slow - true).abs().max()) > 0
        assert float((fast - true).abs().max()) <= 4 * float((slow - true).abs().max())


def test_in_float32_a_neighbourhood_of_one_pixel_is_the_pixel_and_has_no_gradient_for_the_query() -> None:
    """The naive form has no error at all here, so that four times it is no measure."""
    query, neighbours, upstream = (normal(1, 64, 13, 19, seed=seed, dtype=torch.float32) for seed in range(3))
    ensemble, to_query, to_neighbours = with_gradients(
        neighbourhood_attention, query, neighbours, 1, upstream, torch.float32
    )
    torch.testing.assert_close(ensemble, neighbours.double(), rtol=0, atol=0)
    torch.testing.assert_close(to_query, torch.zeros_like(to_query), rtol=0, atol=1e-4)
    torch.testing.assert_close(to_neighbours, upstream.double(), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("shape", "size"), [((1, 2, 3, 4), 3), ((2, 1, 2, 9), 5)])
def test_the_gradients_are_those_of_finite_differences(shape: tuple[int, int, int, int], size: int) -> None:
    query, neighbours = normal(*shape).requires_grad_(), normal(*shape, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda q, n: neighbourhood_attention(q, n, size), (query, neighbours))


@pytest.mark.parametrize("size", [1, 5, 11])
@pytest.mark.parametrize(("height", "width"), [(19, 13), (32, 8), (7, 30), (41, 3)])
def test_in_strips_it_is_the_whole(monkeypatch: pytest.MonkeyPatch, height: int, width: int, size: int) -> None:
    query, neighbours = normal(2, 6, height, width), normal(2, 6, height, width, seed=1)
    whole = neighbourhood_attention(query, neighbours, size)
    pieces: list[int] = []
    mix = attention._mix

    def counted(query: Tensor, padded: Tensor, size: int) -> Tensor:
        pieces.append(query.shape[2])
        return mix(query, padded, size)

    monkeypatch.setattr(attention, "_mix", counted)
    monkeypatch.setattr(attention, "STRIP_PX", 2 * attention.BLOCK * (width + -width % attention.BLOCK))
    for mode in (torch.no_grad(), torch.inference_mode()):
        pieces.clear()
        with mode:
            torch.testing.assert_close(neighbourhood_attention(query, neighbours, size), whole, rtol=0, atol=1e-12)
        assert sum(pieces) == height + -height % attention.BLOCK
        assert max(pieces) <= 2 * attention.BLOCK
    monkeypatch.setattr(attention, "STRIP_PX", 1)
    with torch.no_grad():
        torch.testing.assert_close(neighbourhood_attention(query, neighbours, size), whole, rtol=0, atol=1e-12)


def test_where_gradients_are_wanted_nothing_is_cut_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    query, neighbours, upstream = (normal(1, 3, 20, 9, seed=seed) for seed in range(3))
    before = with_gradients(neighbourhood_attention, query, neighbours, 5, upstream, torch.float64)
    monkeypatch.setattr(attention, "STRIP_PX", 1)
    after = with_gradients(neighbourhood_attention, query, neighbours, 5, upstream, torch.float64)
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one, other)


def test_inputs_in_any_memory_order_give_the_same() -> None:
    query, neighbours = normal(2, 5, 11, 10), normal(2, 5, 11, 10, seed=1)
    whole = neighbourhood_attention(query, neighbours, 5)
    query, neighbours = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (query, neighbours))
    torch.testing.assert_close(neighbourhood_attention(query, neighbours, 5), whole, rtol=0, atol=1e-12)
    query, neighbours = (tensor.transpose(2, 3).contiguous().transpose(2, 3) for tensor in (query, neighbours))
    torch.testing.assert_close(neighbourhood_attention(query, neighbours, 5), whole, rtol=0, atol=1e-12)


def test_a_mask_first_asked_for_while_predicting_serves_a_fit_later() -> None:
    attention._band_mask.cache_clear()
    query, neighbours = normal(1, 3, 9, 7), normal(1, 3, 9, 7, seed=1)
    with torch.inference_mode():
        neighbourhood_attention(query, neighbours, 5)
    (gradient,) = torch.autograd.grad(neighbourhood_attention(query.requires_grad_(), neighbours, 5).sum(), query)
    assert bool(gradient.isfinite().all())


def test_large_logits_overflow_nowhere() -> None:
    query, neighbours = (100 * normal(1, 8, 9, 10, seed=seed, dtype=torch.float32) for seed in range(2))
    ensemble = neighbourhood_attention(query, neighbours, 5)
    assert bool(ensemble.isfinite().all())
    exact = naive_neighbourhood_attention(query.double(), neighbours.double(), 5)
    torch.testing.assert_close(ensemble.double(), exact, rtol=0, atol=0.1)


@pytest.mark.parametrize("size", [0, 2, -1, 10])
def test_an_even_or_empty_neighbourhood_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"odd and positive, not {size}"):
        neighbourhood_attention(normal(1, 2, 4, 4), normal(1, 2, 4, 4), size)


def test_inputs_of_different_shapes_are_refused_with_both() -> None:
    with pytest.raises(ValueError, match=r"query \(1, 2, 4, 4\) and neighbours \(1, 2, 4, 5\) differ"):
        neighbourhood_attention(normal(1, 2, 4, 4), normal(1, 2, 4, 5), 3)
