"""Methods compared with a truth, or at reduced resolution: what is compared, scored and reported."""

from __future__ import annotations

import ast
import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage  # type: ignore[import-untyped]

import mmsr_geo
from mmsr_geo.engine.pair import Pair
from mmsr_geo.evaluation import trial
from mmsr_geo.evaluation.evaluate import Evaluation
from mmsr_geo.evaluation.metrics import Scores
from mmsr_geo.evaluation.report import (
    ARTEFACTS,
    ERRORS,
    draw_report,
    error_table,
    is_elevation,
    print_scores,
    save_report,
)
from mmsr_geo.geometry import Scale, Window
from mmsr_geo.maps import hillshade, relief, shared_limits
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.options import EVALUATED
from mmsr_geo.raster.read.open import open_guide, open_source
from support.rasters import (
    SENTINEL_GUIDE,
    SENTINEL_TRUTH,
    block_means,
    georeferenced,
    sentinel_crop,
    sentinel_guide,
)

pytestmark = pytest.mark.slow

Values = NDArray[np.float32]
PARAMS = FitParams(steps=3, patch_px=24, threads=1, adapt_steps=2)
FOUR = Scale(4, 4)
QUICK = ("nearest", "bicubic", "bicubic+consistency")


@pytest.fixture(scope="module")
def source() -> xr.DataArray:
    return sentinel_crop(8, 16, 49, 54, 4).source


@pytest.fixture(scope="module")
def truth() -> xr.DataArray:
    """The Sentinel-2 band itself (20 m), in the place of a smaller source."""
    crop = sentinel_crop(20, 20, 16, 20, 4)
    return georeferenced(crop.truth, crop.source.rio.transform() * Affine.scale(0.25), crop.source.rio.crs.to_epsg())


@pytest.fixture(scope="module")
def small() -> xr.DataArray:
    return sentinel_crop(20, 20, 16, 20, 4).source


def evaluated(source: Any, **options: Any) -> Evaluation:
    given: dict[str, Any] = {"scale": 4, "methods": QUICK, "params": PARAMS, "guide": sentinel_guide()} | options
    return mmsr_geo.evaluate(source, **given)


@pytest.fixture(scope="module")
def wald(source: xr.DataArray) -> Evaluation:
    return evaluated(source, methods=(*QUICK, "mmsr"), seed=5, params=replace(PARAMS, ensemble=False))


@pytest.fixture(scope="module")
def against_truth(small: xr.DataArray, truth: xr.DataArray) -> Evaluation:
    return evaluated(small, truth=truth, methods=(*QUICK, "mmsr"))


def degraded(source: xr.DataArray) -> xr.DataArray:
    """Go at reduced resolution by hand, its last rows and columns left out where they fill no block."""
    means = block_means(source.values[:48, :52], 4).astype(np.float32)
    return georeferenced(means, source.rio.transform() * Affine.scale(4), source.rio.crs.to_epsg())


def by_hand(target: Values, truth: Values) -> dict[str, float]:
    error = target.astype(np.float64) - truth
    rmse = math.sqrt(np.nanmean(error**2))
    return {
        "rmse": rmse,
        "mae": float(np.nanmean(np.abs(error))),
        "bias": float(np.nanmean(error)),
        "psnr": 20 * math.log10(float(np.nanmax(truth) - np.nanmin(truth)) / rmse),
    }


def same_scores(scores: Scores, expected: dict[str, float]) -> None:
    reported = scores.as_dict()
    for name, value in expected.items():
        assert reported[name] == pytest.approx(value, rel=1e-6, abs=1e-6), name


