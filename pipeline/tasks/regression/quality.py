"""Judge how the values that a network answers change when its numbers change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.tasks.quality import Figure, QualityReport
from pipeline.tasks.scores import require_answers, score_figures, worst_group

# Number of groups of examples, by the size of their targets, each of which is judged by itself: a fault that touches
# the largest values alone shows in one of five. Each holds a fifth of the examples, or more where targets are equal.
_GROUPS = 5


def within(outputs: NDArray[Any], targets: NDArray[Any], tolerance: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell whether each answer lies inside the tolerance around its target, (N, K).

    Args:
        outputs: outputs of a network, (N, K).
        targets: what they are compared with, (N, K).
        tolerance: the largest distance of each output, (K,).
    """
    inside: NDArray[np.bool_] = np.abs(outputs.astype(np.float64) - targets.astype(np.float64)) <= tolerance
    return inside


def all_within(values: NDArray[Any], targets: NDArray[Any], tolerance: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether all values of an example lie within the tolerance of its targets, (N,)."""
    inside: NDArray[np.bool_] = np.logical_and.reduce(within(values, targets, tolerance), axis=1)
    return inside


def judge_quality(
    *,
    candidate: str,
    outputs: NDArray[Any],
    float_outputs: NDArray[Any],
    targets: NDArray[Any],
    names: Sequence[str],
    units: Sequence[str],
    tolerance: NDArray[np.float64],
    scale: NDArray[np.float64],
    metric: str,
    confidence: float,
) -> QualityReport:
    """Hold a candidate's values against the targets, beside float's.

    Args:
        candidate: name of the candidate, for messages.
        outputs: outputs of the candidate, (N, K).
        float_outputs: outputs of the float network, (N, K).
        targets: targets of the examples, (N, K).
        names: names of the outputs.
        units: units of the outputs; empty texts where there are none.
        tolerance: the largest error of each output that is still right, (K,).
        scale: spread of the targets of each output, (K,).
        metric: name of the mean score.
        confidence: confidence of the one-sided bound.

    Raises:
        ProofError: there are no examples, shapes do not fit, or outputs are NaN or infinite.
    """
    require_answers(candidate, outputs, float_outputs, targets)
    right = all_within(outputs, targets, tolerance)
    was_right = all_within(float_outputs, targets, tolerance)
    scores, float_scores = right.astype(np.float64), was_right.astype(np.float64)
    apart = ~all_within(outputs, float_outputs, tolerance)
    members_NG, groups = _groups(targets, names)
    worst, worst_drop, worst_examples = worst_group(float_scores - scores, members_NG)
    return QualityReport(
        metric=metric,
        **score_figures(scores, float_scores, confidence=confidence),
        flips=int((apart | (right != was_right)).sum()),
        confident_flips=None,
        near_tie_flips=None,
        worst_class=worst,
        worst_class_name=groups[worst],
        worst_class_drop=worst_drop,
        worst_class_examples=worst_examples,
        divergence=divergence_between(float_outputs, outputs, scale),
        calibration_error=None,
        float_calibration_error=None,
        figures=_figures(outputs, float_outputs, targets, names, units),
    )


def divergence_between(reference: NDArray[Any], candidate: NDArray[Any], scale: NDArray[np.float64]) -> float:
    """Compute the mean squared distance of a candidate's values from a reference's, in units of the targets' spread.

    It is infinite where an answer of the candidate is no finite number.

    Args:
        reference: outputs of the reference (N, K).
        candidate: outputs of the candidate for the same examples (N, K).
        scale: spread of the targets of each output, (K,).
    """
    if not np.isfinite(candidate).all():
        return math.inf
    return float((((candidate.astype(np.float64) - reference) / scale) ** 2).mean())


def edge_distances(outputs: NDArray[Any], targets: NDArray[Any], tolerance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute how far the errors of each example are from the tolerance, as a share of it, (N,), of the nearest output.

    Args:
        outputs: outputs of a network, (N, K).
        targets: targets of the examples, (N, K).
        tolerance: the largest error of each output that is still right, (K,).
    """
    errors = np.abs(outputs.astype(np.float64) - targets)
    distances: NDArray[np.float64] = np.abs(errors / tolerance - 1).min(axis=1)
    return distances


def _groups(targets: NDArray[Any], names: Sequence[str]) -> tuple[NDArray[np.bool_], list[str]]:
    """Divide examples by the size of each output's targets, (N, G), and name the groups."""
    members: list[NDArray[np.bool_]] = []
    groups: list[str] = []
    for name, column in zip(names, targets.T, strict=True):
        # Equal targets stay together: the edges between groups are targets themselves.
        edges = np.unique(np.quantile(column, np.arange(1, _GROUPS) / _GROUPS, method="lower"))
        place_of = np.searchsorted(edges, column, side="left")
        for place in np.unique(place_of):
            chosen = place_of == place
            members.append(chosen)
            groups.append(f"{name} {column[chosen].min():.4g} to {column[chosen].max():.4g}")
    return np.stack(members, axis=1), groups


def _figures(
    outputs: NDArray[Any],
    float_outputs: NDArray[Any],
    targets: NDArray[Any],
    names: Sequence[str],
    units: Sequence[str],
) -> tuple[Figure, ...]:
    """Compute mean absolute error and R squared of each output."""
    figures: list[Figure] = []
    for place, (name, unit) in enumerate(zip(names, units, strict=True)):
        target = targets[:, place].astype(np.float64)
        errors, float_errors = outputs[:, place] - target, float_outputs[:, place] - target
        around = float(((target - target.mean()) ** 2).sum())
        figures.append(
            Figure(
                name=f"MAE of {name}",
                value=float(np.abs(errors).mean()),
                float_value=float(np.abs(float_errors).mean()),
                unit=unit,
            )
        )
        if around > 0:
            figures.append(
                Figure(
                    name=f"R² of {name}",
                    value=1 - float((errors**2).sum()) / around,
                    float_value=1 - float((float_errors**2).sum()) / around,
                )
            )
    return tuple(figures)
