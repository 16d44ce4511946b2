"""What tests share: one torch thread, no deadline for Hypothesis, a small fitted model, and the command."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from mmsr_geo.cli import main as cli
from mmsr_geo.geometry import Scale
from mmsr_geo.network.fit import fit_samples
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.network.fitted import FittedModel
from support.command import CommandResult
from support.scenes import scene

torch.set_num_threads(1)
settings.register_profile("mmsr", deadline=None)  # the first example pays for imports, and the machine may be busy
settings.load_profile("mmsr")


@pytest.fixture(scope="session")
def fitted() -> FittedModel:
    """A model for two guide bands and scale 3, after a few steps: far from random, far from good."""
    scale = Scale(3, 3)
    params = FitParams(steps=12, patch_px=24, threads=1, first_stage=False, ensemble=False)
    return fit_samples([scene(24, 24, scale)], scale, params, guide_bands=("red", "nir"), provenance={"source": "s"})


@pytest.fixture
def here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., CommandResult]]:
    """Run the command in this process, in the test's folder: seconds quicker than in one of its own."""

    def run(*arguments: object) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["mmsr-geo", *map(str, arguments)])
        status = 0
        try:
            cli.main()
        except SystemExit as left:
            status = int(left.code or 0)
        reported = capsys.readouterr()
        return status, reported.out, reported.err

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    yield run
    signal.signal(signal.SIGTERM, before)
