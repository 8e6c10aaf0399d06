"""The user's own score of outputs, in a declared range."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.outputs import OutputSpec, split_outputs
from pipeline.engine.user_code import import_factory
from pipeline.errors import UsageError


def user_scores(
    function: str,
    folder: Path,
    answers: NDArray[Any],
    targets: NDArray[Any],
    *,
    outputs: Sequence[OutputSpec],
    score_range: tuple[float, float],
) -> NDArray[np.float64]:
    """Call the user's score, and bring its values into the range from 0 to 1.

    Args:
        function: function as `module:function`; it gets the outputs by name, (N, *shape) each, and the targets.
        folder: folder of the recipe, in which the user's modules are looked up.
        answers: answers of a network, (N, K).
        targets: targets of the examples, (N, ...).
        outputs: outputs that lie in the columns of the answers.
        score_range: lowest and highest value of the score.

    Raises:
        UsageError: there is no such function, or it gives something else than a number in the range for each example.
    """
    where = f"task.score {function}"
    score = import_factory(function, folder, then=lambda values: np.asarray(values, dtype=np.float64))
    scores: NDArray[np.float64] = score(
        {name: np.ascontiguousarray(part) for name, part in split_outputs(answers, outputs).items()}, targets
    )
    low, high = score_range
    if scores.shape != (len(answers),):
        raise UsageError(
            f"{where}: expected a number for each of {len(answers)} examples, found an array of shape {scores.shape}"
        )
    if not np.isfinite(scores).all() or scores.min() < low or scores.max() > high:
        raise UsageError(
            f"{where}: expected numbers from {low:g} to {high:g}, as task.score_range says, found {scores.min():g} to "
            f"{scores.max():g}; declare the range that it has"
        )
    return (scores - low) / (high - low)
