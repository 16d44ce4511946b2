"""`mmsr-geo describe` against the command itself, and the QGIS plugin's copy of it against both."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from mmsr_geo._version import __version__
from mmsr_geo.cli.describe import description
from mmsr_geo.cli.main import cli
from support.command import CommandResult

Described = dict[str, Any]


@pytest.fixture
def described(here: Callable[..., CommandResult]) -> Described:
    status, out, err = here("describe", "--json")
    assert (status, err) == (0, "")
    reported: Described = json.loads(out)
    return reported


def parameter(described: Described, command: str, name: str) -> dict[str, Any]:
    (found,) = (each for each in described["commands"][command]["parameters"] if each["name"] == name)
    assert isinstance(found, dict)
    return found


def test_every_command_and_parameter_is_described(described: Described) -> None:
    assert described["version"] == __version__
    assert set(described["commands"]) == set(cli.commands)
    for name, command in cli.commands.items():
        reported = [each["name"] for each in described["commands"][name]["parameters"]]
        assert reported == [each.name for each in command.params]


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("source", {"flags": [], "required": True, "multiple": False, "type": "text", "metavar": "SOURCE"}),
        ("guide", {"flags": [], "required": True, "multiple": True}),
        ("scale", {"flags": ["--scale"], "required": False, "type": "text", "metavar": "N|NxM", "default": None}),
        ("min_coverage", {"type": "number", "default": 0.95}),
        ("grid", {"type": "choice", "choices": ["source", "guide"], "default": "source"}),
        ("guide_band", {"multiple": True, "default": None}),
        ("output", {"flags": ["-o", "--output"], "required": True}),
        ("creation_options", {"flags": ["--co"], "multiple": True}),
        ("keep_statistics", {"type": "flag", "default": False, "metavar": "", "off_flags": []}),
        ("workers", {"type": "integer", "default": None, "metavar": "INTEGER"}),
        ("seed", {"type": "integer", "default": 0, "required": False}),
    ],
)
def test_a_parameter_is_reported_as_it_is(described: Described, name: str, facts: dict[str, Any]) -> None:
    reported = parameter(described, "upsample", name)
    assert {key: reported[key] for key in facts} == facts


def test_a_yes_no_option_without_a_default_has_three_answers(described: Described) -> None:
    reported = parameter(described, "evaluate", "hillshade")
    assert (reported["type"], reported["default"], reported["off_flags"]) == ("flag", None, ["--no-hillshade"])
    assert parameter(described, "plan", "timed")["default"] is True


def test_what_is_described_is_taken_by_the_command(described: Described) -> None:
    """Every flag is one that the command's own parser knows, and every choice is one that it takes."""
    for name, command in described["commands"].items():
        context = click.Context(cli.commands[name])
        flags = {flag for each in cli.commands[name].params for flag in (*each.opts, *each.secondary_opts)}
        for reported in command["parameters"]:
            assert {*reported["flags"], *reported["off_flags"]} <= flags
            (own,) = (each for each in cli.commands[name].params if each.name == reported["name"])
            for choice in reported.get("choices", ()):
                assert own.type.convert(choice, own, context) == choice


def test_a_person_reads_a_line_a_parameter(here: Callable[..., CommandResult]) -> None:
    status, out, _ = here("describe")
    assert status == 0
    assert "  --grid source|guide [source]" in out.splitlines()
    assert "  -o, --output OUT.tif|OUT.zarr (required)" in out.splitlines()


def test_a_default_of_clicks_own_is_none() -> None:
    group = click.Group("g", commands={"c": click.Command("c", params=[click.Option(["--several"], multiple=True)])})
    (reported,) = description(group)["commands"]["c"]["parameters"]
    assert reported["default"] is None


def test_the_qgis_plugin_holds_what_the_command_says(described: Described) -> None:
    kept = json.loads((Path(__file__).parents[2] / "qgis_plugin/mmsr_qgis/commands.json").read_text("utf-8"))
    offered = {name: described["commands"][name] for name in kept["commands"]}
    assert kept == described | {"commands": offered}, "the command has changed: run `make plugin-commands`"
    assert set(offered) == {"upsample", "evaluate", "fit"}
