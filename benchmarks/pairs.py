"""The pairs that benchmarks run on: a truth and its guide from the data folder, the source made by block means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """truth (H, W), guide (C, H, W) and their masks on the target grid; source by the block mean."""

    name: str
    scale: int
    truth: np.ndarray
    guide: np.ndarray

    @property
    def valid(self) -> np.ndarray:
        """Return the truth's mask (H, W)."""
        valid: np.ndarray = np.isfinite(self.truth)
        return valid

    @property
    def source(self) -> np.ndarray:
        """Return the truth's block means (h, w), NaN where a block holds a hole."""
        height, width = (side // self.scale for side in self.truth.shape)
        means: np.ndarray = self.truth.reshape(height, self.scale, width, self.scale).mean(axis=(1, 3))
        return means


def pair(name: str, data: Path) -> Pair:
    """Read the pair of a name such as s2-B11-x4, l7-x4, vhm0-x4 or autzen-x4."""
    *parts, factor = name.split("-")
    scale = int(factor.removeprefix("x"))
    truth, guide = _READERS[parts[0].rstrip("012") if parts[0].startswith("vhm") else parts[0]](data, parts)
    height, width = (side // scale * scale for side in truth.shape)
    return Pair(name, scale, truth[:height, :width].astype(np.float32), guide[:, :height, :width].astype(np.float32))


def _sentinel(data: Path, parts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    with rasterio.open(data / "sentinel2_virginia/bands_20m.tif") as coarse:
        band = ["B05", "B06", "B07", "B8A", "B11", "B12"].index(parts[1]) + 1
        truth = coarse.read(band)
    with rasterio.open(data / "sentinel2_virginia/bands_10m.tif") as fine:
        ten = fine.read().astype(np.float32)
    shifted = np.concatenate([ten[:, :, :1], ten[:, :, :-1]], axis=2)
    bands, height, width = shifted.shape
    return truth, shifted.reshape(bands, height // 2, 2, width // 2, 2).mean(axis=(2, 4))


def _landsat(data: Path, parts: list[str]) -> tuple[np.ndarray, np.ndarray]:  # noqa: ARG001  (one signature for all readers)
    with rasterio.open(data / "landsat7_pennsylvania/thermal_b62_dn_30m.tif") as thermal:
        truth = thermal.read(1)
    with rasterio.open(data / "landsat7_pennsylvania/optical_30m.tif") as optical:
        return truth, optical.read()


def _canopy(data: Path, parts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    images = np.load(data / "pixtransform_vhm/vhm_sample_images.npz")
    index = int(parts[0][-1])
    return images["target_imgs"][index], images["guide_imgs"][index]


def _autzen(data: Path, parts: list[str]) -> tuple[np.ndarray, np.ndarray]:  # noqa: ARG001  (one signature for all readers)
    side = 1024
    with rasterio.open(data / "autzen_lidar_ortho/dsm_2ft.tif") as surface:
        truth = surface.read(1, window=((600, 600 + side), (300, 300 + side)), masked=True).filled(np.nan)
    with rasterio.open(data / "autzen_lidar_ortho/ortho_rgb_1ft.tif") as photo:
        rgb = photo.read(window=((1200, 1200 + 2 * side), (600, 600 + 2 * side))).astype(np.float32)
    return truth, rgb.reshape(3, side, 2, side, 2).mean(axis=(2, 4))


_READERS: dict[str, Callable[[Path, list[str]], tuple[np.ndarray, np.ndarray]]] = {
    "s2": _sentinel,
    "l7": _landsat,
    "vhm": _canopy,
    "autzen": _autzen,
}
