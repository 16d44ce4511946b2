"""Tile sizes from the memory there is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmsr_geo import machine
from mmsr_geo.engine import tiling
from mmsr_geo.engine.tiling import MEMORY_SHARE, TILE_SIDES_PX, tile_bytes, tiling_for
from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Halo, Scale, Window
from mmsr_geo.machine import available_memory, cores

FOUR, HALO = Scale(4, 4), Halo(14, 14)
WHOLE = Window(0, 0, 5000, 4000)


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine with as many bytes free as the test says."""
    there = SimpleNamespace(bytes=0)
    monkeypatch.setattr(tiling, "available_memory", lambda: there.bytes)
    return there


def bytes_for(side: int, scale: Scale, halo: Halo) -> int:
    """Return what one tile of `side` target pixels takes with its halo."""
    return tile_bytes((side + 2 * halo.y * scale.y) * (side + 2 * halo.x * scale.x))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 40 * 2**10),
    st.builds(Scale, st.integers(2, 16), st.integers(1, 16)),
    st.builds(Halo, st.integers(0, 25), st.integers(0, 25)),
    st.integers(1, 8),
)
def test_the_largest_size_is_taken_that_fits_a_quarter_of_the_memory_so_many_times(
    free: SimpleNamespace, megabytes: int, scale: Scale, halo: Halo, at_once: int
) -> None:
    free.bytes = there = megabytes * 2**20
    fitting = [side for side in TILE_SIDES_PX if bytes_for(side, scale, halo) * MEMORY_SHARE * at_once <= there]
    side = max(fitting, default=min(TILE_SIDES_PX))
    tiling = tiling_for(WHOLE, WHOLE, scale, halo, at_once=at_once)
    assert tiling.tile_yx == (max(1, side // scale.y), max(1, side // scale.x))
    assert (tiling.part, tiling.within, tiling.halo) == (WHOLE, WHOLE, halo)


def test_more_memory_gives_no_smaller_tiles_and_little_more_gives_the_same(free: SimpleNamespace) -> None:
    sizes = []
    for gigabytes in range(1, 65):
        free.bytes = gigabytes * 2**30
        sizes.append(tiling_for(WHOLE, WHOLE, FOUR, HALO).tile_yx[0] * 4)
    assert sizes == sorted(sizes)
    assert set(sizes) <= set(TILE_SIDES_PX)
    assert sizes[-1] == max(TILE_SIDES_PX)
    free.bytes = 0
    assert tiling_for(WHOLE, WHOLE, FOUR, HALO).tile_yx == (32, 32)


def test_tiles_at_once_share_the_memory(free: SimpleNamespace) -> None:
    for at_once, side in ((1, 768), (2, 384), (4, 256), (8, 192)):
        free.bytes = bytes_for(side, FOUR, HALO) * MEMORY_SHARE * at_once
        assert tiling_for(WHOLE, WHOLE, FOUR, HALO, at_once=at_once).tile_yx == (side // 4, side // 4)


@pytest.mark.parametrize(
    ("tile_size", "scale", "tile_yx"),
    [
        (256, FOUR, (64, 64)),
        (255, FOUR, (63, 63)),
        (100, Scale(3, 7), (33, 14)),
        (3, FOUR, (1, 1)),
        (1, Scale(16, 2), (1, 1)),
        (10, Scale(1, 16), (10, 1)),
        (10**6, FOUR, (250_000, 250_000)),
    ],
)
def test_a_size_given_is_rounded_down_to_whole_source_pixels_and_never_to_none(
    free: SimpleNamespace, tile_size: int, scale: Scale, tile_yx: tuple[int, int]
) -> None:
    for there in (0, 2**40):
        free.bytes = there
        assert tiling_for(WHOLE, WHOLE, scale, HALO, tile_size=tile_size).tile_yx == tile_yx


@pytest.mark.parametrize("wrong", [0, -1, -256])
def test_a_size_below_one_pixel_is_refused_with_its_value(wrong: int) -> None:
    with pytest.raises(OptionError, match=f"tile_size=.? must be at least 1 target pixel, not {wrong}"):
        tiling_for(WHOLE, WHOLE, FOUR, HALO, tile_size=wrong)


def test_only_the_part_is_tiled_and_halos_reach_into_the_whole() -> None:
    part = Window(100, 200, 30, 50)
    tiles = list(tiling_for(part, WHOLE, FOUR, HALO, tile_size=80))
    assert sum(tile.core.height * tile.core.width for tile in tiles) == 30 * 50
    assert tiles[0].read == Window(86, 186, 48, 48)


class Group:
    """The files of a control group, in place of /sys/fs/cgroup."""

    def __init__(self, **texts: str) -> None:
        self.texts = texts

    def __call__(self, _path: str) -> Group:
        return self

    def __truediv__(self, name: str) -> SimpleNamespace:
        def read_text() -> str:
            try:
                return self.texts[name.replace(".", "_")]
            except KeyError:
                raise FileNotFoundError(name) from None

        return SimpleNamespace(read_text=read_text)


@pytest.mark.parametrize(
    ("group", "there"),
    [
        (Group(), 1000),
        (Group(memory_max="max\n", memory_current="5\n"), 1000),
        (Group(memory_max="700\n", memory_current="300\n"), 400),
        (Group(memory_max="5000\n", memory_current="300\n"), 1000),
        (Group(memory_max="700\n", memory_current="800\n"), 0),
        (Group(memory_max="700\n"), 1000),
    ],
)
def test_free_memory_is_the_machines_or_what_its_control_group_leaves(
    monkeypatch: pytest.MonkeyPatch, group: Group, there: int
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    monkeypatch.setattr(machine, "Path", group)
    assert available_memory() == there


def test_free_memory_and_cores_of_this_machine_are_counted() -> None:
    assert Path("/proc").exists() is False or available_memory() > 2**20
    assert cores() >= 1
