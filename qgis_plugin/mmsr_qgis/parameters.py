"""The command's options as parameters of Processing, and their values as arguments of the command.

Name, type and default of an option come from `commands.json`, the output of `mmsr-geo describe --json`. Each kind of
field below knows which parameter shows such an option, and which arguments its value becomes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
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

from .layers import AssignedCrs, Edited, InMemory, OnDisk, readable
from .translation import tr

MORE_GUIDES = "MORE_GUIDES"
MORE_GUIDES_BAND = "MORE_GUIDES_BAND"


@dataclass(frozen=True)
class Option:
    """An option of the command, as `mmsr-geo describe --json` describes it."""

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
        """The long form of the flag."""
        return max(self.flags, key=len)


@dataclass(frozen=True)
class Command:
    """A command with its options, as `mmsr-geo describe --json` describes it."""

    help: str
    options: Mapping[str, Option]


@lru_cache(maxsize=1)
def description() -> Mapping[str, Any]:
    """Return the output of `mmsr-geo describe --json` for the commands that the plugin runs."""
    text = (Path(__file__).parent / "commands.json").read_text("utf-8")
    described: Mapping[str, Any] = json.loads(text)
    return described


def command(name: str) -> Command:
    """Return the description of a command."""
    described = description()["commands"][name]
    return Command(described["help"], {each["name"]: Option(**each) for each in described["parameters"]})


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


@dataclass(frozen=True)
class Extra:
    """Label and help of a further parameter that shows a part of an option."""

    label: str
    help: str

    def line(self, key: str) -> Parameter:
        """Return a line to type in, under Advanced."""
        return self.with_help(QgsProcessingParameterString(key, tr(self.label), optional=True))

    def with_help(self, parameter: Parameter) -> Parameter:
        """Return a parameter with this help, under Advanced."""
        parameter.setHelp(tr(self.help))
        return advanced(parameter)


@dataclass(frozen=True)
class Field:
    """Label and help of an option in a dialog; the subclasses are the kinds of parameters."""

    label: str
    """May end with a hint in parentheses, which messages leave out."""
    help: str = ""
    """Replaces the command's help where that is not right in QGIS."""
    basic: bool = False
    """Whether the parameter is shown above Advanced."""

    def parameters(self, option: Option) -> list[Parameter]:
        """Return the parameters that show the option."""
        main = self.main(option)
        main.setHelp(self.help_text(option))
        return [main if self.basic else advanced(main), *self.extras(option)]

    def help_text(self, option: Option) -> str:
        """Return the help, in the language of QGIS."""
        return tr(self.help or option.help)

    def main(self, option: Option) -> Parameter:
        """Return the parameter that has the option's name."""
        raise NotImplementedError

    def extras(self, option: Option) -> list[Parameter]:  # noqa: ARG002  (for the kinds that have some)
        """Return further parameters, each with its help."""
        return []

    def arguments(self, option: Option, values: Values) -> list[Argument]:
        """Return the command's arguments for the value; none where it is the command's default."""
        raise NotImplementedError

    def message_label(self, key: str, values: Values) -> str:  # noqa: ARG002  (for the kinds with two parameters)
        """Return the label for a message."""
        return message_label(tr(self.label))


@dataclass(frozen=True)
class Text(Field):
    """A text; an option that can be repeated is one text with semicolons."""

    def help_text(self, option: Option) -> str:
        """Return the help, and how to enter several values."""
        several = [tr("Separate several entries with semicolons.")] if option.multiple else []
        return " ".join([super().help_text(option), *several])

    def main(self, option: Option) -> Parameter:
        """Return a line to type in."""
        return QgsProcessingParameterString(
            option.key, tr(self.label), defaultValue=option.default, optional=not option.required
        )

    def arguments(self, option: Option, values: Values) -> list[Argument]:
        """Return the flag and the text, for each text."""
        text = values.text(option.key)
        texts = [each.strip() for each in text.split(";")] if option.multiple else [text]
        return [argument for each in texts if each and each != option.default for argument in (option.flag, each)]


