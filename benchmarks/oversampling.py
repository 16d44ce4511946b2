"""Right and wrong results of the oversampling detection: rasters as they are, difficult ones, and resampled ones.

    python benchmarks/oversampling.py --data DIR      the tables in docs/decisions/006-oversampling-detection.md

Every raster of the data folder is used as it is. One raster of each kind is averaged by 2 to 8 and resampled to finer
pixels by GDAL, at a phase and an angle that the detector does not know. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.warp import Resampling, reproject
from scipy import ndimage  # type: ignore[import-untyped]
from scipy.interpolate import griddata  # type: ignore[import-untyped]
from skimage.measure import find_contours

from mmsr_geo.raster.inspect.oversampling import Oversampling, oversampling

Values = NDArray[np.float32]

SIDE_PX = 512
METHODS = ("nearest", "bilinear", "cubic", "lanczos")
FACTORS = {2.0: 2, 2.5: 2, 3.0: 3, 10 / 3: 4, 4.0: 4, 5.0: 5, 6.0: 6, 8.0: 8}
"""Factors of the resampling, and of the averaging before it."""
TOO_SMALL = (1.0, 1.05, 1.1, 1.2, 1.25, 1.33, 1.4, 1.5, 1.6)
"""Factors that are too small to be reported."""
ANGLES = (0, 10, 30)
NOISES = (0.001, 0.003, 0.01, 0.03, 0.1)
"""Standard deviations of noise, in those of the raster."""
KINDS = (
    "s2 B11",
    "s2 B04",
    "l7 band 1",
    "l7 band 4",
    "l7 DEM",
    "rmnp DEM",
    "rmnp photo 1",
    "canopy 0",
    "canopy guide 1.2",
    "autzen surface",
    "jacksboro DEM",
)
"""One raster of each kind, which is resampled."""
RESAMPLED = ("l7 thermal", "autzen photo")
"""Rasters of the data folder that are oversampled as delivered."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A raster of the data folder."""

    name: str
    values: Values
    """(h, w), NaN where nodata."""
    whole: bool
    """True if the values are integers."""


