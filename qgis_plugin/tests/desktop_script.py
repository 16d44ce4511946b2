"""The steps of a person in the main window of QGIS; `qgis --code` runs this file for test_desktop.py.

The task is a JSON file that MMSR_TEST_TASK names: source, guide, output, qa, parameters, pictures (a folder) and facts
(a file, written at the end).
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import processing
from qgis.core import (
    QgsApplication,
    QgsColorRampShader,
    QgsMapThemeCollection,
    QgsProject,
    QgsRasterLayer,
    QgsSingleBandPseudoColorRenderer,
    QgsStyle,
)
from qgis.PyQt.QtCore import QEventLoop, Qt, QTimer
from qgis.PyQt.QtWidgets import QDockWidget, QPushButton, QTreeView, QWidget
from qgis.utils import iface, plugins

TASK: dict[str, Any] = json.loads(Path(os.environ["MMSR_TEST_TASK"]).read_text("utf-8"))


def wait(seconds: float) -> None:
    """Run the event loop for a time."""
    loop = QEventLoop()
    QTimer.singleShot(int(1000 * seconds), loop.quit)
    loop.exec()


def until(signal: Any) -> list[Any]:
    """Wait for a signal and return its arguments; raise TimeoutError."""
    loop, received = QEventLoop(), []
    signal.connect(lambda *given: (received.extend([given]), loop.quit()))
    QTimer.singleShot(TASK["limit_ms"], loop.quit)
    loop.exec()
    if not received:
        raise TimeoutError(str(signal))
    return list(received[0])


def picture(widget: QWidget, name: str) -> None:
    """Save a picture of a widget."""
    wait(0.5)
    widget.grab().save(str(Path(TASK["pictures"]) / f"{name}.png"))


def coloured(layer: QgsRasterLayer) -> None:
    """Style a layer with colours between two values."""
    renderer = QgsSingleBandPseudoColorRenderer(layer.dataProvider(), 1)
    renderer.setClassificationMin(600)
    renderer.setClassificationMax(3000)
    ramp = QgsStyle.defaultStyle().colorRamp("Viridis")
    renderer.createShader(ramp, QgsColorRampShader.Type.Interpolated)
    layer.setRenderer(renderer)


def first_run() -> dict[str, Any]:
    """Open the algorithm without the library, and return the status of the dialog that opens instead."""
    kept = os.environ.pop("MMSR_GEO_PYTHON")
    seen = {}

    def look() -> None:
        windows = [each for each in QgsApplication.topLevelWidgets() if type(each).__name__ == "EnvironmentDialog"]
        if not windows:
            QTimer.singleShot(200, look)
            return
        (dialog,) = windows
        seen["status"] = dialog.status.text()
        picture(dialog, "qgis_set_up")
        dialog.reject()

    QTimer.singleShot(200, look)
    plugins["processing"].executeAlgorithm("mmsr:upsample", iface.mainWindow())
    os.environ["MMSR_GEO_PYTHON"] = kept
    return seen


def toolbox() -> list[str]:
    """Open the plugin's group in the toolbox and return its algorithms."""
    dock = iface.mainWindow().findChild(QDockWidget, "ProcessingToolbox")
    dock.setUserVisible(True)
    dock.resize(330, dock.height())
    tree = dock.findChild(QTreeView)
    model = tree.model()
    for row in range(model.rowCount()):
        index = model.index(row, 0)
        if model.data(index) == "MMSR guided super-resolution":
            tree.expand(index)
            tree.scrollTo(index)
            return [model.data(model.index(child, 0, index)) for child in range(model.rowCount(index))]
    return []


def upsample(source: QgsRasterLayer, guide: QgsRasterLayer) -> dict[str, Any]:
    """Select the two layers, press Run and wait for the result."""
    given = {
        "SOURCE": source.id(),
        "GUIDE": guide.id(),
        "OUTPUT": TASK["output"],
        "QA": TASK["qa"],
        **TASK["parameters"],
    }
    dialog = processing.createAlgorithmDialog("mmsr:upsample", given)
    dialog.resize(900, 560)
    dialog.show()
    wait(1)
    picture(dialog, "qgis_dialog")
    run = next(button for button in dialog.findChildren(QPushButton) if button.text().replace("&", "") == "Run")
    QTimer.singleShot(0, run.click)
    ok, results = until(dialog.algorithmFinished)
    picture(dialog, "qgis_log")
    dialog.close()
    return {"ok": ok, "results": {name: str(value) for name, value in results.items()}}


