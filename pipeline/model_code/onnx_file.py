"""The check of an ONNX file. It is data with two ways out: weights in other files, and operators of other libraries."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import onnx
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]

from pipeline.errors import FileError
from pipeline.model_code.operators import cut, how_to_allow

# Sets of operators that ONNX Runtime itself brings.
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
# These operators among them load other files or libraries, where a build of ONNX Runtime has them.
_REFUSED = {
    "ATen": "it runs another library",
    "EPContext": "it reads another file",
    "PythonOp": "it runs Python",
    "PythonOpGrad": "it runs Python",
}


def check_onnx(name: str, content: bytes, *, allowed_operators: Collection[str] = ()) -> None:
    """Raise an error if an ONNX file could read other files or run other code when it is loaded or run.

    Args:
        name: name of the file, for messages.
        content: bytes of the file.
        allowed_operators: operators as `domain::operator` that the user allows beside those of ONNX Runtime.

    Raises:
        FileError: it is not an ONNX file, its weights lie outside it, or it names operators of another library; nothing
            of it was loaded.
    """
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise FileError(
            f"{name}: expected an ONNX model, found another kind of file; nothing of it was loaded"
        ) from error
    if (outside := next(outside_weights(model), None)) is not None:
        location = next((entry.value for entry in outside.external_data if entry.key == "location"), "")
        raise FileError(
            f"{name}: tensor {cut(outside.name)!r}: expected its values in the file itself, found them in another "
            f"place: {cut(location)!r}; nothing of it was loaded"
        )
    refused = {
        operator: reason for operator, reason in refused_operators(model).items() if operator not in allowed_operators
    }
    if refused:
        first, reason = next(iter(refused.items()))
        raise FileError(
            f"{name}: expected operators of ONNX and ONNX Runtime, found {cut(first)}: {reason}; "
            f"{how_to_allow(refused)}"
        )


def outside_weights(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """All tensors of a model whose values lie in another file or at an address in memory."""
    for message in _messages(model):
        if isinstance(message, onnx.TensorProto) and (
            message.data_location == onnx.TensorProto.EXTERNAL or message.external_data
        ):
            yield message


def refused_operators(model: onnx.ModelProto) -> dict[str, str]:
    """All operators of a model that may do more than compute: reasons by `domain::operator`."""
    local = {(function.domain, function.name, function.overload) for function in model.functions}
    return {
        f"{message.domain or 'ai.onnx'}::{message.op_type}": reason
        for message in _messages(model)
        if isinstance(message, onnx.NodeProto) and (reason := _refusal(message, local))
    }


def _refusal(node: onnx.NodeProto, local: Collection[tuple[str, str, str]]) -> str:
    if node.domain not in _DOMAINS and (node.domain, node.op_type, node.overload) not in local:
        return "it needs a library of its own"
    return _REFUSED.get(node.op_type, "") if node.domain == "com.microsoft" else ""


def _messages(message: Message) -> Iterator[Message]:
    """A message and all messages inside it: graphs, nodes, attributes, tensors, functions."""
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for child in [value] if isinstance(value, Message) else value:
                yield from _messages(child)
