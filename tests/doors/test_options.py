"""Options: one list, and every door has its names, defaults, types and limits."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import xarray as xr
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from pydantic import ValidationError

import mmsr_geo
from mmsr_geo import options
from mmsr_geo.accessor import MmsrAccessor
from mmsr_geo.cli.main import cli
from mmsr_geo.errors import OptionError
from mmsr_geo.jobs.schema import OPTION_GROUPS, Options
from mmsr_geo.methods import baseline
from mmsr_geo.network.psf import SENSOR_BLURS
from mmsr_geo.raster.inspect.sensors import SENSORS_M
from mmsr_geo.signatures import grouped
from mmsr_geo.spelling import flag

ROOT = Path(__file__).parents[2]
DOORS: dict[str, Callable[..., Any]] = {
    "upsample": mmsr_geo.upsample_to_file,
    "plan": mmsr_geo.plan,
    "fit": mmsr_geo.fit,
    "evaluate": mmsr_geo.evaluate,
}
"""The command's name of each function."""
OWN = {"source", "guide", "output", "scale", "qa", "overwrite", "progress", "truth", "methods", "timed", "self"}
"""Parameters that functions declare themselves."""


def declared(*groups: type) -> dict[str, Any]:
    """Return the defaults of all options of groups by their names."""
    return {each.name: each.default for group in groups for each in fields(group)}


def shown(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the defaults that a signature shows, but for the function's own parameters."""
    parameters = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in parameters if each.name not in OWN}


@pytest.mark.parametrize("name", list(options.FUNCTIONS))
def test_a_functions_signature_and_help_show_every_option(name: str) -> None:
    function = getattr(mmsr_geo, name)
    groups = options.FUNCTIONS[name]
    assert shown(function) == declared(*groups)
    doc = inspect.getdoc(function) or ""
    text = " ".join(doc.split())
    for group in groups:
        for each in fields(group):
            assert f"{each.name}: {' '.join(options.option_of(each).help.split())}" in text
    assert "{" not in doc.replace('results["mmsr"]', "")
    assert max(map(len, doc.splitlines())) <= 120


def test_the_accessor_has_the_functions_options() -> None:
    assert shown(MmsrAccessor.upsample) == shown(mmsr_geo.upsample)
    here, there = (inspect.getdoc(each) or "" for each in (MmsrAccessor.upsample, mmsr_geo.upsample))
    for name in shown(mmsr_geo.upsample):
        (line,) = (line for line in here.splitlines() if line.startswith(f"    {name}: "))
        assert line in there


@pytest.mark.parametrize("call", ["mmsr_geo.upsample(dem, guide, ", "dem.mmsr.upsample(guide, "])
def test_jupyter_completes_every_option(call: str) -> None:
    shell = InteractiveShell.instance()
    shell.user_ns |= {"mmsr_geo": mmsr_geo, "dem": xr.DataArray(np.zeros((2, 2))), "guide": None}
    for name in declared(*options.UPSAMPLE):
        code = call + name[: max(3, len(name) - 2)]
        with provisionalcompleter():
            found = {each.text for each in shell.Completer.completions(code, len(code))}
        assert f"{name}=" in found, name


@pytest.mark.parametrize("command", list(DOORS))
def test_the_command_has_the_options_of_its_function(command: str) -> None:
    context = click.Context(cli.commands[command])
    parameters = {each.name: each for each in context.command.params}
    taken = options.FUNCTIONS["upsample_to_file" if command == "upsample" else command]
    for group in taken:
        for each in fields(group):
            known = options.option_of(each)
            if known.python_only:
                assert each.name not in parameters
                continue
            parameter = parameters[each.name]
            assert isinstance(parameter, click.Option)
            assert flag(each.name) in parameter.opts
            assert parameter.help == known.help
            default = parameter.get_default(context)
            assert default == each.default or (parameter.value_is_missing(default) and not each.default), each.name
            if known.choices:
                assert isinstance(parameter.type, click.Choice)
                assert tuple(parameter.type.choices) == known.choices
    for name in inspect.signature(DOORS[command]).parameters:
        if name not in {"params", "progress"}:
            assert name in parameters, f"{command} has no {flag(name)}"


