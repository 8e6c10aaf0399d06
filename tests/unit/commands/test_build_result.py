"""What a build's result says of the training behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.commands.build_result import _training
from pipeline.errors import FileError
from pipeline.tasks.classification.member import ClassificationTask
from pipeline.training.history import Epoch, Metrics, write_history


@pytest.mark.parametrize("kept", [(), (2,), (2, 1, 2)])
def test_the_epochs_that_validation_chose(tmp_path: Path, kept: tuple[int, ...]) -> None:
    metrics = Metrics(loss=0.5, score=0.75)
    epochs = [Epoch(epoch=number, learning_rate=0.1, train=metrics, validation=metrics) for number in (1, 2)]
    write_history(tmp_path / "history.json", epochs, metrics, task=ClassificationTask(), kept=kept)
    assert _training(tmp_path / "history.json") == (kept, ())


@pytest.mark.parametrize(("processes", "numbers"), [((1, 1), ()), ((2, 2), (2,)), ((2, 1), (1, 2))])
def test_how_many_processes_trained_it(tmp_path: Path, processes: tuple[int, ...], numbers: tuple[int, ...]) -> None:
    metrics = Metrics(loss=0.5, score=0.75)
    epochs = [Epoch(epoch=number, learning_rate=0.1, train=metrics, validation=metrics) for number in (1, 2)]
    task, path = ClassificationTask(), tmp_path / "history.json"
    write_history(path, epochs, metrics, task=task, processes=processes)
    assert _training(path) == ((), numbers)
    assert ("processes" in path.read_text()) is bool(numbers)


@pytest.mark.parametrize("text", ["{", "[]", '{"kept": 3}', '{"processes": "many"}'])
def test_a_damaged_history_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "history.json").write_text(text)
    with pytest.raises(FileError, match=r"history\.json: expected the history of a training, found: .*run pipeline"):
        _training(tmp_path / "history.json")