def batch(source: QgsRasterLayer, guide: QgsRasterLayer) -> dict[str, Any]:
    """Run two rows of the batch dialog, and return which of the results were loaded."""
    from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog

    algorithm = QgsApplication.processingRegistry().createAlgorithmById("mmsr:upsample")
    dialog = BatchAlgorithmDialog(algorithm, iface.mainWindow())
    dialog.show()
    folder = Path(TASK["output"]).parent
    outputs = [folder / f"batch_{method}.tif" for method in ("nearest", "bilinear")]
    panel = dialog.mainWidget()
    pair = {"SOURCE": source.source(), "GUIDE": guide.source()}
    rows = [
        {panel.PARAMETERS: {**pair, "METHOD": output.stem[len("batch_") :]}, panel.OUTPUTS: {"OUTPUT": str(output)}}
        for output in outputs
    ]
    panel.checkLoadLayersOnCompletion.setChecked(True)
    panel.load_batch_file_3_40_version({panel.ROWS: rows})
    picture(dialog, "qgis_batch")
    run = next(button for button in dialog.findChildren(QPushButton) if button.text().replace("&", "") == "Run")
    QTimer.singleShot(0, run.click)
    loaded: set[str] = set()
    while not {str(output) for output in outputs} <= loaded:  # main() ends this at the limit
        wait(0.5)
        loaded = {layer.source() for layer in QgsProject.instance().mapLayers().values()}
    dialog.close()
    return {output.name: str(output) in loaded for output in outputs}


def both_maps(source: QgsRasterLayer) -> None:
    """Show the source in a second map next to the first, which shows the target."""
    project = QgsProject.instance()
    theme = QgsMapThemeCollection.MapThemeRecord()
    theme.setLayerRecords([QgsMapThemeCollection.MapThemeLayerRecord(source)])
    project.mapThemeCollection().insert("source", theme)
    canvas = iface.createNewMapCanvas("source")
    canvas.setTheme("source")
    window = iface.mainWindow()
    docks = {dock.windowTitle(): dock for dock in window.findChildren(QDockWidget)}
    for title in ("Browser", "Processing Toolbox", "Results Viewer"):
        docks[title].close()
    window.resizeDocks([docks["source"], docks["Layers"]], [560, 300], Qt.Orientation.Horizontal)
    iface.messageBar().clearWidgets()
    box = source.extent()
    box.scale(0.4)
    for each in (canvas, iface.mapCanvas()):
        each.setDestinationCrs(project.crs())
        each.setExtent(box)
        each.refresh()
    wait(1)
    while canvas.isDrawing() or iface.mapCanvas().isDrawing():  # main() ends this at the limit
        wait(0.5)


def work() -> dict[str, Any]:
    """Do all steps and return the facts."""
    window = iface.mainWindow()
    window.showNormal()
    window.resize(1480, 860)
    facts: dict[str, Any] = {"plugin": "mmsr_qgis" in plugins, "first_run": first_run()}
    project = QgsProject.instance()
    guide = QgsRasterLayer(TASK["guide"], "guide, 10 m")
    source = QgsRasterLayer(TASK["source"], "source, 80 m")
    coloured(source)
    for layer in (guide, source):
        project.addMapLayer(layer)
    project.setCrs(source.crs())
    iface.setActiveLayer(guide)
    facts["toolbox"] = toolbox()
    facts["upsample"] = upsample(source, guide)
    tree = [node.layer() for node in project.layerTreeRoot().findLayers()]
    facts["tree"] = [layer.name() for layer in tree]
    target = next(layer for layer in tree if layer.source() == TASK["output"])
    facts["renderer"] = [type(layer.renderer()).__name__ for layer in (source, target)]
    facts["range"] = [
        [layer.renderer().classificationMin(), layer.renderer().classificationMax()] for layer in (source, target)
    ]
    picture(window, "qgis_toolbox")
    facts["batch"] = batch(source, guide)
    project.removeMapLayers([layer.id() for layer in project.mapLayers().values() if "batch" in layer.source()])
    both_maps(source)
    picture(window, "qgis_result")
    return facts


def leave(facts: dict[str, Any]) -> None:
    """Write the facts and end QGIS at once, before one of its dialogs waits for a person."""
    Path(TASK["facts"]).write_text(json.dumps(facts, indent=1), "utf-8")
    os._exit("error" in facts)


def fail(*_error: object) -> None:
    """Write the error, with a picture of the screen."""
    QgsApplication.primaryScreen().grabWindow(0).save(str(Path(TASK["pictures"]) / "error.png"))
    leave({"error": traceback.format_exc() if sys.exc_info()[0] else "".join(traceback.format_exception(*_error))})


def main() -> None:
    """Do all steps and end QGIS, at the limit at the latest."""
    sys.excepthook = fail  # that of QGIS opens a dialog
    QTimer.singleShot(TASK["limit_ms"], lambda: fail(TimeoutError, TimeoutError("too long"), None))
    leave(work())


QTimer.singleShot(1500, main)