@dataclass(frozen=True)
class Number(Field):
    """A number or an integer, as the option's type says."""

    least: float = -math.inf
    most: float = math.inf

    def main(self, option: Option) -> Parameter:
        """Return a box for a number."""
        kinds = QgsProcessingParameterNumber.Type
        parameter = QgsProcessingParameterNumber(
            option.key,
            tr(self.label),
            kinds.Integer if option.type == "integer" else kinds.Double,
            option.default,
            option.default is None,
        )
        if math.isfinite(self.least):
            parameter.setMinimum(self.least)
        if math.isfinite(self.most):
            parameter.setMaximum(self.most)
        return parameter

    def arguments(self, option: Option, values: Values) -> list[Argument]:
        """Return the flag and the number."""
        if not values.has(option.key):
            return []
        value = values.integer(option.key) if option.type == "integer" else values.number(option.key)
        if value == option.default:
            return []
        return [option.flag, f"{value:.17g}" if isinstance(value, float) else str(value)]


@dataclass(frozen=True)
class Choice(Field):
    """One entry of a list: of `among`, or of the option's own choices."""

    among: Sequence[str] = ()

    def main(self, option: Option) -> Parameter:
        """Return a list to select from."""
        return QgsProcessingParameterEnum(
            option.key,
            tr(self.label),
            list(self.among or option.choices),
            defaultValue=option.default,
            optional=option.default is None,
            usesStaticStrings=True,
        )

    def arguments(self, option: Option, values: Values) -> list[Argument]:
        """Return the flag and the entry."""
        value = values.choice(option.key) if values.has(option.key) else ""
        return [option.flag, value] if value and value != option.default else []


@dataclass(frozen=True)
class Choices(Field):
    """Several entries of a list; the command takes them separated by commas."""

    among: Sequence[str] = ()

    def main(self, option: Option) -> Parameter:
        """Return a list to select from."""
        return QgsProcessingParameterEnum(
            option.key, tr(self.label), list(self.among), allowMultiple=True, optional=True, usesStaticStrings=True
        )

    def arguments(self, option: Option, values: Values) -> list[Argument]:
        """Return the flag and the entries."""
        selected = values.choices(option.key) if values.has(option.key) else []
        return [option.flag, ",".join(selected)] if selected else []


@dataclass(frozen=True)
class Flag(Field):
    """Yes or no; an option without a default can also be left to the command."""

    def main(self, option: Option) -> Parameter:
        """Return a box to tick, or an optional list of yes and no."""
        if option.default is None:
            return QgsProcessingParameterEnum(
                option.key, tr(self.label), ["yes", "no"], optional=True, usesStaticStrings=True
            )
        return QgsProcessingParameterBoolean(option.key, tr(self.label), option.default)

    def arguments(self, option: Option, values: Values) -> list[Argument]:
        """Return the flag, its negation, or nothing."""
        if option.default is None:
            value = {"yes": True, "no": False}.get(values.choice(option.key) if values.has(option.key) else "")
        else:
            value = values.flag(option.key)
        if value == option.default:
            return []
        return [option.flag if value else option.off_flags[0]]


@dataclass(frozen=True)
class Layer(Field):
    """A raster layer or file."""

    def main(self, option: Option) -> Parameter:
        """Return a list of the project's rasters."""
        return QgsProcessingParameterRasterLayer(option.key, tr(self.label), optional=not option.required)

    def arguments(self, option: Option, values: Values) -> list[Argument]:
        """Return the layer, after the flag if the option has one."""
        if not values.has(option.key):
            return []
        flag = [option.flag] if option.flags else []
        return [*flag, values.layer_argument(values.layer(option.key))]


