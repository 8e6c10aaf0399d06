"""Metrics of labels are those of scikit-learn, over the labels that occur."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_fscore_support

from pipeline.recipe.task import MultiLabel
from pipeline.tasks.multi_label.member import MultiLabelTask

NAMES = tuple("abcdef")
TASK = MultiLabelTask(settings=MultiLabel(threshold=(0.5,)))


@pytest.mark.parametrize("seed", range(20))
def test_metrics_are_those_of_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = (random.random((30, 6)) < random.random(6)).astype(np.uint8)
    outputs = random.normal(size=(30, 6)).astype(np.float32)
    labels[:, 0], outputs[:, 0] = 0, -9  # nobody has it and nobody gets it
    labels[:, 1] = 0  # only answered
    outputs[:, 2] = -9  # only there
    given = (outputs >= 0).astype(np.uint8)
    metrics = TASK.metrics(outputs, labels, names=NAMES, activation="none")
    each = precision_recall_fscore_support(labels, given, zero_division=0)
    assert metrics.groups[0].f1 is None
    for place, group in enumerate(metrics.groups[1:], start=1):
        assert (group.precision, group.recall, group.f1) == pytest.approx([values[place] for values in each[:3]])
        assert group.examples == each[3][place]
    assert [average.name for average in metrics.averages] == ["macro", "weighted", "micro"]
    for average in metrics.averages:
        expected = precision_recall_fscore_support(
            labels, given, labels=range(1, 6), average=average.name, zero_division=0
        )
        assert (average.precision, average.recall, average.f1) == pytest.approx(expected[:3])
    assert metrics.score == pytest.approx(f1_score(labels, given, average="samples", zero_division=1))


def test_the_answers_that_are_most_wrong() -> None:
    shares, labels = np.array([[0.9, 0.2], [0.9, 0.9], [0.1, 0.6]]), np.array([[1, 0], [0, 1], [0, 0]], np.uint8)
    wrong = TASK.wrong_answers(shares, labels, names=("red", "round"), activation="sigmoid", count=5)
    assert [(answer.example, answer.right, answer.answered) for answer in wrong] == [
        (1, "round (0.9)", "red (0.9), round (0.9)"),
        (2, "-", "round (0.6)"),
    ]
    assert wrong[0].error == pytest.approx(-np.log(0.1) - np.log(0.9))
