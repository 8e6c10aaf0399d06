from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from pipeline._handlers.body_forms import decode_request
from pipeline._handlers.decode import InputSpec
from pipeline.serving.front.example import example_body
from tests.row_inputs import FLAT, NAMED
from tests.served_models import COLOUR, GREY, SEQUENCE, TABLE

FLAG = InputSpec(name="flag", dtype="int64", shape=(), low=0, high=1)
SCALAR = InputSpec(name="scalar", dtype="float32", shape=(1,), low=-1.0, high=1.0, occurs=("noise",))
BELOW = InputSpec(name="below", dtype="float32", shape=(2, 3), low=-2.5, high=-1.123456789, occurs=("maximum",))
FIXED = InputSpec(name="fixed", dtype="uint8", shape=(4,), low=7, high=7)
NARROW = InputSpec(name="narrow", dtype="float32", shape=(12,), low=0.1234567, high=0.1234569)
FREE = InputSpec(name="free", dtype="float32", shape=(3, 2), low=float("-inf"), high=float("inf"), dynamic_axes=(0,))
TEXT = replace(SEQUENCE, occurs=("maximum", "noise"))
MISSING = replace(NAMED, missing=True)


@pytest.mark.parametrize(
    "inputs",
    [
        *([spec] for spec in (COLOUR, TABLE, FLAT, NAMED, MISSING, FLAG, SCALAR, BELOW, FIXED, NARROW, FREE, TEXT)),
        [GREY, TABLE],
        [NAMED, SEQUENCE],
    ],
    ids=lambda inputs: "+".join(spec.name for spec in inputs),
)
def test_the_model_takes_its_example(inputs: Sequence[InputSpec]) -> None:
    request = decode_request(json.dumps(example_body(inputs)).encode(), "application/json", inputs)
    [instance] = request.instances
    assert {spec.name: instance[spec.name].shape for spec in inputs} == {spec.name: spec.shape for spec in inputs}


def test_a_row_names_its_columns_and_categories() -> None:
    assert example_body([NAMED]) == {"instances": [{"age": 0.1, "sex": "female"}]}


def test_numbers_differ_so_that_a_person_sees_their_order() -> None:
    assert example_body([SEQUENCE]) == {"instances": [[1, 2, 3, 4, 5, 6]]}


def test_no_example_has_more_values_than_a_person_reads() -> None:
    assert example_body([replace(TABLE, shape=(64, 64))]) is not None
    assert example_body([replace(TABLE, shape=(65, 64))]) is None
