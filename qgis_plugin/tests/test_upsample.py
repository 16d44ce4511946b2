"""Upsample in QGIS: results, their style and place, the log, cancelling, odd layers and odd paths."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import (
    DEADLINE_S,
    GUIDE,
    QUICK,
    Feedback,
    Ran,
    Runner,
    children,
    coarse,
    command,
    fine,
    layer,
    make,
    pixels,
    stage_text,
)
from osgeo import gdal
from processing.gui import Postprocessing
from qgis.core import (
    QgsApplication,
    QgsContrastEnhancement,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsFeature,
    QgsGeometry,
    QgsPalettedRasterRenderer,
    QgsProcessingAlgRunnerTask,
    QgsProcessingOutputLayerDefinition,
    QgsProject,
    QgsRasterDataProvider,
    QgsRasterLayer,
    QgsRasterRange,
    QgsRectangle,
    QgsSingleBandGrayRenderer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QEventLoop

QUICK_ARGUMENTS = ["--scale", "4", "--steps", "6", "--threads", "1", "--progress", "none"]
INSTANT = {"SCALE": "4", "METHOD": "bicubic"}
"""Without a fit: the display does not depend on the method."""


def upsample(run: Runner, source: object, output: Path, feedback: Feedback | None = None, **more: Any) -> Ran:
    given = {"SOURCE": source, "GUIDE": str(GUIDE), "OUTPUT": str(output), **INSTANT, **more}
    given = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
    return run("upsample", feedback, **given)


def test_the_output_is_the_commands_own(run: Runner, source: Path, tmp_path: Path) -> None:
    by_qgis, by_hand = tmp_path / "by_qgis.tif", tmp_path / "by_hand.tif"
    ran = upsample(run, source, by_qgis, QA=tmp_path / "qa.tif", METHOD="mmsr", **QUICK)
    assert ran.ok, ran.errors
    done = command("upsample", source, GUIDE, "-o", by_hand, *QUICK_ARGUMENTS)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(pixels(by_qgis), pixels(by_hand))
    assert (gdal.Open(str(by_qgis)).GetMetadataItem("LAYOUT", "IMAGE_STRUCTURE")) == "COG"
    assert ran.results["GUIDE_CHECK"] == "helped"
    assert ran.results["QA"] == str(tmp_path / "qa.tif")
    assert children() == []


def test_the_log_has_the_command_its_stages_and_its_results(run: Runner, source: Path, tmp_path: Path) -> None:
    feedback = Feedback()
    ran = upsample(run, source, tmp_path / "sharp.tif", feedback, METHOD="mmsr", **QUICK)
    assert f"mmsr-geo upsample {source} {GUIDE} --scale 4 --steps 6" in ran.log
    found = [ran.log.index(f"{stage_text(stage)}\n") for stage in ("sample", "members", "predict", "write")]
    assert found == sorted(found)
    assert "Scale: 4; tiles: 1; time: " in ran.log
    assert "The guide helped: the error is expected to be 0." in ran.log
    assert feedback.shares == sorted(feedback.shares)
    assert feedback.shares[-1] == 100
    assert len(set(feedback.shares)) > 5


def test_a_warning_of_the_command_is_a_warning_in_the_log(run: Runner, tmp_path: Path) -> None:
    values = np.full((24, 20), 7.0, np.float32) + np.arange(20, dtype=np.float32)
    values[:3] = -9999
    guide = make(tmp_path / "guide.tif", np.random.default_rng(0).normal(size=(96, 80)).astype(np.float32), 20)
    ran = upsample(run, make(tmp_path / "gaps.tif", values), tmp_path / "sharp.tif", GUIDE=guide)
    assert ran.ok, ran.errors
    assert "-9999" in ran.log
    assert "No data values of the source" in ran.log  # the field, not the option


def test_paths_with_blanks_and_other_letters(run: Runner, tmp_path: Path) -> None:
    folder = tmp_path / "Höhen und Tiefen" / "λ 温度"
    source, guide = coarse(folder / "größe 1.tif", 80, 80, 96, 80), fine(folder / "führer; 2 'a'.tif")
    ran = upsample(
        run, source, folder / "schärfer (1).tif", GUIDE=guide, QA=folder / "güte.tif", SAVE_MODEL=folder / "net ñ.mmsr",
        METHOD="mmsr", **QUICK,
    )  # fmt: skip
    assert ran.ok, ran.errors
    assert {path.name for path in folder.iterdir()} == {
        "größe 1.tif", "führer; 2 'a'.tif", "schärfer (1).tif", "güte.tif", "net ñ.mmsr",
    }  # fmt: skip


def test_variables_of_qgiss_own_python_do_not_reach_the_commands(
    run: Runner, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["PYTHONHOME", "PYTHONPATH", "GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_LIB", "PROJ_DATA", "LD_LIBRARY_PATH"]
    for name in [*names, "QT_PLUGIN_PATH"]:
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mmsr_geo").mkdir()
    (tmp_path / "mmsr_geo" / "__init__.py").write_text("raise SystemExit('a folder of the same name')")
    ran = upsample(run, source, tmp_path / "sharp.tif")
    assert ran.ok, ran.errors


# Cancelling


@pytest.mark.parametrize("stage", ["trial", "predict", "write"])
def test_cancelling_ends_the_command_and_leaves_nothing(run: Runner, tmp_path: Path, stage: str) -> None:
    """A COG is written by one call into GDAL, which receives no signal: there the command has to be killed."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "before.tif").write_text("mine")
    random = np.random.default_rng(0)
    source = make(tmp_path / "large.tif", random.normal(100, 10, (384, 384)).astype(np.float32))
    guide = make(tmp_path / "guide.tif", random.normal(100, 10, (768, 768)).astype(np.float32), 40)
    how: dict[str, Any] = {"SCALE": "8", "METHOD": "bicubic", "CREATION_OPTIONS": "COMPRESS=LZMA"}
    if stage == "trial":
        how = {**QUICK, "METHOD": "mmsr", "STEPS": 100_000}
        source = coarse(tmp_path / "source.tif", 0, 0, 256, 256)
        guide = GUIDE
    began: list[float] = []
    feedback = Feedback(cancel_at=stage_text(stage))
    feedback.on_cancel = lambda: began.append(time.monotonic())
    ran = upsample(run, source, folder / "sharp.tif", feedback, GUIDE=guide, QA=folder / "qa.tif", **how)
    assert time.monotonic() - began[0] < DEADLINE_S
    assert ran.errors == []
    assert "Stopped. No unfinished file is left." in ran.log
    assert sorted(path.name for path in folder.iterdir()) == ["before.tif"]
    assert children() == []


