"""Guide checks that count a guide as helpful from a gain of the test's choice on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mmsr_geo.network import validation
from mmsr_geo.network.guide_check import GuideCheck, guide_check_of


def require_gain(monkeypatch: pytest.MonkeyPatch, gain: float) -> None:
    """Let the guide of a network count as helpful from this gain on."""

    def checked(*arguments: Any) -> GuideCheck:
        return replace(guide_check_of(*arguments), least_gain=gain)

    monkeypatch.setattr(validation, "guide_check_of", checked)
