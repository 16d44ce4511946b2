"""Functions whose keyword arguments are options: their signatures, their docstrings, and arguments in groups."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from difflib import get_close_matches
from inspect import Parameter, signature
from textwrap import wrap
from typing import Any, TypeVar

from mmsr_geo.options import FUNCTIONS, OPTIONS, option_of

Function = TypeVar("Function", bound=Callable[..., Any])
_WIDTH = 112


def grouped(name: str, given: Mapping[str, Any], *groups: type) -> tuple[Any, ...]:
    """Return one value per group from a function's keyword arguments.

    Args:
        name: The function's name, for the message.
        given: The keyword arguments.
        groups: Classes of this module.

    Raises:
        TypeError: An argument is in none of the groups.
        OptionError: A value is not among the choices or not within the limits.
    """
    names = [{declared.name for declared in fields(group)} for group in groups]
    known = set[str]().union(*names)
    for argument in given:
        if argument not in known:
            near = get_close_matches(argument, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{name}() got an unexpected keyword argument {argument!r}{hint}")
    return tuple(
        group(**{argument: value for argument, value in given.items() if argument in own})
        for group, own in zip(groups, names, strict=True)
    )


def documented(name: str) -> Callable[[Function], Function]:
    """Give a function that takes `**options` the signature and the help of all its options.

    The function's docstring has `{options}` where the help of the options belongs, and may have `{scale}` or another
    option's name where a parameter of its own is that option.

    Args:
        name: The function's name in `FUNCTIONS`, which says what groups it takes.
    """
    groups = FUNCTIONS[name]

    def decorate(function: Function) -> Function:
        own = signature(function)
        named = [parameter for parameter in own.parameters.values() if parameter.kind is not Parameter.VAR_KEYWORD]
        declared = [field for group in groups for field in fields(group)]
        options = [
            Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
            for field in declared
        ]
        function.__doc__ = _filled(function.__doc__ or "", declared)
        function.__signature__ = own.replace(parameters=[*named, *options])  # type: ignore[attr-defined]  # read by inspect
        return function

    return decorate


def _filled(docstring: str, declared: Sequence[Field[Any]]) -> str:
    """Return a docstring with the help of options where their names stand in braces."""
    helps = {field.name: option_of(field).help for group in OPTIONS for field in fields(group)}

    def fill(found: re.Match[str]) -> str:
        margin, before, name = found["margin"], found["before"], found["name"]
        if name == "options":
            return "\n".join(_wrapped(f"{field.name}: {_help(field)}", margin) for field in declared)
        return _wrapped(before + helps[name], margin)

    return re.sub(r"(?m)^(?P<margin> *)(?P<before>.*)\{(?P<name>[a-z_]+)\}$", fill, docstring)


def _help(declared: Field[Any]) -> str:
    known = option_of(declared)
    choices = f" One of {', '.join(map(repr, known.choices))}." if known.choices else ""
    default = "" if declared.default in (None, (), MISSING) else f" Default: {declared.default!r}."
    return known.help + choices + default


def _wrapped(text: str, margin: str) -> str:
    return "\n".join(
        wrap(text, _WIDTH, initial_indent=margin, subsequent_indent=f"{margin}    ", break_on_hyphens=False)
    )
