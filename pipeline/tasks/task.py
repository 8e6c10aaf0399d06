"""The interface of a task: targets, losses, scores and decisions. Everything else is the same for all tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.activation import Activation
from pipeline.recipe.names import LossName
from pipeline.recipe.task import TaskName, TaskSettings
from pipeline.tasks.coverage import Coverage
from pipeline.tasks.metrics import TaskMetrics, WrongAnswer
from pipeline.tasks.quality import QualityReport
from pipeline.tasks.words import DecisionWords

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.tasks.loss import Criterion, Loss


class Task(Protocol):
    """A task with its settings.

    Outputs come from a network, (N, K) or (B, K) float32; targets are what a data set calls labels, (N, ...). Scores
    lie between 0 and 1, and higher is better: the budget bounds how far their mean may drop.
    """

    @property
    def name(self) -> TaskName:
        """The task's name in recipes and archives."""

    @property
    def settings(self) -> TaskSettings:
        """The section of the recipe that the task was made from."""

    @property
    def metric(self) -> str:
        """The name of the mean score, such as accuracy."""

    @property
    def words(self) -> DecisionWords:
        """The words in which reports tell of its decisions."""

    @property
    def plain_loss_name(self) -> str:
        """The name of `plain_loss`, such as cross-entropy."""

    @property
    def error_name(self) -> str:
        """What the error of a wrong answer is, with its unit; `wrong_answers` sorts by it."""

    @property
    def decides_by_largest(self) -> bool:
        """Whether the largest output is a decision, which a lossless step must keep."""

    @property
    def has_units(self) -> bool:
        """Whether each output has a unit of its own, so that differences of one say nothing of another."""

    @property
    def activations(self) -> tuple[Activation, ...]:
        """The activations that outputs may be declared to have."""

    # Targets.

    def check_names(self, where: str, names: Sequence[str], *, key: str) -> None:
        """Check the names of the outputs of a data set or a model, one per output.

        Args:
            where: place of the names, for messages.
            names: names to check.
            key: what the user calls them there.

        Raises:
            DataError: there are too few names, or this task cannot have them.
        """

    def check_targets(self, where: str, targets: Any, *, exactly: bool) -> None:
        """Check the type and shape of targets, but not their values.

        Args:
            where: place of the targets, for messages.
            targets: targets of a split, or of a whole data set.
            exactly: whether they must be as a split stores them; else anything that `stored` can convert will do.

        Raises:
            DataError: the targets are something else; the message says what, and what to do.
        """

    def check_values(self, where: str, targets: NDArray[Any], *, outputs: int) -> None:
        """Check the values of targets, in the form that a split stores, for so many outputs.

        Raises:
            DataError: a value has no meaning for this task.
        """

    def stored(self, targets: NDArray[Any]) -> NDArray[Any]:
        """Convert checked targets to the form that a split stores."""

    def targets_of(self, outputs: NDArray[Any], *, activation: Activation) -> NDArray[Any]:
        """Make targets, in the form that a split stores, that these outputs meet in full: their own decisions.

        Where a data set has no labels, the float network's outputs are judged so: each scores 1.

        Args:
            outputs: outputs of the float network.
            activation: activation that they already have.
        """

    def strata(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """The groups (N,) that each split holds in the same shares."""

    def counts(self, targets: NDArray[Any], *, outputs: int) -> tuple[int, ...]:
        """The number of examples by group; empty where this task has no groups."""

    def coverage(self, counts: Sequence[int], names: Sequence[str]) -> Coverage:
        """The groups of which a split holds too few examples, from `counts`."""

    def fit_settings(self, targets: NDArray[Any] | None, *, names: Sequence[str]) -> TaskSettings:
        """The settings, checked against a data set, with what they leave to its training data.

        Args:
            targets: targets of the training split, in the form that it stores; None where there are none.
            names: names of the outputs.

        Raises:
            UsageError: a setting does not fit these outputs.
            DataError: nothing can be learned from these targets.
        """

    # The network.

    def reshaping(self, shape: tuple[int, ...], *, rows: int, outputs: int) -> str:
        """Advice on answers of another shape than (rows, outputs), as the end of a message."""

    # Training, in torch.

    def standard(self, targets: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """The middle and the spread of the targets of each output, (K,) each, in whose units a network trains best.

        It is None where outputs are not in the unit of the targets, as logits are not.

        Args:
            targets: what is trained on; the settings may say otherwise.
        """

    def criterion(
        self,
        *,
        activation: Activation,
        label_smoothing: float,
        loss: LossName | None = None,
        weights_K: Tensor | None = None,
    ) -> Criterion:
        """The loss that training minimises where the recipe brings no loss of its own.

        Args:
            activation: activation that the outputs already have.
            label_smoothing: share of the target that is spread over all classes.
            loss: one of the built-in losses that this task has; its own if None.
            weights_K: weight of each class, where the task has classes; None for the same weight for all.

        Raises:
            UsageError: this task has no such loss, or none for such outputs.
        """

    def loss_name(self, *, label_smoothing: float, loss: LossName | None = None) -> str:
        """The name of that loss in words, with its unit."""

    def plain_loss(self, outputs_BK: Tensor, targets_B: Tensor, *, activation: Activation) -> Tensor:
        """The sum over examples of the loss that is reported whatever is minimised, a scalar."""

    def score_sum(self, outputs_BK: Tensor, targets_B: Tensor, *, activation: Activation) -> Tensor:
        """The sum of the scores, a scalar."""

    def trained_on(self, targets: NDArray[Any] | None) -> Self:
        """The task with the name that the mean score has where a network is trained on such targets."""

    def distillation(
        self,
        teacher_VNK: Tensor,
        *,
        temperature: float,
        label_weight: float,
        criterion: Criterion,
        activation: Activation,
    ) -> Loss:
        """The loss that fine-tuning minimises.

        Args:
            teacher_VNK: outputs of the float network, per copy and example.
            temperature: temperature that softens both networks' answers, where the task has one.
            label_weight: share of the targets' own loss.
            criterion: loss of the targets.
            activation: activation that the outputs of both networks already have.
        """

    # Judgement, in numpy.

    def scores(self, outputs: NDArray[Any], targets: NDArray[Any], *, activation: Activation) -> NDArray[np.float64]:
        """The score of each example, (N,)."""

    def interval(self, scores: NDArray[np.float64]) -> tuple[float, float]:
        """The two-sided 95 % interval of the mean of scores (N,)."""

    def disagreements(
        self, outputs: NDArray[Any], other_outputs: NDArray[Any], *, activation: Activation
    ) -> NDArray[np.bool_]:
        """Whether each example gets different decisions from two networks, (N,)."""

    def divergence(self, outputs: NDArray[Any], other_outputs: NDArray[Any], *, activation: Activation) -> float:
        """The distance of two networks' answers to the same examples: 0 for equal answers, without an upper limit."""

    def near_ties(
        self, outputs: NDArray[Any], count: int, *, activation: Activation, targets: NDArray[Any] | None
    ) -> NDArray[np.int64]:
        """The rows with the closest decisions, at most `count`, the closest first.

        Args:
            outputs: outputs of a network.
            count: largest number of rows to return.
            activation: activation that the outputs already have.
            targets: targets of the rows; None where there are none.
        """

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
        """Compare a candidate's decisions with those of float on the same examples.

        Args:
            candidate: name of the candidate, for messages.
            outputs: outputs of the candidate.
            float_outputs: outputs of the float network.
            targets: targets of the examples.
            names: names of the outputs.
            activation: activation that the outputs of both networks already have.
            confidence: confidence of the one-sided bound.

        Raises:
            ProofError: there are no examples, shapes do not fit, or outputs are NaN or infinite.
        """

    # What is reported besides, in numpy.

    def metrics(
        self, outputs: NDArray[Any], targets: NDArray[Any], *, names: Sequence[str], activation: Activation
    ) -> TaskMetrics:
        """Compute the metrics that the field reports for such a task; no limit is held against them.

        Args:
            outputs: outputs of a network, (N, K), finite, with N of 1 or more.
            targets: targets of the examples.
            names: names of the outputs.
            activation: activation that the outputs already have.
        """

    def wrong_answers(
        self, outputs: NDArray[Any], targets: NDArray[Any], *, names: Sequence[str], activation: Activation, count: int
    ) -> tuple[WrongAnswer, ...]:
        """The answers that are most wrong, the worst first, at most `count`; the arguments are as in `metrics`."""
