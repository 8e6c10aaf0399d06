"""How sure answers are, and how often they are right."""

from __future__ import annotations

from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.activation import label_probabilities, probabilities
from pipeline.commands.build_result import BuildResult
from pipeline.commands.report_page.answers import Compared
from pipeline.pages.report.document import Bin, Calibration
from pipeline.tasks.quality import QualityReport

_BINS = 10


def calibration_of(result: BuildResult, compared: Compared | None) -> Calibration | None:
    """Tell how certainty and right answers go together; None where answers have no probabilities, or no labels.

    Args:
        result: what the build ended with.
        compared: answers to validation examples; None where there are none.
    """
    winner = next(row.report for row in result.candidates if row.selected)
    errors = [
        _error(split, quality)
        for split, quality in (("validation", winner.quality), ("test", result.test))
        if quality.calibration_error is not None
    ]
    if not errors:
        return None
    listed = " and ".join(errors)
    sentences = [f"Expected calibration error {listed}: how far certainty and the share of right answers lie apart."]
    bins = {} if compared is None else _bins(result, compared)
    if bins:
        sentences.append(
            "Where a point lies below the diagonal, answers are surer than they are right; above it, they are more "
            "careful than they need to be."
        )
    return Calibration(sentences=tuple(sentences), bins=bins)


def _error(split: str, quality: QualityReport) -> str:
    of_float = "" if quality.float_calibration_error is None else f" (float {quality.float_calibration_error:.4f})"
    return f"{quality.calibration_error:.4f}{of_float} on {split}"


def _bins(result: BuildResult, compared: Compared) -> dict[str, tuple[Bin, ...]]:
    networks = {result.selected: compared.winner, result.baseline: compared.baseline}
    pairs = {name: _certainty(compared, outputs) for name, outputs in networks.items()}
    return {name: _binned(*pair) for name, pair in pairs.items() if pair is not None}


def _certainty(
    compared: Compared, outputs: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
    """How sure each answer is, and whether it is right; None where answers have no probabilities."""
    targets: NDArray[Any] = compared.targets
    name = compared.task.name
    match name:
        case "classification":
            shares = probabilities(outputs, compared.info.activation)
            return shares.max(axis=1), shares.argmax(axis=1) == targets
        case "multi-label":
            return label_probabilities(outputs, compared.info.activation).ravel(), np.asarray(targets == 1).ravel()
        case "regression" | "outputs":
            return None
        case _:
            assert_never(name)


def _binned(certainty: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    places = np.clip(np.ceil(certainty * _BINS).astype(np.int64) - 1, 0, _BINS - 1)
    return tuple(
        Bin(
            examples=int((places == place).sum()),
            certainty=float(certainty[places == place].mean()),
            right=float(right[places == place].mean()),
        )
        for place in range(_BINS)
        if (places == place).any()
    )
