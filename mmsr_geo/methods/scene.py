"""Where a pair's model comes from: a scene fit, a saved model, another method; what to do if the guide is no help."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.engine.model import Model
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.sampling import read_samples
from mmsr_geo.errors import ModelFileError
from mmsr_geo.geometry import Halo
from mmsr_geo.methods.source import model_or_fallback, report_guide_check, uses_fallback
from mmsr_geo.network.device import resolve_device
from mmsr_geo.network.fit import fit_samples
from mmsr_geo.network.fitted import FittedModel, expected_receptive_field
from mmsr_geo.network.guide_check import GuideCheck
from mmsr_geo.network.guide_features import PER_BAND
from mmsr_geo.network.mmsr import NetworkParams
from mmsr_geo.network.params import FitParams
from mmsr_geo.network.samples import Statistics
from mmsr_geo.options import IfUnhelpful, check_seed
from mmsr_geo.spelling import option


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

    def receptive_field(self, pair: Pair) -> Halo:
        """As far as the network will look."""
        layers = len(pair.guide.bands) * (PER_BAND if self.params.guide_features else 1)
        return expected_receptive_field(
            NetworkParams(layers), pair.scale, features=self.params.guide_features, ensemble=self.params.ensemble
        )

    def model_for(self, pair: Pair, progress: Progress = no_progress) -> FittedModel:
        """Fit a model to the pair's part.

        Raises PixelError when source and guide have no valid pixel in common, UnhelpfulGuideError where the guide did
        not help and that is to be an error.
        """
        model = fit_samples(
            read_samples(pair, pair.part, progress),
            pair.scale,
            self.params,
            guide_bands=pair.guide.bands,
            seed=self.seed,
            device=resolve_device(self.device),
            progress=progress,
            provenance={"source": pair.source.name, "guide": pair.guide.name},
        )
        report_guide_check(model.check, pair, self.if_unhelpful)
        return model

    def model_or_fallback(self, model: Model) -> Model:
        """Return the model, or the bicubic interpolation where the guide did not help."""
        return model_or_fallback(model, self.if_unhelpful)

    def uses_fallback(self, check: GuideCheck) -> bool:
        """Where the guide did not help and that is what shall be done."""
        return uses_fallback(check, self.if_unhelpful)


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A model fitted before."""

    model: FittedModel
    keep_statistics: bool = False
    if_unhelpful: IfUnhelpful = "bicubic"

    @property
    def consistent(self) -> bool:
        """A model's targets always average to the source."""
        return True

    @property
    def description(self) -> dict[str, Any]:
        """Which model, and how it is used."""
        return {
            "method": "mmsr",
            "model": self.model.digest,
            "keep_statistics": self.keep_statistics,
            "if_unhelpful": self.if_unhelpful,
        }

    def receptive_field(self, pair: Pair) -> Halo:
        """As far as the model looks; raises ModelFileError for another number of guide bands or another scale."""
        check_model(self.model, pair)
        return self.model.receptive_field

    def model_for(self, pair: Pair, progress: Progress = no_progress) -> FittedModel:
        """Return the model, its statistics taken anew from the whole pair unless kept.

        Raises ModelFileError when the model is for another number of guide bands or another scale.
        """
        check_model(self.model, pair)
        report_guide_check(self.model.check, pair, self.if_unhelpful)
        if self.keep_statistics:
            return self.model
        return self.model.with_statistics(Statistics.of(read_samples(pair, pair.whole, progress)))

    def model_or_fallback(self, model: Model) -> Model:
        """Return the model, or the bicubic interpolation where its guide had not helped."""
        return model_or_fallback(model, self.if_unhelpful)

    def uses_fallback(self, check: GuideCheck) -> bool:
        """Where the guide had not helped and that is what shall be done."""
        return uses_fallback(check, self.if_unhelpful)

    def __dask_tokenize__(self) -> object:
        """Identify the model by its content and what its fit found out: that decides what is given."""
        model = self.model
        return type(self).__name__, model.digest, model.check, model.interval, self.keep_statistics, self.if_unhelpful


def check_model(model: FittedModel, pair: Pair) -> None:
    """Refuse a model that is for another kind of pair."""
    bands = pair.guide.bands
    if len(bands) != len(model.guide_bands):
        raise ModelFileError(
            f"the model is for {len(model.guide_bands)} guide bands ({', '.join(model.guide_bands)}), "
            f"this guide has {len(bands)} ({', '.join(bands)}): give a guide with the same bands, or fit anew"
        )
    if model.scale != pair.scale:
        raise ModelFileError(
            f"the model is for scale {model.scale}, this pair has {pair.scale}: pass "
            f"{option('scale', model.scale.as_option)}, or fit anew"
        )
