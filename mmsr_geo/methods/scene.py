"""Where a pair's model comes from: a scene fit, a saved net, another method; what to do if the guide is no help."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.engine.model import Model
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.sampling import read_samples
from mmsr_geo.errors import NetFileError
from mmsr_geo.geometry import Halo
from mmsr_geo.methods.source import falls_back, helpful, tell
from mmsr_geo.network.device import resolve_device
from mmsr_geo.network.fit import fit_samples
from mmsr_geo.network.fitted import FittedNet, net_reach
from mmsr_geo.network.guide_check import GuideCheck
from mmsr_geo.network.guide_features import PER_BAND
from mmsr_geo.network.mmsr import NetParams
from mmsr_geo.network.params import FitParams
from mmsr_geo.network.samples import Statistics
from mmsr_geo.options import IfUnhelpful, check_seed


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
