"""Describes the content of an ONNX file."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from pipeline.engine.artifacts import digest_bytes
from pipeline.errors import FileError
from pipeline.inspection.graph import all_nodes, graph_cost
from pipeline.model_code.onnx_file import outside_weights, refused_operators


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """An input or output of a graph.

    Args:
        name: name in the graph.
        dtype: numpy's name of the element type.
        shape: size or symbol of each axis, `?` where the file says nothing; None if even the rank is unknown.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """A node with weights, or one that multiplies matrices.

    Args:
        name: name of the user's module where the exporter recorded it, else of the node.
        operator: name of the ONNX operator.
        parameters: number of learned values.
        macs: multiply-accumulates for one example; None if unknown.
    """

    name: str
    operator: str
    parameters: int
    macs: int | None


@dataclass(frozen=True, kw_only=True)
class OnnxInspection:
    """The content of an ONNX file.

    Args:
        file: name of the file.
        size: size in bytes.
        sha256: digest of its bytes.
        operators: number of nodes by operator, most frequent first; the domain is named unless it is ONNX's own.
        inputs: inputs of the graph.
        outputs: outputs of the graph.
        layers: nodes that cost something, in the graph's order.
        parameters: number of learned values; constants of preprocessing, shapes and scales do not count.
        macs: multiply-accumulates for one example; None where a shape does not follow from the file.
        opset: version by operator set.
        ir_version: version of the file format.
        producer: program that wrote the file.
        metadata: key-value pairs of the model.
        refused: operators that keep `verify`, `bench` and `serve` from loading it, or weights elsewhere, with reasons.
    """

    file: str
    size: int
    sha256: str
    operators: dict[str, int]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    layers: tuple[LayerSpec, ...]
    parameters: int
    macs: int | None
    opset: dict[str, int]
    ir_version: int
    producer: str
    metadata: dict[str, str]
    refused: dict[str, str]
    format: Literal["onnx"] = "onnx"

    def to_json(self) -> dict[str, Any]:
        """The description as JSON values."""
        return asdict(self)


def inspect_onnx(name: str, content: bytes) -> OnnxInspection:
    """Read an ONNX file without running it.

    Args:
        name: name of the file, for messages.
        content: bytes of the file. Weights may lie in other files; those are not read.

    Raises:
        FileError: the bytes are not a valid ONNX model.
    """
    try:
        model = onnx.load_model_from_string(content)
        refused = refused_operators(model)
        if any(True for _ in outside_weights(model)):
            refused |= {"weights": "they lie outside the file"}
        else:  # the checker would look for those files in the working directory
            onnx.checker.check_model(model)
        cost = graph_cost(model)
    except (DecodeError, onnx.checker.ValidationError, ValueError, IndexError, KeyError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FileError(
            f"{name}: expected a valid ONNX model, found: {reason[:300]}; the file is damaged or of another kind"
        ) from error
    weights = {tensor.name for tensor in model.graph.initializer}
    operators = Counter(f"{node.domain}.{node.op_type}".lstrip(".") for node in all_nodes(model.graph))
    return OnnxInspection(
        file=name,
        size=len(content),
        sha256=digest_bytes(content),
        operators=dict(sorted(operators.items(), key=lambda pair: (-pair[1], pair[0]))),
        inputs=tuple(_tensor(value) for value in model.graph.input if value.name not in weights),
        outputs=tuple(_tensor(value) for value in model.graph.output),
        layers=tuple(
            LayerSpec(
                name=node.name,
                operator=node.operator,
                parameters=sum(cost.parameters[initializer] for initializer in node.learned),
                macs=node.macs,
            )
            for node in cost.nodes
        ),
        parameters=sum(cost.parameters.values()),
        macs=cost.macs,
        opset={operators.domain or "ai.onnx": operators.version for operators in model.opset_import},
        ir_version=model.ir_version,
        producer=" ".join(part for part in (model.producer_name, model.producer_version) if part),
        metadata={entry.key: entry.value for entry in model.metadata_props},
        refused=refused,
    )


def _tensor(value: onnx.ValueInfoProto) -> TensorSpec:
    kind = value.type.tensor_type
    shape = None
    if kind.HasField("shape"):
        shape = tuple(
            axis.dim_value if axis.HasField("dim_value") else axis.dim_param or "?" for axis in kind.shape.dim
        )
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    except KeyError:
        dtype = onnx.TensorProto.DataType.Name(kind.elem_type).lower()
    return TensorSpec(name=value.name, dtype=dtype, shape=shape)
