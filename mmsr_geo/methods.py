"""Where a pair's model comes from: a scene fit, a saved net, another method; what to do if the guide is no help."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any, Literal, Protocol

from mmsr_geo.baselines import Baseline
from mmsr_geo.baselines.interpolation import Interpolation
from mmsr_geo.baselines.job import FitJob
from mmsr_geo.errors import GuideWarning, MmsrWarning, NetFileError, OptionError, UnhelpfulGuideError
from mmsr_geo.geometry import Halo
from mmsr_geo.model import Model
from mmsr_geo.network.checking import GuideCheck
from mmsr_geo.network.features import PER_BAND
from mmsr_geo.network.fitted import FittedNet, net_reach
from mmsr_geo.network.fitting import Progress, fit_samples, no_progress
from mmsr_geo.network.mmsr import NetParams
from mmsr_geo.network.params import FitParams
from mmsr_geo.network.samples import Statistics
from mmsr_geo.pair import Pair
from mmsr_geo.quality import Quality, ValidRange
from mmsr_geo.sampling import read_samples
from mmsr_geo.upsampling import Upsampler, resolve_device

IfUnhelpful = Literal["bicubic", "warn", "error"]


class ModelSource(Protocol):
    """Where a pair's model comes from; what is known of it before it is there, and what becomes of it."""

    @property
    def consistent(self) -> bool:
        """Whether its targets are made to average to the source."""

    @property
    def description(self) -> dict[str, Any]:
        """What to record of it, as JSON values."""

    def reach(self, pair: Pair) -> Halo:
        """Source pixels, beyond a target pixel's own, that a prediction will depend on."""

    def for_pair(self, pair: Pair, progress: Progress = no_progress) -> Model:
        """Fit to the pair, or fetch what was fitted before."""

    def chosen(self, model: Model) -> Model:
        """Return what to predict with, given what the fit found out about the guide."""

    def falls_back(self, check: GuideCheck) -> bool:
        """Whether the consistent bicubic interpolation is given instead, after such a check."""


@dataclass(frozen=True, slots=True)
class SceneFit:
    """A scene fit still to be made."""

    params: FitParams = field(default_factory=FitParams)
    seed: int = 0
    device: str = "auto"
    if_unhelpful: IfUnhelpful = "bicubic"
    consistent: bool = True
    """Whether targets are made to average to the source; not so only to see what the published method gives."""

    def __post_init__(self) -> None:
        """Refuse a seed that torch does not take (OptionError)."""
        check_seed(self.seed)

    @property
    def description(self) -> dict[str, Any]:
        """The options of the fit."""
        return {
            "method": "mmsr",
            "fit": "scene",
            "seed": self.seed,
            "if_unhelpful": self.if_unhelpful,
            "consistent": self.consistent,
            **asdict(self.params),
        }

    def reach(self, pair: Pair) -> Halo:
        """As far as the network will look."""
        layers = len(pair.guide.bands) * (PER_BAND if self.params.guide_features else 1)
        return net_reach(NetParams(layers), pair.scale, features=self.params.guide_features, mixed=self.params.mixed)

    def for_pair(self, pair: Pair, progress: Progress = no_progress) -> FittedNet:
        """Fit a net to the pair's part.

        Raises PixelError when source and guide have no valid pixel in common, UnhelpfulGuideError where the guide did
        not help and that is to be an error.
        """
        net = fit_samples(
            read_samples(pair, pair.part, progress),
            pair.scale,
            self.params,
            guide_bands=pair.guide.bands,
            seed=self.seed,
            device=resolve_device(self.device),
            progress=progress,
            provenance={"source": pair.source.name, "guide": pair.guide.name},
        )
        tell(net.check, pair, self.if_unhelpful)
        return net

    def chosen(self, model: Model) -> Model:
        """Return the net, or the bicubic interpolation where the guide did not help."""
        return helpful(model, self.if_unhelpful)

    def falls_back(self, check: GuideCheck) -> bool:
        """Where the guide did not help and that is what shall be done."""
        return falls_back(check, self.if_unhelpful)


