"""Networks of torchvision and timm by name, for pictures of any number of channels and any number of classes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from pipeline.errors import UsageError
from pipeline.presets import import_timm, installed_version
from pipeline.recipe.names import meant

# The data and `model.weights` give these.
_TAKEN = ("weights", "weights_backbone", "progress", "num_classes", "pretrained", "in_chans")
# In training, these two answer with further outputs beside the classes. Without this, they warn of their start.
_SINGLE_OUTPUT = {"aux_logits": False, "init_weights": True}
_WITH_FURTHER_OUTPUTS = ("googlenet", "inception_v3")


def published_builder(
    name: str, *, channels: int, size: tuple[int, int], classes: int, arguments: dict[str, Any]
) -> Callable[[], nn.Module]:
    """A function that builds a network of torchvision or timm, freshly initialised.

    Args:
        name: name with its package, as in a recipe: `torchvision:resnet50`, `timm:resnet18`.
        channels: number of channels of the picture.
        size: height and width of the picture, in pixels.
        classes: number of outputs K.
        arguments: further keyword arguments of the network.

    Raises:
        UsageError: the package is not installed, knows no such network, or the network takes no such arguments.
    """
    taken = [key for key in arguments if key in _TAKEN]
    if taken:
        raise UsageError(
            f"model.arguments: expected none of {', '.join(_TAKEN)} for {name}, because the data and model.weights "
            f"give them; found {', '.join(taken)}"
        )
    source, _, member = name.partition(":")
    if source == "timm":
        build = _timm(name, member, channels=channels, classes=classes, arguments=arguments)
    else:
        build = _torchvision(name, member, channels=channels, size=size, classes=classes, arguments=arguments)
    try:
        with torch.device("meta"):
            build()
    except NotImplementedError:  # it computes with values while it is built, which the meta device has not
        pass
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise UsageError(
            f"model.name {name}: expected that it can be built with arguments {arguments} for a picture of "
            f"{channels} x {size[0]} x {size[1]}, found: {type(error).__name__}: {error}"
        ) from error
    return build


def build_torchvision(name: str, *, channels: int, classes: int, **arguments: Any) -> nn.Module:
    """Build a freshly initialised network of torchvision; for 3 channels and 1000 classes it is its own.

    Args:
        name: name of the network, such as `resnet18`.
        channels: number of channels of the picture.
        classes: number of outputs K; `resnet18` has 11,175,370 parameters for 10 classes and 1 channel.
        arguments: further keyword arguments of the network.
    """
    from torchvision import models

    network: nn.Module = models.get_model(name, num_classes=classes, **arguments)
    if channels != 3:
        _set_channels(network, channels)
    return network


def _torchvision(
    name: str, member: str, *, channels: int, size: tuple[int, int], classes: int, arguments: dict[str, Any]
) -> Callable[[], nn.Module]:
    from torchvision import models

    known = models.list_models(module=models)
    if member not in known:
        raise UsageError(
            f"model.name {name}: expected a classifier of torchvision {installed_version('torchvision')}, found "
            f"{member}{meant(member, known)}"
        )
    own: dict[str, Any] = {}
    if member in _WITH_FURTHER_OUTPUTS:
        own = _SINGLE_OUTPUT
    elif member.startswith("vit_"):
        own = {"image_size": size[0]}  # it has a weight for each place in the picture
    return partial(build_torchvision, member, channels=channels, classes=classes, **{**own, **arguments})


def _timm(name: str, member: str, *, channels: int, classes: int, arguments: dict[str, Any]) -> Callable[[], nn.Module]:
    timm = import_timm(f"model.name {name}")
    if not timm.is_model(member):
        raise UsageError(
            f"model.name {name}: expected a model of timm {installed_version('timm')}, found {member}"
            f"{meant(member.partition('.')[0], timm.list_models())}"
        )
    return partial(timm.create_model, member, pretrained=False, num_classes=classes, in_chans=channels, **arguments)


def _set_channels(network: nn.Module, channels: int) -> None:
    """Replace the first convolution by one for another number of channels, initialised as those of ResNets are."""
    name, first = next((name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
    stem = nn.Conv2d(
        channels,
        first.out_channels,
        kernel_size=first.kernel_size,  # type: ignore[arg-type]  # torch's own tuple
        stride=first.stride,  # type: ignore[arg-type]
        padding=first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    network.set_submodule(name, stem)
