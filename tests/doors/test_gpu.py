"""The same on a GPU: run where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray

import mmsr_geo
from mmsr_geo.engine.tile_upsampler import TargetTile, Upsampler
from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Scale, Tile, Window
from mmsr_geo.network.attention import naive_neighbourhood_attention, neighbourhood_attention
from mmsr_geo.network.device import resolve_device
from mmsr_geo.network.fit import fit_samples
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.samples import Statistics
from mmsr_geo.raster.base import Pixels
from support.rasters import Crop, block_means, sentinel_crop, sentinel_guide, sentinel_model
from support.scenes import scene, with_gaps

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]
DEVICE = "cuda"
CLOSE = 1e-4
"""How far a prediction on a GPU may be from the CPU's, in the source's deviation: the sums' order differs."""
EXACT = 1e-5
"""What exact means on the source's grid, in its deviation."""
Values = NDArray[np.float32]


@pytest.fixture(scope="module")
def crop() -> Crop:
    return sentinel_crop(0, 0, 40, 40, 4)


def upsampled(source: xr.DataArray, device: str = DEVICE, **options: Any) -> xr.DataArray:
    made = mmsr_geo.upsample(source, sentinel_guide(), 4, device=device, **options)
    return made.compute(scheduler="sync")


@pytest.mark.parametrize("shape", [(1, 64, 1, 1), (2, 64, 13, 19), (3, 16, 8, 9), (1, 64, 96, 96)])
@pytest.mark.parametrize("size", [5, 11])
def test_attention_agrees_with_the_unfolded_form(shape: tuple[int, ...], size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query, neighbours, upstream = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3))
    outcomes = []
    for attend, dtype, device in (
        (naive_neighbourhood_attention, torch.float64, "cpu"),
        (neighbourhood_attention, torch.float32, DEVICE),
    ):
        q, n = (tensor.to(device, dtype).requires_grad_() for tensor in (query, neighbours))
        ensemble = attend(q, n, size)
        gradients = torch.autograd.grad((ensemble * upstream.to(device, dtype)).sum(), (q, n))
        outcomes.append([tensor.detach().cpu().double() for tensor in (ensemble, *gradients)])
    for wanted, got in zip(*outcomes, strict=True):
        assert float((wanted - got).abs().max()) < 2e-5 * max(1.0, float(wanted.abs().max()))


def test_prediction_agrees_with_the_cpu(crop: Crop) -> None:
    on_cpu, on_gpu = (upsampled(crop.source, device, model=sentinel_model(4)).values for device in ("cpu", DEVICE))
    deviation = crop.source.values.std()
    assert np.abs(on_cpu - on_gpu).max() < CLOSE * deviation
    assert np.abs(block_means(on_gpu, 4) - crop.source.values).max() <= EXACT * deviation


@pytest.mark.parametrize("method", ["bicubic", "guided-filter+consistency", "p2p+consistency"])
def test_other_methods_agree_with_the_cpu(crop: Crop, method: str) -> None:
    params = mmsr_geo.FitParams(steps=5, threads=1) if method.startswith("p2p") else None
    on_cpu, on_gpu = (upsampled(crop.source, device, method=method, params=params).values for device in ("cpu", DEVICE))
    # Five steps of a fit, whose first are as large as Adam's rate whatever the gradient, end a little apart.
    close = 100 * CLOSE if method.startswith("p2p") else CLOSE
    assert np.abs(on_cpu - on_gpu).max() < close * crop.source.values.std()


def test_nodata_and_flags_are_those_of_the_cpu(crop: Crop) -> None:
    source, guide = crop.source.copy(deep=True), sentinel_guide().astype(np.float32).copy(deep=True)
    source.values[5:9, 20:31] = np.nan
    guide.values[:, 100:140, 30:70] = np.nan
    on_cpu, on_gpu = (
        mmsr_geo.upsample(source, guide, 4, model=sentinel_model(4), qa=True, device=device).compute()
        for device in ("cpu", DEVICE)
    )
    np.testing.assert_array_equal(np.isnan(on_gpu.values), np.isnan(on_cpu.values))
    np.testing.assert_array_equal(on_gpu.qa.values, on_cpu.qa.values)
    assert np.nanmax(np.abs(on_gpu.values - on_cpu.values)) < CLOSE * np.nanstd(source.values)


@pytest.mark.parametrize("size", [50, 96])
def test_tiled_is_untiled_there(crop: Crop, size: int) -> None:
    whole, parts = (
        upsampled(crop.source, model=sentinel_model(4), tile_size=tile_size).values for tile_size in (1000, size)
    )
    assert np.abs(whole - parts).max() <= EXACT * crop.source.values.std()


def test_tiles_side_by_side_are_the_same(crop: Crop) -> None:
    lazy = mmsr_geo.upsample(crop.source, sentinel_guide(), 4, model=sentinel_model(4), device=DEVICE, tile_size=40)
    alone, together = (lazy.compute(scheduler=scheduler, num_workers=4).values for scheduler in ("sync", "threads"))
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize("patch_px", [48, None])
def test_a_fit_repeats_there(patch_px: int | None) -> None:
    small = sentinel_crop(0, 0, 24, 24, 4)
    params = mmsr_geo.FitParams(steps=20, patch_px=patch_px)
    models = [mmsr_geo.fit(small.source, sentinel_guide(), 4, params=params, device=DEVICE) for _ in range(2)]
    assert models[0].provenance["fit"]["device"] == DEVICE
    assert models[0].provenance["fit"]["loss"] == models[1].provenance["fit"]["loss"]
    for name, weights in models[0].weights.items():
        assert torch.equal(weights, models[1].weights[name]), name


