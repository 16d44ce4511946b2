"""What a method answers before it is fitted: the properties that the rest of the package asks instead of its class."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mmsr_geo
from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Scale
from mmsr_geo.methods.base import Method
from mmsr_geo.methods.baseline import BaselineMethod, baseline
from mmsr_geo.methods.interpolation import Interpolation
from mmsr_geo.methods.scene import SavedModel, SceneFit
from mmsr_geo.methods.tile_fit import TILE_PX, TileFit
from mmsr_geo.options import IfUnhelpful
from support.rasters import sentinel_model

PACKAGE = Path(mmsr_geo.__file__).parent
CLASSES = "TileFit|SceneFit|SavedModel|BaselineMethod|FittedModel|P2P"
MOST_CLASS_TESTS = 8


def of_baseline(name: str) -> BaselineMethod:
    return BaselineMethod(name, baseline(name))


def saved(*, keep_statistics: bool = False) -> SavedModel:
    return SavedModel(sentinel_model(4), keep_statistics)


def test_few_places_ask_for_the_class_of_a_method_or_a_model() -> None:
    asks = re.compile(rf"isinstance\([^)]*\b({CLASSES})\b|case ({CLASSES})\(")
    found = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in PACKAGE.rglob("*.py")
        for line in path.read_text().splitlines()
        if asks.search(line)
    ]
    assert len(found) <= MOST_CLASS_TESTS, found


@pytest.mark.parametrize(
    ("method", "samples", "calibrates", "network", "tiles"),
    [
        (SceneFit(), True, True, True, False),
        (SceneFit(mmsr_geo.FitParams.published()), True, False, True, False),
        (TileFit(), True, False, True, True),
        (TileFit(scene=SceneFit()), True, False, True, True),
        (of_baseline("bicubic"), False, False, False, False),
        (of_baseline("p2p"), True, False, False, False),
    ],
    ids=["scene", "published", "tile", "adapt", "bicubic", "p2p"],
)
def test_a_method_answers_for_itself(
    method: Method, *, samples: bool, calibrates: bool, network: bool, tiles: bool
) -> None:
    assert method.samples_pixels == samples
    assert method.calibrates == calibrates
    assert method.checks_guide == network
    assert (method.tile_fits is not None) == tiles
    assert method.tile_size == (TILE_PX if tiles else None)
    assert method.fits_pair
    assert method.model_scale is None


@pytest.mark.slow
def test_a_saved_model_has_its_scale_and_may_keep_its_statistics() -> None:
    assert saved().model_scale == TileFit(scene=saved()).model_scale == Scale(4, 4)
    assert (saved().samples_pixels, saved(keep_statistics=True).samples_pixels) == (True, False)
    assert not saved().fits_pair
    assert saved().calibrates


@pytest.mark.parametrize("if_unhelpful", ["interpolate", "warn", "error"])
def test_methods_with_the_same_fit_describe_it_alike(if_unhelpful: IfUnhelpful) -> None:
    scene = SceneFit()
    same = SceneFit(if_unhelpful=if_unhelpful, consistent=False)
    assert same.fit_description == scene.fit_description
    assert TileFit(scene=same, if_unhelpful=if_unhelpful).fit_description == scene.fit_description
    assert TileFit().fit_description != scene.fit_description
    assert SceneFit(seed=1).fit_description != scene.fit_description


def test_presets_are_the_qualities_of_a_fit_that_is_one_of_them() -> None:
    presets = SceneFit(mmsr_geo.FitParams.of("fast", threads=3), seed=7).presets
    assert set(presets) == {"draft", "fast", "balanced", "best"}
    assert presets["best"] == SceneFit(mmsr_geo.FitParams.of("best", threads=3), seed=7)
    assert SceneFit(mmsr_geo.FitParams(steps=3)).presets == {}
    assert TileFit().presets == of_baseline("p2p").presets == {}


def test_only_a_scenes_model_is_reused() -> None:
    scene, model = SceneFit(if_unhelpful="warn"), sentinel_model(4)
    assert scene.reuse(model) == SavedModel(model, if_unhelpful="warn")
    bicubic = Interpolation("bicubic", Scale(4, 4))
    for method in (scene, TileFit(), of_baseline("p2p")):
        with pytest.raises(OptionError, match="only mmsr with one model per scene can share its model"):
            method.reuse(bicubic)


def test_models_of_other_methods_know_neither_their_guide_nor_their_error() -> None:
    model = Interpolation("bicubic", Scale(4, 4))
    assert (model.seen_range, model.source_interval, model.pixel_steps) == (None, None, None)
    assert (model.check.result, model.is_calibrated) == ("unknown", False)
