"""Judge the outputs of a candidate beside those of float."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.tasks.outputs.agreement import OutputAgreement
from pipeline.tasks.quality import Figure, QualityReport
from pipeline.tasks.scores import score_figures


def judge_quality(
    *,
    metric: str,
    scores: NDArray[np.float64],
    float_scores: NDArray[np.float64],
    outputs: Sequence[OutputAgreement],
    confidence: float,
) -> QualityReport:
    """Compare a candidate's scores with those of float, and report how far each output is from float's.

    Args:
        metric: name of the mean score.
        scores: scores of the candidate, (N,).
        float_scores: scores of float, (N,).
        outputs: the outputs beside those of float.
        confidence: confidence of the one-sided bound of this candidate alone.
    """
    beyond = [float((~output.agrees).mean()) for output in outputs]
    worst = int(np.argmax(beyond))
    figures = [
        Figure(
            name=f"largest difference of {output.name} (tolerance {output.limit:.3g})",
            value=float(output.largest.max()),
            float_value=0.0,
        )
        for output in outputs
    ]
    return QualityReport(
        metric=metric,
        **score_figures(scores, float_scores, confidence=confidence),
        flips=int((~np.logical_and.reduce([output.agrees for output in outputs])).sum()),
        confident_flips=None,
        near_tie_flips=None,
        worst_class=worst,
        worst_class_name=outputs[worst].name,
        worst_class_drop=beyond[worst],
        worst_class_examples=len(scores),
        divergence=float(np.mean([output.distance for output in outputs])),
        calibration_error=None,
        float_calibration_error=None,
        figures=tuple(figures),
    )
