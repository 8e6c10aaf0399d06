"""A classifier's answers are written without an encoder of JSON, but as it would write them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline._handlers.activation import ACTIVATIONS, Activation, probabilities
from pipeline._handlers.description import Serving
from pipeline._handlers.task_answers import ANSWERS
from tests.served_models import GREY, build_archive


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Serving:
    folder: Path = tmp_path_factory.mktemp("packed")
    return build_archive(folder, [GREY]).serving


def classifier(serving: Serving, classes: int, activation: Activation) -> Serving:
    labels = tuple(f'"{index}" \\ \u20ac \U0001f45f \ud800 \x7f' for index in range(classes))
    return replace(serving, labels=labels, top=min(classes, 5), activation=activation)


def document(serving: Serving, outputs: NDArray[np.float32]) -> dict[str, Any]:
    """The answer to one instance, built value by value."""
    shares = probabilities(outputs, serving.activation)
    top = [
        {"label": serving.labels[index], "class_id": index, "probability": float(shares[index])}
        for index in np.argsort(-shares, kind="stable")[: serving.top].tolist()
    ]
    return {**top[0], "top": top}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("classes", [1, 2, 10, 32, 33, 1000])
@pytest.mark.parametrize("rows", [1, 2, 70])
def test_a_classifiers_answers_are_written_as_json_would_be(
    packed: Serving, rows: int, classes: int, activation: Activation
) -> None:
    serving = classifier(packed, classes, activation)
    outputs = np.random.default_rng(classes).normal(0, 9, (rows, classes)).astype(np.float32)
    outputs[::2] = np.rint(outputs[::2])  # classes of one probability keep their order
    outputs[::3] *= 100  # some probabilities become 0, or have an exponent
    kind = ANSWERS["classification"]
    expected = [document(serving, row) for row in outputs]
    assert kind.write(serving, outputs) == [json.dumps(answer, separators=(",", ":")) for answer in expected]
    assert [kind.tell(serving, row) for row in outputs] == expected