def test_a_command_that_is_killed_gives_one_line_and_leaves_nothing(run: Runner, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    feedback = Feedback()

    def kill(text: str) -> None:
        if text == stage_text("trial"):
            (pid,) = children()
            os.kill(pid, signal.SIGKILL)

    feedback.setProgressText = kill  # type: ignore[method-assign]
    source = coarse(tmp_path / "source.tif", 0, 0, 256, 256)
    ran = upsample(run, source, folder / "sharp.tif", feedback, **{**QUICK, "METHOD": "mmsr", "STEPS": 100_000})
    assert not ran.ok
    assert ran.errors == ["mmsr-geo was ended by signal 9, possibly because memory ran out: set a smaller “Tile size”"]
    assert list(folder.iterdir()) == []


# Mistakes


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"SCALE": "four"}, "'four'"),
        ({"SCALE": "1"}, "scale 1 refines nothing"),
        ({"BOUNDS": "1,2,3,4 [EPSG:32618]"}, "1,3,2,4"),
        ({"MODEL": "none.mmsr", "METHOD": "mmsr"}, "none.mmsr"),
        ({"OUTPUT": "/nowhere/sharp.tif"}, "/nowhere"),
        ({"GUIDE": "none.tif"}, "Could not load source layer for GUIDE: none.tif not found"),
        ({"BOUNDS": "an empty layer"}, "Extent: the value has no extent"),
        ({"LIKE": str(GUIDE), "LIKE_RESOLUTION": "10"}, "exclude each other"),
    ],
)
def test_a_mistake_is_one_line(run: Runner, source: Path, tmp_path: Path, given: dict[str, Any], part: str) -> None:
    QgsProject.instance().addMapLayer(QgsVectorLayer("Polygon?crs=EPSG:32618", "an empty layer", "memory"))
    ran = upsample(run, source, tmp_path / "sharp.tif", **given)
    assert not ran.ok
    assert len(ran.errors) == 1
    assert part in ran.errors[0]
    assert "\n" not in ran.errors[0]
    assert "Traceback" not in ran.log
    assert [path.name for path in tmp_path.iterdir()] == ["source.tif"]


