"""The metrics of the field on a whole set of answers: by class, by label or by output, and averaged.

No limit is held against them: candidates are judged by the mean score alone. Where a share has nothing to be a share
of, it is what scikit-learn gives with `zero_division=0` and its usual choice of classes: 0 for a class that occurs, and
no part of an average for one that occurs in neither the targets nor the answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.engine.documents import Document

# More classes than these have no confusion matrix in a document, which would be megabytes of zeros.
MOST_CONFUSION_CLASSES = 100
# Number of classes among which a right one counts for the top-5 accuracy. With no more classes it says nothing.
TOP = 5
# Curves are drawn of the outputs by name up to this number; of more, their mean is.
_MOST_CURVES = 4

AverageName = Literal["macro", "weighted", "micro"]


class GroupMetrics(Document):
    """How one class or label is found.

    Args:
        name: name of the class or label.
        examples: number of examples that have it (scikit-learn's support).
        answers: number of examples that get it.
        precision: share of the answers that are right; None where no example has the class and none gets it.
        recall: share of the examples that are found; None likewise.
        f1: harmonic mean of both; None likewise.
    """

    name: str
    examples: int
    answers: int
    precision: float | None
    recall: float | None
    f1: float | None


class AverageMetrics(Document):
    """The mean of the classes or labels that occur.

    Args:
        name: macro, where each counts the same; weighted, where each counts as often as it has examples; or micro,
            where each decision counts the same.
        precision: mean precision.
        recall: mean recall.
        f1: mean F1.
    """

    name: AverageName
    precision: float
    recall: float
    f1: float


class OutputMetrics(Document):
    """How far the values of one output are from their targets.

    Args:
        name: name of the output.
        unit: unit of the output, of its mean absolute error and of its root mean square error; empty where it has none.
        mae: mean absolute error.
        rmse: root mean square error.
        r2: coefficient of determination; None where all targets are the same.
    """

    name: str
    unit: str
    mae: float
    rmse: float
    r2: float | None


class TaskMetrics(Document):
    """The metrics of a network on one split.

    Args:
        metric: name of the mean score that candidates are judged by, such as accuracy.
        score: that mean score.
        examples: number of examples.
        groups: metrics by class or label, in the order of the network's outputs; empty in other tasks.
        averages: averages over them.
        confusion: number of examples by right class (rows) and answer (columns); empty in other tasks, and where there
            are more than `MOST_CONFUSION_CLASSES` classes.
        top5_accuracy: share of examples whose right class is among the five of the largest outputs; None in other
            tasks, and where there are no more than five classes.
        outputs: metrics by output, where outputs are values; empty in other tasks.
    """

    metric: str
    score: float
    examples: int
    groups: tuple[GroupMetrics, ...] = ()
    averages: tuple[AverageMetrics, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    top5_accuracy: float | None = None
    outputs: tuple[OutputMetrics, ...] = ()

    @property
    def curves(self) -> dict[str, float]:
        """The figures whose course over the epochs is worth a look, by name: averages, and values of few outputs."""
        values: dict[str, float | None] = {"top-5 accuracy": self.top5_accuracy}
        for average in self.averages:
            if average.name == "macro":
                values |= {"macro precision": average.precision, "macro recall": average.recall}
            values[f"{average.name} F1"] = average.f1
        shown = self.outputs if len(self.outputs) <= _MOST_CURVES else ()
        for output in shown:
            unit = f" in {output.unit}" if output.unit else ""
            values |= {
                f"MAE of {output.name}{unit}": output.mae,
                f"RMSE of {output.name}{unit}": output.rmse,
                f"R² of {output.name}": output.r2,
            }
        shares = [output.r2 for output in self.outputs if output.r2 is not None]
        if shares and len(self.outputs) > 1:
            values["mean R²"] = float(np.mean(shares))
        return {name: value for name, value in values.items() if value is not None}


def group_metrics(
    names: Sequence[str],
    *,
    right: NDArray[np.int64],
    examples: NDArray[np.int64],
    answers: NDArray[np.int64],
) -> tuple[GroupMetrics, ...]:
    """Compute precision, recall and F1 of each class or label.

    Args:
        names: names of the K classes or labels.
        right: number of examples that have each and get it, (K,).
        examples: number of examples that have each, (K,).
        answers: number of examples that get each, (K,).
    """
    shares = (_shares(right, answers), _shares(right, examples), _shares(2 * right, examples + answers))
    occurs = examples + answers > 0
    return tuple(
        GroupMetrics(
            name=name,
            examples=int(examples[place]),
            answers=int(answers[place]),
            precision=float(shares[0][place]) if occurs[place] else None,
            recall=float(shares[1][place]) if occurs[place] else None,
            f1=float(shares[2][place]) if occurs[place] else None,
        )
        for place, name in enumerate(names)
    )


def macro_average(groups: Sequence[GroupMetrics]) -> AverageMetrics:
    """The mean over the classes or labels that occur, each counting the same; 0 where none occurs."""
    return _average("macro", groups, [float(group.f1 is not None) for group in groups])


def weighted_average(groups: Sequence[GroupMetrics]) -> AverageMetrics:
    """The mean over the classes or labels, each counting as often as it has examples; 0 where none has any."""
    return _average("weighted", groups, [float(group.examples) for group in groups])


def _average(name: AverageName, groups: Sequence[GroupMetrics], weights: Sequence[float]) -> AverageMetrics:
    total = sum(weights) or 1.0

    def mean(values: Sequence[float | None]) -> float:
        return sum((value or 0.0) * weight for value, weight in zip(values, weights, strict=True)) / total

    return AverageMetrics(
        name=name,
        precision=mean([group.precision for group in groups]),
        recall=mean([group.recall for group in groups]),
        f1=mean([group.f1 for group in groups]),
    )


def _shares(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """The part as a share of the whole, (K,); 0 where the whole is 0."""
    shares: NDArray[np.float64] = np.divide(
        part, whole, out=np.zeros(len(whole), np.float64), where=whole > 0, casting="unsafe"
    )
    return shares


def micro_average(
    *, right: NDArray[np.int64], examples: NDArray[np.int64], answers: NDArray[np.int64]
) -> AverageMetrics:
    """Precision, recall and F1 over all decisions about all labels; the arguments are as in `group_metrics`."""
    all_right, all_examples, all_answers = (values.sum(keepdims=True) for values in (right, examples, answers))
    return AverageMetrics(
        name="micro",
        precision=float(_shares(all_right, all_answers)[0]),
        recall=float(_shares(all_right, all_examples)[0]),
        f1=float(_shares(2 * all_right, all_examples + all_answers)[0]),
    )


class WrongAnswer(Document):
    """An answer that is wrong.

    Args:
        example: row of the example in its split, counted from 0.
        error: how wrong it is, in the task's own measure (`Task.error_name`); larger is worse.
        right: what is right, in words.
        answered: what was answered, in words.
        row: the example's values by column, where it is a row of a table; else empty.
    """

    example: int
    error: float
    right: str
    answered: str
    row: dict[str, float | str | None] = Field(default={})


class SplitMetrics(Document):
    """The document `metrics.json` of a stage: metrics on one split.

    Args:
        split: the split: `validation`, which training and selection look at, or `test`, which is opened once.
        networks: metrics by name: `float` in training; the winner and the float network, as served, in selection.
        error_name: what the error of a wrong answer is, with its unit.
        worst: the answers of the trained network that are most wrong, the worst first; none are told of the test split.
    """

    title: ClassVar[str] = "the metrics of a split"

    split: Literal["validation", "test"]
    networks: dict[str, TaskMetrics]
    error_name: str
    worst: tuple[WrongAnswer, ...] = ()


def largest_errors(errors: NDArray[np.float64], wrong: NDArray[np.bool_], count: int) -> list[int]:
    """The rows of the wrong answers with the largest errors, the largest first; of equal ones the first comes first.

    Args:
        errors: error of each answer, (N,).
        wrong: whether each answer is wrong, (N,).
        count: largest number of rows to return.
    """
    rows = np.flatnonzero(wrong)
    return [int(row) for row in rows[np.argsort(-errors[rows], kind="stable")][:count]]
