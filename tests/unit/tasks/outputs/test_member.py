"""The task outputs: agreement with float inside a tolerance, the user's own score, and what each is judged by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from pipeline._handlers.outputs import OutputSpec
from pipeline.errors import DataError, ProofError, UsageError
from pipeline.recipe.task import Outputs
from pipeline.tasks.quality import AGREEMENT
from pipeline.tasks.table import task_named, task_of
from pipeline.tasks.task import Task

SPECS = (OutputSpec(name="logits", shape=(4,)), OutputSpec(name="embedding", shape=(2, 3)))
EXAMPLES = 200


def answers() -> NDArray[np.float32]:
    """Logits in thousands beside an embedding in thousandths."""
    draw = np.random.default_rng(0)
    scales = np.repeat([1e3, 1e-3], [4, 6])
    values: NDArray[np.float32] = (draw.normal(0, 1, (EXAMPLES, 10)) * scales).astype(np.float32)
    return values


def task(folder: Path | None = None, **settings: Any) -> Task:
    return task_of(Outputs(**settings), outputs=SPECS, folder=folder)


def judged(outputs: NDArray[np.float32], **settings: Any) -> Any:
    return task(**settings).judge(
        candidate="it",
        outputs=outputs,
        float_outputs=answers(),
        targets=answers(),
        names=[spec.name for spec in SPECS],
        activation="none",
    )


def test_the_score_of_training_says_what_outputs_are_held_against(tmp_path: Path) -> None:
    assert task().trained_on(answers()).metric == "agreement with the labels"
    for labels in (None, np.zeros(EXAMPLES, np.int64), answers()[:, :4]):
        assert task().trained_on(labels).metric == AGREEMENT
    assert task(tmp_path, score="mine:score").trained_on(answers()).metric == "score"


def test_a_candidate_that_changes_only_the_smallest_output_is_found_by_name() -> None:
    changed = answers()
    changed[:50, 4] += np.float32(1e-3)
    report = judged(changed)
    assert report.metric == AGREEMENT
    assert (report.accuracy, report.float_accuracy) == (0.875, 1.0), "one of two outputs, in a quarter of the examples"
    assert report.flips == 50
    assert (report.worst_class_name, report.worst_class_drop) == ("embedding", 0.25)
    assert report.confident_flips is None
    assert report.drop_upper > 0.125
    figures = {figure.name.partition(" (")[0]: figure.value for figure in report.figures}
    assert figures["largest difference of logits"] == 0
    assert figures["largest difference of embedding"] == pytest.approx(1e-3, rel=1e-3)


def test_its_twin_inside_the_tolerance_agrees_and_keeps_a_bound_above_zero() -> None:
    changed = answers()
    changed[:50, 4] += np.float32(1e-5)
    report = judged(changed)
    assert (report.accuracy, report.flips, report.lost) == (1.0, 0, 0)
    assert 0 < report.drop_upper < 0.02
    assert report.divergence > 0


def test_a_tolerance_may_be_a_number_in_the_unit_of_the_output_or_differ_by_name() -> None:
    changed = answers()
    changed[:, 0] += np.float32(5)
    assert judged(changed, tolerance=4.0).worst_class_name == "logits"
    assert judged(changed, tolerance=6.0).flips == 0
    assert judged(changed, tolerance={"logits": 6.0, "embedding": "1 %"}).flips == 0
    with pytest.raises(UsageError, match="expected one for each of the outputs logits, embedding, found logits"):
        task(tolerance={"logits": 6.0})


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"tolerance": 0}, "expected a number above 0, or a share of the spread"),
        ({"tolerance": "much"}, 'expected a number in the unit of the output, or a share of its spread such as "5 %"'),
        ({"tolerance": "100 %"}, "expected a number in the unit of the output"),
        ({"tolerance": {"logits": -1}}, "expected a number above 0"),
        ({"score": "no colon"}, "String should match pattern"),
        ({"score_range": (0, 1)}, "score_range without score"),
        ({"score": "a:b", "score_range": (1, 1)}, "expected a lowest and a higher highest value, found 1 and 1"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        Outputs(**settings)


SCORES = """
import numpy as np

def closeness(outputs, targets):
    assert outputs["embedding"].shape[1:] == (2, 3)
    return 10.0 - 20.0 * (outputs["logits"].argmax(axis=1) != targets)

def one(outputs, targets):
    return 1.0

