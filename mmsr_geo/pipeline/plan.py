"""Estimates for one output before it is computed: grids, tiles, memory, disk and time; reads metadata only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from mmsr_geo.engine.pair import SAMPLED_TARGET_PX, Pair
from mmsr_geo.engine.tiling import BASE_BYTES, BYTES_PER_COMPARED_PX, BYTES_PER_SAMPLED_VALUE, tile_bytes
from mmsr_geo.geometry import Halo, Tiling
from mmsr_geo.methods.base import Method
from mmsr_geo.network.members.fit import MOST_TARGET_PX
from mmsr_geo.options import Quality
from mmsr_geo.pipeline.timing import Speed
from mmsr_geo.raster.grids import resolution_m

GPU_FLOPS = 1e13
"""Assumed speed of a GPU if none was timed: a sixth of an H100's float32 peak."""
FLOPS_PER_PX = 0.53e6
"""Arithmetic of a prediction with 64 channels, per target pixel."""
STEP_TO_PREDICTION = 3
"""Arithmetic of a fit's step over that of a prediction, per target pixel."""
_COG_EXTRA = 4 / 3
"""Size of a file with overviews over that of its full-resolution pixels."""
_WAITING_BYTES = 5
"""Bytes per target pixel of a prediction that waits to be blended: float32 values and flags."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Estimates for one output before it is computed."""

    pair: Pair
    method: Method
    tiling: Tiling
    dtype: str = "float32"
    bands: int = 1
    """Number of the source's bands or dates; each has a fit and a target of its own."""
    qa: bool = False
    speed: Speed | None = None
    like: GeoBox | None = None
    """Grid that the target is resampled onto; None: the source's grid refined by the scale."""
    uncertainty: bool = False
    """True if the target's uncertainty is written as well."""

    @property
    def output_grid(self) -> GeoBox:
        """Grid of the output."""
        return self.like or self.pair.target_grid

    @property
    def halo(self) -> Halo:
        """Pixels that a tile reads around itself, in target pixels."""
        halo, scale = self.tiling.halo, self.pair.scale
        return Halo(halo.y * scale.y, halo.x * scale.x)

    @property
    def target_px(self) -> int:
        """Number of the target's pixels, over all bands."""
        part = self.pair.part
        return part.height * part.width * self.pair.scale.area * self.bands

    @property
    def predicted_px(self) -> int:
        """Number of the pixels that are predicted, halos counted."""
        return round(self.target_px * (1 + self.tiling.halo_share))

    @property
    def fit_pixel_steps(self) -> tuple[int, int]:
        """Least and most target pixels times steps of the fits; the guide check decides between them."""
        least, most = self.method.pixel_steps(self.pair, self.tiling)
        return least * self.bands, most * self.bands

    @property
    def tile_side_px(self) -> int:
        """Longer side of a tile without its halo, in target pixels."""
        (height, width), scale = self.tiling.tile_yx, self.pair.scale
        return max(height * scale.y, width * scale.x)

    @property
    def memory_bytes(self) -> int:
        """Peak memory of a worker: the libraries, and the largest tile or the samples of a fit."""
        height, width = (
            min(core + 2 * halo, whole) * factor
            for core, halo, whole, factor in zip(
                self.tiling.tile_yx,
                (self.tiling.halo.y, self.tiling.halo.x),
                self.tiling.within.shape,
                (self.pair.scale.y, self.pair.scale.x),
                strict=True,
            )
        )
        guide_bands = len(self.pair.guide.bands)
        tile = tile_bytes(height * width, guide_bands, predicted_by=self.method.predicted_by)
        target_px = self.target_px // self.bands
        sampled = min(target_px, SAMPLED_TARGET_PX) * guide_bands * BYTES_PER_SAMPLED_VALUE
        compared = min(self.compared_px, MOST_TARGET_PX)
        fit = compared * BYTES_PER_COMPARED_PX + (sampled if compared or self.fit_pixel_steps[1] else 0)
        return BASE_BYTES + max(tile, fit)

    @property
    def compared_px(self) -> int:
        """Target pixels that the fits compare members on."""
        return self.method.compared_px(self.pair, self.tiling) * self.bands

    @property
    def disk_bytes(self) -> int:
        """Upper limit of the disk space during the run: draft, output file, and predictions that wait to be blended.

        Compression is not counted.
        """
        values, flags = 1 + self.uncertainty, int(self.qa)
        stored = values * np.dtype(self.dtype).itemsize + flags
        files = math.prod(self.output_grid.shape.yx) * self.bands * stored * (1 + _COG_EXTRA)
        if self.like is not None:  # the target on its own grid, float32, is kept until it is resampled
            files += self.target_px * (4 * values + flags) * (1 + _COG_EXTRA)
        waiting = self.predicted_px * _WAITING_BYTES // self.bands if self.method.tile_fits is not None else 0
        return int(files) + waiting

    @property
    def fit_seconds(self) -> tuple[float, float] | None:
        """Least and most seconds of the fits on this machine; None if it was not timed."""
        if self.speed is None:
            return None
        return self.seconds_of(*self.fit_pixel_steps, self.speed)

    def seconds_of(self, least: int, most: int, speed: Speed) -> tuple[float, float]:
        """Return the least and most seconds of fits with this many target pixels times steps."""
        compared = self.compared_px * speed.fit.s_per_compared_px
        return least * speed.fit.s_per_px_step + compared, most * speed.fit.s_per_px_step + compared

    @property
    def qualities(self) -> dict[Quality, tuple[int, int]]:
        """Least and most target pixels times steps of the fits by quality; empty if the params are none of them."""
        steps = {quality: method.pixel_steps(self.pair, self.tiling) for quality, method in self.method.presets.items()}
        return {quality: (least * self.bands, most * self.bands) for quality, (least, most) in steps.items()}

    @property
    def predict_seconds(self) -> float | None:
        """Seconds to predict all tiles one after another on this machine, without I/O; None if it was not timed."""
        return None if self.speed is None else self.predicted_px * self.speed.predict_s_per_px

    @property
    def seconds_at_most(self) -> float:
        """Most seconds of fits and predictions on this machine; NaN if it was not timed."""
        if self.fit_seconds is None or self.predict_seconds is None:
            return math.nan
        return self.fit_seconds[1] + self.predict_seconds

    @property
    def is_timed_on_gpu(self) -> bool:
        """True if the speed was measured on a GPU."""
        return self.speed is not None and self.speed.device != "cpu"

    @property
    def gpu_hours(self) -> float:
        """Most hours on one GPU: as timed on the GPU of this machine, or computed with GPU_FLOPS, an assumption."""
        if self.method.predicted_by not in {"network", "both"}:
            return 0.0
        if self.is_timed_on_gpu:
            return self.seconds_at_most / 3600
        flops = FLOPS_PER_PX * (self.predicted_px + STEP_TO_PREDICTION * self.fit_pixel_steps[1])
        return flops / GPU_FLOPS / 3600

    def as_dict(self) -> dict[str, Any]:
        """Return the estimates as JSON values."""
        grid, scale = self.output_grid, self.pair.scale
        rows, columns = self.tiling.chunks
        return {
            "source": self.pair.source.name,
            "guide": self.pair.guide.name,
            "guide_bands": list(self.pair.guide.bands),
            "scale": [scale.y, scale.x],
            "crs": f"EPSG:{grid.crs.epsg}" if grid.crs is not None and grid.crs.epsg else str(grid.crs),
            "source_shape": list(self.pair.part.shape),
            "target_shape": list(grid.shape.yx),
            "target_resolution_m": list(resolution_m(grid)),
            "bands": self.bands,
            "uncertainty": self.uncertainty,
            "method": self.method.description,
            "tiles": len(self.tiling) * self.bands,
            "tile_rows": len(rows),
            "tile_columns": len(columns),
            "tile_px": [self.tiling.tile_yx[0] * scale.y, self.tiling.tile_yx[1] * scale.x],
            "halo_px": [self.halo.y, self.halo.x],
            "halo_share": self.tiling.halo_share,
            "target_px": self.target_px,
            "predicted_px": self.predicted_px,
            "fit_pixel_steps": list(self.fit_pixel_steps),
            "compared_px": self.compared_px,
            "qualities": {quality: list(steps) for quality, steps in self.qualities.items()},
            "memory_bytes_per_worker": self.memory_bytes,
            "disk_bytes": self.disk_bytes,
            "device": None if self.speed is None else self.speed.device,
            "threads": None if self.speed is None else self.speed.threads,
            "fit_seconds": None if self.fit_seconds is None else [round(seconds, 1) for seconds in self.fit_seconds],
            "predict_seconds": None if self.predict_seconds is None else round(self.predict_seconds, 1),
            "gpu_hours_at_most": self.gpu_hours,
        }
