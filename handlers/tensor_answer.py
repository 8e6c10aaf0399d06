"""The answer to an inference request of the Open Inference Protocol: JSON, and binary data where it is asked for."""

from __future__ import annotations

import hashlib
import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .answer_size import MAX_ANSWER_BYTES, Extras
from .datatypes import binary_data, datatype_of, json_data, longest_element
from .json_text import compact_json
from .request import MAX_INSTANCES, Request
from .task_answers import ANSWERS
from .tensor_request import MAX_ID

if TYPE_CHECKING:
    from .description import Serving
    from .predictor import Predictor

# What was decoded is told in tensors with such names.
_DECODED = "decoded."
# An answer with binary data begins like this, and no other answer does: a server that hands answers on must know where
# the JSON ends, and reads it here.
_LENGTH = b'{"parameters":{"header_length":'
_READ_LENGTH = re.compile(re.escape(_LENGTH) + rb"([0-9]{1,8}),")
_PARAMETERS = b'{"parameters":{'


def write_answer(predictor: Predictor, request: Request, logits: NDArray[np.float32], extras: Extras) -> bytes:
    """Write the body of an answer.

    Args:
        predictor: the model that answered.
        request: the decoded request, with its wishes.
        logits: the model's outputs (N, K), one row per instance.
        extras: what the answer holds besides; the network's own outputs and what was decoded are tensors like others.
    """
    serving, wishes = predictor.serving, request.wishes
    tensors = {**ANSWERS[serving.task].tensors(serving, logits), **_decoded_inputs(request, extras)}
    chosen = dict(wishes.outputs) or dict.fromkeys(tensors, wishes.binary)
    for name, tensor in tensors.items():
        if name.startswith(_DECODED) or (extras.logits and tensor.dtype == np.float32):
            chosen.setdefault(name, wishes.binary)
    entries: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for name, binary in chosen.items():
        tensor = tensors[name]
        entry: dict[str, Any] = {"name": name, "datatype": datatype_of(tensor.dtype), "shape": list(tensor.shape)}
        if binary:
            parts.append(binary_data(tensor))
            entry["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            entry["data"] = json_data(tensor)
        entries.append(entry)
    head = _head(serving, predictor.digest, wishes.id, entries)
    return b"".join([_with_length(head), *parts]) if parts else head


def answer_header_length(body: bytes) -> int | None:
    """Return the length of the JSON in front of an answer's binary data, in bytes; None where all of it is JSON.

    A server declares this number in the header `Inference-Header-Content-Length`, and the type
    `application/octet-stream`.
    """
    match = _READ_LENGTH.match(body)
    return None if match is None else int(match[1])


def output_shapes(serving: Serving) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """Return dtype, and shape for one instance, of each tensor in an answer, by name."""
    example = ANSWERS[serving.task].tensors(serving, np.zeros((1, serving.columns), np.float32))
    return {name: (tensor.dtype, tensor.shape[1:]) for name, tensor in example.items()}


def most_tensor_instances(serving: Serving, extras: Extras) -> int:
    """Count the instances whose tensors fit into one answer, all of them and whatever they hold."""
    shapes = output_shapes(serving)
    each = sum(
        math.prod(shape) * longest_element(datatype_of(dtype), serving.labels) for dtype, shape in shapes.values()
    )
    if extras.decoded:
        shapes |= {f"{_DECODED}{spec.name}": (np.dtype(np.object_), ()) for spec in serving.inputs}
        each += len(serving.inputs) * longest_element("BYTES", ["0" * 64])
    entries = [
        {
            "name": name,
            "datatype": datatype_of(dtype),
            "shape": [MAX_INSTANCES, *shape],
            "parameters": {"binary_data_size": MAX_ANSWER_BYTES},
            "data": [],
        }
        for name, (dtype, shape) in shapes.items()
    ]
    # No character takes more room in JSON than one beyond U+FFFF.
    head = _with_length(_head(serving, "0" * 64, "\U0001f5bc" * MAX_ID, entries))
    return max(0, (MAX_ANSWER_BYTES - len(head)) // each)


def _head(serving: Serving, digest: str, identifier: str | None, entries: list[dict[str, Any]]) -> bytes:
    return compact_json(
        {
            "parameters": {"digest": digest},  # it comes first: see `_LENGTH`
            "model_name": serving.name,
            "model_version": serving.version,
            **({} if identifier is None else {"id": identifier}),
            "outputs": entries,
        }
    )


def _with_length(head: bytes) -> bytes:
    """Add to the parameters in the JSON of an answer how long this JSON is."""
    rest = head.removeprefix(_PARAMETERS)
    without = len(_LENGTH) + len(b",") + len(rest)
    length = without + 1
    while len(str(length)) != length - without:
        length += 1
    return b"%b%d,%b" % (_LENGTH, length, rest)


def _decoded_inputs(request: Request, extras: Extras) -> dict[str, NDArray[Any]]:
    """Return the SHA-256 of each input's values, (N,) by name, where the request asks for them."""
    if not extras.decoded:
        return {}
    return {
        f"{_DECODED}{name}": np.array(
            [hashlib.sha256(instance[name].tobytes()).hexdigest() for instance in request.instances], dtype=np.object_
        )
        for name in request.instances[0]
    }