def test_the_advice_is_what_to_do_in_qgis(run: Runner, source: Path, tmp_path: Path) -> None:
    """Each clause of `messages.advice` is one that the command prints."""
    from mmsr_qgis.messages import advice

    make(tmp_path / "no_crs.tif", pixels(source), crs="")
    gdal.Translate(str(tmp_path / "no_grid.tif"), str(source), options="-co PROFILE=BASELINE")
    assert len(advice()) == 2
    for name, instead in zip(("no_crs.tif", "no_grid.tif"), advice().values(), strict=True):
        ran = upsample(run, tmp_path / name, tmp_path / "sharp.tif")
        assert len(ran.errors) == 1
        assert name in ran.errors[0]
        assert instead in ran.errors[0]


def test_a_source_as_its_own_output_is_refused(run: Runner, source: Path) -> None:
    before = source.read_bytes()
    ran = upsample(run, source, source)
    assert not ran.ok
    assert source.name in ran.errors[0]
    assert source.read_bytes() == before


@pytest.mark.parametrize("kind", ["of another CRS", "edited", "with open options"])
@pytest.mark.parametrize("by", ["its path", "a link"])
def test_a_copied_input_as_the_output_is_refused(run: Runner, source: Path, tmp_path: Path, kind: str, by: str) -> None:
    """The command gets a copy or a VRT of such a layer, and cannot tell."""
    given = layer(f"{source}|option:NUM_THREADS=1" if kind == "with open options" else source, "given")
    if kind == "of another CRS":
        given.setCrs(QgsCoordinateReferenceSystem("EPSG:26918"))  # the same place
    elif kind == "edited":
        assert given.dataProvider().setEditable(True)
    QgsProject.instance().addMapLayer(given)
    output = source
    if by == "a link":
        output = tmp_path / "link.tif"
        output.symlink_to(source)
    before = source.read_bytes()
    ran = upsample(run, given.id(), output, METHOD="nearest")
    assert not ran.ok
    assert ran.errors == [f"Target: {output} is an input of this run; choose another file"]
    assert source.read_bytes() == before
    given.dataProvider().setEditable(False)


# Styles and the layer tree


def loaded(run: Runner, source: QgsRasterLayer, tmp_path: Path, **more: Any) -> dict[str, QgsRasterLayer]:
    """Run in a separate thread, as the dialog does, and load the results into the project."""
    project = QgsProject.instance()
    outputs = {
        name: QgsProcessingOutputLayerDefinition(str(tmp_path / f"{name}.tif"), project) for name in ("OUTPUT", "QA")
    }
    given = {"SOURCE": source.id(), "GUIDE": str(GUIDE), **INSTANT, **more, **outputs}
    feedback = Feedback()
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("mmsr:upsample")
    task = QgsProcessingAlgRunnerTask(algorithm, given, run.context, feedback)
    ended: list[bool] = []
    loop = QEventLoop()
    task.executed.connect(lambda ok, _results: (ended.append(ok), loop.quit()))
    QgsApplication.taskManager().addTask(task)
    loop.exec()
    assert ended == [True], feedback.errors
    assert Postprocessing.handleAlgorithmResults(algorithm, run.context, feedback, outputs)
    QgsApplication.processEvents()
    found = {Path(each.source()).stem: each for each in project.mapLayers().values()}
    return {name: found[name] for name in outputs}


@pytest.fixture
def _no_desktop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Postprocessing, "iface", None)