def test_without_a_truth_the_source_is_the_reference_at_reduced_resolution(
    wald: Evaluation, source: xr.DataArray
) -> None:
    coarse, known = degraded(source), source.values[:48, :52]
    assert wald.trial.protocol == "wald"
    np.testing.assert_array_equal(wald.trial.truth, known)
    np.testing.assert_allclose(wald.trial.source, coarse.values, rtol=1e-6)
    assert wald.trial.guide.shape == (4, 48, 52)
    assert list(wald.results) == [*QUICK, "mmsr"]
    for name in QUICK:
        target = mmsr_geo.upsample(coarse, sentinel_guide(), 4, method=name).values
        np.testing.assert_allclose(wald.results[name].target, target, rtol=1e-6)
        same_scores(wald.results[name].scores, by_hand(target, known))
    nearest = coarse.values.repeat(4, 0).repeat(4, 1)
    same_scores(wald.results["nearest"].scores, by_hand(nearest, known))


def test_mmsr_is_what_upsample_gives_on_the_degraded_pair(wald: Evaluation, source: xr.DataArray) -> None:
    alone = replace(PARAMS, ensemble=False)
    target = mmsr_geo.upsample(degraded(source), sentinel_guide(), 4, params=alone, seed=5).values
    given = wald.results["mmsr"].target
    assert np.abs(given - target).max() <= 1e-4 * float(source.std())
    assert np.abs(given - wald.results["bicubic+consistency"].target).max() > 0.05 * float(source.std())


def test_the_guide_is_averaged_onto_the_sources_grid(wald: Evaluation, source: xr.DataArray) -> None:
    guide = sentinel_guide()
    inverse = ~guide.rio.transform()
    column, row = (round(value) for value in inverse * (source.rio.transform() * (0, 0)))
    band = guide.values[2, row : row + 48 * 8, column : column + 52 * 8].astype(np.float32)
    np.testing.assert_allclose(wald.trial.guide[2], block_means(band, 8), rtol=1e-5)


def test_a_truth_is_compared_with_pixel_by_pixel(
    against_truth: Evaluation, small: xr.DataArray, truth: xr.DataArray
) -> None:
    assert against_truth.trial.protocol == "truth"
    np.testing.assert_allclose(against_truth.trial.truth, truth.values, rtol=1e-6)
    for name, options in (("bicubic", {"method": "bicubic"}), ("mmsr", {"params": PARAMS})):
        target = mmsr_geo.upsample(small, sentinel_guide(), 4, **options).values
        result = against_truth.results[name]
        assert np.abs(result.target - target).max() <= 1e-5 * float(small.std())
        same_scores(result.scores, by_hand(result.target, truth.values))


def test_a_truth_may_lie_on_another_grid(against_truth: Evaluation, small: xr.DataArray, truth: xr.DataArray) -> None:
    """A larger one, and one twice as fine, say the same; so does, nearly, one in another CRS."""
    finer = georeferenced(
        truth.values.repeat(2, 0).repeat(2, 1), truth.rio.transform() * Affine.scale(0.5), truth.rio.crs.to_epsg()
    )
    expected = against_truth.results["bicubic"].scores.rmse
    for other in (SENTINEL_TRUTH, finer):
        assert evaluated(small, truth=other).results["bicubic"].scores.rmse == pytest.approx(expected, rel=1e-5)
    degrees = truth.rio.reproject("EPSG:4326", resampling=rasterio.enums.Resampling.cubic, nodata=np.nan)
    assert evaluated(small, truth=degrees).results["bicubic"].scores.rmse == pytest.approx(expected, rel=0.2)


def test_nodata_in_truth_and_source_does_not_count(small: xr.DataArray, truth: xr.DataArray) -> None:
    gappy, torn = truth.copy(), small.copy()
    gappy[3:9, 5:40] = np.nan
    torn[10, 3:8] = np.nan
    evaluation = evaluated(torn, truth=gappy)
    for name in QUICK:
        target = mmsr_geo.upsample(torn, sentinel_guide(), 4, method=name).values
        assert np.array_equal(np.isnan(evaluation.results[name].target), np.isnan(target))
        same_scores(evaluation.results[name].scores, by_hand(target, gappy.values))


