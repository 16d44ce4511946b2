"""A model for each tile, fitted afresh or adapted from the scene's, blended with its neighbours; no file, no graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
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
from mmsr_geo.methods.interpolation import Interpolation
from mmsr_geo.methods.scene import SceneFit
from mmsr_geo.methods.source import Method, check_of, model_or_fallback, report_guide_check, uses_fallback
from mmsr_geo.network.degradation import CONSISTENCY_SUPPORT_PX
from mmsr_geo.network.device import resolve_device, torch_threads
from mmsr_geo.network.fit import adapt_model, fit_samples, tile_seed
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.guide_check import GuideCheck
from mmsr_geo.network.params import FitParams
from mmsr_geo.options import IfUnhelpful, check_seed
from mmsr_geo.raster.base import Pixels

TILE_PX = 256
"""A tile's side in target pixels where none is asked for: about what the published fit takes as one image."""
OVERLAP_PX = 32
"""Target pixels by which a tile is predicted beyond its core, at least; at scale 16 and beyond, two source pixels."""


@dataclass(frozen=True, slots=True)
class TilePrediction:
    """What one tile's model says, before it is blended and made consistent."""

    values: NDArray[np.float32]
    """(H, W) of what is predicted of the tile, in the source's units."""
    qa: NDArray[np.uint8]
    """(H, W) what is to be known of the tile's core, as far as the prediction tells."""
    check: GuideCheck
    """What the tile's own fit found out about the guide; nothing where the scene's model was adapted."""


@dataclass(frozen=True, slots=True)
class TileFit:
    """Fits still to be made, one a tile."""

    params: FitParams = field(default_factory=FitParams)
    seed: int = 0
    device: str = "auto"
    if_unhelpful: IfUnhelpful = "bicubic"
    scene: Method | None = None
    """Where the model comes from that is adapted to each tile; None: each tile's model is fitted afresh."""

    def __post_init__(self) -> None:
        """Refuse a seed that torch does not take (OptionError)."""
        check_seed(self.seed)

    @property
    def consistent(self) -> bool:
        """The blend is made consistent."""
        return True

    @property
    def description(self) -> dict[str, Any]:
        """The options of the fits."""
        from_scene = None if self.scene is None else self.scene.description
        return {
            "method": "mmsr",
            "fit": "tile" if self.scene is None else "adapt",
            "scene": from_scene,
            "seed": self.seed,
            "if_unhelpful": self.if_unhelpful,
            **asdict(self.params),
        }

    def receptive_field(self, pair: Pair) -> Halo:
        """As far as the tiles' networks may look: a saved model is adapted to what its fit's own would be."""
        fitted = SceneFit(self.params).receptive_field(pair)
        scene = fitted if self.scene is None else self.scene.receptive_field(pair)
        return Halo(max(fitted.y, scene.y), max(fitted.x, scene.x))

    def blended(self, pair: Pair, tiling: Tiling) -> BlendedTiling:
        """Return how the tiles overlap."""
        scale = pair.scale
        overlap = Halo(*(max(2, -(-OVERLAP_PX // factor)) for factor in (scale.y, scale.x)))
        return BlendedTiling(tiling, overlap, Halo(CONSISTENCY_SUPPORT_PX, CONSISTENCY_SUPPORT_PX), scale)

    def halo(self, pair: Pair) -> Halo:
        """Return what a tile's prediction needs around it, in source pixels."""
        return halo_of(self.receptive_field(pair), pair.scale, consistent=False)

    def model_for(self, pair: Pair, progress: Progress = no_progress) -> Model:
        """Return the scene's model, or the interpolation that stands in where a tile has nothing to fit to."""
        if self.scene is None:
            return Interpolation("bicubic", pair.scale)
        return self.scene.model_for(pair, progress)

    def model_or_fallback(self, model: Model) -> Model:
        """Return what is adapted to the tiles, or the interpolation where the guide did not help the scene."""
        return model_or_fallback(model, self.if_unhelpful)

    def uses_fallback(self, check: GuideCheck) -> bool:
        """Where the guide did not help and that is what shall be done."""
        return uses_fallback(check, self.if_unhelpful)

    def predict(  # noqa: PLR0913  (a tile, its pixels, and where to begin from)
        self,
        base: Model,
        tile: Tile,
        source: Pixels,
        guide: Pixels,
        guide_bands: tuple[str, ...],
        progress: Progress = no_progress,
    ) -> TilePrediction:
        """Fit to a tile and predict it, with one torch thread on a CPU: tiles are worked on side by side."""
        with torch_threads(1):
            model = self._fitted(self.model_or_fallback(base), tile, source, guide, guide_bands, progress)
            seen = model.seen_range if isinstance(model, FittedModel) else None
            upsampler = Upsampler.of(model, self.device, consistent=False, quality=FlagRules(guide_range=seen))
            made = upsampler.predict(tile, source, guide)
        return TilePrediction(made.values, made.qa, GuideCheck() if self.scene is not None else check_of(model))

    def check(self, base: Model, tiles: Sequence[GuideCheck], pair: Pair) -> GuideCheck:
        """Return what the fits together found out about the guide, and tell it where it did not help."""
        if self.scene is not None:
            return check_of(base)
        together = GuideCheck(tuple(region for check in tiles for region in check.regions))
        report_guide_check(together, pair, self.if_unhelpful)
        return together

    def _fitted(  # noqa: PLR0913  (a tile, its pixels, and where to begin from)
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
            except OptionError:  # a first stage was asked for, and the tile holds nothing to learn from there
                return fit(replace(params, first_stage=None), progress=progress)
        except PixelError:
            return base  # nothing valid in common here

    @property
    def one_thread(self) -> FitParams:
        """The fits' params with the number of threads that tiles are fitted with."""
        return FitParams(**(asdict(self.params) | {"threads": 1}))


@torch.inference_mode()
def finish_tile(  # noqa: PLR0913  (a tile, what was predicted around it, and what is known of it)
    blended: BlendedTiling,
    tile: Tile,
    source: Pixels,
    predictions: Mapping[int, TilePrediction | NDArray[np.float32]],
    flags: NDArray[np.uint8],
    quality: FlagRules,
) -> TargetTile:
    """Blend the predictions that reach into a tile and make them consistent.

    tile: one of `blended.targets`; source: (1, h, w) of tile.read; predictions: of `blended.contributors(tile.read)`;
    flags: of the tile's own prediction; quality: where it says so, the guide having been no help, the bicubic
    interpolation is taken instead.
    """
    scale: Scale = blended.scale
    smooth = quality.fell_back
    height, width = tile.read.refined(scale).shape
    nowhere = Pixels(np.zeros((1, height, width), np.float32), np.zeros((height, width), np.bool_))
    sample = sample_of(source, nowhere, tile.read.row, tile.read.col)
    if smooth:
        prediction = Interpolation("bicubic", scale).predictor(torch.device("cpu"))(sample)
    else:
        near = {i: p.values if isinstance(p, TilePrediction) else p for i, p in predictions.items()}
        prediction = torch.from_numpy(blended.blend(tile.read, near))
    core, limits = tile.core.relative_to(tile.read), quality.valid_range
    values = finish(prediction, sample, scale, core, consistent=True, valid_range=limits)
    qa = quality.flags(sample, core, scale, None).numpy()
    if not smooth:
        qa |= flags[tile.core.relative_to(blended.predicted(tile.core)).refined(scale).slices]
    return TargetTile(values.float().numpy(), qa)
