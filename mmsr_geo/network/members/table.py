"""The members of an ensemble: what each predicts of a window, and what it keeps of the whole raster; tensors only.

Of every member's target the source is seen, exactly where that is block means, so that it is of any weighted average of
members too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from mmsr_geo.network.degradation import bicubic, degrade, nearest
from mmsr_geo.network.guide_check import reduction_step
from mmsr_geo.network.members.layers import WAVES, Features, Layers
from mmsr_geo.network.members.local_regression import CoarsePart, LocalRegression, Pooled
from mmsr_geo.network.members.ridge_regression import (
    TRUE_SCALE_ROWS,
    Regression,
    RegressionRows,
    fit_regression,
    n_predictors,
    pixel_predictors_by_block,
)
from mmsr_geo.network.members.window import Spread, WindowInputs
from mmsr_geo.network.variational.energy import Energy, steps_within
from mmsr_geo.network.variational.guide_weights import Contrast, first_weights, guided_energy
from mmsr_geo.network.variational.reweighted import Schedule, difference_sizes, edge_preserving, piecewise_constant
from mmsr_geo.network.variational.solve import solve

MOST_RIDGE_PX = 2**16
"""About the largest number of source pixels that the ridge regression is solved on; of more, blocks are left out."""
RIDGE_AREA = 16
"""Target pixels per source pixel above which a source pixel counts more than once in MOST_RIDGE_PX."""


@dataclass(frozen=True, slots=True, eq=False)
class MemberState:
    """What a member keeps of the whole raster, so that tiles agree."""

    pooled: tuple[Pooled, ...] = ()
    """Regressions of the raster."""
    sizes: tuple[float, ...] = ()
    """Sizes of differences: see `difference_sizes`."""
    ridge: Regression | None = None
    """Regression on random features."""
    softness: float | None = None
    """How softly it spreads what its regression leaves of a source with noise; None: as the interpolation does."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How much a member keeps of a raster: see `MemberState`."""

    pooled: tuple[tuple[int, int], ...] = ()
    """Numbers of coefficients, and of features whose covariance is kept, of each regression."""
    sizes: int = 0
    """Number of sizes."""
    ridge: bool = False
    """True for a regression on random features."""


class Member(Protocol):
    """A way to predict a target from a window."""

    @property
    def name(self) -> str:
        """Its name, as files and reports show it."""

    @property
    def needs(self) -> frozenset[Features]:
        """Features that it predicts from."""

    @property
    def guided(self) -> bool:
        """True if it uses the guide."""

    def kept(self, bands: int) -> Kept:
        """Return how much it keeps of a raster with a guide of this number of bands."""

    def fit(self, windows: Sequence[WindowInputs]) -> MemberState:
        """Return what it keeps of a raster, from windows of it."""

    def predict(self, window: WindowInputs, state: MemberState) -> Tensor:
        """Return the target of a window, (H, W) float64 in standard deviations of the source."""


class _KeepsNothing:
    """Base of members that keep nothing of a raster, and use none of its features."""

    __slots__ = ()
    needs: ClassVar[frozenset[Features]] = frozenset()

    def kept(self, bands: int) -> Kept:  # noqa: ARG002  (others' depends on it)
        """Return how much it keeps of a raster: nothing."""
        return Kept()

    def fit(self, windows: Sequence[WindowInputs]) -> MemberState:  # noqa: ARG002  (others' depends on them)
        """Keep nothing."""
        return MemberState()


def _softness(windows: Sequence[WindowInputs], energies: Sequence[Energy]) -> float | None:
    """Return how softly a member of these energies keeps to the source; None where that has no noise."""
    layers = [window.layers for window in windows]
    return layers[0].softness_of([part.source for part in layers], energies) if layers[0].noise else None