def wide(outputs, targets):
    return np.full(len(targets), 11.0)

def broken(outputs, targets):
    return outputs["nothing"]
"""


def test_the_users_score_is_brought_into_its_range(tmp_path: Path) -> None:
    (tmp_path / "my_scores.py").write_text(SCORES)
    labels = answers()[:, :4].argmax(axis=1)
    scored = task(tmp_path, score="my_scores:closeness", score_range=(-10, 10))
    assert scored.metric == "score"
    assert scored.scores(answers(), labels, activation="none").mean() == 1
    changed = answers()
    changed[:20, :4] *= -1
    report = scored.judge(
        candidate="it",
        outputs=changed,
        float_outputs=answers(),
        targets=labels,
        names=["logits", "embedding"],
        activation="none",
    )
    assert (report.metric, report.accuracy, report.float_accuracy, report.lost) == ("score", 0.9, 1.0, 20)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ("one", r"task.score my_scores:one: expected a number for each of 200 examples, found an array of shape \(\)"),
        ("wide", r"expected numbers from 0 to 1, as task.score_range says, found 11 to 11; declare the range"),
        ("broken", r"my_scores:broken: .*KeyError.*my_scores.py:"),
        ("gone", "expected a function gone in .*my_scores.py"),
    ],
)
def test_a_score_that_is_none_is_told(tmp_path: Path, function: str, text: str) -> None:
    (tmp_path / "my_scores.py").write_text(SCORES)
    with pytest.raises(UsageError, match=text):
        task(tmp_path, score=f"my_scores:{function}").scores(answers(), np.zeros(EXAMPLES), activation="none")


def test_a_score_needs_labels() -> None:
    with pytest.raises(UsageError, match=r"task\.score a:b: expected data with labels to give it, found none"):
        task(score="a:b").fit_settings(None, names=())
    assert task().fit_settings(None, names=()) == Outputs()


def test_float_agrees_with_itself_where_there_are_no_labels() -> None:
    own = task().targets_of(answers(), activation="none")
    assert np.array_equal(own, answers())
    assert task().scores(answers(), own, activation="none").mean() == 1
    assert not task().disagreements(answers(), answers(), activation="none").any()


def test_targets_may_be_any_numbers() -> None:
    for targets in (np.zeros((3, 2, 2)), np.zeros(3, bool), np.arange(3)):
        task().check_targets("data", targets, exactly=True)
        assert np.array_equal(task().stored(targets), targets)
    with pytest.raises(DataError, match="expected an array of numbers, examples first, or none, found <U1"):
        task().check_targets("data", np.array(["a"]), exactly=True)


def test_what_cannot_be_judged_is_told() -> None:
    broken = answers()
    broken[3, 7] = np.inf
    with pytest.raises(ProofError, match="it: quality: expected finite outputs, found NaN or infinity on 1 examples"):
        judged(broken)
    with pytest.raises(ProofError, match=r"of one shape \(N, K\)"):
        judged(answers()[:, :9])


def test_distillation_weighs_outputs_alike_whatever_their_unit() -> None:
    teacher = torch.from_numpy(answers())[None]
    loss = task().distillation(
        teacher, temperature=4.0, label_weight=0.5, criterion=task().criterion(activation="none", label_smoothing=0.0),
        activation="none",
    )  # fmt: skip
    rows, copies = torch.arange(EXAMPLES), torch.zeros(EXAMPLES, dtype=torch.int64)
    assert loss(teacher[0], torch.zeros(EXAMPLES), rows, copies).item() == 0
    values = []
    for columns in (slice(0, 4), slice(4, 10)):
        student = teacher[0].clone()
        student[:, columns] = student[:, columns] * 2
        values.append(loss(student, torch.zeros(EXAMPLES), rows, copies).item())
    assert values == [pytest.approx(0.5, rel=0.02), pytest.approx(0.5, rel=0.02)]


def test_an_archive_says_how_it_is_judged_and_names_no_function() -> None:
    from pipeline.recipe.task import of_the_build

    settings = Outputs(score="a:b", score_range=(0, 2), tolerance={"logits": 2.0, "embedding": "3 %"})
    packed = settings.model_dump(mode="json", exclude={"kind", *of_the_build(settings)})
    assert packed == {"tolerance": {"logits": 2.0, "embedding": "3 %"}}
    assert task_named("outputs", packed, outputs=SPECS).metric == AGREEMENT
