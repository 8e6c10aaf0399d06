"""The dialects in which predictions are asked for: a closed table. Each has addresses, and says how a body is meant."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline._handlers.description import Serving
from pipeline._handlers.exchange import Response
from pipeline._handlers.json_instances import V1_MEDIA
from pipeline._handlers.open_inference import answer_header_length, infer_content_type
from pipeline.serving.front.answer import Answer

DialectName = Literal["pipeline", "kserve-v1", "open-inference"]
_LENGTH_HEADER = "inference-header-content-length"
_BINARY = b"application/octet-stream"


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One dialect.

    Args:
        paths: addresses of a model's predictions; `{name}` and `{version}` stand for its own.
        content_type: function from the declared content type and the headers to the one by which a body is decoded; it
            raises `BadRequest` where a header is wrong.
        answer: function from a response of the model to the answer that a client of this dialect reads.
    """

    paths: tuple[str, ...]
    content_type: Callable[[str, Mapping[bytes, bytes]], str]
    answer: Callable[[Response], Answer]


def _as_declared(declared: str, _: Mapping[bytes, bytes]) -> str:
    return declared


def _first_version(_: str, __: Mapping[bytes, bytes]) -> str:
    return V1_MEDIA


def _tensors(_: str, headers: Mapping[bytes, bytes]) -> str:
    length = headers.get(_LENGTH_HEADER.encode())
    return infer_content_type(None if length is None else length.decode("latin-1"))


def _as_it_is(response: Response) -> Answer:
    return Answer(response.status, response.body, worker=response.worker)


def _as_tensors(response: Response) -> Answer:
    """Say how long the JSON in front of binary data is; of a refusal, say all in `error`, which alone is shown."""
    if response.status != 200:
        document = json.loads(response.body)
        if "expected" in document:
            document["error"] = f"{document['error']}: expected {document['expected']}, found {document['found']}"
        return Answer(response.status, json.dumps(document).encode(), worker=response.worker)
    length = answer_header_length(response.body)
    if length is None:
        return _as_it_is(response)
    headers = ((_LENGTH_HEADER.encode(), b"%d" % length),)
    return Answer(200, response.body, _BINARY, headers, response.worker)


DIALECTS: dict[DialectName, Dialect] = {
    "pipeline": Dialect(
        paths=("/predictions/{name}", "/predictions/{name}/{version}"), content_type=_as_declared, answer=_as_it_is
    ),
    "kserve-v1": Dialect(paths=("/v1/models/{name}:predict",), content_type=_first_version, answer=_as_it_is),
    "open-inference": Dialect(
        paths=("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer"),
        content_type=_tensors,
        answer=_as_tensors,
    ),
}


def predictions(serving: Serving) -> dict[str, Dialect]:
    """Return the dialect of each address at which a model's predictions are asked for."""
    return {
        path.format(name=serving.name, version=serving.version): dialect
        for dialect in DIALECTS.values()
        for path in dialect.paths
    }
