"""Golden answers of several outputs fit the description, and so do the limits they are held within."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline._handlers.compare import fitted, in_outputs
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import Golden, RuntimeSpec, Serving
from pipeline._handlers.golden import require_golden
from pipeline._handlers.outputs import OutputSpec
from pipeline._handlers.tolerance import FLOAT32, Tolerance
from tests.served_models import description

SPECS = (OutputSpec(name="logits", shape=(3,)), OutputSpec(name="mask", shape=(2, 2)))
DRAW = np.random.default_rng(0)
ANSWERS = DRAW.normal(0, 1, (4, 7)).astype(np.float32)
TOLERANCE = fitted(in_outputs(FLOAT32, SPECS), ANSWERS, noise=0.0)


def described(tolerance: Tolerance = TOLERANCE, **changes: Any) -> Serving:
    fields = {
        "task": "outputs",
        "labels": tuple(spec.name for spec in SPECS),
        "runtime": RuntimeSpec(kind="onnxruntime", file="model.onnx", outputs=SPECS),
        "golden": Golden(file="golden.safetensors", batch_sizes=(1,), tolerance=tolerance),
        **changes,
    }
    return description([InputSpec(name="values", dtype="float32", shape=(8,), low=-9, high=9)], top=2, **fields)


def arrays(answers: NDArray[np.float32] = ANSWERS) -> dict[str, NDArray[Any]]:
    return {"input.values": DRAW.normal(0, 1, (4, 8)).astype(np.float32), "logits.1": answers}


def test_answers_have_a_column_for_each_value_of_the_outputs() -> None:
    require_golden(described(), arrays())
    with pytest.raises(
        ValueError, match=r"shape \[4, 7\], one row per golden input and one column per value of the out"
    ):
        require_golden(described(), arrays(ANSWERS[:, :6]))


def test_an_output_without_a_limit_of_its_own_is_refused() -> None:
    for tolerance in (FLOAT32, fitted(in_outputs(FLOAT32, SPECS[:1]), ANSWERS[:, :3])):
        with pytest.raises(ValueError, match=r"expected a limit for each of the outputs logits \[3\], mask \[2, 2\]"):
            require_golden(described(tolerance), arrays())


def test_a_limit_that_accepts_every_answer_of_one_output_is_refused_by_name() -> None:
    wide = replace(TOLERANCE.outputs[1], absolute=1e6)
    tolerance = replace(TOLERANCE, outputs=(TOLERANCE.outputs[0], wide))
    with pytest.raises(ValueError, match=r"output mask: expected a limit far below the largest golden answer"):
        require_golden(described(tolerance), arrays())


def test_values_with_units_have_limits_by_label() -> None:
    labels = ("weight", "height")
    each = tuple(OutputSpec(name=label, shape=()) for label in labels)
    tolerance = fitted(in_outputs(FLOAT32, each), ANSWERS[:, :2], noise=0.0)
    runtime = RuntimeSpec(kind="onnxruntime", file="model.onnx")
    serving = described(tolerance, task="regression", labels=labels, runtime=runtime)
    require_golden(serving, arrays(ANSWERS[:, :2]))
    with pytest.raises(
        ValueError, match=r"limit for each of the outputs weight \[\], size \[\], found weight \[\], hei"
    ):
        require_golden(replace(serving, labels=("weight", "size")), arrays(ANSWERS[:, :2]))


@pytest.mark.parametrize(
    "change",
    [
        {"task": "classification"},
        {"runtime": RuntimeSpec(kind="onnxruntime", file="model.onnx")},
        {"labels": ("logits", "other")},
    ],
)
def test_a_description_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    document = described(**change).to_json()
    with pytest.raises(ValueError, match="outputs: expected one for each of the labels in task outputs, and none in"):
        Serving.from_json(document)
