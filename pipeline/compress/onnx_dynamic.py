"""Quantize an ONNX file to dynamic int8 with ONNX Runtime's quantizer."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path

import onnx

from pipeline._handlers.onnx_runtime_import import import_onnx_runtime
from pipeline.compress.onnx_file import (
    node_names,
    prepared,
    quantized_weights,
    quantizing,
    read_model,
    report,
    write_model,
)
from pipeline.compress.pass_effect import PassReport
from pipeline.inspection.graph import graph_cost

# Convolutions stay in float: ConvInteger makes a CNN several times slower than its float file.
OPERATORS = ("MatMul", "Gemm")
# Weights get 7 bits. Without VNNI, a CPU adds products of 8-bit weights in saturating 16-bit sums, so the same file is
# right on one machine and wrong on the next. What is proven here must hold where the file is served.
REDUCE_RANGE = True
# A scale per output channel is closer to float, and as fast.
PER_CHANNEL = True


def quantize_file(source: Path, destination: Path, *, keep: Collection[str] = ()) -> PassReport:
    """Quantize the linear layers of an ONNX file; the same file gives the same bytes.

    Args:
        source: float ONNX file; it is left as it is.
        destination: path of the quantized file.
        keep: names of modules whose layers stay in float.

    Returns:
        The report on what was touched.

    Raises:
        FileError: the source is not an ONNX file.
        UsageError: the source holds no MatMul or Gemm with constant weights.
        ProofError: the quantizer made an invalid graph.
    """
    quantization = import_onnx_runtime("onnxruntime.quantization")
    model = read_model(source)
    with tempfile.TemporaryDirectory(prefix="pipeline-int8-") as folder:
        path = Path(folder) / "model.onnx"
        with quantizing("dynamic-int8"):
            quantization.quantize_dynamic(
                prepared(model),
                path,
                op_types_to_quantize=list(OPERATORS),
                per_channel=PER_CHANNEL,
                reduce_range=REDUCE_RANGE,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=node_names(model, keep),
            )
        quantized = onnx.load(path)
    pass_report = report(
        kind="dynamic-int8",
        detail="int8 weights (7 bits) of MatMul and Gemm, per output channel (ONNX Runtime)",
        operators=OPERATORS,
        source=model,
        touched=quantized_weights(quantized),
        cost=graph_cost(model),
    )
    write_model(quantized, destination, what=f"dynamic-int8 of {source.name}")
    return pass_report
