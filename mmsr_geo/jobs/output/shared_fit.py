"""Models that several outputs of a job share: fitted once, to a reference scene, and kept in the work folder."""

from __future__ import annotations

from dataclasses import dataclass, field

from mmsr_geo.engine.model import Model
from mmsr_geo.engine.pair import Pair
from mmsr_geo.errors import JobError
from mmsr_geo.jobs.output.tasks import keep_model, kept_model
from mmsr_geo.jobs.tiles.tile_store import TileStore
from mmsr_geo.methods.base import Method
from mmsr_geo.spelling import option


@dataclass(eq=False)
class SharedFit:
    """The models of a reference scene, one per band."""

    name: str
    """Name of the reference scene."""
    pairs: tuple[Pair, ...]
    """The bands of the reference scene."""
    method: Method
    store: TileStore
    """Where the models are kept."""
    models: dict[int, Model] = field(default_factory=dict)
    fitting: set[int] = field(default_factory=set)
    """Bands whose fit is running."""
    failed: dict[int, Exception] = field(default_factory=dict)
    """Errors of failed fits, which are not tried again by each output."""

    def model(self, band: int) -> Model | None:
        """Return the model of a band; None if it has not been fitted yet."""
        if band not in self.models and (model := kept_model(self.store, band)) is not None:
            self.models[band] = model
        return self.models.get(band)

    def begin(self, band: int) -> bool:
        """Return True if the caller is to fit the model of a band; raises the error of a fit that has failed."""
        if band in self.failed:
            raise self.failed[band]
        if band in self.fitting:
            return False
        self.fitting.add(band)
        return True

    def end(self, band: int, model: Model, error: Exception | None) -> None:
        """Keep the model of a band whose fit has ended, or its error. Raises OutputError if it cannot be kept."""
        self.fitting.discard(band)
        if error is not None:
            self.failed[band] = error
            return
        keep_model(self.store, band, model)
        self.models[band] = model

    def check_bands(self, name: str, bands: int) -> None:
        """Refuse an output with another number of bands (JobError)."""
        if bands != len(self.pairs):
            raise JobError(
                f"{name} has {_bands(bands)}, and its reference scene {self.name} has {_bands(len(self.pairs))}: "
                f"pass {option('model', 'per-pair')}, or put the two into different jobs"
            )


def _bands(count: int) -> str:
    return "1 band" if count == 1 else f"{count} bands"
