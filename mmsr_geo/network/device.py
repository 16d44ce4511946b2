"""What a GPU must be told so that it computes as a CPU does: in float32, the same again; knows torch's flags only."""

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
    """Let convolutions on a GPU be float32, not TF32 (3 digits), by algorithms whose sums have one order.

    The flags belong to the process: they are set by the first that comes in and put back by the last that leaves.
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


def resolve_device(device: str) -> torch.device:
    """Turn auto, cpu, cuda or cuda:N into a device that is there; raises OptionError when it is not."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError:
        raise OptionError(
            f"there is no device {device!r}: choose {option('device')} auto, cpu, cuda or cuda:N"
        ) from None
    if resolved.type == "cuda" and (
        not torch.cuda.is_available() or (resolved.index or 0) >= torch.cuda.device_count()
    ):
        raise OptionError(f"there is no {device} on this machine: choose {option('device')} auto or cpu")
    if resolved.type not in {"cpu", "cuda"}:
        raise OptionError(
            f"the device {device!r} is not supported: choose {option('device')} auto, cpu, cuda or cuda:N"
        )
    return resolved
