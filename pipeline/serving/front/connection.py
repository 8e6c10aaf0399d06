"""One connection: HTTP/1.1 is parsed by llhttp (httptools), and each whole request is handed to the application.

Requests of one connection are answered one after the other, in their order. What is no HTTP, too large or too slow is
refused here, in JSON; the rest of such a request is read for a moment, so that its client gets the answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

import httptools

from pipeline.serving.front.exchange import Exchange, response_bytes

if TYPE_CHECKING:
    from pipeline.serving.front.carrier import Carrier

_LOGGER = logging.getLogger(__name__)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_AROUND_HEADER = len(": \r\n")
_JSON = ((b"content-type", b"application/json"),)
_FAILED = b'{"error":"the server failed","found":"an error, which its log describes"}'


class _Receiving:
    """A request that is being received.

    Args:
        began: when its first byte came, on the loop's clock, in seconds.
    """

    __slots__ = ("began", "chunks", "head", "headers", "received", "size", "url", "whole_head")

    def __init__(self, began: float) -> None:
        self.began = began
        self.received = 0
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.head = 0
        self.whole_head = False
        self.chunks: list[bytes] = []
        self.size = 0


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
        self._receiving: _Receiving | None = None
        self._whole: deque[Exchange] = deque()  # the first one is being answered
        self._task: asyncio.Task[None] | None = None
        self._deaf = False  # what comes is dropped
        self._lost = False
        self._unsent = 0
        self.moved = carrier.loop.time()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
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
        self._carrier.held -= sum(len(exchange.body) for exchange in self._whole)
        self._whole.clear()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if self._deaf:
            return
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
        request = self._receiving
        if request is None or self._deaf:
            return
        self.moved = self._loop.time()
        request.received += len(data)
        if request is before and not request.whole_head and request.received > self._bounds.head_bytes:
            self._refuse_head(request.received)
        elif len(self._whole) > 1:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Keep the connection open where an answer is still to be sent; it is the last one."""
        if self._whole:
            self._whole[-1].keep_alive = False
        return bool(self._whole)

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._receiving = _Receiving(self._loop.time())

    def on_url(self, url: bytes) -> None:
        """Add a part of the address."""
        if self._receiving is not None:
            self._receiving.url += url
            self._receiving.head += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header."""
        request = self._receiving
        if request is None or self._deaf:
            return
        request.headers.append((name.lower(), value))
        request.head += len(name) + len(value) + _AROUND_HEADER
        if request.head > self._bounds.head_bytes:
            self._refuse_head(request.head)

    def on_headers_complete(self) -> None:
        """Look at what the headers announce, before the body comes."""
        request = self._receiving
        if request is None or self._deaf:
            return
        request.whole_head = True
        for name, value in request.headers:
            if name == b"content-length" and not self._room(int(value), held=self._carrier.held):
                return
            if name == b"expect" and value.lower() == b"100-continue" and not self._whole:
                self._transport.write(_CONTINUE)

    def on_body(self, chunk: bytes) -> None:
        """Add a part of the body."""
        request = self._receiving
        if request is None or self._deaf:
            return
        if self._room(request.size + len(chunk), held=self._carrier.held - request.size):
            request.chunks.append(chunk)
            request.size += len(chunk)
            self._carrier.held += len(chunk)

    def on_message_complete(self) -> None:
        """Hand a whole request to the application, or queue it behind those that came before."""
        request, self._receiving = self._receiving, None
        if request is None or self._deaf:
            return
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
        chunks = request.chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        keep_alive = self._parser.should_keep_alive() and version == "1.1"
        self._whole.append(Exchange(scope, body, keep_alive=keep_alive))
        if self._task is None:
            self._task = self._loop.create_task(self._answer())

    # What the carrier asks.

    def look(self, now: float) -> None:
        """Close the connection where it achieves nothing; called about once a second.

        Args:
            now: the loop's clock, in seconds.
        """
        bounds, request = self._bounds, self._receiving
        unsent = self._transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self.moved = unsent, now
        if unsent:
            if now - self.moved > bounds.write_s:
                self._transport.abort()
        elif request is not None and not self._deaf:
            took = now - request.began
            if took > bounds.patience_s and request.received < took * bounds.bytes_per_s:
                self.refuse(
                    408,
                    "the request came too slowly",
                    expected=f"at least {bounds.bytes_per_s} bytes a second, after {bounds.patience_s:g} s",
                    found=f"{request.received} bytes in {took:.0f} s",
                )
        elif self._task is None:
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
        self._transport.write(response_bytes(status, _JSON, body, close=True))
        self._carrier.count_refusal(status)
        self._end()

    def close_now(self) -> None:
        """Close the connection, with whatever is under way on it."""
        self._transport.abort()

    # The rest is our own.

    def _room(self, size: int, *, held: int) -> bool:
        """Refuse a body that is too large, or for which there is no memory; tell whether there is room.

        Args:
            size: its size, as far as it is known.
            held: bytes of all others.
        """
        if size > self._bounds.body_bytes:
            self.refuse(
                413,
                "request body too large",
                expected=f"at most {self._bounds.body_bytes} bytes",
                found=f"{size} bytes",
            )
            return False
        if held + size > self._bounds.held_bytes:
            self.refuse(
                503,
                "too many bytes wait for an answer",
                expected=f"at most {self._bounds.held_bytes} bytes of all requests together; ask again",
                found=f"{held} bytes before this request",
            )
            return False
        return True

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
            self._carrier.held -= self._receiving.size
            self._receiving = None

    async def _answer(self) -> None:
        """Answer the requests that are whole, in their order."""
        while self._whole:
            exchange = self._whole[0]
            try:
                await self._carrier.application(exchange.scope, exchange.receive, exchange.send)
            except Exception:
                _LOGGER.exception("the application failed")
                exchange.refuse(500, _FAILED)
            if self._lost:
                return
            last = self._carrier.leaving_since is not None and len(self._whole) == 1
            close = last or not exchange.keep_alive
            self._transport.write(exchange.to_bytes(close=close))
            self.moved = self._loop.time()
            self._carrier.held -= len(exchange.body)
            self._whole.popleft()
            if close:
                self._end()
                return
            if len(self._whole) <= 1:
                self._transport.resume_reading()
        self._task = None

    def _end(self) -> None:
        """Send what is written, and close once the client has read it, or after a moment."""
        self._deaf = True
        self._task = None
        if self._receiving is None and not self._whole:
            self._transport.close()
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._loop.call_later(self._bounds.discard_s, self._transport.close)
