"""What a server answers besides its outputs is held against them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline._handlers.activation import ACTIVATIONS, Activation, probabilities
from pipeline._handlers.request import MAX_BODY_BYTES
from pipeline.errors import ProofError, ServerError
from pipeline.serving.check import JSON, PNG, _fitting_bodies, _require_same, encode_requests
from pipeline.serving.wire import Logits
from tests.served_models import GREY, LABELS, TABLE, build_archive


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_probability_that_is_not_that_of_the_outputs(activation: Activation, tmp_path: Path) -> None:
    archive = build_archive(tmp_path, [TABLE], activation=activation)
    outputs = np.array([[0.998, 0.001, 0.001, *[0] * (len(LABELS) - 3)]], np.float32)
    largest = {kind: float(probabilities(outputs[0], kind).max()) for kind in ACTIVATIONS}

    def responses(probability: float) -> list[Logits]:
        return [
            Logits(
                values=outputs,
                answers=({"label": LABELS[0], "probability": probability},),
                worker=1,
                digest=archive.digest,
            )
        ]

    assert _require_same(archive, "golden", outputs, responses(largest[activation])).passed
    wrong = largest["none" if activation == "softmax" else "softmax"] if activation != "sigmoid" else largest["none"]
    with pytest.raises(
        ProofError, match=rf"golden, example 0: expected probability 0\.\d+ of {LABELS[0]}, .* found 0\."
    ):
        _require_same(archive, "golden", outputs, responses(wrong))


def test_pictures_of_another_size_than_the_typical_one_are_posted_as_json() -> None:
    free = replace(GREY, dynamic_axes=(1, 2))
    for shape, form in ((GREY.shape, PNG), ((1, 9, 7), JSON)):
        encoded = encode_requests([free], {"image": np.ones((2, *shape), np.uint8)})
        assert next(iter(_fitting_bodies(encoded, "mine"))) == form
    with pytest.raises(ServerError, match="mine: expected inputs that fit into a request of"):
        _fitting_bodies({JSON: [bytes(MAX_BODY_BYTES + 1)]}, "mine")
