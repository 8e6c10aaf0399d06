"""The answer to one instance, by task: a closed table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from .classification_answer import ClassificationAnswer
from .multi_label_answer import MultiLabelAnswer
from .outputs_answer import OutputsAnswer
from .regression_answer import RegressionAnswer

if TYPE_CHECKING:
    from .description import Serving

TaskName = Literal["classification", "multi-label", "regression", "outputs"]
TASK_NAMES: tuple[TaskName, ...] = get_args(TaskName)
# One value of a table; None is an empty cell.
Cell = str | int | float | None


class Answer(Protocol):
    """The answer of one task, as JSON values; version and digest are added to it."""

    @property
    def contents(self) -> str:
        """Name what an answer holds, for messages."""

    def outputs(self, labels: Sequence[str]) -> str:
        """Say in words what a client gets from a model with these labels."""

    def check(self, settings: Mapping[str, Any], labels: Sequence[str]) -> None:
        """Require settings that this answer can be told by.

        Args:
            settings: settings of the task in `serving.json`.
            labels: names of the outputs.

        Raises:
            ValueError: a setting does not fit; the text names it.
        """

    def write(self, serving: Serving, outputs: NDArray[np.float32]) -> list[str]:
        """Write the JSON objects that clients get, without version and digest.

        Args:
            serving: description of the model that is served.
            outputs: the model's outputs (N, K), one row per instance, finite.
        """

    def tell(self, serving: Serving, outputs: NDArray[np.float32]) -> dict[str, Any]:
        """Return what `write` writes of one instance.

        Args:
            serving: description of the model that is served.
            outputs: the model's outputs for one instance, (K,), finite.
        """

    def tensors(self, serving: Serving, outputs: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Turn the outputs for several instances, (N, K), into tensors by name, whose first axis is the instances.

        The network's own outputs come first, and are the only tensors of float32; texts, of object dtype, are labels.
        The names, dtypes and shapes behind the first axis are the same for all outputs of a model.
        """

    def longest(self, serving: Serving) -> dict[str, Any]:
        """Return an answer that takes at least as many bytes as any other."""

    def read(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Read the fields of this task's answer from a server's JSON.

        Raises:
            KeyError, TypeError, ValueError, OverflowError: the document is not an answer of this task.
        """

    def difference(self, serving: Serving, outputs: NDArray[np.float32], answer: Mapping[str, Any]) -> str:
        """Say in one clause how an answer differs from what these outputs say; the text is empty if it does not."""

    def words(self, answer: Mapping[str, Any]) -> str:
        """Write an answer that `read` returned, for a person."""

    def columns(self, serving: Serving) -> tuple[str, ...]:
        """Name the columns that an answer takes in a table: the same for every answer of a model."""

    def cells(self, serving: Serving, outputs: NDArray[np.float32]) -> tuple[Cell, ...]:
        """Write one instance's outputs, (K,), as a row of a table, one value for each of `columns`."""


ANSWERS: dict[TaskName, Answer] = {
    "classification": ClassificationAnswer(),
    "multi-label": MultiLabelAnswer(),
    "regression": RegressionAnswer(),
    "outputs": OutputsAnswer(),
}


def read_answer(document: Mapping[str, Any]) -> tuple[TaskName, dict[str, Any]]:
    """Read the answer in a server's JSON, and tell its task, which is known by the fields.

    Raises:
        ValueError: the document is not an answer of any task.
    """
    for name, answer in ANSWERS.items():
        try:
            return name, answer.read(document)
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
    raise ValueError(f"expected an answer of {' or '.join(ANSWERS)}")
