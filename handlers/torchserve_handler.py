"""The thin adapter to TorchServe: it takes rows, and returns ready bytes and a status for each.

TorchServe puts the unpacked archive first on `sys.path` and looks for the only class of this module. It inherits
nothing, because importing TorchServe's base handler changes process-wide numeric settings.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from . import predictor as predictor_module
from .answer_size import Extras
from .bad_request import BadRequest, without_trace
from .body_forms import require_no_encoding
from .exchange import DECODED_HEADER, LOGITS_HEADER, WORKER_HEADER, Incoming, Steps, respond
from .frame import BEGIN_BY_HEADER, FRAME_MEDIA, Row, is_late, pack_responses, unpack_requests
from .predictor import Predictor, Refusal
from .request_fields import Field, body_of, distinct_names, require_one_content_type, require_whole_form
from .torchserve_reading import MAX_FIELDS, read_in_packets

# This text begins the one line that says why a worker will not serve; `pipeline serve` looks for it.
REFUSAL_MARK = "pipeline-refusal: "
# This text begins the one line of a worker that serves because an operator accepted this host: it says how far off the
# answers are.
ACCEPTED_MARK = "pipeline-accepted-host: "
# If this environment variable is `1`, a worker serves although its golden answers differ. Altered files are refused all
# the same.
ACCEPT_HOST = "PIPELINE_ACCEPT_HOST"

# A frame that waited behind work that hung: its clients are told so, and the next worker need not do it.
_LATE = BadRequest(
    "no answer in time", expected="a server that is not busy; ask again", found="work that took too long", status=503
)

_LOGGER = logging.getLogger(__name__)


if TYPE_CHECKING:  # a second class at run time, and TorchServe would not know which one is the handler

    class _Context(Protocol):
        """The part of TorchServe's context that is used here."""

        system_properties: Mapping[str, Any]

        def get_request_header(self, idx: int, key: str) -> Any: ...

        def get_all_request_header(self, idx: int) -> Mapping[str, Any]: ...

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
            take_requests_as_sent()
            read_in_packets()
            self._predictor = Predictor.load(folder)
            difference = self._predictor.require_self_test(accept_host=os.environ.get(ACCEPT_HOST) == "1")
        except Refusal as refusal:
            _LOGGER.error("%s%s", REFUSAL_MARK, refusal)  # noqa: TRY400 - one line; TorchServe logs the traceback
            raise
        if difference is not None:
            _LOGGER.warning("%s%s", ACCEPTED_MARK, difference)
        # The server reads the worker's standard output line by line. At level INFO there are several lines a request.
        logging.getLogger().setLevel(logging.WARNING)

    def handle(self, rows: Sequence[Mapping[str, Any]], context: _Context) -> list[bytes]:
        """Answer a batch of requests; a bad one gets its 4xx, or 500 where the fault is ours, and spoils no other.

        Args:
            rows: the parameters of each request, by name; the body is named `body`.
            context: TorchServe's context, which takes each response's status, type and headers.

        Returns:
            The JSON of each response.
        """
        read = [_requests_of(row, index, context) for index, row in enumerate(rows)]
        steps = Steps()
        responses = iter(respond(self._predictor, [request for row in read for request in row.requests], steps=steps))
        bodies = []
        for index, row in enumerate(read):
            context.set_response_header(index, WORKER_HEADER, self._worker)
            own = [next(responses) for _ in row.requests]
            context.set_response_content_type(index, FRAME_MEDIA if row.framed else "application/json")
            if row.framed:
                bodies.append(pack_responses(own, steps))
                continue
            if own[0].status != HTTPStatus.OK:
                context.set_response_status(own[0].status, HTTPStatus(own[0].status).phrase, index)
            bodies.append(own[0].body)
        return bodies


