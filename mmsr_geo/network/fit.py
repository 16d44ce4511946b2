"""The scene fit: samples of a pair in, a fitted model out; knows no raster, file or tile."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import fmean
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.errors import NothingInCommonError, OptionError
from mmsr_geo.geometry import Scale, Window
from mmsr_geo.network.degradation import degrade, degrade_valid, fill_nodata
from mmsr_geo.network.device import deterministic_float32, torch_threads
from mmsr_geo.network.fit_params import AFTER_FIRST_STAGE, STEPS, FitParams
from mmsr_geo.network.fitted import FittedModel, add_detail
from mmsr_geo.network.guide_check import SMALLEST_VALIDATED_PX, reduction_step
from mmsr_geo.network.members.evidence import MembersEvidence
from mmsr_geo.network.members.fit import compared_parts, fit_members, members_evidence, reduced_sensor
from mmsr_geo.network.members.layers import Alignment
from mmsr_geo.network.members.table import ALL_MEMBERS, QUICK_MEMBERS
from mmsr_geo.network.mmsr import MmsrNetwork, NetworkParams
from mmsr_geo.network.patches import PatchSampler, inside
from mmsr_geo.network.prepared import PreparedSample
from mmsr_geo.network.samples import NOTHING_IN_COMMON, Sample, Statistics, guide_range
from mmsr_geo.network.validation import ReducedResolution, Validation, detail_amplitude
from mmsr_geo.network.variational.gaussian import smoothed
from mmsr_geo.spelling import option

TRIAL_STEPS = 100
"""Number of steps of a trial, after which a network without a weight beside members is given up."""
PUBLISHED_DECAY = 0.9998
"""Factor of the published fit's learning rate every five steps."""


@dataclass(frozen=True, slots=True)
class FitDesign:
    """Parts of a fit that no option of a user changes; benchmarks/search.py compares others."""

    network: Callable[[int], NetworkParams] = NetworkParams
    """Returns the shape of the network for a number of guide channels."""
    optimiser: Callable[..., torch.optim.Optimizer] = torch.optim.Adam
    """Returns the optimiser; called with the groups of parameters and `lr`."""
    after_first_stage: Fraction = AFTER_FIRST_STAGE
    """Factor by which the second stage has fewer steps than the first."""

    def second_stage_steps(self, steps: int) -> int:
        """Return the number of steps of the second stage, after `steps` of the first."""
        return math.ceil(steps / self.after_first_stage)


Observer = Callable[[Validation], None]
"""Called after a validation of the network."""


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
    design: FitDesign = FitDesign(),
    start: FittedModel | None = None,
    on_validation: Observer | None = None,
) -> FittedModel:
    """Fit one model to samples of one pair.

    The network is fitted in two stages, each a one-cycle of Adam: first, where that pays, at reduced resolution, where
    the source is the reference; then at the true scale, where the target's block means are compared with the source.
    The same samples, seed, threads and kind of device give the same model.

    Args:
        samples: Parts of the pair, all of the same size.
        scale: Target pixels per source pixel.
        params: Steps, rates and stages of the fit.
        guide_bands: Names of the guide's bands, kept in the model.
        seed: Seed of the weights, the patches and the random features.
        device: Where the fit runs; None: the CPU.
        progress: Called with each stage's name, the steps done and the steps in all.
        provenance: JSON values that are kept in the model, such as the names of the inputs.
        design: Network, optimiser and proportion of the stages.
        start: Model of another date, whose network the fit begins with; None: weights are drawn.
        on_validation: Called with what was found at reduced resolution, once the network was validated.

    Raises:
        NothingInCommonError: No pixel is valid in both source and guide.
        OptionError: A published fit of a raster that is too large to be read whole, or `first_stage=True` for a source
            that is too small for it.
    """
    device = device or torch.device("cpu")
    statistics = Statistics.of(samples)
    if params.network and params.patch_px is None:
        _check_read_whole(samples)
    with torch_threads(params.fixed_threads), deterministic_float32(device):
        members = None
        if params.compares_members:
            members = _ComparedMembers(samples, scale, statistics, params, seed, device, progress)
        features = params.network and params.guide_features
        prepared = [
            PreparedSample.of(
                sample if members is None else members.alignment.applied(sample),
                statistics,
                scale,
                device,
                features=features,
            )
            for sample in samples
        ]
        fit = _Fit(prepared, scale, params, progress, seed, design, members, start)
        outcome, model = fit.run(on_validation), fit.model(statistics, guide_bands)
    record = {"seed": seed, "params": params.description, "threads": params.fixed_threads, "device": device.type}
    record |= {"torch": torch.__version__, **outcome}
    ranges = guide_range(samples, statistics)
    return replace(model, guide_range=ranges, provenance=(provenance or {}) | {"fit": record})


