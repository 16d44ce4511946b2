"""Devices and torch's settings for them: deterministic float32 on a GPU, a fixed number of threads on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

from mmsr_geo.errors import OptionError
from mmsr_geo.spelling import option

_lock = Lock()
_inside = 0
_before = (True, False)


@contextmanager
def deterministic_float32(device: torch.device) -> Iterator[None]:
    """Compute convolutions on a GPU in float32, not TF32 (3 digits), by algorithms whose sums have one order.

    The flags belong to the process: the first caller that enters sets them, the last that leaves restores them.
    """
    global _inside, _before  # noqa: PLW0603  (the process's, as the flags are)
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    with _lock:
        if _inside == 0:
            _before = cudnn.allow_tf32, cudnn.deterministic
            cudnn.allow_tf32, cudnn.deterministic = False, True
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                cudnn.allow_tf32, cudnn.deterministic = _before


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Use this number of torch threads in the calling Python thread.

    The number belongs to a Python thread once it has been read there, so the numbers of other threads do not matter.
    A dask worker sets 1 for its own; without this a fit would depend on where it runs.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def resolve_device(device: str) -> torch.device:
    """Return the device of a name.

    Args:
        device: `auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:N`.

    Raises:
        OptionError: The name is unknown, or this machine has no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError:
        raise OptionError(f"{option('device')} is {device!r}: choose auto, cpu, cuda or cuda:N") from None
    if resolved.type == "cuda" and (
        not torch.cuda.is_available() or (resolved.index or 0) >= torch.cuda.device_count()
    ):
        raise OptionError(f"this machine has no device {device!r}: set {option('device')} to auto or cpu")
    if resolved.type not in {"cpu", "cuda"}:
        raise OptionError(
            f"the device {device!r} is not supported: set {option('device')} to auto, cpu, cuda or cuda:N"
        )
    return resolved
