"""The scene fit: samples of a pair in, a fitted model out; knows no raster, file or tile."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import count
from statistics import fmean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Scale, Window
from mmsr_geo.network.degradation import bicubic, bilinear, degrade, degrade_valid, fill_holes
from mmsr_geo.network.device import deterministic_float32, torch_threads
from mmsr_geo.network.fitted import FittedModel, add_detail, predict_in_parts, receptive_field_on_target
from mmsr_geo.network.guide_check import (
    SMALLEST_VALIDATED_PX,
    GuideCheck,
    ReducedPrediction,
    RegionErrors,
    bicubic_error,
    compare,
    guide_check_of,
    predict_at_reduced_resolution,
    reduce_sample,
    reduction_step,
)
from mmsr_geo.network.intervals import Interval, calibrated
from mmsr_geo.network.mmsr import MmsrNetwork, NetworkParams
from mmsr_geo.network.params import STEPS, FitParams
from mmsr_geo.network.patches import PatchSampler, inside
from mmsr_geo.network.prepared import PreparedSample, guide_below, levels_below, levels_here
from mmsr_geo.network.registration import registration
from mmsr_geo.network.regression import Regression, RegressionRows, blocks_of, fit_regression
from mmsr_geo.network.samples import Sample, Statistics, guide_range
from mmsr_geo.network.stacking import StackingWeights, best_weights
from mmsr_geo.spelling import option

AFTER_FIRST_STAGE = 3
"""After a first stage so many times fewer steps follow: more of them lose what it has learnt."""
FAINTEST_DETAIL = 1e-4
"""In the source's deviation: what a network that draws detail can draw at least."""
SMOOTH = 0.2
"""A source is smooth where, one level down, the interpolation's error is below this part of the source's deviation."""
LEAST_SHARE = 0.05
"""Of the network in a mixture: with less it is left out, and its steps with it."""
REGRESSED_PX = 2**16
"""Source pixels that a regression sees at most, about: of more, samples and then parts of them are left out."""
REGRESSED_AREA = 16
"""Where a source pixel holds more target pixels than so many, it counts for more than one."""
FEWEST_SIDE_PX = 16
"""Source pixels along a side below which no trend of errors over scales is read off."""
PUBLISHED_DECAY = 0.9998
"""The published fit's learning rate falls by this factor every five steps."""


def fit_samples(  # noqa: PLR0913  (what is known of a fit, all of it recorded in the model)
    samples: Sequence[Sample],
    scale: Scale,
    params: FitParams,
    *,
    guide_bands: tuple[str, ...],
    seed: int = 0,
    device: torch.device | None = None,
    progress: Progress = no_progress,
    provenance: dict[str, Any] | None = None,
) -> FittedModel:
    """Fit one network to samples of one pair, all of the same size.

    Two stages, each a one-cycle of Adam: first, where it pays, with direct supervision one level down (the source is
    the truth there), then at the true scale, asking that the target's block means be the source. The same samples,
    seed, threads and device kind give the same model. Raises PixelError when no pixel is valid in source and guide.
    """
    device = device or torch.device("cpu")
    statistics = Statistics.of(samples)
    if params.patch_px is None and len(samples) > 1:
        height, width = samples[0].guide_valid.shape
        raise OptionError(
            f"the published fit takes the whole raster at every step, and this one was too large to be read whole "
            f"({len(samples)} parts of {height} x {width} target pixels were): "
            f"give {option('bounds')}, or choose {option('fit', 'tile')}"
        )
    with torch_threads(params.fixed_threads), deterministic_float32(device):
        layers = [
            PreparedSample.of(sample, statistics, scale, device, features=params.guide_features) for sample in samples
        ]
        fit = _Fit(layers, scale, params, progress, seed)
        outcome = fit.run()
    record = {
        "seed": seed,
        "params": asdict(params),
        "threads": params.fixed_threads,
        "device": device.type,
        "torch": torch.__version__,
        **outcome,
    }
    return FittedModel(
        fit.network.params,
        scale,
        statistics,
        _weights(fit.network),
        guide_bands,
        detail=fit.detail,
        stacking=fit.stacking,
        regression=fit.regressions[-1] if fit.stacking.regression else None,
        check=fit.check,
        interval=fit.interval,
        guide_range=guide_range(samples, statistics),
        provenance=(provenance or {}) | {"fit": record},
    )


