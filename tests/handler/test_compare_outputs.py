"""Several outputs are compared one by one, each within limits of its own spread, and the worst one is named."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pipeline._handlers.compare import by_output, compare, fitted, in_outputs, limits_of, tells_nothing_apart
from pipeline._handlers.description_checks import checked_tolerance
from pipeline._handlers.outputs import OutputSpec
from pipeline._handlers.tolerance import FLOAT32, Tolerance

# Logits in thousands beside an embedding whose values are a millionth of theirs.
SPECS = (OutputSpec(name="logits", shape=(4,)), OutputSpec(name="embedding", shape=(2, 3)))
LARGE, SMALL = 1e3, 1e-3


def answers() -> np.ndarray:
    draw = np.random.default_rng(0)
    values = np.concatenate([draw.normal(0, LARGE, (16, 4)), draw.normal(0, SMALL, (16, 6))], axis=1)
    return values.astype(np.float32)


TOLERANCE = fitted(in_outputs(FLOAT32, SPECS), answers(), noise=0.0)


def test_a_fault_of_a_small_output_is_caught_by_name_beside_large_ones() -> None:
    expected = answers()
    faulty = expected.copy()
    faulty[3, 4 + 5] += np.float32(0.01 * SMALL)  # a hundredth of its own scale, nothing beside the logits
    comparison = compare(expected, faulty, TOLERANCE)
    assert not comparison.passed
    assert comparison.output == "embedding"
    assert comparison.position == (3, 1, 2)
    assert comparison.reason.startswith("output embedding at [3, 1, 2]: expected ")
    assert comparison.to_json()["output"] == "embedding"
    # One limit for all columns together lets the same fault pass.
    assert compare(expected, faulty, fitted(FLOAT32, expected, noise=0.0)).passed


def test_its_twin_within_rounding_passes() -> None:
    expected = answers()
    twin = expected.copy()
    twin[3, 4 + 5] = np.nextafter(twin[3, 4 + 5], np.float32(1))
    comparison = compare(expected, twin, TOLERANCE)
    assert comparison.passed
    assert comparison.output == "embedding"


def test_a_large_output_keeps_its_own_limit_too() -> None:
    expected = answers()
    faulty = expected.copy()
    faulty[0, 1] += np.float32(0.001 * LARGE)
    assert compare(expected, faulty, TOLERANCE).reason.startswith("output logits at [0, 1]: ")


def test_values_that_are_no_numbers_are_named_with_their_output() -> None:
    broken = answers()
    broken[2, 5] = np.nan
    assert compare(answers(), broken, TOLERANCE).reason == "output embedding found value at [2, 0, 1] is nan"


def test_each_output_gets_its_own_noise() -> None:
    noisy = fitted(in_outputs(FLOAT32, SPECS), answers(), noise=(1.0, 1e-7))
    logits, embedding = (limit.absolute for limit in noisy.outputs)
    assert logits == pytest.approx(16, rel=0.01)
    assert embedding == pytest.approx(16e-7, rel=0.01)
    with pytest.raises(ValueError, match="expected one number"):
        fitted(FLOAT32, answers(), noise=(1.0, 2.0))


def test_limits_are_those_of_each_output() -> None:
    limits = limits_of(answers().astype(np.float64), TOLERANCE, batch_size=1)
    assert limits.shape == answers().shape
    assert limits[:, :4].min() > 1e4 * limits[:, 4:].max()


def test_another_number_of_columns_is_no_answer() -> None:
    with pytest.raises(ValueError, match=r"expected answers of 10 values, as the outputs have, found \[9\]"):
        by_output(answers()[:, :9], TOLERANCE)


def test_one_varied_output_is_enough_to_tell_examples_apart() -> None:
    alike = answers()
    alike[:, :4] = alike[0, :4]
    assert not tells_nothing_apart(alike, TOLERANCE)
    alike[:] = alike[0]
    assert tells_nothing_apart(alike, TOLERANCE)


def test_an_output_whose_limit_takes_anything_is_not_hidden_by_another() -> None:
    loose = replace(TOLERANCE.outputs[1], absolute=1e6)
    assert tells_nothing_apart(
        answers(), replace(TOLERANCE, outputs=(TOLERANCE.outputs[0], loose, *TOLERANCE.outputs[2:]))
    )


def test_a_lead_of_one_output_over_another_is_no_decision() -> None:
    tolerance = in_outputs(Tolerance(absolute=1.0, same_decision=True), SPECS)
    expected = np.zeros((1, 10), np.float32)
    expected[0, 0] = 0.9
    found = np.zeros((1, 10), np.float32)
    found[0, 9] = 0.9
    assert compare(expected, found, tolerance).passed


def test_a_tolerance_of_outputs_is_read_as_it_was_written() -> None:
    document = json.loads(json.dumps(TOLERANCE.to_json()))
    assert checked_tolerance(document, "golden.tolerance") == TOLERANCE
    assert "outputs" not in FLOAT32.to_json()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"absolute": 1e31}, "golden.tolerance.outputs.absolute: expected a number from 0 to less than 1e.30"),
        ({"usual_spread": -1.0}, "golden.tolerance.outputs.usual_spread: expected a number from 0"),
        ({"shape": [0]}, "golden.tolerance.outputs: shape: expected a whole number"),
        ({"more": 1}, "golden.tolerance.outputs: expected objects with absolute, name, shape, usual_spread"),
    ],
)
def test_a_tolerance_that_accepts_everything_of_one_output_is_refused(change: dict[str, object], text: str) -> None:
    document = replace(TOLERANCE).to_json()
    document["outputs"][1] |= change
    with pytest.raises(ValueError, match=text):
        checked_tolerance(document, "golden.tolerance")
