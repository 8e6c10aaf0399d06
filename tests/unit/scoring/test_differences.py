"""Differences between the answers of two archives are counted, and one-sided answers are differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline._handlers.description import Serving
from pipeline.scoring.differences import Tally, target_in_words
from pipeline.scoring.pool import Answers
from pipeline.scoring.sources import Request
from pipeline.tasks.table import task_named
from tests.served_models import GREY, LABELS, build_archive

NAMES = ("a.png", "b.png", "c.png", "d.png")


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Serving:
    folder: Path = tmp_path_factory.mktemp("packed")
    return build_archive(folder, [GREY]).serving


def answers(classes: list[int | None]) -> Answers:
    """Outputs that decide for these classes; None is an example without an answer."""
    rows: NDArray[np.float32] = np.eye(len(LABELS), dtype=np.float32)[[kind for kind in classes if kind is not None]]
    return Answers(
        request=Request(names=NAMES, document={}, done=4),
        examples=len(classes),
        reasons=tuple((name, "broken") for name, kind in zip(NAMES, classes, strict=True) if kind is None),
        content=rows.tobytes(),
    )


def test_other_decisions_and_one_sided_answers_differ(serving: Serving) -> None:
    tally = Tally(task=task_named("classification"), old=serving, new=serving)
    found = list(tally.add(answers([0, 1, 2, None]), answers([0, 3, None, None]), np.array([0, 3, 2, 1])))
    assert [difference.name for difference in found] == ["b.png", "c.png"]
    assert (tally.examples, tally.unanswered, tally.differing, tally.one_sided, tally.identical) == (3, 1, 2, 1, 1)
    assert tally.largest == (1.0, "b.png", LABELS[1])
    assert tally.unreadable == [("d.png", "broken")]
    assert (found[0].target, found[0].old_words[:3], found[0].new_words[:5]) == (LABELS[3], LABELS[1], LABELS[3][:5])
    assert (found[1].new, found[1].new_words, found[1].reason, found[1].largest) == (None, "no answer", "broken", None)
    # An example that an archive does not answer counts as wrong for it.
    assert np.concatenate(tally.old_scores).tolist() == [1, 0, 1]
    assert np.concatenate(tally.new_scores).tolist() == [1, 1, 0]


def test_without_targets_nothing_is_scored(serving: Serving) -> None:
    tally = Tally(task=task_named("classification"), old=serving, new=serving)
    assert list(tally.add(answers([0, 1, 2, 3]), answers([0, 1, 2, 3]), None)) == []
    assert (tally.differing, tally.identical, tally.old_scores) == (0, 4, [])


def test_targets_in_words(serving: Serving) -> None:
    assert target_in_words(np.array(2), serving) == LABELS[2]
    assert target_in_words(np.array([1, 0, 0, 1, 0], np.uint8), serving) == f"{LABELS[0]};{LABELS[3]}"
    assert target_in_words(np.array([1.5, 2.0], np.float32), serving) == "1.5 2.0"
