"""The task `classification`; `pipeline.tasks.task` explains the methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self, assert_never

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.activation import ACTIVATIONS, Activation
from pipeline.errors import DataError
from pipeline.recipe.names import LossName
from pipeline.recipe.task import Classification, TaskName, TaskSettings
from pipeline.tasks.classification.metrics import class_metrics, wrong_answers
from pipeline.tasks.classification.quality import divergence_between, judge_quality, near_ties
from pipeline.tasks.classification.targets import check_labels, reshaping
from pipeline.tasks.coverage import Coverage, coverage
from pipeline.tasks.metrics import TaskMetrics, WrongAnswer
from pipeline.tasks.quality import QualityReport
from pipeline.tasks.refusals import no_such_loss, require_logits
from pipeline.tasks.scores import score_interval
from pipeline.tasks.words import DecisionWords

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.tasks.loss import Criterion, Loss

# Torch takes seconds to load, so it is imported only where something is trained.


@dataclass(frozen=True, kw_only=True)
class ClassificationTask:
    """Each example has one class; the network has an output for each, and decides by the largest."""

    settings: Classification = field(default_factory=Classification)
    name: ClassVar[TaskName] = "classification"
    metric: ClassVar[str] = "accuracy"
    words: ClassVar[DecisionWords] = DecisionWords(
        group="class",
        divergence="KL",
        lost="right in float, wrong here",
        legend="confident: float's top two at least 0.5\napart (limit {limit} of the examples); near ties: less than "
        "0.1 apart; worst class: its own drop in points; KL in nats;\n",
    )
    plain_loss_name: ClassVar[str] = "cross-entropy"
    error_name: ClassVar[str] = "cross-entropy in nats"
    decides_by_largest: ClassVar[bool] = True
    has_units: ClassVar[bool] = False
    activations: ClassVar[tuple[Activation, ...]] = ACTIVATIONS

    def check_names(self, where: str, names: Sequence[str], *, key: str) -> None:
        """Check that there are at least two classes."""
        if len(names) < 2:
            raise DataError(f"{where}: {key}: expected at least 2, found {len(names)}")

    def check_targets(self, where: str, targets: Any, *, exactly: bool) -> None:
        """Check that targets are a class index for each example, (N,) int64 or any integers."""
        check_labels(where, targets, exactly=exactly)

    def check_values(self, where: str, targets: NDArray[Any], *, outputs: int) -> None:
        """Check that indices lie between 0 and one below the number of classes."""
        if targets.min() < 0 or targets.max() >= outputs:
            raise DataError(
                f"{where}: labels: expected class indices 0 to {outputs - 1}, "
                f"found {targets.min()} to {targets.max()}; they count from 0"
            )

    def stored(self, targets: NDArray[Any]) -> NDArray[Any]:
        """The targets as int64."""
        return targets.astype(np.int64)

    def targets_of(self, outputs: NDArray[Any], *, activation: Activation) -> NDArray[Any]:  # noqa: ARG002
        """The classes that outputs (N, K) decide for, (N,) int64."""
        classes: NDArray[np.int64] = outputs.argmax(axis=1).astype(np.int64)
        return classes

    def strata(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """The classes themselves."""
        return targets.astype(np.int64)

    def counts(self, targets: NDArray[Any], *, outputs: int) -> tuple[int, ...]:
        """The number of examples by class."""
        return tuple(int(count) for count in np.bincount(targets, minlength=outputs))

    def coverage(self, counts: Sequence[int], names: Sequence[str]) -> Coverage:
        """The classes of which a split holds no examples or too few."""
        return coverage(counts, names)

    def fit_settings(self, targets: NDArray[Any] | None, *, names: Sequence[str]) -> TaskSettings:  # noqa: ARG002
        """The settings themselves: there are none."""
        return self.settings

    def reshaping(self, shape: tuple[int, ...], *, rows: int, outputs: int) -> str:
        """Advice on answers whose shape is not (examples, classes)."""
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
        """The cross-entropy with the labels, or the binary one of each class with "it is this one"."""
        from pipeline.tasks.classification.loss import binary_loss, labels_loss

        match loss:
            case None | "cross-entropy":
                return partial(labels_loss, activation=activation, label_smoothing=label_smoothing, weights_K=weights_K)
            case "bce-with-logits":
                require_logits(activation)
                return partial(binary_loss, label_smoothing=label_smoothing, weights_K=weights_K)
            case "mse" | "l1" | "smooth-l1":
                raise no_such_loss(loss, self.settings)
            case _:
                assert_never(loss)

    def loss_name(self, *, label_smoothing: float, loss: LossName | None = None) -> str:
        """The name of the cross-entropy, with its smoothing."""
        smoothing = f" with label smoothing {label_smoothing:g}," if label_smoothing else ""
        return f"{'binary ' if loss == 'bce-with-logits' else ''}cross-entropy{smoothing} in nats"

    def plain_loss(self, outputs_BK: Tensor, targets_B: Tensor, *, activation: Activation) -> Tensor:
        """The cross-entropy without smoothing, in nats."""
        from pipeline.tasks.classification.loss import labels_loss

        return labels_loss(outputs_BK, targets_B, activation=activation, reduction="sum")

    def score_sum(self, outputs_BK: Tensor, targets_B: Tensor, *, activation: Activation) -> Tensor:  # noqa: ARG002
        """The number of right answers."""
        return (outputs_BK.argmax(dim=1) == targets_B).sum()

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
        """The divergence from the teacher's softened probabilities."""
        from pipeline.tasks.classification.loss import distillation

        return distillation(
            teacher_VNK,
            temperature=temperature,
            label_weight=label_weight,
            criterion=criterion,
            activation=activation,
        )

    def scores(
        self,
        outputs: NDArray[Any],
        targets: NDArray[Any],
        *,
        activation: Activation,  # noqa: ARG002 - the largest output is the most probable class in each
    ) -> NDArray[np.float64]:
        """The score is 1 for a right answer and 0 for a wrong one."""
        right: NDArray[np.float64] = (outputs.argmax(axis=1) == targets).astype(np.float64)
        return right

    def interval(self, scores: NDArray[np.float64]) -> tuple[float, float]:
        """Wilson's score interval."""
        return score_interval(scores)

    def disagreements(
        self,
        outputs: NDArray[Any],
        other_outputs: NDArray[Any],
        *,
        activation: Activation,  # noqa: ARG002 - as in `scores`
    ) -> NDArray[np.bool_]:
        """Two networks disagree where their labels differ."""
        flips: NDArray[np.bool_] = outputs.argmax(axis=1) != other_outputs.argmax(axis=1)
        return flips

    def divergence(self, outputs: NDArray[Any], other_outputs: NDArray[Any], *, activation: Activation) -> float:
        """The mean Kullback-Leibler divergence of the other network's probabilities from the first's, in nats."""
        return divergence_between(outputs, other_outputs, activation)

    def near_ties(
        self,
        outputs: NDArray[Any],
        count: int,
        *,
        activation: Activation,  # noqa: ARG002 - as in `scores`
        targets: NDArray[Any] | None,  # noqa: ARG002 - a decision is close whatever is right
    ) -> NDArray[np.int64]:
        """The rows whose two largest outputs are closest."""
        return near_ties(outputs, count)

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
            logits=outputs,
            float_logits=float_outputs,
            labels=targets,
            classes=names,
            activation=activation,
            confidence=confidence,
        )

    def metrics(
        self,
        outputs: NDArray[Any],
        targets: NDArray[Any],
        *,
        names: Sequence[str],
        activation: Activation,  # noqa: ARG002 - as in `scores`
    ) -> TaskMetrics:
        """Precision, recall and F1 by class and averaged, the confusion matrix, and the top-5 accuracy."""
        return class_metrics(outputs, targets, names=names, metric=self.metric)

    def wrong_answers(
        self, outputs: NDArray[Any], targets: NDArray[Any], *, names: Sequence[str], activation: Activation, count: int
    ) -> tuple[WrongAnswer, ...]:
        """The wrong answers whose right class has the smallest probability."""
        return wrong_answers(outputs, targets, names=names, activation=activation, count=count)
