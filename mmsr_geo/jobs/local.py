"""One job in this process: fit, predict tile by tile, write COGs; flat in memory, whole or nothing."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from mmsr_geo._version import __version__
from mmsr_geo.baselines import CONSISTENT
from mmsr_geo.errors import MmsrWarning, OptionError
from mmsr_geo.geometry import Tiling, Window
from mmsr_geo.methods import ModelSource, OtherMethod
from mmsr_geo.model import Model
from mmsr_geo.network.checking import GuideCheck
from mmsr_geo.network.fitted import FittedNet
from mmsr_geo.network.fitting import Progress, no_progress
from mmsr_geo.pair import Pair
from mmsr_geo.quality import MEANINGS, Flag
from mmsr_geo.raster.composing import Warped
from mmsr_geo.raster.files import FileRaster
from mmsr_geo.raster.storing import Storage
from mmsr_geo.raster.suspecting import warn_of_nodata
from mmsr_geo.raster.writing import CogWriter, finish_together
from mmsr_geo.running import run_of

_WINDOW_PX = 1024


@dataclass(frozen=True, slots=True)
class Output:
    """What a job writes."""

    path: Path
    qa: Path | None = None
    """Where the flags go; None: nowhere."""
    storage: Storage = field(default_factory=Storage)
    like: GeoBox | None = None
    """The grid that the target is brought onto in the end; None: it stays on its own."""
    overwrite: bool = False


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
    qa: Path | None = None
    flag_shares: Mapping[Flag, float] = field(default_factory=dict)
    """How much of the target's pixels has each flag, 0..1; of all bands, before any other grid."""
    consistency_rmse: tuple[float, ...] = ()
    """Of each band brought onto another grid (`like`): how far it is from the source when averaged back."""

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
    output: Output,
    *,
    device: str = "auto",
    threads: int = 1,
    inputs: Mapping[str, Any] | None = None,
    progress: Progress = no_progress,
) -> Outcome:
    """Upsample the pairs, one a band and all on one grid, into a Cloud Optimized GeoTIFF, and another of flags.

    inputs: how the rasters were taken, as JSON values, to be recorded.

    The files appear under their names when all are whole; an exception, Ctrl-C included, leaves nothing behind. Raises
    OutputError where they cannot be written, PixelError where there is nothing to fit.
    """
    started = time.monotonic()
    first = pairs[0]
    grid = output.like or first.target_grid
    models: list[Model] = []
    checks: list[GuideCheck] = []
    missed: tuple[float, ...] = ()
    flagged = dict.fromkeys(Flag, 0)
    with ExitStack() as stack:
        files = _Files.begun(stack, output, grid, pairs)
        drafts = files if output.like is None else _Files.drafted(stack, files, first.target_grid, len(pairs))
        for number, pair in enumerate(pairs, start=1):
            report = progress if len(pairs) == 1 else _labelled(progress, f"band {number} of {len(pairs)}: ")
            warn_of_nodata(pair.source, pair.guides.rasters if number == 1 else ())
            model = method.for_pair(pair, report)
            run = run_of(
                pair,
                method,
                model,
                tiling,
                device=device,
                threads=threads,
                progress=report,
                scratch=files.target.scratch,
            )
            for tile, made in run.targets():
                place = tile.core.relative_to(pair.part).refined(pair.scale)
                drafts.target.store(place, made.values[np.newaxis], bands=(number,))
                for flag in Flag:
                    flagged[flag] += int(np.count_nonzero(made.qa & flag))
                if drafts.flags is not None:
                    drafts.flags.write(place, made.qa[np.newaxis], bands=(number,))
            models.append(model)
            checks.append(run.check)
        if drafts is not files:
            missed = _brought_onto(files, drafts, grid, pairs, progress)
        progress("write", 0, 1)
        files.finish(_tags(pairs, models, checks, method, missed, inputs or {}))
        progress("write", 1, 1)
        if files.target.clipping is not None:
            warnings.warn(files.target.clipping, MmsrWarning, stacklevel=2)
    return Outcome(
        output.path,
        tuple(models),
        tuple(checks),
        str(first.scale),
        grid.shape.yx,
        len(tiling) * len(pairs),
        time.monotonic() - started,
        output.qa,
        {flag: count / (math.prod(first.target_grid.shape.yx) * len(pairs)) for flag, count in flagged.items()},
        missed,
    )


