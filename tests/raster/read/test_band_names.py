"""Names of rasters in options, by the rules of Unix and of Windows."""

from __future__ import annotations

import ntpath
import posixpath

import pytest

from mmsr_geo.raster.read.band_names import is_called, split_candidates
from mmsr_geo.raster.views.derived_bands import Derivation
from mmsr_geo.raster.views.mask import path_and_bits


@pytest.mark.parametrize(
    ("called", "windows", "unix"),
    [
        (r"C:\x\a.tif", True, True),
        ("C:/x/a.tif", True, False),
        (r"c:\X\A.TIF", True, False),
        ("a.tif", True, False),
        ("A.tif", True, False),
        ("b.tif", False, False),
        (r"C:\x", False, False),
    ],
)
def test_a_guide_is_called_by_its_path_or_file_name(called: str, *, windows: bool, unix: bool) -> None:
    assert is_called(r"C:\x\a.tif", called, ntpath) is windows
    assert is_called(r"C:\x\a.tif", called, posixpath) is unix


def test_an_array_is_called_by_its_name() -> None:
    assert is_called("the array 'dem'", "dem", ntpath)
    assert not is_called("the array 'dem'", "DEM", ntpath)


def test_the_longest_path_before_a_colon_comes_first() -> None:
    assert list(split_candidates(r"C:\x\a.tif:1")) == [(r"C:\x\a.tif", "1"), ("C", r"\x\a.tif:1")]
    assert list(split_candidates("3")) == []


@pytest.mark.parametrize(
    ("mask", "windows", "expected"),
    [
        (r"C:\x\qa.tif:1", True, (r"C:\x\qa.tif", (1,))),
        (r"C:\x\qa.tif:1,3", False, (r"C:\x\qa.tif", (1, 3))),
        (r"C:\x\qa.tif", True, (r"C:\x\qa.tif", None)),
        ("C:2024", True, ("C:2024", None)),
        ("C:2024:1", True, ("C:2024", (1,))),
        ("C:2024", False, ("C", (2024,))),
        ("qa.tif:1", True, ("qa.tif", (1,))),
    ],
)
def test_the_colon_of_a_drive_does_not_begin_bits(
    mask: str, *, windows: bool, expected: tuple[str, tuple[int, ...] | None]
) -> None:
    assert path_and_bits(mask, windows=windows) == expected


def test_a_band_of_a_file_on_a_drive_is_parsed() -> None:
    text = r"ndvi:nir=C:\x\a.tif:4,red=D:/y/b.tif:3"
    assert dict(Derivation.parse(text).given) == {"nir": r"C:\x\a.tif:4", "red": "D:/y/b.tif:3"}
