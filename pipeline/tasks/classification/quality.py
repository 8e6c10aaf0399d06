"""Judge how a classifier's decisions change when its numbers change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.activation import Activation
from pipeline.errors import ProofError
from pipeline.tasks.quality import QualityReport
from pipeline.tasks.scores import score_figures

# At this margin float was sure of its label: the two most probable classes lie at least half of all probability apart.
# A candidate that answers otherwise there has learned something else; rounding cannot cause it.
CONFIDENT_MARGIN = 0.5
# Below this margin float could as well have given the other label: a change of logits by 0.2 turns such a decision, and
# quantization alone changes logits by as much.
NEAR_TIE_MARGIN = 0.1
# Guo et al. (2017) use 15 bins of equal width, and so does later work that compares with them.
CALIBRATION_BINS = 15
# Where a network answers with probabilities, float32 has already rounded small ones to 0, whose logarithm is infinite.
# The smallest normal number replaces them, and a candidate's answers below 0, which are no probabilities.
_SMALLEST = float(np.finfo(np.float32).tiny)


def judge_quality(
    *,
    candidate: str,
    logits: NDArray[Any],
    float_logits: NDArray[Any],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    activation: Activation = "none",
    confidence: float = 0.95,
) -> QualityReport:
    """Compare a candidate's decisions with those of float.

    Args:
        candidate: name of the candidate, for messages.
        logits: outputs of the candidate, (N, K).
        float_logits: outputs of the float network, (N, K).
        labels: right classes, (N,).
        classes: K names, by index.
        activation: activation that those outputs already have.
        confidence: confidence of the one-sided bound.

    Raises:
        ProofError: there are no examples, shapes do not fit, labels are no classes, or logits are NaN or infinite.
    """
    expected = (labels.size, len(classes))
    if not labels.size or logits.shape != expected or float_logits.shape != expected or labels.ndim != 1:
        raise ProofError(
            f"{candidate}: quality: expected logits (N, {len(classes)}) of float and candidate and labels (N,) with N "
            f"of 1 or more, found {float_logits.shape}, {logits.shape} and {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= len(classes):
        raise ProofError(
            f"{candidate}: quality: expected labels from 0 to {len(classes) - 1}, "
            f"found {labels.min()} to {labels.max()}"
        )
    for name, values in ((candidate, logits), ("float", float_logits)):
        broken = int((~np.isfinite(values)).any(axis=1).sum())
        if broken:
            raise ProofError(f"{name}: quality: expected finite logits, found NaN or infinity on {broken} examples")
    decisions, float_decisions = logits.argmax(axis=1), float_logits.argmax(axis=1)
    right, was_right = decisions == labels, float_decisions == labels
    log_probabilities_NK = log_probabilities(logits, activation)
    float_log_probabilities_NK = log_probabilities(float_logits, activation)
    margins = _margins(float_log_probabilities_NK)
    flipped = decisions != float_decisions
    worst, worst_drop, worst_examples = _worst_class(right, was_right, labels)
    return QualityReport(
        **score_figures(right.astype(np.float64), was_right.astype(np.float64), confidence=confidence),
        flips=int(flipped.sum()),
        confident_flips=int((flipped & (margins >= CONFIDENT_MARGIN)).sum()),
        near_tie_flips=int((flipped & (margins < NEAR_TIE_MARGIN)).sum()),
        worst_class=worst,
        worst_class_name=classes[worst],
        worst_class_drop=worst_drop,
        worst_class_examples=worst_examples,
        divergence=divergence_between(float_logits, logits, activation),
        calibration_error=calibration_error(log_probabilities_NK, labels),
        float_calibration_error=calibration_error(float_log_probabilities_NK, labels),
    )


def log_probabilities(outputs: NDArray[Any], activation: Activation) -> NDArray[np.float64]:
    """The natural logarithms of the probabilities of the classes, in float64: finite for finite outputs.

    Args:
        outputs: outputs of a network, (N, K).
        activation: activation that they already have. Rows of a softmax are scaled to sum to 1, which a candidate's
            need not do.
    """
    # The smallest number replaces 0; NaN stays.
    shares: NDArray[np.float64] = np.maximum(outputs.astype(np.float64), _SMALLEST)
    match activation:
        case "none":
            return log_softmax(outputs)
        case "softmax":
            shares = shares / shares.sum(axis=1, keepdims=True)
        case "sigmoid":
            shares = np.minimum(shares, 1.0)
        case _:
            assert_never(activation)
    log_shares: NDArray[np.float64] = np.log(shares)
    return log_shares


def divergence_between(reference: NDArray[Any], candidate: NDArray[Any], activation: Activation) -> float:
    """The mean Kullback-Leibler divergence of a candidate's probabilities from a reference's, in nats.

    A sigmoid gives as many independent decisions as there are classes, and their divergences add up.

    Args:
        reference: outputs of the reference (N, K).
        candidate: outputs of the candidate for the same examples (N, K).
        activation: activation that both already have.
    """
    if activation != "sigmoid":
        return kl_divergence(log_probabilities(reference, activation), log_probabilities(candidate, activation))
    halves = [
        np.concatenate([log_probabilities(outputs, activation), log_probabilities(1 - outputs, activation)], axis=1)
        for outputs in (reference.astype(np.float64), candidate.astype(np.float64))
    ]
    return kl_divergence(*halves)


def log_softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """The natural logarithms of the probabilities, in float64: finite for every finite float32 logit.

    Args:
        logits: logits (N, K).
    """
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    # The largest term of each sum is 1, so the logarithm is that of a number from 1 to K.
    log_probabilities: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return log_probabilities


def kl_divergence(reference: NDArray[np.float64], candidate: NDArray[np.float64]) -> float:
    """The mean Kullback-Leibler divergence D(reference || candidate), in nats.

    It is 0 where both are the same, and infinite where an answer of the candidate is no finite number.

    Kullback and Leibler (1951), "On information and sufficiency", Annals of Mathematical Statistics 22, 79-86.

    Args:
        reference: log probabilities of the reference (N, K).
        candidate: log probabilities of the candidate (N, K).
    """
    if not np.isfinite(candidate).all():
        return math.inf
    # A probability that underflows to 0, times a finite logarithm, is 0, and so is the limit.
    each = (np.exp(reference) * (reference - candidate)).sum(axis=1)
    # A divergence cannot be negative, but rounding can make it so.
    return float(np.maximum(each, 0.0).mean())


def calibration_error(
    log_probabilities: NDArray[np.float64], labels: NDArray[np.int64], *, bins: int = CALIBRATION_BINS
) -> float:
    """The expected calibration error: how far the probability of the chosen label is from the share of right labels.

    Guo, Pleiss, Sun and Weinberger (2017), "On calibration of modern neural networks", ICML, equation 3: bins of equal
    width over (0, 1], closed at their upper ends, weighted by the examples in them.

    Args:
        log_probabilities: log probabilities (N, K).
        labels: right classes, (N,).
        bins: number of bins.
    """
    sure = np.exp(log_probabilities.max(axis=1))
    right = log_probabilities.argmax(axis=1) == labels
    bin_of = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    # Each bin has examples * |mean certainty - accuracy|, which is |sum of certainties - number of right answers|.
    gaps = np.bincount(bin_of, weights=sure - right, minlength=bins)
    return float(np.abs(gaps).sum()) / labels.size


def _margins(log_probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """The margins between the probabilities of the two most probable classes, (N,); 1 where there is only one class."""
    if log_probabilities.shape[1] == 1:
        return np.ones(len(log_probabilities))
    top = np.exp(np.partition(log_probabilities, -2, axis=1)[:, -2:])
    margins: NDArray[np.float64] = top[:, 1] - top[:, 0]
    return margins


def _worst_class(
    right: NDArray[np.bool_], was_right: NDArray[np.bool_], labels: NDArray[np.int64]
) -> tuple[int, float, int]:
    """The class with the largest drop, that drop, and its examples; classes without examples do not count."""
    counts = np.bincount(labels)
    lost = np.bincount(labels, weights=was_right.astype(np.float64) - right)
    drops = np.divide(lost, counts, out=np.full(len(counts), -np.inf), where=counts > 0)
    worst = int(drops.argmax())
    return worst, float(drops[worst]), int(counts[worst])


def near_ties(logits: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The rows whose two largest logits are closest, the closest first.

    Args:
        logits: logits (N, K).
        count: largest number of rows to return.
    """
    ordered = np.sort(logits, axis=1)
    margins = ordered[:, -1] - ordered[:, -2] if logits.shape[1] > 1 else ordered[:, 0]
    return np.argsort(margins, kind="stable")[:count].astype(np.int64)
