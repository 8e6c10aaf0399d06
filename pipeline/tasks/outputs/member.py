"""The task `outputs`; `pipeline.tasks.task` explains the methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.activation import Activation
from pipeline._handlers.outputs import OutputSpec
from pipeline.errors import DataError, ProofError, UsageError
from pipeline.recipe.names import LossName
from pipeline.recipe.task import Outputs, TaskName, TaskSettings
from pipeline.tasks.coverage import Coverage
from pipeline.tasks.metrics import TaskMetrics, WrongAnswer, largest_errors
from pipeline.tasks.outputs.agreement import OutputAgreement, agreements
from pipeline.tasks.outputs.quality import judge_quality
from pipeline.tasks.outputs.score import user_scores
from pipeline.tasks.quality import AGREEMENT, QualityReport
from pipeline.tasks.scores import score_interval
from pipeline.tasks.words import DecisionWords

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.tasks.loss import Criterion, Loss

# Torch takes seconds to load, so it is imported only where something is trained.

# Name of the share of outputs, of which every value is inside the tolerance around the labels.
_WITH_LABELS = "agreement with the labels"


@dataclass(frozen=True, kw_only=True)
class OutputsTask:
    """A network's outputs are held against those of float, or scored by the user's own function.

    Args:
        settings: settings of the recipe.
        outputs: outputs of the network; empty before its first call, when only data are checked.
        folder: folder of the recipe, where the module of the user's score lies.
        beside_labels: whether outputs are held against labels that are values of theirs, as while a network is trained
            on these, rather than against float.
    """

    settings: Outputs = field(default_factory=Outputs)
    outputs: tuple[OutputSpec, ...] = ()
    folder: Path = field(default_factory=Path)
    beside_labels: bool = False
    name: ClassVar[TaskName] = "outputs"
    words: ClassVar[DecisionWords] = DecisionWords(
        group="output",
        divergence="distance",
        lost="lower score here than in float",
        longest_group=20,
        legend="flips: examples with a value further\nfrom float's than the tolerance of its output; worst output: the "
        "share of examples in which it has one, in points; distance: root\nmean square difference from float's values, "
        "as a share of their spread; ",
    )
    plain_loss_name: ClassVar[str] = "squared difference"
    error_name: ClassVar[str] = "what the score lacks of 1"
    decides_by_largest: ClassVar[bool] = False
    has_units: ClassVar[bool] = False
    activations: ClassVar[tuple[Activation, ...]] = ("none",)

    def __post_init__(self) -> None:
        """Check that a table of tolerances names the outputs.

        Raises:
            UsageError: an output has no tolerance, or a tolerance no output.
        """
        tolerance, names = self.settings.tolerance, [output.name for output in self.outputs]
        if isinstance(tolerance, dict) and names and sorted(tolerance) != sorted(names):
            raise UsageError(
                f"task.tolerance: expected one for each of the outputs {', '.join(names)}, found "
                f"{', '.join(tolerance) or 'none'}"
            )

    @property
    def metric(self) -> str:
        """The name of the mean score."""
        if self.settings.score is not None:
            return "score"
        return _WITH_LABELS if self.beside_labels else AGREEMENT

    def check_names(self, where: str, names: Sequence[str], *, key: str) -> None:
        """Accept any names: the network says what its outputs are called."""

    def check_targets(self, where: str, targets: Any, *, exactly: bool) -> None:  # noqa: ARG002 - they are stored as they are
        """Check that targets are numbers by example, (N, ...)."""
        expected = f"{where}: labels: expected an array of numbers, examples first, or none"
        if not isinstance(targets, np.ndarray):
            raise DataError(f"{expected}, found {type(targets).__name__}; give np.asarray(labels)")
        if not targets.ndim or targets.dtype.kind not in "biuf":
            raise DataError(f"{expected}, found {targets.dtype} {targets.shape}; encode them as numbers")

    def check_values(self, where: str, targets: NDArray[Any], *, outputs: int) -> None:
        """Accept any values: the user's score says what they mean."""

    def stored(self, targets: NDArray[Any]) -> NDArray[Any]:
        """The targets as they are."""
        return np.ascontiguousarray(targets)

    def targets_of(self, outputs: NDArray[Any], *, activation: Activation) -> NDArray[Any]:  # noqa: ARG002 - values are compared
        """The outputs themselves."""
        return np.ascontiguousarray(outputs, dtype=np.float32)

    def strata(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """One group of all."""
        return np.zeros(len(targets), dtype=np.int64)

    def counts(self, targets: NDArray[Any], *, outputs: int) -> tuple[int, ...]:  # noqa: ARG002 - there are no groups
        """No groups."""
        return ()

    def coverage(self, counts: Sequence[int], names: Sequence[str]) -> Coverage:  # noqa: ARG002 - there are no groups
        """No groups, so none is missing."""
        return Coverage(absent=(), scarce={})

    def fit_settings(self, targets: NDArray[Any] | None, *, names: Sequence[str]) -> TaskSettings:  # noqa: ARG002
        """The settings, where the data have the labels that a score needs."""
        if targets is None and self.settings.score is not None:
            raise UsageError(
                f"task.score {self.settings.score}: expected data with labels to give it, found none; leave it out: "
                "candidates are judged by agreement with the float network"
            )
        return self.settings

    def reshaping(self, shape: tuple[int, ...], *, rows: int, outputs: int) -> str:  # noqa: ARG002
        """Advice on answers of another shape; here any shape with an axis of examples will do."""
        return "as many examples must come out, along the first axis, as went in"

    def standard(self, targets: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:  # noqa: ARG002
        """None: what targets mean is not known."""
        return None

    def criterion(
        self,
        *,
        activation: Activation,  # noqa: ARG002 - outputs are values
        label_smoothing: float,  # noqa: ARG002
        loss: LossName | None = None,
        weights_K: Tensor | None = None,  # noqa: ARG002
    ) -> Criterion:
        """The built-in loss that `train.loss` names; without one there is no loss of labels."""
        from pipeline.tasks.outputs.loss import built_in_loss, no_loss

        return no_loss if loss is None else partial(built_in_loss, loss=loss, outputs=self.outputs)

    def loss_name(self, *, label_smoothing: float, loss: LossName | None = None) -> str:  # noqa: ARG002 - nothing is smoothed
        """The name of the loss; without one, that of the distance from float's values."""
        return loss or self.plain_loss_name

    def plain_loss(self, outputs_BK: Tensor, targets_B: Tensor, *, activation: Activation) -> Tensor:  # noqa: ARG002
        """The mean squared difference from float's values; 0 beside other targets, and NaN where the outputs are."""
        if outputs_BK.shape != targets_B.shape:
            return (outputs_BK * 0.0).sum()
        return (outputs_BK - targets_B).square().mean(dim=1).sum()

    def score_sum(self, outputs_BK: Tensor, targets_B: Tensor, *, activation: Activation) -> Tensor:
        """The sum of the scores; where labels are only trained on, the network is float itself, which agrees."""
        import torch

        if self.settings.score is None and outputs_BK.shape != targets_B.shape:
            total = float(len(outputs_BK))
        else:
            total = self.scores(outputs_BK.cpu().numpy(), targets_B.cpu().numpy(), activation=activation).sum()
        return torch.tensor(total, dtype=torch.float32, device=outputs_BK.device)

    def trained_on(self, targets: NDArray[Any] | None) -> Self:
        """The task, whose score is agreement with the labels where these are values of the outputs, (N, K)."""
        width = sum(output.size for output in self.outputs)
        return replace(self, beside_labels=targets is not None and targets.shape[1:] == (width,))

    def distillation(
        self,
        teacher_VNK: Tensor,
        *,
        temperature: float,  # noqa: ARG002 - values are not softened
        label_weight: float,
        criterion: Criterion,
        activation: Activation,  # noqa: ARG002
    ) -> Loss:
        """The squared difference from the teacher's values, each output in its own spread."""
        from pipeline.tasks.outputs.loss import distillation

        return distillation(teacher_VNK, outputs=self.outputs, label_weight=label_weight, criterion=criterion)

    def scores(
        self,
        outputs: NDArray[Any],
        targets: NDArray[Any],
        *,
        activation: Activation,  # noqa: ARG002
    ) -> NDArray[np.float64]:
        """The user's score, or the share of the outputs of which every value is as float has it."""
        if self.settings.score is None:
            agreeing = [output.agrees for output in self._beside(outputs, targets)]
            shares: NDArray[np.float64] = np.mean(agreeing, axis=0, dtype=np.float64)
            return shares
        return user_scores(
            self.settings.score,
            self.folder,
            outputs,
            targets,
            outputs=self.outputs,
            score_range=self.settings.score_range or (0.0, 1.0),
        )

    def interval(self, scores: NDArray[np.float64]) -> tuple[float, float]:
        """Wilson's score interval where all scores are 0 or 1, else one by betting."""
        return score_interval(scores)

    def disagreements(
        self,
        outputs: NDArray[Any],
        other_outputs: NDArray[Any],
        *,
        activation: Activation,  # noqa: ARG002
    ) -> NDArray[np.bool_]:
        """Two networks disagree where a value of any output is further away than its tolerance."""
        beyond = [~output.agrees for output in self._beside(outputs, other_outputs)]
        disagreements: NDArray[np.bool_] = np.any(beyond, axis=0)
        return disagreements

    def divergence(self, outputs: NDArray[Any], other_outputs: NDArray[Any], *, activation: Activation) -> float:  # noqa: ARG002
        """The root mean square difference as a share of the first's spread, the mean over outputs."""
        return float(np.mean([output.distance for output in self._beside(other_outputs, outputs)]))

    def near_ties(
        self,
        outputs: NDArray[Any],  # noqa: ARG002 - nothing is decided
        count: int,  # noqa: ARG002
        *,
        activation: Activation,  # noqa: ARG002
        targets: NDArray[Any] | None,  # noqa: ARG002
    ) -> NDArray[np.int64]:
        """No rows: values do not tie."""
        return np.zeros(0, dtype=np.int64)

    def judge(
        self,
        *,
        candidate: str,
        outputs: NDArray[Any],
        float_outputs: NDArray[Any],
        targets: NDArray[Any],
        names: Sequence[str],  # noqa: ARG002 - the outputs have names
        activation: Activation,
        confidence: float = 0.95,
    ) -> QualityReport:
        """Compare the candidate's outputs with those of float; see `judge_quality`."""
        if not len(outputs) or outputs.shape != float_outputs.shape or len(targets) != len(outputs):
            raise ProofError(
                f"{candidate}: quality: expected outputs of float and candidate of one shape (N, K) with N of 1 or "
                f"more, and as many targets, found {float_outputs.shape}, {outputs.shape} and {targets.shape}"
            )
        for name, values in ((candidate, outputs), ("float", float_outputs)):
            broken = int((~np.isfinite(values)).any(axis=1).sum())
            if broken:
                raise ProofError(
                    f"{name}: quality: expected finite outputs, found NaN or infinity on {broken} examples"
                )
        judged = targets if self.settings.score is not None else float_outputs
        return judge_quality(
            metric=self.metric,
            scores=self.scores(outputs, judged, activation=activation),
            float_scores=self.scores(float_outputs, judged, activation=activation),
            outputs=self._beside(outputs, float_outputs),
            confidence=confidence,
        )

    def metrics(
        self,
        outputs: NDArray[Any],
        targets: NDArray[Any],
        *,
        names: Sequence[str],  # noqa: ARG002 - what outputs mean is not known
        activation: Activation,
    ) -> TaskMetrics:
        """The mean score alone."""
        scores = self.scores(outputs, targets, activation=activation)
        return TaskMetrics(metric=self.metric, score=float(scores.mean()), examples=len(scores))

    def wrong_answers(
        self,
        outputs: NDArray[Any],
        targets: NDArray[Any],
        *,
        names: Sequence[str],  # noqa: ARG002 - what outputs mean is not known
        activation: Activation,
        count: int,
    ) -> tuple[WrongAnswer, ...]:
        """The answers with the lowest scores below 1."""
        errors = 1 - self.scores(outputs, targets, activation=activation)
        return tuple(
            WrongAnswer(example=row, error=float(errors[row]), right="score 1", answered=f"score {1 - errors[row]:.4g}")
            for row in largest_errors(errors, errors > 0, count)
        )

    def _beside(self, answers: NDArray[Any], reference: NDArray[Any]) -> list[OutputAgreement]:
        return agreements(answers, reference, self.outputs, self.settings.tolerance)
