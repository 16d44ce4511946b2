"""A fitted net: weights, the statistics they were fitted with, and where they come from, in one safetensors file."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass, field, replace
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mmsr_geo._version import __version__
from mmsr_geo.errors import MmsrError, NetFileError, OutputError
from mmsr_geo.geometry import Scale
from mmsr_geo.network.features import PER_BAND
from mmsr_geo.network.mmsr import MmsrNet, NetParams
from mmsr_geo.network.samples import Statistics

if TYPE_CHECKING:
    from torch import Tensor

METADATA_KEY = "mmsr_geo"
FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class FittedNet:
    """A network fitted to a pair; a value that can be saved, sent to a worker and used on another date."""

    params: NetParams
    scale: Scale
    statistics: Statistics
    weights: dict[str, Tensor] = field(repr=False)
    guide_bands: tuple[str, ...]
    """The guide's bands by name; the network is shown their features (`params.guide_bands` of them)."""
    version: str = __version__
    provenance: dict[str, Any] = field(default_factory=dict)
    """How it came to be, as JSON values: inputs, options, seed, threads, stages and their last losses."""

    def network(self, device: torch.device | str = "cpu") -> MmsrNet:
        """Build the module with these weights, ready to predict."""
        with torch.device("meta"):
            network = MmsrNet(self.params)
        network.load_state_dict(self.weights, assign=True)
        return network.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload,no-any-return]  # torch types no memory_format here

    def with_statistics(self, statistics: Statistics) -> FittedNet:
        """Return the same weights for another pair's statistics."""
        return replace(self, statistics=statistics)

    @property
    def digest(self) -> str:
        """A hash of what decides a prediction: shape, scale, statistics and weights."""
        digest = hashlib.sha256(repr((self.params, self.scale, self.statistics)).encode())
        for name in sorted(self.weights):
            digest.update(name.encode())
            digest.update(self.weights[name].contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write one safetensors file, under a temporary name first, so that a broken write leaves nothing.

        Raises OutputError when the folder is missing or not writable, or the file exists and `overwrite` is False.
        """
        path = Path(path)
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists: choose another name or pass --overwrite")
        description = {
            "format": FORMAT,
            "version": self.version,
            "params": asdict(self.params),
            "scale": asdict(self.scale),
            "statistics": asdict(self.statistics),
            "guide_bands": list(self.guide_bands),
            "provenance": self.provenance,
        }
        weights = {name: tensor.contiguous() for name, tensor in self.weights.items()}
        try:
            handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
            os.close(handle)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}; check that its folder is there") from error
        try:
            save_file(weights, temporary, metadata={METADATA_KEY: json.dumps(description)})
            Path(temporary).chmod(0o666 & ~_umask())
            Path(temporary).replace(path)
        except (OSError, SafetensorError) as error:
            raise OutputError(f"cannot write {path}: {error}; check the space and the rights there") from error
        finally:
            Path(temporary).unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FittedNet:
        """Read a saved net; no code in the file can run.

        Raises NetFileError when the file is missing, damaged, or holds something else.
        """
        path = Path(path)
        if not path.is_file():
            raise NetFileError(f"there is no net at {path}: make one with mmsr-geo fit SOURCE GUIDE -o {path.name}")
        try:
            with safe_open(path, framework="pt") as file:
                text = (file.metadata() or {}).get(METADATA_KEY)
                if text is None:
                    raise NetFileError(f"{path} is a safetensors file, but not of mmsr_geo: give one from mmsr-geo fit")
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
        except (SafetensorError, OSError) as error:
            raise NetFileError(
                f"{path} holds no net or is damaged ({error}): make it again with mmsr-geo fit"
            ) from error
        try:
            net = cls._from_description(json.loads(text), weights)
            net.check_weights()
        except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, MmsrError) as error:
            raise NetFileError(f"{path} is damaged or from another version ({error}): make it again") from error
        return net

    @classmethod
    def _from_description(cls, description: dict[str, Any], weights: dict[str, Tensor]) -> FittedNet:
        if description["format"] != FORMAT:
            raise ValueError(f"format {description['format']}, this version reads {FORMAT}")
        statistics = description["statistics"]
        return cls(
            params=NetParams(**{name: index(number) for name, number in description["params"].items()}),
            scale=Scale.of((description["scale"]["y"], description["scale"]["x"])),
            statistics=Statistics(
                source_centre=float(statistics["source_centre"]),
                source_spread=float(statistics["source_spread"]),
                guide_centre=tuple(map(float, statistics["guide_centre"])),
                guide_spread=tuple(map(float, statistics["guide_spread"])),
            ),
            weights=weights,
            guide_bands=tuple(map(str, description["guide_bands"])),
            version=str(description["version"]),
            provenance=dict(description["provenance"]),
        )

    def check_weights(self) -> None:
        """Raise ValueError for weights that are not this network's, or not finite."""
        with torch.device("meta"):
            wanted = MmsrNet(self.params).state_dict()
        if wanted.keys() != self.weights.keys():
            raise ValueError("its weights are not the network's")
        for name, tensor in self.weights.items():
            if tensor.shape != wanted[name].shape or tensor.dtype != torch.float32:
                raise ValueError(f"{name} is {tuple(tensor.shape)} {tensor.dtype}")
            if not bool(torch.isfinite(tensor).all()):
                raise ValueError(f"{name} holds values that are not finite")
        counts = (
            self.params.guide_bands,
            PER_BAND * len(self.statistics.guide_centre),
            PER_BAND * len(self.guide_bands),
        )
        if len(set(counts)) != 1:
            raise ValueError(f"{counts[0]} features of the guide, statistics for {counts[1]}, names for {counts[2]}")


def _umask() -> int:
    """Return the process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
