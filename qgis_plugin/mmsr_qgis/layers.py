"""A raster layer as something that another program can read; knows no algorithm and no command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from osgeo import gdal
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProviderRegistry,
    QgsRasterDataProvider,
    QgsRasterFileWriter,
    QgsRasterInterface,
    QgsRasterLayer,
    QgsRasterPipe,
    QgsRectangle,
)

from .texts import tr


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
    """A layer whose values only QGIS can give: of a database or a service, in memory, or being edited."""

    provider: QgsRasterDataProvider
    """A clone, which another thread may read."""
    extent: QgsRectangle
    crs: QgsCoordinateReferenceSystem
    name: str

    def written(self, folder: Path, feedback: QgsProcessingFeedback) -> str:
        """Write its values to a GeoTIFF, as they are, and return its path."""
        path = _free(folder, self.name, ".tif")
        feedback.pushInfo(tr("{} is no file of its own: its values are written to one first").format(self.name))
        pipe = QgsRasterPipe()
        writer = QgsRasterFileWriter(str(path))
        writer.setOutputFormat("GTiff")
        writer.setCreateOptions(["COMPRESS=DEFLATE", "TILED=YES", "BIGTIFF=IF_SAFER"])
        if not pipe.set(self.provider.clone()):
            raise QgsProcessingException(tr("{} cannot be read: export it as a GeoTIFF first").format(self.name))
        width, height = self.provider.xSize(), self.provider.ySize()
        status = writer.writeRaster(pipe, width, height, self.extent, self.crs, QgsCoordinateTransformContext())
        if status != QgsRasterFileWriter.WriterError.NoError:
            raise QgsProcessingException(
                tr("{} cannot be written to {}: export it as a GeoTIFF first").format(self.name, folder)
            )
        return str(path)


def readable(layer: QgsRasterLayer) -> OnDisk | Placed | InMemory:
    """Decide how another program gets a layer's values; called in the layer's own thread.

    Raises QgsProcessingException for a picture of a map service, which has no values.
    """
    provider = layer.dataProvider()
    if provider.name() == "gdal" and not provider.isEditable():
        parts = QgsProviderRegistry.instance().decodeUri("gdal", layer.source())
        path = str(parts.get("path", ""))
        if not path.startswith("/vsimem/") and not parts.get("openOptions") and not parts.get("authcfg"):
            file = Path(path)
            named = str(file.absolute()) if file.exists() else path
            source = layer.source() if parts.get("layerName") else named
            if layer.crs().isValid() and layer.crs() != provider.crs():
                return Placed(source, layer.crs(), layer.name())
            return OnDisk(source)
    if not provider.capabilities() & QgsRasterInterface.Capability.Size or not provider.xSize():
        raise QgsProcessingException(
            tr("{} is the picture of a map service, without values: export it as a GeoTIFF first").format(layer.name())
        )
    return InMemory(provider.clone(), layer.extent(), layer.crs(), layer.name())


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


def _free(folder: Path, name: str, suffix: str) -> Path:
    """Return a path in `folder` that is free and whose name tells the layer."""
    stem = "".join(each if each.isalnum() or each in "-_" else "_" for each in name) or "layer"
    numbered = (folder / f"{stem}{number or ''}{suffix}" for number in range(1000))
    return next(path for path in numbered if not path.exists())
