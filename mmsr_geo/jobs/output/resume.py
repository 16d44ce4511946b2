"""Tiles of an earlier run: its tile size, its tile files checked against the manifest, damaged ones discarded."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from mmsr_geo.callbacks import Progress
from mmsr_geo.errors import MmsrWarning, OutputError
from mmsr_geo.jobs.output.tasks import OutputSpec, at_tile_size
from mmsr_geo.jobs.tiles.tile_file import DamagedTileError, TilePixels
from mmsr_geo.jobs.tiles.tile_index import TileIndex
from mmsr_geo.jobs.tiles.tile_store import FolderStore, Stage, TileRecord, TileStore
from mmsr_geo.machine import cores

PLAN = "plan.json"
"""Name of the file with the tile size and the number of tiles in the store of an output."""
_TILES_PER_REPORT, _THREADS = 64, 4
"""Tiles that are checked between two reports, and threads that check them."""


def resume_plan(spec: OutputSpec, store: TileStore, name: str) -> OutputSpec | None:
    """Return an output with the tile size of an earlier run; None if there was none, and the plan is stored.

    A damaged plan is reported as a warning, and the earlier tiles are removed.

    Args:
        spec: The output, with the tile size that this run has chosen.
        store: Where its tiles are.
        name: Name of the pair, for the warning.
    """
    content = store.get(PLAN)
    if content is not None:
        try:
            height, width = json.loads(content)["tile_yx"]
        except (ValueError, KeyError, TypeError):
            message = f"{name}: {PLAN} in the work folder is damaged: all tiles are computed again"
            warnings.warn(message, MmsrWarning, stacklevel=2)
            store.remove()
        else:
            return at_tile_size(spec, (height, width))
    tiling = spec.tiling
    plan = {"tile_yx": tiling.tile_yx, "tiles": len(tiling) * len(spec.pairs)}
    store.put(PLAN, json.dumps(plan).encode())
    return None


def take_over_tiles(
    store: TileStore, indexes: Mapping[tuple[Stage, int], TileIndex], name: str, progress: Progress
) -> None:
    """Enter the tiles of an earlier run into indexes. Files in a folder are read and checked against the manifest.

    Args:
        store: Where the tiles are.
        indexes: An index for each stage and band.
        name: Name of the pair, for warnings.
        progress: Called as progress("check", done, total).
    """
    for record in store.lines():
        index = indexes.get((record.stage, record.band))
        if index is not None and 0 <= record.index < index.capacity:
            index[record.index] = record
    if not isinstance(store, FolderStore):
        return
    done, total = 0, sum(map(len, indexes.values()))
    with ThreadPoolExecutor(min(cores(), _THREADS)) as threads:
        for index in indexes.values():
            numbers = list(index)
            for start in range(0, len(numbers), _TILES_PER_REPORT):
                progress("check", done, total)
                records = [index[number] for number in numbers[start : start + _TILES_PER_REPORT]]
                for record, whole in zip(records, threads.map(partial(is_whole, store), records), strict=True):
                    if not whole:
                        _discard_damaged(store, index, record, name)
                done += len(records)
    if total:
        progress("check", total, total)


def is_whole(store: TileStore, record: TileRecord) -> bool:
    """Return True if the file of a tile has the pixels that were written."""
    try:
        content = store.get(record.name)
        return content is not None and TilePixels.decoded(content).digests == record.digests
    except (DamagedTileError, OutputError):
        return False


def _discard_damaged(store: TileStore, index: TileIndex, record: TileRecord, name: str) -> None:
    """Remove a tile from its index; a file that is missing needs no warning."""
    del index[record.index]
    if store.holds(record):
        message = f"{name}: the file of tile {record.index} is damaged ({record.name}): the tile is computed again"
        warnings.warn(message, MmsrWarning, stacklevel=2)
