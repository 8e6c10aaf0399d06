"""Bound what scores of two networks on the same examples say of them, and find the group that loses most."""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ProofError
from pipeline.tasks.betting import mean_upper_bound
from pipeline.tasks.intervals import accuracy_interval, drop_bounds, smallest_provable_drop
from pipeline.tasks.quality import Bound

# Error rates at which bounds are kept, where they cannot be computed from counts: that of a candidate alone, and those
# of one of so many that all hold together (Bonferroni). Of another number, the next larger one counts.
_ERROR_RATES = tuple(0.05 / 2**doublings for doublings in range(11))
# Both ends of an interval of 95 % hold with this confidence each.
_EACH_END = 0.975


class ScoreFigures(TypedDict):
    """The fields of a `QualityReport` that follow from scores alone."""

    examples: int
    accuracy: float
    float_accuracy: float
    drop: float
    interval_lower: float
    interval_upper: float
    drop_upper: float
    confidence: float
    lost: int
    gained: int
    smallest_provable_drop: float
    bounds: tuple[Bound, ...]
    score_interval: tuple[float, float] | None


def score_figures(
    scores: NDArray[np.float64], float_scores: NDArray[np.float64], *, confidence: float = 0.95
) -> ScoreFigures:
    """Compare the scores of a candidate with those of float on the same examples.

    Where all scores are 0 or 1, the bounds are Tango's (`pipeline.tasks.intervals`). Where some lie between, the
    differences of scores are bounded by betting (`pipeline.tasks.betting`).

    Args:
        scores: scores of the candidate, (N,), each between 0 and 1, with N of 1 or more.
        float_scores: scores of float, (N,).
        confidence: confidence of the one-sided bound of this candidate alone.
    """
    examples = len(scores)
    lost, gained = int((scores < float_scores).sum()), int((scores > float_scores).sum())
    accuracy, float_accuracy = float(scores.sum()) / examples, float(float_scores.sum()) / examples
    if _right_or_wrong(scores) and _right_or_wrong(float_scores):
        lower, upper = drop_bounds(lost=lost, gained=gained, examples=examples, confidence=_EACH_END)
        return ScoreFigures(
            examples=examples,
            accuracy=accuracy,
            float_accuracy=float_accuracy,
            drop=(lost - gained) / examples,
            interval_lower=lower,
            interval_upper=upper,
            drop_upper=drop_bounds(lost=lost, gained=gained, examples=examples, confidence=confidence)[1],
            confidence=confidence,
            lost=lost,
            gained=gained,
            smallest_provable_drop=smallest_provable_drop(
                discordant=lost + gained, examples=examples, confidence=confidence
            ),
            bounds=(),
            score_interval=None,
        )
    drops = float_scores - scores
    alone = _bound(drops, confidence)
    return ScoreFigures(
        examples=examples,
        accuracy=accuracy,
        float_accuracy=float_accuracy,
        drop=float(drops.mean()),
        interval_lower=-mean_upper_bound(-drops, highest=1.0, confidence=_EACH_END),
        interval_upper=mean_upper_bound(drops, highest=1.0, confidence=_EACH_END),
        drop_upper=alone.drop_upper,
        confidence=confidence,
        lost=lost,
        gained=gained,
        smallest_provable_drop=alone.smallest_provable_drop,
        bounds=tuple(_bound(drops, 1 - rate) for rate in _ERROR_RATES),
        score_interval=score_interval(scores),
    )


def score_interval(scores: NDArray[np.float64]) -> tuple[float, float]:
    """Compute the two-sided 95 % interval of the mean of scores, (N,), from 0 to 1: Wilson's where all are 0 or 1."""
    if _right_or_wrong(scores):
        return accuracy_interval(right=int(scores.sum()), examples=len(scores))
    lower = 1 - mean_upper_bound(1 - scores, highest=1.0, confidence=_EACH_END)
    return lower, mean_upper_bound(scores, highest=1.0, confidence=_EACH_END)


def worst_group(drops: NDArray[np.float64], members_NG: NDArray[np.bool_]) -> tuple[int, float, int]:
    """Find the group of examples whose mean score drops most; groups without examples do not count.

    Args:
        drops: drop of the score of each example, (N,).
        members_NG: whether an example belongs to a group; it may belong to several.

    Returns:
        Index of the group, its drop as a fraction of its examples, and their number; 0, 0 and 0 without any.
    """
    counts = members_NG.sum(axis=0)
    if not counts.any():
        return 0, 0.0, 0
    totals = drops @ members_NG
    means = np.divide(totals, counts, out=np.full(len(counts), -np.inf), where=counts > 0)
    worst = int(means.argmax())
    return worst, float(means[worst]), int(counts[worst])


def require_answers(candidate: str, outputs: NDArray[Any], float_outputs: NDArray[Any], targets: NDArray[Any]) -> None:
    """Stop where answers cannot be judged.

    Args:
        candidate: name of the candidate, for messages.
        outputs: outputs of the candidate, (N, K).
        float_outputs: outputs of float, (N, K).
        targets: targets of the examples, (N, K).

    Raises:
        ProofError: there are no examples, shapes do not fit, or outputs are NaN or infinite.
    """
    if not len(targets) or not targets.shape == outputs.shape == float_outputs.shape:
        raise ProofError(
            f"{candidate}: quality: expected outputs of float and candidate and targets of one shape (N, K) with N "
            f"of 1 or more, found {float_outputs.shape}, {outputs.shape} and {targets.shape}"
        )
    for name, values in ((candidate, outputs), ("float", float_outputs)):
        broken = int((~np.isfinite(values)).any(axis=1).sum())
        if broken:
            raise ProofError(f"{name}: quality: expected finite outputs, found NaN or infinity on {broken} examples")


def _right_or_wrong(scores: NDArray[np.float64]) -> bool:
    return bool(((scores == 0) | (scores == 1)).all())


def _bound(drops: NDArray[np.float64], confidence: float) -> Bound:
    # Without a true drop, half of the scores that change get worse and half get better by as much.
    signs = np.ones(len(drops))
    changed = np.flatnonzero(drops)
    signs[changed[1::2]] = -1
    balanced = np.abs(drops) * signs
    return Bound(
        confidence=confidence,
        drop_upper=mean_upper_bound(drops, highest=1.0, confidence=confidence),
        smallest_provable_drop=mean_upper_bound(balanced, highest=1.0, confidence=confidence) - float(balanced.mean()),
    )
