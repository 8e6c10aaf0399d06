"""A network whose answers int8 moved is refused in each task, and its twin with a range that fits is not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.candidates.choose import OVER, OVERTURNS, WITHIN, judge
from pipeline.recipe.limits import Budget
from pipeline.recipe.task import TaskName
from pipeline.tasks.quality import QualityReport
from pipeline.tasks.table import task_named

EXAMPLES = 3000
LIMITS = Budget(max_accuracy_drop=0.01)
RANDOM = np.random.default_rng(0)


def in_uint8(outputs: NDArray[np.float32], *, lowest: float, highest: float) -> NDArray[np.float32]:
    """Outputs in 255 steps between two ends, as a static int8 network writes them."""
    step = (highest - lowest) / 255
    rounded: NDArray[np.float32] = (
        np.rint((np.clip(outputs, lowest, highest) - lowest) / step) * step + lowest
    ).astype(np.float32)
    return rounded


def judged(task: TaskName, candidate: NDArray[np.float32], float_outputs: NDArray[np.float32]) -> QualityReport:
    settings = {"tolerance": [20.0], "scale": [100.0]} if task == "regression" else {}
    member = task_named(task, settings)
    noise = RANDOM.normal(0, 8 if task == "regression" else 0.7, float_outputs.shape)
    targets = float_outputs + noise
    return member.judge(
        candidate="int8",
        outputs=candidate,
        float_outputs=float_outputs,
        targets=targets.astype(np.float32) if task == "regression" else (targets > 0).astype(np.uint8),
        names=("price",) if task == "regression" else tuple("abcdef"),
        activation="none",
    )


PRICES = RANDOM.normal(500, 100, (EXAMPLES, 1)).astype(np.float32)
LOGITS = RANDOM.normal(-1, 3, (EXAMPLES, 6)).astype(np.float32)


def test_values_cut_off_at_the_top_are_refused_and_a_range_that_holds_all_is_not() -> None:
    fault = judged("regression", in_uint8(PRICES, lowest=200, highest=620), PRICES)
    verdict = judge(fault, LIMITS, lossy=True, compared=10)
    assert (verdict.text, verdict.allowed) == (OVER, False)
    assert fault.worst_class_drop > 0.3
    assert float(fault.worst_class_name.rpartition(" to ")[2]) == pytest.approx(PRICES.max(), abs=50)
    twin = judged("regression", in_uint8(PRICES, lowest=float(PRICES.min()), highest=float(PRICES.max())), PRICES)
    assert judge(twin, LIMITS, lossy=True, compared=10).text == WITHIN
    # The same twin proves less the more candidates there are, and nothing with a few examples.
    assert judge(twin, LIMITS, lossy=True, compared=500).adjusted_drop_upper > twin.drop_upper
    few = judged("regression", PRICES[:60], PRICES[:60])
    assert judge(few, LIMITS, lossy=True, compared=10).text == "not provable with 60 examples"


def test_labels_moved_by_a_coarse_range_are_refused_and_by_a_fine_one_are_not() -> None:
    # One far outlier stretches the range, so that a step is as wide as the usual logits.
    fault = judged("multi-label", in_uint8(LOGITS, lowest=-300, highest=320), LOGITS)
    verdict = judge(fault, LIMITS, lossy=True, compared=10)
    assert verdict.text in (OVER, OVERTURNS)
    assert fault.flips > EXAMPLES / 10
    assert fault.bounds
    twin = judged("multi-label", in_uint8(LOGITS, lowest=-13.3, highest=13), LOGITS)
    verdict = judge(twin, LIMITS, lossy=True, compared=10)
    assert (verdict.text, verdict.confidence) == (WITHIN, 1 - 0.05 / 10)
    assert twin.flips > 0
    assert twin.drop < verdict.adjusted_drop_upper <= 0.01


def test_a_turned_sign_of_one_label_is_a_confident_flip() -> None:
    turned = LOGITS.copy()
    turned[:, 2] *= -1
    fault = judged("multi-label", turned, LOGITS)
    assert fault.confident_flips is not None
    assert fault.confident_flips > EXAMPLES / 3
    assert not judge(fault, Budget(max_accuracy_drop=0.9), lossy=True, compared=1).allowed
