"""Quality: a lossy step may change numbers, and is judged by the decisions it changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handlers.decode import InputSpec
from handlers.serving import RuntimeSpec
from pipeline.errors import ProofError
from pipeline.verify.interval import drop_bounds, smallest_provable_drop
from pipeline.verify.process import Run, replay


@dataclass(frozen=True, kw_only=True)
class QualityReport:
    """How a candidate's decisions compare with those of float, on the same labelled examples.

    Args:
        examples: number of them.
        accuracy: share of right answers of the candidate.
        float_accuracy: share of right answers of float.
        drop: float_accuracy - accuracy.
        drop_lower: one-sided lower bound of the drop.
        drop_upper: one-sided upper bound of the drop; what is held against the budget.
        confidence: of each bound.
        flips: examples with another label, right or wrong.
        lost: examples right in float and wrong in the candidate.
        gained: examples wrong in float and right in the candidate.
        smallest_provable_drop: the budget below which so many examples prove nothing about this candidate.
    """

    examples: int
    accuracy: float
    float_accuracy: float
    drop: float
    drop_lower: float
    drop_upper: float
    confidence: float
    flips: int
    lost: int
    gained: int
    smallest_provable_drop: float

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def judge_quality(
    *,
    candidate: str,
    logits: NDArray[Any],
    float_logits: NDArray[Any],
    labels: NDArray[np.int64],
    confidence: float = 0.95,
) -> QualityReport:
    """Compare a candidate's decisions with those of float.

    Args:
        candidate: its name, for messages.
        logits: the candidate's, (N, K).
        float_logits: of the float network, (N, K).
        labels: the right classes, (N,).
        confidence: of the one-sided bound.

    Raises:
        ProofError: no examples, shapes that do not fit, or logits that are NaN or infinite.
    """
    if logits.shape != float_logits.shape or logits.ndim != 2 or labels.shape != logits.shape[:1] or not labels.size:
        raise ProofError(
            f"{candidate}: quality: expected logits (N, K) of float and candidate and labels (N,) with N of 1 or more, "
            f"found {float_logits.shape}, {logits.shape} and {labels.shape}"
        )
    for name, values in ((candidate, logits), ("float", float_logits)):
        broken = int((~np.isfinite(values)).any(axis=1).sum())
        if broken:
            raise ProofError(f"{name}: quality: expected finite logits, found NaN or infinity on {broken} examples")
    found, before = logits.argmax(axis=1), float_logits.argmax(axis=1)
    right, was_right = found == labels, before == labels
    examples = int(labels.size)
    lost, gained = int((was_right & ~right).sum()), int((right & ~was_right).sum())
    lower, upper = drop_bounds(lost=lost, gained=gained, examples=examples, confidence=confidence)
    drop = (lost - gained) / examples
    return QualityReport(
        examples=examples,
        accuracy=int(right.sum()) / examples,
        float_accuracy=int(was_right.sum()) / examples,
        drop=drop,
        drop_lower=lower,
        drop_upper=upper,
        confidence=confidence,
        flips=int((found != before).sum()),
        lost=lost,
        gained=gained,
        smallest_provable_drop=smallest_provable_drop(
            discordant=lost + gained, examples=examples, confidence=confidence
        ),
    )


def predict_logits(
    *,
    file: Path,
    runtime: RuntimeSpec,
    inputs: Sequence[InputSpec],
    data: Path,
    batch_size: int = 128,
    scratch: Path,
) -> NDArray[np.float32]:
    """Answers of a model file as it is served, from a new process.

    Args:
        file: the model file.
        runtime: how it is served; one example at a time where it is not batch-invariant.
        inputs: in the order the model takes them.
        data: safetensors file with `input.<name>` (N, *shape), such as a split of the data set.
        batch_size: examples per call otherwise.
        scratch: an existing folder for temporary files.

    Returns:
        Logits (N, K).

    Raises:
        ProofError: the file cannot be loaded, or cannot answer.
    """
    size = batch_size if runtime.batch_invariant else 1
    run = Run(name="data", data=data, batch_size=size)
    answers = replay(file=file, runtime=runtime, inputs=inputs, runs=[run], scratch=scratch).answers
    logits: NDArray[np.float32] = answers["data", 0]
    return logits
