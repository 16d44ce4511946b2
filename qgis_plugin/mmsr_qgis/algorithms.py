"""Upsample, Evaluate and Fit: what Processing asks of an algorithm, around a run of the command."""

from __future__ import annotations

from collections.abc import Mapping
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
from .dialog import OFFERED
from .help import help_file, panel_text
from .interpreter import NoLibrary
from .layers import extra_nodata, is_same_file
from .parameters import Given, LayerWord, Offer, Option, OutputWord, Word, advanced, command, described
from .progress import Overall
from .scratch import Scratch
from .styling import Place, style_flags, style_like
from .translation import tr

_STRIP_ROWS = 512
"""A tile's side in the files of flags: each is read once."""
GUIDE_GAIN, GUIDE_VERDICT = "GUIDE_GAIN", "GUIDE_VERDICT"


class CommandAlgorithm(QgsProcessingAlgorithm):
    """An algorithm that runs a command of `mmsr-geo`."""

    COMMAND: ClassVar[str]
    TITLE: ClassVar[str]
    TAGS: ClassVar[str]

    def __init__(self) -> None:
        """Nothing is given yet."""
        super().__init__()
        self._words: list[Word] = []
        self._parts = 1

    def createInstance(self) -> CommandAlgorithm:  # noqa: N802  (QGIS's name)
        """Return another of the kind."""
        return type(self)()

    def name(self) -> str:
        """Return what comes after the colon of the algorithm's id."""
        return self.COMMAND

    def displayName(self) -> str:  # noqa: N802  (QGIS's name)
        """Return the title."""
        return tr(self.TITLE)

    def shortDescription(self) -> str:  # noqa: N802  (QGIS's name)
        """Return the tooltip in the toolbox."""
        return tr(command(self.COMMAND).help)

    def shortHelpString(self) -> str:  # noqa: N802  (QGIS's name)
        """Return the panel's help."""
        return panel_text(self.COMMAND)

    def helpUrl(self) -> str:  # noqa: N802  (QGIS's name)
        """Return the page behind the Help button."""
        return str(QUrl.fromLocalFile(str(help_file(self.COMMAND))).toString())

    def tags(self) -> list[str]:
        """Return words that the toolbox finds it by."""
        return tr(self.TAGS).split(",")

    def icon(self) -> QIcon:
        """Return the icon."""
        return self.provider().icon() if self.provider() else QIcon()

    def initAlgorithm(self, _configuration: Mapping[str, Any] | None = None) -> None:  # noqa: N802  (QGIS's name)
        """Add the parameters and the outputs."""
        for option, offer in self._offered():
            for parameter in offer.parameters(option):
                parameter.setHelp(tr(offer.told(option)))
                self.addParameter(parameter if offer.basic else advanced(parameter))
        self.addOutput(QgsProcessingOutputNumber(GUIDE_GAIN, tr("What the guide was worth, one level down")))
        self.addOutput(QgsProcessingOutputString(GUIDE_VERDICT, tr("Whether the guide helped")))

    def createCustomParametersWidget(self, parent: QWidget | None) -> QWidget | None:  # noqa: N802  (QGIS's name)
        """Return the library's dialog in place of the algorithm's own where there is no library; else None."""
        try:
            interpreter.checked(settings.chosen_interpreter().path)
        except NoLibrary:
            from .environment_dialog import EnvironmentDialog  # noqa: PLC0415  (windows, only when needed)

            return EnvironmentDialog(parent, then=self.id())
        return None

    def prepareAlgorithm(  # noqa: N802  (QGIS's name)
        self, parameters: Mapping[str, Any], context: QgsProcessingContext, _feedback: QgsProcessingFeedback
    ) -> bool:
        """Read what is given, in QGIS's main thread, where the layers live."""
        given = Given(self, parameters, context)
        options = command(self.COMMAND).options
        said = {name: offer.words(options[name], given) for name, offer in OFFERED[self.COMMAND].items()}
        places = [word for name, words in said.items() if not options[name].flags for word in words]
        flagged = [word for name, words in said.items() if options[name].flags for word in words]
        self._words = [*places, *flagged, "--overwrite", "--progress", "json"]
        self.prepare_more(given)
        return True

    def prepare_more(self, given: Given) -> None:
        """Read what an algorithm of its own needs beside the words."""

    def processAlgorithm(  # noqa: N802  (QGIS's name)
        self, parameters: Mapping[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Run the command."""
        python = self._python(feedback)
        given = Given(self, parameters, context)
        outputs = {word.key: given.output(word.key) for word in self._words if isinstance(word, OutputWord)}
        self._refuse_inputs(outputs)
        with Scratch() as folder:
            words = [self.COMMAND, *self._written(outputs, folder, feedback)]
            feedback.pushCommandInfo(runner.typed(["mmsr-geo", *words]))
            told = _Told(feedback, Overall(self._parts))
            whole = [str(python), "-m", "mmsr_geo", *words]
            try:
                done = runner.run(whole, told, feedback.isCanceled, [Path(path) for path in outputs.values()])
            except runner.CommandStopped:
                feedback.pushInfo(tr("Stopped: no unfinished file is left."))
                return {}
            except runner.CommandError as error:
                raise QgsProcessingException(str(error)) from error
        gain, verdict = done.get("guide_gain"), done.get("guide_verdict")
        results = {**outputs, GUIDE_GAIN: gain, GUIDE_VERDICT: verdict}
        self.finish(done, results, context, feedback)
        return results

    def finish(
        self,
        done: runner.Event,
        results: dict[str, Any],  # noqa: ARG002  (what an algorithm of its own adds to)
        context: QgsProcessingContext,  # noqa: ARG002  (what loads the results)
        feedback: QgsProcessingFeedback,
    ) -> None:
        """Say what came of it."""
        feedback.pushInfo(_verdict(done))

    def _offered(self) -> list[tuple[Option, Offer]]:
        options = command(self.COMMAND).options
        return [(options[name], offer) for name, offer in OFFERED[self.COMMAND].items()]

    def _python(self, feedback: QgsProcessingFeedback) -> Path:
        try:
            path = settings.chosen_interpreter().path
            found = interpreter.checked(path)
        except NoLibrary as error:
            mend = tr("set it up under Plugins > MMSR guided super-resolution, or name a Python that has it in {}")
            raise QgsProcessingException(f"{error}: {mend.format(interpreter.VARIABLE)}") from error
        if found.version != described()["version"]:
            feedback.pushWarning(
                tr("mmsr_geo is of version {}, this plugin was made for {}: an option may differ").format(
                    found.version, described()["version"]
                )
            )
        return path

    def _refuse_inputs(self, outputs: Mapping[str, str]) -> None:
        """Raise QgsProcessingException where an output is an input: the command, given a copy, cannot tell."""
        origins = [word.layer.origin for word in self._words if isinstance(word, LayerWord)]
        for key, path in outputs.items():
            if any(is_same_file(path, origin) for origin in origins):
                label = self.parameterDefinition(key).description()
                raise QgsProcessingException(tr("{}: {} is an input too; name another file").format(label, path))

    def _written(self, outputs: Mapping[str, str], folder: Path, feedback: QgsProcessingFeedback) -> list[str]:
        """Return the words with files in place of layers and outputs."""
        files: dict[int, str] = {}
        words = []
        for word in self._words:
            if isinstance(word, LayerWord):
                key = id(word.layer)
                if key not in files:
                    files[key] = word.layer.written(folder, feedback)
                words.append(files[key] + word.after)
            elif isinstance(word, OutputWord):
                words.append(outputs[word.key])
            else:
                words.append(word)
        return words


class Upsample(CommandAlgorithm):
    """A source at a guide's detail."""

    COMMAND = "upsample"
    TITLE = "Upsample raster"
    TAGS = "sharpen,super-resolution,downscale,pansharpen,resample,resolution,thermal,DEM,guide,MMSR"

    def prepare_more(self, given: Given) -> None:
        """Remember how the source is drawn, and what its layer calls no data."""
        source = given.layer("SOURCE")
        self._place = Place(source.id())
        self._like_source = style_like(source, self._place)
        if not given.has("SOURCE_NODATA"):
            value = extra_nodata(source, 1)
            if value is not None:
                self._words += ["--source-nodata", f"{value:.17g}"]

    def finish(
        self,
        done: runner.Event,
        results: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> None:
        """Have the results drawn as the source is, with a legend for the flags, and say what came of it."""
        feedback.pushInfo(
            tr("Scale {scale}, tiles: {tiles}, {seconds:.0f} s").format(
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
    """Methods side by side."""

    COMMAND = "evaluate"
    TITLE = "Evaluate upsampling"
    TAGS = "compare,methods,error,RMSE,accuracy,Wald,super-resolution,MMSR"
    HTML = "HTML"

    def initAlgorithm(self, configuration: Mapping[str, Any] | None = None) -> None:  # noqa: N802  (QGIS's name)
        """Add a page for the results viewer."""
        super().initAlgorithm(configuration)
        self.addOutput(QgsProcessingOutputHtml(self.HTML, tr("Table of scores, with maps")))

    def prepare_more(self, given: Given) -> None:
        """Count the methods, for the progress."""
        self._parts = len(given.choices("METHODS")) if given.has("METHODS") else report.QUICK_METHODS

    def finish(
        self,
        done: runner.Event,
        results: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> None:
        """Say the scores, and write them to a page."""
        if hasattr(feedback, "pushFormattedMessage"):  # from QGIS 3.36 on
            feedback.pushFormattedMessage(report.table(done), report.text(done))
        else:
            feedback.pushInfo(report.text(done))
        super().finish(done, results, context, feedback)
        page = Path(results["OUTPUT"]) / "report.html"
        page.write_text(report.page(done), "utf-8")
        results[self.HTML] = str(page)


class Fit(CommandAlgorithm):
    """A net to be used again."""

    COMMAND = "fit"
    TITLE = "Fit (save a net)"
    TAGS = "train,net,model,super-resolution,MMSR"


class _Told:
    """Puts what the command says into the algorithm's log and progress bar."""

    def __init__(self, feedback: QgsProcessingFeedback, overall: Overall) -> None:
        """Nothing is said yet."""
        self._feedback, self._overall = feedback, overall

    def __call__(self, event: runner.Event) -> None:
        """Show one event."""
        kind = event["event"]
        if kind == "stage":
            label, _, name = event["stage"].rpartition(": ")
            said = tr(described()["stages"].get(name, name))
            self._feedback.setProgressText(f"{label}: {said}" if label else said)
        elif kind == "progress":
            share = self._overall.share(event["stage"], event["done"], event["total"])
            self._feedback.setProgress(100 * share)
        elif kind == "warning":
            self._feedback.pushWarning(event["message"])
        elif kind == "line" and not event["text"].startswith("Error: "):  # that is the error event, said twice
            self._feedback.pushConsoleInfo(event["text"])


def _verdict(done: runner.Event) -> str:
    """Say whether the guide helped."""
    gain = done.get("guide_gain")
    if gain is None:
        return tr("Whether the guide helped is unknown: the source is too small to tell, or nothing was fitted")
    helped = tr("The guide helped") if done["guide_verdict"] == "helped" else tr("The guide did not help")
    return tr("{}: one level down the error is {:.2f} of the interpolation's").format(helped, 1 - gain)


def _values(path: str) -> list[int]:
    """Return the values that a file of flags, which are bytes, holds in its first band.

    By strips: GDAL would write a histogram, once it is asked for one, into a file beside the flags.
    """
    dataset = gdal.Open(path)
    band = dataset.GetRasterBand(1)
    found: set[int] = set()
    for row in range(0, band.YSize, _STRIP_ROWS):
        strip = band.ReadRaster(0, row, band.XSize, min(_STRIP_ROWS, band.YSize - row), buf_type=gdal.GDT_Byte)
        found.update(bytes(strip).translate(None, bytes(found)))  # what is new in it
    return sorted(found)