def member_names(params: FitParams) -> tuple[str, ...]:
    """Return the names of the members that a fit chooses from."""
    return QUICK_MEMBERS if params.quick_members else ALL_MEMBERS


class _ComparedMembers:
    """The members of a fit, fitted and compared with each other on parts of its samples."""

    def __init__(  # noqa: PLR0913  (what is known of a fit)
        self,
        samples: Sequence[Sample],
        scale: Scale,
        statistics: Statistics,
        params: FitParams,
        seed: int,
        device: torch.device,
        progress: Progress,
    ) -> None:
        """Fit the members. Raises NothingInCommonError if source and guide have no valid pixel in common."""
        self._sites = compared_parts(samples, scale)
        if not self._sites:
            raise NothingInCommonError(NOTHING_IN_COMMON)
        parts = [samples[number].cut(window, scale).to(device) for number, window in self._sites]
        self.fitted, self._layers, self._errors = fit_members(
            parts, scale, statistics, member_names(params), wanted=params.sensor, seed=seed, progress=progress
        )
        self._scale = scale

    @property
    def alignment(self) -> Alignment:
        """How the guide is moved and blurred before anything uses it."""
        return self.fitted.alignment

    def reduced(self, samples: Sequence[PreparedSample]) -> tuple[ReducedResolution, list[MembersEvidence]]:
        """Return the parts at reduced resolution, and what is known of the members there.

        Args:
            samples: The fit's samples, aligned.
        """
        parts = [samples[number].cut(window, self._scale) for number, window in self._sites]
        reduced = ReducedResolution(parts, self._scale)
        if not self.fitted.sensor.exact and min(reduced.shape_yx):
            reduced.sensor = reduced_sensor(self._layers, reduced.step)
        return reduced, members_evidence(self.fitted, self._layers, self._errors, reduced.step)


def _check_read_whole(samples: Sequence[Sample]) -> None:
    """Refuse a raster of which parts were read, where each step takes all of it (OptionError)."""
    if len(samples) > 1:
        height, width = samples[0].guide_valid.shape
        raise OptionError(
            f"the published fit uses the whole raster at every step, and this raster is too large to be read whole "
            f"({len(samples)} parts of {height} x {width} target pixels were read): "
            f"choose a smaller part with {option('bounds')}, or pass {option('fit', 'tile')}"
        )