@dataclass(frozen=True, slots=True)
class SmoothSurface(_KeepsNothing):
    """The target of least energy, of curvatures and a little of slopes, under exact block means.

    Without a guide it is minimum curvature under tension, near to Tobler's smooth pycnophylactic interpolation (1979).
    With one, slopes and curvatures weigh less where the guide has edges.
    """

    name: str
    how: Spread

    @property
    def guided(self) -> bool:
        """True if the weights are the guide's."""
        return self.how == "guided"

    def fit(self, windows: Sequence[WindowInputs]) -> MemberState:
        """Keep how softly a source with noise is kept to."""
        if self.how == "curvature":
            return MemberState()
        return MemberState(softness=_softness(windows, [window.energy(self.how) for window in windows]))

    def predict(self, window: WindowInputs, state: MemberState) -> Tensor:
        """Return the target of a window."""
        if self.how == "curvature":
            return window.interpolation
        return window.spread(window.layers.source, self.how, state.softness)


@dataclass(frozen=True, slots=True)
class EdgePreserving:
    """A guided energy that forgives large slopes and curvatures of the target itself."""

    name: str = "edge-preserving"
    slope: float = 0.03
    """Weight of slopes."""
    floor: float = 0.05
    """Weight across the guide's strongest edges."""
    knee: float = 1.0
    """See `edge_preserving`."""
    needs: ClassVar[frozenset[Features]] = frozenset()
    guided: ClassVar[bool] = True

    def kept(self, bands: int) -> Kept:  # noqa: ARG002  (of any number)
        """Return how much it keeps of a raster: the sizes of first and second differences."""
        return Kept(sizes=2)

    def fit(self, windows: Sequence[WindowInputs]) -> MemberState:
        """Keep the sizes of the differences of the first solution."""
        soft = None
        if windows[0].layers.noise:
            soft = _softness(windows, [self._energy(window) for window in windows])
        for window in windows:
            window.firsts[self.name] = self._first(window, soft)
        return MemberState(sizes=difference_sizes([window.firsts[self.name] for window in windows]), softness=soft)

    def predict(self, window: WindowInputs, state: MemberState) -> Tensor:
        """Return the target of a window."""
        slopes, curvatures = state.sizes
        kept = window.firsts.pop(self.name) if self.name in window.firsts else self._first(window, state.softness)
        observation, source = window.softer(state.softness), window.layers.source
        return edge_preserving(kept[0], observation, source, (slopes, curvatures), first=kept[1], knee=self.knee)

    def _energy(self, window: WindowInputs) -> Energy:
        """Return the energy before its weights follow the target."""
        contrast = Contrast(self.floor)
        return guided_energy(window.channels(), window.layers.valid, slope=self.slope, contrast=contrast)

    def _first(self, window: WindowInputs, soft: float | None) -> tuple[Energy, Tensor]:
        """Return the energy before its weights follow the target, and its solution."""
        energy = self._energy(window)
        return energy, solve(energy, window.softer(soft), window.layers.source)


@dataclass(frozen=True, slots=True)
class PiecewiseConstant(_KeepsNothing):
    """Flat parts with sharp edges where the guide has some: the mean of three reweighted solutions.

    It keeps nothing of a raster: its units are the source's standard deviations.
    """

    name: str = "piecewise constant"
    schedule: Schedule = field(default_factory=Schedule)
    guided: ClassVar[bool] = True

    def predict(self, window: WindowInputs, state: MemberState) -> Tensor:  # noqa: ARG002  (nothing was kept)
        """Return the target of a window."""
        near, far = steps_within(1, 2, 5, 10), steps_within(1, 2, 5, 10, 13)
        guides = (window.channels(), near), (window.channels(blur_px=0.7, strong=True), near), (window.channels(), far)
        layers, solutions = window.layers, []
        means, plain = window.block_means, window.observation.plain
        for channels, steps in guides:
            weights = first_weights(channels, layers.valid, steps, Contrast(0.05))
            solutions.append(piecewise_constant(means, plain, steps, weights, self.schedule).double())
        target = torch.stack(solutions).mean(dim=0)
        return target if window.observation.exact else window.consistent(target, "guided")


