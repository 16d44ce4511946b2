"""What a GPU must be told so that it computes as a CPU does: in float32, the same again; knows torch's flags only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

_lock = Lock()
_inside = 0
_before = (True, False)


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
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
