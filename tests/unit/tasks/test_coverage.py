"""Classes of which a split holds no examples or too few are named."""

from __future__ import annotations

from pipeline.tasks.coverage import SCARCE, coverage
from pipeline.tasks.intervals import drop_bounds

CLASSES = ["calm", "alarm", "fire"]


def test_nothing_is_said_of_a_split_that_holds_enough_of_every_class() -> None:
    assert coverage([SCARCE + 1] * 3, CLASSES).lines("validation") == ()


def test_a_class_without_examples_is_named_with_what_follows() -> None:
    held = coverage([90, 0, 0], CLASSES)
    assert held.absent == ("alarm", "fire")
    assert held.lines("validation") == (
        (
            "validation holds no example of 2 classes: alarm, fire: no figure there speaks of them, and all of them "
            "may be lost unseen"
        ),
    )
    assert held.lines("train") == (
        "train holds no example of 2 classes: alarm, fire: nothing is trained, fine-tuned or calibrated on them",
    )


def test_a_class_with_too_few_examples_is_named_with_their_number() -> None:
    held = coverage([90, 3, SCARCE], CLASSES)
    assert held.scarce == {"alarm": 3, "fire": SCARCE}
    (line,) = held.lines("test")
    assert line.startswith(f"test holds {SCARCE} examples or fewer of 2 classes: alarm (3), fire ({SCARCE}): ")
    assert held.lines("train") == (), "training has no bounds"


def test_few_means_that_a_quarter_may_be_lost_though_no_answer_changes() -> None:
    bounds = [drop_bounds(lost=0, gained=0, examples=count)[1] for count in (SCARCE, SCARCE + 1)]
    assert bounds[0] > 0.25 > bounds[1]


def test_of_many_classes_the_first_are_named() -> None:
    (line,) = coverage([0] * 1000, [f"class{number}" for number in range(1000)]).lines("validation")
    assert "1000 classes: class0, class1, class2, class3, class4 and 995 more: " in line


def test_without_labels_float_says_what_a_split_holds() -> None:
    (line,) = coverage([0, 20, 20], CLASSES).lines("test", by_float=True)
    assert line.startswith(f"test, as float decides it, holds no example of class {CLASSES[0]}: no figure there")
