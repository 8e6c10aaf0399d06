"""Sets of labels are judged by the F1 score of each example; both empty is 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from pipeline._handlers.activation import Activation, label_probabilities
from pipeline.tasks.multi_label.quality import divergence_between, example_f1, label_margins, macro_f1
from pipeline.tasks.quality import QualityReport
from pipeline.tasks.table import task_named

NAMES = ("beach", "city", "snow")
LABELS = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 0]], np.uint8)
FLOAT = np.array([[3, -3, 3], [-3, -3, -3], [-3, 3, -3], [3, 0.2, -3]], np.float32)


def judged(outputs: NDArray[Any], *, threshold: float = 0.5, activation: Activation = "none") -> QualityReport:
    task = task_named("multi-label", {"threshold": [threshold]})
    return task.judge(
        candidate="slim",
        outputs=outputs,
        float_outputs=FLOAT if activation == "none" else label_probabilities(FLOAT, "none"),
        targets=LABELS,
        names=NAMES,
        activation=activation,
    )


def test_f1_is_that_of_scikit_learn_with_1_for_two_empty_sets() -> None:
    random = np.random.default_rng(0)
    given, labels = random.random((200, 5)) < 0.3, random.random((200, 5)) < 0.3
    scores = example_f1(given, labels)
    expected = [f1_score(right, found, zero_division=1.0) for right, found in zip(labels, given, strict=True)]
    assert scores == pytest.approx(expected)
    assert macro_f1(given, labels) == pytest.approx(f1_score(labels, given, average="macro", zero_division=1.0))


def test_a_candidate_that_answers_as_float_does() -> None:
    report = judged(FLOAT)
    assert (report.metric, report.accuracy, report.float_accuracy, report.flips) == ("F1", 1.0, 1.0, 0)
    assert report.divergence == 0
    assert [(figure.name, figure.value) for figure in report.figures] == [("macro F1", 1.0), ("exact match", 1.0)]


def test_labels_that_change_and_how_sure_float_was_of_them() -> None:
    outputs = FLOAT.copy()
    outputs[0, 2] = -1  # float had a probability of 0.95: a margin of 0.9
    outputs[3, 1] = -0.1  # 0.55: a margin of 0.1
    outputs[1, 0] = 1  # the example has no label and gets one
    report = judged(outputs)
    assert (report.flips, report.confident_flips, report.near_tie_flips) == (3, 2, 1)
    assert (report.lost, report.gained) == (3, 0)
    assert report.accuracy == pytest.approx((2 / 3 + 0 + 1 + 2 / 3) / 4)
    assert (report.worst_class_name, report.worst_class_examples) == ("beach", 2)
    assert report.worst_class_drop == pytest.approx(1 / 3)
    exact = report.figures[1]
    assert (exact.name, exact.value, exact.float_value) == ("exact match", 0.25, 1.0)


def test_thresholds_decide_and_probabilities_of_a_sigmoid_are_taken_as_they_are() -> None:
    assert judged(FLOAT, threshold=0.56).float_accuracy == pytest.approx((1 + 1 + 1 + 2 / 3) / 4)
    as_probabilities = judged(label_probabilities(FLOAT, "none"), activation="sigmoid")
    assert as_probabilities.accuracy == 1.0
    task = task_named("multi-label", {"threshold": [0.1, 0.5, 0.99]})
    assert task.targets_of(FLOAT, activation="none").tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0], [1, 1, 0]]


def test_margins_are_shares_of_the_way_to_certainty() -> None:
    shares, thresholds = np.array([[1.0, 0.2, 0.0, 0.6]]), np.array([0.2, 0.2, 0.2, 0.2])
    assert label_margins(shares, thresholds)[0] == pytest.approx([1, 0, 1, 0.5])


def test_divergence_adds_up_over_labels_and_is_infinite_for_broken_answers() -> None:
    one, two = np.array([[0.0]], np.float32), np.array([[np.log(3)]], np.float32)  # probabilities 0.5 and 0.75
    expected = 0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25)
    assert divergence_between(one, two, "none") == pytest.approx(expected)
    assert divergence_between(np.tile(one, 3), np.tile(two, 3), "none") == pytest.approx(3 * expected)
    assert divergence_between(one, np.array([[np.nan]]), "none") == np.inf
    assert np.isfinite(divergence_between(np.array([[200.0]]), np.array([[-200.0]]), "none"))


def test_disagreement_is_another_set_and_near_ties_have_a_label_next_to_its_threshold() -> None:
    task = task_named("multi-label")
    other = FLOAT.copy()
    other[2] = [3, 3, -3]
    assert task.disagreements(FLOAT, other, activation="none").tolist() == [False, False, True, False]
    assert task.near_ties(FLOAT, 1, activation="none", targets=LABELS).tolist() == [3]
