"""Metrics of the labels that a network gives, and those of its answers that are most wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.tasks.metrics import (
    TaskMetrics,
    WrongAnswer,
    group_metrics,
    largest_errors,
    macro_average,
    micro_average,
    weighted_average,
)
from pipeline.tasks.multi_label.quality import example_f1

# Probabilities are kept this far from 0 and 1, where logarithms are infinite.
_SMALLEST = float(np.finfo(np.float32).tiny)


def label_metrics(
    answers: NDArray[np.bool_], labels: NDArray[Any], *, names: Sequence[str], metric: str
) -> TaskMetrics:
    """Compute precision, recall and F1 by label and averaged.

    Args:
        answers: labels that examples get, (N, K).
        labels: labels that they have, (N, K), 0 or 1.
        names: names of the K labels.
        metric: name of the mean score, which is the mean F1 over examples.
    """
    present = labels == 1
    counts = {
        "right": (answers & present).sum(axis=0, dtype=np.int64),
        "examples": present.sum(axis=0, dtype=np.int64),
        "answers": answers.sum(axis=0, dtype=np.int64),
    }
    groups = group_metrics(names, **counts)
    return TaskMetrics(
        metric=metric,
        score=float(example_f1(answers, labels).mean()),
        examples=len(labels),
        groups=groups,
        averages=(macro_average(groups), weighted_average(groups), micro_average(**counts)),
    )


def wrong_answers(
    shares: NDArray[np.float64],
    labels: NDArray[Any],
    *,
    names: Sequence[str],
    thresholds: NDArray[np.float64],
    count: int,
) -> tuple[WrongAnswer, ...]:
    """The answers with a wrong label that have the largest binary cross-entropy, at most `count`.

    Args:
        shares: probability of each label, (N, K).
        labels: labels of the examples, (N, K), 0 or 1.
        names: names of the K labels.
        thresholds: probability from which each label is given, (K,).
        count: largest number of answers to return.
    """
    answers, present = shares >= thresholds, labels == 1
    errors = -np.log(np.maximum(np.where(present, shares, 1 - shares), _SMALLEST)).sum(axis=1)

    def words(row: int, chosen_K: NDArray[np.bool_]) -> str:
        return (
            ", ".join(f"{names[place]} ({shares[row, place]:.2g})" for place in np.flatnonzero(chosen_K).tolist())
            or "-"
        )

    return tuple(
        WrongAnswer(
            example=row,
            error=float(errors[row]),
            right=words(row, present[row]),
            answered=words(row, answers[row]),
        )
        for row in largest_errors(errors, (answers != present).any(axis=1), count)
    )
