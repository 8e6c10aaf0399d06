"""Recipe section `[task]`: what the network is for, and the settings that its evaluation needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, assert_never, get_args

from pydantic import BeforeValidator, Field

from pipeline.recipe.names import meant
from pipeline.recipe.section import Section

# The same as in `handlers.task_answers`, which loads numpy; a test holds the two together.
TaskName = Literal["classification", "multi-label", "regression"]


def _listed(value: Any) -> Any:
    """Take one number or text for all outputs."""
    return value if isinstance(value, list | tuple) else (value,)


_Shares = Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], BeforeValidator(_listed)]
_Sizes = Annotated[tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...], BeforeValidator(_listed)]
_Numbers = Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], BeforeValidator(_listed)]
_Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Classification(Section):
    """Each example has one class; the network has an output for each."""

    kind: Literal["classification"] = Field(default="classification", description="what the network is for")


class MultiLabel(Section):
    """Each example has any number of labels; the network has an output for each."""

    kind: Literal["multi-label"] = Field(default="multi-label", description="what the network is for")
    threshold: _Shares = Field(
        default=(0.5,),
        min_length=1,
        description="probability from which a label is given; one for all, or a list with one per label",
    )


class Regression(Section):
    """Each example has one or several numbers; the network has an output for each, in its unit."""

    kind: Literal["regression"] = Field(default="regression", description="what the network is for")
    tolerance: _Sizes = Field(
        default=(),
        description="how far an answer may be from its target and still be right, in the output's own unit; one for "
        "all outputs, or a list with one per output; a recipe must give it",
    )
    units: _Texts = Field(
        default=(), description="unit of each output, which answers name; one for all, or a list; none if not given"
    )
    center: _Numbers = Field(
        default=(),
        description="middle of the targets of each output, from which training starts; their mean on the training "
        "data if not given",
    )
    scale: _Sizes = Field(
        default=(),
        description="spread of the targets of each output, by which training divides errors; their standard deviation "
        "on the training data if not given",
    )


def _named(settings: Any) -> Any:
    """Add the kind to a section without settings, and say what is wrong with any other kind."""
    if not isinstance(settings, Mapping):
        return settings
    kinds = get_args(TaskName)
    kind = settings.get("kind", None if settings else kinds[0])
    if kind not in kinds:
        found = "none" if kind is None else f"{kind!r}{meant(str(kind), kinds)}"
        raise ValueError(f"kind: expected {', '.join(kinds[:-1])} or {kinds[-1]}, found {found}")
    return {**settings, "kind": kind}


# This is a closed union: `kind` tells its members apart.
TaskSettings = Annotated[
    Annotated[Classification | MultiLabel | Regression, Field(discriminator="kind")], BeforeValidator(_named)
]


def why_no_confidence(task: TaskSettings) -> str:
    """Why answers of a task have no confidence, so that none can be changed with confidence; empty where they do."""
    match task:
        case Classification() | MultiLabel():
            return ""
        case Regression():
            return "a regression answers with values, which have no confidence"
        case unreachable:
            assert_never(unreachable)


def why_no_smoothing(task: TaskSettings) -> str:
    """Why the targets of a task cannot be smoothed; empty where they can."""
    match task:
        case Classification() | MultiLabel():
            return ""
        case Regression():
            return "the targets of a regression are values, not labels"
        case unreachable:
            assert_never(unreachable)