@pytest.mark.usefixtures("_no_desktop")
def test_the_target_has_the_style_of_the_source_and_is_just_above_it(run: Runner, source: Path, tmp_path: Path) -> None:
    project = QgsProject.instance()
    below, coarse_layer, above = (
        layer(path, name) for path, name in ((GUIDE, "below"), (source, "coarse"), (GUIDE, "above"))
    )
    renderer = QgsSingleBandGrayRenderer(coarse_layer.dataProvider(), 1)
    stretch = QgsContrastEnhancement(coarse_layer.dataProvider().dataType(1))
    stretch.setContrastEnhancementAlgorithm(QgsContrastEnhancement.ContrastEnhancementAlgorithm.StretchToMinimumMaximum)
    stretch.setMinimumValue(1234)
    stretch.setMaximumValue(2345)
    renderer.setContrastEnhancement(stretch)
    renderer.setGradient(QgsSingleBandGrayRenderer.Gradient.WhiteToBlack)
    coarse_layer.setRenderer(renderer)
    group = project.layerTreeRoot().addGroup("rasters")
    for each in (above, coarse_layer, below):
        project.addMapLayer(each, False)
        group.addLayer(each)
    results = loaded(run, coarse_layer, tmp_path)
    drawn = results["OUTPUT"].renderer()
    assert isinstance(drawn, QgsSingleBandGrayRenderer)
    assert drawn.gradient() == QgsSingleBandGrayRenderer.Gradient.WhiteToBlack
    assert (drawn.contrastEnhancement().minimumValue(), drawn.contrastEnhancement().maximumValue()) == (1234, 2345)
    order = [node.layer() for node in group.children()]
    assert order == [above, results["QA"], results["OUTPUT"], coarse_layer, below]
    assert len(project.layerTreeRoot().findLayers()) == 5


