"""Options in messages: one template, and for each door the name that its user knows."""

from __future__ import annotations

import ast
import pickle
import warnings
from pathlib import Path

import pytest

import mmsr_geo
from mmsr_geo.errors import InputError, MmsrWarning, OptionError, template_of
from mmsr_geo.spelling import Door, option, spelled


@pytest.mark.parametrize(
    ("marker", "python", "command", "job"),
    [
        (option("tile_size"), "tile_size=", "--tile-size", "tile_size"),
        (option("tile_size", 512), "tile_size=512", "--tile-size 512", "tile_size = 512"),
        (option("fit", "tile"), "fit='tile'", "--fit tile", 'fit = "tile"'),
        (option("overwrite", value=True), "overwrite=True", "--overwrite", "overwrite = true"),
        (option("valid_range", [0, 60]), "valid_range=(0, 60)", "--valid-range 0,60", "valid_range = [0, 60]"),
        (option("min_coverage", 0.61), "min_coverage=0.61", "--min-coverage 0.61", "min_coverage = 0.61"),
        (option("creation_options"), "creation_options=", "--co", "creation_options"),
        (option("threads"), "threads=", "--threads", "threads"),
    ],
)
def test_each_door_has_its_own_name_for_an_option(marker: str, python: str, command: str, job: str) -> None:
    template = f"pass a smaller {marker}, or crop"
    for door, name in (("python", python), ("command", command), ("job", job)):
        assert spelled(template, door) == f"pass a smaller {name}, or crop"  # type: ignore[arg-type]  # doors, all three


@pytest.mark.parametrize("text", ["{tile_size}", "a ⟨ b", "⟨Two words⟩", "a <b> --c d=", ""])
def test_what_is_no_marker_stays(text: str) -> None:
    doors: tuple[Door, ...] = ("python", "command", "job")
    assert [spelled(text, door) for door in doors] == [text] * 3


def test_an_error_shows_pythons_names_and_keeps_its_template() -> None:
    error = OptionError(f"pass {option('scale', 4)}\nor crop")
    assert str(error) == "pass scale=4 or crop"
    assert error.at("command") == "pass --scale 4 or crop"
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own bytes)
    assert (type(again), again.template) == (OptionError, error.template)
    outer = InputError(f"dem.tif: {template_of(error)}")
    assert outer.at("command") == "dem.tif: pass --scale 4 or crop"
    assert template_of(ValueError("no")) == "no"


def test_a_warning_does_so_too() -> None:
    with pytest.warns(MmsrWarning, match=r"^pass scale=4$") as caught:
        warnings.warn(f"pass {option('scale', 4)}", MmsrWarning, stacklevel=1)
    (warning,) = caught
    assert isinstance(warning.message, MmsrWarning)
    assert warning.message.at("command") == "pass --scale 4"


def test_messages_name_no_option_in_one_doors_words() -> None:
    """What a message says of an option is a marker; the command's own room may write its flags as they are."""
    package = Path(mmsr_geo.__file__).parent
    written = []
    for path in sorted(package.rglob("*.py")):
        if path.is_relative_to(package / "cli"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and "warn" in ast.unparse(node.func)):
                texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
                written += [f"{path.name}: {text}" for text in texts if isinstance(text, str) and " --" in f" {text}"]
    assert written == []
