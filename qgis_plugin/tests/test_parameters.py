"""Parameters in QGIS against the command's options, and their values against the command's arguments."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import pytest
import translations
from conftest import GUIDE, LIBRARY, command, layer
from qgis.core import (
    QgsApplication,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProject,
)
from qgis.PyQt.QtCore import QCoreApplication, QTranslator
from qgis.PyQt.QtWidgets import QGroupBox

COMMANDS = ("upsample", "evaluate", "fit")
Arguments = Callable[..., list[str]]
ELSEWHERE = re.compile(
    r"--\w|\bdocs/|\.md\b|\bZarr\b|s3://|FILE|BITS|\b(SOURCE|GUIDE)\b|"  # other ways to call the library
    r"\b(net|nets|hole|holes|mend|told|shall|so many|one level down)\b"  # LANGUAGE
)
"""What no text in QGIS contains: spellings of the command line and of Python, and words that GIS people do not use."""


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """Return the library's description of its commands, not the plugin's copy."""
    described: dict[str, Any] = json.loads(command("describe", "--json").stdout)
    return described


@pytest.fixture(scope="module")
def library() -> dict[str, Any]:
    """Return the library's tables that the plugin repeats; the one place that knows its modules."""
    script = (
        "import json; from mmsr_geo.engine.flags import Flag; from mmsr_geo import options as of\n"
        "print(json.dumps({'methods': of.METHODS, 'consistent': of.CONSISTENT, 'evaluated': of.EVALUATED,\n"
        "  'flags': [int(flag) for flag in Flag], 'sensors': of.SENSORS, 'dtypes': of.DTYPES}))"
    )
    done = subprocess.run([str(LIBRARY), "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tables: dict[str, Any] = json.loads(done.stdout)
    return tables


@pytest.fixture
def arguments(provider: Any, source: Path, qgis_new_project: None) -> Arguments:
    """Return the command's arguments for parameters, without those of every run."""

    def made(name: str, **given: Any) -> list[str]:
        algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"mmsr:{name}")
        context = QgsProcessingContext()
        context.setProject(QgsProject.instance())
        given = {"SOURCE": str(source), "GUIDE": str(GUIDE), "OUTPUT": "/tmp/out", **given}
        algorithm.prepareAlgorithm(given, context, None)
        outputs = {key: str(given[key]) for key in ("OUTPUT", "QA", "SAVE_MODEL") if key in given}
        found: list[str] = algorithm._with_files(outputs, Path("/nowhere"), None)
        assert found[-3:] == ["--overwrite", "--progress", "json"]
        assert found[:2] == [str(source), str(GUIDE)]
        return found[2:-3]

    return made


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_the_command_has_a_field_or_is_hidden_for_a_reason(
    described: dict[str, Any], name: str
) -> None:
    from mmsr_qgis.dialog import FIELDS, HIDDEN

    options = {each["name"] for each in described["commands"][name]["parameters"]}
    fields = set(FIELDS[name])
    assert options - fields - set(HIDDEN) == set(), "add a line to dialog.py for each of these"
    assert fields - options == set(), "the command no longer has these"
    assert fields & set(HIDDEN) == set()
    assert all(len(reason.split()) > 5 for reason in HIDDEN.values())


def test_the_plugins_copy_of_the_description_is_up_to_date(described: dict[str, Any]) -> None:
    from mmsr_qgis.commands import description

    assert description() == described | {"commands": {name: described["commands"][name] for name in COMMANDS}}


def test_tables_that_the_plugin_repeats_are_the_librarys(library: dict[str, Any]) -> None:
    from mmsr_qgis import dialog, report, styling

    assert list(dialog.METHODS) == library["methods"]
    assert library["consistent"] == dialog.CONSISTENT
    assert list(dialog.DTYPES) == library["dtypes"]
    assert list(styling.FLAGS) == library["flags"]
    assert len(library["evaluated"]) == report.QUICK_METHODS
    compared = dialog.FIELDS["evaluate"]["methods"].help
    assert all(re.search(rf"{re.escape(name)}[,. ]", compared) for name in library["evaluated"])
    sensors = re.sub(r".*sensor: |\.$", "", dialog.FIELDS["upsample"]["source_resolution"].help)
    assert sorted(re.split(", | or ", sensors)) == sorted(library["sensors"])


def test_every_stage_has_its_share_of_the_progress_bar(described: dict[str, Any]) -> None:
    from mmsr_qgis.progress import ENDS

    assert set(ENDS) == set(described["stages"]) - {"check", "pairs", "report"}  # those of batch, and a short one


def test_every_method_to_evaluate_is_one_that_the_command_knows() -> None:
    from mmsr_qgis.dialog import FIELDS

    script = (
        "import sys; from mmsr_geo.methods.select import select_evaluated_method\n"
        "from mmsr_geo.options import FitOptions, PredictionOptions\n"
        "for name in sys.argv[1:]: select_evaluated_method(name, FitOptions(), PredictionOptions())"
    )
    names = FIELDS["evaluate"]["methods"].among
    done = subprocess.run([str(LIBRARY), "-c", script, *names], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_basic_parameters_come_first_and_the_rest_is_advanced(provider: Any, name: str) -> None:
    definitions = provider.algorithm(name).parameterDefinitions()
    advanced = [bool(each.flags() & QgsProcessingParameterDefinition.Flag.FlagAdvanced) for each in definitions]
    inputs = [is_advanced for each, is_advanced in zip(definitions, advanced, strict=True) if not each.isDestination()]
    basic = [each.name() for each, is_advanced in zip(definitions, advanced, strict=True) if not is_advanced]
    assert basic[:3] == ["SOURCE", "GUIDE", "SCALE"]
    assert inputs.index(True) <= 5
    assert "OUTPUT" in basic
    assert len(basic) <= 8


@pytest.mark.parametrize("name", COMMANDS)
def test_defaults_are_the_commands(provider: Any, described: dict[str, Any], name: str) -> None:
    algorithm = provider.algorithm(name)
    for option in described["commands"][name]["parameters"]:
        definition = algorithm.parameterDefinition(option["name"].upper())
        if definition is None:
            continue
        if option["default"] is not None:
            assert definition.defaultValue() == option["default"]
        if option["required"]:
            assert not definition.flags() & QgsProcessingParameterDefinition.Flag.FlagOptional


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_has_a_help_of_its_own_in_the_panel(provider: Any, name: str) -> None:
    algorithm = provider.algorithm(name)
    panel = algorithm.shortHelpString()
    assert "\n" not in panel
    for definition in algorithm.parameterDefinitions():
        assert f"<b>{escape(definition.description())}</b><br>{escape(definition.help())}</p>" in panel
        new = _words(definition.help()) - _words(definition.description())
        assert len(new) > 2, f"the help of {definition.name()} repeats its label"
    helps = [each.help() for each in algorithm.parameterDefinitions()]
    assert len(set(helps)) >= len(helps) - 1  # those of the bits of both masks are alike
    assert Path(algorithm.helpUrl()[len("file://") :]).read_text("utf-8").startswith("<!DOCTYPE html>")


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def test_a_field_without_help_has_the_commands(provider: Any) -> None:
    from mmsr_qgis.commands import command

    described = command("upsample").options
    definition = provider.algorithm("upsample").parameterDefinition
    assert definition("TILE_SIZE").help() == described["tile_size"].help
    assert definition("DERIVE").help() == f"{described['derive'].help} Separate several entries with semicolons."


def test_the_plugins_own_texts_have_words_of_gis_only() -> None:
    own = [text for text in translations.texts() if text not in set(translations._command())]
    assert [text for text in own if ELSEWHERE.search(text)] == []
    assert [text for text in own if len(re.findall(r"[.?!] [A-Z“]", text)) > 1 and "<p>" not in text] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_help_is_right_in_qgis_too(provider: Any, name: str) -> None:
    """Where it is not, the field in dialog.py gets a help text of its own."""
    definitions = provider.algorithm(name).parameterDefinitions()
    wrong = {each.name(): each.help() for each in definitions if ELSEWHERE.search(each.help())}
    assert wrong == {}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, []),
        ({"SCALE": "2x1"}, ["--scale", "2x1"]),
        ({"SCALE": " 4 "}, ["--scale", "4"]),
        ({"METHOD": "bicubic+consistency"}, ["--method", "bicubic+consistency"]),
        ({"METHOD": "mmsr", "FIT": "scene", "SEED": 0, "DEVICE": "auto", "MIN_COVERAGE": 0.95}, []),
        ({"FIT": "tile", "SEED": 3, "DEVICE": "cpu"}, ["--fit", "tile", "--device", "cpu", "--seed", "3"]),
        ({"MIN_COVERAGE": 0.1}, ["--min-coverage", "0.10000000000000001"]),
        ({"SOURCE_NODATA": "-9999"}, ["--source-nodata", "-9999"]),
        ({"SOURCE_NODATA": "-9999,>100"}, ["--source-nodata", "-9999,>100"]),
        ({"SOURCE_NODATA": None}, []),
        ({"VALID_RANGE": "0,60"}, ["--valid-range", "0,60"]),
        ({"VALID_RANGE": "None,None"}, []),
        ({"VALID_RANGE": [float("nan"), 60]}, ["--valid-range", "-inf,60"]),
        ({"KEEP_STATISTICS": True}, ["--keep-statistics"]),
        ({"GUIDE_BAND": [4, 3]}, ["--guide-band", f"{GUIDE}:4,3"]),
        ({"GUIDE_BAND": "3"}, ["--guide-band", f"{GUIDE}:3"]),
        ({"MORE_GUIDES_BAND": "b.tif:1; c.tif:2,3"}, ["--guide-band", "b.tif:1", "--guide-band", "c.tif:2,3"]),
        ({"DERIVE": "ndvi:nir=4,red=3;slope:dem=1"}, ["--derive", "ndvi:nir=4,red=3", "--derive", "slope:dem=1"]),
        ({"GUIDE_MASK": str(GUIDE)}, ["--guide-mask", str(GUIDE)]),
        ({"GUIDE_MASK": str(GUIDE), "GUIDE_MASK_BITS": "3,4"}, ["--guide-mask", f"{GUIDE}:3,4"]),
        ({"GUIDE_MASK": str(GUIDE), "GUIDE_MASK_BITS": ">66"}, ["--guide-mask", f"{GUIDE}>66"]),
        ({"BAND": 2}, ["--band", "2"]),
        ({"LIKE": str(GUIDE)}, ["--like", str(GUIDE)]),
        ({"LIKE_RESOLUTION": "25x20"}, ["--like", "25x20"]),
        ({"BOUNDS": "436000,436500,4176000,4176400 [EPSG:32618]"}, ["--bounds", "436000,4176000,436500,4176400"]),
        ({"CREATION_OPTIONS": "COMPRESS=ZSTD;LEVEL=9"}, ["--co", "COMPRESS=ZSTD", "--co", "LEVEL=9"]),
        ({"MODEL": "/a b/n.mmsr"}, ["--model", "/a b/n.mmsr"]),
        ({"QA": "/tmp/qa.tif"}, ["--qa", "/tmp/qa.tif"]),
        ({"SAVE_MODEL": "/tmp/n.mmsr"}, ["--save-model", "/tmp/n.mmsr"]),
        ({"QA": None, "SAVE_MODEL": ""}, []),
        ({"STEPS": 5, "THREADS": 2, "TILE_SIZE": 64}, ["--tile-size", "64", "--steps", "5", "--threads", "2"]),
        ({"DTYPE": "int16", "SCALE_FACTOR": 0.5}, ["--dtype", "int16", "--scale-factor", "0.5"]),
    ],
)
def test_values_become_the_commands_arguments(arguments: Arguments, given: dict[str, Any], expected: list[str]) -> None:
    found = arguments("upsample", **given)
    at = found.index("--output")
    assert found[:at] + found[at + 2 :] == expected


