"""What tests share: one torch thread, no deadline for Hypothesis, and a small net fitted once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings
from scenes import scene

from mmsr_geo.geometry import Scale
from mmsr_geo.network.fitted import FittedNet
from mmsr_geo.network.fitting import FitParams, fit_samples

torch.set_num_threads(1)
settings.register_profile("mmsr", deadline=None)  # the first example pays for imports, and the machine may be busy
settings.load_profile("mmsr")


@pytest.fixture(scope="session")
def fitted() -> FittedNet:
    """A net for two guide bands and scale 3, after a few steps: far from random, far from good."""
    scale = Scale(3, 3)
    params = FitParams(steps=12, patch_px=24, threads=1, first_stage=False)
    return fit_samples([scene(24, 24, scale)], scale, params, guide_bands=("red", "nir"), provenance={"source": "s"})
