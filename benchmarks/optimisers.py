"""Optimisers that search.py compares with Adam; each is called with the same parameter groups and learning rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

Optimiser = Callable[..., torch.optim.Optimizer]


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024): orthogonalised momentum for matrices; Adam for biases, the first and the last layer.

    A convolution is a matrix with one row per output channel. A step is as large as Adam's: 0.2 √max(sides) of the
    learning rate (Liu et al. 2025).
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, momentum: float = 0.95, times: float = 1.0) -> None:
        """Take Adam's groups; `times` is the matrices' learning rate divided by Adam's."""
        super().__init__(list(groups), {"lr": lr, "weight_decay": 0.0})
        self.momentum, self.times = momentum, times

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ANN401, ARG002  (torch's signature)
        """Take one step."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = parameter.grad.add(parameter, alpha=group["weight_decay"])
                state = self.state[parameter]
                if parameter.ndim == 4 and min(parameter.shape[0], parameter[0].numel()) >= 16:
                    held = state.setdefault("momentum", torch.zeros_like(gradient))
                    held.lerp_(gradient, 1 - self.momentum)
                    ahead = gradient.lerp(held, self.momentum)
                    matrix = ahead.reshape(len(ahead), -1)
                    step = _orthogonal(matrix) * (0.2 * max(matrix.shape) ** 0.5)
                    parameter.sub_(step.reshape(parameter.shape), alpha=self.times * group["lr"])
                else:
                    _adam_step(parameter, gradient, state, group["lr"])


def _adam_step(parameter: Tensor, gradient: Tensor, state: dict[str, Any], lr: float) -> None:
    count = state["count"] = state.get("count", 0) + 1
    mean = state.setdefault("mean", torch.zeros_like(gradient)).lerp_(gradient, 0.1)
    square = state.setdefault("square", torch.zeros_like(gradient)).lerp_(gradient.square(), 0.001)
    parameter.sub_(mean / (1 - 0.9**count) / ((square / (1 - 0.999**count)).sqrt() + 1e-8), alpha=lr)


def _orthogonal(matrix: Tensor, rounds: int = 5) -> Tensor:
    """Return the nearest orthogonal matrix, nearly: Newton and Schulz's iteration with Jordan's coefficients."""
    result: Tensor = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    result = result / (result.norm() + 1e-7)
    for _ in range(rounds):
        square = result @ result.T
        result = 3.4445 * result + (-4.7750 * square + 2.0315 * square @ square) @ result
    return result if matrix.shape[0] <= matrix.shape[1] else result.T


OPTIMISERS: dict[str, Optimiser] = {
    "adam": torch.optim.Adam,
    "adam-0.99": partial(torch.optim.Adam, betas=(0.9, 0.99)),
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "muon": Muon,
    "muon-x3": partial(Muon, times=3.0),
}