def take_requests_as_sent() -> None:
    """Make TorchServe's worker hand over every field of a request, and its bytes as they came.

    The worker puts the fields of a request into a dict, in which the last field of a name replaces the others, and
    parses JSON, in which the last value of a key does (see `Service.retrieve_data_for_inference` and
    `otf_message_handler` in TorchServe 0.12). Both happen in this process. This function can go with TorchServe.
    """
    from ts.service import Service

    os.environ["TS_DECODE_INPUT_REQUEST"] = "false"
    retrieve = Service.retrieve_data_for_inference

    def retrieve_all(batch: Sequence[Mapping[str, Any]]) -> Any:
        for request in batch:
            parameters = request["parameters"]
            names = distinct_names([parameter["name"] for parameter in parameters])
            for parameter, name in zip(parameters, names, strict=True):
                parameter["name"] = name
        return retrieve(batch)

    Service.retrieve_data_for_inference = staticmethod(retrieve_all)


def _requests_of(row: Mapping[str, Any], index: int, context: _Context) -> Row:
    """Find the request in its fields, or all requests of a frame, or say what is wrong with them."""
    try:
        incoming = _read(row, index, context)
        if incoming.content_type == FRAME_MEDIA:
            requests = unpack_requests(incoming.body)
            late = is_late(_header(context, index, BEGIN_BY_HEADER))
            return Row(requests=[_LATE] * len(requests) if late else requests, framed=True)
    except BadRequest as problem:
        return Row(requests=[without_trace(problem)])
    except Exception as error:  # TorchServe would fail every request of the batch
        _LOGGER.exception("request %d of its batch cannot be read", index)
        return Row(requests=[without_trace(error)])
    return Row(requests=[incoming])


def _read(row: Mapping[str, Any], index: int, context: _Context) -> Incoming:
    # TorchServe keeps the headers of a request and those of its fields in one dict; those of a field are a dict in it.
    if len(row) >= MAX_FIELDS:
        raise BadRequest(
            "too many fields in one request",
            expected=f"fewer than {MAX_FIELDS}",
            found=f"{len(row)} or more",
            status=413,
        )
    headers = context.get_all_request_header(index)
    request_headers = [(name.lower(), value) for name, value in headers.items() if isinstance(value, str)]
    for name in ("content-encoding", "transfer-encoding"):
        require_no_encoding(name, ",".join(value for header, value in request_headers if header == name))
    fields = [Field(name=name, value=value, content_type=_type(headers, name)) for name, value in row.items()]
    content_types = [value for header, value in request_headers if header == "content-type"]
    form = any(content_type.lower().startswith("multipart/form-data") for content_type in content_types)
    if form:
        for length in (value for header, value in request_headers if header == "content-length" and value.isdecimal()):
            require_whole_form(fields, int(length))
    body = body_of(fields)
    require_one_content_type([*content_types, *([] if form else [body.content_type])])
    declared = body.content_type or ("" if form else "".join(content_types[:1]))
    return Incoming(body=body.value, content_type=declared, extras=_extras(context, index))


def _extras(context: _Context, index: int) -> Extras:
    """Read from the headers of a request what it asks for."""
    return Extras(
        logits=_header(context, index, LOGITS_HEADER) is not None,
        decoded=_header(context, index, DECODED_HEADER) is not None,
    )


def _type(headers: Mapping[str, Any], name: str) -> str:
    header = headers.get(name)
    return (header.get("content-type") or "") if isinstance(header, Mapping) else ""


def _header(context: _Context, index: int, name: str) -> Any:
    """Read a request's header; TorchServe keeps names as they came, and proxies may change their case."""
    value = context.get_request_header(index, name)
    return context.get_request_header(index, name.lower()) if value is None else value


def _require_own_sources(folder: Path) -> None:
    """Refuse to serve with sources that came from anywhere but the archive."""
    source = Path(predictor_module.__file__).resolve()
    if not source.is_relative_to(folder.resolve()):
        raise Refusal(f"{source}: expected the archive's own handler sources in {folder}; remove the other ones")
