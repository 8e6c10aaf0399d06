"""Judges answers on a split by what the split has to judge by: its labels, or the float network's decisions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.activation import Activation
from pipeline.data.dataset import Split
from pipeline.tasks.quality import QualityReport
from pipeline.tasks.task import Task


def judge_on(
    split: Split,
    task: Task,
    *,
    candidate: str,
    outputs: NDArray[np.float32],
    float_outputs: NDArray[np.float32],
    names: Sequence[str],
    activation: Activation,
) -> QualityReport:
    """Compare a candidate's decisions with those of float on a split.

    Args:
        split: split whose inputs were answered.
        task: task of the network.
        candidate: name of the candidate, for messages.
        outputs: outputs of the candidate, (N, K).
        float_outputs: outputs of the float network, (N, K).
        names: names of the outputs.
        activation: activation that the outputs of both networks already have.

    Raises:
        ProofError: there are no examples, shapes do not fit, or outputs are NaN or infinite.
    """
    quality = task.judge(
        candidate=candidate,
        outputs=outputs,
        float_outputs=float_outputs,
        targets=split.targets(task, float_outputs, activation=activation),
        names=names,
        activation=activation,
    )
    if split.judged(task).labels is not None:
        return quality
    # Float is never wrong by its own decisions, so how sure it may be of them cannot be told.
    unknown = {"calibration_error": None, "float_calibration_error": None}
    figures = tuple(figure.model_copy(update={"name": f"{figure.name} from float"}) for figure in quality.figures)
    return quality.model_copy(update={"metric": split.metric(task), "figures": figures, **unknown})
