"""The form of a body that is an inference request of the Open Inference Protocol: JSON, and binary data behind it.

`handlers.open_inference` says how a server declares such a body.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .answer_size import Extras
from .bad_request import BadRequest
from .decode import InputSpec
from .effort import Effort
from .json_text import json_text, refused_unless_json, strict_decoder
from .picture_body import PictureBody
from .picture_kinds import picture_kind
from .raw_body import RAW_MEDIA, RawBody, raw_length
from .request import Request, TensorWishes
from .tensor_answer import most_tensor_instances, write_answer
from .tensor_heads import KnownHeads
from .tensor_request import InferRequest, Tensor, read_request, request_example
from .tensor_text import parse_request
from .tensor_values import tensor_examples

if TYPE_CHECKING:
    from .description import Serving
    from .predictor import Predictor

# Media type that a server declares for a body that came to an address of this protocol. Its parameter is the number
# in the request's header `Inference-Header-Content-Length`, if it has one.
TENSORS_MEDIA = "application/vnd.open-inference"
_PARAMETER = "header-length"
_MEDIA = re.compile(rf"{re.escape(TENSORS_MEDIA)}(?:[ \t]*;[ \t]*{_PARAMETER}=([0-9]{{1,10}}))?")


class TensorBody:
    """Tensors by name, whose first axis is the instances; a model with any inputs takes it."""

    # `parameters` is not among them: other servers' bodies with instances begin with it.
    keys = frozenset({"id", "model_name", "inputs", "outputs"})

    def accepted(self, inputs: Sequence[InputSpec]) -> str:
        """Describe an object whose inputs are tensors."""
        return f"application/json {request_example(inputs)}"

    def __init__(self) -> None:
        self._heads = KnownHeads()

    def decode(self, body: bytes, media: str, inputs: Sequence[InputSpec], effort: Effort) -> Request:
        """Decode the JSON, and the binary data behind it, where the media type says how long the JSON is."""
        length = _header_length(media)
        if length == 0:
            return _without_header(body, inputs, effort)
        if length is None:
            return _with_values(_parsed(body, inputs, _names(effort)), memoryview(b""), inputs, effort)
        if length > len(body):
            raise BadRequest(
                "wrong Inference-Header-Content-Length",
                expected=f"the length of the JSON, at most the {len(body)} bytes of the body",
                found=str(length),
            )
        head = body[:length]
        tensors = _names(effort)
        asked = self._heads.get(head, inputs, tensors)
        if asked is None:
            asked = _parsed(head, inputs, tensors)
            self._heads.keep(head, inputs, tensors, asked)
        return _with_values(asked, memoryview(body)[length:], inputs, effort)

    def decode_document(self, document: object, inputs: Sequence[InputSpec], effort: Effort) -> Request:
        """Decode the tensors of a document, which has no binary data."""
        return _with_values(read_request(document, inputs, _names(effort)), memoryview(b""), inputs, effort)

    def most_instances(self, serving: Serving, longest: Mapping[str, Any], extras: Extras) -> int:  # noqa: ARG002
        """Count the instances whose tensors fit into one answer, all of them."""
        return most_tensor_instances(serving, extras)

    def encode(self, predictor: Predictor, request: Request, logits: NDArray[np.float32], extras: Extras) -> bytes:
        """Write the tensors that the request asks for."""
        return write_answer(predictor, request, logits, extras)


def _header_length(media: str) -> int | None:
    """Return the length of the JSON that a media type declares; None where it declares none.

    Raises:
        BadRequest: the type has other parameters.
    """
    if not media.startswith(TENSORS_MEDIA):
        return None
    match = _MEDIA.fullmatch(media)
    if match is None:
        raise BadRequest(
            "wrong Inference-Header-Content-Length", expected=f"{TENSORS_MEDIA}; {_PARAMETER}=<number>", found=media
        )
    return None if match[1] is None else int(match[1])


def _parsed(head: bytes, inputs: Sequence[InputSpec], tensors: Sequence[str] | None) -> InferRequest:
    example = request_example(inputs)
    with refused_unless_json(example):
        text = json_text(head, inputs, example)
    document = parse_request(text, inputs, strict_decoder(inputs), example)
    return read_request(document, inputs, tensors)


def _names(effort: Effort) -> Sequence[str] | None:
    return None if effort.room is None else effort.room.tensors


def _with_values(asked: InferRequest, binary: memoryview, inputs: Sequence[InputSpec], effort: Effort) -> Request:
    """Decode the values of a request whose JSON is read."""
    tensors = asked.tensors
    count = tensors[0].count
    if effort.room is not None:
        effort.room.require(count)
    size = sum(tensor.binary_size or 0 for tensor in tensors)
    if size != len(binary):
        raise BadRequest(
            "binary data of the wrong length",
            expected=f"{size} bytes behind the JSON, as binary_data_size says",
            found=f"{len(binary)} bytes",
        )
    examples: dict[str, Sequence[NDArray[Any]]] = {}
    for tensor, part in zip(tensors, _parts(tensors, binary), strict=True):
        effort.check(0)
        examples[tensor.spec.name] = tensor_examples(tensor, part, effort)
    columns = [(spec.name, examples[spec.name]) for spec in inputs]
    instances = tuple({name: column[index] for name, column in columns} for index in range(count))
    return Request(instances=instances, form="tensors", listed=True, wishes=asked.wishes)


def _parts(tensors: Sequence[Tensor], binary: memoryview) -> list[memoryview | None]:
    """Divide the binary data; a tensor in the JSON has no part."""
    parts: list[memoryview | None] = []
    place = 0
    for tensor in tensors:
        size = tensor.binary_size
        parts.append(None if size is None else binary[place : place + size])
        place += size or 0
    return parts


def _without_header(body: bytes, inputs: Sequence[InputSpec], effort: Effort) -> Request:
    """Decode a body without any JSON: one example of the only input; its answer is binary data."""
    picture = picture_kind(body) is not None and inputs[0].decoding is not None and len(body) != raw_length(inputs)
    form = PictureBody() if picture else RawBody()
    request = form.decode(body, RAW_MEDIA, inputs, effort)
    return replace(request, form="tensors", wishes=TensorWishes(binary=True))
