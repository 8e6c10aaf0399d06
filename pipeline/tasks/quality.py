"""Report quality: a lossy step may change numbers, and is judged by the decisions that it changes."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray
from pydantic import SerializerFunctionWrapHandler, model_serializer

from pipeline.engine.documents import Document
from pipeline.errors import ProofError
from pipeline.tasks.betting import mean_upper_bound
from pipeline.tasks.intervals import accuracy_interval, drop_bounds, smallest_provable_drop

# Name of the mean score in every task where the data have no labels: answers are judged by the float network's
# decisions. Float's own score is 1 then, whatever it is worth, and says nothing.
AGREEMENT = "agreement with float"
JudgedBy = Literal["targets", "agreement with float"]
# Error rates at which bounds are kept, where they cannot be computed from counts: that of a candidate alone, and those
# of one of so many that all hold together (Bonferroni). Of another number, the next larger one counts.
_ERROR_RATES = tuple(0.05 / 2**doublings for doublings in range(11))
# Both ends of an interval of 95 % hold with this confidence each.
_EACH_END = 0.975
# Confidences are compared with this margin: one minus a small number is rounded.
_ROUNDING = 1e-9
_OF_OTHER_TASKS = ("bounds", "score_interval", "figures")


class Bound(Document):
    """One-sided bounds of a drop, as fractions.

    Args:
        confidence: confidence of each.
        drop_upper: upper bound of the drop.
        smallest_provable_drop: the same bound for a candidate without a true drop that changes as many scores.
    """

    confidence: float
    drop_upper: float
    smallest_provable_drop: float


class Figure(Document):
    """A figure of a whole set of answers, which is reported and not held against any limit.

    Args:
        name: name of the figure, such as macro F1.
        value: figure of the candidate.
        float_value: figure of float.
        unit: unit of both; empty where they have none.
    """

    name: str
    value: float
    float_value: float
    unit: str = ""


class QualityReport(Document):
    """The comparison of a candidate's decisions with those of float, on the same examples.

    Args:
        metric: name of the mean score, such as accuracy; `AGREEMENT` where the examples have no labels.
        examples: number of examples.
        accuracy: mean score of the candidate: the share of right answers, where an answer is right or wrong.
        float_accuracy: mean score of float.
        drop: float_accuracy - accuracy.
        interval_lower: lower end of the two-sided 95 % interval of the drop.
        interval_upper: upper end of the two-sided 95 % interval of the drop.
        drop_upper: one-sided upper bound of the drop for this candidate alone. The budget is compared with the
            `adjusted_drop_upper` of a verdict, which accounts for all candidates that were compared.
        confidence: confidence of the bound of this candidate alone.
        flips: number of examples with another decision, such as another label, right or wrong.
        lost: number of examples with a higher score in float: those that float gets right and the candidate wrong.
        gained: number of examples with a lower score in float.
        confident_flips: number of flips where float was sure of its decision: in classification, where its two most
            probable classes lie at least `CONFIDENT_MARGIN` apart. None where decisions have no confidence.
        near_tie_flips: number of flips where they lie less than `NEAR_TIE_MARGIN` apart; None likewise.
        smallest_provable_drop: budget below which so many examples prove nothing about this candidate.
        worst_class: index of the group of examples, such as a class, whose own score drops most; the first of several.
        worst_class_name: name of that group.
        worst_class_drop: drop of that group, as a fraction of its examples.
        worst_class_examples: number of examples of that group.
        divergence: distance of the candidate's answers from float's, in the task's unit: in classification the mean
            Kullback-Leibler divergence, in nats.
        calibration_error: expected calibration error of the candidate; None where there are no probabilities, or no
            labels to hold them against.
        float_calibration_error: expected calibration error of float; None likewise.
        bounds: bounds by confidence, the lowest first, where scores lie between 0 and 1; empty where all are 0 or 1.
        score_interval: two-sided 95 % interval of the mean score of the candidate, likewise; else None.
        figures: figures of the whole set that the task reports besides.
    """

    metric: str = "accuracy"
    examples: int
    accuracy: float
    float_accuracy: float
    drop: float
    interval_lower: float
    interval_upper: float
    drop_upper: float
    confidence: float
    flips: int
    lost: int
    gained: int
    confident_flips: int | None
    near_tie_flips: int | None
    smallest_provable_drop: float
    worst_class: int
    worst_class_name: str
    worst_class_drop: float
    worst_class_examples: int
    divergence: float
    calibration_error: float | None
    float_calibration_error: float | None
    bounds: tuple[Bound, ...] = ()
    score_interval: tuple[float, float] | None = None
    figures: tuple[Figure, ...] = ()

    @model_serializer(mode="wrap")
    def _without_the_empty(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the fields of other tasks."""
        document: dict[str, Any] = serialize(self)
        return {name: value for name, value in document.items() if value or name not in _OF_OTHER_TASKS}

    @property
    def judged_by(self) -> JudgedBy:
        """What decisions were held against."""
        return judged_by(self.metric)

    @property
    def confident_share(self) -> float:
        """The confident flips as a share of all examples, which is compared with the limit."""
        return (self.confident_flips or 0) / self.examples

    def interval(self) -> tuple[float, float]:
        """The two-sided 95 % interval of the candidate's mean score."""
        if self.score_interval is not None:
            return self.score_interval
        return accuracy_interval(right=round(self.accuracy * self.examples), examples=self.examples)

    def upper_bound(self, confidence: float) -> float:
        """The one-sided upper bound of the drop, as a fraction, that holds with a confidence."""
        if self.bounds:
            return self._kept(confidence).drop_upper
        return drop_bounds(lost=self.lost, gained=self.gained, examples=self.examples, confidence=confidence)[1]

    def smallest_provable(self, confidence: float) -> float:
        """The same bound for a candidate without a true drop that changes as many scores."""
        if self.bounds:
            return self._kept(confidence).smallest_provable_drop
        discordant = self.lost + self.gained
        return smallest_provable_drop(discordant=discordant, examples=self.examples, confidence=confidence)

    def _kept(self, confidence: float) -> Bound:
        """The bound that was kept of that confidence, or of the next higher one; 1 is a bound of any confidence."""
        kept = [bound for bound in self.bounds if bound.confidence >= confidence - _ROUNDING]
        return kept[0] if kept else Bound(confidence=confidence, drop_upper=1.0, smallest_provable_drop=1.0)


def judged_by(metric: str) -> JudgedBy:
    """Say what decisions were held against where their mean score has this name."""
    return "agreement with float" if metric == AGREEMENT else "targets"


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
