"""Recipe section of the network, `[model]`, and its preprocessing."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from pipeline.recipe.names import (
    FACTORY,
    NETWORKS,
    NetworkName,
    require_known,
)
from pipeline.recipe.section import Section

# Packages that know how published networks see pictures.
PRESET_SOURCES = ("torchvision", "timm")


class Preprocessing(Section):
    """How raw values become what the network sees, inside the exported graph: (x * scale - mean) / std.

    In a recipe it is a table, or one text: `preprocessing = "torchvision:MobileNet_V2_Weights.IMAGENET1K_V1"`.
    """

    preset: str | None = Field(
        default=None,
        pattern=rf"^({'|'.join(PRESET_SOURCES)}):[A-Za-z0-9][\w.-]*$",
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


class Model(Section):
    """The network: built in by `name`, or the user's own by `factory`."""

    name: Annotated[
        NetworkName | None, BeforeValidator(partial(require_known, names=NETWORKS, own="model.factory"))
    ] = Field(default=None, description="a built-in architecture")
    factory: str | None = Field(default=None, pattern=FACTORY, description="the user's own, as module:function")
    arguments: dict[str, Any] = Field(default={}, description="keyword arguments of the architecture or factory")
    weights: str | None = Field(
        default=None,
        min_length=1,
        description="weights, relative to the recipe: a checkpoint (its content decides, not its name), the index of "
        "several files, or a folder with either",
    )
    weights_key: str | None = Field(
        default=None,
        min_length=1,
        description="where in that file the weights lie, as a dotted path of keys or of what they begin with, such as "
        "model_ema; needed where several sets may be meant",
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
        return self
