"""Tiles whose predictions overlap: their windows, weights and blend; arrays only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsr_geo.geometry import Halo, Scale, Tile, Tiling, Window


@dataclass(frozen=True, slots=True)
class BlendedTiling:
    """A tiling whose tiles are predicted beyond their cores and blended there."""

    tiling: Tiling
    """The tiles' cores, and the halo that a prediction reads around the predicted window."""
    overlap: Halo
    """Source pixels by which a tile is predicted beyond its core."""
    around: Halo
    """Source pixels of blended prediction that the correction to consistency needs around a core."""
    scale: Scale

    def __len__(self) -> int:
        """Count the tiles."""
        return len(self.tiling)

    @property
    def span(self) -> Window:
        """Window of all predictions together."""
        return self.tiling.part.padded(self.overlap, self.tiling.within)

    def predicted(self, core: Window) -> Window:
        """Return the predicted window of a tile's core."""
        return core.padded(self.overlap, self.span)

    @property
    def predictions(self) -> Iterator[Tile]:
        """Tiles to predict, in their order."""
        return map(self.prediction, range(len(self)))

    @property
    def targets(self) -> Iterator[Tile]:
        """Tiles to finish, in their order."""
        return map(self.target, range(len(self)))

    def prediction(self, index: int) -> Tile:
        """Return a tile to predict: `core` is the predicted window, `read` the input that it needs."""
        core = self.predicted(self.tiling.core(index))
        return Tile(index, core, core.padded(self.tiling.halo, self.tiling.within))

    def target(self, index: int) -> Tile:
        """Return a tile to finish: `core` is written, `read` is the window of source and blend that it needs."""
        core = self.tiling.core(index)
        return Tile(index, core, core.padded(self.around, self.span))

    def contributors(self, window: Window) -> list[int]:
        """Return the indexes of the tiles whose predictions reach into a window, in their order."""
        rows, columns = self.tiling.chunks
        part = self.tiling.part
        down = _reaching(rows, part.row, self.overlap.y, window.row, window.height)
        across = _reaching(columns, part.col, self.overlap.x, window.col, window.width)
        return [row * len(columns) + column for row in down for column in across]

    def weights(self, core: Window) -> NDArray[np.float64]:
        """Return the weights of a tile's prediction, (H, W): 1 inside, falling across borders to other tiles, above 0.

        `blend` divides by the sum of all tiles' weights, which need not be 1.
        """
        predicted, part, scale = self.predicted(core), self.tiling.part, self.scale
        over = self.overlap
        down = _ramp(core.row, core.height, part.row, part.height, predicted.row, predicted.height, over.y, scale.y)
        across = _ramp(core.col, core.width, part.col, part.width, predicted.col, predicted.width, over.x, scale.x)
        return down[:, None] * across

    def blend(self, window: Window, predictions: Mapping[int, NDArray[np.float32]]) -> NDArray[np.float64]:
        """Return the blend of a window of `span`, (H, W), from the predictions of its contributors, by tile index."""
        total = np.zeros(window.refined(self.scale).shape)
        weight = np.zeros_like(total)
        for index in sorted(predictions):
            core = self.tiling.core(index)
            predicted = self.predicted(core)
            shared = predicted.intersection(window)
            in_window = shared.relative_to(window).refined(self.scale).slices
            in_tile = shared.relative_to(predicted).refined(self.scale).slices
            tile_weight = self.weights(core)[in_tile]
            total[in_window] += tile_weight * predictions[index][in_tile]
            weight[in_window] += tile_weight
        return total / weight


def _reaching(sizes: tuple[int, ...], start: int, overlap: int, at: int, length: int) -> list[int]:
    """Return the tiles along an axis whose predictions meet a window."""
    reaching = []
    for index, size in enumerate(sizes):
        if start - overlap < at + length and at < start + size + overlap:
            reaching.append(index)
        start += size
    return reaching


def _ramp(  # noqa: PLR0913  (three intervals, the overlap and a scale)
    core: int, core_length: int, part: int, part_length: int, at: int, length: int, overlap: int, factor: int
) -> NDArray[np.float64]:
    """Return the weights along an axis of a prediction: linear across a border with another tile, 1/2 at it.

    The slope follows from the overlap also if the raster's end cuts a prediction short. Otherwise it would be nearly a
    step next to a last tile of one or two pixels.
    """
    centres = (np.arange(length * factor) + 0.5) / factor + at
    weights = np.ones(length * factor)
    if overlap and core > part:
        weights = np.minimum(weights, 0.5 + (centres - core) / (2 * overlap))
    end = core + core_length
    if overlap and end < part + part_length:
        weights = np.minimum(weights, 0.5 + (end - centres) / (2 * overlap))
    return weights
