"""The method that the options ask for; contradictions between options are refused here."""

from __future__ import annotations

from dataclasses import replace

from mmsr_geo.errors import OptionError
from mmsr_geo.methods.base import Method
from mmsr_geo.methods.baseline import METHODS, BaselineMethod, baseline
from mmsr_geo.methods.scene import SavedModel, SceneFit
from mmsr_geo.methods.tile_fit import TileFit
from mmsr_geo.network.device import resolve_device
from mmsr_geo.network.fit_params import PUBLISHED_STEPS, FitParams
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.psf import wanted_sensor
from mmsr_geo.network.sensor import ESTIMATED, PLAIN, Sensor
from mmsr_geo.options import CONSISTENT, Fit, FitOptions, IfUnhelpful, MethodOptions, PredictionOptions
from mmsr_geo.spelling import option


def select_method(
    choice: MethodOptions, fitting: FitOptions, prediction: PredictionOptions, *, uncertainty: bool = False
) -> Method:
    """Return the method that the options ask for.

    Raises:
        OptionError: Two options contradict each other.
        ModelFileError: The saved model cannot be read.
    """
    method, fit, model = choice.method, choice.fit, choice.model
    resolve_device(fitting.device)
    name = method.removesuffix(CONSISTENT)
    if name not in {"mmsr", *METHODS}:
        raise OptionError(f"{option('method')} is {method!r}: choose one of mmsr, {', '.join(METHODS)}")
    if uncertainty and (method != "mmsr" or fit != "scene"):
        chosen = option("fit", fit) if method == "mmsr" else option("method", method)
        raise OptionError(
            f"{option('uncertainty')} needs mmsr with one model for the scene: leave it out, or leave out {chosen}"
        )
    if choice.keep_statistics and model is None:
        raise OptionError(
            f"{option('keep_statistics')} needs a saved model: pass {option('model')}, or leave out "
            f"{option('keep_statistics')}"
        )
    params = resolve_fit_params(fitting)
    _refuse_sensor(choice, fitting, consistent=name != method)
    if name != "mmsr":
        belonging = ("model", model, None), ("fit", fit, "scene"), ("work", fitting.work, None)
        for given, value, default in (*belonging, ("from_model", fitting.from_model, None)):
            if value != default:
                raise OptionError(
                    f"{option(given)} belongs to mmsr, and the method is {method}: leave out {option(given)} or "
                    f"{option('method')}"
                )
        return _baseline_method(name, params, fitting, consistent=name != method)
    params = _published(params, fitting) if fit == "published" else params
    if fit in {"adapt", "tile"} and params.compares_members:
        params = replace(params, sensor=replace(params.sensor, psf="none", noise="none"))
    if_unhelpful = prediction.if_unhelpful
    scene = _saved(choice, fitting, params, if_unhelpful) or _fitted(choice, fitting, params, if_unhelpful)
    if fit in {"adapt", "tile"}:
        start = scene if fit == "adapt" else None
        return TileFit(params, fitting.seed, fitting.device, if_unhelpful, start)
    return scene


def _refuse_sensor(choice: MethodOptions, fitting: FitOptions, *, consistent: bool) -> None:
    """Refuse what is said of sensor and registration where it would have no effect."""
    wanted = wanted_sensor(fitting.psf, fitting.source_noise, fitting.register)
    given = [
        (name, value)
        for name, value, default in (
            ("psf", fitting.psf, ESTIMATED.psf),
            ("source_noise", fitting.source_noise, ESTIMATED.noise),
            ("register", fitting.register, ESTIMATED.register),
        )
        if value != default
    ]
    if choice.model is not None:
        used, instead = option("model"), "it holds its own"
    elif choice.method.removesuffix(CONSISTENT) != "mmsr":
        given = [(name, value) for name, value in given if not (consistent and name == "psf")]
        used, instead = option("method", choice.method), "it has no effect there"
    elif choice.fit == "published":
        used, instead = option("fit", choice.fit), "it takes source and guide as they are"
    elif choice.fit in {"adapt", "tile"}:
        given = [] if wanted.exact else [(name, value) for name, value in given if name != "register"]
        used, instead = option("fit", choice.fit), "its targets keep to block means"
    else:
        return
    if given:
        name, value = given[0]
        raise OptionError(f"{option(name, value)} cannot be used with {used}: {instead}; leave out one of them")


def _fitted(choice: MethodOptions, fitting: FitOptions, params: FitParams, if_unhelpful: IfUnhelpful) -> SceneFit:
    """Return the fit of one model to the scene."""
    start = start_of(fitting)
    if start is not None and (choice.fit == "tile" or not params.network):
        chosen = option("fit", "tile") if choice.fit == "tile" else option("quality", "draft")
        raise OptionError(
            f"{option('from_model')} begins the fit of one network for all tiles: leave it out, or leave out {chosen}"
        )
    return SceneFit(params, fitting.seed, fitting.device, if_unhelpful, start)


