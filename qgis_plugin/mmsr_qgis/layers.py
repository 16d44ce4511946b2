"""A raster layer as something that another program can read; knows no algorithm and no command."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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

from .texts import tr

_STRIP_ROWS = 256


@dataclass(frozen=True)
class OnDisk:
    """A layer that another program can open as it is."""

    path: str

    def written(self, _folder: Path, _feedback: QgsProcessingFeedback) -> str:
        """Return its path."""
        return self.path


@dataclass(frozen=True)
class Placed:
    """A file whose CRS is the layer's, given to it in QGIS, and not its own."""

    path: str
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

    folder: tempfile.TemporaryDirectory[str]
    """Goes with this."""
    path: Path
    name: str

    @classmethod
    def of(cls, layer: QgsRasterLayer) -> Edited:
        """Write its values to a GeoTIFF, as they are shown."""
        folder = tempfile.TemporaryDirectory(prefix="mmsr_geo_")
        path = _free(Path(folder.name), layer.name(), ".tif")
        _copy(layer.dataProvider(), layer.crs(), path, lambda: False)
        return cls(folder, path, layer.name())

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
    parts = QgsProviderRegistry.instance().decodeUri("gdal", source) if provider.name() == "gdal" else None
    if parts is not None and not source.startswith("/vsimem/") and not {"openOptions", "authcfg"} & set(parts):
        path = str(Path(source).absolute()) if Path(source).exists() else source
        if layer.crs().isValid() and layer.crs() != provider.crs():
            return Placed(path, layer.crs(), layer.name())
        return OnDisk(path)
    if not provider.capabilities() & QgsRasterInterface.Capability.Size or not provider.xSize():
        raise QgsProcessingException(
            tr("{} is the picture of a map service, without values: export it as a GeoTIFF first").format(layer.name())
        )
    return InMemory(provider.clone(), layer.crs(), layer.name())


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