def test_integers_have_boxes_for_integers(provider: Any) -> None:
    """Also where the command has a limit."""
    definitions = provider.algorithm("upsample").parameterDefinitions()
    numbers = {each.name(): each.dataType() for each in definitions if each.type() == "number"}
    integers = {name for name, kind in numbers.items() if kind == QgsProcessingParameterNumber.Type.Integer}
    assert integers == {"TILE_SIZE", "STEPS", "THREADS", "SEED", "WORKERS"}


def test_the_help_promises_no_more_than_qgis_takes(provider: Any) -> None:
    algorithm = provider.algorithm("upsample")
    for text in (algorithm.parameterDefinition("OUTPUT").help(), algorithm.shortHelpString()):
        assert "Cloud Optimized GeoTIFF to write." in text
        assert "Zarr store to write" not in text
        assert "s3" not in text


def test_the_arguments_of_the_other_commands(arguments: Arguments) -> None:
    assert arguments("evaluate", METHODS=["nearest", "p2p+consistency"], HILLSHADE="no", BAND=1, TRUTH=str(GUIDE)) == [
        "--band", "1", "--truth", str(GUIDE), "--methods", "nearest,p2p+consistency", "--no-hillshade",
        "--output", "/tmp/out",
    ]  # fmt: skip
    assert arguments("evaluate", HILLSHADE="yes") == ["--hillshade", "--output", "/tmp/out"]
    assert arguments("fit", BAND=1, SEED=2) == ["--band", "1", "--seed", "2", "--output", "/tmp/out"]


