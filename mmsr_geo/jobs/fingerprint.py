"""Fingerprints of pairs: hashes of everything that decides their outputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from mmsr_geo._version import __version__
from mmsr_geo.jobs.job import Entry, Job
from mmsr_geo.options import PATHS
from mmsr_geo.raster.read.files import files_of
from mmsr_geo.raster.views.mask import path_and_rule

_BESIDE = (".aux.xml", ".msk", ".ovr")
"""Endings of GDAL's files next to a raster: statistics and tags, mask, overviews."""


def key_of(entry: Entry) -> str:
    """Return the fingerprint of a pair: the state of its inputs, its options, its output paths and this version."""
    return _hash([str(entry.output), str(entry.qa), *_inputs_of(entry)])


def tiles_key_of(entry: Entry) -> str:
    """Return the fingerprint of the tiles of a pair, which does not depend on the output paths."""
    return _hash(_inputs_of(entry))


def with_reference_scene(job: Job, entry: Entry, key: str) -> str:
    """Return the key of a pair combined with that of its reference scene, if that is another pair."""
    reference = job.reference_scene_of(entry)
    return key if reference is None or reference is entry else _hash([key, tiles_key_of(reference)])


def work_folder(job: Job, entry: Entry) -> str:
    """Return the folder or URL of a pair's tiles; each state of its inputs has its own folder there."""
    return f"{job.work}/tiles/{quote(entry.name, safe='')}"


def _inputs_of(entry: Entry) -> list[object]:
    files = [entry.source, *entry.guides]
    for option in PATHS:
        given = entry.options.get(option)
        if isinstance(given, str):
            files.append(path_and_rule(given)[0] if option.endswith("_mask") else given)
    states = [[_state(file), *(_file_state(file + ending) for ending in _BESIDE)] for file in files]
    return [__version__, dict(entry.options), entry.model, states]


def _hash(content: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _state(file: str) -> Sequence[object]:
    """Return the sizes and modification times of the local files that an input is read from; of a URL its name."""
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
