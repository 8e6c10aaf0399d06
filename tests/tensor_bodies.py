"""Inference requests of the Open Inference Protocol, and their answers, written and read as `tritonclient.http` does.

The bytes are those of its `_utils._get_inference_request`, `InferInput` and `InferResult`
(triton-inference-server/client, src/python/library/tritonclient/http).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.body_forms import decode_request
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.json_text import SMALL_JSON_BYTES
from pipeline._handlers.open_inference import answer_header_length, infer_content_type

_DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "int64": "INT64",
    "float32": "FP32",
    "float64": "FP64",
    "object": "BYTES",
}
_DTYPES: dict[str, Any] = {datatype: np.dtype(dtype) for dtype, datatype in _DATATYPES.items()}


def infer_body(
    inputs: Mapping[str, NDArray[Any]],
    *,
    binary: bool = True,
    outputs: Sequence[Mapping[str, Any]] = (),
    identifier: str = "",
    datatypes: Mapping[str, str] | None = None,
) -> tuple[bytes, str]:
    """A body, and the content type that a server declares for it.

    Args:
        inputs: arrays (N, ...) by name, of bytes in arrays of objects.
        binary: whether the values are binary data.
        outputs: wishes for outputs, in the protocol's form; empty for all of them, as binary data.
        identifier: id of the request; empty for none.
        datatypes: datatypes by name, where they shall not be those of the arrays.
    """
    parts: list[bytes] = []
    tensors: list[dict[str, Any]] = []
    for name, array in inputs.items():
        datatype = (datatypes or {}).get(name, _DATATYPES[array.dtype.name])
        tensor: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": datatype}
        if binary:
            parts.append(_binary(array))
            tensor["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            values = (
                [value.item() for value in array.flatten()] if array.dtype != np.object_ else array.ravel().tolist()
            )
            tensor["data"] = values
        tensors.append(tensor)
    request: dict[str, Any] = {"id": identifier} if identifier else {}
    request["inputs"] = tensors
    if outputs:
        request["outputs"] = list(outputs)
    else:
        request["parameters"] = {"binary_data_output": True}
    head = json.dumps(request, separators=(",", ":")).encode()
    return b"".join([head, *parts]), infer_content_type(str(len(head)) if parts else None)


def read_answer(body: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The JSON of an answer, and its tensors by name."""
    length = answer_header_length(body)
    document = json.loads(body if length is None else body[:length])
    place = len(body) if length is None else length
    tensors = {}
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        dtype = _DTYPES[output["datatype"]]
        if size is None:
            values = np.array(output["data"], dtype=dtype)
        elif output["datatype"] == "BYTES":
            values = np.array(_texts(body[place : place + size]), dtype=dtype)
        else:
            values = np.frombuffer(body[place : place + size], dtype=dtype)
        place += size or 0
        tensors[output["name"]] = values.reshape(output["shape"])
    assert place == len(body)
    return document, tensors


def large(body: bytes) -> bytes:
    """The same JSON with so much space in front of the first value that its values are parsed in parts."""
    head, separator, values = body.partition(b'"data": [')
    assert separator
    return head + separator + b" " * (SMALL_JSON_BYTES - 40) + values


def objects(*values: object) -> NDArray[np.object_]:
    """An array of these objects, (N,)."""
    array = np.empty(len(values), dtype=np.object_)
    array[:] = values
    return array


def _binary(array: NDArray[Any]) -> bytes:
    if array.dtype != np.object_:
        return array.tobytes()
    return b"".join(struct.pack("<I", len(value)) + value for value in array.ravel())


def _texts(data: bytes) -> list[bytes]:
    texts = []
    while data:
        (length,) = struct.unpack_from("<I", data)
        texts.append(data[4 : 4 + length])
        data = data[4 + length :]
    return texts


def said(body: bytes, content_type: str, *inputs: InputSpec) -> str:
    """Why a body is refused."""
    with pytest.raises(BadRequest) as caught:
        decode_request(body, content_type, inputs)
    assert caught.value.status in (400, 413)
    return str(caught.value)
