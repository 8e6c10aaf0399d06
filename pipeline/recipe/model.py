"""Recipe section of the network, `[model]`, and its preprocessing."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import BeforeValidator, Field, model_validator

from pipeline.recipe.names import (
    FACTORY,
    NETWORKS,
    PUBLISHED,
    HeadName,
    InitialisationName,
    NetworkName,
    require_known,
)
from pipeline.recipe.section import Section


class Preprocessing(Section):
    """How raw values become what the network sees, inside the exported graph: (x * scale - mean) / std.

    In a recipe it is a table, or one text: `preprocessing = "torchvision:MobileNet_V2_Weights.IMAGENET1K_V1"`.
    """

    preset: str | None = Field(
        default=None,
        pattern=PUBLISHED,
        description="a published network that sees pictures in the same way, as torchvision:WEIGHTS or timm:MODEL; "
        "scale, mean and std are taken from there, and size and decoding of pictures",
    )
    scale: float = Field(default=1.0, description="factor on the raw value, e.g. 1/255 = 0.00392156862745098")
    mean: tuple[float, ...] = Field(
        default=(0.0,), description="subtracted after scaling; one value, or one per channel or feature"
    )
    std: tuple[float, ...] = Field(
        default=(1.0,), description="divisor after subtraction; one value, or one per channel or feature"
    )

    @model_validator(mode="before")
    @classmethod
    def _preset_by_name(cls, value: object) -> object:
        return {"preset": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_way(self) -> Preprocessing:
        numbers = sorted(self.model_fields_set - {"preset"})
        if self.preset is not None and numbers:
            raise ValueError(f"{', '.join(numbers)}: expected none beside {self.preset}, which has its own")
        return self


# These names are the same as in `handlers.activation`, which computes with them.
Activation = Literal["none", "softmax", "sigmoid"]


def _paths(value: object) -> object:
    """One path for a list of them; a place in a tuple may be a number.

    Raises:
        ValueError: the value is something else.
    """
    paths = value if isinstance(value, list | tuple) else (value,)
    if not all(isinstance(path, str | int) and not isinstance(path, bool) and str(path) for path in paths):
        raise ValueError('expected the key of an output, such as "logits", or a list of keys')
    return tuple(map(str, paths))


class Ensemble(Section):
    """Several networks of one architecture. Their outputs are averaged, and they are exported and served as one."""

    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(), description="a member is initialised and trained from each seed, in place of train.seed"
    )
    weights: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), description="a member has each of these weights, which are given as in model.weights"
    )

    @model_validator(mode="after")
    def _members(self) -> Ensemble:
        if bool(self.seeds) == bool(self.weights):
            raise ValueError("expected exactly one of seeds, weights")
        for key, members in (("seeds", self.seeds), ("weights", self.weights)):
            if members and (len(members) < 2 or len(set(members)) < len(members)):
                shown = ", ".join(map(str, members))
                raise ValueError(f"{key}: expected two or more different members, found {shown}")
        return self

    @property
    def size(self) -> int:
        """Number of members."""
        return len(self.seeds or self.weights)


def _network(name: object) -> object:
    """A name of a network; that of a published one is looked up where its package is loaded.

    Raises:
        ValueError: it is neither built in nor written as that of a published one.
    """
    if isinstance(name, str) and re.fullmatch(PUBLISHED, name):
        return name
    return require_known(name, NETWORKS, own="model.factory", others="torchvision:NAME, timm:NAME")


class Model(Section):
    """The network: built in or published by `name`, or the user's own by `factory`."""

    LATER: ClassVar[frozenset[str]] = frozenset({"ensemble", "head", "initialisation"})

    name: Annotated[str | None, BeforeValidator(_network)] = Field(
        default=None,
        description="a built-in architecture, or a published one, as torchvision:efficientnet_b0 or timm:NAME",
    )
    factory: str | None = Field(default=None, pattern=FACTORY, description="the user's own, as module:function")
    arguments: dict[str, Any] = Field(default={}, description="keyword arguments of the architecture or factory")
    weights: str | None = Field(
        default=None,
        min_length=1,
        description="weights, relative to the recipe: a checkpoint (its content decides, not its name), the index of "
        "several files, or a folder with either; or published ones, which are fetched once, as "
        "torchvision:ResNet50_Weights.IMAGENET1K_V2 or timm:NAME.TAG",
    )
    weights_key: str | None = Field(
        default=None,
        min_length=1,
        description="where in that file the weights lie, as a dotted path of keys or of what they begin with, such as "
        "model_ema; needed where several sets may be meant",
    )
    ensemble: Ensemble | None = Field(default=None, description="several networks that answer together")
    head: HeadName = Field(
        default="keep",
        description="keep: the weights are of all layers; replace: the last layer is made anew, so that weights of "
        "another number of classes fit",
    )
    initialisation: InitialisationName | None = Field(
        default=None,
        description="how weights of convolutions and linear layers are made at random, with biases of 0; as the "
        "network does it itself if not given",
    )
    preprocessing: Preprocessing | None = Field(default=None, description="for a factory that returns a bare network")
    output: Annotated[tuple[str, ...], BeforeValidator(_paths)] = Field(
        default=(),
        description="which part of what the network returns counts: a key, an attribute or a place, with dots where it "
        "is nested, such as logits; a list names several, for the task outputs. If not given, all of it counts",
    )
    activation: Activation | None = Field(
        default=None,
        description="what the network's outputs are already: none for logits, or the probabilities of softmax or "
        "sigmoid. If not given they are logits, and a build whose network answers with probabilities ends",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Model:
        if (self.name is None) == (self.factory is None):
            raise ValueError("expected exactly one of name, factory")
        if self.weights_key is not None and self.weights is None:
            raise ValueError("weights_key without weights: expected the file that it is a key of; give model.weights")
        if self.head == "replace" and self.weights is None:
            raise ValueError(
                "head = replace without weights: expected the weights of the other layers; give model.weights, or "
                "leave head out: a network without weights is made anew as a whole"
            )
        if self.weights is not None and self.ensemble is not None and self.ensemble.weights:
            raise ValueError("weights with ensemble.weights: expected one of them; each member has weights of its own")
        if self.initialisation is not None and self.weights is not None and self.head == "keep":
            raise ValueError(
                f"initialisation {self.initialisation} with weights: expected one of them, because the weights take "
                "the place of what was initialised; leave one out, or replace the head"
            )
        return self

    def member(self, weights: str | None = None) -> Model:
        """The section for one member of the ensemble.

        Args:
            weights: weights of that member; those of the section if None.
        """
        return self.model_copy(update={"ensemble": None, "weights": weights or self.weights})

    @property
    def weights_by_setting(self) -> dict[str, str]:
        """The weights that the section names, by the setting that names them."""
        members = () if self.ensemble is None else self.ensemble.weights
        own = {} if self.weights is None else {"model.weights": self.weights}
        return own | {f"model.ensemble.weights {number}": member for number, member in enumerate(members, start=1)}

    @property
    def built_in(self) -> NetworkName | None:
        """The name of a built-in network; None for another one."""
        return cast("NetworkName", self.name) if self.name in NETWORKS else None

    @property
    def published(self) -> str | None:
        """The name of a published network, with its package; None for another one."""
        return None if self.name in (None, *NETWORKS) else self.name
