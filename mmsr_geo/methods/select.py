"""Options turned into where the model comes from; refuses those that contradict each other."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from typing import get_args

from mmsr_geo.errors import OptionError
from mmsr_geo.methods.baseline import CONSISTENT, METHODS, BaselineMethod, baseline
from mmsr_geo.methods.scene import SavedModel, SceneFit
from mmsr_geo.methods.source import Method
from mmsr_geo.methods.tile_fit import TileFit
from mmsr_geo.network.device import resolve_device
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.params import PUBLISHED_STEPS, FitParams
from mmsr_geo.options import Fit, IfUnhelpful, Quality
from mmsr_geo.spelling import option

EVALUATED = ("nearest", "bilinear", "bicubic", "bicubic+consistency", "guided-filter", "mmsr")
"""What is compared unless told otherwise; p2p and published take many minutes and are to be named."""


def select_method(  # noqa: PLR0913  (the options that decide it)
    method: str,
    fit: Fit,
    model: FittedModel | str | PathLike[str] | None,
    params: FitParams | None,
    if_unhelpful: IfUnhelpful,
    *,
    seed: int,
    device: str,
    keep_statistics: bool,
    uncertainty: bool = False,
) -> Method:
    """Turn the options into where the model comes from; refuses those that contradict each other."""
    resolve_device(device)
    _check_choices(method, fit, if_unhelpful)
    if uncertainty and (method != "mmsr" or fit != "scene"):
        asked = f"--fit {fit} (fit=)" if method == "mmsr" else f"--method {method} (method=)"
        raise OptionError(
            f"{asked} calibrates no uncertainty, mmsr with one model for the scene does: leave it out, or "
            f"{option('uncertainty')}"
        )
    if keep_statistics and model is None:
        raise OptionError(
            f"{option('keep_statistics')} goes with a saved model: pass {option('model')} as well, or leave it out"
        )
    name = method.removesuffix(CONSISTENT)
    if name != "mmsr":
        if model is not None or fit != "scene":
            raise OptionError(f"a model and a fit are of mmsr, not of {name}: leave them out, or the method")
        return _other_method(name, params, consistent=name != method, seed=seed, device=device)
    params = _published(params) if fit == "published" else params or FitParams()
    scene = (
        SceneFit(params, seed, device, if_unhelpful)
        if model is None
        else _saved(model, fit, params, if_unhelpful, keep_statistics=keep_statistics)
    )
    if fit in {"adapt", "tile"}:
        return TileFit(params, seed, device, if_unhelpful, scene if fit == "adapt" else None)
    return scene


def _saved(
    model: FittedModel | str | PathLike[str],
    fit: Fit,
    params: FitParams,
    if_unhelpful: IfUnhelpful,
    *,
    keep_statistics: bool,
) -> SavedModel:
    if fit in {"tile", "published"}:
        raise OptionError(f"{option('fit', fit)} begins afresh: leave out {option('model')}, or choose scene or adapt")
    if fit == "scene" and params != FitParams(threads=params.threads):
        raise OptionError(
            f"a saved model is not fitted again: leave out {option('model')}, or the options of a fit, as "
            f"{option('params')}"
        )
    return SavedModel(
        model if isinstance(model, FittedModel) else FittedModel.load(model), keep_statistics, if_unhelpful
    )


def _check_choices(method: str, fit: str, if_unhelpful: str) -> None:
    if method.removesuffix(CONSISTENT) not in {"mmsr", *METHODS}:
        raise OptionError(f"there is no method {method!r}: choose one of mmsr, {', '.join(METHODS)}")
    for name, value, choices in (("fit", fit, get_args(Fit)), ("if_unhelpful", if_unhelpful, get_args(IfUnhelpful))):
        if value not in choices:
            raise OptionError(f"{name} is one of {', '.join(choices)}, not {value!r}")


def resolve_fit_params(params: FitParams | None, quality: Quality | None) -> FitParams | None:
    """Return how to fit, said in one way or the other; raises OptionError where both are given."""
    if quality is None:
        return params
    if params is not None:
        raise OptionError("params= says how to fit, and so does quality=: pass one of them")
    return FitParams.of(quality)


def select_evaluated_method(
    name: str, params: FitParams | None, if_unhelpful: IfUnhelpful, *, seed: int, device: str
) -> Method:
    """Turn a name in an evaluation into where the model comes from."""
    base = name.removesuffix(CONSISTENT)
    fits: dict[str, tuple[Fit, IfUnhelpful]] = {
        "mmsr": ("scene", if_unhelpful),
        "mmsr-always": ("scene", "warn"),
        "mmsr-adapt": ("adapt", if_unhelpful),
        "mmsr-tile": ("tile", if_unhelpful),
    }
    if base == "published":
        threads = (params or FitParams()).threads
        return SceneFit(FitParams.published(threads=threads), seed, device, "warn", consistent=base != name)
    if base not in fits:
        if base not in METHODS:
            raise OptionError(f"there is no method {name!r}: choose of {', '.join([*METHODS, *fits, 'published'])}")
        return select_method(name, "scene", None, None, if_unhelpful, seed=seed, device=device, keep_statistics=False)
    fit, unhelpful = fits[base]
    return select_method("mmsr", fit, None, params, unhelpful, seed=seed, device=device, keep_statistics=False)


def _published(params: FitParams | None) -> FitParams:
    """Return the published fit's params, with the steps and threads asked for."""
    if params is None or params == FitParams(steps=params.steps, threads=params.threads):
        params = params or FitParams()
        return FitParams.published(params.steps or PUBLISHED_STEPS, params.threads)
    if params.schedule != "published":
        raise OptionError(
            f"{option('fit', 'published')} has params of its own: leave out {option('quality')}, or all but "
            "steps and threads"
        )
    return params


def _other_method(name: str, params: FitParams | None, *, consistent: bool, seed: int, device: str) -> BaselineMethod:
    params = params or FitParams()
    if params != FitParams(steps=params.steps, threads=params.threads):
        raise OptionError(
            f"of the params of a fit, {name} takes steps and threads alone: leave out {option('quality')}, or the "
            "others"
        )
    method = baseline(name)
    if params.steps is not None:
        if not hasattr(method, "steps"):
            raise OptionError(f"{name} is not fitted by steps: leave them out")
        method = replace(method, steps=params.steps)  # type: ignore[type-var]  # methods are dataclasses
    return BaselineMethod(name, method, consistent, seed, device, params.fixed_threads)
