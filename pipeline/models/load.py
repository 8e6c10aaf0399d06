"""From what a recipe says of its model to a ModelSpec: built in by name, or the user's own by factory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from pipeline._handlers.activation import Activation
from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import DataInfo
from pipeline.data.statistics import own_preprocessing
from pipeline.engine.argument_files import all_paths
from pipeline.engine.reads import observed
from pipeline.engine.user_code import import_factory
from pipeline.errors import UsageError
from pipeline.models.built_in import network_builder
from pipeline.models.ensemble import ensemble_spec
from pipeline.models.initialise import initialise
from pipeline.models.preprocess import Each, ToFloat, Unchanged, standardize
from pipeline.models.spec import ModelSpec
from pipeline.models.table_features import table_features
from pipeline.models.wrappers import unwrapped
from pipeline.presets import in_size, read_preset
from pipeline.recipe.model import Model, Preprocessing
from pipeline.recipe.names import InitialisationName

_PICTURE = Preprocessing(scale=1 / 255)


def load_model_spec(model: Model, folder: Path, data: DataInfo) -> ModelSpec:
    """The model that a recipe asks for.

    Args:
        model: the recipe's section; its `weights` are not loaded here.
        folder: of the recipe; the user's modules are looked up there.
        data: facts of the data set, which give inputs and labels unless the user's factory returns a ModelSpec.

    Returns:
        A specification whose `build` gives a freshly initialised network.

    Raises:
        UsageError: no such architecture or factory, wrong arguments, or a model that does not fit the data.
    """
    if model.ensemble is not None:
        return ensemble_spec(load_model_spec(model.member(), folder, data), count=model.ensemble.size)
    if model.preprocessing is not None and model.preprocessing.preset is not None:
        model = model.model_copy(update={"preprocessing": _of_preset(model.preprocessing.preset, data)})
    if model.factory is not None:
        return _users_own(model, model.factory, folder, data)
    build = network_builder(model, data)
    preprocessing, assumed = _seen(model, data)
    return ModelSpec(
        name=model.name or "",
        build=_initialised(build, model),
        preprocess=partial(_preprocessing, preprocessing or Preprocessing(), data.inputs),
        inputs=data.inputs,
        labels=data.classes,
        task=data.task.kind,
        activation=model.activation,
        choice=model.output,
        assumed=assumed,
    )


def _initialised(build: Callable[[], nn.Module], model: Model) -> Callable[[], nn.Module]:
    """A function that builds a network and initialises it as the recipe says."""
    if model.initialisation is None:
        return build
    return partial(_build_initialised, build, model.initialisation)


def _build_initialised(build: Callable[[], nn.Module], name: InitialisationName) -> nn.Module:
    return initialise(build(), name)


def _of_preset(name: str, data: DataInfo) -> Preprocessing:
    """The preprocessing of a published network; the pictures of the data must be decoded as that network sees them."""
    preset, spec = read_preset(name), data.inputs[0]
    expected = preset.input_spec(spec.name)
    if spec.decoding is not None and len(data.inputs) == 1:
        expected = in_size(expected, spec.shape[1:])
    other = spec.decoding is not None and (spec.shape, spec.decoding) != (expected.shape, expected.decoding)
    if len(data.inputs) != 1 or spec.shape[:1] != expected.shape[:1] or other:
        inputs = ", ".join(f"{spec.name} {spec.shape} by {spec.decoding}" for spec in data.inputs)
        raise UsageError(
            f"model.preprocessing {name}: expected data of one input {expected.shape} by {expected.decoding}, found "
            f"{inputs} in data set {data.name}; give the data this decoding, or write mean and std into "
            "[model.preprocessing] to keep another"
        )
    return preset.preprocessing


def _seen(model: Model, data: DataInfo) -> tuple[Preprocessing | None, str]:
    """How a network sees raw values, and, where the recipe does not say it, what was assumed, in words."""
    spec = data.inputs[0]
    if model.preprocessing is not None:
        return model.preprocessing, ""
    if data.statistics is not None:
        each = "column of numbers" if spec.columns else "channel"
        fitted = Preprocessing(mean=data.statistics.mean, std=data.statistics.std)
        return fitted, f"mean and std of each {each}, fitted on the training split"
    if spec.columns:
        return None, "numbers as they are, and a 0 or 1 for each category"
    if model.factory is not None:
        return None, "pixels as they are, from 0 to 255" if spec.decoding is not None else "values as they are"
    own = own_preprocessing(data.sources)
    if own is not None:
        return own, ""
    return (_PICTURE, "pixels from 0 to 1") if spec.decoding is not None else (None, "values as they are")


def _users_own(model: Model, factory: str, folder: Path, data: DataInfo) -> ModelSpec:
    covered = all_paths(model.arguments, folder)
    function = import_factory(factory, folder, covered=covered)
    made = function(**model.arguments)
    if isinstance(made, ModelSpec):
        if model.preprocessing is not None:
            raise UsageError(
                f"model.preprocessing: expected it only for a factory that returns a network, but {factory} returns a "
                "ModelSpec, which brings its own; remove the section"
            )
        # Which axes share a size, and what columns are called, the data says where the factory does not.
        named = [_named_like(spec, data_spec) for spec, data_spec in zip(made.inputs, data.inputs, strict=False)]
        made = replace(made, inputs=(*named, *made.inputs[len(named) :]))
        _check_against(made, data, factory)

        def recorded(make: Callable[[], nn.Module]) -> nn.Module:
            with observed(factory, folder, covered=covered):
                return make()

        preprocess = partial(recorded, made.preprocess)
        build = partial(_with_sizes, partial(recorded, made.build), preprocess, made.inputs)
        return replace(
            made,
            build=_initialised(build, model),
            preprocess=preprocess,
            activation=_declared(made, model, factory),
            choice=model.output or made.choice,
        )
    if not isinstance(made, nn.Module):
        raise UsageError(f"factory {factory}: expected a torch.nn.Module or a ModelSpec, found {type(made).__name__}")
    preprocessing, assumed = _seen(model, data)
    preprocess = partial(_preprocessing, preprocessing, data.inputs)
    return ModelSpec(
        name=factory.partition(":")[0],
        # Called anew, because a network is built under the seed of the training, and more than once in a build.
        build=_initialised(partial(_with_sizes, partial(function, **model.arguments), preprocess, data.inputs), model),
        preprocess=preprocess,
        inputs=data.inputs,
        labels=data.classes,
        task=data.task.kind,
        activation=model.activation,
        choice=model.output,
        assumed=assumed,
    )


def _named_like(spec: InputSpec, data_spec: InputSpec) -> InputSpec:
    columns = spec.columns or (data_spec.columns if spec.shape == data_spec.shape else ())
    return replace(spec, dynamic_names=spec.dynamic_names or data_spec.dynamic_names, columns=columns)


def _with_sizes(build: Callable[[], Any], preprocess: Callable[[], nn.Module], inputs: tuple[InputSpec, ...]) -> Any:
    """Build a network; lazy layers, which take their sizes from the first call (`nn.LazyLinear`), have them then.

    What is no network is for the first call's checks, which say so.
    """
    network = build()
    if isinstance(network, nn.Module):
        network = unwrapped(network)
    if isinstance(network, nn.Module) and any(
        is_lazy(tensor) for tensor in (*network.parameters(), *network.buffers())
    ):
        zeros = [np.full((2, *one.shape), one.nearest_to_zero, dtype=one.dtype) for one in inputs]
        training = network.training
        with torch.no_grad():
            seen = preprocess()(*map(torch.from_numpy, zeros))
            network.eval()(*(seen if isinstance(seen, tuple) else (seen,)))
        network.train(training)
    return network


def _declared(spec: ModelSpec, model: Model, factory: str) -> Activation | None:
    """What the outputs are, as the ModelSpec or the recipe declares it; both may, if they agree."""
    if spec.activation is not None and model.activation not in (None, spec.activation):
        raise UsageError(
            f"model.activation: expected {spec.activation}, as the ModelSpec of {factory} says, found "
            f"{model.activation}; say it in one place"
        )
    return spec.activation or model.activation


def _check_against(spec: ModelSpec, data: DataInfo, factory: str) -> None:
    if spec.inputs != data.inputs:
        raise UsageError(
            f"factory {factory}: expected the inputs of data set {data.name}, {data.inputs}, found {spec.inputs}"
        )
    if spec.task != data.task.kind:
        raise UsageError(f"factory {factory}: expected task {data.task.kind}, as the data have it, found {spec.task}")
    if spec.labels != data.classes and spec.task != "outputs":
        raise UsageError(
            f"factory {factory}: expected the classes of data set {data.name}, {data.classes}, found {spec.labels}"
        )


def _preprocessing(settings: Preprocessing | None, inputs: tuple[InputSpec, ...]) -> nn.Module:
    if len(inputs) == 1:
        one = inputs[0]
        if one.columns:
            values = settings or Preprocessing()
            return table_features(one, scale=values.scale, mean=values.mean, std=values.std)
        if settings is None:
            return Unchanged() if one.dtype == "int64" else ToFloat()
        return standardize(scale=settings.scale, mean=settings.mean, std=settings.std, shape=one.shape)
    if settings is not None:
        raise UsageError(
            f"model.preprocessing: expected a data set of one input, found {len(inputs)}; return a ModelSpec from the "
            "factory, with a preprocess of its own"
        )
    return Each([Unchanged() if one.dtype == "int64" else ToFloat() for one in inputs])
