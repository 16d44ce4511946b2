"""The scene fit: samples of a pair in, a fitted net out; knows no raster, file or tile."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor

from mmsr_geo.errors import OptionError, PixelError
from mmsr_geo.geometry import Scale, Window
from mmsr_geo.memory import cores
from mmsr_geo.network.degradation import bicubic, degrade, degrade_valid, fill_holes, make_consistent
from mmsr_geo.network.features import PER_BAND, guide_features
from mmsr_geo.network.fitted import FittedNet
from mmsr_geo.network.mmsr import MmsrNet, NetParams
from mmsr_geo.network.samples import Sample, Statistics

Progress = Callable[[str, int, int], None]
"""Called as progress(stage, done, total). What it raises ends the work: that is how to cancel."""

SMALLEST_FIRST_STAGE_PX = 16
"""Source pixels one level down, along the shorter side, below which there is too little to learn from."""
FIRST_STAGE_GAIN = 0.5
"""The first stage is kept where its error on blocks it has not seen is at most this part of the bicubic's."""
HELD_OUT = 7
"""One block of source pixels in so many is kept from the first stage, to judge it by."""
MOST_THREADS = 8


def no_progress(stage: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class FitParams:
    """How a net is fitted; the defaults were measured (docs/decisions/002-fit-defaults.md)."""

    steps: int = 300
    """Steps of each stage."""
    first_stage: bool | None = None
    """Whether supervised steps one level down come first; None: decided from the data."""
    patch_px: int = 96
    """A patch's side in target pixels."""
    batch: int = 1
    """Patches a step."""
    lr: float = 0.001
    """The peak of each stage's one-cycle learning rate."""
    guide_weight_decay: float = 5e-4
    """Weight decay on the guide branch, as published."""
    threads: int | None = None
    """Torch threads on a CPU; None: as many as the cores of the machine where the fit is asked for, 8 at most. The
    number changes the order of sums, hence the fit, and is recorded."""

    def __post_init__(self) -> None:
        """Refuse what no fit can do."""
        for name, smallest in (("steps", 1), ("patch_px", 8), ("batch", 1)):
            if getattr(self, name) < smallest:
                raise OptionError(f"{name} must be {smallest} or more, not {getattr(self, name)}")
        if not 0 < self.lr < 1:
            raise OptionError(f"lr must lie between 0 and 1, not {self.lr}")
        if not 0 <= self.guide_weight_decay < math.inf:
            raise OptionError(f"guide_weight_decay must be 0 or more, not {self.guide_weight_decay}")
        if self.threads is not None and self.threads < 1:
            raise OptionError(f"threads must be 1 or more, not {self.threads}")

    @property
    def fixed_threads(self) -> int:
        """The number of torch threads that a fit asked for here will use, wherever it runs."""
        return self.threads or min(MOST_THREADS, cores())


def fit_samples(  # noqa: PLR0913  (what is known of a fit, all of it recorded in the net)
    samples: Sequence[Sample],
    scale: Scale,
    params: FitParams,
    *,
    guide_bands: tuple[str, ...],
    seed: int = 0,
    device: torch.device | None = None,
    progress: Progress = no_progress,
    provenance: dict[str, Any] | None = None,
) -> FittedNet:
    """Fit one network to samples of one pair, all of the same size.

    Two stages, each a one-cycle of Adam: first, where it pays, with direct supervision one level down (the source is
    the truth there), then at the true scale, asking that the target's block means be the source. The same samples,
    seed, threads and device kind give the same net. Raises PixelError when no pixel is valid in source and guide.
    """
    device = device or torch.device("cpu")
    statistics = Statistics.of(samples)
    with torch_threads(params.fixed_threads):
        layers = [_Layers.of(sample, statistics, scale, device) for sample in samples]
        fit = _Fit(len(statistics.guide_centre), layers, scale, params, progress, seed)
        outcome = fit.run()
    record = {
        "seed": seed,
        "params": asdict(params),
        "threads": params.fixed_threads,
        "device": device.type,
        "torch": torch.__version__,
        **outcome,
    }
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in fit.network.state_dict().items()}
    return FittedNet(
        fit.network.params, scale, statistics, weights, guide_bands, provenance=(provenance or {}) | {"fit": record}
    )


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Use so many torch threads in this Python thread.

    The number belongs to the calling thread once it has been asked for there, so other threads' numbers do not
    matter; a dask worker sets 1 for itself and a fit would otherwise depend on where it runs.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, slots=True, eq=False)
