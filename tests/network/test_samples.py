"""Statistics of what a fit sees: robust, blind to nodata, never a division by zero."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mmsr_geo.errors import PixelError
from mmsr_geo.geometry import Scale
from mmsr_geo.network import samples
from mmsr_geo.network.samples import Sample, Statistics
from support.scenes import scene, with_gaps

TWO = Scale(2, 2)


def pair_of(source: Tensor, guide: Tensor) -> Sample:
    """Make a sample of one row of source values and (C, n) guide values, all valid where they are not NaN."""
    return Sample(source[None].float(), ~source[None].isnan(), guide[:, None].float(), ~guide[:1].isnan())


def winsorised(values: Tensor) -> tuple[float, float]:
    """Return mean and deviation with the outer 1 % moved to the last value kept, by sorting."""
    ordered = np.sort(values.double().numpy().ravel())
    out = max(1, round(0.01 * len(ordered)))
    low, high = ordered[out - 1], ordered[-out]
    cut = np.clip(ordered, low, high)
    return float(cut.mean()), float(cut.std())


@given(st.integers(150, 900), st.integers(0, 99))
def test_they_are_mean_and_deviation_with_the_outer_hundredth_cut(count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    source = torch.randn(count, generator=generator) * 3 + 280
    guide = torch.rand(3, count, generator=generator) * torch.tensor([[1.0], [100.0], [1e4]])
    statistics = Statistics.of([pair_of(source, guide)])
    assert (statistics.source_centre, statistics.source_spread) == pytest.approx(winsorised(source), rel=1e-3)
    for band in range(3):
        measured = statistics.guide_centre[band], statistics.guide_spread[band]
        assert measured == pytest.approx(winsorised(guide[band]), rel=1e-2)


def test_a_few_wild_values_change_next_to_nothing() -> None:
    clean = scene(40, 40, TWO)
    wild_source, wild_guide = clean.source.clone(), clean.guide.clone()
    wild_source[::20, 7] = -9999
    wild_guide[1, ::20, 3] = 65535
    before, after = Statistics.of([clean]), Statistics.of([replace(clean, source=wild_source, guide=wild_guide)])
    assert after.source_centre == pytest.approx(before.source_centre, abs=0.05 * before.source_spread)
    assert after.source_spread == pytest.approx(before.source_spread, rel=0.05)
    assert after.guide_centre[1] == pytest.approx(before.guide_centre[1], abs=0.05 * before.guide_spread[1])
    assert after.guide_spread[1] == pytest.approx(before.guide_spread[1], rel=0.05)
    assert after.guide_spread[0] == before.guide_spread[0]


@pytest.mark.parametrize("value", [0.0, 1.0, -273.15, 65535.0, 1e8])
def test_a_constant_band_gets_a_spread_of_one(value: float) -> None:
    statistics = Statistics.of([pair_of(torch.full((50,), value), torch.full((2, 50), value))])
    assert statistics.source_spread == 1
    assert statistics.guide_spread == (1, 1)
    assert statistics.source_centre == pytest.approx(value)
    band = statistics.normalise_guide(torch.full((2, 1, 50), value), torch.ones(1, 50, dtype=torch.bool))
    torch.testing.assert_close(band, torch.zeros_like(band), rtol=0, atol=1e-3)


def test_a_band_that_is_rarely_anything_but_one_value_keeps_a_deviation_above_zero() -> None:
    """Roads in a mask: less than the hundredth that is cut, and still the band's only content."""
    rare = torch.zeros(1, 1000)
    rare[0, 500] = 1
    statistics = Statistics.of([pair_of(torch.arange(1000.0), rare)])
    assert statistics.guide_spread[0] == pytest.approx(float(rare.double().std(correction=0)))


def test_one_valid_pixel_is_enough() -> None:
    statistics = Statistics.of([pair_of(torch.tensor([torch.nan, 7.0]), torch.tensor([[torch.nan, 3.0]]))])
    assert (statistics.source_centre, statistics.source_spread) == (7, 1)
    assert (statistics.guide_centre, statistics.guide_spread) == ((3,), (1,))


@given(st.integers(0, 99))
def test_what_lies_under_nodata_does_not_matter(seed: int) -> None:
    gappy = with_gaps(scene(12, 11, TWO, seed=seed), source=0.4, guide=0.3, seed=seed)
    garbage = replace(
        gappy,
        source=torch.where(gappy.source_valid, gappy.source, torch.tensor(-3.4e38)),
        guide=torch.where(gappy.guide_valid, gappy.guide, torch.tensor(torch.inf)),
    )
    statistics = Statistics.of([gappy])
    assert statistics == Statistics.of([garbage])
    for normalised in (
        [statistics.normalise_source(s.source, s.source_valid) for s in (gappy, garbage)],
        [statistics.normalise_guide(s.guide, s.guide_valid) for s in (gappy, garbage)],
    ):
        assert bool(normalised[0].isfinite().all())
        assert torch.equal(*normalised)