def test_a_block_with_nodata_is_nodata_at_reduced_resolution(source: xr.DataArray) -> None:
    torn = source.copy()
    torn[5, 6] = np.nan
    evaluation = evaluated(torn)
    assert np.argwhere(np.isnan(evaluation.trial.source)).tolist() == [[1, 1]]
    assert np.isnan(evaluation.results["bicubic"].target).sum() == 16
    same_scores(
        evaluation.results["bicubic"].scores, by_hand(evaluation.results["bicubic"].target, torn.values[:48, :52])
    )


def test_what_was_compared_and_how_is_json(wald: Evaluation, against_truth: Evaluation) -> None:
    reported = json.loads(json.dumps(wald.as_dict(), allow_nan=False))
    assert (reported["protocol"], reported["scale"]) == ("wald", [4, 4])
    assert list(reported["methods"]) == [*QUICK, "mmsr"]
    bicubic = wald.results["bicubic"]
    assert reported["methods"]["bicubic"]["rmse"] == bicubic.scores.rmse
    assert {"mae", "bias", "psnr", "ssim", "seam_score", "consistency"} < reported["methods"]["bicubic"].keys()
    assert reported["methods"]["bicubic"]["pixel_steps"] is None
    assert reported["methods"]["mmsr"]["pixel_steps"] == 3 * 24 * 24
    assert reported["methods"]["nearest"]["seam_score"] is None
    assert (reported["guide_gain"], reported["guide_check"], reported["guide_regions"]) == (None, "unknown", [])
    rmse = {name: result.scores.rmse for name, result in wald.results.items()}
    assert reported["guide_gain_measured"] == pytest.approx(1 - rmse["mmsr"] / rmse["bicubic+consistency"])
    assert reported["inputs"] == {
        "source": "the array 'B11'",
        "guide": wald.inputs["guide"],
        "truth": None,
        "compared": [48, 52],
        "source_window": [0, 0, 48, 52],
    }
    assert (reported["options"]["seed"], reported["options"]["version"]) == (5, mmsr_geo.__version__)
    assert reported["options"]["methods"]["mmsr"]["steps"] == 3
    assert reported["options"]["methods"]["bicubic+consistency"]["consistent"] is True
    truth = json.loads(json.dumps(against_truth.as_dict()))
    assert (truth["protocol"], truth["inputs"]["source_window"]) == ("truth", [0, 0, 16, 20])
    assert truth["inputs"]["truth"] is not None


def test_ratios_are_over_the_bicubic_or_another(wald: Evaluation) -> None:
    rmse = {name: result.scores.rmse for name, result in wald.results.items()}
    assert wald.ratio("nearest") == rmse["nearest"] / rmse["bicubic"]
    assert wald.ratio("mmsr", "nearest") == rmse["mmsr"] / rmse["nearest"]
    assert math.isnan(wald.ratio("p2p"))
    assert math.isnan(wald.ratio("mmsr", "p2p"))


def test_where_the_bicubic_is_exact_there_is_no_ratio(small: xr.DataArray, capsys: pytest.CaptureFixture[str]) -> None:
    flat = small.copy(data=np.full(small.shape, 7, np.float32))
    evaluation = evaluated(flat, scale=2, methods=(*QUICK, "mmsr"))
    assert evaluation.results["bicubic"].scores.rmse == 0
    assert math.isnan(evaluation.ratio("nearest"))
    assert evaluation.as_dict()["guide_gain_measured"] is None
    print_scores(evaluation)
    assert "nearest" in capsys.readouterr().out


def test_the_default_is_what_is_quick_and_mmsr(small: xr.DataArray) -> None:
    given = mmsr_geo.evaluate(small, sentinel_guide(), 2, params=PARAMS)
    assert tuple(given.results) == EVALUATED
    assert given.results["mmsr"].scores.consistency < 1e-5
    assert given.results["bicubic"].scores.consistency > 1e-3


