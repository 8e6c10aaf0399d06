"""The thin adapter to TorchServe: rows in, ready bytes out, a status for each.

TorchServe puts the unpacked archive first on `sys.path` and looks for the only class of this module. It inherits
nothing: importing TorchServe's base handler changes process-wide numeric settings.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from handlers import predictor as predictor_module
from handlers.decode import BadRequest
from handlers.predictor import Predictor, Refusal
from handlers.request import Request, decode_request

# Tells a client which worker answered, so that every single one can be checked through the server.
WORKER_HEADER = "X-Pipeline-Worker"
# A request with this header is also told the logits, for comparing answers to the last digit.
LOGITS_HEADER = "X-Pipeline-Logits"
# A request with this header is also told the SHA-256 of each decoded input, for comparing decoders.
DECODED_HEADER = "X-Pipeline-Decoded"
# In front of the one line that says why a worker will not serve; `pipeline serve` looks for it.
REFUSAL_MARK = "pipeline-refusal: "
# In front of the one line that says how far off a worker is that serves because an operator accepted this host.
ACCEPTED_MARK = "pipeline-accepted-host: "
# Environment: `1` lets a worker serve although its golden answers differ. Altered files are refused all the same.
ACCEPT_HOST = "PIPELINE_ACCEPT_HOST"

_LOGGER = logging.getLogger(__name__)


if TYPE_CHECKING:  # a second class at run time, and TorchServe would not know which one is the handler

    class _Context(Protocol):
        """What is used of TorchServe's context."""

        system_properties: Mapping[str, Any]

        def get_request_header(self, idx: int, key: str) -> Any: ...

        def set_response_content_type(self, idx: int, value: str) -> None: ...

        def set_response_header(self, idx: int, key: str, value: str) -> None: ...

        def set_response_status(self, code: int, phrase: str, idx: int) -> None: ...


class Handler:
    """One worker's model."""

    def __init__(self) -> None:
        self._worker = str(os.getpid())
        self._predictor: Predictor

    def initialize(self, context: _Context) -> None:
        """Load the archive and replay its golden batch.

        Raises:
            Refusal: a file was altered, or an answer differs and nobody accepted that; the line is logged as well.
        """
        folder = Path(context.system_properties["model_dir"])
        try:
            _require_own_sources(folder)
            self._predictor = Predictor.load(folder)
            accepted = self._predictor.require_self_test(accept_host=os.environ.get(ACCEPT_HOST) == "1")
        except Refusal as refusal:
            _LOGGER.error("%s%s", REFUSAL_MARK, refusal)  # noqa: TRY400 - one line; TorchServe logs the traceback
            raise
        if accepted is not None:
            _LOGGER.warning("%s%s", ACCEPTED_MARK, accepted)
        # The worker's standard output is a pipe that the server reads line by line, several lines a request at INFO.
        logging.getLogger().setLevel(logging.WARNING)

    def handle(self, rows: Sequence[Mapping[str, Any]], context: _Context) -> list[bytes]:
        """Answer a batch of requests; a bad one gets its 4xx, or 500 where the fault is ours, and spoils no other.

        Args:
            rows: for each request, its parameters by name; the body is called `body`.
            context: takes each response's status, type and headers.

        Returns:
            JSON for each request.
        """
        requests: list[Request | Exception] = []
        for index, row in enumerate(rows):
            try:
                requests.append(_decode(row, index, context, self._predictor))
            except BadRequest as problem:
                requests.append(problem)
            except Exception as error:  # TorchServe would fail every request of the batch
                _LOGGER.exception("request %d of %d cannot be decoded", index, len(rows))
                requests.append(error)
        good = [request for request in requests if isinstance(request, Request)]
        answers = iter(self._answer(good))
        bodies = []
        for index, request in enumerate(requests):
            context.set_response_content_type(index, "application/json")
            context.set_response_header(index, WORKER_HEADER, self._worker)
            answer = next(answers) if isinstance(request, Request) else request
            if isinstance(answer, BadRequest):
                context.set_response_status(answer.status, HTTPStatus(answer.status).phrase, index)
                bodies.append(json.dumps(answer.to_json()).encode())
            elif isinstance(answer, Exception) or not isinstance(request, Request):
                context.set_response_status(500, HTTPStatus.INTERNAL_SERVER_ERROR.phrase, index)
                what = "the model failed" if isinstance(request, Request) else "the request cannot be decoded"
                bodies.append(json.dumps({"error": what, "found": str(answer) or type(answer).__name__}).encode())
            else:
                with_logits = _header(context, index, LOGITS_HEADER) is not None
                decoded = request.instances if _header(context, index, DECODED_HEADER) is not None else None
                bodies.append(
                    self._predictor.encode(answer, listed=request.listed, with_logits=with_logits, decoded=decoded)
                )
        return bodies

    def _answer(self, requests: Sequence[Request]) -> list[NDArray[np.float32] | Exception]:
        """Logits of each request, all of them in one batch; one by one if that fails."""
        if not requests:
            return []
        try:
            logits = self._predictor.predict([instance for request in requests for instance in request.instances])
        except Exception as error:
            _LOGGER.exception("prediction failed for %d requests", len(requests))
            if len(requests) == 1:
                return [error]
            return [answer for request in requests for answer in self._answer([request])]
        if len(requests) == 1:
            return [logits]
        ends = np.cumsum([len(request.instances) for request in requests])
        return list(np.split(logits, ends[:-1]))


def _decode(row: Mapping[str, Any], index: int, context: _Context, predictor: Predictor) -> Request:
    # A body without a name is `body`; of a multipart form, the one field counts.
    name = "body" if "body" in row else next(iter(row)) if len(row) == 1 else ""
    headers = context.get_request_header(index, name) or {}
    media = headers.get("content-type", "") if isinstance(headers, Mapping) else ""
    return decode_request(row.get(name, b""), media or "", predictor.serving.inputs)


def _header(context: _Context, index: int, name: str) -> Any:
    """A request's header; TorchServe keeps names as they came, and proxies may change their case."""
    found = context.get_request_header(index, name)
    return context.get_request_header(index, name.lower()) if found is None else found


def _require_own_sources(folder: Path) -> None:
    """Refuse to serve with sources that came from anywhere but the archive."""
    source = Path(predictor_module.__file__).resolve()
    if not source.is_relative_to(folder.resolve()):
        raise Refusal(f"{source}: expected the archive's own handler sources in {folder}; remove the other ones")
