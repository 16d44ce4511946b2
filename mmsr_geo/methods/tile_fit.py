"""A model for each tile, fitted to it or adapted from the scene's, and the blend of the tiles; no files, no graph."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.engine.blending import BlendedTiling
from mmsr_geo.engine.flags import FlagRules
from mmsr_geo.engine.model import Model
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.tile_upsampler import TargetTile, Upsampler, finish, halo_of, sample_of
from mmsr_geo.errors import OptionError, PixelError
from mmsr_geo.geometry import Halo, Scale, Tile, Tiling
from mmsr_geo.methods.base import FitSpeed, Method, TileFits, TilePrediction, report_guide_check
from mmsr_geo.methods.interpolation import Interpolation
from mmsr_geo.methods.scene import SceneFit
from mmsr_geo.network.degradation import CONSISTENCY_SUPPORT_PX
from mmsr_geo.network.device import resolve_device, torch_threads
from mmsr_geo.network.fit import adapt_model, expected_pixel_steps, fit_samples, tile_seed
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.guide_check import LEAST_ENSEMBLE_GAIN, GuideCheck, expectation
from mmsr_geo.network.members.fit import MOST_TARGET_PX
from mmsr_geo.network.samples import Sample
from mmsr_geo.options import IfUnhelpful, check_seed
from mmsr_geo.raster.base import Pixels
from mmsr_geo.spelling import option

TILE_PX = 256
"""Default side of a tile in target pixels: about the image of a published fit."""
OVERLAP_PX = 32
"""Least number of target pixels by which a tile is predicted beyond its core; two source pixels from scale 16 on."""


@dataclass(frozen=True, slots=True)
class TileFit(Method):
    """Fit of one model per tile, whose predictions are blended."""

    params: FitParams = field(default_factory=FitParams)
    seed: int = 0
    device: str = "auto"
    if_unhelpful: IfUnhelpful = "interpolate"
    scene: Method | None = None
    """Method of the model that is adapted to each tile; None: each tile's model begins with random weights."""

    def __post_init__(self) -> None:
        """Refuse a seed that torch does not take, and a fit without a network (OptionError)."""
        check_seed(self.seed)
        if not self.params.network:
            raise OptionError(
                f"{option('quality', 'draft')} fits no network, and {option('fit', 'adapt')} and "
                f"{option('fit', 'tile')} fit one to each tile: choose another {option('quality')}, or leave out "
                f"{option('fit')}"
            )

    @property
    def description(self) -> dict[str, Any]:
        """Name and options of the fits, as JSON values."""
        from_scene = None if self.scene is None else self.scene.description
        return {
            "method": "mmsr",
            "fit": "tile" if self.scene is None else "adapt",
            "scene": from_scene,
            "seed": self.seed,
            "if_unhelpful": self.if_unhelpful,
            **self.params.description,
        }

    @property
    def fit_description(self) -> dict[str, Any]:
        """Options that decide what `model_for` returns: those of the scene's model."""
        # Not super() alone: slots=True replaces the class that it would refer to.
        return super(TileFit, self).fit_description if self.scene is None else self.scene.fit_description

    @property
    def model_scale(self) -> Scale | None:
        """Scale of the saved model that is adapted; None if the model is fitted."""
        return None if self.scene is None else self.scene.model_scale

    @property
    def model_bands(self) -> tuple[str, ...] | None:
        """Guide bands of the saved model that is adapted; None if the model is fitted."""
        return None if self.scene is None else self.scene.model_bands

    @property
    def tile_fits(self) -> TileFits:
        """The method itself, because each tile has a fit of its own."""
        return self

    @property
    def tile_size(self) -> int:
        """Default side of a tile in target pixels."""
        return TILE_PX

    @property
    def checks_tiles(self) -> bool:
        """True if the tiles' own fits check the guide; False if the scene's fit did."""
        return self.scene is None

    def receptive_field(self, pair: Pair) -> Halo:
        """Return the source pixels around a target pixel's own that the tiles' models may depend on.

        A saved model is adapted to a model with the parts that a fit of its own would have.
        """
        fitted = SceneFit(self.params).receptive_field(pair)
        scene = fitted if self.scene is None else self.scene.receptive_field(pair)
        return Halo(max(fitted.y, scene.y), max(fitted.x, scene.x))

    def blended(self, pair: Pair, tiling: Tiling) -> BlendedTiling:
        """Return the tiles with their overlaps."""
        scale = pair.scale
        overlap = Halo(*(max(2, math.ceil(OVERLAP_PX / factor)) for factor in (scale.y, scale.x)))
        return BlendedTiling(tiling, overlap, Halo(CONSISTENCY_SUPPORT_PX, CONSISTENCY_SUPPORT_PX), scale)

    def halo(self, pair: Pair) -> Halo:
        """Return the source pixels that a tile's prediction reads around it."""
        return halo_of(self.receptive_field(pair), pair.scale, consistent=False)

    def model_for(self, pair: Pair, progress: Progress = no_progress) -> Model:
        """Return the scene's model, or bicubic interpolation for the tiles without a pixel to fit to."""
        if self.scene is None:
            return Interpolation("bicubic", pair.scale)
        return self.scene.model_for(pair, progress)

    def fallback_title(self, model: Model) -> str:  # noqa: ARG002  (the same for all)
        """Return the title of what replaces the blend of the tiles' predictions, which are not of one model."""
        return "bicubic+consistency"

    def pixel_steps(self, pair: Pair, tiling: Tiling) -> tuple[int, int]:
        """Return the least and the most target pixels times steps of the fits, the scene's included."""
        if self.scene is None:
            params, (least, most) = self.params, (0, 0)
        else:
            params = replace(self.params, steps=self.params.adapt_steps, first_stage=False)
            least, most = self.scene.pixel_steps(pair, tiling)
        tile_least, tile_most = expected_pixel_steps(params, tiling.tile_yx, pair.scale)
        return least + tile_least * len(tiling), most + tile_most * len(tiling)

    def compared_px(self, pair: Pair, tiling: Tiling) -> int:
        """Return the target pixels that the fits compare members on: the scene's, or those of all tiles."""
        if self.scene is not None:
            return self.scene.compared_px(pair, tiling)
        tile_px = math.prod(tiling.tile_yx) * pair.scale.area
        return min(tile_px, MOST_TARGET_PX) * len(tiling) if self.params.compares_members else 0

    def timed_fit(self, sample: Sample, scale: Scale, threads: int, device: torch.device) -> tuple[Model, FitSpeed]:
        """Fit a few steps to a sample, as a scene's fit does."""
        return SceneFit(self.params).timed_fit(sample, scale, threads, device)

    def predict(  # noqa: PLR0913  (a tile, its pixels, and the model it begins with)
        self,
        base: Model,
        tile: Tile,
        source: Pixels,
        guide: Pixels,
        guide_bands: tuple[str, ...],
        progress: Progress = no_progress,
    ) -> TilePrediction:
        """Fit a model to a tile, beginning with `base`, and predict the tile with it.

        On a CPU it takes one torch thread, because several tiles are fitted at the same time.

        Args:
            base: The pair's model, as `model_for` gives it.
            tile: A tile of `blended(...).predictions`.
            source: (1, h, w) of tile.read.
            guide: (C, h * scale.y, w * scale.x) of the same window on the target grid.
            guide_bands: Names of the C bands.
            progress: Called with the stages of the fit.
        """
        with torch_threads(1):
            model = self._fitted(self.model_or_fallback(base), tile, source, guide, guide_bands, progress)
            rules = FlagRules(guide_range=model.seen_range)
            predicted = Upsampler.of(model, self.device, consistent=False, rules=rules).predict(tile, source, guide)
        return TilePrediction(
            predicted.values, predicted.qa, model.check.of_guide if self.checks_tiles else GuideCheck()
        )

    def check(self, base: Model, tiles: Sequence[GuideCheck], pair: Pair) -> GuideCheck:
        """Return the guide check of all tiles together; warns if the guide did not help.

        Args:
            base: The pair's model, as `model_for` gives it: its check counts if it was adapted.
            tiles: The checks of the tiles' own fits.
            pair: Source and guide, named in the warning.

        Raises:
            UnhelpfulGuideError: The guide did not help, and if_unhelpful is "error".
        """
        if not self.checks_tiles:
            return base.check
        check = GuideCheck(tuple(region for tile in tiles for region in tile.regions))
        if self.params.compares_members:
            expected = expectation(check.measured_gain, None)
            check = replace(check, least_gain=LEAST_ENSEMBLE_GAIN, expected_gain=expected)
        report_guide_check(check, pair, self.if_unhelpful)
        return check

    def _fitted(  # noqa: PLR0913  (a tile, its pixels, and the model it begins with)
        self,
        base: Model,
        tile: Tile,
        source: Pixels,
        guide: Pixels,
        guide_bands: tuple[str, ...],
        progress: Progress,
    ) -> Model:
        sample = sample_of(source, guide, tile.read.row, tile.read.col)
        seed, device = tile_seed(self.seed, tile.index), resolve_device(self.device)
        params = self.one_thread
        try:
            if isinstance(base, FittedModel):
                return adapt_model(base, [sample], params, seed=seed, device=device, progress=progress)
            if self.scene is not None:
                return base
            fit = partial(fit_samples, [sample], base.scale, guide_bands=guide_bands, seed=seed, device=device)
            try:
                return fit(params, progress=progress)
            except OptionError:  # a first stage was requested, and the tile has no pixels for it
                return fit(replace(params, first_stage=None), progress=progress)
        except PixelError:
            return base  # nothing valid in common here

    @property
    def one_thread(self) -> FitParams:
        """Params of a tile's fit: those of the fits, with one torch thread."""
        return replace(self.params, threads=1)


