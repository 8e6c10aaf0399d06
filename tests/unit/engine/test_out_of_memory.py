"""A machine without memory left is told in one line, whoever notices it."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Callable

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from pipeline._handlers.onnx_runtime_import import import_onnx_runtime
from pipeline.engine.out_of_memory import lacked_memory, no_memory
from pipeline.errors import ProofError


def huge_tensor() -> None:
    torch.empty(1 << 46)


def huge_array() -> None:
    np.empty(1 << 46)


def huge_answer() -> None:
    runtime = import_onnx_runtime()
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1]),
        helper.make_tensor_value_info("shape", TensorProto.INT64, [1]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])]
    graph = helper.make_graph([helper.make_node("Expand", ["x", "shape"], ["y"])], "g", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    session.run(None, {"x": np.ones(1, np.float32), "shape": np.array([1 << 45])})


@pytest.mark.parametrize(
    ("allocate", "needed"),
    [(huge_tensor, "281475.0 GB more"), (huge_array, "512. TiB more"), (huge_answer, "140737.5 GB more")],
)
def test_what_libraries_raise(allocate: Callable[[], None], needed: str) -> None:
    with pytest.raises(Exception, match=r"(?i)allocate") as caught:
        allocate()
    said = no_memory(caught.value)
    assert said is not None
    assert said.startswith(f"out of memory: expected {needed}, found ")
    assert " GB free, or a limit on this process; take smaller batches" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("error", "needed"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has ..."), "2.50 GiB more"),
        (torch.OutOfMemoryError(), "some more"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "some more"),
    ],
)
def test_how_much_was_asked_for(error: Exception, needed: str) -> None:
    said = no_memory(error)
    assert said is not None
    assert f"expected {needed}, found " in said


def test_an_error_that_hides_it_and_errors_that_are_others() -> None:
    hides = ProofError("the file cannot be replayed")
    hides.__cause__ = MemoryError()
    assert no_memory(hides) is not None
    assert no_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
    assert no_memory(ProofError("the words: out of memory")) is None, "a line of ours is no error of a library"


@pytest.mark.parametrize(
    ("code", "said", "lacked"),
    [
        (-9, "", True),
        (1, "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 512. TiB", True),
        (1, "RuntimeException: [ONNXRuntimeError] : 6 : bad_alloc", True),
        (-11, "", False),
        (1, "InvalidGraph: no such operator", False),
        (0, "out of memory, said a library that went on", False),
    ],
)
def test_a_process_that_lacked_memory_is_known_by_its_end(code: int, said: str, lacked: bool) -> None:
    assert lacked_memory(subprocess.CompletedProcess([], code, "", said)) == lacked
