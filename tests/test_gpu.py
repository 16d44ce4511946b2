"""The same on a GPU: run where there is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rasters import block_means, sentinel_crop, sentinel_guide, sentinel_net

import mmsr_geo

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]


def test_prediction_agrees_with_the_cpu() -> None:
    crop = sentinel_crop(0, 0, 24, 24, 4)
    on_cpu, on_gpu = (
        mmsr_geo.upsample(crop.source, sentinel_guide(), 4, net=sentinel_net(4), device=device).compute().values
        for device in ("cpu", "cuda")
    )
    assert np.abs(on_cpu - on_gpu).max() < 1e-3 * crop.source.values.std()
    assert np.abs(block_means(on_gpu, 4) - crop.source.values).max() <= 1e-5 * crop.source.values.std()


def test_a_fit_moves_there_and_repeats() -> None:
    crop = sentinel_crop(0, 0, 24, 24, 4)
    params = mmsr_geo.FitParams(steps=20, patch_px=48)
    nets = [mmsr_geo.fit(crop.source, sentinel_guide(), 4, params=params, device="cuda") for _ in range(2)]
    assert nets[0].provenance["fit"]["device"] == "cuda"
    for name, weights in nets[0].weights.items():
        assert torch.allclose(weights, nets[1].weights[name], atol=1e-4)


def test_tiled_is_untiled_there() -> None:
    crop = sentinel_crop(0, 0, 40, 40, 4)
    whole, parts = (
        mmsr_geo.upsample(
            crop.source, sentinel_guide(), 4, net=sentinel_net(4), device="cuda", tile_size=size
        ).compute()
        for size in (1000, 50)
    )
    assert np.abs(whole.values - parts.values).max() <= 1e-5 * crop.source.values.std()
