"""A fitted model: weights, the statistics they were fitted with, and where they come from, in one safetensors file."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mmsr_geo._version import __version__
from mmsr_geo.errors import MmsrError, ModelFileError, OutputError
from mmsr_geo.geometry import Halo, Scale, Window
from mmsr_geo.network.degradation import FILL_PX, bicubic, bilinear, fill_holes
from mmsr_geo.network.guide_check import GuideCheck, Region
from mmsr_geo.network.guide_features import FEATURE_SUPPORT_PX, PER_BAND, guide_features
from mmsr_geo.network.intervals import Interval, Terms
from mmsr_geo.network.mmsr import MmsrNetwork, NetworkParams, ReceptiveField
from mmsr_geo.network.registration import farthest, shifted
from mmsr_geo.network.regression import Regression, regression_receptive_field
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.network.stacking import StackingWeights

if TYPE_CHECKING:
    from torch import Tensor


METADATA_KEY = "mmsr_geo"
FORMAT = 6
REGRESSION = "regression."
"""What the names of its tensors begin with in a model's file."""
ROUNDING = 1e-5
"""Of a band's range: what lies so little beyond it lies within."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedModel:
    """A network fitted to a pair; a value that can be saved, sent to a worker and used on another date."""

    params: NetworkParams
    scale: Scale
    statistics: Statistics
    weights: dict[str, Tensor] = field(repr=False)
    guide_bands: tuple[str, ...]
    """The guide's bands by name; the network is shown them, or their features (`params.guide_bands` of them)."""
    detail: float | None = None
    """What the network's output is multiplied by and added to the bicubic interpolation, in the source's deviation;
    None: its output is the whole target."""
    stacking: StackingWeights = field(default_factory=StackingWeights)
    """What else its prediction is mixed of, beside the network's word."""
    regression: Regression | None = field(default=None, repr=False)
    """Of the detail on guide and source, where it has a share; else None."""
    check: GuideCheck = field(default_factory=GuideCheck)
    """What the fit found out about whether the guide helped."""
    guide_range: tuple[tuple[float, float], ...] = ()
    """The least and largest value of each band that the fit saw, in the network's units; none where not known."""
    interval: Interval | None = None
    """How far its targets may be off, in the network's units; None: not calibrated."""
    version: str = __version__
    provenance: dict[str, Any] = field(default_factory=dict)
    """How it came to be, as JSON values: inputs, options, seed, threads, stages and their last losses."""

    def __post_init__(self) -> None:
        """Refuse a share of a regression that is not there (ValueError)."""
        if self.stacking.regression and self.regression is None:
            msg = f"{self.stacking.regression:.0%} of its predictions are a regression's, and it has none"
            raise ValueError(msg)

    def network(self, device: torch.device | str = "cpu") -> MmsrNetwork:
        """Build the module with these weights, ready to predict."""
        with torch.device("meta"):
            network = MmsrNetwork(self.params)
        network.load_state_dict(self.weights, assign=True)
        return network.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload,no-any-return]  # torch types no memory_format here

    @property
    def receptive_field(self) -> Halo:
        """Source pixels, beyond a target pixel's own, that its prediction depends on."""
        return expected_receptive_field(
            self.params, self.scale, features=self.shows_features, ensemble=self.stacking.regression > 0
        )

    @property
    def receptive_field_target_px(self) -> Halo:
        """Target pixels around one that its network's output depends on, the source being on the target grid."""
        return receptive_field_on_target(_support(self.params), FEATURE_SUPPORT_PX if self.shows_features else 0)

    @property
    def uses_guide(self) -> bool:
        """A model does."""
        return True

    @property
    def shows_features(self) -> bool:
        """Whether the network is shown local contrast and edges beside the bands."""
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
        """The interval in the source's units."""
        return None if self.interval is None else self.interval.times(self.statistics.source_spread)

    @property
    def seen_range(self) -> tuple[tuple[float, float], ...] | None:
        """The least and largest value of each band that it was fitted on, in the guide's units; None: not known."""
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
        """Put the network to work on a device."""
        return FittedPredictor(
            self, self.network(device), None if self.regression is None else self.regression.to(device)
        )

    def with_statistics(self, statistics: Statistics) -> FittedModel:
        """Return the same weights for another pair's statistics."""
        return replace(self, statistics=statistics)

    @property
    def _tensors(self) -> dict[str, Tensor]:
        """All that is kept of it beside its description, by name."""
        regression = {} if self.regression is None else self.regression.tensors
        return self.weights | {REGRESSION + name: tensor for name, tensor in regression.items()}

    @property
    def digest(self) -> str:
        """A hash of what decides a prediction: shape, scale, statistics and weights."""
        digest = hashlib.sha256(repr((self.params, self.scale, self.statistics, self.detail, self.stacking)).encode())
        for name, tensor in sorted(self._tensors.items()):
            digest.update(name.encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write one safetensors file, under a temporary name first, so that a broken write leaves nothing.

        Raises OutputError when the folder is missing or not writable, or the file exists and `overwrite` is False.
        """
        path = Path(path)
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists: choose another name, or pass overwrite=True")
        description = {
            "format": FORMAT,
            "version": self.version,
            "params": asdict(self.params),
            "scale": asdict(self.scale),
            "statistics": asdict(self.statistics),
            "guide_bands": list(self.guide_bands),
            "detail": self.detail,
            "stacking": asdict(self.stacking),
            "check": asdict(self.check),
            "guide_range": [list(ends) for ends in self.guide_range],
            "interval": None if self.interval is None else asdict(self.interval),
            "provenance": self.provenance,
        }
        tensors = {name: tensor.contiguous() for name, tensor in self._tensors.items()}
        try:
            handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
            os.close(handle)
        except OSError as error:
            raise OutputError(
                f"cannot write {path}: {error.strerror}; check that its folder is there and can be written to"
            ) from error
        try:
            save_file(tensors, temporary, metadata={METADATA_KEY: json.dumps(description)})
            Path(temporary).chmod(0o666 & ~_umask())
            Path(temporary).replace(path)
        except (OSError, SafetensorError) as error:
            raise OutputError(f"cannot write {path}: {error}; check the space and the rights there") from error
        finally:
            Path(temporary).unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FittedModel:
        """Read a saved model; no code in the file can run.

        Raises ModelFileError when the file is missing, damaged, or holds something else.
        """
        path = Path(path)
        if not path.is_file():
            raise ModelFileError(f"there is no model at {path}: make one with mmsr-geo fit SOURCE GUIDE -o {path.name}")
        try:
            with safe_open(path, framework="pt") as file:
                text = (file.metadata() or {}).get(METADATA_KEY)
                if text is None:
                    raise ModelFileError(
                        f"{path} is a safetensors file, but not of mmsr_geo: give one from mmsr-geo fit"
                    )
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
        except (SafetensorError, OSError) as error:
            raise ModelFileError(
                f"{path} holds no model or is damaged ({error}): make it again with mmsr-geo fit"
            ) from error
        try:
            model = cls._from_description(json.loads(text), tensors)
            model.check_weights()
        except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, MmsrError) as error:
            raise ModelFileError(f"{path} is damaged or from another version ({error}): make it again") from error
        return model

    @classmethod
    def _from_description(cls, description: dict[str, Any], tensors: dict[str, Tensor]) -> FittedModel:
        if description["format"] != FORMAT:
            raise ValueError(f"format {description['format']}, this version reads {FORMAT}")
        statistics = description["statistics"]
        regression = {
            key.removeprefix(REGRESSION): value for key, value in tensors.items() if key.startswith(REGRESSION)
        }
        return cls(
            params=NetworkParams(**{name: index(number) for name, number in description["params"].items()}),
            scale=Scale.of((description["scale"]["y"], description["scale"]["x"])),
            statistics=Statistics(
                source_centre=float(statistics["source_centre"]),
                source_spread=float(statistics["source_spread"]),
                guide_centre=tuple(map(float, statistics["guide_centre"])),
                guide_spread=tuple(map(float, statistics["guide_spread"])),
            ),
            weights={name: tensor for name, tensor in tensors.items() if not name.startswith(REGRESSION)},
            guide_bands=tuple(map(str, description["guide_bands"])),
            detail=None if description["detail"] is None else float(description["detail"]),
            stacking=_stacking_from(description["stacking"]),
            regression=Regression(**regression) if regression else None,
            check=_check_from(description["check"]),
            guide_range=tuple((float(low), float(high)) for low, high in description["guide_range"]),
            interval=None if description["interval"] is None else _interval_from(description["interval"]),
            version=str(description["version"]),
            provenance=dict(description["provenance"]),
        )

    def check_weights(self) -> None:
        """Raise ValueError for weights that are not this network's, or not finite."""
        with torch.device("meta"):
            wanted = MmsrNetwork(self.params).state_dict()
        if wanted.keys() != self.weights.keys():
            raise ValueError("its weights are not the network's")
        for name, tensor in self.weights.items():
            if tensor.shape != wanted[name].shape or tensor.dtype != torch.float32:
                raise ValueError(f"{name} is {tuple(tensor.shape)} {tensor.dtype}")
            if not bool(torch.isfinite(tensor).all()):
                raise ValueError(f"{name} holds values that are not finite")
        bands = len(self.statistics.guide_centre)
        if self.regression is not None:
            self.regression.check(bands)
        if len(self.guide_range) not in {0, bands} or any(not low <= high for low, high in self.guide_range):
            raise ValueError(f"it has ranges for {len(self.guide_range)} of {bands} bands, or some the wrong way round")
        if len(self.guide_bands) != bands or self.params.guide_bands not in {bands, PER_BAND * bands}:
            raise ValueError(
                f"it is shown {self.params.guide_bands} layers of the guide, has statistics for {bands} bands and "
                f"{len(self.guide_bands)} names"
            )


@dataclass(frozen=True, slots=True, eq=False)
class FittedPredictor:
    """A model at work on a device: a window's pixels in, its prediction in the source's units out."""

    model: FittedModel
    network: Callable[[Tensor, Tensor], Tensor]
    regression: Regression | None = None

    def __call__(self, sample: Sample) -> Tensor:
        """Predict a window, (H, W) float64; where the guide is a hole what comes out means nothing."""
        stacking, statistics = self.model.stacking, self.model.statistics
        parts = []
        if stacking.network:
            parts.append(stacking.network * self._networks(sample))
        if stacking.network < 1:
            valid, centred = sample.source_valid, statistics.centred_source(sample.source)
            source = fill_holes(torch.where(valid, centred, torch.zeros_like(centred)), valid)
            smooth = bicubic(source, self.model.scale)
            parts.append((stacking.bicubic + stacking.regression) * smooth)
            if self.regression is not None and stacking.regression:
                parts.append(stacking.regression * self._details(self.regression, sample, source))
        return torch.stack(parts).sum(dim=0) * statistics.source_spread + statistics.source_centre

    def _details(self, regression: Regression, sample: Sample, source: Tensor) -> Tensor:
        """Return the regression's detail on the interpolation, 0 where its guide is a hole."""
        shift = self.model.stacking.shift
        guide = shifted(self.model.statistics.normalise_guide(sample.guide, sample.guide_valid), shift)
        return regression.detail(guide, shifted(sample.guide_valid, shift), source, self.model.scale)

    def _networks(self, sample: Sample) -> Tensor:
        """Return the network's word in its units."""
        model, statistics = self.model, self.model.statistics
        source = statistics.normalise_source(sample.source, sample.source_valid)
        on_target = bilinear(source[None, None], model.scale)

        def shown(part: Window) -> Tensor:
            rows, columns = part.slices
            return self._shown(sample.guide[:, rows, columns], sample.guide_valid[rows, columns])

        output = predict_in_parts(self.network, shown, on_target, model.receptive_field_target_px)
        return add_detail(output[0, 0], source, model.scale, model.detail).double()

    def _shown(self, guide: Tensor, valid: Tensor) -> Tensor:
        """Return what the network is shown of a guide: (1, C, H, W), with its features where the model is for them."""
        shown = self.model.statistics.normalise_guide(guide, valid)
        if self.model.shows_features:
            shown = guide_features(shown, valid)
        return shown[None].contiguous(memory_format=torch.channels_last)


def predict_in_parts(
    network: Callable[[Tensor, Tensor], Tensor],
    shown: Callable[[Window], Tensor],
    on_target: Tensor,
    receptive_field_target_px: Halo,
) -> Tensor:
    """Return a network's output (1, 1, H, W); on a CPU it is shown PART_PX at a time, which is the same to rounding.

    shown: what it is shown of the guide in a window of target pixels, (1, C, height, width); on_target: the source on
    the target grid, (1, 1, H, W); sees: how far around a pixel it looks.
    """
    output = torch.empty_like(on_target)
    whole = Window.whole((output.shape[-2], output.shape[-1]))
    for part in whole.parts(PART_PX if output.device.type == "cpu" else max(whole.shape)):
        read = part.padded(receptive_field_target_px, whole)
        made = network(shown(read), on_target[..., *read.slices])
        output[..., *part.slices] = made[..., *part.relative_to(read).slices]
    return output


def receptive_field_on_target(receptive_field: ReceptiveField, features_px: int = 0) -> Halo:
    """Return the target pixels around one that a network's output depends on, the source being on the target grid."""
    side = max(receptive_field.guide_px + features_px, receptive_field.source_target_px)
    return Halo(side, side)


def add_detail(output: Tensor, source: Tensor, scale: Scale, detail: float | None) -> Tensor:
    """Turn a network's output (..., H, W) into a prediction: as it is, or as detail on the bicubic interpolation.

    source: (..., h, w), without holes; all in the network's units.
    """
    return output if detail is None else bicubic(source, scale) + detail * output


def expected_receptive_field(params: NetworkParams, scale: Scale, *, features: bool, ensemble: bool) -> Halo:
    """Return how far a model of this shape looks, in source pixels: known before it is fitted.

    mixed: whether a regression's word may be mixed in, with a guide that is moved.
    """
    network = receptive_field_of(_support(params), scale, features=features)
    if not ensemble:
        return network
    regression, shift = regression_receptive_field(scale), farthest(scale)
    return Halo(
        max(network.y, regression.y + math.ceil(shift[0] / scale.y)),
        max(network.x, regression.x + math.ceil(shift[1] / scale.x)),
    )


def _support(params: NetworkParams) -> ReceptiveField:
    with torch.device("meta"):
        return MmsrNetwork(params).receptive_field


def receptive_field_of(receptive_field: ReceptiveField, scale: Scale, *, features: bool) -> Halo:
    """Turn a network's support into source pixels: the farther of what it needs of the guide and of the source."""

    def along(factor: int) -> int:
        guide = math.ceil((receptive_field.guide_px + (FEATURE_SUPPORT_PX if features else 0)) / factor)
        source = math.ceil(receptive_field.source_target_px / factor) + receptive_field.source_px + FILL_PX
        return max(guide, source)

    return Halo(along(scale.y), along(scale.x))


def _stacking_from(description: dict[str, Any]) -> StackingWeights:
    rows, columns = map(index, description["shift"])
    shares = {name: float(description[name]) for name in ("bicubic", "network", "regression")}
    return StackingWeights(**shares, shift=(rows, columns))


def _interval_from(description: dict[str, Any]) -> Interval:
    guided, smooth = (
        Terms(*(float(description[part][name]) for name in ("constant", "roughness", "contrast")))
        for part in ("guided", "smooth")
    )
    return Interval(guided, smooth)


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
        )
    )


def _umask() -> int:
    """Return the process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


PART_PX = 320
"""Side of what a network is shown at once on a CPU. All its layers take 3500 bytes a pixel, and blocks of more than 32
MB, a layer of 360 x 360, glibc gives back each time: the system's faults then took as long as the arithmetic."""
AROUND_PX = 24
"""What it is shown around that, both sides together: as much as a network of the paper's shape sees."""
