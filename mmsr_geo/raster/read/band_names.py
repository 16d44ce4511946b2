"""What a person calls a band or a raster: a number, a description, a path; knows names only, no pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mmsr_geo.errors import InputError


def goes_by(name: str, called: str) -> bool:
    """Whether a raster of this name (a path, or "the array 'dem'") is the one called so: as given, or its file name."""
    return called in {name, Path(name).name} or name == f"the array {called!r}"


def place_of(band: int | str, bands: Sequence[str], numbers: Sequence[int], labels: Sequence[str] = ()) -> int | None:
    """Return where a band stands among others, or None where it is none of them or might be two.

    band: its number, from 1, or else its description or label, exactly or but for upper and lower case.
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
    """Return where the wanted bands stand, in the order wanted, each once; "4,3" is two of them.

    Raises InputError, with the raster's `name` and the bands there are.
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
    """Return bands for a person to choose from: 1 (blue), 2 (green)."""
    return ", ".join(
        band if band == str(number) else f"{number} ({band})" for band, number in zip(bands, numbers, strict=True)
    )