def test_the_check_of_an_evaluation_is_that_of_its_fit() -> None:
    """64 source pixels are 32 at reduced resolution and 16 another: enough for a word."""
    crop, methods = sentinel_crop(20, 20, 64, 66, 2).source, ("bicubic+consistency", "mmsr", "mmsr-always")
    with pytest.warns(mmsr_geo.GuideWarning):
        evaluation = evaluated(crop, scale=2, methods=methods, params=replace(PARAMS, ensemble=False))
    always, given = evaluation.results["mmsr-always"], evaluation.results["mmsr"]
    assert evaluation.check == always.check == given.check
    assert evaluation.check.result == "did not help"
    smooth = evaluation.results["bicubic+consistency"].target
    assert np.array_equal(given.target, smooth)
    assert not np.array_equal(always.target, smooth)
    reported = evaluation.as_dict()
    assert reported["guide_gain"] == evaluation.check.gain
    assert reported["guide_regions"] == [
        {
            "window": [0, 0, 32, 32],
            "gain": evaluation.check.gain,
            "validated_px": evaluation.check.regions[0].validated_px,
        }
    ]
    assert reported["guide_gain_measured"] == 0


def test_what_two_methods_fit_alike_is_fitted_once(small: xr.DataArray) -> None:
    stages: list[str] = []
    evaluation = evaluated(
        small,
        scale=2,
        methods=("mmsr", "mmsr-always", "mmsr-adapt", "mmsr-tile"),
        params=replace(PARAMS, ensemble=False),
        tile_size=16,
        progress=lambda stage, *_: stages.append(stage),
    )
    assert {stage for stage in stages if stage.endswith(": fit")} == {"mmsr: fit"}
    assert {"mmsr-adapt: fit tiles", "mmsr-adapt: blend", "mmsr-tile: fit tiles"} <= set(stages)
    targets = {name: result.target for name, result in evaluation.results.items()}
    assert np.array_equal(targets["mmsr"], targets["mmsr-always"])
    for name in ("mmsr-adapt", "mmsr-tile"):
        assert not np.allclose(targets[name], targets["mmsr"], atol=1e-3 * float(small.std()), rtol=0)
    assert all(result.scores.consistency < 1e-5 for result in evaluation.results.values())
    assert evaluation.results["mmsr"].scores.seam_score > 0


