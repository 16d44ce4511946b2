"""Scores against cases known by hand, loops and skimage; each fault seen by its own score and by no other."""

from __future__ import annotations

import json
import math
import tracemalloc
from dataclasses import astuple
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mmsr_geo.evaluation import metrics
from mmsr_geo.evaluation.metrics import (
    Scores,
    bias,
    blockiness,
    consistency,
    high_frequency_correlation,
    mae,
    psnr,
    rmse,
    seam_score,
    ssim,
    texture_imprint,
)
from mmsr_geo.geometry import Scale
from mmsr_geo.network import degradation
from support.rasters import block_means, sentinel_crop, sentinel_guide

Values = NDArray[np.float64]

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")  # numpy's, of empty means and divisions by zero

X4 = Scale(4, 4)
SCALES = [Scale(2, 2), Scale(3, 3), X4, Scale(8, 8), Scale(4, 1), Scale(1, 4), Scale(2, 3)]
TILE_PX = (64, 64)


def noise(*shape: int, seed: int = 0) -> Values:
    return np.random.default_rng(seed).standard_normal(shape)


def means(values: Values, scale: Scale) -> Values:
    height, width = values.shape
    blocks: Values = values.reshape(height // scale.y, scale.y, width // scale.x, scale.x).mean(axis=(1, 3))
    return blocks


def nearest(source: Values, scale: Scale) -> Values:
    return np.repeat(np.repeat(source, scale.y, axis=0), scale.x, axis=1)


def bicubic(source: Values, scale: Scale) -> Values:
    interpolated: Values = degradation.bicubic(torch.from_numpy(source), scale).numpy()
    return interpolated


def consistent(prediction: Values, source: Values, scale: Scale) -> Values:
    everywhere = torch.ones(source.shape, dtype=torch.bool)
    made: Values = degradation.make_consistent(
        torch.from_numpy(prediction), torch.from_numpy(source), everywhere, scale
    ).numpy()
    return made


@cache
def scene() -> Values:
    """Return the whole Sentinel-2 truth: 256 x 256, 119 to 5194, deviation 682."""
    return sentinel_crop(0, 0, 256, 256, 1).truth.astype(np.float64)


@cache
def guide() -> Values:
    """Return the red band of the guide, on the truth's grid."""
    return block_means(sentinel_guide().values[2].astype(np.float32), 2)


def plane(*shape: int, down: float = 10.0, across: float = 7.0) -> Values:
    """Return a slope as a DEM has it: in float32, at 1000 m."""
    rows, columns = np.indices(shape)
    slope: Values = (1000 + down / 3 * rows + across / 3 * columns).astype(np.float32).astype(np.float64)
    return slope


def tiled(shape: tuple[int, int], tile_px: tuple[int, int]) -> Values:
    """Return 0 and 1, tile by tile as on a chess board."""
    rows, columns = np.indices(shape)
    return ((rows // tile_px[0] + columns // tile_px[1]) % 2).astype(np.float64)


def same(one: Scores, other: Scores, rtol: float = 0.0) -> None:
    np.testing.assert_allclose(astuple(one), astuple(other), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("offset", [17.0, -17.0])
def test_a_constant_offset_is_an_error_of_that_size_and_no_other_fault(offset: float) -> None:
    truth = scene()
    source = means(truth, X4)
    scores = Scores.of(truth + offset, source, X4, truth, TILE_PX)
    assert (scores.rmse, scores.mae, scores.bias) == pytest.approx((17, 17, offset))
    assert scores.consistency == pytest.approx(17 / source.std())
    assert scores.high_frequency_correlation == pytest.approx(1)
    assert (scores.seam_score, scores.blockiness) == pytest.approx((1, 1))
    assert scores.texture_imprint == pytest.approx(0, abs=1e-12)


def test_an_exact_target_has_exact_scores_and_json_takes_them() -> None:
    truth = scene()
    scores = Scores.of(truth.astype(np.float32), means(truth, X4), X4, truth, TILE_PX)
    assert astuple(scores) == pytest.approx((0, 0, 0, math.inf, 1, 1, 1, 1, 0, 0), abs=1e-12)
    written = json.loads(json.dumps(scores.as_dict(), allow_nan=False))
    assert list(written) == list(Scores.__slots__)
    assert (written["psnr"], written["rmse"]) == (None, 0)


def test_errors_by_hand() -> None:
    truth = np.array([[0.0, 10.0, 4.0], [2.0, 3.0, 5.0]])
    target = truth + np.array([[1, -1, 1], [3, -1, -3]])
    assert rmse(target, truth) == pytest.approx(math.sqrt(22 / 6))
    assert mae(target, truth) == pytest.approx(10 / 6)
    assert bias(target, truth) == 0
    assert psnr(target, truth) == pytest.approx(10 * math.log10(100 * 6 / 22))
    sine = np.sin(2 * np.pi * np.arange(64) / 16)[None].repeat(3, axis=0)
    assert rmse(3 * sine, 0 * sine) == pytest.approx(3 / math.sqrt(2))


def test_psnr_and_ssim_are_skimages_where_nothing_is_missing() -> None:
    truth = scene()
    target = bicubic(means(truth, X4), X4)
    span = truth.max() - truth.min()
    theirs: Any = peak_signal_noise_ratio(truth, target, data_range=span)  # type: ignore[no-untyped-call]
    assert psnr(target, truth) == pytest.approx(theirs)
    assert ssim(target, truth) == pytest.approx(skimages(target, truth)[0])


def skimages(target: Values, truth: Values) -> tuple[float, Values]:
    """Return skimage's mean and map as Wang et al. 2004 have it."""
    return structural_similarity(  # type: ignore[no-untyped-call, no-any-return]
        truth,
        target,
        data_range=truth.max() - truth.min(),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )


@pytest.mark.parametrize("rows", [1, 7, 26, 512])
def test_ssim_takes_strips_as_the_whole(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = scene()[:36, :40]
    target = truth + 300 * noise(36, 40)
    monkeypatch.setattr(metrics, "STRIP", rows)
    assert ssim(target, truth) == pytest.approx(skimages(target, truth)[0])


def test_ssim_is_the_mean_over_windows_without_nodata() -> None:
    truth = scene()[:40, :50]
    target = truth + 300 * noise(40, 50)
    _, each = skimages(target, truth)
    gappy = target.copy()
    gappy[17, 20] = gappy[39, 3] = np.nan
    whole = [
        each[row, col]
        for row, col in product(range(5, 35), range(5, 45))
        if np.isfinite(gappy[row - 5 : row + 6, col - 5 : col + 6]).all()
    ]
    assert len(whole) < 30 * 40
    assert ssim(gappy, truth) == pytest.approx(np.mean(whole))


def test_ssim_needs_a_window() -> None:
    assert math.isnan(ssim(noise(10, 40), noise(10, 40, seed=1)))
    assert math.isfinite(ssim(noise(11, 11), noise(11, 11, seed=1)))
    target = noise(15, 15)
    target[7, 7] = np.nan
    assert math.isnan(ssim(target, noise(15, 15)))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (1, 3), (5, 7)])
def test_the_smooth_raster_has_the_block_means_it_is_made_from(scale: Scale, shape: tuple[int, int]) -> None:
    source = noise(*shape)
    np.testing.assert_allclose(means(metrics._smooth(source, scale), scale), source, atol=1e-12)


@pytest.mark.parametrize("scale", SCALES)
def test_slopes_are_smooth_up_to_the_border_and_parabolas_inside(scale: Scale) -> None:
    rows, columns = np.indices((9 * scale.y, 8 * scale.x)).astype(np.float64)
    slope = 1000 + 10 * rows - 7 * columns
    np.testing.assert_allclose(metrics._smooth(means(slope, scale), scale), slope, rtol=1e-12)
    bend = slope + (rows - 3) ** 2 + 0.5 * rows * columns
    inside = np.s_[3 * scale.y : -3 * scale.y, 3 * scale.x : -3 * scale.x]
    np.testing.assert_allclose(metrics._smooth(means(bend, scale), scale)[inside], bend[inside], rtol=1e-12)


@pytest.mark.parametrize("scale", [Scale(2, 2), Scale(1, 3)])
def test_the_smooth_raster_looks_as_far_as_stated_and_gaps_are_filled_as_far(scale: Scale) -> None:
    source, known = noise(15, 16), np.ones((15, 16), dtype=np.bool_)
    moved = source.copy()
    moved[7, 8] += 1
    rows, columns = np.nonzero(metrics._smooth(source, scale) != metrics._smooth(moved, scale))
    for at, step, centre in ((rows, scale.y, 7), (columns, scale.x, 8)):
        receptive_field = metrics.SMOOTH_PX if step > 1 else 0
        assert set(at // step) == set(range(centre - receptive_field, centre + receptive_field + 1))
    known[4:11, 4:12] = False
    known[0, 3:5] = False
    filled = metrics._filled(np.where(known, source, 0.0), known)
    assert filled[0, 3] == pytest.approx((source[0, 2] + source[1, 2:5].sum()) / 4)
    np.testing.assert_array_equal(filled[known], source[known])
    assert np.count_nonzero(filled == 0) == 2


@pytest.mark.parametrize("scale", [Scale(2, 2), X4, Scale(8, 8), Scale(4, 1)])
def test_what_is_interpolated_has_next_to_no_detail_of_the_truth(scale: Scale) -> None:
    """A Gaussian high-pass lets through half of what the source grid holds: bicubic's correlation is 0.6 at x4."""
    truth = scene()
    source = means(truth, scale)
    interpolated = bicubic(source, scale)
    for target in (nearest(source, scale), interpolated, consistent(interpolated, source, scale)):
        assert abs(high_frequency_correlation(target, truth, scale)) < 0.18
    sigma = [step / 2 if step > 1 else 0 for step in (scale.y, scale.x)]
    passed = [(values - gaussian_filter(values, sigma)).ravel() for values in (interpolated, truth)]
    assert np.corrcoef(passed)[0, 1] > 0.45


def test_detail_that_is_the_truths_correlates_and_other_detail_does_not() -> None:
    truth = scene()
    source = means(truth, X4)
    smooth = metrics._smooth(source, X4)
    detail = truth - smooth
    assert high_frequency_correlation(smooth + 0.1 * detail, truth, X4) == pytest.approx(1)
    assert high_frequency_correlation(smooth - detail, truth, X4) == pytest.approx(-1)
    other = noise(256, 256)
    other -= metrics._smooth(means(other, X4), X4)
    assert abs(high_frequency_correlation(smooth + other, truth, X4)) < 0.02
    # Two parts of the same power, of which one is the truth's.
    ensemble = smooth + detail + other * detail.std() / other.std()
    assert high_frequency_correlation(ensemble, truth, X4) == pytest.approx(math.sqrt(0.5), abs=0.01)


def test_without_detail_there_is_nothing_to_correlate() -> None:
    truth = scene()
    smooth = metrics._smooth(means(truth, X4), X4).astype(np.float32)
    assert math.isnan(high_frequency_correlation(smooth, truth, X4))
    assert math.isnan(high_frequency_correlation(truth, smooth, X4))
    assert math.isnan(high_frequency_correlation(plane(64, 64), noise(64, 64), X4))


def looped(values: Values, edges: tuple[int, int], among: tuple[int, int], lag: tuple[int, int]) -> float:
    """Return the mean |step| across edges over that across the lines among them, pixel by pixel."""
    observed, even = 0.0, 0.0
    for rows, edge, every, far in zip((values, values.T), edges, among, lag, strict=True):
        if edge == every:
            continue
        across, all_of_them = [], []
        for row, col in product(range(1 + far, rows.shape[0] - far), range(rows.shape[1])):
            before, step, after = (float(rows[at, col] - rows[at - 1, col]) for at in (row - far, row, row + far))
            size = abs(step - (before + after) / 2) if far else abs(step)
            if math.isnan(size) or row % every:
                continue
            all_of_them.append(size)
            if row % edge == 0:
                across.append(size)
        observed += sum(across)
        even += len(across) * float(np.mean(all_of_them)) if across else 0
    return observed / even


@pytest.mark.parametrize("scale", SCALES)
def test_seams_and_blocks_are_counted_pixel_by_pixel(scale: Scale) -> None:
    target, truth = noise(7 * scale.y, 8 * scale.x), noise(7 * scale.y, 8 * scale.x, seed=1)
    target[3, 2] = truth[5:7, 1] = np.nan
    target += 0.5 * nearest(noise(7, 8, seed=2), scale)
    tile_px = (3 * scale.y, 2 * scale.x)
    edges = (scale.y, scale.x)
    missing = np.isnan(target + truth)
    ours, theirs = np.where(missing, np.nan, target), np.where(missing, np.nan, truth)
    assert seam_score(target, scale, tile_px) == pytest.approx(looped(target, tile_px, edges, (1, 1)))
    assert seam_score(target, scale, tile_px, truth) == pytest.approx(
        looped(ours, tile_px, edges, (1, 1)) / looped(theirs, tile_px, edges, (1, 1))
    )
    lags = ((0, 0), edges)
    assert blockiness(target, scale) == pytest.approx(max(looped(target, edges, (1, 1), lag) for lag in lags))
    assert blockiness(target, scale, truth) == pytest.approx(
        max(looped(ours, edges, (1, 1), lag) / looped(theirs, edges, (1, 1), lag) for lag in lags)
    )


@pytest.mark.parametrize("scale", SCALES)
def test_nearest_neighbour_has_the_scale_as_its_blockiness_and_no_seams(scale: Scale) -> None:
    truth = scene()[: 240 // scale.y * scale.y, : 240 // scale.x * scale.x]
    source = means(truth, scale)
    target = nearest(source, scale)
    steps = [step for step in (scale.y, scale.x) if step > 1]
    assert 0.95 * min(steps) < blockiness(target, scale, truth) < 1.05 * max(steps)
    for smooth in (bicubic(source, scale), consistent(bicubic(source, scale), source, scale)):
        assert 0.99 < blockiness(smooth, scale) < 1.35
    tile_px = (16 * scale.y, 16 * scale.x)
    assert seam_score(target, scale, tile_px, truth) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("scale", [Scale(2, 2), X4, Scale(8, 8), Scale(4, 1)])
def test_a_slope_neither_has_nor_hides_blocks_and_seams(scale: Scale) -> None:
    shape = (24 * scale.y, 24 * scale.x)
    tile_px = (8 * scale.y, 8 * scale.x)
    slope = plane(*shape)
    for truth in (None, slope, slope + noise(*shape)):
        assert blockiness(slope, scale, truth) == pytest.approx(1, abs=0.05)
        assert seam_score(slope, scale, tile_px, truth) == pytest.approx(1, abs=0.15)
    # A tenth of what the slope rises from one row to the next.
    assert seam_score(slope + 0.3 * tiled(shape, tile_px), scale, tile_px) > 5
    blocks = slope + 0.3 * nearest(noise(24, 24), scale)
    assert blockiness(blocks, scale) > 0.95 * min(step for step in (scale.y, scale.x) if step > 1)
    # A staircase: every step is as high as the one before and after.
    stairs = nearest(means(slope, scale), scale)
    assert blockiness(stairs, scale) > 0.95 * min(step for step in (scale.y, scale.x) if step > 1)


def test_a_step_of_float32s_rounding_is_no_seam() -> None:
    """A slope so gentle that it takes 64 pixels, a tile's side, to the next number there is."""
    slope = (1000 + (np.arange(256) + 32.5) * 2.0**-20 + np.zeros((256, 1))).astype(np.float32)
    assert np.flatnonzero(np.diff(slope[0])).tolist() == [63, 127, 191]
    assert seam_score(slope, X4, TILE_PX) == 1
    assert blockiness(slope, X4) == 1


def test_noise_and_photographs_have_neither_blocks_nor_seams() -> None:
    for values in (noise(256, 256), scene()):
        for scale in SCALES:
            height, width = 256 // scale.y * scale.y, 256 // scale.x * scale.x
            target = values[:height, :width]
            assert blockiness(target, scale) == pytest.approx(1, abs=0.05)
            assert seam_score(target, scale, (16 * scale.y, 16 * scale.x)) == pytest.approx(1, abs=0.15)


def test_a_seam_is_seen_by_the_seam_score_alone() -> None:
    truth = scene()
    source = means(truth, X4)
    target = consistent(bicubic(source, X4), source, X4)
    seam = 0.05 * source.std() * tiled((256, 256), TILE_PX)
    seam -= seam.mean()
    before, after = (Scores.of(values, source, X4, truth, TILE_PX) for values in (target, target + seam))
    assert before.seam_score == pytest.approx(1, abs=0.05)
    assert after.seam_score > 1.5
    assert seam_score(truth + 6 * seam, X4, TILE_PX, truth) > 1.5
    assert after.blockiness == pytest.approx(before.blockiness, abs=0.05)
    assert after.bias == pytest.approx(0, abs=1e-9)
    assert after.rmse == pytest.approx(before.rmse, rel=0.02)
    assert after.ssim == pytest.approx(before.ssim, abs=0.02)
    assert after.texture_imprint == pytest.approx(before.texture_imprint, abs=0.01)
    assert after.high_frequency_correlation == pytest.approx(before.high_frequency_correlation, abs=0.01)
    # Tiles of another size have no border there.
    assert seam_score(target + seam, X4, (80, 80), truth) == pytest.approx(1, abs=0.1)


def test_an_edge_of_the_scene_on_a_tile_border_is_no_seam() -> None:
    truth = 20 * noise(64, 64)
    truth[:, 32:] += 1000
    source = means(truth, X4)
    smooth = consistent(bicubic(source, X4), source, X4)
    assert seam_score(truth, X4, (32, 32)) > 3
    assert seam_score(truth, X4, (32, 32), truth) == 1
    assert seam_score(truth + 5 * noise(64, 64, seed=1), X4, (32, 32), truth) == pytest.approx(1, abs=0.05)
    assert seam_score(smooth, X4, (32, 32), truth) < 1.1


def test_a_truth_without_a_step_on_the_border_is_no_division_by_zero() -> None:
    truth = noise(64, 64)
    truth[30:34] = truth[:, 30:34] = 0
    assert seam_score(truth, X4, (32, 32)) == 0
    assert seam_score(truth, X4, (32, 32), truth) == 1
    assert 5 < seam_score(noise(64, 64, seed=1), X4, (32, 32), truth) < 20


def test_borders_must_lie_inside_and_on_source_pixels() -> None:
    target = noise(32, 48)
    assert math.isnan(seam_score(target, X4, None))
    assert math.isnan(seam_score(target, X4, (32, 48)))
    assert math.isnan(seam_score(target, X4, (4, 4)))
    assert math.isfinite(seam_score(target, X4, (32, 24)))
    assert math.isfinite(seam_score(target, Scale(4, 1), (32, 7)))
    for tile_px in ((30, 32), (0, 32), (32, -4)):
        with pytest.raises(ValueError, match=r"not whole source pixels at scale 4"):
            seam_score(target, X4, tile_px)


def test_blocks_are_seen_by_blockiness_alone() -> None:
    truth = scene()
    source = means(truth, X4)
    smooth = consistent(bicubic(source, X4), source, X4)
    offsets = 0.1 * source.std() * noise(64, 64)
    before, after, most = (
        Scores.of(values, source, X4, truth, TILE_PX)
        for values in (smooth, smooth + nearest(offsets, X4), nearest(source, X4))
    )
    assert before.blockiness + 0.1 < after.blockiness < most.blockiness
    assert most.blockiness == pytest.approx(4, rel=0.05)
    for scores in (after, most):
        assert scores.bias == pytest.approx(0, abs=3)
        assert scores.seam_score == pytest.approx(1, abs=0.1)
        assert abs(scores.high_frequency_correlation) < 0.15
    assert most.consistency == pytest.approx(0, abs=1e-12)
    assert after.consistency == pytest.approx(np.abs(offsets).max() / source.std())


@pytest.mark.parametrize("fault", ["shifted", "blurred"])
def test_what_is_shifted_or_blurred_is_far_from_the_truth_and_has_no_other_fault(fault: str) -> None:
    truth = scene()
    target = np.roll(truth, 1, axis=1) if fault == "shifted" else gaussian_filter(truth, 2)
    scores = Scores.of(target, means(target, X4), X4, truth, TILE_PX)
    assert scores.rmse > 0.3 * truth.std()
    assert scores.psnr < 30
    assert scores.ssim < 0.85
    assert scores.high_frequency_correlation < 0.7
    assert scores.bias == pytest.approx(0, abs=1e-9)
    assert scores.seam_score == pytest.approx(1, abs=0.1)
    assert scores.blockiness == pytest.approx(1, abs=0.05)
    assert scores.consistency == pytest.approx(0, abs=1e-12)
    assert texture_imprint(gaussian_filter(truth, 2), means(truth, X4), X4, truth) < 0.03


def test_a_texture_drawn_where_the_source_is_flat_reads_as_its_rms_over_the_deviation() -> None:
    truth = np.zeros((64, 64))
    truth[:, :16] = 10 * noise(64, 16)
    source = means(truth, X4)
    texture = noise(64, 64)
    texture -= nearest(means(texture, X4), X4)
    texture[:, :24] = 0
    texture /= np.sqrt(np.mean(texture[4:-4, 24:-4] ** 2))
    for strength in (0.5, 1.0, 2.0):
        target = truth + strength * texture
        # The columns of source pixels 5 to 14 are flat with their neighbours, and the texture begins at the sixth.
        expected = strength * math.sqrt(9 / 10) / source.std()
        assert texture_imprint(target, source, X4, truth) == pytest.approx(expected)
        assert texture_imprint(target, source, X4) == pytest.approx(expected, rel=0.05)
    assert texture_imprint(truth, source, X4, truth) == 0
    # What is rough a source pixel further on bends the smooth raster.
    assert texture_imprint(truth, source, X4) < 0.1 * 0.5 / source.std()


def test_an_imprint_is_seen_by_the_texture_imprint_alone() -> None:
    truth = scene()
    source = means(truth, X4)
    target = consistent(bicubic(source, X4), source, X4)
    flat = metrics._flat(source)
    assert 0.1 < flat.mean() < 0.25
    drawn = (guide() - nearest(means(guide(), X4), X4)) * nearest(flat.astype(np.float64), X4)
    before, once, twice = (
        Scores.of(values, source, X4, truth, TILE_PX) for values in (target, target + 2 * drawn, target + 4 * drawn)
    )
    assert before.texture_imprint < 0.02
    assert once.texture_imprint > 4 * before.texture_imprint
    assert twice.texture_imprint == pytest.approx(2 * once.texture_imprint, rel=0.1)
    assert once.seam_score == pytest.approx(before.seam_score, abs=0.1)
    assert once.blockiness == pytest.approx(before.blockiness, abs=0.1)
    assert once.bias == pytest.approx(before.bias, abs=1e-9)
    assert once.consistency == pytest.approx(0, abs=1e-12)
    assert once.rmse == pytest.approx(before.rmse, rel=0.05)


@pytest.mark.parametrize("scale", SCALES)
def test_interpolations_and_slopes_imprint_nothing(scale: Scale) -> None:
    truth = scene()[: 240 // scale.y * scale.y, : 240 // scale.x * scale.x]
    source = means(truth, scale)
    for truth_too in (None, truth):
        assert texture_imprint(bicubic(source, scale), source, scale, truth_too) < 0.02
    rough = plane(120 * scale.y, 80 * scale.x)
    rough[:, : 40 * scale.x] += nearest(500 * noise(120, 40), scale)
    assert texture_imprint(rough, means(rough, scale), scale) < 0.02
    assert texture_imprint(rough, means(rough, scale), scale, rough) == 0


def test_detail_that_the_truth_has_is_no_imprint_but_more_of_it_is() -> None:
    truth = scene()
    source = means(truth, X4)
    smooth = metrics._smooth(source, X4)
    detail = truth - smooth
    imprints = [texture_imprint(smooth + share * detail, source, X4, truth) for share in (0, 0.5, 1, 2, -1)]
    alone = texture_imprint(truth, source, X4)
    assert alone > 0.05
    assert imprints == pytest.approx([0, 0, 0, alone, alone], abs=1e-12)


def test_nothing_flat_is_nothing_to_imprint_on() -> None:
    source = noise(20, 20)
    assert math.isnan(texture_imprint(nearest(source, X4), source, X4))
    assert math.isnan(texture_imprint(noise(80, 80), np.full((20, 20), 3.0), X4))
    assert math.isnan(texture_imprint(noise(8, 80), noise(2, 20), X4))


def test_consistency_is_the_block_mean_that_is_farthest_off() -> None:
    source = noise(6, 5)
    target = nearest(source, Scale(2, 3)) + (noise(12, 15) - nearest(means(noise(12, 15), Scale(2, 3)), Scale(2, 3)))
    assert consistency(target, source, Scale(2, 3)) == pytest.approx(0, abs=1e-12)
    target[4, 6] += 0.6
    target[2, 3] -= 0.3
    assert consistency(target, source, Scale(2, 3)) == pytest.approx(0.1 / source.std())
    # What is left of a source pixel speaks for it; nothing speaks where nothing is left, or for nodata of the source.
    target[4:6, 6:9] = np.nan
    target[4, 6] = source[2, 2] + 2
    assert consistency(target, source, Scale(2, 3)) == pytest.approx(2 / source.std())
    target[4, 6] = np.nan
    assert consistency(target, source, Scale(2, 3)) == pytest.approx(0.05 / source.std())
    assert math.isnan(consistency(target, np.full((6, 5), 2.0), Scale(2, 3)))


@settings(deadline=None, max_examples=20)
@given(
    st.sampled_from([Scale(2, 2), Scale(4, 1), Scale(2, 3)]),
    st.floats(0.01, 100),
    st.floats(-10, 10),
    st.floats(0, 0.01),
    st.integers(0, 99),
)
def test_units_do_not_matter(scale: Scale, factor: float, offset: float, share: float, seed: int) -> None:
    """Kelvin or degrees: errors take the factor; the others stay, but for SSIM, which takes no offset."""
    truth = scene()[: 30 * scale.y, : 30 * scale.x] / 1000
    target = truth + 0.3 * noise(*truth.shape, seed=seed)
    target[np.random.default_rng(seed).random(truth.shape) < share] = np.nan
    source, tile_px = means(truth, scale), (10 * scale.y, 10 * scale.x)
    before = Scores.of(target, source, scale, truth, tile_px)
    for moved in (0.0, offset):
        changed, degraded, expected = ((values + moved) * factor for values in (target, source, truth))
        after = Scores.of(changed, degraded, scale, expected, tile_px)
        same_in_other_units = [
            *(factor * error for error in (before.rmse, before.mae, before.bias)),
            before.psnr,
            after.ssim if moved else before.ssim,
            *astuple(before)[5:],
        ]
        np.testing.assert_allclose(astuple(after), same_in_other_units, rtol=1e-5, atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from([Scale(2, 2), Scale(3, 3), Scale(4, 1), Scale(2, 3)]),
    st.integers(1, 9),
    st.integers(1, 9),
    st.floats(0, 0.5),
    st.integers(0, 99),
)
def test_down_and_across_are_alike(scale: Scale, height: int, width: int, share: float, seed: int) -> None:
    """Also in small rasters, and with so much nodata that hardly anything is left to take a score from."""
    truth, target = noise(2, height * scale.y, width * scale.x, seed=seed)
    source = means(truth, scale)
    target[np.random.default_rng(seed).random(truth.shape) < share] = np.nan
    source[np.random.default_rng(seed).random(source.shape) < share] = np.nan
    tile_px = (2 * scale.y, 3 * scale.x)
    for known in (truth, None):
        upright = Scores.of(target, source, scale, known, tile_px)
        turned = Scores.of(
            target.T, source.T, Scale(scale.x, scale.y), known.T if known is not None else None, tile_px[::-1]
        )
        same(upright, turned, rtol=1e-6)


@pytest.mark.parametrize("scale", [X4, Scale(4, 1)])
def test_what_lies_under_nodata_does_not_matter(scale: Scale) -> None:
    truth = scene()[: 40 * scale.y, : 40 * scale.x].copy()
    source = means(truth, scale)
    target = bicubic(source, scale) + 50 * noise(*truth.shape)
    rng = np.random.default_rng(1)
    in_source, in_truth, in_target = (rng.random(shape) < 0.002 for shape in (source.shape, truth.shape, truth.shape))
    in_source[10:13, 20] = True
    of_source = nearest(in_source.astype(np.float64), scale).astype(np.bool_)
    source[in_source] = truth[in_truth] = target[in_target | of_source] = np.nan
    expected = Scores.of(target, source, scale, truth, (40, 20))
    assert all(map(math.isfinite, astuple(expected)))
    without = Scores.of(target, source, scale, None, (40, 20))
    for garbage in (np.nan, np.inf, -9999.0, 3e38):
        dirty_target, dirty_truth = target.copy(), truth.copy()
        dirty_target[of_source] = garbage
        same(Scores.of(dirty_target, source, scale, None, (40, 20)), without)
        dirty_truth[in_target | of_source] = garbage
        same(Scores.of(dirty_target, source, scale, dirty_truth, (40, 20)), expected)
    dirty = target.copy()
    dirty[in_truth] = 3e38
    for score in (rmse, mae, bias, psnr, ssim):
        assert score(dirty, truth) == score(target, truth)
    for beside in (blockiness, lambda *rasters: seam_score(rasters[0], scale, (40, 20), rasters[2])):
        assert beside(dirty, scale, truth) == beside(target, scale, truth)
    assert high_frequency_correlation(dirty, truth, scale) == high_frequency_correlation(target, truth, scale)
    assert texture_imprint(dirty, source, scale, truth) == texture_imprint(target, source, scale, truth)


def test_without_a_truth_there_are_the_scores_that_need_none() -> None:
    source = means(scene(), X4)
    scores = Scores.of(nearest(source, X4).astype(np.float32), source.astype(np.float32), X4)
    known = {name for name, score in scores.as_dict().items() if score is not None}
    assert known == {"blockiness", "texture_imprint", "consistency"}


def test_nothing_valid_is_no_score() -> None:
    target, source = noise(48, 48), noise(12, 12)
    for missing in (
        (np.full_like(target, np.nan), source, target),
        (target, np.full_like(source, np.inf), target),
        (target, source, np.full_like(target, -np.inf)),
    ):
        scores = Scores.of(missing[0], missing[1], X4, missing[2], (16, 16))
        assert all(score is None for name, score in scores.as_dict().items() if name != "consistency")
    assert all(math.isnan(score) for score in astuple(Scores.of(target * np.nan, source, X4, target, (16, 16))))


def test_a_flat_raster_is_scored_where_it_can_be() -> None:
    flat = np.full((48, 48), 7.0)
    scores = Scores.of(flat, means(flat, X4), X4, flat, (16, 16)).as_dict()
    none = {"psnr", "ssim", "high_frequency_correlation", "texture_imprint", "consistency"}
    assert {name for name, score in scores.items() if score is None} == none
    assert (scores["rmse"], scores["seam_score"], scores["blockiness"]) == (0, 1, 1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_the_smallest_rasters_have_the_scores_they_can_have(shape: tuple[int, int]) -> None:
    source = noise(*shape)
    truth = nearest(source, Scale(2, 2)) + noise(2 * shape[0], 2 * shape[1])
    scores = Scores.of(truth + 1, source, Scale(2, 2), truth, (2, 2))
    assert (scores.rmse, scores.bias) == pytest.approx((1, 1))
    assert math.isnan(scores.ssim)
    assert math.isnan(scores.blockiness) == (shape == (1, 1))
    assert math.isnan(scores.consistency) == (shape == (1, 1))


def test_whole_numbers_are_rasters_too() -> None:
    truth = scene().astype(np.uint16)
    target = truth + np.uint16(3)
    source = means(scene(), X4)
    same(Scores.of(target, source, X4, truth), Scores.of(target.astype(np.float64), source, X4, scene()))
    assert bias(truth, target) == -3


def test_shapes_that_do_not_fit_are_refused_with_their_numbers() -> None:
    target, source = noise(16, 24), noise(4, 6)
    with pytest.raises(ValueError, match=r"\(16, 24\) at scale 4 must have a source \(4, 6\), not \(6, 4\)"):
        Scores.of(target, source.T, X4)
    with pytest.raises(ValueError, match=r"one shape \(H, W\), not \(16, 24\) and \(24, 16\)"):
        Scores.of(target, source, X4, target.T)
    for refused in (target[:15], target[None], target[:0], target[:, :21]):
        with pytest.raises(ValueError, match="whole multiples"):
            Scores.of(refused, source, X4)
        with pytest.raises(ValueError, match="not"):
            blockiness(refused, X4)
    for measure in (rmse, mae, bias, psnr, ssim):
        with pytest.raises(ValueError, match="one shape"):
            measure(target, target[1:])
    with pytest.raises(ValueError, match="whole multiples"):
        high_frequency_correlation(target[:15], target[:15], X4)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [X4, Scale(1, 2)])
def test_scoring_needs_less_than_twelve_rasters_in_float64(scale: Scale) -> None:
    truth = noise(1536, 1536).astype(np.float32)
    source = means(truth.astype(np.float64), scale)
    Scores.of(truth[:64, :64], source[: 64 // scale.y, : 64 // scale.x], scale, truth[:64, :64], TILE_PX)
    tracemalloc.start()
    try:
        Scores.of(truth, source, scale, truth, TILE_PX)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * 8 * truth.size
