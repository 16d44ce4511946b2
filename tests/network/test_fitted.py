"""A fitted model as a value: predictions part by part, copies for workers, its digest."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mmsr_geo.geometry import Scale
from mmsr_geo.network import fitted as fitted_module
from mmsr_geo.network.fitted import FittedModel
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
