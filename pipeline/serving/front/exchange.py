"""One HTTP exchange as ASGI sees it: a request that was received whole, and the response that is collected."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

_CLOSE = (b"connection", b"close")

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii") for status in HTTPStatus}


class Exchange:
    """One request and its response.

    Args:
        scope: ASGI's scope.
        body: the whole body.
        keep_alive: whether the connection goes on after the response.
        held: bytes that the request is counted with in the memory of all of them.
    """

    __slots__ = ("_chunks", "_given", "_headers", "_status", "body", "gone", "held", "keep_alive", "scope", "whole")

    def __init__(self, scope: Scope, body: bytes, *, keep_alive: bool, held: int) -> None:
        self.scope = scope
        self.body = body
        self.keep_alive = keep_alive
        self.held = held
        # It is set when the client is gone, once somebody asks for that.
        self.gone: asyncio.Event | None = None
        self.whole = False
        self._given = False
        self._status = 0
        self._headers: Headers = ()
        self._chunks: list[bytes] = []

    async def receive(self) -> Message:
        """Return the whole body first; after that, return when the client is gone."""
        if not self._given:
            self._given = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        if self.gone is None:
            self.gone = asyncio.Event()
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Collect the response."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = headers = list(message.get("headers", ()))
            if _CLOSE in headers:
                headers.remove(_CLOSE)  # it is written with the others that concern the connection
                self.keep_alive = False
            return
        self._chunks.append(message.get("body", b""))
        self.whole = not message.get("more_body", False)

    def to_bytes(self, *, close: bool) -> bytes:
        """Return the response as it goes over the wire.

        Args:
            close: whether the connection ends with it.
        """
        if not self.whole:
            self.refuse(500, b'{"error":"the server failed","found":"no whole response"}')
        return response_bytes(
            self._status, self._headers, b"".join(self._chunks), close=close, bodiless=self.scope["method"] == "HEAD"
        )

    def refuse(self, status: int, body: bytes) -> None:
        """Replace whatever was collected by a JSON response."""
        self._status, self._headers, self._chunks = status, ((b"content-type", b"application/json"),), [body]
        self.whole = True


def response_bytes(status: int, headers: Headers, body: bytes, *, close: bool, bodiless: bool = False) -> bytes:
    """Write a response.

    Args:
        status: one of HTTP's own.
        headers: names in lower case, and values, without a length.
        body: the whole body.
        close: whether the connection ends with it.
        bodiless: whether only the head is sent, as for HEAD.
    """
    lines = [_STATUS_LINES[status]]
    for name, value in headers:
        lines += (name, b": ", value, b"\r\n")
    lines.append(b"content-length: %d\r\n" % len(body))
    lines.append(b"connection: close\r\n\r\n" if close else b"\r\n")
    if not bodiless:
        lines.append(body)
    return b"".join(lines)
