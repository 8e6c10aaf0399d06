"""Report quality: a lossy step may change numbers, and is judged by the decisions that it changes."""

from __future__ import annotations

from typing import Literal

from pipeline.engine.documents import Document
from pipeline.tasks.intervals import accuracy_interval, drop_bounds, smallest_provable_drop

# Name of the mean score in every task where the data have no labels: answers are judged by the float network's
# decisions. Float's own score is 1 then, whatever it is worth, and says nothing.
AGREEMENT = "agreement with float"
JudgedBy = Literal["targets", "agreement with float"]


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
        lost: number of examples that float gets right and the candidate wrong.
        gained: number of examples that float gets wrong and the candidate right.
        confident_flips: number of flips where float's two most probable classes lie at least `CONFIDENT_MARGIN` apart.
        near_tie_flips: number of flips where they lie less than `NEAR_TIE_MARGIN` apart.
        smallest_provable_drop: budget below which so many examples prove nothing about this candidate.
        worst_class: index of the class whose own accuracy drops most; the first of several.
        worst_class_name: name of that class.
        worst_class_drop: drop of that class, as a fraction of its examples.
        worst_class_examples: number of examples of that class.
        divergence: mean Kullback-Leibler divergence of the candidate's probabilities from float's, in nats.
        calibration_error: expected calibration error of the candidate; None where there are no labels to hold
            probabilities against.
        float_calibration_error: expected calibration error of float; None likewise.
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
    confident_flips: int
    near_tie_flips: int
    smallest_provable_drop: float
    worst_class: int
    worst_class_name: str
    worst_class_drop: float
    worst_class_examples: int
    divergence: float
    calibration_error: float | None
    float_calibration_error: float | None

    @property
    def judged_by(self) -> JudgedBy:
        """What decisions were held against."""
        return judged_by(self.metric)

    @property
    def confident_share(self) -> float:
        """The confident flips as a share of all examples, which is compared with the limit."""
        return self.confident_flips / self.examples

    def interval(self) -> tuple[float, float]:
        """The two-sided 95 % interval of the candidate's accuracy."""
        return accuracy_interval(right=round(self.accuracy * self.examples), examples=self.examples)

    def upper_bound(self, confidence: float) -> float:
        """The one-sided upper bound of the drop, as a fraction, that holds with a confidence."""
        return drop_bounds(lost=self.lost, gained=self.gained, examples=self.examples, confidence=confidence)[1]

    def smallest_provable(self, confidence: float) -> float:
        """The same bound for a candidate without a true drop that changes as many scores."""
        discordant = self.lost + self.gained
        return smallest_provable_drop(discordant=discordant, examples=self.examples, confidence=confidence)


def judged_by(metric: str) -> JudgedBy:
    """Say what decisions were held against where their mean score has this name."""
    return "agreement with float" if metric == AGREEMENT else "targets"