@dataclass(frozen=True)
class Guides(Field):
    """One raster, and further rasters under Advanced."""

    more: Extra = Extra("", "")

    def main(self, option: Option) -> Parameter:
        """Return a list of the project's rasters."""
        return QgsProcessingParameterRasterLayer(option.key, tr(self.label))

    def extras(self, option: Option) -> list[Parameter]:  # noqa: ARG002  (its name is fixed)
        """Return a list of rasters to tick."""
        kind = QgsProcessing.SourceType.TypeRaster
        rasters = QgsProcessingParameterMultipleLayers(MORE_GUIDES, tr(self.more.label), kind, optional=True)
        return [self.more.with_help(rasters)]

    def arguments(self, option: Option, values: Values) -> list[Argument]:
        """Return all rasters in order."""
        more = values.layers(MORE_GUIDES) if values.has(MORE_GUIDES) else []
        return [values.layer_argument(layer) for layer in (values.layer(option.key), *more)]


@dataclass(frozen=True)
class GuideBands(Field):
    """Bands of the first guide to tick, and those of the further guides as a text."""

    more: Extra = Extra("", "")

    def main(self, option: Option) -> Parameter:
        """Return a list of the guide's bands."""
        return QgsProcessingParameterBand(
            option.key, tr(self.label), parentLayerParameterName="GUIDE", optional=True, allowMultiple=True
        )

    def extras(self, option: Option) -> list[Parameter]:  # noqa: ARG002  (its name is fixed)
        """Return a line to type in."""
        return [self.more.line(MORE_GUIDES_BAND)]

    def arguments(self, option: Option, values: Values) -> list[Argument]:
        """Return the flag with FILE:BAND,... for each guide."""
        arguments: list[Argument] = []
        bands = values.integers(option.key) if values.has(option.key) else []
        if bands:
            suffix = ":" + ",".join(map(str, bands))
            arguments += [option.flag, values.layer_argument(values.layer("GUIDE"), suffix)]
        for each in values.text(MORE_GUIDES_BAND).split(";"):
            arguments += [option.flag, each.strip()] if each.strip() else []
        return arguments


@dataclass(frozen=True)
class Band(Field):
    """A band of the source."""

    def main(self, option: Option) -> Parameter:
        """Return a list of the source's bands."""
        return QgsProcessingParameterBand(
            option.key, tr(self.label), parentLayerParameterName="SOURCE", optional=not option.required
        )

    def arguments(self, option: Option, values: Values) -> list[Argument]:
        """Return the flag and the band's number."""
        return [option.flag, str(values.integer(option.key))] if values.has(option.key) else []


@dataclass(frozen=True)
class Mask(Field):
    """A raster layer, and the bits in it that mark a pixel."""

    bits: Extra = Extra("", "")

    def main(self, option: Option) -> Parameter:
        """Return a list of the project's rasters."""
        return QgsProcessingParameterRasterLayer(option.key, tr(self.label), optional=True)

    def extras(self, option: Option) -> list[Parameter]:
        """Return a line for the bits."""
        return [self.bits.line(f"{option.key}_BITS")]

    def arguments(self, option: Option, values: Values) -> list[Argument]:
        """Return the flag and FILE or FILE:BITS."""
        if not values.has(option.key):
            return []
        bits = values.text(f"{option.key}_BITS")
        return [option.flag, values.layer_argument(values.layer(option.key), f":{bits}" if bits else "")]