def test_a_job_file_takes_every_option_of_an_output() -> None:
    wanted = {
        each.name: each.default
        for group in OPTION_GROUPS
        for each in fields(group)
        if not options.option_of(each).python_only
    }
    assert {name: field.default for name, field in Options.model_fields.items()} == wanted
    for name, value in (("tile_size", 0), ("mask_share", 1.5), ("fit", "none"), ("scale", "four"), ("tile_sise", 5)):
        with pytest.raises(ValidationError) as refused:
            Options(**{name: value})
        assert refused.value.errors()[0]["loc"][0] == name


def test_what_describe_says_is_what_is_declared() -> None:
    made = subprocess.run([sys.executable, "-m", "mmsr_geo", "describe", "--json"], capture_output=True, check=True)
    parameters = {each["name"]: each for each in json.loads(made.stdout)["commands"]["upsample"]["parameters"]}
    for group in options.FUNCTIONS["upsample_to_file"]:
        for each in fields(group):
            known = options.option_of(each)
            if not known.python_only:
                assert parameters[each.name]["help"] == known.help
                assert tuple(parameters[each.name].get("choices", ())) == known.choices


def test_every_option_says_what_it_does_in_two_sentences_at_most() -> None:
    for group in options.OPTIONS:
        for each in fields(group):
            text = options.option_of(each).help
            assert text[0].isupper()
            assert text.endswith(".")
            assert "--" not in text
            assert len(text.replace(". ", ".|").split("|")) <= 2, each.name
            assert each.name + "=" not in text


def test_the_module_of_keywords_is_what_the_options_make() -> None:
    script = str(ROOT / "tools" / "keywords.py")
    made = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr


def test_names_that_options_list_are_those_of_the_rooms() -> None:
    assert tuple(baseline.METHODS) == options.METHODS
    assert tuple(SENSORS_M) == options.SENSORS
    assert tuple(SENSOR_BLURS) == options.BLURS


@pytest.mark.parametrize(
    ("group", "given", "message"),
    [
        (options.InputOptions, {"grid": "target"}, "grid= is 'target': choose one of source, guide"),
        (options.InputOptions, {"mask_share": 1.5}, "mask_share= is 1.5: give a number from 0 to 1"),
        (options.InputOptions, {"bounds": (1, 2, 3)}, r"bounds= takes 4 numbers \(west, south, east, north\), not 3"),
        (options.PredictionOptions, {"tile_size": 0}, "tile_size= is 0: give a number of 1 or more"),
        (options.FitOptions, {"seed": 2**64}, "seed= is 18446744073709551616: give a whole number of 64 bits"),
        (options.FitOptions, {"params": 1, "steps": 2}, r"params= holds the parameters of the fit: leave out quality="),
    ],
)
def test_values_beyond_the_limits_are_refused(group: type, given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=f"^{message}"):
        group(**given)


def test_an_unknown_keyword_is_an_error_that_proposes_the_nearest() -> None:
    message = r"^upsample\(\) got an unexpected keyword argument 'tile_sise'; did you mean 'tile_size'\?$"
    with pytest.raises(TypeError, match=message):
        mmsr_geo.upsample("a.tif", "b.tif", tile_sise=3)  # type: ignore[call-arg]  # what the test is about
    with pytest.raises(TypeError, match=r"^upsample\(\) got an unexpected keyword argument 'zzz'$"):
        grouped("upsample", {"zzz": 1}, *options.UPSAMPLE)


def misused(dem: xr.DataArray) -> None:
    """Show what mypy strict finds: an `ignore` that it does not need is an error of `make lint`."""
    mmsr_geo.upsample("a.tif", "b.tif", mask_share="x")  # type: ignore[arg-type]
    mmsr_geo.upsample("a.tif", "b.tif", grid="other")  # type: ignore[arg-type]
    mmsr_geo.upsample("a.tif", "b.tif", mask_shares=0.5)  # type: ignore[call-arg]
    MmsrAccessor(dem).upsample("b.tif", mask_share="x")  # type: ignore[arg-type]
    MmsrAccessor(dem).upsample("b.tif", mask_shares=0.5)  # type: ignore[call-arg]
    mmsr_geo.upsample_to_file("a.tif", "b.tif", "c.tif", dtype=1)  # type: ignore[arg-type]
    mmsr_geo.fit("a.tif", "b.tif", tile_size=1)  # type: ignore[call-arg]
    mmsr_geo.evaluate("a.tif", "b.tif", device=1)  # type: ignore[arg-type]
    mmsr_geo.plan("a.tif", "b.tif", qualities="best")  # type: ignore[call-arg]
