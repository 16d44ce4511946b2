"""Names of rasters in options, by the rules of Unix and of Windows."""

from __future__ import annotations

import ntpath
import posixpath

import pytest

from mmsr_geo.raster.read.band_names import is_called, split_candidates
from mmsr_geo.raster.views.derived_bands import Derivation
from mmsr_geo.raster.views.mask import MaskRule, Threshold, path_and_rule


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
    path, bits = expected
    rule = "" if bits is None else f":{','.join(map(str, bits))}"
    assert path_and_rule(mask, windows=windows) == (path, rule)


@pytest.mark.parametrize(
    ("mask", "path", "threshold"),
    [
        ("clouds.tif>66", "clouds.tif", Threshold(">", 66)),
        ("clouds.tif >= 0.5", "clouds.tif", Threshold(">=", 0.5)),
        (r"C:\x\qa.tif<=2", r"C:\x\qa.tif", Threshold("<=", 2)),
        ("s3://bucket/a.tif<-1e3", "s3://bucket/a.tif", Threshold("<", -1000)),
        ("a>b.tif", "a>b.tif", None),
        ("a>5>6", "a>5", Threshold(">", 6)),
        ("a.tif>nan", "a.tif>nan", None),
        ("a.tif=3", "a.tif=3", None),
    ],
)
def test_a_threshold_follows_the_name_of_the_mask(mask: str, path: str, threshold: Threshold | None) -> None:
    found, rule = path_and_rule(mask)
    assert (found, MaskRule.parse(rule) if rule else None) == (path, threshold and MaskRule(threshold=threshold))


def test_a_band_of_a_file_on_a_drive_is_parsed() -> None:
    text = r"ndvi:nir=C:\x\a.tif:4,red=D:/y/b.tif:3"
    assert dict(Derivation.parse(text).given) == {"nir": r"C:\x\a.tif:4", "red": "D:/y/b.tif:3"}
