"""What is asked for, opened: the pairs of a source and its guides, their tiles, and an output that can be written."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, fields
from os import PathLike
from typing import Any

from mmsr_geo.errors import OptionError
from mmsr_geo.jobs.executors.cluster import Cluster
from mmsr_geo.jobs.job import Entry
from mmsr_geo.jobs.output.tasks import Output, OutputSpec
from mmsr_geo.methods.select import select_method
from mmsr_geo.methods.source import Method
from mmsr_geo.network.params import FitParams
from mmsr_geo.options import ScaleLike
from mmsr_geo.pipeline.inputs import GuideLike, Inputs, LikeLike, SourceLike, grid_like
from mmsr_geo.pipeline.open import choose_tiling, open_pairs
from mmsr_geo.pipeline.plan import Plan
from mmsr_geo.raster.views.mask import path_and_bits
from mmsr_geo.raster.write.destination import QA, TAKEN, Address, ZarrGroupPath, check_apart, check_output
from mmsr_geo.raster.write.encoding import Encoding, parse_creation_options
from mmsr_geo.spelling import option
from mmsr_geo.text import size_text


@dataclass(frozen=True, slots=True)
class OutputRequest:
    """An output as it was asked for, before a raster is opened."""

    source: SourceLike
    guide: GuideLike
    output: Address
    qa: Address | None
    uncertainty: bool
    scale: ScaleLike
    inputs: Inputs
    method: Method
    encoding: Encoding
    like: LikeLike | None
    tile_size: int | None
    device: str
    threads: int
    model: str | PathLike[str] | None
    overwrite: bool

    def work(self, cluster: Cluster) -> OutputSpec:
        """Open the rasters and cut the tiles for where it runs; refuses outputs that cannot be."""
        self._refuse_mixed()
        outputs = [self.output] if self.qa is None else [self.output, self.qa]
        masks = self.inputs.source_mask, self.inputs.guide_mask
        check_apart(outputs, _paths(self.source, self.guide, *masks, self.model, self.like))
        for path in outputs:
            check_output(path, overwrite=self.overwrite)
        job = open_pairs(self.source, self.guide, self.scale, self.inputs, self.method)
        first = job.pairs[0]
        on = None if self.like is None else grid_like(self.like, first.target_grid)
        tiling = choose_tiling(
            first, self.method, self.tile_size, at_once=cluster.workers or 1, limit=cluster.memory_limit
        )
        if cluster.memory_limit is not None:
            _refuse_memory(Plan(first, self.method, tiling), cluster.memory_limit)
        threads = self.threads if cluster.is_this_process else 1
        variable = _variable(job.template.name)
        written = Output(self.output, self.qa, self.encoding, on, self.overwrite, variable, self.uncertainty)
        return OutputSpec(job.pairs, self.method, tiling, written, self.device, threads, self.inputs.description)

    def _refuse_mixed(self) -> None:
        """Refuse what goes with COGs only where the output is a Zarr store, and flags in one without their target."""
        if isinstance(self.output, ZarrGroupPath):
            if self.qa is not None:
                raise OptionError(
                    f"{self.output} is a Zarr store, and the flags lie in it with the target, as {QA}: leave out "
                    f"{option('qa')}"
                )
            if self.encoding.creation_options:
                raise OptionError(
                    f"{self.output} is a Zarr store, and creation options are of GDAL's COG driver: leave out "
                    f"{option('creation_options')}"
                )
        elif isinstance(self.qa, ZarrGroupPath):
            raise OptionError(
                f"{self.qa} is a Zarr store, and flags go into one with their target only: give {option('qa')} a .tif, "
                f"or "
                "the output a name that ends in .zarr"
            )


def _variable(name: Hashable | None) -> str:
    """Return what the target is called in a Zarr store: as the source's variable, where that is a plain name."""
    plain = isinstance(name, str) and re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) and name not in TAKEN
    return str(name) if plain else "target"


def _refuse_memory(plan: Plan, limit: int) -> None:
    if plan.memory_bytes > limit:
        raise OptionError(
            f"a process may take {size_text(limit)} (memory_limit), and this work takes {size_text(plan.memory_bytes)} "
            f"in tiles of {plan.tile_side_px} px: allow more, pass a smaller {option('tile_size')}, a part "
            f"({option('bounds')}), fewer guide bands ({option('guide_band')}) or a saved model ({option('model')})"
        )


def _paths(*given: object) -> list[object]:
    """Return the single inputs of those given, masks without their bits."""
    single = [each for one in given for each in (one if isinstance(one, list | tuple) else (one,))]
    return [path_and_bits(each)[0] if isinstance(each, str) else each for each in single]


def request_for(entry: Entry, *, overwrite: bool) -> OutputRequest:
    """Return what a job's pair asks for."""
    guide, params, given = entry_arguments(entry)
    inputs = Inputs(**{each.name: given[each.name] for each in fields(Inputs) if each.name in given})
    method = select_method(
        given.get("method", "mmsr"),
        given.get("fit", "scene"),
        given.get("model"),
        params,
        given.get("if_unhelpful", "bicubic"),
        seed=given.get("seed", 0),
        device=given.get("device", "auto"),
        keep_statistics=given.get("keep_statistics", False),
        uncertainty=given.get("uncertainty", False),
    )
    encoding = Encoding(
        given.get("dtype", "float32"),
        given.get("scale_factor"),
        given.get("add_offset"),
        parse_creation_options(given.get("creation_options", ())),
    )
    return OutputRequest(
        entry.source,
        guide,
        entry.output,
        entry.qa,
        given.get("uncertainty", False),
        given.get("scale"),
        inputs,
        method,
        encoding,
        given.get("like"),
        given.get("tile_size"),
        given.get("device", "auto"),
        params.fixed_threads,
        given.get("model"),
        overwrite,
    )


def entry_arguments(entry: Entry) -> tuple[GuideLike, FitParams, dict[str, Any]]:
    """Return an entry's guide, how to fit, and the other options."""
    options = dict(entry.options)
    quality = options.pop("quality", "balanced")
    params = FitParams.of(quality, steps=options.pop("steps", None), threads=options.pop("threads", None))
    return list(entry.guides) if len(entry.guides) > 1 else entry.guides[0], params, options


def concurrent_fits(entry: Entry) -> int | None:
    """Return how many tiles of such a pair are fitted at once in this process; a job's pairs are all fitted alike."""
    return entry_arguments(entry)[1].fixed_threads if entry.options.get("fit") in {"adapt", "tile"} else None
