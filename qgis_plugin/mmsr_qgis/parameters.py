"""The command's options as parameters of Processing, and what a user gives for them as the command's words.

What an option is called, takes and defaults to comes from `commands.json`, which is what `mmsr-geo describe --json`
says; a kind below knows how it looks in a dialog.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Union

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsMapLayer,
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingParameterBand,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRange,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingUtils,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.core import QgsProcessingParameterDefinition as Parameter
from qgis.PyQt.QtCore import QVariant

from .layers import Edited, InMemory, OnDisk, Placed, readable
from .translation import tr


@dataclass(frozen=True)
class Option:
    """An option of the command, as it describes itself."""

    name: str
    flags: Sequence[str]
    off_flags: Sequence[str]
    type: str
    metavar: str
    required: bool
    multiple: bool
    default: Any
    help: str
    choices: Sequence[str] = ()

    @property
    def key(self) -> str:
        """The parameter's name in QGIS."""
        return self.name.upper()

    @property
    def flag(self) -> str:
        """The flag's long form."""
        return max(self.flags, key=len)


@dataclass(frozen=True)
class Command:
    """A command, as it describes itself."""

    help: str
    options: Mapping[str, Option]


@lru_cache(maxsize=1)
def described() -> Mapping[str, Any]:
    """Return what `mmsr-geo describe --json` says of the commands that are offered."""
    text = (Path(__file__).parent / "commands.json").read_text("utf-8")
    told: Mapping[str, Any] = json.loads(text)
    return told


def command(name: str) -> Command:
    """Return a command's description."""
    told = described()["commands"][name]
    return Command(told["help"], {each["name"]: Option(**each) for each in told["parameters"]})


@dataclass(frozen=True)
class LayerWord:
    """A word that names a layer, before other characters; which file that is, is known once the work has begun."""

    layer: OnDisk | Placed | InMemory | Edited
    after: str = ""


@dataclass(frozen=True)
class OutputWord:
    """A word that names what a parameter says shall be written; asked once, when the work begins.

    QGIS loads a result where this is asked in the context that the work runs in, which has a thread of its own.
    """

    key: str


Word = Union[str, LayerWord, OutputWord]


class Given:
    """What a user has given for an algorithm's parameters; asked in QGIS's main thread."""

    def __init__(
        self, algorithm: QgsProcessingAlgorithm, parameters: Mapping[str, Any], context: QgsProcessingContext
    ) -> None:
        """Remember where to look."""
        self.algorithm, self.parameters, self.context = algorithm, parameters, context
        self._readable: dict[str, OnDisk | Placed | InMemory | Edited] = {}

    def has(self, key: str) -> bool:
        """Whether a value is given, or stands as the default."""
        definition = self.algorithm.parameterDefinition(key)
        value = self.parameters.get(key, definition.defaultValue())
        if isinstance(value, QgsProcessingOutputLayerDefinition):  # the batch dialog's, empty where nothing is asked
            value, _ = value.sink.valueAsString(self.context.expressionContext())
        return not (value is None or value in ("", []) or (isinstance(value, QVariant) and value.isNull()))

    def _of(self, kind: str, key: str) -> Any:  # noqa: ANN401  (QGIS has a method a type)
        return getattr(self.algorithm, f"parameterAs{kind}")(dict(self.parameters), key, self.context)

    def text(self, key: str) -> str:
        """Return a text without blanks around it."""
        return str(self._of("String", key)).strip()

    def integer(self, key: str) -> int:
        """Return a whole number."""
        return int(self._of("Int", key))

    def number(self, key: str) -> float:
        """Return a number."""
        return float(self._of("Double", key))

    def flag(self, key: str) -> bool:
        """Return yes or no."""
        return bool(self._of("Boolean", key))

    def choice(self, key: str) -> str:
        """Return one choice."""
        return str(self._of("EnumString", key))

    def choices(self, key: str) -> list[str]:
        """Return several choices."""
        return list(self._of("EnumStrings", key))

    def integers(self, key: str) -> list[int]:
        """Return several whole numbers."""
        return list(self._of("Ints", key))

    def file(self, key: str) -> str:
        """Return a path."""
        return str(self._of("File", key))

    def range(self, key: str) -> list[float]:
        """Return two numbers."""
        return list(self._of("Range", key))

    def output(self, key: str) -> str:
        """Return the path that shall be written."""
        kind = "OutputLayer" if self.algorithm.parameterDefinition(key).type() == "rasterDestination" else "FileOutput"
        return str(self._of(kind, key))

    def layer(self, key: str) -> QgsRasterLayer:
        """Return a raster layer; raises QgsProcessingException where it is none."""
        found = self._of("RasterLayer", key)
        if found is None or not found.isValid():
            said = self.parameters.get(key)
            name = said.name() if isinstance(said, QgsMapLayer) else said
            label = self.algorithm.parameterDefinition(key).description()
            raise QgsProcessingException(
                tr("{}: {} cannot be opened as a raster; choose a raster layer or file").format(label, name)
            )
        return found

    def word(self, layer: QgsRasterLayer, after: str = "") -> LayerWord:
        """Return a word that names a layer; the same layer is the same file, however often it is named."""
        if layer.id() not in self._readable:
            self._readable[layer.id()] = readable(layer)
        return LayerWord(self._readable[layer.id()], after)

    def layers(self, key: str) -> list[QgsRasterLayer]:
        """Return several raster layers."""
        return list(self._of("LayerList", key))

    def extent(self, key: str, crs: QgsCoordinateReferenceSystem) -> tuple[float, float, float, float]:
        """Return west, south, east and north in `crs`; raises QgsProcessingException where there is no extent."""
        box = self.algorithm.parameterAsExtent(dict(self.parameters), key, self.context, crs)
        edited = QgsProcessingUtils.mapLayerFromString(str(self.parameters[key]), self.context)
        if isinstance(edited, QgsVectorLayer) and edited.isEditable():  # QGIS gives the extent that was saved
            box = QgsRectangle()
            for feature in edited.getFeatures():
                box.combineExtentWith(feature.geometry().boundingBox())
            transform = QgsCoordinateTransform(edited.crs(), crs, self.context.transformContext())
            box = transform.transformBoundingBox(box)
        corners = box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()
        if box.isEmpty() or not all(map(math.isfinite, corners)):
            label = self.algorithm.parameterDefinition(key).description()
            raise QgsProcessingException(
                tr("{}: what is given has no extent in the source's CRS; choose another part").format(label)
            )
        return corners


