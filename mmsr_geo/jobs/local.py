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
from mmsr_geo.geometry import Tiling
from mmsr_geo.network.fitted import FittedNet
from mmsr_geo.network.fitting import Progress, no_progress, torch_threads
from mmsr_geo.pair import Pair
from mmsr_geo.raster.writing import CogWriter, output_nodata, with_nodata
from mmsr_geo.scene import NetSource
from mmsr_geo.upsampling import Upsampler


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job made."""

    path: Path
    nets: tuple[FittedNet, ...]
    """One for each band."""
    scale: str
    shape_yx: tuple[int, int]
    tiles: int
    seconds: float


def write_target(  # noqa: PLR0913  (what a job is made of)
    pairs: Sequence[Pair],
    net: NetSource,
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
    nets: list[FittedNet] = []
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
            fitted = net.for_pair(pair, report)
            nets.append(fitted)
            upsampler = Upsampler.of(fitted, device)
            with torch_threads(threads):
                for tile in tiling:
                    report("predict", tile.index, len(tiling))
                    target = with_nodata(upsampler.upsample(tile, *pair.read(tile.read)), nodata)
                    place = tile.core.relative_to(pair.part).refined(pair.scale)
                    writer.write(place, target[np.newaxis], bands=(number,))
            report("predict", len(tiling), len(tiling))
        progress("write", 0, 1)
        writer.finish(tags=_tags(pairs, nets, net))
        progress("write", 1, 1)
    return Outcome(
        Path(output),
        tuple(nets),
        str(first.scale),
        first.target_grid.shape.yx,
        len(tiling) * len(pairs),
        time.monotonic() - started,
    )


def _labelled(progress: Progress, label: str) -> Progress:
    return lambda stage, done, total: progress(label + stage, done, total)


def _tags(pairs: Sequence[Pair], nets: Sequence[FittedNet], net: NetSource) -> dict[str, str]:
    """Say in the file how it came to be."""
    first = pairs[0]
    options = {"scale": str(first.scale), "part": asdict(first.part), "net": net.description}
    return {
        "MMSR_GEO_VERSION": __version__,
        "MMSR_GEO_SOURCE": first.source.name,
        "MMSR_GEO_GUIDE": first.guide.guide.name,
        "MMSR_GEO_NET": ",".join(fitted.digest for fitted in nets),
        "MMSR_GEO_SEED": str(nets[0].provenance.get("fit", {}).get("seed", "")),
        "MMSR_GEO_OPTIONS": json.dumps(options),
    }
