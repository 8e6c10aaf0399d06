"""Where two networks disagree is told in each task, the group that lost most first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import Serving
from pipeline._handlers.outputs import OutputSpec
from pipeline._handlers.task_answers import TaskName
from pipeline.commands.report_page.answers import Compared, _rows
from pipeline.commands.report_page.disagreements import disagreements_of
from pipeline.data.dataset import Split
from pipeline.models.info import ModelInfo
from pipeline.pages.report.document import Disagreements
from pipeline.recipe.names import ReportedExamples
from pipeline.tasks.table import task_named
from tests.row_inputs import NAMED
from tests.served_models import build_archive

LABELS = ("boot", "coat", "dress")


def told(
    folder: Path,
    task: TaskName,
    winner: NDArray[Any],
    baseline: NDArray[Any],
    targets: NDArray[Any],
    *,
    labelled: bool = True,
    whole: int | None = None,
    shown: ReportedExamples = "disagreeing",
    settings: dict[str, Any] | None = None,
) -> Disagreements:
    count = len(winner)
    outputs = (OutputSpec(name="scores", shape=(3,)),) if task == "outputs" else ()
    rows = np.tile(np.array([[31.0, 1.0]], np.float32), (count, 1))
    made = task_named(task, settings, outputs=outputs)
    labels = ("scores",) if task == "outputs" else LABELS
    info = ModelInfo(
        name="net",
        task=made.settings,
        inputs=(NAMED,),
        labels=labels,
        activation="none",
        parameters=1,
        outputs=outputs,
    )
    compared = Compared(
        info=info,
        task=made,
        rows=np.arange(count) * 2,
        whole=whole or count,
        split=Split(inputs={"features": rows}, labels=targets if labelled else None),
        winner=winner.astype(np.float32),
        baseline=baseline.astype(np.float32),
        targets=targets,
        labelled=labelled,
    )
    return disagreements_of(compared, serving(folder, task, labels, outputs, settings or {}), shown=shown)


def serving(
    folder: Path, task: TaskName, labels: tuple[str, ...], outputs: tuple[OutputSpec, ...], settings: dict[str, Any]
) -> Serving:
    """The description of a packed network of that task."""
    wide = InputSpec(name="features", dtype="float32", shape=(4,), low=-9.0, high=9.0)
    five = [f"label{place}" for place in range(5)]
    archive = build_archive(folder, [wide], labels=five)
    runtime = replace(archive.serving.runtime, outputs=outputs)
    return replace(archive.serving, task=task, labels=labels, runtime=runtime, task_settings=settings, top=len(labels))


def one_hot(*classes: int) -> NDArray[Any]:
    return np.eye(3)[list(classes)] * 4


def test_classes_that_lost_most_come_first(tmp_path: Path) -> None:
    targets = np.array([0, 0, 0, 0, 1, 1, 2])
    shown = told(tmp_path, "classification", one_hot(1, 0, 0, 0, 2, 1, 2), one_hot(0, 0, 0, 2, 1, 1, 2), targets)
    assert shown.sentences[0] == (
        "On 3 of 7 validation examples that were looked at, their answers differ: float's is better on 2, the winner's "
        "on 1, and on 0 neither."
    )
    assert list(shown.groups) == ["coat", "boot"]
    assert shown.groups["coat"] == "coat: 50.00 points lost on its 2 examples (float 1.0000, winner 0.5000)"
    assert [(example.group, example.number, example.better) for example in shown.examples] == [
        ("coat", 8, "float"),
        ("boot", 0, "float"),
        ("boot", 6, "winner"),
    ]
    first = shown.examples[0]
    assert (first.right, first.of_float, first.of_winner) == ("coat", "coat 96.5%", "dress 96.5%")
    assert first.values == {"age": "31", "sex": "male"}


def test_labels_are_told_as_they_are_given(tmp_path: Path) -> None:
    targets = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 1]], np.uint8)
    baseline = np.array([[4, 4, -4], [-4, -4, -4], [-4, -4, 4]])
    winner = np.array([[4, -4, -4], [4, -4, -4], [-4, -4, 4]])
    shown = told(tmp_path, "multi-label", winner, baseline, targets)
    assert [example.number for example in shown.examples] == [0, 2]
    first, second = shown.examples
    assert (first.right, first.of_float, first.of_winner) == ("boot, coat", "boot 98.2%, coat 98.2%", "boot 98.2%")
    assert (second.group, second.right, second.of_float, second.of_winner) == ("", "no label", "no label", "boot 98.2%")
    assert shown.groups[""] == "Without any label"


def test_values_are_told_with_their_names(tmp_path: Path) -> None:
    targets = np.array([[1.0, 2, 3], [1, 2, 3]], np.float32)
    winner = np.array([[1.0, 2, 3], [1, 2, 9]])
    shown = told(tmp_path, "regression", winner, targets, targets, settings={"tolerance": [0.5]})
    [example] = shown.examples
    assert (example.number, example.right) == (2, "boot 1, coat 2, dress 3")
    assert (example.of_float, example.of_winner) == ("boot 1, coat 2, dress 3", "boot 1, coat 2, dress 9")


def test_an_output_is_told_where_it_differs_most(tmp_path: Path) -> None:
    baseline = np.array([[1.0, 2, 3], [4, 5, 6]])
    winner = np.array([[1.0, 2, 3], [4, 5.5, 9]])
    shown = told(tmp_path, "outputs", winner, baseline, baseline.astype(np.float32), labelled=False)
    assert shown.sentences[0] == "On 1 of 2 validation examples that were looked at, their answers differ."
    [example] = shown.examples
    assert (example.of_float, example.of_winner, example.right) == ("scores[2] 6", "scores[2] 9", "")


@pytest.mark.parametrize("same", [True, False])
def test_examples_are_left_out_where_the_recipe_says_so(tmp_path: Path, same: bool) -> None:
    winner = one_hot(0, 1) if same else one_hot(0, 2)
    targets = np.array([0, 1])
    shown = told(tmp_path, "classification", winner, one_hot(0, 1), targets, shown="none", whole=10)
    assert shown.examples == ()
    assert shown.sentences[0].startswith(f"On {0 if same else 1} of 2 validation examples that were looked at of 10,")
    assert "keeps examples out" in shown.sentences[1]


def test_of_many_examples_as_many_are_looked_at_as_there_is_time_for() -> None:
    split = Split(inputs={"image": np.zeros((1000, 3), np.uint8)}, labels=None)
    assert _rows(split, 1e-6).tolist() == list(range(1000))
    few = _rows(split, 10.0)
    assert (len(few), few[0], few[-1]) == (64, 0, 999)
    assert np.all(np.diff(few) > 10)
