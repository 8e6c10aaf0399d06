"""Hold a lossless file to its source on a whole split, where only a task can tell answers apart from rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.activation import Activation
from pipeline._handlers.compare import limits_of, turned_decisions
from pipeline._handlers.tolerance import Tolerance
from pipeline.errors import ProofError
from pipeline.tasks.task import Task


def require_lossless(
    candidate: str,
    expected: NDArray[Any],
    answers: NDArray[Any],
    tolerance: Tolerance,
    task: Task,
    activation: Activation,
) -> None:
    """Stop where a lossless file and its source answer differently on the whole split.

    Args:
        candidate: name of the candidate.
        expected: answers of its source, (N, K).
        answers: answers of the candidate, (N, K).
        tolerance: tolerance of its parity.
        task: task of the network.
        activation: activation that the answers already have.

    Raises:
        ProofError: an example is answered otherwise; the message is one line.
    """
    if task.decides_by_largest:
        require_same_decisions(candidate, expected, answers, tolerance)
    else:
        disagreements = task.disagreements(answers, expected, activation=activation)
        require_same_answers(candidate, expected, answers, tolerance, disagreements=disagreements)


def require_same_decisions(candidate: str, expected: NDArray[Any], answers: NDArray[Any], tolerance: Tolerance) -> None:
    """Stop where a lossless file and its source decide differently on labelled data.

    Args:
        candidate: name of the candidate.
        expected: answers of its source, (N, K).
        answers: answers of the candidate, (N, K).
        tolerance: tolerance of its parity; a decision with no larger lead may turn.

    Raises:
        ProofError: a decision turned; the message is one line with the example and both decisions.
    """
    turned = turned_decisions(expected, answers, tolerance)
    if turned.size:
        row = int(turned[0])
        raise ProofError(
            f"{candidate}: parity on validation: expected the decisions of its torch module, found {len(turned)} of "
            f"{len(expected)} turned that are no near ties; the first is example {row}: expected class "
            f"{int(expected[row].argmax())}, found {int(answers[row].argmax())}"
        )


def require_same_answers(
    candidate: str,
    expected: NDArray[Any],
    answers: NDArray[Any],
    tolerance: Tolerance,
    *,
    disagreements: NDArray[np.bool_],
) -> None:
    """Stop where a lossless file and its source answer differently on the whole split, in a task without classes.

    Args:
        candidate: name of the candidate.
        expected: answers of its source, (N, K).
        answers: answers of the candidate, (N, K).
        tolerance: tolerance of its parity; each row is a call of its own.
        disagreements: whether the task tells the answers to an example apart, (N,).

    Raises:
        ProofError: an example is answered otherwise, and by more than rounding; the message is one line.
    """
    reference = expected.astype(np.float64)
    beyond = np.abs(answers.astype(np.float64) - reference) > limits_of(reference, tolerance, batch_size=1)
    wrong = np.flatnonzero(beyond.any(axis=1) & disagreements)
    if wrong.size:
        row = int(wrong[0])
        raise ProofError(
            f"{candidate}: parity on validation: expected the answers of its torch module, found others to "
            f"{len(wrong)} of {len(expected)} examples; the first is example {row}, "
            f"{np.abs(answers[row].astype(np.float64) - reference[row]).max():.2g} apart"
        )
