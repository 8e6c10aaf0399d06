"""Names that a recipe may use for things that come with this package, and suggestions for mistyped names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

NetworkName = Literal["fashion-cnn", "fashion-cnn-wide", "mlp", "resnet18", "resnet50", "mobilenet-v2"]
InitialisationName = Literal["kaiming", "xavier", "orthogonal"]
HeadName = Literal["keep", "replace"]
DataSetName = Literal["fashion-mnist", "cifar-10", "toy", "blobs"]
# A recipe may choose from these names. They are written once, for the recipe and for the code that acts on them.
OptimizerName = Literal["sgd", "adam", "adamw", "rmsprop", "lbfgs"]
ScheduleName = Literal["constant", "cosine", "one-cycle", "step", "reduce-on-plateau"]
LossName = Literal["cross-entropy", "bce-with-logits", "mse", "l1", "smooth-l1"]
# What the forward pass computes in while a network is trained; its weights stay in float32.
MixedPrecision = Literal["auto", "off", "bf16", "fp16"]
SamplingName = Literal["shuffled", "balanced"]
# Which epoch's weights are kept, and the figure on the validation split that decides.
KeepName = Literal["last", "best"]
MonitorName = Literal["metric", "loss"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]
# Weights or channels are ranked within each layer or over the whole network.
PruningScope = Literal["layer", "global"]
ChannelNorm = Literal["l1", "l2"]
ActivationType = Literal["uint8", "int8"]
SearchEffort = Literal["quick", "deep"]
ReportedExamples = Literal["disagreeing", "none"]
NETWORKS: tuple[str, ...] = get_args(NetworkName)
DATA_SETS: tuple[str, ...] = get_args(DataSetName)
LOSSES: tuple[str, ...] = get_args(LossName)

# Packages of published networks: a recipe names their networks, their weights, and how these see pictures.
PUBLISHERS = ("torchvision", "timm")
# Pattern of a published network or its weights, as package:name.
PUBLISHED = rf"^({'|'.join(PUBLISHERS)}):[A-Za-z0-9][\w.-]*$"
# Pattern of a function of the user's, as module:function.
FACTORY = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
# Prefix of the names of networks that a search makes; the number behind it is the network's cost in percent of float's.
SLIM = "slim"
SLIM_LEGEND = (
    f"{SLIM}NN: made by the search; NN is its cost, as the search reckons it, in percent of the float network's."
)


def is_search_name(name: str) -> bool:
    """Whether a name is reserved for the networks of a search."""
    return re.fullmatch(rf"{SLIM}[\d.]+", name) is not None


def nearest(name: str, names: Iterable[str]) -> str:
    """The name among `names` that is most like a mistyped one; empty if none is like it."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return near[0] if near else ""


def meant(name: str, names: Iterable[str]) -> str:
    """The most similar name as a question to append to a message; empty if none is like it."""
    near = nearest(name, names)
    return f"; did you mean {near}?" if near else ""


def require_known(name: object, names: Sequence[str], *, own: str, others: str = "") -> object:
    """Return a name if it is one that comes with this package.

    Args:
        name: name in the recipe.
        names: names that come with this package.
        own: setting that takes the user's own instead.
        others: other names that may stand there, for the message.

    Raises:
        ValueError: the name is not among them.
    """
    if isinstance(name, str) and name not in names:
        known = ", ".join([*names, others] if others else names)
        raise ValueError(f"expected {known}, or your own in {own}{meant(name, names)}")
    return name