def expected_pixel_steps(params: FitParams, shape_yx: tuple[int, int], scale: Scale) -> tuple[int, int]:
    """Return the pixels times steps of a fit to a raster of so many source pixels, or to samples of it.

    At least and at most: what is found out about the guide decides how many steps there are.
    """
    steps, ensemble = params.steps or STEPS, params.ensemble and params.first_stage is None
    patch = params.patch_px or max(side * factor for side, factor in zip(shape_yx, (scale.y, scale.x), strict=True))
    step, fine, below = reduction_step(shape_yx, scale), 1, 1
    for side, factor, down in zip(shape_yx, (scale.y, scale.x), (step.y, step.x), strict=True):
        fine *= min(max(1, patch // factor), side) * factor
        below *= max(min(patch, side) // down, 1) * down
    fine, first = fine * params.batch, below * params.batch * steps
    plain, after = steps * fine, first + -(-steps // AFTER_FIRST_STAGE) * fine
    smallest = min(side // down for side, down in zip(shape_yx, (step.y, step.x), strict=True))
    if params.first_stage is False or smallest < (1 if params.first_stage else SMALLEST_VALIDATED_PX):
        return plain, plain
    if params.first_stage:
        return after, after
    if ensemble:  # the regression alone, or a network that adds too little to be taken on
        return (0 if params.enough_gain < 1 else first), max(after, first + plain)
    return min(after, first + plain), max(after, first + plain)


def adapt_model(  # noqa: PLR0913  (a model, what it is to learn, and how)
    model: FittedModel,
    samples: Sequence[Sample],
    params: FitParams,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    progress: Progress = no_progress,
) -> FittedModel:
    """Take a few more steps at the true scale, on samples of one tile, with the model's own statistics.

    Raises PixelError when no pixel is valid in source and guide.
    """
    if model.stacking.network == 0:
        return model
    device = device or torch.device("cpu")
    with torch_threads(params.fixed_threads), deterministic_float32(device):
        layers = [
            PreparedSample.of(sample, model.statistics, model.scale, device, features=model.shows_features)
            for sample in samples
        ]
        fit = _Fit(layers, model.scale, params, progress, seed)
        fit.network.load_state_dict(model.weights)
        fit.detail = model.detail
        fit.adapt()
    return replace(model, weights=_weights(fit.network))


def tile_seed(seed: int, index: int) -> int:
    """Return the seed of one tile's fit."""
    return int.from_bytes(hashlib.sha256(f"{seed} {index}".encode()).digest()[:4], "big")


def _weights(network: MmsrNetwork) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}


_Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""One patch: guide (C, H, W), source on its grid, what is wanted of the target, and where it is asked for."""


class _Fit:
    """One fit under way: the network, what it learns from, and what is to be recorded."""

    def __init__(
        self, layers: Sequence[PreparedSample], scale: Scale, params: FitParams, progress: Progress, seed: int
    ) -> None:
        self.layers, self.scale, self.params, self.progress, self.seed = layers, scale, params, progress, seed
        self.step = reduction_step(layers[0].source.shape, scale)
        self.shape = NetworkParams(len(layers[0].guide))
        self.check, self.stacking = GuideCheck(), StackingWeights()
        self.shift = 0, 0
        self.regressions: tuple[Regression, ...] = ()
        """The one that has not seen what is held out, and the one of all; none where none is wanted."""
        self.interval: Interval | None = None
        self.pixel_steps = 0
        self.detail = self._detail()
        self._begin()

    def _begin(self) -> None:
        """Draw fresh weights and begin the draws of patches, as if nothing had been before."""
        # Generators of its own: torch's global one is shared with whatever else runs in the process.
        weights, self.patches_generator = (torch.Generator().manual_seed(self.seed) for _ in range(2))
        with torch.device("meta"):
            network = MmsrNetwork(self.shape)
        network = network.to_empty(device="cpu").draw_weights(weights).to(self.layers[0].source.device)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch types no memory_format here

    def run(self) -> dict[str, Any]:
        """Fit; return what is to be recorded, as JSON values."""
        record: dict[str, Any] = {"first_stage": False}
        steps = self.params.steps or STEPS
        sites = self._self_supervised_sites()  # raises where there is nothing to be learnt
        if self.params.ensemble and self.params.first_stage is not False and self._checkable():
            self._regress()
            self.stacking = self._regression_alone()
        if self.stacking.network and self._first_stage_possible():
            first = self._stage("first stage", steps, self._supervised_batch, self._supervised_sites())
            helped = self._checkable() and self._judge()
            kept = helped or bool(self.params.first_stage)
            record |= {"first_stage": kept, "first_stage_loss": first}
            if kept:
                steps = -(-steps // AFTER_FIRST_STAGE)
            else:
                self._begin()
        if not self.stacking.network:
            return record | {"steps": 0, "pixel_steps": self.pixel_steps}
        loss = self._stage("fit", steps, self._self_supervised_batch, sites)
        return record | {"steps": steps, "loss": loss, "pixel_steps": self.pixel_steps}

    def adapt(self) -> None:
        """Take the steps of a tile from the weights there are."""
        self._stage("adapt", self.params.adapt_steps, self._self_supervised_batch, self._self_supervised_sites())

    def _stage(
        self,
        name: str,
        steps: int,
        batch: Callable[[int, Window], _Batch],
        sites: PatchSampler,
    ) -> float:
        """Take the steps of one stage; return the mean loss of its last tenth."""
        decayed = self.network.guide_branch.parameters()
        others = (p for key, p in self.network.named_parameters() if not key.startswith("guide_branch."))
        groups: list[dict[str, Any]] = [
            {"params": decayed, "weight_decay": self.params.guide_weight_decay},
            {"params": others},
        ]
        optimiser = torch.optim.Adam(groups, lr=self.params.lr)
        schedule = self._schedule(optimiser, steps)
        losses: list[Tensor] = []
        for step in range(steps):
            self.progress(name, step, steps)
            patches = [batch(*site) for site in sites.draw(self.params.batch, self.patches_generator)]
            guide, source, wanted, asked = (torch.stack(parts) for parts in zip(*patches, strict=True))
            target = self._predict(guide.contiguous(memory_format=torch.channels_last), source)
            if target.shape != wanted.shape:
                target = degrade(target, self.scale)
            loss = (F.l1_loss(target, wanted, reduction="none") * asked).sum() / asked.sum().clamp_min(1)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.pixel_steps += guide[:, 0].numel()
            optimiser.step()
            schedule.step()
            losses.append(loss.detach())
        self.progress(name, steps, steps)
        return fmean(float(loss) for loss in losses[-max(1, steps // 10) :])

    def _schedule(self, optimiser: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
        if self.params.schedule == "published":
            return torch.optim.lr_scheduler.StepLR(optimiser, step_size=5, gamma=PUBLISHED_DECAY)
        return torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=self.params.lr, total_steps=steps, cycle_momentum=False
        )

    def _patch_px(self) -> int:
        """Return a patch's side in target pixels, as large as the raster at most."""
        height, width = self.layers[0].source.shape
        return self.params.patch_px or max(height * self.scale.y, width * self.scale.x)

    def _self_supervised_sites(self) -> PatchSampler:
        scale, patch = self.scale, self._patch_px()
        return PatchSampler(
            [layer.asked for layer in self.layers], (max(1, patch // scale.y), max(1, patch // scale.x))
        )

    def _self_supervised_batch(self, sample: int, at: Window) -> _Batch:
        """At the true scale: the target's block means shall be the source."""
        layer, (rows, columns) = self.layers[sample], at.slices
        target_rows, target_columns = at.refined(self.scale).slices
        source = layer.source[rows, columns]
        asked = layer.asked[rows, columns] & self._away_from_cuts(layer, at, self.scale.y, self.scale.x)
        return layer.guide[:, target_rows, target_columns], source, source, asked

    def _supervised_sites(self) -> PatchSampler:
        """Patches one level down are counted in source pixels, a whole multiple of the scale along each side."""
        height, width = self.layers[0].source.shape
        patch, scale = self._patch_px(), self.step
        side_y, side_x = (max(min(patch, side) // s, 1) * s for side, s in ((height, scale.y), (width, scale.x)))
        return PatchSampler([layer.asked & ~layer.validation for layer in self.layers], (side_y, side_x))

    def _supervised_batch(self, sample: int, at: Window) -> _Batch:
        """One level down: the source itself is the target, its block means are the source."""
        layer, (rows, columns) = self.layers[sample], at.slices
        truth, valid = layer.source[rows, columns], layer.asked[rows, columns]
        asked = valid & ~layer.validation[rows, columns] & self._away_from_cuts(layer, at, 1, 1)
        return layer.guide_below[:, rows, columns], self._below(truth, valid), truth, asked

    def _away_from_cuts(self, layer: PreparedSample, at: Window, per_row: int, per_column: int) -> Tensor:
        """Return (h, w) bool: where the network sees a patch as it would see the whole sample.

        Beyond a cut it sees zeros, which it never does when it predicts, but at the raster's own border it does. Each
        row and column stands for so many pixels of the grid that the network works on. All True in a patch that is
        too small to have an inside.
        """
        along = [
            inside(start, length, whole, -(-self.network.receptive_field.guide_px // pixels))
            for start, length, whole, pixels in (
                (at.row, at.height, layer.source.shape[0], per_row),
                (at.col, at.width, layer.source.shape[1], per_column),
            )
        ]
        both = along[0][:, None] & along[1]
        return (both if bool(both.any()) else torch.ones_like(both)).to(layer.source.device)

    def _below(self, truth: Tensor, valid: Tensor) -> Tensor:
        means, share = degrade_valid(truth, valid, self.step)
        return fill_holes(means, share > 0.5)

    def _predict(self, guide: Tensor, source: Tensor) -> Tensor:
        """(B, C, H, W) and (B, h, w) → (B, H, W)."""
        down, across = (fine // coarse for fine, coarse in zip(guide.shape[-2:], source.shape[-2:], strict=True))
        return add_detail(self.network(guide, source[:, None])[:, 0], source, Scale(down, across), self.detail)

    def _detail(self) -> float | None:
        """Return what the output is to be multiplied by on the interpolation; None: it is the whole target."""
        height, width = self.layers[0].source.shape
        if self.params.over_bicubic is False or min(height // self.scale.y, width // self.scale.x) < 1:
            return None
        squares = torch.cat([bicubic_error(layer.source, layer.asked, self.scale) for layer in self.layers])
        size = float(squares.mean().sqrt()) if len(squares) else 0.0
        wanted = self.params.over_bicubic or size < SMOOTH
        return max(size, FAINTEST_DETAIL) if wanted else None

    def _shape_below(self) -> tuple[int, int]:
        height, width = self.layers[0].source.shape
        return height // self.step.y, width // self.step.x

    def _first_stage_possible(self) -> bool:
        """Whether it is wanted, or undecided and there are pixels enough to learn from and to judge by.

        Raises OptionError when it is wanted and there is nothing to learn from.
        """
        if self.params.first_stage is False:
            return False
        height, width = self.layers[0].source.shape
        learnable = min(self._shape_below()) >= 1 and any(
            bool((layer.asked & ~layer.validation).any()) for layer in self.layers
        )
        if self.params.first_stage and not learnable:
            raise OptionError(
                f"first_stage=True finds nothing to learn from one level down: the source's {height} x {width} pixels "
                f"are too few at scale {self.scale}, or holes; leave first_stage to be decided from the data"
            )
        return bool(self.params.first_stage) or (learnable and self._checkable())

    def _checkable(self) -> bool:
        """Whether there are pixels enough one level down, and held-out ones among them, to tell if the guide helps."""
        judged = any(bool((layer.asked & layer.validation).any()) for layer in self.layers)
        return min(self._shape_below()) >= SMALLEST_VALIDATED_PX and judged

    def _judge(self) -> bool:
        """Judge the first stage on the blocks that it has not seen, and choose the mixture; say if the network helped.

        What little the network would add to the mixture is not worth its steps.
        """
        belows = self._belows(network=True)
        compared = self._compared(belows)
        if self.regressions and sum(each.validated_px for each in compared) > 0:
            products = np.sum([each.products for each in compared], axis=0)
            bicubic_weight, network, regression = best_weights(products)
            if network < LEAST_SHARE:
                (bicubic_weight, regression), network = best_weights(products[::2, ::2]), 0.0
            self.stacking = StackingWeights(bicubic_weight, network, regression, self.shift)
        shares = self.stacking.values[: len(belows[0].raw)]
        self.check = guide_check_of(compared, shares)
        self.interval = self._interval(belows, shares)
        return guide_check_of(compared, (0, 1, 0)[: len(shares)]).result == "helped"

    def _regression_alone(self) -> StackingWeights:
        """Return the regression alone where it does so well one level down that a network would add little to it."""
        if self.params.enough_gain == 1 or self.params.first_stage:
            return StackingWeights()
        belows = self._belows(network=False)
        check = guide_check_of(self._compared(belows), (0, 1))
        if check.gain is None or check.gain < self.params.enough_gain:
            return StackingWeights()
        self.check = check
        self.interval = self._interval(belows, (0, 1))
        return StackingWeights(network=0.0, regression=1.0, shift=self.shift)

    def _regress(self) -> None:
        """Register the guide and solve both regressions."""
        source_px = sum(layer.source.numel() for layer in self.layers)
        left_out = -(-max(source_px, source_px * self.scale.area // REGRESSED_AREA) // REGRESSED_PX)
        of_samples = min(left_out, len(self.layers))
        layers, every = self.layers[::of_samples], -(-left_out // of_samples)
        height, width = layers[0].source.shape
        grids = ((self._shape_below(), self.step), ((height, width), self.scale))
        total = len(layers) * sum(len(blocks_of(shape, scale, every)) for shape, scale in grids)
        done = count()

        def told(levels: Iterator[RegressionRows]) -> Iterator[RegressionRows]:
            for level in levels:
                self.progress("regression", next(done), total)
                yield level

        self.progress("registration", 0, 1)
        self.shift = self._registration()
        self.progress("registration", 1, 1)
        below = [level for layer in layers for level in told(levels_below(layer, self.shift, self.step, every))]
        here = (level for layer in layers for level in told(levels_here(layer, self.shift, self.scale, every)))
        self.regressions = fit_regression(below, here, torch.Generator().manual_seed(self.seed))
        self.progress("regression", total, total)

    def _regress_below(self, layer: PreparedSample, source: Tensor, known: Tensor) -> Tensor:  # noqa: ARG002  (as all predictors)
        guide, valid = guide_below(layer, self.shift)
        whole = Window.whole((source.shape[0], source.shape[1])).refined(self.step).slices
        detail = self.regressions[0].detail(guide[:, *whole], valid[whole], source, self.step)
        return bicubic(source.double(), self.step) + detail

    def _belows(self, *, network: bool) -> list[ReducedPrediction]:
        """Return what network and regression make of each sample one level down."""
        return [
            predict_at_reduced_resolution(
                [
                    *([partial(self._predict_below, layer)] if network else []),
                    *([partial(self._regress_below, layer)] if self.regressions else []),
                ],
                layer.source,
                layer.asked,
                layer.validation,
                self.step,
            )
            for layer in self.layers
        ]

    def _compared(self, belows: Sequence[ReducedPrediction]) -> list[RegionErrors]:
        return [
            each
            for layer, below in zip(self.layers, belows, strict=True)
            for each in compare(below, self.step, layer.corner)
        ]

    def _interval(self, belows: Sequence[ReducedPrediction], shares: Sequence[float]) -> Interval | None:
        """Calibrate where the level below is of the scale: errors of half a source pixel say little of an eighth."""
        return calibrated(belows, shares, self._growth(), self.scale) if self.step == self.scale else None

    def _growth(self) -> float:
        """Return how much larger the interpolation's error is at the true scale than one level down.

        It goes on as it went over the octave above: from a source degraded by 4 and taken as the truth degraded by 2,
        to the source as the truth.
        """
        half = Scale(2, 2)
        here = [(layer.source, layer.asked) for layer in self.layers]
        above = [reduce_sample(source, asked, half) for source, asked in here if min(source.shape) >= FEWEST_SIDE_PX]
        if not above:
            return 1.0
        squares = [torch.cat([bicubic_error(truth, asked, half) for truth, asked in level]) for level in (here, above)]
        if not all(len(each) and bool(each.any()) for each in squares):
            return 1.0
        octave = math.sqrt(float(squares[0].mean() / squares[1].mean()))
        return float(min(1.0, octave ** (math.log2(self.scale.area) / 2)))

    def _registration(self) -> tuple[int, int]:
        return registration(
            ((layer.source, layer.asked, layer.guide[: layer.bands], layer.guide_valid) for layer in self.layers),
            self.scale,
        )

    def _predict_below(self, layer: PreparedSample, source: Tensor, known: Tensor) -> Tensor:  # noqa: ARG002  (as all predictors)
        def shown(part: Window) -> Tensor:
            return layer.guide_below[None, :, *part.slices].contiguous(memory_format=torch.channels_last)

        on_target = bilinear(source[None, None], self.step)
        receptive_field_target_px = receptive_field_on_target(self.network.receptive_field)
        return add_detail(
            predict_in_parts(self.network, shown, on_target, receptive_field_target_px)[0, 0],
            source,
            self.step,
            self.detail,
        )
