"""Without labels, float's decisions are what answers are judged by: a planted fault is caught, its twin passes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.candidates.choose import OVER, WITHIN, judge
from pipeline.candidates.judged import judge_on
from pipeline.data.dataset import Split
from pipeline.recipe.task import Regression
from pipeline.tasks.classification.member import ClassificationTask
from pipeline.tasks.quality import AGREEMENT, QualityReport
from pipeline.tasks.regression.member import RegressionTask
from tests.builders import LIMITS

EXAMPLES = 2000
UNLABELLED = Split(inputs={"x": np.zeros((EXAMPLES, 1), np.float32)}, labels=None)


def float_outputs() -> NDArray[np.float32]:
    """Three classes in turn, each by a margin of 2."""
    return np.eye(3, dtype=np.float32)[np.arange(EXAMPLES) % 3] * 2


def judged(outputs: NDArray[np.float32], split: Split = UNLABELLED) -> QualityReport:
    return judge_on(
        split,
        ClassificationTask(),
        candidate="slim",
        outputs=outputs,
        float_outputs=float_outputs(),
        names=("a", "b", "c"),
        activation="none",
    )


def test_other_decisions_than_floats_are_a_drop_and_other_numbers_are_none() -> None:
    faulty = float_outputs()
    faulty[::25] = np.roll(faulty[::25], 1, axis=1)  # 4 % are decided otherwise
    report = judged(faulty)
    assert (report.metric, report.judged_by) == (AGREEMENT, AGREEMENT)
    assert (report.accuracy, report.float_accuracy) == (0.96, 1.0)
    assert report.drop == pytest.approx(0.04)
    assert (report.lost, report.gained, report.flips) == (80, 0, 80)
    assert judge(report, LIMITS, lossy=True, compared=1).text == OVER
    twin = float_outputs() * np.float32(1.1) + np.float32(0.3)
    assert judge(judged(twin), LIMITS, lossy=True, compared=1).text == WITHIN


def test_groups_are_what_float_decides_and_nothing_is_said_of_calibration() -> None:
    outputs = float_outputs()
    outputs[1] = [0, 0, 9]
    report = judged(outputs)
    assert (report.worst_class_name, report.worst_class_examples) == ("b", len(range(1, EXAMPLES, 3)))
    assert (report.calibration_error, report.float_calibration_error) == (None, None)


def test_labels_are_what_counts_where_there_are_any() -> None:
    labels = np.zeros(EXAMPLES, np.int64)
    report = judged(float_outputs(), replace(UNLABELLED, labels=labels))
    assert (report.metric, report.judged_by) == ("accuracy", "targets")
    assert report.float_accuracy == pytest.approx(1 / 3, abs=1e-3)
    assert report.calibration_error is not None


def test_figures_of_the_whole_set_are_of_the_distance_from_float() -> None:
    outputs = np.linspace(0, 1, EXAMPLES, dtype=np.float32)[:, np.newaxis]
    report = judge_on(
        UNLABELLED,
        RegressionTask(settings=Regression(tolerance=(0.1,), center=(0.5,), scale=(0.3,))),
        candidate="slim",
        outputs=outputs + np.float32(0.02),
        float_outputs=outputs,
        names=("height",),
        activation="none",
    )
    assert (report.metric, report.accuracy, report.flips) == (AGREEMENT, 1.0, 0)
    assert {figure.name.rpartition(" from ")[2] for figure in report.figures} == {"float"}
    assert report.figures[0].value == pytest.approx(0.02, abs=1e-6)
