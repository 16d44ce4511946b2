"""Neighbourhood attention: softmax over a square around each pixel, in blocks; knows tensors only."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor

BLOCK = 8
"""Side of a block of queries, in pixels: 8 takes the least time on a CPU (measured against 4 and 16)."""

STRIP_PX = 1 << 16
"""Number of queries computed at once where no gradient is needed: their gathered keys take 85 MB with 64 channels."""


def neighbourhood_attention(query: Tensor, neighbours: Tensor, size: int) -> Tensor:
    """Return each pixel's neighbourhood, averaged by the similarity of its pixels to the query.

    At pixel p it is the sum over the size x size neighbours n of softmax(<query(p), n>) n, with no 1/sqrt(C) scale. A
    neighbour outside the image is a zero vector: it takes part with logit 0 and value 0 (Dong et al., ECCV 2022,
    section 3.2).

    The (size * size)-fold unfolded neighbourhoods are never stored: blocks of 8 x 8 queries meet their haloed block of
    keys in one scaled_dot_product_attention with a constant band mask.

    Args:
        query: (B, C, H, W).
        neighbours: (B, C, H, W), of the same dtype and device.
        size: The odd side of the neighbourhood, in pixels.

    Returns:
        (B, C, H, W).

    Raises:
        ValueError: The shapes differ, or the size is even.
    """
    if query.shape != neighbours.shape:
        msg = f"query {tuple(query.shape)} and neighbours {tuple(neighbours.shape)} differ in shape"
        raise ValueError(msg)
    if size < 1 or size % 2 == 0:
        msg = f"the neighbourhood's side must be odd and positive, not {size}"
        raise ValueError(msg)
    height, width = query.shape[-2:]
    pad_y, pad_x, margin = -height % BLOCK, -width % BLOCK, size // 2
    queries = F.pad(query, (0, pad_x, 0, pad_y))
    padded = F.pad(
        neighbours.permute(0, 2, 3, 1),
        (0, 0, margin, margin + pad_x, margin, margin + pad_y),
    ).contiguous()
    strip = height + pad_y if torch.is_grad_enabled() else BLOCK * max(1, STRIP_PX // (BLOCK * (width + pad_x)))
    strips = [
        _mix(queries[:, :, top : top + strip], padded[:, top : top + strip + 2 * margin], size)
        for top in range(0, height + pad_y, strip)
    ]
    attended = strips[0] if len(strips) == 1 else torch.cat(strips, dim=2)
    return attended[..., :height, :width]


def _mix(query: Tensor, padded: Tensor, size: int) -> Tensor:
    """Attend in whole blocks: query (B, C, H, W), padded (B, H + size - 1, W + size - 1, C) → (B, C, H, W)."""
    batch, channels, height, width = query.shape
    rows, columns, extent = height // BLOCK, width // BLOCK, BLOCK + size - 1
    queries = query.reshape(batch, channels, rows, BLOCK, columns, BLOCK).permute(0, 2, 4, 3, 5, 1)
    keys: Tensor = _HaloedBlocks.apply(padded, extent)  # type: ignore[no-untyped-call]  # torch types no apply
    keys = keys.view(batch, rows * columns, extent * extent, channels)
    attended = _attend(queries.reshape(batch, rows * columns, BLOCK * BLOCK, channels), keys, size)
    attended = attended.view(batch, rows, columns, BLOCK, BLOCK, channels).permute(0, 5, 1, 3, 2, 4)
    return attended.reshape(batch, channels, height, width)


def _attend(queries: Tensor, keys: Tensor, size: int) -> Tensor:
    """Average the keys of each block: (B, blocks, BLOCK², C) and (B, blocks, extent², C) → (B, blocks, BLOCK², C)."""
    mask = _band_mask(size, queries.dtype, queries.device)
    if queries.is_cuda and torch.is_grad_enabled():
        # torch's fused kernel adds up the queries' gradient in any order: two fits would differ.
        return (queries @ keys.transpose(-1, -2) + mask).softmax(-1) @ keys
    return F.scaled_dot_product_attention(queries, keys, keys, attn_mask=mask, scale=1.0)


def naive_neighbourhood_attention(query: Tensor, neighbours: Tensor, size: int) -> Tensor:
    """Return the same as `neighbourhood_attention`, by unfolding: the oracle of tests and benchmarks.

    It stores size * size * C values per pixel, so it is for small images.
    """
    batch, channels, height, width = query.shape
    unfolded = F.unfold(neighbours, size, padding=size // 2).view(batch, channels, size * size, height * width)
    weights = torch.einsum("bcp,bckp->bkp", query.reshape(batch, channels, -1), unfolded).softmax(dim=1)
    return torch.einsum("bkp,bckp->bcp", weights, unfolded).view(batch, channels, height, width)


class _HaloedBlocks(torch.autograd.Function):
    """Gather overlapping (extent x extent) blocks, one every BLOCK pixels, from (B, H, W, C).

    Autograd's own way back through as_strided or unfold takes two to three times as long as the whole attention; here
    the blocks are cut into pieces of at most BLOCK pixels, which do not overlap one another and add up in place.
    """

    @staticmethod
    def forward(ctx: Any, padded: Tensor, extent: int) -> Tensor:  # noqa: ANN401  (torch gives no type for it)
        """Return (B, rows, columns, extent, extent, C), contiguous."""
        ctx.padded_shape, ctx.extent = padded.shape, extent
        return _strided_blocks(padded, extent, extent, 0, 0).contiguous()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401  (torch gives no type for it)
        """Add each block's gradient to the pixels it was cut from."""
        (grad,) = grads
        summed = grad.new_zeros(ctx.padded_shape)
        rows, columns = grad.shape[1:3]
        for y in range(0, ctx.extent, BLOCK):
            for x in range(0, ctx.extent, BLOCK):
                piece = grad[:, :, :, y : y + BLOCK, x : x + BLOCK]
                pixels = _strided_blocks(summed, piece.shape[3], piece.shape[4], y, x, rows, columns)
                pixels += piece
        return summed, None


def _strided_blocks(  # noqa: PLR0913  (two corners and two counts, all of them plain)
    image: Tensor, height: int, width: int, y: int, x: int, rows: int | None = None, columns: int | None = None
) -> Tensor:
    """View (B, H, W, C) as (B, rows, columns, height, width, C): a block every BLOCK pixels, the first at (y, x)."""
    batch, image_height, image_width, channels = image.shape
    rows = (image_height - height) // BLOCK + 1 if rows is None else rows
    columns = (image_width - width) // BLOCK + 1 if columns is None else columns
    by_image, by_row, by_column, by_channel = image.stride()
    return image.as_strided(
        (batch, rows, columns, height, width, channels),
        (by_image, BLOCK * by_row, BLOCK * by_column, by_row, by_column, by_channel),
        image.storage_offset() + y * by_row + x * by_column,
    )


@cache
def _band_mask(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return (BLOCK², extent²): 0 where a key lies in the query's neighbourhood, else -inf."""
    margin = size // 2
    with torch.inference_mode(mode=False):  # made while predicting, it is kept for the next fit, which needs gradients
        query, key = torch.arange(BLOCK), torch.arange(BLOCK + 2 * margin)
        near = (key - query[:, None] - margin).abs() <= margin
        inside = (near[:, None, :, None] & near[None, :, None, :]).reshape(BLOCK**2, -1)
        return torch.zeros(inside.shape, dtype=dtype).masked_fill(~inside, float("-inf")).to(device)
