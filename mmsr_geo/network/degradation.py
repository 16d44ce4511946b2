"""The degradation from target to source grid, interpolations back, and the correction that makes a target consistent.

D is the block mean, U the bicubic interpolation. Tensors only. Everything that iterates lives on the source grid, which
has 1 / scale.area of the target's pixels.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor

from mmsr_geo.geometry import Scale

SPECTRUM = (0.35, 1.05)
"""Bounds of the eigenvalues of D∘U for bicubic U, at any scale from 2 on and with nodata."""
STEPS = 10
"""Number of Chebyshev steps: the residual falls by a factor of 4 per step, to 1e-6 of what it was."""
BICUBIC_SUPPORT_PX = 2
"""Support of the bicubic interpolation, in source pixels beyond a pixel's own."""
CONSISTENCY_SUPPORT_PX = BICUBIC_SUPPORT_PX + 7
"""Source pixels around a window that its correction depends on: (D∘U)^-1 decays by 4.5 per pixel, so that pixels
farther away change the target by less than 1e-5 of the correction. A tile's halo must hold them."""
FILL_PX = 2
"""Source pixels by which valid values are carried into nodata: the support of the bicubic interpolation."""


def degrade(target: Tensor, scale: Scale) -> Tensor:
    """Average a target onto its source grid: D.

    Args:
        target: (..., H, W), H and W whole multiples of the scale.
        scale: Target pixels per source pixel.

    Returns:
        (..., H / scale.y, W / scale.x), in the same units.
    """
    shape = target.shape
    blocks = target.reshape(*shape[:-2], shape[-2] // scale.y, scale.y, shape[-1] // scale.x, scale.x)
    return blocks.mean(dim=-3).mean(dim=-1)  # both at once take three times as long


def degrade_valid(target: Tensor, valid: Tensor, scale: Scale) -> tuple[Tensor, Tensor]:
    """Average the valid pixels of each block.

    Args:
        target: (..., H, W), finite also where invalid.
        valid: (H, W) bool.
        scale: Target pixels per source pixel.

    Returns:
        The means (..., h, w), 0 where a block holds no valid pixel, and the fraction of valid pixels (h, w) in 0 to 1.
    """
    weights = valid.to(target.dtype)
    share = degrade(weights, scale)
    return degrade(target * weights, scale) / share.clamp_min(1e-6), share


def bicubic(source: Tensor, scale: Scale) -> Tensor:
    """Interpolate a source onto its target grid: U (Keys 1981, a = -0.75), the border pixels repeated outside.

    Args:
        source: (..., h, w), without nodata.
        scale: Target pixels per source pixel.

    Returns:
        (..., h * scale.y, w * scale.x), of the same dtype.
    """
    return _interpolate(source, _phase_taps(scale.y), _phase_taps(scale.x))


def bilinear(source: Tensor, scale: Scale) -> Tensor:
    """Interpolate a source onto its target grid linearly, as F.interpolate(align_corners=False) does.

    The weights are exact at any distance from the corner. torch's positions are float32, 1e-4 pixels off a thousand
    pixels away where the scale is not a power of 2, and tiles would differ by as much.

    Args:
        source: (..., h, w), without nodata.
        scale: Target pixels per source pixel.

    Returns:
        (..., h * scale.y, w * scale.x), of the same dtype.
    """
    return _interpolate(source, _bilinear_taps(scale.y), _bilinear_taps(scale.x))


def fill_nodata(source: Tensor, valid: Tensor, distance_px: int = FILL_PX) -> Tensor:
    """Fill nodata pixel by pixel with the mean of the 3 x 3 neighbours that hold a value.

    The value at a pixel depends on those within `distance_px` alone, so that tiles agree.

    Args:
        source: (h, w).
        valid: (h, w) bool.
        distance_px: Largest distance, in source pixels, from a valid pixel that is filled.

    Returns:
        (h, w): the source where valid, filled values within `distance_px` of it, 0 beyond.
    """
    if bool(valid.all()):
        return source
    known = valid
    filled = torch.where(valid, source, torch.zeros_like(source))
    kernel = torch.ones(1, 1, 3, 3, dtype=source.dtype, device=source.device)
    for _ in range(distance_px):
        weights = F.conv2d(known.to(source.dtype)[None, None], kernel, padding=1)[0, 0]
        sums = F.conv2d((filled * known)[None, None], kernel, padding=1)[0, 0]
        filled = torch.where(known, filled, sums / weights.clamp_min(1))
        known = known | (weights > 0)
    return filled


def make_consistent(prediction: Tensor, source: Tensor, valid: Tensor, scale: Scale) -> Tensor:
    """Correct a prediction so that its block means are the source.

    Solves (D∘U) C = source - D(prediction) by a Chebyshev semi-iteration of fixed length and coefficients (Golub and
    Varga 1961), adds U(C), and last the block-constant term that takes what remains. This is iterated back-projection
    (Irani and Peleg 1991) at a fraction of its cost. Blocks of invalid source pixels are not corrected.

    Args:
        prediction: (H, W), any float dtype; the computation is in float64.
        source: (h, w), finite also where invalid.
        valid: (h, w) bool.
        scale: Target pixels per source pixel.

    Returns:
        (H, W) float64; D of it equals the source where valid, to float64 rounding.
    """
    reference, target = source.double(), prediction.double()
    mask = valid.to(torch.float64)
    residual = (reference - degrade(target, scale)) * mask
    target = target + bicubic(_solve(residual, mask, scale), scale)
    remainder = (reference - degrade(target, scale)) * mask
    return target + nearest(remainder, scale)


def nearest(source: Tensor, scale: Scale) -> Tensor:
    """Repeat each source pixel over its block: (..., h, w) → (..., h * scale.y, w * scale.x)."""
    *others, height, width = source.shape
    blocks = source[..., :, None, :, None].expand(*others, height, scale.y, width, scale.x)
    return blocks.reshape(*others, height * scale.y, width * scale.x).contiguous()


def _solve(residual: Tensor, mask: Tensor, scale: Scale) -> Tensor:
    """Return C with (D∘U) C ≈ residual where the mask is 1."""
    middle, half = (SPECTRUM[1] + SPECTRUM[0]) / 2, (SPECTRUM[1] - SPECTRUM[0]) / 2
    step, alpha = residual, 1 / middle
    solution = alpha * step
    remaining = residual - mask * _degrade_bicubic(solution, scale)
    for index in range(1, STEPS):
        beta = (half * alpha) ** 2 / (2 if index == 1 else 4)
        alpha = 1 / (middle - beta / alpha)
        step = remaining + beta * step
        solution = solution + alpha * step
        remaining = remaining - mask * _degrade_bicubic(alpha * step, scale)
    return solution


def _degrade_bicubic(field: Tensor, scale: Scale) -> Tensor:
    """D∘U without the target grid: five taps down and five across, the border pixel repeated outside."""
    taps_y, taps_x = (_degraded_taps(s).to(field) for s in (scale.y, scale.x))
    padded = F.pad(field[None, None], (BICUBIC_SUPPORT_PX,) * 4, mode="replicate")
    across = F.conv2d(padded, taps_x.view(1, 1, 1, -1))
    return F.conv2d(across, taps_y.view(1, 1, -1, 1))[0, 0]


def _interpolate(source: Tensor, taps_y: Tensor, taps_x: Tensor) -> Tensor:
    rows = _interpolate_last(source, taps_x)
    return _interpolate_last(rows.transpose(-1, -2), taps_y).transpose(-1, -2).contiguous()


def _interpolate_last(field: Tensor, taps: Tensor) -> Tensor:
    """Interpolate along the last axis: each of the phases, a row of `taps`, is a filter of its own."""
    factor, length = taps.shape
    if factor == 1:
        return field
    lines = field.reshape(-1, 1, field.shape[-1])
    padded = F.pad(lines, (length // 2, length // 2), mode="replicate")
    phases = F.conv1d(padded, taps.to(field)[:, None, :])
    return phases.transpose(1, 2).reshape(*field.shape[:-1], -1)


@cache
def _bilinear_taps(factor: int) -> Tensor:
    """Return (factor, 3): the weights of the source pixels -1..1 at each target pixel within a source pixel."""
    with torch.inference_mode(mode=False):  # kept for calls that want gradients, whoever asks first
        at = (torch.arange(factor, dtype=torch.float64) + 0.5) / factor - 0.5
        return (1 - (at[:, None] - torch.arange(-1, 2)).abs()).clamp_min(0)


@cache
def _phase_taps(factor: int) -> Tensor:
    """Return (factor, 5): the weights of the source pixels -2..2 at each target pixel within a source pixel."""
    with torch.inference_mode(mode=False):  # kept for calls that want gradients, whoever asks first
        at = (torch.arange(factor, dtype=torch.float64) + 0.5) / factor - 0.5
        distance = (at[:, None] - torch.arange(-BICUBIC_SUPPORT_PX, BICUBIC_SUPPORT_PX + 1)).abs()
        a = -0.75
        near = (a + 2) * distance**3 - (a + 3) * distance**2 + 1
        far = a * (distance**3 - 5 * distance**2 + 8 * distance - 4)
        return torch.where(distance <= 1, near, torch.where(distance < 2, far, torch.zeros_like(far)))


@cache
def _degraded_taps(factor: int) -> Tensor:
    """Return (5,): D∘U along one axis."""
    return _phase_taps(factor).mean(dim=0)
