"""Which epoch is the best, and when training ends early."""

from __future__ import annotations

import pytest

from pipeline.recipe.names import MonitorName
from pipeline.recipe.train import EarlyStopping
from pipeline.training.history import Epoch, Metrics
from pipeline.training.selection import best_epoch, is_over, monitored


def epochs(scores: list[float], losses: list[float | None] | None = None) -> list[Epoch]:
    losses = losses if losses is not None else [1.0] * len(scores)
    return [
        Epoch(
            epoch=number,
            learning_rate=0.1,
            train=Metrics(loss=0.0, score=0.0),
            validation=Metrics(loss=loss, score=score, plain_loss=0.0),
        )
        for number, (score, loss) in enumerate(zip(scores, losses, strict=True), start=1)
    ]


@pytest.mark.parametrize(
    ("scores", "losses", "monitor", "best"),
    [
        ([0.5, 0.7, 0.7, 0.6], None, "metric", 2),
        ([0.5, 0.5], None, "metric", 1),
        ([0.9, 0.5, 0.5], [3.0, 1.0, 1.0], "loss", 2),
        ([0.9, 0.5], [None, 7.0], "loss", 2),
        ([0.9, 0.5], [None, None], "loss", 1),
    ],
)
def test_the_best_epoch_is_the_earliest_of_the_best(
    scores: list[float], losses: list[float | None] | None, monitor: MonitorName, best: int
) -> None:
    assert best_epoch(epochs(scores, losses), monitor) == best


@pytest.mark.parametrize(
    ("scores", "min_gain", "ends_after"),
    [
        ([0.5, 0.6, 0.6, 0.6, 0.9], 0.0, 4),
        ([0.5, 0.6, 0.6, 0.7, 0.6, 0.6], 0.0, 6),
        ([0.5, 0.51, 0.52, 0.53], 0.05, 3),
        # Small gains add up: the third epoch is 0.06 above the first, the last that counted.
        ([0.5, 0.53, 0.56, 0.56, 0.56], 0.05, 5),
        ([0.5, 0.6, 0.7, 0.8], 0.0, None),
    ],
)
def test_training_ends_after_as_many_epochs_without_gain(
    scores: list[float], min_gain: float, ends_after: int | None
) -> None:
    stopping = EarlyStopping(patience=2, min_gain=min_gain)
    over = [is_over(epochs(scores)[:count], stopping, "metric") for count in range(len(scores) + 1)]
    assert (over.index(True) if True in over else None) == ends_after
    assert not is_over(epochs(scores), None, "metric")


def test_a_loss_that_is_never_finite_ends_training_too() -> None:
    stopping = EarlyStopping(patience=2)
    assert is_over(epochs([0.1, 0.2, 0.3], [None] * 3), stopping, "loss")
    assert not is_over(epochs([0.1, 0.2], [None] * 2), stopping, "loss")
    assert monitored(Metrics(loss=None, score=0.5), "loss") == float("inf")
