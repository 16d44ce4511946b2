"""Tile files: values, QA flags and uncertainty as they will be stored, in a GeoTIFF; knows GDAL, no store."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

VALUES, FLAGS, UNCERTAINTY = 1, 2, 3
"""Bands of a tile file; it has the last one only if the uncertainty was requested."""
_BLOCK_PX = 256
_NO_PLACE = Affine(1, 0, 1, 0, -1, 1)
"""Transform of each tile file: its number says where it is. Without one, or with the identity, rasterio warns,
and filters of warnings belong to the process: threads that read tiles at once would undo each other's."""


class DamagedTileError(Exception):
    """A tile file without the pixels that were written."""


@dataclass(frozen=True, slots=True)
class TilePixels:
    """Pixels of a tile file."""

    values: NDArray[Any]
    """(H, W) in the stored dtype, with nodata values."""
    qa: NDArray[np.uint8]
    """(H, W) bits of `Flag`."""
    uncertainty: NDArray[Any] | None = None
    """(H, W) in the dtype of the values; None if it was not requested."""

    @property
    def digests(self) -> tuple[str, ...]:
        """Hash of each band."""
        return tuple(digest_of(band) for band in (self.values, self.qa, self.uncertainty) if band is not None)

    def encoded(self) -> bytes:
        """Return the content of the file; all bands have the dtype of the values, as virtual rasters need it."""
        height, width = self.values.shape
        tiled = min(height, width) >= _BLOCK_PX
        blocks = {"tiled": True, "blockxsize": _BLOCK_PX, "blockysize": _BLOCK_PX} if tiled else {}
        with MemoryFile() as file:
            with file.open(
                driver="GTiff",
                dtype=self.values.dtype,
                count=FLAGS if self.uncertainty is None else UNCERTAINTY,
                height=height,
                width=width,
                compress="ZSTD",
                zstd_level=1,
                interleave="band",
                photometric="MINISBLACK",
                transform=_NO_PLACE,
                **blocks,
            ) as dataset:
                dataset.write(self.values, VALUES)
                dataset.write(self.qa.astype(self.values.dtype), FLAGS)
                if self.uncertainty is not None:
                    dataset.write(self.uncertainty, UNCERTAINTY)
            return bytes(file.read())

    @classmethod
    def decoded(cls, content: bytes) -> TilePixels:
        """Return the pixels of a file's content; raises DamagedTileError."""
        try:
            # No other driver: a virtual raster could name other files.
            with MemoryFile(content) as file, rasterio.open(file.name, driver="GTiff") as dataset:
                uncertainty = dataset.read(UNCERTAINTY) if dataset.count >= UNCERTAINTY else None
                return cls(dataset.read(VALUES), dataset.read(FLAGS).astype(np.uint8), uncertainty)
        except (RasterioError, CPLE_BaseError, IndexError, ValueError) as error:
            raise DamagedTileError(str(error)) from error


def digest_of(pixels: NDArray[Any]) -> str:
    """Return a hash of pixels with their dtype and shape."""
    digest = hashlib.sha256(repr((pixels.dtype.str, pixels.shape)).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()[:32]
