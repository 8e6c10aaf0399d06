"""One connection: HTTP/1.1 is parsed by llhttp (httptools), and each whole request is handed to the application.

Requests of one connection are answered one after the other, in their order. What is no HTTP, too large or too slow is
refused here, in JSON; the rest of such a request is read for a moment, so that its client gets the answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

import httptools

from pipeline.serving.front import eager
from pipeline.serving.front.backlog import Backlog
from pipeline.serving.front.exchange import Exchange, response_bytes
from pipeline.serving.front.inflow import Inflow
from pipeline.serving.front.receiving import Receiving

if TYPE_CHECKING:
    from pipeline.serving.front.carrier import Carrier

_LOGGER = logging.getLogger(__name__)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# Memory that a request takes besides its bytes: clients may send thousands of tiny ones in one piece.
_AROUND_REQUEST = 2048
# So many requests of a client may wait for their answers before no more is read. While nothing is read, nobody notices
# that the client is gone.
_MOST_WAITING = 16
# Bytes that are parsed between two looks at how many requests wait; of a body that tells its length, all that came.
_PIECE = 4096
# Time after which a connection leaves its turn to the others, in seconds. What comes at once may be thousands of tiny
# requests, or a body in tens of thousands of parts.
_TURN_S = 0.001
# So many bytes are as much as is read at once: more may be there, and would be read in the same turn.
_MUCH = 131_072
# Answers that wait for nothing, after which it is the others' turn.
_TURN_ANSWERS = 16
_JSON = ((b"content-type", b"application/json"),)
_FAILED = b'{"error":"the server failed","found":"an error, which its log describes"}'


class Connection(asyncio.Protocol):
    """One client's connection.

    Args:
        carrier: what all connections of the process share.

    Attributes:
        moved: when it last made progress, on the loop's clock, in seconds.
    """

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._bounds = carrier.bounds
        self._loop = carrier.loop
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._scheme = "http"
        self._client: tuple[str, int] | None = None
        self._receiving: Receiving | None = None
        self._whole: deque[Exchange] = deque()  # the first one is being answered
        self._at_work = False  # on the answers; it stays so once the last one is given
        self._begun: eager.Begun | None = None  # what goes on with them, where it has to wait
        self._deaf = False  # what comes is dropped
        self._lost = False
        self._inflow: Inflow
        self._backlog: Backlog
        self.moved = carrier.loop.time()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._inflow = Inflow(self._transport, self._loop, self._parse_unread)
        self._backlog = Backlog(self._transport)
        if transport.get_extra_info("sslcontext") is not None:
            self._scheme = "https"
        peer = transport.get_extra_info("peername")
        self._client = (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else None
        self._carrier.add(self)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """End: a request that waits for its answer is dropped."""
        self._deaf = self._lost = True
        self._carrier.remove(self)
        self._drop_request()
        self._carrier.held -= sum(exchange.held for exchange in self._whole) + len(self._inflow.unread)
        self._whole.clear()
        self._inflow.unread = b""
        if self._begun is not None:
            self._begun.cancel()

    def pause_writing(self) -> None:
        """Let no further answer be begun: the client does not read those that it has."""
        self._backlog.close_room()

    def resume_writing(self) -> None:
        """Let the next answer be begun."""
        self._backlog.open_room()

    def data_received(self, data: bytes) -> None:
        """Parse what came, until so many requests wait that the rest has to, or the others' turn has come."""
        inflow, start, began = self._inflow, 0, time.perf_counter()
        while start < len(data) and not self._deaf:
            if start and not inflow.paused and time.perf_counter() - began > _TURN_S:
                inflow.rest()
            if inflow.paused:
                inflow.unread += data[start:]
                self._carrier.held += len(data) - start
                break
            request = self._receiving
            end = start + (_PIECE if request is None else max(_PIECE, request.length - request.size))
            self._parse(data[start:end])
            start = end
        if len(data) >= _MUCH and not inflow.paused and not self._deaf:
            inflow.rest()
        if self._whole and not self._at_work:
            self._at_work = True
            self._begun = eager.begin(self._answer(), self._loop)

    def _parse(self, data: bytes) -> None:
        """Parse a piece."""
        before = self._receiving
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Nothing is upgraded here: a request that offers it is answered as any other, and is the last one.
            if self._whole:
                self._whole[-1].keep_alive = False
        except httptools.HttpParserError as error:
            if not self._deaf:
                self.refuse(
                    400,
                    "the request is no HTTP",
                    expected="HTTP/1.1: a request line, headers, and a body as long as they say",
                    found=str(error.__context__ or error),
                )
            return
        if len(self._whole) > _MOST_WAITING and not self._deaf:
            self._inflow.pause()
        request = self._receiving
        if request is None or self._deaf:
            return
        self.moved = self._loop.time()
        request.received += len(data)
        if not request.whole_head:
            if request is before and request.received > self._bounds.head_bytes:
                self._refuse_head(request.received)
            else:
                self._hold(request, request.received)

    def eof_received(self) -> bool:
        """Keep the connection open where an answer is still to be sent; it is the last one."""
        if self._whole:
            self._whole[-1].keep_alive = False
        return bool(self._whole)

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._receiving = Receiving(self._loop.time())

    def on_url(self, url: bytes) -> None:
        """Add a part of the address."""
        request = self._receiving
        if request is None or self._deaf:
            return
        request.add_url(url)
        if request.head > self._bounds.head_bytes:
            self._refuse_head(request.head)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header."""
        request = self._receiving
        if request is None or self._deaf:
            return
        request.add_header(name, value)
        if request.head > self._bounds.head_bytes:
            self._refuse_head(request.head)
        elif request.fields > self._bounds.fields:
            self.refuse(
                431, "too many headers", expected=f"at most {self._bounds.fields}", found=f"{request.fields} or more"
            )

    def on_headers_complete(self) -> None:
        """Look at what the headers announce, before the body comes."""
        request = self._receiving
        if request is None or self._deaf:
            return
        request.whole_head = True
        hosts = 0
        for name, value in request.headers:
            if name == b"host":
                hosts += 1
            elif name == b"content-length":
                request.length = int(value)
                if not self._has_room(request, request.length):
                    return
            elif name == b"expect" and value.lower() == b"100-continue" and not self._whole:
                self._backlog.send(_CONTINUE)
        if hosts > 1:  # whoever stands between may have looked at another one
            self.refuse(400, "several hosts", expected="one host header", found=f"{hosts}")

    def on_body(self, chunk: bytes) -> None:
        """Add a part of the body."""
        request = self._receiving
        if request is None or self._deaf or not self._has_room(request, request.size + len(chunk)):
            return
        request.add_body(chunk)
        self._hold(request, request.head + request.size)

    def on_message_complete(self) -> None:
        """Queue a whole request behind those that came before."""
        request = self._receiving
        if request is None or self._deaf:
            return
        held = request.head + request.size + _AROUND_REQUEST
        if not self._has_memory(request, held):
            return
        self._hold(request, held)
        self._receiving = None
        version = self._parser.get_http_version()
        path, _, query = request.url.partition(b"?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "method": self._parser.get_method().decode("ascii"),
            "scheme": self._scheme,
            "path": unquote(path.decode("latin-1")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": request.headers,
            "client": self._client,
            "server": None,
        }
        keep_alive = self._parser.should_keep_alive() and version == "1.1"
        self._whole.append(Exchange(scope, request.body, keep_alive=keep_alive, held=held))

    # What the carrier asks.

    def look(self, now: float) -> None:
        """Close the connection where it achieves nothing; called about once a second.

        Args:
            now: the loop's clock, in seconds.
        """
        bounds, request = self._bounds, self._receiving
        if self._backlog.is_read_too_slowly(now, patience_s=bounds.write_s, bytes_per_s=bounds.bytes_per_s):
            self._backlog.tear_off()
            return
        if self._backlog.waits():
            return
        if request is not None and not self._deaf and not self._inflow.paused:
            took = now - request.began
            if took > bounds.patience_s and request.received < took * bounds.bytes_per_s:
                self.refuse(
                    408,
                    "the request came too slowly",
                    expected=f"at least {bounds.bytes_per_s} bytes a second, after {bounds.patience_s:g} s",
                    found=f"{request.received} bytes in {took:.0f} s",
                )
        elif not self._at_work:
            leaving = self._carrier.leaving_since
            idle_s = now - (self.moved if leaving is None else max(self.moved, leaving))
            if idle_s > (bounds.idle_s if leaving is None else bounds.leave_s):
                self._transport.close()

    @property
    def answering(self) -> bool:
        """Whether a whole request waits for its answer."""
        return bool(self._whole)

    def refuse(self, status: int, error: str, *, expected: str, found: str) -> None:
        """Answer that the connection ends, and why; behind the answers that are under way it just ends.

        Args:
            status: the HTTP status.
            error: what is wrong.
            expected: what would have been right.
            found: what there was instead.
        """
        self._deaf = True
        if self._whole:
            self._whole[-1].keep_alive = False
            self._drop_request()
            return
        body = json.dumps({"error": error, "expected": expected, "found": found[:200]}).encode()
        self._backlog.send(response_bytes(status, _JSON, body, close=True))
        self._carrier.count_refusal(status)
        self._end()

    def close_now(self) -> None:
        """Close the connection, with whatever is under way on it."""
        self._transport.abort()

    # The rest is our own.

    def _has_room(self, request: Receiving, size: int) -> bool:
        """Refuse a body that is too large, or for which there is no memory; tell whether there is room.

        Args:
            request: its request.
            size: its size, as far as it is known.
        """
        if size > self._bounds.body_bytes:
            self.refuse(
                413,
                "request body too large",
                expected=f"at most {self._bounds.body_bytes} bytes",
                found=f"{size} bytes",
            )
            return False
        return self._has_memory(request, size)

    def _has_memory(self, request: Receiving, size: int) -> bool:
        """Refuse a request that would take too many bytes beside all others; tell whether it is taken."""
        others = self._carrier.held - request.held
        if others + size > self._bounds.held_bytes:
            self.refuse(
                503,
                "too many bytes wait for an answer",
                expected=f"at most {self._bounds.held_bytes} bytes of all requests together; ask again",
                found=f"{others} bytes before this request",
            )
            return False
        return True

    def _hold(self, request: Receiving, size: int) -> None:
        """Count a request with so many bytes, in the memory of all of them."""
        self._carrier.held += size - request.held
        request.held = size

    def _refuse_head(self, size: int) -> None:
        self.refuse(
            431,
            "request head too large",
            expected=f"an address and headers of at most {self._bounds.head_bytes} bytes",
            found=f"{size} bytes or more",
        )

    def _drop_request(self) -> None:
        """Forget the request that is being received."""
        if self._receiving is not None:
            self._carrier.held -= self._receiving.held
            self._receiving = None

    async def _answer(self) -> None:
        """Answer the requests that are whole, in their order."""
        answered = 0
        while self._whole:
            if answered == _TURN_ANSWERS:
                await asyncio.sleep(0)
                answered = 0
            if self._backlog.room is not None:
                await self._backlog.room
            exchange = self._whole[0]
            try:
                await self._carrier.application(exchange.scope, exchange.receive, exchange.send)
            except Exception:
                _LOGGER.exception("the application failed")
                exchange.refuse(500, _FAILED)
            if self._lost:
                return
            last = self._carrier.leaving_since is not None and len(self._whole) == 1 and not self._inflow.unread
            close = last or not exchange.keep_alive
            self._backlog.send(exchange.to_bytes(close=close))
            self.moved = self._loop.time()
            self._carrier.held -= exchange.held
            self._whole.popleft()
            answered += 1
            if close:
                self._end()
                return
            if self._inflow.waits_for_answers and len(self._whole) < _MOST_WAITING:
                self._inflow.go_on()
        self._at_work = False

    def _parse_unread(self, unread: bytes, paused_s: float) -> None:
        """Parse what waited; a request of which nothing was read meanwhile was not slow."""
        if self._receiving is not None:
            self._receiving.began += paused_s
        if unread:
            self._carrier.held -= len(unread)
            self.data_received(unread)

    def _end(self) -> None:
        """Send what is written, and close once the client has read it, or after a moment."""
        refused, self._deaf = self._deaf, True
        if not refused and self._receiving is None and not self._whole and not self._inflow.unread:
            self._transport.close()
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        if self._inflow.waits_for_answers:
            self._inflow.go_on()
        self._loop.call_later(self._bounds.discard_s, self._transport.close)
