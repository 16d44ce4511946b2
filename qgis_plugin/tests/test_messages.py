"""The command's messages in the words of the dialog; `pytest --noconftest` runs these tests without QGIS."""

from __future__ import annotations

import pytest
from mmsr_qgis.messages import Event, Messages

LABELS = {"tile_size": "Tile size", "min_coverage": "Minimum guide coverage", "like": "Output grid"}


def error(message: str, template: str | None = None) -> Event:
    return {"event": "error", "kind": "OptionError", "message": message, "template": template}


def line(text: str) -> Event:
    return {"event": "line", "text": text}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("pass a smaller ⟨tile_size⟩", "pass a smaller “Tile size”"),
        ("pass ⟨tile_size=512⟩", "pass “Tile size: 512”"),
        ("⟨min_coverage=0.61⟩ or ⟨tile_size⟩", "“Minimum guide coverage: 0.61” or “Tile size”"),
        ("⟨like=25x20⟩", "“Output grid: 25x20”"),
        ('⟨like="guide.tif"⟩', "“Output grid: guide.tif”"),
        ("⟨like=[25, 20]⟩", "“Output grid: 25,20”"),
        ("⟨overwrite=true⟩", "“overwrite”"),
        ("⟨overwrite=false⟩", "“overwrite: no”"),
        ("⟨progress_kind⟩ is not shown", "“progress kind” is not shown"),
        ("⟨progress_kind=json⟩", "“progress kind: json”"),
        ("⟨tile_size=⟩", "“Tile size: ”"),
        ("⟨tile_size=null⟩", "“Tile size”"),
        ("5 ⟨ 6 and 7 ⟩ 6", "5 ⟨ 6 and 7 ⟩ 6"),
        ("no option", "no option"),
    ],
)
def test_each_option_has_its_label_in_the_dialog(template: str, expected: str) -> None:
    assert Messages(LABELS).fill(template) == expected


def test_a_template_is_used_before_the_message() -> None:
    event = error("--tile-size 3 is too small", "⟨tile_size=3⟩ is too small")
    assert Messages(LABELS).text(event) == "“Tile size: 3” is too small"


@pytest.mark.parametrize("template", [None, ""])
def test_without_a_template_the_message_is_used(template: str | None) -> None:
    assert Messages(LABELS).text(error("the disk is full", template)) == "the disk is full"
    assert Messages(LABELS).text({"event": "warning", "message": "the disk is full"}) == "the disk is full"


def test_a_message_is_one_line() -> None:
    assert Messages().text(error("one\n  two", "one\n  ⟨like⟩\n")) == "one “like”"


def test_quotation_marks_are_those_of_the_language() -> None:
    german = {"“{}”": "„{}“", "“{}: {}”": "„{}: {}“"}
    messages = Messages({"tile_size": "Kachelgröße"}, lambda text: german.get(text, text))
    assert messages.fill("⟨tile_size⟩, ⟨tile_size=512⟩") == "„Kachelgröße“, „Kachelgröße: 512“"


def test_a_failure_is_the_last_error() -> None:
    events = [error("first"), line("Error: second"), error("second", "⟨tile_size⟩ is second"), line("Error: second")]
    assert Messages(LABELS).failure(events, 1) == "“Tile size” is second"


@pytest.mark.parametrize(
    ("events", "status", "expected"),
    [
        (
            [line("torch says something")],
            -9,
            "mmsr-geo was ended by signal 9, possibly because memory ran out: set a smaller “Tile size”",
        ),
        ([line("Error: stopped")], -15, "stopped"),
        ([line("warning"), line("Error: 'four' is not a scale")], 2, "'four' is not a scale"),
        ([line("ImportError: no torch")], 1, "mmsr-geo ended with status 1: ImportError: no torch"),
        ([], 3, "mmsr-geo ended with status 3: it printed nothing"),
    ],
)
def test_a_failure_without_an_error_event_is_one_line(events: list[Event], status: int, expected: str) -> None:
    assert Messages(LABELS).failure(events, status) == expected
