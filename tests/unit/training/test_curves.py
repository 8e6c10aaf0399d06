"""Which metrics share a panel of the learning curves."""

from __future__ import annotations

from pathlib import Path

from pipeline.recipe.task import Regression
from pipeline.tasks.regression.member import RegressionTask
from pipeline.training.curves import _panels, draw_learning_curves
from pipeline.training.history import Epoch, Metrics

OTHERS = {"MAE of height in m": 1.5, "RMSE of height in m": 2.0, "R² of height": 0.5, "mean R²": 0.25}


def test_errors_with_a_unit_have_a_panel_for_each_output_and_shares_have_one() -> None:
    assert _panels(list(OTHERS)) == {
        "errors of height in m": ["MAE of height in m", "RMSE of height in m"],
        "further metrics": ["R² of height", "mean R²"],
    }


def test_an_epoch_without_a_metric_leaves_a_gap(tmp_path: Path) -> None:
    task = RegressionTask(settings=Regression(tolerance=(1.0,)))
    full, bare = Metrics(loss=1.0, score=0.5, others=OTHERS), Metrics(loss=None, score=0.5)
    epochs = [
        Epoch(epoch=number, learning_rate=0.1, train=bare, validation=validation)
        for number, validation in ((1, full), (2, bare), (3, full))
    ]
    draw_learning_curves(tmp_path / "curves.png", epochs, full, task=task, loss="squared error")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
