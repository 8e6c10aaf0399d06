"""A client gets the outputs by name, each in its own shape, with the very values of the model."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline._handlers.answer_size import longest_answer
from pipeline._handlers.compare import in_outputs
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import Golden, RuntimeSpec, Serving
from pipeline._handlers.outputs import OutputSpec
from pipeline._handlers.outputs_answer import OutputsAnswer
from pipeline._handlers.task_answers import read_answer
from pipeline._handlers.tolerance import FLOAT32
from tests.served_models import description

SPECS = (
    OutputSpec(name="logits", shape=(3,)),
    OutputSpec(name="mask", shape=(2, 2)),
    OutputSpec(name="depth", shape=()),
)
ANSWER = OutputsAnswer()


def model() -> Serving:
    """A description of a model with three outputs."""
    return description(
        [InputSpec(name="values", dtype="float32", shape=(8,), low=-1, high=1)],
        task="outputs",
        labels=tuple(spec.name for spec in SPECS),
        runtime=RuntimeSpec(kind="onnxruntime", file="model.onnx", outputs=SPECS),
        golden=Golden(file="golden.safetensors", batch_sizes=(1,), tolerance=in_outputs(FLOAT32, SPECS)),
    )


def values() -> NDArray[np.float32]:
    return np.array([0.1, -1e30, 3, 1 / 3, -2.5e-38, 5, 6, 7], np.float32)


def test_every_value_arrives_as_it_is() -> None:
    document = json.loads(json.dumps(ANSWER.tell(model(), values())))
    assert document["outputs"]["logits"][0] == 0.1, "the fewest digits"
    assert np.array_equal(np.float32(document["outputs"]["mask"]), values()[3:7].reshape(2, 2))
    assert document["outputs"]["depth"] == 7
    assert ANSWER.difference(model(), values(), ANSWER.read(document)) == ""


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"logits": [0.1, -1e30, 4]},
            r"expected 3 at \[2\] of output logits, as the server's own outputs have it, fou",
        ),
        ({"mask": [[1, 2]]}, r"expected output mask of shape \[2, 2\], found \[1, 2\]"),
        ({"more": 1}, "expected outputs logits, mask, depth, found logits, mask, depth, more"),
    ],
)
def test_another_answer_is_told(change: dict[str, Any], text: str) -> None:
    answer = ANSWER.tell(model(), values())
    answer["outputs"] |= change
    assert re.search(text, ANSWER.difference(model(), values(), answer))


def test_an_answer_is_known_by_its_fields() -> None:
    assert read_answer(ANSWER.tell(model(), values()))[0] == "outputs"


def test_no_answer_is_longer_than_the_longest() -> None:
    longest = len(json.dumps(longest_answer(model())))
    bits = np.random.default_rng(0).integers(0, 2**32, size=(2000, 8), dtype=np.uint32).view(np.float32)
    large = -(np.linspace(1e15, 9.9e15, 8000).astype(np.float32).reshape(1000, 8))
    for extreme in (np.full(8, -1.1754944e-38, np.float32), *large, *bits[np.isfinite(bits).all(axis=1)]):
        assert len(json.dumps(ANSWER.tell(model(), extreme))) <= longest


def test_an_answer_fits_a_table() -> None:
    columns = ANSWER.columns(model())
    assert columns == (
        "logits[0]",
        "logits[1]",
        "logits[2]",
        "mask[0,0]",
        "mask[0,1]",
        "mask[1,0]",
        "mask[1,1]",
        "depth",
    )
    cells = ANSWER.cells(model(), values())
    assert len(cells) == len(columns)
    assert cells[-1] == 7


def test_a_person_is_shown_the_first_values() -> None:
    words = ANSWER.words(ANSWER.tell(model(), values()))
    assert words == "logits [3]: 0.1, -1e+30, 3; mask [2, 2]: 0.333333, -2.5e-38, 5, 6; depth 7"
    assert ANSWER.outputs(["a", "b"]) == "2 tensors by name"


def test_a_description_is_read_as_it_was_written() -> None:
    document = json.loads(json.dumps(model().to_json()))
    assert document["runtime"]["outputs"][1] == {"name": "mask", "shape": [2, 2]}
    assert Serving.from_json(document) == model()
    assert model().columns == 8