@pytest.mark.usefixtures("_no_desktop")
def test_the_qa_flags_have_a_legend_of_the_values_in_them(run: Runner, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(100, 10, (24, 20)).astype(np.float32)
    values[:4, :4] = -9999
    source = layer(make(tmp_path / "gaps.tif", values), "gaps")
    QgsProject.instance().addMapLayer(source)
    guide = make(tmp_path / "guide.tif", np.random.default_rng(0).normal(size=(90, 80)).astype(np.float32), 20)
    results = loaded(
        run, source, tmp_path, SOURCE_NODATA="-9999", GUIDE=str(guide), METHOD="guided-filter", MIN_COVERAGE=0.5
    )
    there = sorted(int(value) for value in np.unique(pixels(tmp_path / "QA.tif")))
    assert {0, 1, 2} <= set(there)
    drawn = results["QA"].renderer()
    assert isinstance(drawn, QgsPalettedRasterRenderer)
    legend = {int(each.value): (each.label, each.color.alpha()) for each in drawn.classes()}
    assert sorted(legend) == there
    assert legend[0] == ("no flag", 0)
    assert legend[1] == ("no data in the source", 200)
    assert legend[2][0] == "gap in the guide"


@pytest.fixture
def _with_pam() -> Iterator[None]:
    """As in QGIS: GDAL may write a file with statistics next to a raster."""
    before = gdal.GetConfigOption("GDAL_PAM_ENABLED")
    gdal.SetConfigOption("GDAL_PAM_ENABLED", "YES")
    yield
    gdal.SetConfigOption("GDAL_PAM_ENABLED", before)


@pytest.mark.usefixtures("_with_pam")
def test_nothing_is_written_next_to_the_results(run: Runner, source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    ran = upsample(run, source, folder / "sharp.tif", QA=folder / "flags.tif", METHOD="nearest")
    assert ran.ok, ran.errors
    assert sorted(path.name for path in folder.iterdir()) == ["flags.tif", "sharp.tif"]


def test_the_values_of_the_qa_flags_are_found_in_every_strip(tmp_path: Path) -> None:
    from mmsr_qgis.algorithms import _values

    flags = np.zeros((1300, 40), np.uint8)
    flags[5, 7], flags[600, 39], flags[1299, 0], flags[1298] = 32, 255, 3, 3
    assert _values(str(make(tmp_path / "flags.tif", flags))) == [0, 3, 32, 255]


# Layers that are not plain files


def expected(source: Path, folder: Path, *more: object) -> Any:
    out = folder / "expected.tif"
    done = command(
        "upsample", source, GUIDE, "-o", out, "--scale", "4", "--method", "bicubic", "--progress", "none", *more
    )
    assert done.returncode == 0, done.stderr
    return pixels(out)


def test_a_layer_in_edit_mode_is_used_with_its_unsaved_edits(run: Runner, source: Path, tmp_path: Path) -> None:
    edited = layer(source, "edited")
    provider = edited.dataProvider()
    before = pixels(source)
    assert provider.setEditable(True)
    block = provider.block(1, edited.extent(), edited.width(), edited.height())
    for row in range(5):
        block.setValue(row, 3, 12_345)
    assert provider.writeBlock(block, 1)
    QgsProject.instance().addMapLayer(edited)
    ran = upsample(run, edited.id(), tmp_path / "sharp.tif", METHOD="nearest")
    assert ran.ok, ran.errors
    assert "edited is in edit mode: its values with the unsaved edits are used" in ran.log
    made = pixels(tmp_path / "sharp.tif")[::4, ::4]
    assert (made[:5, 3] == 12_345).all()
    made[:5, 3] = before[:5, 3]
    assert np.array_equal(made, before)
    provider.setEditable(False)


def test_a_layer_in_memory_is_written_to_a_file_first(run: Runner, source: Path, tmp_path: Path) -> None:
    gdal.GetDriverByName("GTiff").CreateCopy("/vsimem/memory.tif", gdal.Open(str(source)))
    QgsProject.instance().addMapLayer(layer("/vsimem/memory.tif", "in memory"))
    ran = upsample(run, "in memory", tmp_path / "sharp.tif")
    assert ran.ok, ran.errors
    assert np.array_equal(pixels(tmp_path / "sharp.tif"), expected(source, tmp_path))
    gdal.Unlink("/vsimem/memory.tif")


def test_a_layer_with_credentials_is_read_by_qgis(provider: Any, source: Path) -> None:
    """They are in the layer's source, which the command does not read."""
    from mmsr_qgis.layers import InMemory, OnDisk, readable

    assert isinstance(readable(layer(source)), OnDisk)
    assert isinstance(readable(layer(f"{source}|credential:AWS_NO_SIGN_REQUEST=YES")), InMemory)


def test_a_virtual_layer_of_the_raster_calculator_is_written_to_a_file_first(
    run: Runner, source: Path, tmp_path: Path
) -> None:
    QgsProject.instance().addMapLayer(layer(source, "given"))
    box = QgsProject.instance().mapLayersByName("given")[0].extent()
    parameters = QgsRasterDataProvider.VirtualRasterParameters()
    parameters.crs, parameters.extent = QgsCoordinateReferenceSystem("EPSG:32618"), box
    parameters.width, parameters.height, parameters.formula = 24, 20, '"given@1" * 2'
    input_layer = QgsRasterDataProvider.VirtualRasterInputLayers()
    input_layer.name, input_layer.uri, input_layer.provider = "given", str(source), "gdal"
    parameters.rInputLayers = [input_layer]
    uri = QgsRasterDataProvider.encodeVirtualRasterProviderUri(parameters)
    virtual = QgsRasterLayer(uri, "doubled", "virtualraster")
    assert virtual.isValid()
    QgsProject.instance().addMapLayer(virtual)
    ran = upsample(run, virtual.id(), tmp_path / "sharp.tif")
    assert ran.ok, ran.errors
    assert np.allclose(pixels(tmp_path / "sharp.tif"), 2 * expected(source, tmp_path), rtol=1e-5)


def test_a_table_of_a_database_is_read_there(run: Runner, tmp_path: Path) -> None:
    """A GeoPackage holds rasters in tables; its 8-bit ones are exact."""
    values = np.random.default_rng(0).integers(1, 200, (24, 20)).astype(np.uint8)
    plain = make(tmp_path / "plain.tif", values)
    database = tmp_path / "raster tables.gpkg"
    gdal.Translate(str(database), str(plain), format="GPKG", creationOptions=["RASTER_TABLE=first", "TILE_FORMAT=PNG"])
    gdal.Translate(
        str(database), str(plain), format="GPKG", scaleParams=[[0, 255, 255, 0]],
        creationOptions=["RASTER_TABLE=second", "APPEND_SUBDATASET=YES", "TILE_FORMAT=PNG"],
    )  # fmt: skip
    guide = make(tmp_path / "guide.tif", np.random.default_rng(1).normal(size=(96, 80)).astype(np.float32), 20)
    QgsProject.instance().addMapLayer(layer(f"GPKG:{database}:first", "table"))
    ran = upsample(run, "table", tmp_path / "sharp.tif", GUIDE=guide, METHOD="nearest")
    assert ran.ok, ran.errors
    assert np.array_equal(pixels(tmp_path / "sharp.tif")[::4, ::4], values)


def test_the_layers_crs_counts_where_the_file_has_none(run: Runner, source: Path, tmp_path: Path) -> None:
    bare = make(tmp_path / "bare.tif", pixels(source), crs="")
    moved = gdal.Open(str(bare), gdal.GA_Update)
    moved.SetGeoTransform(gdal.Open(str(source)).GetGeoTransform())
    del moved
    given = layer(bare, "bare")
    given.setCrs(QgsCoordinateReferenceSystem("EPSG:32618"))
    QgsProject.instance().addMapLayer(given)
    ran = upsample(run, "bare", tmp_path / "sharp.tif")
    assert ran.ok, ran.errors
    assert np.array_equal(pixels(tmp_path / "sharp.tif"), expected(source, tmp_path))


def test_additional_no_data_of_the_layers_properties_is_nodata(run: Runner, source: Path, tmp_path: Path) -> None:
    given = layer(source, "given")
    value = float(pixels(source)[2, 3])
    given.dataProvider().setUserNoDataValue(1, [QgsRasterRange(value, value)])
    QgsProject.instance().addMapLayer(given)
    ran = upsample(run, "given", tmp_path / "sharp.tif")
    assert ran.ok, ran.errors
    made = gdal.Open(str(tmp_path / "sharp.tif"))
    missing = made.GetRasterBand(1).GetMaskBand().ReadAsArray() == 0
    assert missing[8:12, 12:16].all()
    assert missing.sum() == 16 * (pixels(source) == value).sum()


def test_a_map_service_is_refused_in_one_line(run: Runner, source: Path, tmp_path: Path) -> None:
    tiles = QgsRasterLayer(f"type=xyz&url=file://{tmp_path}/{{z}}/{{x}}/{{y}}.png&zmax=4", "tiles", "wms")
    assert tiles.isValid()
    QgsProject.instance().addMapLayer(tiles)
    ran = upsample(run, source, tmp_path / "sharp.tif", GUIDE="tiles")
    assert not ran.ok
    assert ran.errors == ["tiles is a picture from a map service, without values: export it as a GeoTIFF first"]


def test_a_vector_layer_is_refused_in_one_line(run: Runner, source: Path, tmp_path: Path) -> None:
    points = QgsVectorLayer("Point?crs=EPSG:32618", "points", "memory")
    QgsProject.instance().addMapLayer(points)
    ran = upsample(run, points.id(), tmp_path / "sharp.tif")
    assert not ran.ok
    assert len(ran.errors) == 1
    assert "Source (coarse raster)" in ran.errors[0] or "SOURCE" in ran.errors[0]


def test_bounds_come_from_unsaved_edits_in_another_crs(run: Runner, source: Path, tmp_path: Path) -> None:
    box = layer(source).extent()
    part = QgsRectangle(box.xMinimum() + 30, box.yMinimum() + 30, box.center().x() - 30, box.center().y() - 30)
    utm, degrees = (QgsCoordinateReferenceSystem(name) for name in ("EPSG:32618", "EPSG:4326"))
    geometry = QgsGeometry.fromRect(part)
    geometry.transform(QgsCoordinateTransform(utm, degrees, QgsProject.instance()))
    area = QgsVectorLayer("Polygon?crs=EPSG:4326", "area", "memory")
    area.startEditing()
    feature = QgsFeature()
    feature.setGeometry(geometry)
    area.addFeature(feature)
    QgsProject.instance().addMapLayer(area)
    ran = upsample(run, source, tmp_path / "sharp.tif", BOUNDS=area.id())
    assert ran.ok, ran.errors
    assert pixels(tmp_path / "sharp.tif").shape == (40, 48)
    area.rollBack()