@torch.inference_mode()
def blend_tile(  # noqa: PLR0913  (a tile, the predictions around it, and the rules of its flags)
    blended: BlendedTiling,
    tile: Tile,
    source: Pixels,
    predictions: Mapping[int, NDArray[np.float32]],
    flags: NDArray[np.uint8],
    rules: FlagRules,
) -> TargetTile:
    """Blend the predictions that reach into a tile and make them consistent.

    Args:
        blended: The tiles with their overlaps.
        tile: One of `blended.targets`.
        source: (1, h, w) of tile.read.
        predictions: Values of `blended.contributors(tile.read)`, by tile index.
        flags: Flags of the tile's own prediction.
        rules: Further flags; if they say that the fallback is used, bicubic interpolation replaces the blend.
    """
    scale = blended.scale
    height, width = tile.read.refined(scale).shape
    no_guide = Pixels(np.zeros((1, height, width), np.float32), np.zeros((height, width), np.bool_))
    sample = sample_of(source, no_guide, tile.read.row, tile.read.col)
    if rules.fell_back:
        prediction = Interpolation("bicubic", scale).predictor(torch.device("cpu"))(sample)
    else:
        prediction = torch.from_numpy(blended.blend(tile.read, predictions))
    core = tile.core.relative_to(tile.read)
    values = finish(prediction, sample, scale, core, consistent=True, valid_range=rules.valid_range)
    qa = rules.flags(sample, core, scale, None).numpy()
    if not rules.fell_back:
        qa |= flags[tile.core.relative_to(blended.predicted(tile.core)).refined(scale).slices]
    return TargetTile(values.float().numpy(), qa)
