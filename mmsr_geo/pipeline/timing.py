"""The speed of a method on this machine, measured on synthetic pixels."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from mmsr_geo.engine.model import Model
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.tile_upsampler import Upsampler, sample_of
from mmsr_geo.geometry import Scale, Tile, Window
from mmsr_geo.methods.baseline import BaselineMethod, FitJob
from mmsr_geo.methods.p2p import P2P
from mmsr_geo.methods.scene import SavedModel, SceneFit
from mmsr_geo.methods.source import Method
from mmsr_geo.methods.tile_fit import TileFit
from mmsr_geo.network.device import resolve_device, torch_threads
from mmsr_geo.network.fit import fit_samples
from mmsr_geo.network.params import FitParams
from mmsr_geo.network.regression import Regression, n_predictors
from mmsr_geo.network.samples import Sample
from mmsr_geo.network.stacking import StackingWeights
from mmsr_geo.raster.base import Pixels

CALIBRATION_S = 2.0
_CALIBRATED_PX = 192
_P2P_STEPS = 64


@dataclass(frozen=True, slots=True)
class Speed:
    """What a machine does, in seconds of its clock."""

    device: str
    threads: int
    fit_s_per_px_step: float
    """A pixel times a step of the fit; 0 where there is nothing to fit by steps."""
    predict_s_per_px: float
    """A target pixel, halo counted; without reading and writing."""


def measure_speed(pair: Pair, method: Method, *, device: str = "auto", threads: int = 1) -> Speed:
    """Time a method on pixels made up, of the pair's scale and guide bands, for some CALIBRATION_S seconds."""
    where, scale = resolve_device(device), pair.scale
    threads = 1 if isinstance(method, TileFit) else threads
    made = _synthetic_sample(scale, len(pair.guide.bands))
    with torch_threads(threads):
        model, fit_s = _timed_fit(method, made, scale, threads, where)
        upsampler = Upsampler.of(model, device, consistent=method.consistent)
        whole = Window.whole(tuple(made.source.shape))  # type: ignore[arg-type]  # of two dims
        tile, source = Tile(0, whole, whole), made.source.numpy()[np.newaxis]
        pixels = Pixels(source, made.source_valid.numpy()), Pixels(made.guide.numpy(), made.guide_valid.numpy())
        predict_s = _seconds(lambda: upsampler.upsample(tile, *pixels)) / made.guide_valid.numel()
    return Speed(where.type, threads, fit_s, predict_s)


def _timed_fit(method: Method, made: Sample, scale: Scale, threads: int, device: torch.device) -> tuple[Model, float]:
    """Return a model like the method's, and the seconds that a pixel and step of its fit take."""
    scene = method.scene or SceneFit(method.params) if isinstance(method, TileFit) else method
    if isinstance(scene, BaselineMethod):
        job = FitJob(scale, tuple(made.source.shape), device, 0, threads)  # type: ignore[arg-type]  # of two dims
        if not isinstance(scene.method, P2P):
            return scene.method.fit([made], job), 0.0
        took = []
        for steps in (8, 8 + _P2P_STEPS):  # what comes before the steps is in both
            began = time.perf_counter()
            fitted = P2P(steps).fit([made], job)
            took.append(time.perf_counter() - began)
        more = _P2P_STEPS * P2P.px_a_step(scale, made.source.numel())
        return fitted, max(took[1] - took[0], 0.0) / more
    params = scene.params if isinstance(scene, SceneFit) else FitParams()
    bands = tuple(map(str, range(len(made.guide))))

    def fit(steps: int) -> Model:
        few = replace(params, steps=steps, first_stage=False, threads=threads)
        model = fit_samples([made], scale, few, guide_bands=bands, device=device)
        if not params.ensemble:
            return model
        # Of its predictions all that may take part in them, whatever the share.
        regression = Regression.blank(n_predictors(len(bands)), torch.Generator())
        return replace(model, stacking=StackingWeights(0.0, 0.5, 0.5), regression=regression)

    if isinstance(scene, SavedModel) and not isinstance(method, TileFit):
        return scene.model, 0.0
    fit(1)
    began = time.perf_counter()
    model = fit(4)
    side = min(params.patch_px or _CALIBRATED_PX, *made.guide_valid.shape)
    taken = (side // scale.y * scale.y) * (side // scale.x * scale.x) * params.batch * 4
    return model, (time.perf_counter() - began) / taken


def _seconds(work: Callable[[], object]) -> float:
    """Return the seconds that work takes, the best of as many times as half of CALIBRATION_S holds, one at least."""
    work()
    best, until = float("inf"), time.perf_counter() + CALIBRATION_S / 2
    while True:
        began = time.perf_counter()
        work()
        now = time.perf_counter()
        best = min(best, now - began)
        if now >= until:
            return best


def _synthetic_sample(scale: Scale, guide_bands: int) -> Sample:
    rng = np.random.default_rng(0)
    height, width = (max(2, _CALIBRATED_PX // factor) for factor in (scale.y, scale.x))
    source = Pixels.masked(rng.random((1, height, width), np.float32))
    guide = Pixels.masked(rng.random((guide_bands, height * scale.y, width * scale.x), np.float32))
    return sample_of(source, guide)
