"""What a job takes, told before it runs: grids, tiles, memory, disk and time; reads metadata, times made-up pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from mmsr_geo.engine.pair import SAMPLED_TARGET_PX, Pair
from mmsr_geo.engine.tiling import BASE_BYTES, BYTES_PER_SAMPLED_VALUE, tile_bytes
from mmsr_geo.geometry import Halo, Tiling
from mmsr_geo.methods.source import Method
from mmsr_geo.options import Quality
from mmsr_geo.pipeline.timing import Speed
from mmsr_geo.raster.grids import resolution_m
from mmsr_geo.text import duration_text, size_text

GPU_FLOPS = 1e13
"""What a GPU is assumed to sustain, where none was timed: a sixth of an H100's float32 peak."""
FLOPS_PER_PX = 0.53e6
"""Of a prediction with 64 channels: its layers' arithmetic. A step of a fit takes three times as much a pixel."""
STEP_TO_PREDICTION = 3
_COG_EXTRA = 4 / 3
"""Overviews add a third."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A job, before it runs."""

    pair: Pair
    method: Method
    tiling: Tiling
    dtype: str = "float32"
    bands: int = 1
    """Slices of the source: each has a fit and targets of its own."""
    qa: bool = False
    speed: Speed | None = None
    like: GeoBox | None = None
    """The grid that the target is brought onto in the end; None: it stays on its own."""
    uncertainty: bool = False
    """Whether the target's uncertainty is written with it."""

    @property
    def output_grid(self) -> GeoBox:
        """The grid of what is written."""
        return self.like or self.pair.target_grid

    @property
    def halo(self) -> Halo:
        """What a tile reads around itself, in target pixels."""
        halo, scale = self.tiling.halo, self.pair.scale
        return Halo(halo.y * scale.y, halo.x * scale.x)

    @property
    def target_px(self) -> int:
        """Pixels of the target, all bands."""
        part = self.pair.part
        return part.height * part.width * self.pair.scale.area * self.bands

    @property
    def predicted_px(self) -> int:
        """Pixels that are computed for them, halos counted."""
        return round(self.target_px * (1 + self.tiling.halo_share))

    @property
    def fit_pixel_steps(self) -> tuple[int, int]:
        """Pixels times steps of the fits, at least and at most: what the guide is worth decides."""
        least, most = self.method.pixel_steps(self.pair, self.tiling)
        return least * self.bands, most * self.bands

    @property
    def tile_side_px(self) -> int:
        """The longer side of a tile's core, in target pixels."""
        (height, width), scale = self.tiling.tile_yx, self.pair.scale
        return max(height * scale.y, width * scale.x)

    @property
    def memory_bytes(self) -> int:
        """A worker's peak: the largest tile, or the fit's samples, on top of what the libraries take."""
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
        network, guide_bands = self.method.uses_network, len(self.pair.guide.bands)
        tile = tile_bytes(height * width, guide_bands, network=network)
        sampled = min(self.target_px // self.bands, SAMPLED_TARGET_PX) if self.fit_pixel_steps[1] else 0
        return BASE_BYTES + max(tile, sampled * guide_bands * BYTES_PER_SAMPLED_VALUE)

    @property
    def disk_bytes(self) -> int:
        """What is on the disk at most at one time: the draft, the finished file, what waits for blending.

        The finished file is compressed, so it is smaller.
        """
        values, flags = 1 + self.uncertainty, int(self.qa)
        stored = values * np.dtype(self.dtype).itemsize + flags
        files = math.prod(self.output_grid.shape.yx) * self.bands * stored * (1 + _COG_EXTRA)
        if self.like is not None:  # the target on its own grid, float32, waits to be brought onto that
            files += self.target_px * (4 * values + flags) * (1 + _COG_EXTRA)
        waiting = self.predicted_px * 5 // self.bands if self.method.tile_fits is not None else 0
        return int(files) + waiting

    @property
    def fit_seconds(self) -> tuple[float, float] | None:
        """The fits, at least and at most, on this machine; None where it was not timed."""
        if self.speed is None:
            return None
        least, most = (steps * self.speed.fit_s_per_px_step for steps in self.fit_pixel_steps)
        return least, most

    @property
    def qualities(self) -> dict[Quality, tuple[int, int]]:
        """Pixels times steps of the fits in each quality, at least and at most; empty where it is none of them."""
        steps = {quality: method.pixel_steps(self.pair, self.tiling) for quality, method in self.method.presets.items()}
        return {quality: (least * self.bands, most * self.bands) for quality, (least, most) in steps.items()}

    @property
    def predict_seconds(self) -> float | None:
        """The tiles, on this machine, one after another; without reading and writing; None where it was not timed."""
        return None if self.speed is None else self.predicted_px * self.speed.predict_s_per_px

    @property
    def seconds_at_most(self) -> float:
        """All of it, on this machine; NaN where it was not timed."""
        if self.fit_seconds is None or self.predict_seconds is None:
            return math.nan
        return self.fit_seconds[1] + self.predict_seconds

    @property
    def gpu_hours(self) -> float:
        """On one GPU, at most: of the arithmetic at GPU_FLOPS, an assumption, or as timed on the GPU there is."""
        if not self.method.uses_network:
            return 0.0
        if self.speed is not None and self.speed.device != "cpu" and self.fit_seconds and self.predict_seconds:
            return (self.fit_seconds[1] + self.predict_seconds) / 3600
        flops = FLOPS_PER_PX * (self.predicted_px + STEP_TO_PREDICTION * self.fit_pixel_steps[1])
        return flops / GPU_FLOPS / 3600

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
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
            "qualities": {quality: list(steps) for quality, steps in self.qualities.items()},
            "memory_bytes_per_worker": self.memory_bytes,
            "disk_bytes": self.disk_bytes,
            "device": None if self.speed is None else self.speed.device,
            "threads": None if self.speed is None else self.speed.threads,
            "fit_seconds": None if self.fit_seconds is None else [round(each, 1) for each in self.fit_seconds],
            "predict_seconds": None if self.predict_seconds is None else round(self.predict_seconds, 1),
            "gpu_hours_at_most": self.gpu_hours,
        }

    def rows(self) -> list[tuple[str, str]]:
        """Return (what, value) for a person."""
        grid, scale = self.output_grid, self.pair.scale
        down, across = resolution_m(grid)
        tile_y, tile_x = (
            sizes[0] * factor for sizes, factor in zip(self.tiling.chunks, (scale.y, scale.x), strict=True)
        )
        several = f", {self.bands} bands" if self.bands > 1 else ""
        with_half = ", and its uncertainty" * self.uncertainty
        rows = [
            ("source", f"{self.pair.part.width} x {self.pair.part.height} px of {self.pair.source.name}{several}"),
            ("guide", f"{self.pair.guide.name}, {len(self.pair.guide.bands)} bands"),
            ("target", f"{grid.shape.x} x {grid.shape.y} px of {across:.4g} x {down:.4g} m, scale {scale}{with_half}"),
            ("tiles", f"{len(self.tiling) * self.bands} of {tile_x} x {tile_y} px"),
            ("halo", f"{self.halo.x} x {self.halo.y} px around each, {self.tiling.halo_share:.0%} more to compute"),
            ("memory a worker", size_text(self.memory_bytes)),
            ("disk", f"{size_text(self.disk_bytes)} at most, while it is written"),
        ]
        if self.fit_pixel_steps[1] and not self.qualities:
            rows.append(("fit", self._work_text(*self.fit_pixel_steps)))
        if self.speed is not None and self.fit_seconds is not None and self.predict_seconds is not None:
            where = f"{self.speed.device}, {self.speed.threads} thread{'s'[: self.speed.threads > 1]}"
            rows.append((f"time here ({where})", f"predict {duration_text(self.predict_seconds)}"))
        rows.extend(
            (f"fit with --quality {quality}", self._work_text(*work)) for quality, work in self.qualities.items()
        )
        if self.gpu_hours:
            timed = self.speed is not None and self.speed.device != "cpu"
            how = "as timed here" if timed else f"at {GPU_FLOPS / 1e12:.0f} TFLOP/s, assumed"
            rows.append(("GPU-hours", f"{self.gpu_hours:.2g} at most ({how})"))
        return rows

    def _work_text(self, least: int, most: int) -> str:
        """Say what fits of so many pixels times steps take, in them and, where it was timed, here."""
        work = f"{_range(f'{least / 1e6:.1f}', f'{most / 1e6:.1f}')} million pixels x steps"
        if self.speed is None:
            return work
        first, last = (duration_text(steps * self.speed.fit_s_per_px_step) for steps in (least, most))
        return f"{_range(first, last)}: {work}"


def _range(first: str, last: str) -> str:
    return first if first == last else f"{first} to {last}"
