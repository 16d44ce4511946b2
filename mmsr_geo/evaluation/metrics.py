"""Scores of a target against its truth, and of artefacts without one; arrays only.

In all functions a target and its truth are (H, W) and a source is (H/s.y, W/s.x), of any real dtype. Values that are
not finite are nodata, and a pixel counts only if it is valid in all rasters. Sums are in float64. A score is NaN if
there is nothing to compute it from. Shapes that do not fit raise ValueError.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve, minimum_filter  # type: ignore[import-untyped]
from scipy.stats import spearmanr  # type: ignore[import-untyped]
from skimage.metrics import structural_similarity

from mmsr_geo.geometry import Scale

Array = NDArray[np.floating] | NDArray[np.integer]
Values = NDArray[np.float64]

SSIM_PX = 11
"""Side of the window of Wang et al. 2004: a Gaussian of 1.5 pixels, cut at 5."""
STRIP = 512
"""Rows of SSIM computed at a time: it needs 16 rasters of its own."""
SMOOTH_PX = 3
"""Source pixels around its own that the smooth raster depends on."""
FLAT_QUARTER = 0.25
"""Share of the source's pixels, those that vary least, in which a texture imprint is measured."""
FLAT_STD = 0.25
"""Largest local deviation of such a pixel, as a share of the source's standard deviation."""
FAINT = 0.1
"""Least step ratio of a line, which keeps ratios to a truth finite."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of one target; those that need a truth, or tiles, are NaN without."""

    rmse: float
    """Root of mean((target - truth)²), in the raster's units; 0 is exact."""
    mae: float
    """Mean of |target - truth|, in the raster's units; 0 is exact."""
    bias: float
    """Mean of target - truth, in the raster's units; 0 is none."""
    psnr: float
    """Peak signal-to-noise ratio, 20 log10((max - min of the truth) / RMSE), in dB; infinite if exact."""
    ssim: float
    """Structural similarity (Wang et al. 2004), -1 to 1; 1 is exact."""
    high_frequency_correlation: float
    """Correlation of the details of target and truth beyond their block means, -1 to 1; 1 is exact."""
    seam_score: float
    """Ratio of jumps across tile borders to those across other edges of source pixels; 1 is no seam."""
    blockiness: float
    """Ratio of steps across source pixels' edges to those between all rows and columns; 1 is no blocks, smooth
    interpolations have up to 1.35, nearest neighbour has the scale."""
    texture_imprint: float
    """RMS of detail in flat parts that the truth does not have, over the source's standard deviation; 0 is none."""
    consistency: float
    """Maximum of |block mean of the target, blurred as the sensor blurs it, - source| over the source's standard
    deviation; 0 is consistent (Wald et al. 1997)."""

    @classmethod
    def of(  # noqa: PLR0913  (what is known of a target)
        cls,
        target: Array,
        source: Array,
        scale: Scale,
        truth: Array | None = None,
        tile_px: tuple[int, int] | None = None,
        blurred: Array | None = None,
    ) -> Scores:
        """Compute all scores of a target.

        Args:
            target: (H, W).
            source: (H/s.y, W/s.x), in the same units.
            scale: Target pixels per source pixel.
            truth: (H, W), in the same units; None if not known.
            tile_px: Height and width in target pixels of the tiles that the target was computed in, counted from its
                upper left corner; None if it was computed as a whole.
            blurred: (H, W): the target as the sensor blurs it before it averages; None if it does not blur.
        """
        _check_source(target, source, scale)
        values = np.where(_refined(np.isfinite(source), scale), target, np.nan)
        return cls(
            rmse=rmse(values, truth) if truth is not None else math.nan,
            mae=mae(values, truth) if truth is not None else math.nan,
            bias=bias(values, truth) if truth is not None else math.nan,
            psnr=psnr(values, truth) if truth is not None else math.nan,
            ssim=ssim(values, truth) if truth is not None else math.nan,
            high_frequency_correlation=(
                high_frequency_correlation(values, truth, scale) if truth is not None else math.nan
            ),
            seam_score=seam_score(values, scale, tile_px, truth),
            blockiness=blockiness(values, scale, truth),
            texture_imprint=texture_imprint(values, source, scale, truth),
            consistency=consistency(values if blurred is None else blurred, source, scale),
        )

    def as_dict(self) -> dict[str, float | None]:
        """Return the scores by name, with None for NaN and infinity, which JSON cannot hold."""
        return _finite(self)