def test_the_published_fit_is_given_as_it_is_or_made_consistent(small: xr.DataArray) -> None:
    """Its thousand steps, here of 8 x 10 pixels' 16 x 20, are few enough to be cut to two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FitParams.published.__func__, "__defaults__", (2, None))  # type: ignore[attr-defined]
        evaluation = evaluated(small, scale=2, methods=("published", "published+consistency"))
    first, second = evaluation.results.values()
    assert first.pixel_steps == second.pixel_steps == 2 * 16 * 20
    assert first.scores.consistency > 1e-3
    assert second.scores.consistency < 1e-5


@pytest.mark.parametrize("corner", ["upper left", "lower right", "middle"])
def test_of_a_large_raster_the_part_with_the_most_valid_pixels_is_compared(
    source: xr.DataArray, truth: xr.DataArray, small: xr.DataArray, monkeypatch: pytest.MonkeyPatch, corner: str
) -> None:
    monkeypatch.setattr(trial, "LARGEST_TRUTH_PX", 33 * 33)
    row, col = {"upper left": (0, 0), "lower right": (49 - 33, 54 - 33), "middle": (8, 10)}[corner]
    torn = source.copy(data=np.full(source.shape, np.nan, np.float32))
    torn[row : row + 33, col : col + 33] = source[row : row + 33, col : col + 33]
    evaluation = evaluated(torn)
    window = Window(row, col, 32, 32)
    np.testing.assert_array_equal(evaluation.trial.truth, torn.values[window.slices])
    assert evaluation.as_dict()["inputs"]["source_window"] == [row, col, 32, 32]
    assert evaluation.as_dict()["inputs"]["compared"] == [32, 32]
    monkeypatch.setattr(trial, "LARGEST_TRUTH_PX", 16 * 8 * 8)
    part = evaluated(small, truth=truth)
    _, _, height, width = part.inputs["source_window"]
    assert height * width <= 64
    assert part.trial.truth.shape == (4 * height, 4 * width)
    here = part.trial.pair.part.refined(FOUR).slices
    np.testing.assert_allclose(part.trial.truth, truth.values[here], rtol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(400, 3), (3, 400), (64, 64), (65, 20)])
def test_the_part_compared_is_as_large_as_it_may_be(
    monkeypatch: pytest.MonkeyPatch, small: xr.DataArray, height: int, width: int
) -> None:
    monkeypatch.setattr(trial, "LARGEST_TRUTH_PX", 1000)
    made = georeferenced(np.ones((height, width), np.float32), small.rio.transform())
    pair = Pair.of(open_source(made), open_guide(sentinel_guide()), 4, min_coverage=0)
    part = trial._compared_part(pair, 1)
    assert 0.9 * 1000 <= part.height * part.width <= 1000
    assert part.intersection(pair.part) == part


def test_bounds_choose_what_is_compared(source: xr.DataArray) -> None:
    west, north = source.rio.transform() * (2, 7)
    evaluation = evaluated(source, bounds=(west, north - 36 * 80, west + 40 * 80, north))
    np.testing.assert_array_equal(evaluation.trial.truth, source.values[7:43, 2:42])
    assert evaluation.inputs["source_window"] == [7, 2, 36, 40]


def test_what_cannot_be_evaluated_is_refused(small: xr.DataArray, truth: xr.DataArray) -> None:
    with pytest.raises(
        mmsr_geo.PixelError,
        match=r"has 20 x 16 pixels, which leave fewer than 8 along a side at reduced resolution \(scale 4\)",
    ):
        evaluated(small)
    with pytest.raises(mmsr_geo.OptionError, match=r"methods= names 'lanczos': choose of nearest, .*published"):
        evaluated(small, truth=truth, methods=("bicubic", "lanczos"))
    with pytest.raises(mmsr_geo.OptionError, match=r"methods= is empty: name methods to compare, such as nearest,"):
        evaluated(small, truth=truth, methods=())
    elsewhere = georeferenced(truth.values, truth.rio.transform() * Affine.translation(5000, 0))
    with pytest.raises(mmsr_geo.PixelError, match="the truth has no valid pixel in the compared part"):
        evaluated(small, truth=elsewhere)
    with pytest.raises(mmsr_geo.PixelError, match="no valid pixel"):
        evaluated(small.where(small < 0), scale=2)
    with pytest.raises(mmsr_geo.InputError, match=r"none\.tif cannot be opened"):
        evaluated(small, truth="none.tif")


def test_paths_are_taken_and_named(tmp_path: Path, small: xr.DataArray) -> None:
    small.rio.to_raster(tmp_path / "dem.tif")
    evaluation = evaluated(tmp_path / "dem.tif", guide=SENTINEL_GUIDE, truth=SENTINEL_TRUTH)
    assert evaluation.inputs["source"] == str(tmp_path / "dem.tif")
    assert evaluation.inputs["guide"] == str(SENTINEL_GUIDE)
    assert evaluation.inputs["truth"] == str(SENTINEL_TRUTH)


def test_the_tables_hold_every_method_and_fit_80_columns(
    wald: Evaluation, against_truth: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    print_scores(against_truth)
    printed = capsys.readouterr().out
    assert "Errors against the truth" in printed
    assert "still lower resolution" not in printed
    print_scores(wald)
    printed = capsys.readouterr().out
    assert "Guide check of the fit (at a still lower resolution): it is unknown whether the guide helped" in printed
    assert max(len(line) for line in printed.splitlines() if "Guide check" not in line) <= 80
    for name, result in wald.results.items():
        assert name in printed
        assert f"{result.scores.rmse:.4g}" in printed
    assert f"{wald.ratio('mmsr'):.3f}" in printed
    assert "at reduced resolution, with the source as the reference" in printed
    assert "is unknown whether" in printed
    assert f"{1 - wald.gain_measured:.2f} times that of the bicubic baseline" in printed
    cells = {column.header: list(column.cells) for column in error_table(wald).columns}
    bold = [cell for cell in cells["RMSE"] if str(cell).startswith("[bold]")]
    best = min(result.scores.rmse for result in wald.results.values())
    assert bold == [f"[bold]{best:.4g}[/]"]


def pixels(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return picture.size


def test_a_report_is_scores_and_a_picture(wald: Evaluation, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "report"
    files = save_report(wald, folder, overwrite=False)
    assert files == [folder / "report.json", folder / "report.png"]
    assert sorted(folder.iterdir()) == files
    assert json.loads(files[0].read_text()) == wald.as_dict()
    width, height = pixels(files[1])
    assert 1500 < width < 3000
    assert 1000 < height < 3000
    assert files[1].stat().st_size > 100_000
    kept = files[0].read_text()
    with pytest.raises(mmsr_geo.OutputError, match=r"report\.json exists: choose another name"):
        save_report(wald, folder, overwrite=False)
    save_report(wald, folder, overwrite=True)
    assert files[0].read_text() == kept
    assert sorted(folder.iterdir()) == files


def test_a_folder_that_cannot_be_made_is_refused(wald: Evaluation, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(mmsr_geo.OutputError, match="file"):
        save_report(wald, tmp_path / "file", overwrite=True)
    with pytest.raises(mmsr_geo.OutputError, match="file"):
        save_report(wald, tmp_path / "file" / "report", overwrite=True)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_report_that_is_broken_off_leaves_what_was_there(
    wald: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "report.json").write_text("before")
    monkeypatch.setattr("mmsr_geo.evaluation.report.draw_maps", broken)
    with pytest.raises(KeyboardInterrupt):
        save_report(wald, tmp_path, overwrite=True)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("report.json", "before")]


@pytest.mark.parametrize(
    ("name", "lit"),
    [
        ("dem.tif", True),
        ("valley_DSM_1m.tif", True),
        ("SRTM-30.tif", True),
        ("surface height.tif", True),
        ("thermal.tif", False),
        ("academy.tif", False),
        ("demand.tif", False),
    ],
)
def test_an_elevation_is_known_by_its_name(small: xr.DataArray, tmp_path: Path, name: str, *, lit: bool) -> None:
    small.rename("x").rio.to_raster(tmp_path / name)
    assert is_elevation(evaluated(tmp_path / name, scale=2, methods=("nearest",))) is lit


def test_every_score_has_a_column_here_and_in_the_qgis_plugin() -> None:
    scores = [field.name for field in fields(Scores)]
    assert [score for score, _ in (ERRORS | ARTEFACTS).values()] == [
        "rmse",
        "mae",
        "bias",
        "psnr",
        *(score for score in scores if score not in {"rmse", "mae", "bias", "psnr"}),
    ]
    plugin = Path(__file__).parents[2] / "qgis_plugin" / "mmsr_qgis" / "report.py"
    calls = [node for node in ast.walk(ast.parse(plugin.read_text("utf-8"))) if isinstance(node, ast.Call)]
    columns = [ast.literal_eval(call.args[1]) for call in calls if getattr(call.func, "id", "") == "Column"]
    assert [column for column in columns if column in scores] == scores


def test_an_elevation_is_shown_lit_too(small: xr.DataArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[list[str]] = []
    small.rio.to_raster(tmp_path / "dem.tif")
    small.rio.to_raster(tmp_path / "thermal.tif")

    def draw(panels: list[Any], path: Path, **_: object) -> None:
        path.touch()
        titles.append([panel.title for panel in panels if panel])

    monkeypatch.setattr("mmsr_geo.evaluation.report.draw_maps", draw)

    def shown(name: str, **options: Any) -> list[str]:
        evaluation = evaluated(tmp_path / name, scale=2, methods=("nearest", "bicubic"))
        save_report(evaluation, tmp_path / "report", overwrite=True, **options)
        return [title for title in titles.pop() if title.endswith(", hillshade")]

    every = ["source, hillshade", "reference, hillshade", "nearest, hillshade", "bicubic, hillshade"]
    assert shown("dem.tif") == every
    assert shown("dem.tif", hillshades=False) == []
    assert shown("thermal.tif") == []
    assert shown("thermal.tif", hillshades=True) == every


def test_a_picture_has_the_colours_scale_bars_and_unit_of_the_source(
    small: xr.DataArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("mmsr_geo.evaluation.report.draw_maps", lambda panels, *_, **__: seen.extend(panels))
    kelvin = small.assign_attrs(units="K")
    evaluation = evaluated(kelvin, scale=2, methods=("bicubic",))
    draw_report(evaluation, tmp_path / "report.png", hillshades=False)
    panels = {panel.title: panel for panel in seen if panel}
    source, truth, target = panels["source (160 m)"], panels["reference (80 m)"], panels["bicubic"]
    assert {source.unit, truth.unit, target.unit} == {"K"}
    assert source.limits == truth.limits == target.limits == shared_limits(small.values)
    assert (source.pixel_m, truth.pixel_m, target.pixel_m) == pytest.approx((160, 80, 80), rel=1e-3)
    error = next(panel for title, panel in panels.items() if title.startswith("bicubic: error"))
    np.testing.assert_allclose(error.values, target.values - small.values, atol=1e-3)
    assert error.limits[0] == -error.limits[1]


@pytest.mark.parametrize("bands", [1, 2])
def test_a_guide_of_one_or_two_bands_is_drawn(small: xr.DataArray, tmp_path: Path, bands: int) -> None:
    evaluation = evaluated(small, scale=2, methods=("nearest",), guide=sentinel_guide()[:bands])
    draw_report(evaluation, tmp_path / "report.png", hillshades=True)
    assert min(pixels(tmp_path / "report.png")) > 700


def plane(down: float, across: float, side: int = 12) -> Values:
    """A slope in metres a pixel."""
    row, col = np.mgrid[:side, :side]
    return np.asarray(down * row + across * col, np.float32)


def test_a_slope_facing_north_west_is_brighter_than_one_facing_south_east() -> None:
    metre = (1.0, 1.0)
    north_west, south_east, flat = (hillshade(plane(slope, slope), metre, 1.0).mean() for slope in (0.5, -0.5, 0.0))
    assert 1 >= north_west > flat > south_east >= 0
    north_east, south_west = (
        hillshade(plane(0.5, -0.5), metre, 1.0).mean(),
        hillshade(plane(-0.5, 0.5), metre, 1.0).mean(),
    )
    assert north_east == pytest.approx(south_west)
    assert flat == pytest.approx(math.sqrt(0.5))
    # The light falls straight on what slopes 45 degrees towards it.
    steep = math.sqrt(0.5)
    assert hillshade(plane(steep, steep), metre, 1.0).mean() == pytest.approx(1)
    assert hillshade(plane(-2.0, -2.0), metre, 1.0).mean() == 0


def test_a_slope_is_as_bright_whatever_else_there_is_and_whatever_its_pixels_are() -> None:
    """So that the targets of several methods can be compared by their shades."""
    gentle = plane(0.3, 0.1, 30)
    with_cliff = gentle.copy()
    with_cliff[20:, 20:] += 500
    alone, beside = hillshade(gentle, (1.0, 1.0), 1.0), hillshade(with_cliff, (1.0, 1.0), 1.0)
    np.testing.assert_allclose(beside[:15, :15], alone[:15, :15], rtol=1e-6)
    oblong = hillshade(plane(0.6, 0.05, 30), (2.0, 0.5), 1.0)
    np.testing.assert_allclose(oblong, alone, rtol=1e-5)
    np.testing.assert_allclose(hillshade(plane(0.03, 0.01, 30), (1.0, 1.0), 10.0), alone, rtol=1e-5)


def test_nodata_stays_nodata_and_casts_no_cliff() -> None:
    surface = plane(0.3, 0.1, 20) + 1000
    alone = hillshade(surface, (1.0, 1.0), 1.0)
    surface[5:9, 6:15] = np.nan
    lit = hillshade(surface, (1.0, 1.0), 1.0)
    assert np.array_equal(np.isnan(lit), np.isnan(surface))
    assert np.nanmax(np.abs(lit - alone)) < 0.2
    assert np.isnan(hillshade(np.full((4, 5), np.nan, np.float32), (1.0, 1.0), 1.0)).all()


def test_relief_brings_the_steepest_tenth_to_45_degrees() -> None:
    assert relief(plane(0.03, 0.04), (1.0, 1.0)) == pytest.approx(20)
    assert relief(plane(0.3, 0.4), (10.0, 10.0)) == pytest.approx(20)
    assert relief(plane(0, 0), (1.0, 1.0)) == 1
    assert relief(np.full((4, 5), np.nan, np.float32), (1.0, 1.0)) == 1


def test_one_band_of_several_is_compared_and_fitted(source: xr.DataArray) -> None:
    both = xr.concat([source * 0 + 7, source], "band")
    with pytest.raises(mmsr_geo.InputError, match="has 2 bands"):
        evaluated(both)
    ours, alone = evaluated(both, band=2), evaluated(source)
    assert ours.results["bicubic"].scores == alone.results["bicubic"].scores
    model = mmsr_geo.fit(both, sentinel_guide(), 4, band=2, params=PARAMS)
    assert model.digest == mmsr_geo.fit(source, sentinel_guide(), 4, params=PARAMS).digest


def test_one_method_may_be_named_without_a_list(source: xr.DataArray) -> None:
    assert list(evaluated(source, methods="bicubic").results) == ["bicubic"]


def test_a_blur_at_reduced_resolution_is_made_known_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    """The reduced source is the truth's, blurred in its own pixels before the mean; what is consistent shows it."""
    crop = sentinel_crop(8, 16, 49, 54, 4)
    blurred = evaluated(crop.source, params=None, quality="draft", psf="0.45", methods=[*QUICK, "mmsr"])
    known = blurred.trial.truth
    smooth = ndimage.gaussian_filter(known.astype(float), 0.45 * 4, mode="nearest")
    wanted = smooth.reshape(smooth.shape[0] // 4, 4, smooth.shape[1] // 4, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(blurred.trial.source, wanted, rtol=1e-4)
    plain = evaluated(crop.source, params=None, quality="draft", methods=[*QUICK, "mmsr"])
    assert plain.results["mmsr"].scores.consistency < 1e-4
    assert blurred.results["mmsr"].scores.consistency < 0.1  # a blur is not kept to exactly
    unblurred = Scores.of(blurred.results["mmsr"].target, blurred.trial.source, Scale(4, 4), blurred.trial.truth)
    assert unblurred.consistency > 3 * blurred.results["mmsr"].scores.consistency
    assert blurred.ratio("bicubic+consistency") < plain.ratio("bicubic+consistency")
    assert blurred.ratio("mmsr") < 1
    assert blurred.results["mmsr"].measurement.startswith("blurred by 0.45 source pixels before the mean")
    assert blurred.as_dict()["methods"]["mmsr"]["measurement"] == blurred.results["mmsr"].measurement
    assert plain.results["bicubic"].measurement == ""
    print_scores(blurred)
    assert "mmsr: blurred by 0.45 source pixels" in capsys.readouterr().out
