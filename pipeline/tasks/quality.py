"""Quality: a lossy step may change numbers, and is judged by the decisions it changes."""

from __future__ import annotations

from pipeline.engine.documents import Document
from pipeline.tasks.intervals import accuracy_interval, drop_bounds, smallest_provable_drop


class QualityReport(Document):
    """How a candidate's decisions compare with those of float, on the same labelled examples.

    Args:
        metric: what the mean score is called, such as accuracy.
        examples: number of them.
        accuracy: mean score of the candidate: the share of right answers, where an answer is right or wrong.
        float_accuracy: the same of float.
        drop: float_accuracy - accuracy.
        interval_lower: lower end of the two-sided 95 % interval of the drop.
        interval_upper: upper end of the two-sided 95 % interval of the drop.
        drop_upper: one-sided upper bound of the drop, for this candidate looked at alone. What is held against the
            budget is the `adjusted_drop_upper` of a verdict, which accounts for all candidates that were compared.
        confidence: of the bound of this candidate alone.
        flips: examples with another decision, such as another label, right or wrong.
        lost: examples right in float and wrong in the candidate.
        gained: examples wrong in float and right in the candidate.
        confident_flips: flips where float's two most probable classes lay at least `CONFIDENT_MARGIN` apart.
        near_tie_flips: flips where they lay less than `NEAR_TIE_MARGIN` apart.
        smallest_provable_drop: the budget below which so many examples prove nothing about this candidate.
        worst_class: index of the class whose own accuracy drops most; the first of several.
        worst_class_name: its name.
        worst_class_drop: that drop, as a fraction of the examples of the class.
        worst_class_examples: of the class.
        divergence: mean Kullback-Leibler divergence of the candidate's probabilities from float's, in nats.
        calibration_error: expected calibration error of the candidate.
        float_calibration_error: expected calibration error of float.
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
    calibration_error: float
    float_calibration_error: float

    @property
    def confident_share(self) -> float:
        """Confident flips as a share of all examples: what is held against the limit."""
        return self.confident_flips / self.examples

    def interval(self) -> tuple[float, float]:
        """Two-sided 95 % interval of the candidate's accuracy."""
        return accuracy_interval(right=round(self.accuracy * self.examples), examples=self.examples)

    def upper_bound(self, confidence: float) -> float:
        """One-sided upper bound of the drop, as a fraction, that holds with a confidence."""
        return drop_bounds(lost=self.lost, gained=self.gained, examples=self.examples, confidence=confidence)[1]

    def smallest_provable(self, confidence: float) -> float:
        """The same bound of a candidate without a true drop that changes as many scores."""
        discordant = self.lost + self.gained
        return smallest_provable_drop(discordant=discordant, examples=self.examples, confidence=confidence)
