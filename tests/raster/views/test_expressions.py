"""Bands by expressions against the same formula written out in numpy; nothing else than a formula is taken."""

from __future__ import annotations

import builtins
import os
import pickle
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

import mmsr_geo
from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Window
from mmsr_geo.raster.base import BandTags
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.read.open import open_guides
from mmsr_geo.raster.views.derived_bands import Derived, parse_derivation
from mmsr_geo.raster.views.expressions import LONGEST, MOST_TERMS, BandExpression
from mmsr_geo.raster.views.guides import Guides
from mmsr_geo.raster.views.warp import Warped
from support.rasters import SENTINEL_GUIDE, sentinel_crop

EVI = "evi=2.5*(nir-red)/(nir+6*red-7.5*blue+1)"
NAMES = ("Blue", "red", "NIR")
GRID = GeoBox((12, 15), Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32618")
WHOLE = Window.whole((12, 15))
F = np.float32


def raster(values: Any, names: tuple[str, ...] = NAMES, tags: BandTags | None = None) -> ArrayRaster:
    bands = ArrayRaster.in_memory(np.asarray(values, F), GRID, bands=names, name="optical")
    return bands if tags is None else replace(bands, band_tags=(tags,) * len(names))


def reflectances(bands: int = 3, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0.01, 0.6, (bands, 12, 15)).astype(F)


def derived(guide: ArrayRaster, *texts: str) -> NDArray[np.float32]:
    values = Derived(guide, tuple(map(parse_derivation, texts))).read(WHOLE).values
    return values[len(guide.bands) :]


BLUE, RED, NIR = reflectances()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (EVI, F(2.5) * (NIR - RED) / (NIR + F(6) * RED - F(7.5) * BLUE + F(1))),
        ("sum = b1 + b2*b3 - -b1", BLUE + RED * NIR + BLUE),
        ("x=(B3-b2)/(b3+B2)", (NIR - RED) / (NIR + RED)),
        ("x=max(nir, red, 0.3) - min(NIR, Red)", np.maximum(np.maximum(NIR, RED), F(0.3)) - np.minimum(NIR, RED)),
        ("x=sqrt(red)*log(nir)", np.sqrt(RED) * np.log(NIR)),
        ("x=+nir**2**0.5", NIR ** F(2**0.5)),
        ("x=1e-3*blue/2", F(1e-3) * BLUE / F(2)),
        ("x=min(1,2)*red", RED),
    ],
)
def test_an_expression_is_the_formula_in_float32(text: str, expected: NDArray[np.float32]) -> None:
    (found,) = derived(raster(reflectances()), text)
    assert found.dtype == F
    assert np.allclose(found, expected, rtol=3e-7, atol=0)


def test_bands_are_physical_values_as_in_the_known_indices() -> None:
    """Sentinel-2 since baseline 04.00: reflectance = 0.0001 * stored - 0.1; the 1 in EVI is a reflectance."""
    stored = np.round((reflectances() + 0.1) / 0.0001)
    guide = raster(stored, tags=BandTags(scale=0.0001, offset=-0.1))
    blue, red, nir = (stored.astype(np.float64) * 0.0001 - 0.1).astype(F)
    evi, ndvi, known = derived(guide, EVI, "mine=(nir-red)/(nir+red)", "ndvi")
    assert np.allclose(evi, 2.5 * (nir - red) / (nir + 6 * red - 7.5 * blue + 1), rtol=1e-5)
    assert np.allclose(ndvi, known, atol=1e-6)


def test_nodata_and_results_that_are_not_finite_are_nodata() -> None:
    values = reflectances()
    values[1, 0, 0] = np.nan
    values[1, 0, 1] = 0
    values[1, 0, 2] = -0.5
    guide = raster(values)
    expected = np.zeros((12, 15), bool)
    for text, pixels in {
        "x=nir/red": [(0, 0), (0, 1)],
        "x=sqrt(red)": [(0, 0), (0, 2)],
        "x=log(red)": [(0, 0), (0, 1), (0, 2)],
        "x=red**0.5": [(0, 0), (0, 2)],
        "x=red**0": [(0, 0)],  # numpy: NaN ** 0 is 1
        "x=blue": [(0, 0)],
    }.items():
        expected[:] = False
        expected[tuple(np.transpose(pixels))] = True
        read = Derived(guide, (parse_derivation(text),)).read(WHOLE)
        assert (~read.valid == expected).all(), text
        assert (np.isnan(read.values) == expected).all(), text
    assert np.isnan(BandExpression.parse("x=red**0").evaluate([values[1]])[0, 0])