def test_more_guides_follow_the_first(provider: Any, source: Path, qgis_new_project: None) -> None:
    QgsProject.instance().addMapLayer(layer(source, "second"))
    algorithm = provider.algorithm("fit").create()
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    given = {"SOURCE": str(source), "GUIDE": str(GUIDE), "MORE_GUIDES": ["second", str(GUIDE)], "OUTPUT": "/tmp/n"}
    algorithm.prepareAlgorithm(given, context, None)
    assert algorithm._with_files({"OUTPUT": "/tmp/n"}, Path(), None)[:4] == [
        str(source),
        str(GUIDE),
        str(source),
        str(GUIDE),
    ]


def test_a_grid_and_a_resolution_exclude_each_other(arguments: Arguments) -> None:
    with pytest.raises(QgsProcessingException, match="“Output grid” and “Output resolution” exclude each other"):
        arguments("upsample", LIKE=str(GUIDE), LIKE_RESOLUTION="10")


def test_a_processing_model_has_it_as_a_step(
    provider: Any, source: Path, tmp_path: Path, qgis_new_project: None
) -> None:
    """As the model designer builds it: two inputs, our algorithm, then another on its output."""
    model = QgsProcessingModelAlgorithm("sharpen", "tests")
    for name in ("coarse", "fine"):
        model.addModelParameter(QgsProcessingParameterRasterLayer(name, name), QgsProcessingModelParameter(name))
    sharpen = QgsProcessingModelChildAlgorithm("mmsr:upsample")
    sharpen.setChildId("sharpen")
    value = QgsProcessingModelChildParameterSource
    sharpen.addParameterSources("SOURCE", [value.fromModelParameter("coarse")])
    sharpen.addParameterSources("GUIDE", [value.fromModelParameter("fine")])
    sharpen.addParameterSources("METHOD", [value.fromStaticValue("nearest")])
    sharpen.addParameterSources("SCALE", [value.fromStaticValue("4")])
    model.addChildAlgorithm(sharpen)
    twice = QgsProcessingModelChildAlgorithm("native:fillnodata")
    twice.setChildId("fill")
    twice.addParameterSources("INPUT", [value.fromChildOutput("sharpen", "OUTPUT")])
    twice.addParameterSources("BAND", [value.fromStaticValue(1)])
    out = QgsProcessingModelOutput("filled", "filled")
    out.setChildId("fill")
    out.setChildOutputName("OUTPUT")
    twice.setModelOutputs({"filled": out})
    model.addChildAlgorithm(twice)
    assert model.validate() == (True, [])
    model.toFile(str(tmp_path / "sharpen.model3"))
    again = QgsProcessingModelAlgorithm()
    assert again.fromFile(str(tmp_path / "sharpen.model3"))
    again.initAlgorithm()
    from conftest import Feedback

    context = QgsProcessingContext()
    given = {"coarse": str(source), "fine": str(GUIDE), "filled": str(tmp_path / "filled.tif")}
    feedback = Feedback()
    results, ok = again.run(given, context, feedback)
    assert ok, feedback.errors
    assert layer(results["filled"]).width() == 96


