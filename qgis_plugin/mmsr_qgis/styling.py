"""How results look and where they lie in the layer tree; runs in QGIS's main thread, once they are loaded."""

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
    1: ("hole in the source", "#4d4d4d"),
    2: ("guide missing, interpolated instead", "#2c7fb8"),
    4: ("guide outside the range that the net was fitted on", "#c994c7"),
    8: ("guide did not help in this part", "#fdae61"),
    16: ("source outside the valid range", "#d7191c"),
    32: ("tile failed and skipped", "#000000"),
}
"""Bit of the flags' file → what it means, in the command's words (a test holds them equal), and its colour."""

_waiting: set[QgsProcessingLayerPostProcessorInterface] = set()
"""QGIS holds a post-processor by a bare pointer, so that somebody else has to keep it alive until it has run."""


class Styled(QgsProcessingLayerPostProcessorInterface):
    """Does something to a result once it is loaded."""

    def __init__(self, style: Callable[[QgsRasterLayer, QgsProject], None]) -> None:
        """Wait for the layer."""
        super().__init__()
        self._style = style
        _waiting.add(self)

    def postProcessLayer(  # noqa: N802  (QGIS's name)
        self, layer: QgsMapLayer, context: QgsProcessingContext, _feedback: QgsProcessingFeedback
    ) -> None:
        """Style it."""
        if isinstance(layer, QgsRasterLayer):
            self._style(layer, context.project() or QgsProject.instance())
        QTimer.singleShot(0, lambda: _waiting.discard(self))


@dataclass
class Place:
    """Where the results of one run go in the layer tree: the target right above its source, the flags above both."""

    source_id: str
    target_id: str = ""
    """Once it is loaded; the order in which results are loaded is QGIS's."""


def style_of(layer: QgsRasterLayer) -> QDomDocument:
    """Return how a layer is drawn: its renderer with the range, its opacity and the like."""
    style = QDomDocument("qgis")
    layer.exportNamedStyle(style, QgsReadWriteContext(), QgsMapLayer.StyleCategory.Symbology)
    return style


def style_like(source: QgsRasterLayer, place: Place) -> Styled:
    """Return what draws a target as its source is drawn now, and puts it in its place; called in the main thread."""
    drawn, bands = style_of(source), source.renderer().usesBands() if source.renderer() else []

    def style(layer: QgsRasterLayer, project: QgsProject) -> None:
        if max(bands, default=1) <= layer.bandCount():
            layer.importNamedStyle(drawn, QgsMapLayer.StyleCategory.Symbology)
            layer.triggerRepaint()
            layer.emitStyleChanged()
        place.target_id = layer.id()
        _place_above(layer, place.source_id, project)

    return Styled(style)


def style_flags(values: list[int], place: Place) -> Styled:
    """Return what draws flags with a legend of the values that there are, and puts them in their place."""

    def style(layer: QgsRasterLayer, project: QgsProject) -> None:
        layer.setRenderer(flags_renderer(layer.dataProvider(), values))
        layer.triggerRepaint()
        layer.emitStyleChanged()
        _place_above(layer, place.target_id or place.source_id, project)

    return Styled(style)


def flags_renderer(provider: QgsRasterInterface, values: list[int]) -> QgsPalettedRasterRenderer:
    """Return a renderer of flags: a class a value, transparent where there is nothing to say."""
    classes = [
        QgsPalettedRasterRenderer.Class(value, flags_colour(value), flags_label(value)) for value in sorted(values)
    ]
    return QgsPalettedRasterRenderer(provider, 1, classes)


def flags_label(value: int) -> str:
    """Say what a value of the flags' file means."""
    said = [tr(meaning) for bit, (meaning, _) in FLAGS.items() if value & bit]
    return "; ".join(said) or tr("nothing to be said")


def flags_colour(value: int) -> QColor:
    """Return a value's colour: its flags' mean; transparent where none is set."""
    colours = [QColor(colour) for bit, (_, colour) in FLAGS.items() if value & bit]
    if not colours:
        return QColor(0, 0, 0, 0)
    red, green, blue = (
        sum(parts) // len(colours) for parts in zip(*((each.red(), each.green(), each.blue()) for each in colours))
    )
    return QColor(red, green, blue, 200)


def _place_above(layer: QgsRasterLayer, other_id: str, project: QgsProject) -> None:
    """Move a layer right above another in the tree, unless the user has named a group for results."""
    if not ProcessingConfig.getSetting(ProcessingConfig.RESULTS_GROUP_NAME):
        layer_id = layer.id()
        # QGIS before 3.36 puts the layer into the tree only after this.
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
