"""Parameters in QGIS against the command's options, and what a user gives against the command's words."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
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
OWN_HELP = {("upsample", "output"): "The Cloud Optimized GeoTIFF to write."}
"""Where QGIS does not take all that the command does: here a Zarr store, or an object store's address."""
Words = Callable[..., list[str]]


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """What the library says, not the plugin's copy of it."""
    told: dict[str, Any] = json.loads(command("describe", "--json").stdout)
    return told


@pytest.fixture
def words(provider: Any, source: Path, qgis_new_project: None) -> Words:
    """Return the command's words for parameters, without those of every run."""

    def made(name: str, **given: Any) -> list[str]:
        algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"mmsr:{name}")
        context = QgsProcessingContext()
        context.setProject(QgsProject.instance())
        given = {"SOURCE": str(source), "GUIDE": str(GUIDE), "OUTPUT": "/tmp/out", **given}
        algorithm.prepareAlgorithm(given, context, None)
        outputs = {key: str(given[key]) for key in ("OUTPUT", "QA", "SAVE_NET") if key in given}
        told = algorithm._written(outputs, Path("/nowhere"), None)
        assert told[-3:] == ["--overwrite", "--progress", "json"]
        assert told[:2] == [str(source), str(GUIDE)]
        return told[2:-3]

    return made


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_the_command_is_offered_or_left_out_for_a_reason(described: dict[str, Any], name: str) -> None:
    from mmsr_qgis.dialog import LEFT_OUT, OFFERED

    options = {each["name"] for each in described["commands"][name]["parameters"]}
    offered = set(OFFERED[name])
    assert options - offered - set(LEFT_OUT) == set(), "write a line in dialog.py for each of these"
    assert offered - options == set(), "the command does not have these any more"
    assert offered & set(LEFT_OUT) == set()
    assert all(len(reason.split()) > 5 for reason in LEFT_OUT.values())


def test_the_plugins_copy_is_what_the_command_says(described: dict[str, Any]) -> None:
    from mmsr_qgis.parameters import described as kept

    assert kept() == described | {"commands": {name: described["commands"][name] for name in COMMANDS}}


def test_lists_to_choose_from_are_the_librarys() -> None:
    from mmsr_qgis import dialog, report

    script = (
        "import json; from mmsr_geo.baselines import METHODS, CONSISTENT; from mmsr_geo.choosing import EVALUATED\n"
        "from mmsr_geo.raster.storing import DTYPES\n"
        "print(json.dumps([list(METHODS), CONSISTENT, list(DTYPES), len(EVALUATED)]))"
    )
    told = json.loads(subprocess.run([str(LIBRARY), "-c", script], check=True, capture_output=True, text=True).stdout)
    assert told == [list(dialog.METHODS), dialog.CONSISTENT, list(dialog.DTYPES), report.QUICK_METHODS]


def test_every_method_to_evaluate_is_one_that_the_command_knows() -> None:
    from mmsr_qgis.dialog import OFFERED

    script = (
        "import sys; from mmsr_geo.choosing import evaluated_method\n"
        "for name in sys.argv[1:]: evaluated_method(name, None, 'warn', seed=0, device='cpu')"
    )
    names = OFFERED["evaluate"]["methods"].among
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
def test_defaults_and_help_are_the_commands(provider: Any, described: dict[str, Any], name: str) -> None:
    algorithm = provider.algorithm(name)
    for told in described["commands"][name]["parameters"]:
        definition = algorithm.parameterDefinition(told["name"].upper())
        if definition is None:
            continue
        assert definition.help() == OWN_HELP.get((name, told["name"]), told["help"])
        if told["default"] is not None:
            assert definition.defaultValue() == told["default"]
        if told["required"]:
            assert not definition.flags() & QgsProcessingParameterDefinition.Flag.FlagOptional
    panel = algorithm.shortHelpString()
    assert "\n" not in panel
    assert Path(algorithm.helpUrl()[len("file://") :]).read_text("utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, []),
        ({"SCALE": "2x1"}, ["--scale", "2x1"]),
        ({"SCALE": " 4 "}, ["--scale", "4"]),
        ({"METHOD": "bicubic+consistency"}, ["--method", "bicubic+consistency"]),
        ({"METHOD": "mmsr", "FIT": "scene", "SEED": 0, "DEVICE": "auto", "MIN_COVERAGE": 0.95}, []),
        ({"FIT": "tile", "SEED": 3, "DEVICE": "cpu"}, ["--fit", "tile", "--device", "cpu", "--seed", "3"]),
        ({"MIN_COVERAGE": 0.1}, ["--min-coverage", "0.10000000000000001"]),
        ({"SOURCE_NODATA": -9999}, ["--source-nodata", "-9999"]),
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
        ({"LIKE": str(GUIDE)}, ["--like", str(GUIDE)]),
        ({"LIKE_RESOLUTION": "25x20"}, ["--like", "25x20"]),
        ({"BOUNDS": "436000,436500,4176000,4176400 [EPSG:32618]"}, ["--bounds", "436000,4176000,436500,4176400"]),
        ({"CREATION_OPTIONS": "COMPRESS=ZSTD;LEVEL=9"}, ["--co", "COMPRESS=ZSTD", "--co", "LEVEL=9"]),
        ({"NET": "/a b/n.mmsr"}, ["--net", "/a b/n.mmsr"]),
        ({"QA": "/tmp/qa.tif"}, ["--qa", "/tmp/qa.tif"]),
        ({"SAVE_NET": "/tmp/n.mmsr"}, ["--save-net", "/tmp/n.mmsr"]),
        ({"QA": None, "SAVE_NET": ""}, []),
        ({"STEPS": 5, "THREADS": 2, "TILE_SIZE": 64}, ["--tile-size", "64", "--steps", "5", "--threads", "2"]),
        ({"DTYPE": "int16", "SCALE_FACTOR": 0.5}, ["--dtype", "int16", "--scale-factor", "0.5"]),
    ],
)
def test_what_a_user_gives_becomes_the_commands_words(words: Words, given: dict[str, Any], said: list[str]) -> None:
    told = words("upsample", **given)
    at = told.index("--output")
    assert told[:at] + told[at + 2 :] == said


