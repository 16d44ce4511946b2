"""The QA flags against what is known of a pair, the feather beside nodata, and the range that targets keep to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmsr_geo.engine.flags import MEANINGS, Flag, FlagRules, unhelpful_regions, within_range
from mmsr_geo.engine.tile_upsampler import TargetTile, Upsampler
from mmsr_geo.geometry import Scale, Tile, Window
from mmsr_geo.network.degradation import bicubic, degrade, nearest
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.guide_check import GuideCheck, Region
from mmsr_geo.network.guide_gaps import FEATHER_PX, feathered
from mmsr_geo.network.samples import Sample, Statistics, guide_range
from mmsr_geo.raster.base import Pixels
from support.scenes import scene

SCALE = Scale(3, 3)


def made(upsampler: Upsampler, sample: Sample) -> TargetTile:
    whole = Window(0, 0, *sample.source.shape)
    source = Pixels(sample.source[None].numpy(), sample.source_valid.numpy())
    guide = Pixels(sample.guide.numpy(), sample.guide_valid.numpy())
    return upsampler.upsample(Tile(0, whole, whole), source, guide)


def is_set(tile: TargetTile, flag: Flag) -> NDArray[np.bool_]:
    return (tile.qa & flag) > 0


@pytest.fixture(scope="module")
def clean() -> Sample:
    return scene(24, 30, SCALE, seed=5)


@pytest.fixture(scope="module")
def model(fitted: FittedModel, clean: Sample) -> FittedModel:
    statistics = Statistics.of([clean])
    return replace(fitted.with_statistics(statistics), guide_range=guide_range([clean], statistics))


def upsampler_of(model: FittedModel, rules: FlagRules | None = None) -> Upsampler:
    return Upsampler.of(model, "cpu", rules=rules or FlagRules(guide_range=model.seen_range))


def test_every_flag_is_a_bit_of_a_byte_and_has_a_meaning() -> None:
    assert [int(flag) for flag in Flag] == [1, 2, 4, 8, 16, 32]
    assert set(MEANINGS) == set(Flag)


def test_a_pair_with_nothing_to_say_has_no_flag(model: FittedModel, clean: Sample) -> None:
    assert not made(upsampler_of(model), clean).qa.any()


def test_nodata_of_the_source_is_flagged_where_the_target_is_nan(model: FittedModel, clean: Sample) -> None:
    valid = clean.source_valid.clone()
    valid[3:5, 7:9] = False
    tile = made(upsampler_of(model), replace(clean, source_valid=valid))
    assert (is_set(tile, Flag.SOURCE_NODATA) == np.isnan(tile.values)).all()
    assert is_set(tile, Flag.SOURCE_NODATA).sum() == 4 * SCALE.area


def test_a_missing_guide_is_flagged_there_and_in_the_feather_around(model: FittedModel, clean: Sample) -> None:
    known = clean.guide_valid.clone()
    known[20:40, 30:50] = False
    tile = made(upsampler_of(model), replace(clean, guide_valid=known))
    found = is_set(tile, Flag.GUIDE_GAP)
    receptive_field = 2 * FEATHER_PX
    expected = np.zeros_like(found)
    expected[20 - receptive_field : 40 + receptive_field, 30 - receptive_field : 50 + receptive_field] = True
    assert (found == expected).all()
    assert not is_set(tile, Flag.EXTRAPOLATED).any()


def test_a_guide_beyond_what_the_model_has_seen_is_flagged(model: FittedModel, clean: Sample) -> None:
    guide = clean.guide.clone()
    guide[1, 10, 12] = clean.guide[1].max() + 1
    guide[0, 11, 12] = clean.guide[0].min() - 1
    guide[0, 12, 12] = clean.guide[0].max()
    tile = made(upsampler_of(model), replace(clean, guide=guide))
    assert np.argwhere(is_set(tile, Flag.EXTRAPOLATED)).tolist() == [[10, 12], [11, 12]]


def test_a_saved_model_knows_its_range_and_another_dates_statistics_move_it(
    model: FittedModel, tmp_path: object
) -> None:
    path = f"{tmp_path}/a.mmsr"
    model.save(path)
    again = FittedModel.load(path)
    assert again.seen_range == model.seen_range
    assert again.seen_range is not None
    warmer = replace(model.statistics, guide_centre=tuple(centre + 50 for centre in model.statistics.guide_centre))
    moved = model.with_statistics(warmer).seen_range
    assert moved is not None
    assert np.allclose(np.array(moved) - np.array(again.seen_range), 50)


def region(row: int, col: int, squares: float, validated_px: int = 10) -> Region:
    return Region(Window(row, col, 10, 10), validated_px, squares, 1.0)


def test_regions_where_the_guide_did_not_help_are_flagged(model: FittedModel, clean: Sample) -> None:
    check = GuideCheck((region(0, 0, 0.5), region(0, 10, 2.0), region(0, 20, 0.1), region(10, 10, 9.0, validated_px=0)))
    tile = made(upsampler_of(model, FlagRules(check)), clean)
    expected = np.zeros(tile.qa.shape, np.bool_)
    expected[:, 10 * SCALE.x : 20 * SCALE.x] = True
    assert (is_set(tile, Flag.UNHELPFUL) == expected).all()


def test_regions_are_the_same_in_any_window_and_of_the_nearest_sample() -> None:
    check = GuideCheck(tuple(region(40 * i, 40 * j, 2.0 if (i + j) % 2 else 0.2) for i in range(3) for j in range(3)))
    whole = unhelpful_regions(check, Window(0, 0, 90, 90))
    part = unhelpful_regions(check, Window(31, 17, 22, 40))
    assert (part == whole[31:53, 17:57]).all()
    assert not whole[24, 24]  # nearer to the region at (0, 0) than to the ones beside it
    assert whole[24, 26]
    assert not unhelpful_regions(GuideCheck(), Window(0, 0, 4, 4)).any()
    assert unhelpful_regions(GuideCheck((region(0, 0, 3.0),)), Window(50, 50, 4, 4)).all()


def test_where_the_guide_was_left_out_all_is_flagged(model: FittedModel, clean: Sample) -> None:
    assert is_set(made(upsampler_of(model, FlagRules(fell_back=True)), clean), Flag.UNHELPFUL).all()


def test_the_feather_rises_from_nothing_in_a_gap_to_all_a_few_pixels_off() -> None:
    known = torch.ones(40, 50, dtype=torch.bool)
    known[15:20, 20:30] = False
    weights = feathered(known)
    assert not weights[~known].any()
    line = weights[17, 30:].tolist()
    assert line == sorted(line)
    assert 0 < line[1] < line[3] < 1
    assert line[2 * FEATHER_PX :] == [1.0] * (20 - 2 * FEATHER_PX)
    part = feathered(known[9:26, 14:36])  # cut well outside the feather
    assert torch.equal(part[2:-2, 2:-2], weights[11:24, 16:34])
    assert bool((feathered(torch.ones(3, 3, dtype=torch.bool)) == 1).all())


def test_beside_a_gap_in_the_guide_a_prediction_fades_into_the_baseline(model: FittedModel, clean: Sample) -> None:
    known = clean.guide_valid.clone()
    known[:, 45:] = False
    smooth = bicubic(clean.source.double(), SCALE)
    raw = replace(Upsampler.of(model, "cpu", consistent=False), predictor=lambda _: smooth + 10)
    target = made(raw, replace(clean, guide_valid=known)).values
    assert np.allclose(target - smooth.numpy(), feathered(known) * 10, atol=1e-3)
    assert np.abs(np.diff(target - smooth.numpy(), axis=1)).max() < 10 / 2  # no step


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**31 - 1), st.floats(0.0, 1.0), st.floats(1.0, 3.0))
def test_a_target_drawn_within_its_range_still_averages_to_its_source(
    height: int, width: int, seed: int, low: float, span: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    scale, limits = Scale(2, 4), (low, low + span)
    target = torch.rand(height * 2, width * 4, generator=generator, dtype=torch.float64) * 4
    source = degrade(target, scale)
    limited = within_range(target, source, torch.ones_like(source, dtype=torch.bool), scale, limits)
    possible = (source >= low) & (source <= low + span)
    where = nearest(possible, scale)
    assert torch.allclose(degrade(limited, scale), source, rtol=0, atol=1e-12)
    assert bool(((limited >= low) & (limited <= low + span))[where].all())
    assert torch.equal(limited[~where], target[~where])
    kept = where & nearest(degrade(((target < low) | (target > low + span)).double(), scale) == 0, scale)
    assert torch.equal(limited[kept], target[kept])


@pytest.mark.parametrize("consistent", [True, False])
def test_a_valid_range_is_kept_and_where_it_cannot_be_that_is_flagged(
    model: FittedModel, clean: Sample, *, consistent: bool
) -> None:
    free = made(Upsampler.of(model, "cpu", consistent=consistent), clean).values
    low, high = (float(end) for end in np.quantile(free, [0.2, 0.9]))
    source = clean.source
    beyond = ((source < low) | (source > high)).numpy().repeat(3, axis=0).repeat(3, axis=1)
    rules = FlagRules(valid_range=(low, high))
    tile = made(Upsampler.of(model, "cpu", consistent=consistent, rules=rules), clean)
    assert (is_set(tile, Flag.OUT_OF_RANGE) == beyond).all()
    inside = tile.values[~beyond]
    assert inside.min() >= np.float32(low) - 1e-4
    assert inside.max() <= np.float32(high) + 1e-4
    if consistent:
        means = tile.values.astype(np.float64).reshape(24, 3, 30, 3).mean(axis=(1, 3))
        assert np.abs(means - source.numpy()).max() < 1e-4