def test_samples_count_together() -> None:
    sample = scene(20, 20, TWO)
    upper = Sample(sample.source[:10], sample.source_valid[:10], sample.guide[:, :20], sample.guide_valid[:20])
    lower = Sample(sample.source[10:], sample.source_valid[10:], sample.guide[:, 20:], sample.guide_valid[20:])
    whole, parts = Statistics.of([sample]), Statistics.of([upper, lower])
    assert (parts.source_centre, parts.source_spread) == pytest.approx((whole.source_centre, whole.source_spread))
    assert parts.guide_centre == pytest.approx(whole.guide_centre)


def test_large_samples_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = scene(60, 60, TWO)
    whole = Statistics.of([sample])
    monkeypatch.setattr(samples, "LARGEST_STATISTICS_SAMPLE", 1000)
    thinned = Statistics.of([sample])
    assert thinned != whole
    assert thinned.source_spread == pytest.approx(whole.source_spread, rel=0.1)
    assert thinned.guide_centre[0] == pytest.approx(whole.guide_centre[0], abs=0.1 * whole.guide_spread[0])


@pytest.mark.parametrize(("part", "said"), [("source", "source holds no valid"), ("guide", "guide holds no valid")])
def test_without_a_valid_pixel_the_error_says_of_which_raster(part: str, said: str) -> None:
    missing = with_gaps(scene(4, 4, TWO), source=2.0 * (part == "source"), guide=2.0 * (part == "guide"))
    with pytest.raises(PixelError, match=said):
        Statistics.of([missing, missing])


@pytest.mark.parametrize(("centre", "spread"), [(1e6, 0.5), (-2e5, 3.0), (300.0, 1e-3)])
def test_values_far_from_zero_keep_their_small_deviations(centre: float, spread: float) -> None:
    sample = scene(30, 30, TWO, centre=centre, spread=spread)
    exact = sample.source.double()
    statistics = Statistics.of([sample])
    assert statistics.source_centre == pytest.approx(float(exact.mean()), abs=0.05 * spread)
    assert statistics.source_spread == pytest.approx(float(exact.std(correction=0)), rel=0.05)
    normalised = statistics.normalise_source(sample.source, sample.source_valid)
    assert normalised.dtype == torch.float32
    back = normalised.double() * statistics.source_spread + statistics.source_centre
    torch.testing.assert_close(back, exact, rtol=0, atol=1e-6 * statistics.source_spread)
    centred = statistics.centred_source(sample.source)
    assert centred.dtype == torch.float64
    back = centred * statistics.source_spread + statistics.source_centre
    torch.testing.assert_close(back, exact, rtol=1e-15, atol=1e-12 * spread)


def test_a_guide_far_from_zero_is_centred_without_losing_its_detail() -> None:
    """Northings as a band: at 9e6 float32 goes by steps of 1, and the centre is off by half a step at most."""
    guide = torch.linspace(0, 70, 400).reshape(1, -1) + 9_000_000.3
    sample = pair_of(torch.arange(400.0), guide.double())
    statistics = Statistics.of([sample])
    normalised = statistics.normalise_guide(sample.guide, sample.guide_valid)[0, 0].double()
    exact = (sample.guide[0, 0].double() - statistics.guide_centre[0]) / statistics.guide_spread[0]
    off = normalised - exact
    torch.testing.assert_close(off, off[0].expand(400), rtol=0, atol=1e-6)
    assert abs(float(off[0])) <= 0.5 / statistics.guide_spread[0]


@pytest.mark.parametrize(
    "wrong",
    [
        (0.0, 0.0, (0.0,), (1.0,)),
        (0.0, -1.0, (0.0,), (1.0,)),
        (0.0, 1.0, (0.0,), (0.0,)),
        (0.0, 1.0, (0.0, 0.0), (1.0,)),
        (math.nan, 1.0, (0.0,), (1.0,)),
        (0.0, 1.0, (0.0,), (math.inf,)),
    ],
)
def test_statistics_that_nothing_can_be_divided_by_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="finite centre and a spread above 0"):
        Statistics(*wrong)


def test_normalised_values_have_zero_mean_and_unit_deviation_and_zero_in_gaps_of_the_guide() -> None:
    sample = with_gaps(scene(30, 30, TWO), guide=0.2)
    statistics = Statistics.of([sample])
    guide = statistics.normalise_guide(sample.guide, sample.guide_valid)
    assert guide.dtype == torch.float32
    assert not bool(guide[:, ~sample.guide_valid].any())
    for band in guide[:, sample.guide_valid].double():
        assert float(band.mean()) == pytest.approx(0, abs=0.02)
        assert float(band.std()) == pytest.approx(1, abs=0.03)