def _saved(
    choice: MethodOptions, fitting: FitOptions, params: FitParams, if_unhelpful: IfUnhelpful
) -> SavedModel | None:
    """Return the use of a saved model; None if none was given."""
    model = choice.model
    if model is None:
        return None
    _check_use(choice.fit, params, fitting)
    if fitting.from_model is not None:
        raise OptionError(
            f"a saved model is not fitted again: leave out {option('model')}, or leave out {option('from_model')}"
        )
    loaded = model if isinstance(model, FittedModel) else FittedModel.load(model)
    if choice.fit == "adapt" and not loaded.stacking.network:
        raise OptionError(
            f"{option('fit', 'adapt')} adapts a model's network, and this model predicts without one: leave out "
            f"{option('fit')}, or leave out {option('model')}"
        )
    if choice.fit == "adapt" and not loaded.sensor.exact:
        raise OptionError(
            f"{option('fit', 'adapt')} keeps to block means, and this model takes blur or noise into account: leave "
            f"out {option('fit')}, or fit the model with {option('psf', 'none')} and {option('source_noise', 'none')}"
        )
    return SavedModel(loaded, choice.keep_statistics, if_unhelpful)


def _check_use(fit: Fit, params: FitParams, fitting: FitOptions) -> None:
    """Refuse options of a fit next to a saved model."""
    if fit in {"tile", "published"}:
        raise OptionError(
            f"{option('fit', fit)} fits a new model: leave out {option('model')}, or pass {option('fit', 'scene')} or "
            f"{option('fit', 'adapt')}"
        )
    if fit == "scene" and (params.steps is not None or not _only_steps(params, fitting)):
        raise OptionError(
            f"a saved model is not fitted again: leave out {option('model')}, or leave out {option('quality')}, "
            f"{option('work')}, {option('steps')} and {option('params')}"
        )


def resolve_fit_params(fitting: FitOptions) -> FitParams:
    """Return the parameters of the fit: those given as one object, or those of the quality, steps and threads."""
    return fitting.params or FitParams.of(
        fitting.quality,
        work=fitting.work,
        steps=fitting.steps,
        threads=fitting.threads,
        sensor=wanted_sensor(fitting.psf, fitting.source_noise, fitting.register),
    )


def start_of(fitting: FitOptions) -> FittedModel | None:
    """Return the model that a fit begins with, if one was given.

    Raises:
        ModelFileError: The file cannot be read.
    """
    start = fitting.from_model
    return start if start is None or isinstance(start, FittedModel) else FittedModel.load(start)


def select_evaluated_method(name: str, fitting: FitOptions, prediction: PredictionOptions) -> Method:
    """Return the method that a name stands for in an evaluation.

    Raises:
        OptionError: There is no method of that name.
    """
    base = name.removesuffix(CONSISTENT)
    fits: dict[str, tuple[Fit, IfUnhelpful]] = {
        "mmsr": ("scene", prediction.if_unhelpful),
        "mmsr-always": ("scene", "warn"),
        "mmsr-adapt": ("adapt", prediction.if_unhelpful),
        "mmsr-tile": ("tile", prediction.if_unhelpful),
    }
    if base == "published":
        params = FitParams.published(threads=resolve_fit_params(fitting).threads)
        return SceneFit(params, fitting.seed, fitting.device, "warn", consistent=base != name)
    if base in fits:
        fit, if_unhelpful = fits[base]
        if fit != "scene":
            fitting = replace(fitting, psf="auto", source_noise="auto")
        return select_method(MethodOptions(fit=fit), fitting, replace(prediction, if_unhelpful=if_unhelpful))
    if base not in METHODS:
        names = ", ".join([*METHODS, *fits, "published"])
        raise OptionError(f"{option('methods')} names {name!r}: choose of {names}")
    psf = fitting.psf if base != name else "auto"
    plain = FitOptions(device=fitting.device, seed=fitting.seed, psf=psf)
    return select_method(MethodOptions(method=name), plain, prediction)


def _only_steps(params: FitParams, fitting: FitOptions) -> bool:
    """Return whether no parameters but steps and threads were asked for."""
    if fitting.params is None:
        return fitting.quality == "balanced" and fitting.work is None
    return params == FitParams(steps=params.steps, threads=params.threads, sensor=params.sensor)


def _published(params: FitParams, fitting: FitOptions) -> FitParams:
    """Return the parameters of the published fit, with the steps and threads that were asked for."""
    if _only_steps(params, fitting):
        return FitParams.published(params.steps or PUBLISHED_STEPS, params.threads)
    if params.schedule != "published":
        raise OptionError(
            f"{option('fit', 'published')} has parameters of its own: leave out {option('quality')}, "
            f"{option('work')} and all of {option('params')} but steps and threads"
        )
    return params


def _baseline_method(name: str, params: FitParams, fitting: FitOptions, *, consistent: bool) -> BaselineMethod:
    if not _only_steps(params, fitting):
        raise OptionError(
            f"the method {name} is not fitted as mmsr is: leave out {option('quality')} and all of {option('params')} "
            "but steps and threads"
        )
    method = baseline(name)
    if params.steps is not None:
        if not hasattr(method, "steps"):
            raise OptionError(f"the method {name} has no steps: leave out {option('steps')}")
        method = replace(method, steps=params.steps)  # type: ignore[type-var]  # methods are dataclasses
    known = params.sensor.psf if consistent and isinstance(params.sensor.psf, tuple) else PLAIN.blur
    return BaselineMethod(name, method, consistent, fitting.seed, fitting.device, params.fixed_threads, Sensor(known))
