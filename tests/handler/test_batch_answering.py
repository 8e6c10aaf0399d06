"""What the model cannot answer, and whose fault that is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.batch_answering import answer_requests
from pipeline._handlers.body_forms import decode_request
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.model_file import Model, load_model
from pipeline._handlers.predictor import Predictor
from pipeline._handlers.request import Request
from tests.served_models import GREY, SEQUENCE, build_archive

WRONG = 77  # a picture of nothing else is one that the models below cannot answer


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    build_archive(tmp_path / "made", [GREY]).unpack(tmp_path / "unpacked")
    return Predictor.load(tmp_path / "unpacked")


def picture(value: int) -> Request:
    return decode_request(bytes([value] * 48), "application/octet-stream", [GREY])


def pictures(*values: int) -> Request:
    instances = [np.full((1, 8, 6), value).tolist() for value in values]
    return decode_request(json.dumps({"instances": instances}).encode(), "application/json", [GREY])


def failing(predictor: Predictor, failure: Callable[[], Exception] | None) -> None:
    """Let the model answer NaN for a wrong picture, or raise."""
    model = predictor._model

    def answer(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        wrong = (inputs["image"] == WRONG).all(axis=(1, 2, 3))
        if failure is not None and wrong.any():
            raise failure()
        logits = np.array(model(inputs))
        logits[wrong] = np.nan
        return logits

    predictor._model = answer


@pytest.mark.parametrize(
    ("failure", "found"),
    [
        (None, "candidate float.onnx.fp32 answered with NaN or infinity"),
        (lambda: RuntimeError("index 99 is out\n  of bounds"), "index 99 is out of bounds"),
        (IndexError, "IndexError"),
    ],
)
def test_a_request_without_an_answer_is_told_so_and_spoils_no_other(
    predictor: Predictor, failure: Callable[[], Exception] | None, found: str
) -> None:
    requests = [picture(1), picture(WRONG), pictures(2, 3), pictures(2, WRONG, 4), pictures(WRONG)]
    right = answer_requests(predictor, [requests[0], requests[2]])
    failing(predictor, failure)
    answers = answer_requests(predictor, requests)
    np.testing.assert_array_equal(answers[0], right[0])
    np.testing.assert_array_equal(answers[2], right[1])
    for row, error in (
        (1, "the model has no answer to these values"),
        (3, "instance 1: the model has no answer to these values"),
        (4, "instance 0: the model has no answer to these values"),
    ):
        problem = answers[row]
        assert isinstance(problem, BadRequest)
        assert (problem.status, problem.error, problem.found) == (422, error, found)


TOKENS = InputSpec(name="tokens", dtype="int64", shape=(2,), low=0, high=99)


def embedding(folder: Path) -> Model:
    """A row of nine, divided by a number: ONNX Runtime raises on the tenth, and 0 makes infinity and NaN."""
    table = np.arange(45, dtype=np.float32).reshape(9, 5)
    nodes = [
        helper.make_node("Split", ["tokens"], ["row", "divisor"], axis=1, num_outputs=2),
        helper.make_node("Squeeze", ["row", "axis"], ["index"]),
        helper.make_node("Gather", ["table", "index"], ["found"]),
        helper.make_node("Cast", ["divisor"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["found", "float"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "embedding",
        [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", 2])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 5])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1]), "axis")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return load_model(folder, RuntimeSpec(kind="onnxruntime", file="model.onnx"), [TOKENS])


def test_what_the_runtime_itself_refuses_is_told(predictor: Predictor, tmp_path: Path) -> None:
    predictor = Predictor(
        serving=replace(predictor.serving, inputs=(TOKENS,)),
        digest="",
        model=embedding(tmp_path),
        golden={"input.tokens": np.array([[1, 2]])},
        pictures={},
    )
    bodies = ([[3, 1]], [[12, 1]], [[3, 0], [2, 1]], [[4, 2]])
    requests = [
        decode_request(json.dumps({"instances": body}).encode(), "application/json", [TOKENS]) for body in bodies
    ]
    third, beyond, divided, fourth = answer_requests(predictor, requests)
    assert isinstance(third, np.ndarray)
    assert third.tolist() == [[15, 16, 17, 18, 19]]
    assert isinstance(fourth, np.ndarray)
    assert fourth.tolist() == [[10, 10.5, 11, 11.5, 12]]
    for problem, found in ((beyond, "out of data bounds"), (divided, "answered with NaN or infinity")):
        assert isinstance(problem, BadRequest)
        assert problem.status == 422
        assert problem.error == "instance 0: the model has no answer to these values"
        assert found in problem.found


@pytest.mark.parametrize(
    "failure",
    [
        MemoryError,
        lambda: FileNotFoundError("model.onnx.data"),
        lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    ],
)
@pytest.mark.parametrize("request_of", [lambda: picture(WRONG), lambda: pictures(1, WRONG)])
def test_what_is_our_fault_stays_ours(
    predictor: Predictor,
    failure: Callable[[], Exception],
    request_of: Callable[[], Request],
    caplog: pytest.LogCaptureFixture,
) -> None:
    failing(predictor, failure)
    (error,) = answer_requests(predictor, [request_of()])
    assert type(error) is type(failure())
    assert "prediction failed" in caplog.text


def test_a_model_that_answers_nothing_any_more_is_our_fault(
    predictor: Predictor, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        raise RuntimeError(f"the library is gone, for {list(inputs)} as well")

    predictor._model = broken
    for answer in answer_requests(predictor, [picture(1), pictures(1, 2)]):
        assert isinstance(answer, RuntimeError)
    assert "prediction failed" in caplog.text


def test_what_fails_only_together_is_our_fault(predictor: Predictor, caplog: pytest.LogCaptureFixture) -> None:
    model = predictor._model

    def alone(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        if len(inputs["image"]) > 1:
            raise RuntimeError("only one at a time")
        return model(inputs)

    predictor._model = alone
    first, second = answer_requests(predictor, [picture(1), pictures(1, 2)])
    assert isinstance(first, np.ndarray)
    assert str(second) == "only one at a time"
    assert "prediction failed" in caplog.text


def sequences(*lengths: int, first: int = 1) -> Request:
    instances = [[first, *[1] * (length - 1)] for length in lengths]
    return decode_request(json.dumps({"instances": instances}).encode(), "application/json", [SEQUENCE])


@pytest.fixture
def sized(tmp_path: Path) -> Predictor:
    build_archive(tmp_path / "made", [SEQUENCE], sizes=(2, 13)).unpack(tmp_path / "unpacked")
    return Predictor.load(tmp_path / "unpacked")


def test_a_size_without_an_answer_is_told_as_a_size_and_spoils_no_other(sized: Predictor) -> None:
    (alone,) = answer_requests(sized, [sequences(1)])
    answers = answer_requests(sized, [sequences(40), sequences(1), sequences(6, 1)])
    assert isinstance(answers[0], np.ndarray)
    for problem in (alone, *answers[1:]):
        assert isinstance(problem, BadRequest)
        assert (problem.status, problem.error) == (400, "the model has no answer for an example of this size")


def test_values_without_an_answer_at_an_unproven_size_are_told_as_values(sized: Predictor) -> None:
    model = sized._model

    def answer(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        if (inputs["tokens"] == WRONG).any():
            raise RuntimeError("index 77 is out of bounds")
        return model(inputs)

    sized._model = answer
    (problem,) = answer_requests(sized, [sequences(9, first=WRONG)])
    assert isinstance(problem, BadRequest)
    assert (problem.status, problem.found) == (422, "index 77 is out of bounds")


def test_no_memory_at_an_unproven_size_stays_our_fault(sized: Predictor) -> None:
    def full(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        raise RuntimeError(f"Failed to allocate memory for {list(inputs)}")

    sized._model = full
    (error,) = answer_requests(sized, [sequences(9)])
    assert type(error) is RuntimeError
