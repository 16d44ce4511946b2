"""Names of bands and rasters in options: numbers, descriptions, paths, FILE:BAND; knows no pixels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType

from mmsr_geo.errors import InputError


def is_called(name: str, called: str, paths: ModuleType = os.path) -> bool:
    """Return True if a raster's name is the one that an option gives: as it is, its file name, or an array's name.

    Args:
        name: The name of the raster: a path, or "the array 'dem'".
        called: The name in the option.
        paths: The module of the system's paths: ntpath ignores case and takes both slashes.
    """
    if name == f"the array {called!r}":
        return True
    return paths.normcase(called) in {paths.normcase(name), paths.normcase(paths.basename(name))}


def positions_called(called: str, names: Sequence[str]) -> list[int]:
    """Return the positions of the rasters with a name in an option: exactly, or else as `is_called` compares."""
    exact = [position for position, name in enumerate(names) if name == called]
    return exact or [position for position, name in enumerate(names) if is_called(name, called)]


def split_candidates(spec: str) -> Iterator[tuple[str, str]]:
    """Yield each (FILE, BAND) that FILE:BAND could mean, the longest FILE first: a path may hold colons itself."""
    for colon in range(len(spec) - 1, 0, -1):
        if spec[colon] == ":":
            yield spec[:colon], spec[colon + 1 :]


def place_of(band: int | str, bands: Sequence[str], numbers: Sequence[int], labels: Sequence[str] = ()) -> int | None:
    """Return the position of a band among others, from 0; None if no band or several bands match.

    Args:
        band: A number, from 1, or a description or label; case is ignored where no band matches exactly.
        bands: The descriptions of the bands.
        numbers: The numbers of the bands.
        labels: Other names of the bands, such as the values of an array's coordinate.
    """
    called = str(band).strip()
    if called.isdecimal() and int(called) in numbers:
        return list(numbers).index(int(called))
    for fold in (str, str.casefold):
        for names in (bands, labels):
            found = [place for place, name in enumerate(names) if fold(name) == fold(called)]
            if len(found) == 1:
                return found[0]
    return None


def places_of(
    name: str, wanted: Iterable[int | str], bands: Sequence[str], numbers: Sequence[int], labels: Sequence[str] = ()
) -> list[int]:
    """Return the positions of bands among others, from 0, in the order wanted and without repetitions.

    Args:
        name: The name of the raster, for the message.
        wanted: Numbers, descriptions and labels; "4,3" stands for two bands.
        bands: The descriptions of the bands.
        numbers: The numbers of the bands.
        labels: Other names of the bands.

    Raises:
        InputError: A band does not exist.
    """
    places: list[int] = []
    for band in wanted:
        whole = place_of(band, bands, numbers, labels)
        for one in [band] if whole is not None else str(band).split(","):
            place = whole if whole is not None else place_of(one, bands, numbers, labels)
            if place is None:
                msg = f"{name} has no data band {str(one).strip()}: its bands are {listed(bands, numbers)}"
                raise InputError(msg)
            places.append(place)
    return list(dict.fromkeys(places))


def listed(bands: Sequence[str], numbers: Sequence[int]) -> str:
    """Return the bands as a message lists them: 1 (blue), 2 (green)."""
    return ", ".join(
        band if band == str(number) else f"{number} ({band})" for band, number in zip(bands, numbers, strict=True)
    )
