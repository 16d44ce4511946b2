"""A fitted model as a value: predictions part by part, copies for workers, its digest."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import cache
from typing import cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mmsr_geo.engine.pair import Pair
from mmsr_geo.geometry import Scale
from mmsr_geo.methods.scene import SceneFit
from mmsr_geo.network import fitted as fitted_module
from mmsr_geo.network.fit import fit_samples
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.members.alignment import BLURS_PX
from mmsr_geo.network.members.fitted import FARTHEST_SENSOR, members_receptive_field
from mmsr_geo.network.members.layers import Alignment
from mmsr_geo.network.members.sensor import FARTHEST_ALIGNMENT
from mmsr_geo.network.sensor import BLOCK_MEANS, PLAIN, Sensor
from mmsr_geo.network.stacking import StackingWeights
from support.scenes import scene, with_gaps


@pytest.mark.parametrize("part_px", [11, 16, 40])
def test_parts_of_a_window_are_what_the_whole_is(
    fitted: FittedModel, monkeypatch: pytest.MonkeyPatch, part_px: int
) -> None:
    sample = with_gaps(scene(19, 23, fitted.scale), source=0.1, guide=0.1)
    with torch.inference_mode():
        whole = fitted.predictor()(sample)
        monkeypatch.setattr(fitted_module, "PART_PX", part_px)
        seen: list[int] = []
        predictor = fitted.predictor()

        def network(guide: Tensor, source: Tensor) -> Tensor:
            seen.append(max(guide.shape))
            assert predictor.network is not None
            return predictor.network(guide, source)

        parts = replace(predictor, network=network)(sample)
    assert len(seen) > 1
    assert max(seen) <= part_px + 2 * fitted.receptive_field_target_px.y
    assert torch.allclose(parts, whole, rtol=0, atol=1e-5 * float(whole.std()))


def test_the_network_is_ready_to_predict_and_apart_from_the_model(fitted: FittedModel) -> None:
    network = fitted.network()
    assert not network.training
    digest = fitted.digest
    network(torch.zeros(1, fitted.params.guide_bands, 6, 6), torch.zeros(1, 1, 2, 2)).sum().backward()
    assert fitted.digest == digest


pairs = st.tuples(st.integers(1, 16), st.integers(1, 16)).filter(lambda scale: scale != (1, 1))
shifts = st.integers(-12, 12).map(lambda quarters: quarters / 4)


@given(
    pairs,
    st.sampled_from(BLURS_PX),
    st.tuples(shifts, shifts),
    st.sampled_from(["network", "members", "both"]),
    st.sampled_from([PLAIN, Sensor((0.4, 0.2)), Sensor(noise=0.1, softness=3.0)]),
)
def test_what_a_model_reads_is_known_before_its_fit(
    fitted: FittedModel, scale: tuple[int, int], blur: float, shift: tuple[float, float], parts: str, sensor: Sensor
) -> None:
    """Whatever the alignment and the weights that the fit finds: the halo of tiles is chosen before."""
    members = alone().members
    assert members is not None
    aligned = replace(members, alignment=Alignment(blur, shift), sensor=sensor)
    model = replace(fitted, scale=Scale(*scale), members=aligned, stacking=StackingWeights(0.5, 0.5))
    if parts == "members":
        model = replace(model, stacking=StackingWeights(0.0, 1.0), weights={})
    if parts == "network":
        model = replace(model, members=None, stacking=StackingWeights())
    params = FitParams(ensemble=parts != "network", network=parts != "members")
    known = SceneFit(params).receptive_field(cast("Pair", Planned(Scale(*scale))))
    assert known.y >= model.receptive_field.y
    assert known.x >= model.receptive_field.x
    if parts == "members":
        every = (*members.states, "regression on context")
        assert known == members_receptive_field(Scale(*scale), FARTHEST_ALIGNMENT, every, FARTHEST_SENSOR)
        exact = SceneFit(replace(params, sensor=BLOCK_MEANS)).receptive_field(cast("Pair", Planned(Scale(*scale))))
        assert exact == members_receptive_field(Scale(*scale), FARTHEST_ALIGNMENT, every)


class Planned:
    """What a plan knows of a pair."""

    class Guide:
        bands = ("red", "nir")

    guide = Guide()

    def __init__(self, scale: Scale) -> None:
        self.scale = scale


@cache
def alone() -> FittedModel:
    """A model of members alone."""
    params = FitParams(network=False, quick_members=True, threads=1)
    return fit_samples([scene(16, 16, Scale(2, 2))], Scale(2, 2), params, guide_bands=("red", "nir"))


def test_a_model_can_be_sent_to_a_worker(fitted: FittedModel) -> None:
    sent = pickle.loads(pickle.dumps(fitted))  # noqa: S301  (our own bytes)
    assert sent.digest == fitted.digest
    assert sent.provenance == fitted.provenance


def test_the_digest_depends_on_what_decides_a_prediction_alone(fitted: FittedModel) -> None:
    name = next(iter(fitted.weights))
    moved = fitted.weights | {name: fitted.weights[name] + 1e-6}
    statistics = replace(fitted.statistics, source_centre=fitted.statistics.source_centre + 20)
    others = [
        replace(fitted, weights=moved),
        replace(fitted, scale=Scale(3, 2)),
        fitted.with_statistics(statistics),
        fitted,
    ]
    assert len({model.digest for model in others}) == len(others)
    assert replace(fitted, provenance={}, version="0").digest == fitted.digest
    assert fitted.with_statistics(statistics).statistics == statistics
