"""Legends of bands that hold classes, found in metadata: palettes, categories, attribute tables, CF flags, names."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError

from mmsr_geo.raster.read.codes import FLAGS, codes_of

_MASK_WORDS = r"(?<![a-z])(scl|qa_pixel)(?![a-z])"
"""Words in a file's name, and in the name of a band of any dtype, that stand for classes."""
_WORDS = r"(?<![a-z])(scl|qa|qc)(?![a-z])"
"""Words in the name of a band of unsigned integers that stand for classes."""
_MOST_BANDS = 16
"""Bands of a file up to which their categories and attribute tables are read, which takes a while for each."""
_STRING, _NAME, _VALUE, _LEAST, _MOST = "2", "2", "5", "3", "4"
"""A type of column and usages of columns in GDAL's raster attribute tables (GFT_String, GFU_Name, GFU_MinMax, ...)."""


@dataclass(frozen=True, slots=True)
class Legend:
    """What metadata say of a band that holds classes."""

    names: tuple[tuple[int, str], ...] = ()
    """Names of the codes that have one."""
    colours: tuple[tuple[int, ...], ...] = ()
    """Colours by code, where a colour table is the only sign of classes: it may be that of a picture."""


SAID = Legend()
"""The legend of a band of which nothing is known but that it holds classes."""


def file_legends(
    path: str, dataset: rasterio.DatasetReader, indexes: Sequence[int], said: Sequence[int]
) -> tuple[Legend | None, ...]:
    """Return the legend of each band of a file that holds classes, and None for each that holds a quantity.

    Args:
        path: The path.
        dataset: The file, opened.
        indexes: Numbers of the bands.
        said: Numbers of the bands that the user says are classes.
    """
    meanings, dtypes, descriptions = dataset.colorinterp, dataset.dtypes, dataset.descriptions
    layer = dataset.tags().get("LAYER_TYPE", "")
    whole = any(np.dtype(dtypes[index - 1]).kind in "iu" for index in indexes if _is_real(dtypes[index - 1]))
    tables = _tables(dataset) if whole and dataset.count <= _MOST_BANDS else {}
    legends: list[Legend | None] = []
    for index in indexes:
        tags, dtype = dataset.tags(index), dtypes[index - 1]
        layer_type = tags.get("LAYER_TYPE", layer).lower()
        names = _flag_names(tags) or (() if layer_type == "athematic" else tables.get(index, ()))
        file_name = Path(path).name if dataset.count == 1 else ""
        if names or index in said or layer_type == "thematic" or _has_flags(tags):
            legends.append(Legend(names))
        elif meanings[index - 1] == ColorInterp.palette:
            legends.append(Legend(colours=tuple(dataset.colormap(index)[code][:3] for code in _codes(dataset, index))))
        elif _is_real(dtype) and _is_called_classes(np.dtype(dtype), descriptions[index - 1] or "", file_name):
            legends.append(SAID)
        else:
            legends.append(None)
    return tuple(legends)


def array_legend(attrs: Mapping[Any, Any], dtype: np.dtype[Any], name: str) -> Legend | None:
    """Return the legend of a band of an array; None if it holds a quantity.

    Args:
        attrs: The attributes of the array.
        dtype: Its dtype.
        name: The name of the band.
    """
    thematic = str(attrs.get("LAYER_TYPE", "")).lower() == "thematic"
    if thematic or _has_flags(attrs):
        return Legend(_flag_names(attrs))
    return SAID if _is_called_classes(dtype, name, "") else None


def opened_legend(encoding: Mapping[Any, Any], band: int) -> Legend | None:
    """Return the legend of a band of the file that rioxarray has opened an array from, which drops colour tables."""
    if "rasterio_dtype" not in encoding or "source" not in encoding:
        return None
    path = str(encoding["source"])
    try:
        with rasterio.open(path) as dataset:
            if not 1 <= band <= dataset.count or dataset.dtypes[band - 1] != str(encoding["rasterio_dtype"]):
                return None
            return file_legends(path, dataset, (band,), ())[0]
    except (RasterioError, OSError):
        return None


