"""The scene fit of a pair of rasters: the windows it reads, and the net that comes out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from mmsr_geo.errors import NetFileError, PixelError
from mmsr_geo.geometry import Window
from mmsr_geo.network.fitted import FittedNet
from mmsr_geo.network.fitting import FitParams, Progress, fit_samples, no_progress
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.pair import Pair
from mmsr_geo.upsampling import resolve_device, sample_of

ENOUGH_VALID = 0.25
"""Share of a sampled window that must be valid; windows below it serve only where no better one is found."""


class NetSource(Protocol):
    """Where a pair's net comes from: a fit, or a saved net."""

    def for_pair(self, pair: Pair, progress: Progress = no_progress) -> FittedNet:
        """Return the net that the pair's tiles are predicted with."""

    @property
    def description(self) -> dict[str, Any]:
        """What to record of it, as JSON values."""


@dataclass(frozen=True, slots=True)
class SceneFit:
    """A fit still to be made."""

    params: FitParams = field(default_factory=FitParams)
    seed: int = 0
    device: str = "auto"

    def for_pair(self, pair: Pair, progress: Progress = no_progress) -> FittedNet:
        """Fit a net to the pair's part.

        Raises PixelError when source and guide have no valid pixel in common.
        """
        return fit_samples(
            read_samples(pair, pair.part, progress),
            pair.scale,
            self.params,
            guide_bands=pair.guide.guide.bands,
            seed=self.seed,
            device=resolve_device(self.device),
            progress=progress,
            provenance={"source": pair.source.name, "guide": pair.guide.guide.name},
        )

    @property
    def description(self) -> dict[str, Any]:
        """The options of the fit."""
        return {"fit": "scene", "seed": self.seed, **asdict(self.params)}


@dataclass(frozen=True, slots=True)
class SavedNet:
    """A net fitted before."""

    net: FittedNet
    keep_statistics: bool = False

    def for_pair(self, pair: Pair, progress: Progress = no_progress) -> FittedNet:
        """Return the net, its statistics taken anew from the whole pair unless kept.

        Raises NetFileError when the net is for another number of guide bands or another scale.
        """
        check_net(self.net, pair)
        if self.keep_statistics:
            return self.net
        return self.net.with_statistics(Statistics.of(read_samples(pair, pair.whole, progress)))

    @property
    def description(self) -> dict[str, Any]:
        """Which net, and how it is used."""
        return {"net": self.net.digest, "keep_statistics": self.keep_statistics}

    def __dask_tokenize__(self) -> object:
        """Identify the net by its content."""
        return type(self).__name__, self.net.digest, self.keep_statistics


def check_net(net: FittedNet, pair: Pair) -> None:
    """Refuse a net that is for another kind of pair."""
    bands = pair.guide.guide.bands
    if len(bands) != len(net.guide_bands):
        raise NetFileError(
            f"the net is for {len(net.guide_bands)} guide bands ({', '.join(net.guide_bands)}), "
            f"this guide has {len(bands)} ({', '.join(bands)}): give a guide with the same bands, or fit anew"
        )
    if net.scale != pair.scale:
        raise NetFileError(f"the net is for scale {net.scale}, this pair has {pair.scale}: pass --scale or fit anew")


def read_samples(pair: Pair, within: Window, progress: Progress) -> list[Sample]:
    """Read what a fit sees: windows spread over the raster where source and guide are valid."""
    samples: list[Sample] = []
    reserve: list[Sample] = []
    wanted = 0
    for sites in pair.sample_sites(within):
        wanted = wanted or len(sites)
        for window in sites:
            if len(samples) >= wanted:
                break
            progress("sample", len(samples), wanted)
            source = pair.source.read(window)
            if not source.valid.any():
                continue
            guide = pair.guide.read(window.refined(pair.scale))
            share = min(source.valid.mean(), guide.valid.mean())
            if share >= ENOUGH_VALID:
                samples.append(sample_of(source, guide))
            elif share > 0 and len(reserve) < wanted:
                reserve.append(sample_of(source, guide))
    progress("sample", wanted, wanted)
    samples = samples + reserve[: wanted - len(samples)]
    if not samples:
        raise PixelError(
            f"source {pair.source.name} and guide {pair.guide.guide.name} hold no valid pixel in common where they "
            f"were looked for: check their nodata values and that they show the same place"
        )
    return samples