@dataclass(frozen=True, slots=True)
class SavedNet:
    """A net fitted before."""

    net: FittedNet
    keep_statistics: bool = False
    if_unhelpful: IfUnhelpful = "bicubic"

    @property
    def consistent(self) -> bool:
        """A net's targets always average to the source."""
        return True

    @property
    def description(self) -> dict[str, Any]:
        """Which net, and how it is used."""
        return {
            "method": "mmsr",
            "net": self.net.digest,
            "keep_statistics": self.keep_statistics,
            "if_unhelpful": self.if_unhelpful,
        }

    def reach(self, pair: Pair) -> Halo:
        """As far as the net looks; raises NetFileError for another number of guide bands or another scale."""
        check_net(self.net, pair)
        return self.net.reach

    def for_pair(self, pair: Pair, progress: Progress = no_progress) -> FittedNet:
        """Return the net, its statistics taken anew from the whole pair unless kept.

        Raises NetFileError when the net is for another number of guide bands or another scale.
        """
        check_net(self.net, pair)
        tell(self.net.check, pair, self.if_unhelpful)
        if self.keep_statistics:
            return self.net
        return self.net.with_statistics(Statistics.of(read_samples(pair, pair.whole, progress)))

    def chosen(self, model: Model) -> Model:
        """Return the net, or the bicubic interpolation where its guide had not helped."""
        return helpful(model, self.if_unhelpful)

    def falls_back(self, check: GuideCheck) -> bool:
        """Where the guide had not helped and that is what shall be done."""
        return falls_back(check, self.if_unhelpful)

    def __dask_tokenize__(self) -> object:
        """Identify the net by its content and what its fit found out: that decides what is given."""
        net = self.net
        return type(self).__name__, net.digest, net.check, net.interval, self.keep_statistics, self.if_unhelpful


@dataclass(frozen=True, slots=True)
class OtherMethod:
    """A method of the table in `baselines`, as its authors gave it or made consistent."""

    name: str
    method: Baseline
    consistent: bool = False
    seed: int = 0
    device: str = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        """Refuse a seed that torch does not take (OptionError)."""
        check_seed(self.seed)

    @property
    def description(self) -> dict[str, Any]:
        """The method and its options."""
        options: dict[str, Any] = asdict(self.method) if is_dataclass(self.method) else {}
        return {"method": self.name, "consistent": self.consistent, "seed": self.seed, **options}

    def reach(self, pair: Pair) -> Halo:
        """As far as the method looks."""
        return self.method.reach(pair.scale)

    def for_pair(self, pair: Pair, progress: Progress = no_progress) -> Model:
        """Fit the method to the pair's part; raises PixelError where there is nothing to fit to."""
        samples = read_samples(pair, pair.part, progress) if self.method.reads_samples else []
        device = resolve_device(self.device)
        job = FitJob(pair.scale, pair.whole.shape, device, self.seed, self.threads, progress)
        return self.method.fit(samples, job)

    def chosen(self, model: Model) -> Model:
        """Return what was asked for."""
        return model

    def falls_back(self, check: GuideCheck) -> bool:  # noqa: ARG002  (it asks for no check)
        """Never."""
        return False


def fitted_before(model: Model, method: ModelSource) -> ModelSource:
    """Return the use of a net that a method has fitted to another pair; raises OptionError where that is no net."""
    if not isinstance(model, FittedNet) or not isinstance(method, SceneFit):
        name = method.description["method"]
        raise OptionError(f"only a scene's net can serve several pairs, and {name} has none: leave out net")
    return SavedNet(model, if_unhelpful=method.if_unhelpful)


def check_seed(seed: int) -> None:
    """Refuse a seed that torch does not take (OptionError)."""
    if not -(2**63) <= seed < 2**64:
        raise OptionError(f"a seed is a whole number of 64 bits, as in --seed 1 (seed=1), not {seed}")


def falls_back(check: GuideCheck, if_unhelpful: IfUnhelpful) -> bool:
    """Whether the consistent bicubic interpolation is given instead of the net's word."""
    return if_unhelpful == "bicubic" and check.verdict == "unhelpful"


