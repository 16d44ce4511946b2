"""Saved models: one safetensors file with tensors and a JSON description, and the checks of what is read from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from mmsr_geo.atomic import write_whole
from mmsr_geo.errors import MmsrError, ModelFileError, OutputError, template_of
from mmsr_geo.geometry import Scale, Window
from mmsr_geo.network.guide_check import GuideCheck, Region
from mmsr_geo.network.intervals import Interval, Terms
from mmsr_geo.network.members.fitted import Members
from mmsr_geo.network.mmsr import NetworkParams
from mmsr_geo.network.samples import Statistics
from mmsr_geo.network.stacking import StackingWeights
from mmsr_geo.spelling import option

if TYPE_CHECKING:
    from torch import Tensor

METADATA_KEY = "mmsr_geo"
"""Key of the description in the metadata of the safetensors file."""
FORMAT = 10
"""Number of the file format; files of other formats are refused."""
MEMBERS = "members."
"""Prefix of the names of the members' tensors."""


class ModelFields(TypedDict):
    """The fields of a `FittedModel`, by name."""

    params: NetworkParams
    scale: Scale
    statistics: Statistics
    weights: dict[str, Tensor]
    guide_bands: tuple[str, ...]
    detail: float | None
    stacking: StackingWeights
    members: Members | None
    check: GuideCheck
    guide_range: tuple[tuple[float, float], ...]
    interval: Interval | None
    version: str
    provenance: dict[str, Any]


def tensors_of(weights: dict[str, Tensor], members: Members | None) -> dict[str, Tensor]:
    """Return the tensors of a model by their names in the file."""
    of_members = {} if members is None else members.tensors
    return weights | {MEMBERS + name: tensor for name, tensor in of_members.items()}


def save_model(model: ModelFields, path: Path, *, overwrite: bool = True) -> None:
    """Write a model into one safetensors file, which appears only when it is complete.

    Args:
        model: The fields of the model.
        path: The file to write.
        overwrite: Whether an existing file is replaced.

    Raises:
        OutputError: The folder is missing or closed to writing, the disk is full, or the file exists and `overwrite` is
            False.
    """
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists: choose another name, or pass {option('overwrite', value=True)}")
    description = {
        "format": FORMAT,
        "version": model["version"],
        "params": asdict(model["params"]),
        "scale": asdict(model["scale"]),
        "statistics": asdict(model["statistics"]),
        "guide_bands": list(model["guide_bands"]),
        "detail": model["detail"],
        "stacking": asdict(model["stacking"]),
        "members": None if model["members"] is None else model["members"].description,
        "check": asdict(model["check"]),
        "guide_range": [list(ends) for ends in model["guide_range"]],
        "interval": None if model["interval"] is None else asdict(model["interval"]),
        "provenance": model["provenance"],
    }
    tensors = tensors_of(model["weights"], model["members"])
    # safetensors' own save_file writes a file that its owner alone may read.
    content = save(
        {name: t.contiguous() for name, t in tensors.items()}, metadata={METADATA_KEY: json.dumps(description)}
    )
    try:
        write_whole(path, content)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; check that its folder exists, may be written to and has "
            "space left"
        ) from error


def load_model(path: Path) -> ModelFields:
    """Read the fields of a saved model; no code in the file can run.

    Raises:
        ModelFileError: The file is missing or damaged, is not a saved model, or has another format.
    """
    if not path.is_file():
        raise ModelFileError(f"there is no model at {path}: fit one with mmsr-geo fit SOURCE GUIDE -o {path.name}")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, OSError) as error:
        raise ModelFileError(
            f"{path} is not a saved model, or it is damaged ({error}): fit a new one with mmsr-geo fit"
        ) from error
    if text is None:
        raise ModelFileError(
            f"{path} is a safetensors file, but not a model of mmsr_geo: pass a file that mmsr-geo fit wrote"
        )
    with refused_if_damaged(path):
        description = json.loads(text)
        file_format = index(description["format"])
    if file_format != FORMAT:
        raise ModelFileError(
            f"{path} has format {file_format}, and this version of mmsr_geo reads format {FORMAT}: "
            "fit the model again with mmsr-geo fit"
        )
    with refused_if_damaged(path):
        return _fields_from(description, tensors)


@contextmanager
def refused_if_damaged(path: Path) -> Iterator[None]:
    """Raise ModelFileError for an error in what a file describes."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, MmsrError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else template_of(error)
        raise ModelFileError(f"{path} is damaged ({reason}): fit the model again with mmsr-geo fit") from error


def _fields_from(description: dict[str, Any], tensors: dict[str, Tensor]) -> ModelFields:
    statistics, interval, detail = (description[name] for name in ("statistics", "interval", "detail"))
    members = {name.removeprefix(MEMBERS): part for name, part in tensors.items() if name.startswith(MEMBERS)}
    return ModelFields(
        params=NetworkParams(**{name: index(number) for name, number in description["params"].items()}),
        scale=Scale.of((description["scale"]["y"], description["scale"]["x"])),
        statistics=Statistics(
            source_centre=float(statistics["source_centre"]),
            source_spread=float(statistics["source_spread"]),
            guide_centre=tuple(map(float, statistics["guide_centre"])),
            guide_spread=tuple(map(float, statistics["guide_spread"])),
        ),
        weights={name: tensor for name, tensor in tensors.items() if not name.startswith(MEMBERS)},
        guide_bands=tuple(map(str, description["guide_bands"])),
        detail=None if detail is None else float(detail),
        stacking=StackingWeights(**{name: float(weight) for name, weight in description["stacking"].items()}),
        members=None if description["members"] is None else Members.from_parts(description["members"], members),
        check=_check_from(description["check"]),
        guide_range=tuple((float(low), float(high)) for low, high in description["guide_range"]),
        interval=None if interval is None else _interval_from(interval),
        version=str(description["version"]),
        provenance=dict(description["provenance"]),
    )


def _interval_from(description: dict[str, Any]) -> Interval:
    guided, smooth = (
        Terms(*(float(description[part][name]) for name in ("constant", "roughness", "contrast")))
        for part in ("guided", "smooth")
    )
    return Interval(guided, smooth, bounded=bool(description["bounded"]))


def _number_or_none(value: object) -> float | None:
    return None if value is None else float(value)  # type: ignore[arg-type]  # what is no number is refused


def _check_from(description: dict[str, Any]) -> GuideCheck:
    return GuideCheck(
        tuple(
            Region(
                Window(*(index(region["window"][side]) for side in ("row", "col", "height", "width"))),
                index(region["validated_px"]),
                float(region["sum_squares"]),
                float(region["baseline_sum_squares"]),
            )
            for region in description["regions"]
        ),
        everywhere=bool(description["everywhere"]),
        least_gain=float(description["least_gain"]),
        averaged_gain=_number_or_none(description["averaged_gain"]),
        expected_gain=_number_or_none(description["expected_gain"]),
        guided=bool(description["guided"]),
    )
