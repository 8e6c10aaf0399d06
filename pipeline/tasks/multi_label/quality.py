"""Judge how the labels that a network gives change when its numbers change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.activation import Activation, label_probabilities
from pipeline.tasks.quality import Figure, QualityReport
from pipeline.tasks.scores import require_answers, score_figures, worst_group

# The margin of a label is its probability's way from the threshold towards certainty, as a share of the whole way: 0 at
# the threshold, 1 at a probability of 0 or 1. From this margin on, float was sure of the label; with a threshold of 0.5
# it is a probability of 0.75 or more, or of 0.25 or less.
CONFIDENT_MARGIN = 0.5
# Below this margin float could as well have decided otherwise.
NEAR_TIE_MARGIN = 0.1
# Guo et al. (2017) use 15 bins of equal width.
_BINS = 15
# Probabilities are kept this far from 0 and 1, where logarithms are infinite.
_SMALLEST = float(np.finfo(np.float32).tiny)


def decisions(outputs: NDArray[Any], activation: Activation, thresholds: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Decide which labels examples get, (N, K), as the server does.

    Args:
        outputs: outputs of a network, (N, K).
        activation: activation that they already have.
        thresholds: probability from which each label is given, (K,).
    """
    given: NDArray[np.bool_] = label_probabilities(outputs, activation) >= thresholds
    return given


def example_f1(given: NDArray[np.bool_], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the F1 score of the labels of each example, (N,): 1 where an example has none and gets none.

    Tsoumakas and Katakis (2007), "Multi-label classification: an overview", International Journal of Data Warehousing
    and Mining 3, 1-13: the F1 score of sets, by example.

    Args:
        given: labels that examples get, (N, K).
        labels: labels that they have, (N, K).
    """
    right = labels.astype(bool)
    sizes = given.sum(axis=1) + right.sum(axis=1)
    both = (given & right).sum(axis=1)
    scores: NDArray[np.float64] = np.divide(2.0 * both, sizes, out=np.ones(len(sizes)), where=sizes > 0)
    return scores


def judge_quality(
    *,
    candidate: str,
    outputs: NDArray[Any],
    float_outputs: NDArray[Any],
    labels: NDArray[Any],
    names: Sequence[str],
    activation: Activation,
    thresholds: NDArray[np.float64],
    metric: str,
    confidence: float,
) -> QualityReport:
    """Compare the labels that a candidate gives with those that float gives; the arguments are as in `Task.judge`.

    Args:
        candidate: name of the candidate, for messages.
        outputs: outputs of the candidate, (N, K).
        float_outputs: outputs of the float network, (N, K).
        labels: labels of the examples, (N, K), 0 or 1.
        names: names of the labels.
        activation: activation that those outputs already have.
        thresholds: probability from which each label is given, (K,).
        metric: name of the mean score.
        confidence: confidence of the one-sided bound.

    Raises:
        ProofError: there are no examples, shapes do not fit, or outputs are NaN or infinite.
    """
    require_answers(candidate, outputs, float_outputs, labels)
    shares, float_shares = label_probabilities(outputs, activation), label_probabilities(float_outputs, activation)
    given, float_given = shares >= thresholds, float_shares >= thresholds
    scores, float_scores = example_f1(given, labels), example_f1(float_given, labels)
    changed = given != float_given
    flipped = changed.any(axis=1)
    # Of an example, the surest of the labels that changed counts.
    margins = np.where(changed, label_margins(float_shares, thresholds), 0.0).max(axis=1)
    worst, worst_drop, worst_examples = worst_group(float_scores - scores, labels == 1)
    return QualityReport(
        metric=metric,
        **score_figures(scores, float_scores, confidence=confidence),
        flips=int(flipped.sum()),
        confident_flips=int((flipped & (margins >= CONFIDENT_MARGIN)).sum()),
        near_tie_flips=int((flipped & (margins < NEAR_TIE_MARGIN)).sum()),
        worst_class=worst,
        worst_class_name=names[worst],
        worst_class_drop=worst_drop,
        worst_class_examples=worst_examples,
        divergence=divergence_between(float_outputs, outputs, activation),
        calibration_error=_calibration_error(shares, labels),
        float_calibration_error=_calibration_error(float_shares, labels),
        figures=(
            Figure(name="macro F1", value=macro_f1(given, labels), float_value=macro_f1(float_given, labels)),
            Figure(name="exact match", value=_exact(given, labels), float_value=_exact(float_given, labels)),
        ),
    )


def label_margins(shares: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute how far each probability is from its threshold, as a share of the way to certainty, (N, K)."""
    room = np.where(shares >= thresholds, 1 - thresholds, thresholds)
    margins: NDArray[np.float64] = np.abs(shares - thresholds) / room
    return margins


def macro_f1(given: NDArray[np.bool_], labels: NDArray[Any]) -> float:
    """Compute the mean over labels of the F1 score over examples; 1 for a label that no example has or gets."""
    return float(example_f1(given.T, labels.T).mean())


def divergence_between(reference: NDArray[Any], candidate: NDArray[Any], activation: Activation) -> float:
    """Compute the mean Kullback-Leibler divergence of a candidate's labels from a reference's, in nats.

    Each label is a decision between two on its own, and their divergences add up. It is infinite where an answer of the
    candidate is no finite number.

    Args:
        reference: outputs of the reference (N, K).
        candidate: outputs of the candidate for the same examples (N, K).
        activation: activation that both already have.
    """
    if not np.isfinite(candidate).all():
        return math.inf
    wanted, found = (
        np.clip(label_probabilities(outputs, activation), _SMALLEST, 1.0) for outputs in (reference, candidate)
    )
    no_wanted, no_found = (np.clip(1 - shares, _SMALLEST, 1.0) for shares in (wanted, found))
    each = wanted * np.log(wanted / found) + no_wanted * np.log(no_wanted / no_found)
    # A divergence cannot be negative, but rounding can make it so.
    return float(np.maximum(each, 0.0).sum(axis=1).mean())


def _exact(given: NDArray[np.bool_], labels: NDArray[Any]) -> float:
    return float((given == labels.astype(bool)).all(axis=1).mean())


def _calibration_error(shares: NDArray[np.float64], labels: NDArray[Any]) -> float:
    """Compute how far probabilities are from the shares of right labels, over the labels of all examples."""
    flat = np.clip(shares, 0.0, 1.0).ravel()
    bin_of = np.minimum((flat * _BINS).astype(np.int64), _BINS - 1)
    gaps = np.bincount(bin_of, weights=flat - labels.ravel(), minlength=_BINS)
    return float(np.abs(gaps).sum()) / flat.size
