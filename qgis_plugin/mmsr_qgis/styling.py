"""Style of the results and their place in the layer tree; runs in the main thread of QGIS, after loading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from processing.core.ProcessingConfig import ProcessingConfig
from qgis.core import (
    QgsMapLayer,
    QgsPalettedRasterRenderer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsProject,
    QgsRasterInterface,
    QgsRasterLayer,
    QgsReadWriteContext,
)
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtGui import QColor
from qgis.PyQt.QtXml import QDomDocument

from .translation import tr

FLAGS = {
    1: ("no data in the source", "#4d4d4d"),
    2: ("gap in the guide", "#2c7fb8"),
    4: ("guide outside the fitted range", "#c994c7"),
    8: ("guide did not help", "#fdae61"),
    16: ("source outside the valid range", "#d7191c"),
    32: ("tile failed", "#000000"),
}
"""QA flag → its label in the legend, short because several can be joined, and its colour.

A test compares the flags with the command's.
"""

_waiting: set[QgsProcessingLayerPostProcessorInterface] = set()
"""References that keep post-processors alive until they have run; QGIS does not keep any."""


class Styled(QgsProcessingLayerPostProcessorInterface):
    """Calls a function on a result after it is loaded."""

    def __init__(self, style: Callable[[QgsRasterLayer, QgsProject], None]) -> None:
        """Keep the function until the layer is loaded."""
        super().__init__()
        self._style = style
        _waiting.add(self)

    def postProcessLayer(  # noqa: N802  (QGIS's name)
        self, layer: QgsMapLayer, context: QgsProcessingContext, _feedback: QgsProcessingFeedback
    ) -> None:
        """Call the function."""
        if isinstance(layer, QgsRasterLayer):
            self._style(layer, context.project() or QgsProject.instance())
        QTimer.singleShot(0, lambda: _waiting.discard(self))


@dataclass
class Place:
    """Place of one run's results in the layer tree: the target just above its source, the QA flags above both."""

    source_id: str
    target_id: str = ""
    """Set when the target is loaded; QGIS decides the order of loading."""


def style_of(layer: QgsRasterLayer) -> QDomDocument:
    """Return a layer's style: renderer with its range, opacity and so on."""
    style = QDomDocument("qgis")
    layer.exportNamedStyle(style, QgsReadWriteContext(), QgsMapLayer.StyleCategory.Symbology)
    return style


def style_like(source: QgsRasterLayer, place: Place) -> Styled:
    """Return a post-processor that gives a target its source's present style and its place; call in the main thread."""
    source_style, bands = style_of(source), source.renderer().usesBands() if source.renderer() else []

    def style(layer: QgsRasterLayer, project: QgsProject) -> None:
        if max(bands, default=1) <= layer.bandCount():
            layer.importNamedStyle(source_style, QgsMapLayer.StyleCategory.Symbology)
            layer.triggerRepaint()
            layer.emitStyleChanged()
        place.target_id = layer.id()
        _place_above(layer, place.source_id, project)

    return Styled(style)


def style_flags(values: list[int], place: Place) -> Styled:
    """Return a post-processor that gives QA flags a legend of the values in them, and their place."""

    def style(layer: QgsRasterLayer, project: QgsProject) -> None:
        layer.setRenderer(flags_renderer(layer.dataProvider(), values))
        layer.triggerRepaint()
        layer.emitStyleChanged()
        _place_above(layer, place.target_id or place.source_id, project)

    return Styled(style)


def flags_renderer(provider: QgsRasterInterface, values: list[int]) -> QgsPalettedRasterRenderer:
    """Return a renderer with one class per value; pixels without a flag are transparent."""
    classes = [
        QgsPalettedRasterRenderer.Class(value, flags_colour(value), flags_label(value)) for value in sorted(values)
    ]
    return QgsPalettedRasterRenderer(provider, 1, classes)


def flags_label(value: int) -> str:
    """Return the label of a value of the QA file."""
    labels = [tr(label) for flag, (label, _) in FLAGS.items() if value & flag]
    return "; ".join(labels) or tr("no flag")


def flags_colour(value: int) -> QColor:
    """Return a value's colour: the mean of its flags' colours, or transparent without a flag."""
    colours = [QColor(colour) for flag, (_, colour) in FLAGS.items() if value & flag]
    if not colours:
        return QColor(0, 0, 0, 0)
    red, green, blue = (
        sum(parts) // len(colours)
        for parts in zip(*((colour.red(), colour.green(), colour.blue()) for colour in colours))
    )
    return QColor(red, green, blue, 200)


def _place_above(layer: QgsRasterLayer, other_id: str, project: QgsProject) -> None:
    """Move a layer just above another in the tree, unless the user has set a group for results."""
    if not ProcessingConfig.getSetting(ProcessingConfig.RESULTS_GROUP_NAME):
        layer_id = layer.id()
        # QGIS before 3.36 adds the layer to the tree only after this.
        if project.layerTreeRoot().findLayer(layer_id) is None:
            QTimer.singleShot(0, lambda: _move_above(layer_id, other_id, project))
        else:
            _move_above(layer_id, other_id, project)


def _move_above(layer_id: str, other_id: str, project: QgsProject) -> None:
    root = project.layerTreeRoot()
    node, other = root.findLayer(layer_id), root.findLayer(other_id)
    if node is None or other is None or node is other:
        return
    group = other.parent()
    group.insertChildNode(group.children().index(other), node.clone())
    node.parent().removeChildNode(node)