@dataclass(frozen=True)
class Offer:
    """How an option is offered."""

    label: str
    basic: bool = False
    help: str = ""
    """In place of the command's, where QGIS does not take all that the command does."""

    def told(self, option: Option) -> str:
        """Return the help."""
        return self.help or option.help

    def parameters(self, option: Option) -> Iterator[Parameter]:
        """Give the parameters that stand for the option."""
        raise NotImplementedError

    def words(self, option: Option, given: Given) -> list[Word]:
        """Return the command's words for what was given; none where it is the command's own default."""
        raise NotImplementedError


@dataclass(frozen=True)
class Text(Offer):
    """A text; one that may be given several times is one text with semicolons between."""

    def parameters(self, option: Option) -> Iterator[Parameter]:
        """Give a line to write in."""
        yield QgsProcessingParameterString(
            option.key, tr(self.label), defaultValue=option.default, optional=not option.required
        )

    def words(self, option: Option, given: Given) -> list[Word]:
        """Return the flag and the text, for each text."""
        text = given.text(option.key)
        texts = [each.strip() for each in text.split(";")] if option.multiple else [text]
        return [word for each in texts if each and each != option.default for word in (option.flag, each)]


@dataclass(frozen=True)
class Number(Offer):
    """A number, whole or not as the command has it."""

    least: float = -math.inf
    most: float = math.inf

    def parameters(self, option: Option) -> Iterator[Parameter]:
        """Give a number's box."""
        kinds = QgsProcessingParameterNumber.Type
        made = QgsProcessingParameterNumber(
            option.key,
            tr(self.label),
            kinds.Integer if option.type == "integer" else kinds.Double,
            option.default,
            option.default is None,
        )
        if math.isfinite(self.least):
            made.setMinimum(self.least)
        if math.isfinite(self.most):
            made.setMaximum(self.most)
        yield made

    def words(self, option: Option, given: Given) -> list[Word]:
        """Return the flag and the number."""
        if not given.has(option.key):
            return []
        value = given.integer(option.key) if option.type == "integer" else given.number(option.key)
        return (
            []
            if value == option.default
            else [option.flag, f"{value:.17g}" if isinstance(value, float) else str(value)]
        )


@dataclass(frozen=True)
class Choice(Offer):
    """One of several words: the command's own choices, or these."""

    among: Sequence[str] = ()

    def parameters(self, option: Option) -> Iterator[Parameter]:
        """Give a list to choose from."""
        yield QgsProcessingParameterEnum(
            option.key,
            tr(self.label),
            list(self.among or option.choices),
            defaultValue=option.default,
            optional=option.default is None,
            usesStaticStrings=True,
        )

    def words(self, option: Option, given: Given) -> list[Word]:
        """Return the flag and the choice."""
        value = given.choice(option.key) if given.has(option.key) else ""
        return [option.flag, value] if value and value != option.default else []


