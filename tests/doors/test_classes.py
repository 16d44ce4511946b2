"""Classes as a guide at the doors: better than codes, the same in tiles, and kept in models and jobs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

import mmsr_geo
from support.rasters import block_means, georeferenced

UTM = "EPSG:32618"
PLACE = Affine(100, 0, 435_700, 0, -100, 4_176_900)
FINE = PLACE * Affine.scale(0.25)
CODES, MEANS = np.array([10, 20, 30, 40, 50]), np.array([290.0, 306, 294, 315, 288])
QUICK: dict[str, Any] = {"quality": "draft", "threads": 1}


def scene(seed: int = 0, size: int = 96, patch: int = 6) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Codes in squares, and a truth that follows them with a little noise."""
    random = np.random.default_rng(seed)
    drawn = random.integers(0, len(CODES), (size // patch + 1, size // patch + 1))
    at = np.kron(drawn, np.ones((patch, patch), int))[:size, :size]
    return CODES[at].astype(np.uint8), (MEANS[at] + random.normal(0, 0.2, at.shape)).astype(np.float32)


def write(path: Path, values: NDArray[Any], transform: Affine, *, palette: bool = False) -> Path:
    profile = {"driver": "GTiff", "crs": UTM, "transform": transform, "dtype": values.dtype, "count": 1}
    with rasterio.open(path, "w", height=values.shape[0], width=values.shape[1], **profile) as dataset:
        dataset.write(values, 1)
        if palette:
            dataset.write_colormap(1, {int(code): (int(code), 255 - int(code), 9, 255) for code in CODES})
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path, NDArray[np.float32]]:
    codes, truth = scene()
    source = write(tmp_path / "lst.tif", block_means(truth, 4), PLACE)
    return source, write(tmp_path / "cover.tif", codes, FINE, palette=True), truth


def error(target: xr.DataArray, truth: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean((target.values - truth) ** 2)))


def test_a_palette_guides_by_its_classes(pair: tuple[Path, Path, NDArray[np.float32]]) -> None:
    source, guide, truth = pair
    bicubic = error(mmsr_geo.upsample(source, guide, 4, method="bicubic").compute(), truth)
    assert error(mmsr_geo.upsample(source, guide, 4, **QUICK).compute(), truth) < bicubic / 4


def test_scl_of_a_dataset_guides_by_its_classes(pair: tuple[Path, Path, NDArray[np.float32]]) -> None:
    source, _, truth = pair
    codes, _ = scene()
    noise = np.random.default_rng(1).normal(0, 1, codes.shape).astype(np.float32)
    bands = {"red": georeferenced(noise, FINE), "scl": georeferenced(codes, FINE)}
    guide = xr.Dataset(bands)
    planned = mmsr_geo.plan(source, guide, 4, **QUICK)
    assert planned.as_dict()["guide_bands"] == ["red", *(f"scl class {code}" for code in CODES)]
    bicubic = error(mmsr_geo.upsample(source, guide, 4, method="bicubic").compute(), truth)
    assert error(mmsr_geo.upsample(source, guide, 4, **QUICK).compute(), truth) < bicubic / 2


def test_tiles_are_the_whole(pair: tuple[Path, Path, NDArray[np.float32]]) -> None:
    source, guide, _ = pair
    whole = mmsr_geo.upsample(source, guide, 4, **QUICK).compute()
    tiled = mmsr_geo.upsample(source, guide, 4, tile_size=48, **QUICK).compute()
    np.testing.assert_allclose(tiled.values, whole.values, atol=1e-3)


def test_a_saved_model_keeps_its_classes(tmp_path: Path, pair: tuple[Path, Path, NDArray[np.float32]]) -> None:
    source, guide, _ = pair
    mmsr_geo.fit(source, guide, 4, **QUICK).save(tmp_path / "a.mmsr")
    model = mmsr_geo.load(tmp_path / "a.mmsr")
    assert model.guide_bands == tuple(f"class {code}" for code in CODES)
    codes, truth = scene(seed=1)
    codes[codes == 20] = 10  # a class of the model that this raster does not have
    truth[codes == 10] = MEANS[0]
    later = write(tmp_path / "later.tif", codes, FINE)
    coarse = write(tmp_path / "later_lst.tif", block_means(truth, 4), PLACE)
    options: dict[str, Any] = {"model": model, "guide_classes": 1}
    assert mmsr_geo.plan(coarse, later, 4, **options).as_dict()["guide_bands"] == list(model.guide_bands)
    bicubic = error(mmsr_geo.upsample(coarse, later, 4, method="bicubic").compute(), truth)
    assert error(mmsr_geo.upsample(coarse, later, 4, **options).compute(), truth) < bicubic / 2
    with pytest.raises(mmsr_geo.ModelFileError, match=r"for 5 guide bands \(class 10, class 20"):
        mmsr_geo.upsample(coarse, later, 4, model=model)


def test_a_job_reads_all_pairs_by_the_classes_of_their_reference_scene(
    tmp_path: Path, pair: tuple[Path, Path, NDArray[np.float32]]
) -> None:
    source, guide, _ = pair
    codes, truth = scene(seed=1)
    codes[codes == 20] = 10
    write(tmp_path / "later.tif", codes, FINE, palette=True)
    write(tmp_path / "later_lst.tif", block_means(truth, 4), PLACE)
    job = tmp_path / "job.toml"
    job.write_text(
        'output = "{name}_sharp.tif"\n'
        f'[[pairs]]\nsource = "{source.name}"\nguide = "{guide.name}"\n'
        '[[pairs]]\nsource = "later_lst.tif"\nguide = "later.tif"\n'
        '[options]\nmodel = "shared"\nscale = 4\nquality = "draft"\nthreads = 1\nguide_classes = "1"\n'
    )
    mmsr_geo.batch(job)
    with rasterio.open(tmp_path / "later_lst_sharp.tif") as dataset:
        tags = dataset.tags()
    assert tags["MMSR_GEO_GUIDE_CLASSES"].endswith("later.tif: classes 10, 20, 30, 40, 50 as one band each")
    assert json.loads(tags["MMSR_GEO_OPTIONS"])["guide_classes"] == ["1"]


def test_an_evaluation_has_classes(pair: tuple[Path, Path, NDArray[np.float32]]) -> None:
    source, guide, _ = pair
    found = mmsr_geo.evaluate(source, guide, 2, methods=["bicubic", "mmsr"], **QUICK)
    assert set(found.results) == {"bicubic", "mmsr"}
