"""Metrics of a classifier's answers, and those of its answers that are most wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.activation import Activation, probabilities
from pipeline.tasks.classification.quality import log_probabilities
from pipeline.tasks.metrics import (
    MOST_CONFUSION_CLASSES,
    TOP,
    TaskMetrics,
    WrongAnswer,
    group_metrics,
    largest_errors,
    macro_average,
    weighted_average,
)


def class_metrics(
    outputs: NDArray[Any], labels: NDArray[np.int64], *, names: Sequence[str], metric: str
) -> TaskMetrics:
    """Compute precision, recall and F1 by class and averaged, the confusion matrix, and the top-5 accuracy.

    Args:
        outputs: outputs of a network, (N, K), with N of 1 or more; the largest is its answer, the first of several.
        labels: right classes, (N,).
        names: names of the K classes.
        metric: name of the mean score.
    """
    classes = len(names)
    answers = outputs.argmax(axis=1)
    confusion = np.bincount(labels * classes + answers, minlength=classes**2).reshape(classes, classes)
    right = confusion.diagonal()
    groups = group_metrics(names, right=right, examples=confusion.sum(axis=1), answers=confusion.sum(axis=0))
    return TaskMetrics(
        metric=metric,
        score=int(right.sum()) / len(labels),
        examples=len(labels),
        groups=groups,
        averages=(macro_average(groups), weighted_average(groups)),
        confusion=tuple(map(tuple, confusion.tolist())) if classes <= MOST_CONFUSION_CLASSES else (),
        top5_accuracy=top_accuracy(outputs, labels, TOP) if classes > TOP else None,
    )


def top_accuracy(outputs: NDArray[Any], labels: NDArray[np.int64], count: int) -> float:
    """Compute the share of examples whose right class is among those of the largest outputs.

    Args:
        outputs: outputs of a network, (N, K).
        labels: right classes, (N,).
        count: number of classes that count; of equal outputs the first classes do, as for an answer.
    """
    own = np.take_along_axis(outputs, labels[:, np.newaxis], axis=1)
    before = (outputs > own).sum(axis=1)
    before += ((outputs == own) & (np.arange(outputs.shape[1]) < labels[:, np.newaxis])).sum(axis=1)
    return float((before < count).mean())


def wrong_answers(
    outputs: NDArray[Any], labels: NDArray[np.int64], *, names: Sequence[str], activation: Activation, count: int
) -> tuple[WrongAnswer, ...]:
    """The wrong answers whose right class has the smallest probability, at most `count`.

    Args:
        outputs: outputs of a network, (N, K).
        labels: right classes, (N,).
        names: names of the K classes.
        activation: activation that the outputs already have.
        count: largest number of answers to return.
    """
    answers = outputs.argmax(axis=1)
    errors = -np.take_along_axis(log_probabilities(outputs, activation), labels[:, np.newaxis], axis=1)[:, 0]
    rows = largest_errors(errors, answers != labels, count)
    shares = probabilities(outputs[rows], activation) if rows else np.zeros((0, len(names)))
    return tuple(
        WrongAnswer(
            example=row,
            error=float(errors[row]),
            right=f"{names[labels[row]]} ({share_N[labels[row]]:.2g})",
            answered=f"{names[answers[row]]} ({share_N[answers[row]]:.2g})",
        )
        for row, share_N in zip(rows, shares, strict=True)
    )
