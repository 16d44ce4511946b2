"""Fitted models as bytes: the same model comes back, damaged bytes are refused, and nothing in them runs."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from mmsr_geo.engine.model import Model
from mmsr_geo.engine.sampling import FitJob
from mmsr_geo.errors import ModelFileError
from mmsr_geo.geometry import Halo, Scale
from mmsr_geo.methods.baseline import METHODS, baseline
from mmsr_geo.methods.p2p import P2P
from mmsr_geo.methods.stored import model_from_bytes, model_to_bytes
from mmsr_geo.network.fitted import FittedModel
from support.scenes import scene

SCALE = Scale(3, 2)


def fitted_by(name: str) -> Model:
    sample = scene(12, 10, SCALE)
    method = P2P(steps=3) if name == "p2p" else baseline(name)
    return method.fit([sample], FitJob(SCALE, (12, 10), torch.device("cpu"), seed=1))


@pytest.fixture(params=["mmsr", *METHODS])
def model(request: pytest.FixtureRequest, fitted: FittedModel) -> Model:
    return fitted if request.param == "mmsr" else fitted_by(request.param)


def test_the_same_model_comes_back(model: Model) -> None:
    again = model_from_bytes(model_to_bytes(model))
    assert type(again) is type(model)
    assert (again.digest, again.scale, again.receptive_field) == (model.digest, model.scale, model.receptive_field)
    sample = scene(9, 9, model.scale)
    made, before = (each.predictor(torch.device("cpu"))(sample) for each in (again, model))
    assert (made == before).all()
    assert model_to_bytes(again) == model_to_bytes(model)


def test_damaged_bytes_are_refused(model: Model) -> None:
    content = model_to_bytes(model)
    header = int.from_bytes(content[:8], "little")
    for damaged in (
        b"",
        b"no model",
        content[: header // 2],
        content[:-1],
        content[:8] + b"[" * header,
        content + b"x",
    ):
        with pytest.raises(ModelFileError):
            model_from_bytes(damaged)


def test_what_does_not_fit_together_is_refused() -> None:
    content = model_to_bytes(fitted_by("p2p"))
    length = int.from_bytes(content[:8], "little")
    description = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["mmsr_geo_method"])
    tensors = {name: tensor.clone() for name, tensor in fitted_by("p2p").weights.items()}  # type: ignore[attr-defined]
    name = next(iter(tensors))

    def stored(changes: dict[str, object], weights: dict[str, torch.Tensor]) -> bytes:
        return save(weights, {"mmsr_geo_method": json.dumps(description | changes)})

    assert model_from_bytes(stored({}, tensors)).digest == fitted_by("p2p").digest
    cases: list[tuple[dict[str, object], dict[str, torch.Tensor]]] = [
        ({"kind": "os.system"}, tensors),
        ({"scale": {"y": 0, "x": 2}}, tensors),
        ({"shape_yx": [1.5, 2]}, tensors),
        ({"statistics": {}}, tensors),
        ({}, {name: tensors[name]}),
        ({}, tensors | {name: tensors[name].double()}),
        ({}, tensors | {name: tensors[name] * torch.nan}),
    ]
    for changes, weights in cases:
        with pytest.raises(ModelFileError, match="a stored model is damaged"):
            model_from_bytes(stored(changes, weights))


class Hostile:
    """What runs code where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_is_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError):
        model_from_bytes(pickle.dumps(Hostile(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_another_class_is_no_model() -> None:
    class Other:
        scale, uses_guide, digest = SCALE, False, "other"
        receptive_field = Halo(0, 0)

    with pytest.raises(TypeError):
        model_to_bytes(Other())  # type: ignore[arg-type]
