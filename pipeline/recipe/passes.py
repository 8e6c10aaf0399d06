"""The passes that may change a network, and their order: the passes of a candidate, as a recipe states them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Annotated, Literal, assert_never, get_args

from pydantic import Field, model_validator

from pipeline.precision import PRECISIONS, ConvertingPass, Precision, precision_of
from pipeline.recipe.names import ActivationType, ChannelNorm, PruningScope
from pipeline.recipe.section import LONGEST_NAME, NAME, Section


class MagnitudePruning(Section):
    """Set the weights of smallest absolute value to zero, for good."""

    kind: Literal["magnitude-pruning"] = "magnitude-pruning"
    amount: float = Field(
        default=0.3, gt=0, lt=1, description="share of the weights of convolution and linear layers set to zero"
    )
    scope: PruningScope = Field(
        default="layer", description="rank weights within each layer, or over all layers together"
    )


class ChannelPruning(Section):
    """Remove whole channels, those of smallest weights, so that the network really gets smaller and faster."""

    kind: Literal["channel-pruning"] = "channel-pruning"
    keep: float = Field(default=0.5, gt=0, le=1, description="share of the channels that stay")
    scope: PruningScope = Field(
        default="layer", description="rank channels within each layer, or over all layers together"
    )
    layers: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        default={},
        description="share that stays in single layers, by module name, instead of `keep`; of layers that share their "
        "channels (around a residual connection) the largest share counts",
    )
    round_to: int = Field(
        default=8, ge=1, description="channel counts that fall become multiples of this, which CPUs like, and never 0"
    )
    importance: ChannelNorm = Field(
        default="l2", description="norm of a channel's weights in all layers that write or read it"
    )


class FineTune(Section):
    """Train a pruned network to answer as the float network does on the training inputs (distillation)."""

    kind: Literal["fine-tune"] = "fine-tune"
    epochs: int = Field(default=3, ge=1, description="passes over the training data")
    batch_size: int = Field(default=128, ge=2, description="examples per step")
    learning_rate: float = Field(default=5e-3, gt=0, description="peak learning rate, reached after 30 % of the steps")
    temperature: float = Field(
        default=4.0,
        gt=0,
        description="both networks' logits are divided by it before they are compared; values have none",
    )
    label_weight: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the labels' own loss (train.loss) in the whole; 0 needs no labels, 1 is that loss alone",
    )
    shift: int | None = Field(
        default=None,
        ge=0,
        description="move training pictures by up to so many pixels each way; as in [train] if not given",
    )
    seed: int = Field(default=0, ge=0, description="of shuffling, and of which pictures are moved how")


class DynamicInt8(Section):
    """Linear layers with int8 weights; activations quantized as they come."""

    kind: Literal["dynamic-int8"] = "dynamic-int8"


RangeMethod = Literal["minmax", "entropy", "percentile"]


class StaticInt8(Section):
    """Convolution and linear layers in int8, activations too, on scales found on training data; ONNX only."""

    kind: Literal["static-int8"] = "static-int8"
    examples: int = Field(default=512, ge=1, description="training examples that activations are measured on")
    method: RangeMethod = Field(
        default="minmax", description="how an activation's range follows from what was measured"
    )
    activations: ActivationType = Field(
        default="uint8", description="number format of activations; uint8 is fast on x86-64, int8 on ARM"
    )
    reduce_range: bool = Field(
        default=True,
        description="weights of 7 bits: without VNNI, a CPU adds products of 8-bit ones in 16 bits that overflow",
    )
    keep: tuple[str, ...] = Field(default=(), description="names of modules that stay in float")


class Bfloat16(Section):
    """Convolutions and matrix products in bfloat16, the rest in float; TorchScript only."""

    kind: Literal["bfloat16"] = "bfloat16"


Pass = Annotated[
    ChannelPruning | FineTune | MagnitudePruning | DynamicInt8 | StaticInt8 | Bfloat16,
    Field(discriminator="kind"),
]
# The passes that act on an exported ONNX file.
FilePass = DynamicInt8 | StaticInt8
_CONVERTING: tuple[str, ...] = get_args(ConvertingPass)


def _refusal(earlier: str, later: str) -> str:
    """Why a kind of pass may not come after another; empty if it may."""
    order = f"expected {later} before {earlier}, because"
    match (earlier, later):
        case (first, second) if first in _CONVERTING and second in _CONVERTING:
            return f"expected one of {first} and {second}, found both: each starts from the float network"
        case ("dynamic-int8" | "static-int8", _):
            what, act = (later, "training") if later == "fine-tune" else ("pruning", "pruning")
            return (
                f"{what} after quantization: {order} quantized layers no longer hold float weights and {act} them "
                "silently does nothing; swap the passes"
            )
        case (first, _) if first in _CONVERTING:
            return f"{order} what the network computes in comes last; swap the passes"
        case ("fine-tune", "channel-pruning"):
            return f"{order} the channels that go take the training with them; swap the passes"
        case ("magnitude-pruning", "channel-pruning"):
            return (
                f"{order} the channels that go take zeros with them, and the share of zeros is no longer as "
                "asked; swap the passes"
            )
        case ("magnitude-pruning", "fine-tune"):
            return f"{order} training fills the zeros again; swap the passes"
    return ""


class Variant(Section):
    """One network to compare with float: a name and the passes that make it."""

    name: str = Field(
        pattern=NAME, max_length=LONGEST_NAME, description="short name, first part of the candidates' names"
    )
    passes: tuple[Pass, ...] = Field(
        description=f"in order: channel-pruning, fine-tune, magnitude-pruning, then one of {', '.join(_CONVERTING)}"
    )

    @model_validator(mode="after")
    def _order(self) -> Variant:
        kinds = [step.kind for step in self.passes]
        for kind in dict.fromkeys(kinds):
            if kinds.count(kind) > 1:
                raise ValueError(f"pass {kind} given {kinds.count(kind)} times, expected once at most")
        for earlier, later in combinations(kinds, 2):
            if reason := _refusal(earlier, later):
                raise ValueError(reason)
        if "fine-tune" in kinds and "channel-pruning" not in kinds:
            raise ValueError(
                "expected channel-pruning before fine-tune, found none: without it there is nothing to win back; "
                "leave fine-tune out, or train longer with train.epochs"
            )
        return self

    @property
    def float_passes(self) -> tuple[Pass, ...]:
        """The passes that act on the float network; they make the network that `name` names."""
        return float_passes(self.passes)

    @property
    def precision(self) -> Precision:
        """Number format of the weights."""
        return precision_of([step.kind for step in self.passes])


def float_passes(passes: Sequence[Pass]) -> tuple[Pass, ...]:
    """The passes that act on the float network. An ONNX file is quantized after its export."""
    return tuple(step for step in passes if step.kind not in _CONVERTING)


def file_pass(passes: Sequence[Pass]) -> FilePass | None:
    """The last of some passes, if it acts on an exported ONNX file; None if none of them does."""
    if not passes:
        return None
    match passes[-1]:
        case DynamicInt8() | StaticInt8() as last:
            return last
        case ChannelPruning() | FineTune() | MagnitudePruning() | Bfloat16():
            return None
        case unreachable:
            assert_never(unreachable)


def converting_pass(precision: Precision) -> Pass | None:
    """The pass that brings a network into a precision, with default settings; None for float."""
    match PRECISIONS[precision].made_by:
        case None:
            return None
        case "dynamic-int8":
            return DynamicInt8()
        case "static-int8":
            return StaticInt8()
        case "bfloat16":
            return Bfloat16()
        case unreachable:
            assert_never(unreachable)
