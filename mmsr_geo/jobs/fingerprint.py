"""What decides a pair's outcome, as a hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from mmsr_geo._version import __version__
from mmsr_geo.jobs.job import Entry, Job
from mmsr_geo.raster.read.files import files_of
from mmsr_geo.raster.views.mask import path_and_bits

_BESIDE = (".aux.xml", ".msk", ".ovr")
"""Files of GDAL's beside a raster, which say what it holds: statistics and tags, its mask, its overviews."""


def key_of(entry: Entry) -> str:
    """Return a hash of what decides a pair's outcome: its inputs' state, its options, where it goes, this version."""
    return _hash([str(entry.output), str(entry.qa), *_made_of(entry)])


def tiles_key_of(entry: Entry) -> str:
    """Return a hash of what decides its tiles: the same, wherever they go."""
    return _hash(_made_of(entry))


def with_reference_scene(job: Job, entry: Entry, key: str) -> str:
    """Return a pair's key, its model's origin counted in where that is another pair."""
    leader = job.leader_of(entry)
    return key if leader is None or leader is entry else _hash([key, tiles_key_of(leader)])


def work_folder(job: Job, entry: Entry) -> str:
    """Return where a pair's tiles wait, of whatever state of its inputs."""
    return f"{job.work}/tiles/{quote(entry.name, safe='')}"


def _made_of(entry: Entry) -> list[object]:
    files = [entry.source, *entry.guides]
    for option in ("source_mask", "guide_mask", "model", "like"):
        given = entry.options.get(option)
        if isinstance(given, str):
            files.append(path_and_bits(given)[0] if option.endswith("_mask") else given)
    states = [[_state(file), *(_file_state(file + ending) for ending in _BESIDE)] for file in files]
    return [__version__, dict(entry.options), entry.model, states]


def _hash(told: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _state(file: str) -> Sequence[object]:
    """Return what tells that an input is another: sizes and times of change of the local files that it is read from.

    Of a URL its name alone.
    """
    state = _file_state(file)
    if len(state) > 1 and not file.lower().endswith(".vrt"):
        return state
    return [state, *(_file_state(member) for member in files_of(file) if member != file)]


def _file_state(file: str) -> list[object]:
    try:
        state = Path(file).stat()
    except (OSError, ValueError):
        return [file]
    return [file, state.st_size, state.st_mtime_ns]
