"""What a server says and hears at the addresses of the Open Inference Protocol, besides the tensors themselves.

A server that has these addresses declares the body of an inference request by `infer_content_type`, decodes and encodes
it like any other body, and learns from `answer_header_length` whether the answer has binary data. Where a request is
refused, its clients read nothing but `error`: `refusal_body` puts all of the refusal there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .bad_request import BadRequest
from .datatypes import datatype_of
from .json_text import compact_json
from .runtimes import RUNTIMES
from .tensor_answer import answer_header_length, output_shapes
from .tensor_body import TENSORS_MEDIA

if TYPE_CHECKING:
    from .description import Serving

# Extensions of the protocol that a server has by these modules.
EXTENSIONS = ("binary_tensor_data",)
_LONGEST_NUMBER = 10


def infer_content_type(header_length: str | None) -> str:
    """Return the content type by which the body of an inference request is decoded.

    Args:
        header_length: value of the request's header `Inference-Header-Content-Length`; None where it has none.

    Raises:
        BadRequest: the value is no number of bytes.
    """
    if header_length is None:
        return TENSORS_MEDIA
    number = header_length.strip(" \t")
    if not (number.isascii() and number.isdecimal() and len(number) <= _LONGEST_NUMBER):
        raise BadRequest(
            "wrong Inference-Header-Content-Length", expected="the length of the JSON in bytes", found=header_length
        )
    return f"{TENSORS_MEDIA}; header-length={number}"


def refusal_body(refusal: BadRequest) -> bytes:
    """Write the body of a refusal: the protocol's clients show `error`, which therefore says all of it."""
    return compact_json({**refusal.to_json(), "error": str(refusal)})


def server_metadata(version: str) -> dict[str, Any]:
    """Describe the server.

    Args:
        version: release of the server.
    """
    return {"name": "pipeline", "version": version, "extensions": list(EXTENSIONS)}


def model_metadata(serving: Serving, digest: str) -> dict[str, Any]:
    """Describe a model: its inputs and the tensors of its answers, -1 being a size that a request chooses.

    Args:
        serving: description of the packed model.
        digest: SHA-256 of that description.

    Returns:
        The protocol's object. In `properties`, whose values must be texts, are the model's digest, task and labels:
        a list in JSON of the names of the columns.
    """
    inputs = [
        {
            "name": spec.name,
            "datatype": datatype_of(spec.dtype),
            "shape": [-1, *(-1 if axis in spec.dynamic_axes else size for axis, size in enumerate(spec.shape))],
        }
        for spec in serving.inputs
    ]
    outputs = [
        {"name": name, "datatype": datatype_of(dtype), "shape": [-1, *shape]}
        for name, (dtype, shape) in output_shapes(serving).items()
    ]
    return {
        "name": serving.name,
        "versions": [serving.version],
        "platform": RUNTIMES[serving.runtime.kind].platform,
        "inputs": inputs,
        "outputs": outputs,
        "properties": {"digest": digest, "task": serving.task, "labels": json.dumps(serving.labels)},
    }


__all__ = [
    "EXTENSIONS",
    "TENSORS_MEDIA",
    "answer_header_length",
    "infer_content_type",
    "model_metadata",
    "refusal_body",
    "server_metadata",
]
