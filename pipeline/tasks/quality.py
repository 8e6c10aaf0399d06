"""Report quality: a lossy step may change numbers, and is judged by the decisions that it changes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from pipeline.engine.documents import Document
from pipeline.tasks.intervals import accuracy_interval, drop_bounds, smallest_provable_drop

# Name of the mean score in every task where the data have no labels: answers are judged by the float network's
# decisions. Float's own score is 1 then, whatever it is worth, and says nothing.
AGREEMENT = "agreement with float"
JudgedBy = Literal["targets", "agreement with float"]
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
