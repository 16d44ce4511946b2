"""One job in this process: fit, predict tile by tile, write one COG; flat in memory, whole or nothing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mmsr_geo._version import __version__
from mmsr_geo.baselines import CONSISTENT
from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Tiling
from mmsr_geo.methods import ModelSource, OtherMethod
from mmsr_geo.model import Model
from mmsr_geo.network.checking import GuideCheck
from mmsr_geo.network.fitted import FittedNet
from mmsr_geo.network.fitting import Progress, no_progress
from mmsr_geo.pair import Pair
from mmsr_geo.raster.writing import CogWriter, output_nodata, with_nodata
from mmsr_geo.running import run_of


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job made."""

    path: Path
    models: tuple[Model, ...]
    """One for each band, as it was fitted."""
    checks: tuple[GuideCheck, ...]
    """What is known of the guide, for each band."""
    scale: str
    shape_yx: tuple[int, int]
    tiles: int
    seconds: float

    @property
    def net(self) -> FittedNet:
        """The first band's net; raises OptionError where it was made without one."""
        if not isinstance(self.models[0], FittedNet):
            raise OptionError(f"{self.path} was made without a scene's net: there is none to save")
        return self.models[0]


def write_target(  # noqa: PLR0913  (what a job is made of)
    pairs: Sequence[Pair],
    method: ModelSource,
    tiling: Tiling,
    output: str | os.PathLike[str],
    *,
    device: str = "auto",
    threads: int = 1,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Outcome:
    """Upsample the pairs, one a band and all on one grid, into a Cloud Optimized GeoTIFF.

    The output appears under its name when it is whole; an exception, Ctrl-C included, leaves nothing behind. Raises
    OutputError where it cannot be written, PixelError where there is nothing to fit.
    """
    started = time.monotonic()
    first = pairs[0]
    nodata = output_nodata(first.source.nodata)
    models: list[Model] = []
    checks: list[GuideCheck] = []
    with CogWriter(
        output,
        first.target_grid,
        bands=len(pairs),
        nodata=nodata,
        band_tags=[tags for pair in pairs for tags in pair.source.band_tags],
        overwrite=overwrite,
    ) as writer:
        for number, pair in enumerate(pairs, start=1):
            report = progress if len(pairs) == 1 else _labelled(progress, f"band {number} of {len(pairs)}: ")
            model = method.for_pair(pair, report)
            run = run_of(
                pair, method, model, tiling, device=device, threads=threads, progress=report, scratch=writer.scratch
            )
            for tile, made in run.targets():
                place = tile.core.relative_to(pair.part).refined(pair.scale)
                writer.write(place, with_nodata(made.values, nodata)[np.newaxis], bands=(number,))
            models.append(model)
            checks.append(run.check)
        progress("write", 0, 1)
        writer.finish(tags=_tags(pairs, models, checks, method))
        progress("write", 1, 1)
    return Outcome(
        Path(output),
        tuple(models),
        tuple(checks),
        str(first.scale),
        first.target_grid.shape.yx,
        len(tiling) * len(pairs),
        time.monotonic() - started,
    )


def _labelled(progress: Progress, label: str) -> Progress:
    return lambda stage, done, total: progress(label + stage, done, total)


def _tags(
    pairs: Sequence[Pair], models: Sequence[Model], checks: Sequence[GuideCheck], method: ModelSource
) -> dict[str, str]:
    """Say in the file how it came to be."""
    first = pairs[0]
    options = {"scale": str(first.scale), "part": asdict(first.part), **method.description}
    name = str(options["method"])
    if isinstance(method, OtherMethod) and method.consistent:
        name += CONSISTENT
    used = ["bicubic+consistency" if method.falls_back(check) else name for check in checks]
    gains = ["unknown" if check.gain is None else f"{check.gain:.4f}" for check in checks]
    return {
        "MMSR_GEO_VERSION": __version__,
        "MMSR_GEO_SOURCE": first.source.name,
        "MMSR_GEO_GUIDE": first.guide.name,
        "MMSR_GEO_METHOD": ",".join(used),
        "MMSR_GEO_NET": ",".join(model.digest for model in models),
        "MMSR_GEO_SEED": str(options.get("seed", "")),
        "MMSR_GEO_GUIDE_GAIN": ",".join(gains),
        "MMSR_GEO_GUIDE_VERDICT": ",".join(check.verdict for check in checks),
        "MMSR_GEO_OPTIONS": json.dumps(options),
    }
