"""The way of a tile: fit a pair, predict a tile, finish a tile; called by the lazy graph, in-process runs and jobs.

One model for all tiles: `fit_pair`, then `predict_tile`. A model per tile: `fit_pair`, then `TileFits.predict` of all
tiles, then `finish_tile` with the predictions around a tile.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.engine.blending import BlendedTiling
from mmsr_geo.engine.flags import FlagRules, ValidRange
from mmsr_geo.engine.model import Model
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.tile_upsampler import TargetTile, Upsampler
from mmsr_geo.engine.valid_shares import naming_what_is_empty
from mmsr_geo.geometry import Tile
from mmsr_geo.methods.apply import warn_uncalibrated
from mmsr_geo.methods.base import Method
from mmsr_geo.methods.tile_fit import blend_tile
from mmsr_geo.network.device import torch_threads
from mmsr_geo.network.guide_check import GuideCheck
from mmsr_geo.raster.base import Pixels
from mmsr_geo.raster.inspect.undeclared_nodata import warn_undeclared_nodata


def fit_pair(  # noqa: PLR0913  (a pair, its method, and what to look for)
    pair: Pair,
    method: Method,
    progress: Progress = no_progress,
    *,
    uncertainty: bool = False,
    check_arrays: bool = True,
    check_guides: bool = True,
) -> Model:
    """Return a pair's model; warns about what looks like undeclared nodata, and about a missing calibration.

    Args:
        pair: Source and guide.
        method: The method that gives the model.
        progress: Called with the stages of the fit.
        uncertainty: Warn if the uncertainty of the model's targets is not known.
        check_arrays: Look for undeclared nodata in arrays as well, which may take long to compute.
        check_guides: Look for undeclared nodata in the guides as well, not in the source alone.

    Raises:
        PixelError: Source and guide have no valid pixel in common.
        UnhelpfulGuideError: The guide did not help, and the method treats that as an error.
        ModelFileError: A saved model is for another number of guide bands or another scale.
    """
    warn_undeclared_nodata(pair.source, pair.guides.quantities if check_guides else (), arrays=check_arrays)
    with naming_what_is_empty(pair):
        model = method.model_for(pair, progress)
    if uncertainty:
        warn_uncalibrated(model, method, pair)
    return model


def predict_tile(upsampler: Upsampler, tile: Tile, source: Pixels, guide: Pixels, threads: int = 1) -> TargetTile:
    """Return a tile's target by the model that all tiles of a pair share.

    Args:
        upsampler: The model in use, see `upsampler_of`.
        tile: One of the pair's tiles.
        source: (1, h, w) of tile.read.
        guide: (C, h * scale.y, w * scale.x) of the same window on the target grid.
        threads: Torch threads on a CPU.
    """
    with torch_threads(threads):
        return upsampler.upsample(tile, source, guide)


def finish_tile(  # noqa: PLR0913  (a tile, the predictions around it, and what decides its flags)
    blended: BlendedTiling,
    tile: Tile,
    source: Pixels,
    predictions: Mapping[int, NDArray[np.float32]],
    flags: NDArray[np.uint8],
    *,
    method: Method,
    check: GuideCheck,
    valid_range: ValidRange | None,
    threads: int = 1,
) -> TargetTile:
    """Return a tile's target from the predictions of models per tile.

    Args:
        blended: The tiles with their overlaps.
        tile: One of `blended.targets`.
        source: (1, h, w) of tile.read.
        predictions: Values of `blended.contributors(tile.read)`, by tile index.
        flags: (H, W) flags of the tile's own prediction.
        method: The method that the models come from.
        check: The guide check of all tiles together.
        valid_range: Minimum and maximum of the target, in the source's units.
        threads: Torch threads on a CPU.
    """
    rules = FlagRules(check, method.uses_fallback(check), None, valid_range)
    with torch_threads(threads):
        return blend_tile(blended, tile, source, predictions, flags, rules)
