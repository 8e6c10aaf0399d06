"""Histories and learning curves say the same of the same figures, and which epoch validation chose."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.tasks.classification.member import ClassificationTask
from pipeline.training.curves import draw_learning_curves
from pipeline.training.history import Epoch, Metrics, Pace, log_epoch, report_scalars, write_history
from tests.reporters import Lines

TASK = ClassificationTask()
EPOCH = Epoch(
    epoch=1,
    learning_rate=0.1,
    train=Metrics(loss=0.5, score=0.75),
    validation=Metrics(loss=0.25, score=0.875, plain_loss=0.25, others={"macro F1": 0.5, "top-5 accuracy": 1.0}),
)
PACE = Pace(examples=50_000, training_s=10.0, epoch_s=12.5)


class Curves(Lines):
    """Takes the figures of epochs, too."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[tuple[str, list[dict[str, float]]]] = []

    def scalars(self, task: str, epochs: Sequence[Mapping[str, float]]) -> None:
        self.received.append((task, [dict(epoch) for epoch in epochs]))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_history_and_curves_are_the_same_bytes_for_the_same_figures(tmp_path: Path, count: int) -> None:
    metrics = Metrics(loss=0.5, score=0.75)
    epochs = [Epoch(epoch=number + 1, learning_rate=0.1, train=metrics, validation=metrics) for number in range(count)]
    for name in "ab":
        write_history(tmp_path / f"{name}.json", epochs, metrics, task=TASK)
        draw_learning_curves(tmp_path / f"{name}.png", epochs, metrics, task=TASK, loss="cross-entropy in nats")
    for suffix in ("json", "png"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    document = json.loads((tmp_path / "a.json").read_text())
    assert len(document["epochs"]) == count
    assert document["final"] == {"validation": {"loss": 0.5, "accuracy": 0.75}}
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_kept_epoch_is_told_and_nothing_is_where_the_last_is_kept(tmp_path: Path) -> None:
    metrics = Metrics(loss=0.5, score=0.75)
    epochs = [Epoch(epoch=number, learning_rate=0.1, train=metrics, validation=metrics) for number in (1, 2)]
    for name, kept in (("last", ()), ("best", (1,)), ("members", (2, 1, 2))):
        write_history(tmp_path / f"{name}.json", epochs, metrics, task=TASK, kept=kept)
        draw_learning_curves(tmp_path / f"{name}.png", epochs, metrics, task=TASK, loss="loss", kept=kept)
    assert json.loads((tmp_path / "best.json").read_text())["kept"] == {"epoch": 1, "chosen_by": "validation"}
    assert json.loads((tmp_path / "members.json").read_text())["kept"] == {
        "epochs": [2, 1, 2],
        "chosen_by": "validation",
    }
    assert set(json.loads((tmp_path / "last.json").read_text())) == {"epochs", "final"}
    pictures = {(tmp_path / f"{name}.png").read_bytes() for name in ("last", "best", "members")}
    assert len(pictures) == 3


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (0, "12.5 s, 5,000 examples/s"),
        (1, "12.5 s, 5,000 examples/s, 0:12 left"),
        (7, "12.5 s, 5,000 examples/s, 1:28 left"),
        (300, "12.5 s, 5,000 examples/s, 1:02:30 left"),
    ],
)
def test_the_pace_of_an_epoch_in_words(left: int, words: str) -> None:
    assert PACE.words(epochs_left=left) == words


def test_an_epoch_is_one_line_and_its_figures_go_to_who_takes_them() -> None:
    lines, curves = Lines(), Curves()
    for reporter in (lines, curves):
        log_epoch(reporter, (EPOCH,), purpose="train", task=TASK, metric="accuracy", total=2, pace=PACE)
        assert reporter.said == [
            "train: epoch 1/2, loss 0.5000, accuracy 0.7500; validation loss 0.2500, accuracy 0.8750; "
            + PACE.words(epochs_left=1)
        ]
    report_scalars(curves, (EPOCH, replace(EPOCH, epoch=2)), purpose="train", task=TASK)
    figures = {
        "accuracy/train": 0.75,
        "accuracy/validation": 0.875,
        "cross_entropy/validation": 0.25,
        "loss/train": 0.5,
        "loss/validation": 0.25,
        "macro_F1/validation": 0.5,
        "top_5_accuracy/validation": 1.0,
        "learning_rate": 0.1,
    }
    assert curves.received == [("train", [figures]), ("train", [figures, figures])]