@dataclass(frozen=True, slots=True)
class UncertaintyScores:
    """Scores of a target's uncertainty (half of a 90 % interval's width) against the truth."""

    coverage: float
    """Share of truths within target ± uncertainty; 0.9 is intended."""
    rank_correlation: float
    """Spearman's correlation of the uncertainty with |target - truth|, -1 to 1; 0 is none."""
    mean_half_width: float
    """Mean of the uncertainty, in the raster's units; smaller is better at equal coverage."""

    @classmethod
    def of(cls, target: Array, half_width: Array, truth: Array) -> UncertaintyScores:
        """Compute all scores of a target, its uncertainty and its truth, (H, W) each, in the same units."""
        compared, expected = _common(target, truth)
        valid = np.isfinite(compared) & np.isfinite(half_width)
        if not valid.any():
            return cls(math.nan, math.nan, math.nan)
        error, half = np.abs(compared - expected)[valid], half_width[valid].astype(np.float64)
        varies = bool(np.ptp(error) and np.ptp(half))
        return cls(
            coverage=float(np.mean(error <= half)),
            rank_correlation=float(spearmanr(half, error).statistic) if varies else math.nan,
            mean_half_width=float(half.mean()),
        )

    def as_dict(self) -> dict[str, float | None]:
        """Return the scores by name, with None for NaN and infinity, which JSON cannot hold."""
        return _finite(self)


def rmse(target: Array, truth: Array) -> float:
    """Return the root of mean((target - truth)²) over the pixels (H, W) valid in both, in their units."""
    difference = _differences(target, truth)
    return math.sqrt(np.mean(difference**2)) if difference.size else math.nan


def mae(target: Array, truth: Array) -> float:
    """Return the mean of |target - truth| over the pixels (H, W) valid in both, in their units."""
    difference = _differences(target, truth)
    return float(np.mean(np.abs(difference))) if difference.size else math.nan


def bias(target: Array, truth: Array) -> float:
    """Return the mean of target - truth over the pixels (H, W) valid in both, in their units."""
    difference = _differences(target, truth)
    return float(np.mean(difference)) if difference.size else math.nan


def psnr(target: Array, truth: Array) -> float:
    """Return 20 log10(range / RMSE) in dB, with the range max - min of the truth (H, W) where both are valid.

    It is infinite for an exact target and NaN for a truth without range. skimage divides by zero if a target is exact.
    """
    _, expected = _common(target, truth)
    span, error = _span(expected), rmse(target, truth)
    if not span > 0:
        return math.nan
    return 20 * math.log10(span / error) if error > 0 else math.inf


