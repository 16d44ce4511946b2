"""Pairs that benchmarks run on, from the data folder: truth and guide on one grid, the source as block means.

A name is a data set, a scale and at most one change: `s2-B11-x4`, `vhm0-x8-shifted` (the guide moved to where its edges
match), `autzen-x4-crop` (the 256 x 256 pixels that the published fit can be run on).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox

from mmsr_geo.engine.pair import Pair
from mmsr_geo.evaluation.trial import Trial
from mmsr_geo.geometry import Scale, Window
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.views.guides import Guides
from mmsr_geo.raster.views.warp import Warped

Layers = tuple[np.ndarray, np.ndarray]

CROP_PX = 256
CROPS = {"s2": (64, 80), "l7": (22, 22), "autzen": (384, 384)}
"""First row and column of a crop, in pixels of the truth."""
GUIDE_SHIFT = (2, 1)
"""Shift of the canopy heights' guide in rows and columns: there the gradients of both match best."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One pair with its truth."""

    name: str
    scale: Scale
    truth: np.ndarray
    """(H, W), NaN where nodata."""
    guide: np.ndarray
    """(C, H, W), on the truth's grid."""
    given_source: np.ndarray | None = None
    """(h, w), the source where another sensor measured it; None: the block means of the truth."""

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        return dataset_of(self.name)

    @property
    def source(self) -> np.ndarray:
        """Source that was given, or block means of the truth, (h, w), NaN where a block has nodata."""
        if self.given_source is not None:
            return self.given_source
        height, width = self.truth.shape
        blocks = self.truth.reshape(height // self.scale.y, self.scale.y, width // self.scale.x, self.scale.x)
        means: np.ndarray = blocks.mean(axis=(1, 3), dtype=np.float64).astype(np.float32)
        return means

    @property
    def trial(self) -> Trial:
        """Trial for `mmsr_geo.evaluation.evaluate`; the position on Earth is invented."""
        height, width = self.truth.shape
        source = self.source
        grid = GeoBox((height, width), rasterio.Affine(10.0, 0.0, 5e5, 0.0, -10.0, 4e6), "EPSG:32618")
        coarse = ArrayRaster.in_memory(source[None], grid.zoom_to(source.shape), bands=("source",), name=self.name)
        names = tuple(f"band {number}" for number in range(1, len(self.guide) + 1))
        fine = ArrayRaster.in_memory(self.guide, grid, bands=names, name=f"guide of {self.name}")
        pair = Pair(coarse, Guides((fine,)), self.scale, Window.whole(source.shape))
        return Trial(pair, self.truth, "truth")


def dataset_of(name: str) -> str:
    """Return the data set of a pair's name."""
    first = name.partition("-")[0]
    return first.rstrip("0123456789") if first.startswith(("vhm", "depth")) else first


def read_case(name: str, data: Path) -> Case:
    """Read a pair by its name, such as s2-B11-x4, l7-x4, vhm0-x8-shifted, autzen-x4-crop, rmnp-x2 or depth1-x4."""
    words = name.split("-")
    factor = next(int(word[1:]) for word in words if word.startswith("x"))
    truth, guide = read_layers(name, data)
    if "shifted" in words:
        guide = np.roll(guide, GUIDE_SHIFT, axis=(1, 2))
    if "crop" in words:
        top, left = CROPS[dataset_of(name)]
        part = slice(top, top + CROP_PX), slice(left, left + CROP_PX)
        truth, guide = truth[part], guide[:, *part]
    height, width = (side // factor * factor for side in truth.shape)
    return Case(
        name,
        Scale(factor, factor),
        truth[:height, :width].astype(np.float32),
        guide[:, :height, :width].astype(np.float32),
    )


def read_layers(name: str, data: Path) -> Layers:
    """Read truth (H, W) and guide (C, H, W) of a pair as a whole, whatever its scale; a name needs none."""
    return _READERS[dataset_of(name)](data, name.split("-"))


def _sentinel(data: Path, words: list[str]) -> Layers:
    with rasterio.open(data / "sentinel2_virginia/bands_20m.tif") as coarse:
        band = ["B05", "B06", "B07", "B8A", "B11", "B12"].index(words[1]) + 1
        truth = coarse.read(band)
    with rasterio.open(data / "sentinel2_virginia/bands_10m.tif") as fine:
        ten = fine.read().astype(np.float32)
    shifted = np.concatenate([ten[:, :, :1], ten[:, :, :-1]], axis=2)  # its grid begins 10 m farther east
    bands, height, width = shifted.shape
    return truth, shifted.reshape(bands, height // 2, 2, width // 2, 2).mean(axis=(2, 4))


def _landsat(data: Path, words: list[str]) -> Layers:  # noqa: ARG001  (one signature for all readers)
    with rasterio.open(data / "landsat7_pennsylvania/thermal_b62_dn_30m.tif") as thermal:
        truth = thermal.read(1)
    with rasterio.open(data / "landsat7_pennsylvania/optical_30m.tif") as optical:
        return truth, optical.read()


def _canopy(data: Path, words: list[str]) -> Layers:
    images = np.load(data / "pixtransform_vhm/vhm_sample_images.npz")
    index = int(words[0][-1])
    return images["target_imgs"][index], images["guide_imgs"][index]


def _autzen(data: Path, words: list[str]) -> Layers:  # noqa: ARG001  (one signature for all readers)
    side = 1024
    with rasterio.open(data / "autzen_lidar_ortho/dsm_2ft.tif") as surface:
        truth = surface.read(1, window=((600, 600 + side), (300, 300 + side)), masked=True).filled(np.nan)
    with rasterio.open(data / "autzen_lidar_ortho/ortho_rgb_1ft.tif") as photo:
        rgb = photo.read(window=((1200, 1200 + 2 * side), (600, 600 + 2 * side))).astype(np.float32)
    return truth, rgb.reshape(3, side, 2, side, 2).mean(axis=(2, 4))


def _rocky(data: Path, words: list[str]) -> Layers:  # noqa: ARG001  (one signature for all readers)
    elevation = FileRaster.open(data / "rmnp_dem_rgb/rmnp-dem.tif")
    photo = FileRaster.open(data / "rmnp_dem_rgb/rmnp-rgb.tif")
    whole = Window.whole(elevation.grid.shape.yx)
    return elevation.read(whole).values[0], Warped(photo, elevation.grid).read(whole).values


def _depth(data: Path, words: list[str]) -> Layers:
    number = f"{int(words[0].removeprefix('depth')):02d}"
    with rasterio.open(data / f"depth_rgb/depth{number}_disparity.tif") as disparity:
        truth = disparity.read(1)
    with rasterio.open(data / f"depth_rgb/depth{number}_rgb.tif") as photograph:
        return truth, photograph.read()


_READERS: dict[str, Callable[[Path, list[str]], Layers]] = {
    "s2": _sentinel,
    "l7": _landsat,
    "vhm": _canopy,
    "autzen": _autzen,
    "rmnp": _rocky,
    "depth": _depth,
}
