"""Every method by name, through each door: what it gives, and which options go with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
import xarray as xr

import mmsr_geo
from mmsr_geo.engine import pair as pair_module
from mmsr_geo.methods.baseline import METHODS
from support.rasters import block_means, sentinel_crop, sentinel_guide, sentinel_model

pytestmark = pytest.mark.slow

NAMES = (*METHODS, *(f"{name}+consistency" for name in METHODS))
FEW = mmsr_geo.FitParams(steps=12, threads=1)


@pytest.fixture(scope="module")
def source() -> xr.DataArray:
    return sentinel_crop(20, 20, 20, 24, 4).source


def options(name: str) -> dict[str, Any]:
    return {"method": name} | ({"params": FEW} if name.startswith("p2p") else {})


def upsampled(source: xr.DataArray, name: str, **more: Any) -> xr.DataArray:
    return mmsr_geo.upsample(source, sentinel_guide(), 4, **options(name), **more).compute()


@pytest.mark.parametrize("name", NAMES)
def test_tiles_are_the_untiled_and_a_file_is_the_lazy_result(source: xr.DataArray, tmp_path: Path, name: str) -> None:
    deviation = float(source.std())
    untiled, tiled = upsampled(source, name), upsampled(source, name, tile_size=40)
    assert np.isfinite(untiled).all()
    np.testing.assert_allclose(tiled, untiled, rtol=0, atol=1e-5 * deviation)
    output = tmp_path / "sharp.tif"
    outcome = mmsr_geo.upsample_to_file(source, sentinel_guide(), output, 4, **options(name), tile_size=40)
    with rasterio.open(output) as dataset:
        np.testing.assert_allclose(dataset.read(1), tiled, rtol=0, atol=1e-6 * deviation)
        assert dataset.tags()["MMSR_GEO_METHOD"] == name
    with pytest.raises(mmsr_geo.OptionError, match="computed without a model of the scene, so there is none to save"):
        _ = outcome.model


@pytest.mark.parametrize("name", NAMES)
def test_block_means_are_the_sources_where_that_is_asked_for(source: xr.DataArray, name: str) -> None:
    error = np.abs(block_means(upsampled(source, name).values, 4) - source.values).max()
    exact = 1e-5 * float(source.std())
    if name.endswith("+consistency") or name == "nearest":
        assert error <= exact
    else:
        assert error > 1000 * exact


def test_interpolations_are_torchs(source: xr.DataArray) -> None:
    tensor = torch.from_numpy(source.values)[None, None]
    for name in ("bilinear", "bicubic"):
        wanted = F.interpolate(tensor, scale_factor=4, mode=name, align_corners=False)[0, 0].numpy()
        np.testing.assert_allclose(upsampled(source, name), wanted, rtol=0, atol=1e-4 * float(source.std()))
    np.testing.assert_array_equal(upsampled(source, "nearest"), source.values.repeat(4, 0).repeat(4, 1))


def test_p2p_takes_the_seed_and_the_steps(source: xr.DataArray) -> None:
    first, again, other = (upsampled(source, "p2p", seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    longer = source.mmsr.upsample(sentinel_guide(), 4, method="p2p", params=mmsr_geo.FitParams(steps=13, threads=1))
    assert not np.array_equal(first, longer)


def test_a_file_says_which_options_a_method_had(source: xr.DataArray, tmp_path: Path) -> None:
    mmsr_geo.upsample_to_file(source, sentinel_guide(), tmp_path / "sharp.tif", 4, **options("p2p"), seed=3)
    with rasterio.open(tmp_path / "sharp.tif") as dataset:
        reported = json.loads(dataset.tags()["MMSR_GEO_OPTIONS"])
    assert {key: reported[key] for key in ("method", "consistent", "seed", "steps")} == {
        "method": "p2p",
        "consistent": False,
        "seed": 3,
        "steps": 12,
    }


def test_the_published_fit_is_the_whole_raster_a_step(source: xr.DataArray) -> None:
    stages: list[tuple[str, int, int]] = []
    model = mmsr_geo.fit(
        source,
        sentinel_guide(),
        4,
        params=mmsr_geo.FitParams.published(steps=2, threads=1),
        progress=lambda *call: stages.append(call),
    )
    record = model.provenance["fit"]
    assert (record["pixel_steps"], record["first_stage"]) == (2 * 80 * 96, False)
    assert (model.params.guide_bands, model.check.result) == (4, "unknown")
    assert {stage for stage, *_ in stages} == {"sample", "fit"}
    by_name, by_params = (
        source.mmsr.upsample(sentinel_guide(), 4, fit="published", params=params).values
        for params in (mmsr_geo.FitParams(steps=2, threads=1), mmsr_geo.FitParams.published(steps=2, threads=1))
    )
    assert np.array_equal(by_name, by_params)
    assert np.array_equal(by_name, source.mmsr.upsample(sentinel_guide(), 4, model=model).values)


def test_the_published_fit_of_a_raster_that_is_not_held_whole_is_refused(
    source: xr.DataArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_module, "SAMPLED_TARGET_PX", 16 * 12 * 12)
    monkeypatch.setattr(pair_module, "SAMPLED_WINDOWS", 4)
    lazy = source.mmsr.upsample(sentinel_guide(), 4, fit="published", params=mmsr_geo.FitParams(steps=1, threads=1))
    with pytest.raises(mmsr_geo.OptionError, match=r"uses the whole raster .* with bounds=, or pass fit='tile'"):
        lazy.compute()


NET = "NET"
STEPS = mmsr_geo.FitParams(steps=3)
PATCH = mmsr_geo.FitParams(patch_px=32)
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"method": "lanczos"}, r"method= is 'lanczos': choose one of mmsr, nearest, .*p2p"),
    ({"method": "bicubic+"}, r"method= is 'bicubic\+': choose"),
    ({"method": ""}, "method= is '': choose one"),
    ({"fit": "forest"}, "fit= is 'forest': choose one of scene, adapt, tile, published"),
    ({"if_unhelpful": "cry"}, "if_unhelpful= is 'cry': choose one of interpolate, warn, error"),
    ({"keep_statistics": True}, "keep_statistics= needs a saved model: pass model="),
    (
        {"method": "bicubic", "model": NET},
        "model= belongs to mmsr, and the method is bicubic: leave out",
    ),
    ({"method": "p2p+consistency", "fit": "tile"}, r"fit= belongs to mmsr, and the method is p2p\+consistency"),
    ({"method": "bicubic", "params": STEPS}, r"the method bicubic has no steps: leave out steps="),
    ({"method": "guided-filter", "params": STEPS}, "the method guided-filter has no steps"),
    (
        {"method": "p2p", "params": PATCH},
        "the method p2p is not fitted as mmsr is: leave out quality=",
    ),
    (
        {"fit": "tile", "model": NET},
        "fit='tile' fits a new model: leave out model=, or pass fit='scene' or fit='adapt'",
    ),
    ({"fit": "published", "model": NET}, "fit='published' fits a new model"),
    ({"model": NET, "params": STEPS}, "a saved model is not fitted again"),
    ({"fit": "published", "params": PATCH}, "fit='published' has parameters of its own: leave out quality="),
    ({"device": "abacus"}, "device= is 'abacus': choose auto"),
    ({"tile_size": 0}, "tile_size= is 0: give a number of 1 or more"),
]


@pytest.mark.parametrize(("wrong", "said"), REFUSED)
def test_options_that_contradict_each_other_are_refused_at_the_call(
    source: xr.DataArray, tmp_path: Path, wrong: dict[str, Any], said: str
) -> None:
    given = wrong | ({"model": sentinel_model(4)} if "model" in wrong else {})
    with pytest.raises(mmsr_geo.OptionError, match=said):
        source.mmsr.upsample(sentinel_guide(), 4, **given)
    with pytest.raises(mmsr_geo.OptionError, match=said):
        mmsr_geo.upsample_to_file(source, sentinel_guide(), tmp_path / "sharp.tif", 4, **given)
    assert list(tmp_path.iterdir()) == []


def test_threads_go_with_every_method(source: xr.DataArray) -> None:
    threads = mmsr_geo.FitParams(threads=1)
    for given in ({"method": "bicubic"}, {"model": sentinel_model(4)}, {"model": sentinel_model(4), "fit": "adapt"}):
        assert source.mmsr.upsample(sentinel_guide(), 4, params=threads, **given).shape == (80, 96)


def test_a_method_without_a_guide_needs_none_that_is_valid(source: xr.DataArray) -> None:
    """Clouds everywhere: an interpolation does not look at them, the others fall back to one."""
    clouds = sentinel_guide().astype(np.float32).copy()
    clouds[:] = np.nan
    given = source.mmsr.upsample(clouds, 4, method="bicubic").values
    assert np.array_equal(given, upsampled(source, "bicubic").values)
    lazy = source.mmsr.upsample(clouds, 4, **options("p2p"))
    with pytest.raises(mmsr_geo.PixelError, match="no valid pixel in common"):
        lazy.compute()