def _is_real(dtype: str) -> bool:
    return not dtype.startswith("complex")


def _codes(dataset: rasterio.DatasetReader, index: int) -> range:
    return range(max(dataset.colormap(index)) + 1)


def _is_called_classes(dtype: np.dtype[Any], band: str, file: str) -> bool:
    if dtype.kind == "u" and (re.search(_WORDS, band, re.IGNORECASE) or re.search(_MASK_WORDS, file, re.IGNORECASE)):
        return True
    return dtype.kind in "uif" and re.search(_MASK_WORDS, band, re.IGNORECASE) is not None


def _has_flags(attrs: Mapping[Any, Any]) -> bool:
    return bool(set(FLAGS) & attrs.keys()) and not codes_of(attrs)


def _flag_names(attrs: Mapping[Any, Any]) -> tuple[tuple[int, str], ...]:
    """Return the names of CF's flag_values: an array or, as GDAL has them, a text."""
    given, meanings = attrs.get("flag_values"), attrs.get("flag_meanings")
    if given is None or meanings is None or codes_of(attrs):
        return ()
    texts = re.findall(r"-?\d+", given) if isinstance(given, str) else np.ravel(np.asarray(given)).tolist()
    words = meanings.split() if isinstance(meanings, str) else [str(word) for word in np.ravel(meanings)]
    return tuple(zip(map(int, texts), words, strict=True)) if len(texts) == len(words) else ()


def _as_vrt(dataset: rasterio.DatasetReader) -> str:
    """Return the description of a VRT of a file."""
    path = f"/vsimem/{uuid.uuid4().hex}.vrt"
    rasterio.shutil.copy(dataset, path, driver="VRT")
    with rasterio.open(path) as copy:
        text: str = copy.tags(ns="xml:VRT").get("xml:VRT", "")
    rasterio.shutil.delete(path, driver="VRT")
    return text


def _tables(dataset: rasterio.DatasetReader) -> dict[int, tuple[tuple[int, str], ...]]:
    """Return the names of classes by band, from categories and attribute tables, which rasterio shows in a VRT only."""
    try:
        text = dataset.tags(ns="xml:VRT").get("xml:VRT", "") if dataset.driver == "VRT" else _as_vrt(dataset)
        root = ET.fromstring(text)  # noqa: S314  (written by GDAL)
    except (RasterioError, ET.ParseError):
        return {}
    return {
        int(band.get("band", "0")): names
        for band in root.iter("VRTRasterBand")
        if (names := _categories(band) or _attribute_names(band))
    }


def _categories(band: ET.Element) -> tuple[tuple[int, str], ...]:
    found = band.find("CategoryNames")
    texts = [] if found is None else [(category.text or "").strip() for category in found]
    return tuple((code, text) for code, text in enumerate(texts) if text)


def _attribute_names(band: ET.Element) -> tuple[tuple[int, str], ...]:
    """Return the names of a thematic attribute table; a table of ranges or without names is one of a quantity."""
    table = band.find("GDALRasterAttributeTable")
    if table is None or table.get("tableType", "thematic") != "thematic":
        return ()
    columns = [
        (column.findtext("Name", "").lower(), column.findtext("Type"), column.findtext("Usage"))
        for column in table.findall("FieldDefn")
    ]
    if {_LEAST, _MOST} & {usage for _, _, usage in columns}:
        return ()
    values = [i for i, (name, _, usage) in enumerate(columns) if usage == _VALUE or name in {"value", "code"}]
    texts = [i for i, (_, kind, _) in enumerate(columns) if kind == _STRING]
    named = [i for i in texts if columns[i][2] == _NAME] or texts
    if not named:
        return ()
    names = []
    for number, row in enumerate(table.findall("Row")):
        cells = [(cell.text or "").strip() for cell in row.findall("F")]
        code = float(cells[values[0]]) if values else number
        if cells[named[0]] and float(code).is_integer():
            names.append((int(code), cells[named[0]]))
    return tuple(names)
