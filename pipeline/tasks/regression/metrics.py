"""Metrics of the values that a network answers, and those of its answers that are most wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.tasks.metrics import OutputMetrics, TaskMetrics, WrongAnswer, largest_errors
from pipeline.tasks.regression.quality import all_within


def value_metrics(
    outputs: NDArray[Any],
    targets: NDArray[Any],
    *,
    names: Sequence[str],
    units: Sequence[str],
    tolerance: NDArray[np.float64],
    metric: str,
) -> TaskMetrics:
    """Compute mean absolute error, root mean square error and R squared of each output.

    Args:
        outputs: outputs of a network, (N, K), with N of 1 or more.
        targets: targets of the examples, (N, K).
        names: names of the K outputs.
        units: their units; empty texts where there are none.
        tolerance: the largest error of each output that is still right, (K,).
        metric: name of the mean score.
    """
    return TaskMetrics(
        metric=metric,
        score=float(all_within(outputs, targets, tolerance).mean()),
        examples=len(targets),
        outputs=tuple(
            _output_metrics(name, unit, outputs[:, place].astype(np.float64), targets[:, place].astype(np.float64))
            for place, (name, unit) in enumerate(zip(names, units, strict=True))
        ),
    )


def _output_metrics(name: str, unit: str, values: NDArray[np.float64], targets: NDArray[np.float64]) -> OutputMetrics:
    errors = values - targets
    squares, around = float((errors**2).sum()), float(((targets - targets.mean()) ** 2).sum())
    return OutputMetrics(
        name=name,
        unit=unit,
        mae=float(np.abs(errors).mean()),
        rmse=math.sqrt(squares / len(targets)),
        r2=1 - squares / around if around > 0 else None,
    )


def wrong_answers(
    outputs: NDArray[Any],
    targets: NDArray[Any],
    *,
    names: Sequence[str],
    units: Sequence[str],
    tolerance: NDArray[np.float64],
    count: int,
) -> tuple[WrongAnswer, ...]:
    """The answers outside the tolerance with the largest errors as multiples of it, at most `count`.

    Args:
        outputs: outputs of a network, (N, K).
        targets: targets of the examples, (N, K).
        names: names of the K outputs.
        units: their units; empty texts where there are none.
        tolerance: the largest error of each output that is still right, (K,).
        count: largest number of answers to return.
    """
    multiples = np.abs(outputs.astype(np.float64) - targets) / tolerance
    errors = multiples.max(axis=1)

    def words(values: NDArray[Any], places: NDArray[np.int64]) -> str:
        named = len(names) > 1
        return ", ".join(
            f"{names[place]} " * named + f"{values[place]:.6g}" + f" {units[place]}".rstrip() for place in places
        )

    answers = []
    for row in largest_errors(errors, ~all_within(outputs, targets, tolerance), count):
        outside = np.flatnonzero(multiples[row] > 1)
        answers.append(
            WrongAnswer(
                example=row,
                error=float(errors[row]),
                right=words(targets[row], outside),
                answered=words(outputs[row], outside),
            )
        )
    return tuple(answers)
