"""Connections to TorchServe over its Unix socket: one request at a time on each, kept open between requests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import httptools

from pipeline._handlers.exchange import WORKER_HEADER

_WORKER = WORKER_HEADER.lower().encode()
_NONE: Mapping[str, str] = {}


class LinkError(Exception):
    """The server is gone, or does not speak HTTP."""


@dataclass(frozen=True, kw_only=True)
class LinkAnswer:
    """What TorchServe answered.

    Args:
        status: the HTTP status.
        media: the content type.
        body: the whole body.
        worker: process id of the worker that answered, in our handler's own header; 0 without it.
    """

    status: int
    media: str
    body: bytes
    worker: int


class _Link(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[LinkAnswer] | None = None
        self._media = ""
        self._worker = 0
        self._chunks: list[bytes] = []
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self.open = True

    def connection_lost(self, error: Exception | None) -> None:
        """End; a request that waits fails."""
        self.open = False
        self._fail(f"the connection ended{f': {error}' if error else ''}")

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(str(error))
            self.close()

    def on_message_begin(self) -> None:
        """Begin a response."""
        self._media, self._worker, self._chunks = "", 0, []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the content type, and who answered."""
        name = name.lower()
        if name == b"content-type":
            self._media = value.decode("latin-1")
        elif name == _WORKER and value.isdigit():
            self._worker = int(value)

    def on_body(self, chunk: bytes) -> None:
        """Add a part of the body."""
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        """Hand the response over."""
        waiter, self._waiter = self._waiter, None
        if not self._parser.should_keep_alive():
            self.close()
        if waiter is not None and not waiter.done():
            status, body = self._parser.get_status_code(), b"".join(self._chunks)
            waiter.set_result(LinkAnswer(status=status, media=self._media, body=body, worker=self._worker))

    def send(self, request: bytes) -> asyncio.Future[LinkAnswer]:
        """Send a request; the future has its answer or a `LinkError`.

        Raises:
            LinkError: the connection is closed.
        """
        if self._transport is None or not self.open:
            raise LinkError("the connection is closed")
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return waiter

    def close(self) -> None:
        """Close it."""
        self.open = False
        if self._transport is not None:
            self._transport.close()

    def _fail(self, reason: str) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(LinkError(reason))


class Links:
    """Connections that are taken in turn.

    Args:
        socket: path of the Unix socket.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._free: list[_Link] = []
        self._busy: set[_Link] = set()

    async def ask(
        self, method: str, path: str, body: bytes = b"", *, headers: Mapping[str, str] = _NONE, timeout_s: float
    ) -> LinkAnswer:
        """Ask on a connection of its own.

        Args:
            method: the HTTP method.
            path: the path.
            body: the whole body.
            headers: further headers.
            timeout_s: longest wait, in seconds.

        Raises:
            LinkError: there was no answer.
        """
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n{lines}\r\n"
        request = head.encode() + body
        link = await self._take()
        self._busy.add(link)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await link.send(request)
        except TimeoutError as error:
            link.close()
            raise LinkError(f"no answer within {timeout_s:g} s") from error
        except BaseException:
            link.close()
            raise
        finally:
            self._busy.discard(link)
        if link.open:
            self._free.append(link)
        return answer

    def drop(self) -> None:
        """Close all connections; requests that wait on one fail."""
        for link in (*self._free, *self._busy):
            link.close()
        self._free.clear()

    async def _take(self) -> _Link:
        while self._free:
            link = self._free.pop()
            if link.open:
                return link
        try:
            _, link = await asyncio.get_running_loop().create_unix_connection(_Link, str(self._socket))
        except OSError as error:
            raise LinkError(f"{self._socket.name}: {error.strerror or error}") from error
        return link