class _Marked(QTranslator):
    """A language in which every text is marked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def translate(self, context: str, text: str, *_rest: Any) -> str:
        if context != "mmsr_qgis":
            return ""
        self.asked.add(text)
        return f"«{text}»"

    def isEmpty(self) -> bool:  # noqa: N802  (QGIS's name)
        return False


def test_every_text_is_translated_and_is_in_the_translators_file(provider: Any) -> None:
    from mmsr_qgis.environment_dialog import EnvironmentDialog
    from mmsr_qgis.styling import FLAGS, flags_label

    translator = _Marked()
    QCoreApplication.installTranslator(translator)
    try:
        shown = [provider.name(), *(flags_label(bit) for bit in FLAGS)]
        for name in COMMANDS:
            algorithm = provider.algorithm(name).create()
            shown += [algorithm.displayName(), algorithm.shortDescription(), algorithm.shortHelpString()]
            shown += [each.description() for each in algorithm.parameterDefinitions()]
            shown += [each.help() for each in algorithm.parameterDefinitions() if each.help()]
            shown += [each.description() for each in algorithm.outputDefinitions()]
            algorithm.tags()
        dialog = EnvironmentDialog()
        shown.append(dialog.windowTitle())
        shown += [group.title() for group in dialog.findChildren(QGroupBox)]
        shown += [dialog.start.text(), dialog.stop.text(), dialog.test.text(), dialog.size_label.text()]
        dialog.done(0)
    finally:
        QCoreApplication.removeTranslator(translator)
    assert [text for text in shown if not text.startswith("«")] == []
    assert translator.asked - set(translations.texts()) - {""} == set()


def test_the_translators_file_is_up_to_date() -> None:
    assert translations.FILE.read_text("utf-8") == translations.xml(), "run `make plugin-commands`"