@dataclass(frozen=True, slots=True)
class _Files:
    """The target's file and the flags', each open for writing."""

    target: CogWriter
    flags: CogWriter | None

    @classmethod
    def begun(cls, stack: ExitStack, output: Output, grid: GeoBox, pairs: Sequence[Pair]) -> _Files:
        """Begin what was asked for."""
        target = stack.enter_context(
            CogWriter(
                output.path,
                grid,
                bands=len(pairs),
                nodata=output.storage.nodata(pairs[0].source.nodata),
                band_tags=[tags for pair in pairs for tags in pair.source.band_tags],
                storage=output.storage,
                overwrite=output.overwrite,
            )
        )
        if output.qa is None:
            return cls(target, None)
        names = [f"qa of {'; '.join(pair.source.bands)}" for pair in pairs] if len(pairs) > 1 else ["qa"]
        flags = CogWriter.of_flags(
            output.qa, grid, descriptions=names, storage=output.storage, overwrite=output.overwrite
        )
        return cls(target, stack.enter_context(flags))

    @classmethod
    def drafted(cls, stack: ExitStack, files: _Files, grid: GeoBox, bands: int) -> _Files:
        """Begin files on another grid, as they are computed, that go with the unfinished ones."""
        folder = files.target.scratch
        target = stack.enter_context(CogWriter(folder / "target.tif", grid, bands=bands))
        if files.flags is None:
            return cls(target, None)
        names = [str(number) for number in range(1, bands + 1)]
        flags = CogWriter.of_flags(folder / "flags.tif", grid, descriptions=names)
        return cls(target, stack.enter_context(flags))

    def finish(self, tags: dict[str, str]) -> None:
        """Put all under their names, or none."""
        outputs = [(self.target, tags)]
        if self.flags is not None:
            meanings = {f"MMSR_GEO_QA_{int(flag)}": meaning for flag, meaning in MEANINGS.items()}
            outputs.append((self.flags, tags | meanings))
        finish_together(outputs)


def _brought_onto(
    files: _Files, drafts: _Files, grid: GeoBox, pairs: Sequence[Pair], progress: Progress
) -> tuple[float, ...]:
    """Warp the drafts once more, and return how far each band of the target then is from its source."""
    drafts.finish({})
    windows = list(_windows(Window.whole(grid.shape.yx), _WINDOW_PX))
    missed = []
    for number, pair in enumerate(pairs, start=1):
        target = Warped(FileRaster.open(drafts.target.path, [number]), grid)
        for done, window in enumerate(windows):
            progress("warp", done, len(windows))
            files.target.store(window, target.read(window).values, bands=(number,))
            if files.flags is not None and drafts.flags is not None:
                drawn = FileRaster.open(drafts.flags.path, [number])
                flags = Warped(drawn, grid, Resampling.nearest, Resampling.nearest).read(window).values
                beyond = float(Flag.SOURCE_HOLE)
                files.flags.write(window, np.nan_to_num(flags, nan=beyond).astype(np.uint8), bands=(number,))
        progress("warp", len(windows), len(windows))
        missed.append(_missed(Warped(target, pair.source.grid), pair))
    return tuple(missed)


def _missed(back: Warped, pair: Pair) -> float:
    """Return the root mean square of a target on the source's grid minus the source, where both are."""
    total, count = 0.0, 0
    for window in _windows(pair.part, max(1, _WINDOW_PX // max(pair.scale.y, pair.scale.x))):
        differences = back.read(window).values[0].astype(np.float64) - pair.source.read(window).values[0]
        known = differences[np.isfinite(differences)]
        total, count = total + float((known**2).sum()), count + known.size
    return math.sqrt(total / count) if count else math.nan


def _windows(whole: Window, side: int) -> Iterator[Window]:
    for row in range(whole.row, whole.row + whole.height, side):
        for col in range(whole.col, whole.col + whole.width, side):
            yield Window(row, col, side, side).intersection(whole)


def _labelled(progress: Progress, label: str) -> Progress:
    return lambda stage, done, total: progress(label + stage, done, total)


def _plain(value: object) -> Any:  # noqa: ANN401  (JSON values)
    return value.item() if isinstance(value, np.generic) else str(value)


def _tags(  # noqa: PLR0913  (all that is recorded)
    pairs: Sequence[Pair],
    models: Sequence[Model],
    checks: Sequence[GuideCheck],
    method: ModelSource,
    missed: Sequence[float],
    inputs: Mapping[str, Any],
) -> dict[str, str]:
    """Say in the file how it came to be."""
    first = pairs[0]
    options = {"scale": str(first.scale), "part": asdict(first.part), **inputs, **method.description}
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
        "MMSR_GEO_OPTIONS": json.dumps(options, default=_plain),
        **({"MMSR_GEO_CONSISTENCY_RMSE": ",".join(f"{each:.6g}" for each in missed)} if missed else {}),
    }
