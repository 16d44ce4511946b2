"""Progress with a label, and progress that cancels."""

from __future__ import annotations

from threading import Event

import pytest

from mmsr_geo.callbacks import cancellable, labelled, no_progress


def test_a_label_stands_before_each_stage_and_an_empty_one_changes_nothing() -> None:
    reports: list[tuple[str, int, int]] = []
    labelled(lambda *report: reports.append(report), "band 2 of 3: ")("fit", 1, 9)
    assert reports == [("band 2 of 3: fit", 1, 9)]
    assert labelled(no_progress, "") is no_progress


def test_work_is_cancelled_at_the_first_report_after_the_event() -> None:
    reports: list[tuple[str, int, int]] = []
    stopped = Event()
    progress = cancellable(stopped, lambda *report: reports.append(report))
    progress("fit", 0, 2)
    stopped.set()
    with pytest.raises(InterruptedError):
        progress("fit", 1, 2)
    assert reports == [("fit", 0, 2)]
