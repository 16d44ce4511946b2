"""A fitted model as a value, and its predictions: weights, statistics and where they come from; knows no raster."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mmsr_geo._version import __version__
from mmsr_geo.geometry import Halo, Scale, Window
from mmsr_geo.network.degradation import FILL_PX, bicubic, bilinear
from mmsr_geo.network.guide_check import GuideCheck
from mmsr_geo.network.guide_features import FEATURE_RECEPTIVE_FIELD_PX, PER_BAND, guide_features
from mmsr_geo.network.intervals import Interval
from mmsr_geo.network.members.fitted import Members
from mmsr_geo.network.members.layers import AS_IT_IS, Alignment
from mmsr_geo.network.mmsr import MmsrNetwork, NetworkParams, ReceptiveField
from mmsr_geo.network.model_file import ModelFields, load_model, refused_if_damaged, save_model, tensors_of
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.network.sensor import PLAIN, Findings, Sensor
from mmsr_geo.network.stacking import StackingWeights

if TYPE_CHECKING:
    from torch import Tensor

PART_PX = 320
"""Side, in target pixels, of the part that a network predicts at once on a CPU. All its layers take 3500 bytes per
pixel. glibc returns blocks of more than 32 MB, a layer of 360 x 360, each time: page faults then took as long as the
arithmetic."""
AROUND_PX = 24
"""Target pixels that a network of the paper's shape is shown in addition to such a part, both sides together."""
ROUNDING = 1e-5
"""Tolerance of a guide's range, in units of that range: values this little beyond it count as within."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedModel:
    """A model fitted to a pair; a value that can be saved, sent to a worker and used on another date."""

    params: NetworkParams
    """Shape of the network."""
    scale: Scale
    """Target pixels per source pixel."""
    statistics: Statistics
    """Centre and spread of source and guide, with which values are normalised."""
    weights: dict[str, Tensor] = field(repr=False)
    """Weights of the network, by name."""
    guide_bands: tuple[str, ...]
    """Names of the guide's bands; the network is shown `params.guide_bands` channels: the bands, or their features."""
    detail: float | None = None
    """Factor of the network's output before it is added to the bicubic interpolation, in standard deviations of the
    source; None: the output is the whole target."""
    stacking: StackingWeights = field(default_factory=StackingWeights)
    """Weights of network and members."""
    members: Members | None = field(default=None, repr=False)
    """Members that take seconds; None for a fit without them. Their alignment is that of the network's guide too."""
    check: GuideCheck = field(default_factory=GuideCheck)
    """Result of the fit's guide check."""
    guide_range: tuple[tuple[float, float], ...] = ()
    """Least and largest value of each band in the fit, in the network's units; empty if not known."""
    interval: Interval | None = None
    """Calibrated uncertainty, in the network's units; None: not calibrated."""
    version: str = __version__
    """Version of mmsr_geo that fitted the model."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Origin of the model, as JSON values: inputs, options, seed, threads, stages and their last losses."""

    def __post_init__(self) -> None:
        """Refuse a weight for members that are missing (ValueError)."""
        if self.stacking.members and self.members is None:
            msg = f"the weight of its members is {self.stacking.members:.0%}, and the members are missing"
            raise ValueError(msg)

    def network(self, device: torch.device | str = "cpu") -> MmsrNetwork:
        """Return the network with these weights, ready to predict on a device."""
        with torch.device("meta"):
            network = MmsrNetwork(self.params)
        network.load_state_dict(self.weights, assign=True)
        return network.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload,no-any-return]  # torch types no memory_format here

    @property
    def alignment(self) -> Alignment:
        """How the guide is moved and blurred before anything uses it."""
        return AS_IT_IS if self.members is None else self.members.alignment

    @property
    def sensor(self) -> Sensor:
        """How the source was measured, as its predictions take it."""
        return PLAIN if self.members is None else self.members.sensor

    @property
    def receptive_field(self) -> Halo:
        """Receptive field of a prediction, in source pixels beyond a target pixel's own."""
        if self.members is not None and not self.stacking.network:
            return self.members.receptive_field(self.scale)
        network = expected_receptive_field(
            self.params, self.scale, features=self.uses_features, alignment=self.alignment
        )
        return network if self.members is None else network.union(self.members.receptive_field(self.scale))

    @property
    def receptive_field_target_px(self) -> Halo:
        """Receptive field of the network, in target pixels, of a source that was brought to the target grid."""
        return receptive_field_on_target(
            _receptive_field(self.params), FEATURE_RECEPTIVE_FIELD_PX if self.uses_features else 0
        )

    @property
    def sentence(self) -> str:
        """Parts of the prediction with their weights, in words."""
        if self.members is None:
            return "network 100%"
        if not self.stacking.network:
            return self.members.sentence
        return f"network {self.stacking.network:.0%}, members {self.stacking.members:.0%}: {self.members.sentence}"

    @property
    def guide_alignment(self) -> str:
        """What happens to the guide before anything uses it, in words."""
        certain = "" if self.members is None else self.members.findings.shift_sentence(self.alignment.shift_px)
        return self.alignment.sentence + certain

    @property
    def measurement(self) -> str:
        """What is assumed of the source's sensor and noise, in words."""
        if self.members is None:
            return Findings().sentence(PLAIN, 1.0)
        return self.members.findings.sentence(self.sensor, self.statistics.source_spread)

    def seen_guide(self, valid: Tensor) -> Tensor:
        """Return where the guide as it was moved depends on valid pixels alone, (H, W) bool, from where it is valid."""
        return self.alignment.moved_mask(valid)

    @property
    def uses_guide(self) -> bool:
        """True if the prediction depends on the guide: that of members alone may not."""
        return self.stacking.network > 0 or self.members is None or self.members.guided

    @property
    def predicts_in_gaps(self) -> bool:
        """True if it predicts from the source alone where the guide has no data: its members do."""
        return self.members is not None

    @property
    def unguided(self) -> FittedModel | None:
        """The members' interpolation alone, with the same guide check and uncertainty; None without members."""
        if self.members is None:
            return None
        alone = StackingWeights(network=0.0, members=1.0)
        return replace(self, weights={}, stacking=alone, members=self.members.unguided)

    @property
    def uses_features(self) -> bool:
        """True if the network is shown local contrast and edges next to the guide's bands."""
        return self.params.guide_bands != len(self.statistics.guide_centre)

    @property
    def is_calibrated(self) -> bool:
        """True if the uncertainty of its targets is known."""
        return self.interval is not None

    @property
    def pixel_steps(self) -> int | None:
        """Target pixels times steps of its fit; None if its provenance does not tell."""
        steps: int | None = self.provenance.get("fit", {}).get("pixel_steps")
        return steps

    @property
    def source_interval(self) -> Interval | None:
        """Calibrated uncertainty in the source's units; None: not calibrated."""
        return None if self.interval is None else self.interval.times(self.statistics.source_spread)

    @property
    def seen_range(self) -> tuple[tuple[float, float], ...] | None:
        """Least and largest value of each band in the fit, in the guide's units; None if not known."""
        if not self.guide_range:
            return None
        bands = zip(self.guide_range, self.statistics.guide_centre, self.statistics.guide_spread, strict=True)
        return tuple(
            (
                centre + spread * (low - ROUNDING * (high - low)),
                centre + spread * (high + ROUNDING * (high - low)),
            )
            for (low, high), centre, spread in bands
        )

    def predictor(self, device: torch.device | str = "cpu") -> FittedPredictor:
        """Return the model on a device, ready to predict."""
        return FittedPredictor(
            self,
            self.network(device) if self.stacking.network else None,
            None if self.members is None else self.members.to(device),
        )

    def with_statistics(self, statistics: Statistics) -> FittedModel:
        """Return the same model with another pair's statistics."""
        return replace(self, statistics=statistics)

    @property
    def digest(self) -> str:
        """Hash of the fields that decide a prediction: shape, scale, statistics and weights."""
        digest = hashlib.sha256(repr((self.params, self.scale, self.statistics, self.detail, self.stacking)).encode())
        if self.members is not None:
            digest.update(json.dumps(self.members.description).encode() + self.members.constants.encode())
        for name, tensor in sorted(tensors_of(self.weights, self.members).items()):
            digest.update(name.encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write the model into one safetensors file, which appears only when it is complete.

        Args:
            path: The file to write.
            overwrite: Whether an existing file is replaced.

        Raises:
            OutputError: The folder is missing or closed to writing, the disk is full, or the file exists and
                `overwrite` is False.
        """
        content = ModelFields(**{f.name: getattr(self, f.name) for f in fields(self)})  # type: ignore[typeddict-item]  # its fields by name
        save_model(content, Path(path), overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FittedModel:
        """Read a saved model; no code in the file can run.

        Raises:
            ModelFileError: The file is missing or damaged, is not a saved model, or has another format.
        """
        content = load_model(Path(path))
        with refused_if_damaged(Path(path)):
            model = cls(**content)
            model.check_weights()
        return model

    def check_weights(self) -> None:
        """Raise ValueError if the weights are not those of this network, or not finite; a model may have no network."""
        with torch.device("meta"):
            expected = MmsrNetwork(self.params).state_dict() if self.stacking.network or self.weights else {}
        if expected.keys() != self.weights.keys():
            raise ValueError("its weights are not the network's")
        for name, tensor in self.weights.items():
            if tensor.shape != expected[name].shape or tensor.dtype != torch.float32:
                raise ValueError(f"{name} is {tuple(tensor.shape)} {tensor.dtype}")
            if not bool(torch.isfinite(tensor).all()):
                raise ValueError(f"{name} holds values that are not finite")
        bands = len(self.statistics.guide_centre)
        if self.members is not None and len(self.members.scaling.low) != bands:
            raise ValueError(f"its members are for {len(self.members.scaling.low)} guide bands instead of {bands}")
        if len(self.guide_range) not in {0, bands} or any(not low <= high for low, high in self.guide_range):
            raise ValueError(
                f"it has ranges of {len(self.guide_range)} bands for {bands}, or a least value above the largest"
            )
        if len(self.guide_bands) != bands or self.params.guide_bands not in {bands, PER_BAND * bands}:
            raise ValueError(
                f"its network has {self.params.guide_bands} guide channels, and it has statistics of {bands} bands and "
                f"{len(self.guide_bands)} band names"
            )


@dataclass(frozen=True, slots=True, eq=False)
class FittedPredictor:
    """A model on a device: pixels of a window in, their prediction in the source's units out."""

    model: FittedModel
    network: Callable[[Tensor, Tensor], Tensor] | None
    members: Members | None = None

    @torch.no_grad()
    def __call__(self, sample: Sample) -> Tensor:
        """Predict a window, (H, W) float64; without members, values where the guide is invalid have no meaning."""
        stacking, statistics = self.model.stacking, self.model.statistics
        network = None
        if self.network is not None and stacking.network:
            network = self._network_prediction(self.network, self.model.alignment.applied(sample))
        if self.members is None:
            if network is None:
                raise AssertionError
            target = network
        else:
            window = self.members.window(sample, statistics, self.model.scale)
            target = torch.zeros((), dtype=torch.float64)
            if network is not None:
                target = target + stacking.network * window.consistent(network, "guided")
            if stacking.members:
                target = target + stacking.members * self.members.predict(window)
        return target * statistics.source_spread + statistics.source_centre

    def _network_prediction(self, network: Callable[[Tensor, Tensor], Tensor], sample: Sample) -> Tensor:
        """Return the network's prediction in its units."""
        model, statistics = self.model, self.model.statistics
        source = statistics.normalise_source(sample.source, sample.source_valid)
        on_target = bilinear(source[None, None], model.scale)

        def guide_of(part: Window) -> Tensor:
            rows, columns = part.slices
            return self._network_guide(sample.guide[:, rows, columns], sample.guide_valid[rows, columns])

        output = predict_in_parts(network, guide_of, on_target, model.receptive_field_target_px)
        return add_detail(output[0, 0], source, model.scale, model.detail).double()

    def _network_guide(self, guide: Tensor, valid: Tensor) -> Tensor:
        """Return the guide as the network is shown it, (1, C, H, W): its bands, and features if the model uses them."""
        channels = self.model.statistics.normalise_guide(guide, valid)
        if self.model.uses_features:
            channels = guide_features(channels, valid)
        return channels[None].contiguous(memory_format=torch.channels_last)


def predict_in_parts(
    network: Callable[[Tensor, Tensor], Tensor],
    guide_of: Callable[[Window], Tensor],
    on_target: Tensor,
    receptive_field_target_px: Halo,
) -> Tensor:
    """Return a network's output; on a CPU it is computed in parts of PART_PX, which is the same to rounding.

    Args:
        network: Guide (1, C, height, width) and source (1, 1, height, width) in, output of the same size out.
        guide_of: Returns the guide of a window of target pixels, (1, C, height, width).
        on_target: The source on the target grid, (1, 1, H, W).
        receptive_field_target_px: Receptive field of the network.

    Returns:
        (1, 1, H, W).
    """
    output = torch.empty_like(on_target)
    whole = Window.whole((output.shape[-2], output.shape[-1]))
    for part in whole.parts(PART_PX if output.device.type == "cpu" else max(whole.shape)):
        read = part.padded(receptive_field_target_px, whole)
        predicted = network(guide_of(read), on_target[..., *read.slices])
        output[..., *part.slices] = predicted[..., *part.relative_to(read).slices]
    return output


def receptive_field_on_target(receptive_field: ReceptiveField, features_px: int = 0) -> Halo:
    """Return the receptive field of a network in target pixels, of a source that was brought to the target grid.

    Args:
        receptive_field: Receptive field of the network alone.
        features_px: Guide pixels that the guide's features depend on, in addition.
    """
    side = max(receptive_field.guide_px + features_px, receptive_field.source_target_px)
    return Halo(side, side)


def add_detail(output: Tensor, source: Tensor, scale: Scale, detail: float | None) -> Tensor:
    """Return the prediction of a network's output: the output itself, or the bicubic interpolation with detail added.

    Args:
        output: (..., H, W), in the network's units.
        source: (..., h, w), without nodata, in the network's units.
        scale: Target pixels per source pixel.
        detail: Factor of the output as detail; None: the output is the prediction.
    """
    return output if detail is None else bicubic(source, scale) + detail * output


def expected_receptive_field(
    params: NetworkParams, scale: Scale, *, features: bool, alignment: Alignment = AS_IT_IS
) -> Halo:
    """Return the receptive field of a network of this shape, in source pixels; it is known before the fit.

    Args:
        params: Shape of the network.
        scale: Target pixels per source pixel.
        features: Whether the network is shown the guide's features.
        alignment: How the guide is moved and blurred before.
    """
    reach = max(alignment.reach_px)
    return receptive_field_of(_receptive_field(params), scale, features=features, aligned_px=reach)


def _receptive_field(params: NetworkParams) -> ReceptiveField:
    with torch.device("meta"):
        return MmsrNetwork(params).receptive_field


def receptive_field_of(
    receptive_field: ReceptiveField, scale: Scale, *, features: bool, aligned_px: float = 0.0
) -> Halo:
    """Return the receptive field of a network in source pixels: the larger of guide's and source's.

    Args:
        receptive_field: Receptive field of the network alone.
        scale: Target pixels per source pixel.
        features: Whether the network is shown the guide's features.
        aligned_px: Target pixels around a pixel that the alignment of its guide depends on.
    """
    shown = receptive_field.guide_px + (FEATURE_RECEPTIVE_FIELD_PX if features else 0) + aligned_px

    def along(factor: int) -> int:
        source = math.ceil(receptive_field.source_target_px / factor) + receptive_field.source_px + FILL_PX
        return max(math.ceil(shown / factor), source)

    return Halo(along(scale.y), along(scale.x))