@dataclass(frozen=True)
class LayerOrResolution(Field):
    """A raster layer, or a resolution instead of it."""

    resolution: Extra = Extra("", "")

    def main(self, option: Option) -> Parameter:
        """Return a list of the project's rasters."""
        return QgsProcessingParameterRasterLayer(option.key, tr(self.label), optional=True)

    def extras(self, option: Option) -> list[Parameter]:
        """Return a line for the resolution."""
        return [self.resolution.line(f"{option.key}_RESOLUTION")]

    def arguments(self, option: Option, values: Values) -> list[Argument]:
        """Return the flag and the layer or the resolution.

        Raises:
            QgsProcessingException: both have a value.
        """
        layer, text = values.has(option.key), values.text(f"{option.key}_RESOLUTION")
        if layer and text:
            raise QgsProcessingException(
                tr("“{}” and “{}” exclude each other: leave one of them empty").format(
                    message_label(tr(self.label)), message_label(tr(self.resolution.label))
                )
            )
        if layer:
            return [option.flag, values.layer_argument(values.layer(option.key))]
        return [option.flag, text] if text else []

    def message_label(self, key: str, values: Values) -> str:
        """Return the label for a message: that of the resolution if there is one."""
        return message_label(tr(self.resolution.label if values.has(f"{key}_RESOLUTION") else self.label))


@dataclass(frozen=True)
class Extent(Field):
    """An extent in any CRS; the command gets it in that of the source."""

    def main(self, option: Option) -> Parameter:
        """Return a box for an extent."""
        return QgsProcessingParameterExtent(option.key, tr(self.label), optional=True)

    def arguments(self, option: Option, values: Values) -> list[Argument]:
        """Return the flag and W,S,E,N."""
        if not values.has(option.key):
            return []
        corners = values.extent(option.key, values.layer("SOURCE").crs())
        return [option.flag, ",".join(f"{each:.17g}" for each in corners)]


@dataclass(frozen=True)
class Range(Field):
    """A smallest and a largest value; a missing one is infinite."""

    def main(self, option: Option) -> Parameter:
        """Return two boxes for numbers."""
        return QgsProcessingParameterRange(
            option.key, tr(self.label), QgsProcessingParameterNumber.Type.Double, optional=True
        )

    def arguments(self, option: Option, values: Values) -> list[Argument]:
        """Return the flag and MIN,MAX."""
        ends = values.range(option.key) if values.has(option.key) else []
        if len(ends) != 2 or all(math.isnan(end) for end in ends):
            return []
        low, high = (beyond if math.isnan(end) else end for end, beyond in zip(ends, (-math.inf, math.inf)))
        return [option.flag, f"{low:.17g},{high:.17g}"]


@dataclass(frozen=True)
class File(Field):
    """An existing file."""

    ending: str = ""
    """Filter of the file dialog."""

    def main(self, option: Option) -> Parameter:
        """Return a box for a path."""
        return QgsProcessingParameterFile(option.key, tr(self.label), optional=True, fileFilter=tr(self.ending))

    def arguments(self, option: Option, values: Values) -> list[Argument]:
        """Return the flag and the path."""
        return [option.flag, values.file(option.key)] if values.has(option.key) else []


@dataclass(frozen=True)
class Output(Field):
    """An output: a raster, a file with an ending, or a folder."""

    basic: bool = True
    ending: str = ""
    """Filter of the file dialog; empty for a raster or a folder."""
    is_folder: bool = False
    by_default: bool = True
    """Whether it is written if the user changes nothing."""

    def main(self, option: Option) -> Parameter:
        """Return a box for the path to write."""
        optional = not self.by_default
        if self.is_folder:
            return QgsProcessingParameterFolderDestination(option.key, tr(self.label), None, optional, self.by_default)
        if self.ending:
            return QgsProcessingParameterFileDestination(
                option.key, tr(self.label), tr(self.ending), None, optional, self.by_default
            )
        return QgsProcessingParameterRasterDestination(option.key, tr(self.label), None, optional, self.by_default)

    def arguments(self, option: Option, values: Values) -> list[Argument]:
        """Return the flag and the path."""
        return [option.flag, OutputArgument(option.key)] if values.has(option.key) else []


def advanced(parameter: Parameter) -> Parameter:
    """Return the parameter, moved under Advanced."""
    parameter.setFlags(parameter.flags() | Parameter.Flag.FlagAdvanced)
    return parameter
