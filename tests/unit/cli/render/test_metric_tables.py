"""What a report says of metrics that no limit is held against."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.cli.render.metric_tables import left_out_metrics, metric_table, worst_lines
from pipeline.cli.render.plain_console import show
from pipeline.recipe.task import Regression
from pipeline.tasks.metrics import SplitMetrics, TaskMetrics, WrongAnswer
from pipeline.tasks.regression.member import RegressionTask
from pipeline.tasks.table import task_named

NAMES = {"winner": "slim50", "baseline": "float"}


def on_test(winner: TaskMetrics, baseline: TaskMetrics) -> SplitMetrics:
    return SplitMetrics(split="test", networks={"slim50": winner, "float": baseline}, error_name="nats")


def classes(right: list[int], answers: list[int], *, count: int) -> TaskMetrics:
    outputs, names = np.eye(count)[answers], [f"class {number}" for number in range(count)]
    return task_named("classification").metrics(outputs, np.array(right), names=names, activation="none")


def lines_of(test: SplitMetrics, capsys: pytest.CaptureFixture[str]) -> list[str]:
    table = metric_table(test, **NAMES, group="class")
    assert table is not None
    show(lambda console: console.print(table))
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_a_row_for_each_class_beside_float_with_what_it_is_taken_for(capsys: pytest.CaptureFixture[str]) -> None:
    test = on_test(classes([0, 0, 1, 2], [0, 2, 1, 2], count=4), classes([0, 0, 1, 2], [0, 0, 1, 2], count=4))
    lines = lines_of(test, capsys)
    assert "class 0 2 1.0000 0.5000 0.6667 1.0000 class 2 1" in lines
    assert "class 1 1 1.0000 1.0000 1.0000 1.0000 -" in lines
    assert "class 3 0 - - - - -" in lines
    assert "macro average 4 0.8333 0.8333 0.7778 1.0000" in lines
    assert list(left_out_metrics(test, **NAMES)) == []


def test_of_very_many_classes_the_worst_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [number if number % 2 else 0 for number in range(30)]
    test = on_test(classes(list(range(30)), answers, count=30), classes(list(range(30)), answers, count=30))
    lines = lines_of(test, capsys)
    assert sum(line.startswith("class ") and "precision" not in line for line in lines) == 20
    assert any(line.startswith("class 28 1 0.0000 0.0000 0.0000") for line in lines)
    assert list(left_out_metrics(test, **NAMES)) == [
        "top-5 accuracy on test 0.6000 (float 0.6000).",
        "The 20 with the lowest F1 of 30 are shown; all are in --json.",
    ]


def test_a_row_for_each_output(capsys: pytest.CaptureFixture[str]) -> None:
    task = RegressionTask(settings=Regression(tolerance=(1.0,), units=("m",)))
    targets = np.array([[1.0], [2.0], [3.0]])
    winner, exact = (
        task.metrics(values, targets, names=("height",), activation="none") for values in (targets + 1.0, targets)
    )
    assert "height in m 1 0 1 0 -0.5 1" in lines_of(on_test(winner, exact), capsys)


def test_the_worst_answers_are_told_with_their_rows() -> None:
    row = {"age": 30.0, "job": None, "town": "\x1b[31mOslo", **{f"more{number}": 0.0 for number in range(9)}}
    worst = tuple(
        WrongAnswer(example=number, error=4.125, right="yes (0.02)", answered="no (0.98)", row=row if number else {})
        for number in range(9)
    )
    first, bare, *rows = worst_lines(SplitMetrics(split="validation", networks={}, error_name="nats", worst=worst))
    assert first == "Most wrong on validation, by nats, as trained:"
    assert bare == "  example 0: 4.12, right yes (0.02), answered no (0.98)"
    assert len(rows) == 4
    assert rows[0].endswith("; age 30.0, job missing, town \\x1b[31mOslo, more0 0.0, more1 0.0, more2 0.0, ...")
    assert list(worst_lines(SplitMetrics(split="validation", networks={}, error_name="nats"))) == []
