"""What a task must say of targets, losses, scores and decisions; everything else is the same for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.activation import Activation
from pipeline.recipe.task import TaskName, TaskSettings
from pipeline.tasks.coverage import Coverage
from pipeline.tasks.quality import QualityReport

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.tasks.loss import Criterion, Loss


class Task(Protocol):
    """A task with its settings.

    Outputs are those of a network, (N, K) or (B, K) float32; targets are what a data set calls labels, (N, ...). Scores
    are from 0 to 1, higher is better: the budget bounds how far their mean may drop.
    """

    @property
    def name(self) -> TaskName:
        """The task's name in recipes and archives."""

    @property
    def settings(self) -> TaskSettings:
        """The section of the recipe that it was made from."""

    @property
    def metric(self) -> str:
        """What the mean score is called, such as accuracy."""

    @property
    def plain_loss_name(self) -> str:
        """What `plain_loss` is called, such as cross-entropy."""

    @property
    def decides_by_largest(self) -> bool:
        """Whether the largest output is a decision, which a lossless step must keep."""

    @property
    def activations(self) -> tuple[Activation, ...]:
        """What outputs may be declared as."""

    # Targets.

    def check_names(self, where: str, names: Sequence[str]) -> None:
        """Check the names of the outputs of a data set or a model, one per output.

        Raises:
            DataError: too few, or not what this task names.
        """

    def check_targets(self, where: str, targets: Any, *, exactly: bool) -> None:
        """Check what targets are, but not their values.

        Args:
            where: for messages.
            targets: of a split, or of a whole data set.
            exactly: whether they must be as a split stores them; else what `stored` can convert will do.

        Raises:
            DataError: they are something else; the message says what, and what to do.
        """

    def check_values(self, where: str, targets: NDArray[Any], *, outputs: int) -> None:
        """Check the values of targets that are as a split stores them, for so many outputs.

        Raises:
            DataError: a value that this task has no meaning for.
        """

    def stored(self, targets: NDArray[Any]) -> NDArray[Any]:
        """Checked targets as a split stores them."""

    def strata(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """Groups (N,) that each split holds in the same shares."""

    def counts(self, targets: NDArray[Any], *, outputs: int) -> tuple[int, ...]:
        """Examples by group; empty where this task has no groups."""

    def coverage(self, counts: Sequence[int], names: Sequence[str]) -> Coverage:
        """Which groups a split holds too little of, from `counts`."""

    # The network.

    def reshaping(self, shape: tuple[int, ...], *, rows: int, outputs: int) -> str:
        """What to do about answers of another shape than (rows, outputs), as the end of a message."""

    # Training, in torch.

    def criterion(self, *, activation: Activation, label_smoothing: float) -> Criterion:
        """What training minimises where the recipe brings no loss of its own."""

    def loss_name(self, *, label_smoothing: float) -> str:
        """The same in words, with its unit."""

    def plain_loss(self, outputs_BK: Tensor, targets_B: Tensor, *, activation: Activation) -> Tensor:
        """The sum over examples of the loss that is reported whatever is minimised, a scalar."""

    def score_sum(self, outputs_BK: Tensor, targets_B: Tensor) -> Tensor:
        """The sum of the scores, a scalar."""

    def distillation(
        self,
        teacher_VNK: Tensor,
        *,
        temperature: float,
        label_weight: float,
        criterion: Criterion,
        activation: Activation,
    ) -> Loss:
        """What fine-tuning minimises.

        Args:
            teacher_VNK: the float network's outputs, per copy and example.
            temperature: softens both networks' answers, where the task knows such a thing.
            label_weight: share of the targets' own loss.
            criterion: that loss.
            activation: what the outputs of both are already.
        """

    # Judgement, in numpy.

    def scores(self, outputs: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.float64]:
        """A score of each example, (N,)."""

    def interval(self, scores: NDArray[np.float64]) -> tuple[float, float]:
        """Two-sided 95 % interval of the mean of scores (N,)."""

    def disagreements(self, outputs: NDArray[Any], others: NDArray[Any]) -> NDArray[np.bool_]:
        """Which examples get another decision from one network than from another, (N,)."""

    def divergence(self, outputs: NDArray[Any], others: NDArray[Any], *, activation: Activation) -> float:
        """How far two networks' answers to the same examples are apart: 0 for the same, no upper end."""

    def near_ties(self, outputs: NDArray[Any], count: int) -> NDArray[np.int64]:
        """Rows whose decision hangs on least, at most so many, the nearest first."""

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
            candidate: its name, for messages.
            outputs: the candidate's.
            float_outputs: of the float network.
            targets: of the examples.
            names: of the outputs.
            activation: what the outputs of both are already.
            confidence: of the one-sided bound.

        Raises:
            ProofError: no examples, shapes that do not fit, or outputs that are NaN or infinite.
        """
