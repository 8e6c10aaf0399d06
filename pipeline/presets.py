"""How published networks see pictures, by name: torchvision's weights and timm's configurations.

Only what lies in the installed package is read. Nothing is downloaded, and no network is built.
"""

from __future__ import annotations

import importlib
import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.recipe.model import Preprocessing
from pipeline.recipe.names import PUBLISHERS, meant

if TYPE_CHECKING:
    from pipeline._handlers.decode import ImageDecoding, InputSpec

_CHANNELS = {1: "L", 3: "RGB"}


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What a published network was evaluated with.

    Args:
        name: name in the recipe.
        shape: shape of its input, (C, H, W).
        decoding: how a picture becomes the input.
        preprocessing: how raw values of 0 to 255 become what the network sees.
        labels: names of its outputs, by index; empty where the package does not say them.
    """

    name: str
    shape: tuple[int, int, int]
    decoding: ImageDecoding
    preprocessing: Preprocessing
    labels: tuple[str, ...] = ()

    def input_spec(self, name: str = "image") -> InputSpec:
        """The input of the network.

        Args:
            name: name of the input in the graph and in requests.
        """
        from pipeline._handlers.decode import InputSpec

        return InputSpec(name=name, dtype="uint8", shape=self.shape, low=0, high=255, decoding=self.decoding)

    def to_json(self) -> str:
        """All facts but the labels as one text: a build runs again where it changed."""
        facts = {"input": self.input_spec().to_json(), "preprocessing": self.preprocessing.model_dump(mode="json")}
        return json.dumps(facts, sort_keys=True)


def in_size(spec: InputSpec, size: tuple[int, ...] | None) -> InputSpec:
    """The same part of pictures as an input shows, in another size.

    Args:
        spec: an input that is a picture.
        size: height and width; the input's own if None.
    """
    assert spec.decoding is not None
    if size is None or size == spec.shape[1:]:
        return spec
    to = spec.decoding.resize_to
    if to is not None:
        ratios = [wanted / own for wanted, own in zip(size, spec.shape[1:], strict=True)]
        to = (round(to[0] * ratios[0]), round(to[1] * ratios[1]))
    return replace(spec, shape=(spec.shape[0], *size), decoding=replace(spec.decoding, resize_to=to))


def read_preset(name: str) -> Preset:
    """Read how a published network sees pictures.

    Args:
        name: `torchvision:` and the name of weights, such as `torchvision:MobileNet_V2_Weights.IMAGENET1K_V1`, or
            `timm:` and the name of a model, with or without the tag of its weights.

    Raises:
        UsageError: the package is not installed, knows no such name, or the network sees pictures in a way that cannot
            be taken over.
    """
    source, _, member = name.partition(":")
    match source:
        case "torchvision":
            return _from_torchvision(name, member)
        case "timm":
            return _from_timm(name, member)
        case _:
            raise UsageError(f"preset {name!a}: expected {' or '.join(PUBLISHERS)}, a colon and a name")


def torchvision_weights(name: str, member: str, *, setting: str) -> Any:
    """The weights of torchvision of a name, as its enumeration has them; nothing is fetched.

    Args:
        name: name in the recipe, for the message.
        member: name in torchvision, such as `MobileNet_V2_Weights.IMAGENET1K_V1`.
        setting: setting that names them, for the message.

    Raises:
        UsageError: torchvision knows no such weights.
    """
    from torchvision.models import get_weight

    try:
        return get_weight(member)
    except (KeyError, ValueError) as error:
        raise UsageError(f"{setting} {name!a}: {_torchvision_problem(member.partition('.')[0])}") from error


def default_weights(name: str) -> str | None:
    """The name of the weights that a package itself would take for a network; None where it has none.

    Args:
        name: name of a published network with its package, as in a recipe: `torchvision:resnet18`, `timm:resnet18`.

    Raises:
        UsageError: the package is not installed, or knows no such network.
    """
    source, _, member = name.partition(":")
    if source == "timm":
        timm = import_timm(f"network {name}")
        if not timm.is_model(member):
            version = installed_version("timm")
            raise UsageError(f"expected a model of timm {version}, found {member!a}{meant(member, timm.list_models())}")
        tags = timm.list_pretrained(f"{member.partition('.')[0]}.*")
        configuration = timm.models.get_pretrained_cfg(member)
        tag = "" if configuration is None else configuration.tag
        default = member if "." in member else f"{member}.{tag}"
        return f"timm:{default}" if default in tags else None
    from torchvision import models

    known = models.list_models(module=models)
    if member not in known:
        version = installed_version("torchvision")
        raise UsageError(f"expected a classifier of torchvision {version}, found {member!a}{meant(member, known)}")
    weights = models.get_model_weights(member)
    return f"torchvision:{weights.DEFAULT}" if len(weights) else None


def _from_torchvision(name: str, member: str) -> Preset:
    weights = torchvision_weights(name, member, setting="preset")
    seen = weights.transforms()
    sizes: list[list[int]] = [getattr(seen, "crop_size", []), getattr(seen, "resize_size", [])]
    if type(seen).__name__ != "ImageClassification" or [len(size) for size in sizes] != [1, 1]:
        raise UsageError(
            f"preset {name!a}: expected weights of a classifier of pictures, found transforms {type(seen).__name__}; "
            "give mean and std in [model.preprocessing], and size and decoding in the data"
        )
    [crop], [shorter] = sizes
    return _preset(
        name,
        shape=(3, crop, crop),
        resize=seen.interpolation.value,
        fit="crop",
        resize_to=(shorter, shorter),
        mean=seen.mean,
        std=seen.std,
        labels=weights.meta.get("categories", ()),
    )


def _torchvision_problem(enum: str) -> str:
    """Say which names there are."""
    from torchvision import models

    module = models.quantization if "Quantized" in enum else models
    known = [name for name in dir(module) if name.endswith("Weights")]
    if enum not in known:
        return f"expected weights of torchvision {installed_version('torchvision')}, found {enum!a}{meant(enum, known)}"
    members = ", ".join(weights.name for weights in getattr(module, enum))
    return f"expected one of {enum}'s: {members}; write it as torchvision:{enum}.NAME"


def import_timm(where: str) -> Any:
    """The package timm, which an extra of this package installs.

    Args:
        where: setting that needs it, for the message.

    Raises:
        UsageError: it cannot be imported.
    """
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        raise UsageError(
            f"{where}: expected the package timm, found none that can be imported ({error}); install it with "
            "this package's extra: pip install 'proven-pipeline[timm]'"
        ) from error


def installed_version(distribution: str) -> str:
    """Installed version of a package."""
    from importlib.metadata import version

    return version(distribution)


def _from_timm(name: str, member: str) -> Preset:
    timm = import_timm(f"preset {name!a}")
    data = importlib.import_module("timm.data")
    try:
        configuration = timm.models.get_pretrained_cfg(member)
    except RuntimeError as error:  # the network is known, and the tag of its weights is not
        architecture = member.partition(".")[0]
        tags = ", ".join(timm.list_pretrained(f"{architecture}.*"))
        raise UsageError(f"preset {name!a}: expected one of {tags}, found {member}") from error
    if configuration is None:
        raise UsageError(
            f"preset {name!a}: expected a model of timm {installed_version('timm')}, found {member!a}"
            f"{meant(member, timm.list_models())}"
        )
    seen: dict[str, Any] = data.resolve_data_config(pretrained_cfg=configuration.to_dict())
    channels, height, width = seen["input_size"]
    resize_to = (math.floor(height / seen["crop_pct"]), math.floor(width / seen["crop_pct"]))
    match seen["crop_mode"]:
        case "center":
            fit, fill = "crop", (0,)
        case "squash":
            fit, fill = "squeeze", (0,)
        case "border":
            fit, fill = "letterbox", tuple(round(255 * value) for value in seen["mean"])
        case mode:
            raise UsageError(f"preset {name!a}: expected crop_mode center, squash or border, found {mode!a}")
    return _preset(
        name,
        shape=(channels, height, width),
        resize=seen["interpolation"],
        fit=fit,
        resize_to=resize_to,
        fill=fill,
        mean=seen["mean"],
        std=seen["std"],
        labels=configuration.label_names or (),
    )


def _preset(
    name: str,
    *,
    shape: tuple[int, int, int],
    resize: Any,
    fit: Any,
    resize_to: tuple[int, int],
    mean: Any,
    std: Any,
    labels: Any,
    fill: tuple[int, ...] = (0,),
) -> Preset:
    """Check and put together what a package says of a network."""
    from pipeline._handlers.decode import ImageDecoding

    mode: Any = _CHANNELS.get(shape[0])
    if mode is None:
        raise UsageError(f"preset {name!a}: expected 1 or 3 channels, found {shape[0]}")
    # Where nothing is cut off, the decoding is written as one who squeezes pictures writes it.
    own_size = fit != "crop" and resize_to == shape[1:]
    try:
        decoding = ImageDecoding(
            mode=mode, resize=resize, fit=fit, resize_to=None if own_size else resize_to, fill=fill
        )
    except ValueError as error:
        raise UsageError(f"preset {name!a}: {error}") from error
    return Preset(
        name=name,
        shape=shape,
        decoding=decoding,
        preprocessing=Preprocessing(scale=1 / 255, mean=tuple(mean), std=tuple(std)),
        labels=tuple(labels),
    )
