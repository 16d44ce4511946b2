"""A fitted model comes back from its file as it was, and nothing else is taken for one."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mmsr_geo.errors import ModelFileError, OutputError
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.model_file import FORMAT, METADATA_KEY
from mmsr_geo.network.samples import Statistics

Description = dict[str, Any]
Weights = dict[str, Tensor]


@pytest.fixture
def saved(fitted: FittedModel, tmp_path: Path) -> Path:
    path = tmp_path / "scene.mmsr"
    fitted.save(path)
    return path


def content(path: Path) -> tuple[Description, Weights]:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        return json.loads(metadata[METADATA_KEY]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)


def refusal(path: Path) -> str:
    """Load what is no model; return the error's message, which is one line that names the file."""
    with pytest.raises(ModelFileError) as refused:
        FittedModel.load(path)
    message = str(refused.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_a_saved_model_comes_back_with_every_field(fitted: FittedModel, saved: Path) -> None:
    loaded = FittedModel.load(saved)
    for name in (field.name for field in fields(FittedModel) if field.name != "weights"):
        assert getattr(loaded, name) == getattr(fitted, name), name
    assert loaded.weights.keys() == fitted.weights.keys()
    for name, tensor in fitted.weights.items():
        assert torch.equal(loaded.weights[name], tensor)
        assert loaded.weights[name].dtype == torch.float32
    assert loaded.digest == fitted.digest
    assert FittedModel.load(str(saved)).digest == fitted.digest


def test_a_saved_model_predicts_the_same(fitted: FittedModel, saved: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    channels = fitted.params.guide_bands
    guide, source = torch.randn(1, channels, 21, 18, generator=generator), torch.randn(1, 1, 7, 6, generator=generator)
    with torch.inference_mode():
        before, after = (model.network()(guide, source) for model in (fitted, FittedModel.load(saved)))
    assert torch.equal(before, after)


def test_saving_what_was_loaded_gives_the_same_file(saved: Path, tmp_path: Path) -> None:
    FittedModel.load(saved).save(tmp_path / "again.mmsr")
    assert (tmp_path / "again.mmsr").read_bytes() == saved.read_bytes()


def test_the_metadata_is_json_under_one_key(fitted: FittedModel, saved: Path) -> None:
    with safe_open(saved, framework="pt") as file:
        metadata = file.metadata()
    assert list(metadata) == [METADATA_KEY]
    description = json.loads(metadata[METADATA_KEY])
    assert description["format"] == FORMAT
    assert description["guide_bands"] == ["red", "nir"]
    assert description["scale"] == {"y": 3, "x": 3}
    assert description["provenance"] == fitted.provenance
    assert description["version"] == fitted.version


def test_a_missing_file_is_refused_with_the_way_to_make_one(tmp_path: Path) -> None:
    assert "there is no model at" in refusal(tmp_path / "none.mmsr")
    assert "mmsr-geo fit" in refusal(tmp_path / "none.mmsr")
    assert "there is no model at" in refusal(tmp_path)


class Trap:
    """Pickled, it makes a folder when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.path,)


def test_a_pickle_is_refused_and_not_run(fitted: FittedModel, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    torch.save({"weights": fitted.weights, "trap": Trap(str(sprung))}, tmp_path / "model.mmsr")
    refusal(tmp_path / "model.mmsr")
    (tmp_path / "plain.mmsr").write_bytes(pickle.dumps(Trap(str(sprung))))
    refusal(tmp_path / "plain.mmsr")
    assert not sprung.exists()


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"just a text\nof two lines\n", b"\x00" * 8, b"\xff" * 4096, b"\x89PNG\r\n\x1a\n" + b"\x00" * 99],
)
def test_a_file_of_another_kind_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.mmsr"
    path.write_bytes(data)
    assert "is not a saved model, or it is damaged" in refusal(path)


def test_a_truncated_or_lengthened_file_is_refused(saved: Path) -> None:
    data = saved.read_bytes()
    for end in (4, 8, 9, 500, len(data) // 2, len(data) - 1):
        saved.write_bytes(data[:end])
        assert "damaged" in refusal(saved)
    saved.write_bytes(data + b"more")
    assert "damaged" in refusal(saved)
    saved.write_bytes(data)
    FittedModel.load(saved)


def test_a_safetensors_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.mmsr"
    for metadata in (None, {"format": "pt"}):
        save_file({"weight": torch.zeros(3)}, path, metadata=metadata)
        assert "not a model of mmsr_geo" in refusal(path)


def pop(description: Description, *keys: str) -> None:
    for key in keys[:-1]:
        description = description[key]
    del description[keys[-1]]


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.update(format=None),
        lambda d: pop(d, "format"),
        lambda d: pop(d, "statistics"),
        lambda d: pop(d, "statistics", "guide_spread"),
        lambda d: pop(d, "provenance"),
        lambda d: d.update(params={"guide_bands": 0}),
        lambda d: d.update(params={"guide_bands": 3}),
        lambda d: d.update(params=d["params"] | {"channels": 32}),
        lambda d: d.update(params=d["params"] | {"channels": "many"}),
        lambda d: d.update(params=d["params"] | {"colour": 1}),
        lambda d: d.update(params=d["params"] | {"source_to_guide_px": 11.0}),
        lambda d: d.update(params=d["params"] | {"guide_to_source_px": 4}),
        lambda d: d.update(scale={"y": 1, "x": 1}),
        lambda d: d.update(scale={"y": 1000, "x": 2}),
        lambda d: d.update(scale={"y": 2.5, "x": 2.5}),
        lambda d: d.update(scale={"y": "3", "x": "3"}),
        lambda d: d.update(scale=3),
        lambda d: d.update(guide_bands=["red"]),
        lambda d: d.update(guide_bands=None),
        lambda d: d["statistics"].update(source_spread=0.0),
        lambda d: d["statistics"].update(source_spread="wide"),
        lambda d: d["statistics"].update(source_centre=float("nan")),
        lambda d: d["statistics"].update(guide_spread=[1.0]),
        lambda d: d["statistics"].update(guide_spread=[1.0, -1.0]),
        lambda d: d["statistics"].update(guide_centre=[1.0, float("inf")]),
        lambda d: d["statistics"].update(guide_centre=[]),
        lambda d: d.update(provenance=[1]),
        lambda d: pop(d, "stacking"),
        lambda d: d["stacking"].update(network=0.5),
        lambda d: d["stacking"].update(regression=0.0),
        lambda d: d.update(stacking={"network": 0.0, "members": 1.0}),
        lambda d: d.update(members={}),
        lambda d: pop(d, "members"),
        lambda d: pop(d, "check", "least_gain"),
        lambda d: d["check"].update(least_gain="any"),
        lambda d: pop(d, "check", "everywhere"),
    ],
)
def test_a_damaged_description_is_refused(saved: Path, damage: Callable[[Description], None]) -> None:
    description, weights = content(saved)
    damage(description)
    save_file(weights, saved, metadata={METADATA_KEY: json.dumps(description)})
    assert f"{saved} is damaged (" in refusal(saved)


@pytest.mark.parametrize("other", [1, FORMAT - 1, FORMAT + 1])
def test_another_format_is_refused_with_the_advice_to_fit_again(saved: Path, other: int) -> None:
    description, weights = content(saved)
    save_file(weights, saved, metadata={METADATA_KEY: json.dumps(description | {"format": other})})
    assert refusal(saved) == (
        f"{saved} has format {other}, and this version of mmsr_geo reads format {FORMAT}: "
        "fit the model again with mmsr-geo fit"
    )


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '"model"', "[" * 100_000])
def test_a_description_that_is_no_json_object_is_refused(saved: Path, text: str) -> None:
    _, weights = content(saved)
    save_file(weights, saved, metadata={METADATA_KEY: text})
    refusal(saved)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda w: w["head.3.weight"].fill_(torch.nan), "head.3.weight holds values that are not finite"),
        (lambda w: w["head.3.bias"].fill_(torch.inf), "head.3.bias holds values that are not finite"),
        (lambda w: w.update({"head.3.bias": torch.zeros(2)}), r"head.3.bias is (2,)"),
        (lambda w: w.update({"head.3.bias": torch.zeros(1, dtype=torch.float64)}), "torch.float64"),
        (lambda w: w.pop("head.3.bias"), "its weights are not the network's"),
        (lambda w: w.update({"more": torch.zeros(1)}), "its weights are not the network's"),
        (lambda w: w.clear(), "its weights are not the network's"),
    ],
)
def test_weights_that_are_not_the_networks_are_refused(
    saved: Path, damage: Callable[[Weights], Any], said: str
) -> None:
    description, weights = content(saved)
    damage(weights)
    save_file(weights, saved, metadata={METADATA_KEY: json.dumps(description)})
    assert said in refusal(saved)


def test_saving_into_a_missing_folder_is_refused_and_makes_nothing(fitted: FittedModel, tmp_path: Path) -> None:
    path = tmp_path / "none" / "model.mmsr"
    with pytest.raises(OutputError, match="check that its folder exists") as refused:
        fitted.save(path)
    assert str(path) in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_saving_onto_a_folder_is_refused_and_leaves_nothing(fitted: FittedModel, tmp_path: Path) -> None:
    (tmp_path / "model.mmsr").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        fitted.save(tmp_path / "model.mmsr")
    assert [path.name for path in tmp_path.iterdir()] == ["model.mmsr"]


def test_an_existing_file_is_kept_unless_it_may_be_overwritten(fitted: FittedModel, saved: Path) -> None:
    other = fitted.with_statistics(Statistics(0.0, 1.0, (0.0, 0.0), (1.0, 1.0)))
    before = saved.read_bytes()
    with pytest.raises(OutputError, match="exists: choose another name, or pass overwrite=True"):
        other.save(saved, overwrite=False)
    assert saved.read_bytes() == before
    other.save(saved)
    assert FittedModel.load(saved).digest == other.digest
    fitted.save(saved.with_name("new.mmsr"), overwrite=False)
    assert sorted(path.name for path in saved.parent.iterdir()) == ["new.mmsr", "scene.mmsr"]


@pytest.mark.parametrize(("raised", "seen"), [(OSError("no space left"), OutputError), (KeyboardInterrupt(), None)])
def test_a_write_that_breaks_off_leaves_what_was_there(
    fitted: FittedModel,
    saved: Path,
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
    seen: type[Exception] | None,
) -> None:
    before = saved.read_bytes()

    def break_off(_draft: Path) -> None:
        raise raised

    monkeypatch.setattr("mmsr_geo.atomic.sync", break_off)
    for path in (saved, saved.with_name("new.mmsr")):
        with pytest.raises(seen or type(raised)):
            fitted.save(path)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["scene.mmsr"]


def test_a_saved_model_has_the_rights_of_any_new_file(saved: Path) -> None:
    (saved.parent / "plain").touch()
    assert saved.stat().st_mode == (saved.parent / "plain").stat().st_mode
