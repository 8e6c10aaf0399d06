"""The task `multi-label`; `pipeline.tasks.task` explains the methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self, assert_never

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.activation import Activation, label_probabilities
from pipeline.errors import DataError, UsageError
from pipeline.recipe.names import LossName
from pipeline.recipe.task import MultiLabel, TaskName, TaskSettings
from pipeline.tasks.coverage import Coverage, coverage
from pipeline.tasks.metrics import TaskMetrics, WrongAnswer
from pipeline.tasks.multi_label.metrics import label_metrics, wrong_answers
from pipeline.tasks.multi_label.quality import (
    decisions,
    divergence_between,
    example_f1,
    judge_quality,
    label_margins,
)
from pipeline.tasks.multi_label.targets import check_labels, check_values, rarest_labels, reshaping
from pipeline.tasks.quality import QualityReport
from pipeline.tasks.refusals import no_such_loss
from pipeline.tasks.scores import score_interval
from pipeline.tasks.words import DecisionWords

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.tasks.loss import Criterion, Loss

# Torch takes seconds to load, so it is imported only where something is trained.


@dataclass(frozen=True, kw_only=True)
class MultiLabelTask:
    """Each example has any number of labels; the network has an output for each, and gives those above a threshold."""

    settings: MultiLabel = field(default_factory=MultiLabel)
    name: ClassVar[TaskName] = "multi-label"
    metric: ClassVar[str] = "F1"
    words: ClassVar[DecisionWords] = DecisionWords(
        group="label",
        divergence="KL",
        lost="lower F1 here than in float",
        legend="confident: a label changed of which\nfloat was sure, at least half of the way from the threshold to "
        "certainty (limit {limit} of the examples); near ties: less than\na tenth of it; worst label: the drop of the "
        "examples that have it, in points; KL in nats;\n",
    )
    plain_loss_name: ClassVar[str] = "binary cross-entropy"
    error_name: ClassVar[str] = "binary cross-entropy in nats"
    decides_by_largest: ClassVar[bool] = False
    has_units: ClassVar[bool] = False
    activations: ClassVar[tuple[Activation, ...]] = ("none", "sigmoid")

    def check_names(self, where: str, names: Sequence[str], *, key: str) -> None:
        """Check that there is a label."""
        if not names:
            raise DataError(f"{where}: {key}: expected at least 1, found none")

    def check_targets(self, where: str, targets: Any, *, exactly: bool) -> None:
        """Check that targets are 0 or 1 for each label, (N, K) uint8 or any numbers."""
        check_labels(where, targets, exactly=exactly)

    def check_values(self, where: str, targets: NDArray[Any], *, outputs: int) -> None:
        """Check that there is a column for each label, and that values are 0 or 1."""
        check_values(where, targets, outputs=outputs)

    def stored(self, targets: NDArray[Any]) -> NDArray[Any]:
        """The targets as uint8; a value other than 0 and 1 becomes 2, which the check of values names."""
        return np.where(targets == 1, 1, np.where(targets == 0, 0, 2)).astype(np.uint8)

    def targets_of(self, outputs: NDArray[Any], *, activation: Activation) -> NDArray[Any]:
        """The labels that these outputs give."""
        return self._given(outputs, activation).astype(np.uint8)

    def strata(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """The rarest label of each example."""
        return rarest_labels(targets)

    def counts(self, targets: NDArray[Any], *, outputs: int) -> tuple[int, ...]:  # noqa: ARG002 - one column each
        """The number of examples with each label."""
        return tuple(int(count) for count in targets.sum(axis=0, dtype=np.int64))

    def coverage(self, counts: Sequence[int], names: Sequence[str]) -> Coverage:
        """The labels that no example of a split has, or too few."""
        return coverage(counts, names, group="label")

    def fit_settings(self, targets: NDArray[Any] | None, *, names: Sequence[str]) -> TaskSettings:  # noqa: ARG002
        """The settings, where there is one threshold or one for each label."""
        if len(self.settings.threshold) not in (1, len(names)):
            raise UsageError(
                f"task.threshold: expected 1 number or {len(names)}, one per label, found "
                f"{len(self.settings.threshold)}; the labels are {', '.join(names)}"
            )
        return self.settings

    def reshaping(self, shape: tuple[int, ...], *, rows: int, outputs: int) -> str:
        """Advice on answers whose shape is not (examples, labels)."""
        return reshaping(shape, rows, outputs)

    def standard(self, targets: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:  # noqa: ARG002
        """None: outputs are logits or probabilities."""
        return None

    def criterion(
        self,
        *,
        activation: Activation,
        label_smoothing: float,
        loss: LossName | None = None,
        weights_K: Tensor | None = None,
    ) -> Criterion:
        """The binary cross-entropy with the labels."""
        from pipeline.tasks.multi_label.loss import labels_loss

        match loss:
            case None | "bce-with-logits":
                return partial(labels_loss, activation=activation, label_smoothing=label_smoothing, weights_K=weights_K)
            case "cross-entropy" | "mse" | "l1" | "smooth-l1":
                raise no_such_loss(loss, self.settings)
            case _:
                assert_never(loss)

    def loss_name(self, *, label_smoothing: float, loss: LossName | None = None) -> str:  # noqa: ARG002 - it has one
        """The name of the binary cross-entropy, with its smoothing."""
        smoothing = f" with label smoothing {label_smoothing:g}," if label_smoothing else ""
        return f"binary cross-entropy{smoothing} in nats"

    def plain_loss(self, outputs_BK: Tensor, targets_B: Tensor, *, activation: Activation) -> Tensor:
        """The binary cross-entropy without smoothing, in nats."""
        from pipeline.tasks.multi_label.loss import labels_loss

        return labels_loss(outputs_BK, targets_B, activation=activation, reduction="sum")

    def score_sum(self, outputs_BK: Tensor, targets_B: Tensor, *, activation: Activation) -> Tensor:
        """The sum of the F1 scores of the examples."""
        from pipeline.tasks.multi_label.loss import f1_sum

        return f1_sum(outputs_BK, targets_B, activation=activation, thresholds=self.settings.threshold)

    def trained_on(self, targets: NDArray[Any] | None) -> Self:  # noqa: ARG002 - it has one name
        """The task itself."""
        return self

    def distillation(
        self,
        teacher_VNK: Tensor,
        *,
        temperature: float,
        label_weight: float,
        criterion: Criterion,
        activation: Activation,
    ) -> Loss:
        """The divergence from the teacher's softened probability of each label."""
        from pipeline.tasks.multi_label.loss import distillation

        return distillation(
            teacher_VNK,
            temperature=temperature,
            label_weight=label_weight,
            criterion=criterion,
            activation=activation,
        )

    def scores(self, outputs: NDArray[Any], targets: NDArray[Any], *, activation: Activation) -> NDArray[np.float64]:
        """The F1 score of the labels of each example."""
        return example_f1(self._given(outputs, activation), targets)

    def interval(self, scores: NDArray[np.float64]) -> tuple[float, float]:
        """Wilson's score interval where all scores are 0 or 1, else one by betting."""
        return score_interval(scores)

    def disagreements(
        self, outputs: NDArray[Any], other_outputs: NDArray[Any], *, activation: Activation
    ) -> NDArray[np.bool_]:
        """Two networks disagree where they give other sets of labels."""
        flips: NDArray[np.bool_] = (self._given(outputs, activation) != self._given(other_outputs, activation)).any(
            axis=1
        )
        return flips

    def divergence(self, outputs: NDArray[Any], other_outputs: NDArray[Any], *, activation: Activation) -> float:
        """The mean Kullback-Leibler divergence of the other network's labels from the first's, in nats."""
        return divergence_between(outputs, other_outputs, activation)

    def near_ties(
        self,
        outputs: NDArray[Any],
        count: int,
        *,
        activation: Activation,
        targets: NDArray[Any] | None,  # noqa: ARG002 - a decision is close whatever is right
    ) -> NDArray[np.int64]:
        """The rows with a label whose probability is closest to its threshold."""
        margins = label_margins(label_probabilities(outputs, activation), self._thresholds(outputs.shape[1]))
        return np.argsort(margins.min(axis=1), kind="stable")[:count].astype(np.int64)

    def judge(
        self,
        *,
        candidate: str,
        outputs: NDArray[Any],
        float_outputs: NDArray[Any],
        targets: NDArray[Any],
        names: Sequence[str],
        activation: Activation,
        confidence: float = 0.95,
    ) -> QualityReport:
        """Compare the candidate's labels with those of float; see `judge_quality`."""
        return judge_quality(
            candidate=candidate,
            outputs=outputs,
            float_outputs=float_outputs,
            labels=targets,
            names=names,
            activation=activation,
            thresholds=self._thresholds(len(names)),
            metric=self.metric,
            confidence=confidence,
        )

    def metrics(
        self, outputs: NDArray[Any], targets: NDArray[Any], *, names: Sequence[str], activation: Activation
    ) -> TaskMetrics:
        """Precision, recall and F1 by label and averaged."""
        return label_metrics(self._given(outputs, activation), targets, names=names, metric=self.metric)

    def wrong_answers(
        self, outputs: NDArray[Any], targets: NDArray[Any], *, names: Sequence[str], activation: Activation, count: int
    ) -> tuple[WrongAnswer, ...]:
        """The answers with a wrong label that have the largest binary cross-entropy."""
        shares, thresholds = label_probabilities(outputs, activation), self._thresholds(len(names))
        return wrong_answers(shares, targets, names=names, thresholds=thresholds, count=count)

    def _given(self, outputs: NDArray[Any], activation: Activation) -> NDArray[np.bool_]:
        return decisions(outputs, activation, self._thresholds(outputs.shape[1]))

    def _thresholds(self, labels: int) -> NDArray[np.float64]:
        thresholds: NDArray[np.float64] = np.broadcast_to(np.array(self.settings.threshold, np.float64), (labels,))
        return thresholds
