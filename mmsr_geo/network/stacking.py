"""Stacking: the weights of an ensemble of predictions with the least squared error; knows sums of products alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class StackingWeights:
    """Weights of a model's two parts: a weighted average of their predictions."""

    network: float = 1.0
    """Weight of the network's prediction."""
    members: float = 0.0
    """Weight of the members' weighted average."""

    def __post_init__(self) -> None:
        """Refuse weights below 0, or that do not add up to 1 (ValueError)."""
        if min(self.network, self.members) < 0 or not math.isclose(self.network + self.members, 1, abs_tol=1e-6):
            msg = f"weights must be 0 or more and add up to 1, not {self.network} and {self.members}"
            raise ValueError(msg)


def best_weights(errors: NDArray[np.float64]) -> tuple[float, ...]:
    """Return the weights of the weighted average with the least squared error, none negative and 1 in sum.

    This is stacking (Wolpert 1992) on the simplex. With so few predictions every subset is tried. Where all errors are
    0, the first prediction has all the weight.

    Args:
        errors: (n, n): sums over pixels of the products of two predictions' errors. A weighted average's sum of squared
            errors is weights @ errors @ weights.
    """
    count = len(errors)
    errors = errors / (np.trace(errors) or 1.0)
    best, least = np.eye(count)[0], float(errors[0, 0])
    for size in range(1, count + 1):
        for chosen in combinations(range(count), size):
            weights = _stationary(errors, chosen)
            if weights is not None and (square := float(weights @ errors @ weights)) < least:
                best, least = weights, square
    return tuple(map(float, best))


def _stationary(errors: NDArray[np.float64], chosen: Sequence[int]) -> NDArray[np.float64] | None:
    """Return the best weights of the chosen predictions; None if one would be negative, or several are equally good."""
    count = len(chosen)
    # The gradient is the same along each weight, and the weights' sum is 1 (Lagrange).
    conditions = np.ones((count + 1, count + 1))
    conditions[:count, :count], conditions[count, count] = errors[np.ix_(chosen, chosen)], 0
    try:
        raw = np.linalg.solve(conditions, [0] * count + [1])[:count]
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(raw).all() or raw.min() < 0:
        return None
    weights = np.zeros(len(errors))
    weights[list(chosen)] = raw / raw.sum()
    return weights
