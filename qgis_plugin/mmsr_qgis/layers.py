"""A raster layer as something that another program can read; knows no algorithm and no command."""

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

from .scratch import Scratch
from .translation import tr

_STRIP_ROWS = 256
_FOR_QGIS_ONLY = {"openOptions", "authcfg", "credentialOptions"}
"""Parts of a layer's source that say how QGIS opens it, which another program would not know."""


@dataclass(frozen=True)
class OnDisk:
    """A layer that another program can open as it is."""

    path: str
    origin: str
    """The file that its values come from, "" where that is none; it is the same for the other kinds."""

    def written(self, _folder: Path, _feedback: QgsProcessingFeedback) -> str:
        """Return its path."""
        return self.path


@dataclass(frozen=True)
class Placed:
    """A file whose CRS is the layer's, given to it in QGIS, and not its own."""

    path: str
    origin: str
    crs: QgsCoordinateReferenceSystem
    name: str

    def written(self, folder: Path, _feedback: QgsProcessingFeedback) -> str:
        """Write a VRT that says so, and return its path."""
        path = _free(folder, self.name, ".vrt")
        if gdal.Translate(str(path), self.path, format="VRT", outputSRS=self.crs.toWkt()) is None:
            raise QgsProcessingException(tr("{} cannot be opened: check the file").format(self.path))
        return str(path)


@dataclass(frozen=True)
class InMemory:
    """A layer whose values only QGIS can give: of a database or a service, or in memory."""

    provider: QgsRasterDataProvider
    """A clone, which another thread may read."""
    origin: str
    crs: QgsCoordinateReferenceSystem
    name: str

    def written(self, folder: Path, feedback: QgsProcessingFeedback) -> str:
        """Write its values to a GeoTIFF, as they are, and return its path."""
        feedback.pushInfo(tr("{} is no file of its own: its values are written to one first").format(self.name))
        path = _free(folder, self.name, ".tif")
        _copy(self.provider, self.crs, path, feedback.isCanceled)
        return str(path)


@dataclass(frozen=True)
class Edited:
    """A layer that is being edited: what was changed is only in its own provider, which only its own thread may ask."""

    folder: Scratch
    """Goes with this."""
    path: Path
    origin: str
    name: str

    @classmethod
    def of(cls, layer: QgsRasterLayer) -> Edited:
        """Write its values to a GeoTIFF, as they are shown."""
        folder = Scratch()
        path = _free(folder.path, layer.name(), ".tif")
        _copy(layer.dataProvider(), layer.crs(), path, lambda: False)
        return cls(folder, path, _origin(layer), layer.name())

    def written(self, _folder: Path, feedback: QgsProcessingFeedback) -> str:
        """Return the path."""
        feedback.pushInfo(tr("{} is being edited: it is taken as it is now").format(self.name))
        return str(self.path)


def readable(layer: QgsRasterLayer) -> OnDisk | Placed | InMemory | Edited:
    """Decide how another program gets a layer's values; called in the layer's own thread.

    Raises QgsProcessingException for a picture of a map service, which has no values.
    """
    provider, source = layer.dataProvider(), layer.source()
    if provider.isEditable():
        return Edited.of(layer)
    if provider.name() == "gdal" and not source.startswith("/vsimem/") and not _FOR_QGIS_ONLY & set(_parts(layer)):
        path = str(Path(source).absolute()) if Path(source).exists() else source
        if layer.crs().isValid() and layer.crs() != provider.crs():
            return Placed(path, _origin(layer), layer.crs(), layer.name())
        return OnDisk(path, _origin(layer))
    if not provider.capabilities() & QgsRasterInterface.Capability.Size or not provider.xSize():
        raise QgsProcessingException(
            tr("{} is the picture of a map service, without values: export it as a GeoTIFF first").format(layer.name())
        )
    return InMemory(provider.clone(), _origin(layer), layer.crs(), layer.name())


def is_same_file(one: str, other: str) -> bool:
    """Whether two paths lead to one file, by links too; False where there is none."""
    try:
        return Path(one).samefile(other)
    except OSError:
        return False


def extra_nodata(layer: QgsRasterLayer, band: int) -> float | None:
    """Return the value that the layer's properties in QGIS call no data, beside the file's own; None: none, or several.

    In stored values: QGIS itself applies a band's scale and offset before it compares.
    """
    provider = layer.dataProvider()
    ranges = provider.userNoDataValues(band)
    if len(ranges) != 1 or ranges[0].min() != ranges[0].max():
        return None
    value = (ranges[0].min() - provider.bandOffset(band)) / provider.bandScale(band)
    declared = provider.sourceNoDataValue(band) if provider.sourceHasNoDataValue(band) else None
    return None if value == declared else value


def _parts(layer: QgsRasterLayer) -> Mapping[str, Any]:
    """Return what a layer's source is made of; nothing where its provider does not tell."""
    parts: Mapping[str, Any] = QgsProviderRegistry.instance().decodeUri(layer.dataProvider().name(), layer.source())
    return parts


def _origin(layer: QgsRasterLayer) -> str:
    """Return the file that a layer's values come from; "" where that is none."""
    return str(_parts(layer).get("path") or "")


def _copy(
    provider: QgsRasterDataProvider, crs: QgsCoordinateReferenceSystem, path: Path, cancelled: Callable[[], bool]
) -> None:
    """Write all that a provider holds to a GeoTIFF, by strips, in the thread that may ask it."""
    width, height, box = provider.xSize(), provider.ySize(), provider.extent()
    step_x, step_y = box.width() / width, box.height() / height
    bands = range(1, provider.bandCount() + 1)
    options = ["COMPRESS=DEFLATE", "TILED=YES", "BIGTIFF=IF_SAFER"]
    # QGIS numbers its data types as GDAL does.
    made = gdal.GetDriverByName("GTiff").Create(
        str(path), width, height, len(bands), int(provider.dataType(1)), options
    )
    if made is None:
        raise QgsProcessingException(tr("{} cannot be written: is the disk full?").format(path))
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


def _free(folder: Path, name: str, suffix: str) -> Path:
    """Return a path in `folder` that is free and whose name tells the layer."""
    stem = "".join(each if each.isalnum() or each in "-_" else "_" for each in name) or "layer"
    numbered = (folder / f"{stem}{number or ''}{suffix}" for number in range(1000))
    return next(path for path in numbered if not path.exists())