def test_a_fit_begins_as_on_the_cpu() -> None:
    """One step: the same weights, patches and gradients; later steps part as rounding grows."""
    small = sentinel_crop(0, 0, 24, 24, 4)
    params = mmsr_geo.FitParams(steps=1, patch_px=48, first_stage=False, threads=1)
    on_cpu, on_gpu = (
        mmsr_geo.fit(small.source, sentinel_guide(), 4, params=params, device=device) for device in ("cpu", DEVICE)
    )
    assert on_gpu.provenance["fit"]["loss"] == pytest.approx(on_cpu.provenance["fit"]["loss"], rel=1e-5)


def test_a_fit_is_as_good_as_on_the_cpu(crop: Crop) -> None:
    params = mmsr_geo.FitParams(steps=60, patch_px=64, threads=1, first_stage=True)
    errors, gains = [], []
    for device in ("cpu", DEVICE):
        model = mmsr_geo.fit(crop.source, sentinel_guide(), 4, params=params, device=device)
        error = upsampled(crop.source, model=model, if_unhelpful="warn").values - crop.truth
        errors.append(float(np.sqrt(np.mean(error.astype(np.float64) ** 2))))
        gains.append(model.check.gain or 0.0)
    assert errors[1] == pytest.approx(errors[0], rel=0.05)
    assert gains[1] == pytest.approx(gains[0], abs=0.1)


@pytest.mark.parametrize("fit", ["adapt", "tile"])
def test_blended_tiles_are_consistent_there(crop: Crop, fit: Any) -> None:
    params = mmsr_geo.FitParams(steps=10, patch_px=48, adapt_steps=5, threads=1)
    made = upsampled(crop.source, fit=fit, params=params, tile_size=80, if_unhelpful="warn").values
    assert np.abs(block_means(made, 4) - crop.source.values).max() <= EXACT * crop.source.values.std()


def test_a_model_fitted_there_works_on_a_cpu(tmp_path: Path, crop: Crop) -> None:
    params = mmsr_geo.FitParams(steps=10, patch_px=48)
    model = mmsr_geo.fit(crop.source, sentinel_guide(), 4, params=params, device=DEVICE)
    assert all(weights.device.type == "cpu" for weights in model.weights.values())
    model.save(tmp_path / "scene.mmsr")
    again = mmsr_geo.load(tmp_path / "scene.mmsr")
    there, here = (
        upsampled(crop.source, device, model=each, if_unhelpful="warn").values
        for device, each in ((DEVICE, model), ("cpu", again))
    )
    assert np.abs(there - here).max() < CLOSE * crop.source.values.std()


def test_auto_is_the_gpu_and_one_that_is_not_there_is_refused() -> None:
    assert resolve_device("auto").type == "cuda"
    assert resolve_device("cuda:0").index == 0
    with pytest.raises(OptionError, match="there is no cuda:99"):
        resolve_device("cuda:99")


SCALE = Scale(3, 3)


@pytest.fixture
def large() -> tuple[FittedModel, Pixels, Pixels]:
    """A model, and the pixels of 600 x 600 target pixels with nodata."""
    sample = with_gaps(scene(200, 200, SCALE, seed=4), source=0.02, guide=0.02)
    params = FitParams(steps=8, patch_px=24, threads=1, first_stage=False)
    model = fit_samples([scene(24, 24, SCALE)], SCALE, params, guide_bands=("red", "nir"))
    return (
        model.with_statistics(Statistics.of([sample])),
        Pixels(sample.source[None].numpy(), sample.source_valid.numpy()),
        Pixels(sample.guide.numpy(), sample.guide_valid.numpy()),
    )


@pytest.fixture
def scarce_memory() -> Iterator[int]:
    """Leave this process so many bytes of the GPU's memory."""
    allowed = 400_000_000
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(allowed / torch.cuda.get_device_properties(0).total_memory)
    yield allowed
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def test_a_tile_too_large_for_the_memory_is_halved(
    monkeypatch: pytest.MonkeyPatch, large: tuple[FittedModel, Pixels, Pixels], scarce_memory: int
) -> None:
    model, source, guide = large
    whole = Window(0, 0, 200, 200)
    upsampler = Upsampler.of(model, DEVICE)
    windows: list[Window] = []
    work = Upsampler._upsample_window

    def watched(self: Upsampler, sample: Any, core: Window) -> Any:
        made = work(self, sample, core)
        windows.append(core)
        return made

    monkeypatch.setattr(Upsampler, "_upsample_window", watched)
    torch.cuda.reset_peak_memory_stats()
    halved: TargetTile = upsampler.upsample(Tile(0, whole, whole), source, guide)
    assert len(windows) > 1
    assert torch.cuda.max_memory_reserved() <= scarce_memory
    on_cpu = Upsampler.of(model, "cpu").upsample(Tile(0, whole, whole), source, guide)
    np.testing.assert_array_equal(halved.qa, on_cpu.qa)
    np.testing.assert_array_equal(np.isnan(halved.values), np.isnan(on_cpu.values))
    deviation = float(source.values[0][source.valid].std())
    assert np.nanmax(np.abs(halved.values - on_cpu.values)) < CLOSE * deviation
