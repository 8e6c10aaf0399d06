"""Examples on their way to a server."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from pipeline._handlers.body_forms import decode_request
from pipeline.serving.encoding import encode_instances
from tests.served_models import GREY, TABLE


def test_missing_values_cross_json_as_null() -> None:
    gaps = replace(TABLE, missing=True)
    rows = np.array([[0.1, np.nan, -2, 1], [np.nan] * 4, [1, 2, 0, 0.3]], dtype=np.float32)
    body = encode_instances([gaps], {"features": rows})
    assert json.loads(body)["instances"][1] == [None] * 4
    assert b"NaN" not in body
    instances = decode_request(body, "application/json", [gaps]).instances
    np.testing.assert_array_equal(np.stack([instance["features"] for instance in instances]), rows)
    images = {"image": np.zeros((1, 1, 8, 6), dtype=np.uint8)}
    both = encode_instances([GREY, gaps], {**images, "features": rows[:1]})
    assert np.isnan(decode_request(both, "application/json", [GREY, gaps]).instances[0]["features"][1])
