"""Functions that build the networks that a recipe names, built in and published, for the shapes of its data."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, assert_never

import torch
from torch import nn

from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import DataInfo
from pipeline.errors import UsageError
from pipeline.models.fashion import IMAGE_SHAPE, FashionCNN
from pipeline.models.mlp import MLP
from pipeline.models.published import build_torchvision, published_builder
from pipeline.models.table_features import feature_count
from pipeline.recipe.model import Model

# Names of built-in networks in torchvision, where they differ.
_TORCHVISION = {"mobilenet-v2": "mobilenet_v2"}


def network_builder(model: Model, data: DataInfo) -> Callable[[], nn.Module]:
    """The function that builds the network of a name, freshly initialised, with the recipe's arguments.

    Args:
        model: section of the recipe, with a name.
        data: facts of the data set, which give shapes and the number of outputs.

    Raises:
        UsageError: no such network, wrong arguments, or data that it cannot take.
    """
    return _built_in(model, data) if model.published is None else _published(model, model.published, data)


def _built_in(model: Model, data: DataInfo) -> Callable[[], nn.Module]:
    build: Callable[..., nn.Module]
    name, classes, channels = model.built_in, len(data.classes), data.inputs[0].shape[:1]
    match name:
        case "fashion-cnn" | "fashion-cnn-wide":
            _check_input(name, data, IMAGE_SHAPE)
            build = partial(_fashion, classes=classes, wide=name.endswith("wide"))
        case "mlp":
            _check_input(name, data, "any")
            build = partial(_mlp, features=_feature_count(data.inputs[0]), classes=classes)
        case "resnet18" | "resnet50" | "mobilenet-v2":
            _check_input(name, data, "picture")
            build = partial(build_torchvision, _TORCHVISION.get(name, name), channels=channels[0], classes=classes)
        case None:
            raise UsageError("model: expected exactly one of name, factory, found none")
        case _:
            assert_never(name)
    _check_arguments(build, model.arguments)
    return partial(build, **model.arguments)


def _published(model: Model, name: str, data: DataInfo) -> Callable[[], nn.Module]:
    _check_input(name, data, "picture")
    channels, height, width = data.inputs[0].shape
    return published_builder(
        name, channels=channels, size=(height, width), classes=len(data.classes), arguments=model.arguments
    )


def _fashion(*, classes: int, wide: bool, dropout: float = 0.0) -> nn.Module:
    _check_dropout(dropout)
    return FashionCNN(classes=classes, wide=wide, dropout=dropout)


def _mlp(*, features: int, classes: int, hidden: object, dropout: float = 0.0) -> nn.Module:
    _check_dropout(dropout)
    sizes = [size for size in hidden if type(size) is int and size >= 1] if isinstance(hidden, list) else None
    if sizes is None or sizes != hidden:
        raise UsageError(f"model.arguments.hidden: expected a list of whole numbers of at least 1, found {hidden!r}")
    return MLP(features=features, hidden=sizes, classes=classes, dropout=dropout)


def _feature_count(spec: InputSpec) -> int:
    return feature_count(spec) if spec.columns else math.prod(spec.shape)


def _check_dropout(dropout: object) -> None:
    if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise UsageError(f"model.arguments.dropout: expected a number from 0 to below 1, found {dropout!r}")


def _check_arguments(build: Callable[..., nn.Module], arguments: dict[str, Any]) -> None:
    """Report unknown and missing arguments, then wrong values by building once without memory."""
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(build).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    # Those that the data fixes are no arguments of the recipe.
    offered = [name for name in parameters if not (isinstance(build, partial) and name in build.keywords)]
    needed = [name for name in offered if parameters[name].default is inspect.Parameter.empty]
    problems = [f"unknown {name}" for name in arguments if name not in offered]
    problems += [f"missing {name}" for name in needed if name not in arguments]
    if problems:
        raise UsageError(f"model.arguments: expected {', '.join(offered)}; found: {', '.join(problems)}")
    with torch.device("meta"):
        build(**arguments)


def _check_input(name: str, data: DataInfo, shape: tuple[int, ...] | Literal["any", "picture"]) -> None:
    found = ", ".join(f"{one.name} {one.shape} {one.dtype}" for one in data.inputs)
    given = data.inputs[0].shape
    match shape:
        case "any":
            fits, wanted = True, "one input"
        case "picture":
            fits, wanted = len(given) == 3, "one input of shape (C, H, W)"
        case _:
            fits, wanted = given == shape, f"one input of shape {shape}"
    if len(data.inputs) != 1 or not fits:
        raise UsageError(f"model.name {name}: expected data of {wanted}, found {found} in data set {data.name}")