def ssim(target: Array, truth: Array) -> float:
    """Return the mean structural similarity (Wang et al. 2004) of (H, W) rasters; 1 for an exact target.

    Computed by skimage, with Gaussian weights of 1.5 pixels and constants from the range as in `psnr`. The mean is over
    windows of 11 x 11 pixels without nodata. A factor common to both rasters changes nothing; an offset common to both
    does, because the measure compares means by their ratio. NaN without such a window, or for a truth without range.
    """
    compared, expected = _common(target, truth)
    valid = np.isfinite(expected)
    span, reach = _span(expected), SSIM_PX // 2
    if not span > 0 or min(valid.shape) < SSIM_PX:
        return math.nan
    whole = minimum_filter(valid, SSIM_PX, mode="constant", cval=0)
    for values in (compared, expected):
        values[~valid] = 0.0
    total, count, last = 0.0, 0, valid.shape[0] - reach
    for top in range(reach, last, STRIP):
        bottom = min(top + STRIP, last)
        read = slice(top - reach, bottom + reach)
        _, similar = structural_similarity(  # type: ignore[no-untyped-call]
            expected[read],
            compared[read],
            data_range=span,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        counted = whole[top:bottom]
        total += float(similar[reach:-reach][counted].sum())
        count += int(counted.sum())
    return total / count if count else math.nan


def high_frequency_correlation(target: Array, truth: Array, scale: Scale) -> float:
    """Return Pearson's correlation of the details of target and truth (H, W), finer than the source grid.

    A raster's detail is the raster minus the smooth raster with the same block means (see `_smooth`), in source pixels
    without nodata. The correlation is 1 for an exact target and near 0 for interpolations of the source; a correlation
    after a Gaussian high-pass would be 0.6 for bicubic at scale 4. NaN if one of them has no detail beyond rounding.
    """
    compared, expected = _common(target, truth)
    _check_multiple(compared, scale)
    details = []
    for values in (compared, expected):
        detail = _detail(values, scale)
        detail = detail[np.isfinite(detail)]
        if not detail.size or np.sqrt(np.mean(detail**2)) <= _rounding(values):
            return math.nan
        details.append(detail - detail.mean())
    ours, theirs = details
    return float(np.sum(ours * theirs) / math.sqrt(np.sum(ours**2) * np.sum(theirs**2)))


def seam_score(target: Array, scale: Scale, tile_px: tuple[int, int] | None, truth: Array | None = None) -> float:
    """Return the ratio of jumps of a target (H, W) across tile borders to those across source pixels' edges.

    A jump is the difference across a line minus the mean of the differences one line before and after, so that slopes
    and bends neither count as jumps nor hide them. The score is the mean |jump| across borders over that across all
    edges of source pixels in the same direction; other lines are left out, so that blocks do not count as seams. It is
    divided by the truth's own score, so that an edge of the scene on a border does not count either. 1 is no seam;
    without a truth the largest score is the number of edges per border.

    Args:
        target: (H, W).
        scale: Target pixels per source pixel.
        tile_px: Height and width of the tiles in target pixels, whole multiples of the scale; borders lie at their
            multiples. None: the score is NaN, as it is if no border lies inside.
        truth: (H, W); None if not known.
    """
    if tile_px is None:
        return math.nan
    if min(tile_px) < 1 or tile_px[0] % scale.y or tile_px[1] % scale.x:
        msg = f"tiles of {tile_px} target pixels (down, across) are not whole source pixels at scale {scale}"
        raise ValueError(msg)
    return _against_truth(target, scale, truth, _Lines(tile_px, (scale.y, scale.x), (1, 1)))


def blockiness(target: Array, scale: Scale, truth: Array | None = None) -> float:
    """Return the ratio of steps of a target (H, W) across source pixels' edges to those across all lines.

    It is the larger of two ratios of a mean across edges to that across all rows or columns in the same direction: of
    |difference|, which finds staircases, and of |difference minus the mean of those one source pixel before and
    after|, which finds blocks on slopes. Both are divided by the truth's own ratios. 1 is no blocks (a slope, noise, a
    photograph). Smooth interpolations have up to 1.35, because they are steepest at the edges. Nearest neighbour has
    the scale (a little more in a small raster), the largest value without a truth. NaN if no edge lies inside.
    """
    edges = (scale.y, scale.x)
    ways = [_against_truth(target, scale, truth, _Lines(edges, (1, 1), lag)) for lag in ((0, 0), edges)]
    return max((way for way in ways if not math.isnan(way)), default=math.nan)


def texture_imprint(target: Array, source: Array, scale: Scale, truth: Array | None = None) -> float:
    """Return the RMS of detail in a target (H, W) where its source is flat, over the source's standard deviation.

    A source pixel is flat if the standard deviation of it and its eight neighbours is in the lowest quarter of all, and
    below a quarter of the whole source's. Detail is the target minus the smooth raster with the same block means (see
    `_smooth`), so that slopes do not count. Detail of the truth is first removed by least squares, with a factor of 0
    to 1, so that neither true nor missing detail counts as an imprint. 0 is none; twice the texture is twice the
    imprint. NaN if no part is flat or the source has no deviation.
    """
    _check_source(target, source, scale)
    source_values = _with_nan(source)
    compared, expected = _common(target, target if truth is None else truth)
    spread = _std(source_values)
    detail = _detail(compared, scale)
    counted = _refined(_flat(source_values), scale) & np.isfinite(detail)
    if not spread > 0 or not counted.any():
        return math.nan
    drawn = detail[counted]
    if truth is not None:
        real = _detail(expected, scale)[counted]
        power = float(np.sum(real**2))
        share = float(np.sum(drawn * real)) / power if power > 0 else 0.0
        drawn -= min(max(share, 0.0), 1.0) * real
    return math.sqrt(np.mean(drawn**2)) / spread


def consistency(target: Array, source: Array, scale: Scale) -> float:
    """Return the maximum of |block mean of the target (H, W) - source| over the source's standard deviation.

    Block means are over valid pixels. NaN if no source pixel has one or the source has no deviation.
    """
    _check_source(target, source, scale)
    source_values, blocks = _with_nan(source), _blocks(_with_nan(target), scale)
    counts = np.isfinite(blocks).sum(axis=(1, 3))
    means = np.nansum(blocks, axis=(1, 3)) / np.maximum(counts, 1)
    error = np.abs(means - source_values)[(counts > 0) & np.isfinite(source_values)]
    spread = _std(source_values)
    return float(error.max()) / spread if spread > 0 and error.size else math.nan


def _finite(of: Scores | UncertaintyScores) -> dict[str, float | None]:
    scores = {field.name: getattr(of, field.name) for field in fields(of)}
    return {name: score if math.isfinite(score) else None for name, score in scores.items()}


def _with_nan(raster: Array) -> Values:
    """Return a float64 copy, with NaN for all values that are not finite."""
    values = np.array(raster, dtype=np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def _common(target: Array, truth: Array) -> tuple[Values, Values]:
    """Return float64 copies of both, with NaN where either is not finite."""
    if target.ndim != 2 or target.shape != truth.shape or not target.size:
        msg = f"a target and its truth must have one shape (H, W), not {target.shape} and {truth.shape}"
        raise ValueError(msg)
    compared, expected = _with_nan(target), _with_nan(truth)
    nodata = np.isnan(compared) | np.isnan(expected)
    compared[nodata] = np.nan
    expected[nodata] = np.nan
    return compared, expected


def _check_multiple(target: Array, scale: Scale) -> None:
    if target.ndim != 2 or not target.size or target.shape[0] % scale.y or target.shape[1] % scale.x:
        msg = f"a target at scale {scale} must be (H, W), whole multiples of the scale, not {target.shape}"
        raise ValueError(msg)


def _check_source(target: Array, source: Array, scale: Scale) -> None:
    _check_multiple(target, scale)
    expected = (target.shape[0] // scale.y, target.shape[1] // scale.x)
    if source.shape != expected:
        msg = f"a target {target.shape} at scale {scale} must have a source {expected}, not {source.shape}"
        raise ValueError(msg)


def _differences(target: Array, truth: Array) -> Values:
    """Return target - truth where both are valid, as one dimension."""
    compared, expected = _common(target, truth)
    compared -= expected
    return compared[np.isfinite(compared)]


def _span(values: Values) -> float:
    valid = values[np.isfinite(values)]
    return float(valid.max() - valid.min()) if valid.size else math.nan


def _std(values: Values) -> float:
    valid = values[np.isfinite(values)]
    return float(valid.std()) if valid.size else math.nan


def _rounding(values: Values) -> float:
    """Return float32's spacing at the largest magnitude, or up to twice of it: smaller differences may be rounding."""
    return float(np.finfo(np.float32).eps * np.nanmax(np.abs(values), initial=0.0))


def _blocks(values: Values, scale: Scale) -> Values:
    """(H, W) → (h, s.y, w, s.x), a view."""
    height, width = values.shape
    return values.reshape(height // scale.y, scale.y, width // scale.x, scale.x)


def _refined(source: NDArray[np.bool_], scale: Scale) -> NDArray[np.bool_]:
    """(h, w) → (H, W), repeated."""
    return np.repeat(np.repeat(source, scale.y, axis=0), scale.x, axis=1)


def _detail(values: Values, scale: Scale) -> Values:
    """Return (H, W) minus the smooth raster with the same block means; NaN in source pixels with nodata."""
    means = _blocks(values, scale).mean(axis=(1, 3))
    valid = np.isfinite(means)
    if not valid.any():
        return np.full_like(values, np.nan)
    centre = means[valid].mean()
    detail = _smooth(_filled(np.where(valid, means - centre, 0.0), valid), scale)
    detail += centre
    np.subtract(values, detail, out=detail)
    detail[~_refined(valid, scale)] = np.nan
    return detail


def _filled(source: Values, valid: NDArray[np.bool_]) -> Values:
    """Fill nodata of (h, w) ring by ring with means of neighbours, as far as `_smooth` depends on it; 0 beyond."""
    if valid.all():
        return source
    around = np.ones((3, 3))
    for _ in range(SMOOTH_PX):
        counts = convolve(valid.astype(np.float64), around, mode="constant")
        ring = ~valid & (counts > 0)
        source[ring] = convolve(source, around, mode="constant")[ring] / counts[ring]
        valid = valid | ring
    return source


def _smooth(source: Values, scale: Scale) -> Values:
    """(h, w) → (H, W): in each direction a parabola in each source pixel, whose mean is the source's value exactly.

    They meet at the edges, at values of sixth order (Colella and Woodward 1984; Colella and Sekora 2008). So a slope
    comes back as it was, and what is further away than 3 source pixels does not matter.
    """
    return _parabolas(_parabolas(source.T, scale.x).T, scale.y)


def _parabolas(rows: Values, step: int) -> Values:
    """Refine (h, w) to (h · step, w)."""
    height, width = rows.shape
    if step == 1:
        return rows
    near = np.pad(rows, ((SMOOTH_PX, SMOOTH_PX), (0, 0)), mode="reflect", reflect_type="odd")
    edges = np.zeros((height + 1, width))
    for off, weight in enumerate((37 / 60, -8 / 60, 1 / 60)):
        edges += weight * (near[2 - off : 3 - off + height] + near[3 + off : 4 + off + height])
    at = np.arange(step + 1) / step
    ours, first, last = (
        step * np.diff(basis) for basis in (3 * at**2 - 2 * at**3, at**3 - 2 * at**2 + at, at**3 - at**2)
    )
    refined = np.empty((height, step, width))
    for pixel in range(step):
        refined[:, pixel] = ours[pixel] * rows + first[pixel] * edges[:-1] + last[pixel] * edges[1:]
    return refined.reshape(height * step, width)


def _flat(source: Values) -> NDArray[np.bool_]:
    """Return a mask of the pixels (h, w) where the source varies least over 3 x 3 pixels, without nodata among them."""
    flat = np.zeros(source.shape, dtype=np.bool_)
    if min(source.shape) < 3:
        return flat
    height, width = source.shape
    shifts = [source[row : height - 2 + row, col : width - 2 + col] for row in range(3) for col in range(3)]
    mean = sum(shifts, start=np.zeros_like(shifts[0])) / 9
    stds = np.sqrt(sum(((shift - mean) ** 2 for shift in shifts), start=np.zeros_like(mean)) / 9)
    finite = stds[np.isfinite(stds)]
    if finite.size:
        flat[1:-1, 1:-1] = stds <= min(float(np.quantile(finite, FLAT_QUARTER)), FLAT_STD * _std(source))
    return flat


@dataclass(frozen=True, slots=True)
class _Lines:
    """Lines between rows, and between columns, that are compared, and the kind of step across them."""

    edges: tuple[int, int]
    """Distance of the lines whose steps are measured, down and across."""
    among: tuple[int, int]
    """Distance of the lines they are compared with, themselves included; if it is the same, nothing is compared."""
    lag: tuple[int, int]
    """Number of lines before and after a line whose mean difference is subtracted from the step; 0: none is."""


def _against_truth(target: Array, scale: Scale, truth: Array | None, lines: _Lines) -> float:
    """Return the target's prominence, divided by the truth's if there is one."""
    compared, expected = _common(target, target if truth is None else truth)
    _check_multiple(compared, scale)
    ours = _prominence(compared, lines)
    if truth is None or math.isnan(ours):
        return ours
    return max(ours, FAINT) / max(_prominence(expected, lines), FAINT)


def _prominence(values: Values, lines: _Lines) -> float:
    """Return the mean |step| across edges over that across all lines among them; 1 if there are no steps at all.

    Directions are summed before they are divided: what is observed over what an even spread would give.
    """
    observed, even, count = 0.0, 0.0, 0
    least = 2 * _rounding(values)
    for rows, edge, every, lag in zip((values, values.T), lines.edges, lines.among, lines.lag, strict=True):
        if edge == every or rows.shape[0] < 2 * lag + 2:
            continue
        steps = np.diff(rows, axis=0)
        if lag:
            steps = steps[lag:-lag] - (steps[: -2 * lag] + steps[2 * lag :]) / 2
        np.abs(steps, out=steps)
        steps[steps <= least] = 0.0
        at = np.arange(1 + lag, rows.shape[0] - lag)
        across = steps[at % edge == 0]
        across = across[np.isfinite(across)]
        if across.size:
            observed += float(across.sum())
            even += across.size * float(np.nanmean(steps[at % every == 0]))
            count += across.size
    if even > 0:
        return observed / even
    return 1.0 if count else math.nan