@dataclass(frozen=True, slots=True)
class FeatureRegression:
    """A regression on features of the aligned guide; what it leaves of the source is spread over the target."""

    name: str
    features: tuple[Features, ...]
    regression: LocalRegression
    spread: Spread
    then: FeatureRegression | None = None
    """A second regression, of what the first one leaves."""
    guided: ClassVar[bool] = True

    @property
    def needs(self) -> frozenset[Features]:
        """Features of both regressions."""
        return frozenset(self.features) | (frozenset() if self.then is None else self.then.needs)

    def kept(self, bands: int) -> Kept:
        """Return how much it keeps of a raster: one regression, or two."""
        width = sum(WAVES.get(name, bands) for name in self.features)
        own = width, width if self.regression.local_px else 0
        return Kept((own, *(() if self.then is None else self.then.kept(bands).pooled)))

    def fit(self, windows: Sequence[WindowInputs]) -> MemberState:
        """Keep the regressions of the raster."""
        pooled: tuple[Pooled, ...] = (self.regression.pool(window.part(self.features) for window in windows),)
        if self.then is not None:
            left = (self._left(window, self._explained(window, pooled[0])) for window in windows)
            pooled = (*pooled, self.then.regression.pool(left))
        if not windows[0].layers.noise:
            return MemberState(pooled)
        missing = [window.missing(self._prediction(window, pooled)) for window in windows]
        energies = [window.energy(self.spread) for window in windows]
        return MemberState(pooled, softness=windows[0].layers.softness_of(missing, energies))

    def predict(self, window: WindowInputs, state: MemberState) -> Tensor:
        """Return the target of a window."""
        return window.consistent(self._prediction(window, state.pooled), self.spread, state.softness)

    def _prediction(self, window: WindowInputs, pooled: tuple[Pooled, ...]) -> Tensor:
        """Return what the regressions explain of the target, (H, W)."""
        layers = window.layers
        prediction = self._explained(window, pooled[0])
        if self.then is None:
            return prediction
        left, features = self._left(window, prediction), window.features(self.then.features)
        return prediction + self.then.regression.predict(left, pooled[1], features, layers.valid, layers.scale)

    def _explained(self, window: WindowInputs, pooled: Pooled) -> Tensor:
        """Return what the first regression explains of the target, (H, W)."""
        layers = window.layers
        if self.regression.local_px:
            part, features = window.part(self.features), window.features(self.features)
            return self.regression.predict(part, pooled, features, layers.valid, layers.scale)
        # One set of coefficients for the raster: the sum of the features is one feature, with the coefficient 1.
        field = window.weighted(self.features, pooled.coefficients)
        part = CoarsePart(layers.source, layers.known, layers.seen(field[None]))
        one = field.new_ones(1)
        return self.regression.predict(part, Pooled(one.new_empty(0, 0), one), [field], layers.valid, layers.scale)

    def _left(self, window: WindowInputs, prediction: Tensor) -> CoarsePart:
        """Return what a prediction leaves of the source, with the features of the second regression."""
        part = window.part(self.then.features if self.then is not None else self.features)
        return CoarsePart(window.layers.source - window.observation.seen(prediction), part.known, part.means)


@dataclass(frozen=True, slots=True)
class RidgeRegression:
    """The detail that the bicubic interpolation misses, regressed pixel by pixel: see `ridge_regression`."""

    name: str = "ridge regression"
    needs: ClassVar[frozenset[Features]] = frozenset({"linear"})
    guided: ClassVar[bool] = True

    def kept(self, bands: int) -> Kept:  # noqa: ARG002  (of any number)
        """Return how much it keeps of a raster: the regression."""
        return Kept(ridge=True)

    def fit(self, windows: Sequence[WindowInputs]) -> MemberState:
        """Keep the regression of the raster; its random features are the same in every fit."""
        layers = [window.layers for window in windows]
        source_px = sum(part.source.numel() * max(1, part.scale.area / RIDGE_AREA) for part in layers)
        thinning = math.ceil(source_px / MOST_RIDGE_PX)
        every_part = min(thinning, len(layers))
        layers, every = layers[::every_part], math.ceil(thinning / every_part)
        generator = torch.Generator().manual_seed(0)
        reduced = [rows for part in layers for rows in _reduced_rows(part, every)]
        if not reduced:  # smaller than a pixel of the reduced source
            bands = len(layers[0].features["linear"])
            return MemberState(ridge=Regression.blank(n_predictors(bands), generator).to(layers[0].source.device))
        true_scale = (rows for part in layers for rows in _true_scale_rows(part, every))
        return MemberState(ridge=fit_regression(reduced, true_scale, generator))

    def predict(self, window: WindowInputs, state: MemberState) -> Tensor:
        """Return the target of a window."""
        layers = window.layers
        if state.ridge is None:
            raise AssertionError  # it was fitted
        detail = state.ridge.detail(layers.features["linear"], layers.valid, layers.source, layers.scale)
        return window.consistent(bicubic(layers.source, layers.scale) + detail, "curvature")


