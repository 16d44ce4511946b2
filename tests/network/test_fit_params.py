"""Budgets of a fit: qualities, their work, and the steps that a work gives."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import get_args

import pytest

from mmsr_geo.network.fit_params import QUALITIES, STEPS, FitParams, steps_of, work_of
from mmsr_geo.options import FitOptions, Quality, option_of


def test_each_quality_has_more_work_than_the_one_before() -> None:
    works = [FitParams.of(quality).work for quality in get_args(Quality)]
    assert works[0] == 0
    assert works == sorted(set(works))
    assert set(QUALITIES) == set(get_args(Quality))


def test_help_states_the_work_of_each_quality() -> None:
    (text,) = (option_of(declared).help for declared in fields(FitOptions) if declared.name == "work")
    for quality in get_args(Quality):
        assert f"{FitParams.of(quality).work:.2g} for {quality}" in text


@pytest.mark.parametrize("steps", [1, 2, 3, 99, 100, 600, 3000])
def test_steps_and_work_give_each_other(steps: int) -> None:
    assert steps_of(work_of(steps)) == steps
    assert work_of(steps_of(work_of(steps) * 1.0001)) <= work_of(steps) * 1.0001


def test_work_replaces_the_steps_of_a_quality() -> None:
    params = FitParams.of("best", work=2, threads=1)
    assert params == replace(FitParams.of("best", threads=1), steps=steps_of(2))
    assert params.work <= 2 < work_of(steps_of(2) + 1)
    assert FitParams.of("draft", work=2).network


@pytest.mark.parametrize("quality", get_args(Quality))
def test_no_work_is_no_network(quality: Quality) -> None:
    params = FitParams.of(quality, work=0)
    assert not params.network
    assert params.steps is None
    assert params.work == 0


def test_the_default_is_balanced() -> None:
    assert FitParams.of("balanced") == FitParams()
    assert FitParams().work == work_of(STEPS)
