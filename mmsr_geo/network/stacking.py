"""What a prediction is mixed of, and the shares whose mixture errs least; knows sums of squares alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class StackingWeights:
    """The shares of what a prediction is mixed of, 1 in sum."""

    bicubic: float = 0.0
    """Of the bicubic interpolation."""
    network: float = 1.0
    """Of the network's word."""
    regression: float = 0.0
    """Of the regression's."""
    shift: tuple[int, int] = (0, 0)
    """Rows and columns of the target grid by which the guide is moved for the regression."""

    def __post_init__(self) -> None:
        """Refuse shares that are none (ValueError)."""
        if min(self.values) < 0 or not math.isclose(sum(self.values), 1, abs_tol=1e-6):
            msg = f"shares are 0 or more and 1 in sum, not {self.values}"
            raise ValueError(msg)

    @property
    def values(self) -> tuple[float, float, float]:
        """Of the interpolation, the network and the regression."""
        return self.bicubic, self.network, self.regression

    @property
    def sentence(self) -> str:
        """Say it to a person."""
        named = (("the network", self.network), ("a regression", self.regression), ("the interpolation", self.bicubic))
        told = ", ".join(f"{share:.0%} {name}" for name, share in named if share)
        moved = f", the guide moved by {self.shift[0]} rows and {self.shift[1]} columns for the regression"
        return told + (moved if self.regression and self.shift != (0, 0) else "")


def best_weights(errors: NDArray[np.float64]) -> tuple[float, ...]:
    """Return the shares, none negative and 1 in sum, of which the mixture's squared error is the least.

    errors: (n, n), the sums over pixels of products of any two predictions' errors; a mixture's sum of squares is
    shares @ errors @ shares. This is stacking (Wolpert 1992) on the simplex; of so few predictions each set of those
    that take part is tried. A sum of 0 throughout gives all to the first.
    """
    count = len(errors)
    errors = errors / (np.trace(errors) or 1.0)
    best, least = np.eye(count)[0], float(errors[0, 0])
    for size in range(1, count + 1):
        for chosen in combinations(range(count), size):
            shares = _stationary(errors, chosen)
            if shares is not None and (square := float(shares @ errors @ shares)) < least:
                best, least = shares, square
    return tuple(map(float, best))


def _stationary(errors: NDArray[np.float64], chosen: Sequence[int]) -> NDArray[np.float64] | None:
    """Return the best shares of those chosen, 1 in sum; None where one would be negative, or many are as good."""
    count = len(chosen)
    # The part's gradient is the same along each share, and the shares' sum is 1 (Lagrange).
    conditions = np.ones((count + 1, count + 1))
    conditions[:count, :count], conditions[count, count] = errors[np.ix_(chosen, chosen)], 0
    try:
        raw = np.linalg.solve(conditions, [0] * count + [1])[:count]
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(raw).all() or raw.min() < 0:
        return None
    shares = np.zeros(len(errors))
    shares[list(chosen)] = raw / raw.sum()
    return shares
