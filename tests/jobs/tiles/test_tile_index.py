"""What is kept of tiles in few bytes: against a dict and a list of the same."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsr_geo.engine.flags import Flag
from mmsr_geo.jobs.tiles.tile_index import TileIndex, TileQueue
from mmsr_geo.jobs.tiles.tile_store import TileRecord

COUNT = 12
hashes = st.text("0123456789abcdef", min_size=32, max_size=32)
counts = st.integers(0, 2**31)
tiles = st.builds(
    TileRecord,
    st.just("prediction"),
    st.just(2),
    st.integers(0, COUNT - 1),
    hashes,
    hashes,
    size=st.integers(0, 2**40),
    valid=counts,
    clipped=counts,
    uncertainty_digest=st.just("") | hashes,
    uncertainty_clipped=counts,
    flags=st.none()
    | st.dictionaries(st.sampled_from([str(flag.name) for flag in Flag]), st.integers(1, 2**31), min_size=1),
    regions=st.just(()) | st.just(((0.0, 1.0, 2.0, 3.0, 4.0, 5.5, 6.5), (1.0,) * 7)),
    seconds=st.floats(0, 1e6),
    at=st.floats(0, 1e10),
)


@given(st.lists(tiles | st.integers(0, COUNT - 1), max_size=40))
def test_a_ledger_is_a_dict_of_what_was_made(steps: list[TileRecord | int]) -> None:
    ledger, plain = TileIndex("prediction", 2, COUNT), dict[int, TileRecord]()
    for step in steps:
        if isinstance(step, TileRecord):
            ledger[step.index] = plain[step.index] = step
        elif step in plain:
            del ledger[step], plain[step]
        else:
            with pytest.raises(KeyError):
                del ledger[step]
    assert dict(ledger) == plain
    assert (len(ledger), list(ledger)) == (len(plain), sorted(plain))
    assert [index in ledger for index in range(-1, COUNT + 1)] == [index in plain for index in range(-1, COUNT + 1)]
    assert ledger.total("valid") == sum(made.valid for made in plain.values())
    assert ledger.total("uncertainty_clipped") == sum(made.uncertainty_clipped for made in plain.values())
    assert ledger.total("seconds") == pytest.approx(sum(made.seconds for made in plain.values()))
    for flag, count in ledger.flag_counts.items():
        assert count == sum((made.flags or {}).get(str(flag.name), 0) for made in plain.values())


@given(
    st.sets(st.integers(0, COUNT - 1)),
    st.lists(st.tuples(st.sampled_from(["take", "add", "leave"]), st.integers(0, COUNT - 1))),
)
def test_what_waits_is_a_set_whose_least_is_taken_first(done: set[int], steps: list[tuple[str, int]]) -> None:
    ledger = TileIndex("target", 1, COUNT)
    for index in done:
        ledger[index] = TileRecord("target", 1, index, "a" * 32, "b" * 32, 1)
    waiting, plain = TileQueue(COUNT, ledger), set(range(COUNT)) - done
    for step, index in steps:
        if step == "add":
            waiting.add(index)
            plain.add(index)
        elif step == "leave":
            waiting.leave(index)
            plain.discard(index)
        elif plain:
            assert waiting.take() == min(plain)
            plain.remove(min(plain))
        assert (len(waiting), bool(waiting), list(waiting)) == (len(plain), bool(plain), sorted(plain))
    waiting.clear()
    assert not waiting


def test_a_tile_takes_few_bytes() -> None:
    count = 20_000
    tile = TileRecord("target", 1, 0, "a" * 32, "b" * 32, 10**6, 10**6, flags={"GUIDE_GAP": 5}, seconds=1.5, at=1.7e9)
    tracemalloc.start()
    ledger = TileIndex("target", 1, count)
    waiting = TileQueue(count, ledger)
    for _ in range(count):
        index = waiting.take()
        ledger[index] = replace(tile, index=index)
    took, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(ledger) == count
    assert took / count < 200
