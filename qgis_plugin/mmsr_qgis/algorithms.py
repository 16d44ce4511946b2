"""Upsample, Evaluate and Fit: the methods that Processing calls, around a run of the command."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, ClassVar

from osgeo import gdal
from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputHtml,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
)
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QWidget

from . import interpreter, report, runner, settings
from .commands import command, description
from .dialog import FIELDS, message_labels
from .files import Scratch, is_same_file
from .interpreter import NoLibrary
from .layers import extra_nodata
from .messages import Event, Messages
from .progress import Overall
from .styling import Place, style_flags, style_like
from .translation import tr
from .values import Argument, LayerArgument, OutputArgument, Values, message_label

_STRIP_ROWS = 512
"""Rows of a tile in the QA file, so that each tile is read once."""
GUIDE_GAIN, GUIDE_CHECK = "GUIDE_GAIN", "GUIDE_CHECK"


class CommandAlgorithm(QgsProcessingAlgorithm):
    """An algorithm that runs a command of `mmsr-geo`."""

    COMMAND: ClassVar[str]
    TITLE: ClassVar[str]
    SUMMARY: ClassVar[str]
    TAGS: ClassVar[str]

    def __init__(self) -> None:
        """Create the algorithm without values."""
        super().__init__()
        self._arguments: list[Argument] = []
        self._parts = 1

    def createInstance(self) -> CommandAlgorithm:  # noqa: N802  (QGIS's name)
        """Return a new object of the same class."""
        return type(self)()

    def name(self) -> str:
        """Return the part of the algorithm's id after the colon."""
        return self.COMMAND

    def displayName(self) -> str:  # noqa: N802  (QGIS's name)
        """Return the title."""
        return tr(self.TITLE)

    def shortDescription(self) -> str:  # noqa: N802  (QGIS's name)
        """Return the tooltip in the toolbox."""
        return tr(self.SUMMARY)

    def shortHelpString(self) -> str:  # noqa: N802  (QGIS's name)
        """Return the panel next to the parameters: the introduction of the help page, then each parameter's help."""
        page = _help_file(self.COMMAND).read_text("utf-8")
        introduction = page[page.index("<body>") + len("<body>") : page.index("</body>")]
        parameters = "".join(
            f"<p><b>{escape(parameter.description())}</b><br>{escape(parameter.help())}</p>"
            for parameter in self.parameterDefinitions()
        )
        return f"{tr(' '.join(introduction.split()))}<h3>{tr('Parameters')}</h3>{parameters}"

    def helpUrl(self) -> str:  # noqa: N802  (QGIS's name)
        """Return the address of the page that the Help button opens."""
        return str(QUrl.fromLocalFile(str(_help_file(self.COMMAND))).toString())

    def tags(self) -> list[str]:
        """Return the words by which the toolbox finds the algorithm."""
        return tr(self.TAGS).split(",")

    def icon(self) -> QIcon:
        """Return the icon."""
        return self.provider().icon() if self.provider() else QIcon()

    def initAlgorithm(self, _configuration: Mapping[str, Any] | None = None) -> None:  # noqa: N802  (QGIS's name)
        """Add the parameters and the outputs."""
        options = command(self.COMMAND).options
        for name, field in FIELDS[self.COMMAND].items():
            for parameter in field.parameters(options[name]):
                self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputNumber(GUIDE_GAIN, tr("Guide gain (1 - RMSE / bicubic baseline's RMSE)")))
        self.addOutput(QgsProcessingOutputString(GUIDE_CHECK, tr("Guide check (helped, did not help or unknown)")))

    def createCustomParametersWidget(self, parent: QWidget | None) -> QWidget | None:  # noqa: N802  (QGIS's name)
        """Return the set-up dialog if the library is missing; None for the algorithm's own dialog."""
        try:
            interpreter.require_library(settings.chosen_interpreter().path)
        except NoLibrary:
            from .environment_dialog import EnvironmentDialog  # noqa: PLC0415  (windows, only when they are opened)

            return EnvironmentDialog(parent, then=self.id())
        return None

    def prepareAlgorithm(  # noqa: N802  (QGIS's name)
        self, parameters: Mapping[str, Any], context: QgsProcessingContext, _feedback: QgsProcessingFeedback
    ) -> bool:
        """Read the values in the main thread of QGIS, which the layers belong to."""
        values = Values(self, parameters, context)
        options = command(self.COMMAND).options
        of = {name: field.arguments(options[name], values) for name, field in FIELDS[self.COMMAND].items()}
        positional = [argument for name, arguments in of.items() if not options[name].flags for argument in arguments]
        flagged = [argument for name, arguments in of.items() if options[name].flags for argument in arguments]
        self._arguments = [*positional, *flagged, "--overwrite", "--progress", "json"]
        self.prepare_more(values)
        return True

    def prepare_more(self, values: Values) -> None:
        """Read what a subclass needs besides the arguments."""

    def processAlgorithm(  # noqa: N802  (QGIS's name)
        self, parameters: Mapping[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Run the command."""
        python = self._python(feedback)
        values = Values(self, parameters, context)
        outputs = {
            argument.key: values.output(argument.key)
            for argument in self._arguments
            if isinstance(argument, OutputArgument)
        }
        self._refuse_inputs(outputs)
        messages = Messages(message_labels(self.COMMAND, values), tr)
        with Scratch() as folder:
            arguments = [self.COMMAND, *self._with_files(outputs, folder, feedback)]
            feedback.pushCommandInfo(runner.command_line(["mmsr-geo", *arguments]))
            try:
                done = runner.run(
                    [str(python), "-m", "mmsr_geo", *arguments],
                    _Log(feedback, Overall(self._parts), messages),
                    feedback.isCanceled,
                    [Path(path) for path in outputs.values()],
                    messages,
                )
            except runner.CommandStopped:
                feedback.pushInfo(tr("Stopped. No unfinished file is left."))
                return {}
            except runner.CommandError as error:
                raise QgsProcessingException(str(error)) from error
        results = {**outputs, GUIDE_GAIN: done.get("guide_gain"), GUIDE_CHECK: done.get("guide_check")}
        self.finish(done, results, context, feedback)
        return results

    def finish(
        self,
        done: Event,
        results: dict[str, Any],  # noqa: ARG002  (a subclass adds to them)
        context: QgsProcessingContext,  # noqa: ARG002  (a subclass styles the layers that it loads)
        feedback: QgsProcessingFeedback,
    ) -> None:
        """Log the results."""
        feedback.pushInfo(_guide_check(done))

    def _python(self, feedback: QgsProcessingFeedback) -> Path:
        try:
            path = settings.chosen_interpreter().path
            info = interpreter.require_library(path)
        except NoLibrary as error:
            todo = tr("set it up under Plugins > MMSR guided super-resolution, or set {} to a Python that has it")
            raise QgsProcessingException(f"{error}: {todo.format(interpreter.VARIABLE)}") from error
        if info.version != description()["version"]:
            feedback.pushWarning(
                tr("mmsr_geo has version {}, and this plugin was made for {}: some options may differ").format(
                    info.version, description()["version"]
                )
            )
        return path

    def _refuse_inputs(self, outputs: Mapping[str, str]) -> None:
        """Raise QgsProcessingException if an output is an input; the command may get a copy and cannot notice."""
        origins = [argument.layer.origin for argument in self._arguments if isinstance(argument, LayerArgument)]
        for key, path in outputs.items():
            if any(is_same_file(path, origin) for origin in origins):
                label = message_label(self.parameterDefinition(key).description())
                raise QgsProcessingException(
                    tr("{}: {} is an input of this run; choose another file").format(label, path)
                )

    def _with_files(self, outputs: Mapping[str, str], folder: Path, feedback: QgsProcessingFeedback) -> list[str]:
        """Return the arguments with files in place of layers and outputs."""
        files: dict[int, str] = {}
        arguments = []
        for argument in self._arguments:
            if isinstance(argument, LayerArgument):
                key = id(argument.layer)
                if key not in files:
                    files[key] = argument.layer.as_file(folder, feedback)
                arguments.append(files[key] + argument.suffix)
            elif isinstance(argument, OutputArgument):
                arguments.append(outputs[argument.key])
            else:
                arguments.append(argument)
        return arguments


class Upsample(CommandAlgorithm):
    """Sharpens a source with a guide."""

    COMMAND = "upsample"
    TITLE = "Upsample raster"
    SUMMARY = "Sharpen a coarse raster with a finer raster of the same place."
    TAGS = "sharpen,super-resolution,downscale,pansharpen,resample,resolution,thermal,DEM,guide,MMSR"

    def prepare_more(self, values: Values) -> None:
        """Keep the style of the source, and pass its additional no data values."""
        source = values.layer("SOURCE")
        self._place = Place(source.id())
        self._like_source = style_like(source, self._place)
        if not values.has("SOURCE_NODATA"):
            nodata = extra_nodata(source, 1)
            if nodata is not None:
                self._arguments += ["--source-nodata", nodata]

    def finish(
        self,
        done: Event,
        results: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> None:
        """Log the results, and style the layers: the target like the source, the QA flags with a legend."""
        feedback.pushInfo(
            tr("Scale: {scale}; tiles: {tiles}; time: {seconds:.0f} s").format(
                scale=done["scale"], tiles=done["tiles"], seconds=done["seconds"]
            )
        )
        super().finish(done, results, context, feedback)
        styles = {"OUTPUT": self._like_source}
        if "QA" in results:
            styles["QA"] = style_flags(_values(results["QA"]), self._place)
        for name, style in styles.items():
            if context.willLoadLayerOnCompletion(results[name]):
                details = context.layerToLoadOnCompletionDetails(results[name])
                details.setPostProcessor(style)
                details.layerSortKey = list(styles).index(name)


class Evaluate(CommandAlgorithm):
    """Compares methods."""

    COMMAND = "evaluate"
    TITLE = "Evaluate upsampling"
    SUMMARY = "Compare upsampling methods on two rasters, with a truth or at reduced resolution."
    TAGS = "compare,methods,error,RMSE,accuracy,Wald,super-resolution,MMSR"
    HTML = "HTML"

    def initAlgorithm(self, configuration: Mapping[str, Any] | None = None) -> None:  # noqa: N802  (QGIS's name)
        """Add a page for the results viewer."""
        super().initAlgorithm(configuration)
        self.addOutput(QgsProcessingOutputHtml(self.HTML, tr("Scores and maps")))

    def prepare_more(self, values: Values) -> None:
        """Count the methods for the progress bar."""
        self._parts = len(values.choices("METHODS")) if values.has("METHODS") else report.QUICK_METHODS

    def finish(
        self,
        done: Event,
        results: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> None:
        """Log the scores and write the page."""
        if hasattr(feedback, "pushFormattedMessage"):  # from QGIS 3.36 on
            feedback.pushFormattedMessage(report.table(done), report.text(done))
        else:
            feedback.pushInfo(report.text(done))
        super().finish(done, results, context, feedback)
        page = Path(results["OUTPUT"]) / "report.html"
        page.write_text(report.page(done), "utf-8")
        results[self.HTML] = str(page)


class Fit(CommandAlgorithm):
    """Fits a model and saves it."""

    COMMAND = "fit"
    TITLE = "Fit and save a model"
    SUMMARY = "Fit a model to two rasters and save it for other dates or a larger area."
    TAGS = "train,model,neural network,super-resolution,MMSR"


class _Log:
    """Shows the command's events in the algorithm's log and progress bar."""

    def __init__(self, feedback: QgsProcessingFeedback, overall: Overall, messages: Messages) -> None:
        self._feedback, self._overall, self._messages = feedback, overall, messages

    def __call__(self, event: Event) -> None:
        """Show one event."""
        kind = event["event"]
        if kind == "stage":
            label, _, name = event["stage"].rpartition(": ")
            text = tr(description()["stages"].get(name, name))
            self._feedback.setProgressText(f"{label}: {text}" if label else text)
        elif kind == "progress":
            share = self._overall.share(event["stage"], event["done"], event["total"])
            self._feedback.setProgress(100 * share)
        elif kind == "warning":
            self._feedback.pushWarning(self._messages.text(event))
        elif kind == "line" and not event["text"].startswith("Error: "):  # the error event has the same message
            self._feedback.pushConsoleInfo(event["text"])


def _help_file(command: str) -> Path:
    return Path(__file__).parent / "pages" / f"{command}.html"


def _guide_check(done: Event) -> str:
    """Return the result of the guide check in words."""
    gain = done.get("guide_gain")
    if gain is None:
        return tr("Guide check: unknown. The source is too small for it, or no model was fitted.")
    result = tr("The guide helped") if done["guide_check"] == "helped" else tr("The guide did not help")
    return tr("{}: the error is expected to be {:.2f} times that of the bicubic baseline.").format(result, 1 - gain)


def _values(path: str) -> list[int]:
    """Return the values in the first band of a QA file of bytes.

    The band is read in strips. GDAL's own histogram would be saved in a file next to it.
    """
    dataset = gdal.Open(path)
    band = dataset.GetRasterBand(1)
    found: set[int] = set()
    for row in range(0, band.YSize, _STRIP_ROWS):
        strip = band.ReadRaster(0, row, band.XSize, min(_STRIP_ROWS, band.YSize - row), buf_type=gdal.GDT_Byte)
        found.update(bytes(strip).translate(None, bytes(found)))  # only the new values
    return sorted(found)