@pytest.mark.parametrize("text", ["x=9**9**9*red", "x=red*9**9**9**9**9", f"x=red*{'9' * 900}", "x=1e999*red"])
def test_huge_numbers_overflow_at_once(text: str) -> None:
    begun = time.process_time()
    assert np.isnan(derived(raster(reflectances()), text)).all()
    assert time.process_time() - begun < 5


def test_names_are_descriptions_before_they_are_numbers() -> None:
    """b4 of a file with B2, B3, B4, B8 is the third band; b2 of one with B02, B03, ... is not taken for B03."""
    values = reflectances(4)
    (found,) = derived(raster(values, ("B2", "B3", "B4", "B8")), "x=b4")
    assert (found == values[2]).all()
    with pytest.raises(OptionError, match=r"no band of the guide is called b2; there are 1 \(B02\), 2 \(B03\)"):
        derived(raster(values, ("B02", "B03", "B04", "B8A")), "x=b2")
    (found,) = derived(raster(values, ("B02", "B03", "B04", "4")), "x=b4-b04")
    assert (found == values[3] - values[2]).all()


def test_a_number_counts_as_it_does_in_other_derivations() -> None:
    (guide,) = open_guides(SENTINEL_GUIDE, guide_band=[4, 3])
    plain = raster(reflectances(4), ("1", "2", "3", "4"))
    assert BandExpression.parse("x=B08/B04").places((guide,)) == (0, 1)
    assert BandExpression.parse("x=b4/b2").places((plain,)) == (3, 1)
    assert BandExpression.parse("x=b3/B04").places((raster(reflectances(), ("1", "2", "3")), guide)) == (2, 4)
    assert BandExpression.parse("x=b5/b2").places((plain, plain)) == (4, 1)  # names that two guides have are none


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x=nir.real", "uses 'nir.real', which is not allowed"),
        ("x=__import__('os').system('true')", "which is not allowed; use band names, numbers"),
        ("x=open(nir)", "uses 'open\\(nir\\)', which is not allowed"),
        ("x=(lambda: nir)()", "which is not allowed"),
        ("x=nir[0]", "which is not allowed"),
        ("x=[nir for nir in red]", "which is not allowed"),
        ("x=nir if red else blue", "which is not allowed"),
        ("x=nir > red", "which is not allowed"),
        ("x=nir and red", "which is not allowed"),
        ("x=~nir", "which is not allowed"),
        ("x=nir//2", "which is not allowed"),
        ("x=nir%2", "which is not allowed"),
        ("x=nir@red", "which is not allowed"),
        ("x=True*nir", "uses 'True'"),
        ("x=1j*nir", "uses '1j'"),
        ("x='nir'", "which is not allowed"),
        ("x=f'{nir}'", "which is not allowed"),
        ("x=(nir:=2)", "which is not allowed"),
        ("x=min(nir, red, key=blue)", "which is not allowed"),
        ("x=max(*nir, red)", "which is not allowed"),
        ("x=sqrt(nir, red)", r"sqrt takes one value, not 2; write it as in sqrt\(a\)"),
        ("x=log()", "log takes one value, not 0"),
        ("x=min(nir)", r"min takes two values or more, not 1; write it as in min\(a, b\)"),
        ("x=2+3", "names no band of the guide"),
        ("x=", "is not an expression"),
        ("x=nir+", "is not an expression"),
        ("x==nir", "is not an expression"),
        ("x=nir\0", "is not an expression"),
        ("x=nir red", "is not an expression"),
        ("x=import os", "is not an expression"),
        ("1x=nir", "'1x' cannot be the name of a band"),
        ("=nir", "'' cannot be the name of a band"),
        ("x=" + "(" * 400 + "nir" + ")" * 400, "is not an expression"),
        ("x=" + "-" * 900 + "nir", f"has more than {MOST_TERMS} names"),
        ("x=" + "+".join(["b1"] * (MOST_TERMS // 2 + 1)), f"has more than {MOST_TERMS} names"),
        ("x=" + "+".join(["nir"] * LONGEST), f"characters; write {LONGEST} at most"),
    ],
)
def test_anything_but_a_formula_is_refused_in_one_line(text: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((builtins, "eval"), (builtins, "exec"), (os, "system")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("code was run"))
    with pytest.raises(OptionError, match=reason) as caught:
        parse_derivation(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", ["x=swir/nir", "x=b4", "x=b0", "x=nir2", f"x=b{'9' * 900}"])
def test_a_band_that_does_not_exist_is_refused_with_those_there_are(text: str) -> None:
    guide = raster(reflectances())
    with pytest.raises(OptionError, match=r"no band of the guide is called .*; there are 1 \(Blue\), 2 \(red\), 3"):
        Guides((guide,), derived=(parse_derivation(text),))


def test_as_many_terms_as_are_allowed_are_computed() -> None:
    values = reflectances()
    (found,) = derived(raster(values), "x=" + "+".join(["b1"] * (MOST_TERMS // 2)))
    assert np.allclose(found, values[0] * (MOST_TERMS // 2), rtol=1e-5)


def test_a_derived_band_has_the_name_that_it_was_given() -> None:
    guide = Derived(raster(reflectances()), tuple(map(parse_derivation, [EVI, "red=nir-red", "ndvi"])))
    assert guide.bands == ("Blue", "red", "NIR", "evi", "red (red=nir-red)", "ndvi")
    assert [tags.unit for tags in guide.band_tags] == [None] * 6
    assert guide.numbers == (1, 2, 3, 4, 5, 6)
    assert parse_derivation(str(guide.derivations[0])) == guide.derivations[0]


@settings(max_examples=40)
@given(
    st.sampled_from([EVI, "x=log(nir)*sqrt(red)/blue**0.7", "x=max(nir,red)**blue"]),
    st.tuples(st.integers(0, 11), st.integers(0, 14), st.integers(1, 12), st.integers(1, 15)),
    st.sampled_from([0.0, 0.3]),
)
def test_a_window_is_the_same_as_in_the_whole(text: str, part: tuple[int, ...], nodata: float) -> None:
    values = reflectances(seed=9)
    values[0][np.random.default_rng(1).random((12, 15)) < nodata] = np.nan
    guide = Derived(raster(values), (parse_derivation(text), parse_derivation("slope:1")))
    window = Window(*part).intersection(WHOLE)
    read_plan = guide.read_plan(window)
    combine = pickle.loads(pickle.dumps(read_plan.combine))  # noqa: S301  (it goes to workers so)
    found = combine([leaf.read(at) for leaf, at in read_plan.reads])
    whole = guide.read(WHOLE)
    assert np.array_equal(found.values, whole.values[(slice(None), *window.slices)], equal_nan=True)
    assert (found.valid == whole.valid[window.slices]).all()


@pytest.mark.slow
def test_an_expression_is_computed_on_the_target_lazily_and_through_the_command(
    here: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    crop = sentinel_crop(16, 32, 24, 28, 4)
    crop.source.rio.to_raster(tmp_path / "source.tif")
    text = "ndvi=(B08-B04)/(B08+B04)"
    params = mmsr_geo.FitParams(steps=2, threads=1)
    lazy = mmsr_geo.upsample(tmp_path / "source.tif", SENTINEL_GUIDE, 4, derive=text, params=params)
    assert lazy.chunks is not None
    known = mmsr_geo.upsample(tmp_path / "source.tif", SENTINEL_GUIDE, 4, derive="ndvi:nir=4,red=3", params=params)
    assert np.isfinite(lazy.values).all()
    assert np.abs(lazy.values - known.values).max() < 1e-3 * np.ptp(lazy.values)
    model = mmsr_geo.fit(tmp_path / "source.tif", SENTINEL_GUIDE, 4, derive=[text, "x=sqrt(b08)"], params=params)
    assert model.guide_bands == ("B02", "B03", "B04", "B08", "ndvi", "x")
    model.save(tmp_path / "model.mmsr")
    status, out, _ = here("info", "model.mmsr")
    assert (status, "ndvi, x" in out) == (0, True)
    words = ["upsample", "source.tif", SENTINEL_GUIDE, "-o", "out.tif", "--scale", 4, "--model", "model.mmsr"]
    status, _, err = here(*words, "--derive", text, "--derive", "x=sqrt(b08)", "--progress", "none")
    assert (status, err) == (0, "")
    status, _, err = here(*words, "--overwrite", "--derive", "x=swir", "--progress", "none")
    assert (status, err.count("\n")) == (2, 1)
    assert "no band of the guide is called swir; there are 1 (B02), 2 (B03), 3 (B04), 4 (B08)" in err


def test_guides_compute_an_expression_on_the_grid_asked_for() -> None:
    (optical,) = open_guides(SENTINEL_GUIDE)
    grid, window = optical.grid.zoom_out(2), Window(10, 20, 30, 40)
    values = Warped(optical, grid).read(window).values
    found = Guides((optical,), derived=(parse_derivation("x=(B08-B04)/1000"),)).on(grid).read(window).values
    assert np.allclose(found[4], (values[3] - values[2]) / 1000, rtol=1e-6)
