"""Nodata as options and files have it: values and ranges, compared as they are stored."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mmsr_geo.errors import OptionError
from mmsr_geo.nodata import Nodata, NodataLike
from mmsr_geo.options import InputOptions


@pytest.mark.parametrize(
    ("given", "means", "does_not"),
    [
        (-9999, [-9999], [-9998, 0]),
        ("-9999", [-9999.0], [9999]),
        ("-9999,>100,nan", [-9999, 100.5, np.inf, np.nan], [100, 0]),
        (" -9999 , >= 100 ", [-9999, 100], [99.9]),
        ("<0", [-1, -np.inf], [0, 1]),
        ("<=-1e3", [-1000, -5000], [-999]),
        ("101..103", [101, 102.5, 103], [100, 104]),
        ("-3.5..-2", [-3.5, -2], [-1.9, -3.6]),
        ([101, "102", 103.0], [101, 102, 103], [100]),
        (("<0", -9999), [-1, -9999], [0]),
        (np.int16(-9999), [-9999], [0]),
        (np.array([7, 8]), [7, 8], [6]),
        (np.array(7.0), [7], [6]),
        (math.nan, [np.nan], [0, np.inf]),
        ("inf", [np.inf], [1e30]),
    ],
)
def test_what_is_nodata(given: Any, means: list[float], does_not: list[float]) -> None:
    nodata = Nodata.of(given)
    assert nodata.where(np.array(means)).all()
    assert not nodata.where(np.array(does_not, float)).any()
    again = Nodata.of(nodata.plain)
    assert again.where(np.array(means)).all()
    assert not again.where(np.array(does_not, float)).any()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "float32", "float64"])
def test_values_are_compared_as_they_are_stored(dtype: str) -> None:
    values = np.array([0, 99, 100, 101], dtype)
    assert Nodata.of("-9999,>100,101").where(values).tolist() == [False, False, False, True]
    assert Nodata.of("<0,>=100").where(values).tolist() == [False, False, True, True]
    tenths = np.array([0.1, 0.2], "float32")
    assert Nodata.of("0.1").where(tenths).tolist() == [True, False]
    assert Nodata.of(">0.1").where(tenths).tolist() == [False, True]


@pytest.mark.parametrize(
    ("given", "value"), [("-9999,0", -9999), (">100", None), ("nan,>100", math.nan), ("nan,0", 0), ("101..103,7", 7)]
)
def test_the_value_that_an_output_may_use_too(given: str, value: float | None) -> None:
    found = Nodata.of(given).value
    assert found == value or (value is not None and found is not None and math.isnan(value) and math.isnan(found))


@pytest.mark.parametrize(
    ("given", "kept"),
    [("-9999", -9999.0), ((-9999,), -9999.0), ("0, -9999 ,0", "0,-9999"), ([">100", 1e20], "1e+20,>100")],
)
def test_options_keep_one_number_or_text(given: NodataLike, kept: float | str) -> None:
    assert InputOptions(source_nodata=given).source_nodata == kept
    assert InputOptions(guide_nodata=given).guide_nodata == kept


@pytest.mark.parametrize("given", ["many", "", "1;2", "> ", "5>", "3..x", [], [None], "--1"])
def test_what_is_neither_a_value_nor_a_range_is_refused_with_an_example(given: Any) -> None:
    with pytest.raises(
        OptionError, match=r"source_nodata=: .* is neither a number nor a range: give values and ranges as in"
    ):
        InputOptions(source_nodata=given)


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(
        OptionError, match=r"guide_nodata=: 103..101 is empty: give the smaller value first, as in 101..103"
    ):
        InputOptions(guide_nodata="103..101")
