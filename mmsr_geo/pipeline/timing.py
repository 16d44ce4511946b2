"""The speed of a method on this machine, measured on synthetic pixels."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.tile_upsampler import Upsampler, sample_of
from mmsr_geo.geometry import Scale, Tile, Window
from mmsr_geo.methods.base import FitSpeed, Method
from mmsr_geo.network.device import resolve_device, torch_threads
from mmsr_geo.network.samples import Sample
from mmsr_geo.raster.base import Pixels

TIMING_S = 2.0
"""Seconds that a measurement takes, about."""
_SAMPLE_PX = 192


@dataclass(frozen=True, slots=True)
class Speed:
    """Speed of a method on this machine, in seconds of its clock."""

    device: str
    threads: int
    fit: FitSpeed
    """Speed of a fit."""
    predict_s_per_px: float
    """Seconds per predicted target pixel, halos counted, without reading and writing."""


def measure_speed(pair: Pair, method: Method, *, device: str = "auto", threads: int = 1) -> Speed:
    """Time a method for about TIMING_S seconds, on synthetic pixels of the pair's scale and number of guide bands."""
    resolved, scale = resolve_device(device), pair.scale
    threads = threads if method.tile_fits is None else 1
    sample = _synthetic_sample(scale, len(pair.guide.bands))
    with torch_threads(threads):
        model, fit = method.timed_fit(sample, scale, threads, resolved)
        upsampler = Upsampler.of(model, device, consistent=method.consistent)
        height, width = sample.source.shape
        whole = Window.whole((height, width))
        source = Pixels(sample.source.numpy()[np.newaxis], sample.source_valid.numpy())
        guide = Pixels(sample.guide.numpy(), sample.guide_valid.numpy())
        seconds = _seconds(lambda: upsampler.upsample(Tile(0, whole, whole), source, guide))
    return Speed(resolved.type, threads, fit, seconds / sample.guide_valid.numel())


def _seconds(call: Callable[[], object]) -> float:
    """Return the least seconds of a call, repeated for half of TIMING_S and at least once."""
    call()
    best, until = float("inf"), time.perf_counter() + TIMING_S / 2
    while True:
        began = time.perf_counter()
        call()
        now = time.perf_counter()
        best = min(best, now - began)
        if now >= until:
            return best


def _synthetic_sample(scale: Scale, guide_bands: int) -> Sample:
    rng = np.random.default_rng(0)
    height, width = (max(2, _SAMPLE_PX // factor) for factor in (scale.y, scale.x))
    source = Pixels.masked(rng.random((1, height, width), np.float32))
    guide = Pixels.masked(rng.random((guide_bands, height * scale.y, width * scale.x), np.float32))
    return sample_of(source, guide)