@dataclass(frozen=True)
class Choices(Offer):
    """Several of several words, which the command takes with commas between."""

    among: Sequence[str] = ()

    def parameters(self, option: Option) -> Iterator[Parameter]:
        """Give a list to tick."""
        yield QgsProcessingParameterEnum(
            option.key, tr(self.label), list(self.among), allowMultiple=True, optional=True, usesStaticStrings=True
        )

    def words(self, option: Option, given: Given) -> list[Word]:
        """Return the flag and the choices."""
        values = given.choices(option.key) if given.has(option.key) else []
        return [option.flag, ",".join(values)] if values else []


@dataclass(frozen=True)
class Flag(Offer):
    """Yes or no; with a third answer, as the command decides, where it has no default."""

    def parameters(self, option: Option) -> Iterator[Parameter]:
        """Give a box to tick, or a list of yes and no."""
        if option.default is None:
            yield QgsProcessingParameterEnum(
                option.key, tr(self.label), ["yes", "no"], optional=True, usesStaticStrings=True
            )
        else:
            yield QgsProcessingParameterBoolean(option.key, tr(self.label), option.default)

    def words(self, option: Option, given: Given) -> list[Word]:
        """Return the flag, its negation, or nothing."""
        if option.default is None:
            said = {"yes": True, "no": False}.get(given.choice(option.key) if given.has(option.key) else "")
        else:
            said = given.flag(option.key)
        if said == option.default:
            return []
        return [option.flag if said else option.off_flags[0]]


@dataclass(frozen=True)
class Layer(Offer):
    """A raster layer or file."""

    def parameters(self, option: Option) -> Iterator[Parameter]:
        """Give a list of the project's rasters."""
        yield QgsProcessingParameterRasterLayer(option.key, tr(self.label), optional=not option.required)

    def words(self, option: Option, given: Given) -> list[Word]:
        """Return the layer, after its flag where it has one."""
        if not given.has(option.key):
            return []
        return [*([option.flag] if option.flags else []), given.word(given.layer(option.key))]


@dataclass(frozen=True)
class Guides(Offer):
    """One raster, and more of them under Advanced."""

    more: str = ""

    def parameters(self, option: Option) -> Iterator[Parameter]:
        """Give a list of the project's rasters, and another to tick."""
        yield QgsProcessingParameterRasterLayer(option.key, tr(self.label))
        yield advanced(
            QgsProcessingParameterMultipleLayers(
                MORE_GUIDES, tr(self.more), QgsProcessing.SourceType.TypeRaster, optional=True
            )
        )

    def words(self, option: Option, given: Given) -> list[Word]:
        """Return all of them, in order."""
        more = given.layers(MORE_GUIDES) if given.has(MORE_GUIDES) else []
        return [given.word(layer) for layer in (given.layer(option.key), *more)]


@dataclass(frozen=True)
class GuideBands(Offer):
    """Bands of the guide to tick, and those of more guides as the command writes them."""

    more: str = ""

    def parameters(self, option: Option) -> Iterator[Parameter]:
        """Give the guide's bands, and a line to write in."""
        yield QgsProcessingParameterBand(
            option.key, tr(self.label), parentLayerParameterName="GUIDE", optional=True, allowMultiple=True
        )
        yield advanced(QgsProcessingParameterString(MORE_GUIDES_BAND, tr(self.more), optional=True))

    def words(self, option: Option, given: Given) -> list[Word]:
        """Return the flag with FILE:BAND,... for each."""
        words: list[Word] = []
        bands = given.integers(option.key) if given.has(option.key) else []
        if bands:
            words += [option.flag, given.word(given.layer("GUIDE"), ":" + ",".join(map(str, bands)))]
        for each in given.text(MORE_GUIDES_BAND).split(";"):
            words += [option.flag, each.strip()] if each.strip() else []
        return words


@dataclass(frozen=True)
class Band(Offer):
    """A band of the source."""

    def parameters(self, option: Option) -> Iterator[Parameter]:
        """Give the source's bands."""
        yield QgsProcessingParameterBand(
            option.key, tr(self.label), parentLayerParameterName="SOURCE", optional=not option.required
        )

    def words(self, option: Option, given: Given) -> list[Word]:
        """Return the flag and the band's number."""
        return [option.flag, str(given.integer(option.key))] if given.has(option.key) else []


