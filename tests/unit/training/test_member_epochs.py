from __future__ import annotations

from pipeline.training.history import Epoch, Metrics
from pipeline.training.member_epochs import mean_epochs


def epoch(number: int, loss: float | None, score: float) -> Epoch:
    train = Metrics(loss=loss, score=score)
    validation = Metrics(loss=loss, score=score, plain_loss=2.0)
    return Epoch(epoch=number, learning_rate=0.1, train=train, validation=validation)


def test_figures_are_means_over_the_members_that_were_trained_so_long() -> None:
    first, second = mean_epochs([[epoch(1, 1.0, 0.5), epoch(2, 0.5, 0.75)], [epoch(1, 3.0, 1.0)]])
    assert first == Epoch(
        epoch=1,
        learning_rate=0.1,
        train=Metrics(loss=2.0, score=0.75),
        validation=Metrics(loss=2.0, score=0.75, plain_loss=2.0),
    )
    assert second == epoch(2, 0.5, 0.75)


def test_an_unknown_figure_stays_unknown() -> None:
    (only,) = mean_epochs([[epoch(1, None, 0.5)], [epoch(1, 3.0, 0.5)]])
    assert only.train.loss is None
    assert mean_epochs([[], []]) == ()
