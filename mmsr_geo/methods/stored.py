"""Fitted models as bytes and back, safetensors with a JSON description, for the work folder of a job; knows no folder.

A job keeps its models where others may write. Nothing that is read back can run code, unlike a pickle.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from operator import index
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mmsr_geo.engine.model import Model
from mmsr_geo.errors import MmsrError, ModelFileError, template_of
from mmsr_geo.geometry import Scale
from mmsr_geo.methods.guided_filter import FittedGuidedFilter, GuidedFilter
from mmsr_geo.methods.interpolation import WAYS, Interpolation
from mmsr_geo.methods.p2p import FittedP2P, PixelPerceptron
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.samples import Statistics

_KEY = "mmsr_geo_method"
"""Key of the description in the metadata; a FittedModel has another one, that of a saved model file."""


class _Kind(NamedTuple):
    """How models of one class are stored."""

    model: type
    describe: Callable[[Any], tuple[dict[str, Any], dict[str, Tensor]]]
    restore: Callable[[dict[str, Any], dict[str, Tensor]], Model]


def model_to_bytes(model: Model) -> bytes:
    """Return a fitted model as the content of a safetensors file.

    Raises:
        TypeError: The class of the model is not in the table of this module.
    """
    if isinstance(model, FittedModel):
        with tempfile.TemporaryDirectory(prefix="mmsr_geo_") as folder:
            path = Path(folder) / "model.mmsr"
            model.save(path)
            return path.read_bytes()
    for name, kind in _KINDS.items():
        if type(model) is kind.model:
            description, tensors = kind.describe(model)
            return save(tensors, {_KEY: json.dumps({"kind": name, **description})})
    raise TypeError(type(model))


def model_from_bytes(content: bytes) -> Model:
    """Return the fitted model of `model_to_bytes`; no code in the content can run.

    Raises:
        ModelFileError: The content is damaged, or is not a model of this version.
    """
    try:
        metadata = _metadata(content)
        if _KEY not in metadata:
            with tempfile.TemporaryDirectory(prefix="mmsr_geo_") as folder:
                path = Path(folder) / "model.mmsr"
                path.write_bytes(content)
                return FittedModel.load(path)
        description = json.loads(metadata[_KEY])
        return _KINDS[description["kind"]].restore(description, load(content))
    except (SafetensorError, MmsrError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise ModelFileError(f"a stored model is damaged ({template_of(error)}): fit it again") from error


def _metadata(content: bytes) -> Mapping[str, str]:
    """Return the metadata in the header of a safetensors file: its length in eight bytes, then JSON."""
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    return {str(key): str(text) for key, text in metadata.items()}


def _scale(description: dict[str, Any]) -> Scale:
    return Scale.of((index(description["scale"]["y"]), index(description["scale"]["x"])))


def _statistics(description: dict[str, Any]) -> Statistics:
    statistics = description["statistics"]
    return Statistics(
        source_centre=float(statistics["source_centre"]),
        source_spread=float(statistics["source_spread"]),
        guide_centre=tuple(map(float, statistics["guide_centre"])),
        guide_spread=tuple(map(float, statistics["guide_spread"])),
    )


def _describe_interpolation(model: Interpolation) -> tuple[dict[str, Any], dict[str, Tensor]]:
    return {"way": model.way, "scale": asdict(model.scale)}, {}


def _restore_interpolation(description: dict[str, Any], tensors: dict[str, Tensor]) -> Interpolation:  # noqa: ARG001  (none)
    if description["way"] not in WAYS:
        raise ValueError(f"there is no interpolation {description['way']!r}")
    return Interpolation(description["way"], _scale(description))


def _describe_guided_filter(model: FittedGuidedFilter) -> tuple[dict[str, Any], dict[str, Tensor]]:
    statistics, options = asdict(model.statistics), asdict(model.options)
    return {"scale": asdict(model.scale), "statistics": statistics, "options": options}, {}


def _restore_guided_filter(description: dict[str, Any], tensors: dict[str, Tensor]) -> FittedGuidedFilter:  # noqa: ARG001  (none)
    options = GuidedFilter(index(description["options"]["radius_px"]), float(description["options"]["eps"]))
    return FittedGuidedFilter(options, _scale(description), _statistics(description))


def _describe_p2p(model: FittedP2P) -> tuple[dict[str, Any], dict[str, Tensor]]:
    description = {
        "scale": asdict(model.scale),
        "shape_yx": list(model.shape_yx),
        "statistics": asdict(model.statistics),
        "pixel_steps": model.pixel_steps,
    }
    return description, {name: tensor.contiguous() for name, tensor in model.weights.items()}


def _restore_p2p(description: dict[str, Any], tensors: dict[str, Tensor]) -> FittedP2P:
    statistics = _statistics(description)
    with torch.device("meta"):
        expected = PixelPerceptron(len(statistics.guide_centre)).state_dict()
    if expected.keys() != tensors.keys():
        raise ValueError("its weights are not those of the network")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape or tensor.dtype != torch.float32:
            raise ValueError(f"{name} is {tuple(tensor.shape)} {tensor.dtype}")
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} has values that are not finite")
    height, width = map(index, description["shape_yx"])
    return FittedP2P(_scale(description), (height, width), statistics, tensors, index(description["pixel_steps"]))


_KINDS = {
    "interpolation": _Kind(Interpolation, _describe_interpolation, _restore_interpolation),
    "guided filter": _Kind(FittedGuidedFilter, _describe_guided_filter, _restore_guided_filter),
    "p2p": _Kind(FittedP2P, _describe_p2p, _restore_p2p),
}
"""The classes that are stored here, by their names in a description."""