@dataclass(frozen=True)
class Mask(Offer):
    """A raster layer, and the bits that count in it."""

    bits: str = ""

    def parameters(self, option: Option) -> Iterator[Parameter]:
        """Give a list of the project's rasters, and a line for the bits."""
        yield QgsProcessingParameterRasterLayer(option.key, tr(self.label), optional=True)
        yield advanced(QgsProcessingParameterString(f"{option.key}_BITS", tr(self.bits), optional=True))

    def words(self, option: Option, given: Given) -> list[Word]:
        """Return the flag and FILE or FILE:BITS."""
        if not given.has(option.key):
            return []
        bits = given.text(f"{option.key}_BITS")
        return [option.flag, given.word(given.layer(option.key), f":{bits}" if bits else "")]


@dataclass(frozen=True)
class LayerOrText(Offer):
    """A raster layer, or a text instead of it."""

    text: str = ""

    def parameters(self, option: Option) -> Iterator[Parameter]:
        """Give a list of the project's rasters, and a line to write in."""
        yield QgsProcessingParameterRasterLayer(option.key, tr(self.label), optional=True)
        yield advanced(QgsProcessingParameterString(f"{option.key}_RESOLUTION", tr(self.text), optional=True))

    def words(self, option: Option, given: Given) -> list[Word]:
        """Return the flag and what is given; raises QgsProcessingException where both are."""
        layer, text = given.has(option.key), given.text(f"{option.key}_RESOLUTION")
        if layer and text:
            raise QgsProcessingException(
                tr("{} and {} are two answers to one question: leave one empty").format(tr(self.label), tr(self.text))
            )
        if layer:
            return [option.flag, given.word(given.layer(option.key))]
        return [option.flag, text] if text else []


@dataclass(frozen=True)
class Extent(Offer):
    """A part of the map, in any CRS; the command is given it in the source's."""

    def parameters(self, option: Option) -> Iterator[Parameter]:
        """Give an extent's box."""
        yield QgsProcessingParameterExtent(option.key, tr(self.label), optional=True)

    def words(self, option: Option, given: Given) -> list[Word]:
        """Return the flag and W,S,E,N."""
        if not given.has(option.key):
            return []
        corners = given.extent(option.key, given.layer("SOURCE").crs())
        return [option.flag, ",".join(f"{each:.17g}" for each in corners)]


@dataclass(frozen=True)
class Range(Offer):
    """A least and a largest value; one that is not given is infinite."""

    def parameters(self, option: Option) -> Iterator[Parameter]:
        """Give two numbers' boxes."""
        yield QgsProcessingParameterRange(
            option.key, tr(self.label), QgsProcessingParameterNumber.Type.Double, optional=True
        )

    def words(self, option: Option, given: Given) -> list[Word]:
        """Return the flag and MIN,MAX."""
        ends = given.range(option.key) if given.has(option.key) else []
        if len(ends) != 2 or all(math.isnan(end) for end in ends):
            return []
        low, high = (beyond if math.isnan(end) else end for end, beyond in zip(ends, (-math.inf, math.inf)))
        return [option.flag, f"{low:.17g},{high:.17g}"]


@dataclass(frozen=True)
class File(Offer):
    """A file that there is."""

    ending: str = ""

    def parameters(self, option: Option) -> Iterator[Parameter]:
        """Give a path's box."""
        yield QgsProcessingParameterFile(option.key, tr(self.label), optional=True, fileFilter=tr(self.ending))

    def words(self, option: Option, given: Given) -> list[Word]:
        """Return the flag and the path."""
        return [option.flag, given.file(option.key)] if given.has(option.key) else []


@dataclass(frozen=True)
class Output(Offer):
    """What is written: a raster, a file with an ending, or a folder."""

    basic: bool = True
    ending: str = ""
    is_folder: bool = False
    is_asked: bool = True
    """Whether it is written unless told otherwise."""

    def parameters(self, option: Option) -> Iterator[Parameter]:
        """Give where it shall go."""
        optional = not self.is_asked
        if self.is_folder:
            yield QgsProcessingParameterFolderDestination(option.key, tr(self.label), None, optional, self.is_asked)
        elif self.ending:
            yield QgsProcessingParameterFileDestination(
                option.key, tr(self.label), tr(self.ending), None, optional, self.is_asked
            )
        else:
            yield QgsProcessingParameterRasterDestination(option.key, tr(self.label), None, optional, self.is_asked)

    def words(self, option: Option, given: Given) -> list[Word]:
        """Return the flag and where it goes."""
        return [option.flag, OutputWord(option.key)] if given.has(option.key) else []


MORE_GUIDES = "MORE_GUIDES"
MORE_GUIDES_BAND = "MORE_GUIDES_BAND"


def advanced(parameter: Parameter) -> Parameter:
    """Put a parameter under Advanced."""
    parameter.setFlags(parameter.flags() | Parameter.Flag.FlagAdvanced)
    return parameter
