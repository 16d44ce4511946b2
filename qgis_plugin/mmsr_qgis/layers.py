"""Raster layers of QGIS as files that another program can read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from osgeo import gdal
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProviderRegistry,
    QgsRasterDataProvider,
    QgsRasterInterface,
    QgsRasterLayer,
    QgsRectangle,
)

from .files import Scratch, free_path
from .translation import tr

_STRIP_ROWS = 256
_FOR_QGIS_ONLY = {"openOptions", "authcfg", "credentialOptions"}
"""Parts of a layer's source that only QGIS understands."""


@dataclass(frozen=True)
class OnDisk:
    """A layer whose file another program can open."""

    path: str
    origin: str
    """The file that its values come from; empty if there is none. The other classes have it too."""

    def as_file(self, _folder: Path, _feedback: QgsProcessingFeedback) -> str:
        """Return the file's path."""
        return self.path


@dataclass(frozen=True)
class AssignedCrs:
    """A layer whose CRS was assigned in QGIS and differs from that of its file."""

    path: str
    origin: str
    crs: QgsCoordinateReferenceSystem
    name: str

    def as_file(self, folder: Path, _feedback: QgsProcessingFeedback) -> str:
        """Write a VRT with the layer's CRS and return its path."""
        path = free_path(folder, self.name, ".vrt")
        if gdal.Translate(str(path), self.path, format="VRT", outputSRS=self.crs.toWkt()) is None:
            raise QgsProcessingException(tr("{} cannot be opened: check the file").format(self.path))
        return str(path)


@dataclass(frozen=True)
class InMemory:
    """A layer whose values only QGIS can read: from a database, a service or memory."""

    provider: QgsRasterDataProvider
    """A clone, which may be read in another thread."""
    origin: str
    crs: QgsCoordinateReferenceSystem
    name: str

    def as_file(self, folder: Path, feedback: QgsProcessingFeedback) -> str:
        """Write the unchanged values to a GeoTIFF and return its path."""
        feedback.pushInfo(tr("{} is not a file: its values are written to a temporary file first").format(self.name))
        path = free_path(folder, self.name, ".tif")
        _copy(self.provider, self.crs, path, feedback.isCanceled)
        return str(path)


@dataclass(frozen=True)
class Edited:
    """A layer in edit mode: its unsaved values are in its provider, which only the layer's own thread may read."""

    folder: Scratch
    """Removed with this object."""
    path: Path
    origin: str
    name: str

    @classmethod
    def of(cls, layer: QgsRasterLayer) -> Edited:
        """Write the values to a GeoTIFF, with all unsaved edits."""
        folder = Scratch()
        path = free_path(folder.path, layer.name(), ".tif")
        _copy(layer.dataProvider(), layer.crs(), path, lambda: False)
        return cls(folder, path, _origin(layer), layer.name())

    def as_file(self, _folder: Path, feedback: QgsProcessingFeedback) -> str:
        """Return the path of the GeoTIFF."""
        feedback.pushInfo(tr("{} is in edit mode: its values with the unsaved edits are used").format(self.name))
        return str(self.path)


def readable(layer: QgsRasterLayer) -> OnDisk | AssignedCrs | InMemory | Edited:
    """Return how another program can read a layer's values; call it in the layer's own thread.

    Raises:
        QgsProcessingException: the layer is a picture from a map service, which has no values.
    """
    provider, source = layer.dataProvider(), layer.source()
    if provider.isEditable():
        return Edited.of(layer)
    if provider.name() == "gdal" and not source.startswith("/vsimem/") and not _FOR_QGIS_ONLY & set(_parts(layer)):
        path = str(Path(source).absolute()) if Path(source).exists() else source
        if layer.crs().isValid() and layer.crs() != provider.crs():
            return AssignedCrs(path, _origin(layer), layer.crs(), layer.name())
        return OnDisk(path, _origin(layer))
    if not provider.capabilities() & QgsRasterInterface.Capability.Size or not provider.xSize():
        raise QgsProcessingException(
            tr("{} is a picture from a map service, without values: export it as a GeoTIFF first").format(layer.name())
        )
    return InMemory(provider.clone(), _origin(layer), layer.crs(), layer.name())


def extra_nodata(layer: QgsRasterLayer, band: int) -> str | None:
    """Return the additional no data values of the layer's properties with the declared one; None without additional.

    The values are stored ones, with commas between them, a range as LOW..HIGH. QGIS compares its own with values to
    which the band's scale and offset are applied.
    """
    provider = layer.dataProvider()
    declared = [provider.sourceNoDataValue(band)] if provider.sourceHasNoDataValue(band) else []
    items = []
    for found in provider.userNoDataValues(band):
        ends = ((end - provider.bandOffset(band)) / provider.bandScale(band) for end in (found.min(), found.max()))
        low, high = sorted(ends)
        if not (low == high and low in declared):
            items.append(f"{low:.17g}" if low == high else f"{low:.17g}..{high:.17g}")
    return ",".join([*items, *(f"{value:.17g}" for value in declared)]) if items else None


def _parts(layer: QgsRasterLayer) -> Mapping[str, Any]:
    """Return the parts of a layer's source; empty for providers that cannot split it."""
    parts: Mapping[str, Any] = QgsProviderRegistry.instance().decodeUri(layer.dataProvider().name(), layer.source())
    return parts


def _origin(layer: QgsRasterLayer) -> str:
    """Return the file that a layer's values come from; empty if there is none."""
    return str(_parts(layer).get("path") or "")


def _copy(
    provider: QgsRasterDataProvider, crs: QgsCoordinateReferenceSystem, path: Path, cancelled: Callable[[], bool]
) -> None:
    """Write all values of a provider to a GeoTIFF, in strips; call it in the thread that may read the provider."""
    width, height, box = provider.xSize(), provider.ySize(), provider.extent()
    step_x, step_y = box.width() / width, box.height() / height
    bands = range(1, provider.bandCount() + 1)
    options = ["COMPRESS=DEFLATE", "TILED=YES", "BIGTIFF=IF_SAFER"]
    # The numbers of the data types are the same in QGIS and GDAL.
    made = gdal.GetDriverByName("GTiff").Create(
        str(path), width, height, len(bands), int(provider.dataType(1)), options
    )
    if made is None:
        raise QgsProcessingException(tr("{} cannot be written: check the free space on the disk").format(path))
    made.SetGeoTransform((box.xMinimum(), step_x, 0, box.yMaximum(), 0, -step_y))
    made.SetProjection(crs.toWkt())
    for band in bands:
        if provider.sourceHasNoDataValue(band):
            made.GetRasterBand(band).SetNoDataValue(provider.sourceNoDataValue(band))
        made.GetRasterBand(band).SetDescription(provider.generateBandName(band))
    for row in range(0, height, _STRIP_ROWS):
        rows = min(_STRIP_ROWS, height - row)
        top = box.yMaximum() - row * step_y
        strip = QgsRectangle(box.xMinimum(), top - rows * step_y, box.xMaximum(), top)
        for band in bands:
            if cancelled():
                return
            block = provider.block(band, strip, width, rows)
            if not block.isValid():
                raise QgsProcessingException(
                    tr("{} cannot be read: export it as a GeoTIFF first").format(provider.name())
                )
            made.GetRasterBand(band).WriteRaster(
                0, row, width, rows, bytes(block.data()), buf_type=int(block.dataType())
            )