def expected_pixel_steps(params: FitParams, shape_yx: tuple[int, int], scale: Scale) -> tuple[int, int]:
    """Return the least and the largest number of pixels times steps of a fit; its validation decides between them.

    Args:
        params: Steps, patches and stages of the fit.
        shape_yx: Source pixels of the raster, or of one of its samples, (h, w).
        scale: Target pixels per source pixel.
    """
    if not params.network:
        return 0, 0
    steps = params.steps or STEPS
    patch = params.patch_px or max(side * factor for side, factor in zip(shape_yx, (scale.y, scale.x), strict=True))
    step, fine, reduced = reduction_step(shape_yx, scale), 1, 1
    for side, factor, down in zip(shape_yx, (scale.y, scale.x), (step.y, step.x), strict=True):
        fine *= min(max(1, patch // factor), side) * factor
        reduced *= max(min(patch, side) // down, 1) * down
    fine, reduced = fine * params.batch, reduced * params.batch
    one_stage, two_stages = steps * fine, steps * reduced + FitDesign().second_stage_steps(steps) * fine
    smallest = min(side // down for side, down in zip(shape_yx, (step.y, step.x), strict=True))
    if params.compares_members:
        if smallest < SMALLEST_VALIDATED_PX:
            return 0, 0
        trial = TRIAL_STEPS * reduced if steps > TRIAL_STEPS else 0
        return trial or steps * reduced, trial + two_stages
    if params.first_stage is False or smallest < (1 if params.first_stage else SMALLEST_VALIDATED_PX):
        return one_stage, one_stage
    if params.first_stage:
        return two_stages, two_stages
    return min(two_stages, steps * reduced + one_stage), max(two_stages, steps * reduced + one_stage)


def adapt_model(  # noqa: PLR0913  (a model, what it is to learn, and how)
    model: FittedModel,
    samples: Sequence[Sample],
    params: FitParams,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    progress: Progress = no_progress,
) -> FittedModel:
    """Return the model after a few more steps at the true scale on samples of one tile, with the model's statistics.

    A model without a network is returned as it is.

    Raises:
        NothingInCommonError: No pixel is valid in both source and guide.
    """
    if model.stacking.network == 0:
        return model
    device = device or torch.device("cpu")
    with torch_threads(params.fixed_threads), deterministic_float32(device):
        prepared = [
            PreparedSample.of(
                model.alignment.applied(sample), model.statistics, model.scale, device, features=model.uses_features
            )
            for sample in samples
        ]
        fit = _Fit(prepared, model.scale, params, progress, seed)
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
"""One patch: guide (C, H, W), source on its grid, the reference (of the target or of its block means), and the mask of
the reference's pixels that the loss counts."""


class _Fit:
    """One fit while it runs: the network, the samples it learns from, and what is found at reduced resolution."""

    def __init__(  # noqa: PLR0913  (what is known of a fit)
        self,
        samples: Sequence[PreparedSample],
        scale: Scale,
        params: FitParams,
        progress: Progress,
        seed: int,
        design: FitDesign = FitDesign(),
        members: _ComparedMembers | None = None,
        start: FittedModel | None = None,
    ) -> None:
        self.samples, self.scale, self.params, self.progress, self.seed = samples, scale, params, progress, seed
        self.design, self.members, self.start = design, members, start
        self.reduced = ReducedResolution(samples, scale)
        self.shape = design.network(len(samples[0].guide))
        self.validation = Validation()
        self.pixel_steps = 0
        self.detail = detail_amplitude(samples, scale, over_bicubic=params.over_bicubic)
        self._begin()

    def _begin(self) -> None:
        """Draw fresh weights, or take those that the fit begins with, and restart the generator of the patches."""
        # Generators of its own: torch's global one is shared with whatever else runs in the process.
        weights, self.patches_generator = (torch.Generator().manual_seed(self.seed) for _ in range(2))
        with torch.device("meta"):
            network = MmsrNetwork(self.shape)
        network = network.to_empty(device="cpu").draw_weights(weights).to(self.samples[0].source.device)
        if self.start is not None:
            network.load_state_dict(self.start.weights)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch types no memory_format here

    def run(self, on_validation: Observer | None = None) -> dict[str, Any]:
        """Fit; return what is recorded in the model, as JSON values."""
        if self.members is not None:
            return self._run_beside(self.members, on_validation)
        record: dict[str, Any] = {"first_stage": False}
        steps = self.params.steps or STEPS
        sites = self._true_scale_sites()  # raises where there is nothing to learn from
        if self._first_stage_possible():
            loss = self._first_stage(steps, "first stage")
            if self.reduced.can_validate:
                predictor = self.reduced.network_predictor(self.network, self.detail)
                self.validation = self.reduced.validate(predictor)
                if on_validation is not None:
                    on_validation(self.validation)
            kept = self.validation.network_helped or bool(self.params.first_stage)
            record |= {"first_stage": kept, "first_stage_loss": loss}
            if kept:
                steps = self.design.second_stage_steps(steps)
            else:
                self._begin()
        loss = self._stage("fit", steps, self._true_scale_batch, sites)
        return record | {"steps": steps, "loss": loss, "pixel_steps": self.pixel_steps}

    def _run_beside(self, members: _ComparedMembers, on_validation: Observer | None) -> dict[str, Any]:
        """Fit the network as long as it has a weight beside the members; return what is recorded.

        A trial of TRIAL_STEPS comes before a longer first stage: where the network has no weight after it, more steps
        are not taken.
        """
        reduced, evidence = members.reduced(self.samples)
        self.validation = reduced.validate_members(evidence, guided=members.fitted.guided)
        steps = self.params.steps or STEPS
        record: dict[str, Any] = {"first_stage": False, "steps": 0}
        if not (self.params.network and self._first_stage_possible() and reduced.can_validate):
            return record | {"pixel_steps": self.pixel_steps}
        for tried in (TRIAL_STEPS, steps) if steps > TRIAL_STEPS else (steps,):
            self._begin()
            record["first_stage_loss"] = self._first_stage(tried, "first stage" if tried == steps else "trial")
            validation = reduced.validate_both(
                evidence,
                reduced.network_predictor(self.network, self.detail),
                reduced.coarser_predictor(self.network, self.detail),
                guided=members.fitted.guided,
            )
            if on_validation is not None:
                on_validation(validation)
            if not validation.network_helped:
                return record | {"pixel_steps": self.pixel_steps}
        self.validation = validation
        record |= {"first_stage": True, "steps": self.design.second_stage_steps(steps)}
        record["loss"] = self._stage("fit", record["steps"], self._true_scale_batch, self._true_scale_sites())
        return record | {"pixel_steps": self.pixel_steps}

    def _first_stage(self, steps: int, name: str) -> float:
        """Take steps at reduced resolution; return the mean loss of the last tenth."""
        return self._stage(name, steps, self._reduced_batch, self._reduced_sites())

    def model(self, statistics: Statistics, guide_bands: tuple[str, ...]) -> FittedModel:
        """Return the model that was fitted."""
        return FittedModel(
            self.network.params,
            self.scale,
            statistics,
            _weights(self.network) if self.validation.stacking.network else {},
            guide_bands,
            detail=self.detail,
            stacking=self.validation.stacking,
            members=None if self.members is None else self.members.fitted.to("cpu"),
            check=self.validation.check,
            interval=self.validation.interval,
        )

    def adapt(self) -> None:
        """Take the steps of a tile, from the weights that the network has."""
        self._stage("adapt", self.params.adapt_steps, self._true_scale_batch, self._true_scale_sites())

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
        optimiser = self.design.optimiser(groups, lr=self.params.lr)
        schedule = self._schedule(optimiser, steps)
        losses: list[Tensor] = []
        for step in range(steps):
            self.progress(name, step, steps)
            patches = [batch(*site) for site in sites.draw(self.params.batch, self.patches_generator)]
            guide, source, reference, mask = (torch.stack(parts) for parts in zip(*patches, strict=True))
            target = self._predict(guide.contiguous(memory_format=torch.channels_last), source)
            if target.shape != reference.shape:
                target = degrade(self._blurred(target), self.scale)
            loss = (F.l1_loss(target, reference, reduction="none") * mask).sum() / mask.sum().clamp_min(1)
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

    def _blurred(self, target: Tensor) -> Tensor:
        """Return a target (B, H, W) as the sensor blurs it before it averages."""
        if self.members is None:
            return target
        everywhere = torch.ones(target.shape[-2:], dtype=torch.bool, device=target.device)
        return smoothed(target, everywhere, self.members.fitted.sensor.blur_px(self.scale))

    def _predict(self, guide: Tensor, source: Tensor) -> Tensor:
        """(B, C, H, W) and (B, h, w) → (B, H, W)."""
        down, across = (fine // coarse for fine, coarse in zip(guide.shape[-2:], source.shape[-2:], strict=True))
        return add_detail(self.network(guide, source[:, None])[:, 0], source, Scale(down, across), self.detail)

    def _patch_px(self) -> int:
        """Return a patch's side in target pixels, at most the raster's."""
        height, width = self.samples[0].source.shape
        return self.params.patch_px or max(height * self.scale.y, width * self.scale.x)

    def _true_scale_sites(self) -> PatchSampler:
        scale, patch = self.scale, self._patch_px()
        return PatchSampler(
            [sample.fit_mask for sample in self.samples], (max(1, patch // scale.y), max(1, patch // scale.x))
        )

    def _true_scale_batch(self, index: int, site: Window) -> _Batch:
        """Return a patch at the true scale, where the source is the reference of the target's block means."""
        sample, (rows, columns) = self.samples[index], site.slices
        target_rows, target_columns = site.refined(self.scale).slices
        source = sample.source[rows, columns]
        mask = sample.fit_mask[rows, columns] & self._away_from_cuts(sample, site, self.scale.y, self.scale.x)
        return sample.guide[:, target_rows, target_columns], source, source, mask

    def _reduced_sites(self) -> PatchSampler:
        """Return the patches at reduced resolution, in source pixels, a whole multiple of the reduction each side."""
        height, width = self.samples[0].source.shape
        patch, step = self._patch_px(), self.reduced.step
        side_y, side_x = (max(min(patch, side) // s, 1) * s for side, s in ((height, step.y), (width, step.x)))
        return PatchSampler([sample.fit_mask & ~sample.validation for sample in self.samples], (side_y, side_x))

    def _reduced_batch(self, index: int, site: Window) -> _Batch:
        """Return a patch at reduced resolution, where the source is the reference of the target itself."""
        sample, (rows, columns) = self.samples[index], site.slices
        reference, valid = sample.source[rows, columns], sample.fit_mask[rows, columns]
        means, share = degrade_valid(reference, valid, self.reduced.step)
        mask = valid & ~sample.validation[rows, columns] & self._away_from_cuts(sample, site, 1, 1)
        return sample.reduced_guide[:, rows, columns], fill_nodata(means, share > 0.5), reference, mask

    def _away_from_cuts(self, sample: PreparedSample, site: Window, per_row: int, per_column: int) -> Tensor:
        """Return (h, w) bool: True where the receptive field of a patch's pixel lies within the patch.

        Beyond a cut the network is shown zeros, which it is not when it predicts; at the raster's own border it is.
        `per_row` and `per_column` are the pixels of the network's grid in each row and column. All True in a patch that
        is too small for any such pixel.
        """
        along = [
            inside(start, length, whole, math.ceil(self.network.receptive_field.guide_px / pixels))
            for start, length, whole, pixels in (
                (site.row, site.height, sample.source.shape[0], per_row),
                (site.col, site.width, sample.source.shape[1], per_column),
            )
        ]
        both = along[0][:, None] & along[1]
        return (both if bool(both.any()) else torch.ones_like(both)).to(sample.source.device)

    def _first_stage_possible(self) -> bool:
        """Return whether the first stage is run: if it is requested, or undecided and there are enough pixels.

        Raises OptionError if it is requested and there is nothing to learn from.
        """
        if self.params.first_stage is False:
            return False
        learnable = self.reduced.can_learn
        if self.params.first_stage and not learnable:
            height, width = self.samples[0].source.shape
            raise OptionError(
                f"first_stage=True has nothing to learn from at reduced resolution: {height} x {width} source pixels "
                f"are too few at scale {self.scale}, or they are nodata; leave out first_stage"
            )
        return bool(self.params.first_stage) or (learnable and self.reduced.can_validate)
