"""Scores are compared by Tango's bounds where all are 0 or 1, by betting where some lie between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import ProofError
from pipeline.tasks.betting import mean_upper_bound
from pipeline.tasks.intervals import accuracy_interval, drop_bounds
from pipeline.tasks.quality import Figure, QualityReport
from pipeline.tasks.scores import require_answers, score_figures, score_interval, worst_group
from tests.builders import quality

FLOAT_SCORES = np.tile([1.0, 0.5, 2 / 3, 0.0, 1.0], 60)


def report(scores: NDArray[Any]) -> QualityReport:
    return quality().model_copy(update=dict(score_figures(scores, FLOAT_SCORES)))


def test_right_or_wrong_is_compared_by_counts() -> None:
    scores, float_scores = np.array([1.0, 0, 0, 1, 1]), np.array([1.0, 1, 1, 0, 1])
    figures = score_figures(scores, float_scores)
    bounds = drop_bounds(lost=2, gained=1, examples=5, confidence=0.95)
    assert (figures["lost"], figures["gained"], figures["drop"]) == (2, 1, 0.2)
    assert figures["drop_upper"] == bounds[1]
    assert figures["bounds"] == ()
    assert score_interval(scores) == accuracy_interval(right=3, examples=5)


def test_scores_in_between_are_bounded_by_betting_at_any_confidence() -> None:
    scores = FLOAT_SCORES.copy()
    scores[:3] = [0.5, 0.0, 1.0]
    found = report(scores)
    drops = FLOAT_SCORES - scores
    assert (found.lost, found.gained) == (2, 1)
    assert found.drop == pytest.approx(drops.mean())
    for compared in (1, 2, 16, 1024):
        confidence = 1 - 0.05 / compared
        assert found.upper_bound(confidence) == mean_upper_bound(drops, highest=1.0, confidence=confidence)
    # Between two that are kept, the higher confidence counts, which is never below the bound itself.
    assert found.upper_bound(1 - 0.05 / 17) == found.upper_bound(1 - 0.05 / 32)
    assert found.upper_bound(1 - 1e-9) == 1.0
    assert found.interval_lower < found.drop < found.interval_upper < found.upper_bound(1 - 0.05 / 4)
    lower, upper = found.interval()
    assert lower < found.accuracy < upper


def test_no_smaller_budget_can_be_proven_than_for_a_candidate_without_a_drop() -> None:
    same = report(FLOAT_SCORES)
    assert same.drop == 0
    assert same.smallest_provable(0.95) == same.upper_bound(0.95) > 2.9 / len(FLOAT_SCORES)
    restless = FLOAT_SCORES.copy()
    restless[::3] = np.clip(FLOAT_SCORES[::3] - 0.5, 0, 1)
    assert same.smallest_provable(0.95) < report(restless).smallest_provable(0.95) < report(restless).upper_bound(0.95)


def test_a_report_of_labels_writes_no_field_of_other_tasks() -> None:
    written = quality().model_dump(mode="json")
    assert not {"bounds", "score_interval", "figures"} & set(written)
    figure = Figure(name="macro F1", value=0.5, float_value=0.6)
    scored = report(np.clip(FLOAT_SCORES - 0.1, 0, 1)).model_copy(update={"figures": (figure,)})
    assert QualityReport.model_validate_json(scored.model_dump_json()) == scored


def test_the_group_that_loses_most_and_groups_without_examples() -> None:
    drops = np.array([0.0, 0.5, 1.0, -1.0])
    members = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 0]], dtype=bool)
    assert worst_group(drops, members) == (1, 0.75, 2)
    assert worst_group(drops, np.zeros((4, 2), dtype=bool)) == (0, 0.0, 0)


def test_answers_that_cannot_be_judged() -> None:
    values = np.zeros((3, 2), np.float32)
    with pytest.raises(ProofError, match=r"slim: quality: expected outputs .* found \(3, 2\), \(3, 1\) and \(3, 2\)"):
        require_answers("slim", values[:, :1], values, values)
    with pytest.raises(ProofError, match="N of 1 or more"):
        require_answers("slim", values[:0], values[:0], values[:0])
    broken = values.copy()
    broken[1, 0] = np.nan
    with pytest.raises(ProofError, match="slim: quality: expected finite outputs, found NaN or infinity on 1 examples"):
        require_answers("slim", broken, values, values)
