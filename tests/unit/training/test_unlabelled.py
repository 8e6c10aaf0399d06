"""What training refuses where data have no labels."""

from __future__ import annotations

import pytest

from pipeline.errors import UsageError
from pipeline.recipe.passes import ChannelPruning, FineTune, Variant
from pipeline.training.unlabelled import require_no_labels


def _slim(label_weight: float) -> Variant:
    return Variant(name="slim", passes=(ChannelPruning(), FineTune(label_weight=label_weight)))


def test_distillation_needs_no_labels() -> None:
    require_no_labels("photos", loss=None, variants=[_slim(0.0)])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"epochs": 8},
            (
                "train.epochs = 8: expected 0, because data set photos has no labels to train on; give labels, or "
                "model.weights and train.epochs = 0"
            ),
        ),
        (
            {"loss": "mine:loss"},
            "train.loss mine:loss: expected none, because data set photos has no labels to give it; leave it out",
        ),
        (
            {"variants": [_slim(0.3)]},
            (
                "variant slim: label_weight = 0.3: expected 0, because data set photos has no labels; leave it out: "
                "fine-tuning learns the float network's answers"
            ),
        ),
    ],
)
def test_what_learns_from_labels_is_refused_by_name(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        require_no_labels("photos", **{"loss": None, "variants": [], **settings})  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_all_that_needs_labels_is_named_at_once() -> None:
    with pytest.raises(UsageError, match=r"train\.epochs = 1: .*; train\.loss a:b: .*; variant slim: label_weight"):
        require_no_labels("photos", loss="a:b", variants=[_slim(1.0)], epochs=1)
