"""Expressions of band names, parsed by Python's ast and evaluated by numpy in float32; runs no code."""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from mmsr_geo.errors import OptionError
from mmsr_geo.raster.base import Raster
from mmsr_geo.raster.read.band_names import listed, place_of
from mmsr_geo.raster.views.stack import band_choices
from mmsr_geo.spelling import option

EXAMPLE = "evi=2.5*(nir-red)/(nir+6*red-7.5*blue+1)"
"""The enhanced vegetation index of Huete et al. 2002, which is the example in messages and help."""
LONGEST = 1000
"""Characters of an expression: more are refused before they are parsed."""
MOST_TERMS = 200
"""Names, numbers, operators and calls of an expression: more are refused, so that evaluation is never deeply nested."""
_SHOWN = 100
"""Characters of an expression that a message repeats."""
_OPERATORS: dict[type[ast.operator], np.ufunc] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
}
_SIGNS: dict[type[ast.unaryop], np.ufunc] = {ast.USub: np.negative, ast.UAdd: np.positive}
_FUNCTIONS = {"min": np.minimum, "max": np.maximum, "sqrt": np.sqrt, "log": np.log}
_ALLOWED = "use band names, numbers, + - * / **, min, max, sqrt and log"
_NUMBERED = re.compile(r"b(\d+)", re.IGNORECASE)
_LIKE_A_NUMBER = re.compile(r"b\d+\w?", re.IGNORECASE)
"""Descriptions such as B04 or B8A, which could be taken for the number of a band."""

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class BandExpression:
    """A band computed from a guide's bands by a formula: NAME=EXPRESSION.

    A band is called by its description, in any case, or by b1, b2, ... where its description does not look like such a
    number itself. Its values are physical ones: stored value x scale + offset, as the guide declares them, so that the
    1 in EVI is a reflectance.
    """

    name: str
    """The name of the new band."""
    expression: str

    def __post_init__(self) -> None:
        """Refuse what is not a formula of bands (OptionError); nothing is looked up before there is a guide."""
        if not (self.name.isascii() and self.name.isidentifier()):
            raise OptionError(
                f"{self._option}: {self.name!r} cannot be the name of a band; use letters, digits and _, as in "
                f"{option('derive', EXAMPLE)}"
            )
        if len(self.expression) > LONGEST:
            raise OptionError(
                f"{self._option} has an expression of {len(self.expression)} characters; write {LONGEST} at most"
            )
        try:
            tree = _parsed(self.expression)
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error) or "it is nested too deeply"
            raise OptionError(
                f"{self._option} is not an expression ({reason}); write one as in {option('derive', EXAMPLE)}"
            ) from error
        self._check(tree)

    @classmethod
    def parse(cls, text: str) -> BandExpression:
        """Read "evi=2.5*(nir-red)/(nir+6*red-7.5*blue+1)".

        Raises:
            OptionError: The text is not NAME=EXPRESSION, or uses something that is not allowed.
        """
        name, _, expression = text.partition("=")
        return cls(name.strip(), expression.strip())

    @property
    def bands(self) -> tuple[str, ...]:
        """The name of the new band, as a tuple of one."""
        return (self.name,)

    @property
    def units(self) -> tuple[str | None, ...]:
        """The unit of the new band: not known."""
        return (None,)

    @property
    def halo_px(self) -> int:
        """Pixels around a window that it needs: none."""
        return 0

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of its bands, each once, in the order of their first use."""
        return tuple(dict.fromkeys(node.id for node in _terms(_parsed(self.expression)) if isinstance(node, ast.Name)))

    def places(self, rasters: Sequence[Raster]) -> tuple[int, ...]:
        """Return the positions of its bands among all bands of the rasters, from 0, in the order of `variables`.

        b1, b2, ... are the bands' own numbers where there is one raster, and count through all bands where there are
        several.

        Raises:
            OptionError: A band does not exist, or its name stands for several; the message lists those there are.
        """
        bands, numbers = band_choices(rasters)
        places = []
        for name in self.variables:
            place = _place(name, bands, numbers)
            if place is None:
                raise OptionError(
                    f"{self._option}: no band of the guide is called {name}; there are {listed(bands, numbers)}: "
                    "write a name, or b1 for band 1"
                )
            places.append(place)
        return tuple(places)

    def evaluate(self, values: Sequence[Array]) -> Array:
        """Return the value of the expression in float32.

        Args:
            values: The bands in the order of `variables`, each (h, w), float32 in physical units, NaN at nodata.

        Returns:
            (h, w), float32; NaN where a band is NaN or the result is not finite.
        """
        known = dict(zip(self.variables, values, strict=True))
        with np.errstate(all="ignore"):
            result = np.asarray(_value(_parsed(self.expression), known))
        valid = reduce(np.logical_and, map(np.isfinite, values), np.isfinite(result))
        return np.where(valid, result, np.float32(np.nan))

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return f"{self.name}={self.expression}"

    @property
    def _option(self) -> str:
        text = str(self)
        return option("derive", text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}...")

    def _check(self, tree: ast.expr) -> None:
        names = False
        for count, node in enumerate(_terms(tree), start=1):
            if count > MOST_TERMS:
                raise OptionError(
                    f"{self._option} has more than {MOST_TERMS} names, numbers and operators; split it into several "
                    "bands"
                )
            match node:
                case ast.Name():
                    names = True
                case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
                    pass
                case ast.UnaryOp() if type(node.op) in _SIGNS:
                    pass
                case ast.BinOp() if type(node.op) in _OPERATORS:
                    pass
                case ast.Call(func=ast.Name(id=function), keywords=[]) if function in _FUNCTIONS:
                    self._check_arguments(function, len(node.args))
                case _:
                    self._refuse(node)
        if not names:
            raise OptionError(f"{self._option} names no band of the guide; write it as in {option('derive', EXAMPLE)}")

    def _check_arguments(self, function: str, count: int) -> None:
        takes_one = _FUNCTIONS[function].nin == 1
        if count != 1 if takes_one else count < 2:
            needed, example = ("one value", "a") if takes_one else ("two values or more", "a, b")
            raise OptionError(
                f"{self._option}: {function} takes {needed}, not {count}; write it as in {function}({example})"
            )

    def _refuse(self, node: ast.expr) -> NoReturn:
        part = " ".join((ast.get_source_segment(self.expression, node) or "").split())
        raise OptionError(f"{self._option} uses {part[:_SHOWN]!r}, which is not allowed; {_ALLOWED}")


@lru_cache(maxsize=64)
def _parsed(expression: str) -> ast.expr:
    return ast.parse(expression, mode="eval").body


def _terms(tree: ast.expr) -> Iterator[ast.expr]:
    """Yield an expression's names, numbers, operators and calls, from left to right; a function's name is no term."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        match node:
            case ast.UnaryOp():
                waiting.append(node.operand)
            case ast.BinOp():
                waiting += [node.right, node.left]
            case ast.Call():
                waiting += reversed(node.args)


