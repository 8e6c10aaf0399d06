"""How far the outputs of two networks are apart, output by output, and which of them agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.compare import LAST_BITS, usual_spread
from pipeline._handlers.outputs import OutputSpec, output_columns
from pipeline.recipe.task import OutputsTolerance, share_of_spread


@dataclass(frozen=True, kw_only=True)
class OutputAgreement:
    """One output of a network beside the same output of the reference.

    Args:
        name: name of the output.
        limit: largest difference with which a value agrees, in the output's unit.
        largest: largest difference of any value of each example, (N,).
        distance: root mean square difference as a share of the reference's usual spread; the difference itself where
            that has none.
    """

    name: str
    limit: float
    largest: NDArray[np.float64]
    distance: float

    @property
    def agrees(self) -> NDArray[np.bool_]:
        """Whether all values of each example are within the limit, (N,)."""
        within: NDArray[np.bool_] = self.largest <= self.limit
        return within


def agreements(
    answers: NDArray[Any],
    reference: NDArray[Any],
    outputs: Sequence[OutputSpec],
    tolerance: OutputsTolerance,
) -> list[OutputAgreement]:
    """Compare each output with that of a reference.

    Args:
        answers: answers of a network, (N, K).
        reference: answers of the reference to the same examples, (N, K).
        outputs: outputs that lie in the columns of both.
        tolerance: tolerance of each output, by name, or of all.
    """
    apart = np.abs(answers.astype(np.float64) - reference.astype(np.float64))
    results = []
    for spec, columns in zip(outputs, output_columns(outputs), strict=True):
        spread = usual_spread(reference[:, columns])
        difference = apart[:, columns]
        results.append(
            OutputAgreement(
                name=spec.name,
                limit=_limit(spec.name, tolerance, reference[:, columns], spread),
                largest=difference.max(axis=1),
                distance=float(np.sqrt((difference**2).mean())) / (spread or 1.0),
            )
        )
    return results


def _limit(name: str, tolerance: OutputsTolerance, reference: NDArray[Any], spread: float) -> float:
    """The largest difference that is allowed of one output, in its unit."""
    value = tolerance[name] if isinstance(tolerance, dict) else tolerance
    if not isinstance(value, str):
        return value
    # An output that is always the same has no spread, and is written in float32 all the same.
    return share_of_spread(value) * spread + LAST_BITS * float(np.abs(reference).max())
