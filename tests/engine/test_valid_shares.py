"""What leaves no valid pixel is named with all shares, and coverage counts valid source pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

import mmsr_geo
from mmsr_geo.engine.coverage import covered_share
from mmsr_geo.engine.valid_shares import naming_what_is_empty
from mmsr_geo.errors import GuideCoverageError, NothingInCommonError
from mmsr_geo.geometry import Window
from mmsr_geo.network.samples import NOTHING_IN_COMMON
from mmsr_geo.pipeline.inputs import Inputs
from mmsr_geo.raster.read.files import FileRaster

PLACE = Affine(100, 0, 435_700, 0, -100, 4_176_900)
FINE = PLACE * Affine.scale(0.25)
HEIGHT, WIDTH = 20, 24


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, values: NDArray[Any], place: Affine, **profile: Any) -> str:
    made = values if values.ndim == 3 else values[None]
    count, height, width = made.shape
    options = {"driver": "GTiff", "crs": 32618, "transform": place, "dtype": made.dtype, **profile}
    with rasterio.open(name, "w", count=count, height=height, width=width, **options) as dataset:
        dataset.write(made)
    return name


def source() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(280, 5, (HEIGHT, WIDTH)).astype("float32")


def guide(bands: int = 4) -> NDArray[np.uint16]:
    return np.random.default_rng(1).integers(200, 4000, (bands, 4 * HEIGHT, 4 * WIDTH)).astype("uint16")


def finding(source: str, guides: str | list[str], **options: Any) -> str:
    """What is added to a refusal of the pair."""
    inputs = Inputs(**options)
    pair = inputs.pair(inputs.source(source), guides, 4)
    with pytest.raises(NothingInCommonError) as caught, naming_what_is_empty(pair):
        raise NothingInCommonError(NOTHING_IN_COMMON)
    return str(caught.value).removeprefix(f"{NOTHING_IN_COMMON}: ")


def test_a_band_without_a_valid_pixel_is_named_and_can_be_left_out() -> None:
    bands = guide()
    bands[3] = 0
    bands[0, :, : 2 * WIDTH] = 0
    write("s.tif", source(), PLACE)
    write("g.tif", bands, FINE, nodata=0)
    with pytest.raises(NothingInCommonError) as caught:
        mmsr_geo.upsample_to_file("s.tif", "g.tif", "o.tif", method="guided-filter")
    assert str(caught.value) == (
        "source and guide have no valid pixel in common: band 4 of guide g.tif has no valid pixel (valid: source s.tif "
        "100 %; guide g.tif band 1 50.0 %, bands 2, 3 100 %, band 4 0 %); leave it out (guide_band=), or check its "
        "nodata (guide_nodata=) and that it shows the same area"
    )
    mmsr_geo.upsample_to_file("s.tif", "g.tif", "o.tif", method="guided-filter", guide_band="1,2,3")


def test_a_band_of_codes_alone_is_named_beside_one_of_a_quantity() -> None:
    """Each band is looked at with the codes that its own tags declare."""
    bands = guide(2)
    bands[1] = 5000
    name = write("guide.tif", bands, FINE)
    with rasterio.open(name, "r+") as dataset:
        dataset.update_tags(2, flag_values="5000", valid_range="0,4000", flag_meanings="cloud")
    said = finding(write("source.tif", source(), PLACE), name)
    assert said.startswith("band 2 of guide guide.tif has no valid pixel")
    assert "band 1 100 %, band 2 0 %" in said


def test_of_several_guides_the_empty_one_is_named() -> None:
    write("s.tif", source(), PLACE)
    guides = [write("a.tif", guide(2), FINE), write("b.tif", np.zeros_like(guide(2)), FINE, nodata=0)]
    found = finding("s.tif", guides)
    assert found.startswith(
        "guide b.tif has no valid pixel (valid: source s.tif 100 %; guide a.tif 100 %; guide b.tif 0 %); check its"
    )


@pytest.mark.parametrize("resolution", [None, 200])
def test_a_mask_of_the_source_is_named_apart_from_the_source(resolution: float | None) -> None:
    write("s.tif", source(), PLACE)
    write("g.tif", guide(1), FINE)
    write("m.tif", np.ones((HEIGHT, WIDTH), "uint8"), PLACE)
    found = finding("s.tif", "g.tif", source_mask="m.tif", source_resolution=resolution)
    assert found.startswith(
        "source mask m.tif has no valid pixel (valid: source s.tif 100 %; source mask m.tif 0 %; guide g.tif 100 %)"
    )
    assert found.endswith("check which values source_mask= masks")


def test_a_mask_of_the_guide_is_named() -> None:
    write("s.tif", source(), PLACE)
    write("g.tif", guide(1), FINE)
    write("m.tif", np.ones((4 * HEIGHT, 4 * WIDTH), "uint8"), FINE)
    found = finding("s.tif", "g.tif", guide_mask="m.tif")
    assert found.startswith("guide mask m.tif has no valid pixel")
    assert "guide g.tif 100 %; guide mask m.tif 0 %" in found


def test_parts_that_are_valid_in_different_places_are_named() -> None:
    left, right = source(), guide(3)
    left[:, WIDTH // 2 :] = np.nan
    right[:, :, : 3 * WIDTH] = 0
    write("s.tif", left, PLACE, nodata=np.nan)
    write("g.tif", right, FINE, nodata=0)
    found = finding("s.tif", "g.tif")
    assert found.startswith(
        "no pixel that is valid in source s.tif is valid in guide g.tif (valid: source s.tif 50.0 %; guide g.tif 25.0 %"
    )


def test_bands_that_are_valid_in_different_places_are_named() -> None:
    bands = guide(2)
    bands[0, :, : 2 * WIDTH], bands[1, :, 2 * WIDTH :] = 0, 0
    write("s.tif", source(), PLACE)
    write("g.tif", bands, FINE, nodata=0)
    assert finding("s.tif", "g.tif").startswith("no pixel is valid in all bands of guide g.tif")


def test_a_collar_that_the_guide_does_not_reach_is_no_reason_to_refuse() -> None:
    collared = source()
    collared[:, 20:] = -9999
    write("s.tif", source(), PLACE)
    write("collared.tif", collared, PLACE, nodata=-9999)
    write("g.tif", guide(1)[:, :, :80], FINE)  # 20 of 24 columns
    mmsr_geo.upsample_to_file("collared.tif", "g.tif", "o.tif", method="bicubic", min_coverage=1)
    with pytest.raises(GuideCoverageError, match=r"the guide covers 83.3 % of the source \(needs 95 %"):
        mmsr_geo.upsample_to_file("s.tif", "g.tif", "p.tif", method="bicubic")
    collared[:10, 10:] = -9999
    write("half.tif", collared, PLACE, nodata=-9999)
    write("narrow.tif", guide(1)[:, :, :60], FINE)  # 15 of 24 columns: of 300 valid pixels 10 * 10 + 10 * 15
    with pytest.raises(GuideCoverageError, match=r"the guide covers 83.3 % of the source's valid pixels .*=0.83"):
        mmsr_geo.upsample_to_file("half.tif", "narrow.tif", "p.tif", method="bicubic")


def test_coverage_of_a_large_source_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.ones((600, 600), "float32")
    values[:, 300:] = np.nan
    raster = FileRaster.open(write("s.tif", values, PLACE, nodata=np.nan))
    grid = raster.grid[:, :150]
    whole = covered_share(raster, Window(0, 0, 600, 600), grid)
    assert whole == 0.5
    monkeypatch.setattr("mmsr_geo.engine.coverage._READ_WHOLE_PX", 1000)
    assert covered_share(raster, Window(0, 0, 600, 600), grid) == pytest.approx(0.5, abs=0.02)
    assert covered_share(raster, Window(0, 0, 600, 300), grid) is None