def _value(node: ast.expr, values: Mapping[str, Array]) -> Any:  # noqa: ANN401  (numpy's ufuncs return arrays or scalars)
    match node:
        case ast.Name():
            return values[node.id]
        case ast.Constant(value=int() | float() as number):
            return _float32(number)
        case ast.UnaryOp():
            return _SIGNS[type(node.op)](_value(node.operand, values))
        case ast.BinOp():
            return _OPERATORS[type(node.op)](_value(node.left, values), _value(node.right, values))
        case ast.Call(func=ast.Name(id=name)):
            arguments = [_value(argument, values) for argument in node.args]
            function: Callable[..., Any] = _FUNCTIONS[name]
            return reduce(function, arguments) if len(arguments) > 1 else function(*arguments)
    raise AssertionError(ast.dump(node))  # _check has refused it


def _float32(number: float) -> np.float32:
    """Return a literal as float32: whole numbers too, so that 9**9**9 overflows to infinity at once."""
    try:
        return np.float32(float(number))
    except OverflowError:  # an integer of hundreds of digits
        return np.float32(np.inf)


def _place(name: str, bands: Sequence[str], numbers: Sequence[int]) -> int | None:
    """Return a band's position by its description or else by its number; None where there is none or several."""
    place = place_of(name, [unicodedata.normalize("NFKC", band) for band in bands], numbers)  # as Python has names
    found = _NUMBERED.fullmatch(name)
    if place is None and found is not None and int(found[1]) in numbers:
        place = list(numbers).index(int(found[1]))
        # Band 2 of a file with B02, B03, ... is not the one that is meant by b2, or may not be.
        return None if _LIKE_A_NUMBER.fullmatch(bands[place]) else place
    return place