def _reduced_rows(layers: Layers, every: int) -> Iterator[RegressionRows]:
    """Yield the rows at reduced resolution, where the source is the reference of each pixel; one block in `every`."""
    step = reduction_step(layers.source.shape, layers.scale)
    if layers.source.shape[0] < step.y or layers.source.shape[1] < step.x:
        return
    reduced = layers.reduced(step)
    whole = slice(reduced.valid.shape[0]), slice(reduced.valid.shape[1])
    detail = layers.source[whole] - bicubic(reduced.source, step)
    mask = layers.known[whole] & nearest(reduced.source_valid, step)
    guide = reduced.features["linear"]
    for part, predictors in pixel_predictors_by_block(guide, reduced.valid, reduced.source, step, every):
        fine = part.refined(step).slices
        yield RegressionRows(predictors, detail[fine], mask[fine], None, 1.0)


def _true_scale_rows(layers: Layers, every: int) -> Iterator[RegressionRows]:
    """Yield the rows at the true scale, where the block means of the detail are the reference; one block in `every`."""
    detail = layers.source - degrade(bicubic(layers.source, layers.scale), layers.scale)
    mask = layers.known & (degrade((~layers.valid).double(), layers.scale) == 0)
    guide = layers.features["linear"]
    for part, predictors in pixel_predictors_by_block(guide, layers.valid, layers.source, layers.scale, every):
        at = part.slices
        yield RegressionRows(predictors, detail[at], mask[at], layers.scale, TRUE_SCALE_ROWS)


_SQUARES = FeatureRegression(
    "local regression with squares",
    ("linear", "squares"),
    LocalRegression(mean_px=0.7, ridge=0.05, local_px=2.0, shrink=0.3),
    "guided",
)


def _on_waves(name: str, waves: Features, ridge: float) -> FeatureRegression:
    """Return the regression on bands and waves, and of what it leaves on squares."""
    return FeatureRegression(name, ("linear", waves), LocalRegression(1.0, ridge), "guided", _SQUARES)


MEMBERS: Mapping[str, Member] = {
    member.name: member
    for member in (
        SmoothSurface("minimum curvature", "curvature"),
        SmoothSurface("guided curvature", "guided"),
        EdgePreserving(),
        EdgePreserving("edge-preserving, guided more", slope=0.3, floor=0.01, knee=2.0),
        PiecewiseConstant(),
        FeatureRegression("pooled regression", ("linear",), LocalRegression(1.0, 0.02), "curvature"),
        FeatureRegression("local regression", ("linear",), LocalRegression(1.0, 0.05, 2.0, 0.3), "guided"),
        _SQUARES,
        _on_waves("regression on waves", "waves", 0.1),
        _on_waves("regression on many waves", "many waves", 0.02),
        _on_waves("regression on context", "context waves", 0.03),
        RidgeRegression(),
    )
}
"""Members by name; the first is the interpolation that a target falls back to."""
INTERPOLATION = next(iter(MEMBERS))
"""Name of the member that uses the source alone."""
_SLOW = ("regression on many waves", "regression on context", "ridge regression")
QUICK_MEMBERS: tuple[str, ...] = tuple(name for name in MEMBERS if name not in _SLOW)
"""Names of the members of a draft: those that take a second or less."""
ALL_MEMBERS = tuple(name for name in MEMBERS if name != "regression on waves")
"""Names of the members of the other qualities."""
