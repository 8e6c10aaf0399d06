"""Values are checked against the bounds of an input, whatever the dtype of the array that holds them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.domain import check_values
from tests.served_models import GREY, TABLE


@pytest.mark.parametrize(
    ("array", "place"),
    [
        (np.array([0, 256, 3]), "[1]"),
        (np.array([[7, -1]], dtype=np.int8), "[0, 1]"),
        (np.array([0.0, 255.5]), "[1]"),
        (np.array([0, 255], dtype=np.uint8), ""),
        (np.array([], dtype=np.uint8), ""),
    ],
)
def test_values_in_another_dtype_are_held_to_the_inputs_own(array: NDArray[Any], place: str) -> None:
    if not place:
        check_values(array, GREY)
        return
    with pytest.raises(BadRequest) as caught:
        check_values(array, GREY)
    assert caught.value.error == f"input image: value out of its domain at {place}"


@pytest.mark.parametrize(("low", "high"), [(-np.inf, np.inf), (-np.inf, 2.0), (-2.0, np.inf), (-2.0, 2.0)])
def test_every_bound_holds_alone(low: float, high: float) -> None:
    spec = replace(TABLE, low=low, high=high)
    for value in (-3.0, 3.0):
        array = np.array([0, 1, value, 0], dtype=np.float32)
        if low <= value <= high:
            check_values(array, spec)
        else:
            with pytest.raises(BadRequest, match=r"value out of its domain at \[2\]"):
                check_values(array, spec)
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(BadRequest, match=r"non-finite value at \[1\]"):
            check_values(np.array([0, value], dtype=np.float32), spec)
