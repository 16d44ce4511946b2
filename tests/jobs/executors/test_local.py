"""Tasks in threads of this process: what ends, and that a wait for it does not keep a signal from being seen."""

from __future__ import annotations

from concurrent.futures import wait
from threading import Event
from typing import Any

import pytest

from mmsr_geo.jobs.executors import local
from mmsr_geo.jobs.executors.base import Task
from mmsr_geo.jobs.executors.local import ThreadExecutor


class Work:
    """A task that lasts until it is asked to end."""

    def __init__(self) -> None:
        self.end = Event()

    def do(self, number: int, progress: Any) -> int:
        assert self.end.wait(300)  # it does not come to that
        progress("do", 1, 1)
        return 2 * number


def test_a_wait_looks_up_while_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python handles a signal between two waits only, where it came right before the first."""
    looks: list[int] = []
    work = Work()

    def watched(running: Any, **how: Any) -> Any:
        looks.append(len(running))
        if len(looks) == 3:
            work.end.set()
        return wait(running, **how)

    monkeypatch.setattr(local, "wait", watched)
    monkeypatch.setattr(local, "SIGNALS_S", 0.05)
    with ThreadExecutor[int](1) as executor:
        executor.submit([Task(7, "do", work, "do", (21,))])
        (ended,) = executor.ended()
        assert (ended.task.key, ended.result, ended.error) == (7, 42, None)
        assert executor.ended() == []
    assert looks[:3] == [1, 1, 1]
