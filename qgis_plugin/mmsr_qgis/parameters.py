"""The kinds of fields: each knows which parameter of Processing shows an option, and which arguments its value becomes.

Name, type and default of the option come from the command, see commands.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qgis.core import (
    QgsProcessing,
    QgsProcessingException,
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
)
from qgis.core import QgsProcessingParameterDefinition as Parameter

from .commands import Option
from .translation import tr
from .values import Argument, OutputArgument, Values, message_label

MORE_GUIDES = "MORE_GUIDES"
MORE_GUIDES_BAND = "MORE_GUIDES_BAND"


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
        texts = [part.strip() for part in text.split(";")] if option.multiple else [text]
        return [argument for part in texts if part and part != option.default for argument in (option.flag, part)]


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
        for text in values.text(MORE_GUIDES_BAND).split(";"):
            arguments += [option.flag, text.strip()] if text.strip() else []
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
    """A raster layer, and the bits or the threshold by which it marks a pixel."""

    bits: Extra = Extra("", "")

    def main(self, option: Option) -> Parameter:
        """Return a list of the project's rasters."""
        return QgsProcessingParameterRasterLayer(option.key, tr(self.label), optional=True)

    def extras(self, option: Option) -> list[Parameter]:
        """Return a line for the bits or the threshold."""
        return [self.bits.line(f"{option.key}_BITS")]

    def arguments(self, option: Option, values: Values) -> list[Argument]:
        """Return the flag and FILE, FILE:BITS or FILE>NUMBER."""
        if not values.has(option.key):
            return []
        rule = values.text(f"{option.key}_BITS")
        suffix = rule if rule.startswith((">", "<")) else f":{rule}" if rule else ""
        return [option.flag, values.layer_argument(values.layer(option.key), suffix)]


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
        return [option.flag, ",".join(f"{corner:.17g}" for corner in corners)]


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
