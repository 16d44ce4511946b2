"""Methods with one model for the scene: a scene fit, and the use of a saved model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import torch

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.engine.model import Model
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.sampling import read_samples
from mmsr_geo.engine.tiling import PredictedBy
from mmsr_geo.errors import ModelFileError
from mmsr_geo.geometry import Halo, Scale, Tiling
from mmsr_geo.methods.base import FitSpeed, Method, report_guide_check
from mmsr_geo.network.device import resolve_device
from mmsr_geo.network.fit import expected_pixel_steps, fit_samples, member_names
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.network.fitted import FittedModel, expected_receptive_field
from mmsr_geo.network.guide_features import PER_BAND
from mmsr_geo.network.members.fit import MOST_TARGET_PX, with_equal_weights
from mmsr_geo.network.members.fitted import farthest_members_receptive_field
from mmsr_geo.network.members.layers import AS_IT_IS
from mmsr_geo.network.members.sensor import FARTHEST_ALIGNMENT
from mmsr_geo.network.mmsr import NetworkParams
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.network.stacking import StackingWeights
from mmsr_geo.options import IfUnhelpful, Quality, check_seed
from mmsr_geo.raster.views.classes import class_of
from mmsr_geo.spelling import option

_TIMED_STEPS = 4
_TIMED_PATCH_PX = 192


@dataclass(frozen=True, slots=True)
class SceneFit(Method):
    """Fit of one model to the whole scene."""

    params: FitParams = field(default_factory=FitParams)
    seed: int = 0
    device: str = "auto"
    if_unhelpful: IfUnhelpful = "interpolate"
    start: FittedModel | None = None
    """Model of another date, whose network the fit begins with."""
    consistent: bool = True
    """Correct the targets to average to the source; False only to show what the published method gives."""

    def __post_init__(self) -> None:
        """Refuse a seed that torch does not take (OptionError)."""
        check_seed(self.seed)

    @property
    def description(self) -> dict[str, Any]:
        """Name and options of the fit, as JSON values."""
        return {
            "method": "mmsr",
            "fit": "scene",
            "seed": self.seed,
            "if_unhelpful": self.if_unhelpful,
            "consistent": self.consistent,
            **({} if self.start is None else {"from_model": self.start.digest}),
            **self.params.description,
        }

    @property
    def predicted_by(self) -> PredictedBy:
        """The network, members that take seconds, or both."""
        if not self.params.network:
            return "members"
        return "both" if self.params.compares_members else "network"

    @property
    def calibrates(self) -> bool:
        """True but for the published fit, which makes no guide check to calibrate with."""
        return self.params.schedule != "published" or self.params.first_stage is not False

    @property
    def uncalibrated_advice(self) -> str:
        """Reason why the model has no calibrated uncertainty, and what to do about it."""
        if self.params.first_stage is False:
            return f"first_stage=False leaves out the guide check; leave first_stage out of {option('params')}"
        # Not super() alone: slots=True replaces the class that it would refer to.
        return super(SceneFit, self).uncalibrated_advice

    @property
    def presets(self) -> Mapping[Quality, Method]:
        """The same fit in each quality; empty if its params are not those of a quality."""
        presets = {quality: FitParams.of(quality, threads=self.params.threads) for quality in get_args(Quality)}
        if self.params not in presets.values():
            return {}
        return {quality: replace(self, params=params) for quality, params in presets.items()}

    @property
    def model_bands(self) -> tuple[str, ...] | None:
        """Guide bands of the model that the fit begins with; None without one."""
        return None if self.start is None else self.start.guide_bands

    def receptive_field(self, pair: Pair) -> Halo:
        """Return the source pixels around a target pixel's own that the network will depend on."""
        members = self.params.compares_members
        of_members = farthest_members_receptive_field(pair.scale, member_names(self.params), self.params.sensor)
        if not self.params.network:
            return of_members
        layers = len(pair.guide.bands) * (PER_BAND if self.params.guide_features else 1)
        network = expected_receptive_field(
            NetworkParams(layers),
            pair.scale,
            features=self.params.guide_features,
            alignment=FARTHEST_ALIGNMENT if members else AS_IT_IS,
        )
        return network.union(of_members) if members else network

    def model_for(self, pair: Pair, progress: Progress = no_progress) -> FittedModel:
        """Fit a model to the pair's part.

        Raises:
            PixelError: Source and guide have no valid pixel in common.
            UnhelpfulGuideError: The guide did not help, and if_unhelpful is "error".
        """
        if self.start is not None:
            check_start(self.start, self.params, pair)
        model = fit_samples(
            read_samples(pair, pair.part, progress),
            pair.scale,
            self.params,
            guide_bands=pair.guide.bands,
            seed=self.seed,
            device=resolve_device(self.device),
            progress=progress,
            provenance={
                "source": pair.source.name,
                "guide": pair.guide.name,
                **({} if self.start is None else {"from_model": self.start.digest}),
            },
            start=self.start,
        )
        report_guide_check(model.check, pair, self.if_unhelpful)
        return model

    def reuse(self, model: Model) -> Method:
        """Return the method that uses a model which this one has fitted to another pair."""
        if not isinstance(model, FittedModel):
            return super(SceneFit, self).reuse(model)  # see uncalibrated_advice
        return SavedModel(model, if_unhelpful=self.if_unhelpful)

    def pixel_steps(self, pair: Pair, tiling: Tiling) -> tuple[int, int]:  # noqa: ARG002  (one fit for all tiles)
        """Return the least and the most target pixels times steps of the fit: the guide check decides."""
        sampled = next(pair.sample_sites(pair.part))[0]
        return expected_pixel_steps(self.params, sampled.shape, pair.scale)

    def compared_px(self, pair: Pair, tiling: Tiling) -> int:  # noqa: ARG002  (one fit for all tiles)
        """Return the target pixels that the fit compares members on."""
        part_px = pair.part.height * pair.part.width * pair.scale.area
        return min(part_px, MOST_TARGET_PX) if self.params.compares_members else 0

    def __dask_tokenize__(self) -> object:
        """Identify the fit by its description."""
        return type(self).__name__, self.device, self.description

    def timed_fit(self, sample: Sample, scale: Scale, threads: int, device: torch.device) -> tuple[Model, FitSpeed]:
        """Fit to a sample: the model, with all parts that it may have, and the speed of the fit.

        Neither blur nor noise is estimated: synthetic pixels are noise, and most sources show none.
        """
        params = replace(self.params, threads=threads, sensor=self.params.sensor.without_estimates)
        bands = tuple(map(str, range(len(sample.guide))))
        speed, members, model = FitSpeed(), None, None
        if params.compares_members:
            began = time.perf_counter()
            alone = replace(params, network=False, steps=None)
            model = fit_samples([sample], scale, alone, guide_bands=bands, device=device)
            speed = FitSpeed(s_per_compared_px=(time.perf_counter() - began) / sample.guide_valid.numel())
            if model.members is not None:
                members = with_equal_weights(model.members, sample, model.statistics, scale, member_names(params))
                model = replace(model, members=members)
        if model is not None and not params.network:
            return model, speed

        def fit(steps: int) -> FittedModel:
            few = replace(params, steps=steps, first_stage=False)
            return fit_samples([sample], scale, few, guide_bands=bands, device=device)

        fit(1)
        began = time.perf_counter()
        model = fit(_TIMED_STEPS)
        side = min(params.patch_px or _TIMED_PATCH_PX, *sample.guide_valid.shape)
        patch_px = (side // scale.y * scale.y) * (side // scale.x * scale.x)
        seconds = (time.perf_counter() - began) / (patch_px * params.batch * _TIMED_STEPS)
        if members is not None:
            model = replace(model, stacking=StackingWeights(network=0.5, members=0.5), members=members)
        return model, replace(speed, s_per_px_step=seconds)


@dataclass(frozen=True, slots=True)
class SavedModel(Method):
    """Use of a model that was fitted before."""

    model: FittedModel
    keep_statistics: bool = False
    if_unhelpful: IfUnhelpful = "interpolate"

    @property
    def description(self) -> dict[str, Any]:
        """Digest of the model and options of its use, as JSON values."""
        return {
            "method": "mmsr",
            "model": self.model.digest,
            "keep_statistics": self.keep_statistics,
            "if_unhelpful": self.if_unhelpful,
        }

    @property
    def predicted_by(self) -> PredictedBy:
        """The parts of the model that have a weight."""
        if not self.model.stacking.network:
            return "members"
        return "both" if self.model.stacking.members else "network"

    @property
    def samples_pixels(self) -> bool:
        """True if the statistics are taken from the pair."""
        return not self.keep_statistics

    @property
    def fits_pair(self) -> bool:
        """False: the model was fitted to another pair."""
        return False

    @property
    def calibrates(self) -> bool:
        """True: the fit may have calibrated the model."""
        return True

    @property
    def uncalibrated_advice(self) -> str:
        """Reason why the model has no calibrated uncertainty, and what to do about it."""
        return "the saved model has no calibration; fit a model again, to a larger part or at a smaller scale"

    @property
    def model_scale(self) -> Scale | None:
        """Scale of the model."""
        return self.model.scale

    @property
    def model_bands(self) -> tuple[str, ...] | None:
        """Guide bands of the model."""
        return self.model.guide_bands

    def receptive_field(self, pair: Pair) -> Halo:
        """Return the source pixels around a target pixel's own that the model depends on.

        Raises:
            ModelFileError: The model is for another number of guide bands or another scale.
        """
        check_model(self.model, pair)
        return self.model.receptive_field

    def model_for(self, pair: Pair, progress: Progress = no_progress) -> FittedModel:
        """Return the model, with the statistics of the whole pair unless its own are kept.

        Raises:
            ModelFileError: The model is for another number of guide bands or another scale.
            UnhelpfulGuideError: The guide of its fit did not help, and if_unhelpful is "error".
        """
        check_model(self.model, pair)
        report_guide_check(self.model.check, pair, self.if_unhelpful)
        if self.keep_statistics:
            return self.model
        return self.model.with_statistics(Statistics.of(read_samples(pair, pair.whole, progress)))

    def pixel_steps(self, pair: Pair, tiling: Tiling) -> tuple[int, int]:  # noqa: ARG002  (nothing is fitted)
        """Return (0, 0): nothing is fitted."""
        return 0, 0

    def timed_fit(self, sample: Sample, scale: Scale, threads: int, device: torch.device) -> tuple[Model, FitSpeed]:  # noqa: ARG002  (nothing is fitted)
        """Return the model itself, and no time: nothing is fitted."""
        return self.model, FitSpeed()

    def __dask_tokenize__(self) -> object:
        """Identify the model by its digest, its guide check and its calibration, which decide the result."""
        model = self.model
        return type(self).__name__, model.digest, model.check, model.interval, self.keep_statistics, self.if_unhelpful


def check_model(model: FittedModel, pair: Pair) -> None:
    """Raise ModelFileError if a model is for another number of guide bands or another scale."""
    bands = pair.guide.bands
    if len(bands) != len(model.guide_bands):
        raise ModelFileError(
            f"the model is for {len(model.guide_bands)} guide bands ({', '.join(model.guide_bands)}), "
            f"this guide has {len(bands)} ({', '.join(bands)}): use a guide with the same bands, or fit a new model"
        )
    _refuse_other_classes(model, bands)
    if model.scale != pair.scale:
        raise ModelFileError(
            f"the model is for scale {model.scale}, this pair has scale {pair.scale}: pass "
            f"{option('scale', model.scale.as_option)}, or fit a new model"
        )


def check_start(start: FittedModel, params: FitParams, pair: Pair) -> None:
    """Raise ModelFileError if a fit to a pair cannot begin with a model's network."""
    if not start.weights:
        raise ModelFileError(
            f"the model of {option('from_model')} has no network to begin with: leave it out, or pass "
            f"{option('model')} to use it as it is"
        )
    bands = len(pair.guide.bands)
    if start.params != NetworkParams(bands * (PER_BAND if params.guide_features else 1)):
        raise ModelFileError(
            f"the network of {option('from_model')} is for {len(start.guide_bands)} guide bands, and this guide has "
            f"{bands}: use a guide with the same bands, or leave out {option('from_model')}"
        )
    _refuse_other_classes(start, pair.guide.bands)


def _refuse_other_classes(model: FittedModel, bands: Sequence[str]) -> None:
    """Refuse a guide of which a band is of another class than that of the model, or of a class where that is not."""
    for ours, theirs in zip(model.guide_bands, bands, strict=True):
        if class_of(ours) != class_of(theirs):
            raise ModelFileError(
                f"the model is for the guide band {ours}, and this guide has {theirs} in its place: use a guide with "
                f"the same classes, named in {option('guide_classes')} if it does not declare them, or fit a new model"
            )
