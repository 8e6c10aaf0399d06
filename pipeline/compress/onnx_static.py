"""Quantize an ONNX file to static int8 with ONNX Runtime's quantizer and training examples."""

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
from pipeline.compress.onnx_file import (
    node_names,
    prepared,
    quantized_weights,
    quantizing,
    read_model,
    report,
    write_model,
)
from pipeline.compress.onnx_float_outputs import leave_outputs_in_float, output_activations
from pipeline.compress.pass_effect import PassReport
from pipeline.errors import UsageError
from pipeline.inspection.graph import graph_cost, module_name
from pipeline.recipe.names import ActivationType
from pipeline.recipe.passes import RangeMethod

# These operators have weights of their own; the pass is meant for them.
OPERATORS = ("Conv", "Gemm", "MatMul")
# These operators stand between layers and are quantized too, so that values stay in int8. Reshaping is free in either
# format.
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
# The values are members of ONNX Runtime's `CalibrationMethod` and `QuantType`.
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

    Weights get a scale per output channel. Activations get a scale per tensor, calibrated on the examples.
    Preprocessing stays in float, and so do the logits, because int8 would turn close logits into ties. The same file
    and examples give the same bytes.

    Args:
        source: float ONNX file; it is left as it is.
        destination: path of the quantized file.
        examples: raw inputs (N, *shape) of the training split, by name.
        others: examples of other sizes, where axes are free: a sum over a longer input reaches further.
        method: method that derives an activation's range from its measured values.
        activations: number format of activations.
        reduce_range: whether weights have 7 bits.
        keep: names of modules whose layers stay in float.

    Returns:
        The report on what was touched.

    Raises:
        FileError: the source is not an ONNX file.
        UsageError: the source holds no Conv, Gemm or MatMul with constant weights, or no module of a kept name.
        ProofError: the quantizer made an invalid graph.
    """
    quantization = import_onnx_runtime("onnxruntime.quantization")
    model = read_model(source)
    excluded = [*node_names(model, _kept_modules(model, keep)), *output_activations(model)]
    groups = [examples, *others]
    count = sum(len(next(iter(arrays.values()))) for arrays in groups)
    with tempfile.TemporaryDirectory(prefix="pipeline-int8-") as folder:
        path = Path(folder) / "model.onnx"
        # Two of the methods announce their histograms on standard output.
        with quantizing("static-int8"), contextlib.redirect_stdout(io.StringIO()):
            quantization.quantize_static(
                prepared(model),
                path,
                _Batches(groups),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=[*OPERATORS, *_BETWEEN],
                per_channel=True,
                reduce_range=reduce_range,
                activation_type=quantization.QuantType[_TYPES[activations]],
                weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=excluded,
                calibrate_method=quantization.CalibrationMethod[_METHODS[method]],
                # Batches run one at a time: the activations of all examples at once may not fit into memory.
                extra_options={"CalibStridedMinMax": 1},
            )
        quantized = onnx.load(path)
    leave_outputs_in_float(quantized)
    hold_against_defaults(quantized)
    pass_report = report(
        kind="static-int8",
        detail=f"int8 weights{' (7 bits)' if reduce_range else ''} per output channel, {activations} activations, "
        f"{method} over {count} training examples{f', {len(keep)} modules in float' if keep else ''} (ONNX Runtime)"
        + "".join(f"; {change}" for change in changed_by_defaults(quantized)),
        operators=OPERATORS,
        source=model,
        touched=quantized_weights(quantized),
        cost=graph_cost(model),
    )
    write_model(quantized, destination, what=f"static-int8 of {source.name}")
    return pass_report


class _Batches:
    """A reader of examples in batches, in order, from any batch on; each mapping holds examples of one size.

    ONNX Runtime accepts any object with a method `get_next` as its `CalibrationDataReader`.
    """

    def __init__(self, measured: Sequence[Mapping[str, NDArray[Any]]]) -> None:
        self.batches = [
            (arrays, start) for arrays in measured for start in range(0, len(next(iter(arrays.values()))), _BATCH)
        ]
        self.place, self.end = 0, len(self)

    def __len__(self) -> int:
        """The number of batches."""
        return len(self.batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Continue with these batches."""
        self.place, self.end = start_index, end_index

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The next batch, by input name; None after the last."""
        if self.place >= self.end:
            return None
        arrays, start = self.batches[self.place]
        self.place += 1
        return {name: np.ascontiguousarray(values[start : start + _BATCH]) for name, values in arrays.items()}


def _kept_modules(model: onnx.ModelProto, keep: Collection[str]) -> set[str]:
    """The modules whose nodes stay in float: the named ones with all modules inside them, and the preprocessing."""
    names = {module_name(node) for node in model.graph.node}
    kept = {name for name in names if is_preprocessing(name)}
    for module in keep:
        inside = {name for name in names if _lies_in(name, module)}
        if not inside:
            choices = ", ".join(sorted(name.removeprefix("network.") for name in names - kept))
            raise UsageError(f"static-int8: keep: expected names of modules ({choices}), found {module}")
        kept |= inside
    return kept


def is_preprocessing(name: str) -> bool:
    """Whether a name is that of the preprocessing or of a part of it, which always stays in float."""
    return _lies_in(name, _PREPROCESSING)


def _lies_in(name: str, module: str) -> bool:
    """Whether a name is a module's own or that of a module inside it, in the whole or in the network alone."""
    return f"{name}.".startswith((f"{module}.", f"network.{module}."))
