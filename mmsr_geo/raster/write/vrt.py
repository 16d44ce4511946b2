"""Virtual rasters (VRT) that join tile files; writes XML, reads no pixel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree as ET

from mmsr_geo.geometry import Window

_TYPES = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "float32": "Float32",
    "float64": "Float64",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A band of a file and its place in the mosaic."""

    path: Path
    band: int
    window: Window
    """Place in the mosaic, in pixels; as large as the file."""


def write_mosaic(path: Path, shape_yx: tuple[int, int], dtype: str, bands: Sequence[Iterable[Piece]]) -> None:
    """Write a virtual raster without georeferencing, and one for each row of tiles next to it.

    For each window that is read, GDAL tests all sources of a virtual raster. With one virtual raster per row these are
    a few hundred for 100 000 tiles.

    Args:
        path: The virtual raster to write.
        shape_yx: Height and width of the mosaic, in pixels.
        dtype: The dtype of the tiles.
        bands: The pieces of each band, row by row, in each row from left to right.
    """
    root = _dataset(shape_yx)
    for number, pieces in enumerate(bands, start=1):
        of_band = _band(root, number, dtype)
        for start, row in groupby(pieces, key=lambda piece: piece.window.row):
            side_by_side = list(row)
            strip = path.with_name(f"{path.stem}-{number}-{start}.vrt")
            shape = side_by_side[0].window.height, shape_yx[1]
            _write_strip(strip, shape, dtype, side_by_side)
            _source(of_band, strip, 1, Window(start, 0, *shape))
    _write(path, root)


def _write_strip(path: Path, shape_yx: tuple[int, int], dtype: str, pieces: Iterable[Piece]) -> None:
    root = _dataset(shape_yx)
    band = _band(root, 1, dtype)
    for piece in pieces:
        _source(band, piece.path, piece.band, Window(0, piece.window.col, *piece.window.shape))
    _write(path, root)


def _dataset(shape_yx: tuple[int, int]) -> ET.Element:
    return ET.Element("VRTDataset", rasterYSize=str(shape_yx[0]), rasterXSize=str(shape_yx[1]))


def _band(root: ET.Element, number: int, dtype: str) -> ET.Element:
    return ET.SubElement(root, "VRTRasterBand", dataType=_TYPES[dtype], band=str(number))


def _source(band: ET.Element, path: Path, of_band: int, placed: Window) -> None:
    source = ET.SubElement(band, "SimpleSource")
    ET.SubElement(source, "SourceFilename", relativeToVRT="0").text = str(path.absolute())
    ET.SubElement(source, "SourceBand").text = str(of_band)
    size = {"RasterXSize": str(placed.width), "RasterYSize": str(placed.height)}
    # With these GDAL need not open each file when the mosaic is opened.
    ET.SubElement(source, "SourceProperties", size, DataType=band.get("dataType", ""))
    for name, window in (("SrcRect", Window(0, 0, *placed.shape)), ("DstRect", placed)):
        corner = {"xOff": str(window.col), "yOff": str(window.row)}
        ET.SubElement(source, name, corner, xSize=str(window.width), ySize=str(window.height))


def _write(path: Path, root: ET.Element) -> None:
    ET.ElementTree(root).write(path, encoding="utf-8")