@dataclass(frozen=True, slots=True)
class Resample:
    """A resampling of a raster to finer pixels."""

    factor: float
    method: str
    angle: float
    """Degrees."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    data = parser.parse_args().data
    layers = list(_layers(data))
    kinds = [layer for layer in layers if layer.name in KINDS]
    _native(layers)
    _difficult(kinds)
    _resampled(kinds)
    _realistic(kinds)


def _native(layers: list[Layer]) -> None:
    print("\n| rasters as they are | number | detected |\n|---|---|---|")
    for group in (False, True):
        results = [
            (layer.name, oversampling(layer.values)) for layer in layers if layer.name.startswith(RESAMPLED) is group
        ]
        detected = ", ".join(f"{name} {_factors(result)}" for name, result in results if result)
        print(
            f"| {'resampled by the provider' if group else 'native'} | {len(results)} | {detected or 'none'} |",
            flush=True,
        )


def _difficult(kinds: list[Layer]) -> None:
    random = np.random.default_rng(0)
    difficult: dict[str, list[tuple[str, Values]]] = {
        "Gaussian blur of 0.3 to 1.5 pixels": [
            (layer.name, _rounded(ndimage.gaussian_filter(layer.values, sigma), whole=layer.whole))
            for layer in kinds
            for sigma in (0.3, 0.5, 0.7, 1.0, 1.5)
            if np.isfinite(layer.values).all()
        ],
        "JPEG of quality 20 to 95": [
            (f"{layer.name} {quality}", _jpeg(layer.values, quality)) for layer in kinds for quality in (20, 50, 75, 95)
        ],
        "JPEG of quality 10": [(layer.name, _jpeg(layer.values, 10)) for layer in kinds],
        "noise of power law 0 to 5": [
            (f"{power} {step}", _rounded(_noise(power, random) / step, whole=True) if step else _noise(power, random))
            for power in range(6)
            for step in (0, 0.05, 0.3)
        ],
        "stripes of 0.03 to 1 deviations": list(_striped(kinds, random)),
        "DEM from contours": list(_contoured(kinds)),
        "planes and bowls of whole numbers": list(_planes()),
    }
    for method in METHODS:
        difficult[f"{method}, 1 to 1.6 times"] = [
            (
                f"{layer.name} {factor:g} {angle}",
                _resample(layer.values, Resample(factor, method, angle), random, whole=layer.whole),
            )
            for layer in kinds
            for factor in TOO_SMALL
            for angle in ANGLES
        ]
    print("\n| difficult rasters | number | detected |\n|---|---|---|")
    for name, rasters in difficult.items():
        results = [(which, oversampling(values[:SIDE_PX, :SIDE_PX])) for which, values in rasters]
        detected = [f"{which}: {_factors(result)}" for which, result in results if result]
        print(f"| {name} | {len(rasters)} | {'; '.join([str(len(detected)), *detected])} |", flush=True)


def _resampled(kinds: list[Layer]) -> None:
    random = np.random.default_rng(1)
    print(f"\n| resampled by | {' | '.join(METHODS)} |\n|---|{'---|' * len(METHODS)}")
    for factor, averaged in FACTORS.items():
        cells = []
        for method in METHODS:
            results = [
                oversampling(_resample(means, Resample(factor, method, angle), random, whole=layer.whole))
                for layer in kinds
                for angle in ANGLES
                if min((means := _means(layer.values, averaged)).shape) * factor >= 100
            ]
            cells.append(_cell(results, factor))
        print(f"| {factor:.3g} | {' | '.join(cells)} |", flush=True)
    print("\nright in at least one direction + detected with another factor, of all")


def _realistic(kinds: list[Layer]) -> None:
    random = np.random.default_rng(2)
    print("\n| cubic by 10/3, rotated by 10 degrees | right + other, of all |\n|---|---|")
    for name in ("blurred before", "resampled again", *(f"noise of {share:g} deviations" for share in NOISES)):
        results = []
        for layer in kinds:
            means = _means(layer.values, 4)
            if name == "blurred before":
                means = ndimage.gaussian_filter(means, 0.6)
            fine = _resample(means, Resample(10 / 3, "cubic", 10), random, whole=layer.whole)
            if name == "resampled again":
                fine = _resample(fine, Resample(1, "cubic", 0), random, whole=layer.whole)
            elif name.startswith("noise"):
                fine = fine + random.normal(0, float(name.split()[2]) * np.nanstd(fine), fine.shape).astype(np.float32)
            results.append(oversampling(fine))
        print(f"| {name} | {_cell(results, 10 / 3)} |", flush=True)


def _cell(results: list[Oversampling | None], factor: float) -> str:
    near = max(1.0, factor / 4)
    right = other = 0
    for result in results:
        if result is not None:
            factors = [value for value in (result.down, result.across) if value > 1]
            right += all(abs(value - factor) <= near for value in factors)
            other += not all(abs(value - factor) <= near for value in factors)
    return f"{right} + {other} of {len(results)}"


def _factors(result: Oversampling) -> str:
    return f"{result.down:.2f} x {result.across:.2f}"


def _means(values: Values, factor: int) -> Values:
    height, width = (min(side, 768) // factor for side in values.shape)
    blocks = values[: height * factor, : width * factor].reshape(height, factor, width, factor)
    return np.asarray(blocks.mean(axis=(1, 3))[: SIDE_PX // factor, : SIDE_PX // factor])


def _resample(values: Values, resample: Resample, random: np.random.Generator, *, whole: bool) -> Values:
    """Resample to finer pixels, at a random phase."""
    height, width = values.shape
    factor = resample.factor
    fine = np.full((int(height * factor), int(width * factor)), np.nan, np.float32)
    shift = random.uniform(0, 1, 2)
    turn = rasterio.Affine.translation(width / 2, height / 2) * rasterio.Affine.rotation(resample.angle)
    moved = turn * rasterio.Affine.translation(shift[0] - width / 2, shift[1] - height / 2)
    world = rasterio.Affine(30, 0, 5e5, 0, -30, 4e6)
    reproject(
        values.astype(np.float32),
        fine,
        src_transform=world,
        dst_transform=world * moved * rasterio.Affine.scale(1 / factor),
        src_crs="EPSG:32618",
        dst_crs="EPSG:32618",
        src_nodata=np.nan,
        dst_nodata=np.nan,
        resampling=Resampling[resample.method],
    )
    return _rounded(fine[:SIDE_PX, :SIDE_PX], whole=whole)


def _rounded(values: NDArray[np.floating], *, whole: bool) -> Values:
    return (np.rint(values) if whole else values).astype(np.float32)


def _jpeg(values: Values, quality: int) -> Values:
    low, high = np.nanpercentile(values, (1, 99))
    grey = np.nan_to_num(np.clip((values - low) / (high - low) * 255, 0, 255)).astype(np.uint8)
    Image.fromarray(grey).save(buffer := io.BytesIO(), "jpeg", quality=quality)
    return np.asarray(Image.open(buffer)).astype(np.float32)


def _noise(power: float, random: np.random.Generator) -> Values:
    frequency = np.hypot(np.fft.fftfreq(300)[:, None], np.fft.rfftfreq(300))
    frequency[0, 0] = 1
    values = np.fft.irfft2(np.fft.rfft2(random.normal(size=(300, 300))) * frequency ** (-power / 2))
    return np.asarray(values / values.std(), np.float32)


def _striped(kinds: list[Layer], random: np.random.Generator) -> Iterator[tuple[str, Values]]:
    for layer in kinds:
        rows, columns = layer.values.shape
        for share in (0.03, 0.1, 0.3, 1.0):
            size = share * float(np.nanstd(layer.values))
            for which, shape in (("rows", (rows, 1)), ("columns", (1, columns))):
                yield f"{layer.name} {which} {share:g}", layer.values + random.normal(0, size, shape).astype(np.float32)
    for number in range(8):
        walk = random.normal(size=(300, 300)).cumsum(axis=number % 2)
        yield f"walk {number}", (walk if number < 4 else walk.cumsum(axis=1 - number % 2)).astype(np.float32)


def _contoured(kinds: list[Layer]) -> Iterator[tuple[str, Values]]:
    for layer in kinds:
        if not layer.name.endswith("DEM"):
            continue
        heights = layer.values[:200, :200]
        points, levels = [], []
        for level in np.arange(np.nanmin(heights) + 10, np.nanmax(heights), 20):
            for line in find_contours(heights, level):  # type: ignore[no-untyped-call]
                points.append(line[::3])
                levels += [level] * len(points[-1])
        rows, columns = np.mgrid[: heights.shape[0], : heights.shape[1]]
        for method in ("linear", "cubic"):
            surface = griddata(np.concatenate(points), np.array(levels), (rows, columns), method)
            yield f"{layer.name} {method}", surface.astype(np.float32)
            yield f"{layer.name} {method} in metres", _rounded(surface, whole=True)


def _planes() -> Iterator[tuple[str, Values]]:
    rows, columns = np.mgrid[:300, :300]
    for across, down in ((0.3, 0.11), (0.3, 0.0), (1 / 3, 0.05), (0.5, 0.02), (0.25, 0.25), (1.3, 0.2)):
        for bend in (0, 1e-4, 1e-3):
            surface = across * columns + down * rows + bend * (columns**2 + rows**2)
            yield f"{across:.2f} {down:.2f} {bend:g}", _rounded(surface, whole=True)


def _layers(data: Path) -> Iterator[Layer]:
    yield from _bands(data / "sentinel2_virginia/bands_20m.tif", "s2 B05,s2 B06,s2 B07,s2 B8A,s2 B11,s2 B12")
    yield from _bands(data / "sentinel2_virginia/bands_10m.tif", "s2 B02,s2 B03,s2 B04,s2 B08")
    bands = ",".join(f"l7 band {number}" for number in (1, 2, 3, 4, 5, 7))
    yield from _bands(data / "landsat7_pennsylvania/optical_30m.tif", bands)
    yield from _bands(data / "landsat7_pennsylvania/thermal_b62_dn_30m.tif", "l7 thermal")
    yield from _bands(data / "landsat7_pennsylvania/dem_30m.tif", "l7 DEM")
    yield from _bands(data / "rmnp_dem_rgb/rmnp-dem.tif", "rmnp DEM")
    yield from _bands(data / "rmnp_dem_rgb/rmnp-rgb.tif", "rmnp photo 1,rmnp photo 2,rmnp photo 3")
    yield from _bands(data / "autzen_lidar_ortho/dsm_2ft.tif", "autzen surface", (600, 300))
    photo = "autzen photo 1,autzen photo 2,autzen photo 3"
    yield from _bands(data / "autzen_lidar_ortho/ortho_rgb_1ft.tif", photo, (1500, 1000))
    images = np.load(data / "pixtransform_vhm/vhm_sample_images.npz")
    for number in range(3):
        yield Layer(f"canopy {number}", images["target_imgs"][number], whole=False)
        for band in range(4):
            guide = images["guide_imgs"][number, band].astype(np.float32)
            yield Layer(f"canopy guide {number}.{band}", guide, whole=False)
    sample = Path(mpl.get_data_path()) / "sample_data/jacksboro_fault_dem.npz"
    yield Layer("jacksboro DEM", np.load(sample)["elevation"].astype(np.float32), whole=True)


def _bands(path: Path, names: str, corner: tuple[int, int] = (0, 0)) -> Iterator[Layer]:
    with rasterio.open(path) as dataset:
        rows, columns = ((at, min(at + 768, side)) for at, side in zip(corner, dataset.shape, strict=True))
        for index, name in enumerate(names.split(","), start=1):
            values = dataset.read(index, window=(rows, columns), masked=True)
            yield Layer(name, values.astype(np.float32).filled(np.nan), values.dtype.kind in "iu")


if __name__ == "__main__":
    main()
