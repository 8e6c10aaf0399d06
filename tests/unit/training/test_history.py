"""Histories and learning curves say the same of the same figures, and which epoch validation chose."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.tasks.classification.member import ClassificationTask
from pipeline.training.curves import draw_learning_curves
from pipeline.training.history import Epoch, Metrics, write_history

TASK = ClassificationTask()


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
    for name, kept in (("last", None), ("best", 1)):
        write_history(tmp_path / f"{name}.json", epochs, metrics, task=TASK, kept=kept)
        draw_learning_curves(tmp_path / f"{name}.png", epochs, metrics, task=TASK, loss="loss", kept=kept)
    assert json.loads((tmp_path / "best.json").read_text())["kept"] == {"epoch": 1, "chosen_by": "validation"}
    assert set(json.loads((tmp_path / "last.json").read_text())) == {"epochs", "final"}
    assert (tmp_path / "best.png").read_bytes() != (tmp_path / "last.png").read_bytes()
