"""Static int8 of an ONNX file, made by ONNX Runtime's quantizer from the float file and training examples."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from pipeline._handlers.onnx_runtime_import import import_onnx_runtime
from pipeline.compress.onnx_defaults import changed_by_defaults, hold_against_defaults
from pipeline.compress.onnx_file import node_names, prepared, quantizing, read_model, report, write_model
from pipeline.compress.touched import PassReport
from pipeline.errors import UsageError
from pipeline.inspection.graph import all_nodes, graph_cost, module_name
from pipeline.recipe.names import ActivationType
from pipeline.recipe.passes import RangeMethod

# With weights of their own; they are what the pass is for.
OPERATORS = ("Conv", "Gemm", "MatMul")
# Between them, so that values stay in int8 from one to the next. Reshaping is free in either format.
_BETWEEN = (
    "Add",
    "AveragePool",
    "Clip",
    "Concat",
    "Flatten",
    "GlobalAveragePool",
    "MaxPool",
    "Mul",
    "ReduceMean",
    "Relu",
    "Reshape",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)
_PREPROCESSING = "preprocess"
# Members of ONNX Runtime's `CalibrationMethod` and `QuantType`.
_METHODS = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
_TYPES = {"uint8": "QUInt8", "int8": "QInt8"}
_BATCH = 32


def quantize_file(
    source: Path,
    destination: Path,
    *,
    examples: Mapping[str, NDArray[Any]],
    others: Sequence[Mapping[str, NDArray[Any]]] = (),
    method: RangeMethod,
    activations: ActivationType,
    reduce_range: bool,
    keep: Collection[str] = (),
) -> PassReport:
    """Quantize convolution and linear layers of an ONNX file and what lies between them.

    Weights get a scale per output channel, activations one per tensor, found on the examples. Preprocessing stays in
    float, and so do the logits, of which int8 would make ties. The same file and examples give the same bytes.

    Args:
        source: a float ONNX file, left as it is.
        destination: where the quantized file goes.
        examples: raw inputs (N, *shape) by name, of the training split.
        others: of other sizes, where axes are free: a sum over a longer input reaches further.
        method: how an activation's range follows from what was measured.
        activations: their number format.
        reduce_range: weights of 7 bits.
        keep: names of modules whose layers stay in float.

    Returns:
        What was touched.

    Raises:
        FileError: the source is not an ONNX file.
        UsageError: it holds no Conv, Gemm or MatMul with constant weights, or no module of a kept name.
        ProofError: the quantizer made an invalid graph.
    """
    quantization = import_onnx_runtime("onnxruntime.quantization")
    model = read_model(source)
    excluded = node_names(model, _kept_modules(model, keep))
    measured = [examples, *others]
    count = sum(len(next(iter(arrays.values()))) for arrays in measured)
    with tempfile.TemporaryDirectory(prefix="pipeline-int8-") as folder:
        path = Path(folder) / "model.onnx"
        # The histograms of two of the methods are announced on standard output.
        with quantizing("static-int8"), contextlib.redirect_stdout(io.StringIO()):
            quantization.quantize_static(
                prepared(model),
                path,
                _Batches(measured),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=[*OPERATORS, *_BETWEEN],
                per_channel=True,
                reduce_range=reduce_range,
                activation_type=quantization.QuantType[_TYPES[activations]],
                weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=excluded,
                calibrate_method=quantization.CalibrationMethod[_METHODS[method]],
                # One batch at a time: all activations of all examples at once may not fit into memory.
                extra_options={"CalibStridedMinMax": 1},
            )
        quantized = onnx.load(path)
    _logits_in_float(quantized)
    hold_against_defaults(quantized)
    made = report(
        kind="static-int8",
        detail=f"int8 weights{' (7 bits)' if reduce_range else ''} per output channel, {activations} activations, "
        f"{method} over {count} training examples{f', {len(keep)} modules in float' if keep else ''} (ONNX Runtime)"
        + "".join(f"; {change}" for change in changed_by_defaults(quantized)),
        operators=OPERATORS,
        source=model,
        made={one.name for one in quantized.graph.initializer},
        cost=graph_cost(model),
    )
    write_model(quantized, destination, what=f"static-int8 of {source.name}")
    return made


class _Batches:
    """Examples in batches, in order, and from any batch on; each mapping holds examples of one size.

    ONNX Runtime takes what has a method `get_next` for its `CalibrationDataReader`.
    """

    def __init__(self, measured: Sequence[Mapping[str, NDArray[Any]]]) -> None:
        self.batches = [
            (arrays, start) for arrays in measured for start in range(0, len(next(iter(arrays.values()))), _BATCH)
        ]
        self.place, self.end = 0, len(self)

    def __len__(self) -> int:
        """Number of batches."""
        return len(self.batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Give these batches next."""
        self.place, self.end = start_index, end_index

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The next batch, by input name; None after the last."""
        if self.place >= self.end:
            return None
        arrays, start = self.batches[self.place]
        self.place += 1
        return {name: np.ascontiguousarray(values[start : start + _BATCH]) for name, values in arrays.items()}


def _kept_modules(model: onnx.ModelProto, keep: Collection[str]) -> set[str]:
    """Modules whose nodes stay in float: those asked for, with all inside them, and the preprocessing."""
    names = {module_name(node) for node in model.graph.node}
    found = {name for name in names if is_preprocessing(name)}
    for wanted in keep:
        inside = {name for name in names if _lies_in(name, wanted)}
        if not inside:
            known = ", ".join(sorted(name.removeprefix("network.") for name in names - found))
            raise UsageError(f"static-int8: keep: expected names of modules ({known}), found {wanted}")
        found |= inside
    return found


def is_preprocessing(name: str) -> bool:
    """Whether a module's name is that of preprocessing, or of a part of it: it always stays in float."""
    return _lies_in(name, _PREPROCESSING)


def _lies_in(name: str, module: str) -> bool:
    """Whether a name is a module's or that of one inside it, in the whole or in the network behind preprocessing."""
    return f"{name}.".startswith((f"{module}.", f"network.{module}."))


def _logits_in_float(model: onnx.ModelProto) -> None:
    """Let the graph's outputs skip the quantizing and dequantizing that the quantizer put in front of them."""
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    for output in graph.output:
        after = makers[output.name]
        before = makers.get(after.input[0]) if after.op_type == "DequantizeLinear" else None
        if before is None or before.op_type != "QuantizeLinear":
            continue
        values = before.input[0]
        graph.node.remove(after)
        graph.node.remove(before)
        for node in graph.node:
            node.output[:] = [output.name if name == values else name for name in node.output]
            node.input[:] = [output.name if name == values else name for name in node.input]
        used = {name for node in all_nodes(graph) for name in node.input}
        for tensor in [one for one in graph.initializer if one.name not in used]:
            graph.initializer.remove(tensor)
