"""The values that a user gives in a dialog, and the arguments of the command that name a layer or an output."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Union

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsMapLayer,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingUtils,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QVariant

from .layers import AssignedCrs, Edited, InMemory, OnDisk, readable
from .translation import tr


def message_label(label: str) -> str:
    """Return a label for a message: without a hint in parentheses."""
    return label.partition(" (")[0]


@dataclass(frozen=True)
class LayerArgument:
    """An argument that names a layer's file, which may be written only when the command starts."""

    layer: OnDisk | AssignedCrs | InMemory | Edited
    suffix: str = ""
    """Characters after the file's path."""


@dataclass(frozen=True)
class OutputArgument:
    """An argument that names an output, whose path is read once, when the command starts.

    Reading it registers the result for loading in the context of the run, which is in a separate thread.
    """

    key: str


Argument = Union[str, LayerArgument, OutputArgument]


class Values:
    """The values of an algorithm's parameters, read in the main thread of QGIS."""

    def __init__(
        self, algorithm: QgsProcessingAlgorithm, parameters: Mapping[str, Any], context: QgsProcessingContext
    ) -> None:
        """Keep the three objects that QGIS reads values from."""
        self.algorithm, self.parameters, self.context = algorithm, parameters, context
        self._readable: dict[str, OnDisk | AssignedCrs | InMemory | Edited] = {}

    def has(self, key: str) -> bool:
        """Return whether a parameter has a value, also a default one."""
        definition = self.algorithm.parameterDefinition(key)
        value = self.parameters.get(key, definition.defaultValue())
        if isinstance(value, QgsProcessingOutputLayerDefinition):  # from the batch dialog, empty for no output
            value, _ = value.sink.valueAsString(self.context.expressionContext())
        return not (value is None or value in ("", []) or (isinstance(value, QVariant) and value.isNull()))

    def _as(self, kind: str, key: str) -> Any:  # noqa: ANN401  (QGIS has a method for each type)
        return getattr(self.algorithm, f"parameterAs{kind}")(dict(self.parameters), key, self.context)

    def label(self, key: str) -> str:
        """Return a parameter's label for a message."""
        return message_label(self.algorithm.parameterDefinition(key).description())

    def text(self, key: str) -> str:
        """Return a text without blanks around it."""
        return str(self._as("String", key)).strip()

    def integer(self, key: str) -> int:
        """Return an integer."""
        return int(self._as("Int", key))

    def number(self, key: str) -> float:
        """Return a number."""
        return float(self._as("Double", key))

    def flag(self, key: str) -> bool:
        """Return whether a box is ticked."""
        return bool(self._as("Boolean", key))

    def choice(self, key: str) -> str:
        """Return the selected entry of a list."""
        return str(self._as("EnumString", key))

    def choices(self, key: str) -> list[str]:
        """Return the selected entries of a list."""
        return list(self._as("EnumStrings", key))

    def integers(self, key: str) -> list[int]:
        """Return several integers."""
        return list(self._as("Ints", key))

    def file(self, key: str) -> str:
        """Return a path."""
        return str(self._as("File", key))

    def range(self, key: str) -> list[float]:
        """Return two numbers."""
        return list(self._as("Range", key))

    def output(self, key: str) -> str:
        """Return the path of an output."""
        kind = "OutputLayer" if self.algorithm.parameterDefinition(key).type() == "rasterDestination" else "FileOutput"
        return str(self._as(kind, key))

    def layer(self, key: str) -> QgsRasterLayer:
        """Return a raster layer.

        Raises:
            QgsProcessingException: the value cannot be opened as a raster.
        """
        layer = self._as("RasterLayer", key)
        if layer is None or not layer.isValid():
            value = self.parameters.get(key)
            name = value.name() if isinstance(value, QgsMapLayer) else value
            raise QgsProcessingException(
                tr("{}: {} cannot be opened as a raster; choose a raster layer or file").format(self.label(key), name)
            )
        return layer

    def layer_argument(self, layer: QgsRasterLayer, suffix: str = "") -> LayerArgument:
        """Return an argument that names a layer's file; one layer is one file, however often it is used."""
        if layer.id() not in self._readable:
            self._readable[layer.id()] = readable(layer)
        return LayerArgument(self._readable[layer.id()], suffix)

    def layers(self, key: str) -> list[QgsRasterLayer]:
        """Return several raster layers."""
        return list(self._as("LayerList", key))

    def extent(self, key: str, crs: QgsCoordinateReferenceSystem) -> tuple[float, float, float, float]:
        """Return west, south, east and north in `crs`.

        Raises:
            QgsProcessingException: the value has no extent in `crs`.
        """
        box = self.algorithm.parameterAsExtent(dict(self.parameters), key, self.context, crs)
        edited = QgsProcessingUtils.mapLayerFromString(str(self.parameters[key]), self.context)
        if isinstance(edited, QgsVectorLayer) and edited.isEditable():  # QGIS returns the extent that was last saved
            box = QgsRectangle()
            for feature in edited.getFeatures():
                box.combineExtentWith(feature.geometry().boundingBox())
            transform = QgsCoordinateTransform(edited.crs(), crs, self.context.transformContext())
            box = transform.transformBoundingBox(box)
        corners = box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()
        if box.isEmpty() or not all(map(math.isfinite, corners)):
            raise QgsProcessingException(
                tr("{}: the value has no extent in the source's CRS; choose another extent").format(self.label(key))
            )
        return corners