class _Layers:
    """A sample in the network's units, at the true scale and one level down."""

    source: Tensor
    """(h, w), holes filled."""
    asked: Tensor
    """(h, w) bool: source and guide are valid."""
    guide: Tensor
    """(3 C, H, W): the guide's features, 0 in holes."""
    guide_below: Tensor
    """(3 C, h, w): the features of the guide's means over source pixels."""
    held_out: Tensor
    """(h, w) bool: kept from the first stage."""

    @classmethod
    def of(cls, sample: Sample, statistics: Statistics, scale: Scale, device: torch.device) -> _Layers:
        guide = statistics.normalise_guide(sample.guide, sample.guide_valid)
        below, share = degrade_valid(guide, sample.guide_valid, scale)
        guide, below = guide_features(guide, sample.guide_valid), guide_features(below, share > 0.5)
        source = statistics.normalise_source(sample.source, sample.source_valid)
        asked = sample.source_valid & (share > 0.5)
        layers = (source, asked, guide, below, _held_out(asked.shape, scale))
        return cls(*(layer.to(device) for layer in layers))


def _held_out(shape: tuple[int, ...], scale: Scale) -> Tensor:
    """Return (h, w) bool: blocks of about 8 x 8 source pixels, one in HELD_OUT, a knight's move apart."""
    side_y, side_x = (factor * max(1, 8 // factor) for factor in (scale.y, scale.x))
    row, column = torch.arange(shape[0]) // side_y, torch.arange(shape[1]) // side_x
    return (row[:, None] * 3 + column) % HELD_OUT == HELD_OUT // 2


_Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""One patch: guide (C, H, W), source on its grid, what is wanted of the target, and where it is asked for."""


class _Sites:
    """Where patches may lie: at least half as valid as the best place of all samples, each as likely as the other."""

    def __init__(self, asked: Sequence[Tensor], patch_yx: tuple[int, int]) -> None:
        height, width = asked[0].shape
        self.patch_yx = min(patch_yx[0], height), min(patch_yx[1], width)
        shares = torch.stack([_window_means(mask.cpu(), self.patch_yx) for mask in asked])
        if shares.max() == 0:
            raise PixelError("source and guide have no valid pixel in common: check that they show the same place")
        self.shape = shares.shape
        self.places = (shares >= shares.max() / 2).flatten().nonzero()[:, 0]

    def draw(self, count: int, generator: torch.Generator) -> list[tuple[int, Window]]:
        """Return so many patches: the sample's index and the patch's place in it."""
        picks = self.places[torch.randint(len(self.places), (count,), generator=generator)]
        _, rows, columns = self.shape
        return [
            (place // (rows * columns), Window(place // columns % rows, place % columns, *self.patch_yx))
            for place in picks.tolist()
        ]


def _inside(start: int, length: int, whole: int, reach: int) -> Tensor:
    """Return (length,) bool: `reach` away from each end that is not an end of the whole."""
    place = torch.arange(start, start + length)
    below = (place >= start + reach) | torch.tensor(start == 0)
    above = (place < start + length - reach) | torch.tensor(start + length == whole)
    return below & above


def _window_means(mask: Tensor, size_yx: tuple[int, int]) -> Tensor:
    """Return the mean of (h, w) bool over every window of the size, by a summed-area table: exact in float64."""
    height, width = size_yx
    table = F.pad(mask.double().cumsum(0).cumsum(1), (1, 0, 1, 0))
    sums = table[height:, width:] - table[:-height, width:] - table[height:, :-width] + table[:-height, :-width]
    return sums / (height * width)


class _Fit:
    """One fit under way: the network, what it learns from, and what is to be recorded."""

    def __init__(  # noqa: PLR0913  (all that a fit is)
        self, bands: int, layers: Sequence[_Layers], scale: Scale, params: FitParams, progress: Progress, seed: int
    ) -> None:
        self.layers, self.scale, self.params, self.progress, self.seed = layers, scale, params, progress, seed
        self.shape = NetParams(PER_BAND * bands)
        self._begin()

    def _begin(self) -> None:
        """Draw fresh weights and begin the draws of patches, as if nothing had been before."""
        # Generators of its own: torch's global one is shared with whatever else runs in the process.
        weights, self.patches_generator = (torch.Generator().manual_seed(self.seed) for _ in range(2))
        with torch.device("meta"):
            network = MmsrNet(self.shape)
        network = network.to_empty(device="cpu").draw_weights(weights).to(self.layers[0].source.device)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch types no memory_format here

    def run(self) -> dict[str, Any]:
        """Fit; return what is to be recorded, as JSON values."""
        record: dict[str, Any] = {"first_stage": False}
        steps = self.params.steps
        if self._first_stage_possible():
            first = self._stage("first stage", steps, self._supervised_batch, self._supervised_sites())
            gain = self._held_out_error_ratio()
            kept = self.params.first_stage or (gain is not None and gain <= FIRST_STAGE_GAIN)
            record |= {"first_stage": kept, "first_stage_loss": first, "held_out_error_to_bicubic": gain}
            if not kept:
                self._begin()
        loss = self._stage("fit", steps, self._self_supervised_batch, self._self_supervised_sites())
        return record | {"steps": steps, "loss": loss}

    def _stage(
        self,
        name: str,
        steps: int,
        batch: Callable[[int, Window], _Batch],
        sites: _Sites,
    ) -> float:
        """Take the steps of one stage; return the mean loss of its last tenth."""
        decayed = self.network.guide_branch.parameters()
        others = (p for key, p in self.network.named_parameters() if not key.startswith("guide_branch."))
        groups: list[dict[str, Any]] = [
            {"params": decayed, "weight_decay": self.params.guide_weight_decay},
            {"params": others},
        ]
        optimiser = torch.optim.Adam(groups, lr=self.params.lr)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=self.params.lr, total_steps=steps, cycle_momentum=False
        )
        losses: list[Tensor] = []
        for step in range(steps):
            self.progress(name, step, steps)
            patches = [batch(*site) for site in sites.draw(self.params.batch, self.patches_generator)]
            guide, source, wanted, asked = (torch.stack(parts) for parts in zip(*patches, strict=True))
            target = self.network(guide.contiguous(memory_format=torch.channels_last), source[:, None])[:, 0]
            if target.shape != wanted.shape:
                target = degrade(target, self.scale)
            loss = (F.l1_loss(target, wanted, reduction="none") * asked).sum() / asked.sum().clamp_min(1)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.detach())
        self.progress(name, steps, steps)
        return fmean(float(loss) for loss in losses[-max(1, steps // 10) :])

    def _self_supervised_sites(self) -> _Sites:
        scale, patch = self.scale, self.params.patch_px
        return _Sites([layer.asked for layer in self.layers], (max(1, patch // scale.y), max(1, patch // scale.x)))

    def _self_supervised_batch(self, sample: int, at: Window) -> _Batch:
        """At the true scale: the target's block means shall be the source."""
        layer, (rows, columns) = self.layers[sample], at.slices
        target_rows, target_columns = at.refined(self.scale).slices
        source = layer.source[rows, columns]
        asked = layer.asked[rows, columns] & self._away_from_cuts(layer, at, self.scale.y, self.scale.x)
        return layer.guide[:, target_rows, target_columns], source, source, asked

    def _supervised_sites(self) -> _Sites:
        """Patches one level down are counted in source pixels, a whole multiple of the scale along each side."""
        height, width = self.layers[0].source.shape
        patch, scale = self.params.patch_px, self.scale
        side_y, side_x = (max(min(patch, side) // s, 1) * s for side, s in ((height, scale.y), (width, scale.x)))
        return _Sites([layer.asked & ~layer.held_out for layer in self.layers], (side_y, side_x))

    def _supervised_batch(self, sample: int, at: Window) -> _Batch:
        """One level down: the source itself is the target, its block means are the source."""
        layer, (rows, columns) = self.layers[sample], at.slices
        truth, valid = layer.source[rows, columns], layer.asked[rows, columns]
        asked = valid & ~layer.held_out[rows, columns] & self._away_from_cuts(layer, at, 1, 1)
        return layer.guide_below[:, rows, columns], self._below(truth, valid), truth, asked

    def _away_from_cuts(self, layer: _Layers, at: Window, per_row: int, per_column: int) -> Tensor:
        """Return (h, w) bool: where the network sees a patch as it would see the whole sample.

        Beyond a cut it sees zeros, which it never does when it predicts, but at the raster's own border it does. Each
        row and column stands for so many pixels of the grid that the network works on. All True in a patch that is
        too small to have an inside.
        """
        inside = [
            _inside(start, length, whole, -(-self.network.support.guide_px // pixels))
            for start, length, whole, pixels in (
                (at.row, at.height, layer.source.shape[0], per_row),
                (at.col, at.width, layer.source.shape[1], per_column),
            )
        ]
        both = inside[0][:, None] & inside[1]
        return (both if bool(both.any()) else torch.ones_like(both)).to(layer.source.device)

    def _below(self, truth: Tensor, valid: Tensor) -> Tensor:
        means, share = degrade_valid(truth, valid, self.scale)
        return fill_holes(means, share > 0.5)

    def _first_stage_possible(self) -> bool:
        """Whether it is wanted, or undecided and there are pixels enough to learn from and to judge by.

        Raises OptionError when it is wanted and there is nothing to learn from.
        """
        if self.params.first_stage is False:
            return False
        height, width = self.layers[0].source.shape
        below = min(height // self.scale.y, width // self.scale.x)
        learnable = below >= 1 and any(bool((layer.asked & ~layer.held_out).any()) for layer in self.layers)
        if self.params.first_stage and not learnable:
            raise OptionError(
                f"first_stage=True finds nothing to learn from one level down: the source's {height} x {width} pixels "
                f"are too few at scale {self.scale}, or holes; leave first_stage to be decided from the data"
            )
        judged = any(bool((layer.asked & layer.held_out).any()) for layer in self.layers)
        return bool(self.params.first_stage) or (below >= SMALLEST_FIRST_STAGE_PX and learnable and judged)

    @torch.inference_mode()
    def _held_out_error_ratio(self) -> float | None:
        """Return the RMSE one level down on blocks the first stage has not seen, over the consistent bicubic's.

        None where no pixel is held out.
        """
        judged_px = 0
        squares = torch.zeros(2, dtype=torch.float64)
        for layer in self.layers:
            height, width = (
                side // s * s for side, s in zip(layer.source.shape, (self.scale.y, self.scale.x), strict=True)
            )
            truth, valid = layer.source[:height, :width], layer.asked[:height, :width]
            judged = valid & layer.held_out[:height, :width]
            judged_px += int(judged.sum())
            means, _ = degrade_valid(truth, valid, self.scale)
            known = degrade((~valid).float(), self.scale) == 0  # a mean of ones need not be 1 on a GPU
            source = fill_holes(means, known)
            guide = layer.guide_below[None, :, :height, :width].contiguous(memory_format=torch.channels_last)
            ours, smooth = (
                (make_consistent(prediction, source, known, self.scale) - truth)[judged].square().sum()
                for prediction in (self.network(guide, source[None, None])[0, 0], bicubic(source, self.scale))
            )
            squares += torch.stack([ours, smooth]).cpu()
        return float((squares[0] / squares[1].clamp_min(1e-12)).sqrt()) if judged_px else None