def helpful(model: Model, if_unhelpful: IfUnhelpful) -> Model:
    """Return the model, or the bicubic interpolation where its guide did not help and that is what shall be done."""
    if falls_back(check_of(model), if_unhelpful):
        return Interpolation("bicubic", model.scale)
    return model


def upsampler_of(
    method: ModelSource,
    model: Model,
    device: str = "auto",
    valid_range: ValidRange | None = None,
    *,
    uncertain: bool = False,
) -> Upsampler:
    """Put to work what a method predicts with, given what its fit found out about the guide.

    uncertain: tell the target's uncertainty, NaN where the fit could not calibrate it.
    """
    check, chosen = check_of(model), method.chosen(model)
    seen = chosen.seen_range if isinstance(chosen, FittedNet) else None
    # A saved net's regions are places in the raster that it was fitted to, which need not be this one.
    here = GuideCheck() if isinstance(method, SavedNet) else check
    quality = Quality(here, method.falls_back(check), seen, valid_range)
    interval = model.source_interval if isinstance(model, FittedNet) else None
    return Upsampler.of(
        chosen, device, consistent=method.consistent, quality=quality, uncertain=uncertain, interval=interval
    )


def samples_pixels(method: ModelSource) -> bool:
    """Whether `for_pair` reads pixels from all over the raster."""
    match method:
        case OtherMethod():
            return method.method.reads_samples
        case SavedNet():
            return not method.keep_statistics
        case _:
            return True


def calibrates(method: ModelSource) -> bool:
    """Whether it may know how far its targets are off: the net of a scene does, but for the published fit's."""
    match method:
        case SavedNet():
            return True
        case SceneFit():
            return method.params.schedule != "published" or method.params.first_stage is not False
        case _:
            return False


def is_calibrated(model: Model) -> bool:
    """Whether it is known how far the model's targets may be off."""
    return isinstance(model, FittedNet) and model.interval is not None


def tell_uncalibrated(model: Model, method: ModelSource, pair: Pair) -> None:
    """Warn where that is not known, and was asked for."""
    if is_calibrated(model):
        return
    if isinstance(method, SavedNet):
        why, mend = "the saved net knows none", "fit anew, to a larger part or at a smaller scale"
    elif isinstance(method, SceneFit) and method.params.first_stage is False:
        why, mend = "first_stage=False leaves its check one level down out", "leave that out of params="
    else:
        why, mend = (
            "too little of the source is there to judge one level down",
            "give a larger part, or a smaller scale",
        )
    warnings.warn(
        f"{pair.source.name}: the uncertainty is not calibrated ({why}) and a hole everywhere: {mend}",
        MmsrWarning,
        stacklevel=2,
    )


def check_of(model: Model) -> GuideCheck:
    """Return what the model's fit found out about the guide; nothing where it is no net."""
    return model.check if isinstance(model, FittedNet) else GuideCheck()


def tell(check: GuideCheck, pair: Pair, if_unhelpful: IfUnhelpful) -> None:
    """Warn where the guide did not help, or raise UnhelpfulGuideError if that is to be an error."""
    if check.verdict != "unhelpful":
        return
    found = f"{pair.guide.name} for {pair.source.name}: {check.sentence}"
    if if_unhelpful == "error":
        raise UnhelpfulGuideError(
            f"{found}; give another guide, or choose --if-unhelpful (if_unhelpful=) bicubic or warn"
        )
    done = "the consistent bicubic interpolation is given" if if_unhelpful == "bicubic" else "it is used all the same"
    warnings.warn(f"{found}; {done}", GuideWarning, stacklevel=2)


def check_net(net: FittedNet, pair: Pair) -> None:
    """Refuse a net that is for another kind of pair."""
    bands = pair.guide.bands
    if len(bands) != len(net.guide_bands):
        raise NetFileError(
            f"the net is for {len(net.guide_bands)} guide bands ({', '.join(net.guide_bands)}), "
            f"this guide has {len(bands)} ({', '.join(bands)}): give a guide with the same bands, or fit anew"
        )
    if net.scale != pair.scale:
        raise NetFileError(
            f"the net is for scale {net.scale}, this pair has {pair.scale}: pass "
            f"--scale {net.scale} (scale=), or fit anew"
        )
