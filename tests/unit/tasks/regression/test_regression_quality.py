"""Values are right inside the tolerance of each output, and errors are told beside those of float."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import mean_absolute_error, r2_score

from pipeline.errors import UsageError
from pipeline.tasks.intervals import drop_bounds
from pipeline.tasks.quality import QualityReport
from pipeline.tasks.table import task_named

NAMES = ("price", "weight")
SETTINGS = {"tolerance": [100.0, 0.5], "units": ["EUR", "kg"], "scale": [200.0, 1.0]}
TASK = task_named("regression", SETTINGS)
TARGETS = np.stack([np.arange(0, 1000, 10), np.linspace(1, 2, 100)], axis=1).astype(np.float32)


def judged(outputs: NDArray[Any], float_outputs: NDArray[Any] = TARGETS) -> QualityReport:
    return TASK.judge(
        candidate="slim",
        outputs=outputs,
        float_outputs=float_outputs,
        targets=TARGETS,
        names=NAMES,
        activation="none",
    )


def test_an_example_is_right_where_all_its_values_are_inside_their_tolerance() -> None:
    outputs = TARGETS + np.array([100, 0], np.float32)  # the tolerance itself is inside
    outputs[0, 0] += 1
    outputs[1, 1] += 0.6
    report = judged(outputs)
    assert (report.metric, report.accuracy, report.float_accuracy) == ("score within tolerance", 0.98, 1.0)
    assert (report.lost, report.gained) == (2, 0)
    assert report.drop_upper == drop_bounds(lost=2, gained=0, examples=100)[1]
    assert report.bounds == ()
    assert report.flips == 2
    assert report.confident_flips is None
    assert report.calibration_error is None
    assert report.confident_share == 0


def test_answers_beyond_the_tolerance_from_float_disagree_even_if_both_are_right() -> None:
    low, high = TARGETS - np.array([90, 0], np.float32), TARGETS + np.array([90, 0], np.float32)
    report = judged(high, low)
    assert (report.flips, report.lost, report.gained) == (100, 0, 0)
    assert TASK.disagreements(high, low, activation="none").all()
    assert not TASK.disagreements(high, TARGETS, activation="none").any()


def test_the_fifth_of_the_targets_that_loses_most_is_named() -> None:
    outputs = TARGETS.copy()
    outputs[TARGETS[:, 0] >= 800, 0] -= 150  # values are cut off at the top
    report = judged(outputs)
    assert (report.worst_class_drop, report.worst_class_examples) == (1.0, 20)
    assert report.worst_class_name == "price 800 to 990"
    same = np.full_like(TARGETS, 5)
    equal = TASK.judge(candidate="slim", outputs=same, float_outputs=same, targets=same, names=NAMES, activation="none")
    assert equal.worst_class_examples == 100


def test_errors_of_each_output_are_told_in_its_unit() -> None:
    random = np.random.default_rng(0)
    outputs = TARGETS + random.normal(0, [50, 0.2], TARGETS.shape).astype(np.float32)
    figures = {figure.name: figure for figure in judged(outputs).figures}
    assert list(figures) == ["MAE of price", "R² of price", "MAE of weight", "R² of weight"]
    assert (figures["MAE of price"].unit, figures["R² of price"].unit) == ("EUR", "")
    for place, name in enumerate(NAMES):
        target, values = TARGETS[:, place], outputs[:, place]
        assert figures[f"MAE of {name}"].value == pytest.approx(mean_absolute_error(target, values), rel=1e-5)
        assert figures[f"R² of {name}"].value == pytest.approx(r2_score(target, values), rel=1e-5)
        assert figures[f"R² of {name}"].float_value == 1.0


def test_divergence_is_in_units_of_the_spread() -> None:
    outputs = TARGETS + np.array([200, 0], np.float32)
    assert TASK.divergence(TARGETS, outputs, activation="none") == pytest.approx(0.5)
    assert TASK.divergence(TARGETS, np.full_like(TARGETS, np.inf), activation="none") == np.inf


def test_near_ties_lie_at_the_edge_of_the_tolerance_and_without_targets_far_out() -> None:
    outputs = TARGETS.copy()
    outputs[7, 0] += 99
    outputs[50, 1] += 1.2
    assert TASK.near_ties(outputs, 2, activation="none", targets=TARGETS)[0] == 7
    assert set(TASK.near_ties(outputs, 2, activation="none", targets=None).tolist()) <= {0, 99}


def test_nothing_is_judged_without_a_tolerance() -> None:
    with pytest.raises(UsageError, match=r"task\.tolerance: expected how far"):
        task_named("regression").scores(TARGETS, TARGETS, activation="none")
