"""Metrics of classes are those of scikit-learn, and the worst answers are the ones with the least probable class."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, top_k_accuracy_score

from pipeline._handlers.activation import ACTIVATIONS, Activation
from pipeline.tasks.classification.member import ClassificationTask
from pipeline.tasks.classification.metrics import class_metrics, top_accuracy
from pipeline.tasks.metrics import MOST_CONFUSION_CLASSES

NAMES = tuple("abcdefgh")
TASK = ClassificationTask()


@pytest.mark.parametrize("seed", range(20))
def test_metrics_are_those_of_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    # Of random classes, some are absent from the split, some are never answered, and some are neither.
    labels = random.choice(random.choice(8, size=5, replace=False), size=40)
    outputs = random.normal(size=(40, 8)).astype(np.float32)
    outputs[:, random.choice(8, size=2, replace=False)] -= 9
    answers = outputs.argmax(axis=1)
    metrics = class_metrics(outputs, labels, names=NAMES, metric="accuracy")
    each = precision_recall_fscore_support(labels, answers, labels=range(8), zero_division=0)
    occurring = sorted({*labels, *answers})
    assert [place for place, group in enumerate(metrics.groups) if group.f1 is not None] == occurring
    for place in occurring:
        group = metrics.groups[place]
        assert (group.precision, group.recall, group.f1) == pytest.approx([values[place] for values in each[:3]])
        assert group.examples == each[3][place]
    for average in metrics.averages:
        expected = precision_recall_fscore_support(labels, answers, average=average.name, zero_division=0)
        assert (average.precision, average.recall, average.f1) == pytest.approx(expected[:3])
    assert metrics.score == (labels == answers).mean()
    assert [list(row) for row in metrics.confusion] == confusion_matrix(labels, answers, labels=range(8)).tolist()
    assert metrics.top5_accuracy == pytest.approx(top_k_accuracy_score(labels, outputs, k=5, labels=range(8)))


def test_of_equal_outputs_the_first_classes_are_the_top() -> None:
    outputs, labels = np.zeros((4, 6), np.float32), np.array([0, 1, 4, 5])
    assert top_accuracy(outputs, labels, 1) == 0.25 == (outputs.argmax(axis=1) == labels).mean()
    assert top_accuracy(outputs, labels, 5) == 0.75


def test_five_classes_have_no_top_5_and_very_many_no_matrix() -> None:
    few = class_metrics(np.eye(5), np.arange(5), names=NAMES[:5], metric="accuracy")
    assert (few.top5_accuracy, len(few.confusion)) == (None, 5)
    classes = MOST_CONFUSION_CLASSES + 1
    many = class_metrics(
        np.eye(classes), np.arange(classes), names=[f"{name}" for name in range(classes)], metric="accuracy"
    )
    assert (many.top5_accuracy, many.confusion, len(many.groups)) == (1.0, (), classes)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_answers_that_are_most_wrong(activation: Activation) -> None:
    shares = np.array([[0.9, 0.1], [0.6, 0.4], [0.99, 0.01], [0.3, 0.7]])
    outputs = np.log(shares) if activation == "none" else shares
    wrong = TASK.wrong_answers(outputs, np.ones(4, np.int64), names=("cat", "dog"), activation=activation, count=2)
    assert [(answer.example, answer.right, answer.answered) for answer in wrong] == [
        (2, "dog (0.01)", "cat (0.99)"),
        (0, "dog (0.1)", "cat (0.9)"),
    ]
    assert wrong[0].error == pytest.approx(-np.log(0.01))
    assert (
        TASK.wrong_answers(outputs, np.zeros(4, np.int64), names=("cat", "dog"), activation=activation, count=9)[
            0
        ].example
        == 3
    )


def test_where_nothing_is_wrong_nothing_is_most_wrong() -> None:
    assert TASK.wrong_answers(np.eye(2), np.arange(2), names=("cat", "dog"), activation="none", count=9) == ()
