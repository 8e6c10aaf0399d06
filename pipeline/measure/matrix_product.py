"""Time a float32 matrix product like any other subject: its rate is the most that this machine can do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline.measure.latency import Subject, file_subject

NAME = "matrix product"
# This is large enough for the full rate, and small enough to stay in the second-level cache.
_SIZE = 512
MACS = _SIZE**3


def matrix_product_subject(folder: Path, *, threads: int) -> Subject:
    """Make a subject of a product of two square float32 matrices in ONNX Runtime; the second is constant like weights.

    Args:
        folder: empty folder of the subject's own, for its files.
        threads: number of threads it computes with.
    """
    values = np.random.default_rng(0).uniform(-1, 1, (_SIZE, _SIZE)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["rows", "weight"], ["product"])],
        "matrix_product",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["batch", _SIZE])],
        [helper.make_tensor_value_info("product", TensorProto.FLOAT, ["batch", _SIZE])],
        [numpy_helper.from_array(values, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "model.onnx")
    save_file({"input.rows": values.T.copy()}, folder / "samples.safetensors")
    return file_subject(
        NAME,
        folder,
        RuntimeSpec(kind="onnxruntime", file="model.onnx", threads=threads),
        inputs=[InputSpec(name="rows", dtype="float32", shape=(_SIZE,), low=-1, high=1)],
        samples=folder / "samples.safetensors",
        batch_sizes=(_SIZE,),
    )
