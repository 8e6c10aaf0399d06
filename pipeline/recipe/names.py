"""Names that a recipe may use for what comes with this package, and what a mistyped one may have been meant as."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

NetworkName = Literal["fashion-cnn", "fashion-cnn-wide", "mlp", "resnet18"]
DataSetName = Literal["fashion-mnist"]
# What a recipe may choose from, once for the recipe and for the code that does it.
OptimizerName = Literal["sgd", "adam", "adamw"]
ScheduleName = Literal["constant", "cosine", "one-cycle"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]
# Over what weights or channels are ranked.
PruningScope = Literal["layer", "global"]
ChannelNorm = Literal["l1", "l2"]
ActivationType = Literal["uint8", "int8"]
SearchEffort = Literal["quick", "deep"]
NETWORKS: tuple[str, ...] = get_args(NetworkName)
DATA_SETS: tuple[str, ...] = get_args(DataSetName)

# A function of the user's, as module:function.
FACTORY = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
# Prefix of the names of networks that a search makes; the number behind it is the network's cost in percent of float's.
SLIM = "slim"


def is_search_name(name: str) -> bool:
    """Whether a network of a search may bear this name, so that no other one may."""
    return re.fullmatch(rf"{SLIM}[\d.]+", name) is not None


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like a given one; empty if none is."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return near[0] if near else ""


def meant(name: str, known: Iterable[str]) -> str:
    """The same as a question to append to a message; empty if none is like it."""
    near = nearest(name, known)
    return f"; did you mean {near}?" if near else ""


def require_known(name: object, known: Sequence[str], *, own: str) -> object:
    """The same name, once it is one that comes with this package.

    Args:
        name: as the recipe gives it.
        known: those that there are.
        own: the setting that takes the user's own instead.

    Raises:
        ValueError: it is another one.
    """
    if isinstance(name, str) and name not in known:
        raise ValueError(f"expected {', '.join(known)}, or your own in {own}{meant(name, known)}")
    return name