def test_whole_numbers_are_written_in_boxes_for_whole_numbers(provider: Any) -> None:
    """Also where the command has a least one."""
    definitions = provider.algorithm("upsample").parameterDefinitions()
    numbers = {each.name(): each.dataType() for each in definitions if each.type() == "number"}
    whole = {name for name, kind in numbers.items() if kind == QgsProcessingParameterNumber.Type.Integer}
    assert whole == {"TILE_SIZE", "STEPS", "THREADS", "SEED", "WORKERS"}


def test_the_help_promises_no_more_than_qgis_takes(provider: Any) -> None:
    algorithm = provider.algorithm("upsample")
    for text in (algorithm.parameterDefinition("OUTPUT").help(), algorithm.shortHelpString()):
        assert "The Cloud Optimized GeoTIFF to write." in text
        assert "Zarr store to write" not in text
        assert "s3" not in text


def test_the_words_of_the_other_commands(words: Words) -> None:
    assert words("evaluate", METHODS=["nearest", "p2p+consistency"], HILLSHADE="no", BAND=1, TRUTH=str(GUIDE)) == [
        "--band", "1", "--truth", str(GUIDE), "--methods", "nearest,p2p+consistency", "--no-hillshade",
        "--output", "/tmp/out",
    ]  # fmt: skip
    assert words("evaluate", HILLSHADE="yes") == ["--hillshade", "--output", "/tmp/out"]
    assert words("fit", BAND=1, SEED=2) == ["--band", "1", "--seed", "2", "--output", "/tmp/out"]


def test_more_guides_follow_the_first(provider: Any, source: Path, qgis_new_project: None) -> None:
    QgsProject.instance().addMapLayer(layer(source, "second"))
    algorithm = provider.algorithm("fit").create()
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    given = {"SOURCE": str(source), "GUIDE": str(GUIDE), "MORE_GUIDES": ["second", str(GUIDE)], "OUTPUT": "/tmp/n"}
    algorithm.prepareAlgorithm(given, context, None)
    assert algorithm._written({"OUTPUT": "/tmp/n"}, Path(), None)[:4] == [
        str(source),
        str(GUIDE),
        str(source),
        str(GUIDE),
    ]


def test_two_answers_to_one_question_are_refused(words: Words) -> None:
    with pytest.raises(QgsProcessingException, match="leave one empty"):
        words("upsample", LIKE=str(GUIDE), LIKE_RESOLUTION="10")


def test_a_model_has_it_as_a_step(provider: Any, source: Path, tmp_path: Path, qgis_new_project: None) -> None:
    """As the model designer makes it: two inputs, our algorithm, then another on its output."""
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
    """A language whose words are all marked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def translate(self, context: str, text: str, *_rest: Any) -> str:
        if context != "mmsr_qgis":
            return ""
        self.asked.add(text)
        return f"«{text}»"

    def isEmpty(self) -> bool:  # noqa: N802
        return False


def test_every_text_goes_through_the_translation_and_stands_in_its_file(provider: Any) -> None:
    from mmsr_qgis.environment_dialog import EnvironmentDialog
    from mmsr_qgis.styling import FLAGS, flags_label

    translator = _Marked()
    QCoreApplication.installTranslator(translator)
    try:
        said = [provider.name(), *(flags_label(bit) for bit in FLAGS)]
        for name in COMMANDS:
            algorithm = provider.algorithm(name).create()
            said += [algorithm.displayName(), algorithm.shortDescription(), algorithm.shortHelpString()]
            said += [each.description() for each in algorithm.parameterDefinitions()]
            said += [each.help() for each in algorithm.parameterDefinitions() if each.help()]
            said += [each.description() for each in algorithm.outputDefinitions()]
            algorithm.tags()
        dialog = EnvironmentDialog()
        said.append(dialog.windowTitle())
        said += [group.title() for group in dialog.findChildren(QGroupBox)]
        said += [dialog.start.text(), dialog.stop.text(), dialog.test.text(), dialog.size_label.text()]
        dialog.done(0)
    finally:
        QCoreApplication.removeTranslator(translator)
    assert [text for text in said if not text.startswith("«")] == []
    assert translator.asked - set(translations.texts()) - {""} == set()


def test_the_translators_file_is_up_to_date() -> None:
    assert translations.FILE.read_text("utf-8") == translations.xml(), "run `make plugin-commands`"
