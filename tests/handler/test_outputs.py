"""Several outputs are one array inside, and come out of it as they went in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline._handlers.outputs import (
    OutputSpec,
    checked_outputs,
    join_outputs,
    output_columns,
    split_outputs,
)

SPECS = (
    OutputSpec(name="logits", shape=(3,)),
    OutputSpec(name="mask", shape=(2, 4, 5)),
    OutputSpec(name="depth", shape=()),
)


def test_outputs_come_back_as_they_were_joined() -> None:
    draw = np.random.default_rng(0)
    arrays = [draw.normal(0, 1, (4, *spec.shape)).astype(np.float32) for spec in SPECS]
    joined = join_outputs(arrays, SPECS)
    assert joined.shape == (4, 3 + 40 + 1)
    assert output_columns(SPECS) == [slice(0, 3), slice(3, 43), slice(43, 44)]
    for array, (name, part), spec in zip(arrays, split_outputs(joined, SPECS).items(), SPECS, strict=True):
        assert name == spec.name
        assert np.array_equal(array, part)


def test_one_output_of_one_axis_is_not_copied() -> None:
    array = np.zeros((2, 3), np.float32)
    assert np.shares_memory(join_outputs([array], SPECS[:1]), array)


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ([np.zeros((2, 3), np.float32)], "expected 3 outputs, found 1"),
        (
            [np.zeros((2, 3), np.float32), np.zeros((2, 2, 5, 4), np.float32), np.zeros(2, np.float32)],
            r"output mask: expected float32 of shape \[2, 2, 4, 5\], found float32 of shape \[2, 2, 5, 4\]",
        ),
        (
            [np.zeros((2, 3), np.float32), np.zeros((2, 2, 4, 5), np.float32), np.zeros(3, np.float32)],
            r"output depth: expected float32 of shape \[2\], found float32 of shape \[3\]",
        ),
        (
            [np.zeros((2, 3)), np.zeros((2, 2, 4, 5), np.float32), np.zeros(2, np.float32)],
            "output logits: expected float32 of shape .*, found float64",
        ),
    ],
)
def test_what_is_no_such_output_is_named(arrays: list[Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        join_outputs(arrays, SPECS)


def test_a_description_of_outputs_is_read_as_it_was_written() -> None:
    assert checked_outputs([spec.to_json() for spec in SPECS]) == SPECS


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({}, "outputs: expected a list, found dict"),
        ([{"name": "a"}], "outputs: KeyError: 'shape'"),
        ([{"name": "a", "shape": [2], "dtype": "int8"}], "unexpected keyword argument"),
        ([{"name": "a", "shape": [0]}], "output a: shape: expected a whole number from 1"),
        ([{"name": "a\nb", "shape": [1]}], "name: expected text without control characters"),
        ([{"name": "a", "shape": [1]}, {"name": "a", "shape": [2]}], "expected a name of its own for each, found a, a"),
    ],
)
def test_a_wrong_description_of_outputs_is_refused(document: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        checked_outputs(document)
