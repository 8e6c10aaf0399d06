"""Recipe section `[task]`: what the network is for, and the settings that its evaluation needs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, assert_never, get_args

from pydantic import BeforeValidator, Field, model_validator

from pipeline.recipe.names import FACTORY, LossName, meant
from pipeline.recipe.section import Section

# The same as in `handlers.task_answers`, which loads numpy; a test holds the two together.
TaskName = Literal["classification", "multi-label", "regression", "outputs"]


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


# Text that stands for a share of an output's own spread.
_SHARE = re.compile(r"(\d+(?:\.\d+)?) ?%")


def _distance(value: Any) -> Any:
    """Check a tolerance: a number above 0, or a share of the spread such as "5 %"."""
    if isinstance(value, str):
        if _SHARE.fullmatch(value) is None or not 0 < share_of_spread(value) < 1:
            raise ValueError('expected a number in the unit of the output, or a share of its spread such as "5 %"')
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError('expected a number above 0, or a share of the spread of the output such as "5 %"')
    return float(value)


def _distances(value: Any) -> Any:
    """Check one tolerance for all outputs, or a table of them by name."""
    return (
        {str(name): _distance(own) for name, own in value.items()} if isinstance(value, Mapping) else _distance(value)
    )


def share_of_spread(text: str) -> float:
    """The share that a text such as `5 %` stands for."""
    match = _SHARE.fullmatch(text)
    return 0.0 if match is None else float(match[1]) / 100


OutputsTolerance = float | str | dict[str, float | str]


class Outputs(Section):
    """The network has one or several outputs of any shapes; they are held against float's, or scored by the user."""

    kind: Literal["outputs"] = Field(default="outputs", description="what the network is for")
    tolerance: Annotated[OutputsTolerance, BeforeValidator(_distances)] = Field(
        default="5 %",
        description="how far any value of an output may be from float's and still agree: a number in the output's own "
        'unit, or a share such as "5 %" of its spread (the median difference between the largest and the smallest '
        "value of an answer); one for all outputs, or a table by output name",
    )
    score: str | None = Field(
        default=None,
        pattern=FACTORY,
        description="the user's own score, as module:function; it is called with the outputs by name, (N, *shape) "
        "arrays, and the labels, and gives a number for each example, higher is better; if not given, candidates are "
        "judged by agreement with float inside the tolerance",
    )
    score_range: tuple[float, float] | None = Field(
        default=None, description="lowest and highest value that the score can have; 0 and 1 if not given"
    )

    @model_validator(mode="after")
    def _range_of_a_score(self) -> Outputs:
        if self.score_range is None:
            return self
        low, high = self.score_range
        if not -math.inf < low < high < math.inf:
            raise ValueError(f"score_range: expected a lowest and a higher highest value, found {low:g} and {high:g}")
        if self.score is None:
            raise ValueError("score_range without score: expected the function that it is the range of; give score")
        return self


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
    Annotated[Classification | MultiLabel | Regression | Outputs, Field(discriminator="kind")], BeforeValidator(_named)
]


def why_no_confidence(task: TaskSettings) -> str:
    """Why answers of a task have no confidence, so that none can be changed with confidence; empty where they do."""
    match task:
        case Classification() | MultiLabel():
            return ""
        case Regression():
            return "a regression answers with values, which have no confidence"
        case Outputs():
            return "the outputs of this task are values, which have no confidence"
        case unreachable:
            assert_never(unreachable)


def why_no_smoothing(task: TaskSettings) -> str:
    """Why the targets of a task cannot be smoothed; empty where they can."""
    match task:
        case Classification() | MultiLabel():
            return ""
        case Regression():
            return "the targets of a regression are values, not labels"
        case Outputs():
            return "the task outputs has no loss of its own"
        case unreachable:
            assert_never(unreachable)


def losses_of(task: TaskSettings) -> tuple[LossName, ...]:
    """The built-in losses that a task has, its own first, where it has one of its own."""
    match task:
        case Classification():
            return ("cross-entropy", "bce-with-logits")
        case MultiLabel():
            return ("bce-with-logits",)
        case Regression():
            return ("mse", "l1", "smooth-l1")
        case Outputs():
            return ("mse", "l1", "smooth-l1", "cross-entropy", "bce-with-logits")
        case unreachable:
            assert_never(unreachable)


def why_no_class_weights(task: TaskSettings) -> str:
    """Why a task has no classes that weigh differently in its loss; empty where it has."""
    match task:
        case Classification() | MultiLabel():
            return ""
        case Regression():
            return "the targets of a regression are values, which have no classes"
        case Outputs():
            return "what the targets of this task mean is not known; weigh them in a loss of your own"
        case unreachable:
            assert_never(unreachable)


def why_no_balanced_sampling(task: TaskSettings) -> str:
    """Why the examples of a task cannot be drawn from all classes alike; empty where they can."""
    match task:
        case Classification():
            return ""
        case MultiLabel():
            return "an example has any number of labels, so that drawing more of one label draws more of others"
        case Regression() | Outputs():
            return why_no_class_weights(task)
        case unreachable:
            assert_never(unreachable)


def why_no_metric(task: TaskSettings) -> str:
    """Why the metric of a task says nothing of how well a network is trained; empty where it does."""
    match task:
        case Classification() | MultiLabel() | Regression():
            return ""
        case Outputs():
            return "" if task.score is not None else "without task.score the metric is the agreement with float itself"
        case unreachable:
            assert_never(unreachable)


def judged_by_labels(task: TaskSettings) -> bool:
    """Whether answers are judged by labels, where the data have them; else by agreement with float alone."""
    match task:
        case Classification() | MultiLabel() | Regression():
            return True
        case Outputs():
            return task.score is not None
        case unreachable:
            assert_never(unreachable)


def takes_any_data(task: TaskSettings) -> bool:
    """Whether a data set that was made for another task will do."""
    match task:
        case Classification() | MultiLabel() | Regression():
            return False
        case Outputs():
            return True
        case unreachable:
            assert_never(unreachable)


def user_score(task: TaskSettings) -> str | None:
    """The user's own score, as `module:function`; None where the task's own judges."""
    match task:
        case Classification() | MultiLabel() | Regression():
            return None
        case Outputs():
            return task.score
        case unreachable:
            assert_never(unreachable)


def of_the_build(task: TaskSettings) -> tuple[str, ...]:
    """Names of the settings that no archive holds: nobody else has the function, and none may be imported for it."""
    match task:
        case Classification() | MultiLabel() | Regression():
            return ()
        case Outputs():
            return ("score", "score_range")
        case unreachable:
            assert_never(unreachable)
