"""Metrics of values are those of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from pipeline.recipe.task import Regression
from pipeline.tasks.regression.member import RegressionTask

TASK = RegressionTask(settings=Regression(tolerance=(0.5, 2.0), units=("m", "s")))


@pytest.mark.parametrize("seed", range(10))
def test_metrics_are_those_of_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    targets, outputs = (random.normal(size=(30, 2)).astype(np.float32) for _ in range(2))
    metrics = TASK.metrics(outputs, targets, names=("height", "time"), activation="none")
    assert [(output.name, output.unit) for output in metrics.outputs] == [("height", "m"), ("time", "s")]
    for place, output in enumerate(metrics.outputs):
        pair = (targets[:, place].astype(np.float64), outputs[:, place].astype(np.float64))
        assert output.mae == pytest.approx(mean_absolute_error(*pair))
        assert output.rmse == pytest.approx(root_mean_squared_error(*pair))
        assert output.r2 == pytest.approx(r2_score(*pair))
    assert metrics.score == (np.abs(outputs - targets) <= (0.5, 2.0)).all(axis=1).mean()
    assert metrics.curves["mean R²"] == pytest.approx(r2_score(targets, outputs))


def test_equal_targets_have_no_r_squared() -> None:
    metrics = TASK.metrics(np.ones((3, 2)), np.zeros((3, 2)), names=("height", "time"), activation="none")
    assert [(output.mae, output.rmse, output.r2) for output in metrics.outputs] == [(1.0, 1.0, None)] * 2
    assert "mean R²" not in metrics.curves


def test_the_answers_that_are_most_wrong() -> None:
    targets, outputs = np.zeros((3, 2)), np.array([[1.0, 0.0], [0.1, 0.0], [2.0, 3.0]])
    wrong = TASK.wrong_answers(outputs, targets, names=("height", "time"), activation="none", count=5)
    assert [(answer.example, answer.error, answer.right, answer.answered) for answer in wrong] == [
        (2, 4.0, "height 0 m, time 0 s", "height 2 m, time 3 s"),
        (0, 2.0, "height 0 m", "height 1 m"),
    ]


def test_one_output_without_a_unit_needs_no_name() -> None:
    task = RegressionTask(settings=Regression(tolerance=(1.0,)))
    (wrong,) = task.wrong_answers(np.array([[5.0]]), np.array([[0.0]]), names=("y",), activation="none", count=1)
    assert (wrong.right, wrong.answered) == ("0", "5")
