"""What a client is told of one instance, by task: a closed table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from .classification_answer import ClassificationAnswer

if TYPE_CHECKING:
    from .description import Serving

TaskName = Literal["classification"]
TASK_NAMES: tuple[TaskName, ...] = get_args(TaskName)


class Answer(Protocol):
    """The answer of one task, as JSON values; version and digest are added to it."""

    def tell(self, serving: Serving, outputs: NDArray[np.float32]) -> dict[str, Any]:
        """What a client is told.

        Args:
            serving: what is served.
            outputs: of the model for one instance, (K,), finite.
        """

    def longest(self, serving: Serving) -> dict[str, Any]:
        """An answer that is written in as many bytes as any other, or in more."""

    def read(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of this task's answer, from a server's JSON.

        Raises:
            KeyError, TypeError, ValueError, OverflowError: it is none.
        """

    def difference(self, serving: Serving, outputs: NDArray[np.float32], told: Mapping[str, Any]) -> str:
        """What a client was told otherwise than these outputs say, as one clause; empty if nothing."""

    def words(self, answer: Mapping[str, Any]) -> str:
        """An answer that was read, for a person."""


ANSWERS: dict[TaskName, Answer] = {"classification": ClassificationAnswer()}


def read_answer(document: Mapping[str, Any]) -> tuple[TaskName, dict[str, Any]]:
    """The answer in a server's JSON, and whose it is: a task's answer is known by its fields.

    Raises:
        ValueError: it is no task's.
    """
    for name, answer in ANSWERS.items():
        try:
            return name, answer.read(document)
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
    raise ValueError(f"expected an answer of {' or '.join(ANSWERS)}")
