"""The weights of classes in a loss: those that a recipe names, or such that rare classes count as frequent ones do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import UsageError
from pipeline.recipe.names import meant
from pipeline.recipe.task import Classification, MultiLabel, Outputs, Regression, TaskSettings, why_no_class_weights


def class_weights(
    weights: Literal["balanced"] | Mapping[str, float] | None,
    *,
    task: TaskSettings,
    targets: NDArray[Any] | None,
    names: Sequence[str],
) -> Tensor | None:
    """The weight of each class in the loss, (K,) float32; None where all count alike.

    Args:
        weights: the recipe's setting.
        task: section of the recipe.
        targets: targets of the training split, in the form that it stores; None where it has none.
        names: names of the classes or labels, by index.

    Raises:
        UsageError: a weight is given to a class that the data do not have, or the task has no classes.
    """
    if weights is None or targets is None:
        return None
    if reason := why_no_class_weights(task):
        raise UsageError(f"train.class_weights: expected none, because {reason}; leave them out")
    if weights == "balanced":
        return torch.from_numpy(_balanced(task, targets, len(names)).astype(np.float32))
    unknown = [name for name in weights if name not in names]
    if unknown:
        hint = meant(unknown[0], names) or f"; there are {', '.join(names)}"
        raise UsageError(f"train.class_weights: expected names of the data's classes, found {unknown[0]}{hint}")
    return torch.tensor([float(weights.get(name, 1.0)) for name in names])


def _balanced(task: TaskSettings, targets: NDArray[Any], outputs: int) -> NDArray[np.float64]:
    match task:
        case Classification():
            # As in scikit-learn's "balanced": the weights of all examples of a class add up to the same for each. A
            # class without examples has none whose weight mattered.
            counts = np.bincount(targets, minlength=outputs)
            balanced: NDArray[np.float64] = np.where(counts > 0, len(targets) / (outputs * np.maximum(counts, 1)), 1.0)
            return balanced
        case MultiLabel():
            # `torch.nn.BCEWithLogitsLoss` recommends examples without the label over those with it.
            having = targets.sum(axis=0, dtype=np.float64)
            both = (having > 0) & (having < len(targets))  # nothing is rare where all examples are alike
            ratios: NDArray[np.float64] = np.where(both, (len(targets) - having) / np.maximum(having, 1), 1.0)
            return ratios
        case Regression() | Outputs():
            raise AssertionError(f"{task.kind} has no classes")
        case unreachable:
            assert_never(unreachable)
