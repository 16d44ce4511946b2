"""Outputs as options ask for them, and their rasters opened: pairs, tiles, and where the output goes."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from mmsr_geo.errors import OptionError
from mmsr_geo.jobs.executors.config import Cluster
from mmsr_geo.jobs.job import Entry
from mmsr_geo.jobs.output.tasks import Output, OutputSpec
from mmsr_geo.methods.base import Method
from mmsr_geo.methods.select import resolve_fit_params, select_method
from mmsr_geo.options import FitOptions, ScaleLike, TargetOptions
from mmsr_geo.pipeline.inputs import OUTPUT_GROUPS, GuideLike, Inputs, SourceLike, grid_like
from mmsr_geo.pipeline.pairs import choose_tiling, open_pairs
from mmsr_geo.pipeline.plan import Plan
from mmsr_geo.pipeline.slices import attributes_along, coordinates_along
from mmsr_geo.raster.views.mask import path_and_rule
from mmsr_geo.raster.write.destination import QA, TAKEN, Address, ZarrGroupPath, check_apart, check_output
from mmsr_geo.raster.write.encoding import Encoding, parse_creation_options
from mmsr_geo.signatures import grouped
from mmsr_geo.spelling import option
from mmsr_geo.text import size_text


@dataclass(frozen=True, slots=True)
class OutputRequest:
    """An output as its options ask for it, before a raster is opened."""

    source: SourceLike
    guide: GuideLike
    output: Address
    qa: Address | None
    scale: ScaleLike
    inputs: Inputs
    method: Method
    target: TargetOptions
    encoding: Encoding
    tile_size: int | None
    device: str
    threads: int
    model: object
    """The path of the saved model, an output must be another file; None or a model: there is none."""
    overwrite: bool

    @classmethod
    def of(  # noqa: PLR0913  (two inputs, where they go and how)
        cls,
        source: SourceLike,
        guide: GuideLike,
        outputs: tuple[Address, Address | None],
        scale: ScaleLike,
        groups: Sequence[Any],
        *,
        overwrite: bool,
    ) -> Self:
        """Return a request.

        Args:
            source: Coarse raster.
            guide: Finer raster or rasters.
            outputs: Where the target goes, and where its QA flags go or None.
            scale: Target pixels per source pixel, or None.
            groups: One value for each of OUTPUT_GROUPS.
            overwrite: Whether outputs that exist are replaced.

        Raises:
            OptionError: Two options contradict each other.
            ModelFileError: The saved model cannot be read.
        """
        inputs, fitting, choice, prediction, target, stored = groups
        return cls(
            source,
            guide,
            *outputs,
            scale,
            inputs,
            select_method(choice, fitting, prediction, uncertainty=target.uncertainty),
            target,
            Encoding(
                stored.dtype,
                stored.scale_factor,
                stored.add_offset,
                parse_creation_options(stored.creation_options),
            ),
            prediction.tile_size,
            fitting.device,
            resolve_fit_params(fitting).fixed_threads,
            choice.model,
            overwrite,
        )

    def open(self, cluster: Cluster) -> OutputSpec:
        """Open the rasters and choose the tiles for where the work runs; refuses outputs that cannot be written."""
        self._refuse_mixed()
        outputs = [self.output] if self.qa is None else [self.output, self.qa]
        masks = self.inputs.source_mask, self.inputs.guide_mask
        check_apart(outputs, _paths(self.source, self.guide, *masks, self.model, self.target.like))
        for path in outputs:
            check_output(path, overwrite=self.overwrite)
        job = open_pairs(self.source, self.guide, self.scale, self.inputs, self.method)
        first = job.pairs[0]
        grid = None if self.target.like is None else grid_like(self.target.like, first.target_grid)
        limit = cluster.memory_limit
        tiling = choose_tiling(first, self.method, self.tile_size, at_once=cluster.workers or 1, limit=limit)
        if limit is not None:
            _refuse_memory(Plan(first, self.method, tiling), limit)
        coordinates = {name: c for name, c in coordinates_along(job.template).items() if _is_plain(name)}
        output = Output(
            self.output,
            self.qa,
            self.encoding,
            grid,
            self.overwrite,
            _variable(job.template.name, coordinates),
            self.target.uncertainty,
            coordinates,
            attributes_along(job.template),
        )
        threads = self.threads if cluster.is_this_process else 1
        return OutputSpec(job.pairs, self.method, tiling, output, self.device, threads, self.inputs.description)

    def _refuse_mixed(self) -> None:
        """Refuse options of COGs if the output is a Zarr store, and a Zarr store of QA flags only."""
        if isinstance(self.output, ZarrGroupPath):
            if self.qa is not None:
                raise OptionError(
                    f"{self.output} is a Zarr store, which contains the QA flags as the variable {QA}: remove "
                    f"{option('qa')}"
                )
            if self.encoding.creation_options:
                raise OptionError(
                    f"{self.output} is a Zarr store, which takes no options of GDAL's COG driver: remove "
                    f"{option('creation_options')}"
                )
        elif isinstance(self.qa, ZarrGroupPath):
            raise OptionError(
                f"{self.qa} is a Zarr store, and QA flags need the target in the same one: give {option('qa')} a name "
                f"that ends in .tif, or {option('output')} one that ends in .zarr"
            )


def _variable(name: Hashable | None, coordinates: Mapping[str, object]) -> str:
    """Return the name of the target in a Zarr store: the variable of the source if its name is plain, or "target"."""
    return str(name) if _is_plain(name) and name not in coordinates else "target"


def _is_plain(name: Hashable | None) -> bool:
    """Return True for a name that an array in a Zarr store can have."""
    return isinstance(name, str) and bool(re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name)) and name not in TAKEN


def _refuse_memory(plan: Plan, limit: int) -> None:
    if plan.memory_bytes > limit:
        raise OptionError(
            f"{option('memory_limit')} is {size_text(limit)} per process, and tiles of {plan.tile_side_px} px need "
            f"{size_text(plan.memory_bytes)}: raise it, or pass a smaller {option('tile_size')}, a part "
            f"({option('bounds')}), fewer guide bands ({option('guide_band')}) or a saved model ({option('model')})"
        )


def _paths(*given: object) -> list[object]:
    """Return all inputs in one list, masks without their rules."""
    inputs = [item for value in given for item in (value if isinstance(value, list | tuple) else (value,))]
    return [path_and_rule(item)[0] if isinstance(item, str) else item for item in inputs]


def request_for(entry: Entry, *, overwrite: bool) -> OutputRequest:
    """Return what a pair of a job asks for."""
    guide, scale, options = entry_arguments(entry)
    groups = grouped("batch", options, *OUTPUT_GROUPS)
    return OutputRequest.of(entry.source, guide, (entry.output, entry.qa), scale, groups, overwrite=overwrite)


def entry_arguments(entry: Entry) -> tuple[GuideLike, ScaleLike, dict[str, Any]]:
    """Return the guide of a pair, its scale, and its other options."""
    options = dict(entry.options)
    guide = list(entry.guides) if len(entry.guides) > 1 else entry.guides[0]
    return guide, options.pop("scale", None), options


def concurrent_fits(entry: Entry) -> int | None:
    """Return how many tiles of a pair are fitted at once in this process; None: its tiles have no fits of their own."""
    if entry.options.get("fit") not in {"adapt", "tile"}:
        return None
    own = {field.name for field in fields(FitOptions)}
    (fitting,) = grouped("batch", {name: value for name, value in entry.options.items() if name in own}, FitOptions)
    return resolve_fit_params(fitting).fixed_threads
