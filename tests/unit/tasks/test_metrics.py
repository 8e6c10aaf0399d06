"""Averages over classes or labels, and the order of wrong answers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.tasks.metrics import (
    OutputMetrics,
    TaskMetrics,
    group_metrics,
    largest_errors,
    macro_average,
    micro_average,
    weighted_average,
)


def counts(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def test_a_class_that_occurs_nowhere_is_no_part_of_an_average() -> None:
    groups = group_metrics(
        ("cat", "dog", "owl"), right=counts(3, 0, 0), examples=counts(4, 0, 2), answers=counts(4, 0, 2)
    )
    assert [group.f1 for group in groups] == [0.75, None, 0.0]
    assert (groups[1].precision, groups[1].recall) == (None, None)
    assert macro_average(groups).f1 == 0.375
    assert weighted_average(groups).f1 == 0.5


def test_a_class_that_is_only_answered_has_a_recall_of_0() -> None:
    (group,) = group_metrics(("cat",), right=counts(0), examples=counts(0), answers=counts(5))
    assert (group.precision, group.recall, group.f1) == (0.0, 0.0, 0.0)


def test_averages_over_nothing_are_0() -> None:
    groups = group_metrics(("cat",), right=counts(0), examples=counts(0), answers=counts(0))
    averages = (
        macro_average(groups),
        weighted_average(groups),
        micro_average(right=counts(0), examples=counts(0), answers=counts(0)),
    )
    assert [(average.precision, average.recall, average.f1) for average in averages] == [(0.0, 0.0, 0.0)] * 3


def test_the_largest_errors_of_wrong_answers_come_first_and_equal_ones_in_order() -> None:
    errors, wrong = np.array([9.0, 1.0, 2.0, 2.0, 3.0]), np.array([False, True, True, True, True])
    assert largest_errors(errors, wrong, 3) == [4, 2, 3]
    assert largest_errors(errors, ~wrong, 3) == [0]
    assert largest_errors(errors, np.zeros(5, np.bool_), 3) == []


@pytest.mark.parametrize(("outputs", "names"), [(1, ["MAE of y0 in m"]), (4, ["MAE of y0 in m", "mean R²"]), (5, [])])
def test_curves_are_of_outputs_by_name_where_they_are_few(outputs: int, names: list[str]) -> None:
    metrics = TaskMetrics(
        metric="score within tolerance",
        score=1.0,
        examples=3,
        outputs=tuple(OutputMetrics(name=f"y{place}", unit="m", mae=1.0, rmse=1.0, r2=0.5) for place in range(outputs)),
    )
    assert [name in metrics.curves for name in names] == [True] * len(names)
    assert len(metrics.curves) == (3 * outputs if outputs < 5 else 0) + (outputs > 1)
