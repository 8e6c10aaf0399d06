"""A lossless file is held to its source on a whole split."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline._handlers.compare import fitted
from pipeline._handlers.tolerance import FLOAT32
from pipeline.checks.whole_split import require_same_answers, require_same_decisions
from pipeline.errors import ProofError


def test_a_lossless_file_that_decides_otherwise_on_validation_is_no_lossless_file() -> None:
    expected = np.array([[0.0, 5.0, 1.0], [3.0, 3.0001, 0.0], [4.0, 0.0, 1.0]], np.float32)
    near_tie = expected + np.array([[0, 0, 0], [2e-4, 0, 0], [0, 0, 0]], np.float32)
    tolerance = fitted(FLOAT32, expected, noise=1e-5)
    require_same_decisions("float.onnx.fp32", expected, near_tie, tolerance)
    turned = near_tie + np.array([[0, 0, 0], [0, 0, 0], [0, 5, 0]], np.float32)
    with pytest.raises(
        ProofError,
        match=r"^float\.onnx\.fp32: parity on validation: .* found 1 of 3 turned that are no near ties; the first is "
        r"example 2: expected class 0, found 1",
    ):
        require_same_decisions("float.onnx.fp32", expected, turned, tolerance)


def test_a_lossless_file_that_answers_otherwise_on_validation_is_none_in_any_task() -> None:
    expected = np.array([[0.0, 5.0], [3.0, 3.1], [4.0, 0.0]], np.float32)
    tolerance = fitted(FLOAT32, expected, noise=1e-6)
    rounded = expected + np.float32(1e-6)
    everywhere, nowhere = np.ones(3, np.bool_), np.zeros(3, np.bool_)
    require_same_answers("float.onnx.fp32", expected, rounded, tolerance, disagreements=everywhere)
    other = expected + np.array([[0, 0], [0, 0], [0, 0.5]], np.float32)
    require_same_answers("float.onnx.fp32", expected, other, tolerance, disagreements=nowhere)
    with pytest.raises(ProofError, match=r"found others to 1 of 3 examples; the first is example 2, 0\.5 apart"):
        require_same_answers("float.onnx.fp32", expected, other, tolerance, disagreements=everywhere)
