"""Rows of a table in request bodies, small ones and large ones, which are parsed row by row."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.body_forms import decode_request
from pipeline._handlers.columns import Column
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.json_text import SMALL_JSON_BYTES
from pipeline.serving.encoding import encode_instances
from tests.request_bodies import JSON, RAW
from tests.served_models import GREY

ROWS = InputSpec(
    name="features",
    dtype="float32",
    shape=(3,),
    low=-math.inf,
    high=math.inf,
    columns=(
        Column(name="age"),
        Column(name="sex", categories=("female", "male")),
        Column(name="deck [m²]", categories=('a, "b"', "[", "]}", "1", "\U0001f6a2")),
    ),
)
GAPPED = replace(ROWS, missing=True)
ROW = {
    "age": 3.5,
    "sex": "male",
    "deck [m²]": "[",
}
BY_NAME, IN_ORDER, NESTED = ROW, list(ROW.values()), {"features": ROW}
EXPECTED = [3.5, 1.0, 1.0]


def body(*instances: Any, large: bool) -> bytes:
    """A body of these instances; spaces behind it make it large."""
    text = json.dumps({"instances": [ROW, *instances]}, ensure_ascii=False)
    return text.encode() + b" " * (SMALL_JSON_BYTES if large else 0)


def decoded(content: bytes, spec: InputSpec = ROWS) -> NDArray[Any]:
    return np.stack([instance["features"] for instance in decode_request(content, JSON, [spec]).instances])


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("row", [BY_NAME, IN_ORDER, NESTED, {"features": IN_ORDER}])
def test_a_row_by_names_or_in_order(row: Any, large: bool) -> None:
    values = decoded(body(row, large=large))
    assert values.dtype == np.float32
    assert values[-1].tolist() == EXPECTED


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_missing_values_are_null_where_they_may_be(large: bool) -> None:
    content = body({**ROW, "age": None}, [1, None, "]}"], large=large)
    np.testing.assert_array_equal(decoded(content, GAPPED)[-2:], [[np.nan, 1, 1], [1, np.nan, 2]])
    with pytest.raises(BadRequest, match="non-finite value in column age: expected finite numbers; this input has no"):
        decoded(content)


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"age": 1, "sex": "male"}, "wrong columns: expected the columns age, sex, deck .*, found no deck"),
        ({**ROW, "sex": "men"}, 'column sex: unknown category: expected female, male, found "men"'),
        ({**ROW, "age": "old"}, 'column age: wrong kind of value: expected a number, found "old"'),
        ({**ROW, "age": 1e39}, "non-finite value in column age"),
        ({**ROW, "age": 10**400}, "(non-finite value in column age|number too long)"),
        ({**ROW, "sex": 10**399}, "column sex: unknown category"),
        ([1, "male"], "wrong number of values: expected 3"),
        ([1, "male", "[", 5], "wrong number of values: expected 3"),
        ([[1, "male", "["]], "wrong (kind of value|number of values)"),
        ("male", "wrong inputs: expected .*age.*, found str"),
        ({"features": 3}, "wrong columns: .*unknown features"),
        ({"features": {"features": IN_ORDER}}, "wrong (columns|kind of value)"),
    ],
)
def test_what_is_no_row_is_refused(row: Any, message: str, large: bool) -> None:
    with pytest.raises(BadRequest, match=message) as refusal:
        decoded(body(row, large=large))
    assert refusal.value.status == 400


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_a_column_twice_is_refused(large: bool) -> None:
    content = body("row", large=large).replace(b'"row"', b'{"age": 1, "sex": "male", "age": 2}')
    with pytest.raises(BadRequest, match='JSON object with a key twice: expected each key once, found "age"'):
        decoded(content)


def test_a_row_beside_another_input() -> None:
    pixels = np.zeros(GREY.shape, dtype=np.uint8).tolist()
    content = json.dumps({"instances": [{"image": pixels, "features": ROW}]}).encode()
    [instance] = decode_request(content, JSON, [GREY, ROWS]).instances
    assert instance["features"].tolist() == EXPECTED


def test_raw_values_hold_positions_of_categories() -> None:
    values = np.array([3.5, 1, 4], dtype="<f4")
    assert decode_request(values.tobytes(), RAW, [ROWS]).instances[0]["features"].tolist() == [3.5, 1.0, 4.0]
    for wrong in (5.0, 0.5, -1.0):
        values[2] = wrong
        with pytest.raises(BadRequest, match=r"column deck \[m²\]: no position of a category: expected 0 to 4"):
            decode_request(values.tobytes(), RAW, [ROWS])


def test_what_the_client_writes_is_what_the_server_reads() -> None:
    generator = np.random.default_rng(0)
    values = np.stack(
        [generator.normal(size=1000), generator.integers(0, 2, 1000), generator.integers(0, 5, 1000)], axis=1
    ).astype(np.float32)
    values[generator.random(values.shape) < 0.1] = np.nan
    content = encode_instances([GAPPED], {"features": values})
    for space in (b"", b" " * SMALL_JSON_BYTES):
        np.testing.assert_array_equal(decoded(content + space, GAPPED), values)
