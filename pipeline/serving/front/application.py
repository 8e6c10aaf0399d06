"""The ASGI application that every request enters: who may ask, what is asked for, and what is answered."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import count

from pipeline._handlers.answer_size import Extras
from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.exchange import WORKER_HEADER, Incoming, refusal
from pipeline._handlers.request import MAX_BODY_BYTES
from pipeline.serving.front.access import Access
from pipeline.serving.front.answer import METRICS, TEXT, Answer, json_answer, refused
from pipeline.serving.front.asked import Asked, incoming
from pipeline.serving.front.board import STEPS, Board, Row
from pipeline.serving.front.descriptions import descriptions, readiness_paths
from pipeline.serving.front.dialects import Dialect, predictions
from pipeline.serving.front.engine import Engine
from pipeline.serving.front.exchange import Receive, Scope, Send
from pipeline.serving.front.exposition import exposition
from pipeline.serving.front.page import Page
from pipeline.serving.question import Question

_LOGGER = logging.getLogger(__name__)
_WHOLE = STEPS.index("whole")
_WORKER = WORKER_HEADER.lower().encode()
_REQUEST_ID = b"x-request-id"
_LONGEST_ID = 128
_READS = ("GET", "HEAD")
# TorchServe takes a file by either, and its users send it with `curl -T`, which is PUT.
_ASKS = ("POST", "PUT")
_RETRY = (b"retry-after", b"1")
# A golden example is replayed at most so often, in seconds.
_PROOF_S = 1.0


class Front:
    """The application of one process.

    Args:
        engine: what answers.
        board: the board of all processes.
        row: the row of this one.
        access: who may ask.
        question: what the engine must answer right to be ready.
    """

    def __init__(self, engine: Engine, *, board: Board, row: Row, access: Access, question: Question) -> None:
        self._engine = engine
        self._board = board
        self._row = row
        self._access = access
        self._question = question
        self._page = Page(engine.serving, engine.digest)
        self._worker = str(os.getpid()).encode()
        self._numbers = count(1)
        self._proven: tuple[float, bool] = (-_PROOF_S, False)
        serving = engine.serving
        ready = readiness_paths(serving)
        # Probes bring no token.
        self._probes = {"/livez": self._life, "/v2/health/live": self._life}
        self._probes |= dict.fromkeys((path for path, open_ in ready.items() if open_), self._readiness)
        self._questions = {"/metrics": self._metrics} | dict.fromkeys(ready, self._readiness)
        self._descriptions = descriptions(serving, engine.digest)
        self._predictions = predictions(serving)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; see the ASGI specification, version 3."""
        if scope["type"] != "http":
            raise ValueError(f"expected http, found {scope['type']}: nothing else is answered here")
        began = time.perf_counter()
        headers = dict(scope["headers"])
        try:
            answer = await self._answer(scope, headers, receive)
        except BadRequest as problem:
            response = refusal(problem)
            answer = Answer(response.status, response.body)
        except Exception:
            _LOGGER.exception("%s %s failed", scope["method"], scope["path"])
            answer = json_answer({"error": "the server failed", "found": "an error, which its log describes"}, 500)
        self._row.count_status(answer.status)
        self._row.count_time(_WHOLE, time.perf_counter() - began)
        worker = self._worker if answer.worker is None else b"%d" % answer.worker
        lines = [(b"content-type", answer.media), (_WORKER, worker), (_REQUEST_ID, self._id_of(headers))]
        if answer.status == 503:
            lines.append(_RETRY)
        await send({"type": "http.response.start", "status": answer.status, "headers": [*lines, *answer.headers]})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> Answer:
        """Find what is asked for, by its path."""
        path = scope["path"]
        if path in self._probes:
            return await self._probes[path]()
        may_not = self._access.refuse(headers)
        if path == "/" and scope["method"] in _READS:
            return self._page_for(headers, may_not)
        if may_not is not None:
            return may_not
        if path in self._questions:
            return await self._questions[path]()
        if path in self._descriptions:
            return self._descriptions[path]()
        dialect = self._predictions.get(path)
        if dialect is None:
            return refused(404, "nothing is answered here", expected=" or ".join(self._predictions), found=path)
        if scope["method"] not in _ASKS:
            other = refused(405, "another method", expected=" or ".join(_ASKS), found=scope["method"])
            return replace(other, headers=((b"allow", ", ".join(_ASKS).encode()),))
        return await self._predict(dialect, scope, headers, await _whole_body(receive))

    async def _predict(self, dialect: Dialect, scope: Scope, headers: Mapping[bytes, bytes], body: bytes) -> Answer:
        """Answer a request for predictions in its dialect."""
        asked = Asked(
            headers=headers,
            content_types=_values(scope, headers, b"content-type"),
            encodings=_values(scope, headers, b"content-encoding"),
            body=body,
        )
        try:
            response = await self._engine.respond(incoming(asked, dialect))
        except BadRequest as problem:
            response = refusal(problem)
        return dialect.answer(response)

    def _page_for(self, headers: Mapping[bytes, bytes], may_not: Answer | None) -> Answer:
        """Return the page; a browser brings no token by itself, so without one the page asks the person for it."""
        if may_not is None:
            return self._page.whole
        return self._page.empty if self._access.lacks_token(headers) else may_not

    async def _life(self) -> Answer:
        return Answer(200, b"ok\n", TEXT)

    async def _metrics(self) -> Answer:
        serving = self._engine.serving
        text = exposition(self._board, name=serving.name, version=serving.version, digest=self._engine.digest)
        return Answer(200, text.encode(), METRICS)

    async def _readiness(self) -> Answer:
        """Say whether every worker is ready, and a golden answer right."""
        ready, workers = self._board.reached, len(self._board.rows)
        if ready == workers:
            when, right = self._proven
            if time.monotonic() - when > _PROOF_S:
                right = await self._is_right()
                self._proven = time.monotonic(), right
            if right:
                return json_answer({"name": self._engine.serving.name, "ready": True, "workers": workers})
            return json_answer({"ready": False, "reason": "a golden answer is wrong"}, 503)
        return json_answer({"ready": False, "reason": f"{ready} of {workers} workers are ready"}, 503)

    async def _is_right(self) -> bool:
        """Ask the engine what it must answer right."""
        question = self._question
        response = await self._engine.respond(
            Incoming(body=question.body, content_type=question.content_type, extras=Extras(logits=True))
        )
        return response.status == 200 and question.is_right(response.body, self._engine.serving, self._engine.digest)

    def _id_of(self, headers: Mapping[bytes, bytes]) -> bytes:
        """Return the id that the client gave its request, or a new one."""
        given = headers.get(_REQUEST_ID)
        if given is not None and 0 < len(given) <= _LONGEST_ID and given.isascii() and b" " not in given:
            return given
        return b"%s-%d" % (self._worker, next(self._numbers))


def _values(scope: Scope, headers: Mapping[bytes, bytes], name: bytes) -> tuple[str, ...]:
    """Return the values of a header that may stand several times."""
    if len(headers) == len(scope["headers"]):  # none does
        return (headers[name].decode("latin-1"),) if name in headers else ()
    return tuple(value.decode("latin-1") for key, value in scope["headers"] if key == name)


async def _whole_body(receive: Receive) -> bytes:
    """Receive the body.

    Raises:
        BadRequest: it is too large.
    """
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
        if len(body) > 2 * MAX_BODY_BYTES:
            raise BadRequest(
                "request body too large", expected=f"at most {MAX_BODY_BYTES} bytes", found="more", status=413
            )
    return body
