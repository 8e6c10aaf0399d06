"""The task `regression`; `pipeline.tasks.task` explains the methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self, assert_never

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.activation import Activation
from pipeline.errors import DataError, ProofError, UsageError
from pipeline.recipe.names import LossName
from pipeline.recipe.task import Regression, TaskName, TaskSettings
from pipeline.tasks.coverage import Coverage
from pipeline.tasks.metrics import TaskMetrics, WrongAnswer
from pipeline.tasks.quality import QualityReport
from pipeline.tasks.refusals import no_such_loss
from pipeline.tasks.regression.metrics import value_metrics, wrong_answers
from pipeline.tasks.regression.quality import all_within, divergence_between, edge_distances, judge_quality
from pipeline.tasks.regression.targets import check_count, check_numbers, check_values, reshaping
from pipeline.tasks.scores import score_interval
from pipeline.tasks.words import DecisionWords

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.tasks.loss import Criterion, Loss

# Torch takes seconds to load, so it is imported only where something is trained.


@dataclass(frozen=True, kw_only=True)
class RegressionTask:
    """Each example has one or several numbers; the network answers each in its unit."""

    settings: Regression = field(default_factory=Regression)
    name: ClassVar[TaskName] = "regression"
    metric: ClassVar[str] = "score within tolerance"
    words: ClassVar[DecisionWords] = DecisionWords(
        group="range",
        longest_group=24,
        divergence="MSE",
        lost="inside the tolerance in float, outside here",
        legend="flips: these, and answers\nfurther than the tolerance from float's; worst range: the drop of one fifth "
        "of the examples, by the size of their targets, in points;\nMSE: mean squared distance from float, in units of "
        "the targets' variance; ",
    )
    plain_loss_name: ClassVar[str] = "squared error"
    error_name: ClassVar[str] = "multiple of the tolerance"
    decides_by_largest: ClassVar[bool] = False
    has_units: ClassVar[bool] = True
    activations: ClassVar[tuple[Activation, ...]] = ("none",)

    def check_names(self, where: str, names: Sequence[str], *, key: str) -> None:
        """Check that there is an output."""
        if not names:
            raise DataError(f"{where}: {key}: expected at least 1, the name of the output, found none")
        for name in names:
            if not name or not name.isprintable():
                raise DataError(f"{where}: {key}: expected names of printable characters, found {name!a}")

    def check_targets(self, where: str, targets: Any, *, exactly: bool) -> None:
        """Check that targets are numbers, (N, K) float32, or any (N,) or (N, K)."""
        check_numbers(where, targets, exactly=exactly)

    def check_values(self, where: str, targets: NDArray[Any], *, outputs: int) -> None:
        """Check that there is a column for each output, and that values are finite."""
        check_values(where, targets, outputs=outputs)

    def stored(self, targets: NDArray[Any]) -> NDArray[Any]:
        """The targets as float32, (N, K)."""
        return targets.astype(np.float32).reshape(len(targets), -1)

    def targets_of(self, outputs: NDArray[Any], *, activation: Activation) -> NDArray[Any]:  # noqa: ARG002 - values
        """The outputs themselves."""
        return outputs.astype(np.float32)

    def strata(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """One group of all."""
        return np.zeros(len(targets), np.int64)

    def counts(self, targets: NDArray[Any], *, outputs: int) -> tuple[int, ...]:  # noqa: ARG002 - numbers have no groups
        """None: there are no groups."""
        return ()

    def coverage(self, counts: Sequence[int], names: Sequence[str]) -> Coverage:  # noqa: ARG002 - see `counts`
        """Nothing is absent or scarce."""
        return Coverage(absent=(), scarce={})

    def fit_settings(self, targets: NDArray[Any] | None, *, names: Sequence[str]) -> TaskSettings:
        """The settings with middle and spread of the targets, where the recipe does not give them."""
        settings = self.settings
        for key in ("tolerance", "units", "center", "scale"):
            check_count(f"task.{key}", len(getattr(settings, key)), names)
        if targets is None:
            return settings
        values = targets.astype(np.float64)
        spread = values.std(axis=0)
        if not settings.scale and not spread.all():
            place = int(spread.argmin())
            raise DataError(
                f"train: labels: expected different values of {names[place]}, found {values[0, place]:g} alone; leave "
                "this output out, or give its usual spread in task.scale"
            )
        return settings.model_copy(
            update={
                "center": settings.center or tuple(values.mean(axis=0).tolist()),
                "scale": settings.scale or tuple(spread.tolist()),
            }
        )

    def reshaping(self, shape: tuple[int, ...], *, rows: int, outputs: int) -> str:
        """Advice on answers whose shape is not (examples, outputs)."""
        return reshaping(shape, rows, outputs)

    def standard(self, targets: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """The mean and the standard deviation of the targets, unless the settings say otherwise."""
        values, settings = targets.astype(np.float64), self.settings
        outputs = values.shape[1]
        center = _each(settings.center, outputs) if settings.center else values.mean(axis=0)
        spread = _each(settings.scale, outputs) if settings.scale else values.std(axis=0)
        return (center, spread) if spread.all() else None

    def criterion(
        self,
        *,
        activation: Activation,  # noqa: ARG002 - values
        label_smoothing: float,  # noqa: ARG002
        loss: LossName | None = None,
        weights_K: Tensor | None = None,  # noqa: ARG002
    ) -> Criterion:
        """The mean error in units of the targets' spread: squared, absolute, or squared below 1 and absolute above."""
        match loss:
            case None | "mse":
                return self._squared_error
            case "l1" | "smooth-l1":
                return partial(self._absolute_error, smooth=loss == "smooth-l1")
            case "cross-entropy" | "bce-with-logits":
                raise no_such_loss(loss, self.settings)
            case _:
                assert_never(loss)

    def loss_name(self, *, label_smoothing: float, loss: LossName | None = None) -> str:  # noqa: ARG002 - refused by the recipe
        """The name of the error, with its unit."""
        if loss in (None, "mse"):
            return "squared error in units of the targets' variance"
        return f"{'absolute' if loss == 'l1' else 'smooth absolute'} error in units of the targets' spread"

    def plain_loss(self, outputs_BK: Tensor, targets_B: Tensor, *, activation: Activation) -> Tensor:  # noqa: ARG002
        """The squared error in units of the targets' variance."""
        from pipeline.tasks.regression.loss import squared_error

        return squared_error(outputs_BK, targets_B, scale_K=self._scale_tensor(outputs_BK.shape[1]), reduction="sum")

    def score_sum(self, outputs_BK: Tensor, targets_B: Tensor, *, activation: Activation) -> Tensor:  # noqa: ARG002
        """The number of examples with all answers inside the tolerance."""
        import torch

        # In float32, because not every device has float64; the figures of a build are computed in float64.
        tolerance = torch.from_numpy(self._tolerance(outputs_BK.shape[1]).astype(np.float32)).to(outputs_BK.device)
        return ((outputs_BK - targets_B).abs() <= tolerance).all(dim=1).sum()

    def trained_on(self, targets: NDArray[Any] | None) -> Self:  # noqa: ARG002 - it has one name
        """The task itself."""
        return self

    def distillation(
        self,
        teacher_VNK: Tensor,
        *,
        temperature: float,  # noqa: ARG002 - values have no temperature
        label_weight: float,
        criterion: Criterion,
        activation: Activation,  # noqa: ARG002 - nor an activation
    ) -> Loss:
        """The squared distance from the teacher's values."""
        from pipeline.tasks.regression.loss import distillation

        return distillation(
            teacher_VNK,
            scale_K=self._scale_tensor(teacher_VNK.shape[-1]),
            label_weight=label_weight,
            criterion=criterion,
        )

    def scores(
        self,
        outputs: NDArray[Any],
        targets: NDArray[Any],
        *,
        activation: Activation,  # noqa: ARG002 - values
    ) -> NDArray[np.float64]:
        """The score is 1 where all answers are inside the tolerance, else 0."""
        return all_within(outputs, targets, self._tolerance(outputs.shape[1])).astype(np.float64)

    def interval(self, scores: NDArray[np.float64]) -> tuple[float, float]:
        """Wilson's score interval."""
        return score_interval(scores)

    def disagreements(
        self,
        outputs: NDArray[Any],
        other_outputs: NDArray[Any],
        *,
        activation: Activation,  # noqa: ARG002 - values
    ) -> NDArray[np.bool_]:
        """Two networks disagree where one of their values lies further apart than the tolerance."""
        return ~all_within(outputs, other_outputs, self._tolerance(outputs.shape[1]))

    def divergence(
        self,
        outputs: NDArray[Any],
        other_outputs: NDArray[Any],
        *,
        activation: Activation,  # noqa: ARG002 - values
    ) -> float:
        """The mean squared distance of the other network's values, in units of the targets' variance."""
        return divergence_between(outputs, other_outputs, self._scale(outputs.shape[1]))

    def near_ties(
        self,
        outputs: NDArray[Any],
        count: int,
        *,
        activation: Activation,  # noqa: ARG002 - values
        targets: NDArray[Any] | None,
    ) -> NDArray[np.int64]:
        """The rows whose error is nearest to the tolerance; without targets those furthest from the middle.

        Values far out are what a range of int8 cuts off.
        """
        if targets is not None:
            distances = edge_distances(outputs, targets, self._tolerance(outputs.shape[1]))
        else:
            middle = np.median(outputs, axis=0)
            distances = -(np.abs(outputs - middle) / self._scale(outputs.shape[1])).max(axis=1)
        return np.argsort(distances, kind="stable")[:count].astype(np.int64)

    def judge(
        self,
        *,
        candidate: str,
        outputs: NDArray[Any],
        float_outputs: NDArray[Any],
        targets: NDArray[Any],
        names: Sequence[str],
        activation: Activation,  # noqa: ARG002 - values
        confidence: float = 0.95,
    ) -> QualityReport:
        """Hold the candidate's values against the targets, beside float's; see `judge_quality`."""
        return judge_quality(
            candidate=candidate,
            outputs=outputs,
            float_outputs=float_outputs,
            targets=targets,
            names=names,
            units=self._units(len(names)),
            tolerance=self._tolerance(len(names)),
            scale=self._scale(len(names)),
            metric=self.metric,
            confidence=confidence,
        )

    def metrics(
        self,
        outputs: NDArray[Any],
        targets: NDArray[Any],
        *,
        names: Sequence[str],
        activation: Activation,  # noqa: ARG002 - values
    ) -> TaskMetrics:
        """Mean absolute error, root mean square error and R squared of each output."""
        return value_metrics(
            outputs,
            targets,
            names=names,
            units=self._units(len(names)),
            tolerance=self._tolerance(len(names)),
            metric=self.metric,
        )

    def wrong_answers(
        self,
        outputs: NDArray[Any],
        targets: NDArray[Any],
        *,
        names: Sequence[str],
        activation: Activation,  # noqa: ARG002 - values
        count: int,
    ) -> tuple[WrongAnswer, ...]:
        """The answers outside the tolerance with the largest errors as multiples of it."""
        units, tolerance = self._units(len(names)), self._tolerance(len(names))
        return wrong_answers(outputs, targets, names=names, units=units, tolerance=tolerance, count=count)

    def _units(self, outputs: int) -> tuple[str, ...]:
        units = self.settings.units or ("",)
        return units * outputs if len(units) == 1 else units

    def _tolerance(self, outputs: int) -> NDArray[np.float64]:
        if not self.settings.tolerance:
            raise UsageError("task.tolerance: expected how far an answer may be from its target, found none")
        return _each(self.settings.tolerance, outputs)

    def _scale(self, outputs: int) -> NDArray[np.float64]:
        """The spread of the targets; where it is not known, the tolerance is the unit of distances."""
        return _each(self.settings.scale, outputs) if self.settings.scale else self._tolerance(outputs)

    def _scale_tensor(self, outputs: int) -> Tensor:
        import torch

        return torch.from_numpy(self._scale(outputs).astype(np.float32))

    def _squared_error(self, outputs_BK: Tensor, targets_B: Tensor) -> Tensor:
        from pipeline.tasks.regression.loss import squared_error

        return squared_error(outputs_BK, targets_B, scale_K=self._scale_tensor(outputs_BK.shape[1]))

    def _absolute_error(self, outputs_BK: Tensor, targets_B: Tensor, *, smooth: bool) -> Tensor:
        from pipeline.tasks.regression.loss import absolute_error

        scale_K = self._scale_tensor(outputs_BK.shape[1])
        return absolute_error(outputs_BK, targets_B, scale_K=scale_K, smooth=smooth)


def _each(values: Sequence[float], outputs: int) -> NDArray[np.float64]:
    """One value for all outputs, or one for each, as an array (K,)."""
    if len(values) not in (1, outputs):
        raise ProofError(f"task: expected 1 value or {outputs}, one per output, found {len(values)}")
    return np.array([*values] * outputs if len(values) == 1 else values, np.float64)
